//! The steps of a series scored one after the other, on a thread of its own that waits while somebody else asks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::base::error::{Error, Result};

use super::examiner::fault;
use super::scoring::{Asked, Pass, Table};

/// What a scorer tells.
#[derive(Debug)]
pub enum Told {
    /// All that is known now.
    Rows(Table),
    /// What went wrong; it goes on.
    Problem(Error),
}

/// A thread that scores the steps of a series that are not scored yet. Dropping it stops and joins it, after the sequence at work.
pub struct Scorer {
    pub told: Receiver<Told>,
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

/// Whether it may go on.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Open,
    Held,
    Stopped,
}

impl Gate {
    fn set(&self, state: State) {
        // What it guards is one word.
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != State::Stopped {
            *now = state;
        }
        self.changed.notify_all();
    }

    /// Waits while it is held; false where it was stopped.
    fn pass(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |state: &mut State| *state == State::Held;
        let state = self.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
        *state != State::Stopped
    }
}

impl Scorer {
    /// What is found is kept beside `library`, if there is one. `wake` is called after each thing told.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        asked: Asked,
        library: Option<PathBuf>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let gate = Arc::new(Gate::default());
        let (sender, told) = unbounded();
        let passed = gate.clone();
        let body = move || {
            let tell = |what: Told| {
                if sender.send(what).is_ok() {
                    wake();
                }
            };
            let scored = catch_unwind(AssertUnwindSafe(|| {
                let (pass, problems) = Pass::open(asked, library.as_deref())?;
                problems.into_iter().for_each(|e| tell(Told::Problem(e)));
                carry_out(pass, &passed, &tell);
                Ok(())
            }));
            let scored =
                scored.unwrap_or_else(|panic| Err(fault("scoring a series", panic.as_ref())));
            if let Err(e) = scored {
                tell(Told::Problem(e));
            }
            end(sender, &wake);
        };
        let thread = std::thread::Builder::new().name("scorer".to_owned()).spawn(body);
        let thread = thread.map_err(|e| {
            Error::system(format!("a thread for scoring the series cannot be started: {e}"))
                .caused_by(e)
        })?;
        Ok(Self { told, gate, thread: Some(thread) })
    }

    /// Waits from the next sequence on, or goes on.
    pub fn hold(&self, is_held: bool) {
        self.gate.set(if is_held { State::Held } else { State::Open });
    }

    /// Ends it after the sequence at work; true once its thread has ended, so that dropping it waits for nothing.
    pub fn is_retired(&self) -> bool {
        self.gate.set(State::Stopped);
        self.has_ended()
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Scorer {
    fn drop(&mut self) {
        self.gate.set(State::Stopped);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Closes the channel, and then says so.
fn end(sender: Sender<Told>, wake: &impl Fn()) {
    drop(sender);
    wake();
}

fn carry_out(mut pass: Pass, gate: &Gate, tell: &dyn Fn(Told)) {
    let steps = pass.steps();
    tell(Told::Rows(Table::of(pass.scores(), &steps)));
    let mut is_writable = true;
    for step in pass.missing() {
        if !gate.pass() {
            return;
        }
        let mut unwritten = None;
        match pass.score(step, &|| gate.pass(), &mut |e| unwritten = Some(e)) {
            Ok(false) => return,
            Ok(true) => tell(Told::Rows(Table::of(pass.scores(), &steps))),
            Err(e) => tell(Told::Problem(e.context(format!("step {step} is not scored")))),
        }
        // Said once: a disk that is full is full at every step.
        if let Some(e) = unwritten.filter(|_| std::mem::take(&mut is_writable)) {
            tell(Told::Problem(e.context("scores are shown and not kept")));
        }
    }
}
