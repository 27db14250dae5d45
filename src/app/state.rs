//! The lab: runs, what is looked at and what is known of it, without any drawing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::figure::{Patch, Pick};
use crate::panel::Selection;
use crate::record::batch::Row;
use crate::record::error::{Error, Result};
use crate::record::event::{Event, MarkKind, State};
use crate::record::folder::Reader;
use crate::record::intervention::{How, Intervention};
use crate::record::question::{ProbeCall, Readings};
use crate::record::recording::Recording;
use crate::record::sweep::{Sweep, diverged};
use crate::record::weights::Weights;
use crate::run::experiment::Experiment;
use crate::run::session::Command;
use crate::task::held_out_seed;
use crate::task::tree_path::Trees;

use super::ask::Asking;
use super::jobs::Jobs;
use super::panes::Panels;
use super::panes::gating::{Change, retold};
use super::run::{Begun, Opened, Order, Origin, Place, Run, Training};

/// Events are taken in for at most this long a frame, so that a flood of them never stops the window.
const DRAIN: Duration = Duration::from_millis(10);

/// More sentences than this are not kept: what goes wrong at every step would push everything else away.
const MOST_TROUBLES: usize = 20;

/// Walking through recorded steps by itself.
pub struct Playback {
    pub steps_per_second: f64,
    pub playing: bool,
    last: Option<Instant>,
}

impl Playback {
    /// From one recorded step to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.steps_per_second.max(0.1))
    }
}

/// Everything the window knows. Changed by events, answers and actions; drawn by the rest of `app`.
pub struct Lab {
    /// The panels that there are.
    pub panels: Panels,
    pub runs: Vec<Run>,
    pub current: usize,
    /// The sweep that is open.
    pub sweep: Option<Arc<Sweep>>,
    /// How many runs this window has had.
    runs_had: u64,
    /// Runs that are still to be begun: building them is work for another thread.
    pub orders: Vec<Order>,
    /// How many are being built.
    pub building: usize,
    pub prompt: Arc<Row>,
    /// Number of the drawn sequence; `None` once its text was edited.
    pub drawn: Option<u64>,
    /// The sequence that was drawn last: an edited text takes its rules.
    rules: Arc<Row>,
    /// Its number.
    rules_of: u64,
    /// What was wrong with the text that was typed last.
    pub text_note: Option<String>,
    pub selection: Selection,
    /// The step in view; `None` means the newest.
    pub step: Option<u64>,
    /// Interventions tried on a step of the past: they change the examination, not the run.
    pub trial: Vec<Intervention>,
    /// The one of them that a click on a map of patching brought.
    patched: Option<Intervention>,
    pub readings: Option<Arc<Readings>>,
    /// Why there are no readings of what is in view.
    pub failure: Option<String>,
    /// How well the network does with what is in force, as last examined.
    pub effect: Option<Arc<Readings>>,
    /// The same without anything in force, at the step of `effect`.
    pub baseline: Option<Arc<Readings>>,
    /// Counts changes to what is looked at and to what is known of it.
    pub revision: u64,
    /// Counts news of training: metrics, marks, recorded steps.
    pub news: u64,
    pub troubles: Vec<Error>,
    pub speed: Option<f64>,
    pub playback: Playback,
    /// Where new runs are recorded; `None`: in memory only.
    pub runs_folder: Option<PathBuf>,
    /// Why there is no such place, said once with the first run.
    pub no_folder: Option<Error>,
    /// Where the next run is recorded, if that was said.
    pub next_folder: Option<PathBuf>,
    pub asking: Asking,
    /// Long questions.
    pub jobs: Jobs,
}

