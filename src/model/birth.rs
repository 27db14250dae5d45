//! The simplified two-layer transformer of "Birth of a Transformer: A Memory Viewpoint" (Bietti et al. 2023),
//! small enough that every matrix can be read as an associative memory.
//!
//! ```text
//! x0 = E[token] + P[position]
//! x1 = x0 + W_O1 W_V1 · attention(query x0, key W_K1 x0) over x0
//! x2 = x1 + W_O2 W_V2 · attention(query x1, key W_K2 x1) over x1
//! x3 = x2 + W_F x2
//! logits = W_U x3
//! ```
//!
//! One head in each layer, no normalisation, no biases, logits of attention divided by √width. Only `W_K1`, `W_K2`,
//! `W_O2` and `W_F` are trained (and embeddings and `W_U` if asked for).

mod anatomy;

use candle_core::Tensor;

use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::weights::Weights;
use crate::nn::activation::Activation;
use crate::nn::attention::Attention;
use crate::nn::linear::linear;
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::{Rotary, sinusoidal};
use crate::nn::wire::{Heads, Map, Wire};

use super::anatomy::Anatomy;
use super::memories::{GlobalMemory, Layer, Memories};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::{Architecture, Layout, Model, Network, Sequences};

crate::choices! {
    /// What `W_F` is.
    pub enum FeedForward {
        None = "none",
        Linear = "linear",
        /// `W_2 relu(W_1 x)`, hidden width 4 × the width.
        Mlp = "mlp",
    }
}

crate::choices! {
    /// What stands for a position.
    pub enum Positions {
        Random = "random",
        Sinusoidal = "sinusoidal",
        /// Queries and keys of the first layer are rotated; nothing is added to the tokens.
        Rotary = "rotary",
    }
}

crate::settings! {
    /// Settings of the simplified model.
    pub struct Birth = "The simplified two-layer transformer of Birth of a Transformer (Bietti et al. 2023): one head a layer, no normalisation, most matrices frozen, each trained one an associative memory." {
        /// Width of the residual stream.
        width: usize = 128, in 4..=2048;
        /// Matrix after the second attention, where global statistics are stored: none, linear, or an MLP with a hidden layer of four times the width.
        feed_forward: FeedForward = FeedForward::Linear;
        /// Positions: random vectors, sinusoids, or rotations of queries and keys in the first layer.
        positions: Positions = Positions::Random;
        /// Train the token embeddings (the paper freezes them).
        train_embeddings: bool = false;
        /// Train the unembedding (the paper freezes it).
        train_unembedding: bool = false;
        /// Unembed with the token embeddings, scaled down by the width, instead of a matrix of its own.
        tie_output: bool = false;
        /// Draw embeddings with standard deviation 1/√width instead of 1.
        sqrtd_embeddings: bool = false;
        /// Do not divide attention logits by √width.
        no_sqrtd: bool = false;
    }
}

impl Architecture for Birth {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        Ok(Box::new(Simplified::new(self, on.vocab, on.length, params)?))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }

    fn anatomy(&self, weights: &Weights, length: usize) -> Result<Anatomy> {
        anatomy::anatomy(self, weights, length)
    }
}

impl Birth {
    /// What attention logits are multiplied by.
    fn scale(&self) -> f32 {
        if self.no_sqrtd { 1.0 } else { 1.0 / (self.width as f32).sqrt() }
    }
}

struct Simplified {
    layout: Layout,
    scale: f32,
    embed: Param,
    /// None under rotary positions.
    positions: Option<Param>,
    rotary: Option<Rotary>,
    layers: [Layer; 2],
    feed_forward: GlobalMemory,
    /// None when tied to the embeddings.
    unembed: Option<Param>,
}

