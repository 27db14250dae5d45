//! Keeps a few recorded steps of a run in a folder of its own, with all metrics and marks: how the runs in `assets/runs` were made.
//!
//! `cargo run --example recorded_run -- RUN_FOLDER NEW_FOLDER 0 600 4800 14000`

use std::error::Error;
use std::path::Path;

use mnemoscope::run_folder::{Item, Reader, RunHeader, Writer, documents};

/// Writes what `run` recorded into `folder`, the weights of these steps alone.
pub fn keep(run: &Path, folder: &Path, steps: &[u64]) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::open(run)?;
    let header = RunHeader {
        name: reader.about.name.clone(),
        experiment: reader.experiment()?,
        documents: documents(run)?,
        kind: reader.about.kind.clone(),
        parent: None,
        columns: reader.recording.columns.clone(),
        budget_bytes: 1 << 30,
    };
    let mut writer = Writer::create(folder, header)?;
    for row in reader.recording.rows.clone() {
        writer.push(Item::Metrics(row));
    }
    for mark in reader.recording.marks.clone() {
        writer.push(Item::Mark(mark));
    }
    for step in steps {
        writer.push(Item::Weights(reader.weights(*step)?));
    }
    writer.flush()?;
    Ok(())
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [run, folder, steps @ ..] = &words[..] else {
        return Err("expected a run folder, a new folder, and steps".into());
    };
    let steps: Result<Vec<u64>, _> = steps.iter().map(|step| step.parse()).collect();
    keep(run.as_ref(), folder.as_ref(), &steps?)
}
