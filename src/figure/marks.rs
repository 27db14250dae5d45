//! From marks in axis coordinates to primitives on the page, and the areas that answer to the pointer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::color::Color;
use super::pen::{Line, Pen, Rect, held};
use super::scale::{Scale, number};
use super::scene::{Area, AreaPick, Item};
use super::style::Style;
use super::{Anchor, Cell, Cloud, Dash, Heat, HeatPick, Mark, Pick, Plot, Ticks, clip, dash, font};
use crate::base::convert::{self, narrow};

/// The axes of a plot on the page.
pub(super) struct Frame {
    pub x: Scale,
    pub y: Scale,
    pub rect: Rect,
}

impl Frame {
    fn place(&self, point: [f64; 2]) -> [f32; 2] {
        [self.x.at(point[0]), self.y.at(point[1])]
    }

    /// The part on the page of the rectangle between two corners in axis values, whichever way the axes run; `None` where it
    /// has no place, or lies outside.
    fn rect_of(&self, from: [f64; 2], to: [f64; 2]) -> Option<Rect> {
        self.rect_within(from, to, self.around())
    }

    fn rect_within(&self, from: [f64; 2], to: [f64; 2], around: Rect) -> Option<Rect> {
        let ([x0, y0], [x1, y1]) = (self.place(from), self.place(to));
        let has_place = [x0, y0, x1, y1].iter().all(|v| !v.is_nan());
        let meets = x0.max(x1) >= around.left
            && x0.min(x1) <= around.right
            && y0.max(y1) >= around.top
            && y0.min(y1) <= around.bottom;
        let across = |x: f32| x.clamp(around.left, around.right);
        let down = |y: f32| y.clamp(around.top, around.bottom);
        (has_place && meets).then(|| Rect {
            left: across(x0.min(x1)),
            right: across(x0.max(x1)),
            top: down(y0.min(y1)),
            bottom: down(y0.max(y1)),
        })
    }

    /// The axes and a point of air: a line along the edge keeps its width.
    fn around(&self) -> Rect {
        self.rect.shrunk(-AIR)
    }

    /// Whether a place is on the axes.
    fn holds(&self, [x, y]: [f32; 2]) -> bool {
        let around = self.around();
        (around.left..=around.right).contains(&x) && (around.top..=around.bottom).contains(&y)
    }

    /// So many points in parts of the two axes.
    fn parts(&self, points: f32) -> [f64; 2] {
        [self.rect.width(), self.rect.height()].map(|side| f64::from(points / side.max(1.0)))
    }
}

/// Points around the axes that belong to them.
const AIR: f32 = 1.0;

/// Draws all marks of a plot inside its axes, at its scale.
pub(super) fn draw(pen: &mut Pen<'_>, plot: &Plot, frame: &Frame) {
    let style = Style {
        mark_text: pen.style.mark_text * plot.scale,
        mark_width: pen.style.mark_width * plot.scale,
        label_size: pen.style.label_size * plot.scale,
        ..*pen.style
    };
    let mut scaled = Pen { scene: std::mem::take(&mut pen.scene), style: &style };
    draw_marks(&mut scaled, plot, frame);
    pen.scene = scaled.scene;
}

