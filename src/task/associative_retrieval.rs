//! Segments that each show a key and its value, and at the end the question which value a key has.

use std::any::Any;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert;
use crate::base::error::Result;
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{below, choose, stream};
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of associative retrieval over segments: a key and a value in each, and the last one asks.
    pub struct AssociativeRetrieval = "Segments, each with a key and its value, in any order of keys; the last segment asks which value one of the keys has. Read segment by segment, it takes a memory of all of them." {
        /// Positions of a segment: key, value and filler.
        segment: usize = 4, in 2..=64;
        /// Segments of a sequence, with the one that asks.
        segments: usize = 5, in 2..=64;
        /// Different keys. No key comes twice: where there are more segments than keys, the others hold filler alone.
        keys: usize = 8, in 1..=63;
        /// Different values.
        values: usize = 8, in 2..=64;
        /// Different tokens of filler.
        fillers: usize = 4, in 1..=64;
        /// Segments of the longest sequence that the network can be asked about. 0: as many as a sequence has.
        longest: usize = 0, in 0..=64;
    }
}

impl Task for AssociativeRetrieval {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let names = |letter: &str, count| -> Vec<String> {
            (0..count).map(|i| format!("{letter}{i}")).collect()
        };
        let (keys, values) = (names("K", self.keys), names("v", self.values));
        let tokens = [names("f", self.fillers), keys, values, vec!["?".to_owned()]].concat();
        let (text, vocab) = (Text(self.clone()), Vocab::of_words(tokens));
        Ok(Arc::new(RetrievalSource { text, vocab }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("segments")
    }
}

/// What a token is, with its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Filler(usize),
    Key(usize),
    Value(usize),
    Question,
}

/// Bits of [`Row::roles`]; where several hold, the first gives the colour.
const ANSWER: u8 = 1;
const KEY: u8 = 2;
const VALUE: u8 = 4;
const QUESTION: u8 = 8;
const FILLER: u8 = 16;

/// In the order of the bits.
const ROLES: [&str; 5] = ["answer", "key", "value", "question", "filler"];

const LABELS: [LabelKind; 1] = [LabelKind {
    name: "segment",
    about: "In the segment that asks, from the key on: which segment shows this key.",
    many: false,
}];

const PAIRS: [PairKind; 2] = [
    PairKind {
        name: "asked",
        about: "Another key is asked for, and so the answer is another one.",
    },
    PairKind {
        name: "value",
        about: "The key that is asked for has another value, and so the answer is another one.",
    },
];

/// A facet: reads which segment a sequence asks for.
#[derive(Clone, Debug)]
pub struct Text(AssociativeRetrieval);

impl Text {
    /// Where the value of the key that is asked for stands; `None` where nothing is asked, or nothing has that key.
    fn asked(&self, tokens: &[u32]) -> Option<usize> {
        let question = tokens.iter().position(|token| self.word(*token) == Some(Word::Question))?;
        let key = self.word(*tokens.get(question + 1)?)?;
        let is_it = |at: &usize| matches!(key, Word::Key(_)) && self.word(tokens[*at]) == Some(key);
        (0..question).find(is_it).map(|at| at + 1)
    }

    /// The segment that shows the key which the last one asks for, counted from 0.
    pub fn asked_segment(&self, tokens: &[u32]) -> Option<usize> {
        Some((self.asked(tokens)? - 1) / self.0.segment)
    }

    /// Ids: fillers, keys, values, the question.
    fn token(&self, word: Word) -> u32 {
        let AssociativeRetrieval { keys, values, fillers, .. } = self.0;
        convert::id(match word {
            Word::Filler(number) => number,
            Word::Key(number) => fillers + number,
            Word::Value(number) => fillers + keys + number,
            Word::Question => fillers + keys + values,
        })
    }

    /// `None` for a token that is none of the vocabulary.
    fn word(&self, token: u32) -> Option<Word> {
        let AssociativeRetrieval { keys, values, fillers, .. } = self.0;
        let token = token as usize;
        if token < fillers {
            return Some(Word::Filler(token));
        }
        let token = token - fillers;
        if token < keys {
            return Some(Word::Key(token));
        }
        let token = token - keys;
        if token < values {
            return Some(Word::Value(token));
        }
        (token == values).then_some(Word::Question)
    }
}

struct RetrievalSource {
    text: Text,
    vocab: Vocab,
}

/// Sequences that are tried for one pair.
const ATTEMPTS: usize = 64;

/// What is drawn of a sequence: where keys are shown, each with its value, and which is asked for.
#[derive(Clone)]
struct Drawn {
    /// Segments, in order.
    shown: Vec<usize>,
    keys: Vec<usize>,
    values: Vec<usize>,
    /// Of each position.
    fillers: Vec<usize>,
    asked: usize,
}

