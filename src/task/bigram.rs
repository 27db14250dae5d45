//! Characters after the bigram law of a text, in which a few triggers are followed by an output of this sequence alone.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::base::batch::{NO_TARGET, Row};
use crate::base::convert;
use crate::base::documents::{BIGRAMS, Documents, UNIGRAMS};
use crate::base::error::{Error, Result};
use crate::base::pair::{Pair, PairKind};
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::vocab::Vocab;
use crate::formats::file::meant;

use super::statistics::Statistics;
use super::{Source, Task};

crate::choices! {
    /// Where triggers come from.
    pub enum TriggerChoice { Fixed = "fixed", Random = "random" }
}

crate::choices! {
    /// The law that outputs are drawn from.
    pub enum Outputs { Uniform = "uniform", Bigram = "bigram" }
}

crate::settings! {
    /// Settings of the task of Bietti et al. 2023: sequences that mix a global bigram law with a few
    /// in-context bigrams.
    pub struct Bigram = "Characters after the bigram law of a text; after a trigger always comes the output that was drawn for this sequence. Predicting it takes an induction head." {
        /// Number of triggers in a sequence.
        triggers: usize = 5, in 0..=10;
        /// fixed: the same triggers, the most frequent characters, in every sequence. random: drawn for each sequence, frequent characters more often.
        choice: TriggerChoice = TriggerChoice::Fixed;
        /// Fixed triggers: how many of the most frequent characters to pass over first.
        offset: usize = 0, in 0..=1000;
        /// Law of the outputs: uniform over all characters, or the bigram law after the trigger.
        outputs: Outputs = Outputs::Uniform;
        /// Never draw a trigger as its own output.
        no_repeat: bool = false;
        /// Characters in a sequence.
        length: usize = 256, in 2..=1024;
        /// Characters of the longest text that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=1024;
        /// Show the triggers of a sequence at its start, where they fire no rule and are no part of the loss.
        show_latents: bool = false;
        /// A UTF-8 text file to count characters in, from the folder of the experiment file on; empty: tiny Shakespeare. A run keeps the counts, not the text. After a character that only ends the text, the next is drawn by frequency alone.
        text: String = String::new();
        /// Keep the carriage return of a line end of Windows as a character of its own. Else a line ends in one character, whatever wrote the text.
        carriage_returns: bool = false;
    }
}

impl Task for Bigram {
    fn open(&self) -> Result<Arc<dyn Source>> {
        self.source(&Arc::new(Statistics::open(&self.text, self.carriage_returns)?))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }

    fn resolve(&mut self, folder: &Path) {
        if !self.text.is_empty() {
            // An absolute path stays as it is.
            self.text = folder.join(meant(&self.text)).to_string_lossy().into_owned();
        }
    }

    fn restored(&self, documents: &Documents) -> Result<Box<dyn Task>> {
        if self.text.is_empty() {
            return Ok(self.boxed());
        }
        // What the text says today is another law than the one that was trained on.
        if let Some(name) = [UNIGRAMS, BIGRAMS].iter().find(|name| !documents.contains_key(**name))
        {
            return Err(Error::input(format!(
                "the counts of its text are gone: there is no task/{name}, and the text {} may say something else today. Put the folder task back from a copy; or, if the text is what it was, make the counts again: train the experiment.toml of this run for one step with --out NEW and copy NEW/task into the run",
                self.text
            )));
        }
        Ok(self.counted(Arc::new(Statistics::from_documents(documents)?)))
    }
}

/// The task with the counts of its text as they were when a run of it began.
#[derive(Clone)]
struct Counted {
    settings: Bigram,
    /// What was counted: another text in the settings, or another reading of it, is read anew.
    counted: (String, bool),
    statistics: Arc<Statistics>,
}

impl Settings for Counted {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Task for Counted {
    fn open(&self) -> Result<Arc<dyn Source>> {
        if self.settings.reading() == self.counted {
            self.settings.source(&self.statistics)
        } else {
            self.settings.open()
        }
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        self.settings.length_setting()
    }

    fn resolve(&mut self, folder: &Path) {
        if self.settings.text != self.counted.0 {
            self.settings.resolve(folder);
        }
    }

    fn restored(&self, documents: &Documents) -> Result<Box<dyn Task>> {
        self.settings.restored(documents)
    }
}

impl Bigram {
    /// The text that is counted, and how it is read.
    fn reading(&self) -> (String, bool) {
        (self.text.clone(), self.carriage_returns)
    }

    fn counted(&self, statistics: Arc<Statistics>) -> Box<dyn Task> {
        Box::new(Counted { settings: self.clone(), counted: self.reading(), statistics })
    }

