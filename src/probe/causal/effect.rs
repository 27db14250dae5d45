//! Effects over pairs: metrics, which pairs count, and how sure their mean is.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::Seen;

pub use crate::record::pair::Metric;

/// Contrasts between base and counterfactual run below this are none: nothing could be divided by them.
pub const LEAST_CONTRAST: f64 = 1e-3;

/// Draws of the bootstrap.
const DRAWS: usize = 1000;

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
    pub fn total(self) -> usize {
        self.base_wrong + self.other_wrong + self.no_contrast
    }

    /// In words; nothing where no pair is excluded.
    pub fn sentence(self, pairs: usize) -> Option<String> {
        let reasons = [
            (self.base_wrong, "the base run is wrong"),
            (self.other_wrong, "the counterfactual run is wrong"),
            (self.no_contrast, "both runs predict the same"),
        ];
        let said: Vec<String> = reasons
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} because {why}"))
            .collect();
        (!said.is_empty())
            .then(|| format!("{} of {pairs} pairs are left out: {}", self.total(), said.join(", ")))
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
    let mut excluded = Excluded::default();
    let mut kept = Vec::new();
    for (i, (base, other)) in base.iter().zip(other).enumerate() {
        let contrast = (other.difference - base.difference).abs() >= LEAST_CONTRAST;
        if rule == Rule::BothRight && base.difference <= 0.0 {
            excluded.base_wrong += 1;
        } else if rule == Rule::BothRight && other.difference >= 0.0 {
            excluded.other_wrong += 1;
        } else if metric == Metric::Normalised && !contrast {
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
    /// 95 % interval: the 2.5 and 97.5 percentiles of the means of pairs drawn anew with replacement. NaN below
    /// two pairs.
    pub interval: [f64; 2],
    /// Pairs that count.
    pub count: usize,
}

/// The mean of some values and its bootstrap interval, drawn with a seed.
pub fn estimate(values: &[f64], seed: u64) -> Estimate {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    if count < 2 {
        return Estimate { mean, interval: [f64::NAN; 2], count };
    }
    let mut key = *b"................bootstrap over pairs"[..32].first_chunk().unwrap_or(&[0; 32]);
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    let mut draw = || ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize;
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..count).map(|_| values[draw()]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    Estimate { mean, interval: [percentile(&means, 0.025), percentile(&means, 0.975)], count }
}

/// Of sorted values, between neighbours in proportion.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + part * (above - sorted[below])
}
