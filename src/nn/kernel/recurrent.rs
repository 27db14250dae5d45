//! Recurrent layers, position after position: states, and gradients. Rows of a position lie side by side, so that each product
//! reads them as they lie; the gradient of the matrix is one product over all positions.

use super::activation::{sigmoid, tanh};
use super::lanes::{add_row_and_rest, each2, each3, each4, multiversion};
use super::matrix::{Into, Matrix, multiply};

crate::choices! {
    /// What a unit is.
    pub enum Cell {
        /// `h = tanh(W_i x + W_h h)`
        Tanh = "tanh",
        /// Gated recurrent unit.
        Gru = "gru",
        /// Long short-term memory.
        Lstm = "lstm",
    }
}

impl Cell {
    /// Blocks of rows in its matrices: the gates and what is written.
    pub fn blocks(self) -> usize {
        match self {
            Self::Tanh => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// Vectors in its state.
    pub fn vectors(self) -> usize {
        match self {
            Self::Tanh | Self::Gru => 1,
            Self::Lstm => 2,
        }
    }

    /// Vectors of a position that the way back needs beside its state: gates, what is written, and what that was made of.
    fn kept(self) -> usize {
        match self {
            Self::Tanh => 0,
            Self::Gru => 4,
            Self::Lstm => 5,
        }
    }
}

/// A layer that goes over the positions of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub cell: Cell,
    pub batch: usize,
    pub positions: usize,
    pub width: usize,
}

impl Shape {
    /// Rows of the matrix, `blocks · width`.
    pub fn outputs(self) -> usize {
        self.cell.blocks() * self.width
    }

    /// Numbers in the state of one sequence.
    pub fn state(self) -> usize {
        self.cell.vectors() * self.width
    }

    /// Numbers that [`forward`] keeps: the states `[pos + 1, batch, vectors · width]`, of which the first is that before all
    /// positions, and after them what else the way back needs.
    pub fn kept_len(self) -> usize {
        self.states_len() + self.positions * self.batch * self.cell.kept() * self.width
    }

    fn states_len(self) -> usize {
        (self.positions + 1) * self.batch * self.state()
    }

    /// Hidden states before each position, `[pos · batch, width]`.
    pub fn hidden(self, kept: &[f32]) -> Matrix<'_> {
        Matrix::strided(kept, self.positions * self.batch, self.width, self.state())
    }

    /// The rows of position `at` among those of all positions of a sequence.
    fn at(self, at: usize) -> Position {
        Position { shape: self, at }
    }
}

#[derive(Clone, Copy)]
struct Position {
    shape: Shape,
    at: usize,
}

impl Position {
    /// The numbers of one sequence in `[batch, pos, width]`.
    fn row(self, sequence: usize, width: usize) -> std::ops::Range<usize> {
        let from = (sequence * self.shape.positions + self.at) * width;
        from..from + width
    }

    /// The numbers of all sequences in `[pos, batch, width]`.
    fn rows(self, width: usize) -> std::ops::Range<usize> {
        let count = self.shape.batch * width;
        self.at * count..(self.at + 1) * count
    }
}

/// The map of the hidden state.
#[derive(Clone, Copy)]
pub struct Recurrent<'a> {
    /// `[width, blocks · width]` on the way forward, `[blocks · width, width]` on the way back.
    pub weight: &'a [f32],
    /// `[blocks · width]`; empty: there is none. The way back needs none.
    pub bias: &'a [f32],
}

/// From `inputs`, `[batch, pos, blocks · width]`, to the states `out`, `[batch, pos, vectors · width]`. `kept` begins with the state before
/// them, `[batch, vectors · width]`, and is filled up; `scratch` has `batch · blocks · width` numbers.
pub fn forward(
    shape: Shape,
    (inputs, by): (&[f32], Recurrent<'_>),
    kept: &mut [f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let (outputs, width, state) = (shape.outputs(), shape.width, shape.state());
    let (states, rest) = kept.split_at_mut(shape.states_len());
    for at in 0..shape.positions {
        let here = shape.at(at);
        let (before, after) = states[at * shape.batch * state..].split_at_mut(shape.batch * state);
        let after = &mut after[..shape.batch * state];
        let weight = Matrix::new(by.weight, width, outputs);
        let hidden = Matrix::strided(before, shape.batch, width, state);
        multiply(scratch, outputs, hidden, weight, 1.0, Into::Overwrite);
        add_row_and_rest(scratch, by.bias, &[]);
        let rest = &mut rest[here.rows(shape.cell.kept() * width)];
        let of = Forward { inputs, recurrent: scratch, before };
        step(here, of, rest, after);
        for (sequence, after) in after.chunks_exact(state).enumerate() {
            out[here.row(sequence, state)].copy_from_slice(after);
        }
    }
}

/// What a state is made of.
#[derive(Clone, Copy)]
struct Forward<'a> {
    /// `[batch, pos, blocks · width]`
    inputs: &'a [f32],
    /// `[batch, blocks · width]`
    recurrent: &'a [f32],
    /// `[batch, vectors · width]`
    before: &'a [f32],
}

/// Where gradients go on the way back.
pub struct Gradients<'a> {
    /// Of the inputs, `[batch, pos, blocks · width]`.
    pub inputs: &'a mut [f32],
    /// Of what the map of the hidden state gave, `[pos, batch, blocks · width]`.
    pub recurrent: &'a mut [f32],
    /// Of the state before all positions, `[batch, vectors · width]`.
    pub before: &'a mut [f32],
}

