//! The same experiment and seed give the same numbers, whatever the machine does besides.

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{NO_TARGET, Row};
use mnemoscope::model::{Input, Sequences};
use mnemoscope::nn::loss::plain;
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::Untapped;
use mnemoscope::run::trainer::Trainer;

use super::tiny::{tiny, train, with};

fn bits(trainer: &Trainer) -> Vec<u32> {
    let weights = trainer.weights().unwrap();
    weights.tensors.iter().flat_map(|t| t.data.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn the_same_seed_twice_gives_the_same_rows_and_weights() {
    let run = || {
        let mut trainer = Trainer::new(&tiny()).unwrap();
        let (rows, _) = train(&mut trainer, 9);
        (format!("{rows:?}"), bits(&trainer))
    };
    let (first, second) = (run(), run());
    assert!(first.0.contains("step: 9"), "{}", first.0);
    assert_eq!(first, second);
}

#[test]
fn another_seed_gives_other_rows() {
    let run = |seed: &str| {
        let mut trainer = Trainer::new(&with(&[seed])).unwrap();
        format!("{:?}", train(&mut trainer, 3).0)
    };
    assert_ne!(run("train.seed=0"), run("train.seed=1"));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads: &str| {
        let mut trainer = Trainer::new(&with(&[threads])).unwrap();
        let (rows, _) = train(&mut trainer, 6);
        (format!("{rows:?}"), bits(&trainer))
    };
    let one = run("train.threads=1");
    assert_eq!(one, run("train.threads=2"));
    assert_eq!(one, run("train.threads=5"));
}

/// What one step of plain gradient descent at rate 1 takes away: the gradient of the first batch.
fn update(settings: &[&str]) -> Vec<f64> {
    let plain = ["train.rate=1", "train.momentum=0", "train.decay=0"];
    let mut trainer = Trainer::new(&with(&[&plain, settings].concat())).unwrap();
    let before = trainer.weights().unwrap();
    trainer.step().unwrap();
    let after = trainer.weights().unwrap();
    let pairs = before.tensors.iter().zip(&after.tensors);
    pairs
        .flat_map(|(b, a)| b.data.iter().zip(a.data.iter()))
        .map(|(b, a)| f64::from(*b) - f64::from(*a))
        .collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[track_caller]
fn assert_same(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let apart: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    assert!(norm(&apart) < 1e-5 * norm(b), "{what}: {} of {}", norm(&apart), norm(b));
}

#[test]
fn plans_of_shards_agree_on_the_update_to_rounding() {
    // Of 7 sequences shards of 2, 4 and 5 leave a smaller last one; of repeated outputs each holds another number.
    for over in ["train.loss=all", "train.loss=repeated"] {
        let plan = |shard: &str| update(&["task.length=64", "train.batch=7", over, shard]);
        let whole = plan("train.shard=7");
        for shard in ["train.shard=1", "train.shard=2", "train.shard=4", "train.shard=5"] {
            assert_same(&plan(shard), &whole, &format!("{over}, {shard}"));
        }
    }
}

#[test]
fn a_batch_of_512_in_uneven_shards_gives_the_same_update() {
    let plan = |shard: &str| {
        let small = ["model.layers=1", "model.heads=1", "model.width=8", "task.length=32"];
        update(&[&small[..], &["train.batch=512", "train.loss=repeated", shard]].concat())
    };
    assert_same(&plan("train.shard=100"), &plan("train.shard=256"), "shards of 100 and of 256");
}

#[test]
fn a_checkpoint_goes_on_bit_for_bit() {
    for settings in [&["train.optimizer=sgd"][..], &["train.optimizer=adamw", "train.rate=0.01"]] {
        let experiment = with(settings);
        let mut whole = Trainer::new(&experiment).unwrap();
        let (rows, _) = train(&mut whole, 12);
        let mut first = Trainer::new(&experiment).unwrap();
        train(&mut first, 7);
        let mut second = Trainer::resume(&experiment, &first.checkpoint().unwrap()).unwrap();
        let (later, _) = train(&mut second, 12);
        assert_eq!(format!("{:?}", &rows[2..]), format!("{later:?}"));
        assert_eq!(bits(&whole), bits(&second));
    }
}

/// The gradient of the first batch of an experiment, each position weighted as `counts` says by its target and its
/// occurrence number: one pass over the whole batch, the loss in candle's own operations.
fn gradient(settings: &[&str], counts: impl Fn(u32, u16) -> bool) -> Vec<f64> {
    let experiment = with(settings);
    let source = experiment.task.open().unwrap();
    let mut params = Params::new(experiment.train.seed as u64);
    let model = experiment
        .model
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
        .unwrap();
    let rows: Vec<Row> = (0..experiment.train.batch as u64)
        .map(|i| source.sequence(experiment.train.seed as u64, i))
        .collect();
    let positions = || rows.iter().flat_map(|row| row.targets.iter().zip(&row.occurrence));
    let chosen: Vec<f32> = positions().map(|(t, o)| f32::from(u8::from(counts(*t, *o)))).collect();
    let count: f32 = chosen.iter().sum();
    let weight: Vec<f32> = chosen.iter().map(|c| c / count).collect();
    let targets: Vec<u32> = positions().map(|(target, _)| *target).collect();
    let tokens: Vec<u32> = rows.iter().flat_map(|row| row.tokens.clone()).collect();
    let tokens = Tensor::from_vec(tokens, (rows.len(), source.length()), &Device::Cpu).unwrap();
    let output = model.forward(&params, &Input::new(&tokens), &mut Untapped).unwrap();
    let loss = plain::cross_entropy(&output.logits, &targets, &weight).unwrap();
    let grads = loss.backward().unwrap();
    let of = |param| {
        let grad = grads.get(params.var(param).unwrap().as_tensor()).unwrap();
        grad.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    params.all().flat_map(of).map(f64::from).collect()
}

#[test]
fn the_loss_over_repeated_outputs_counts_no_other_position() {
    let settings = ["task.length=64", "train.batch=5", "train.loss=repeated"];
    let step = update(&settings);
    assert_same(&step, &gradient(&settings, |_, occurrence| occurrence >= 2), "repeated outputs");
    let first_too = gradient(&settings, |_, occurrence| occurrence >= 1);
    let apart: Vec<f64> = step.iter().zip(&first_too).map(|(a, b)| a - b).collect();
    assert!(norm(&apart) > 0.01 * norm(&step), "first occurrences would be seen");
}

#[test]
fn the_loss_over_all_positions_counts_every_one_that_has_a_target() {
    let settings = ["task.length=64", "train.batch=5", "train.loss=all"];
    let with_targets = gradient(&settings, |target, _| target != NO_TARGET);
    assert_same(&update(&settings), &with_targets, "all positions");
}

#[test]
fn a_batch_without_repeated_outputs_changes_nothing() {
    // A single trigger rarely comes twice within 20 characters: some batches have nothing in the loss at all.
    let rare = ["task.choice=random", "task.triggers=1", "train.batch=1", "train.loss=repeated"];
    let experiment = with(&[&rare[..], &["train.decay=0", "train.momentum=0"]].concat());
    let source = experiment.task.open().unwrap();
    let mut trainer = Trainer::new(&experiment).unwrap();
    let mut without = 0;
    for step in 0..12 {
        let before = bits(&trainer);
        trainer.step().unwrap();
        let row = source.sequence(experiment.train.seed as u64, step);
        let counts = row.occurrence.iter().any(|o| *o >= 2);
        assert_eq!(bits(&trainer) != before, counts, "step {step}");
        without += u32::from(!counts);
    }
    assert!((1..12).contains(&without), "{without} of 12 batches have none");
}

#[test]
fn a_step_that_diverges_leaves_the_last_good_weights() {
    let mut trainer =
        Trainer::new(&with(&["train.rate=100", "train.decay=10", "train.momentum=0.9999"]))
            .unwrap();
    let mut last = bits(&trainer);
    let error = loop {
        match trainer.step() {
            Ok(_) => last = bits(&trainer),
            Err(e) => break e,
        }
        assert!(trainer.steps_done() < 1000, "it never diverges");
    };
    assert_eq!(error.kind, mnemoscope::base::error::Kind::Diverged);
    assert!(error.message.contains("train.rate"), "{error}");
    assert_eq!(last, bits(&trainer));
    assert!(trainer.weights().unwrap().first_not_finite().is_none());
}

#[test]
fn norms_of_gradients_are_those_of_the_last_update() {
    // Plain descent at rate 1 moves every tensor by its gradient, clipped or not.
    let plain = ["train.rate=1", "train.momentum=0", "train.decay=0"];
    let mut trainer = Trainer::new(&with(&plain)).unwrap();
    let columns = trainer.columns().to_vec();
    let norms = |trainer: &mut Trainer| {
        let row = trainer.evaluate().unwrap().0;
        let all = columns.iter().zip(row.values);
        let norms = all.filter_map(|(c, v)| Some((c.strip_prefix("grad_norm_")?.to_owned(), v)));
        norms.collect::<Vec<(String, f64)>>()
    };
    assert!(norms(&mut trainer).iter().all(|(_, norm)| norm.is_nan()), "no update yet");
    trainer.intervene(&"freeze layer1.wk".parse().unwrap()).unwrap();
    let before = trainer.weights().unwrap();
    trainer.step().unwrap();
    let after = trainer.weights().unwrap();
    let found = norms(&mut trainer);
    assert_eq!(found.len(), before.tensors.iter().filter(|t| t.trained).count());
    for (name, norm) in &found {
        let moved: f64 = before
            .get(name)
            .unwrap()
            .data
            .iter()
            .zip(&*after.get(name).unwrap().data)
            .map(|(b, a)| f64::from(a - b).powi(2))
            .sum::<f64>()
            .sqrt();
        match name.as_str() {
            "layer1.wk" => assert!(norm.is_nan()),
            _ => assert!((norm - moved).abs() < 1e-4 * moved + 1e-6, "{name}: {norm}, {moved}"),
        }
    }
    // Clipping makes the step smaller, not the gradient.
    let mut clipped = Trainer::new(&with(&[&plain[..], &["train.clip=0.001"]].concat())).unwrap();
    clipped.intervene(&"freeze layer1.wk".parse().unwrap()).unwrap();
    clipped.step().unwrap();
    assert_eq!(format!("{:?}", norms(&mut clipped)), format!("{found:?}"));
    // A resumed run still knows them.
    let experiment = with(&plain);
    let mut again = Trainer::resume(&experiment, &trainer.checkpoint().unwrap()).unwrap();
    assert_eq!(format!("{:?}", norms(&mut again)), format!("{found:?}"));
}
