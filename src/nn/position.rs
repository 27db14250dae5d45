//! Where a token stands: tables added to embeddings, and rotation of queries and keys.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};

use super::kernel::slice::{Floats, floats, tensor};

/// Longest wavelength over 2π, of sinusoids and rotations alike (Vaswani et al. 2017; Su et al. 2021).
const BASE: f64 = 10_000.0;

/// The same for rotations, as other libraries are told.
pub const ROTARY_BASE: u32 = 10_000;

/// `[length, width]`, row-major: sine in the even columns, cosine in the odd ones, frequency
/// `10000^(-2i/width)` in columns `2i` and `2i + 1` (Vaswani et al. 2017).
pub fn sinusoidal(length: usize, width: usize) -> Vec<f32> {
    let value = |place: usize, column: usize| {
        let (sine, cosine) = (place as f64 * frequency(column / 2, width)).sin_cos();
        narrow(if column.is_multiple_of(2) { sine } else { cosine })
    };
    (0..length * width).map(|i| value(i / width, i % width)).collect()
}

/// The vector `(0, 1, 0, 1, ..)` rotated by each place, which may lie between positions: `[place, width]`, row-major. The product of one of
/// them with a vector that is rotated by another place depends on the distance of the places alone.
pub fn rotated_unit(places: impl Iterator<Item = f64>, width: usize) -> Vec<f32> {
    let pair = |place: f64, pair| {
        let (sine, cosine) = (place * frequency(pair, width)).sin_cos();
        [-narrow(sine), narrow(cosine)]
    };
    places.flat_map(|place| (0..width / 2).flat_map(move |i| pair(place, i))).collect()
}

/// `x` `[batch, pos, width]` plus the rows of `table` `[length, width]` from `start` on.
///
/// # Errors
/// When the table is too short or of another width.
pub fn add_positions(x: &Tensor, table: &Tensor, start: usize) -> Result<Tensor> {
    let (_, count, width) = x.dims3()?;
    let (rows, table_width) = table.dims2()?;
    if start + count > rows || width != table_width {
        return Err(Error::usage(format!(
            "positions to {} of width {width} asked for, the table of positions has {rows} of width {table_width}; use a shorter sequence",
            start + count
        )));
    }
    if !x.device().is_cpu() {
        return Ok(x.broadcast_add(&table.narrow(0, start, count)?)?);
    }
    Ok(x.contiguous()?.apply_op2(&table.contiguous()?, AddRows { start })?)
}

/// Which coordinates of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// `(2i, 2i + 1)`
    Neighbours,
    /// `(i, i + half of those that are rotated)`, as Hugging Face keeps them.
    Halves,
}

impl Pairs {
    /// The coordinates of the `i`-th of `half` pairs.
    fn of(self, i: usize, half: usize) -> (usize, usize) {
        match self {
            Self::Neighbours => (2 * i, 2 * i + 1),
            Self::Halves => (i, i + half),
        }
    }
}

/// Rotates pairs of coordinates of queries and keys by the angle `position * frequency`, mostly `10000^(-2i/dim)` for the pair `i`
/// (Su et al. 2021).
#[derive(Clone, Debug)]
pub struct Rotary {
    /// `[length, pair]` each, row-major.
    cosine: Arc<[f32]>,
    sine: Arc<[f32]>,
    half: usize,
    /// Coordinates of a head; those behind the pairs stay as they are.
    dim: usize,
    pairs: Pairs,
}

/// Rows that stand at places one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub start: usize,
    pub count: usize,
}

impl Rotary {
    /// # Errors
    /// When `dim` is odd: coordinates are rotated in pairs.
    pub fn new(length: usize, dim: usize) -> Result<Self> {
        let frequencies: Vec<f64> = (0..dim / 2).map(|pair| frequency(pair, dim)).collect();
        Self::with(&frequencies, dim, length, Pairs::Neighbours)
    }

    /// One frequency for each pair, of heads of `dim` coordinates.
    ///
    /// # Errors
    /// When there are no pairs, or fewer coordinates than they have.
    pub fn with(frequencies: &[f64], dim: usize, length: usize, pairs: Pairs) -> Result<Self> {
        let half = frequencies.len();
        if half == 0 || 2 * half > dim || (pairs == Pairs::Neighbours && 2 * half != dim) {
            return Err(Error::usage(format!(
                "rotary positions rotate pairs of coordinates, but a head has {dim}; choose an even head dimension"
            )));
        }
        let angles = (0..length * half).map(|i| (i / half) as f64 * frequencies[i % half]);
        let (sine, cosine): (Vec<f32>, Vec<f32>) =
            angles.map(|a| (narrow(a.sin()), narrow(a.cos()))).unzip();
        Ok(Self { cosine: cosine.into(), sine: sine.into(), half, dim, pairs })
    }

