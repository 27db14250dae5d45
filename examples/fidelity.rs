//! Trains the golden experiments and sets them beside the reference's curves: `docs/fidelity.md` and its picture.
//!
//! ```text
//! cargo run --release --example fidelity                          train what is missing, then report
//! cargo run --release --example fidelity -- birth-joint --seeds 0,1 --train-only
//! cargo run --release --example fidelity -- --report-only
//! ```
//!
//! Every finished run is one CSV file under `--out`; a run that has one is not trained again, so that the work can
//! be split over calls and machines and taken up after a stop.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use mnemoscope::Result;
use mnemoscope::figure::color::Color;
use mnemoscope::figure::file::{Format, Page, render, save};
use mnemoscope::figure::{Axis, Dash, Figure, LegendEntry, Mark, Plot};
use mnemoscope::record::error::Error;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::trainer::Trainer;

/// The reference's measurements: one seed of an independent program written from the same description.
const GOLDEN: &str = include_str!("../assets/golden_runs.csv");
/// Golden experiments, with how far the median crossing may lie from the reference's, in steps.
const GOLDEN_EXPERIMENTS: [(&str, f64); 6] = [
    ("birth-joint", 15.0),
    ("birth-output-first", 25.0),
    ("birth-keys-first", 25.0),
    ("birth-global", 25.0),
    ("birth-global-random", 25.0),
    ("birth-bigram-outputs", 25.0),
];
const LAYERS: [&str; 2] = ["birth-one-layer", "birth-two-layers"];
/// The accuracy whose crossing is compared.
const LEVEL: f64 = 0.6;
const ACCURACY: &str = "accuracy_in_context";
/// What has happened when a column first reaches a value.
const EVENTS: [(&str, &str, f64); 4] = [
    ("keys of the second layer", "recall_wk2", 0.9),
    ("output memory", "recall_wo2", 0.5),
    ("previous-token head", "previous_token_score", 0.5),
    ("in-context accuracy", ACCURACY, LEVEL),
];

/// Train the golden experiments and report how close they come to the reference.
#[derive(Parser)]
struct Options {
    /// Experiments to train [default: all of the comparison].
    experiments: Vec<String>,
    /// Seeds to train each with.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2,3,4")]
    seeds: Vec<usize>,
    /// Where finished runs are kept, one CSV file each.
    #[arg(long, default_value = "target/fidelity")]
    out: PathBuf,
    /// Where fidelity.md and fidelity.svg are written.
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// Threads to train with; 0: as many as the machine has.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Train and write no report.
    #[arg(long, conflicts_with = "report_only")]
    train_only: bool,
    /// Report on what is there and train nothing.
    #[arg(long)]
    report_only: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !options.report_only {
        train_missing(&options)?;
    }
    if !options.train_only {
        report(&options)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "progress of a long command")]
fn train_missing(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.out)?;
    let all = GOLDEN_EXPERIMENTS.map(|(name, _)| name).into_iter().chain(LAYERS);
    let chosen: Vec<String> = if options.experiments.is_empty() {
        all.map(str::to_owned).collect()
    } else {
        options.experiments.clone()
    };
    for name in &chosen {
        for &seed in &options.seeds {
            let path = options.out.join(format!("{name}-{seed}.csv"));
            if path.exists() {
                println!("{name}, seed {seed}: {} is there", path.display());
                continue;
            }
            let mut experiment = Experiment::builtin(name)?;
            experiment.train.seed = seed;
            experiment.train.threads = options.threads;
            let table = train(&experiment)?;
            save(&path, table.as_bytes(), true)?;
            println!("{name}, seed {seed}: written to {}", path.display());
        }
    }
    Ok(())
}

/// Trains to the last step; the metrics of all evaluations as CSV.
fn train(experiment: &Experiment) -> Result<String> {
    let mut trainer = Trainer::new(experiment)?;
    let mut table = format!("step,{}\n", trainer.columns().join(","));
    loop {
        if trainer.is_evaluation_due() {
            let (row, _) = trainer.evaluate()?;
            let values: Vec<String> = row.values.iter().map(f64::to_string).collect();
            let _ = writeln!(table, "{},{}", row.step, values.join(","));
        }
        if trainer.is_finished() {
            return Ok(table);
        }
        trainer.step()?;
    }
}

