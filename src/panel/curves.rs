//! Metrics against step: losses, accuracies, memories, heads and norms, of one run or several.

use std::sync::Arc;

use crate::base::convert::narrow;
use crate::base::event::MarkKind;
use crate::base::question::MeasurementCall;
use crate::figure::color::Color;
use crate::figure::{Axis, Dash, Figure, LegendEntry, Mark, Plot, Ticks};
use crate::run_folder::recording::Recording;

use super::columns::{self, Family, label};
use super::outputs::sentence;
use super::span::{self, Extent, Limits, Range, Span};
use super::step_marks::{self, Lanes, StepAxis, flags};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Curves",
    look_for: "Jumps. Where in-context accuracy leaps and flags stand above, something has emerged; a pit is a cut, and ends where it was undone.",
    click: "A drag or a pinch zooms to a stretch of steps, a double click shows all. Pointing tells the values of a step.",
    stack: Stack::RightAbove,
    turn: 2,
    aspect: 1.2,
    ..PanelKind::new("curves", || Box::<Curves>::default())
};

crate::choices! {
    /// Which metrics are drawn.
    pub enum Show {
        Summary = "summary",
        Losses = "losses",
        Accuracies = "accuracies",
        Memories = "memories",
        Heads = "heads",
        Norms = "norms",
        All = "all",
    }
}

crate::settings! {
    /// The panel `curves`.
    pub struct Curves = "What was measured while the network learned, against the step." {
        /// Which metrics to draw. The summary shows losses, accuracies and memories.
        show: Show = Show::Summary, @live;
        /// Steps on a logarithmic axis.
        log_x: bool = false, @live;
        /// Values on a logarithmic axis; shares and losses of 0 cannot be drawn then.
        log_y: bool = false, @live;
        /// How far the axis of values goes: auto as far as ordinary values, so that a run on its way to infinity does not flatten all others; all as far as all values; fixed between the two ends given below.
        range: Range = Range::Auto, @live;
        /// Lower end of the axis of values, where its range is fixed.
        y_min: f64 = 0.0, in -1e12..=1e12, @live;
        /// Upper end of the axis of values, where its range is fixed.
        y_max: f64 = 1.0, in -1e12..=1e12, @live;
        /// Smooth each line by the mean of this many evaluations around every step; the measured line stays visible, faintly. 1 smooths nothing.
        smooth: usize = 1, in 1..=1001, @live;
        /// Name what emerged and what was changed on flags at the step where it happened.
        marks: bool = true, @live;
        /// A thin grey line where a network that guesses all tokens alike would be.
        chance: bool = true, @live;
    }
}

/// Lanes of flags above the first plot.
const LANES: usize = 3;
/// Name of the line of a network that has learned nothing.
const CHANCE: &str = "guessing";
/// What the labels of the value axis take, in points.
const MARGIN: f64 = 64.0;

impl Panel for Curves {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let Some((_, first)) = view.runs.first() else {
            return sentence("No run yet: start one, or open a run folder.");
        };
        if view.runs.iter().all(|(_, run)| run.rows.is_empty()) {
            return sentence(
                "No evaluation is recorded here: the curves begin with the first one.",
            );
        }
        if let Err(why) = self.limits().check() {
            return sentence(why);
        }
        let axis = self.axis(view);
        let mut past = Vec::new();
        let mut plots: Vec<Plot> = Family::ALL
            .iter()
            .filter(|family| self.wants(**family))
            .filter_map(|family| self.plot(view, *family, axis, &mut past))
            .collect();
        if plots.is_empty() {
            return sentence(format!(
                "This run records no {}: choose other metrics in the settings of this panel.",
                self.show.name()
            ));
        }
        // Many low plots are read better in two columns, which leave no common place for flags.
        let two = plots.len() > 3 && view.size[0] > 1.3 * view.size[1];
        let columns = if two { 2 } else { 1 };
        number_the_last(view, &mut plots, columns);
        plots[0].legend.extend(run_legend(view));
        if self.marks && !two && !first.marks.is_empty() && view.size[1] > 160.0 {
            plots.insert(0, self.flag_plot(view, first, axis));
        }
        let title = view.runs.first().map_or_else(String::new, |(name, _)| format!("Run {name}"));
        let caption = span::sentences([caption(view), span::past_axes(&past)]);
        Figure { title, plots, columns, caption, empty: None }
    }
}

