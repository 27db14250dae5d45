//! Queries and keys of a head in one space, and the axes to look at it from. Plain numbers, on the CPU.

use crate::base::convert::{self, narrow};

crate::choices! {
    /// How the free factor c between queries and keys is chosen.
    pub enum Scale {
        /// The c of [`SCALES`] for which near points attend most to each other.
        Correlation = "correlation",
        /// The c that makes queries and keys equally long on average.
        Norms = "norms",
        /// c = 1.
        None = "none",
    }
}

/// Factors that [`Scale::Correlation`] tries: those of the study behind AttentionViz.
pub const SCALES: [f64; 7] = [0.2, 0.4, 0.8, 1.0, 1.25, 2.5, 5.0];

/// Pairs nearer than this quantile of all distances count for [`Scale::Correlation`].
const NEAR: f64 = 0.005;

/// About so many pairs of a query and a key decide the correlation; in larger clouds it is measured on some of the
/// queries, spread evenly. Sixteen sequences of 128 positions are measured whole.
pub const MOST_PAIRS: usize = 1 << 18;

/// Queries and keys of one head: point i of both is the same token of the same sequence.
#[derive(Clone, Copy, Debug)]
pub struct QueriesKeys<'a> {
    /// `[point, dims]`, row-major.
    pub queries: &'a [f32],
    /// `[point, dims]`, row-major.
    pub keys: &'a [f32],
    pub dims: usize,
    /// First point of each sequence, in increasing order; see [`starts`].
    pub starts: &'a [usize],
}

/// Queries and keys in one space. Attention is what it was: scaling queries by 1/c and keys by c, and adding
/// one vector to all keys, leave every softmax over keys alone. Yeh et al. 2023 (AttentionViz), section 5.
#[derive(Clone, Debug, PartialEq)]
pub struct Arranged {
    /// `[2 * points, dims]`: queries / c, then keys * c moved so that both have the same mean.
    pub points: Vec<f32>,
    pub c: f64,
    /// Mean weighted correlation between distance and dot product of near pairs, -1 at best; NaN where no
    /// query has two near keys.
    pub correlation: f64,
    /// Pairs of a query and a key that the correlation was measured on.
    pub pairs: usize,
}

/// Scales, then translates.
///
/// # Panics
/// When the slices do not hold the same whole number of points.
pub fn arrange(input: &QueriesKeys<'_>, rule: Scale) -> Arranged {
    assert!(input.dims > 0 && input.queries.len() == input.keys.len());
    assert_eq!(input.queries.len() % input.dims, 0);
    let pairs = Pairs::new(input);
    let (c, correlation) = match rule {
        Scale::None => (1.0, pairs.correlation(1.0)),
        Scale::Norms => {
            let c = norm_ratio(input);
            (c, pairs.correlation(c))
        }
        Scale::Correlation => {
            let tried = SCALES.map(|c| (c, pairs.correlation(c)));
            let defined = tried.into_iter().filter(|(_, r)| r.is_finite());
            defined.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((1.0, f64::NAN))
        }
    };
    Arranged { points: placed(input, c), c, correlation, pairs: pairs.dots.len() }
}

/// First point of each sequence, given the position of every point in its sequence.
pub fn starts(positions: &[f32]) -> Vec<usize> {
    (0..positions.len()).filter(|&i| positions[i] == 0.0).collect()
}

/// Points `[point, dims]` moved so that their mean is 0.
pub fn centered(points: &[f32], dims: usize) -> Vec<f32> {
    let mean = mean(points, dims);
    let moved = |(i, x): (usize, &f32)| narrow(f64::from(*x) - mean[i % dims]);
    points.iter().enumerate().map(moved).collect()
}

/// The square root of the ratio of mean lengths; 1 where one of them is 0.
fn norm_ratio(input: &QueriesKeys<'_>) -> f64 {
    let sum = |points: &[f32]| {
        points.chunks_exact(input.dims).map(|p| f64::from(dot(p, p)).sqrt()).sum::<f64>()
    };
    let c = (sum(input.queries) / sum(input.keys)).sqrt();
    if c.is_finite() && c > 0.0 { c } else { 1.0 }
}

fn placed(input: &QueriesKeys<'_>, c: f64) -> Vec<f32> {
    let dims = input.dims;
    let (mean_q, mean_k) = (mean(input.queries, dims), mean(input.keys, dims));
    let queries = input.queries.iter().map(|&q| narrow(f64::from(q) / c));
    let keys = input.keys.iter().enumerate().map(|(i, &k)| {
        let d = i % dims;
        narrow(c * (f64::from(k) - mean_k[d]) + mean_q[d] / c)
    });
    queries.chain(keys).collect()
}

