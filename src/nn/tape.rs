//! A forward pass on slices that can be gone back over: what training runs where nobody watches.
//!
//! It computes what the same pass over tensors computes, with the same kernels. What it does without: gradients and
//! buffers of what is frozen, sums of gradients that have one term, memory that is asked for anew at every step, and
//! products of what depends only on a token or a position, which are made once for the whole batch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::Tensor;

use super::attention::Attention;
use super::kernel::activation::{Activation, swiglu, swiglu_backward};
use super::kernel::attention::{self as attention, Backward, Gradients, Inputs, Outputs};
use super::kernel::cross_entropy::cross_entropy;
use super::kernel::lanes::{add_row_and_rest, add_to};
use super::kernel::matrix::{Into, Matrix, multiply, transpose};
use super::kernel::normalize::{self, Rule};
use super::kernel::slice::Floats;
use super::kernel::squared_error::squared_error;
use super::norm::{Norm, NormKind};
use super::params::{Param, Params};
use super::position::Rotary;
use super::wire::{Heads, Map, Tables, Wire, check_values, fixed_product, fixed_tables};
use crate::record::batch::Batch;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

/// The numbers of all parameters during one step, shared by the shards of its batch.
pub struct Numbers<'a> {
    params: &'a Params,
    floats: Vec<Floats<'a>>,
    /// Rows of the whole batch, `batch · pos`.
    rows: usize,
    /// Of each matrix, `[in, out]`: made by the first who needs it.
    transposed: Vec<OnceLock<Vec<f32>>>,
    /// Of each matrix that reads frozen embeddings: see [`Tape::linear`].
    folded: Vec<OnceLock<Folded>>,
    work: &'a Workspace,
}

/// Frozen embeddings mapped by a matrix: a row for each token and each position.
struct Folded {
    tables: Tables,
    /// `[vocab, out]`
    tokens: Vec<f32>,
    /// `[length, out]`; empty without positions.
    positions: Vec<f32>,
}

impl<'a> Numbers<'a> {
    /// Those of a step over `rows` positions of all sequences together. They cannot change while this lives.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn of(params: &'a Params, rows: usize, work: &'a Workspace) -> Result<Self> {
        let floats: Vec<Floats<'a>> = params
            .all()
            .map(|p| Floats::of(params.var(p).as_tensor()))
            .collect::<candle_core::Result<_>>()?;
        let count = floats.len();
        Ok(Self {
            params,
            floats,
            rows,
            transposed: (0..count).map(|_| OnceLock::new()).collect(),
            folded: (0..count).map(|_| OnceLock::new()).collect(),
            work,
        })
    }

    fn slice(&self, param: Param) -> &[f32] {
        &self.floats[param.index()]
    }

    fn is_wanted(&self, param: Param) -> bool {
        !self.params.is_frozen(param)
    }

    /// `[out, in]` of a matrix.
    fn sizes(&self, param: Param) -> Result<(usize, usize)> {
        Ok(self.params.var(param).dims2()?)
    }

    fn transposed(&self, param: Param, outputs: usize, inputs: usize) -> &[f32] {
        self.transposed[param.index()].get_or_init(|| {
            let mut out = self.work.take(outputs * inputs);
            transpose(self.slice(param), outputs, inputs, &mut out);
            out
        })
    }

    fn fold(&self, tables: Tables, w: Param, outputs: usize, inputs: usize) -> &Folded {
        self.folded[w.index()].get_or_init(|| {
            let mapped = |table: Param| {
                let table = self.slice(table);
                let mut out = self.work.take(table.len() / inputs * outputs);
                let x = Matrix::new(table, table.len() / inputs, inputs);
                let w = Matrix::new(self.slice(w), outputs, inputs).transposed();
                multiply(&mut out, outputs, x, w, 1.0, Into::Overwrite);
                out
            };
            let positions = tables.positions.map(mapped).unwrap_or_default();
            Folded { tables, tokens: mapped(tables.tokens), positions }
        })
    }

    /// Adds what the shards found for the rows of folded tables to the gradients of the matrices, in the order of the
    /// parameters. Both have one entry a parameter.
    pub fn unfold(&self, folds: &[Option<Vec<f32>>], grads: &mut [Option<Vec<f32>>]) {
        for ((fold, found), grad) in self.folded.iter().zip(folds).zip(grads) {
            let (Some(fold), Some(found)) = (fold.get(), found) else { continue };
            let rows = |table: Param| self.slice(table).len() / self.width_of(table);
            let tokens = rows(fold.tables.tokens);
            let outputs = fold.tokens.len() / tokens;
            let (of_tokens, of_positions) = found.split_at(tokens * outputs);
            let mut into = if grad.is_some() { Into::Add } else { Into::Overwrite };
            let mut add = |table: Param, found: &[f32]| {
                let (inputs, rows) = (self.width_of(table), found.len() / outputs);
                let grad = grad.get_or_insert_with(|| self.work.take(outputs * inputs));
                let found = Matrix::new(found, rows, outputs).transposed();
                let x = Matrix::new(&self.slice(table)[..rows * inputs], rows, inputs);
                multiply(grad, inputs, found, x, 1.0, into);
                into = Into::Add;
            };
            add(fold.tables.tokens, of_tokens);
            if let Some(positions) = fold.tables.positions {
                add(positions, of_positions);
            }
        }
    }

    fn width_of(&self, table: Param) -> usize {
        self.params.var(table).dims().last().copied().unwrap_or(1).max(1)
    }
}

