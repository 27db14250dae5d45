//! A forward pass on slices that can be gone back over: what training and its evaluations run where nobody intervenes.
//!
//! It computes what the same pass over tensors computes, with the same kernels. What it does without: gradients and
//! buffers of what is frozen, sums of gradients that have one term, memory that is asked for anew at every step, and
//! products of what depends only on a token or a position, which are made once for the whole batch.

mod back;
mod numbers;
mod recurrent;

use std::borrow::Cow;

use candle_core::Tensor;

use super::attention::{Attention, attend, mix, pattern};
use super::kernel::activation::{Activation, swiglu};
use super::kernel::attention::{self as attention, Inputs, Outputs};
use super::kernel::lanes::softmax_row;
use super::kernel::lanes::{add_row_and_rest, add_to, product};
use super::kernel::matrix::{Into, Matrix, multiply};
use super::kernel::normalize::{self, Rule};
use super::kernel::recurrent as units;
use super::kernel::slice::Floats;
use super::norm::{Norm, NormKind};
use super::params::Param;
use super::position::{Rotary, Run};
use super::tap::{Captured, Part, Tap, Until, Within};
use super::wire::{
    Along, Heads, Map, Tables, Units, Wire, check_values, fixed_product, fixed_tables,
};
pub use numbers::{Numbers, Workspace};

use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};

/// The places within attention.
const WITHIN: [Point; 6] = [Point::Q, Point::K, Point::Scores, Point::Pattern, Point::V, Point::Z];

/// Something that the pass computed: rows of one width, `[batch · pos, width]`, of as many positions as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// How a value was computed, with what the way back needs. Segments are called by their number.
enum Op<'a> {
    Embed(Tables, usize),
    /// Nothing lies behind it that could have a gradient.
    Constant,
    Folded(Param, usize),
    /// The rows of a matrix, in every sequence.
    Repeat(Param),
    /// `residual + x · wᵀ + bias`
    Linear {
        x: Value,
        w: Weight,
        bias: Option<Param>,
        residual: Option<Value>,
    },
    Sum(Value, Value),
    Product(Value, Value),
    Scale(Value, f32),
    /// Of each `block` numbers those from `from` on.
    Slice {
        x: Value,
        block: usize,
        from: usize,
    },
    /// One after the other, in each of so many blocks.
    Concat(Vec<Value>, usize),
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
    Rotate(Value, &'a Rotary, Vec<Run>),
    Activate {
        x: Value,
        activation: Activation,
        kept: Vec<f32>,
    },
    SwiGlu {
        gate: Value,
        up: Value,
    },
    Softmax(Value),
    /// The same numbers in rows of another width.
    Rows(Value),
    Recur {
        inputs: Value,
        map: Map,
        before: Vec<Value>,
        shape: units::Shape,
        kept: Vec<f32>,
    },
    Select(Value, usize),
}

impl Op<'_> {
    /// What was kept for the way back.
    fn into_kept(self) -> Option<Vec<f32>> {
        if let Self::Normalize { statistics: kept, .. }
        | Self::Attend { log_sums: kept, .. }
        | Self::Activate { kept, .. }
        | Self::Recur { kept, .. } = self
        {
            Some(kept)
        } else {
            None
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

/// Positions of every sequence that are read at a time: mostly all of them.
struct Segment<'a> {
    from: usize,
    len: usize,
    /// Sequence after sequence, as all that follows.
    tokens: Cow<'a, [u32]>,
    targets: Cow<'a, [u32]>,
    /// In the loss.
    weight: Cow<'a, [f32]>,
    /// The positions that are left, if not all of them are.
    selected: Option<Vec<usize>>,
    logits: Option<Value>,
}

impl<'a> Segment<'a> {
    fn new(batch: &'a Batch, weight: &'a [f32], from: usize, len: usize) -> Self {
        Self {
            from,
            len,
            tokens: part(&batch.tokens, batch.len, from, len),
            targets: part(&batch.targets, batch.len, from, len),
            weight: part(weight, batch.len, from, len),
            selected: None,
            logits: None,
        }
    }

    /// The rows that have logits.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let all = if self.selected.is_none() { self.weight.len() } else { 0 };
        self.selected.iter().flatten().copied().chain(0..all)
    }

    /// Where a row lies among those of the whole sequences, of `length` positions each.
    fn place(&self, row: usize, length: usize) -> usize {
        row / self.len * length + self.from + row % self.len
    }

    /// Targets and weights of the rows that have logits.
    fn in_loss(&self) -> (Vec<u32>, Vec<f32>) {
        match &self.selected {
            Some(rows) => rows.iter().map(|&i| (self.targets[i], self.weight[i])).unzip(),
            None => (self.targets.to_vec(), self.weight.to_vec()),
        }
    }
}

