//! `mnemoscope patch`, `path`, `scrub`, `knock-out` and `readers`: long questions to a recorded run, answered as text, JSON or NumPy
//! arrays.
#![expect(clippy::doc_markdown, reason = "help is printed as it stands, and backticks with it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::export::answers;
use crate::export::run_at::RunAt;
use crate::figure::file::save;
use crate::probe::inquiry::{self, Inquiry};
use crate::record::array::Array;
use crate::record::error::Result;
use crate::record::intervention::Point;
use crate::record::knobs;
use crate::record::plain::Plain;
use crate::record::question::{ProbeCall, Reading, Readings};
use crate::record::registry::find;
use crate::record::vocab::plain_json;
use crate::run::job::inquiry_of;

use super::bar::Bar;
use super::examine::{Format, target};
use super::run_at::At;
use super::{say, say_as_is};

/// What all of these commands share.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    at: At,
    /// Change a setting, as --set metric=kl (see `mnemoscope list inquiries NAME`)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Write everything to a .json or .npz file instead of a summary to the terminal
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Write everything as one JSON document to standard output
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// Which sequences are compared.
#[derive(Args)]
struct Compared {
    /// Kind of counterfactual pairs that the task makes (default: its first)
    #[arg(long, value_name = "KIND", conflicts_with = "other")]
    pair: Option<String>,
    /// Number of pairs
    #[arg(long, value_name = "N", conflicts_with = "other")]
    pairs: Option<usize>,
    /// A counterfactual text of your own, with as many tokens as the base (--tokens)
    #[arg(long, value_name = "TEXT")]
    other: Option<String>,
    /// With --other: position of the prediction (default: the last)
    #[arg(long, value_name = "POSITION", requires = "other")]
    prediction: Option<usize>,
    /// With --other: the two answers to compare (default: what the two runs predict)
    #[arg(long, value_name = "TEXT", requires = "other")]
    answers: Option<String>,
}

/// How an effect is counted.
#[derive(Args)]
struct Counted {
    /// normalised, logit_difference, flip, kl or recovered_loss
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    #[command(flatten)]
    rule: Rule,
}

/// What counts.
#[derive(Args)]
struct Rule {
    /// Count pairs (of one sequence: predictions) that the network gets wrong, too
    #[arg(long)]
    all_pairs: bool,
}

#[derive(Args)]
pub struct Patch {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    compared: Compared,
    #[command(flatten)]
    counted: Counted,
    /// What to patch: heads, heads_by_position, blocks, resid_pre, z, k_by_position, pattern_by_cell, …
    #[arg(long, value_name = "MAP")]
    map: Option<String>,
}

#[derive(Args)]
pub struct Path {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    compared: Compared,
    #[command(flatten)]
    counted: Counted,
    /// Senders: embed, layer0 (all its heads), layer0.head1, layer0.mlp; several with commas
    #[arg(long, value_name = "SENDERS")]
    from: Option<String>,
    /// Receivers: layer1.q, layer1.k.head0, layer1.v, layer1.resid_post; several with commas
    #[arg(long, value_name = "RECEIVERS")]
    to: Option<String>,
    /// Positions of the senders: all, prediction, different, a place of the pairs, or numbers
    #[arg(long, value_name = "WHERE")]
    from_at: Option<String>,
    /// Positions of the receivers, likewise
    #[arg(long, value_name = "WHERE")]
    to_at: Option<String>,
    /// Keep MLPs between senders and receivers as they are in the base run
    #[arg(long)]
    freeze_mlps: bool,
}

#[derive(Args)]
pub struct Scrub {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    compared: Compared,
    #[command(flatten)]
    rule: Rule,
    /// Important paths, with semicolons between: "embed > layer0.v.head0 > layer1.k.head0 > logits"
    #[arg(long, value_name = "PATHS")]
    hypothesis: Option<String>,
}

