//! What networks keep from segment to segment: who writes and reads, what is cut, held and patched there, and how far what was
//! learned goes.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::base::intervention::{Intervention, Place};
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::measurement::competition::mutual_information;
use mnemoscope::model::{Input, State};
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::Untapped;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::analysis_of;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::associative_retrieval::Text;
use mnemoscope::task::held_out_seed;

/// A small network of a task, trained for some steps.
pub(super) struct Asked {
    experiment: Experiment,
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
        let instrument = Instrument::new(&experiment).unwrap();
        Self { experiment, trainer, instrument }
    }

    pub fn prompt(&self) -> Arc<Row> {
        Arc::new(self.instrument.source().sequence(held_out_seed(0), 0))
    }

    pub fn ask(&mut self, call: &MeasurementCall, in_force: &[&str]) -> Result<Reading, String> {
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
        let found =
            self.instrument.analyze(&weights, &prompt, &[], &*analysis, &mut |_, _, _| true);
        found.map_err(|e| e.message)
    }
}

/// Alike but for the order of sums.
fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
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

fn compressed() -> Asked {
    let texts = ["task.blocks=5", "task.least_blocks=5", "train.segment=8", "model.rate=4"];
    let texts = [&SMALL[..], &texts, &["model.compressed=3"]].concat();
    Asked::of("passkey", "compressive", &texts, 2)
}

#[test]
fn what_goes_to_compressed_rows_and_to_positions_is_all_of_the_attention() {
    let mut asked = compressed();
    let reading = asked.ask(&kept(1), &[]).unwrap();
    assert_eq!(reading.number("rate"), Some(4.0));
    let array = |name: &str| reading.array(name).unwrap().clone();
    let (seen, rows) = (array("seen.layer1"), array("compressed.layer1"));
    // Of 40 positions 24 have left the cache before the last segment.
    assert_eq!((seen.shape.as_slice(), rows.shape.as_slice()), (&[2, 5, 40][..], &[2, 40, 6][..]));
    for head in 0..2 {
        for segment in 0..5 {
            let to_positions = &seen.outer(head)[segment * 40..][..40];
            let to_rows = &rows.outer(head)[segment * 8 * 6..][..8 * 6];
            let sum = to_positions.iter().sum::<f32>() + to_rows.iter().sum::<f32>() / 8.0;
            assert!((sum - 1.0).abs() < 1e-5, "{segment}: {sum}");
            let first = (8 * segment).saturating_sub(8);
            assert!(to_positions[..first].iter().all(|x| *x == 0.0));
            assert!(to_positions[first..8 * (segment + 1)].iter().all(|x| *x > 0.0));
        }
    }
    let call = MeasurementCall::new("attention");
    let pattern = asked.ask(&call, &[]).unwrap().array("pattern.layer1").unwrap().clone();
    assert_eq!(pattern.axes[2].labels[..], ["cm0", "cm1", "cm2", "cm3", "cm4", "cm5"]);
    for (position, row) in pattern.outer(1).chunks(46).enumerate() {
        assert!(close(&row[..6], &rows.outer(1)[position * 6..][..6]));
    }
    // Another sequence's attention comes in by the number of each row; its own changes nothing.
    let own: Vec<String> = asked.prompt().tokens.iter().map(u32::to_string).collect();
    let before = asked.predictions(&[]);
    let itself = format!("patch layer1.pattern from {}", own.join(" "));
    assert!(close(&asked.predictions(&[&itself]), &before));
    assert!(!close(&asked.predictions(&["cut layer1.pattern@39<-cm3-cm5"]), &before));
}

fn retrieving(steps: usize) -> Asked {
    let texts = ["task.segments=4", "train.segment=4", "train.held_out=24"];
    Asked::of("associative_retrieval", "hierarchical", &[&SMALL[..], &texts].concat(), steps)
}

