//! The minimum of a smooth convex function of many numbers: L-BFGS (Nocedal 1980), all in f64, the same every time.

use std::collections::VecDeque;

use crate::base::error::Result;

use super::{Progress, Watch};

/// Pairs of step and change of gradient that are remembered: more bring little in well-scaled problems.
const MEMORY: usize = 12;
/// Sufficient decrease (Armijo), as is usual.
const DECREASE: f64 = 1e-4;
/// Halvings of a step before nothing is gained any more but rounding.
const HALVINGS: usize = 30;

/// Where the search ended.
#[derive(Clone, Debug)]
pub struct Minimum {
    pub at: Vec<f64>,
    /// Length of the gradient there, as a share of that at the start: 0 at the minimum.
    pub slope: f64,
    pub rounds: usize,
}

/// How far to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Ends where the gradient is this share of that at the start.
    pub slope: f64,
    pub rounds: usize,
}

/// Searches from `start`; `look` gives value and gradient. `None`: stopped by `watch`.
pub fn minimize(
    doing: &str,
    start: Vec<f64>,
    search: Search,
    look: impl Fn(&[f64]) -> Result<(f64, Vec<f64>)>,
    watch: Watch<'_>,
) -> Result<Option<Minimum>> {
    let (mut value, mut gradient) = look(&start)?;
    let first = length(&gradient);
    let (mut at, mut pairs) = (start, VecDeque::new());
    for round in 0..search.rounds {
        let slope = if first > 0.0 { length(&gradient) / first } else { 0.0 };
        if slope <= search.slope {
            return Ok(Some(Minimum { at, slope, rounds: round }));
        }
        if !watch(Progress { doing, done: round, of: search.rounds }) {
            return Ok(None);
        }
        let direction = descent(&gradient, &pairs);
        let along = dot(&direction, &gradient);
        // Nothing is known of the size of the first step.
        let mut step = if pairs.is_empty() { 1.0 / length(&gradient).max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let (there, slope) = look(&next)?;
            if there <= value + DECREASE * step * along {
                found = Some((next, there, slope));
                break;
            }
            step *= 0.5;
        }
        let Some((next, there, slope)) = found else { break };
        let moved: Vec<f64> = next.iter().zip(&at).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = slope.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-14 * dot(&turned, &turned) {
            pairs.push_back((moved, turned, 1.0 / curvature));
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
        (at, value, gradient) = (next, there, slope);
    }
    let slope = if first > 0.0 { length(&gradient) / first } else { 0.0 };
    Ok(Some(Minimum { at, slope, rounds: search.rounds }))
}

type Pair = (Vec<f64>, Vec<f64>, f64);

/// Minus the gradient times the inverse curvature that the pairs tell of.
fn descent(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (moved, turned, inverse) in pairs.iter().rev() {
        let share = inverse * dot(moved, &q);
        add(&mut q, turned, -share);
        shares.push(share);
    }
    if let Some((moved, turned, _)) = pairs.back() {
        let scale = dot(moved, turned) / dot(turned, turned);
        q.iter_mut().for_each(|x| *x *= scale);
    }
    for ((moved, turned, inverse), share) in pairs.iter().zip(shares.into_iter().rev()) {
        let back = inverse * dot(turned, &q);
        add(&mut q, moved, share - back);
    }
    q
}

fn add(to: &mut [f64], x: &[f64], factor: f64) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn length(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
