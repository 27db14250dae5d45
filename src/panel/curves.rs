//! Metrics against step: losses, accuracies, memories, heads and norms, of one run or several.

use std::sync::Arc;

use crate::base::convert::narrow;
use crate::base::event::MarkKind;
use crate::base::intervention::Intervention;
use crate::base::question::MeasurementCall;
use crate::base::settings;
use crate::figure::color::Color;
use crate::figure::{Along, Axis, Cell, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};
use crate::run_folder::Parent;
use crate::run_folder::recording::Recording;

use super::columns::{self, Family, label};
use super::compare::Compares;
use super::flags::{Phase, phases as step_phases};
use super::outputs::sentence;
use super::span::{self, Extent, Limits, Range, Span};
use super::step_marks::{self, LETTER, Lanes, StepAxis, flags};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Curves",
    look_for: "Jumps. Where in-context accuracy leaps and flags stand above, something has emerged; a pit is a cut, and ends where it was undone.",
    click: "A drag or a pinch zooms to a stretch of steps, a double click shows all. Pointing tells the values of a step.",
    stack: Stack::RightAbove,
    turn: 2,
    aspect: 1.2,
    compares: Compares::Never,
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
        Numbers = "numbers",
        All = "all",
    }
}

crate::choices! {
    /// Which runs are drawn beside the one in view.
    pub enum Runs { SameTask = "same task", This = "this run", All = "all" }
}

impl Runs {
    /// Whether a run is one of them.
    pub fn takes(self, in_view: &Recording, other: &Recording) -> bool {
        match self {
            Self::All => true,
            Self::This => false,
            Self::SameTask => same_task(&in_view.task, &other.task),
        }
    }
}

crate::settings! {
    /// The panel `curves`.
    pub struct Curves = "What was measured while the network learned, against the step." {
        /// Which metrics to draw. The summary shows losses, accuracies, memories, and of a series the best heads; numbers are trained tensors that are a single one.
        show: Show = Show::Summary, @live;
        /// Which runs to draw: the one in view and those of the same task (the same kind, and the same settings of the sequences that are measured; network and training may differ), the one in view alone, or all.
        runs: Runs = Runs::SameTask, @live;
        /// What is left out, with semicolons between: columns of the metrics, runs and the line of guessing, as in: loss; run birth-002; guessing. In the window the ticks of the legend write it.
        hide: String = String::new(), @live;
        /// Draw a branch, and the run that it left, against the steps since the branch.
        align: bool = false, @live;
        /// The step that stands at 0: that of a change of training, say, so that what follows it has a logarithmic axis of its own.
        since: usize = 0, in 0..=1000000000, @live;
        /// Steps on a logarithmic axis.
        log_x: bool = false, @live;
        /// Steps of a series of checkpoints that lie further and further apart stand evenly: each doubling of the step takes the same room, and step 0 has a place.
        doublings: bool = true, @live;
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
        /// Shade the phases of training, where the marks of the run tell of some.
        phases: bool = true, @live;
        /// A thin grey line where a network would be that guesses among the possible answers alike.
        chance: bool = true, @live;
    }
}

/// Lanes of flags above the first plot.
const LANES: usize = 3;
/// Name of the line of a network that has learned nothing, and what `hide` calls it.
pub const CHANCE: &str = "guessing";
/// What the labels of the value axis take, in points.
const MARGIN: f64 = 64.0;

