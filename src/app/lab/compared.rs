//! What is compared with what is in view: other subjects, and what they answer to the same questions.

use std::sync::Arc;

use crate::base::batch::{Row, read_by};
use crate::base::intervention::Intervention;
use crate::base::question::{Analyzed, Found, MeasurementCall, Readings};
use crate::base::weights::Weights;
use crate::panel::compare::{Compares, Showing};
use crate::panel::{Beside, Panel, PanelKind, Selection};
use crate::run::examiner::Which;
use crate::run::expectation::EFFECT;

use super::Lab;
use super::examination::Asked;
use super::run::Run;

/// What can be compared: a run at a step, with what is in force and the head in focus.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Which run of the window.
    pub run: u64,
    pub step: Moment,
    pub under: Under,
    /// none: the head that is in focus in the window.
    pub head: Option<(usize, usize)>,
}

/// A step of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// That in view, or in another run the nearest to it that is recorded.
    InView,
    At(u64),
}

/// What is in force in a subject.
#[derive(Clone, Debug, PartialEq)]
pub enum Under {
    /// What is in force in view.
    InForce,
    Nothing,
    These(Vec<Intervention>),
}

/// What panels that are drawn ask a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub subject: Subject,
    pub calls: Vec<MeasurementCall>,
    pub analyses: Vec<MeasurementCall>,
}

/// A sequence as another run reads it, or why it cannot.
type Reread = Result<Arc<Row>, String>;

/// A subject and what it answered.
pub struct Other {
    pub subject: Subject,
    pub readings: Option<Arc<Readings>>,
    /// The answers in view that they stand beside, where both are of one moment; none: the newest.
    pub beside: Option<Arc<Readings>>,
    /// Why there are none.
    pub failure: Option<String>,
    pub analyzed: Analyzed,
    /// The newest of its answers that say how well the network does.
    pub(super) effect: Option<Arc<Readings>>,
    /// What was answered.
    pub(super) answered: Option<Asked>,
    /// The sequence in view as its run reads it.
    read: Option<(Arc<Row>, Reread)>,
}

impl Other {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            readings: None,
            beside: None,
            failure: None,
            analyzed: Analyzed::default(),
            effect: None,
            answered: None,
            read: None,
        }
    }

    /// The sequence in view as its run reads it.
    pub(super) fn prompt(&self) -> Option<&Arc<Row>> {
        self.read.as_ref()?.1.as_ref().ok()
    }

    /// Whether its answers are about this sequence.
    pub fn is_about(&self, prompt: &Arc<Row>) -> bool {
        self.read.as_ref().is_some_and(|(row, read)| {
            let own = read.as_ref().ok().zip(self.readings.as_ref());
            Arc::ptr_eq(row, prompt) && own.is_some_and(|(own, r)| Arc::ptr_eq(own, &r.prompt))
        })
    }
}

impl Subject {
    /// The step in view of a run, without what is in force.
    fn without(run: u64) -> Self {
        Self { run, step: Moment::InView, under: Under::Nothing, head: None }
    }

    /// The last step that is recorded of a run, without what is in force.
    pub fn at_its_end(run: u64) -> Self {
        Self { step: Moment::At(u64::MAX), ..Self::without(run) }
    }

    pub fn selection(&self, selection: &Selection) -> Selection {
        let (layer, head) = self.head.unwrap_or((selection.layer, selection.head));
        Selection { layer, head, ..selection.clone() }
    }
}

/// What is compared, and how it is shown.
#[derive(Default)]
pub struct Comparison {
    /// With what all panels are compared that have no pin.
    pub with: Option<Subject>,
    pub showing: Showing,
    /// Panels that have a subject of their own beside them, by name.
    pub pinned: Vec<(String, Subject)>,
    others: Vec<Other>,
    /// Weights of steps that were pinned and may not be recorded.
    held: Vec<(u64, Arc<Weights>)>,
}

impl Comparison {
    /// With what a panel is compared.
    pub fn of(&self, panel: &str) -> Option<&Subject> {
        let pinned = self.pinned.iter().find(|(name, _)| name == panel);
        pinned.map(|(_, subject)| subject).or(self.with.as_ref())
    }

    /// With what a kind of panel is compared that can be.
    pub fn of_kind(&self, kind: &PanelKind) -> Option<&Subject> {
        self.of(kind.name).filter(|_| kind.compares != Compares::Never)
    }

    /// Whether anything is compared.
    pub fn is_on(&self) -> bool {
        self.with.is_some() || !self.pinned.is_empty()
    }

    pub fn is_pinned(&self, panel: &str) -> bool {
        self.pinned.iter().any(|(name, _)| name == panel)
    }