    /// Cosines and sines of all angles, `[length, pair]` each, row-major.
    pub fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cosine, &self.sine)
    }

    /// `x` is `[batch, pos, head · dim]` with the heads side by side, as `attend` reads queries and keys;
    /// its first position is the `start`-th.
    ///
    /// # Errors
    /// When `x` reaches past the length, or is not made of heads of this dimension.
    pub fn rotate(&self, x: &Tensor, start: usize) -> Result<Tensor> {
        let (_, count, width) = x.dims3()?;
        self.check(start + count, width)?;
        if !x.device().is_cpu() {
            return self.rotate_plain(x, start);
        }
        let rotation = Rotation { table: self.clone(), start, direction: 1.0 };
        Ok(x.contiguous()?.apply_op1(rotation)?)
    }

    /// Whether `count` positions of `width` coordinates can be rotated.
    ///
    /// # Errors
    /// When there are too many, or they are not made of heads of this dimension.
    pub fn check(&self, count: usize, width: usize) -> Result<()> {
        let (length, dim) = (self.cosine.len() / self.half, self.dim);
        if count <= length && width.is_multiple_of(dim) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "positions to {count} of width {width} asked for, rotations were made for {length} positions and heads of {dim} coordinates"
        )))
    }

    /// Rotates sequences of `count` rows of `width` coordinates in place, the first of them the `start`-th position, or back
    /// with a `direction` of -1.
    pub fn turn(&self, x: &mut [f32], start: usize, count: usize, width: usize, direction: f32) {
        let half = self.half;
        for (place, vector) in x.chunks_exact_mut(width.max(1)).enumerate() {
            let row = (start + place % count) * half;
            let row = row..row + half;
            let (cosine, sine) = (&self.cosine[row.clone()], &self.sine[row]);
            for head in vector.chunks_exact_mut(self.dim) {
                for (i, (c, s)) in cosine.iter().zip(sine).enumerate() {
                    let (first, second) = self.pairs.of(i, half);
                    let (a, b, s) = (head[first], head[second], s * direction);
                    head[first] = a * c - b * s;
                    head[second] = a * s + b * c;
                }
            }
        }
    }

    /// The same in candle's own operations: what the kernel is tested against.
    pub fn rotate_plain(&self, x: &Tensor, start: usize) -> Result<Tensor> {
        let (batch, count, width) = x.dims3()?;
        let heads = x.reshape((batch, count, width / self.dim, self.dim))?;
        let rows = |table: &Arc<[f32]>| -> Result<Tensor> {
            let rows = &table[start * self.half..(start + count) * self.half];
            Ok(Tensor::from_slice(rows, (count, 1, self.half), x.device())?)
        };
        let part = |of: fn((usize, usize)) -> usize| -> Result<Tensor> {
            let places = (0..self.half).map(|i| convert::id(of(self.pairs.of(i, self.half))));
            let places: Vec<u32> = places.collect();
            Ok(heads.index_select(&Tensor::from_vec(places, self.half, x.device())?, 3)?)
        };
        let (cosine, sine) = (rows(&self.cosine)?, rows(&self.sine)?);
        let (a, b) = (part(|pair| pair.0)?, part(|pair| pair.1)?);
        let turned_a = (a.broadcast_mul(&cosine)? - b.broadcast_mul(&sine)?)?;
        let turned_b = (a.broadcast_mul(&sine)? + b.broadcast_mul(&cosine)?)?;
        let turned = match self.pairs {
            Pairs::Neighbours => Tensor::stack(&[turned_a, turned_b], 4)?.reshape((
                batch,
                count,
                width / self.dim,
                2 * self.half,
            ))?,
            Pairs::Halves => Tensor::cat(&[turned_a, turned_b], 3)?,
        };
        let rest = heads.narrow(3, 2 * self.half, self.dim - 2 * self.half)?;
        Ok(Tensor::cat(&[turned, rest], 3)?.reshape((batch, count, width))?)
    }
}

fn frequency(pair: usize, dim: usize) -> f64 {
    BASE.powf(-2.0 * pair as f64 / dim as f64)
}

struct AddRows {
    start: usize,
}

impl CustomOp2 for AddRows {
    fn name(&self) -> &'static str {
        "add positions"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        table: &CpuStorage,
        table_l: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, count, width) = l.shape().dims3()?;
        let rows = &floats(table, table_l)?[self.start * width..(self.start + count) * width];
        let mut out = floats(x, l)?.to_vec();
        for sequence in out.chunks_exact_mut((count * width).max(1)) {
            sequence.iter_mut().zip(rows).for_each(|(x, p)| *x += p);
        }
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        if !table.track_op() {
            return Ok((Some(grad.clone()), None));
        }
        let (_, count, width) = x.dims3()?;
        let mut to_table = vec![0.0; table.elem_count()];
        let rows = &mut to_table[self.start * width..(self.start + count) * width];
        let contiguous = grad.contiguous()?;
        for sequence in Floats::of(&contiguous)?.chunks_exact((count * width).max(1)) {
            rows.iter_mut().zip(sequence).for_each(|(r, g)| *r += g);
        }
        Ok((Some(grad.clone()), Some(tensor(to_table, table)?)))
    }
}

struct Rotation {
    table: Rotary,
    start: usize,
    /// 1, or -1 for the way back.
    direction: f32,
}

impl CustomOp1 for Rotation {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, count, width) = l.shape().dims3()?;
        let mut out = floats(x, l)?.to_vec();
        self.table.turn(&mut out, self.start, count, width, self.direction);
        Ok((CpuStorage::F32(out), l.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        // A rotation is orthogonal: its gradient turns back.
        let back =
            Self { table: self.table.clone(), start: self.start, direction: -self.direction };
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&back)?))
    }
}
