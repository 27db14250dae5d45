//! The tree of the sequence in view, and which of its nodes each layer is about to name.

use candle_core::D;

use super::probing::lens::{Kept, Lenses};
use super::read::{captured, values};
use super::tree::{nodes, refused};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::tree::Tree;

crate::settings! {
    /// Settings of [`TreeView`].
    pub struct Shown = "The tree of the sequence in view with its path, and which node each layer would name next." {
        /// What each layer would name next, as well.
        lens: bool = true;
        /// Read that by a fitted lens where one is kept in the run's folder for this step; by the plain logit lens elsewhere.
        tuned: bool = true;
    }
}

/// Arrays: `edges` `[edge, part]` (parent, child, and the positions of the two), in the order of the text; `path`
/// `[node]`, from the root to the goal. Numbers: `nodes`, `goal`, `root` (nodes), `goal_position`, `root_position`.
///
/// With `lens` also `lens` `[layer, pos, node]`: the probability of the token `>node` after each layer, and a note that says which lens
/// reads. The tuned lens has a linear map for each layer, fitted to the next token (Brinkmann et al. 2024); the logit lens reads
/// by the final normalisation and the unembedding, as if no layer followed (nostalgebraist 2020).
#[derive(Default)]
pub struct TreeView {
    pub settings: Shown,
    lenses: Lenses,
}

impl Settings for TreeView {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Measurement for TreeView {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn equip(&mut self, lenses: &Lenses) {
        self.lenses = lenses.clone();
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let has_stream = subject.model.readout(subject.params)?.is_some();
        if self.settings.lens && !has_stream {
            return Err(Error::usage(
                "rings say what a residual stream would be read as, and this network has none: leave them out (lens = false)",
            ));
        }
        refused(subject.source)
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let layers = if self.settings.lens { subject.model.layout().heads.len() } else { 0 };
        (0..layers).map(|layer| Site { layer, point: Point::ResidPost }).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let nodes = nodes(scene.subject.source).unwrap_or(0);
        let tree = Tree::parse(nodes, &scene.batch.tokens)
            .map_err(|e| e.context("the sequence in view is no tree"))?;
        let mut answer = drawn(&tree)?;
        if self.settings.lens {
            let tuned = self.tuned(scene.subject);
            answer.arrays.push(self.lens(scene, &tree, tuned)?);
            answer.notes.push(self.said(tuned));
        }
        Ok(answer)
    }
}

impl TreeView {
    /// The fitted lens to read with.
    fn tuned(&self, subject: Subject<'_>) -> Option<&Kept> {
        let found = || self.lenses.of_step(subject.model.layout());
        self.settings.tuned.then(found).flatten()
    }

    /// Which lens reads.
    fn said(&self, tuned: Option<&Kept>) -> String {
        if let Some(lens) = tuned {
            return format!("Rings: the {} {}.", lens.way.words(), lens.name);
        }
        let mut steps: Vec<u64> = self.lenses.kept.iter().map(|lens| lens.step).collect();
        steps.dedup();
        match &steps[..] {
            _ if !self.settings.tuned => "Rings: the logit lens.".to_owned(),
            [] => "Rings: the plain logit lens, since no fitted one is kept.".to_owned(),
            steps => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                format!(
                    "Rings: the plain logit lens; a fitted one is kept for step {}.",
                    steps.join(", ")
                )
            }
        }
    }

    /// The streams after all layers, read.
    fn lens(&self, scene: &Scene<'_>, tree: &Tree, tuned: Option<&Kept>) -> Result<Array> {
        let Subject { model, params, .. } = scene.subject;
        let sites = self.sites(scene.subject);
        if sites.is_empty() {
            return Err(Error::usage("this network has no layers"));
        }
        let tokens: Vec<usize> =
            (0..tree.nodes).map(|node| tree.script().step(node) as usize).collect();
        let mut data = Vec::with_capacity(sites.len() * scene.batch.len * tree.nodes);
        let mut read = |all: &[f32], vocab: usize| {
            for logits in all.chunks_exact(vocab) {
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = logits.iter().map(|l| (l - most).exp()).sum();
                data.extend(tokens.iter().map(|&token| (logits[token] - most).exp() / sum));
            }
        };
        for (layer, site) in sites.iter().enumerate() {
            let stream = captured(scene, *site)?;
            // After a layer is before the next one: boundary 0 is before the first.
            let fitted = tuned.and_then(|lens| Some((lens.way, lens.maps.get(layer + 1)?)));
            if let Some((way, map)) = fitted {
                let x = values(stream, <[f32]>::to_vec)?;
                let logits = way.read(map, model, params, (stream.dim(D::Minus1)?, &x))?;
                read(&logits, model.layout().vocab);
            } else {
                let logits = model.unembed(params, stream)?;
                let vocab = logits.dim(D::Minus1)?;
                values(&logits, |all| read(all, vocab))?;
            }
        }
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
