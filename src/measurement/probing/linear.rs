//! Linear readers: softmax regression over classes, and one sigmoid for each of many labels.

use candle_core::{DType, Device, Tensor};

use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::nn::params::{Init, draw};

use super::Watch;
use super::data::{Dataset, Labels};
use super::solve::{Search, minimize};

/// `x ↦ weight · x + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub outputs: usize,
    pub dim: usize,
    /// `[outputs, dim]`
    pub weight: Vec<f32>,
    /// `[outputs]`; none in a map without one.
    pub bias: Option<Vec<f32>>,
}

/// How a linear reader is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitting {
    pub bias: bool,
    /// Half of this times the squared length of all coefficients (of standardised vectors) is added to the mean loss: the minimum
    /// is one and finite.
    pub decay: f64,
    /// Rounds at most.
    pub rounds: usize,
    /// At the minimum the gradient is at most this share of that at the start.
    pub slope: f64,
}

impl Default for Fitting {
    fn default() -> Self {
        Self { bias: true, decay: 1e-2, rounds: 500, slope: 1e-6 }
    }
}

/// A reader and how its search ended.
#[derive(Clone, Debug)]
pub struct Fitted<R = Linear> {
    pub reader: R,
    /// Length of the gradient at the end, as a share of that at the start.
    pub slope: f64,
    pub rounds: usize,
    /// Whether the search ended at the minimum.
    pub converged: bool,
}

impl<R> Fitted<R> {
    /// The same reader in another form.
    pub(super) fn reads<T>(self, form: impl FnOnce(R) -> T) -> Fitted<T> {
        let Self { reader, slope, rounds, converged } = self;
        Fitted { reader: form(reader), slope, rounds, converged }
    }
}

/// How well labels are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean cross-entropy in nats (of many labels: their sum).
    pub loss: f64,
    /// Share of examples told right (of many labels: all of them).
    pub accuracy: f64,
    /// Mean F1 over the classes that occur or are told (over the labels that do).
    pub macro_f1: f64,
    /// F1 over all labels together; for classes it is the accuracy.
    pub micro_f1: f64,
}

/// Fits to all examples at once. `None`: stopped by `watch`.
///
/// # Errors
/// When a product fails, or a vector is not finite.
pub fn fit(
    data: &Dataset,
    fitting: Fitting,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Fitted>> {
    let scale = Standard::new(data, fitting.bias)?;
    let (outputs, columns) = (data.labels.count(), data.dim + usize::from(fitting.bias));
    let x = scale.apply(data, fitting.bias)?;
    let look = |w: &[f64]| objective(&x, &data.labels, w, (outputs, columns), fitting.decay);
    let search = Search { slope: fitting.slope, rounds: fitting.rounds };
    let start = vec![0.0; outputs * columns];
    let Some(found) = minimize(doing, start, search, look, watch)? else { return Ok(None) };
    Ok(Some(Fitted {
        reader: scale.undone(&found.at, outputs, fitting.bias),
        slope: found.slope,
        rounds: found.rounds,
        converged: found.slope <= fitting.slope,
    }))
}

/// The same to labels dealt out anew among the examples: what a reader learns that has nothing to read.
pub fn fit_shuffled(
    data: &Dataset,
    seed: u64,
    fitting: Fitting,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Fitted>> {
    fit(&dealt(data, seed), fitting, doing, watch)
}

/// The same vectors with labels in an order of the seed.
pub(super) fn dealt(data: &Dataset, seed: u64) -> Dataset {
    let labels = data.labels.reordered(&shuffled(data.len(), seed));
    Dataset { dim: data.dim, x: data.x.clone(), labels }
}

/// `0..count` in an order of the seed.
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let keys = draw(seed, "shuffled labels", count, Init::Uniform(1.0));
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
    order
}

/// A coordinate whose variance is this share of the largest mean square is constant but for the rounding of `f32`, which would
/// tell everything if it were blown up to unit variance.
const ROUNDING: f64 = 1e-10;

/// Mean and deviation of each coordinate: coefficients of all have one size.
pub(super) struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Standard {
    pub(super) fn new(data: &Dataset, centred: bool) -> Result<Self> {
        let (mut mean, mut square) = (vec![0.0; data.dim], vec![0.0; data.dim]);
        let count = data.len() as f64;
        for row in data.x.chunks_exact(data.dim) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / count);
        }
        if !centred {
            mean.fill(0.0);
        }
        for row in data.x.chunks_exact(data.dim) {
            for ((s, m), x) in square.iter_mut().zip(&mean).zip(row) {
                *s += (f64::from(*x) - m).powi(2) / count;
            }
        }
        if square.iter().any(|s| !s.is_finite()) {
            return Err(Error::input(
                "some of the vectors to be read are not finite: training has diverged. Go back to an earlier step",
            ));
        }
        let sizes = square.iter().zip(&mean).map(|(s, m)| s + m * m);
        let floor = ROUNDING * sizes.fold(0.0, f64::max);
        let deviation = square.iter().map(|s| if *s > floor { s.sqrt() } else { 1.0 }).collect();
        Ok(Self { mean, deviation })
    }

    /// `[example, dim]`, and a last column of ones for the bias.
    pub(super) fn apply(&self, data: &Dataset, bias: bool) -> Result<Tensor> {
        let columns = data.dim + usize::from(bias);
        let mut x = Vec::with_capacity(data.len() * columns);
        for row in data.x.chunks_exact(data.dim) {
            let standard = row.iter().zip(self.mean.iter().zip(&self.deviation));
            x.extend(standard.map(|(x, (m, d))| (f64::from(*x) - m) / d));
            x.extend(std::iter::repeat_n(1.0, usize::from(bias)));
        }
        Ok(Tensor::from_vec(x, (data.len(), columns), &Device::Cpu)?)
    }

    /// Coefficients of standardised vectors as those of vectors.
    pub(super) fn undone(&self, w: &[f64], outputs: usize, bias: bool) -> Linear {
        let dim = self.mean.len();
        let columns = dim + usize::from(bias);
        let rows = || w.chunks_exact(columns);
        let weight = rows()
            .flat_map(|row| row[..dim].iter().zip(&self.deviation).map(|(w, d)| narrow(w / d)));
        let shift = |row: &[f64]| {
            let moved = self.mean.iter().zip(&self.deviation).zip(row);
            narrow(row[dim] - moved.map(|((m, d), w)| w * m / d).sum::<f64>())
        };
        let bias = bias.then(|| rows().map(shift).collect());
        Linear { outputs, dim, weight: weight.collect(), bias }
    }
}