#[test]
fn the_segment_that_is_retrieved_most_is_counted_where_it_is_the_right_one() {
    let mut asked = retrieving(30);
    let source = asked.instrument.source().clone();
    let text = source.facet::<Text>().unwrap();
    let weights = asked.trainer.weights().unwrap();
    let mut right = 0;
    for index in 0..24 {
        let row = Arc::new(source.sequence(held_out_seed(0), index));
        let calls = [kept(0)];
        let readings = asked.instrument.examine(&weights, &row, &[], &calls).unwrap();
        let reading = readings.get(&calls[0]).unwrap().as_ref().unwrap().clone();
        let shares = reading.array("retrieval").unwrap();
        assert_eq!(shares.shape, [4, 4]);
        for (segment, row) in shares.data.chunks(4).enumerate() {
            let sum: f32 = row[..segment].iter().sum();
            assert!(segment == 0 || (sum - 1.0).abs() < 1e-5, "{row:?}");
            assert!(row[segment..].iter().all(|share| *share == 0.0));
        }
        let last = &shares.data[12..15];
        let most = (0..3).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
        right += usize::from(Some(most) == text.asked_segment(&row.tokens));
    }
    assert_eq!(recorded(&mut asked, "retrieval_right"), f64::from(right as u32) / 24.0);
    let plain = Asked::of("associative_retrieval", "memory_tokens", &["train.segment=4"], 0);
    assert!(!plain.trainer.columns().iter().any(|name| name == "retrieval_right"));
    // What is retrieved is a place: another sequence's shares come in, and its own change nothing.
    let own: Vec<String> = asked.prompt().tokens.iter().map(u32::to_string).collect();
    let before = asked.predictions(&[]);
    let itself = format!("patch layer0.retrieval from {}", own.join(" "));
    assert!(close(&asked.predictions(&[&itself]), &before));
    assert!(!close(&asked.predictions(&["zero layer0.retrieval@m0:3"]), &before));
}

#[test]
fn mutual_information_is_that_of_tables_known_by_hand() {
    assert_eq!(mutual_information(&[]), 0.0);
    let independent = [[0, 0], [0, 1], [1, 0], [1, 1]];
    assert_eq!(mutual_information(&independent), 0.0);
    assert_eq!(mutual_information(&[[0, 1], [1, 0], [0, 1], [1, 0]]), 1.0);
    // p = 3/8, 1/8, 1/8, 3/8: one bit less the entropy of a quarter.
    let table = [[0, 0], [0, 0], [0, 0], [0, 1], [1, 0], [1, 1], [1, 1], [1, 1]];
    let entropy = -(0.25f64 * 0.25f64.log2() + 0.75 * 0.75f64.log2());
    assert!((mutual_information(&table) - (1.0 - entropy)).abs() < 1e-12);
}

#[test]
fn who_wins_is_counted_against_what_a_position_is() {
    let texts = ["task.length=12", "model.width=8", "model.heads=2", "model.communication=1"];
    let mut asked = Asked::of("interleaved", "mechanisms", &texts, 20);
    let source = asked.instrument.source().clone();
    let weights = asked.trainer.weights().unwrap();
    let mut pairs = Vec::new();
    for index in 0..64 {
        let row = Arc::new(source.sequence(u64::MAX, index));
        let calls = [kept(1)];
        let readings = asked.instrument.examine(&weights, &row, &[], &calls).unwrap();
        let reading = readings.get(&calls[0]).unwrap().as_ref().unwrap().clone();
        let shares = reading.array("gate.competition.layer1").unwrap();
        assert_eq!(shares.shape, [12, 2]);
        let classes = source.labels("process", &row);
        for (share, class) in shares.data.chunks(2).zip(classes) {
            assert!((share[0] + share[1] - 1.0).abs() < 1e-6);
            pairs.push([usize::from(share[1] > share[0]), class.unwrap()[0]]);
        }
    }
    let found = recorded(&mut asked, "competition_information_layer1");
    assert!((found - mutual_information(&pairs)).abs() < 1e-12, "{found}");
    let whatever_layer = asked.ask(&kept(0), &[]).unwrap();
    assert!(whatever_layer.array("gate.competition.layer1").is_some());
    let one = Asked::of("interleaved", "mechanisms", &["model.mechanisms=1"], 0);
    assert!(!one.trainer.columns().iter().any(|name| name.starts_with("competition")));
}

