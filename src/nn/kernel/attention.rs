//! Causal attention in blocks of queries: the masked half is skipped, and the pattern exists only a block at
//! a time.
//!
//! A block of scores is kept as `[key, query]`: the products then read keys, values and their gradients as they
//! lie, and only the queries of a block are packed; and softmax runs over all queries of a block side by side.

use super::lanes;
use super::matrix::{Into, Matrix, multiply};

/// Queries in a block: few, so that little of the masked half is computed; a product of fewer would be slower. Scores of
/// 32 queries and 256 keys fill 32 KiB.
const BLOCK: usize = 32;

/// Queries in the last block: a few that are left over go with the block before them, because a block of few takes nearly
/// as long as a whole one.
const LAST: usize = BLOCK + BLOCK / 4;

/// Queries, keys and values are `[batch, pos, head · dim]`: heads side by side in each position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub batch: usize,
    pub positions: usize,
    pub heads: usize,
    /// Numbers in a query, key or value of one head.
    pub dim: usize,
    /// Attention logits are `scale · query · key`.
    pub scale: f32,
}

impl Shape {
    pub fn width(&self) -> usize {
        self.heads * self.dim
    }

    /// Numbers in the queries (and in the keys, the values and the result).
    pub fn len(&self) -> usize {
        self.batch * self.positions * self.width()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of the pattern: `[batch, head, query]`.
    pub fn rows(&self) -> usize {
        self.batch * self.heads * self.positions
    }

    /// Positions `from..from + count` of a head that begins at `start`.
    pub fn slab<'a>(&self, data: &'a [f32], start: usize, from: usize, count: usize) -> Matrix<'a> {
        Matrix::strided(&data[start + from * self.width()..], count, self.dim, self.width())
    }

    /// Where each head of each sequence begins, with the number of its first row of the pattern.
    pub fn each_head(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.batch * self.heads).map(move |i| {
            let (sequence, head) = (i / self.heads, i % self.heads);
            (sequence * self.positions * self.width() + head * self.dim, i * self.positions)
        })
    }

    /// Blocks of queries: first query and number of queries.
    fn each_block(self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let last = self.positions.saturating_sub(LAST).div_ceil(BLOCK);
        let blocks = 0..self.positions.min(last + 1);
        blocks.map(move |i| {
            let rest = self.positions - i * BLOCK;
            (i * BLOCK, if i == last { rest } else { BLOCK })
        })
    }

    /// Numbers of scratch space that [`forward`] and [`backward`] need.
    pub fn scratch(self) -> usize {
        2 * LAST.min(self.positions) * self.positions
    }
}

/// Queries, keys and values.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
}

/// What the forward pass writes: the attended values `z`, and for each row of the pattern the logarithm of the sum of the
/// exponentials of its logits.
pub struct Outputs<'a> {
    pub z: &'a mut [f32],
    pub log_sums: &'a mut [f32],
}

/// Attends. `scratch` has [`Shape::scratch`] numbers.
pub fn forward(shape: Shape, of: Inputs<'_>, out: &mut Outputs<'_>, scratch: &mut [f32]) {
    let (mut max, mut sum) = ([0.0; LAST], [0.0; LAST]);
    let width = shape.width();
    for (start, row) in shape.each_head() {
        for (from, count) in shape.each_block() {
            let keys = from + count;
            let (max, sum) = (&mut max[..count], &mut sum[..count]);
            let scores = &mut scratch[..keys * count];
            let queries = shape.slab(of.q, start, from, count);
            let visible = shape.slab(of.k, start, 0, keys);
            multiply(scores, count, visible, queries.transposed(), shape.scale, Into::Overwrite);
            lanes::softmax_columns(scores, from, max, sum);
            let z = &mut out.z[start + from * width..];
            let (weights, values) =
                (Matrix::new(scores, keys, count), shape.slab(of.v, start, 0, keys));
            multiply(z, width, weights.transposed(), values, 1.0, Into::Overwrite);
            for (i, (max, sum)) in max.iter().zip(sum).enumerate() {
                lanes::scale(&mut z[i * width..][..shape.dim], 1.0 / *sum);
                out.log_sums[row + from + i] = max + sum.ln();
            }
        }
    }
}