/// The measurements of one run: points `(step, value)` of each column.
#[derive(Default)]
struct Curves(BTreeMap<String, Vec<[f64; 2]>>);

impl Curves {
    /// Reads a table with a column `step`; rows whose `experiment` is another are left out.
    fn read(table: &str, experiment: Option<&str>) -> Result<Self> {
        let wrong = |e: csv::Error| Error::input(format!("a table of measurements: {e}"));
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let header = reader.headers().map_err(wrong)?.clone();
        let mut curves = Self::default();
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let cells: BTreeMap<&str, &str> = header.iter().zip(record.iter()).collect();
            let step = cells.get("step").and_then(|s| s.parse::<f64>().ok());
            let (Some(step), true) = (step, experiment == cells.get("experiment").copied()) else {
                continue;
            };
            for (name, cell) in cells {
                if let Ok(value) = cell.parse() {
                    curves.0.entry(name.to_owned()).or_default().push([step, value]);
                }
            }
        }
        Ok(curves)
    }

    fn column(&self, name: &str) -> &[[f64; 2]] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where a column passes `level` upwards for the first time, between two evaluations.
    fn crossing(&self, name: &str, level: f64) -> Option<f64> {
        let curve = self.column(name);
        let pair = curve.windows(2).find(|pair| pair[0][1] < level && pair[1][1] >= level)?;
        let ([from, low], [to, high]) = (pair[0], pair[1]);
        Some(from + (to - from) * (level - low) / (high - low))
    }

    /// A column at a step, between two evaluations.
    fn at(&self, name: &str, step: f64) -> Option<f64> {
        let curve = self.column(name);
        let pair = curve.windows(2).find(|pair| pair[0][0] <= step && step <= pair[1][0])?;
        let ([from, low], [to, high]) = (pair[0], pair[1]);
        Some(low + (high - low) * (step - from) / (to - from))
    }

    fn last(&self, name: &str) -> Option<f64> {
        self.column(name).last().map(|point| point[1])
    }
}

/// The middle value; the mean of the two middle ones where their number is even.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[low] + values[high]) / 2.0)
}

/// Our runs of an experiment beside the reference's.
struct Comparison {
    name: &'static str,
    tolerance: f64,
    theirs: Curves,
    ours: Vec<Curves>,
}

impl Comparison {
    fn crossings(&self, column: &str, level: f64) -> (Option<f64>, Option<f64>) {
        let ours = self.ours.iter().filter_map(|run| run.crossing(column, level)).collect();
        (median(ours), self.theirs.crossing(column, level))
    }

    /// Median over our runs of the accuracy `distance` steps after their own crossing.
    fn accuracy_at(&self, distance: f64) -> Option<f64> {
        let at = |run: &Curves| run.at(ACCURACY, run.crossing(ACCURACY, LEVEL)? + distance);
        median(self.ours.iter().filter_map(at).collect())
    }

    /// Distance from the crossing, theirs and ours, at every evaluation of the reference.
    fn accuracies(&self) -> Vec<[f64; 3]> {
        let Some(crossing) = self.theirs.crossing(ACCURACY, LEVEL) else { return Vec::new() };
        let points = self.theirs.column(ACCURACY).iter();
        points
            .filter_map(|[step, theirs]| {
                let distance = step - crossing;
                Some([distance, *theirs, self.accuracy_at(distance)?])
            })
            .collect()
    }

    /// Events in the reference's order: name, theirs and ours.
    fn events(&self) -> Vec<(&'static str, f64, f64)> {
        let mut events: Vec<_> = EVENTS
            .iter()
            .filter_map(|&(event, column, level)| {
                let (ours, theirs) = self.crossings(column, level);
                Some((event, theirs?, ours?))
            })
            .collect();
        events.sort_by(|a, b| a.1.total_cmp(&b.1));
        events
    }
}

