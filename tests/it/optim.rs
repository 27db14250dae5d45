//! Optimisers against sequences computed by hand or in double precision, schedules, clipping, resuming.

use mnemoscope::base::error::Kind;
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::optim::{Gradients, Optimizer, OptimizerSettings, RateSchedule, Rule};
use mnemoscope::nn::params::Params;

const SGD: OptimizerSettings =
    OptimizerSettings { rule: Rule::Sgd { momentum: 0.9 }, decay: 0.1, clip: 0.0 };
const ADAMW: OptimizerSettings =
    OptimizerSettings { rule: Rule::AdamW { beta1: 0.9, beta2: 0.99 }, decay: 0.1, clip: 0.0 };

fn pool() -> Pool {
    Pool::new(2).unwrap()
}

fn params(values: &[(&str, &[f32])]) -> Params {
    let mut params = Params::new(0);
    for (name, values) in values {
        params.add_values(name, &[values.len()], values.to_vec(), true).unwrap();
    }
    params
}

fn values(params: &Params, name: &str) -> Vec<f32> {
    params.var(params.find(name).unwrap()).unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((f64::from(*a) - b).abs() <= 2e-6 * b.abs().max(1e-3), "{a} against {b}");
    }
}

/// Gradient of step `t` at coordinate `i`: some numbers that change sign.
fn gradient(t: usize, i: usize) -> f32 {
    ((t * 7 + i * 3) as f32 * 0.77).sin()
}

fn gradients(t: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| gradient(t, i)).collect()
}

#[test]
fn sgd_follows_the_rule_of_torch_by_hand() {
    let params = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    // g = 0.5 + 0.1 * 1 = 0.6; v = 0.6; w = 1 - 0.2 * 0.6 = 0.88
    optimizer.step(&pool(), &params, &mut vec![Some(vec![0.5])], 0.2).unwrap();
    assert_close(&values(&params, "w"), &[0.88]);
    // g = -1 + 0.088 = -0.912; v = 0.54 - 0.912 = -0.372; w = 0.88 + 0.2 * 0.372 = 0.9544
    optimizer.step(&pool(), &params, &mut vec![Some(vec![-1.0])], 0.2).unwrap();
    assert_close(&values(&params, "w"), &[0.9544]);
}

#[test]
fn adamw_follows_its_rule_in_double_precision() {
    let start = [1.0f32, -0.5, 0.0, 2.0];
    let params = params(&[("w", &start)]);
    let mut optimizer = Optimizer::new(ADAMW);
    let mut theta = start.map(f64::from);
    let (mut m, mut v) = ([0.0f64; 4], [0.0f64; 4]);
    for t in 1..=50i32 {
        let rate = 0.01 * f64::from(t);
        let grads = gradients(t as usize, 4);
        optimizer.step(&pool(), &params, &mut vec![Some(grads.clone())], rate).unwrap();
        for i in 0..4 {
            let g = f64::from(grads[i]);
            theta[i] -= rate * 0.1 * theta[i];
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.99 * v[i] + 0.01 * g * g;
            let (m, v) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.99f64.powi(t)));
            theta[i] -= rate * m / (v.sqrt() + 1e-8);
        }
    }
    for (got, want) in values(&params, "w").iter().zip(theta) {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{got} against {want}");
    }
}

#[test]
fn decay_is_coupled_in_sgd_and_decoupled_in_adamw() {
    // Without a gradient, coupled decay goes through the momentum: the second step is 1.9 times the first.
    let sgd = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    optimizer.step(&pool(), &sgd, &mut vec![Some(vec![0.0])], 0.01).unwrap();
    assert_close(&values(&sgd, "w"), &[0.999]);
    optimizer.step(&pool(), &sgd, &mut vec![Some(vec![0.0])], 0.01).unwrap();
    assert_close(&values(&sgd, "w"), &[0.999 - 0.01 * (0.09 + 0.0999)]);
    // Decoupled decay shrinks by the same factor each time, and never enters the moments.
    let adamw = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(ADAMW);
    for _ in 0..3 {
        optimizer.step(&pool(), &adamw, &mut vec![Some(vec![0.0])], 0.01).unwrap();
    }
    assert_close(&values(&adamw, "w"), &[0.999f64.powi(3)]);
}

