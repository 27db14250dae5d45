//! Looking at what other programs write, away from the window: runs and a sweep that go on, as long as they are open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::Context;

use crate::app::lab::follow::Look;
use crate::app::worker::Then;
use crate::panel;
use crate::run_folder::follow::Rhythm;
use crate::sweep::Sweep;

use super::App;

/// A sweep is read again at most this often: many runs lie in it.
const SWEEP_EVERY: Duration = Duration::from_secs(3);

impl App {
    /// Looks at the folders of followed runs that are due; at all of them when a hand comes back to the window.
    pub(super) fn follow(&mut self, ctx: &Context) {
        let has_focus = ctx.input(|i| i.focused);
        if !std::mem::replace(&mut self.had_focus, has_focus) && has_focus {
            self.lab.look_now();
        }
        for look in self.lab.looks(Instant::now()) {
            self.look_at(look);
        }
        self.keep_sweep_fresh();
    }

    fn look_at(&mut self, look: Look) {
        let work = move || -> Then<Self> {
            let looked = look.carry_out();
            Box::new(|app| app.lab.looked(looked))
        };
        if let Err(error) = self.worker.start_aside("follow", work) {
            self.lab.trouble(error.context("follow"));
        }
    }

    /// How long until something is to be looked at.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let sweep = self.sweep_watch.as_ref().filter(|watch| !watch.is_away);
        let sweep = sweep.and_then(|watch| watch.due);
        let next = self.lab.next_look().into_iter().chain(sweep).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Reads a sweep again that grows, while its panel is open and until its runs have ended.
    fn keep_sweep_fresh(&mut self) {
        let is_open = self.dock.is_open(panel::sweep::KIND.name);
        let sweep = self.lab.sweep.as_ref().filter(|sweep| is_open && !sweep.has_ended()).cloned();
        let Some(sweep) = sweep else {
            self.sweep_watch = None;
            return;
        };
        let watch = self.sweep_watch.get_or_insert_with(Watch::default);
        if watch.is_away || watch.due.is_some_and(|due| due > Instant::now()) {
            return;
        }
        watch.is_away = true;
        let before = watch.seen;
        let work = move || -> Then<Self> {
            let begun = Instant::now();
            let seen = sweep.glance();
            let read = (before != Some(seen)).then(|| sweep.read_on());
            let took = begun.elapsed();
            Box::new(move |app| app.watched(&sweep, seen, read, took))
        };
        if let Err(error) = self.worker.start_aside("read sweep", work) {
            self.lab.trouble(error.context("read sweep"));
        }
    }

    fn watched(&mut self, of: &Arc<Sweep>, seen: u64, read: Option<Sweep>, took: Duration) {
        let watch = self.sweep_watch.get_or_insert_with(Watch::default);
        let wait = watch.rhythm.after(took, read.is_some());
        let due = Some(Instant::now() + wait.max(SWEEP_EVERY));
        (watch.is_away, watch.seen, watch.due) = (false, Some(seen), due);
        let is_open = self.lab.sweep.as_ref().is_some_and(|open| Arc::ptr_eq(open, of));
        if let Some(read) = read.filter(|_| is_open) {
            self.lab.sweep = Some(Arc::new(read));
            self.lab.changed();
        }
    }
}

/// When the sweep that is open is looked at again.
#[derive(Default)]
pub(super) struct Watch {
    rhythm: Rhythm,
    due: Option<Instant>,
    /// A thread looks.
    is_away: bool,
    /// What its files looked like when it was read last.
    seen: Option<u64>,
}
