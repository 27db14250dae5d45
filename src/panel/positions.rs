//! Which positions of a sequence a map draws: few enough to read their letters, where something is selected.

use super::Selection;

crate::choices! {
    /// Which positions are drawn.
    pub enum Window {
        Near = "48 in view",
        All = "all",
        Last = "last 64",
        Around = "around the selection",
    }
}

/// Positions that can be read at once.
pub const IN_VIEW: usize = 48;
/// Positions of the windows that were there before.
const WIDER: usize = 64;

impl Window {
    /// First and one past the last position drawn of a sequence.
    pub fn of(self, selection: &Selection, length: usize) -> (usize, usize) {
        let last = length.saturating_sub(WIDER);
        let (first, count) = match self {
            Self::All => (0, length),
            Self::Last => (last, WIDER),
            Self::Around => {
                let middle = selection.query.or(selection.key).unwrap_or(length);
                (middle.saturating_sub(WIDER / 2).min(last), WIDER)
            }
            Self::Near => (first_in_view(selection, length), IN_VIEW),
        };
        (first, (first + count).min(length))
    }
}

/// The first of the [`IN_VIEW`] positions in view: where a hand has scrolled to, else the beginning, or around the query (the
/// key) where that lies beyond it.
pub fn first_in_view(selection: &Selection, length: usize) -> usize {
    let last = length.saturating_sub(IN_VIEW);
    if let Some(first) = selection.first {
        return first.min(last);
    }
    match selection.query.or(selection.key).filter(|at| *at < length) {
        Some(at) if at >= IN_VIEW => (at - IN_VIEW / 2).min(last),
        _ => 0,
    }
}

/// Says which positions are drawn, where these are not all; with a space before it.
pub fn about((from, to): (usize, usize), length: usize) -> String {
    match (from, to) == (0, length) || from == to {
        true => String::new(),
        false => format!(" Positions {from} to {} of 0 to {}.", to - 1, length.saturating_sub(1)),
    }
}
