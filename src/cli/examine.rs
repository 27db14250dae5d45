//! `mnemoscope examine`: questions to a recorded run, answered as text, JSON or NumPy arrays.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::base::array::{Array, Axis};
use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading, Readings};
use crate::base::quoting;
use crate::base::registry::find;
use crate::base::settings;
use crate::base::vocab::Vocab;
use crate::export::answers::{self, Answered};
use crate::export::run_at::RunAt;
use crate::figure::difference::NAME;
use crate::figure::file::save;
use crate::formats::file::{check_free, save_with};
use crate::measurement;
use crate::panel::tokens::as_id;

use super::run_at::{Against, Asked};
use super::say;

#[derive(Args)]
pub struct Examine {
    #[command(flatten)]
    asked: Asked,
    /// A measurement, with settings after a colon: `--measure attention`, `--measure query_key:layer=1,head=0` (default: all that give
    /// numbers here; see `mnemoscope list measurements`)
    #[arg(long = "measure", alias = "probe", value_name = "NAME[:a=b,…]")]
    measurements: Vec<String>,
    #[command(flatten)]
    against: Against,
    /// Write everything to a .json or .npz file instead of a summary to the terminal
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Format {
    Json,
    Npz,
}

impl Examine {
    pub fn run(self) -> Result<ExitCode> {
        let calls = self.calls()?;
        let out = self.out.as_deref().map(|path| target(path, self.force)).transpose()?;
        let mut run = self.asked.open()?;
        if let (Some(target), true) = (out, self.asks_for_places(&run)) {
            return self.places(&mut run, target);
        }
        if self.against.other()?.is_none() && self.asks_for_places(&run) {
            return continuation(&mut run).map(|()| ExitCode::SUCCESS);
        }
        let readings = run.ask(&calls)?;
        self.check(&readings)?;
        let a = Answered { run: &run, readings: &readings };
        if let Some(other) = self.against.other()? {
            let mut run = self.asked.open_other(&run, &other)?;
            let readings = run.ask(&calls).map_err(|e| e.context("against"))?;
            self.check(&readings).map_err(|e| e.context("against"))?;
            compared(a, Answered { run: &run, readings: &readings }, out, self.force)?;
            return Ok(ExitCode::SUCCESS);
        }
        match out {
            None => summary(a, None)?,
            Some((path, Format::Json)) => save(path, &answers::json(&run, &readings)?, self.force)?,
            Some((path, Format::Npz)) => save(path, &answers::npz(&run, &readings)?, self.force)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A network of another program is written as it is: what every place holds.
    fn asks_for_places(&self, run: &RunAt) -> bool {
        run.experiment.model.is_read() && self.measurements.is_empty()
    }

    fn places(&self, run: &mut RunAt, (path, format): (&Path, Format)) -> Result<ExitCode> {
        if self.against.other()?.is_some() {
            return Err(Error::usage(
                "--against compares measurements: name one with --measure, such as --measure attention",
            ));
        }
        if matches!(format, Format::Json) {
            return Err(Error::usage(format!(
                "-o {}: what all places hold is written as .npz; for JSON name a measurement with --measure",
                path.display()
            )));
        }
        save_with(path, self.force, |file| {
            let mut out = BufWriter::new(file);
            answers::write_places(run, &mut out)?;
            Ok(out.flush()?)
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// What was asked for by its name has an answer.
    fn check(&self, readings: &Readings) -> Result<()> {
        let refused = readings.by_call.values().find_map(|answer| answer.as_ref().err());
        refused.filter(|_| !self.measurements.is_empty()).map_or(Ok(()), |e| Err(e.clone()))
    }

    fn calls(&self) -> Result<Vec<MeasurementCall>> {
        if self.measurements.is_empty() {
            return Ok(measurement::ALL
                .iter()
                .map(|entry| MeasurementCall::new(entry.name))
                .collect());
        }
        self.measurements.iter().map(|text| call(text)).collect()
    }
}

/// A file to write answers into, and its format. What is wrong with its name is said before anything is computed.
pub(super) fn target(path: &Path, force: bool) -> Result<(&Path, Format)> {
    let format = if has_extension(path, "json") {
        Format::Json
    } else if has_extension(path, "npz") {
        Format::Npz
    } else {
        return Err(Error::usage(format!(
            "-o {}: expected a name that ends in .json or .npz",
            path.display()
        )));
    };
    check_free(path, force)?;
    Ok((path, format))
}

fn call(text: &str) -> Result<MeasurementCall> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let mut made = find("measurement", measurement::ALL, name)?;
    let mut call = MeasurementCall::new(name);
    for setting in settings.split(',').filter(|s| !s.is_empty()) {
        let (key, text) = super::assignment(setting)?;
        let value = settings::read(&mut *made, key, text);
        settings::set(&mut *made, &format!("{name}:"), key, &value)?;
        call = call.with(key, value);
    }
    Ok(call)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// `key 18`, or `key 18 from m0` where memory tokens stand before position 0.
fn length(axis: &Axis, count: usize) -> String {
    let from = axis.labels.first().map_or(String::new(), |first| format!(" from {first}"));
    format!("{} {count}{from}", axis.name)
}

fn compared(
    a: Answered<'_>,
    b: Answered<'_>,
    out: Option<(&Path, Format)>,
    force: bool,
) -> Result<()> {
    match out {
        None => summary(a, Some(b)),
        Some((path, Format::Json)) => save(path, &answers::json_against(a, b)?, force),
        Some((path, Format::Npz)) => save(path, &answers::npz_against(a, b)?, force),
    }
}

/// What a network of another program says to a text: how it would go on, and how well it foretells it.
fn continuation(run: &mut RunAt) -> Result<()> {
    let call = MeasurementCall::new("predictions");
    let readings = run.ask(std::slice::from_ref(&call))?;
    let run = &*run;
    head(Answered { run, readings: &readings })?;
    let found = readings.get(&call).ok_or_else(|| Error::internal("nothing was predicted"))?;
    let found = found.as_ref().map_err(Clone::clone)?;
    let array = |name: &str| {
        let missing = || Error::internal(format!("the measurement predictions gave no {name}"));
        found.array(name).ok_or_else(missing)
    };
    let (token, probability, loss) = (array("token")?, array("probability")?, array("loss")?);
    let losses: Vec<f64> =
        loss.data.iter().filter(|loss| loss.is_finite()).map(|loss| f64::from(*loss)).collect();
    if !losses.is_empty() {
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        say(format!("loss      {:.4} nats a token, over {} tokens", Plain(mean), losses.len()))?;
    }
    let vocab = run.instrument.source().vocab();
    let Some(last) = run.prompt.len().checked_sub(1) else { return Ok(()) };
    say("next token")?;
    for (id, share) in token.outer(last).iter().zip(probability.outer(last)) {
        let id = as_id(*id);
        let glyph = quoting::quoted(&vocab.glyph(id));
        say(format!("  {:>7.4}  {glyph}  (id {id})", Plain(f64::from(*share))))?;
    }
    say(
        "\nAll places: -o FILE.npz. Other questions: --measure NAME (mnemoscope list measurements).",
    )
}

/// As `--tokens` takes it; of a long one the beginning, how many tokens it has, and the end.
fn sequence(vocab: &Vocab, tokens: &[u32]) -> String {
    const MOST: usize = 256;
    const ENDS: [usize; 2] = [24, 8];
    let spelled = |tokens: &[u32]| quoting::quoted(&vocab.spell(tokens));
    if tokens.len() <= MOST {
        return spelled(tokens);
    }
    let [first, last] = [&tokens[..ENDS[0]], &tokens[tokens.len() - ENDS[1]..]].map(spelled);
    format!("{first} … {last} ({} tokens)", tokens.len())
}

/// Which step of which run, about what, under what.
fn head(a: Answered<'_>) -> Result<()> {
    let vocab = a.run.instrument.source().vocab();
    say(format!("step {} of {}", a.readings.step, a.run.experiment.name))?;
    say(format!("sequence  {}", sequence(vocab, &a.run.prompt.tokens)))?;
    for intervention in &a.readings.interventions {
        say(format!("in force  {intervention}"))?;
    }
    Ok(())
}

/// What was answered; beside B, where there is one, and minus it.
fn summary(a: Answered<'_>, b: Option<Answered<'_>>) -> Result<()> {
    head(a)?;
    if let Some(b) = b {
        say(format!("against  step {} of {}", b.readings.step, b.run.experiment.name))?;
        say(format!("{:<30} {:>10} {:>10} {:>10}", "", "A", "B", NAME))?;
    }
    for (key, reading) in &a.readings.by_call {
        let Ok(reading) = reading else { continue };
        if reading.numbers.is_empty() && reading.arrays.is_empty() {
            continue;
        }
        say(format!("\n{key}"))?;
        let other = b.map(|b| b.readings.by_call.get(key).and_then(|b| b.as_ref().ok()));
        match other {
            None => alone(reading)?,
            Some(other) => beside(reading, other.map_or(&Reading::default(), |other| other))?,
        }
        for note in &reading.notes {
            say(format!("  {note}"))?;
        }
    }
    Ok(())
}

fn alone(reading: &Reading) -> Result<()> {
    for (name, value) in &reading.numbers {
        say(format!("  {name:<28} {:.4}", Plain(*value)))?;
    }
    reading.arrays.iter().try_for_each(|array| say(format!("{} (with -o)", line(array))))
}

/// Numbers of A, of B and their differences, and how large the differences of arrays are.
fn beside(a: &Reading, b: &Reading) -> Result<()> {
    let less = a.minus(b);
    for (name, value) in &a.numbers {
        let others = [b.number(name), less.number(name)];
        let [other, less] =
            others.map(|n| n.map_or("none".to_owned(), |n| format!("{:.4}", Plain(n))));
        say(format!("  {name:<28} {:>10.4} {other:>10} {less:>10}", Plain(*value)))?;
    }
    for array in &a.arrays {
        let most = less.array(&array.name).map_or("B has none of this shape".to_owned(), |less| {
            let sizes = less.data.iter().filter(|n| n.is_finite()).map(|n| n.abs());
            format!("differs by up to {:.4}", Plain(f64::from(sizes.fold(0.0, f32::max))))
        });
        say(format!("{} {most} (with -o)", line(array)))?;
    }
    Ok(())
}

/// The name of an array and the lengths of its axes.
fn line(array: &Array) -> String {
    let axes = array.axes.iter().zip(&array.shape).map(|(axis, n)| length(axis, *n));
    format!("  {:<28} [{}]", array.name, axes.collect::<Vec<_>>().join(", "))
}