#[test]
fn networks_with_two_memories_or_mechanisms_learn_the_same_bytes_on_any_number_of_threads() {
    for name in ["passkey-compressive", "retrieval-hierarchical", "interleaved-mechanisms"] {
        let weights = |threads: i64| {
            let mut experiment = Experiment::builtin(name).unwrap();
            let texts = [format!("train.threads={threads}"), "train.held_out=2".to_owned()];
            experiment.set_texts(texts.iter().map(String::as_str)).unwrap();
            let mut trainer = Trainer::new(&experiment).unwrap();
            (0..3).for_each(|_| drop(trainer.step().unwrap()));
            let weights = trainer.weights().unwrap();
            let numbers = weights.tensors.iter().flat_map(|tensor| tensor.data.to_vec());
            numbers.map(f32::to_bits).collect::<Vec<u32>>()
        };
        let one = weights(1);
        assert!(one == weights(2) && one == weights(3), "{name}");
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
        positions.map(|(a, b)| !close(a, b)).collect()
    };
    // What is written in the first segment is read by the second and, through it, by the third.
    let first = asked.predictions(&["zero layer1.memory.write@m1:0"]);
    assert_eq!(differs(&first), [false, true, true]);
    let second = asked.predictions(&["zero layer1.memory.write@m1:1"]);
    assert_eq!(differs(&second), [false, false, true]);
    let both =
        asked.predictions(&["zero layer1.memory.write@m1:0", "zero layer1.memory.write@m1:1"]);
    let all = asked.predictions(&["zero layer1.memory.write@m1"]);
    assert!(close(&all, &both));
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
    assert!(close(&held[..8 * each], &before[..8 * each]));
    assert!(!close(&held[8 * each..], &before[8 * each..]));
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
    // What is no memory, or has nothing before it, cannot be held.
    let predictions = MeasurementCall::new("predictions");
    let refused = |mut asked: Asked, what: &str| asked.ask(&predictions, &[what]).unwrap_err();
    let plain = Asked::of("copy", "decoder", &SMALL, 0);
    assert!(refused(plain, "hold layer0.resid_pre@3").contains("nothing is kept at"));
    assert!(refused(memory_tokens(0), "hold layer0.resid_pre@3").contains("nothing is kept at"));
    let first = refused(memory_tokens(0), "hold layer1.memory.write@m0-m2:0");
    assert!(first.contains("name a later segment, as m0:1"), "{first}");
    let first = refused(gru("gru"), "hold layer0.hidden@0");
    assert!(first.contains("or a later position"), "{first}");
}

#[test]
fn what_follows_paths_within_a_pass_refuses_networks_that_read_in_segments() {
    for mut asked in [memory_tokens(0), feedback(), cached()] {
        for (name, setting) in [
            ("path", ("from", "layer0")),
            ("knock_out", ("positions", "3")),
            ("scrubbing", ("hypothesis", "embed > logits")),
        ] {
            let call = MeasurementCall::new(name).with(setting.0, setting.1);
            let refused = asked.analyze(&call).unwrap_err();
            assert!(refused.contains("reads its sequences in segments"), "{name}: {refused}");
        }
    }
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
    let texts = ["model.width=8", "model.heads=2", "task.nodes=6"];
    let mut tree = Asked::of("tree_path", "decoder", &texts, 0);
    assert!(tree.analyze(&length()).unwrap_err().contains("how long sequences are"));
}

#[test]
fn a_switch_changes_nothing_at_the_length_of_training() {
    let texts = ["task.length=10", "task.longest=20", "model.positions=sinusoidal"];
    let mut asked = Asked::of("automaton", "decoder", &[&SMALL[..], &texts].concat(), 20);
    let call = length().with("values", "10,20").with("sequences", 16).with("causes", true);
    let reading = asked.analyze(&call).unwrap();
    let array = |name: &str| reading.array(name).unwrap().data.to_vec();
    for switch in ["positions", "dilution", "mlp"] {
        assert_eq!(array(&format!("accuracy.{switch}"))[0], array("accuracy")[0], "{switch}");
    }
    assert_eq!(array("outside")[0], 0.0);
    assert!(array("outside")[1] > 0.0, "longer sequences lead units out of their range");
    // All of the attention lies within the whole sequence, and more within a larger part.
    let local = reading.array("local").unwrap();
    for row in local.data.chunks(20) {
        assert!(row.is_sorted() && (row[19] - 1.0).abs() < 1e-3, "{row:?}");
    }
    // Recurrent units have none of these causes.
    let refused = gru("gru").analyze(&call).unwrap_err();
    assert!(refused.contains("this network has none of them"), "{refused}");
}

// ── what is recorded ─────────────────────────────────────────────────────────────────────────────────

fn recorded(asked: &mut Asked, column: &str) -> f64 {
    let row = asked.trainer.evaluate().unwrap().0;
    let at = asked.trainer.columns().iter().position(|name| name == column);
    row.values[at.unwrap_or_else(|| panic!("no {column}"))]
}

