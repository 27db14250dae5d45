//! What a study says of itself beside its numbers: what the literature found, and which of its arrays are shown how.

/// What somebody found with this very experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The network that it was found in.
    pub network: &'static str,
    /// A sentence with the numbers.
    pub found: &'static str,
    /// Where it stands.
    pub source: &'static str,
}

/// A number of a study that says by itself what was found, for the caption of its figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headline {
    /// As the answer has it.
    pub number: &'static str,
    /// Part of a sentence, with `{}` where the number stands.
    pub words: &'static str,
    /// Whether it is a share of the prompts, which is said in per cent.
    pub is_share: bool,
}

impl Headline {
    pub const fn number(number: &'static str, words: &'static str) -> Self {
        Self { number, words, is_share: false }
    }

    pub const fn share(number: &'static str, words: &'static str) -> Self {
        Self { number, words, is_share: true }
    }
}

/// One plot of a study, and one part of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub title: &'static str,
    /// What a number is, with its unit.
    pub quantity: &'static str,
    /// Names of the arrays, each with what a legend calls it. A map has one.
    pub arrays: &'static [(&'static str, &'static str)],
    /// Which of a map's cells are named first.
    pub first: First,
}

/// Which cells of a map matter most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The largest in size, whatever their sign.
    Largest,
    /// Those the furthest below zero.
    Lowest,
    /// Those the furthest above it.
    Highest,
}

impl Drawn {
    pub const fn map(
        title: &'static str,
        quantity: &'static str,
        array: &'static [(&'static str, &'static str); 1],
    ) -> Self {
        Self { title, quantity, arrays: array, first: First::Largest }
    }

    pub const fn lines(
        title: &'static str,
        quantity: &'static str,
        arrays: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { title, quantity, arrays, first: First::Largest }
    }

    /// The same, with other cells named first.
    #[must_use]
    pub const fn naming(self, first: First) -> Self {
        Self { first, ..self }
    }
}

/// Places of a prompt with a subject, from its beginning on.
pub const PLACES: [&str; 6] =
    ["subject, first", "subject, between", "subject, last", "behind it", "further on", "last"];
