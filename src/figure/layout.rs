//! From a figure and a size to a scene: where titles, axes, ticks, legends, colour bars and plots go.
//!
//! What does not fit is left out in a fixed order (legend, axis labels, colour bar, ticks, titles), so that the
//! same figure serves as a thumbnail and at full width.

use super::color::Color;
use super::font::{Family, Typeface};
use super::marks::{self, Frame};
use super::scale::{self, Scale, Tick};
use super::scene::{Area, AreaPick, Item, Scene};
use super::{Anchor, Axis, ColorBar, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks, font};

/// Sizes and colours of everything that is not data. Sizes are in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub title_size: f32,
    pub label_size: f32,
    pub tick_size: f32,
    /// Width of axis lines and ticks.
    pub line_width: f32,
    /// Text and lines of the data, in parts of what the panel says.
    pub mark_text: f32,
    pub mark_width: f32,
    pub family: Typeface,
    /// Cells that do not exist, above the diagonal of a causal map, are hatched instead of left as paper.
    pub hatched: bool,
    pub paper: Color,
    pub ink: Color,
    /// Text and lines of second rank.
    pub faint: Color,
    pub dark: bool,
}

impl Style {
    /// For print: 5 to 8 pt, as journals ask.
    pub const fn light() -> Self {
        Self {
            title_size: 8.0,
            label_size: 7.0,
            tick_size: 6.0,
            line_width: 0.5,
            mark_text: 1.0,
            mark_width: 1.0,
            family: Typeface::of(Family::Sans),
            hatched: false,
            paper: Color::rgb(255, 255, 255),
            ink: Color::rgb(20, 20, 20),
            faint: Color::rgb(110, 110, 110),
            dark: false,
        }
    }

    pub const fn dark() -> Self {
        Self {
            paper: Color::rgb(24, 25, 28),
            ink: Color::rgb(232, 232, 232),
            faint: Color::rgb(150, 152, 156),
            dark: true,
            ..Self::light()
        }
    }

    /// How tick labels are written.
    fn ticks(&self) -> Lettering {
        Lettering { family: self.family, size: self.tick_size }
    }

    /// The same look with all texts and lines larger or smaller.
    #[must_use]
    pub fn scaled(self, factor: f32) -> Self {
        Self {
            title_size: self.title_size * factor,
            label_size: self.label_size * factor,
            tick_size: self.tick_size * factor,
            line_width: self.line_width * factor,
            ..self
        }
    }
}

/// A family and a size in points.
#[derive(Clone, Copy)]
struct Lettering {
    family: Typeface,
    size: f32,
}

impl Lettering {
    fn width(self, text: &str) -> f32 {
        self.family.width(text, self.size, false)
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::light()
    }
}

/// Lays a figure out on a page of `size` (width, height) points.
pub fn layout(figure: &Figure, size: [f32; 2], style: &Style) -> Scene {
    let mut pen = Pen::on_page(size, style);
    let page = pen.page();
    pen.figure(figure, page, "", 0);
    pen.scene
}

/// Half a line of air around everything, less on a thumbnail.
pub(super) fn margin(page: Rect, style: &Style) -> f32 {
    (0.6 * style.tick_size).min(0.04 * page.width().min(page.height()))
}

/// A rectangle of the page, in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Rect {
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    pub fn middle(&self) -> [f32; 2] {
        [f32::midpoint(self.left, self.right), f32::midpoint(self.top, self.bottom)]
    }

    pub fn min(&self) -> [f32; 2] {
        [self.left, self.top]
    }

    pub fn max(&self) -> [f32; 2] {
        [self.right, self.bottom]
    }

    pub fn shrunk(self, by: f32) -> Self {
        Self {
            left: self.left + by,
            top: self.top + by,
            right: self.right - by,
            bottom: self.bottom - by,
        }
    }
}

/// Row and column of each plot in the grid; a wide one has a row to itself.
fn places(plots: &[Plot], columns: usize) -> Vec<(usize, usize)> {
    let (mut places, mut row, mut column) = (Vec::with_capacity(plots.len()), 0, 0);
    for plot in plots {
        if column > 0 && (plot.wide || column == columns) {
            (row, column) = (row + 1, 0);
        }
        places.push((row, column));
        column = if plot.wide { columns } else { column + 1 };
    }
    places
}

