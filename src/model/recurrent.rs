//! Recurrent networks: tanh units (Elman 1990), gated recurrent units (Cho et al. 2014) and long short-term memory (Hochreiter and
//! Schmidhuber 1997), by the equations of PyTorch's `RNN`, `GRU` and `LSTM`.
//!
//! Their state is passed on at every position, and from segment to segment (`train.segment`). What a layer reads is called
//! `resid_pre` and what it gives `resid_post`, as in transformers: no residual stream is meant by it.

use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::activation::Activation::{Sigmoid, Tanh};
use crate::nn::params::{Init, Param, Params};
use crate::nn::wire::{Along, Map, Units, Wire};

use super::readout::Read;
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

pub use crate::nn::kernel::recurrent::Cell;

const HIDDEN: Point = Point::own("hidden");
const CELL: Point = Point::own("cell");
const CANDIDATE: Point = Point::own("candidate");
const RESET: Point = Point::own("gate.reset");
const UPDATE: Point = Point::own("gate.update");
const INPUT: Point = Point::own("gate.input");
const FORGET: Point = Point::own("gate.forget");
const OUTPUT: Point = Point::own("gate.output");

/// The places between one hidden state and the next.
const WITHIN: [Point; 7] = [CELL, CANDIDATE, RESET, UPDATE, INPUT, FORGET, OUTPUT];

crate::settings! {
    /// Settings of the network.
    pub struct Recurrent = "A recurrent network: tanh units, gated recurrent units (GRU) or long short-term memory (LSTM), in one layer or several." {
        /// Units: tanh, GRU or LSTM.
        cell: Cell = Cell::Gru;
        /// Layers.
        layers: usize = 1, in 1..=12;
        /// Units in each layer.
        width: usize = 32, in 1..=4096;
        /// Standard deviation of fresh token embeddings.
        embedding_std: f64 = 1.0, in 0.0..=10.0;
    }
}

impl Architecture for Recurrent {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let (width, vocab, length) = (self.width, on.vocab, on.length);
        let init = Init::Uniform(1.0 / (width as f64).sqrt());
        let embed = params.add("embed", &[vocab, width], Init::Normal(self.embedding_std), true)?;
        let layers =
            (0..self.layers).map(|index| Layer::new(self, index, params)).collect::<Result<_>>()?;
        let unembed = Map::with_bias(params, "unembed", [vocab, width], init)?;
        let layout =
            Layout { kind: "recurrent", heads: vec![0; self.layers], width, vocab, length };
        Ok(Box::new(Recurring { layout, embed, layers, unembed }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct Recurring {
    layout: Layout,
    /// `[vocab, width]`
    embed: Param,
    layers: Vec<Layer>,
    unembed: Map,
}

struct Layer {
    index: usize,
    cell: Cell,
    width: usize,
    /// `W_i`, `[blocks · width, width]`: reset, update and candidate of a GRU, input, forget, candidate and output of an LSTM.
    inputs: Map,
    /// `W_h`, likewise.
    recurrent: Map,
}

/// What a layer passes from one position to the next, `[batch, 1, width]` each.
#[derive(Clone)]
struct State<X> {
    hidden: X,
    /// Of an LSTM.
    cell: Option<X>,
}

/// What a layer gives at all positions, `[batch, pos, width]`, and its last state.
type Given<X> = (X, State<X>);

impl Layer {
    fn new(settings: &Recurrent, index: usize, params: &mut Params) -> Result<Self> {
        let Recurrent { cell, width, .. } = *settings;
        let init = Init::Uniform(1.0 / (width as f64).sqrt());
        let mut map = |part| {
            let shape = [cell.blocks() * width, width];
            Map::with_bias(params, &format!("layer{index}.{part}"), shape, init)
        };
        Ok(Self { index, cell, width, inputs: map("wi")?, recurrent: map("wh")? })
    }

    fn wire<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        x: &W::X,
        mut state: State<W::X>,
    ) -> Result<Given<W::X>> {
        let inputs = wire.linear(x, self.inputs)?; // [batch, pos, blocks · width]
        if let Some(all) = self.in_one_go(wire, &inputs, &state)? {
            return Ok(all);
        }
        let mut given = Vec::with_capacity(wire.positions());
        for step in 0..wire.positions() {
            let from_x = wire.slice(&inputs, Along::Positions, step, 1)?;
            let from_h = wire.linear(&state.hidden, self.recurrent)?;
            let hidden = match self.cell {
                Cell::Tanh => {
                    let sum = wire.sum(&from_x, &from_h)?;
                    wire.activate(sum, Tanh)?
                }
                Cell::Gru => self.gru(wire, step, [&from_x, &from_h], &state.hidden)?,
                Cell::Lstm => self.lstm(wire, step, [&from_x, &from_h], &mut state)?,
            };
            state.hidden = wire.at_step(self.index, HIDDEN, step, hidden)?;
            given.push(state.hidden.clone());
        }
        Ok((wire.concat(&given, Along::Positions)?, state))
    }

    /// The same where nobody watches what is between the states.
    fn in_one_go<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        inputs: &W::X,
        state: &State<W::X>,
    ) -> Result<Option<Given<W::X>>> {
        let before: Vec<W::X> = [&state.hidden].into_iter().chain(&state.cell).cloned().collect();
        let (layer, cell, recurrent) = (self.index, self.cell, self.recurrent);
        let units = Units { layer, cell, within: &WITHIN, inputs, recurrent, before: &before };
        let Some(states) = wire.recur(units)? else { return Ok(None) };
        let last = wire.slice(&states, Along::Positions, wire.positions() - 1, 1)?;
        let (given, state) = match cell {
            Cell::Tanh | Cell::Gru => (states, State { hidden: last, cell: None }),
            Cell::Lstm => {
                let [hidden, cell] = wire.split(&last, self.width)?;
                let given = wire.slice(&states, Along::Columns, 0, self.width)?;
                (given, State { hidden, cell: Some(cell) })
            }
        };
        let given = wire.at(self.index, HIDDEN, given)?;
        Ok(Some((given, state)))
    }

    /// `(1 - z) n + z h`, with `n = tanh(W_in x + r · W_hn h)`.
    fn gru<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        step: usize,
        [from_x, from_h]: [&W::X; 2],
        hidden: &W::X,
    ) -> Result<W::X> {
        let [x_reset, x_update, x_new] = wire.split(from_x, self.width)?;
        let [h_reset, h_update, h_new] = wire.split(from_h, self.width)?;
        let reset = self.gate(wire, RESET, step, &x_reset, &h_reset)?;
        let update = self.gate(wire, UPDATE, step, &x_update, &h_update)?;
        let from_h = wire.product(&reset, &h_new)?;
        let new = wire.sum(&x_new, &from_h)?;
        let new = wire.activate(new, Tanh)?;
        let new = wire.at_step(self.index, CANDIDATE, step, new)?;
        wire.mix(&new, hidden, &update)
    }

