//! Layers of a transformer that reads its sequences in segments: what models with a memory share.

use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::norm::Norm;
use crate::nn::params::Param;
use crate::nn::wire::{Along, Map, Wire};

use super::Layout;
use super::decoder::layer::{Builder, Layer};
use super::decoder::{Decoder, InitKind, MlpKind, Positions};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};

crate::settings! {
    /// Settings of the layers.
    pub struct Stack = "Layers of a pre-norm transformer." {
        /// Layers.
        layers: usize = 2, in 1..=12;
        /// Attention heads of each layer.
        heads: usize = 4, in 1..=64;
        /// Width of the residual stream.
        width: usize = 32, in 1..=4096;
        /// MLP after the attention: none, one of four activations, or a single square matrix.
        mlp: MlpKind = MlpKind::GeluTanh;
        /// Hidden units of the MLP, as a multiple of the width.
        mlp_ratio: f64 = 4.0, in 0.0625..=16.0;
        /// How matrices are drawn; narrow networks with a memory learn from standard deviation 1/√inputs and stay at chance from GPT-2's 0.02.
        init: InitKind = InitKind::FanIn;
        /// Standard deviation of fresh embeddings of tokens, positions and memory.
        embedding_std: f64 = 0.5, in 0.0..=10.0;
    }
}

impl Stack {
    /// The same as a decoder, without positions.
    pub fn decoder(&self) -> Decoder {
        let Self { layers, heads, width, mlp, mlp_ratio, init, embedding_std } = *self;
        let positions = Positions::None;
        let defaults = Decoder::default();
        Decoder { layers, heads, width, mlp, mlp_ratio, init, embedding_std, positions, ..defaults }
    }
}

/// The layers between embedding and unembedding.
pub(super) struct Stem {
    pub layout: Layout,
    /// `[vocab, width]`
    pub embed: Param,
    pub layers: Vec<Layer>,
    norm: Norm,
    unembed: Map,
}

impl Stem {
    pub fn new(build: &mut Builder<'_>, kind: &'static str) -> Result<Self> {
        let embed = build.embedding()?;
        Ok(Self {
            layout: build.layout(kind),
            embed,
            layers: build.layers()?,
            norm: build.final_norm()?,
            unembed: build.unembed(embed)?,
        })
    }

    /// Tokens with their places in the segment, rows of a table `[segment, width]`: `[batch, pos, width]`.
    pub fn tokens<'m, W: Wire<'m>>(&self, wire: &mut W, places: Param) -> Result<W::X> {
        let tokens = wire.embed(self.embed, None)?;
        let places = wire.repeat(places)?;
        let places = wire.slice(&places, Along::Positions, 0, wire.positions())?;
        let tokens = wire.sum(&tokens, &places)?;
        wire.at(0, Point::Embed, tokens)
    }

    pub fn last(&self) -> usize {
        self.layers.len() - 1
    }

    pub fn norm(&self) -> &Norm {
        &self.norm
    }

    pub fn read(&self) -> Read<'_> {
        Read::new(Some(&self.norm), self.unembed)
    }

    /// With a table of positions, if there is one.
    pub fn embedding(&self, positions: Option<Param>) -> Embedding {
        Embedding { tokens: self.embed, positions, scale: 1.0 }
    }

    pub fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        Some(self.layers.get(layer)?.reading())
    }

    pub fn written(&self, layer: usize) -> Option<Written> {
        Some(self.layers.get(layer)?.written())
    }
}
