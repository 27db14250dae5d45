//! Step, evaluate, give out weights: training without a thread and without a clock.

use std::sync::Arc;

use crate::model::Layout;
use crate::record::error::Result;
use crate::record::event::{Mark, MetricsRow};
use crate::record::intervention::Intervention;
use crate::record::weights::Weights;
use crate::task::Source;

use super::experiment::Experiment;

/// An experiment in progress.
pub struct Trainer {}

/// All that a trainer needs, besides its experiment, to go on bit for bit: step, weights, optimiser moments,
/// what is in force, and the state of the emergence rules.
pub struct Checkpoint {}

impl Trainer {
    pub fn new(_experiment: &Experiment) -> Result<Self> {
        unimplemented!()
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        unimplemented!()
    }

    pub fn layout(&self) -> &Layout {
        unimplemented!()
    }

    /// Columns of the metrics, without `step`.
    pub fn columns(&self) -> &[String] {
        unimplemented!()
    }

    /// Updates done so far.
    pub fn steps_done(&self) -> u64 {
        unimplemented!()
    }

    /// One update. Staged interventions of this step come into force first; the marks they make are returned.
    pub fn step(&mut self) -> Result<Vec<Mark>> {
        unimplemented!()
    }

    /// Metrics of the weights as they are, and the emergence marks that this evaluation set.
    pub fn evaluate(&mut self) -> Result<(MetricsRow, Vec<Mark>)> {
        unimplemented!()
    }

    pub fn weights(&self) -> Result<Weights> {
        unimplemented!()
    }

    pub fn intervene(&mut self, _what: &Intervention) -> Result<()> {
        unimplemented!()
    }

    /// Takes back an intervention that is in force.
    pub fn lift(&mut self, _what: &Intervention) -> Result<()> {
        unimplemented!()
    }

    pub fn in_force(&self) -> &[Intervention] {
        unimplemented!()
    }

    pub fn checkpoint(&self) -> Result<Checkpoint> {
        unimplemented!()
    }

    pub fn resume(_experiment: &Experiment, _from: &Checkpoint) -> Result<Self> {
        unimplemented!()
    }
}
