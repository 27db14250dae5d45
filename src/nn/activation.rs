//! What stands between the two maps of an MLP: GELU in both spellings, ReLU, SwiGLU, with their gradients.

use candle_core::cpu::erf::erf_f32;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use crate::record::error::Result;

use super::kernel::lanes::exp_all;
use super::kernel::slice::{Floats, floats, tensor};

/// A function of one number, applied everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` by the tanh formula: Hugging Face's and TransformerLens's `gelu_new`.
    GeluTanh,
    /// `x Φ(x)` by the error function: their `gelu`.
    GeluErf,
    /// `max(x, 0)`; its slope at 0 is 0.
    Relu,
}

impl Activation {
    /// The same shape as `x`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(x.contiguous()?.apply_op1(self)?)
    }
}

/// `gate * sigmoid(gate) * up` (Shazeer 2020); all of one shape.
///
/// # Errors
/// When a tensor operation fails.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok(gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)?)
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::Tensor;

    use super::Activation;
    use crate::record::error::Result;

    /// # Errors
    /// When a tensor operation fails.
    pub fn forward(activation: Activation, x: &Tensor) -> Result<Tensor> {
        Ok(match activation {
            Activation::GeluTanh => x.gelu()?,
            Activation::GeluErf => x.gelu_erf()?,
            Activation::Relu => x.relu()?,
        })
    }

    /// # Errors
    /// When a tensor operation fails.
    pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        Ok((gate.silu()? * up)?)
    }
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = floats(x, l)?;
        let out: Vec<f32> = match self {
            Self::GeluTanh => {
                x.iter().zip(sigmoids(x, gelu_argument)).map(|(x, s)| x * s).collect()
            }
            Self::GeluErf => x.iter().map(|x| x * normal_cdf(*x)).collect(),
            Self::Relu => x.iter().map(|x| x.max(0.0)).collect(),
        };
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (numbers, grad) = (Floats::of(x)?, Floats::of(&grad)?);
        let mut to_x = match self {
            Self::GeluTanh => gelu_tanh_slopes(&numbers),
            Self::GeluErf => {
                numbers.iter().map(|x| normal_cdf(*x) + x * normal_density(*x)).collect()
            }
            Self::Relu => numbers.iter().map(|x| f32::from(*x > 0.0)).collect::<Vec<f32>>(),
        };
        to_x.iter_mut().zip(grad.iter()).for_each(|(slope, g)| *slope *= g);
        Ok(Some(tensor(to_x, x)?))
    }
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_l: &Layout,
        up: &CpuStorage,
        up_l: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(gate, gate_l)?, floats(up, up_l)?);
        let mut out = sigmoids(gate, |g| g);
        out.iter_mut().zip(gate).zip(up).for_each(|((s, g), u)| *s *= g * u);
        Ok((CpuStorage::F32(out), gate_l.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (g, u, grad) = (Floats::of(gate)?, Floats::of(up)?, Floats::of(&grad)?);
        let (mut to_gate, mut to_up) = (sigmoids(&g, |g| g), vec![0.0; g.len()]);
        for (i, (to_gate, to_up)) in to_gate.iter_mut().zip(&mut to_up).enumerate() {
            let s = *to_gate;
            *to_gate = grad[i] * u[i] * s * (1.0 + g[i] * (1.0 - s));
            *to_up = grad[i] * g[i] * s;
        }
        Ok((Some(tensor(to_gate, gate)?), Some(tensor(to_up, up)?)))
    }
}

/// `1 / (1 + exp(-argument(x)))` of each number, with the exponential that is computed many at a time.
fn sigmoids(x: &[f32], argument: impl Fn(f32) -> f32) -> Vec<f32> {
    /// Beyond it the sigmoid is 0 to every digit that counts, and the exponential stays finite.
    const FAR: f32 = 80.0;
    /// Small enough to stay in the nearest cache.
    const BLOCK: usize = 1024;
    let mut out = vec![0.0; x.len()];
    let mut negated = [0.0; BLOCK];
    for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let negated = &mut negated[..x.len()];
        negated.iter_mut().zip(x).for_each(|(n, x)| *n = (-argument(*x)).min(FAR));
        exp_all(negated, out);
        out.iter_mut().for_each(|e| *e = 1.0 / (1.0 + *e));
    }
    out
}

/// √(2/π) and the coefficient of the cube in the tanh formula (Hendrycks and Gimpel 2016).
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// `(1 + tanh u) / 2` is the sigmoid of `2u`.
fn gelu_argument(x: f32) -> f32 {
    2.0 * GELU_SCALE * (x + GELU_CUBE * x * x * x)
}

fn gelu_tanh_slopes(x: &[f32]) -> Vec<f32> {
    let mut slopes = sigmoids(x, gelu_argument);
    for (slope, x) in slopes.iter_mut().zip(x) {
        let inner = 2.0 * GELU_SCALE * (1.0 + 3.0 * GELU_CUBE * x * x);
        // Far out the gate is 0 or 1 and the square of x may overflow: the product is 0 all the same.
        let bend = if x.abs() > 20.0 { 0.0 } else { x * inner * *slope * (1.0 - *slope) };
        *slope += bend;
    }
    slopes
}

fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf_f32(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn normal_density(x: f32) -> f32 {
    // 1/√(2π)
    0.398_942_3 * (-0.5 * x * x).exp()
}
