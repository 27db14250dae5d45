//! From gradients to weights: SGD and AdamW as in torch, learning-rate schedules, clipping.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};

use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Kind, Result};
use crate::base::weights::NamedTensor;

use super::kernel::lanes::{scale, square_sum};
use super::kernel::pool::Pool;
use super::kernel::update::{self, AdamW, Sgd};
use super::params::{Param, Params};

/// Gradients in the order of [`Params::all`], row-major; `None` where a parameter had no part in the loss.
pub type Gradients = Vec<Option<Vec<f32>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent with momentum, no dampening, no Nesterov.
    Sgd { momentum: f64 },
    /// Loshchilov and Hutter 2019.
    AdamW { beta1: f64, beta2: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    pub rule: Rule,
    /// Weight decay of every trained tensor: coupled (added to the gradient) for SGD, decoupled for AdamW.
    pub decay: f64,
    /// Largest norm of the whole gradient; larger ones are scaled down to it. 0: no clipping.
    pub clip: f64,
}

/// The learning rate at each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSchedule {
    /// The rate after the warm-up.
    pub rate: f64,
    /// Steps over which the rate rises in equal parts; the last of them has the full rate.
    pub warmup: u64,
    /// Number of steps of the run if the rate falls along a cosine, until the last one.
    pub cosine_over: Option<u64>,
    /// Share of the rate that is left at the end of the cosine.
    pub cosine_to: f64,
}

impl RateSchedule {
    /// The rate of the update that follows `done` updates.
    pub fn at(&self, done: u64) -> f64 {
        if done < self.warmup {
            return self.rate * (done + 1) as f64 / self.warmup as f64;
        }
        let Some(steps) = self.cosine_over else { return self.rate };
        let last = steps.saturating_sub(1).saturating_sub(self.warmup).max(1);
        let progress = ((done - self.warmup) as f64 / last as f64).min(1.0);
        let height = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.rate * (self.cosine_to + (1.0 - self.cosine_to) * height)
    }
}

/// What an optimiser remembers between steps.
pub struct Optimizer {
    settings: OptimizerSettings,
    /// Of each parameter what its learning rate is multiplied by, in their order; 1 beyond the last.
    multiples: Vec<f64>,
    /// In the order of the parameters; `None` before the first update and while frozen.
    memory: Vec<Option<Memory>>,
    /// Numbers of the parameters before the last update, to go back to if it leaves the finite numbers.
    before: Vec<Vec<f32>>,
}

#[derive(Clone, Default)]
struct Memory {
    /// SGD's velocity or AdamW's first moment.
    first: Vec<f32>,
    /// AdamW's second moment; empty for SGD.
    second: Vec<f32>,
    /// Updates since this memory began, for the bias correction.
    updates: u64,
}

impl Optimizer {
    pub fn new(settings: OptimizerSettings) -> Self {
        Self { settings, multiples: Vec::new(), memory: Vec::new(), before: Vec::new() }
    }