    fn source(&self, statistics: &Arc<Statistics>) -> Result<Arc<dyn Source>> {
        let tables = Tables::new(statistics);
        self.check(&tables.vocab)?;
        Ok(Arc::new(BigramSource {
            settings: self.clone(),
            triggers: self.which_triggers(&tables.by_frequency),
            tables: Arc::new(tables),
            text: (!self.text.is_empty()).then(|| statistics.clone()),
        }))
    }

    fn which_triggers(&self, by_frequency: &[u32]) -> Triggers {
        let end = by_frequency.len().saturating_sub(self.offset);
        let most_frequent = || by_frequency.get(end.saturating_sub(self.triggers)..end);
        let is_fixed = self.choice == TriggerChoice::Fixed;
        let fixed = is_fixed.then(most_frequent).flatten().map(<[u32]>::to_vec);
        Triggers { count: self.triggers, fixed }
    }

    fn check(&self, vocab: &Vocab) -> Result<()> {
        let passed_over = if self.choice == TriggerChoice::Fixed { self.offset } else { 0 };
        if self.triggers + passed_over > vocab.len() {
            return Err(Error::usage(format!(
                "task.triggers is {} and task.offset {passed_over}, but the text has only {} distinct characters; lower one of them",
                self.triggers,
                vocab.len()
            )));
        }
        if self.show_latents && self.length <= self.triggers {
            return Err(Error::usage(format!(
                "task.length is {}, all of it taken by the {} triggers that task.show_latents puts first; raise task.length",
                self.length, self.triggers
            )));
        }
        Ok(())
    }
}

/// A facet: the law of the next token where nothing in the sequence determines it.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalLaw {
    /// Probabilities `[vocab, vocab]`, row-major; the row of the current token sums to 1, or holds zeros where nothing follows it.
    pub next: Vec<f32>,
}

/// A facet: tokens that decide the next one within a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggers {
    /// How many a sequence has.
    pub count: usize,
    /// Which, where they are the same in every sequence.
    pub fixed: Option<Vec<u32>>,
}

/// Bits of [`Row::roles`].
const TRIGGER: u8 = 1;
const OUTPUT: u8 = 2;
const SHOWN: u8 = 4;

/// A token that no rule determines the successor of.
const NO_RULE: u32 = u32::MAX;

#[derive(Clone)]
struct BigramSource {
    settings: Bigram,
    triggers: Triggers,
    tables: Arc<Tables>,
    /// The counts of a text that does not come with the program.
    text: Option<Arc<Statistics>>,
}

impl Source for BigramSource {
    fn vocab(&self) -> &Vocab {
        &self.tables.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        let counts = self.text.clone();
        Some(counts.map_or_else(|| self.settings.boxed(), |counts| self.settings.counted(counts)))
    }

    fn roles(&self) -> &'static [&'static str] {
        if self.settings.show_latents {
            &["trigger", "output", "shown"]
        } else {
            &["trigger", "output"]
        }
    }

    fn length(&self) -> usize {
        self.settings.length
    }

    fn longest(&self) -> usize {
        self.settings.longest.max(self.settings.length)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream(seed, index);
        let triggers = self.draw_triggers(&mut rng);
        let mut rules = vec![NO_RULE; self.tables.vocab.len()];
        for &trigger in &triggers {
            rules[trigger as usize] = self.draw_output(trigger, &mut rng);
        }
        let length = self.settings.length;
        let mut tokens = Vec::with_capacity(length + 1);
        if self.settings.show_latents {
            tokens.extend_from_slice(&triggers);
        }
        let mut current = self.tables.unigram.draw(0, &mut rng);
        tokens.push(current);
        while tokens.len() <= length {
            current = match rules[current as usize] {
                NO_RULE => self.tables.bigram.draw(current, &mut rng),
                output => output,
            };
            tokens.push(current);
        }
        let last_target = tokens.pop().unwrap_or(NO_TARGET);
        self.labelled(tokens, last_target, &triggers)
    }

    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        let mut triggers: Vec<u32> = match &self.triggers.fixed {
            Some(fixed) => fixed.clone(),
            None => of_role(like, TRIGGER | SHOWN).collect(),
        };
        triggers.sort_unstable();
        triggers.dedup();
        let same = tokens == like.tokens;
        let last_target = like.targets.last().copied().filter(|_| same).unwrap_or(NO_TARGET);
        self.labelled(tokens.to_vec(), last_target, &triggers)
    }

    fn variant(&self, name: &str) -> Option<Arc<dyn Source>> {
        let outputs = match (name, self.settings.outputs) {
            ("uniform_outputs", _) | ("other_outputs", Outputs::Bigram) => Outputs::Uniform,
            ("bigram_outputs", _) | ("other_outputs", Outputs::Uniform) => Outputs::Bigram,
            _ => return None,
        };
        let settings = Bigram { outputs, ..self.settings.clone() };
        (settings.triggers > 0).then(|| Arc::new(Self { settings, ..self.clone() }) as _)
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.tables.law, &self.triggers]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        if self.settings.triggers > 0 { PAIRS } else { &[] }
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        /// Sequences to look through for a trigger that comes twice.
        const MOST: u64 = 64;
        PAIRS.iter().find(|pair| pair.name == kind)?;
        (0..MOST).find_map(|i| self.another_output(seed, index.wrapping_mul(MOST).wrapping_add(i)))
    }

    fn documents(&self) -> Result<Documents> {
        self.text.as_ref().map_or_else(|| Ok(Documents::new()), |counts| counts.documents())
    }
}

