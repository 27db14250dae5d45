//! A long question on a thread of its own: partial answers as they come, progress, and a way to stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Reading};
use crate::base::registry;
use crate::base::settings;
use crate::measurement::analysis::{self, Analysis};

use super::examiner::{Desk, Which, fault};
use super::experiment::Experiment;

/// What a job is to find out.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub which: Which,
    pub prompt: Arc<Row>,
    /// What is in force, for analyses that read it.
    pub interventions: Vec<Intervention>,
    /// An analysis with its settings.
    pub call: MeasurementCall,
}

/// How far a job has come.
#[derive(Clone, Debug)]
pub struct Heard {
    pub done: usize,
    pub total: usize,
    /// What is known so far.
    pub reading: Result<Arc<Reading>>,
    /// Nothing more comes.
    pub ended: bool,
}

/// A thread that works on one assignment. Dropping it stops and joins it.
pub struct Job {
    /// A report that nobody has taken yet is not followed by another, but for the last.
    pub heard: Receiver<Heard>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Job {
    /// `wake` is called after each report (the window asks for a frame).
    pub fn start(
        experiment: &Experiment,
        assignment: Assignment,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let experiment = experiment.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let (reports, heard) = bounded(1);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("job".to_owned())
            .spawn(move || {
                let reading = catch_unwind(AssertUnwindSafe(|| {
                    carry_out(&experiment, &assignment, &reports, &stopped, &wake)
                }));
                let reading = reading
                    .unwrap_or_else(|panic| Err(fault("a long question", panic.as_ref())))
                    .map(Arc::new);
                // It waits until the report before is taken, or nobody listens any more.
                let last = Heard { done: 1, total: 1, reading, ended: true };
                if reports.send(last).is_ok() {
                    wake();
                }
            })
            .map_err(|e| {
                Error::system(format!("a thread for the question cannot be started: {e}"))
                    .caused_by(e)
            })?;
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// Ends it soon, with what there is.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops it and hears no more; true once the thread has ended, so that dropping it waits for nothing.
    pub fn is_retired(&self) -> bool {
        self.stop();
        let _ = self.heard.try_recv();
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop();
        // A last report that waits for room would wait for ever.
        let (_, nobody) = bounded(0);
        self.heard = nobody;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The analysis that a call names, with its settings.
///
/// # Errors
/// When there is none of that name, or a setting does not suit it.
pub fn analysis_of(call: &MeasurementCall) -> Result<Box<dyn Analysis>> {
    let mut found = registry::find("analysis", analysis::ALL, &call.measurement)?;
    for (name, value) in &call.settings {
        settings::set(&mut *found, &format!("{}.", call.measurement), name, value)?;
    }
    Ok(found)
}

/// Whether the answer to a call depends on the sequence in view.
pub fn reads_prompt(call: &MeasurementCall) -> Result<bool> {
    analysis_of(call).map(|analysis| analysis.reads_prompt())
}

/// Whether a call is asked again and again of a run that trains.
pub fn follows(call: &MeasurementCall) -> bool {
    analysis_of(call).is_ok_and(|analysis| analysis.follows())
}

fn carry_out(
    experiment: &Experiment,
    assignment: &Assignment,
    reports: &Sender<Heard>,
    stopped: &AtomicBool,
    wake: &dyn Fn(),
) -> Result<Reading> {
    let analysis = analysis_of(&assignment.call)?;
    let mut desk = Desk::new(experiment)?;
    let weights = desk.weights(&assignment.which)?;
    let mut tell = |done: usize, total: usize, so_far: &dyn Fn() -> Result<Reading>| {
        if !reports.is_full() {
            let reading = so_far().map(Arc::new);
            if reports.try_send(Heard { done, total, reading, ended: false }).is_ok() {
                wake();
            }
        }
        !stopped.load(Ordering::Relaxed)
    };
    let Assignment { prompt, interventions, .. } = assignment;
    desk.instrument.analyze(&weights, prompt, interventions, &*analysis, &mut tell)
}