fn draw_marks(pen: &mut Pen<'_>, plot: &Plot, frame: &Frame) {
    let around = frame.around();
    pen.push(Item::Clip { min: around.min(), max: around.max() });
    let mut uprights = Vec::new();
    for mark in &plot.marks {
        match mark {
            Mark::Line { points, color, width, dash, .. } => {
                let width = width * pen.style.mark_width;
                let stroke = Stroke { color: *color, width, dash: *dash };
                polyline(pen, frame, points, &stroke);
            }
            Mark::Points { name, points, colors, diameter, picks } => {
                discs(pen, frame, &Discs { name, points, colors, diameter: *diameter, picks });
            }
            Mark::Heat(heat) => heat_map(pen, frame, plot, heat),
            Mark::Bars { name, at, values, base, width, color } => {
                let bar = Bars { name, at, values, base: *base, width: *width, color: *color };
                bars(pen, frame, plot, &bar);
            }
            Mark::Rect { from, to, fill, stroke, width } => {
                let width = width * pen.style.mark_width;
                // An outline is cut where it is not seen.
                let around = frame.around().shrunk(-width);
                if let Some(rect) = frame.rect_within(*from, *to, around) {
                    pen.rect(rect, *fill, stroke.map(|color| (color, width)));
                }
            }
            Mark::Frame { from, to, color, width } => {
                let width = width * pen.style.mark_width;
                if let Some(rect) = frame.rect_within(*from, *to, frame.around().shrunk(-width)) {
                    pen.rect(rect.shrunk(-0.5 * width), None, Some((*color, width)));
                }
            }
            Mark::Hatch { from, to, color } => {
                frame.rect_of(*from, *to).into_iter().for_each(|rect| hatch(pen, rect, *color));
            }
            Mark::Arrow { from, to, color, width } => {
                let width = width * pen.style.mark_width;
                arrow(pen, frame, [*from, *to], *color, width);
            }
            Mark::Arc { ends: [from, to], by: [after, before], color, width } => {
                let width = width * pen.style.mark_width;
                let points = bezier([*from, *after, *before, *to].map(|at| frame.place(at)));
                pen.push(Item::Polyline { points, color: *color, width, dash: Dash::Solid });
            }
            Mark::Text { at, text, color, anchor, size } => {
                let at = frame.place(*at);
                let size = size * pen.style.mark_text;
                if frame.holds(at) {
                    pen.text(&Line { at, text, size, color: *color, align: *anchor });
                }
            }
            Mark::Wedge { at, color } => {
                let at = frame.place(*at);
                if at.iter().all(|v| !v.is_nan()) {
                    wedge(pen, frame, at, *color);
                }
            }
            Mark::Upright { x, text, color, dash } => uprights.push((*x, text, *color, *dash)),
            Mark::Cells(cells) => {
                fills(pen, frame, cells);
                cells.iter().for_each(|cell| cell_box(pen, frame, cell));
            }
            Mark::Cloud(cloud) => draw_cloud(pen, plot, frame, cloud),
        }
    }
    for (x, _, color, dash) in &uprights {
        upright_line(pen, frame, *x, *color, *dash);
    }
    let labels: Vec<(f64, &str, Color)> =
        uprights.iter().map(|(x, text, color, _)| (*x, text.as_str(), *color)).collect();
    upright_labels(pen, frame, &labels);
    pen.push(Item::Unclip);
}

struct Stroke {
    color: Color,
    width: f32,
    dash: Dash,
}

/// A line with a gap wherever a point has no place, and a wedge wherever it leaves the axes.
fn polyline(pen: &mut Pen<'_>, frame: &Frame, points: &[[f64; 2]], stroke: &Stroke) {
    // Its ends are cut where they are not seen.
    let slack = frame.parts(AIR + stroke.width);
    let cut = clip::line(points, [&frame.x, &frame.y], slack);
    for run in &cut.runs {
        let places: Vec<[f32; 2]> = run.iter().map(|p| frame.place(*p)).collect();
        match places.as_slice() {
            [only] => pen.push(Item::Circle {
                center: *only,
                radius: stroke.width.max(0.8),
                fill: stroke.color,
            }),
            run => broken(pen, decimated(run), stroke),
        }
    }
    for exit in &cut.exits {
        wedge(pen, frame, frame.place(*exit), stroke.color);
    }
}

/// A stretch of a line. Where it is broken and rough its dashes are drawn one by one.
fn broken(pen: &mut Pen<'_>, points: Vec<[f32; 2]>, stroke: &Stroke) {
    let Stroke { color, width, dash: kind } = *stroke;
    let exact: Vec<[f64; 2]> = points.iter().map(|p| p.map(f64::from)).collect();
    match kind.lengths(width).filter(|_| dash::is_rough(&exact)) {
        None => pen.push(Item::Polyline { points, color, width, dash: kind }),
        Some(lengths) => {
            for piece in dash::pieces(&exact, lengths.map(f64::from)) {
                let points = piece.into_iter().map(|p| p.map(narrow)).collect();
                pen.push(Item::Polyline { points, color, width, dash: Dash::Solid });
            }
        }
    }
}

