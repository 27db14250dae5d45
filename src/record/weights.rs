//! The weights of a network at one step: names, shapes and numbers, without any tensor library.

use std::sync::Arc;

/// One parameter tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Spelled `layer0.wk`; see `docs/models.md` for the paper's names.
    pub name: Arc<str>,
    pub shape: Vec<usize>,
    pub data: Arc<[f32]>,
    /// False for a tensor that never changes in this run (frozen from start to end): stored once.
    pub trained: bool,
}

/// All tensors of a model after `step` updates. Cheap to clone: the numbers are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub step: u64,
    pub tensors: Vec<NamedTensor>,
}

impl Weights {
    pub fn get(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|t| &*t.name == name)
    }

    /// Size of the numbers of the tensors that training can change, in bytes.
    pub fn trained_bytes(&self) -> usize {
        self.tensors.iter().filter(|t| t.trained).map(|t| t.data.len() * 4).sum()
    }

    /// The first tensor that holds a number that is not finite, if any.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.tensors.iter().find(|t| t.data.iter().any(|x| !x.is_finite())).map(|t| &*t.name)
    }
}