impl Simplified {
    /// Initial values as in torch: U(±1/√inputs) for matrices, N(0, 1) for embeddings.
    fn new(settings: &Birth, vocab: usize, length: usize, params: &mut Params) -> Result<Self> {
        let width = settings.width;
        let bound = 1.0 / (width as f64).sqrt();
        let embedding = Init::Normal(if settings.sqrtd_embeddings { bound } else { 1.0 });
        let square = |params: &mut Params, name: &str, trained| {
            params.add(name, &[width, width], Init::Uniform(bound), trained)
        };
        let embed = params.add("embed", &[vocab, width], embedding, settings.train_embeddings)?;
        let positions = match settings.positions {
            Positions::Random => Some(params.add("pos", &[length, width], embedding, false)?),
            Positions::Sinusoidal => {
                let table = sinusoidal(length, width);
                Some(params.add_values("pos", &[length, width], table, false)?)
            }
            Positions::Rotary => None,
        };
        let rotary = match positions {
            Some(_) => None,
            None => Some(Rotary::new(length, width)?),
        };
        let layers = [
            Layer {
                wk: square(params, "layer0.wk", true)?,
                wv: square(params, "layer0.wv", false)?,
                wo: square(params, "layer0.wo", false)?,
            },
            Layer {
                wk: square(params, "layer1.wk", true)?,
                wv: square(params, "layer1.wv", false)?,
                wo: square(params, "layer1.wo", true)?,
            },
        ];
        let feed_forward = match settings.feed_forward {
            FeedForward::None => GlobalMemory::None,
            FeedForward::Linear => GlobalMemory::Linear(square(params, "layer1.wf", true)?),
            FeedForward::Mlp => {
                let (hidden, inner) = (4 * width, Init::Uniform(bound / 2.0));
                GlobalMemory::Mlp(
                    params.add("layer1.wf1", &[hidden, width], Init::Uniform(bound), true)?,
                    params.add("layer1.wf2", &[width, hidden], inner, true)?,
                )
            }
        };
        let unembed = if settings.tie_output {
            None
        } else {
            let trained = settings.train_unembedding;
            Some(params.add("unembed", &[vocab, width], Init::Uniform(bound), trained)?)
        };
        let layout = Layout { kind: "birth", heads: vec![1, 1], width, vocab, length };
        let scale = settings.scale();
        Ok(Self { layout, scale, embed, positions, rotary, layers, feed_forward, unembed })
    }
}

impl Network for Simplified {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let [first, second] = &self.layers;
        let x0 = wire.embed(self.embed, self.positions)?;
        let x0 = wire.at(0, Point::Embed, x0)?;
        let x0 = wire.at(0, Point::ResidPre, x0)?;
        let keys = wire.linear(&x0, Map::plain(first.wk))?;
        let (queries, keys) = (self.rotated(wire, &x0)?, self.rotated(wire, &keys)?);
        let x1 = wire.attend(self.attention(0), heads(first, &queries, &keys, &x0))?;
        let x1 = wire.at(0, Point::ResidMid, x1)?;
        let x1 = wire.at(0, Point::ResidPost, x1)?;
        let x1 = wire.at(1, Point::ResidPre, x1)?;
        let keys = wire.linear(&x1, Map::plain(second.wk))?;
        let heads = Heads { last: true, ..heads(second, &x1, &keys, &x1) };
        let x2 = wire.attend(self.attention(1), heads)?;
        let x2 = wire.at(1, Point::ResidMid, x2)?;
        let x3 = self.fed_forward(wire, x2)?;
        let x3 = wire.at(1, Point::ResidPost, x3)?;
        self.read().wire(wire, 1, x3)
    }

    fn read(&self) -> Read<'_> {
        let (unembed, scale) = match self.unembed {
            Some(unembed) => (unembed, 1.0),
            // E / √width as W_U, and logits divided by √width once more.
            None => (self.embed, 1.0 / self.layout.width as f32),
        };
        Read { scale, ..Read::new(None, Map::plain(unembed)) }
    }

    fn embedding(&self) -> Option<Embedding> {
        let Self { embed: tokens, positions, .. } = *self;
        Some(Embedding { tokens, positions, scale: 1.0 })
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        let Layer { wk, wv, .. } = *self.layers.get(layer)?;
        let keys = Some(Map::plain(wk));
        let values = Some(Map::plain(wv));
        let (how, rotary) = (self.attention(layer), self.rotary.as_ref().filter(|_| layer == 0));
        let (norm, queries, head_norms, by_distance) = (None, None, None, false);
        Some(Reading { norm, how, queries, keys, values, head_norms, rotary, by_distance })
    }

    fn written(&self, layer: usize) -> Option<Written> {
        let layer = self.layers.get(layer)?;
        Some(Written { heads: 1, outputs: Some(Map::plain(layer.wo)), mlp: None })
    }

    fn memories(&self) -> Option<Memories> {
        let Self { embed, positions, layers, feed_forward: global, unembed, .. } = *self;
        Some(Memories { embed, positions, layers, global, unembed })
    }
}

