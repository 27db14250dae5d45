//! `mnemoscope export`: the weights or the metrics of a recorded run, for other programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::base::error::{Error, Result};
use crate::formats::file::{check_free, check_way, save, save_all, source_date};
use crate::formats::parquet::parquet;
use crate::formats::tfevents;
use crate::run::experiment::Experiment;
use crate::run::interchange::{self, WeightFormat};
use crate::run_folder::{self, Reader};
use crate::sweep::table;

use super::run_at::weights_near;
use super::say;

#[derive(Args)]
pub struct Export {
    /// Folder of a recorded run
    #[arg(value_name = "RUN_FOLDER")]
    folder: PathBuf,
    /// What to write
    #[arg(long, value_name = "KIND")]
    to: To,
    /// Step whose weights are written: the nearest one recorded (default: the last)
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Folder or file to write
    #[arg(short, long, value_name = "DIR_OR_FILE")]
    out: PathBuf,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// Weights as a folder for `TransformerBridge.boot_native` of TransformerLens 4
    #[value(name = "transformer_lens")]
    TransformerLens,
    /// Weights as a folder for `HookedTransformer` of TransformerLens 2 and 3
    Hooked,
    /// Weights as a folder for `GPT2LMHeadModel.from_pretrained` of Hugging Face
    Gpt2,
    /// Weights as one safetensors file, under their own names
    Safetensors,
    /// Metrics as a CSV file, a row an evaluation
    Csv,
    /// Metrics as a typed Parquet file
    Parquet,
    /// Metrics as a folder that TensorBoard shows
    Tensorboard,
}

impl To {
    fn format(self) -> Option<WeightFormat> {
        match self {
            Self::TransformerLens => Some(WeightFormat::TransformerLens),
            Self::Hooked => Some(WeightFormat::Hooked),
            Self::Gpt2 => Some(WeightFormat::Gpt2),
            Self::Safetensors => Some(WeightFormat::Safetensors),
            Self::Csv | Self::Parquet | Self::Tensorboard => None,
        }
    }
}

impl Export {
    pub fn run(self) -> Result<ExitCode> {
        crate::export::run_at::refuse_sweep(&self.folder)?;
        match self.to.format() {
            Some(format) => self.weights(format)?,
            None => self.metrics()?,
        }
        say(self.out.display().to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    fn weights(&self, format: WeightFormat) -> Result<()> {
        self.check_out(format.is_folder())?;
        let mut reader = Reader::open(&self.folder)?;
        let experiment = Experiment::of_run(&self.folder)?;
        let weights = weights_near(&mut reader, self.step)?;
        let files = interchange::files(format, &experiment, &weights)?;
        if let ([file], false) = (&files[..], format.is_folder()) {
            return save(&self.out, &file.bytes, self.force);
        }
        let files: Vec<_> = files.iter().map(|file| (file.name, &file.bytes[..])).collect();
        save_all(&self.out, &files, self.force, &interchange::is_ours)
    }

    fn metrics(&self) -> Result<()> {
        if self.step.is_some() {
            return Err(Error::usage(
                "--step says whose weights are written; metrics are written of all steps",
            ));
        }
        self.check_out(matches!(self.to, To::Tensorboard))?;
        let metrics = table::metrics(&self.folder)?;
        let about = || -> Result<_> {
            Ok([
                ("mnemoscope.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("mnemoscope.run", run_folder::about(&self.folder)?.name),
                ("mnemoscope.experiment", Experiment::written_in(&self.folder)?.to_toml()),
            ])
        };
        match self.to {
            To::Parquet => save(&self.out, &parquet(&metrics, &about()?)?, self.force),
            To::Tensorboard => {
                let seconds = source_date()?.unwrap_or(0);
                // TensorBoard finds its files by this beginning.
                let name = format!("events.out.tfevents.{seconds:010}.mnemoscope");
                let bytes = tfevents::events(&metrics, seconds as f64);
                // Nobody else's files have such a name.
                save_all(&self.out, &[(&name, &bytes)], self.force, &|_| true)
            }
            To::Csv | To::TransformerLens | To::Hooked | To::Gpt2 | To::Safetensors => {
                save(&self.out, &metrics.csv()?, self.force)
            }
        }
    }

    /// What is wrong with the place is said before anything is read.
    fn check_out(&self, wants_folder: bool) -> Result<()> {
        let path: &Path = &self.out;
        if !wants_folder && path.is_dir() {
            return Err(Error::usage(format!(
                "-o {} is a folder: give the name of a file",
                path.display()
            )));
        }
        if wants_folder && path.is_file() {
            return Err(Error::usage(format!(
                "-o {} is a file: give the name of a folder",
                path.display()
            )));
        }
        if wants_folder { check_way(path) } else { check_free(path, self.force) }
    }
}