impl Panel for Curves {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn draws_beside(&self, in_view: &Recording, other: &Recording) -> bool {
        self.runs.takes(in_view, other)
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let Some((_, first)) = view.runs.first() else {
            return sentence("No run yet: start one, or open a run folder.");
        };
        if view.runs.iter().all(|(_, run)| run.rows.is_empty()) {
            return sentence(nothing_yet(first));
        }
        if let Err(why) = self.limits().check() {
            return sentence(why);
        }
        let runs = self.chosen(view.runs);
        let axis = self.axis(view, &runs);
        let mut past = Vec::new();
        let families = Family::ALL.iter().filter(|family| self.wants(**family));
        let drawn = families.filter_map(|family| self.plot(view, &runs, *family, axis, &mut past));
        let mut plots = without_empty(drawn.collect());
        if plots.is_empty() {
            return sentence(format!(
                "This run records no {}: choose other metrics in the settings of this panel.",
                self.show.name()
            ));
        }
        // Many low plots are read better in two columns, which leave no common place for flags.
        let two = plots.len() > 3 && view.size[0] > 1.3 * view.size[1];
        let columns = if two { 2 } else { 1 };
        number_the_last(view, &mut plots, columns, &self.step_label(&runs));
        plots[0].legend.extend(run_legend(view, &runs));
        if !two {
            share_height(view, &mut plots);
        }
        if self.marks && !two && !first.marks.is_empty() && view.size[1] > 160.0 {
            plots.insert(0, self.flag_plot(view, first, axis));
        }
        let title = view.runs.first().map_or_else(String::new, |(name, _)| format!("Run {name}"));
        let caption = span::sentences([
            self.left_out(view.runs),
            self.unknown(view.runs),
            self.nothing_to_align(&runs),
            as_recorded(view),
            scored_so_far(first),
            span::past_axes(&past),
        ]);
        Figure { title, plots, columns, caption, ..Figure::default() }
    }
}

/// That there is nothing to draw, and when there will be.
fn nothing_yet(run: &Recording) -> &'static str {
    match run.sparse && run.recorded.len() > 1 {
        true => {
            "No step of this series is scored yet. In the window that happens by itself, while nobody asks anything else; for figures and films the command mnemoscope score does it."
        }
        false => "No evaluation is recorded here: the curves begin with the first one.",
    }
}

/// That rows of a series are still to come.
fn scored_so_far(run: &Recording) -> String {
    match run.scored {
        Some([done, all]) if done < all => format!("{done} of {all} steps are scored so far."),
        _ => String::new(),
    }
}

/// That a change which is only looked at is not in the curves.
fn as_recorded(view: &View<'_>) -> String {
    let is_past = view.step.is_some() || !view.live;
    let in_force =
        view.readings.is_some_and(|r| r.interventions.iter().any(Intervention::changes_forward));
    let said = "As recorded: what is in force now is not in the curves.";
    if is_past && in_force { said.to_owned() } else { String::new() }
}

impl Curves {
    fn wants(&self, family: Family) -> bool {
        match self.show {
            Show::All => true,
            Show::Summary => matches!(
                family,
                Family::Loss
                    | Family::SquaredError
                    | Family::Value
                    | Family::LossByGroup
                    | Family::Accuracy
                    | Family::Memory
                    | Family::BestHead
            ),
            Show::Losses => matches!(
                family,
                Family::Loss
                    | Family::SquaredError
                    | Family::LossByGroup
                    | Family::LossByPart
                    | Family::Divergence
            ),
            Show::Accuracies => matches!(family, Family::Accuracy | Family::Explained),
            Show::Memories => matches!(family, Family::Memory | Family::Divergence),
            Show::Heads => {
                matches!(family, Family::Head | Family::HeadOnTask | Family::BestHead)
            }
            Show::Norms => matches!(family, Family::Norm | Family::Gradient),
            Show::Numbers => family == Family::Value,
        }
    }

    /// What `hide` names.
    fn hidden(&self) -> impl Iterator<Item = &str> {
        self.hide.split(';').map(str::trim).filter(|name| !name.is_empty())
    }

    fn hides(&self, key: &str) -> bool {
        self.hidden().any(|name| name == key)
    }

    /// Hides what a key names, or shows it again.
    pub fn tick(&mut self, key: &str) {
        let others: Vec<&str> = self.hidden().filter(|name| *name != key).collect();
        let was_hidden = self.hides(key);
        let all = others.into_iter().chain((!was_hidden).then_some(key));
        self.hide = all.collect::<Vec<_>>().join("; ");
    }

