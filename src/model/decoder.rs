//! The decoder: a plain pre-norm transformer, from two attention-only layers to the shapes of GPT-2 and Llama.

mod anatomy;
pub(super) mod layer;

use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::base::weights::Weights;
use crate::nn::attention::{Mask, Sees};
use crate::nn::norm::{Norm, NormKind};
use crate::nn::params::{Param, Params};
use crate::nn::wire::{Map, Wire};

use super::anatomy::Anatomy;
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::{Architecture, Layout, Model, Network, Sequences};

use layer::{Builder, Layer};

crate::choices! {
    /// How a token is told where it stands.
    pub enum Positions {
        /// A trained table `pos`, added to the embedding.
        Learned = "learned",
        /// A fixed table `pos` of sines and cosines, added to the embedding.
        Sinusoidal = "sinusoidal",
        /// Queries and keys are rotated.
        Rotary = "rotary",
        None = "none",
    }
}

crate::choices! {
    /// What follows the attention in a layer.
    pub enum MlpKind {
        None = "none",
        GeluTanh = "gelu_tanh",
        GeluErf = "gelu_erf",
        Relu = "relu",
        SwiGlu = "swiglu",
        /// One square matrix without anything between.
        Linear = "linear",
    }
}

crate::choices! {
    /// How matrices are drawn.
    pub enum InitKind {
        /// N(0, 0.02²), what writes into the residual stream divided by √(2 layers); biases 0.
        Gpt2 = "gpt2",
        /// Weights and biases uniform within ±1/√inputs.
        Torch = "torch",
        /// N(0, 0.64 / width), whatever a matrix reads; biases 0.
        TransformerLens = "transformer_lens",
        /// N(0, 1 / inputs), what writes into the residual stream divided by √(2 layers); biases 0: for narrow networks, whose
        /// signals GPT-2's initialisation makes too small.
        FanIn = "fan_in",
    }
}

crate::choices! {
    /// What becomes of a matrix.
    pub enum MatrixKind {
        Trained = "trained",
        /// Stays as it was drawn.
        Frozen = "frozen",
        /// Left out.
        Identity = "identity",
    }
}

crate::settings! {
    /// Settings of the decoder.
    pub struct Decoder = "A plain pre-norm transformer: attention and, if wanted, an MLP in each layer." {
        /// Layers.
        layers: usize = 2, in 1..=12;
        /// Attention heads of each layer.
        heads: usize = 4, in 1..=64;
        /// Width of the residual stream.
        width: usize = 128, in 1..=4096;
        /// Dimension of a head; 0: the width divided by the number of heads.
        head_dim: usize = 0, in 0..=1024;
        /// Normalisation before attention and MLP: LayerNorm, RMSNorm or none.
        norm: NormKind = NormKind::Layer;
        /// Normalise once more before the unembedding.
        final_norm: bool = true;
        /// Positions: a learned table, a table of sinusoids, rotation of queries and keys, or none.
        positions: Positions = Positions::Learned;
        /// Sinusoids are multiplied by this before they are added.
        sinusoid_scale: f64 = 1.0, in 0.0..=100.0;
        /// Each position sees itself and those before it, so many together; 0: all of them.
        window: usize = 0, in 0..=65536;
        /// MLP after the attention: none, one of four activations, or a single square matrix.
        mlp: MlpKind = MlpKind::GeluTanh;
        /// Hidden units of the MLP, as a multiple of the width.
        mlp_ratio: f64 = 4.0, in 0.0625..=16.0;
        /// Whether the first layer has an MLP too.
        first_mlp: bool = true;
        /// The MLP reads the input of its layer, not the sum of it and the attention's output.
        parallel: bool = false;
        /// Biases in the linear maps of attention and MLP.
        biases: bool = true;
        /// A bias on the logits.
        unembed_bias: bool = false;
        /// The unembedding is the token embedding.
        tied: bool = false;
        /// How matrices are drawn: as GPT-2's, as torch draws a linear layer, as TransformerLens draws a network (standard deviation 0.8/√width), or with standard deviation 1/√inputs.
        init: InitKind = InitKind::Gpt2;
        /// Standard deviation of fresh token and position embeddings.
        embedding_std: f64 = 0.02, in 0.0..=10.0;
        /// Standard deviation of fresh position embeddings, where positions are learned; 0: that of tokens.
        position_std: f64 = 0.0, in 0.0..=10.0;
        /// Token and position embeddings stay as they were drawn.
        freeze_embeddings: bool = false;
        /// The unembedding stays as it was drawn.
        freeze_output: bool = false;
        /// Value matrices: trained, frozen as drawn, or left out (then all heads together must be as wide as the stream).
        values: MatrixKind = MatrixKind::Trained;
        /// Output matrices of attention, likewise.
        outputs: MatrixKind = MatrixKind::Trained;
    }
}

impl Architecture for Decoder {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        if self.tied && on.reals.outputs > 0 {
            return Err(Error::usage(
                "model.tied makes the unembedding the token embedding, and this task predicts real numbers; untie them",
            ));
        }
        let sees = if self.window == 0 { Sees::Before } else { Sees::Window(self.window) };
        let mask = Mask { memory: 0, sees };
        Ok(Box::new(Transformer::new(&mut Builder::new(self, on, mask, params)?)?))
    }

    fn reads_reals(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }

    fn anatomy(&self, weights: &Weights, length: usize) -> Result<Anatomy> {
        anatomy::anatomy(self, weights, length)
    }
}

struct Transformer {
    layout: Layout,
    /// `[vocab, width]`
    embed: Param,
    /// Added to the embedding.
    positions: Option<Param>,
    /// Reads the real numbers that positions carry, `[width, inputs]`; added too.
    values: Option<Map>,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocab, width]`; the embedding itself when tied. `[outputs, width]` where real numbers are predicted.
    unembed: Map,
}

impl Transformer {
    fn embedded<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let mut x = wire.embed(self.embed, self.positions)?;
        if let Some(values) = self.values {
            x = wire.values(&x, values)?;
        }
        wire.at(0, Point::Embed, x)
    }
}

impl Network for Transformer {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let (first, mut x) = match wire.resumed() {
            Some(from) => from,
            None => (0, self.embedded(wire)?),
        };
        for layer in self.layers.iter().skip(first) {
            x = layer.wire(wire, x)?;
        }
        self.read().wire(wire, self.layers.len() - 1, x)
    }

    fn caches(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }

    fn read(&self) -> Read<'_> {
        Read::new(Some(&self.norm), self.unembed)
    }

    fn embedding(&self) -> Option<Embedding> {
        let Self { embed: tokens, positions, .. } = *self;
        Some(Embedding { tokens, positions, scale: 1.0 })
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        Some(self.layers.get(layer)?.reading())
    }

    fn written(&self, layer: usize) -> Option<Written> {
        Some(self.layers.get(layer)?.written())
    }
}

impl Transformer {
    fn new(build: &mut Builder<'_>) -> Result<Self> {
        let embed = build.embedding()?;
        Ok(Self {
            layout: build.layout("decoder"),
            embed,
            positions: build.positions()?,
            values: build.values()?,
            layers: build.layers()?,
            norm: build.final_norm()?,
            unembed: build.unembed(embed)?,
        })
    }
}
