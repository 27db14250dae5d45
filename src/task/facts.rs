//! Facts to be known by heart: a subject of two tokens, a relation, and the object that a table has for them.

use std::any::Any;
use std::sync::Arc;

use crate::base::batch::Row;
use crate::base::convert::id;
use crate::base::error::Result;
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::prompt::Encoded;
use crate::base::vocab::Vocab;

use super::chance::{below, choose, stream};
use super::prompted::Prompted;
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of facts about subjects of two tokens, made for causal tracing (Meng et al. 2022, arXiv 2202.05262); the task and its sizes are ours.
    pub struct Facts = "Facts to be known by heart: two tokens name a subject, a third a relation, and after = comes the object that a random table has for them." {
        /// Different tokens that a subject begins with.
        first: usize = 8, in 2..=64;
        /// Different tokens that it ends with.
        second: usize = 8, in 2..=64;
        /// Different relations.
        relations: usize = 2, in 1..=64;
        /// Different objects.
        objects: usize = 16, in 2..=1024;
        /// What the table of facts is drawn with: another number, other facts.
        table: usize = 0, in 0..=2_147_483_647;
    }
}

impl Task for Facts {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let table = Table::drawn(self);
        let prompted = Prompted::new(
            Arc::new(table.clone()),
            |table, seed, index| Some(table.prompt(table.numbered(seed, index)?)),
            |table, tokens| Some(table.prompt(table.asked(tokens)?)),
        );
        Ok(Arc::new(FactSource { settings: self.clone(), vocab: table.vocab(), prompted, table }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

/// Positions: the two tokens of a subject, the relation and the sign.
const LENGTH: usize = 4;
const RELATION_AT: usize = 2;
const ASKED_AT: usize = 3;

/// Bits of [`Row::roles`].
const SUBJECT: u8 = 1;
const RELATION: u8 = 2;
const ASKED: u8 = 4;

/// In the order of the bits.
const ROLES: [&str; 3] = ["subject", "relation", "asked"];

const LABELS: [LabelKind; 2] = [
    LabelKind {
        name: "object",
        about: "From the relation on: the object of the fact.",
        many: false,
    },
    LabelKind {
        name: "subject",
        about: "From the second token on: the subject, its first token times the number of second tokens plus the second.",
        many: false,
    },
];

const PAIRS: [PairKind; 2] = [
    PairKind {
        name: "subject",
        about: "Both tokens of the subject are others, and the fact has another object.",
    },
    PairKind {
        name: "relation",
        about: "The relation is another one, and the fact has another object.",
    },
];

/// Facts that are tried for one pair.
const ATTEMPTS: usize = 4096;

/// The facts.
#[derive(Clone)]
struct Table {
    /// Different tokens at each place of a prompt before the sign.
    counts: [usize; 3],
    kinds: usize,
    /// By first token, second token and relation, row-major.
    objects: Arc<[usize]>,
}

impl Table {
    fn drawn(&Facts { first, second, relations, objects: kinds, table }: &Facts) -> Self {
        let mut rng = stream("table of facts", table as u64, 0);
        let objects = (0..first * second * relations).map(|_| below(kinds, &mut rng)).collect();
        Self { counts: [first, second, relations], kinds, objects }
    }

    fn vocab(&self) -> Vocab {
        let named = |letter: &'static str, count: usize| {
            (0..count).map(move |i| format!("{letter}{i}")).collect::<Vec<String>>()
        };
        let [first, second, relations] = self.counts;
        let tokens = [
            named("a", first),
            named("b", second),
            named("r", relations),
            vec!["=".to_owned()],
            named("o", self.kinds),
        ];
        Vocab::of_words(tokens.concat())
    }

    /// The id of the sign; objects follow it.
    fn sign(&self) -> usize {
        self.counts.iter().sum()
    }

    fn tokens(&self, fact: usize) -> Vec<u32> {
        let [_, second, relations] = self.counts;
        let parts = [fact / (second * relations), fact / relations % second, fact % relations];
        let from = self.begins();
        let tokens = parts.iter().zip(from).map(|(part, from)| from + part);
        tokens.chain([self.sign()]).map(id).collect()
    }

    /// The first id of each place.
    fn begins(&self) -> [usize; 3] {
        let [first, second, _] = self.counts;
        [0, first, first + second]
    }

    fn answer(&self, fact: usize) -> u32 {
        id(self.sign() + 1 + self.objects[fact])
    }

    /// Which token of its place each of the first three positions has, as far as they have one.
    fn read(&self, tokens: &[u32]) -> Vec<usize> {
        let places = self.begins().into_iter().zip(self.counts);
        let part = |(token, (from, count)): (&u32, (usize, usize))| {
            (*token as usize).checked_sub(from).filter(|part| *part < count)
        };
        tokens.iter().zip(places).map_while(part).collect()
    }

    fn fact(&self, tokens: &[u32]) -> Option<usize> {
        let [first, second, relation] = self.read(tokens).try_into().ok()?;
        Some((first * self.counts[1] + second) * self.counts[2] + relation)
    }

    /// Another fact, of the same relation about a subject with no token in common, or of another relation about the same; with
    /// another object.
    fn other(&self, fact: usize, kind: &str, seed: u64, index: u64) -> Option<usize> {
        let mut rng = stream("facts other", seed, index);
        let parts = self.read(&self.tokens(fact));
        let is_other = |other: &usize| {
            let differs: Vec<bool> =
                parts.iter().zip(self.read(&self.tokens(*other))).map(|(a, b)| *a != b).collect();
            let wanted = if kind == "subject" { [true, true, false] } else { [false, false, true] };
            differs == wanted && self.answer(fact) != self.answer(*other)
        };
        (0..ATTEMPTS).map(|_| below(self.objects.len(), &mut rng)).find(is_other)
    }

    /// Each fact once, in an order that the seed draws.
    fn numbered(&self, seed: u64, index: u64) -> Option<usize> {
        let mut rng = stream("facts prompts", seed, 0);
        let all = choose((0..self.objects.len()).collect(), self.objects.len(), &mut rng);
        all.get(usize::try_from(index).ok()?).copied()
    }

    /// The fact that a whole text asks for.
    fn asked(&self, tokens: &[u32]) -> Option<usize> {
        let fact = self.fact(tokens)?;
        (self.tokens(fact) == tokens).then_some(fact)
    }

    /// Its counterpart is about another subject, the same for each fact.
    fn prompt(&self, fact: usize) -> Encoded {
        let other = self.other(fact, "subject", 0, fact as u64);
        let roles =
            [("subject", vec![0, 1]), ("relation", vec![RELATION_AT]), ("asked", vec![ASKED_AT])];
        Encoded {
            tokens: self.tokens(fact),
            counterpart: other.map(|other| self.tokens(other)),
            answers: vec![self.answer(fact)],
            wrongs: other.map(|other| self.answer(other)).into_iter().collect(),
            roles: roles.map(|(name, at)| (name.to_owned(), at)).into_iter().collect(),
        }
    }

    /// A text that is no fact has no answer.
    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let read = self.read(&tokens).len();
        let fact = self.fact(&tokens);
        let mut row = unlabelled(tokens);
        for (at, role) in [SUBJECT, SUBJECT, RELATION].into_iter().enumerate().take(read) {
            row.roles[at] = role;
        }
        let is_asked = row.tokens.get(ASKED_AT).is_some_and(|t| *t as usize == self.sign());
        if let Some(fact) = fact.filter(|_| is_asked) {
            row.roles[ASKED_AT] = ASKED;
            row.targets[ASKED_AT] = self.answer(fact);
        }
        row
    }
}

struct FactSource {
    settings: Facts,
    table: Table,
    vocab: Vocab,
    prompted: Prompted,
}

impl Source for FactSource {
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
        self.settings.objects
    }

