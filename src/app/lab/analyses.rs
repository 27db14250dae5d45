//! The long questions of the panels: one job at a time, of what is in view, and never in the way of training for long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::question::{Analyzed, Found, MeasurementCall};
use crate::run::examiner::Which;
use crate::run::job::{Assignment, Job, follows, reads_prompt};

use super::Lab;
use super::compared::{Subject, Wanted};

/// A question waits for so long: while a slider is dragged or time is played back it changes with every frame.
const SETTLE: Duration = Duration::from_millis(250);

/// Reports are taken at most this often: each is a picture to draw.
const BETWEEN_REPORTS: Duration = Duration::from_millis(120);

/// Times that a question took pass before it is asked again of a run that trains: so it takes a fifth of one core at most.
const REST: u32 = 4;

/// Answers that are kept, for going back to them.
const MOST_KEPT: usize = 24;

/// The analysis that fits readers.
pub const READERS: &str = "readers";

/// What an answer is about: nothing is asked twice.
#[derive(Clone, PartialEq)]
struct Key {
    /// Which run.
    run: u64,
    /// `None`: one that is being trained, at some step.
    step: Option<u64>,
    call: MeasurementCall,
    /// The sequence in view, of a question that reads it.
    prompt: Option<Vec<u32>>,
}

/// The job that works.
struct Running {
    key: Key,
    job: Job,
    found: Found,
    begun: Instant,
    stopping: bool,
    /// Whether it is about what is in view, and not about what that is compared with.
    is_in_view: bool,
}

/// Long questions of the run in view.
pub struct Analyses {
    wake: Arc<dyn Fn() + Send + Sync>,
    running: Option<Running>,
    /// Those that were stopped, until their thread has ended: nobody waits for them.
    retired: Vec<Job>,
    /// What is known of what visible panels ask, perhaps of a step before.
    pub analyzed: Analyzed,
    /// The newest at the end.
    kept: Vec<(Key, Found)>,
    /// What is to be asked next, and since when.
    next: Option<(Key, Instant)>,
    /// The newest weights of a run that trains were sent for.
    sent_for: bool,
    taken_at: Option<Instant>,
    /// Until then nothing is asked again by itself.
    rests_until: Option<Instant>,
    /// Counts changes to what is known.
    pub revision: u64,
    /// How many were started.
    pub started: u64,
}

