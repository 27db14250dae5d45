//! A worked example of a new task: regression in context (Garg et al. 2022, *What Can Transformers Learn In-Context?*).
//!
//! A sequence is pairs of a vector x and the number y = w·x, with a w of its own: x₁ y₁ x₂ y₂ …; at each x, its y is to be
//! predicted from the pairs before. Positions carry real numbers, and the loss is the squared error.
//!
//! `cargo run --example add_task` shows a sequence and trains a decoder on the task. Inside the crate this file would be
//! `src/task/regression.rs`, with `pub mod regression;` and one line in `task::ALL`: the form, the command line, the
//! experiment file and the property tests of every task then know it.

use std::any::Any;
use std::sync::Arc;

use mnemoscope::Result;
use mnemoscope::base::batch::{NO_TARGET, Reals, Row};
use mnemoscope::base::settings::set;
use mnemoscope::base::vocab::Vocab;
use mnemoscope::model::decoder::{Decoder, InitKind};
use mnemoscope::nn::params::{Init, draw};
use mnemoscope::run::experiment::{Experiment, Optimizer, Train};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::{Source, Task, held_out_seed};

// Settings are declared once: name, type, default, range and help.
mnemoscope::settings! {
    /// Settings of the task.
    pub struct Regression = "Pairs of a vector and its product with a vector of this sequence, which can be found out from the pairs before." {
        /// Numbers in a vector.
        dim: usize = 2, in 1..=64;
        /// Pairs in a sequence.
        pairs: usize = 8, in 1..=256;
    }
}

// Settings open into a source: here is the place to read files and to refuse contradictions.
impl Task for Regression {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Pairs {
            vocab: Vocab::new(["x", "y"].map(str::to_owned).to_vec()),
            reals: Reals { inputs: self.dim, outputs: 1 },
            pairs: self.pairs,
        }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

/// The tokens say which of the two a position is; its numbers stand beside.
const X: u32 = 0;
const Y: u32 = 1;

struct Pairs {
    vocab: Vocab,
    reals: Reals,
    pairs: usize,
}

impl Source for Pairs {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn roles(&self) -> &'static [&'static str] {
        &["input", "output"]
    }

    fn length(&self) -> usize {
        2 * self.pairs
    }

    // Everything is drawn from a seed and an index: the same in any order and on any thread.
    fn sequence(&self, seed: u64, index: u64) -> Row {
        let dim = self.reals.inputs;
        let vector =
            |name: &str, count| draw(seed, &format!("{name} {index}"), count, Init::Normal(1.0));
        let (w, xs) = (vector("w", dim), vector("x", dim * self.pairs));
        let mut row = Row::default();
        for x in xs.chunks_exact(dim) {
            let y: f32 = w.iter().zip(x).map(|(w, x)| w * x).sum();
            row.tokens.extend([X, Y]);
            row.values.extend_from_slice(x);
            // y is a vector too, of y and zeros.
            row.values.extend((0..dim).map(|i| if i == 0 { y } else { 0.0 }));
            // What is predicted at x; at y there is no target, so this number does not matter.
            row.value_targets.extend([y, 0.0]);
        }
        self.label(&row.tokens, &row)
    }

    // What a position is follows from the tokens; their numbers are those of the sequence that they replace.
    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        let target = |token: &u32| if *token == X { Y } else { NO_TARGET };
        // As many pairs as a vector has numbers tell what w is: 2 where they stand before, as for an answer seen before.
        let known = |at: usize| if at / 2 >= self.reals.inputs { 2 } else { 1 };
        Row {
            tokens: tokens.to_vec(),
            targets: tokens.iter().map(target).collect(),
            // Bit 0: the first of the roles.
            roles: tokens.iter().map(|token| 1 << token).collect(),
            occurrence: (0..tokens.len()).map(known).collect(),
            values: resized(&like.values, tokens.len() * self.reals.inputs),
            value_targets: resized(&like.value_targets, tokens.len() * self.reals.outputs),
        }
    }

    // What only some tasks know is a facet. This one says how many numbers a position has.
    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.reals]
    }
}

/// As many of the numbers, and zeros after the last.
fn resized(numbers: &[f32], count: usize) -> Vec<f32> {
    numbers.iter().copied().chain(std::iter::repeat(0.0)).take(count).collect()
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let mut task = Regression::default();
    set(&mut task, "task.", "pairs", &6.into())?;
    let source = task.open()?;
    let row = source.sequence(0, 0);
    for (token, numbers) in row.tokens.iter().zip(row.values.chunks(task.dim)) {
        println!("{} {numbers:.2?}", source.vocab().glyph(*token));
    }
    assert_eq!(source.label(&row.tokens, &row), row);

    // An experiment takes any task; those of `task::ALL` can also be named in a file.
    let mut experiment = Experiment::of("regression", "bigram", "decoder")?;
    let (init, embedding_std) = (InitKind::Torch, 1.0);
    experiment.model = Box::new(Decoder { width: 32, init, embedding_std, ..Decoder::default() });
    experiment.task = Box::new(task);
    let (optimizer, rate) = (Optimizer::AdamW, 0.003);
    experiment.train = Train { batch: 64, held_out: 64, optimizer, rate, ..Train::default() };
    let mut trainer = Trainer::new(&experiment)?;
    let column = trainer.columns().iter().position(|name| name == "loss_in_context");
    let of_zero = loss_of_zero(&*source, held_out_seed(0), 64);
    println!("squared error of predicting zero: {of_zero:.2}");
    let mut loss = f64::NAN;
    for _ in 0..6 {
        (0..100).try_for_each(|_| trainer.step().map(|_| ()))?;
        let (metrics, _) = trainer.evaluate()?;
        loss = column.map_or(f64::NAN, |i| metrics.values[i]);
        println!("step {}: squared error in context {loss:.2}", metrics.step);
    }
    assert!(loss < 0.5 * of_zero, "it learns to regress: {loss} against {of_zero}");
    Ok(())
}

/// The mean squared error of predicting 0 where the pairs before tell the answer, over `rows` sequences.
fn loss_of_zero(source: &dyn Source, seed: u64, rows: u64) -> f64 {
    let rows = (0..rows).map(|index| source.sequence(seed, index));
    let answers = rows.flat_map(|row| {
        let known =
            (0..row.len()).filter(|&i| row.targets[i] != NO_TARGET && row.occurrence[i] >= 2);
        known.map(|i| f64::from(row.value_targets[i]).powi(2)).collect::<Vec<f64>>()
    });
    let (sum, count) = answers.fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
    sum / count
}
