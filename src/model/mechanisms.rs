//! Transformers with competitive ensembles of independent mechanisms (TIM, arXiv 2103.00336).
//!
//! In the layers between the first and the last the stream is cut into slices, one for each mechanism. A mechanism attends, and passes its
//! MLP, by itself; at each position all of them compete for how much their attention may write, and then they exchange what they know by an
//! attention of their own, position by position. The first and the last layer are ordinary ones. Norms come after each sum.

use std::ops::Range;

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::nn::activation::Activation;
use crate::nn::attention::{Attention, Mask, Sees};
use crate::nn::norm::{Norm, NormKind};
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::sinusoidal;
use crate::nn::wire::{Along, Heads, Map, Wire};

use super::readout::Read;
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct Mechanisms = "A transformer whose middle layers are made of independent mechanisms that compete, position by position, for what is written." {
        /// Layers; the first and the last have one mechanism.
        layers: usize = 3, in 1..=12;
        /// Attention heads of each layer, divided among its mechanisms.
        heads: usize = 4, in 1..=64;
        /// Width of the residual stream, divided likewise.
        width: usize = 32, in 2..=4096;
        /// Mechanisms of the layers between; 1: an ordinary transformer of the same size.
        mechanisms: usize = 2, in 1..=16;
        /// Heads of the attention between mechanisms.
        communication: usize = 2, in 1..=16;
        /// Hidden units of the MLP, as a multiple of the width.
        mlp_ratio: f64 = 4.0, in 0.0625..=16.0;
        /// Standard deviation of fresh token embeddings.
        embedding_std: f64 = 0.5, in 0.0..=10.0;
        /// Sinusoids of the positions times this are added to the tokens.
        sinusoid_scale: f64 = 0.5, in 0.0..=10.0;
    }
}

/// How much each mechanism may write at a position: `[batch, pos, mechanism]`, the numbers of a position sum to 1.
pub const COMPETITION: Point = Point::own("gate.competition");

/// The layers that have several mechanisms, of so many.
pub fn competing(layers: usize) -> Range<usize> {
    1..layers.saturating_sub(1).max(1)
}

