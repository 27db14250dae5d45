//! What networks keep from segment to segment: who writes and reads, what is cut, held and patched there, and how far what was
//! learned goes.

use std::sync::Arc;

use mnemoscope::base::batch::Row;
use mnemoscope::base::intervention::{Intervention, Place};
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::analysis_of;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::held_out_seed;

/// A small network of a task, trained for some steps.
pub(super) struct Asked {
    pub trainer: Trainer,
    pub instrument: Instrument,
}

impl Asked {
    pub fn of(task: &str, model: &str, texts: &[&str], steps: usize) -> Self {
        let mut experiment = Experiment::of("asked", task, model).unwrap();
        let usual = ["train.optimizer=adamw", "train.rate=0.01", "train.batch=16"];
        experiment.set_texts(usual.iter().chain(texts).copied()).unwrap();
        let mut trainer = Trainer::new(&experiment).unwrap();
        (0..steps).for_each(|_| drop(trainer.step().unwrap()));
        Self { instrument: Instrument::new(&experiment).unwrap(), trainer }
    }

    pub fn prompt(&self) -> Arc<Row> {
        Arc::new(self.instrument.source().sequence(held_out_seed(0), 0))
    }

    fn ask(&mut self, call: &MeasurementCall, in_force: &[&str]) -> Result<Reading, String> {
        let weights = self.trainer.weights().unwrap();
        let in_force: Vec<Intervention> =
            in_force.iter().map(|text| text.parse().unwrap()).collect();
        let prompt = self.prompt();
        let calls = [call.clone()];
        let readings = self.instrument.examine(&weights, &prompt, &in_force, &calls);
        let readings = readings.map_err(|e| e.message)?;
        let reading = readings.get(call).unwrap();
        reading.as_ref().map(|reading| (**reading).clone()).map_err(|e| e.message.clone())
    }

    /// Probabilities of the likeliest tokens, position by position.
    fn predictions(&mut self, in_force: &[&str]) -> Vec<f32> {
        let call = MeasurementCall::new("predictions");
        let reading = self.ask(&call, in_force).unwrap();
        reading.array("probability").unwrap().data.to_vec()
    }

    pub fn analyze(&mut self, call: &MeasurementCall) -> Result<Reading, String> {
        let analysis = analysis_of(call).map_err(|e| e.message)?;
        let (weights, prompt) = (self.trainer.weights().unwrap(), self.prompt());
        let found = self.instrument.analyze(&weights, &prompt, &*analysis, &mut |_, _, _| true);
        found.map_err(|e| e.message)
    }
}

const SMALL: [&str; 3] = ["model.width=8", "model.heads=2", "model.layers=2"];

fn memory_tokens(steps: usize) -> Asked {
    let texts = ["task.count=6", "task.segment=4", "model.memory=3", "train.segment=4"];
    Asked::of("copy", "memory_tokens", &[&SMALL[..], &texts].concat(), steps)
}

fn feedback() -> Asked {
    let texts = ["task.blocks=4", "model.memory=2", "model.blocks=1", "train.segment=8"];
    Asked::of("passkey", "feedback", &[&SMALL[..], &texts].concat(), 2)
}

fn cached() -> Asked {
    let texts = ["task.count=6", "task.segment=4", "train.segment=4"];
    Asked::of("copy", "transformer_xl", &[&SMALL[..], &texts].concat(), 2)
}

fn gru(cell: &str) -> Asked {
    let cell = format!("model.cell={cell}");
    let texts = ["task.length=10", "task.longest=40", "model.width=6", &cell];
    Asked::of("automaton", "recurrent", &texts, 2)
}

fn kept(layer: i64) -> MeasurementCall {
    MeasurementCall::new("working_memory").with("layer", layer)
}

#[test]
fn attention_into_and_out_of_memory_tokens_is_what_the_pattern_leaves() {
    for mut asked in [memory_tokens(2), feedback()] {
        let reading = asked.ask(&kept(1), &[]).unwrap();
        let (read, write) =
            (reading.array("read.layer1").unwrap(), reading.array("write.layer1").unwrap());
        let pattern = asked.ask(&MeasurementCall::new("attention"), &[]).unwrap();
        let pattern = pattern.array("pattern.layer1").unwrap().clone();
        let (positions, slots) = (read.shape[1], read.shape[2]);
        let starts = reading.array("segment").unwrap().data.to_vec();
        assert_eq!(write.shape[1..], [starts.len() * slots, positions]);
        let origin = pattern.axes[2].origin();
        for head in 0..2 {
            for position in 0..positions {
                let row = &pattern.outer(head)[position * (origin + positions)..];
                let to_tokens: f32 = row[origin..origin + positions].iter().sum();
                let to_memory: f32 = read.outer(head)[position * slots..][..slots].iter().sum();
                assert!((to_tokens + to_memory - 1.0).abs() < 1e-5, "{to_tokens} {to_memory}");
            }
        }
        // A slot takes from the positions of its own segment alone.
        for (row, weights) in write.outer(0).chunks(positions).enumerate() {
            let segment = row / slots;
            let from = starts[segment] as usize;
            let to = starts.get(segment + 1).map_or(positions, |next| *next as usize);
            let sum: f32 = weights.iter().sum();
            let inside: f32 = weights[from..to].iter().sum();
            assert!(sum > 0.0 && sum <= 1.0 + 1e-5 && inside == sum, "{weights:?}");
        }
    }
}

