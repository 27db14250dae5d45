//! Work that would hold up the window: files, folders and dialogs, each on a named thread that is joined.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::figure::fallback::Fallback;
use crate::record::error::{Error, Result};
use crate::record::folder::library::Stock;
use crate::record::sweep::Sweep;
use crate::run::experiment::Experiment;

use super::dialogs::Purpose;
use super::run::{Begun, Opened};
use super::studio::Doc;

/// What came of a piece of work.
pub enum Outcome {
    /// A dialog was answered; no path when it was closed.
    Chosen(Purpose, Option<PathBuf>),
    /// Something was written: a sentence that says where.
    Done(Result<String>),
    /// Readers were written into the folder of a run.
    Kept(Result<String>),
    Begun(Result<Box<Begun>>),
    /// A recorded run, and the step of it that was asked for.
    Opened(Result<Box<Opened>>, Option<u64>),
    /// The runs of a sweep, and whether it was open before.
    Sweep(Result<Box<Sweep>>, bool),
    /// Something for the clipboard, and a sentence that says what.
    Copied(Copied, &'static str),
    /// A figure sheet with what its panels draw.
    Pages(Result<Box<Doc>>),
    /// An experiment file, to be begun.
    Experiment(Result<Box<Experiment>>),
    Listed(Result<Box<Stock>>),
    /// Runs of the library were moved: a sentence, those that lie in the trash now and may come back, and what refused.
    Moved(String, Vec<PathBuf>, Vec<Error>),
    /// Files of fonts that were chosen, and what was read in them.
    Fonts(Result<(Vec<PathBuf>, Fallback)>),
}

/// What goes on the clipboard.
pub enum Copied {
    Image(egui::ColorImage),
    Text(String),
}

/// Threads at work, and what they have brought.
pub struct Worker {
    wake: Arc<dyn Fn() + Send + Sync>,
    threads: Vec<(bool, JoinHandle<()>)>,
    sender: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
}

impl Worker {
    /// `wake` is called when something has been brought.
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (sender, outcomes) = unbounded();
        Self { wake, threads: Vec::new(), sender, outcomes }
    }

    /// Does `work` on a thread called `name`. A panic in it becomes a sentence.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<()> {
        self.spawn(name, false, work)
    }

    /// As [`Self::start`] for what waits for a person, who may never answer: not waited for at the end.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_dialog(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<()> {
        self.spawn(name, true, work)
    }

    fn spawn(
        &mut self,
        name: &str,
        waits_for_person: bool,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<()> {
        let (sender, wake, what) = (self.sender.clone(), self.wake.clone(), name.to_owned());
        let body = move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let outcome = outcome.unwrap_or_else(|_| {
                let text =
                    format!("{what} failed by a fault of this program; nothing else was touched");
                Outcome::Done(Err(Error::internal(text)))
            });
            // Nobody listens any more when the window has closed: then the outcome is worth nothing.
            let _ = sender.send(outcome);
            wake();
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        self.threads.push((waits_for_person, thread));
        Ok(())
    }

    /// What has been brought since the last call.
    pub fn take(&mut self) -> Vec<Outcome> {
        self.threads.retain(|(_, thread)| !thread.is_finished());
        self.outcomes.try_iter().collect()
    }

    /// Whether something is on its way, or lies here to be taken.
    pub fn is_busy(&self) -> bool {
        !self.outcomes.is_empty()
            || self.threads.iter().any(|(waits, thread)| !waits && !thread.is_finished())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for (waits_for_person, thread) in self.threads.drain(..) {
            if !waits_for_person {
                // A panic in it was caught and told already.
                let _ = thread.join();
            }
        }
    }
}
