//! What was pressed, and the list of all keys.

use egui::{Context, Event, Id, InputState, Key, KeyboardShortcut, Memory, Modal, RichText};

use crate::app::canvas::paint::figure_focus;
use crate::app::commands::{Command, Entry, Menu, spell, table};
use crate::app::lab::Lab;
use crate::app::lab::panels::Panels;
use crate::app::widgets::scroll;

/// The commands whose keys were pressed; takes those keys out of the input, but for Escape where something that is open
/// waits for it.
pub fn pressed(ctx: &Context, lab: &Lab, escape_is_taken: bool) -> Vec<Command> {
    // While someone types, or a widget has the keyboard, only chords and function keys are commands. A focused
    // figure leaves the plain keys to us.
    let focused = ctx.memory(Memory::focused);
    let figure = ctx.data(|d| d.get_temp::<Id>(figure_focus()));
    let typing = ctx.text_edit_focused() || (focused.is_some() && focused != figure);
    let mut commands = Vec::new();
    for entry in table(lab.panels) {
        let Some(keys) = entry.keys else { continue };
        if escape_is_taken && keys.logical_key == Key::Escape {
            continue;
        }
        let function = matches!(keys.logical_key, Key::F1 | Key::F6);
        let chord = keys.modifiers.command || function;
        let free = !typing || (chord && !edits_text(keys.logical_key));
        if free && (entry.enabled)(lab) && ctx.input_mut(|input| take(input, &keys)) {
            commands.push(entry.command);
        }
    }
    commands
}

/// Whether exactly this chord was pressed: Shift+X is not X. Which keys need Shift for a plus differs.
fn take(input: &mut InputState, keys: &KeyboardShortcut) -> bool {
    let mut found = false;
    input.events.retain(|event| {
        let Event::Key { key, modifiers, pressed: true, .. } = event else { return true };
        let hit = *key == keys.logical_key
            && modifiers.matches_logically(keys.modifiers)
            && (modifiers.shift == keys.modifiers.shift || *key == Key::Plus)
            && modifiers.alt == keys.modifiers.alt;
        found |= hit;
        !hit
    });
    found
}

/// Keys that a text field needs together with Ctrl.
fn edits_text(key: Key) -> bool {
    matches!(key, Key::Z | Key::ArrowLeft | Key::ArrowRight)
}

/// The list behind F1.
pub fn list(ctx: &Context, panels: Panels, open: &mut bool) {
    if !*open {
        return;
    }
    let modal = Modal::new(Id::unique("keys")).show(ctx, |ui| {
        ui.set_width(760.0_f32.min(ctx.content_rect().width() - 40.0));
        ui.heading("Keys");
        scroll::up_to(ui, 560.0, |ui| {
            egui::Grid::new("keys").num_columns(3).spacing([16.0, 4.0]).show(ui, |ui| {
                for (menu, title) in Menu::ALL {
                    let all = table(panels).into_iter();
                    let rows: Vec<Entry> =
                        all.filter(|e| e.menu == *menu && e.keys.is_some()).collect();
                    if rows.is_empty() {
                        continue;
                    }
                    ui.strong(*title);
                    ui.end_row();
                    for entry in rows {
                        let keys = entry.keys.as_ref().map_or(String::new(), spell);
                        ui.label(RichText::new(keys).strong());
                        ui.label(entry.text.trim_end_matches('…'));
                        ui.add(egui::Label::new(RichText::new(entry.help).weak()).wrap());
                        ui.end_row();
                    }
                }
            });
            ui.add_space(6.0);
            ui.label("Click a token to select it as the query, Shift-click for a key. Drag the timeline to look back.");
        });
        if ui.button("Close").clicked() {
            *open = false;
        }
    });
    if modal.should_close() {
        *open = false;
    }
}
