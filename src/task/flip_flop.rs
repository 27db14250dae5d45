//! A bit that is written, read and to be kept while other bits come by: the language in which long gaps show glitches.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::Result;
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{chance, stream};
use super::{Source, Task, is_held_out, unlabelled};

crate::settings! {
    /// Settings of flip-flop language modelling, FFL(T, p) of Liu et al. 2023 (arXiv 2306.00946).
    pub struct FlipFlop = "Instructions to write a bit, ignore one or read: what is read is the bit that was written last, however many were ignored since." {
        /// Instructions in a sequence; the first writes, the last reads.
        instructions: usize = 64, in 2..=1024;
        /// Probability of ignore among those between; the others write or read, each as likely.
        ignore: f64 = 0.8, in 0.0..=1.0;
        /// Train on sequences with 0.1, 0.9 and 0.98 for task.ignore in turn, so that short and long gaps are trained. Held-out sequences keep task.ignore.
        mixed: bool = false;
        /// One token for an instruction and its bit (w0, w1, r, i0, i1), where the bit is predicted at r. Else two, and the bit after r is shown once it has been predicted.
        merged: bool = true;
        /// Instructions of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=1024;
    }
}

impl Task for FlipFlop {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(self.source()))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("instructions")
    }
}

impl FlipFlop {
    fn source(&self) -> FlipFlopSource {
        let words = if self.merged { &MERGED[..] } else { &APART };
        let vocab = Vocab::of_words(words.iter().map(|word| (*word).to_owned()).collect());
        FlipFlopSource { settings: self.clone(), vocab }
    }

    /// Positions of an instruction.
    fn width(&self) -> usize {
        if self.merged { 1 } else { 2 }
    }
}

/// Tokens by id; the bits come last, the one after the other.
const MERGED: [&str; 7] = ["w0", "w1", "r", "i0", "i1", "0", "1"];
/// As published.
const APART: [&str; 5] = ["w", "r", "i", "0", "1"];

/// Probabilities of ignore that mixed training has in turn: the published remedy against glitches.
const MIXED: [f64; 3] = [0.1, 0.9, 0.98];

/// What is asked about a network that was trained on something between: gaps that are short, and that are long.
const VARIANTS: [(&str, f64); 2] = [("dense", 0.1), ("sparse", 0.98)];

/// What an instruction does with its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write,
    Read,
    Ignore,
}

impl Act {
    /// Its bit of [`Row::roles`].
    fn role(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Ignore => 4,
        }
    }
}

/// In the order of the bits.
const ROLES: [&str; 3] = ["read", "write", "ignore"];

/// An instruction in a text.
#[derive(Clone, Copy, Debug)]
struct Step {
    act: Act,
    /// Where it stands, and where its bit does; a bit may be missing.
    at: usize,
    bit: Option<(usize, bool)>,
}

const LABELS: [LabelKind; 1] = [LabelKind {
    name: "stored",
    about: "At every position: the bit that was written last.",
    many: false,
}];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "bit",
    about: "The last bit that is written before the last read is the other one, and so is what is read; bits of reads between that are shown change with it.",
}];

struct FlipFlopSource {
    settings: FlipFlop,
    vocab: Vocab,
}

impl Source for FlipFlopSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    /// The two bits.
    fn possible_answers(&self) -> usize {
        2
    }

    fn length(&self) -> usize {
        self.settings.width() * self.settings.instructions
    }

    fn longest(&self) -> usize {
        self.settings.width() * self.settings.longest.max(self.settings.instructions)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("flip flop", seed, index);
        self.labelled(self.spelled(&self.draw(self.ignored(seed, index), &mut rng)))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn variant(&self, name: &str) -> Option<Arc<dyn Source>> {
        let (_, ignore) = VARIANTS.into_iter().find(|(variant, _)| *variant == name)?;
        let settings = FlipFlop { ignore, mixed: false, ..self.settings.clone() };
        Some(Arc::new(settings.source()))
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("read")
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("flip flop bit", seed, index);
        let base = self.draw(self.settings.ignore, &mut rng);
        let write = base.iter().rposition(|(act, _)| *act == Act::Write)?;
        let read = base.iter().rposition(|(act, _)| *act == Act::Read)?;
        let mut other = base.clone();
        for (_, bit) in other[write..].iter_mut().filter(|(act, _)| *act != Act::Ignore) {
            *bit = !*bit;
        }
        let [base, other] = [&base, &other].map(|steps| self.labelled(self.spelled(steps)));
        let width = self.settings.width();
        let at = width * read;
        let answers = [base.targets[at], other.targets[at]];
        let places = vec![("write", width * write + width - 1), ("read", at)];
        Some(Pair { base, other, at, answers, places })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        2
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        let writes = self.steps(&row.tokens).filter(|step| step.act == Act::Write);
        let written: Vec<(usize, bool)> = writes.filter_map(|step| step.bit).collect();
        let stored = |position: usize| {
            let last = written.partition_point(|(at, _)| *at <= position).checked_sub(1)?;
            Some(vec![usize::from(written[last].1)])
        };
        (0..row.len()).map(stored).collect()
    }
}

