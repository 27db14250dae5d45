//! Counterfactual sequences that differ in one token of a tuple, and what one key or query of theirs does to the answers.

use candle_core::{D, Tensor};

use crate::model::pass;
use crate::nn::edit::{At, Edit};
use crate::nn::tap::Captured;
use crate::probe::Subject;
use crate::probe::causal::effect::LEAST_CONTRAST;
use crate::probe::causal::patch;
use crate::probe::read::values;
use crate::record::batch::{Batch, Row};
use crate::record::error::{Error, Result};
use crate::record::intervention::Site;
use crate::record::tuples::{Said, Tuples};

/// Positions in one forward pass: few enough that its tensors stay near the processor.
pub const MOST_POSITIONS: usize = 4096;

/// Who is asked, with what is in force, and how the answers are spelled.
#[derive(Clone, Copy)]
pub struct Passes<'a> {
    pub subject: Subject<'a>,
    pub in_force: &'a [Edit],
    /// The tokens "same" and "different".
    pub answers: [u32; 2],
}

/// A sequence and its tuples.
pub struct Told {
    pub row: Row,
    pub tuples: Tuples,
}

/// A sequence in which one token of a tuple is another one, and the positions whose keys or queries are taken from it.
pub struct Swap {
    /// The tuple that is changed.
    pub tuple: usize,
    pub other: Told,
    pub at: Vec<usize>,
}

/// For every tuple, the logit of "same" minus that of "different", where its answer is predicted.
pub type Differences = Vec<f64>;

/// What the sequences of a swap are answered.
pub struct Swapped {
    /// The counterfactual sequence.
    pub other: Differences,
    /// The sequence in view with the key or query of the counterfactual one.
    pub patched: Differences,
}

impl<'a> Passes<'a> {
    /// # Errors
    /// When the sequences of the task are not made of tuples.
    pub fn new(subject: Subject<'a>, in_force: &'a [Edit]) -> Result<Self> {
        let token = |same: bool| subject.source.token_of(Said::Answer(same));
        let (Some(same), Some(different)) = (token(true), token(false)) else {
            return Err(no_tuples());
        };
        Ok(Self { subject, in_force, answers: [same, different] })
    }

    /// `base` with another token at a position: labelled anew, everything else as it is, the answers that are shown too.
    pub fn told(&self, base: &Row, at: usize, token: u32) -> Option<Told> {
        let mut tokens = base.tokens.clone();
        *tokens.get_mut(at)? = token;
        let row = self.subject.source.label(&tokens, base);
        let tuples = self.subject.source.tuples(&row)?;
        Some(Told { row, tuples })
    }

    /// The tensors of some sites over a batch.
    ///
    /// # Errors
    /// When the pass fails.
    pub fn capture(&self, batch: &Batch, sites: &[Site]) -> Result<Captured> {
        let Subject { model, params, .. } = self.subject;
        let (_, captured) = pass::forward(model, params, batch, self.in_force, sites, false)?;
        Ok(captured)
    }

    /// Runs every counterfactual sequence, then the one in view with the tensor of `site` taken from it at some positions, in
    /// all heads: two rows for each swap.
    ///
    /// # Errors
    /// When a pass fails, or the network has no such site.
    pub fn swapped(
        &self,
        base: &Row,
        tuples: &Tuples,
        site: Site,
        swaps: &[Swap],
    ) -> Result<Vec<Swapped>> {
        let rows = (MOST_POSITIONS / base.len().max(1)).max(1);
        let mut found = Vec::with_capacity(swaps.len());
        for swaps in swaps.chunks(rows) {
            let others: Vec<Row> = swaps.iter().map(|swap| swap.other.row.clone()).collect();
            let (logits, captured) = self.run(&Batch::from_rows(&others), &[], &[site])?;
            let there = swaps.iter().map(|swap| &swap.other.tuples);
            let other = self.differences(&logits, there)?;
            let from = captured
                .get(&site)
                .ok_or_else(|| Error::usage(format!("this network has no {site}")))?;
            let at = At::PerRow(swaps.iter().map(|swap| swap.at.clone()).collect());
            let base = Batch::from_rows(&vec![base.clone(); swaps.len()]);
            let (logits, _) = self.run(&base, &[patch(site, None, at, from)], &[])?;
            let patched = self.differences(&logits, swaps.iter().map(|_| tuples))?;
            let both = other.into_iter().zip(patched);
            found.extend(both.map(|(other, patched)| Swapped { other, patched }));
        }
        Ok(found)
    }

    fn run(&self, batch: &Batch, edits: &[Edit], sites: &[Site]) -> Result<(Tensor, Captured)> {
        let Subject { model, params, .. } = self.subject;
        let edits = [self.in_force, edits].concat();
        let (logits, captured) = pass::forward(model, params, batch, &edits, sites, true)?;
        let logits = logits.ok_or_else(|| Error::internal("a forward pass without logits"))?;
        Ok((logits, captured))
    }

    /// From logits `[batch, pos, vocab]`, with the tuples of each sequence.
    ///
    /// # Errors
    /// When the logits cannot be read.
    pub fn differences<'t>(
        &self,
        logits: &Tensor,
        tuples: impl Iterator<Item = &'t Tuples>,
    ) -> Result<Vec<Differences>> {
        let (length, vocab) = (logits.dim(1)?, logits.dim(D::Minus1)?);
        let [same, different] = self.answers.map(|token| token as usize);
        values(logits, |all| {
            let rows = all.chunks_exact(length * vocab).zip(tuples);
            let of_row = |(row, tuples): (&[f32], &Tuples)| {
                let at = |tuple: usize| {
                    let here = &row[tuples.list[tuple].symbol_at * vocab..][..vocab];
                    f64::from(here[same]) - f64::from(here[different])
                };
                (0..tuples.list.len()).map(at).collect()
            };
            rows.map(of_row).collect()
        })
    }
}

pub fn no_tuples() -> Error {
    Error::usage(
        "The sequences of this task are not made of tuples of an instruction, a register and a symbol, so there are no gates to look for: choose the task \"reference_back\", for example with the experiment \"gating\".",
    )
}

/// What a swap does to the answer of one tuple.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// By the rule of the task the answer changes: the share of the change that the key or query alone makes, 0 for none and
    /// 1 for all of it; NaN where the network answers one of the two sequences wrongly, or both alike.
    Share(f64),
    /// What the symbol is compared with changes, its answer does not: the size of the change of the logit difference.
    Size(f64),
}

/// The effect on the answer of `read`; `None` where by the rule of the task nothing changes for it.
pub fn effect(
    base: (&Tuples, &Differences),
    swap: &Swap,
    found: &Swapped,
    read: usize,
) -> Option<Effect> {
    let ((tuples, before), there) = (base, &swap.other.tuples);
    let (here, other) = (tuples.list.get(read)?, there.list.get(read)?);
    let [before, after, patched] =
        [before, &found.other, &found.patched].map(|differences| differences[read]);
    if here.same != other.same {
        let right = |difference: f64, same: bool| (difference > 0.0) == same;
        let counts = right(before, here.same)
            && right(after, other.same)
            && (after - before).abs() >= LEAST_CONTRAST;
        let share = (patched - before) / (after - before);
        return Some(Effect::Share(if counts { share } else { f64::NAN }));
    }
    let changed =
        here.symbol == other.symbol && tuples.compared(read) != there.compared(read);
    changed.then(|| Effect::Size((patched - before).abs()))
}
