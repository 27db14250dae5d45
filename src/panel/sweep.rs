//! A sweep: a metric of all runs against the step, and any two numbers of the runs against each other at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Value;

use crate::base::error::did_you_mean;
use crate::base::question::MeasurementCall;
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Along, Axis, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};
use crate::numeric::correlation::{Coefficient, Undefined, median};
use crate::sweep::table::Relation;
use crate::sweep::{Run, Stage, Sweep as Runs, text};

use super::columns::{Family, label};
use super::compare::Compares;
use super::outputs::sentence;
use super::span::{self, Extent, Limits, Range, Span};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Sweep",
    look_for: "Whether the lines of different seeds jump at the same step, and whether the points on the other side lie on a line: two numbers that go together over runs.",
    click: "A click on a line or a point opens that run in all panels.",
    stack: Stack::RightAbove,
    aspect: 1.5,
    is_of_sweep: true,
    compares: Compares::Never,
    ..PanelKind::new("sweep", || Box::<Sweep>::default())
};

crate::settings! {
    /// The panel `sweep`.
    pub struct Sweep = "All runs of a sweep: a metric against the step, one line a run, and two numbers of the runs against each other at the end of training." {
        /// Metric of the lines, by its name in metrics.csv. Empty: in-context accuracy where it is recorded.
        metric: String = String::new(), @live;
        /// Number across of the points: a metric at the last evaluation, a setting that differs, seed, or formed_ and a mark. Empty: chosen by itself.
        x: String = String::new(), @live;
        /// Number upwards of the points. Empty: the metric of the lines.
        y: String = String::new(), @live;
        /// How far the axis of the metric goes: auto as far as the runs that did not diverge; all as far as all values; fixed between the two ends given below.
        range: Range = Range::Auto, @live;
        /// Lower end of the axis of the metric, where its range is fixed.
        y_min: f64 = 0.0, in -1e12..=1e12, @live;
        /// Upper end of the axis of the metric, where its range is fixed.
        y_max: f64 = 1.0, in -1e12..=1e12, @live;
        /// Setting that decides the colour of a run, by its path. Empty: the first that differs.
        color: String = String::new(), @live;
        /// A thick line: the median over the runs of one colour that are still there at a step.
        median: bool = true, @live;
    }
}

/// Metrics that a person asks for first.
const FIRST: [&str; 3] = ["accuracy_in_context", "accuracy", "loss"];
/// Numbers that these are thought to depend on.
const CAUSES: [&str; 4] = ["induction_score", "recall_wk2", "previous_token_score", "loss"];
/// More colours than this cannot be told apart: a colour map goes from the first to the last then.
const MOST_COLORS: usize = 6;

impl Panel for Sweep {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let Some(sweep) = view.sweep else {
            return sentence(
                "No sweep is open: train one with `mnemoscope sweep`, then open its folder.",
            );
        };
        if sweep.metrics().is_empty() {
            if let Some(problem) = sweep.runs.iter().find_map(|run| run.problem.as_deref()) {
                return sentence(format!("No run of this sweep can be read: {problem}"));
            }
            return sentence(
                "No run of this sweep has begun: go on with `mnemoscope sweep --out` and its folder.",
            );
        }
        let [metric, x, y] = self.chosen(sweep);
        let numbers = sweep.numbers();
        for (name, known) in
            [(&metric, sweep.metrics()), (&x, as_texts(&numbers)), (&y, as_texts(&numbers))]
        {
            if !known.contains(&name.as_str()) {
                return sentence(format!(
                    "The runs of this sweep have no number called \"{name}\".{}",
                    did_you_mean(name, known)
                ));
            }
        }
        let groups = match Groups::of(sweep, &self.color, view) {
            Ok(groups) => groups,
            Err(why) => return sentence(why),
        };
        if let Err(why) = self.limits().check() {
            return sentence(why);
        }
        let (bundle, past) = self.bundle(view, sweep, &groups, &metric);
        let plots = vec![bundle, self.scatter(view, sweep, &groups, [&x, &y])];
        let side_by_side = view.size[0] > 1.1 * view.size[1];
        let count = sweep.runs.len();
        Figure {
            title: format!("Sweep of {}: {count} runs", sweep.plan.name()),
            plots,
            columns: if side_by_side { 2 } else { 1 },
            caption: span::sentences([self.caption(sweep, [&x, &y]), past]),
            ..Figure::default()
        }
    }
}

