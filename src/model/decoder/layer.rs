//! A layer of a decoder, which transformers with a memory have too, and what builds it.

use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::nn::activation::Activation;
use crate::nn::attention::{Attention, Mask};
use crate::nn::norm::{Norm, NormKind};
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::{Rotary, sinusoidal};
use crate::nn::wire::{Heads, Map, Wire};

use super::{Decoder, InitKind, MatrixKind, MlpKind, Positions};
use crate::model::readout::Written;
use crate::model::reads::Reading;
use crate::model::{Layout, Sequences};

/// `x + attention(norm(x))`, then `+ mlp(norm(..))` of that sum, or of `x` itself if parallel.
#[derive(Clone)]
pub(in crate::model) struct Layer {
    pub index: usize,
    pub norm1: Norm,
    pub attention: SelfAttention,
    pub mlp: Option<(Norm, Mlp)>,
    pub parallel: bool,
    /// Of what attention and MLP write, before it is added.
    pub after: Option<[Norm; 2]>,
}

impl Layer {
    pub fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let x = wire.at(self.index, Point::ResidPre, x)?;
        let read = wire.normalize(&x, &self.norm1)?;
        let sum = match &self.after {
            None => self.attention.wire(wire, Some(&x), &read)?,
            Some([norm, _]) => {
                let written = self.attention.wire(wire, None, &read)?;
                let written = wire.normalize(&written, norm)?;
                let written = wire.at(self.index, Point::AttnOut, written)?;
                wire.sum(&x, &written)?
            }
        };
        self.fed_forward(wire, &x, sum)
    }

    /// What goes on from a layer that reads `x`, whose sum with the attention's output is `sum`.
    pub fn fed_forward<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        x: &W::X,
        mut sum: W::X,
    ) -> Result<W::X> {
        if let Some((norm2, mlp)) = &self.mlp {
            sum = wire.at(self.index, Point::ResidMid, sum)?;
            let read = wire.normalize(if self.parallel { x } else { &sum }, norm2)?;
            let after = self.after.as_ref().map(|[_, norm]| norm);
            sum = mlp.wire(wire, self.index, &sum, read, after)?;
        }
        wire.at(self.index, Point::ResidPost, sum)
    }

    pub fn written(&self) -> Written {
        let SelfAttention { how, outputs, .. } = self.attention;
        let mlp = self.mlp.as_ref().filter(|_| self.after.is_none());
        Written { heads: how.heads, outputs, mlp: mlp.map(|(_, mlp)| mlp.outputs) }
    }

    pub fn reading(&self) -> Reading<'_> {
        let SelfAttention { how, queries, keys, values, .. } = self.attention;
        Reading {
            norm: Some(&self.norm1),
            how,
            queries: Some(queries),
            keys: Some(keys),
            values,
            head_norms: self.attention.head_norms.as_ref(),
            rotary: self.attention.rotary.as_ref(),
            by_distance: false,
        }
    }

    pub fn new(build: &mut Builder<'_>, index: usize) -> Result<Self> {
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
        Ok(Self { index, norm1, attention, mlp, parallel: settings.parallel, after: None })
    }
}

#[derive(Clone)]
pub(in crate::model) struct SelfAttention {
    pub how: Attention,
    /// `[head · dim, width]`, head-major, each.
    pub queries: Map,
    pub keys: Map,
    pub values: Option<Map>,
    /// `[width, head · dim]`
    pub outputs: Option<Map>,
    pub rotary: Option<Rotary>,
    /// Of each head of the queries and of the keys, before they are rotated.
    pub head_norms: Option<[Norm; 2]>,
}