impl Analyses {
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            wake,
            running: None,
            retired: Vec::new(),
            analyzed: Analyzed::default(),
            kept: Vec::new(),
            next: None,
            sent_for: false,
            taken_at: None,
            rests_until: None,
            revision: 0,
            started: 0,
        }
    }

    /// Wakes the window.
    pub(super) fn wake(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.wake.clone()
    }

    /// Another run is in view.
    pub fn forget(&mut self) {
        self.retire();
        self.analyzed = Analyzed::default();
        self.next = None;
        self.sent_for = false;
        self.revision += 1;
    }

    /// Nothing that was answered of a run holds any longer.
    pub fn forget_run(&mut self, run: u64) {
        self.kept.retain(|(key, _)| key.run != run);
    }

    /// The job in view goes on no more; its thread ends by itself.
    fn retire(&mut self) {
        self.retired.extend(self.running.take().map(|running| running.job));
    }

    /// The question that an answer shown belongs to.
    pub fn call(&self, key: &str) -> Option<&MeasurementCall> {
        self.kept.iter().map(|(known, _)| &known.call).find(|call| call.key() == key)
    }

    /// Whether an answer to this analysis is shown and whole, or was stopped.
    pub fn has_ended(&self, analysis: &str) -> bool {
        let ended = self.analyzed.by_call.iter().filter(|(_, found)| found.ended);
        ended.filter_map(|(key, _)| self.call(key)).any(|call| call.measurement == analysis)
    }

    /// How far one of these questions has come that is worked on, and whether it is being stopped.
    pub fn under_way(&self, calls: &[MeasurementCall]) -> Option<(&Found, bool)> {
        let running = self.running.as_ref().filter(|running| calls.contains(&running.key.call))?;
        Some((&running.found, running.stopping))
    }

    /// Whether one of these questions is to be asked next.
    pub fn is_next(&self, calls: &[MeasurementCall]) -> bool {
        self.next.as_ref().is_some_and(|(key, _)| calls.contains(&key.call))
    }

    /// Something is under way, or is about to be.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || self.next.is_some()
    }

    /// Threads that work: the one in view, and those that have not yet heard that they are to end.
    pub fn at_work(&self) -> usize {
        usize::from(self.running.is_some()) + self.retired.len()
    }

    /// Ends the job with what there is.
    pub fn cancel(&mut self) {
        self.next = None;
        if let Some(running) = &mut self.running {
            running.job.stop();
            running.stopping = true;
            self.revision += 1;
        }
    }

    /// What is known is asked anew, of the newest weights.
    pub fn ask_again(&mut self) {
        let known = |call: &MeasurementCall| self.analyzed.by_call.contains_key(&call.key());
        self.kept.retain(|(key, _)| !known(&key.call));
        self.retire();
        self.sent_for = false;
    }

    fn known(&self, key: &Key) -> Option<&Found> {
        self.kept.iter().find(|(k, _)| k == key).map(|(_, found)| found)
    }

    fn keep(&mut self, key: Key, found: Found) {
        self.kept.retain(|(k, _)| *k != key);
        self.kept.push((key, found));
        let surplus = self.kept.len().saturating_sub(MOST_KEPT);
        self.kept.drain(..surplus);
    }

    fn show(&mut self, call: &MeasurementCall, found: Found) {
        self.analyzed.by_call.insert(call.key(), found);
        self.revision += 1;
    }

    /// Takes in how far the job has come.
    fn take_reports(&mut self, now: Instant) {
        if self.taken_at.is_some_and(|at| now.duration_since(at) < BETWEEN_REPORTS) {
            return;
        }
        let Some(running) = &mut self.running else { return };
        match running.job.heard.try_recv() {
            Ok(heard) => {
                let Found { done, total, .. } = running.found;
                let (done, total) =
                    if heard.ended { (done, total) } else { (heard.done, heard.total) };
                running.found.done = if heard.ended && !running.stopping { total } else { done };
                running.found.total = total;
                running.found.reading = Some(heard.reading);
                running.found.ended = heard.ended;
            }
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                let lost = Error::internal("a long question ended without an answer; ask it again");
                running.found.reading = Some(Err(lost));
                running.found.ended = true;
            }
        }
        self.taken_at = Some(now);
        let (key, found) = (running.key.clone(), running.found.clone());
        let (took, is_in_view) = (now.duration_since(running.begun), running.is_in_view);
        match is_in_view {
            true if !self.may_show(&key.call, &found) => {}
            true => self.show(&key.call, found.clone()),
            false => self.revision += 1,
        }
        if found.ended {
            self.rests_until = Some(now + REST * took);
            self.retire();
            self.keep(key, found);
        }
    }
}

impl Analyses {
    /// Whether an answer is to stand in the place of the one that is shown: where a question follows a run, a whole one stays until
    /// the next is whole.
    fn may_show(&self, call: &MeasurementCall, found: &Found) -> bool {
        let shown = self.analyzed.get(call);
        found.ended || !shown.is_some_and(|shown| shown.ended) || !follows(call)
    }

    /// Answers to questions that follow a run that trains are let go once newer weights are there, to be asked again.
    fn follow(&mut self, newest: u64, now: Instant) {
        if self.running.is_some() || self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        let is_whole = |found: &Found| {
            found.done >= found.total && found.reading.as_ref().is_some_and(Result::is_ok)
        };
        let is_old = |key: &Key, found: &Found| {
            key.step.is_none() && found.step < newest && is_whole(found) && follows(&key.call)
        };
        self.kept.retain(|(key, found)| !is_old(key, found));
    }

