//! A linear decoder in closed form: ridge regression onto one number for each class, of which the largest is read.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::base::convert;
use crate::base::error::{Error, Result};

/// The penalty, as a share of the mean variance of the features: weak, yet enough where features depend on each other.
const RIDGE: f64 = 1e-3;

/// The least penalty, as a share of the mean square: far above the rounding of features, far below their differences.
const ROUNDING: f64 = 1e-12;

/// Vectors with the class of each: what a decoder is fitted on, or tried on.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub dims: usize,
    /// `[sample, dim]`
    pub features: Vec<f64>,
    /// `[sample]`, each below the number of classes.
    pub classes: Vec<usize>,
}

impl Samples {
    pub fn new(dims: usize) -> Self {
        Self { dims, ..Self::default() }
    }

    pub fn push(&mut self, features: &[f32], class: usize) {
        self.features.extend(features.iter().map(|x| f64::from(*x)));
        self.classes.push(class);
    }

    fn each(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.features.chunks_exact(self.dims.max(1)).zip(self.classes.iter().copied())
    }
}

/// `argmax over classes of share + (x − mean) · weights`.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `[dim]`
    pub mean: Vec<f64>,
    /// `[class]`: how often it came.
    pub shares: Vec<f64>,
    /// `[class, dim]`
    pub weights: Vec<Vec<f64>>,
}

impl Decoder {
    /// The minimum of `Σ |y − share − (x − mean) W|² + λ |W|²` over samples, with `y` 1 for the class of a sample and 0 for
    /// the others, and `λ` a thousandth of the mean sum of squares of a centred feature.
    ///
    /// # Errors
    /// When a feature is not finite.
    pub fn fit(samples: &Samples, classes: usize) -> Result<Self> {
        let scatter = Scatter::new(samples)?;
        Ok(scatter.decoder(samples, &samples.classes, classes))
    }

    /// The same, and one fitted to the classes in another order, so that nothing is left to be learned: what it gets right
    /// is luck.
    pub fn fit_beside_shuffled(samples: &Samples, classes: usize) -> Result<[Self; 2]> {
        let scatter = Scatter::new(samples)?;
        let shuffled = shuffled(&samples.classes);
        Ok([&samples.classes, &shuffled].map(|to| scatter.decoder(samples, to, classes)))
    }

    /// The class that is read from features.
    pub fn class(&self, features: &[f64]) -> usize {
        let score = |(weights, share): (&Vec<f64>, &f64)| {
            let centred = features.iter().zip(&self.mean).map(|(x, m)| x - m);
            share + centred.zip(weights).map(|(x, w)| x * w).sum::<f64>()
        };
        let scores: Vec<f64> = self.weights.iter().zip(&self.shares).map(score).collect();
        let better = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
        (0..scores.len()).fold(0, better)
    }

    /// Share of samples whose class is read rightly; NaN without samples.
    pub fn accuracy(&self, samples: &Samples) -> f64 {
        let right = samples.each().filter(|(x, class)| self.class(x) == *class).count();
        right as f64 / samples.classes.len() as f64
    }
}

/// Mean and penalised scatter of features, factored once for all that is decoded from them.
struct Scatter {
    mean: Vec<f64>,
    /// Lower triangle `L` of `L Lᵀ = Σ (x − mean)(x − mean)ᵀ + λ`, `[dim, dim]`.
    factor: Vec<f64>,
}

impl Scatter {
    fn new(samples: &Samples) -> Result<Self> {
        let (dims, count) = (samples.dims, samples.classes.len());
        if samples.features.iter().any(|x| !x.is_finite()) {
            return Err(Error::input(
                "Some keys or values are no finite numbers, so nothing can be decoded from them: training has diverged. Go back to an earlier step.",
            ));
        }
        let mut mean = vec![0.0; dims];
        for (x, _) in samples.each() {
            mean.iter_mut().zip(x).for_each(|(m, x)| *m += x);
        }
        mean.iter_mut().for_each(|m| *m /= count.max(1) as f64);
        let mut scatter = vec![0.0; dims * dims];
        for (x, _) in samples.each() {
            let centred: Vec<f64> = x.iter().zip(&mean).map(|(x, m)| x - m).collect();
            for (i, row) in scatter.chunks_exact_mut(dims.max(1)).enumerate() {
                let by = centred[i];
                row[..=i].iter_mut().zip(&centred).for_each(|(s, x)| *s += by * x);
            }
        }
        let squares: f64 = (0..dims).map(|i| scatter[i * dims + i]).sum();
        let sizes: f64 = samples.features.iter().map(|x| x * x).sum();
        // Features that never change leave nothing to divide by, or only what rounding made of them.
        let penalty = (RIDGE * squares).max(ROUNDING * sizes) / dims.max(1) as f64;
        let penalty = penalty.max(f64::MIN_POSITIVE.sqrt());
        (0..dims).for_each(|i| scatter[i * dims + i] += penalty);
        factor_in_place(&mut scatter, dims);
        Ok(Self { mean, factor: scatter })
    }

    fn decoder(&self, samples: &Samples, to: &[usize], classes: usize) -> Decoder {
        let dims = samples.dims;
        let (mut sums, mut counts) = (vec![vec![0.0; dims]; classes], vec![0.0; classes]);
        for ((x, _), &class) in samples.each().zip(to) {
            counts[class] += 1.0;
            let centred = x.iter().zip(&self.mean).map(|(x, m)| x - m);
            sums[class].iter_mut().zip(centred).for_each(|(sum, x)| *sum += x);
        }
        // Centred features sum to 0, so that the shares of the classes drop out of the right-hand side.
        sums.iter_mut().for_each(|sum| solve_in_place(&self.factor, dims, sum));
        let total = to.len().max(1) as f64;
        let shares = counts.into_iter().map(|count| count / total).collect();
        Decoder { mean: self.mean.clone(), shares, weights: sums }
    }
}

/// Cholesky's factor of a symmetric positive definite matrix, of which the lower triangle is read and overwritten.
fn factor_in_place(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..=i {
            let (before, row) = a.split_at(i * n);
            let other = if j < i { &before[j * n..j * n + j] } else { &row[..j] };
            let dot: f64 = row[..j].iter().zip(other).map(|(x, y)| x * y).sum();
            let left = row[j] - dot;
            a[i * n + j] = if i == j { left.max(0.0).sqrt() } else { left / a[j * n + j] };
        }
    }
}

/// `b` becomes the solution of `L Lᵀ x = b`.
fn solve_in_place(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let dot: f64 = l[i * n..i * n + i].iter().zip(&*b).map(|(l, x)| l * x).sum();
        b[i] = (b[i] - dot) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| l[k * n + i] * b[k]).sum();
        b[i] = (b[i] - dot) / l[i * n + i];
    }
}

/// The same classes in another order, always the same one.
fn shuffled(classes: &[usize]) -> Vec<usize> {
    let mut rng = ChaCha8Rng::from_seed(*b"the order of shuffled classes...");
    let mut order = classes.to_vec();
    for i in (1..order.len()).rev() {
        let to = convert::share(rng.next_u64(), i + 1);
        order.swap(i, to);
    }
    order
}