#[derive(Args)]
pub struct TreeScrub {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    rule: Rule,
    /// H1, H2, H3, targets or everything; several with commas, or all
    #[arg(long, value_name = "NAMES")]
    hypothesis: Option<String>,
    /// Trees of each path length
    #[arg(long, value_name = "N")]
    trees: Option<usize>,
}

#[derive(Args)]
pub struct Registers {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    rule: Rule,
    /// Positions to try, with commas between (default: those of the published network, as far from the goal)
    #[arg(long, value_name = "POSITIONS")]
    positions: Option<String>,
}

#[derive(Args)]
pub struct KnockOut {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    rule: Rule,
    /// Positions whose predictions must stay, with commas between (default: all that have a target)
    #[arg(long, value_name = "POSITIONS")]
    positions: Option<String>,
    /// Largest KL of these predictions in nats (default: the likeliest token alone must stay)
    #[arg(long, value_name = "NATS", value_parser = super::decimal)]
    most_kl: Option<f64>,
}

#[derive(Args)]
pub struct Readers {
    #[command(flatten)]
    common: Common,
    /// linear-probe, mlp-probe, tuned-lens, token-lens or leace
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// What is told: token-1, target, seen, sub_path, … or what the task offers (default: its first)
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Positions that give an example (default: all that have the label)
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// stream, boundaries, resid_mid, q, k, v, z, attn_out or mlp_out
    #[arg(long, value_name = "PLACES")]
    places: Option<String>,
    /// Examples to fit to
    #[arg(long, value_name = "N")]
    train: Option<usize>,
    /// Examples to judge by, of other sequences
    #[arg(long, value_name = "N")]
    test: Option<usize>,
}

