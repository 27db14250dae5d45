//! How far two numbers go together over runs or evaluations: Pearson's r and Spearman's ρ, with their intervals.

use std::fmt;

use crate::base::plain::Plain;

/// 97.5 % quantile of the normal distribution: intervals hold 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// The standard error of Fisher's z has n - 3 under its root.
pub const FEWEST: usize = 4;

/// Coefficients that are so close to 1 or -1 are that: in ranks of ten thousand runs the next one is further off, and rounding
/// is not.
const ROUNDING: f64 = 1e-12;

/// A coefficient from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficient {
    pub value: f64,
    /// The ends of its 95 % interval; `None` at 1 and -1, where Fisher's z is infinite and says nothing of how sure it is.
    pub interval: Option<[f64; 2]>,
}

/// Why there is no coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefined {
    /// There are fewer than [`FEWEST`] pairs of numbers: so many.
    TooFew(usize),
    /// One of the two is the same everywhere.
    NoSpread,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew(n) => {
                write!(f, "undefined: an interval needs at least {FEWEST} pairs, there are {n}")
            }
            Self::NoSpread => f.write_str("undefined: one of the two is the same everywhere"),
        }
    }
}

impl fmt::Display for Coefficient {
    /// `0.812 (95 % interval 0.421 to 0.948)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", Plain(self.value))?;
        match self.interval.map(|ends| ends.map(Plain)) {
            Some([low, high]) => write!(f, " (95 % interval {low:.3} to {high:.3})"),
            None => f.write_str(" (no interval: Fisher's z is infinite at 1 and -1)"),
        }
    }
}

/// Pairs in which both numbers are finite.
pub fn pairs(x: &[f64], y: &[f64]) -> Vec<[f64; 2]> {
    let both = x.iter().zip(y).map(|(x, y)| [*x, *y]);
    both.filter(|pair| pair.iter().all(|v| v.is_finite())).collect()
}

/// Pearson's r of pairs of finite numbers. The interval is Fisher's: `tanh(atanh r ± 1.96 / √(n − 3))` (Fisher 1921,
/// Metron 1, 3–32), which takes the two for jointly normal.
///
/// # Errors
/// With fewer than [`FEWEST`] pairs, or when one of the two has no spread.
pub fn pearson(pairs: &[[f64; 2]]) -> Result<Coefficient, Undefined> {
    let r = product_moment(pairs)?;
    Ok(around(r, 1.0 / (pairs.len() as f64 - 3.0).sqrt()))
}

/// Spearman's ρ: Pearson's r of the ranks; ties share the mean of their ranks. The interval is Fisher's with the
/// standard error `√((1 + ρ²/2) / (n − 3))` of Bonett and Wright (2000, Psychometrika 65, 23–28).
///
/// # Errors
/// As [`pearson`].
pub fn spearman(pairs: &[[f64; 2]]) -> Result<Coefficient, Undefined> {
    let [x, y] = [0, 1].map(|i| ranks(&pairs.iter().map(|pair| pair[i]).collect::<Vec<_>>()));
    let ranked: Vec<[f64; 2]> = x.into_iter().zip(y).map(|(x, y)| [x, y]).collect();
    let rho = product_moment(&ranked)?;
    Ok(around(rho, ((1.0 + rho * rho / 2.0) / (pairs.len() as f64 - 3.0)).sqrt()))
}

fn around(value: f64, standard_error: f64) -> Coefficient {
    let z = value.atanh();
    let ends = || [-1.0, 1.0].map(|side| (z + side * Z * standard_error).tanh());
    Coefficient { value, interval: z.is_finite().then(ends) }
}

fn product_moment(pairs: &[[f64; 2]]) -> Result<f64, Undefined> {
    if pairs.len() < FEWEST {
        return Err(Undefined::TooFew(pairs.len()));
    }
    let n = pairs.len() as f64;
    // The same number n times may have a mean that differs from it in the last bit: that is no spread.
    let constant = |i: usize| pairs.iter().all(|pair| pair[i].total_cmp(&pairs[0][i]).is_eq());
    if constant(0) || constant(1) {
        return Err(Undefined::NoSpread);
    }
    // Scaled first, so that no square of a large or a small number leaves the finite ones.
    let scaled = [0, 1].map(|i| {
        let largest = pairs.iter().map(|pair| pair[i].abs()).fold(0.0, f64::max);
        pairs.iter().map(|pair| pair[i] / largest).collect::<Vec<f64>>()
    });
    let centred = scaled.map(|values| {
        let mean = values.iter().sum::<f64>() / n;
        values.into_iter().map(|v| v - mean).collect::<Vec<f64>>()
    });
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let [x, y] = &centred;
    let norms = dot(x, x).sqrt() * dot(y, y).sqrt();
    if norms == 0.0 {
        return Err(Undefined::NoSpread);
    }
    let r = dot(x, y) / norms;
    Ok(if r.abs() > 1.0 - ROUNDING { r.signum() } else { r })
}

/// Ranks from 1; ties share the mean of theirs.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // Minus zero is zero.
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|i| ranks[*i] = rank);
        before += tied.len();
    }
    ranks
}

/// The middle of a list: of an even number the mean of the two in the middle; `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let high = *values.get(half)?;
    Some(if values.len() % 2 == 1 { high } else { f64::midpoint(values[half - 1], high) })
}
