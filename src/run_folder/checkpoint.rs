//! All that a trainer needs, besides its experiment, to go on bit for bit.

use crate::base::intervention::Intervention;
use crate::base::weights::{NamedTensor, Weights};

/// A moment of a run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// All tensors of the network; its `step` is the number of updates done.
    pub weights: Weights,
    /// What the optimiser remembers.
    pub optimizer: Vec<NamedTensor>,
    /// What is in force, in order.
    pub in_force: Vec<Intervention>,
    /// Norm of the gradient of the last update by name of its tensor; NaN where there was none.
    pub grad_norms: Vec<(String, f64)>,
    /// State of the rules that set emergence marks.
    pub marks: serde_json::Value,
    /// Settings of training that were changed while the run went on: name and value.
    pub changed: Vec<(String, toml::Value)>,
}
