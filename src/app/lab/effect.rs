//! What is in force does to the answers: accuracy on the held-out sequences with it and without.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::event::{Mark, MarkKind};
use crate::base::intervention::{How, Intervention, is_cut};
use crate::base::question::{Reading, Readings};
use crate::run::expectation::EFFECT;

use super::Lab;

/// The accuracy that a task is about: the first of these columns that it has.
pub const ACCURACIES: [&str; 3] = ["accuracy_sequence", "accuracy_in_context", "accuracy"];

/// The rule that says that an induction head has formed.
const INDUCTION_HEAD: &str = "induction_head";

/// How well the network does with what is in force, as far as it is known.
pub enum Effect {
    BeingMeasured,
    Refused(Error),
    /// No answer of the held-out sequences can be counted.
    Uncounted,
    /// What is patched from one sequence says nothing of others.
    OfOneSequence,
    Known {
        /// One of [`ACCURACIES`].
        column: &'static str,
        with: f64,
        /// With nothing in force, at the same step; none: being measured.
        without: Option<f64>,
    },
}

impl Lab {
    /// What in force changes the forward pass.
    pub fn changes_in_force(&self) -> Vec<Intervention> {
        self.in_force().into_iter().filter(Intervention::changes_forward).collect()
    }

    /// What that does to the accuracy; `None` where nothing of the kind is in force.
    pub fn effect_in_force(&self) -> Option<Effect> {
        let in_force = self.changes_in_force();
        in_force.first()?;
        if !self.asks_effect() {
            return Some(Effect::OfOneSequence);
        }
        // A number of another step, or of other interventions, would be read as that of these.
        let step = self.readings.as_ref().map(|readings| readings.step);
        let fits = |effect: &&Arc<Readings>| {
            effect.interventions == in_force && (self.is_training() || Some(effect.step) == step)
        };
        let effect = self.effect.as_ref().filter(fits);
        let same_step = |baseline: &&Arc<Readings>| effect.is_some_and(|e| e.step == baseline.step);
        let baseline = answer(self.baseline().filter(same_step)).and_then(Result::ok);
        Some(match answer(effect) {
            None => Effect::BeingMeasured,
            Some(Err(error)) => Effect::Refused(error),
            Some(Ok(reading)) => known(&reading, baseline.as_deref()),
        })
    }

    /// Whether something is in force whose effect on other sequences than the one in view has a meaning.
    pub fn asks_effect(&self) -> bool {
        let in_force = self.changes_in_force();
        let is_of_one =
            |what: &Intervention| matches!(what, Intervention::Change { how: How::Patch(_), .. });
        !in_force.is_empty() && !in_force.iter().any(is_of_one)
    }

    /// What emerged, in words, seen under what is in force now.
    pub(super) fn emerged_in_words(&self, mark: &Mark) -> String {
        if self.changes_in_force().is_empty() {
            return format!("{} at step {}", mark.text, mark.step);
        }
        if mark.id == INDUCTION_HEAD && self.is_last_layer_cut() {
            return format!("induction head cut (formed at step {})", mark.step);
        }
        format!("{} at step {}, before what is in force now", mark.text, mark.step)
    }

    /// Whether no head of the last layer that has some writes anything: there an induction head reads off its answer.
    fn is_last_layer_cut(&self) -> bool {
        let Some(heads) = self.run().map(|run| &run.info.net.heads) else { return false };
        let Some(layer) = heads.iter().rposition(|&count| count > 0) else { return false };
        let in_force = self.in_force();
        (0..heads[layer]).all(|head| is_cut(&in_force, layer, head))
    }
}

/// The newest that emerged in a run.
pub(super) fn newest_emerged(marks: &[Mark]) -> Option<&Mark> {
    marks.iter().rev().find(|mark| mark.kind == MarkKind::Emergence)
}

fn answer(readings: Option<&Arc<Readings>>) -> Option<Result<Arc<Reading>, Error>> {
    let mut calls = readings?.by_call.iter();
    calls.find(|(key, _)| key.starts_with(EFFECT)).map(|(_, answer)| answer.clone())
}

fn known(reading: &Reading, baseline: Option<&Reading>) -> Effect {
    let number = |name: &str| reading.number(name).filter(|value| value.is_finite());
    let found = ACCURACIES.iter().find_map(|column| Some((*column, number(column)?)));
    let Some((column, with)) = found else { return Effect::Uncounted };
    Effect::Known { column, with, without: baseline.and_then(|reading| reading.number(column)) }
}
