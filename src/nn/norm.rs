//! LayerNorm and RMSNorm as one operation each, with their gradients.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Shape, Tensor};

use crate::record::error::Result;

use super::kernel::slice::{Floats, floats, tensor};
use super::params::{Init, Param, Params};

/// Added to the variance (or mean square) before the root, as in torch and GPT-2.
pub const EPSILON: f32 = 1e-5;

crate::choices! {
    /// How the residual stream is normalised before it is read.
    pub enum NormKind { Layer = "layer", Rms = "rms", None = "none" }
}

/// A normalisation with its parameters `NAME.weight` and `NAME.bias`, both `[width]`.
pub struct Norm {
    kind: NormKind,
    weight: Option<Param>,
    bias: Option<Param>,
}

impl Norm {
    /// Adds the parameters: weight 1 and, for LayerNorm with `bias`, bias 0.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn new(
        params: &mut Params,
        name: &str,
        kind: NormKind,
        width: usize,
        bias: bool,
    ) -> Result<Self> {
        let mut add = |wanted: bool, part: &str, init| {
            wanted.then(|| params.add(&format!("{name}.{part}"), &[width], init, true)).transpose()
        };
        let weight = add(kind != NormKind::None, "weight", Init::Ones)?;
        let bias = add(kind == NormKind::Layer && bias, "bias", Init::Zeros)?;
        Ok(Self { kind, weight, bias })
    }

    /// `x` is `[batch, pos, width]`; so is the result.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.map(|p| params.get(p));
        let bias = self.bias.map(|p| params.get(p));
        match self.kind {
            NormKind::Layer => layer_norm(x, weight.as_ref(), bias.as_ref()),
            NormKind::Rms => rms_norm(x, weight.as_ref()),
            NormKind::None => Ok(x.clone()),
        }
    }
}

/// `(x - mean) / sqrt(variance + ε) * weight + bias` over the last axis (Ba et al. 2016).
///
/// # Errors
/// When a tensor operation fails.
pub fn layer_norm(x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, op) = (x.contiguous()?, Normalize { centred: true });
    Ok(match (weight, bias) {
        (Some(weight), Some(bias)) => x.apply_op3(weight, bias, op)?,
        (Some(weight), None) => x.apply_op2(weight, op)?,
        (None, Some(bias)) => x.apply_op1(op)?.broadcast_add(bias)?,
        (None, None) => x.apply_op1(op)?,
    })
}

/// `x / sqrt(mean square + ε) * weight` over the last axis (Zhang and Sennrich 2019).
///
/// # Errors
/// When a tensor operation fails.
pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    let (x, op) = (x.contiguous()?, Normalize { centred: false });
    Ok(match weight {
        Some(weight) => x.apply_op2(weight, op)?,
        None => x.apply_op1(op)?,
    })
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::{D, Tensor};

    use super::EPSILON;
    use crate::record::error::Result;

    /// # Errors
    /// When a tensor operation fails.
    pub fn layer_norm(
        x: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let normed = rms_norm(&x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?, weight)?;
        Ok(match bias {
            Some(bias) => normed.broadcast_add(bias)?,
            None => normed,
        })
    }

    /// # Errors
    /// When a tensor operation fails.
    pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = x.broadcast_div(&(mean_square + f64::from(EPSILON))?.sqrt()?)?;
        Ok(match weight {
            Some(weight) => normed.broadcast_mul(weight)?,
            None => normed,
        })
    }
}

/// The operation: with one argument plain, with two also a weight, with three also a bias.
struct Normalize {
    /// Subtract the mean (LayerNorm) or not (RMSNorm).
    centred: bool,
}