/// Where the gradients of queries, keys and values go, whatever was there; none where none is wanted.
pub struct Gradients<'a> {
    pub q: Option<&'a mut [f32]>,
    pub k: Option<&'a mut [f32]>,
    pub v: Option<&'a mut [f32]>,
}

/// What the forward pass read and left behind, and the gradient `dz` of its result.
#[derive(Clone, Copy)]
pub struct Backward<'a> {
    pub inputs: Inputs<'a>,
    pub z: &'a [f32],
    pub log_sums: &'a [f32],
    pub dz: &'a [f32],
}

/// Gradients that are wanted; the pattern is computed again, block by block. `scratch` has [`Shape::scratch`] numbers.
pub fn backward(shape: Shape, of: Backward<'_>, out: &mut Gradients<'_>, scratch: &mut [f32]) {
    let (pattern, d_scores) = scratch.split_at_mut(shape.scratch() / 2);
    for (start, row) in shape.each_head() {
        // From the last block on: it reaches all keys, so that it can overwrite what the others add to.
        for (from, count) in shape.each_block().rev() {
            let block = Block { shape, start, row, from, count };
            block.recompute(of, pattern, d_scores);
            block.give(of, pattern, d_scores, out);
        }
    }
}

/// One block of queries of one head.
#[derive(Clone, Copy)]
struct Block {
    shape: Shape,
    start: usize,
    row: usize,
    from: usize,
    count: usize,
}

impl Block {
    fn keys(&self) -> usize {
        self.from + self.count
    }

    /// Fills in the pattern and the gradient of the unscaled logits, both `[keys, count]`.
    fn recompute(&self, of: Backward<'_>, pattern: &mut [f32], d_scores: &mut [f32]) {
        let (shape, keys, count) = (self.shape, self.keys(), self.count);
        let (pattern, d_scores) = (&mut pattern[..keys * count], &mut d_scores[..keys * count]);
        let queries = shape.slab(of.inputs.q, self.start, self.from, count).transposed();
        let visible = shape.slab(of.inputs.k, self.start, 0, keys);
        multiply(pattern, count, visible, queries, shape.scale, Into::Overwrite);
        let dz = shape.slab(of.dz, self.start, self.from, count).transposed();
        let values = shape.slab(of.inputs.v, self.start, 0, keys);
        multiply(d_scores, count, values, dz, 1.0, Into::Overwrite);
        let mut means = [0.0; LAST];
        for (i, mean) in means[..count].iter_mut().enumerate() {
            let at = self.start + (self.from + i) * shape.width();
            *mean = lanes::dot(&of.dz[at..at + shape.dim], &of.z[at..at + shape.dim]);
        }
        let log_sums = &of.log_sums[self.row + self.from..][..count];
        let (from, means) = (self.from, &means[..count]);
        lanes::softmax_columns_backward(pattern, d_scores, from, log_sums, means, shape.scale);
    }

    fn give(&self, of: Backward<'_>, pattern: &[f32], d_scores: &[f32], out: &mut Gradients<'_>) {
        let (shape, keys, width) = (self.shape, self.keys(), self.shape.width());
        let pattern = Matrix::new(&pattern[..keys * self.count], keys, self.count);
        let d_scores = Matrix::new(&d_scores[..keys * self.count], keys, self.count);
        let is_last = keys == shape.positions;
        let into = if is_last { Into::Overwrite } else { Into::Add };
        if let Some(dq) = &mut out.q {
            let visible = shape.slab(of.inputs.k, self.start, 0, keys);
            let dq = &mut dq[self.start + self.from * width..];
            multiply(dq, width, d_scores.transposed(), visible, 1.0, Into::Overwrite);
        }
        if let Some(dk) = &mut out.k {
            let queries = shape.slab(of.inputs.q, self.start, self.from, self.count);
            multiply(&mut dk[self.start..], width, d_scores, queries, 1.0, into);
        }
        if let Some(dv) = &mut out.v {
            let dz = shape.slab(of.dz, self.start, self.from, self.count);
            multiply(&mut dv[self.start..], width, pattern, dz, 1.0, into);
        }
    }
}
