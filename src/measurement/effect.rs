//! How well the network does under the interventions in force.

use super::outcome::outcome;
use super::whole::Solved;
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::Result;
use crate::base::intervention::Site;

/// What of the outcome is compared.
pub const NAMES: [&str; 5] =
    ["loss", "accuracy", "loss_in_context", "accuracy_in_context", "accuracy_sequence"];

crate::settings! {
    /// Asked once with and once without interventions, it tells what they do. Numbers: `loss`, `accuracy`,
    /// `loss_in_context`, `accuracy_in_context`, as the measurement `outcome` defines them, and `accuracy_sequence` of the
    /// measurement `solved`, where the task has it.
    pub struct Effect = "Loss and accuracy on a few held-out sequences, under the interventions in force." {
        /// Held-out sequences that are looked at.
        sequences: usize = 32, in 1..=4096;
    }
}

impl Measurement for Effect {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn sequences(&self) -> Option<usize> {
        Some(self.sequences)
    }

    fn applies(&self, _subject: Subject<'_>) -> Result<()> {
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut means = outcome(scene)?;
        let whole = Solved::default();
        if whole.applies(scene.subject).is_ok() {
            means.extend(whole.measure(scene)?.means);
        }
        means.retain(|mean| NAMES.contains(&mean.name.as_str()));
        Ok(Answer { means, ..Answer::default() })
    }
}