/// Mean loss with its decay, and its gradient, of coefficients `[outputs, columns]`.
fn objective(
    x: &Tensor,
    labels: &Labels,
    w: &[f64],
    (outputs, columns): (usize, usize),
    decay: f64,
) -> Result<(f64, Vec<f64>)> {
    let matrix = Tensor::from_slice(w, (outputs, columns), &Device::Cpu)?;
    let mut scores = x.matmul(&matrix.t()?)?.flatten_all()?.to_vec1::<f64>()?;
    let count = (scores.len() / outputs.max(1)) as f64;
    let mut loss = 0.0;
    for (i, row) in scores.chunks_exact_mut(outputs).enumerate() {
        loss += residual(row, labels, i);
    }
    let shape = (scores.len() / outputs.max(1), outputs);
    let residual = Tensor::from_vec(scores, shape, &Device::Cpu)?;
    let mut gradient = residual.t()?.matmul(x)?.flatten_all()?.to_vec1::<f64>()?;
    gradient.iter_mut().zip(w).for_each(|(g, w)| *g = *g / count + decay * w);
    let square: f64 = w.iter().map(|w| w * w).sum();
    Ok((loss / count + 0.5 * decay * square, gradient))
}

/// The loss of an example; its scores become what the gradient needs of them, told less true.
pub(super) fn residual(scores: &mut [f64], labels: &Labels, example: usize) -> f64 {
    match labels {
        Labels::One { of, .. } => {
            let truth = of[example] as usize;
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let before = scores[truth];
            scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
            let sum: f64 = scores.iter().sum();
            scores.iter_mut().for_each(|s| *s /= sum);
            scores[truth] -= 1.0;
            sum.ln() + largest - before
        }
        Labels::Many { count, of } => {
            let truths = &of[example * count..(example + 1) * count];
            let mut loss = 0.0;
            for (s, truth) in scores.iter_mut().zip(truths) {
                // ln(1 + e^s) without overflow.
                let soft = s.max(0.0) + (-s.abs()).exp().ln_1p();
                loss += soft - if *truth { *s } else { 0.0 };
                *s = 1.0 / (1.0 + (-*s).exp()) - if *truth { 1.0 } else { 0.0 };
            }
            loss
        }
    }
}

impl Linear {
    /// Of coefficients `[outputs, dim + 1]`, the last of a row being its bias.
    pub(super) fn with_bias(w: &[f64], outputs: usize, dim: usize) -> Self {
        let rows = || w.chunks_exact(dim + 1);
        Self {
            outputs,
            dim,
            weight: rows().flat_map(|row| row[..dim].iter().map(|w| narrow(*w))).collect(),
            bias: Some(rows().map(|row| narrow(row[dim])).collect()),
        }
    }

