//! Two sequences that differ in a few tokens, and the prediction that differs with them: what causal tools compare.

use crate::base::batch::Row;

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

crate::choices! {
    /// How an effect is counted, for one pair.
    pub enum Metric {
        /// (Δ patched − Δ base) / (Δ counterfactual − Δ base), with Δ the logit of the base sequence's answer minus
        /// that of the other one's: 0 is no effect, 1 the whole effect.
        Normalised = "normalised",
        /// Δ patched − Δ base.
        LogitDifference = "logit_difference",
        /// Whether of the two answers the other sequence's comes to have the larger logit.
        Flip = "flip",
        /// KL(base ‖ patched) of the prediction, in nats.
        Kl = "kl",
        /// (log V − loss patched) / (log V − loss base) of the right answer of the base sequence: 1 is all of the loss
        /// recovered, 0 that of guessing among V tokens.
        RecoveredLoss = "recovered_loss",
    }
}