/// From the gradient `d_out` of the states, `[batch, pos, vectors · width]`, and what [`forward`] kept.
pub fn backward(
    shape: Shape,
    by: Recurrent<'_>,
    kept: &[f32],
    d_out: &[f32],
    to: &mut Gradients<'_>,
) {
    let (outputs, width, state) = (shape.outputs(), shape.width, shape.state());
    let (states, rest) = kept.split_at(shape.states_len());
    to.before.fill(0.0);
    for at in (0..shape.positions).rev() {
        let here = shape.at(at);
        let (before, after) = states[at * shape.batch * state..].split_at(shape.batch * state);
        let rest = &rest[here.rows(shape.cell.kept() * width)];
        let of = Backward { before, after, rest, d_out };
        let recurrent = &mut to.recurrent[here.rows(outputs)];
        step_back(here, of, to.before, to.inputs, recurrent);
        let d_recurrent = Matrix::new(recurrent, shape.batch, outputs);
        let weight = Matrix::new(by.weight, outputs, width);
        multiply(to.before, state, d_recurrent, weight, 1.0, Into::Add);
    }
}

/// What the way back over a position reads.
#[derive(Clone, Copy)]
struct Backward<'a> {
    /// `[batch, vectors · width]`
    before: &'a [f32],
    /// `[batch, vectors · width]`
    after: &'a [f32],
    /// `[batch, kept · width]`
    rest: &'a [f32],
    /// `[batch, pos, vectors · width]`
    d_out: &'a [f32],
}

