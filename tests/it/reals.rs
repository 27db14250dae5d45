//! Positions that carry real numbers: both engines, their gradients, what is asked of such a task and what is refused.

use candle_core::Tensor;
use mnemoscope::Result;
use mnemoscope::base::batch::{Batch, NO_TARGET, Reals, Row};
use mnemoscope::base::registry;
use mnemoscope::measurement::{self, Subject};
use mnemoscope::model::birth::Birth;
use mnemoscope::model::decoder::Decoder;
use mnemoscope::model::pass::{Tensors, forward};
use mnemoscope::model::{Architecture, Model, Sequences};
use mnemoscope::nn::kernel::squared_error as kernel;
use mnemoscope::nn::loss::squared_error;
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::Untapped;
use mnemoscope::nn::tape::{Found, Numbers, Tape, Workspace};
use mnemoscope::run::experiment::{Experiment, Train};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task;

use super::examples::add_task::Regression;
use super::models::variations;

const REALS: Reals = Reals { inputs: 3, outputs: 2 };
const VOCAB: usize = 11;
const LENGTH: usize = 14;
const ROWS: usize = 2;

fn sequences() -> Sequences {
    Sequences { reals: REALS, ..Sequences::of_tokens(VOCAB, LENGTH) }
}

fn random(name: &str, count: usize) -> Vec<f32> {
    draw(7, name, count, Init::Normal(1.0))
}

/// Numbers and targets at every position; one in three is outside of the loss.
fn batch() -> Batch {
    let positions = ROWS * LENGTH;
    let target = |i: usize| if i.is_multiple_of(3) { NO_TARGET } else { 0 };
    Batch {
        rows: ROWS,
        len: LENGTH,
        tokens: (0..positions).map(|i| (i * i % VOCAB) as u32).collect(),
        targets: (0..positions).map(target).collect(),
        roles: vec![0; positions],
        occurrence: vec![0; positions],
        values: random("values", positions * REALS.inputs),
        value_targets: random("targets", positions * REALS.outputs),
    }
}

fn weight(batch: &Batch) -> Vec<f32> {
    batch.targets.iter().map(|t| if *t == NO_TARGET { 0.0 } else { 0.05 }).collect()
}

/// A network whose numbers are large enough for every gradient to show, and keep the size of what they map.
fn built(settings: &dyn Architecture) -> (Box<dyn Model>, Params) {
    let mut params = Params::new(3);
    let model = settings.build(sequences(), &mut params).unwrap();
    let mut weights = params.weights(0).unwrap();
    for tensor in &mut weights.tensors {
        let size = 0.7 / (tensor.shape[tensor.shape.len() - 1] as f64).sqrt();
        let noise = draw(5, &tensor.name, tensor.data.len(), Init::Normal(size));
        tensor.data = tensor.data.iter().zip(noise).map(|(w, n)| w + n).collect();
    }
    params.load(&weights).unwrap();
    (model, params)
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn predictions(model: &dyn Model, params: &Params, batch: &Batch) -> Result<Tensor> {
    let tensors = Tensors::of(batch, params)?;
    Ok(model.forward(params, &tensors.input(), &mut Untapped)?.logits)
}

fn taped(model: &dyn Model, params: &Params, batch: &Batch, weight: &[f32]) -> Result<Found> {
    let work = Workspace::default();
    let numbers = Numbers::of(params, ROWS * LENGTH, &work)?;
    let mut tape = Tape::new(&numbers, batch, weight);
    assert!(model.record(&mut tape)?, "a decoder has a tape");
    tape.backward()
}

/// In double precision, as the definition says it.
fn loss(predictions: &[f32], batch: &Batch, weight: &[f32]) -> f64 {
    let outputs = REALS.outputs;
    (0..weight.len() * outputs)
        .map(|i| {
            let apart = f64::from(predictions[i]) - f64::from(batch.value_targets[i]);
            f64::from(weight[i / outputs]) * apart * apart
        })
        .sum()
}

#[test]
fn the_tape_and_the_pass_over_tensors_agree_on_real_numbers() {
    let mut seen = 0;
    for variation in variations() {
        if !variation.name.starts_with("decoder") || variation.name.contains("tied = true") {
            continue;
        }
        seen += 1;
        let (model, params) = built(&*variation.settings);
        let batch = batch();
        for sparse in [false, true] {
            let mut weight = weight(&batch);
            if sparse {
                weight[4..].fill(0.0);
            }
            let out = predictions(&*model, &params, &batch).unwrap();
            assert_eq!(out.dims(), [ROWS, LENGTH, REALS.outputs]);
            let by_tensors = squared_error(&out, &batch.value_targets, &weight).unwrap();
            let wanted = loss(&numbers(&out), &batch, &weight);
            let found = taped(&*model, &params, &batch, &weight).unwrap();
            let value = f64::from(by_tensors.to_scalar::<f32>().unwrap());
            let name = format!("{}, sparse: {sparse}", variation.name);
            assert!((value - wanted).abs() < 1e-5 * wanted, "{name}: {value}, {wanted}");
            assert!((found.loss - wanted).abs() < 1e-5 * wanted, "{name}: {}", found.loss);
            let store = by_tensors.backward().unwrap();
            let all = found.grads.iter().flatten().flatten();
            let largest = all.fold(0.0, |m: f32, g| m.max(g.abs()));
            for (param, taped) in params.all().zip(&found.grads) {
                let name = format!("{name}: {}", params.name(param));
                let of_tensors = store.get(params.var(param).unwrap().as_tensor()).map(numbers);
                assert_eq!(of_tensors.is_some(), taped.is_some(), "{name}");
                let (a, b) = (of_tensors.unwrap_or_default(), taped.as_deref().unwrap_or(&[]));
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() <= 2e-5 * largest, "{name}: {a} against {b}");
                }
            }
        }
    }
    assert!(seen > 10, "{seen} variations of the decoder");
}