    /// The run in view and those beside it, hidden ones too: their looks stay what they are.
    fn chosen<'a>(&self, runs: &'a [(String, Arc<Recording>)]) -> Vec<DrawnRun<'a>> {
        let Some((_, in_view)) = runs.first() else { return Vec::new() };
        let chosen = |(i, (_, run)): &(usize, &'a (String, Arc<Recording>))| {
            *i == 0 || self.runs.takes(in_view, run)
        };
        let chosen: Vec<_> = runs.iter().enumerate().filter(chosen).map(|(_, run)| run).collect();
        let drawn = |(index, (name, run)): (usize, &&'a (String, Arc<Recording>))| {
            let key = run_key(name, run);
            let hidden = chosen.len() > 1 && self.hides(&key);
            let origin = if self.align { origin(run, &chosen) } else { self.since as u64 };
            DrawnRun { name, run, style: RunStyle::of(index), key, hidden, origin }
        };
        chosen.iter().enumerate().map(drawn).collect()
    }

    /// The step of the run in view that stands at 0.
    pub fn origin(&self, runs: &[(String, Arc<Recording>)]) -> u64 {
        self.chosen(runs).first().map_or(0, |run| run.origin)
    }

    /// That there are other runs, and why they are not here.
    fn left_out(&self, runs: &[(String, Arc<Recording>)]) -> String {
        const MOST: usize = 3;
        let Some((_, in_view)) = runs.first() else { return String::new() };
        let out = runs.iter().skip(1).filter(|(_, run)| !self.runs.takes(in_view, run));
        let names: Vec<&str> = out.map(|(name, _)| name.as_str()).collect();
        let of = if self.runs == Runs::SameTask { " of other tasks" } else { "" };
        match names.as_slice() {
            [] => String::new(),
            [one] if of.is_empty() => format!("Not drawn: the run {one} (setting runs)."),
            [one] => format!("Not drawn: {one}, a run of another task (setting runs)."),
            names if names.len() <= MOST => {
                format!("Not drawn: {} runs{of}, {} (setting runs).", names.len(), names.join(", "))
            }
            names => format!("Not drawn: {} runs{of} (setting runs).", names.len()),
        }
    }

    /// What `hide` names that no run can have.
    fn unknown(&self, runs: &[(String, Arc<Recording>)]) -> String {
        let is_known = |name: &str| {
            name == CHANCE
                || name.starts_with(RUN)
                || columns::is_known(name)
                || runs.iter().any(|(_, run)| run.column(name).is_some())
        };
        let wrong: Vec<&str> = self.hidden().filter(|name| !is_known(name)).collect();
        match wrong.as_slice() {
            [] => String::new(),
            wrong => format!(
                "hide: {} is no column; expected names as in metrics.csv, \"run NAME\" or \"{CHANCE}\".",
                wrong.join(", ")
            ),
        }
    }

    fn step_label(&self, runs: &[DrawnRun<'_>]) -> String {
        let shifted = runs.iter().any(|run| run.origin > 0);
        match (shifted, self.align) {
            (false, _) => "step".to_owned(),
            (true, true) => "steps since the branch".to_owned(),
            (true, false) => format!("steps since step {}", self.since),
        }
    }

    fn nothing_to_align(&self, runs: &[DrawnRun<'_>]) -> String {
        let begins = |run: &DrawnRun<'_>| run.origin == 0 && run.run.parent.is_none();
        let nothing = self.align && runs.iter().all(begins);
        let said = "No run here is a branch of another: there is nothing to align.";
        if nothing { said.to_owned() } else { String::new() }
    }

    fn axis(&self, view: &View<'_>, runs: &[DrawnRun<'_>]) -> StepAxis {
        let shown: Vec<&DrawnRun<'_>> = runs.iter().filter(|run| !run.hidden).collect();
        let rows = || shown.iter().flat_map(|run| run.run.rows.iter().map(|row| run.x(row.step)));
        let reached = shown.iter().map(|run| run.x(run.run.last_step)).fold(0.0, f64::max);
        let last = rows().fold(reached, f64::max).max(1.0);
        let first = rows().fold(f64::INFINITY, f64::min);
        let first = if first.is_finite() { first } else { 0.0 };
        let range = if self.log_x {
            // A step of 0 has no logarithm: the axis begins at the first step after it.
            let first = rows().filter(|x| *x > 0.0).fold(f64::INFINITY, f64::min).min(last / 2.0);
            (first.max(0.5), last)
        } else {
            let first = if self.align { first } else { first.max(0.0) };
            (first.min(last - 1.0), last)
        };
        let origin = runs.first().map_or(0, |run| run.origin);
        let points = (f64::from(view.size[0]) - MARGIN).max(40.0);
        let first = runs.first().filter(|run| self.doublings && !self.log_x && run.origin == 0);
        let first = first.and_then(|run| run.run.doubles_from());
        let along = first.map_or(Along::log(self.log_x), |first| Along::Doublings(first as f64));
        StepAxis { range, along, points, origin }
    }

    fn limits(&self) -> Limits {
        Limits { range: self.range, fixed: (self.y_min, self.y_max), log: self.log_y }
    }

    /// The plot of a family; what leaves its axis is told in `past`.
    fn plot(
        &self,
        view: &View<'_>,
        runs: &[DrawnRun<'_>],
        family: Family,
        axis: StepAxis,
        past: &mut Vec<String>,
    ) -> Option<Plot> {
        let mut lines = self.lines_of(view, runs, family);
        let mut legend = self.column_legend(view, &lines);
        if legend.is_empty() {
            return None;
        }
        lines.retain(|line| !line.hidden);
        let mut span = Span::default();
        for line in &lines {
            let end = span::end(line.run.run).map(|step| step.saturating_sub(line.run.origin));
            span.add(&line.points, end, &self.limits());
        }
        let range = self.value_range(family, span.extent());
        let beyond = |line: &RunLine<'_>| span::past(&line.name, &line.points, range, self.log_y);
        past.extend(lines.iter().filter_map(beyond));
        let mut marks = self.shades(view, axis, range);
        marks.extend(uprights(view, axis, self.marks));
        marks.extend(lines.into_iter().flat_map(|line| self.drawn(view, line)));
        if let Some((line, entry)) = self.chance_line(view, family, axis, range) {
            marks.extend(line);
            legend.push(entry);
        }
        Some(Plot {
            x: Axis {
                label: String::new(),
                range: axis.range,
                along: axis.along,
                ticks: Ticks::Auto,
            },
            y: Axis {
                label: family.axis().to_owned(),
                range,
                along: Along::log(self.log_y),
                ticks: Ticks::Auto,
            },
            marks,
            legend,
            ..Plot::default()
        })
    }

    /// The lines of a family, column by column; of each the run in view last, so that it lies on top.
    fn lines_of<'a>(
        &self,
        view: &View<'_>,
        runs: &'a [DrawnRun<'a>],
        family: Family,
    ) -> Vec<RunLine<'a>> {
        let mut lines = Vec::new();
        for (index, column) in columns_of(view, runs, family).into_iter().enumerate() {
            for (r, run) in runs.iter().enumerate().rev() {
                let points = self.points(run, &column);
                let is_seen = |p: &[f64; 2]| !p[1].is_nan() && (!self.log_y || p[1] > 0.0);
                if points.iter().any(is_seen) {
                    let label = label(&column);
                    let name = if r == 0 { label } else { format!("{label} ({})", run.name) };
                    let hidden = run.hidden || self.hides(&column);
                    lines.push(RunLine {
                        name,
                        column: column.clone(),
                        index,
                        run,
                        points,
                        hidden,
                    });
                }
            }
        }
        lines
    }

    /// An entry for each column that has a line, hidden or not.
    fn column_legend(&self, view: &View<'_>, lines: &[RunLine<'_>]) -> Vec<LegendEntry> {
        let mut known: Vec<(usize, &str)> =
            lines.iter().map(|line| (line.index, line.column.as_str())).collect();
        known.sort_unstable();
        known.dedup();
        // The loss of real numbers is the sum of their squared errors.
        let said = |column: &str| match column {
            "loss" if view.net.reals => "all".to_owned(),
            column => columns::legend(column),
        };
        let entry = |(i, column): (usize, &str)| {
            let color = colors::line(view.palette, i);
            LegendEntry {
                name: label(column),
                key: column.to_owned(),
                hidden: self.hides(column),
                ..LegendEntry::line(said(column), color, Dash::Solid)
            }
        };
        known.into_iter().map(entry).collect()
    }

    /// `(step, value)` of a column from the beginning of the axis on.
    fn points(&self, run: &DrawnRun<'_>, column: &str) -> Vec<[f64; 2]> {
        let mut points = run.run.series(column);
        points.iter_mut().for_each(|p| p[0] -= run.origin as f64);
        points.retain(|p| !self.log_x || p[0] > 0.0);
        points
    }

    /// All points of a line: the window zooms into them; files thin them.
    fn drawn(&self, view: &View<'_>, of: RunLine<'_>) -> Vec<Mark> {
        let RunLine { name, points, index, run, .. } = of;
        let RunStyle { dash, alpha, .. } = run.style;
        let color = colors::line(view.palette, index).alpha(alpha);
        let line = |name: String, points: Vec<[f64; 2]>, color, width| {
            let points = points.into();
            Mark::Line { name, points, color, width, dash }
        };
        let width = run.style.width(index);
        if self.smooth <= 1 {
            return vec![line(name, points, color, width)];
        }
        let raw = format!("{name}, as measured");
        let smooth = smoothed(&points, self.smooth);
        vec![line(raw, points, color.alpha(alpha / 3), 0.8), line(name, smooth, color, width)]
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

    /// Where guessing among all possible answers alike would be, if that lies on the axis: its line unless it is hidden, and its entry.
    fn chance_line(
        &self,
        view: &View<'_>,
        family: Family,
        axis: StepAxis,
        range: (f64, f64),
    ) -> Option<(Option<Mark>, LegendEntry)> {
        let answers = view.net.answers as f64;
        let value = match family {
            Family::Loss | Family::LossByGroup | Family::LossByPart => answers.ln(),
            Family::Accuracy => 1.0 / answers,
            Family::Memory
            | Family::Divergence
            | Family::SquaredError
            | Family::Explained
            | Family::Value
            | Family::Head
            | Family::HeadOnTask
            | Family::BestHead
            | Family::Norm
            | Family::Gradient
            | Family::Other => return None,
        };
        if !self.chance || answers <= 1.0 || !(range.0..=range.1).contains(&value) {
            return None;
        }
        let (color, hidden) = (view.palette.faint, self.hides(CHANCE));
        let line = Mark::Line {
            name: CHANCE.to_owned(),
            points: Arc::from([[axis.range.0, value], [axis.range.1, value]]),
            color,
            width: 0.8,
            dash: Dash::Solid,
        };
        let entry = LegendEntry::line(CHANCE, color, Dash::Solid);
        Some(((!hidden).then_some(line), LegendEntry { key: CHANCE.to_owned(), hidden, ..entry }))
    }

    /// Phases of training behind the lines, every second one a little darker.
    fn shades(&self, view: &View<'_>, axis: StepAxis, (low, high): (f64, f64)) -> Vec<Mark> {
        let shade = |(i, (_, [from, to])): (usize, (Phase, [f64; 2]))| Mark::Rect {
            from: [from, low],
            to: [to, high],
            fill: Some(shade(view, i)),
            stroke: None,
            width: 0.0,
        };
        self.phases(view, axis).into_iter().enumerate().map(shade).collect()
    }

    /// The phases of the run in view with their ends on the axis.
    fn phases(&self, view: &View<'_>, axis: StepAxis) -> Vec<(Phase, [f64; 2])> {
        let Some((_, run)) = view.runs.first().filter(|_| self.phases) else { return Vec::new() };
        let (low, high) = axis.range;
        let ends = |phase: Phase| {
            let [from, to] = [phase.from, phase.to].map(|step| axis.x(step).clamp(low, high));
            (from < to).then_some((phase, [from, to]))
        };
        step_phases(&run.marks, run.last_step).into_iter().filter_map(ends).collect()
    }

    /// The names of phases below the flags.
    fn phase_names(&self, view: &View<'_>, axis: StepAxis) -> Vec<Cell> {
        let cell = |(i, (phase, [from, to])): (usize, (Phase, [f64; 2]))| {
            let room = axis.points_between(from, to);
            let fits = phase.name.chars().count() as f64 * LETTER + 6.0 <= room;
            let number = phase.name.split(' ').next().unwrap_or_default();
            Cell {
                from: [from, 0.1],
                to: [to, 0.9],
                text: if fits { phase.name } else { number }.to_owned(),
                fill: Some(shade(view, i)),
                stroke: None,
                ink: view.palette.ink,
                pick: Pick::Nothing,
                hover: format!("{}: steps {} to {}", phase.name, phase.from, phase.to),
                value: None,
            }
        };
        self.phases(view, axis).into_iter().enumerate().map(cell).collect()
    }

    /// A low plot above the others that names what happened.
    fn flag_plot(&self, view: &View<'_>, run: &Recording, axis: StepAxis) -> Plot {
        let names = self.phase_names(view, axis);
        let base = if names.is_empty() { 0.3 } else { 1.2 };
        let flags = flags(view, run, axis, Lanes { base, height: 1.0, most: LANES });
        let lanes = base + flags.lanes as f64;
        let hidden = |range, along| Axis { range, along, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            x: hidden(axis.range, axis.along),
            y: hidden((0.0, lanes), Along::Values),
            marks: [vec![Mark::Cells(names)], flags.into_marks()].concat(),
            weight: 0.13 * narrow(lanes) + 0.05,
            ..Plot::default()
        }
    }
}

