//! A network as those libraries say it that know one kind of layer: every map with a bias, every layer with the same parts.
//! Nothing that it computes changes; what cannot be said so is refused.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::convert::narrow;
use crate::base::error::Result;
use crate::model::anatomy::{Anatomy, Block, Hidden, Map, Matrix, Mlp, Scale};
use crate::nn::activation::Activation;
use crate::nn::norm::{EPSILON, NormKind};

use super::refused;

/// A linear map: weight `[out, in]`, bias `[out]`.
pub(super) struct Full {
    pub weight: Matrix,
    pub bias: Arc<[f32]>,
}

impl Full {
    fn of(map: &Map) -> Self {
        let none = || vec![0.0; map.weight.rows].into();
        Self { weight: map.weight.clone(), bias: map.bias.clone().unwrap_or_else(none) }
    }

    fn zeros(outputs: usize, inputs: usize) -> Self {
        Self::of(&Map::plain(Matrix::zeros(outputs, inputs)))
    }

    fn scaled(&self, by: f32) -> Self {
        let bias = self.bias.iter().map(|b| b * by).collect();
        Self { weight: self.weight.scaled(by), bias }
    }
}

pub(super) struct Layer {
    pub norm: Option<Scale>,
    /// `[head · dim, width]`, head-major; so are keys and values.
    pub queries: Full,
    pub keys: Full,
    pub values: Full,
    /// `[width, head · dim]`
    pub outputs: Full,
    pub mlp: Option<LayerMlp>,
}

pub(super) struct LayerMlp {
    pub norm: Option<Scale>,
    /// Of a gated MLP alone.
    pub gate: Option<Full>,
    /// `[hidden, width]`
    pub inputs: Full,
    /// `[width, hidden]`
    pub outputs: Full,
}

/// What all MLPs have in common.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Kind {
    /// The function's name, which is the same in all these libraries.
    pub activation: &'static str,
    pub gated: bool,
    /// Hidden units.
    pub hidden: usize,
}

pub(super) struct Uniform<'a> {
    pub of: &'a Anatomy,
    pub rotary: bool,
    pub parallel: bool,
    /// None: attention alone.
    pub mlp: Option<Kind>,
    pub layers: Vec<Layer>,
}

impl<'a> Uniform<'a> {
    /// `library` stands in messages; `silent` is the kind of MLPs that stand for none, where a library wants some.
    ///
    /// # Errors
    /// When layers differ in more than whether they have an MLP, or there are norms but none at the end.
    pub fn of(anatomy: &'a Anatomy, library: &str, silent: Option<Kind>) -> Result<Self> {
        let blocks = &anatomy.blocks;
        let rotary = blocks.iter().any(|b| b.rotary);
        if rotary && !blocks.iter().all(|b| b.rotary) {
            return Err(refused(
                library,
                "only some of its layers rotate queries and keys, there all of them do",
            ));
        }
        if anatomy.norm != NormKind::None && anatomy.final_norm.is_none() {
            return Err(refused(
                library,
                "it normalises in its layers but not before the unembedding, there both go together (model.final_norm)",
            ));
        }
        let with_mlp = || blocks.iter().filter(|b| b.mlp.is_some());
        let parallel = with_mlp().any(|b| b.parallel);
        let kinds: Vec<Kind> = blocks.iter().filter_map(|b| b.mlp.as_ref().map(kind)).collect();
        let mlp = kinds.first().copied().or(silent);
        if kinds.iter().any(|kind| Some(*kind) != mlp)
            || !with_mlp().all(|b| b.parallel == parallel)
        {
            return Err(refused(
                library,
                "its layers have MLPs of different kinds, there all are alike",
            ));
        }
        let layers = blocks.iter().map(|block| layer(anatomy, block, mlp)).collect();
        Ok(Self { of: anatomy, rotary, parallel, mlp, layers })
    }

    /// Positions `[length, width]` that are added to the embeddings: zeros where nothing is.
    pub fn positions(&self) -> Matrix {
        let none = || Matrix::zeros(self.of.length, self.of.width());
        self.of.positions.clone().unwrap_or_else(none)
    }

    /// Whether attention logits are divided by the root of the dimension of a head.
    pub fn has_usual_scale(&self) -> bool {
        self.of.scale == 1.0 / (self.of.dim as f32).sqrt()
    }

    /// The same network with the usual scale: queries are larger or smaller by what it differs.
    #[must_use]
    pub fn with_usual_scale(mut self) -> Self {
        if !self.has_usual_scale() {
            let by = f64::from(self.of.scale) * (self.of.dim as f64).sqrt();
            for layer in &mut self.layers {
                layer.queries = layer.queries.scaled(narrow(by));
            }
        }
        self
    }

    /// The bias of the logits, `[vocab]`.
    pub fn unembed_bias(&self) -> Arc<[f32]> {
        Full::of(&self.of.unembed).bias
    }
}

fn kind(mlp: &Mlp) -> Kind {
    match &mlp.hidden {
        // See `without_activation`.
        Hidden::Same => {
            Kind { activation: "relu", gated: false, hidden: 2 * mlp.outputs.weight.columns }
        }
        Hidden::Activated(inputs, activation) => {
            let activation = match activation {
                Activation::GeluTanh => "gelu_new",
                Activation::GeluErf => "gelu",
                Activation::Relu => "relu",
                Activation::Tanh => "tanh",
                Activation::Sigmoid => "sigmoid",
            };
            Kind { activation, gated: false, hidden: inputs.weight.rows }
        }
        Hidden::Gated { inputs, .. } => {
            Kind { activation: "silu", gated: true, hidden: inputs.weight.rows }
        }
    }
}

