//! The bars at the top: the menu, and what training is doing, in words.

use egui::{ComboBox, CornerRadius, Frame, Margin, RichText, Stroke, Ui};

use crate::base::event::State;
use crate::base::intervention::Intervention;
use crate::gpu::device::Adapter;
use crate::measurement::effect;
use crate::panel::columns::{describe, label};

use crate::app::commands::{Action, Command, Menu, spell, table};
use crate::app::lab::Lab;
use crate::app::lab::effect::{ACCURACIES, Effect};

/// Offered speeds in steps per second; none is as fast as it goes.
pub const SPEEDS: &[Option<f64>] =
    &[None, Some(50.0), Some(20.0), Some(10.0), Some(5.0), Some(2.0), Some(1.0)];

/// What trains and what draws, in a few words.
fn in_words(adapter: Option<&Adapter>) -> String {
    match adapter {
        None => "CPU".to_owned(),
        Some(adapter) if adapter.software => "CPU".to_owned(),
        Some(adapter) => format!("CPU, {}", adapter.name),
    }
}

/// The same at length.
fn note(adapter: Option<&Adapter>) -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut text = format!("Training uses the CPU ({threads} threads).");
    if let Some(adapter) = adapter {
        text += &format!("\nPictures are drawn by {}.", adapter.name);
        text += &adapter.note().map(|note| format!("\n{note}.")).unwrap_or_default();
    }
    text
}

/// File, Training, … : rows of the one table.
pub fn menu(ui: &mut Ui, lab: &Lab, adapter: Option<&Adapter>, greets: bool) -> Vec<Action> {
    let mut actions = Vec::new();
    egui::MenuBar::new().ui(ui, |ui| {
        for (menu, title) in Menu::ALL {
            ui.menu_button(*title, |ui| {
                for entry in table(lab.panels).into_iter().filter(|e| e.menu == *menu) {
                    let keys = entry.keys.as_ref().map(spell);
                    // An experiment goes by another name in files and commands.
                    let also = || if entry.menu == Menu::Experiments { entry.also } else { "" };
                    let right = keys.unwrap_or_else(|| also().to_owned());
                    let button = egui::Button::new(entry.text);
                    let button =
                        if right.is_empty() { button } else { button.shortcut_text(right) };
                    let button = ui.add_enabled((entry.enabled)(lab), button);
                    if button.on_hover_text(entry.help).clicked() {
                        actions.push(Action::Do(entry.command));
                        ui.close();
                    }
                }
            });
        }
        // In a small window the menu Help has it.
        if greets && ui.available_width() > GREETING {
            actions.extend(greeting(ui));
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let text = RichText::new(in_words(adapter)).weak();
            ui.add(egui::Label::new(text).truncate()).on_hover_text(note(adapter));
        });
    });
    actions
}

/// Points of width that the offer of a tour takes.
const GREETING: f32 = 390.0;

/// What the first launch offers, and the cross that puts it away.
fn greeting(ui: &mut Ui) -> Option<Action> {
    const TEXT: &str = "See an induction head being born, 90 seconds";
    let color = ui.visuals().selection.stroke.color;
    let ink = ui.visuals().extreme_bg_color;
    ui.add_space(16.0);
    let chip = egui::Button::new(RichText::new(TEXT).color(ink).strong());
    let chip = ui.scope(|ui| {
        ui.spacing_mut().button_padding.x = 10.0;
        ui.add(chip.fill(color).corner_radius(10.0))
    });
    let chip = chip.inner;
    let help = "A guided tour in five steps: a text and its rule, before the birth, the two heads, the cut, undo. It stays in the menu Help.";
    if chip.on_hover_text(help).clicked() {
        return Some(Action::Do(Command::Tour("birth")));
    }
    let cross = ui.add(egui::Button::new("×").frame(false));
    let cross =
        cross.on_hover_text("Put this away.").accessible_name("Put the offer of a tour away");
    cross.clicked().then_some(Action::Greeted)
}

/// Which experiment, what it does, and the buttons that hold it or let it go on.
pub fn state(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    // Where one row would leave the words no room, they have one of their own.
    let is_narrow = ui.available_width() < NARROW;
    ui.horizontal(|ui| {
        buttons(ui, lab, &mut actions);
        ui.separator();
        experiments(ui, lab, &mut actions);
        speeds(ui, lab, &mut actions);
        if !is_narrow {
            ui.separator();
            standing(ui, lab, false, &mut actions);
        }
    });
    if is_narrow {
        ui.horizontal(|ui| standing(ui, lab, true, &mut actions));
    }
    actions
}

