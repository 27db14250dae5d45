//! The attention of all heads: to the sequence in view, or to held-out sequences.

use std::sync::Arc;

use candle_core::Tensor;

use super::read::{values, whole};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::intervention::{MEMORY, Point, Site, label};
use crate::model::Keeps;
use crate::nn::tap::KEYS;
use crate::numeric::pattern::{shrink, stretches};

crate::choices! {
    /// Which patterns are given whole.
    pub enum Patterns {
        All = "all",
        One = "one head",
        Glance = "none",
    }
}

crate::settings! {
    /// Arrays: `pattern.layer0` and so on `[head, query, key]` for every layer that has heads; rows sum to 1,
    /// 0 above the diagonal. Keys that are memory tokens stand before position 0 and are labelled `m0`, `m1` and so on; rows that positions were
    /// compressed into likewise, `cm0`, `cm1`. Of sequences longer than 128 also `glance.layer0` `[head, query cell, key cell]`: the same in
    /// 128 cells a side, see [`crate::numeric::pattern::shrink`]. With `vectors` also `queries.layer0` and `keys.layer0` `[head, position, dim]`. Of
    /// held-out sequences there is one of each, `pattern.layer0.sequence0` and so on, and no glance.
    ///
    /// Of a large network over a long sequence that would be too much. `whole = "none"` gives `glance.layer0` alone, of sequences of any length (of shorter ones it is the pattern
    /// itself), and keeps no pattern of more than one layer at a time; `whole = "one head"` gives `pattern.layer0.head0` `[query, key]` of `layer` and `head`, and the
    /// pass ends there.
    pub struct Attention = "Attention of every head from each position of a sequence to each before it." {
        /// Held-out sequences to look at, from the first; 0: the sequence in view instead.
        sequences: usize = 0, in 0..=4096;
        /// Queries and keys as well.
        vectors: bool = false;
        /// Which patterns of the sequence in view are given whole: all; that of one head; none.
        whole: Patterns = Patterns::All;
        /// Layer of the one head.
        layer: usize = 0, in 0..=4096;
        /// The one head.
        head: usize = 0, in 0..=4096;
    }
}

/// Cells along the side of a pattern at a glance.
const GLANCE: usize = 128;

