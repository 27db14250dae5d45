//! `mnemoscope examine`: questions to a recorded run, answered as text, JSON or NumPy arrays.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::base::array::Axis;
use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Readings};
use crate::base::quoting;
use crate::base::registry::find;
use crate::base::settings;
use crate::export::answers;
use crate::export::run_at::RunAt;
use crate::figure::file::save;
use crate::formats::file::check_free;
use crate::measurement;

use super::run_at::Asked;
use super::say;

#[derive(Args)]
pub struct Examine {
    #[command(flatten)]
    asked: Asked,
    /// A measurement, with settings after a colon: `--measure attention`, `--measure query_key:layer=1,head=0` (default: all that give
    /// numbers here; see `mnemoscope list measurements`)
    #[arg(long = "measure", alias = "probe", value_name = "NAME[:a=b,…]")]
    measurements: Vec<String>,
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
        let readings = run.ask(&calls)?;
        if !self.measurements.is_empty()
            && let Some(Err(e)) = readings.by_call.values().find(|r| r.is_err())
        {
            return Err(e.clone());
        }
        match out {
            None => summary(&run, &readings)?,
            Some((path, Format::Json)) => save(path, &answers::json(&run, &readings)?, self.force)?,
            Some((path, Format::Npz)) => save(path, &answers::npz(&run, &readings)?, self.force)?,
        }
        Ok(ExitCode::SUCCESS)
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

fn summary(run: &RunAt, readings: &Readings) -> Result<()> {
    let vocab = run.instrument.source().vocab();
    say(format!("step {} of {}", readings.step, run.experiment.name))?;
    // As `--tokens` takes it.
    say(format!("sequence  {}", quoting::quoted(&vocab.spell(&run.prompt.tokens))))?;
    for intervention in &readings.interventions {
        say(format!("in force  {intervention}"))?;
    }
    for (key, reading) in &readings.by_call {
        let Ok(reading) = reading else { continue };
        if reading.numbers.is_empty() && reading.arrays.is_empty() {
            continue;
        }
        say(format!("\n{key}"))?;
        for (name, value) in &reading.numbers {
            say(format!("  {name:<28} {:.4}", Plain(*value)))?;
        }
        for array in &reading.arrays {
            let axes: Vec<String> =
                array.axes.iter().zip(&array.shape).map(|(axis, n)| length(axis, *n)).collect();
            say(format!("  {:<28} [{}] (with -o)", array.name, axes.join(", ")))?;
        }
        for note in &reading.notes {
            say(format!("  {note}"))?;
        }
    }
    Ok(())
}