#[expect(clippy::print_stdout, reason = "says where the report is")]
fn report(options: &Options) -> Result<()> {
    let mut comparisons = Vec::new();
    for (name, tolerance) in GOLDEN_EXPERIMENTS {
        let theirs = Curves::read(GOLDEN, Some(name))?;
        comparisons.push(Comparison { name, tolerance, theirs, ours: runs(options, name)? });
    }
    let layers = [runs(options, LAYERS[0])?, runs(options, LAYERS[1])?];
    let text = document(&comparisons, &layers);
    let page = Page { size: [519.0, 330.0], ..Page::column() };
    let picture = render(&picture(&comparisons), &page, Format::Svg)?;
    save(&options.docs.join("fidelity.md"), text.as_bytes(), true)?;
    save(&options.docs.join("fidelity.svg"), &picture, true)?;
    println!("written: fidelity.md and fidelity.svg in {}", options.docs.display());
    Ok(())
}

/// The finished runs of an experiment, by seed.
fn runs(options: &Options, name: &str) -> Result<Vec<Curves>> {
    let paths = options.seeds.iter().map(|seed| options.out.join(format!("{name}-{seed}.csv")));
    paths.filter(|path| path.exists()).map(|path| read(&path)).collect()
}

fn read(path: &Path) -> Result<Curves> {
    let text = std::fs::read_to_string(path)?;
    Curves::read(&text, None).map_err(|e| e.context(path.display()))
}

fn document(comparisons: &[Comparison], layers: &[Vec<Curves>; 2]) -> String {
    let mut text = String::from(HEAD);
    crossing_table(&mut text, comparisons);
    accuracy_table(&mut text, comparisons);
    event_table(&mut text, comparisons);
    other_outputs(&mut text, comparisons);
    layer_table(&mut text, layers);
    text
}

const HEAD: &str = "# Fidelity

Ours beside golden curves: one seed of an independent program (JAX, written from the same description of *Birth of a
Transformer* and of its authors' code), batches of 128, evaluated on 128 sequences. Ours are medians over seeds. Made by
`cargo run --release --example fidelity`; the golden numbers are in `assets/golden_runs.csv`, the experiments in
`assets/experiments/`.

![In-context accuracy against step, ours and theirs, for the six golden experiments](fidelity.svg)
";

/// A number, or a dash.
fn show(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"))
}

fn yes(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "–",
    }
}

fn crossing_table(text: &mut String, comparisons: &[Comparison]) {
    text.push_str(
        "
## When in-context accuracy passes 0.6

Steps, by linear interpolation between evaluations.

| experiment | seeds | ours, each seed | ours, median | theirs | difference | allowed | within |
|---|---|---|---|---|---|---|---|
",
    );
    for c in comparisons {
        let each: Vec<String> =
            c.ours.iter().map(|run| show(run.crossing(ACCURACY, LEVEL), 0)).collect();
        let (ours, theirs) = c.crossings(ACCURACY, LEVEL);
        let difference = ours.zip(theirs).map(|(a, b)| a - b);
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | ±{} | {} |",
            c.name,
            c.ours.len(),
            each.join(", "),
            show(ours, 1),
            show(theirs, 1),
            show(difference, 1),
            c.tolerance,
            yes(difference.map(|d| d.abs() <= c.tolerance))
        );
    }
}

fn accuracy_table(text: &mut String, comparisons: &[Comparison]) {
    let distances = [-40.0, -20.0, 20.0, 40.0, 80.0, 120.0];
    text.push_str(
        "
## In-context accuracy at the same distance from that crossing

Ours (theirs), so many steps before and after. The last column is the largest difference at any evaluation of theirs.

| experiment |",
    );
    for distance in distances {
        let _ = write!(text, " {distance:+} |");
    }
    text.push_str(" largest difference |\n|---|---|---|---|---|---|---|---|\n");
    for c in comparisons {
        let _ = write!(text, "| `{}` |", c.name);
        let crossing = c.theirs.crossing(ACCURACY, LEVEL);
        for distance in distances {
            let theirs = crossing.and_then(|at| c.theirs.at(ACCURACY, at + distance));
            let _ = write!(text, " {} ({}) |", show(c.accuracy_at(distance), 3), show(theirs, 3));
        }
        let differences = c.accuracies().into_iter().map(|[at, theirs, ours]| (ours - theirs, at));
        match differences.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs())) {
            Some((difference, at)) => {
                let _ = writeln!(text, " {difference:+.3} at {at:+.0} |");
            }
            None => text.push_str(" – |\n"),
        }
    }
}

