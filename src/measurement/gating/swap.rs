//! Counterfactual sequences that differ in one token of a tuple, and what one key or query of theirs does to the answers.

use candle_core::{D, Tensor};

use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::base::tuples::{TokenMeaning, Tuples};
use crate::measurement::Subject;
use crate::measurement::causal::effect::LEAST_CONTRAST;
use crate::measurement::causal::patch;
use crate::measurement::read::values;
use crate::model::pass;
use crate::nn::edit::{At, Edit};
use crate::nn::tap::Captured;
use crate::task::reference_back::TupleText;

/// Positions in one forward pass: few enough that its tensors stay near the processor.
pub const MOST_POSITIONS: usize = 4096;

/// Who is asked, with what is in force, and how the answers are spelled.
#[derive(Clone, Copy)]
pub struct Passes<'a> {
    pub subject: Subject<'a>,
    pub in_force: &'a [Edit],
    pub text: &'a TupleText,
    /// The tokens "same" and "different".
    pub answers: [u32; 2],
}

/// A sequence and its tuples.
#[derive(Clone)]
pub struct Told {
    pub row: Row,
    pub tuples: Tuples,
}

/// Two sequences that differ in one token of a tuple, and the positions whose keys or queries the first one takes from the
/// second.
pub struct Swap {
    /// The tuple that is changed.
    pub tuple: usize,
    pub base: Told,
    pub other: Told,
    pub at: Vec<usize>,
}

/// One of the two sequences of a swap.
type Side = fn(&Swap) -> &Told;

/// For every tuple, the logit of "same" minus that of "different", where its answer is predicted.
pub type Differences = Vec<f64>;

/// What the sequences of a swap are answered.
pub struct Swapped {
    /// The first sequence.
    pub base: Differences,
    /// The counterfactual sequence.
    pub other: Differences,
    /// The first sequence with the keys or queries of the counterfactual one.
    pub patched: Differences,
}

impl<'a> Passes<'a> {
    /// # Errors
    /// When the sequences of the task are not made of tuples.
    pub fn new(subject: Subject<'a>, in_force: &'a [Edit]) -> Result<Self> {
        let text: &TupleText = subject.source.facet().ok_or_else(no_tuples)?;
        let token = |same: bool| text.token_of(TokenMeaning::Answer(same)).ok_or_else(no_tuples);
        Ok(Self { subject, in_force, text, answers: [token(true)?, token(false)?] })
    }

    /// `base` with other tokens at some positions: labelled anew, everything else as it is, the answers that are shown too.
    /// `None` where a position is not there, nothing says such a thing, or the text is no longer read as the same tuples.
    pub fn told(&self, base: &Told, says: &[(Option<usize>, TokenMeaning)]) -> Option<Told> {
        let mut tokens = base.row.tokens.clone();
        for (at, said) in says {
            *tokens.get_mut((*at)?)? = self.text.token_of(*said)?;
        }
        let row = self.subject.source.label(&tokens, &base.row);
        let tuples = self.text.tuples(&row.tokens);
        (tuples.list.len() == base.tuples.list.len()).then_some(Told { row, tuples })
    }

    /// The tensors of some sites over a batch.
    pub fn capture(&self, batch: &Batch, sites: &[Site]) -> Result<Captured> {
        let Subject { model, params, .. } = self.subject;
        let (_, captured) = pass::forward(model, params, batch, self.in_force, sites, false)?;
        Ok(captured)
    }

    /// Runs both sequences of every swap, then the first with the tensor of `site` taken from the second at some positions,
    /// in all heads.
    ///
    /// # Errors
    /// When a pass fails, or the network has no such site.
    pub fn swapped(&self, site: Site, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        let length = swaps.first().map_or(1, |swap| swap.base.row.len().max(1));
        let rows = (MOST_POSITIONS / length).max(1);
        let mut found = Vec::with_capacity(swaps.len());
        for swaps in swaps.chunks(rows) {
            let batch = |of: Side| {
                Batch::from_rows(&swaps.iter().map(|s| of(s).row.clone()).collect::<Vec<_>>())
            };
            let tuples = |of: Side| swaps.iter().map(move |swap| &of(swap).tuples);
            let [here, there]: [Side; 2] = [|swap| &swap.base, |swap| &swap.other];
            let (logits, captured) = self.run(&batch(there), &[], &[site])?;
            let other = self.differences(&logits, tuples(there))?;
            let (logits, _) = self.run(&batch(here), &[], &[])?;
            let base = self.differences(&logits, tuples(here))?;
            let from = captured
                .get(&site)
                .ok_or_else(|| Error::usage(format!("this network has no {site}")))?;
            let at = At::PerRow(swaps.iter().map(|swap| swap.at.clone()).collect());
            let (logits, _) = self.run(&batch(here), &[patch(site, None, at, from)], &[])?;
            let patched = self.differences(&logits, tuples(here))?;
            let all = base.into_iter().zip(other).zip(patched);
            found.extend(all.map(|((base, other), patched)| Swapped { base, other, patched }));
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
        "The sequences of this task are not made of tuples of an instruction, a register and a symbol, so there are no gates to look for; those of the experiment \"gating\" are.",
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
pub fn effect(swap: &Swap, found: &Swapped, read: usize) -> Option<Effect> {
    let (base, there) = (&swap.base.tuples, &swap.other.tuples);
    let (here, other) = (base.list.get(read)?, there.list.get(read)?);
    let [before, after, patched] =
        [&found.base, &found.other, &found.patched].map(|differences| differences[read]);
    if here.same != other.same {
        let right = |difference: f64, same: bool| (difference > 0.0) == same;
        let counts = right(before, here.same)
            && right(after, other.same)
            && (after - before).abs() >= LEAST_CONTRAST;
        let share = (patched - before) / (after - before);
        return Some(Effect::Share(if counts { share } else { f64::NAN }));
    }
    let changed = here.symbol == other.symbol && base.compared(read) != there.compared(read);
    changed.then(|| Effect::Size((patched - before).abs()))
}
