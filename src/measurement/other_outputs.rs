//! In-context accuracy when the answers follow another law than in training.

use super::read::{Tally, each_hit};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;

/// Name of the variant of a task whose outputs follow the other law.
const VARIANT: &str = "other_outputs";

crate::settings! {
    /// Number: `accuracy_other_outputs`, the top-1 accuracy at repeated triggers of a held-out batch whose
    /// outputs come from the bigram law where training has uniform ones, and the other way round.
    /// Bietti et al. 2023, figure 4, middle.
    pub struct OtherOutputs = "In-context accuracy on held-out sequences whose outputs follow the law that training does not use." {
    }
}

impl Measurement for OtherOutputs {
    fn scope(&self) -> Scope {
        Scope::Variant(VARIANT)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.source.variant(VARIANT).is_some() {
            return Ok(());
        }
        Err(Error::usage("this task has no second law of outputs to be tested on"))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn reads(&self, batch: &Batch, position: usize) -> bool {
        batch.occurrence[position] >= 2
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        vec!["accuracy_other_outputs".to_owned()]
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut accuracy = Tally::default();
        each_hit(scene, |i, right| {
            if self.reads(scene.batch, i) {
                accuracy.hit(right);
            }
        })?;
        let means = vec![accuracy.named("accuracy_other_outputs")];
        Ok(Answer { means, ..Answer::default() })
    }
}
