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

use crate::nn::activation::Activation;
use crate::nn::attention::{Attention, attend};
use crate::nn::linear::{embed, embed_with_positions, linear, linear_into, sum};
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::{Rotary, sinusoidal};
use crate::nn::tap::{Tap, through};
use crate::nn::tape::{Tape, Value};
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};
use crate::record::weights::Weights;

use super::anatomy::Anatomy;
use super::readout::{Readout, Writes};
use super::{Architecture, Input, Layout, Model, Output};

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

crate::knobs! {
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
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
        Ok(Box::new(Network::new(self, vocab, length, params)?))
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

/// The matrices of one attention layer; queries are the residual stream itself.
struct Layer {
    wk: Param,
    wv: Param,
    wo: Param,
}

enum WF {
    None,
    Linear(Param),
    Mlp(Param, Param),
}

struct Network {
    layout: Layout,
    scale: f32,
    embed: Param,
    /// None under rotary positions.
    positions: Option<Param>,
    rotary: Option<Rotary>,
    layers: [Layer; 2],
    feed_forward: WF,
    /// None when tied to the embeddings.
    unembed: Option<Param>,
}

impl Network {
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
            FeedForward::None => WF::None,
            FeedForward::Linear => WF::Linear(square(params, "layer1.wf", true)?),
            FeedForward::Mlp => {
                let (hidden, inner) = (4 * width, Init::Uniform(bound / 2.0));
                WF::Mlp(
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

impl Model for Network {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (_, length) = input.tokens.dims2()?;
        if length > self.layout.length {
            return Err(Error::usage(format!(
                "a sequence of {length} tokens is longer than the {} positions of this network; shorten it",
                self.layout.length
            )));
        }
        let x0 = self.embedded(params, input.tokens)?;
        let x0 = through(tap, 0, Point::Embed, x0)?;
        let x0 = through(tap, 0, Point::ResidPre, x0)?;
        let x1 = self.first(params, input.tokens, &x0, tap)?;
        let x1 = through(tap, 0, Point::ResidPost, x1)?;
        let x1 = through(tap, 1, Point::ResidPre, x1)?;
        let x2 = self.second(params, &x1, tap)?;
        let x3 = self.fed_forward(params, x2, tap)?;
        let x3 = through(tap, 1, Point::ResidPost, x3)?;
        let x3 = through(tap, 1, Point::Final, x3)?;
        let logits = through(tap, 1, Point::Logits, self.reads(params).logits(&x3)?)?;
        Ok(Output { logits, state: None })
    }

    fn record<'a>(&'a self, tape: &mut Tape<'a>) -> Result<Option<Value>> {
        let x0 = tape.embed(self.embed, self.positions)?;
        let x1 = self.record_first(tape, x0)?;
        let layer = &self.layers[1];
        let (keys, values) = (tape.linear(x1, layer.wk, None)?, tape.linear(x1, layer.wv, None)?);
        let z = tape.attend(self.attention(1), x1, keys, values)?;
        let (x1, z) = (tape.in_loss(x1), tape.in_loss(z));
        let x2 = tape.linear_into(x1, z, layer.wo, None)?;
        let x3 = match self.feed_forward {
            WF::None => x2,
            WF::Linear(wf) => tape.linear_into(x2, x2, wf, None)?,
            WF::Mlp(wf1, wf2) => {
                let hidden = tape.linear(x2, wf1, None)?;
                let hidden = tape.activate(hidden, Activation::Relu);
                tape.linear_into(x2, hidden, wf2, None)?
            }
        };
        Ok(Some(match self.unembed {
            Some(unembed) => tape.linear(x3, unembed, None)?,
            None => {
                let logits = tape.linear(x3, self.embed, None)?;
                tape.scale(logits, 1.0 / self.layout.width as f32)
            }
        }))
    }

    fn readout(&self, params: &Params) -> Option<Readout> {
        Some(self.reads(params))
    }

    fn writes(&self, params: &Params, layer: usize) -> Result<Option<Writes>> {
        let Some(layer) = self.layers.get(layer) else { return Ok(None) };
        Writes::new(Some(&params.get(layer.wo)), None, 1, self.layout.width, params).map(Some)
    }
}

impl Network {
    fn embedded(&self, params: &Params, tokens: &Tensor) -> Result<Tensor> {
        let table = params.get(self.embed);
        match self.positions {
            Some(positions) => embed_with_positions(&table, &params.get(positions), tokens),
            None => embed(&table, tokens),
        }
    }

    fn attention(&self, layer: usize) -> Attention {
        Attention { layer, heads: 1, scale: self.scale }
    }

    fn record_first<'a>(&'a self, tape: &mut Tape<'a>, x0: Value) -> Result<Value> {
        let layer = &self.layers[0];
        let mut queries = x0;
        let mut keys = tape.linear(x0, layer.wk, None)?;
        if let Some(rotary) = &self.rotary {
            (queries, keys) = (tape.rotate(queries, rotary)?, tape.rotate(keys, rotary)?);
        }
        let written = match self.written_tables(tape.params())? {
            Some((tokens, positions)) => tape.look_up(&tokens, &positions)?,
            None => tape.linear_fixed(x0, self.written_matrix(tape.params())?)?,
        };
        let attended = tape.attend(self.attention(0), queries, keys, written)?;
        tape.sum(x0, attended)
    }

    /// Residual stream after the first layer; `x0` is `[batch, pos, width]`.
    fn first(
        &self,
        params: &Params,
        tokens: &Tensor,
        x0: &Tensor,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let layer = &self.layers[0];
        let keys = self.rotated(&linear(x0, &params.get(layer.wk), None)?)?;
        let queries = self.rotated(x0)?;
        let how = self.attention(0);
        let attended = if wants_any(tap, 0, &[Point::V, Point::Z]) {
            let values = || linear(x0, &params.get(layer.wv), None);
            linear(&attend(how, &queries, &keys, values, tap)?, &params.get(layer.wo), None)?
        } else {
            let changed = wants_any(tap, 0, &[Point::Embed, Point::ResidPre]);
            let written = || self.written_first(params, tokens, x0, changed);
            attend(how, &queries, &keys, written, tap)?
        };
        let attended = through(tap, 0, Point::AttnOut, attended)?;
        through(tap, 0, Point::ResidMid, sum(x0, &attended)?)
    }

    /// `W_O1 W_V1 x0`: both matrices are frozen, so their product is made once; and where embeddings are frozen
    /// too, this depends only on token and position, and is a table, unless a tap may have changed `x0`.
    fn written_first(
        &self,
        params: &Params,
        tokens: &Tensor,
        x0: &Tensor,
        changed: bool,
    ) -> Result<Tensor> {
        match self.written_tables(params)?.filter(|_| !changed) {
            Some((tables, at)) => embed_with_positions(&tables, &at, tokens),
            None => linear(x0, &self.written_matrix(params)?, None),
        }
    }

    /// `W_O1 W_V1`
    fn written_matrix(&self, params: &Params) -> Result<Tensor> {
        let layer = &self.layers[0];
        params.derived("layer0.wo·wv", || {
            linear(&params.get(layer.wo), &params.get(layer.wv).t()?, None)
        })
    }

    /// `W_O1 W_V1` of each token and of each position, where these never change.
    fn written_tables(&self, params: &Params) -> Result<Option<(Tensor, Tensor)>> {
        let Some(positions) = self.positions.filter(|_| !params.is_trained(self.embed)) else {
            return Ok(None);
        };
        let product = self.written_matrix(params)?;
        let of = |name, table| params.derived(name, || linear(&params.get(table), &product, None));
        Ok(Some((of("layer0.wo·wv·embed", self.embed)?, of("layer0.wo·wv·pos", positions)?)))
    }

    /// Residual stream after the second attention; `x1` is `[batch, pos, width]`.
    fn second(&self, params: &Params, x1: &Tensor, tap: &mut dyn Tap) -> Result<Tensor> {
        let layer = &self.layers[1];
        let keys = linear(x1, &params.get(layer.wk), None)?;
        let values = || linear(x1, &params.get(layer.wv), None);
        let z = attend(self.attention(1), x1, &keys, values, tap)?;
        let x2 = self.written(1, Point::AttnOut, x1, &z, &params.get(layer.wo), tap)?;
        through(tap, 1, Point::ResidMid, x2)
    }

    fn fed_forward(&self, params: &Params, x2: Tensor, tap: &mut dyn Tap) -> Result<Tensor> {
        match self.feed_forward {
            WF::None => Ok(x2),
            WF::Linear(wf) => self.written(1, Point::MlpOut, &x2, &x2, &params.get(wf), tap),
            WF::Mlp(wf1, wf2) => {
                let hidden = linear(&x2, &params.get(wf1), None)?.relu()?;
                let hidden = through(tap, 1, Point::MlpPost, hidden)?;
                self.written(1, Point::MlpOut, &x2, &hidden, &params.get(wf2), tap)
            }
        }
    }

    /// `residual + x · wᵀ`, in one go where nobody watches what is written.
    fn written(
        &self,
        layer: usize,
        point: Point,
        residual: &Tensor,
        x: &Tensor,
        w: &Tensor,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        if !wants_any(tap, layer, &[point]) {
            return linear_into(residual, x, w);
        }
        sum(residual, &through(tap, layer, point, linear(x, w, None)?)?)
    }

    fn reads(&self, params: &Params) -> Readout {
        match self.unembed {
            Some(unembed) => Readout::plain(params.get(unembed)),
            // E / √width as W_U, and logits divided by √width once more.
            None => Readout {
                scale: 1.0 / self.layout.width as f64,
                ..Readout::plain(params.get(self.embed))
            },
        }
    }

    fn rotated(&self, x: &Tensor) -> Result<Tensor> {
        self.rotary.as_ref().map_or_else(|| Ok(x.clone()), |rotary| rotary.rotate(x, 0))
    }
}

fn wants_any(tap: &dyn Tap, layer: usize, points: &[Point]) -> bool {
    points.iter().any(|&point| tap.wants(Site { layer, point }))
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
        Ok::<Tensor, Error>(params.var(param).as_detached_tensor())
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
            params.var(param).set(&memory)?;
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