impl SelfAttention {
    /// `x + W_O · attention over read`
    fn wire<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        x: Option<&W::X>,
        read: &W::X,
    ) -> Result<W::X> {
        let mut queries = wire.linear(read, self.queries)?;
        let mut keys = wire.linear(read, self.keys)?;
        if let Some([of_queries, of_keys]) = &self.head_norms {
            queries = wire.normalize(&queries, of_queries)?;
            keys = wire.normalize(&keys, of_keys)?;
        }
        if let Some(rotary) = &self.rotary {
            let first = wire.first();
            queries = wire.rotate(&queries, rotary, first)?;
            keys = wire.rotate(&keys, rotary, first)?;
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
            Positions::Rotary => Some(Rotary::new(shape.on.length, shape.head_dim)?),
            Positions::Learned | Positions::Sinusoidal | Positions::None => None,
        };
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        Ok(Self {
            how: Attention { mask: build.mask, ..Attention::causal(index, settings.heads, scale) },
            queries: build.map(&name("wq"), &name("bq"), trained)?,
            keys: build.map(&name("wk"), &name("bk"), trained)?,
            values: build.map_unless_identity(&name("wv"), &name("bv"), values)?,
            outputs: build.map_unless_identity(&name("wo"), &name("bo"), outputs)?,
            rotary,
            head_norms: None,
        })
    }
}

#[derive(Clone)]
pub(in crate::model) struct Mlp {
    pub hidden: Hidden,
    pub outputs: Map,
}

/// What the last map of an MLP reads.
#[derive(Clone)]
pub(in crate::model) enum Hidden {
    /// The input itself.
    Same,
    Activated(Map, Activation),
    /// `f(gate x) · in x`; without an activation `f` is `SiLU` (`SwiGLU`).
    Gated {
        gate: Map,
        inputs: Map,
        activation: Option<Activation>,
    },
    /// `norm(solu(in x))`
    Solu(Map, Norm),
}

impl Hidden {
    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, layer: usize, x: W::X) -> Result<W::X> {
        let hidden = match self {
            Self::Same => return Ok(x),
            Self::Activated(inputs, activation) => {
                let inputs = wire.linear(&x, *inputs)?;
                wire.activate(inputs, *activation)?
            }
            Self::Gated { gate, inputs, activation } => {
                let (gate, inputs) = (wire.linear(&x, *gate)?, wire.linear(&x, *inputs)?);
                match activation {
                    None => wire.swiglu(&gate, &inputs)?,
                    Some(activation) => {
                        let gate = wire.activate(gate, *activation)?;
                        wire.product(&gate, &inputs)?
                    }
                }
            }
            Self::Solu(inputs, norm) => {
                let inputs = wire.linear(&x, *inputs)?;
                let hidden = wire.solu(&inputs)?;
                wire.normalize(&hidden, norm)?
            }
        };
        wire.at(layer, Point::MlpPost, hidden)
    }
}

impl Mlp {
    /// `sum + mlp(x)`, of which a norm may come `after`.
    fn wire<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: usize,
        sum: &W::X,
        x: W::X,
        after: Option<&'m Norm>,
    ) -> Result<W::X> {
        let hidden = self.hidden.wire(wire, layer, x)?;
        let Some(norm) = after else {
            return wire.write(Site { layer, point: Point::MlpOut }, sum, &hidden, self.outputs);
        };
        let written = wire.linear(&hidden, self.outputs)?;
        let written = wire.normalize(&written, norm)?;
        let written = wire.at(layer, Point::MlpOut, written)?;
        wire.sum(sum, &written)
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
            MlpKind::SwiGlu => {
                Hidden::Gated { gate: reads("gate")?, inputs: reads("in")?, activation: None }
            }
        };
        let inputs = if matches!(hidden, Hidden::Same) { width } else { hidden_width };
        let name = format!("{layer}.mlp.out");
        let plan = build.writing(inputs, width);
        Ok(Self { hidden, outputs: build.map(&name, &format!("{name}_bias"), plan)? })
    }
}

/// Sizes that follow from the settings.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    on: Sequences,
    pub head_dim: usize,
    /// Hidden units of an MLP.
    hidden: usize,
}

impl Decoder {
    pub(super) fn shape(&self, on: Sequences) -> Result<Shape> {
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
        Ok(Shape { on, head_dim, hidden })
    }
}

/// A linear map to be added.
#[derive(Clone, Copy)]
struct MapPlan {
    inputs: usize,
    outputs: usize,
    /// Standard deviation under GPT-2's initialisation, and under that by inputs.
    std: f64,
    bias: bool,
    kind: MatrixKind,
}

/// Adds parameters in order, as the settings say.
pub(in crate::model) struct Builder<'a> {
    pub settings: &'a Decoder,
    shape: Shape,
    /// Of all layers.
    mask: Mask,
    pub params: &'a mut Params,
}

