//! One head as its matrices, with norms folded in: what it does with tokens and with positions.

use candle_core::Tensor;

use crate::base::error::{Error, Result};
use crate::measurement::Subject;
use crate::model::readout::Writes;
use crate::model::reads::{Linear, Reads};
use crate::nn::linear::linear;
use crate::nn::norm::HeldNorm;
use crate::nn::position::Rotary;

/// The heads of a layer.
pub(super) struct Layer {
    pub reads: Reads,
    /// `None` where heads do not just add to the stream.
    writes: Option<Writes>,
}

impl Layer {
    /// # Errors
    /// When the network does not say how its heads read.
    pub fn new(subject: Subject<'_>, layer: usize) -> Result<Self> {
        let Subject { model, params, .. } = subject;
        let reads = model.reads(params, layer)?.ok_or_else(|| silent(subject))?;
        Ok(Self { reads, writes: model.writes(params, layer)? })
    }

    pub fn head(&self, head: usize) -> Result<Head> {
        let (reads, how) = (&self.reads, self.reads.how);
        let shared = head / (how.heads / how.kv_heads.max(1)).max(1);
        let outputs = self.writes.as_ref().map(|writes| writes.matrix.get(head)).transpose()?;
        Ok(Head {
            queries: reads.queries.of_head(head, how.heads)?,
            keys: reads.keys.of_head(shared, how.kv_heads)?,
            values: reads.values.of_head(shared, how.kv_heads)?,
            outputs,
            scale: how.scale,
            norms: reads.head_norms.clone(),
            rotary: reads.rotary.clone(),
        })
    }
}

/// The matrices of one head.
pub(super) struct Head {
    /// `[dim, width]`
    pub queries: Linear,
    pub keys: Linear,
    pub values: Linear,
    /// What it writes of each number of its values, `[dim, width]`; `None` where heads do not just add to the stream.
    pub outputs: Option<Tensor>,
    /// Scores are `scale · query · key`.
    scale: f32,
    norms: Option<[HeldNorm; 2]>,
    rotary: Option<Rotary>,
}

/// Which side of the scores.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Query,
    Key,
}

/// Vectors that a head reads, `[row, width]`, with what the norm multiplies them by.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub rows: &'a Tensor,
    pub scale: f32,
    /// Whether the biases of queries and keys count with them: with tokens, and not once more with positions.
    pub with_bias: bool,
}

impl Head {
    /// Queries or keys of rows, `[row, dim]`; a query stands so many positions after its key.
    pub fn vectors(&self, side: Side, of: Rows<'_>, distance: usize) -> Result<Tensor> {
        let map = if side == Side::Query { &self.queries } else { &self.keys };
        let bias = map.bias.as_ref().filter(|_| of.with_bias);
        let mut x = linear(&(of.rows * f64::from(of.scale))?, &map.weight, bias)?;
        if let Some(norms) = &self.norms {
            x = norms[usize::from(side == Side::Key)].apply(&x)?;
        }
        match &self.rotary {
            Some(rotary) if side == Side::Query && distance > 0 => {
                Ok(rotary.rotate(&x.unsqueeze(1)?, distance)?.squeeze(1)?)
            }
            _ => Ok(x),
        }
    }

    /// Scores of each query with each key, `[query, key]`.
    pub fn scores(&self, queries: Rows<'_>, keys: Rows<'_>, distance: usize) -> Result<Tensor> {
        let queries = self.vectors(Side::Query, queries, distance)?;
        let keys = self.vectors(Side::Key, keys, distance)?;
        Ok((linear(&queries, &keys, None)? * f64::from(self.scale))?)
    }

    /// What it writes into the stream where it attends to nothing but such a row, `[row, width]`, without what it writes whatever it attends to.
    pub fn written(&self, rows: &Tensor, scale: f32) -> Result<Option<Tensor>> {
        let Some(outputs) = &self.outputs else { return Ok(None) };
        let values = linear(&(rows * f64::from(scale))?, &self.values.weight, None)?;
        Ok(Some(linear(&values, &outputs.t()?.contiguous()?, None)?))
    }
}

pub(super) fn silent(subject: Subject<'_>) -> Error {
    Error::usage(format!(
        "the network {} does not say what its heads read, so its circuits cannot be computed; its attention can be asked about",
        subject.model.layout().kind
    ))
}
