//! Experiments of the literature: their numbers against those of an independent implementation, on networks of three kinds.

use std::fs;
use std::path::{Path, PathBuf};

use mnemoscope::base::error::{Error, Result};
use mnemoscope::base::question::Reading;
use mnemoscope::base::study::{First, Headline};
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::export::study::Report;
use mnemoscope::figure::Figure;
use mnemoscope::figure::file::Format;
use mnemoscope::figure::provenance::Provenance;
use mnemoscope::formats::tokenizer::Begin;
use mnemoscope::measurement::study::{self, noise::Noise};
use mnemoscope::panel::study::{Study, figure, strongest};
use mnemoscope::run::study::{Request, Studied, prepare, study_of};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::export::recorded;
use crate::tiny;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models")
}

/// What torch found: `tests/python/studies_reference.py`.
fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(golden().join("studies.json")).unwrap()).unwrap()
}

/// Prompts as a file.
fn file(prompts: &[Value]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompts.jsonl");
    let lines: Vec<String> = prompts.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    (folder, path)
}

/// A study, and how it is asked.
#[derive(Clone, Copy, Default)]
struct Asked<'a> {
    name: &'a str,
    settings: &'a [(&'a str, &'a str)],
    prompts: &'a [Value],
    begin: Option<Begin>,
    step: Option<u64>,
    interventions: &'a [&'a str],
}

impl Asked<'_> {
    fn of(self, folder: &Path) -> Result<(RunAt, Studied)> {
        let (_kept, path) = file(self.prompts);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: Vec<_> = self.settings.iter().map(owned).collect();
        let interventions = self.interventions.iter().map(|what| (*what).to_owned()).collect();
        let question = Question { step: self.step, interventions, ..Question::default() };
        let mut run = RunAt::open(folder, &question)?;
        let request = Request {
            study: self.name,
            settings: &settings,
            prompts: (!self.prompts.is_empty()).then_some(&*path),
            begin: self.begin,
        };
        let prepared = prepare(&request, folder, &run.experiment)?;
        let (weights, in_force) = (run.weights.clone(), run.interventions.clone());
        let reading = run.instrument.study(&weights, &in_force, &prepared, &mut |_, _| true)?;
        Ok((run, Studied { prepared, reading }))
    }

    fn reading(self, folder: &Path) -> Reading {
        self.of(folder).unwrap().1.reading
    }

    fn refusal(self, folder: &Path) -> String {
        self.of(folder).err().map_or_else(|| panic!("{} was asked", self.name), said)
    }
}

fn said(e: Error) -> String {
    e.message
}

/// All numbers of nested lists, row-major; null is not a number.
fn flat(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(all) => all.iter().flat_map(flat).collect(),
        None => vec![value.as_f64().unwrap_or(f64::NAN)],
    }
}

fn assert_near(what: &str, found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let most = wanted.iter().filter(|x| x.is_finite()).fold(0.0f64, |most, x| most.max(x.abs()));
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let near = (found - wanted).abs() <= 5e-5 * most.max(1e-2);
        assert!(near || wanted.is_nan() && found.is_nan(), "{what}[{i}]: {found}, not {wanted}");
    }
}

/// Asks a golden network what torch was asked, and compares all that torch said.
fn check(network: &str, name: &str) {
    let all = expected();
    let wanted = &all[network][name];
    let prompts = wanted["prompts"].as_array().unwrap();
    let settings: Vec<(String, String)> = wanted["settings"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(a, b)| (&**a, &**b)).collect();
    let asked = Asked { name, settings: &settings, prompts, ..Asked::default() };
    let reading = asked.reading(&golden().join(network));
    for (key, value) in wanted["numbers"].as_object().unwrap() {
        let found = reading.number(key).unwrap_or_else(|| panic!("{network} {name}: no {key}"));
        assert_near(&format!("{network} {name} {key}"), &[found], &flat(value));
    }
    for (key, value) in wanted["arrays"].as_object().unwrap() {
        let found = reading.array(key).unwrap_or_else(|| panic!("{network} {name}: no {key}"));
        let found: Vec<f64> = found.data.iter().map(|x| f64::from(*x)).collect();
        assert_near(&format!("{network} {name} {key}"), &found, &flat(value));
    }
}