/// The cells of the plots, row by row.
fn grid(plots: &[Plot], places: &[(usize, usize)], body: Rect, style: &Style) -> Vec<Rect> {
    let columns = places.iter().map(|(_, column)| column + 1).max().unwrap_or(1);
    let mut weights = vec![1e-3f32; places.last().map_or(1, |(row, _)| row + 1)];
    for (plot, (row, _)) in plots.iter().zip(places) {
        weights[*row] = weights[*row].max(plot.weight);
    }
    let gap = |room: f32, n: usize| (1.4 * style.tick_size).min(0.12 * room / n as f32);
    let (gap_x, gap_y) = (gap(body.width(), columns), gap(body.height(), weights.len()));
    let width = (body.width() - gap_x * (columns as f32 - 1.0)) / columns as f32;
    let height = body.height() - gap_y * (weights.len() as f32 - 1.0);
    let total: f32 = weights.iter().sum();
    let tops: Vec<f32> = weights
        .iter()
        .scan(body.top, |top, weight| {
            let here = *top;
            *top += height * weight / total + gap_y;
            Some(here)
        })
        .collect();
    let cell = |(plot, (row, column)): (&Plot, &(usize, usize))| {
        let left = body.left + *column as f32 * (width + gap_x);
        let right = if plot.wide { body.right } else { left + width };
        let top = tops[*row];
        Rect { left, top, right, bottom: top + height * weights[*row] / total }
    };
    plots.iter().zip(places).map(cell).collect()
}

/// What of a plot's surroundings is drawn.
#[derive(Clone, Copy)]
struct Detail {
    legend: bool,
    labels: bool,
    color_bar: bool,
    ticks: bool,
    title: bool,
}

/// From everything to nothing.
const DETAILS: [Detail; 6] = [
    Detail { legend: true, labels: true, color_bar: true, ticks: true, title: true },
    Detail { legend: false, labels: true, color_bar: true, ticks: true, title: true },
    Detail { legend: false, labels: false, color_bar: true, ticks: true, title: true },
    Detail { legend: false, labels: false, color_bar: false, ticks: true, title: true },
    Detail { legend: false, labels: false, color_bar: false, ticks: false, title: true },
    Detail { legend: false, labels: false, color_bar: false, ticks: false, title: false },
];

/// Room around the axes, in points.
#[derive(Clone, Copy, Default)]
struct Margins {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
}

/// How a plot will be drawn in its cell.
struct Plan<'a> {
    plot: &'a Plot,
    cell: Rect,
    detail: Detail,
    margins: Margins,
    y_ticks: Vec<Tick>,
    /// Labels of x ticks stand upright, because they would overlap lying down.
    x_upright: bool,
    bar_ticks: Vec<Tick>,
}

impl<'a> Plan<'a> {
    fn new(plot: &'a Plot, cell: Rect, style: &Style) -> Self {
        let plans = DETAILS.into_iter().map(|detail| Self::with(plot, cell, detail, style));
        let mut last = None;
        for plan in plans {
            let inner = plan.room();
            // Less than half of the cell for the data is too little.
            if inner.width() >= 0.5 * cell.width() && inner.height() >= 0.5 * cell.height() {
                return plan;
            }
            last = Some(plan);
        }
        last.unwrap_or_else(|| Self::with(plot, cell, DETAILS[5], style))
    }

    fn with(plot: &'a Plot, cell: Rect, detail: Detail, style: &Style) -> Self {
        let line = 2.0 * font::HALF_LINE;
        let mut plan = Self {
            plot,
            cell,
            detail,
            margins: Margins::default(),
            y_ticks: Vec::new(),
            x_upright: false,
            bar_ticks: Vec::new(),
        };
        let m = &mut plan.margins;
        if detail.title && !plot.title.is_empty() {
            m.top += line * style.label_size;
        }
        if detail.legend && !plot.legend.is_empty() {
            m.top += legend_height(&plot.legend, cell.width() * 0.8, style);
        }
        if m.top > 0.0 {
            m.top += head_gap(plot, detail, style);
        }
        if detail.labels && !plot.y.label.is_empty() {
            m.left += line * style.label_size + LABEL_GAP;
        }
        if detail.labels && !plot.x.label.is_empty() {
            m.bottom += line * style.label_size + 0.5 * LABEL_GAP;
        }
        if detail.ticks {
            plan.make_room_for_ticks(style);
        }
        if let (true, Some(bar)) = (detail.color_bar, &plot.color_bar) {
            plan.make_room_for_bar(bar, style);
        }
        plan
    }

