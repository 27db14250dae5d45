//! The lab: runs, what is looked at and what is known of it, without any drawing.

pub mod analyses;
pub mod compared;
pub mod effect;
pub mod examination;
pub mod follow;
pub mod following;
pub mod generation;
pub mod interventions;
pub mod live;
pub mod panels;
mod playback;
pub mod prompt;
pub mod run;
pub mod scoring;
mod selection;
pub mod tuple_edit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Readings};
use crate::base::weights::Weights;
use crate::formats::tokenizer::Begin;
use crate::panel::Selection;
use crate::run::experiment::Experiment;
use crate::run_folder::recording::Recording;
use crate::sweep::Sweep;
use crate::task::prompts::FirstText;

use analyses::Analyses;
use compared::{Comparison, Wanted};
use examination::Examination;
use following::Following;
use generation::Generation;
use panels::Panels;
use playback::Playback;
use run::{Begun, Opened, Order, Origin, Place, Run};
use scoring::Scoring;

/// More sentences than this are not kept: what goes wrong at every step would push everything else away.
const MOST_TROUBLES: usize = 20;

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
    /// What begins a text that is written (BOS), where the network has a choice.
    pub begin: Begin,
    /// What was wrong with the text that was typed last.
    pub text_note: Option<String>,
    pub selection: Selection,
    /// Nobody has chosen a head yet: the one that scores highest as an induction head comes into focus once that is known.
    awaits_head: bool,
    /// The step in view; `None` means the newest.
    pub step: Option<u64>,
    /// Interventions tried on a step of the past: they change the examination, not the run.
    pub trial: Vec<Intervention>,
    /// The one of them that a click on a map of patching brought.
    /// What a hand brought into force and lifted, until somebody asks.
    changes: Vec<interventions::Change>,
    patched: Option<Intervention>,
    pub readings: Option<Arc<Readings>>,
    /// What was selected when these came.
    answered_for: Selection,
    /// The sequence in view while its answers are late.
    late: examination::Late,
    /// Layers that have come of the next ones.
    pub arriving: Option<Arc<Readings>>,
    /// Answers about the sequence before something in a tuple was changed by hand.
    pub before_edit: Option<Arc<Readings>>,
    /// Why there are no readings of what is in view.
    pub failure: Option<String>,
    /// How well the network does with what is in force, as last examined.
    pub effect: Option<Arc<Readings>>,
    /// Counts changes to what is looked at and to what is known of it.
    pub revision: u64,
    /// Counts the changes of the experiment in the form.
    pub drafted: u64,
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
    pub examination: Examination,
    /// What is compared with what is in view.
    pub comparison: Comparison,
    /// Long questions.
    pub analyses: Analyses,
    /// Text that the network writes.
    pub generation: Generation,
    /// Scores of the steps of a series.
    pub scoring: Scoring,
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
            begin: Begin::Tokenizer,
            text_note: None,
            selection: Selection::default(),
            awaits_head: false,
            step: None,
            trial: Vec::new(),
            changes: Vec::new(),
            patched: None,
            readings: None,
            answered_for: Selection::default(),
            late: examination::Late::default(),
            arriving: None,
            before_edit: None,
            failure: None,
            effect: None,
            revision: 0,
            drafted: 0,
            news: 0,
            troubles: Vec::new(),
            speed: None,
            playback: Playback::default(),
            runs_folder,
            no_folder: None,
            next_folder: None,
            comparison: Comparison::default(),
            analyses: Analyses::new(wake.clone()),
            generation: Generation::default(),
            scoring: Scoring::default(),
            examination: Examination::new(wake),
        }
    }

    pub fn run(&self) -> Option<&Run> {
        self.runs.get(self.current)
    }

    /// Which run is in view; 0 for none.
    pub fn run_id(&self) -> u64 {
        self.run().map_or(0, |run| run.id)
    }

    /// The experiment in the form.
    pub fn draft(&self) -> Option<&Experiment> {
        self.run().map(|run| &run.draft)
    }

    /// The same, to be changed.
    pub fn draft_mut(&mut self) -> Option<&mut Experiment> {
        self.drafted += 1;
        self.runs.get_mut(self.current).map(|run| &mut run.draft)
    }

    /// The runs as panels want them: the one in view first.
    pub fn recordings(&self) -> Vec<(String, Arc<Recording>)> {
        self.recordings_from(self.current)
    }

    /// The same, another one first.
    pub fn recordings_from(&self, first: usize) -> Vec<(String, Arc<Recording>)> {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|&i| i != first);
        order
            .into_iter()
            .map(|i| (self.runs[i].name.clone(), self.runs[i].recording.clone()))
            .collect()
    }

    /// The step whose state is looked at.
    pub fn step_in_view(&self) -> u64 {
        let Some(run) = self.run() else { return self.step.unwrap_or(0) };
        let followed = run.following.as_ref().and_then(Following::shown);
        self.step.or(followed).unwrap_or(run.recording.last_step)
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
        self.order(experiment, origin, false);
    }

    fn order(&mut self, experiment: Experiment, origin: Origin, paused: bool) {
        let place = match (self.next_folder.take(), &self.runs_folder) {
            (Some(folder), _) => Place::Folder(folder),
            (None, Some(library)) => Place::Library(library.clone()),
            (None, None) => Place::Nowhere(self.no_folder.take()),
        };
        self.orders.push(Order { experiment, origin, place, paused });
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

    /// Adds a run that was recorded before.
    pub fn opened(&mut self, opened: Opened) {
        for problem in opened.problems.clone() {
            self.trouble(problem);
        }
        let name = self.free_name(&opened.name());
        let is_ours = self.writes(opened.folder().map(PathBuf::as_path));
        let run = opened.into_run(name);
        // What this program writes it need not look for.
        self.add(Run { following: run.following.filter(|_| !is_ours), ..run });
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
        self.examination.retire();
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
        let heads = &run.info.net.heads;
        let head = heads.get(self.selection.layer).is_some_and(|&n| self.selection.head < n);
        if !head || self.prompt.is_empty() {
            // The last layer is where an induction head reads off its answer.
            self.selection.layer = heads.iter().rposition(|&n| n > 0).unwrap_or(0);
            self.selection.head = 0;
            self.awaits_head = run.info.net.is_read;
        }
        let first_text = run.info.source.facet::<FirstText>().map(|text| text.0);
        self.send_speed();
        self.draw_sequence(self.drawn.unwrap_or(0));
        if let Some(text) = own_text.or(first_text) {
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
        self.arriving = None;
        self.failure = None;
        self.effect = None;
        self.comparison.forget();
        self.examination.forget();
        self.analyses.forget();
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

    /// A new run from the step in view, with the settings of the form. It waits, so that what is to be frozen or cut in it can be,
    /// unless it is to go on at once.
    ///
    /// # Errors
    /// When there are no weights to go on from.
    pub fn branch(&mut self, at_once: bool) -> Result<()> {
        let (step, weights, from) = self.weights_in_view()?;
        let Some(run) = self.run() else { return Ok(()) };
        let mut experiment = run.draft.clone();
        experiment.name = format!("{} from {step}", run.experiment.name);
        self.order(experiment, Origin::Branch { step, weights, from }, !at_once);
        Ok(())
    }

    /// Takes in what has happened since the last frame and asks what the panels need, of what is in view and of `others`.
    pub fn tick(
        &mut self,
        calls: &[MeasurementCall],
        analyses: &[MeasurementCall],
        others: &[Wanted],
        now: Instant,
    ) {
        for index in 0..self.runs.len() {
            self.drain(index, now);
            self.drain_followed(index, now);
        }
        self.play(now);
        self.take_written();
        self.take_replies(now);
        self.examine(calls, others, now);
        self.analyse(analyses, others, now);
        self.score();
    }

    /// Whether something is under way that a later frame should show.
    pub fn is_busy(&self) -> bool {
        let pending =
            |r: &Run| r.training.as_ref().is_some_and(|t| t.is_running() || t.is_awaited());
        self.playback.playing
            || self.examination.is_busy()
            || self.analyses.is_busy()
            || self.generation.is_running()
            || self.is_behind()
            || self.runs.iter().any(pending)
    }
}

/// The text with a capital letter at its beginning.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
