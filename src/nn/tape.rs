//! A forward pass on slices that can be gone back over: what training runs where nobody watches.
//!
//! It computes what the same pass over tensors computes, with the same kernels. What it does without: gradients and
//! buffers of what is frozen, sums of gradients that have one term, memory that is asked for anew at every step, and
//! products of what depends only on a token or a position, which are made once for the whole batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::Tensor;

use super::attention::{Attention, attend, mix, pattern};
use super::kernel::activation::{Activation, swiglu, swiglu_backward};
use super::kernel::attention::{self as attention, Backward, Gradients, Inputs, Outputs};
use super::kernel::cross_entropy::cross_entropy;
use super::kernel::lanes::{add_row_and_rest, add_to, product};
use super::kernel::matrix::{Into, Matrix, multiply, transpose};
use super::kernel::normalize::{self, Rule};
use super::kernel::slice::Floats;
use super::kernel::squared_error::squared_error;
use super::norm::{Norm, NormKind};
use super::params::{Param, Params};
use super::position::Rotary;
use super::tap::{Captured, Part, Tap, Until, Within};
use super::wire::{Along, Heads, Map, Tables, Wire, check_values, fixed_product, fixed_tables};
use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};

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
    Rotate(Value, &'a Rotary, usize),
    Activate {
        x: Value,
        activation: Activation,
        kept: Vec<f32>,
    },
    SwiGlu {
        gate: Value,
        up: Value,
    },
    Select(Value, usize),
}

