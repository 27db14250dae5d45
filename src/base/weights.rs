//! The weights of a network at one step: names, shapes and numbers, without any tensor library.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::{cast_slice, cast_slice_mut};
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use crate::base::error::Result;

/// Kinds of numbers that the tensors of a network are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl Dtype {
    /// By the name that safetensors files have for it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "F64" => Some(Self::F64),
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::Bf16),
            _ => None,
        }
    }

    /// The name that safetensors files have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Numbers of a tensor, in the kind that they are kept in.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    F64(Vec<f64>),
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Numbers {
    pub fn zeros(dtype: Dtype, count: usize) -> Self {
        match dtype {
            Dtype::F64 => Self::F64(vec![0.0; count]),
            Dtype::F32 => Self::F32(vec![0.0; count]),
            Dtype::F16 => Self::F16(vec![f16::ZERO; count]),
            Dtype::Bf16 => Self::Bf16(vec![bf16::ZERO; count]),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F64(x) => cast_slice(x),
            Self::F32(x) => cast_slice(x),
            Self::F16(x) => cast_slice(x),
            Self::Bf16(x) => cast_slice(x),
        }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::F64(x) => cast_slice_mut(x),
            Self::F32(x) => cast_slice_mut(x),
            Self::F16(x) => cast_slice_mut(x),
            Self::Bf16(x) => cast_slice_mut(x),
        }
    }

    /// Whether none is infinite or no number.
    pub fn are_finite(&self) -> bool {
        // Of half precision: no exponent has all of its bits set.
        let (f16_exponent, bf16_exponent) = (0x7c00, 0x7f80);
        match self {
            Self::F64(x) => x.iter().all(|x| x.is_finite()),
            Self::F32(x) => x.iter().all(|x| x.is_finite()),
            Self::F16(x) => x.iter().all(|x| x.to_bits() & f16_exponent != f16_exponent),
            Self::Bf16(x) => x.iter().all(|x| x.to_bits() & bf16_exponent != bf16_exponent),
        }
    }
}

/// A tensor of a file, or some of its rows, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

/// The tensors of a network in files of another program.
pub trait TensorFile: Send + Sync {
    /// What tells these files from others: where they lie, and which state of them.
    fn identity(&self) -> &str;
    /// The shape of a tensor of that name, if there is one.
    fn shape(&self, name: &str) -> Option<&[usize]>;
    /// Names of all tensors, of whatever numbers.
    fn names(&self) -> Vec<&str>;
    /// Some rows of a tensor (of its first axis), one stretch after the other.
    ///
    /// # Errors
    /// When there is no tensor of that name, it has no such rows, it is of other numbers than those of a network, or the file cannot be
    /// read or is another by now.
    fn rows(&self, name: &str, rows: &[Range<usize>]) -> Result<RawTensor>;
}

impl dyn TensorFile {
    /// All numbers of a tensor.
    ///
    /// # Errors
    /// As [`TensorFile::rows`].
    pub fn read(&self, name: &str) -> Result<RawTensor> {
        let rows = self.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(1);
        self.rows(name, std::slice::from_ref(&(0..rows)))
    }

    /// See [`Weights::sha256`]; a tensor that cannot be read counts by its name and shape alone.
    fn sha256(&self) -> String {
        let mut names = self.names();
        names.sort_unstable();
        let mut hash = Sha256::new();
        for name in names {
            put_name(&mut hash, name, self.shape(name).unwrap_or_default());
            if let Ok(tensor) = self.read(name) {
                hash.update(tensor.numbers.bytes());
            }
        }
        hexadecimal(hash)
    }
}

fn put_name(hash: &mut Sha256, name: &str, shape: &[usize]) {
    hash.update(name.as_bytes());
    hash.update([0]);
    for length in std::iter::once(shape.len()).chain(shape.iter().copied()) {
        hash.update((length as u64).to_le_bytes());
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

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
    /// None where they lie in files of another program.
    pub tensors: Vec<NamedTensor>,
    pub file: Option<OpenFile>,
}

/// Files of another program, opened.
#[derive(Clone)]
pub struct OpenFile(pub Arc<dyn TensorFile>);

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFile({} tensors)", self.0.names().len())
    }
}

impl PartialEq for OpenFile {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }
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
    pub fn new(step: u64, tensors: Vec<NamedTensor>) -> Self {
        Self { step, tensors, file: None }
    }

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
    ///
    /// Of files of another program: their tensors likewise, the numbers as they lie there.
    pub fn sha256(&self) -> String {
        if let Some(file) = &self.file {
            return file.0.sha256();
        }
        let mut tensors: Vec<&NamedTensor> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        for tensor in tensors {
            put_name(&mut hash, &tensor.name, &tensor.shape);
            for numbers in tensor.data.chunks(1024) {
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                hash.update(bytes);
            }
        }
        hexadecimal(hash)
    }

    /// The first tensor that holds a number that is not finite, if any.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.tensors.iter().find(|t| t.data.iter().any(|x| !x.is_finite())).map(|t| &*t.name)
    }
}