impl Architecture for Mechanisms {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        self.check()?;
        let (width, vocab, length) = (self.width, on.vocab, on.length);
        let embed = params.add("embed", &[vocab, width], Init::Normal(self.embedding_std), true)?;
        let scale = convert::narrow(self.sinusoid_scale);
        let places = sinusoidal(length, width).into_iter().map(|x| x * scale).collect();
        let positions = params.add_values("pos", &[length, width], places, false)?;
        let layers = (0..self.layers).map(|index| Layer::new(self, index, params));
        let layers = layers.collect::<Result<_>>()?;
        let unembed = Map::with_bias(params, "unembed", [vocab, width], fan_in(width))?;
        let heads = vec![self.heads; self.layers];
        let layout = Layout { kind: "mechanisms", heads, width, vocab, length };
        Ok(Box::new(Ensemble { layout, embed, positions, layers, unembed }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

impl Mechanisms {
    /// # Errors
    /// When width and heads cannot be divided.
    fn check(&self) -> Result<()> {
        let Self { width, heads, mechanisms, communication, .. } = *self;
        let divided = [
            ("heads", heads, "mechanisms", mechanisms),
            ("width", width, "mechanisms", mechanisms),
            ("width", width, "heads", heads),
        ];
        let uneven = divided.into_iter().find(|(_, what, _, among)| !what.is_multiple_of(*among));
        if let Some((what, number, among, count)) = uneven {
            return Err(Error::usage(format!(
                "model.{what} {number} cannot be divided among model.{among} {count}; change one of them"
            )));
        }
        let slice = width / mechanisms;
        if mechanisms > 1 && !slice.is_multiple_of(communication) {
            return Err(Error::usage(format!(
                "a mechanism has {slice} numbers of the stream (model.width / model.mechanisms), which cannot be divided among model.communication {communication}; change one of them"
            )));
        }
        Ok(())
    }
}

fn fan_in(inputs: usize) -> Init {
    Init::Normal(1.0 / (inputs as f64).sqrt())
}

struct Ensemble {
    layout: Layout,
    /// `[vocab, width]`
    embed: Param,
    /// `[length, width]`; never trained.
    positions: Param,
    layers: Vec<Layer>,
    unembed: Map,
}

/// A linear map of each slice of the stream by itself.
struct Sliced(Vec<Map>);

impl Sliced {
    /// Matrices `[outputs, inputs]`, called `NAME`, or `NAME.mechanism0` and so on where there are several.
    fn new(
        params: &mut Params,
        (name, count): (&str, usize),
        [outputs, inputs]: [usize; 2],
        (init, bias): (Init, bool),
    ) -> Result<Self> {
        let map = |name: String| match bias {
            true => Map::with_bias(params, &name, [outputs, inputs], init),
            false => params.add(&name, &[outputs, inputs], init, true).map(Map::plain),
        };
        named(name, count).map(map).collect::<Result<_>>().map(Self)
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X, width: usize) -> Result<W::X> {
        by_slice(wire, x, &self.0, width, |wire, x, map| wire.linear(x, *map))
    }
}

/// A norm of each slice of the stream by itself.
struct SlicedNorm(Vec<Norm>);

impl SlicedNorm {
    fn new(params: &mut Params, name: &str, count: usize, width: usize) -> Result<Self> {
        let norm = |name: String| Norm::new(params, &name, NormKind::Layer, width, true);
        named(name, count).map(norm).collect::<Result<_>>().map(Self)
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X, width: usize) -> Result<W::X> {
        by_slice(wire, x, &self.0, width, |wire, x, norm| wire.normalize(x, norm))
    }
}

fn named(name: &str, count: usize) -> impl Iterator<Item = String> + '_ {
    let called = move |i| match count {
        1 => name.to_owned(),
        _ => format!("{name}.mechanism{i}"),
    };
    (0..count).map(called)
}

/// Slices of `width` numbers, each through its own of `parts`, and side by side again.
fn by_slice<'m, W: Wire<'m>, P>(
    wire: &mut W,
    x: &W::X,
    parts: &'m [P],
    width: usize,
    through: impl Fn(&mut W, &W::X, &'m P) -> Result<W::X>,
) -> Result<W::X> {
    if let [part] = parts {
        return through(wire, x, part);
    }
    let mut all = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let slice = wire.slice(x, Along::Columns, i * width, width)?;
        all.push(through(wire, &slice, part)?);
    }
    wire.concat(&all, Along::Columns)
}

/// Queries, keys, values and outputs.
struct Maps {
    queries: Sliced,
    keys: Sliced,
    values: Sliced,
    outputs: Sliced,
}

impl Maps {
    fn new(params: &mut Params, name: &str, (count, slice): (usize, usize)) -> Result<Self> {
        let mut map = |part: &str| {
            let of = (format!("{name}.{part}"), [slice, slice], (fan_in(slice), false));
            Sliced::new(params, (&of.0, count), of.1, of.2)
        };
        Ok(Self { queries: map("wq")?, keys: map("wk")?, values: map("wv")?, outputs: map("wo")? })
    }

    fn read<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X, slice: usize) -> Result<[W::X; 3]> {
        let [q, k, v] = [&self.queries, &self.keys, &self.values].map(|m| m.wire(wire, x, slice));
        Ok([q?, k?, v?])
    }
}

/// What mechanisms have beside those of an ordinary layer.
struct Several {
    /// A number of each mechanism's slice, `[1, slice]` each.
    competition: Sliced,
    /// Ones where a number of the stream is a mechanism's, `[width, mechanism]`. Never trained.
    spreads: Map,
    communication: Maps,
    how: Attention,
    norm: SlicedNorm,
}

struct Layer {
    index: usize,
    width: usize,
    /// Numbers of the stream that a mechanism has.
    slice: usize,
    maps: Maps,
    how: Attention,
    norms: [SlicedNorm; 2],
    /// Hidden units of each mechanism.
    hidden: usize,
    inputs: Sliced,
    outputs: Sliced,
    several: Option<Several>,
}

impl Layer {
    fn new(settings: &Mechanisms, index: usize, params: &mut Params) -> Result<Self> {
        let Mechanisms { layers, heads, width, mechanisms, mlp_ratio, .. } = *settings;
        let count = if competing(layers).contains(&index) { mechanisms } else { 1 };
        let slice = width / count;
        let hidden = convert::index((mlp_ratio * slice as f64).round()).max(1);
        let name = |part: &str| format!("layer{index}.{part}");
        let scale = 1.0 / ((width / heads) as f32).sqrt();
        let mut mlp = |part: &str, shape: [usize; 2]| {
            Sliced::new(params, (&name(part), count), shape, (fan_in(shape[1]), true))
        };
        let (inputs, outputs) = (mlp("mlp.in", [hidden, slice])?, mlp("mlp.out", [slice, hidden])?);
        let mut norm = |part: &str| SlicedNorm::new(params, &name(part), count, slice);
        let norms = [norm("norm1")?, norm("norm2")?];
        let maps = Maps::new(params, &format!("layer{index}"), (count, slice))?;
        let several = || Several::new(settings, index, params);
        Ok(Self {
            index,
            width,
            slice,
            maps,
            how: Attention::causal(index, heads, scale),
            norms,
            hidden,
            inputs,
            outputs,
            several: (count > 1).then(several).transpose()?,
        })
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let x = wire.at(self.index, Point::ResidPre, x)?;
        let written = self.attended(wire, &x)?;
        let x = wire.sum(&x, &written)?;
        let x = self.norms[0].wire(wire, &x, self.slice)?;
        let x = wire.at(self.index, Point::ResidMid, x)?;
        let written = self.fed_forward(wire, &x)?;
        let x = wire.sum(&x, &written)?;
        let mut x = self.norms[1].wire(wire, &x, self.slice)?;
        if let Some(several) = &self.several {
            x = several.exchanged(wire, &x, [self.slice, self.width])?;
        }
        wire.at(self.index, Point::ResidPost, x)
    }