/// The colour of a phase.
fn shade(view: &View<'_>, index: usize) -> Color {
    const STRENGTHS: [u8; 2] = [10, 26];
    view.palette.ink.alpha(STRENGTHS[index % STRENGTHS.len()])
}

/// A run that is drawn, or hidden.
struct DrawnRun<'a> {
    name: &'a str,
    run: &'a Recording,
    style: RunStyle,
    /// What `hide` calls it.
    key: String,
    hidden: bool,
    /// The step that stands at 0.
    origin: u64,
}

impl DrawnRun<'_> {
    fn x(&self, step: u64) -> f64 {
        step as f64 - self.origin as f64
    }
}

/// A column of a run.
struct RunLine<'a> {
    name: String,
    column: String,
    /// Of the column among those of its family: it decides the colour.
    index: usize,
    run: &'a DrawnRun<'a>,
    points: Vec<[f64; 2]>,
    hidden: bool,
}

/// What stands before the name of a run in `hide`.
const RUN: &str = "run ";

/// What `hide` calls a run: by its folder, whose name is the same in the window and on a sheet.
fn run_key(name: &str, run: &Recording) -> String {
    let folder = run.folder.as_deref().and_then(|folder| folder.file_name());
    let name = folder.map_or(name.into(), |folder| folder.to_string_lossy());
    // A semicolon ends a name.
    format!("{RUN}{}", name.replace(';', ","))
}

