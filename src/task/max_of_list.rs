//! A list of numbers: after each, the largest so far is to be told.

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
    /// Settings of the maximum of a list. That one attention-only layer learns such a task and can be read in its circuits is the subject of a post by
    /// Hofstätter (*Explaining the Transformer Circuits Framework by Example*, 2023); sizes and the law of the numbers are ours.
    pub struct MaxOfList = "Numbers in a list: after each, the largest so far is to be told. One layer of attention can look at it and copy it." {
        /// Different numbers, from 0 on.
        numbers: usize = 64, in 2..=1024;
        /// Numbers in a list.
        length: usize = 3, in 1..=512;
        /// Numbers of the longest list that the network can be asked about; positions beyond those of a list are never trained. 0: as many as a list has.
        longest: usize = 0, in 0..=512;
    }
}

impl Task for MaxOfList {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let words = (0..self.numbers).map(|number| number.to_string()).collect();
        Ok(Arc::new(MaxSource { settings: self.clone(), vocab: Vocab::of_words(words) }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }
}

/// Bits of [`Row::roles`].
const LARGEST: u8 = 1;
const SMALLER: u8 = 2;
const ASKED: u8 = 4;

/// In the order of the bits: a number that is the largest so far, one that is not, and any number.
const ROLES: [&str; 3] = ["largest", "smaller", "asked"];

const LABELS: [LabelKind; 1] = [LabelKind {
    name: "largest",
    about: "At every position: the largest number so far.",
    many: false,
}];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "largest",
    about: "The largest number of the list is another one that is still the largest, and so is the last answer.",
}];

struct MaxSource {
    settings: MaxOfList,
    vocab: Vocab,
}

impl Source for MaxSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn length(&self) -> usize {
        self.settings.length
    }

    fn longest(&self) -> usize {
        self.settings.longest.max(self.settings.length)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("max of list", seed, index);
        labelled(draw(self.settings.length, self.settings.numbers, &mut rng))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    /// Where the number itself is not the answer.
    fn scored_roles(&self) -> &'static [&'static str] {
        &["smaller"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("max largest", seed, index);
        let MaxOfList { numbers, length, .. } = self.settings;
        // Two numbers at least are left for the largest.
        let others = draw(length - 1, numbers - 1, &mut rng);
        let least = others.iter().max().map_or(0, |largest| *largest as usize);
        let place = below(length, &mut rng);
        let first = below(numbers - least, &mut rng);
        let second = (first + 1 + below(numbers - least - 1, &mut rng)) % (numbers - least);
        let [base, other] = [first, second].map(|above| {
            let mut tokens = others.clone();
            tokens.insert(place, convert::id(least + above));
            labelled(tokens)
        });
        let at = length - 1;
        let answers = [base.targets[at], other.targets[at]];
        Some(Pair { base, other, at, answers, places: vec![("largest", place), ("last", at)] })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.settings.numbers
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        largest(&row.tokens).map(|largest| Some(vec![largest as usize])).collect()
    }
}

/// `count` numbers below `numbers`, each as likely.
fn draw(count: usize, numbers: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..count).map(|_| convert::id(below(numbers, rng))).collect()
}

/// The largest number so far, position by position. A number is its own id.
fn largest(tokens: &[u32]) -> impl Iterator<Item = u32> + '_ {
    let so_far = |largest: &mut u32, token: &u32| {
        *largest = (*largest).max(*token);
        Some(*largest)
    };
    tokens.iter().scan(0, so_far)
}

fn labelled(tokens: Vec<u32>) -> Row {
    let targets: Vec<u32> = largest(&tokens).collect();
    let role = |(token, target): (&u32, &u32)| if token == target { LARGEST } else { SMALLER };
    let roles = tokens.iter().zip(&targets).map(|both| role(both) | ASKED).collect();
    Row { targets, roles, ..unlabelled(tokens) }
}