    /// `[example, outputs]` of vectors `[example, dim]`.
    ///
    /// # Errors
    /// When the vectors are of another size.
    pub fn scores(&self, x: &[f32]) -> Result<Vec<f64>> {
        if self.dim == 0 || !x.len().is_multiple_of(self.dim) {
            return Err(Error::usage(format!(
                "this reader reads vectors of {} numbers; {} were given",
                self.dim,
                x.len()
            )));
        }
        let x = Tensor::from_slice(x, (x.len() / self.dim, self.dim), &Device::Cpu)?;
        let w = Tensor::from_slice(&self.weight, (self.outputs, self.dim), &Device::Cpu)?;
        let product = x.to_dtype(DType::F64)?.matmul(&w.to_dtype(DType::F64)?.t()?)?;
        let mut scores = product.flatten_all()?.to_vec1::<f64>()?;
        if let Some(bias) = &self.bias {
            for row in scores.chunks_exact_mut(self.outputs) {
                row.iter_mut().zip(bias).for_each(|(s, b)| *s += f64::from(*b));
            }
        }
        Ok(scores)
    }

    /// # Errors
    /// When the examples are of another size or have another number of labels.
    pub fn score(&self, data: &Dataset) -> Result<Score> {
        if data.labels.count() != self.outputs {
            return Err(Error::usage(format!(
                "this reader tells {} labels apart, the examples have {}",
                self.outputs,
                data.labels.count()
            )));
        }
        Ok(score_of(&mut self.scores(&data.x)?, &data.labels))
    }
}

/// Truths, tellings, and where both agree, of one class or label.
#[derive(Clone, Copy, Default)]
struct Count {
    truths: f64,
    told: f64,
    both: f64,
}

impl Count {
    fn f1(self) -> f64 {
        2.0 * self.both / (self.truths + self.told)
    }
}

/// How well scores `[example, outputs]` tell the labels; the scores are used up.
pub(super) fn score_of(scores: &mut [f64], labels: &Labels) -> Score {
    let outputs = labels.count();
    let mut counts = vec![Count::default(); outputs];
    let (mut loss, mut right, mut examples) = (0.0, 0.0, 0.0);
    for (i, row) in scores.chunks_exact_mut(outputs).enumerate() {
        let told: Vec<bool> = match labels {
            Labels::One { .. } => {
                let first = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
                let best = (0..outputs).fold(0, first);
                (0..outputs).map(|i| i == best).collect()
            }
            Labels::Many { .. } => row.iter().map(|s| *s > 0.0).collect(),
        };
        let mut all = true;
        for (label, (told, count)) in told.into_iter().zip(&mut counts).enumerate() {
            let truth = match labels {
                Labels::One { of, .. } => of[i] as usize == label,
                Labels::Many { of, .. } => of[i * outputs + label],
            };
            count.truths += f64::from(u8::from(truth));
            count.told += f64::from(u8::from(told));
            count.both += f64::from(u8::from(truth && told));
            all &= truth == told;
        }
        right += f64::from(u8::from(all));
        loss += residual(row, labels, i);
        examples += 1.0;
    }
    let occurring: Vec<Count> =
        counts.iter().copied().filter(|c| c.truths + c.told > 0.0).collect();
    let whole = counts.iter().fold(Count::default(), |a, c| Count {
        truths: a.truths + c.truths,
        told: a.told + c.told,
        both: a.both + c.both,
    });
    Score {
        loss: loss / examples,
        accuracy: right / examples,
        macro_f1: occurring.iter().map(|c| c.f1()).sum::<f64>() / occurring.len() as f64,
        micro_f1: whole.f1(),
    }
}

/// What a reader scores that knows nothing of the vectors: the most frequent class (each label as it mostly is) of
/// `train`, told of all of `test`.
pub fn constant_score(train: &Dataset, test: &Dataset) -> Score {
    let outputs = train.labels.count();
    let mut truths = vec![0.0; outputs];
    match &train.labels {
        Labels::One { of, .. } => of.iter().for_each(|class| truths[*class as usize] += 1.0),
        Labels::Many { count, of } => {
            let truth = |(i, t): (usize, &bool)| truths[i % count] += f64::from(u8::from(*t));
            of.iter().enumerate().for_each(truth);
        }
    }
    let count = train.len() as f64;
    // Never quite certain: what did not occur in one half may in the other.
    let share = |t: f64| ((t + 0.5) / (count + 1.0)).clamp(1e-9, 1.0 - 1e-9);
    let of_one = |t: f64| share(t).ln();
    let of_many = |t: f64| (share(t) / (1.0 - share(t))).ln();
    let row: Vec<f64> = match train.labels {
        Labels::One { .. } => truths.into_iter().map(of_one).collect(),
        Labels::Many { .. } => truths.into_iter().map(of_many).collect(),
    };
    score_of(&mut row.repeat(test.len()), &test.labels)
}
