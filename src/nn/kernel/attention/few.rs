//! Attention over few positions: heads lie side by side, one in each lane, because products of so few rows take longer to get ready
//! than to be made. What a query does not see is not computed.

use super::{Backward, Gradients, Head, Inputs, Outputs, Shape};
use crate::nn::kernel::lanes::{LANES, exp, fma, multiversion};

/// The same number of as many heads.
type Lanes = [f32; LANES];

/// Most keys and most numbers of a head: what a group of heads reads and writes then fits a cache of the second level.
const MOST: usize = 32;

/// Whether there are few positions, and heads for all lanes.
pub(super) fn suits(shape: Shape) -> bool {
    shape.keys.max(shape.dim).max(shape.value_dim) <= MOST && shape.batch * shape.heads >= LANES
}

/// Numbers of scratch space.
pub(super) fn scratch(shape: Shape) -> usize {
    // Queries, keys, values and results with their gradients, the pattern with its, logarithms of sums.
    let Shape { queries, keys, dim, value_dim, .. } = shape;
    LANES * (2 * ((queries + keys) * (dim + value_dim) + queries * keys) + queries)
}

/// See [`super::forward`].
pub(super) fn forward(shape: Shape, of: Inputs<'_>, out: &mut Outputs<'_>, scratch: &mut [f32]) {
    let heads: Vec<Head> = shape.each_head().collect();
    let mut space = Space(scratch.as_chunks_mut().0);
    let (mut packed, z) = (space.packed(shape), space.take(shape.queries * shape.value_dim));
    let (scores, log_sums) = (space.take(shape.keys), space.take(shape.queries));
    for group in heads.chunks(LANES) {
        packed.fill(shape, of, group);
        attend(shape, packed.group(), scores, z, log_sums);
        for (lane, head) in group.iter().enumerate() {
            let rows = Rows { from: head.results, stride: shape.z_width(), width: shape.value_dim };
            rows.unpack(z, lane, out.z, false);
            let log_sums = log_sums.iter().zip(&mut out.log_sums[head.row..]);
            log_sums.for_each(|(lanes, sum)| *sum = lanes[lane]);
        }
    }
}

/// See [`super::backward`].
pub(super) fn backward(
    shape: Shape,
    of: Backward<'_>,
    out: &mut Gradients<'_>,
    scratch: &mut [f32],
) {
    let heads: Vec<Head> = shape.each_head().collect();
    let mut space = Space(scratch.as_chunks_mut().0);
    let (mut packed, mut grads) = (space.packed(shape), space.packed(shape));
    let results = shape.queries * shape.value_dim;
    let pairs = shape.queries * shape.keys;
    let (weights, d_scores) = (space.take(pairs), space.take(pairs));
    let (z, dz, log_sums) = (space.take(results), space.take(results), space.take(shape.queries));
    for group in heads.chunks(LANES) {
        packed.fill(shape, of.inputs, group);
        for (lane, head) in group.iter().enumerate() {
            let rows = Rows { from: head.results, stride: shape.z_width(), width: shape.value_dim };
            rows.pack(of.z, lane, z);
            rows.pack(of.dz, lane, dz);
            let sums = of.log_sums[head.row..].iter().zip(&mut *log_sums);
            sums.for_each(|(sum, lanes)| lanes[lane] = *sum);
        }
        go_back(
            shape,
            packed.group(),
            Known { z, dz, log_sums },
            (&mut *weights, &mut *d_scores),
            &mut grads,
        );
        for (lane, head) in group.iter().enumerate() {
            grads.give(shape, (lane, *head), out);
        }
    }
}

/// Scratch space, cut piece by piece.
struct Space<'a>(&'a mut [Lanes]);

impl<'a> Space<'a> {
    fn take(&mut self, count: usize) -> &'a mut [Lanes] {
        let (piece, rest) = std::mem::take(&mut self.0).split_at_mut(count);
        self.0 = rest;
        piece
    }
}

/// Rows of a head in a slice.
#[derive(Clone, Copy)]
struct Rows {
    from: usize,
    /// Numbers from one row to the next, and numbers of a row.
    stride: usize,
    width: usize,
}

impl Rows {
    /// Into a lane of `lanes`, `[row, width]`.
    fn pack(self, data: &[f32], lane: usize, lanes: &mut [Lanes]) {
        let rows = data[self.from..].chunks(self.stride).zip(lanes.chunks_exact_mut(self.width));
        for (row, lanes) in rows {
            row.iter().zip(lanes).for_each(|(x, lanes)| lanes[lane] = *x);
        }
    }

