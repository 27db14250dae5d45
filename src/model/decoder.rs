//! The decoder: a plain pre-norm transformer, from two attention-only layers to the shapes of GPT-2 and Llama.

mod anatomy;

use crate::base::batch::Reals;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::weights::Weights;
use crate::nn::activation::Activation;
use crate::nn::attention::Attention;
use crate::nn::norm::{Norm, NormKind};
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::{Rotary, sinusoidal};
use crate::nn::wire::{Heads, Map, Wire};

use super::anatomy::Anatomy;
use super::readout::{Read, Written};
use super::{Architecture, Layout, Model, Network};

crate::choices! {
    /// How a token is told where it stands.
    pub enum Positions {
        /// A trained table `pos`, added to the embedding.
        Learned = "learned",
        /// A fixed table `pos` of sines and cosines, added to the embedding.
        Sinusoidal = "sinusoidal",
        /// Queries and keys are rotated.
        Rotary = "rotary",
        None = "none",
    }
}

crate::choices! {
    /// What follows the attention in a layer.
    pub enum MlpKind {
        None = "none",
        GeluTanh = "gelu_tanh",
        GeluErf = "gelu_erf",
        Relu = "relu",
        SwiGlu = "swiglu",
        /// One square matrix without anything between.
        Linear = "linear",
    }
}

crate::choices! {
    /// How matrices are drawn.
    pub enum InitKind {
        /// N(0, 0.02²), what writes into the residual stream divided by √(2 layers); biases 0.
        Gpt2 = "gpt2",
        /// Weights and biases uniform within ±1/√inputs.
        Torch = "torch",
        /// N(0, 0.64 / width), whatever a matrix reads; biases 0.
        TransformerLens = "transformer_lens",
    }
}

crate::choices! {
    /// What becomes of a matrix.
    pub enum MatrixKind {
        Trained = "trained",
        /// Stays as it was drawn.
        Frozen = "frozen",
        /// Left out.
        Identity = "identity",
    }
}

crate::settings! {
    /// Settings of the decoder.
    pub struct Decoder = "A plain pre-norm transformer: attention and, if wanted, an MLP in each layer." {
        /// Layers.
        layers: usize = 2, in 1..=12;
        /// Attention heads of each layer.
        heads: usize = 4, in 1..=64;
        /// Width of the residual stream.
        width: usize = 128, in 1..=4096;
        /// Dimension of a head; 0: the width divided by the number of heads.
        head_dim: usize = 0, in 0..=1024;
        /// Normalisation before attention and MLP: LayerNorm, RMSNorm or none.
        norm: NormKind = NormKind::Layer;
        /// Normalise once more before the unembedding.
        final_norm: bool = true;
        /// Positions: a learned table, a table of sinusoids, rotation of queries and keys, or none.
        positions: Positions = Positions::Learned;
        /// MLP after the attention: none, one of four activations, or a single square matrix.
        mlp: MlpKind = MlpKind::GeluTanh;
        /// Hidden units of the MLP, as a multiple of the width.
        mlp_ratio: f64 = 4.0, in 0.0625..=16.0;
        /// Whether the first layer has an MLP too.
        first_mlp: bool = true;
        /// The MLP reads the input of its layer, not the sum of it and the attention's output.
        parallel: bool = false;
        /// Biases in the linear maps of attention and MLP.
        biases: bool = true;
        /// A bias on the logits.
        unembed_bias: bool = false;
        /// The unembedding is the token embedding.
        tied: bool = false;
        /// How matrices are drawn: as GPT-2's, as torch draws a linear layer, or as TransformerLens draws a network, with standard deviation 0.8/√width.
        init: InitKind = InitKind::Gpt2;
        /// Standard deviation of fresh token and position embeddings.
        embedding_std: f64 = 0.02, in 0.0..=10.0;
        /// Token and position embeddings stay as they were drawn.
        freeze_embeddings: bool = false;
        /// The unembedding stays as it was drawn.
        freeze_output: bool = false;
        /// Value matrices: trained, frozen as drawn, or left out (then all heads together must be as wide as the stream).
        values: MatrixKind = MatrixKind::Trained;
        /// Output matrices of attention, likewise.
        outputs: MatrixKind = MatrixKind::Trained;
    }
}

impl Architecture for Decoder {
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
        self.build_on_reals(Reals::default(), vocab, length, params)
    }

    fn build_on_reals(
        &self,
        reals: Reals,
        vocab: usize,
        length: usize,
        params: &mut Params,
    ) -> Result<Box<dyn Model>> {
        if self.tied && reals.outputs > 0 {
            return Err(Error::usage(
                "model.tied makes the unembedding the token embedding, and this task predicts real numbers; untie them",
            ));
        }
        let shape = Shape { reals, ..self.shape(vocab, length)? };
        Ok(Box::new(Transformer::new(&mut Builder { settings: self, shape, params })?))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }

    fn anatomy(&self, weights: &Weights, length: usize) -> Result<Anatomy> {
        anatomy::anatomy(self, weights, length)
    }
}

