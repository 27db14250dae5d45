//! What is asked of the examiner, and when: one question in flight, nothing asked twice, training first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::batch::Row;
use crate::base::error::Error;
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Readings};
use crate::panel::Selection;
use crate::run::examiner::{Examiner, Question, Reply, Which};
use crate::run::expectation::EFFECT;
use crate::run::lenses::reads_with_lens;

use super::Lab;
use super::compared::{Moment, Subject, ToAsk, Wanted};

/// Live answers may take at most one part in this many of the time: training has the rest.
const SHARE: u32 = 6;

/// Live pictures change at most this often; more is not seen, and costs training.
const SHORTEST: Duration = Duration::from_millis(120);

/// The effect on the held-out batch costs as much as an evaluation; live, it is asked this seldom.
const EFFECT_EVERY: Duration = Duration::from_secs(2);

/// A question that takes longer than this has lost its examiner.
const LOST: Duration = Duration::from_secs(60);

/// Answers about another sequence stay in view for so long without a word.
const PATIENCE: Duration = Duration::from_millis(250);

/// The sequence in view while the answers are those of another one.
#[derive(Default)]
pub(super) struct Late {
    since: Option<Instant>,
    /// Its text alone, once that has lasted.
    text: Option<Readings>,
}

/// Identifies a question, to ask nothing twice.
#[derive(Clone)]
pub(super) struct Asked {
    /// Which run of the window.
    pub run: u64,
    pub step: u64,
    pub live: bool,
    pub prompt: Arc<Row>,
    pub interventions: Vec<Intervention>,
    pub calls: Vec<MeasurementCall>,
}

impl Asked {
    /// Whether it answers the other too, but for the step of a run that goes on.
    fn is_like(&self, other: &Self) -> bool {
        self.run == other.run
            && self.live == other.live
            && Arc::ptr_eq(&self.prompt, &other.prompt)
            && self.interventions == other.interventions
            && other.calls.iter().all(|call| self.calls.contains(call))
    }

    /// Whether it answers the other.
    fn answers(&self, other: &Self) -> bool {
        self.is_like(other) && self.step == other.step
    }

    fn asks_effect(&self) -> bool {
        self.calls.iter().any(|call| call.measurement == EFFECT)
    }
}

/// A question to what is compared with what is in view.
struct Comparing {
    id: u64,
    subject: Subject,
    asked: Asked,
    /// The answers in view that its answer will stand beside.
    beside: Option<Arc<Readings>>,
    since: Instant,
}

/// The examiners of the run in view and of those it is compared with, and what they were asked.
pub struct Examination {
    wake: Arc<dyn Fn() + Send + Sync>,
    examiners: Vec<(u64, Examiner)>,
    /// Those of runs that were in view before, until their last answer is done: nobody waits for it.
    retired: Vec<Examiner>,
    /// Runs for which no examiner could be started: said once.
    refused: Vec<u64>,
    /// A hand caused the question in flight, not the run that goes on.
    by_hand: bool,
    /// Some panel that is drawn asks something.
    pub wanted: bool,
    next_id: u64,
    in_flight: Option<(u64, Asked, Instant)>,
    comparing: Option<Comparing>,
    answered: Option<Asked>,
    /// How long the last answer took.
    cost: Duration,
    answered_at: Option<Instant>,
    effect_at: Option<Instant>,
}

