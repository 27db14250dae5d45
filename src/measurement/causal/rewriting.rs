//! Rank-one editing: the output matrix of an MLP is changed so that it has another value for one key (Meng et al. 2022, arXiv 2202.05262).
//!
//! `W' = W + (v* − W k*) (C⁻¹ k*)ᵀ / (k*ᵀ C⁻¹ k*)`, with `k*` what the matrix reads where the fact is looked up, `C` the mean of `k kᵀ` over keys of
//! other text, and `v*` such that the new answer follows. Of all changes with `W' k* = v*` it changes the values of such keys least.

use candle_core::{Tensor, Var};

use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::measurement::Subject;
use crate::measurement::read::values;
use crate::model::pass::{self, Asked};
use crate::nn::edit::{At, Edit, With};
use crate::nn::params::{Param, Params};
use crate::task;

/// A fact to be rewritten: a text, and what should follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub tokens: &'a [u32],
    /// The layer whose MLP is changed, and the position at which it reads the fact.
    pub layer: usize,
    pub position: usize,
    /// The new answer, behind the last token.
    pub to: u32,
}

/// A change of rank one of a matrix `[out, in]`: `left · rightᵀ` is added.
#[derive(Clone, Debug)]
pub struct RankOne {
    pub param: Param,
    /// `v* − W k*`, `[out]`.
    pub left: Vec<f64>,
    /// `C⁻¹ k* / (k*ᵀ C⁻¹ k*)`, `[in]`.
    pub right: Vec<f64>,
    /// `k*`, `[in]`.
    pub key: Vec<f64>,
    /// What the MLP writes there before, with the bias, `[out]`: `v* = value + left`.
    pub value: Vec<f64>,
    /// Of the new answer, with `v*` in the place of the value.
    pub probability: f64,
}

/// Held-out sequences whose keys are counted in `C`, and positions of one pass.
const SEQUENCES: usize = 256;
const MOST_POSITIONS: usize = 4096;
/// Added to the diagonal of `C`, as a share of its mean: a few sequences may leave directions without any key.
const RIDGE: f64 = 1e-4;

/// How `v*` is looked for; numbers of the published code (its settings for GPT-2 XL). A second loss there, which keeps what follows "… is a" as it was,
/// has no counterpart here.
const RATE: f64 = 0.5;
const STEPS: usize = 20;
const DECAY: f64 = 0.5;
const MOST_CHANGE: f64 = 4.0;
const ENOUGH: f64 = 0.05;

/// The change that makes a text be followed by another token. `seed` is that of the held-out sequences.
///
/// # Errors
/// When the layer has no such matrix, the position or the answer is not there, or a pass fails.
pub fn rank_one(subject: Subject<'_>, wanted: &Wanted<'_>, seed: u64) -> Result<RankOne> {
    let layout = subject.model.layout();
    let param = subject.model.mlp_output(wanted.layer).ok_or_else(|| {
        Error::usage(format!(
            "layer {} has no MLP whose output matrix adds to the residual stream, so no fact can be rewritten there",
            wanted.layer
        ))
    })?;
    if wanted.position >= wanted.tokens.len() || wanted.to as usize >= layout.vocab {
        return Err(Error::usage(format!(
            "a fact is rewritten at position {} with token {}: the text has positions 0 to {}, the network tokens 0 to {}",
            wanted.position,
            wanted.to,
            wanted.tokens.len().saturating_sub(1),
            layout.vocab.saturating_sub(1)
        )));
    }
    let [key, value] = at_fact(subject, wanted)?;
    let mean = second_moment(subject, wanted.layer, key.len(), seed)?;
    let (left, probability) = change_of_value(subject, wanted, &value)?;
    let right = solved(mean, &key).ok_or_else(|| {
        Error::internal("keys of the MLP have no second moment that can be inverted")
    })?;
    let along = dot(&right, &key);
    let right = right.into_iter().map(|x| x / along).collect();
    Ok(RankOne { param, left, right, key, value, probability })
}

