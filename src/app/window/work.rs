//! Work that would hold up the window, and what is done with what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::app::lab::run::{Begun, Order};
use crate::app::measure::pace;
use crate::app::panes::readers;
use crate::app::worker::Then;
use crate::base::error::{Error, Result};

use super::App;

impl App {
    /// Times an experiment of the gallery, one at a time and only while nothing trains: neither would be as fast as it is alone.
    pub(super) fn time_an_experiment(&mut self) {
        if self.lab.any_training() || self.worker.is_busy() {
            return;
        }
        if let Some(name) = self.gallery.next_to_time() {
            let time = move || pace::seconds_here(name);
            self.work("time an experiment", time, move |app, took| app.gallery.took(name, took));
        }
    }

    /// Does `work` on another thread, and `then` with what it gave on this one; an error becomes a sentence in the window.
    pub(super) fn work<T: Send + 'static>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        let started = self.worker.start(name, move || {
            let done = work();
            Box::new(move |app: &mut Self| match done {
                Ok(found) => then(app, found),
                Err(error) => app.lab.trouble(error),
            })
        });
        if let Err(error) = started {
            self.lab.trouble(error.context(name));
        }
    }

    /// Does what is to be done with all work that has ended.
    pub(super) fn take_work(&mut self) {
        for then in self.worker.take() {
            then(self);
        }
    }

    pub(super) fn say(&mut self, text: String) {
        self.note.say(text, Vec::new());
    }

    /// Has runs that were ordered built, each on a thread of its own.
    pub(super) fn build_runs(&mut self) {
        for order in std::mem::take(&mut self.lab.orders) {
            let build = move || -> Then<Self> {
                let begun = built(order);
                Box::new(|app| app.begun(begun))
            };
            match self.worker.start("start run", build) {
                Ok(()) => self.lab.building += 1,
                Err(error) => self.lab.trouble(error.context("start run")),
            }
        }
    }

    fn begun(&mut self, begun: Result<Begun>) {
        self.lab.building = self.lab.building.saturating_sub(1);
        self.run_list.asked = false;
        match begun {
            Ok(begun) => self.lab.begun(begun),
            Err(error) => self.lab.trouble(error),
        }
    }

    /// The trainer of a run may be in the middle of a step: it is waited for elsewhere.
    pub(super) fn close_run(&mut self) {
        let Some(run) = self.lab.close() else { return };
        let text = format!("{} was closed; its recording stays", run.name);
        let close = move || {
            drop(run);
            Ok(text)
        };
        self.work("close run", close, Self::say);
    }

    pub(super) fn keep_readers(&mut self) {
        match readers::to_keep(&self.lab) {
            Ok(Some(write)) => self.work("keep readers", write, |app, text| {
                app.say(text);
                // What is read with a kept lens is asked anew.
                app.lab.examination.ask_again();
                app.lab.changed();
            }),
            Ok(None) => self.say("there is no whole reader to keep yet".to_owned()),
            Err(error) => self.lab.trouble(error),
        }
    }
}

/// Builds a run. A panic in it is told as an error: somebody counts the runs that are being built.
fn built(order: Order) -> Result<Begun> {
    let fault = "the run could not be built by a fault of this program";
    catch_unwind(AssertUnwindSafe(|| order.carry_out()))
        .unwrap_or_else(|_| Err(Error::internal(fault)))
}
