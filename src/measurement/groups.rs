//! The loss of positions that a task follows by themselves.

use super::read::{Tally, cross_entropy, each_prediction};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::task::groups::Groups;

crate::settings! {
    /// For tasks with the facet [`Groups`].
    ///
    /// Numbers: a column for each group, the mean loss in nats over the positions of the held-out batch that are in it; NaN where none is.
    pub struct GroupLosses = "Loss of the positions that the task follows by themselves, e.g. of each digit of a sum." {
    }
}

impl Measurement for GroupLosses {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        groups(subject).map(|_| ())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        groups(subject).map(|groups| groups.columns.clone()).unwrap_or_default()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let (groups, len) = (groups(scene.subject)?, scene.batch.len.max(1));
        let mut losses = vec![None; scene.batch.tokens.len()];
        each_prediction(scene, |i, target, logits| {
            losses[i] = Some(cross_entropy(logits, target));
        })?;
        let mut tallies = vec![Tally::default(); groups.columns.len()];
        for (tokens, losses) in scene.batch.tokens.chunks_exact(len).zip(losses.chunks_exact(len)) {
            for (position, group) in (groups.of)(tokens) {
                if let (Some(loss), Some(tally)) = (losses[position], tallies.get_mut(group)) {
                    tally.add(loss);
                }
            }
        }
        let means = tallies.into_iter().zip(&groups.columns);
        let means = means.map(|(tally, column)| tally.named(column.clone())).collect();
        Ok(Answer { means, ..Answer::default() })
    }
}

fn groups(subject: Subject<'_>) -> Result<&Groups> {
    subject.source.facet::<Groups>().ok_or_else(|| {
        Error::usage("this task has no groups of positions whose losses are followed by themselves")
    })
}