impl RankOne {
    /// The parameters with the matrix changed; all others are the same.
    ///
    /// # Errors
    /// When the matrix cannot be read, or has another shape.
    pub fn carried_out(&self, params: &Params) -> Result<Params> {
        let matrix = params.get(self.param)?;
        let (rows, columns) = matrix.dims2()?;
        if [rows, columns] != [self.left.len(), self.right.len()] {
            return Err(Error::internal("a change of rank one of another shape than its matrix"));
        }
        let numbers = values(&matrix, <[f32]>::to_vec)?;
        let changed = numbers.chunks_exact(columns).zip(&self.left).flat_map(|(row, left)| {
            let both = row.iter().zip(&self.right);
            both.map(move |(x, right)| narrow(f64::from(*x) + left * right))
        });
        let changed =
            Tensor::from_vec(changed.collect::<Vec<f32>>(), (rows, columns), params.device())?;
        params.with(self.param, &changed)
    }
}

fn site(layer: usize, point: Point) -> Site {
    Site { layer, point }
}

fn batch_of(tokens: &[u32]) -> Batch {
    let count = tokens.len();
    Batch::from_rows(&[Row {
        tokens: tokens.to_vec(),
        targets: vec![NO_TARGET; count],
        roles: vec![0; count],
        occurrence: vec![0; count],
        ..Row::default()
    }])
}

/// What the matrix reads and what the MLP writes where the fact is looked up.
fn at_fact(
    Subject { model, params, .. }: Subject<'_>,
    wanted: &Wanted<'_>,
) -> Result<[Vec<f64>; 2]> {
    let sites = [Point::MlpPost, Point::MlpOut].map(|point| site(wanted.layer, point));
    let batch = batch_of(wanted.tokens);
    let (_, seen) = pass::forward(model, params, &batch, &[], &sites, false)?;
    let row = |site: &Site| -> Result<Vec<f64>> {
        let found = seen.get(site).ok_or_else(|| {
            Error::usage(format!("this network has no place {site}, at which a fact is rewritten"))
        })?;
        let row = found.narrow(1, wanted.position, 1)?;
        values(&row, |all| all.iter().map(|x| f64::from(*x)).collect())
    };
    Ok([row(&sites[0])?, row(&sites[1])?])
}

/// The mean of `k kᵀ` over all positions of held-out sequences, row-major, with [`RIDGE`] on its diagonal.
fn second_moment(subject: Subject<'_>, layer: usize, width: usize, seed: u64) -> Result<Vec<f64>> {
    let Subject { model, params, source } = subject;
    let site = site(layer, Point::MlpPost);
    let rows = (MOST_POSITIONS / source.length().max(1)).clamp(1, SEQUENCES);
    let mut sums = vec![0.0f64; width * width];
    let mut count = 0;
    for from in (0..SEQUENCES).step_by(rows) {
        let batch = task::batch(source, seed, from as u64, rows.min(SEQUENCES - from));
        let (_, seen) = pass::forward(model, params, &batch, &[], &[site], false)?;
        let keys =
            seen.get(&site).ok_or_else(|| Error::internal("an MLP without a hidden layer"))?;
        let keys = keys.reshape(((), width))?;
        count += keys.dim(0)?;
        let products = keys.t()?.contiguous()?.matmul(&keys)?;
        values(&products, |all| sums.iter_mut().zip(all).for_each(|(s, x)| *s += f64::from(*x)))?;
    }
    sums.iter_mut().for_each(|sum| *sum /= f64::from(narrow(count as f64)));
    let ridge = RIDGE * sums.iter().step_by(width + 1).sum::<f64>() / width as f64;
    sums.iter_mut().step_by(width + 1).for_each(|x| *x += ridge);
    Ok(sums)
}