/// Kinds of counterfactual pairs.
const PAIRS: &[PairKind] = &[PairKind {
    name: "output",
    about: "The token after the first occurrence of a trigger is another one: at the second occurrence an induction head predicts that one instead.",
}];

impl BigramSource {
    /// The pair of a sequence and the same with another output after the first occurrence of a trigger, read at the
    /// second; `None` where no trigger comes twice before its output has another part to play.
    fn another_output(&self, seed: u64, index: u64) -> Option<Pair> {
        let base = self.sequence(seed, index);
        let is_trigger = |token: u32| of_role(&base, TRIGGER | SHOWN).any(|t| t == token);
        let seconds = (0..base.len()).filter(|&i| base.occurrence[i] == 2);
        let (first, at) = seconds
            .filter_map(|at| {
                let same =
                    |i: &usize| base.occurrence[*i] == 1 && base.tokens[*i] == base.tokens[at];
                Some(((0..at).find(same)?, at))
            })
            .find(|&(first, at)| first + 1 < at && !is_trigger(base.tokens[first + 1]))?;
        let output = base.tokens[first + 1];
        let mut rng = stream(seed ^ u64::from(output), index);
        let mut triggers: Vec<u32> = of_role(&base, TRIGGER | SHOWN).collect();
        triggers.push(output);
        triggers.sort_unstable();
        triggers.dedup();
        let new = self.tables.uniform.draw_without(0, &triggers, &mut rng)?;
        let mut tokens = base.tokens.clone();
        tokens[first + 1] = new;
        let mut other = self.label(&tokens, &base);
        other.targets[at] = new;
        let places = vec![("trigger", first), ("output", first + 1)];
        Some(Pair { base, other, at, answers: [output, new], places })
    }

    /// Distinct triggers. Random ones are drawn one after the other by frequency, without replacement.
    fn draw_triggers(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        if let Some(fixed) = &self.triggers.fixed {
            return fixed.clone();
        }
        let mut triggers: Vec<u32> = Vec::with_capacity(self.settings.triggers);
        let mut taken = Vec::with_capacity(self.settings.triggers);
        while triggers.len() < self.settings.triggers {
            let Some(trigger) = self.tables.unigram.draw_without(0, &taken, rng) else { break };
            taken.insert(taken.partition_point(|&t| t < trigger), trigger);
            triggers.push(trigger);
        }
        triggers
    }

    fn draw_output(&self, trigger: u32, rng: &mut ChaCha8Rng) -> u32 {
        let (law, row) = match self.settings.outputs {
            Outputs::Uniform => (&self.tables.uniform, 0),
            Outputs::Bigram => (&self.tables.bigram, trigger),
        };
        if !self.settings.no_repeat {
            return law.draw(row, rng);
        }
        // A trigger that nothing but itself follows in the text leaves nothing to draw: frequency decides.
        law.draw_without(row, &[trigger], rng)
            .or_else(|| self.tables.unigram.draw_without(0, &[trigger], rng))
            .unwrap_or(trigger)
    }

