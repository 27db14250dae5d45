//! Names of the columns and rows of a grid of small plots, once at its edges: there is no room for them in the plots.

use super::font;
use super::pen::{Line, Pen, Rect};
use super::{Anchor, Edges};

/// Air between a name and the grid, in points.
const GAP: f32 = 2.0;

impl Pen<'_> {
    /// The room that names at the edges leave to a grid.
    pub(super) fn inside_edges(&self, edges: &Edges, body: Rect) -> Rect {
        let (style, size) = (self.style, self.style.tick_size);
        let widths = edges.beside.iter().map(|name| style.family.width(name, size, false));
        let left = widths.fold(0.0, f32::max) + GAP;
        let top = 2.0 * font::HALF_LINE * size + GAP;
        // Small pictures of figures have no room for names.
        if left > 0.2 * body.width() || top > 0.2 * body.height() {
            return body;
        }
        let left = if edges.beside.is_empty() { 0.0 } else { left };
        let top = if edges.above.is_empty() { 0.0 } else { top };
        Rect { left: body.left + left, top: body.top + top, ..body }
    }

    /// Writes the names where there is room for them: all, or every second, fifth, tenth …
    pub(super) fn edges(&mut self, edges: &Edges, body: Rect, cells: &[Rect]) {
        let (family, size) = (self.style.family, self.style.tick_size);
        let width = |name: &String| family.width(name, size, false);
        let (Some(first), columns) = (cells.first(), edges.above.len().max(1)) else { return };
        if first.top > body.top {
            let needed = edges.above.iter().map(width).fold(0.0, f32::max) + size;
            let y = first.top - GAP - font::HALF_LINE * size;
            let places = cells.iter().take(columns).map(|cell| [cell.middle()[0], y]);
            self.thinned(&edges.above, places.collect(), (0, needed), Anchor::Center);
        }
        if first.left > body.left {
            let needed = 2.0 * font::HALF_LINE * size;
            let at = |cell: &Rect| [first.left - GAP, cell.middle()[1]];
            let places = cells.iter().step_by(columns).map(at);
            self.thinned(&edges.beside, places.collect(), (1, needed), Anchor::Right);
        }
    }

    /// Names at places that lie evenly along an axis, as many as stand `needed` points from one to the next.
    fn thinned(
        &mut self,
        names: &[String],
        places: Vec<[f32; 2]>,
        (axis, needed): (usize, f32),
        align: Anchor,
    ) {
        let apart = match places[..] {
            [a, b, ..] => b[axis] - a[axis],
            _ => f32::INFINITY,
        };
        let steps = [1, 2, 5, 10, 20, 50, 100];
        let step = steps.into_iter().find(|step| *step as f32 * apart >= needed).unwrap_or(200);
        let (size, color) = (self.style.tick_size, self.style.faint);
        for (name, at) in names.iter().zip(places).step_by(step) {
            self.text(&Line { at, text: name, size, color, align });
        }
    }
}
