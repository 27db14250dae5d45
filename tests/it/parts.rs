//! Norms, positions and activations: each kernel against its plain twin, known values and its own gradient.

use candle_core::{Device, Tensor, Var};
use mnemoscope::Result;
use mnemoscope::nn::activation::{self, Activation, swiglu};
use mnemoscope::nn::norm::{self, layer_norm, rms_norm};
use mnemoscope::nn::params::{Init, draw};
use mnemoscope::nn::position::{Rotary, add_positions, sinusoidal};

const ALL: [Activation; 5] = [
    Activation::GeluTanh,
    Activation::GeluErf,
    Activation::Relu,
    Activation::Tanh,
    Activation::Sigmoid,
];

fn variable(name: &str, shape: &[usize]) -> Var {
    let values = draw(7, name, shape.iter().product(), Init::Normal(1.0));
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "number {i}: {a} against {b}");
    }
}

/// Values and gradients of two functions of the same variables agree, under a random cotangent.
#[track_caller]
fn assert_twins(
    inputs: &[Var],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let (fused, plain) = (fused(&tensors).unwrap(), plain(&tensors).unwrap());
    assert_eq!(fused.dims(), plain.dims());
    assert_close(&numbers(&fused), &numbers(&plain), 2e-6);
    let weights = variable("cotangent", fused.dims()).as_detached_tensor();
    let backward = |x: &Tensor| (x * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let (fused, plain) = (backward(&fused), backward(&plain));
    for input in inputs {
        let gradient = |grads: &candle_core::backprop::GradStore| {
            numbers(grads.get(input.as_tensor()).expect("every input has a gradient"))
        };
        assert_close(&gradient(&fused), &gradient(&plain), 2e-5);
    }
}

#[test]
fn layer_norm_equals_its_plain_twin_with_and_without_parameters() {
    // A width that no lane count divides.
    let x = variable("x", &[2, 3, 13]);
    let (weight, bias) = (variable("weight", &[13]), variable("bias", &[13]));
    assert_twins(
        &[x.clone(), weight.clone(), bias],
        |v| layer_norm(&v[0], Some(&v[1]), Some(&v[2])),
        |v| norm::plain::layer_norm(&v[0], Some(&v[1]), Some(&v[2])),
    );
    assert_twins(
        &[x.clone(), weight],
        |v| layer_norm(&v[0], Some(&v[1]), None),
        |v| norm::plain::layer_norm(&v[0], Some(&v[1]), None),
    );
    assert_twins(
        &[x],
        |v| layer_norm(&v[0], None, None),
        |v| norm::plain::layer_norm(&v[0], None, None),
    );
}

#[test]
fn rms_norm_equals_its_plain_twin_with_and_without_a_weight() {
    let (x, weight) = (variable("x", &[2, 3, 16]), variable("weight", &[16]));
    assert_twins(
        &[x.clone(), weight],
        |v| rms_norm(&v[0], Some(&v[1])),
        |v| norm::plain::rms_norm(&v[0], Some(&v[1])),
    );
    assert_twins(&[x], |v| rms_norm(&v[0], None), |v| norm::plain::rms_norm(&v[0], None));
}

#[test]
fn norms_read_a_transposed_tensor_as_it_is_meant() {
    let x = variable("x", &[2, 3, 8]);
    assert_twins(
        &[x],
        |v| layer_norm(&v[0].transpose(1, 2)?, None, None),
        |v| norm::plain::layer_norm(&v[0].transpose(1, 2)?, None, None),
    );
}

#[test]
fn a_normalised_row_has_mean_0_and_variance_1() {
    let x = Tensor::new(&[[1f32, 2.0, 3.0, 6.0]], &Device::Cpu).unwrap();
    // Mean 3, variance 3.5; mean square 12.5.
    let layer: Vec<f32> = [-2f32, -1.0, 0.0, 3.0].map(|d| d / (3.5f32 + 1e-5).sqrt()).to_vec();
    assert_close(&numbers(&layer_norm(&x, None, None).unwrap()), &layer, 1e-6);
    let rms: Vec<f32> = [1f32, 2.0, 3.0, 6.0].map(|d| d / (12.5f32 + 1e-5).sqrt()).to_vec();
    assert_close(&numbers(&rms_norm(&x, None).unwrap()), &rms, 1e-6);
}

#[test]
fn activations_equal_their_plain_twins() {
    for activation in ALL {
        assert_twins(
            &[variable("x", &[3, 50])],
            |v| activation.forward(&v[0]),
            |v| activation::plain::forward(activation, &v[0]),
        );
    }
    assert_twins(
        &[variable("gate", &[3, 50]), variable("up", &[3, 50])],
        |v| swiglu(&v[0], &v[1]),
        |v| activation::plain::swiglu(&v[0], &v[1]),
    );
}

#[test]
fn activations_have_their_known_values() {
    let x = [-3.0f32, -1.0, 0.0, 0.5, 1.0, 3.0];
    let input = Tensor::new(&x, &Device::Cpu).unwrap();
    let of = |activation: Activation| numbers(&activation.forward(&input).unwrap());
    // x Φ(x) with Φ from a table of the normal distribution.
    let erf = [-0.004_049_69, -0.158_655_25, 0.0, 0.345_731_23, 0.841_344_8, 2.995_950_3];
    assert_close(&of(Activation::GeluErf), &erf, 1e-6);
    // 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), in double precision.
    let tanh: Vec<f32> = x
        .iter()
        .map(|x| f64::from(*x))
        .map(|x| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            (0.5 * x * (1.0 + u.tanh())) as f32
        })
        .collect();
    assert_close(&tanh[3..4], &[0.345_714_02], 1e-6);
    assert_close(&of(Activation::GeluTanh), &tanh, 1e-6);
    assert_close(&of(Activation::Relu), &[0.0, 0.0, 0.0, 0.5, 1.0, 3.0], 0.0);
    let x = [-3.0f64, -1.0, 0.0, 0.5, 1.0, 3.0];
    let expected = |f: fn(f64) -> f64| x.map(|x| f(x) as f32);
    assert_close(&of(Activation::Tanh), &expected(f64::tanh), 2e-7);
    assert_close(&of(Activation::Sigmoid), &expected(|x| 1.0 / (1.0 + (-x).exp())), 2e-7);
    let up = Tensor::full(2f32, 6, &Device::Cpu).unwrap();
    let silu = [-0.142_277_62, -0.268_941_43, 0.0, 0.311_229_68, 0.731_058_6, 2.857_722_4];
    let twice = silu.map(|s| 2.0 * s);
    assert_close(&numbers(&swiglu(&input, &up).unwrap()), &twice, 1e-6);
}

