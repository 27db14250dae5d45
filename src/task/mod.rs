//! What is learned: settings that open into a seeded source of labelled sequences. No tensors here.

pub mod addition;
pub mod affine;
pub mod associative_retrieval;
pub mod automaton;
pub mod bigram;
mod chance;
pub mod components;
pub mod copy;
pub mod counterfact;
pub mod facts;
pub mod flip_flop;
pub mod groups;
pub mod interleaved;
pub mod max_of_list;
pub mod mixed_target;
pub mod numpy;
pub mod passkey;
pub mod prompted;
pub mod prompts;
pub mod reference_back;
pub mod statistics;
pub mod tree_path;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::documents::Documents;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::registry::Entry;
use crate::base::settings::{self, Settings};
use crate::base::vocab::Vocab;

/// All tasks.
pub const ALL: &[Entry<dyn Task>] = &[
    Entry { name: "bigram", make: || Box::new(bigram::Bigram::default()) },
    Entry { name: "tree_path", make: || Box::new(tree_path::TreePath::default()) },
    Entry { name: "reference_back", make: || Box::new(reference_back::ReferenceBack::default()) },
    Entry { name: "automaton", make: || Box::new(automaton::Automaton::default()) },
    Entry { name: "flip_flop", make: || Box::new(flip_flop::FlipFlop::default()) },
    Entry { name: "copy", make: || Box::new(copy::Copying::default()) },
    Entry { name: "passkey", make: || Box::new(passkey::Passkey::default()) },
    Entry { name: "addition", make: || Box::new(addition::Addition::default()) },
    Entry { name: "max_of_list", make: || Box::new(max_of_list::MaxOfList::default()) },
    Entry { name: "counterfact", make: || Box::new(counterfact::Counterfact::default()) },
    Entry { name: "facts", make: || Box::new(facts::Facts::default()) },
    Entry { name: "interleaved", make: || Box::new(interleaved::Interleaved::default()) },
    Entry { name: "affine_recurrence", make: || Box::new(affine::AffineRecurrence::default()) },
    Entry { name: "mixed_target", make: || Box::new(mixed_target::MixedTarget::default()) },
    Entry {
        name: "associative_retrieval",
        make: || Box::new(associative_retrieval::AssociativeRetrieval::default()),
    },
];

/// The settings of a task.
pub trait Task: Settings + Send + Sync {
    /// Reads what it needs and checks its settings against each other.
    ///
    /// # Errors
    /// When a file cannot be read or two settings contradict each other.
    fn open(&self) -> Result<Arc<dyn Source>>;
    /// A copy.
    fn boxed(&self) -> Box<dyn Task>;
    /// Takes paths among its settings as paths from `folder` on: that of the experiment file.
    fn resolve(&mut self, _folder: &Path) {}
    /// The same settings, which open into what they opened into when a run began: `documents` are those of the
    /// source then ([`Source::documents`]), whatever has become of the files since.
    ///
    /// # Errors
    /// When the documents are damaged.
    fn restored(&self, _documents: &Documents) -> Result<Box<dyn Task>> {
        Ok(self.boxed())
    }
    /// The setting that says how long sequences are, in what it counts; `None` where none does without making another task of
    /// it.
    fn length_setting(&self) -> Option<&'static str> {
        None
    }
    /// The same task, all of whose sequences have `count` of what [`Self::length_setting`] counts, and which can be asked about
    /// sequences as long. `None` where there is no such setting, or it takes no such number.
    fn of_length(&self, count: usize) -> Option<Box<dyn Task>> {
        with_each(self.boxed(), &[self.length_setting()?], count)
    }
}

/// The task with each of these settings at `count`; `None` where one of them does not take it.
fn with_each(mut task: Box<dyn Task>, names: &[&str], count: usize) -> Option<Box<dyn Task>> {
    let value = toml::Value::from(i64::try_from(count).ok()?);
    names.iter().try_for_each(|name| settings::set(&mut *task, "task.", name, &value)).ok()?;
    Some(task)
}