fn mean(points: &[f32], dims: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dims];
    for point in points.chunks_exact(dims) {
        sum.iter_mut().zip(point).for_each(|(s, x)| *s += f64::from(*x));
    }
    let count = (points.len() / dims).max(1) as f64;
    sum.iter_mut().for_each(|s| *s /= count);
    sum
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    summed(a, b, |x, y| x * y)
}

/// The sum over both. Eight sums side by side: the compiler turns them into vector instructions, and the order of additions is
/// the same on every machine.
pub(super) fn summed(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| of(*x, *y)).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += of(x[i], y[i]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// What the distances for every c can be computed from: each query with each key of its sequence.
struct Pairs {
    /// Range in `dots` and first key of each query.
    rows: Vec<Row>,
    dots: Vec<f32>,
    /// By key: squared length and product with the translation's two parts.
    keys: Vec<Lengths>,
    queries: Vec<Lengths>,
    /// Products of the means: q·q, q·k, k·k.
    means: [f64; 3],
}

/// A query that is looked at.
struct Row {
    query: usize,
    first_dot: usize,
    first_key: usize,
    count: usize,
}

struct Lengths {
    square: f64,
    by_mean_query: f64,
    by_mean_key: f64,
}

impl Pairs {
    fn new(input: &QueriesKeys<'_>) -> Self {
        let dims = input.dims;
        let to_f32 = |m: Vec<f64>| m.into_iter().map(narrow).collect::<Vec<f32>>();
        let (mq, mk) = (to_f32(mean(input.queries, dims)), to_f32(mean(input.keys, dims)));
        let lengths = |points: &[f32]| {
            let of = |p: &[f32]| Lengths {
                square: dot(p, p).into(),
                by_mean_query: dot(p, &mq).into(),
                by_mean_key: dot(p, &mk).into(),
            };
            points.chunks_exact(dims).map(of).collect::<Vec<_>>()
        };
        let sequences = sequences(input);
        let all: usize = sequences.iter().map(|(from, to)| (to - from).pow(2)).sum();
        let share = MOST_PAIRS as f64 / all.max(1) as f64;
        let (mut rows, mut dots) = (Vec::new(), Vec::new());
        for (start, end) in sequences {
            let keys = &input.keys[start * dims..end * dims];
            for i in (start..end).filter(|&i| is_sampled(i, share)) {
                let query = &input.queries[i * dims..(i + 1) * dims];
                let (first_dot, count) = (dots.len(), end - start);
                rows.push(Row { query: i, first_dot, first_key: start, count });
                dots.extend(keys.chunks_exact(dims).map(|key| dot(query, key)));
            }
        }
        let means = [dot(&mq, &mq), dot(&mq, &mk), dot(&mk, &mk)].map(f64::from);
        Self { rows, dots, keys: lengths(input.keys), queries: lengths(input.queries), means }
    }

    /// Distances between queries / c and translated keys * c, in the order of `dots`.
    fn distances(&self, c: f64) -> Vec<f32> {
        let [qq, qk, kk] = self.means;
        // The key is moved by mean(q)/c - c mean(k).
        let shift = qq / (c * c) - 2.0 * qk + c * c * kk;
        let mut distances = Vec::with_capacity(self.dots.len());
        for row in &self.rows {
            let q = &self.queries[row.query];
            let from_query = q.square / (c * c) - 2.0 * (q.by_mean_query / (c * c) - q.by_mean_key);
            let keys = &self.keys[row.first_key..row.first_key + row.count];
            let dots = &self.dots[row.first_dot..row.first_dot + row.count];
            for (k, &dot) in keys.iter().zip(dots) {
                let from_key = c * c * k.square + 2.0 * (k.by_mean_query - c * c * k.by_mean_key);
                let square = from_query + from_key + shift - 2.0 * f64::from(dot);
                distances.push(narrow(square.max(0.0).sqrt()));
            }
        }
        distances
    }

    /// Mean over queries with at least two near keys of the weighted correlation.
    fn correlation(&self, c: f64) -> f64 {
        let distances = self.distances(c);
        let threshold = quantile(distances.clone(), NEAR);
        let (mut sum, mut count) = (0.0, 0.0);
        for row in &self.rows {
            let range = row.first_dot..row.first_dot + row.count;
            let pairs = self.dots[range.clone()].iter().zip(&distances[range]);
            let r =
                weighted_correlation(pairs.map(|(&x, &y)| (f64::from(x), f64::from(y))), threshold);
            if r.is_finite() {
                (sum, count) = (sum + r, count + 1.0);
            }
        }
        sum / count
    }
}

/// First and one past the last point of each sequence.
fn sequences(input: &QueriesKeys<'_>) -> Vec<(usize, usize)> {
    let count = input.queries.len() / input.dims;
    let ends = input.starts.iter().skip(1).copied().chain([count]);
    input.starts.iter().copied().zip(ends).collect()
}

/// Whether the `index`-th query is among a `share` of all. Multiples of the golden ratio fall evenly between whole
/// numbers, however many are taken and whatever the length of the sequences.
fn is_sampled(index: usize, share: f64) -> bool {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (index as f64 * GOLDEN).fract() < share
}

/// Quantile by linear interpolation between order statistics; NaN of nothing.
fn quantile(mut values: Vec<f32>, q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let at = q * (values.len() - 1) as f64;
    let below = convert::index(at);
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let next = above.iter().copied().fold(f32::INFINITY, f32::min);
    let high = if next.is_finite() { next } else { low };
    f64::from(low) + (at - below as f64) * (f64::from(high) - f64::from(low))
}

/// Correlation of dot products x and distances y with weights (D - y)², over pairs with y < D; NaN for fewer
/// than two pairs or no spread.
pub fn weighted_correlation(pairs: impl Iterator<Item = (f64, f64)>, threshold: f64) -> f64 {
    let kept: Vec<(f64, f64, f64)> = pairs
        .filter(|(_, y)| *y < threshold)
        .map(|(x, y)| (x, y, (threshold - y).powi(2)))
        .collect();
    if kept.len() < 2 {
        return f64::NAN;
    }
    let total: f64 = kept.iter().map(|p| p.2).sum();
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        kept.iter().map(|&(x, y, w)| w * of(x, y)).sum::<f64>() / total
    };
    let (mx, my) = (mean(&|x, _| x), mean(&|_, y| y));
    let covariance = mean(&|x, y| (x - mx) * (y - my));
    let spread = mean(&|x, _| (x - mx).powi(2)) * mean(&|_, y| (y - my).powi(2));
    if spread > 0.0 { covariance / spread.sqrt() } else { f64::NAN }
}

