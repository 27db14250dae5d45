//! A progress bar over work that Ctrl-C ends.

use crossbeam_channel::Receiver;
use indicatif::{ProgressBar, ProgressStyle};

use crate::base::error::Result;

use super::train::interrupts;

/// Drawn on standard error, and only where that is a terminal.
pub struct Bar {
    bar: ProgressBar,
    interrupts: Receiver<()>,
    stopped: bool,
}

impl Bar {
    /// Listens for Ctrl-C from now on. `what`: what is counted, e.g. `passes`.
    ///
    /// # Errors
    /// When the system does not let it listen.
    pub fn begin(what: &str) -> Result<Self> {
        let bar = ProgressBar::new(0);
        let template = format!("{{bar:40}} {{pos}} of {{len}} {what}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Ok(Self { bar, interrupts: interrupts()?, stopped: false })
    }

    /// Whether to go on.
    pub fn show(&mut self, done: usize, total: usize) -> bool {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.stopped |= self.interrupts.try_recv().is_ok();
        !self.stopped
    }

    /// Takes the bar away; whether Ctrl-C had ended the work.
    pub fn end(self) -> bool {
        self.bar.finish_and_clear();
        self.stopped
    }
}
