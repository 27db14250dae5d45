//! Real numbers in context: the mixed target with the reduced model of an induction head, affine recurrences, what is measured of them.

use std::path::Path;
use std::sync::Arc;

use mnemoscope::base::batch::{Batch, NO_TARGET, Row};
use mnemoscope::base::event::{Mark, MarkKind};
use mnemoscope::base::intervention::Point;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::base::weights::Weights;
use mnemoscope::model::pass::forward;
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tape::{Numbers, Tape, Workspace};
use mnemoscope::numeric::{formula, regression};
use mnemoscope::panel::flags::phases;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::sweep;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::sweep::Plan;
use mnemoscope::task::components::Components;
use mnemoscope::task::{self, Source};

fn experiment(name: &str, changes: &[&str]) -> Experiment {
    let mut experiment = Experiment::builtin(name).unwrap();
    experiment.set_texts(changes.iter().copied()).unwrap();
    experiment
}

// ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

/// The mixed target as its definition says it, of numbers counted from 1.
fn mixed(x: &[f32], alpha: f64, w: f64) -> [f64; 2] {
    let at = |i: usize| f64::from(x[i - 1]);
    let last = x.len();
    let weight = |s: usize| (w * w * at(last) * at(s - 1)).exp();
    let all: f64 = (2..last).map(weight).sum();
    let mean: f64 = (2..last).map(|s| weight(s) * at(s)).sum::<f64>() / all;
    [alpha / (1.0 + alpha) * at(last - 2), mean / (1.0 + alpha)]
}

#[test]
fn a_mixed_target_is_what_its_definition_says() {
    for (length, alpha, w) in [(4, 1.0, 0.49), (40, 2.5, 1.3), (17, 0.3, 3.0)] {
        let texts =
            [format!("task.length={length}"), format!("task.alpha={alpha}"), format!("task.w={w}")];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let source = experiment("induction-phases", &texts).task.open().unwrap();
        for index in 0..20 {
            let row = source.sequence(3, index);
            let asked: Vec<usize> =
                (0..row.len()).filter(|i| row.targets[*i] != NO_TARGET).collect();
            assert_eq!(asked, [length - 1], "only the last has a target");
            let wanted = mixed(&row.values, alpha, w);
            for (found, wanted) in row.value_targets[2 * length - 2..].iter().zip(wanted) {
                assert!((f64::from(*found) - wanted).abs() < 1e-6 * (1.0 + wanted.abs()));
            }
            assert_eq!(source.label(&row.tokens, &row), row);
        }
    }
}

#[test]
fn gaussian_numbers_are_gaussian() {
    let source = experiment("induction-phases", &["task.length=1000"]).task.open().unwrap();
    let x: Vec<f64> = (0..100).flat_map(|i| source.sequence(1, i).values).map(f64::from).collect();
    let mean = |power: i32| x.iter().map(|x| x.powi(power)).sum::<f64>() / x.len() as f64;
    for (power, wanted, spread) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let allowed = 4.0 * f64::sqrt(spread / x.len() as f64);
        assert!((mean(power) - wanted).abs() < allowed, "moment {power}: {}", mean(power));
    }
    let neighbours = x.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / x.len() as f64;
    assert!(neighbours.abs() < 0.013, "{neighbours}");
}

fn affine() -> Arc<dyn Source> {
    experiment("affine-recurrences", &[]).task.open().unwrap()
}

#[test]
fn an_affine_recurrence_goes_on_as_it_began_and_the_exact_solution_knows_it() {
    let source = affine();
    for index in 0..50 {
        let row = source.sequence(2, index);
        let x: Vec<f64> = row.values.iter().map(|x| f64::from(*x)).collect();
        let a = (x[2] - x[1]) / (x[1] - x[0]);
        let b = x[1] - a * x[0];
        assert!(a.abs() <= 1.0 + 1e-3 && b.abs() <= 1.0 + 1e-3, "a {a}, b {b}");
        assert_eq!(row.targets[..3], [NO_TARGET, NO_TARGET, 0], "from the third number on");
        assert_eq!(row.value_targets[..31], row.values[1..]);
        assert_eq!(source.label(&row.tokens, &row), row);
    }
    // Single precision is all that stands between the exact solution and the next number.
    assert!(reference_error(&*source, "exact") < 1e-9);
    let [copy, line, ridge] =
        ["copy_last", "line", "ridge"].map(|name| reference_error(&*source, name));
    assert!(ridge < 0.1 * copy && copy < line, "ridge {ridge}, copying {copy}, a line {line}");
}

