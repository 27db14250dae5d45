//! Curves in the window: the lines of a figure through `egui_plot`, so that they zoom, pan and read out.

use std::ops::RangeInclusive;

use egui::{Align2, Color32, FontId, Rect, Ui, UiBuilder, Vec2b, pos2, vec2};
use egui_plot::{AxisHints, GridInput, GridMark, Line, PlotPoint, PlotPoints, Points, Polygon};

use super::curve_legend::{self, Done, is_pale};
use super::{Drawn as Picture, Pane};
use crate::app::canvas::UNITS_PER_POINT;
use crate::app::canvas::theme::color32;
use crate::app::commands::Action;
use crate::app::lab::Lab;
use crate::base::convert::{self, narrow};
use crate::base::plain::Plain;
use crate::base::settings;
use crate::figure::clip::{self, Cut};
use crate::figure::scale::{self, Scale};
use crate::figure::{Along, Axis, Cell, Dash, Figure, LegendEntry, Mark, Plot, Ticks, dash};
use crate::panel;
use crate::panel::curves::is_run;

/// Height of a plot's title, and of the line below all plots.
const TITLE: f32 = 20.0;

/// Room for the names of the lines beside a plot; less than the least cuts them so short that a plot says more without its half.
const LEGEND: f32 = 236.0;
const LEAST_LEGEND: f32 = 164.0;

/// Height of a row of names above the plots, and the most rows that there may be.
const LANE: f32 = 14.0;
const MOST_LANES: usize = 5;

/// More rows than this cost the plots more than shorter names.
const FEW_LANES: usize = 2;

/// Room that the numbers of the value axis take, about.
const NUMBERS: f32 = 50.0;

/// Room that the numbers and the name of the axis of steps take below the last plots.
const STEPS: f32 = 32.0;

/// Plots are not squeezed flatter than this: what has no room is named instead.
const LOWEST: f32 = 56.0;

/// From a plot to the names beside it.
const ASIDE: f32 = 12.0;

/// Between two plots.
const GAP: f32 = 8.0;

/// Something that happened at a step: its place on the axis, its name, the colour of its line (if it has one).
struct Flag {
    x: f64,
    text: String,
    /// What it says under the pointer.
    hover: String,
    color: Color32,
}

/// Curves that zoom and pan, in place of the picture.
#[derive(Default)]
pub struct Curves {
    /// Keys of the legend whose lines are lit.
    lit: Vec<String>,
}

impl Pane for Curves {
    fn picture(&mut self, ui: &mut Ui, drawn: &mut Picture<'_>, lab: &Lab) -> Vec<Action> {
        let mut chosen = panel::curves::Curves::default();
        // Both are the same kind of panel: every setting fits.
        let _ = settings::set_all(&mut chosen, "", &settings::to_table(drawn.panel));
        let origin = chosen.origin(&lab.recordings()) as f64;
        let step = lab.step.map(|step| step as f64 - origin);
        let done = show(ui, drawn.room, drawn.figure, step, &self.lit);
        if self.lit != done.lit {
            self.lit = done.lit;
            ui.ctx().request_repaint();
        }
        if let Some(key) = done.ticked {
            chosen.tick(&key);
            let _ = settings::set(drawn.panel, "", "hide", &chosen.hide.into());
        }
        Vec::new()
    }
}

