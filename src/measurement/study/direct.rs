//! What parts of a network write straight into logits, with the scale of the final norm held at what it is.

use candle_core::Tensor;

use crate::base::error::{Error, Result};
use crate::measurement::Subject;
use crate::measurement::attribution::{dot, frozen_scale};
use crate::measurement::read::values;
use crate::model::readout::Readout;
use crate::nn::norm::NormKind;

/// Direct paths from what is written into the residual stream to logits. The gain of the final norm is part of what reads, and where
/// that norm takes off the mean, so does what reads.
///
/// A head is counted without the bias of its values, which adds the same to every sequence: TransformerLens counts it with the
/// bias of the layer, and published attributions with it.
pub struct Direct<'a> {
    subject: Subject<'a>,
    readout: Readout,
}

impl<'a> Direct<'a> {
    /// # Errors
    /// When the network does not say how its stream is read, or how its heads write.
    pub fn new(subject: Subject<'a>) -> Result<Self> {
        let Subject { model, params, .. } = subject;
        let layout = model.layout();
        let silent = |what: &str| {
            Error::usage(format!(
                "the network {} does not say {what}, so what a head writes into a logit cannot be told apart",
                layout.kind
            ))
        };
        let readout =
            model.readout(params)?.ok_or_else(|| silent("how its residual stream is read"))?;
        for (layer, &heads) in layout.heads.iter().enumerate() {
            if heads > 0 && model.writes(params, layer)?.is_none() {
                return Err(silent("how its heads write"));
            }
        }
        Ok(Self { subject, readout })
    }

    /// What reads tokens of the stream, `[token, width]`.
    pub fn rows(&self, tokens: &[u32]) -> Result<Tensor> {
        self.read(self.readout.rows(tokens)?)
    }

    /// What reads the mean of all tokens, `[1, width]`.
    pub fn mean(&self) -> Result<Tensor> {
        self.read(self.readout.mean()?)
    }

    fn read(&self, mut rows: Tensor) -> Result<Tensor> {
        if let Some(gain) = &self.readout.norm_weight {
            rows = rows.broadcast_mul(gain)?;
        }
        if self.readout.norm == NormKind::Layer {
            rows = rows.broadcast_sub(&rows.mean_keepdim(1)?)?;
        }
        Ok(rows)
    }

    /// What the final norm divides by at each row of a stream `[n, width]`, as a factor, and what logits are scaled by.
    pub fn scales(&self, stream: &Tensor) -> Result<Vec<f64>> {
        let width = stream.dim(1)?;
        let how = (self.readout.norm, self.readout.epsilon);
        values(stream, |all| {
            let rows = all.chunks_exact(width);
            rows.map(|x| self.readout.scale * frozen_scale(how, x, &mut vec![0.0; width])).collect()
        })
    }

    /// The logits of a few tokens of each row of a stream `[n, width]`, as if it were the last.
    pub fn read_logits(&self, stream: &Tensor, tokens: &[[u32; 2]]) -> Result<Vec<Vec<f32>>> {
        let all = self.readout.unembedded(stream)?.to_vec2::<f32>()?;
        let of = |(row, tokens): (Vec<f32>, &[u32; 2])| {
            tokens.iter().map(|id| row.get(*id as usize).copied().unwrap_or(f32::NAN)).collect()
        };
        Ok(all.into_iter().zip(tokens).map(of).collect())
    }

    /// What each head of a layer writes, `[head, n, width]`, of what it gathered, `[head, n, dim]`.
    pub fn written(&self, layer: usize, gathered: &Tensor) -> Result<Tensor> {
        let Subject { model, params, .. } = self.subject;
        let writes = model
            .writes(params, layer)?
            .ok_or_else(|| Error::internal("a layer that does not say how its heads write"))?;
        let gathered = match self.value_bias(layer, gathered.dims())? {
            Some(bias) => gathered.broadcast_sub(&bias)?,
            None => gathered.clone(),
        };
        Ok(gathered.contiguous()?.matmul(&writes.matrix)?)
    }

    /// Values `[n, dim]` of each head of keys, for each of `heads` that share them: `[head, n, dim]`.
    pub fn shared(&self, values: &Tensor, heads: usize) -> Result<Tensor> {
        let (kept, n, dim) = values.dims3()?;
        let each = values.reshape((kept, 1, n, dim))?;
        let all = each.broadcast_as((kept, heads / kept.max(1), n, dim))?;
        Ok(all.contiguous()?.reshape((heads, n, dim))?)
    }

    /// The bias of the values that each head gathers, `[head, 1, dim]`; none where there is none.
    fn value_bias(&self, layer: usize, gathered: &[usize]) -> Result<Option<Tensor>> {
        let params = self.subject.params;
        // As networks of other programs have it, or networks of this one.
        let names = ["wv_bias", "bv"].map(|name| format!("layer{layer}.{name}"));
        let Some(bias) = names.iter().find_map(|name| params.find(name)) else { return Ok(None) };
        let (heads, dim) = (gathered[0], gathered[2]);
        let bias = params.get(bias)?.detach();
        let kept = bias.elem_count() / dim.max(1);
        self.shared(&bias.reshape((kept, 1, dim))?, heads).map(Some)
    }
}

/// What is written, `[.., n, width]`, along `rows` `[n, width]`, each times its scale: `[.., n]` in order.
pub fn along(written: &Tensor, rows: &Tensor, scales: &[f64]) -> Result<Vec<f64>> {
    let width = rows.dim(1)?;
    values(rows, |rows| {
        values(written, |written| {
            let reads = rows.chunks_exact(width).zip(scales).cycle();
            let pairs = written.chunks_exact(width).zip(reads);
            pairs.map(|(written, (row, scale))| scale * dot(written, row)).collect()
        })
    })?
}