/// Length of a wedge, in points.
const WEDGE: f32 = 3.0;

/// Points from the edge nearest to a place to what lies beyond it; its tip.
fn wedge(pen: &mut Pen<'_>, frame: &Frame, at: [f32; 2], color: Color) -> [f32; 2] {
    let rect = frame.rect.shrunk(0.5);
    let tip = [held(at[0], 0.0, rect.left, rect.right), held(at[1], 0.0, rect.top, rect.bottom)];
    let edges = [
        (tip[1] - rect.top, [0.0, -1.0]),
        (rect.bottom - tip[1], [0.0, 1.0]),
        (tip[0] - rect.left, [-1.0, 0.0]),
        (rect.right - tip[0], [1.0, 0.0]),
    ];
    let nearest = edges.iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let [dx, dy]: [f32; 2] = nearest.map_or([0.0, -1.0], |edge| edge.1);
    // Both barbs are on the axes, even in a corner.
    let half = 0.6 * WEDGE;
    let tip = [
        held(tip[0], half * dy.abs(), rect.left, rect.right),
        held(tip[1], half * dx.abs(), rect.top, rect.bottom),
    ];
    let barb = |side: f32| {
        [tip[0] - WEDGE * dx - side * half * dy, tip[1] - WEDGE * dy - side * half * dx]
    };
    pen.push(Item::Polyline {
        points: vec![barb(1.0), tip, barb(-1.0)],
        color,
        width: 1.0,
        dash: Dash::Solid,
    });
    tip
}

/// A quarter of a point: finer than any screen or printer shows of a line.
const COLUMN: f32 = 0.25;

/// The first, lowest, highest and last point of every column; all points where that saves nothing, or where x
/// does not rise.
fn decimated(run: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let width = run[run.len() - 1][0] - run[0][0];
    let rising = run.windows(2).all(|w| w[1][0] >= w[0][0]);
    if !rising || (run.len() as f32) < 4.0 * width / COLUMN {
        return run.to_vec();
    }
    let mut kept = Vec::new();
    for column in run.chunk_by(|a, b| (a[0] / COLUMN).floor() == (b[0] / COLUMN).floor()) {
        let by_height = |a: &usize, b: &usize| column[*a][1].total_cmp(&column[*b][1]);
        let lowest = (0..column.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..column.len()).max_by(by_height).unwrap_or(0);
        let mut chosen = [0, lowest, highest, column.len() - 1];
        chosen.sort_unstable();
        let mut last = None;
        for index in chosen {
            if last != Some(index) {
                kept.push(column[index]);
                last = Some(index);
            }
        }
    }
    kept
}

/// Lines at 45 degrees, this far apart, in points.
const HATCH: f32 = 4.0;

fn hatch(pen: &mut Pen<'_>, rect: Rect, color: Color) {
    // A little short of the edges: the ends of lines are cut square to them.
    let inside = Rect { right: rect.right - 0.5, bottom: rect.bottom - 0.5, ..rect };
    hatched(pen, inside, inside, color);
}

/// The lines of a hatched rectangle, as far as they lie in a part of it.
fn hatched(pen: &mut Pen<'_>, whole: Rect, part: Rect, color: Color) {
    // Each line holds the points whose distances from the left and from the top add up to the same.
    let offset = part.left - whole.left + part.top - whole.top;
    let (width, height) = (part.width(), part.height());
    let mut x = HATCH / 2.0 + (((offset - HATCH / 2.0) / HATCH).ceil() * HATCH) - offset;
    while x < width + height {
        // The stretch of the line that is inside, by how far it has gone down.
        let (from, to) = ((x - width).max(0.0), x.min(height));
        let point = |down: f32| [part.left + x - down, part.top + down];
        if to > from {
            let points = vec![point(from), point(to)];
            pen.push(Item::Polyline { points, color, width: 0.5, dash: Dash::Solid });
        }
        x += HATCH;
    }
}

