//! What the residual stream begins with, and how the heads of a layer read it: said once by a network, used by whoever reads
//! circuits off its matrices.

use candle_core::{D, Tensor};

use crate::base::error::Result;
use crate::nn::attention::Attention;
use crate::nn::norm::{HeldNorm, Norm};
use crate::nn::params::{Param, Params};
use crate::nn::position::Rotary;
use crate::nn::wire::Map;

/// The stream before the first layer, by handles: `scale · (tokens[token] + positions[position])`.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// `[vocab, width]`
    pub tokens: Param,
    /// `[length, width]`; `None` where no vector stands for a position.
    pub positions: Option<Param>,
    pub scale: f32,
}

/// How the heads of a layer read the stream, by handles.
#[derive(Clone, Copy)]
pub struct Reading<'m> {
    pub norm: Option<&'m Norm>,
    pub how: Attention,
    /// `[head · dim, width]`, head-major, each; `None`: the stream itself.
    pub queries: Option<Map>,
    pub keys: Option<Map>,
    pub values: Option<Map>,
    /// Of each head of the queries and of the keys, before they are rotated.
    pub head_norms: Option<&'m [Norm; 2]>,
    pub rotary: Option<&'m Rotary>,
    /// Scores have a part more, which depends on the distance of query and key.
    pub by_distance: bool,
}

impl Reading<'_> {
    /// The same with numbers, for a stream of `width`.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn numbers(self, width: usize, params: &Params) -> Result<Reads> {
        let norm = match self.norm {
            Some(norm) => HeldNorm::new(norm, params)?,
            None => HeldNorm::default(),
        };
        let linear = |map: Option<Map>| Linear::new(map, width, params)?.behind(&norm);
        let head_norm = |norm: &Norm| HeldNorm::new(norm, params);
        let head_norms = match self.head_norms {
            Some([queries, keys]) => Some([head_norm(queries)?, head_norm(keys)?]),
            None => None,
        };
        Ok(Reads {
            how: self.how,
            queries: linear(self.queries)?,
            keys: linear(self.keys)?,
            values: linear(self.values)?,
            norm,
            head_norms,
            rotary: self.rotary.cloned(),
            by_distance: self.by_distance,
        })
    }
}

/// How the heads of a layer read the stream, with the weights and the centring of the norm before them folded into their
/// matrices: where `s` is one over the root of the variance (or mean square) of the stream `x`, a query is `s · W x + b`.
pub struct Reads {
    pub how: Attention,
    pub queries: Linear,
    pub keys: Linear,
    pub values: Linear,
    /// The norm of the stream.
    pub norm: HeldNorm,
    pub head_norms: Option<[HeldNorm; 2]>,
    pub rotary: Option<Rotary>,
    pub by_distance: bool,
}

/// A linear map with numbers.
#[derive(Clone)]
pub struct Linear {
    /// `[out, width]`
    pub weight: Tensor,
    /// `[out]`
    pub bias: Option<Tensor>,
}

impl Linear {
    fn new(map: Option<Map>, width: usize, params: &Params) -> Result<Self> {
        let Some(map) = map else {
            return Ok(Self { weight: identity(width, params)?, bias: None });
        };
        let bias = map.bias.map(|bias| params.get(bias)).transpose()?;
        Ok(Self { weight: params.get(map.weight)?, bias })
    }

    /// The map of a stream that goes through a norm first, up to its scale.
    fn behind(self, norm: &HeldNorm) -> Result<Self> {
        let of_norm =
            norm.bias.as_ref().map(|bias| self.weight.broadcast_mul(bias)?.sum(D::Minus1));
        let bias = match (self.bias, of_norm.transpose()?) {
            (Some(own), Some(of_norm)) => Some((own + of_norm)?),
            (own, of_norm) => own.or(of_norm),
        };
        Ok(Self { weight: norm.folded(&self.weight)?, bias })
    }

    /// That of one of so many heads, `[dim, width]`.
    ///
    /// # Errors
    /// When the heads do not divide the map.
    pub fn of_head(&self, head: usize, heads: usize) -> Result<Self> {
        let dim = self.weight.dim(0)? / heads.max(1);
        let part = |x: &Tensor| x.narrow(0, head * dim, dim)?.contiguous();
        let bias = self.bias.as_ref().map(part).transpose()?;
        Ok(Self { weight: part(&self.weight)?, bias })
    }
}

/// `[width, width]`
pub(super) fn identity(width: usize, params: &Params) -> Result<Tensor> {
    let entry = |i: usize| if i / width == i % width { 1f32 } else { 0.0 };
    let values: Vec<f32> = (0..width * width).map(entry).collect();
    Ok(Tensor::from_vec(values, (width, width), params.device())?)
}
