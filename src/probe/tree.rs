//! How well the paths of trees are written, by their length.

use super::read::{Tally, argmax, each_prediction};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::record::error::{Error, Result};
use crate::record::intervention::Site;
use crate::task::Source;

crate::knobs! {
    /// Over held-out sequences, teacher-forced. A path is right when every token of it and the comma that ends it has
    /// the largest logit, as Brinkmann et al. 2024 count.
    ///
    /// Numbers: `accuracy_first_step`, the share of trees whose first step from the root is right: the later ones are
    /// told where they are, the first has to be climbed to from the goal. `accuracy_path_<L>`: of the trees whose
    /// path has L edges, the share whose whole path is right.
    pub struct TreeOutcome = "How often the path in a tree is written rightly, by its length, and how often its first step is." {
    }
}

impl Probe for TreeOutcome {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if nodes(subject.source).is_some() {
            return Ok(());
        }
        Err(Error::usage(
            "the sequences of this task are no trees; choose the task \"tree_path\" to ask about paths",
        ))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        names(nodes(subject.source).unwrap_or(0))
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let batch = scene.batch;
        let mut right = vec![true; batch.tokens.len()];
        each_prediction(scene, |i, target, logits| {
            right[i] = argmax(logits.iter().copied()) == target;
        })?;
        let names = names(nodes(scene.subject.source).unwrap_or(0));
        let mut tallies = vec![Tally::default(); names.len()];
        for (i, right) in right.chunks(batch.len.max(1)).enumerate() {
            let Some(tree) = scene.subject.source.tree(&batch.row(i)) else { continue };
            let root = tree.script().root();
            let length = tree.path_length();
            if let Some(written) = right.get(root..=root + length) {
                tallies[0].hit(written[0]);
                tallies[length].hit(written.iter().all(|right| *right));
            }
        }
        let means = names.into_iter().zip(tallies).map(|(name, tally)| tally.named(name)).collect();
        Ok(Answer { means, ..Answer::default() })
    }
}

/// Nodes of the trees of a task; `None` where its sequences are none.
fn nodes(source: &dyn Source) -> Option<usize> {
    source.tree(&source.sequence(0, 0)).map(|tree| tree.nodes)
}

fn names(nodes: usize) -> Vec<String> {
    let by_length = (1..nodes).map(|length| format!("accuracy_path_{length}"));
    std::iter::once("accuracy_first_step".to_owned()).chain(by_length).collect()
}
