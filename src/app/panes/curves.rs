//! Curves in the window: the lines of a figure through `egui_plot`, so that they zoom, pan and read out.

use std::ops::RangeInclusive;

use egui::{Align2, Color32, FontId, Rect, Ui, UiBuilder, Vec2b, vec2};
use egui_plot::{GridInput, GridMark, Line, LineStyle, PlotPoint, PlotPoints, Points};

use super::{Drawn as Picture, Pane};
use crate::app::canvas::theme::color32;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::convert::{self, narrow};
use crate::base::plain::Plain;
use crate::figure::clip::{self, Cut};
use crate::figure::scale::{self, Scale};
use crate::figure::{Axis, Cell, Dash, Figure, LegendEntry, Mark, Pick, Plot};
use crate::panel::columns;

/// Height of a plot's title.
const TITLE: f32 = 20.0;

/// Room for the names of the lines beside a plot.
const LEGEND: f32 = 215.0;

/// Room for a value beside a plot: four digits and a sign.
const VALUE: f32 = 40.0;

/// Height of a row of names above the plots, and the most rows that there may be.
const LANE: f32 = 14.0;
const MOST_LANES: usize = 5;

/// More rows than this cost the plots more than shorter names.
const FEW_LANES: usize = 2;

/// Room that the numbers of the value axis take, about.
const NUMBERS: f32 = 50.0;

/// Plots may not be squeezed flatter than this; the panel scrolls instead.
const LOWEST: f32 = 110.0;

/// Something that happened at a step: its place on the axis, its name, the colour of its line (if it has one).
struct Flag {
    x: f64,
    text: String,
    /// What it says under the pointer.
    hover: String,
    color: Color32,
}

/// Curves that zoom and pan, in place of the picture.
pub struct Curves;

impl Pane for Curves {
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Picture<'_>, lab: &Lab) -> Vec<Action> {
        show(ui, drawn.room, drawn.figure, lab.step);
        Vec::new()
    }
}

/// Draws all plots of a figure in its grid. Plots without lines only name what happened: that stands in rows above the
/// first plot with lines instead, each name at the upright it belongs to, where it covers nothing.
///
/// `step` is the one in view, none for the newest: beside the plots stand the values there.
pub fn show(ui: &mut Ui, rect: Rect, figure: &Figure, step: Option<u64>) {
    let plots: Vec<&Plot> = figure.plots.iter().filter(|plot| has_lines(plot)).collect();
    if plots.is_empty() {
        return;
    }
    let cells = figure
        .plots
        .iter()
        .flat_map(|plot| &plot.marks)
        .filter_map(|mark| if let Mark::Cells(cells) = mark { Some(cells) } else { None });
    let flags: Vec<Flag> = cells.flatten().filter_map(|cell| flag(cell, plots[0].x.log)).collect();
    let columns = figure.columns.max(1);
    let rows = plots.len().div_ceil(columns);
    let caption = if figure.caption.is_empty() { 0.0 } else { TITLE };
    let width = rect.width() / columns as f32;
    let span = Span::new(figure, plots[0]);
    let strip = strip_height(ui, &flags, &span, width, rect.height());
    let height = ((rect.height() - caption - strip) / rows as f32).max(LOWEST);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(rect));
    inner.set_clip_rect(rect.intersect(ui.clip_rect()));
    egui::ScrollArea::vertical().id_salt("curves").show(&mut inner, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (row, plots) in plots.chunks(columns).enumerate() {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                for (column, plot) in plots.iter().enumerate() {
                    let strip = if row == 0 { strip } else { 0.0 };
                    let size = vec2(width - 2.0, height + strip);
                    let named: &[Flag] = if row + column == 0 { &flags } else { &[] };
                    let at = (row, column);
                    one(ui, plot, &Shown { at, named, flags: &flags, step, strip, span }, size);
                }
            });
        }
        if caption > 0.0 {
            ui.weak(&figure.caption);
        }
    });
}

fn flag(cell: &Cell, log: bool) -> Option<Flag> {
    let Pick::Step(step) = cell.pick else { return None };
    let x = scaled(step as f64, log);
    // The hover says `step 212: induction head formed`; the line says where.
    let said = cell.hover.lines().next().unwrap_or(&cell.text);
    let text = said.split_once(": ").map_or(said, |(_, what)| what).to_owned();
    Some(Flag { x, text, hover: cell.hover.clone(), color: Color32::TRANSPARENT })
}

