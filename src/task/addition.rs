//! Sums of two numbers, digit by digit, the largest place first.

use std::any::Any;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{below, chance, stream};
use super::groups::Groups;
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of the addition of numbers of n digits of Quirke and Barez 2023 (arXiv 2310.13121).
    pub struct Addition = "Two numbers of so many digits and their sum, as in 00450+00550=001000: the largest digit of the sum comes first, before it is known whether smaller ones carry." {
        /// Digits of each number; the sum has one more.
        digits: usize = 5, in 1..=16;
        /// Digits of the numbers of training, which stand behind zeros, so that the network can be asked about numbers of one digit more than it ever saw, as a column of the metrics does. 0: as many as numbers have.
        trained: usize = 0, in 0..=16;
        /// In one sequence of five each pair of digits is made to add up to nine with this probability: carries that go through several digits are rare otherwise.
        nines: f64 = 0.2, in 0.0..=1.0;
    }
}

impl Task for Addition {
    fn open(&self) -> Result<Arc<dyn Source>> {
        if self.trained > self.digits {
            return Err(Error::usage(format!(
                "task.trained is {}, but task.digits is {}: numbers of training have no more digits than there is room for; lower one or raise the other",
                self.trained, self.digits
            )));
        }
        Ok(Arc::new(self.source(Numbers::Trained)))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

impl Addition {
    fn source(&self, numbers: Numbers) -> AdditionSource {
        let tokens = ('0'..='9').chain(['+', '=']).map(String::from).collect();
        let groups = groups(self.digits);
        AdditionSource { settings: self.clone(), numbers, vocab: Vocab::new(tokens), groups }
    }

    /// Digits of the numbers of training.
    fn trained_digits(&self) -> usize {
        if self.trained == 0 { self.digits } else { self.trained }
    }

    /// Whether there is room for numbers of a digit more.
    fn has_more(&self) -> bool {
        self.trained_digits() < self.digits
    }

    /// Position of the sign of equality, where the largest digit of the sum is asked for.
    fn equals_at(&self) -> usize {
        2 * self.digits + 1
    }

    /// Where the digit of this place of the sum is asked for; place 0 are the ones.
    fn asked_at(&self, place: usize) -> usize {
        self.equals_at() + self.digits - place
    }

    /// Positions of the digits of a place in both numbers.
    fn pair_at(&self, place: usize) -> [usize; 2] {
        [self.digits - 1 - place, 2 * self.digits - place]
    }

    /// What the network reads: all but the last digit of the sum.
    fn spelled(&self, sum: &Sum) -> Vec<u32> {
        let digits = self.digits;
        let number = |which: usize| (0..digits).rev().map(move |place| sum.pairs[place][which]);
        let shown = (1..=digits).rev().map(|place| sum.digit(place));
        number(0).chain([PLUS]).chain(number(1)).chain([EQUALS]).chain(shown).collect()
    }

    /// The sum that a text asks for.
    fn read(&self, tokens: &[u32]) -> Option<Sum> {
        let (digits, equals) = (self.digits, self.equals_at());
        if tokens.get(digits) != Some(&PLUS) || tokens.get(equals) != Some(&EQUALS) {
            return None;
        }
        let pair = |place| {
            let pair = self.pair_at(place).map(|at| tokens[at]);
            pair.iter().all(|digit| *digit < 10).then_some(pair)
        };
        (0..digits).map(pair).collect::<Option<Vec<_>>>().map(Sum::new)
    }

    /// A text that asks for no sum has no targets. A digit that was written wrongly does not change what is to be written next.
    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let mut row = unlabelled(tokens);
        let digits = self.digits;
        for (at, token) in row.tokens.iter().enumerate() {
            row.roles[at] = match *token {
                PLUS | EQUALS => SIGN,
                _ if at < digits => FIRST,
                _ if at < self.equals_at() => SECOND,
                _ => 0,
            };
        }
        let Some(sum) = self.read(&row.tokens) else { return row };
        for place in 0..=digits {
            let at = self.asked_at(place);
            if at < row.len() {
                row.targets[at] = sum.digit(place);
                row.roles[at] |= ASKED | sum.case(place).map_or(LEADING, Case::role);
            }
        }
        row
    }
}

const PLUS: u32 = 10;
const EQUALS: u32 = 11;

/// The variant whose numbers have one digit more than those of training.
const MORE_DIGITS: &str = "more_digits";

/// Which numbers are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Trained,
    /// At least one has a digit more than those of training.
    MoreDigits,
}

