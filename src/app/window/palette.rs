//! The command palette: a view of the one table of commands.

use egui::{Context, Id, Key, Modal, RichText, TextEdit};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::app::commands::{Command, Entry, Menu, spell, table};
use crate::app::lab::Lab;
use crate::app::widgets::scroll;

/// What is being searched for, while the palette is open.
#[derive(Default)]
pub struct Palette {
    pub open: bool,
    text: String,
    marked: usize,
}

impl Palette {
    pub fn show(&mut self) {
        *self = Self { open: true, ..Self::default() };
    }

    /// The command that was chosen, if one was.
    pub fn ui(&mut self, ctx: &Context, lab: &Lab) -> Option<Command> {
        if !self.open {
            return None;
        }
        let mut chosen = None;
        let modal = Modal::new(Id::unique("palette")).show(ctx, |ui| {
            ui.set_width(460.0_f32.min(ctx.content_rect().width() - 40.0));
            let (up, down, enter) = ui.input_mut(|i| {
                let mut take = |key| i.consume_key(egui::Modifiers::NONE, key);
                (take(Key::ArrowUp), take(Key::ArrowDown), take(Key::Enter))
            });
            let edit = TextEdit::singleline(&mut self.text).hint_text("Type a few letters");
            let edit = ui.add(edit.desired_width(f32::INFINITY));
            let edit = edit.accessible_name("Search for an action");
            edit.request_focus();
            if edit.changed() {
                self.marked = 0;
            }
            let found = matching(&self.text, lab);
            self.marked = self.marked.saturating_sub(usize::from(up)) + usize::from(down);
            self.marked = self.marked.min(found.len().saturating_sub(1));
            if enter {
                chosen = found.get(self.marked).map(|entry| entry.command);
            }
            let height = scroll::room(ui, 360.0);
            scroll::up_to(ui, height, |ui| {
                // However few are found: the field above them stays where it is.
                ui.set_min_height(height);
                for (i, entry) in found.iter().enumerate() {
                    let keys = entry.keys.as_ref().map(spell).unwrap_or_default();
                    let button = egui::Button::selectable(i == self.marked, entry.text);
                    let button = button.right_text(RichText::new(keys).weak());
                    let row = ui.add_sized([ui.available_width(), 22.0], button);
                    let row = row.on_hover_text(entry.help);
                    if i == self.marked && (up || down) {
                        row.scroll_to_me(None);
                    }
                    if row.clicked() {
                        chosen = Some(entry.command);
                    }
                }
                if found.is_empty() {
                    ui.weak("No action is called that.");
                }
            });
        });
        if chosen.is_some() || modal.should_close() {
            self.open = false;
        }
        chosen
    }
}

/// Enabled actions that match, best first; all of them for an empty text.
fn matching(text: &str, lab: &Lab) -> Vec<Entry> {
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(text, CaseMatching::Ignore, Normalization::Smart);
    let mut buffer = Vec::new();
    let mut found: Vec<(u32, Entry)> = table(lab.panels)
        .into_iter()
        .filter(|entry| entry.command != Command::Palette && (entry.enabled)(lab))
        .filter_map(|entry| {
            let menu = Menu::ALL.iter().find(|(m, _)| *m == entry.menu).map_or("", |(_, n)| n);
            let name = format!("{} {menu} {}", entry.text, entry.also);
            let score = pattern.score(Utf32Str::new(&name, &mut buffer), &mut matcher)?;
            Some((score, entry))
        })
        .collect();
    // Stable: equal ones keep the order of the table.
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, entry)| entry).collect()
}
