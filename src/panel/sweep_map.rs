//! A sweep as a map: one of its settings down, another across, and in each cell what became of the runs there.

use std::sync::Arc;

use toml::Value;

use crate::base::convert::narrow;
use crate::base::error::did_you_mean;
use crate::base::question::MeasurementCall;
use crate::figure::color::{ColorMap, Scaling};
use crate::figure::{Axis, Cell, ColorBar, Figure, Mark, Pick, Plot, Ticks};
use crate::sweep::{Stage, Sweep as Runs, text};

use super::columns::label;
use super::compare::Compares;
use super::outputs::{number, sentence};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Map of a sweep",
    look_for: "Cells that are dark on the left and pale on the right: what was learned there holds for the lengths of training alone. Dark on both sides: a rule that goes on.",
    click: "A click on a half of a cell opens a run of that network on that task in all panels.",
    stack: Stack::RightAbove,
    aspect: 0.8,
    is_of_sweep: true,
    compares: Compares::Never,
    controls: &[("left", "Left"), ("right", "Right")],
    ..PanelKind::new("sweep_map", || Box::<SweepMap>::default())
};

/// The number on the right where nothing is said.
const USUAL: &str = "accuracy_longer";

crate::settings! {
    /// The panel `sweep_map`.
    pub struct SweepMap = "A sweep over two settings or more: one down, one across, and in each cell two numbers at the end of training, as a mean over the runs there." {
        /// Setting that goes down. Empty: model, or else the first that differs.
        down: String = String::new(), @live;
        /// Setting that goes across. Empty: task, or else the second that differs.
        across: String = String::new(), @live;
        /// Number on the left of a cell, by its name in metrics.csv. Empty: accuracy, or else what a sweep is asked for first.
        left: String = String::new(), @live;
        /// Number on the right of a cell. Empty: none.
        right: String = USUAL.to_owned(), @live;
    }
}

impl Panel for SweepMap {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

/// What is across where no second setting differs.
const SEED: &str = "seed";

/// A setting with its values.
type Varied = (String, Vec<Value>);

impl SweepMap {
    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let sweep = view.sweep.ok_or_else(|| {
            sentence("No sweep is open. Open the folder of one, as in mnemoscope sweep memory-zoo --out zoo.")
        })?;
        let (down, across) = self.axes(sweep)?;
        let known = sweep.metrics();
        let first = ["accuracy_in_context", "accuracy", "loss"];
        let usual = first.into_iter().find(|name| known.contains(name)).unwrap_or("accuracy");
        let left = if self.left.trim().is_empty() { usual } else { self.left.trim() };
        let right = self.right.trim();
        let named = [self.left.trim(), if right == USUAL { "" } else { right }];
        let is_wrong =
            |name: &&&str| !name.is_empty() && !known.is_empty() && !known.contains(name);
        if let Some(other) = named.iter().find(is_wrong) {
            return Err(sentence(format!(
                "The runs of this sweep have no number called \"{other}\".{}",
                did_you_mean(other, known.iter().copied())
            )));
        }
        // What no run has is not drawn beside what they have.
        let metrics: Vec<&str> =
            [left].into_iter().chain([right].into_iter().filter(|r| known.contains(r))).collect();
        let map = Map { sweep, down: &down, across: &across, metrics: &metrics };
        let color = ColorMap::Paper.on(view.palette.dark);
        let mut cells = Vec::new();
        for (row, column) in map.places() {
            for (part, metric) in metrics.iter().enumerate() {
                cells.push(map.cell(view, color, (row, column), (part, metrics.len()), metric));
            }
        }
        let plot = Plot {
            x: names(&across, (0.0, across.1.len() as f64)),
            y: names(&down, (down.1.len() as f64, 0.0)),
            marks: vec![Mark::Cells(cells)],
            color_bar: Some(ColorBar {
                label: match metrics[..] {
                    [one] => label(one),
                    _ => "mean at the end of training".to_owned(),
                },
                map: color,
                range: (0.0, 1.0),
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        };
        Ok(Figure {
            title: format!("{}: {} by {}", sweep.plan.title(), down.0, across.0),
            plots: vec![plot],
            columns: 1,
            caption: map.in_words(),
            ..Figure::default()
        })
    }

    /// What goes down and what goes across.
    fn axes(&self, sweep: &Runs) -> Result<(Varied, Varied), Figure> {
        let seeds = sweep.plan.seeds.iter().map(|seed| Value::from(seed.to_string()));
        let seeds: Varied = (SEED.to_owned(), seeds.collect());
        let varied: Vec<&Varied> = sweep
            .plan
            .settings
            .iter()
            .filter(|(_, values)| values.len() > 1)
            .chain([&seeds])
            .collect();
        let named = |asked: &str, usual: &str, without: Option<&str>| {
            let free = varied.iter().filter(|(name, _)| Some(name.as_str()) != without);
            let wanted = if asked.trim().is_empty() { usual } else { asked.trim() };
            let found = free.clone().find(|(name, _)| name == wanted);
            match asked.trim() {
                "" => found.or_else(|| free.clone().next()).map(|varied| (*varied).clone()),
                _ => found.map(|varied| (*varied).clone()),
            }
        };
        let missing = || {
            let names: Vec<&str> = varied.iter().map(|(name, _)| name.as_str()).collect();
            sentence(format!(
                "A map needs a setting that differs between the runs, and one more or several seeds; this sweep has {}.",
                names.join(", ")
            ))
        };
        let down = named(&self.down, "model", None).ok_or_else(missing)?;
        let across = named(&self.across, "task", Some(&down.0)).ok_or_else(missing)?;
        Ok((down, across))
    }
}

/// Names of the values along an axis.
fn names((_, values): &Varied, range: (f64, f64)) -> Axis {
    let names: Arc<[String]> = values.iter().map(text).collect();
    Axis { range, ticks: Ticks::Each(names), ..Axis::default() }
}

struct Map<'a> {
    sweep: &'a Runs,
    down: &'a Varied,
    across: &'a Varied,
    /// Those of a cell, from left to right.
    metrics: &'a [&'a str],
}

