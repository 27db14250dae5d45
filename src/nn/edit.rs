//! Interventions with their numbers: what a tensor of the forward pass becomes at a place.

use candle_core::Tensor;

use super::params::{Params, canonical};
use super::tap::{KEYS, Part, position_axis};
use crate::base::convert;
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::{How, Intervention, MEMORY, Place, Site, Term};

/// Positions along one axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    #[default]
    All,
    /// The same in each sequence.
    Same(Vec<usize>),
    /// Those of each sequence of the batch.
    PerRow(Vec<Vec<usize>>),
}

impl At {
    fn of(positions: &[usize]) -> Self {
        if positions.is_empty() { Self::All } else { Self::Same(positions.to_vec()) }
    }

    fn rows(&self) -> usize {
        if let Self::PerRow(rows) = self { rows.len() } else { 1 }
    }

    /// Whether a position of a sequence is meant, by either of its names.
    fn has(&self, row: usize, names: [usize; 2]) -> bool {
        let among = |positions: &[usize]| names.iter().any(|name| positions.contains(name));
        match self {
            Self::All => true,
            Self::Same(positions) => among(positions),
            Self::PerRow(rows) => rows.get(row).is_some_and(|positions| among(positions)),
        }
    }

    /// The last position that is no memory token.
    fn largest(&self) -> Option<usize> {
        let is_token = |place: &&usize| **place < MEMORY;
        match self {
            Self::All => None,
            Self::Same(positions) => positions.iter().filter(is_token).max().copied(),
            Self::PerRow(rows) => rows.iter().flatten().filter(is_token).max().copied(),
        }
    }
}

/// What comes in.
#[derive(Clone, Debug)]
pub enum With {
    Zero,
    /// Zero, and the rest of each row raised to the sum it had: patterns only.
    Cut,
    Scale(f64),
    /// Multiplied with this, number by number; any shape that broadcasts to that of the tensor.
    Times(Tensor),
    /// This is added; any shape that broadcasts to that of the tensor.
    Add(Tensor),
    /// This comes in its place; any shape that broadcasts to that of the tensor.
    Replace(Tensor),
    /// What was there when it was passed before, in the same shape; the first time it stays.
    Hold,
}

/// A change of one tensor of the forward pass.
#[derive(Clone, Debug)]
pub struct Edit {
    pub site: Site,
    /// `None`: all heads.
    pub head: Option<usize>,
    pub positions: At,
    /// Keys of scores and patterns.
    pub keys: At,
    pub with: With,
}

impl Edit {
    /// All of a point.
    pub fn all(site: Site, with: With) -> Self {
        Self { site, head: None, positions: At::All, keys: At::All, with }
    }

    pub fn of_place(place: &Place, with: With) -> Self {
        Self {
            site: place.site,
            head: place.head,
            positions: At::of(&place.positions),
            keys: At::of(&place.keys),
            with,
        }
    }

    /// An intervention that needs no other sequence; `None` where it leaves the forward pass alone.
    ///
    /// # Errors
    /// When it needs other sequences, or names a tensor or a row that is not there.
    pub fn of(what: &Intervention, params: &Params) -> Result<Option<Self>> {
        let Intervention::Change { place, how } = what else { return Ok(None) };
        let with = match how {
            How::Zero => With::Zero,
            How::Hold => With::Hold,
            How::Cut => With::Cut,
            How::Scale(factor) => With::Scale(*factor),
            How::Add(terms) => With::Add(
                direction(terms, params)
                    .map_err(|e| e.context(format!("intervention \"{what}\"")))?,
            ),
            How::Mean | How::Resample(_) | How::Patch(_) | How::Rewrite { .. } => {
                return Err(Error::usage(format!(
                    "intervention \"{what}\" puts in what is found on other sequences: that can be looked at, but not trained with; use zero, scale, add or cut"
                )));
            }
        };
        Ok(Some(Self::of_place(place, with)))
    }

    /// Several interventions that need no other sequence, in order.
    pub fn of_all(all: &[Intervention], params: &Params) -> Result<Vec<Self>> {
        all.iter().filter_map(|what| Self::of(what, params).transpose()).collect()
    }

    /// Whether it needs what was there before.
    pub fn holds(&self) -> bool {
        matches!(self.with, With::Hold)
    }

