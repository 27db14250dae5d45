//! The tuned lens: for each boundary between layers a linear map from the stream to the next token.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::model::Model;
use crate::model::readout::Readout;
use crate::nn::params::Params;
use crate::probe::logit_lens::{divergence, log_probabilities};
use crate::probe::read::values;
use crate::record::error::{Error, Result};

use super::data::{Dataset, Gathered, Labels};
use super::linear::Linear;

/// A tuned lens that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub name: String,
    /// Step of the weights that it was fitted to.
    pub step: u64,
    /// By boundary.
    pub maps: Vec<Linear>,
}

/// Tuned lenses of a network, and the step of the weights that are asked.
#[derive(Clone, Debug, Default)]
pub struct Lenses {
    pub step: u64,
    pub kept: Vec<Arc<Kept>>,
}

impl Lenses {
    /// The first that was fitted to these weights, of a network with so many layers and tokens.
    pub fn of_step(&self, layers: usize, vocab: usize) -> Option<&Kept> {
        let fits = |lens: &&Arc<Kept>| {
            lens.step == self.step
                && lens.maps.len() == layers + 1
                && lens.maps.iter().all(|map| map.outputs == vocab)
        };
        self.kept.iter().find(fits).map(|lens| &**lens)
    }
}

/// How well the next token is told from one boundary, in the mean over examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LensScore {
    /// Of the right next token, in nats.
    pub cross_entropy: f64,
    /// KL(network ‖ lens) in nats.
    pub kl: f64,
    pub accuracy: f64,
}

/// The stream normalised as the network's final norm does it, without its weight and bias: `[example, width]`. (A weight
/// is absorbed by the linear map, a bias by that of a map that has one.)
///
/// # Errors
/// When the network does not say how its stream is read.
pub fn normalized(model: &dyn Model, params: &Params, width: usize, x: &[f32]) -> Result<Vec<f32>> {
    let readout = model.readout(params).ok_or_else(|| {
        Error::usage(format!(
            "the network {} does not say how its residual stream is read into logits, so there is nothing that a lens could do for it",
            model.layout().kind
        ))
    })?;
    let bare = Readout { norm_weight: None, norm_bias: None, ..readout };
    let x = Tensor::from_slice(x, (x.len() / width.max(1), width), &Device::Cpu)?;
    values(&bare.normalized(&x)?, <[f32]>::to_vec)
}

/// The examples of one boundary, normalised.
///
/// # Errors
/// As [`normalized`].
pub fn examples(
    model: &dyn Model,
    params: &Params,
    gathered: &Gathered,
    boundary: usize,
) -> Result<Dataset> {
    let (width, x) = &gathered.x[boundary];
    Dataset::new(*width, normalized(model, params, *width, x)?, gathered.labels.clone())
}

/// What a fitted map tells of examples of its boundary.
///
/// # Errors
/// When the examples are of another size.
pub fn score_tuned(lens: &Linear, data: &Dataset, logits: &[f32]) -> Result<LensScore> {
    let scores: Vec<f32> = lens.scores(&data.x)?.into_iter().map(|s| s as f32).collect();
    score(&scores, &data.labels, logits)
}

/// What the network's own unembedding tells of the streams of a boundary: the logit lens.
///
/// # Errors
/// When the network does not say how its stream is read.
pub fn score_logit_lens(
    model: &dyn Model,
    params: &Params,
    gathered: &Gathered,
    boundary: usize,
) -> Result<LensScore> {
    let (width, x) = &gathered.x[boundary];
    let x = Tensor::from_slice(x, (x.len() / (*width).max(1), *width), &Device::Cpu)?;
    let scores = values(&model.unembed(params, &x)?, <[f32]>::to_vec)?;
    score(&scores, &gathered.labels, &gathered.logits)
}

/// `scores` and the network's own `logits` are `[example, vocab]`.
///
/// # Errors
/// When they differ in number, or the labels are no tokens.
pub fn score(scores: &[f32], labels: &Labels, logits: &[f32]) -> Result<LensScore> {
    let Labels::One { count, of } = labels else {
        return Err(Error::internal("a lens tells one token"));
    };
    if scores.len() != logits.len() || scores.len() != of.len() * count {
        return Err(Error::internal(format!(
            "{} scores and {} logits of {} examples",
            scores.len(),
            logits.len(),
            of.len()
        )));
    }
    let mut sum = LensScore { cross_entropy: 0.0, kl: 0.0, accuracy: 0.0 };
    let rows = scores.chunks_exact(*count).zip(logits.chunks_exact(*count));
    for ((scores, logits), &token) in rows.zip(of) {
        let (told, own) = (log_probabilities(scores), log_probabilities(logits));
        let best = crate::probe::read::argmax(scores.iter().copied());
        sum.cross_entropy -= told[token as usize];
        sum.kl += divergence(&own, &told);
        sum.accuracy += f64::from(u8::from(best == token as usize));
    }
    let examples = of.len() as f64;
    Ok(LensScore {
        cross_entropy: sum.cross_entropy / examples,
        kl: sum.kl / examples,
        accuracy: sum.accuracy / examples,
    })
}
