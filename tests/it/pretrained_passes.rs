//! Passes over networks of other programs: read on token by token, begun at a layer, looked at in passing, and as little of the files read
//! as there is need of.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor};
use mnemoscope::base::array::Array;
use mnemoscope::base::error::Result;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::base::weights::{RawTensor, TensorFile};
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::measurement::Subject;
use mnemoscope::model::pretrained::{Config, Pretrained};
use mnemoscope::model::{Input, Model, State};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::{EditAndCapture, Streams, Until};
use mnemoscope::numeric::pattern::shrink;
use mnemoscope::run::job::analysis_of;
use mnemoscope::run_folder::model_folder::ModelFolder;

const IDS: [u32; 9] = [5, 9, 17, 5, 9, 3, 8, 5, 9];

const NAMES: [&str; 8] =
    ["gpt2", "gpt_neox", "gpt_neo", "opt", "llama", "qwen3", "gemma2", "variants/tl_solu_2l"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models").join(name)
}

fn opened(name: &str, ids: &[u32], interventions: &[&str]) -> RunAt {
    let interventions = interventions.iter().map(|text| (*text).to_owned()).collect();
    let question = Question { ids: Some(ids.to_vec()), interventions, ..Question::default() };
    RunAt::open(&golden(name), &question).unwrap()
}

fn ids(tokens: &[u32]) -> Tensor {
    Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn edits(run: &RunAt, params: &Params) -> Vec<Edit> {
    run.interventions.iter().map(|what| Edit::of(what, params).unwrap().unwrap()).collect()
}

/// Logits of the last position, and of each when read token by token with keys and values kept.
fn read_on(subject: Subject<'_>, edits: &[Edit]) -> (Vec<f32>, Vec<f32>) {
    let Subject { model, params, .. } = subject;
    let mut tap = EditAndCapture::new(edits.to_vec(), vec![]);
    let whole = model.forward(params, &Input::new(&ids(&IDS)), &mut tap).unwrap().logits;
    let mut state = State::default();
    let mut logits = Vec::new();
    for tokens in [&IDS[..4], &IDS[4..5], &IDS[5..7], &IDS[7..9]] {
        let tokens = ids(tokens);
        let (state_before, whole) = (Some(&state), Some(IDS.len()));
        let input = Input { state: state_before, whole, caches: true, ..Input::new(&tokens) };
        let mut tap = EditAndCapture::new(edits.to_vec(), vec![]);
        let output = model.forward(params, &input, &mut tap).unwrap();
        logits.extend(numbers(&output.logits));
        state = output.state.unwrap();
    }
    (numbers(&whole), logits)
}

fn assert_near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let most = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let apart = a.iter().zip(b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(apart <= 1e-5 * most, "{what}: {apart} of {most}");
}

#[test]
fn a_text_that_is_read_on_token_by_token_has_the_logits_of_the_whole() {
    let under: [&[&str]; 3] = [
        &[],
        &["zero layer0.head1@3", "scale layer1.resid_pre@6 by 0.5", "zero layer1.k.head0@2"],
        &["zero layer0.pattern.head0@5<-1"],
    ];
    for name in NAMES {
        for interventions in under {
            let mut run = opened(name, &IDS, interventions);
            let weights = run.weights.clone();
            let (subject, _) = run.instrument.subject(&weights).unwrap();
            assert!(subject.model.caches(), "{name}");
            let params = subject.params.watched().unwrap();
            let interventions = run.interventions.clone();
            let edits: Vec<Edit> = interventions
                .iter()
                .map(|what| Edit::of(what, &params).unwrap().unwrap())
                .collect();
            let (subject, _) = run.instrument.subject(&weights).unwrap();
            let (whole, read) = read_on(subject, &edits);
            assert_near(&whole, &read, &format!("{name} under {interventions:?}"));
        }
    }
}

#[test]
fn logits_that_are_asked_from_a_position_on_are_those_of_the_whole() {
    for name in NAMES {
        let mut run = opened(name, &IDS, &[]);
        let weights = run.weights.clone();
        let (Subject { model, params, .. }, _) = run.instrument.subject(&weights).unwrap();
        let tokens = ids(&IDS);
        let logits = |logits_from| {
            let input = Input { logits_from, ..Input::new(&tokens) };
            let output = model.forward(params, &input, &mut EditAndCapture::default());
            output.unwrap().logits
        };
        let (whole, last) = (logits(0), logits(8));
        assert_eq!(last.dims(), [1, 1, whole.dim(2).unwrap()], "{name}");
        assert_near(&numbers(&whole.narrow(1, 8, 1).unwrap()), &numbers(&last), name);
    }
}

#[test]
fn a_pass_that_begins_at_a_layer_gives_the_same_to_the_last_bit() {
    for name in NAMES {
        let mut run = opened(name, &IDS, &["scale layer1.resid_pre@2 by 3"]);
        let weights = run.weights.clone();
        let params = run.instrument.subject(&weights).unwrap().0.params.watched().unwrap();
        let edits = edits(&run, &params);
        let (Subject { model, params, .. }, _) = run.instrument.subject(&weights).unwrap();
        let tokens = ids(&IDS);
        let mut streams = Streams::default();
        let mut until = Until::new(edits.clone(), &[], Some(&mut streams), true);
        let whole = model.forward(params, &Input::new(&tokens), &mut until).unwrap().logits;
        let from = streams.from(1).unwrap();
        assert_eq!(from.0, 1, "{name}");
        let input = Input { from: Some(from), ..Input::new(&tokens) };
        let again = model.forward(params, &input, &mut EditAndCapture::new(edits, vec![]));
        assert_eq!(numbers(&whole), numbers(&again.unwrap().logits), "{name}");
        assert!(streams.from(0).is_none());
    }
}

fn answered(run: &mut RunAt, call: &MeasurementCall) -> Arc<Reading> {
    run.ask(std::slice::from_ref(call)).unwrap().get(call).unwrap().clone().unwrap()
}

fn array<'a>(reading: &'a Reading, name: &str) -> &'a Array {
    reading.array(name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn thumbnails_and_the_pattern_of_one_head_are_those_of_all_patterns() {
    for name in NAMES {
        let mut run = opened(name, &IDS, &[]);
        let attention = MeasurementCall::new("attention");
        let all = answered(&mut run, &attention);
        let glances = answered(&mut run, &attention.clone().with("whole", "none"));
        let one = attention.with("whole", "one head").with("layer", 1).with("head", 1);
        let one = answered(&mut run, &one);
        let whole = array(&all, "pattern.layer1");
        assert_eq!(array(&one, "pattern.layer1.head1").data[..], *whole.outer(1), "{name}");
        for (layer, head) in [(0, 0), (1, 1)] {
            let pattern = array(&all, &format!("pattern.layer{layer}"));
            let small = array(&glances, &format!("glance.layer{layer}"));
            let (_, expected) = shrink(pattern.outer(head), [0, 9], 9);
            let same = small.outer(head).iter().zip(&expected);
            assert!(
                same.clone().all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()),
                "{name}"
            );
        }
    }
}