fn reference_error(source: &dyn Source, name: &str) -> f64 {
    let components = source.facet::<Components>().unwrap();
    let reference = components.references.iter().find(|r| r.name == name).unwrap();
    let rows: Vec<Row> = (0..200).map(|i| source.sequence(task::held_out_seed(0), i)).collect();
    let errors: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            let predicted = (reference.predict)(row);
            let asked = (0..row.len()).filter(|i| row.targets[*i] != NO_TARGET);
            asked
                .map(|i| f64::from(predicted[i] - row.value_targets[i]).powi(2))
                .collect::<Vec<_>>()
        })
        .collect();
    errors.iter().sum::<f64>() / errors.len() as f64
}

#[test]
fn a_longer_sequence_has_zeros_after_the_numbers_that_it_replaces() {
    let source = affine();
    let row = source.sequence(0, 0);
    let longer = source.label(&[0; 40], &row);
    assert_eq!((&longer.values[..32], &longer.values[32..]), (&row.values[..], &[0.0; 8][..]));
    let shorter = source.label(&[0; 5], &row);
    assert_eq!(shorter.value_targets[..], row.values[1..6], "the next number is known");
}

// ── the reduced model ────────────────────────────────────────────────────────────────────────────────

const NAMES: [&str; 6] = ["p1", "p2", "g1", "wq", "wk", "g2"];

/// A network of these six numbers, in the order of [`NAMES`].
fn reduced(experiment: &Experiment, six: [f64; 6]) -> Weights {
    let mut weights = Trainer::new(experiment).unwrap().weights().unwrap();
    for (name, value) in NAMES.iter().zip(six) {
        let tensor = weights.tensors.iter_mut().find(|tensor| &*tensor.name == *name).unwrap();
        tensor.data = [value as f32].into();
    }
    weights
}

/// What the six numbers predict, as the definition says it, of numbers counted from 1.
fn predicted(x: &[f32], [p1, p2, g1, wq, wk, g2]: [f64; 6]) -> [f64; 2] {
    let at = |i: usize| f64::from(x[i - 1]);
    let mean =
        |score: &dyn Fn(usize) -> f64, value: &dyn Fn(usize) -> f64, from: usize, to: usize| {
            let highest = (from..to).map(score).fold(f64::NEG_INFINITY, f64::max);
            let weight = |s: usize| (score(s) - highest).exp();
            (from..to).map(|s| weight(s) * value(s)).sum::<f64>()
                / (from..to).map(weight).sum::<f64>()
        };
    let last = x.len();
    let y = |s: usize| mean(&|t| -p1 * (s - 1 - t) as f64, &at, 1, s);
    let fixed = mean(&|s| -p2 * (last - 1 - s) as f64, &y, 2, last);
    let in_context = mean(&|s| wq * wk * at(last) * y(s), &at, 2, last);
    [g1 * fixed, g2 * in_context]
}

fn batch_of(experiment: &Experiment, rows: usize) -> Batch {
    task::batch(&*experiment.task.open().unwrap(), 5, 0, rows)
}

/// Mean over sequences of the squared errors, in double precision.
fn loss(batch: &Batch, six: [f64; 6]) -> f64 {
    let of = |row: Row| {
        let wanted = &row.value_targets[2 * row.len() - 2..];
        let both = predicted(&row.values, six).into_iter().zip(wanted);
        both.map(|(p, w)| (p - f64::from(*w)).powi(2)).sum::<f64>()
    };
    (0..batch.rows).map(|i| of(batch.row(i))).sum::<f64>() / batch.rows as f64
}

/// Loss and gradients of the six numbers, as training has them.
fn gradients(experiment: &Experiment, batch: &Batch, six: [f64; 6]) -> (f64, [f64; 6]) {
    let source = experiment.task.open().unwrap();
    let mut params = Params::new(0);
    let model = experiment.network(&*source, &mut params).unwrap();
    params.load(&reduced(experiment, six)).unwrap();
    let weight: Vec<f32> = batch
        .targets
        .iter()
        .map(|target| if *target == NO_TARGET { 0.0 } else { 1.0 / batch.rows as f32 })
        .collect();
    let work = Workspace::default();
    let numbers = Numbers::of(&params, batch.tokens.len(), &work).unwrap();
    let mut tape = Tape::new(&numbers, batch, &weight);
    assert!(model.record(&mut tape).unwrap());
    let found = tape.backward().unwrap();
    let of = |name: &str| {
        let grad = &found.grads[params.find(name).unwrap().index()];
        f64::from(grad.as_ref().unwrap()[0])
    };
    (found.loss, NAMES.map(of))
}