/// Points of width that the buttons, the words and the numbers need.
const NARROW: f32 = 1240.0;

/// What training does, in words and in numbers.
fn standing(ui: &mut Ui, lab: &Lab, is_narrow: bool, actions: &mut Vec<Action>) {
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        numbers(ui, lab);
        let left = egui::Layout::left_to_right(egui::Align::Center);
        ui.with_layout(left, |ui| words(ui, lab, is_narrow, actions));
    });
}

fn words(ui: &mut Ui, lab: &Lab, is_narrow: bool, actions: &mut Vec<Action>) {
    let words = RichText::new(lab.state_in_words()).heading().strong();
    let is_past = lab.step.is_some();
    let words = if is_past { words.color(ui.visuals().warn_fg_color) } else { words };
    // What stands beside it keeps its room.
    let beside = if lab.in_force().is_empty() { 0.0 } else { 290.0 };
    let beside = beside + if is_past { 100.0 } else { 0.0 };
    ui.scope(|ui| {
        ui.set_max_width((ui.available_width() - beside).max(120.0));
        let words = egui::Label::new(words);
        let words = ui.add(if is_narrow { words.wrap() } else { words.truncate() });
        words.on_hover_text("What training does now, or what emerged in it last.");
    });
    in_force(ui, lab, actions);
    if is_past && ui.button("Back to live").on_hover_text("L").clicked() {
        actions.push(Action::View(None));
    }
}

/// What is in force, what it does to the accuracy, and a button that takes the newest back.
fn in_force(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let all = lab.in_force();
    let Some(newest) = all.last() else { return };
    let changes = lab.changes_in_force();
    let mut text = match &all[..] {
        [one] => one.in_words(),
        all => format!("{} changes", all.len()),
    };
    if lab.acts_on_training() && !lab.shows_alone() {
        text += " in training";
    }
    if let Some(Effect::Known { with, without: Some(without), .. }) = lab.effect_in_force() {
        text += &format!(" · {:.0} % → {:.0} %", 100.0 * without, 100.0 * with);
    }
    let said: Vec<String> = all.iter().map(Intervention::in_words).collect();
    let help = format!("In force: {}.\n{}{}", said.join("; "), acts_on(lab), measured_on(lab));
    let visuals = ui.visuals();
    let color = if changes.is_empty() { visuals.weak_text_color() } else { visuals.error_fg_color };
    let frame = Frame::new()
        .stroke(Stroke::new(1.0, color))
        .corner_radius(CornerRadius::same(9))
        .inner_margin(Margin::symmetric(8, 1));
    // As high as a line, however high the row.
    let row = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(egui::vec2(0.0, 24.0), row, |ui| {
        frame.show(ui, |ui| {
            ui.label(RichText::new(text).color(color).strong()).on_hover_text(help);
            let button = ui.small_button("Undo").accessible_name("Undo what is in force");
            if button.on_hover_text(format!("Take back: {}.", newest.in_words())).clicked() {
                actions.push(Action::Do(Command::UndoIntervention));
            }
        });
    });
}

fn acts_on(lab: &Lab) -> &'static str {
    if lab.acts_on_training() && !lab.shows_alone() {
        "It acts on training, from the next step on."
    } else {
        "Shown only; training is not touched."
    }
}

/// On what the two numbers of the chip are measured.
fn measured_on(lab: &Lab) -> String {
    let (Some(Effect::Known { column, .. }), Some(run)) = (lab.effect_in_force(), lab.run()) else {
        return String::new();
    };
    format!(
        "\n{}, without it and with it, on the same {} held-out sequences; the curves look at {}.",
        describe(column).0,
        effect::Effect::default().sequences,
        run.experiment.train.held_out
    )
}

fn buttons(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let running = lab.is_training();
    let can = lab.can_train();
    let text = if running { "Pause" } else { "Run" };
    let button = ui.add_enabled(can, egui::Button::new(text).min_size([78.0, 26.0].into()));
    let help = if running { "Hold training (Space)." } else { "Let training go on (Space)." };
    if button.on_hover_text(help).accessible_name(if running { "Pause" } else { "Run" }).clicked() {
        actions.push(Action::Go(!running));
    }
    let button = ui.add_enabled(can, egui::Button::new("Step").min_size([48.0, 26.0].into()));
    if button.on_hover_text("Train one step, then pause (.).").clicked() {
        actions.push(Action::Do(Command::SingleStep));
    }
    let button = egui::Button::new("Restart").min_size([60.0, 26.0].into());
    let button = ui.add_enabled(lab.run().is_some(), button);
    let help = "Begin again from fresh weights with the settings of the form (Ctrl+R).";
    if button.on_hover_text(help).clicked() {
        actions.push(Action::Do(Command::Restart));
    }
}