const NETWORKS: [&str; 3] = ["gpt2", "llama", "gpt_neox"];

#[test]
fn indirect_objects_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "ioi"));
}

#[test]
fn induction_heads_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "induction"));
}

#[test]
fn later_years_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "greater-than"));
}

#[test]
fn traces_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "causal-tracing"));
}

#[test]
fn facts_and_counterfacts_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "fact-counterfact"));
}

#[test]
fn suppressing_heads_are_those_of_torch() {
    NETWORKS.iter().for_each(|network| check(network, "copy-suppression"));
}

#[test]
fn noise_is_that_of_numpy() {
    // numpy.random.RandomState(1).randn(5), and the 1000th number of RandomState(7).randn(1000)
    let mut noise = Noise::new(1);
    for wanted in [
        1.624_345_363_663_241_7,
        -0.611_756_413_650_076,
        -0.528_171_752_263_455_7,
        -1.072_968_622_156_170_5,
        0.865_407_629_324_678_5,
    ] {
        assert!((noise.gauss() - wanted).abs() < 1e-14);
    }
    let mut noise = Noise::new(7);
    let last = (0..1000).map(|_| noise.gauss()).last().unwrap();
    assert!((last + 0.677_439_237_878_200_9).abs() < 1e-14, "{last}");
}

#[test]
fn an_induction_head_is_born_within_a_series() {
    let series = golden().join("series/revisions");
    let text = fs::read_to_string(golden().join("series/expected.json")).unwrap();
    let known: Value = serde_json::from_str(&text).unwrap();
    let prompts: Vec<Value> =
        known["probe_ids"].as_array().unwrap().iter().map(|ids| json!({ "prompt": ids })).collect();
    for step in [0, 384, 448, 1500] {
        let asked =
            Asked { name: "induction", prompts: &prompts, step: Some(step), ..Asked::default() };
        let (run, studied) = asked.of(&series).unwrap();
        assert_eq!(run.weights.step, step);
        for score in ["induction", "previous_token"] {
            let wanted = flat(&known["steps"][step.to_string()][score]);
            let found = studied.reading.array(score).unwrap();
            let apart = found.data.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs());
            // They were written with five digits.
            assert!(apart.fold(0.0, f64::max) < 2e-5, "step {step}: {score}");
        }
    }
}

/// What a study asks a network whose tokenizer reads digits one by one and knows two names.
#[test]
fn prompts_that_a_tokenizer_reads_otherwise_are_left_out() {
    let folder = with_tokenizer();
    let of = |name| Asked { name, settings: &[("patch", "false")], ..Asked::default() };
    let years = of("greater-than").of(folder.path()).unwrap().1;
    assert!(years.reading.number("prompts").unwrap() == 24.0);
    assert!(
        years.prepared.notes[0].contains("the study's second set"),
        "{:?}",
        years.prepared.notes
    );
    let (first, end) = (&years.prepared.prompts[0], years.prepared.prompts[0].end());
    assert_eq!((first.answers.len(), first.wrongs.len()), (4, 5));
    assert!(first.role("year")[0] < end);
    let names = of("ioi").of(folder.path()).unwrap().1;
    assert!(names.prepared.prompts.len() < 8 && !names.prepared.prompts.is_empty());
    assert!(names.prepared.notes[0].starts_with("Left out: "), "{:?}", names.prepared.notes);
    let notes = [names.prepared.notes, years.prepared.notes].concat();
    assert!(notes.iter().all(|note| note.ends_with('.') && !note.contains("..")), "{notes:?}");
    let said = of("fact-counterfact").refusal(folder.path());
    assert!(!said.contains(".;"), "{said}");
}