/// Draws the plots of a figure in its grid, as many as have room; what is below them names the others. Plots without lines only
/// name what happened: that stands in rows above the first plot with lines instead, each name at the upright it belongs to,
/// where it covers nothing.
///
/// `step` is the one in view as a value of the axis, none for the newest: beside the plots stand the values there. `lit`: keys of
/// the legend whose lines are lit.
pub fn show(ui: &mut Ui, rect: Rect, figure: &Figure, step: Option<f64>, lit: &[String]) -> Done {
    let mut done = Done::default();
    let plots: Vec<&Plot> = figure.plots.iter().filter(|plot| has_curves(plot)).collect();
    let Some(first) = plots.first() else { return done };
    let cells = figure
        .plots
        .iter()
        .flat_map(|plot| &plot.marks)
        .filter_map(|mark| if let Mark::Cells(cells) = mark { Some(cells) } else { None });
    // What stands at no step is a phase.
    let (flagged, phases): (Vec<&Cell>, Vec<&Cell>) =
        cells.flatten().partition(|cell| cell.value.is_some());
    let flags: Vec<Flag> =
        flagged.into_iter().filter_map(|cell| flag(cell, first.x.along)).collect();
    let runs: Vec<&LegendEntry> =
        plots.iter().flat_map(|plot| &plot.legend).filter(|entry| is_run(&entry.key)).collect();
    let span = Span::new(figure, first);
    let room = Room::of(ui, rect, figure, &plots, (&flags, &runs, &span));
    let shared = Shared { flags: &flags, phases: &phases, step, span, runs: &runs, lit };
    let mut top = rect.top();
    for (row, in_row) in plots.chunks(room.columns).take(room.rows).enumerate() {
        let is_last = row + 1 == room.rows;
        let strip = if row == 0 { room.strip } else { 0.0 };
        let height = room.heights[row] + strip + if is_last { STEPS } else { 0.0 };
        for (column, plot) in in_row.iter().enumerate() {
            let corner = pos2(rect.left() + column as f32 * room.width, top);
            // A gap, so that numbers at the ends of two axes do not meet.
            let place = Rect::from_min_size(corner, vec2(room.width - 2.0, height - GAP));
            let named: &[Flag] = if row + column == 0 { &flags } else { &[] };
            let steps = is_last.then(|| steps_label(&plots));
            let cell = Place { at: (row, column), named, strip, steps };
            one(ui, plot, &shared, &cell, place, &mut done);
        }
        top += height;
    }
    below(ui, rect.with_min_y(top), &room, &shared, &mut done);
    done
}

/// The name of the axis of steps, which the lowest plots have.
fn steps_label<'a>(plots: &[&'a Plot]) -> &'a str {
    plots.iter().map(|plot| plot.x.label.as_str()).find(|label| !label.is_empty()).unwrap_or("step")
}

/// How the room is shared out.
struct Room {
    columns: usize,
    /// Rows of plots that are drawn.
    rows: usize,
    width: f32,
    /// Of each row of plots, without the names above it and the steps below it.
    heights: Vec<f32>,
    strip: f32,
    runs: f32,
    caption: String,
}

impl Room {
    fn of(
        ui: &Ui,
        rect: Rect,
        figure: &Figure,
        plots: &[&Plot],
        (flags, runs, span): (&[Flag], &[&LegendEntry], &Span),
    ) -> Self {
        let columns = figure.columns.max(1);
        let width = rect.width() / columns as f32;
        let strip = strip_height(ui, flags, span, width, rect.height());
        let runs = curve_legend::runs_height(ui, runs, rect.width());
        let wanted = plots.len().div_ceil(columns);
        let free = |caption: &str| {
            let caption = if caption.is_empty() { 0.0 } else { TITLE };
            rect.height() - caption - strip - runs - STEPS
        };
        let fit =
            |caption: &str| convert::index(f64::from(free(caption) / LOWEST)).clamp(1, wanted);
        let mut caption = figure.caption.clone();
        let mut rows = fit(&caption);
        if rows < wanted {
            rows = fit("something");
            let out = plots[(rows * columns).min(plots.len())..].iter();
            let names: Vec<&str> = out.map(|plot| plot.y.label.as_str()).collect();
            let more = format!("No room for {}: expand the panel (M).", names.join(", "));
            caption = format!("{more} {caption}").trim_end().to_owned();
        }
        let heights = heights(plots, columns, rows, free(&caption));
        Self { columns, rows, width, heights, strip, runs, caption }
    }
}

