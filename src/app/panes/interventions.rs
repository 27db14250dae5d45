//! Interventions: freeze tensors, cut heads, change any place; what is in force, and what it does to the answers.

use egui::{Button, ComboBox, Grid, Key, Label, RichText, TextEdit, TextStyle, Ui, UiBuilder};

use crate::base::error::{Error, Result};
use crate::base::intervention::{Intervention, Point, Site};
use crate::nn::params::in_paper;
use crate::panel::columns::label;

use super::attention_scale::AttentionScale;
use crate::app::commands::{Action, Command};
use crate::app::lab::effect::Effect;
use crate::app::lab::run::RunInfo;
use crate::app::lab::{Lab, capital};
use crate::app::widgets::entry;
use crate::app::widgets::scroll;

/// Points that can be changed and what they are called; the others are computed from these.
const POINTS: &[(Point, &str)] = &[
    (Point::Z, "what heads write"),
    (Point::AttnOut, "what attention writes"),
    (Point::MlpOut, "what the MLP writes"),
    (Point::Q, "queries"),
    (Point::K, "keys"),
    (Point::V, "values"),
    (Point::Pattern, "attention pattern"),
    (Point::ResidPre, "residual stream before the layer"),
    (Point::ResidPost, "residual stream after the layer"),
];

/// What can be done to a place: its name, what else has to be said with a value to begin with, and its help.
struct EditKind {
    name: &'static str,
    more: Option<(&'static str, &'static str)>,
    help: &'static str,
    /// How it is spelled, of a place and of what else was said.
    spell: fn(&str, &str) -> String,
}

/// Of the attention alone.
const RENORMALISE: &str = "cut edges, renormalise";

const EDITS: &[EditKind] = &[
    EditKind {
        name: "set to zero",
        more: None,
        help: "It writes nothing.",
        spell: |place, _| format!("zero {place}"),
    },
    EditKind {
        name: "scale",
        more: Some(("by", "0.5")),
        help: "It is multiplied by a number.",
        spell: |place, by| format!("scale {place} by {by}"),
    },
    EditKind {
        name: "replace by its mean",
        more: None,
        help: "It is what it is on average over the held-out sequences, position by position.",
        spell: |place, _| format!("mean {place}"),
    },
    EditKind {
        name: "take from another sequence",
        more: Some(("number", "3")),
        help: "It is what it is on the held-out sequence of this number.",
        spell: |place, from| format!("resample {place} from {from}"),
    },
    EditKind {
        name: "take from a text",
        more: Some(("text", "")),
        help: "It is what it is on a text, as long as the one in view.",
        spell: |place, from| format!("patch {place} from {from}"),
    },
    EditKind {
        name: "add a direction",
        more: Some(("rows", "2*embed[5]-2*embed[9]")),
        help: "Rows of matrices are added, each times a number.",
        spell: |place, rows| format!("add {place} {rows}"),
    },
    EditKind {
        name: "rewrite a fact",
        more: Some(("text to answer", "")),
        help: "The output matrix of the MLP is changed so that another answer follows a text; the position is where it reads the fact, which Tracing finds. Write the text, to, and the new answer.",
        spell: |place, from| format!("rewrite {place} from {from}"),
    },
    EditKind {
        name: RENORMALISE,
        more: None,
        help: "Attention weights are set to zero and the others of the row raised to sum to one.",
        spell: |place, _| format!("cut {place} renormalised"),
    },
];

/// A list of interventions that a person saved.
pub type List = (String, Vec<String>);

/// What is set in the form for a place.
#[derive(Default)]
pub struct Interventions {
    layer: usize,
    point: usize,
    /// 0: all heads.
    head: usize,
    edit: usize,
    positions: String,
    /// Of the attention pattern alone.
    keys: String,
    more: String,
    /// The intervention as it is spelled; the choices above write it, and a hand may.
    spelled: String,
    composed: String,
    wrong: Option<String>,
    /// Lists under their names.
    pub lists: Vec<List>,
    name: String,
    scale: AttentionScale,
    /// What was in force before a list was loaded.
    before: Option<Vec<Intervention>>,
}