impl Lab {
    /// `wake` is called from the examiner's thread when an answer has come.
    pub fn new(
        panels: Panels,
        runs_folder: Option<PathBuf>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            panels,
            runs: Vec::new(),
            current: 0,
            sweep: None,
            runs_had: 0,
            orders: Vec::new(),
            building: 0,
            prompt: Arc::default(),
            drawn: Some(0),
            rules: Arc::default(),
            rules_of: 0,
            text_note: None,
            selection: Selection::default(),
            step: None,
            trial: Vec::new(),
            patched: None,
            readings: None,
            failure: None,
            effect: None,
            baseline: None,
            revision: 0,
            news: 0,
            troubles: Vec::new(),
            speed: None,
            playback: Playback { steps_per_second: 10.0, playing: false, last: None },
            runs_folder,
            no_folder: None,
            next_folder: None,
            jobs: Jobs::new(wake.clone()),
            asking: Asking::new(wake),
        }
    }

    pub fn run(&self) -> Option<&Run> {
        self.runs.get(self.current)
    }

    /// Which run is in view; 0 for none.
    pub fn run_id(&self) -> u64 {
        self.run().map_or(0, |run| run.id)
    }

    pub fn training(&self) -> Option<&Training> {
        self.run()?.training.as_ref()
    }

    fn training_mut(&mut self) -> Option<&mut Training> {
        self.runs.get_mut(self.current)?.training.as_mut()
    }

    pub fn is_training(&self) -> bool {
        self.training().is_some_and(Training::is_running)
    }

    /// Whether any run trains, in view or not.
    pub fn any_training(&self) -> bool {
        self.runs.iter().any(|run| run.training.as_ref().is_some_and(Training::is_running))
    }

    /// Whether run, pause and step mean something now. A run that has done all its steps goes on once the form
    /// gives it more.
    pub fn can_train(&self) -> bool {
        let Some(run) = self.run() else { return false };
        let steps = run.experiment.train.steps as u64;
        let more = steps == 0 || steps > run.recording.last_step;
        run.training.as_ref().is_some_and(|t| {
            !t.gone
                && match t.state {
                    State::Running | State::Paused => true,
                    State::Finished => more,
                    State::Failed => false,
                }
        })
    }

    /// The experiment in the form.
    pub fn draft(&self) -> Option<&Experiment> {
        self.run().map(|run| &run.draft)
    }

    pub fn draft_mut(&mut self) -> Option<&mut Experiment> {
        self.runs.get_mut(self.current).map(|run| &mut run.draft)
    }

    /// The runs as panels want them: the one in view first.
    pub fn recordings(&self) -> Vec<(String, Arc<Recording>)> {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|&i| i != self.current);
        order
            .into_iter()
            .map(|i| (self.runs[i].name.clone(), self.runs[i].recording.clone()))
            .collect()
    }

    /// The step whose state is looked at.
    pub fn step_in_view(&self) -> u64 {
        self.step.or_else(|| self.run().map(|r| r.recording.last_step)).unwrap_or(0)
    }

    /// Whether interventions change training, or only what is looked at.
    pub fn acts_on_training(&self) -> bool {
        self.step.is_none() && self.training().is_some_and(|t| !t.gone)
    }

    /// What changes the network in view, and what can be undone.
    pub fn in_force(&self) -> Vec<Intervention> {
        let training = self.training().filter(|_| self.acts_on_training());
        let trained_with = training.map_or(&[][..], |training| &training.in_force[..]);
        [trained_with, &self.trial].concat()
    }

    pub fn changed(&mut self) {
        self.revision += 1;
    }

    /// Shows a sentence until it is dismissed; the same one only once, as the newest.
    pub fn trouble(&mut self, error: Error) {
        self.troubles.retain(|e| e.message != error.message);
        self.troubles.push(error);
        let surplus = self.troubles.len().saturating_sub(MOST_TROUBLES);
        self.troubles.drain(..surplus);
    }

    /// Carries out what may fail; a failure becomes a sentence in the window.
    pub fn attempt(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = act(self) {
            self.trouble(error);
        }
    }

    /// Has a run begun: it is built on another thread and comes back through [`Self::begun`].
    pub fn start(&mut self, experiment: Experiment, origin: Origin) {
        let place = match (self.next_folder.take(), &self.runs_folder) {
            (Some(folder), _) => Place::Folder(folder),
            (None, Some(library)) => Place::Library(library.clone()),
            (None, None) => Place::Nowhere(self.no_folder.take()),
        };
        self.orders.push(Order { experiment, origin, place });
    }

    /// Shows a run that was begun. Two trainings at once would halve each other's speed: the others are held.
    pub fn begun(&mut self, begun: Begun) {
        let name = self.free_name(begun.name());
        if let Some(trouble) = begun.trouble.clone() {
            self.trouble(trouble);
        }
        self.hold_others(usize::MAX);
        self.add(begun.into_run(name));
        self.send_speed();
    }

    /// Pauses every run but this one.
    fn hold_others(&mut self, but: usize) {
        let others = self.runs.iter_mut().enumerate().filter(|(i, _)| *i != but);
        for training in others.filter_map(|(_, run)| run.training.as_mut()) {
            if training.is_running() {
                training.send(Command::Pause);
                training.expect(State::Paused);
            }
        }
    }

    /// Adds a run that was recorded before.
    pub fn opened(&mut self, opened: Opened) {
        for problem in opened.problems.clone() {
            self.trouble(problem);
        }
        let name = self.free_name(&opened.name());
        self.add(opened.into_run(name));
    }

    fn add(&mut self, run: Run) {
        self.runs_had += 1;
        self.runs.push(Run { id: self.runs_had, ..run });
        self.choose(self.runs.len() - 1);
    }

    /// Takes the run in view out of the window. What comes back is to be dropped elsewhere: it may train one more
    /// step and save. The recording stays on the disk.
    pub fn close(&mut self) -> Option<Run> {
        if self.current >= self.runs.len() {
            return None;
        }
        let own_text = self.own_text();
        let run = self.runs.remove(self.current);
        self.asking.retire();
        self.playback.playing = false;
        self.show(self.current.min(self.runs.len().saturating_sub(1)), own_text.as_deref());
        self.changed();
        Some(run)
    }

    fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.runs.iter().any(|run| run.name == name);
        let numbered = (2..).map(|n| format!("{wanted} ({n})"));
        std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// Shows a run; a text of one's own is kept if the run's task can read it.
    pub fn choose(&mut self, index: usize) {
        let own_text = self.own_text();
        self.show(index, own_text.as_deref());
    }

    /// The text that was written by hand, if that is what is in view.
    fn own_text(&self) -> Option<String> {
        (self.drawn.is_none() && self.run().is_some()).then(|| self.text())
    }

    fn show(&mut self, index: usize, own_text: Option<&str>) {
        self.step = None;
        self.trial.clear();
        self.forget_answers();
        self.current = index;
        let sharers = self.runs.len();
        for run in self.runs.iter_mut().filter(|run| run.recording.sharers != sharers) {
            Arc::make_mut(&mut run.recording).share(sharers);
        }
        let Some(run) = self.runs.get(index) else { return };
        let heads = &run.bench.net.heads;
        let head = heads.get(self.selection.layer).is_some_and(|&n| self.selection.head < n);
        if !head || self.prompt.is_empty() {
            // The last layer is where an induction head reads off its answer.
            self.selection.layer = heads.iter().rposition(|&n| n > 0).unwrap_or(0);
            self.selection.head = 0;
        }
        self.send_speed();
        self.draw_sequence(self.drawn.unwrap_or(0));
        if let Some(text) = own_text {
            self.set_text(text);
            self.text_note = None;
        }
    }

    /// The run `by` places further on in the list, from its end to its beginning.
    pub fn choose_by(&mut self, by: isize) {
        let count = isize::try_from(self.runs.len()).unwrap_or(0);
        if count > 1 {
            let at = isize::try_from(self.current).unwrap_or(0);
            self.choose((at + by).rem_euclid(count).unsigned_abs());
        }
    }

    fn forget_answers(&mut self) {
        self.readings = None;
        self.failure = None;
        self.effect = None;
        self.baseline = None;
        self.asking.forget();
        self.jobs.forget();
    }

    pub fn draw_sequence(&mut self, index: u64) {
        let Some(run) = self.run() else { return };
        // Those of the held-out batch, which were never trained on and which the cloud shows.
        let seed = held_out_seed(run.experiment.train.seed as u64);
        let row = Arc::new(run.bench.source.sequence(seed, index));
        // A position whose answer has been seen before shows what the window is about; of a tree, its root.
        let root = run.bench.source.facet::<Trees>().map(|trees| trees.script().root());
        let telling = row.occurrence.iter().rposition(|&n| n >= 2).or(root);
        let keep = self.selection.query.filter(|&q| q < row.len() && row.occurrence[q] >= 2);
        self.selection.query = keep.or(telling).or(row.len().checked_sub(1));
        self.selection.key = None;
        self.drawn = Some(index);
        self.rules_of = index;
        self.rules = row.clone();
        self.text_note = None;
        self.lift_patched();
        self.prompt = row;
        self.changed();
    }

    /// The sequence in view as a figure sheet says it: the number of one that is held out, and the text in its place.
    pub fn asked_about(&self) -> (u64, Option<String>) {
        let text = || self.run().map(|run| run.bench.vocab.spell(&self.prompt.tokens));
        (self.rules_of, if self.drawn.is_none() { text() } else { None })
    }

    /// The sequence after the one that was drawn last.
    pub fn draw_next(&mut self) {
        self.draw_sequence(self.drawn.map_or(0, |n| n + 1));
    }

    /// Asks about another text. What of it cannot be read is said beside it, and the sequence stays.
    pub fn set_text(&mut self, text: &str) {
        let Some(run) = self.run() else { return };
        let longest = run.bench.net.length;
        let mut tokens = match run.bench.vocab.encode(text) {
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
        let count = tokens.len();
        tokens.truncate(longest);
        let note = format!(
            "This network reads {longest} tokens: the last {} are left out.",
            count.saturating_sub(longest)
        );
        let row = run.bench.source.label(&tokens, &self.rules);
        self.text_note = (count > longest).then_some(note);
        let inside = |at: &usize| *at < row.len();
        self.selection.query = self.selection.query.filter(inside).or(row.len().checked_sub(1));
        self.selection.key = self.selection.key.filter(inside);
        self.drawn = None;
        self.lift_patched();
        self.prompt = Arc::new(row);
        self.changed();
    }

    /// Says something else in the selected tuple of the sequence in view.
    pub fn retell(&mut self, change: Change) {
        let Some(tokens) = retold(self, change) else { return };
        let Some(run) = self.run() else { return };
        self.prompt = Arc::new(run.bench.source.label(&tokens, &self.rules));
        self.text_note = None;
        self.drawn = None;
        self.changed();
    }

    /// The sequence in view as text.
    pub fn text(&self) -> String {
        let Some(run) = self.run() else { return String::new() };
        run.bench.vocab.spell(&self.prompt.tokens)
    }

    /// One selection for all panels.
    pub fn pick(&mut self, pick: &Pick, shift: bool) {
        let selection = &mut self.selection;
        match *pick {
            // A run is opened by the window.
            Pick::Nothing | Pick::Token(_) | Pick::Run(_) => return,
            Pick::Query(at) | Pick::Key(at) if shift => selection.key = Some(at),
            Pick::Query(at) => selection.query = Some(at),
            Pick::Key(at) => selection.key = Some(at),
            Pick::QueryKey { query, key } => {
                selection.query = Some(query);
                selection.key = Some(key);
            }
            Pick::Head { layer, head } => {
                selection.layer = layer;
                selection.head = head;
            }
            Pick::Step(step) => return self.view(Some(step)),
            Pick::Patch(ref patch) => return self.show_patched(patch),
            Pick::CloudPoint { sequence, position, is_key } => {
                return self.pick_cloud_point(sequence, position, is_key);
            }
        }
        self.changed();
    }

    /// Brings the base of a pair into view with one place taken from the run on its counterfactual; once more, and
    /// that is lifted. One place at a time: what another click brought is lifted before.
    fn show_patched(&mut self, patch: &Patch) {
        let how = How::Patch(patch.other.to_vec());
        let what = Intervention::Change { place: patch.place.clone(), how };
        let here = self.prompt.tokens[..] == patch.base[..];
        let again = here && self.in_force().contains(&what);
        self.lift_patched();
        if again {
            return self.lift(&what);
        }
        if !here {
            self.show_tokens(&patch.base);
        }
        self.selection.query = Some(patch.at).filter(|at| *at < self.prompt.len());
        self.patched = Some(what.clone());
        self.intervene(what);
    }

    /// What a click on a map brought holds for its sequence alone.
    fn lift_patched(&mut self) {
        if let Some(what) = self.patched.take() {
            self.trial.retain(|t| *t != what);
            self.changed();
        }
    }

    /// Looks at these tokens: as the held-out sequence that they are, else under the rules of the last one drawn.
    fn show_tokens(&mut self, tokens: &[u32]) {
        /// Sequences to look through: a task tries some before one makes a pair.
        const LOOKED_THROUGH: u64 = 64;
        let Some(run) = self.run() else { return };
        let seed = held_out_seed(run.experiment.train.seed as u64);
        let is_it = |&i: &u64| run.bench.source.sequence(seed, i).tokens == tokens;
        if let Some(index) = (0..LOOKED_THROUGH).find(is_it) {
            return self.draw_sequence(index);
        }
        let row = run.bench.source.label(tokens, &self.rules);
        self.drawn = None;
        self.text_note = None;
        self.prompt = Arc::new(row);
        let inside = |at: &usize| *at < self.prompt.len();
        self.selection.key = self.selection.key.filter(inside);
        self.changed();
    }

    /// Points of other sequences bring that sequence into view.
    fn pick_cloud_point(&mut self, sequence: usize, position: usize, is_key: bool) {
        if self.drawn != Some(sequence as u64) {
            self.draw_sequence(sequence as u64);
        }
        if position >= self.prompt.len() {
            return;
        }
        let slot = if is_key { &mut self.selection.key } else { &mut self.selection.query };
        *slot = Some(position);
        self.changed();
    }

    /// Moves the selected query (or key) by `by` positions.
    pub fn move_selection(&mut self, by: isize, key: bool) {
        let last = self.prompt.len().saturating_sub(1);
        let slot = if key { &mut self.selection.key } else { &mut self.selection.query };
        let from = slot.unwrap_or(if by > 0 { 0 } else { last });
        *slot = Some(from.saturating_add_signed(by).min(last));
        self.changed();
    }

    /// Moves the focus by `by` heads through all layers.
    pub fn move_head(&mut self, by: isize) {
        let Some(run) = self.run() else { return };
        let heads = run.bench.net.heads.iter().enumerate();
        let all: Vec<(usize, usize)> =
            heads.flat_map(|(l, &n)| (0..n).map(move |h| (l, h))).collect();
        let here = (self.selection.layer, self.selection.head);
        let at = all.iter().position(|h| *h == here).unwrap_or(0);
        if let Some(&(layer, head)) =
            all.get(at.saturating_add_signed(by).min(all.len().saturating_sub(1)))
        {
            self.selection.layer = layer;
            self.selection.head = head;
            self.changed();
        }
    }

    /// Looks at the recorded step nearest to `step`, or at the newest.
    pub fn view(&mut self, step: Option<u64>) {
        let Some(run) = self.run() else { return };
        let step = step.and_then(|s| run.recording.nearest_recorded(s));
        if step != self.step {
            if step.is_none() || self.step.is_none() {
                self.trial.clear();
            }
            self.step = step;
            self.changed();
        }
    }

    /// Moves the step in view by `by` recorded steps; past the last one is live.
    pub fn move_step(&mut self, by: isize) {
        let Some(run) = self.run() else { return };
        let recorded = &run.recording.recorded;
        let here = match self.step {
            Some(step) => recorded.partition_point(|&s| s < step),
            None => recorded.len(),
        };
        let to = here.saturating_add_signed(by);
        let step = recorded.get(to).copied();
        if step.is_none() {
            self.playback.playing = false;
        }
        self.view(step);
    }

    /// Training or the step of the past in view, whichever is looked at.
    pub fn intervene(&mut self, what: Intervention) {
        if self.acts_on_training() && !what.needs_reference() {
            if let Some(training) = self.training_mut() {
                training.send(Command::Intervene(what));
                training.ask_for_weights();
            }
        } else if what.changes_forward() {
            if !self.trial.contains(&what) {
                self.trial.push(what);
            }
        } else {
            self.trouble(Error::usage(
                "freezing changes training, and a step of the past is not trained: go back to live, or branch from this step and freeze there",
            ));
        }
        self.changed();
    }

    pub fn lift(&mut self, what: &Intervention) {
        if self.acts_on_training() && !self.trial.contains(what) {
            if let Some(training) = self.training_mut() {
                training.send(Command::Lift(what.clone()));
                training.ask_for_weights();
            }
        } else {
            self.trial.retain(|t| t != what);
        }
        self.changed();
    }

    /// Brings these into force and lifts all others.
    pub fn operate(&mut self, wanted: &[Intervention]) {
        let now = self.in_force();
        for what in now.iter().rev().filter(|what| !wanted.contains(what)) {
            self.lift(what);
        }
        for what in wanted.iter().filter(|what| !now.contains(what)) {
            self.intervene(what.clone());
        }
    }

    /// Asks training for a live setting; the run's own experiment follows the answer.
    pub fn set_live(&mut self, name: String, value: toml::Value) {
        if let Some(training) = self.training_mut() {
            training.ask_for(name, value);
        }
    }

    /// Cuts the head in focus, or mends it.
    pub fn cut_or_mend_head(&mut self) {
        let cut = self.head_cut();
        if self.in_force().contains(&cut) { self.lift(&cut) } else { self.intervene(cut) }
    }

    pub fn lift_newest(&mut self) {
        if let Some(what) = self.in_force().last() {
            self.lift(what);
        }
    }

    pub fn lift_all(&mut self) {
        for what in self.in_force().iter().rev() {
            self.lift(what);
        }
    }

    pub fn clear_selection(&mut self) {
        self.selection.query = None;
        self.selection.key = None;
        self.changed();
    }

    /// Plays from the step in view, from the first one when that is the newest.
    pub fn play_or_hold(&mut self) {
        self.playback.playing = !self.playback.playing;
        if self.playback.playing && self.step.is_none() {
            self.view(Some(0));
        }
    }

    /// The folder of each run in the window, in their order.
    pub fn folders_of_runs(&self) -> impl Iterator<Item = Option<&PathBuf>> {
        self.runs.iter().map(|run| run.recording.folder.as_ref())
    }

    /// Folders of the runs in the window.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.runs.iter().filter_map(|run| run.recording.folder.clone()).collect()
    }

    /// The step in view, its weights where they are at hand, and the folder that has them otherwise.
    ///
    /// # Errors
    /// When no step is known yet.
    pub fn weights_in_view(&self) -> Result<(u64, Option<Arc<Weights>>, Option<PathBuf>)> {
        let run = self.run().ok_or_else(|| Error::usage("there is no run"))?;
        let folder = run.recording.folder.clone();
        let shown = run.training.as_ref().and_then(|t| t.shown.clone());
        if self.step.is_none()
            && let Some(weights) = shown
        {
            return Ok((weights.step, Some(weights), folder));
        }
        let step = self.step.or_else(|| run.recording.recorded.last().copied());
        let step = step.ok_or_else(|| {
            Error::usage("no weights are recorded yet: let training run a moment")
        })?;
        Ok((step, None, folder))
    }

    /// Continues training from the step in view as a new run, with the settings of the form.
    ///
    /// # Errors
    /// When there are no weights to go on from.
    pub fn branch(&mut self) -> Result<()> {
        let (step, weights, from) = self.weights_in_view()?;
        let Some(run) = self.run() else { return Ok(()) };
        let mut experiment = run.draft.clone();
        experiment.name = format!("{} from {step}", run.experiment.name);
        self.start(experiment, Origin::Branch { step, weights, from });
        Ok(())
    }

    /// What cutting the head in focus means.
    pub fn head_cut(&self) -> Intervention {
        Intervention::cut_head(self.selection.layer, self.selection.head)
    }

    pub fn run_or_pause(&mut self) {
        self.go(!self.is_training());
    }

    /// Lets training go on, or holds it.
    pub fn go(&mut self, on: bool) {
        let (command, state) =
            if on { (Command::Run, State::Running) } else { (Command::Pause, State::Paused) };
        if on {
            self.hold_others(self.current);
        }
        if let Some(training) = self.training_mut() {
            training.send(command);
            training.expect(state);
        }
    }

    /// How fast the run in view may go, as chosen in the top bar.
    pub fn send_speed(&mut self) {
        self.command(Command::Speed(self.speed));
    }

    pub fn single_step(&mut self) {
        if let Some(training) = self.training_mut() {
            training.send(Command::Step);
            training.expect(State::Paused);
        }
    }

    pub fn command(&mut self, command: Command) {
        if let Some(training) = self.training_mut() {
            training.send(command);
        }
    }

    /// Takes in what has happened since the last frame and asks what the panels need.
    pub fn tick(&mut self, calls: &[ProbeCall], inquiries: &[ProbeCall], now: Instant) {
        for index in 0..self.runs.len() {
            self.drain(index, now);
        }
        self.play(now);
        super::ask::take_replies(self, now);
        super::ask::ask(self, calls, now);
        super::jobs::tick(self, inquiries, now);
    }

    fn drain(&mut self, index: usize, now: Instant) {
        while now.elapsed() < DRAIN {
            let Some(training) = &mut self.runs[index].training else { return };
            match training.session.events.try_recv() {
                Ok(event) => self.take_in(index, event),
                Err(crossbeam_channel::TryRecvError::Empty) => return,
                Err(crossbeam_channel::TryRecvError::Disconnected) => {
                    if !training.gone {
                        training.end();
                        self.changed();
                    }
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, index: usize, event: Event) {
        self.news += 1;
        let run = &mut self.runs[index];
        let recording = Arc::make_mut(&mut run.recording);
        let Some(training) = &mut run.training else { return };
        match event {
            Event::Started { folder, columns, step } => {
                recording.folder = folder;
                recording.columns = columns;
                recording.last_step = recording.last_step.max(step);
            }
            Event::Metrics(row) => {
                recording.add_row(row);
            }
            Event::Mark(mark) => recording.add_mark(mark),
            Event::Recorded { step } => {
                if recording.recorded.last().is_none_or(|&last| last < step) {
                    recording.recorded.push(step);
                }
            }
            Event::Thinned { steps } => {
                recording.recorded = steps;
                if index == self.current && self.step.is_some() {
                    // The step in view may be one that went.
                    self.view(self.step);
                }
            }
            Event::Weights(weights) => {
                recording.last_step = recording.last_step.max(weights.step);
                training.take_weights(weights);
            }
            Event::Progress { step, steps_per_second, state } => {
                recording.last_step = recording.last_step.max(step);
                training.steps_per_second = steps_per_second;
                training.report(state);
            }
            Event::Doing(doing) => training.doing = doing,
            Event::InForce(list) => training.in_force = list,
            Event::Live(settings) => {
                if let Err(error) = run.follow(&settings) {
                    self.trouble(error);
                }
            }
            Event::Missed => {
                // What was missed is in the folder.
                match recording.folder.clone().map(|folder| Reader::open(&folder)) {
                    Some(Ok(reader)) => {
                        let sharers = recording.sharers;
                        *recording = reader.recording;
                        recording.share(sharers);
                    }
                    Some(Err(error)) => self.trouble(error),
                    None => {}
                }
            }
            Event::Notice(error) => self.trouble(error),
            Event::Trouble(error) => {
                training.give_up(recording.last_step);
                let name = run.name.clone();
                self.trouble(error.context(name));
            }
        }
    }

    fn play(&mut self, now: Instant) {
        if !self.playback.playing {
            self.playback.last = None;
            return;
        }
        let interval = self.playback.interval();
        match self.playback.last {
            Some(last) if now.duration_since(last) < interval => return,
            // One at a time: a step that is skipped is not seen.
            Some(_) if self.asking.is_busy() => return,
            _ => {}
        }
        self.playback.last = Some(now);
        self.move_step(1);
    }

    /// The state of training in words, for the top bar.
    pub fn state_in_words(&self) -> String {
        let Some(run) = self.run() else {
            let building = self.building > 0 || !self.orders.is_empty();
            return if building { "Starting" } else { "No run" }.to_owned();
        };
        if let Some(step) = self.step {
            return format!("Looking back at step {step}");
        }
        let marks = &run.recording.marks;
        let diverged = diverged(marks).map(|step| format!("diverged at step {step}"));
        let emerged = marks.iter().rev().find(|m| m.kind == MarkKind::Emergence);
        let learned = emerged.map(|mark| format!("{} at step {}", mark.text, mark.step));
        let Some(training) = &run.training else {
            return capital(&diverged.or(learned).unwrap_or_else(|| "recorded run".to_owned()));
        };
        let doing = Some(training.doing.clone()).filter(|text| !text.is_empty());
        let doing = doing.or(learned);
        let state = match training.state {
            State::Running => None,
            State::Paused => Some("paused"),
            State::Finished => Some("finished"),
            State::Failed => Some(diverged.as_deref().unwrap_or("stopped by an error")),
        };
        capital(&match (state, doing) {
            (Some(state), Some(doing)) => format!("{state} · {doing}"),
            (Some(state), None) => state.to_owned(),
            (None, doing) => doing.unwrap_or_else(|| "starting".to_owned()),
        })
    }

    /// Whether something is under way that a later frame should show.
    pub fn is_busy(&self) -> bool {
        let pending =
            |r: &Run| r.training.as_ref().is_some_and(|t| t.is_running() || t.is_awaited());
        self.playback.playing
            || self.asking.is_busy()
            || self.jobs.is_busy()
            || self.is_behind()
            || self.runs.iter().any(pending)
    }

    /// Whether the panels show an older step than the newest one that they could show.
    fn is_behind(&self) -> bool {
        let Some(run) = self.run() else { return false };
        self.step.is_none()
            && self.asking.wanted
            && run.training.as_ref().is_some_and(|t| t.is_behind(run.recording.last_step))
    }
}

/// The text with a capital letter at its beginning.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