multiversion! {
    /// The states after a position, `[batch, vectors · width]`, and what else is kept of it, `[batch, kept · width]`.
    fn step(here: Position, of: Forward<'_>, kept: &mut [f32], after: &mut [f32]) => step_body
}

multiversion! {
    /// `d_state`, the gradient of the states after a position that later ones pass on, becomes that of the states before it, but for what
    /// goes through the map; those of the inputs and of what the map gave are written.
    fn step_back(
        here: Position,
        of: Backward<'_>,
        d_state: &mut [f32],
        d_inputs: &mut [f32],
        d_recurrent: &mut [f32],
    ) => step_back_body
}

#[inline(always)]
fn step_body<const FMA: bool>(
    here: Position,
    of: Forward<'_>,
    kept: &mut [f32],
    after: &mut [f32],
) {
    let Shape { cell, batch, width, .. } = here.shape;
    let (outputs, state, rest) = (here.shape.outputs(), here.shape.state(), cell.kept() * width);
    for sequence in 0..batch {
        let x = &of.inputs[here.row(sequence, outputs)];
        let h = &of.recurrent[sequence * outputs..][..outputs];
        let before = &of.before[sequence * state..][..state];
        let kept = &mut kept[sequence * rest..][..rest];
        let after = &mut after[sequence * state..][..state];
        match cell {
            Cell::Tanh => {
                for ((after, x), h) in after.iter_mut().zip(x).zip(h) {
                    *after = tanh::<FMA>(x + h);
                }
            }
            Cell::Gru => gru::<FMA>([parts(x), parts(h)], before, parts_mut(kept), after),
            Cell::Lstm => {
                lstm::<FMA>([parts(x), parts(h)], parts(before), parts_mut(kept), parts_mut(after));
            }
        }
    }
}

/// As many parts of one length.
#[inline(always)]
fn parts<const N: usize>(x: &[f32]) -> [&[f32]; N] {
    let width = x.len() / N;
    std::array::from_fn(|i| &x[i * width..][..width])
}

/// The same, to be written.
#[inline(always)]
fn parts_mut<const N: usize>(x: &mut [f32]) -> [&mut [f32]; N] {
    let width = x.len() / N;
    let mut left = x;
    std::array::from_fn(|_| {
        let (part, rest) = std::mem::take(&mut left).split_at_mut(width);
        left = rest;
        part
    })
}

/// `(1 - z) n + z h`, with `n = tanh(W_in x + r · W_hn h)`; `r`, `z`, `n` and `W_hn h` are kept.
#[inline(always)]
fn gru<const FMA: bool>(
    [x, h]: [[&[f32]; 3]; 2],
    before: &[f32],
    [reset, update, new, through]: [&mut [f32]; 4],
    after: &mut [f32],
) {
    gate::<FMA>(reset, [x[0], h[0]]);
    gate::<FMA>(update, [x[1], h[1]]);
    each3(new, [x[2], reset, h[2]], |x, reset, h| tanh::<FMA>(x + reset * h));
    through.copy_from_slice(h[2]);
    each3(after, [new, update, before], |new, update, before| new + update * (before - new));
}

/// `o tanh(c)`, with `c = f c + i g`; `i`, `f`, `g`, `o` and `tanh(c)` are kept.
#[inline(always)]
fn lstm<const FMA: bool>(
    [x, h]: [[&[f32]; 4]; 2],
    [_, cell]: [&[f32]; 2],
    [input, forget, new, output, shown]: [&mut [f32]; 5],
    [hidden, next]: [&mut [f32]; 2],
) {
    gate::<FMA>(input, [x[0], h[0]]);
    gate::<FMA>(forget, [x[1], h[1]]);
    each2(new, [x[2], h[2]], |x, h| tanh::<FMA>(x + h));
    gate::<FMA>(output, [x[3], h[3]]);
    each4(next, [forget, cell, input, new], |forget, cell, input, new| forget * cell + input * new);
    next.iter().zip(&mut *shown).for_each(|(next, shown)| *shown = tanh::<FMA>(*next));
    each2(hidden, [output, shown], |output, shown| output * shown);
}

#[inline(always)]
fn gate<const FMA: bool>(out: &mut [f32], of: [&[f32]; 2]) {
    each2(out, of, |x, h| sigmoid::<FMA>(x + h));
}

#[inline(always)]
fn step_back_body<const FMA: bool>(
    here: Position,
    of: Backward<'_>,
    d_state: &mut [f32],
    d_inputs: &mut [f32],
    d_recurrent: &mut [f32],
) {
    let Shape { cell, batch, width, .. } = here.shape;
    let (outputs, state, rest) = (here.shape.outputs(), here.shape.state(), cell.kept() * width);
    for sequence in 0..batch {
        let row = sequence * state..(sequence + 1) * state;
        let (before, after) = (&of.before[row.clone()], &of.after[row.clone()]);
        let kept = &of.rest[sequence * rest..][..rest];
        let d_state = &mut d_state[row];
        d_state.iter_mut().zip(&of.d_out[here.row(sequence, state)]).for_each(|(d, g)| *d += g);
        let d_inputs = &mut d_inputs[here.row(sequence, outputs)];
        let d_recurrent = &mut d_recurrent[sequence * outputs..][..outputs];
        match cell {
            Cell::Tanh => {
                for ((d, after), to) in d_state.iter_mut().zip(after).zip(&mut *d_inputs) {
                    *to = *d * slope_of_tanh(*after);
                    *d = 0.0;
                }
                d_recurrent.copy_from_slice(d_inputs);
            }
            Cell::Gru => {
                let to = [parts_mut(d_inputs), parts_mut(d_recurrent)];
                gru_back(before, parts(kept), d_state, to);
            }
            Cell::Lstm => {
                lstm_back(parts(before), parts(kept), parts_mut(d_state), parts_mut(d_inputs));
                d_recurrent.copy_from_slice(d_inputs);
            }
        }
    }
}

#[inline(always)]
fn gru_back(
    before: &[f32],
    [reset, update, new, through]: [&[f32]; 4],
    d_state: &mut [f32],
    [to_inputs, to_recurrent]: [[&mut [f32]; 3]; 2],
) {
    let [to_reset, to_update, to_new] = to_inputs;
    let [also_reset, also_update, to_through] = to_recurrent;
    each3(to_new, [d_state, update, new], |d, update, new| d * (1.0 - update) * slope_of_tanh(new));
    each2(to_through, [to_new, reset], |d, reset| d * reset);
    each3(to_reset, [to_new, through, reset], |d, through, reset| d * through * slope(reset));
    each4(to_update, [d_state, before, new, update], |d, before, new, update| {
        d * (before - new) * slope(update)
    });
    also_reset.copy_from_slice(to_reset);
    also_update.copy_from_slice(to_update);
    d_state.iter_mut().zip(update).for_each(|(d, update)| *d *= update);
}

#[inline(always)]
fn lstm_back(
    [_, cell]: [&[f32]; 2],
    [input, forget, new, output, shown]: [&[f32]; 5],
    [d_hidden, d_cell]: [&mut [f32]; 2],
    [to_input, to_forget, to_new, to_output]: [&mut [f32]; 4],
) {
    each3(to_output, [d_hidden, output, shown], |d, output, shown| {
        d * output * slope_of_tanh(shown)
    });
    d_cell.iter_mut().zip(&*to_output).for_each(|(d, through)| *d += through);
    each3(to_output, [d_hidden, shown, output], |d, shown, output| d * shown * slope(output));
    each3(to_input, [d_cell, new, input], |d, new, input| d * new * slope(input));
    each3(to_forget, [d_cell, cell, forget], |d, cell, forget| d * cell * slope(forget));
    each3(to_new, [d_cell, input, new], |d, input, new| d * input * slope_of_tanh(new));
    d_cell.iter_mut().zip(forget).for_each(|(d, forget)| *d *= forget);
    d_hidden.fill(0.0);
}

/// Of the sigmoid, from its value.
#[inline(always)]
fn slope(gate: f32) -> f32 {
    gate * (1.0 - gate)
}

#[inline(always)]
fn slope_of_tanh(y: f32) -> f32 {
    1.0 - y * y
}