/// A source of sequences. Sequence `index` of a seed is the same in any order and on any thread.
pub trait Source: Send + Sync {
    fn vocab(&self) -> &Vocab;
    /// The settings that it was opened from, to open the same task with others; `None` where it does not keep them.
    fn settings(&self) -> Option<Box<dyn Task>> {
        None
    }
    /// Names of the roles; bit `i` of `Row::roles` is the `i`-th.
    fn roles(&self) -> &'static [&'static str];
    /// How many tokens may be the right one where a target stands, by the rules of the task: who guesses among them alike is
    /// right once in so many times, with a loss of its logarithm.
    fn possible_answers(&self) -> usize {
        self.vocab().len()
    }
    /// Positions in a sequence.
    fn length(&self) -> usize;
    /// Positions of the longest sequence that a network of this task can be asked about: its tables of positions and its
    /// rotations have as many rows. At least [`Self::length`].
    fn longest(&self) -> usize {
        self.length()
    }
    fn sequence(&self, seed: u64, index: u64) -> Row;
    /// What a person is shown by that number: the same, or a prompt of a set.
    fn shown(&self, seed: u64, index: u64) -> Row {
        self.sequence(seed, index)
    }
    /// Labels tokens that a person wrote; `like` is the sequence they replace (its triggers stay in force).
    fn label(&self, tokens: &[u32], like: &Row) -> Row;
    /// The same task under another law, e.g. `other_outputs`; `None` where there is no such thing.
    fn variant(&self, _name: &str) -> Option<Arc<dyn Source>> {
        None
    }
    /// The role of those positions that must all be right for a sequence to count as solved; `None`: accuracy is
    /// counted by position only.
    fn solved_by(&self) -> Option<&'static str> {
        None
    }
    /// Roles whose accuracy is recorded by itself, as `accuracy_<role>`.
    fn scored_roles(&self) -> &'static [&'static str] {
        &[]
    }
    /// The kinds of counterfactual pairs that it makes.
    fn pair_kinds(&self) -> &'static [PairKind] {
        &[]
    }
    /// Pair `index` of a kind and a seed, the same in any order and on any thread; `None` where there is no such
    /// kind, or these settings allow no such pair.
    fn pair(&self, _kind: &str, _seed: u64, _index: u64) -> Option<Pair> {
        None
    }
    /// The kinds of labels that it offers for positions, to be read out of a network.
    fn label_kinds(&self) -> &'static [LabelKind] {
        &[]
    }
    /// How many classes the labels of a kind have, or how many truths.
    fn label_classes(&self, _kind: &str) -> usize {
        0
    }
    /// What a kind says of each position of a sequence: the number of its class, or of all truths that hold. `None` where it
    /// says nothing. Empty where there is no such kind, or the sequence is not one of the task.
    fn labels(&self, _kind: &str, _row: &Row) -> Vec<Option<Vec<usize>>> {
        Vec::new()
    }
    /// What it knows beside that: values of types that are declared beside the tasks which have them, at most one of each.
    /// `source.facet::<F>()` asks for the one of type `F`.
    fn facets(&self) -> Vec<&dyn Any> {
        Vec::new()
    }
    /// What its sequences depend on besides the settings and this program, for the run folder to keep.
    fn documents(&self) -> Result<Documents> {
        Ok(Documents::new())
    }
}

impl<'s> dyn Source + 's {
    /// What only some tasks know, by its type: [`bigram::GlobalLaw`], [`bigram::Triggers`], [`tree_path::Trees`],
    /// [`reference_back::TupleText`], [`automaton::Machine`], [`groups::Groups`], [`components::Components`], [`associative_retrieval::Text`],
    /// [`prompted::Prompted`],
    /// [`Reals`](crate::base::batch::Reals). `None` where this one does not know it. A measurement that needs it asks for it, never for
    /// the name of a task.
    pub fn facet<F: Any>(&self) -> Option<&F> {
        self.facets().into_iter().find_map(<dyn Any>::downcast_ref)
    }
}