/// Settings given by options of their own.
type Given = Vec<(&'static str, toml::Value)>;

impl Patch {
    pub fn run(self) -> Result<ExitCode> {
        let mut given = self.compared.given();
        given.extend(self.counted.given());
        given.extend(text("map", self.map));
        self.common.run("patching", given)
    }
}

impl Path {
    pub fn run(self) -> Result<ExitCode> {
        let mut given = self.compared.given();
        given.extend(self.counted.given());
        let texts = [
            ("from", self.from),
            ("to", self.to),
            ("from_at", self.from_at),
            ("to_at", self.to_at),
        ];
        given.extend(texts.into_iter().filter_map(|(name, value)| text(name, value)));
        given.extend(switch("freeze_mlps", self.freeze_mlps));
        self.common.run("path", given)
    }
}

impl Scrub {
    pub fn run(self) -> Result<ExitCode> {
        let mut given = self.compared.given();
        given.extend(text("hypothesis", self.hypothesis));
        given.extend(self.rule.given());
        self.common.run("scrubbing", given)
    }
}

impl TreeScrub {
    pub fn run(self) -> Result<ExitCode> {
        let mut given: Given = text("hypothesis", self.hypothesis).into_iter().collect();
        let trees = self.trees.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        given.extend(trees.map(|n| ("trees", n.into())));
        given.extend(self.rule.given());
        self.common.run("tree_scrubbing", given)
    }
}

impl Registers {
    pub fn run(self) -> Result<ExitCode> {
        let mut given: Given = text("positions", self.positions).into_iter().collect();
        given.extend(self.rule.given());
        self.common.run("registers", given)
    }
}

impl Readers {
    pub fn run(self) -> Result<ExitCode> {
        let texts = [
            ("kind", self.kind),
            ("label", self.label),
            ("positions", self.role),
            ("places", self.places),
        ];
        let counts = [("train", self.train), ("test", self.test)];
        let mut given: Given =
            texts.into_iter().filter_map(|(name, value)| text(name, value)).collect();
        given.extend(counts.into_iter().filter_map(|(name, n)| {
            n.map(|n| (name, i64::try_from(n).unwrap_or(i64::MAX).into()))
        }));
        self.common.run("readers", given)
    }
}

impl KnockOut {
    pub fn run(self) -> Result<ExitCode> {
        let mut given: Given = text("positions", self.positions).into_iter().collect();
        given.extend(self.most_kl.map(|kl| ("most_kl", kl.into())));
        given.extend(self.rule.given());
        self.common.run("knock_out", given)
    }
}

impl Compared {
    fn given(&self) -> Given {
        let texts = [
            ("pair", self.pair.clone()),
            ("other", self.other.clone()),
            ("at", self.prediction.map(|at| at.to_string())),
            ("answers", self.answers.clone()),
        ];
        let pairs = self.pairs.map(|n| ("pairs", i64::try_from(n).unwrap_or(i64::MAX).into()));
        texts.into_iter().filter_map(|(name, value)| text(name, value)).chain(pairs).collect()
    }
}

impl Counted {
    fn given(&self) -> Given {
        let metric = text("metric", self.metric.clone());
        metric.into_iter().chain(self.rule.given()).collect()
    }
}

impl Rule {
    fn given(&self) -> Option<(&'static str, toml::Value)> {
        switch("all_pairs", self.all_pairs)
    }
}

fn text(name: &'static str, value: Option<String>) -> Option<(&'static str, toml::Value)> {
    value.map(|value| (name, value.into()))
}

fn switch(name: &'static str, on: bool) -> Option<(&'static str, toml::Value)> {
    on.then(|| (name, true.into()))
}

impl Common {
    fn run(self, name: &'static str, given: Given) -> Result<ExitCode> {
        let (inquiry, call) = self.inquiry(name, given)?;
        let out = self.out.as_deref().map(|path| target(path, self.force)).transpose()?;
        let mut run = self.at.open()?;
        let (reading, whole) = asked(&mut run, &*inquiry)?;
        let readings = Readings {
            step: run.weights.step,
            prompt: run.prompt.clone(),
            interventions: Vec::new(),
            by_call: [(call.key(), Ok(Arc::new(reading.clone())))].into(),
        };
        match out {
            Some((path, Format::Json)) => save(path, &answers::json(&run, &readings)?, self.force)?,
            Some((path, Format::Npz)) => save(path, &answers::npz(&run, &readings)?, self.force)?,
            None if self.json => {
                let json = answers::json(&run, &readings)?;
                say_as_is(&plain_json(&String::from_utf8_lossy(&json)))?;
            }
            None => summary(&run, &call, &reading)?,
        }
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(130) })
    }

    /// The inquiry with its settings, and how it is called.
    fn inquiry(&self, name: &str, given: Given) -> Result<(Box<dyn Inquiry>, ProbeCall)> {
        let mut call = ProbeCall::new(name);
        let mut all: Vec<(&str, toml::Value)> = given;
        let mut made = find("inquiry", inquiry::ALL, name)?;
        for setting in &self.set {
            let (key, text) = super::assignment(setting)?;
            all.push((key, knobs::read(&mut *made, key, text)));
        }
        for (key, value) in all {
            call = call.with(key, value);
        }
        Ok((inquiry_of(&call)?, call))
    }
}

/// The answer, under a progress bar; false where Ctrl-C ended it before the end.
fn asked(run: &mut RunAt, inquiry: &dyn Inquiry) -> Result<(Reading, bool)> {
    let mut bar = Bar::begin("passes")?;
    let mut tell =
        |done: usize, total: usize, _: &dyn Fn() -> Result<Reading>| bar.show(done, total);
    let prompt = run.prompt.clone();
    let reading = run.instrument.inquire(&run.weights, &prompt, inquiry, &mut tell);
    let stopped = bar.end();
    Ok((reading?, !stopped))
}

/// Cells of a map in the summary.
const STRONGEST: usize = 12;