/// The height of each row of plots: more for those with more names beside them. Those beside the last have the room of the steps, too.
fn heights(plots: &[&Plot], columns: usize, rows: usize, free: f32) -> Vec<f32> {
    let names = |row: &[&Plot]| row.iter().map(|plot| curve_legend::entries_beside(plot)).max();
    let wanted = |(i, row): (usize, &[&Plot])| {
        let steps = if i + 1 == rows { STEPS } else { 0.0 };
        (names(row).unwrap_or(0) as f32 * curve_legend::ROW + GAP - steps).max(LOWEST)
    };
    let wanted: Vec<f32> = plots.chunks(columns).take(rows).enumerate().map(wanted).collect();
    let spare = free - wanted.iter().sum::<f32>();
    if spare >= 0.0 {
        return wanted.iter().map(|height| height + spare / rows as f32).collect();
    }
    // All have the least. What is left goes to those that ask for little before those that ask for much.
    let least = (free / rows as f32).min(LOWEST);
    let mut left = free - least * rows as f32;
    let mut heights = vec![least; rows];
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    for (served, row) in order.into_iter().enumerate() {
        let given = (wanted[row] - least).min(left / (rows - served) as f32);
        heights[row] += given;
        left -= given;
    }
    heights
}

/// The runs, and what the legend cannot say.
fn below(ui: &mut Ui, rect: Rect, room: &Room, shared: &Shared<'_>, done: &mut Done) {
    let runs = rect.with_max_y(rect.top() + room.runs);
    if room.runs > 0.0 {
        let mut child = ui.new_child(UiBuilder::new().max_rect(runs));
        child.set_clip_rect(runs.intersect(ui.clip_rect()));
        curve_legend::runs(&mut child, shared.runs, shared.lit, done);
    }
    if !room.caption.is_empty() {
        let place = Rect::from_min_size(runs.left_bottom(), vec2(rect.width(), TITLE));
        let mut child = ui.new_child(UiBuilder::new().max_rect(place));
        let text = egui::RichText::new(&room.caption).small().weak();
        child.add(egui::Label::new(text).truncate()).on_hover_text(&room.caption);
    }
}

fn flag(cell: &Cell, along: Along) -> Option<Flag> {
    let (_, x) = cell.value?;
    // The hover says `step 212: induction head formed`; the line says where.
    let said = cell.hover.lines().next().unwrap_or(&cell.text);
    let text = said.split_once(": ").map_or(said, |(_, what)| what).to_owned();
    let hover = cell.hover.clone();
    let x = along.has(x).then(|| scaled(x, along))?;
    Some(Flag { x, text, hover, color: Color32::TRANSPARENT })
}

/// What all plots show besides themselves: what happened, the step in view, the stretch of steps, the runs, and what is lit.
struct Shared<'a> {
    flags: &'a [Flag],
    phases: &'a [&'a Cell],
    step: Option<f64>,
    span: Span,
    runs: &'a [&'a LegendEntry],
    lit: &'a [String],
}

/// A place in the grid: which, what it names above itself in a strip of a height, and the name of the steps where it numbers them.
struct Place<'a> {
    at: (usize, usize),
    named: &'a [Flag],
    strip: f32,
    steps: Option<&'a str>,
}

