//! The causal bench: what a change inside the network does to what it predicts, over counterfactual pairs.

pub mod effect;
pub mod knock_out;
pub mod patching;
pub mod path;
pub mod rewriting;
pub mod scrubbing;
pub mod tracing;
pub mod tree_scrubbing;

use candle_core::Tensor;

use super::Subject;
use super::read::argmax;
use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::base::pair::Pair;
use crate::model::pass::{self, Asked};
use crate::nn::edit::{At, Edit, With};
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::{Captured, Glance, Streams};
use crate::task::Source;

/// Positions in one forward pass: few enough that its tensors stay near the processor.
const MOST_POSITIONS: usize = 4096;

/// What long questions say while they run; `false` ends them with what there is.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> bool;

/// Does all on the pool, in order; `take` gets what becomes of each.
pub(super) fn in_turn<T: Sync, R: Send>(
    pool: &Pool,
    all: &[T],
    one: impl Fn(&T) -> Result<R> + Sync,
    mut take: impl FnMut(R),
    progress: Progress<'_>,
) -> Result<()> {
    let mut done = 0;
    // A few at a time, so that a stop is heard.
    for some in all.chunks(4 * pool.threads()) {
        pool.fold_in_order(
            some.len(),
            |i| one(&some[i]),
            |found| {
                take(found);
                done += 1;
                Ok(())
            },
        )?;
        if !progress(done, all.len()) {
            break;
        }
    }
    Ok(())
}

/// Which of the two sequences of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Base,
    Other,
}

/// Counterfactual pairs of one length, in parts of a forward pass each.
pub struct Pairs {
    pairs: Vec<Pair>,
    parts: Vec<Part>,
}

/// The pairs of one forward pass.
pub struct Part {
    /// Number of its first pair.
    first: usize,
    base: Batch,
    other: Batch,
    at: Vec<usize>,
}

/// Positions that a tool looks at, in words that hold for every pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spot {
    #[default]
    All,
    /// Where the prediction is made.
    Prediction,
    /// Where the tokens of a pair differ.
    Different,
    /// A place that the task names: [`Pair::places`].
    Named(String),
    Positions(Vec<usize>),
}

impl Spot {
    /// `all`, `prediction`, `different`, the name of a place, or positions: `3,7`.
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "all" => Self::All,
            "prediction" => Self::Prediction,
            "different" => Self::Different,
            text => text
                .split(',')
                .map(|p| p.parse().ok())
                .collect::<Option<Vec<usize>>>()
                .map_or_else(|| Self::Named(text.to_owned()), Self::Positions),
        }
    }
}

impl Pairs {
    /// # Errors
    /// When there are none, their lengths differ, or a prediction lies outside.
    pub fn new(pairs: Vec<Pair>) -> Result<Self> {
        let length = pairs.first().map_or(0, |pair| pair.base.len());
        if length == 0 {
            return Err(Error::usage("there are no pairs to compare; the settings allow none"));
        }
        for pair in &pairs {
            let lengths = [pair.base.len(), pair.other.len()];
            if lengths != [length; 2] {
                return Err(Error::usage(format!(
                    "the sequences of a pair have {} and {} tokens, expected {length} in each; make them equally long",
                    lengths[0], lengths[1]
                )));
            }
            if pair.at >= length {
                return Err(Error::usage(format!(
                    "the prediction at position {} was asked for, the sequences have {length} tokens",
                    pair.at
                )));
            }
        }
        let rows = (MOST_POSITIONS / length).max(1);
        let part = |(i, pairs): (usize, &[Pair])| {
            let side = |row: fn(&Pair) -> &Row| {
                Batch::from_rows(&pairs.iter().map(|p| row(p).clone()).collect::<Vec<_>>())
            };
            Part {
                first: i * rows,
                base: side(|p| &p.base),
                other: side(|p| &p.other),
                at: pairs.iter().map(|p| p.at).collect(),
            }
        };
        let parts = pairs.chunks(rows).enumerate().map(part).collect();
        Ok(Self { pairs, parts })
    }

    /// `count` pairs of a kind that the task makes.
    ///
    /// # Errors
    /// When the task makes none of this kind.
    pub fn of_task(source: &dyn Source, kind: &str, seed: u64, count: usize) -> Result<Self> {
        let kinds = source.pair_kinds();
        if kinds.is_empty() {
            return Err(Error::usage(
                "this task makes no counterfactual pairs by itself; give two texts instead",
            ));
        }
        if !kinds.iter().any(|k| k.name == kind) {
            let names: Vec<&str> = kinds.iter().map(|k| k.name).collect();
            return Err(Error::usage(format!(
                "this task makes no pairs of the kind \"{kind}\"; it makes {}",
                names.join(", ")
            )));
        }
        let pairs = (0..count as u64).filter_map(|i| source.pair(kind, seed, i)).collect();
        Self::new(pairs).map_err(|e| e.context(format!("pairs of the kind {kind}")))
    }

