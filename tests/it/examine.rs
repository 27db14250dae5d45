//! Attention as it is asked for: of one sequence or many, in full and at a glance.

use std::sync::Arc;

use mnemoscope::base::array::Array;
use mnemoscope::base::batch::Row;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::measurement::heads::SEED;
use mnemoscope::model::memory_tokens::MemoryTokens;
use mnemoscope::model::stack::Stack;
use mnemoscope::numeric::pattern::shrink;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::held_out_seed;

struct Asked {
    instrument: Instrument,
    trainer: Trainer,
}

impl Asked {
    fn new(model: &str, length: usize) -> Self {
        let mut experiment = Experiment::of("asked", "bigram", model).unwrap();
        let length = format!("task.length={length}");
        experiment
            .set_texts([&*length, "model.width=16", "train.batch=2", "train.held_out=8"])
            .unwrap();
        Self::of(&experiment)
    }

    fn of(experiment: &Experiment) -> Self {
        let mut trainer = Trainer::new(experiment).unwrap();
        trainer.step().unwrap();
        Self { instrument: Instrument::new(experiment).unwrap(), trainer }
    }

    /// Three memory tokens before each segment, and three after it.
    fn with_memory(length: usize) -> Self {
        let mut experiment = Experiment::of("asked", "bigram", "birth").unwrap();
        let stack = Stack { layers: 1, heads: 1, width: 8, ..Stack::default() };
        experiment.model = Box::new(MemoryTokens { stack, memory: 3, ..MemoryTokens::default() });
        let length = format!("task.length={length}");
        let texts = [&*length, "train.segment=8", "train.batch=2", "train.held_out=8"];
        experiment.set_texts(texts).unwrap();
        Self::of(&experiment)
    }

    fn sequence(&self, index: u64) -> Arc<Row> {
        Arc::new(self.instrument.source().sequence(held_out_seed(0), index))
    }

    fn ask(&mut self, prompt: &Arc<Row>, calls: &[MeasurementCall]) -> Arc<Reading> {
        let weights = self.trainer.weights().unwrap();
        let readings = self.instrument.examine(&weights, prompt, &[], calls).unwrap();
        readings.get(&calls[0]).unwrap().as_ref().unwrap().clone()
    }
}

#[test]
fn memory_tokens_stand_before_the_positions_of_a_pattern() {
    let mut asked = Asked::with_memory(40);
    let prompt = asked.sequence(0);
    let held_out = attention().with("sequences", 2).with("vectors", true);
    for (call, name) in [(attention(), "pattern.layer0"), (held_out, "pattern.layer0.sequence0")] {
        let reading = asked.ask(&prompt, &[call]);
        let pattern = reading.array(name).unwrap();
        assert_eq!(pattern.axes, ["head", "query", "key"]);
        assert_eq!(pattern.shape, [1, 40, 3 + 40]);
        assert_eq!(pattern.axes[2].labels[..], ["m0", "m1", "m2"]);
        for (query, row) in pattern.data.chunks_exact(43).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{query}");
            // A position sees its segment, and the memory before it, and not that which is written after it.
            let seen = query / 8 * 8..=query;
            for (key, weight) in row[3..].iter().enumerate() {
                assert_eq!(*weight > 0.0, seen.contains(&key), "{query} to {key}");
            }
            assert!(row[..3].iter().all(|weight| *weight > 0.0));
        }
        let begin_at_0 = |array: &Array| array.axes.iter().all(|axis| axis.origin() == 0);
        let others = reading.arrays.iter().filter(|array| !array.name.starts_with("pattern"));
        assert!(others.into_iter().all(begin_at_0));
    }
}

#[test]
fn memory_tokens_come_at_a_glance_in_the_scale_of_positions() {
    let mut asked = Asked::with_memory(200);
    let prompt = asked.sequence(0);
    let reading = asked.ask(&prompt, &[attention()]);
    let glance = reading.array("glance.layer0").unwrap();
    assert_eq!(glance.shape, [1, 128, 2 + 128]);
    assert_eq!(glance.axes[2].labels[..], ["m0-m1", "m2"]);
    let pattern = reading.array("pattern.layer0").unwrap();
    assert_eq!(glance.data[1], pattern.data[2].max(pattern.data[203 + 2]));
}

