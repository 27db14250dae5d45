//! Attention that is watched where nothing goes backward, whatever keys a query sees and however many heads share them: in kernels of
//! ours, block by block of queries.

use std::ops::Range;

use candle_core::Tensor;

use super::kernel::{Head, Shape};
use super::{Attention, Mask, Sees};
use crate::base::error::Result;
use crate::nn::kernel::lanes;
use crate::nn::kernel::matrix::{Into, Matrix, multiply};
use crate::nn::kernel::slice::Floats;

/// Queries whose scores are made at a time.
const BLOCK: usize = 64;

/// Whether what a query sees lies in one piece, and nothing of it is part of a gradient graph.
pub(super) fn suits(how: Attention, tensors: &[&Tensor]) -> bool {
    let Mask { memory, sees } = how.mask;
    memory == 0 && !matches!(sees, Sees::Slots(_)) && tensors.iter().all(|x| !x.track_op())
}

/// `[batch, head, query, key]`; 0 where a query does not see a key.
pub(super) fn pattern(shape: Shape, cap: Option<f32>, q: &Tensor, k: &Tensor) -> Result<Tensor> {
    let device = q.device();
    let (q, k) = (Floats::of(q)?, Floats::of(k)?);
    let keys = shape.keys;
    let mut all = vec![0.0; shape.rows() * keys];
    for head in shape.each_head() {
        for queries in blocks(shape) {
            let seen = seen_by(shape, &queries);
            let (from, count) = (queries.start, queries.len());
            let out = &mut all[(head.row + from) * keys..][..count * keys];
            let (q, k) = (
                shape.queries(&q, head, from, count),
                shape.keys(&k, head, seen.start, seen.len()),
            );
            multiply(&mut out[seen.start..], keys, q, k.transposed(), shape.scale, Into::Overwrite);
            for (query, row) in queries.zip(out.chunks_exact_mut(keys)) {
                normalized(row, &seen, seen_by(shape, &(query..query + 1)), cap);
            }
        }
    }
    Ok(Tensor::from_vec(all, (shape.batch, shape.heads, shape.queries, keys), device)?)
}

/// Makes the scores of what a query sees weights, and 0 of the others that were made with them.
fn normalized(row: &mut [f32], made: &Range<usize>, seen: Range<usize>, cap: Option<f32>) {
    row[made.start..seen.start].fill(0.0);
    row[seen.end..made.end].fill(0.0);
    let row = &mut row[seen];
    if let Some(cap) = cap {
        row.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
    }
    lanes::softmax_row(row);
}

/// Values mixed by a pattern, `[batch, query, head · dim]`; `whole`: keys that a query does not see count too.
pub(super) fn mixed(shape: Shape, pattern: &Tensor, v: &Tensor, whole: bool) -> Result<Tensor> {
    let (pattern, v, device) = (Floats::of(pattern)?, Floats::of(v)?, v.device());
    let mut z = vec![0.0; shape.z_len()];
    for head in shape.each_head() {
        for queries in blocks(shape) {
            let seen = if whole { 0..shape.keys } else { seen_by(shape, &queries) };
            mix_block(shape, head, (queries, seen), (&pattern, &v), &mut z);
        }
    }
    Ok(Tensor::from_vec(z, (shape.batch, shape.queries, shape.z_width()), device)?)
}

fn mix_block(
    shape: Shape,
    head: Head,
    (queries, seen): (Range<usize>, Range<usize>),
    (pattern, v): (&[f32], &[f32]),
    z: &mut [f32],
) {
    let at = (head.row + queries.start) * shape.keys + seen.start;
    let pattern = Matrix::strided(&pattern[at..], queries.len(), seen.len(), shape.keys);
    let v = shape.values(v, head, seen.start, seen.len());
    let z = &mut z[head.results + queries.start * shape.z_width()..];
    multiply(z, shape.z_width(), pattern, v, 1.0, Into::Overwrite);
}

fn blocks(shape: Shape) -> impl Iterator<Item = Range<usize>> {
    (0..shape.queries).step_by(BLOCK).map(move |from| from..shape.queries.min(from + BLOCK))
}

/// The keys that any of some queries sees.
fn seen_by(shape: Shape, queries: &Range<usize>) -> Range<usize> {
    let place = |query: usize| shape.keys - shape.queries + query;
    let of = |query: usize| shape.mask.seen(place(query), shape.keys);
    of(queries.start).0..of(queries.end.saturating_sub(1)).1
}