#[test]
fn six_numbers_predict_and_learn_as_their_formulas_say() {
    for length in [5, 20, 40] {
        let text = format!("task.length={length}");
        let experiment = experiment("induction-phases", &[&text]);
        let batch = batch_of(&experiment, 32);
        for six in [[0.4, 0.3, 0.2, 0.5, 0.7, 0.3], [2.0, 1.5, 0.6, 0.9, 0.2, 0.8]] {
            let (found, gradients) = gradients(&experiment, &batch, six);
            let wanted = loss(&batch, six);
            assert!((found - wanted).abs() < 1e-5 * wanted, "{length}: {found}, {wanted}");
            for (i, gradient) in gradients.into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut six = six;
                    six[i] += by;
                    loss(&batch, six)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (gradient - slope).abs() < 1e-4 * (0.01 + slope.abs()),
                    "length {length}, {}: {gradient} against {slope}",
                    NAMES[i]
                );
            }
        }
    }
}

/// Where the network is the target: a previous-token head, a head two places back, an induction head.
const IDEAL: [f64; 6] = [40.0, 40.0, 0.5, 0.49, 0.49, 0.5];

#[test]
fn with_large_positional_numbers_the_reduced_model_is_the_target_itself() {
    let experiment = experiment("induction-phases", &[]);
    let (error, gradients) = gradients(&experiment, &batch_of(&experiment, 64), IDEAL);
    assert!(error < 1e-10, "{error}");
    assert!(gradients.iter().all(|g| g.abs() < 1e-5), "{gradients:?}");
    let reading =
        asked(&experiment, &reduced(&experiment, IDEAL), &MeasurementCall::new("attention"));
    let first = reading.array("pattern.layer0").unwrap();
    let second = reading.array("pattern.layer1").unwrap();
    for query in 1..40 {
        assert!((first.outer(0)[query * 40 + query - 1] - 1.0).abs() < 1e-6, "position {query}");
    }
    for query in 3..40 {
        let row = |head: usize| &second.outer(head)[query * 40..][..40];
        assert!((row(0)[query - 1] - 1.0).abs() < 1e-6, "the head that minds the distance");
        for row in [row(0), row(1)] {
            assert!(row[0] < 1e-30 && row[query..].iter().all(|weight| *weight == 0.0));
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

fn asked(experiment: &Experiment, weights: &Weights, call: &MeasurementCall) -> Reading {
    let mut instrument = Instrument::new(experiment).unwrap();
    let prompt = Arc::new(instrument.source().sequence(task::held_out_seed(0), 0));
    let readings = instrument.examine(weights, &prompt, &[], std::slice::from_ref(call)).unwrap();
    readings.get(call).unwrap().as_ref().unwrap().as_ref().clone()
}

/// `dL/dw` of one of two equal weights is `-w (w*² - w²) / ((1 + alpha)² L)` of half the squared error, for small weights.
#[test]
fn small_weights_of_the_induction_head_grow_as_the_derivation_says() {
    let experiment = experiment("induction-phases", &["task.length=100"]);
    let (w, target, share) = (0.05, 0.49_f64, 0.5);
    let batch = batch_of(&experiment, 4096);
    let (_, found) = gradients(&experiment, &batch, [40.0, 40.0, share, w, w, share]);
    let derived = -w * (target.powi(2) - w * w) * share * share / 100.0;
    for (name, gradient) in NAMES.iter().zip(found).skip(3).take(2) {
        // Ours is the gradient of the whole squared error.
        assert!(
            (gradient / 2.0 - derived).abs() < 0.1 * derived.abs(),
            "{name}: {gradient}, {derived}"
        );
    }
}

#[test]
fn a_plateau_lasts_as_long_as_the_derivation_says_and_its_end_is_marked() {
    let changes = [
        "task.length=16",
        "model.previous=30",
        "model.start=0.1",
        "train.batch=128",
        "train.rates=wq=2; wk=2",
        "train.evaluate=5",
        "train.held_out=512",
        "train.steps=420",
    ];
    let mut experiment = experiment("induction-phases", &changes);
    experiment.at.clear();
    let mut trainer = Trainer::new(&experiment).unwrap();
    let (mut marks, mut rows) = (Vec::new(), Vec::new());
    while !trainer.is_finished() {
        marks.extend(trainer.step().unwrap());
        if trainer.is_evaluation_due() {
            let (row, set) = trainer.evaluate().unwrap();
            rows.push(row);
            marks.extend(set);
        }
    }
    let step = |id: &str| marks.iter().find(|mark| mark.id == id).map(|mark| mark.step as f64);
    // (1 + alpha)² L / (2 w²) ln(w / start), in steps of one unit.
    let derived = 4.0 * 16.0 / (2.0 * 0.49 * 0.49) * (0.49_f64 / 0.1).ln();
    let formed = step("induction_head").unwrap();
    assert!((formed - derived).abs() < 0.15 * derived, "{formed} against {derived}");
    assert!(step("four_gram_learned").unwrap() < formed);
    assert!(step("plateau_left").unwrap() < formed);
    // The parts add up to the loss, and what is recorded of the six numbers has their signs.
    let column = |name: &str| trainer.columns().iter().position(|c| c == name).unwrap();
    let last = rows.last().unwrap();
    let value = |name: &str| last.values[column(name)];
    let parts = value("squared_error_four_gram") + value("squared_error_induction");
    assert!((value("loss") - parts).abs() < 1e-9);
    let beyond = 1.0 - value("squared_error_induction") / value("squared_error_of_uniform");
    assert!((value("explained_beyond_uniform") - beyond).abs() < 1e-9);
    let weights = trainer.weights().unwrap();
    for name in NAMES {
        let wanted = f64::from(weights.get(name).unwrap().data[0]);
        assert_eq!(value(&format!("value_{name}")), wanted, "{name}");
    }
}

#[test]
fn threads_change_no_bit_of_networks_that_read_numbers() {
    for (name, small) in
        [("induction-phases", "task.length=12"), ("affine-recurrences", "model.width=16")]
    {
        let run = |threads: usize| {
            let threads = format!("train.threads={threads}");
            let mut trainer =
                Trainer::new(&experiment(name, &[small, &threads, "train.batch=24"])).unwrap();
            (0..3).for_each(|_| assert!(trainer.step().is_ok()));
            let numbers = trainer.evaluate().unwrap().0.values;
            (trainer.weights().unwrap(), numbers.into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        let one = run(1);
        assert_eq!(one, run(2), "{name}");
        assert_eq!(one, run(3), "{name}");
    }
}

#[test]
fn a_tensor_learns_at_a_multiple_of_the_rate_and_what_is_none_is_refused() {
    let after = |rates: &str| {
        let rates = format!("train.rates={rates}");
        let mut experiment = experiment("induction-phases", &["train.batch=8", &rates]);
        experiment.at.clear();
        let mut trainer = Trainer::new(&experiment)?;
        trainer.step()?;
        trainer.weights()
    };
    let value =
        |weights: &Weights, name: &str| f64::from(weights.get(name).unwrap().data[0]) - 0.01;
    let (once, more) = (after("").unwrap(), after("g2 = 3; wq=0.5").unwrap());
    for (name, multiple) in [("g1", 1.0), ("g2", 3.0)] {
        let (once, more) = (value(&once, name), value(&more, name));
        assert!((more - multiple * once).abs() < 1e-4 * more.abs(), "{name}: {once}, {more}");
    }
    for (text, says) in [
        ("g3=2", "no tensor \"g3\""),
        ("g1", "expected the name of a tensor"),
        ("g1=-1", "above 0"),
        ("places=2", "never trained"),
    ] {
        let error = after(text).unwrap_err();
        assert!(error.message.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_reduced_model_refuses_what_it_cannot_read() {
    let mut experiment = experiment("affine-recurrences", &[]);
    experiment.set_texts(["model.kind=reduced_induction"]).unwrap();
    let error = Trainer::new(&experiment).err().unwrap();
    assert!(error.message.contains("predicts two, and the task has 1 and 1"), "{error}");
}

// ── errors by the number of terms ────────────────────────────────────────────────────────────────────

#[test]
fn errors_by_the_number_of_terms_are_those_of_the_second_half_of_the_sequences() {
    let experiment =
        experiment("affine-recurrences", &["model.width=16", "train.held_out=40", "train.batch=8"]);
    let mut trainer = Trainer::new(&experiment).unwrap();
    (0..5).for_each(|_| assert!(trainer.step().is_ok()));
    let weights = trainer.weights().unwrap();
    let reading = asked(&experiment, &weights, &MeasurementCall::new("in_context_errors"));
    let source = experiment.task.open().unwrap();
    let mut params = Params::new(0);
    let model = experiment.network(&*source, &mut params).unwrap();
    params.load(&weights).unwrap();
    let batch = task::batch(&*source, task::held_out_seed(0), 0, 40);
    let scores = mnemoscope::base::intervention::Site { layer: 1, point: Point::Scores };
    let (logits, captured) = forward(&*model, &params, &batch, &[], &[scores], true).unwrap();
    let logits: Vec<f32> = logits.unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let error = |rows: std::ops::Range<usize>, at: usize, of: &dyn Fn(usize) -> f32| {
        let all: Vec<f64> = rows
            .map(|row| f64::from(of(row * 32 + at) - batch.value_targets[row * 32 + at]).powi(2))
            .collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let found = |name: &str| reading.array(name).unwrap().data.clone();
    assert!(found("error.network")[..2].iter().all(|e| e.is_nan()), "too early to know");
    for at in 2..32 {
        let wanted = error(20..40, at, &|i| logits[i]);
        assert!((f64::from(found("error.network")[at]) - wanted).abs() < 1e-5 * wanted);
        let copied = error(20..40, at, &|i| batch.values[i]);
        assert!(
            (f64::from(found("error.reference.copy_last")[at]) - copied).abs()
                < 1e-5 * copied.max(1e-9)
        );
    }
    // What the last layer knows is at least what the network says of it, and a fit to others costs a little.
    let mean = |name: &str| found(name)[2..].iter().map(|e| f64::from(*e)).sum::<f64>() / 30.0;
    assert!(mean("error.layer2") < 1.2 * mean("error.network"));
    // Slopes of scores, by the definition.
    let scores: Vec<f32> = captured[&scores].flatten_all().unwrap().to_vec1().unwrap();
    for head in 0..4 {
        let (mut both, mut squares) = (0.0, 0.0);
        for row in 0..40 {
            let x = &batch.values[row * 32..][..32];
            for query in 2..32 {
                let s = &scores[((row * 4 + head) * 32 + query) * 32..][..=query];
                let alike: Vec<f64> =
                    x[..=query].iter().map(|key| -f64::from((x[query] - key).abs())).collect();
                let mean = alike.iter().sum::<f64>() / alike.len() as f64;
                both += s.iter().zip(&alike).map(|(s, a)| f64::from(*s) * (a - mean)).sum::<f64>();
                squares += alike.iter().map(|a| (a - mean).powi(2)).sum::<f64>();
            }
        }
        let slope = f64::from(reading.array("slope.distance").unwrap().data[4 + head]);
        assert!(
            (slope - both / squares).abs() < 1e-3 * (1e-3 + slope.abs()),
            "{slope}, {}",
            both / squares
        );
    }
    // A head that is cut: by an intervention in training's own words.
    let cut: mnemoscope::base::intervention::Intervention = "zero layer0.head1".parse().unwrap();
    let edit = mnemoscope::nn::edit::Edit::of(&cut, &params).unwrap();
    let edits: Vec<_> = edit.into_iter().collect();
    let (without, _) = forward(&*model, &params, &batch, &edits, &[], true).unwrap();
    let without: Vec<f32> = without.unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let all =
        |of: &dyn Fn(usize) -> f32| (2..32).map(|at| error(0..40, at, of)).sum::<f64>() / 30.0;
    let wanted = all(&|i| without[i]) - all(&|i| logits[i]);
    let grown = f64::from(reading.array("ablated").unwrap().data[1]);
    assert!((grown - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{grown}, {wanted}");
}

// ── what they stand on ───────────────────────────────────────────────────────────────────────────────

#[test]
fn ridge_regression_finds_weights_and_pays_for_their_squares() {
    let x: Vec<f32> = (0..60).map(|i| ((i * i * 7 + 3 * i) % 23) as f32 / 11.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks_exact(3).map(|x| 2.0 * x[0] - x[1] + 0.5 * x[2] - 3.0).collect();
    let found = regression::ridge(&x, &y, 1e-9).unwrap();
    for (found, wanted) in found.iter().zip([2.0, -1.0, 0.5, -3.0]) {
        assert!((found - wanted).abs() < 1e-4, "{found}, {wanted}");
    }
    // The slope of the penalised sum is 0 at its minimum.
    let penalty = 2.0;
    let held = regression::ridge(&x, &y, penalty).unwrap();
    for i in 0..3 {
        let residuals = x.chunks_exact(3).zip(&y);
        let slope: f64 = residuals
            .map(|(x, y)| (regression::value(&held, x) - f64::from(*y)) * f64::from(x[i]))
            .sum::<f64>()
            + penalty * held[i];
        assert!(slope.abs() < 1e-6, "{slope}");
    }
    assert_eq!(regression::ridge(&[1.0, 1.0], &[1.0], 0.0), None, "one example, three numbers");
}

#[test]
fn formulas_keep_the_order_of_operations_and_say_what_they_cannot_read() {
    let named = |name: &str| match name {
        "task.length" => Some(40.0),
        "w" => Some(0.5),
        _ => None,
    };
    for (text, wanted) in [
        ("1 + 2 * 3^2", 19.0),
        ("-2^2", -4.0),
        ("2^-1 * 4", 2.0),
        ("2^3^0", 2.0),
        ("8 / 2 / 2 - 1 - 1", 0.0),
        ("(1+1)^2*task.length/(2*w^2)*ln(w/0.5)", 0.0),
        ("ln(1e0) + 0.25", 0.25),
    ] {
        assert!((formula::value(text, &named).unwrap() - wanted).abs() < 1e-12, "{text}");
    }
    assert_eq!(formula::value("ln(x)", &|_| Some(1.0)), Ok(0.0), "ln is no name");
    let deep = "(".repeat(10_000);
    for (text, says) in [
        ("1 +", "read the end, expected a number"),
        ("task.width * 2", "the name of one"),
        ("(1", "a closing parenthesis"),
        ("2 w", "an operator or the end"),
        ("ln 2", "( after ln"),
        (&deep, "at most 64"),
    ] {
        let error = formula::value(text, &named).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn sweeps_of_the_plateau_stand_beside_what_is_derived() {
    for (name, setting, values) in [
        ("plateau-length", "task.length", [12.0, 32.0]),
        ("plateau-start", "model.start", [0.0001, 0.1]),
        ("plateau-w", "task.w", [0.35, 0.6]),
        ("plateau-alpha", "task.alpha", [0.25, 1.5]),
    ] {
        let plan = sweep::planned(Path::new(name)).unwrap().unwrap();
        assert_eq!(plan.settings.len(), 1, "{name}");
        let (path, tried) = &plan.settings[0];
        assert_eq!(path, setting);
        let as_number = |value: &toml::Value| {
            value.as_float().or_else(|| value.as_integer().map(|i| i as f64)).unwrap()
        };
        assert_eq!([&tried[0], &tried[tried.len() - 1]].map(as_number), values, "{name}");
        let (number, text) = plan.expected[0].clone();
        assert_eq!(number, "formed_induction_head");
        // The document keeps what is expected, and says what a formula names that is none of its settings.
        let again = Plan::parse(&plan.to_toml(), Path::new("again")).unwrap();
        assert_eq!(again.expected, plan.expected);
        let wrong = vec![(number.clone(), text.replace("model.start", "model.stort"))];
        let error = plan.clone().with_expected(wrong).unwrap().check_expected().unwrap_err();
        assert!(error.message.contains("the name of one"), "{error}");
        let none = plan.with_expected(vec![(number.clone(), "2 +".to_owned())]).unwrap_err();
        assert!(none.message.contains("read the end"), "{none}");
    }
}

#[test]
fn phases_end_where_their_marks_stand() {
    let mark = |step: u64, kind: MarkKind, id: &str| Mark {
        step,
        kind,
        id: id.to_owned(),
        text: String::new(),
    };
    let formed = |step: u64, id: &str| mark(step, MarkKind::Emergence, id);
    let mut marks =
        vec![mark(400, MarkKind::Intervention, "unfreeze p2"), formed(600, "four_gram_learned")];
    let ends =
        |marks: &[Mark]| phases(marks, 3000).iter().map(|p| (p.from, p.to)).collect::<Vec<_>>();
    assert_eq!(ends(&marks), [(400, 600), (600, 3000)]);
    marks.extend([
        formed(1200, "plateau_left"),
        formed(1700, "induction_head"),
        formed(1800, "in_context_learned"),
    ]);
    assert_eq!(ends(&marks), [(400, 600), (600, 1200), (1200, 1800), (1800, 3000)]);
    assert_eq!(phases(&marks[3..4], 3000), [], "marks of other experiments tell of none");
}