fn summary(run: &RunAt, call: &ProbeCall, reading: &Reading) -> Result<()> {
    say(format!("step {} of {}: {}", run.weights.step, run.experiment.name, call.key()))?;
    for (name, value) in &reading.numbers {
        say(format!("  {name:<28} {:.4}", Plain(*value)))?;
    }
    for array in &reading.arrays {
        if let Some(name) = array.name.strip_prefix("effect.") {
            say(format!("\n{name}: strongest of {}", array.shape.iter().product::<usize>()))?;
            strongest(array, name, reading)?;
        } else if let Some(name) = array.name.strip_prefix("recovered.") {
            say(format!(
                "\n{name}: percent recovered; rows are layers, columns paths of 1, 2, … edges"
            ))?;
            rows(array)?;
        } else if array.name.starts_with("needed.") {
            let edges = array.data.iter().filter(|x| **x > 0.0).count();
            say(format!("  {:<28} {edges} edges", array.name))?;
        }
    }
    places(reading)?;
    for note in &reading.notes {
        say(format!("  {note}"))?;
    }
    Ok(())
}

fn plain(value: f32) -> Plain {
    Plain(f64::from(value))
}

/// Most scores of a place in the summary: what a terminal is wide enough for.
const SCORES: usize = 6;

/// The first scores of each place that readers were fitted to.
fn places(reading: &Reading) -> Result<()> {
    let (Some(layers), Some(points)) = (reading.array("layer"), reading.array("point")) else {
        return Ok(());
    };
    let scores = reading.arrays.iter().filter(|array| {
        array.axes == ["place"] && !["layer", "point"].contains(&array.name.as_str())
    });
    let wanted = |array: &&Array| {
        ["accuracy", "micro_f1", "kl", "rank"].iter().any(|end| array.name.ends_with(end))
    };
    let scores: Vec<&Array> = scores.filter(wanted).take(SCORES).collect();
    let names: String = scores.iter().map(|array| format!("{:>24}", array.name)).collect();
    say(format!("\n  {:<20}{names}", "place"))?;
    for (at, (layer, point)) in layers.data.iter().zip(points.data.iter()).enumerate() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number")]
        let point = Point::ALL.get(*point as usize).map_or("", |(_, name)| name);
        let value = |array: &&Array| plain(array.data.get(at).copied().unwrap_or(f32::NAN));
        let numbers: String = scores.iter().map(|a| format!("{:>24.4}", value(a))).collect();
        say(format!("  {:<20}{numbers}", format!("layer{layer}.{point}")))?;
    }
    Ok(())
}

/// A table of layers and lengths.
fn rows(table: &Array) -> Result<()> {
    for layer in 0..table.shape[0] {
        let cells: String =
            table.outer(layer).iter().map(|v| format!("{:>8.1}", plain(*v))).collect();
        say(format!("  layer {layer:<3}{cells}"))?;
    }
    Ok(())
}

fn strongest(effects: &Array, name: &str, reading: &Reading) -> Result<()> {
    let mut order: Vec<usize> =
        (0..effects.data.len()).filter(|&i| effects.data[i].is_finite()).collect();
    order.sort_by(|&a, &b| effects.data[b].abs().total_cmp(&effects.data[a].abs()));
    let bound = |what: &str, i: usize| {
        let array = reading.array(&format!("{what}.{name}"));
        array.and_then(|a| a.data.get(i)).filter(|x| x.is_finite())
    };
    for &i in order.iter().take(STRONGEST) {
        let mut place = Vec::new();
        let mut rest = i;
        for (axis, n) in effects.axes.iter().zip(&effects.shape).rev() {
            place.push(format!("{axis} {}", rest % n));
            rest /= n;
        }
        place.reverse();
        let interval = match (bound("low", i), bound("high", i)) {
            (Some(low), Some(high)) => format!("  [{:.4}, {:.4}]", plain(*low), plain(*high)),
            _ => String::new(),
        };
        say(format!("  {:<36} {:>9.4}{interval}", place.join(", "), plain(effects.data[i])))?;
    }
    Ok(())
}
