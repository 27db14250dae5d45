//! The sweep in the window: which numbers of its runs are drawn, and what a click on a line means.

use egui::{ComboBox, Rect, Sense, Ui};

use super::{Drawn, Pane};
use crate::app::canvas::paint::Frame;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::settings;
use crate::figure::Pick;
use crate::figure::pick::{line_at, pick};
use crate::panel::{self, Panel, columns};
use crate::sweep::Sweep;

/// Pickers above the lines, and the lines.
pub struct SweepPane;

impl Pane for SweepPane {
    fn controls(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        lab.sweep.as_deref().map_or_else(Vec::new, |sweep| pickers(ui, panel, sweep))
    }

    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, lab: &Lab) -> Vec<Action> {
        let mut actions = drawn.paint(ui);
        if let Some(sweep) = lab.sweep.as_deref() {
            actions.extend(lines(ui, drawn, sweep));
        }
        actions
    }
}

/// Pickers for the metric of the lines, the two numbers of the points and the colour.
fn pickers(ui: &mut Ui, panel: &mut dyn Panel, sweep: &Sweep) -> Vec<Action> {
    let metrics: Vec<String> = sweep.metrics().into_iter().map(str::to_owned).collect();
    let numbers = sweep.numbers();
    let settings: Vec<String> = sweep.plan.settings.iter().map(|(path, _)| path.clone()).collect();
    let mut drawn = panel::sweep::Sweep::default();
    // Both are the same kind of panel: every setting fits.
    let _ = settings::set_all(&mut drawn, "", &settings::to_table(panel));
    let [metric, x, y] = drawn.chosen(sweep);
    let color = settings.first().filter(|_| drawn.color.is_empty()).unwrap_or(&drawn.color);
    let pickers = [
        [("metric", "Lines", &metric, &metrics), ("color", "Colour", color, &settings)],
        [("x", "x axis", &x, &numbers), ("y", "y axis", &y, &numbers)],
    ];
    let mut actions = Vec::new();
    egui::Grid::new("sweep pickers").num_columns(5).spacing([6.0, 3.0]).show(ui, |ui| {
        for (row, pickers) in pickers.into_iter().enumerate() {
            for (setting, label, now, names) in pickers {
                if names.is_empty() {
                    ui.label("");
                    ui.label("");
                    continue;
                }
                if let Some(name) = picker(ui, setting, (label, now), names) {
                    // A name out of the list always suits a text.
                    let _ = settings::set(panel, "", setting, &name.into());
                }
            }
            if row == 0 {
                let refresh = ui.button("Refresh").accessible_name("Refresh the sweep");
                if refresh.on_hover_text(READ_AGAIN).clicked() {
                    actions.push(Action::ReadSweep(sweep.folder.clone()));
                }
            }
            ui.end_row();
        }
    });
    actions
}

const READ_AGAIN: &str = "Read what the runs have recorded since.";

/// One picker with its label and what it is at; some when another name was chosen, an empty one for the panel's own
/// choice.
fn picker(
    ui: &mut Ui,
    setting: &str,
    (label, now): (&str, &str),
    names: &[String],
) -> Option<String> {
    let words = |name: &str| match name {
        "" => "chosen by itself".to_owned(),
        name if name.contains('.') || name.starts_with("formed_") => name.to_owned(),
        name => columns::label(name),
    };
    let mut chosen = None;
    ui.label(label);
    let combo = ComboBox::from_id_salt(("sweep", setting)).width(150.0).selected_text(words(now));
    let combo = combo.truncate().show_ui(ui, |ui| {
        for name in std::iter::once("").chain(names.iter().map(String::as_str)) {
            let row = ui.selectable_label(name == now, words(name));
            let help = columns::describe(name).1;
            if row.on_hover_text(format!("{name}\n{help}").trim()).clicked() && name != now {
                chosen = Some(name.to_owned());
            }
        }
    });
    let what = match setting {
        "metric" => "The metric of the lines, against the step.",
        "color" => "The setting that decides the colour of a run.",
        "x" => "The number of each run along the x axis of the points.",
        _ => "The number of each run along the y axis of the points.",
    };
    let help = format!("{what}\n{}\n{}", words(now), columns::describe(now).1);
    let combo = combo.response.on_hover_text(help.trim());
    combo.accessible_name(format!("{label} of the sweep"));
    chosen
}

/// A line under the pointer says which run it is; a click opens it.
fn lines(ui: &mut Ui, drawn: &Drawn<'_>, sweep: &Sweep) -> Vec<Action> {
    let Drawn { place: rect, figure, scene, .. } = *drawn;
    let Some(pointer) = ui.input(|i| i.pointer.hover_pos()) else { return Vec::new() };
    if !rect.contains(pointer) || !ui.rect_contains_pointer(rect) {
        return Vec::new();
    }
    let place = Frame::new(rect.min).back(pointer);
    // A dot answers for itself.
    if pick(scene, place).is_some_and(|(pick, _)| pick != Pick::Nothing) {
        return Vec::new();
    }
    let run = line_at(figure, scene, place)
        .and_then(|name| sweep.runs.iter().position(|run| run.member.name == name));
    let Some(run) = run else { return Vec::new() };
    // Only as large as the pointer: nothing else is covered.
    let small = Rect::from_center_size(pointer, egui::Vec2::splat(2.0));
    let response = ui.interact(small, ui.scope_id().with("line of a run"), Sense::CLICK);
    ui.ctx().set_cursor_icon(egui::CursorIcon::PointingHand);
    let clicked = response.clicked();
    response.on_hover_text_at_pointer(&sweep.runs[run].member.name);
    if clicked { vec![Action::Pick { pick: Pick::Run(run), shift: false }] } else { Vec::new() }
}