impl Drop for Numbers<'_> {
    fn drop(&mut self) {
        let folded = self.folded.drain(..).filter_map(OnceLock::into_inner);
        let folded = folded.flat_map(|folded| [folded.tokens, folded.positions]);
        let transposed = self.transposed.drain(..).filter_map(OnceLock::into_inner);
        transposed.chain(folded).for_each(|buffer| self.work.give(buffer));
    }
}

/// Buffers by their length, reused from shard to shard and from step to step. It never keeps more than were out at once.
#[derive(Default)]
pub struct Workspace {
    shelves: Mutex<BTreeMap<usize, Shelf>>,
}

/// Buffers of one length.
#[derive(Default)]
struct Shelf {
    free: Vec<Vec<f32>>,
    /// How many were taken and did not come back.
    out: usize,
}

impl Workspace {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Shelf>> {
        // A panic leaves whole buffers behind: their numbers do not matter.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `length` numbers, whatever they are.
    fn take(&self, length: usize) -> Vec<f32> {
        let free = {
            let mut shelves = self.lock();
            let shelf = shelves.entry(length).or_default();
            shelf.out += 1;
            shelf.free.pop()
        };
        free.unwrap_or_else(|| vec![0.0; length])
    }

    /// A buffer of zeros.
    pub fn take_zeros(&self, length: usize) -> Vec<f32> {
        let mut buffer = self.take(length);
        buffer.fill(0.0);
        buffer
    }

    /// Takes back a buffer. One that is none of its own is let go.
    pub fn give(&self, buffer: Vec<f32>) {
        let mut shelves = self.lock();
        if let Some(shelf) = shelves.get_mut(&buffer.len()).filter(|shelf| shelf.out > 0) {
            shelf.out -= 1;
            shelf.free.push(buffer);
        }
    }

    /// Numbers in the buffers that wait.
    pub fn waiting(&self) -> usize {
        self.lock().iter().map(|(length, shelf)| length * shelf.free.len()).sum()
    }
}

/// Something that the pass computed: rows of one width, `[batch · pos, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// How a value was computed, with what the way back needs.
enum Op<'a> {
    Embed(Tables),
    /// Rows that never change: of tables, or the numbers that positions carry.
    LookUp,
    Folded(Param),
    /// `residual + x · wᵀ + bias`
    Linear {
        x: Value,
        w: Weight,
        bias: Option<Param>,
        residual: Option<Value>,
    },
    Sum(Value, Value),
    Scale(Value, f32),
    Normalize {
        x: Value,
        norm: &'a Norm,
        statistics: Vec<f32>,
    },
    Attend {
        shape: attention::Shape,
        inputs: [Value; 3],
        log_sums: Vec<f32>,
    },
    Rotate(Value, &'a Rotary),
    Activate {
        x: Value,
        activation: Activation,
        kept: Vec<f32>,
    },
    SwiGlu {
        gate: Value,
        up: Value,
    },
    Select(Value),
}

impl Op<'_> {
    /// What was kept for the way back.
    fn into_kept(self) -> Option<Vec<f32>> {
        match self {
            Self::Normalize { statistics: kept, .. }
            | Self::Attend { log_sums: kept, .. }
            | Self::Activate { kept, .. } => Some(kept),
            _ => None,
        }
    }
}

enum Weight {
    Param(Param),
    /// A matrix that never changes.
    Fixed(Tensor),
}

struct Slot<'a> {
    op: Op<'a>,
    data: Vec<f32>,
    width: usize,
    /// Whether something trained lies behind it.
    wanted: bool,
    gradient: Option<Vec<f32>>,
    /// Of the embedding itself.
    tables: Option<Tables>,
    /// Its numbers were used up by what was computed from them.
    is_spent: bool,
}

/// A forward pass over the sequences of one shard.
pub struct Tape<'a> {
    numbers: &'a Numbers<'a>,
    batch: &'a Batch,
    /// Of each position in the loss.
    weight: &'a [f32],
    work: &'a Workspace,
    slots: Vec<Slot<'a>>,
    /// The positions that are left, if not all of them are.
    selected: Option<Vec<usize>>,
    found: Found,
}

