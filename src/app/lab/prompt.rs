//! The sequence in view: drawn, written by hand, or changed in one place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::error::{Error, Result};
use crate::base::settings;
use crate::base::vocab::Vocab;
use crate::formats::tokenizer::Begin;
use crate::panel::{Selection, positions};
use crate::run::experiment::Experiment;
use crate::task::held_out_seed;
use crate::task::prompts::{Beginnings, PromptSet};
use crate::task::tree_path::Trees;

use super::Lab;
use super::run::RunInfo;
use super::tuple_edit::{TupleEdit, edited};

/// The sequence in view and what is selected in it.
#[derive(Clone)]
pub struct InView {
    /// The run that it is shown to.
    pub run: u64,
    prompt: Arc<Row>,
    drawn: Option<u64>,
    rules: Arc<Row>,
    rules_of: u64,
    selection: Selection,
}

impl InView {
    pub fn asks_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.prompt, &other.prompt) || self.prompt.tokens == other.prompt.tokens
    }

    /// Wherever the positions in view begin.
    pub fn selects_the_same(&self, other: &Self) -> bool {
        let selected = |s: &Selection| (s.layer, s.head, s.query, s.key);
        selected(&self.selection) == selected(&other.selection)
    }
}

/// What was read of a network anew, asked the set of prompts that it was asked before.
///
/// # Errors
/// When it has a task of its own now.
pub(super) fn asked_again(before: &Experiment, mut anew: Experiment) -> Result<Experiment> {
    let said = settings::to_table(&mut *before.task.boxed());
    for name in ["prompts", "begin"] {
        if let Some(value) = said.get(name) {
            anew.set(&format!("task.{name}"), value)?;
        }
    }
    Ok(anew)
}

impl Lab {
    pub fn in_view(&self) -> InView {
        InView {
            run: self.run_id(),
            prompt: self.prompt.clone(),
            drawn: self.drawn,
            rules: self.rules.clone(),
            rules_of: self.rules_of,
            selection: self.selection.clone(),
        }
    }

    /// Shows what was in view before, if it was of the run that is in view.
    pub fn bring_back(&mut self, seen: InView) {
        if seen.run != self.run_id() {
            return;
        }
        self.text_note = None;
        self.before_edit = None;
        (self.prompt, self.drawn) = (seen.prompt, seen.drawn);
        (self.rules, self.rules_of) = (seen.rules, seen.rules_of);
        self.selection = seen.selection;
        self.changed();
    }

    /// The text that was written by hand, if that is what is in view.
    pub(super) fn own_text(&self) -> Option<String> {
        (self.drawn.is_none() && self.run().is_some()).then(|| self.text())
    }

    pub fn draw_sequence(&mut self, index: u64) {
        let Some(run) = self.run() else { return };
        // Those of the held-out batch, which were never trained on and which the cloud shows.
        let seed = held_out_seed(run.experiment.train.seed as u64);
        let row = Arc::new(run.info.source.shown(seed, index));
        // A position whose answer has been seen before shows what the window is about; of a tree, its root; else the
        // last one at which something is asked.
        let root = run.info.source.facet::<Trees>().map(|trees| trees.script().root());
        let mut repeats = (0..row.len()).filter(|&at| row.occurrence.get(at) >= Some(&2));
        let readable = repeats.clone().take_while(|at| *at < positions::IN_VIEW).last();
        let telling = readable.or_else(|| repeats.next()).or(root);
        let keep = self.selection.query.filter(|&q| q < row.len() && row.occurrence[q] >= 2);
        let asked = row.targets.iter().rposition(|target| *target != NO_TARGET);
        self.selection.query = keep.or(telling).or(asked).or(row.len().checked_sub(1));
        self.selection.key = None;
        self.selection.first = None;
        self.drawn = Some(index);
        self.rules_of = index;
        self.rules = row.clone();
        self.text_note = None;
        self.before_edit = None;
        self.lift_patched();
        self.prompt = row;
        self.changed();
    }

