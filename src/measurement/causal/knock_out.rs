//! Attention knock-out: which edges of the attention a sequence of predictions needs (Brinkmann et al. 2024).
//!
//! From the last layer to the first, each head, each query from the last to the first and each key from the query
//! to the first: the weight of the pattern is set to zero, the others are not raised. An edge stays cut where all
//! predictions stay what they were.

use candle_core::Tensor;

use super::{Progress, log_probs};
use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::measurement::Subject;
use crate::model::pass;
use crate::nn::edit::{Edit, With};

/// One weight of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub layer: usize,
    pub head: usize,
    pub query: usize,
    pub key: usize,
}

/// What is cut and what must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnockOut {
    /// Positions whose predictions must stay.
    pub positions: Vec<usize>,
    /// Largest KL(before ‖ after) of these predictions, in nats; `None`: the most likely token alone must stay.
    pub most_kl: Option<f64>,
}

/// What the predictions need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needed {
    /// Edges that could not be cut, in the order in which they were tried.
    pub edges: Vec<Edge>,
    /// Edges at or below the diagonal that were tried, or that no prediction can see.
    pub tried: usize,
    /// Largest KL(before ‖ after) with all others cut, in nats.
    pub kl: f64,
    /// False where it was stopped before the end: edges of the layers not reached are not cut.
    pub whole: bool,
}

impl KnockOut {
    /// # Errors
    /// When a position lies outside, or a forward pass fails.
    pub fn run(&self, subject: Subject<'_>, row: &Row, progress: Progress<'_>) -> Result<Needed> {
        let mut cuts = Cuts::new(subject, row, &self.positions)?;
        let last = self.positions.iter().max().copied().unwrap_or(0);
        let heads = subject.model.layout().heads.clone();
        let rows: usize = heads.iter().sum::<usize>() * row.len();
        let mut needed = Needed { whole: true, ..Needed::default() };
        let mut done = 0;
        for layer in (0..heads.len()).rev() {
            for head in 0..heads[layer] {
                for query in (0..row.len()).rev() {
                    done += 1;
                    if !needed.whole {
                        break;
                    }
                    for key in (0..=query).rev() {
                        needed.tried += 1;
                        let edge = Edge { layer, head, query, key };
                        cuts.set(edge, 0.0);
                        // What comes after the last prediction is seen by none.
                        if query > last {
                            continue;
                        }
                        let kl = cuts.kl()?;
                        if kl.is_none_or(|kl| self.most_kl.is_some_and(|most| kl > most)) {
                            cuts.set(edge, 1.0);
                            needed.edges.push(edge);
                        }
                    }
                    needed.whole = progress(done, rows);
                }
            }
        }
        needed.kl = cuts.kl()?.unwrap_or(f64::NAN);
        Ok(needed)
    }
}

/// A position that may hold a part of an answer for another one ("register").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Register {
    pub position: usize,
    /// KL(before ‖ after) of the prediction when this position, and the unimportant ones before it in the list, are
    /// not attended to any more, in nats.
    pub kl: f64,
    /// The prediction changes, or the KL is at least what was asked for.
    pub important: bool,
}

/// Which of some positions a prediction needs to read directly in the last layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Registers {
    /// Position of the prediction.
    pub at: usize,
    pub candidates: Vec<usize>,
    /// How many layers, from the last.
    pub layers: usize,
    /// From which KL a register is important, in nats.
    pub least_kl: f64,
}

impl Registers {
    /// One candidate after the other loses the attention of the prediction in the last layers, in every head. What is not
    /// important stays cut; what is important is mended.
    ///
    /// # Errors
    /// When a position lies outside, or a forward pass fails.
    pub fn run(&self, subject: Subject<'_>, row: &Row) -> Result<Vec<Register>> {
        let at = [self.at];
        let mut cuts = Cuts::new(subject, row, &at)?;
        if let Some(position) = self.candidates.iter().find(|position| **position > self.at) {
            return Err(Error::usage(format!(
                "the register at position {position} lies after the prediction at {}, which cannot read it",
                self.at
            )));
        }
        let heads = subject.model.layout().heads.clone();
        let first = heads.len().saturating_sub(self.layers);
        let places: Vec<(usize, usize)> = (first..heads.len())
            .flat_map(|layer| (0..heads[layer]).map(move |head| (layer, head)))
            .collect();
        let mut found = Vec::with_capacity(self.candidates.len());
        for &position in &self.candidates {
            let set = |cuts: &mut Cuts<'_>, to: f32| {
                for &(layer, head) in &places {
                    cuts.set(Edge { layer, head, query: self.at, key: position }, to);
                }
            };
            set(&mut cuts, 0.0);
            let (kl, same) = cuts.compared()?;
            let important = !same || kl >= self.least_kl;
            if important {
                set(&mut cuts, 1.0);
            }
            found.push(Register { position, kl, important });
        }
        Ok(found)
    }
}