    /// Back out of it, or added to what is there.
    fn unpack(self, lanes: &[Lanes], lane: usize, data: &mut [f32], adds: bool) {
        let rows = data[self.from..].chunks_mut(self.stride).zip(lanes.chunks_exact(self.width));
        for (row, lanes) in rows {
            for (x, lanes) in row.iter_mut().zip(lanes) {
                *x = if adds { *x + lanes[lane] } else { lanes[lane] };
            }
        }
    }
}

/// Queries `[query, dim]`, keys `[key, dim]` and values `[key, value_dim]` of a group of heads, or their gradients.
struct Packed<'a> {
    q: &'a mut [Lanes],
    k: &'a mut [Lanes],
    v: &'a mut [Lanes],
}

impl<'a> Space<'a> {
    fn packed(&mut self, shape: Shape) -> Packed<'a> {
        Packed {
            q: self.take(shape.queries * shape.dim),
            k: self.take(shape.keys * shape.dim),
            v: self.take(shape.keys * shape.value_dim),
        }
    }
}

/// Where the queries, keys and values of a head lie.
fn places(shape: Shape, head: Head) -> [Rows; 3] {
    let Shape { dim, value_dim, .. } = shape;
    [
        Rows { from: head.queries, stride: shape.width(), width: dim },
        Rows { from: head.keys, stride: shape.key_width(), width: dim },
        Rows { from: head.values, stride: shape.value_width(), width: value_dim },
    ]
}

impl Packed<'_> {
    fn group(&self) -> Group<'_> {
        Group { q: self.q, k: self.k, v: self.v }
    }

    fn fill(&mut self, shape: Shape, of: Inputs<'_>, group: &[Head]) {
        for (lane, head) in group.iter().enumerate() {
            let [q, k, v] = places(shape, *head);
            q.pack(of.q, lane, self.q);
            k.pack(of.k, lane, self.k);
            v.pack(of.v, lane, self.v);
        }
    }

    /// Gives the gradients of a head to what is wanted; keys and values that several heads share get their sum.
    fn give(&self, shape: Shape, (lane, head): (usize, Head), out: &mut Gradients<'_>) {
        let [q, k, v] = places(shape, head);
        if let Some(dq) = &mut out.q {
            q.unpack(self.q, lane, dq, false);
        }
        if let Some(dk) = &mut out.k {
            k.unpack(self.k, lane, dk, !head.is_first);
        }
        if let Some(dv) = &mut out.v {
            v.unpack(self.v, lane, dv, !head.is_first);
        }
    }
}

/// What a group of heads reads; see [`Packed`].
#[derive(Clone, Copy)]
struct Group<'a> {
    q: &'a [Lanes],
    k: &'a [Lanes],
    v: &'a [Lanes],
}

/// What is known of a group on the way back.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// `[query, value_dim]`
    z: &'a [Lanes],
    dz: &'a [Lanes],
    /// `[query]`
    log_sums: &'a [Lanes],
}

multiversion! {
    /// Results `[query, value_dim]`, and of each query the logarithm of the sum of the exponentials of its scores. `scores` has as many
    /// numbers as there are keys.
    fn attend(
        shape: Shape,
        of: Group<'_>,
        scores: &mut [Lanes],
        z: &mut [Lanes],
        log_sums: &mut [Lanes],
    ) => attend_body
}

multiversion! {
    /// The gradients of queries, keys and values; on the way to them the pattern and the gradients of its scores, `[query, key]`.
    fn go_back(
        shape: Shape,
        of: Group<'_>,
        known: Known<'_>,
        pairs: (&mut [Lanes], &mut [Lanes]),
        to: &mut Packed<'_>,
    ) => go_back_body
}

/// Those of so many that are seen.
struct Seen {
    all: [usize; MOST],
    count: usize,
}

impl Seen {
    #[inline(always)]
    fn of(count: usize, is_seen: impl Fn(usize) -> bool) -> Self {
        let mut seen = Self { all: [0; MOST], count: 0 };
        for i in (0..count).filter(|i| is_seen(*i)) {
            seen.all[seen.count] = i;
            seen.count += 1;
        }
        seen
    }

    fn all(&self) -> &[usize] {
        &self.all[..self.count]
    }

    /// Of the rows that are seen, `[row, width]`, the sum of a column times a weight for each.
    #[inline(always)]
    fn mix<const FMA: bool>(
        &self,
        weight: impl Fn(usize) -> usize,
        weights: &[Lanes],
        (rows, width, column): (&[Lanes], usize, usize),
    ) -> Lanes {
        let mut sums = [0.0; LANES];
        for &row in self.all() {
            let (weight, x) = (&weights[weight(row)], &rows[row * width + column]);
            for ((sum, weight), x) in sums.iter_mut().zip(weight).zip(x) {
                *sum = fma::<FMA>(*weight, *x, *sum);
            }
        }
        sums
    }
}

