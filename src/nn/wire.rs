//! What a network is wired with: every operation once over tensors, under a tap, and once on the tape.

use candle_core::{DType, Tensor, TensorId};

use super::activation::{self, Activation, swiglu};
use super::attention::plain::capped;
use super::attention::{Attention, attend, softmax};
use super::kernel::recurrent::Cell;
use super::linear::{check_tokens, embed, embed_with_positions, linear, linear_into, sum};
use super::norm::Norm;
use super::params::{Init, Param, Params};
use super::position::{Rotary, Run, add_positions};
use super::tap::{Part, Tap, Untapped, Within};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};

/// A linear map: weight `[out, in]` as in torch, bias `[out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    pub weight: Param,
    pub bias: Option<Param>,
}

impl Map {
    /// Without a bias.
    pub fn plain(weight: Param) -> Self {
        Self { weight, bias: None }
    }

    /// Adds a trained matrix `[out, in]` and its bias `[out]`, called `NAME` and `NAME_bias`.
    ///
    /// # Errors
    /// When a parameter is called that already.
    pub fn with_bias(
        params: &mut Params,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Self> {
        let weight = params.add(name, &shape, init, true)?;
        let bias = params.add(&format!("{name}_bias"), &shape[..1], init, true)?;
        Ok(Self { weight, bias: Some(bias) })
    }
}

/// What the heads of a layer read, and where they write.
pub struct Heads<'x, X> {
    /// `[batch, query, head · dim]`, heads side by side, rotated if they are to be.
    pub queries: &'x X,
    /// `[batch, key, kv head · dim]`: mostly as the queries; there may be more of them, and fewer heads.
    pub keys: &'x X,
    /// What values are made of, `[batch, key, width]`.
    pub read: &'x X,
    /// `W_V`, `[kv head · dim, width]`; `None`: values are what is read.
    pub values: Option<Map>,
    /// `W_O`, `[width, head · dim]`; `None`: what was attended to is added as it is.
    pub outputs: Option<Map>,
    /// What the result is added to, `[batch, pos, width]`; `None`: nothing, and the place `attn_out` is passed by whoever adds it.
    pub residual: Option<&'x X>,
    /// Nothing later looks at other positions, so those outside of the loss may go.
    pub last: bool,
}

/// A layer of recurrent units.
#[derive(Clone, Copy)]
pub struct Units<'x, X> {
    pub layer: usize,
    pub cell: Cell,
    /// What is computed between the states, place by place.
    pub within: &'x [Point],
    /// `W_i x + b_i` at all positions, `[batch, pos, blocks · width]`.
    pub inputs: &'x X,
    /// `W_h`, `[blocks · width, width]`.
    pub recurrent: Map,
    /// The hidden state before them and, if there is one, the cell, `[batch, 1, width]` each.
    pub before: &'x [X],
}

/// An axis along which values are cut and put side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    Positions,
    /// The numbers of each row.
    Columns,
}

impl Along {
    fn axis(self) -> usize {
        match self {
            Self::Positions => 1,
            Self::Columns => 2,
        }
    }
}