/// What a plot shows besides itself: its place in the grid, what happened (all of it, and what it names above itself
/// in a strip of a height), the step in view, and the stretch of steps.
struct Shown<'a> {
    at: (usize, usize),
    named: &'a [Flag],
    flags: &'a [Flag],
    step: Option<u64>,
    strip: f32,
    span: Span,
}

fn one(ui: &mut Ui, plot: &Plot, shown: &Shown<'_>, size: egui::Vec2) {
    let x_log = plot.x.log;
    let seen = shown.span.seen(ui.ctx());
    let lines: Vec<Drawn<'_>> = plot.marks.iter().filter_map(|m| drawn(m, plot, seen)).collect();
    let uprights: Vec<Flag> = plot.marks.iter().filter_map(|m| upright(m, x_log)).collect();
    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
    let title = if plot.title.is_empty() { 0.0 } else { TITLE };
    let font = egui::TextStyle::Body.resolve(ui.style());
    ui.painter().text(
        rect.left_top(),
        Align2::LEFT_TOP,
        &plot.title,
        font,
        ui.visuals().text_color(),
    );
    let room = rect.with_min_y(rect.top() + title + shown.strip);
    let (left, right) = room.split_left_right_at_x(room.right() - legend_width(size.x));
    let mut child = ui.new_child(UiBuilder::new().max_rect(left));
    // Ticks and labels as large as those of the other figures.
    let small = egui::TextStyle::Small.resolve(ui.style());
    child.style_mut().text_styles.insert(egui::TextStyle::Body, small);
    let columns = convert::index(left.width());
    let response = axes(egui_plot::Plot::new(("curve", shown.at)), plot, left.size())
        .height(left.height().max(60.0))
        .width(left.width().max(60.0))
        .show(&mut child, |inner| {
            inner.set_plot_bounds_x(seen.0..=seen.1);
            for line in &lines {
                line.draw(inner, &(seen.0..=seen.1), columns);
            }
        });
    shown.span.follow(ui, &response);
    stand_upright(ui, &uprights, &response.transform);
    point_beyond(ui, &lines, &response.transform);
    let strip = rect.with_min_y(rect.top() + title).with_max_y(room.top());
    name_flags(ui, shown.named, &response.transform, strip);
    let pointer = response.response.hover_pos();
    let x = pointer.map(|pos| response.transform.value_from_position(pos).x);
    let mut beside = ui.new_child(UiBuilder::new().max_rect(right.shrink2(vec2(4.0, 0.0))));
    beside.set_clip_rect(right.intersect(ui.clip_rect()));
    let in_view = || shown.step.map(|step| scaled(step as f64, x_log));
    let at = x.or_else(in_view).unwrap_or(f64::MAX);
    legend(&mut beside, plot, &lines, at);
    if let Some(x) = x {
        response.response.on_hover_text_at_pointer(reading(plot, &lines, shown.flags, x));
    }
}

fn legend_width(width: f32) -> f32 {
    LEGEND.min(0.4 * width)
}

/// The stretch of steps that the plots of a figure show now; on a logarithmic axis the logarithms of its ends.
pub fn steps_in_view(ctx: &egui::Context, figure: &Figure) -> Option<(f64, f64)> {
    let first = figure.plots.iter().find(|plot| has_lines(plot))?;
    Some(Span::new(figure, first).seen(ctx))
}

fn has_lines(plot: &Plot) -> bool {
    plot.marks.iter().any(|mark| matches!(mark, Mark::Line { .. }))
}

/// The stretch of steps that all plots of a picture show: the whole run, until a hand zooms into it.
#[derive(Clone, Copy)]
struct Span {
    id: egui::Id,
    /// As drawn: on a logarithmic axis the logarithms.
    full: (f64, f64),
}

