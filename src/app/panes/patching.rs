//! The row above maps over counterfactual pairs: what is compared.

use egui::{ComboBox, Key, TextEdit, Ui};

use super::Pane;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::panes::form::{set, text_of, words};
use crate::panel::Panel;

/// A sequence of one's own, while it is being written.
#[derive(Default)]
pub struct Patching {
    written: Option<Written>,
}

struct Written {
    /// The text in view that it was begun from.
    of: String,
    other: String,
    at: String,
    answers: String,
}

impl Written {
    fn begun(lab: &Lab) -> Self {
        let (at, answers) = (String::new(), String::new());
        Self { of: lab.text(), other: lab.text(), at, answers }
    }
}

impl Pane for Patching {
    fn row(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        if self.written.is_none() && !text_of(panel, "other").is_empty() {
            let (other, at, answers) =
                (text_of(panel, "other"), text_of(panel, "at"), text_of(panel, "answers"));
            self.written = Some(Written { of: lab.text(), other, at, answers });
        }
        let pair = text_of(panel, "pair");
        self.pairs(ui, panel, lab, &pair);
        Vec::new()
    }

    fn controls(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        if lab.run().is_some() {
            self.fields(ui, panel, lab);
        }
        Vec::new()
    }
}

impl Patching {
    /// Which pairs are compared.
    fn pairs(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab, pair: &str) {
        const MINE: &str = "my text";
        let Some(run) = lab.run() else { return };
        let kinds = run.info.source.pair_kinds();
        let first = kinds.first().map_or("none of the task", |kind| kind.name);
        let of_task = if pair.is_empty() { first } else { pair };
        let shown = if self.written.is_some() { MINE } else { of_task };
        let mut chosen = None;
        let combo =
            ComboBox::from_id_salt("pair").selected_text(format!("pairs: {}", words(shown)));
        let combo = combo.show_ui(ui, |ui| {
            for kind in kinds {
                let on = self.written.is_none() && kind.name == of_task;
                let label = ui.selectable_label(on, words(kind.name)).on_hover_text(kind.about);
                if label.clicked() {
                    chosen = Some(Some(kind.name));
                }
            }
            let help = "Compare the sequence in view with one that you write.";
            let label = ui.selectable_label(self.written.is_some(), MINE).on_hover_text(help);
            if label.clicked() {
                chosen = Some(None);
            }
        });
        combo.response.on_hover_text("What is compared.").accessible_name("Pairs");
        match chosen {
            Some(Some(kind)) => {
                self.written = None;
                clear(panel);
                set(panel, "pair", kind);
            }
            Some(None) if self.written.is_none() => {
                self.written = Some(Written::begun(lab));
            }
            Some(None) | None => {}
        }
    }

    /// The fields of a sequence of one's own; what is written counts once it is left or confirmed.
    fn fields(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) {
        let Some(written) = &mut self.written else { return };
        if written.of != lab.text() {
            // Another sequence is compared from here on: what was written for the one before is none for it.
            *written = Written::begun(lab);
            clear(panel);
        }
        ui.horizontal_wrapped(|ui| {
            let wide = (ui.available_width() - AT - ANSWERS - 30.0).max(120.0);
            let field = |ui: &mut Ui, value: &mut String, name: &str, hint: &str, width: f32| {
                let edit = TextEdit::singleline(value).hint_text(hint).desired_width(width);
                let field = ui.add(edit).on_hover_text(hint).accessible_name(name);
                let is_left = field.lost_focus();
                if is_left && ui.input(|i| i.key_pressed(Key::Enter)) {
                    // What is written on is no key of the window.
                    field.request_focus();
                }
                is_left
            };
            let hint = "the counterfactual sequence, as long as the one in view; Enter compares";
            let done = field(ui, &mut written.other, "Counterfactual text", hint, wide);
            // The same text twice is no pair.
            if done && written.other != lab.text() {
                set(panel, "other", &written.other);
            }
            let hint = "predicts at (last)";
            if field(ui, &mut written.at, "Position of the prediction", hint, AT) {
                set(panel, "at", &written.at);
            }
            let hint = "two answers (likeliest)";
            if field(ui, &mut written.answers, "The two answers", hint, ANSWERS) {
                set(panel, "answers", &written.answers);
            }
        });
        if text_of(panel, "other").is_empty() {
            let said = "The map is of the task's own pairs until this text differs from the one in view: change it, then press Enter.";
            ui.weak(said);
        }
    }
}

/// Points of width of the fields for a position and for two answers, wide enough for their hints.
const AT: f32 = 130.0;
const ANSWERS: f32 = 165.0;

/// The pairs of the task are compared, and no sequence of one's own.
fn clear(panel: &mut dyn Panel) {
    for name in ["other", "at", "answers"] {
        set(panel, name, "");
    }
}
