//! What went well, said for a while over the panels: nothing moves for it. What can be undone is undone from here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::{Align2, Area, Context, Frame, Id, Order};

use crate::app::commands::Action;

/// As long as it takes to read a sentence.
const SHOWN: Duration = Duration::from_secs(6);
/// And to think better of it.
const UNDOABLE: Duration = Duration::from_secs(30);

/// A sentence, since when it is shown, and the runs in the trash that it offers to bring back.
#[derive(Default)]
pub struct Note(Option<(String, Instant, Vec<PathBuf>)>);

impl Note {
    pub fn say(&mut self, text: String, undo: Vec<PathBuf>) {
        self.0 = Some((text, Instant::now(), undo));
    }

    pub fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    pub fn ui(&mut self, ctx: &Context) -> Option<Action> {
        let (text, at, undo) = self.0.as_ref()?;
        let can_undo = !undo.is_empty();
        if at.elapsed() > if can_undo { UNDOABLE } else { SHOWN } {
            self.0 = None;
            return None;
        }
        let area = Area::new(Id::unique("note")).order(Order::Tooltip).interactable(can_undo);
        let shown = area.anchor(Align2::RIGHT_TOP, [-12.0, 72.0]).show(ctx, |ui| {
            let frame = Frame::popup(ui.style()).show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.label(text);
                    can_undo && ui.button("Undo").clicked()
                })
            });
            frame.inner.inner
        });
        shown.inner.then(|| Action::RestoreRuns(undo.clone()))
    }
}