fn experiments(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let name = lab.run().map_or("none", |run| run.name.as_str());
    let combo = ComboBox::from_id_salt("experiment").width(150.0).selected_text(name);
    let combo = combo.show_ui(ui, |ui| {
        ui.weak("Runs in this window");
        for (i, run) in lab.runs.iter().enumerate() {
            let label = ui.selectable_label(i == lab.current, &run.name);
            if label.on_hover_text(run.experiment.title()).clicked() {
                actions.push(Action::Choose(i));
            }
        }
        ui.separator();
        ui.weak("Start an experiment");
        for entry in table(lab.panels).into_iter().filter(|e| e.menu == Menu::Experiments) {
            let label = ui.selectable_label(false, format!("Start {}", entry.text));
            if label.on_hover_text(entry.help).clicked() {
                actions.push(Action::Do(entry.command));
            }
        }
    });
    combo
        .response
        .on_hover_text("The run in view; others can be started here.")
        .accessible_name("Experiment");
}

fn speeds(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let text = |speed: Option<f64>| match speed {
        None => "full speed".to_owned(),
        Some(speed) => format!("at most {speed}/s"),
    };
    let combo = ComboBox::from_id_salt("speed").width(96.0).selected_text(text(lab.speed));
    let combo = combo.show_ui(ui, |ui| {
        for speed in SPEEDS {
            if ui.selectable_label(lab.speed == *speed, text(*speed)).clicked() {
                actions.push(Action::Speed(*speed));
            }
        }
    });
    combo.response.on_hover_text("How fast training may go.").accessible_name("Speed");
}

/// From right to left: how fast, where, how well.
fn numbers(ui: &mut Ui, lab: &Lab) {
    let Some(run) = lab.run() else { return };
    if let Some(training) = &run.training
        && training.state == State::Running
    {
        let speed = training.steps_per_second;
        let text = match speed {
            ..0.95 => format!("{speed:.1} steps/s"),
            _ => format!("{speed:.0} steps/s"),
        };
        fixed(ui, 74.0, RichText::new(text).weak())
            .on_hover_text("Training steps per second, evaluations and drawing included.");
    }
    let recording = &run.recording;
    let step = lab.step_in_view();
    if let Some((column, accuracy, is_changed)) = accuracy(lab, step) {
        let text = RichText::new(format!("{} {:.0} %", label(column), 100.0 * accuracy));
        let text = if is_changed { text.color(ui.visuals().error_fg_color) } else { text };
        let under = if is_changed { "\nMeasured with what is in force." } else { "" };
        fixed(ui, 168.0, text).on_hover_text(format!("{}{under}", describe(column).1));
    }
    ui.label(RichText::new(format!("step {step}")).strong()).on_hover_text(format!(
        "{} steps trained, {} recorded",
        recording.last_step,
        recording.recorded.len()
    ));
}

/// The accuracy that the task is about: its column, its value, and whether something in force changes it.
fn accuracy(lab: &Lab, step: u64) -> Option<(&'static str, f64, bool)> {
    match lab.effect_in_force() {
        Some(Effect::Known { column, with, .. }) => return Some((column, with, true)),
        Some(
            Effect::Refused(_) | Effect::Uncounted | Effect::OfOneSequence | Effect::BeingMeasured,
        )
        | None => {}
    }
    let recording = &lab.run()?.recording;
    let row = recording.row_at(step)?;
    ACCURACIES.iter().find_map(|name| {
        let value = row.values.get(recording.column(name)?).copied()?;
        value.is_finite().then_some((*name, value, false))
    })
}

/// A number that changes, in room that does not.
fn fixed(ui: &mut Ui, width: f32, text: impl Into<egui::WidgetText>) -> egui::Response {
    let right = egui::Layout::right_to_left(egui::Align::Center);
    let size = egui::vec2(width, ui.available_height());
    ui.allocate_ui_with_layout(size, right, |ui| {
        ui.set_min_width(width);
        ui.label(text)
    })
    .inner
}
