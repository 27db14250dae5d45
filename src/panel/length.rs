//! Accuracy against the length of sequences, and against another setting of the task: how far what was learned goes.

use crate::base::analysis::Varied;
use crate::base::convert::narrow;
use crate::base::plain::Plain;
use crate::base::question::{Found, MeasurementCall, Reading};
use crate::figure::color::Color;
use crate::figure::{Along, Axis, Cell, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};
use crate::run_folder::recording::Recording;

use super::compare::{self, Compares};
use super::curves::Runs;
use super::outputs::{array, long_answer, number};
use super::{Beside, NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Length",
    look_for: "A line that stays high to the right of the training length (the upright): what was learned is a rule that goes on. One that falls to chance (dotted) there is a shortcut that holds for the lengths that were seen.",
    click: "A click does nothing here; pointing at a length tells its accuracy. Other runs of the same task that are open in the window are drawn with it.",
    stack: Stack::MiddleAbove,
    aspect: 0.6,
    compares: Compares::Together,
    example: "parity-transformer",
    controls: &[("over", "Vary"), ("values", "Values"), ("causes", "Causes")],
    ..PanelKind::new("length", || Box::<Length>::default())
};

crate::settings! {
    /// The panel `length`: curves of the analysis of the same name.
    pub struct Length = "How well the network does on longer sequences than it was trained on, by length and by position; or where another setting of the task has other values." {
        /// What is varied.
        varied: Varied = Varied::default();
        /// Which runs to draw: the one in view and those of the same task (the same kind, and the same settings of the sequences that are measured; network and training may differ), the one in view alone, or all. The others are asked at their last step.
        runs: Runs = Runs::SameTask, @live;
        /// Values on a logarithmic scale.
        log: bool = true, @live;
    }
}

/// What is said before the first answer.
const WAITING: &str =
    "Longer sequences are tried one after the other: the first result comes in a moment.";

impl Panel for Length {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn draws_beside(&self, in_view: &Recording, other: &Recording) -> bool {
        self.runs.takes(in_view, other)
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Length {
    /// The analysis with these settings; those that say nothing are left out.
    fn call(&self) -> MeasurementCall {
        let Varied { over, values, sequences, causes } = &self.varied;
        let mut call = MeasurementCall::new("length");
        for (name, text) in [("over", over.trim()), ("values", values.trim())] {
            if !text.is_empty() {
                call = call.with(name, text);
            }
        }
        if *causes {
            call = call.with("causes", true);
        }
        let usual = Varied::default();
        match i64::try_from(*sequences) {
            Ok(count) if *sequences != usual.sequences => call.with("sequences", count),
            Ok(_) | Err(_) => call,
        }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let (courses, lacking) = self.courses(view)?;
        let title = match &*courses {
            [one] => format!("Accuracy against {}, step {}", self.name(), one.step),
            _ => format!("Accuracy against {}", self.name()),
        };
        let mut plots = vec![self.by_value(view, &courses)];
        plots.extend(by_position(view, &courses, self.is_length()));
        plots.extend(local(view, &courses[0]));
        let columns = columns(plots.len(), view.size);
        let caption = courses.iter().map(|course| course.in_words(self.is_length()));
        let caption = caption.chain(lacking).collect::<Vec<String>>().join(" ");
        Ok(Figure { title, plots, columns, caption, ..Figure::default() })
    }

    /// How those do that are drawn, the one in view first: both of two that are compared, or the runs that are drawn with it; and why
    /// some of these are not there.
    fn courses(&self, view: &View<'_>) -> Result<(Vec<Course>, Vec<String>), Figure> {
        let call = self.call();
        let color = |i: usize| colors::line(view.palette, i);
        let of = |view: &View<'_>, said: String, i: usize| {
            let (reading, found) = long_answer(view, &call, WAITING)?;
            Course::new(reading, found, said, color(i))
        };
        if let Some(other) = view.against {
            let [said, other_said] = compare::said(view, other, KIND.is_of_head);
            let a = of(view, format!("A: {said}"), 0)?;
            return Ok((vec![a, of(other, format!("B: {other_said}"), 1)?], Vec::new()));
        }
        let own = view.runs.first().filter(|_| !view.beside.is_empty());
        let mut courses = vec![of(view, own.map_or(String::new(), |(name, _)| name.clone()), 0)?];
        let mut lacking = Vec::new();
        for (i, Beside { name, analyzed }) in view.beside.iter().enumerate() {
            let found = analyzed.get(&call);
            match found.and_then(|found| Some((found.reading.as_ref()?, found))) {
                None => lacking.push(format!("{name} has not answered yet.")),
                Some((Err(why), _)) => lacking.push(format!("{name}: {}.", why.clause())),
                Some((Ok(reading), found)) => {
                    courses.push(Course::new(reading, found, name.clone(), color(i + 1))?);
                }
            }
        }
        Ok((courses, lacking))
    }

