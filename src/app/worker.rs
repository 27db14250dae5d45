//! Work that would hold up the window: files, folders and dialogs, each on a named thread that is joined.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::base::error::{Error, Result};

/// What is done on the thread of the window with what came of a piece of work: `A` is what the work is done for.
pub type Then<A> = Box<dyn FnOnce(&mut A) + Send>;

/// Threads at work, and what they have brought.
pub struct Worker<A> {
    wake: Arc<dyn Fn() + Send + Sync>,
    threads: Vec<(bool, JoinHandle<()>)>,
    sender: Sender<Then<A>>,
    done: Receiver<Then<A>>,
    /// Says that a piece of work failed by a fault of the program.
    fault: fn(&mut A, Error),
}

impl<A: 'static> Worker<A> {
    /// `wake` is called when something has been done; `fault` says that something panicked.
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>, fault: fn(&mut A, Error)) -> Self {
        let (sender, done) = unbounded();
        Self { wake, threads: Vec::new(), sender, done, fault }
    }

    /// Does `work` on a thread called `name`. A panic in it becomes a sentence.
    pub fn start(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Then<A> + Send + 'static,
    ) -> Result<()> {
        self.spawn(name, false, work)
    }

    /// As [`Self::start`] for what waits for a person or for a network, which may never answer: not waited for at the end, and nobody
    /// is kept busy by it.
    pub fn start_aside(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Then<A> + Send + 'static,
    ) -> Result<()> {
        self.spawn(name, true, work)
    }

    fn spawn(
        &mut self,
        name: &str,
        is_aside: bool,
        work: impl FnOnce() -> Then<A> + Send + 'static,
    ) -> Result<()> {
        let (sender, wake, what) = (self.sender.clone(), self.wake.clone(), name.to_owned());
        let fault = self.fault;
        let body = move || {
            let then = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let then = then.unwrap_or_else(|_| {
                let text =
                    format!("{what} failed by a fault of this program; nothing else was touched");
                Box::new(move |app| fault(app, Error::internal(text)))
            });
            // Nobody listens any more when the window has closed: then it is worth nothing.
            let _ = sender.send(then);
            wake();
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        self.threads.push((is_aside, thread));
        Ok(())
    }

    /// What is to be done with all that has come since the last call.
    pub fn take(&mut self) -> Vec<Then<A>> {
        self.threads.retain(|(_, thread)| !thread.is_finished());
        self.done.try_iter().collect()
    }

    /// Whether something is on its way, or lies here to be taken.
    pub fn is_busy(&self) -> bool {
        !self.done.is_empty()
            || self.threads.iter().any(|(aside, thread)| !aside && !thread.is_finished())
    }
}

impl<A> Drop for Worker<A> {
    fn drop(&mut self) {
        for (is_aside, thread) in self.threads.drain(..) {
            if !is_aside {
                // A panic in it was caught and told already.
                let _ = thread.join();
            }
        }
    }
}
