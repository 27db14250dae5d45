//! Several figures on one page: a grid of parts with letters, a shared colour scale, a shared legend.

use super::color::ColorMap;
use super::color_bar::{bar_ticks, bar_width};
use super::layout::margin;
use super::legend::legend_height;
use super::pen::{Pen, Rect};
use super::scene::Scene;
use super::style::Style;
use super::{ColorBar, Figure, LegendEntry, Mark, font};

/// A page of figures. One figure alone is a page of one part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composite {
    pub title: String,
    pub parts: Vec<Part>,
    /// Relative widths of the columns and heights of the rows; those that are not said are 1.
    pub widths: Vec<f32>,
    pub heights: Vec<f32>,
    /// Legends for all parts, below them, each with the letters of the parts that it explains (empty: all).
    pub legends: Vec<(String, Vec<LegendEntry>)>,
    /// One colour bar for all parts, to their right.
    pub bar: Option<ColorBar>,
}

/// A figure in the grid of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Drawn before the title; empty: none.
    pub letter: String,
    pub figure: Figure,
    pub place: Place,
}

/// The cells of the grid that a part takes, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub row: usize,
    pub column: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Composite {
    pub fn one(figure: Figure) -> Self {
        let place = Place { rows: 1, columns: 1, ..Place::default() };
        Self { parts: vec![Part { letter: String::new(), figure, place }], ..Self::default() }
    }

    /// What the page is called: its own title, or that of its only figure.
    pub fn name(&self) -> &str {
        match (self.title.as_str(), self.parts.as_slice()) {
            ("", [only]) => &only.figure.title,
            (title, _) => title,
        }
    }

    /// The figures with the words before the names of their plots: the letter, where there is one.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.parts.iter().map(|part| (part.letter.as_str(), &part.figure))
    }

    /// Takes the legends out of the parts: each of them once, below them all.
    pub fn share_legend(&mut self) {
        for part in &mut self.parts {
            for plot in &mut part.figure.plots {
                let own = std::mem::take(&mut plot.legend);
                if own.is_empty() {
                    continue;
                }
                match self.legends.iter_mut().find(|(_, legend)| *legend == own) {
                    Some((letters, _)) if letters.ends_with(&part.letter) => {}
                    Some((letters, _)) => *letters = format!("{letters}, {}", part.letter),
                    None => self.legends.push((part.letter.clone(), own)),
                }
            }
        }
        if let [(letters, _)] = self.legends.as_mut_slice() {
            letters.clear();
        }
    }

    /// Gives all maps that show the same quantity in the same colours one scale, from the least to the greatest of
    /// theirs. Where all colour bars of the page say the same now, one stands for them to the right of all.
    pub fn share_colors(&mut self) {
        let bars: Vec<ColorBar> = self.bars().cloned().collect();
        for bar in &bars {
            let alike = |other: &&ColorBar| same_scale(bar, other);
            let range = bars
                .iter()
                .filter(alike)
                .map(|b| b.range)
                .fold(bar.range, |a, b| (a.0.min(b.0), a.1.max(b.1)));
            let wide = ColorBar { range, ..bar.clone() };
            for plot in self.parts.iter_mut().flat_map(|part| &mut part.figure.plots) {
                if plot.color_bar.as_ref().is_some_and(|own| same_scale(own, &wide)) {
                    rescale(&mut plot.marks, wide.map, plot.color_bar.as_ref(), range);
                    plot.color_bar = Some(wide.clone());
                }
            }
        }
        let alike = |first: &ColorBar| self.bars().all(|bar| bar == first);
        let shared = self.bars().next().filter(|first| alike(first)).cloned();
        if self.parts.len() > 1 && shared.is_some() {
            let plots = self.parts.iter_mut().flat_map(|part| &mut part.figure.plots);
            plots.for_each(|plot| plot.color_bar = None);
            self.bar = shared;
        }
    }

    fn bars(&self) -> impl Iterator<Item = &ColorBar> {
        self.parts.iter().flat_map(|p| &p.figure.plots).filter_map(|plot| plot.color_bar.as_ref())
    }

    /// Widths and heights in points of the parts on a page of `size` points: what their figures are drawn for.
    pub fn sizes(&self, size: [f32; 2], style: &Style) -> Vec<[f32; 2]> {
        let page = Rect { left: 0.0, top: 0.0, right: size[0], bottom: size[1] };
        let body = self.room(page, style).body;
        self.parts.iter().map(|part| self.cell(part.place, body, style)).map(size_of).collect()
    }

    /// Lays the page out at `size` (width, height) points.
    pub fn layout(&self, size: [f32; 2], style: &Style) -> Scene {
        let mut pen = Pen::on_page(size, style);
        let room = self.room(pen.page(), style);
        let mut first = 0;
        for part in &self.parts {
            pen.figure(&part.figure, self.cell(part.place, room.body, style), &part.letter, first);
            first += part.figure.plots.len();
        }
        let around = pen.page().shrunk(margin(pen.page(), style));
        if !self.title.is_empty() {
            pen.heading(&self.title, around, "");
        }
        let mut top = room.legend_top;
        for (letters, legend) in &self.legends {
            let left = self.letters_width(style);
            pen.letters(letters, [around.left, top]);
            let width = around.width() - left;
            let middle = around.left + left + 0.5 * width;
            pen.legend(legend, width, top, |row| middle - 0.5 * row);
            top += legend_height(legend, width, style);
        }
        if let Some(bar) = &self.bar {
            let axes = Rect { right: room.body.right, ..room.bar };
            let ticks = bar_ticks(bar, axes.height(), style);
            pen.bar(bar, &ticks, &bar.label, axes, (around.top, around.bottom));
        }
        pen.scene
    }

    /// What title, legend and colour bar leave of a page, and where they go.
    fn room(&self, page: Rect, style: &Style) -> Room {
        let air = margin(page, style);
        let mut body = page;
        if !self.title.is_empty() {
            body.top += 2.0 * font::HALF_LINE * style.title_size + 2.0;
        }
        if !self.legends.is_empty() {
            let width = page.width() - 2.0 * air - self.letters_width(style);
            let heights =
                self.legends.iter().map(|(_, legend)| legend_height(legend, width, style));
            body.bottom -= heights.sum::<f32>() + air;
        }
        let height = 0.6 * body.height();
        let middle = body.middle()[1];
        let bar = Rect { top: middle - 0.5 * height, bottom: middle + 0.5 * height, ..body };
        if let Some(shared) = &self.bar {
            let ticks = bar_ticks(shared, height, style);
            body.right -= bar_width(&ticks, &shared.label, style) + air;
        }
        Room { body, bar, legend_top: body.bottom }
    }

    /// What the letters before the legends take.
    fn letters_width(&self, style: &Style) -> f32 {
        let widths = self.legends.iter().map(|(letters, _)| match letters.as_str() {
            "" => 0.0,
            letters => style.family.width(letters, style.tick_size, true) + style.tick_size,
        });
        widths.fold(0.0, f32::max)
    }

    /// The part of the body that a place takes.
    fn cell(&self, place: Place, body: Rect, style: &Style) -> Rect {
        let columns = self.extent(|place| place.column + place.columns);
        let rows = self.extent(|place| place.row + place.rows);
        let gap = (style.tick_size).min(0.05 * body.width().min(body.height()));
        let x = stretches(&self.widths, columns, (body.left, body.right), gap);
        let y = stretches(&self.heights, rows, (body.top, body.bottom), gap);
        let last = |start: usize, count: usize, all: usize| (start + count.max(1)).min(all) - 1;
        Rect {
            left: x[place.column].0,
            right: x[last(place.column, place.columns, columns)].1,
            top: y[place.row].0,
            bottom: y[last(place.row, place.rows, rows)].1,
        }
    }

    fn extent(&self, end: impl Fn(&Place) -> usize) -> usize {
        self.parts.iter().map(|part| end(&part.place)).max().unwrap_or(1).max(1)
    }
}

