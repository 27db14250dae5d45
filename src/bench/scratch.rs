//! A folder among temporary files that goes with its owner, and a recorded run in it.

use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::weights::Weights;
use crate::run::experiment::Experiment;
use crate::run::trainer::Trainer;
use crate::run_folder::library::new_run_folder;
use crate::run_folder::{Item, RunHeader, Writer};

/// A folder that is deleted when it is dropped.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Result<Self> {
        let path = new_run_folder(&std::env::temp_dir().join("mnemoscope"), "bench")?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What the system does not give up stays among its temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A run of `experiment` in a new folder at `path` with `steps` recorded steps, 0 and on. Only the first `trained` of
/// them are trained, then their weights come again: reading and examining them costs the same.
pub fn record(path: &Path, experiment: &Experiment, steps: u64, trained: u64) -> Result<()> {
    let mut trainer = Trainer::new(experiment)?;
    let birth = RunHeader {
        name: experiment.name.clone(),
        experiment: trainer.experiment().to_toml(),
        documents: trainer.source().documents()?,
        kind: "fresh".to_owned(),
        parent: None,
        columns: trainer.columns().to_vec(),
        budget_bytes: u64::MAX,
    };
    let mut writer = Writer::create(path, birth)?;
    let mut known: Vec<Weights> = Vec::new();
    let (mut row, _) = trainer.evaluate()?;
    for step in 0..steps {
        if step < trained.max(1) {
            if step > 0 {
                trainer.step()?;
            }
            known.push(trainer.weights()?);
        }
        let weights = &known[usize::try_from(step).unwrap_or(0) % known.len()];
        row.step = step;
        writer.push(Item::Metrics(row.clone()));
        writer.push(Item::Weights(Weights { step, ..weights.clone() }));
        writer.flush()?;
    }
    Ok(())
}
