//! Attention in blocks of queries: what is hidden from a whole block is skipped, and the pattern exists only a block at
//! a time.
//!
//! A block of scores is kept as `[key, query]`: the products then read keys, values and their gradients as they
//! lie, and only the queries of a block are packed; and softmax runs over all queries of a block side by side.

mod few;

use super::lanes;
use super::mask::{Mask, Rows, Sees};
use super::matrix::{Into, Matrix, multiply};

/// Queries in a block: few, so that little of the masked half is computed; a product of fewer would be slower. Scores of
/// 32 queries and 256 keys fill 32 KiB.
const BLOCK: usize = 32;

/// Queries in the last block: a few that are left over go with the block before them, because a block of few takes nearly
/// as long as a whole one.
const LAST: usize = BLOCK + BLOCK / 4;

/// Queries are `[batch, query, head · dim]`, keys `[batch, key, group · dim]`, values `[batch, key, group · value_dim]`: heads side by
/// side in each position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    /// Heads of keys and values; each serves as many heads of queries as there are to one of it (Ainslie et al. 2023).
    pub kv_heads: usize,
    /// Numbers in a query or key of one head.
    pub dim: usize,
    /// Numbers in a value of one head, and in what it attends to.
    pub value_dim: usize,
    /// Attention logits are `scale · query · key`.
    pub scale: f32,
    pub mask: Mask,
}

/// A head of a sequence.
#[derive(Clone, Copy)]
pub struct Head {
    /// Where its queries begin.
    pub queries: usize,
    /// Where its keys begin.
    pub keys: usize,
    /// Where its values begin.
    pub values: usize,
    /// Where its results begin.
    pub results: usize,
    /// Its first row of the pattern.
    pub row: usize,
    /// No head before it had the same keys and values.
    pub is_first: bool,
}

impl Shape {
    pub fn width(&self) -> usize {
        self.heads * self.dim
    }

    /// Of the results.
    pub fn z_width(&self) -> usize {
        self.heads * self.value_dim
    }

    pub fn key_width(&self) -> usize {
        self.kv_heads * self.dim
    }

    pub fn value_width(&self) -> usize {
        self.kv_heads * self.value_dim
    }

    /// Numbers in the results.
    pub fn z_len(&self) -> usize {
        self.batch * self.queries * self.z_width()
    }

    /// Rows of the pattern: `[batch, head, query]`.
    pub fn rows(&self) -> usize {
        self.batch * self.heads * self.queries
    }

    /// Whether heads, queries and keys fit each other.
    pub fn fits(&self) -> bool {
        self.kv_heads > 0
            && self.heads > 0
            && self.heads.is_multiple_of(self.kv_heads)
            && self.queries <= self.keys
    }

    /// The same of values that are so wide, all heads together.
    pub fn of_values(self, width: usize) -> Self {
        Self { value_dim: width / self.kv_heads.max(1), ..self }
    }

    /// Whether it is causal attention of a sequence to itself, with as many heads of keys as of queries.
    pub fn is_plain(&self) -> bool {
        self.heads == self.kv_heads && self.queries == self.keys && self.mask == Mask::default()
    }

    /// Queries `from..from + count` of a head.
    pub fn queries<'a>(&self, q: &'a [f32], head: Head, from: usize, count: usize) -> Matrix<'a> {
        let width = self.width();
        Matrix::strided(&q[head.queries + from * width..], count, self.dim, width)
    }

    /// Keys, likewise.
    pub fn keys<'a>(&self, k: &'a [f32], head: Head, from: usize, count: usize) -> Matrix<'a> {
        let width = self.key_width();
        Matrix::strided(&k[head.keys + from * width..], count, self.dim, width)
    }

    /// Values, likewise.
    pub fn values<'a>(&self, v: &'a [f32], head: Head, from: usize, count: usize) -> Matrix<'a> {
        let width = self.value_width();
        Matrix::strided(&v[head.values + from * width..], count, self.value_dim, width)
    }

    /// Results, likewise.
    pub fn results<'a>(&self, z: &'a [f32], head: Head, from: usize, count: usize) -> Matrix<'a> {
        let width = self.z_width();
        Matrix::strided(&z[head.results + from * width..], count, self.value_dim, width)
    }

    /// The heads of each sequence.
    pub fn each_head(self) -> impl Iterator<Item = Head> {
        let shared = self.heads / self.kv_heads.max(1);
        (0..self.batch * self.heads).map(move |i| {
            let (sequence, head) = (i / self.heads, i % self.heads);
            Head {
                queries: sequence * self.queries * self.width() + head * self.dim,
                keys: sequence * self.keys * self.key_width() + head / shared * self.dim,
                values: sequence * self.keys * self.value_width() + head / shared * self.value_dim,
                results: sequence * self.queries * self.z_width() + head * self.value_dim,
                row: i * self.queries,
                is_first: head.is_multiple_of(shared),
            }
        })
    }

    /// Blocks of queries: first query and number of queries.
    fn each_block(self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let last = self.queries.saturating_sub(LAST).div_ceil(BLOCK);
        let blocks = 0..self.queries.min(last + 1);
        blocks.map(move |i| {
            let rest = self.queries - i * BLOCK;
            (i * BLOCK, if i == last { rest } else { BLOCK })
        })
    }

    /// The keys that a block of queries sees.
    fn seen(self, from: usize, count: usize) -> Rows {
        self.mask.rows(self.keys - self.queries + from, count, self.keys)
    }

    /// Numbers of scratch space that [`forward`] and [`backward`] need.
    pub fn scratch(self) -> usize {
        if few::suits(self) {
            return few::scratch(self);
        }
        2 * LAST.min(self.queries) * self.keys
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
    if few::suits(shape) {
        return few::forward(shape, of, out, scratch);
    }
    let (mut max, mut sum) = ([0.0; LAST], [0.0; LAST]);
    let width = shape.z_width();
    for head in shape.each_head() {
        for (from, count) in shape.each_block() {
            let seen = shape.seen(from, count);
            let (max, sum) = (&mut max[..count], &mut sum[..count]);
            let scores = &mut scratch[..seen.count() * count];
            let queries = shape.queries(of.q, head, from, count).transposed();
            let key = |from, count| shape.keys(of.k, head, from, count);
            score(key, seen, queries, shape.scale, scores);
            lanes::softmax_columns(scores, seen, max, sum);
            let z = &mut out.z[head.results + from * width..];
            let mut into = Into::Overwrite;
            for (row, key, keys) in seen.spans() {
                let weights = Matrix::new(&scores[row * count..][..keys * count], keys, count);
                let values = shape.values(of.v, head, key, keys);
                multiply(z, width, weights.transposed(), values, 1.0, into);
                into = Into::Add;
            }
            for (i, (max, sum)) in max.iter().zip(sum).enumerate() {
                lanes::scale(&mut z[i * width..][..shape.value_dim], 1.0 / *sum);
                out.log_sums[head.row + from + i] = max + sum.ln();
            }
        }
    }
}