impl Span {
    /// Each run, each kind of axis and each choice of plots has a stretch of its own: what was zoomed into on one
    /// lies elsewhere on another.
    fn new(figure: &Figure, first: &Plot) -> Self {
        let shown: Vec<&str> = figure.plots.iter().map(|plot| plot.y.label.as_str()).collect();
        let of = (&figure.title, first.x.log, shown);
        Self { id: egui::Id::unique("steps in view").with(of), full: ends(&first.x) }
    }

    fn seen(&self, ctx: &egui::Context) -> (f64, f64) {
        let kept: Option<(f64, f64)> = ctx.data(|data| data.get_temp(self.id));
        // A stretch without any of the run would be an empty plot.
        kept.filter(|(from, to)| *from < self.full.1 && *to > self.full.0 && to > from)
            .unwrap_or(self.full)
    }

    /// Takes over what a hand did to one plot; a double click shows the whole run again.
    fn follow(&self, ui: &Ui, drawn: &egui_plot::PlotResponse<()>) {
        let response = &drawn.response;
        let bounds = drawn.transform.bounds();
        let zoomed = response.hovered() && ui.input(|i| i.zoom_delta() != 1.0);
        if response.double_clicked() {
            ui.data_mut(|data| data.remove_temp::<(f64, f64)>(self.id));
        } else if response.dragged() || response.drag_stopped() || zoomed {
            let seen = (bounds.min()[0], bounds.max()[0]);
            ui.data_mut(|data| data.insert_temp(self.id, seen));
        }
    }
}

/// The ends of an axis as they are drawn.
fn ends(axis: &Axis) -> (f64, f64) {
    // As in files: a logarithmic axis from zero on begins some decades below its end.
    let (low, high) = Scale::new(axis.range, axis.log, (0.0, 1.0)).range;
    (scaled(low, axis.log), scaled(high, axis.log))
}

/// Every line with its colour and its value at `x`: beside the plot, where it covers nothing. The value comes first,
/// so that where there is no room it is the name that is cut; pointing at it tells the whole.
fn legend(ui: &mut Ui, plot: &Plot, lines: &[Drawn<'_>], x: f64) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.spacing_mut().interact_size.y = 13.0;
        ui.add_space(2.0);
        for entry in plot.legend.iter().filter(|entry| entry.line) {
            let name = if entry.name.is_empty() { &entry.text } else { &entry.name };
            let line = lines.iter().find(|line| line.name == name);
            ui.horizontal(|ui| explain(ui, entry, name, line.map(|line| line.value_at(x))));
        }
    });
}

/// One row: a sample, the value (where it is a line's), the name.
fn explain(ui: &mut Ui, entry: &LegendEntry, name: &str, value: Option<Option<f64>>) {
    ui.spacing_mut().item_spacing.x = 4.0;
    let sample = if value.is_some() { 10.0 } else { 24.0 };
    let (rect, _) = ui.allocate_exact_size(vec2(sample, 12.0), egui::Sense::hover());
    let stroke = egui::Stroke::new(2.0, color32(entry.color));
    let ends = [rect.left_center(), rect.right_center()];
    match entry.dash.lengths(1.0) {
        Some([on, off]) => {
            ui.painter().extend(egui::Shape::dashed_line(&ends, stroke, on, off));
        }
        None => {
            ui.painter().line_segment(ends, stroke);
        }
    }
    if let Some(value) = value {
        let (rect, _) = ui.allocate_exact_size(vec2(VALUE, 12.0), egui::Sense::hover());
        let text = value.map_or_else(String::new, short_number);
        let font = egui::TextStyle::Small.resolve(ui.style());
        let color = ui.visuals().text_color();
        ui.painter().text(rect.right_center(), Align2::RIGHT_CENTER, text, font, color);
    }
    let text = egui::RichText::new(&entry.text).small();
    let label = ui.add(egui::Label::new(text).truncate());
    let help = columns::help_of(name);
    if *name != *entry.text || !help.is_empty() {
        label.on_hover_text(format!("{name}\n{help}").trim_end());
    }
}

/// At most six signs.
fn short_number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e4 => format!("{value:.0e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size > 0.0 && size < 5e-4 => format!("{value:.0e}"),
        _ => format!("{:.3}", Plain(value)),
    }
}