#[test]
fn a_cache_is_pooled_by_segments_and_rows_sum_to_one() {
    let mut asked = cached();
    let reading = asked.ask(&kept(0), &[]).unwrap();
    let cache = reading.array("cache.layer0").unwrap();
    assert_eq!(cache.shape, [2, 3, 3]);
    for (segment, row) in cache.outer(1).chunks(3).enumerate() {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let seen = row
            .iter()
            .enumerate()
            .all(|(from, weight)| (*weight > 0.0) == (from == segment || from + 1 == segment));
        assert!(seen, "a cache of one segment: {row:?}");
    }
}

#[test]
fn the_state_of_units_and_their_gates_come_position_by_position() {
    for (cell, gates) in [("tanh", 0), ("gru", 2), ("lstm", 3)] {
        let mut asked = gru(cell);
        let reading = asked.ask(&kept(0), &[]).unwrap();
        let hidden = reading.array("hidden.layer0").unwrap();
        assert_eq!(hidden.shape, [10, 6]);
        let of_gates = reading.arrays.iter().filter(|a| a.name.starts_with("gate."));
        assert_eq!(of_gates.clone().count(), gates);
        for array in of_gates {
            assert!(array.data.iter().all(|open| (0.0..=1.0).contains(open)), "{}", array.name);
        }
    }
}

#[test]
fn a_network_that_keeps_nothing_says_so() {
    let mut plain = Asked::of("copy", "decoder", &SMALL, 0);
    let refused = plain.ask(&kept(0), &[]).unwrap_err();
    assert!(refused.contains("keeps nothing beside it"), "{refused}");
    let mut whole = Asked::of("copy", "transformer_xl", &SMALL, 0);
    let refused = whole.ask(&kept(0), &[]).unwrap_err();
    assert!(refused.contains("train it with train.segment"), "{refused}");
    let refused = gru("gru").ask(&kept(3), &[]).unwrap_err();
    assert!(refused.contains("this network has 1"), "{refused}");
}

#[test]
fn a_memory_token_of_one_segment_is_changed_there_alone() {
    let mut asked = memory_tokens(2);
    let before = asked.predictions(&[]);
    let each = before.len() / 12;
    let differs = |after: &[f32]| -> Vec<bool> {
        let positions = before.chunks(4 * each).zip(after.chunks(4 * each));
        positions.map(|(a, b)| a != b).collect()
    };
    // What is written in the first segment is read by the second and, through it, by the third.
    let first = asked.predictions(&["zero layer1.memory.write@m1:0"]);
    assert_eq!(differs(&first), [false, true, true]);
    let second = asked.predictions(&["zero layer1.memory.write@m1:1"]);
    assert_eq!(differs(&second), [false, false, true]);
    let both =
        asked.predictions(&["zero layer1.memory.write@m1:0", "zero layer1.memory.write@m1:1"]);
    let all = asked.predictions(&["zero layer1.memory.write@m1"]);
    assert_eq!(all, both);
    let refused = |asked: &mut Asked, text: &str| {
        asked.ask(&MeasurementCall::new("predictions"), &[text]).unwrap_err()
    };
    let far = refused(&mut asked, "zero layer1.memory.write@m1:3");
    assert!(far.contains("segments 0 to 2"), "{far}");
    let none = refused(&mut asked, "zero layer1.memory.write@m3:0");
    assert!(none.contains("m0 to m2"), "{none}");
}

#[test]
fn a_memory_that_is_held_stays_what_it_was() {
    // Where nothing is written any more, the third segment reads what the second did.
    let mut asked = memory_tokens(2);
    let held = asked.predictions(&["hold layer1.memory.write@m0-m2:1"]);
    let before = asked.predictions(&[]);
    let each = before.len() / 12;
    assert_eq!(held[..8 * each], before[..8 * each]);
    assert_ne!(held[8 * each..], before[8 * each..]);
    // The state of recurrent units that is held answers as it did.
    let mut asked = gru("gru");
    let call = kept(0);
    let states = |asked: &mut Asked, in_force: &[&str]| {
        asked.ask(&call, in_force).unwrap().array("hidden.layer0").unwrap().data.to_vec()
    };
    let (before, held) = (states(&mut asked, &[]), states(&mut asked, &["hold layer0.hidden@4-6"]));
    assert_eq!(held[..4 * 6], before[..4 * 6]);
    for at in 4..7 {
        assert_eq!(held[at * 6..][..6], before[3 * 6..][..6], "{at}");
    }
    assert_ne!(held[7 * 6..], before[7 * 6..]);
    // What is passed once has nothing before it.
    let mut plain = Asked::of("copy", "decoder", &SMALL, 0);
    let predictions = MeasurementCall::new("predictions");
    let refused = plain.ask(&predictions, &["hold layer0.resid_pre@3"]).unwrap_err();
    assert!(refused.contains("is passed once"), "{refused}");
}