fn one(
    ui: &mut Ui,
    plot: &Plot,
    shared: &Shared<'_>,
    place: &Place<'_>,
    rect: Rect,
    done: &mut Done,
) {
    let along = plot.x.along;
    let seen = shared.span.seen(ui.ctx());
    let lines: Vec<Drawn<'_>> = plot.marks.iter().filter_map(|m| drawn(m, plot, seen)).collect();
    let mut lines: Vec<Drawn<'_>> =
        lines.into_iter().map(|line| line.lit(plot, shared.runs, shared.lit)).collect();
    // The run in view lies on top.
    lines.sort_by_key(|line| line.dash == Dash::Solid);
    let uprights: Vec<Flag> = plot.marks.iter().filter_map(|m| upright(m, along)).collect();
    let room = rect.with_min_y(rect.top() + place.strip);
    let (left, right) = room.split_left_right_at_x(room.right() - legend_width(rect.width()));
    let mut child = ui.new_child(UiBuilder::new().max_rect(left));
    // Ticks and labels as large as those of the other figures.
    let small = egui::TextStyle::Small.resolve(ui.style());
    child.style_mut().text_styles.insert(egui::TextStyle::Body, small);
    let columns = convert::index(left.width());
    let response = axes(egui_plot::Plot::new(("curve", place.at)), plot, left.size(), place.steps)
        .height(left.height())
        .width(left.width().max(60.0))
        .show(&mut child, |inner| {
            inner.set_plot_bounds_x(seen.0..=seen.1);
            for shade in plot.marks.iter().filter_map(|mark| shade(mark, plot)) {
                inner.polygon(shade);
            }
            let unit = inner.transform().dpos_dvalue();
            for line in &lines {
                line.draw(inner, &(seen.0..=seen.1), columns, unit);
            }
        });
    shared.span.follow(ui, &response);
    stand_upright(ui, &uprights, &response.transform);
    point_beyond(ui, &lines, &response.transform);
    if place.at == (0, 0) {
        name_phases(ui, shared.phases, along, &response.transform);
    }
    name_flags(ui, place.named, &response.transform, rect.with_max_y(room.top()));
    let pointer = response.response.hover_pos();
    let x = pointer.map(|pos| response.transform.value_from_position(pos).x);
    let in_view = || shared.step.map(|step| scaled(step, along));
    let at = x.or_else(in_view).unwrap_or(f64::MAX);
    let value = |name: &str| lines.iter().find(|line| line.name == name)?.value_at(at);
    // Clear of the last number of the steps.
    let right = right.with_min_x(right.left() + ASIDE);
    let mut beside = ui.new_child(UiBuilder::new().max_rect(right).id_salt(("legend", place.at)));
    beside.set_clip_rect(right.intersect(ui.clip_rect()));
    curve_legend::beside(&mut beside, plot, &value, shared.lit, done);
    if let Some(pointer) = pointer {
        tell(response, plot, shared, &lines, pointer, done);
    }
}

/// What the pointer is at: at a line that one, which is lit; elsewhere all of them.
fn tell(
    drawn: egui_plot::PlotResponse<()>,
    plot: &Plot,
    shared: &Shared<'_>,
    lines: &[Drawn<'_>],
    pointer: egui::Pos2,
    done: &mut Done,
) {
    let x = drawn.transform.value_from_position(pointer).x;
    let at = nearest(lines, &drawn.transform, pointer);
    if let Some(line) = at {
        let keys = keys_of(line.name, plot, shared.runs).into_iter();
        done.lit = keys.filter(|key| !key.is_empty()).map(str::to_owned).collect();
    }
    let told = at.map_or(lines, std::slice::from_ref);
    drawn.response.on_hover_text_at_pointer(reading(plot, told, shared.flags, x));
}

/// The line that the pointer is at, if it is near enough to mean one.
fn nearest<'a, 'l>(
    lines: &'a [Drawn<'l>],
    transform: &egui_plot::PlotTransform,
    pointer: egui::Pos2,
) -> Option<&'a Drawn<'l>> {
    const NEAR: f32 = 6.0;
    let x = transform.value_from_position(pointer).x;
    let distance = |line: &'a Drawn<'l>| {
        let y = scaled(line.value_at(x)?, line.along.1);
        let distance = (transform.position_from_point_y(y) - pointer.y).abs();
        (distance <= NEAR).then_some((distance, line))
    };
    lines.iter().rev().filter_map(distance).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, line)| line)
}