impl Interventions {
    pub fn ui(&mut self, ui: &mut Ui, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(run) = lab.run() else {
            ui.label("Nothing to operate on yet.");
            return actions;
        };
        ui.weak(match (lab.acts_on_training(), lab.shows_alone()) {
            (true, false) => "Acts on training, from the next step on.",
            (true, true) => {
                "What takes from another sequence is shown only: training is not touched by it."
            }
            (false, _) => "Acts on the step in view only: training is not touched.",
        });
        in_force(ui, lab, &mut actions);
        part(ui, "lists", |ui| self.saved(ui, lab, &run.info, &mut actions));
        ui.separator();
        ui.strong("Cut a head");
        part(ui, "heads", |ui| heads(ui, lab, &run.info.net.heads, &mut actions));
        if run.info.net.has_heads() {
            ui.separator();
            ui.strong("Scale attention");
            part(ui, "attention", |ui| self.scale.ui(ui, lab, &mut actions));
        }
        ui.separator();
        ui.strong("Change a place");
        part(ui, "place", |ui| self.change(ui, lab, &run.info, &mut actions));
        ui.separator();
        ui.strong("Freeze a matrix");
        part(ui, "matrices", |ui| tensors(ui, lab, &run.info.trained, &mut actions));
        actions
    }

    /// Choices that spell an intervention, and the field that takes any.
    fn change(&mut self, ui: &mut Ui, lab: &Lab, info: &RunInfo, actions: &mut Vec<Action>) {
        self.choices(ui, info);
        self.place(ui, lab);
        let composed = self.compose();
        if composed != self.composed {
            self.spelled.clone_from(&composed);
            self.composed = composed;
            self.wrong = None;
        }
        ui.horizontal(|ui| {
            let wide = (ui.available_width() - 60.0).max(80.0);
            let edit = TextEdit::singleline(&mut self.spelled).desired_width(wide);
            let field = ui.add(edit.font(TextStyle::Monospace)).accessible_name("Intervention");
            let help = "Any intervention, for example: scale layer1.head0 by 0.5";
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            if field.on_hover_text(help).changed() {
                self.wrong = None;
            }
            let pressed = ui.button("Apply").on_hover_text("Bring this into force.").clicked();
            if pressed || entered {
                match read(&self.spelled, info) {
                    Ok(what) => {
                        self.wrong = None;
                        actions.push(Action::Intervene(what));
                    }
                    Err(error) => self.wrong = Some(error.message),
                }
            }
        });
        if let Some(wrong) = &self.wrong {
            entry::say(ui, wrong);
        } else if lab.acts_on_training()
            && read(&self.spelled, info).is_ok_and(|what| what.needs_reference())
        {
            ui.weak("Changes what is shown, not training: it reads other sequences.");
        }
    }

    fn choices(&mut self, ui: &mut Ui, info: &RunInfo) {
        ui.horizontal_wrapped(|ui| {
            let name = |i: usize| EDITS[i].name.to_owned();
            let before = self.edit;
            let combo = ComboBox::from_id_salt("deed").selected_text(name(self.edit)).show_index(
                ui,
                &mut self.edit,
                EDITS.len(),
                name,
            );
            combo.on_hover_text(EDITS[self.edit].help).accessible_name("What happens");
            if before != self.edit {
                if EDITS[self.edit].name == RENORMALISE {
                    let pattern = POINTS.iter().position(|(p, _)| *p == Point::Pattern);
                    self.point = pattern.unwrap_or(self.point);
                }
                self.more = EDITS[self.edit].more.map_or("", |(_, value)| value).to_owned();
            }
            let layers = info.net.heads.len();
            self.layer = self.layer.min(layers.saturating_sub(1));
            let combo = ComboBox::from_id_salt("layer of place")
                .width(64.0)
                .selected_text(format!("layer {}", self.layer))
                .show_index(ui, &mut self.layer, layers, |i| format!("layer {i}"));
            combo.accessible_name("Layer of the place");
            let name = |i: usize| POINTS[i].1;
            let combo = ComboBox::from_id_salt("point").selected_text(name(self.point)).show_index(
                ui,
                &mut self.point,
                POINTS.len(),
                |i| name(i).to_owned(),
            );
            combo.accessible_name("Point");
            let heads = info.net.heads.get(self.layer).copied().unwrap_or(0);
            if !POINTS[self.point].0.by_head() {
                self.head = 0;
                return;
            }
            self.head = self.head.min(heads);
            let name = |i: usize| match i {
                0 => "all heads".to_owned(),
                i => format!("head {}", i - 1),
            };
            let combo = ComboBox::from_id_salt("head of place")
                .width(76.0)
                .selected_text(name(self.head))
                .show_index(ui, &mut self.head, heads + 1, name);
            combo.accessible_name("Head of the place");
        });
    }