    /// The sequence in view as a figure sheet says it: the number of one that is held out, and in its place a text, or the tokens where
    /// these are not told by a text alone.
    pub fn asked_about(&self) -> (u64, Option<String>, Option<Vec<u32>>) {
        let Some(run) = self.run().filter(|_| self.drawn.is_none()) else {
            return (self.rules_of, None, None);
        };
        if run.info.source.facet::<Beginnings>().is_some() {
            return (self.rules_of, None, Some(self.prompt.tokens.clone()));
        }
        (self.rules_of, Some(run.info.vocab.spell(&self.prompt.tokens)), None)
    }

    /// Whether a set of prompts can be asked: of a network of another program.
    pub fn reads_prompts(&self) -> bool {
        self.run().is_some_and(|run| run.info.net.is_read)
    }

    /// What the network in view is asked where that is a set of prompts.
    ///
    /// # Errors
    /// When it has a task of its own.
    pub fn asked_prompts(&self, path: &Path) -> Result<Experiment> {
        let Some(run) = self.run().filter(|_| self.reads_prompts()) else {
            return Err(Error::usage(format!(
                "{} is a set of prompts, which a network of another program is asked: open one first",
                path.display()
            )));
        };
        let mut experiment = run.experiment.clone();
        experiment.set("task.prompts", &path.to_string_lossy().as_ref().into())?;
        experiment.set("task.begin", &self.begin.name().into())?;
        Ok(experiment)
    }

    /// The file of the set of prompts that the network in view is asked, if one is open.
    pub fn prompts_file(&self) -> Option<PathBuf> {
        let set = self.run()?.info.source.facet::<PromptSet>()?;
        Some(set.file.clone())
    }

    /// Which prompt of a set is in view, from 1 on, and how many there are.
    pub fn prompt_of_set(&self) -> Option<(u64, u64)> {
        let set = self.run()?.info.source.facet::<PromptSet>()?;
        let all = set.len() as u64;
        Some((self.drawn?.checked_rem(all)? + 1, all))
    }

    /// Turns the network in view to a set of prompts that was read for it.
    pub fn take_prompts(&mut self, run: u64, experiment: Experiment, info: RunInfo) {
        let Some(index) = self.runs.iter().position(|other| other.id == run) else { return };
        let file = |info: &RunInfo| info.source.facet::<PromptSet>().map(|set| set.file.clone());
        // The same set with something else before its prompts is gone through from where it was.
        let is_same = file(&self.runs[index].info) == file(&info);
        self.runs[index].replace(experiment, info);
        self.asks_anew(index);
        if index == self.current {
            self.draw_sequence(if is_same { self.rules_of } else { 0 });
        }
    }

    /// The sequence after the one that was drawn last.
    pub fn draw_next(&mut self) {
        self.draw_sequence(self.drawn.map_or(0, |n| n + 1));
    }

    /// Asks about another text. What of it cannot be read is said beside it, and the sequence stays.
    pub fn set_text(&mut self, text: &str) {
        let Some(run) = self.run() else { return };
        let longest = run.info.net.length;
        let mut tokens = match run.info.vocab.encode(text) {
            Ok(tokens) if tokens.is_empty() => {
                self.text_note = Some("Write at least one character.".to_owned());
                return;
            }
            Ok(tokens) => tokens,
            Err(error) => {
                self.text_note = Some(error.message);
                return;
            }
        };
        let special = about_special(&run.info.vocab, text, &tokens);
        if let Some(beginnings) = run.info.source.facet::<Beginnings>() {
            tokens = beginnings.begun(self.begin, &tokens);
        }
        let left_out = tokens.len().saturating_sub(longest);
        tokens.truncate(longest);
        let too_long = (left_out > 0).then(|| {
            format!("This network reads {longest} tokens: the last {left_out} are left out.")
        });
        let row = run.info.source.label(&tokens, &self.rules);
        let notes: Vec<String> = too_long.into_iter().chain(special).collect();
        self.text_note = (!notes.is_empty()).then(|| notes.join(" "));
        let inside = |at: &usize| *at < row.len();
        // Whoever writes on at the end looks at the end.
        let end = self.prompt.len().checked_sub(1);
        let query = self.selection.query.filter(|at| inside(at) && Some(*at) != end);
        self.selection.query = query.or(row.len().checked_sub(1));
        // A key is that token, not that place.
        let stays = |at: &usize| row.tokens.get(*at) == self.prompt.tokens.get(*at);
        self.selection.key = self.selection.key.filter(inside).filter(stays);
        self.selection.first = None;
        self.drawn = None;
        self.before_edit = None;
        self.lift_patched();
        self.prompt = Arc::new(row);
        self.changed();
    }