    /// `o tanh(c)`, with `c = f c + i g`.
    fn lstm<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        step: usize,
        [from_x, from_h]: [&W::X; 2],
        state: &mut State<W::X>,
    ) -> Result<W::X> {
        let [x_input, x_forget, x_new, x_output] = wire.split(from_x, self.width)?;
        let [h_input, h_forget, h_new, h_output] = wire.split(from_h, self.width)?;
        let input = self.gate(wire, INPUT, step, &x_input, &h_input)?;
        let forget = self.gate(wire, FORGET, step, &x_forget, &h_forget)?;
        let output = self.gate(wire, OUTPUT, step, &x_output, &h_output)?;
        let new = wire.sum(&x_new, &h_new)?;
        let new = wire.activate(new, Tanh)?;
        let new = wire.at_step(self.index, CANDIDATE, step, new)?;
        let mut cell = wire.product(&input, &new)?;
        if let Some(before) = &state.cell {
            let kept = wire.product(&forget, before)?;
            cell = wire.sum(&kept, &cell)?;
        }
        let cell = wire.at_step(self.index, CELL, step, cell)?;
        // The activation keeps slopes in the place of what it reads, and the cell is read again.
        let copy = wire.scale(&cell, 1.0)?;
        state.cell = Some(cell);
        let shown = wire.activate(copy, Tanh)?;
        wire.product(&output, &shown)
    }

    fn gate<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        point: Point,
        step: usize,
        from_x: &W::X,
        from_h: &W::X,
    ) -> Result<W::X> {
        let sum = wire.sum(from_x, from_h)?;
        let gate = wire.activate(sum, Sigmoid)?;
        wire.at_step(self.index, point, step, gate)
    }
}

impl Recurring {
    /// The state of each layer before the positions that are read.
    fn states<'m, W: Wire<'m>>(&self, wire: &mut W) -> Result<Vec<State<W::X>>> {
        let carried = wire.carried();
        let state = |layer: &Layer| {
            let count = layer.cell.vectors();
            let mut own = carried.iter().skip(layer.index * count).take(count).cloned();
            let hidden = own.next().map_or_else(|| wire.zeros(1, layer.width), Ok)?;
            Ok(State { hidden, cell: own.next() })
        };
        self.layers.iter().map(state).collect()
    }
}

impl Network for Recurring {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let states = self.states(wire)?;
        let x = wire.embed(self.embed, None)?;
        let mut x = wire.at(0, Point::Embed, x)?;
        let mut next = Vec::new();
        for (layer, state) in self.layers.iter().zip(states) {
            x = wire.at(layer.index, Point::ResidPre, x)?;
            let (given, State { hidden, cell }) = layer.wire(wire, &x, state)?;
            x = wire.at(layer.index, Point::ResidPost, given)?;
            next.extend([hidden].into_iter().chain(cell));
        }
        wire.carry(next);
        self.read().wire(wire, self.layers.len() - 1, x)
    }

    fn keeps(&self) -> Option<Keeps> {
        Some(Keeps::Units)
    }

    fn read(&self) -> Read<'_> {
        Read::new(None, self.unembed)
    }

    fn has_stream(&self) -> bool {
        false
    }
}
