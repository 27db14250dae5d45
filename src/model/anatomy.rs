//! A network taken apart: its matrices by the part that they play, under no library's names. Other spellings are written
//! from it.

use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::weights::Weights;
use crate::nn::activation::Activation;
use crate::nn::norm::NormKind;

/// `rows × columns` numbers, row-major. As a linear map it reads `columns` numbers and writes `rows`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub data: Arc<[f32]>,
}

impl Matrix {
    /// Every entry by its row and column.
    pub fn of(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let data = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        Self { rows, columns, data: data.map(|(i, j)| entry(i, j)).collect() }
    }

    pub fn identity(side: usize) -> Self {
        Self::of(side, side, |i, j| if i == j { 1.0 } else { 0.0 })
    }

    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self::of(rows, columns, |_, _| 0.0)
    }

    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.data[row * self.columns + column]
    }

    #[must_use]
    pub fn transposed(&self) -> Self {
        Self::of(self.columns, self.rows, |i, j| self.at(j, i))
    }

    #[must_use]
    pub fn scaled(&self, by: f32) -> Self {
        Self { data: self.data.iter().map(|x| x * by).collect(), ..self.clone() }
    }
}

/// A linear map: weight `[out, in]`, bias `[out]` where it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub weight: Matrix,
    pub bias: Option<Arc<[f32]>>,
}

impl Map {
    pub fn plain(weight: Matrix) -> Self {
        Self { weight, bias: None }
    }

    /// Whether it adds anything to what it maps.
    pub fn has_bias(&self) -> bool {
        self.bias.as_ref().is_some_and(|bias| bias.iter().any(|b| *b != 0.0))
    }
}

/// Parameters of a norm, `[width]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub weight: Arc<[f32]>,
    /// Of LayerNorm alone.
    pub bias: Option<Arc<[f32]>>,
}

/// What an MLP's last map reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Hidden {
    /// Its input as it is.
    Same,
    Activated(Map, Activation),
    /// `silu(gate x) · (inputs x)`
    Gated {
        gate: Map,
        inputs: Map,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// None where it reads the stream as it is.
    pub norm: Option<Scale>,
    pub hidden: Hidden,
    pub outputs: Map,
}

/// One layer: attention, then perhaps an MLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// None where the attention reads the stream as it is.
    pub norm: Option<Scale>,
    /// Whether queries and keys are rotated, in pairs of neighbouring coordinates with base 10000.
    pub rotary: bool,
    /// `[head · dim, width]`, head-major; so are keys and values.
    pub queries: Map,
    pub keys: Map,
    pub values: Map,
    /// `[width, head · dim]`
    pub outputs: Map,
    pub mlp: Option<Mlp>,
    /// The MLP reads the input of the layer, not its sum with what attention wrote.
    pub parallel: bool,
}

/// A causal transformer whose layers add to a residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Anatomy {
    /// Attention heads of each layer.
    pub heads: usize,
    /// Dimension of a head.
    pub dim: usize,
    /// Longest sequence.
    pub length: usize,
    /// Attention logits are `scale · query · key`.
    pub scale: f32,
    /// The kind of all norms.
    pub norm: NormKind,
    /// `[vocab, width]`
    pub embed: Matrix,
    /// `[length, width]`, added to the embeddings.
    pub positions: Option<Matrix>,
    pub blocks: Vec<Block>,
    /// None where the stream is unembedded as it is.
    pub final_norm: Option<Scale>,
    /// `[vocab, width]`
    pub unembed: Map,
    /// The unembedding is the embedding and stays so.
    pub tied: bool,
}

impl Anatomy {
    pub fn width(&self) -> usize {
        self.embed.columns
    }

    pub fn vocab(&self) -> usize {
        self.embed.rows
    }
}

/// Tensors by name, as the parts that they are.
#[derive(Clone, Copy)]
pub struct Parts<'a>(pub &'a Weights);

impl Parts<'_> {
    /// # Errors
    /// When there is no such tensor, or it is no matrix.
    pub fn matrix(self, name: &str) -> Result<Matrix> {
        let (shape, data) = self.tensor(name)?;
        let [rows, columns] = shape[..] else { return Err(self.wrong(name, &shape)) };
        Ok(Matrix { rows, columns, data })
    }

    /// A map whose bias is there or not.
    ///
    /// # Errors
    /// When its matrix is not there.
    pub fn map(self, weight: &str, bias: &str) -> Result<Map> {
        Ok(Map { weight: self.matrix(weight)?, bias: self.0.get(bias).map(|t| t.data.clone()) })
    }

    /// The parameters of `NAME.weight` and `NAME.bias`; `None` where there is no norm.
    ///
    /// # Errors
    /// When they are not there.
    pub fn norm(self, name: &str, kind: NormKind) -> Result<Option<Scale>> {
        if kind == NormKind::None {
            return Ok(None);
        }
        let (_, weight) = self.tensor(&format!("{name}.weight"))?;
        let bias = self.0.get(&format!("{name}.bias")).map(|t| t.data.clone());
        Ok(Some(Scale { weight, bias }))
    }

    fn tensor(self, name: &str) -> Result<(Vec<usize>, Arc<[f32]>)> {
        let found = self.0.get(name).map(|t| (t.shape.clone(), t.data.clone()));
        found.ok_or_else(|| {
            Error::input(format!(
                "the weights of step {} lack the tensor {name} that this model needs",
                self.0.step
            ))
        })
    }

    fn wrong(self, name: &str, shape: &[usize]) -> Error {
        Error::input(format!(
            "the tensor {name} of step {} has shape {shape:?}, this model needs a matrix",
            self.0.step
        ))
    }
}
