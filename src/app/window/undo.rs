//! One undo for what a hand did: text and flips, selection, interventions, settings of panels and of the experiment, layout.

use std::collections::VecDeque;
use std::sync::Arc;

use egui::Context;

use super::App;
use crate::app::lab::interventions::Change;
use crate::app::lab::prompt::InView;
use crate::app::panes::docking::Dock;
use crate::run::experiment::Experiment;

/// So many things can be taken back.
const MOST: usize = 200;
/// Seconds within which changes of one kind are one: typing, pulling at a slider, walking by arrow keys.
const TOGETHER: f64 = 1.0;

/// What the window shows and how, as far as a hand may take it back.
#[derive(Clone)]
struct Look {
    dock: Dock,
    /// Settings of panels, as TOML, by kind.
    settings: Arc<Vec<(String, String)>>,
    in_view: InView,
    /// The experiment in the form, and which of its changes that is.
    draft: Arc<Option<Experiment>>,
    drafted: u64,
}

/// What of a look differs from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Differs {
    dock: bool,
    settings: bool,
    draft: bool,
    text: bool,
    selection: bool,
}

impl Look {
    fn differs(&self, other: &Self) -> Option<Differs> {
        let differs = Differs {
            dock: self.dock != other.dock,
            settings: self.settings != other.settings,
            draft: self.drafted != other.drafted,
            text: !self.in_view.asks_the_same(&other.in_view),
            selection: !self.in_view.selects_the_same(&other.in_view),
        };
        let nothing =
            Differs { dock: false, settings: false, draft: false, text: false, selection: false };
        (differs != nothing).then_some(differs)
    }
}

/// Something that was done.
struct Done {
    /// The run that was in view.
    run: u64,
    /// Layout or settings of panels, which are those of all runs, and nothing of the run.
    is_of_all: bool,
    /// As it looked on the other side of it; none where that did not change.
    look: Option<Look>,
    /// Interventions, in their order.
    changes: Vec<Change>,
}

impl Done {
    /// Whether it can be taken back with this run in view: what is in force in another one is its own.
    fn is_for(&self, run: u64) -> bool {
        self.run == run || self.is_of_all
    }
}

/// What was done and can be taken back, and what was taken back and can be done again.
#[derive(Default)]
pub struct History {
    past: VecDeque<Done>,
    future: VecDeque<Done>,
    /// As it looked last, and the revision of its settings.
    last: Option<(Look, u64)>,
    /// When that changed, and how.
    newest: Option<(f64, Differs)>,
}

impl History {
    fn push(&mut self, done: Done) {
        self.past.push_back(done);
        if self.past.len() > MOST {
            self.past.pop_front();
        }
        self.future.clear();
    }

    /// What can be taken back, or what can be done again.
    fn side(&mut self, undo: bool) -> &mut VecDeque<Done> {
        if undo { &mut self.past } else { &mut self.future }
    }

    /// What changes in this frame is nothing to be taken back.
    pub fn skip(&mut self) {
        self.last = None;
        self.newest = None;
    }

    /// Takes in what changed since the last frame. What a run that came into view changed, no hand did.
    fn feed(&mut self, now: f64, look: Look, revision: u64, changes: Vec<Change>) {
        let run = look.in_view.run;
        let last = self.last.take().map(|(look, _)| look);
        let differs = last.as_ref().and_then(|last| last.differs(&look));
        self.last = Some((look, revision));
        let Some(last) = last else { return };
        if last.in_view.run != run {
            self.newest = None;
            return;
        }
        match differs {
            None if changes.is_empty() => {}
            Some(differs) if changes.is_empty() => {
                let before = self.newest.replace((now, differs));
                let goes_on =
                    before.is_some_and(|(at, kind)| kind == differs && now - at < TOGETHER);
                if goes_on && !self.past.is_empty() && self.future.is_empty() {
                    return;
                }
                let is_of_all = differs.dock || differs.settings;
                self.push(Done { run, is_of_all, look: Some(last), changes });
            }
            differs => {
                self.newest = None;
                self.push(Done { run, is_of_all: false, look: differs.map(|_| last), changes });
            }
        }
    }
}