    /// Shows what is known; returns what is not and nobody works on.
    fn recall(&mut self, keys: &[Key]) -> Option<Key> {
        if !keys.is_empty() {
            let calls: Vec<String> = keys.iter().map(|key| key.call.key()).collect();
            self.analyzed.by_call.retain(|call, _| calls.contains(call));
        }
        let mut wanted = None;
        for key in keys {
            let known = self.known(key).cloned();
            let running = self.running.as_ref().filter(|running| running.key == *key);
            let found = known.as_ref().or(running.map(|running| &running.found));
            let shown = self.analyzed.get(&key.call);
            if let Some(found) = found
                && (found.reading.is_some() || shown.is_none())
                && shown.is_none_or(|s| s.step != found.step || s.ended != found.ended)
                && self.may_show(&key.call, found)
            {
                let found = found.clone();
                self.show(&key.call, found);
            } else if found.is_none() {
                wanted = wanted.or_else(|| Some(key.clone()));
            }
        }
        wanted
    }

    fn settle(&mut self, wanted: Option<Key>, now: Instant) {
        if self.next.as_ref().map(|(key, _)| key) != wanted.as_ref() {
            self.next = wanted.map(|key| (key, now));
            self.sent_for = false;
        }
    }
}

impl Lab {
    /// Takes in what has been found and asks what visible panels want to know, if it is not known yet.
    pub(super) fn analyse(&mut self, calls: &[MeasurementCall], others: &[Wanted], now: Instant) {
        self.analyses.retired.retain(|job| !job.is_retired());
        self.analyses.take_reports(now);
        if self.run().is_none() {
            return self.analyses.forget();
        }
        let live = self.step.is_none() && self.goes_on();
        if live {
            let newest = self.run().map_or(0, |run| run.recording.last_step);
            self.analyses.follow(newest, now);
        }
        let Some(step) = (if live { Some(None) } else { self.settled_step().map(Some) }) else {
            return;
        };
        let keys: Vec<Key> = calls.iter().filter_map(|call| self.key_of(call, step)).collect();
        let beside = self.keys_of_others(others);
        let running = self.analyses.running.as_ref().map(|running| &running.key);
        let is_beside = |job: &Key| beside.iter().any(|(_, key)| key == job);
        if running.is_some_and(|job| !is_beside(job) && !still_wanted(job, &keys, step)) {
            self.analyses.retire();
            self.analyses.revision += 1;
        }
        let wanted = self.analyses.recall(&keys);
        let wanted = wanted.or(self.recall_others(&beside));
        self.analyses.settle(wanted, now);
        let due = |(_, since): &(Key, Instant)| now.duration_since(*since) >= SETTLE;
        if self.analyses.at_work() == 0 && self.analyses.next.as_ref().is_some_and(due) {
            self.start_analysis(live, now);
        }
    }

    /// The step whose weights are in view and stay; `None` while newer ones are on their way.
    fn settled_step(&mut self) -> Option<u64> {
        let step = self.step;
        let run = self.runs.get_mut(self.current)?;
        let last = run.recording.last_step;
        match &mut run.training {
            Some(training) if step.is_none() && !training.gone => {
                if training.is_behind(last) {
                    training.ask_for_weights();
                    return None;
                }
                training.shown.as_ref().map(|weights| weights.step)
            }
            _ => step.or_else(|| run.recording.recorded.last().copied()),
        }
    }

    /// What a call means now. A call that no analysis understands is answered at once, with the sentence that says so.
    fn key_of(&mut self, call: &MeasurementCall, step: Option<u64>) -> Option<Key> {
        match reads_prompt(call) {
            Ok(reads) => Some(Key {
                run: self.run_id(),
                step,
                call: call.clone(),
                prompt: reads.then(|| self.prompt.tokens.clone()),
            }),
            Err(error) => {
                if self.analyses.analyzed.get(call).is_none() {
                    let about = Found::begun(step.unwrap_or(0));
                    self.analyses
                        .show(call, Found { reading: Some(Err(error)), ended: true, ..about });
                }
                None
            }
        }
    }