impl Examination {
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            wake,
            examiners: Vec::new(),
            retired: Vec::new(),
            refused: Vec::new(),
            by_hand: false,
            wanted: false,
            next_id: 0,
            in_flight: None,
            comparing: None,
            answered: None,
            cost: Duration::ZERO,
            answered_at: None,
            effect_at: None,
        }
    }

    /// Another run is in view: nothing is in flight for it.
    pub fn forget(&mut self) {
        self.in_flight = None;
        self.comparing = None;
        self.answered = None;
        self.refused.clear();
    }

    /// What was answered may have another answer now.
    pub fn ask_again(&mut self) {
        self.answered = None;
    }

    /// The examiners take no more questions.
    pub fn retire(&mut self) {
        self.retire_but(&[]);
    }

    /// Those of all runs but these.
    fn retire_but(&mut self, runs: &[u64]) {
        let gone = self.examiners.extract_if(.., |(run, _)| !runs.contains(run));
        self.retired.extend(gone.map(|(_, examiner)| examiner));
    }

    fn examiner(&self, run: u64) -> Option<&Examiner> {
        self.examiners.iter().find(|(of, _)| *of == run).map(|(_, examiner)| examiner)
    }

    /// Sends a question; its number.
    fn send(&mut self, which: Which, kept: Vec<PathBuf>, asked: &Asked) -> Option<u64> {
        self.next_id += 1;
        self.examiner(asked.run)?.ask(Question {
            id: self.next_id,
            which,
            kept,
            prompt: asked.prompt.clone(),
            interventions: asked.interventions.clone(),
            calls: asked.calls.clone(),
        });
        Some(self.next_id)
    }

    /// Whether somebody waits for the answer in flight.
    pub fn is_by_hand(&self) -> bool {
        self.by_hand && self.in_flight.is_some()
    }

    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some() || self.comparing.is_some()
    }

    /// Whether the answers shown are those of this step, and nothing more is asked.
    pub fn is_settled(&self, step: u64) -> bool {
        self.in_flight.is_none() && self.answered.as_ref().is_some_and(|a| a.step == step)
    }
}

impl Lab {
    /// Takes in answers to the questions in flight; older ones are worth nothing.
    pub(super) fn take_replies(&mut self, now: Instant) {
        let examiners = self.examination.examiners.iter();
        let replies: Vec<Reply> = examiners.flat_map(|(_, e)| e.replies.try_iter()).collect();
        for reply in replies {
            if let (false, Ok(part)) = (reply.is_whole, &reply.readings) {
                self.take_part(reply.id, part);
                continue;
            }
            match self.examination.comparing.take() {
                Some(comparing) if comparing.id == reply.id => {
                    self.take_compared(comparing, reply, now)
                }
                other => {
                    self.examination.comparing = other;
                    self.take_reply(reply, now);
                }
            }
        }
        let asking = &self.examination;
        let since = asking.in_flight.as_ref().map(|(_, _, since)| *since);
        let since = since.or(asking.comparing.as_ref().map(|comparing| comparing.since));
        if since.is_some_and(|since| now.duration_since(since) > LOST) {
            (self.examination.in_flight, self.examination.comparing) = (None, None);
            self.examination.retire();
            self.trouble(Error::internal(
                "an examination did not come back and was given up; the next one starts afresh",
            ));
        }
    }

    /// Takes in layers that have come of an answer in flight.
    fn take_part(&mut self, id: u64, part: &Arc<Readings>) {
        let Some((asked, ..)) = self.examination.in_flight.as_ref() else { return };
        if *asked != id {
            return;
        }
        let so_far = self.arriving.get_or_insert_with(|| part.clone());
        Arc::make_mut(so_far).by_call.extend(part.by_call.clone());
        self.changed();
    }

    fn take_reply(&mut self, reply: Reply, now: Instant) {
        self.arriving = None;
        let asking = &mut self.examination;
        let Some((_, asked, since)) = asking.in_flight.take_if(|(id, ..)| *id == reply.id) else {
            return;
        };
        asking.cost = now.duration_since(since);
        asking.answered_at = Some(now);
        let asked_effect = asked.asks_effect();
        asking.answered = Some(asked);
        match reply.readings {
            Ok(readings) => {
                if asked_effect {
                    self.effect = Some(readings.clone());
                }
                self.readings = Some(readings);
                self.answered_for = self.selection.clone();
                self.failure = None;
            }
            // Said in the panels, in place of pictures of another step.
            Err(error) => {
                self.readings = None;
                self.failure = Some(error.message);
            }
        }
        self.changed();
    }

    fn take_compared(&mut self, comparing: Comparing, reply: Reply, now: Instant) {
        // Live, training has its share of this too.
        self.examination.cost += now.duration_since(comparing.since);
        let Some(other) = self.comparison.other_mut(&comparing.subject) else { return };
        let asked_effect = comparing.asked.asks_effect();
        other.answered = Some(comparing.asked);
        other.beside = comparing.beside;
        match reply.readings {
            Ok(readings) => {
                if asked_effect {
                    other.effect = Some(readings.clone());
                }
                (other.readings, other.failure) = (Some(readings), None);
            }
            Err(error) => (other.readings, other.failure) = (None, Some(error.message)),
        }
        self.changed();
    }

