//! What was pressed.

use egui::{Context, Event, Id, InputState, Key, KeyboardShortcut, Memory};

use crate::app::canvas::paint::figure_focus;
use crate::app::commands::{Command, table};
use crate::app::lab::Lab;

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
        let function = matches!(keys.logical_key, Key::F1 | Key::F6 | Key::F11);
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
