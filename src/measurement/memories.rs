//! The weight matrices of the simplified model in token and position space, beside what they should hold.

use super::recall::{Memories as Matrices, matrices};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::error::Result;
use crate::base::intervention::Site;
use crate::task::bigram::GlobalLaw;

crate::settings! {
    /// For the model `birth`; the ideal of the first three is the identity (`wk1`: one below the diagonal).
    ///
    /// Arrays: `wo2` `[output, token]` = `W_U W_O2 W_V2 Eᵀ`; `wk2` `[query, key]` =
    /// `E W_K2 (W_O1 W_V1 Eᵀ)`;
    /// `wk1` `[query, key]` = `P W_K1 Pᵀ` of the first positions; `wf` `[next, current]`, the probabilities
    /// `softmax(W_U W_F E)`, beside `global_law` `[next, current]`. `recalled.wo2` `[token]`, `recalled.wk2`
    /// `[token]` and `recalled.wk1` `[pos]`: 1 where the association is stored, 0 where it is not, NaN
    /// where there is none to store (a token that is never a trigger; position 0). An array is absent where
    /// the model has no such matrix or the task no such law.
    ///
    /// Numbers: those of the measurement `recall`, over all positions.
    pub struct Memories = "What the matrices of the model birth store, seen between tokens and between positions." {
        /// Positions of `wk1` to give; whether they are recalled is decided among all positions.
        positions: usize = 64, in 2..=1024;
    }
}

impl Measurement for Memories {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        matrices(subject).map(|_| ())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let matrices = Matrices::new(scene.subject)?;
        let mut arrays = tokens(&matrices)?;
        arrays.extend(positions(&matrices, self.positions)?);
        arrays.extend(laws(&matrices, scene.subject.source.facet())?);
        Ok(Answer { means: matrices.means(), arrays, ..Answer::default() })
    }
}

fn tokens(matrices: &Matrices) -> Result<Vec<Array>> {
    let n = matrices.vocab;
    let mut wk2 = vec![f32::NAN; n];
    for (&trigger, recalled) in matrices.triggers.iter().zip(matrices.recalled_wk2()) {
        wk2[trigger as usize] = as_number(recalled);
    }
    let wo2: Vec<f32> = matrices.recalled_wo2().into_iter().map(as_number).collect();
    Ok(vec![
        Array::new("wo2", &["output", "token"], &[n, n], matrices.wo2.clone())?,
        Array::new("wk2", &["query", "key"], &[n, n], matrices.wk2.clone())?,
        Array::new("recalled.wo2", &["token"], &[n], wo2)?,
        Array::new("recalled.wk2", &["token"], &[n], wk2)?,
    ])
}

fn positions(matrices: &Matrices, shown: usize) -> Result<Vec<Array>> {
    let all = matrices.positions;
    if all == 0 {
        return Ok(Vec::new());
    }
    let shown = shown.min(all);
    let corner = matrices.wk1.chunks_exact(all).take(shown).flat_map(|row| &row[..shown]);
    let recalled = matrices.recalled_wk1(all).into_iter().map(as_number);
    let recalled: Vec<f32> = std::iter::once(f32::NAN).chain(recalled).take(shown).collect();
    Ok(vec![
        Array::new("wk1", &["query", "key"], &[shown; 2], corner.copied().collect::<Vec<_>>())?,
        Array::new("recalled.wk1", &["pos"], &[shown], recalled)?,
    ])
}

fn laws(matrices: &Matrices, law: Option<&GlobalLaw>) -> Result<Vec<Array>> {
    let n = matrices.vocab;
    let mut arrays = Vec::new();
    if !matrices.wf.is_empty() {
        let probabilities: Vec<f32> = matrices.wf.chunks_exact(n).flat_map(softmax).collect();
        arrays.push(next_current("wf", &probabilities, n)?);
    }
    if let Some(law) = law {
        arrays.push(next_current("global_law", &law.next, n)?);
    }
    Ok(arrays)
}

/// `[current, next]` as an array `[next, current]`.
fn next_current(name: &str, rows: &[f32], n: usize) -> Result<Array> {
    let turned: Vec<f32> = (0..n * n).map(|i| rows[(i % n) * n + i / n]).collect();
    Array::new(name, &["next", "current"], &[n, n], turned)
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|l| (l - largest).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

fn as_number(yes: bool) -> f32 {
    if yes { 1.0 } else { 0.0 }
}
