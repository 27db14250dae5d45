//! The table of heads: the wheel over it moves to further rows.

use egui::Ui;

use super::{Drawn, Pane};
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::{convert, settings};

/// Screen units of the wheel that are one row.
const UNITS_PER_ROW: f32 = 12.0;

/// The map and the table of the scores of all heads.
pub struct HeadScores;

impl Pane for HeadScores {
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Drawn<'_>, lab: &Lab) -> Vec<Action> {
        let actions = drawn.paint(ui);
        let kept = ui.scope_id().with("scrolled");
        if ui.rect_contains_pointer(drawn.place) {
            let delta = ui.input(|i| i.smooth_scroll_delta().y);
            let rest = ui.data(|data| data.get_temp::<f32>(kept)).unwrap_or(0.0);
            let moved = rest - delta / UNITS_PER_ROW;
            ui.data_mut(|data| data.insert_temp(kept, moved.fract()));
            scroll(drawn, convert::whole(moved.trunc()), lab);
        }
        actions
    }
}

/// Moves the table by so many rows, as far as there are heads.
fn scroll(drawn: &mut Drawn<'_>, by: i64, lab: &Lab) {
    let heads: usize = lab.run().map_or(0, |run| run.info.net.heads.iter().sum());
    let first = settings::to_table(drawn.panel).get("first").and_then(toml::Value::as_integer);
    let (Some(first), last) = (first, i64::try_from(heads).unwrap_or(i64::MAX).max(1)) else {
        return;
    };
    let next = (first + by).clamp(1, last);
    if next != first {
        // A number within its range is taken.
        let _ = settings::set(drawn.panel, "", "first", &next.into());
    }
}
