//! Forms made from the declaration of settings: nothing is listed twice.

use egui::{ComboBox, Slider, Ui};

use crate::record::error::Error;
use crate::record::intervention::Intervention;
use crate::record::knobs::{self, Knobs, Slot, Spec};
use crate::run::experiment::{Experiment, Staged};
use crate::{model, task};

use super::action::Action;
use super::state::Lab;

/// Text of a form that is being written: the staged interventions.
#[derive(Default)]
pub struct Form {
    staged: Option<String>,
    wrong: Option<String>,
}

/// One row per setting; returns the names of those that were changed. `running` gives the values in use, to mark
/// what waits for a restart.
pub fn knobs(
    ui: &mut Ui,
    knobs: &mut dyn Knobs,
    running: Option<&toml::Table>,
) -> Vec<(&'static str, bool)> {
    let now = knobs::to_table(knobs);
    let mut changed = Vec::new();
    knobs.each(&mut |spec, slot| {
        let waits = running.is_some_and(|table| {
            !spec.live && table.get(spec.name).is_some_and(|v| Some(v) != now.get(spec.name))
        });
        ui.horizontal(|ui| {
            if row(ui, spec, slot) {
                changed.push((spec.name, spec.live));
            }
            if waits {
                ui.colored_label(ui.visuals().warn_fg_color, "needs a restart");
            }
        });
    });
    changed
}

/// A setting as its widget, with its name and, under the pointer, its help and range.
fn row(ui: &mut Ui, spec: &Spec, slot: Slot<'_>) -> bool {
    let help = help(spec);
    let name = words(spec.name);
    let label = name_of(ui, &name).on_hover_text(&help);
    let response = match slot {
        Slot::Bool(value) => ui.checkbox(value, ""),
        Slot::Int(value) => {
            let (low, high) = spec.range.unwrap_or((0.0, f64::from(u32::MAX)));
            let range = low as usize..=high as usize;
            ui.add(Slider::new(value, range).logarithmic(spec.log || high > 1e4))
        }
        Slot::Float(value) => {
            let (low, high) = spec.range.unwrap_or((-1e9, 1e9));
            let slider = Slider::new(value, low..=high).logarithmic(spec.log || high > 1e4);
            ui.add(slider.smallest_positive(1e-8).max_decimals(8))
        }
        Slot::Choice(choice) => {
            let names = choice.names();
            let mut index = choice.index();
            let before = index;
            let mut response = ComboBox::from_id_salt(spec.name)
                .selected_text(names.get(index).copied().unwrap_or(""))
                .show_index(ui, &mut index, names.len(), |i| names[i].to_owned());
            if index != before {
                choice.choose(index);
                response.mark_changed();
            }
            response
        }
        Slot::Text(text) => ui.add(egui::TextEdit::singleline(text).desired_width(170.0)),
    };
    let response = response.labelled_by(label.id).on_hover_text(&help);
    response.changed()
}

/// The name of a setting, in a column of its own.
fn name_of(ui: &mut Ui, name: &str) -> egui::Response {
    const WIDTH: f32 = 118.0;
    let left = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(egui::vec2(WIDTH, 18.0), left, |ui| {
        ui.set_min_width(WIDTH);
        ui.add(egui::Label::new(name).truncate())
    })
    .inner
}

/// `held_out` as a person would write it.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn help(spec: &Spec) -> String {
    let range =
        spec.range.map(|(low, high)| format!("\nFrom {low} to {high}.")).unwrap_or_default();
    let when =
        if spec.live { "\nTakes effect at once." } else { "\nTakes effect with the next start." };
    format!("{}{range}{when}", spec.help)
}

