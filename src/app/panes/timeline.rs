//! Time under the hand: drag to any recorded step, play back, return to live.

use egui::{EventFilter, Key, Pos2, Rect, Role, Sense, Ui, WidgetInfo, accesskit};

use super::{Drawn, Pane};
use crate::app::canvas::paint::Frame;
use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::base::convert;
use crate::figure::scale::Scale;
use crate::figure::scene::Area;
use crate::figure::{Along, Axis, Pick, pick};
use crate::panel::Panel;

/// Offered speeds of playing back, recorded steps per second.
const SPEEDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// The row of buttons above the track, and the track, which can be dragged.
pub struct Timeline;

impl Pane for Timeline {
    fn controls(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        buttons(ui, lab)
    }

    fn controls_for_hall(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        ui.horizontal(|ui| walk(ui, lab, &mut actions));
        actions
    }

    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, lab: &Lab) -> Vec<Action> {
        let mut actions = drawn.paint(ui);
        actions.extend(track(ui, drawn, lab));
        actions
    }
}

fn buttons(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    ui.horizontal(|ui| {
        walk(ui, lab, &mut actions);
        ui.separator();
        let button = ui.add_enabled(lab.can_begin() && is_recorded(lab), egui::Button::new("Branch from here"));
        let button = button.on_disabled_hover_text(lab.why_not_steered());
        let help = "A new run from the step in view, with the settings of the form (B). It begins paused: Space trains it, Shift+B does so at once. Both runs stay.";
        if button.on_hover_text(help).clicked() {
            actions.push(Action::Do(Command::Branch));
        }
    });
    actions
}

fn is_recorded(lab: &Lab) -> bool {
    lab.run().is_some_and(|run| !run.recording.recorded.is_empty())
}

/// Through the recorded steps, one by one or played back.
fn walk(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let past = is_recorded(lab);
    let mut button = |text: &str, name: &str, help: &str, enabled: bool, command: Command| {
        let button = ui.add_enabled(enabled, egui::Button::new(text));
        if button.on_hover_text(help).accessible_name(name).clicked() {
            actions.push(Action::Do(command));
        }
    };
    let back = lab.step.is_some();
    let (text, name) = match lab.playback.playing {
        true => ("Hold", "Hold playback"),
        false => ("Play back", "Play back"),
    };
    let previous = "Previous recorded step (Ctrl+←)";
    button("First", "First recorded step", "First recorded step (Home)", past, Command::FirstStep);
    button("◄", "Previous recorded step", previous, past, Command::PreviousStep);
    button(text, name, "Walk through the recorded steps (P)", past, Command::Play);
    button("►", "Next recorded step", "Next recorded step (Ctrl+→)", back, Command::NextStep);
    button("Live", "Back to live", "Show the newest weights again (L)", back, Command::Live);
    playback_speed(ui, lab, actions);
}

fn playback_speed(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let now = lab.playback.steps_per_second;
    let combo = egui::ComboBox::from_id_salt("playback speed").width(90.0);
    let combo = combo.selected_text(format!("{now} a second"));
    let combo = combo.show_ui(ui, |ui| {
        for &speed in SPEEDS {
            if ui.selectable_label(speed == now, format!("{speed} a second")).clicked() {
                actions.push(Action::PlaybackSpeed(speed));
            }
        }
    });
    let help = "Recorded steps shown per second.";
    combo.response.on_hover_text(help).accessible_name("Playback speed");
}

