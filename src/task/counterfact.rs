//! Facts against what is stated: a subject's attribute is known by heart, and a sentence before may say another one.

use std::any::Any;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert::id;
use crate::base::error::Result;
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::prompt::Encoded;
use crate::base::vocab::Vocab;

use super::chance::{below, chance, stream};
use super::prompted::Prompted;
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of facts against counterfacts, after the prompts "Redefine: …" of Ortu et al. 2024 (arXiv 2402.11655); this small task is ours.
    pub struct Counterfact = "Each subject has an attribute, to be known by heart. In half of the sequences a sentence before states one: of the same subject or another, the true one or another. Recall and copying compete." {
        /// Different subjects.
        subjects: usize = 32, in 2..=1024;
        /// Different attributes.
        attributes: usize = 16, in 2..=1024;
        /// Share of sequences in which a sentence stands before.
        stated: f64 = 0.5, in 0.0..=1.0;
        /// Share of these sentences that are about the subject that is asked for.
        same: f64 = 0.5, in 0.0..=1.0;
        /// Share of these sentences that are true.
        truth: f64 = 0.5, in 0.0..=1.0;
        /// How often the answer is what the sentence says of the subject; else it is the fact.
        copied: f64 = 0.7, in 0.0..=1.0;
        /// What the facts are drawn with: another number, other facts.
        table: usize = 0, in 0..=2_147_483_647;
    }
}

impl Task for Counterfact {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(CounterfactSource::new(self, Law::Drawn)))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

/// `RED s a DOT s`, or `PAD PAD PAD PAD s`.
const LENGTH: usize = 5;
const STATED_SUBJECT: usize = 1;
const STATED: usize = 2;
const ASKED_AT: usize = 4;

/// Bits of [`Row::roles`].
const SUBJECT: u8 = 1;
const ATTRIBUTE: u8 = 2;
const RECALL: u8 = 4;
const CONFLICT: u8 = 8;
const ASKED: u8 = 16;

/// In the order of the bits: the subject of a sentence, its attribute, a question that the fact answers, and one of whose subject the sentence says
/// another attribute.
const ROLES: [&str; 5] = ["subject", "attribute", "recall", "conflict", "asked"];

const LABELS: [LabelKind; 2] = [
    LabelKind { name: "fact", about: "At every subject: the attribute that it has.", many: false },
    LabelKind {
        name: "stated",
        about: "From the stated attribute on: which one it is.",
        many: false,
    },
];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "statement",
    about: "What is stated is about the subject that is asked for and not what it is known for, or about another subject: the answer is the copied attribute, or the fact.",
}];

/// Which answers there are where recall and copying say different things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Law {
    /// As training has them.
    Drawn,
    /// Such sequences alone, with what is copied.
    Copied,
    /// Such sequences alone, with what is recalled.
    Recalled,
}

/// Variants by name.
const VARIANTS: [(&str, Law); 2] = [("copied", Law::Copied), ("recalled", Law::Recalled)];

/// The facts and the vocabulary: subjects, attributes, RED, DOT, PAD.
#[derive(Clone)]
struct Table {
    settings: Counterfact,
    /// The attribute of each subject.
    facts: Arc<[usize]>,
}

impl Table {
    fn drawn(settings: &Counterfact) -> Self {
        let mut rng = stream("counterfacts", settings.table as u64, 0);
        let facts = (0..settings.subjects).map(|_| below(settings.attributes, &mut rng)).collect();
        Self { settings: settings.clone(), facts }
    }

    fn vocab(&self) -> Vocab {
        let subjects = (0..self.settings.subjects).map(|i| format!("s{i}"));
        let attributes = (0..self.settings.attributes).map(|i| format!("a{i}"));
        let signs = ["RED", "DOT", "PAD"].map(str::to_owned);
        Vocab::of_words(subjects.chain(attributes).chain(signs).collect())
    }

