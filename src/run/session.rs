//! A trainer on a thread: commands in, events out, everything written to the run folder as it goes.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::record::error::Result;
use crate::record::event::Event;
use crate::record::intervention::Intervention;
use crate::record::weights::Weights;

use super::experiment::Experiment;

/// To the trainer; carried out between two steps.
#[derive(Clone, Debug)]
pub enum Command {
    Run,
    Pause,
    /// One step, then pause.
    Step,
    /// Largest number of steps per second; `None`: as fast as it goes.
    Speed(Option<f64>),
    /// Send the weights as they are now, once, as `Event::Weights`.
    Show,
    Intervene(Intervention),
    Lift(Intervention),
    /// Change a live setting of training, e.g. `rate`.
    Set {
        name: String,
        value: toml::Value,
    },
    /// Save everything and end.
    Stop,
}

/// Where a run begins.
#[derive(Clone, Debug)]
pub enum Begin {
    /// From fresh weights.
    Fresh,
    /// From the checkpoint in the run folder, bit for bit.
    Resume,
    /// A branch: from these weights (step and all), with fresh optimiser moments unless the folder they come
    /// from has its checkpoint at this very step.
    Branch { weights: Arc<Weights>, from: Option<PathBuf> },
}

pub struct Start {
    pub experiment: Experiment,
    pub begin: Begin,
    /// Where to record; `None`: in memory only.
    pub folder: Option<PathBuf>,
    pub paused: bool,
}

/// A running experiment. Dropping it stops it: what is recorded stays, the thread is joined.
pub struct Session {
    pub commands: Sender<Command>,
    pub events: Receiver<Event>,
}

impl Session {
    pub fn start(_start: Start) -> Result<Self> {
        unimplemented!()
    }
}
