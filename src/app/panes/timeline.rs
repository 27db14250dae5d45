//! Time under the hand: drag to any recorded step, play back, return to live.

use egui::{EventFilter, Key, Role, Sense, Ui, WidgetInfo, accesskit};

use super::{Drawn, Pane};
use crate::app::canvas::paint::Frame;
use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::base::convert;
use crate::figure::scene::Area;
use crate::panel::Panel;

/// Offered speeds of playing back, recorded steps per second.
const SPEEDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// The row of buttons above the track, and the track, which can be dragged.
pub struct Timeline;

impl Pane for Timeline {
    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        buttons(ui, lab)
    }

    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, lab: &Lab) -> Vec<Action> {
        let mut actions = drawn.paint(ui);
        actions.extend(track(ui, drawn, lab));
        actions
    }
}

fn buttons(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    let past = lab.run().is_some_and(|run| !run.recording.recorded.is_empty());
    ui.horizontal(|ui| {
        let mut button = |text: &str, name: &str, help: &str, enabled: bool, command: Command| {
            let button = ui.add_enabled(enabled, egui::Button::new(text));
            if button.on_hover_text(help).accessible_name(name).clicked() {
                actions.push(Action::Do(command));
            }
        };
        button("First", "First recorded step", "First recorded step (Home)", past, Command::FirstStep);
        button("◄", "Previous recorded step", "Previous recorded step (Ctrl+←)", past, Command::PreviousStep);
        let (text, name) =
            if lab.playback.playing { ("Hold", "Hold playback") } else { ("Play back", "Play back") };
        button(text, name, "Walk through the recorded steps (P)", past, Command::Play);
        let back = lab.step.is_some();
        button("►", "Next recorded step", "Next recorded step (Ctrl+→)", back, Command::NextStep);
        button("Live", "Back to live", "Show the newest weights again (L)", back, Command::Live);
        let combo = egui::ComboBox::from_id_salt("playback speed")
            .width(90.0)
            .selected_text(format!("{} a second", lab.playback.steps_per_second));
        let combo = combo.show_ui(ui, |ui| {
            for &speed in SPEEDS {
                let chosen = speed == lab.playback.steps_per_second;
                if ui.selectable_label(chosen, format!("{speed} a second")).clicked() {
                    actions.push(Action::PlaybackSpeed(speed));
                }
            }
        });
        combo.response.on_hover_text("Recorded steps shown per second.").accessible_name("Playback speed");
        ui.separator();
        let button = ui.add_enabled(past, egui::Button::new("Branch from here"));
        let help = "A new run from the step in view, with the settings of the form (B). It begins paused: Space trains it, Shift+B does so at once. Both runs stay.";
        if button.on_hover_text(help).clicked() {
            actions.push(Action::Do(Command::Branch));
        }
    });
    actions
}

/// Lets the track be dragged: the x axis of the figure is the step.
fn track(ui: &mut Ui, drawn: &Drawn<'_>, lab: &Lab) -> Vec<Action> {
    let plot = |area: &Area| drawn.figure.plots.get(area.pick.plot()?);
    let Some((area, plot)) = drawn.scene.areas.iter().find_map(|area| Some((area, plot(area)?)))
    else {
        return Vec::new();
    };
    let frame = Frame::new(drawn.place.min);
    let track = frame.rect(area.min, area.max);
    let id = ui.scope_id().with("step in view");
    let response = ui.interact(track, id, Sense::drag() | Sense::FOCUSABLE);
    let now = lab.step_in_view();
    response.widget_info(|| WidgetInfo::slider(true, now as f64, "Step in view"));
    let last = lab.run().map_or(0, |run| run.recording.last_step);
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_role(Role::Slider);
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(last as f64);
        node.add_action(accesskit::Action::SetValue);
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
    let mut actions = by_keys(ui, &response);
    if let Some(step) = asked_by_reader(ui, id) {
        actions.push(Action::View(Some(step)));
    }
    if response.dragged()
        && let Some(pointer) = response.interact_pointer_pos()
    {
        let share = f64::from((pointer.x - track.left()) / track.width()).clamp(0.0, 1.0);
        actions.push(Action::View(step_at(plot.x.range, plot.x.log, share, last)));
    }
    if response.has_focus() {
        let stroke = ui.visuals().selection.stroke;
        ui.painter().rect_stroke(track, 2, stroke, egui::StrokeKind::Inside);
    }
    response.on_hover_and_drag_cursor(egui::CursorIcon::ResizeHorizontal);
    actions
}

/// The step at a share of the axis; the right end is live.
fn step_at(range: (f64, f64), log: bool, share: f64, last: u64) -> Option<u64> {
    let step = if log {
        range.0 * (range.1 / range.0).powf(share)
    } else {
        range.0 + share * (range.1 - range.0)
    };
    let step = convert::count(step.round().max(0.0));
    (step < last).then_some(step)
}

fn by_keys(ui: &Ui, response: &egui::Response) -> Vec<Action> {
    if !response.has_focus() {
        return Vec::new();
    }
    let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
    let mut actions = Vec::new();
    ui.input_mut(|i| {
        for _ in 0..i.count_and_consume_key(egui::Modifiers::NONE, Key::ArrowLeft) {
            actions.push(Action::Do(Command::PreviousStep));
        }
        for _ in 0..i.count_and_consume_key(egui::Modifiers::NONE, Key::ArrowRight) {
            actions.push(Action::Do(Command::NextStep));
        }
    });
    let presses = |action| ui.input(|i| i.num_accesskit_action_requests(response.id, action));
    for _ in 0..presses(accesskit::Action::Decrement) {
        actions.push(Action::Do(Command::PreviousStep));
    }
    for _ in 0..presses(accesskit::Action::Increment) {
        actions.push(Action::Do(Command::NextStep));
    }
    actions
}

/// A step that a screen reader (or a test) set by value.
fn asked_by_reader(ui: &Ui, id: egui::Id) -> Option<u64> {
    ui.input(|i| {
        i.accesskit_action_requests(id, accesskit::Action::SetValue).find_map(|request| {
            match &request.data {
                Some(accesskit::ActionData::NumericValue(value)) => {
                    Some(convert::count(value.max(0.0)))
                }
                _ => None,
            }
        })
    })
}