/// Lines where something happened. Drawn by hand: as items of the plot they would stand in its legend.
fn stand_upright(ui: &Ui, uprights: &[Flag], transform: &egui_plot::PlotTransform) {
    let frame = *transform.frame();
    let painter = ui.painter_at(frame);
    for upright in uprights {
        let x = transform.position_from_point_x(upright.x);
        let ends = [egui::pos2(x, frame.top()), egui::pos2(x, frame.bottom())];
        let stroke = egui::Stroke::new(1.0, upright.color);
        painter.extend(egui::Shape::dashed_line(&ends, stroke, 3.0, 3.0));
    }
}

/// Wedges at the ends of the value axis, where lines go on beyond it.
fn point_beyond(ui: &Ui, lines: &[Drawn<'_>], transform: &egui_plot::PlotTransform) {
    const LENGTH: f32 = 5.0;
    let painter = ui.painter_at(*transform.frame());
    let middle = transform.frame().center().y;
    for line in lines {
        for exit in &line.cut.exits {
            let [x, y] = [scaled(exit[0], line.log.0), scaled(exit[1], line.log.1)];
            let tip = transform.position_from_point(&PlotPoint::new(x, y));
            let back = if tip.y < middle { LENGTH } else { -LENGTH };
            let barb = |side: f32| tip + vec2(0.6 * side * LENGTH, back);
            let stroke = egui::Stroke::new(1.5, line.color);
            painter.line(vec![barb(-1.0), tip, barb(1.0)], stroke);
        }
    }
}

fn axes<'a>(drawn: egui_plot::Plot<'a>, plot: &Plot, size: egui::Vec2) -> egui_plot::Plot<'a> {
    let mut drawn = drawn
        .x_grid_spacer(move |input| round_steps(&input, size.x / 70.0))
        .y_grid_spacer(move |input| round_steps(&input, size.y / 26.0))
        .x_axis_formatter(|mark, _| scale::number(mark.value))
        .y_axis_formatter(|mark, _| scale::number(mark.value))
        .show_background(false)
        .show_x(false)
        .show_y(false)
        .allow_scroll(false)
        .allow_zoom(true)
        .auto_bounds(Vec2b::TRUE)
        .show_grid(Vec2b::new(false, true))
        .grid_fade(0.3)
        .grid_spacing(egui::Rangef::new(18.0, 300.0))
        .y_axis_min_width(44.0)
        .link_cursor(egui::Id::unique("curves"), Vec2b::new(true, false))
        .x_axis_label(plot.x.label.clone())
        .y_axis_label(plot.y.label.clone());
    drawn = bounded(drawn, &plot.y);
    if plot.x.log {
        drawn = drawn.x_axis_formatter(power).x_grid_spacer(decades);
    }
    if plot.y.log {
        drawn = drawn.y_axis_formatter(power).y_grid_spacer(decades);
    }
    drawn
}

/// The panel's own range is always seen: an accuracy from 0 to 1 does not stretch with noise.
fn bounded<'a>(drawn: egui_plot::Plot<'a>, y: &Axis) -> egui_plot::Plot<'a> {
    let (low, high) = ends(y);
    if low.is_finite() && high.is_finite() { drawn.include_y(low).include_y(high) } else { drawn }
}

fn power(mark: GridMark, _: &RangeInclusive<f64>) -> String {
    let value = 10f64.powf(mark.value);
    if (1e-3..1e5).contains(&value) {
        format!("{}", (value * 1e4).round() / 1e4)
    } else {
        format!("{value:.0e}")
    }
}

/// Lines at multiples of 1, 2 or 5 times a power of ten, about `most` of them: as in a file.
fn round_steps(input: &GridInput, most: f32) -> Vec<GridMark> {
    let most = convert::index(most.clamp(2.0, 12.0));
    let ticks = scale::ticks(input.bounds, false, most);
    let step_size = ticks.windows(2).map(|t| t[1].value - t[0].value).fold(f64::INFINITY, f64::min);
    ticks.into_iter().map(|tick| GridMark { value: tick.value, step_size }).collect()
}

/// Powers of ten that an axis marks at most: over more, only every so many of them.
const MOST_DECADES: usize = 24;

