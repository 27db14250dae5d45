//! Surgery: freeze tensors, cut heads and points; what is in force, and what it does to the answers.

use std::sync::Arc;

use egui::{ComboBox, Grid, RichText, Ui};

use crate::record::intervention::{Intervention, Point, Site};
use crate::record::question::Readings;

use super::action::{Action, Command};
use super::ask::EFFECT;
use super::state::Lab;

/// Points that can be set to zero and what they are called; the others are computed from these.
const POINTS: &[(Point, &str)] = &[
    (Point::AttnOut, "what attention writes"),
    (Point::MlpOut, "what the MLP writes"),
    (Point::Q, "queries"),
    (Point::K, "keys"),
    (Point::V, "values"),
    (Point::Pattern, "attention pattern"),
    (Point::ResidPre, "residual stream before the layer"),
    (Point::ResidPost, "residual stream after the layer"),
];

/// What is set in the form for a point.
#[derive(Default)]
pub struct Surgery {
    layer: usize,
    point: usize,
    here_only: bool,
}

impl Surgery {
    pub fn ui(&mut self, ui: &mut Ui, lab: &Lab) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(run) = lab.run() else {
            ui.label("Nothing to operate on yet.");
            return actions;
        };
        ui.weak(if lab.acts_on_training() {
            "Acts on training, from the next step on."
        } else {
            "Acts on the step in view only: training is not touched."
        });
        in_force(ui, lab, &mut actions);
        ui.separator();
        ui.strong("Cut a head");
        heads(ui, lab, &run.bench.net.heads, &mut actions);
        ui.separator();
        ui.strong("Set a point to zero");
        self.point(ui, lab, run.bench.net.heads.len(), &mut actions);
        ui.separator();
        ui.strong("Freeze a matrix");
        tensors(ui, lab, &run.bench.trained, &mut actions);
        actions
    }

    fn point(&mut self, ui: &mut Ui, lab: &Lab, layers: usize, actions: &mut Vec<Action>) {
        ui.horizontal_wrapped(|ui| {
            let combo = ComboBox::from_id_salt("layer of point")
                .selected_text(format!("layer {}", self.layer))
                .show_index(ui, &mut self.layer, layers, |i| format!("layer {i}"));
            combo.accessible_name("Layer of the point");
            let name = |i: usize| POINTS[i].1;
            let combo = ComboBox::from_id_salt("point")
                .width(190.0)
                .selected_text(name(self.point))
                .show_index(ui, &mut self.point, POINTS.len(), |i| name(i).to_owned());
            combo.accessible_name("Point");
        });
        ui.horizontal_wrapped(|ui| {
            let text = match lab.selection.query {
                Some(query) => format!("only at position {query}"),
                None => "only at the selected position".to_owned(),
            };
            ui.add_enabled_ui(lab.selection.query.is_some(), |ui| {
                ui.checkbox(&mut self.here_only, text);
            });
            if ui.button("Zero").on_hover_text("Set this point to zero.").clicked() {
                let site = Site { layer: self.layer, point: POINTS[self.point].0 };
                let position = lab.selection.query.filter(|_| self.here_only);
                let what = Intervention::zero(site, None, position);
                actions.push(Action::Intervene(what));
            }
        });
    }
}

fn in_force(ui: &mut Ui, lab: &Lab, actions: &mut Vec<Action>) {
    let list = lab.in_force();
    if list.is_empty() {
        ui.label("Nothing is in force.");
        return;
    }
    for what in &list {
        ui.horizontal(|ui| {
            let button = ui.small_button("Undo").accessible_name(format!("Undo {what}"));
            if button.clicked() {
                actions.push(Action::Lift(what.clone()));
            }
            ui.label(what.to_string());
        });
    }
    if list.len() > 1 && ui.button("Lift all").clicked() {
        actions.push(Action::Do(Command::LiftAll));
    }
    if let Some(line) = effect(lab) {
        ui.label(RichText::new(line).strong());
    }
}

/// Accuracy with and without what is in force, in a sentence.
pub fn effect(lab: &Lab) -> Option<String> {
    const NUMBER: &str = "accuracy_in_context";
    let mut in_force = lab.in_force();
    in_force.retain(Intervention::changes_forward);
    in_force.first()?;
    // A number of another step, or of other interventions, would be read as that of these.
    let step = lab.readings.as_ref().map(|readings| readings.step);
    let fits = |effect: &&Arc<Readings>| {
        effect.interventions == in_force && (lab.is_training() || Some(effect.step) == step)
    };
    let effect = lab.effect.as_ref().filter(fits);
    let same_step = |baseline: &&Arc<Readings>| effect.is_some_and(|e| e.step == baseline.step);
    let baseline = lab.baseline.as_ref().filter(same_step);
    let answer = |readings: Option<&Arc<Readings>>| {
        let mut calls = readings?.by_call.iter();
        calls.find(|(key, _)| key.starts_with(EFFECT)).map(|(_, answer)| answer.clone())
    };
    Some(match answer(effect) {
        None => "Effect on in-context accuracy: being measured …".to_owned(),
        Some(Err(error)) => error.message,
        Some(Ok(reading)) => {
            let with = reading.number(NUMBER).unwrap_or(f64::NAN);
            let baseline = answer(baseline).and_then(Result::ok);
            let without = baseline.and_then(|reading| reading.number(NUMBER));
            let without =
                without.map_or(String::new(), |w| format!(", without {:.1} %", 100.0 * w));
            format!("In-context accuracy with this {:.1} %{without}", 100.0 * with)
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
    ui.add_enabled_ui(live, |ui| {
        for name in trained {
            let mut frozen = is_frozen(&lab.in_force(), name);
            let was = frozen;
            let box_ = ui.checkbox(&mut frozen, name).accessible_name(format!("Freeze {name}"));
            box_.on_hover_text("A frozen matrix gets no gradient, no decay and no momentum.");
            if frozen != was {
                let what = if frozen { Intervention::Freeze } else { Intervention::Unfreeze };
                actions.push(Action::Intervene(what(name.clone())));
            }
        }
    });
    if !live {
        ui.weak("Only a run that is being trained can be frozen.");
    }
}

/// The last word on a tensor decides.
fn is_frozen(in_force: &[Intervention], tensor: &str) -> bool {
    in_force
        .iter()
        .rev()
        .find_map(|what| match what {
            Intervention::Freeze(name) if name == tensor => Some(true),
            Intervention::Unfreeze(name) if name == tensor => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}
