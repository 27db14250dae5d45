//! What studies share: passes over prompts of one length that end where the prediction is read, and numbers by layer and head.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::Ground;
use super::direct::Direct;
use crate::base::array::Array;
use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::prompt::Encoded;
use crate::measurement::causal::{Progress, in_turn};
use crate::measurement::read::argmax;
use crate::measurement::{Answer, Mean, Subject};
use crate::model::pass::{self, Asked};
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::{Captured, Glance, Streams};

/// Positions of one pass.
const MOST_POSITIONS: usize = 2048;

/// A network on the bench.
pub struct Bench<'a> {
    pub subject: Subject<'a>,
    pub pool: &'a Pool,
}

/// What a pass left.
pub struct Seen {
    /// At the last position of each prompt, `[prompt][token]`.
    pub logits: Vec<Vec<f32>>,
    pub captured: Captured,
}

impl<'a> Bench<'a> {
    pub fn new(ground: &Ground<'a>) -> Self {
        Self { subject: ground.subject, pool: ground.pool }
    }

    /// # Errors
    /// When the network does not say what direct paths are made of.
    pub fn direct(&self) -> Result<Direct<'a>> {
        Direct::new(self.subject)
    }

    /// Heads of each layer.
    pub fn heads(&self) -> &'a [usize] {
        &self.subject.model.layout().heads
    }

    pub fn layers(&self) -> usize {
        self.heads().len()
    }

    /// A site in every layer.
    pub fn everywhere(&self, point: Point) -> impl Iterator<Item = Site> {
        (0..self.layers()).map(move |layer| Site { layer, point })
    }

    pub fn last(&self, point: Point) -> Site {
        Site { layer: self.layers().saturating_sub(1), point }
    }

    /// One pass over prompts of one length, under edits.
    pub fn pass(&self, rows: &[&[u32]], edits: &[Edit], sites: &[Site]) -> Result<Seen> {
        self.pass_asked(rows, edits, Asked { sites, ..Asked::default() })
    }

    /// The logits of such a pass, and what each layer read, where a pass can begin there.
    pub fn streams(&self, rows: &[&[u32]], edits: &[Edit]) -> Result<(Seen, Streams)> {
        let mut streams = Streams::default();
        let resumes = self.subject.model.resumes();
        let glance = resumes.then_some(&mut streams as &mut dyn Glance);
        let seen = self.pass_asked(rows, edits, Asked { glance, ..Asked::default() })?;
        Ok((seen, streams))
    }

    /// A pass that begins with what a layer reads, if that is known.
    pub fn pass_from(
        &self,
        rows: &[&[u32]],
        edits: &[Edit],
        from: Option<(usize, Tensor)>,
    ) -> Result<Seen> {
        self.pass_asked(rows, edits, Asked { from, ..Asked::default() })
    }

    fn pass_asked(&self, rows: &[&[u32]], edits: &[Edit], asked: Asked<'_>) -> Result<Seen> {
        let Subject { model, params, .. } = self.subject;
        let batch = batch(rows);
        let logits_from = batch.len.saturating_sub(1);
        let asked = Asked { wants_logits: true, logits_from, ..asked };
        let (logits, captured) = pass::forward_asked(model, params, &batch, edits, asked)?;
        let logits = logits.ok_or_else(|| Error::internal("a pass left no logits"))?;
        // A network may give those of all positions.
        let logits = logits.narrow(1, logits.dim(1)?.saturating_sub(1), 1)?.squeeze(1)?;
        Ok(Seen { logits: logits.to_vec2()?, captured })
    }

    /// Numbers by layer and head, NaN where a layer has fewer heads.
    pub fn by_head(&self, name: &str, value: impl Fn(usize, usize) -> f64) -> Result<Array> {
        let heads = self.heads();
        let most = heads.iter().copied().max().unwrap_or(0);
        let cell = |layer: usize, head: usize| {
            if head < heads[layer] { narrow(value(layer, head)) } else { f32::NAN }
        };
        let cells = (0..heads.len()).flat_map(|l| (0..most).map(move |h| (l, h)));
        let data: Vec<f32> = cells.map(|(layer, head)| cell(layer, head)).collect();
        Array::new(name, &["layer", "head"], &[heads.len(), most], data)
    }

    /// All heads, layer by layer.
    pub fn each_head(&self) -> Vec<(usize, usize)> {
        let layers = self.heads().iter().enumerate();
        layers.flat_map(|(layer, &n)| (0..n).map(move |head| (layer, head))).collect()
    }
}

impl Seen {
    pub fn get(&self, site: Site) -> Result<&Tensor> {
        self.captured.get(&site).ok_or_else(|| {
            Error::usage(format!("this network has no place {site}, which this study looks at"))
        })
    }

    /// What a place holds at one position of every prompt: `[prompt, width]`, of heads `[head, prompt, dim]`.
    pub fn at(&self, site: Site, position: usize) -> Result<Tensor> {
        let all = self.get(site)?;
        if site.point.by_head() {
            return Ok(all.narrow(2, position, 1)?.squeeze(2)?.transpose(0, 1)?.contiguous()?);
        }
        Ok(all.narrow(1, position, 1)?.squeeze(1)?.contiguous()?)
    }
}

