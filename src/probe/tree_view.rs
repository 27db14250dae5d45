//! The tree of the sequence in view, and which of its nodes each layer is about to name.

use candle_core::{D, Tensor};

use super::read::{captured, values};
use super::tree::{nodes, refused};
use super::{Answer, Mean, Probe, Scene, Scope, Subject};
use crate::record::array::Array;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};
use crate::record::tree::Tree;

crate::knobs! {
    /// Arrays: `edges` `[edge, part]` (parent, child, and the positions of the two), in the order of the text; `path`
    /// `[node]`, from the root to the goal. Numbers: `nodes`, `goal`, `root` (nodes), `goal_position`, `root_position`.
    ///
    /// With `lens` also `lens` `[layer, pos, node]`: the probability of the token `>node` when the final normalisation and the
    /// unembedding read the residual stream after that layer, as if no layer followed (the logit lens of nostalgebraist 2020;
    /// Brinkmann et al. 2024 train a lens for each layer instead).
    pub struct TreeView = "The tree of the sequence in view with its path, and which node each layer would name next." {
        /// What each layer would name next, as well.
        lens: bool = true;
    }
}

impl Probe for TreeView {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        refused(subject.source)
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let layers = if self.lens { subject.model.layout().heads.len() } else { 0 };
        (0..layers).map(|layer| Site { layer, point: Point::ResidPost }).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let nodes = nodes(scene.subject.source).unwrap_or(0);
        let tree = Tree::parse(nodes, &scene.batch.tokens)
            .map_err(|e| e.context("the sequence in view is no tree"))?;
        let mut answer = drawn(&tree)?;
        if self.lens {
            answer.arrays.push(self.lens(scene, &tree)?);
        }
        Ok(answer)
    }
}

impl TreeView {
    /// The streams after all layers, unembedded.
    fn lens(&self, scene: &Scene<'_>, tree: &Tree) -> Result<Array> {
        let Subject { model, params, .. } = scene.subject;
        let sites = self.sites(scene.subject);
        if sites.is_empty() {
            return Err(Error::usage("this network has no layers"));
        }
        let streams: Vec<&Tensor> =
            sites.iter().map(|site| captured(scene, *site)).collect::<Result<_>>()?;
        let logits = model.unembed(params, &Tensor::cat(&streams, 0)?)?;
        let vocab = logits.dim(D::Minus1)?;
        let tokens: Vec<usize> =
            (0..tree.nodes).map(|node| tree.script().step(node) as usize).collect();
        let mut data = Vec::with_capacity(sites.len() * scene.batch.len * tree.nodes);
        values(&logits, |all| {
            for logits in all.chunks_exact(vocab) {
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = logits.iter().map(|l| (l - most).exp()).sum();
                data.extend(tokens.iter().map(|&token| (logits[token] - most).exp() / sum));
            }
        })?;
        let shape = [sites.len(), scene.batch.len, tree.nodes];
        Array::new("lens", &["layer", "pos", "node"], &shape, data)
    }
}

fn drawn(tree: &Tree) -> Result<Answer> {
    let script = tree.script();
    let part = |number: usize| number as f32;
    let edges: Vec<f32> = tree
        .edges
        .iter()
        .flat_map(|edge| [edge.parent, edge.child, edge.source, edge.target].map(part))
        .collect();
    let path: Vec<f32> = tree.path.iter().copied().map(part).collect();
    let arrays = vec![
        Array::new("edges", &["edge", "part"], &[tree.edges.len(), 4], edges)?,
        Array::new("path", &["node"], &[path.len()], path)?,
    ];
    let number =
        |name: &str, value: usize| Mean { name: name.to_owned(), sum: value as f64, count: 1.0 };
    let means = vec![
        number("nodes", tree.nodes),
        number("goal", tree.goal),
        number("root", tree.root),
        number("goal_position", script.goal()),
        number("root_position", script.root()),
    ];
    Ok(Answer { means, arrays, notes: Vec::new() })
}