fn as_texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

impl Sweep {
    /// The metric of the lines, and the two numbers of the points.
    pub fn chosen(&self, sweep: &Runs) -> [String; 3] {
        let metrics = sweep.metrics();
        let first = |wanted: &[&str], not: &str| {
            let found = wanted.iter().find(|name| metrics.contains(name) && **name != not);
            found
                .or_else(|| metrics.iter().find(|m| **m != not))
                .map_or("", |name| *name)
                .to_owned()
        };
        let or = |name: &String, other: &dyn Fn() -> String| {
            if name.is_empty() { other() } else { name.clone() }
        };
        let metric = or(&self.metric, &|| first(&FIRST, ""));
        let y = or(&self.y, &|| metric.clone());
        let x = or(&self.x, &|| first(&CAUSES, &y));
        [metric, x, y]
    }

    fn limits(&self) -> Limits {
        Limits { range: self.range, fixed: (self.y_min, self.y_max), log: false }
    }

    /// The lines, and what is said of those that leave the axis.
    fn bundle(
        &self,
        view: &View<'_>,
        sweep: &Runs,
        groups: &Groups,
        metric: &str,
    ) -> (Plot, String) {
        let (mut marks, mut mine) = (Vec::new(), Vec::new());
        let (mut ends, mut span, mut last) = (Vec::new(), Span::default(), 1.0);
        let mut lines: Vec<(&str, Arc<[[f64; 2]]>)> = Vec::new();
        for (i, run) in sweep.runs.iter().enumerate() {
            let Some(recording) = &run.recording else { continue };
            let points: Arc<[[f64; 2]]> = recording.series(metric).into();
            let Some(end) = points.iter().rfind(|p| !p[1].is_nan()).copied() else { continue };
            span.add(&points, span::end(recording), &self.limits());
            lines.push((&run.member.name, points.clone()));
            last = f64::max(last, end[0]);
            let in_view = is_in_view(view, sweep, i);
            let color = groups.color(i);
            let line = Mark::Line {
                name: run.member.name.clone(),
                points,
                color: if in_view { view.palette.ink } else { color.alpha(120) },
                width: if in_view { 1.4 } else { 0.7 },
                dash: Dash::Solid,
            };
            // The run in view lies on top of the others.
            if in_view {
                mine.push(line)
            } else {
                marks.push(line)
            }
            ends.push(point(sweep, i, end, color, 3.0));
        }
        let mut legend = groups.legend.clone();
        if !mine.is_empty() {
            legend.push(LegendEntry::line("in view", view.palette.ink, Dash::Solid));
        }
        marks.append(&mut mine);
        if self.median {
            marks.extend(medians(sweep, groups, metric));
        }
        marks.extend(ends);
        let family = Family::of(metric);
        let extent = span.extent();
        let range = match self.range {
            Range::Fixed => (self.y_min, self.y_max),
            Range::Auto | Range::All => padded((extent.low, extent.high), family.is_share()),
        };
        let past = lines.iter().filter_map(|(name, points)| span::past(name, points, range, false));
        let past = span::past_axes(&past.collect::<Vec<_>>());
        let plot = Plot {
            x: Axis { label: "step".to_owned(), range: (0.0, 1.02 * last), ..Axis::default() },
            y: Axis { label: axis_label(metric), range, ..Axis::default() },
            marks,
            legend,
            ..Plot::default()
        };
        (plot, past)
    }