/// Of each `block` numbers `len`, from `from` on.
fn part<T: Copy>(data: &[T], block: usize, from: usize, len: usize) -> Cow<'_, [T]> {
    if from == 0 && len == block {
        return Cow::Borrowed(data);
    }
    cut(data, block, from, len).flatten().copied().collect()
}

/// Of each `block` numbers `count`, from `from` on.
fn cut<T>(data: &[T], block: usize, from: usize, count: usize) -> impl Iterator<Item = &[T]> {
    data.chunks_exact(block.max(1)).map(move |block| &block[from..from + count])
}

/// The same, to be written.
fn cut_mut(
    data: &mut [f32],
    block: usize,
    from: usize,
    count: usize,
) -> impl Iterator<Item = &mut [f32]> {
    data.chunks_exact_mut(block.max(1)).map(move |block| &mut block[from..from + count])
}

fn copy<'a>(to: impl Iterator<Item = &'a mut [f32]>, from: impl Iterator<Item = &'a [f32]>) {
    to.zip(from).for_each(|(to, from)| to.copy_from_slice(from));
}

fn places(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.count).sum()
}

/// Rotates sequences of rows of `width` numbers to their places, or back with a `direction` of -1.
fn turn(data: &mut [f32], rotary: &Rotary, runs: &[Run], width: usize, direction: f32) {
    let (block, mut from) = (places(runs) * width, 0);
    for Run { start, count } in runs.iter().copied() {
        for rows in cut_mut(data, block, from, count * width) {
            rotary.turn(rows, start, count, width, direction);
        }
        from += count * width;
    }
}

/// A forward pass over the sequences of one shard.
pub struct Tape<'a> {
    numbers: &'a Numbers<'a>,
    batch: &'a Batch,
    /// Of each position in the loss.
    weight: &'a [f32],
    work: &'a Workspace,
    slots: Vec<Slot<'a>>,
    /// What was read so far and not left; the last is being read.
    segments: Vec<Segment<'a>>,
    /// How many segments were read before those.
    left: usize,
    carried: Vec<Value>,
    /// Memory tokens before the positions.
    memory: usize,
    /// What is wired passes no places.
    is_aside: bool,
    /// Values, and what is wanted of them in the loss beside that of the logits.
    beside: Vec<[Value; 2]>,
    found: Found,
    /// What is kept of a pass that nobody goes back over; none of one that ends with a way back.
    seen: Option<Seen>,
}