    pub fn all(&self) -> &[Pair] {
        &self.pairs
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Positions in a sequence.
    pub fn length(&self) -> usize {
        self.parts[0].base.len
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether the likeliest of all tokens is the right one in the run of a side, by pair.
    pub fn told_right(&self, subject: Subject<'_>, side: Side) -> Result<Vec<bool>> {
        let mut right = Vec::with_capacity(self.pairs.len());
        for part in &self.parts {
            let (logits, _) = part.run(subject, side, &[], &[])?;
            let pairs = self.pairs[part.first..].iter();
            right.extend(
                logits
                    .into_iter()
                    .zip(pairs)
                    .map(|(logits, pair)| argmax(logits) == pair.answers[side as usize] as usize),
            );
        }
        Ok(right)
    }

    /// The positions of a spot in the pairs of a part.
    ///
    /// # Errors
    /// When a pair has no such place.
    pub fn positions(&self, part: &Part, spot: &Spot) -> Result<At> {
        let pairs = &self.pairs[part.first..part.first + part.at.len()];
        let of = |pair: &Pair| {
            match spot {
            Spot::Prediction => Ok(vec![pair.at]),
            Spot::Different => Ok(pair.differs()),
            Spot::Named(name) => pair.place(name).map(|at| vec![at]).ok_or_else(|| {
                let names: Vec<&str> = pair.places.iter().map(|(name, _)| *name).collect();
                Error::usage(format!(
                    "these pairs have no place called \"{name}\"; there are prediction, different, all{}{}",
                    if names.is_empty() { "" } else { ", " },
                    names.join(", ")
                ))
            }),
            Spot::All | Spot::Positions(_) => Ok(Vec::new()),
        }
        };
        match spot {
            Spot::All => Ok(At::All),
            Spot::Positions(positions) => match positions.iter().find(|p| **p >= self.length()) {
                Some(position) => Err(Error::usage(format!(
                    "position {position} asked for, the sequences have {} tokens",
                    self.length()
                ))),
                None => Ok(At::Same(positions.clone())),
            },
            Spot::Prediction | Spot::Different | Spot::Named(_) => {
                pairs.iter().map(of).collect::<Result<_>>().map(At::PerRow)
            }
        }
    }
}

impl Part {
    pub fn batch(&self, side: Side) -> &Batch {
        match side {
            Side::Base => &self.base,
            Side::Other => &self.other,
        }
    }

    /// One forward pass of a side under edits: logits at the predictions, `[pair][token]`, and the tensors of `sites`.
    pub fn run(
        &self,
        subject: Subject<'_>,
        side: Side,
        edits: &[Edit],
        sites: &[Site],
    ) -> Result<(Vec<Vec<f32>>, Captured)> {
        self.run_asked(subject, side, edits, Asked { sites, ..Asked::default() })
    }

    /// The same of a pass of which more is asked.
    fn run_asked(
        &self,
        Subject { model, params, .. }: Subject<'_>,
        side: Side,
        edits: &[Edit],
        asked: Asked<'_>,
    ) -> Result<(Vec<Vec<f32>>, Captured)> {
        // Logits of predictions alone.
        let logits_from = self.at.iter().copied().min().unwrap_or(0);
        let asked = Asked { wants_logits: true, logits_from, ..asked };
        let batch = self.batch(side);
        let (logits, captured) = pass::forward_asked(model, params, batch, edits, asked)?;
        let logits = logits.ok_or_else(|| Error::internal("a forward pass without logits"))?;
        // A network may give those of all positions.
        let left_out = batch.len - logits.dim(1)?;
        let row = |(i, &at): (usize, &usize)| Ok(logits.get(i)?.get(at - left_out)?.to_vec1()?);
        Ok((self.at.iter().enumerate().map(row).collect::<Result<_>>()?, captured))
    }

    /// The tensors of some sites, without going on to the logits.
    pub fn capture(
        &self,
        subject: Subject<'_>,
        side: Side,
        edits: &[Edit],
        sites: &[Site],
    ) -> Result<Captured> {
        let Subject { model, params, .. } = subject;
        // Sites that a layer does not have are looked for to the end.
        let batch = self.batch(side);
        pass::forward(model, params, batch, edits, sites, false).map(|(_, captured)| captured)
    }
}

/// What one run predicts for one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Logit of the right token of the base sequence minus that of the other one's.
    pub difference: f64,
    /// Cross-entropy of the right token of the base sequence, in nats.
    pub loss: f64,
    /// KL(base run ‖ this run) of the prediction, in nats.
    pub kl: f64,
}

impl Seen {
    /// Whether of the two answers the other sequence's has the larger logit.
    pub fn flipped(self) -> bool {
        self.difference < 0.0
    }
}

/// The runs without any change, that everything is compared with.
pub struct Stage<'a> {
    pub subject: Subject<'a>,
    pub pairs: &'a Pairs,
    /// Of the base sequences.
    pub base: Vec<Seen>,
    /// Of the counterfactual sequences.
    pub other: Vec<Seen>,
    /// Logarithms of the base run's probabilities, `[pair][token]`.
    log_probs: Vec<Vec<f64>>,
    /// Of the base run of each part what its layers read, where that can be kept: passes under edits begin with the first layer that they
    /// change.
    streams: Vec<Streams>,
}

