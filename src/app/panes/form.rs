//! Forms made from the declaration of settings: nothing is listed twice.

use egui::{ComboBox, Ui};

use crate::base::convert;
use crate::base::error::Error;
use crate::base::intervention::Intervention;
use crate::base::registry::Entry;
use crate::base::settings::{self, Choice, Settings, Slot, Spec};
use crate::run::experiment::{Experiment, Staged, Train};
use crate::{model, task};

use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::app::widgets::entry::{self, Pull};
use crate::app::widgets::scroll::{self, MOST_WRITING};

/// What is being written in the form.
#[derive(Default)]
pub struct Form {
    /// The run that the form was shown for last.
    of: u64,
    staged: Option<String>,
    wrong: Option<String>,
}

/// One row per setting; whether any was changed. `running` gives the values in use, to mark what waits for a restart;
/// `browse` is called for a setting that names a file, when a hand wants to choose it.
pub fn settings(
    ui: &mut Ui,
    settings: &mut dyn Settings,
    running: Option<&toml::Table>,
    mut browse: Option<&mut dyn FnMut(&'static str)>,
) -> bool {
    let now = settings::to_table(settings);
    let mut changed = false;
    settings.each(&mut |spec, slot| {
        let waits = running.is_some_and(|table| {
            !spec.live && table.get(spec.name).is_some_and(|v| Some(v) != now.get(spec.name))
        });
        ui.horizontal(|ui| {
            let is_file = matches!(slot, Slot::Text(_));
            changed |= row(ui, spec, slot);
            if is_file
                && let Some(browse) = &mut browse
                && ui.button("Choose…").on_hover_text("Choose the file.").clicked()
            {
                browse(spec.name);
            }
        });
        if waits {
            // Below, where a narrow panel has room for it.
            ui.colored_label(ui.visuals().warn_fg_color, "needs a restart");
        }
    });
    changed
}

/// A setting as its widget, with its name and, under the pointer, its help and range.
fn row(ui: &mut Ui, spec: &Spec, slot: Slot<'_>) -> bool {
    let help = help(spec);
    let name = if spec.label.is_empty() { words(spec.name) } else { spec.label.to_owned() };
    let label = name_of(ui, &name).on_hover_text(&help);
    let response = match slot {
        Slot::Bool(value) => ui.checkbox(value, ""),
        Slot::Int(value) => {
            let mut number = *value as f64;
            let response = slider(ui, spec, &mut number, true);
            *value = convert::index(number);
            response
        }
        Slot::Float(value) => slider(ui, spec, value, false),
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
    response.labelled_by(label.id).on_hover_text(&help).changed()
}

fn slider(ui: &mut Ui, spec: &Spec, value: &mut f64, whole: bool) -> egui::Response {
    let bounds = spec.bounds(whole);
    let log = spec.log || bounds.high > 1e4;
    entry::number(ui, value, bounds, Pull::Rail { log })
}

/// A setting in a row above a picture: there is room for its value, and for the name of a number or a text.
pub fn control(ui: &mut Ui, settings: &mut dyn Settings, name: &str, label: &str) {
    settings.each(&mut |spec, slot| {
        if spec.name != name {
            return;
        }
        let response = match slot {
            Slot::Choice(choice) => {
                ui.label(label);
                choose(ui, spec, choice)
            }
            Slot::Bool(value) => ui.checkbox(value, label),
            Slot::Int(value) => {
                let mut number = *value as f64;
                ui.label(label);
                let response = field(ui, spec, &mut number, true);
                *value = convert::index(number);
                response
            }
            Slot::Float(value) => {
                ui.label(label);
                field(ui, spec, value, false)
            }
            Slot::Text(text) => {
                ui.label(label);
                ui.add(egui::TextEdit::singleline(text).desired_width(120.0))
            }
        };
        response.on_hover_text(spec.help).accessible_name(label);
    });
}

fn choose(ui: &mut Ui, spec: &Spec, choice: &mut dyn Choice) -> egui::Response {
    let (names, before) = (choice.names(), choice.index());
    let mut index = before;
    let response = ComboBox::from_id_salt(spec.name)
        .selected_text(plainly(names.get(index).copied().unwrap_or("")))
        .show_index(ui, &mut index, names.len(), |i| plainly(names[i]));
    if index != before {
        choice.choose(index);
    }
    response
}

/// A number that is pulled at without a rail.
fn field(ui: &mut Ui, spec: &Spec, value: &mut f64, whole: bool) -> egui::Response {
    entry::number(ui, value, spec.bounds(whole), Pull::Field { speed: 1.0, unit: "" })
}

/// Gives a setting that is a text another value.
pub fn set(settings: &mut dyn Settings, name: &str, text: &str) {
    settings.each(&mut |spec, slot| {
        if let Slot::Text(value) = slot
            && spec.name == name
        {
            text.clone_into(value);
        }
    });
}

/// The value of a setting that is a text.
pub fn text_of(settings: &mut dyn Settings, name: &str) -> String {
    settings::to_table(settings).get(name).and_then(|v| v.as_str()).unwrap_or("").to_owned()
}

/// A value of a setting that is a text.
pub struct Offered<'a> {
    pub value: &'a str,
    pub called: String,
    pub about: &'a str,
}

/// A setting that is a text, with values to choose from; `usual` holds where there is none.
pub fn offer(
    ui: &mut Ui,
    settings: &mut dyn Settings,
    name: &str,
    usual: &str,
    offered: &[Offered<'_>],
) -> egui::Response {
    let now = text_of(settings, name);
    let now = if now.trim().is_empty() { usual } else { now.trim() };
    let known = offered.iter().find(|one| one.value == now);
    let called = known.map_or_else(|| words(now), |one| one.called.clone());
    let mut chosen = None;
    let combo = ComboBox::from_id_salt(name).selected_text(called).show_ui(ui, |ui| {
        for one in offered {
            let label = ui.selectable_label(one.value == now, one.called.as_str());
            let label = if one.about.is_empty() { label } else { label.on_hover_text(one.about) };
            if label.clicked() {
                chosen = Some(one.value);
            }
        }
    });
    if let Some(value) = chosen {
        set(settings, name, value);
    }
    combo.response
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

/// Names of choices that are terms of the field, in plain words; the term stays beside them.
const PLAINLY: &[(&str, &str)] = &[
    ("normalised", "share of the way to the other answer"),
    ("flip", "share of answers that change"),
    ("kl", "how far predictions move apart"),
    ("recovered_loss", "share of the loss won back"),
    ("resid_pre", "before the layer"),
    ("resid_mid", "in the layer, after attention"),
    ("attn_out", "what attention writes"),
    ("mlp_out", "what the MLP writes"),
    ("z", "what heads write"),
    ("q", "queries"),
    ("k", "keys"),
    ("v", "values"),
];

/// A choice in a row above a picture: `before the layer (resid pre)`.
fn plainly(name: &str) -> String {
    match PLAINLY.iter().find(|(term, _)| *term == name) {
        Some((term, plain)) => format!("{plain} ({})", words(term)),
        None => words(name),
    }
}

fn help(spec: &Spec) -> String {
    let range =
        spec.range.map(|(low, high)| format!("\nFrom {low} to {high}.")).unwrap_or_default();
    let when = if spec.live {
        "\nTakes effect at once in a run that trains."
    } else {
        "\nTakes effect with the next start."
    };
    format!("{}{range}{when}", spec.help)
}

/// The whole experiment: task, model, training and what happens when.
pub fn experiment(ui: &mut Ui, lab: &mut Lab, form: &mut Form) -> Vec<Action> {
    let mut actions = Vec::new();
    if form.of != lab.run_id() {
        *form = Form { of: lab.run_id(), ..Form::default() };
        entry::forget(ui.ctx());
    }
    let trains = lab.training().is_some_and(|t| !t.gone);
    let Some(run) = lab.runs.get_mut(lab.current) else {
        ui.label("Open an experiment to see its settings.");
        return actions;
    };
    let running = tables(&run.experiment);
    let staged_in_use = &run.experiment.at;
    let kinds_in_use = (run.experiment.task_kind.clone(), run.experiment.model_kind.clone());
    let draft = &mut run.draft;
    let before = draft.to_toml();
    if !draft.about.is_empty() {
        ui.label(egui::RichText::new(&draft.about).weak());
    }
    ui.horizontal_wrapped(|ui| {
        let button = ui.button("Start with these settings");
        let button = button.on_hover_text("Begin a new run. The runs that are here stay.");
        if button.clicked() {
            actions.push(Action::Start);
        }
        let same_kinds = kinds_in_use == (draft.task_kind.clone(), draft.model_kind.clone());
        if !same_kinds || *staged_in_use != draft.at || running != tables(draft) {
            ui.colored_label(
                ui.visuals().warn_fg_color,
                "changed: some settings wait for a restart",
            );
        }
    });
    section(ui, "Task", |ui| {
        if let Some(kind) = kinds(ui, "task kind", &draft.task_kind, task::ALL, |task| task.about())
            && let Some(entry) = task::ALL.iter().find(|e| e.name == kind)
        {
            draft.task = (entry.make)();
            draft.task_kind = kind;
        }
        let mut browse = |name: &'static str| actions.push(Action::ChooseFile(name));
        settings(ui, draft.task.as_mut(), Some(&running[0]), Some(&mut browse));
    });
    section(ui, "Model", |ui| {
        if let Some(kind) =
            kinds(ui, "model kind", &draft.model_kind, model::ALL, |model| model.about())
            && let Some(entry) = model::ALL.iter().find(|e| e.name == kind)
        {
            draft.model = (entry.make)();
            draft.model_kind = kind;
        }
        settings(ui, draft.model.as_mut(), Some(&running[1]), None);
    });
    section(ui, "Training", |ui| {
        settings(ui, &mut draft.train, Some(&running[2]), None);
        // A setting on its way to a value is not one yet: the run records every change.
        let held = ui.input(|i| i.pointer.any_down()) || ui.ctx().text_edit_focused();
        if trains && !held {
            actions.extend(live_changes(&mut draft.train, &running[2]));
        }
    });
    section(ui, "What happens when", |ui| staged(ui, draft, form));
    lab.drafted += u64::from(draft.to_toml() != before);
    actions
}

/// Live settings of the form that are not those of the run.
fn live_changes(train: &mut Train, running: &toml::Table) -> Vec<Action> {
    let now = settings::to_table(train);
    let mut actions = Vec::new();
    train.each(&mut |spec, _| {
        if spec.live
            && let Some(value) = now.get(spec.name)
            && running.get(spec.name) != Some(value)
        {
            actions.push(Action::Set { name: spec.name.to_owned(), value: value.clone() });
        }
    });
    actions
}

/// Values of task, model and training, to compare two experiments.
fn tables(experiment: &Experiment) -> [toml::Table; 3] {
    let mut copy = experiment.clone();
    [
        settings::to_table(copy.task.as_mut()),
        settings::to_table(copy.model.as_mut()),
        settings::to_table(&mut copy.train),
    ]
}

fn section(ui: &mut Ui, title: &str, inside: impl FnOnce(&mut Ui)) {
    egui::CollapsingHeader::new(egui::RichText::new(title).strong())
        .default_open(true)
        .show(ui, inside);
}

/// A picker of kinds, each with what it is; some when another was chosen.
fn kinds<T: ?Sized>(
    ui: &mut Ui,
    label: &str,
    now: &str,
    all: &[Entry<T>],
    about: fn(&T) -> &'static str,
) -> Option<String> {
    let mut chosen = None;
    ui.horizontal(|ui| {
        let name = name_of(ui, label);
        let combo = ComboBox::from_id_salt(label).selected_text(now).show_ui(ui, |ui| {
            for Entry { name: kind, make } in all {
                let row = ui.selectable_label(*kind == now, *kind);
                if row.on_hover_ui(|ui| explained(ui, about(&make()))).clicked() && *kind != now {
                    chosen = Some((*kind).to_owned());
                }
            }
        });
        let shown = all.iter().find(|entry| entry.name == now);
        let about = shown.map_or("", |entry| about(&(entry.make)()));
        combo.response.labelled_by(name.id).on_hover_ui(|ui| explained(ui, about));
    });
    chosen
}

fn explained(ui: &mut Ui, text: &str) {
    ui.set_max_width(340.0);
    ui.label(text);
}

/// Staged interventions as lines of text: `at step 300 unfreeze layer0.wk`.
fn staged(ui: &mut Ui, draft: &mut Experiment, form: &mut Form) {
    let label = ui.label("One line each, for example: at step 300 unfreeze layer0.wk");
    let text = form.staged.get_or_insert_with(|| spell(&draft.at));
    let edit = egui::TextEdit::multiline(text).desired_rows(3).desired_width(f32::INFINITY);
    let edit = edit.font(egui::TextStyle::Monospace);
    let response = scroll::up_to(ui, MOST_WRITING, |ui| ui.add(edit)).labelled_by(label.id);
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
        entry::say(ui, wrong);
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
