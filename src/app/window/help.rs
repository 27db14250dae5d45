//! The window behind F1: all keys, and the words of the field, under one search.

use egui::{Context, Id, Modal, RichText, TextEdit, Ui};

use crate::app::commands::{Entry, Menu, spell, table};
use crate::app::lab::panels::Panels;
use crate::app::widgets::scroll;
use crate::base::glossary::{TERMS, Term};

/// Which part is shown while nothing is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Part {
    #[default]
    Keys,
    Words,
}

/// What is shown and searched for, while it is open.
#[derive(Default)]
pub struct Help {
    pub open: bool,
    part: Part,
    search: String,
}

impl Help {
    pub fn show(&mut self) {
        *self = Self { open: true, ..Self::default() };
    }

    pub fn ui(&mut self, ctx: &Context, panels: Panels) {
        if !self.open {
            return;
        }
        let modal = Modal::new(Id::unique("help")).show(ctx, |ui| {
            ui.set_width(820.0_f32.min(ctx.content_rect().width() - 40.0));
            self.head(ui);
            let height = scroll::room(ui, 560.0);
            // Each part is scrolled for itself.
            let part = (self.part, self.search.is_empty());
            ui.push_id(part, |ui| {
                scroll::up_to(ui, height, |ui| {
                    // However little is found: the field above stays where it is.
                    ui.set_min_height(height);
                    self.found(ui, panels);
                })
            });
            if ui.button("Close").clicked() {
                self.open = false;
            }
        });
        if modal.should_close() {
            self.open = false;
        }
    }

    /// The two parts and the field over both.
    fn head(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for (part, title) in [(Part::Keys, "Keys"), (Part::Words, "Glossary")] {
                let is_shown = self.search.is_empty() && self.part == part;
                if ui.selectable_label(is_shown, RichText::new(title).heading()).clicked() {
                    self.part = part;
                    self.search.clear();
                }
            }
            let edit = TextEdit::singleline(&mut self.search).hint_text("Search keys and words");
            let edit = ui.add(edit.desired_width(f32::INFINITY));
            edit.accessible_name("Search keys and words").request_focus();
        });
        ui.separator();
    }

    /// The part that is shown, or what of both is found.
    fn found(&self, ui: &mut Ui, panels: Panels) {
        let search = self.search.trim();
        let (keys, words) = (keys(panels, search), words(search));
        let is_search = !search.is_empty();
        if is_search && keys.is_empty() && words.is_empty() {
            ui.weak("Neither an action nor a word is called that.");
        }
        // Words are few and found by their names; actions are found by their sentences too.
        if !words.is_empty() && (is_search || self.part == Part::Words) {
            list_words(ui, &words);
            ui.add_space(8.0);
        }
        if !keys.is_empty() && (is_search || self.part == Part::Keys) {
            list_keys(ui, &keys);
        }
    }
}

/// Actions with a key; of a search those that it finds, with a key or without.
fn keys(panels: Panels, search: &str) -> Vec<Entry> {
    let search = search.to_lowercase();
    let is_found = |entry: &Entry| {
        let all = format!("{} {} {}", entry.text, entry.help, entry.also).to_lowercase();
        search.split_whitespace().all(|word| all.contains(word))
    };
    let is_shown = |entry: &Entry| entry.keys.is_some() || !search.is_empty();
    table(panels).into_iter().filter(|entry| is_shown(entry) && is_found(entry)).collect()
}

fn words(search: &str) -> Vec<&'static Term> {
    TERMS.iter().filter(|term| term.is_found_by(search)).collect()
}

fn list_keys(ui: &mut Ui, entries: &[Entry]) {
    egui::Grid::new("keys").num_columns(3).spacing([16.0, 4.0]).show(ui, |ui| {
        for (menu, title) in Menu::ALL {
            let mut of_menu = entries.iter().filter(|entry| entry.menu == *menu).peekable();
            if of_menu.peek().is_none() {
                continue;
            }
            ui.strong(*title);
            ui.end_row();
            for entry in of_menu {
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
    ui.add_space(6.0);
}

fn list_words(ui: &mut Ui, terms: &[&Term]) {
    const COLUMN: f32 = 170.0;
    egui::Grid::new("words").num_columns(3).spacing([16.0, 6.0]).striped(true).show(ui, |ui| {
        for title in ["working memory", "transformers", "what it is"] {
            ui.label(RichText::new(title).small().weak());
        }
        ui.end_row();
        for term in terms {
            for word in [term.memory, term.transformer] {
                ui.scope(|ui| {
                    ui.set_max_width(COLUMN);
                    ui.add(egui::Label::new(RichText::new(word).strong()).wrap());
                });
            }
            ui.add(egui::Label::new(term.says).wrap());
            ui.end_row();
        }
    });
}