#[test]
fn activations_stay_finite_far_from_zero() {
    let x = Var::new(&[-1e4f32, -100.0, 100.0, 1e4], &Device::Cpu).unwrap();
    for activation in &ALL[..3] {
        let y = activation.forward(&x).unwrap();
        assert_close(&numbers(&y), &[0.0, 0.0, 100.0, 1e4], 1e-6);
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_close(&numbers(grads.get(x.as_tensor()).unwrap()), &[0.0, 0.0, 1.0, 1.0], 1e-6);
    }
    for (activation, low) in [(Activation::Tanh, -1.0), (Activation::Sigmoid, 0.0)] {
        let y = activation.forward(&x).unwrap();
        assert_close(&numbers(&y), &[low, low, 1.0, 1.0], 1e-6);
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_close(&numbers(grads.get(x.as_tensor()).unwrap()), &[0.0; 4], 1e-6);
    }
    let y = swiglu(&x, &x).unwrap();
    assert_close(&numbers(&y), &[0.0, 0.0, 1e4, 1e8], 1e-6);
}

#[test]
fn sinusoids_alternate_sine_and_cosine() {
    let table = sinusoidal(5, 6);
    let angle = |place: f32, pair: f32| place / 10_000f32.powf(2.0 * pair / 6.0);
    for place in 0..5 {
        for pair in 0..3 {
            let a = angle(place as f32, pair as f32);
            let got = &table[place * 6 + 2 * pair..][..2];
            assert_close(got, &[a.sin(), a.cos()], 1e-6);
        }
    }
}

#[test]
fn positions_are_added_from_the_place_where_a_segment_starts() {
    let (x, table) = (variable("x", &[2, 3, 4]), variable("table", &[9, 4]));
    assert_twins(
        &[x.clone(), table.clone()],
        |v| add_positions(&v[0], &v[1], 5),
        |v| Ok(v[0].broadcast_add(&v[1].narrow(0, 5, 3)?)?),
    );
    let error = add_positions(&x, &table, 7).unwrap_err().to_string();
    assert!(error.contains("10") && error.contains('9'), "{error}");
}

#[test]
fn rotation_equals_its_plain_twin() {
    let rotary = Rotary::new(8, 6).unwrap();
    assert_twins(
        &[variable("q", &[2, 4, 3 * 6])],
        |v| rotary.rotate(&v[0], 3),
        |v| rotary.rotate_plain(&v[0], 3),
    );
}

#[test]
fn rotation_turns_each_pair_by_its_angle() {
    let rotary = Rotary::new(4, 4).unwrap();
    let x = Tensor::new(&[1f32, 0.0, 0.0, 1.0], &Device::Cpu).unwrap();
    let x = x.reshape((1, 1, 4)).unwrap();
    // Third position: angles 3 and 3 / 100.
    let turned = numbers(&rotary.rotate(&x, 3).unwrap());
    let (a, b) = (3f32, 0.03f32);
    assert_close(&turned, &[a.cos(), a.sin(), -b.sin(), b.cos()], 1e-6);
}

#[test]
fn scores_of_rotated_vectors_depend_on_the_distance_alone() {
    let rotary = Rotary::new(16, 8).unwrap();
    let (q, k) = (variable("q", &[1, 1, 8]), variable("k", &[1, 1, 8]));
    let score = |query: usize, key: usize| {
        let (q, k) = (rotary.rotate(&q, query).unwrap(), rotary.rotate(&k, key).unwrap());
        numbers(&(q * k).unwrap().sum_all().unwrap())
    };
    assert_close(&score(5, 2), &score(15, 12), 1e-5);
    let moved = score(5, 2)[0] - score(5, 3)[0];
    assert!(moved.abs() > 1e-3, "another distance gives another score");
}

#[test]
fn rotation_refuses_odd_heads_and_positions_past_its_length() {
    assert!(Rotary::new(8, 5).unwrap_err().to_string().contains("even"));
    let x = variable("x", &[1, 3, 4]);
    let error = Rotary::new(8, 4).unwrap().rotate(&x, 6).unwrap_err().to_string();
    assert!(error.contains("positions to 9"), "{error}");
}