/// Orthonormal axes to project points onto.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// `[axis, dims]`, row-major.
    pub rows: Vec<f32>,
    pub dims: usize,
    /// Share of the total variance along each axis.
    pub explained: Vec<f64>,
}

impl Basis {
    /// What a point is along each axis.
    pub fn along(&self, point: &[f32]) -> Vec<f32> {
        self.rows.chunks_exact(self.dims.max(1)).map(|axis| dot(axis, point)).collect()
    }
}

/// The first `count` principal axes of `points` `[point, dims]`; the largest entry of each is positive.
pub fn pca(points: &[f32], dims: usize, count: usize) -> Basis {
    let covariance = covariance(points, dims);
    let total: f64 = (0..dims).map(|d| covariance[d * dims + d]).sum();
    let (values, vectors) = symmetric_eigen(covariance, dims);
    let mut basis = Basis { rows: Vec::new(), dims, explained: Vec::new() };
    for i in 0..count.min(dims) {
        let axis = &vectors[i * dims..(i + 1) * dims];
        let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = if largest.unwrap_or(1.0) < 0.0 { -1.0 } else { 1.0 };
        basis.rows.extend(axis.iter().map(|x| narrow(sign * x)));
        basis.explained.push(if total > 0.0 { values[i].max(0.0) / total } else { 0.0 });
    }
    basis
}