/// The sample of a legend for cells that do not exist.
pub(super) fn absent(pen: &mut Pen<'_>, square: Rect) {
    let color = pen.style.faint;
    if pen.style.hatched {
        hatched(pen, square, square, color);
    }
    pen.rect(square, None, Some((color, pen.style.line_width)));
}

/// Hatches what lies above the diagonal, row by row.
fn hatch_absent(pen: &mut Pen<'_>, frame: &Frame, heat: &Heat) {
    let color = pen.style.faint;
    let end = [heat.x(heat.columns), heat.rows as f64];
    let Some(whole) = frame.rect_of([0.0, 0.0], end) else { return };
    let rows = (0..heat.rows).filter(|row| row + 1 + heat.before < heat.columns);
    // The same family of lines in every row, so that they go on from one to the next.
    for row in rows {
        let from = [(row + 1) as f64, row as f64];
        if let Some(part) = frame.rect_of(from, [end[0], from[1] + 1.0]) {
            hatched(pen, whole, part, color);
        }
    }
}

struct Discs<'a> {
    name: &'a str,
    points: &'a [[f64; 2]],
    colors: &'a [Color],
    diameter: f32,
    picks: &'a [Pick],
}

fn discs(pen: &mut Pen<'_>, frame: &Frame, discs: &Discs<'_>) {
    let ink = pen.style.ink;
    for (i, point) in discs.points.iter().enumerate() {
        let place = frame.place(*point);
        if place.iter().any(|v| v.is_nan()) {
            continue;
        }
        let fill = discs.colors.get(i).or(discs.colors.last()).copied().unwrap_or(ink);
        let [x, y] = if frame.holds(place) {
            pen.push(Item::Circle { center: place, radius: discs.diameter / 2.0, fill });
            place
        } else {
            wedge(pen, frame, place, fill)
        };
        let Some(pick) = discs.picks.get(i) else { continue };
        // A finger's tip, not a needle's.
        let reach = (discs.diameter / 2.0).max(3.0);
        let place = format!("({}, {})", number(point[0]), number(point[1]));
        let hover = match discs.name {
            "" => place,
            name => format!("{name} {place}"),
        };
        pen.area(Area::one([x - reach, y - reach], [x + reach, y + reach], pick.clone(), hover));
    }
}

fn heat_map(pen: &mut Pen<'_>, frame: &Frame, plot: &Plot, heat: &Heat) {
    let (rows, columns) = (heat.rows, heat.columns);
    if rows == 0 || columns == 0 || heat.values.len() < rows * columns {
        return;
    }
    let corner = frame.place([heat.x(0), 0.0]);
    let opposite = frame.place([heat.x(columns), rows as f64]);
    let (flip_x, flip_y) = (opposite[0] < corner[0], opposite[1] < corner[1]);
    let (across, down) = (seen(&frame.x, heat.x(0), columns), seen(&frame.y, 0.0, rows));
    if across.is_empty() || down.is_empty() {
        return;
    }
    // Whole cells: what is cut of the outermost is the clip's to cut.
    let from = frame.place([heat.x(across.start), down.start as f64]);
    let to = frame.place([heat.x(across.end), down.end as f64]);
    let rect = Rect {
        left: from[0].min(to[0]),
        right: from[0].max(to[0]),
        top: from[1].min(to[1]),
        bottom: from[1].max(to[1]),
    };
    let in_order = |range: &Range<usize>, flip: bool| -> Vec<usize> {
        if flip { range.clone().rev().collect() } else { range.clone().collect() }
    };
    let order = in_order(&across, flip_x);
    let mut pixels = Vec::with_capacity(across.len() * down.len());
    for row in in_order(&down, flip_y) {
        let color = |column: &usize| match heat.hides(row, *column) {
            true => heat.unseen,
            false => cell_color(heat, row, *column),
        };
        pixels.extend(order.iter().map(color));
    }
    pen.push(Item::Image {
        min: rect.min(),
        max: rect.max(),
        columns: across.len(),
        rows: down.len(),
        pixels: pixels.into(),
    });
    if heat.causal && pen.style.hatched {
        hatch_absent(pen, frame, heat);
    }
    let inside = |v: f32, low: f32, high: f32| v.clamp(low, high);
    let bounds = frame.rect;
    pen.area(Area {
        min: [
            inside(rect.left, bounds.left, bounds.right),
            inside(rect.top, bounds.top, bounds.bottom),
        ],
        max: [
            inside(rect.right, bounds.left, bounds.right),
            inside(rect.bottom, bounds.top, bounds.bottom),
        ],
        pick: AreaPick::Heat(heat.clone()),
        frame: [corner, opposite],
        labels: match heat.pick {
            HeatPick::QueryKey => {
                [names(&plot.y.ticks, 0, rows), names(&plot.x.ticks, heat.before, columns)]
            }
            HeatPick::Nothing
            | HeatPick::Named { .. }
            | HeatPick::Cells { .. }
            | HeatPick::Lanes { .. } => Default::default(),
        },
    });
}

