//! Induction heads: random tokens of which a block comes twice (Olsson et al. 2022).

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::bench::{Bench, Work, mean, number};
use super::{Ground, Study};
use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::convert::{id, share};
use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::base::study::{Drawn, Headline, Known};
use crate::measurement::Answer;
use crate::measurement::causal::Progress;
use crate::measurement::read::{Tally, cross_entropy, values};
use crate::model::pass;

crate::settings! {
    /// Scores of every head on a block of random tokens that comes twice. With `block` the length of the block, and queries `q` of the
    /// second copy: `induction`, attention from q to q - block + 1, the token that followed the first time; `duplicate_token`, to
    /// q - block, the same token. `previous_token`: from every position to the one before. Means over queries and sequences,
    /// `[layer, head]`. Demonstrations often average the whole diagonal, whose first entry is no repetition: their scores are a little
    /// lower. `loss_first` and `loss_second` (nats) are of the tokens of either copy, its first left out.
    pub struct Induction = "Induction heads: random tokens of which a block comes twice. Which heads look from a token to what followed it the first time?" {
        /// Tokens of the block.
        block: usize = 50, in 2..=1024;
        /// Sequences.
        sequences: usize = 4, in 1..=256;
        /// Ids of tokens are drawn from this one on: the first ones of a vocabulary are often none of a text.
        from: usize = 1000, in 0..=524288;
        /// And up to this one, which is none. Where the network has fewer, all of its tokens are drawn.
        to: usize = 10000, in 1..=524288;
        /// What the tokens are drawn with.
        seed: usize = 0;
    }
}

const KNOWN: &[Known] = &[
    Known {
        network: "GPT-2 small",
        found: "attention to what followed: 5.5 0.932, 6.9 0.913, 7.10 0.910, 5.1 0.908, 7.2 0.833 (queries of the second copy; whether a token begins the text is not said)",
        source: "designer-coderajay/induction-head-detector, one independent report",
    },
    Known {
        network: "GPT-2 small",
        found: "the heads that are taken for induction heads: 5.0 5.1 5.5 6.9 7.2 7.10 9.6 9.9 10.1 10.7",
        source: "the list in the code of ACDC (Conmy et al. 2023)",
    },
    Known {
        network: "Pythia, 70M to 2.8B",
        found: "induction heads and the heads behind other behaviours form after similar numbers of tokens at all sizes",
        source: "Tigges et al. 2024, arXiv 2407.10827, its abstract",
    },
];

const HEADLINES: &[Headline] =
    &[Headline::number("best_induction", "highest induction score of a head {}")];

const DRAWN: &[Drawn] = &[
    Drawn::map("To what followed the first time", "attention", &[("induction", "")]),
    Drawn::map("To the token before", "attention", &[("previous_token", "")]),
    Drawn::map("To the same token", "attention", &[("duplicate_token", "")]),
];

impl Study for Induction {
    fn prompts(&self) -> &'static [&'static str] {
        &[]
    }

    fn known(&self) -> &'static [Known] {
        KNOWN
    }

    fn headlines(&self) -> &'static [Headline] {
        HEADLINES
    }

    fn drawn(&self) -> &'static [Drawn] {
        DRAWN
    }

    fn run(&self, ground: &Ground<'_>, tell: Progress<'_>) -> Result<Answer> {
        let bench = Bench::new(ground);
        let skip = usize::from(ground.begin.is_some());
        let mut answer = Answer::default();
        let sequences = match ground.prompts {
            [] => self.drawn_sequences(ground, &mut answer)?,
            given => given.iter().map(|prompt| prompt.tokens.clone()).collect(),
        };
        for (i, tokens) in sequences.iter().enumerate() {
            check_twice(i, &tokens[skip.min(tokens.len())..])?;
        }
        let mut found: Vec<Vec<Scores>> =
            bench.heads().iter().map(|n| vec![Scores::default(); *n]).collect();
        let mut losses = Losses::default();
        let mut work = Work::new(ground.pool, sequences.len(), tell);
        work.each(
            &sequences,
            |tokens| looked(&bench, tokens, skip),
            |(scores, loss)| {
                for (all, more) in found.iter_mut().flatten().zip(scores.into_iter().flatten()) {
                    all.iter_mut().zip(more).for_each(|(all, more)| all.merge(more));
                }
                losses.first.merge(loss.first);
                losses.second.merge(loss.second);
            },
        )?;
        answer.means.push(number("sequences", sequences.len() as f64));
        answer.means.push(losses.first.named("loss_first"));
        answer.means.push(losses.second.named("loss_second"));
        for (score, name) in NAMES.iter().enumerate() {
            let of = |layer: usize, head: usize| found[layer][head][score].mean();
            answer.arrays.push(bench.by_head(name, of)?);
        }
        let best = answer.arrays[0].data.iter().copied().filter(|x| x.is_finite());
        answer.means.push(mean("best_induction", &[f64::from(best.fold(0.0, f32::max))]));
        Ok(answer)
    }
}

