//! A reduced model of an induction head: two layers of attention with six trained numbers, on real numbers.
//!
//! ```text
//! layer 0          y_s   = sum_{t < s} softmax_t(-p1 (s - 1 - t)) x_t
//! layer 1, head 0  out_0 = g1 sum_s softmax_s(-p2 (T - 1 - s)) y_s
//! layer 1, head 1  out_1 = g2 sum_s softmax_s(wq wk x_T y_s) x_s          2 <= s <= T - 1
//! ```
//!
//! With large `p1` layer 0 is a previous-token head, `y_s = x_{s-1}`; with large `p2` head 0 gives `x_{T-2}`, and head 1 is an induction head:
//! where a number was like the last one it takes what followed. The setting (two layers of attention, relative positions, six numbers
//! trained layer by layer from a small start) is that of Wang, Yu, E and Wu 2024 (arXiv 2410.11474); the formulas are our reconstruction.

use crate::base::batch::Reals;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::nn::attention::{Attention, Mask, Sees};
use crate::nn::params::{Init, Param, Params, draw};
use crate::nn::wire::{Along, Heads, Map, Wire};

use super::readout::{Read, Written};
use super::{Architecture, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct ReducedInduction = "Two layers of attention with six trained numbers in all: a previous-token head, and behind it a head that minds the distance and one that minds similarity." {
        /// All trained numbers begin at this.
        start: f64 = 0.01, in 1e-9..=10.0, @log;
        /// The first layer's, p1, begins at this; 0: as the others. 20 or more is a previous-token head from the start.
        previous: f64 = 0.0, in 0.0..=100.0;
    }
}

/// Numbers of the stream: x, y and what the two heads of the second layer write.
const WIDTH: usize = 4;
const X: usize = 0;
const Y: usize = 1;

/// Added to the logit of a key that no query of the second layer sees: its weight is then 0 in single precision.
const HIDDEN: f32 = -1e4;

impl Architecture for ReducedInduction {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        Ok(Box::new(Reduced::new(self, on, params)?))
    }

    fn reads_reals(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

/// The trained numbers, `[1, 1]` each.
struct Six {
    p1: Map,
    p2: Map,
    g1: Map,
    wq: Map,
    wk: Map,
    g2: Map,
}

struct Reduced {
    layout: Layout,
    /// What a token puts into the stream, `[vocab, width]`: nothing where positions carry numbers.
    embed: Param,
    /// `[width, 1]`: the number of a position becomes x.
    values: Option<Map>,
    /// Of each position 1, its place, and what hides the first from the second layer; `[length, 3]`.
    places: Param,
    /// `W_V` and `W_O` of the first layer: of x, into y.
    copy: [Map; 2],
    /// `W_O` of the second layer, `[width, 2]`: what its heads write are the last two numbers of the stream. Its values are y and x, each times
    /// the number of its head.
    outputs: Map,
    six: Six,
    /// `[outputs, width]`
    unembed: Map,
}

impl Six {
    fn new(settings: &ReducedInduction, params: &mut Params) -> Result<Self> {
        let previous = if settings.previous > 0.0 { settings.previous } else { settings.start };
        let mut number = |name, start| {
            params.add_values(name, &[1, 1], vec![narrow(start)], true).map(Map::plain)
        };
        Ok(Self {
            p1: number("p1", previous)?,
            p2: number("p2", settings.start)?,
            g1: number("g1", settings.start)?,
            wq: number("wq", settings.start)?,
            wk: number("wk", settings.start)?,
            g2: number("g2", settings.start)?,
        })
    }
}

impl Reduced {
    fn new(settings: &ReducedInduction, on: Sequences, params: &mut Params) -> Result<Self> {
        check(on)?;
        let Sequences { vocab, length, reals, .. } = on;
        let carries = reals.inputs > 0;
        let six = Six::new(settings, params)?;
        let embed =
            params.add_values("embed", &[vocab, WIDTH], embedding(vocab, carries), false)?;
        let places = params.add_values("places", &[length, 3], places(length), false)?;
        let values = carries.then(|| chosen(params, "values", [WIDTH, 1], &[X])).transpose()?;
        let copy = [
            chosen(params, "layer0.wv", [1, WIDTH], &[X])?,
            chosen(params, "layer0.wo", [WIDTH, 1], &[Y])?,
        ];
        let outputs = chosen(params, "layer1.wo", [WIDTH, 2], &[2 * 2, 3 * 2 + 1])?;
        let unembed = if carries {
            chosen(params, "unembed", [2, WIDTH], &[2, WIDTH + 3])?
        } else {
            Map::plain(params.add("unembed", &[vocab, WIDTH], Init::Normal(1.0), false)?)
        };
        let kind = "reduced_induction";
        let layout = Layout { kind, heads: vec![1, 2], width: WIDTH, vocab, length };
        Ok(Self { layout, embed, values, places, copy, outputs, six, unembed })
    }

    /// Of each position that is read 1, its place and what hides the first, `[batch, pos, 1]` each.
    fn places<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<[W::X; 3]> {
        let all = wire.repeat(self.places)?;
        let (first, count) = (wire.first(), wire.positions());
        let here = wire.slice(&all, Along::Positions, first, count)?;
        wire.split(&here, 1)
    }

    /// The stream behind the first layer. Its scores are `p1 t`: what `-p1 (s - 1 - t)` has beside is the same for all keys.
    fn first<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X, at: &[W::X; 3]) -> Result<W::X> {
        let x = wire.at(0, Point::ResidPre, x)?;
        let queries = wire.linear(&at[0], self.six.p1)?;
        let [values, outputs] = self.copy.map(Some);
        let (residual, last) = (Some(&x), false);
        let keys = &at[1];
        let heads = Heads { queries: &queries, keys, read: &x, values, outputs, residual, last };
        let x = wire.attend(earlier(0, 1), heads)?;
        let x = wire.at(0, Point::ResidMid, x)?;
        wire.at(0, Point::ResidPost, x)
    }

    /// The same behind the second.
    fn second<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X, at: &[W::X; 3]) -> Result<W::X> {
        let Six { p2, g1, wq, wk, g2, .. } = self.six;
        let [one, place, hides] = at;
        let stream = wire.at(1, Point::ResidPre, x)?;
        let [x, y, _, _] = wire.split(&stream, 1)?;
        let near = wire.linear(one, p2)?;
        let alike = wire.linear(&x, wq)?;
        let queries = wire.concat(&[near, one.clone(), alike, one.clone()], Along::Columns)?;
        let keyed = wire.linear(&y, wk)?;
        let parts = [place.clone(), hides.clone(), keyed, hides.clone()];
        let keys = wire.concat(&parts, Along::Columns)?;
        let values = [wire.linear(&y, g1)?, wire.linear(&x, g2)?];
        let values = wire.concat(&values, Along::Columns)?;
        let heads = Heads {
            queries: &queries,
            keys: &keys,
            read: &values,
            values: None,
            outputs: Some(self.outputs),
            residual: Some(&stream),
            last: true,
        };
        let x = wire.attend(earlier(1, 2), heads)?;
        let x = wire.at(1, Point::ResidMid, x)?;
        wire.at(1, Point::ResidPost, x)
    }
}