    fn make_room_for_ticks(&mut self, style: &Style) {
        let (plot, size) = (self.plot, style.tick_size);
        let outside = tick_length(&plot.y) + TICK_GAP;
        let height = self.cell.height() - self.margins.top - self.margins.bottom - 2.0 * size;
        if plot.y.ticks != Ticks::Hidden {
            self.y_ticks = ticks_of(&plot.y, (height / (2.6 * size)).floor().max(3.0) as usize);
            self.margins.left += widest(&self.y_ticks, style.ticks()) + outside;
            self.margins.top = self.margins.top.max(font::HALF_LINE * size);
            self.margins.bottom = self.margins.bottom.max(font::HALF_LINE * size);
        }
        if plot.x.ticks != Ticks::Hidden {
            let outside = below_axes(plot, style);
            let width = self.cell.width() - self.margins.left - self.margins.right;
            let ticks = x_ticks(&plot.x, width, style.ticks());
            let longest = widest(&ticks, style.ticks());
            let scale = Scale::new(plot.x.range, plot.x.log, (0.0, width));
            let named = plot.x.ticks.are_names();
            let lying = tick_fit(&ticks, &scale, style.ticks(), named, false).1;
            let upright = tick_fit(&ticks, &scale, style.ticks(), named, true).1;
            self.x_upright = named && upright < lying && longest <= 0.25 * self.cell.height();
            self.margins.bottom +=
                outside + if self.x_upright { longest } else { 2.0 * font::HALF_LINE * size };
            if !self.x_upright {
                self.margins.right = self.margins.right.max(0.5 * longest);
                self.margins.left = self.margins.left.max(0.5 * longest);
            }
        }
    }

    fn make_room_for_bar(&mut self, bar: &ColorBar, style: &Style) {
        let height = self.cell.height() - self.margins.top - self.margins.bottom;
        self.bar_ticks = bar_ticks(bar, height, style);
        let label = if self.detail.labels { bar.label.as_str() } else { "" };
        let width = bar_width(&self.bar_ticks, label, style);
        self.margins.right = self.margins.right.max(width);
        self.margins.top = self.margins.top.max(font::HALF_LINE * style.tick_size);
    }

    /// The room that the margins leave.
    fn room(&self) -> Rect {
        Rect {
            left: self.cell.left + self.margins.left,
            top: self.cell.top + self.margins.top,
            right: self.cell.right - self.margins.right,
            bottom: self.cell.bottom - self.margins.bottom,
        }
    }

    /// The rectangle of the axes: the room, or less of it where both axes have one unit.
    fn axes(&self) -> Rect {
        let room = self.room();
        if !self.plot.equal {
            return room;
        }
        let units = |axis: &Axis| {
            let (low, high) = Scale::new(axis.range, axis.log, (0.0, 1.0)).range;
            (high - low).abs()
        };
        let (x, y) = (units(&self.plot.x), units(&self.plot.y));
        let (width, height) = (f64::from(room.width()), f64::from(room.height()));
        let unit = (width / x).min(height / y).max(0.0);
        let spare = [(width - unit * x) as f32, (height - unit * y) as f32];
        Rect {
            left: room.left + spare[0] / 2.0,
            right: room.right - spare[0] / 2.0,
            top: room.top + spare[1] / 2.0,
            bottom: room.bottom - spare[1] / 2.0,
        }
    }

    fn frame(&self, axes: Rect) -> Frame {
        let (x, y) = (&self.plot.x, &self.plot.y);
        Frame {
            x: Scale::new(x.range, x.log, (axes.left, axes.right)),
            y: Scale::new(y.range, y.log, (axes.bottom, axes.top)),
            rect: axes,
        }
    }

    /// Heat maps and clouds stand in a box; other plots have axis lines where they have ticks.
    fn boxed(&self) -> bool {
        self.plot.marks.iter().any(|m| matches!(m, Mark::Heat(_) | Mark::Cloud(_)))
    }
}