#[test]
fn what_the_memory_is_worth_is_what_is_lost_when_each_segment_is_the_first() {
    // One symbol, the sign after it, and nothing but a memory token between.
    let texts = [
        "task.count=1",
        "task.segment=1",
        "model.memory=1",
        "model.width=16",
        "model.heads=2",
        "train.segment=1",
        "train.held_out=32",
    ];
    let mut asked = Asked::of("copy", "memory_tokens", &texts, 300);
    let (accuracy, worth) = (recorded(&mut asked, "accuracy"), recorded(&mut asked, "memory_use"));
    assert!(accuracy > 0.9, "it learns to carry a symbol: {accuracy}");
    // Whoever reads the second segment alone guesses among eight.
    assert!((0.0..0.4).contains(&(accuracy - worth)), "{accuracy} {worth}");
    let texts = ["task.count=2", "task.segment=2", "model.memory=0", "train.segment=2"];
    let alone = Asked::of("copy", "memory_tokens", &[&SMALL[..], &texts].concat(), 0);
    assert!(!alone.trainer.columns().iter().any(|name| name == "memory_use"));
}

#[test]
fn the_gradient_at_a_border_is_what_a_change_of_the_memory_there_does_to_the_loss() {
    let texts = ["train.held_out=1", "train.rate=0.02", "task.count=6", "task.segment=2"];
    let mut asked = Asked::of(
        "copy",
        "memory_tokens",
        &[&SMALL[..], &texts, &["model.memory=2", "train.segment=2"]].concat(),
        20,
    );
    let row = asked.prompt();
    let mut params = Params::new(0);
    let source = asked.experiment.task.open().unwrap();
    let model = asked.experiment.network(&*source, &mut params).unwrap();
    params.load(&asked.trainer.weights().unwrap()).unwrap();
    let count = row.targets.iter().filter(|target| **target != NO_TARGET).count() as f64;
    // The mean loss of the sequence where a number of the memory at a border is another one.
    let loss = |border: usize, index: usize, change: f32| -> f64 {
        let (mut sum, mut state) = (0.0, None::<State>);
        for (number, tokens) in row.tokens.chunks(2).enumerate() {
            if number == border
                && let Some(state) = &mut state
            {
                let shape = state.memory[0].dims().to_vec();
                let mut numbers: Vec<f32> =
                    state.memory[0].flatten_all().unwrap().to_vec1().unwrap();
                numbers[index] += change;
                state.memory[0] = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
            }
            let tokens = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu).unwrap();
            let whole = Some(row.len());
            let input = Input { whole, state: state.as_ref(), ..Input::new(&tokens) };
            let output = model.forward(&params, &input, &mut Untapped).unwrap();
            let logits: Vec<Vec<f32>> = output.logits.squeeze(0).unwrap().to_vec2().unwrap();
            for (logits, target) in logits.iter().zip(&row.targets[2 * number..]) {
                if *target != NO_TARGET {
                    let all: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
                    sum += all.ln() - f64::from(logits[*target as usize]);
                }
            }
            state = output.state;
        }
        sum / count
    };
    let segments = row.len().div_ceil(2);
    let expected = |back: usize| {
        let slope = |index: usize| {
            let at = |change: f32| loss(segments - back, index, change);
            (at(2e-2) - at(-2e-2)) / 4e-2
        };
        (0..16).map(|index| slope(index).powi(2)).sum::<f64>().sqrt()
    };
    let expected: Vec<f64> = [1, 2, 4].map(expected).to_vec();
    for (back, expected) in [1, 2, 4].into_iter().zip(expected) {
        let found = recorded(&mut asked, &format!("grad_memory_back{back}"));
        assert!(expected > 1e-5, "{back}: {expected}");
        assert!((found - expected).abs() < 0.01 * expected, "{back}: {found} {expected}");
    }
}

#[test]
fn no_gradient_comes_back_through_a_border_that_stops_it() {
    let texts = ["task.blocks=4", "task.least_blocks=4", "model.memory=2", "train.segment=8"];
    let of = |through: &str| {
        let mut asked =
            Asked::of("passkey", "feedback", &[&SMALL[..], &texts, &[through]].concat(), 2);
        [1, 2].map(|back| recorded(&mut asked, &format!("grad_memory_back{back}")))
    };
    // The answer stands in the last segment.
    let [last, before] = of("train.through=1");
    assert!(last > 0.0 && before == 0.0, "{last} {before}");
    let [last, before] = of("train.through=64");
    assert!(last > 0.0 && before > 0.0, "{last} {before}");
    // A cache that is kept without its history.
    let mut asked = cached();
    assert_eq!(recorded(&mut asked, "grad_memory_back1"), 0.0);
    let through =
        ["task.count=6", "task.segment=4", "train.segment=4", "model.stop_gradient=false"];
    let mut asked = Asked::of("copy", "transformer_xl", &[&SMALL[..], &through].concat(), 2);
    assert!(recorded(&mut asked, "grad_memory_back1") > 0.0);
}

