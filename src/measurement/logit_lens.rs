//! What the residual stream already predicts between the layers: each boundary read as if it were the last.

use candle_core::D;

use super::read::{captured, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};

crate::settings! {
    /// The logit lens (nostalgebraist 2020). Boundary 0 is the stream before layer 0, boundary l the one after l layers; each
    /// is read by the network's own final norm and unembedding ([`crate::model::Model::unembed`]), so the last one
    /// gives the logits themselves.
    ///
    /// Arrays: `token` and `probability` `[boundary, pos, rank]` of the likeliest next tokens, the likeliest first;
    /// `target_log_probability` `[boundary, pos]` in nats, NaN where a position has no target; `kl` `[boundary, pos]`
    /// in nats, from the network's own prediction to that of the boundary: KL(network ‖ boundary).
    pub struct LogitLens = "The residual stream before and after every layer, read as if the network ended there: next tokens, probability of the right one, divergence from the network's own prediction." {
        /// Tokens per position.
        top: usize = 5, in 1..=100;
    }
}

impl Measurement for LogitLens {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if layout.heads.is_empty() || subject.model.readout(subject.params).is_none() {
            return Err(Error::usage(format!(
                "the network {} does not say how a residual stream is read into logits, so nothing can be read between its layers",
                layout.kind
            )));
        }
        Ok(())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        boundaries(subject.model.layout().heads.len())
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let Subject { model, params, .. } = scene.subject;
        let logits = scene
            .logits
            .ok_or_else(|| Error::internal("the measurement logit_lens needs the logits"))?
            .get(0)?;
        let vocab = logits.dim(D::Minus1)?;
        let top = self.top.min(vocab);
        let sites = self.sites(scene.subject);
        let mut found = Found::default();
        for site in &sites {
            let read = model.unembed(params, captured(scene, *site)?)?;
            values(&logits, |last| {
                values(&read, |read| {
                    let rows = read.chunks_exact(vocab).zip(last.chunks_exact(vocab));
                    for ((read, last), &target) in rows.zip(&scene.batch.targets) {
                        found.push(&log_probabilities(read), &log_probabilities(last), target, top);
                    }
                })
            })??;
        }
        let answer = found.arrays(sites.len(), scene.batch.targets.len(), top)?;
        Ok(Answer { arrays: answer, ..Answer::default() })
    }
}

/// The places between layers: before each, and after the last.
pub fn boundaries(layers: usize) -> Vec<Site> {
    let before = (0..layers).map(|layer| Site { layer, point: Point::ResidPre });
    let last = layers.checked_sub(1).map(|layer| Site { layer, point: Point::ResidPost });
    before.chain(last).collect()
}

/// In nats, in f64: the tail of a divergence is made of small differences.
pub fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |l: &f32| f64::from(l - largest).exp();
    let log_sum = logits.iter().map(exponential).sum::<f64>().ln() + f64::from(largest);
    logits.iter().map(|l| f64::from(*l) - log_sum).collect()
}

/// KL(p ‖ q) in nats of log-probabilities.
pub fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let terms = p.iter().zip(q).filter(|(p, _)| p.is_finite());
    // Rounding alone can make it negative.
    terms.map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

#[derive(Default)]
struct Found {
    token: Vec<f32>,
    probability: Vec<f32>,
    target: Vec<f32>,
    kl: Vec<f32>,
}

impl Found {
    fn push(&mut self, read: &[f64], last: &[f64], target: u32, top: usize) {
        let mut order: Vec<usize> = (0..read.len()).collect();
        // Equal ones keep the order of their tokens.
        order.sort_by(|&a, &b| read[b].total_cmp(&read[a]));
        for &token in &order[..top] {
            self.token.push(token as f32);
            self.probability.push(narrow(read[token].exp()));
        }
        let known = (target != NO_TARGET).then(|| read.get(target as usize)).flatten();
        self.target.push(known.map_or(f32::NAN, |p| narrow(*p)));
        self.kl.push(narrow(divergence(last, read)));
    }

    fn arrays(self, boundaries: usize, positions: usize, top: usize) -> Result<Vec<Array>> {
        let ranked = |name, data| {
            Array::new(name, &["boundary", "pos", "rank"], &[boundaries, positions, top], data)
        };
        let along =
            |name, data| Array::new(name, &["boundary", "pos"], &[boundaries, positions], data);
        Ok(vec![
            ranked("token", self.token)?,
            ranked("probability", self.probability)?,
            along("target_log_probability", self.target)?,
            along("kl", self.kl)?,
        ])
    }
}
