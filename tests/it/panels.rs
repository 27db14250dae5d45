//! Panels: what each draws from given answers, and what it says when there are none.

use std::collections::BTreeSet;
use std::sync::Arc;

use egui_kittest::kittest::{NodeT, Queryable};
use mnemoscope::app::panes::curves;
use mnemoscope::base::array::Array;
use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::base::error::Error;
use mnemoscope::base::event::{self, MarkKind, MetricsRow};
use mnemoscope::base::intervention::Point;
use mnemoscope::base::question::{Analyzed, Found, MeasurementCall, Reading, Readings};
use mnemoscope::base::registry::find;
use mnemoscope::base::settings::{self, Slot};
use mnemoscope::base::vocab::{Tokenizer, Vocab};
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::figure::clip;
use mnemoscope::figure::cloud::project;
use mnemoscope::figure::color::Color;
use mnemoscope::figure::font;
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::pick::pick;
use mnemoscope::figure::scale::{Scale as Ruler, number};
use mnemoscope::figure::scene::{AreaPick, Item, Scene};
use mnemoscope::figure::style::Style;
use mnemoscope::figure::thin::thinned;
use mnemoscope::figure::{
    Along, Anchor, Cell, Cloud, Dash, Figure, Heat, Mark, Pick, Plot, Sample, Ticks,
};
use mnemoscope::figure::{numbers, table};
use mnemoscope::measurement::causal::patching;
use mnemoscope::numeric::geometry::{QueriesKeys, Scale, arrange, centered, pca};
use mnemoscope::panel::attention::induction_keys;
use mnemoscope::panel::compare::Compares;
use mnemoscope::panel::{
    self, Beside, Memory, MemorySlot, NetShape, Palette, Panel, Selection, View, describe,
};
use mnemoscope::run::expectation::{self, Expectation};
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::sweep::Sweep;

use crate::npz;

const LIGHT: Palette = Palette {
    dark: false,
    paper: Color::rgb(255, 255, 255),
    ink: Color::rgb(25, 25, 28),
    faint: Color::rgb(120, 120, 125),
    accent: Color::rgb(0, 114, 178),
};

/// Everything that a view borrows.
pub(super) struct World {
    net: NetShape,
    vocab: Vocab,
    roles: Vec<&'static str>,
    runs: Vec<(String, Arc<Recording>)>,
    sweep: Option<Sweep>,
    step: Option<u64>,
    pub(super) readings: Option<Readings>,
    before: Option<Readings>,
    failure: Option<String>,
    analyzed: Analyzed,
    pub(super) selection: Selection,
    palette: Palette,
    size: [f32; 2],
}

impl World {
    /// The network `birth` with its induction head formed, asked about a short text.
    pub(super) fn new() -> Self {
        Self::of_text("the cat and the hat and the bat, the rat", 7)
    }

    /// `skew` varies the answers.
    pub(super) fn of_text(text: &str, skew: usize) -> Self {
        let vocab = Vocab::new(('a'..='z').chain([' ', ',', '\n']).map(String::from).collect());
        let tokens = vocab.encode(text).unwrap();
        let prompt = Arc::new(labelled(&tokens, &vocab));
        let net = NetShape {
            kind: "birth".to_owned(),
            heads: vec![1, 1],
            vocab: vocab.len(),
            answers: vocab.len(),
            length: 64,
            segment: 0,
            reals: false,
            is_read: false,
        };
        let selection =
            Selection { layer: 1, head: 0, query: Some(12), key: Some(4), ..Selection::default() };
        let mut world = Self {
            net,
            vocab,
            roles: vec!["trigger", "output"],
            runs: vec![("birth".to_owned(), Arc::new(run(300)))],
            sweep: Some(super::sweep::drawn()),
            step: Some(200),
            readings: None,
            before: None,
            failure: None,
            analyzed: Analyzed::default(),
            selection,
            palette: LIGHT,
            size: [420.0, 320.0],
        };
        world.readings = Some(Readings {
            step: 200,
            prompt,
            interventions: Vec::new(),
            weights: weights(1.0),
            by_call: std::collections::BTreeMap::new(),
        });
        for entry in panel::ALL {
            for call in (entry.make)().analyses(&world.net, &world.selection) {
                world.analyze(&call);
            }
        }
        world.answer(&MeasurementCall::new("attention"), attention(&tokens));
        world.answer(&MeasurementCall::new("predictions"), predictions(&tokens, world.vocab.len()));
        world.answer(&MeasurementCall::new("logit_lens"), lens(&tokens, world.vocab.len()));
        for call in world.panel("attribution").needs(&world.net, &world.selection) {
            world.answer(&call, attribution(&tokens));
        }
        world.answer(&MeasurementCall::new("gating"), gating());
        for call in world.panel("memories").needs(&world.net, &world.selection) {
            world.answer(&call, memories(world.vocab.len(), 64));
        }
        for call in world.panel("circuits").needs(&world.net, &world.selection) {
            world.answer(&call, circuits(world.vocab.len(), 12));
        }
        for call in world.panel("in_context_errors").needs(&world.net, &world.selection) {
            world.answer(&call, in_context_errors());
        }
        for call in world.panel("working_memory").needs(&world.net, &world.selection) {
            world.answer(&call, working_memory(tokens.len(), world.selection.layer));
        }
        for call in world.panel("tree").needs(&world.net, &world.selection) {
            if call.measurement == "tree_view" {
                world.answer(&call, tree_view());
            }
        }
        for call in world.panel("query_key").needs(&world.net, &world.selection) {
            if call.measurement == "query_key" {
                world.answer(&call, query_key(&tokens, 3, 8, skew));
            }
        }
        world
    }

    fn answer(&mut self, call: &MeasurementCall, reading: Reading) {
        let readings = self.readings.as_mut().unwrap();
        readings.by_call.insert(call.key(), Ok(Arc::new(reading)));
    }

    /// Answers a long question, half of it.
    fn analyze(&mut self, call: &MeasurementCall) {
        let reading = match call.measurement.as_str() {
            "patching" => patching(call, &self.readings.as_ref().unwrap().prompt.tokens),
            "path" => paths(&self.readings.as_ref().unwrap().prompt.tokens),
            "tracing" => traced(&self.readings.as_ref().unwrap().prompt.tokens),
            "tree_scrubbing" => scrubbed(),
            "length" => lengths(),
            "stored" => stored(),
            "automaton" => automaton(self.readings.as_ref().unwrap().prompt.len()),
            "readers" => readers(call),
            "head_scores" => head_scores(&self.net.heads),
            other => panic!("no answer to {other}"),
        };
        let reading = Some(Ok(Arc::new(reading)));
        let found = Found { step: 200, done: 5, total: 10, reading, ended: false };
        self.analyzed.by_call.insert(call.key(), found);
    }

    /// Changes every long answer.
    fn reanalyze(&mut self, change: impl Fn(&mut Reading)) {
        for found in self.analyzed.by_call.values_mut() {
            let mut reading = (**found.reading.as_ref().unwrap().as_ref().unwrap()).clone();
            change(&mut reading);
            found.reading = Some(Ok(Arc::new(reading)));
        }
    }

    fn refuse(&mut self, call: &MeasurementCall, why: &str) {
        let readings = self.readings.as_mut().unwrap();
        readings.by_call.insert(call.key(), Err(Error::usage(why)));
    }

    pub(super) fn panel(&self, name: &str) -> Box<dyn Panel> {
        find("panel", panel::ALL, name).unwrap()
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            net: &self.net,
            vocab: &self.vocab,
            roles: &self.roles,
            runs: &self.runs,
            sweep: self.sweep.as_ref(),
            step: self.step,
            live: true,
            readings: self.readings.as_ref(),
            before: self.before.as_ref(),
            beside: &[],
            against: None,
            failure: self.failure.as_deref(),
            analyzed: &self.analyzed,
            selection: &self.selection,
            palette: self.palette,
            size: self.size,
        }
    }

    fn figure(&self, name: &str) -> Figure {
        let (panel, other) = (self.panel(name), Self::other());
        let compares = panel::ALL.iter().find(|kind| kind.name == name).unwrap().compares;
        match compares {
            Compares::Itself => panel.figure(&View { against: Some(&other.view()), ..self.view() }),
            Compares::Parts | Compares::Together | Compares::Never => panel.figure(&self.view()),
        }
    }

    /// Another network on the same text: its attention is even.
    pub(super) fn other() -> Self {
        let mut other = Self::new();
        let tokens = other.readings.as_ref().unwrap().prompt.tokens.clone();
        let length = tokens.len();
        let even = |i: usize| {
            let (query, key) = (i / length % length, i % length);
            if key > query { 0.0 } else { 1.0 / (query + 1) as f32 }
        };
        let arrays = ["pattern.layer0", "pattern.layer1"].map(|name| {
            let data = (0..length * length).map(even).collect();
            array(name, &["head", "query", "key"], &[1, length, length], data)
        });
        let reading = Reading { arrays: arrays.into(), ..Reading::default() };
        other.answer(&MeasurementCall::new("attention"), reading);
        let readings = other.readings.as_mut().unwrap();
        readings.step = 100;
        readings.weights = weights(0.5);
        other
    }

    fn figure_with(&self, name: &str, settings: &[(&str, &str)]) -> Figure {
        let mut panel = self.panel(name);
        for (setting, value) in settings {
            settings::set(&mut *panel, "", setting, &settings::parse_value(value)).unwrap();
        }
        panel.figure(&self.view())
    }
}

/// Two tensors whose numbers are as large as said.
fn weights(size: f32) -> Weights {
    let tensor = |name: &str, count: u8| NamedTensor {
        name: name.into(),
        shape: vec![count.into()],
        data: (0..count).map(|i| size * f32::from(i)).collect(),
        trained: true,
    };
    Weights::new(0, vec![tensor("layer0.wk", 5), tensor("layer1.wk", 7)])
}

/// Spaces are triggers; what follows them is their output.
fn labelled(tokens: &[u32], vocab: &Vocab) -> Row {
    let mut seen = 0;
    let mut row = Row { tokens: tokens.to_vec(), ..Row::default() };
    for (i, &id) in tokens.iter().enumerate() {
        let trigger = vocab.text(id) == " ";
        seen += u16::from(trigger);
        row.targets.push(tokens.get(i + 1).copied().unwrap_or(NO_TARGET));
        let output = i > 0 && vocab.text(tokens[i - 1]) == " ";
        row.roles.push(u8::from(trigger) | (u8::from(output) << 1));
        row.occurrence.push(if trigger { seen } else { 0 });
    }
    row
}

fn array(name: &str, axes: &[&str], shape: &[usize], data: Vec<f32>) -> Array {
    Array::new(name, axes, shape, data).unwrap()
}

/// Layer 0 looks at the previous token, layer 1 after earlier copies, both with some attention elsewhere.
fn attention(tokens: &[u32]) -> Reading {
    let n = tokens.len();
    let rows = |favoured: &dyn Fn(usize) -> Vec<usize>| -> Vec<f32> {
        let mut values = vec![0.0; n * n];
        for query in 0..n {
            let keys = favoured(query);
            let spread = if keys.is_empty() { 1.0 } else { 0.2 };
            for key in 0..=query {
                values[query * n + key] = spread / (query + 1) as f32;
            }
            for &key in &keys {
                values[query * n + key] += 0.8 / keys.len() as f32;
            }
        }
        values
    };
    let previous = rows(&|query| query.checked_sub(1).into_iter().collect());
    let induction = rows(&|query| induction_keys(tokens, query));
    let axes = ["head", "query", "key"];
    Reading {
        arrays: vec![
            array("pattern.layer0", &axes, &[1, n, n], previous),
            array("pattern.layer1", &axes, &[1, n, n], induction),
        ],
        ..Reading::default()
    }
}

fn predictions(tokens: &[u32], vocab: usize) -> Reading {
    let n = tokens.len();
    let target = |i: usize| tokens.get(i + 1).map_or(f32::NAN, |&t| t as f32);
    let right = |i: usize| 0.05 + 0.9 * (i as f32 / n as f32);
    let mut token = Vec::new();
    let mut probability = Vec::new();
    for i in 0..n {
        let first = tokens.get(i + 1).copied().unwrap_or(0);
        token.extend((0..5).map(|k| ((first + k * 3) % vocab as u32) as f32));
        probability.extend((0..5).map(|k| right(i) * 0.5f32.powi(k)));
    }
    let shares: Vec<f32> = (0..n).map(|i| if i + 1 < n { right(i) } else { f32::NAN }).collect();
    let loss = shares.iter().map(|p| -p.ln()).collect();
    Reading {
        arrays: vec![
            array("probability", &["pos", "rank"], &[n, 5], probability),
            array("token", &["pos", "rank"], &[n, 5], token),
            array("loss", &["pos"], &[n], loss),
            array("target_probability", &["pos"], &[n], shares),
            array("target", &["pos"], &[n], (0..n).map(target).collect()),
        ],
        ..Reading::default()
    }
}

/// From one boundary to the next the right token becomes likelier.
fn lens(tokens: &[u32], vocab: usize) -> Reading {
    let n = tokens.len();
    let right = |boundary: usize, i: usize| {
        0.02 + 0.9 * (i as f32 / n as f32) * (boundary as f32 / 2.0).powi(2)
    };
    let (mut token, mut probability, mut target, mut kl) = (vec![], vec![], vec![], vec![]);
    for boundary in 0..3 {
        for i in 0..n {
            let next = tokens.get(i + 1).copied();
            let first = next.map_or(0, |t| t + 2 * (2 - boundary) as u32);
            token.extend((0..5).map(|k| ((first + k * 3) % vocab as u32) as f32));
            probability.extend((0..5).map(|k| right(boundary, i) * 0.5f32.powi(k)));
            target.push(next.map_or(f32::NAN, |_| right(boundary, i).ln()));
            kl.push((2 - boundary) as f32 * (1.0 + (i as f32).sin().abs()));
        }
    }
    let (ranked, along) = (["boundary", "pos", "rank"], ["boundary", "pos"]);
    Reading {
        arrays: vec![
            array("token", &ranked, &[3, n, 5], token),
            array("probability", &ranked, &[3, n, 5], probability),
            array("target_log_probability", &along, &[3, n], target),
            array("kl", &along, &[3, n], kl),
        ],
        ..Reading::default()
    }
}

/// The head of layer 1 adds most, from where its query's token stood before.
fn attribution(tokens: &[u32]) -> Reading {
    let n = tokens.len();
    let along = |name: &str, of: &dyn Fn(usize) -> f32| {
        array(name, &["pos"], &[n], (0..n).map(of).collect())
    };
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let fetched = |i: usize| if induction_keys(tokens, 12).contains(&i) { 1.4 } else { 0.02 };
    let sources = |of: &dyn Fn(usize) -> f32| (0..n).map(of).collect();
    let row = ["head", "key"];
    Reading {
        arrays: vec![
            along("embedding", &|i| 0.5 * wave(i)),
            array(
                "heads.layer0",
                &["head", "pos"],
                &[1, n],
                (0..n).map(|i| -0.3 * wave(i)).collect(),
            ),
            array(
                "sources.layer0",
                &row,
                &[1, n],
                sources(&|i| if i < 13 { -0.1 * wave(i) } else { 0.0 }),
            ),
            array(
                "heads.layer1",
                &["head", "pos"],
                &[1, n],
                (0..n).map(|i| 2.0 + wave(i)).collect(),
            ),
            array("sources.layer1", &row, &[1, n], sources(&fetched)),
            along("mlp.layer1", &|i| -0.8 * wave(i + 2)),
            along("constant", &|_| 0.0),
            along("logit", &|i| 2.0 + 1.2 * wave(i) - 0.8 * wave(i + 2)),
            along("rest", &|_| 0.0),
            along("token", &|i| tokens.get(i + 1).map_or(f32::NAN, |t| *t as f32)),
            along("against", &|i| tokens.get(i + 1).map_or(f32::NAN, |t| ((t + 3) % 29) as f32)),
        ],
        ..Reading::default()
    }
}

/// Five places in the stream of two layers, the last of them not known yet.
fn readers(call: &MeasurementCall) -> Reading {
    let kind = call.settings.iter().find(|(name, _)| name == "kind").unwrap().1.as_str().unwrap();
    let names: &[&str] = match kind {
        "tuned-lens" | "token-lens" => &["accuracy", "kl", "logit_lens_accuracy", "logit_lens_kl"],
        "leace" => {
            &["accuracy", "before_accuracy", "constant_accuracy", "network_accuracy", "rank"]
        }
        _ => {
            &["accuracy", "macro_f1", "shuffled_accuracy", "shuffled_macro_f1", "constant_accuracy"]
        }
    };
    let place = |name: &str, data: [f32; 5]| array(name, &["place"], &[5], data.to_vec());
    let point = |wanted: &str| Point::ALL.iter().position(|(_, name)| *name == wanted).unwrap();
    let points = ["resid_pre", "resid_mid", "resid_pre", "resid_mid", "resid_post"];
    let mut arrays = vec![
        place("layer", [0.0, 0.0, 1.0, 1.0, 1.0]),
        place("point", points.map(|name| point(name) as f32)),
    ];
    for (i, name) in names.iter().enumerate() {
        let scale = 1.0 / (i + 1) as f32;
        arrays.push(place(name, [0.2, 0.5, 0.6, 0.9, f32::NAN].map(|score| score * scale)));
    }
    let counts = [("train_examples", 2048.0), ("test_examples", 1024.0)];
    Reading {
        arrays,
        numbers: counts.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..Reading::default()
    }
}

/// Two layers and three lengths of paths; the last cell is not known yet.
/// Two layers, a subject of two tokens from position 1 on, and what restores the answer behind position 4.
fn traced(tokens: &[u32]) -> Reading {
    let ids = |ids: &[u32]| ids.iter().map(|id| *id as f32).collect::<Vec<f32>>();
    let map = |name: &str, columns: usize, by: f32| {
        let axis = if name.starts_with("mean") { "place" } else { "position" };
        let cell = |at: usize| match (at / columns, at % columns) {
            (1, column) if column + 1 == columns => f32::NAN,
            (layer, column) => 0.1 + by * (layer * column) as f32,
        };
        array(name, &["layer", axis], &[2, columns], (0..2 * columns).map(cell).collect())
    };
    let kinds = [("state", 0.2), ("mlp", 0.1), ("attention", 0.05)];
    let maps = kinds.iter().map(|(kind, by)| map(&format!("trace.{kind}"), 5, *by));
    let means = kinds.iter().map(|(kind, by)| map(&format!("mean.{kind}"), 6, *by));
    let of_prompt = [
        array("tokens", &["position"], &[5], ids(&tokens[..5])),
        array("subject", &["token"], &[2], vec![1.0, 2.0]),
        array("answer", &["one"], &[1], ids(&tokens[5..6])),
    ];
    let numbers = [("prompts", 32.0), ("probability", 0.9), ("probability_corrupted", 0.1)];
    let focus = [("focus", 0.95), ("focus_corrupted", 0.1), ("window", 1.0), ("noise_std", 1.5)];
    Reading {
        arrays: maps.chain(means).chain(of_prompt).collect(),
        numbers: numbers.into_iter().chain(focus).map(|(name, x)| (name.to_owned(), x)).collect(),
        notes: Vec::new(),
    }
}

fn scrubbed() -> Reading {
    let cells = vec![100.0, 96.0, 71.0, 98.0, -150.0, f32::NAN];
    Reading {
        arrays: vec![array("recovered.H1", &["layer", "length"], &[2, 3], cells)],
        numbers: vec![("trees".to_owned(), 50.0)],
        notes: vec!["3 of 250 pairs are left out: 3 because the base run is wrong.".to_owned()],
    }
}

/// Accuracy at half, once and four times the length of training: a shortcut.
fn lengths() -> Reading {
    let of = |name: &str, data: &[f32]| array(name, &["value"], &[3], data.to_vec());
    let places = (0..3).flat_map(|value| {
        let length = [2, 4, 16][value];
        (0..16).map(move |at| if at < length { 1.0 - 0.03 * at as f32 } else { f32::NAN })
    });
    let numbers = [("trained", 4.0), ("trained_positions", 4.0), ("chance", 0.5)];
    Reading {
        arrays: vec![
            of("value", &[2.0, 4.0, 16.0]),
            of("positions", &[2.0, 4.0, 16.0]),
            of("accuracy", &[1.0, 0.96, 0.6]),
            of("last", &[1.0, 0.9, 0.5]),
            of("whole", &[1.0, 0.8, 0.0]),
            array("by_position", &["value", "position"], &[3, 16], places.collect()),
        ],
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..Reading::default()
    }
}

#[test]
fn several_runs_are_drawn_into_one_picture_of_length_and_who_has_not_answered_is_named() {
    let mut world = World::new();
    let panel = world.panel("length");
    let calls = panel.analyses(&world.net, &world.selection);
    world.analyze(&calls[0]);
    let mut worse = lengths();
    worse.arrays[2].data = vec![1.0, 0.7, 0.3].into();
    // Its middle length is another one.
    worse.arrays[1].data = vec![2.0, 8.0, 16.0].into();
    let mut answered = Analyzed::default();
    let found =
        |reading| Found { step: 90, done: 1, total: 1, reading: Some(reading), ended: true };
    answered.by_call.insert(calls[0].key(), found(Ok(Arc::new(worse))));
    let mut refused = Analyzed::default();
    refused.by_call.insert(calls[0].key(), found(Err(Error::usage("it reads 4 positions"))));
    let beside = |name: &str, analyzed: Analyzed| Beside { name: name.to_owned(), analyzed };
    let beside = [
        beside("worse", answered),
        beside("silent", Analyzed::default()),
        beside("refuses", refused),
    ];
    let alone = panel.figure(&world.view());
    let drawn = panel.figure(&View { beside: &beside, ..world.view() });
    let curves = |figure: &Figure| -> Vec<Vec<[f64; 2]>> {
        let marks = figure.plots[0].marks.iter();
        marks
            .filter_map(|mark| {
                let Mark::Line { name, points, .. } = mark else { return None };
                (name == "accuracy").then(|| points.to_vec())
            })
            .collect()
    };
    assert_eq!(curves(&alone).len(), 1);
    assert_eq!(curves(&drawn).len(), 2);
    let ends: Vec<f64> = curves(&drawn).iter().map(|curve| curve[2][1]).collect();
    assert!(ends.contains(&f64::from(0.3f32)) && ends.contains(&f64::from(0.6f32)), "{ends:?}");
    let names: Vec<&str> = drawn.plots[0].legend.iter().map(|entry| &*entry.text).collect();
    assert!(names.contains(&"birth") && names.contains(&"worse"), "{names:?}");
    for said in ["silent has not answered yet.", "refuses: it reads 4 positions."] {
        assert!(drawn.caption.contains(said), "{}", drawn.caption);
    }
    assert!(drawn.caption.contains("worse: 100 % right at 2 positions, 30 % at 16 positions"));
    let hovers: Vec<&str> = drawn.plots[0]
        .marks
        .iter()
        .filter_map(|mark| if let Mark::Cells(cells) = mark { Some(cells) } else { None })
        .flatten()
        .map(|cell| &*cell.hover)
        .collect();
    let told = |length: &str| hovers.iter().find(|hover| hover.starts_with(length)).unwrap();
    assert!(told("16").contains("worse accuracy 0.300"), "{hovers:?}");
    assert!(!told("4").contains("worse"), "it was not asked about 4 positions: {hovers:?}");
}

