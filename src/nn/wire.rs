//! What a network is wired with: every operation once over tensors, under a tap, and once on the tape.

use candle_core::{Tensor, TensorId};

use super::activation::{Activation, swiglu};
use super::attention::{Attention, attend};
use super::linear::{embed, embed_with_positions, linear, linear_into, sum};
use super::norm::Norm;
use super::params::{Param, Params};
use super::position::Rotary;
use super::tap::{Tap, through};
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

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
}

/// What the heads of a layer read, and where they write.
pub struct Heads<'x, X> {
    /// `[batch, pos, head · dim]`, heads side by side, rotated if they are to be.
    pub queries: &'x X,
    /// As the queries.
    pub keys: &'x X,
    /// What values are made of, `[batch, pos, width]`.
    pub read: &'x X,
    /// `W_V`, `[head · dim, width]`; `None`: values are what is read.
    pub values: Option<Map>,
    /// `W_O`, `[width, head · dim]`; `None`: what was attended to is added as it is.
    pub outputs: Option<Map>,
    /// `[batch, pos, width]`
    pub residual: &'x X,
    /// Nothing later looks at other positions, so those outside of the loss may go.
    pub last: bool,
}

/// Carries out the operations of a network: over tensors with a tap ([`Watched`]), or on slices with a way back
/// ([`super::tape::Tape`]). `'m`: as long as the network lives.
///
/// All values are rows, `[batch, pos, ..]`.
pub trait Wire<'m> {
    type X: Clone;

    /// A named place: what goes on from here instead of `x`.
    ///
    /// # Errors
    /// Those of the tap.
    fn at(&mut self, layer: usize, point: Point, x: Self::X) -> Result<Self::X>;

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

    /// `residual + x · wᵀ + bias`; the tap sees at `site` what is written.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn write(&mut self, site: Site, residual: &Self::X, x: &Self::X, map: Map) -> Result<Self::X>;

    /// `residual + W_O · attention(queries, keys) over W_V read`, causal; see [`attend`].
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn attend(&mut self, how: Attention, heads: Heads<'_, Self::X>) -> Result<Self::X>;

    /// Rotates queries or keys by their position.
    ///
    /// # Errors
    /// When the rotations were made for fewer positions or other heads.
    fn rotate(&mut self, x: &Self::X, rotary: &'m Rotary) -> Result<Self::X>;

    /// LayerNorm, RMSNorm, or `x` itself.
    ///
    /// # Errors
    /// When the norm is of another width.
    fn normalize(&mut self, x: &Self::X, norm: &'m Norm) -> Result<Self::X>;

    /// `f(x)`; `x` is not read again.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn activate(&mut self, x: Self::X, activation: Activation) -> Result<Self::X>;

    /// `gate · sigmoid(gate) · up`
    ///
    /// # Errors
    /// When the widths differ.
    fn swiglu(&mut self, gate: &Self::X, up: &Self::X) -> Result<Self::X>;

    /// `factor · x`
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn scale(&mut self, x: &Self::X, factor: f32) -> Result<Self::X>;

    /// The rows of `x` that are in the loss, where others need not be computed.
    fn in_loss(&mut self, x: Self::X) -> Self::X;
}

/// The parameters that a sequence is embedded with.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub tokens: Param,
    pub positions: Option<Param>,
}

/// `W_O W_V` of a layer with one head, where neither is ever trained: made once, and what is attended to is then what is
/// written.
///
/// # Errors
/// When it cannot be made.
pub(super) fn fixed_product<X>(
    params: &Params,
    how: Attention,
    heads: &Heads<'_, X>,
) -> Result<Option<Tensor>> {
    let (Some(values), Some(outputs)) = (heads.values, heads.outputs) else { return Ok(None) };
    let never = |map: Map| map.bias.is_none() && !params.is_trained(map.weight);
    let (w_v, w_o) = (params.var(values.weight), params.var(outputs.weight));
    let is_square = w_v.dims() == w_o.dims() && w_v.dim(0)? == w_v.dim(1)?;
    if how.heads != 1 || !never(values) || !never(outputs) || !is_square {
        return Ok(None);
    }
    let name = format!("{} {}", params.name(outputs.weight), params.name(values.weight));
    let make = || linear(&params.get(outputs.weight), &params.get(values.weight).t()?, None);
    params.derived(&name, make).map(Some)
}

/// Embeddings that are never trained, mapped by what [`fixed_product`] gave for a layer: `[vocab, width]` and
/// `[length, width]`.
///
/// # Errors
/// When they cannot be made.
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
        params.derived(&name, || linear(&params.get(table), product, None))
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
    /// `[batch, pos, inputs]`
    values: Option<&'a Tensor>,
    tap: &'a mut dyn Tap,
    /// The embedding, as long as no tap has changed it.
    embedded: Option<(TensorId, Tables)>,
}