#[test]
fn what_was_asked_about_a_text_does_not_answer_for_another_or_under_interventions() {
    let call = MeasurementCall::new("attention").with("whole", "one head").with("layer", 1);
    let name = "gpt2";
    let alone = |ids: &[u32], interventions: &[&str]| {
        answered(&mut opened(name, ids, interventions), &call)
    };
    let mut run = opened(name, &IDS, &[]);
    let first = answered(&mut run, &call);
    assert!(Arc::ptr_eq(&first, &answered(&mut run, &call)), "it is not asked twice");
    let other: Vec<u32> = IDS.iter().rev().copied().collect();
    for (ids, interventions) in [(&other[..], &[][..]), (&IDS[..], &["zero layer0.head0"][..])] {
        let question = Question {
            ids: Some(ids.to_vec()),
            interventions: interventions.iter().map(|text| (*text).to_owned()).collect(),
            ..Question::default()
        };
        run.turn_to(&question).unwrap();
        let (found, expected) = (answered(&mut run, &call), alone(ids, interventions));
        assert_eq!(found.arrays, expected.arrays);
        assert_ne!(found.arrays, first.arrays);
    }
}

/// Files whose numbers that are read are counted.
struct Counted {
    folder: ModelFolder,
    numbers: AtomicU64,
}

impl TensorFile for Counted {
    fn identity(&self) -> &str {
        self.folder.identity()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.folder.shape(name)
    }

    fn names(&self) -> Vec<&str> {
        self.folder.names()
    }

    fn rows(&self, name: &str, rows: &[Range<usize>]) -> Result<RawTensor> {
        let found = self.folder.rows(name, rows)?;
        let count: usize = found.shape.iter().product();
        self.numbers.fetch_add(count as u64, Ordering::Relaxed);
        Ok(found)
    }
}