    /// What is varied.
    fn name(&self) -> String {
        match self.varied.over.trim() {
            "" => "length".to_owned(),
            over if over.starts_with("task.") => over.to_owned(),
            over => format!("task.{over}"),
        }
    }

    fn is_length(&self) -> bool {
        self.varied.over.trim().is_empty()
    }

    fn by_value(&self, view: &View<'_>, courses: &[Course]) -> Plot {
        let ends = courses.iter().flat_map(|course| course.xs(self.is_length()));
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let log = self.log && self.is_length() && low > 0.0;
        let range = around(low, high, log);
        let mut marks = Vec::new();
        for (i, course) in courses.iter().enumerate().rev() {
            // One guess for all: networks of one task are compared.
            if i == 0 {
                marks.push(level(view, range, course.chance));
            }
            marks.extend(course.curves(self.is_length()));
            if i == 0 {
                marks.extend(course.curves_without(view, self.is_length(), courses.len()));
            }
            let text = if i == 0 { "trained".to_owned() } else { String::new() };
            let x = course.trained(self.is_length());
            marks.push(Mark::Upright { x, text, color: view.palette.faint, dash: Dash::Dashed });
        }
        marks.push(Mark::Cells(cells(view, courses, self.is_length(), log)));
        let ticks = ticks(&courses[0].xs(self.is_length()), log);
        let unit =
            if self.is_length() { "positions of a sequence".to_owned() } else { self.name() };
        Plot {
            x: Axis { label: unit, range, along: Along::log(log), ticks },
            y: Axis { label: "accuracy".to_owned(), range: (0.0, TOP), ..Axis::default() },
            legend: legend(view, courses),
            marks,
            ..Plot::default()
        }
    }
}

/// How many of these plots stand side by side, so that each is as large as it can be.
fn columns(count: usize, [width, height]: [f32; 2]) -> usize {
    let side = |columns: &usize| {
        let (columns, rows) = (*columns as f32, count.div_ceil(*columns) as f32);
        (width / columns).min(1.3 * height / rows)
    };
    (1..=count).max_by(|a, b| side(a).total_cmp(&side(b))).unwrap_or(1)
}

/// The end of the axis of accuracies: room for a text above the lines.
const TOP: f64 = 1.16;

/// Ends of an axis with some room.
fn around(low: f64, high: f64, log: bool) -> (f64, f64) {
    if log {
        return (low / 1.15, high.max(low * 1.01) * 1.15);
    }
    let room = 0.04 * (high - low).max(1e-6);
    (low - room, high + room)
}

/// The values themselves, where they fit.
fn ticks(xs: &[f64], log: bool) -> Ticks {
    if !log {
        return Ticks::Auto;
    }
    Ticks::At(xs.iter().map(|x| (*x, Plain(*x).to_string())).collect())
}

/// The accuracy of guessing.
fn level(view: &View<'_>, (low, high): (f64, f64), chance: f64) -> Mark {
    Mark::Line {
        name: "chance".to_owned(),
        points: [[low, chance], [high, chance]].into(),
        color: view.palette.faint,
        width: 1.2,
        dash: Dash::Dotted,
    }
}

/// Causes of failure and what is said of a curve without one of them.
const WITHOUT: [(&str, &str); 3] = [
    ("positions", "positions wrapped"),
    ("dilution", "attention sharpened"),
    ("mlp", "MLP kept in range"),
];

/// How one network does.
struct Course {
    said: String,
    color: Color,
    step: u64,
    values: Vec<f64>,
    positions: Vec<f64>,
    accuracy: Vec<f64>,
    last: Vec<f64>,
    /// `[value][position]`
    by_position: Vec<Vec<f64>>,
    /// Accuracy with a cause of failure taken out of the way.
    without: Vec<(&'static str, Vec<f64>)>,
    /// `[value][radius]`
    local: Vec<Vec<f64>>,
    /// The value in training, and how many positions that were.
    trained: [f64; 2],
    chance: f64,
}

impl Course {
    fn new(reading: &Reading, found: &Found, said: String, color: Color) -> Result<Self, Figure> {
        let doubles = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let of = |name: &str| array(reading, name, 1).map(|array| doubles(&array.data));
        let places = array(reading, "by_position", 2)?;
        let finite = |x: &f64| if x.is_finite() { *x } else { 0.0 };
        let number = |name: &str| reading.number(name).as_ref().map_or(0.0, finite);
        let known = |name: &str| of(name).map(|all| all.iter().map(finite).collect::<Vec<f64>>());
        Ok(Self {
            said,
            color,
            step: found.step,
            values: known("value")?,
            positions: known("positions")?,
            accuracy: of("accuracy")?,
            last: of("last")?,
            by_position: (0..places.shape[0]).map(|i| doubles(places.outer(i))).collect(),
            without: WITHOUT
                .iter()
                .filter_map(|(name, said)| {
                    let array = reading.array(&format!("accuracy.{name}"))?;
                    Some((*said, doubles(&array.data)))
                })
                .collect(),
            local: reading.array("local").map_or_else(Vec::new, |array| {
                (0..array.shape[0]).map(|i| doubles(array.outer(i))).collect()
            }),
            trained: ["trained", "trained_positions"].map(number),
            chance: number("chance"),
        })
    }

