//! Affine recurrences: each number is `a` times the one before plus `b`, with an `a` and a `b` of its own in every sequence.

use std::any::Any;
use std::sync::Arc;

use crate::base::batch::{Reals, Row};
use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::vocab::Vocab;

use super::chance::{normal, open_unit, stream};
use super::components::{Components, Reference};
use super::{Source, Task, resized, unlabelled};

crate::settings! {
    /// Settings of affine recurrences. That a small transformer learns to go on with them in context is the subject of Bhargav and Gu
    /// (*Interpreting Affine Recurrence Learning in GPT-style Transformers*, 2024, arXiv 2410.17438); all numbers here are ours.
    pub struct AffineRecurrence = "Sequences of real numbers x, a x + b, a (a x + b) + b and so on, with an a and a b of their own: the next number is to be predicted from the third on." {
        /// Numbers in a sequence.
        length: usize = 32, in 4..=1024;
        /// Numbers of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=1024;
        /// a is drawn evenly between this and its negative.
        factor: f64 = 1.0, in 0.0..=1.0;
        /// b is drawn evenly between this and its negative.
        offset: f64 = 1.0, in 0.0..=100.0;
    }
}

impl Task for AffineRecurrence {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Recurrences {
            settings: self.clone(),
            vocab: Vocab::new(vec!["x".to_owned()]),
            reals: Reals { inputs: 1, outputs: 1 },
            components: Components { names: &[], references: references() },
        }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }
}

/// Bits of [`Row::roles`].
const BEFORE: u8 = 1;
const ASKED: u8 = 2;

/// In the order of the bits: numbers too early to know a and b, and those after which the next is to be predicted.
const ROLES: [&str; 2] = ["before", "asked"];

/// Three numbers tell what a and b are.
const KNOWN: usize = 3;

struct Recurrences {
    settings: AffineRecurrence,
    vocab: Vocab,
    reals: Reals,
    components: Components,
}

impl Source for Recurrences {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn length(&self) -> usize {
        self.settings.length
    }

    fn longest(&self) -> usize {
        self.settings.longest.max(self.settings.length)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let AffineRecurrence { length, factor, offset, .. } = self.settings;
        let mut rng = stream("affine", seed, index);
        let mut even = |bound: f64| bound * (2.0 * open_unit(&mut rng) - 1.0);
        let (a, b) = (even(factor), even(offset));
        let first = normal(&mut rng);
        let terms = std::iter::successors(Some(first), |x| Some(a * x + b));
        let terms: Vec<f32> = terms.take(length + 1).map(narrow).collect();
        labelled(terms[..length].to_vec(), terms[length])
    }

    /// The numbers are those of the sequence that they replace; what comes after its last is its own next number, or zeros.
    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        let (count, known) = (tokens.len(), like.values.len());
        let next = like.values.get(count).or(like.value_targets.last().filter(|_| count == known));
        labelled(resized(&like.values, count), next.copied().unwrap_or(0.0))
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.reals, &self.components]
    }
}

/// Numbers and what follows the last of them.
fn labelled(values: Vec<f32>, next: f32) -> Row {
    let count = values.len();
    let mut row = unlabelled(vec![0; count]);
    for i in 0..count {
        row.roles[i] = if i + 1 < KNOWN { BEFORE } else { ASKED };
        if i + 1 >= KNOWN {
            row.targets[i] = 0;
        }
    }
    row.value_targets = values.iter().skip(1).copied().chain((count > 0).then_some(next)).collect();
    Row { values, ..row }
}

/// Predictors of the next number from those before, in the order of what they know.
fn references() -> Vec<Reference> {
    let of = |name, about, next: fn(&[f64]) -> f64| Reference {
        name,
        about,
        component: 0,
        is_plateau: false,
        predict: Arc::new(move |row: &Row| predicted(row, next)),
    };
    vec![
        of("copy_last", "the last number again", |x| x[x.len() - 1]),
        of("line", "a straight line through the last two numbers", line),
        of("ridge", "ridge regression of each number on the one before", ridge),
        of("exact", "a and b from the last three numbers", exact),
    ]
}

/// At each position, what `next` says of the numbers up to it.
fn predicted(row: &Row, next: fn(&[f64]) -> f64) -> Vec<f32> {
    let x: Vec<f64> = row.values.iter().copied().map(f64::from).collect();
    (1..=x.len()).map(|count| narrow(next(&x[..count]))).collect()
}

fn line(x: &[f64]) -> f64 {
    let last = x[x.len() - 1];
    x.len().checked_sub(2).map_or(last, |at| 2.0 * last - x[at])
}

/// The recurrence that the last three numbers determine; where they are the same in single precision, they stay.
fn exact(x: &[f64]) -> f64 {
    let [.., first, second, third] = x else { return x[x.len() - 1] };
    let (before, now) = (second - first, third - second);
    if before == 0.0 { *third } else { third + now / before * now }
}

/// Squares of a and b cost as much as this in squared errors of the pairs.
const RIDGE: f64 = 0.01;

/// `a x + b` with a and b that fit all pairs of neighbours best.
fn ridge(x: &[f64]) -> f64 {
    let [mut xx, mut sx, mut xy, mut sy] = [0.0; 4];
    for pair in x.windows(2) {
        xx += pair[0] * pair[0];
        sx += pair[0];
        xy += pair[0] * pair[1];
        sy += pair[1];
    }
    let (p, r) = (xx + RIDGE, (x.len() - 1) as f64 + RIDGE);
    let determinant = p * r - sx * sx;
    let (a, b) = ((r * xy - sx * sy) / determinant, (p * sy - sx * xy) / determinant);
    a * x[x.len() - 1] + b
}