    /// Positions, and what else the edit needs.
    fn place(&mut self, ui: &mut Ui, lab: &Lab) {
        let field = |ui: &mut Ui, value: &mut String, name: &str, hint: &str, width: f32| {
            let label = ui.label(name);
            let edit = TextEdit::singleline(value).hint_text(hint).desired_width(width);
            ui.add(edit).labelled_by(label.id);
        };
        ui.horizontal_wrapped(|ui| {
            let edges = POINTS[self.point].0 == Point::Pattern;
            field(
                ui,
                &mut self.positions,
                if edges { "queries" } else { "positions" },
                "all",
                50.0,
            );
            if edges {
                field(ui, &mut self.keys, "keys", "all", 50.0);
            }
            let help = "Take the selected position (and key).";
            let button = ui.add_enabled(lab.selection.query.is_some(), Button::new("selected"));
            if button.on_hover_text(help).clicked() {
                let text = |at: Option<usize>| at.map_or(String::new(), |at| at.to_string());
                self.positions = text(lab.selection.query);
                self.keys = text(lab.selection.key);
            }
            if let Some((name, hint)) = EDITS[self.edit].more {
                field(ui, &mut self.more, name, hint, 140.0);
            }
        });
    }

    fn compose(&self) -> String {
        let point = POINTS[self.point].0;
        let site = Site { layer: self.layer, point };
        let mut place = match self.head.checked_sub(1) {
            Some(head) if point == Point::Z => format!("layer{}.head{head}", self.layer),
            Some(head) => format!("{site}.head{head}"),
            None => site.to_string(),
        };
        let without_spaces = |text: &str| text.split_whitespace().collect::<String>();
        let (positions, keys) = (without_spaces(&self.positions), without_spaces(&self.keys));
        let keys = if point == Point::Pattern { keys } else { String::new() };
        if !positions.is_empty() || !keys.is_empty() {
            place = format!("{place}@{positions}");
        }
        if !keys.is_empty() {
            place = format!("{place}<-{keys}");
        }
        (EDITS[self.edit].spell)(&place, self.more.trim())
    }

    /// Lists of interventions under a name.
    fn saved(&mut self, ui: &mut Ui, lab: &Lab, info: &RunInfo, actions: &mut Vec<Action>) {
        let in_force = lab.in_force();
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.name).hint_text("name").desired_width(120.0);
            ui.add(edit).accessible_name("Name of the list");
            let name = self.name.trim();
            let button = ui.add_enabled(
                !in_force.is_empty() && !name.is_empty(),
                Button::new("Save what is in force"),
            );
            if button.clicked() {
                let all = in_force.iter().map(ToString::to_string).collect();
                self.lists.retain(|(known, _)| known != name);
                self.lists.push((name.to_owned(), all));
                self.name.clear();
            }
        });
        let mut delete = None;
        for (index, (name, spelled)) in self.lists.iter().enumerate() {
            ui.horizontal(|ui| {
                let button = ui.small_button("Load").accessible_name(format!("Load {name}"));
                let help = "Bring these into force, and nothing else.";
                if button.on_hover_text(help).clicked() {
                    let all = spelled.iter().map(|text| read(text, info)).collect();
                    match all {
                        Ok(all) => {
                            self.before = Some(in_force.clone());
                            self.wrong = None;
                            actions.push(Action::Operate(all));
                        }
                        Err(error) => self.wrong = Some(error.context(name).message),
                    }
                }
                let button = ui.small_button("Delete").accessible_name(format!("Delete {name}"));
                if button.clicked() {
                    delete = Some(index);
                }
                ui.label(name).on_hover_text(spelled.join("\n"));
            });
        }
        if let Some(index) = delete {
            self.lists.remove(index);
        }
        if let Some(before) = self.before.clone().filter(|before| *before != in_force) {
            let help = "Bring back what was in force before the list was loaded.";
            if ui.small_button("Undo loading").on_hover_text(help).clicked() {
                self.before = None;
                actions.push(Action::Operate(before));
            }
        }
    }
}

/// Widgets that stay who they are, with the keyboard and a click half done, when the list of what is in force above them grows
/// or shrinks.
fn part(ui: &mut Ui, name: &str, inside: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with(("surgery", name));
    ui.scope_builder(UiBuilder::new().scope_id(id), inside);
}

/// An intervention as it is spelled, on what this network has.
fn read(text: &str, info: &RunInfo) -> Result<Intervention> {
    let what = Intervention::written(text, &info.vocab)?;
    let Intervention::Change { place, .. } = &what else { return Ok(what) };
    let layers = info.net.heads.len();
    let heads = info.net.heads.get(place.site.layer).ok_or_else(|| {
        let last = layers.saturating_sub(1);
        Error::usage(format!(
            "there is no layer {}; this network has layers 0 to {last}",
            place.site.layer
        ))
    })?;
    if let Some(head) = place.head.filter(|head| head >= heads) {
        return Err(Error::usage(format!(
            "there is no head {head} in layer {}; it has heads 0 to {}",
            place.site.layer,
            heads.saturating_sub(1)
        )));
    }
    Ok(what)
}

