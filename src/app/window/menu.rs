//! The bars at the top: the menu, and what training is doing, in words.

use egui::{Color32, ComboBox, CornerRadius, Frame, Margin, RichText, Stroke, TextStyle, Ui};

use crate::base::intervention::Intervention;
use crate::gpu::device::Adapter;
use crate::measurement::effect;
use crate::panel::columns::{describe, label};

use crate::app::canvas::theme;
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
            if *menu == Menu::Experiments {
                // They are met as pictures; the palette has them as a list.
                if ui.button(*title).clicked() {
                    actions.push(Action::Do(Command::Gallery));
                }
                continue;
            }
            ui.menu_button(*title, |ui| {
                for entry in table(lab.panels).into_iter().filter(|e| e.menu == *menu) {
                    let keys = entry.keys.as_ref().map(spell);
                    let button = egui::Button::new(entry.text);
                    let button = match keys {
                        Some(keys) => button.shortcut_text(keys),
                        None => button,
                    };
                    let button = ui.add_enabled((entry.enabled)(lab), button);
                    if button.on_hover_text(entry.help).clicked() {
                        actions.push(Action::Do(entry.command));
                        ui.close();
                    }
                }
            });
        }
        // In a small window the menu Help has it.
        if greets && ui.available_width() > SHORT_GREETING {
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
/// The same in fewer words.
const SHORT_GREETING: f32 = 230.0;

/// What the first launch offers, and the cross that puts it away.
fn greeting(ui: &mut Ui) -> Option<Action> {
    let has_room = ui.available_width() > GREETING;
    let text = if has_room {
        "See an induction head being born, 90 seconds"
    } else {
        "A tour in 90 seconds"
    };
    let color = ui.visuals().selection.stroke.color;
    let ink = ui.visuals().extreme_bg_color;
    ui.add_space(16.0);
    let chip = egui::Button::new(RichText::new(text).color(ink).strong());
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

/// Which experiment, what it does, and the buttons that hold it or let it go on. In a narrow window it drops what the menu Training
/// has too: first the speed, then Restart, then Step. Words that then have no room beside the numbers have a row of their own.
pub fn state(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    let width = ui.available_width();
    let mut is_below = false;
    ui.horizontal(|ui| {
        ui.set_min_height(ROW);
        buttons(ui, lab, width, &mut actions);
        ui.separator();
        experiments(ui, lab, width, &mut actions);
        if width >= SPEED_FROM {
            speeds(ui, lab, &mut actions);
        }
        ui.separator();
        let needed = LEAST_WORDS + beside_words(ui, lab) + numbers_width(ui, lab, width);
        is_below = ui.available_width() < needed;
        standing(ui, lab, (width, !is_below), &mut actions);
    });
    if is_below {
        ui.horizontal(|ui| words(ui, lab, &mut actions));
    }
    actions
}

/// What a hall is told: what training does, what is in force, how well the network is, and the way out.
pub fn hall(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    let mut actions = Vec::new();
    ui.horizontal(|ui| {
        ui.set_min_height(ROW);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let leave = ui.small_button("Leave (F11)");
            if leave.on_hover_text("All as it was before (F11 or Escape).").clicked() {
                actions.push(Action::Do(Command::Present));
            }
            let width = ui.available_width();
            standing(ui, lab, (width, true), &mut actions);
        });
    });
    actions
}

/// Height of the row: of words that wrap, so that they move nothing when they do.
const ROW: f32 = 31.0;

/// Points of width from which on the row has what the menu Training has too.
const SPEED_FROM: f32 = 1240.0;
const RESTART_FROM: f32 = 1000.0;
const STEP_FROM: f32 = 900.0;

/// Less than this is no room for words.
const LEAST_WORDS: f32 = 150.0;

/// What training does, in words (unless they stand elsewhere) and in numbers.
fn standing(ui: &mut Ui, lab: &Lab, (width, speaks): (f32, bool), actions: &mut Vec<Action>) {
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        numbers(ui, lab, width);
        let left = egui::Layout::left_to_right(egui::Align::Center);
        if speaks {
            ui.with_layout(left, |ui| words(ui, lab, actions));
        }
    });
}