impl<'a> Stage<'a> {
    pub fn new(subject: Subject<'a>, pairs: &'a Pairs) -> Result<Self> {
        let (log_probs, streams) = Default::default();
        let mut stage = Self { subject, pairs, base: vec![], other: vec![], log_probs, streams };
        let keeps = subject.model.resumes() && stream_bytes(subject, pairs) <= MOST_STREAM_BYTES;
        for part in &pairs.parts {
            let mut streams = Streams::default();
            let glance = keeps.then_some(&mut streams as &mut dyn Glance);
            let asked = Asked { glance, ..Asked::default() };
            let (logits, _) = part.run_asked(subject, Side::Base, &[], asked)?;
            stage.streams.push(streams);
            stage.log_probs.extend(logits.iter().map(|row| self::log_probs(row)));
            let base = stage.seen(part, &logits);
            stage.base.extend(base);
            let (logits, _) = part.run(subject, Side::Other, &[], &[])?;
            let other = stage.seen(part, &logits);
            stage.other.extend(other);
        }
        Ok(stage)
    }

    /// The base sequences of a part under edits.
    pub fn run(&self, part: &Part, edits: &[Edit]) -> Result<Vec<Seen>> {
        let first = edits.iter().map(|edit| edit.site.layer).min().unwrap_or(0);
        let at = self.pairs.parts.iter().position(|other| other.first == part.first);
        let from = at.and_then(|at| self.streams.get(at)?.from(first));
        let asked = Asked { from, ..Asked::default() };
        let (logits, _) = part.run_asked(self.subject, Side::Base, edits, asked)?;
        Ok(self.seen(part, &logits))
    }

    /// What logits at the predictions of a part say.
    pub fn seen(&self, part: &Part, logits: &[Vec<f32>]) -> Vec<Seen> {
        let of = |(i, logits): (usize, &Vec<f32>)| {
            let pair = part.first + i;
            let [right, wrong] = self.pairs.pairs[pair].answers;
            let logit = |token: u32| f64::from(logits.get(token as usize).copied().unwrap_or(0.0));
            let (base, here) = (&self.log_probs[pair], log_probs(logits));
            let kl = base.iter().zip(&here).map(|(b, h)| b.exp() * (b - h)).sum();
            let loss = -here.get(right as usize).copied().unwrap_or(f64::NAN);
            Seen { difference: logit(right) - logit(wrong), loss, kl }
        };
        logits.iter().enumerate().map(of).collect()
    }
}

/// Most memory for what layers read.
const MOST_STREAM_BYTES: usize = 512 << 20;

/// Memory for what all layers read of all base sequences.
fn stream_bytes(subject: Subject<'_>, pairs: &Pairs) -> usize {
    let layout = subject.model.layout();
    let numbers = layout.heads.len() * pairs.len() * pairs.length() * layout.width;
    numbers * size_of::<f32>()
}

fn log_probs(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - most).exp()).sum();
    let log_sum = most + sum.ln();
    logits.iter().map(|&l| f64::from(l) - log_sum).collect()
}

/// What comes in the place of a tensor of the base run: the same one of another run.
pub fn patch(site: Site, head: Option<usize>, positions: At, from: &Tensor) -> Edit {
    Edit { site, head, positions, keys: At::All, with: With::Replace(from.clone()) }
}
