//! The parameters of a model: by name, in order, drawn from our own seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::base::budget;
use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::weights::{NamedTensor, Weights};

use super::linear::{rows_of, widened};

/// Most memory for the numbers of a network.
const MOST_BYTES: u64 = budget::NETWORK_BYTES;

/// How a parameter is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// N(0, std²).
    Normal(f64),
    /// U(-bound, bound).
    Uniform(f64),
    Zeros,
    Ones,
}

/// Handle of a parameter: its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param(usize);

impl Param {
    /// Its place in the order of [`Params::all`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// A tensor in the files of another program, of a network that is read and not trained.
pub trait Stored: Send + Sync {
    fn shape(&self) -> &[usize];
    /// All of it, of whatever numbers, its rows or its columns one after the other.
    ///
    /// # Errors
    /// When it cannot be read, or holds numbers that are not finite.
    fn whole(&self) -> Result<Tensor>;
    /// Some of its rows, of `f32`: `[row, width]`.
    ///
    /// # Errors
    /// As [`Self::whole`].
    fn rows(&self, rows: &[u32]) -> Result<Tensor>;
}

/// A stored tensor; it is read as a whole where somebody asks for more than some rows, and kept from then on.
struct Lazy {
    stored: Box<dyn Stored>,
    whole: Mutex<Option<Tensor>>,
}

impl Lazy {
    fn whole(&self) -> Result<Tensor> {
        // A panic while it was read left nothing behind.
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole) = &*whole {
            return Ok(whole.clone());
        }
        Ok(whole.insert(self.stored.whole()?).clone())
    }

    fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match whole {
            Some(whole) => rows_of(&whole, rows),
            None => self.stored.rows(rows),
        }
    }
}

/// Where the numbers of a parameter are.
#[derive(Clone)]
enum Values {
    Here(Var),
    Stored(Arc<Lazy>),
}

impl Values {
    fn dims(&self) -> &[usize] {
        match self {
            Self::Here(var) => var.dims(),
            Self::Stored(lazy) => lazy.stored.shape(),
        }
    }

    fn count(&self) -> usize {
        self.dims().iter().product()
    }
}

#[derive(Clone)]
struct Entry {
    name: Arc<str>,
    values: Values,
    /// Whether the model ever trains it.
    trained: bool,
    frozen: bool,
    /// The numbers of a tensor that never changes, shared by all snapshots.
    fixed: Option<Arc<[f32]>>,
}

impl Entry {
    fn var(&self) -> Result<&Var> {
        match &self.values {
            Values::Here(var) => Ok(var),
            Values::Stored(_) => Err(Error::internal(format!(
                "{} lies in files of another program and is only read",
                self.name
            ))),
        }
    }
}

/// All parameters of a model. Each draws from a stream of its own (seed and name), so that adding one
/// changes no other.
pub struct Params {
    seed: u64,
    device: Device,
    entries: Vec<Entry>,
    /// What was computed from tensors that never change; empty again after `load`.
    derived: Mutex<BTreeMap<String, Tensor>>,
}

impl Params {
    /// On the processor.
    pub fn new(seed: u64) -> Self {
        Self::on(seed, Device::Cpu)
    }

    /// On a device. The numbers drawn are the same on all.
    pub fn on(seed: u64, device: Device) -> Self {
        Self { seed, device, entries: Vec::new(), derived: Mutex::default() }
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Adds a parameter of `shape`; `trained` false means it never changes (a buffer of the model).
    pub fn add(&mut self, name: &str, shape: &[usize], init: Init, trained: bool) -> Result<Param> {
        let values = draw(self.seed, name, self.room_for(name, shape)?, init);
        self.add_values(name, shape, values, trained)
    }

    /// Numbers of a tensor to add, if the network is not too large with it: said before memory is asked for.
    fn room_for(&self, name: &str, shape: &[usize]) -> Result<usize> {
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        let there: usize = self.entries.iter().map(|e| e.values.count()).sum();
        let most = convert::size(MOST_BYTES) / size_of::<f32>();
        let fits = |count: &usize| count.saturating_add(there) <= most;
        count.filter(fits).ok_or_else(|| {
            Error::usage(format!(
                "with the tensor {name} of shape {shape:?} the network has more than {} MB of numbers, and training takes several times that; lower model.width, model.layers or task.length",
                MOST_BYTES >> 20
            ))
        })
    }

    /// Adds a parameter with given values, row-major.
    ///
    /// # Errors
    /// When the values do not fill the shape.
    pub fn add_values(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        trained: bool,
    ) -> Result<Param> {
        let fixed = (!trained).then(|| Arc::from(values.as_slice()));
        let values = Var::from_tensor(&Tensor::from_vec(values, shape, &self.device)?)?;
        let values = Values::Here(values);
        self.entries.push(Entry { name: name.into(), values, trained, frozen: !trained, fixed });
        Ok(Param(self.entries.len() - 1))
    }

    /// Adds a parameter of a network that is read: its numbers are taken from its files when they are first asked for.
    pub fn add_stored(&mut self, name: &str, stored: Box<dyn Stored>) -> Param {
        let values = Values::Stored(Arc::new(Lazy { stored, whole: Mutex::default() }));
        let name = name.into();
        self.entries.push(Entry { name, values, trained: false, frozen: true, fixed: None });
        Param(self.entries.len() - 1)
    }

    /// Adds the parameters of another network; their numbers are shared.
    pub fn adopt(&mut self, other: &Self) {
        self.entries.extend(other.entries.iter().cloned());
    }

    /// The tensor for a forward pass: part of the gradient graph only while it is being trained; of `f32` and contiguous, whatever it is
    /// kept in.
    ///
    /// # Errors
    /// When it lies in files that cannot be read.
    pub fn get(&self, param: Param) -> Result<Tensor> {
        let kept = self.kept(param)?;
        if kept.dtype() == DType::F32 { Ok(kept.contiguous()?) } else { widened(&kept) }
    }

    /// The same in the kind of numbers that it is kept in, its rows or its columns one after the other.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn kept(&self, param: Param) -> Result<Tensor> {
        let entry = &self.entries[param.0];
        Ok(match &entry.values {
            Values::Here(var) if entry.frozen => var.as_detached_tensor(),
            Values::Here(var) => var.as_tensor().clone(),
            Values::Stored(lazy) => lazy.whole()?,
        })
    }

