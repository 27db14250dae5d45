//! Erasing a concept: the smallest linear change after which no linear reader tells it any more.

use candle_core::{Device, Tensor};

use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::nn::tap::Tap;
use crate::numeric::geometry::symmetric_eigen;

use super::data::{Dataset, Labels};

/// Added to the variances before they are inverted: directions without any stay where they are.
pub const RIDGE: f64 = 1e-5;
/// Directions along which the concept varies less than this share of the largest are rounding.
const NEGLIGIBLE: f64 = 1e-10;

/// `x ↦ x - matrix · (x - mean)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Eraser {
    pub dim: usize,
    /// `[dim, dim]`, row-major; a projection (not an orthogonal one) onto what is taken away.
    pub matrix: Vec<f32>,
    /// `[dim]`
    pub mean: Vec<f32>,
    /// Directions that are taken away.
    pub rank: usize,
}

/// Means, and how vectors vary with each other and with the labels.
struct Moments {
    mean: Vec<f64>,
    /// `[dim, dim]`
    xx: Vec<f64>,
    /// `[dim, labels]`
    xz: Vec<f64>,
}

/// LEACE (Belrose et al. 2023): with W = (Σxx + ε)^(-1/2) and P the orthogonal projector onto the columns of W Σxz,
/// the matrix is W⁻¹ P W. Labels are classes, one column each, or truths.
///
/// # Errors
/// When a product fails, or a vector is not finite.
pub fn leace(data: &Dataset, ridge: f64) -> Result<Eraser> {
    let moments = moments(data)?;
    let (dim, labels) = (data.dim, data.labels.count());
    let mut xx = moments.xx;
    (0..dim).for_each(|i| xx[i * dim + i] += ridge);
    let (variances, axes) = symmetric_eigen(xx, dim);
    if variances.iter().any(|v| !v.is_finite()) {
        return Err(Error::input(
            "some of the vectors are not finite: training has diverged. Go back to an earlier step",
        ));
    }
    let axes = matrix(&axes, dim, dim)?;
    let power = |exponent: f64| -> Result<Tensor> {
        let scales: Vec<f64> = variances.iter().map(|v| v.max(ridge).powf(exponent)).collect();
        let scales = Tensor::from_vec(scales, (dim, 1), &Device::Cpu)?;
        Ok(axes.t()?.matmul(&axes.broadcast_mul(&scales)?)?)
    };
    let (whiten, colour) = (power(-0.5)?, power(0.5)?);
    let white = whiten.matmul(&matrix(&moments.xz, dim, labels)?)?;
    let (sizes, directions) = symmetric_eigen(numbers(&white.matmul(&white.t()?)?)?, dim);
    let floor = NEGLIGIBLE * sizes.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let rank = sizes.iter().filter(|size| **size > floor).count();
    let kept = matrix(&directions[..rank * dim], rank, dim)?;
    let projector = if rank == 0 {
        Tensor::zeros((dim, dim), candle_core::DType::F64, &Device::Cpu)?
    } else {
        kept.t()?.matmul(&kept)?
    };
    let erasing = numbers(&colour.matmul(&projector.matmul(&whiten)?)?)?;
    let single = |values: Vec<f64>| values.into_iter().map(narrow).collect();
    Ok(Eraser { dim, matrix: single(erasing), mean: single(moments.mean), rank })
}

fn matrix(values: &[f64], rows: usize, columns: usize) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, (rows, columns), &Device::Cpu)?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_vec1::<f64>()?)
}

fn moments(data: &Dataset) -> Result<Moments> {
    let (count, dim, labels) = (data.len(), data.dim, data.labels.count());
    let n = count as f64;
    let mut mean = vec![0.0; dim];
    for row in data.x.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / n);
    }
    let centred = data.x.iter().enumerate().map(|(i, x)| f64::from(*x) - mean[i % dim]);
    let x = Tensor::from_vec(centred.collect::<Vec<f64>>(), (count, dim), &Device::Cpu)?;
    let z: Vec<f64> = match &data.labels {
        Labels::One { of, .. } => {
            let mut z = vec![0.0; count * labels];
            of.iter().enumerate().for_each(|(i, class)| z[i * labels + *class as usize] = 1.0);
            z
        }
        Labels::Many { of, .. } => of.iter().map(|t| f64::from(u8::from(*t))).collect(),
    };
    let z = Tensor::from_vec(z, (count, labels), &Device::Cpu)?;
    // One side centred is enough for a covariance.
    let xx = numbers(&(x.t()?.matmul(&x)? / n)?)?;
    let xz = numbers(&(x.t()?.matmul(&z)? / n)?)?;
    Ok(Moments { mean, xx, xz })
}

/// Covariance `[dim, labels]` of vectors and labels: what a linear reader lives on.
pub fn cross_covariance(data: &Dataset) -> Result<Vec<f64>> {
    moments(data).map(|moments| moments.xz)
}

impl Eraser {
    /// Vectors `[example, dim]` without the concept.
    ///
    /// # Errors
    /// When they are of another size.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let tensor = Tensor::from_slice(x, (x.len() / self.dim.max(1), self.dim), &Device::Cpu)?;
        Ok(self.erased(&tensor)?.flatten_all()?.to_vec1::<f32>()?)
    }

    /// `[.., dim]`
    fn erased(&self, x: &Tensor) -> Result<Tensor> {
        let mean = Tensor::from_slice(&self.mean, self.dim, x.device())?;
        let matrix = Tensor::from_slice(&self.matrix, (self.dim, self.dim), x.device())?;
        let away = x.broadcast_sub(&mean)?.broadcast_matmul(&matrix.t()?)?;
        Ok((x - away)?)
    }
}

/// A tap that erases at some positions of one site, whose tensor is `[batch, pos, dim]`.
pub struct Erasing<'a> {
    pub eraser: &'a Eraser,
    pub site: Site,
    /// Row by row, one for each position of the batch.
    pub at: &'a [bool],
}

impl Tap for Erasing<'_> {
    fn wants(&self, site: Site) -> bool {
        site == self.site
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        let (batch, positions, dim) = x.dims3()?;
        if dim != self.eraser.dim || self.at.len() != batch * positions {
            return Err(Error::usage(format!(
                "what erases vectors of {} at {} positions met {site} of shape {:?}",
                self.eraser.dim,
                self.at.len(),
                x.dims()
            )));
        }
        let at: Vec<u8> = self.at.iter().map(|at| u8::from(*at)).collect();
        let at = Tensor::from_vec(at, (batch, positions, 1), x.device())?.broadcast_as(x.dims())?;
        Ok(at.where_cond(&self.eraser.erased(&x)?, &x)?)
    }
}