/// What a layer attends with; queries are the residual stream itself.
fn heads<'x, X>(layer: &Layer, queries: &'x X, keys: &'x X, x: &'x X) -> Heads<'x, X> {
    let (values, outputs) = (Some(Map::plain(layer.wv)), Some(Map::plain(layer.wo)));
    Heads { queries, keys, read: x, values, outputs, residual: Some(x), last: false }
}

impl Simplified {
    fn attention(&self, layer: usize) -> Attention {
        Attention::causal(layer, 1, self.scale)
    }

    fn rotated<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X) -> Result<W::X> {
        let first = wire.first();
        self.rotary.as_ref().map_or_else(|| Ok(x.clone()), |r| wire.rotate(x, r, first))
    }

    /// `x + W_F x`
    fn fed_forward<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let site = Site { layer: 1, point: Point::MlpOut };
        match self.feed_forward {
            GlobalMemory::None => Ok(x),
            GlobalMemory::Linear(wf) => wire.write(site, &x, &x, Map::plain(wf)),
            GlobalMemory::Mlp(wf1, wf2) => {
                let hidden = wire.linear(&x, Map::plain(wf1))?;
                let hidden = wire.activate(hidden, Activation::Relu)?;
                let hidden = wire.at(1, Point::MlpPost, hidden)?;
                wire.write(site, &x, &hidden, Map::plain(wf2))
            }
        }
    }
}

/// How strongly the ideal memories are stored: attention logit of the previous position, attention logit of
/// the matching token, output logit of the attended token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strengths {
    pub previous: f64,
    pub matching: f64,
    pub output: f64,
}

/// Writes the ideal memories of an induction head into `W_K1`, `W_K2` and `W_O2`: sums of outer products that make
/// each position attend to the one before it, each of `tokens` attend to where it was written by the first
/// layer, and each attended token raise its own logit. Divided by the mean squared norms of the vectors, so
/// that one stored association has the strength asked for (Bietti et al. 2023, section 4).
///
/// # Errors
/// When `params` are not those of this model, or it has no position vectors.
pub fn ideal(
    settings: &Birth,
    params: &Params,
    strengths: Strengths,
    tokens: &[u32],
) -> Result<()> {
    let get = |name: &str| {
        let param = params.find(name).ok_or_else(|| {
            Error::usage(format!(
                "the ideal memories need the tensor {name}, which this model lacks"
            ))
        })?;
        Ok::<Tensor, Error>(params.var(param)?.as_detached_tensor())
    };
    let (embed, pos, unembed) = (get("embed")?, get("pos")?, get("unembed")?);
    let through = |x: &Tensor, name: &str| linear(x, &get(name)?, None);
    let remapped = through(&through(&embed, "layer0.wv")?, "layer0.wo")?;
    let values = through(&embed, "layer1.wv")?;
    let inverse_scale = 1.0 / f64::from(settings.scale());
    let chosen = |x: &Tensor| -> Result<Tensor> {
        Ok(x.index_select(&Tensor::from_slice(tokens, tokens.len(), x.device())?, 0)?)
    };
    let length = pos.dim(0)?.saturating_sub(1);
    let wk1 = outer(&pos.narrow(0, 1, length)?, &pos.narrow(0, 0, length)?)?;
    let wk1 = (wk1 * (strengths.previous * inverse_scale / square_norm(&pos)?.powi(2)))?;
    let wk2 = outer(&chosen(&embed)?, &chosen(&remapped)?)?;
    let norms = square_norm(&embed)? * square_norm(&remapped)?;
    let wk2 = (wk2 * (strengths.matching * inverse_scale / norms))?;
    let wo2 = outer(&unembed, &values)?;
    let wo2 = (wo2 * (strengths.output / (square_norm(&unembed)? * square_norm(&values)?)))?;
    for (name, memory) in [("layer0.wk", wk1), ("layer1.wk", wk2), ("layer1.wo", wo2)] {
        if let Some(param) = params.find(name) {
            params.var(param)?.set(&memory)?;
        }
    }
    Ok(())
}

/// Σ a[i] b[i]ᵀ
fn outer(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    linear(&a.t()?.contiguous()?, &b.t()?.contiguous()?, None)
}

/// Mean over rows of the squared norm.
fn square_norm(x: &Tensor) -> Result<f64> {
    Ok(f64::from(x.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?))
}