/// Carries out the operations of a network: over tensors with a tap ([`Watched`]), or on slices with a way back
/// ([`super::tape::Tape`]). `'m`: as long as the network lives.
///
/// All values are rows, `[batch, pos, width]`; most have as many positions as are read at a time.
pub trait Wire<'m> {
    type X: Clone;

    /// A named place: what goes on from here instead of `x`.
    fn at(&mut self, layer: usize, point: Point, x: Self::X) -> Result<Self::X> {
        self.at_step(layer, point, 0, x)
    }

    /// The same of `x` whose first position is the `step`-th of those that are read: a network that goes on position after
    /// position passes its state here at each.
    fn at_step(&mut self, layer: usize, point: Point, step: usize, x: Self::X) -> Result<Self::X>;

    /// The same of memory tokens, `[batch, memory, width]`.
    fn at_memory(&mut self, layer: usize, point: Point, x: Self::X) -> Result<Self::X>;

    /// From here on, rows that are more than the positions that are read begin with so many memory tokens; the others that are
    /// too many come after the positions.
    fn begin_with_memory(&mut self, tokens: usize);

    /// What is wired within passes no places: a pass through the layers beside that of the sequence itself.
    ///
    /// # Errors
    /// Those of what is wired.
    fn aside<T>(&mut self, wired: impl FnOnce(&mut Self) -> Result<T>) -> Result<T>;

    /// Rows of a token table, plus rows of a position table: `[vocab, width]` and `[length, width]`.
    ///
    /// # Errors
    /// When a token is none of the table's, or the sequences are longer than the positions.
    fn embed(&mut self, tokens: Param, positions: Option<Param>) -> Result<Self::X>;

    /// `x + values · wᵀ + bias`, with the real numbers that positions carry, `[batch, pos, inputs]`.
    ///
    /// # Errors
    /// When they carry none, or another number of them than the map reads.
    fn values(&mut self, x: &Self::X, map: Map) -> Result<Self::X>;

    /// `x · wᵀ + bias`
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn linear(&mut self, x: &Self::X, map: Map) -> Result<Self::X>;

    /// `x · wᵀ` with a square matrix that gets no gradient from here.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn linear_held(&mut self, x: &Self::X, weight: Param) -> Result<Self::X>;

    /// `residual + x · wᵀ + bias`; the tap sees at `site` what is written.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn write(&mut self, site: Site, residual: &Self::X, x: &Self::X, map: Map) -> Result<Self::X>;

    /// `residual + W_O · attention(queries, keys) over W_V read`; see [`attend`].
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn attend(&mut self, how: Attention, heads: Heads<'_, Self::X>) -> Result<Self::X>;

    /// Rotates queries or keys by their position, of which the first is `start`.
    ///
    /// # Errors
    /// When the rotations were made for fewer positions or other heads.
    fn rotate(&mut self, x: &Self::X, rotary: &'m Rotary, start: usize) -> Result<Self::X>;

    /// The same where the rows of each sequence stand in several runs of places.
    ///
    /// # Errors
    /// Likewise, and when the runs are not as many rows.
    fn rotate_runs(&mut self, x: &Self::X, rotary: &'m Rotary, runs: &[Run]) -> Result<Self::X> {
        let (mut parts, mut from) = (Vec::with_capacity(runs.len()), 0);
        for run in runs.iter().filter(|run| run.count > 0) {
            let rows = self.slice(x, Along::Positions, from, run.count)?;
            parts.push(self.rotate(&rows, rotary, run.start)?);
            from += run.count;
        }
        self.concat(&parts, Along::Positions)
    }

    /// LayerNorm, RMSNorm, or `x` itself.
    ///
    /// # Errors
    /// When the norm is of another width.
    fn normalize(&mut self, x: &Self::X, norm: &'m Norm) -> Result<Self::X>;

    /// `f(x)`; `x` is not read again.
    fn activate(&mut self, x: Self::X, activation: Activation) -> Result<Self::X>;

    /// `gate · sigmoid(gate) · up`
    ///
    /// # Errors
    /// When the widths differ.
    fn swiglu(&mut self, gate: &Self::X, up: &Self::X) -> Result<Self::X>;

    /// The numbers of each row as shares that sum to 1, by their exponentials.
    ///
    /// # Errors
    /// When there are none.
    fn softmax(&mut self, x: &Self::X) -> Result<Self::X>;

    /// The states of recurrent units at all positions, `[batch, pos, vectors · width]`, in one go. `None`: this takes going on position
    /// after position, operation by operation, because someone watches a place on the way or may change it.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn recur(&mut self, _units: Units<'_, Self::X>) -> Result<Option<Self::X>> {
        Ok(None)
    }

    /// `x · softmax(x)`, row by row (`SoLU`; Elhage et al. 2022): where a network is read, and not trained.
    ///
    /// # Errors
    /// Where gradients are wanted.
    fn solu(&mut self, _x: &Self::X) -> Result<Self::X> {
        Err(Error::internal("SoLU is read here and not trained"))
    }

    /// `cap · tanh(x / cap)`: where a network is read, and not trained.
    ///
    /// # Errors
    /// Where gradients are wanted.
    fn cap(&mut self, _x: &Self::X, _cap: f32) -> Result<Self::X> {
        Err(Error::internal("capped numbers are read here and not trained"))
    }

    /// `factor · x`
    fn scale(&mut self, x: &Self::X, factor: f32) -> Result<Self::X>;

    /// `a + b`, of the same shape.
    ///
    /// # Errors
    /// When the shapes differ.
    fn sum(&mut self, a: &Self::X, b: &Self::X) -> Result<Self::X>;

    /// `a · b`, number by number, of the same shape.
    ///
    /// # Errors
    /// When the shapes differ.
    fn product(&mut self, a: &Self::X, b: &Self::X) -> Result<Self::X>;

    /// `a + share · (b - a)`, number by number: what a gate lets through.
    ///
    /// # Errors
    /// When the shapes differ.
    fn mix(&mut self, a: &Self::X, b: &Self::X, share: &Self::X) -> Result<Self::X> {
        let minus_a = self.scale(a, -1.0)?;
        let change = self.sum(b, &minus_a)?;
        let passed = self.product(share, &change)?;
        self.sum(a, &passed)
    }

    /// `count` positions or columns, from `from` on.
    ///
    /// # Errors
    /// When they are not all there.
    fn slice(&mut self, x: &Self::X, along: Along, from: usize, count: usize) -> Result<Self::X>;

    /// The same numbers in rows of another width, `[batch, pos · width / new, new]`: several rows side by side, or a row in several.
    ///
    /// # Errors
    /// When a sequence is not as many rows.
    fn in_rows_of(&mut self, x: &Self::X, width: usize) -> Result<Self::X>;

    /// The columns in as many parts, `[batch, pos, width]` each.
    ///
    /// # Errors
    /// When there are fewer.
    fn split<const N: usize>(&mut self, x: &Self::X, width: usize) -> Result<[Self::X; N]> {
        let parts = (0..N).map(|i| self.slice(x, Along::Columns, i * width, width));
        let parts: Vec<Self::X> = parts.collect::<Result<_>>()?;
        parts.try_into().map_err(|_| Error::internal("parts of a row got lost"))
    }

    /// One after the other.
    ///
    /// # Errors
    /// When there are none, or they differ in what stays.
    fn concat(&mut self, parts: &[Self::X], along: Along) -> Result<Self::X>;

    /// The rows of a matrix `[pos, width]`, in every sequence: learned memory tokens.
    ///
    /// # Errors
    /// When it is no matrix.
    fn repeat(&mut self, rows: Param) -> Result<Self::X>;

    /// Zeros, `[batch, positions, width]`: a state before anything was read.
    fn zeros(&mut self, positions: usize, width: usize) -> Result<Self::X>;

    /// The same numbers, which pass no gradient on.
    fn detach(&mut self, x: &Self::X) -> Result<Self::X>;

    /// Whether `x` passes a gradient on, so that a loss of it teaches something.
    fn learns(&self, x: &Self::X) -> bool;

    /// Adds to the loss of a sequence the mean squared difference of these numbers from those that are wanted, which pass no
    /// gradient on. A sequence counts as much as its positions do in the loss of the logits.
    ///
    /// # Errors
    /// When the shapes differ.
    fn lose(&mut self, x: &Self::X, wanted: &Self::X) -> Result<()>;

    /// The first of the positions of each sequence that are read.
    fn first(&self) -> usize;

    /// How many positions of each sequence are read.
    fn positions(&self) -> usize;

    /// What [`Self::carry`] left when the segment before was read; nothing at the beginning of the sequences.
    fn carried(&mut self) -> Vec<Self::X>;

    /// Leaves the state for the segment that is read next.
    fn carry(&mut self, state: Vec<Self::X>);

    /// The rows of `x` that are in the loss, where others need not be computed.
    fn in_loss(&mut self, x: Self::X) -> Self::X;

    /// The layer that the pass begins with, and what it reads; `None`: it begins with the embedding.
    fn resumed(&mut self) -> Option<(usize, Self::X)> {
        None
    }

    /// The rows of `x` whose logits are asked for, the last of them, and which is the first.
    fn asked(&mut self, x: Self::X) -> Result<(Self::X, usize)> {
        Ok((x, 0))
    }
}

/// The parameters that a sequence is embedded with.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub tokens: Param,
    pub positions: Option<Param>,
}

