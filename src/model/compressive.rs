//! The Compressive Transformer (Rae et al. 2019, arXiv 1911.05507): what leaves the cache of a layer is compressed and kept a while longer.
//!
//! Positions leave the cache in whole groups, each of which becomes one row. A layer attends to `[compressed | cache | segment]`; a
//! compressed row stands at the centre of the positions that it was made of. What compresses is trained by a loss of its own: attention
//! to the rows is to give what attention to the positions gave. No other gradient reaches it, and it reaches nothing else.

use crate::base::error::Result;
use crate::nn::params::Params;

use super::cached::{Cached, Reach};
use super::compression::{Compression, Function};
use super::stack::Stack;
use super::{Architecture, Model, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct Compressive = "A compressive transformer: what leaves the cache of Transformer-XL (train.segment) is compressed, several positions into one row, and kept for longer." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// Positions in the cache of each layer; 0: as many as a segment has.
        cache: usize = 0, in 0..=65536;
        /// Compressed rows of each layer.
        compressed: usize = 8, in 1..=4096;
        /// Positions that become one row.
        rate: usize = 4, in 1..=64;
        /// What makes a row of them: their mean, the largest of each number, or a convolution that is trained.
        function: Function = Function::Conv;
        /// No gradient passes into cache and compressed rows, and the convolution is trained to keep what attention finds, as published. Off: it is trained by the task.
        stop_gradient: bool = true;
    }
}

impl Architecture for Compressive {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let Self { compressed, rate, stop_gradient, .. } = *self;
        let reach = Reach { rows: compressed, rate, ..Reach::of_cache(self.cache, on) };
        // What is compressed after the last segment nobody reads.
        let reads = on.length.saturating_sub(on.segment);
        let reach = if reach.kept(reads).rows == 0 { Reach { rows: 0, ..reach } } else { reach };
        let mut cached = Cached::new("compressive", &self.stack, (on, reach), params)?;
        if reach.rows > 0 {
            let of = (self.function, rate, self.stack.width);
            let all = (0..self.stack.layers).map(|layer| Compression::new(params, layer, of));
            cached.compression = all.collect::<Result<_>>()?;
        }
        cached.stop_gradient = stop_gradient;
        Ok(Box::new(cached))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}