/// A counter of three, found with one state too many and one arrow that leads elsewhere; `a` and `b` are its actions, `c` to
/// `f` what is told. In the sequence in view every third position has no action.
fn automaton(positions: usize) -> Reading {
    let of = |name: &str, axes: &[&str], shape: &[usize], data: &[f32]| {
        array(name, axes, shape, data.to_vec())
    };
    let moves = ["state", "action"];
    let here = |of: &dyn Fn(usize) -> f32| -> Vec<f32> {
        (0..positions).map(|at| if at % 3 == 2 { -1.0 } else { of(at) }).collect()
    };
    let points: Vec<f32> = (0..24).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
    let numbers = [
        ("states", 4.0),
        ("true_states", 3.0),
        ("groups", 9.0),
        ("start", 0.0),
        ("true_start", 0.0),
        ("is_same", 0.0),
        ("strings", 256.0),
        ("determinism", 0.97),
        ("agreement", 0.75),
        ("accuracy", 0.7),
        ("network_accuracy", 0.9375),
        ("length", 32.0),
        ("trained_length", 16.0),
    ];
    Reading {
        arrays: vec![
            of("next", &moves, &[4, 2], &[0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 0.0, -1.0]),
            of("seen", &moves, &[4, 2], &[90.0, 80.0, 90.0, 80.0, 70.0, 9.0, 7.0, 0.0]),
            of("certainty", &moves, &[4, 2], &[1.0, 1.0, 0.9, 1.0, 1.0, 0.6, 0.8, f32::NAN]),
            of("label", &["state"], &[4], &[2.0, 3.0, 4.0, 5.0]),
            of("purity", &["state"], &[4], &[1.0, 0.96, 1.0, 0.7]),
            of("partner", &["state"], &[4], &[0.0, 1.0, 2.0, -1.0]),
            of("centre", &["state", "dim"], &[4, 2], &[0.0, 1.0, 2.0, 1.0, 0.0, 3.0, 1.0, 1.0]),
            of("true_next", &["true_state", "action"], &[3, 2], &[0.0, 1.0, 1.0, 2.0, 2.0, 0.0]),
            of("true_label", &["true_state"], &[3], &[2.0, 3.0, 4.0]),
            of("action", &["action"], &[2], &[0.0, 1.0]),
            array("points", &["point", "dim"], &[12, 2], points),
            array(
                "point_state",
                &["point"],
                &[12],
                (0..12).map(|i| (i % 5) as f32 - 1.0).collect(),
            ),
            of("axes", &["axis", "dim"], &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
            of("explained", &["axis"], &[2], &[0.6, 0.4]),
            array("here_state", &["position"], &[positions], here(&|at| (at % 4) as f32)),
            array("here_action", &["position"], &[positions], here(&|at| (at % 2) as f32)),
            of("apart", &["symbol"], &[3], &[1.0, 1.0, 1.0]),
        ],
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..Reading::default()
    }
}

/// Two slots over segments of eight positions.
fn working_memory(positions: usize, layer: usize) -> Reading {
    let starts: Vec<f32> = (0..positions).step_by(8).map(|from| from as f32).collect();
    let (segments, slots) = (starts.len(), 2);
    let write = (0..segments * slots * positions).map(|i| {
        let (row, at) = (i / positions, i % positions);
        if at / 8 == row / slots { ((row + at) % 4) as f32 / 8.0 } else { 0.0 }
    });
    let read = (0..positions * slots).map(|i| (i % 5) as f32 / 10.0);
    Reading {
        arrays: vec![
            array("segment", &["segment"], &[segments], starts),
            array(
                &format!("write.layer{layer}"),
                &["head", "memory", "position"],
                &[1, segments * slots, positions],
                write.collect(),
            ),
            array(
                &format!("read.layer{layer}"),
                &["head", "position", "slot"],
                &[1, positions, slots],
                read.collect(),
            ),
        ],
        numbers: vec![("write_layer".to_owned(), 1.0)],
        ..Reading::default()
    }
}

/// What two slots hold after five segments.
/// Of each head another score: layers and heads further on have more of the first, and less of the second.
fn head_scores(heads: &[usize]) -> Reading {
    let widest = heads.iter().copied().max().unwrap_or(0);
    let shape = [heads.len(), widest];
    let count = (shape[0] * shape[1]).max(1) as f32;
    let names = [
        ("prefix_matching", 1.0),
        ("previous_token_random", -1.0),
        ("duplicate_token", 0.5),
        ("copying", 0.25),
        ("prefix_matching_task", 0.5),
        ("previous_token", -0.5),
        ("duplicate_token_task", 0.5),
        ("copying_task", 0.5),
    ];
    let value = |i: usize, slope: f32| {
        let (layer, head) = (i / widest.max(1), i % widest.max(1));
        let share = (i as f32 + 0.5) / count;
        let known = head < heads[layer];
        if known { if slope > 0.0 { slope * share } else { 1.0 + slope * share } } else { f32::NAN }
    };
    let of = |(name, slope): (&str, f32)| {
        let data = (0..shape[0] * shape[1]).map(|i| value(i, slope)).collect();
        array(name, &["layer", "head"], &shape, data)
    };
    let numbers = [("loss_repeats_first", 9.1), ("loss_repeats_again", 0.4)];
    Reading {
        arrays: names.map(of).to_vec(),
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        notes: Vec::new(),
    }
}

#[test]
fn the_table_of_heads_is_sorted_by_the_score_that_colours_the_map_and_a_click_picks_a_head() {
    let mut world = World::new();
    world.net.heads = vec![9; 30];
    (world.selection.layer, world.selection.head) = (29, 8);
    let call = world.panel("head_scores").analyses(&world.net, &world.selection).remove(0);
    world.analyze(&call);
    let named = |figure: &Figure| -> Vec<String> {
        let names = cells(figure).into_iter().map(|cell| cell.text.clone());
        names.filter(|text| text.starts_with('L')).collect()
    };
    let picked = |figure: &Figure| {
        let cells = cells(figure);
        let first = cells.iter().find(|cell| cell.text.starts_with('L')).unwrap();
        first.pick.clone()
    };
    let figure = world.figure("head_scores");
    let names = named(&figure);
    assert_eq!(names[..3], ["L29 H8", "L29 H7", "L29 H6"]);
    assert_eq!(picked(&figure), Pick::Head { layer: 29, head: 8 });
    assert_eq!((heats(&figure)[0].rows, heats(&figure)[0].columns), (30, 9));
    assert!(
        figure.caption.starts_with(&format!("Heads 1 to {} of 270", names.len())),
        "{}",
        figure.caption
    );
    let figure = world.figure_with("head_scores", &[("score", "previous token")]);
    assert_eq!(picked(&figure), Pick::Head { layer: 0, head: 0 });
    let figure = world.figure_with("head_scores", &[("order", "lowest first"), ("first", "2")]);
    assert_eq!(picked(&figure), Pick::Head { layer: 0, head: 1 });
    let figure = world.figure_with("head_scores", &[("first", "9999")]);
    assert_eq!(named(&figure).last().unwrap(), "L0 H0", "the last rows fill the table");
    assert_eq!(world.figure_with("head_scores", &[("order", "by layer")]).plots.len(), 2);
}

fn series(recorded: &[u64]) -> Recording {
    let recorded = recorded.to_vec();
    let last_step = *recorded.last().unwrap();
    Recording { sparse: true, recorded, last_step, ..Recording::default() }
}

#[test]
fn steps_of_a_series_that_double_stand_evenly_and_others_as_they_are() {
    let doubling = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
    let pythia: Vec<u64> =
        doubling.into_iter().chain((1..=143).map(|thousand| 1000 * thousand)).collect();
    let crfm: Vec<u64> = (0..10)
        .map(|i| 10 * i)
        .chain((2..=40).map(|i| 50 * i))
        .chain((2..=400).map(|i| 1000 * i))
        .collect();
    assert_eq!(series(&doubling).doubles_from(), Some(1));
    assert_eq!(series(&pythia).doubles_from(), Some(1));
    assert_eq!(series(&crfm).doubles_from(), Some(10));
    let even: Vec<u64> = (1..40).map(|i| 500 * i).chain([19_600]).collect();
    assert_eq!(series(&even).doubles_from(), None);
    assert_eq!(series(&[256, 512, 1500]).doubles_from(), None);
    assert_eq!(
        Recording { sparse: false, ..series(&pythia) }.doubles_from(),
        None,
        "a run of ours"
    );
    let mut world = World::new();
    world.runs = vec![("series".to_owned(), Arc::new(series(&doubling)))];
    let axis = |world: &World, settings: &[(&str, &str)]| {
        let figure = world.figure_with("timeline", settings);
        figure.plots[0].x.along
    };
    assert_eq!(axis(&world, &[]), Along::Doublings(1.0));
    assert_eq!(axis(&world, &[("doublings", "false")]), Along::Values);
    assert_eq!(axis(&world, &[("log", "true")]), Along::Logarithms);
    let figure = world.figure("timeline");
    let ticks: Vec<&Cell> =
        cells(&figure).into_iter().filter(|cell| matches!(cell.pick, Pick::Step(_))).collect();
    assert_eq!(ticks.len(), doubling.len(), "step 0 has a place");
    assert!(sentence(&world.figure("curves")).contains("No step of this series is scored yet"));
}

fn stored() -> Reading {
    let of = |name: &str, value: &dyn Fn(usize) -> f32| {
        array(name, &["segment", "slot"], &[5, 2], (0..10).map(value).collect())
    };
    Reading {
        arrays: vec![
            of("score", &|i| 0.5 + 0.05 * i as f32),
            of("shuffled", &|_| 0.25),
            of("constant", &|_| 0.3),
            of("told", &|i| (i % 3) as f32),
            of("true", &|i| if i == 4 { f32::NAN } else { (i % 3) as f32 }),
            array("end", &["segment"], &[5], vec![7.0, 15.0, 23.0, 31.0, 38.0]),
        ],
        numbers: vec![("train_examples".to_owned(), 512.0), ("test_examples".to_owned(), 256.0)],
        notes: vec!["Label: state.".to_owned()],
    }
}

/// A pair whose other sequence has another third token.
fn pair(tokens: &[u32]) -> Vec<Array> {
    let n = tokens.len();
    let mut other = tokens.to_vec();
    other[2] += 1;
    let ids = |ids: &[u32]| ids.iter().map(|id| *id as f32).collect::<Vec<f32>>();
    vec![
        array("base_tokens", &["position"], &[n], ids(tokens)),
        array("other_tokens", &["position"], &[n], ids(&other)),
        array("at", &["one"], &[1], vec![9.0]),
        array("answers", &["sequence"], &[2], vec![4.0, 5.0]),
        array("last", &["one"], &[1], vec![9.0]),
    ]
}

/// Arrays of a question over 32 pairs, of which 30 count.
fn over_pairs(arrays: Vec<Array>) -> Reading {
    let numbers = [
        ("pairs", 32.0),
        ("pairs_counted", 30.0),
        ("logit_difference_base", 4.0),
        ("logit_difference_other", -3.5),
    ];
    Reading {
        arrays,
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        notes: vec!["2 of 32 pairs are left out: 2 because the base run is wrong.".to_owned()],
    }
}

/// What goes from each part of two layers of one head each into the logits; the last is not tried yet.
fn paths(tokens: &[u32]) -> Reading {
    let mut arrays = pair(tokens);
    for (what, by) in [("effect", 0.0), ("low", -0.1), ("high", 0.1)] {
        let found = |name: &str, axes: &[&str], shape: &[usize], data: &[f32]| {
            array(&format!("{what}.{name}"), axes, shape, data.iter().map(|v| v + by).collect())
        };
        arrays.push(found("embed", &["one"], &[1], &[0.03]));
        arrays.push(found("z", &["layer", "head"], &[2, 1], &[-0.12, 0.96]));
        arrays.push(found("mlp_out", &["layer"], &[2], &[0.2, f32::NAN]));
    }
    over_pairs(arrays)
}

/// A map of two layers of one head each, its last cells not done yet.
fn patching(call: &MeasurementCall, tokens: &[u32]) -> Reading {
    let map = call.settings.iter().find(|(name, _)| name == "map").unwrap().1.as_str().unwrap();
    let (n, mut arrays) = (tokens.len(), pair(tokens));
    for (name, family) in patching::Family::named(map).unwrap() {
        let axes = family.axes();
        let length = |axis: &&str| match *axis {
            "layer" => 2,
            "head" => 1,
            _ => n,
        };
        let shape: Vec<usize> = axes.iter().map(length).collect();
        let count: usize = shape.iter().product();
        for (what, by) in [("effect", 0.0), ("low", -0.1), ("high", 0.1)] {
            let value = |i: usize| match 10 * i < 9 * count {
                true => ((i * 37 % 101) as f32) / 101.0 - 0.2 + by,
                false => f32::NAN,
            };
            let data = (0..count).map(value).collect();
            arrays.push(array(&format!("{what}.{name}"), axes, &shape, data));
        }
    }
    over_pairs(arrays)
}

/// Diagonals with noise; every third association is not stored.
fn memories(vocab: usize, positions: usize) -> Reading {
    let noise = |i: usize| ((i * 7919 % 101) as f32 / 101.0 - 0.5) * 0.4;
    let matrix = |n: usize, below: usize| -> Vec<f32> {
        (0..n * n)
            .map(|i| noise(i) + if i / n == i % n + below && i / n % 3 != 1 { 1.0 } else { 0.0 })
            .collect()
    };
    let recalled =
        |n: usize| -> Vec<f32> { (0..n).map(|i| f32::from(u8::from(i % 3 != 1))).collect() };
    let law: Vec<f32> = (0..vocab * vocab).map(|i| (noise(i) + 0.2) / vocab as f32 * 5.0).collect();
    let tokens = ["output", "token"];
    Reading {
        arrays: vec![
            array("wo2", &tokens, &[vocab, vocab], matrix(vocab, 0)),
            array("wk2", &["query", "key"], &[vocab, vocab], matrix(vocab, 0)),
            array("wk1", &["query", "key"], &[positions, positions], matrix(positions, 1)),
            array("wf", &["next", "current"], &[vocab, vocab], law.clone()),
            array("global_law", &["next", "current"], &[vocab, vocab], law),
            array("recalled.wo2", &["token"], &[vocab], recalled(vocab)),
            array("recalled.wk2", &["token"], &[vocab], recalled(vocab)),
            array("recalled.wk1", &["pos"], &[positions], recalled(positions)),
        ],
        numbers: [("recall_wo2", 0.67), ("recall_wk2", 0.67), ("recall_wk1", 0.66), ("kl_wf", 0.1)]
            .map(|(n, v)| (n.to_owned(), v))
            .to_vec(),
        notes: Vec::new(),
    }
}

/// A head that looks at later letters and copies what it looks at, in the second of two layers.
fn circuits(vocab: usize, positions: usize) -> Reading {
    let noise = |i: usize| (i * 7919 % 101) as f32 / 101.0 - 0.5;
    let matrix = |name: &str,
                  axes: [&str; 2],
                  [rows, columns]: [usize; 2],
                  of: &dyn Fn(usize, usize) -> f32| {
        let cell = |i: usize| of(i / columns, i % columns) + 0.2 * noise(i);
        array(name, &axes, &[rows, columns], (0..rows * columns).map(cell).collect())
    };
    let rising = |_: usize, column: usize| column as f32 / 8.0 - 3.0;
    let own = |row: usize, column: usize| if row == column { 2.0 } else { -0.1 };
    let before = |row: usize, column: usize| if row == column + 1 { 3.0 } else { 0.0 };
    let heads = |name: &str, of_first: f32, of_second: f32| {
        array(name, &["layer", "head"], &[2, 1], vec![of_first, of_second])
    };
    Reading {
        arrays: vec![
            array("tokens", &["token"], &[vocab], (0..vocab).map(|i| i as f32).collect()),
            matrix("qk", ["query", "key"], [vocab; 2], &rising),
            matrix("ov", ["source", "output"], [vocab; 2], &own),
            matrix("direct", ["token", "output"], [vocab; 2], &|_, _| 0.0),
            matrix("position_position", ["query", "key"], [positions; 2], &before),
            matrix(
                "token_position",
                ["query token", "key position"],
                [vocab, positions],
                &|_, _| 0.0,
            ),
            matrix("position_token", ["query position", "key token"], [positions, vocab], &rising),
            array(
                "eigenvalues",
                &["eigenvalue", "part"],
                &[3, 2],
                vec![2.0, 0.0, 1.0, 0.5, 1.0, -0.5],
            ),
            heads("copying", 0.1, 0.95),
            heads("q_composition", 0.09, NONE),
            heads("k_composition", 0.41, NONE),
            heads("v_composition", 0.12, NONE),
        ],
        numbers: [
            ("copying_of_head", 0.95),
            ("own_largest", 1.0),
            ("composition_at_random", 0.125),
        ]
        .map(|(n, v)| (n.to_owned(), v))
        .to_vec(),
        notes: vec![
            "Direct paths from the embeddings: what layers before layer 1 write is left out."
                .to_owned(),
        ],
    }
}

/// `sequences` sequences, the last being `tokens`, in view; keys lie near the queries of the same token.
/// The tree `3>1,3>4,0>3,0>2,2>5|1:0` with a lens that names 3 after the second layer.
fn tree_view() -> Reading {
    let pairs = [(3, 1), (3, 4), (0, 3), (0, 2), (2, 5)];
    let edges = pairs.iter().enumerate();
    let edges = edges.flat_map(|(i, &(p, c))| [p, c, 3 * i, 3 * i + 1].map(|n| n as f32));
    let lens = (0..2 * 40 * 6).map(|i| if i % 6 == 3 && i >= 240 { 0.9 } else { 0.02 });
    let numbers = [("nodes", 6.0), ("goal", 1.0), ("root", 0.0), ("root_position", 17.0)];
    Reading {
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        arrays: vec![
            array("edges", &["edge", "part"], &[5, 4], edges.collect()),
            array("path", &["node"], &[3], vec![0.0, 3.0, 1.0]),
            array("lens", &["layer", "pos", "node"], &[2, 40, 6], lens.collect()),
        ],
        notes: vec!["Rings: the tuned lens tuned-lens-all-step200.".to_owned()],
    }
}

fn query_key(tokens: &[u32], sequences: usize, dims: usize, skew: usize) -> Reading {
    let n = tokens.len();
    let points = sequences * n;
    let last = sequences - 1;
    let id = |i: usize| tokens[(i + last - i / n) % n];
    let coordinate = |i: usize, d: usize, salt: usize| {
        let token = id(i) as usize;
        ((token * 31 + d * 17) as f32).sin() * (dims - d) as f32
            + ((i * 13 + d * 7 + salt * 5 + skew) as f32).sin() * 0.5
    };
    let cloud = |salt: usize| -> Vec<f32> {
        (0..points).flat_map(|i| (0..dims).map(move |d| coordinate(i, d, salt))).collect()
    };
    let per_point = |name: &str, of: &dyn Fn(usize) -> usize| {
        array(name, &["point"], &[points], (0..points).map(|i| of(i) as f32).collect())
    };
    let number = |i: usize| if i / n == last { -1.0 } else { (i / n) as f32 };
    let starts: Vec<usize> = (0..sequences).map(|s| s * n).collect();
    let (queries, keys) = (cloud(0), cloud(1));
    let input = QueriesKeys { queries: &queries, keys: &keys, dims, starts: &starts };
    let arranged = arrange(&input, Scale::Correlation);
    let placed = centered(&arranged.points, dims);
    let basis = pca(&placed, dims, 3);
    let axes = basis.explained.len();
    let explained = basis.explained.iter().map(|x| *x as f32).collect();
    Reading {
        arrays: vec![
            array("points", &["point", "dim"], &[2 * points, dims], placed),
            array("axes", &["axis", "dim"], &[axes, dims], basis.rows),
            array("explained", &["axis"], &[axes], explained),
            array("sequence", &["point"], &[points], (0..points).map(number).collect()),
            array("queries", &["point", "dim"], &[points, dims], queries),
            array("keys", &["point", "dim"], &[points, dims], keys),
            per_point("position", &|i| i % n),
            per_point("token", &|i| id(i) as usize),
            per_point("roles", &|i| i % 3),
        ],
        numbers: vec![
            ("c".to_owned(), arranged.c),
            ("correlation".to_owned(), arranged.correlation),
            ("pairs".to_owned(), arranged.pairs as f64),
        ],
        notes: Vec::new(),
    }
}

/// A run with the shape of the birth of an induction head.
const NONE: f32 = f32::NAN;

/// Store a c, store b d, ignore a d, store a d, ignore b c, ignore a d: the letters a and b are registers, c and d symbols.
/// The decoder takes the third tuple for a store, and the answer to the fifth is wrong.
fn in_context_errors() -> Reading {
    let errors = |name: &str, first: f32| {
        let data = (0..8).map(|i| if i < 2 { f32::NAN } else { first / (i * i) as f32 }).collect();
        array(name, &["position"], &[8], data)
    };
    let heads =
        |name: &str, data: [f32; 2]| array(name, &["layer", "head"], &[2, 1], data.to_vec());
    Reading {
        arrays: vec![
            errors("error.network", 0.01),
            errors("error.reference.copy_last", 1.0),
            errors("error.reference.exact", 1e-12),
            errors("error.layer0", 0.3),
            errors("error.layer1", 0.02),
            heads("slope.product", [0.2, -0.1]),
            heads("slope.distance", [0.7, -1.4]),
            heads("ablated", [0.05, 0.4]),
        ],
        ..Reading::default()
    }
}

fn gating() -> Reading {
    let tuple = |name: &str, data: [f32; 6]| array(name, &["tuple"], &[6], data.to_vec());
    let table = |name: &str, data: [[f32; 2]; 6]| {
        array(name, &["tuple", "register"], &[6, 2], data.as_flattened().to_vec())
    };
    let matrix = |name: &str, data: [f32; 4]| {
        array(name, &["read register", "register"], &[2, 2], data.to_vec())
    };
    let place = |at: f32| [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|i| 4.0 * i + at);
    let mut attention = vec![NONE; 2 * 36];
    for (head, read, tuple, value) in [
        (0, 5, 3, 0.9),
        (1, 5, 3, 0.7),
        (0, 5, 0, 0.1),
        (1, 5, 0, 0.2),
        (0, 5, 1, 0.01),
        (1, 5, 1, 0.02),
    ] {
        attention[(head * 6 + read) * 6 + tuple] = value;
    }
    let mean = (0..36).map(|pair| f32::midpoint(attention[pair], attention[36 + pair])).collect();
    let arrays = vec![
        tuple("store", [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]),
        tuple("register", [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]),
        tuple("symbol", [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
        tuple("instruction_at", place(0.0)),
        tuple("register_at", place(1.0)),
        tuple("symbol_at", place(2.0)),
        tuple("answer_at", place(3.0)),
        tuple("bound_at", place(2.0)),
        tuple("source", [NONE, NONE, 0.0, 0.0, 1.0, 3.0]),
        tuple("right", [5.0, 5.0, 5.0, 5.0, 5.0, 4.0]),
        tuple("predicted", [5.0, 5.0, 5.0, 5.0, 4.0, 4.0]),
        tuple("probability", [0.99, 0.98, 0.97, 0.96, 0.55, 0.94]),
        tuple("input_gate", [0.95, 0.9, 0.1, 0.8, NONE, NONE]),
        tuple("input_effect", [0.9, NONE, 0.7, 0.2, NONE, NONE]),
        tuple("input_size", [NONE, NONE, NONE, NONE, 0.25, NONE]),
        tuple("input_read", [2.0, 4.0, 3.0, 5.0, NONE, NONE]),
        tuple("input_asked", [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        tuple("output_effect", [NONE, NONE, NONE, NONE, NONE, 0.75]),
        tuple("output_size", [NONE, NONE, 0.5, NONE, NONE, NONE]),
        tuple("output_other", [NONE, NONE, 1.0, NONE, 0.0, 1.0]),
        tuple("decoded_store", [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
        tuple("decoded_register", [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]),
        tuple("decoded_symbol", [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
        table("held", [[0.0, NONE], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
        table("decoded", [[0.0, NONE], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
        array("attention_mean", &["read", "tuple"], &[6, 6], mean),
        array("attention", &["head", "read", "tuple"], &[2, 6, 6], attention),
        matrix("role_attention", [0.8, 0.1, 0.2, NONE]),
        matrix("role_score", [3.0, -1.0, -2.0, NONE]),
        array("register_token", &["register"], &[2], vec![0.0, 1.0]),
        array("symbol_token", &["symbol"], &[2], vec![2.0, 3.0]),
    ];
    let accuracies = [0.9, 0.5, 0.8, 0.6, 1.0, 0.2];
    let names = ["register", "store", "symbol"];
    let mut numbers: Vec<(String, f64)> = names
        .iter()
        .flat_map(|name| ["accuracy", "shuffled"].map(|kind| format!("{name}_{kind}")))
        .zip(accuracies)
        .collect();
    numbers.push(("layer".to_owned(), 1.0));
    Reading { arrays, numbers, notes: Vec::new() }
}

fn run(steps: u64) -> Recording {
    let columns = [
        "loss",
        "loss_global",
        "loss_in_context",
        "accuracy_in_context",
        "accuracy_other_outputs",
        "recall_wo2",
        "recall_wk2",
        "recall_wk1",
        "recall_wk1_early",
        "kl_wf",
        "previous_token_score",
        "induction_score",
        "norm_layer0.wk",
        "norm_layer1.wk",
    ];
    let row = |step: u64| {
        let rise = |middle: f64, width: f64| 1.0 / (1.0 + ((middle - step as f64) / width).exp());
        let noise = ((step * 7919 % 101) as f64 / 101.0 - 0.5) * 0.02;
        let in_context = 4.4 - 3.9 * rise(150.0, 12.0) + noise;
        let global = 2.5 + 2.0 * (-(step as f64) / 15.0).exp();
        let values = vec![
            0.86 * global + 0.14 * in_context,
            global,
            in_context,
            (0.95 * rise(150.0, 10.0) + noise).clamp(0.0, 1.0),
            (0.9 * rise(155.0, 10.0)).clamp(0.0, 1.0),
            rise(80.0, 20.0),
            rise(40.0, 6.0),
            0.2 * rise(140.0, 20.0),
            0.7 * rise(130.0, 15.0),
            if step == 0 { f64::NAN } else { 1.0 + 1.3 * (-(step as f64) / 20.0).exp() },
            0.1 + 0.8 * rise(120.0, 15.0),
            0.15 + 0.8 * rise(140.0, 12.0),
            1.0 + step as f64 / 40.0,
            1.0 + step as f64 / 30.0,
        ];
        MetricsRow { step, values }
    };
    let mark = |step, kind, text: &str| event::Mark::of_text(step, kind, text);
    Recording {
        folder: None,
        columns: columns.map(str::to_owned).to_vec(),
        rows: (0..=steps).step_by(5).map(row).collect(),
        marks: vec![
            mark(25, MarkKind::Emergence, "global statistics learned"),
            mark(80, MarkKind::Emergence, "output memory formed"),
            mark(110, MarkKind::Intervention, "freeze layer0.wk"),
            mark(125, MarkKind::Emergence, "previous-token head formed"),
            mark(150, MarkKind::Emergence, "induction head formed"),
        ],
        recorded: (0..=steps).step_by(10).collect(),
        last_step: steps,
        ..Recording::default()
    }
}

fn cells(figure: &Figure) -> Vec<&Cell> {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    marks
        .filter_map(|m| if let Mark::Cells(cells) = m { Some(cells) } else { None })
        .flatten()
        .collect()
}

fn heats(figure: &Figure) -> Vec<&Heat> {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    marks.filter_map(|m| if let Mark::Heat(heat) = m { Some(heat) } else { None }).collect()
}

fn cloud(figure: &Figure) -> &Cloud {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    marks
        .filter_map(|m| if let Mark::Cloud(cloud) = m { Some(cloud) } else { None })
        .next()
        .unwrap()
}

/// Points of the lines called `name`.
fn line<'a>(figure: &'a Figure, wanted: &str) -> Vec<&'a [[f64; 2]]> {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    marks
        .filter_map(|mark| {
            if let Mark::Line { name, points, .. } = mark
                && name == wanted
            {
                Some(&**points)
            } else {
                None
            }
        })
        .collect()
}

fn sentence(figure: &Figure) -> &str {
    let text = figure.empty.as_deref().unwrap_or("");
    assert!(text.len() > 15 && text.ends_with('.'), "no sentence: {text:?}");
    text
}

#[test]
fn every_panel_draws_from_full_answers() {
    let world = World::new();
    for entry in panel::ALL {
        let figure = world.figure(entry.name);
        assert_eq!(figure.empty, None, "{}", entry.name);
        assert!(!figure.plots.is_empty(), "{}", entry.name);
        assert!(figure.columns >= 1, "{}", entry.name);
        for plot in &figure.plots {
            for (low, high) in [plot.x.range, plot.y.range] {
                assert!(low.is_finite() && high.is_finite() && low != high, "{}", entry.name);
            }
        }
    }
}

/// Left, top, right and bottom of a text lying down.
fn extent(item: &Item) -> Option<[f32; 4]> {
    let Item::Text { at: [x, y], text, size, align, upright: false, bold, .. } = item else {
        return None;
    };
    let width = font::Typeface::of(font::Family::Sans).width(text, *size, *bold);
    let left = match align {
        Anchor::Left => *x,
        Anchor::Center => x - width / 2.0,
        Anchor::Right => x - width,
    };
    Some([left, y - 0.5 * size, left + width, y + 0.5 * size])
}

fn scenes(world: &mut World) -> Vec<(&'static str, Scene)> {
    let mut scenes = Vec::new();
    for size in [[560.0, 400.0], [420.0, 300.0], [252.0, 180.0], [800.0, 110.0], [200.0, 600.0]] {
        world.size = size;
        for entry in panel::ALL {
            let figure = world.figure(entry.name);
            scenes.push((entry.name, layout(&figure, size, &Style::light().scaled(1.35))));
        }
    }
    scenes
}

#[test]
fn every_text_lies_on_the_page() {
    let mut world = World::of_text(&"the cat sat, the bat ".repeat(3), 7);
    for (name, scene) in scenes(&mut world) {
        for item in &scene.items {
            let Some([left, top, right, bottom]) = extent(item) else { continue };
            let inside = left >= -0.5
                && top >= -0.5
                && right <= scene.width + 0.5
                && bottom <= scene.height + 0.5;
            assert!(inside, "{name} {}x{}: {item:?}", scene.width, scene.height);
        }
    }
}

#[test]
fn panels_that_select_can_be_clicked_at_every_size() {
    let mut world = World::new();
    for (name, scene) in scenes(&mut world) {
        let selects = scene.areas.iter().any(|area| match &area.pick {
            AreaPick::One { pick, .. } => *pick != Pick::Nothing,
            AreaPick::Heat(_) | AreaPick::Cloud(_) => true,
            AreaPick::Plot(_) => false,
        });
        // Of other lengths there is no sequence in view.
        let wanted = name != "length" && (name != "curves" || scene.height > 160.0);
        assert!(selects == wanted, "{name} {}x{}", scene.width, scene.height);
    }
}

#[test]
fn a_click_on_the_map_selects_the_tokens_that_its_hover_names() {
    let world = World::of_text(&"abcdefgh".repeat(12), 7);
    let figure = world.figure_with("attention", &[("window", "all")]);
    let scene = layout(&figure, world.size, &Style::light());
    let area = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Heat(_))).unwrap();
    // A little right of and below the middle of cell (90, 41) of 96.
    let at = |i: usize, cell: f32| {
        area.frame[0][i] + (area.frame[1][i] - area.frame[0][i]) * (cell + 0.6) / 96.0
    };
    let (picked, hover) = pick(&scene, [at(0, 41.0), at(1, 90.0)]).unwrap();
    assert_eq!(picked, Pick::QueryKey { query: 90, key: 41 });
    assert!(hover.starts_with("query 90 'c' → key 41 'b': "), "{hover}");
}

#[test]
fn a_panel_without_answers_says_what_it_waits_for() {
    let mut world = World::new();
    world.readings = None;
    world.analyzed = Analyzed::default();
    world.runs.clear();
    world.sweep = None;
    for entry in panel::ALL {
        sentence(&world.figure(entry.name));
    }
}

#[test]
fn an_answer_that_could_not_be_given_is_shown_as_its_sentence() {
    let mut world = World::new();
    for name in [
        "predictions",
        "heads",
        "attention",
        "lens",
        "attribution",
        "memories",
        "query_key",
        "tree",
        "gating",
    ] {
        for call in world.panel(name).needs(&world.net, &world.selection) {
            world.refuse(&call, "the network lacks what this question asks about.");
        }
        assert_eq!(
            sentence(&world.figure(name)),
            "the network lacks what this question asks about.",
            "{name}"
        );
    }
    // The sequence itself needs no answer of the network.
    assert_eq!(cells(&world.figure("tokens")).len(), 40);
}

#[test]
fn a_failed_examination_is_said_by_every_panel_that_draws_answers() {
    let mut world = World::new();
    world.readings = None;
    let why = "the tensor layer0.wk of step 200 holds numbers that are not finite.";
    world.failure = Some(why.to_owned());
    for entry in panel::ALL {
        let figure = world.figure(entry.name);
        let asks = !(entry.make)().needs(&world.net, &world.selection).is_empty();
        assert_eq!(figure.empty.as_deref(), asks.then_some(why), "{}", entry.name);
    }
}

#[test]
fn what_only_part_of_a_picture_needs_is_missed_in_its_caption() {
    let mut world = World::new();
    world.refuse(&MeasurementCall::new("predictions"), "there are no logits.");
    assert_eq!(world.figure_with("tokens", &[("shade", "role")]).caption, "there are no logits.");
    world.refuse(&MeasurementCall::new("attention"), "there is no attention.");
    let figure = world.figure("query_key");
    assert!(cloud(&figure).links.is_empty());
    assert!(figure.caption.ends_with(" No lines: there is no attention."), "{}", figure.caption);
}

#[test]
fn every_choice_of_every_setting_draws() {
    let world = World::new();
    for entry in panel::ALL {
        let mut variants = vec![Vec::new()];
        (entry.make)().each(&mut |spec, slot| {
            let values: Vec<toml::Value> = match slot {
                Slot::Bool(v) => vec![toml::Value::Boolean(!*v)],
                Slot::Choice(v) => {
                    v.names().iter().map(|n| toml::Value::String((*n).to_owned())).collect()
                }
                Slot::Int(_) => {
                    let (low, high) = spec.range.unwrap();
                    vec![toml::Value::Integer(low as i64), toml::Value::Integer(high as i64)]
                }
                Slot::Float(_) => {
                    let (low, high) = spec.range.unwrap();
                    vec![toml::Value::Float(low), toml::Value::Float(high)]
                }
                Slot::Text(_) => vec![toml::Value::String("x".to_owned())],
            };
            variants.extend(values.into_iter().map(|value| vec![(spec.name, value)]));
            assert!(spec.help.len() > 10, "{}.{}", entry.name, spec.name);
        });
        for variant in variants {
            let mut panel = (entry.make)();
            for (name, value) in &variant {
                settings::set(&mut *panel, "", name, value).unwrap();
            }
            for size in [[420.0, 320.0], [900.0, 200.0], [160.0, 700.0]] {
                let mut world_of_size = World { size, ..World::new() };
                for call in panel.needs(&world.net, &world.selection) {
                    let tokens = world.readings.as_ref().unwrap().prompt.tokens.clone();
                    match call.measurement.as_str() {
                        "query_key" => world_of_size.answer(&call, query_key(&tokens, 3, 8, 7)),
                        "memories" => world_of_size.answer(&call, memories(29, 64)),
                        "attribution" => world_of_size.answer(&call, attribution(&tokens)),
                        "tree_view" => world_of_size.answer(&call, tree_view()),
                        _ => {}
                    }
                }
                for call in panel.analyses(&world.net, &world.selection) {
                    world_of_size.analyze(&call);
                }
                let figure = panel.figure(&world_of_size.view());
                assert_eq!(figure.empty.is_some(), figure.plots.is_empty(), "{variant:?}");
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_and_absurd_sizes_do_no_harm() {
    for value in [f32::NAN, f32::INFINITY, -1.0, 0.0] {
        let mut world = World::new();
        let readings = world.readings.as_mut().unwrap();
        for answer in readings.by_call.values_mut() {
            let mut reading = (**answer.as_ref().unwrap()).clone();
            for array in &mut reading.arrays {
                array.data = vec![value; array.data.len()].into();
            }
            for number in &mut reading.numbers {
                number.1 = f64::from(value);
            }
            *answer = Ok(Arc::new(reading));
        }
        world.reanalyze(|reading| {
            for array in &mut reading.arrays {
                array.data = vec![value; array.data.len()].into();
            }
            reading.numbers.iter_mut().for_each(|number| number.1 = f64::from(value));
        });
        let run = Arc::make_mut(&mut world.runs[0].1);
        for row in &mut run.rows {
            row.values.fill(f64::from(value));
        }
        for size in [[0.0, 0.0], [1.0, 5000.0], [1e5, 1.0], [420.0, 320.0]] {
            world.size = size;
            for entry in panel::ALL {
                let figure = world.figure(entry.name);
                for plot in &figure.plots {
                    let ends = [plot.x.range.0, plot.x.range.1, plot.y.range.0, plot.y.range.1];
                    assert!(ends.iter().all(|e| e.is_finite()), "{} {value}", entry.name);
                }
            }
        }
    }
}

#[test]
fn selections_that_do_not_exist_do_no_harm() {
    let mut world = World::new();
    world.selection = Selection {
        layer: 9,
        head: 9,
        query: Some(999),
        key: Some(999),
        first: Some(999),
        slot: Some(MemorySlot { token: 99, segment: 99, layer: 9 }),
    };
    for entry in panel::ALL {
        world.figure(entry.name);
    }
    assert!(sentence(&world.figure("attention")).contains("no layer 9, head 9"));
    world.selection = Selection { query: Some(999), key: Some(999), ..Selection::default() };
    for entry in panel::ALL {
        world.figure(entry.name);
    }
}

#[test]
fn arrays_of_unexpected_shapes_and_empty_vocabularies_do_no_harm() {
    let mut world = World::new();
    world.vocab = Vocab::new(Vec::new());
    world.roles.clear();
    world.net.vocab = 0;
    for entry in panel::ALL {
        world.figure(entry.name);
    }
    let readings = world.readings.as_mut().unwrap();
    for answer in readings.by_call.values_mut() {
        let mut reading = (**answer.as_ref().unwrap()).clone();
        for array in &mut reading.arrays {
            let shape = vec![1; array.shape.len()];
            *array = Array { shape, data: vec![0.5].into(), ..array.clone() };
        }
        *answer = Ok(Arc::new(reading));
    }
    world.reanalyze(|reading| {
        for array in &mut reading.arrays {
            let shape = vec![1; array.shape.len()];
            *array = Array { shape, data: vec![0.5].into(), ..array.clone() };
        }
    });
    for entry in panel::ALL {
        world.figure(entry.name);
    }
    world.reanalyze(|reading| *reading = Reading::default());
    sentence(&world.figure("patching"));
    sentence(&world.figure("paths"));
    for answer in world.readings.as_mut().unwrap().by_call.values_mut() {
        *answer = Ok(Arc::new(Reading::default()));
    }
    for name in [
        "predictions",
        "attention",
        "lens",
        "attribution",
        "memories",
        "query_key",
        "tree",
        "gating",
    ] {
        sentence(&world.figure(name));
    }
}

#[test]
fn a_box_of_a_token_says_what_is_known_and_picks_its_position() {
    let world = World::new();
    let figure = world.figure("tokens");
    let boxes = cells(&figure);
    // And an underline for each position but the last, which has nothing to predict.
    assert_eq!(boxes.len(), 40 + 39);
    assert_eq!(boxes[3].text, "␣");
    assert_eq!(boxes[3].pick, Pick::Query(3));
    assert_eq!(
        boxes[15].hover,
        "position 15 of 40: “␣”\nrole: trigger, time 4 in this sequence: the answer was seen before\nnext: “h”\npredicted: “h” 0.387, “k” 0.194, “n” 0.097\nloss 0.948 nats"
    );
    let legend: Vec<&str> = figure.plots[0].legend.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(legend, ["trigger", "output", "query 12", "key 4"]);
    assert!(boxes[5].hover.ends_with("of the attention of the query at 12"), "{}", boxes[5].hover);
    assert!(figure.caption.contains("the higher the attention"), "{}", figure.caption);
    let by_role = world.figure_with("tokens", &[("shade", "role")]);
    let legend: Vec<&str> = by_role.plots[0].legend.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(legend, ["trigger", "output", "other", "query 12", "key 4"]);
}

#[test]
fn boxes_of_tokens_wrap_and_do_not_overlap() {
    let mut world = World::of_text(&"the cat ".repeat(8), 7);
    for size in [[300.0, 200.0], [1200.0, 100.0], [120.0, 120.0]] {
        world.size = size;
        let figure = world.figure("tokens");
        let width = figure.plots[0].x.range.1;
        let boxes = cells(&figure);
        for (i, a) in boxes.iter().enumerate() {
            assert!(a.from[0] >= 0.0 && a.to[0] <= width + 1e-9);
            for b in &boxes[..i] {
                let apart = (0..2).any(|d| a.from[d] >= b.to[d] || b.from[d] >= a.to[d]);
                assert!(apart, "{size:?}: boxes overlap");
            }
        }
    }
}

/// A tokenizer of another program, of which each two tokens make a sign and each third is none of a text.
struct Halves;

impl Tokenizer for Halves {
    fn encode(&self, _text: &str) -> Result<Vec<u32>, Error> {
        Ok(Vec::new())
    }

    fn decode(&self, _ids: &[u32]) -> String {
        String::new()
    }

    fn text(&self, id: u32) -> String {
        id.to_string()
    }

    fn glyph(&self, _id: u32) -> String {
        "⟨C3⟩".to_owned()
    }

    fn is_special(&self, id: u32) -> bool {
        id.is_multiple_of(3)
    }

    fn groups(&self, ids: &[u32]) -> Vec<(std::ops::Range<usize>, String)> {
        (1..ids.len()).step_by(2).map(|at| (at - 1..at + 1, "U+200B".to_owned())).collect()
    }
}

fn of_halves() -> World {
    let mut world = World::of_text(&"the cat ".repeat(3), 7);
    world.vocab = Vocab::of_tokenizer(world.vocab.len(), Arc::new(Halves));
    world.selection = Selection::default();
    world
}

#[test]
fn characters_above_their_tokens_are_whole_and_stand_apart_from_boxes_and_underlines() {
    let mut world = of_halves();
    for size in [[300.0, 420.0], [500.0, 300.0], [1200.0, 200.0], [800.0, 900.0]] {
        world.size = size;
        let scene = layout(&world.figure("tokens"), size, &Style::light());
        let clip = |item: &Item| {
            if let Item::Clip { min, max } = item { Some((min[1], max[1])) } else { None }
        };
        let (top, bottom) = scene.items.iter().find_map(clip).unwrap_or((0.0, size[1]));
        let rect = |item: &Item| {
            if let Item::Rect { min, max, fill: Some(_), .. } = item {
                Some((*min, *max)).filter(|_| max[1] - min[1] < 0.5 * size[1])
            } else {
                None
            }
        };
        let rects: Vec<([f32; 2], [f32; 2])> = scene.items.iter().filter_map(rect).collect();
        let signs = scene.items.iter().filter_map(|item| {
            if let Item::Text { at, text, size, .. } = item {
                (text == "U+200B").then_some((at, size))
            } else {
                None
            }
        });
        let mut count = 0;
        for (at, letters) in signs {
            // Capitals are about seven tenths of the size of letters.
            let (high, low) = (at[1] - 0.36 * letters, at[1] + 0.36 * letters);
            assert!(high >= top - 0.01 || low < top, "{size:?}: cut at {top}: {high}");
            assert!(low <= bottom + 0.01 || high > bottom);
            for (min, max) in &rects {
                let is_beside = max[0] < at[0] || min[0] > at[0];
                let is_apart = max[1] <= high || min[1] >= low;
                assert!(is_beside || is_apart, "{size:?}: {at:?} lies on {min:?} {max:?}");
            }
            count += 1;
        }
        assert!(count > 0);
    }
}

#[test]
fn a_special_token_in_the_lens_has_two_frames_as_everywhere() {
    let world = of_halves();
    let figure = world.figure("lens");
    let answer = world.readings.as_ref().unwrap().get(&MeasurementCall::new("logit_lens")).unwrap();
    let token = answer.as_ref().unwrap().array("token").unwrap();
    let length = world.readings.as_ref().unwrap().prompt.len();
    let special = |i: usize| {
        let (position, boundary) = (i / 3, i % 3);
        (token.data[(boundary * length + position) * 5] as u32).is_multiple_of(3)
    };
    let boxes = cells(&figure);
    let framed: Vec<bool> = boxes.iter().map(|cell| cell.stroke.is_some()).collect();
    assert_eq!(framed, (0..boxes.len()).map(special).collect::<Vec<_>>());
    let second = figure.plots.iter().flat_map(|plot| &plot.marks);
    let second = second.filter(|mark| matches!(mark, Mark::Rect { stroke: Some(_), .. })).count();
    let count = framed.iter().filter(|is| **is).count();
    assert!(count > 0 && second == count, "{second} of {count}");
}

#[test]
fn letters_do_not_shrink_where_there_is_little_room_and_the_rest_is_a_scroll_away() {
    let mut world = World::of_text(&"the cat ".repeat(8), 7);
    world.size = [150.0, 120.0];
    let seen = |world: &World| {
        let figure = world.figure("tokens");
        let (below, above) = figure.plots[0].y.range;
        let boxes = cells(&figure).into_iter().filter(|c| !c.text.is_empty());
        let seen: Vec<usize> = boxes
            .enumerate()
            .filter(|(_, c)| c.from[1] >= above && c.to[1] <= below)
            .map(|(i, _)| i)
            .collect();
        let scene = layout(&figure, world.size, &Style::light());
        let letters = scene.items.iter().filter_map(|item| {
            if let Item::Text { size, text, .. } = item
                && text.chars().count() == 1
            {
                Some(*size)
            } else {
                None
            }
        });
        (seen, letters.fold(f32::INFINITY, f32::min), figure.caption)
    };
    world.selection = Selection { query: Some(12), ..Selection::default() };
    let (positions, letter, caption) = seen(&world);
    assert!(positions.contains(&12) && !positions.contains(&63), "{positions:?}");
    assert!(letter >= 7.0, "{letter}");
    let (first, last) = (positions[0], positions[positions.len() - 1]);
    let said = format!("Positions {first} to {last} of 0 to 63.");
    assert!(caption.ends_with(&said), "{caption}");
    world.selection.first = Some(60);
    let (positions, ..) = seen(&world);
    assert!(positions.contains(&63) && !positions.contains(&0), "{positions:?}");
}

#[test]
fn colours_with_a_meaning_are_told_apart_and_no_panel_has_others() {
    use super::figure::{Vision, ciede2000, seen};
    use mnemoscope::panel::colors::MEANINGS;
    for (i, (name, color, _)) in MEANINGS.iter().enumerate() {
        for (other, against, _) in &MEANINGS[..i] {
            let apart = ciede2000(seen(*color, Vision::Usual), seen(*against, Vision::Usual));
            assert!(apart >= 12.0, "{name} and {other}: {apart}");
        }
    }
    let docs = include_str!("../../docs/panels.md");
    for (name, _, meaning) in MEANINGS {
        assert!(docs.contains(&format!("| {name} | {meaning} |")), "{name}: {meaning}");
    }
    // Outside of the one file, panels mix what is there; a map says what stands out on it.
    let panels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/panel");
    let mut files: Vec<_> = [panels.clone(), panels.join("gating")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect();
    files.retain(|path| {
        !["colors.rs", "mod.rs"].contains(&path.file_name().unwrap().to_str().unwrap())
    });
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let own: Vec<&str> = text.lines().filter(|line| line.contains("Color::rgb(")).collect();
        let allowed = |line: &&str| line.trim_start().starts_with("ColorMap::");
        assert!(own.iter().all(allowed), "{}: {own:?}", path.display());
    }
}

#[test]
fn the_bars_of_predictions_are_the_probabilities_given() {
    let world = World::new();
    let figure = world.figure("predictions");
    assert_eq!(figure.title, "After 12 “t” comes “h”: loss 1.139 nats");
    let bars: Vec<(&str, &Vec<f64>)> = figure.plots[0]
        .marks
        .iter()
        .filter_map(|m| {
            if let Mark::Bars { name, values, .. } = m {
                Some((name.as_str(), values))
            } else {
                None
            }
        })
        .collect();
    let right = 0.05 + 0.9 * (12.0f32 / 40.0);
    let others: Vec<f64> = (1..5).map(|k| f64::from(right * 0.5f32.powi(k))).collect();
    assert_eq!(bars[0], ("other token", &others));
    assert_eq!(bars[1], ("right token", &vec![f64::from(right)]));
}

#[test]
fn a_selected_key_has_bars_of_its_own() {
    let mut world = World::new();
    let figure = world.figure("predictions");
    assert_eq!(figure.plots.len(), 3);
    assert_eq!(figure.plots[1].title, "Key: after 4 “c” comes “a”: loss 1.966 nats");
    let bars = |plot: &Plot| {
        plot.marks.iter().find_map(|mark| {
            if let Mark::Bars { name, values, .. } = mark
                && name == "right token"
            {
                Some(values.clone())
            } else {
                None
            }
        })
    };
    assert_eq!(bars(&figure.plots[1]), Some(vec![f64::from(0.05 + 0.9 * (4.0f32 / 40.0))]));
    world.selection.query = None;
    assert_eq!(world.figure("predictions").plots[0].title, figure.plots[1].title);
    world.selection = Selection { query: Some(4), ..world.selection };
    assert_eq!(world.figure("predictions").plots.len(), 2, "one position, one plot");
}

#[test]
fn a_right_token_that_is_not_among_the_likeliest_gets_a_bar_of_its_own() {
    let mut world = World::new();
    let mut readings = world.readings.take().unwrap();
    let mut row = (*readings.prompt).clone();
    row.targets[12] = world.vocab.encode(",").unwrap()[0];
    readings.prompt = Arc::new(row);
    world.readings = Some(readings);
    let figure = world.figure("predictions");
    assert!(figure.title.contains("comes “,”"), "{}", figure.title);
    assert_eq!(figure.plots[0].x.range, (0.0, 6.0));
}

#[test]
fn a_box_of_the_lens_holds_the_likeliest_token_of_its_boundary_and_picks_its_position() {
    let world = World::new();
    let figure = world.figure("lens");
    let boxes = cells(&figure);
    let answer = world.readings.as_ref().unwrap().get(&MeasurementCall::new("logit_lens")).unwrap();
    let answer = answer.as_ref().unwrap();
    let token = answer.array("token").unwrap();
    assert_eq!(boxes.len(), 3 * 40, "all of a short sequence has room");
    for (i, cell) in boxes.iter().enumerate() {
        let (position, boundary) = (i / 3, i % 3);
        assert_eq!(cell.pick, Pick::Query(position));
        let id = token.data[(boundary * 40 + position) * 5] as u32;
        assert_eq!(cell.text, world.vocab.glyph(id));
        assert_eq!((cell.from[0], cell.from[1]), (position as f64, boundary as f64));
    }
    let last = boxes[3 * 12 + 2];
    assert!(last.hover.starts_with("after layer 1, the end, after 12 “"), "{}", last.hover);
    assert!(last.hover.contains("nats from the final prediction"), "{}", last.hover);
}

#[test]
fn of_a_long_sequence_the_lens_shows_what_is_around_the_selection_and_says_so() {
    let mut world = World::of_text(&"the cat sat, the bat ".repeat(12), 7);
    let length = world.readings.as_ref().unwrap().prompt.len();
    for query in [None, Some(0), Some(130), Some(length - 1)] {
        world.selection.query = query;
        world.selection.key = None;
        let figure = world.figure("lens");
        let boxes = cells(&figure);
        assert!(boxes.len() < 3 * length);
        let wanted = Pick::Query(query.unwrap_or(0));
        assert_eq!(boxes.iter().filter(|cell| cell.pick == wanted).count(), 3, "{query:?}");
        assert!(figure.title.contains("at positions "), "{}", figure.title);
    }
    let whole = world.figure_with("lens", &[("window", "all"), ("shade", "divergence")]);
    let heat = heats(&whole)[0];
    assert_eq!((heat.rows, heat.columns), (3, length));
    assert!(!whole.title.contains("at positions"), "{}", whole.title);
    assert!(heat.values[2 * length..].iter().all(|kl| *kl == 0.0), "the end is itself");
}

#[test]
fn the_bars_of_a_logit_are_its_parts_and_heads_pick_themselves() {
    let mut world = World::new();
    let figure = world.figure("attribution");
    let sum: f64 = figure.plots[0]
        .marks
        .iter()
        .filter_map(|m| if let Mark::Bars { values, .. } = m { Some(values) } else { None })
        .flatten()
        .sum();
    let call = world.panel("attribution").needs(&world.net, &world.selection).remove(0);
    let answer = world.readings.as_ref().unwrap().get(&call).unwrap().as_ref().unwrap();
    let logit = f64::from(answer.array("logit").unwrap().data[12]);
    assert!((sum - logit).abs() < 1e-5, "{sum} {logit}");
    let heads: Vec<&Pick> =
        cells(&figure).iter().map(|c| &c.pick).filter(|p| **p != Pick::Nothing).collect();
    let head = |layer| Pick::Head { layer, head: 0 };
    assert_eq!(heads, [&head(0), &head(1)]);
    assert_eq!((heats(&figure)[0].rows, heats(&figure)[0].columns), (2, 13));
    assert!(!figure.caption.contains("intervention"), "{}", figure.caption);
    // What an intervention hides from the parts is said.
    let mut reading = attribution(&world.readings.as_ref().unwrap().prompt.tokens);
    for part in reading.arrays.iter_mut().filter(|a| a.name == "rest") {
        part.data = vec![0.5; 40].into();
    }
    world.answer(&call, reading);
    assert!(world.figure("attribution").caption.contains("+0.50 comes of none of these"));
    world.selection.query = None;
    assert!(sentence(&world.figure("attribution")).contains("click a token"));
    // Nothing follows the last token.
    world.selection.query = Some(39);
    let call = world.panel("attribution").needs(&world.net, &world.selection).remove(0);
    let tokens = world.readings.as_ref().unwrap().prompt.tokens.clone();
    world.answer(&call, attribution(&tokens));
    assert!(
        sentence(&world.figure("attribution")).contains("comes nothing: the sequence ends; choose")
    );
}

#[test]
fn many_heads_are_laid_out_in_blocks_that_leave_them_as_much_room_as_there_is() {
    let mut world = World::new();
    world.net.heads = vec![9; 30];
    let n = world.readings.as_ref().unwrap().prompt.len();
    let layer = |layer: usize| {
        let shape = [9, n, n];
        array(
            &format!("pattern.layer{layer}"),
            &["head", "query", "key"],
            &shape,
            vec![0.25; 9 * n * n],
        )
    };
    let arrays = (0..30).map(layer).collect();
    world.answer(&MeasurementCall::new("attention"), Reading { arrays, ..Reading::default() });
    for size in [[470.0, 130.0], [560.0, 230.0], [300.0, 700.0], [900.0, 900.0]] {
        world.size = size;
        let figure = world.figure("heads");
        let picked = |plot: &Plot| {
            if let Pick::Head { layer, head } = plot.pick { Some((layer, head)) } else { None }
        };
        let heads: BTreeSet<(usize, usize)> = figure.plots.iter().filter_map(picked).collect();
        assert_eq!(heads.len(), 270, "{size:?}: each head has a map");
        let rows = figure.plots.len().div_ceil(figure.columns);
        // The title, the names and the caption have their room.
        let [width, height] = [size[0], f32::max(size[1] - 50.0, 0.5 * size[1])];
        let side = (width / figure.columns as f32).min(height / rows as f32);
        let as_one = (width / 9.0).min(height / 30.0).max((width / 30.0).min(height / 9.0));
        assert!(side >= 0.75 * as_one, "{size:?}: {side} points where one block has {as_one}");
        // No more than half of the room is left empty along the longer side.
        let used = side * side * figure.plots.len() as f32 / (width * height);
        assert!(used > 0.5, "{size:?}: {used} of the room is used");
        // Rows of the first block are named at the edge, those of the others before them in the grid.
        let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
        let named = marks.filter(|mark| matches!(mark, Mark::Text { .. })).count();
        let is_turned = figure.columns == 30;
        assert_eq!(named, if is_turned { 0 } else { 30 - rows }, "{size:?}");
        assert!(figure.edges.is_some(), "{size:?}");
    }
}

#[test]
fn heads_stand_in_a_grid_and_pick_themselves() {
    let mut world = World::new();
    world.net.heads = vec![2, 0, 1];
    let n = world.readings.as_ref().unwrap().prompt.len();
    let axes = ["head", "query", "key"];
    world.answer(
        &MeasurementCall::new("attention"),
        Reading {
            arrays: vec![
                array("pattern.layer0", &axes, &[2, n, n], vec![0.25; 2 * n * n]),
                array("pattern.layer2", &axes, &[1, n, n], vec![0.5; n * n]),
            ],
            ..Reading::default()
        },
    );
    world.selection.layer = 2;
    let figure = world.figure("heads");
    assert_eq!(figure.columns, 2);
    let picks: Vec<&Pick> = figure.plots.iter().map(|p| &p.pick).collect();
    assert_eq!(
        picks,
        [
            &Pick::Head { layer: 0, head: 0 },
            &Pick::Head { layer: 0, head: 1 },
            &Pick::Head { layer: 2, head: 0 },
            &Pick::Nothing
        ]
    );
    let titles: Vec<&str> = figure.plots.iter().map(|p| p.title.as_str()).collect();
    assert_eq!(titles, ["L0 H0", "L0 H1", "L2 H0", ""]);
    let outlined = |i: usize| figure.plots[i].marks.iter().any(|m| matches!(m, Mark::Rect { .. }));
    assert_eq!([0, 1, 2].map(outlined), [false, false, true]);
}

#[test]
fn a_long_pattern_keeps_its_sharp_lines_as_a_thumbnail() {
    let world = World::of_text(&"abcdefgh".repeat(64), 7);
    let world = World { size: [100.0, 200.0], ..world };
    let figure = world.figure_with("heads", &[("window", "all")]);
    let previous = heats(&figure)[0];
    assert!(previous.rows < 512);
    for row in 1..previous.rows {
        assert!(previous.values[row * previous.columns + row] >= 0.8, "row {row}");
    }
}

#[test]
fn the_score_above_a_head_is_the_share_of_attention_it_names() {
    let mut world = World::of_text("abcabcabc", 7);
    let tokens = world.readings.as_ref().unwrap().prompt.tokens.clone();
    let n = tokens.len();
    let all = |query: usize, key: usize| {
        f32::from(u8::from(induction_keys(&tokens, query).first() == Some(&key)))
    };
    let values = (0..n * n).map(|i| all(i / n, i % n)).collect();
    let axes = ["head", "query", "key"];
    let arrays = vec![array("pattern.layer0", &axes, &[1, n, n], values)];
    world.net.heads = vec![1];
    world.answer(&MeasurementCall::new("attention"), Reading { arrays, ..Reading::default() });
    let title = |score| world.figure_with("heads", &[("score", score)]).plots[0].title.clone();
    assert_eq!(title("induction"), "L0 H0  1.00");
    assert_eq!(title("previous token"), "L0 H0  0.00");
    assert_eq!(title("duplicate token"), "L0 H0  0.00");
    assert_eq!(title("copying"), "L0 H0");
}

#[test]
fn the_score_above_a_head_may_be_that_on_the_task_or_on_random_tokens() {
    let mut world = World::new();
    let with = |world: &World, score: &str, text: &str| {
        world.figure_with("heads", &[("score", score), ("text", text)])
    };
    let awaited = with(&world, "induction", "random tokens");
    assert_eq!(awaited.plots[0].title, "L0 H0");
    let scores = |first: f32| vec![first, f32::NAN];
    let names = [
        ("prefix_matching", 0.11),
        ("prefix_matching_task", 0.98),
        ("copying", 0.21),
        ("copying_task", 0.22),
        ("duplicate_token", 0.31),
        ("duplicate_token_task", 0.32),
        ("previous_token", 0.41),
        ("previous_token_random", 0.42),
    ];
    let table = |(name, first)| array(name, &["layer", "head"], &[2, 1], scores(first));
    let arrays = names.map(table).into();
    world.answer(&MeasurementCall::new("heads"), Reading { arrays, ..Reading::default() });
    for (score, text, title) in [
        ("induction", "random tokens", "L0 H0  0.11"),
        ("induction", "sequences of the task", "L0 H0  0.98"),
        ("copying", "random tokens", "L0 H0  0.21"),
        ("copying", "sequences of the task", "L0 H0  0.22"),
        ("duplicate token", "random tokens", "L0 H0  0.31"),
        ("duplicate token", "sequences of the task", "L0 H0  0.32"),
        ("previous token", "sequences of the task", "L0 H0  0.41"),
        ("previous token", "random tokens", "L0 H0  0.42"),
    ] {
        let figure = with(&world, score, text);
        assert_eq!(figure.plots[0].title, title, "{score} {text}");
        assert_eq!(figure.plots[1].title, "L1 H0", "undefined");
        assert!(
            figure.caption.ends_with(&format!(
                " Numbers: {score}, on {text}{}.",
                if text == "random tokens" { ", repeated" } else { "" }
            )),
            "{}",
            figure.caption
        );
    }
    world.refuse(&MeasurementCall::new("heads"), "too short for repeats");
    let refused = with(&world, "induction", "random tokens");
    assert!(refused.caption.ends_with("No numbers: too short for repeats."), "{}", refused.caption);
    let asks = |score: &str, text: &str| {
        let mut panel = world.panel("heads");
        for (name, value) in [("score", score), ("text", text)] {
            settings::set(&mut *panel, "", name, &toml::Value::from(value)).unwrap();
        }
        panel.needs(&world.net, &world.selection).iter().any(|call| call.measurement == "heads")
    };
    assert!(asks("copying", "random tokens") && !asks("nothing", "random tokens"));
    assert!(!asks("induction", "the sequence in view"));
}

#[test]
fn the_attention_map_holds_the_values_given() {
    let world = World::new();
    let figure = world.figure("attention");
    let heat = heats(&figure)[0];
    let tokens = world.readings.as_ref().unwrap().prompt.tokens.clone();
    let given = attention(&tokens).arrays[1].clone();
    assert_eq!(heat.values, given.data);
    assert!(heat.causal);
    assert_eq!(figure.title, "Attention of layer 1, head 0, step 200");
}

/// A world whose layer 1 gives half of its attention to two memory tokens and spreads the rest over what it sees.
fn with_memory(text: &str) -> World {
    let mut world = World::of_text(text, 7);
    let n = world.readings.as_ref().unwrap().prompt.len();
    let weight = |query: usize, key: usize| match key.checked_sub(2) {
        None => 0.125 + 0.25 * key as f32,
        Some(position) if position <= query => 0.5 / (query + 1) as f32,
        Some(_) => 0.0,
    };
    let values = (0..n * (n + 2)).map(|i| weight(i / (n + 2), i % (n + 2))).collect();
    let pattern = array("pattern.layer1", &["head", "query", "key"], &[1, n, n + 2], values)
        .labelled(["m0", "m1"].map(String::from).into());
    let arrays = vec![pattern];
    world.answer(&MeasurementCall::new("attention"), Reading { arrays, ..Reading::default() });
    world
}

#[test]
fn memory_stands_left_of_the_positions_and_shifts_none_of_them() {
    let mut world = with_memory("abcdabcdab");
    world.selection = Selection { layer: 1, query: Some(6), ..Selection::default() };
    let figure = world.figure_with("attention", &[("curves", "true")]);
    let heat = heats(&figure)[0];
    assert_eq!((heat.rows, heat.columns, heat.before), (10, 12, 2));
    let x = &figure.plots[0].x;
    assert_eq!(x.range, (-2.0, 10.0));
    assert_eq!([-2.0, -1.0, 0.0, 3.0, 10.0].map(|at| x.ticks.name(at)), ["m0", "m1", "a", "d", ""]);
    let framed = |from: [f64; 2], to: [f64; 2]| {
        let is = |mark: &Mark| matches!(mark, Mark::Rect { from: a, to: b, .. } if *a == from && *b == to);
        figure.plots[0].marks.iter().any(is)
    };
    assert!(framed([-2.0, 0.0], [0.0, 10.0]), "memory is told apart from positions");
    assert!(
        figure.caption.contains("50 % of the attention goes to memory (m0 to m1), left of the gap")
    );
    // What a pointer finds.
    let scene = layout(&figure, [500.0, 500.0], &Style::light());
    let area = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Heat(_))).unwrap();
    let at = |query: f32, key: f32| {
        let [from, to] = area.frame;
        let along = |i: usize, t: f32| from[i] + (to[i] - from[i]) * t;
        pick(&scene, [along(0, (key + 2.5) / 12.0), along(1, (query + 0.5) / 10.0)])
    };
    let (picked, hover) = at(6.0, 3.0).unwrap();
    assert_eq!(picked, Pick::QueryKey { query: 6, key: 3 });
    assert!(hover.starts_with("query 6 'c' → key 3 'd': "), "{hover}");
    let memory = (Pick::Nothing, "query 6 'c' → memory 'm1': 0.375".to_owned());
    assert_eq!(at(6.0, -1.0), Some(memory));
    assert_eq!(at(6.0, 0.0).unwrap().0, Pick::QueryKey { query: 6, key: 0 });
    assert_eq!(at(6.0, 7.0), None, "a later key");
    // Beside the map the selected row begins with memory.
    let bars: Vec<(f64, f64)> = figure.plots[1]
        .marks
        .iter()
        .filter_map(
            |m| if let Mark::Bars { at, values, .. } = m { Some((at, values)) } else { None },
        )
        .flat_map(|(at, values)| at.iter().copied().zip(values.iter().copied()))
        .collect();
    assert_eq!(bars[..2], [(-1.5, 0.125), (-0.5, 0.375)]);
    assert_eq!((bars[2].0, bars.len()), (0.5, 2 + 7));
    assert_eq!(figure.plots[1].x.range, (-2.0, 10.0));
}

#[test]
fn the_parts_of_a_query_that_sees_compressed_rows_are_framed_and_said() {
    // Segments of 4 and a cache of 2: query 9 sees two rows, the positions 6 and 7, and its own 8 and 9.
    let mut world = with_memory("abcdabcdab");
    world.net.segment = 4;
    let row = |weights: [f32; 12]| weights.to_vec();
    let mut values = vec![0.0; 9 * 12];
    values.extend(row([0.1, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.125, 0.125, 0.25, 0.2]));
    let pattern = array("pattern.layer1", &["head", "query", "key"], &[1, 10, 12], values)
        .labelled(["cm0", "cm1"].map(String::from).into());
    let arrays = vec![pattern];
    world.answer(&MeasurementCall::new("attention"), Reading { arrays, ..Reading::default() });
    world.selection = Selection { layer: 1, query: Some(9), ..Selection::default() };
    let figure = world.figure("attention");
    let framed = |from: f64, to: f64| {
        let is = |mark: &Mark| matches!(mark, Mark::Frame { from: a, to: b, .. } if *a == [from, 9.0] && *b == [to, 10.0]);
        figure.plots[0].marks.iter().any(is)
    };
    assert!(framed(-2.0, 0.0) && framed(6.0, 8.0) && framed(8.0, 10.0));
    let said: Vec<&str> = figure.plots[0].legend.iter().map(|entry| &*entry.text).collect();
    for part in ["cm: compressed 0.300", "m: cache 0.250", "x: its segment 0.450"] {
        assert!(said.contains(&part), "{said:?}");
    }
    world.net.segment = 0;
    assert!(!world.figure("attention").plots[0].legend.iter().any(|e| e.text.starts_with("cm")));
}

/// A world that is asked what it keeps in layer 1.
fn keeping(text: &str, reading: &Reading) -> World {
    let mut world = World::of_text(text, 7);
    for call in world.panel("working_memory").needs(&world.net, &world.selection) {
        world.answer(&call, reading.clone());
    }
    world
}

fn cells_of(plot: &Plot) -> Vec<Cell> {
    let of = |mark: &Mark| if let Mark::Cells(cells) = mark { Some(cells.clone()) } else { None };
    plot.marks.iter().filter_map(of).flatten().collect()
}

#[test]
fn compressed_rows_stand_over_the_positions_that_they_were_made_of() {
    // Three segments of four, a cache of four: the last sees two rows of two positions.
    let seen = [
        [[0.25; 4], [0.0; 4], [0.0; 4]].concat(),
        [[0.125; 4], [0.125; 4], [0.0; 4]].concat(),
        [[0.0; 4], [0.0625; 4], [0.125; 4]].concat(),
    ];
    let mut rows = vec![0.0; 2 * 8];
    rows.extend([0.125, 0.125].repeat(4));
    let of = |name: &str, axes: &[&str], shape: &[usize], data| array(name, axes, shape, data);
    let reading = Reading {
        arrays: vec![
            of("segment", &["segment"], &[3], vec![0.0, 4.0, 8.0]),
            of("cache.layer1", &["head", "segment", "from"], &[1, 3, 3], vec![0.0; 9]),
            of("seen.layer1", &["head", "segment", "position"], &[1, 3, 12], seen.concat()),
            of("compressed.layer1", &["head", "position", "row"], &[1, 12, 2], rows),
        ],
        numbers: vec![("rate".to_owned(), 2.0)],
        ..Reading::default()
    };
    let mut world = keeping("abcdabcdabcd", &reading);
    world.size = [500.0, 500.0];
    let figure = world.figure("working_memory");
    let cells = cells_of(&figure.plots[0]);
    // 4 and 8 and 8 positions, and two rows in the last segment.
    assert_eq!(cells.len(), 22);
    let named: Vec<_> = cells.iter().filter(|cell| !cell.text.is_empty()).collect();
    assert_eq!([&*named[0].text, &*named[1].text], ["cm0", "cm1"]);
    assert_eq!((named[1].from, named[1].to), ([2.0, 2.0], [4.0, 3.0]));
    assert!(named[1].hover.contains("cm1, made of 2 “c” to 3 “d”"), "{}", named[1].hover);
    assert!(
        figure.caption.contains(
            "0.250 of its attention to compressed rows, 0.250 to its cache and 0.500 to itself"
        ),
        "{}",
        figure.caption
    );
    let lanes = heats(&figure)[0];
    assert_eq!((lanes.rows, lanes.columns), (2, 12));
    assert!(lanes.values[..8].iter().all(|x| x.is_nan()) && lanes.values[8] == 0.125);
}

#[test]
fn what_a_segment_retrieves_stands_over_the_segments_that_it_came_from() {
    let mut reading = working_memory(24, 1);
    let shares = vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.25, 0.75, 0.0];
    reading.arrays.push(array("retrieval", &["segment", "from"], &[3, 3], shares));
    let world = keeping("abcdefghabcdefghabcdefgh", &reading);
    let figure = world.figure("working_memory");
    let cells = cells_of(&figure.plots[0]);
    let places: Vec<_> = cells.iter().map(|cell| (cell.from, cell.to, &*cell.text)).collect();
    let expected = [
        ([0.0, 0.0], [8.0, 1.0], "1.00"),
        ([0.0, 1.0], [8.0, 2.0], "0.25"),
        ([8.0, 1.0], [16.0, 2.0], "0.75"),
    ];
    assert_eq!(places, expected);
    assert!(figure.caption.contains("retrieves most from segment 1"), "{}", figure.caption);
}

#[test]
fn mechanisms_that_compete_have_a_lane_each() {
    let shares = (0..12).flat_map(|at| [at as f32 / 12.0, 1.0 - at as f32 / 12.0]).collect();
    let shares = array("gate.competition.layer4", &["position", "mechanism"], &[12, 2], shares);
    let segment = array("segment", &["segment"], &[1], vec![0.0]);
    let world =
        keeping("abcdabcdabcd", &Reading { arrays: vec![segment, shares], ..Reading::default() });
    let figure = world.figure("working_memory");
    let lanes = heats(&figure)[0];
    assert_eq!((lanes.rows, lanes.columns, lanes.range), (2, 12, (0.0, 1.0)));
    // Whatever layer is in focus.
    assert_eq!(
        (figure.plots.len(), &*figure.plots[0].title),
        (1, "share of each mechanism, layer 4")
    );
    assert!(figure.caption.contains("Each row is a mechanism"), "{}", figure.caption);
}

#[test]
fn memory_has_its_labels_in_the_files_of_a_figure() {
    let mut world = with_memory("abcdabcdab");
    (world.selection.layer, world.selection.head) = (1, 0);
    let figure = world.figure_with("attention", &[("curves", "false"), ("hide_first", "true")]);
    let csv = table::csv(&figure).unwrap();
    let row = |start: &str| csv.lines().find(|line| line.contains(start)).unwrap_or_default();
    assert!(row(",cell,-2,6,").ends_with(",0.125,m0,c"), "{csv}");
    assert!(row(",cell,3,6,").ends_with(",d,c"), "{csv}");
    assert_eq!(row(",cell,0,6,"), "", "the first key is that of position 0");
    assert_eq!(row(",cell,7,6,"), "", "a later key");
    let heat = heats(&figure)[0];
    assert!(heat.values[6 * 12 + 2].is_nan() && !heat.values[6 * 12].is_nan());
}

#[test]
fn memory_is_part_of_thumbnails_but_not_of_their_scores() {
    let mut world = with_memory("abcdabcdab");
    world.net.heads = vec![0, 1];
    let figure = world.figure_with("heads", &[("score", "previous token")]);
    let heat = heats(&figure)[0];
    assert_eq!((heat.rows, heat.columns, heat.before), (10, 12, 2));
    let mean = (1..10).map(|query| 0.5 / f64::from(query + 1)).sum::<f64>() / 9.0;
    assert_eq!(figure.plots[0].title, format!("L1 H0  {mean:.2}"));
    assert!(figure.caption.contains("memory tokens"), "{}", figure.caption);
}

#[test]
fn a_window_that_does_not_begin_at_0_leaves_memory_out_and_says_so() {
    let mut world = with_memory(&"abcdefgh".repeat(16));
    world.selection.layer = 1;
    let figure = world.figure_with("attention", &[("window", "last 64")]);
    assert_eq!(figure.plots[0].x.range, (64.0, 128.0));
    assert!(figure.caption.contains("is not drawn in this window"), "{}", figure.caption);
    let scene = layout(&figure, [500.0, 500.0], &Style::light());
    let area = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Heat(_))).unwrap();
    let middle = [0, 1].map(|i| (area.min[i] + area.max[i]) / 2.0 + 1.0 - 4.0 * i as f32);
    let (picked, _) = pick(&scene, [middle[0] - 8.0, middle[1] + 8.0]).unwrap();
    let Pick::QueryKey { query, key } = picked else { panic!("{picked:?}") };
    assert!((92..100).contains(&query) && (92..100).contains(&key), "{query}, {key}");
}

#[test]
fn the_expected_cells_of_the_selected_query_are_those_after_earlier_copies() {
    let mut world = World::of_text("abcdabcdab", 7);
    world.selection = Selection { layer: 1, query: Some(8), ..Selection::default() };
    let figure = world.figure_with("attention", &[("curves", "false")]);
    let outlined: Vec<[f64; 2]> = figure.plots[0]
        .marks
        .iter()
        .filter_map(|m| {
            if let Mark::Frame { from, to, .. } = m
                && to[0] - from[0] == 1.0
                && to[1] - from[1] == 1.0
            {
                Some(*from)
            } else {
                None
            }
        })
        .collect();
    // "a" at 8 stood at 0 and 4: the keys at 1 and 5.
    assert_eq!(outlined, [[1.0, 8.0], [5.0, 8.0]]);
}

#[test]
fn a_frame_covers_nothing_of_the_cells_that_it_marks() {
    let world = World::of_text(&"abcdefgh".repeat(8), 7);
    let figure = world.figure_with("attention", &[("expected", "all")]);
    for size in [[420.0, 320.0], [160.0, 160.0]] {
        let scene = layout(&figure, size, &Style::light());
        let area = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Heat(_))).unwrap();
        let Item::Image { min, max, columns, rows, .. } =
            scene.items.iter().find(|i| matches!(i, Item::Image { .. })).unwrap()
        else {
            panic!("no map")
        };
        let cell = [(max[0] - min[0]) / *columns as f32, (max[1] - min[1]) / *rows as f32];
        let frames: Vec<_> = scene
            .items
            .iter()
            .filter_map(|item| {
                if let Item::Rect { min, max, fill: None, stroke: Some((_, width)) } = item {
                    Some((*min, *max, *width))
                } else {
                    None
                }
            })
            .filter(|(from, to, _)| to[0] - from[0] < 2.0 * cell[0] + 4.0 && from[1] >= area.min[1])
            .collect();
        assert!(frames.len() > 20, "{}", frames.len());
        for (from, to, width) in frames {
            let inside = [0, 1].map(|i| to[i] - from[i] - width);
            assert!((0..2).all(|i| inside[i] >= cell[i] - 1e-3), "{inside:?} of {cell:?}");
        }
    }
}

#[test]
fn the_selected_query_is_joined_by_arcs_to_what_it_attends_to_most() {
    let mut world = World::new();
    let ends = |world: &World| -> Vec<[f64; 2]> {
        let figure = world.figure("tokens");
        let boxes = cells(&figure);
        let marks = figure.plots[0].marks.iter();
        let arcs = marks.filter_map(|mark| {
            if let Mark::Arc { ends: [from, to], .. } = mark { Some((*from, *to)) } else { None }
        });
        let at = |place: [f64; 2]| {
            let holds = |c: &&Cell| {
                c.from[0] <= place[0]
                    && place[0] <= c.to[0]
                    && c.from[1] - 1e-9 <= place[1]
                    && place[1] <= c.to[1] + 1e-9
            };
            boxes.iter().position(holds).unwrap() as f64
        };
        arcs.map(|(from, to)| [at(from), at(to)]).collect()
    };
    let pattern = attention(&world.readings.as_ref().unwrap().prompt.tokens).arrays[1].clone();
    let found = ends(&world);
    let row = &pattern.data[12 * 40..12 * 40 + 12];
    let mut best: Vec<usize> = (0..12).filter(|key| row[*key] >= 0.08).collect();
    best.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    // The strongest is drawn last.
    let wanted: Vec<[f64; 2]> = best.iter().take(4).rev().map(|k| [12.0, *k as f64]).collect();
    assert!(!wanted.is_empty());
    assert_eq!(found, wanted);
    world.selection.query = None;
    assert!(ends(&world).is_empty());
}

#[test]
fn each_query_may_have_a_scale_of_its_own_and_the_numbers_stay() {
    let world = World::new();
    let plain = world.figure("attention");
    let own = world.figure_with("attention", &[("range", "row")]);
    let (plain, own) = (heats(&plain)[0], heats(&own)[0]);
    assert_eq!(plain.values, own.values);
    for row in 0..own.rows {
        let shades = (0..=row).map(|column| own.shade(row, column));
        assert_eq!(shades.fold(0.0, f32::max), 1.0, "row {row}");
    }
    let root = world.figure_with("attention", &[("range", "square root")]);
    let root = heats(&root)[0];
    for cell in [0, 3, 7] {
        let [linear, root] = [plain, root].map(|heat| heat.shade(9, cell));
        assert!((root * root - linear).abs() < 1e-6, "{root} {linear}");
    }
}

#[test]
fn hiding_the_first_key_leaves_it_out_of_map_and_scale_and_says_so() {
    let mut world = World::new();
    let n = world.readings.as_ref().unwrap().prompt.len();
    let values = (0..n * n)
        .map(|i| match (i / n, i % n) {
            (_, 0) => 0.9,
            (query, key) if key <= query => 0.1 / query as f32,
            _ => 0.0,
        })
        .collect();
    let pattern = array("pattern.layer1", &["head", "query", "key"], &[1, n, n], values);
    world.answer(
        &MeasurementCall::new("attention"),
        Reading { arrays: vec![pattern], ..Reading::default() },
    );
    let plain = world.figure("attention");
    assert!(plain.caption.contains("90 % of the attention goes to the first token"));
    let hidden = world.figure_with("attention", &[("hide_first", "true")]);
    let heat = heats(&hidden)[0];
    assert!((0..n).all(|query| heat.values[query * n].is_nan()));
    assert_eq!(heat.range, (0.0, 0.1));
    assert!(hidden.caption.contains("left out; it takes 90 %"));
}

#[test]
fn a_window_shows_part_of_a_long_sequence_without_renumbering_it() {
    let mut world = World::of_text(&"abcdefgh".repeat(16), 7);
    world.selection.query = Some(100);
    let range = |value| {
        let figure = world.figure_with("attention", &[("window", value)]);
        assert_eq!(heats(&figure)[0].rows, 128);
        figure.plots[0].x.range
    };
    assert_eq!(range("48 in view"), (76.0, 124.0));
    assert_eq!(range("all"), (0.0, 128.0));
    assert_eq!(range("last 64"), (64.0, 128.0));
    assert_eq!(range("around the selection"), (64.0, 128.0));
    world.selection.query = Some(50);
    let figure = world.figure_with("attention", &[("window", "around the selection")]);
    assert_eq!(figure.plots[0].x.range, (18.0, 82.0));
    // As it comes, the beginning; where a hand has scrolled, that, and the small maps with it.
    let begins = |world: &World| world.figure("attention").plots[0].x.range.0;
    world.selection.query = Some(47);
    assert_eq!(begins(&world), 0.0);
    world.selection.first = Some(70);
    assert_eq!(begins(&world), 70.0);
    let figure = world.figure("heads");
    let previous = heats(&figure)[0];
    assert_eq!((previous.rows, previous.columns), (48, 48));
    assert!(figure.caption.contains("Positions 70 to 117 of 0 to 127."), "{}", figure.caption);
}

#[test]
fn the_curves_beside_the_map_are_its_row_and_its_column() {
    let world = World::new();
    let figure = world.figure_with("attention", &[("curves", "true")]);
    let pattern = heats(&figure)[0];
    let bars = figure.plots[1].marks.iter().find_map(|m| {
        if let Mark::Bars { at, values, .. } = m {
            Some((at.clone(), values.clone()))
        } else {
            None
        }
    });
    let at = |query: usize, key: usize| f64::from(pattern.values[query * pattern.columns + key]);
    let middles = (0..=12).map(|key| f64::from(key) + 0.5).collect();
    let row: Vec<f64> = (0..=12).map(|key| at(12, key)).collect();
    assert_eq!(bars, Some((middles, row)));
    let column: Vec<[f64; 2]> = (4..40).map(|query| [query as f64 + 0.5, at(query, 4)]).collect();
    assert_eq!(line(&figure, "who attends to 4 “c”")[0], column);
}

#[test]
fn without_a_key_the_column_of_the_query_is_drawn() {
    let mut world = World::new();
    world.selection.key = None;
    let figure = world.figure_with("attention", &[("curves", "true")]);
    let pattern = heats(&figure)[0];
    let at = |query: usize| f64::from(pattern.values[query * pattern.columns + 12]);
    let column: Vec<[f64; 2]> = (12..40).map(|query| [query as f64 + 0.5, at(query)]).collect();
    assert_eq!(line(&figure, "who attends to 12 “t”")[0], column);
    let legend: Vec<&str> = figure.plots[1].legend.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(legend, ["whom 12 “t” attends to", "who attends to 12 “t”"]);
}

#[test]
fn coloured_by_token_the_points_have_the_colours_of_the_legend() {
    let world = World::new();
    let figure = world.figure_with("query_key", &[("color", "token")]);
    let legend = &figure.plots[0].legend;
    let cloud = cloud(&figure);
    let tokens = &world.readings.as_ref().unwrap().prompt.tokens;
    let mut own = 0;
    for (i, &id) in tokens.iter().enumerate() {
        let glyph = world.vocab.glyph(id);
        let entry = legend.iter().find(|e| e.text == glyph);
        let other = || legend.iter().find(|e| e.text == "other tokens").unwrap();
        own += usize::from(entry.is_some());
        if i != 12 {
            let color = cloud.colors[80 + i];
            assert_eq!(color, entry.unwrap_or_else(other).color.alpha(color.a), "{glyph}");
        }
    }
    assert!(own > 20 && own < 40, "{own} positions have frequent tokens");
    let mut colors: Vec<Color> = legend.iter().filter(|e| !e.is_line()).map(|e| e.color).collect();
    let count = colors.len();
    colors.dedup();
    assert_eq!((colors.len(), count), (9, 9), "eight tokens and the others");
}

#[test]
fn points_of_the_sequence_in_view_pick_its_positions_and_others_pick_theirs() {
    let world = World::new();
    let figure = world.figure("query_key");
    let cloud = cloud(&figure);
    assert_eq!(cloud.picks.len(), 2 * 3 * 40);
    // The sequence in view is the last of three.
    assert_eq!(cloud.picks[85], Pick::Query(5));
    assert_eq!(cloud.picks[120 + 85], Pick::Key(5));
    assert_eq!(cloud.picks[41], Pick::CloudPoint { sequence: 1, position: 1, is_key: false });
    let hover = &cloud.hovers[120 + 85];
    assert!(
        hover.starts_with("key “a”, trigger\nposition 5 of 40 in the sequence in view\nnorm "),
        "{hover}"
    );
    assert!(hover.ends_with("\nthe␣c[a]t␣and␣the␣hat␣and␣the␣ba …"), "{hover}");
    assert!(cloud.hovers[41].contains("position 1 of 40 in sequence 1\n"));
    assert_eq!(cloud.rings, [92, 120 + 84]);
    // It stands out; the others step back.
    let alpha = |i: usize| cloud.colors[i].a;
    assert_eq!((alpha(85), alpha(205), alpha(41)), (255, 255, 60));
    assert_eq!(cloud.points.len(), 2 * 3 * 40 * 8);
    assert_eq!(cloud.basis.len(), 3 * 8);
}

#[test]
fn links_join_the_selected_query_to_the_keys_it_attends_to() {
    let world = World::new();
    let figure = world.figure("query_key");
    let links = &cloud(&figure).links;
    let pattern = attention(&world.readings.as_ref().unwrap().prompt.tokens).arrays[1].clone();
    let row = &pattern.outer(0)[12 * 40..13 * 40];
    let wanted: Vec<u32> =
        (0..40).filter(|&k| row[k as usize] >= 0.02).map(|k| k + 120 + 80).collect();
    assert!(links.iter().all(|(from, _, _)| *from == 80 + 12));
    assert_eq!(links.iter().map(|(_, to, _)| *to).collect::<Vec<_>>(), wanted);
    assert!(cloud(&world.figure_with("query_key", &[("links", "false")])).links.is_empty());
}

#[test]
fn the_cloud_keeps_its_axes_from_step_to_step() {
    let (before, after) =
        (World::new(), World::of_text("the cat and the hat and the bat, the rat", 8));
    let panel = before.panel("query_key");
    let mut memory = Memory::default();
    let first = panel.next_figure(&before.view(), &mut memory);
    let second = panel.next_figure(&after.view(), &mut memory);
    let (a, b) = (&cloud(&first).basis, &cloud(&second).basis);
    for axis in 0..3 {
        let (a, b) = (&a[axis * 8..(axis + 1) * 8], &b[axis * 8..(axis + 1) * 8]);
        let overlap: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        assert!(overlap > 0.9, "axis {axis} turned: {overlap}");
    }
    // Looking again changes nothing.
    assert_eq!(panel.next_figure(&after.view(), &mut memory), second);
    // The panel itself remembers nothing: by itself it draws what one draws that has drawn nothing before.
    let alone = before.panel("query_key").figure(&after.view());
    assert_eq!(panel.figure(&after.view()), alone);
    assert_ne!(alone, second, "the axes of the two steps do not agree by themselves");
}

#[test]
fn a_head_of_one_dimension_is_a_cloud_too() {
    let mut world = World::new();
    let tokens = world.readings.as_ref().unwrap().prompt.tokens.clone();
    for call in world.panel("query_key").needs(&world.net, &world.selection) {
        if call.measurement == "query_key" {
            world.answer(&call, query_key(&tokens, 1, 1, 7));
        }
    }
    for space in ["2D", "3D"] {
        let figure = world.figure_with("query_key", &[("space", space)]);
        assert_eq!(cloud(&figure).basis.len(), 3);
    }
}

/// The figure of circuits under a setting.
fn of_circuits(world: &mut World, which: &str, centered: bool) -> Figure {
    let mut panel = world.panel("circuits");
    settings::set(&mut *panel, "", "which", &which.into()).unwrap();
    settings::set(&mut *panel, "", "centered", &centered.into()).unwrap();
    for call in panel.needs(&world.net, &world.selection) {
        world.answer(&call, circuits(world.vocab.len(), 12));
    }
    panel.figure(&world.view())
}

#[test]
fn circuits_draw_the_maps_that_are_asked_for() {
    let mut world = World::new();
    let scores = ["QK circuit", "Position to position", "Token to position", "Position to token"];
    let heads = ["Copying", "Q-composition", "K-composition", "V-composition"];
    let eigenvalues = ["Eigenvalues of OV"];
    let tokens = ["QK circuit", "OV circuit"];
    let all = [&tokens[..], &["Direct path"], &scores[1..], &eigenvalues, &heads].concat();
    for (which, titles) in [
        ("tokens", &tokens[..]),
        ("positions", &scores),
        ("eigenvalues", &eigenvalues),
        ("heads", &heads),
        ("all", &all),
    ] {
        let figure = of_circuits(&mut world, which, true);
        let drawn: Vec<&str> = figure.plots.iter().map(|plot| plot.title.as_str()).collect();
        assert_eq!(drawn, titles, "{which}");
        let told =
            figure.caption.contains("two matrices turned at random against each other have 0.12");
        assert_eq!(told, ["heads", "all"].contains(&which), "{}", figure.caption);
        assert!(figure.caption.contains("what layers before layer 1 write is left out"));
    }
}

#[test]
fn rows_of_circuits_lose_their_mean_and_parts_of_scores_have_one_scale() {
    let mut world = World::new();
    let rows = |figure: &Figure| -> Vec<f32> {
        let heat = heats(figure)[0];
        heat.values.chunks_exact(heat.columns).map(|row| row.iter().sum()).collect()
    };
    let centered = of_circuits(&mut world, "positions", true);
    assert!(rows(&centered).iter().all(|sum| sum.abs() < 1e-3));
    assert!(rows(&of_circuits(&mut world, "positions", false)).iter().any(|sum| sum.abs() > 1.0));
    let ranges: Vec<(f32, f32)> = heats(&centered).iter().map(|heat| heat.range).collect();
    assert!(ranges.iter().all(|range| *range == ranges[0] && range.0 == -range.1), "{ranges:?}");
}

#[test]
fn without_a_table_of_positions_circuits_say_so() {
    let mut world = World::new();
    let mut panel = world.panel("circuits");
    settings::set(&mut *panel, "", "which", &"positions".into()).unwrap();
    let mut without = circuits(world.vocab.len(), 12);
    without.arrays.retain(|array| !array.name.contains("position"));
    for call in panel.needs(&world.net, &world.selection) {
        world.answer(&call, without.clone());
    }
    assert!(sentence(&panel.figure(&world.view())).contains("no table of positions"));
}

#[test]
fn memories_stand_beside_their_ideal_and_name_what_is_missing() {
    let world = World::new();
    let figure = world.figure_with("memories", &[("which", "wo2")]);
    assert_eq!(figure.plots.len(), 2);
    assert_eq!(figure.plots[0].title, "What to output (W_O2): 67 % stored");
    let ideal = heats(&figure)[1];
    for (i, value) in ideal.values.iter().enumerate() {
        assert_eq!(*value, f32::from(u8::from(i / 29 == i % 29)));
    }
    assert!(figure.caption.contains("not yet stored b e h k n q t w z ↵"), "{}", figure.caption);
    let figure = world.figure_with("memories", &[("which", "wk1")]);
    let ideal = heats(&figure)[1];
    assert_eq!((ideal.rows, ideal.columns), (64, 64));
    assert_eq!(ideal.values[5 * 64 + 4], 1.0);
    assert_eq!(ideal.values[4 * 64 + 4], 0.0);
    let all = world.figure("memories");
    assert_eq!(all.plots.len(), 8);
    let titles: Vec<&str> = all.plots.iter().step_by(2).map(|p| p.title.as_str()).collect();
    assert_eq!(titles, ["W_O2: 67 %", "W_K2: 67 %", "W_K1: 66 %", "W_F: 0.10 nats"]);
    assert!(all.caption.starts_with("%: share stored"), "{}", all.caption);
}

#[test]
fn where_triggers_are_fixed_the_ideal_of_w_k2_is_theirs_alone() {
    let mut world = World::new();
    let mut answer = memories(29, 64);
    let recalled = answer.arrays.iter_mut().find(|a| a.name == "recalled.wk2").unwrap();
    recalled.data = (0..29).map(|i| if i == 3 || i == 7 { 1.0 } else { f32::NAN }).collect();
    for call in world.panel("memories").needs(&world.net, &world.selection) {
        world.answer(&call, answer.clone());
    }
    let figure = world.figure_with("memories", &[("which", "wk2")]);
    let ones: Vec<usize> = (0..29 * 29).filter(|&i| heats(&figure)[1].values[i] != 0.0).collect();
    assert_eq!(ones, [3 * 29 + 3, 7 * 29 + 7]);
    let figure = world.figure_with("memories", &[("which", "wo2")]);
    assert_eq!(heats(&figure)[1].values.iter().sum::<f32>(), 29.0);
}

#[test]
fn no_title_of_a_matrix_is_cut_in_the_window() {
    // The room and the letters of the window as it opens.
    let world = World { size: [365.0, 200.0], ..World::new() };
    for size in [[365.0, 200.0], [340.0, 220.0]] {
        let scene = layout(&world.figure("memories"), size, &Style::light().scaled(1.2));
        let texts: Vec<&str> = scene.items.iter().filter_map(text_of).collect();
        for title in ["W_O2: 67 %", "W_K2: 67 %", "W_K1: 66 %", "W_F: 0.10 nats"] {
            assert!(texts.contains(&title), "{size:?}: {texts:?}");
        }
    }
}

fn text_of(item: &Item) -> Option<&str> {
    if let Item::Text { text, .. } = item { Some(text) } else { None }
}

#[test]
fn memories_of_another_model_say_where_to_look() {
    let mut world = World::new();
    let why = "this network is a decoder, and its matrices are no memories.";
    for call in world.panel("memories").needs(&world.net, &world.selection) {
        world.refuse(&call, why);
    }
    assert_eq!(sentence(&world.figure("memories")), why);
}

/// The texts among the marks of a figure.
fn texts_of(figure: &Figure) -> Vec<&str> {
    let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
    marks
        .filter_map(
            |mark| if let Mark::Text { text, .. } = mark { Some(text.as_str()) } else { None },
        )
        .collect()
}

/// The cells whose hover begins so.
fn told<'a>(figure: &'a Figure, begin: &str) -> Vec<&'a Cell> {
    cells(figure).into_iter().filter(|cell| cell.hover.starts_with(begin)).collect()
}

#[test]
fn a_tuple_stands_in_the_lane_of_its_register_and_picks_its_symbol() {
    let figure = World::new().figure("gating");
    for (at, (register, symbol)) in
        [(0, "c"), (1, "d"), (0, "d"), (0, "d"), (1, "c"), (0, "d")].into_iter().enumerate()
    {
        let cells = told(&figure, &format!("tuple {at}, "));
        let (glyph, answers) = (cells[0], &cells[1..]);
        assert_eq!(glyph.text, symbol);
        assert_eq!(glyph.pick, Pick::Query(4 * at + 2));
        let middle = [0, 1].map(|i| f64::midpoint(glyph.from[i], glyph.to[i]).floor());
        assert_eq!(middle, [at as f64, f64::from(register)]);
        // What stores is filled, what is ignored is hollow.
        assert_eq!(glyph.fill == Some(LIGHT.paper), [2, 4, 5].contains(&at), "tuple {at}");
        let wrong = at == 4;
        assert_eq!(answers[0].text, if wrong || at == 5 { "e" } else { "f" });
        assert_eq!(answers[0].stroke.is_some(), wrong);
    }
    assert_eq!(
        told(&figure, "tuple 2, ")[0].hover,
        "tuple 2, Ignore a d: it is compared with c, so the right answer is “f”; a should keep what it holds\nthe network says “f” with probability 0.970\na decoder reads from its key: store, a; from its value: d"
    );
}

#[test]
fn bands_last_as_long_as_their_content_and_mark_what_is_decoded_wrongly() {
    let figure = World::new().figure("gating");
    let bands = |begin: &str| -> Vec<(f64, f64, String)> {
        let cells = told(&figure, "after tuple ").into_iter();
        let cells = cells.filter(|cell| cell.hover.contains(begin));
        cells.map(|c| (c.from[0].round(), c.to[0].round(), c.text.clone())).collect()
    };
    // Ends lie at the middle of a tuple, half a column further on: rounded up.
    let text = str::to_owned;
    assert_eq!(bands("a holds"), [(1.0, 3.0, text("c")), (4.0, 6.0, text("d"))]);
    assert_eq!(bands("b holds"), [(1.0, 1.0, text("empty")), (2.0, 6.0, text("d"))]);
    assert_eq!(
        bands("in a, "),
        [(1.0, 2.0, text("c")), (3.0, 3.0, text("d")), (4.0, 6.0, text("d"))]
    );
    let wrong = told(&figure, "after tuple 2 the decoder finds d in a, but it holds c");
    assert_eq!(wrong[0].stroke, Some(LIGHT.ink));
    let plain = World::new().figure_with("gating", &[("decoded", "false")]);
    assert!(cells(&plain).iter().all(|cell| !cell.hover.contains("decoder finds")));
}

/// The lines of a width at the height of gates of a lane, with the x of both ends.
fn leaves(figure: &Figure, width: f32) -> Vec<[[f64; 2]; 2]> {
    let leaf = |mark: &Mark| {
        if let Mark::Line { points, width: w, .. } = mark
            && points.len() == 2
            && *w == width
        {
            Some([points[0], points[1]])
        } else {
            None
        }
    };
    figure.plots[0].marks.iter().filter_map(leaf).collect()
}

#[test]
fn the_leaves_of_a_gate_stand_as_open_as_was_measured() {
    let figure = World::new().figure("gating");
    let opening = |[hinge, tip]: [[f64; 2]; 2], leaf: f64| 1.0 - (tip[0] - hinge[0]).abs() / leaf;
    let told = leaves(&figure, 2.4);
    assert_eq!(told.len(), 8, "two leaves for each of four gates that reads tell of");
    assert_eq!(leaves(&figure, 1.2).len(), 2, "two that nobody tells of");
    let leaf = (told[0][0][0] - 0.5).abs();
    let expected =
        [0.95, 0.9, 0.1, 0.8].map(|open: f64| 1.0 - (open * std::f64::consts::FRAC_PI_2).cos());
    for (pair, expected) in told.chunks(2).zip(expected) {
        assert!(pair.iter().all(|l| (opening(*l, leaf) - expected).abs() < 1e-6), "{pair:?}");
    }
    // An arrow leads through those that are more open than shut.
    let arrows = figure.plots[0].marks.iter().filter(|m| matches!(m, Mark::Arrow { .. })).count();
    assert_eq!(arrows, 3);
    let hover = |at: usize| told_of_gate(&figure, at);
    assert_eq!(
        hover(2),
        "input gate of tuple 2: shut, 0.100 (1: later answers are as if d had been stored, 0: as if not; tuple 3 tells)\nwith Store in the keys alone, and everything else as it is, the answer goes 0.700 of the way to the other one"
    );
    assert!(hover(1).contains("asked by Ignore b d in place of tuple 4"), "{}", hover(1));
    assert!(hover(1).contains("undefined"));
    assert!(hover(4).contains("no read tells") && hover(4).contains("by 0.250 logits"));
}

fn told_of_gate(figure: &Figure, at: usize) -> String {
    told(figure, &format!("input gate of tuple {at}: "))[0].hover.clone()
}

#[test]
fn the_output_gate_is_drawn_from_the_selected_read_to_what_it_looks_at() {
    let mut world = World::new();
    // The sequence is longer than its tuples: the last one is meant.
    world.selection.query = Some(39);
    let looks = |figure: &Figure| -> Vec<(f64, f32, Dash)> {
        let curve = |mark: &Mark| {
            if let Mark::Line { points, width, dash, .. } = mark
                && points.len() > 2
            {
                Some((points[points.len() - 1][0], *width, *dash))
            } else {
                None
            }
        };
        figure.plots[0].marks.iter().filter_map(curve).collect()
    };
    let figure = world.figure("gating");
    let drawn = looks(&figure);
    // Mean over heads: 0.15 to tuple 0, 0.8 to tuple 3, too little to tuple 1.
    assert_eq!(
        drawn.iter().map(|l| (l.0, l.2)).collect::<Vec<_>>(),
        [(0.5, Dash::Dashed), (3.5, Dash::Solid)]
    );
    assert!((drawn[0].1 - (0.6 + 3.0 * 0.15)).abs() < 1e-5 && (drawn[1].1 - 3.0).abs() < 1e-5);
    let said = told(
        &figure,
        "attention from tuple 5 to tuple 3, mean over heads 0.800 (head 0: 0.900, head 1: 0.700)",
    );
    assert_eq!(said[0].pick, Pick::QueryKey { query: 22, key: 14 });
    world.selection.query = Some(2);
    assert!(looks(&world.figure("gating")).is_empty());
}

#[test]
fn what_decoders_find_by_luck_is_not_drawn() {
    let mut world = World::new();
    let mut answer = gating();
    // A third of the way from luck to always right.
    let luck = [("register_accuracy", 0.69), ("register_shuffled", 0.535)];
    for (name, value) in luck {
        answer.numbers.iter_mut().filter(|n| n.0 == name).for_each(|n| n.1 = value);
    }
    world.answer(&MeasurementCall::new("gating"), answer);
    let figure = world.figure("gating");
    let found = told(&figure, "what ");
    assert_eq!(
        found.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>(),
        ["not readable"; 2]
    );
    assert!(found.iter().all(|cell| cell.fill.is_none() && cell.hover.contains("register 0.69")));
    assert!(!told(&figure, "tuple 2, ")[0].hover.contains("a decoder reads"));
    // What the rule says and what the network answers stays.
    let framed = |c: &&Cell| c.stroke == Some(LIGHT.ink) && c.hover.contains("the network says");
    assert_eq!(cells(&figure).into_iter().filter(framed).count(), 1);
}

#[test]
fn a_gate_without_a_number_says_why_beside_the_lanes() {
    let mut world = World::new();
    world.size = [700.0, 420.0];
    let said = |world: &World| texts_of(&world.figure("gating")).join(" ");
    world.selection.query = Some(2);
    assert!(said(&world).contains("Nothing is stored in a yet, so there is nothing to read."));
    world.selection.query = Some(22);
    let text = said(&world);
    assert!(text.contains("No answer depends on whether d gets in here."), "{text}");
    assert!(text.contains("attention to what is held: 0.80"), "{text}");
    assert!(text.contains("… by its query alone: 0.75"), "{text}");
    world.selection.query = Some(10);
    let text = said(&world);
    assert!(text.contains("how far its door is open: 0.10"), "{text}");
    assert!(text.contains("from any register the answer is the same."), "{text}");
}

#[test]
fn before_and_after_a_change_stand_beside_each_other_in_one_measure() {
    let mut world = World::new();
    world.before = world.readings.clone();
    let mut answer = gating();
    let predicted = answer.arrays.iter_mut().find(|a| a.name == "predicted").unwrap();
    predicted.data = vec![5.0, 5.0, 5.0, 5.0, 4.0, 5.0].into();
    world.answer(&MeasurementCall::new("gating"), answer);
    world.size = [1000.0, 600.0];
    let figure = world.figure("gating");
    let [then, now] = &figure.plots[..] else { panic!("{} drawings", figure.plots.len()) };
    assert_eq!((then.title.as_str(), now.title.as_str()), ("before", "after the change"));
    assert_eq!((then.x.range, then.y.range), (now.x.range, now.y.range));
    assert!(now.legend.is_empty() && !then.legend.is_empty(), "one legend for both");
    let earlier = |figure: &Figure| -> Vec<bool> {
        told(figure, "before the change").iter().map(|cell| cell.stroke.is_some()).collect()
    };
    // Where another answer was given it is framed.
    assert_eq!(earlier(&figure), [false, false, false, false, false, true]);
    world.size = [430.0, 300.0];
    let narrow = world.figure("gating");
    assert_eq!((narrow.plots.len(), earlier(&narrow)), (1, earlier(&figure)));
}

#[test]
fn a_name_that_does_not_fit_its_box_loses_what_all_names_share_and_no_part_of_it() {
    let mut world = World::new();
    let names = ["Reg0", "Reg1", "Sym0", "Sym1", "same", "different"];
    world.vocab = Vocab::new(names.into_iter().map(String::from).collect());
    for size in [[250.0, 125.0], [330.0, 190.0], [620.0, 300.0], [1200.0, 700.0]] {
        world.size = size;
        let figure = world.figure("gating");
        let scene = layout(&figure, size, &Style::light());
        let items = scene.items.iter();
        let drawn: Vec<&str> = items
            .filter_map(
                |item| if let Item::Text { text, .. } = item { Some(text.as_str()) } else { None },
            )
            .collect();
        let is_cut = |text: &&&str| text.starts_with('S') && text.ends_with('…');
        assert_eq!(drawn.iter().find(is_cut), None, "{size:?}");
        let symbols = drawn.iter().filter(|text| ["Sym0", "Sym1", "0", "1"].contains(text));
        // Those of six boxes, and of the bands above them.
        assert!(symbols.count() >= 9, "{size:?}: {drawn:?}");
    }
}

#[test]
fn the_drawing_of_gates_its_title_its_legend_and_its_caption_grow_with_the_panel() {
    let mut world = World::new();
    let sizes = |world: &World| -> Vec<f32> {
        let scene = layout(&world.figure("gating"), world.size, &Style::light());
        let of = |wanted: &str| {
            let size = |item: &Item| {
                let Item::Text { text, size, .. } = item else { return None };
                text.starts_with(wanted).then_some(*size)
            };
            scene.items.iter().find_map(size).unwrap_or_else(|| panic!("{wanted} is missing"))
        };
        ["Gates of", "door (input", "Tuple 3, Store", "open", "Store"].map(of).to_vec()
    };
    world.size = [430.0, 300.0];
    let small = sizes(&world);
    world.size = [1100.0, 700.0];
    let growth: Vec<f32> =
        sizes(&world).iter().zip(small).map(|(large, small)| large / small).collect();
    assert!(growth.iter().all(|by| *by > 1.5 && (by - growth[0]).abs() < 1e-3), "{growth:?}");
}

#[test]
fn a_claim_about_a_tuple_is_the_number_that_the_panel_of_gates_draws() {
    let mut world = World::new();
    world.size = [700.0, 420.0];
    world.selection.query = Some(22);
    let figure = world.figure("gating");
    let drawn = |what: &str| {
        let values = cells(&figure).into_iter().filter_map(|cell| cell.value);
        values.filter(|(name, _)| *name == what).map(|(_, value)| value).next_back().unwrap()
    };
    let readings = world.readings.as_ref().unwrap();
    let scene = expectation::Scene {
        recording: &world.runs[0].1,
        vocab: &world.vocab,
        row: &readings.prompt,
        step: 200,
        changed: false,
        readings: Some(readings),
    };
    for (claim, what) in [
        ("tuple 5 attends 3", "attention to what is held"),
        ("tuple 5 query", "… by its query alone"),
        ("tuple 3 open", "gate open"),
    ] {
        let value = drawn(what);
        for (sign, beside, holds) in [(">", -1e-4, true), (">", 1e-4, false), ("<", 1e-4, true)] {
            let claim: Expectation = format!("{claim} {sign} {}", value + beside).parse().unwrap();
            assert_eq!(claim.observed(&scene).unwrap().holds, holds, "{claim}");
            let asked = world.panel("gating").needs(&world.net, &world.selection);
            assert_eq!(claim.calls(), asked, "{claim}");
            assert_eq!(claim.to_string().parse::<Expectation>().unwrap(), claim);
        }
    }
}

#[test]
fn the_line_of_guessing_is_among_the_answers_that_may_be_right() {
    let mut world = World::new();
    world.net.answers = 2;
    let figure = world.figure("curves");
    let lines = |name: &str| {
        let marks = figure.plots.iter().flat_map(|plot| &plot.marks);
        let at = |mark: &Mark| {
            let Mark::Line { name: of, points, .. } = mark else { return None };
            (of == name).then(|| points[0][1])
        };
        marks.filter_map(at).collect::<Vec<f64>>()
    };
    assert_eq!(lines("guessing"), [std::f64::consts::LN_2, 0.5]);
}

#[test]
fn the_legend_of_tokens_names_the_roles_whose_colours_are_seen() {
    let mut world = World::new();
    world.roles = vec!["letter", "space", "asked", "rare"];
    let readings = world.readings.as_mut().unwrap();
    let mut row = (*readings.prompt).clone();
    // The first role has the colour; the third comes with the second alone, the fourth never.
    let role = |(i, role): (usize, &mut u8)| *role = if i % 3 == 0 { 0b110 } else { 0b1 };
    row.roles.iter_mut().enumerate().for_each(role);
    readings.prompt = Arc::new(row);
    let legend = |shade: &str| -> Vec<String> {
        let figure = world.figure_with("tokens", &[("shade", shade)]);
        figure.plots[0].legend.iter().map(|entry| entry.text.clone()).collect()
    };
    for shade in ["role", "attention"] {
        let entries = legend(shade);
        assert_eq!(entries[..2], ["letter", "space"], "{shade}");
        assert!(!entries.iter().any(|e| ["asked", "rare", "other"].contains(&e.as_str())));
    }
}

#[test]
fn the_matrix_of_registers_says_who_looks_at_whose_address() {
    let mut world = World::new();
    let matrix = |world: &World| -> Vec<String> {
        let figure = world.figure("gating");
        told(&figure, "reads of ").iter().map(|cell| cell.text.clone()).collect()
    };
    assert_eq!(matrix(&world), ["0.80", "0.10", "0.20", ""]);
    // A narrow panel has the lanes alone.
    world.size = [300.0, 200.0];
    assert!(matrix(&world).is_empty());
}

#[test]
fn curves_draw_the_numbers_of_the_run() {
    let world = World::new();
    let figure = world.figure("curves");
    let lines = line(&figure, "in-context accuracy");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0], world.runs[0].1.series("accuracy_in_context"));
    // Flags, losses, accuracies, memories.
    assert_eq!(figure.plots.len(), 4);
    assert_eq!(figure.plots[3].x.label, "step");
    let flags: Vec<&str> = cells(&figure).iter().map(|c| c.text.as_str()).collect();
    assert!(flags.contains(&"induction head formed"), "{flags:?}");
}

#[test]
fn smoothing_leaves_the_measured_line_in_the_picture() {
    let world = World::new();
    let figure = world.figure_with("curves", &[("smooth", "9"), ("show", "accuracies")]);
    let raw = line(&figure, "in-context accuracy, as measured");
    assert_eq!(raw[0], world.runs[0].1.series("accuracy_in_context"));
    let smooth = line(&figure, "in-context accuracy")[0];
    assert_eq!(smooth.len(), raw[0].len());
    let mean: f64 = raw[0][26..35].iter().map(|p| p[1]).sum::<f64>() / 9.0;
    assert!((smooth[30][1] - mean).abs() < 1e-12);
    assert_eq!(smooth[0], raw[0][0]);
}

/// A run whose losses are on their way to infinity, and which diverges at step 8.
fn exploding() -> Recording {
    let losses = [3.2, 3.1, 3.0, 3.3, 9.0, 400.0, 1e6, 1e12, 1e30];
    let rows = losses.iter().zip(0..).map(|(loss, step)| MetricsRow { step, values: vec![*loss] });
    let diverged = event::Mark::of_text(8, MarkKind::Note, "diverged");
    Recording {
        columns: vec!["loss".to_owned()],
        rows: rows.collect(),
        marks: vec![diverged],
        last_step: 8,
        ..Recording::default()
    }
}

fn losses(figure: &Figure) -> &Plot {
    figure.plots.iter().find(|plot| plot.y.label.contains("loss")).unwrap()
}

#[test]
fn a_run_that_diverges_is_drawn_as_it_was_before() {
    let mut world = World::new();
    world.runs = vec![("hot".to_owned(), Arc::new(exploding()))];
    let range = |settings: &[(&str, &str)]| {
        let figure = world.figure_with("curves", settings);
        (losses(&figure).y.range, figure.caption)
    };
    let (linear, said) = range(&[]);
    assert!(linear.0 <= 0.0 && linear.1 > 9.0 && linear.1 < 10.0, "{linear:?}");
    assert_eq!(said, "Beyond the axis: loss, all tokens from step 5 on (up to 1e30).");
    let (log, said) = range(&[("log_y", "true")]);
    assert!(log.0 > 1.0 && log.1 > 400.0 && log.1 < 500.0, "{log:?}");
    assert!(said.contains("from step 6 on"), "{said}");
    // All its points are there all the same, and in the table.
    let figure = world.figure("curves");
    assert_eq!(line(&figure, "loss, all tokens")[0].len(), 9);
    let (all, said) = range(&[("range", "all")]);
    assert!(all.1 >= 1e30 && said.is_empty(), "{all:?} {said}");
    let (fixed, said) = range(&[("range", "fixed"), ("y_min", "2"), ("y_max", "3.15")]);
    assert_eq!(fixed, (2.0, 3.15));
    assert_eq!(said, "Beyond the axis: loss, all tokens first at step 0 (up to 1e30).");
    let refused = world.figure_with("curves", &[("range", "fixed"), ("y_min", "2")]);
    let said = sentence(&refused);
    assert!(said.contains("y_min = 2") && said.contains("y_max = 1"), "{said}");
    // Two rows are enough, and beside a sound run it decides nothing.
    let mut short = exploding();
    short.rows = vec![short.rows[0].clone(), short.rows[8].clone()];
    world.runs[0].1 = Arc::new(short);
    let figure = world.figure("curves");
    assert!(losses(&figure).y.range.1 < 4.0, "{:?}", losses(&figure).y.range);
    assert!(figure.caption.contains("loss, all tokens at step 8"), "{}", figure.caption);
    world.runs.insert(0, ("sound".to_owned(), Arc::new(run(200))));
    let figure = world.figure("curves");
    assert!(losses(&figure).y.range.1 < 6.0, "{:?}", losses(&figure).y.range);
    assert!(figure.caption.contains("loss, all tokens (hot) at step 8"), "{}", figure.caption);
}

#[test]
fn one_wild_value_of_a_run_that_goes_on_does_not_flatten_the_others() {
    let mut world = World::new();
    let mut wild = run(200);
    wild.rows[7].values[0] = 1e20;
    world.runs[0].1 = Arc::new(wild);
    let figure = world.figure("curves");
    assert!(losses(&figure).y.range.1 < 6.0, "{:?}", losses(&figure).y.range);
    assert!(figure.caption.contains("step 35 (up to 1e20)"), "{}", figure.caption);
}

#[test]
fn a_range_holds_all_but_what_is_absurd_and_alone() {
    use mnemoscope::panel::span::{limit, most, past_colors};
    let with = |wild: &[f32]| {
        let calm = (0..100).map(|i| i as f32 / 10.0);
        calm.chain(wild.iter().copied()).collect::<Vec<f32>>()
    };
    // Sparse, but possible.
    assert_eq!(most(&with(&[900.0])), 900.0);
    assert_eq!(most(&with(&[-2e4])), 9.9);
    assert_eq!(most(&with(&[f32::INFINITY, f32::NAN, 1e30])), 9.9);
    // Where a third is large, that is what the map is about.
    assert_eq!(most(&with(&[2e4; 60])), 2e4);
    assert_eq!(most(&[0f32; 0]), 0.0);
    assert_eq!(most(&[1e30]), 1e30);
    assert_eq!(limit([1.0, f64::INFINITY].into_iter()), f64::MAX);
    assert_eq!(past_colors(&with(&[]), (-10.0, 10.0)), "");
    assert_eq!(
        past_colors(&with(&[-2e4, f32::NAN, 1e6]), (-10.0, 10.0)),
        "2 values lie beyond the colours, up to 1000000."
    );
}

#[test]
fn colours_are_those_of_the_ordinary_values() {
    let mut world = World::new();
    let wild = |reading: &Reading, name: &str| {
        let mut reading = reading.clone();
        for array in &mut reading.arrays {
            if array.name == name {
                let mut data = array.data.to_vec();
                data[1] = 3e30;
                array.data = data.into();
            }
        }
        reading
    };
    let replaced = |world: &mut World, measurement: &str, name: &str| {
        let readings = world.readings.as_ref().unwrap();
        let found = readings.by_call.iter().find(|(key, _)| key.starts_with(measurement)).unwrap();
        let changed = wild(found.1.as_ref().unwrap(), name);
        let key = found.0.clone();
        let readings = world.readings.as_mut().unwrap();
        readings.by_call.insert(key, Ok(Arc::new(changed)));
    };
    replaced(&mut world, "logit_lens", "kl");
    let figure = world.figure_with("lens", &[("shade", "divergence")]);
    let bar = figure.plots[0].color_bar.as_ref().unwrap();
    assert!(bar.range.1 < 100.0, "{:?}", bar.range);
    assert!(figure.caption.ends_with("beyond the colours: 3e30."), "{}", figure.caption);
    replaced(&mut world, "memories", "wo2");
    let figure = world.figure("memories");
    assert!(heats(&figure).iter().all(|heat| heat.range.1 < 100.0));
    assert!(figure.caption.contains("beyond the colours"), "{}", figure.caption);
}

#[test]
fn what_is_undefined_is_a_gap_in_every_curve() {
    let mut world = World::new();
    let mut gappy = run(200);
    (gappy.rows[10].values[0], gappy.rows[11].values[0]) = (f64::NAN, f64::NAN);
    world.runs[0].1 = Arc::new(gappy);
    for settings in [&[][..], &[("smooth", "5")]] {
        let figure = world.figure_with("curves", settings);
        let drawn = line(&figure, "loss, all tokens")[0];
        assert!(drawn[10][1].is_nan() && drawn[11][1].is_nan());
        assert_eq!(drawn.iter().filter(|p| p[1].is_nan()).count(), 2);
        let text = table::csv(&figure).unwrap();
        assert!(text.contains(",\"loss, all tokens\",line,50,NaN"), "{text}");
    }
    // Two stretches in every file, and after thinning, too.
    let mut long = Recording { columns: vec!["loss".to_owned()], ..Recording::default() };
    long.rows = (0..20_000)
        .map(|step| {
            let gap = (8_000..12_000).contains(&step);
            MetricsRow {
                step,
                values: vec![if gap { f64::NAN } else { 2.0 + (step as f64).sin() }],
            }
        })
        .collect();
    world.runs[0].1 = Arc::new(long);
    let figure = thinned(&world.figure("curves"), 300.0);
    let drawn = line(&figure, "loss, all tokens")[0];
    assert!(drawn.len() < 4_000, "{}", drawn.len());
    let gaps = drawn.split(|p| p[1].is_nan()).filter(|run| !run.is_empty());
    let stretches: Vec<(f64, f64)> = gaps.map(|run| (run[0][0], run[run.len() - 1][0])).collect();
    assert_eq!(stretches.len(), 2, "{stretches:?}");
    assert!(stretches[0].1 < 8_000.0 && stretches[1].0 >= 12_000.0, "{stretches:?}");
}

#[test]
fn a_second_run_is_dashed_and_named() {
    let mut world = World::new();
    world.runs.push(("branch".to_owned(), Arc::new(run(200))));
    let figure = world.figure("curves");
    assert_eq!(line(&figure, "in-context accuracy (branch)").len(), 1);
    let named: Vec<(&str, Dash)> =
        figure.plots[1].legend.iter().rev().map(|e| (e.text.as_str(), e.dash)).take(2).collect();
    assert_eq!(named, [("branch", Dash::Dashed), ("birth", Dash::Solid)]);
    let dashed = figure.plots.iter().flat_map(|p| &p.marks).all(|mark| {
        if let Mark::Line { name, dash, .. } = mark {
            (*dash == Dash::Dashed) == name.ends_with("(branch)")
        } else {
            true
        }
    });
    assert!(dashed);
}

#[test]
fn each_of_many_runs_is_told_apart_by_dashes_or_paleness_and_named_in_the_legend() {
    let mut world = World::new();
    for i in 1..7 {
        world.runs.push((format!("run {i}"), Arc::new(run(200))));
    }
    let figure = world.figure("curves");
    let mut looks = Vec::new();
    for i in 1..7 {
        let wanted = format!("in-context accuracy (run {i})");
        let marks = figure.plots.iter().flat_map(|p| &p.marks);
        looks.extend(marks.filter_map(|mark| {
            if let Mark::Line { name, color, dash, .. } = mark
                && *name == wanted
            {
                Some((*color, *dash))
            } else {
                None
            }
        }));
    }
    assert_eq!(looks.len(), 6);
    for (i, a) in looks.iter().enumerate() {
        assert!(!looks[..i].contains(a), "two runs look alike");
    }
    let named: Vec<(&str, Dash)> =
        figure.plots[1].legend.iter().rev().map(|e| (e.text.as_str(), e.dash)).collect();
    assert_eq!(
        named[..3],
        [("run 6", Dash::Long), ("run 5", Dash::Dotted), ("run 4", Dash::Dashed)]
    );
    assert_eq!(named[6], ("birth", Dash::Solid));
}

/// A run of a task with these settings.
fn run_of(task: &str) -> Arc<Recording> {
    Arc::new(Recording { task: task.parse().unwrap(), ..run(200) })
}

#[test]
fn curves_draw_runs_of_the_same_task_unless_asked_otherwise() {
    let mut world = World::new();
    world.runs = [
        ("birth", "kind = \"bigram\"\nlength = 128\nlongest = 0"),
        ("same", "kind = \"bigram\"\nlength = 128.0\nlongest = 500"),
        ("older", "kind = \"bigram\""),
        ("short", "kind = \"bigram\"\nlength = 64"),
        ("tree", "kind = \"tree_path\""),
    ]
    .map(|(name, task)| (name.to_owned(), run_of(task)))
    .to_vec();
    let drawn = |settings: &[(&str, &str)]| {
        let figure = world.figure_with("curves", settings);
        let all = ["birth", "same", "older", "short", "tree"];
        let name = |run: &str| match run {
            "birth" => "in-context accuracy".to_owned(),
            run => format!("in-context accuracy ({run})"),
        };
        let is_drawn = |run: &&str| !line(&figure, &name(run)).is_empty();
        (all.into_iter().filter(is_drawn).collect::<Vec<_>>(), figure.caption)
    };
    let (runs, said) = drawn(&[]);
    assert_eq!(runs, ["birth", "same", "older"]);
    assert_eq!(said, "Not drawn: 2 runs of other tasks, short, tree (setting runs).");
    let (runs, said) = drawn(&[("runs", "all")]);
    assert_eq!((runs.len(), said.as_str()), (5, ""));
    let (runs, said) = drawn(&[("runs", "this run")]);
    assert_eq!((runs, said.as_str()), (vec!["birth"], "Not drawn: 4 runs (setting runs)."));
}

#[test]
fn what_is_hidden_has_no_line_and_an_entry_that_brings_it_back() {
    let mut world = World::new();
    let folder = Some("/runs/birth-002".into());
    let branch = Recording { folder, ..run(200) };
    world.runs.push(("branch".to_owned(), Arc::new(branch)));
    let hide = "accuracy_in_context; run birth-002; guessing";
    let figure = world.figure_with("curves", &[("hide", hide)]);
    for gone in ["in-context accuracy", "loss, all tokens (branch)", "guessing"] {
        assert!(line(&figure, gone).is_empty(), "{gone}");
    }
    assert_eq!(line(&figure, "in-context accuracy, other outputs").len(), 1);
    let entries = figure.plots.iter().flat_map(|plot| &plot.legend);
    let hidden: Vec<&str> = entries.filter(|e| e.hidden).map(|e| e.key.as_str()).collect();
    assert_eq!(hidden, ["guessing", "run birth-002", "accuracy_in_context", "guessing"]);
    // On paper there is no entry for it.
    let scene = layout(&figure, [420.0, 320.0], &Style::light());
    let texts: Vec<&str> = scene.items.iter().filter_map(text_of).collect();
    assert!(texts.contains(&"in-context, other outputs") && !texts.contains(&"in-context"));
    assert!(!texts.contains(&"branch") && !texts.contains(&"guessing"), "{texts:?}");
    // A plot of which nothing is left gives its room to the others.
    let memories = "recall_wo2; recall_wk2; recall_wk1; recall_wk1_early";
    let figure = world.figure_with("curves", &[("hide", memories)]);
    let axes: Vec<&str> = figure.plots.iter().map(|plot| plot.y.label.as_str()).collect();
    assert_eq!(axes, ["", "loss (nats)", "accuracy"]);
    assert_eq!(figure.plots[2].x.label, "step");
    assert!(figure.plots[2].legend.iter().any(|e| e.hidden && e.text == "output W_O2"));
    let wrong = world.figure_with("curves", &[("hide", "acuracy")]);
    assert!(wrong.caption.starts_with("hide: acuracy is no column;"), "{}", wrong.caption);
    let mut panel = panel::curves::Curves::default();
    ["loss", "run a b", "loss", "guessing"].iter().for_each(|key| panel.tick(key));
    assert_eq!(panel.hide, "run a b; guessing");
}

#[test]
fn a_branch_lies_on_the_run_that_it_left_from_the_branch_on() {
    use mnemoscope::run_folder::Parent;
    let mut world = World::new();
    let folder = |name: &str| Some(format!("/runs/{name}").into());
    let parent = Recording { folder: folder("birth-001"), ..run(300) };
    let mut branch = Recording { folder: folder("birth-002"), ..run(250) };
    branch.rows.retain(|row| row.step >= 100);
    branch.parent = Some(Parent { folder: folder("birth-001"), step: 100 });
    world.runs = vec![("birth".into(), Arc::new(parent)), ("branch".into(), Arc::new(branch))];
    let ends = |figure: &Figure, name: &str| {
        let line = line(figure, name)[0];
        (line[0][0], line[line.len() - 1][0])
    };
    let apart = world.figure("curves");
    assert_eq!(ends(&apart, "in-context accuracy (branch)"), (100.0, 250.0));
    assert_eq!(apart.plots[3].x.label, "step");
    let aligned = world.figure_with("curves", &[("align", "true")]);
    assert_eq!(ends(&aligned, "in-context accuracy (branch)"), (0.0, 150.0));
    assert_eq!(ends(&aligned, "in-context accuracy"), (-100.0, 200.0));
    assert_eq!(aligned.plots[3].x.label, "steps since the branch");
    assert_eq!(aligned.plots[3].x.range, (-100.0, 200.0));
    // Flags and the step in view stand where the lines are.
    let flag = cells(&aligned).into_iter().find(|c| c.hover.contains("induction head")).unwrap();
    assert_eq!(flag.value, Some(("step", 50.0)));
    let upright = |mark: &Mark| matches!(mark, Mark::Upright { x, .. } if *x == 100.0);
    assert!(aligned.plots[1].marks.iter().any(upright), "step 200 is in view");
    world.runs.truncate(1);
    let alone = world.figure_with("curves", &[("align", "true")]);
    assert!(alone.caption.contains("nothing to align"), "{}", alone.caption);
}

#[test]
fn a_low_figure_of_curves_keeps_the_names_of_its_lines() {
    let world = World { size: [250.0, 190.0], ..World::new() };
    let figure = world.figure("curves");
    let scene = layout(&figure, world.size, &Style::light());
    let texts: Vec<&str> = scene.items.iter().filter_map(text_of).collect();
    for name in ["in-context tokens", "in-context, other outputs", "output W_O2", "early W_K1"] {
        assert!(texts.contains(&name), "{name}: {texts:?}");
    }
}

/// Curves in a room of the window, and what a hand did in the last frame.
fn curves_in(
    figure: Figure,
    size: egui::Vec2,
) -> (egui_kittest::Harness<'static>, std::rc::Rc<std::cell::RefCell<Vec<String>>>) {
    let told = std::rc::Rc::<std::cell::RefCell<Vec<String>>>::default();
    let tell = told.clone();
    let draw = move |ui: &mut egui::Ui| {
        let room = egui::Rect::from_min_size(egui::Pos2::ZERO, size);
        let done = curves::show(ui, room, &figure, None, &[]);
        tell.borrow_mut().extend(done.ticked.map(|key| format!("tick {key}")));
        tell.borrow_mut().extend(done.lit.into_iter().map(|key| format!("lit {key}")));
    };
    let mut harness = egui_kittest::Harness::builder().with_size(size).build_ui(draw);
    harness.run_steps(3);
    (harness, told)
}

#[test]
fn a_tick_hides_a_line_and_pointing_at_its_name_lights_it() {
    let mut world = World::new();
    world.runs.push(("branch".to_owned(), Arc::new(run(200))));
    let (mut harness, told) = curves_in(world.figure("curves"), egui::vec2(620.0, 420.0));
    for (name, key) in [("in-context accuracy", "accuracy_in_context"), ("branch", "run branch")] {
        harness.get_by_label(&format!("Show {name}")).click();
        harness.run_steps(2);
        assert!(told.borrow().contains(&format!("tick {key}")), "{name}: {:?}", told.borrow());
    }
    told.borrow_mut().clear();
    let name = harness.get_by_label("in-context, other outputs").rect();
    harness.hover_at(name.center());
    harness.run_steps(2);
    assert!(told.borrow().contains(&"lit accuracy_other_outputs".to_owned()));
    // Names of runs lie below the axes, names of lines beside them.
    let step = harness.get_by_label("branch").rect();
    assert!(step.top() > 380.0 && step.bottom() <= 420.0, "{step:?}");
    assert!(name.left() > 390.0 && name.right() <= 620.0, "{name:?}");
}

#[test]
fn plots_that_have_no_room_are_named() {
    let world = World::new();
    for (height, missing) in
        [(420.0, None), (210.0, Some("share stored")), (120.0, Some("accuracy"))]
    {
        let (harness, _) = curves_in(world.figure("curves"), egui::vec2(450.0, height));
        let said = harness.query_all_by_label_contains("No room for").next();
        assert_eq!(said.is_some(), missing.is_some(), "{height}");
        let node = |name: &str| harness.query_by_label_contains(name).is_some();
        assert!(missing.is_none_or(node), "{height}");
    }
}

#[test]
fn a_legend_beside_an_axis_is_short_and_knows_the_line_it_explains() {
    let world = World::new();
    let figure = world.figure("curves");
    let lines: Vec<&str> =
        figure.plots.iter().flat_map(|p| &p.marks).filter_map(line_name).collect();
    for entry in figure.plots.iter().flat_map(|p| &p.legend).filter(|e| !e.name.is_empty()) {
        assert!(lines.contains(&entry.name.as_str()), "{}", entry.name);
        assert!(entry.text.len() <= 26, "{}", entry.text);
    }
    for (column, text) in
        [("accuracy_triggered_start", "after triggers, first 10"), ("loss_global", "global tokens")]
    {
        assert_eq!(panel::columns::legend(column), text);
    }
}

fn line_name(mark: &Mark) -> Option<&str> {
    if let Mark::Line { name, .. } = mark { Some(name) } else { None }
}

#[test]
fn a_logarithmic_axis_leaves_out_what_has_no_logarithm() {
    let world = World::new();
    let figure = world.figure_with("curves", &[("log_x", "true"), ("log_y", "true")]);
    for plot in &figure.plots {
        assert!(
            plot.x.along == Along::Logarithms
                && plot.x.range.0 > 0.0
                && plot.x.range.0 < plot.x.range.1
        );
        for mark in &plot.marks {
            if let Mark::Line { points, .. } = mark {
                assert!(points.iter().all(|p| p[0] > 0.0));
            }
        }
    }
    assert!(figure.plots[1..].iter().all(|p| p.y.along == Along::Logarithms && p.y.range.0 > 0.0));
    // A value of zero is a gap.
    let mut world = world;
    let mut zero = run(200);
    zero.rows[10].values[0] = 0.0;
    world.runs[0].1 = Arc::new(zero);
    let runs = |log: &str| {
        let figure = world.figure_with("curves", &[("log_y", log), ("show", "losses")]);
        let plot = losses(&figure);
        let [x, y] = [&plot.x, &plot.y].map(|a| Ruler::new(a.range, a.along, (0.0, 1.0)));
        clip::line(line(&figure, "loss, all tokens")[0], [&x, &y], [0.0; 2]).runs.len()
    };
    assert_eq!([runs("false"), runs("true")], [1, 2]);
}

#[test]
fn a_very_long_line_keeps_its_extremes() {
    let mut world = World::new();
    let mut long = run(300);
    long.rows = (0..50_000)
        .map(|step| {
            let mut values = vec![0.5; long.columns.len()];
            values[3] = if step == 30_011 { 0.9 } else { 0.2 + (step % 7) as f64 * 0.01 };
            MetricsRow { step, values }
        })
        .collect();
    long.last_step = 50_000;
    world.runs[0].1 = Arc::new(long);
    let figure = world.figure("curves");
    let all = line(&figure, "in-context accuracy")[0];
    assert_eq!(all.len(), 50_000, "the window zooms into all of them");
    let on_paper = thinned(&figure, 420.0);
    let drawn = line(&on_paper, "in-context accuracy")[0];
    assert!(drawn.len() < 4000);
    assert!(drawn.contains(&[30_011.0, 0.9]));
    assert!(drawn.windows(2).all(|w| w[0][0] < w[1][0]));
}

#[test]
fn a_run_with_one_evaluation_or_no_columns_draws_or_says_so() {
    let mut world = World::new();
    let mut short = run(0);
    short.marks.clear();
    world.runs[0].1 = Arc::new(short.clone());
    for entry in panel::ALL {
        world.figure(entry.name);
    }
    short.columns.clear();
    short.rows = vec![MetricsRow { step: 0, values: vec![] }];
    world.runs[0].1 = Arc::new(short);
    assert!(sentence(&world.figure("curves")).contains("records no summary"));
}

#[test]
fn steps_of_the_timeline_pick_themselves_and_marks_their_nearest_step() {
    let world = World::new();
    let figure = world.figure("timeline");
    let steps_drawn = cells(&figure).into_iter().filter(|c| c.hover.ends_with("go there"));
    let picks: Vec<Pick> = steps_drawn.map(|c| c.pick.clone()).collect();
    let steps: Vec<Pick> = world.runs[0].1.recorded.iter().map(|&s| Pick::Step(s)).collect();
    assert_eq!(picks, steps);
    let flag = cells(&figure).into_iter().find(|c| c.hover.contains("induction head")).unwrap();
    assert_eq!(flag.pick, Pick::Step(150));
    assert_eq!(figure.title, "birth: step 200 of 300; 31 recorded");
}

#[test]
fn every_emergence_is_named_on_the_timeline_of_the_window() {
    let mut world = World::new();
    let mut recording = run(380);
    let texts = [
        (40, "global statistics learned"),
        (150, "previous-token head formed"),
        (180, "output memory formed"),
        (230, "induction head formed"),
    ];
    let mark = |(step, text): (u64, &str)| event::Mark::of_text(step, MarkKind::Emergence, text);
    recording.marks = texts.map(mark).to_vec();
    world.runs[0].1 = Arc::new(recording);
    // As the window opens, half as wide, and a quarter.
    for width in [1180.0, 590.0, 295.0] {
        world.size = [width, 80.0];
        let figure = world.figure("timeline");
        let flags: Vec<&Cell> = cells(&figure)
            .into_iter()
            .filter(|c| c.hover.contains(": ") && !c.text.is_empty())
            .collect();
        for (_, text) in texts {
            let flag = flags.iter().find(|c| text.starts_with(&c.text));
            assert!(flag.is_some_and(|c| c.text.len() >= 13), "{width}: {text}");
        }
        if width > 1000.0 {
            assert!(flags.iter().all(|c| texts.iter().any(|(_, text)| *text == c.text)));
        }
    }
    // In windows of 1280 × 720, 1024 × 700 and 1280 × 720 for a hall, the first two at 150 %: none is without a name.
    for (size, least) in [([622.0, 66.0], 13), ([494.0, 62.0], 4), ([640.0, 66.0], 13)] {
        world.size = size;
        let figure = world.figure("timeline");
        for (_, text) in texts {
            let named = |c: &&Cell| c.text.len() >= least && text.starts_with(&c.text);
            assert!(cells(&figure).into_iter().any(|c| named(&c)), "{size:?}: {text}");
        }
    }
}

#[test]
fn names_of_lines_that_are_shortened_can_still_be_told_apart() {
    let mut world = World::new();
    let mut recording = run(300);
    let columns = [
        "accuracy",
        "accuracy_in_context",
        "accuracy_after_triggers",
        "accuracy_after_triggers_first",
    ];
    recording.columns = columns.map(String::from).to_vec();
    recording.rows.iter_mut().for_each(|row| row.values = vec![0.5; columns.len()]);
    world.runs[0].1 = Arc::new(recording);
    let figure = world.figure("curves");
    let size = egui::vec2(250.0, 240.0);
    let draw = move |ui: &mut egui::Ui| {
        curves::show(ui, egui::Rect::from_min_size(egui::Pos2::ZERO, size), &figure, None, &[]);
    };
    let mut harness = egui_kittest::Harness::builder().with_size(size).build_ui(draw);
    harness.run_steps(3);
    let labels = harness.query_all_by_role(egui::accesskit::Role::Label);
    let mut names: Vec<String> = labels.filter_map(|l| l.accesskit_node().value()).collect();
    let all = names.len();
    assert!(all >= columns.len() && names.iter().any(|name| name.contains('…')), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn a_flag_is_cut_short_only_where_its_lane_has_no_room() {
    let mut world = World::new();
    let mut recording = run(1200);
    let emerged = [(40, "global statistics learned"), (150, "previous-token head formed")];
    let emerged = emerged.map(|(step, text)| (step, MarkKind::Emergence, text));
    let done = [(670, "zero layer1.head0"), (770, "lift zero layer1.head0")];
    let done = done.map(|(step, text)| (step, MarkKind::Intervention, text));
    let mark = |(step, kind, text)| event::Mark::of_text(step, kind, text);
    recording.marks = emerged.into_iter().chain(done).map(mark).collect();
    world.runs[0].1 = Arc::new(recording);
    world.size = [700.0, 70.0];
    let figure = world.figure("timeline");
    let flags: Vec<&str> = cells(&figure).iter().map(|c| c.text.as_str()).collect();
    for words in ["L1 H0 cut", "L1 H0 cut undone", "previous-token head formed"] {
        assert!(flags.contains(&words), "{words}: {flags:?}");
    }
}

#[test]
fn flags_do_not_cover_each_other() {
    for width in [200.0, 420.0, 1200.0] {
        let world = World { size: [width, 160.0], ..World::new() };
        for name in ["timeline", "curves"] {
            let figure = world.figure(name);
            let flags = cells(&figure);
            let with_text: Vec<&&Cell> = flags.iter().filter(|c| !c.text.is_empty()).collect();
            for (i, a) in with_text.iter().enumerate() {
                for b in &with_text[..i] {
                    let apart = (0..2).any(|d| a.from[d] >= b.to[d] || b.from[d] >= a.to[d]);
                    assert!(apart, "{name} {width}: “{}” covers “{}”", a.text, b.text);
                }
            }
        }
    }
}

#[test]
fn columns_have_names_for_people() {
    assert_eq!(describe("accuracy_in_context").0, "in-context accuracy");
    assert_eq!(describe("prefix_matching_l1h0").0, "prefix matching");
    assert_eq!(panel::columns::label("prefix_matching_l1h0"), "prefix matching, L1 H0");
    let label = panel::columns::label("prefix_matching_task_l1h0");
    assert_eq!(label, "prefix matching, task, L1 H0");
    assert!(describe("previous_token_random_l0h1").1.contains("random sequences"));
    let axis = |column| panel::columns::Family::of(column).axis();
    assert_eq!(axis("copying_l0h0"), "head score");
    assert_eq!(axis("copying_task_l0h0"), "head score on the task");
    assert_eq!(panel::columns::label("norm_layer0.wk"), "norm, layer0.wk");
    assert_eq!(panel::columns::label("my_number"), "my number");
    for column in &run(5).columns {
        let (name, help) = describe(column);
        assert!(!name.contains('_') || name.contains("W_"), "{column}: {name}");
        assert!(help.ends_with('.'), "{column}");
    }
}

#[test]
fn a_stretch_of_steps_in_view_belongs_to_its_run_and_its_axis() {
    let mut world = World::new();
    let (linear, log) = (world.figure("curves"), world.figure_with("curves", &[("log_x", "true")]));
    world.runs[0].0 = "another".to_owned();
    let another = world.figure("curves");
    let size = egui::vec2(600.0, 500.0);
    let drawn = linear.clone();
    let draw = move |ui: &mut egui::Ui| {
        curves::show(ui, egui::Rect::from_min_size(egui::Pos2::ZERO, size), &drawn, None, &[]);
    };
    let mut harness = egui_kittest::Harness::builder().with_size(size).build_ui(draw);
    harness.run_steps(3);
    let seen = |harness: &egui_kittest::Harness<'_>, figure| {
        curves::steps_in_view(&harness.ctx, figure).unwrap()
    };
    assert_eq!(seen(&harness, &linear), (0.0, 300.0));
    harness.drag_at(egui::pos2(200.0, 300.0));
    harness.run_steps(2);
    harness.hover_at(egui::pos2(150.0, 300.0));
    harness.run_steps(2);
    harness.drop_at(egui::pos2(150.0, 300.0));
    harness.run_steps(2);
    let (from, to) = seen(&harness, &linear);
    assert!(from > 10.0 && to > 310.0, "{from} to {to}");
    assert_eq!(seen(&harness, &log), (5f64.log10(), 300f64.log10()));
    assert_eq!(seen(&harness, &another), (0.0, 300.0));
}

#[test]
fn beside_the_curves_the_names_stand_whole_and_pointing_tells_exact_values() {
    let world = World::new();
    let figure = world.figure("curves");
    let size = egui::vec2(560.0, 390.0);
    let draw = move |ui: &mut egui::Ui| {
        let room = egui::Rect::from_min_size(egui::Pos2::ZERO, size);
        curves::show(ui, room, &figure, Some(200.0), &[]);
    };
    let mut harness = egui_kittest::Harness::builder().with_size(size).build_ui(draw);
    harness.run_steps(3);
    for name in ["in-context tokens", "in-context, other outputs", "induction W_K2"] {
        assert!(harness.query_by_label(name).is_some(), "{name}");
    }
    harness.hover_at(egui::pos2(250.0, 200.0));
    harness.run_steps(4);
    // The words and the tooltip around them.
    let mut said = harness.query_all_by_label_contains("in-context accuracy, other outputs: 0.");
    let said = said.next_back().unwrap().accesskit_node().value().unwrap();
    let step: u64 = said.lines().next().unwrap()["step ".len()..].parse().unwrap();
    let row = world.runs[0].1.row_at(step).unwrap();
    assert!(said.contains(&format!("in-context accuracy: {:.4}\n", row.values[3])), "{said}");
}

// ── tree ─────────────────────────────────────────────────────────────────────────────────────────────

/// Attention of a network with one head a layer: all of the root's goes to one position of each layer.
fn looking(world: &mut World, at: &[usize]) {
    let length = 40;
    let pattern = |at: usize| -> Vec<f32> {
        let row = |query: usize| (0..length).map(move |key| (query, key));
        let cells = (0..length).flat_map(row);
        cells.map(|(query, key)| if key == at && query == 17 { 1.0 } else { 0.0 }).collect()
    };
    world.net.heads = vec![1; at.len()];
    let axes = ["head", "query", "key"];
    let layer = |(layer, at): (usize, &usize)| {
        array(&format!("pattern.layer{layer}"), &axes, &[1, length, length], pattern(*at))
    };
    let arrays = at.iter().enumerate().map(layer).collect();
    let reading = Reading { arrays, ..Reading::default() };
    world.answer(&MeasurementCall::new("attention"), reading);
    world.selection.query = None;
}

#[test]
fn the_tree_says_which_edge_each_layer_looks_at_and_how_far_it_climbs() {
    let mut world = World::new();
    // The goal, then the lower end of the edge to it: its upper end is the root's child.
    looking(&mut world, &[15, 1]);
    let figure = world.figure("tree");
    assert_eq!(figure.plots.len(), 2, "a plot for each layer");
    assert_eq!(figure.plots[0].title, "L0: goal 1.00");
    assert_eq!(figure.plots[1].title, "L1: 3>1 1.00");
    assert!(figure.caption.ends_with("climbs 1, 3."), "{}", figure.caption);
    looking(&mut world, &[15, 13]);
    let figure = world.figure("tree");
    assert_eq!(figure.plots[1].title, "L1: 2>5 1.00");
    assert!(figure.caption.ends_with("does not climb."), "{}", figure.caption);
    looking(&mut world, &[15, 14]);
    assert!(world.figure("tree").plots[1].title.starts_with("L1: 14 "), "a separator is named");
}

#[test]
fn bands_are_as_wide_as_the_attention_to_their_edge() {
    let mut world = World::new();
    looking(&mut world, &[15, 1]);
    let figure = world.figure("tree");
    let bands = |plot: &Plot| -> Vec<f32> {
        let lines = plot.marks.iter().filter_map(|mark| {
            if let Mark::Line { color, width, .. } = mark { Some((*color, *width)) } else { None }
        });
        let key = panel::colors::KEY;
        lines.filter(|(color, _)| *color == key).map(|(_, width)| width).collect()
    };
    assert_eq!(bands(&figure.plots[0]), [0f32; 0], "the goal is no edge");
    assert_eq!(bands(&figure.plots[1]), [9.0]);
    let mut halves = vec![0.0; 40 * 40];
    (halves[17 * 40], halves[17 * 40 + 1]) = (0.25, 0.25);
    let axes = ["head", "query", "key"];
    let pattern =
        |layer: usize| array(&format!("pattern.layer{layer}"), &axes, &[1, 40, 40], halves.clone());
    let reading = Reading { arrays: vec![pattern(0), pattern(1)], ..Reading::default() };
    world.answer(&MeasurementCall::new("attention"), reading);
    assert_eq!(bands(&world.figure("tree").plots[1]), [5.75], "both ends count");
}

#[test]
fn nodes_and_edges_of_the_tree_pick_their_tokens() {
    let mut world = World::new();
    looking(&mut world, &[15, 1]);
    let figure = world.figure("tree");
    let scene = layout(&figure, world.size, &Style::light());
    let found = |start: &str| {
        let all = scene.areas.iter().filter_map(|area| {
            if let AreaPick::One { pick, hover } = &area.pick {
                Some((pick.clone(), hover.clone()))
            } else {
                None
            }
        });
        all.filter(|(_, hover)| hover.starts_with(start)).collect::<Vec<_>>()
    };
    for (start, pick) in [
        ("node 0, the root", Pick::Query(17)),
        ("node 3, 1 above the goal", Pick::Query(18)),
        ("node 1, the goal", Pick::Query(19)),
        ("node 5\n", Pick::Query(13)),
        ("edge 3>4", Pick::Key(4)),
    ] {
        let found = found(start);
        assert_eq!(found.len(), 2, "{start}: once for each layer");
        assert!(found.iter().all(|(p, _)| *p == pick), "{start}: {found:?}");
    }
    let named = found("node 3, 1 above the goal");
    assert!(named[1].1.ends_with("named next after this layer: 0.900"), "{named:?}");
}

#[test]
fn accuracy_by_length_stands_beside_the_tree_with_a_line_where_chaining_ends() {
    let mut world = World::new();
    looking(&mut world, &[15, 1]);
    let run = Arc::make_mut(&mut world.runs[0].1);
    for length in 1..=3 {
        run.columns.push(format!("accuracy_path_{length}"));
        for row in &mut run.rows {
            row.values.push(if row.step <= 200 { 1.0 / length as f64 } else { 0.0 });
        }
    }
    let figure = world.figure("tree");
    let plot = figure.plots.last().unwrap();
    assert_eq!(plot.title, "Right at step 200");
    let bars = plot.marks.iter().find_map(|mark| {
        if let Mark::Bars { values, .. } = mark { Some(values.clone()) } else { None }
    });
    assert_eq!(bars.unwrap(), [1.0, 0.5, 1.0 / 3.0]);
    let lines: Vec<f64> = plot
        .marks
        .iter()
        .filter_map(|mark| if let Mark::Upright { x, .. } = mark { Some(*x) } else { None })
        .collect();
    assert_eq!(lines, [1.0], "two layers chain one edge");
    assert_eq!(world.figure_with("tree", &[("lengths", "false")]).plots.len(), 2);
}

#[test]
fn curves_of_readers_hold_what_is_known_and_pick_the_layers_of_their_places() {
    let world = World::new();
    let figure = world.figure("readers");
    assert_eq!(line(&figure, "accuracy").len(), 1);
    let drawn = line(&figure, "accuracy")[0];
    assert_eq!(drawn.len(), 5);
    assert!(drawn[..4].iter().all(|p| p[1].is_finite()));
    assert!(drawn[4][1].is_nan(), "the last place is not known yet");
    let third = line(&figure, "shuffled_accuracy")[0][2];
    assert!((third[1] - 0.2).abs() < 1e-6, "{third:?}");
    let cells = cells(&figure);
    assert_eq!(cells.len(), 5);
    assert_eq!(cells[3].pick, Pick::Head { layer: 1, head: 0 });
    assert!(
        cells[3].hover.starts_with("layer 1, resid_mid\naccuracy: 0.900"),
        "{}",
        cells[3].hover
    );
    assert_eq!(figure.caption, "Fitted to 2048 examples, judged by 1024 of other sequences.");
}

#[test]
fn a_table_of_scrubbing_is_a_map_of_layers_and_lengths() {
    let values = vec![100.0, -50.0, f32::NAN, 20.0, 99.6, 0.0];
    let table = array("recovered.H1", &["layer", "length"], &[2, 3], values.clone());
    let numbers = vec![("trees".to_owned(), 50.0)];
    let reading = Reading { numbers, arrays: vec![table], notes: Vec::new() };
    let figure = panel::tree_scrubbing::figure(&reading, 40, false);
    let heat = heats(&figure)[0];
    assert_eq!((heat.rows, heat.columns), (2, 3));
    assert_eq!(heat.values[1], -50.0);
    let texts: Vec<&str> = cells(&figure).iter().map(|cell| &*cell.text).collect();
    assert_eq!(texts, ["100", "-50", "", "20", "100", "0"]);
    sentence(&panel::tree_scrubbing::figure(&Reading::default(), 0, false));
}

/// A figure as text: everything that is drawn, in order, numbers to three digits.
fn written(figure: &Figure) -> String {
    let mut text = String::new();
    let mut line = |words: String| text += &format!("{}\n", words.trim_end());
    line(format!("title    {}", figure.title));
    line(format!("columns  {}", figure.columns));
    line(format!("caption  {}", figure.caption));
    if let Some(sentence) = &figure.empty {
        line(format!("empty    {sentence}"));
    }
    for plot in &figure.plots {
        line(format!("\nplot     {}", plot.title));
        for (name, axis) in [("x", &plot.x), ("y", &plot.y)] {
            let (from, to) = (number(axis.range.0), number(axis.range.1));
            let kind = match (&axis.ticks, axis.along) {
                (Ticks::Hidden, _) => "hidden",
                (Ticks::At(_) | Ticks::Each(_) | Ticks::Around { .. }, _) => "named",
                (Ticks::Auto, Along::Logarithms) => "logarithmic",
                (Ticks::Auto, Along::Doublings(_)) => "doublings",
                (Ticks::Auto, Along::Values) => "numbers",
            };
            line(format!("{name}        {from} to {to}, {kind}: {}", axis.label));
        }
        for entry in &plot.legend {
            let kind = match entry.sample {
                Sample::Line => format!("{:?}", entry.dash),
                sample @ (Sample::Square | Sample::Outline) => format!("{sample:?}"),
            };
            line(format!("legend   {} {kind} {}", paint(entry.color), entry.text));
        }
        if let Some(bar) = &plot.color_bar {
            let (from, to) = (number(bar.range.0.into()), number(bar.range.1.into()));
            line(format!("scale    {:?} {from} to {to} {}", bar.map, bar.label));
        }
        plot.marks.iter().for_each(|mark| line(words_of(mark)));
        if plot.pick != Pick::Nothing {
            line(format!("pick     {:?}", plot.pick));
        }
    }
    text
}

fn words_of(mark: &Mark) -> String {
    let point = |[x, y]: [f64; 2]| format!("({}, {})", number(x), number(y));
    let few = |points: &[[f64; 2]]| {
        let at = |i: usize| points.get(i).map_or_else(String::new, |p| point(*p));
        let n = points.len();
        format!("{n} points {} {} {}", at(0), at(n / 2), at(n.saturating_sub(1)))
    };
    let maybe = |color: &Option<Color>| color.map_or_else(|| "none".to_owned(), paint);
    match mark {
        Mark::Line { name, points, color, dash, .. } => {
            format!("line     {} {dash:?} {name}: {}", paint(*color), few(points))
        }
        Mark::Points { name, points, .. } => format!("points   {name}: {}", few(points)),
        Mark::Heat(heat) => {
            let sum: f64 =
                heat.values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).sum();
            let (rows, columns) = (heat.rows, heat.columns);
            format!("heat     {} {rows} x {columns}, sum {}", heat.name, number(sum))
        }
        Mark::Bars { name, at, values, color, .. } => {
            let bars: Vec<[f64; 2]> = at.iter().zip(values).map(|(x, y)| [*x, *y]).collect();
            format!("bars     {} {name}: {}", paint(*color), few(&bars))
        }
        Mark::Rect { from, to, fill, stroke, .. } => {
            let (fill, stroke) = (maybe(fill), maybe(stroke));
            format!("rect     {} {} fill {fill} stroke {stroke}", point(*from), point(*to))
        }
        Mark::Hatch { from, to, .. } => format!("hatch    {} {}", point(*from), point(*to)),
        Mark::Arrow { from, to, .. } => format!("arrow    {} {}", point(*from), point(*to)),
        Mark::Frame { from, to, .. } => format!("frame    {} {}", point(*from), point(*to)),
        Mark::Arc { ends: [from, to], .. } => format!("arc      {} {}", point(*from), point(*to)),
        Mark::Text { at, text, .. } => format!("text     {} {text}", point(*at)),
        Mark::Wedge { at, color } => format!("wedge    {} {}", paint(*color), point(*at)),
        Mark::Upright { x, color, dash, .. } => {
            format!("upright  {} {} {dash:?}", number(*x), paint(*color))
        }
        Mark::Cells(cells) => {
            let cell = |c: &Cell| {
                let hover = c.hover.replace('\n', " | ");
                format!("\n  {} {:?} {:?} {hover}", maybe(&c.fill), c.text, c.pick)
            };
            let some = cells.iter().take(20).map(cell).collect::<String>();
            format!("cells    {}{some}", cells.len())
        }
        Mark::Cloud(cloud) => {
            let points = cloud.points.len() / cloud.dims;
            let show = |i: usize| {
                let hover = cloud.hovers[i].replace('\n', " | ");
                format!("\n  {} {:?} {hover}", paint(cloud.colors[i]), cloud.picks[i])
            };
            let some = (0..points).step_by(31).map(show).collect::<String>();
            let (rings, links) = (&cloud.rings, cloud.links.len());
            format!("cloud    {points} points, rings {rings:?}, {links} links{some}")
        }
    }
}

fn paint(color: Color) -> String {
    let Color { r, g, b, a } = color;
    format!("#{r:02x}{g:02x}{b:02x}{a:02x}")
}

/// A number drawn: its kind and series in tables, and its place and value; NaN is one, too.
type Drawn = (&'static str, String, [f64; 3]);

fn drawn_numbers(mark: &Mark) -> Vec<Drawn> {
    let all = |kind: &'static str, name: &str, points: Vec<[f64; 3]>| {
        points.into_iter().map(|p| (kind, name.to_owned(), p)).collect::<Vec<_>>()
    };
    let flat = |points: &[[f64; 2]]| points.iter().map(|[x, y]| [*x, *y, 0.0]).collect();
    match mark {
        Mark::Line { name, points, .. } => all("line", name, flat(points)),
        Mark::Points { name, points, .. } => all("point", name, flat(points)),
        Mark::Bars { name, at, values, .. } => {
            all("bar", name, at.iter().zip(values).map(|(x, y)| [*x, *y, 0.0]).collect())
        }
        Mark::Heat(heat) => {
            let cell = |i: usize| {
                let (row, column) = (i / heat.columns, i % heat.columns);
                let there = !(heat.causal && column > row || heat.values[i].is_nan());
                there.then(|| [column as f64, row as f64, f64::from(heat.values[i])])
            };
            all("cell", &heat.name, (0..heat.rows * heat.columns).filter_map(cell).collect())
        }
        Mark::Cloud(cloud) => {
            let places = project(&cloud.points, &cloud.basis, cloud.dims);
            all("point", &cloud.name, places.into_iter().map(|p| p.map(f64::from)).collect())
        }
        Mark::Cells(cells) => cells
            .iter()
            .filter_map(|cell| {
                let (what, value) = cell.value?;
                Some(("cell", what.to_owned(), [cell.from[0], cell.from[1], value]))
            })
            .collect(),
        Mark::Upright { x, .. } => all("mark", "", vec![[*x, 0.0, 0.0]]),
        Mark::Rect { .. }
        | Mark::Frame { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Arc { .. }
        | Mark::Wedge { .. }
        | Mark::Text { .. } => Vec::new(),
    }
}

/// The rows of a table that hold numbers.
fn table_numbers(text: &str, panel: &str) -> Vec<(String, String, [f64; 3])> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    for (column, name) in head.iter().enumerate() {
        let empty = rows.iter().all(|row| row[column].is_empty());
        assert!(!empty || rows.is_empty(), "{panel}: the column {name} is empty");
    }
    let at = |row: &csv::StringRecord, name: &str| {
        let column = head.iter().position(|n| n == name);
        column.map_or_else(String::new, |i| row[i].to_owned())
    };
    let number = |text: String| if text.is_empty() { 0.0 } else { text.parse().unwrap() };
    let mut found = Vec::new();
    for row in &rows {
        let kind = at(row, "kind");
        let [x, y, value] = ["x", "y", "value"].map(|name| at(row, name));
        // Texts are no numbers, and neither are boxes that show none.
        if kind != "text" && !(kind == "cell" && value.is_empty()) {
            found.push((kind, at(row, "series"), [number(x), number(y), number(value)]));
        }
    }
    found
}

/// Numbers to compare, in any order: all that is none is alike, and so are both zeros.
fn sorted(all: impl Iterator<Item = [f64; 3]>) -> Vec<[u32; 3]> {
    let bits = |v: f64| match v as f32 {
        v if v.is_nan() => u32::MAX,
        0.0 => 0,
        v => v.to_bits(),
    };
    let mut all: Vec<[u32; 3]> = all.map(|p| p.map(bits)).collect();
    all.sort_unstable();
    all
}

/// The numbers of an archive, as they are drawn.
fn archive_numbers(figure: &Figure) -> Vec<[f64; 3]> {
    let archive = npz::read(&numbers::npz_of([("", figure)], "{}").unwrap());
    let about: serde_json::Value = serde_json::from_slice(&archive["about"].2).unwrap();
    let mut found = Vec::new();
    for (name, (kind, shape, bytes)) in archive.iter().filter(|(name, _)| *name != "about") {
        assert!(!shape.contains(&0), "{name} has no numbers");
        let values: Vec<f64> = match kind.as_str() {
            "<f4" => bytes
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
                .collect(),
            _ => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        };
        if about["arrays"][name]["axes"][0] == "row" {
            let cell = |(i, v): (usize, &f64)| [(i % shape[1]) as f64, (i / shape[1]) as f64, *v];
            found.extend(values.iter().enumerate().map(cell).filter(|p| !p[2].is_nan()));
        } else {
            let each = shape.get(1).copied().unwrap_or(1);
            let at = |row: &[f64], i: usize| row.get(i).copied().unwrap_or(0.0);
            found.extend(values.chunks_exact(each).map(|row| [0, 1, 2].map(|i| at(row, i))));
        }
    }
    found
}

/// Exactly the numbers that a figure draws are in its table and in its archive: those of every panel.
#[test]
fn the_files_beside_a_figure_hold_the_numbers_that_it_draws() {
    let mut world = World::new();
    world.selection.query = Some(12);
    let mut figures: Vec<(String, Figure)> = Vec::new();
    for entry in panel::ALL {
        figures.push((entry.name.to_owned(), world.figure(entry.name)));
    }
    for (name, setting, value) in [
        ("lens", "window", "all"),
        ("lens", "shade", "divergence"),
        ("lens", "shade", "right token"),
        ("tokens", "shade", "loss"),
        ("tokens", "shade", "attention"),
    ] {
        let mut panel = world.panel(name);
        settings::set(&mut *panel, "", setting, &value.into()).unwrap();
        figures.push((format!("{name} {value}"), panel.figure(&world.view())));
    }
    for (name, figure) in figures {
        let mut wanted: Vec<Drawn> = Vec::new();
        for plot in &figure.plots {
            plot.marks.iter().for_each(|mark| wanted.extend(drawn_numbers(mark)));
        }
        assert!(!wanted.is_empty(), "{name} draws no number");
        let text = table::csv(&figure).unwrap();
        let wanted = sorted(wanted.into_iter().map(|(_, _, p)| p));
        let table = table_numbers(&text, &name).into_iter().map(|(_, _, p)| p);
        assert_eq!(sorted(table), wanted, "{name}: the table");
        assert_eq!(sorted(archive_numbers(&figure).into_iter()), wanted, "{name}: the archive");
    }
}

/// What a panel draws changes only together with its text here, so that a change is seen in a difference.
#[test]
fn every_panel_draws_what_its_text_says() {
    let world = World::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/panels");
    let mut known = Vec::new();
    for entry in panel::ALL {
        let (path, now) =
            (folder.join(format!("{}.txt", entry.name)), written(&world.figure(entry.name)));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            before, now,
            "{}: run the tests once with UPDATE_SNAPSHOTS=1 and read the difference",
            entry.name
        );
        known.push(path);
    }
    let files = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    assert!(files.into_iter().all(|file| known.contains(&file)), "a text of no panel is left over");
}

// ── automaton ────────────────────────────────────────────────────────────────────────────────────────

/// The cells of a plot that say something.
fn telling(plot: &Plot) -> Vec<Cell> {
    let of = |mark: &Mark| if let Mark::Cells(cells) = mark { cells.clone() } else { Vec::new() };
    plot.marks.iter().flat_map(of).filter(|cell| !cell.hover.is_empty()).collect()
}

#[test]
fn the_title_of_a_machine_says_first_whether_it_is_the_true_one() {
    let mut world = World::new();
    let figure = world.figure("automaton");
    assert_eq!(figure.title, "Not the true machine: 4 states found where it has 3, step 200");
    for said in [
        "4 states after minimising 9 groups; the true machine has 3.",
        "256 strings of 32 symbols (training: 16)",
        "what the network tells at 75.0 %",
        "After b b b it tells “f” where “c” is right.",
    ] {
        assert!(figure.caption.contains(said), "{said}: {}", figure.caption);
    }
    world.reanalyze(|reading| {
        reading.numbers.iter_mut().filter(|(name, _)| name == "is_same").for_each(|n| n.1 = 1.0);
    });
    let title = world.figure("automaton").title;
    assert_eq!(title, "The true machine, found in the network: 4 states, step 200");
}

#[test]
fn states_stand_where_the_true_ones_stand_that_they_are() {
    let world = World::new();
    let figure = world.figure("automaton");
    let middle = |cell: &Cell| [0, 1].map(|i| (cell.from[i] + cell.to[i]) / 2.0);
    let states = |plot: &Plot, word: &str| -> Vec<[f64; 2]> {
        let cells = telling(plot).into_iter();
        cells.filter(|cell| cell.hover.starts_with(word)).map(|cell| middle(&cell)).collect()
    };
    let (found, truth) =
        (states(&figure.plots[0], "state "), states(&figure.plots[1], "true state "));
    assert_eq!((found.len(), truth.len()), (4, 3));
    for (found, truth) in found.iter().zip(&truth) {
        assert!((0..2).all(|i| (found[i] - truth[i]).abs() < 1e-9), "{found:?} {truth:?}");
    }
    assert!(found[3][0].hypot(found[3][1]) < 0.5, "the one too many is inside");
}

#[test]
fn a_click_on_a_state_selects_the_next_position_at_which_the_network_is_in_it() {
    let mut world = World::new();
    let pick_of = |world: &World, hover: &str| {
        let figure = world.figure("automaton");
        let cells = telling(&figure.plots[0]);
        cells.iter().find(|cell| cell.hover.starts_with(hover)).unwrap().pick.clone()
    };
    // State 1 is at 1, 9, 13, 21, 25 and so on: every fourth position but those without an action.
    for (selected, next) in [(None, 1), (Some(1), 9), (Some(12), 13), (Some(39), 1)] {
        world.selection.query = selected;
        assert_eq!(pick_of(&world, "state “d”"), Pick::Query(next), "{selected:?}");
    }
    world.selection.query = None;
    let taken = pick_of(&world, "from “c” to “d”");
    assert_eq!(taken, Pick::QueryKey { query: 1, key: 0 });
    assert_eq!(pick_of(&world, "from “e” to “f”"), Pick::QueryKey { query: 7, key: 6 });
    assert_eq!(pick_of(&world, "from “d” to “d”"), Pick::Nothing);
}

#[test]
fn states_of_no_true_one_and_the_axes_stay_where_they_were() {
    let mut world = World::new();
    let panel = world.panel("automaton");
    let mut memory = Memory::default();
    let points = |figure: &Figure| {
        let of = |mark: &Mark| {
            let Mark::Points { points, .. } = mark else { return None };
            (points.len() == 12).then(|| points.clone())
        };
        figure.plots[2].marks.iter().find_map(of).unwrap()
    };
    let before = panel.next_figure(&world.view(), &mut memory);
    world.reanalyze(|reading| {
        for axes in reading.arrays.iter_mut().filter(|array| array.name == "axes") {
            axes.data = vec![0.0, -1.0, -1.0, 0.0].into();
        }
    });
    let after = panel.next_figure(&world.view(), &mut memory);
    for (a, b) in points(&before).iter().zip(points(&after).iter()) {
        assert!((0..2).all(|i| (a[i] - b[i]).abs() < 1e-5), "{a:?} {b:?}");
    }
    assert_ne!(points(&panel.figure(&world.view())), points(&before), "by itself it has flipped");
}