/// `W_O W_V` of a layer with one head, where neither is ever trained: made once, and what is attended to is then what is
/// written.
pub(super) fn fixed_product<X>(
    params: &Params,
    how: Attention,
    heads: &Heads<'_, X>,
) -> Result<Option<Tensor>> {
    let (Some(values), Some(outputs)) = (heads.values, heads.outputs) else { return Ok(None) };
    let never = |map: Map| {
        let Map { weight, bias } = map;
        bias.is_none() && !params.is_trained(weight) && !params.is_stored(weight)
    };
    let (w_v, w_o) = (params.dims(values.weight), params.dims(outputs.weight));
    let is_square = w_v == w_o && w_v.first() == w_v.last();
    if how.heads != 1 || !never(values) || !never(outputs) || !is_square {
        return Ok(None);
    }
    let name = format!("{} {}", params.name(outputs.weight), params.name(values.weight));
    let make = || linear(&params.get(outputs.weight)?, &params.get(values.weight)?.t()?, None);
    params.derived(&name, make).map(Some)
}

/// Embeddings that are never trained, mapped by what [`fixed_product`] gave for a layer: `[vocab, width]` and
/// `[length, width]`.
pub(super) fn fixed_tables(
    params: &Params,
    tables: Option<Tables>,
    layer: usize,
    product: &Tensor,
) -> Result<Option<(Tensor, Tensor)>> {
    let never = |tables: &Tables| {
        let mut all = tables.positions.into_iter().chain([tables.tokens]);
        all.all(|table| !params.is_trained(table))
    };
    let Some(tables) = tables.filter(never) else { return Ok(None) };
    let Some(positions) = tables.positions else { return Ok(None) };
    let of = |table: Param| {
        let name = format!("layer {layer} writes {}", params.name(table));
        params.derived(&name, || linear(&params.get(table)?, product, None))
    };
    Ok(Some((of(tables.tokens)?, of(positions)?)))
}