impl Curves {
    fn wants(&self, family: Family) -> bool {
        match self.show {
            Show::All => true,
            Show::Summary => matches!(family, Family::Loss | Family::Accuracy | Family::Memory),
            Show::Losses => matches!(family, Family::Loss | Family::Divergence),
            Show::Accuracies => family == Family::Accuracy,
            Show::Memories => matches!(family, Family::Memory | Family::Divergence),
            Show::Heads => matches!(family, Family::Head | Family::HeadOnTask),
            Show::Norms => matches!(family, Family::Norm | Family::Gradient),
        }
    }

    fn axis(&self, view: &View<'_>) -> StepAxis {
        let rows = || view.runs.iter().flat_map(|(_, run)| &run.rows).map(|row| row.step);
        let reached = view.runs.iter().map(|(_, run)| run.last_step).max().unwrap_or(0);
        let last = rows().max().unwrap_or(0).max(reached).max(1) as f64;
        let first = rows().min().unwrap_or(0) as f64;
        let range = if self.log_x {
            // A step of 0 has no logarithm: the axis begins at the first step after it.
            let first = rows().filter(|&step| step > 0).min().unwrap_or(1) as f64;
            (first.min(last / 2.0).max(0.5), last)
        } else {
            (first.min(last - 1.0), last)
        };
        StepAxis { range, log: self.log_x, points: (f64::from(view.size[0]) - MARGIN).max(40.0) }
    }

    fn limits(&self) -> Limits {
        Limits { range: self.range, fixed: (self.y_min, self.y_max), log: self.log_y }
    }

    /// The plot of a family; what leaves its axis is told in `past`.
    fn plot(
        &self,
        view: &View<'_>,
        family: Family,
        axis: StepAxis,
        past: &mut Vec<String>,
    ) -> Option<Plot> {
        let columns = columns_of(view, family);
        let mut marks = Vec::new();
        let mut legend = Vec::new();
        let (mut span, mut drawn_lines) = (Span::default(), Vec::new());
        for (i, column) in columns.iter().enumerate() {
            let color = colors::line(view.palette, i);
            let mut drawn = false;
            // The run in view last, so that it lies on top.
            for (r, (name, run)) in view.runs.iter().enumerate().rev() {
                let points = self.points(run, column);
                let is_seen = |p: &[f64; 2]| !p[1].is_nan() && (!self.log_y || p[1] > 0.0);
                if !points.iter().any(is_seen) {
                    continue;
                }
                span.add(&points, span::end(run), &self.limits());
                let name =
                    if r == 0 { label(column) } else { format!("{} ({name})", label(column)) };
                drawn_lines.push((name.clone(), points.clone()));
                marks.extend(self.lines(name, points, color, RunStyle::of(r)));
                drawn = true;
            }
            if drawn {
                let name = label(column);
                let entry = LegendEntry::line(columns::legend(column), color, Dash::Solid);
                legend.push(LegendEntry { name, ..entry });
            }
        }
        if legend.is_empty() {
            return None;
        }
        let range = self.value_range(family, span.extent());
        past.extend(
            drawn_lines
                .iter()
                .filter_map(|(name, points)| span::past(name, points, range, self.log_y)),
        );
        if let Some(line) = self.chance_line(view, family, axis, range) {
            marks.push(line);
            let color = view.palette.faint;
            legend.push(LegendEntry::line(CHANCE, color, Dash::Solid));
        }
        let mut below = uprights(view, axis, self.marks);
        below.extend(marks);
        Some(Plot {
            x: Axis { label: String::new(), range: axis.range, log: axis.log, ticks: Ticks::Auto },
            y: Axis { label: family.axis().to_owned(), range, log: self.log_y, ticks: Ticks::Auto },
            marks: below,
            legend,
            ..Plot::default()
        })
    }

    /// `(step, value)` of a column from the beginning of the axis on.
    fn points(&self, run: &Recording, column: &str) -> Vec<[f64; 2]> {
        let mut points = run.series(column);
        points.retain(|p| !self.log_x || p[0] > 0.0);
        points
    }

