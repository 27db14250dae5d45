//! A reader with one hidden layer: what can be told of a vector, but not by a linear map.

use candle_core::{DType, Device, Tensor};

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::nn::params::{Init, draw};

use super::Watch;
use super::data::{Dataset, Labels};
use super::linear::{Fitted, Fitting, Linear, Score, Standard, dealt, residual, score_of};
use super::solve::{Search, minimize};

/// `x ↦ second · relu(first · x + bias) + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    pub first: Linear,
    pub second: Linear,
}

/// How many units the hidden layer has, and the seed that their first weights are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    pub count: usize,
    pub seed: u64,
}

/// Fits to all examples at once, from weights of a seed: the loss has many minima, and this finds one near its start.
/// `None`: stopped by `watch`.
///
/// # Errors
/// When a product fails, or a vector is not finite.
pub fn fit(
    data: &Dataset,
    units: Units,
    fitting: Fitting,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Fitted<Hidden>>> {
    let scale = Standard::new(data, true)?;
    let x = scale.apply(data, true)?;
    let shape = Shape { units: units.count, columns: data.dim + 1, outputs: data.labels.count() };
    let look = |w: &[f64]| objective(&x, &data.labels, w, shape, fitting.decay);
    let search = Search { slope: fitting.slope, rounds: fitting.rounds };
    let Some(found) = minimize(doing, shape.drawn(units.seed), search, look, watch)? else {
        return Ok(None);
    };
    let (first, second) = found.at.split_at(shape.first());
    Ok(Some(Fitted {
        reader: Hidden {
            first: scale.undone(first, shape.units, true),
            second: Linear::with_bias(second, shape.outputs, shape.units),
        },
        slope: found.slope,
        rounds: found.rounds,
        converged: found.slope <= fitting.slope,
    }))
}

/// The same to labels dealt out anew among the examples.
pub fn fit_shuffled(
    data: &Dataset,
    units: Units,
    fitting: Fitting,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Fitted<Hidden>>> {
    fit(&dealt(data, units.seed), units, fitting, doing, watch)
}

#[derive(Clone, Copy)]
struct Shape {
    units: usize,
    /// Of the vectors, the one for the bias included.
    columns: usize,
    outputs: usize,
}

impl Shape {
    /// Coefficients of the first map; those of the second follow.
    fn first(self) -> usize {
        self.units * self.columns
    }

    /// Variances that keep the size of what passes (He et al. 2015); no bias at first.
    fn drawn(self, seed: u64) -> Vec<f64> {
        let map = |name: &str, outputs: usize, columns: usize, gain: f64| {
            let std = (gain / columns as f64).sqrt();
            let mut all = draw(seed, name, outputs * columns, Init::Normal(std));
            all.chunks_exact_mut(columns).for_each(|row| row[columns - 1] = 0.0);
            all
        };
        let first = map("hidden layer", self.units, self.columns, 2.0);
        let second = map("readout of the hidden layer", self.outputs, self.units + 1, 1.0);
        first.into_iter().chain(second).map(f64::from).collect()
    }
}

/// Mean loss with its decay, and its gradient.
fn objective(
    x: &Tensor,
    labels: &Labels,
    w: &[f64],
    shape: Shape,
    decay: f64,
) -> Result<(f64, Vec<f64>)> {
    let (first, second) = w.split_at(shape.first());
    let first = Tensor::from_slice(first, (shape.units, shape.columns), &Device::Cpu)?;
    let second = Tensor::from_slice(second, (shape.outputs, shape.units + 1), &Device::Cpu)?;
    let examples = x.dim(0)?;
    let hidden = x.matmul(&first.t()?)?.relu()?;
    let ones = Tensor::ones((examples, 1), DType::F64, &Device::Cpu)?;
    let active = Tensor::cat(&[&hidden, &ones], 1)?;
    let mut scores = active.matmul(&second.t()?)?.flatten_all()?.to_vec1::<f64>()?;
    let mut loss = 0.0;
    for (i, row) in scores.chunks_exact_mut(shape.outputs).enumerate() {
        loss += residual(row, labels, i);
    }
    let wrong = Tensor::from_vec(scores, (examples, shape.outputs), &Device::Cpu)?;
    let of_second = wrong.t()?.matmul(&active)?;
    let back = wrong.matmul(&second.narrow(1, 0, shape.units)?.contiguous()?)?;
    let passes = hidden.gt(&hidden.zeros_like()?)?.to_dtype(DType::F64)?;
    let of_first = (back * passes)?.t()?.matmul(x)?;
    let mut gradient = of_first.flatten_all()?.to_vec1::<f64>()?;
    gradient.extend(of_second.flatten_all()?.to_vec1::<f64>()?);
    let count = examples as f64;
    gradient.iter_mut().zip(w).for_each(|(g, w)| *g = *g / count + decay * w);
    let square: f64 = w.iter().map(|w| w * w).sum();
    Ok((loss / count + 0.5 * decay * square, gradient))
}

impl Hidden {
    /// # Errors
    /// When the examples are of another size or have another number of labels.
    pub fn score(&self, data: &Dataset) -> Result<Score> {
        if data.labels.count() != self.second.outputs {
            return Err(Error::usage(format!(
                "this reader tells {} labels apart, the examples have {}",
                self.second.outputs,
                data.labels.count()
            )));
        }
        let relu = |s: f64| convert::narrow(s.max(0.0));
        let active: Vec<f32> = self.first.scores(&data.x)?.into_iter().map(relu).collect();
        Ok(score_of(&mut self.second.scores(&active)?, &data.labels))
    }
}
