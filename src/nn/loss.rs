//! The loss over weighted positions: softmax with cross-entropy, value and gradient in one pass, or squared error.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::kernel::cross_entropy as kernel;
use super::kernel::slice::{floats, tensor};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};

type CandleResult<T> = candle_core::Result<T>;

/// `Σ weight · cross-entropy` in nats, a scalar. `logits` is `[batch, pos, vocab]`, flattened positions have one
/// target and one weight each. Weights are normalised by the caller over the whole batch, so that the losses
/// (and gradients) of the parts of a batch add up to those of the whole; positions of weight 0 are skipped and
/// may have no target.
///
/// # Errors
/// When the numbers of positions differ, or a weighted target is none of the vocabulary.
pub fn cross_entropy(logits: &Tensor, targets: &[u32], weight: &[f32]) -> Result<Tensor> {
    let (vocab, positions) = match logits.dims() {
        [batch @ .., vocab] => (*vocab, batch.iter().product::<usize>()),
        [] => (0, 0),
    };
    if targets.len() != positions || weight.len() != positions {
        return Err(Error::internal(format!(
            "{positions} positions have logits, {} have a target and {} a weight",
            targets.len(),
            weight.len()
        )));
    }
    let wrong = targets.iter().zip(weight).find(|(t, w)| **w != 0.0 && **t as usize >= vocab);
    if let Some((target, _)) = wrong {
        return Err(Error::internal(format!(
            "target {target} is none of the {vocab} tokens, but has a weight in the loss"
        )));
    }
    if !logits.device().is_cpu() {
        return plain::cross_entropy(logits, targets, weight);
    }
    let op = CrossEntropy {
        targets: targets.to_vec(),
        weight: weight.to_vec(),
        wanted: logits.track_op(),
        gradient: OnceLock::new(),
    };
    Ok(logits.contiguous()?.apply_op1(op)?)
}

/// `Σ weight · |prediction − target|²`, a scalar. `predictions` is `[batch, pos, outputs]`, `targets` holds as many numbers,
/// `weight` has one entry a position, as in [`cross_entropy`].
///
/// # Errors
/// When the numbers of positions or outputs differ.
pub fn squared_error(predictions: &Tensor, targets: &[f32], weight: &[f32]) -> Result<Tensor> {
    if predictions.elem_count() != targets.len() {
        return Err(Error::internal(format!(
            "{} numbers are predicted, {} are the targets",
            predictions.elem_count(),
            targets.len()
        )));
    }
    let outputs = targets.len() / weight.len().max(1);
    let predictions = predictions.reshape((weight.len(), outputs))?;
    let targets = Tensor::from_slice(targets, (weight.len(), outputs), predictions.device())?;
    let weight = Tensor::from_slice(weight, weight.len(), predictions.device())?;
    Ok(((predictions - targets)?.sqr()?.sum(1)? * weight)?.sum_all()?)
}

/// The losses beside that of the logits, of each sequence, `[batch]`: a sequence counts as much as its positions do, of which each has a
/// weight. A scalar.
///
/// # Errors
/// When the sequences are not as many.
pub fn beside(of_each: &Tensor, weight: &[f32]) -> Result<Tensor> {
    let sequences = of_each.dims1()?;
    let each = weight.chunks((weight.len() / sequences.max(1)).max(1));
    let shares: Vec<f32> = each.map(|weights| weights.iter().sum()).collect();
    Ok((of_each * Tensor::from_vec(shares, sequences, of_each.device())?)?.sum_all()?)
}

struct CrossEntropy {
    targets: Vec<u32>,
    weight: Vec<f32>,
    /// Whether anyone will ask for the gradient.
    wanted: bool,
    /// That of the logits, left behind by the forward pass.
    gradient: OnceLock<Vec<f32>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let logits = floats(logits, layout)?;
        let mut gradient = self.wanted.then(|| vec![0.0; logits.len()]);
        let loss =
            kernel::cross_entropy(logits, &self.targets, &self.weight, gradient.as_deref_mut());
        if let Some(gradient) = gradient {
            // Set once: an operation is applied once.
            let _ = self.gradient.set(gradient);
        }
        Ok((CpuStorage::F32(vec![narrow(loss)]), Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        _loss: &Tensor,
        d_loss: &Tensor,
    ) -> CandleResult<Option<Tensor>> {
        let Some(gradient) = self.gradient.get().filter(|_| logits.track_op()) else {
            return Ok(None);
        };
        let factor = d_loss.to_scalar::<f32>()?;
        Ok(Some(tensor(gradient.iter().map(|g| factor * g).collect(), logits)?))
    }
}

/// The same in candle's own operations: what the kernel is tested against.
pub mod plain {
    use candle_core::{D, Tensor};

    use crate::base::error::Result;

    /// # Errors
    /// When the numbers of positions differ.
    pub fn cross_entropy(logits: &Tensor, targets: &[u32], weight: &[f32]) -> Result<Tensor> {
        let logits = logits.reshape((targets.len(), logits.dim(D::Minus1)?))?;
        // A position of weight 0 may have no target: any token will do.
        let target: Vec<u32> =
            targets.iter().zip(weight).map(|(t, w)| if *w == 0.0 { 0 } else { *t }).collect();
        let target = Tensor::from_vec(target, (targets.len(), 1), logits.device())?;
        let weight = Tensor::from_slice(weight, weight.len(), logits.device())?;
        let loss = (logits.log_sum_exp(1)? - logits.gather(&target, 1)?.squeeze(1)?)?;
        Ok((loss * weight)?.sum_all()?)
    }
}