/// What the legend calls the column and the run of a line; empty where it has no entry for it.
fn keys_of<'a>(line: &str, plot: &'a Plot, runs: &[&'a LegendEntry]) -> [&'a str; 2] {
    let line = line.strip_suffix(", as measured").unwrap_or(line);
    let of_run = |rest: &str| {
        let name = rest.strip_prefix(" (")?.strip_suffix(')')?;
        runs.iter().find(|run| run.text == name).map(|run| run.key.as_str())
    };
    for entry in plot.legend.iter().filter(|entry| !is_run(&entry.key)) {
        let name = if entry.name.is_empty() { &entry.text } else { &entry.name };
        if line == name {
            let first = runs.first().map_or("", |run| run.key.as_str());
            return [&entry.key, if name == panel::curves::CHANCE { "" } else { first }];
        }
        if let Some(run) = line.strip_prefix(name.as_str()).and_then(of_run) {
            return [&entry.key, run];
        }
    }
    ["", ""]
}

fn legend_width(width: f32) -> f32 {
    LEGEND.min((0.4 * width).max(LEAST_LEGEND.min(0.5 * width)))
}

/// The stretch of steps that the plots of a figure show now; on a logarithmic axis the logarithms of its ends.
pub fn steps_in_view(ctx: &egui::Context, figure: &Figure) -> Option<(f64, f64)> {
    let first = figure.plots.iter().find(|plot| has_curves(plot))?;
    Some(Span::new(figure, first).seen(ctx))
}

/// Whether a plot has lines, or had them before they were hidden.
fn has_curves(plot: &Plot) -> bool {
    !plot.legend.is_empty() || plot.marks.iter().any(|mark| matches!(mark, Mark::Line { .. }))
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
        let of = (&figure.title, format!("{:?}", first.x.along), shown);
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
    let (low, high) = Scale::new(axis.range, axis.along, (0.0, 1.0)).range;
    (scaled(low, axis.along), scaled(high, axis.along))
}

/// Lines where something happened. Drawn by hand: as items of the plot they would stand in its legend.
fn stand_upright(ui: &Ui, uprights: &[Flag], transform: &egui_plot::PlotTransform) {
    let frame = *transform.frame();
    let painter = ui.painter_at(frame);
    for upright in uprights {
        let x = transform.position_from_point_x(upright.x);
        let ends = [pos2(x, frame.top()), pos2(x, frame.bottom())];
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
            let [x, y] = [scaled(exit[0], line.along.0), scaled(exit[1], line.along.1)];
            let tip = transform.position_from_point(&PlotPoint::new(x, y));
            let back = if tip.y < middle { LENGTH } else { -LENGTH };
            let barb = |side: f32| tip + vec2(0.6 * side * LENGTH, back);
            let stroke = egui::Stroke::new(1.5, line.color);
            painter.line(vec![barb(-1.0), tip, barb(1.0)], stroke);
        }
    }
}

fn axes<'a>(
    drawn: egui_plot::Plot<'a>,
    plot: &Plot,
    size: egui::Vec2,
    steps: Option<&str>,
) -> egui_plot::Plot<'a> {
    // Numbers that have room are as dark as all others; of decades, those between the powers fade first.
    let near = |hints: AxisHints<'a>, along: Along, from: f32, to: f32| {
        if along == Along::Logarithms {
            hints
        } else {
            hints.label_spacing(egui::Rangef::new(from, to))
        }
    };
    let mut drawn = drawn
        .custom_x_axes(vec![near(AxisHints::new_x(), plot.x.along, 20.0, 28.0)])
        .custom_y_axes(vec![near(AxisHints::new_y(), plot.y.along, 9.0, 13.0)])
        .x_grid_spacer(move |input| round_steps(&input, size.x / 48.0))
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
        .show_axes(Vec2b::new(steps.is_some(), plot.y.ticks != Ticks::Hidden))
        .x_axis_label(steps.unwrap_or_default().to_owned())
        .y_axis_label(plot.y.label.clone());
    drawn = bounded(drawn, &plot.y);
    if plot.x.along == Along::Logarithms {
        drawn = drawn.x_axis_formatter(power).x_grid_spacer(decades);
    }
    if let Along::Doublings(_) = plot.x.along {
        let (range, along) = (plot.x.range, plot.x.along);
        let most = convert::index(f64::from(size.x / 48.0)).max(2);
        drawn = drawn
            .x_axis_formatter(move |mark, _| scale::number(along.value(mark.value).round()))
            .x_grid_spacer(move |_| named_steps(range, along, most));
    }
    if plot.y.along == Along::Logarithms {
        drawn = drawn.y_axis_formatter(power).y_grid_spacer(decades);
    }
    drawn
}