/// The words large in one line, or smaller in as many as they need; what is in force and the way back to live keep their room.
fn words(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let text = lab.state_in_words();
    let room = (ui.available_width() - beside_words(ui, lab)).max(LEAST_WORDS);
    let fits = width_of(ui, &text, &TextStyle::Heading) <= room;
    let words = RichText::new(text).strong();
    let words = if fits { words.heading() } else { words.font(theme::bold(WRAPPED)) };
    let is_past = lab.looks_back();
    let words = if is_past { words.color(ui.visuals().warn_fg_color) } else { words };
    ui.scope(|ui| {
        ui.set_max_width(room);
        let words = ui.add(egui::Label::new(words).wrap());
        words.on_hover_text("What training does now, or what emerged in it last.");
    });
    in_force(ui, lab, actions);
    if is_past && ui.button(back(lab)).on_hover_text("L").clicked() {
        actions.push(Action::View(None));
    }
}

/// Size of words that wrap.
const WRAPPED: f32 = 14.0;

/// The button that ends looking back: a run that does not train has no life to go back to.
fn back(lab: &Lab) -> &'static str {
    match lab.is_live() {
        true => "Back to live",
        false => "To the last step",
    }
}

/// What stands beside the words takes so much.
fn beside_words(ui: &Ui, lab: &Lab) -> f32 {
    let [padding, gap] = [ui.spacing().button_padding.x, ui.spacing().item_spacing.x];
    let button = |text| width_of(ui, text, &TextStyle::Button) + 2.0 * padding + gap;
    let back = if lab.looks_back() { button(back(lab)) } else { 0.0 };
    let chip = chip(lab).map_or(0.0, |text| {
        width_of(ui, &text, &TextStyle::Body).min(MOST_CHIP) + button("Undo") + 2.0 * 8.0 + gap
    });
    back + chip
}

fn width_of(ui: &Ui, text: &str, style: &TextStyle) -> f32 {
    let font = style.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, Color32::PLACEHOLDER);
    galley.size().x
}

/// A list of interventions as it is spelled can be long.
const MOST_CHIP: f32 = 260.0;

/// What the chip says is in force; none where nothing is.
fn chip(lab: &Lab) -> Option<String> {
    let all = lab.in_force();
    let mut text = match &all[..] {
        [] => return None,
        [one] => one.in_words(),
        all => format!("{} changes", all.len()),
    };
    if lab.acts_on_training() && !lab.shows_alone() {
        text += " in training";
    }
    if let Some(Effect::Known { with, without: Some(without), .. }) = lab.effect_in_force() {
        text += &format!(" · {:.0} % → {:.0} %", 100.0 * without, 100.0 * with);
    }
    Some(text)
}