struct Room {
    body: Rect,
    /// Height of the colour bar.
    bar: Rect,
    legend_top: f32,
}

fn size_of(cell: Rect) -> [f32; 2] {
    [cell.width().max(1.0), cell.height().max(1.0)]
}

/// Begin and end of each of `count` stretches of a line, with gaps between them.
fn stretches(weights: &[f32], count: usize, (from, to): (f32, f32), gap: f32) -> Vec<(f32, f32)> {
    let weight = |i: usize| weights.get(i).copied().filter(|w| *w > 0.0).unwrap_or(1.0);
    let total: f32 = (0..count).map(weight).sum();
    let room = (to - from) - gap * (count as f32 - 1.0);
    let mut at = from;
    let stretch = |i| {
        let start = at;
        let end = start + room * weight(i) / total;
        at = end + gap;
        (start, end)
    };
    (0..count).map(stretch).collect()
}

/// Whether two bars show the same quantity in the same way, over whatever range.
fn same_scale(a: &ColorBar, b: &ColorBar) -> bool {
    a.label == b.label && a.map == b.map && a.scaling == b.scaling
}

/// Gives the maps that a bar explains another range.
fn rescale(marks: &mut [Mark], map: ColorMap, bar: Option<&ColorBar>, range: (f32, f32)) {
    for mark in marks {
        if let Mark::Heat(heat) = mark
            && heat.map == map
            && bar.is_none_or(|bar| bar.range == heat.range)
        {
            heat.range = range;
        }
    }
}