    /// All points of a line: the window zooms into them; files thin them.
    fn lines(
        &self,
        name: String,
        points: Vec<[f64; 2]>,
        color: Color,
        style: RunStyle,
    ) -> Vec<Mark> {
        let color = color.alpha(style.alpha);
        let dash = style.dash;
        let line = |name: String, points: Vec<[f64; 2]>, color, width| {
            let points = points.into();
            Mark::Line { name, points, color, width, dash }
        };
        if self.smooth <= 1 {
            return vec![line(name, points, color, 1.4)];
        }
        let raw = format!("{name}, as measured");
        let smooth = smoothed(&points, self.smooth);
        vec![line(raw, points, color.alpha(style.alpha / 3), 0.8), line(name, smooth, color, 1.6)]
    }

    fn value_range(&self, family: Family, values: Extent) -> (f64, f64) {
        if self.range == Range::Fixed {
            return (self.y_min, self.y_max);
        }
        if values.is_empty() {
            return (0.0, 1.0);
        }
        if self.log_y {
            let high = if family.is_share() { 1.0 } else { values.high };
            return (values.low.min(high / 2.0), high.max(values.low) * 1.1);
        }
        if family.is_share() && values.low >= 0.0 && values.high <= 1.0 {
            return (0.0, 1.03);
        }
        let room = (values.high - values.low.min(0.0)) * 0.05;
        let high = values.high + if room > 0.0 { room } else { 1.0 };
        (values.low.min(0.0), high)
    }

    /// Where guessing all tokens alike would be, if that lies on the axis.
    fn chance_line(
        &self,
        view: &View<'_>,
        family: Family,
        axis: StepAxis,
        range: (f64, f64),
    ) -> Option<Mark> {
        let vocab = view.net.vocab as f64;
        let value = match family {
            Family::Loss => vocab.ln(),
            Family::Accuracy => 1.0 / vocab,
            Family::Memory
            | Family::Divergence
            | Family::Head
            | Family::HeadOnTask
            | Family::Norm
            | Family::Gradient
            | Family::Other => return None,
        };
        let shown = self.chance && vocab > 1.0;
        (shown && (range.0..=range.1).contains(&value)).then(|| Mark::Line {
            name: CHANCE.to_owned(),
            points: Arc::from([[axis.range.0, value], [axis.range.1, value]]),
            color: view.palette.faint,
            width: 0.8,
            dash: Dash::Solid,
        })
    }

    /// A low plot above the others that names what happened.
    fn flag_plot(&self, view: &View<'_>, run: &Recording, axis: StepAxis) -> Plot {
        let flags = flags(view, run, axis, Lanes { base: 0.3, height: 1.0, most: LANES });
        let lanes = 0.3 + flags.lanes as f64;
        let hidden = |range, log| Axis { range, log, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            x: hidden(axis.range, axis.log),
            y: hidden((0.0, lanes), false),
            marks: flags.into_marks(),
            weight: 0.13 * narrow(lanes) + 0.05,
            ..Plot::default()
        }
    }
}

/// Numbers the steps below the lowest plots only; the others share their axis.
fn number_the_last(view: &View<'_>, plots: &mut [Plot], columns: usize) {
    let above = plots.len().saturating_sub(columns);
    for (i, plot) in plots.iter_mut().enumerate() {
        if i >= above {
            plot.x.label = "step".to_owned();
        } else {
            plot.x.ticks = Ticks::Hidden;
            plot.marks.insert(0, baseline(view, plot));
        }
    }
}

/// The lower end of a plot without numbers.
fn baseline(view: &View<'_>, plot: &Plot) -> Mark {
    let ((left, right), (low, _)) = (plot.x.range, plot.y.range);
    let (from, to) = ([left, low], [right, low]);
    Mark::Rect { from, to, fill: None, stroke: Some(view.palette.faint), width: 0.5 }
}