/// The cells of an axis that are in its range; the first begins at `first`.
fn seen(scale: &Scale, first: f64, count: usize) -> Range<usize> {
    let (low, high) = (scale.range.0.min(scale.range.1), scale.range.0.max(scale.range.1));
    // A cell whose edge alone is there is not.
    let from = ((low + 1e-9).floor() - first).clamp(0.0, count as f64);
    let to = ((high - 1e-9).ceil() - first).clamp(0.0, count as f64);
    convert::index(from)..convert::index(to)
}

/// The colour of a cell; transparent where there is none.
pub(super) fn cell_color(heat: &Heat, row: usize, column: usize) -> Color {
    if !exists(heat, row, column) {
        return Color::TRANSPARENT;
    }
    heat.map.at(heat.shade(row, column))
}

/// Whether a cell is there at all: not in the causal triangle, and not NaN.
pub(super) fn exists(heat: &Heat, row: usize, column: usize) -> bool {
    !heat.hides(row, column)
        && heat.values.get(row * heat.columns + column).is_some_and(|v| !v.is_nan())
}

/// The names of the cells of an axis, of which so many are before 0; empty where it has none.
fn names(ticks: &Ticks, before: usize, count: usize) -> Arc<[String]> {
    let name = |cell: usize| ticks.name(cell as f64 - before as f64).to_owned();
    match ticks {
        Ticks::Auto | Ticks::Hidden => Arc::default(),
        _ if before > 0 => (0..count).map(name).collect(),
        Ticks::Each(names) | Ticks::Around { names, .. } => names.clone(),
        Ticks::At(list) => {
            let mut names = vec![String::new(); count];
            for (value, text) in list {
                if let Some(name) = names.get_mut(convert::index(value.floor())) {
                    name.clone_from(text);
                }
            }
            names.into()
        }
    }
}

struct Bars<'a> {
    name: &'a str,
    at: &'a [f64],
    values: &'a [f64],
    base: f64,
    width: f64,
    color: Color,
}

fn bars(pen: &mut Pen<'_>, frame: &Frame, plot: &Plot, bars: &Bars<'_>) {
    for (at, value) in bars.at.iter().zip(bars.values) {
        if value.is_nan() {
            continue;
        }
        let half = bars.width / 2.0;
        let Some(rect) = frame.rect_of([at - half, bars.base], [at + half, *value]) else {
            continue;
        };
        pen.rect(rect, Some(bars.color), None);
        if !frame.y.contains(*value) {
            let end = if frame.y.at(*value) < rect.bottom { rect.top } else { rect.bottom };
            wedge(pen, frame, [rect.middle()[0], end], bars.color.ink_on());
        }
        let place = if plot.x.ticks.are_names() { at.floor() } else { *at };
        let place = match plot.x.ticks.name(at.floor()) {
            "" => number(place),
            name if plot.x.ticks.are_of_units() && *at >= 0.0 => {
                format!("{} '{name}'", number(place))
            }
            name => format!("'{name}'"),
        };
        let hover = format!("{} at {place}: {}", bars.name, number(*value));
        pen.area(Area::one(rect.min(), rect.max(), Pick::Nothing, hover));
    }
    if frame.y.contains(bars.base) {
        let (y, rect) = (frame.y.at(bars.base), frame.rect);
        pen.line([rect.left, y], [rect.right, y], pen.style.ink, pen.style.line_width);
    }
}

