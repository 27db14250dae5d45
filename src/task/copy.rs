//! Symbols that are to be written again, forwards or backwards: what a memory between segments has to carry.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::Result;
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{below, stream};
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of the tasks copy and reverse of Bulatov et al. 2022 (arXiv 2207.06881).
    pub struct Copying = "Symbols, a sign, and the same symbols again, once or more, forwards or backwards. Read in segments, it takes a memory that is carried from one to the next." {
        /// Different symbols.
        symbols: usize = 8, in 2..=26;
        /// Symbols that are to be copied.
        count: usize = 6, in 1..=512;
        /// How often they are to be written.
        times: usize = 1, in 1..=8;
        /// Write them backwards.
        reverse: bool = false;
        /// Fill a sequence up at its beginning until its length is a multiple of this, for networks that read in segments as long (train.segment). 0: leave it as it is.
        segment: usize = 0, in 0..=512;
        /// Symbols of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=512;
    }
}

impl Task for Copying {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let letters = ('a'..='z').take(self.symbols);
        let tokens = ['_', '='].into_iter().chain(letters).map(String::from);
        Ok(Arc::new(CopySource { settings: self.clone(), vocab: Vocab::new(tokens.collect()) }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("count")
    }
}

impl Copying {
    /// Positions of a sequence with so many symbols. The last symbol that is written is a target alone.
    fn positions(&self, count: usize) -> usize {
        let bare = count + count * self.times;
        bare.next_multiple_of(self.segment.max(1))
    }

    /// Which of `count` symbols is written at `step`, counted from 0.
    fn place(&self, step: usize, count: usize) -> usize {
        let place = step % count;
        if self.reverse { count - 1 - place } else { place }
    }
}

/// Ids as published: what fills up, the sign that asks for the copy, and the first symbol.
const PAD: u32 = 0;
const GENERATE: u32 = 1;
const FIRST: u32 = 2;

/// Bits of [`Row::roles`].
const SOURCE: u8 = 1;
const GENERATES: u8 = 2;
const ANSWER: u8 = 4;
const PADDING: u8 = 8;
const ASKED: u8 = 16;

/// In the order of the bits.
const ROLES: [&str; 5] = ["source", "generate", "answer", "padding", "asked"];

const LABELS: [LabelKind; 1] = [LabelKind {
    name: "symbols",
    about: "Once symbols have been read: which symbol stood at which place, place times the number of symbols plus symbol.",
    many: true,
}];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "symbol",
    about: "One of the symbols is another one, and so is what is to be written in its place; the first time that it is written is looked at.",
}];

struct CopySource {
    settings: Copying,
    vocab: Vocab,
}

/// What a text is: where its symbols stand, and where the sign does.
struct Text {
    /// Position of the first symbol.
    from: usize,
    symbols: Vec<usize>,
    /// Position of the sign, where it has come.
    sign: Option<usize>,
}

impl Source for CopySource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn possible_answers(&self) -> usize {
        self.settings.symbols
    }

    fn length(&self) -> usize {
        self.settings.positions(self.settings.count)
    }

    fn longest(&self) -> usize {
        self.settings.positions(self.settings.longest.max(self.settings.count))
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        self.labelled(self.spelled(&self.draw(&mut stream("copy", seed, index))))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("copy symbol", seed, index);
        let Copying { symbols: different, count, .. } = self.settings;
        let symbols = self.draw(&mut rng);
        let (step, by) = (below(count, &mut rng), 1 + below(different - 1, &mut rng));
        let place = self.settings.place(step, count);
        let mut others = symbols.clone();
        others[place] = (symbols[place] + by) % different;
        let [base, other] = [&symbols, &others].map(|all| self.labelled(self.spelled(all)));
        let text = self.read(&base.tokens);
        let at = text.sign? + step;
        let answers = [base.targets[at], other.targets[at]];
        let places = vec![("source", text.from + place), ("answer", at)];
        Some(Pair { base, other, at, answers, places })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.settings.count * self.settings.symbols
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        let text = self.read(&row.tokens);
        let truths = text.symbols.iter().take(self.settings.count).enumerate();
        let truths: Vec<usize> =
            truths.map(|(place, symbol)| place * self.settings.symbols + symbol).collect();
        let known = |position: usize| {
            let read = (position + 1).checked_sub(text.from)?.min(truths.len());
            (read > 0).then(|| truths[..read].to_vec())
        };
        (0..row.len()).map(known).collect()
    }
}

impl CopySource {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        (0..self.settings.count).map(|_| below(self.settings.symbols, rng)).collect()
    }

    /// What the network reads: all but the last symbol that it is to write.
    fn spelled(&self, symbols: &[usize]) -> Vec<u32> {
        let count = symbols.len();
        let token = |place: usize| FIRST + convert::id(symbols[place]);
        let written = (0..count * self.settings.times - 1).map(|s| self.settings.place(s, count));
        let bare: Vec<u32> =
            (0..count).map(token).chain([GENERATE]).chain(written.map(token)).collect();
        let padding = self.settings.positions(count) - bare.len();
        std::iter::repeat_n(PAD, padding).chain(bare).collect()
    }

    fn symbol(&self, token: u32) -> Option<usize> {
        let symbol = token.checked_sub(FIRST)? as usize;
        (symbol < self.settings.symbols).then_some(symbol)
    }

    /// Reads a text up to its sign.
    fn read(&self, tokens: &[u32]) -> Text {
        let from = tokens.iter().take_while(|token| **token == PAD).count();
        let symbols: Vec<usize> = tokens[from..].iter().map_while(|t| self.symbol(*t)).collect();
        let end = from + symbols.len();
        let sign = tokens.get(end).filter(|token| **token == GENERATE && !symbols.is_empty());
        Text { from, sign: sign.map(|_| end), symbols }
    }

    /// A text that is none of the task has no targets from there on. A symbol that was written wrongly does not change what is to
    /// be written next.
    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let Text { symbols, sign, .. } = self.read(&tokens);
        let mut row = unlabelled(tokens);
        for (at, token) in row.tokens.iter().enumerate() {
            row.roles[at] = match *token {
                PAD => PADDING,
                GENERATE => GENERATES,
                _ if self.symbol(*token).is_none() => 0,
                _ if sign.is_some_and(|sign| at > sign) => ANSWER,
                _ => SOURCE,
            };
        }
        let Some(sign) = sign else { return row };
        for step in 0..symbols.len() * self.settings.times {
            let at = sign + step;
            if at >= row.len() || step > 0 && row.roles[at] != ANSWER {
                break;
            }
            row.roles[at] |= ASKED;
            row.targets[at] =
                FIRST + convert::id(symbols[self.settings.place(step, symbols.len())]);
        }
        row
    }
}
