//! Points in groups: k-means, begun at points far from each other (Arthur and Vassilvitskii 2007, k-means++).

use super::geometry::summed;
use crate::base::convert::narrow;

/// How often it begins anew; the narrowest groups count. One beginning in some puts two centres into one heap.
const BEGINNINGS: usize = 8;
/// Most rounds of one beginning: it ends long before, when no point changes its group.
const MOST_ROUNDS: usize = 100;

/// Points in groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// `[cluster, dims]`, row-major: the mean of its points.
    pub centres: Vec<f32>,
    pub dims: usize,
    /// The cluster of each point.
    pub of: Vec<usize>,
    /// Squared distances of all points from their centres, added up.
    pub spread: f64,
}

impl Clusters {
    /// The cluster whose centre is nearest to a point, the first of equals; `None` where there is no cluster.
    pub fn nearest(&self, point: &[f32]) -> Option<usize> {
        nearest(&self.centres, point).map(|(cluster, _)| cluster)
    }
}

/// `points` `[point, dims]` in `count` groups, or one for each point where there are fewer. `chance` gives numbers spread evenly from
/// 0 to 1: the same numbers give the same groups, to the byte.
///
/// # Panics
/// When `dims` is 0.
pub fn k_means(
    points: &[f32],
    dims: usize,
    count: usize,
    chance: &mut dyn FnMut() -> f64,
) -> Clusters {
    let mut begun = || settled(points, dims, far_apart(points, dims, count, chance));
    let first = begun();
    (1..BEGINNINGS)
        .map(|_| begun())
        .fold(first, |best, other| if other.spread < best.spread { other } else { best })
}

/// Centres, `[cluster, dims]`: the first is any point, each other one as likely as its squared distance from the nearest so far.
fn far_apart(
    points: &[f32],
    dims: usize,
    count: usize,
    chance: &mut dyn FnMut() -> f64,
) -> Vec<f32> {
    let all = points.len() / dims;
    let mut distances = vec![1.0; all];
    let mut centres = Vec::with_capacity(count * dims);
    for chosen in 0..count.min(all) {
        let centre = &points[drawn(&distances, chance()) * dims..][..dims];
        for (distance, point) in distances.iter_mut().zip(points.chunks_exact(dims)) {
            let here = square_distance(point, centre);
            *distance = if chosen == 0 { here } else { distance.min(here) };
        }
        centres.extend_from_slice(centre);
    }
    centres
}

/// A number from 0, each as likely as its weight; the last where all weigh nothing.
fn drawn(weights: &[f64], chance: f64) -> usize {
    let mut left = chance * weights.iter().sum::<f64>();
    let passed = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(passed).unwrap_or(weights.len().saturating_sub(1))
}

/// Points go to their nearest centre, and centres to the mean of their points, until nothing moves.
fn settled(points: &[f32], dims: usize, mut centres: Vec<f32>) -> Clusters {
    let mut of = Vec::new();
    let mut spread = 0.0;
    for _ in 0..MOST_ROUNDS {
        let found: Vec<(usize, f64)> =
            points.chunks_exact(dims).filter_map(|point| nearest(&centres, point)).collect();
        let now: Vec<usize> = found.iter().map(|(cluster, _)| *cluster).collect();
        spread = found.iter().map(|(_, distance)| distance).sum();
        if now == of {
            break;
        }
        of = now;
        centres = means(points, dims, &of, centres);
    }
    Clusters { centres, dims, of, spread }
}

/// The mean of the points of each group, `[group, dims]`; of one without points what it was `before`.
pub fn means(points: &[f32], dims: usize, of: &[usize], mut before: Vec<f32>) -> Vec<f32> {
    let mut sums = vec![0f64; before.len()];
    let mut counts = vec![0usize; before.len() / dims];
    for (point, group) in points.chunks_exact(dims).zip(of) {
        counts[*group] += 1;
        let sum = &mut sums[group * dims..(group + 1) * dims];
        sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    for (i, mean) in before.iter_mut().enumerate().filter(|(i, _)| counts[i / dims] > 0) {
        *mean = narrow(sums[i] / counts[i / dims] as f64);
    }
    before
}

/// The nearest of some centres and its squared distance, the first of equals.
fn nearest(centres: &[f32], point: &[f32]) -> Option<(usize, f64)> {
    let all = centres.chunks_exact(point.len().max(1)).map(|centre| square_distance(point, centre));
    all.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The squared distance of two points.
pub fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    summed(a, b, |x, y| (x - y) * (x - y)).into()
}