/// Bits of [`Row::roles`]. A digit of the sum is asked for one position before it stands.
const ASKED: u8 = 1 << 7;
const LEADING: u8 = 1 << 3;
const FIRST: u8 = 1 << 4;
const SECOND: u8 = 1 << 5;
const SIGN: u8 = 1 << 6;

/// In the order of the bits.
const ROLES: [&str; 8] =
    ["base_add", "use_carry", "use_sum_9", "leading", "first", "second", "sign", "asked"];

/// What a digit of the sum takes, after the authors' cases BA, UC1 and US9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Nothing is carried in: the digits are added.
    BaseAdd,
    /// One is carried in.
    UseCarry,
    /// One is carried in and the digits add up to nine: it is carried on.
    UseSum9,
}

impl Case {
    const ALL: [Self; 3] = [Self::BaseAdd, Self::UseCarry, Self::UseSum9];

    fn role(self) -> u8 {
        1 << self as u8
    }
}

/// Two numbers, place by place.
struct Sum {
    /// The digits of each place, the ones first.
    pairs: Vec<[u32; 2]>,
    /// Whether one is carried into each place of the sum, which has one more.
    carries: Vec<bool>,
}

impl Sum {
    fn new(pairs: Vec<[u32; 2]>) -> Self {
        let mut carries = vec![false];
        for (place, [a, b]) in pairs.iter().enumerate() {
            carries.push(a + b + u32::from(carries[place]) >= 10);
        }
        Self { pairs, carries }
    }

    /// The digit of a place of the sum.
    fn digit(&self, place: usize) -> u32 {
        let carried = u32::from(self.carries[place]);
        self.pairs.get(place).map_or(carried, |[a, b]| (a + b + carried) % 10)
    }

    fn is_nine(&self, place: usize) -> bool {
        self.pairs[place].iter().sum::<u32>() == 9
    }

    /// `None` of the largest place, where nothing is added but what is carried.
    fn case(&self, place: usize) -> Option<Case> {
        self.pairs.get(place)?;
        Some(match (self.carries[place], self.is_nine(place)) {
            (false, _) => Case::BaseAdd,
            (true, false) => Case::UseCarry,
            (true, true) => Case::UseSum9,
        })
    }
}

const LABELS: [LabelKind; 3] = [
    LabelKind {
        name: "carry_in",
        about: "Where a digit of the sum is asked for: 1 if one is carried into it.",
        many: false,
    },
    LabelKind {
        name: "makes_carry",
        about: "Where a digit of the sum is asked for, but for the largest: 1 if its place carries one on (MC1).",
        many: false,
    },
    LabelKind {
        name: "makes_sum_9",
        about: "Where a digit of the sum is asked for, but for the largest: 1 if its two digits add up to nine (MS9).",
        many: false,
    },
];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "carry",
    about: "A digit of the first number is another one, so that its place carries one on, and the digit of the sum in the next place is asked for; where more carries follow, digits of the sum that are shown change with it.",
}];

struct AdditionSource {
    settings: Addition,
    numbers: Numbers,
    vocab: Vocab,
    groups: Groups,
}

