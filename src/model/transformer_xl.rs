//! Transformer-XL: each layer also attends to a cache of what it read in the segments before (Dai et al. 2019, arXiv 1901.02860).

use crate::base::error::Result;
use crate::nn::params::Params;

use super::cached::{Cached, Reach};
use super::stack::Stack;
use super::{Architecture, Model, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct TransformerXl = "Transformer-XL: attention also sees a cache of the segments before (train.segment), by relative positions." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// Positions in the cache of each layer; 0: as many as a segment has.
        cache: usize = 0, in 0..=65536;
        /// No gradient passes into the cache, as published.
        stop_gradient: bool = true;
    }
}

impl Architecture for TransformerXl {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let reach = Reach::of_cache(self.cache, on);
        let mut cached = Cached::new("transformer_xl", &self.stack, (on, reach), params)?;
        cached.stop_gradient = self.stop_gradient;
        Ok(Box::new(cached))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}