/// A golden network with a tokenizer beside it.
fn with_tokenizer() -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden().join("gpt2").join(name), to.path().join(name)).unwrap();
    }
    let tokenizer = golden().join("tokenizers/gpt2/tokenizer.json");
    fs::copy(tokenizer, to.path().join("tokenizer.json")).unwrap();
    to
}

#[test]
fn a_token_that_begins_prompts_is_put_there_as_it_is_asked() {
    let folder = with_tokenizer();
    let prompts = [json!({ "prompt": "So Mary gave the lamp", "answer": 5, "wrong": 6,
        "counterpart": "So John gave the lamp", "roles": { "place": "lamp" } })];
    let asked = |begin| Asked { name: "ioi", prompts: &prompts, begin, ..Asked::default() };
    let read = |begin| asked(begin).of(folder.path()).unwrap().1.prepared;
    // As it was published: behind the token that TransformerLens puts there.
    let (usual, bare) = (read(None), read(Some(Begin::Nothing)));
    assert_eq!((usual.first, usual.begin), (Some(399), Begin::TransformerLens));
    assert_eq!((bare.first, bare.begin), (None, Begin::Nothing));
    assert_eq!(usual.prompts[0].tokens[1..], bare.prompts[0].tokens);
    assert_eq!(usual.prompts[0].role("place")[0], bare.prompts[0].role("place")[0] + 1);
    // Causal tracing was published without one.
    assert!(!study_of("causal-tracing", &[]).unwrap().is_begun());
}

#[test]
fn what_cannot_be_asked_is_said_in_a_sentence() {
    let (gpt2, spoken) = (golden().join("gpt2"), with_tokenizer());
    let refused = |name: &str, prompt: Value, folder: &Path| {
        Asked { name, prompts: &[prompt], ..Asked::default() }.refusal(folder)
    };
    let pair = json!({ "prompt": [1, 2, 3], "answer": 4, "wrong": 5, "counterpart": [1, 2, 6] });
    let without = |key: &str| {
        let mut prompt = pair.clone();
        prompt.as_object_mut().unwrap().remove(key);
        prompt
    };
    for (said, word) in [
        (refused("induktion", pair.clone(), &gpt2), "Did you mean induction?"),
        (refused("ioi", without("wrong"), &gpt2), "prompt 1 has no \"wrong\""),
        (refused("ioi", without("counterpart"), &gpt2), "prompt 1 has no counterpart"),
        (refused("greater-than", without("counterpart"), &gpt2), "no \"counterpart\""),
        (refused("causal-tracing", pair.clone(), &gpt2), "\"subject\" among its \"roles\""),
        (refused("fact-counterfact", pair.clone(), &gpt2), "\"attribute\" among its \"roles\""),
        (refused("induction", pair.clone(), &gpt2), "no block of tokens that comes twice"),
        (refused("ioi", json!({ "prompt": [1, 400] }), &gpt2), "names token 400"),
        (refused("ioi", json!({ "prompt": vec![1; 65] }), &gpt2), "reads 1 to 64"),
        (
            refused("ioi", json!({ "prompt": [1, 2], "counterpart": [1] }), &gpt2),
            "its counterpart 1",
        ),
        (refused("ioi", json!({ "prompt": "Mary" }), &gpt2), "this network has no tokenizer"),
        (
            refused("ioi", json!({ "prompt": "Mary gave", "answer": "Jonathan" }), spoken.path()),
            "expected one: choose another word",
        ),
        (
            refused(
                "ioi",
                json!({ "prompt": "John gave", "counterpart": "John carried the lamp" }),
                spoken.path(),
            ),
            "choose words of as many tokens",
        ),
        (
            refused(
                "ioi",
                json!({ "prompt": [1, 2], "answer": { "from": "9", "to": "1" } }),
                spoken.path(),
            ),
            "the smaller first",
        ),
        (
            refused("fact-counterfact", pair.clone(), &golden().join("gemma2")),
            "does not say how its heads write",
        ),
        (
            Asked { name: "ioi", ..Asked::default() }.refusal(&gpt2),
            "ioi asks with text, and this network has no tokenizer",
        ),
        (
            Asked { name: "ioi", settings: &[("promts", "3")], ..Asked::default() }.refusal(&gpt2),
            "Did you mean ioi.prompts?",
        ),
        (
            Asked {
                name: "ioi",
                prompts: std::slice::from_ref(&pair),
                interventions: &["zero layer7.head0"],
                ..Asked::default()
            }
            .refusal(&gpt2),
            "layer7",
        ),
        (
            Asked {
                name: "copy-suppression",
                prompts: std::slice::from_ref(&pair),
                settings: &[("head", "10.7")],
                ..Asked::default()
            }
            .refusal(&gpt2),
            "3 layers of up to 2 heads",
        ),
    ] {
        assert!(said.contains(word), "{said}: not \"{word}\"");
    }
}