/// The track under the hand: a press goes to the step there, or to that of the flag there; a drag goes along. Pointing at it says
/// the step and what happened there. The x axis of the figure is the step.
fn track(ui: &mut Ui, drawn: &Drawn<'_>, lab: &Lab) -> Vec<Action> {
    let plot = |area: &Area| drawn.figure.plots.get(area.pick.plot()?);
    let Some((area, plot)) = drawn.scene.areas.iter().find_map(|area| Some((area, plot(area)?)))
    else {
        return Vec::new();
    };
    let frame = Frame::new(drawn.place.min);
    let place = frame.rect(area.min, area.max);
    let id = ui.scope_id().with("step in view");
    // A press and a release within one frame are a click and no drag.
    let response = ui.interact(place, id, Sense::click_and_drag());
    let last = lab.run().map_or(0, |run| run.recording.last_step);
    tell_reader(ui, &response, lab.step_in_view(), last);
    let mut actions = by_keys(ui, &response);
    if let Some(step) = asked_by_reader(ui, id) {
        actions.push(Action::View(Some(step)));
    }
    let track = Track { place, x: &plot.x, last };
    let picked = |at: Pos2| pick::pick(drawn.scene, frame.back(at));
    let pressed = response.is_pointer_button_down_on() || response.clicked();
    let pointer = response.interact_pointer_pos();
    if let Some(at) = pointer.filter(|_| pressed) {
        let flag = picked(at).map(|(pick, _)| pick).filter(|_| !response.dragged());
        actions.push(match flag {
            Some(pick @ Pick::Step(_)) => Action::Pick { pick, shift: false },
            _ => Action::View(track.step(at)),
        });
    }
    if response.has_focus() {
        let stroke = ui.visuals().selection.stroke;
        ui.painter().rect_stroke(place, 2, stroke, egui::StrokeKind::Inside);
    }
    if let Some(at) = response.hover_pos() {
        let words = track.words(at, picked(at), lab);
        response.clone().on_hover_text_at_pointer(words);
    }
    response.on_hover_and_drag_cursor(egui::CursorIcon::ResizeHorizontal);
    actions
}

/// For a screen reader it is a slider.
fn tell_reader(ui: &Ui, response: &egui::Response, now: u64, last: u64) {
    response.widget_info(|| WidgetInfo::slider(true, now as f64, "Step in view"));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(Role::Slider);
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(last as f64);
        node.add_action(accesskit::Action::SetValue);
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
}

/// The axis of steps on the screen.
struct Track<'a> {
    place: Rect,
    x: &'a Axis,
    last: u64,
}

impl Track<'_> {
    /// The step under a place; the right end is live.
    fn step(&self, at: Pos2) -> Option<u64> {
        let share = f64::from((at.x - self.place.left()) / self.place.width()).clamp(0.0, 1.0);
        step_at(self.x.range, self.x.along, share, self.last)
    }

    /// Where a step is on the screen.
    fn at(&self, step: u64) -> f32 {
        let ends = (self.place.left(), self.place.right());
        Scale::new(self.x.range, self.x.along, ends).at(step as f64)
    }

    /// The step under the pointer, and what happened there: named on a flag, cut short on it, or not named at all.
    fn words(&self, at: Pos2, picked: Option<(Pick, String)>, lab: &Lab) -> String {
        /// Screen units around a mark that mean it.
        const NEAR: f32 = 5.0;
        let Some(run) = lab.run() else { return String::new() };
        let near = |step: u64| (self.at(step) - at.x).abs() <= NEAR;
        let said = |step: u64, what: &str| format!("{what} at step {step}");
        let marks = run.recording.marks.iter().filter(|mark| near(mark.step));
        let mut lines: Vec<String> = vec![self.under(at, lab)];
        lines.extend(marks.map(|mark| said(mark.step, &mark.in_words()[0])));
        // A flag says what it names wherever the pointer is on it.
        let flag = picked.and_then(|(_, hover)| {
            let (step, what) = hover.strip_prefix("step ")?.split_once(": ")?;
            // Below it stands what that means.
            let what = what.lines().next()?;
            let is_flag = run.recording.marks.iter().any(|mark| mark.in_words()[0] == what);
            is_flag.then_some(())?;
            Some(said(step.parse().ok()?, what))
        });
        lines.extend(flag.filter(|flag| !lines.contains(flag)));
        lines.join("\n")
    }

    /// The step that a click here goes to.
    fn under(&self, at: Pos2, lab: &Lab) -> String {
        let recording = lab.run().map(|run| &run.recording);
        let step = self.step(at);
        let nearest = step.and_then(|step| recording?.nearest_recorded(step));
        match (step, nearest) {
            (None, _) => format!("step {}, the newest", self.last),
            (Some(step), Some(recorded)) if step != recorded => {
                format!("step {step}; the nearest recorded one is {recorded}")
            }
            (Some(step), _) => format!("step {step}"),
        }
    }
}

/// The step at a share of the axis; the right end is live.
pub fn step_at(range: (f64, f64), along: Along, share: f64, last: u64) -> Option<u64> {
    let (low, high) = (along.place(range.0), along.place(range.1));
    let step = along.value(low + share * (high - low));
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
