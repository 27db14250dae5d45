//! The row above the tokens: another sequence, or a text of one's own.

use egui::{ComboBox, Key, TextEdit, Ui};

use super::attention::scrolled;
use super::{Drawn, News, Pane};
use crate::app::commands::{Action, Command};
use crate::app::lab::Lab;
use crate::app::widgets::scroll::{self, MOST_WRITING};
use crate::base::settings::Slot;
use crate::formats::tokenizer::Begin;
use crate::panel::Panel;
use crate::task::prompts::Beginnings;

/// The text that is being written.
#[derive(Default)]
pub struct Tokens {
    text: Option<String>,
    /// The drawn sequence and the run that the text was taken from, until it is edited.
    of: (u64, Option<u64>),
    focus: bool,
}

impl Pane for Tokens {
    fn controls(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        let is_low = ui.available_height() < LOW;
        ui.horizontal(|ui| {
            self.buttons(ui, lab, &mut actions);
            match is_low {
                true => list(ui, panel),
                false => selected(ui, lab),
            }
        });
        if !is_low {
            ui.horizontal(|ui| {
                switch(ui, panel);
                beginnings(ui, lab, &mut actions);
            });
        }
        actions.extend(self.controls_for_hall(ui, panel, lab));
        actions
    }

    fn controls_for_hall(&mut self, ui: &mut Ui, _panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        self.follow(lab);
        self.field(ui, lab, &mut actions);
        actions
    }

    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, _lab: &Lab) -> Vec<Action> {
        scrolled(ui, drawn)
    }

    fn told(&mut self, news: News, lab: &Lab) {
        match news {
            News::Write => self.open(lab),
            // Where it can be edited, the text is the one in view.
            News::Rewritten if self.is_writing() => self.text = Some(lab.text()),
            News::Rewritten => {}
        }
    }

    fn is_writing(&self) -> bool {
        self.text.is_some()
    }
}

impl Tokens {
    /// Begins to edit the sequence in view.
    fn open(&mut self, lab: &Lab) {
        self.text = Some(lab.text());
        self.of = (lab.run_id(), lab.drawn);
        self.focus = true;
    }

    /// Another sequence was drawn, or another run came into view: the text is that one.
    fn follow(&mut self, lab: &Lab) {
        let now = (lab.run_id(), lab.drawn);
        if self.text.is_some() && now != self.of && (lab.drawn.is_some() || now.0 != self.of.0) {
            self.text = Some(lab.text());
        }
        self.of = now;
    }

    fn buttons(&mut self, ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
        let (is_narrow, is_tight) = (ui.available_width() < NARROW, ui.available_width() < TIGHT);
        let button = ui.button(if is_narrow { "Another" } else { "Another sequence" });
        let button = button.accessible_name("Another sequence");
        if button.on_hover_text("Draw another held-out sequence of the task (N).").clicked() {
            actions.push(Action::Do(Command::DrawSequence));
        }
        if !is_tight {
            writing(ui, lab, actions);
        }
        let editing = self.text.is_some();
        let button = ui.selectable_label(editing, "Edit text");
        if button.on_hover_text("Write the sequence yourself (E).").clicked() {
            if editing {
                self.text = None;
            } else {
                self.open(lab);
            }
        }
    }

    fn field(&mut self, ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
        let Some(text) = &mut self.text else { return };
        let edit = TextEdit::multiline(text)
            .desired_rows(3)
            .desired_width(f32::INFINITY)
            .font(egui::TextStyle::Monospace);
        let most = MOST_WRITING.min(0.4 * ui.available_height());
        let response = scroll::up_to(ui, most, |ui| ui.add(edit));
        let response = response.accessible_name("Text of the sequence");
        if self.focus {
            response.request_focus();
            self.focus = false;
        }
        if response.changed() {
            actions.push(Action::Text(text.clone()));
        }
        // Always one line, so that the tokens below stay where they are.
        let note = lab.text_note.as_deref().unwrap_or("");
        let note = egui::RichText::new(note).color(ui.visuals().error_fg_color).small();
        ui.add(egui::Label::new(note).truncate());
        if ui.input(|i| i.key_pressed(Key::Escape)) {
            self.text = None;
        }
    }
}

