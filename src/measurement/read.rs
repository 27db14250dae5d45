//! Numbers out of tensors and counts out of numbers: what measurements share.

use candle_core::{CpuStorage, Storage, Tensor};

use super::{Mean, Scene};
use crate::base::batch::NO_TARGET;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;

/// Lets `look` read the numbers of a tensor, row-major; they are not copied where they lie in one piece.
///
/// # Errors
/// When the numbers are not `f32` in the memory of the CPU.
pub fn values<T>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(all)), Some((start, end))) => Ok(look(&all[start..end])),
        _ => Err(Error::internal("a measurement read a tensor that is not f32 on the CPU")),
    }
}

/// The tensor captured at `site`.
///
/// # Errors
/// When the forward pass did not pass there.
pub fn captured<'a>(scene: &Scene<'a>, site: Site) -> Result<&'a Tensor> {
    scene.captured.get(&site).ok_or_else(|| not_given(site))
}

/// The same with all its columns, and how many of them, the first, are of memory tokens.
///
/// # Errors
/// As [`captured`].
pub fn whole(scene: &Scene<'_>, site: Site) -> Result<(Tensor, usize)> {
    scene.captured.whole(site)?.ok_or_else(|| not_given(site))
}

fn not_given(site: Site) -> Error {
    Error::internal(format!("the forward pass did not give {site}"))
}

/// Calls `look` with every position that has a target: its index in the batch (row by row), its target
/// and its logits.
///
/// # Errors
/// When the scene has no logits.
pub fn each_prediction(
    scene: &Scene<'_>,
    mut look: impl FnMut(usize, usize, &[f32]),
) -> Result<()> {
    let logits =
        scene.logits.ok_or_else(|| Error::internal("a measurement of predictions needs logits"))?;
    let vocab = logits.dim(candle_core::D::Minus1)?;
    values(logits, |all| {
        for (i, (row, &target)) in all.chunks_exact(vocab).zip(&scene.batch.targets).enumerate() {
            if target != NO_TARGET {
                look(i, target as usize, row);
            }
        }
    })
}

/// Calls `look` with every position that has a target, likewise, and whether its likeliest token is the target.
///
/// # Errors
/// As [`each_prediction`].
pub fn each_hit(scene: &Scene<'_>, mut look: impl FnMut(usize, bool)) -> Result<()> {
    each_prediction(scene, |i, target, logits| look(i, argmax(logits.iter().copied()) == target))
}

/// Index of the largest value, the first of equals; NaN never wins.
pub fn argmax(values: impl IntoIterator<Item = f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, value) in values.into_iter().enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// The likeliest token of each row of logits `[.., vocab]`.
///
/// # Errors
/// When there are no logits, or they are not `f32` in the memory of the CPU.
pub fn likeliest(logits: Option<&Tensor>) -> Result<Vec<u32>> {
    let logits = logits.ok_or_else(|| Error::internal("a forward pass without logits"))?;
    let vocab = logits.dim(candle_core::D::Minus1)?;
    let token = |row: &[f32]| convert::id(argmax(row.iter().copied()));
    values(logits, |all| all.chunks_exact(vocab).map(token).collect())
}

/// Cross-entropy of one position in nats.
pub fn cross_entropy(logits: &[f32], target: usize) -> f64 {
    log_sum(logits) - f64::from(logits[target])
}

/// Logarithm of the sum of the exponentials.
pub fn log_sum(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|l| (l - largest).exp()).sum();
    f64::from(sum).ln() + f64::from(largest)
}

/// The places of the largest numbers, the largest first; of equal ones the first.
pub fn largest(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    let is_larger = |a: usize, b: usize| numbers[a].total_cmp(&numbers[b]).is_gt();
    for i in 0..numbers.len() {
        if best.len() == count && best.last().is_none_or(|last| !is_larger(i, *last)) {
            continue;
        }
        let at = best.partition_point(|there| !is_larger(i, *there));
        best.insert(at, i);
        best.truncate(count);
    }
    best
}

/// A mean that is being counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub sum: f64,
    pub count: f64,
}

impl Tally {
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    pub fn hit(&mut self, yes: bool) {
        self.add(if yes { 1.0 } else { 0.0 });
    }

    /// Takes in what was counted elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    pub fn of_hits(hits: impl IntoIterator<Item = bool>) -> Self {
        let mut tally = Self::default();
        hits.into_iter().for_each(|yes| tally.hit(yes));
        tally
    }

    /// NaN where nothing was counted.
    pub fn mean(&self) -> f64 {
        self.sum / self.count
    }

    pub fn named(self, name: impl Into<String>) -> Mean {
        Mean { name: name.into(), sum: self.sum, count: self.count }
    }
}