/// Whether the key of an entry is that of a run.
pub fn is_run(key: &str) -> bool {
    key.starts_with(RUN)
}

/// Settings of tasks that decide what is trained on, or what can be asked, and not what is measured.
const NOT_MEASURED: [&str; 5] = ["longest", "sparse", "pool", "lead_in", "lead_in_registers"];

/// Whether metrics of two runs mean the same: the kind of the task, and the settings of its sequences. What one of them does
/// not say, because an older version wrote it, is taken for the same; so is a task that is not known.
fn same_task(a: &toml::Table, b: &toml::Table) -> bool {
    let measured = |name: &str| !NOT_MEASURED.contains(&name);
    let mut both = a.iter().filter_map(|(name, value)| Some((name, value, b.get(name)?)));
    both.all(|(name, a, b)| !measured(name) || settings::same(a, b))
}

/// Where a run branched from another; else where one of these branched from it.
fn origin(run: &Recording, others: &[&(String, Arc<Recording>)]) -> u64 {
    let own = run.parent.as_ref().map(|parent| parent.step);
    let is_child = |parent: &&Parent| parent.folder.is_some() && parent.folder == run.folder;
    let parents = || others.iter().filter_map(|(_, other)| other.parent.as_ref());
    own.or_else(|| parents().find(is_child).map(|parent| parent.step)).unwrap_or(0)
}

