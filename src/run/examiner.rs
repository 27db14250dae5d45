//! `examine` on a thread: the latest question wins, one is in flight.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::record::batch::Row;
use crate::record::error::Result;
use crate::record::intervention::Intervention;
use crate::record::question::{ProbeCall, Readings};
use crate::record::weights::Weights;

use super::experiment::Experiment;

/// Whose weights are asked.
#[derive(Clone, Debug)]
pub enum Which {
    /// These (the live ones).
    Given(Arc<Weights>),
    /// Those recorded at a step of a run folder (kept in a cache within a memory budget).
    Recorded { folder: PathBuf, step: u64 },
}

#[derive(Clone, Debug)]
pub struct Question {
    /// Comes back with the answer.
    pub id: u64,
    pub which: Which,
    pub prompt: Arc<Row>,
    pub interventions: Vec<Intervention>,
    pub calls: Vec<ProbeCall>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub id: u64,
    pub readings: Result<Arc<Readings>>,
}

/// A thread that answers. Dropping it joins the thread.
pub struct Examiner {
    pub replies: Receiver<Reply>,
}

impl Examiner {
    /// `wake` is called after each reply (the window asks for a frame).
    pub fn start(_experiment: &Experiment, _wake: impl Fn() + Send + 'static) -> Result<Self> {
        unimplemented!()
    }

    /// Replaces any question that is still waiting.
    pub fn ask(&self, _question: Question) {
        unimplemented!()
    }
}