    pub fn other(&self, subject: &Subject) -> Option<&Other> {
        self.others.iter().find(|other| other.subject == *subject)
    }

    pub(super) fn other_mut(&mut self, subject: &Subject) -> Option<&mut Other> {
        self.others.iter_mut().find(|other| other.subject == *subject)
    }

    /// Keeps the answers of those that are wanted.
    fn keep(&mut self, wanted: &[Wanted]) {
        self.others.retain(|other| wanted.iter().any(|w| w.subject == other.subject));
        for Wanted { subject, .. } in wanted {
            if self.other(subject).is_none() {
                self.others.push(Other::new(subject.clone()));
            }
        }
    }

    /// The sequence in view as a run reads it, where it is compared with what is in view.
    pub(super) fn prompt_of(&self, run: u64) -> Option<&Arc<Row>> {
        self.others.iter().find(|other| other.subject.run == run)?.prompt()
    }

    /// Takes in how far a long question to a subject has come.
    pub(super) fn show(&mut self, subject: &Subject, call: &MeasurementCall, found: Found) {
        let Some(other) = self.other_mut(subject) else { return };
        other.analyzed.by_call.insert(call.key(), found);
    }

    /// What was answered of a run holds no longer.
    pub(super) fn forget_run(&mut self, run: u64) {
        self.others.retain(|other| other.subject.run != run);
    }

    /// Another run is in view.
    pub(super) fn forget(&mut self) {
        self.others.clear();
    }

    fn held(&self, run: u64, step: u64) -> Option<&Arc<Weights>> {
        let is_it = |(of, weights): &&(u64, Arc<Weights>)| *of == run && weights.step == step;
        self.held.iter().find(is_it).map(|(_, weights)| weights)
    }
}

/// What is drawn of a subject.
pub struct Compared<'a> {
    /// Its run, and which one of the window that is.
    pub index: usize,
    pub run: &'a Run,
    pub step: Option<u64>,
    /// Its answers about the sequence in view.
    pub readings: Option<&'a Arc<Readings>>,
    /// The answers in view that they stand beside; none: the newest.
    pub beside: Option<&'a Arc<Readings>>,
    pub failure: Option<&'a str>,
    pub analyzed: Analyzed,
    pub selection: Selection,
}

/// A question to a subject, before it is asked.
pub(super) struct ToAsk {
    pub run: usize,
    pub which: Which,
    pub asked: Asked,
}

impl Lab {
    /// The run of a number.
    pub fn run_of(&self, id: u64) -> Option<(usize, &Run)> {
        self.runs.iter().enumerate().find(|(_, run)| run.id == id)
    }

    /// What panels want, and how well the network does without what is in force: at a step whose accuracy with it is known.
    pub(super) fn with_baseline(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let mut wanted = wanted.to_vec();
        if !self.asks_effect() {
            return wanted;
        }
        let subject = Subject::without(self.run_id());
        let at = wanted.iter().position(|w| w.subject == subject).unwrap_or(wanted.len());
        if at == wanted.len() {
            wanted.push(Wanted { subject, calls: Vec::new(), analyses: Vec::new() });
        }
        let step = |readings: &Option<Arc<Readings>>| readings.as_ref().map(|r| r.step);
        if self.effect.is_some() && step(&self.effect) == step(&self.readings) {
            wanted[at].calls.push(MeasurementCall::new(EFFECT));
        }
        wanted
    }

    /// How well the network does with nothing in force, as last measured.
    pub(super) fn baseline(&self) -> Option<&Arc<Readings>> {
        self.comparison.other(&Subject::without(self.run_id()))?.effect.as_ref()
    }

    /// Keeps what is wanted of others, and has each of them read the sequence in view.
    pub(super) fn meet(&mut self, wanted: &[Wanted]) {
        self.comparison.keep(wanted);
        let prompt = self.prompt.clone();
        for index in 0..self.comparison.others.len() {
            let other = &self.comparison.others[index];
            if other.read.as_ref().is_some_and(|(row, _)| Arc::ptr_eq(row, &prompt)) {
                continue;
            }
            let read = self.read_by(other.subject.run);
            let other = &mut self.comparison.others[index];
            if let Err(why) = &read {
                (other.failure, other.readings) = (Some(why.clone()), None);
            }
            other.read = Some((prompt.clone(), read));
            self.changed();
        }
    }

    /// The sequence in view as a run reads it.
    fn read_by(&self, run: u64) -> Reread {
        let closed = "The run that this was compared with is no longer in the window.";
        let (_, other) = self.run_of(run).ok_or(closed)?;
        let Some(own) = self.run() else { return Ok(self.prompt.clone()) };
        let its = (&other.info.vocab, other.info.net.length);
        read_by(&self.prompt, &own.info.vocab, its)
            .map_err(|why| format!("{} {why}: write one that both can read (E).", other.name))
    }