/// What a shard found. Gradients have one entry a parameter, `None` where there is none.
#[derive(Default)]
pub struct Found {
    /// `Σ weight · cross-entropy`, or of the squared error.
    pub loss: f64,
    pub grads: Vec<Option<Vec<f32>>>,
    /// For [`Numbers::unfold`].
    pub folds: Vec<Option<Vec<f32>>>,
}

impl<'a> Tape<'a> {
    /// `weight` has one entry a position of the batch.
    pub fn new(numbers: &'a Numbers<'a>, batch: &'a Batch, weight: &'a [f32]) -> Self {
        let none = || numbers.floats.iter().map(|_| None).collect();
        let found = Found { loss: 0.0, grads: none(), folds: none() };
        let work = numbers.work;
        Self { numbers, batch, weight, work, slots: Vec::new(), selected: None, found }
    }

    /// Rows of tables `[vocab, width]` and `[length, width]` that never change.
    ///
    /// # Errors
    /// When a token is none of theirs, or the sequences are longer.
    fn look_up(&mut self, tokens: &Tensor, positions: &Tensor) -> Result<Value> {
        let (_, width) = tokens.dims2()?;
        let data = self.looked_up(&Floats::of(tokens)?, Some(&Floats::of(positions)?), width)?;
        Ok(self.push(slot(Op::LookUp, data, width, false)))
    }

    fn looked_up(
        &mut self,
        table: &[f32],
        positions: Option<&[f32]>,
        width: usize,
    ) -> Result<Vec<f32>> {
        let (batch, vocab) = (self.batch, table.len() / width.max(1));
        let places = positions.map_or(batch.len, |p| p.len() / width.max(1));
        if batch.tokens.iter().any(|&t| t as usize >= vocab) || batch.len > places {
            return Err(Error::internal(format!(
                "sequences of {} tokens below {} do not fit tables of {vocab} tokens and {places} positions",
                batch.len,
                batch.tokens.iter().max().map_or(0, |t| t + 1),
            )));
        }
        let mut out = self.work.take(batch.tokens.len() * width);
        for (i, (row, &token)) in out.chunks_exact_mut(width).zip(&batch.tokens).enumerate() {
            row.copy_from_slice(&table[token as usize * width..][..width]);
            if let Some(positions) = positions {
                add_to(row, &positions[i % batch.len * width..][..width]);
            }
        }
        Ok(out)
    }

    fn folded(&mut self, tables: Tables, w: Param, outputs: usize, inputs: usize) -> Result<Value> {
        let numbers = self.numbers;
        let folded = numbers.fold(tables, w, outputs, inputs);
        let places = tables.positions.map(|_| &*folded.positions);
        let data = self.looked_up(&folded.tokens, places, outputs)?;
        Ok(self.push(slot(Op::Folded(w), data, outputs, numbers.is_wanted(w))))
    }

    /// What a head writes whose two matrices never change; see [`fixed_product`].
    fn fixed_values(&mut self, layer: usize, x: Value, product: &Tensor) -> Result<Value> {
        let tables = self.slots[x.0].tables;
        match fixed_tables(self.numbers.params, tables, layer, product)? {
            Some((tokens, positions)) => self.look_up(&tokens, &positions),
            None => self.linear_fixed(x, product.clone()),
        }
    }

    fn mapped(&mut self, x: Value, map: Map, residual: Option<Value>) -> Result<Value> {
        let Map { weight: w, bias } = map;
        let numbers = self.numbers;
        let (outputs, inputs) = numbers.sizes(w)?;
        self.check_width(x, inputs)?;
        if let Some(residual) = residual {
            self.check_width(residual, outputs)?;
        }
        let rows = self.rows(x);
        let mut out = self.work.take(rows * outputs);
        let w_data = Matrix::new(numbers.transposed(w, outputs, inputs), inputs, outputs);
        let x_data = Matrix::new(&self.slots[x.0].data, rows, inputs);
        multiply(&mut out, outputs, x_data, w_data, 1.0, Into::Overwrite);
        let bias_data = bias.map_or(&[][..], |bias| numbers.slice(bias));
        let residual_data = residual.map_or(&[][..], |value| &self.slots[value.0].data);
        add_row_and_rest(&mut out, bias_data, residual_data);
        let trained = numbers.is_wanted(w) || bias.is_some_and(|b| numbers.is_wanted(b));
        let wanted = trained
            || self.is_wanted(x)
            || residual.is_some_and(|residual| self.is_wanted(residual));
        let op = Op::Linear { x, w: Weight::Param(w), bias, residual };
        Ok(self.push(slot(op, out, outputs, wanted)))
    }

