//! What every head of any attention model looks like: four scores of the induction-head literature.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::read::{Tally, parameter, values};
use super::{Answer, Probe, Scene, Scope, Subject};
use crate::model::Input;
use crate::nn::tap::Tap;
use crate::record::array::Array;
use crate::record::error::{Error, Result};
use crate::record::intervention::{Point, Site};

/// Seed of the sequences: the same for every run and step, so that only the weights move a score.
const SEED: u64 = 0x0015_ED0F_4EAD;

crate::knobs! {
    /// Scores of every head, each in 0..=1, on sequences of the probe's own: random tokens, all different,
    /// repeated (Olsson et al. 2022, "Data Collection"). Where that text is ambiguous:
    ///
    /// - `prefix_matching`: attention from a token of the second and later repeats to the tokens that
    ///   *followed* its earlier copies, summed over the copies (an ideal head has 1), mean over queries.
    /// - `duplicate_token`: the same queries, attention to the earlier copies themselves.
    /// - `copying`: the head's own output within the first repeat, mapped by the unembedding, minus its mean
    ///   over the vocabulary, negative parts dropped; the share that goes to attended tokens (weighted by
    ///   attention) of what goes to all tokens of the sample; mean over positions. Not rescaled to -1..1.
    /// - `previous_token`: attention to the position before, mean over the first 256 positions of sequences of
    ///   the task, position 0 excepted.
    ///
    /// Numbers: `prefix_matching_l1h0` and so on for every score, layer and head. Arrays: one per score,
    /// `[layer, head]`, NaN where a layer has fewer heads.
    pub struct Heads = "Scores of every head: prefix matching, copying, previous token, duplicate token." {
        /// Sequences that each score averages over.
        examples: usize = 10, in 1..=100;
        /// Different tokens in a repeated sequence; less where vocabulary or context are smaller.
        tokens: usize = 25, in 2..=512;
        /// How often they are repeated.
        repeats: usize = 4, in 2..=16;
    }
}

/// Positions of ordinary sequences that the previous-token score looks at: more would cost much and move it
/// little.
const ORDINARY_POSITIONS: usize = 256;

const SCORES: [&str; 4] = ["prefix_matching", "copying", "previous_token", "duplicate_token"];

impl Probe for Heads {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if layout.heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage("this network has no attention heads"));
        }
        if self.period(subject) < 2 {
            return Err(Error::usage(format!(
                "repeated sequences need two different tokens and a context of {}; this network has {} tokens and a context of {}",
                2 * self.repeats,
                layout.vocab,
                layout.length
            )));
        }
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    /// None for `birth`, whose two heads the probe `induction` follows.
    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        if subject.model.layout().kind == "birth" {
            return Vec::new();
        }
        let heads = heads(subject);
        SCORES.iter().flat_map(|score| heads.iter().map(|&h| number(score, h))).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let subject = scene.subject;
        let heads = heads(subject);
        let scores = self.scores(subject)?;
        let mut answer = Answer::default();
        for (i, name) in SCORES.iter().enumerate() {
            let tally = |h: Head| scores[h.layer][h.head][i];
            answer.means.extend(heads.iter().map(|&h| tally(h).named(number(name, h))));
            answer.arrays.push(grid(name, &scores, i)?);
        }
        Ok(answer)
    }
}

/// Tallies by layer, head and score (in the order of `SCORES`).
type Scores = Vec<Vec<[Tally; SCORES.len()]>>;

impl Heads {
    /// Tokens before they repeat.
    fn period(&self, subject: Subject<'_>) -> usize {
        let layout = subject.model.layout();
        self.tokens.min(layout.length / self.repeats).min(layout.vocab)
    }

    /// One forward pass per sequence: attention of many heads is large, and only its counts are kept.
    fn scores(&self, subject: Subject<'_>) -> Result<Scores> {
        let layout = subject.model.layout();
        let period = self.period(subject);
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut scores: Scores =
            layout.heads.iter().map(|&n| vec![Default::default(); n]).collect();
        for example in 0..self.examples {
            let repeated = different_tokens(&mut rng, layout.vocab, period).repeat(self.repeats);
            Watch::new(subject, &repeated, Some(period), &mut scores).run()?;
            let mut ordinary = subject.source.sequence(SEED, example as u64).tokens;
            ordinary.truncate(ORDINARY_POSITIONS.min(layout.length));
            Watch::new(subject, &ordinary, None, &mut scores).run()?;
        }
        Ok(scores)
    }
}

/// `count` different tokens in random order.
fn different_tokens(rng: &mut ChaCha8Rng, vocab: usize, count: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (0..vocab as u32).collect();
    for i in 0..count {
        let j = i + (rng.next_u64() % (vocab - i) as u64) as usize;
        all.swap(i, j);
    }
    all.truncate(count);
    all
}

/// A head by layer and number.
#[derive(Clone, Copy)]
struct Head {
    layer: usize,
    head: usize,
}

fn heads(subject: Subject<'_>) -> Vec<Head> {
    let layers = subject.model.layout().heads.iter().enumerate();
    layers.flat_map(|(layer, &n)| (0..n).map(move |head| Head { layer, head })).collect()
}

fn number(score: &str, Head { layer, head }: Head) -> String {
    format!("{score}_l{layer}h{head}")
}

/// One score of every head as `[layer, head]`.
fn grid(name: &str, scores: &Scores, score: usize) -> Result<Array> {
    let widest = scores.iter().map(Vec::len).max().unwrap_or(0);
    let value = |layer: &[[Tally; SCORES.len()]], head: usize| {
        layer.get(head).map_or(f32::NAN, |t| (t[score].sum / t[score].count) as f32)
    };
    let data: Vec<f32> =
        scores.iter().flat_map(|layer| (0..widest).map(|head| value(layer, head))).collect();
    Array::new(name, &["layer", "head"], &[scores.len(), widest], data)
}