/// The task of a source with some settings changed, e.g. its sequences longer or otherwise distributed; its vocabulary is the
/// same, so that a network of the one reads the other. All changes together must make sense, in whatever order they stand.
///
/// # Errors
/// When the source does not keep its settings, a setting is refused, or the vocabulary becomes another one.
pub fn altered(source: &dyn Source, changes: &[(String, toml::Value)]) -> Result<Arc<dyn Source>> {
    let mut task = source.settings().ok_or_else(|| {
        Error::usage(
            "this task does not keep the settings that it was opened from, so it cannot be asked with others; leave them as they are or use a task that keeps them",
        )
    })?;
    for (name, value) in changes {
        settings::set(&mut *task, "task.", name, value)?;
    }
    let named: Vec<String> = changes.iter().map(|(name, _)| format!("task.{name}")).collect();
    opened(&*task, source, &named.join(", "))
}

/// The task of a source in sequences with `count` of what its length counts: [`Task::of_length`].
///
/// # Errors
/// When the source does not keep its settings, the task makes no such sequences, or the vocabulary becomes another one.
pub fn of_length(source: &dyn Source, count: usize) -> Result<Arc<dyn Source>> {
    let none = || Error::usage(format!("this task makes no sequences of length {count}"));
    let task = source.settings().and_then(|task| task.of_length(count)).ok_or_else(none)?;
    opened(&*task, source, "its length")
}

/// A task with other values of what is `named`, for a network that reads `source`.
fn opened(task: &dyn Task, source: &dyn Source, named: &str) -> Result<Arc<dyn Source>> {
    let other = task.open()?;
    if other.vocab() == source.vocab() {
        return Ok(other);
    }
    Err(Error::usage(format!(
        "with other values of {named} this task has {} tokens where it has {}, or others: a network reads only those that it was trained on; change settings that leave the vocabulary as it is",
        other.vocab().len(),
        source.vocab().len()
    )))
}

/// The variant of a task whose sequences are four times as long: of those that keep their settings.
pub const LONGER: &str = "longer";

/// The same task in sequences that are four times as long as its own; `None` where it has no such.
pub fn longer(source: &dyn Source) -> Option<Arc<dyn Source>> {
    let task = source.settings()?;
    let mut own = task.boxed();
    let length = settings::to_table(&mut *own).get(task.length_setting()?)?.as_integer()?;
    of_length(source, usize::try_from(length).ok()?.checked_mul(4)?).ok()
}

/// Tokens without targets and roles; nothing of what is to come is determined by what was.
fn unlabelled(tokens: Vec<u32>) -> Row {
    let count = tokens.len();
    Row {
        tokens,
        targets: vec![NO_TARGET; count],
        roles: vec![0; count],
        occurrence: vec![0; count],
        ..Row::default()
    }
}

/// As many numbers, and zeros after the last: those of a sequence that is replaced by a longer one.
fn resized(numbers: &[f32], count: usize) -> Vec<f32> {
    numbers.iter().copied().chain(std::iter::repeat(0.0)).take(count).collect()
}

/// Whether there are sequences in which an answer stands in the context.
pub fn has_occurrences(source: &dyn Source) -> bool {
    let seen = |i| source.sequence(0, i).occurrence.iter().any(|&count| count > 0);
    match source.facet::<bigram::Triggers>() {
        // A rare trigger may be absent from one sequence, or from many.
        Some(triggers) => triggers.count > 0,
        None => (0..16).any(seen),
    }
}

/// The seed of the held-out sequences of a run. A run's own seed is below 2^32 (`train.seed`), this one is
/// above 2^63: no held-out sequence is ever trained on, whatever the two runs.
pub fn held_out_seed(seed: u64) -> u64 {
    !(seed & u64::from(u32::MAX))
}

/// Whether a seed is one of [`held_out_seed`]: what applies to training alone leaves its sequences as they are.
pub fn is_held_out(seed: u64) -> bool {
    seed > u64::from(u32::MAX)
}

/// Sequences `from..from + rows` of a seed as one batch.
pub fn batch(source: &dyn Source, seed: u64, from: u64, rows: usize) -> Batch {
    let rows: Vec<Row> = (0..rows as u64).map(|i| source.sequence(seed, from + i)).collect();
    Batch::from_rows(&rows)
}
