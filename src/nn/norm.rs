//! LayerNorm and RMSNorm as one operation each, with their gradients.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Shape, Tensor};

use crate::base::error::Result;

use super::kernel::normalize::{self as kernel, Rule};
use super::kernel::slice::{Floats, floats, tensor};
use super::params::{Init, Param, Params};

pub use kernel::EPSILON;

crate::choices! {
    /// How the residual stream is normalised before it is read.
    pub enum NormKind { Layer = "layer", Rms = "rms", None = "none" }
}

/// A normalisation with its parameters `NAME.weight` and `NAME.bias`, both `[width]`.
#[derive(Clone)]
pub struct Norm {
    pub kind: NormKind,
    pub weight: Option<Param>,
    pub bias: Option<Param>,
    /// Added to the variance or mean square before the root.
    pub epsilon: f32,
}

impl Norm {
    /// Adds the parameters: weight 1 and, for LayerNorm with `bias`, bias 0.
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
        Ok(Self { kind, weight, bias, epsilon: EPSILON })
    }

    /// Its weight and its bias, `[width]` each, as far as it has them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn tensors(&self, params: &Params) -> Result<[Option<Tensor>; 2]> {
        let get = |p: Option<Param>| p.map(|p| params.get(p)).transpose();
        Ok([get(self.weight)?, get(self.bias)?])
    }

    /// `x` is `[batch, pos, width]`; so is the result. Where the weight is shorter than a row, rows are heads side by side, each of
    /// which is normalised.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Result<Tensor> {
        let [weight, bias] = self.tensors(params)?;
        let numbers =
            Numbers { weight: weight.as_ref(), bias: bias.as_ref(), epsilon: self.epsilon };
        normalize(self.kind, x, numbers)
    }
}

/// The numbers that a norm needs.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    /// `[width]`
    pub weight: Option<&'a Tensor>,
    /// `[width]`
    pub bias: Option<&'a Tensor>,
    pub epsilon: f32,
}

/// A norm with its numbers; by default there is none.
#[derive(Clone)]
pub struct HeldNorm {
    pub kind: NormKind,
    /// `[width]`
    pub weight: Option<Tensor>,
    /// `[width]`
    pub bias: Option<Tensor>,
    pub epsilon: f32,
}

impl Default for HeldNorm {
    fn default() -> Self {
        Self { kind: NormKind::None, weight: None, bias: None, epsilon: 0.0 }
    }
}

impl HeldNorm {
    /// # Errors
    /// When a parameter cannot be read.
    pub fn new(norm: &Norm, params: &Params) -> Result<Self> {
        let [weight, bias] = norm.tensors(params)?;
        Ok(Self { kind: norm.kind, weight, bias, epsilon: norm.epsilon })
    }

    /// Rows `[.., width]` as they are behind it.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.as_ref(), self.bias.as_ref());
        normalize(self.kind, x, Numbers { weight, bias, epsilon: self.epsilon })
    }

    /// Rows `[.., width]` that are multiplied with what the norm gives, as they would be with what it reads, up to its scale: `W γ C`, where `C` takes
    /// off the mean.
    pub fn folded(&self, rows: &Tensor) -> Result<Tensor> {
        let rows = match &self.weight {
            Some(weight) => rows.broadcast_mul(weight)?,
            None => rows.clone(),
        };
        Ok(match self.kind {
            NormKind::Layer => rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?,
            NormKind::Rms | NormKind::None => rows,
        })
    }

    /// What it multiplies each of the rows `[row, width]` with, besides its weights: one over the root of the variance or mean square; 1 without a norm.
    pub fn scales(&self, rows: &Tensor) -> Result<Vec<f32>> {
        let rows = match self.kind {
            NormKind::None => return Ok(vec![1.0; rows.dim(0)?]),
            NormKind::Layer => rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?,
            NormKind::Rms => rows.clone(),
        };
        let squares = (rows.sqr()?.mean(D::Minus1)? + f64::from(self.epsilon))?;
        Ok(squares.sqrt()?.recip()?.to_vec1()?)
    }
}