    fn xs(&self, is_length: bool) -> Vec<f64> {
        if is_length { self.positions.clone() } else { self.values.clone() }
    }

    fn trained(&self, is_length: bool) -> f64 {
        self.trained[usize::from(is_length)]
    }

    /// The last position is told apart where it is not all that is asked.
    fn tells_last(&self) -> bool {
        self.accuracy.iter().zip(&self.last).any(|(a, b)| (a - b).abs() > 1e-6)
    }

    fn curves(&self, is_length: bool) -> Vec<Mark> {
        let points =
            |ys: &[f64]| self.xs(is_length).into_iter().zip(ys).map(|(x, y)| [x, *y]).collect();
        let mut marks = Vec::new();
        if self.tells_last() {
            marks.extend(Mark::curve("last", points(&self.last), self.color, Dash::Dashed));
        }
        marks.extend(Mark::curve("accuracy", points(&self.accuracy), self.color, Dash::Solid));
        marks
    }

    /// Curves with one cause of failure taken out of the way, beside those of so many networks.
    fn curves_without(&self, view: &View<'_>, is_length: bool, networks: usize) -> Vec<Mark> {
        let curve = |(i, (said, ys)): (usize, &(&'static str, Vec<f64>))| {
            let points = self.xs(is_length).into_iter().zip(ys).map(|(x, y)| [x, *y]).collect();
            let color = colors::line(view.palette, networks + 1 + i);
            Mark::curve(said, points, color, Dash::Dashed)
        };
        self.without.iter().enumerate().flat_map(curve).collect()
    }

    /// What the eye should have met.
    fn in_words(&self, is_length: bool) -> String {
        let trained = self.trained(is_length);
        let xs = self.xs(is_length);
        let near = |i: &usize| (xs[*i] - trained).abs();
        let here = (0..xs.len()).min_by(|a, b| near(a).total_cmp(&near(b)));
        let far = (0..xs.len()).next_back();
        let (Some(here), Some(far)) = (here, far) else { return String::new() };
        let share = |x: f64| format!("{} %", Plain((1000.0 * x).round() / 10.0));
        let what = if is_length { " positions" } else { "" };
        let who = if self.said.is_empty() { String::new() } else { format!("{}: ", self.said) };
        let last = match self.tells_last() {
            true => format!(" ({} at the last)", share(self.last[far])),
            false => String::new(),
        };
        format!(
            "{who}{} right at {}{what}, {} at {}{what}{last}; guessing: {}.",
            share(self.accuracy[here]),
            Plain(xs[here]),
            share(self.accuracy[far]),
            Plain(xs[far]),
            share(self.chance)
        )
    }
}

/// Which run is which, and which line.
fn legend(view: &View<'_>, courses: &[Course]) -> Vec<LegendEntry> {
    let faint = view.palette.faint;
    let mut entries = Vec::new();
    for course in courses {
        if courses.len() > 1 {
            entries.push(LegendEntry::line(course.said.clone(), course.color, Dash::Solid));
        } else {
            entries.push(LegendEntry::line("all positions", course.color, Dash::Solid));
        }
    }
    if courses.iter().any(Course::tells_last) {
        let color = if courses.len() > 1 { faint } else { courses[0].color };
        entries.push(LegendEntry::line("the last position", color, Dash::Dashed));
    }
    for (i, (said, _)) in courses[0].without.iter().enumerate() {
        let color = colors::line(view.palette, courses.len() + 1 + i);
        entries.push(LegendEntry::line(*said, color, Dash::Dashed));
    }
    entries.push(LegendEntry::line("guessing", faint, Dash::Dotted));
    entries
}

/// Over each value of the first network: all numbers on hover.
fn cells(view: &View<'_>, courses: &[Course], is_length: bool, log: bool) -> Vec<Cell> {
    let xs = courses[0].xs(is_length);
    let middle = |a: f64, b: f64| if log { (a * b).sqrt() } else { f64::midpoint(a, b) };
    let (low, high) = around(xs[0], xs[xs.len() - 1], log);
    let cell = |(i, x): (usize, &f64)| {
        let from = if i == 0 { low } else { middle(xs[i - 1], *x) };
        let to = xs.get(i + 1).map_or(high, |next| middle(*x, *next));
        let told = courses.iter().filter_map(|course| {
            let i = course.xs(is_length).iter().position(|other| other == x)?;
            let (all, last) = (course.accuracy.get(i)?, course.last.get(i)?);
            let who = if course.said.is_empty() { "" } else { &course.said };
            let [all, last] = [all, last].map(|y| number(narrow(*y)));
            Some(format!("\n{who} accuracy {all}, at the last position {last}"))
        });
        Cell {
            from: [from, 0.0],
            to: [to, TOP],
            text: String::new(),
            fill: None,
            stroke: None,
            ink: view.palette.ink,
            pick: Pick::Nothing,
            hover: format!("{}{}", Plain(*x), told.collect::<String>()),
            value: None,
        }
    };
    xs.iter().enumerate().map(cell).collect()
}

/// Accuracy along the longest sequences that were tried, where more than one place of them is asked about.
fn by_position(view: &View<'_>, courses: &[Course], is_length: bool) -> Option<Plot> {
    let asked = courses[0].by_position.last()?.iter().filter(|y| y.is_finite());
    if asked.count() < 2 {
        return None;
    }
    let end = courses
        .iter()
        .filter_map(|course| course.positions.last())
        .fold(1.0, |a: f64, b| a.max(*b));
    let mut marks = vec![level(view, (0.0, end), courses[0].chance)];
    for course in courses.iter().rev() {
        let Some(row) = course.by_position.last() else { continue };
        let places = row.iter().enumerate().filter(|(_, y)| y.is_finite());
        let points: Vec<[f64; 2]> = places.map(|(x, y)| [x as f64, *y]).collect();
        marks.push(line_through(course.color, averaged(&points)));
        let trained = course.trained[1];
        if is_length {
            let (x, text, dash) = (trained, String::new(), Dash::Dashed);
            marks.push(Mark::Upright { x, text, color: view.palette.faint, dash });
        }
    }
    Some(Plot {
        title: "along the longest".to_owned(),
        x: Axis { label: "position".to_owned(), range: (0.0, end), ..Axis::default() },
        y: Axis { label: "accuracy".to_owned(), range: (0.0, TOP), ..Axis::default() },
        marks,
        ..Plot::default()
    })
}

/// Points of a line before neighbours are averaged.
const MOST_POINTS: usize = 128;

/// Means of neighbours, few enough to see.
fn averaged(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[[f64; 2]]| {
        let of = |axis: usize| part.iter().map(|p| p[axis]).sum::<f64>() / part.len() as f64;
        [of(0), of(1)]
    };
    points.chunks(each).map(mean).collect()
}

fn line_through(color: Color, points: Vec<[f64; 2]>) -> Mark {
    let name = "by position".to_owned();
    Mark::Line { name, points: points.into(), color, width: 1.4, dash: Dash::Solid }
}

/// How local attention is, at the length of training and at the longest: uniform attention gives the diagonal.
fn local(view: &View<'_>, course: &Course) -> Option<Plot> {
    let near = |i: &usize| (course.positions[*i] - course.trained[1]).abs();
    let here = (0..course.local.len()).min_by(|a, b| near(a).total_cmp(&near(b)))?;
    let mut marks = Vec::new();
    let mut legend = Vec::new();
    for (i, at) in [here, course.local.len() - 1].into_iter().enumerate() {
        let color = colors::line(view.palette, i);
        let radii = course.local[at].len() as f64;
        let points = course.local[at].iter().enumerate();
        let points: Vec<[f64; 2]> = points.map(|(r, y)| [(r + 1) as f64 / radii, *y]).collect();
        marks.push(line_through(color, points));
        let text = format!("{} positions", Plain(course.positions[at]));
        legend.push(LegendEntry::line(text, color, Dash::Solid));
    }
    Some(Plot {
        title: "attention within a radius".to_owned(),
        x: Axis { label: "share of the sequence".to_owned(), range: (0.0, 1.0), ..Axis::default() },
        y: Axis { label: "attention".to_owned(), range: (0.0, TOP), ..Axis::default() },
        legend,
        marks,
        ..Plot::default()
    })
}