fn in_force(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let list = lab.in_force();
    if list.is_empty() {
        ui.label("Nothing is in force.");
        return;
    }
    scroll::up_to(ui, 160.0, |ui| {
        // The newest first, where it is seen however many there are.
        for what in list.iter().rev() {
            ui.horizontal(|ui| {
                let button = ui.small_button("Undo").accessible_name(format!("Undo {what}"));
                if button.clicked() {
                    actions.push(Action::Lift(what.clone()));
                }
                // What is patched from can be a long sequence.
                ui.add(Label::new(what.in_words()).truncate()).on_hover_text(what.to_string());
            });
        }
    });
    if list.len() > 1 && ui.button("Lift all").clicked() {
        actions.push(Action::Do(Command::LiftAll));
    }
    if let Some(line) = effect(lab) {
        ui.label(RichText::new(line).strong());
    }
}

/// Accuracy with and without what is in force, in a sentence.
pub fn effect(lab: &Lab) -> Option<String> {
    Some(match lab.effect_in_force()? {
        Effect::BeingMeasured => "Effect on accuracy: being measured …".to_owned(),
        Effect::Refused(error) => error.message,
        Effect::OfOneSequence => {
            "What is patched from one sequence holds for that in view: others are not counted."
                .to_owned()
        }
        Effect::Uncounted => "No answer of the held-out sequences can be counted here.".to_owned(),
        Effect::Known { column, with, without } => {
            let without =
                without.map_or(String::new(), |w| format!(", without {:.1} %", 100.0 * w));
            format!("{} with this {:.1} %{without}", capital(&label(column)), 100.0 * with)
        }
    })
}

fn heads(ui: &mut Ui, lab: &Lab, heads: &[usize], actions: &mut Vec<Action>) {
    Grid::new("heads to cut").show(ui, |ui| {
        for (layer, &count) in heads.iter().enumerate() {
            ui.label(format!("layer {layer}"));
            for head in 0..count {
                let what = Intervention::cut_head(layer, head);
                let mut cut = lab.in_force().contains(&what);
                let box_ = ui.checkbox(&mut cut, format!("head {head}"));
                let box_ = box_.accessible_name(format!("Cut layer {layer} head {head}"));
                if box_.on_hover_text("Set what this head writes to zero.").changed() {
                    actions.push(if cut { Action::Intervene(what) } else { Action::Lift(what) });
                }
            }
            ui.end_row();
        }
    });
}

fn tensors(ui: &mut Ui, lab: &Lab, trained: &[String], actions: &mut Vec<Action>) {
    let live = lab.acts_on_training();
    if !live && !trained.is_empty() {
        let button = ui.button("Branch from here to freeze it");
        let help = "Only a run that is being trained can be frozen: this begins a new run from the step in view, paused, with all settings of the form. Freeze, then press Space.";
        if button.on_hover_text(help).clicked() {
            actions.push(Action::Do(Command::Branch));
        }
    }
    // The paper names the matrices of its own network, which has no others.
    let named_by_paper = trained.iter().all(|name| in_paper(name).is_some());
    ui.add_enabled_ui(live, |ui| {
        for name in trained {
            let mut frozen = is_frozen(&lab.in_force(), name);
            let was = frozen;
            let label = match in_paper(name) {
                Some(paper) if named_by_paper => format!("{name} ({paper})"),
                Some(_) | None => name.clone(),
            };
            let box_ = ui.checkbox(&mut frozen, label).accessible_name(format!("Freeze {name}"));
            box_.on_hover_text("A frozen matrix gets no gradient, no decay and no momentum.");
            if frozen != was {
                let what = if frozen { Intervention::Freeze } else { Intervention::Unfreeze };
                actions.push(Action::Intervene(what(name.clone())));
            }
        }
    });
}

/// The last word on a tensor decides.
fn is_frozen(in_force: &[Intervention], tensor: &str) -> bool {
    in_force
        .iter()
        .rev()
        .find_map(|what| match what {
            Intervention::Freeze(name) if name == tensor => Some(true),
            Intervention::Unfreeze(name) if name == tensor => Some(false),
            Intervention::Freeze(_) | Intervention::Unfreeze(_) | Intervention::Change { .. } => {
                None
            }
        })
        .unwrap_or(false)
}
