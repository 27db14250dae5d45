//! The row that says with what the panels are compared, and how that is shown.

use egui::{ComboBox, DragValue, Ui};

use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::app::lab::compared::{Moment, Subject, Under};
use crate::panel::compare::Showing;

/// Nothing while nothing is compared.
pub fn row(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    ui.horizontal_wrapped(|ui| {
        ui.strong("Compared with B:").on_hover_text(
            "A is what is in view. B is what it is compared with: both are asked the same questions about the same text.",
        );
        if let Some(subject) = &lab.comparison.with {
            let mut chosen = subject.clone();
            choices(ui, lab, &mut chosen);
            if chosen != *subject {
                actions.push(Action::Compare(Some(chosen)));
            }
        }
        pins(ui, lab, &mut actions);
        ui.separator();
        for showing in Showing::ALL {
            let is_chosen = lab.comparison.showing == *showing;
            if ui.selectable_label(is_chosen, showing.name()).clicked() && !is_chosen {
                actions.push(Action::ShowCompared(*showing));
            }
        }
        if ui.small_button("Stop").on_hover_text("Compare nothing any more.").clicked() {
            actions.push(Action::Do(Command::StopComparing));
        }
    });
    actions
}

/// Run, step, what is in force, and head of what is compared.
fn choices(ui: &mut Ui, lab: &Lab, subject: &mut Subject) {
    let name = lab.run_of(subject.run).map_or("closed", |(_, run)| run.name.as_str());
    let combo = ComboBox::from_id_salt("compared run").width(110.0).truncate().selected_text(name);
    let combo = combo.show_ui(ui, |ui| {
        for run in &lab.runs {
            ui.selectable_value(&mut subject.run, run.id, &run.name);
        }
    });
    combo.response.on_hover_text("The run of B.").accessible_name("Run of B");
    step(ui, lab, subject);
    in_force(ui, subject);
    head(ui, lab, subject);
}

/// The step in view, or one that stays.
fn step(ui: &mut Ui, lab: &Lab, subject: &mut Subject) {
    let shown = lab.step_of(subject);
    let mut is_same = subject.step == Moment::InView;
    let help = "B moves through time with what is in view; of another run, to the nearest step that is recorded.";
    let text = if subject.run == lab.run_id() { "same step" } else { "nearest step" };
    if ui.checkbox(&mut is_same, text).on_hover_text(help).changed() {
        subject.step = if is_same { Moment::InView } else { Moment::At(shown.unwrap_or(0)) };
    }
    let Some(recorded) = lab.run_of(subject.run).map(|(_, run)| &run.recording.recorded) else {
        return;
    };
    let (Some(first), Some(last), Some(mut step)) = (recorded.first(), recorded.last(), shown)
    else {
        return;
    };
    let (speed, last) = ((*last - *first).max(1) as f64 / 300.0, (*last).max(step));
    let drag = DragValue::new(&mut step).range(*first..=last).speed(speed);
    let drag = ui.add(drag.prefix("step ")).accessible_name("Step of B");
    if drag.on_hover_text("Drag, or click and write: the nearest recorded step.").changed() {
        let nearest = recorded.iter().min_by_key(|at| at.abs_diff(step));
        subject.step = Moment::At(*nearest.unwrap_or(&step));
    }
}

fn in_force(ui: &mut Ui, subject: &mut Subject) {
    let text = |under: &Under| match under {
        Under::Nothing => "nothing in force",
        Under::InForce => "what is in force here",
        Under::These(all) if all.is_empty() => "nothing in force",
        Under::These(_) => "what was in force",
    };
    let combo = ComboBox::from_id_salt("in force in B").width(140.0).truncate();
    let combo = combo.selected_text(text(&subject.under)).show_ui(ui, |ui| {
        for under in [Under::Nothing, Under::InForce] {
            let name = text(&under);
            ui.selectable_value(&mut subject.under, under, name);
        }
    });
    combo.response.on_hover_text("What is in force in B.").accessible_name("In force in B");
}

/// The head in focus, or one that stays.
fn head(ui: &mut Ui, lab: &Lab, subject: &mut Subject) {
    let text = |head: Option<(usize, usize)>| match head {
        None => "same head".to_owned(),
        Some((layer, head)) => format!("L{layer} H{head}"),
    };
    let Some((_, run)) = lab.run_of(subject.run) else { return };
    let heads = run.info.net.heads.iter().enumerate();
    let all = heads.flat_map(|(layer, &count)| (0..count).map(move |head| Some((layer, head))));
    let combo = ComboBox::from_id_salt("head of B").width(84.0).selected_text(text(subject.head));
    let combo = combo.show_ui(ui, |ui| {
        for head in std::iter::once(None).chain(all) {
            ui.selectable_value(&mut subject.head, head, text(head));
        }
    });
    combo.response.on_hover_text("The head of B that is looked at.").accessible_name("Head of B");
}

/// Panels that have something of their own beside them.
fn pins(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    for (panel, subject) in &lab.comparison.pinned {
        let title = lab.panels.title(panel);
        let step = lab.step_of(subject).map_or_else(String::new, |step| format!(", step {step}"));
        let button = ui.small_button(format!("{title} pinned{step}  ×"));
        if button.on_hover_text("Take away what was pinned beside this panel.").clicked() {
            actions.push(Action::Pin(panel.clone()));
        }
    }
}