    /// `x`, a part of the sequences, with the place changed; the rest stays bit for bit. `before`: what was there when the place
    /// was passed last.
    ///
    /// # Errors
    /// When there is no such head or position, or what comes in does not fit.
    pub fn apply(&self, x: &Tensor, part: Part, before: Option<&Tensor>) -> Result<Tensor> {
        self.check(x, part)?;
        let new = match &self.with {
            With::Zero | With::Cut => x.zeros_like()?,
            With::Scale(factor) => (x * *factor)?,
            With::Times(factors) => x.broadcast_mul(factors)?,
            With::Add(direction) => x.broadcast_add(&direction.to_dtype(x.dtype())?)?,
            With::Replace(other) => self.fitted(other, x, part)?,
            With::Hold => before.filter(|before| before.dims() == x.dims()).unwrap_or(x).clone(),
        };
        let everywhere = self.head.is_none() && self.positions == At::All && self.keys == At::All;
        if everywhere {
            return Ok(new);
        }
        let mask = self.mask(x, part, &self.keys)?;
        let changed = mask.where_cond(&new, x)?;
        if matches!(self.with, With::Cut) { self.raised(x, part, &changed) } else { Ok(changed) }
    }

    /// What comes in, in the shape of `x`: of a longer sequence the positions of this part, and of its keys the memory tokens
    /// too. Rows of memory tokens were not kept and stay.
    fn fitted(&self, other: &Tensor, x: &Tensor, part: Part) -> Result<Tensor> {
        let (axes, rows) = (Axes::of(self.site, x), position_axis(self.site));
        let [from, len] = match part.len {
            // Of memory tokens alone a tensor has no positions; those of all segments were kept one after the other.
            0 => [part.segment * axes.positions, axes.positions],
            len => [part.from - part.cached, part.cached + len],
        };
        let mut other = self.stretch(other, rows, from, len)?;
        if axes.has_keys {
            other = self.keys_of(&other, part, axes.keys)?;
        }
        if axes.positions > len {
            let mut dims = x.dims().to_vec();
            dims[rows] = len;
            let end = part.memory + len;
            let after = x.narrow(rows, end, axes.positions - end)?;
            let before = x.narrow(rows, 0, part.memory)?;
            other = joined(&[before, other.broadcast_as(dims)?, after], rows)?;
        }
        Ok(other.broadcast_as(x.dims())?.contiguous()?)
    }

    /// `len` positions from one on, along an axis; one that is for all stays as it is.
    fn stretch(&self, other: &Tensor, axis: usize, from: usize, len: usize) -> Result<Tensor> {
        let (has, wants) = (other.dim(axis)?, from + len);
        if has > len && has >= wants {
            return Ok(other.narrow(axis, from, len)?);
        }
        if has < wants && has != 1 {
            return Err(Error::usage(format!(
                "what comes in at {} is of a sequence of {has} tokens, shorter than the {wants} of this one; patch from one that is at least as long",
                self.site
            )));
        }
        Ok(other.clone())
    }

    /// The keys of a part, of which the network has so many: those that were kept begin with all memory tokens.
    fn keys_of(&self, other: &Tensor, part: Part, keys: usize) -> Result<Tensor> {
        let [(_, before), (_, after)] = part.memory_keys(keys);
        let has = other.dim(KEYS)?;
        // Rows that positions were compressed into are counted through the whole sequence, and all of them were kept.
        let memory = part.compressed.map_or(before + after, |_| has.saturating_sub(part.of));
        if memory == 0 || has < memory {
            return self.stretch(other, KEYS, part.from - part.key_cached, keys);
        }
        let positions = other.narrow(KEYS, memory, has - memory)?;
        let (from, len) = (part.from - part.key_cached, part.key_cached + part.len);
        let positions = self.stretch(&positions, KEYS, from, len)?;
        let [first, last] = [(part.compressed.unwrap_or(0), before), (before, after)];
        let tokens = |(from, count)| other.narrow(KEYS, from, count);
        joined(&[tokens(first)?, positions, tokens(last)?], KEYS)
    }

    /// Rows of a pattern that lost weight, raised to sum to one again; a row that lost all stays zero.
    fn raised(&self, x: &Tensor, part: Part, changed: &Tensor) -> Result<Tensor> {
        let left = changed.sum_keepdim(candle_core::D::Minus1)?;
        let nothing = left.le(0.0)?;
        let divisor = nothing.where_cond(&left.ones_like()?, &left)?;
        let raised = changed.broadcast_div(&divisor)?;
        let rows = self.mask(x, part, &At::All)?;
        Ok(rows.where_cond(&raised, x)?)
    }