    /// The same with learning rates of single tensors as multiples of the rate: `p1=1000; layer0.wk=0.1`.
    ///
    /// # Errors
    /// When a part of the text says no tensor that is trained and no number above 0.
    pub fn with_multiples(self, text: &str, params: &Params) -> Result<Self> {
        let mut multiples = vec![1.0; params.all().count()];
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (param, multiple) = multiple(part, params)?;
            multiples[param.index()] = multiple;
        }
        Ok(Self { multiples, ..self })
    }

    /// Changes settings between two steps. Another rule begins with fresh moments.
    pub fn set(&mut self, settings: OptimizerSettings) {
        if std::mem::discriminant(&settings.rule) != std::mem::discriminant(&self.settings.rule) {
            self.memory.clear();
        }
        self.settings = settings;
    }

    /// One update in place; the gradients are clipped in place. Returns the norm of each gradient before clipping (NaN
    /// where there is none). A frozen parameter is not touched and its moments are dropped: once released it starts
    /// afresh.
    ///
    /// # Errors
    /// Of kind [`Kind::Diverged`] when a gradient is not finite (nothing has changed then), or when a weight would not
    /// be (then all weights are those of before); otherwise when a gradient does not fill its parameter.
    pub fn step(
        &mut self,
        pool: &Pool,
        params: &Params,
        grads: &mut Gradients,
        rate: f64,
    ) -> Result<Vec<f64>> {
        check(params, grads)?;
        let count = grads.len();
        self.memory.resize(count, None);
        self.before.resize_with(count, Vec::new);
        for (i, param) in params.all().enumerate() {
            if params.is_frozen(param) {
                grads[i] = None;
                self.memory[i] = None;
            }
        }
        let mut parts: Vec<Part<'_>> = params
            .all()
            .zip(grads.iter_mut())
            .zip(self.memory.iter_mut().zip(&mut self.before))
            .filter_map(|((param, grad), (memory, before))| {
                let grad = grad.as_mut()?;
                let memory = memory.get_or_insert_default();
                let rate = rate * self.multiples.get(param.index()).unwrap_or(&1.0);
                Some(Part { param, rate, grad, memory, before, square: 0.0, is_finite: true })
            })
            .collect();
        let numbers: usize = parts.iter().map(|part| part.grad.len()).sum();
        let all = |parts: &mut [Part<'_>], work: &(dyn Fn(&mut Part<'_>) -> Result<()> + Sync)| {
            // Fewer are done before another thread is awake.
            if numbers < 1 << 16 {
                parts.iter_mut().try_for_each(work)
            } else {
                pool.each(parts, work)
            }
        };
        all(&mut parts, &|part| {
            part.square = square_sum(part.grad);
            Ok(())
        })?;
        let mut norms = vec![f64::NAN; count];
        for part in &parts {
            norms[part.param.index()] = part.square.sqrt();
            if !part.square.is_finite() {
                let name = params.name(part.param);
                return Err(diverged(format!("the gradient of {name} is not finite")));
            }
        }
        let norm = parts.iter().map(|part| part.square).sum::<f64>().sqrt();
        let clip = self.settings.clip;
        let factor = if clip > 0.0 && norm > clip { narrow(clip / norm) } else { 1.0 };
        let settings = self.settings;
        all(&mut parts, &|part| part.update(settings, factor, params))?;
        let Some(broken) = parts.iter().find(|part| !part.is_finite) else { return Ok(norms) };
        let name = params.name(broken.param).to_owned();
        for part in &parts {
            in_place(params, part.param, |theta| theta.copy_from_slice(part.before))?;
        }
        Err(diverged(format!("the update makes {name} infinite")))
    }

    /// All that it remembers, as tensors named after their parameters: `layer0.wk.moment1`,
    /// `layer0.wk.moment2`, `layer0.wk.updates`.
    pub fn state(&self, params: &Params) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (param, memory) in params.all().zip(&self.memory) {
            let Some(memory) = memory else { continue };
            let mut keep = |part: &str, shape: &[usize], data: &[f32]| {
                tensors.push(NamedTensor {
                    name: format!("{}.{part}", params.name(param)).into(),
                    shape: shape.to_vec(),
                    data: Arc::from(data),
                    trained: true,
                });
            };
            let shape = params.dims(param);
            keep("moment1", shape, &memory.first);
            if !memory.second.is_empty() {
                keep("moment2", shape, &memory.second);
            }
            keep("updates", &[2], &split(memory.updates));
        }
        tensors
    }

    /// Takes back what [`Self::state`] gave, so that the next step is the same bit for bit. Tensors of other
    /// names are left alone; a parameter without tensors starts afresh.
    ///
    /// # Errors
    /// When a tensor has another size than its parameter (nothing has changed then).
    pub fn restore(&mut self, params: &Params, state: &[NamedTensor]) -> Result<()> {
        let memory = params.all().map(|param| restored(params, param, self.settings.rule, state));
        self.memory = memory.collect::<Result<_>>()?;
        Ok(())
    }
}

/// A parameter and all that its update reads and writes.
struct Part<'a> {
    param: Param,
    rate: f64,
    grad: &'a mut Vec<f32>,
    memory: &'a mut Memory,
    /// Its numbers before the update.
    before: &'a mut Vec<f32>,
    /// Sum of the squares of the gradient.
    square: f64,
    is_finite: bool,
}

impl Part<'_> {
    fn update(&mut self, settings: OptimizerSettings, factor: f32, params: &Params) -> Result<()> {
        if factor != 1.0 {
            scale(self.grad, factor);
        }
        in_place(params, self.param, |theta| {
            self.before.clear();
            self.before.extend_from_slice(theta);
            self.memory.update(settings, self.rate, theta, self.grad);
            self.is_finite = square_sum(theta).is_finite();
        })
    }
}

