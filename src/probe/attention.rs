//! The attention of all heads to the sequence in view.

use super::read::{captured, values};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::record::array::Array;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

crate::knobs! {
    /// Arrays: `pattern.layer0` and so on `[head, query, key]` for every layer that has heads; rows sum to 1,
    /// 0 above the diagonal.
    pub struct Attention = "Attention of every head from each position of the sequence in view to each before it." {
    }
}

impl Probe for Attention {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        if subject.model.layout().heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage("this network has no attention heads"));
        }
        Ok(())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let layers = subject.model.layout().heads.iter().enumerate().filter(|(_, n)| **n > 0);
        layers.map(|(layer, _)| Site { layer, point: Point::Pattern }).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let pattern = |site: Site| {
            let first = captured(scene, site)?.get(0)?;
            let data = values(&first, <[f32]>::to_vec)?;
            let name = format!("pattern.layer{}", site.layer);
            Array::new(name, &["head", "query", "key"], first.dims(), data)
        };
        let arrays = self.sites(scene.subject).into_iter().map(pattern).collect::<Result<_>>()?;
        Ok(Answer { arrays, ..Answer::default() })
    }
}
