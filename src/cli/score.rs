//! `mnemoscope score`: every step of a series asked the same, once, and kept.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use crate::base::error::{Error, Result};
use crate::figure::file::save;
use crate::formats::columns::{Columns, Values};
use crate::formats::file::check_free;
use crate::run::experiment::Experiment;
use crate::run::scoring::{Asked, Pass, Table};
use crate::run_folder::library;
use crate::run_folder::{Reader, series};
use crate::task::prompts::UnreadTokenizer;

use super::bar::Bar;
use super::gather::print;
use super::run_at::{note, remember};
use super::say;

#[derive(Args)]
pub struct Score {
    /// Folder of a series of checkpoints of another program, or of one network
    #[arg(value_name = "SERIES_FOLDER")]
    folder: PathBuf,
    /// File to write (default: CSV to standard output)
    #[arg(short, long, value_name = "FILE.(csv|json)")]
    out: Option<PathBuf>,
    /// To standard output as JSON: a list with an object a step
    #[arg(long, conflicts_with = "out")]
    json: bool,
    /// Compute and keep what is missing, and print nothing
    #[arg(long, conflicts_with_all = ["out", "json"])]
    quiet: bool,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Json,
}

impl Score {
    pub fn run(self) -> Result<ExitCode> {
        // What is wrong with the name of the file is said before anything is read.
        let format = self.format()?;
        let reader = Reader::open(&self.folder)?;
        reader.problems.iter().for_each(|e| note(&e.message));
        let asked = Asked {
            experiment: Experiment::of_run(&self.folder)?,
            folder: self.folder.clone(),
            steps: reader.recording.recorded.clone(),
        };
        // Its text has no loss then.
        let source = asked.experiment.task.open()?;
        if let Some(UnreadTokenizer(why)) = source.facet() {
            note(&why.message);
        }
        let (mut pass, problems) = Pass::open(asked, library::home().ok().as_deref())?;
        problems.iter().for_each(|e| note(&e.message));
        remember(&self.folder, None);
        let is_whole = score(&mut pass)?;
        let steps = pass.steps();
        for mark in Table::of(pass.scores(), &steps).marks {
            note(format!("{} at step {}", mark.text, mark.step));
        }
        if !self.quiet {
            self.write(pass.scores(), format)?;
        }
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(130) })
    }

    fn format(&self) -> Result<Format> {
        let Some(path) = &self.out else {
            return Ok(if self.json { Format::Json } else { Format::Csv });
        };
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let format = match ending.as_deref() {
            Some("csv") => Format::Csv,
            Some("json") => Format::Json,
            _ => {
                return Err(Error::usage(format!(
                    "-o {}: expected a name that ends in .csv or .json",
                    path.display()
                )));
            }
        };
        check_free(path, self.force)?;
        Ok(format)
    }

    fn write(&self, scores: &series::scores::Scores, format: Format) -> Result<()> {
        let bytes = match format {
            Format::Csv => columns(scores).csv()?,
            Format::Json => json(scores).to_string().into_bytes(),
        };
        let Some(path) = &self.out else {
            print(&bytes)?;
            return if matches!(format, Format::Json) { say("") } else { Ok(()) };
        };
        save(path, &bytes, self.force)?;
        say(path.display().to_string())
    }
}

/// Scores what is missing; false where Ctrl-C ended it: what is done by then is kept, and the next time goes on from there.
fn score(pass: &mut Pass) -> Result<bool> {
    let missing = pass.missing();
    if missing.is_empty() {
        return Ok(true);
    }
    let total = pass.steps().len();
    let bar = std::cell::RefCell::new(Bar::begin("steps")?);
    let (mut done, mut failed) = (total - missing.len(), Vec::new());
    for step in missing {
        let go_on = || bar.borrow_mut().show(done, total);
        match pass.score(step, &go_on, &mut |e| failed.push(e)) {
            Ok(true) => done += 1,
            Ok(false) => break,
            Err(e) => failed.push(e.context(format!("step {step} is not scored"))),
        }
    }
    let stopped = bar.into_inner().end();
    failed.iter().for_each(|e| note(&e.message));
    Ok(!stopped)
}

fn columns(scores: &series::scores::Scores) -> Columns {
    let step = |(step, _): (u64, &[f64])| i64::try_from(step).ok();
    let mut all = vec![("step".to_owned(), Values::Whole(scores.rows().map(step).collect()))];
    for (at, name) in scores.columns.iter().enumerate() {
        let value = |(_, values): (u64, &[f64])| Some(values[at]).filter(|value| !value.is_nan());
        all.push((name.clone(), Values::Number(scores.rows().map(value).collect())));
    }
    Columns(all)
}

fn json(scores: &series::scores::Scores) -> Value {
    let row = |(step, values): (u64, &[f64])| {
        let values = scores.columns.iter().zip(values);
        let first = [("step".to_owned(), Value::from(step))];
        let values = values.map(|(name, value)| (name.clone(), Value::from(*value)));
        Value::Object(first.into_iter().chain(values).collect::<Map<_, _>>())
    };
    scores.rows().map(row).collect()
}
