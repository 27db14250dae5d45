//! What is asked of the examiner, and when: one question in flight, nothing asked twice, training first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::batch::Row;
use crate::base::error::Error;
use crate::base::intervention::Intervention;
use crate::base::question::MeasurementCall;
use crate::run::examiner::{Examiner, Question, Which};
use crate::run::lenses::reads_with_lens;

use super::Lab;

/// Live answers may take at most one part in this many of the time: training has the rest.
const SHARE: u32 = 6;

/// Live pictures change at most this often; more is not seen, and costs training.
const SHORTEST: Duration = Duration::from_millis(120);

/// The effect on the held-out batch costs as much as an evaluation; live, it is asked this seldom.
const EFFECT_EVERY: Duration = Duration::from_secs(2);

/// A question that takes longer than this has lost its examiner.
const LOST: Duration = Duration::from_secs(60);

/// Name of the measurement that compares accuracy with and without what is in force.
pub const EFFECT: &str = crate::run::expectation::EFFECT;

/// Identifies a question, to ask nothing twice.
#[derive(Clone)]
struct Asked {
    run: usize,
    step: u64,
    live: bool,
    prompt: Arc<Row>,
    interventions: Vec<Intervention>,
    calls: Vec<MeasurementCall>,
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
}

/// The examiner of the run in view, and what it was asked.
pub struct Examination {
    wake: Arc<dyn Fn() + Send + Sync>,
    examiner: Option<(usize, Examiner)>,
    /// Those of runs that were in view before, until their last answer is done: nobody waits for it.
    retired: Vec<Examiner>,
    /// The examiner could not be started for this run: said once.
    refused: Option<usize>,
    /// A hand caused the question in flight, not the run that goes on.
    by_hand: bool,
    /// Some panel that is drawn asks something.
    pub wanted: bool,
    next_id: u64,
    in_flight: Option<(u64, Asked, Instant)>,
    /// The question without interventions that tells what they do: its id, run and step.
    comparing: Option<u64>,
    compared: Option<(usize, u64)>,
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
            examiner: None,
            retired: Vec::new(),
            refused: None,
            by_hand: false,
            wanted: false,
            next_id: 0,
            in_flight: None,
            comparing: None,
            compared: None,
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
        self.compared = None;
        self.answered = None;
        self.refused = None;
    }

    /// What was answered may have another answer now.
    pub fn ask_again(&mut self) {
        self.answered = None;
    }

    /// The examiner takes no more questions.
    pub fn retire(&mut self) {
        self.retired.extend(self.examiner.take().map(|(_, examiner)| examiner));
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
    /// Takes in answers to the question in flight; older ones are worth nothing.
    pub(super) fn take_replies(&mut self, now: Instant) {
        let mut replies = Vec::new();
        if let Some((_, examiner)) = &self.examination.examiner {
            replies.extend(examiner.replies.try_iter());
        }
        for reply in replies {
            if self.examination.comparing == Some(reply.id) {
                self.examination.comparing = None;
                self.baseline = reply.readings.ok();
                continue;
            }
            match self.examination.in_flight.take() {
                Some((id, asked, since)) if id == reply.id => {
                    self.examination.cost = now.duration_since(since);
                    self.examination.answered_at = Some(now);
                    let asked_effect = asked.calls.iter().any(|c| c.measurement == EFFECT);
                    self.examination.answered = Some(asked);
                    match reply.readings {
                        Ok(readings) => {
                            if asked_effect {
                                self.effect = Some(readings.clone());
                            }
                            self.readings = Some(readings);
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
                other => self.examination.in_flight = other,
            }
        }
        if self
            .examination
            .in_flight
            .as_ref()
            .is_some_and(|(_, _, since)| now.duration_since(*since) > LOST)
        {
            self.examination.in_flight = None;
            self.examination.retire();
            self.trouble(Error::internal(
                "an examination did not come back and was given up; the next one starts afresh",
            ));
        }
    }

    /// Asks what the panels need, if it is not known yet.
    pub(super) fn examine(&mut self, calls: &[MeasurementCall], now: Instant) {
        self.examination.retired.retain_mut(|examiner| !examiner.is_retired());
        self.examination.wanted = !calls.is_empty() && !self.prompt.is_empty();
        if !self.examination.wanted {
            return;
        }
        let Some((which, step, live)) = self.weights_to_ask(now) else {
            return self.say_that_nothing_is_recorded();
        };
        let asked = Asked {
            run: self.current,
            step,
            live,
            prompt: self.prompt.clone(),
            interventions: self
                .in_force()
                .into_iter()
                .filter(Intervention::changes_forward)
                .collect(),
            calls: self.calls_with_effect(calls, now),
        };
        if self.examination.answered.as_ref().is_some_and(|a| a.is_like(&asked) && a.step == step) {
            return self.compare(which, step);
        }
        if self
            .examination
            .in_flight
            .as_ref()
            .is_some_and(|(_, a, _)| a.is_like(&asked) && (live || a.step == step))
        {
            return;
        }
        if !self.ready() {
            return;
        }
        let kept = if reads_with_lens(&asked.calls) { self.kept_in() } else { Vec::new() };
        let asking = &mut self.examination;
        let Some((_, examiner)) = &asking.examiner else { return };
        asking.by_hand = !(live && asking.answered.as_ref().is_some_and(|a| a.is_like(&asked)));
        asking.next_id += 1;
        if asked.calls.iter().any(|c| c.measurement == EFFECT) {
            asking.effect_at = Some(now);
        }
        examiner.ask(Question {
            id: asking.next_id,
            which,
            kept,
            prompt: asked.prompt.clone(),
            interventions: asked.interventions.clone(),
            calls: asked.calls.clone(),
        });
        // A comparison that still waited has just been replaced.
        if asking.comparing.take().is_some() {
            asking.compared = None;
        }
        asking.in_flight = Some((asking.next_id, asked, now));
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

    /// When all else is answered: how well the network does with nothing in force, at the step whose effect is known.
    fn compare(&mut self, which: Which, step: u64) {
        let known = self.effect.as_ref().is_some_and(|effect| effect.step == step);
        let wanted = (self.current, step);
        let asking = &mut self.examination;
        if !known || asking.comparing.is_some() || asking.compared == Some(wanted) {
            return;
        }
        let Some((_, examiner)) = &asking.examiner else { return };
        asking.next_id += 1;
        asking.comparing = Some(asking.next_id);
        asking.compared = Some(wanted);
        examiner.ask(Question {
            id: asking.next_id,
            which,
            kept: Vec::new(),
            prompt: self.prompt.clone(),
            interventions: Vec::new(),
            calls: vec![MeasurementCall::new(EFFECT)],
        });
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

    /// Starts the examiner of the run in view if need be.
    fn ready(&mut self) -> bool {
        let current = self.current;
        if self.examination.examiner.as_ref().is_some_and(|(run, _)| *run == current) {
            return true;
        }
        if self.examination.refused == Some(current) {
            return false;
        }
        self.examination.retire();
        let wake = self.examination.wake.clone();
        let Some(run) = self.runs.get(current) else { return false };
        match Examiner::start(&run.experiment, move || wake()) {
            Ok(examiner) => {
                self.examination.examiner = Some((current, examiner));
                true
            }
            Err(error) => {
                self.examination.refused = Some(current);
                self.trouble(error);
                false
            }
        }
    }
}