/// Plots of which all lines are hidden give their room to the others; their entries stand in the legend of the last.
fn without_empty(plots: Vec<Plot>) -> Vec<Plot> {
    let has_lines =
        |plot: &Plot| plot.marks.iter().filter_map(line_name).any(|name| name != CHANCE);
    if !plots.iter().any(has_lines) {
        return plots;
    }
    let (mut kept, empty): (Vec<Plot>, Vec<Plot>) = plots.into_iter().partition(has_lines);
    if let Some(last) = kept.last_mut() {
        let entries = empty.into_iter().flat_map(|plot| plot.legend);
        last.legend.extend(entries.filter(|entry| entry.hidden && entry.key != CHANCE));
    }
    kept
}

fn line_name(mark: &Mark) -> Option<&str> {
    if let Mark::Line { name, .. } = mark { Some(name) } else { None }
}

/// Numbers the steps below the lowest plots only; the others share their axis.
fn number_the_last(view: &View<'_>, plots: &mut [Plot], columns: usize, label: &str) {
    let above = plots.len().saturating_sub(columns);
    for (i, plot) in plots.iter_mut().enumerate() {
        if i >= above {
            label.clone_into(&mut plot.x.label);
        } else {
            plot.x.ticks = Ticks::Hidden;
            plot.marks.insert(0, baseline(view, plot));
        }
    }
}

