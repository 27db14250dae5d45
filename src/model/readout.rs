//! What stands between the residual stream and the logits, and between a head and the residual stream: said once by a
//! network, used by its forward pass and by whoever takes a logit apart.

use candle_core::Tensor;

use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::attention::plain::capped;
use crate::nn::kernel::slice::Floats;
use crate::nn::linear::{linear, rows_of, widened};
use crate::nn::norm::{EPSILON, HeldNorm, Norm, NormKind, Numbers, normalize};
use crate::nn::params::Params;
use crate::nn::wire::{Map, Wire};

use super::reads::identity;

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
        let (x, from) = wire.asked(x)?;
        let mut logits = wire.linear(&x, self.unembed)?;
        if self.scale != 1.0 {
            logits = wire.scale(&logits, self.scale)?;
        }
        if let Some(cap) = self.cap {
            logits = wire.cap(&logits, cap)?;
        }
        wire.at_step(layer, Point::Logits, from, logits)
    }

    /// The same with numbers.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn numbers(self, params: &Params) -> Result<Readout> {
        let Map { weight, bias } = self.unembed;
        let bias = bias.map(|bias| params.get(bias)).transpose()?;
        let (scale, cap) = (f64::from(self.scale), self.cap);
        let plain = Readout { bias, scale, cap, ..Readout::plain(params.kept(weight)?) };
        match self.norm {
            Some(norm) => plain.after(norm, params),
            None => Ok(plain),
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
    /// `W_U`, `[vocab, width]`, of the numbers that it is kept in.
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
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn after(self, norm: &Norm, params: &Params) -> Result<Self> {
        let [norm_weight, norm_bias] = norm.tensors(params)?;
        Ok(Self { norm: norm.kind, norm_weight, norm_bias, epsilon: norm.epsilon, ..self })
    }

    /// Its norm.
    pub fn norm(&self) -> HeldNorm {
        let (weight, bias) = (self.norm_weight.clone(), self.norm_bias.clone());
        HeldNorm { kind: self.norm, weight, bias, epsilon: self.epsilon }
    }

    /// What reads some tokens, `[token, width]`.
    pub fn rows(&self, tokens: &[u32]) -> Result<Tensor> {
        rows_of(&self.unembed, tokens)
    }

    /// Mean of what reads a token, over all tokens, `[1, width]`.
    pub fn mean(&self) -> Result<Tensor> {
        let (vocab, width) = self.unembed.dims2()?;
        let mut sums = vec![0.0; width];
        for from in (0..vocab).step_by(MEAN_ROWS) {
            let rows = self.unembed.narrow(0, from, MEAN_ROWS.min(vocab - from))?;
            let rows = widened(&rows)?;
            for row in Floats::of(&rows)?.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
        let mean = sums.iter().map(|sum| narrow(sum / vocab as f64)).collect::<Vec<f32>>();
        Ok(Tensor::from_vec(mean, (1, width), self.unembed.device())?)
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

/// Where a layer writes, by handles.
#[derive(Clone, Copy)]
pub struct Written {
    pub heads: usize,
    /// `W_O`, `[width, head · dim]`; `None` where it is left out.
    pub outputs: Option<Map>,
    /// The last matrix of its MLP, `[width, hidden]`; `None` where there is none, or it does not just add to the stream.
    pub mlp: Option<Map>,
}

impl Written {
    /// The same with numbers, for a residual stream of `width`.
    ///
    /// # Errors
    /// When the heads do not divide the matrix.
    pub fn numbers(self, width: usize, params: &Params) -> Result<Writes> {
        let matrix = self.outputs.map(|map| params.get(map.weight)).transpose()?;
        let bias = self.outputs.and_then(|map| map.bias);
        let bias = bias.map(|bias| params.get(bias)).transpose()?;
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

/// Rows that become `f32` at a time.
const MEAN_ROWS: usize = 1024;
