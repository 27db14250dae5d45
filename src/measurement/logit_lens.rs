//! What the residual stream already predicts between the layers: each boundary read as if it were the last.

use std::ops::Range;

use candle_core::Tensor;

use super::read::{captured, largest, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::task::prompted::Prompted;

crate::settings! {
    /// The logit lens (nostalgebraist 2020). Boundary 0 is the stream before layer 0, boundary l the one after l layers; each
    /// is read by the network's own final norm and unembedding ([`crate::model::Model::unembed`]), so the last one
    /// gives the logits themselves.
    ///
    /// Arrays: `token` and `probability` `[boundary, pos, rank]` of the likeliest next tokens, the likeliest first;
    /// `target_log_probability` `[boundary, pos]` in nats, NaN where a position has no target; `kl` `[boundary, pos]`
    /// in nats, from the network's own prediction to that of the boundary: KL(network ‖ boundary). Of tokens that are followed
    /// `logit` `[boundary, pos, token]`, and their ids `followed` `[token]`.
    pub struct LogitLens = "The residual stream before and after every layer, read as if the network ended there: next tokens, probability of the right one, divergence from the network's own prediction." {
        /// Tokens per position.
        top: usize = 5, in 1..=100;
        /// The first position to read at, and how many; 0: all. Others are NaN.
        first: usize = 0, in 0..=1_048_576;
        /// Positions to read at.
        count: usize = 0, in 0..=1_048_576;
        /// Tokens whose logits are told everywhere: their text, one after the other, or answers, the right and the wrong answer to the prompt in view (empty: none).
        tokens: String = String::new();
    }
}

impl Measurement for LogitLens {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if layout.heads.is_empty() || subject.model.readout(subject.params)?.is_none() {
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
        let logits = scene
            .logits
            .ok_or_else(|| Error::internal("the measurement logit_lens needs the logits"))?
            .get(0)?;
        let (positions, vocab) = logits.dims2()?;
        let sites = self.sites(scene.subject);
        let followed = self.followed(scene)?;
        let mut found = Found::new(sites.len(), positions, self.top.min(vocab), followed);
        let asked = match self.count {
            0 => 0..positions,
            count => self.first.min(positions)..positions.min(self.first.saturating_add(count)),
        };
        for from in asked.clone().step_by(ROWS) {
            let rows = from..asked.end.min(from + ROWS);
            self.read(scene, &logits, &sites, rows, &mut found)?;
        }
        Ok(Answer { arrays: found.arrays()?, ..Answer::default() })
    }
}

/// Positions that are read at a time: their logits at all boundaries would take much memory.
const ROWS: usize = 64;

/// What `tokens` says of the answers to the prompt in view.
pub const ANSWERS: &str = "answers";

impl LogitLens {
    /// Tokens whose logits are told.
    fn followed(&self, scene: &Scene<'_>) -> Result<Vec<u32>> {
        let (source, text) = (scene.subject.source, self.tokens.trim());
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if text != ANSWERS {
            // Text may begin with a space that belongs to its token; what begins a prompt is none of it.
            let mut ids = source.vocab().encode(&self.tokens).map_err(|e| e.context("tokens"))?;
            ids.retain(|id| !source.vocab().is_special(*id));
            return Ok(ids);
        }
        let prompted = source.facet::<Prompted>();
        let prompt = prompted.and_then(|prompted| (prompted.of_text)(&scene.batch.tokens));
        let prompt = prompt.ok_or_else(|| {
            Error::usage(
                "tokens = answers: the sequence in view is no prompt of which a right and a wrong answer are known; choose one (a set of prompts with answer and wrong, or a sequence in which they are rivals), or write the tokens",
            )
        })?;
        Ok(prompt.answer().into_iter().chain(prompt.wrong()).collect())
    }

    /// Reads some positions at all boundaries.
    fn read(
        &self,
        scene: &Scene<'_>,
        logits: &Tensor,
        sites: &[Site],
        rows: Range<usize>,
        found: &mut Found,
    ) -> Result<()> {
        let Subject { model, params, .. } = scene.subject;
        let vocab = logits.dim(1)?;
        let last = values(&logits.narrow(0, rows.start, rows.len())?, |all| {
            all.chunks_exact(vocab).map(log_probabilities).collect::<Vec<Vec<f64>>>()
        })?;
        let shares: Vec<Vec<f64>> =
            last.iter().map(|row| row.iter().map(|x| x.exp()).collect()).collect();
        for (boundary, site) in sites.iter().enumerate() {
            let stream = captured(scene, *site)?.narrow(1, rows.start, rows.len())?;
            let read = model.unembed(params, &stream)?;
            values(&read, |read| {
                for (i, read) in read.chunks_exact(vocab).enumerate() {
                    let place = (boundary, rows.start + i);
                    let target = scene.batch.targets[rows.start + i];
                    found.put(place, read, target, (&shares[i], &last[i]));
                }
            })?;
        }
        Ok(())
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
    let shares: Vec<f64> = p.iter().map(|p| p.exp()).collect();
    divergence_of(&shares, p, q)
}

/// The same of probabilities that are known, their logarithms and other log-probabilities.
fn divergence_of(shares: &[f64], p: &[f64], q: &[f64]) -> f64 {
    let terms = shares.iter().zip(p).zip(q).filter(|((_, p), _)| p.is_finite());
    // Rounding alone can make it negative.
    terms.map(|((share, p), q)| share * (p - q)).sum::<f64>().max(0.0)
}

/// What was read at each boundary and position; NaN where nothing was.
struct Found {
    shape: [usize; 3],
    token: Vec<f32>,
    probability: Vec<f32>,
    target: Vec<f32>,
    kl: Vec<f32>,
    followed: Vec<u32>,
    logit: Vec<f32>,
}

impl Found {
    fn new(boundaries: usize, positions: usize, top: usize, followed: Vec<u32>) -> Self {
        let empty = |count: usize| vec![f32::NAN; count];
        let places = boundaries * positions;
        Self {
            shape: [boundaries, positions, top],
            token: empty(places * top),
            probability: empty(places * top),
            target: empty(places),
            kl: empty(places),
            logit: empty(places * followed.len()),
            followed,
        }
    }

    /// `own`: what the network gives each token itself, and the logarithms of that.
    fn put(
        &mut self,
        (boundary, position): (usize, usize),
        logits: &[f32],
        target: u32,
        own: (&[f64], &[f64]),
    ) {
        let [_, positions, top] = self.shape;
        let place = boundary * positions + position;
        let read = log_probabilities(logits);
        for (rank, token) in largest(logits, top).into_iter().enumerate() {
            self.token[place * top + rank] = token as f32;
            self.probability[place * top + rank] = narrow(read[token].exp());
        }
        if target != NO_TARGET {
            self.target[place] = read.get(target as usize).map_or(f32::NAN, |p| narrow(*p));
        }
        self.kl[place] = narrow(divergence_of(own.0, own.1, &read));
        let of_place = self.logit.iter_mut().skip(place * self.followed.len());
        for (logit, token) in of_place.zip(&self.followed) {
            *logit = logits.get(*token as usize).copied().unwrap_or(f32::NAN);
        }
    }

    fn arrays(self) -> Result<Vec<Array>> {
        let shape = self.shape;
        let ranked = |name, data| Array::new(name, &["boundary", "pos", "rank"], &shape, data);
        let along = |name, data| Array::new(name, &["boundary", "pos"], &shape[..2], data);
        let mut arrays = vec![
            ranked("token", self.token)?,
            ranked("probability", self.probability)?,
            along("target_log_probability", self.target)?,
            along("kl", self.kl)?,
        ];
        let count = self.followed.len();
        if count > 0 {
            let (shape, ids) = ([shape[0], shape[1], count], self.followed.iter());
            arrays.push(Array::new("logit", &["boundary", "pos", "token"], &shape, self.logit)?);
            let ids: Vec<f32> = ids.map(|id| *id as f32).collect();
            arrays.push(Array::new("followed", &["token"], &[count], ids)?);
        }
        Ok(arrays)
    }
}
