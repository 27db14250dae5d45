//! Two sequences that differ in a few tokens, and the prediction that differs with them: what causal tools compare.

use super::batch::Row;

/// A sequence and its counterfactual, of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    pub base: Row,
    /// The counterfactual sequence.
    pub other: Row,
    /// Position of the prediction that is looked at, in both.
    pub at: usize,
    /// The right token there in `base` and in `other`.
    pub answers: [u32; 2],
    /// Further positions by name, e.g. where what is read was stored.
    pub places: Vec<(&'static str, usize)>,
}

impl Pair {
    /// Positions whose tokens differ.
    pub fn differs(&self) -> Vec<usize> {
        let tokens = self.base.tokens.iter().zip(&self.other.tokens);
        tokens.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect()
    }

    /// The position called `name`.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
    }
}

/// A kind of counterfactual pair that a task makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairKind {
    /// As on the command line, e.g. `deny`.
    pub name: &'static str,
    /// One sentence for a person: what differs and what should follow.
    pub about: &'static str,
}