#[test]
fn a_frozen_parameter_does_not_move_and_starts_afresh_once_released() {
    for settings in [SGD, ADAMW] {
        let mut params = params(&[("free", &[1.0, 2.0]), ("held", &[1.0, 2.0])]);
        let mut optimizer = Optimizer::new(settings);
        let step = |params: &Params, optimizer: &mut Optimizer, t| {
            let mut grads = vec![Some(gradients(t, 2)), Some(gradients(t, 2))];
            optimizer.step(&pool(), params, &mut grads, 0.1).unwrap();
        };
        step(&params, &mut optimizer, 0);
        params.set_frozen("held", true).unwrap();
        let before = values(&params, "held");
        step(&params, &mut optimizer, 1);
        step(&params, &mut optimizer, 2);
        assert_eq!(values(&params, "held"), before, "frozen: no gradient, no momentum, no decay");
        params.set_frozen("held", false).unwrap();
        step(&params, &mut optimizer, 3);
        // The same as an optimiser that never saw it before.
        let alone = self::params(&[("held", &before)]);
        Optimizer::new(settings)
            .step(&pool(), &alone, &mut vec![Some(gradients(3, 2))], 0.1)
            .unwrap();
        assert_eq!(values(&params, "held"), values(&alone, "held"));
    }
}

#[test]
fn a_parameter_without_a_gradient_keeps_its_numbers_and_its_momentum() {
    let params = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    optimizer.step(&pool(), &params, &mut vec![Some(vec![0.5])], 0.2).unwrap();
    optimizer.step(&pool(), &params, &mut vec![None], 0.2).unwrap();
    optimizer.step(&pool(), &params, &mut vec![Some(vec![-1.0])], 0.2).unwrap();
    assert_close(&values(&params, "w"), &[0.9544]);
}

#[test]
fn restoring_the_state_continues_bit_for_bit() {
    for settings in [SGD, ADAMW] {
        let whole = params(&[("a", &[1.0, -2.0, 3.0]), ("b", &[0.5])]);
        let mut optimizer = Optimizer::new(settings);
        let step = |params: &Params, optimizer: &mut Optimizer, t| {
            // The second parameter takes part only later: it has another count of updates.
            let late = (t > 2).then(|| gradients(t + 1, 1));
            optimizer.step(&pool(), params, &mut vec![Some(gradients(t, 3)), late], 0.05).unwrap();
        };
        (0..5).for_each(|t| step(&whole, &mut optimizer, t));
        let state = optimizer.state(&whole);
        let resumed = params(&[("a", &values(&whole, "a")), ("b", &values(&whole, "b"))]);
        let mut second = Optimizer::new(settings);
        second.restore(&resumed, &state).unwrap();
        (5..9).for_each(|t| step(&whole, &mut optimizer, t));
        (5..9).for_each(|t| step(&resumed, &mut second, t));
        for name in ["a", "b"] {
            assert_eq!(values(&whole, name), values(&resumed, name));
        }
        assert_eq!(optimizer.state(&whole), second.state(&resumed));
    }
}

#[test]
fn a_state_of_another_shape_is_refused_by_name() {
    let small = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    optimizer.step(&pool(), &small, &mut vec![Some(vec![1.0])], 0.1).unwrap();
    let large = params(&[("w", &[1.0, 2.0])]);
    let error = Optimizer::new(SGD).restore(&large, &optimizer.state(&small)).unwrap_err();
    assert!(error.to_string().contains("w.moment1"), "{error}");
}

