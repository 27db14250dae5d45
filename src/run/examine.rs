//! The one pure function behind every panel: weights, a prompt, interventions and probes in; readings out.

use std::sync::Arc;

use crate::model::Layout;
use crate::record::batch::Row;
use crate::record::error::Result;
use crate::record::intervention::Intervention;
use crate::record::question::{ProbeCall, Readings};
use crate::record::weights::Weights;
use crate::task::Source;

use super::experiment::Experiment;

/// The task and the network of an experiment, ready to be questioned at any step.
pub struct Instrument {}

impl Instrument {
    pub fn new(_experiment: &Experiment) -> Result<Self> {
        unimplemented!()
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        unimplemented!()
    }

    pub fn layout(&self) -> &Layout {
        unimplemented!()
    }

    /// Answers all calls for the same weights, prompt and interventions. A probe that cannot answer leaves its
    /// sentence in its place; the others answer all the same.
    pub fn examine(
        &mut self,
        _weights: &Weights,
        _prompt: &Arc<Row>,
        _interventions: &[Intervention],
        _calls: &[ProbeCall],
    ) -> Result<Readings> {
        unimplemented!()
    }
}
