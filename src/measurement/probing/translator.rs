//! The tuned lens of Belrose et al. 2023 (arXiv 2303.08112): for a boundary an affine change of the stream, after which the
//! network's own final norm and unembedding read it as they read the last one.

use candle_core::{DType, Device, Tensor};

use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::measurement::logit_lens::log_probabilities;
use crate::model::readout::Readout;
use crate::nn::norm::NormKind;

use super::Watch;
use super::data::Dataset;
use super::linear::{Fitted, Fitting, Linear, Standard};
use super::solve::{Search, minimize};

/// The map that changes nothing: `A = 0` and `b = 0`.
pub fn identity(dim: usize) -> Linear {
    Linear { outputs: dim, dim, weight: vec![0.0; dim * dim], bias: Some(vec![0.0; dim]) }
}

/// The streams `[example, dim]` after `x ↦ x + A x + b`.
///
/// # Errors
/// When the map is of streams of another width.
pub fn translated(map: &Linear, x: &[f32]) -> Result<Vec<f32>> {
    if map.outputs != map.dim {
        return Err(Error::usage("this lens was fitted to a stream of another width"));
    }
    let moved = map.scores(x)?;
    Ok(moved.into_iter().zip(x).map(|(moved, x)| narrow(f64::from(*x) + moved)).collect())
}