/// Plots of one column share their left and right margins, those of one row top and bottom, so that axes line up.
fn align(plans: &mut [Plan<'_>], places: &[(usize, usize)]) {
    let wide: Vec<bool> = plans.iter().map(|plan| plan.plot.wide).collect();
    let of_column = |i: usize, j: usize| wide[i] == wide[j] && places[i].1 == places[j].1;
    let of_row = |i: usize, j: usize| places[i].0 == places[j].0;
    let tallest =
        |plans: &[Plan<'_>], line: &dyn Fn(usize) -> bool, of: &dyn Fn(&Margins) -> f32| {
            let chosen = plans.iter().enumerate().filter(|(i, _)| line(*i));
            chosen.map(|(_, p)| of(&p.margins)).fold(0.0, f32::max)
        };
    for i in 0..plans.len() {
        let margins = Margins {
            left: tallest(plans, &|j| of_column(i, j), &|m| m.left),
            right: tallest(plans, &|j| of_column(i, j), &|m| m.right),
            top: tallest(plans, &|j| of_row(i, j), &|m| m.top),
            bottom: tallest(plans, &|j| of_row(i, j), &|m| m.bottom),
        };
        plans[i].margins = margins;
    }
}

/// Room between tick labels and the label of the axis, in points.
const LABEL_GAP: f32 = 2.0;
/// Length of a tick, and the room between it and its label, in points.
const TICK: f32 = 2.0;
const TICK_GAP: f32 = 1.5;
/// The colour bar: room to the axes, and width.
const BAR_GAP: f32 = 6.0;
const BAR_WIDTH: f32 = 6.0;

/// The ticks of a colour bar of a height. A scale is read from two labels at least.
pub(super) fn bar_ticks(bar: &ColorBar, height: f32, style: &Style) -> Vec<Tick> {
    let most = (height / (3.0 * style.tick_size)).floor().clamp(2.0, 6.0) as usize;
    let range = (f64::from(bar.range.0), f64::from(bar.range.1));
    let labelled = |ticks: &Vec<Tick>| ticks.iter().filter(|t| !t.label.is_empty()).count();
    (most..=8)
        .map(|most| scale::ticks(range, bar.log, most))
        .find(|ticks| labelled(ticks) >= 2)
        .unwrap_or_default()
}

/// What a colour bar takes beside the axes, with its label if it has one.
pub(super) fn bar_width(ticks: &[Tick], label: &str, style: &Style) -> f32 {
    let label = if label.is_empty() { 0.0 } else { 2.0 * font::HALF_LINE * style.label_size + 1.0 };
    BAR_GAP + BAR_WIDTH + TICK_GAP + TICK + widest(ticks, style.ticks()) + label
}

/// Room between the axes and what stands above them: the highest label of a colour bar reaches into it.
fn head_gap(plot: &Plot, detail: Detail, style: &Style) -> f32 {
    let bar = detail.color_bar && plot.color_bar.is_some();
    if bar { 0.5 * style.tick_size } else { 2.0 }
}

/// From the axes to the labels below: clear of a label beside the lower end of the y axis.
fn below_axes(plot: &Plot, style: &Style) -> f32 {
    let corner = if plot.y.ticks == Ticks::Auto { 0.5 * style.tick_size } else { 0.0 };
    (tick_length(&plot.x) + TICK_GAP).max(corner)
}

/// Named ticks stand beside what they name and need no line.
fn tick_length(axis: &Axis) -> f32 {
    if axis.ticks.are_names() { 0.0 } else { TICK }
}

/// The ticks of an axis inside its range, at most `most` with automatic labels.
fn ticks_of(axis: &Axis, most: usize) -> Vec<Tick> {
    let scale = Scale::new(axis.range, axis.log, (0.0, 1.0));
    match &axis.ticks {
        Ticks::Auto => scale::ticks(axis.range, axis.log, most),
        Ticks::Hidden => Vec::new(),
        Ticks::At(list) => list
            .iter()
            .filter(|(value, _)| scale.contains(*value))
            .map(|(value, text)| Tick { value: *value, label: font::shown(text).into_owned() })
            .collect(),
        // A name takes the height of a line, in the smallest size of `tick_fit`; an automatic label takes 2.6 lines
        // with the air around it.
        Ticks::Each(names) => named_or_numbered(axis, names, (2.9 * most as f32) as usize, most),
    }
}

/// The names of all cells in range if they are no more than `fitting`, else the numbers of at most `most`.
fn named_or_numbered(axis: &Axis, names: &[String], fitting: usize, most: usize) -> Vec<Tick> {
    let scale = Scale::new(axis.range, axis.log, (0.0, 1.0));
    let middle = |index: usize| index as f64 + 0.5;
    let shown: Vec<usize> = (0..names.len()).filter(|i| scale.contains(middle(*i))).collect();
    if shown.len() > fitting {
        let mut ticks = scale::ticks(axis.range, axis.log, most.max(2));
        ticks.retain(|tick| tick.value.fract() == 0.0 && scale.contains(tick.value + 0.5));
        ticks.iter_mut().for_each(|tick| tick.value += 0.5);
        return ticks;
    }
    let tick = |i: usize| Tick { value: middle(i), label: font::shown(&names[i]).into_owned() };
    shown.into_iter().map(tick).collect()
}

/// As many automatic ticks as stand side by side.
fn x_ticks(axis: &Axis, width: f32, text: Lettering) -> Vec<Tick> {
    let size = text.size;
    let most = (width / (2.5 * size)).floor().clamp(2.0, 12.0) as usize;
    if let Ticks::Each(names) = &axis.ticks {
        // Upright names stand as close as lines of text, in the smallest size of `tick_fit`.
        let fitting = (width / (1.05 * SMALLER[2] * size)) as usize;
        return named_or_numbered(axis, names, fitting, most);
    }
    if axis.ticks != Ticks::Auto {
        return ticks_of(axis, 0);
    }
    let scale = Scale::new(axis.range, axis.log, (0.0, width));
    (1..=most)
        .rev()
        .map(|most| ticks_of(axis, most))
        .find(|ticks| tick_stride(ticks, &scale, text, false, false) == 1)
        .unwrap_or_default()
}

/// Every how many-th tick label can be drawn without touching the next, at a size. `across`: labels are read
/// across the axis (beside the y axis, or upright), so that their height counts.
fn tick_stride(ticks: &[Tick], scale: &Scale, text: Lettering, named: bool, across: bool) -> usize {
    let size = text.size;
    let extents: Vec<(f32, f32)> = ticks
        .iter()
        .filter(|t| !t.label.is_empty())
        .map(|t| {
            let width = text.width(&t.label);
            (scale.at(t.value), if across { 0.5 * size } else { 0.5 * width })
        })
        .collect();
    // Named ticks may stand closer: tokens are read as a text.
    let gap = match (across, named) {
        (true, true) => 0.05 * size,
        (true, false) => 0.5 * size,
        (false, true) => 0.2 * size,
        (false, false) => 0.8 * size,
    };
    scale::stride(&extents, gap).max(1)
}

/// Sizes of named tick labels in parts of the tick size, the first that shows all of them is taken.
const SMALLER: [f32; 3] = [1.0, 0.92, 0.84];

/// Size and stride of tick labels: named ones are set a little smaller (not below 5 pt in print) where that shows
/// all of them.
fn tick_fit(
    ticks: &[Tick],
    scale: &Scale,
    text: Lettering,
    named: bool,
    across: bool,
) -> (f32, usize) {
    let sizes = SMALLER.iter().take(if named { 3 } else { 1 }).map(|factor| factor * text.size);
    let stride = |size: f32| tick_stride(ticks, scale, Lettering { size, ..text }, named, across);
    match sizes.into_iter().find(|size| stride(*size) == 1) {
        Some(size) => (size, 1),
        None => (text.size, stride(text.size)),
    }
}

fn widest(ticks: &[Tick], text: Lettering) -> f32 {
    ticks.iter().map(|t| text.width(&t.label)).fold(0.0, f32::max)
}

/// Entries of a legend broken into rows of at most a width.
fn legend_rows<'a>(
    entries: &'a [LegendEntry],
    width: f32,
    style: &Style,
) -> Vec<Vec<&'a LegendEntry>> {
    let mut rows: Vec<Vec<&LegendEntry>> = Vec::new();
    let mut used = 0.0;
    for entry in entries {
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
    if entry.line { 1.6 } else { 0.75 }
}

