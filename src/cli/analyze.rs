//! `mnemoscope patch`, `path`, `scrub`, `knock-out`, `readers` and `automaton`: long questions to a recorded run, answered as text, JSON or NumPy
//! arrays.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::base::array::Array;
use crate::base::convert;
use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading, Readings};
use crate::base::registry::find;
use crate::base::settings::{self, Settings};
use crate::base::vocab::plain_json;
use crate::export::answers;
use crate::export::run_at::RunAt;
use crate::figure::file::save;
use crate::measurement::analysis::{self, Analysis};
use crate::run::job::analysis_of;

use super::bar::Bar;
use super::examine::{Format, target};
use super::options::{Asked, Options};
use super::run_at::At;
use super::{say, say_as_is};

/// What all of these commands share.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    at: At,
    /// Change a setting, as --set metric=kl (see `mnemoscope list analyses NAME`)
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

/// A long question that a command asks.
pub trait Question: Asked {
    /// Its name in the registry.
    const NAME: &'static str;
    /// What stands first in the key of the answer, in this order: scripts find answers by it.
    const FIRST: &'static [&'static str];
}

const COMPARED: &[&str] = &["pair", "other", "at", "answers", "pairs", "metric"];
const COUNTED: &[&str] = &["pair", "other", "at", "answers", "pairs", "metric", "all_pairs"];

macro_rules! questions {
    ($($question:ident $name:literal $made:path, $first:expr;)*) => {
        $(
            #[derive(Clone)]
            pub struct $question;

            impl Asked for $question {
                fn usual() -> Box<dyn Settings> {
                    Box::new(<$made>::default())
                }
            }

            impl Question for $question {
                const NAME: &'static str = $name;
                const FIRST: &'static [&'static str] = $first;
            }
        )*
    };
}

questions! {
    Patching "patching" analysis::patching::Patching, COUNTED;
    Path "path" analysis::path::PathPatching, COUNTED;
    Scrubbing "scrubbing" analysis::scrubbing::Scrubbing, COMPARED;
    Rewriting "rewriting" analysis::rewriting::Rewriting, &[];
    Tracing "tracing" analysis::tracing::Tracing, &[];
    TreeScrubbing "tree_scrubbing" analysis::tree_scrubbing::TreeScrubbing, &[];
    Registers "registers" analysis::registers::FindingRegisters, &[];
    KnockOut "knock_out" analysis::knock_out::KnockingOut, &[];
    Readers "readers" analysis::readers::Readers, &[];
    Length "length" analysis::length::Length, &[];
    Stored "stored" analysis::stored::Stored, &[];
    Automaton "automaton" analysis::automaton::Automaton, &[];
}

/// The command of a long question: its settings are options.
#[derive(Args)]
pub struct Ask<Q: Question> {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    options: Options<Q>,
}

impl<Q: Question> Ask<Q> {
    pub fn run(self) -> Result<ExitCode> {
        let mut given = self.options.given;
        let rank = |name: &str| Q::FIRST.iter().position(|first| *first == name);
        given.sort_by_key(|(name, _)| rank(name).unwrap_or(Q::FIRST.len()));
        self.common.run(Q::NAME, given)
    }
}