fn layer(anatomy: &Anatomy, block: &Block, kind: Option<Kind>) -> Layer {
    let mlp = match &block.mlp {
        Some(mlp) => Some(full_mlp(mlp)),
        None => kind.map(|kind| silent_mlp(anatomy, kind)),
    };
    Layer {
        norm: block.norm.clone(),
        queries: Full::of(&block.queries),
        keys: Full::of(&block.keys),
        values: Full::of(&block.values),
        outputs: Full::of(&block.outputs),
        mlp,
    }
}

fn full_mlp(mlp: &Mlp) -> LayerMlp {
    let (gate, inputs, outputs) = match &mlp.hidden {
        Hidden::Same => {
            let (inputs, outputs) = without_activation(&mlp.outputs);
            (None, inputs, outputs)
        }
        Hidden::Activated(inputs, _) => (None, Full::of(inputs), Full::of(&mlp.outputs)),
        Hidden::Gated { gate, inputs } => {
            (Some(Full::of(gate)), Full::of(inputs), Full::of(&mlp.outputs))
        }
    };
    LayerMlp { norm: mlp.norm.clone(), gate, inputs, outputs }
}

/// One linear map as an MLP with ReLU between two: `x` is `relu(x) - relu(-x)`, of which one is zero, so that nothing is
/// rounded.
fn without_activation(map: &Map) -> (Full, Full) {
    let (w, width) = (&map.weight, map.weight.columns);
    let sign = |i: usize, j: usize| match () {
        () if i == j => 1.0,
        () if i == width + j => -1.0,
        () => 0.0,
    };
    let inputs = Matrix::of(2 * width, width, sign);
    let both = |i, j: usize| if j < width { w.at(i, j) } else { -w.at(i, j - width) };
    let outputs = Matrix::of(w.rows, 2 * width, both);
    (Full::of(&Map::plain(inputs)), Full::of(&Map { weight: outputs, bias: map.bias.clone() }))
}

/// An MLP that adds zero.
fn silent_mlp(anatomy: &Anatomy, kind: Kind) -> LayerMlp {
    let width = anatomy.width();
    let all = |x: f32| Arc::from(vec![x; width]);
    let norm = match anatomy.norm {
        NormKind::Layer => Some(Scale { weight: all(1.0), bias: Some(all(0.0)) }),
        NormKind::Rms => Some(Scale { weight: all(1.0), bias: None }),
        NormKind::None => None,
    };
    LayerMlp {
        norm,
        gate: kind.gated.then(|| Full::zeros(kind.hidden, width)),
        inputs: Full::zeros(kind.hidden, width),
        outputs: Full::zeros(width, kind.hidden),
    }
}

/// The sentence for a gated MLP with biases that a library has no place for.
pub(super) fn check_biases(library: &str, uniform: &Uniform<'_>, outputs_too: bool) -> Result<()> {
    let zero = |map: &Full| map.bias.iter().all(|b| *b == 0.0);
    let gated = uniform.layers.iter().filter_map(|l| l.mlp.as_ref());
    for mlp in gated.filter(|mlp| mlp.gate.is_some()) {
        let kept = mlp.gate.as_ref().is_none_or(zero)
            && zero(&mlp.inputs)
            && (!outputs_too || zero(&mlp.outputs));
        if !kept {
            return Err(refused(
                library,
                "its gated MLPs add biases where that library adds none (model.biases)",
            ));
        }
    }
    Ok(())
}

/// A norm's weight and, for LayerNorm, its bias, under these names.
pub(super) fn norm_parts<'n>(
    scale: Option<&Scale>,
    names: [&'n str; 2],
) -> impl Iterator<Item = (&'n str, Arc<[f32]>)> {
    let weight = scale.map(|s| (names[0], s.weight.clone()));
    let bias = scale.and_then(|s| Some((names[1], s.bias.clone()?)));
    weight.into_iter().chain(bias)
}

/// A kind of norm as TransformerLens calls it.
pub(super) fn norm_name(kind: NormKind) -> Option<&'static str> {
    match kind {
        NormKind::Layer => Some("LN"),
        NormKind::Rms => Some("RMS"),
        NormKind::None => None,
    }
}

/// What norms add to the variance, in the shortest digits that mean the same `f32`.
pub(super) fn epsilon() -> Value {
    json!(EPSILON.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(EPSILON)))
}

/// The settings that either TransformerLens builds a network from.
pub(super) fn config(uniform: &Uniform<'_>) -> serde_json::Map<String, Value> {
    let of = uniform.of;
    let mut config = serde_json::Map::new();
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    set("n_layers", json!(of.blocks.len()));
    set("d_model", json!(of.width()));
    set("n_heads", json!(of.heads));
    set("d_head", json!(of.dim));
    set("n_ctx", json!(of.length));
    set("d_vocab", json!(of.vocab()));
    match uniform.mlp {
        Some(kind) => {
            set("d_mlp", json!(kind.hidden));
            set("act_fn", json!(kind.activation));
            if kind.gated {
                set("gated_mlp", json!(true));
            }
        }
        None => {
            set("attn_only", json!(true));
        }
    }
    set("normalization_type", json!(norm_name(of.norm)));
    set("eps", epsilon());
    let positions = if uniform.rotary { "rotary" } else { "standard" };
    set("positional_embedding_type", json!(positions));
    // The weights come from the file, and tokens are those of the task alone.
    set("init_weights", json!(false));
    set("default_prepend_bos", json!(false));
    config
}