/// What is added to the value so that the new answer follows, and the probability that it then has: gradient descent (Adam) on the loss of the new answer, with a
/// penalty on the length of what is added.
fn change_of_value(
    subject: Subject<'_>,
    wanted: &Wanted<'_>,
    value: &[f64],
) -> Result<(Vec<f64>, f64)> {
    let params = subject.params;
    let (batch, size) = (batch_of(wanted.tokens), length(value).max(f64::MIN_POSITIVE));
    let mut adam = Adam::new(value.len());
    let mut change = vec![0.0; value.len()];
    let mut probability = 0.0;
    for step in 0..=STEPS {
        let added = Tensor::from_iter(change.iter().map(|x| narrow(*x)), params.device())?;
        let added = Var::from_tensor(&added)?;
        let loss = loss_with(subject, wanted, &batch, &added)?;
        let shown = f64::from(loss.to_vec0::<f32>()?);
        probability = (-shown).exp();
        let long = length(&change);
        if step == STEPS || shown + DECAY * long / size.powi(2) < ENOUGH {
            break;
        }
        let gradients = loss.backward()?;
        let mut gradient = match gradients.get(added.as_tensor()) {
            Some(gradient) => values(gradient, |g| g.iter().map(|x| f64::from(*x)).collect())?,
            None => vec![0.0; value.len()],
        };
        if long > 0.0 {
            let pull = DECAY / size.powi(2) / long;
            gradient.iter_mut().zip(&change).for_each(|(g, x)| *g += pull * x);
        }
        adam.step(&mut change, &gradient);
        let over = length(&change) / (MOST_CHANGE * size);
        if over > 1.0 {
            change.iter_mut().for_each(|x| *x /= over);
        }
    }
    Ok((change, probability))
}

/// The loss of the new answer where something is added to what the MLP writes, with its history.
fn loss_with(
    Subject { model, params, .. }: Subject<'_>,
    wanted: &Wanted<'_>,
    batch: &Batch,
    added: &Var,
) -> Result<Tensor> {
    let edit = Edit {
        site: site(wanted.layer, Point::MlpOut),
        head: None,
        positions: At::Same(vec![wanted.position]),
        keys: At::All,
        with: With::Add(added.as_tensor().clone()),
    };
    let logits_from = wanted.tokens.len().saturating_sub(1);
    let asked = Asked { wants_logits: true, logits_from, ..Asked::default() };
    let (logits, _) = pass::forward_asked(model, params, batch, &[edit], asked)?;
    let logits = logits.ok_or_else(|| Error::internal("a pass left no logits"))?;
    // A network may give those of all positions.
    let last = logits.narrow(1, logits.dim(1)?.saturating_sub(1), 1)?;
    loss_of(&last.flatten_all()?, wanted.to)
}

/// In nats, of one token under logits `[vocab]`.
fn loss_of(logits: &Tensor, token: u32) -> Result<Tensor> {
    let most = logits.max(0)?.detach();
    let shifted = logits.broadcast_sub(&most)?;
    let log_sum = shifted.exp()?.sum_all()?.log()?;
    let at = shifted.narrow(0, token as usize, 1)?.squeeze(0)?;
    Ok(log_sum.sub(&at)?)
}

/// Adam (Kingma and Ba 2015) with its usual numbers.
struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl Adam {
    fn new(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count], steps: 0 }
    }

    fn step(&mut self, x: &mut [f64], gradient: &[f64]) {
        self.steps += 1;
        let [left, right] = [0.9f64, 0.999].map(|beta| 1.0 - beta.powi(self.steps));
        for (i, g) in gradient.iter().enumerate() {
            self.first[i] = 0.9 * self.first[i] + 0.1 * g;
            self.second[i] = 0.999 * self.second[i] + 0.001 * g * g;
            x[i] -= RATE * (self.first[i] / left) / ((self.second[i] / right).sqrt() + 1e-8);
        }
    }
}

/// `x` with `a x = b`, for a symmetric positive definite `a` (row-major), by Cholesky's factors; `None` where it is none.
fn solved(mut a: Vec<f64>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for row in 0..n {
        for column in 0..=row {
            let (above, below) = a.split_at_mut(row * n);
            let own = &mut below[..n];
            let other = if column == row { &[] } else { &above[column * n..column * n + column] };
            let before = if column == row {
                dot(&own[..row], &own[..row])
            } else {
                dot(&own[..column], other)
            };
            let left = own[column] - before;
            own[column] = if column < row {
                left / above[column * n + column]
            } else if left > 0.0 {
                left.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut x = b.to_vec();
    for row in 0..n {
        x[row] = (x[row] - dot(&a[row * n..row * n + row], &x[..row])) / a[row * n + row];
    }
    for row in (0..n).rev() {
        let later: f64 = (row + 1..n).map(|other| a[other * n + row] * x[other]).sum();
        x[row] = (x[row] - later) / a[row * n + row];
    }
    Some(x)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn length(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
