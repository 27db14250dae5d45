//! Keys that are shown at the beginning, blocks of filler, and the question which key it was.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{below, choose, stream};
use super::{Source, Task, unlabelled, with_each};

crate::settings! {
    /// Settings of a small version of the task `PassKey` of Hwang et al. 2024 (arXiv 2404.09173).
    pub struct Passkey = "A key somewhere in the first block, blocks of filler after it, and at the end the question which key it was. With several keys, the question says which of them." {
        /// Positions of a block.
        block: usize = 8, in 2..=64;
        /// Different tokens of filler.
        fillers: usize = 8, in 1..=64;
        /// Different keys.
        keys_known: usize = 8, in 2..=64;
        /// Keys that are shown in the first block; the question asks for the first, the second and so on.
        keys: usize = 1, in 1..=64;
        /// The keys stand at random positions of the first block; off: at its beginning.
        scattered: bool = true;
        /// Blocks of a sequence. Where the question comes earlier, filler follows it.
        blocks: usize = 6, in 2..=256;
        /// Blocks before the end of which no question comes: it stands at the end of any block from this one on to the last, each as likely. The same as task.blocks: always at the end.
        least_blocks: usize = 2, in 2..=256;
        /// Blocks of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=256;
    }
}

impl Task for Passkey {
    fn open(&self) -> Result<Arc<dyn Source>> {
        self.check()?;
        let names = |letter: &str, count| -> Vec<String> {
            (0..count).map(|i| format!("{letter}{i}")).collect()
        };
        let questions = (1..=self.keys).map(|i| format!("q{i}")).collect();
        let tokens = [names("f", self.fillers), names("K", self.keys_known), questions].concat();
        Ok(Arc::new(PasskeySource { settings: self.clone(), vocab: Vocab::of_words(tokens) }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("blocks")
    }

    fn of_length(&self, count: usize) -> Option<Box<dyn Task>> {
        with_each(self.boxed(), &["blocks", "least_blocks"], count)
    }
}

impl Passkey {
    fn check(&self) -> Result<()> {
        if self.keys > self.block {
            return Err(Error::usage(format!(
                "task.keys is {}, but task.block is {}: all keys stand in the first block; change one of them",
                self.keys, self.block
            )));
        }
        if self.least_blocks > self.blocks {
            return Err(Error::usage(format!(
                "task.least_blocks is {}, but task.blocks is {}: no sequence has as many; change one of them",
                self.least_blocks, self.blocks
            )));
        }
        Ok(())
    }
}

/// What a token is, with its number.
#[derive(Clone, Copy)]
enum Word {
    Filler(usize),
    Key(usize),
    Query(usize),
}

/// Bits of [`Row::roles`].
const KEY: u8 = 1;
const QUERY: u8 = 2;
const FILLER: u8 = 4;

/// In the order of the bits.
const ROLES: [&str; 3] = ["key", "query", "filler"];

const ONE_KEY: [LabelKind; 1] =
    [LabelKind { name: "key", about: "From the key on: which key it is.", many: false }];

const SEVERAL_KEYS: [LabelKind; 1] = [LabelKind {
    name: "keys",
    about: "From the first key on: which key came first, second and so on, as far as they have come, order times the number of different keys plus key.",
    many: true,
}];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "key",
    about: "The key that is asked for is another one, and so is the answer.",
}];

struct PasskeySource {
    settings: Passkey,
    vocab: Vocab,
}

/// What is drawn of a sequence.
struct Drawn {
    tokens: Vec<u32>,
    /// Position of the key that is asked for, and of the question.
    key: usize,
    query: usize,
}

impl Source for PasskeySource {
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
        self.settings.keys_known
    }

    fn length(&self) -> usize {
        self.settings.block * self.settings.blocks
    }

    fn longest(&self) -> usize {
        self.settings.block * self.settings.longest.max(self.settings.blocks)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        self.labelled(self.draw(&mut stream("passkey", seed, index)).tokens)
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("query")
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("passkey key", seed, index);
        let Drawn { tokens, key, query } = self.draw(&mut rng);
        let Word::Key(shown) = self.word(tokens[key])? else { return None };
        let known = self.settings.keys_known;
        let mut others = tokens.clone();
        others[key] = self.token(Word::Key((shown + 1 + below(known - 1, &mut rng)) % known));
        let [base, other] = [tokens, others].map(|tokens| self.labelled(tokens));
        let answers = [base.targets[query], other.targets[query]];
        Some(Pair { base, other, at: query, answers, places: vec![("key", key), ("query", query)] })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        if self.settings.keys == 1 { &ONE_KEY } else { &SEVERAL_KEYS }
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.settings.keys * self.settings.keys_known
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if self.label_kinds().iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        let known = self.settings.keys_known;
        let mut told = Vec::new();
        let each = row.tokens.iter().map(|token| {
            if let Some(Word::Key(key)) = self.word(*token)
                && told.len() < self.settings.keys
            {
                told.push(known * told.len() + key);
            }
            (!told.is_empty()).then(|| told.clone())
        });
        each.collect()
    }
}

impl PasskeySource {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Drawn {
        let Passkey { block, fillers, keys_known, keys, scattered, blocks, least_blocks, .. } =
            self.settings;
        let length = block * blocks;
        let mut tokens: Vec<u32> =
            (0..length).map(|_| self.token(Word::Filler(below(fillers, rng)))).collect();
        let mut places: Vec<usize> = (0..keys).collect();
        if scattered {
            places = choose((0..block).collect(), keys, rng);
            places.sort_unstable();
        }
        for place in &places {
            tokens[*place] = self.token(Word::Key(below(keys_known, rng)));
        }
        let asked = below(keys, rng);
        let query = block * (least_blocks + below(blocks - least_blocks + 1, rng)) - 1;
        tokens[query] = self.token(Word::Query(asked));
        Drawn { tokens, key: places[asked], query }
    }

    /// Ids: the fillers, the keys, the questions.
    fn token(&self, word: Word) -> u32 {
        let Passkey { fillers, keys_known, .. } = self.settings;
        convert::id(match word {
            Word::Filler(number) => number,
            Word::Key(number) => fillers + number,
            Word::Query(number) => fillers + keys_known + number,
        })
    }

    /// `None` for a token that is none of the vocabulary.
    fn word(&self, token: u32) -> Option<Word> {
        let Passkey { fillers, keys_known, keys, .. } = self.settings;
        let number = token as usize;
        if number < fillers {
            return Some(Word::Filler(number));
        }
        let number = number - fillers;
        if number < keys_known {
            return Some(Word::Key(number));
        }
        let number = number - keys_known;
        (number < keys).then_some(Word::Query(number))
    }

    /// A question for a key that has not come has no answer.
    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let mut row = unlabelled(tokens);
        let mut shown = Vec::new();
        for (at, token) in row.tokens.iter().enumerate() {
            row.roles[at] = match self.word(*token) {
                Some(Word::Filler(_)) => FILLER,
                Some(Word::Key(_)) => {
                    shown.push(*token);
                    KEY
                }
                Some(Word::Query(number)) => {
                    row.targets[at] = shown.get(number).copied().unwrap_or(NO_TARGET);
                    QUERY
                }
                None => 0,
            };
        }
        row
    }
}
