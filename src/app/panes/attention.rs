//! Maps of attention over part of a sequence: the wheel and a bar above them move through it.

use egui::{Pos2, Rect, Sense, Ui, pos2, vec2};

use super::{Drawn, Pane};
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::convert;
use crate::base::settings;
use crate::figure::Pick;
use crate::panel::Panel;
use crate::panel::positions::{self, IN_VIEW, Window};

/// The small maps of all heads: the wheel moves through the sequence, or where that is drawn whole, it shows fewer heads larger.
#[derive(Default)]
pub struct Heads {
    /// The run whose maps were made larger.
    zoomed: Option<u64>,
}

impl Pane for Heads {
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, lab: &Lab) -> Vec<Action> {
        if self.zoomed.replace(lab.run_id()) != Some(lab.run_id()) {
            // Another network is met with all its heads.
            set(drawn.panel, "zoom", 1.0);
        }
        match lab.run() {
            Some(run) if run.info.net.is_large() => zoomed(ui, drawn),
            _ => scrolled(ui, drawn),
        }
    }
}

/// The picture; the wheel over it makes the maps larger around the head under the pointer.
fn zoomed(ui: &mut Ui, drawn: &mut Drawn<'_>) -> Vec<Action> {
    /// Screen units of the wheel that make maps `e` times as large.
    const UNITS: f32 = 220.0;
    let actions = drawn.paint(ui);
    let delta = ui.input(|i| i.smooth_scroll_delta().y);
    if !ui.rect_contains_pointer(drawn.place) || delta == 0.0 {
        return actions;
    }
    let table = settings::to_table(drawn.panel);
    let zoom = table.get("zoom").and_then(toml::Value::as_float).unwrap_or(1.0);
    let next = (zoom * f64::from(delta / UNITS).exp()).clamp(1.0, 64.0);
    let pointed = ui.input(|i| i.pointer.latest_pos());
    let pointed = pointed.and_then(|at| pointed_at(drawn, at));
    set(drawn.panel, "zoom", next);
    if let (Some((layer, head)), true) = (pointed, next > zoom) {
        let number = |n: usize| i64::try_from(n).unwrap_or(0);
        set(drawn.panel, "around_layer", number(layer));
        set(drawn.panel, "around_head", number(head));
    }
    actions
}

/// Sets what is within its range.
fn set(panel: &mut dyn Panel, name: &str, value: impl Into<toml::Value>) {
    let _ = settings::set(panel, "", name, &value.into());
}

/// The layer and the head of the map at a place of the screen, about: maps stand in a grid.
fn pointed_at(drawn: &Drawn<'_>, at: Pos2) -> Option<(usize, usize)> {
    let (figure, place) = (drawn.figure, drawn.place);
    let rows = figure.plots.len().div_ceil(figure.columns.max(1));
    let along = |share: f32, count: usize| {
        convert::index(f64::from(share) * count as f64).min(count.saturating_sub(1))
    };
    let column = along((at.x - place.left()) / place.width(), figure.columns);
    let row = along((at.y - place.top()) / place.height(), rows);
    let plot = figure.plots.get(row * figure.columns + column)?;
    if let Pick::Head { layer, head } = plot.pick { Some((layer, head)) } else { None }
}

/// The map of one head, with a bar above it that says which positions are in view.
pub struct Attention;

impl Pane for Attention {
    fn controls(&mut self, ui: &mut Ui, panel: &mut dyn Panel, lab: &Lab) -> Vec<Action> {
        let window = settings::to_table(panel).remove("window");
        let follows = window.is_some_and(|window| window.as_str() == Some(Window::Near.name()));
        if follows && lab.prompt.len() > IN_VIEW { bar(ui, lab) } else { Vec::new() }
    }

    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, _lab: &Lab) -> Vec<Action> {
        scrolled(ui, drawn)
    }
}

/// Screen units of the wheel that are one position.
const UNITS_PER_POSITION: f32 = 12.0;

/// The picture; the wheel over it moves through the sequence.
pub(super) fn scrolled(ui: &mut Ui, drawn: &mut Drawn<'_>) -> Vec<Action> {
    let mut actions = drawn.paint(ui);
    let kept = ui.scope_id().with("scrolled");
    if ui.rect_contains_pointer(drawn.place) {
        let delta = ui.input(|i| i.smooth_scroll_delta());
        let rest = ui.data(|data| data.get_temp::<f32>(kept)).unwrap_or(0.0);
        let moved = rest - (delta.x + delta.y) / UNITS_PER_POSITION;
        let whole = moved.trunc();
        ui.data_mut(|data| data.insert_temp(kept, moved - whole));
        if whole != 0.0 {
            actions.push(Action::Scroll(convert::whole(whole)));
        }
    }
    actions
}

/// A bar as long as the sequence: what is in view is its handle.
fn bar(ui: &mut Ui, lab: &Lab) -> Vec<Action> {
    const HEIGHT: f32 = 10.0;
    let length = lab.prompt.len();
    let first = positions::first_in_view(&lab.selection, length);
    let size = vec2(ui.available_width(), HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let last = first + IN_VIEW - 1;
    let words = format!(
        "Positions {first} to {last} of 0 to {} are in view: drag, or turn the wheel over the map.",
        length - 1
    );
    response.widget_info(|| egui::WidgetInfo::slider(true, first as f64, "Positions in view"));
    let track = rect.shrink2(vec2(0.0, 3.0));
    let x = |position: usize| track.left() + track.width() * position as f32 / length as f32;
    let handle = Rect::from_min_max(
        pos2(x(first), track.top()),
        pos2(x((last + 1).min(length)), track.bottom()),
    );
    let visuals = ui.style().interact(&response);
    ui.painter().rect_filled(track, 2, ui.visuals().extreme_bg_color);
    ui.painter().rect_filled(handle, 2, visuals.fg_stroke.color.gamma_multiply(0.55));
    let at = response.interact_pointer_pos();
    let response = response.on_hover_text(words);
    let Some(at) = at.filter(|_| response.is_pointer_button_down_on() || response.clicked()) else {
        return Vec::new();
    };
    let position = (at.x - track.left()) / track.width() * length as f32 - IN_VIEW as f32 / 2.0;
    vec![Action::ScrollTo(convert::index(position.max(0.0)))]
}