fn event_table(text: &mut String, comparisons: &[Comparison]) {
    text.push_str("\n## Order of events\n\nThe step at which each column first passes a value, ours (theirs), in the order of theirs:");
    for (event, column, level) in EVENTS {
        let _ = write!(text, " *{event}*, `{column}` {level};");
    }
    text.push_str(
        " an event that one of the two never reaches is left out. The order is the same when all events that lie more than 10 steps apart in theirs come in that order in ours.\n\n| experiment | events | same order |\n|---|---|---|\n",
    );
    for c in comparisons {
        let events = c.events();
        let listed: Vec<String> = events
            .iter()
            .map(|(event, theirs, ours)| format!("{event} {ours:.0} ({theirs:.0})"))
            .collect();
        let same = events.iter().enumerate().all(|(i, first)| {
            events[i..].iter().all(|later| later.1 - first.1 <= 10.0 || later.2 > first.2)
        });
        let same = (!events.is_empty()).then_some(same);
        let _ = writeln!(text, "| `{}` | {} | {} |", c.name, listed.join(", "), yes(same));
    }
}

fn other_outputs(text: &mut String, comparisons: &[Comparison]) {
    text.push_str(
        "
## Accuracy under the other law of outputs, at the last step

| experiment | trained law, ours (theirs) | other law, ours (theirs) |
|---|---|---|
",
    );
    for c in comparisons {
        let _ = write!(text, "| `{}` |", c.name);
        for column in [ACCURACY, "accuracy_other_outputs"] {
            let ours = median(c.ours.iter().filter_map(|run| run.last(column)).collect());
            let _ = write!(text, " {} ({}) |", show(ours, 3), show(c.theirs.last(column), 3));
        }
        text.push('\n');
    }
}

fn layer_table(text: &mut String, layers: &[Vec<Curves>; 2]) {
    text.push_str(
        "
## One layer and two

The full transformer of the paper's comparison, after 1,000 steps: in-context accuracy, each seed and median.

| experiment | each seed | median | expected | within |
|---|---|---|---|---|
",
    );
    let below: fn(f64) -> bool = |accuracy| accuracy < 0.65;
    let above: fn(f64) -> bool = |accuracy| accuracy > 0.9;
    let rules = [(LAYERS[0], "below 0.65", below), (LAYERS[1], "above 0.9", above)];
    for ((name, expected, holds), runs) in rules.into_iter().zip(layers) {
        let last: Vec<f64> = runs.iter().filter_map(|run| run.last(ACCURACY)).collect();
        let each: Vec<String> = last.iter().map(|a| format!("{a:.3}")).collect();
        let middle = median(last);
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {expected} | {} |",
            each.join(", "),
            show(middle, 3),
            yes(middle.map(holds))
        );
    }
}

fn picture(comparisons: &[Comparison]) -> Figure {
    Figure {
        plots: comparisons.iter().enumerate().map(|(i, c)| plot(c, i)).collect(),
        columns: 3,
        ..Figure::default()
    }
}

fn plot(comparison: &Comparison, index: usize) -> Plot {
    let (ours, theirs) = (Color::rgb(0, 114, 178), Color::rgb(213, 94, 0));
    let last = comparison.theirs.column(ACCURACY).last().map_or(1.0, |point| point[0]);
    let line = |run: &Curves, color, width, dash| Mark::Line {
        name: ACCURACY.to_owned(),
        points: Arc::from(run.column(ACCURACY)),
        color,
        width,
        dash,
    };
    let mut marks: Vec<Mark> =
        comparison.ours.iter().map(|run| line(run, ours, 0.7, Dash::Solid)).collect();
    marks.push(line(&comparison.theirs, theirs, 1.4, Dash::Dashed));
    let legend = vec![
        LegendEntry::line("ours, each seed", ours, Dash::Solid),
        LegendEntry::line("theirs", theirs, Dash::Dashed),
    ];
    Plot {
        title: comparison.name.to_owned(),
        x: Axis { label: "step".to_owned(), range: (0.0, last), ..Axis::default() },
        y: Axis { label: "in-context accuracy".to_owned(), range: (0.0, 1.0), ..Axis::default() },
        marks,
        legend: if index == 0 { legend } else { Vec::new() },
        ..Plot::default()
    }
}