#[test]
fn gradients_that_do_not_fit_are_refused_before_anything_moves() {
    let params = params(&[("a", &[1.0]), ("b", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    let mut grads = vec![Some(vec![1.0]), Some(vec![1.0, 2.0])];
    assert!(optimizer.step(&pool(), &params, &mut grads, 0.1).is_err());
    assert_eq!(values(&params, "a"), [1.0]);
}

#[test]
fn clipping_scales_the_whole_gradient_to_the_largest_norm() {
    let moved = |largest: f64| {
        let params = params(&[("a", &[0.0, 0.0]), ("still", &[0.0]), ("b", &[0.0])]);
        let mut optimizer = Optimizer::new(OptimizerSettings { clip: largest, ..SGD });
        let mut grads: Gradients = vec![Some(vec![3.0, 0.0]), None, Some(vec![4.0])];
        let norms = optimizer.step(&pool(), &params, &mut grads, 1.0).unwrap();
        assert_eq!((norms[0], norms[2]), (3.0, 4.0), "norms are those before clipping");
        assert!(norms[1].is_nan());
        [values(&params, "a"), values(&params, "b")].concat()
    };
    assert_close(&moved(0.0), &[-3.0, 0.0, -4.0]);
    assert_close(&moved(10.0), &[-3.0, 0.0, -4.0]);
    assert_close(&moved(1.0), &[-0.6, 0.0, -0.8]);
}

#[test]
fn many_threads_update_as_one_does() {
    // More numbers than one thread does alone.
    let count = 50_000;
    let start = gradients(0, count);
    for settings in [SGD, ADAMW] {
        let large = params(&[("a", &start), ("b", &start), ("c", &start)]);
        let mut optimizer = Optimizer::new(settings);
        let small: Vec<Params> = (0..3).map(|_| params(&[("w", &start)])).collect();
        let mut alone: Vec<Optimizer> = (0..3).map(|_| Optimizer::new(settings)).collect();
        for t in 1..4 {
            let grads: Vec<Vec<f32>> = (0..3).map(|i| gradients(t + 10 * i, count)).collect();
            let mut all: Gradients = grads.iter().cloned().map(Some).collect();
            optimizer.step(&pool(), &large, &mut all, 0.1).unwrap();
            for ((grad, params), optimizer) in grads.into_iter().zip(&small).zip(&mut alone) {
                optimizer.step(&pool(), params, &mut vec![Some(grad)], 0.1).unwrap();
            }
        }
        for (name, params) in ["a", "b", "c"].iter().zip(&small) {
            assert_eq!(values(&large, name), values(params, "w"));
        }
    }
}

#[test]
fn what_leaves_the_finite_numbers_is_refused_and_taken_back() {
    let params = params(&[("a", &[1.0]), ("b", &[2.0])]);
    let mut optimizer = Optimizer::new(SGD);
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut grads = vec![Some(vec![0.5]), Some(vec![wrong])];
        let error = optimizer.step(&pool(), &params, &mut grads, 0.1).unwrap_err();
        assert_eq!(error.kind, Kind::Diverged);
        assert!(error.to_string().contains("gradient of b"), "{error}");
    }
    let mut grads = vec![Some(vec![0.5]), Some(vec![1e30])];
    let error = optimizer.step(&pool(), &params, &mut grads, 1e30).unwrap_err();
    assert_eq!(error.kind, Kind::Diverged);
    assert_eq!((values(&params, "a"), values(&params, "b")), (vec![1.0], vec![2.0]));
}

#[test]
fn a_frozen_gradient_does_not_count_when_clipping() {
    let mut params = params(&[("free", &[0.0]), ("held", &[0.0])]);
    params.set_frozen("held", true).unwrap();
    let mut optimizer = Optimizer::new(OptimizerSettings { clip: 1.0, ..SGD });
    let mut grads = vec![Some(vec![1.0]), Some(vec![100.0])];
    assert_eq!(optimizer.step(&pool(), &params, &mut grads, 1.0).unwrap()[0], 1.0);
    assert_close(&values(&params, "free"), &[-1.0]);
}

#[test]
fn another_rule_begins_with_fresh_moments() {
    let changed = params(&[("w", &[1.0])]);
    let mut optimizer = Optimizer::new(SGD);
    optimizer.step(&pool(), &changed, &mut vec![Some(vec![0.5])], 0.2).unwrap();
    let fresh = params(&[("w", &values(&changed, "w"))]);
    optimizer.set(ADAMW);
    optimizer.step(&pool(), &changed, &mut vec![Some(vec![0.5])], 0.2).unwrap();
    Optimizer::new(ADAMW).step(&pool(), &fresh, &mut vec![Some(vec![0.5])], 0.2).unwrap();
    assert_eq!(values(&changed, "w"), values(&fresh, "w"));
}

#[test]
fn the_rate_warms_up_and_falls_to_a_tenth_at_the_last_step() {
    let constant = RateSchedule { rate: 2.0, warmup: 0, cosine_over: None, cosine_to: 0.1 };
    assert_eq!((constant.at(0), constant.at(1_000_000)), (2.0, 2.0));
    let warm = RateSchedule { warmup: 4, ..constant };
    let rates: Vec<f64> = (0..6).map(|t| warm.at(t)).collect();
    assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]);
    let cosine = RateSchedule { cosine_over: Some(105), ..warm };
    assert_eq!(cosine.at(3), 2.0);
    assert_eq!(cosine.at(4), 2.0);
    assert!((cosine.at(54) - 1.1).abs() < 1e-12, "half way: the mean of 2 and 0.2");
    assert!((cosine.at(104) - 0.2).abs() < 1e-12, "a tenth at the last step");
    assert!((cosine.at(500) - 0.2).abs() < 1e-12, "and from then on");
    let low = RateSchedule { cosine_to: 0.01, ..cosine };
    assert!((low.at(54) - 1.01).abs() < 1e-12 && (low.at(104) - 0.02).abs() < 1e-12);
    // A schedule with no room after its warm-up stays finite.
    let short = RateSchedule { rate: 1.0, warmup: 5, cosine_over: Some(5), ..constant };
    assert!((0..10).all(|t| (0.1..=1.0).contains(&short.at(t)) || t < 5 && short.at(t) > 0.0));
}