/// A norm of that kind over the last axis, `x` itself where there is none.
pub fn normalize(kind: NormKind, x: &Tensor, numbers: Numbers<'_>) -> Result<Tensor> {
    match kind {
        NormKind::None => Ok(x.clone()),
        NormKind::Layer => normalized(x, true, numbers),
        NormKind::Rms => normalized(x, false, Numbers { bias: None, ..numbers }),
    }
}

/// `(x - mean) / sqrt(variance + ε) * weight + bias` over the last axis (Ba et al. 2016), with the usual ε.
pub fn layer_norm(x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    normalize(NormKind::Layer, x, Numbers { weight, bias, epsilon: EPSILON })
}

/// `x / sqrt(mean square + ε) * weight` over the last axis (Zhang and Sennrich 2019), with the usual ε.
pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    normalize(NormKind::Rms, x, Numbers { weight, bias: None, epsilon: EPSILON })
}

fn normalized(x: &Tensor, centred: bool, numbers: Numbers<'_>) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain::normalize(x, centred, numbers);
    }
    let Numbers { weight, bias, epsilon } = numbers;
    let (x, op) = (x.contiguous()?, Normalize { centred, epsilon });
    Ok(match (weight, bias) {
        (Some(weight), Some(bias)) => x.apply_op3(weight, bias, op)?,
        (Some(weight), None) => x.apply_op2(weight, op)?,
        (None, Some(bias)) => x.apply_op1(op)?.broadcast_add(bias)?,
        (None, None) => x.apply_op1(op)?,
    })
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::{D, Tensor};

    use super::{EPSILON, Numbers};
    use crate::base::error::Result;

    pub fn layer_norm(
        x: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        normalize(x, true, Numbers { weight, bias, epsilon: EPSILON })
    }

    pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        normalize(x, false, Numbers { weight, bias: None, epsilon: EPSILON })
    }

    pub fn normalize(x: &Tensor, centred: bool, numbers: Numbers<'_>) -> Result<Tensor> {
        let x = if centred { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let mut out = x.broadcast_div(&(mean_square + f64::from(numbers.epsilon))?.sqrt()?)?;
        if let Some(weight) = numbers.weight {
            out = out.broadcast_mul(weight)?;
        }
        match numbers.bias {
            Some(bias) => Ok(out.broadcast_add(bias)?),
            None => Ok(out),
        }
    }
}

/// The operation: with one argument plain, with two also a weight, with three also a bias.
struct Normalize {
    /// Subtract the mean (LayerNorm) or not (RMSNorm).
    centred: bool,
    epsilon: f32,
}

impl Normalize {
    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (shape, x) = (x.1.shape().clone(), floats(x.0, x.1)?);
        let width = weight.map_or(shape.dims().last().copied().unwrap_or(1), <[f32]>::len).max(1);
        let rule = Rule { width, centred: self.centred, epsilon: self.epsilon, weight, bias };
        let (mut out, mut statistics) = (vec![0.0; x.len()], vec![0.0; 2 * x.len() / width]);
        kernel::forward(rule, x, &mut out, &mut statistics);
        Ok((CpuStorage::F32(out), shape))
    }

    /// Gradients of the input, the weight and the bias.
    fn backward(
        &self,
        x: &Tensor,
        weight: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<[Vec<f32>; 3]> {
        let grad = grad.contiguous()?;
        let width = weight.map_or_else(|| x.dim(D::Minus1), Tensor::dims1)?;
        let (x, weight) = (Floats::of(x)?, weight.map(Floats::of).transpose()?);
        let Self { centred, epsilon } = *self;
        let rule = Rule { width, centred, epsilon, weight: weight.as_deref(), bias: None };
        let (mut normed, mut statistics) = (vec![0.0; x.len()], vec![0.0; 2 * x.len() / width]);
        kernel::forward(rule, &x, &mut normed, &mut statistics);
        let mut to_x = Floats::of(&grad)?.to_vec();
        let (mut to_weight, mut to_bias) = (vec![0.0; width], vec![0.0; width]);
        kernel::backward(rule, &x, &statistics, &mut to_x, &mut to_weight, &mut to_bias);
        Ok([to_x, to_weight, to_bias])
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