    /// 1 where the place is, broadcast to the shape of `x`.
    fn mask(&self, x: &Tensor, part: Part, keys: &At) -> Result<Tensor> {
        let (axes, positions) = (Axes::of(self.site, x), &self.positions);
        let rows = positions.rows().max(keys.rows());
        let key_count = if axes.has_keys { axes.keys } else { 1 };
        let mut mask = Vec::with_capacity(rows * axes.heads * axes.positions * key_count);
        for row in 0..rows {
            for h in 0..axes.heads {
                for p in 0..axes.positions {
                    let here =
                        self.head.is_none_or(|head| head == h) && positions.has(row, part.place(p));
                    let has = |k: usize| u8::from(here && keys.has(row, part.key(k)));
                    mask.extend((0..key_count).map(has));
                }
            }
        }
        let shape = if axes.by_head {
            vec![rows, axes.heads, axes.positions, key_count]
        } else {
            vec![rows, axes.positions, 1]
        };
        Ok(Tensor::from_vec(mask, shape, x.device())?.broadcast_as(x.dims())?)
    }

    fn check(&self, x: &Tensor, part: Part) -> Result<()> {
        let (site, axes) = (self.site, Axes::of(self.site, x));
        if self.head.is_some() && !axes.by_head {
            return Err(Error::usage(format!("{site} has no heads")));
        }
        let (positions, keys) = (self.positions.largest(), self.keys.largest());
        let places = [
            ("head", self.head, axes.heads),
            ("position", positions, part.of),
            ("key", keys, if axes.has_keys { part.of } else { 0 }),
        ];
        for (what, wanted, count) in places {
            if let Some(wanted) = wanted.filter(|w| *w >= count) {
                return Err(Error::usage(format!("{what} {wanted} asked for, {site} has {count}")));
            }
        }
        for at in [&self.positions, &self.keys] {
            if matches!(at, At::PerRow(rows) if rows.len() != x.dims()[0]) {
                return Err(Error::internal("positions of another batch"));
            }
        }
        Ok(())
    }
}

/// One after the other along an axis, without those that have nothing on it.
fn joined(parts: &[Tensor], axis: usize) -> Result<Tensor> {
    let parts: Vec<&Tensor> = parts.iter().filter(|x| x.dims()[axis] > 0).collect();
    Ok(Tensor::cat(&parts, axis)?)
}

/// The axes of a tensor of the forward pass.
struct Axes {
    by_head: bool,
    heads: usize,
    positions: usize,
    has_keys: bool,
    keys: usize,
}

impl Axes {
    fn of(site: Site, x: &Tensor) -> Self {
        let dims = x.dims();
        let by_head = site.point.by_head();
        let has_keys = site.point.has_keys();
        Self {
            by_head,
            heads: if by_head { dims[1] } else { 1 },
            positions: dims[position_axis(site)],
            has_keys,
            keys: if has_keys { dims[3] } else { 0 },
        }
    }
}

/// The sum of rows of tensors, `[dim]`.
fn direction(terms: &[Term], params: &Params) -> Result<Tensor> {
    let row = |term: &Term| -> Result<Tensor> {
        let name = canonical(&term.tensor);
        let param = params.find(name).ok_or_else(|| {
            let names: Vec<&str> = params.all().map(|p| params.name(p)).collect();
            Error::usage(format!(
                "there is no tensor \"{}\".{}",
                term.tensor,
                did_you_mean(name, names.iter().copied())
            ))
        })?;
        let rows = if let [rows, _] = params.dims(param) { *rows } else { 0 };
        if term.row >= rows {
            return Err(Error::usage(format!(
                "row {} of {} asked for, which has {rows}",
                term.row, term.tensor
            )));
        }
        let row = params.rows(param, &[convert::id(term.row)])?;
        Ok((row.detach().get(0)? * term.factor)?)
    };
    let mut rows = terms.iter().map(row);
    let first = rows.next().ok_or_else(|| Error::internal("a sum of nothing"))??;
    rows.try_fold(first, |sum, row| Ok(sum.add(&row?)?))
}
