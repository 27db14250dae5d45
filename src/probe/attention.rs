//! The attention of all heads: to the sequence in view, or to held-out sequences.

use super::read::{captured, values};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::record::array::Array;
use crate::record::batch::Row;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

crate::knobs! {
    /// Arrays: `pattern.layer0` and so on `[head, query, key]` for every layer that has heads; rows sum to 1,
    /// 0 above the diagonal. With `vectors` also `queries.layer0` and `keys.layer0` `[head, position, dim]`. Over
    /// held-out sequences each has one more axis in front, `sequence`.
    pub struct Attention = "Attention of every head from each position of a sequence to each before it." {
        /// Held-out sequences to look at, from the first; 0: the sequence in view instead.
        sequences: usize = 0, in 0..=4096;
        /// Queries and keys as well.
        vectors: bool = false;
    }
}

impl Probe for Attention {
    fn scope(&self) -> Scope {
        if self.sequences == 0 { Scope::Prompt } else { Scope::HeldOut }
    }

    fn sequences(&self) -> Option<usize> {
        (self.sequences > 0).then_some(self.sequences)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.layout().heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage("this network has no attention heads"));
        }
        Ok(())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let points: &[Point] =
            if self.vectors { &[Point::Pattern, Point::Q, Point::K] } else { &[Point::Pattern] };
        let layers = subject.model.layout().heads.iter().enumerate().filter(|(_, n)| **n > 0);
        layers
            .flat_map(|(layer, _)| points.iter().map(move |&point| Site { layer, point }))
            .collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let array = |site: Site| {
            let (name, along) = match site.point {
                Point::Q => ("queries", ["position", "dim"]),
                Point::K => ("keys", ["position", "dim"]),
                _ => ("pattern", ["query", "key"]),
            };
            let tensor = captured(scene, site)?;
            let axes = ["sequence", "head", along[0], along[1]];
            let name = format!("{name}.layer{}", site.layer);
            values(tensor, |data| Array::new(name, &axes, tensor.dims(), data))?
        };
        let arrays = self.sites(scene.subject).into_iter().map(array).collect::<Result<_>>()?;
        Ok(Answer { arrays, ..Answer::default() })
    }

    /// The sequence in view is one.
    fn finish(&self, mut answer: Answer, _prompt: &Row) -> Result<Answer> {
        if self.sequences == 0 {
            for array in &mut answer.arrays {
                array.axes.remove(0);
                array.shape.remove(0);
            }
        }
        Ok(answer)
    }
}
