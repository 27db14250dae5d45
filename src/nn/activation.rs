//! Functions of single numbers, over tensors: GELU in both spellings, ReLU, tanh, sigmoid, SwiGLU.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Shape, Tensor};

use crate::base::error::Result;

use super::kernel::activation as kernel;
use super::kernel::slice::{Floats, floats, tensor};

pub use kernel::Activation;

impl Activation {
    /// The same shape as `x`.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return plain::forward(self, x);
        }
        Ok(x.contiguous()?.apply_op1(self)?)
    }
}

/// `gate * sigmoid(gate) * up` (Shazeer 2020); all of one shape.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !gate.device().is_cpu() {
        return plain::swiglu(gate, up);
    }
    Ok(gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)?)
}

/// `x · softmax(x)` over the last axis (`SoLU`; Elhage et al. 2022).
pub fn solu(x: &Tensor) -> Result<Tensor> {
    let above = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    let share = above.broadcast_div(&above.sum_keepdim(D::Minus1)?)?;
    Ok((x * share)?)
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::Tensor;

    use super::Activation;
    use crate::base::error::Result;

    pub fn forward(activation: Activation, x: &Tensor) -> Result<Tensor> {
        Ok(match activation {
            Activation::GeluTanh => x.gelu()?,
            Activation::GeluErf => x.gelu_erf()?,
            Activation::Relu => x.relu()?,
            Activation::Tanh => x.tanh()?,
            Activation::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip()?,
        })
    }

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
        let mut out = vec![0.0; x.len()];
        self.apply(x, &mut out);
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let mut to_x = Floats::of(&grad)?.to_vec();
        self.multiply_slopes(&Floats::of(x)?, &mut to_x);
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
        let mut out = vec![0.0; gate.len()];
        kernel::swiglu(gate, up, &mut out);
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
        let (g, u) = (Floats::of(gate)?, Floats::of(up)?);
        let (mut to_up, mut to_gate) = (Floats::of(&grad)?.to_vec(), vec![0.0; g.len()]);
        kernel::swiglu_backward(&g, &u, &mut to_up, &mut to_gate);
        Ok((Some(tensor(to_gate, gate)?), Some(tensor(to_up, up)?)))
    }
}