#[test]
fn a_memory_is_patched_from_another_sequence_segment_by_segment() {
    let mut asked = memory_tokens(2);
    let other = asked.instrument.source().sequence(held_out_seed(0), 1);
    let tokens: Vec<String> = other.tokens.iter().map(u32::to_string).collect();
    let tokens = tokens.join(" ");
    let own: Vec<String> = asked.prompt().tokens.iter().map(u32::to_string).collect();
    let before = asked.predictions(&[]);
    let each = before.len() / 12;
    let itself = format!("patch layer1.memory.write from {}", own.join(" "));
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close(&asked.predictions(&[&itself]), &before));
    let patch = format!("patch layer1.memory.write@m0-m2:0 from {tokens}");
    let after = asked.predictions(&[&patch]);
    assert!(close(&after[..4 * each], &before[..4 * each]));
    assert!(!close(&after[4 * each..], &before[4 * each..]));
    assert!(asked.predictions(&["mean layer1.memory.write"]).iter().all(|p| p.is_finite()));
}

#[test]
fn places_of_memory_tokens_are_spelled_with_their_segment() {
    for text in
        ["layer1.memory.write@m2:3", "layer0.memory.read@m0-m3", "layer0.memory.read@m0:1-m3:1,7"]
    {
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
    }
    assert_eq!(
        "hold layer0.hidden@3".parse::<Intervention>().unwrap().to_string(),
        "hold layer0.hidden@3"
    );
    for text in ["layer0.memory.read@m2:", "layer0.memory.read@m:1", "layer0.memory.read@2:1"] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
}

// ── length ───────────────────────────────────────────────────────────────────────────────────────────

fn length() -> MeasurementCall {
    MeasurementCall::new("length").with("sequences", 12)
}

#[test]
fn accuracy_by_length_is_that_of_counting_by_hand() {
    let mut asked = gru("gru");
    let reading = asked.analyze(&length().with("values", "5,10,30")).unwrap();
    let array = |name: &str| reading.array(name).unwrap().data.to_vec();
    assert_eq!(array("value"), [5.0, 10.0, 30.0]);
    assert_eq!(array("positions"), [5.0, 10.0, 30.0]);
    assert_eq!(reading.number("trained"), Some(10.0));
    assert_eq!(reading.number("chance"), Some(0.5));
    let places = reading.array("by_position").unwrap();
    assert_eq!(places.shape, [3, 30]);
    for (value, length) in [5, 10, 30].into_iter().enumerate() {
        let row = places.outer(value);
        assert!(row[length..].iter().all(|x| x.is_nan()));
        let mean = row[..length].iter().sum::<f32>() / length as f32;
        assert!((mean - array("accuracy")[value]).abs() < 1e-6);
        assert_eq!(row[length - 1], array("last")[value]);
    }
    // At the length of training: the mean of the held-out sequences that predictions are told of.
    let mut right = 0.0;
    for index in 0..12 {
        let row = Arc::new(asked.instrument.source().sequence(held_out_seed(0), index));
        let weights = asked.trainer.weights().unwrap();
        let call = MeasurementCall::new("predictions");
        let calls = [call.clone()];
        let readings = asked.instrument.examine(&weights, &row, &[], &calls).unwrap();
        let reading = readings.get(&call).unwrap().as_ref().unwrap();
        let told = reading.array("token").unwrap();
        let hits =
            row.targets.iter().enumerate().filter(|(at, t)| told.outer(*at)[0] as u32 == **t);
        right += hits.count() as f32;
    }
    assert!((right / 120.0 - array("accuracy")[1]).abs() < 1e-6);
}

#[test]
fn lengths_go_as_far_as_the_network_reads_and_statistics_are_varied_too() {
    let mut asked = gru("tanh");
    let reading = asked.analyze(&length()).unwrap();
    let values = reading.array("value").unwrap().data.to_vec();
    assert_eq!(values, [5.0, 10.0, 15.0, 20.0, 30.0, 40.0]);
    let ones = length().with("over", "ones").with("values", "0.1,0.9");
    let reading = asked.analyze(&ones).unwrap();
    assert_eq!(reading.array("value").unwrap().data[..], [0.1, 0.9]);
    assert_eq!(reading.array("positions").unwrap().data[..], [10.0, 10.0]);
    let mut refused = |call: MeasurementCall| asked.analyze(&call).unwrap_err();
    assert!(refused(length().with("values", "41")).contains("reads at most 40"));
    assert!(refused(length().with("over", "machine").with("values", "abab")).contains("number"));
    assert!(refused(length().with("over", "nothing")).contains("it has machine"));
    assert!(refused(length().with("over", "ones")).contains("write them with commas"));
    let mut old = Asked::of("bigram", "birth", &["model.width=8", "task.length=16"], 0);
    assert!(old.analyze(&length()).unwrap_err().contains("one length"));
}