#[test]
fn what_is_in_force_is_in_every_pass() {
    let folder = golden().join("gpt2");
    let all = expected();
    let wanted = &all["gpt2"]["copy-suppression"];
    let prompts = wanted["prompts"].as_array().unwrap();
    let asked = Asked {
        name: "copy-suppression",
        settings: &[("head", "2.0")],
        prompts,
        interventions: &["zero layer0.head1"],
        ..Asked::default()
    };
    let found = asked.reading(&folder).number("logit_difference.0").unwrap();
    assert_near("cut", &[found], &flat(&wanted["numbers"]["logit_difference_without.0"]));
    // Logits that are changed themselves are those that are read.
    let asked = Asked { interventions: &["zero layer2.logits"], ..asked };
    let found = asked.reading(&folder).number("logit_difference.0").unwrap();
    assert_eq!(found, 0.0);
}

#[test]
fn a_run_of_this_program_is_asked_about_its_induction_heads() {
    let (_kept, run) = recorded(tiny::with(&["train.steps=3"]));
    let reading = Asked { name: "induction", ..Asked::default() }.reading(&run);
    assert_eq!(reading.array("induction").unwrap().shape, [2, 2]);
    assert!(reading.notes.iter().any(|note| note.starts_with("The block has 10 tokens")));
    let said = Asked { name: "ioi", ..Asked::default() }.refusal(&run);
    assert!(said.contains("this network has no tokenizer"), "{said}");
}

#[test]
fn every_study_says_what_it_is_and_what_was_found() {
    for entry in study::ALL {
        let mut study = (entry.make)();
        assert!(study.about().ends_with(['.', '?']), "{}", entry.name);
        assert!(!study.known().is_empty() && !study.drawn().is_empty(), "{}", entry.name);
        study.each(&mut |spec, _| assert!(!spec.help.is_empty(), "{}.{}", entry.name, spec.name));
        for set in study.prompts() {
            let prompts = mnemoscope::formats::prompts::of_json(set).unwrap();
            assert!(!prompts.is_empty(), "{}", entry.name);
        }
    }
}