#[test]
fn gradients_of_the_squared_error_are_its_slopes() {
    let (model, mut params) = built(&Decoder { width: 12, heads: 2, ..Decoder::default() });
    let batch = batch();
    let weight = weight(&batch);
    let grads = taped(&*model, &params, &batch, &weight).unwrap().grads;
    let start = params.weights(0).unwrap();
    for (index, grad) in grads.iter().enumerate() {
        let (name, grad) = (&start.tensors[index].name, grad.as_ref().unwrap());
        let direction = draw(9, name, grad.len(), Init::Normal(1.0 / (grad.len() as f64).sqrt()));
        let along: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
        let mut loss_at = |by: f32| {
            let mut moved = start.clone();
            let data = start.tensors[index].data.iter().zip(&direction);
            moved.tensors[index].data = data.map(|(w, d)| w + by * d).collect();
            params.load(&moved).unwrap();
            loss(&numbers(&predictions(&*model, &params, &batch).unwrap()), &batch, &weight)
        };
        let slope = (loss_at(3e-3) - loss_at(-3e-3)) / 6e-3;
        assert!((slope - along).abs() < 2e-3 * (1.0 + slope.abs()), "{name}: {slope}, {along}");
    }
    // The map of the numbers is one of those that were looked at, and moves the loss.
    let values = start.tensors.iter().position(|tensor| &*tensor.name == "values").unwrap();
    assert!(grads[values].iter().flatten().any(|g| g.abs() > 1e-3));
}

#[test]
fn a_squared_error_skips_rows_without_weight_and_says_what_does_not_fit() {
    let mut gradient = [9.0; 4];
    let targets = [1.0, 2.0, f32::NAN, f32::NAN];
    let sum = kernel::squared_error(&[2.0, 0.0, 5.0, 5.0], &targets, &[0.5, 0.0], &mut gradient);
    assert_eq!((sum, gradient), (2.5, [1.0, -2.0, 0.0, 0.0]));
    let predictions = Tensor::zeros((1, 2, 2), candle_core::DType::F32, &candle_core::Device::Cpu);
    let error = squared_error(&predictions.unwrap(), &[0.0; 3], &[1.0; 2]).unwrap_err();
    assert!(error.message.contains("4 numbers are predicted, 3 are"), "{error}");
}

#[test]
fn parts_of_a_batch_keep_their_numbers() {
    let whole = batch();
    let second = whole.slice(1, 2);
    assert_eq!(second.values, whole.values[LENGTH * REALS.inputs..]);
    assert_eq!(second.value_targets, whole.value_targets[LENGTH * REALS.outputs..]);
    let rows: Vec<Row> = (0..ROWS).map(|i| whole.row(i)).collect();
    assert_eq!(Batch::from_rows(&rows), whole);
}