struct Transformer {
    layout: Layout,
    /// `[vocab, width]`
    embed: Param,
    /// Added to the embedding.
    positions: Option<Param>,
    /// Reads the real numbers that positions carry, `[width, inputs]`; added too.
    values: Option<Map>,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocab, width]`; the embedding itself when tied. `[outputs, width]` where real numbers are predicted.
    unembed: Map,
}

impl Network for Transformer {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let mut x = wire.embed(self.embed, self.positions)?;
        if let Some(values) = self.values {
            x = wire.values(&x, values)?;
        }
        x = wire.at(0, Point::Embed, x)?;
        for layer in &self.layers {
            x = layer.wire(wire, x)?;
        }
        self.read().wire(wire, self.layers.len() - 1, x)
    }

    fn read(&self) -> Read<'_> {
        Read { norm: Some(&self.norm), unembed: self.unembed, scale: 1.0 }
    }

    fn written(&self, layer: usize) -> Option<Written> {
        let SelfAttention { how, outputs, .. } = &self.layers.get(layer)?.attention;
        Some(Written { heads: how.heads, outputs: *outputs })
    }
}

impl Transformer {
    fn new(build: &mut Builder<'_>) -> Result<Self> {
        let settings = build.settings;
        let embed = build.table("embed", build.shape.vocab)?;
        Ok(Self {
            layout: build.layout(),
            embed,
            positions: build.positions()?,
            values: build.values()?,
            layers: (0..settings.layers).map(|i| Layer::new(build, i)).collect::<Result<_>>()?,
            norm: build.norm("norm", settings.final_norm)?,
            unembed: build.unembed(embed)?,
        })
    }
}

/// `x + attention(norm(x))`, then `+ mlp(norm(..))` of that sum, or of `x` itself if parallel.
struct Layer {
    index: usize,
    norm1: Norm,
    attention: SelfAttention,
    mlp: Option<(Norm, Mlp)>,
    parallel: bool,
}

impl Layer {
    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let x = wire.at(self.index, Point::ResidPre, x)?;
        let read = wire.normalize(&x, &self.norm1)?;
        let mut sum = self.attention.wire(wire, &x, &read)?;
        if let Some((norm2, mlp)) = &self.mlp {
            sum = wire.at(self.index, Point::ResidMid, sum)?;
            let read = wire.normalize(if self.parallel { &x } else { &sum }, norm2)?;
            sum = mlp.wire(wire, self.index, &sum, read)?;
        }
        wire.at(self.index, Point::ResidPost, sum)
    }

    fn new(build: &mut Builder<'_>, index: usize) -> Result<Self> {
        let settings = build.settings;
        let name = format!("layer{index}");
        let norm1 = build.norm(&format!("{name}.norm1"), true)?;
        let attention = SelfAttention::new(build, index)?;
        let has_mlp = settings.mlp != MlpKind::None && (index > 0 || settings.first_mlp);
        let mlp = if has_mlp {
            Some((build.norm(&format!("{name}.norm2"), true)?, Mlp::new(build, &name)?))
        } else {
            None
        };
        Ok(Self { index, norm1, attention, mlp, parallel: settings.parallel })
    }
}

struct SelfAttention {
    how: Attention,
    /// `[head · dim, width]`, head-major, each.
    queries: Map,
    keys: Map,
    values: Option<Map>,
    /// `[width, head · dim]`
    outputs: Option<Map>,
    rotary: Option<Rotary>,
}

impl SelfAttention {
    /// `x + W_O · attention over read`
    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X, read: &W::X) -> Result<W::X> {
        let mut queries = wire.linear(read, self.queries)?;
        let mut keys = wire.linear(read, self.keys)?;
        if let Some(rotary) = &self.rotary {
            (queries, keys) = (wire.rotate(&queries, rotary)?, wire.rotate(&keys, rotary)?);
        }
        let Self { values, outputs, .. } = *self;
        let (queries, keys) = (&queries, &keys);
        let heads = Heads { queries, keys, read, values, outputs, residual: x, last: false };
        wire.attend(self.how, heads)
    }

    fn new(build: &mut Builder<'_>, index: usize) -> Result<Self> {
        let (settings, shape) = (build.settings, build.shape);
        let inner = settings.heads * shape.head_dim;
        let name = |part: &str| format!("layer{index}.{part}");
        let within = |kind| MapPlan { kind, ..build.within(settings.width, inner) };
        let (trained, values) = (within(MatrixKind::Trained), within(settings.values));
        let outputs = MapPlan { kind: settings.outputs, ..build.writing(inner, settings.width) };
        let rotary = match settings.positions {
            Positions::Rotary => Some(Rotary::new(shape.length, shape.head_dim)?),
            Positions::Learned | Positions::Sinusoidal | Positions::None => None,
        };
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        Ok(Self {
            how: Attention::causal(index, settings.heads, scale),
            queries: build.map(&name("wq"), &name("bq"), trained)?,
            keys: build.map(&name("wk"), &name("bk"), trained)?,
            values: build.map_unless_identity(&name("wv"), &name("bv"), values)?,
            outputs: build.map_unless_identity(&name("wo"), &name("bo"), outputs)?,
            rotary,
        })
    }
}

struct Mlp {
    hidden: Hidden,
    outputs: Map,
}

/// What the last map of an MLP reads.
enum Hidden {
    /// The input itself.
    Same,
    Activated(Map, Activation),
    /// `swiglu(gate x, in x)`
    Gated {
        gate: Map,
        inputs: Map,
    },
}

impl Mlp {
    /// `sum + mlp(x)`
    fn wire<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: usize,
        sum: &W::X,
        x: W::X,
    ) -> Result<W::X> {
        let hidden = match &self.hidden {
            Hidden::Same => x,
            Hidden::Activated(inputs, activation) => {
                let inputs = wire.linear(&x, *inputs)?;
                let hidden = wire.activate(inputs, *activation)?;
                wire.at(layer, Point::MlpPost, hidden)?
            }
            Hidden::Gated { gate, inputs } => {
                let (gate, inputs) = (wire.linear(&x, *gate)?, wire.linear(&x, *inputs)?);
                let hidden = wire.swiglu(&gate, &inputs)?;
                wire.at(layer, Point::MlpPost, hidden)?
            }
        };
        wire.write(Site { layer, point: Point::MlpOut }, sum, &hidden, self.outputs)
    }

    fn new(build: &mut Builder<'_>, layer: &str) -> Result<Self> {
        let (kind, width, hidden_width) =
            (build.settings.mlp, build.settings.width, build.shape.hidden);
        let mut reads = |part: &str| {
            let name = format!("{layer}.mlp.{part}");
            build.map(&name, &format!("{name}_bias"), build.within(width, hidden_width))
        };
        let hidden = match kind {
            MlpKind::None | MlpKind::Linear => Hidden::Same,
            MlpKind::GeluTanh => Hidden::Activated(reads("in")?, Activation::GeluTanh),
            MlpKind::GeluErf => Hidden::Activated(reads("in")?, Activation::GeluErf),
            MlpKind::Relu => Hidden::Activated(reads("in")?, Activation::Relu),
            MlpKind::SwiGlu => Hidden::Gated { gate: reads("gate")?, inputs: reads("in")? },
        };
        let inputs = if matches!(hidden, Hidden::Same) { width } else { hidden_width };
        let name = format!("{layer}.mlp.out");
        let plan = build.writing(inputs, width);
        Ok(Self { hidden, outputs: build.map(&name, &format!("{name}_bias"), plan)? })
    }
}

/// Sizes that follow from the settings.
#[derive(Clone, Copy)]
struct Shape {
    vocab: usize,
    length: usize,
    head_dim: usize,
    /// Hidden units of an MLP.
    hidden: usize,
    /// None in a task of tokens.
    reals: Reals,
}

impl Decoder {
    fn shape(&self, vocab: usize, length: usize) -> Result<Shape> {
        if self.head_dim == 0 && !self.width.is_multiple_of(self.heads) {
            return Err(Error::usage(format!(
                "model.width {} cannot be divided among model.heads {}; change one of them or set model.head_dim",
                self.width, self.heads
            )));
        }
        let head_dim = if self.head_dim == 0 { self.width / self.heads } else { self.head_dim };
        let left_out = self.values == MatrixKind::Identity || self.outputs == MatrixKind::Identity;
        if left_out && self.heads * head_dim != self.width {
            return Err(Error::usage(format!(
                "value or output matrices can be left out only if model.heads times model.head_dim ({}) is model.width ({})",
                self.heads * head_dim,
                self.width
            )));
        }
        if self.tied && self.freeze_output != self.freeze_embeddings {
            return Err(Error::usage(
                "model.tied makes the unembedding the token embedding: set model.freeze_embeddings and model.freeze_output alike, or untie them",
            ));
        }
        let hidden = convert::index((self.mlp_ratio * self.width as f64).round()).max(1);
        Ok(Shape { vocab, length, head_dim, hidden, reals: Reals::default() })
    }
}

/// A linear map to be added.
#[derive(Clone, Copy)]
struct MapPlan {
    inputs: usize,
    outputs: usize,
    /// Standard deviation under GPT-2's initialisation.
    std: f64,
    bias: bool,
    kind: MatrixKind,
}

/// Adds parameters in order, as the settings say.
struct Builder<'a> {
    settings: &'a Decoder,
    shape: Shape,
    params: &'a mut Params,
}

/// Standard deviation of GPT-2's weights (Radford et al. 2019).
const GPT2_STD: f64 = 0.02;

impl Builder<'_> {
    fn layout(&self) -> Layout {
        Layout {
            kind: "decoder",
            heads: vec![self.settings.heads; self.settings.layers],
            width: self.settings.width,
            vocab: self.shape.vocab,
            length: self.shape.length,
        }
    }

    /// A table of embeddings `[rows, width]`.
    fn table(&mut self, name: &str, rows: usize) -> Result<Param> {
        let init = Init::Normal(self.settings.embedding_std);
        let trained = !self.settings.freeze_embeddings;
        self.params.add(name, &[rows, self.settings.width], init, trained)
    }

    fn positions(&mut self) -> Result<Option<Param>> {
        let (length, width) = (self.shape.length, self.settings.width);
        Ok(match self.settings.positions {
            Positions::Learned => Some(self.table("pos", length)?),
            Positions::Sinusoidal => {
                let values = sinusoidal(length, width);
                Some(self.params.add_values("pos", &[length, width], values, false)?)
            }
            Positions::Rotary | Positions::None => None,
        })
    }

    fn values(&mut self) -> Result<Option<Map>> {
        let plan = self.within(self.shape.reals.inputs, self.settings.width);
        if plan.inputs == 0 {
            return Ok(None);
        }
        self.map("values", "values_bias", MapPlan { bias: false, ..plan }).map(Some)
    }

    fn norm(&mut self, name: &str, wanted: bool) -> Result<Norm> {
        let kind = if wanted { self.settings.norm } else { NormKind::None };
        Norm::new(self.params, name, kind, self.settings.width, true)
    }

    fn unembed(&mut self, embed: Param) -> Result<Map> {
        let settings = self.settings;
        let outputs = match self.shape.reals.outputs {
            0 => self.shape.vocab,
            outputs => outputs,
        };
        let kind = if settings.freeze_output { MatrixKind::Frozen } else { MatrixKind::Trained };
        let plan =
            MapPlan { kind, bias: settings.unembed_bias, ..self.within(settings.width, outputs) };
        if settings.tied {
            return Ok(Map { weight: embed, bias: self.bias("unembed_bias", plan)? });
        }
        self.map("unembed", "unembed_bias", plan)
    }

    /// A map that reads the residual stream.
    fn within(&self, inputs: usize, outputs: usize) -> MapPlan {
        let (bias, kind) = (self.settings.biases, MatrixKind::Trained);
        MapPlan { inputs, outputs, std: GPT2_STD, bias, kind }
    }

    /// A map that writes into the residual stream, as two of them do in each layer.
    fn writing(&self, inputs: usize, outputs: usize) -> MapPlan {
        let writers = 2.0 * self.settings.layers as f64;
        MapPlan { std: GPT2_STD / writers.sqrt(), ..self.within(inputs, outputs) }
    }

    fn map(&mut self, name: &str, bias_name: &str, plan: MapPlan) -> Result<Map> {
        let init = match self.settings.init {
            InitKind::Gpt2 => Init::Normal(plan.std),
            InitKind::Torch => Init::Uniform(1.0 / (plan.inputs as f64).sqrt()),
            InitKind::TransformerLens => Init::Normal(0.8 / (self.settings.width as f64).sqrt()),
        };
        let trained = plan.kind == MatrixKind::Trained;
        let weight = self.params.add(name, &[plan.outputs, plan.inputs], init, trained)?;
        Ok(Map { weight, bias: self.bias(bias_name, plan)? })
    }

    fn bias(&mut self, name: &str, plan: MapPlan) -> Result<Option<Param>> {
        if !plan.bias {
            return Ok(None);
        }
        let init = match self.settings.init {
            InitKind::Gpt2 | InitKind::TransformerLens => Init::Zeros,
            InitKind::Torch => Init::Uniform(1.0 / (plan.inputs as f64).sqrt()),
        };
        let trained = plan.kind == MatrixKind::Trained;
        Ok(Some(self.params.add(name, &[plan.outputs], init, trained)?))
    }

    fn map_unless_identity(
        &mut self,
        name: &str,
        bias_name: &str,
        plan: MapPlan,
    ) -> Result<Option<Map>> {
        if plan.kind == MatrixKind::Identity {
            return Ok(None);
        }
        self.map(name, bias_name, plan).map(Some)
    }
}