impl Measurement for Attention {
    fn scope(&self) -> Scope {
        if self.sequences == 0 { Scope::Prompt } else { Scope::HeldOut }
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn sequences(&self) -> Option<usize> {
        (self.sequences > 0).then_some(self.sequences)
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.layout().heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage("this network has no attention heads"));
        }
        if self.whole != Patterns::All && (self.sequences > 0 || self.vectors) {
            return Err(Error::usage(
                "whole = \"none\" and \"one head\" are for the patterns of the sequence in view alone: leave sequences and vectors out",
            ));
        }
        let heads = subject.model.layout().heads.get(self.layer).copied().unwrap_or(0);
        if self.whole == Patterns::One && self.head >= heads {
            return Err(Error::usage(format!(
                "head {} of layer {} was asked for; that layer has {heads} heads",
                self.head, self.layer
            )));
        }
        Ok(())
    }

    fn passing(&self, subject: Subject<'_>) -> Vec<Site> {
        let at = |layer| Site { layer, point: Point::Pattern };
        let heads = subject.model.layout().heads.iter().enumerate();
        match self.whole {
            Patterns::All => Vec::new(),
            Patterns::One => vec![at(self.layer)],
            Patterns::Glance => {
                heads.filter(|(_, n)| **n > 0).map(|(layer, _)| at(layer)).collect()
            }
        }
    }

    fn pass(&self, Site { layer, .. }: Site, x: &Tensor) -> Result<Vec<Array>> {
        let (_, heads, queries, keys) = x.dims4()?;
        if self.whole == Patterns::One {
            let one = values(&x.get(0)?.get(self.head)?, <[f32]>::to_vec)?;
            let name = format!("pattern.layer{layer}.head{}", self.head);
            return Ok(vec![Array::new(name, &["query", "key"], &[queries, keys], one)?]);
        }
        let (side, count) = (queries.min(GLANCE), queries * keys);
        let small = values(x, |all| {
            let each = all.chunks_exact(count.max(1)).take(heads);
            each.flat_map(|head| shrink(head, [0, queries], side).1).collect::<Vec<f32>>()
        })?;
        let (name, axes) = (format!("glance.layer{layer}"), ["head", "query cell", "key cell"]);
        Ok(vec![Array::new(name, &axes, &[heads, side, side], small)?])
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        if self.whole != Patterns::All {
            return Vec::new();
        }
        let points: &[Point] =
            if self.vectors { &[Point::Pattern, Point::Q, Point::K] } else { &[Point::Pattern] };
        let layers = subject.model.layout().heads.iter().enumerate().filter(|(_, n)| **n > 0);
        layers
            .flat_map(|(layer, _)| points.iter().map(move |&point| Site { layer, point }))
            .collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut answer = Answer::default();
        for site in self.sites(scene.subject) {
            let (name, along) = if site.point == Point::Q {
                ("queries", ["position", "dim"])
            } else if site.point == Point::K {
                ("keys", ["position", "dim"])
            } else {
                ("pattern", ["query", "key"])
            };
            let (mut tensor, mut memory) = whole(scene, site)?;
            if site.point.has_keys() {
                (tensor, memory) = visible(tensor, memory)?;
            }
            let called = |i| match scene.subject.model.keeps() {
                Some(Keeps::Compressed { .. }) => format!("cm{i}"),
                Some(
                    Keeps::Tokens
                    | Keeps::Retrieved
                    | Keeps::Positions
                    | Keeps::Units
                    | Keeps::Mechanisms,
                )
                | None => label(MEMORY + i),
            };
            let labels: Arc<[String]> = (0..memory).map(called).collect();
            let shape = &tensor.dims()[1..];
            let count: usize = shape.iter().product();
            let axes = ["head", along[0], along[1]];
            let arrays = values(&tensor, |all| {
                let each = all.chunks_exact(count.max(1)).enumerate();
                each.map(|(i, data)| {
                    let layer = format!("{name}.layer{}", site.layer);
                    let name = match self.sequences {
                        0 => layer,
                        _ => format!("{layer}.sequence{}", scene.first + i),
                    };
                    Ok(Array::new(name, &axes, shape, data)?.labelled(labels.clone()))
                })
                .collect::<Result<Vec<_>>>()
            })?;
            answer.arrays.extend(arrays?);
        }
        if self.sequences == 0 {
            let glances: Result<Vec<Option<Array>>> = answer.arrays.iter().map(glance).collect();
            answer.arrays.extend(glances?.into_iter().flatten());
        }
        Ok(answer)
    }
}

/// A tensor without the last of its columns of memory tokens that nothing looks at: those that write stand after the positions, and no
/// position sees them.
fn visible(tensor: Tensor, memory: usize) -> Result<(Tensor, usize)> {
    if memory == 0 {
        return Ok((tensor, memory));
    }
    let columns = tensor.dim(KEYS)?;
    let seen = values(&tensor.narrow(KEYS, 0, memory)?.contiguous()?, |all| {
        let last = |row: &[f32]| row.iter().rposition(|x| *x > 0.0).map_or(0, |at| at + 1);
        all.chunks_exact(memory).map(last).max().unwrap_or(0)
    })?;
    let parts = [tensor.narrow(KEYS, 0, seen)?, tensor.narrow(KEYS, memory, columns - memory)?];
    Ok((Tensor::cat(&parts, KEYS)?, seen))
}

/// A large pattern `[head, query, key]` in few cells.
fn glance(array: &Array) -> Result<Option<Array>> {
    let Some(layer) = array.name.strip_prefix("pattern.") else { return Ok(None) };
    let ([heads, length, _], [.., keys]) = (&array.shape[..], &array.axes[..]) else {
        return Ok(None);
    };
    if *length <= GLANCE {
        return Ok(None);
    }
    let size = [keys.origin(), *length];
    let small: Vec<_> = (0..*heads).map(|h| shrink(array.outer(h), size, GLANCE)).collect();
    let memory = small.first().map_or(0, |([memory, _], _)| *memory);
    let labels = stretches(keys.origin(), memory).map(|cell| together(&keys.labels[cell]));
    let cells: Vec<f32> = small.into_iter().flat_map(|(_, cells)| cells).collect();
    let (axes, shape) = (["head", "query cell", "key cell"], [*heads, GLANCE, memory + GLANCE]);
    let array = Array::new(format!("glance.{layer}"), &axes, &shape, cells)?;
    Ok(Some(array.labelled(labels.collect())))
}

/// The label of several that are drawn as one.
fn together(labels: &[String]) -> String {
    match labels {
        [first, .., last] => format!("{first}-{last}"),
        _ => labels.concat(),
    }
}