    /// What a subject is asked now, beside the weights in view; none where its run has nothing to ask.
    ///
    /// # Errors
    /// Why it cannot be asked: a sentence.
    pub(super) fn to_ask(
        &self,
        wanted: &Wanted,
        in_view: (&Which, u64, bool),
    ) -> Result<Option<ToAsk>, String> {
        let subject = &wanted.subject;
        let Some(prompt) = self.comparison.other(subject).and_then(Other::prompt) else {
            return Ok(None);
        };
        let Some((run, _)) = self.run_of(subject.run).filter(|_| !wanted.calls.is_empty()) else {
            return Ok(None);
        };
        let (which, step, live) = self.weights_of(subject, in_view)?;
        let interventions = match &subject.under {
            Under::InForce => self.changes_in_force(),
            Under::Nothing => Vec::new(),
            Under::These(all) => all.clone(),
        };
        let calls = wanted.calls.clone();
        let asked =
            Asked { run: subject.run, step, live, prompt: prompt.clone(), interventions, calls };
        Ok(Some(ToAsk { run, which, asked }))
    }

    /// Whether it is about the very weights that are in view.
    pub fn is_of_now(&self, subject: &Subject) -> bool {
        subject.step == Moment::InView && subject.run == self.run_id()
    }

    /// The weights of a subject.
    fn weights_of(
        &self,
        subject: &Subject,
        (which, step, live): (&Which, u64, bool),
    ) -> Result<(Which, u64, bool), String> {
        let wanted = match subject.step {
            _ if self.is_of_now(subject) => return Ok((which.clone(), step, live)),
            Moment::InView => step,
            Moment::At(step) => step,
        };
        let found = self.weights_recorded(subject.run, wanted);
        let none = || "No weights of what this is compared with are recorded.".to_owned();
        found.map(|(which, step)| (which, step, false)).ok_or_else(none)
    }

    /// Weights of a run at a step that was pinned, or the nearest that is recorded, and that step.
    pub(super) fn weights_recorded(&self, run: u64, step: u64) -> Option<(Which, u64)> {
        if let Some(weights) = self.comparison.held(run, step) {
            return Some((Which::Given(weights.clone()), step));
        }
        let recording = &self.run_of(run)?.1.recording;
        let (step, folder) = (recording.nearest_recorded(step)?, recording.folder.clone()?);
        Some((Which::Recorded { folder, step }, step))
    }

    /// What is drawn of a subject; none where its run is gone.
    pub fn compared(&self, subject: &Subject) -> Option<Compared<'_>> {
        let (index, run) = self.run_of(subject.run)?;
        let other = self.comparison.other(subject);
        let about = other.filter(|other| other.is_about(&self.prompt));
        let analyzed = match other {
            _ if self.is_of_now(subject) => self.analyses.analyzed.clone(),
            Some(other) => other.analyzed.clone(),
            None => Analyzed::default(),
        };
        Some(Compared {
            index,
            run,
            step: self.step_of(subject),
            readings: about.and_then(|other| other.readings.as_ref()),
            beside: about.and_then(|other| other.beside.as_ref()),
            failure: other.and_then(|other| other.failure.as_deref()),
            analyzed,
            selection: subject.selection(&self.selection),
        })
    }

    /// The runs that a panel draws with the one in view.
    pub fn drawn_beside(&self, panel: &dyn Panel) -> Vec<&Run> {
        let Some(own) = self.run() else { return Vec::new() };
        let is_drawn =
            |run: &&Run| run.id != own.id && panel.draws_beside(&own.recording, &run.recording);
        self.runs.iter().filter(is_drawn).collect()
    }

    /// What these answered to the long questions of the panel.
    pub fn beside(&self, panel: &dyn Panel) -> Vec<Beside> {
        let of = |run: &Run| {
            let other = self.comparison.other(&Subject::at_its_end(run.id));
            let analyzed = other.map_or_else(Analyzed::default, |other| other.analyzed.clone());
            Beside { name: run.name.clone(), analyzed }
        };
        self.drawn_beside(panel).into_iter().map(of).collect()
    }

    /// The step that a subject is looked at; none where it has none.
    pub fn step_of(&self, subject: &Subject) -> Option<u64> {
        match subject.step {
            _ if self.is_of_now(subject) => Some(self.step_in_view()),
            Moment::InView => self.recorded_near(subject.run, self.step_in_view()),
            Moment::At(step) if self.comparison.held(subject.run, step).is_some() => Some(step),
            Moment::At(step) => self.recorded_near(subject.run, step),
        }
    }

    fn recorded_near(&self, run: u64, step: u64) -> Option<u64> {
        self.run_of(run)?.1.recording.nearest_recorded(step)
    }
}