impl<'a> Watched<'a> {
    pub fn new(params: &'a Params, tokens: &'a Tensor, tap: &'a mut dyn Tap) -> Self {
        Self { params, tokens, values: None, tap, embedded: None }
    }

    /// The same over sequences that carry real numbers, `[batch, pos, inputs]`, if they do.
    #[must_use]
    pub fn carrying(self, values: Option<&'a Tensor>) -> Self {
        Self { values, ..self }
    }

    fn wants(&self, layer: usize, point: Point) -> bool {
        self.tap.wants(Site { layer, point })
    }

    /// The tables that `x` is rows of, if it is the embedding and no tap has changed it.
    fn tables(&self, x: &Tensor) -> Option<Tables> {
        self.embedded.filter(|(id, _)| *id == x.id()).map(|(_, tables)| tables)
    }
}

impl<'m> Wire<'m> for Watched<'_> {
    type X = Tensor;

    fn at(&mut self, layer: usize, point: Point, x: Tensor) -> Result<Tensor> {
        through(self.tap, layer, point, x)
    }

    fn embed(&mut self, tokens: Param, positions: Option<Param>) -> Result<Tensor> {
        let table = self.params.get(tokens);
        let x = match positions {
            Some(positions) => {
                embed_with_positions(&table, &self.params.get(positions), self.tokens)?
            }
            None => embed(&table, self.tokens)?,
        };
        self.embedded = Some((x.id(), Tables { tokens, positions }));
        Ok(x)
    }

    fn values(&mut self, x: &Tensor, map: Map) -> Result<Tensor> {
        let inputs = self.params.var(map.weight).dim(1)?;
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

    fn write(&mut self, site: Site, residual: &Tensor, x: &Tensor, map: Map) -> Result<Tensor> {
        if map.bias.is_none() && !self.tap.wants(site) {
            // In one go where nobody watches what is written.
            return linear_into(residual, x, &self.params.get(map.weight));
        }
        let written = self.linear(x, map)?;
        sum(residual, &self.at(site.layer, site.point, written)?)
    }

    fn attend(&mut self, how: Attention, heads: Heads<'_, Tensor>) -> Result<Tensor> {
        let Heads { queries, keys, read, values, outputs, residual, .. } = heads;
        let site = Site { layer: how.layer, point: Point::AttnOut };
        let (params, tokens, tables) = (self.params, self.tokens, self.tables(read));
        let is_watched = self.wants(how.layer, Point::V) || self.wants(how.layer, Point::Z);
        let product = if is_watched { None } else { fixed_product(params, how, &heads)? };
        let values = || match &product {
            None => mapped(params, read, values),
            Some(product) => match fixed_tables(params, tables, how.layer, product)? {
                Some((table, places)) => embed_with_positions(&table, &places, tokens),
                None => linear(read, product, None),
            },
        };
        let z = attend(how, queries, keys, values, self.tap)?;
        match outputs.filter(|_| product.is_none()) {
            Some(outputs) => self.write(site, residual, &z, outputs),
            None => sum(residual, &self.at(site.layer, site.point, z)?),
        }
    }

    fn rotate(&mut self, x: &Tensor, rotary: &'m Rotary) -> Result<Tensor> {
        rotary.rotate(x, 0)
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

    fn scale(&mut self, x: &Tensor, factor: f32) -> Result<Tensor> {
        Ok((x * f64::from(factor))?)
    }

    fn in_loss(&mut self, x: Tensor) -> Tensor {
        x
    }
}

fn mapped(params: &Params, x: &Tensor, map: Option<Map>) -> Result<Tensor> {
    let Some(map) = map else { return Ok(x.clone()) };
    let bias = map.bias.map(|bias| params.get(bias));
    linear(x, &params.get(map.weight), bias.as_ref())
}