/// Gives all plots the same height of data: what stands above and below the axes of each is room of its own.
fn share_height(view: &View<'_>, plots: &mut [Plot]) {
    // About what a page takes, in points: a row of a legend, a letter in it with what stands around its text, the steps.
    const ROW: f32 = 9.0;
    const AROUND: f32 = 26.0;
    const STEPS: f32 = 24.0;
    const LEAST: f32 = 14.0;
    let width = 0.8 * view.size[0];
    let outside = |plot: &Plot| {
        let entries = plot.legend.iter().filter(|entry| !entry.hidden);
        let wide = entries.map(|e| e.text.chars().count() as f32 * narrow(LETTER) + AROUND);
        let rows = (wide.sum::<f32>() / width).ceil() * ROW;
        rows + if plot.x.ticks == Ticks::Hidden { 0.0 } else { STEPS }
    };
    let outside: Vec<f32> = plots.iter().map(outside).collect();
    let all: f32 = outside.iter().sum();
    let count = plots.len() as f32;
    let data = ((0.85 * view.size[1] - all) / count).max(LEAST);
    let mean = data + all / count;
    plots.iter_mut().zip(outside).for_each(|(plot, outside)| plot.weight = (data + outside) / mean);
}

/// The lower end of a plot without numbers.
fn baseline(view: &View<'_>, plot: &Plot) -> Mark {
    let ((left, right), (low, _)) = (plot.x.range, plot.y.range);
    let (from, to) = ([left, low], [right, low]);
    Mark::Rect { from, to, fill: None, stroke: Some(view.palette.faint), width: 0.5 }
}

/// Columns of a family that any of the runs has, in the order of the first run that has them.
fn columns_of(view: &View<'_>, runs: &[DrawnRun<'_>], family: Family) -> Vec<String> {
    let of = |column: &str| {
        let own = Family::of(column);
        if own == Family::Loss && view.net.reals { Family::SquaredError } else { own }
    };
    let mut columns: Vec<String> = Vec::new();
    for column in runs.iter().flat_map(|run| &run.run.columns) {
        if of(column) == family && !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// Emergence and interventions of the run in view, and the step in view.
fn uprights(view: &View<'_>, axis: StepAxis, with_marks: bool) -> Vec<Mark> {
    let upright = |step: u64, color, dash| {
        let x = axis.x(step);
        let inside = (axis.range.0..=axis.range.1).contains(&x);
        inside.then(|| Mark::Upright { x, text: String::new(), color, dash })
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

/// How the lines of a run are drawn, so that runs are told apart while a colour is a column.
#[derive(Clone, Copy)]
struct RunStyle {
    dash: Dash,
    alpha: u8,
}

impl RunStyle {
    /// Of the `index`-th run; the one in view is the first.
    fn of(index: usize) -> Self {
        const BROKEN: [Dash; 3] = [Dash::Dashed, Dash::Dotted, Dash::Long];
        let Some(other) = index.checked_sub(1) else {
            return Self { dash: Dash::Solid, alpha: 255 };
        };
        let round = other / BROKEN.len();
        let alpha = [190, 120, 70].get(round).copied().unwrap_or(45);
        Self { dash: BROKEN[other % BROKEN.len()], alpha }
    }

    /// Of the `index`-th column of the run in view: where lines lie over each other, those below are wider, so that all are seen.
    /// Those of other runs are thin.
    fn width(self, index: usize) -> f32 {
        const THINNEST: usize = 6;
        if self.dash == Dash::Solid { 1.8 - 0.12 * index.min(THINNEST) as f32 } else { 0.9 }
    }
}

/// Samples of the lines of each run, where there are several.
fn run_legend(view: &View<'_>, runs: &[DrawnRun<'_>]) -> Vec<LegendEntry> {
    if runs.len() < 2 {
        return Vec::new();
    }
    let entry = |run: &DrawnRun<'_>| {
        let color = view.palette.ink.alpha(run.style.alpha);
        let entry = LegendEntry::line(run.name, color, run.style.dash);
        LegendEntry { key: run.key.clone(), hidden: run.hidden, ..entry }
    };
    runs.iter().map(entry).collect()
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
