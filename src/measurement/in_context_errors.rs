//! How well the next number of a sequence is predicted from more and more numbers: by the network, by what each layer knows, by simple
//! predictors; and what each head has to do with it.

use candle_core::Tensor;

use super::probing::lens::normalized;
use super::read::{captured, values};
use super::{Answer, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::{Batch, NO_TARGET, Reals, Row};
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Intervention, Point, Site};
use crate::base::settings::{Settings, Slot, Spec};
use crate::model::pass::forward;
use crate::nn::edit::Edit;
use crate::numeric::regression::{ridge, value};
use crate::task::components::Components;

crate::settings! {
    /// Settings of [`InContextErrors`].
    pub struct ContextSettings = "Squared error by the number of terms seen: of the network, of each layer, of simple predictors; and what each head does." {
        /// Held-out sequences to look at.
        sequences: usize = 256, in 2..=4096;
    }
}

/// For tasks of regression with one number at each position and one to predict, and the facet [`Components`].
///
/// Arrays `[position]`, mean squared errors over held-out sequences, NaN where no sequence has a target: `error.network`;
/// `error.reference.<name>` of each reference, a predictor without a network; and `error.layer0` and so on, of a linear map of the residual
/// stream behind the layer and of the same normalised as before the unembedding, fitted by least squares to the first half of the sequences. All errors are those of the second half.
///
/// Arrays `[layer, head]`: `slope.product` and `slope.distance`, the slope of a head's attention scores (before the softmax) on the product of
/// the numbers at query and key, and on the negative of their distance, both less their means over the keys of a query; a head of negative
/// similarity has slopes below 0. `ablated`, how much the squared error grows, over all positions, when the head writes nothing.
#[derive(Default)]
pub struct InContextErrors {
    settings: ContextSettings,
    edits: Vec<Edit>,
}

impl Settings for InContextErrors {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

/// What keeps the fit of a layer's map determined: far below any square of the stream.
const PENALTY: f64 = 1e-4;

impl Measurement for InContextErrors {
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn sequences(&self) -> Option<usize> {
        Some(self.settings.sequences)
    }

    fn under(&mut self, edits: &[Edit]) {
        self.edits = edits.to_vec();
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let one = Some(&Reals { inputs: 1, outputs: 1 });
        let is_one = subject.source.facet::<Reals>() == one;
        let model = subject.model;
        let is_read = model.layout().has_heads() && model.readout(subject.params)?.is_some();
        if is_one && subject.source.facet::<Components>().is_some() && is_read {
            return Ok(());
        }
        Err(Error::usage(
            "errors by the number of terms are for tasks that carry one real number at each position and predict one, such as \"affine_recurrence\", and networks of attention that have a residual stream",
        ))
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let layers = 0..subject.model.layout().heads.len();
        let points = [Point::ResidPost, Point::Scores];
        layers.flat_map(|layer| points.map(|point| Site { layer, point })).collect()
    }

    /// Arrays of single sequences, of which [`Self::finish`] makes the means.
    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let Scene { subject, batch, .. } = *scene;
        let logits = scene
            .logits
            .ok_or_else(|| Error::internal("a measurement of predictions needs them"))?;
        let by_position = |name: &str, data: Vec<f32>| {
            Array::new(name, &["sequence", "position"], &[batch.rows, batch.len], data)
        };
        let mut arrays = vec![
            by_position("wanted", wanted(batch))?,
            by_position("network", values(logits, <[f32]>::to_vec)?)?,
        ];
        let references = subject.source.facet::<Components>().map(|c| &c.references);
        for reference in references.into_iter().flatten() {
            let rows = (0..batch.rows).flat_map(|row| (reference.predict)(&batch.row(row)));
            arrays.push(by_position(&format!("reference.{}", reference.name), rows.collect())?);
        }
        for (layer, _) in subject.model.layout().heads.iter().enumerate() {
            let stream = captured(scene, Site { layer, point: Point::ResidPost })?;
            let width = stream.dims().last().copied().unwrap_or(1).max(1);
            let data = values(stream, <[f32]>::to_vec)?;
            let normed = normalized(subject.model, subject.params, width, &data)?;
            let both = data.chunks_exact(width).zip(normed.chunks_exact(width));
            let data: Vec<f32> = both.flat_map(|(a, b)| [a, b].concat()).collect();
            let (name, axes) = (format!("layer{layer}"), ["sequence", "position", "width"]);
            arrays.push(Array::new(name, &axes, &[batch.rows, batch.len, 2 * width], data)?);
        }
        arrays.extend(heads(scene, logits, &self.edits)?);
        Ok(Answer { arrays, ..Answer::default() })
    }

