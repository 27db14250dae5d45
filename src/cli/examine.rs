//! `mnemoscope examine`: questions to a recorded run, answered as text, JSON or NumPy arrays.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::export::run_at::RunAt;
use crate::figure::file::save;
use crate::probe;
use crate::record::array::Array;
use crate::record::error::{Error, Result};
use crate::record::file::check_free;
use crate::record::npz::{Member, Numbers, archive};
use crate::record::plain::Plain;
use crate::record::question::{ProbeCall, Readings};
use crate::record::registry::find;

use super::run_at::Asked;
use super::say;

#[derive(Args)]
pub struct Examine {
    #[command(flatten)]
    asked: Asked,
    /// A probe, with settings after a colon: `--probe attention`, `--probe query_key:layer=1,head=0` (default: all that give
    /// numbers here; see `mnemoscope list probes`)
    #[arg(long = "probe", value_name = "NAME[:a=b,…]")]
    probes: Vec<String>,
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
        if !self.probes.is_empty()
            && let Some(Err(e)) = readings.by_call.values().find(|r| r.is_err())
        {
            return Err(e.clone());
        }
        match out {
            None => summary(&run, &readings)?,
            Some((path, Format::Json)) => save(path, &as_json(&run, &readings)?, self.force)?,
            Some((path, Format::Npz)) => save(path, &as_npz(&run, &readings)?, self.force)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn calls(&self) -> Result<Vec<ProbeCall>> {
        if self.probes.is_empty() {
            return Ok(probe::ALL.iter().map(|entry| ProbeCall::new(entry.name)).collect());
        }
        self.probes.iter().map(|text| call(text)).collect()
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

fn call(text: &str) -> Result<ProbeCall> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let mut made = find("probe", probe::ALL, name)?;
    let mut call = ProbeCall::new(name);
    for setting in settings.split(',').filter(|s| !s.is_empty()) {
        let (key, value) = super::assignment(setting)?;
        crate::record::knobs::set(&mut *made, &format!("{name}:"), key, &value)?;
        call = call.with(key, value);
    }
    Ok(call)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

fn summary(run: &RunAt, readings: &Readings) -> Result<()> {
    let vocab = run.instrument.source().vocab();
    let text: String = run.prompt.tokens.iter().map(|&t| vocab.glyph(t)).collect();
    say(format!("step {} of {}", readings.step, run.experiment.name))?;
    say(format!("sequence  {text}"))?;
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
                array.axes.iter().zip(&array.shape).map(|(a, n)| format!("{a} {n}")).collect();
            say(format!("  {:<28} [{}] (with -o)", array.name, axes.join(", ")))?;
        }
        for note in &reading.notes {
            say(format!("  {note}"))?;
        }
    }
    Ok(())
}

/// What both formats say beside the numbers.
fn about(run: &RunAt, readings: &Readings) -> Value {
    let vocab = run.instrument.source().vocab();
    json!({
        "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
        "experiment": run.experiment.name,
        "experiment_toml": run.experiment.to_toml(),
        "seed": run.experiment.train.seed,
        "step": readings.step,
        "tokens": run.prompt.tokens,
        "text": run.prompt.tokens.iter().map(|&t| vocab.text(t)).collect::<Vec<_>>(),
        "interventions": readings.interventions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A number that JSON can hold: NaN and infinities become null.
fn number(value: f64) -> Value {
    // Minus zero is zero.
    serde_json::Number::from_f64(value + 0.0).map_or(Value::Null, Value::Number)
}

fn array_json(array: &Array) -> Value {
    let data: Vec<Value> = array.data.iter().map(|&x| number(f64::from(x))).collect();
    json!({ "axes": array.axes, "shape": array.shape, "data": data })
}

pub(super) fn as_json(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    let mut document = about(run, readings);
    let mut probes = serde_json::Map::new();
    for (key, reading) in &readings.by_call {
        let value = match reading {
            Ok(reading) => json!({
                "numbers": reading.numbers.iter().map(|(n, v)| (n.clone(), number(*v))).collect::<serde_json::Map<_, _>>(),
                "arrays": reading.arrays.iter().map(|a| (a.name.clone(), array_json(a))).collect::<serde_json::Map<_, _>>(),
                "notes": reading.notes,
            }),
            Err(e) => json!({ "error": e.to_string() }),
        };
        probes.insert(key.clone(), value);
    }
    document["probes"] = Value::Object(probes);
    serde_json::to_vec(&document).map_err(|e| Error::internal(e.to_string()))
}

/// One array for each of the readings', named `PROBE/ARRAY`; a number is an array of no axis. Beside them `tokens` and
/// `about`, which says the names of the axes too.
pub(super) fn as_npz(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    let answers = || readings.by_call.iter().filter_map(|(key, r)| Some((key, r.as_ref().ok()?)));
    let mut members = Vec::new();
    let mut axes = serde_json::Map::new();
    for (key, reading) in answers() {
        for (name, value) in &reading.numbers {
            let numbers = Numbers::F64(std::slice::from_ref(value));
            members.push(Member { name: format!("{key}/{name}"), shape: &[], numbers });
        }
        for array in &reading.arrays {
            let name = format!("{key}/{}", array.name);
            axes.insert(name.clone(), json!(array.axes));
            members.push(Member { name, ..Member::of(array) });
        }
    }
    let length = [run.prompt.tokens.len()];
    let numbers = Numbers::U32(&run.prompt.tokens);
    members.push(Member { name: "tokens".to_owned(), shape: &length, numbers });
    let mut about = about(run, readings);
    about["axes"] = Value::Object(axes);
    let notes = answers().map(|(key, reading)| (key.clone(), json!(reading.notes)));
    about["notes"] = Value::Object(notes.collect());
    let about = about.to_string();
    archive(&[&members[..], &[Member::about(&about, &[about.len()])]].concat())
}