impl Lab {
    /// The step in view as it is now: it stays when time, run and what is in force move on.
    fn now(&mut self) -> Option<Subject> {
        let run = self.run_id();
        let (step, weights, _) = self.weights_in_view().ok()?;
        if let Some(weights) = weights.filter(|_| self.comparison.held(run, step).is_none()) {
            self.comparison.held.push((run, weights));
        }
        let under = Under::These(self.changes_in_force());
        Some(Subject { run, step: Moment::At(step), under, head: None })
    }

    /// Compares all panels with the step in view as it is now.
    pub fn keep_for_comparison(&mut self) {
        self.show_beside_at_first();
        let now = self.now();
        self.compare_with(now);
    }

    /// What is kept now has no difference from itself: both are seen, unless something was compared before.
    fn show_beside_at_first(&mut self) {
        if self.comparison.with.is_none() {
            self.comparison.showing = Showing::Beside;
        }
    }

    /// Compares all panels with a subject, or with none.
    pub fn compare_with(&mut self, subject: Option<Subject>) {
        self.comparison.with = subject;
        self.let_go();
        self.changed();
    }

    /// Compares what is in view with another step, or with the same, of a run of the window.
    pub fn compare_with_step(&mut self, run: u64, step: Option<u64>) {
        let step = step.map_or(Moment::InView, Moment::At);
        self.compare_with(Some(Subject { step, ..Subject::without(run) }));
    }

    /// Shows so much of the comparison, of the first subject that suggests itself where there is none; the same once more ends it.
    pub fn show_compared(&mut self, showing: Showing) {
        let is_shown = self.comparison.showing == showing && self.comparison.with.is_some();
        self.comparison.showing = showing;
        let with = match is_shown {
            true => None,
            false => self.comparison.with.clone().or_else(|| self.suggested()),
        };
        self.compare_with(with);
    }

    /// What is compared where nobody said with what: the same step without what is in force, else the beginning of the run, or its
    /// end where the beginning is in view.
    fn suggested(&self) -> Option<Subject> {
        let run = self.run()?;
        if !self.changes_in_force().is_empty() {
            return Some(Subject::without(run.id));
        }
        let recorded = &run.recording.recorded;
        let (first, last) = (*recorded.first()?, *recorded.last()?);
        let step = if self.step_in_view() == first { last } else { first };
        Some(Subject { step: Moment::At(step), ..Subject::without(run.id) })
    }

    /// Compares the run in view with the next one of the window, at the same step.
    pub fn compare_with_next_run(&mut self) {
        let next = self.runs.iter().cycle().skip(self.current + 1).take(self.runs.len());
        let next = next.map(|run| run.id).find(|id| *id != self.run_id());
        self.compare_with(next.map(Subject::without));
    }

    /// Brings one run into view and compares it with another, at the same step.
    pub fn compare_runs(&mut self, a: u64, b: u64) {
        if let Some((index, _)) = self.run_of(a).filter(|_| a != self.run_id()) {
            self.choose(index);
        }
        self.compare_with(Some(Subject::without(b)));
    }

    /// Compares the heads that come into focus with the one that is now.
    pub fn keep_head_for_comparison(&mut self) {
        let head = Some((self.selection.layer, self.selection.head));
        let (run, step, under) = (self.run_id(), Moment::InView, Under::InForce);
        self.compare_with(Some(Subject { run, step, under, head }));
    }

    /// Compares nothing any more, and takes away all pins.
    pub fn stop_comparing(&mut self) {
        self.comparison.pinned.clear();
        self.compare_with(None);
    }

    /// Keeps beside a panel what it shows now, or takes that away.
    pub fn pin(&mut self, panel: &str) {
        if self.comparison.is_pinned(panel) {
            self.comparison.pinned.retain(|(name, _)| name != panel);
        } else if let Some(now) = self.now() {
            self.comparison.pinned.push((panel.to_owned(), now));
            self.show_beside_at_first();
        }
        self.let_go();
        self.changed();
    }

    /// Weights that nothing is compared with any more.
    fn let_go(&mut self) {
        let Comparison { with, pinned, held, .. } = &mut self.comparison;
        let subjects = || with.iter().chain(pinned.iter().map(|(_, subject)| subject));
        held.retain(|(run, weights)| {
            subjects().any(|s| s.run == *run && s.step == Moment::At(weights.step))
        });
    }
}
