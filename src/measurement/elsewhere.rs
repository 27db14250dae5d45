//! Accuracy on other sequences than those of training: longer ones, and those of a variant of the task.

use super::read::{Tally, each_hit};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::task::{self, LONGER};

crate::choices! {
    /// On which sequences.
    pub enum Where {
        /// Four times as long as those of training: [`task::longer`].
        Longer = "longer",
        Dense = "dense",
        Sparse = "sparse",
        /// Numbers of one digit more.
        MoreDigits = "more_digits",
        /// Where what is stated and what is known are rivals: what is stated.
        Copied = "copied",
        /// The same sequences: what is known.
        Recalled = "recalled",
    }
}

crate::settings! {
    /// How well what was learned goes on elsewhere.
    ///
    /// Numbers: `accuracy_longer`, the accuracy in the last quarter of sequences that are four times as long; `accuracy_dense` and
    /// `accuracy_sparse`, that on the variants of a task that are called so; `accuracy_more_digits`, the share of sequences of that variant whose
    /// answers are all right; `accuracy_copied` and `accuracy_recalled`, of sequences in which a sentence contradicts a fact, how often the one and the other is told. Of tasks and networks that can be asked so.
    pub struct Elsewhere = "Accuracy on longer sequences than those of training, or on a variant of the task." {
        /// On which sequences.
        on: Where = Where::Longer;
    }
}

/// Longer sequences take longer: so many of them are asked about.
const LONG_ONES: usize = 64;

impl Measurement for Elsewhere {
    fn scope(&self) -> Scope {
        Scope::Variant(match self.on {
            Where::Longer => LONGER,
            Where::Dense | Where::Sparse | Where::MoreDigits | Where::Copied | Where::Recalled => {
                self.on.name()
            }
        })
    }

    fn sequences(&self) -> Option<usize> {
        (self.on == Where::Longer).then_some(LONG_ONES)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let source = subject.source;
        let other = match self.on {
            Where::Longer => task::longer(source),
            Where::Dense | Where::Sparse | Where::MoreDigits | Where::Copied | Where::Recalled => {
                source.variant(self.on.name())
            }
        };
        let most = subject.model.layout().length;
        match other {
            None => Err(Error::usage(format!("this task has no {} sequences", self.on.name()))),
            Some(other) if other.length() > most => Err(Error::usage(format!(
                "sequences of four times the length have {} positions, and this network reads at most {most}; train it with a larger task.longest",
                other.length()
            ))),
            Some(_) => Ok(()),
        }
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        vec![format!("accuracy_{}", self.on.name())]
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let tally = match self.on {
            Where::MoreDigits => whole_sequences(scene)?,
            Where::Longer => from_position(scene, 3 * scene.batch.len / 4)?,
            Where::Dense | Where::Sparse | Where::Copied | Where::Recalled => {
                from_position(scene, 0)?
            }
        };
        let means = vec![tally.named(format!("accuracy_{}", self.on.name()))];
        Ok(Answer { means, ..Answer::default() })
    }
}

/// Answers from a position on.
fn from_position(scene: &Scene<'_>, from: usize) -> Result<Tally> {
    let (mut tally, len) = (Tally::default(), scene.batch.len);
    each_hit(scene, |i, right| {
        if i % len >= from {
            tally.hit(right);
        }
    })?;
    Ok(tally)
}

/// Sequences all of whose answers are right.
fn whole_sequences(scene: &Scene<'_>) -> Result<Tally> {
    let mut right = vec![true; scene.batch.rows];
    each_hit(scene, |i, hit| right[i / scene.batch.len] &= hit)?;
    Ok(Tally::of_hits(right))
}