/// Of a network that reads `inputs` real numbers at each position, and sequences that carry `carried`.
pub(super) fn check_values(inputs: usize, carried: usize) -> Result<()> {
    if inputs == carried {
        return Ok(());
    }
    Err(Error::usage(format!(
        "this network reads {inputs} real numbers at each position, and this sequence carries {carried}; ask about a sequence of the task that it was made for"
    )))
}

/// Over candle tensors, with a tap that sees and may change every place.
pub struct Watched<'a> {
    params: &'a Params,
    /// `[batch, pos]`, `u32`
    tokens: &'a Tensor,
    /// Which of the positions of the whole sequences they are.
    part: Part,
    /// Memory tokens before the positions.
    memory: usize,
    /// `[batch, pos, inputs]`
    values: Option<&'a Tensor>,
    tap: &'a mut dyn Tap,
    /// The embedding, as long as no tap has changed it.
    embedded: Option<(TensorId, Tables)>,
    /// What is carried from segment to segment.
    pub state: Vec<Tensor>,
    /// Of each layer the keys, and the values, of all that was read, where they are kept.
    pub cache: Option<Vec<Tensor>>,
    /// The first position whose logits are asked for.
    pub logits_from: usize,
    /// The layer that the pass begins with, and what it reads.
    pub from: Option<(usize, Tensor)>,
    /// No places are passed.
    is_aside: bool,
    /// Of each sequence the losses beside that of its logits, `[batch]`.
    pub beside: Option<Tensor>,
}

