//! The numbers of the parameters during a step, what is made of them once for all shards, and the buffers of passes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::base::error::{Error, Result};
use crate::nn::kernel::matrix::{Into, Matrix, multiply, transpose};
use crate::nn::kernel::slice::Floats;
use crate::nn::params::{Param, Params};
use crate::nn::wire::Tables;

/// The numbers of all parameters during one step, shared by the shards of its batch.
pub struct Numbers<'a> {
    pub(super) params: &'a Params,
    pub(super) floats: Vec<Floats<'a>>,
    /// Rows of the whole batch, `batch · pos`.
    pub(super) rows: usize,
    /// Of each matrix, `[in, out]`: made by the first who needs it.
    transposed: Vec<OnceLock<Vec<f32>>>,
    /// Of each matrix that reads frozen embeddings: see [`Tape::linear`].
    pub(super) folded: Vec<OnceLock<Folded>>,
    pub(super) work: &'a Workspace,
}

/// Frozen embeddings mapped by a matrix: a row for each token and each position.
pub(super) struct Folded {
    tables: Tables,
    /// `[vocab, out]`
    pub(super) tokens: Vec<f32>,
    /// `[length, out]`; empty without positions.
    pub(super) positions: Vec<f32>,
}

impl<'a> Numbers<'a> {
    /// Those of a step over `rows` positions of all sequences together. They cannot change while this lives.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn of(params: &'a Params, rows: usize, work: &'a Workspace) -> Result<Self> {
        let floats: Vec<Floats<'a>> = params
            .all()
            .map(|p| Ok(Floats::of(params.var(p)?.as_tensor())?))
            .collect::<Result<_>>()?;
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

    pub(super) fn slice(&self, param: Param) -> &[f32] {
        &self.floats[param.index()]
    }

    pub(super) fn is_wanted(&self, param: Param) -> bool {
        !self.params.is_frozen(param)
    }

    /// `[out, in]` of a matrix.
    pub(super) fn sizes(&self, param: Param) -> Result<(usize, usize)> {
        match *self.params.dims(param) {
            [outputs, inputs] => Ok((outputs, inputs)),
            _ => Err(Error::internal(format!("{} is no matrix", self.params.name(param)))),
        }
    }

    pub(super) fn transposed(&self, param: Param, outputs: usize, inputs: usize) -> &[f32] {
        self.transposed[param.index()].get_or_init(|| {
            let mut out = self.work.take(outputs * inputs);
            transpose(self.slice(param), outputs, inputs, &mut out);
            out
        })
    }

    pub(super) fn fold(&self, tables: Tables, w: Param, outputs: usize, inputs: usize) -> &Folded {
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
        self.params.dims(table).last().copied().unwrap_or(1).max(1)
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
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    /// By length.
    shelves: BTreeMap<usize, Shelf>,
    /// Numbers in all buffers that are out, and the most that ever were.
    out: usize,
    most: usize,
}

/// Buffers of one length.
#[derive(Default)]
struct Shelf {
    free: Vec<Vec<f32>>,
    /// How many were taken and did not come back.
    out: usize,
}

impl Workspace {
    fn lock(&self) -> MutexGuard<'_, Store> {
        // A panic leaves whole buffers behind: their numbers do not matter.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `length` numbers, whatever they are.
    pub(super) fn take(&self, length: usize) -> Vec<f32> {
        let free = {
            let mut store = self.lock();
            store.out += length;
            store.most = store.most.max(store.out);
            let shelf = store.shelves.entry(length).or_default();
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
        let Store { shelves, out, .. } = &mut *self.lock();
        if let Some(shelf) = shelves.get_mut(&buffer.len()).filter(|shelf| shelf.out > 0) {
            *out -= buffer.len();
            shelf.out -= 1;
            shelf.free.push(buffer);
        }
    }

    /// Numbers in the buffers that wait.
    pub fn waiting(&self) -> usize {
        self.lock().shelves.iter().map(|(length, shelf)| length * shelf.free.len()).sum()
    }

    /// The most numbers that were out at once.
    pub fn most(&self) -> usize {
        self.lock().most
    }
}
