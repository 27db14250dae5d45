//! How well the paths of trees are written, by their length.

use super::read::{Tally, each_hit};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::base::tree::Tree;
use crate::task::Source;
use crate::task::tree_path::Trees;

crate::settings! {
    /// Over held-out sequences, teacher-forced. A path is right when every token of it and the comma that ends it has
    /// the largest logit, as Brinkmann et al. 2024 count.
    ///
    /// Numbers: `accuracy_first_step`, the share of trees whose first step from the root is right: the later ones are
    /// told where they are, the first has to be climbed to from the goal. `accuracy_path_<L>`: of the trees whose
    /// path has L edges, the share whose whole path is right.
    pub struct TreeOutcome = "How often the path in a tree is written rightly, by its length, and how often its first step is." {
    }
}

impl Measurement for TreeOutcome {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        refused(subject.source)
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
        each_hit(scene, |i, hit| right[i] = hit)?;
        let names = names(nodes(scene.subject.source).unwrap_or(0));
        let mut tallies = vec![Tally::default(); names.len()];
        for (row, tree) in trees(scene) {
            let right = &right[row * batch.len..(row + 1) * batch.len];
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

/// # Errors
/// When the sequences of a task are no trees.
pub(super) fn refused(source: &dyn Source) -> Result<()> {
    if nodes(source).is_some() {
        return Ok(());
    }
    Err(Error::usage(
        "The sequences of this task are no trees, so there are no paths to ask about; those of the experiment \"tree\" are.",
    ))
}

/// The trees of a scene, each with the row that it is written in.
pub(super) fn trees(scene: &Scene<'_>) -> Vec<(usize, Tree)> {
    let Some(trees) = scene.subject.source.facet::<Trees>() else { return Vec::new() };
    let tree = |row| Some((row, trees.tree(&scene.batch.row(row).tokens)?));
    (0..scene.batch.rows).filter_map(tree).collect()
}

/// Nodes of the trees of a task; `None` where its sequences are none.
pub(super) fn nodes(source: &dyn Source) -> Option<usize> {
    source.facet().map(Trees::nodes)
}

fn names(nodes: usize) -> Vec<String> {
    let by_length = (1..nodes).map(|length| format!("accuracy_path_{length}"));
    std::iter::once("accuracy_first_step".to_owned()).chain(by_length).collect()
}
