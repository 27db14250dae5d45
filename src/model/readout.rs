//! What stands between the residual stream and the logits, and between a head and the residual stream: said once by a
//! network, used by its forward pass and by whoever takes a logit apart.

use candle_core::Tensor;

use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::attention::plain::capped;
use crate::nn::linear::linear;
use crate::nn::norm::{EPSILON, Norm, NormKind, Numbers, normalize};
use crate::nn::params::Params;
use crate::nn::wire::{Map, Wire};

/// How the residual stream is read into logits, by handles: `scale · (W_U norm(x) + bias)`, and of that the cap.
#[derive(Clone, Copy)]
pub struct Read<'m> {
    pub norm: Option<&'m Norm>,
    /// `W_U`, `[vocab, width]`, and its bias.
    pub unembed: Map,
    pub scale: f32,
    /// Logits `x` become `cap · tanh(x / cap)`.
    pub cap: Option<f32>,
}

impl<'m> Read<'m> {
    /// `W_U norm(x) + bias`
    pub fn new(norm: Option<&'m Norm>, unembed: Map) -> Self {
        Self { norm, unembed, scale: 1.0, cap: None }
    }

    /// The end of a wiring: the stream `[batch, pos, width]` after the last `layer` to logits `[batch, pos, vocab]`.
    pub fn wire<W: Wire<'m>>(self, wire: &mut W, layer: usize, x: W::X) -> Result<W::X> {
        let mut x = wire.in_loss(x);
        if let Some(norm) = self.norm {
            x = wire.normalize(&x, norm)?;
        }
        let x = wire.at(layer, Point::Final, x)?;
        let mut logits = wire.linear(&x, self.unembed)?;
        if self.scale != 1.0 {
            logits = wire.scale(&logits, self.scale)?;
        }
        if let Some(cap) = self.cap {
            logits = wire.cap(&logits, cap)?;
        }
        wire.at(layer, Point::Logits, logits)
    }

    /// The same with numbers.
    pub fn numbers(self, params: &Params) -> Readout {
        let Map { weight, bias } = self.unembed;
        let (bias, scale) = (bias.map(|bias| params.get(bias)), f64::from(self.scale));
        let plain = Readout { bias, scale, cap: self.cap, ..Readout::plain(params.get(weight)) };
        match self.norm {
            Some(norm) => plain.after(norm, params),
            None => plain,
        }
    }
}

/// How the residual stream is read into logits: `scale · (W_U norm(x) + bias)`.
pub struct Readout {
    /// The final norm; none where the stream is read as it is.
    pub norm: NormKind,
    /// `[width]`
    pub norm_weight: Option<Tensor>,
    /// `[width]`
    pub norm_bias: Option<Tensor>,
    /// Added to the variance or mean square before the root.
    pub epsilon: f32,
    /// `W_U`, `[vocab, width]`.
    pub unembed: Tensor,
    /// `[vocab]`
    pub bias: Option<Tensor>,
    pub scale: f64,
    /// Logits `x` become `cap · tanh(x / cap)`.
    pub cap: Option<f32>,
}

impl Readout {
    /// Without norm and bias: `unembed` is `[vocab, width]`.
    pub fn plain(unembed: Tensor) -> Self {
        Self {
            norm: NormKind::None,
            norm_weight: None,
            norm_bias: None,
            epsilon: EPSILON,
            unembed,
            bias: None,
            scale: 1.0,
            cap: None,
        }
    }

    /// The same behind a norm.
    #[must_use]
    pub fn after(self, norm: &Norm, params: &Params) -> Self {
        Self {
            norm: norm.kind,
            norm_weight: norm.weight.map(|p| params.get(p)),
            norm_bias: norm.bias.map(|p| params.get(p)),
            epsilon: norm.epsilon,
            ..self
        }
    }

    /// The stream `[.., width]` as the unembedding reads it, of the same shape.
    pub fn normalized(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.norm_weight.as_ref(), self.norm_bias.as_ref());
        normalize(self.norm, x, Numbers { weight, bias, epsilon: self.epsilon })
    }

    /// Logits `[.., vocab]` of a stream that is [`Self::normalized`].
    pub fn logits(&self, normalized: &Tensor) -> Result<Tensor> {
        let logits = linear(normalized, &self.unembed, self.bias.as_ref())?;
        let logits = if self.scale == 1.0 { logits } else { (logits * self.scale)? };
        self.cap.map_or(Ok(logits.clone()), |cap| capped(&logits, cap))
    }

    /// Logits `[.., vocab]` of a stream `[.., width]`, of whatever layer.
    pub fn unembedded(&self, x: &Tensor) -> Result<Tensor> {
        self.logits(&self.normalized(x)?)
    }
}

/// Where the attention of a layer writes, by handles.
#[derive(Clone, Copy)]
pub struct Written {
    pub heads: usize,
    /// `W_O`, `[width, head · dim]`; `None` where it is left out.
    pub outputs: Option<Map>,
}

impl Written {
    /// The same with numbers, for a residual stream of `width`.
    ///
    /// # Errors
    /// When the heads do not divide the matrix.
    pub fn numbers(self, width: usize, params: &Params) -> Result<Writes> {
        let matrix = self.outputs.map(|map| params.get(map.weight));
        let bias = self.outputs.and_then(|map| map.bias).map(|bias| params.get(bias));
        Writes::new(matrix.as_ref(), bias, self.heads, width, params)
    }
}

/// How the attention of a layer is added to the residual stream: `Σ_head z[head] · matrix[head] + bias`.
pub struct Writes {
    /// `W_O` by head, `[head, dim, width]`.
    pub matrix: Tensor,
    /// `[width]`
    pub bias: Option<Tensor>,
}

impl Writes {
    /// `matrix` is `[width, head · dim]`, heads side by side, as linear maps are kept; `None` where it is left out.
    ///
    /// # Errors
    /// When the heads do not divide the matrix.
    pub fn new(
        matrix: Option<&Tensor>,
        bias: Option<Tensor>,
        heads: usize,
        width: usize,
        params: &Params,
    ) -> Result<Self> {
        let columns = match matrix {
            Some(matrix) => matrix.t()?.contiguous()?,
            None => identity(width, params)?,
        };
        let dim = columns.dim(0)? / heads.max(1);
        Ok(Self { matrix: columns.reshape((heads, dim, width))?, bias })
    }
}

fn identity(width: usize, params: &Params) -> Result<Tensor> {
    let entry = |i: usize| if i / width == i % width { 1f32 } else { 0.0 };
    let values: Vec<f32> = (0..width * width).map(entry).collect();
    Ok(Tensor::from_vec(values, (width, width), params.device())?)
}