impl Normalize {
    /// Mean to subtract and factor to multiply by, of one row.
    fn statistics(&self, row: &[f32]) -> (f32, f32) {
        let width = row.len() as f32;
        let mean = if self.centred { sum_over(row, row, |x, _| x) / width } else { 0.0 };
        let square = sum_over(row, row, |x, _| (x - mean) * (x - mean)) / width;
        (mean, 1.0 / (square + EPSILON).sqrt())
    }

    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (shape, x) = (x.1.shape().clone(), floats(x.0, x.1)?);
        let width = shape.dims().last().copied().unwrap_or(1).max(1);
        let mut out = vec![0.0; x.len()];
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, factor) = self.statistics(row);
            out.iter_mut().zip(row).for_each(|(o, x)| *o = (x - mean) * factor);
            if let Some(weight) = weight {
                out.iter_mut().zip(weight).for_each(|(o, w)| *o *= w);
            }
            if let Some(bias) = bias {
                out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
            }
        }
        Ok((CpuStorage::F32(out), shape))
    }

    /// Gradients of the input, the weight and the bias.
    fn backward(
        &self,
        x: &Tensor,
        weight: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<[Vec<f32>; 3]> {
        let (width, grad) = (x.dim(D::Minus1)?, grad.contiguous()?);
        let weight = weight.map(Floats::of).transpose()?;
        Ok(self.backward_rows(&Floats::of(x)?, weight.as_deref(), &Floats::of(&grad)?, width))
    }

    fn backward_rows(
        &self,
        x: &[f32],
        weight: Option<&[f32]>,
        grad: &[f32],
        width: usize,
    ) -> [Vec<f32>; 3] {
        let mut to_x = vec![0.0; x.len()];
        let (mut to_weight, mut to_bias) = (vec![0.0; width], vec![0.0; width]);
        let mut normed = vec![0.0; width];
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((row, grad), to_x) in rows.zip(to_x.chunks_exact_mut(width)) {
            let (mean, factor) = self.statistics(row);
            normed.iter_mut().zip(row).for_each(|(n, x)| *n = (x - mean) * factor);
            to_bias.iter_mut().zip(grad).for_each(|(b, g)| *b += g);
            for ((w, g), n) in to_weight.iter_mut().zip(grad).zip(&normed) {
                *w += g * n;
            }
            // From here on the gradient of the normalised row.
            to_x.copy_from_slice(grad);
            if let Some(weight) = weight {
                to_x.iter_mut().zip(weight).for_each(|(g, w)| *g *= w);
            }
            let shift =
                if self.centred { sum_over(to_x, to_x, |g, _| g) / width as f32 } else { 0.0 };
            let along = sum_over(to_x, &normed, |g, n| g * n) / width as f32;
            to_x.iter_mut().zip(&normed).for_each(|(g, n)| *g = (*g - shift - n * along) * factor);
        }
        [to_x, to_weight, to_bias]
    }
}

impl CustomOp1 for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, l), None, None)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let [to_x, ..] = self.backward(x, None, grad)?;
        Ok(Some(tensor(to_x, x)?))
    }
}

impl CustomOp2 for Normalize {
    fn name(&self) -> &'static str {
        "normalize and weigh"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        weight_l: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, l), Some(floats(weight, weight_l)?), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [to_x, to_weight, _] = self.backward(x, Some(weight), grad)?;
        Ok((Some(tensor(to_x, x)?), Some(tensor(to_weight, weight)?)))
    }
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "normalize, weigh and shift"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        weight_l: &Layout,
        bias: &CpuStorage,
        bias_l: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, l), Some(floats(weight, weight_l)?), Some(floats(bias, bias_l)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [to_x, to_weight, to_bias] = self.backward(x, Some(weight), grad)?;
        Ok((Some(tensor(to_x, x)?), Some(tensor(to_weight, weight)?), Some(tensor(to_bias, bias)?)))
    }
}

/// Sum of `term` over two rows, in eight lanes so that it can be vectorised.
fn sum_over(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f32 = rest.map(|(x, y)| term(*x, *y)).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(*x, *y);
        }
    }
    lanes.iter().sum::<f32>() + rest
}
