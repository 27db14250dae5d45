//! Curves in the window: the lines of a figure through `egui_plot`, so that they zoom, pan and read out.

use std::ops::RangeInclusive;

use egui::{Align2, Color32, Rect, Ui, UiBuilder, Vec2b, vec2};
use egui_plot::{GridInput, GridMark, Line, LineStyle, PlotPoints};

use crate::figure::{Axis, Cell, Figure, Mark, Pick, Plot};

use super::theme::color32;

/// Height of a plot's title.
const TITLE: f32 = 20.0;

/// Room for the names of the lines beside a plot.
const LEGEND: f32 = 215.0;

/// Plots may not be squeezed flatter than this; the panel scrolls instead.
const LOWEST: f32 = 110.0;

/// Something that happened at a step: its place on the axis, its name, the colour of its line (if it has one).
struct Flag {
    x: f64,
    text: String,
    color: Color32,
}

/// Draws all plots of a figure in its grid. Plots without lines only name what happened: that stands in the first
/// plot with lines instead, beside the upright it belongs to.
///
/// `step` is the one in view, none for the newest: beside the plots stand the values there.
pub fn show(ui: &mut Ui, rect: Rect, figure: &Figure, step: Option<u64>) {
    let has_lines = |plot: &&Plot| plot.marks.iter().any(|m| matches!(m, Mark::Line { .. }));
    let plots: Vec<&Plot> = figure.plots.iter().filter(has_lines).collect();
    if plots.is_empty() {
        return;
    }
    let cells = figure.plots.iter().flat_map(|plot| &plot.marks).filter_map(|mark| match mark {
        Mark::Cells(cells) => Some(cells),
        _ => None,
    });
    let flags: Vec<Flag> = cells.flatten().filter_map(|cell| flag(cell, plots[0].x.log)).collect();
    let columns = figure.columns.max(1);
    let rows = plots.len().div_ceil(columns);
    let caption = if figure.caption.is_empty() { 0.0 } else { TITLE };
    let height = ((rect.height() - caption) / rows as f32).max(LOWEST);
    let width = rect.width() / columns as f32;
    let mut inner = ui.new_child(UiBuilder::new().max_rect(rect));
    inner.set_clip_rect(rect.intersect(ui.clip_rect()));
    egui::ScrollArea::vertical().id_salt("curves").show(&mut inner, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (row, plots) in plots.chunks(columns).enumerate() {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                for (column, plot) in plots.iter().enumerate() {
                    let size = vec2(width - 2.0, height);
                    let flags: &[Flag] = if row + column == 0 { &flags } else { &[] };
                    let shown = Shown { at: (row, column), flags, step };
                    one(ui, plot, &shown, size);
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
    Some(Flag { x, text, color: Color32::TRANSPARENT })
}

/// What a plot shows besides itself: its place in the grid, what happened, and the step in view.
struct Shown<'a> {
    at: (usize, usize),
    flags: &'a [Flag],
    step: Option<u64>,
}

fn one(ui: &mut Ui, plot: &Plot, shown: &Shown<'_>, size: egui::Vec2) {
    let (at, flags) = (shown.at, shown.flags);
    let (x_log, y_log) = (plot.x.log, plot.y.log);
    let lines: Vec<Drawn> = plot.marks.iter().filter_map(|m| drawn(m, x_log, y_log)).collect();
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
    let room = rect.with_min_y(rect.top() + title);
    let (left, right) = room.split_left_right_at_x(room.right() - LEGEND.min(0.4 * size.x));
    let mut child = ui.new_child(UiBuilder::new().max_rect(left));
    // Ticks and labels as large as those of the other figures.
    let small = egui::TextStyle::Small.resolve(ui.style());
    child.style_mut().text_styles.insert(egui::TextStyle::Body, small);
    let span = Span { id: egui::Id::unique("steps in view"), full: ends(&plot.x) };
    let seen = span.seen(ui);
    let columns = left.width() as usize;
    let response = axes(egui_plot::Plot::new(("curve", at)), plot)
        .height(left.height().max(60.0))
        .width(left.width().max(60.0))
        .show(&mut child, |inner| {
            inner.set_plot_bounds_x(seen.0..=seen.1);
            for line in &lines {
                inner.line(line.item(decimated(&line.points, seen.0..=seen.1, columns)));
            }
        });
    span.follow(ui, &response);
    stand_upright(ui, &uprights, &response.transform);
    name_flags(ui, flags, &response.transform);
    let pointer = response.response.hover_pos();
    let x = pointer.map(|pos| response.transform.value_from_position(pos).x);
    let mut beside = ui.new_child(UiBuilder::new().max_rect(right.shrink2(vec2(4.0, 0.0))));
    beside.set_clip_rect(right.intersect(ui.clip_rect()));
    let in_view = || shown.step.map(|step| scaled(step as f64, x_log));
    let at = x.or_else(in_view).unwrap_or(f64::MAX);
    legend(&mut beside, plot, &lines, at);
    if let Some(x) = x {
        response.response.on_hover_text_at_pointer(reading(plot, &lines, flags, x));
    }
}

/// The stretch of steps that all plots show: the whole run, until a hand zooms into it.
struct Span {
    id: egui::Id,
    full: (f64, f64),
}

impl Span {
    fn seen(&self, ui: &Ui) -> (f64, f64) {
        ui.data(|data| data.get_temp(self.id)).unwrap_or(self.full)
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
    (scaled(axis.range.0, axis.log), scaled(axis.range.1, axis.log))
}

/// Every line with its colour and its value at `x`: beside the plot, where it covers nothing.
fn legend(ui: &mut Ui, plot: &Plot, lines: &[Drawn], x: f64) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.spacing_mut().interact_size.y = 13.0;
        ui.add_space(2.0);
        let mut said: Vec<&str> = Vec::new();
        for line in lines.iter().filter(|line| !line.name.is_empty()) {
            if said.contains(&line.name.as_str()) {
                continue;
            }
            said.push(&line.name);
            let value = line.value_at(x).map_or(String::new(), |y| {
                format!("  {:.3}", if plot.y.log { 10f64.powf(y) } else { y })
            });
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 12.0), egui::Sense::hover());
                let stroke = egui::Stroke::new(2.5, line.color);
                ui.painter().hline(rect.x_range(), rect.center().y, stroke);
                let text = egui::RichText::new(format!("{}{value}", line.name)).small();
                ui.add(egui::Label::new(text).truncate());
            });
        }
    });
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