/// Columns of a family that any of the runs has, in the order of the first run that has them.
fn columns_of(view: &View<'_>, family: Family) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for column in view.runs.iter().flat_map(|(_, run)| &run.columns) {
        if Family::of(column) == family && !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// Emergence and interventions of the run in view, and the step in view.
fn uprights(view: &View<'_>, axis: StepAxis, with_marks: bool) -> Vec<Mark> {
    let upright = |step: u64, color, dash| {
        let inside = (axis.range.0..=axis.range.1).contains(&(step as f64));
        inside.then(|| Mark::Upright { x: step as f64, text: String::new(), color, dash })
    };
    let Some((_, run)) = view.runs.first() else { return Vec::new() };
    let marks = run.marks.iter().filter(|_| with_marks);
    let mut uprights: Vec<Mark> = marks
        .filter_map(|mark| {
            let color = step_marks::color(mark.kind, view.palette).alpha(170);
            let emerged = mark.kind == MarkKind::Emergence;
            upright(mark.step, color, if emerged { Dash::Solid } else { Dash::Dashed })
        })
        .collect();
    uprights.extend(view.step.and_then(|step| upright(step, view.palette.ink, Dash::Solid)));
    uprights
}

fn caption(view: &View<'_>) -> String {
    let names: Vec<&str> = view.runs.iter().map(|(name, _)| name.as_str()).collect();
    match names.as_slice() {
        [] | [_] => String::new(),
        names => {
            let said = |(r, name): (usize, &&str)| format!("{}: {name}.", RunStyle::of(r).words());
            names.iter().enumerate().map(said).collect::<Vec<_>>().join(" ")
        }
    }
}

/// How the lines of a run are drawn, so that runs are told apart while a colour is a column.
#[derive(Clone, Copy)]
struct RunStyle {
    dash: Dash,
    alpha: u8,
    /// How often all kinds of dashes were used before.
    round: usize,
}

impl RunStyle {
    /// Of the `index`-th run; the one in view is the first.
    fn of(index: usize) -> Self {
        const BROKEN: [Dash; 3] = [Dash::Dashed, Dash::Dotted, Dash::Long];
        let Some(other) = index.checked_sub(1) else {
            return Self { dash: Dash::Solid, alpha: 255, round: 0 };
        };
        let round = other / BROKEN.len();
        let alpha = [190, 120, 70].get(round).copied().unwrap_or(45);
        Self { dash: BROKEN[other % BROKEN.len()], alpha, round }
    }

    fn words(self) -> String {
        let kind = match self.dash {
            Dash::Solid => "Solid",
            Dash::Dashed => "Dashed",
            Dash::Dotted => "Dotted",
            Dash::Long => "Long dashes",
        };
        match self.round {
            0 => kind.to_owned(),
            1 => format!("{kind}, pale"),
            round => format!("{kind}, {round} times paler"),
        }
    }
}

/// Samples of the lines of each run, where there are several.
fn run_legend(view: &View<'_>) -> Vec<LegendEntry> {
    if view.runs.len() < 2 {
        return Vec::new();
    }
    let entry = |(r, (name, _)): (usize, &(String, Arc<Recording>))| {
        let style = RunStyle::of(r);
        LegendEntry::line(name, view.palette.ink.alpha(style.alpha), style.dash)
    };
    view.runs.iter().enumerate().map(entry).collect()
}

/// Values from here on would leave nothing of the others in a sum.
const HUGE: f64 = 1e9;

/// Mean over those of the `window` values around each that are defined, fewer where the line begins and ends; undefined
/// where the line is.
fn smoothed(points: &[[f64; 2]], window: usize) -> Vec<[f64; 2]> {
    // Sums and counts of all before each point, and how many of them are huge.
    let mut sums = Vec::with_capacity(points.len() + 1);
    sums.push((0.0, 0u32, 0u32));
    for point in points {
        let (sum, count, huge) = sums[sums.len() - 1];
        sums.push(match point[1] {
            value if !value.is_finite() => (sum, count, huge),
            value if value.abs() < HUGE => (sum + value, count + 1, huge),
            _ => (sum, count, huge + 1),
        });
    }
    let smooth = |(i, point): (usize, &[f64; 2])| {
        // As many on one side as on the other, so that a line that rises is not pushed sideways.
        let half = (window / 2).min(i).min(points.len() - 1 - i);
        let around = i - half..i + half + 1;
        let ((before, none, calm), (sum, count, huge)) = (sums[around.start], sums[around.end]);
        let mean = match huge - calm {
            0 => (sum - before) / f64::from(count - none),
            _ => mean(points[around].iter().map(|p| p[1]).filter(|v| v.is_finite())),
        };
        [point[0], if point[1].is_finite() { mean } else { point[1] }]
    };
    points.iter().enumerate().map(smooth).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
    sum / f64::from(count)
}