/// Lines at whole powers of ten, weaker ones at 2 and 5.
#[expect(clippy::needless_pass_by_value, reason = "the signature is egui_plot's")]
pub fn decades(input: GridInput) -> Vec<GridMark> {
    // Beyond these powers no number has a place.
    let (low, high) = (input.bounds.0.clamp(-324.0, 309.0), input.bounds.1.clamp(-324.0, 309.0));
    let (first, last) = (convert::integer(low.floor()), convert::integer(high.ceil()));
    let count = usize::try_from(last - first).unwrap_or(0) + 1;
    let stride = count.div_ceil(MOST_DECADES);
    if stride > 1 {
        let mark = |e: i32| GridMark { value: f64::from(e), step_size: 1.0 };
        return (first..=last).step_by(stride).map(mark).collect();
    }
    (first..=last)
        .flat_map(|e| {
            [(1.0f64, 1.0), (2.0, 0.3), (5.0, 0.3)].map(|(digit, step_size)| GridMark {
                value: f64::from(e) + digit.log10(),
                step_size,
            })
        })
        .collect()
}

/// A line of the figure, with all its points: which of them are drawn depends on what is in view.
struct Drawn<'a> {
    name: &'a str,
    points: &'a [[f64; 2]],
    /// What of it is on the axes, as in a file.
    cut: Cut,
    log: (bool, bool),
    color: Color32,
    width: f32,
    dash: Dash,
}

impl Drawn<'_> {
    /// The value of the line at the last point up to `x`, a place on the axis as it is drawn.
    fn value_at(&self, x: f64) -> Option<f64> {
        let after = self.points.partition_point(|p| scaled(p[0], self.log.0) <= x);
        after.checked_sub(1).and_then(|i| self.points.get(i)).map(|p| p[1])
    }

    /// Its stretches, with gaps where it is undefined.
    fn draw(&self, plot: &mut egui_plot::PlotUi<'_>, seen: &RangeInclusive<f64>, columns: usize) {
        for run in &self.cut.runs {
            let places = decimated_on(run, self.log, seen.clone(), columns);
            match places.as_slice() {
                [_] => plot.points(
                    Points::new(self.name.to_owned(), places)
                        .color(self.color)
                        .radius(self.width)
                        .allow_hover(false),
                ),
                _ => plot.line(self.item(places)),
            }
        }
    }

    fn item(&self, places: Vec<[f64; 2]>) -> Line<'static> {
        let style = match self.dash {
            Dash::Solid => LineStyle::Solid,
            Dash::Dashed => LineStyle::Dashed { length: 6.0 },
            Dash::Dotted => LineStyle::Dotted { spacing: 4.0 },
            Dash::Long => LineStyle::Dashed { length: 16.0 },
        };
        // The dots of a dotted line are twice as wide as a line of the same width.
        let width = if self.dash == Dash::Dotted { self.width / 2.0 } else { self.width };
        let line = Line::new(self.name.to_owned(), PlotPoints::from(places)).color(self.color);
        // Points of one pixel column stay points: a band would fill the way to them from the column before.
        line.width(width).style(style).allow_hover(false).allow_band(false)
    }
}

fn scaled(value: f64, log: bool) -> f64 {
    if log { value.max(f64::MIN_POSITIVE).log10() } else { value }
}

fn drawn<'a>(mark: &'a Mark, plot: &Plot, seen: (f64, f64)) -> Option<Drawn<'a>> {
    let Mark::Line { name, points, color, width, dash } = mark else { return None };
    let [x, y] = [&plot.x, &plot.y].map(|axis| Scale::new(axis.range, axis.log, (0.0, 1.0)));
    Some(Drawn {
        name,
        points,
        cut: clip::line(in_view(points, plot.x.log, seen.0..=seen.1), [&x, &y], [0.0; 2]),
        log: (plot.x.log, plot.y.log),
        color: color32(*color),
        width: width * crate::app::canvas::UNITS_PER_POINT,
        dash: *dash,
    })
}

fn upright(mark: &Mark, x_log: bool) -> Option<Flag> {
    let Mark::Upright { x, text, color, .. } = mark else { return None };
    let at = scaled(*x, x_log);
    let (text, hover) = (text.clone(), String::new());
    let flag = || Flag { x: at, text, hover, color: color32(*color) };
    (!x_log || *x > 0.0).then(flag)
}