    /// What attention writes, as much of it as each mechanism may.
    fn attended<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X) -> Result<W::X> {
        let [queries, keys, read] = self.maps.read(wire, x, self.slice)?;
        let (queries, keys, read) = (&queries, &keys, &read);
        let heads =
            Heads { queries, keys, read, values: None, outputs: None, residual: None, last: false };
        let z = wire.attend(self.how, heads)?;
        let mut written = self.maps.outputs.wire(wire, &z, self.slice)?;
        if let Some(several) = &self.several {
            let scores = several.competition.wire(wire, x, self.slice)?;
            let shares = wire.softmax(&scores)?;
            let shares = wire.at(self.index, COMPETITION, shares)?;
            let gate = wire.linear(&shares, several.spreads)?;
            written = wire.product(&written, &gate)?;
        }
        wire.at(self.index, Point::AttnOut, written)
    }

    fn fed_forward<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: &W::X) -> Result<W::X> {
        let hidden = self.inputs.wire(wire, x, self.slice)?;
        let hidden = wire.activate(hidden, Activation::GeluTanh)?;
        let hidden = wire.at(self.index, Point::MlpPost, hidden)?;
        let written = self.outputs.wire(wire, &hidden, self.hidden)?;
        wire.at(self.index, Point::MlpOut, written)
    }
}

impl Several {
    fn new(settings: &Mechanisms, index: usize, params: &mut Params) -> Result<Self> {
        let Mechanisms { width, mechanisms: count, communication: heads, .. } = *settings;
        let slice = width / count;
        let name = |part: &str| format!("layer{index}.{part}");
        let init = (Init::Uniform(0.05), false);
        let competition = Sliced::new(params, (&name("competition"), count), [1, slice], init)?;
        let is_its = |i: usize| if i / count / slice == i % count { 1.0 } else { 0.0 };
        let ones = (0..width * count).map(is_its).collect();
        let spreads = params.add_values(&name("mechanism_of"), &[width, count], ones, false)?;
        let communication = Maps::new(params, &name("communication"), (count, slice))?;
        let scale = 1.0 / ((slice / heads) as f32).sqrt();
        let mask = Mask { memory: 0, sees: Sees::Together(count) };
        Ok(Self {
            competition,
            spreads: Map::plain(spreads),
            communication,
            how: Attention { mask, ..Attention::causal(index, heads, scale) },
            norm: SlicedNorm::new(params, &name("norm3"), count, slice)?,
        })
    }

    /// The stream after mechanisms have looked at each other, position by position: their slices are rows of a sequence.
    fn exchanged<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        x: &W::X,
        [slice, width]: [usize; 2],
    ) -> Result<W::X> {
        let [q, k, v] = self.communication.read(wire, x, slice)?;
        let [q, k, v] = [q, k, v].map(|x| wire.in_rows_of(&x, slice));
        let (queries, keys, read) = (&q?, &k?, &v?);
        let heads =
            Heads { queries, keys, read, values: None, outputs: None, residual: None, last: false };
        let z = wire.aside(|wire| wire.attend(self.how, heads))?;
        let z = wire.in_rows_of(&z, width)?;
        let written = self.communication.outputs.wire(wire, &z, slice)?;
        let x = wire.sum(x, &written)?;
        self.norm.wire(wire, &x, slice)
    }
}

impl Network for Ensemble {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let x = wire.embed(self.embed, Some(self.positions))?;
        let mut x = wire.at(0, Point::Embed, x)?;
        for layer in &self.layers {
            x = layer.wire(wire, x)?;
        }
        self.read().wire(wire, self.layers.len() - 1, x)
    }

    fn keeps(&self) -> Option<Keeps> {
        let competes = self.layers.iter().any(|layer| layer.several.is_some());
        competes.then_some(Keeps::Mechanisms)
    }

    fn read(&self) -> Read<'_> {
        Read::new(None, self.unembed)
    }

    /// Norms stand in the stream itself.
    fn has_stream(&self) -> bool {
        false
    }
}