    /// `x · wᵀ` with a square matrix that never changes.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn linear_fixed(&mut self, x: Value, w: Tensor) -> Result<Value> {
        let (rows, width) = (self.rows(x), self.slots[x.0].width);
        if w.dims2()? != (width, width) {
            return Err(Error::internal(format!(
                "a matrix of shape {:?} cannot map rows of {width}",
                w.dims()
            )));
        }
        let mut out = self.work.take(rows * width);
        let x_data = Matrix::new(&self.slots[x.0].data, rows, width);
        {
            let w = Floats::of(&w)?;
            let w = Matrix::new(&w, width, width).transposed();
            multiply(&mut out, width, x_data, w, 1.0, Into::Overwrite);
        }
        let op = Op::Linear { x, w: Weight::Fixed(w), bias: None, residual: None };
        Ok(self.push(slot(op, out, width, self.is_wanted(x))))
    }

    /// `a + b`
    ///
    /// # Errors
    /// When the widths differ.
    fn sum(&mut self, a: Value, b: Value) -> Result<Value> {
        self.check_width(b, self.slots[a.0].width)?;
        let mut out = self.copy(a)?;
        add_to(&mut out, &self.slots[b.0].data);
        let wanted = self.is_wanted(a) || self.is_wanted(b);
        Ok(self.push(slot(Op::Sum(a, b), out, self.slots[a.0].width, wanted)))
    }

    /// What heads attend to: causal attention.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn attended_to(&mut self, how: Attention, q: Value, k: Value, v: Value) -> Result<Value> {
        let width = self.slots[q.0].width;
        self.check_there(q)?;
        self.check_width(k, width)?;
        self.check_width(v, width)?;
        if how.heads == 0 || !width.is_multiple_of(how.heads) || self.selected.is_some() {
            return Err(Error::internal(format!(
                "{} heads cannot attend to {} rows of {width} numbers",
                how.heads,
                self.rows(q)
            )));
        }
        let shape = attention::Shape {
            batch: self.batch.rows,
            positions: self.batch.len,
            heads: how.heads,
            dim: width / how.heads,
            scale: how.scale,
        };
        let (mut z, mut log_sums) = (self.work.take(shape.len()), self.work.take(shape.rows()));
        let mut scratch = self.work.take(shape.scratch());
        let of = self.attended([q, k, v]);
        let mut out = Outputs { z: &mut z, log_sums: &mut log_sums };
        attention::forward(shape, of, &mut out, &mut scratch);
        self.work.give(scratch);
        let wanted = [q, k, v].iter().any(|value| self.is_wanted(*value));
        Ok(self.push(slot(Op::Attend { shape, inputs: [q, k, v], log_sums }, z, width, wanted)))
    }

    /// The numbers of a value, `[batch, pos, width]`: the end of a pass that nobody goes back over. `weight` was 1
    /// everywhere, or positions are missing.
    ///
    /// # Errors
    /// When positions are missing.
    pub fn into_tensor(mut self, value: Value) -> Result<Tensor> {
        let Slot { data, width, .. } = &mut self.slots[value.0];
        let (data, width) = (std::mem::take(data), *width);
        for slot in self.slots {
            self.work.give(slot.data);
            slot.op.into_kept().into_iter().for_each(|kept| self.work.give(kept));
        }
        let shape = (self.batch.rows, self.batch.len, width);
        Ok(Tensor::from_vec(data, shape, self.numbers.params.device())?)
    }

    /// The loss of logits `[batch · pos, vocab]` (or of the rows in the loss), and the way back from it. Where the batch
    /// has real numbers as targets, it is the squared error of predictions `[batch · pos, outputs]`. The gradients are
    /// of the buffers of the workspace, and may be given back to it.
    ///
    /// # Errors
    /// When there are no logits for each position, or a weighted target is none of the vocabulary.
    pub fn backward(mut self, logits: Value) -> Result<Found> {
        let gradient = if self.batch.value_targets.is_empty() {
            self.cross_entropy(logits)?
        } else {
            self.squared_error(logits)?
        };
        self.add(logits, gradient);
        while let Some(slot) = self.slots.pop() {
            match (slot.gradient, slot.op) {
                (Some(gradient), op) => self.undo(op, &slot.data, slot.width, gradient)?,
                // What was kept for a way back that nobody goes.
                (None, op) => op.into_kept().into_iter().for_each(|kept| self.work.give(kept)),
            }
            self.work.give(slot.data);
        }
        Ok(self.found)
    }

    /// The gradient of the logits; the loss is kept.
    fn cross_entropy(&mut self, logits: Value) -> Result<Vec<f32>> {
        let (targets, weight): (Vec<u32>, Vec<f32>) = match &self.selected {
            Some(rows) => rows.iter().map(|&i| (self.batch.targets[i], self.weight[i])).unzip(),
            None => (self.batch.targets.clone(), self.weight.to_vec()),
        };
        let vocab = self.slots[logits.0].width;
        let fits = |(target, weight): (&u32, &f32)| *weight == 0.0 || (*target as usize) < vocab;
        if self.rows(logits) != targets.len() || !targets.iter().zip(&weight).all(fits) {
            return Err(Error::internal(format!(
                "{} rows of {vocab} logits do not fit {} targets",
                self.rows(logits),
                targets.len()
            )));
        }
        let mut gradient = self.work.take(self.slots[logits.0].data.len());
        let logits_data = &self.slots[logits.0].data;
        self.found.loss = cross_entropy(logits_data, &targets, &weight, Some(&mut gradient));
        Ok(gradient)
    }

    /// The gradient of the predictions; the loss is kept.
    fn squared_error(&mut self, predictions: Value) -> Result<Vec<f32>> {
        let (batch, weight) = (self.batch, self.weight);
        let outputs = batch.value_targets.len() / weight.len().max(1);
        self.check_width(predictions, outputs)?;
        let rows = self.selected.clone().unwrap_or_else(|| (0..weight.len()).collect());
        let of = |row: &usize| &batch.value_targets[row * outputs..][..outputs];
        let targets: Vec<f32> = rows.iter().flat_map(of).copied().collect();
        let weight: Vec<f32> = rows.iter().map(|&row| weight[row]).collect();
        let data = &self.slots[predictions.0].data;
        if data.len() != targets.len() {
            return Err(Error::internal(format!(
                "{} numbers are predicted, {} are the targets",
                data.len(),
                targets.len()
            )));
        }
        let mut gradient = self.work.take(data.len());
        self.found.loss = squared_error(data, &targets, &weight, &mut gradient);
        Ok(gradient)
    }

    /// Passes the gradient of a value, computed as `op` says, on to what it was computed from.
    fn undo(
        &mut self,
        op: Op<'a>,
        out: &[f32],
        width: usize,
        mut gradient: Vec<f32>,
    ) -> Result<()> {
        match op {
            Op::Embed(tables) => {
                self.scatter_tokens(tables, &gradient);
                self.work.give(gradient);
            }
            Op::LookUp => self.work.give(gradient),
            Op::Folded(w) => self.unfolded(w, gradient),
            Op::Linear { x, w, bias, residual } => {
                self.unmapped(x, &w, bias, (&gradient, width))?;
                match residual {
                    Some(residual) => self.add(residual, gradient),
                    None => self.work.give(gradient),
                }
            }
            Op::Sum(a, b) => {
                if self.is_wanted(a) && self.is_wanted(b) {
                    let mut copy = self.work.take(gradient.len());
                    copy.copy_from_slice(&gradient);
                    self.add(b, copy);
                    self.add(a, gradient);
                } else {
                    let one = if self.is_wanted(a) { a } else { b };
                    self.add(one, gradient);
                }
            }
            Op::Scale(x, factor) => {
                super::kernel::lanes::scale(&mut gradient, factor);
                self.add(x, gradient);
            }
            Op::Normalize { x, norm, statistics } => {
                self.unnormalized(x, norm, &statistics, &mut gradient)?;
                self.work.give(statistics);
                self.add(x, gradient);
            }
            Op::Attend { shape, inputs, log_sums } => {
                self.unattended(shape, inputs, out, &log_sums, &gradient);
                self.work.give(log_sums);
                self.work.give(gradient);
            }
            Op::Rotate(x, rotary) => {
                // A rotation is orthogonal: its gradient turns back.
                rotary.turn(&mut gradient, self.batch.len, self.slots[x.0].width, -1.0);
                self.add(x, gradient);
            }
            Op::Activate { x, activation, kept } => {
                activation.go_back(&kept, &mut gradient);
                self.work.give(kept);
                self.add(x, gradient);
            }
            Op::SwiGlu { gate, up } => {
                let mut to_gate = self.work.take(gradient.len());
                let (gate_data, up_data) = (&self.slots[gate.0].data, &self.slots[up.0].data);
                swiglu_backward(gate_data, up_data, &mut gradient, &mut to_gate);
                self.add(gate, to_gate);
                self.add(up, gradient);
            }
            Op::Select(x) => {
                let width = self.slots[x.0].width;
                let mut whole = self.work.take_zeros(self.slots[x.0].data.len());
                for (from, &to) in gradient.chunks_exact(width).zip(self.selected.iter().flatten())
                {
                    whole[to * width..][..width].copy_from_slice(from);
                }
                self.work.give(gradient);
                self.add(x, whole);
            }
        }
        Ok(())
    }

    fn unmapped(
        &mut self,
        x: Value,
        w: &Weight,
        bias: Option<Param>,
        (gradient, outputs): (&[f32], usize),
    ) -> Result<()> {
        let (numbers, rows, inputs) = (self.numbers, self.rows(x), self.slots[x.0].width);
        if let Some(bias) = bias.filter(|b| numbers.is_wanted(*b)) {
            let to_bias = self.gradient_of(bias, outputs);
            gradient.chunks_exact(outputs).for_each(|row| add_to(to_bias, row));
        }
        let dy = Matrix::new(gradient, rows, outputs);
        if let Weight::Param(w) = w
            && numbers.is_wanted(*w)
        {
            let found = &mut self.found.grads[w.index()];
            let into = if found.is_some() { Into::Add } else { Into::Overwrite };
            let dw = found.get_or_insert_with(|| self.work.take(outputs * inputs));
            let x = Matrix::new(&self.slots[x.0].data, rows, inputs);
            multiply(dw, inputs, dy.transposed(), x, 1.0, into);
        }
        if self.is_wanted(x) {
            let fixed;
            let data = match w {
                Weight::Param(w) => numbers.slice(*w),
                Weight::Fixed(w) => {
                    fixed = Floats::of(w)?;
                    &*fixed
                }
            };
            let before = self.slots[x.0].gradient.take();
            let into = if before.is_some() { Into::Add } else { Into::Overwrite };
            let mut dx = before.unwrap_or_else(|| self.work.take(rows * inputs));
            let w = Matrix::new(data, outputs, inputs);
            multiply(&mut dx, inputs, dy, w, 1.0, into);
            self.slots[x.0].gradient = Some(dx);
        }
        Ok(())
    }

    fn unnormalized(
        &mut self,
        x: Value,
        norm: &Norm,
        statistics: &[f32],
        gradient: &mut [f32],
    ) -> Result<()> {
        let width = self.slots[x.0].width;
        let rule = rule(self.numbers, norm, width)?;
        let (mut to_weight, mut to_bias) =
            (self.work.take_zeros(width), self.work.take_zeros(width));
        let data = &self.slots[x.0].data;
        normalize::backward(rule, data, statistics, gradient, &mut to_weight, &mut to_bias);
        for (param, found) in [(norm.weight, to_weight), (norm.bias, to_bias)] {
            if let Some(param) = param.filter(|p| self.numbers.is_wanted(*p)) {
                add_to(self.gradient_of(param, width), &found);
            }
            self.work.give(found);
        }
        Ok(())
    }

    fn unattended(
        &mut self,
        shape: attention::Shape,
        inputs: [Value; 3],
        z: &[f32],
        log_sums: &[f32],
        dz: &[f32],
    ) {
        let mut scratch = self.work.take(shape.scratch());
        let mut grads =
            inputs.map(|value| self.slots[value.0].wanted.then(|| self.work.take(shape.len())));
        let of = Backward { inputs: self.attended(inputs), z, log_sums, dz };
        let [q, k, v] = &mut grads;
        let mut out = Gradients { q: q.as_deref_mut(), k: k.as_deref_mut(), v: v.as_deref_mut() };
        attention::backward(shape, of, &mut out, &mut scratch);
        self.work.give(scratch);
        for (value, gradient) in inputs.into_iter().zip(grads) {
            if let Some(gradient) = gradient {
                self.add(value, gradient);
            }
        }
    }

    fn scatter_tokens(&mut self, tables: Tables, gradient: &[f32]) {
        let (numbers, batch) = (self.numbers, self.batch);
        let width = gradient.len() / batch.tokens.len().max(1);
        if numbers.is_wanted(tables.tokens) {
            let out = self.gradient_of(tables.tokens, numbers.slice(tables.tokens).len());
            scatter(out, gradient, width, batch.tokens.iter().map(|&t| t as usize));
        }
        if let Some(positions) = tables.positions.filter(|p| numbers.is_wanted(*p)) {
            let out = self.gradient_of(positions, numbers.slice(positions).len());
            scatter(out, gradient, width, (0..batch.tokens.len()).map(|i| i % batch.len));
        }
    }

    /// Sums the rows of each token and of each position; [`Numbers::unfold`] does the rest.
    fn unfolded(&mut self, w: Param, gradient: Vec<f32>) {
        let (numbers, batch) = (self.numbers, self.batch);
        let width = gradient.len() / batch.tokens.len().max(1);
        if let Some(folded) = numbers.folded[w.index()].get() {
            let tokens = folded.tokens.len();
            let out = self.found.folds[w.index()]
                .get_or_insert_with(|| self.work.take_zeros(tokens + folded.positions.len()));
            let (of_tokens, of_positions) = out.split_at_mut(tokens);
            scatter(of_tokens, &gradient, width, batch.tokens.iter().map(|&t| t as usize));
            if !of_positions.is_empty() {
                let places = (0..batch.tokens.len()).map(|i| i % batch.len);
                scatter(of_positions, &gradient, width, places);
            }
        }
        self.work.give(gradient);
    }

    /// The gradient of a parameter so far, to be added to.
    fn gradient_of(&mut self, param: Param, length: usize) -> &mut [f32] {
        self.found.grads[param.index()].get_or_insert_with(|| self.work.take_zeros(length))
    }

    /// Adds to the gradient of a value.
    fn add(&mut self, value: Value, gradient: Vec<f32>) {
        let slot = &mut self.slots[value.0];
        match &mut slot.gradient {
            _ if !slot.wanted => self.work.give(gradient),
            Some(sum) => {
                add_to(sum, &gradient);
                self.work.give(gradient);
            }
            none => *none = Some(gradient),
        }
    }

    fn attended(&self, [q, k, v]: [Value; 3]) -> Inputs<'_> {
        let data = |value: Value| &*self.slots[value.0].data;
        Inputs { q: data(q), k: data(k), v: data(v) }
    }

    fn push(&mut self, slot: Slot<'a>) -> Value {
        self.slots.push(slot);
        Value(self.slots.len() - 1)
    }

    fn copy(&mut self, x: Value) -> Result<Vec<f32>> {
        self.check_there(x)?;
        let mut out = self.work.take(self.slots[x.0].data.len());
        out.copy_from_slice(&self.slots[x.0].data);
        Ok(out)
    }

    fn rows(&self, x: Value) -> usize {
        self.slots[x.0].data.len() / self.slots[x.0].width.max(1)
    }

    fn is_wanted(&self, x: Value) -> bool {
        self.slots[x.0].wanted
    }

    fn check_there(&self, x: Value) -> Result<()> {
        if !self.slots[x.0].is_spent {
            return Ok(());
        }
        Err(Error::internal(
            "a value was read again after its activation, which keeps slopes in its place",
        ))
    }

    fn check_width(&self, x: Value, width: usize) -> Result<()> {
        self.check_there(x)?;
        let found = self.slots[x.0].width;
        if found == width {
            return Ok(());
        }
        Err(Error::internal(format!("rows of {found} numbers where rows of {width} are needed")))
    }
}