/// A name in its row above a plot.
struct Label {
    lane: usize,
    left: f32,
    text: String,
    width: f32,
}

/// The height of the rows that the names need while the whole run is in view.
fn strip_height(ui: &Ui, flags: &[Flag], span: &Span, width: f32, height: f32) -> f32 {
    let room = (0.0, width - legend_width(width) - NUMBERS);
    let (from, to) = span.full;
    let at = |x: f64| narrow((x - from) / (to - from)) * room.1;
    let most = convert::index(0.25 * height / LANE).min(MOST_LANES);
    let labels = labels(ui, flags, &at, room, most);
    let lanes = labels.iter().flatten().map(|label| label.lane + 1).max().unwrap_or(0);
    lanes as f32 * LANE
}

/// A row and a place for each name between two edges, from the first to the last; in full where few rows have room for
/// all, else without their last words.
fn labels(
    ui: &Ui,
    flags: &[Flag],
    at: &dyn Fn(f64) -> f32,
    edges: (f32, f32),
    lanes: usize,
) -> Vec<Option<Label>> {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let all = |short: bool, lanes: usize| -> Vec<Option<Label>> {
        let mut taken: Vec<Vec<(f32, f32)>> = vec![Vec::new(); lanes];
        let mut order: Vec<&Flag> = flags.iter().collect();
        order.sort_by(|a, b| a.x.total_cmp(&b.x));
        let place = |flag: &&Flag| label(ui, flag, short, &font, at(flag.x), edges, &mut taken);
        order.iter().map(place).collect()
    };
    let full = all(false, lanes.min(FEW_LANES));
    if full.iter().all(Option::is_some) { full } else { all(true, lanes) }
}

fn label(
    ui: &Ui,
    flag: &Flag,
    short: bool,
    font: &FontId,
    at: f32,
    (low, high): (f32, f32),
    taken: &mut [Vec<(f32, f32)>],
) -> Option<Label> {
    if !(low..=high).contains(&at) {
        return None;
    }
    // Of a change the value is what tells most; of what emerged, the last word tells least.
    let change = flag.text.split_once(" set to ").map(|(name, value)| format!("{name} {value}"));
    let emerged = || flag.text.rsplit_once(' ').map(|(start, _)| start.to_owned());
    let text = if short { change.or_else(emerged) } else { None };
    let text = &*text.unwrap_or_else(|| flag.text.clone());
    let color = Color32::PLACEHOLDER;
    let width = ui.painter().layout_no_wrap(text.to_owned(), font.clone(), color).size().x;
    // To the right of its line, or to the left where there is no room.
    let sides = [at + 3.0, at - 3.0 - width, (at - 3.0 - width).max(low).min(high - width)];
    let inside = |left: &f32| *left >= low && left + width <= high;
    let clear = |left: f32, lane: &Vec<(f32, f32)>| {
        lane.iter().all(|(from, to)| left > to + 6.0 || left + width + 6.0 < *from)
    };
    let side =
        |lane: &Vec<(f32, f32)>| sides.into_iter().filter(inside).find(|left| clear(*left, lane));
    let (lane, left) = taken.iter().enumerate().find_map(|(i, lane)| Some((i, side(lane)?)))?;
    taken[lane].push((left.min(at), (left + width).max(at)));
    Some(Label { lane, left, text: text.to_owned(), width })
}

/// Names stand in rows above the plot, each at its line, which is drawn up to it.
fn name_flags(ui: &Ui, flags: &[Flag], transform: &egui_plot::PlotTransform, strip: Rect) {
    let frame = *transform.frame();
    let painter = ui.painter_at(strip.with_max_y(frame.top()));
    let font = egui::TextStyle::Small.resolve(ui.style());
    let (ink, line) = (ui.visuals().text_color(), ui.visuals().weak_text_color());
    let at = |x: f64| transform.position_from_point_x(x);
    let lanes = convert::index((strip.height() / LANE).round());
    let mut order: Vec<&Flag> = flags.iter().collect();
    order.sort_by(|a, b| a.x.total_cmp(&b.x));
    let labels = labels(ui, flags, &at, (frame.left(), frame.right()), lanes);
    for (flag, label) in order.into_iter().zip(&labels) {
        let Some(label) = label else { continue };
        let top = strip.top() + label.lane as f32 * LANE;
        let x = at(flag.x);
        painter.vline(x, top..=frame.top(), egui::Stroke::new(1.0, line));
        let place = egui::pos2(label.left, top);
        // A line of a row above that passes behind.
        let back = Rect::from_min_size(place, vec2(label.width, LANE));
        painter.rect_filled(back.expand2(vec2(1.0, 0.0)), 0, ui.visuals().extreme_bg_color);
        painter.text(place, Align2::LEFT_TOP, &label.text, font.clone(), ink);
        if !flag.hover.is_empty() {
            let id = ui.scope_id().with(("flag", flag.x.to_bits()));
            ui.interact(back, id, egui::Sense::hover()).on_hover_text(&flag.hover);
        }
    }
}