impl Source for RetrievalSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.text.0.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn possible_answers(&self) -> usize {
        self.text.0.values
    }

    fn length(&self) -> usize {
        self.text.0.segment * self.text.0.segments
    }

    fn longest(&self) -> usize {
        self.text.0.segment * self.text.0.longest.max(self.text.0.segments)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        self.row(&self.draw(&mut stream("retrieval", seed, index)))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("answer")
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream(&format!("retrieval {kind}"), seed, index);
        (0..ATTEMPTS).find_map(|_| {
            let base = self.draw(&mut rng);
            let other = match kind {
                "value" => Some(self.with_another_value(&base, &mut rng)),
                _ => Self::asking_for_another(&base, &mut rng),
            };
            other.map(|other| self.paired(&base, &other))
        })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.text.0.segments - 1
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        let asked = self.text.asked_segment(&row.tokens);
        let question = row.roles.iter().position(|roles| roles & QUESTION > 0);
        let known = |at: usize| question.is_some_and(|question| at > question);
        (0..row.len()).map(|at| asked.filter(|_| known(at)).map(|segment| vec![segment])).collect()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.text]
    }
}

impl RetrievalSource {
    /// The same with another value of the key that is asked for.
    fn with_another_value(&self, base: &Drawn, rng: &mut ChaCha8Rng) -> Drawn {
        let (mut other, different) = (base.clone(), self.text.0.values);
        let value = &mut other.values[base.asked];
        *value = (*value + 1 + below(different - 1, rng)) % different;
        other
    }

    /// The same, asking for a key of another value; `None` where there is no such.
    fn asking_for_another(base: &Drawn, rng: &mut ChaCha8Rng) -> Option<Drawn> {
        let is_other = |i: &usize| base.values[*i] != base.values[base.asked];
        let others: Vec<usize> = (0..base.keys.len()).filter(is_other).collect();
        let asked = *others.get(below(others.len().max(1), rng))?;
        Some(Drawn { asked, ..base.clone() })
    }

    fn paired(&self, base: &Drawn, other: &Drawn) -> Pair {
        let segment = self.text.0.segment;
        let key = segment * base.shown[base.asked];
        let [base, other] = [base, other].map(|drawn| self.row(drawn));
        let at = base.len() - 1;
        let answers = [base.targets[at], other.targets[at]];
        let places = vec![("key", key), ("value", key + 1), ("asked", base.len() - segment + 1)];
        Pair { base, other, at, answers, places }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Drawn {
        let AssociativeRetrieval { segment, segments, keys, values, fillers, .. } = self.text.0;
        let count = keys.min(segments - 1);
        let mut shown = choose((0..segments - 1).collect(), count, rng);
        shown.sort_unstable();
        Drawn {
            shown,
            keys: choose((0..keys).collect(), count, rng),
            values: (0..count).map(|_| below(values, rng)).collect(),
            fillers: (0..segments * segment).map(|_| below(fillers, rng)).collect(),
            asked: below(count, rng),
        }
    }

    fn row(&self, drawn: &Drawn) -> Row {
        let Drawn { shown, keys, values, fillers, asked } = drawn;
        let mut words: Vec<Word> = fillers.iter().map(|filler| Word::Filler(*filler)).collect();
        let pairs = keys.iter().zip(values).map(|(k, v)| [Word::Key(*k), Word::Value(*v)]);
        let question = (self.text.0.segments - 1, [Word::Question, Word::Key(keys[*asked])]);
        for (segment, two) in shown.iter().copied().zip(pairs).chain([question]) {
            words[segment * self.text.0.segment..][..2].copy_from_slice(&two);
        }
        self.labelled(words.into_iter().map(|word| self.text.token(word)).collect())
    }

    /// The answer is due at the last position; a question for what no segment shows has none.
    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let mut row = unlabelled(tokens);
        let role = |token: &u32| match self.text.word(*token) {
            Some(Word::Filler(_)) => FILLER,
            Some(Word::Key(_)) => KEY,
            Some(Word::Value(_)) => VALUE,
            Some(Word::Question) => QUESTION,
            None => 0,
        };
        row.roles = row.tokens.iter().map(role).collect();
        let value = self.text.asked(&row.tokens).map(|at| row.tokens[at]);
        let is_value = |token: &u32| matches!(self.text.word(*token), Some(Word::Value(_)));
        if let Some(last) = row.len().checked_sub(1) {
            row.targets[last] = value.filter(is_value).unwrap_or(NO_TARGET);
            row.roles[last] |= ANSWER;
        }
        row
    }
}