impl Op<'_> {
    /// What was kept for the way back.
    fn into_kept(self) -> Option<Vec<f32>> {
        if let Self::Normalize { statistics: kept, .. }
        | Self::Attend { log_sums: kept, .. }
        | Self::Activate { kept, .. } = self
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

/// A forward pass over the sequences of one shard.
pub struct Tape<'a> {
    numbers: &'a Numbers<'a>,
    batch: &'a Batch,
    /// Of each position in the loss.
    weight: &'a [f32],
    work: &'a Workspace,
    slots: Vec<Slot<'a>>,
    /// What was read so far; the last is being read.
    segments: Vec<Segment<'a>>,
    carried: Vec<Value>,
    found: Found,
    /// In a pass that nobody goes back over: what is kept of it.
    keeping: Option<Until>,
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
        let (work, slots, carried) = (numbers.work, Vec::new(), Vec::new());
        Self { numbers, batch, weight, work, slots, segments, carried, found, keeping: None }
    }

    /// Keeps the tensors of these sites, in a pass that nobody goes back over. Where the logits are not wanted, it ends with
    /// the last of them, by refusing to go on ([`Self::is_ended`]).
    #[must_use]
    pub fn keeping(self, sites: &[Site], wants_logits: bool) -> Self {
        let until = || Until::new(Vec::new(), sites, wants_logits);
        Self { keeping: (!sites.is_empty()).then(until), ..self }
    }

    /// Whether a refusal to go on was no failure: all that is asked was kept.
    pub fn is_ended(&self) -> bool {
        self.keeping.as_ref().is_some_and(|until| until.is_ended)
    }

    /// The positions that are read.
    pub fn part(&self) -> Part {
        let Segment { from, len, .. } = self.segments[self.now()];
        Part::positions(from, len, self.batch.len)
    }

    fn keeps(&self, layer: usize, point: Point) -> bool {
        self.keeping.as_ref().is_some_and(|until| until.wants(Site { layer, point }))
    }

    /// Keeps what is at a site, if it is to be kept.
    fn passed(&mut self, site: Site, part: Part, x: Value) -> Result<Value> {
        if self.keeps(site.layer, site.point) {
            let tensor = self.tensor(x)?;
            if let Some(until) = &mut self.keeping {
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

    /// What is read from now on: positions `from..from + len` of each sequence, which has them. At first all are.
    pub fn turn_to(&mut self, from: usize, len: usize) {
        if self.slots.is_empty() {
            self.segments.clear();
        }
        self.segments.push(Segment::new(self.batch, self.weight, from, len));
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
        let shape = self.attending(how, q, k)?;
        self.check_alike(k, v)?;
        let (mut z, mut log_sums) = (self.work.take(shape.len()), self.work.take(shape.rows()));
        let mut scratch = self.work.take(shape.scratch());
        let of = self.attended([q, k, v]);
        let mut out = Outputs { z: &mut z, log_sums: &mut log_sums };
        attention::forward(shape, of, &mut out, &mut scratch);
        self.work.give(scratch);
        let wanted = [q, k, v].iter().any(|value| self.is_wanted(*value));
        let op = Op::Attend { shape, inputs: [q, k, v], log_sums };
        Ok(self.push(slot(op, z, shape.width(), wanted)))
    }

    /// # Errors
    /// When queries and keys do not fit the heads.
    fn attending(&self, how: Attention, q: Value, k: Value) -> Result<attention::Shape> {
        let Attention { heads, kv_heads, scale, mask, .. } = how;
        let (width, batch) = (self.slots[q.0].width, self.batch.rows);
        let (queries, keys, dim) =
            (self.positions_of(q), self.positions_of(k), width / heads.max(1));
        let shape = attention::Shape { batch, queries, keys, heads, kv_heads, dim, scale, mask };
        self.check_there(q)?;
        self.check_width(k, shape.kv_width())?;
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
        if let Some(until) = &mut self.keeping {
            until.at_part(Site { layer, point: Point::Pattern }, part, found.clone())?;
        }
        let v = values(self)?;
        self.check_alike(k, v)?;
        let mut z = self.work.take(shape.len());
        mix(shape, &Floats::of(&found)?, &self.slots[v.0].data, false, &mut z);
        Ok(self.push(slot(Op::Constant, z, shape.width(), false)))
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
        let mut keeping = self.keeping.take().unwrap_or_else(|| Until::new(vec![], &[], true));
        let mut tap = Within { tap: &mut keeping, part };
        let values = || values(self).and_then(|values| self.tensor(values));
        let z = attend(how, &q, &k, values, &mut tap);
        self.keeping = Some(keeping);
        let z = Floats::of(&z?)?.to_vec();
        Ok(self.push(slot(Op::Constant, z, shape.width(), false)))
    }

    /// What is left of a pass that nobody goes back over: the logits, `[batch, pos, vocab]`, unless it ended before, NaN where
    /// `weight` is 0 and they were left out; and what was kept.
    ///
    /// # Errors
    /// When positions are missing.
    pub fn into_seen(mut self) -> Result<(Option<Tensor>, Captured)> {
        let keeping = self.keeping.take();
        let is_ended = keeping.as_ref().is_some_and(|until| until.is_ended);
        let logits = if is_ended { None } else { Some(self.all_logits()?) };
        for slot in self.slots {
            self.work.give(slot.data);
            slot.op.into_kept().into_iter().for_each(|kept| self.work.give(kept));
        }
        Ok((logits, keeping.map(|until| until.bench.captured).unwrap_or_default()))
    }

    fn all_logits(&mut self) -> Result<Tensor> {
        let mut all = Vec::with_capacity(self.segments.len());
        for segment in 0..self.segments.len() {
            let Segment { selected, weight, logits, .. } = &self.segments[segment];
            let Some(logits) = *logits else {
                return Err(Error::internal("a pass ended without logits (Tape::end)"));
            };
            all.push(match selected {
                None => logits,
                Some(rows) => self.spread(logits, &rows.clone(), weight.len()),
            });
        }
        let value =
            if let [value] = all[..] { value } else { self.concat(&all, Along::Positions)? };
        let Slot { data, width, .. } = &mut self.slots[value.0];
        let shape = (self.batch.rows, self.batch.len, *width);
        Ok(Tensor::from_vec(std::mem::take(data), shape, self.numbers.params.device())?)
    }

    /// Rows of a selection where they were among `all`, between rows of NaN.
    fn spread(&mut self, x: Value, rows: &[usize], all: usize) -> Value {
        let Slot { data, width, .. } = &self.slots[x.0];
        let mut out = self.work.take(all * width);
        out.fill(f32::NAN);
        for (from, &to) in data.chunks_exact(*width).zip(rows) {
            out[to * width..][..*width].copy_from_slice(from);
        }
        let width = *width;
        self.push(slot(Op::Constant, out, width, false))
    }

    /// The loss of the logits of all that was read, and the way back from it. Where the batch has real numbers as targets, it is
    /// the squared error of predictions `[batch · pos, outputs]`. The gradients are of the buffers of the workspace, and may
    /// be given back to it.
    ///
    /// # Errors
    /// When there are no logits for each position, or a weighted target is none of the vocabulary.
    pub fn backward(mut self) -> Result<Found> {
        for segment in 0..self.segments.len() {
            let Some(logits) = self.segments[segment].logits else {
                return Err(Error::internal("a pass ended without logits (Tape::end)"));
            };
            let gradient = if self.batch.value_targets.is_empty() {
                self.cross_entropy(segment, logits)?
            } else {
                self.squared_error(segment, logits)?
            };
            self.add(logits, gradient);
        }
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

    /// The gradient of the logits of a segment; the loss is kept.
    fn cross_entropy(&mut self, segment: usize, logits: Value) -> Result<Vec<f32>> {
        let (targets, weight) = self.segments[segment].in_loss();
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
        self.found.loss += cross_entropy(logits_data, &targets, &weight, Some(&mut gradient));
        Ok(gradient)
    }

    /// The gradient of the predictions of a segment; the loss is kept.
    fn squared_error(&mut self, segment: usize, predictions: Value) -> Result<Vec<f32>> {
        let outputs = self.batch.value_targets.len() / self.weight.len().max(1);
        self.check_width(predictions, outputs)?;
        let Segment { from, len, weight, selected, .. } = &self.segments[segment];
        let rows = selected.clone().unwrap_or_else(|| (0..weight.len()).collect());
        let of = |row: &usize| {
            let position = row / len * self.batch.len + from + row % len;
            &self.batch.value_targets[position * outputs..][..outputs]
        };
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
        self.found.loss += squared_error(data, &targets, &weight, &mut gradient);
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
            Op::Embed(tables, segment) => {
                self.scatter_tokens(tables, segment, &gradient);
                self.work.give(gradient);
            }
            Op::Constant => self.work.give(gradient),
            Op::Folded(w, segment) => self.unfolded(w, segment, gradient),
            Op::Repeat(param) => self.unrepeated(param, gradient),
            Op::Linear { x, w, bias, residual } => {
                self.unmapped(x, &w, bias, (&gradient, width))?;
                match residual {
                    Some(residual) => self.add(residual, gradient),
                    None => self.work.give(gradient),
                }
            }
            Op::Sum(a, b) => self.unsummed(a, b, gradient),
            Op::Product(a, b) => self.unmultiplied(a, b, gradient),
            Op::Slice { x, block, from } => self.unsliced(x, block, from, gradient),
            Op::Concat(parts, blocks) => self.unconcatenated(&parts, blocks, gradient),
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
            Op::Rotate(x, rotary, from) => {
                // A rotation is orthogonal: its gradient turns back.
                let width = self.slots[x.0].width;
                rotary.turn(&mut gradient, from, self.positions_of(x), width, -1.0);
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
            Op::Select(x, segment) => self.unselected(x, segment, gradient),
        }
        Ok(())
    }

    fn unsummed(&mut self, a: Value, b: Value, gradient: Vec<f32>) {
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

    fn unmultiplied(&mut self, a: Value, b: Value, gradient: Vec<f32>) {
        for (to, other) in [(a, b), (b, a)] {
            if self.is_wanted(to) {
                let mut found = self.work.take(gradient.len());
                product(&gradient, &self.slots[other.0].data, &mut found);
                self.add(to, found);
            }
        }
        self.work.give(gradient);
    }

    fn unrepeated(&mut self, rows: Param, gradient: Vec<f32>) {
        let length = self.numbers.slice(rows).len();
        let sum = self.gradient_of(rows, length);
        gradient.chunks_exact(length).for_each(|rows| add_to(sum, rows));
        self.work.give(gradient);
    }

    fn unselected(&mut self, x: Value, segment: usize, gradient: Vec<f32>) {
        let width = self.slots[x.0].width;
        let mut whole = self.work.take_zeros(self.slots[x.0].data.len());
        let rows = self.segments[segment].selected.iter().flatten();
        for (from, &to) in gradient.chunks_exact(width).zip(rows) {
            whole[to * width..][..width].copy_from_slice(from);
        }
        self.work.give(gradient);
        self.add(x, whole);
    }

    /// Adds the gradient of a part to that of the whole.
    fn unsliced(&mut self, x: Value, block: usize, from: usize, gradient: Vec<f32>) {
        let length = self.slots[x.0].data.len();
        let blocks = (length / block.max(1)).max(1);
        let mut whole =
            self.slots[x.0].gradient.take().unwrap_or_else(|| self.work.take_zeros(length));
        let count = gradient.len() / blocks;
        let into = cut_mut(&mut whole, block, from, count);
        into.zip(cut(&gradient, count, 0, count)).for_each(|(all, part)| add_to(all, part));
        self.work.give(gradient);
        self.slots[x.0].gradient = Some(whole);
    }

    fn unconcatenated(&mut self, parts: &[Value], blocks: usize, gradient: Vec<f32>) {
        let (whole, mut from) = (gradient.len() / blocks, 0);
        for &x in parts {
            let count = self.slots[x.0].data.len() / blocks;
            let mut found = self.work.take(count * blocks);
            copy(cut_mut(&mut found, count, 0, count), cut(&gradient, whole, from, count));
            self.add(x, found);
            from += count;
        }
        self.work.give(gradient);
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
        let mut grads = inputs.map(|value| {
            let Slot { data, wanted, .. } = &self.slots[value.0];
            wanted.then(|| self.work.take(data.len()))
        });
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

    fn scatter_tokens(&mut self, tables: Tables, segment: usize, gradient: &[f32]) {
        let numbers = self.numbers;
        let Segment { from, len, tokens, .. } = &self.segments[segment];
        let width = gradient.len() / tokens.len().max(1);
        let (grads, work) = (&mut self.found.grads, self.work);
        let length = |table: Param| numbers.slice(table).len();
        if numbers.is_wanted(tables.tokens) {
            let out = gradient_in(grads, work, tables.tokens, length(tables.tokens));
            scatter(out, gradient, width, tokens.iter().map(|&t| t as usize));
        }
        if let Some(positions) = tables.positions.filter(|p| numbers.is_wanted(*p)) {
            let out = gradient_in(grads, work, positions, length(positions));
            scatter(out, gradient, width, (0..tokens.len()).map(|i| from + i % len));
        }
    }

    /// Sums the rows of each token and of each position; [`Numbers::unfold`] does the rest.
    fn unfolded(&mut self, w: Param, segment: usize, gradient: Vec<f32>) {
        let numbers = self.numbers;
        let Segment { from, len, tokens: ids, .. } = &self.segments[segment];
        let width = gradient.len() / ids.len().max(1);
        if let Some(folded) = numbers.folded[w.index()].get() {
            let tokens = folded.tokens.len();
            let out = self.found.folds[w.index()]
                .get_or_insert_with(|| self.work.take_zeros(tokens + folded.positions.len()));
            let (of_tokens, of_positions) = out.split_at_mut(tokens);
            scatter(of_tokens, &gradient, width, ids.iter().map(|&t| t as usize));
            if !of_positions.is_empty() {
                let places = (0..ids.len()).map(|i| from + i % len);
                scatter(of_positions, &gradient, width, places);
            }
        }
        self.work.give(gradient);
    }

    /// The gradient of a parameter so far, to be added to.
    fn gradient_of(&mut self, param: Param, length: usize) -> &mut [f32] {
        gradient_in(&mut self.found.grads, self.work, param, length)
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
        let Part { from, of, .. } = self.part();
        let part = Part::positions(from + step, self.positions_of(x), of);
        self.passed(Site { layer, point }, part, x)
    }

    fn at_memory(&mut self, layer: usize, point: Point, x: Value) -> Result<Value> {
        let part = Part { len: 0, memory: self.positions_of(x), ..self.part() };
        self.passed(Site { layer, point }, part, x)
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

    fn write(&mut self, site: Site, residual: &Value, x: &Value, map: Map) -> Result<Value> {
        let part = Part { len: self.positions_of(*x), ..self.part() };
        self.written(site, part, *residual, *x, map)
    }

    fn attend(&mut self, how: Attention, heads: Heads<'_, Value>) -> Result<Value> {
        let Heads { queries, keys, read, values, outputs, residual, last } = heads;
        let site = Site { layer: how.layer, point: Point::AttnOut };
        let (q, k) = (self.positions_of(*queries), self.positions_of(*keys));
        let part = self.part().of_attention(how.mask, q, k);
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
        let (residual, z) = (drop(self, *residual), drop(self, z));
        match outputs.filter(|_| product.is_none()) {
            Some(outputs) => self.written(site, part, residual, z, outputs),
            None => {
                let z = self.passed(site, part, z)?;
                self.sum(&residual, &z)
            }
        }
    }

    fn rotate(&mut self, x: &Value, rotary: &'a Rotary) -> Result<Value> {
        let (width, count) = (self.slots[x.0].width, self.positions_of(*x));
        let from = self.segments[self.now()].from;
        rotary.check(from + count, width)?;
        let mut out = self.copy(*x)?;
        rotary.turn(&mut out, from, count, width, 1.0);
        Ok(self.push(slot(Op::Rotate(*x, rotary, from), out, width, self.is_wanted(*x))))
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
        if self.keeping.is_some() {
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

fn slot(op: Op<'_>, data: Vec<f32>, width: usize, wanted: bool) -> Slot<'_> {
    Slot { op, data, width, wanted, gradient: None, tables: None, is_spent: false }
}

/// The gradient of a parameter among those of all, zeros if there was none.
fn gradient_in<'g>(
    grads: &'g mut [Option<Vec<f32>>],
    work: &Workspace,
    param: Param,
    length: usize,
) -> &'g mut Vec<f32> {
    grads[param.index()].get_or_insert_with(|| work.take_zeros(length))
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