impl<'a> Wire<'a> for Tape<'a> {
    type X = Value;

    /// Nobody watches.
    fn at(&mut self, _layer: usize, _point: Point, x: Value) -> Result<Value> {
        Ok(x)
    }

    fn embed(&mut self, tokens: Param, positions: Option<Param>) -> Result<Value> {
        let numbers = self.numbers;
        let (_, width) = numbers.sizes(tokens)?;
        let tables = Tables { tokens, positions };
        let places = positions.map(|p| numbers.slice(p));
        let data = self.looked_up(numbers.slice(tokens), places, width)?;
        let wanted = numbers.is_wanted(tokens) || positions.is_some_and(|p| numbers.is_wanted(p));
        let embedded = (!wanted).then_some(tables);
        Ok(self.push(Slot { tables: embedded, ..slot(Op::Embed(tables), data, width, wanted) }))
    }

    fn values(&mut self, x: &Value, map: Map) -> Result<Value> {
        let (batch, (_, inputs)) = (self.batch, self.numbers.sizes(map.weight)?);
        check_values(inputs, batch.values.len() / batch.tokens.len().max(1))?;
        let mut data = self.work.take(batch.values.len());
        data.copy_from_slice(&batch.values);
        let values = self.push(slot(Op::LookUp, data, inputs, false));
        self.mapped(values, map, Some(*x))
    }

    /// Where `x` is an embedding whose tables are frozen, tables are mapped instead of rows, once for the whole batch.
    fn linear(&mut self, x: &Value, map: Map) -> Result<Value> {
        let (outputs, inputs) = self.numbers.sizes(map.weight)?;
        if let (Some(tables), None) = (self.slots[x.0].tables, map.bias) {
            let rows = |table: Param| self.numbers.slice(table).len() / inputs.max(1);
            let all = rows(tables.tokens) + tables.positions.map_or(0, rows);
            if self.numbers.rows >= 2 * all {
                return self.folded(tables, map.weight, outputs, inputs);
            }
        }
        self.mapped(*x, map, None)
    }

    fn write(&mut self, _site: Site, residual: &Value, x: &Value, map: Map) -> Result<Value> {
        self.mapped(*x, map, Some(*residual))
    }

    fn attend(&mut self, how: Attention, heads: Heads<'_, Value>) -> Result<Value> {
        let Heads { queries, keys, read, values, outputs, residual, last } = heads;
        let product = fixed_product(self.numbers.params, how, &heads)?;
        let values = match &product {
            Some(product) => self.fixed_values(how.layer, *read, product)?,
            None => values.map_or(Ok(*read), |values| self.linear(read, values))?,
        };
        let z = self.attended_to(how, *queries, *keys, values)?;
        let drop = |tape: &mut Self, x| if last { tape.in_loss(x) } else { x };
        let (residual, z) = (drop(self, *residual), drop(self, z));
        match outputs.filter(|_| product.is_none()) {
            Some(outputs) => self.mapped(z, outputs, Some(residual)),
            None => self.sum(residual, z),
        }
    }

    fn rotate(&mut self, x: &Value, rotary: &'a Rotary) -> Result<Value> {
        let width = self.slots[x.0].width;
        rotary.check(self.batch.len, width)?;
        let mut out = self.copy(*x)?;
        rotary.turn(&mut out, self.batch.len, width, 1.0);
        Ok(self.push(slot(Op::Rotate(*x, rotary), out, width, self.is_wanted(*x))))
    }

    fn normalize(&mut self, x: &Value, norm: &'a Norm) -> Result<Value> {
        if norm.kind == NormKind::None {
            return Ok(*x);
        }
        let x = *x;
        self.check_there(x)?;
        let (numbers, width, rows) = (self.numbers, self.slots[x.0].width, self.rows(x));
        let rule = rule(numbers, norm, width)?;
        let (mut out, mut statistics) = (self.work.take(rows * width), self.work.take(2 * rows));
        normalize::forward(rule, &self.slots[x.0].data, &mut out, &mut statistics);
        let trained = [norm.weight, norm.bias].iter().flatten().any(|p| numbers.is_wanted(*p));
        let wanted = trained || self.is_wanted(x);
        Ok(self.push(slot(Op::Normalize { x, norm, statistics }, out, width, wanted)))
    }

    /// In the place of `x` the slopes are kept.
    fn activate(&mut self, x: Value, activation: Activation) -> Result<Value> {
        self.check_there(x)?;
        let mut kept = std::mem::take(&mut self.slots[x.0].data);
        let mut out = self.work.take(kept.len());
        activation.apply_and_keep(&mut kept, &mut out);
        self.slots[x.0].is_spent = true;
        let op = Op::Activate { x, activation, kept };
        Ok(self.push(slot(op, out, self.slots[x.0].width, self.is_wanted(x))))
    }

    fn swiglu(&mut self, gate: &Value, up: &Value) -> Result<Value> {
        let (gate, up) = (*gate, *up);
        let width = self.slots[gate.0].width;
        self.check_there(gate)?;
        self.check_width(up, width)?;
        let mut out = self.work.take(self.slots[gate.0].data.len());
        swiglu(&self.slots[gate.0].data, &self.slots[up.0].data, &mut out);
        let wanted = self.is_wanted(gate) || self.is_wanted(up);
        Ok(self.push(slot(Op::SwiGlu { gate, up }, out, width, wanted)))
    }

    fn scale(&mut self, x: &Value, factor: f32) -> Result<Value> {
        let mut out = self.copy(*x)?;
        super::kernel::lanes::scale(&mut out, factor);
        let width = self.slots[x.0].width;
        Ok(self.push(slot(Op::Scale(*x, factor), out, width, self.is_wanted(*x))))
    }

    /// `x` itself if they are most of its rows, or all that are left.
    fn in_loss(&mut self, x: Value) -> Value {
        let all = self.weight.len();
        let counts = || self.weight.iter().filter(|w| **w != 0.0).count();
        if self.rows(x) != all || (self.selected.is_none() && 4 * counts() > 3 * all) {
            return x;
        }
        let weight = self.weight;
        let rows =
            self.selected.get_or_insert_with(|| (0..all).filter(|&i| weight[i] != 0.0).collect());
        let Slot { data, width, wanted, .. } = &self.slots[x.0];
        let (width, wanted) = (*width, *wanted);
        let mut out = self.work.take(rows.len() * width);
        for (to, &from) in out.chunks_exact_mut(width).zip(&*rows) {
            to.copy_from_slice(&data[from * width..][..width]);
        }
        self.push(slot(Op::Select(x), out, width, wanted))
    }
}

fn slot(op: Op<'_>, data: Vec<f32>, width: usize, wanted: bool) -> Slot<'_> {
    Slot { op, data, width, wanted, gradient: None, tables: None, is_spent: false }
}

fn rule<'a>(numbers: &'a Numbers<'_>, norm: &Norm, width: usize) -> Result<Rule<'a>> {
    let of = |param: Option<Param>| param.map(|p| numbers.slice(p));
    let (weight, bias) = (of(norm.weight), of(norm.bias));
    if [weight, bias].iter().flatten().any(|numbers| numbers.len() != width) {
        return Err(Error::internal(format!(
            "a norm of another width cannot read rows of {width}"
        )));
    }
    Ok(Rule { width, centred: norm.kind == NormKind::Layer, weight, bias })
}

/// Adds each row of `x` to the row of `out` that `rows` names.
fn scatter(out: &mut [f32], x: &[f32], width: usize, rows: impl Iterator<Item = usize>) {
    for (from, row) in x.chunks_exact(width).zip(rows) {
        add_to(&mut out[row * width..][..width], from);
    }
}
