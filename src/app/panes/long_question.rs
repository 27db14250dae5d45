//! How far the long question of a panel has come, with the buttons that end it and ask it again.

use egui::{ProgressBar, Ui};

use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::base::question::MeasurementCall;

/// How far the long question of a panel has come, with the buttons to end it and to ask it again.
pub fn controls(ui: &mut Ui, lab: &Lab, calls: &[MeasurementCall]) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some((found, stopping)) = lab.analyses.under_way(calls) {
        let share = found.done as f32 / found.total.max(1) as f32;
        let text = match (stopping, found.total) {
            (true, _) => "stopping …".to_owned(),
            (false, 0) => "starting …".to_owned(),
            (false, total) => format!("{} of {total}", found.done),
        };
        bar(ui, share, text).on_hover_text("Parts of the network that were tried.");
        let button = ui.add_enabled(!stopping, egui::Button::new("Cancel"));
        if button.on_hover_text("End it with what there is.").clicked() {
            actions.push(Action::Do(Command::CancelJob));
        }
        return actions;
    }
    if lab.analyses.is_next(calls) {
        bar(ui, 0.0, "starting …".to_owned());
        return actions;
    }
    let Some(found) = calls.iter().find_map(|call| lab.analyses.analyzed.get(call)) else {
        return actions;
    };
    let help = "Ask this again, of the weights in view (A). Of a run that trains most questions are asked only when you say so.";
    let refresh = ui.button("Refresh").accessible_name("Refresh the answer");
    if refresh.on_hover_text(help).clicked() {
        actions.push(Action::Do(Command::AskAgain));
    }
    if found.ended && found.done < found.total {
        ui.weak(format!("stopped after {} of {}", found.done, found.total));
    } else if lab.step_in_view() != found.step {
        ui.weak(format!("as it was at step {}", found.step));
    }
    actions
}

fn bar(ui: &mut Ui, share: f32, text: String) -> egui::Response {
    ui.add(ProgressBar::new(share).desired_width(120.0).text(text))
        .accessible_name("Progress of the long question")
}