    fn length(&self) -> usize {
        LENGTH
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("facts", seed, index);
        self.table.labelled(self.table.tokens(below(self.table.objects.len(), &mut rng)))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.table.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        if self.settings.relations > 1 { &PAIRS } else { &PAIRS[..1] }
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        self.pair_kinds().iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("facts pair", seed, index);
        // Facts without such another one are passed over.
        let (fact, other) = (0..ATTEMPTS).find_map(|_| {
            let fact = below(self.table.objects.len(), &mut rng);
            Some((fact, self.table.other(fact, kind, seed, index)?))
        })?;
        let [base, other] = [fact, other].map(|fact| self.table.labelled(self.table.tokens(fact)));
        let answers = [base.targets[ASKED_AT], other.targets[ASKED_AT]];
        let places = vec![("first", 0), ("second", 1), ("relation", RELATION_AT)];
        Some(Pair { base, other, at: ASKED_AT, answers, places })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, kind: &str) -> usize {
        let Facts { first, second, objects, .. } = self.settings;
        if kind == "object" { objects } else { first * second }
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let read = self.table.read(&row.tokens);
        let subject = read.get(..2).map(|parts| parts[0] * self.settings.second + parts[1]);
        let (known, from) = match kind {
            "object" => (self.table.fact(&row.tokens).map(|fact| self.table.objects[fact]), 2),
            "subject" => (subject, 1),
            _ => return Vec::new(),
        };
        (0..row.len()).map(|at| known.filter(|_| at >= from).map(|class| vec![class])).collect()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.prompted]
    }
}