/// Whether a query sees a key.
#[inline(always)]
fn shows(shape: Shape, query: usize, key: usize) -> bool {
    shape.mask.shows(shape.keys - shape.queries + query, key, shape.keys)
}

#[inline(always)]
fn attend_body<const FMA: bool>(
    shape: Shape,
    of: Group<'_>,
    scores: &mut [Lanes],
    z: &mut [Lanes],
    log_sums: &mut [Lanes],
) {
    let Shape { dim, value_dim, scale, .. } = shape;
    let rows = of.q.chunks_exact(dim).zip(z.chunks_exact_mut(value_dim)).zip(log_sums);
    for (query, ((q, z), log_sum)) in rows.enumerate() {
        let seen = Seen::of(shape.keys, |key| shows(shape, query, key));
        let mut most = [f32::NEG_INFINITY; LANES];
        for &key in seen.all() {
            let score = dot::<FMA>(q, &of.k[key * dim..][..dim]).map(|score| score * scale);
            for (most, score) in most.iter_mut().zip(&score) {
                *most = if *score > *most { *score } else { *most };
            }
            scores[key] = score;
        }
        let mut sum = [0.0; LANES];
        for &key in seen.all() {
            for ((weight, sum), most) in scores[key].iter_mut().zip(&mut sum).zip(&most) {
                *weight = exp::<FMA>(*weight - most);
                *sum += *weight;
            }
        }
        let inverse = sum.map(|sum| 1.0 / sum);
        for (column, z) in z.iter_mut().enumerate() {
            *z = seen.mix::<FMA>(|key| key, scores, (of.v, value_dim, column));
            z.iter_mut().zip(&inverse).for_each(|(z, inverse)| *z *= inverse);
        }
        for ((log_sum, most), sum) in log_sum.iter_mut().zip(&most).zip(&sum) {
            *log_sum = most + sum.ln();
        }
    }
}

#[inline(always)]
fn go_back_body<const FMA: bool>(
    shape: Shape,
    of: Group<'_>,
    known: Known<'_>,
    (weights, d_scores): (&mut [Lanes], &mut [Lanes]),
    to: &mut Packed<'_>,
) {
    let Shape { queries, keys, dim, value_dim, scale, .. } = shape;
    let results = known.z.chunks_exact(value_dim).zip(known.dz.chunks_exact(value_dim));
    let rows = of.q.chunks_exact(dim).zip(to.q.chunks_exact_mut(dim)).zip(results);
    for (query, ((q, dq), (z, dz))) in rows.enumerate() {
        let seen = Seen::of(keys, |key| shows(shape, query, key));
        let (mean, log_sum) = (dot::<FMA>(dz, z), known.log_sums[query]);
        for &key in seen.all() {
            let score = dot::<FMA>(q, &of.k[key * dim..][..dim]);
            let change = dot::<FMA>(dz, &of.v[key * value_dim..][..value_dim]);
            let (weight, d_score) =
                (&mut weights[query * keys + key], &mut d_scores[query * keys + key]);
            for i in 0..LANES {
                weight[i] = exp::<FMA>(score[i] * scale - log_sum[i]);
                d_score[i] = weight[i] * (change[i] - mean[i]) * scale;
            }
        }
        for (column, dq) in dq.iter_mut().enumerate() {
            *dq = seen.mix::<FMA>(|key| query * keys + key, d_scores, (of.k, dim, column));
        }
    }
    let rows = to.k.chunks_exact_mut(dim).zip(to.v.chunks_exact_mut(value_dim));
    for (key, (dk, dv)) in rows.enumerate() {
        let seen = Seen::of(queries, |query| shows(shape, query, key));
        let pair = |query| query * keys + key;
        for (column, dk) in dk.iter_mut().enumerate() {
            *dk = seen.mix::<FMA>(pair, d_scores, (of.q, dim, column));
        }
        for (column, dv) in dv.iter_mut().enumerate() {
            *dv = seen.mix::<FMA>(pair, weights, (known.dz, value_dim, column));
        }
    }
}

/// Sums of products, lane by lane.
#[inline(always)]
fn dot<const FMA: bool>(a: &[Lanes], b: &[Lanes]) -> Lanes {
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = fma::<FMA>(*a, *b, *sum);
        }
    }
    sums
}