#[test]
fn what_was_found_is_drawn_and_written() {
    let all = expected();
    for entry in study::ALL {
        let prompts = all["gpt2"][entry.name]["prompts"].as_array().unwrap();
        let asked = Asked { name: entry.name, prompts, ..Asked::default() };
        let (run, mut studied) = asked.of(&golden().join("gpt2")).unwrap();
        let mut report = Report { run: &run, studied: &mut studied };
        let svg = report.file(Format::Svg).unwrap();
        let from = Provenance::read(&svg).unwrap();
        assert_eq!(from.panels[0].panel, format!("study {}", entry.name));
        assert!(from.panels[0].weights_sha256.is_some() && !from.panels[0].quantities.is_empty());
        let document: Value = serde_json::from_slice(&report.file(Format::Json).unwrap()).unwrap();
        for (name, array) in document["arrays"].as_object().unwrap() {
            let data = array["data"].as_array().unwrap().len();
            let shape: Vec<u64> =
                array["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            assert_eq!(data as u64, shape.iter().product::<u64>(), "{name}");
        }
        assert!(!document["known"].as_array().unwrap().is_empty());
        let table = String::from_utf8(report.file(Format::Csv).unwrap()).unwrap();
        let cells: Vec<usize> = table.lines().map(|line| line.split(',').count()).collect();
        assert!(cells.iter().all(|count| *count == cells[0]), "{}", entry.name);
        let npz = report.file(Format::Npz).unwrap();
        assert!(mnemoscope::formats::npz::about(&npz).unwrap().contains("\"study\""));
        assert!(report.file(Format::Tex).is_err());
    }
}

fn drawn_of(run: &RunAt, studied: &Studied) -> Figure {
    let study = Study {
        title: "a study",
        headlines: studied.prepared.study.headlines(),
        drawn: studied.prepared.study.drawn(),
        reading: &studied.reading,
        vocab: run.instrument.source().vocab(),
    };
    figure(
        &study,
        mnemoscope::export::drawn_panel::palette(&mnemoscope::figure::style::Style::light()),
    )
}

/// As a caption has a number.
fn worded(headline: &Headline, value: f64) -> String {
    let value = match headline.is_share {
        true => format!("{:.0} %", 100.0 * value),
        false => format!("{value:.3}").replace('-', "\u{2212}"),
    };
    headline.words.replace("{}", &value)
}

#[test]
fn the_figure_says_what_was_found_in_numbers_and_of_which_prompt() {
    let all = expected();
    for entry in study::ALL {
        let prompts = all["gpt2"][entry.name]["prompts"].as_array().unwrap();
        let asked = Asked { name: entry.name, prompts, ..Asked::default() };
        let (run, studied) = asked.of(&golden().join("gpt2")).unwrap();
        let caption = drawn_of(&run, &studied).caption;
        for headline in studied.prepared.study.headlines() {
            let value = studied.reading.number(headline.number);
            let value = value.unwrap_or_else(|| panic!("{} has no {headline:?}", entry.name));
            let words = worded(headline, value).replace("\u{2212}0.000", "0.000");
            assert!(caption.contains(&words), "{}: {words} is not in {caption}", entry.name);
        }
        assert!(!caption.contains(".."), "{caption}");
        if let Some(tokens) = studied.reading.array("tokens") {
            let ids: Vec<String> = tokens.data.iter().map(f32::to_string).collect();
            let prompt = format!("Prompt: “{}”", ids.join(" "));
            assert!(caption.contains(&prompt), "{prompt} is not in {caption}");
        }
    }
}

#[test]
fn the_figure_has_a_plot_for_all_that_is_drawn() {
    let all = expected();
    let prompts = all["gpt2"]["ioi"]["prompts"].as_array().unwrap();
    let (run, studied) =
        Asked { name: "ioi", prompts, ..Asked::default() }.of(&golden().join("gpt2")).unwrap();
    let study = Study {
        title: "ioi",
        headlines: studied.prepared.study.headlines(),
        drawn: studied.prepared.study.drawn(),
        reading: &studied.reading,
        vocab: run.instrument.source().vocab(),
    };
    let palette =
        mnemoscope::export::drawn_panel::palette(&mnemoscope::figure::style::Style::light());
    let drawn = figure(&study, palette);
    assert_eq!(drawn.plots.len(), study.drawn.len());
    let heads = studied.reading.array("direct.heads").unwrap();
    let (place, most) = &strongest(heads, First::Largest)[0];
    assert!(drawn.caption.contains(&format!("{}.{}", place[0], place[1])), "{}", drawn.caption);
    assert!(heads.data.iter().all(|x| x.abs() <= most.abs()));
}