/// Points along a cubic Bézier curve, close enough to look round.
fn bezier([a, b, c, d]: [[f32; 2]; 4]) -> Vec<[f32; 2]> {
    const PARTS: u8 = 24;
    let at = |t: f32| {
        let s = 1.0 - t;
        [0, 1].map(|i| s * s * s * a[i] + 3.0 * s * t * (s * b[i] + t * c[i]) + t * t * t * d[i])
    };
    (0..=PARTS).map(|i| at(f32::from(i) / f32::from(PARTS))).collect()
}

/// A shaft with two barbs, drawn as lines.
fn arrow(pen: &mut Pen<'_>, frame: &Frame, ends: [[f64; 2]; 2], color: Color, width: f32) {
    let Some(stretch) = clip::segment(ends[0], ends[1], [&frame.x, &frame.y]) else { return };
    let [from, to] = stretch.map(|end| frame.place(end));
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let length = dx.hypot(dy);
    if !(length > 0.0 && length.is_finite()) {
        return;
    }
    let (ux, uy) = (dx / length, dy / length);
    let barb = (3.0 + 2.0 * width).min(0.6 * length);
    let end = |side: f32| {
        [to[0] - barb * (0.9 * ux - 0.45 * side * uy), to[1] - barb * (0.9 * uy + 0.45 * side * ux)]
    };
    pen.line(from, to, color, width);
    pen.push(Item::Polyline {
        points: vec![end(1.0), to, end(-1.0)],
        color,
        width,
        dash: Dash::Solid,
    });
}

fn upright_line(pen: &mut Pen<'_>, frame: &Frame, x: f64, color: Color, dash: Dash) {
    if !frame.x.contains(x) {
        return;
    }
    let (place, rect) = (frame.x.at(x), frame.rect);
    let points = vec![[place, rect.bottom], [place, rect.top]];
    pen.push(Item::Polyline { points, color, width: pen.style.line_width.max(0.7), dash });
}

/// Labels of upright lines at the top of the plot, one below the other where they would overlap; a label that
/// finds no room in the upper third is left to the hover, for the data come first.
fn upright_labels(pen: &mut Pen<'_>, frame: &Frame, uprights: &[(f64, &str, Color)]) {
    let (size, rect) = (pen.style.tick_size, frame.rect);
    let line_height = 2.0 * font::HALF_LINE * size;
    let mut taken: Vec<Vec<(f32, f32)>> =
        vec![Vec::new(); convert::index((rect.height() / 3.0 / line_height).floor())];
    for (x, text, color) in uprights {
        if !frame.x.contains(*x) {
            continue;
        }
        let place = frame.x.at(*x);
        pen.area(Area::one(
            [place - 3.0, rect.top],
            [place + 3.0, rect.bottom],
            Pick::Nothing,
            (*text).to_owned(),
        ));
        let shown = font::shown(text);
        let width = pen.style.family.width(&shown, size, false);
        if text.is_empty() || width > rect.width() {
            continue;
        }
        let left =
            if place + 2.0 + width <= rect.right { place + 2.0 } else { place - 2.0 - width };
        let left = left.max(rect.left);
        let clear = |row: &Vec<(f32, f32)>| row.iter().all(|(a, b)| left > *b || left + width < *a);
        let Some(row) = taken.iter().position(clear) else { continue };
        taken[row].push((left - 3.0, left + width + 3.0));
        let y = rect.top + (row as f32 + 0.5) * line_height;
        let behind = Rect {
            left: left - 1.0,
            right: left + width + 1.0,
            top: y - 0.5 * line_height,
            bottom: y + 0.5 * line_height,
        };
        let paper = pen.style.paper.alpha(215);
        pen.rect(behind, Some(paper), None);
        pen.text(&Line { at: [left, y], text: &shown, size, color: *color, align: Anchor::Left });
    }
}