impl App {
    /// Notes what a hand did in this frame.
    pub(super) fn note_what_was_done(&mut self, ctx: &Context) {
        let (changes, revision) = (self.lab.take_changes(), self.host.settings_revision());
        if changes.is_empty() && self.looks_as_before(revision) {
            return;
        }
        let look = self.seen_now();
        self.history.feed(ctx.input(|i| i.time), look, revision, changes);
    }

    /// Whether nothing changed since the last frame: then nothing is copied, as in most frames.
    fn looks_as_before(&self, revision: u64) -> bool {
        let Some((last, known)) = &self.history.last else { return false };
        let now = self.lab.in_view();
        *known == revision
            && last.drafted == self.lab.drafted
            && last.dock == self.dock
            && last.in_view.run == now.run
            && last.in_view.asks_the_same(&now)
            && last.in_view.selects_the_same(&now)
    }

    /// As it looks now; settings and experiment are written down again only when something in them was changed.
    fn seen_now(&mut self) -> Look {
        let kept = self.history.last.as_ref();
        let (run, drafted) = (self.lab.run_id(), self.lab.drafted);
        let of = |look: &&Look| look.drafted == drafted && look.in_view.run == run;
        let draft = kept.map(|(look, _)| look).filter(of).map(|look| look.draft.clone());
        let draft = draft.unwrap_or_else(|| Arc::new(self.lab.draft().cloned()));
        let same = kept.filter(|(_, revision)| *revision == self.host.settings_revision());
        let settings = same.map(|(look, _)| look.settings.clone());
        let settings = settings.unwrap_or_else(|| Arc::new(self.host.settings()));
        Look { dock: self.dock.clone(), settings, in_view: self.lab.in_view(), draft, drafted }
    }

    pub(super) fn undo(&mut self, ctx: &Context) {
        self.turn(ctx, true);
    }

    pub(super) fn redo(&mut self, ctx: &Context) {
        self.turn(ctx, false);
    }

    /// Takes back the newest thing that can be in the run in view, or does it again.
    fn turn(&mut self, ctx: &Context, undo: bool) {
        let run = self.lab.run_id();
        let from = self.history.side(undo);
        let newest = from.iter().rposition(|done| done.is_for(run));
        let Some(done) = newest.and_then(|at| from.remove(at)) else { return };
        let back = self.bring_back(done, ctx, undo);
        self.history.side(!undo).push_back(back);
    }

    /// Goes to the other side of something that was done; returns the way back.
    fn bring_back(&mut self, done: Done, ctx: &Context, undo: bool) -> Done {
        let Done { run, is_of_all, look, changes } = done;
        let now = look.is_some().then(|| self.seen_now());
        if undo {
            changes.iter().rev().for_each(|change| self.lab.take_back(change));
        } else {
            changes.iter().for_each(|change| self.lab.do_again(change));
        }
        if let Some(look) = look {
            self.write_draft(&look);
            self.dock.lay_as(look.dock);
            self.host.restore(&look.settings);
            self.lab.bring_back(look.in_view);
            self.host.tell(crate::app::panes::News::Rewritten, &self.lab);
            self.apply_look(ctx);
        }
        // Nothing of this is news to the history.
        self.lab.take_changes();
        let (look, revision) = (self.seen_now(), self.host.settings_revision());
        self.history.last = Some((look, revision));
        self.history.newest = None;
        self.lab.changed();
        Done { run, is_of_all, look: now, changes }
    }

    /// The experiment in the form as it was, if it is of the run in view.
    fn write_draft(&mut self, look: &Look) {
        let is_there = look.drafted == self.lab.drafted || look.in_view.run != self.lab.run_id();
        let Some(before) = look.draft.as_ref().as_ref().filter(|_| !is_there) else { return };
        if let Some(draft) = self.lab.draft_mut() {
            draft.clone_from(before);
        }
    }
}
