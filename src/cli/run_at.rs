//! A recorded run at one step, ready to be asked: what `examine` and `figure` share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::record::batch::Row;
use crate::record::error::{Error, Result};
use crate::record::folder::Reader;
use crate::record::intervention::Intervention;
use crate::record::question::{ProbeCall, Readings};
use crate::record::recording::Recording;
use crate::record::weights::Weights;
use crate::run::examine::Instrument;
use crate::run::experiment::Experiment;
use crate::run::lenses::Lenses;
use crate::task::held_out_seed;

/// The words that say which weights, which sequence and what is changed.
#[derive(Args)]
pub struct Asked {
    #[command(flatten)]
    at: At,
    /// Set a part of the network to zero, e.g. `--cut layer1.head0` or `--cut layer0.attn_out@7`
    #[arg(long, value_name = "PLACE")]
    cut: Vec<String>,
    /// Change the forward pass, e.g. `--intervene "mean layer1.head0"`, `"scale layer1.head0 by 0.5"`, `"patch
    /// layer1.k.head0@7 from TEXT"`, `"add layer1.resid_pre@7 2*embed[5]"` or `"cut layer1.head0@20<-7 renormalised"`
    #[arg(long, value_name = "WHAT")]
    intervene: Vec<String>,
}

/// The words that say which weights and which sequence.
#[derive(Args)]
pub struct At {
    /// Folder of a recorded run
    #[arg(value_name = "RUN_FOLDER")]
    folder: PathBuf,
    /// Step to look at: the nearest one whose weights are recorded (default: the last)
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Text to ask about instead of the first held-out sequence
    #[arg(long, value_name = "TEXT")]
    tokens: Option<String>,
}

pub struct RunAt {
    pub experiment: Experiment,
    pub recording: Recording,
    pub instrument: Instrument,
    pub weights: Weights,
    pub prompt: Arc<Row>,
    pub interventions: Vec<Intervention>,
}

impl Asked {
    pub fn folder(&self) -> &Path {
        &self.at.folder
    }

    pub fn open(&self) -> Result<RunAt> {
        let mut run = self.at.open()?;
        let cuts = self.cut.iter().map(|place| format!("zero {place}"));
        let vocab = run.instrument.source().vocab();
        let all = cuts.chain(self.intervene.iter().cloned());
        run.interventions = all
            .map(|what| Intervention::written(&what, vocab).map_err(|e| e.context("--intervene")))
            .collect::<Result<_>>()?;
        Ok(run)
    }
}

impl At {
    pub fn open(&self) -> Result<RunAt> {
        super::sweep::refuse(&self.folder)?;
        let mut reader = Reader::open(&self.folder)?;
        let recording = reader.recording.clone();
        let experiment = Experiment::of_run(&self.folder)?;
        let wanted = self.step.unwrap_or(u64::MAX);
        let step = recording.nearest_recorded(wanted).ok_or_else(|| {
            Error::input(format!("{} has no recorded weights yet", self.folder.display()))
        })?;
        if let Some(wanted) = self.step.filter(|wanted| *wanted != step) {
            // Not among the answers, where a program may read them.
            let _ = writeln!(
                std::io::stderr(),
                "mnemoscope: step {wanted} has no recorded weights; step {step}, the nearest that has, is taken"
            );
        }
        let weights = reader.weights(step)?;
        let mut instrument = Instrument::new(&experiment)?;
        instrument.equip(Lenses::default().kept_in(&self.folder));
        let prompt = Arc::new(self.prompt(&instrument, &experiment)?);
        let interventions = Vec::new();
        Ok(RunAt { experiment, recording, instrument, weights, prompt, interventions })
    }

    fn prompt(&self, instrument: &Instrument, experiment: &Experiment) -> Result<Row> {
        let source = instrument.source();
        let first = source.sequence(held_out_seed(experiment.train.seed as u64), 0);
        let Some(text) = &self.tokens else { return Ok(first) };
        let tokens = source.vocab().encode(text).map_err(|e| e.context("--tokens"))?;
        if tokens.is_empty() || tokens.len() > source.length() {
            return Err(Error::usage(format!(
                "--tokens has {} tokens; this network reads 1 to {}",
                tokens.len(),
                source.length()
            )));
        }
        Ok(source.label(&tokens, &first))
    }
}

impl RunAt {
    pub fn ask(&mut self, calls: &[ProbeCall]) -> Result<Readings> {
        self.instrument.examine(&self.weights, &self.prompt, &self.interventions, calls)
    }
}