/// Standard deviation of GPT-2's weights (Radford et al. 2019).
const GPT2_STD: f64 = 0.02;

impl<'a> Builder<'a> {
    /// # Errors
    /// When settings contradict each other.
    pub fn new(
        settings: &'a Decoder,
        on: Sequences,
        mask: Mask,
        params: &'a mut Params,
    ) -> Result<Self> {
        Ok(Self { settings, shape: settings.shape(on)?, mask, params })
    }

    pub fn layout(&self, kind: &'static str) -> Layout {
        Layout {
            kind,
            heads: vec![self.settings.heads; self.settings.layers],
            width: self.settings.width,
            vocab: self.shape.on.vocab,
            length: self.shape.on.length,
        }
    }

    pub fn layers(&mut self) -> Result<Vec<Layer>> {
        (0..self.settings.layers).map(|index| Layer::new(self, index)).collect()
    }

    /// Numbers in a query of one head.
    pub fn head_dim(&self) -> usize {
        self.shape.head_dim
    }

    /// Of the tokens, `[vocab, width]`.
    pub fn embedding(&mut self) -> Result<Param> {
        self.table("embed", self.shape.on.vocab)
    }

    /// A table of embeddings `[rows, width]`.
    pub fn table(&mut self, name: &str, rows: usize) -> Result<Param> {
        self.table_of(name, rows, self.settings.embedding_std)
    }

    fn table_of(&mut self, name: &str, rows: usize, std: f64) -> Result<Param> {
        let trained = !self.settings.freeze_embeddings;
        self.params.add(name, &[rows, self.settings.width], Init::Normal(std), trained)
    }

    pub fn positions(&mut self) -> Result<Option<Param>> {
        let (length, width) = (self.shape.on.length, self.settings.width);
        Ok(match self.settings.positions {
            Positions::Learned => {
                let Decoder { position_std, embedding_std, .. } = *self.settings;
                let std = if position_std == 0.0 { embedding_std } else { position_std };
                Some(self.table_of("pos", length, std)?)
            }
            Positions::Sinusoidal => {
                let mut values = sinusoidal(length, width);
                values.iter_mut().for_each(|value| *value *= narrow(self.settings.sinusoid_scale));
                Some(self.params.add_values("pos", &[length, width], values, false)?)
            }
            Positions::Rotary | Positions::None => None,
        })
    }

    pub fn values(&mut self) -> Result<Option<Map>> {
        let plan = self.within(self.shape.on.reals.inputs, self.settings.width);
        if plan.inputs == 0 {
            return Ok(None);
        }
        self.map("values", "values_bias", MapPlan { bias: false, ..plan }).map(Some)
    }

    pub fn final_norm(&mut self) -> Result<Norm> {
        self.norm("norm", self.settings.final_norm)
    }

    fn norm(&mut self, name: &str, wanted: bool) -> Result<Norm> {
        let kind = if wanted { self.settings.norm } else { NormKind::None };
        Norm::new(self.params, name, kind, self.settings.width, true)
    }

    pub fn unembed(&mut self, embed: Param) -> Result<Map> {
        let settings = self.settings;
        let outputs = match self.shape.on.reals.outputs {
            0 => self.shape.on.vocab,
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
        let std = match self.settings.init {
            InitKind::FanIn => 1.0 / (inputs.max(1) as f64).sqrt(),
            InitKind::Gpt2 | InitKind::Torch | InitKind::TransformerLens => GPT2_STD,
        };
        MapPlan { inputs, outputs, std, bias, kind }
    }

    /// A map that writes into the residual stream, as two of them do in each layer.
    fn writing(&self, inputs: usize, outputs: usize) -> MapPlan {
        let writers = 2.0 * self.settings.layers as f64;
        let plan = self.within(inputs, outputs);
        MapPlan { std: plan.std / writers.sqrt(), ..plan }
    }

    fn map(&mut self, name: &str, bias_name: &str, plan: MapPlan) -> Result<Map> {
        let init = match self.settings.init {
            InitKind::Gpt2 | InitKind::FanIn => Init::Normal(plan.std),
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
            InitKind::Gpt2 | InitKind::TransformerLens | InitKind::FanIn => Init::Zeros,
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