/// What is left of a pass that nobody goes back over.
#[derive(Default)]
struct Seen {
    /// Sites that are kept, if any are.
    keeping: Option<Until<'static>>,
    /// Of the segments that were read and left, `[batch, pos, vocab]` of the whole sequences; NaN where there are none.
    logits: Vec<f32>,
    /// Positions of them.
    positions: usize,
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
        let segments = vec![Segment::new(batch, weight, 0, batch.len)];
        let (work, slots, carried, memory) = (numbers.work, Vec::new(), Vec::new(), 0);
        let (left, seen) = (0, None);
        let (is_aside, beside) = (false, Vec::new());
        Self {
            numbers,
            batch,
            weight,
            work,
            slots,
            segments,
            left,
            carried,
            memory,
            is_aside,
            beside,
            found,
            seen,
        }
    }

    /// Keeps the tensors of these sites, in a pass that nobody goes back over. Where the logits are not wanted, it ends with
    /// the last of them, by refusing to go on ([`Self::is_ended`]).
    #[must_use]
    pub fn keeping(self, sites: &[Site], wants_logits: bool) -> Self {
        let until = || Until::new(Vec::new(), sites, None, wants_logits);
        let keeping = (!sites.is_empty()).then(until);
        Self { seen: Some(Seen { keeping, ..Seen::default() }), ..self }
    }

    /// Whether a refusal to go on was no failure: all that is asked was kept.
    pub fn is_ended(&self) -> bool {
        self.watcher().is_some_and(|until| until.is_ended)
    }

    /// The sites that are kept, in a pass that nobody goes back over.
    fn watcher(&self) -> Option<&Until<'static>> {
        self.seen.as_ref()?.keeping.as_ref()
    }

    fn watcher_mut(&mut self) -> Option<&mut Until<'static>> {
        self.seen.as_mut()?.keeping.as_mut()
    }

    /// The positions that are read.
    pub fn part(&self) -> Part {
        let Segment { from, len, .. } = self.segments[self.now()];
        Part { segment: self.left + self.now(), ..Part::positions(from, len, self.batch.len) }
    }

    fn keeps(&self, layer: usize, point: Point) -> bool {
        !self.is_aside && self.watcher().is_some_and(|until| until.wants(Site { layer, point }))
    }

    /// Keeps what is at a site, if it is to be kept.
    fn passed(&mut self, site: Site, part: Part, x: Value) -> Result<Value> {
        if self.keeps(site.layer, site.point) {
            let tensor = self.tensor(x)?;
            if let Some(until) = self.watcher_mut() {
                until.at_part(site, part, tensor)?;
            }
        }
        Ok(x)
    }

    /// `[batch, pos, width]`
    fn tensor(&self, x: Value) -> Result<Tensor> {
        self.check_there(x)?;
        let Slot { data, width, .. } = &self.slots[x.0];
        let shape = (self.batch.rows, self.positions_of(x), *width);
        Ok(Tensor::from_slice(data, shape, self.numbers.params.device())?)
    }

    /// What is read from now on: positions `from..from + len` of each sequence, which has them. At first all are. If `is_cut`, no
    /// gradient passes from there to what was read before; where none does, nothing is left of that but what is carried.
    ///
    /// # Errors
    /// When what was read before ended without logits.
    pub fn turn_to(&mut self, from: usize, len: usize, is_cut: bool) -> Result<()> {
        if self.slots.is_empty() {
            self.segments.clear();
        } else if is_cut || self.seen.is_some() || !self.carried.iter().any(|x| self.is_wanted(*x))
        {
            self.leave()?;
        }
        self.segments.push(Segment::new(self.batch, self.weight, from, len));
        Ok(())
    }

    /// Leaves what was read: goes back over it, or keeps its logits where nobody will. What is carried stays, as numbers that pass no
    /// gradient on.
    fn leave(&mut self) -> Result<()> {
        self.left += self.segments.len();
        let carried = std::mem::take(&mut self.carried);
        let state = carried.into_iter().map(|x| Ok((self.copy(x)?, self.slots[x.0].width)));
        let state = state.collect::<Result<Vec<_>>>()?;
        if self.seen.is_some() {
            self.keep_logits()?;
            self.forget();
        } else {
            self.go_back()?;
        }
        let constant = |(data, width)| self.push(slot(Op::Constant, data, width, false));
        self.carried = state.into_iter().map(constant).collect();
        Ok(())
    }

    /// The logits of what is being read: the end of a wiring.
    pub fn end(&mut self, logits: Value) {
        let now = self.now();
        self.segments[now].logits = Some(logits);
    }

    /// Positions of the whole sequences.
    pub fn length(&self) -> usize {
        self.batch.len
    }

    fn now(&self) -> usize {
        self.segments.len() - 1
    }

    /// Rows of tables `[vocab, width]` and `[length, width]` that never change.
    ///
    /// # Errors
    /// When a token is none of theirs, or the sequences are longer.
    fn look_up(&mut self, tokens: &Tensor, positions: &Tensor) -> Result<Value> {
        let (_, width) = tokens.dims2()?;
        let data = self.looked_up(&Floats::of(tokens)?, Some(&Floats::of(positions)?), width)?;
        Ok(self.push(slot(Op::Constant, data, width, false)))
    }

    fn looked_up(
        &mut self,
        table: &[f32],
        positions: Option<&[f32]>,
        width: usize,
    ) -> Result<Vec<f32>> {
        let Segment { from, len, tokens, .. } = &self.segments[self.now()];
        let (end, vocab) = (from + len, table.len() / width.max(1));
        let places = positions.map_or(end, |p| p.len() / width.max(1));
        if tokens.iter().any(|&t| t as usize >= vocab) || end > places {
            return Err(Error::internal(format!(
                "sequences of {end} tokens below {} do not fit tables of {vocab} tokens and {places} positions",
                tokens.iter().max().map_or(0, |t| t + 1),
            )));
        }
        let mut out = self.work.take(tokens.len() * width);
        for (i, (row, &token)) in out.chunks_exact_mut(width).zip(&**tokens).enumerate() {
            row.copy_from_slice(&table[token as usize * width..][..width]);
            if let Some(positions) = positions {
                add_to(row, &positions[(from + i % len) * width..][..width]);
            }
        }
        Ok(out)
    }

    fn folded(&mut self, tables: Tables, w: Param, outputs: usize, inputs: usize) -> Result<Value> {
        let numbers = self.numbers;
        let folded = numbers.fold(tables, w, outputs, inputs);
        let places = tables.positions.map(|_| &*folded.positions);
        let data = self.looked_up(&folded.tokens, places, outputs)?;
        let op = Op::Folded(w, self.now());
        Ok(self.push(slot(op, data, outputs, numbers.is_wanted(w))))
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

    /// What the stream is when `map` of a part of the sequences is written into it.
    fn written(
        &mut self,
        site: Site,
        part: Part,
        residual: Value,
        x: Value,
        map: Map,
    ) -> Result<Value> {
        if !self.keeps(site.layer, site.point) {
            return self.mapped(x, map, Some(residual));
        }
        let written = self.mapped(x, map, None)?;
        let written = self.passed(site, part, written)?;
        self.sum(&residual, &written)
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

    /// What heads attend to.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn attended_to(&mut self, how: Attention, q: Value, k: Value, v: Value) -> Result<Value> {
        let shape = self.attending(how, q, k)?.of_values(self.slots[v.0].width);
        self.check_values(shape, v)?;
        let (mut z, mut log_sums) = (self.work.take(shape.z_len()), self.work.take(shape.rows()));
        let mut scratch = self.work.take(shape.scratch());
        let of = self.attended([q, k, v]);
        let mut out = Outputs { z: &mut z, log_sums: &mut log_sums };
        attention::forward(shape, of, &mut out, &mut scratch);
        self.work.give(scratch);
        let wanted = [q, k, v].iter().any(|value| self.is_wanted(*value));
        let op = Op::Attend { shape, inputs: [q, k, v], log_sums };
        Ok(self.push(slot(op, z, shape.z_width(), wanted)))
    }

    /// # Errors
    /// When queries and keys do not fit the heads.
    fn attending(&self, how: Attention, q: Value, k: Value) -> Result<attention::Shape> {
        let Attention { heads, kv_heads, scale, mask, .. } = how;
        let (width, batch) = (self.slots[q.0].width, self.batch.rows);
        let (queries, keys, dim) =
            (self.positions_of(q), self.positions_of(k), width / heads.max(1));
        let value_dim = dim;
        let shape =
            attention::Shape { batch, queries, keys, heads, kv_heads, dim, value_dim, scale, mask };
        self.check_there(q)?;
        self.check_width(k, shape.key_width())?;
        let selected = self.segments[self.now()].selected.is_some();
        if shape.fits() && shape.width() == width && !selected {
            return Ok(shape);
        }
        Err(Error::internal(format!(
            "{heads} heads cannot attend from {queries} positions of {width} numbers to {keys} of {kv_heads} heads"
        )))
    }

    /// The same where of all that is within the pattern alone is kept.
    fn attended_to_by_pattern(
        &mut self,
        (layer, shape): (usize, attention::Shape),
        part: Part,
        q: Value,
        k: Value,
        values: impl FnOnce(&mut Self) -> Result<Value>,
    ) -> Result<Value> {
        let Inputs { q: queries, k: keys, .. } = self.attended([q, k, k]);
        let found = pattern(shape, queries, keys);
        let dims = (shape.batch, shape.heads, shape.queries, shape.keys);
        let found = Tensor::from_vec(found, dims, self.numbers.params.device())?;
        if let Some(until) = self.watcher_mut() {
            until.at_part(Site { layer, point: Point::Pattern }, part, found.clone())?;
        }
        let v = values(self)?;
        let shape = shape.of_values(self.slots[v.0].width);
        self.check_values(shape, v)?;
        let mut z = self.work.take(shape.z_len());
        mix(shape, &Floats::of(&found)?, &self.slots[v.0].data, false, &mut z);
        Ok(self.push(slot(Op::Constant, z, shape.z_width(), false)))
    }

    /// The same where something within is kept: as over tensors.
    fn attended_to_and_kept(
        &mut self,
        how: Attention,
        part: Part,
        q: Value,
        k: Value,
        values: impl FnOnce(&mut Self) -> Result<Value>,
    ) -> Result<Value> {
        let shape = self.attending(how, q, k)?;
        let is_kept = |point: &Point| self.keeps(how.layer, *point);
        if shape.is_plain() && WITHIN.iter().filter(|p| is_kept(p)).eq([&Point::Pattern]) {
            return self.attended_to_by_pattern((how.layer, shape), part, q, k, values);
        }
        let [q, k] = [self.tensor(q)?, self.tensor(k)?];
        let mut seen = self.seen.take().unwrap_or_default();
        let keeping = seen.keeping.get_or_insert_with(|| Until::new(vec![], &[], None, true));
        let mut tap = Within { tap: keeping, part };
        let values = || values(self).and_then(|values| self.tensor(values));
        let z = attend(how, &q, &k, values, &mut tap);
        self.seen = Some(seen);
        let z = z?;
        let width = z.dim(2)?;
        Ok(self.push(slot(Op::Constant, Floats::of(&z)?.to_vec(), width, false)))
    }

    /// What is left of a pass that nobody goes back over: the logits, `[batch, pos, vocab]`, unless it ended before, NaN where
    /// `weight` is 0 and they were left out; and what was kept.
    ///
    /// # Errors
    /// When positions are missing.
    pub fn into_seen(mut self) -> Result<(Option<Tensor>, Captured)> {
        let is_ended = self.is_ended();
        if !is_ended {
            self.keep_logits()?;
        }
        let vocab =
            self.segments.last().and_then(|s| s.logits).map_or(0, |x| self.slots[x.0].width);
        self.forget();
        let Seen { keeping, logits, positions } = self.seen.take().unwrap_or_default();
        let captured = keeping.map(|until| until.bench.captured).unwrap_or_default();
        if is_ended {
            return Ok((None, captured));
        }
        if positions != self.batch.len {
            return Err(Error::internal(format!(
                "{positions} of {} positions were read",
                self.batch.len
            )));
        }
        let shape = (self.batch.rows, positions, vocab);
        let logits = Tensor::from_vec(logits, shape, self.numbers.params.device())?;
        Ok((Some(logits), captured))
    }

    /// Keeps the logits of what was read, where nobody goes back.
    fn keep_logits(&mut self) -> Result<()> {
        for segment in &self.segments {
            let Some(logits) = segment.logits else { return Err(no_logits()) };
            let Slot { data, width, .. } = &mut self.slots[logits.0];
            let seen = self.seen.get_or_insert_default();
            seen.positions += segment.len;
            if segment.len == self.batch.len && segment.selected.is_none() {
                seen.logits = std::mem::take(data);
                continue;
            }
            seen.logits.resize(self.weight.len() * *width, f32::NAN);
            for (row, logits) in segment.rows().zip(data.chunks_exact(*width)) {
                let to = segment.place(row, self.batch.len);
                seen.logits[to * *width..][..*width].copy_from_slice(logits);
            }
        }
        Ok(())
    }

    /// Gives back all that was computed.
    fn forget(&mut self) {
        self.segments.clear();
        for slot in self.slots.drain(..) {
            self.work.give(slot.data);
            slot.op.into_kept().into_iter().for_each(|kept| self.work.give(kept));
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

    /// How many positions of each sequence a value has.
    fn positions_of(&self, x: Value) -> usize {
        self.rows(x) / self.batch.rows.max(1)
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

    /// That there is a value for each key, and each head has as many numbers of it.
    fn check_values(&self, shape: attention::Shape, v: Value) -> Result<()> {
        self.check_width(v, shape.value_width())?;
        if self.positions_of(v) == shape.keys {
            return Ok(());
        }
        Err(Error::internal(format!("{} values of {} keys", self.positions_of(v), shape.keys)))
    }

    fn check_alike(&self, a: Value, b: Value) -> Result<()> {
        self.check_there(a)?;
        self.check_width(b, self.slots[a.0].width)?;
        if self.rows(a) == self.rows(b) {
            return Ok(());
        }
        Err(Error::internal(format!("{} rows do not fit {} rows", self.rows(a), self.rows(b))))
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

    fn at_step(&mut self, layer: usize, point: Point, step: usize, x: Value) -> Result<Value> {
        let part = self.part().rows(step, self.positions_of(x), self.memory);
        self.passed(Site { layer, point }, part, x)
    }

    fn at_memory(&mut self, layer: usize, point: Point, x: Value) -> Result<Value> {
        let part = Part { len: 0, memory: self.positions_of(x), ..self.part() };
        self.passed(Site { layer, point }, part, x)
    }

    fn begin_with_memory(&mut self, tokens: usize) {
        self.memory = tokens;
    }

    fn aside<T>(&mut self, wired: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.is_aside, true);
        let found = wired(self);
        self.is_aside = before;
        found
    }

    fn embed(&mut self, tokens: Param, positions: Option<Param>) -> Result<Value> {
        let numbers = self.numbers;
        let (_, width) = numbers.sizes(tokens)?;
        let tables = Tables { tokens, positions };
        let places = positions.map(|p| numbers.slice(p));
        let data = self.looked_up(numbers.slice(tokens), places, width)?;
        let wanted = numbers.is_wanted(tokens) || positions.is_some_and(|p| numbers.is_wanted(p));
        let (embedded, op) = ((!wanted).then_some(tables), Op::Embed(tables, self.now()));
        Ok(self.push(Slot { tables: embedded, ..slot(op, data, width, wanted) }))
    }

    fn values(&mut self, x: &Value, map: Map) -> Result<Value> {
        let (batch, (_, inputs)) = (self.batch, self.numbers.sizes(map.weight)?);
        check_values(inputs, batch.values.len() / batch.tokens.len().max(1))?;
        let Segment { from, len, .. } = self.segments[self.now()];
        let here = part(&batch.values, batch.len * inputs, from * inputs, len * inputs);
        let mut data = self.work.take(here.len());
        data.copy_from_slice(&here);
        let values = self.push(slot(Op::Constant, data, inputs, false));
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

    fn linear_held(&mut self, x: &Value, weight: Param) -> Result<Value> {
        self.check_there(*x)?;
        self.linear_fixed(*x, self.numbers.params.get(weight)?.detach())
    }

    fn write(&mut self, site: Site, residual: &Value, x: &Value, map: Map) -> Result<Value> {
        let part = self.part().rows(0, self.positions_of(*x), self.memory);
        self.written(site, part, *residual, *x, map)
    }

    fn attend(&mut self, how: Attention, heads: Heads<'_, Value>) -> Result<Value> {
        let Heads { queries, keys, read, values, outputs, residual, last } = heads;
        let site = Site { layer: how.layer, point: Point::AttnOut };
        let (q, k) = (self.positions_of(*queries), self.positions_of(*keys));
        let part = self.part().of_attention(how, q, k);
        let is_kept = self.keeps(how.layer, Point::V) || self.keeps(how.layer, Point::Z);
        let product = if is_kept { None } else { fixed_product(self.numbers.params, how, &heads)? };
        let values = |tape: &mut Self| match &product {
            Some(product) => tape.fixed_values(how.layer, *read, product),
            None => values.map_or(Ok(*read), |values| tape.linear(read, values)),
        };
        let z = if WITHIN.iter().any(|&point| self.keeps(how.layer, point)) {
            self.attended_to_and_kept(how, part, *queries, *keys, values)?
        } else {
            let values = values(self)?;
            self.attended_to(how, *queries, *keys, values)?
        };
        let drop = |tape: &mut Self, x| if last { tape.in_loss(x) } else { x };
        let outputs = outputs.filter(|_| product.is_none());
        let Some(residual) = residual else {
            return outputs.map_or(Ok(z), |outputs| self.mapped(z, outputs, None));
        };
        let (residual, z) = (drop(self, *residual), drop(self, z));
        match outputs {
            Some(outputs) => self.written(site, part, residual, z, outputs),
            None => {
                let z = self.passed(site, part, z)?;
                self.sum(&residual, &z)
            }
        }
    }

    fn rotate(&mut self, x: &Value, rotary: &'a Rotary, start: usize) -> Result<Value> {
        self.rotate_runs(x, rotary, &[Run { start, count: self.positions_of(*x) }])
    }

    fn rotate_runs(&mut self, x: &Value, rotary: &'a Rotary, runs: &[Run]) -> Result<Value> {
        let width = self.slots[x.0].width;
        for run in runs {
            rotary.check(run.start + run.count, width)?;
        }
        let (rows, placed) = (self.positions_of(*x), places(runs));
        if rows != placed {
            return Err(Error::internal(format!("{rows} rows have {placed} places")));
        }
        let mut out = self.copy(*x)?;
        turn(&mut out, rotary, runs, width, 1.0);
        Ok(self.push(slot(Op::Rotate(*x, rotary, runs.to_vec()), out, width, self.is_wanted(*x))))
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

    fn softmax(&mut self, x: &Value) -> Result<Value> {
        let (mut out, width) = (self.copy(*x)?, self.slots[x.0].width);
        for row in out.chunks_exact_mut(width.max(1)) {
            softmax_row(row);
        }
        Ok(self.push(slot(Op::Softmax(*x), out, width, self.is_wanted(*x))))
    }

    fn recur(&mut self, units: Units<'_, Value>) -> Result<Option<Value>> {
        if units.within.iter().any(|&point| self.keeps(units.layer, point)) {
            return Ok(None);
        }
        self.recurred(units).map(Some)
    }

    fn scale(&mut self, x: &Value, factor: f32) -> Result<Value> {
        let mut out = self.copy(*x)?;
        super::kernel::lanes::scale(&mut out, factor);
        let width = self.slots[x.0].width;
        Ok(self.push(slot(Op::Scale(*x, factor), out, width, self.is_wanted(*x))))
    }

    fn sum(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let (a, b) = (*a, *b);
        self.check_alike(a, b)?;
        let mut out = self.copy(a)?;
        add_to(&mut out, &self.slots[b.0].data);
        let wanted = self.is_wanted(a) || self.is_wanted(b);
        Ok(self.push(slot(Op::Sum(a, b), out, self.slots[a.0].width, wanted)))
    }

    fn product(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let (a, b) = (*a, *b);
        self.check_alike(a, b)?;
        let mut out = self.work.take(self.slots[a.0].data.len());
        product(&self.slots[a.0].data, &self.slots[b.0].data, &mut out);
        let wanted = self.is_wanted(a) || self.is_wanted(b);
        Ok(self.push(slot(Op::Product(a, b), out, self.slots[a.0].width, wanted)))
    }

    fn slice(&mut self, x: &Value, along: Along, from: usize, count: usize) -> Result<Value> {
        self.check_there(*x)?;
        let Slot { data, width, wanted, .. } = &self.slots[x.0];
        let (block, from, count, width) = match along {
            Along::Columns => (*width, from, count, count),
            Along::Positions => {
                (self.positions_of(*x) * width, from * width, count * width, *width)
            }
        };
        if from + count > block {
            return Err(Error::internal(format!(
                "numbers {from} to {} of {block} are not all there",
                from + count
            )));
        }
        let mut out = self.work.take(data.len() / block.max(1) * count);
        copy(cut_mut(&mut out, count, 0, count), cut(data, block, from, count));
        let wanted = *wanted;
        Ok(self.push(slot(Op::Slice { x: *x, block, from }, out, width, wanted)))
    }

    fn in_rows_of(&mut self, x: &Value, width: usize) -> Result<Value> {
        let out = self.copy(*x)?;
        if width == 0 || !(out.len() / self.batch.rows.max(1)).is_multiple_of(width) {
            return Err(Error::internal(format!("a sequence of numbers is no rows of {width}")));
        }
        Ok(self.push(slot(Op::Rows(*x), out, width, self.is_wanted(*x))))
    }

    fn concat(&mut self, parts: &[Value], along: Along) -> Result<Value> {
        let Some(&first) = parts.first() else {
            return Err(Error::internal("nothing cannot be put side by side"));
        };
        let width = self.slots[first.0].width;
        let (blocks, width) = match along {
            Along::Positions => (self.batch.rows, width),
            Along::Columns => (self.rows(first), parts.iter().map(|x| self.slots[x.0].width).sum()),
        };
        for &x in parts {
            self.check_there(x)?;
            let fits = match along {
                Along::Positions => self.slots[x.0].width == width,
                Along::Columns => self.rows(x) == blocks,
            };
            if !fits {
                return Err(Error::internal("values of other sizes cannot be put side by side"));
            }
        }
        let mut out = self.work.take(parts.iter().map(|x| self.slots[x.0].data.len()).sum());
        let (whole, mut from) = (out.len() / blocks.max(1), 0);
        for x in parts {
            let data = &self.slots[x.0].data;
            let count = data.len() / blocks.max(1);
            copy(cut_mut(&mut out, whole, from, count), cut(data, count, 0, count));
            from += count;
        }
        let wanted = parts.iter().any(|x| self.is_wanted(*x));
        Ok(self.push(slot(Op::Concat(parts.to_vec(), blocks), out, width, wanted)))
    }

    fn repeat(&mut self, rows: Param) -> Result<Value> {
        let (_, width) = self.numbers.sizes(rows)?;
        let data = self.numbers.slice(rows);
        let mut out = self.work.take(self.batch.rows * data.len());
        out.chunks_exact_mut(data.len().max(1)).for_each(|all| all.copy_from_slice(data));
        Ok(self.push(slot(Op::Repeat(rows), out, width, self.numbers.is_wanted(rows))))
    }

    fn zeros(&mut self, positions: usize, width: usize) -> Result<Value> {
        let out = self.work.take_zeros(self.batch.rows * positions * width);
        Ok(self.push(slot(Op::Constant, out, width, false)))
    }

    fn detach(&mut self, x: &Value) -> Result<Value> {
        let (out, width) = (self.copy(*x)?, self.slots[x.0].width);
        Ok(self.push(slot(Op::Constant, out, width, false)))
    }

    fn learns(&self, x: &Value) -> bool {
        self.seen.is_none() && self.is_wanted(*x)
    }

    fn lose(&mut self, x: &Value, wanted: &Value) -> Result<()> {
        self.check_alike(*x, *wanted)?;
        self.check_there(*wanted)?;
        self.beside.push([*x, *wanted]);
        Ok(())
    }

    fn first(&self) -> usize {
        self.segments[self.now()].from
    }

    fn positions(&self) -> usize {
        self.segments[self.now()].len
    }

    fn carried(&mut self) -> Vec<Value> {
        self.carried.clone()
    }

    fn carry(&mut self, state: Vec<Value>) {
        self.carried = state;
    }

    /// `x` itself if they are most of its rows, or all that are left, or places are kept.
    fn in_loss(&mut self, x: Value) -> Value {
        if self.watcher().is_some() {
            return x;
        }
        let (rows, now) = (self.rows(x), self.now());
        let Segment { weight, selected, .. } = &mut self.segments[now];
        let all = weight.len();
        let counts = || weight.iter().filter(|w| **w != 0.0).count();
        if rows != all || (selected.is_none() && 4 * counts() > 3 * all) {
            return x;
        }
        let chosen = || (0..all).filter(|&i| weight[i] != 0.0).collect();
        let rows = &*selected.get_or_insert_with(chosen);
        let Slot { data, width, wanted, .. } = &self.slots[x.0];
        let (width, wanted) = (*width, *wanted);
        let mut out = self.work.take(rows.len() * width);
        for (to, &from) in out.chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&data[from * width..][..width]);
        }
        self.push(slot(Op::Select(x, now), out, width, wanted))
    }
}

fn no_logits() -> Error {
    Error::internal("a pass ended without logits (Tape::end)")
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
    let centred = norm.kind == NormKind::Layer;
    Ok(Rule { width, centred, epsilon: norm.epsilon, weight, bias })
}
