//! A space cut into boxes: equal intervals of each component (`DeepStellar`, Du et al. 2019).

use crate::base::convert;

/// Equal intervals of each component between two ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The lower and the upper end of each component.
    ends: Vec<[f64; 2]>,
    /// Intervals of each component.
    bins: usize,
}

impl Grid {
    /// `bins` intervals between these ends of each component.
    pub fn new(ends: Vec<[f64; 2]>, bins: usize) -> Self {
        Self { ends, bins }
    }

    /// `bins` intervals from the least to the largest of each component of `points` `[point, dims]`.
    ///
    /// # Panics
    /// When `dims` is 0.
    pub fn around(points: &[f32], dims: usize, bins: usize) -> Self {
        let mut ends = vec![[f64::INFINITY, f64::NEG_INFINITY]; dims];
        for point in points.chunks_exact(dims) {
            for ([low, high], x) in ends.iter_mut().zip(point) {
                (*low, *high) = (low.min(f64::from(*x)), high.max(f64::from(*x)));
            }
        }
        Self::new(ends, bins)
    }

    /// The interval of each component, counted from 0. The upper end lies in the one after the last; what lies outside has numbers
    /// below 0 or above it, as in the published code.
    pub fn intervals(&self, point: &[f32]) -> Vec<i64> {
        let interval = |(x, [low, high]): (&f32, &[f64; 2])| {
            let share = (f64::from(*x) - low) * self.bins as f64 / (high - low);
            // A component without spread has one interval.
            if share.is_finite() { convert::whole(share.floor()) } else { 0 }
        };
        point.iter().zip(&self.ends).map(interval).collect()
    }

    /// The box that a point lies in, or the nearest one.
    pub fn cell(&self, point: &[f32]) -> Vec<usize> {
        let last = self.bins.saturating_sub(1);
        let held = |interval: i64| usize::try_from(interval).unwrap_or(0).min(last);
        self.intervals(point).into_iter().map(held).collect()
    }
}