#[test]
fn accuracy_on_longer_sequences_is_that_of_their_last_quarter() {
    let mut asked = gru("gru");
    let longer = recorded(&mut asked, "accuracy_longer");
    let call = MeasurementCall::new("length").with("values", "40").with("sequences", 64);
    let reading = asked.analyze(&call).unwrap();
    let places = reading.array("by_position").unwrap();
    let expected = places.outer(0)[30..].iter().map(|x| f64::from(*x)).sum::<f64>() / 10.0;
    assert!((longer - expected).abs() < 1e-6, "{longer} {expected}");
    // A network that reads no longer ones is not asked.
    let short = Asked::of("automaton", "recurrent", &["task.length=10", "task.longest=39"], 0);
    assert!(!short.trainer.columns().iter().any(|name| name == "accuracy_longer"));
}

#[test]
fn dense_and_sparse_sequences_are_recorded_of_the_task_that_has_them() {
    let mut asked = Asked::of("flip_flop", "recurrent", &["task.instructions=12"], 2);
    for column in ["accuracy_dense", "accuracy_sparse"] {
        assert!((0.0..=1.0).contains(&recorded(&mut asked, column)), "{column}");
    }
}

#[test]
fn a_machine_that_is_learned_and_goes_on_sets_its_marks() {
    let texts = ["task.length=8", "task.longest=32", "model.width=16", "train.batch=64"];
    let mut asked = Asked::of("automaton", "recurrent", &texts, 0);
    let mut marks = Vec::new();
    for _ in 0..40 {
        (0..10).for_each(|_| drop(asked.trainer.step().unwrap()));
        marks.extend(asked.trainer.evaluate().unwrap().1.into_iter().map(|mark| mark.id));
    }
    for id in ["machine_learned", "extrapolates"] {
        assert!(marks.iter().any(|mark| mark == id), "{id} of {marks:?}");
    }
    // Its state is what a probe finds in it.
    let call = MeasurementCall::new("stored").with("train", 128).with("test", 128);
    let reading = asked.analyze(&call).unwrap();
    let array = |name: &str| reading.array(name).unwrap().clone();
    assert_eq!(array("score").shape, [8, 1]);
    assert!(array("score").data[2..].iter().all(|score| *score > 0.95), "{:?}", array("score"));
    let shuffled = array("shuffled").data.iter().sum::<f32>() / 8.0;
    assert!((0.3..0.7).contains(&shuffled), "{shuffled}");
    assert_eq!(array("told").data[2..], array("true").data[2..]);
}

#[test]
fn contents_of_memory_tokens_are_told_slot_by_slot_and_refused_where_there_are_none() {
    let mut asked = memory_tokens(2);
    let call = MeasurementCall::new("stored").with("train", 32).with("test", 32);
    let reading = asked.analyze(&call).unwrap();
    assert_eq!(reading.array("score").unwrap().shape, [3, 3]);
    assert_eq!(reading.array("end").unwrap().data[..], [3.0, 7.0, 11.0]);
    assert!(reading.array("told").unwrap().data.iter().all(|told| told.is_nan()), "several hold");
    let mut refused = |call: MeasurementCall| asked.analyze(&call).unwrap_err();
    let unknown = refused(MeasurementCall::new("stored").with("label", "simbols"));
    assert!(unknown.contains("symbols"), "{unknown}");
    let mut plain = Asked::of("copy", "decoder", &SMALL, 0);
    let none = plain.analyze(&MeasurementCall::new("stored")).unwrap_err();
    assert!(none.contains("no memory of its own"), "{none}");
}

#[test]
fn settings_that_do_not_suit_a_memory_get_a_sentence() {
    let refused = |model: &str, texts: &[&str]| {
        let mut experiment = Experiment::of("refused", "copy", model).unwrap();
        experiment.set_texts(SMALL.iter().chain(texts).copied()).unwrap();
        Trainer::new(&experiment).err().unwrap().message
    };
    let long = refused("memory_tokens", &["train.segment=3", "model.memory=4"]);
    assert!(long.contains("model.memory is 4") && long.contains("train.segment"), "{long}");
    let long = refused("feedback", &["train.segment=3", "model.memory=4"]);
    assert!(long.contains("model.memory is 4"), "{long}");
    for model in ["memory_tokens", "transformer_xl", "feedback"] {
        let ragged = refused(model, &["train.segment=5", "model.width=8"]);
        assert!(
            ragged.contains("12 positions") && ragged.contains("train.segment = 5"),
            "{ragged}"
        );
    }
}