    /// Two numbers of the runs against each other.
    fn scatter(&self, view: &View<'_>, sweep: &Runs, groups: &Groups, [x, y]: [&str; 2]) -> Plot {
        let mut marks = Vec::new();
        let (mut across, mut up) = (Vec::new(), Vec::new());
        let line = expected(sweep, [x, y]);
        let mut legend = Vec::new();
        if !line.is_empty() {
            let color = view.palette.ink;
            legend.push(LegendEntry::line("derivation", color, Dash::Dashed));
            up.extend(line.iter().map(|point| point[1]));
            marks.extend(Mark::curve("derivation", line, color, Dash::Dashed));
        }
        for i in 0..sweep.runs.len() {
            let (Some(x), Some(y)) = (sweep.number(i, x), sweep.number(i, y)) else { continue };
            across.push(x);
            up.push(y);
            if is_in_view(view, sweep, i) {
                marks.push(Mark::Points {
                    name: String::new(),
                    points: [[x, y]].into(),
                    colors: [view.palette.ink].into(),
                    diameter: 8.0,
                    picks: [].into(),
                });
            }
            marks.push(point(sweep, i, [x, y], groups.color(i), 5.0));
        }
        let metrics = sweep.metrics();
        let axis = |name: &str, values: &[f64]| {
            // Settings and steps are as they were chosen; what was measured may be wild.
            let is_measured = self.range != Range::All && metrics.contains(&name);
            let all = values.iter().copied();
            let limit = if is_measured { span::limit(all.clone()) } else { f64::MAX };
            let mut extent = Extent::default();
            all.filter(|v| v.abs() <= limit).for_each(|v| extent.add(v));
            Axis {
                label: axis_label(name),
                // As near as the points allow: it is how they lie to each other that counts.
                range: padded((extent.low, extent.high), false),
                along: Along::Values,
                ticks: Ticks::Auto,
            }
        };
        Plot { x: axis(x, &across), y: axis(y, &up), marks, legend, ..Plot::default() }
    }

    /// What the lines are, and how far the two numbers go together, in words.
    fn caption(&self, sweep: &Runs, [x, y]: [&str; 2]) -> String {
        let lines = if self.median {
            "Thin lines: one run each, which ends at its dot; thick: their median. "
        } else {
            "Lines: one run each, which ends at its dot. "
        };
        let values = |name: &str| -> Vec<f64> {
            let all = 0..sweep.runs.len();
            all.map(|run| sweep.number(run, name).unwrap_or(f64::NAN)).collect()
        };
        let relation = Relation::of(&values(x), &values(y));
        let left_out = match sweep.runs.len() - relation.pairs {
            0 => String::new(),
            n => format!("; {n} not finished or without one of the two"),
        };
        let damaged = match sweep.runs.iter().filter(|run| run.stage() == Stage::Damaged).count() {
            0 => String::new(),
            n => format!(", {n} of them damaged"),
        };
        let words = |outcome: &Result<Coefficient, Undefined>| {
            outcome.as_ref().map_or_else(ToString::to_string, ToString::to_string)
        };
        format!(
            "{lines}Points: {} finished runs at their end{left_out}{damaged}. Pearson's r {}. Spearman's ρ {}.",
            relation.pairs,
            words(&relation.pearson),
            words(&relation.spearman)
        )
    }
}

/// The name of a number for a person: of a setting its path, of a mark when it formed.
fn axis_label(name: &str) -> String {
    if let Some(what) = name.strip_prefix("formed_") {
        return format!("step at which formed: {}", what.replace('_', " "));
    }
    let family = Family::of(name);
    let nats = matches!(family, Family::Loss | Family::Divergence);
    let unit = if nats { " (nats)" } else { "" };
    if name.contains('.') && family == Family::Other {
        return name.to_owned();
    }
    format!("{}{unit}", label(name))
}

/// Values with room around them; a share has the whole of its scale.
fn padded((low, high): (f64, f64), share: bool) -> (f64, f64) {
    if share && low >= 0.0 && high <= 1.0 {
        return (-0.03, 1.03);
    }
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let room = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1.0) };
    (low - room, high + room)
}

/// What a derivation gives for one number of the runs, along another.
fn expected(sweep: &Runs, [x, y]: [&str; 2]) -> Vec<[f64; 2]> {
    let of = |run| Some([sweep.number(run, x)?, sweep.expected(run, y)?]);
    let mut points: Vec<[f64; 2]> = (0..sweep.runs.len()).filter_map(of).collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    points
}