#[test]
fn scores_of_heads_count_positions_alone() {
    let mut asked = Asked::with_memory(40);
    let prompt = asked.sequence(0);
    let scores = asked.ask(&prompt, &[MeasurementCall::new("heads").with("examples", 1)]);
    let counted = Arc::new(asked.instrument.source().sequence(SEED, 0));
    let reading = asked.ask(&counted, &[attention()]);
    let pattern = &reading.array("pattern.layer0").unwrap().data;
    let to_previous = (1..40).map(|query| pattern[query * 43 + 3 + query - 1]);
    let expected = to_previous.sum::<f32>() / 39.0;
    let found = scores.array("previous_token").unwrap().data[0];
    assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
}

fn attention() -> MeasurementCall {
    MeasurementCall::new("attention")
}

fn same(a: &Array, b: &Array) {
    assert_eq!(a.shape, b.shape);
    assert!(a.data.iter().zip(&*b.data).all(|(a, b)| (a - b).abs() < 1e-6), "{}", a.name);
}

#[test]
fn attention_over_held_out_sequences_is_that_of_each_of_them() {
    for model in ["birth", "decoder"] {
        let mut asked = Asked::new(model, 24);
        let vectors = |call: MeasurementCall| call.with("vectors", true);
        let prompt = asked.sequence(0);
        // Not a multiple of the sequences that are passed at once.
        let many = asked.ask(&prompt, &[vectors(attention().with("sequences", 6))]);
        assert_eq!(many.arrays.len(), 6 * 6);
        for index in 0..6 {
            let prompt = asked.sequence(index);
            let one = asked.ask(&prompt, &[vectors(attention())]);
            assert_eq!(one.arrays.len(), 6);
            for array in &one.arrays {
                same(many.array(&format!("{}.sequence{index}", array.name)).unwrap(), array);
            }
        }
    }
}

#[test]
fn attention_is_the_same_whether_the_pass_goes_on_to_the_logits_or_not() {
    let mut asked = Asked::new("decoder", 24);
    let prompt = asked.sequence(0);
    let alone = asked.ask(&prompt, &[attention()]);
    let beside = asked.ask(&prompt, &[attention(), MeasurementCall::new("predictions")]);
    assert_eq!(alone, beside);
}

#[test]
fn a_long_pattern_comes_at_a_glance_too() {
    let mut asked = Asked::new("birth", 200);
    let prompt = asked.sequence(0);
    let reading = asked.ask(&prompt, &[attention()]);
    let (full, glance) =
        (reading.array("pattern.layer1").unwrap(), reading.array("glance.layer1").unwrap());
    assert_eq!(glance.shape, [1, 128, 128]);
    let most = |array: &Array| array.data.iter().copied().fold(0.0, f32::max);
    assert_eq!(most(full), most(glance));
    let mut short = Asked::new("birth", 128);
    let prompt = short.sequence(0);
    assert!(short.ask(&prompt, &[attention()]).array("glance.layer1").is_none());
}

#[test]
fn a_shrunk_pattern_keeps_the_largest_value_of_each_cell_that_is_seen() {
    let nan = f32::NAN;
    // Five positions in two cells: 0 to 2, and 3 to 4.
    #[rustfmt::skip]
    let values = [
        0.1, 9.0, 9.0, 9.0, 9.0,
        0.2, 0.8, 9.0, 9.0, 9.0,
        0.3, 0.3, 0.4, 9.0, 9.0,
        0.1, 0.6, 0.1, 0.2, 9.0,
        0.5, 0.1, 0.1, 0.1, 0.2,
    ];
    let (cells_in_a_row, cells) = shrink(&values, [0, 5], 2);
    assert_eq!(cells_in_a_row, [0, 2]);
    let expected = [0.8, nan, 0.6, 0.2];
    assert!(cells.iter().zip(expected).all(|(a, b)| *a == b || a.is_nan() && b.is_nan()));
    // The same with the first key as a memory token: it is seen from the first position on.
    let (cells_in_a_row, cells) = shrink(&values[..20], [1, 4], 2);
    assert_eq!(cells_in_a_row, [1, 2]);
    let expected = [0.2, 9.0, nan, 0.3, 0.6, 9.0];
    assert!(cells.iter().zip(expected).all(|(a, b)| *a == b || a.is_nan() && b.is_nan()));
    let (cells_in_a_row, cells) = shrink(&values[..4], [0, 2], 8);
    assert_eq!(cells_in_a_row, [0, 2], "no more cells than positions");
    assert!(cells[1].is_nan(), "a later key is not seen");
}
