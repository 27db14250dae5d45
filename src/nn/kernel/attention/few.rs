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
        let places = Places::of(shape, group);
        packed.fill(places, of);
        attend(shape, packed.group(), scores, z, log_sums);
        unpack(places.results, z, out.z, [false; LANES]);
        for (lane, head) in group.iter().enumerate() {
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
        let places = Places::of(shape, group);
        packed.fill(places, of.inputs);
        pack(places.results, of.z, z);
        pack(places.results, of.dz, dz);
        for (lane, head) in group.iter().enumerate() {
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
        grads.give(places, group, out);
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

/// Rows of each head of a group in a slice.
#[derive(Clone, Copy)]
struct Rows {
    /// Where the first row of a head lies.
    from: [usize; LANES],
    heads: usize,
    /// Numbers from one row to the next, and numbers of a row.
    stride: usize,
    width: usize,
}

impl Rows {
    fn of(group: &[Head], from: impl Fn(&Head) -> usize, stride: usize, width: usize) -> Self {
        let first = std::array::from_fn(|lane| group.get(lane).map_or(0, &from));
        Self { from: first, heads: group.len(), stride, width }
    }

    /// From where on a head has its numbers of a row.
    fn starts(&self, row: usize, column: usize) -> impl Iterator<Item = usize> {
        let after = row * self.stride + column;
        self.from.into_iter().take(self.heads).map(move |from| from + after)
    }
}

/// Columns that change places with lanes at once.
const COLUMNS: usize = 8;

/// So many numbers of each lane.
type Block = [f32; COLUMNS * LANES];

/// Interleaves the halves of a block so many times, which each time makes the highest bit of an index its lowest: after as many times as
/// a lane has bits, `[lane, column]` is `[column, lane]`.
#[inline(always)]
fn shuffle(mut block: Block, times: u32) -> Block {
    for _ in 0..times {
        let old = block;
        let (low, high) = old.split_at(old.len() / 2);
        for ((pair, low), high) in block.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
            *pair = [*low, *high];
        }
    }
    block
}

multiversion! {
    /// The rows of the heads into their lanes, `[row, width]`.
    fn pack(rows: Rows, data: &[f32], lanes: &mut [Lanes]) => pack_body
}

multiversion! {
    /// Back out of them, or added to what is there.
    fn unpack(rows: Rows, lanes: &[Lanes], data: &mut [f32], adds: [bool; LANES]) => unpack_body
}

#[inline(always)]
fn pack_body<const FMA: bool>(rows: Rows, data: &[f32], lanes: &mut [Lanes]) {
    for (row, lanes) in lanes.chunks_exact_mut(rows.width).enumerate() {
        let (blocks, rest) = lanes.as_chunks_mut::<COLUMNS>();
        let after = blocks.len() * COLUMNS;
        for (i, columns) in blocks.iter_mut().enumerate() {
            let mut block = [0.0; COLUMNS * LANES];
            let lines = block.as_chunks_mut::<COLUMNS>().0;
            for (line, from) in lines.iter_mut().zip(rows.starts(row, i * COLUMNS)) {
                line.copy_from_slice(&data[from..][..COLUMNS]);
            }
            columns.as_flattened_mut().copy_from_slice(&shuffle(block, LANES.ilog2()));
        }
        for (lane, from) in rows.starts(row, after).enumerate() {
            rest.iter_mut().zip(&data[from..]).for_each(|(lanes, x)| lanes[lane] = *x);
        }
    }
}

#[inline(always)]
fn unpack_body<const FMA: bool>(
    rows: Rows,
    lanes: &[Lanes],
    data: &mut [f32],
    adds: [bool; LANES],
) {
    let give = |to: &mut f32, x: f32, adds: bool| *to = if adds { *to + x } else { x };
    for (row, lanes) in lanes.chunks_exact(rows.width).enumerate() {
        let (blocks, rest) = lanes.as_chunks::<COLUMNS>();
        let after = blocks.len() * COLUMNS;
        for (i, columns) in blocks.iter().enumerate() {
            let mut block = [0.0; COLUMNS * LANES];
            block.copy_from_slice(columns.as_flattened());
            let block = shuffle(block, COLUMNS.ilog2());
            let lines = block.as_chunks::<COLUMNS>().0.iter().zip(adds);
            for ((line, adds), from) in lines.zip(rows.starts(row, i * COLUMNS)) {
                let to = data[from..][..COLUMNS].iter_mut().zip(line);
                to.for_each(|(to, x)| give(to, *x, adds));
            }
        }
        for (lane, from) in rows.starts(row, after).enumerate() {
            let to = data[from..].iter_mut().zip(rest);
            to.for_each(|(to, lanes)| give(to, lanes[lane], adds[lane]));
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

/// Where the queries, keys, values and results of a group of heads lie.
#[derive(Clone, Copy)]
struct Places {
    q: Rows,
    k: Rows,
    v: Rows,
    results: Rows,
}

impl Places {
    fn of(shape: Shape, group: &[Head]) -> Self {
        let Shape { dim, value_dim, .. } = shape;
        Self {
            q: Rows::of(group, |head| head.queries, shape.width(), dim),
            k: Rows::of(group, |head| head.keys, shape.key_width(), dim),
            v: Rows::of(group, |head| head.values, shape.value_width(), value_dim),
            results: Rows::of(group, |head| head.results, shape.z_width(), value_dim),
        }
    }
}

impl Packed<'_> {
    fn group(&self) -> Group<'_> {
        Group { q: self.q, k: self.k, v: self.v }
    }

    fn fill(&mut self, places: Places, of: Inputs<'_>) {
        pack(places.q, of.q, self.q);
        pack(places.k, of.k, self.k);
        pack(places.v, of.v, self.v);
    }

    /// Gives the gradients to what is wanted; keys and values that several heads share get their sum.
    fn give(&self, places: Places, group: &[Head], out: &mut Gradients<'_>) {
        let adds = std::array::from_fn(|lane| group.get(lane).is_some_and(|head| !head.is_first));
        if let Some(dq) = &mut out.q {
            unpack(places.q, self.q, dq, [false; LANES]);
        }
        if let Some(dk) = &mut out.k {
            unpack(places.k, self.k, dk, adds);
        }
        if let Some(dv) = &mut out.v {
            unpack(places.v, self.v, dv, adds);
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

/// Columns whose sums are taken at once.
const TOGETHER: usize = 4;

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

    /// Of the rows that are seen, as wide as `out`, the sum times a weight for each.
    #[inline(always)]
    fn mix<const FMA: bool>(
        &self,
        weight: impl Fn(usize) -> usize,
        weights: &[Lanes],
        rows: &[Lanes],
        out: &mut [Lanes],
    ) {
        let width = out.len();
        let (blocks, rest) = out.as_chunks_mut::<TOGETHER>();
        let after = blocks.len() * TOGETHER;
        for (i, sums) in blocks.iter_mut().enumerate() {
            *sums = self.sum::<FMA, _>(&weight, weights, (rows, width, i * TOGETHER));
        }
        for (i, sum) in rest.iter_mut().enumerate() {
            [*sum] = self.sum::<FMA, _>(&weight, weights, (rows, width, after + i));
        }
    }

    /// The same of some columns from one on; a weight is read once for them all.
    #[inline(always)]
    fn sum<const FMA: bool, const COUNT: usize>(
        &self,
        weight: impl Fn(usize) -> usize,
        weights: &[Lanes],
        (rows, width, column): (&[Lanes], usize, usize),
    ) -> [Lanes; COUNT] {
        let mut sums = [[0.0; LANES]; COUNT];
        for &row in self.all() {
            let weight = &weights[weight(row)];
            for (sums, x) in sums.iter_mut().zip(&rows[row * width + column..][..COUNT]) {
                for ((sum, weight), x) in sums.iter_mut().zip(weight).zip(x) {
                    *sum = fma::<FMA>(*weight, *x, *sum);
                }
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
        seen.mix::<FMA>(|key| key, scores, of.v, z);
        for z in z {
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
        seen.mix::<FMA>(|key| query * keys + key, d_scores, of.k, dq);
    }
    let rows = to.k.chunks_exact_mut(dim).zip(to.v.chunks_exact_mut(value_dim));
    for (key, (dk, dv)) in rows.enumerate() {
        let seen = Seen::of(queries, |query| shows(shape, query, key));
        let pair = |query| query * keys + key;
        seen.mix::<FMA>(pair, d_scores, of.q, dk);
        seen.mix::<FMA>(pair, weights, known.dz, dv);
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
