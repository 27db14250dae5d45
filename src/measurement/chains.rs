//! How far the attention climbs a tree from the goal towards the root, layer by layer.

use super::read::{Tally, argmax, captured, values};
use super::tree::{refused, trees};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::tree::Tree;

crate::settings! {
    /// Attention over held-out trees, after the mechanisms that Brinkmann et al. 2024 describe. The paper shows them in
    /// pictures of single trees; the scores are ours. `a(k)` is the node k edges above the goal ([`Tree::climb`]).
    ///
    /// Numbers, for each head H of layer 0: `edge_concatenation_l0hH`, mean attention from the lower end of an edge to its
    /// upper end, the position before, over all edges. For each head of each layer L: `goal_copy_lLhH`, mean attention from
    /// the positions of the path (the root and what is written after it, up to the goal) to the goal. For each head
    /// of each layer L ≥ 1: `deduction_lLhH`, mean attention from the root's position to the lower end of the edge that
    /// leads down to a(L − 1), in trees whose path is longer than L: from there the edge above is still on the path.
    /// `chain_depth`: through how many layers in a row, from layer 1 on, the edge that the root's position attends
    /// to most (of the lower ends of all edges, in any head) is that edge, in trees whose path is as long as there are layers, or longer.
    pub struct Chains = "Whether the attention climbs from the goal towards the root, an edge in each layer." {
    }
}

impl Measurement for Chains {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        refused(subject.source)?;
        if subject.model.layout().heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage("this network has no attention heads, so nothing climbs"));
        }
        Ok(())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let heads = subject.model.layout().heads.iter().enumerate();
        heads
            .filter(|(_, heads)| **heads > 0)
            .map(|(layer, _)| Site { layer, point: Point::Pattern })
            .collect()
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        scores(&subject.model.layout().heads).iter().map(Score::name).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let heads = &scene.subject.model.layout().heads;
        let mut layers = Vec::with_capacity(heads.len());
        for (layer, &heads) in heads.iter().enumerate() {
            let site = Site { layer, point: Point::Pattern };
            let all = match heads {
                0 => Vec::new(),
                _ => values(captured(scene, site)?, <[f32]>::to_vec)?,
            };
            layers.push(Layer { all, heads, len: scene.batch.len });
        }
        let trees = trees(scene);
        let tally = |score: &Score| {
            let mut tally = Tally::default();
            for (row, tree) in &trees {
                score.count(&layers, *row, tree, &mut tally);
            }
            tally.named(score.name())
        };
        Ok(Answer { means: scores(heads).iter().map(tally).collect(), ..Answer::default() })
    }
}

/// One column.
#[derive(Clone, Copy)]
enum Score {
    EdgeConcatenation { head: usize },
    GoalCopy { layer: usize, head: usize },
    Deduction { layer: usize, head: usize },
    Depth,
}

/// The columns of a network with so many heads in each layer, in order.
fn scores(heads: &[usize]) -> Vec<Score> {
    let places = |from: usize| {
        let layers = heads.iter().enumerate().skip(from);
        layers.flat_map(|(layer, &heads)| (0..heads).map(move |head| (layer, head)))
    };
    let first = heads.first().copied().unwrap_or(0);
    let mut all: Vec<Score> = (0..first).map(|head| Score::EdgeConcatenation { head }).collect();
    all.extend(places(0).map(|(layer, head)| Score::GoalCopy { layer, head }));
    all.extend(places(1).map(|(layer, head)| Score::Deduction { layer, head }));
    all.push(Score::Depth);
    all
}

impl Score {
    fn name(&self) -> String {
        match self {
            Self::EdgeConcatenation { head } => format!("edge_concatenation_l0h{head}"),
            Self::GoalCopy { layer, head } => format!("goal_copy_l{layer}h{head}"),
            Self::Deduction { layer, head } => format!("deduction_l{layer}h{head}"),
            Self::Depth => "chain_depth".to_owned(),
        }
    }

    fn count(self, layers: &[Layer], row: usize, tree: &Tree, tally: &mut Tally) {
        let script = tree.script();
        let root = script.root();
        match self {
            Self::EdgeConcatenation { head } => {
                for edge in &tree.edges {
                    tally.add(layers[0].row(row, head, edge.target)[edge.source].into());
                }
            }
            Self::GoalCopy { layer, head } => {
                let last = (root + tree.path_length()).min(layers[layer].len.saturating_sub(1));
                for query in root..=last {
                    tally.add(layers[layer].row(row, head, query)[script.goal()].into());
                }
            }
            Self::Deduction { layer, head } => {
                if let Some(target) = wanted(tree, layer).filter(|_| tree.path_length() > layer) {
                    tally.add(layers[layer].row(row, head, root)[target].into());
                }
            }
            Self::Depth => {
                if tree.path_length() >= layers.len() && layers.len() > 1 {
                    tally.add(depth(layers, row, tree) as f64);
                }
            }
        }
    }
}

/// Where layer `layer` looks when every layer before it has climbed an edge: the lower end of the edge to a(layer − 1).
fn wanted(tree: &Tree, layer: usize) -> Option<usize> {
    tree.edge_to(tree.climb(layer.checked_sub(1)?)).map(|edge| edge.target)
}

/// Layers in a row, from layer 1 on, that climb.
fn depth(layers: &[Layer], row: usize, tree: &Tree) -> usize {
    let climbs = |layer: &usize| {
        let attended = |head: usize| {
            let attention = layers[*layer].row(row, head, tree.script().root());
            let edge = argmax(tree.edges.iter().map(|edge| attention[edge.target]));
            tree.edges.get(edge).map(|edge| edge.target)
        };
        (0..layers[*layer].heads).any(|head| attended(head) == wanted(tree, *layer))
    };
    (1..layers.len()).take_while(climbs).count()
}

/// The attention of a layer, `[batch, head, query, key]`.
struct Layer {
    all: Vec<f32>,
    heads: usize,
    len: usize,
}

impl Layer {
    /// Of one sequence, head and query, to all keys.
    fn row(&self, row: usize, head: usize, query: usize) -> &[f32] {
        let from = ((row * self.heads + head) * self.len + query) * self.len;
        &self.all[from..from + self.len]
    }
}