/// Writes a scene.
pub(super) struct Pen<'a> {
    pub scene: Scene,
    pub style: &'a Style,
}

/// A line of text to be drawn.
pub(super) struct Line<'a> {
    pub at: [f32; 2],
    pub text: &'a str,
    pub size: f32,
    pub color: Color,
    pub align: Anchor,
}

impl<'a> Pen<'a> {
    /// A page of `size` (width, height) points with nothing on it.
    pub fn on_page(size: [f32; 2], style: &'a Style) -> Self {
        let [width, height] = size.map(|s| if s.is_finite() { s.max(1.0) } else { 1.0 });
        let scene = Scene { width, height, family: style.family, ..Scene::default() };
        let mut pen = Self { scene, style };
        pen.rect(pen.page(), Some(style.paper), None);
        pen
    }

    pub fn page(&self) -> Rect {
        Rect { left: 0.0, top: 0.0, right: self.scene.width, bottom: self.scene.height }
    }

    /// Draws a figure into a part of the page, with a letter before its title; its plots are counted from `first` on.
    pub fn figure(&mut self, figure: &Figure, page: Rect, letter: &str, first: usize) {
        let style = self.style;
        if let Some(sentence) = &figure.empty {
            return self.sentence(page, sentence);
        }
        let body = self.title_and_caption(figure, page.shrunk(margin(page, style)), letter);
        let places = places(&figure.plots, figure.columns.max(1));
        let cells = grid(&figure.plots, &places, body, style);
        let plots = figure.plots.iter().zip(cells);
        let mut plans: Vec<Plan<'_>> =
            plots.map(|(plot, cell)| Plan::new(plot, cell, style)).collect();
        align(&mut plans, &places);
        for (index, plan) in plans.iter().enumerate() {
            self.plot(first + index, plan);
        }
    }

    pub fn push(&mut self, item: Item) {
        self.scene.items.push(item);
    }

    pub fn area(&mut self, area: Area) {
        self.scene.areas.push(area);
    }

