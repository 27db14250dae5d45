//! To say something else in the selected tuple of the sequence in view.

use super::Lab;
use crate::base::tuples::{TokenMeaning, Tuple, Tuples};
use crate::task::reference_back::TupleText;

/// What of a tuple is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TupleEdit {
    /// Store instead of Ignore, or the reverse.
    Instruction,
    /// The next register of the sequence.
    Register,
    /// The next symbol of the sequence.
    Symbol,
}

fn text(lab: &Lab) -> Option<&TupleText> {
    lab.run()?.info.source.facet()
}

/// The tuple that the selected query is in, or the last one.
fn selected(lab: &Lab) -> Option<(Tuples, usize)> {
    let tuples = text(lab)?.tuples(&lab.prompt.tokens);
    let last = tuples.list.len().checked_sub(1)?;
    let at = lab.selection.query.map_or(last, |query| tuples.at(query).unwrap_or(0));
    Some((tuples, at))
}

/// The sequence in view with one thing in the selected tuple said otherwise; `None` where it cannot be.
pub(super) fn edited(lab: &Lab, edit: TupleEdit) -> Option<Vec<u32>> {
    let text = text(lab)?;
    let (tuples, at) = selected(lab)?;
    let (position, token) = said(text, &tuples, at, edit)?;
    let mut tokens = lab.prompt.tokens.clone();
    *tokens.get_mut(position)? = token;
    let now = text.tuples(&tokens);
    // An answer that was right stays right; a wrong one, or a mask, stays what it is.
    for (before, after) in tuples.list.iter().zip(&now.list) {
        let answer = |tuple: &Tuple| text.token_of(TokenMeaning::Answer(tuple.same));
        let shown = before.answer_at.and_then(|position| tokens.get_mut(position));
        if let (Some(shown), Some(right)) = (shown, answer(after))
            && answer(before) == Some(*shown)
        {
            *shown = right;
        }
    }
    Some(tokens)
}

/// The position that changes, and its new token.
fn said(text: &TupleText, tuples: &Tuples, at: usize, edit: TupleEdit) -> Option<(usize, u32)> {
    let tuple = tuples.list.get(at)?;
    let of = |each: fn(&Tuple) -> usize| tuples.list.iter().map(each).collect::<Vec<usize>>();
    let (position, said) = match edit {
        TupleEdit::Instruction => (tuple.instruction_at?, TokenMeaning::Instruction(!tuple.store?)),
        TupleEdit::Register => {
            let next = next(of(|tuple| tuple.register), tuple.register);
            (tuple.register_at, TokenMeaning::Register(next))
        }
        TupleEdit::Symbol => {
            (tuple.symbol_at, TokenMeaning::Symbol(next(of(|tuple| tuple.symbol), tuple.symbol)))
        }
    };
    let is_known = |said: &TokenMeaning| text.token_of(*said).is_some();
    let first = match edit {
        TupleEdit::Register => TokenMeaning::Register(0),
        TupleEdit::Instruction | TupleEdit::Symbol => TokenMeaning::Symbol(0),
    };
    let said = if is_known(&said) { said } else { first };
    Some((position, text.token_of(said)?))
}

/// The next number of a list after one of them, from its end to its beginning; if there is no other, the next of all.
fn next(mut all: Vec<usize>, now: usize) -> usize {
    all.sort_unstable();
    let above = all.iter().find(|number| **number > now);
    above.or(all.first().filter(|first| **first != now)).copied().unwrap_or(now + 1)
}

/// Whether something of the selected tuple can be said otherwise; none where there is no tuple.
pub fn possible(lab: &Lab) -> Option<(usize, impl Fn(TupleEdit) -> bool)> {
    let text = text(lab)?;
    let (tuples, at) = selected(lab)?;
    Some((at, move |edit| said(text, &tuples, at, edit).is_some()))
}
