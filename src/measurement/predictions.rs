//! What the network predicts at every position of the sequence in view.

use candle_core::D;

use super::read::{largest, log_sum, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;

crate::settings! {
    /// Arrays: `probability` `[pos, rank]` and `token` `[pos, rank]` (ids) of the likeliest next tokens, the
    /// likeliest first; `target` `[pos]` (id), `target_probability` `[pos]` and `loss` `[pos]` in nats, NaN
    /// where a position has no target. With `logits` also `logits` `[pos, token]`, all of them.
    pub struct Predictions = "The likeliest next tokens, and the loss, at every position of the sequence in view." {
        /// Tokens per position.
        top: usize = 5, in 1..=100;
        /// All logits as well.
        logits: bool = false;
    }
}

impl Measurement for Predictions {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, _subject: Subject<'_>) -> Result<()> {
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let logits = scene
            .logits
            .ok_or_else(|| Error::internal("the measurement predictions needs the logits"))?
            .get(0)?;
        let vocab = logits.dim(D::Minus1)?;
        let top = self.top.min(vocab);
        let mut found = Found::default();
        let mut every = Vec::new();
        values(&logits, |all| {
            if self.logits {
                every.extend_from_slice(all);
            }
            for (logits, &target) in all.chunks_exact(vocab).zip(&scene.batch.targets) {
                found.push(logits, target, top);
            }
        })?;
        let mut arrays = found.arrays(top)?;
        if self.logits {
            let shape = [every.len() / vocab, vocab];
            arrays.push(Array::new("logits", &["pos", "token"], &shape, every)?);
        }
        Ok(Answer { arrays, ..Answer::default() })
    }
}

#[derive(Default)]
struct Found {
    probability: Vec<f32>,
    token: Vec<f32>,
    target: Vec<f32>,
    target_probability: Vec<f32>,
    loss: Vec<f32>,
}

impl Found {
    fn push(&mut self, logits: &[f32], target: u32, top: usize) {
        let sum = log_sum(logits);
        let cross_entropy = |token: usize| sum - f64::from(logits[token]);
        let probability = |token: usize| narrow((-cross_entropy(token)).exp());
        for token in largest(logits, top) {
            self.token.push(token as f32);
            self.probability.push(probability(token));
        }
        if target == NO_TARGET {
            for of_target in [&mut self.target, &mut self.target_probability, &mut self.loss] {
                of_target.push(f32::NAN);
            }
            return;
        }
        self.target.push(target as f32);
        self.target_probability.push(probability(target as usize));
        self.loss.push(narrow(cross_entropy(target as usize)));
    }

    fn arrays(self, top: usize) -> Result<Vec<Array>> {
        let positions = self.loss.len();
        let ranked = |name, data| Array::new(name, &["pos", "rank"], &[positions, top], data);
        let along = |name, data| Array::new(name, &["pos"], &[positions], data);
        Ok(vec![
            ranked("probability", self.probability)?,
            ranked("token", self.token)?,
            along("target", self.target)?,
            along("target_probability", self.target_probability)?,
            along("loss", self.loss)?,
        ])
    }
}