    fn attribute(&self, number: usize) -> u32 {
        id(self.settings.subjects + number)
    }

    /// Of the signs RED, DOT and PAD.
    fn sign(&self, number: usize) -> u32 {
        id(self.settings.subjects + self.settings.attributes + number)
    }

    fn fact(&self, subject: u32) -> Option<u32> {
        self.facts.get(subject as usize).map(|fact| self.attribute(*fact))
    }

    fn as_attribute(&self, token: u32) -> Option<usize> {
        let number = (token as usize).checked_sub(self.settings.subjects)?;
        (number < self.settings.attributes).then_some(number)
    }

    fn alone(&self, subject: usize) -> Vec<u32> {
        let pad = self.sign(2);
        vec![pad, pad, pad, pad, id(subject)]
    }

    fn stating(&self, [stated, attribute, asked]: [usize; 3]) -> Vec<u32> {
        vec![self.sign(0), id(stated), self.attribute(attribute), self.sign(1), id(asked)]
    }

    /// An attribute that a subject does not have.
    fn wrong(&self, subject: usize, rng: &mut ChaCha8Rng) -> usize {
        let count = self.settings.attributes;
        (self.facts[subject] + 1 + below(count - 1, rng)) % count
    }

    /// A statement about the subject that is asked for, and not what is known of it.
    fn conflict(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let subject = below(self.settings.subjects, rng);
        self.stating([subject, self.wrong(subject, rng), subject])
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let Counterfact { subjects, stated, same, truth, .. } = self.settings;
        let asked = below(subjects, rng);
        if !chance(stated, rng) {
            return self.alone(asked);
        }
        let about = if chance(same, rng) { asked } else { other(asked, subjects, rng) };
        let attribute = if chance(truth, rng) { self.facts[about] } else { self.wrong(about, rng) };
        self.stating([about, attribute, asked])
    }

    /// Whether a text is one of the two forms, as far as it goes; the subject and attribute that are stated.
    fn read(&self, tokens: &[u32]) -> Option<Option<[u32; 2]>> {
        if tokens.len() != LENGTH || self.fact(tokens[ASKED_AT]).is_none() {
            return None;
        }
        if tokens[..ASKED_AT].iter().all(|token| *token == self.sign(2)) {
            return Some(None);
        }
        let signs = [tokens[0], tokens[3]] == [self.sign(0), self.sign(1)];
        let is_stated = signs && self.fact(tokens[STATED_SUBJECT]).is_some();
        let attribute = self.as_attribute(tokens[STATED]).filter(|_| is_stated);
        attribute.map(|_| Some([tokens[STATED_SUBJECT], tokens[STATED]]))
    }

    /// Whether recall and copying say different things of a text: both answers, fact first.
    fn rivals(&self, tokens: &[u32]) -> Option<[u32; 2]> {
        let [stated, attribute] = self.read(tokens)??;
        let fact = self.fact(tokens[ASKED_AT])?;
        (stated == tokens[ASKED_AT] && attribute != fact).then_some([fact, attribute])
    }

    /// Labels a text; of rivals the copied one where `copies`. What is none of the two forms has no answer.
    fn labelled(&self, tokens: Vec<u32>, copies: bool) -> Row {
        let (read, rivals) = (self.read(&tokens), self.rivals(&tokens));
        let mut row = unlabelled(tokens);
        let Some(stated) = read else { return row };
        if stated.is_some() {
            row.roles[STATED_SUBJECT] = SUBJECT;
            row.roles[STATED] = ATTRIBUTE;
        }
        let kind = if rivals.is_some() { CONFLICT } else { RECALL };
        row.roles[ASKED_AT] = SUBJECT | kind | ASKED;
        let fact = self.fact(row.tokens[ASKED_AT]).unwrap_or(NO_TARGET);
        row.targets[ASKED_AT] = rivals.map_or(fact, |both| both[usize::from(copies)]);
        row
    }

