//! The legend of a plot or of a page: samples of lines and colours with their words, in rows.

use super::color::Color;
use super::pen::{Line, Pen, Rect};
use super::scene::Item;
use super::style::Style;
use super::{Anchor, LegendEntry, Sample, font, marks};

/// Entries of a legend broken into rows of at most a width.
fn legend_rows<'a>(
    entries: &'a [LegendEntry],
    width: f32,
    style: &Style,
) -> Vec<Vec<&'a LegendEntry>> {
    let mut rows: Vec<Vec<&LegendEntry>> = Vec::new();
    let mut used = 0.0;
    for entry in entries.iter().filter(|entry| !entry.hidden) {
        let needs = legend_width(entry, style);
        if rows.is_empty() || used + needs > width {
            rows.push(Vec::new());
            used = 0.0;
        }
        used += needs;
        if let Some(row) = rows.last_mut() {
            row.push(entry);
        }
    }
    rows
}

/// Height of a legend whose rows have at most a width.
pub(super) fn legend_height(entries: &[LegendEntry], width: f32, style: &Style) -> f32 {
    legend_rows(entries, width, style).len() as f32 * 2.0 * font::HALF_LINE * style.tick_size
}

/// Gap between swatch and text and the room to the next entry, in parts of the tick size.
const SWATCH_GAP: f32 = 0.5;
const ENTRY_GAP: f32 = 1.4;

fn legend_width(entry: &LegendEntry, style: &Style) -> f32 {
    style.family.width(&font::shown(&entry.text), style.tick_size, false)
        + (swatch(entry) + SWATCH_GAP + ENTRY_GAP) * style.tick_size
}

/// Width of the sample of a line or of the square, in parts of the tick size.
fn swatch(entry: &LegendEntry) -> f32 {
    if entry.is_line() { 1.6 } else { 0.75 }
}

impl Pen<'_> {
    /// Rows of a legend of at most a width, downwards from `top`; `left` says where a row of a width begins.
    pub fn legend(
        &mut self,
        entries: &[LegendEntry],
        width: f32,
        top: f32,
        left: impl Fn(f32) -> f32,
    ) {
        let style = self.style;
        let height = 2.0 * font::HALF_LINE * style.tick_size;
        for (i, row) in legend_rows(entries, width, style).iter().enumerate() {
            let from = left(row.iter().map(|e| legend_width(e, style)).sum());
            self.legend_row(row, [from, top + (i as f32 + 0.5) * height], from + width);
        }
    }

    /// An entry whose words wrap in a column of a width, from a place on, if they end above `bottom`; where the next one begins.
    pub fn wrapped_entry(
        &mut self,
        entry: &LegendEntry,
        [left, top]: [f32; 2],
        [width, bottom]: [f32; 2],
    ) -> f32 {
        let (family, size) = (self.style.family, self.style.tick_size);
        let indent = (swatch(entry) + SWATCH_GAP) * size;
        let lines = family.wrap(&font::shown(&entry.text), size, width - indent);
        let height = 2.0 * font::HALF_LINE * size;
        let end = top + lines.len() as f32 * height;
        if entry.hidden || end > bottom {
            return top;
        }
        for (i, text) in lines.into_iter().enumerate() {
            let y = top + (i as f32 + 0.5) * height;
            if i == 0 {
                let first = LegendEntry { text, ..entry.clone() };
                self.legend_row(&[&first], [left, y], f32::INFINITY);
                continue;
            }
            let (at, color) = ([left + indent, y], self.style.ink);
            self.text(&Line { at, text: &text, size, color, align: Anchor::Left });
        }
        end
    }

    /// The letters of the parts that a legend below them explains.
    pub fn letters(&mut self, letters: &str, [left, top]: [f32; 2]) {
        let (size, color) = (self.style.tick_size, self.style.ink);
        let at = [left, top + font::HALF_LINE * size];
        self.any_text(&Line { at, text: letters, size, color, align: Anchor::Left }, false, true);
    }

    /// A row of entries from a place on, as far as `end`.
    fn legend_row(&mut self, row: &[&LegendEntry], [mut x, y]: [f32; 2], end: f32) {
        let style = self.style;
        let size = style.tick_size;
        for entry in row {
            let right = x + swatch(entry) * size;
            if entry.is_line() {
                self.push(Item::Polyline {
                    points: vec![[x, y], [right, y]],
                    color: entry.color,
                    width: 1.2 * style.mark_width,
                    dash: entry.dash,
                });
            } else {
                let half = 0.5 * (right - x);
                let square = Rect { left: x, right, top: y - half, bottom: y + half };
                if entry.color == Color::TRANSPARENT {
                    marks::absent(self, square);
                } else if entry.sample == Sample::Outline {
                    let width = style.mark_width;
                    self.rect(square.shrunk(0.5 * width), None, Some((entry.color, width)));
                } else {
                    self.rect(square, Some(entry.color), None);
                }
            }
            let (at, color) = ([right + SWATCH_GAP * size, y], style.ink);
            let room = self.scene.width.min(end) - at[0];
            let shown = font::shown(&entry.text);
            let text = style.family.fit(&shown, size, room);
            self.text(&Line { at, text: &text, size, color, align: Anchor::Left });
            x += legend_width(entry, style);
        }
    }
}