/// Products of the keys (or values) that are seen with the columns of `with`, `[key, query]`.
fn score<'a>(
    visible: impl Fn(usize, usize) -> Matrix<'a>,
    seen: Rows,
    with: Matrix<'_>,
    scale: f32,
    out: &mut [f32],
) {
    let count = out.len() / seen.count().max(1);
    for (row, key, keys) in seen.spans() {
        let visible = visible(key, keys);
        multiply(&mut out[row * count..], count, visible, with, scale, Into::Overwrite);
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
    if few::suits(shape) {
        return few::backward(shape, of, out, scratch);
    }
    let (pattern, d_scores) = scratch.split_at_mut(shape.scratch() / 2);
    // The last block reaches all keys: where it comes first, it overwrites what the others add to.
    let overwrites = matches!(shape.mask.sees, Sees::Before | Sees::All)
        || matches!(shape.mask.sees, Sees::Slots(slots) if slots.hidden == 0);
    if !overwrites {
        out.k.iter_mut().chain(&mut out.v).for_each(|grad| grad.fill(0.0));
    }
    for head in shape.each_head() {
        let mut into = if overwrites && head.is_first { Into::Overwrite } else { Into::Add };
        for (from, count) in shape.each_block().rev() {
            let block = Block { shape, head, from, count, seen: shape.seen(from, count) };
            block.recompute(of, pattern, d_scores);
            block.give(of, (pattern, d_scores), into, out);
            into = Into::Add;
        }
    }
}

/// One block of queries of one head.
#[derive(Clone, Copy)]
struct Block {
    shape: Shape,
    head: Head,
    from: usize,
    count: usize,
    seen: Rows,
}

impl Block {
    /// Fills in the pattern and the gradient of the unscaled logits, both `[keys, count]`.
    fn recompute(&self, of: Backward<'_>, pattern: &mut [f32], d_scores: &mut [f32]) {
        let Self { shape, head, from, count, seen } = *self;
        let size = seen.count() * count;
        let (pattern, d_scores) = (&mut pattern[..size], &mut d_scores[..size]);
        let queries = shape.queries(of.inputs.q, head, from, count).transposed();
        let key = |from, count| shape.keys(of.inputs.k, head, from, count);
        score(key, seen, queries, shape.scale, pattern);
        let dz = shape.results(of.dz, head, from, count).transposed();
        let value = |from, count| shape.values(of.inputs.v, head, from, count);
        score(value, seen, dz, 1.0, d_scores);
        let mut means = [0.0; LAST];
        for (i, mean) in means[..count].iter_mut().enumerate() {
            let at = head.results + (from + i) * shape.z_width();
            let at = at..at + shape.value_dim;
            *mean = lanes::dot(&of.dz[at.clone()], &of.z[at]);
        }
        let log_sums = &of.log_sums[head.row + from..][..count];
        let means = &means[..count];
        lanes::softmax_columns_backward(pattern, d_scores, seen, log_sums, means, shape.scale);
    }

    fn give(
        &self,
        of: Backward<'_>,
        (pattern, d_scores): (&[f32], &[f32]),
        into: Into,
        out: &mut Gradients<'_>,
    ) {
        let Self { shape, head, from, count, seen } = *self;
        let mut into_queries = Into::Overwrite;
        for (row, key, keys) in seen.spans() {
            let rows = row * count..(row + keys) * count;
            let pattern = Matrix::new(&pattern[rows.clone()], keys, count);
            let d_scores = Matrix::new(&d_scores[rows], keys, count);
            if let Some(dq) = &mut out.q {
                let visible = shape.keys(of.inputs.k, head, key, keys);
                let dq = &mut dq[head.queries + from * shape.width()..];
                multiply(dq, shape.width(), d_scores.transposed(), visible, 1.0, into_queries);
                into_queries = Into::Add;
            }
            if let Some(dk) = &mut out.k {
                let queries = shape.queries(of.inputs.q, head, from, count);
                let dk = &mut dk[head.keys + key * shape.key_width()..];
                multiply(dk, shape.key_width(), d_scores, queries, 1.0, into);
            }
            if let Some(dv) = &mut out.v {
                let dz = shape.results(of.dz, head, from, count);
                let dv = &mut dv[head.values + key * shape.value_width()..];
                multiply(dv, shape.value_width(), pattern, dz, 1.0, into);
            }
        }
    }
}