#[test]
fn patterns_read_the_layers_and_of_the_vocabulary_the_rows_of_the_text_alone() {
    let folder = ModelFolder::open(&golden("gpt_neox")).unwrap();
    let config = Config::parse(&folder.config).unwrap();
    let file = Arc::new(Counted { folder, numbers: AtomicU64::new(0) });
    let files: Arc<dyn TensorFile> = file.clone();
    let mut params = Params::new(0);
    let network = Pretrained::read(&config, &files, &mut params).unwrap();
    assert_eq!(file.numbers.load(Ordering::Relaxed), 0, "only headers are read on opening");
    let sites: Vec<Site> = (0..2).map(|layer| Site { layer, point: Point::Pattern }).collect();
    let mut until = Until::new(vec![], &sites, None, false);
    assert!(network.forward(&params, &Input::new(&ids(&IDS)), &mut until).is_err());
    assert!(until.is_ended);
    let read = file.numbers.load(Ordering::Relaxed);
    let tables = ["gpt_neox.embed_in.weight", "embed_out.weight"];
    let of = |name: &str| file.shape(name).unwrap().iter().product::<usize>() as u64;
    let all: u64 = file.names().into_iter().map(of).sum();
    let both: u64 = tables.into_iter().map(of).sum();
    let rows = IDS.len() as u64 * file.shape(tables[0]).unwrap()[1] as u64;
    assert!(read <= all - both + rows, "{read} of {all}");
    // Each tensor once, however often it is asked.
    network.forward(&params, &Input::new(&ids(&IDS)), &mut EditAndCapture::default()).unwrap();
    network.forward(&params, &Input::new(&ids(&IDS)), &mut EditAndCapture::default()).unwrap();
    assert!(file.numbers.load(Ordering::Relaxed) <= all + 3 * rows);
}

fn written(run: &mut RunAt, settings: &[(&str, toml::Value)]) -> Reading {
    let mut call = MeasurementCall::new("generation");
    for (name, value) in settings {
        call = call.with(name, value.clone());
    }
    let (prompt, in_force) = (run.prompt.clone(), run.interventions.clone());
    let analysis = analysis_of(&call).unwrap();
    let analyzed =
        run.instrument.analyze(&run.weights, &prompt, &in_force, &*analysis, &mut |_, _, _| true);
    analyzed.unwrap()
}

/// What is likeliest, asked anew of the whole for each token.
fn greedily(name: &str, interventions: &[&str], count: usize) -> Vec<f32> {
    let mut tokens = IDS.to_vec();
    for _ in 0..count {
        let mut run = opened(name, &tokens, interventions);
        let weights = run.weights.clone();
        let params = run.instrument.subject(&weights).unwrap().0.params.watched().unwrap();
        let edits = edits(&run, &params);
        let (Subject { model, params, .. }, _) = run.instrument.subject(&weights).unwrap();
        let mut tap = EditAndCapture::new(edits, vec![]);
        let logits = model.forward(params, &Input::new(&ids(&tokens)), &mut tap).unwrap().logits;
        let last = numbers(&logits.narrow(1, tokens.len() - 1, 1).unwrap());
        let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
        tokens.push(best as u32);
    }
    tokens[IDS.len()..].iter().map(|token| *token as f32).collect()
}

#[test]
fn a_text_goes_on_with_the_likeliest_token_under_what_is_in_force() {
    for name in ["gpt2", "llama", "gemma2"] {
        for interventions in [&[][..], &["zero layer0.head1", "zero layer1.mlp_out@4"]] {
            let mut run = opened(name, &IDS, interventions);
            let found = written(&mut run, &[("count", 6.into())]);
            let expected = greedily(name, interventions, 6);
            assert_eq!(array(&found, "token").data[..], expected, "{name} {interventions:?}");
            let probabilities = &array(&found, "probability").data;
            assert!(probabilities.iter().all(|p| *p > 0.0 && *p <= 1.0));
        }
    }
}

#[test]
fn draws_are_those_of_their_seed_and_end_with_the_context() {
    let mut run = opened("gpt2", &IDS, &[]);
    let mut drawn = |seed: i64| {
        let settings = [("count", 20.into()), ("temperature", 1.0.into()), ("seed", seed.into())];
        array(&written(&mut run, &settings), "token").data.to_vec()
    };
    let (one, again, other) = (drawn(1), drawn(1), drawn(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let whole = written(&mut run, &[("count", 4096.into())]);
    assert_eq!(array(&whole, "token").data.len() + IDS.len(), 64);
    assert!(whole.notes[0].contains("64 tokens"), "{:?}", whole.notes);
    let full: Vec<u32> = (0..64).collect();
    let mut run = opened("gpt2", &full, &[]);
    let analysis = analysis_of(&MeasurementCall::new("generation")).unwrap();
    let prompt = run.prompt.clone();
    let said = run.instrument.analyze(&run.weights, &prompt, &[], &*analysis, &mut |_, _, _| true);
    assert!(said.unwrap_err().message.contains("fills the context"));
}