impl Map<'_> {
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.across.1.len();
        (0..self.down.1.len()).flat_map(move |row| (0..columns).map(move |column| (row, column)))
    }

    /// Numbers of the runs of a cell.
    fn runs(&self, (row, column): (usize, usize)) -> Vec<usize> {
        let wanted = [(&self.down.0, &self.down.1[row]), (&self.across.0, &self.across.1[column])];
        let has = |index: &usize| {
            let member = &self.sweep.runs[*index].member;
            wanted.iter().all(|(name, value)| match name.as_str() {
                SEED => value.as_str() == Some(member.seed.to_string().as_str()),
                _ => member.values.iter().any(|(other, theirs)| other == *name && theirs == *value),
            })
        };
        (0..self.sweep.runs.len()).filter(has).collect()
    }

    /// The numbers of the finished runs of a cell: where some have both that are drawn, of these alone, so that the two means are of
    /// the same runs.
    fn values(&self, place: (usize, usize), metric: &str) -> Vec<f64> {
        let at_end = |index: &usize, metric: &str| self.sweep.runs[*index].at_end(metric);
        let runs = self.runs(place);
        let has_all =
            |index: &&usize| self.metrics.iter().all(|metric| at_end(index, metric).is_some());
        let both: Vec<usize> = runs.iter().filter(has_all).copied().collect();
        let runs = if both.is_empty() { runs } else { both };
        runs.iter().filter_map(|index| at_end(index, metric)).collect()
    }

    fn cell(
        &self,
        view: &View<'_>,
        map: ColorMap,
        (row, column): (usize, usize),
        (part, parts): (usize, usize),
        metric: &str,
    ) -> Cell {
        const GAP: f64 = 0.05;
        let values = self.values((row, column), metric);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let width = (1.0 - 2.0 * GAP) / parts as f64;
        let from = column as f64 + GAP + part as f64 * width;
        let fill = match values.is_empty() {
            true => colors::mix(view.palette.paper, view.palette.ink, 0.06),
            false => map.at(narrow(mean)),
        };
        let ran = self.runs((row, column));
        let best = ran.iter().find(|index| self.sweep.runs[**index].stage() == Stage::Finished);
        let open = best.or(ran.first()).map_or(Pick::Nothing, |index| Pick::Run(*index));
        Cell {
            from: [from, row as f64 + GAP],
            to: [from + width, (row + 1) as f64 - GAP],
            text: if values.is_empty() { String::new() } else { format!("{mean:.2}") },
            fill: Some(fill),
            stroke: None,
            ink: fill.ink_on(),
            pick: open,
            hover: self.hover((row, column), metric, &values, ran.len()),
            value: (!values.is_empty()).then_some(("mean", mean)),
        }
    }

    fn hover(&self, place: (usize, usize), metric: &str, values: &[f64], all: usize) -> String {
        let names = [text(&self.down.1[place.0]), text(&self.across.1[place.1])].join(", ");
        let each: Vec<String> = values.iter().map(|x| number(narrow(*x))).collect();
        let told = match each.is_empty() {
            true => "not known: no run here is finished, or it was not recorded".to_owned(),
            false => each.join(", "),
        };
        format!("{names}: {} {told} ({} of {all} runs)", label(metric), values.len())
    }

    /// How many networks go on, and how many runs are done.
    fn in_words(&self) -> String {
        let done = self.sweep.runs.iter().filter(|run| run.stage() == Stage::Finished).count();
        let [left, right] = self.metrics else {
            return format!("{done} of {} runs are finished.", self.sweep.runs.len());
        };
        let mean = |place, metric| {
            let values = self.values(place, metric);
            values.iter().sum::<f64>() / values.len() as f64
        };
        let learned: Vec<(usize, usize)> =
            self.places().filter(|place| mean(*place, left) >= GOOD).collect();
        let go_on = learned.iter().filter(|place| mean(**place, right) >= GOOD).count();
        format!(
            "In each cell on the left: {}; on the right: {}. Where nothing is known it is grey. {} of {} cells are learned (0.95 or more), and {go_on} of these hold on the right too. {done} of {} runs are finished.",
            label(left),
            label(right),
            learned.len(),
            self.places().count(),
            self.sweep.runs.len()
        )
    }
}

/// What counts as learned.
const GOOD: f64 = 0.95;