impl Network for Reduced {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let mut x = wire.embed(self.embed, None)?;
        if let Some(values) = self.values {
            x = wire.values(&x, values)?;
        }
        let x = wire.at(0, Point::Embed, x)?;
        let places = self.places(wire)?;
        let x = self.first(wire, x, &places)?;
        let x = self.second(wire, x, &places)?;
        self.read().wire(wire, 1, x)
    }

    fn read(&self) -> Read<'_> {
        Read::new(None, self.unembed)
    }

    fn written(&self, layer: usize) -> Option<Written> {
        let [_, copy] = self.copy;
        let (heads, outputs) = *[(1, copy), (2, self.outputs)].get(layer)?;
        Some(Written { heads, outputs: Some(outputs), mlp: None })
    }
}

/// That a sequence of numbers has one at each position, and two to predict.
fn check(on: Sequences) -> Result<()> {
    let Sequences { reals, .. } = on;
    if reals == Reals::default() || reals == (Reals { inputs: 1, outputs: 2 }) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "this network reads one real number at each position and predicts two, and the task has {} and {}; choose the task \"mixed_target\" or the model \"decoder\"",
        reals.inputs, reals.outputs
    )))
}

/// Each position sees those before it.
fn earlier(layer: usize, heads: usize) -> Attention {
    let mask = Mask { memory: 0, sees: Sees::Earlier };
    Attention { mask, ..Attention::causal(layer, heads, 1.0) }
}

/// A matrix that is never trained: 1 at these places, counted row by row, and 0 elsewhere.
fn chosen(params: &mut Params, name: &str, shape: [usize; 2], ones: &[usize]) -> Result<Map> {
    let mut data = vec![0.0; shape[0] * shape[1]];
    ones.iter().for_each(|&one| data[one] = 1.0);
    params.add_values(name, &shape, data, false).map(Map::plain)
}

/// Of tokens without numbers x is one of its own, drawn once from N(0, 1).
fn embedding(vocab: usize, carries: bool) -> Vec<f32> {
    let x =
        if carries { vec![0.0; vocab] } else { draw(0, "x of tokens", vocab, Init::Normal(1.0)) };
    x.into_iter().flat_map(|x| [x, 0.0, 0.0, 0.0]).collect()
}

/// Rows of 1, the place, and what is added to the logits of the second layer.
fn places(length: usize) -> Vec<f32> {
    let row = |i: usize| [1.0, i as f32, if i == 0 { HIDDEN } else { 0.0 }];
    (0..length).flat_map(row).collect()
}
