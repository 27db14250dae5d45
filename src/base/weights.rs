//! The weights of a network at one step: names, shapes and numbers, without any tensor library.

use std::sync::Arc;

use sha2::{Digest, Sha256};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    pub step: u64,
    pub tensors: Vec<NamedTensor>,
}

/// How far a tensor of two networks is apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    pub name: Arc<str>,
    /// Euclidean norm of the difference, of all numbers together.
    pub difference: f64,
    /// The same of the tensor that is subtracted.
    pub norm: f64,
}

impl Weights {
    /// How far the tensors are from those of another network; of tensors that both have, in one shape.
    pub fn distances(&self, other: &Self) -> Vec<Distance> {
        let distance = |tensor: &NamedTensor| {
            let other = other.get(&tensor.name).filter(|other| other.shape == tensor.shape)?;
            let norm =
                |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
            let pairs = tensor.data.iter().zip(&*other.data);
            Some(Distance {
                name: tensor.name.clone(),
                difference: norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b))),
                norm: norm(&mut other.data.iter().map(|b| f64::from(*b))),
            })
        };
        self.tensors.iter().filter_map(distance).collect()
    }

    pub fn get(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|t| &*t.name == name)
    }

    /// Size of the numbers of the tensors that training can change, in bytes.
    pub fn trained_bytes(&self) -> usize {
        self.tensors.iter().filter(|t| t.trained).map(|t| t.data.len() * 4).sum()
    }

    /// SHA-256 in hexadecimal of all tensors in the order of their names: of each the name, a zero byte, the number of axes
    /// and their lengths as 64-bit, and the numbers as 32-bit little-endian.
    pub fn sha256(&self) -> String {
        let mut tensors: Vec<&NamedTensor> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        for tensor in tensors {
            hash.update(tensor.name.as_bytes());
            hash.update([0]);
            for length in std::iter::once(tensor.shape.len()).chain(tensor.shape.iter().copied()) {
                hash.update((length as u64).to_le_bytes());
            }
            for numbers in tensor.data.chunks(1024) {
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                hash.update(bytes);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first tensor that holds a number that is not finite, if any.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.tensors.iter().find(|t| t.data.iter().any(|x| !x.is_finite())).map(|t| &*t.name)
    }
}