/// Fits the map that brings the reading of some streams as near as can be to the network's own `logits` `[example, vocab]`: the
/// mean KL(network ‖ lens) in nats, plus half of `decay` times the squared coefficients (of standardised streams, in units of their
/// size), searched downhill from the identity. So what is found never reads the examples worse than the logit lens. `None`: stopped
/// by `watch`.
///
/// # Errors
/// When a product fails, or a number is not finite.
pub fn fit(
    data: &Dataset,
    readout: &Readout,
    logits: &[f32],
    fitting: Fitting,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Fitted>> {
    let objective = Objective::new(data, readout, logits, fitting.decay)?;
    let search = Search { slope: fitting.slope, rounds: fitting.rounds };
    let start = vec![0.0; data.dim * (data.dim + 1)];
    let look = |w: &[f64]| objective.at(w);
    let Some(found) = minimize(doing, start, search, look, watch)? else { return Ok(None) };
    Ok(Some(Fitted {
        reader: objective.map(&found.at),
        slope: found.slope,
        rounds: found.rounds,
        converged: found.slope <= fitting.slope,
    }))
}

/// What is minimised, all in f64.
pub struct Objective {
    scale: Standard,
    /// Root of the mean square of the streams' coordinates: the unit in which they are moved.
    unit: f64,
    /// Standardised, with a column of ones: `[example, dim + 1]`.
    z: Tensor,
    /// `[example, dim]`
    x: Tensor,
    norm: NormKind,
    epsilon: f32,
    /// `[dim]`
    gain: Option<Tensor>,
    shift: Option<Tensor>,
    /// `[vocab, dim]`, times the scale of the logits.
    unembed: Tensor,
    /// `[vocab]`, likewise.
    bias: Option<Tensor>,
    /// The network's own log-probabilities, `[example][token]`.
    own: Vec<Vec<f64>>,
    decay: f64,
}

impl Objective {
    /// # Errors
    /// When there are not as many logits as examples, or a vector is not finite.
    pub fn new(data: &Dataset, readout: &Readout, logits: &[f32], decay: f64) -> Result<Self> {
        let double = |tensor: &Tensor| Ok::<_, Error>(tensor.detach().to_dtype(DType::F64)?);
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(double).transpose();
        let scale = Standard::new(data, true)?;
        let vocab = readout.unembed.dim(0)?;
        if logits.len() != data.len() * vocab {
            return Err(Error::internal("a tuned lens needs the logits of its examples"));
        }
        let squares: f64 = data.x.iter().map(|x| f64::from(*x).powi(2)).sum();
        let unit = (squares / data.x.len() as f64).sqrt();
        let x = Tensor::from_slice(&data.x, (data.len(), data.dim), &Device::Cpu)?;
        let bias = optional(&readout.bias)?;
        Ok(Self {
            z: scale.apply(data, true)?,
            scale,
            unit: if unit > 0.0 { unit } else { 1.0 },
            x: x.to_dtype(DType::F64)?,
            norm: readout.norm,
            epsilon: readout.epsilon,
            // Of what the norm has; see `Readout::normalized`.
            gain: optional(&readout.norm_weight)?.filter(|_| readout.norm != NormKind::None),
            shift: optional(&readout.norm_bias)?.filter(|_| readout.norm == NormKind::Layer),
            unembed: (double(&readout.unembed.contiguous()?)? * readout.scale)?,
            bias: bias.map(|bias| bias * readout.scale).transpose()?,
            own: logits.chunks_exact(vocab).map(log_probabilities).collect(),
            decay,
        })
    }

    /// Value and gradient at coefficients `[dim, dim + 1]`.
    pub fn at(&self, w: &[f64]) -> Result<(f64, Vec<f64>)> {
        let (examples, dim) = self.x.dims2()?;
        let matrix = Tensor::from_slice(w, (dim, dim + 1), &Device::Cpu)?;
        let stream = (&self.x + (self.z.matmul(&matrix.t()?)? * self.unit)?)?;
        let (normed, length) = self.normed(&stream)?;
        let (loss, back) = self.divergence(&self.scores(&normed)?)?;
        let back = self.through_norm(&self.to_normed(&back)?, &normed, &length)?;
        let gradient = (back.t()?.matmul(&self.z)? * (self.unit / examples as f64))?;
        let mut gradient = gradient.flatten_all()?.to_vec1::<f64>()?;
        gradient.iter_mut().zip(w).for_each(|(g, w)| *g += self.decay * w);
        let square: f64 = w.iter().map(|w| w * w).sum();
        Ok((loss / examples as f64 + 0.5 * self.decay * square, gradient))
    }

    /// The map of streams as they are.
    pub fn map(&self, w: &[f64]) -> Linear {
        let w: Vec<f64> = w.iter().map(|w| w * self.unit).collect();
        self.scale.undone(&w, self.x.dims()[1], true)
    }

    /// Streams as the norm leaves them, before its gain, and the lengths that it divided by, `[example, 1]`.
    fn normed(&self, stream: &Tensor) -> Result<(Tensor, Tensor)> {
        let centred = match self.norm {
            NormKind::Layer => stream.broadcast_sub(&stream.mean_keepdim(1)?)?,
            NormKind::Rms | NormKind::None => stream.clone(),
        };
        let length = match self.norm {
            NormKind::None => Tensor::ones((stream.dim(0)?, 1), DType::F64, &Device::Cpu)?,
            NormKind::Layer | NormKind::Rms => {
                (centred.sqr()?.mean_keepdim(1)? + f64::from(self.epsilon))?.sqrt()?
            }
        };
        Ok((centred.broadcast_div(&length)?, length))
    }

    /// What the unembedding makes of normed streams, `[example, vocab]`.
    fn scores(&self, normed: &Tensor) -> Result<Tensor> {
        let gained = self.gain.as_ref().map(|gain| normed.broadcast_mul(gain)).transpose()?;
        let read = plus(gained.as_ref().unwrap_or(normed), self.shift.as_ref())?;
        plus(&read.matmul(&self.unembed.t()?)?, self.bias.as_ref())
    }

    /// The gradient of normed streams, given that of the scores.
    fn to_normed(&self, back: &Tensor) -> Result<Tensor> {
        let back = back.matmul(&self.unembed)?;
        Ok(match &self.gain {
            Some(gain) => back.broadcast_mul(gain)?,
            None => back,
        })
    }

    /// The gradient of the streams, given that of what the norm leaves.
    fn through_norm(&self, back: &Tensor, normed: &Tensor, length: &Tensor) -> Result<Tensor> {
        let along = || normed.broadcast_mul(&(back * normed)?.mean_keepdim(1)?);
        let back = match self.norm {
            NormKind::None => return Ok(back.clone()),
            NormKind::Rms => (back - along()?)?,
            NormKind::Layer => (back.broadcast_sub(&back.mean_keepdim(1)?)? - along()?)?,
        };
        Ok(back.broadcast_div(length)?)
    }

    /// The sum over examples of KL(network ‖ lens), and its gradient by the scores.
    fn divergence(&self, scores: &Tensor) -> Result<(f64, Tensor)> {
        let shape = scores.dims2()?;
        let mut all = scores.flatten_all()?.to_vec1::<f64>()?;
        let mut sum = 0.0;
        for (row, own) in all.chunks_exact_mut(shape.1).zip(&self.own) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = row.iter().map(|s| (s - largest).exp()).sum::<f64>().ln() + largest;
            for (score, own) in row.iter_mut().zip(own) {
                let (told, truth) = (*score - log_sum, own.exp());
                sum += if truth > 0.0 { truth * (own - told) } else { 0.0 };
                *score = told.exp() - truth;
            }
        }
        Ok((sum, Tensor::from_vec(all, shape, &Device::Cpu)?))
    }
}

fn plus(x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => x.broadcast_add(bias)?,
        None => x.clone(),
    })
}