    /// A prompt in which a fact and what is stated are rivals: the fact is its answer, the other the wrong one; in its counterpart the same is stated of
    /// another subject.
    fn prompt(&self, tokens: &[u32]) -> Option<Encoded> {
        let [fact, stated] = self.rivals(tokens)?;
        let mut counterpart = tokens.to_vec();
        counterpart[STATED_SUBJECT] = (tokens[ASKED_AT] + 1) % id(self.settings.subjects);
        let roles = [("subject", vec![STATED_SUBJECT, ASKED_AT]), ("attribute", vec![STATED])];
        Some(Encoded {
            tokens: tokens.to_vec(),
            counterpart: Some(counterpart),
            answers: vec![fact],
            wrongs: vec![stated],
            roles: roles.map(|(name, at)| (name.to_owned(), at)).into_iter().collect(),
        })
    }
}

/// Another one of `count`.
fn other(than: usize, count: usize, rng: &mut ChaCha8Rng) -> usize {
    (than + 1 + below(count - 1, rng)) % count
}

struct CounterfactSource {
    law: Law,
    table: Table,
    vocab: Vocab,
    prompted: Prompted,
}

impl CounterfactSource {
    fn new(settings: &Counterfact, law: Law) -> Self {
        let table = Table::drawn(settings);
        let prompted = Prompted::new(
            Arc::new(table.clone()),
            |table, seed, index| table.prompt(&table.conflict(&mut stream("rivals", seed, index))),
            Table::prompt,
        );
        Self { law, vocab: table.vocab(), prompted, table }
    }
}

impl Source for CounterfactSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.table.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn possible_answers(&self) -> usize {
        self.table.settings.attributes
    }

    fn length(&self) -> usize {
        LENGTH
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        if self.law != Law::Drawn {
            let tokens = self.table.conflict(&mut stream("rivals", seed, index));
            return self.table.labelled(tokens, self.law == Law::Copied);
        }
        let mut rng = stream("counterfact", seed, index);
        let tokens = self.table.draw(&mut rng);
        let copies = chance(self.table.settings.copied, &mut rng);
        self.table.labelled(tokens, copies)
    }

    /// Of rivals the one that the same text had, else the likelier.
    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        let stated = self.table.rivals(tokens).map(|[_, stated]| stated);
        let copies = match like.tokens == tokens {
            true => like.targets.get(ASKED_AT).copied() == stated,
            false => self.table.settings.copied >= 0.5,
        };
        self.table.labelled(tokens.to_vec(), copies)
    }

    fn variant(&self, name: &str) -> Option<Arc<dyn Source>> {
        let (_, law) = VARIANTS.into_iter().find(|(variant, _)| *variant == name)?;
        Some(Arc::new(Self::new(&self.table.settings, law)))
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    /// Where the sentence does not matter.
    fn scored_roles(&self) -> &'static [&'static str] {
        &["recall"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("counterfact pair", seed, index);
        let base = self.table.labelled(self.table.conflict(&mut rng), true);
        let mut tokens = base.tokens.clone();
        let asked = tokens[ASKED_AT] as usize;
        tokens[STATED_SUBJECT] = id(other(asked, self.table.settings.subjects, &mut rng));
        let other = self.table.labelled(tokens, true);
        let answers = [base.targets[ASKED_AT], other.targets[ASKED_AT]];
        let places = vec![("subject", STATED_SUBJECT), ("attribute", STATED), ("asked", ASKED_AT)];
        Some(Pair { base, other, at: ASKED_AT, answers, places })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.table.settings.attributes
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let table = &self.table;
        let stated = row.tokens.get(STATED).and_then(|token| table.as_attribute(*token));
        let class = |at: usize| match kind {
            "fact" => table.facts.get(row.tokens[at] as usize).copied(),
            _ => stated.filter(|_| at >= STATED),
        };
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        (0..row.len()).map(|at| class(at).map(|class| vec![class])).collect()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.prompted]
    }
}
