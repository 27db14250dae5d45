//! Effects over pairs: metrics, which pairs count, and how sure their mean is.

use super::Seen;

pub use crate::base::pair::Metric;

/// Contrasts between base and counterfactual run below this are none: nothing could be divided by them.
pub const LEAST_CONTRAST: f64 = 1e-3;

/// Why pairs do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excluded {
    /// The base run prefers the other sequence's answer.
    pub base_wrong: usize,
    /// The counterfactual run prefers the base sequence's answer.
    pub other_wrong: usize,
    /// Base and counterfactual run do not differ by [`LEAST_CONTRAST`] in the logit difference.
    pub no_contrast: usize,
}

impl Excluded {
    /// Those of other pairs too.
    pub fn and(self, more: Self) -> Self {
        Self {
            base_wrong: self.base_wrong + more.base_wrong,
            other_wrong: self.other_wrong + more.other_wrong,
            no_contrast: self.no_contrast + more.no_contrast,
        }
    }

    pub fn total(self) -> usize {
        self.base_wrong + self.other_wrong + self.no_contrast
    }

    fn reasons(self) -> [(&'static str, usize, &'static str); 3] {
        [
            ("pairs_base_wrong", self.base_wrong, "the base run is wrong"),
            ("pairs_other_wrong", self.other_wrong, "the counterfactual run is wrong"),
            ("pairs_no_contrast", self.no_contrast, "both runs predict the same"),
        ]
    }

    /// The pairs that are left out for each reason, by the name of that number.
    pub fn numbers(self) -> [(&'static str, usize); 3] {
        self.reasons().map(|(name, count, _)| (name, count))
    }

    /// In words; nothing where no pair is excluded.
    pub fn sentence(self, pairs: usize) -> Option<String> {
        let reasons = self.reasons().into_iter().filter(|(_, count, _)| *count > 0);
        let said: Vec<String> =
            reasons.map(|(_, count, why)| format!("{count} because {why}")).collect();
        (!said.is_empty()).then(|| {
            format!("{} of {pairs} pairs are left out: {}.", self.total(), said.join(", "))
        })
    }
}

/// Which pairs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All pairs.
    All,
    /// Those that both runs get right and that differ.
    BothRight,
}

/// Pairs that count under a rule and for a metric, and why the others do not.
pub fn counted(
    rule: Rule,
    metric: Metric,
    base: &[Seen],
    other: &[Seen],
) -> (Vec<usize>, Excluded) {
    let verdict = |(base, other): (&Seen, &Seen)| {
        let contrast = (other.difference - base.difference).abs() >= LEAST_CONTRAST;
        Verdict {
            base_right: base.difference > 0.0,
            other_right: other.difference < 0.0,
            comparable: contrast || metric != Metric::Normalised,
        }
    };
    sifted(rule, base.iter().zip(other).map(verdict))
}

/// What decides whether a pair counts.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    pub base_right: bool,
    pub other_right: bool,
    /// Whether the effect can be counted at all.
    pub comparable: bool,
}

/// Numbers of the pairs that count under a rule, and why the others do not.
pub fn sifted(rule: Rule, pairs: impl Iterator<Item = Verdict>) -> (Vec<usize>, Excluded) {
    let mut excluded = Excluded::default();
    let mut kept = Vec::new();
    for (i, pair) in pairs.enumerate() {
        if rule == Rule::BothRight && !pair.base_right {
            excluded.base_wrong += 1;
        } else if rule == Rule::BothRight && !pair.other_right {
            excluded.other_wrong += 1;
        } else if !pair.comparable {
            excluded.no_contrast += 1;
        } else {
            kept.push(i);
        }
    }
    (kept, excluded)
}

/// The effect of a patched run for one pair, among `vocab` tokens; NaN where it is undefined.
pub fn effect(metric: Metric, base: Seen, other: Seen, patched: Seen, vocab: usize) -> f64 {
    let raw = patched.difference - base.difference;
    match metric {
        Metric::Normalised => {
            let contrast = other.difference - base.difference;
            if contrast.abs() < LEAST_CONTRAST { f64::NAN } else { raw / contrast }
        }
        Metric::LogitDifference => raw,
        Metric::Flip => f64::from(u8::from(patched.flipped())),
        Metric::Kl => patched.kl,
        Metric::RecoveredLoss => {
            let guessing = (vocab as f64).ln();
            (guessing - patched.loss) / (guessing - base.loss)
        }
    }
}

/// A mean over pairs and the interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// NaN where no pair counts.
    pub mean: f64,
    /// 95 % interval, Student's: the mean ± t · s / √n, with t the 97.5 % quantile of n − 1 degrees of freedom. NaN where pairs say
    /// nothing of how far they scatter: below two, or where all are the same.
    pub interval: [f64; 2],
    /// Pairs that count.
    pub count: usize,
}

impl Estimate {
    /// Why there is no interval, where there is a mean without one; `of` is what was counted, e.g. `pair`.
    pub fn no_interval(self, of: &str) -> Option<String> {
        match self.count {
            0 => None,
            1 => Some(format!("one {of} alone has no interval")),
            n => self.interval[0]
                .is_nan()
                .then(|| format!("{n} {of}s with the very same number have no interval")),
        }
    }
}

/// The mean of some values and its interval.
pub fn estimate(values: &[f64]) -> Estimate {
    let count = values.len();
    let n = count as f64;
    let mean = values.iter().sum::<f64>() / n;
    // The mean of equal values may differ from them in the last bit: that is no spread.
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return Estimate { mean, interval: [f64::NAN; 2], count };
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let half = student(count - 1) * (squares / (n - 1.0) / n).sqrt();
    Estimate { mean, interval: [mean - half, mean + half], count }
}

/// 97.5 % quantile of Student's t with so many degrees of freedom, from 1 on: within ± of it are 95 %.
pub fn student(degrees: usize) -> f64 {
    // That of one degree is 12.7, and more have less.
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if share_within(middle, degrees) < 0.95 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Probability that |t| is at most `x`: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
fn share_within(x: f64, degrees: usize) -> f64 {
    let angle = (x / (degrees as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    let (mut term, mut sum) = (if odd { cos } else { 1.0 }, 0.0);
    for k in (if odd { 3 } else { 2 }..=degrees).step_by(2) {
        sum += term;
        term *= cos * cos * (k as f64 - 1.0) / k as f64;
    }
    if odd { std::f64::consts::FRAC_2_PI * (angle + sin * sum) } else { sin * sum }
}