/// The steps that have a number where doublings stand evenly.
fn named_steps(range: (f64, f64), along: Along, most: usize) -> Vec<GridMark> {
    let ticks = scale::ticks(range, along, most).into_iter().filter(|tick| !tick.label.is_empty());
    let places: Vec<f64> = ticks.map(|tick| along.place(tick.value)).collect();
    let widest = places.last().copied().unwrap_or(1.0).max(1.0);
    places.into_iter().map(|value| GridMark { value, step_size: widest }).collect()
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
    let ticks = scale::ticks(input.bounds, Along::Values, most);
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
    along: (Along, Along),
    color: Color32,
    width: f32,
    dash: Dash,
}

impl Drawn<'_> {
    /// The value of the line at the last point up to `x`, a place on the axis as it is drawn.
    fn value_at(&self, x: f64) -> Option<f64> {
        self.point_at(x).map(|p| p[1])
    }

    /// The step of that value.
    fn measured_at(&self, x: f64) -> Option<f64> {
        self.point_at(x).map(|p| p[0])
    }

    fn point_at(&self, x: f64) -> Option<&[f64; 2]> {
        let after = self.points.partition_point(|p| scaled(p[0], self.along.0) <= x);
        after.checked_sub(1).and_then(|i| self.points.get(i))
    }

    /// Pale where others are lit, wider where it is.
    fn lit(self, plot: &Plot, runs: &[&LegendEntry], lit: &[String]) -> Self {
        const WIDER: f32 = 1.0;
        if lit.is_empty() {
            return self;
        }
        match is_pale(&keys_of(self.name, plot, runs), lit) {
            true => Self { color: self.color.gamma_multiply(0.2), ..self },
            false => Self { width: self.width + WIDER, ..self },
        }
    }

    /// Its stretches, with gaps where it is undefined. `unit`: of the screen in one of the axes.
    fn draw(
        &self,
        plot: &mut egui_plot::PlotUi<'_>,
        seen: &RangeInclusive<f64>,
        columns: usize,
        unit: [f64; 2],
    ) {
        let lengths = self.dash.lengths(self.width / UNITS_PER_POINT);
        let lengths = lengths.map(|lengths| lengths.map(|l| f64::from(l * UNITS_PER_POINT)));
        for run in &self.cut.runs {
            let places = decimated_on(run, self.along, seen.clone(), columns);
            match (places.as_slice(), lengths) {
                ([_], _) => plot.points(
                    Points::new(self.name.to_owned(), places)
                        .color(self.color)
                        .radius(self.width)
                        .allow_hover(false),
                ),
                (_, None) => plot.line(self.item(places)),
                (_, Some(lengths)) => {
                    for piece in broken(&places, unit, lengths) {
                        plot.line(self.item(piece));
                    }
                }
            }
        }
    }

    fn item(&self, places: Vec<[f64; 2]>) -> Line<'static> {
        let line = Line::new(self.name.to_owned(), PlotPoints::from(places)).color(self.color);
        // Points of one pixel column stay points: a band would fill the way to them from the column before.
        line.width(self.width).allow_hover(false).allow_band(false)
    }
}

