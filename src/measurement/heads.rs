//! What every head of any attention model looks like: four scores of the induction-head literature.

use std::collections::BTreeSet;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::read::{Tally, cross_entropy, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::model::readout::Readout;
use crate::model::{Input, Output};
use crate::nn::norm::NormKind;
use crate::nn::tap::EditAndCapture;
use crate::task::has_occurrences;

/// Seed of the sequences: the same for every run and step, so that only the weights move a score.
pub const SEED: u64 = 0x0015_ED0F_4EAD;

crate::settings! {
    /// Scores of every head, each in 0..=1, on two kinds of text: sequences of the measurement's own, random tokens, all different,
    /// repeated (Olsson et al. 2022, "Data Collection"), and the first 256 positions of sequences of the task. Where the
    /// source is ambiguous:
    ///
    /// - `prefix_matching`: attention from a token of the second and later repeats to the tokens that
    ///   *followed* its earlier copies, summed over the copies (an ideal head has 1), mean over queries.
    /// - `duplicate_token`: the same queries, attention to the earlier copies themselves.
    /// - `copying`: the head's own output within the first repeat, mapped by the unembedding, minus its mean
    ///   over the vocabulary, negative parts dropped; the share that goes to attended tokens (weighted by
    ///   attention) of what goes to all tokens of the sample; mean over positions. Not rescaled to -1..1.
    /// - `previous_token`: attention to the position before, mean over sequences of the task, position 0 excepted.
    /// - `previous_token_random`: the same over the repeated sequences.
    /// - `prefix_matching_task`, `duplicate_token_task`: as above over sequences of the task. Queries are the positions whose answer
    ///   was seen before (occurrence 2 or more) and whose token stood before; where the task marks no such positions, all whose token
    ///   stood before.
    /// - `copying_task`: the head's output at these queries; the sample is the whole sequence.
    ///
    /// Numbers: `prefix_matching_l1h0` and so on for every score, layer and head. Arrays: one per score,
    /// `[layer, head]`, NaN where a layer has fewer heads or there is no such query.
    pub struct Heads = "Scores of every head, on random tokens and on sequences of the task: prefix matching, copying, previous token, duplicate token." {
        /// Sequences of each kind that a score averages over.
        examples: usize = 10, in 1..=100;
        /// Different tokens in a repeated sequence; less where vocabulary or context are smaller.
        tokens: usize = 25, in 2..=512;
        /// How often they are repeated.
        repeats: usize = 4, in 2..=16;
    }
}

/// Positions of ordinary sequences that are looked at: more would cost much and move the scores little.
const ORDINARY_POSITIONS: usize = 256;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Random,
    Task,
}

const KINDS: usize = 2;

/// What is counted of a head.
#[derive(Clone, Copy)]
enum Count {
    PrefixMatching,
    Copying,
    PreviousToken,
    DuplicateToken,
}

const COUNTS: usize = 4;

/// The scores by name, in the order of their columns: those that were recorded first stand first.
const SCORES: [(&str, Kind, Count); KINDS * COUNTS] = [
    ("prefix_matching", Kind::Random, Count::PrefixMatching),
    ("copying", Kind::Random, Count::Copying),
    ("previous_token", Kind::Task, Count::PreviousToken),
    ("duplicate_token", Kind::Random, Count::DuplicateToken),
    ("prefix_matching_task", Kind::Task, Count::PrefixMatching),
    ("copying_task", Kind::Task, Count::Copying),
    ("duplicate_token_task", Kind::Task, Count::DuplicateToken),
    ("previous_token_random", Kind::Random, Count::PreviousToken),
];

impl Measurement for Heads {
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

    /// None where the matrices themselves are read: there the measurement `induction` follows the two heads.
    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        if subject.model.memories().is_some() {
            return Vec::new();
        }
        let heads = heads(subject);
        SCORES.iter().flat_map(|(score, ..)| heads.iter().map(|&h| number(score, h))).collect()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let counted = self.count(scene.subject, On::Both, &mut |_, _, _| true)?;
        counted.answer(scene.subject)
    }
}

/// Which sequences are looked at, and whether the losses on repeated ones are counted too: that takes all logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Random tokens and sequences of the task.
    Both,
    BothWithLosses,
    RandomWithLosses,
}

impl On {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Both | Self::BothWithLosses => &[Kind::Random, Kind::Task],
            Self::RandomWithLosses => &[Kind::Random],
        }
    }

    fn with_losses(self) -> bool {
        self != Self::Both
    }
}

/// Losses on repeated random tokens: the first time, when nothing tells the next one, and from then on, when it stood before.
pub const LOSSES: [&str; 2] = ["loss_repeats_first", "loss_repeats_again"];

