//! What a running experiment says.

use std::sync::Arc;

use super::error::Error;
use super::intervention::Intervention;
use super::weights::Weights;

/// Something worth a mark on the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub step: u64,
    pub kind: MarkKind,
    /// For a person: `induction head formed`, `freeze layer0.wk`, `resumed`.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A capability appeared (set by itself, by a written rule).
    Emergence,
    /// An intervention came into force or was lifted.
    Intervention,
    /// Anything else: resumed, branched, diverged, a note of the user.
    Note,
}

/// One row of `metrics.csv`: values in the order of the run's columns; NaN where undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsRow {
    pub step: u64,
    pub values: Vec<f64>,
}

/// What the trainer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    /// All steps are done, or it was asked to stop.
    Finished,
    /// It cannot go on: see the error that came with it.
    Failed,
}

/// From the trainer to whoever listens.
#[derive(Clone, Debug)]
pub enum Event {
    /// First of all: where the run is recorded and which columns its metrics have (without `step`).
    Started {
        folder: Option<std::path::PathBuf>,
        columns: Vec<String>,
        step: u64,
    },
    Metrics(MetricsRow),
    Mark(Mark),
    /// The weights of this step are in the folder (or in memory when there is none).
    Recorded {
        step: u64,
    },
    /// Older recorded steps were thinned out; these remain.
    Thinned {
        steps: Vec<u64>,
    },
    /// The weights asked for by `Command::Show`.
    Weights(Arc<Weights>),
    /// Every so often: where training is and how fast it goes.
    Progress {
        step: u64,
        steps_per_second: f64,
        state: State,
    },
    /// What training is at, whenever that changes: `learning global statistics`, `induction head formed at step 212`.
    Doing(String),
    /// What is in force now, in order.
    InForce(Vec<Intervention>),
    /// The listener was too slow and events were dropped: what it knows of rows, marks and recorded steps is to be
    /// read anew from the folder.
    Missed,
    /// Something to know that stops nothing.
    Notice(Error),
    /// Something failed, and training went on or paused: the sentence says which.
    Trouble(Error),
}