const NAMES: [&str; 3] = ["induction", "previous_token", "duplicate_token"];

/// What is counted of a head, in the order of the names.
type Scores = [Tally; 3];

/// Of the tokens of each copy.
#[derive(Default)]
struct Losses {
    first: Tally,
    second: Tally,
}

impl Induction {
    /// Blocks of tokens that all differ, as far as there are enough of them, each twice.
    fn drawn_sequences(&self, ground: &Ground<'_>, answer: &mut Answer) -> Result<Vec<Vec<u32>>> {
        let layout = ground.subject.model.layout();
        let room = layout.length.saturating_sub(ground.begin.iter().count()) / 2;
        let (block, tokens) = (self.block.min(room), layout.vocab);
        if block < 2 {
            return Err(Error::usage(format!(
                "this network reads {} tokens, expected at least 4: a block of two that comes twice",
                layout.length
            )));
        }
        let (from, to) = if self.from < self.to && self.to <= tokens {
            (self.from, self.to)
        } else {
            (0, tokens)
        };
        if block < self.block {
            answer.notes.push(format!(
                "The block has {block} tokens: the network reads {} in all.",
                layout.length
            ));
        }
        answer.notes.push(format!("Tokens are drawn from the ids {from} to {}.", to - 1));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed as u64);
        let sequence = |_| {
            let block = different(from..to, block, &mut rng);
            ground.begin.into_iter().chain(block.clone()).chain(block).collect()
        };
        Ok((0..self.sequences).map(sequence).collect())
    }
}

/// So many ids, no one twice before all have come.
fn different(of: std::ops::Range<usize>, count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut all: Vec<u32> = of.map(id).collect();
    let most = all.len();
    let draw = |i: usize| {
        let at = i % most;
        all.swap(at, at + share(rng.next_u64(), most - at));
        all[at]
    };
    (0..count).map(draw).collect()
}

fn check_twice(number: usize, tokens: &[u32]) -> Result<()> {
    let (first, second) = tokens.split_at(tokens.len() / 2);
    if first == second && first.len() >= 2 {
        return Ok(());
    }
    Err(Error::input(format!(
        "prompt {} is no block of tokens that comes twice, expected one such as {{\"prompt\": [5, 9, 17, 5, 9, 17]}}; without --prompts blocks are drawn at random",
        number + 1
    )))
}

/// Scores of all heads on one sequence, whose block begins behind `skip` tokens.
fn looked(bench: &Bench<'_>, tokens: &[u32], skip: usize) -> Result<(Vec<Vec<Scores>>, Losses)> {
    let row =
        Row { tokens: tokens.to_vec(), targets: vec![NO_TARGET; tokens.len()], ..Row::default() };
    let batch = Batch::from_rows(&[row]);
    let sites: Vec<_> = bench.everywhere(Point::Pattern).collect();
    let (model, params) = (bench.subject.model, bench.subject.params);
    let (logits, captured) = pass::forward(model, params, &batch, &[], &sites, true)?;
    let (length, block) = (tokens.len(), (tokens.len() - skip) / 2);
    let mut scores: Vec<Vec<Scores>> =
        bench.heads().iter().map(|n| vec![Scores::default(); *n]).collect();
    for site in sites {
        let Some(pattern) = captured.get(&site) else { continue };
        values(pattern, |all| {
            let heads = all.chunks_exact(length * length).zip(&mut scores[site.layer]);
            for (pattern, scores) in heads {
                let to = |query: usize, key: usize| f64::from(pattern[query * length + key]);
                for query in skip + block..length {
                    scores[0].add(to(query, query + 1 - block));
                    scores[2].add(to(query, query - block));
                }
                (skip + 1..length).for_each(|query| scores[1].add(to(query, query - 1)));
            }
        })?;
    }
    let logits = logits.ok_or_else(|| Error::internal("a pass left no logits"))?;
    let vocab = logits.dim(candle_core::D::Minus1)?;
    let mut losses = Losses::default();
    values(&logits, |all| {
        for (at, row) in all.chunks_exact(vocab).enumerate().take(length - 1).skip(skip) {
            let loss = cross_entropy(row, tokens[at + 1] as usize);
            match at + 1 - skip {
                next if next < block => losses.first.add(loss),
                next if next > block => losses.second.add(loss),
                _ => (),
            }
        }
    })?;
    Ok((scores, losses))
}
