//! How much of the gradient of the loss comes back to the memory at the borders between segments.

use candle_core::{Tensor, Var};

use super::memory_use::{MemoryUse, by_segments};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::batch::NO_TARGET;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::model::State;
use crate::nn::loss::cross_entropy;

crate::settings! {
    /// Of networks that read in segments: of the mean loss of a sequence (nats) the gradient with respect to the memory that a segment
    /// leaves; its Euclidean norm, and of that the mean over sequences. It is 0 where training stops it: `train.through`,
    /// `model.stop_gradient`.
    ///
    /// Numbers: `grad_memory_backN` for N = 1, 2, 4, …: the border so many before the end of the sequence.
    pub struct MemoryGradient = "How much of the gradient of the loss comes back to the memory, border by border between segments: where it does not come, nothing teaches what to keep." {
    }
}

/// Each is passed forward and back.
const SEQUENCES: usize = 8;

impl Measurement for MemoryGradient {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn sequences(&self) -> Option<usize> {
        Some(SEQUENCES)
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        MemoryUse::default().applies(subject)
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn wants_logits(&self) -> bool {
        false
    }

    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        let segments =
            subject.model.segments().map_or(0, |s| s.of(subject.source.length()).count());
        backs(segments.saturating_sub(1)).map(name).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let norms = norms(scene)?;
        let mean = |back: usize| {
            let of = &norms[norms.len() - back];
            Mean { name: name(back), sum: of.iter().sum(), count: of.len() as f64 }
        };
        Ok(Answer { means: backs(norms.len()).map(mean).collect(), ..Answer::default() })
    }
}

/// Which of so many borders are looked at, counted from the end.
fn backs(borders: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |back: &usize| back.checked_mul(2))
        .take_while(move |back| *back <= borders)
}

fn name(back: usize) -> String {
    format!("grad_memory_back{back}")
}

/// `[border][sequence]`
fn norms(scene: &Scene<'_>) -> Result<Vec<Vec<f64>>> {
    // Only what has a history is told from what was left without one.
    let tracked = scene.subject.params.tracked();
    let scene = &Scene { subject: Subject { params: &tracked, ..scene.subject }, ..*scene };
    // What is added to the memory at a border is nothing; its gradient is that of the memory.
    let mut added: Vec<Vec<Var>> = Vec::new();
    let logits = by_segments(scene, &mut |segment, state| {
        let mut here = Vec::with_capacity(state.memory.len());
        let mut memory = Vec::with_capacity(state.memory.len());
        for kept in &state.memory {
            // What the segment before left without its history, no gradient comes back to.
            if segment.is_cut || !kept.track_op() {
                memory.push(kept.detach());
                continue;
            }
            let nothing = Var::from_tensor(&kept.zeros_like()?)?;
            memory.push((kept + nothing.as_tensor())?);
            here.push(nothing);
        }
        added.push(here);
        Ok(State { memory, ..state })
    })?;
    let batch = scene.batch;
    let loss = cross_entropy(&logits, &batch.targets, &shares(&batch.targets, batch.len))?;
    let gradients = loss.backward()?;
    let squared = |nothing: &Var| -> Result<Vec<f32>> {
        match gradients.get(nothing.as_tensor()) {
            Some(gradient) => of_each(gradient, batch.rows),
            None => Ok(vec![0.0; batch.rows]),
        }
    };
    let border = |here: &Vec<Var>| -> Result<Vec<f64>> {
        let mut sums = vec![0.0; batch.rows];
        for nothing in here {
            sums.iter_mut().zip(squared(nothing)?).for_each(|(sum, x)| *sum += f64::from(x));
        }
        Ok(sums.into_iter().map(f64::sqrt).collect())
    };
    added.iter().map(border).collect()
}

/// The sum of squares of each sequence.
fn of_each(gradient: &Tensor, rows: usize) -> Result<Vec<f32>> {
    if gradient.dim(0)? != rows {
        return Err(Error::internal("what is carried has no row for each sequence"));
    }
    Ok(gradient.sqr()?.reshape((rows, ()))?.sum(1)?.to_vec1()?)
}

/// Weights of the mean loss of each sequence over its targets.
fn shares(targets: &[u32], length: usize) -> Vec<f32> {
    let of = |row: &[u32]| {
        let count = row.iter().filter(|target| **target != NO_TARGET).count().max(1);
        let share = |target: &u32| if *target == NO_TARGET { 0.0 } else { 1.0 / count as f32 };
        row.iter().map(share).collect::<Vec<f32>>()
    };
    targets.chunks(length.max(1)).flat_map(of).collect()
}