    /// Asks what the panels need, if it is not known yet.
    pub(super) fn examine(&mut self, calls: &[MeasurementCall], others: &[Wanted], now: Instant) {
        self.examination.retired.retain_mut(|examiner| !examiner.is_retired());
        self.notice_lateness(now);
        let others = self.with_baseline(others);
        self.meet(&others);
        self.examination.wanted = !calls.is_empty() && !self.prompt.is_empty();
        if !self.examination.wanted {
            return;
        }
        let Some((which, step, live)) = self.weights_to_ask(now) else {
            return self.say_that_nothing_is_recorded();
        };
        let asked = Asked {
            run: self.run_id(),
            step,
            live,
            prompt: self.prompt.clone(),
            interventions: self.changes_in_force(),
            calls: self.calls_with_effect(calls, now),
        };
        if self.examination.answered.as_ref().is_some_and(|a| a.answers(&asked)) {
            return self.ask_others(&others, (&which, step, live), now);
        }
        let in_flight = self.examination.in_flight.as_ref();
        let is_asked = |a: &Asked| a.is_like(&asked) && (live || a.step == step);
        if in_flight.is_some_and(|(_, a, _)| is_asked(a)) || !self.ready(self.current) {
            return;
        }
        let kept = self.kept_for(self.current, &asked);
        let asking = &mut self.examination;
        asking.by_hand = !(live && asking.answered.as_ref().is_some_and(|a| a.is_like(&asked)));
        if asked.asks_effect() {
            asking.effect_at = Some(now);
        }
        let Some(id) = asking.send(which, kept, &asked) else { return };
        self.arriving = None;
        // A question to another that still waited has just been replaced.
        self.examination.comparing = None;
        self.examination.in_flight = Some((id, asked, now));
    }

    /// Sees whether the answers in view are about the sequence in view, and since when they are not.
    fn notice_lateness(&mut self, now: Instant) {
        let is_about = |readings: &Readings| readings.prompt.tokens == self.prompt.tokens;
        let is_answered = self.readings.as_deref().is_some_and(is_about) || self.failure.is_some();
        if is_answered || self.prompt.is_empty() || self.run().is_none() {
            if std::mem::take(&mut self.late).text.is_some() {
                self.changed();
            }
            return;
        }
        let since = *self.late.since.get_or_insert(now);
        let is_shown = self.late.text.as_ref().is_some_and(is_about);
        if !is_shown && now.duration_since(since) >= PATIENCE {
            let step =
                self.step.unwrap_or_else(|| self.run().map_or(0, |run| run.recording.last_step));
            self.late.text = Some(Readings::unanswered(self.prompt.clone(), step));
            self.changed();
        }
    }

    /// The sequence in view, without an answer, while those in view are about another one and that has lasted.
    pub fn unanswered(&self) -> Option<&Readings> {
        self.late.text.as_ref()
    }

    /// What was selected when the answers in view came.
    pub fn answered_for(&self) -> &Selection {
        &self.answered_for
    }

    /// When all else is answered: asks what is compared with what is in view, one after the other.
    fn ask_others(&mut self, others: &[Wanted], in_view: (&Which, u64, bool), now: Instant) {
        if self.examination.comparing.is_some() {
            return;
        }
        let runs: Vec<u64> = others.iter().map(|wanted| wanted.subject.run).collect();
        self.examination.retire_but(&[&runs[..], &[self.run_id()]].concat());
        for wanted in others {
            match self.to_ask(wanted, in_view) {
                Ok(Some(to_ask)) if self.is_open(&wanted.subject, &to_ask.asked) => {
                    return self.ask_other(wanted, to_ask, now);
                }
                Ok(_) => {}
                Err(why) => self.cannot_ask(&wanted.subject, why),
            }
        }
    }

    /// Where lenses that a question reads with are kept.
    fn kept_for(&self, run: usize, asked: &Asked) -> Vec<PathBuf> {
        if reads_with_lens(&asked.calls) { self.kept_in(run) } else { Vec::new() }
    }

    fn is_open(&self, subject: &Subject, asked: &Asked) -> bool {
        let other = self.comparison.other(subject);
        other.is_some_and(|o| o.answered.as_ref().is_none_or(|a| !a.answers(asked)))
    }

