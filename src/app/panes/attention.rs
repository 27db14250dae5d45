//! Maps of attention over part of a sequence: the wheel and a bar above them move through it.

use egui::{Rect, Sense, Ui, pos2, vec2};

use super::{Drawn, Pane};
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::convert;
use crate::base::settings;
use crate::panel::Panel;
use crate::panel::positions::{self, IN_VIEW, Window};

/// The small maps of all heads: the wheel moves through the sequence.
pub struct Heads;

impl Pane for Heads {
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, _lab: &Lab) -> Vec<Action> {
        scrolled(ui, drawn)
    }
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