impl FlipFlopSource {
    /// The probability of ignore in a sequence.
    fn ignored(&self, seed: u64, index: u64) -> f64 {
        if !self.settings.mixed || is_held_out(seed) {
            return self.settings.ignore;
        }
        MIXED[convert::size(index % MIXED.len() as u64)]
    }

    /// Draws instructions and their bits; that of a read is the one that was written last.
    fn draw(&self, ignore: f64, rng: &mut ChaCha8Rng) -> Vec<(Act, bool)> {
        let last = self.settings.instructions - 1;
        let mut stored = false;
        let step = |number| {
            let act = match number {
                0 => Act::Write,
                number if number == last => Act::Read,
                _ if chance(ignore, rng) => Act::Ignore,
                _ if chance(0.5, rng) => Act::Write,
                _ => Act::Read,
            };
            let bit = if act == Act::Read { stored } else { chance(0.5, rng) };
            if act == Act::Write {
                stored = bit;
            }
            (act, bit)
        };
        (0..=last).map(step).collect()
    }

    fn spelled(&self, steps: &[(Act, bool)]) -> Vec<u32> {
        let apart = !self.settings.merged;
        let spell = |(act, bit): &(Act, bool)| {
            let bit = u32::from(*bit);
            let word = match act {
                Act::Write if apart => 0,
                Act::Read if apart => 1,
                Act::Ignore if apart => 2,
                Act::Write => bit,
                Act::Read => 2,
                Act::Ignore => 3 + bit,
            };
            [word].into_iter().chain(apart.then_some(3 + bit))
        };
        steps.iter().flat_map(spell).collect()
    }

    /// The token of a bit that is read.
    fn answer(&self, bit: bool) -> u32 {
        let zero = if self.settings.merged { 5 } else { 3 };
        zero + u32::from(bit)
    }

    /// What a token instructs, with its bit where they are one.
    fn act(&self, token: u32) -> Option<(Act, Option<bool>)> {
        match (self.settings.merged, token) {
            (true, 0 | 1) => Some((Act::Write, Some(token == 1))),
            (true, 3 | 4) => Some((Act::Ignore, Some(token == 4))),
            (true, 2) | (false, 1) => Some((Act::Read, None)),
            (false, 0) => Some((Act::Write, None)),
            (false, 2) => Some((Act::Ignore, None)),
            _ => None,
        }
    }

    /// The instructions of a text, in order; what is none is passed over.
    fn steps<'a>(&'a self, tokens: &'a [u32]) -> impl Iterator<Item = Step> + 'a {
        let bit_at = |at: usize| {
            let token = tokens.get(at).filter(|_| !self.settings.merged)?;
            let bit = [false, true].into_iter().find(|bit| self.answer(*bit) == *token)?;
            Some((at, bit))
        };
        tokens.iter().enumerate().filter_map(move |(at, token)| {
            let (act, own) = self.act(*token)?;
            let bit = own.map(|bit| (at, bit)).or_else(|| bit_at(at + 1));
            Some(Step { act, at, bit })
        })
    }

    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let mut row = unlabelled(tokens);
        let mut stored = None;
        for step in self.steps(&row.tokens) {
            let places = [Some(step.at), step.bit.map(|(at, _)| at)];
            for place in places.into_iter().flatten() {
                row.roles[place] = step.act.role();
            }
            match (step.act, stored) {
                (Act::Write, _) => stored = step.bit.map(|(_, bit)| bit).or(stored),
                (Act::Read, Some(bit)) => row.targets[step.at] = self.answer(bit),
                (Act::Read, None) | (Act::Ignore, _) => (),
            }
        }
        row
    }
}