impl Memory {
    fn update(&mut self, by: OptimizerSettings, rate: f64, theta: &mut [f32], grad: &[f32]) {
        self.updates += 1;
        // Zeros times the momentum plus g is g: the first step needs no case of its own.
        self.first.resize(theta.len(), 0.0);
        match by.rule {
            Rule::Sgd { momentum } => {
                let [rate, momentum, decay] = [rate, momentum, by.decay].map(narrow);
                update::sgd(Sgd { rate, momentum, decay }, theta, &mut self.first, grad);
            }
            Rule::AdamW { beta1, beta2 } => {
                self.second.resize(theta.len(), 0.0);
                let after = self.updates as f64;
                let by = AdamW {
                    shrink: narrow(1.0 - rate * by.decay),
                    pace: narrow(rate / (1.0 - beta1.powf(after))),
                    root: narrow((1.0 - beta2.powf(after)).sqrt()),
                    beta1: narrow(beta1),
                    beta2: narrow(beta2),
                    rest1: narrow(1.0 - beta1),
                    rest2: narrow(1.0 - beta2),
                    // As in the paper and in torch.
                    epsilon: 1e-8,
                };
                update::adamw(by, theta, &mut self.first, &mut self.second, grad);
            }
        }
    }
}

/// A tensor and what its rate is multiplied by, as in `p1=1000`.
fn multiple(text: &str, params: &Params) -> Result<(Param, f64)> {
    let wrong = || {
        Error::usage(format!(
            "learning rates of single tensors: read \"{text}\", expected the name of a tensor, = and a number above 0, as in p1=1000; layer0.wk=0.1"
        ))
    };
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let multiple: f64 = number.trim().parse().map_err(|_| wrong())?;
    if !(multiple.is_finite() && multiple > 0.0) {
        return Err(wrong());
    }
    params.check_trained(name.trim())?;
    Ok((params.find(name.trim()).ok_or_else(wrong)?, multiple))
}

fn diverged(what: String) -> Error {
    Error::new(Kind::Diverged, what)
}

fn check(params: &Params, grads: &Gradients) -> Result<()> {
    let sizes: Vec<usize> = params.all().map(|p| params.count(p)).collect();
    let fits =
        |(size, grad): (&usize, &Option<Vec<f32>>)| grad.as_ref().is_none_or(|g| g.len() == *size);
    if sizes.len() == grads.len() && sizes.iter().zip(grads).all(fits) {
        return Ok(());
    }
    let lengths: Vec<usize> = grads.iter().map(|g| g.as_ref().map_or(0, Vec::len)).collect();
    Err(Error::internal(format!(
        "gradients of {lengths:?} numbers do not fit parameters of {sizes:?} numbers"
    )))
}

fn restored(
    params: &Params,
    param: Param,
    rule: Rule,
    state: &[NamedTensor],
) -> Result<Option<Memory>> {
    let part = |part: &str, count: usize| {
        let name = format!("{}.{part}", params.name(param));
        let Some(tensor) = state.iter().find(|t| *t.name == *name) else { return Ok(None) };
        if tensor.data.len() == count {
            return Ok(Some(tensor.data.to_vec()));
        }
        Err(Error::input(format!(
            "the optimiser's tensor {name} has {} numbers, its parameter needs {count}",
            tensor.data.len()
        )))
    };
    let count = params.count(param);
    let second = match rule {
        Rule::Sgd { .. } => Some(Vec::new()),
        Rule::AdamW { .. } => part("moment2", count)?,
    };
    Ok(match (part("moment1", count)?, second, part("updates", 2)?) {
        (Some(first), Some(second), Some(updates)) => {
            Some(Memory { first, second, updates: joined(&updates) })
        }
        _ => None,
    })
}

/// Largest count that one of the two numbers of a saved counter holds: far below 2²⁴, so exact in `f32`.
const SPLIT: u64 = 1 << 20;

fn split(count: u64) -> [f32; 2] {
    [(count % SPLIT) as f32, (count / SPLIT) as f32]
}

fn joined(parts: &[f32]) -> u64 {
    convert::count(parts[0]) + SPLIT * convert::count(parts[1])
}

/// Lets `change` write into the numbers of a parameter.
fn in_place(params: &Params, param: Param, mut change: impl FnMut(&mut [f32])) -> Result<()> {
    let var = params.var(param)?;
    if var.device().is_cpu() {
        return Ok(var.inplace_op1(&Change(RefCell::new(change)))?);
    }
    // Other devices have no kernels of ours: the numbers come here and go back.
    let mut numbers = var.flatten_all()?.to_vec1::<f32>()?;
    change(&mut numbers);
    Ok(var.set(&Tensor::from_vec(numbers, var.shape(), var.device())?)?)
}

struct Change<F>(RefCell<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((from, to))) => (self.0.borrow_mut())(&mut all[from..to]),
            _ => candle_core::bail!("a parameter is contiguous and of f32"),
        }
        Ok(())
    }
}