/// The dashes of a line, measured on the screen: those of `egui_plot` begin anew wherever they are not.
fn broken(places: &[[f64; 2]], unit: [f64; 2], lengths: [f64; 2]) -> Vec<Vec<[f64; 2]>> {
    let unit = unit.map(|unit| if unit.is_finite() && unit != 0.0 { unit } else { 1.0 });
    let on_screen: Vec<[f64; 2]> = places.iter().map(|[x, y]| [x * unit[0], y * unit[1]]).collect();
    let back = |[x, y]: &[f64; 2]| [x / unit[0], y / unit[1]];
    let pieces = dash::pieces(&on_screen, lengths);
    pieces.iter().map(|piece| piece.iter().map(back).collect()).collect()
}

/// Where a value is drawn along an axis.
fn scaled(value: f64, along: Along) -> f64 {
    match along {
        Along::Values => value,
        Along::Logarithms => value.max(f64::MIN_POSITIVE).log10(),
        Along::Doublings(_) => along.place(value),
    }
}

/// The value that is drawn there.
fn unscaled(place: f64, along: Along) -> f64 {
    match along {
        Along::Values => place,
        Along::Logarithms => 10f64.powf(place),
        Along::Doublings(_) => along.value(place),
    }
}

fn drawn<'a>(mark: &'a Mark, plot: &Plot, seen: (f64, f64)) -> Option<Drawn<'a>> {
    let Mark::Line { name, points, color, width, dash } = mark else { return None };
    let [x, y] = [&plot.x, &plot.y].map(|axis| Scale::new(axis.range, axis.along, (0.0, 1.0)));
    Some(Drawn {
        name,
        points,
        cut: clip::line(in_view(points, plot.x.along, seen.0..=seen.1), [&x, &y], [0.0; 2]),
        along: (plot.x.along, plot.y.along),
        color: color32(*color),
        width: width * UNITS_PER_POINT,
        dash: *dash,
    })
}

/// A phase behind the lines.
fn shade(mark: &Mark, plot: &Plot) -> Option<Polygon<'static>> {
    let Mark::Rect { from, to, fill: Some(fill), .. } = mark else { return None };
    let corner = |x: f64, y: f64| [scaled(x, plot.x.along), scaled(y, plot.y.along)];
    let corners = [[from[0], from[1]], [to[0], from[1]], [to[0], to[1]], [from[0], to[1]]];
    let corners: Vec<[f64; 2]> = corners.into_iter().map(|[x, y]| corner(x, y)).collect();
    let shade = Polygon::new("phase", corners).fill_color(color32(*fill));
    Some(shade.stroke(egui::Stroke::NONE).allow_hover(false))
}

/// The names of phases at the upper edge of the first plot, in full where there is room and else their numbers.
fn name_phases(ui: &Ui, phases: &[&Cell], along: Along, transform: &egui_plot::PlotTransform) {
    let frame = *transform.frame();
    let (painter, color) = (ui.painter_at(frame), ui.visuals().weak_text_color());
    let font = egui::TextStyle::Small.resolve(ui.style());
    for phase in phases {
        let [from, to] = [phase.from, phase.to].map(|end| {
            transform
                .position_from_point_x(scaled(end[0], along))
                .clamp(frame.left(), frame.right())
        });
        let full = phase.hover.split(':').next().unwrap_or_default();
        let number = full.split(' ').next().unwrap_or_default();
        let fits = [full, number].into_iter().find_map(|text| {
            let text = painter.layout_no_wrap(text.to_owned(), font.clone(), color);
            (text.size().x + 4.0 <= to - from).then_some(text)
        });
        if let Some(text) = fits {
            let left = 0.5 * (from + to - text.size().x);
            painter.galley(pos2(left, frame.top() + 2.0), text, color);
        }
    }
}