/// Has the network continue the text, or stops that.
fn writing(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let button = ui.button(if lab.generation.is_running() { "Stop" } else { "Continue" });
    let help = "The network continues the text, token by token, under what is in force (G). How many tokens, at which temperature and with which seed stands in the settings of this panel.";
    if button.on_hover_text(help).clicked() {
        actions.push(Action::Do(Command::Generate));
    }
}

/// What begins a text, where the network has a choice.
fn beginnings(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let Some(run) = lab.run() else { return };
    let Some(known) = run.info.source.facet::<Beginnings>() else { return };
    if *known == Beginnings::default() {
        return;
    }
    let name = |begin: Begin| match begin {
        Begin::Tokenizer => "tokenizer",
        Begin::TransformerLens => "TransformerLens",
        Begin::Nothing => "none",
    };
    let text = format!("BOS: {}", name(lab.begin));
    let combo = ComboBox::from_id_salt("begin").width(96.0).truncate().selected_text(text);
    let combo = combo.show_ui(ui, |ui| {
        for begin in Begin::ALL {
            let token =
                known.of(*begin).map_or("nothing".to_owned(), |id| run.info.vocab.glyph(id));
            let text = format!("{}: {token}", name(*begin));
            if ui.selectable_label(lab.begin == *begin, text).clicked() {
                actions.push(Action::Begin(*begin));
            }
        }
    });
    let help = "The token that begins a prompt (BOS): the one that the tokenizer puts there, the one that TransformerLens does (published numbers of GPT-2 are with it), or none. It is a token of its own in the sequence.";
    combo.response.on_hover_text(help).accessible_name("Token that begins a prompt");
}

/// In a panel of less height the choice of colours is a list in the row of the buttons: the text needs the other row.
const LOW: f32 = 300.0;
/// In less width that row has no room for the whole name of its first button.
const NARROW: f32 = 440.0;
/// In less there is room for no more than it, the text and the colours.
const TIGHT: f32 = 330.0;

/// Words that are cut where there is no room: they must not make the panel wider.
fn weak(ui: &mut Ui, text: String) {
    ui.add(egui::Label::new(egui::RichText::new(text).weak()).truncate());
}

fn selected(ui: &mut Ui, lab: &Lab) {
    if let Some((number, all)) = lab.prompt_of_set() {
        weak(ui, format!("prompt {number} of {all}"));
    }
    if let Some(query) = lab.selection.query {
        let key = lab.selection.key.map(|k| format!(", key {k}")).unwrap_or_default();
        weak(ui, format!("query {query}{key}"));
    } else {
        weak(ui, "click a token".to_owned());
    }
}

/// What can colour the boxes: as settings call it, as a button does, and what it means.
const SHADES: [(&str, &str, &str); 4] = [
    ("role", "roles", "Colour each token by its role in the task."),
    (
        "attention",
        "attention",
        "Shade each token by the attention that the selected query gives it, in the head in focus.",
    ),
    ("loss", "loss", "Shade each token by the loss of its prediction, in nats."),
    (
        "probability",
        "probability",
        "Shade each token by the probability that the network gives to the right next token.",
    ),
];

/// All choices side by side.
fn switch(ui: &mut Ui, panel: &mut dyn Panel) {
    each_shade(panel, &mut |text, help, is_chosen| {
        ui.selectable_label(is_chosen, text).on_hover_text(help).clicked()
    });
}

/// The choices in a list.
fn list(ui: &mut Ui, panel: &mut dyn Panel) {
    let mut now = "";
    each_shade(panel, &mut |text, _, is_chosen| {
        now = if is_chosen { text } else { now };
        false
    });
    let combo = ComboBox::from_id_salt("shade").width(84.0).selected_text(now);
    let combo = combo.show_ui(ui, |ui| switch(ui, panel));
    combo.response.on_hover_text("What colours the tokens.").accessible_name("Colours of tokens");
}

/// Goes through the choices: `ask` is told what a button says and means and whether it is chosen, and says whether it is now.
fn each_shade(panel: &mut dyn Panel, ask: &mut dyn FnMut(&'static str, &str, bool) -> bool) {
    panel.each(&mut |spec, slot| {
        let Slot::Choice(choice) = slot else { return };
        if spec.name != "shade" {
            return;
        }
        for (name, text, help) in SHADES {
            let Some(index) = choice.names().iter().position(|n| *n == name) else { continue };
            if ask(text, help, choice.index() == index) {
                choice.choose(index);
            }
        }
    });
}
