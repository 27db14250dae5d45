//! Fitted lenses: for each boundary between layers a map that reads the next token out of the stream.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::measurement::logit_lens::{divergence, log_probabilities};
use crate::measurement::read::values;
use crate::model::readout::Readout;
use crate::model::{Layout, Model};
use crate::nn::params::Params;

use super::data::{Dataset, Gathered, Labels};
use super::linear::Linear;
use super::translator;

/// What the maps of a lens lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To a stream that the network's own unembedding reads: the tuned lens ([`translator`]).
    Stream,
    /// To the tokens, from the normalised stream.
    Tokens,
}

impl Way {
    /// What the map of a boundary is called in a file, before its number.
    pub fn part(self) -> &'static str {
        match self {
            Self::Stream => "translator",
            Self::Tokens => "boundary",
        }
    }

    /// The lens in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stream => "tuned lens",
            Self::Tokens => "token lens",
        }
    }

    /// What a map tells of streams `[example, width]`: logits `[example, vocab]`.
    ///
    /// # Errors
    /// When the streams are of another width, or the network does not say how its stream is read.
    pub fn read(
        self,
        map: &Linear,
        model: &dyn Model,
        params: &Params,
        (width, x): (usize, &[f32]),
    ) -> Result<Vec<f32>> {
        match self {
            Self::Stream => unembedded(model, params, width, &translator::translated(map, x)?),
            Self::Tokens => {
                let scores = map.scores(&normalized(model, params, width, x)?)?;
                Ok(scores.into_iter().map(narrow).collect())
            }
        }
    }
}

/// A lens that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub name: String,
    /// Step of the weights that it was fitted to.
    pub step: u64,
    pub way: Way,
    /// By boundary.
    pub maps: Vec<Linear>,
}

/// Lenses that were fitted to a network, and the step of the weights that are asked.
#[derive(Clone, Debug, Default)]
pub struct Lenses {
    pub step: u64,
    pub kept: Vec<Arc<Kept>>,
}

impl Lenses {
    /// The first that was fitted to these weights, of a network of this shape.
    pub fn of_step(&self, layout: &Layout) -> Option<&Kept> {
        let fits = |lens: &&Arc<Kept>| {
            let outputs = match lens.way {
                Way::Stream => layout.width,
                Way::Tokens => layout.vocab,
            };
            lens.step == self.step
                && lens.maps.len() == layout.heads.len() + 1
                && lens.maps.iter().all(|map| map.outputs == outputs)
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

/// How the network reads its stream.
///
/// # Errors
/// When it does not say so.
pub fn readout(model: &dyn Model, params: &Params) -> Result<Readout> {
    model.readout(params)?.ok_or_else(|| {
        Error::usage(format!(
            "the network {} does not say how its residual stream is read into logits, so there is nothing that a lens could do for it",
            model.layout().kind
        ))
    })
}

/// The stream normalised as the network's final norm does it, without its weight and bias: `[example, width]`. (A weight
/// is absorbed by the linear map, a bias by that of a map that has one.)
pub fn normalized(model: &dyn Model, params: &Params, width: usize, x: &[f32]) -> Result<Vec<f32>> {
    let readout = readout(model, params)?;
    let bare = Readout { norm_weight: None, norm_bias: None, ..readout };
    let x = Tensor::from_slice(x, (x.len() / width.max(1), width), &Device::Cpu)?;
    values(&bare.normalized(&x)?, <[f32]>::to_vec)
}

/// The examples of one boundary, normalised.
pub fn examples(
    model: &dyn Model,
    params: &Params,
    gathered: &Gathered,
    boundary: usize,
) -> Result<Dataset> {
    let (width, x) = &gathered.x[boundary];
    Dataset::new(*width, normalized(model, params, *width, x)?, gathered.labels.clone())
}

/// How well a fitted map tells the examples of its boundary.
pub fn score_fitted(
    way: Way,
    map: &Linear,
    model: &dyn Model,
    params: &Params,
    gathered: &Gathered,
    boundary: usize,
) -> Result<LensScore> {
    let (width, x) = &gathered.x[boundary];
    let scores = way.read(map, model, params, (*width, x))?;
    score(&scores, &gathered.labels, &gathered.logits)
}

/// Logits `[example, vocab]` of streams `[example, width]` by the network's own unembedding.
fn unembedded(model: &dyn Model, params: &Params, width: usize, x: &[f32]) -> Result<Vec<f32>> {
    let x = Tensor::from_slice(x, (x.len() / width.max(1), width), &Device::Cpu)?;
    values(&model.unembed(params, &x)?, <[f32]>::to_vec)
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
    score(&unembedded(model, params, *width, x)?, &gathered.labels, &gathered.logits)
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
        let best = crate::measurement::read::argmax(scores.iter().copied());
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