/// The whole experiment: task, model, training and what happens when.
pub fn experiment(ui: &mut Ui, lab: &mut Lab, form: &mut Form) -> Vec<Action> {
    let mut actions = Vec::new();
    let running = lab.run().map(|run| tables(&run.experiment));
    let Some(draft) = &mut lab.draft else {
        ui.label("Open an experiment to see its settings.");
        return actions;
    };
    let of = |part: usize| running.as_ref().map(|tables| &tables[part]);
    if !draft.about.is_empty() {
        ui.label(egui::RichText::new(&draft.about).weak());
    }
    ui.horizontal_wrapped(|ui| {
        let button = ui.button("Start with these settings");
        let button = button.on_hover_text("Begin a new run. The runs that are here stay.");
        if button.clicked() {
            actions.push(Action::Start);
        }
        if running.as_ref().is_some_and(|r| *r != tables(draft)) {
            ui.colored_label(
                ui.visuals().warn_fg_color,
                "changed: some settings wait for a restart",
            );
        }
    });
    section(ui, "Task", |ui| {
        if let Some(kind) =
            kinds(ui, "task kind", &draft.task_kind, task::ALL.iter().map(|e| e.name))
            && let Some(entry) = task::ALL.iter().find(|e| e.name == kind)
        {
            draft.task = (entry.make)();
            draft.task_kind = kind;
        }
        knobs(ui, draft.task.as_mut(), of(0));
    });
    section(ui, "Model", |ui| {
        if let Some(kind) =
            kinds(ui, "model kind", &draft.model_kind, model::ALL.iter().map(|e| e.name))
            && let Some(entry) = model::ALL.iter().find(|e| e.name == kind)
        {
            draft.model = (entry.make)();
            draft.model_kind = kind;
        }
        knobs(ui, draft.model.as_mut(), of(1));
    });
    section(ui, "Training", |ui| {
        for (name, live) in knobs(ui, &mut draft.train, of(2)) {
            let table = knobs::to_table(&mut draft.train);
            if let (true, Some(value)) = (live, table.get(name)) {
                actions.push(Action::Set { name: name.to_owned(), value: value.clone() });
            }
        }
    });
    section(ui, "What happens when", |ui| staged(ui, draft, form));
    actions
}

/// Values of task, model and training, to compare two experiments.
fn tables(experiment: &Experiment) -> [toml::Table; 3] {
    let mut copy = experiment.clone();
    [
        knobs::to_table(copy.task.as_mut()),
        knobs::to_table(copy.model.as_mut()),
        knobs::to_table(&mut copy.train),
    ]
}

fn section(ui: &mut Ui, title: &str, inside: impl FnOnce(&mut Ui)) {
    egui::CollapsingHeader::new(egui::RichText::new(title).strong())
        .default_open(true)
        .show(ui, inside);
}

/// A picker of kinds; some when another was chosen.
fn kinds<'a>(
    ui: &mut Ui,
    label: &str,
    now: &str,
    all: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let mut chosen = None;
    ui.horizontal(|ui| {
        let name = name_of(ui, label);
        let combo = ComboBox::from_id_salt(label).selected_text(now).show_ui(ui, |ui| {
            for kind in all {
                if ui.selectable_label(kind == now, kind).clicked() && kind != now {
                    chosen = Some(kind.to_owned());
                }
            }
        });
        combo.response.labelled_by(name.id);
    });
    chosen
}

/// Staged interventions as lines of text: `at step 300 unfreeze layer0.wk`.
fn staged(ui: &mut Ui, draft: &mut Experiment, form: &mut Form) {
    let label = ui.label("One line each, for example: at step 300 unfreeze layer0.wk");
    let text = form.staged.get_or_insert_with(|| spell(&draft.at));
    let edit = egui::TextEdit::multiline(text).desired_rows(3).desired_width(f32::INFINITY);
    let response = ui.add(edit.font(egui::TextStyle::Monospace)).labelled_by(label.id);
    if response.changed() {
        match parse(text) {
            Ok(at) => {
                draft.at = at;
                form.wrong = None;
            }
            Err(error) => form.wrong = Some(error.message),
        }
    } else if !response.has_focus() && form.wrong.is_none() {
        form.staged = None;
    }
    if let Some(wrong) = &form.wrong {
        ui.colored_label(ui.visuals().error_fg_color, wrong);
    }
}

fn spell(at: &[Staged]) -> String {
    at.iter().map(|s| format!("at step {} {}\n", s.step, s.what)).collect()
}

/// # Errors
/// At the first line that is no `at step N intervention`.
pub fn parse(text: &str) -> Result<Vec<Staged>, Error> {
    let mut all = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let rest = line.strip_prefix("at").map(str::trim_start).unwrap_or(line);
        let rest = rest.strip_prefix("step").map(str::trim_start).unwrap_or(rest);
        let (step, what) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let step = step.parse().map_err(|_| {
            Error::usage(format!(
                "\"{line}\": expected for example \"at step 300 unfreeze layer0.wk\""
            ))
        })?;
        all.push(Staged { step, what: what.parse::<Intervention>()? });
    }
    all.sort_by_key(|s| s.step);
    Ok(all)
}
