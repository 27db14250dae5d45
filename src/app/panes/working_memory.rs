//! The row above the working memory: what becomes of the slot, or of the state, that is selected.

use egui::{Button, DragValue, Ui};

use super::Pane;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::intervention::{How, Intervention, Place, Point, Site, memory_token};
use crate::panel::{Panel, Selection};

/// The sequence that a slot is taken from.
#[derive(Default)]
pub struct Memory {
    from: u64,
}

impl Pane for Memory {
    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let Some(place) = place(lab) else {
            ui.weak("Click on what is written: its slot can then be cut, held or taken from another sequence.");
            return Vec::new();
        };
        let mut actions = Vec::new();
        ui.horizontal_wrapped(|ui| {
            ui.label(said(&place));
            let mut offer = |ui: &mut Ui, name: &str, how: How, help: &str| {
                let what = Intervention::Change { place: place.clone(), how };
                if ui.add(Button::new(name)).on_hover_text(help).clicked() {
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

/// The slot that is selected; of recurrent units, the state at the selected position.
fn place(lab: &Lab) -> Option<Place> {
    let Selection { layer, query, slot, .. } = lab.selection;
    if let Some(slot) = slot {
        let site = Site { layer: slot.layer, point: Point::own("memory.write") };
        return Some(Place::all(site).at([memory_token(slot.token, Some(slot.segment))]));
    }
    let net = &lab.run()?.info.net;
    let is_recurrent = net.heads.iter().all(|heads| *heads == 0);
    let site = Site { layer, point: Point::own("hidden") };
    query.filter(|_| is_recurrent).map(|query| Place::all(site).at([query]))
}

fn said(place: &Place) -> String {
    let positions = place.positions.iter().map(|at| crate::base::intervention::label(*at));
    let at: Vec<String> = positions.collect();
    match place.site.point.name() {
        "hidden" => format!("The state after position {}", at.join(", ")),
        _ => format!("Slot {}", at.join(", ").replacen(':', " as it is written in segment ", 1)),
    }
}
