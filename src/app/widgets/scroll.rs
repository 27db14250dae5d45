//! What grows is bounded and scrolls.

use egui::{ScrollArea, Ui};

/// What a window over the panels needs around what scrolls in it: its title, a field, a row of buttons.
const AROUND: f32 = 110.0;

/// A text that is longer than about eight lines scrolls: what is said of it below it stays in view.
pub const MOST_WRITING: f32 = 120.0;

/// `most` points, or as many as the window of the program has room for.
pub fn room(ui: &Ui, most: f32) -> f32 {
    most.min(ui.ctx().content_rect().height() - AROUND).max(40.0)
}

/// As high as what is inside, up to [`room`]. In a window that has shrunk around it, it grows again with what is inside:
/// the smallest height of a scroll area is what it takes even where there seems to be less.
pub fn up_to<R>(ui: &mut Ui, most: f32, inside: impl FnOnce(&mut Ui) -> R) -> R {
    let most = room(ui, most);
    let area = ScrollArea::vertical().max_height(most).min_scrolled_height(most);
    area.show(ui, inside).inner
}