    pub fn rect(&mut self, rect: Rect, fill: Option<Color>, stroke: Option<(Color, f32)>) {
        self.push(Item::Rect { min: rect.min(), max: rect.max(), fill, stroke });
    }

    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], color: Color, width: f32) {
        self.push(Item::Polyline { points: vec![from, to], color, width, dash: Dash::Solid });
    }

    pub fn text(&mut self, line: &Line<'_>) {
        self.any_text(line, false, false);
    }

    fn any_text(&mut self, line: &Line<'_>, upright: bool, bold: bool) {
        if line.text.is_empty() {
            return;
        }
        self.push(Item::Text {
            at: line.at,
            text: font::shown(line.text).into_owned(),
            size: line.size,
            color: line.color,
            align: line.align,
            upright,
            bold,
        });
    }

    /// A sentence in the middle of a page that has nothing else.
    fn sentence(&mut self, page: Rect, sentence: &str) {
        let size = self.style.label_size;
        let lines = self.style.family.wrap(&font::shown(sentence), size, page.width() * 0.8);
        let height = 1.5 * size;
        let [x, middle] = page.middle();
        for (i, text) in lines.iter().enumerate() {
            let y = middle + (i as f32 - (lines.len() as f32 - 1.0) / 2.0) * height;
            let color = self.style.faint;
            self.text(&Line { at: [x, y], text, size, color, align: Anchor::Center });
        }
    }

    /// Draws them and gives back the room between.
    fn title_and_caption(&mut self, figure: &Figure, page: Rect, letter: &str) -> Rect {
        let style = self.style;
        let mut body = page;
        body.top += self.heading(&figure.title, page, letter);
        let caption = font::shown(&figure.caption);
        let lines = style.family.wrap(&caption, style.tick_size, page.width());
        let line_height = 2.0 * font::HALF_LINE * style.tick_size;
        let height = lines.len() as f32 * line_height + 2.0;
        if lines.is_empty() || height > 0.25 * page.height() {
            return body;
        }
        body.bottom -= height;
        for (i, text) in lines.iter().enumerate() {
            let at = [page.left, body.bottom + 2.0 + (i as f32 + 0.5) * line_height];
            let (size, color) = (style.tick_size, style.faint);
            self.text(&Line { at, text, size, color, align: Anchor::Left });
        }
        body
    }

    /// Draws a letter and a title at the top of a part of the page; the height that they take.
    pub fn heading(&mut self, title: &str, page: Rect, letter: &str) -> f32 {
        let style = self.style;
        let size = style.title_size;
        let height = 2.0 * font::HALF_LINE * size + 2.0;
        if (title.is_empty() && letter.is_empty()) || height >= 0.2 * page.height() {
            return 0.0;
        }
        let y = page.top + font::HALF_LINE * size;
        let mut left = page.left;
        let mut write = |text: &str, left: f32| {
            let line = Line { at: [left, y], text, size, color: style.ink, align: Anchor::Left };
            self.any_text(&line, false, true);
        };
        if !letter.is_empty() {
            write(letter, left);
            left += style.family.width(letter, size, true) + 0.6 * size;
        }
        let shown = font::shown(title);
        // Bold is a tenth wider.
        write(&style.family.fit(&shown, 1.1 * size, page.right - left), left);
        height
    }

    fn plot(&mut self, index: usize, plan: &Plan<'_>) {
        let axes = plan.axes();
        if axes.width() < 1.0 || axes.height() < 1.0 {
            return;
        }
        let frame = plan.frame(axes);
        if plan.plot.pick != Pick::Nothing {
            let hover = plan.plot.title.clone();
            self.area(Area::one(plan.cell.min(), plan.cell.max(), plan.plot.pick.clone(), hover));
        }
        self.area(Area {
            min: axes.min(),
            max: axes.max(),
            pick: AreaPick::Plot(index),
            frame: [[axes.left, axes.bottom], [axes.right, axes.top]],
            labels: Default::default(),
        });
        marks::draw(self, plan.plot, &frame);
        self.axis_lines(plan, axes);
        if plan.detail.ticks {
            self.x_axis_ticks(plan, &frame);
            self.y_axis_ticks(plan, &frame);
        }
        if plan.detail.labels {
            self.axis_labels(plan, axes);
        }
        self.head(plan, axes);
        if let (true, Some(bar)) = (plan.detail.color_bar, &plan.plot.color_bar) {
            self.color_bar(plan, bar, axes);
        }
    }

    fn axis_lines(&mut self, plan: &Plan<'_>, axes: Rect) {
        let (style, width) = (self.style, self.style.line_width);
        if plan.boxed() {
            // Around the data, not over it.
            let around = axes.shrunk(-0.5 * width);
            self.rect(around, None, Some((style.faint, width)));
            return;
        }
        let corner = [axes.left, axes.bottom];
        if plan.plot.x.ticks != Ticks::Hidden {
            self.line(corner, [axes.right, axes.bottom], style.ink, width);
        }
        if plan.plot.y.ticks != Ticks::Hidden {
            self.line(corner, [axes.left, axes.top], style.ink, width);
        }
    }

    fn x_axis_ticks(&mut self, plan: &Plan<'_>, frame: &Frame) {
        let (style, axis) = (self.style, &plan.plot.x);
        // Room was made for names that stand upright: numbers would leave it empty.
        let width = if plan.x_upright { f32::INFINITY } else { frame.rect.width() };
        let ticks = x_ticks(axis, width, style.ticks());
        let (size, stride) =
            tick_fit(&ticks, &frame.x, style.ticks(), axis.ticks.are_names(), plan.x_upright);
        let length = tick_length(axis);
        let mut labelled = 0;
        for tick in &ticks {
            let x = frame.x.at(tick.value);
            let major = !tick.label.is_empty();
            if length > 0.0 {
                let end = frame.rect.bottom + if major { length } else { 0.6 * length };
                self.line([x, frame.rect.bottom], [x, end], style.ink, style.line_width);
            }
            if !major {
                continue;
            }
            labelled += 1;
            if (labelled - 1) % stride != 0 {
                continue;
            }
            let top = frame.rect.bottom + below_axes(plan.plot, style);
            let (y, align) = match plan.x_upright {
                true => (top, Anchor::Right),
                false => (top + font::HALF_LINE * size, Anchor::Center),
            };
            let line = Line { at: [x, y], text: &tick.label, size, color: style.ink, align };
            self.any_text(&line, plan.x_upright, false);
        }
    }

    fn y_axis_ticks(&mut self, plan: &Plan<'_>, frame: &Frame) {
        let (style, axis) = (self.style, &plan.plot.y);
        let named = axis.ticks.are_names();
        let (size, stride) = tick_fit(&plan.y_ticks, &frame.y, style.ticks(), named, true);
        let length = tick_length(axis);
        let mut labelled = 0;
        for tick in &plan.y_ticks {
            let y = frame.y.at(tick.value);
            let major = !tick.label.is_empty();
            if length > 0.0 {
                let end = frame.rect.left - if major { length } else { 0.6 * length };
                self.line([end, y], [frame.rect.left, y], style.ink, style.line_width);
            }
            if !major {
                continue;
            }
            labelled += 1;
            if (labelled - 1) % stride == 0 {
                let at = [frame.rect.left - length - TICK_GAP, y];
                let (text, color) = (tick.label.as_str(), style.ink);
                self.text(&Line { at, text, size, color, align: Anchor::Right });
            }
        }
    }

    fn axis_labels(&mut self, plan: &Plan<'_>, axes: Rect) {
        let (size, color) = (self.style.label_size, self.style.ink);
        let half = font::HALF_LINE * size;
        let [x, y] = axes.middle();
        let room = plan.room();
        // Beside the axes, where an equal unit leaves room outside them.
        let below = plan.cell.bottom - (room.bottom - axes.bottom) - half;
        let beside = plan.cell.left + (axes.left - room.left) + half;
        let label = font::shown(&plan.plot.x.label);
        let text = self.style.family.fit(&label, size, plan.cell.width());
        let half_width = 0.5 * self.style.family.width(&text, size, false);
        let x = held(x, half_width, plan.cell.left, plan.cell.right);
        self.text(&Line { at: [x, below], text: &text, size, color, align: Anchor::Center });
        let label = font::shown(&plan.plot.y.label);
        let text = self.style.family.fit(&label, size, plan.cell.height());
        let half_width = 0.5 * self.style.family.width(&text, size, false);
        let y = held(y, half_width, plan.cell.top, plan.cell.bottom);
        let line = Line { at: [beside, y], text: &text, size, color, align: Anchor::Center };
        self.any_text(&line, true, false);
    }

    /// Title and legend above the axes.
    fn head(&mut self, plan: &Plan<'_>, axes: Rect) {
        let style = self.style;
        let mut bottom = axes.top - head_gap(plan.plot, plan.detail, style);
        if plan.detail.legend && !plan.plot.legend.is_empty() {
            bottom -= legend_height(&plan.plot.legend, plan.cell.width() * 0.8, style);
            let (left, right) = (plan.cell.left, plan.cell.right);
            self.legend(&plan.plot.legend, 0.8 * plan.cell.width(), bottom, |width| {
                axes.left.min(right - width).max(left)
            });
        }
        if plan.detail.title && !plan.plot.title.is_empty() {
            let size = style.label_size;
            let shown = font::shown(&plan.plot.title);
            let text = style.family.fit(&shown, size, plan.cell.right - axes.left);
            let at = [axes.left, bottom - font::HALF_LINE * size];
            self.text(&Line { at, text: &text, size, color: style.ink, align: Anchor::Left });
        }
    }

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
            let width: f32 = row.iter().map(|e| legend_width(e, style)).sum();
            self.legend_row(row, [left(width), top + (i as f32 + 0.5) * height]);
        }
    }

    /// The letters of the parts that a legend below them explains.
    pub fn letters(&mut self, letters: &str, [left, top]: [f32; 2]) {
        let (size, color) = (self.style.tick_size, self.style.ink);
        let at = [left, top + font::HALF_LINE * size];
        self.any_text(&Line { at, text: letters, size, color, align: Anchor::Left }, false, true);
    }

    fn legend_row(&mut self, row: &[&LegendEntry], [mut x, y]: [f32; 2]) {
        let style = self.style;
        let size = style.tick_size;
        for entry in row {
            let right = x + swatch(entry) * size;
            if entry.line {
                self.push(Item::Polyline {
                    points: vec![[x, y], [right, y]],
                    color: entry.color,
                    width: 1.2,
                    dash: entry.dash,
                });
            } else {
                let half = 0.5 * (right - x);
                let square = Rect { left: x, right, top: y - half, bottom: y + half };
                if entry.color == Color::TRANSPARENT {
                    marks::absent(self, square);
                } else {
                    self.rect(square, Some(entry.color), None);
                }
            }
            let (at, color) = ([right + SWATCH_GAP * size, y], style.ink);
            let room = self.scene.width - at[0];
            let shown = font::shown(&entry.text);
            let text = style.family.fit(&shown, size, room);
            self.text(&Line { at, text: &text, size, color, align: Anchor::Left });
            x += legend_width(entry, style);
        }
    }

    fn color_bar(&mut self, plan: &Plan<'_>, bar: &ColorBar, axes: Rect) {
        let label = if plan.detail.labels { bar.label.as_str() } else { "" };
        self.bar(bar, &plan.bar_ticks, label, axes, (plan.cell.top, plan.cell.bottom));
    }

    /// A colour bar beside axes, its label held between two heights.
    pub fn bar(
        &mut self,
        bar: &ColorBar,
        ticks: &[Tick],
        label: &str,
        axes: Rect,
        (top, bottom): (f32, f32),
    ) {
        let (style, size) = (self.style, self.style.tick_size);
        let left = axes.right + BAR_GAP;
        let rect = Rect { left, right: left + BAR_WIDTH, top: axes.top, bottom: axes.bottom };
        let pixels: Vec<Color> = bar.map.table().iter().rev().copied().collect();
        self.push(Item::Image {
            min: rect.min(),
            max: rect.max(),
            columns: 1,
            rows: pixels.len(),
            pixels: pixels.into(),
        });
        self.rect(
            rect.shrunk(-0.5 * style.line_width),
            None,
            Some((style.faint, style.line_width)),
        );
        let range = (f64::from(bar.range.0), f64::from(bar.range.1));
        let scale = Scale::new(range, bar.log, (rect.bottom, rect.top));
        let shown: Vec<&Tick> = ticks.iter().filter(|t| !t.label.is_empty()).collect();
        let extents: Vec<(f32, f32)> =
            shown.iter().map(|t| (scale.at(t.value), 0.5 * size)).collect();
        let stride = scale::stride(&extents, 0.1 * size).max(1);
        for tick in shown.into_iter().step_by(stride) {
            let y = scale.at(tick.value);
            let end = rect.right + TICK;
            self.line([rect.right, y], [end, y], style.ink, style.line_width);
            let (at, color) = ([end + TICK_GAP, y], style.ink);
            self.text(&Line { at, text: &tick.label, size, color, align: Anchor::Left });
        }
        if !label.is_empty() {
            let size = style.label_size;
            let label = font::shown(label);
            let text = style.family.fit(&label, size, bottom - top);
            let x = rect.right
                + TICK
                + TICK_GAP
                + widest(ticks, style.ticks())
                + 1.0
                + font::HALF_LINE * size;
            let half_width = 0.5 * style.family.width(&text, size, false);
            let y = held(axes.middle()[1], half_width, top, bottom);
            let line =
                Line { at: [x, y], text: &text, size, color: style.ink, align: Anchor::Center };
            self.any_text(&line, true, false);
        }
    }
}

/// The place nearest to `at` where something of a half-width lies between two edges.
pub(super) fn held(at: f32, half_width: f32, low: f32, high: f32) -> f32 {
    if high - low < 2.0 * half_width {
        return f32::midpoint(low, high);
    }
    at.clamp(low + half_width, high - half_width)
}