/// What is in force, what it does to the accuracy, and a button that takes the newest back.
fn in_force(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let all = lab.in_force();
    let (Some(newest), Some(text)) = (all.last(), chip(lab)) else { return };
    let changes = lab.changes_in_force();
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
            let width = width_of(ui, &text, &TextStyle::Body).min(MOST_CHIP);
            let text = RichText::new(text).color(color).strong();
            ui.scope(|ui| {
                ui.set_max_width(width + 1.0);
                ui.add(egui::Label::new(text).truncate()).on_hover_text(help);
            });
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

fn buttons(ui: &mut Ui, lab: &Lab, width: f32, actions: &mut Vec<Action>) {
    let running = lab.is_training();
    let can = lab.can_train();
    let text = if running { "Pause" } else { "Run" };
    let button = ui.add_enabled(can, egui::Button::new(text).min_size([78.0, 26.0].into()));
    let help = if running { "Hold training (Space)." } else { "Let training go on (Space)." };
    let button = button.on_disabled_hover_text(lab.why_not_steered());
    if button.on_hover_text(help).accessible_name(if running { "Pause" } else { "Run" }).clicked() {
        actions.push(Action::Go(!running));
    }
    if width >= STEP_FROM {
        let button = ui.add_enabled(can, egui::Button::new("Step").min_size([48.0, 26.0].into()));
        let button = button.on_disabled_hover_text(lab.why_not_steered());
        if button.on_hover_text("Train one step, then pause (.).").clicked() {
            actions.push(Action::Do(Command::SingleStep));
        }
    }
    if width >= RESTART_FROM {
        let button = egui::Button::new("Restart").min_size([60.0, 26.0].into());
        let button = ui.add_enabled(lab.can_begin(), button);
        let button = button.on_disabled_hover_text(lab.why_not_steered());
        let help = "Begin again from fresh weights with the settings of the form (Ctrl+R).";
        if button.on_hover_text(help).clicked() {
            actions.push(Action::Do(Command::Restart));
        }
    }
}

fn experiments(ui: &mut Ui, lab: &Lab, width: f32, actions: &mut Vec<Action>) {
    let name = lab.run().map_or("none", |run| run.name.as_str());
    let wide = if width >= STEP_FROM { 150.0 } else { 100.0 };
    let combo = ComboBox::from_id_salt("experiment").width(wide).truncate().selected_text(name);
    let combo = combo.show_ui(ui, |ui| {
        ui.weak("Runs in this window");
        for (i, run) in lab.runs.iter().enumerate() {
            let label = ui.selectable_label(i == lab.current, &run.name);
            if label.on_hover_text(run.experiment.title()).clicked() {
                actions.push(Action::Choose(i));
            }
        }
        ui.separator();
        if ui.selectable_label(false, "Start an experiment…").clicked() {
            actions.push(Action::Do(Command::Gallery));
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

/// From right to left: how fast, where, how well. A narrow window leaves out the speed, and the accuracy where the chip tells it.
fn numbers(ui: &mut Ui, lab: &Lab, width: f32) {
    let Some(run) = lab.run() else { return };
    if let Some(speed) = lab.steps_per_second().filter(|_| width >= RESTART_FROM) {
        let text = match speed {
            ..0.95 => format!("{speed:.1} steps/s"),
            _ => format!("{speed:.0} steps/s"),
        };
        fixed(ui, SPEED, RichText::new(text).weak())
            .on_hover_text("Training steps per second, evaluations and drawing included.");
    }
    let recording = &run.recording;
    let step = lab.step_in_view();
    if let Some((column, accuracy, is_changed)) = shown_accuracy(lab, width) {
        let text = RichText::new(format!("{} {:.0} %", label(column), 100.0 * accuracy));
        let text = if is_changed { text.color(ui.visuals().error_fg_color) } else { text };
        let under = if is_changed { "\nMeasured with what is in force." } else { "" };
        fixed(ui, ACCURACY, text).on_hover_text(format!("{}{under}", describe(column).1));
    }
    ui.label(RichText::new(format!("step {step}")).strong()).on_hover_text(format!(
        "{} steps trained, {} recorded",
        recording.last_step,
        recording.recorded.len()
    ));
}

/// Room for a speed and for an accuracy.
const SPEED: f32 = 74.0;
const ACCURACY: f32 = 168.0;

/// What the numbers take.
fn numbers_width(ui: &Ui, lab: &Lab, width: f32) -> f32 {
    let gap = ui.spacing().item_spacing.x;
    let speed = lab.steps_per_second().filter(|_| width >= RESTART_FROM);
    let speed = speed.map_or(0.0, |_| SPEED + gap);
    let accuracy = shown_accuracy(lab, width).map_or(0.0, |_| ACCURACY + gap);
    let step = width_of(ui, &format!("step {}", lab.step_in_view()), &TextStyle::Body);
    speed + accuracy + step + 2.0 * gap
}

/// The accuracy as the numbers show it.
fn shown_accuracy(lab: &Lab, width: f32) -> Option<(&'static str, f64, bool)> {
    let is_told = width < RESTART_FROM && chip(lab).is_some_and(|text| text.contains('→'));
    if is_told { None } else { accuracy(lab, lab.step_in_view()) }
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
