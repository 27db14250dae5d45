//! Losses and accuracies on the held-out batch.

use super::read::{Tally, argmax, cross_entropy, each_prediction, has_occurrences};
use super::{Answer, Mean, Probe, Scene, Scope, Subject};
use crate::record::error::Result;
use crate::record::intervention::Site;

/// Positions that count as the start of a sequence in `accuracy_triggered_start` (`acc_start` of the
/// original code).
const START_POSITIONS: usize = 10;

crate::knobs! {
    /// Means over the held-out batch. `occurrence` is 0 where the global law decides, `c >= 1` at the c-th
    /// occurrence of a trigger. Bietti et al. 2023; the original code's names are in `docs/metrics.md`.
    ///
    /// Numbers: `loss`, `accuracy`; for tasks with triggers also `loss_global`, `loss_in_context`,
    /// `accuracy_in_context`, `accuracy_triggered`, `accuracy_triggered_start`, `repeat_share`.
    pub struct Outcome = "Loss and accuracy on held-out sequences: of all tokens, of global ones, of those whose answer stands in the context." {
    }
}

impl Probe for Outcome {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, _subject: Subject<'_>) -> Result<()> {
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        let wanted = if has_occurrences(subject.source) { NAMES.len() } else { 2 };
        NAMES[..wanted].iter().map(|n| (*n).to_owned()).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        Ok(Answer { means: outcome(scene)?, ..Answer::default() })
    }
}

/// The first two exist for every task, the others where the context can determine an answer.
const NAMES: [&str; 8] = [
    "loss",
    "accuracy",
    "loss_global",
    "loss_in_context",
    "accuracy_in_context",
    "accuracy_triggered",
    "accuracy_triggered_start",
    "repeat_share",
];

/// Everything this probe counts, in the order of `NAMES`.
///
/// # Errors
/// When the scene has no logits.
pub fn outcome(scene: &Scene<'_>) -> Result<Vec<Mean>> {
    let batch = scene.batch;
    let mut tallies = [Tally::default(); NAMES.len()];
    each_prediction(scene, |i, target, logits| {
        let loss = cross_entropy(logits, target);
        let right = argmax(logits.iter().copied()) == target;
        let [all, accuracy, global, in_context, hit, triggered, start, repeat] = &mut tallies;
        all.add(loss);
        accuracy.hit(right);
        let occurrence = batch.occurrence[i];
        if occurrence == 0 {
            global.add(loss);
            return;
        }
        triggered.hit(right);
        repeat.hit(batch.tokens[i] as usize == target);
        if i % batch.len < START_POSITIONS {
            start.hit(right);
        }
        if occurrence >= 2 {
            in_context.add(loss);
            hit.hit(right);
        }
    })?;
    Ok(NAMES.iter().zip(tallies).map(|(name, tally)| tally.named(*name)).collect())
}
