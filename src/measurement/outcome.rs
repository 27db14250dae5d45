//! Losses and accuracies on the held-out batch.

use super::read::{Tally, argmax, cross_entropy, each_prediction, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::batch::{NO_TARGET, Reals};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::task::bigram::GlobalLaw;
use crate::task::has_occurrences;

/// Positions that count as the start of a sequence in `accuracy_triggered_start` (`acc_start` of the
/// original code).
const START_POSITIONS: usize = 10;

crate::settings! {
    /// Means over the held-out batch. `occurrence` is 0 where the global law decides, `c >= 1` at the c-th
    /// occurrence of a trigger. Bietti et al. 2023; the original code's names are in `docs/metrics.md`.
    ///
    /// Numbers: `loss` and `accuracy` over all positions that have a target; for tasks with triggers also
    /// `loss_global` (occurrence 0), `loss_in_context` and `accuracy_in_context` (from the second
    /// occurrence on), `accuracy_triggered` (from the first on), `accuracy_triggered_start` (of those,
    /// the first ten positions), `repeat_share` (of those, target = token); for tasks with a known law
    /// also `excess_global`, the loss on global tokens minus that of the law itself, in nats.
    ///
    /// Where real numbers are predicted: `loss`, the squared error, summed over the numbers of a position, and, where the task
    /// marks such positions, `loss_in_context` where the context determines the answer (occurrence 2 or more).
    pub struct Outcome = "Loss and accuracy on held-out sequences: of all tokens, of global ones, of those whose answer stands in the context." {
    }
}

impl Measurement for Outcome {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, _subject: Subject<'_>) -> Result<()> {
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        if subject.source.facet::<Reals>().is_some() {
            let count = if has_occurrences(subject.source) { 2 } else { 1 };
            return SQUARED.iter().take(count).map(|name| (*name).to_owned()).collect();
        }
        let mut names = NAMES[..2].to_vec();
        if has_occurrences(subject.source) {
            names.extend(&NAMES[2..]);
            if subject.source.facet::<GlobalLaw>().is_none() {
                names.retain(|name| *name != EXCESS);
            }
        }
        names.into_iter().map(str::to_owned).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let means = match scene.subject.source.facet::<Reals>() {
            Some(reals) => squared_errors(scene, reals.outputs)?,
            None => outcome(scene)?,
        };
        Ok(Answer { means, ..Answer::default() })
    }
}

/// Where real numbers are predicted.
const SQUARED: [&str; 2] = ["loss", "loss_in_context"];

/// Squared errors of `outputs` numbers, of all positions with a target and of those whose answer the context determines.
fn squared_errors(scene: &Scene<'_>, outputs: usize) -> Result<Vec<Mean>> {
    let batch = scene.batch;
    let predicted =
        scene.logits.ok_or_else(|| Error::internal("a measurement of predictions needs them"))?;
    let [mut all, mut in_context] = [Tally::default(); 2];
    values(predicted, |predicted| {
        let both = predicted.chunks_exact(outputs).zip(batch.value_targets.chunks_exact(outputs));
        for (i, (predicted, wanted)) in
            both.enumerate().filter(|(i, _)| batch.targets[*i] != NO_TARGET)
        {
            let apart = predicted.iter().zip(wanted).map(|(p, w)| f64::from(p - w).powi(2));
            let error: f64 = apart.sum();
            all.add(error);
            if batch.occurrence[i] >= 2 {
                in_context.add(error);
            }
        }
    })?;
    Ok(SQUARED.iter().zip([all, in_context]).map(|(name, tally)| tally.named(*name)).collect())
}

const EXCESS: &str = "excess_global";

/// The first two exist for every task, the others where the context can determine an answer.
const NAMES: [&str; 9] = [
    "loss",
    "accuracy",
    "loss_global",
    EXCESS,
    "loss_in_context",
    "accuracy_in_context",
    "accuracy_triggered",
    "accuracy_triggered_start",
    "repeat_share",
];

/// Everything this measurement counts, in the order of `NAMES`.
///
/// # Errors
/// When the scene has no logits.
pub fn outcome(scene: &Scene<'_>) -> Result<Vec<Mean>> {
    let batch = scene.batch;
    let law = scene.subject.source.facet::<GlobalLaw>();
    let mut tallies = [Tally::default(); NAMES.len()];
    each_prediction(scene, |i, target, logits| {
        let loss = cross_entropy(logits, target);
        let right = argmax(logits.iter().copied()) == target;
        let [all, accuracy, global, excess, in_context, hit, triggered, start, repeat] =
            &mut tallies;
        all.add(loss);
        accuracy.hit(right);
        let occurrence = batch.occurrence[i];
        if occurrence == 0 {
            global.add(loss);
            if let Some(p) = probability(law, batch.tokens[i] as usize, target, logits.len()) {
                excess.add(loss + p.ln());
            }
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

/// Probability that the law gives to `next` after `current`; `None` without a law or where it is 0 (in text
/// that a person wrote).
fn probability(law: Option<&GlobalLaw>, current: usize, next: usize, vocab: usize) -> Option<f64> {
    law?.next.get(current * vocab + next).map(|&p| f64::from(p)).filter(|&p| p > 0.0)
}