fn is_in_view(view: &View<'_>, sweep: &Runs, run: usize) -> bool {
    let folder = view.runs.first().and_then(|(_, recording)| recording.folder.clone());
    folder.is_some() && folder == sweep.folder_of(run)
}

/// One point that stands for a run: a click opens it.
fn point(sweep: &Runs, run: usize, at: [f64; 2], color: Color, diameter: f32) -> Mark {
    Mark::Points {
        name: sweep.runs[run].member.name.clone(),
        points: [at].into(),
        colors: [color].into(),
        diameter,
        picks: [Pick::Run(run)].into(),
    }
}

/// The median over the runs of each colour, at every step that any of them has.
fn medians(sweep: &Runs, groups: &Groups, metric: &str) -> Vec<Mark> {
    let median_of = |group: usize| {
        let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let members = (0..sweep.runs.len()).filter(|&i| groups.of[i] == group);
        for recording in members.filter_map(|i| sweep.runs[i].recording.as_ref()) {
            let Some(column) = recording.column(metric) else { continue };
            for row in &recording.rows {
                if let Some(value) = row.values.get(column).filter(|v| v.is_finite()) {
                    at.entry(row.step).or_default().push(*value);
                }
            }
        }
        let points = at.into_iter();
        points.filter_map(|(step, v)| Some([step as f64, median(v)?])).collect::<Vec<_>>()
    };
    let line = |group: usize| Mark::Line {
        name: format!("median{}", groups.suffix(group)),
        points: median_of(group).into(),
        color: groups.colors[group],
        width: 2.2,
        dash: Dash::Solid,
    };
    (0..groups.colors.len()).map(line).collect()
}

/// Runs of one colour.
struct Groups {
    /// The group of each run.
    of: Vec<usize>,
    /// Colour and words of each group.
    colors: Vec<Color>,
    texts: Vec<String>,
    legend: Vec<LegendEntry>,
}

impl Groups {
    /// Groups by the setting at `path`, by the first that differs where that is empty.
    ///
    /// # Errors
    /// When no setting of the sweep is called that: a sentence.
    fn of(sweep: &Runs, path: &str, view: &View<'_>) -> Result<Self, String> {
        let settings = &sweep.plan.settings;
        let known = || settings.iter().map(|(name, _)| name.as_str());
        let at = if path.is_empty() { (!settings.is_empty()).then_some(0) } else { None };
        let at = at.or_else(|| known().position(|name| name == path));
        let Some(at) = at else {
            if !path.is_empty() {
                return Err(format!(
                    "No setting called \"{path}\" differs in this sweep.{}",
                    did_you_mean(path, known())
                ));
            }
            return Ok(Self {
                of: vec![0; sweep.runs.len()],
                colors: vec![colors::line(view.palette, 0)],
                texts: Vec::new(),
                legend: Vec::new(),
            });
        };
        let (path, values) = &settings[at];
        let color = |i: usize| {
            if values.len() <= MOST_COLORS {
                return colors::line(view.palette, i);
            }
            // The ends of the map are too near to the paper.
            ColorMap::Viridis.at(0.05 + 0.8 * i as f32 / (values.len() - 1) as f32)
        };
        let colors: Vec<Color> = (0..values.len()).map(color).collect();
        let name = sweep.plan.short_names().swap_remove(at);
        let texts: Vec<String> = values.iter().map(|v| format!("{name} {}", text(v))).collect();
        let entry = |(text, color): (&String, &Color)| LegendEntry {
            name: format!("median, {text}"),
            ..LegendEntry::line(text, *color, Dash::Solid)
        };
        let legend = texts.iter().zip(&colors).map(entry).collect();
        let group = |value: &Value| values.iter().position(|v| v == value).unwrap_or(0);
        let mine = |run: &Run| {
            let found = run.member.values.iter().find(|(name, _)| name == path);
            found.map_or(0, |(_, value)| group(value))
        };
        let of = sweep.runs.iter().map(mine).collect();
        Ok(Self { of, colors, texts, legend })
    }

    fn color(&self, run: usize) -> Color {
        self.colors[self.of[run]]
    }

    fn suffix(&self, group: usize) -> String {
        self.texts.get(group).map_or_else(String::new, |text| format!(", {text}"))
    }
}