impl<'a> Watched<'a> {
    /// Reads `tokens` `[batch, pos]`, a part of each sequence.
    pub fn new(params: &'a Params, tokens: &'a Tensor, part: Part, tap: &'a mut dyn Tap) -> Self {
        Self {
            params,
            tokens,
            part,
            memory: 0,
            values: None,
            tap,
            embedded: None,
            state: Vec::new(),
            cache: None,
            logits_from: 0,
            from: None,
            is_aside: false,
            beside: None,
        }
    }

    /// The same over sequences that carry real numbers, `[batch, pos, inputs]`, if they do.
    #[must_use]
    pub fn carrying(self, values: Option<&'a Tensor>) -> Self {
        Self { values, ..self }
    }

    /// What goes on from a place that the tap may want.
    fn passed(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        if self.sees(site) { self.tap.at_part(site, part, x) } else { Ok(x) }
    }

    fn sees(&self, site: Site) -> bool {
        !self.is_aside && self.tap.wants(site)
    }

    /// What the stream is when `map` of a part of the sequences is written into it.
    fn written(
        &mut self,
        site: Site,
        part: Part,
        residual: &Tensor,
        x: &Tensor,
        map: Map,
    ) -> Result<Tensor> {
        let is_stored = self.params.is_stored(map.weight);
        if map.bias.is_none() && !is_stored && !self.sees(site) {
            // In one go where nobody watches what is written.
            return linear_into(residual, x, &self.params.get(map.weight)?);
        }
        let written = mapped(self.params, x, Some(map))?;
        sum(residual, &self.passed(site, part, written)?)
    }

    fn wants(&self, layer: usize, point: Point) -> bool {
        self.sees(Site { layer, point })
    }

    /// What is kept at a place of the cache.
    fn cached(&self, at: usize) -> Option<Tensor> {
        self.cache.as_ref()?.get(at).cloned()
    }

    /// Keeps what belongs at a place of the cache, if there is one; places are filled in order.
    fn keep(&mut self, at: usize, x: Tensor) {
        let Some(cache) = &mut self.cache else { return };
        match cache.get_mut(at) {
            Some(there) => *there = x,
            None => cache.push(x),
        }
    }

    /// Rows after those that are kept, and keeps them.
    fn with_cached(&mut self, at: usize, x: &Tensor) -> Result<Tensor> {
        let all = after(self.cached(at).as_ref(), x)?;
        self.keep(at, all.clone());
        Ok(all)
    }

    /// Rows of tables in files: only they are read.
    fn embed_stored(&self, tokens: Param, positions: Option<Param>) -> Result<Tensor> {
        let width = self.params.dims(tokens).last().copied().unwrap_or(1);
        let vocab = self.params.dims(tokens).first().copied().unwrap_or(0);
        check_tokens(vocab, self.tokens)?;
        let (batch, count) = self.tokens.dims2()?;
        let x = self.params.rows(tokens, &self.tokens.flatten_all()?.to_vec1()?)?;
        let x = x.reshape((batch, count, width))?;
        match positions {
            None => Ok(x),
            Some(positions) => add_positions(&x, &self.params.get(positions)?, self.part.from),
        }
    }

    /// The tables that `x` is rows of, if it is the embedding and no tap has changed it.
    fn tables(&self, x: &Tensor) -> Option<Tables> {
        self.embedded.filter(|(id, _)| *id == x.id()).map(|(_, tables)| tables)
    }
}