impl Common {
    fn run(self, name: &'static str, given: Vec<(&'static str, toml::Value)>) -> Result<ExitCode> {
        let (analysis, call) = self.analysis(name, given)?;
        let out = self.out.as_deref().map(|path| target(path, self.force)).transpose()?;
        self.at.check_text(analysis.reads_prompt())?;
        let mut run = self.at.open()?;
        let (reading, whole) = asked(&mut run, &*analysis)?;
        let readings = Readings {
            step: run.weights.step,
            prompt: run.prompt.clone(),
            interventions: Vec::new(),
            weights: run.weights.clone(),
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

    /// The analysis with its settings, and how it is called.
    fn analysis(
        &self,
        name: &str,
        given: Vec<(&'static str, toml::Value)>,
    ) -> Result<(Box<dyn Analysis>, MeasurementCall)> {
        let mut call = MeasurementCall::new(name);
        for (key, value) in given {
            call = call.with(key, value);
        }
        let mut made = find("analysis", analysis::ALL, name)?;
        for setting in &self.set {
            let (key, text) = super::assignment(setting)?;
            call = call.with(key, settings::read(&mut *made, key, text));
        }
        Ok((analysis_of(&call)?, call))
    }
}

/// The answer, under a progress bar; false where Ctrl-C ended it before the end.
fn asked(run: &mut RunAt, analysis: &dyn Analysis) -> Result<(Reading, bool)> {
    let mut bar = Bar::begin("passes")?;
    let mut tell =
        |done: usize, total: usize, _: &dyn Fn() -> Result<Reading>| bar.show(done, total);
    let prompt = run.prompt.clone();
    let reading = run.instrument.analyze(&run.weights, &prompt, &[], analysis, &mut tell);
    let stopped = bar.end();
    Ok((reading?, !stopped))
}

/// Cells of a map in the summary.
const STRONGEST: usize = 12;

fn summary(run: &RunAt, call: &MeasurementCall, reading: &Reading) -> Result<()> {
    say(format!("step {} of {}: {}", run.weights.step, run.experiment.name, call.key()))?;
    for (name, value) in &reading.numbers {
        say(format!("  {name:<28} {:.4}", Plain(*value)))?;
    }
    for array in &reading.arrays {
        if let Some(name) = array.name.strip_prefix("effect.") {
            // What a network does not have is not a number: heads of keys may be fewer than those of queries.
            let there = array.data.iter().filter(|x| x.is_finite()).count();
            say(format!("\n{name}: strongest of {there}"))?;
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
    by_value(reading)?;
    slots(reading)?;
    machine(run, reading)?;
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
        let point = Point::ALL.get(convert::index(*point)).map_or("", |(_, name)| name);
        let value = |array: &&Array| plain(array.data.get(at).copied().unwrap_or(f32::NAN));
        let numbers: String = scores.iter().map(|a| format!("{:>24.4}", value(a))).collect();
        say(format!("  {:<20}{numbers}", format!("layer{layer}.{point}")))?;
    }
    Ok(())
}

/// A row for each value that a setting was given.
fn by_value(reading: &Reading) -> Result<()> {
    let columns: Vec<&Array> = reading.arrays.iter().filter(|a| a.axes == ["value"]).collect();
    let Some(first) = columns.first() else { return Ok(()) };
    let names: String = columns.iter().map(|array| format!("{:>20}", array.name)).collect();
    say(format!("\n  {names}"))?;
    for row in 0..first.data.len() {
        let cell = |array: &&Array| match array.name.as_str() {
            // As short as it tells the number apart, and as it was asked.
            "value" | "positions" => format!("{:>20}", array.data[row]),
            _ => format!("{:>20.4}", plain(array.data[row])),
        };
        say(format!("  {}", columns.iter().map(cell).collect::<String>()))?;
    }
    Ok(())
}

/// What each slot of a memory holds after each segment, as a probe tells it.
fn slots(reading: &Reading) -> Result<()> {
    let all = ["score", "shuffled", "end"].map(|name| reading.array(name));
    let [Some(score), Some(shuffled), Some(end)] = all else { return Ok(()) };
    let slots = score.shape.get(1).copied().unwrap_or(0);
    say("\nheld-out score of a probe of each slot, and in brackets that with shuffled labels")?;
    let names: String = (0..slots).map(|slot| format!("{:>18}", format!("m{slot}"))).collect();
    say(format!("  {:<10}{names}", "position"))?;
    for (segment, position) in end.data.iter().enumerate() {
        let cell = |(score, shuffled): (&f32, &f32)| {
            format!("{:>18}", format!("{:.3} ({:.3})", plain(*score), plain(*shuffled)))
        };
        let cells = score.outer(segment).iter().zip(shuffled.outer(segment)).map(cell);
        say(format!("  {:<10}{}", plain(*position), cells.collect::<String>()))?;
    }
    Ok(())
}

/// The states of a machine that was found: what is told of each, and the state after each symbol.
fn machine(run: &RunAt, reading: &Reading) -> Result<()> {
    let all = ["next", "label", "action"].map(|name| reading.array(name));
    let [Some(next), Some(labels), Some(actions)] = all else { return Ok(()) };
    let vocab = run.instrument.source().vocab();
    let known = |id: f32| (id >= 0.0).then(|| convert::index(id));
    let unknown = || "?".to_owned();
    let glyph = |id: f32| known(id).map_or_else(unknown, |id| vocab.glyph(convert::id(id)));
    let state = |id: f32| known(id).map_or_else(unknown, |id| id.to_string());
    say("\nstates: what is told of each, and the state after each symbol")?;
    for (from, label) in labels.data.iter().enumerate() {
        let moves = actions.data.iter().zip(next.outer(from));
        let moves = moves.map(|(action, to)| format!("  {} → {}", glyph(*action), state(*to)));
        say(format!("  {from:<4}{:<8}{}", glyph(*label), moves.collect::<String>()))?;
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
            place.push(format!("{} {}", axis.name, rest % n));
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