    fn finish(&self, answer: Answer, _prompt: &Row) -> Result<Answer> {
        let found = Sequences::of(&answer.arrays)?;
        let mut arrays = Vec::new();
        for array in &answer.arrays {
            let name = format!("error.{}", array.name);
            match &*array.name {
                "wanted" => {}
                "slopes" => arrays.extend(slopes(array)?),
                "ablated" => arrays.push(found.growth(array)?),
                _ if array.shape.len() == 3 => {
                    arrays.push(found.errors(name, &found.read_out(array)?)?);
                }
                _ => arrays.push(found.errors(name, &array.data)?),
            }
        }
        Ok(Answer { arrays, ..answer })
    }
}

/// What is to be predicted, NaN where nothing is.
fn wanted(batch: &Batch) -> Vec<f32> {
    let both = batch.targets.iter().zip(&batch.value_targets);
    both.map(|(target, value)| if *target == NO_TARGET { f32::NAN } else { *value }).collect()
}

/// Squared errors of each sequence, over all positions that have a target.
fn squared_errors(predicted: &[f32], batch: &Batch) -> Vec<f64> {
    let wanted = wanted(batch);
    let both = predicted.chunks_exact(batch.len).zip(wanted.chunks_exact(batch.len));
    let square = |(p, w): (&f32, &f32)| (f64::from(*p) - f64::from(*w)).powi(2);
    let sum = |(p, w): (&[f32], &[f32])| {
        p.iter().zip(w).filter(|(_, w)| !w.is_nan()).map(square).sum::<f64>()
    };
    both.map(sum).collect()
}

/// Of each sequence and head what its scores have to do with similarity, and by how much the error grows without it.
fn heads(scene: &Scene<'_>, logits: &Tensor, in_force: &[Edit]) -> Result<[Array; 2]> {
    let Scene { subject, batch, .. } = *scene;
    let whole = values(logits, |p| squared_errors(p, batch))?;
    let layers = &subject.model.layout().heads;
    let most = layers.iter().copied().max().unwrap_or(0);
    let shape = [batch.rows, layers.len(), most, SUMS];
    let cells = layers.len() * most;
    let (mut slopes, mut grown) =
        (vec![0.0; batch.rows * cells * SUMS], vec![f32::NAN; batch.rows * cells]);
    for (layer, &count) in layers.iter().enumerate() {
        let scores = captured(scene, Site { layer, point: Point::Scores })?;
        let scores = values(scores, <[f32]>::to_vec)?;
        for head in 0..count {
            let without = errors_without(subject, batch, in_force, (layer, head))?;
            for row in 0..batch.rows {
                let at = row * cells + layer * most + head;
                grown[at] = narrow(without[row] - whole[row]);
                let size = batch.len * batch.len;
                let scores = &scores[(row * count + head) * size..][..size];
                let x = &batch.values[row * batch.len..][..batch.len];
                slopes[at * SUMS..][..SUMS].copy_from_slice(&similarity(scores, x));
            }
        }
    }
    let axes = ["sequence", "layer", "head", "sum"];
    let slopes = Array::new("slopes", &axes, &shape, slopes)?;
    Ok([slopes, Array::new("ablated", &axes[..3], &shape[..3], grown)?])
}

/// Squared errors of each sequence when a head writes nothing.
fn errors_without(
    subject: Subject<'_>,
    batch: &Batch,
    in_force: &[Edit],
    (layer, head): (usize, usize),
) -> Result<Vec<f64>> {
    let Subject { model, params, .. } = subject;
    let cut = Edit::of(&Intervention::cut_head(layer, head), params)?;
    let edits: Vec<Edit> = in_force.iter().cloned().chain(cut).collect();
    let (predicted, _) = forward(model, params, batch, &edits, &[], true)?;
    let predicted = predicted.ok_or_else(|| Error::internal("a forward pass without logits"))?;
    values(&predicted, |p| squared_errors(p, batch))
}

/// Of two measures of similarity the sums of products with the scores and of squares.
const SUMS: usize = 4;