fn upright(mark: &Mark, along: Along) -> Option<Flag> {
    let Mark::Upright { x, text, color, .. } = mark else { return None };
    let at = scaled(*x, along);
    let (text, hover) = (text.clone(), String::new());
    let flag = || Flag { x: at, text, hover, color: color32(*color) };
    along.has(*x).then(flag)
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
    let emerged = || {
        let last = [" formed", " learned"].iter().find_map(|end| flag.text.strip_suffix(end));
        last.map(str::to_owned)
    };
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
    let named: Vec<(&Flag, &Label)> = order
        .into_iter()
        .zip(&labels)
        .filter_map(|(flag, label)| Some((flag, label.as_ref()?)))
        .collect();
    let top = |label: &Label| strip.top() + label.lane as f32 * LANE;
    for (flag, label) in &named {
        painter.vline(at(flag.x), top(label)..=frame.top(), egui::Stroke::new(1.0, line));
    }
    for (flag, label) in &named {
        let place = pos2(label.left, top(label));
        // Lines of the rows above pass behind.
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
    decimated_on(points, (Along::Values, Along::Values), seen, columns)
}

/// The points in view, and one more on either side.
fn in_view(points: &[[f64; 2]], along: Along, seen: RangeInclusive<f64>) -> &[[f64; 2]] {
    let x_of = |p: &[f64; 2]| scaled(p[0], along);
    let from = points.partition_point(|p| x_of(p) < *seen.start()).saturating_sub(1);
    let to = (points.partition_point(|p| x_of(p) <= *seen.end()) + 1).min(points.len());
    // Before the first layout nothing is in view: draw all, to learn the bounds.
    if from < to { &points[from..to] } else { points }
}

/// The same where axes may be logarithmic: `points` are values, what is seen and what is returned are places. A
/// logarithmic axis has no place for zero and below.
pub fn decimated_on(
    points: &[[f64; 2]],
    (x_along, y_along): (Along, Along),
    seen: RangeInclusive<f64>,
    columns: usize,
) -> Vec<[f64; 2]> {
    let x_of = |p: &[f64; 2]| scaled(p[0], x_along);
    let points = in_view(points, x_along, seen);
    let place = |p: &[f64; 2]| [x_of(p), scaled(p[1], y_along)];
    let has_place = |p: &&[f64; 2]| x_along.has(p[0]) && y_along.has(p[1]);
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

/// More lines than this would cover the plot that they tell of.
const MOST_SAID: usize = 14;

/// All lines at once, as text: every name with its value at the last point up to `x`.
fn reading(plot: &Plot, lines: &[Drawn<'_>], flags: &[Flag], x: f64) -> String {
    let step = unscaled(x, plot.x.along);
    // What is told was measured at the last evaluation before.
    let measured = lines.iter().filter_map(|line| line.measured_at(x)).fold(f64::NAN, f64::max);
    let told = if measured.is_nan() { step.round() } else { measured };
    let mut text = format!("step {:.0}", Plain(told));
    let mut said: Vec<&str> = Vec::new();
    let own = |line: &&Drawn<'_>| line.dash == Dash::Solid;
    let in_order = lines.iter().filter(own).chain(lines.iter().filter(|line| !own(line)));
    for line in in_order.filter(|line| !line.name.is_empty()) {
        let Some(y) = line.value_at(x) else { continue };
        if said.contains(&line.name) {
            continue;
        }
        said.push(line.name);
        if said.len() <= MOST_SAID {
            text += &format!("\n{}: {:.4}", line.name, Plain(y));
        }
    }
    if said.len() > MOST_SAID {
        text += &format!("\nand {} more", said.len() - MOST_SAID);
    }
    for flag in flags {
        let at = unscaled(flag.x, plot.x.along);
        if (at - step).abs() < 0.02 * step.abs().max(10.0) {
            text += &format!("\n{}", flag.text);
        }
    }
    text
}