/// Work in several parts under one count of what is done.
pub struct Work<'a, 'b> {
    pool: &'a Pool,
    tell: Progress<'b>,
    done: usize,
    total: usize,
    is_stopped: bool,
}

impl<'a, 'b> Work<'a, 'b> {
    pub fn new(pool: &'a Pool, total: usize, tell: Progress<'b>) -> Self {
        Self { pool, tell, done: 0, total, is_stopped: false }
    }

    /// Does something for each of a list; where it was stopped, for none.
    pub fn each<T: Sync, R: Send>(
        &mut self,
        all: &[T],
        one: impl Fn(&T) -> Result<R> + Sync,
        take: impl FnMut(R),
    ) -> Result<()> {
        if self.is_stopped {
            return Ok(());
        }
        let Self { tell, done, total, is_stopped, .. } = self;
        let before = *done;
        in_turn(self.pool, all, one, take, &mut |part, _| {
            *done = before + part;
            *is_stopped = !tell(*done, *total);
            !*is_stopped
        })
    }
}

/// Prompts of one length, each with its number, in parts of a pass.
pub fn groups(prompts: &[Encoded]) -> Vec<Vec<(usize, &Encoded)>> {
    let mut by_length: BTreeMap<usize, Vec<(usize, &Encoded)>> = BTreeMap::new();
    for (i, prompt) in prompts.iter().enumerate() {
        by_length.entry(prompt.tokens.len()).or_default().push((i, prompt));
    }
    let parts = by_length.into_iter().flat_map(|(length, prompts)| {
        let rows = (MOST_POSITIONS / length.max(1)).max(1);
        prompts.chunks(rows).map(<[_]>::to_vec).collect::<Vec<_>>()
    });
    parts.collect()
}

pub fn tokens<'e>(group: &[(usize, &'e Encoded)]) -> Vec<&'e [u32]> {
    group.iter().map(|(_, prompt)| prompt.tokens.as_slice()).collect()
}

/// The counterfactual prompts of a group.
///
/// # Errors
/// At the first prompt without one.
pub fn counterparts<'e>(group: &[(usize, &'e Encoded)]) -> Result<Vec<&'e [u32]>> {
    let other = |(i, prompt): &(usize, &'e Encoded)| {
        prompt.counterpart.as_deref().ok_or_else(|| lacks(*i, "counterpart"))
    };
    group.iter().map(other).collect()
}

/// The answer of a prompt and what should not follow.
///
/// # Errors
/// When it lacks one of them.
pub fn answers(number: usize, prompt: &Encoded) -> Result<[u32; 2]> {
    let answer = prompt.answer().ok_or_else(|| lacks(number, "answer"))?;
    Ok([answer, prompt.wrong().ok_or_else(|| lacks(number, "wrong"))?])
}

pub fn lacks(number: usize, what: &str) -> Error {
    Error::input(format!(
        "prompt {} has no \"{what}\", which this study needs: give it in every line of the file",
        number + 1
    ))
}

fn batch(rows: &[&[u32]]) -> Batch {
    let row = |tokens: &&[u32]| Row {
        tokens: tokens.to_vec(),
        targets: vec![NO_TARGET; tokens.len()],
        roles: vec![0; tokens.len()],
        occurrence: vec![0; tokens.len()],
        ..Row::default()
    };
    Batch::from_rows(&rows.iter().map(row).collect::<Vec<_>>())
}

pub fn logit(logits: &[f32], token: u32) -> f64 {
    logits.get(token as usize).map_or(f64::NAN, |x| f64::from(*x))
}

/// Probabilities of all tokens.
pub fn probabilities(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let raised: Vec<f64> = logits.iter().map(|l| (f64::from(*l) - most).exp()).collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|x| x / sum).collect()
}

/// The probability of some tokens together.
pub fn probability(logits: &[f32], tokens: &[u32]) -> f64 {
    let all = probabilities(logits);
    tokens.iter().filter_map(|token| all.get(*token as usize)).sum()
}

/// The likeliest token.
pub fn likeliest(logits: &[f32]) -> u32 {
    crate::base::convert::id(argmax(logits.iter().copied()))
}

/// A mean over prompts.
pub fn mean(name: &str, values: &[f64]) -> Mean {
    Mean { name: name.to_owned(), sum: values.iter().sum(), count: values.len() as f64 }
}

/// A number that is no mean.
pub fn number(name: &str, value: f64) -> Mean {
    Mean { name: name.to_owned(), sum: value, count: 1.0 }
}

/// Numbers in a row.
pub fn line(name: &str, axis: &str, values: &[f64]) -> Result<Array> {
    let data: Vec<f32> = values.iter().map(|x| narrow(*x)).collect();
    Array::new(name, &[axis], &[values.len()], data)
}

impl Answer {
    /// The prompt that arrays over positions are about, and its counterpart: ids by position.
    pub fn shows(&mut self, prompt: &Encoded, counterpart: bool) -> Result<()> {
        let ids = |tokens: &[u32]| tokens.iter().map(|id| f64::from(*id)).collect::<Vec<_>>();
        self.arrays.push(line("tokens", "position", &ids(&prompt.tokens))?);
        if let Some(other) = prompt.counterpart.as_ref().filter(|_| counterpart) {
            self.arrays.push(line("tokens.counterpart", "position", &ids(other))?);
        }
        Ok(())
    }
}
