//! The sequence in view goes on as the network writes it, token by token.

use std::sync::Arc;

use crossbeam_channel::TryRecvError;

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::question::{MeasurementCall, Reading};
use crate::run::examiner::Which;
use crate::run::job::{Assignment, Heard, Job};

use super::Lab;

/// What is being written.
#[derive(Default)]
pub struct Generation {
    running: Option<Running>,
    /// Jobs that were stopped, until their thread has ended.
    retired: Vec<Job>,
}

struct Running {
    job: Job,
    /// Of which run.
    run: u64,
    /// The sequence that goes on.
    from: Vec<u32>,
    /// What is in view while nobody else changes it.
    shown: Vec<u32>,
}

impl Generation {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Writes no more; what was written stays.
    pub fn stop(&mut self) {
        self.retired.extend(self.running.take().map(|running| running.job));
    }
}

impl Lab {
    /// Has the network continue the sequence in view, under what is in force.
    ///
    /// # Errors
    /// When no weights are there, or no thread can be started.
    pub fn go_on_writing(&mut self, call: MeasurementCall) -> Result<()> {
        self.generation.stop();
        let (step, weights, folder) = self.weights_in_view()?;
        let which = match (weights, folder) {
            (Some(weights), _) => Which::Given(weights),
            (None, Some(folder)) => Which::Recorded { folder, step },
            (None, None) => return Err(Error::usage("no weights of this step are recorded")),
        };
        let interventions = self.changes_in_force();
        let Some(run) = self.run() else { return Ok(()) };
        let assignment = Assignment { which, prompt: self.prompt.clone(), interventions, call };
        let wake = self.analyses.wake();
        let job = Job::start(&run.experiment, assignment, move || wake())?;
        let from = self.prompt.tokens.clone();
        self.generation.running =
            Some(Running { job, run: self.run_id(), shown: from.clone(), from });
        Ok(())
    }

    /// Shows what has been written since the last frame.
    pub(super) fn take_written(&mut self) {
        self.generation.retired.retain(|job| !job.is_retired());
        let Some(running) = &self.generation.running else { return };
        if running.run != self.run_id() || running.shown != self.prompt.tokens {
            // Somebody looks at something else now.
            return self.generation.stop();
        }
        let heard = match running.job.heard.try_recv() {
            Ok(heard) => heard,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => return self.generation.stop(),
        };
        let Heard { reading, ended, .. } = heard;
        match reading {
            Ok(reading) => self.show_written(&reading),
            Err(error) => self.text_note = Some(error.message),
        }
        if ended {
            self.generation.stop();
        }
    }

    fn show_written(&mut self, reading: &Reading) {
        let Some(running) = &mut self.generation.running else { return };
        let Some(tokens) = reading.array("token") else { return };
        let written = tokens.data.iter().map(|id| convert::natural(*id));
        let tokens: Vec<u32> = running.from.iter().copied().chain(written).collect();
        running.shown.clone_from(&tokens);
        let Some(run) = self.runs.get(self.current) else { return };
        self.prompt = Arc::new(run.info.source.label(&tokens, &self.rules));
        self.text_note = reading.notes.first().cloned();
        self.drawn = None;
        self.before_edit = None;
        self.selection.query = self.prompt.len().checked_sub(1);
        self.selection.first = None;
        self.changed();
    }
}