/// The sums of one head and sequence: of scores and similarities less their means over the keys that a query sees, of queries that see
/// three or more.
fn similarity(scores: &[f32], x: &[f32]) -> [f32; SUMS] {
    const FEWEST: usize = 3;
    let mut sums = [0.0; SUMS];
    for query in FEWEST - 1..x.len() {
        let keys = query + 1;
        let scores = centred(scores[query * x.len()..][..keys].iter().copied().map(f64::from));
        let of = |key: &f32| [x[query] * key, -(x[query] - key).abs()].map(f64::from);
        for measure in 0..2 {
            let alike = centred(x[..keys].iter().map(|key| of(key)[measure]));
            let both = || scores.iter().zip(&alike);
            sums[2 * measure] += both().map(|(s, a)| s * a).sum::<f64>();
            sums[2 * measure + 1] += alike.iter().map(|a| a * a).sum::<f64>();
        }
    }
    sums.map(narrow)
}

fn centred(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let all: Vec<f64> = numbers.collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    all.iter().map(|x| x - mean).collect()
}

/// `[layer, head]` each, over all sequences.
fn slopes(sums: &Array) -> Result<[Array; 2]> {
    let [sequences, layers, heads, _] = sums.shape[..] else { return Err(misshapen(sums)) };
    let cells = layers * heads;
    let of = |name: &str, from: usize| {
        let total = |cell: usize, at: usize| {
            let all = (0..sequences).map(|s| sums.data[(s * cells + cell) * SUMS + at]);
            all.map(f64::from).sum::<f64>()
        };
        let slope = |cell| narrow(total(cell, from) / total(cell, from + 1));
        Array::new(
            name,
            &["layer", "head"],
            &[layers, heads],
            (0..cells).map(slope).collect::<Vec<f32>>(),
        )
    };
    Ok([of("slope.product", 0)?, of("slope.distance", 2)?])
}

fn misshapen(array: &Array) -> Error {
    Error::internal(format!("{} has the shape {:?}", array.name, array.shape))
}

/// What is to be predicted in all sequences; maps are fitted to the first half of them.
struct Sequences<'a> {
    wanted: &'a [f32],
    positions: usize,
    /// The first sequence of the second half.
    second: usize,
    count: usize,
}

impl<'a> Sequences<'a> {
    fn of(arrays: &'a [Array]) -> Result<Self> {
        let wanted = arrays.iter().find(|array| array.name == "wanted");
        let wanted = wanted.ok_or_else(|| Error::internal("no sequence was looked at"))?;
        let [count, positions] = wanted.shape[..] else { return Err(misshapen(wanted)) };
        Ok(Self { wanted: &wanted.data, positions, second: count / 2, count })
    }

    /// Mean squared errors of the second half by position.
    fn errors(&self, name: String, predicted: &[f32]) -> Result<Array> {
        let of = |position: usize| {
            let at = (self.second..self.count).map(|s| s * self.positions + position);
            let squares = at.filter(|&i| !self.wanted[i].is_nan());
            let squares: Vec<f64> = squares
                .map(|i| (f64::from(predicted[i]) - f64::from(self.wanted[i])).powi(2))
                .collect();
            narrow(squares.iter().sum::<f64>() / squares.len() as f64)
        };
        let data: Vec<f32> = (0..self.positions).map(of).collect();
        Array::new(name, &["position"], &[self.positions], data)
    }

    /// What a linear map of a stream predicts that is fitted to the first half.
    fn read_out(&self, stream: &Array) -> Result<Vec<f32>> {
        let [.., width] = stream.shape[..] else { return Err(misshapen(stream)) };
        let row = |i: usize| &stream.data[i * width..][..width];
        let known = (0..self.second * self.positions).filter(|&i| !self.wanted[i].is_nan());
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for i in known {
            x.extend_from_slice(row(i));
            y.push(self.wanted[i]);
        }
        let map = ridge(&x, &y, PENALTY).ok_or_else(|| {
            Error::usage("the sequences do not determine a linear map of the stream; look at more of them (sequences)")
        })?;
        Ok((0..self.count * self.positions).map(|i| narrow(value(&map, row(i)))).collect())
    }

    /// The mean over positions that have a target, `[layer, head]`.
    fn growth(&self, grown: &Array) -> Result<Array> {
        let [_, layers, heads] = grown.shape[..] else { return Err(misshapen(grown)) };
        let asked = self.wanted.iter().filter(|w| !w.is_nan()).count();
        let cells = layers * heads;
        let each = |cell: usize| (0..self.count).map(move |s| s * cells + cell);
        let sum = |cell: usize| each(cell).map(|at| f64::from(grown.data[at])).sum::<f64>();
        let mean = |cell: usize| narrow(sum(cell) / asked as f64);
        Array::new(
            "ablated",
            &["layer", "head"],
            &[layers, heads],
            (0..cells).map(mean).collect::<Vec<f32>>(),
        )
    }
}