/// At most a lowest and a highest point per pixel column: what cannot be seen is not copied, and no spike is lost.
pub fn decimated(points: &[[f64; 2]], seen: RangeInclusive<f64>, columns: usize) -> Vec<[f64; 2]> {
    decimated_on(points, (false, false), seen, columns)
}

/// The points in view, and one more on either side.
fn in_view(points: &[[f64; 2]], log: bool, seen: RangeInclusive<f64>) -> &[[f64; 2]] {
    let x_of = |p: &[f64; 2]| scaled(p[0], log);
    let from = points.partition_point(|p| x_of(p) < *seen.start()).saturating_sub(1);
    let to = (points.partition_point(|p| x_of(p) <= *seen.end()) + 1).min(points.len());
    // Before the first layout nothing is in view: draw all, to learn the bounds.
    if from < to { &points[from..to] } else { points }
}

/// The same where axes may be logarithmic: `points` are values, what is seen and what is returned are places. A
/// logarithmic axis has no place for zero and below.
pub fn decimated_on(
    points: &[[f64; 2]],
    (x_log, y_log): (bool, bool),
    seen: RangeInclusive<f64>,
    columns: usize,
) -> Vec<[f64; 2]> {
    let x_of = |p: &[f64; 2]| scaled(p[0], x_log);
    let points = in_view(points, x_log, seen);
    let place = |p: &[f64; 2]| [x_of(p), scaled(p[1], y_log)];
    let has_place = |p: &&[f64; 2]| (!x_log || p[0] > 0.0) && (!y_log || p[1] > 0.0);
    let columns = columns.max(1);
    if points.len() <= 2 * columns {
        return points.iter().filter(has_place).map(place).collect();
    }
    let (first, last) = (x_of(&points[0]), x_of(&points[points.len() - 1]));
    let column_of =
        |p: &[f64; 2]| convert::index((x_of(p) - first) / (last - first) * columns as f64);
    let mut kept = Vec::with_capacity(2 * columns + 2);
    for chunk in points.chunk_by(|a, b| column_of(a) == column_of(b)) {
        let shown = || chunk.iter().enumerate().filter(|(_, p)| has_place(p));
        let low = shown().min_by(|a, b| a.1[1].total_cmp(&b.1[1]));
        let high = shown().max_by(|a, b| a.1[1].total_cmp(&b.1[1]));
        let (Some((low, _)), Some((high, _))) = (low, high) else { continue };
        kept.push(place(&chunk[low.min(high)]));
        if low != high {
            kept.push(place(&chunk[low.max(high)]));
        }
    }
    kept
}

/// All lines at once, as text: every name with its value at the last point up to `x`.
fn reading(plot: &Plot, lines: &[Drawn<'_>], flags: &[Flag], x: f64) -> String {
    let unscaled = |v: f64, log: bool| if log { 10f64.powf(v) } else { v };
    let step = unscaled(x, plot.x.log).max(0.0);
    let mut text = format!("step {step:.0}");
    let mut said: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|line| !line.name.is_empty()) {
        let Some(y) = line.value_at(x) else { continue };
        if said.contains(&line.name) {
            continue;
        }
        said.push(line.name);
        text += &format!("\n{}: {:.4}", line.name, Plain(y));
    }
    for flag in flags {
        if (unscaled(flag.x, plot.x.log) - step).abs() < 0.02 * step.max(10.0) {
            text += &format!("\n{}", flag.text);
        }
    }
    text
}