/// What has been counted so far.
pub struct Counts {
    on: On,
    scores: Scores,
    /// As [`LOSSES`].
    losses: [Tally; 2],
}

impl Counts {
    fn new(subject: Subject<'_>, on: On) -> Self {
        let layers = subject.model.layout().heads.iter();
        let scores = layers.map(|&n| vec![Default::default(); n]).collect();
        Self { on, scores, losses: Default::default() }
    }

    /// Losses first, where they are counted; then numbers and arrays of each score.
    ///
    /// # Errors
    /// Only by a fault of the program.
    pub fn answer(&self, subject: Subject<'_>) -> Result<Answer> {
        let heads = heads(subject);
        let mut answer = Answer::default();
        if self.on.with_losses() {
            let losses = LOSSES.iter().zip(&self.losses);
            answer.means.extend(losses.map(|(name, tally)| tally.named(*name)));
        }
        for (name, kind, count) in SCORES {
            if !self.on.kinds().contains(&kind) {
                continue;
            }
            let tally = |scores: &Tallies| scores[kind as usize][count as usize];
            let of = |h: Head| tally(&self.scores[h.layer][h.head]);
            answer.means.extend(heads.iter().map(|&h| of(h).named(number(name, h))));
            answer.arrays.push(grid(name, &self.scores, tally)?);
        }
        Ok(answer)
    }
}

/// Losses and scores on rows of tokens, each read `repeats` times in one sequence. Copying means something where all tokens of a row
/// differ.
///
/// # Errors
/// When a forward pass fails.
pub fn on_rows(subject: Subject<'_>, rows: &[Vec<u32>], repeats: usize) -> Result<Counts> {
    let unembedding = Unembedding::of(subject)?;
    let mut counts = Counts::new(subject, On::RandomWithLosses);
    for row in rows {
        let text = Text::repeated(row, repeats);
        Watch::new(subject, unembedding.as_ref(), text, &mut counts)?.run()?;
    }
    Ok(counts)
}

/// Hears how many sequences are done, of how many, and what is counted so far; false ends it.
pub type OnSequence<'a> = &'a mut dyn FnMut(usize, usize, &Counts) -> bool;

/// What is counted of a head, by kind of text and score.
type Tallies = [[Tally; COUNTS]; KINDS];

/// By layer and head.
type Scores = Vec<Vec<Tallies>>;

impl Heads {
    /// Tokens before they repeat.
    fn period(&self, subject: Subject<'_>) -> usize {
        let layout = subject.model.layout();
        self.tokens.min(layout.length / self.repeats).min(layout.vocab)
    }

    /// One forward pass per sequence: attention of many heads is large, and only its counts are kept.
    ///
    /// # Errors
    /// When a forward pass fails.
    pub fn count(&self, subject: Subject<'_>, on: On, tell: OnSequence<'_>) -> Result<Counts> {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut counts = Counts::new(subject, on);
        let unembedding = Unembedding::of(subject)?;
        let kinds = on.kinds();
        let total = self.examples * kinds.len();
        for done in 0..total {
            let (example, kind) = (done / kinds.len(), kinds[done % kinds.len()]);
            let text = self.text(subject, kind, example, &mut rng);
            Watch::new(subject, unembedding.as_ref(), text, &mut counts)?.run()?;
            if done + 1 < total && !tell(done + 1, total, &counts) {
                break;
            }
        }
        Ok(counts)
    }

    /// The next sequence of a kind.
    fn text(&self, subject: Subject<'_>, kind: Kind, example: usize, rng: &mut ChaCha8Rng) -> Text {
        let layout = subject.model.layout();
        match kind {
            Kind::Random => {
                let tokens = different_tokens(rng, layout.vocab, self.period(subject));
                Text::repeated(&tokens, self.repeats)
            }
            Kind::Task => {
                let marked = has_occurrences(subject.source);
                let ordinary = subject.source.sequence(SEED, example as u64);
                Text::of_task(&ordinary, ORDINARY_POSITIONS.min(layout.length), marked)
            }
        }
    }
}

