//! Why a transformer fails on longer sequences: three causes, each measured, and each taken out of the way by a switch.
//!
//! Positions that were never seen; attention that is spread over more keys (dilution); an MLP that reads what it never read. Named
//! by Liu et al. 2023 and others; the measures and the switches are ours.

use candle_core::{DType, Tensor};

use crate::base::batch::Batch;
use crate::base::convert::{id, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::measurement::Subject;
use crate::measurement::read::values;
use crate::model::pass::Tensors;
use crate::nn::params::Param;
use crate::nn::tap::{Part, Tap};

crate::choices! {
    /// What is taken out of the way.
    pub enum Switch {
        /// Each position has the vector of one that was trained: its number modulo the length of training.
        Positions = "positions",
        /// Attention logits are multiplied by ln(keys) / ln(length of training) where there are more keys than that.
        Dilution = "dilution",
        /// Hidden units of the MLPs are kept within the range that they have at the length of training.
        Mlp = "mlp",
    }
}

/// Shares of the sequence for which local attention is told.
pub(super) const RADII: usize = 20;

/// Share of a range that sums in another order may differ by.
const ROUNDING: f64 = 1e-4;

/// What is known of a network at the length of training.
pub(super) struct Trained {
    pub length: usize,
    /// Smallest and largest value of each hidden unit, `[width]` each, layer by layer; none in layers without an MLP.
    ranges: Vec<Option<[Tensor; 2]>>,
    /// Position table, `[length, width]`.
    positions: Option<Param>,
}

impl Trained {
    /// # Errors
    /// When a forward pass fails.
    pub fn of(subject: Subject<'_>, batch: &Batch) -> Result<Self> {
        let layout = subject.model.layout();
        let mut watch = Watch { kept: vec![None; layout.heads.len()], ..Watch::default() };
        pass(subject, batch, &mut watch)?;
        let range = |hidden: Option<Tensor>| {
            hidden.map(|hidden| {
                let rows = hidden.flatten_to(1)?;
                Ok::<_, Error>([rows.min(0)?, rows.max(0)?])
            })
        };
        let ranges = watch.kept.into_iter().map(|kept| range(kept).transpose());
        let table = subject.params.find("pos");
        let fits = |param: &Param| subject.params.dims(*param).first() == Some(&layout.length);
        Ok(Self {
            length: batch.len,
            ranges: ranges.collect::<Result<_>>()?,
            positions: table.filter(fits),
        })
    }

    /// The switches that change something in this network.
    pub fn switches(&self, subject: Subject<'_>) -> Vec<Switch> {
        let attends = subject.model.layout().has_heads();
        let of = |switch: &Switch| match switch {
            Switch::Positions => self.positions.is_some(),
            Switch::Dilution => attends,
            Switch::Mlp => self.ranges.iter().any(Option::is_some),
        };
        Switch::ALL.iter().copied().filter(of).collect()
    }

    /// Logits `[batch, pos, vocab]` with something taken out of the way.
    ///
    /// # Errors
    /// When the forward pass fails.
    pub fn logits(&self, subject: Subject<'_>, batch: &Batch, switch: Switch) -> Result<Tensor> {
        pass(subject, batch, &mut Switched { trained: self, subject, switch })
    }

    /// Of the hidden units of all MLPs, the share that lies outside of the range of training; NaN without an MLP. And how much of
    /// its attention a query gives within so many shares of the sequence before it, on average over heads and queries:
    /// `l(r)` of Qin et al. 2022, for causal attention; [`RADII`] numbers.
    ///
    /// # Errors
    /// When the forward pass fails.
    pub fn measured(&self, subject: Subject<'_>, batch: &Batch) -> Result<(f64, Vec<f64>)> {
        let layers = subject.model.layout().heads.len();
        let mut watch =
            Watch { kept: vec![None; layers], local: Some(vec![0.0; RADII]), rows: 0.0 };
        pass(subject, batch, &mut watch)?;
        let (mut outside, mut all) = (0.0, 0.0);
        for (kept, range) in watch.kept.iter().zip(&self.ranges) {
            let (Some(kept), Some([low, high])) = (kept, range) else { continue };
            // What is within rounding of the range is in it.
            let margin = (((high - low)? * ROUNDING)? + ROUNDING)?;
            let below = kept.broadcast_lt(&(low - &margin)?)?.to_dtype(DType::F32)?;
            let above = kept.broadcast_gt(&(high + &margin)?)?.to_dtype(DType::F32)?;
            outside += f64::from((below + above)?.sum_all()?.to_scalar::<f32>()?);
            all += kept.elem_count() as f64;
        }
        let local = watch.local.unwrap_or_default();
        Ok((outside / all, local.iter().map(|sum| sum / watch.rows).collect()))
    }
}

fn pass(subject: Subject<'_>, batch: &Batch, tap: &mut dyn Tap) -> Result<Tensor> {
    let tensors = Tensors::of(batch, subject.params)?;
    Ok(subject.model.forward(subject.params, &tensors.input(), tap)?.logits)
}

/// Keeps hidden units, and sums up how local attention is.
#[derive(Default)]
struct Watch {
    kept: Vec<Option<Tensor>>,
    local: Option<Vec<f64>>,
    /// Queries that were summed up.
    rows: f64,
}

impl Tap for Watch {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::MlpPost || (site.point == Point::Pattern && self.local.is_some())
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        match &mut self.local {
            Some(local) if site.point == Point::Pattern => {
                self.rows += values(&x, |all| add_local(local, all, x.dims()))?;
            }
            Some(_) | None => {
                if let Some(kept) = self.kept.get_mut(site.layer) {
                    *kept = Some(x.detach());
                }
            }
        }
        Ok(x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        // What is read in segments does not grow with the sequence.
        if part.is_whole(site, &x) { self.at(site, x) } else { Ok(x) }
    }
}

/// Adds the attention within each radius of patterns `[.., query, key]`; gives back how many queries there were.
fn add_local(local: &mut [f64], patterns: &[f32], dims: &[usize]) -> f64 {
    let (queries, keys) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    for (row, weights) in patterns.chunks_exact(keys.max(1)).enumerate() {
        let query = row % queries;
        for (radius, sum) in local.iter_mut().enumerate() {
            let reach = (radius + 1) * keys / RADII;
            let from = query.saturating_sub(reach);
            *sum += weights[from..=query].iter().map(|w| f64::from(*w)).sum::<f64>();
        }
    }
    (patterns.len() / keys.max(1)) as f64
}

/// Takes one cause out of the way.
struct Switched<'a> {
    trained: &'a Trained,
    subject: Subject<'a>,
    switch: Switch,
}