fn axes<'a>(drawn: egui_plot::Plot<'a>, plot: &Plot) -> egui_plot::Plot<'a> {
    let mut drawn = drawn
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

/// Lines at whole powers of ten, weaker ones at 2 and 5.
#[expect(clippy::needless_pass_by_value, reason = "the signature is egui_plot's")]
fn decades(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let exponents = (low.floor() as i32)..=(high.ceil() as i32);
    exponents
        .flat_map(|e| {
            [(1.0f64, 1.0), (2.0, 0.3), (5.0, 0.3)].map(|(digit, step_size)| GridMark {
                value: f64::from(e) + digit.log10(),
                step_size,
            })
        })
        .collect()
}

struct Drawn {
    name: String,
    points: Vec<[f64; 2]>,
    color: Color32,
    width: f32,
    dashed: bool,
}

impl Drawn {
    /// The height of the line at the last point up to `x`.
    fn value_at(&self, x: f64) -> Option<f64> {
        let after = self.points.partition_point(|p| p[0] <= x);
        after.checked_sub(1).and_then(|i| self.points.get(i)).map(|p| p[1])
    }

    fn item(&self, seen: Vec<[f64; 2]>) -> Line<'static> {
        let style = if self.dashed { LineStyle::dashed_loose() } else { LineStyle::Solid };
        let line = Line::new(self.name.clone(), PlotPoints::from(seen)).color(self.color);
        line.width(self.width).style(style).allow_hover(false)
    }
}

fn scaled(value: f64, log: bool) -> f64 {
    if log { value.max(f64::MIN_POSITIVE).log10() } else { value }
}

