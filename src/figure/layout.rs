//! From a figure and a size to a scene: where titles, axes, labels and plots go.
//!
//! What does not fit is left out in a fixed order (legend, axis labels, colour bar, ticks, titles), so that the
//! same figure serves as a thumbnail and at full width. On a low screen title, legend and caption of a map stand beside it, so
//! that it has the height.

use super::color_bar::{bar_ticks, bar_width};
use super::legend::legend_height;
use super::marks::{self, Frame};
use super::pen::{Line, Pen, Rect, held};
use super::scale::{Scale, Tick};
use super::scene::{Area, AreaPick, Scene};
use super::style::Style;
use super::ticks::{TICK_GAP, tick_fit, tick_length, ticks_of, widest, x_ticks};
use super::{Anchor, Axis, ColorBar, Figure, Mark, Pick, Plot, Ticks, font};
use crate::base::convert::{self, narrow};

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

/// Lines without names say nothing: before theirs, the names of the axes go.
const OF_LINES: [Detail; 2] = [DETAILS[0], Detail { labels: false, ..DETAILS[0] }];

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
    /// How it is drawn with as much as leaves the data their room; `is_explained` beside it, it needs no legend above.
    fn new(plot: &'a Plot, cell: Rect, is_explained: bool, style: &Style) -> Self {
        let names_lines = plot.legend.iter().any(|entry| entry.is_line());
        let first = if names_lines { &OF_LINES[..] } else { &DETAILS[..1] };
        let first = if is_explained { &[] } else { first };
        let details = first.iter().chain(&DETAILS[1..]);
        let plans = details.map(|detail| Self::with(plot, cell, *detail, style));
        let mut last = None;
        for plan in plans {
            let inner = plan.room();
            if inner.width() >= 0.5 * cell.width() && inner.height() >= plan.least() {
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

    /// The height that the data need. Less than half of the cell is too little; but lines without names say nothing, and for
    /// names they give up more.
    fn least(&self) -> f32 {
        let names_lines =
            self.detail.legend && self.plot.legend.iter().any(|entry| entry.is_line());
        match names_lines {
            true => (0.3 * self.cell.height()).max(LOWEST).min(0.5 * self.cell.height()),
            false => 0.5 * self.cell.height(),
        }
    }

    fn make_room_for_ticks(&mut self, style: &Style) {
        let (plot, size) = (self.plot, style.tick_size);
        let outside = tick_length(&plot.y) + TICK_GAP;
        let height = self.cell.height() - self.margins.top - self.margins.bottom - 2.0 * size;
        if plot.y.ticks != Ticks::Hidden {
            self.y_ticks =
                ticks_of(&plot.y, convert::index((height / (2.6 * size)).floor().max(3.0)));
            self.margins.left += widest(&self.y_ticks, style.ticks()) + outside;
            self.margins.top = self.margins.top.max(font::HALF_LINE * size);
            self.margins.bottom = self.margins.bottom.max(font::HALF_LINE * size);
        }
        if plot.x.ticks != Ticks::Hidden {
            let outside = below_axes(plot, style);
            let width = self.cell.width() - self.margins.left - self.margins.right;
            let ticks = x_ticks(&plot.x, width, style.ticks());
            let longest = widest(&ticks, style.ticks());
            let scale = Scale::new(plot.x.range, plot.x.along, (0.0, width));
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
            let (low, high) = Scale::new(axis.range, axis.along, (0.0, 1.0)).range;
            (high - low).abs()
        };
        let (x, y) = (units(&self.plot.x), units(&self.plot.y));
        let (width, height) = (f64::from(room.width()), f64::from(room.height()));
        let unit = (width / x).min(height / y).max(0.0);
        let spare = [narrow(width - unit * x), narrow(height - unit * y)];
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
            x: Scale::new(x.range, x.along, (axes.left, axes.right)),
            y: Scale::new(y.range, y.along, (axes.bottom, axes.top)),
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

/// Lines are told apart from this height on, in points.
const LOWEST: f32 = 14.0;
/// Room between tick labels and the label of the axis, in points.
const LABEL_GAP: f32 = 2.0;
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

/// A page lower than this, in points, leaves a map little height under a title and above a caption.
const LOW: f32 = 200.0;
/// The column beside a map: at least, so that words stand in it, and at most, in parts of the width.
const COLUMN: f32 = 66.0;
const MOST_OF_WIDTH: f32 = 0.42;
/// What stands between a map and the edges of its room: numbers and names of the axes, the colour bar.
const BESIDE_MAP: f32 = 64.0;

/// Whether a page is so low and wide that there is room for words beside a map, where they may stand there.
pub fn has_room_beside([width, height]: [f32; 2]) -> bool {
    height < LOW && width - height - BESIDE_MAP >= COLUMN
}

/// The width of the column of words beside the only plot, a map; none where they stand above and below.
fn column(figure: &Figure, page: Rect, style: &Style) -> Option<f32> {
    let size = [page.width(), page.height()];
    let is_map = figure.plots.len() == 1 && figure.plots[0].equal;
    let width = size[0] - size[1] - BESIDE_MAP;
    (style.aside && is_map && has_room_beside(size)).then(|| width.min(MOST_OF_WIDTH * size[0]))
}

/// Words of a title are not parted from the number that belongs to them.
fn with_their_numbers(title: &str) -> String {
    let mut letters = title.chars().peekable();
    let mut kept = String::new();
    while let Some(letter) = letters.next() {
        let is_before_number = letter == ' ' && letters.peek().is_some_and(char::is_ascii_digit);
        kept.push(if is_before_number { '\u{a0}' } else { letter });
    }
    kept
}

impl Pen<'_> {
    /// Writes title, legend and, where there is room left, the caption below each other at the left edge; gives back what is right
    /// of them.
    fn explain_beside(&mut self, figure: &Figure, page: Rect, width: f32) -> Rect {
        let style = self.style;
        let size = style.title_size;
        let mut top = page.top;
        // Bold is a tenth wider.
        let title = with_their_numbers(&font::shown(&figure.title));
        for text in style.family.wrap(&title, 1.1 * size, width) {
            let at = [page.left, top + font::HALF_LINE * size];
            let (text, color, align) = (text.as_str(), style.ink, Anchor::Left);
            self.any_text(&Line { at, text, size, color, align }, false, true);
            top += 2.0 * font::HALF_LINE * size;
        }
        top += 0.5 * size;
        for entry in figure.plots.iter().flat_map(|plot| &plot.legend) {
            top = self.wrapped_entry(entry, [page.left, top], [width, page.bottom]);
        }
        let line_height = 2.0 * font::HALF_LINE * style.tick_size;
        let lines = style.family.wrap(&font::shown(&figure.caption), style.tick_size, width);
        let begin = page.bottom - lines.len() as f32 * line_height;
        if begin >= top {
            self.faint_lines(&lines, [page.left, begin]);
        }
        Rect { left: page.left + width + style.tick_size, ..page }
    }

    /// Small lines below each other, from a corner on.
    fn faint_lines(&mut self, lines: &[String], [left, top]: [f32; 2]) {
        let (size, color) = (self.style.tick_size, self.style.faint);
        for (i, text) in lines.iter().enumerate() {
            let at = [left, top + (i as f32 + 0.5) * 2.0 * font::HALF_LINE * size];
            self.text(&Line { at, text, size, color, align: Anchor::Left });
        }
    }

    /// Draws a figure into a part of the page, with a letter before its title; its plots are counted from `first` on.
    pub fn figure(&mut self, figure: &Figure, page: Rect, letter: &str, first: usize) {
        let style = self.style.magnified(figure.scale);
        let mut pen = Pen { scene: std::mem::take(&mut self.scene), style: &style };
        pen.figure_in_its_style(figure, page, letter, first);
        self.scene = pen.scene;
    }

    fn figure_in_its_style(&mut self, figure: &Figure, page: Rect, letter: &str, first: usize) {
        let style = self.style;
        if let Some(sentence) = &figure.empty {
            return self.sentence(page, sentence);
        }
        let page = page.shrunk(margin(page, style));
        let column = column(figure, page, style);
        let body = match column {
            Some(width) => self.explain_beside(figure, page, width),
            None => self.title_and_caption(figure, page, letter),
        };
        let places = places(&figure.plots, figure.columns.max(1));
        let inside = figure.edges.as_ref().map_or(body, |edges| self.inside_edges(edges, body));
        let cells = grid(&figure.plots, &places, inside, style);
        if let Some(edges) = &figure.edges {
            self.edges(edges, body, &cells);
        }
        let plan = |(plot, cell)| match figure.edges {
            Some(_) => Plan::with(plot, cell, DETAILS[5], style),
            None => Plan::new(plot, cell, column.is_some(), style),
        };
        let mut plans: Vec<Plan<'_>> = figure.plots.iter().zip(cells).map(plan).collect();
        align(&mut plans, &places);
        for (index, plan) in plans.iter().enumerate() {
            self.plot(first + index, plan);
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
        self.faint_lines(&lines, [page.left, body.bottom + 2.0]);
        body
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

    fn color_bar(&mut self, plan: &Plan<'_>, bar: &ColorBar, axes: Rect) {
        let label = if plan.detail.labels { bar.label.as_str() } else { "" };
        self.bar(bar, &plan.bar_ticks, label, axes, (plan.cell.top, plan.cell.bottom));
    }
}