    fn ask_other(&mut self, wanted: &Wanted, to_ask: ToAsk, now: Instant) {
        let ToAsk { run, which, asked } = to_ask;
        if !self.ready(run) {
            return;
        }
        let kept = self.kept_for(run, &asked);
        let moment = wanted.subject.step;
        let beside = self.readings.clone().filter(|_| moment == Moment::InView);
        let Some(id) = self.examination.send(which, kept, &asked) else { return };
        let subject = wanted.subject.clone();
        self.examination.comparing = Some(Comparing { id, subject, asked, beside, since: now });
    }

    fn cannot_ask(&mut self, subject: &Subject, why: String) {
        let Some(other) = self.comparison.other_mut(subject) else { return };
        if other.failure.as_ref() != Some(&why) {
            (other.failure, other.readings) = (Some(why), None);
            self.changed();
        }
    }

    /// Of a run that does not train and has no weights there will never be an answer.
    fn say_that_nothing_is_recorded(&mut self) {
        let Some(run) = self.run().filter(|run| run.training.as_ref().is_none_or(|t| t.gone))
        else {
            return;
        };
        if !run.recording.recorded.is_empty() || self.failure.is_some() {
            return;
        }
        let folder = run.recording.folder.as_ref();
        let place = folder.map_or_else(String::new, |folder| format!(" in {}", folder.display()));
        let goes_on =
            run.following.as_ref().is_some_and(|following| following.in_words().is_some());
        let is_young = goes_on && run.recording.rows.len() <= 1;
        self.failure = Some(match is_young {
            true => {
                format!("No weights are recorded yet{place}: they are shown once they are there.")
            }
            false => format!(
                "No weights can be read{place}: they were not recorded, or the files in the folder weights are damaged. Curves and marks are shown; what is asked of the network cannot be."
            ),
        });
        self.changed();
    }

    /// The weights to ask about: those of the past in view, or the newest that were sent. Sends for newer ones.
    fn weights_to_ask(&mut self, now: Instant) -> Option<(Which, u64, bool)> {
        let spared = |at| now.duration_since(at) >= SHORTEST.max(self.examination.cost * SHARE);
        let due = !self.is_training() || self.examination.answered_at.is_none_or(spared);
        let busy = self.examination.is_busy();
        let step = self.step;
        let run = self.runs.get_mut(self.current)?;
        let last = run.recording.last_step;
        if step.is_none()
            && let Some(training) = &mut run.training
            && !training.gone
        {
            let first = training.shown.is_none();
            if training.is_behind(last) && (first || (due && !busy)) {
                training.ask_for_weights();
            }
        }
        let shown = run.training.as_ref().and_then(|t| t.shown.clone());
        match (step, shown) {
            (None, Some(weights)) => {
                let step = weights.step;
                Some((Which::Given(weights), step, true))
            }
            _ => {
                let recorded = &run.recording.recorded;
                let step = step.or_else(|| match &mut run.following {
                    Some(following) => following.newest(recorded, run.info.trained_bytes, now),
                    None => recorded.last().copied(),
                })?;
                let folder = run.recording.folder.clone()?;
                Some((Which::Recorded { folder, step }, step, false))
            }
        }
    }

    /// The effect is asked while something is in force, live only every now and then.
    fn calls_with_effect(&self, calls: &[MeasurementCall], now: Instant) -> Vec<MeasurementCall> {
        let mut calls = calls.to_vec();
        let Some(at) = calls.iter().position(|c| c.measurement == EFFECT) else { return calls };
        let live = self.step.is_none() && self.is_training();
        let early =
            self.examination.effect_at.is_some_and(|at| now.duration_since(at) < EFFECT_EVERY);
        let idle = !self.in_force().iter().any(Intervention::changes_forward);
        if idle || (live && early) {
            calls.remove(at);
        }
        calls
    }

    /// Starts the examiner of a run if need be.
    fn ready(&mut self, index: usize) -> bool {
        let Some(run) = self.runs.get(index) else { return false };
        let asking = &mut self.examination;
        if asking.examiner(run.id).is_some() {
            return true;
        }
        if asking.refused.contains(&run.id) {
            return false;
        }
        let wake = asking.wake.clone();
        match Examiner::start(&run.experiment, move || wake()) {
            Ok(examiner) => {
                asking.examiners.push((run.id, examiner));
                true
            }
            Err(error) => {
                asking.refused.push(run.id);
                self.trouble(error);
                false
            }
        }
    }
}