/// `count` different tokens in random order.
fn different_tokens(rng: &mut ChaCha8Rng, vocab: usize, count: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (0..convert::id(vocab)).collect();
    for i in 0..count {
        let j = i + convert::size(rng.next_u64() % (vocab - i) as u64);
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
fn grid(name: &str, scores: &Scores, tally: impl Fn(&Tallies) -> Tally) -> Result<Array> {
    let widest = scores.iter().map(Vec::len).max().unwrap_or(0);
    let value = |layer: &[Tallies], head: usize| {
        let found = layer.get(head).map(&tally);
        found.map_or(f32::NAN, |Tally { sum, count }| convert::narrow(sum / count))
    };
    let data: Vec<f32> =
        scores.iter().flat_map(|layer| (0..widest).map(|head| value(layer, head))).collect();
    Array::new(name, &["layer", "head"], &[scores.len(), widest], data)
}

/// A sequence and where heads are scored in it.
struct Text {
    kind: Kind,
    tokens: Vec<u32>,
    /// Positions whose token stood before, each with these earlier ones.
    copies: Vec<(usize, Vec<usize>)>,
    /// Positions where copying is looked at.
    copying: Vec<usize>,
    /// How many tokens, from the first, may be copied there.
    sample: usize,
    /// The different ones of these.
    distinct: Vec<u32>,
    /// Of each of these, which of the different ones it is.
    which: Vec<usize>,
}

impl Text {
    /// Different tokens, repeated.
    fn repeated(tokens: &[u32], repeats: usize) -> Self {
        let period = tokens.len();
        let copies = |i: usize| (i % period..i).step_by(period).collect();
        Self {
            kind: Kind::Random,
            tokens: tokens.repeat(repeats),
            copies: (period..period * repeats).map(|i| (i, copies(i))).collect(),
            copying: (0..period).collect(),
            sample: period,
            distinct: tokens.to_vec(),
            which: (0..period).collect(),
        }
    }

    /// The beginning of a sequence of the task; `marked`: the task says where the answer was seen before.
    fn of_task(row: &Row, most: usize, marked: bool) -> Self {
        let tokens = &row.tokens[..row.len().min(most)];
        let copies = |i: usize| (0..i).filter(|&j| tokens[j] == tokens[i]).collect();
        let copies: Vec<(usize, Vec<usize>)> = (0..tokens.len())
            .filter(|&i| !marked || row.occurrence[i] >= 2)
            .map(|i| (i, copies(i)))
            .filter(|(_, copies): &(usize, Vec<usize>)| !copies.is_empty())
            .collect();
        let distinct: Vec<u32> =
            tokens.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect();
        Self {
            kind: Kind::Task,
            copying: copies.iter().map(|(query, _)| *query).collect(),
            copies,
            sample: tokens.len(),
            which: tokens.iter().map(|token| distinct.partition_point(|d| d < token)).collect(),
            distinct,
            tokens: tokens.to_vec(),
        }
    }
}

/// Counts what the heads do while one sequence passes.
struct Watch<'a> {
    subject: Subject<'a>,
    text: Text,
    /// What reads the tokens of the sample, and last the mean over all tokens, `[token + 1, width]`; `None` where the network does not
    /// say how its stream is read.
    rows: Option<Tensor>,
    counts: &'a mut Counts,
    /// Attention of the layer that is passing where copying is looked at, `[head, query, sample]`.
    attention: Vec<f32>,
}

impl<'a> Watch<'a> {
    fn new(
        subject: Subject<'a>,
        unembedding: Option<&Unembedding>,
        text: Text,
        counts: &'a mut Counts,
    ) -> Result<Self> {
        let rows = unembedding.map(|unembedding| unembedding.rows(&text.distinct)).transpose()?;
        Ok(Self { subject, text, rows, counts, attention: Vec::new() })
    }

    fn run(mut self) -> Result<()> {
        let Subject { params, model, .. } = self.subject;
        let tokens = &self.text.tokens;
        let tokens = Tensor::from_slice(tokens, (1, tokens.len()), params.device())?;
        let layers = 0..model.layout().heads.len();
        let of = |point| layers.clone().map(move |layer| Site { layer, point });
        let mut bench =
            EditAndCapture::new(Vec::new(), of(Point::Pattern).chain(of(Point::Z)).collect());
        let Output { logits, .. } = model.forward(params, &Input::new(&tokens), &mut bench)?;
        if self.counts.on.with_losses() && self.text.kind == Kind::Random {
            self.count_losses(&logits)?;
        }
        for layer in layers.clone() {
            let there = |point| bench.captured.get(&Site { layer, point });
            let (Some(pattern), Some(z)) = (there(Point::Pattern), there(Point::Z)) else {
                continue;
            };
            self.count_pattern(layer, pattern)?;
            self.count_copying(layer, z)?;
        }
        Ok(())
    }

    /// `logits`: `[1, pos, vocab]`. The last token of a row at its first reading tells nothing of what comes next, and is left out.
    fn count_losses(&mut self, logits: &Tensor) -> Result<()> {
        let Self { text, counts, .. } = self;
        let vocab = logits.dim(candle_core::D::Minus1)?;
        values(logits, |all| {
            for (i, logits) in all.chunks_exact(vocab).take(text.tokens.len() - 1).enumerate() {
                let loss = cross_entropy(logits, text.tokens[i + 1] as usize);
                match i + 1 {
                    next if next < text.sample => counts.losses[0].add(loss),
                    next if next > text.sample => counts.losses[1].add(loss),
                    _ => {}
                }
            }
        })
    }

    /// `pattern`: `[1, head, query, key]`.
    fn count_pattern(&mut self, layer: usize, pattern: &Tensor) -> Result<()> {
        let Self { text, counts: Counts { scores, .. }, attention, .. } = self;
        let len = text.tokens.len();
        attention.clear();
        values(pattern, |all| {
            for (rows, head) in all.chunks_exact(len * len).zip(&mut scores[layer]) {
                let tallies = &mut head[text.kind as usize];
                let row = |query: usize| &rows[query * len..(query + 1) * len];
                let weight = |query: usize, key: usize| f64::from(row(query)[key]);
                for i in 1..len {
                    tallies[Count::PreviousToken as usize].add(weight(i, i - 1));
                }
                for &(query, ref copies) in &text.copies {
                    let to = |offset: usize| -> f64 {
                        copies.iter().map(|copy| weight(query, copy + offset)).sum()
                    };
                    tallies[Count::DuplicateToken as usize].add(to(0));
                    tallies[Count::PrefixMatching as usize].add(to(1));
                }
                for &query in &text.copying {
                    attention.extend_from_slice(&row(query)[..text.sample]);
                }
            }
        })
    }

    /// `attended`: `[1, head, pos, dim]`, what each head gathered. Counts nothing (so the score is NaN) where
    /// the network does not say what its heads write.
    fn count_copying(&mut self, layer: usize, attended: &Tensor) -> Result<()> {
        let Self { subject, text, rows, counts: Counts { scores, .. }, attention } = self;
        let writes = subject.model.writes(subject.params, layer)?;
        let (Some(rows), Some(writes), false) = (rows, writes, text.copying.is_empty()) else {
            return Ok(());
        };
        let at: Vec<u32> = text.copying.iter().filter_map(|&i| u32::try_from(i).ok()).collect();
        let at = Tensor::from_slice(&at, at.len(), attended.device())?;
        let by_head = attention.chunks_exact(text.copying.len() * text.sample);
        for (head, (attention, tallies)) in by_head.zip(&mut scores[layer]).enumerate() {
            let gathered = attended.get(0)?.get(head)?.index_select(&at, 0)?;
            let from_head = rows.matmul(&writes.matrix.get(head)?.t()?.contiguous()?)?;
            let logits = gathered.contiguous()?.matmul(&from_head.t()?.contiguous()?)?;
            let copying = &mut tallies[text.kind as usize][Count::Copying as usize];
            values(&logits, |logits| {
                let logits = logits.chunks_exact(text.distinct.len() + 1);
                for (weights, logits) in attention.chunks_exact(text.sample).zip(logits) {
                    copying.add(share_to_attended(text, weights, logits));
                }
            })?;
        }
        Ok(())
    }
}

/// Of what `logits` are raised above their mean, which is the last of them, for tokens of the sample, the share weighted by attention.
fn share_to_attended(text: &Text, weights: &[f32], logits: &[f32]) -> f64 {
    let Some((mean, logits)) = logits.split_last() else { return 0.0 };
    let raised = |i: usize| (f64::from(logits[i]) - f64::from(*mean)).max(0.0);
    let weighted = text.which.iter().zip(weights);
    let attended: f64 = weighted.map(|(&token, &weight)| f64::from(weight) * raised(token)).sum();
    let all: f64 = (0..logits.len()).map(raised).sum();
    if all > 0.0 { attended / all } else { 0.0 }
}

/// How the stream is read into logits by the direct path from a head. Gain and centring of the last normalisation are part of it, its
/// division by the length of the stream is not: no share depends on it.
struct Unembedding {
    readout: Readout,
    /// Mean over all tokens of what reads them, `[1, width]`.
    mean: Tensor,
    is_centred: bool,
}

impl Unembedding {
    /// `None` where the network does not say how its stream is read.
    fn of(Subject { model, params, .. }: Subject<'_>) -> Result<Option<Self>> {
        let Some(readout) = model.readout(params)? else { return Ok(None) };
        Ok(Some(Self {
            mean: readout.mean()?,
            is_centred: readout.norm == NormKind::Layer,
            readout,
        }))
    }

    /// What reads these tokens, and last their mean over all, `[token + 1, width]`.
    fn rows(&self, tokens: &[u32]) -> Result<Tensor> {
        let mut rows = Tensor::cat(&[&self.readout.rows(tokens)?, &self.mean], 0)?;
        if let Some(gain) = &self.readout.norm_weight {
            rows = rows.broadcast_mul(gain)?;
        }
        if self.is_centred {
            // LayerNorm takes the mean out of the stream; here it is taken out of what reads it.
            rows = rows.broadcast_sub(&rows.mean_keepdim(1)?)?;
        }
        Ok(rows)
    }
}