    /// Some rows of a matrix, of `f32`, `[row, width]`: of one that lies in files, these alone are read.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn rows(&self, param: Param, rows: &[u32]) -> Result<Tensor> {
        match &self.entries[param.0].values {
            Values::Here(var) => rows_of(var.as_tensor(), rows),
            Values::Stored(lazy) => lazy.rows(rows),
        }
    }

    /// Whether its numbers lie in files of another program.
    pub fn is_stored(&self, param: Param) -> bool {
        matches!(self.entries[param.0].values, Values::Stored(_))
    }

    /// Lengths of its axes.
    pub fn dims(&self, param: Param) -> &[usize] {
        self.entries[param.0].values.dims()
    }

    /// How many numbers it has.
    pub fn count(&self, param: Param) -> usize {
        self.entries[param.0].values.count()
    }

    /// A tensor that depends only on parameters that are never trained: made once and kept under `name`
    /// until other weights are loaded.
    pub fn derived(&self, name: &str, make: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        // A panic inside `make` leaves the map as it was, so a poisoned lock is as good as any.
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tensor) = derived.get(name) {
            return Ok(tensor.clone());
        }
        let tensor = make()?.detach();
        derived.insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    /// The same variables outside of any gradient graph: what is measured with them needs no memory for a
    /// backward pass. An update of these parameters is seen there too. Those of another device are copied to the
    /// processor, where all measuring is done.
    pub fn watched(&self) -> Result<Self> {
        let device = Device::Cpu;
        let entry = |e: &Entry| -> Result<Entry> {
            let values = match &e.values {
                Values::Here(var) if !self.device.is_cpu() => {
                    let there = var.as_detached_tensor().to_device(&device)?;
                    Values::Here(Var::from_tensor(&there)?)
                }
                Values::Here(_) | Values::Stored(_) => e.values.clone(),
            };
            Ok(Entry { frozen: true, values, ..e.clone() })
        };
        let entries = self.entries.iter().map(entry).collect::<Result<_>>()?;
        Ok(Self { seed: self.seed, device, entries, derived: Mutex::default() })
    }

    /// The same variables, all of them in the gradient graph: what is computed from them has a history.
    pub fn tracked(&self) -> Self {
        let entry = |e: &Entry| Entry { frozen: false, ..e.clone() };
        let entries = self.entries.iter().map(entry).collect();
        let (seed, device) = (self.seed, self.device.clone());
        Self { seed, device, entries, derived: Mutex::default() }
    }

    /// The same parameters with other numbers for one of them, of the same shape.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn with(&self, param: Param, numbers: &Tensor) -> Result<Self> {
        let mut entries = self.entries.clone();
        entries[param.0].values = Values::Here(Var::from_tensor(numbers)?);
        entries[param.0].fixed = None;
        let (seed, device) = (self.seed, self.device.clone());
        Ok(Self { seed, device, entries, derived: Mutex::default() })
    }

    /// Handles of all parameters, in order.
    pub fn all(&self) -> impl Iterator<Item = Param> + use<> {
        (0..self.entries.len()).map(Param)
    }

    pub fn name(&self, param: Param) -> &str {
        &self.entries[param.0].name
    }

    /// The parameter of that name; the paper's name will do (see [`canonical`]).
    pub fn find(&self, name: &str) -> Option<Param> {
        let name = canonical(name);
        self.entries.iter().position(|e| &*e.name == name).map(Param)
    }

    /// The variable itself, for optimisers.
    ///
    /// # Errors
    /// When it lies in files of another program: nothing changes it there.
    pub fn var(&self, param: Param) -> Result<&Var> {
        self.entries[param.0].var()
    }

    /// Whether the model trains it at all.
    pub fn is_trained(&self, param: Param) -> bool {
        self.entries[param.0].trained
    }

    pub fn is_frozen(&self, param: Param) -> bool {
        self.entries[param.0].frozen
    }

    /// Freezes or releases a trained parameter; `name` may be the paper's (see [`canonical`]).
    ///
    /// # Errors
    /// When no parameter has that name, or it is one that this model never trains.
    pub fn set_frozen(&mut self, name: &str, frozen: bool) -> Result<()> {
        let name = canonical(name);
        self.check_trained(name)?;
        if let Some(entry) = self.entries.iter_mut().find(|e| &*e.name == name) {
            entry.frozen = frozen;
        }
        Ok(())
    }

    /// Whether a tensor can be frozen and released.
    ///
    /// # Errors
    /// When no parameter has that name, or it is one that this model never trains.
    pub fn check_trained(&self, name: &str) -> Result<()> {
        let name = canonical(name);
        let known: Vec<&str> =
            self.entries.iter().filter(|e| e.trained).map(|e| &*e.name).collect();
        match self.find(name) {
            Some(param) if self.is_trained(param) => Ok(()),
            Some(_) => Err(Error::usage(format!(
                "{name} is never trained in this model; trained are {}",
                known.join(", ")
            ))),
            None => Err(Error::usage(format!(
                "this model has no tensor \"{name}\".{} Trained are {}",
                did_you_mean(name, known.iter().copied()),
                known.join(", ")
            ))),
        }
    }

    /// A copy of all numbers; tensors that never change share theirs between copies.
    pub fn weights(&self, step: u64) -> Result<Weights> {
        let tensors = self
            .entries
            .iter()
            .map(|e| {
                let data = match &e.fixed {
                    Some(fixed) => fixed.clone(),
                    None => e.var()?.flatten_all()?.to_vec1::<f32>()?.into(),
                };
                Ok(NamedTensor {
                    name: e.name.clone(),
                    shape: e.values.dims().to_vec(),
                    data,
                    trained: e.trained,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Weights::new(step, tensors))
    }

    /// Takes the numbers of a snapshot.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape (nothing has changed then).
    pub fn load(&mut self, weights: &Weights) -> Result<()> {
        for e in &self.entries {
            let Some(t) = weights.get(&e.name) else {
                return Err(Error::input(format!(
                    "the weights of step {} lack the tensor {} that this model needs",
                    weights.step, e.name
                )));
            };
            if t.shape != e.values.dims() {
                return Err(Error::input(format!(
                    "the tensor {} of step {} has shape {:?}, this model needs {:?}",
                    e.name,
                    weights.step,
                    t.shape,
                    e.values.dims()
                )));
            }
        }
        self.derived.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        for e in &mut self.entries {
            if let Some(t) = weights.get(&e.name) {
                e.var()?.set(&Tensor::from_slice(&t.data, t.shape.as_slice(), &self.device)?)?;
                if e.fixed.is_some() {
                    e.fixed = Some(t.data.clone());
                }
            }
        }
        Ok(())
    }
}

/// Our spelling, the paper's (Bietti et al. 2023) and that of its code.
const SPELLINGS: &[(&str, &str, &str)] = &[
    ("embed", "W_E", "tok_embeddings.weight"),
    ("layer0.wk", "W_K1", "layers.0.attention.wk.weight"),
    ("layer0.wv", "W_V1", "layers.0.attention.wv.weight"),
    ("layer0.wo", "W_O1", "layers.0.attention.wo.weight"),
    ("layer1.wk", "W_K2", "layers.1.attention.wk.weight"),
    ("layer1.wv", "W_V2", "layers.1.attention.wv.weight"),
    ("layer1.wo", "W_O2", "layers.1.attention.wo.weight"),
    ("layer1.wf", "W_F", "layers.1.ff.weight"),
    ("unembed", "W_U", "output.weight"),
];

/// The one spelling of a parameter's name for the paper's or its code's; other names as they are.
pub fn canonical(name: &str) -> &str {
    SPELLINGS
        .iter()
        .find(|(_, paper, code)| *paper == name || *code == name)
        .map_or(name, |(ours, _, _)| ours)
}

/// What Bietti et al. (2023) call a parameter of their network.
pub fn in_paper(name: &str) -> Option<&'static str> {
    SPELLINGS.iter().find(|(ours, ..)| *ours == name).map(|(_, paper, _)| *paper)
}

/// Draws `count` numbers from the stream of `seed` and `name`.
pub fn draw(seed: u64, name: &str, count: usize, init: Init) -> Vec<f32> {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(name).to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    match init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Uniform(bound) => {
            (0..count).map(|_| narrow((2.0 * unit(&mut rng) - 1.0) * bound)).collect()
        }
        Init::Normal(std) => (0..count)
            .map(|_| {
                // Box-Muller; 1 - u keeps the logarithm finite.
                let (u, v) = (unit(&mut rng), unit(&mut rng));
                let radius = (-2.0 * (1.0 - u).ln()).sqrt();
                narrow(radius * (std::f64::consts::TAU * v).cos() * std)
            })
            .collect(),
    }
}

/// Uniform in [0, 1) with 53 random bits.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Hash of a name that is the same everywhere (FNV-1a, 64 bits).
fn fnv1a(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}