/// Counts what the heads do while one sequence passes.
struct Watch<'a> {
    subject: Subject<'a>,
    tokens: &'a [u32],
    /// Positions after which the tokens repeat; `None` for a sequence of the task.
    period: Option<usize>,
    scores: &'a mut Scores,
    /// Attention within the first repeat of the layer that is passing, `[head, query, key]`.
    sample_pattern: Vec<f32>,
}

impl<'a> Watch<'a> {
    fn new(
        subject: Subject<'a>,
        tokens: &'a [u32],
        period: Option<usize>,
        scores: &'a mut Scores,
    ) -> Self {
        Self { subject, tokens, period, scores, sample_pattern: Vec::new() }
    }

    fn run(mut self) -> Result<()> {
        let params = self.subject.params;
        let tokens = Tensor::from_slice(self.tokens, (1, self.tokens.len()), params.device())?;
        let model = self.subject.model;
        model.forward(params, &Input::new(&tokens), &mut self)?;
        Ok(())
    }

    /// `pattern`: `[1, head, query, key]`.
    fn count_pattern(&mut self, layer: usize, pattern: &Tensor) -> Result<()> {
        let len = self.tokens.len();
        let (period, scores) = (self.period, &mut self.scores[layer]);
        values(pattern, |all| {
            for (rows, head) in all.chunks_exact(len * len).zip(scores) {
                let [prefix, _, previous, duplicate] = head;
                let rows = rows.chunks_exact(len).enumerate();
                let Some(period) = period else {
                    rows.skip(1).for_each(|(i, row)| previous.add(f64::from(row[i - 1])));
                    continue;
                };
                for (i, row) in rows.skip(period) {
                    let copies = || (i % period..i).step_by(period);
                    duplicate.add(copies().map(|copy| f64::from(row[copy])).sum());
                    prefix.add(copies().map(|copy| f64::from(row[copy + 1])).sum());
                }
            }
        })?;
        if let Some(period) = period {
            let sample = pattern.narrow(2, 0, period)?.narrow(3, 0, period)?;
            self.sample_pattern = values(&sample, <[f32]>::to_vec)?;
        }
        Ok(())
    }

    /// `attended`: `[1, head, pos, dim]`, what each head gathered. Counts nothing (so the score is NaN) where
    /// the model has no output matrix of the usual name and shape.
    fn count_copying(&mut self, layer: usize, attended: &Tensor) -> Result<()> {
        let Some(period) = self.period else { return Ok(()) };
        let vocab = self.subject.model.layout().vocab;
        let sample = &self.tokens[..period];
        for head in 0..self.scores[layer].len() {
            let gathered = attended.get(0)?.get(head)?.narrow(0, 0, period)?;
            let Some(logits) = direct_logits(self.subject, Head { layer, head }, &gathered)? else {
                return Ok(());
            };
            let pattern = &self.sample_pattern[head * period * period..];
            let copying = &mut self.scores[layer][head][1];
            values(&logits, |logits| {
                for (weights, logits) in
                    pattern.chunks_exact(period).zip(logits.chunks_exact(vocab))
                {
                    copying.add(share_to_attended(sample, weights, logits));
                }
            })?;
        }
        Ok(())
    }
}

impl Tap for Watch<'_> {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::Pattern || (site.point == Point::Z && self.period.is_some())
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        match site.point {
            Point::Pattern => self.count_pattern(site.layer, &x)?,
            _ => self.count_copying(site.layer, &x)?,
        }
        Ok(x)
    }
}

/// Of what `logits` are raised above their mean for tokens of `sample`, the share weighted by attention.
fn share_to_attended(sample: &[u32], weights: &[f32], logits: &[f32]) -> f64 {
    let mean = logits.iter().map(|l| f64::from(*l)).sum::<f64>() / logits.len() as f64;
    let (mut attended, mut all) = (0.0, 0.0);
    for (&token, &weight) in sample.iter().zip(weights) {
        let raised = (f64::from(logits[token as usize]) - mean).max(0.0);
        attended += f64::from(weight) * raised;
        all += raised;
    }
    if all > 0.0 { attended / all } else { 0.0 }
}

/// Logits that a head's gathered values `[pos, dim]` give by the direct path, `[pos, vocab]`. Gain and
/// centring of the last normalisation are part of it, its division by the length of the stream is not: no share depends on it.
fn direct_logits(
    subject: Subject<'_>,
    Head { layer, head }: Head,
    gathered: &Tensor,
) -> Result<Option<Tensor>> {
    let unembed = parameter(subject, "unembed").or_else(|| parameter(subject, "embed"));
    let Some(mut unembed) = unembed else { return Ok(None) };
    if let Some(gain) = parameter(subject, "norm.weight") {
        unembed = unembed.broadcast_mul(&gain)?;
    }
    if parameter(subject, "norm.bias").is_some() {
        // LayerNorm takes the mean out of the stream; here it is taken out of what reads it.
        unembed = unembed.broadcast_sub(&unembed.mean_keepdim(1)?)?;
    }
    let width = gathered.dim(1)?;
    let inner = width * subject.model.layout().heads[layer];
    // Without an output matrix each head writes into a part of the stream of its own.
    let written = match parameter(subject, &format!("layer{layer}.wo")) {
        Some(wo) if wo.dims() == [unembed.dim(1)?, inner] => unembed.matmul(&wo)?,
        None if unembed.dim(1)? == inner => unembed,
        _ => return Ok(None),
    };
    let logits_from_head = written.narrow(1, head * width, width)?;
    Ok(Some(gathered.contiguous()?.matmul(&logits_from_head.t()?.contiguous()?)?))
}