fn drawn(mark: &Mark, x_log: bool, y_log: bool) -> Option<Drawn> {
    let Mark::Line { name, points, color, width, dashed } = mark else { return None };
    // A logarithmic axis has no place for zero and below.
    let shown = |p: &&[f64; 2]| (!x_log || p[0] > 0.0) && (!y_log || p[1] > 0.0);
    let place = |p: &[f64; 2]| [scaled(p[0], x_log), scaled(p[1], y_log)];
    Some(Drawn {
        name: name.clone(),
        points: points.iter().filter(shown).map(place).collect(),
        color: color32(*color),
        width: width * super::paint::UNITS_PER_POINT,
        dashed: *dashed,
    })
}

fn upright(mark: &Mark, x_log: bool) -> Option<Flag> {
    let Mark::Upright { x, text, color, .. } = mark else { return None };
    let flag = || Flag { x: scaled(*x, x_log), text: text.clone(), color: color32(*color) };
    (!x_log || *x > 0.0).then(flag)
}

/// Names stand beside their lines, one below the other so that none covers another.
fn name_flags(ui: &Ui, flags: &[Flag], transform: &egui_plot::PlotTransform) {
    let frame = *transform.frame();
    let painter = ui.painter_at(frame);
    let font = egui::TextStyle::Small.resolve(ui.style());
    let mut y = frame.top() + 3.0;
    for flag in flags {
        let at = transform.position_from_point_x(flag.x);
        if !frame.x_range().contains(at) {
            continue;
        }
        let ink = ui.visuals().text_color();
        let galley = painter.layout_no_wrap(flag.text.clone(), font.clone(), ink);
        let fits = at + 4.0 + galley.size().x < frame.right();
        let left = if fits { at + 4.0 } else { at - 4.0 - galley.size().x };
        let place = egui::pos2(left, y);
        let back = Rect::from_min_size(place, galley.size()).expand(1.0);
        painter.rect_filled(back, 2, ui.visuals().extreme_bg_color.gamma_multiply(0.85));
        y += galley.size().y + 2.0;
        painter.galley(place, galley, ink);
    }
}

/// At most a lowest and a highest point per pixel column: what cannot be seen is not copied, and no spike is lost.
pub fn decimated(points: &[[f64; 2]], seen: RangeInclusive<f64>, columns: usize) -> Vec<[f64; 2]> {
    let from = points.partition_point(|p| p[0] < *seen.start()).saturating_sub(1);
    let to = (points.partition_point(|p| p[0] <= *seen.end()) + 1).min(points.len());
    // Before the first layout nothing is in view: draw all, to learn the bounds.
    let points = if from < to { &points[from..to] } else { points };
    let columns = columns.max(1);
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let (first, last) = (points[0][0], points[points.len() - 1][0]);
    let column_of = |p: &[f64; 2]| ((p[0] - first) / (last - first) * columns as f64) as usize;
    let mut kept = Vec::with_capacity(2 * columns + 2);
    for chunk in points.chunk_by(|a, b| column_of(a) == column_of(b)) {
        let low = (0..chunk.len()).min_by(|&a, &b| chunk[a][1].total_cmp(&chunk[b][1]));
        let high = (0..chunk.len()).max_by(|&a, &b| chunk[a][1].total_cmp(&chunk[b][1]));
        let (Some(low), Some(high)) = (low, high) else { continue };
        kept.push(chunk[low.min(high)]);
        if low != high {
            kept.push(chunk[low.max(high)]);
        }
    }
    kept
}

/// All lines at once, as text: every name with its value at the last point up to `x`.
fn reading(plot: &Plot, lines: &[Drawn], flags: &[Flag], x: f64) -> String {
    let unscaled = |v: f64, log: bool| if log { 10f64.powf(v) } else { v };
    let step = unscaled(x, plot.x.log).max(0.0);
    let mut text = format!("step {step:.0}");
    let mut said: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|line| !line.name.is_empty()) {
        let Some(y) = line.value_at(x) else { continue };
        if said.contains(&line.name.as_str()) {
            continue;
        }
        said.push(&line.name);
        text += &format!("\n{}: {:.4}", line.name, unscaled(y, plot.y.log));
    }
    for flag in flags {
        if (unscaled(flag.x, plot.x.log) - step).abs() < 0.02 * step.max(10.0) {
            text += &format!("\n{}", flag.text);
        }
    }
    text
}
