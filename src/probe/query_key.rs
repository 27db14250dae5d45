//! Queries and keys of one head over held-out sequences.

use candle_core::Tensor;

use super::read::{captured, values};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::record::array::Array;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

crate::knobs! {
    /// One point per position and sequence, as the network computes them; how both are placed in one space
    /// is left to [`crate::record::geometry::arrange`], which needs all points at once.
    ///
    /// Arrays: `queries` and `keys` `[point, dim]`; `token`, `position` and `roles` (bits, see the roles of
    /// the task) `[point]`. Points come sequence by sequence: a new one starts wherever the position is 0.
    pub struct QueryKey = "Queries and keys of one head for every position of a few held-out sequences." {
        /// Layer, from 0.
        layer: usize = 0, in 0..=1000;
        /// Head, from 0.
        head: usize = 0, in 0..=1000;
        /// Held-out sequences that are looked at.
        sequences: usize = 8, in 1..=4096;
    }
}

impl Probe for QueryKey {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn sequences(&self) -> Option<usize> {
        Some(self.sequences)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let heads = &subject.model.layout().heads;
        let Some(&count) = heads.get(self.layer) else {
            return Err(Error::usage(format!(
                "layer {} was asked for; this network has {}, counted from 0",
                self.layer,
                heads.len()
            )));
        };
        if self.head < count {
            return Ok(());
        }
        Err(Error::usage(format!(
            "head {} of layer {} was asked for; that layer has {count}, counted from 0",
            self.head, self.layer
        )))
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        [Point::Q, Point::K].map(|point| Site { layer: self.layer, point }).to_vec()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let batch = scene.batch;
        let points = batch.tokens.len();
        let along = |name, data: Vec<f32>| Array::new(name, &["point"], &[points], data);
        let arrays = vec![
            self.vectors(scene, "queries", Point::Q)?,
            self.vectors(scene, "keys", Point::K)?,
            along("token", batch.tokens.iter().map(|&t| t as f32).collect())?,
            along("position", (0..points).map(|i| (i % batch.len) as f32).collect())?,
            along("roles", batch.roles.iter().map(|&r| f32::from(r)).collect())?,
        ];
        Ok(Answer { arrays, ..Answer::default() })
    }
}

impl QueryKey {
    fn vectors(&self, scene: &Scene<'_>, name: &str, point: Point) -> Result<Array> {
        let all = captured(scene, Site { layer: self.layer, point })?;
        let one: Tensor = all.narrow(1, self.head, 1)?;
        let dim = one.dim(3)?;
        let data = values(&one, <[f32]>::to_vec)?;
        Array::new(name, &["point", "dim"], &[data.len() / dim, dim], data)
    }
}