    /// The long questions to what is compared with what is in view; the same weights have the same answer.
    fn keys_of_others(&self, others: &[Wanted]) -> Vec<(Subject, Key)> {
        let key = |wanted: &Wanted, call: &MeasurementCall| {
            let prompt = match reads_prompt(call).ok()? {
                true => Some(self.comparison.other(&wanted.subject)?.prompt()?.tokens.clone()),
                false => None,
            };
            let step = Some(self.step_of(&wanted.subject)?);
            Some(Key { run: wanted.subject.run, step, call: call.clone(), prompt })
        };
        let of = |wanted: &Wanted| {
            let keys = wanted.analyses.iter().filter_map(|call| key(wanted, call));
            keys.map(|key| (wanted.subject.clone(), key)).collect::<Vec<_>>()
        };
        others.iter().filter(|wanted| !self.is_of_now(&wanted.subject)).flat_map(of).collect()
    }

    /// Shows them what is known of them; returns what is not and nobody works on.
    fn recall_others(&mut self, keys: &[(Subject, Key)]) -> Option<Key> {
        let mut wanted = None;
        for (subject, key) in keys {
            let running = self.analyses.running.as_ref().filter(|running| running.key == *key);
            let known = self.analyses.known(key).or(running.map(|running| &running.found));
            match known.cloned() {
                Some(found) => self.comparison.show(subject, &key.call, found),
                None => wanted = wanted.or_else(|| Some(key.clone())),
            }
        }
        wanted
    }

    fn start_analysis(&mut self, live: bool, now: Instant) {
        if live
            && let Some(training) =
                self.runs.get_mut(self.current).and_then(|r| r.training.as_mut())
        {
            if !self.analyses.sent_for {
                training.ask_for_weights();
                self.analyses.sent_for = true;
            }
            if training.is_awaited() {
                return;
            }
        }
        let Some((key, _)) = self.analyses.next.take() else { return };
        let Some((which, step)) = self.weights_for(&key) else { return };
        let Some((index, _)) = self.run_of(key.run) else { return };
        let prompt = self.prompt_of(key.run);
        let assignment =
            Assignment { which, prompt, interventions: Vec::new(), call: key.call.clone() };
        let wake = self.analyses.wake.clone();
        let job = Job::start(&self.runs[index].experiment, assignment, move || wake());
        let is_in_view = key.run == self.run_id() && (live || self.settled_step() == key.step);
        self.analyses.begin(key, job, (Found::begun(step), now), is_in_view);
    }
}

impl Analyses {
    /// A job was started, or could not be.
    fn begin(
        &mut self,
        key: Key,
        job: Result<Job>,
        (found, begun): (Found, Instant),
        is_in_view: bool,
    ) {
        self.started += 1;
        self.sent_for = false;
        match job {
            Ok(job) => {
                if is_in_view && self.analyzed.get(&key.call).is_none() {
                    self.show(&key.call, found.clone());
                }
                let stopping = false;
                self.running = Some(Running { key, job, found, begun, stopping, is_in_view });
            }
            Err(error) => {
                let found = Found { reading: Some(Err(error)), ended: true, ..found };
                if is_in_view {
                    self.show(&key.call, found.clone());
                }
                self.keep(key, found);
            }
        }
    }
}

impl Lab {
    /// The sequence in view, as a run reads it.
    fn prompt_of(&self, run: u64) -> Arc<Row> {
        let own = if run == self.run_id() { None } else { self.comparison.prompt_of(run) };
        own.unwrap_or(&self.prompt).clone()
    }

    /// The weights that a long question is about, and their step.
    fn weights_for(&self, key: &Key) -> Option<(Which, u64)> {
        if key.run != self.run_id() {
            return self.weights_recorded(key.run, key.step?);
        }
        let (step, weights, folder) = self.weights_in_view().ok()?;
        match key.step {
            Some(other) if other != step => self.weights_recorded(key.run, other),
            _ => match weights {
                Some(weights) => Some((Which::Given(weights), step)),
                None => Some((Which::Recorded { folder: folder?, step }, step)),
            },
        }
    }
}

/// A job goes on while what it is about is in view, also behind another tab.
fn still_wanted(job: &Key, keys: &[Key], step: Option<u64>) -> bool {
    if keys.iter().any(|key| key.call.measurement == job.call.measurement) {
        return keys.contains(job);
    }
    job.step == step
}
