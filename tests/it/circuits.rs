//! Circuits of heads: against numpy, against the pass itself, and by laws.

use std::path::Path;
use std::sync::Arc;

use mnemoscope::base::array::Array;
use mnemoscope::base::batch::Row;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::numeric::eigen::{Complex, eigenvalues};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::trainer::Trainer;

fn assert_near(found: &[f32], expected: &[f64], allowed: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart <= allowed * expected.abs().max(1.0), "{what} {i}: {found}, {expected}");
    }
}

// ── eigenvalues ──────────────────────────────────────────────────────────────────────────────────────

/// Numbers without any order.
fn scattered(i: usize) -> f64 {
    let i = i as f64;
    (0.37 * i * i + 1.3 * i).sin()
}

#[test]
fn eigenvalues_are_those_of_numpy() {
    let matrix: Vec<f64> = (0..36).map(scattered).collect();
    let found = eigenvalues(&matrix, 6).unwrap();
    let numpy = EIGENVALUES;
    for (found, (re, im)) in found.iter().zip(numpy) {
        assert!((found.re - re).abs() < 1e-8 && (found.im - im).abs() < 1e-8, "{found:?}");
    }
}

#[test]
fn eigenvalues_of_matrices_that_are_known_are_found() {
    let of = |matrix: &[f64], n| eigenvalues(matrix, n).unwrap();
    assert_eq!(of(&[], 0), []);
    assert_eq!(of(&[-3.0], 1), [Complex::real(-3.0)]);
    assert!(of(&[0.0; 16], 4).iter().all(|z| z.abs() == 0.0));
    // A turn by a right angle, and a cycle of five: the fifth roots of one.
    let turn = of(&[0.0, -1.0, 1.0, 0.0], 2);
    assert!((turn[0].im - 1.0).abs() < 1e-12 && (turn[1].im + 1.0).abs() < 1e-12, "{turn:?}");
    let cycle: Vec<f64> = (0..25).map(|i| f64::from(u8::from((i / 5 + 1) % 5 == i % 5))).collect();
    let roots = of(&cycle, 5);
    assert!(roots.iter().all(|z| (z.abs() - 1.0).abs() < 1e-10), "{roots:?}");
    assert!(roots.iter().map(|z| z.re).sum::<f64>().abs() < 1e-10);
    // (x − 1)(x − 2)(x − 3)
    let roots = of(&[6.0, -11.0, 6.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 3);
    for (root, expected) in roots.iter().zip([3.0, 2.0, 1.0]) {
        assert!((root.re - expected).abs() < 1e-9 && root.im.abs() < 1e-9, "{roots:?}");
    }
    assert_eq!(eigenvalues(&[f64::NAN, 0.0, 0.0, 1.0], 2), None);
}

#[test]
fn eigenvalues_add_up_to_the_trace_also_of_large_matrices() {
    for n in [17, 64, 150] {
        let matrix: Vec<f64> = (0..n * n).map(scattered).collect();
        let found = eigenvalues(&matrix, n).unwrap();
        let trace: f64 = (0..n).map(|i| matrix[i * n + i]).sum();
        let square: f64 = (0..n * n).map(|i| matrix[i] * matrix[i % n * n + i / n]).sum();
        let sum = |of: &dyn Fn(&Complex) -> f64| found.iter().map(of).sum::<f64>();
        assert!((sum(&|z| z.re) - trace).abs() < 1e-8 * n as f64);
        assert!(sum(&|z| z.im).abs() < 1e-8 * n as f64);
        assert!((sum(&|z| z.re * z.re - z.im * z.im) - square).abs() < 1e-6 * n as f64);
    }
}

// ── a network with numbers of our own ────────────────────────────────────────────────────────────────

/// A network, its weights and a sequence.
struct Asked {
    instrument: Instrument,
    weights: Weights,
}

impl Asked {
    /// Untrained.
    fn of(model: &[&str]) -> Self {
        let mut experiment = Experiment::of("asked", "max_of_list", "decoder").unwrap();
        let usual = ["task.numbers=5", "model.width=8", "model.heads=2", "model.mlp=none"];
        experiment.set_texts(usual.iter().chain(model).copied()).unwrap();
        let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
        Self { instrument: Instrument::new(&experiment).unwrap(), weights }
    }

    /// The numbers of each tensor are made of their places, and of that of its name among all.
    fn with_numbers(model: &[&str], keep: &dyn Fn(&str) -> bool) -> Self {
        let mut asked = Self::of(model);
        let mut names: Vec<Arc<str>> =
            asked.weights.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        names.sort();
        let changed = asked.weights.tensors.iter().map(|tensor| {
            let number = names.iter().position(|name| *name == tensor.name).unwrap();
            let around = if is_norm(&tensor.name) { 1.0 } else { 0.0 };
            let value = |i: usize| {
                let i = i as f64;
                let phase = 0.37 * i * i + 1.3 * i + 0.7 * number as f64;
                (around + 0.3 * phase.sin()) as f32
            };
            let made: Vec<f32> = (0..tensor.data.len()).map(value).collect();
            let data = if keep(&tensor.name) { tensor.data.clone() } else { made.into() };
            NamedTensor { data, ..tensor.clone() }
        });
        asked.weights = Weights::new(0, changed.collect());
        asked
    }

    fn ask(&mut self, call: &MeasurementCall, tokens: &[u32]) -> Reading {
        let source = self.instrument.source();
        let prompt: Arc<Row> = Arc::new(source.label(tokens, &source.sequence(0, 0)));
        let calls = [call.clone()];
        let readings = self.instrument.examine(&self.weights, &prompt, &[], &calls).unwrap();
        readings.get(call).unwrap().as_ref().unwrap().as_ref().clone()
    }

    fn tensor(&self, name: &str) -> Vec<f64> {
        let data = &self.weights.get(name).unwrap().data;
        data.iter().map(|x| f64::from(*x)).collect()
    }
}

fn is_norm(name: &str) -> bool {
    name.contains("norm") && name.ends_with("weight")
}

fn circuits(layer: usize, head: usize) -> MeasurementCall {
    MeasurementCall::new("circuits").with("layer", layer as i64).with("head", head as i64)
}

fn array<'a>(reading: &'a Reading, name: &str) -> &'a Array {
    reading.array(name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn circuits_are_those_of_numpy() {
    let mut asked = Asked::with_numbers(&["model.layers=2"], &|_| false);
    let found = asked.ask(&circuits(1, 1), &[4, 1, 2]);
    for (name, expected) in NUMPY {
        assert_near(&array(&found, name).data, expected, 2e-5, name);
    }
    let eigenvalues = &array(&found, "eigenvalues").data;
    assert_near(eigenvalues, &NUMPY_EIGENVALUES, 2e-5, "eigenvalues");
    for (name, expected) in [("norm_scale", NUMPY_SCALES[0]), ("final_scale", NUMPY_SCALES[1])] {
        assert!((found.number(name).unwrap() - expected).abs() < 1e-4, "{name}");
    }
    for (by, name) in ["q_composition", "k_composition", "v_composition"].iter().enumerate() {
        let scores = array(&found, name);
        assert_eq!(scores.shape, [2, 2]);
        let expected = NUMPY_COMPOSITIONS.map(|of_head| of_head[by]);
        assert_near(&scores.data[..2], &expected, 2e-5, name);
        assert!(scores.data[2..].iter().all(|x| x.is_nan()), "none with heads of its own layer");
    }
    assert!((found.number("copying_of_head").unwrap() - NUMPY_COPYING[3]).abs() < 2e-5);
    assert_near(&array(&found, "copying").data, &NUMPY_COPYING, 2e-5, "copying");
    assert!(found.notes.iter().any(|note| note.contains("layers before layer 1")), "{found:?}");
}

#[test]
fn a_later_head_reads_of_an_earlier_one_what_that_one_is_said_to_be_read() {
    let mut asked = Asked::with_numbers(&["model.layers=2"], &|_| false);
    let [earlier, later] = [(0, 0), (1, 1)].map(|(l, h)| asked.ask(&circuits(l, h), &[4, 1, 2]));
    for name in ["q_composition", "k_composition", "v_composition"] {
        let (read, reads) = (array(&earlier, name).data[3], array(&later, name).data[0]);
        assert!((read - reads).abs() < 1e-6 && read > 0.0, "{name}: {read}, {reads}");
    }
}

// ── laws ─────────────────────────────────────────────────────────────────────────────────────────────

const TOKENS: [u32; 6] = [4, 1, 2, 1, 0, 4];

/// Differences of the scores of each query from that with the first key, as the pattern has them.
fn of_pattern(pattern: &[f32], n: usize, query: usize, key: usize) -> f64 {
    let log = |key: usize| f64::from(pattern[query * n + key]).ln();
    log(key) - log(0)
}

/// Asserts that scores of layer 0, made of circuits, are those that its patterns come from.
fn check_scores(pattern: &Array, head: usize, score: &dyn Fn(usize, usize) -> f64, what: &str) {
    let n = pattern.shape[1];
    let pattern = pattern.outer(head);
    for query in 0..n {
        for key in 0..=query {
            let apart = score(query, key) - score(query, 0) - of_pattern(pattern, n, query, key);
            assert!(apart.abs() < 2e-4, "{what}: head {head} {query} {key}: {apart}");
        }
    }
}

#[test]
fn the_parts_of_tokens_and_positions_add_up_to_the_scores_of_attention() {
    let bare = ["model.norm=none", "model.final_norm=false", "task.length=6", "model.layers=1"];
    for positions in ["learned", "sinusoidal"] {
        let positions = format!("model.positions={positions}");
        let settings = [&bare[..], &[&positions]].concat();
        let mut asked = Asked::with_numbers(&settings, &|name| name == "pos");
        let attention = asked.ask(&MeasurementCall::new("attention"), &TOKENS);
        for head in 0..2 {
            let found = asked.ask(&circuits(0, head), &TOKENS);
            let at = |name: &str, row: usize, column: usize| {
                f64::from(array(&found, name).outer(row)[column])
            };
            let score = |query: usize, key: usize| {
                let [t, s] = [query, key].map(|i| TOKENS[i] as usize);
                at("qk", t, s)
                    + at("position_position", query, key)
                    + at("token_position", t, key)
                    + at("position_token", query, s)
            };
            check_scores(array(&attention, "pattern.layer0"), head, &score, &positions);
        }
    }
}

/// Of a network whose stream is the embedding of the token alone, behind a norm without a bias: what the norm divides by is told by the token.
fn rotated(ask: &mut dyn FnMut(&MeasurementCall, &[u32]) -> Reading, heads: usize, tokens: &[u32]) {
    let scales: Vec<f64> = tokens
        .iter()
        .map(|token| ask(&circuits(0, 0), &[*token]).number("norm_scale").unwrap())
        .collect();
    let attention = ask(&MeasurementCall::new("attention"), tokens);
    for head in 0..heads {
        let by_distance: Vec<Reading> = (0..tokens.len())
            .map(|distance| ask(&circuits(0, head).with("distance", distance as i64), tokens))
            .collect();
        let held = by_distance[0].number("norm_scale").unwrap();
        let place = |token: u32| {
            let of = &array(&by_distance[0], "tokens").data;
            of.iter().position(|id| *id == token as f32).unwrap()
        };
        let score = |query: usize, key: usize| {
            let qk = array(&by_distance[query - key], "qk");
            let value = qk.outer(place(tokens[query]))[place(tokens[key])];
            f64::from(value) * scales[query] * scales[key] / (held * held)
        };
        check_scores(array(&attention, "pattern.layer0"), head, &score, "rotated");
    }
}

#[test]
fn rotated_scores_are_those_at_their_distance_whatever_norms_divide_by() {
    let settings = ["model.positions=rotary", "model.norm=rms", "model.biases=false"];
    let settings = [&settings[..], &["task.length=6"]].concat();
    let mut asked = Asked::with_numbers(&settings, &|_| false);
    rotated(&mut |call, tokens| asked.ask(call, tokens), 2, &TOKENS);
}

fn golden(name: &str, ids: &[u32]) -> RunAt {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models").join(name);
    let question = Question { ids: Some(ids.to_vec()), ..Question::default() };
    RunAt::open(&folder, &question).unwrap()
}

fn asked_of(name: &str, call: &MeasurementCall, ids: &[u32]) -> Reading {
    let readings = golden(name, ids).ask(std::slice::from_ref(call)).unwrap();
    readings.get(call).unwrap().as_ref().unwrap().as_ref().clone()
}

/// Heads of keys are shared by heads of queries there, and half of the coordinates is turned with the other half.
#[test]
fn the_same_holds_of_networks_of_other_programs() {
    for name in ["llama", "llama3"] {
        let heads = golden(name, &[5]).instrument.layout().heads[0];
        rotated(&mut |call, ids| asked_of(name, call, ids), heads, &[5, 9, 17, 5, 3]);
    }
}

#[test]
fn every_network_of_another_program_has_circuits_or_says_what_is_missing() {
    let names = ["gemma", "gemma2", "gemma3", "gpt2", "gpt_neo", "gpt_neox", "llama3", "opt"];
    for name in names.iter().chain(&["qwen2", "qwen3", "variants/tl_solu_2l"]) {
        let found = asked_of(name, &circuits(1, 1).with("tokens", 2), &[5, 9, 17, 5, 9]);
        assert_eq!(*array(&found, "tokens").data, [5.0, 9.0], "{name}: tokens of the sequence");
        for array in &found.arrays {
            let is_of_heads = array.axis_names() == ["layer", "head"];
            let known = array.data.iter().filter(|x| x.is_finite()).count();
            assert!(known > 0 && (is_of_heads || known == array.data.len()), "{name}: {array:?}");
        }
        let reads_alone = found.notes.iter().any(|note| note.contains("no OV circuit"));
        assert_eq!(found.array("ov").is_none(), reads_alone, "{name}");
        assert_eq!(reads_alone, ["gemma2", "gemma3"].contains(name), "{name}");
        assert_eq!(found.array("copying").is_none(), reads_alone, "{name}");
    }
}

/// Over one position a head attends to nothing but itself.
#[test]
fn over_one_position_direct_path_and_ov_circuits_add_up_to_the_logits() {
    for norm in ["none", "rms", "layer"] {
        let norm = format!("model.norm={norm}");
        let settings = ["model.positions=none", "model.layers=1", "model.biases=false", &norm];
        // Biases of norms stay 0.
        let mut asked = Asked::with_numbers(&settings, &|name| name.ends_with("bias"));
        for token in 0..5 {
            let predictions = asked.ask(&MeasurementCall::new("predictions"), &[token]);
            let found = [0, 1].map(|head| asked.ask(&circuits(0, head), &[token]));
            let row = |reading: &Reading, name: &str, to: usize| {
                f64::from(array(reading, name).outer(token as usize)[to])
            };
            let logits: Vec<f64> = (0..5)
                .map(|to| {
                    row(&found[0], "direct", to)
                        + row(&found[0], "ov", to)
                        + row(&found[1], "ov", to)
                })
                .collect();
            let sum: f64 = logits.iter().map(|x| x.exp()).sum();
            let (ids, shares) = (array(&predictions, "token"), array(&predictions, "probability"));
            for (id, share) in ids.data.iter().zip(&*shares.data) {
                let expected = logits[*id as usize].exp() / sum;
                assert!((f64::from(*share) - expected).abs() < 1e-5, "{norm} {token} {id}");
            }
        }
    }
}

#[test]
fn the_eigenvalues_are_those_of_the_whole_matrix_between_tokens() {
    let mut asked = Asked::with_numbers(&["task.numbers=9", "model.layers=1"], &|_| false);
    let found = asked.ask(&circuits(0, 1), &[4, 1, 2]);
    let ov: Vec<f64> = array(&found, "ov").data.iter().map(|x| f64::from(*x)).collect();
    let whole = eigenvalues(&ov, 9).unwrap();
    let expected: Vec<f64> = whole.iter().take(4).flat_map(|z| [z.re, z.im]).collect();
    assert_near(&array(&found, "eigenvalues").data, &expected, 1e-4, "eigenvalues");
    assert!(whole[4].abs() < 1e-5, "a head of four numbers has rank 4");
    let (sum, sizes) =
        whole.iter().fold((0.0, 0.0), |(sum, sizes), z| (sum + z.re, sizes + z.abs()));
    assert!((found.number("copying_of_head").unwrap() - sum / sizes).abs() < 1e-4);
}

/// `W_OV` is the identity and the unembedding the embedding: each token raises itself most, or lowers itself most.
#[test]
fn a_head_that_copies_has_a_score_of_one_and_one_that_does_the_opposite_of_minus_one() {
    let copies = ["model.heads=1", "model.values=identity", "model.tied=true", "model.layers=1"];
    let bare = ["model.norm=none", "model.final_norm=false", "model.biases=false"];
    for (sign, expected) in [(1.0, 1.0), (-1.0, -1.0)] {
        let mut asked = Asked::of(&[&copies[..], &bare].concat());
        let identity = asked.weights.tensors.iter().map(|tensor| match &*tensor.name {
            "layer0.wo" => {
                let entry = |i: usize| if i / 8 == i % 8 { sign } else { 0.0 };
                NamedTensor { data: (0..64).map(entry).collect(), ..tensor.clone() }
            }
            _ => tensor.clone(),
        });
        asked.weights = Weights::new(0, identity.collect());
        let found = asked.ask(&circuits(0, 0), &[4, 1, 2]);
        assert!((found.number("copying_of_head").unwrap() - expected).abs() < 1e-5, "{found:?}");
    }
}

/// Drawn at random, heads read each other as matrices that were turned at random do.
#[test]
fn composition_at_random_is_what_is_said() {
    let settings = ["model.layers=4", "model.width=32", "model.heads=4", "model.norm=none"];
    let mut asked = Asked::of(&[&settings[..], &["model.final_norm=false"]].concat());
    let (mut squares, mut count) = (0.0, 0.0);
    let mut expected = 0.0;
    for head in 0..4 {
        let found = asked.ask(&circuits(3, head), &[4, 1, 2]);
        expected = found.number("composition_at_random").unwrap();
        for name in ["q_composition", "k_composition", "v_composition"] {
            for value in array(&found, name).data.iter().filter(|x| x.is_finite()) {
                (squares, count) = (squares + f64::from(*value).powi(2), count + 1.0);
            }
        }
    }
    assert_eq!(count, 144.0);
    assert!((expected - 32f64.sqrt().recip()).abs() < 1e-12);
    assert!(((squares / count).sqrt() / expected - 1.0).abs() < 0.05, "{}", squares / count);
}

#[test]
fn of_a_large_vocabulary_the_tokens_of_the_sequence_are_shown_once_each() {
    let mut asked = Asked::of(&["task.numbers=40", "task.length=6"]);
    let call = circuits(0, 0).with("tokens", 3).with("positions", 4);
    let found = asked.ask(&call, &[7, 30, 7, 5, 39, 1]);
    assert_eq!(*array(&found, "tokens").data, [7.0, 30.0, 5.0]);
    assert_eq!(array(&found, "qk").shape, [3, 3]);
    assert_eq!(array(&found, "ov").shape, [3, 3]);
    assert_eq!(array(&found, "position_position").shape, [4, 4]);
    assert_eq!(array(&found, "token_position").shape, [3, 4]);
    assert_eq!(array(&found, "position_token").shape, [4, 3]);
}

#[test]
fn what_has_no_circuits_says_so() {
    let mut asked = Asked::of(&[]);
    let source = asked.instrument.source();
    let prompt = Arc::new(source.sequence(0, 0));
    let mut refused = |call: MeasurementCall, expected: &str| {
        let calls = [call];
        let readings = asked.instrument.examine(&asked.weights, &prompt, &[], &calls).unwrap();
        let error = readings.get(&calls[0]).unwrap().as_ref().unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    };
    refused(circuits(0, 2), "that layer has 2 heads");
    refused(circuits(5, 0), "that layer has 0 heads");
    refused(circuits(0, 0).with("distance", 3), "this network reads 3 positions");
}

/// Every network of ours that attends says what its heads read.
#[test]
fn every_network_with_heads_has_circuits() {
    for (task, model, more) in [
        ("bigram", "birth", &["task.length=20", "model.width=16"][..]),
        ("bigram", "birth", &["task.length=20", "model.width=16", "model.positions=rotary"]),
        ("copy", "memory_tokens", &["train.segment=6", "task.segment=6"]),
        ("copy", "transformer_xl", &["train.segment=6", "task.segment=6"]),
        ("passkey", "feedback", &["train.segment=8"]),
    ] {
        let mut experiment = Experiment::of("asked", task, model).unwrap();
        experiment.set_texts(more.iter().copied()).unwrap();
        let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
        let mut asked = Asked { instrument: Instrument::new(&experiment).unwrap(), weights };
        let tokens = asked.instrument.source().sequence(0, 0).tokens;
        for layer in 0..2 {
            let found = asked.ask(&circuits(layer, 0), &tokens);
            for name in ["qk", "ov", "direct", "eigenvalues"] {
                let finite = array(&found, name).data.iter().all(|x| x.is_finite());
                assert!(finite, "{model}: {name}");
            }
        }
    }
}

/// The scores of the first layer of `birth`, whose queries are the stream itself.
#[test]
fn queries_that_are_the_stream_itself_are_read_so() {
    let mut experiment = Experiment::of("asked", "bigram", "birth").unwrap();
    experiment.set_texts(["task.length=6", "model.width=16"]).unwrap();
    let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
    let mut asked = Asked { instrument: Instrument::new(&experiment).unwrap(), weights };
    let tokens: Vec<u32> = vec![10, 3, 7, 3, 10, 0];
    let attention = asked.ask(&MeasurementCall::new("attention"), &tokens);
    let found = asked.ask(&circuits(0, 0), &tokens);
    let at =
        |name: &str, row: usize, column: usize| f64::from(array(&found, name).outer(row)[column]);
    let score = |query: usize, key: usize| {
        let [t, s] = [query, key].map(|i| tokens[i] as usize);
        at("qk", t, s)
            + at("position_position", query, key)
            + at("token_position", t, key)
            + at("position_token", query, s)
    };
    check_scores(array(&attention, "pattern.layer0"), 0, &score, "birth");
    let wk = asked.tensor("layer0.wk");
    assert_eq!(wk.len(), 256, "one matrix says what is looked for");
}

/// Those of `tests/python/circuits_reference.py` with numpy 2.4.6.
const NUMPY: [(&str, &[f64]); 6] = [
    (
        "qk",
        &[
            0.098453, 0.155509, 0.091102, 0.110448, 0.053687, 0.057819, 0.032231, 0.003144,
            0.079692, -0.025294, 0.175783, 0.148870, 0.273324, 0.091640, 0.442344, -0.024266,
            -0.027402, 0.159300, -0.011657, 0.253049, 0.316694, 0.417406, 0.473088, 0.177617,
            0.664890,
        ],
    ),
    (
        "position_position",
        &[
            0.045840, 0.106602, -0.065244, 0.000894, -0.012613, -0.129067, 0.003152, 0.007723,
            0.035570,
        ],
    ),
    (
        "token_position",
        &[
            -0.037249, -0.080197, -0.080777, -0.006480, 0.006117, 0.015799, -0.003213, -0.008657,
            -0.209281, 0.037049, 0.035285, -0.147899, -0.066882, -0.165864, -0.402742,
        ],
    ),
    (
        "position_token",
        &[
            0.046725, -0.068199, 0.116666, -0.028721, 0.299517, 0.062551, 0.067894, 0.152038,
            0.006750, 0.257777, -0.028806, -0.030383, -0.044202, -0.012022, -0.070596,
        ],
    ),
    (
        "ov",
        &[
            -0.043748, -0.079514, 0.094097, -0.131726, -0.092729, 0.094502, -0.275885, 0.105668,
            -0.166885, -0.107605, -0.042192, 0.032291, 0.010574, 0.009441, 0.011677, -0.086039,
            0.102322, -0.030369, 0.054714, -0.045060, -0.180912, 0.237924, 0.004124, 0.038855,
            0.046957,
        ],
    ),
    (
        "direct",
        &[
            -0.291370, 0.380714, -0.251183, 0.167422, 0.109450, -0.221730, 0.007473, -0.198045,
            -0.022388, 0.152928, -0.255902, 0.431284, -0.222830, 0.457229, -0.013286, 0.216248,
            -0.119273, -0.149776, -0.105208, -0.113288, 0.135765, 0.107392, -0.132146, 0.363566,
            -0.182709,
        ],
    ),
];
const NUMPY_EIGENVALUES: [f64; 8] =
    [-0.147009, 0.076495, -0.147009, -0.076495, 0.043315, 0.024459, 0.043315, -0.024459];
const NUMPY_SCALES: [f64; 2] = [2.815408, 1.505920];
const NUMPY_COPYING: [f64; 4] = [0.194262, 0.187476, -0.152136, -0.481260];
const NUMPY_COMPOSITIONS: [[f64; 3]; 2] =
    [[0.324031, 0.409494, 0.402479], [0.296587, 0.450479, 0.303987]];
/// Of `np.linalg.eigvals(np.sin(0.37 * i * i + 1.3 * i).reshape(6, 6))`, `i = np.arange(36)`.
const EIGENVALUES: [(f64, f64); 6] = [
    (2.1075670759, 0.0000000000),
    (0.2073848572, 1.4361797941),
    (0.2073848572, -1.4361797941),
    (-0.9359307220, 0.0000000000),
    (0.6958804981, 0.0000000000),
    (0.3266852530, 0.0000000000),
];
