//! Shortcuts: how they are made and how they are printed.

use egui::{Key, KeyboardShortcut, Modifiers};

pub(super) const fn plain(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::NONE, key))
}

pub(super) const fn ctrl(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::COMMAND, key))
}

pub(super) const fn shift(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::SHIFT, key))
}

pub(super) const fn ctrl_shift(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key))
}

/// A shortcut as it is printed on keyboards: `Ctrl+P`.
#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has a hundred keys with a name")]
pub fn spell(keys: &KeyboardShortcut) -> String {
    let m = keys.modifiers;
    let parts = [(m.command || m.ctrl, "Ctrl"), (m.shift, "Shift"), (m.alt, "Alt")];
    let mut text = String::new();
    for (_, name) in parts.iter().filter(|(held, _)| *held) {
        text.push_str(name);
        text.push('+');
    }
    text + match keys.logical_key {
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Period => ".",
        Key::Plus => "+",
        Key::Minus => "-",
        Key::Escape => "Esc",
        key => key.name(),
    }
}