/// The fills of boxes without an outline. Where two of them touch, the first reaches under the whole of the second, as in
/// [`super::cells`]: nothing shines through between them.
fn fills(pen: &mut Pen<'_>, frame: &Frame, cells: &[Cell]) {
    let flat = cells.iter().filter(|cell| cell.stroke.is_none());
    let filled = flat.filter_map(|cell| Some((frame.rect_of(cell.from, cell.to)?, cell.fill?)));
    let mut boxes: Vec<(Rect, Color)> = filled.collect();
    boxes.sort_by(|(a, _), (b, _)| a.top.total_cmp(&b.top).then(a.left.total_cmp(&b.left)));
    // Places in parts of a point that no eye sees.
    let place =
        |x: f32, y: f32| (convert::whole((x * 64.0).round()), convert::whole((y * 64.0).round()));
    let opaque: BTreeMap<(i64, i64), Rect> = boxes
        .iter()
        .filter(|(_, color)| color.a == 255)
        .map(|(rect, _)| (place(rect.left, rect.top), *rect))
        .collect();
    let at = |x: f32, y: f32| opaque.get(&place(x, y)).copied();
    for (rect, color) in boxes {
        if color.a < 255 {
            pen.rect(rect, Some(color), None);
            continue;
        }
        let alike = |a: f32, b: f32| (a - b).abs() < 1.0 / 64.0;
        let right = at(rect.right, rect.top).filter(|r| alike(r.bottom, rect.bottom));
        let below = at(rect.left, rect.bottom).filter(|r| alike(r.right, rect.right));
        let wide = Rect { right: right.map_or(rect.right, |r| r.right), ..rect };
        let high = Rect { bottom: below.map_or(rect.bottom, |r| r.bottom), ..rect };
        if at(rect.right, rect.bottom).is_some() {
            pen.rect(Rect { bottom: high.bottom, ..wide }, Some(color), None);
        } else {
            pen.rect(wide, Some(color), None);
            if below.is_some() {
                pen.rect(high, Some(color), None);
            }
        }
    }
}

fn cell_box(pen: &mut Pen<'_>, frame: &Frame, cell: &Cell) {
    let Some(rect) = frame.rect_of(cell.from, cell.to) else { return };
    if cell.stroke.is_some() {
        let width = pen.style.line_width;
        pen.rect(rect, cell.fill, cell.stroke.map(|color| (color, 2.0 * width)));
    }
    // Text smaller than this cannot be read.
    const SMALLEST: f32 = 4.0;
    let mut size = pen.style.label_size.min(0.8 * rect.height());
    if size >= SMALLEST {
        let (family, shown) = (pen.style.family, font::shown(&cell.text));
        let room = rect.width() - 1.0;
        let mut text = family.fit(&shown, size, room);
        // A sign of which nothing would be left is written smaller.
        if text.is_empty() && !shown.is_empty() {
            size = (size * room / family.width(&shown, size, false)).max(SMALLEST);
            text = family.fit(&shown, size, rect.width());
        }
        let [x, y] = rect.middle();
        let x = held(x, 0.5 * family.width(&text, size, false), rect.left, rect.right);
        let line = Line { at: [x, y], text: &text, size, color: cell.ink, align: Anchor::Center };
        pen.text(&line);
    }
    if cell.pick != Pick::Nothing || !cell.hover.is_empty() {
        pen.area(Area::one(rect.min(), rect.max(), cell.pick.clone(), cell.hover.clone()));
    }
}

fn draw_cloud(pen: &mut Pen<'_>, plot: &Plot, frame: &Frame, cloud: &Cloud) {
    let range = |(a, b): (f64, f64)| (narrow(a), narrow(b));
    let (min, max) = (frame.rect.min(), frame.rect.max());
    let (x, y) = (range(plot.x.range), range(plot.y.range));
    pen.push(Item::Cloud { min, max, cloud: Box::new(cloud.clone()), x, y });
    pen.area(Area {
        min,
        max,
        pick: AreaPick::Cloud(Box::new(cloud.clone())),
        frame: [[frame.x.at(0.0), frame.y.at(0.0)], [frame.x.at(1.0), frame.y.at(1.0)]],
        labels: Default::default(),
    });
}