#[test]
fn what_does_not_fit_real_numbers_is_refused_in_a_sentence() {
    let (model, params) = built(&Decoder { width: 12, heads: 2, ..Decoder::default() });
    let bare = Batch { values: Vec::new(), ..batch() };
    let weight = weight(&bare);
    let by_tensors = predictions(&*model, &params, &bare).unwrap_err();
    let by_tape = taped(&*model, &params, &bare, &weight).err().unwrap();
    for error in [by_tensors, by_tape] {
        let says = "reads 3 real numbers at each position, and this sequence carries 0";
        assert!(error.message.contains(says), "{error}");
    }
    let refused = |model: Box<dyn Architecture>| {
        let experiment = Experiment { model, ..experiment() };
        Trainer::new(&experiment).err().unwrap().message
    };
    assert!(refused(Box::<Birth>::default()).contains("tokens alone"));
    let tied = Decoder { tied: true, ..Decoder::default() };
    assert!(refused(Box::new(tied)).contains("untie them"));
}

fn experiment() -> Experiment {
    let mut experiment = Experiment::of("regression", "bigram", "decoder").unwrap();
    experiment.task = Box::new(Regression { pairs: 4, ..Regression::default() });
    experiment.model = Box::new(Decoder { width: 8, heads: 2, ..Decoder::default() });
    experiment.train = Train { batch: 8, held_out: 8, ..Train::default() };
    experiment
}

#[test]
fn a_task_of_real_numbers_is_measured_by_its_squared_error() {
    let experiment = experiment();
    let mut trainer = Trainer::new(&experiment).unwrap();
    let recorded = |name: &str| trainer.columns().iter().position(|column| column == name);
    let (first, in_context) = (recorded("loss").unwrap(), recorded("loss_in_context").unwrap());
    assert_eq!((first, recorded("accuracy")), (0, None));
    let source = trainer.source().clone();
    let mut params = Params::new(0);
    let model = experiment.network(&*source, &mut params).unwrap();
    let batch = task::batch(&*source, task::held_out_seed(0), 0, 8);
    let (predicted, _) = forward(&*model, &params, &batch, &[], &[], true).unwrap();
    let predicted = numbers(&predicted.unwrap());
    let mean = |least: u16| {
        let counts = |i: &usize| batch.targets[*i] != NO_TARGET && batch.occurrence[*i] >= least;
        let errors: Vec<f64> = (0..batch.tokens.len())
            .filter(counts)
            .map(|i| f64::from(predicted[i] - batch.value_targets[i]).powi(2))
            .collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    let (row, _) = trainer.evaluate().unwrap();
    assert!((row.values[first] - mean(0)).abs() < 1e-5, "{row:?}");
    assert!((row.values[in_context] - mean(2)).abs() < 1e-5, "{row:?}");
    let subject = Subject { model: &*model, params: &params, source: &*source };
    let asked = |name| {
        measurement::check(&*registry::find("probe", measurement::ALL, name).unwrap(), subject)
    };
    for name in ["outcome", "attention", "query_key", "norms"] {
        assert!(asked(name).is_ok(), "{name}");
    }
    for name in ["predictions", "heads", "logit_lens", "induction"] {
        assert!(asked(name).unwrap_err().message.contains("predicts real numbers"), "{name}");
    }
}

#[test]
fn under_an_intervention_training_on_real_numbers_is_the_same_over_tensors() {
    let trained = |intervention: Option<&str>| {
        let mut trainer = Trainer::new(&experiment()).unwrap();
        if let Some(text) = intervention {
            trainer.intervene(&text.parse().unwrap()).unwrap();
        }
        (0..3).for_each(|_| assert!(trainer.step().unwrap().is_empty()));
        trainer.weights().unwrap()
    };
    // By 1: nothing changes but the way.
    let (taped, tensors) = (trained(None), trained(Some("scale layer1.head0 by 1")));
    let begun = Trainer::new(&experiment()).unwrap().weights().unwrap();
    let mut moved = 0.0_f32;
    for ((taped, tensors), begun) in taped.tensors.iter().zip(&tensors.tensors).zip(&begun.tensors)
    {
        for ((a, b), c) in taped.data.iter().zip(tensors.data.iter()).zip(begun.data.iter()) {
            assert!((a - b).abs() < 1e-4, "{}: {a} against {b}", taped.name);
            moved = moved.max((a - c).abs());
        }
    }
    assert!(moved > 1e-3, "{moved}");
}