impl Source for AdditionSource {
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
        10
    }

    /// The last digit of the sum is a target alone.
    fn length(&self) -> usize {
        3 * self.settings.digits + 2
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let sum = self.draw(&mut stream("addition", seed, index));
        self.settings.labelled(self.settings.spelled(&sum))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.settings.labelled(tokens.to_vec())
    }

    fn variant(&self, name: &str) -> Option<Arc<dyn Source>> {
        let there = name == MORE_DIGITS && self.settings.has_more();
        there.then(|| Arc::new(self.settings.source(Numbers::MoreDigits)) as Arc<dyn Source>)
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    fn scored_roles(&self) -> &'static [&'static str] {
        &["base_add", "use_carry", "use_sum_9"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("addition carry", seed, index);
        let mut pairs = self.draw(&mut rng).pairs;
        let place = below(self.settings.trained_digits(), &mut rng);
        let second = 1 + convert::id(below(8, &mut rng));
        // Eight at most, so that nothing is carried on whatever is carried in; ten at least.
        let small = convert::id(below(9 - second as usize, &mut rng));
        let large = 10 - second + convert::id(below(second as usize, &mut rng));
        let [base, other] = [small, large].map(|first| {
            pairs[place] = [first, second];
            self.settings.labelled(self.settings.spelled(&Sum::new(pairs.clone())))
        });
        let at = self.settings.asked_at(place + 1);
        let answers = [base.targets[at], other.targets[at]];
        let [first, second] = self.settings.pair_at(place);
        let places = vec![("first", first), ("second", second), ("answer", at)];
        Some(Pair { base, other, at, answers, places })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        2
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let Some(number) = LABELS.iter().position(|label| label.name == kind) else {
            return Vec::new();
        };
        let Some(sum) = self.settings.read(&row.tokens) else { return Vec::new() };
        let mut labels = vec![None; row.len()];
        for place in 0..=self.settings.digits {
            let told = match number {
                0 => Some(sum.carries[place]),
                1 => sum.carries.get(place + 1).copied(),
                _ => (place < self.settings.digits).then(|| sum.is_nine(place)),
            };
            if let Some(label) = labels.get_mut(self.settings.asked_at(place)) {
                *label = told.map(|told| vec![usize::from(told)]);
            }
        }
        labels
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.groups]
    }
}

impl AdditionSource {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Sum {
        let Addition { digits, nines, .. } = self.settings;
        let drawn = self.settings.trained_digits();
        let is_rich = self.numbers == Numbers::Trained && chance(0.2, rng);
        let pair = |place: usize| match place {
            place if place == drawn && self.numbers == Numbers::MoreDigits => {
                let both = 1 + below(99, rng);
                [both / 10, both % 10].map(convert::id)
            }
            place if place >= drawn => [0, 0],
            _ => {
                let first = convert::id(below(10, rng));
                let second = convert::id(below(10, rng));
                [first, if is_rich && chance(nines, rng) { 9 - first } else { second }]
            }
        };
        Sum::new((0..digits).map(pair).collect())
    }
}

/// By place, by case, and by both.
fn groups(digits: usize) -> Groups {
    let case_name = |case: Case| ROLES[case as usize];
    let by_place = (0..=digits).map(|place| format!("loss_by_digit_{place}"));
    let by_case = Case::ALL.map(|case| format!("loss_by_case_{}", case_name(case)));
    let both = (0..digits).flat_map(|place| {
        Case::ALL.map(|case| format!("loss_by_both_{place}_{}", case_name(case)))
    });
    let columns = by_place.chain(by_case).chain(both).collect();
    let settings = Addition { digits, ..Addition::default() };
    let of = move |tokens: &[u32]| {
        let at = |place: usize| settings.asked_at(place);
        let of_place = (0..=digits).map(|place| (at(place), place));
        let roles = settings.labelled(tokens.to_vec()).roles;
        let of_case = (0..digits).flat_map(|place| {
            let roles = roles.get(at(place)).copied().unwrap_or(0);
            let case = Case::ALL.into_iter().find(|case| roles & case.role() != 0);
            let groups = case
                .map(|case| [digits + 1 + case as usize, digits + 4 + 3 * place + case as usize]);
            groups.into_iter().flatten().map(move |group| (at(place), group))
        });
        of_place.chain(of_case).filter(|(at, _)| *at < tokens.len()).collect()
    };
    Groups { columns, of: Arc::new(of) }
}