impl<'m> Wire<'m> for Watched<'_> {
    type X = Tensor;

    fn at_step(&mut self, layer: usize, point: Point, step: usize, x: Tensor) -> Result<Tensor> {
        let part = self.part.rows(step, x.dim(1)?, self.memory);
        self.passed(Site { layer, point }, part, x)
    }

    fn at_memory(&mut self, layer: usize, point: Point, x: Tensor) -> Result<Tensor> {
        let part = Part { len: 0, memory: x.dim(1)?, ..self.part };
        self.passed(Site { layer, point }, part, x)
    }

    fn begin_with_memory(&mut self, tokens: usize) {
        self.memory = tokens;
    }

    fn aside<T>(&mut self, wired: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.is_aside, true);
        let found = wired(self);
        self.is_aside = before;
        found
    }

    fn embed(&mut self, tokens: Param, positions: Option<Param>) -> Result<Tensor> {
        if self.params.is_stored(tokens) {
            return self.embed_stored(tokens, positions);
        }
        let table = self.params.get(tokens)?;
        let x = match positions {
            Some(positions) => {
                looked_up(&table, &self.params.get(positions)?, self.tokens, self.part.from)?
            }
            None => embed(&table, self.tokens)?,
        };
        self.embedded = Some((x.id(), Tables { tokens, positions }));
        Ok(x)
    }

    fn values(&mut self, x: &Tensor, map: Map) -> Result<Tensor> {
        let inputs = self.params.dims(map.weight).last().copied().unwrap_or(0);
        let carried = self.values.map_or(Ok(0), |values| values.dim(2))?;
        check_values(inputs, carried)?;
        match self.values {
            Some(values) => sum(x, &mapped(self.params, values, Some(map))?),
            None => Ok(x.clone()),
        }
    }

    fn linear(&mut self, x: &Tensor, map: Map) -> Result<Tensor> {
        mapped(self.params, x, Some(map))
    }

    fn linear_held(&mut self, x: &Tensor, weight: Param) -> Result<Tensor> {
        linear(x, &self.params.get(weight)?.detach(), None)
    }

    fn write(&mut self, site: Site, residual: &Tensor, x: &Tensor, map: Map) -> Result<Tensor> {
        let part = self.part.rows(0, x.dim(1)?, self.memory);
        self.written(site, part, residual, x, map)
    }

    fn attend(&mut self, how: Attention, heads: Heads<'_, Tensor>) -> Result<Tensor> {
        let Heads { queries, keys, read, values, outputs, residual, .. } = heads;
        let site = Site { layer: how.layer, point: Point::AttnOut };
        let tables = self.tables(read);
        let is_watched = self.wants(how.layer, Point::V) || self.wants(how.layer, Point::Z);
        let product = if is_watched { None } else { fixed_product(self.params, how, &heads)? };
        let Self { params, tokens, part, .. } = *self;
        let [keys_at, values_at] = [0, 1].map(|i| 2 * how.layer + i);
        let keys = &self.with_cached(keys_at, keys)?;
        let mut cached_values = self.cached(values_at);
        let values = || {
            let values = match &product {
                None => mapped(params, read, values)?,
                Some(product) => match fixed_tables(params, tables, how.layer, product)? {
                    Some((table, places)) => looked_up(&table, &places, tokens, part.from)?,
                    None => linear(read, product, None)?,
                },
            };
            let all = after(cached_values.as_ref(), &values)?;
            cached_values = Some(all.clone());
            Ok(all)
        };
        let part = part.of_attention(how, queries.dim(1)?, keys.dim(1)?);
        let tap: &mut dyn Tap = if self.is_aside { &mut Untapped } else { &mut *self.tap };
        let mut tap = Within { tap, part };
        let z = attend(how, queries, keys, values, &mut tap)?;
        if let Some(values) = cached_values {
            self.keep(values_at, values);
        }
        let Some(residual) = residual else { return mapped(params, &z, outputs) };
        match outputs.filter(|_| product.is_none()) {
            Some(outputs) => self.written(site, part, residual, &z, outputs),
            None => sum(residual, &self.passed(site, part, z)?),
        }
    }

    fn rotate(&mut self, x: &Tensor, rotary: &'m Rotary, start: usize) -> Result<Tensor> {
        rotary.rotate(x, start)
    }

    fn normalize(&mut self, x: &Tensor, norm: &'m Norm) -> Result<Tensor> {
        norm.forward(self.params, x)
    }

    fn activate(&mut self, x: Tensor, activation: Activation) -> Result<Tensor> {
        activation.forward(&x)
    }

    fn swiglu(&mut self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        swiglu(gate, up)
    }

    fn softmax(&mut self, x: &Tensor) -> Result<Tensor> {
        softmax(x)
    }

    fn solu(&mut self, x: &Tensor) -> Result<Tensor> {
        activation::solu(x)
    }

    fn cap(&mut self, x: &Tensor, cap: f32) -> Result<Tensor> {
        capped(x, cap)
    }

    fn scale(&mut self, x: &Tensor, factor: f32) -> Result<Tensor> {
        Ok((x * f64::from(factor))?)
    }

    fn sum(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        sum(a, b)
    }

    fn product(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok((a * b)?)
    }

    fn slice(&mut self, x: &Tensor, along: Along, from: usize, count: usize) -> Result<Tensor> {
        Ok(x.narrow(along.axis(), from, count)?)
    }

    fn in_rows_of(&mut self, x: &Tensor, width: usize) -> Result<Tensor> {
        Ok(x.reshape((x.dim(0)?, (), width))?)
    }

    fn concat(&mut self, parts: &[Tensor], along: Along) -> Result<Tensor> {
        Ok(Tensor::cat(parts, along.axis())?)
    }

    fn repeat(&mut self, rows: Param) -> Result<Tensor> {
        let rows = self.params.get(rows)?;
        let (positions, width) = rows.dims2()?;
        Ok(rows.broadcast_as((self.tokens.dim(0)?, positions, width))?)
    }

    fn zeros(&mut self, positions: usize, width: usize) -> Result<Tensor> {
        let shape = (self.tokens.dim(0)?, positions, width);
        Ok(Tensor::zeros(shape, DType::F32, self.params.device())?)
    }

    fn detach(&mut self, x: &Tensor) -> Result<Tensor> {
        Ok(x.detach())
    }

    fn learns(&self, x: &Tensor) -> bool {
        x.track_op()
    }

    fn lose(&mut self, x: &Tensor, wanted: &Tensor) -> Result<()> {
        let apart = (x - wanted.detach())?.sqr()?.mean((1, 2))?;
        self.beside = Some(match self.beside.take() {
            Some(before) => (before + apart)?,
            None => apart,
        });
        Ok(())
    }

    fn first(&self) -> usize {
        self.part.from
    }

    fn positions(&self) -> usize {
        self.tokens.dims().last().copied().unwrap_or(0)
    }

    fn carried(&mut self) -> Vec<Tensor> {
        self.state.clone()
    }

    fn carry(&mut self, state: Vec<Tensor>) {
        self.state = state;
    }

    fn in_loss(&mut self, x: Tensor) -> Tensor {
        x
    }

    fn resumed(&mut self) -> Option<(usize, Tensor)> {
        self.from.take()
    }

    fn asked(&mut self, x: Tensor) -> Result<(Tensor, usize)> {
        let count = x.dim(1)?;
        let from = self.logits_from.min(count.saturating_sub(1));
        Ok(if from == 0 { (x, 0) } else { (x.narrow(1, from, count - from)?, from) })
    }
}

/// Rows `[batch, pos, width]` after others.
fn after(before: Option<&Tensor>, x: &Tensor) -> Result<Tensor> {
    match before {
        None => Ok(x.clone()),
        Some(before) => Ok(Tensor::cat(&[before, x], Along::Positions.axis())?),
    }
}

/// Rows of a token table plus those of a position table from the `from`-th on, `[batch, pos, width]`.
fn looked_up(table: &Tensor, positions: &Tensor, tokens: &Tensor, from: usize) -> Result<Tensor> {
    if from == 0 {
        return embed_with_positions(table, positions, tokens);
    }
    let left = positions.dim(0)?.saturating_sub(from);
    embed_with_positions(table, &positions.narrow(0, from.min(positions.dim(0)?), left)?, tokens)
}

fn mapped(params: &Params, x: &Tensor, map: Option<Map>) -> Result<Tensor> {
    let Some(map) = map else { return Ok(x.clone()) };
    let bias = map.bias.map(|bias| params.get(bias)).transpose()?;
    linear(x, &params.kept(map.weight)?, bias.as_ref())
}