    fn labelled(&self, tokens: Vec<u32>, last_target: u32, triggers: &[u32]) -> Row {
        let shown = if self.settings.show_latents { self.settings.triggers } else { 0 };
        let mut seen = vec![None; self.tables.vocab.len()];
        for &trigger in triggers {
            seen[trigger as usize] = Some(0u16);
        }
        let mut row = Row { targets: tokens.iter().skip(1).copied().collect(), ..Row::default() };
        if !tokens.is_empty() {
            row.targets.push(last_target);
        }
        let mut after_trigger = false;
        for (position, &token) in tokens.iter().enumerate() {
            if position < shown {
                row.targets[position] = NO_TARGET;
                row.roles.push(SHOWN);
                row.occurrence.push(0);
                continue;
            }
            let count = seen.get_mut(token as usize).and_then(Option::as_mut);
            let occurrence = count.map_or(0, |n| {
                *n = n.saturating_add(1);
                *n
            });
            let trigger = u8::from(occurrence > 0) * TRIGGER;
            row.roles.push(trigger | (u8::from(after_trigger) * OUTPUT));
            row.occurrence.push(occurrence);
            after_trigger = occurrence > 0;
        }
        row.tokens = tokens;
        row
    }
}

/// Tokens of the positions that have one of these roles.
fn of_role(row: &Row, roles: u8) -> impl Iterator<Item = u32> {
    let positions = row.tokens.iter().zip(&row.roles);
    positions.filter(move |(_, r)| **r & roles != 0).map(|(token, _)| *token)
}

/// The generator of one sequence, keyed by its seed and its index, so that sequences can be drawn in any
/// order and on any thread.
fn stream(seed: u64, index: u64) -> ChaCha8Rng {
    let mut key = *b"................bigram sequences";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The laws of a text, ready to draw from; shared by all variants of a source.
struct Tables {
    vocab: Vocab,
    by_frequency: Vec<u32>,
    law: GlobalLaw,
    unigram: Law,
    uniform: Law,
    bigram: Law,
}

impl Tables {
    fn new(statistics: &Statistics) -> Self {
        let count = statistics.vocab().len();
        Self {
            vocab: statistics.vocab().clone(),
            by_frequency: statistics.by_frequency(),
            law: GlobalLaw { next: statistics.bigram_law() },
            unigram: Law::new(std::iter::once(statistics.unigrams())),
            uniform: Law::new(std::iter::once(vec![1; count].as_slice())),
            bigram: Law::new((0..count).map(|token| statistics.successors(token))),
        }
    }
}

/// Entries of a guide: a draw looks up where its cell can first be and walks on from there.
const GUIDE: usize = 256;

/// Rows of counts to draw columns from, with probabilities exactly proportional to the counts.
struct Law {
    columns: usize,
    /// `[row, columns + 1]`: how many counts lie before a column; the last is the row's total.
    before: Vec<u32>,
    /// `[row, GUIDE]`: the first column that a random number with these upper 8 bits can fall into.
    guide: Vec<u16>,
}

impl Law {
    fn new<'a>(rows: impl Iterator<Item = &'a [u32]>) -> Self {
        let mut law = Self { columns: 0, before: Vec::new(), guide: Vec::new() };
        for row in rows {
            law.columns = row.len();
            let start = law.before.len();
            law.before.push(0);
            let mut sum = 0;
            law.before.extend(row.iter().map(|count| {
                sum += count;
                sum
            }));
            let before = &law.before[start..];
            law.guide.extend((0..GUIDE as u64).map(|bucket| {
                let least = scaled(bucket << 56, sum);
                u16::try_from(before.partition_point(|&b| b <= least) - 1).unwrap_or(u16::MAX)
            }));
        }
        law
    }

    fn row(&self, row: u32) -> &[u32] {
        let width = self.columns + 1;
        &self.before[row as usize * width..(row as usize + 1) * width]
    }

    fn draw(&self, row: u32, rng: &mut ChaCha8Rng) -> u32 {
        let before = self.row(row);
        let random = rng.next_u64();
        let at = scaled(random, before[self.columns]);
        let mut column = usize::from(self.guide[row as usize * GUIDE + (random >> 56) as usize]);
        while before[column + 1] <= at {
            column += 1;
        }
        convert::id(column)
    }

    /// Draws any column but `without` (sorted), or `None` when nothing else has a count.
    fn draw_without(&self, row: u32, without: &[u32], rng: &mut ChaCha8Rng) -> Option<u32> {
        let before = self.row(row);
        let count = |column: u32| before[column as usize + 1] - before[column as usize];
        let left = before[self.columns] - without.iter().map(|&c| count(c)).sum::<u32>();
        if left == 0 {
            return None;
        }
        let mut at = scaled(rng.next_u64(), left);
        for &column in without {
            if at >= before[column as usize] {
                at += count(column);
            }
        }
        Some(convert::id(before.partition_point(|&b| b <= at) - 1))
    }
}

/// Maps a random number evenly onto `0..total`.
fn scaled(random: u64, total: u32) -> u32 {
    convert::low_half(((u128::from(random) * u128::from(total)) >> 64) as u64)
}