/// The edges that are cut, and what the predictions were before.
struct Cuts<'a> {
    subject: Subject<'a>,
    batch: Batch,
    positions: &'a [usize],
    /// `[layer][head, query, key]`: 1, or 0 where the edge is cut.
    masks: Vec<Vec<f32>>,
    before: Vec<Vec<f64>>,
}

impl<'a> Cuts<'a> {
    fn new(subject: Subject<'a>, row: &Row, positions: &'a [usize]) -> Result<Self> {
        if let Some(at) = positions.iter().find(|at| **at >= row.len()) {
            return Err(Error::usage(format!(
                "the prediction at position {at} was asked for, the sequence has {} tokens",
                row.len()
            )));
        }
        if positions.is_empty() {
            return Err(Error::usage("there is no prediction that must stay; name positions"));
        }
        let squares = row.len() * row.len();
        let masks =
            subject.model.layout().heads.iter().map(|heads| vec![1.0; heads * squares]).collect();
        let batch = Batch::from_rows(std::slice::from_ref(row));
        let mut cuts = Self { subject, batch, positions, masks, before: Vec::new() };
        cuts.before = cuts.predictions()?;
        Ok(cuts)
    }

    fn set(&mut self, edge: Edge, to: f32) {
        let length = self.batch.len;
        self.masks[edge.layer][(edge.head * length + edge.query) * length + edge.key] = to;
    }

    /// Logarithms of the probabilities at the positions, under the cuts.
    fn predictions(&self) -> Result<Vec<Vec<f64>>> {
        let (length, Subject { model, params, .. }) = (self.batch.len, self.subject);
        let edit = |(layer, mask): (usize, &Vec<f32>)| {
            let shape = (1, mask.len() / (length * length), length, length);
            let mask = Tensor::from_slice(mask, shape, params.device())?;
            Ok(Edit::all(Site { layer, point: Point::Pattern }, With::Times(mask)))
        };
        let cut = |mask: &&Vec<f32>| mask.contains(&0.0);
        let edits = self.masks.iter().enumerate().filter(|(_, mask)| cut(mask)).map(edit);
        let edits: Vec<Edit> = edits.collect::<Result<_>>()?;
        let (logits, _) = pass::forward(model, params, &self.batch, &edits, &[], true)?;
        let logits = logits.ok_or_else(|| Error::internal("a forward pass without logits"))?;
        let row = |at: &usize| Ok(log_probs(&logits.get(0)?.get(*at)?.to_vec1()?));
        self.positions.iter().map(row).collect()
    }

    /// The largest KL(before ‖ now) of a prediction; `None` where one of them has changed.
    fn kl(&self) -> Result<Option<f64>> {
        self.compared().map(|(kl, same)| same.then_some(kl))
    }

    /// The largest KL(before ‖ now) of a prediction, and whether all of them are what they were.
    fn compared(&self) -> Result<(f64, bool)> {
        let (mut most, mut same) = (0.0_f64, true);
        for (before, now) in self.before.iter().zip(self.predictions()?) {
            same &= likeliest(before) == likeliest(&now);
            let kl: f64 = before.iter().zip(&now).map(|(b, n)| b.exp() * (b - n)).sum();
            most = most.max(kl);
        }
        Ok((most, same))
    }
}

/// The token with the largest number; the first of several.
fn likeliest(log_probs: &[f64]) -> usize {
    let better = |best: usize, i: usize| if log_probs[i] > log_probs[best] { i } else { best };
    (0..log_probs.len()).fold(0, better)
}