impl Tap for Switched<'_> {
    fn wants(&self, site: Site) -> bool {
        site.point
            == match self.switch {
                Switch::Positions => Point::Embed,
                Switch::Dilution => Point::Scores,
                Switch::Mlp => Point::MlpPost,
            }
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        match self.switch {
            Switch::Positions => self.wrapped(&x),
            Switch::Dilution => self.sharpened(&x),
            Switch::Mlp => match self.trained.ranges.get(site.layer) {
                Some(Some([low, high])) => Ok(x.broadcast_maximum(low)?.broadcast_minimum(high)?),
                Some(None) | None => Ok(x),
            },
        }
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        if part.is_whole(site, &x) { self.at(site, x) } else { Ok(x) }
    }
}

impl Switched<'_> {
    /// The embedding with the vector of another position.
    fn wrapped(&self, x: &Tensor) -> Result<Tensor> {
        let Some(table) = self.trained.positions else { return Ok(x.clone()) };
        let (table, (_, positions, _)) = (self.subject.params.get(table)?, x.dims3()?);
        let rows: Vec<u32> = (0..positions).map(|at| id(at % self.trained.length)).collect();
        let rows = Tensor::from_vec(rows, positions, x.device())?;
        let change = (table.index_select(&rows, 0)? - table.narrow(0, 0, positions)?)?;
        Ok(x.broadcast_add(&change)?)
    }

    /// Attention logits `[batch, head, query, key]`, larger where there are more keys than in training.
    fn sharpened(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, queries, _) = x.dims4()?;
        let trained = (self.trained.length as f64).max(2.0).ln();
        let factor = |query: usize| {
            let keys = ((query + 1) as f64).ln();
            narrow((keys / trained).max(1.0))
        };
        let factors: Vec<f32> = (0..queries).map(factor).collect();
        let factors = Tensor::from_vec(factors, (1, 1, queries, 1), x.device())?;
        Ok(x.broadcast_mul(&factors)?)
    }
}
