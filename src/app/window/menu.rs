//! The bars at the top: the menu, and what training is doing, in words.

use egui::{ComboBox, RichText, Ui};

use crate::base::event::State;
use crate::gpu::device::Adapter;

use crate::app::commands::{Action, Command, Menu, spell, table};
use crate::app::lab::Lab;

/// Offered speeds in steps per second; none is as fast as it goes.
pub const SPEEDS: &[Option<f64>] =
    &[None, Some(50.0), Some(20.0), Some(10.0), Some(5.0), Some(2.0), Some(1.0)];

/// The accuracy that a task is about: the first of these that it has.
const ACCURACIES: [(&str, &str); 2] = [
    ("accuracy_sequence", "Share of held-out sequences in which every answer is right."),
    (
        "accuracy_in_context",
        "Share of right answers where the answer was seen before in the same sequence.",
    ),
];

/// What trains and what draws, in a few words.
fn in_words(adapter: Option<&Adapter>) -> String {
    match adapter {
        None => "CPU trains".to_owned(),
        Some(adapter) if adapter.software => "CPU trains · software Vulkan draws".to_owned(),
        Some(adapter) => format!("CPU trains · {} draws", adapter.name),
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
            let text = RichText::new(in_words(adapter));
            let software = adapter.is_some_and(|adapter| adapter.software);
            let text = if software { text.color(ui.visuals().warn_fg_color) } else { text.weak() };
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
            standing(ui, lab, &mut actions);
        }
    });
    if is_narrow {
        ui.horizontal(|ui| standing(ui, lab, &mut actions));
    }
    actions
}

/// Points of width that the buttons, the words and the numbers need.
const NARROW: f32 = 1000.0;

/// What training does, in words and in numbers.
fn standing(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        numbers(ui, lab);
        let left = egui::Layout::left_to_right(egui::Align::Center);
        ui.with_layout(left, |ui| words(ui, lab, actions));
    });
}

fn words(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let words = RichText::new(lab.state_in_words()).heading().strong();
    let is_past = lab.step.is_some();
    let words = if is_past { words.color(ui.visuals().warn_fg_color) } else { words };
    ui.add(egui::Label::new(words).truncate());
    if is_past && ui.button("Back to live").on_hover_text("L").clicked() {
        actions.push(Action::View(None));
    }
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
    if let Some(row) = recording.row_at(step) {
        let value = |name: &str| {
            let column = recording.column(name)?;
            row.values.get(column).copied().filter(|v| v.is_finite())
        };
        let found = ACCURACIES.iter().find_map(|(name, help)| Some((value(name)?, *help)));
        if let Some((accuracy, help)) = found {
            fixed(ui, 92.0, format!("accuracy {:.0} %", 100.0 * accuracy)).on_hover_text(help);
        }
    }
    ui.label(RichText::new(format!("step {step}")).strong()).on_hover_text(format!(
        "{} steps trained, {} recorded",
        recording.last_step,
        recording.recorded.len()
    ));
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