/// `[dims, dims]`, in f64: sums over thousands of points.
fn covariance(points: &[f32], dims: usize) -> Vec<f64> {
    let points = centered(points, dims);
    let mut sums = vec![0f64; dims * dims];
    // In groups: sums of a few products fit f32, and f32 rows add up twice as fast.
    let mut group = vec![0f32; dims * dims];
    for rows in points.chunks(64 * dims) {
        group.fill(0.0);
        for point in rows.chunks_exact(dims) {
            for (row, &x) in group.chunks_exact_mut(dims).zip(point) {
                row.iter_mut().zip(point).for_each(|(sum, y)| *sum += x * y);
            }
        }
        sums.iter_mut().zip(&group).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let count = (points.len() / dims).max(1) as f64;
    sums.iter_mut().for_each(|s| *s /= count);
    sums
}

/// `basis` turned and mirrored within the space it spans so that its axes come as near as they can to those
/// of `previous` (orthogonal Procrustes). A cloud drawn on it moves from step to step and does not flip.
/// Unchanged where the two cannot be compared.
pub fn align(basis: &Basis, previous: &Basis) -> Basis {
    let (dims, n) = (basis.dims, basis.explained.len());
    if previous.dims != dims || previous.explained.len() != n || n == 0 {
        return basis.clone();
    }
    let axis = |b: &Basis, i: usize| -> Vec<f64> {
        b.rows[i * dims..(i + 1) * dims].iter().map(|x| f64::from(*x)).collect()
    };
    let old: Vec<_> = (0..n).map(|i| axis(previous, i)).collect();
    let new: Vec<_> = (0..n).map(|i| axis(basis, i)).collect();
    let overlap: Vec<f64> = (0..n * n).map(|i| product(&old[i / n], &new[i % n])).collect();
    let turn = nearest_orthogonal(&overlap, n);
    let turned = |i: usize, d: usize| (0..n).map(|j| turn[i * n + j] * new[j][d]).sum::<f64>();
    let variance =
        |i: usize| (0..n).map(|j| turn[i * n + j].powi(2) * basis.explained[j]).sum::<f64>();
    Basis {
        rows: (0..n * dims).map(|i| narrow(turned(i / dims, i % dims))).collect(),
        dims,
        explained: (0..n).map(variance).collect(),
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The orthogonal matrix nearest to `m` `[n, n]`: U Vᵀ of its singular value decomposition.
fn nearest_orthogonal(m: &[f64], n: usize) -> Vec<f64> {
    let column = |j: usize| (0..n).map(|i| m[i * n + j]).collect::<Vec<f64>>();
    let gram = (0..n * n).map(|i| product(&column(i / n), &column(i % n))).collect();
    let (squares, v) = symmetric_eigen(gram, n);
    let mut u: Vec<Vec<f64>> = Vec::with_capacity(n);
    for i in 0..n {
        let right = &v[i * n..(i + 1) * n];
        let image: Vec<f64> = (0..n).map(|r| product(&m[r * n..(r + 1) * n], right)).collect();
        // A direction that the other basis does not have: any unit vector at right angles will do.
        let found = (squares[i] > 1e-12).then(|| orthonormalized(image, &u)).flatten();
        let unit = |d: usize| (0..n).map(|r| if r == d { 1.0 } else { 0.0 }).collect();
        let left = found.or_else(|| (0..n).find_map(|d| orthonormalized(unit(d), &u)));
        u.push(left.unwrap_or_else(|| unit(i)));
    }
    let entry = |r: usize, c: usize| (0..n).map(|i| u[i][r] * v[i * n + c]).sum::<f64>();
    (0..n * n).map(|i| entry(i / n, i % n)).collect()
}

/// `x` made orthogonal to `others` and of length 1; `None` where nothing of it is left.
fn orthonormalized(mut x: Vec<f64>, others: &[Vec<f64>]) -> Option<Vec<f64>> {
    let before = product(&x, &x).sqrt();
    for other in others {
        let along = product(&x, other);
        x.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
    }
    let length = product(&x, &x).sqrt();
    (length > 0.1 * before && length > 0.0).then(|| {
        x.iter_mut().for_each(|x| *x /= length);
        x
    })
}

/// Eigenvalues, largest first, and unit eigenvectors (rows, `[n, n]`) of a symmetric matrix `[n, n]`.
///
/// Householder reduction to a tridiagonal matrix, then implicit QL steps (Wilkinson and Reinsch 1971, II/2 and
/// II/4): about n³ operations, which a cloud can pay at every step; Jacobi's method takes ten times as many.
pub fn symmetric_eigen(matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut vectors, mut diagonal, mut beside) = tridiagonal(matrix, n);
    for l in 0..n {
        // Each eigenvalue takes a step or two; the bound only ends the search in numbers that are not finite.
        for _ in 0..64 {
            let m = first_negligible(&diagonal, &beside, l);
            if m == l {
                break;
            }
            ql_step(&mut diagonal, &mut beside, &mut vectors, l, m);
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let values = order.iter().map(|&i| diagonal[i]).collect();
    let rows = order.iter().flat_map(|&i| vectors[i * n..(i + 1) * n].to_vec()).collect();
    (values, rows)
}

/// `a` = Qᵀ T Q with T tridiagonal: Q `[n, n]`, the diagonal of T, and what stands beside it (`[i]` joins i
/// and i + 1; the last is 0).
fn tridiagonal(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut q: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    let mut beside = vec![0.0; n];
    for k in 0..n.saturating_sub(2) {
        let below: Vec<f64> = (k + 1..n).map(|i| a[i * n + k]).collect();
        let length = product(&below, &below).sqrt();
        if product(&below[1..], &below[1..]) == 0.0 {
            continue;
        }
        // The reflection that turns what is below the diagonal into a multiple of the first unit vector; the
        // sign avoids cancellation.
        let mut w = vec![0.0; n];
        w[k + 1..].copy_from_slice(&below);
        w[k + 1] += length.copysign(below[0]);
        let norm = product(&w, &w).sqrt();
        w.iter_mut().for_each(|x| *x /= norm);
        reflect_both_sides(&mut a, &w, n, k);
        reflect_rows(&mut q, &w, n, k);
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    for i in 1..n {
        beside[i - 1] = a[i * n + i - 1];
    }
    (q, diagonal, beside)
}

/// H a H with H = 1 - 2 w wᵀ, where w is 0 up to `k`.
fn reflect_both_sides(a: &mut [f64], w: &[f64], n: usize, k: usize) {
    let p: Vec<f64> =
        (0..n).map(|i| product(&a[i * n + k + 1..(i + 1) * n], &w[k + 1..])).collect();
    let wp = product(w, &p);
    for i in 0..n {
        let (wi, ri) = (2.0 * w[i], 2.0 * (p[i] - wp * w[i]));
        for j in 0..n {
            a[i * n + j] -= wi * (p[j] - wp * w[j]) + ri * w[j];
        }
    }
}

/// H q: the reflection added to those before.
fn reflect_rows(q: &mut [f64], w: &[f64], n: usize, k: usize) {
    let mut along = vec![0.0; n];
    for i in k + 1..n {
        let row = &q[i * n..(i + 1) * n];
        along.iter_mut().zip(row).for_each(|(sum, x)| *sum += w[i] * x);
    }
    for i in k + 1..n {
        let row = &mut q[i * n..(i + 1) * n];
        row.iter_mut().zip(&along).for_each(|(x, sum)| *x -= 2.0 * w[i] * sum);
    }
}

/// The end of the block of T that starts at `l`: what stands beside it is lost in rounding.
fn first_negligible(diagonal: &[f64], beside: &[f64], l: usize) -> usize {
    let size = |i: usize| diagonal[i].abs() + diagonal[i + 1].abs();
    (l..diagonal.len() - 1)
        .find(|&i| beside[i].abs() <= f64::EPSILON * size(i))
        .unwrap_or(diagonal.len() - 1)
}

/// One QL step with Wilkinson's shift on the block `l..=m`; rows of `q` turn with it.
fn ql_step(diagonal: &mut [f64], beside: &mut [f64], q: &mut [f64], l: usize, m: usize) {
    let n = diagonal.len();
    let mut g = (diagonal[l + 1] - diagonal[l]) / (2.0 * beside[l]);
    let r = g.hypot(1.0);
    g = diagonal[m] - diagonal[l] + beside[l] / (g + r.copysign(g));
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let f = sine * beside[i];
        let b = cosine * beside[i];
        let r = f.hypot(g);
        beside[i + 1] = r;
        if r == 0.0 {
            diagonal[i + 1] -= shift;
            beside[m] = 0.0;
            return;
        }
        (sine, cosine) = (f / r, g / r);
        g = diagonal[i + 1] - shift;
        let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
        shift = sine * r;
        diagonal[i + 1] = g + shift;
        g = cosine * r - b;
        let (low, high) = q.split_at_mut((i + 1) * n);
        turn(&mut low[i * n..], &mut high[..n], sine, cosine);
    }
    diagonal[l] -= shift;
    beside[l] = g;
    beside[m] = 0.0;
}

/// Turns two rows in their plane.
fn turn(low: &mut [f64], high: &mut [f64], sine: f64, cosine: f64) {
    for (a, b) in low.iter_mut().zip(high) {
        let f = *b;
        *b = sine * *a + cosine * f;
        *a = cosine * *a - sine * f;
    }
}
