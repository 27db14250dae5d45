//! The row above the gating panel: say something else in the selected tuple, and see what every panel answers.

use egui::Ui;

use super::Pane;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::lab::run::RunInfo;
use crate::app::lab::tuple_edit::{TupleEdit, possible};
use crate::panel::Panel;
use crate::task::reference_back::TupleText;

/// Buttons that change the selected tuple.
pub struct Gating;

impl Pane for Gating {
    fn suits(&self, run: &RunInfo) -> bool {
        run.source.facet::<TupleText>().is_some()
    }

    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        buttons(ui, lab)
    }
}

fn buttons(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    let Some((at, is_possible)) = possible(lab) else { return actions };
    let buttons = [
        (
            TupleEdit::Instruction,
            "Flip Store/Ignore",
            "Store in this tuple instead of Ignore, or the reverse. Answers that were shown rightly are shown rightly again.",
        ),
        (
            TupleEdit::Register,
            "Next register",
            "Give this tuple the next register of the sequence.",
        ),
        (TupleEdit::Symbol, "Next symbol", "Give this tuple the next symbol of the sequence."),
    ];
    ui.horizontal_wrapped(|ui| {
        ui.weak(format!("tuple {at}"));
        for (edit, name, help) in buttons {
            ui.add_enabled_ui(is_possible(edit), |ui| {
                if ui.button(name).on_hover_text(help).clicked() {
                    actions.push(Action::EditTuple(edit));
                }
            });
        }
    });
    actions
}