    /// Puts something else before the text in view (BOS), and before texts that are written from now on.
    pub fn begin_text_with(&mut self, begin: Begin) {
        let Some(run) = self.run() else { return };
        let Some(beginnings) = run.info.source.facet::<Beginnings>() else { return };
        let mut tokens = beginnings.begun(begin, &self.prompt.tokens);
        tokens.truncate(run.info.net.length);
        let (count, before) = (tokens.len(), self.prompt.len());
        let row = run.info.source.label(&tokens, &self.rules);
        let along = |at: usize| {
            let at = (at + count).saturating_sub(before);
            (at < row.len()).then_some(at)
        };
        self.selection.query = self.selection.query.and_then(along);
        self.selection.key = self.selection.key.and_then(along);
        self.selection.first = None;
        self.begin = begin;
        if row.tokens == self.prompt.tokens {
            return;
        }
        self.drawn = None;
        self.before_edit = None;
        self.lift_patched();
        self.prompt = Arc::new(row);
        self.changed();
    }

    /// Says something else in the selected tuple of the sequence in view.
    pub fn edit_tuple(&mut self, edit: TupleEdit) {
        let Some(tokens) = edited(self, edit) else { return };
        self.before_edit = self.readings.clone().filter(|r| Arc::ptr_eq(&r.prompt, &self.prompt));
        let Some(run) = self.run() else { return };
        self.prompt = Arc::new(run.info.source.label(&tokens, &self.rules));
        self.text_note = None;
        self.drawn = None;
        self.changed();
    }

    /// The sequence in view as text.
    pub fn text(&self) -> String {
        let Some(run) = self.run() else { return String::new() };
        run.info.vocab.spell(&self.prompt.tokens)
    }

    /// Looks at these tokens: as the held-out sequence that they are, else under the rules of the last one drawn.
    pub(super) fn show_tokens(&mut self, tokens: &[u32]) {
        /// Sequences to look through: a task tries some before one makes a pair.
        const LOOKED_THROUGH: u64 = 64;
        let Some(run) = self.run() else { return };
        let seed = held_out_seed(run.experiment.train.seed as u64);
        let is_it = |&i: &u64| run.info.source.sequence(seed, i).tokens == tokens;
        if let Some(index) = (0..LOOKED_THROUGH).find(is_it) {
            return self.draw_sequence(index);
        }
        let row = run.info.source.label(tokens, &self.rules);
        self.drawn = None;
        self.text_note = None;
        self.before_edit = None;
        self.prompt = Arc::new(row);
        let inside = |at: &usize| *at < self.prompt.len();
        self.selection.key = self.selection.key.filter(inside);
        self.changed();
    }
}

/// Which special tokens a text spells: a tokenizer reads them as such and not letter by letter.
fn about_special(vocab: &Vocab, text: &str, tokens: &[u32]) -> Option<String> {
    /// More of them are one too many for a line.
    const NAMED: usize = 3;
    let is_spelled = |id: &&u32| vocab.is_special(**id) && text.contains(vocab.text(**id));
    let ids: BTreeSet<u32> = tokens.iter().filter(is_spelled).copied().collect();
    let names = ids.iter().take(NAMED).map(|id| format!("\"{}\"", vocab.glyph(*id)));
    let (names, more) = (names.collect::<Vec<_>>().join(", "), ids.len().saturating_sub(NAMED));
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (are, as_one) =
        if ids.len() == 1 { ("is", "a special token") } else { ("are", "special tokens") };
    (!ids.is_empty()).then(|| format!("{names}{more} {are} read as {as_one}, not as letters."))
}
