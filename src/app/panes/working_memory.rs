//! The row above the working memory: what becomes of the slot, or of the state, that is selected.

use egui::{Button, DragValue, Ui};

use super::Pane;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::lab::run::RunInfo;
use crate::base::intervention::{How, Intervention, Place, Point, Site, memory_token};
use crate::model::Keeps;
use crate::panel::{MemorySlot, Panel, Selection};

/// The sequence that a slot is taken from.
#[derive(Default)]
pub struct Memory {
    from: u64,
}

impl Pane for Memory {
    fn suits(&self, run: &RunInfo) -> bool {
        run.keeps.is_some()
    }

    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let Some((said, place)) = selected(lab) else {
            match lab.run().and_then(|run| run.info.keeps) {
                Some(Keeps::Tokens | Keeps::Retrieved) => {
                    ui.weak("Click on what is written: its slot can then be cut, held or taken from another sequence.");
                }
                Some(Keeps::Units) => {
                    ui.weak("Click on a position: the state after it can then be cut, held or taken from another sequence.");
                }
                Some(Keeps::Positions | Keeps::Compressed { .. } | Keeps::Mechanisms) | None => {}
            }
            return Vec::new();
        };
        let mut actions = Vec::new();
        ui.horizontal_wrapped(|ui| {
            ui.label(said);
            let mut offer = |ui: &mut Ui, name: &str, how: How, help: &str| {
                // Before the first segment or position nothing was there.
                let is_possible = !matches!(how, How::Hold) || place.has_before();
                let what = Intervention::Change { place: place.clone(), how };
                let button = ui.add_enabled(is_possible, Button::new(name));
                if button.on_hover_text(help).clicked() {
                    actions.push(Action::Intervene(what));
                }
            };
            offer(
                ui,
                "Cut",
                How::Zero,
                "It becomes zero: what was kept there is lost to all that follows.",
            );
            offer(
                ui,
                "Hold",
                How::Hold,
                "It stays what it was before: nothing is written into it.",
            );
            let help = "It becomes what it is on a held-out sequence, of this number.";
            offer(ui, "Take from sequence", How::Resample(self.from), help);
            ui.add(DragValue::new(&mut self.from).range(0..=4095)).on_hover_text(help);
        });
        actions
    }
}

/// The slot that is selected, and what is said of it; of recurrent units, the state at the selected position.
fn selected(lab: &Lab) -> Option<(String, Place)> {
    let Selection { layer, query, slot, .. } = lab.selection;
    if let Some(MemorySlot { token, segment, layer }) = slot {
        let site = Site { layer, point: Point::own("memory.write") };
        let place = Place::all(site).at([memory_token(token, Some(segment))]);
        return Some((format!("Slot m{token} as it is written in segment {segment}"), place));
    }
    let net = &lab.run()?.info.net;
    let query = query.filter(|_| !net.has_heads())?;
    let place = Place::all(Site { layer, point: Point::own("hidden") }).at([query]);
    Some((format!("The state after position {query}"), place))
}
