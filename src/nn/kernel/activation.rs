//! Functions of single numbers, as between the two maps of an MLP: values, and gradients in place.

use candle_core::cpu::erf::erf_f32;

use super::lanes::{exp, fma, multiversion};

/// A function of one number, applied everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` by the tanh formula: Hugging Face's and TransformerLens's `gelu_new`.
    GeluTanh,
    /// `x Φ(x)` by the error function: their `gelu`.
    GeluErf,
    /// `max(x, 0)`; its slope at 0 is 0.
    Relu,
    Tanh,
    /// `1 / (1 + exp(-x))`: the gates of recurrent networks.
    Sigmoid,
}

impl Activation {
    /// `out = f(x)`
    pub fn apply(self, x: &[f32], out: &mut [f32]) {
        match self {
            Self::GeluTanh => gelu_tanh(x, out),
            Self::GeluErf => {
                out.iter_mut().zip(x).for_each(|(o, x)| *o = x * normal_cdf(*x));
            }
            Self::Relu => out.iter_mut().zip(x).for_each(|(o, x)| *o = x.max(0.0)),
            Self::Tanh => tanh_all(x, out),
            Self::Sigmoid => sigmoid_all(x, out),
        }
    }

    /// `out = f(x)`, and in place of `x` what [`Self::go_back`] takes.
    pub fn apply_and_keep(self, x: &mut [f32], out: &mut [f32]) {
        match self {
            Self::GeluTanh => gelu_tanh_and_slopes(x, out),
            Self::GeluErf | Self::Relu => self.apply(x, out),
            Self::Tanh | Self::Sigmoid => {
                self.apply(x, out);
                x.iter_mut().zip(out).for_each(|(x, y)| *x = self.slope_at(*y));
            }
        }
    }

    /// `f'(x)` from `f(x)`, of those whose slope is a function of their value.
    fn slope_at(self, y: f32) -> f32 {
        if self == Self::Tanh { 1.0 - y * y } else { y * (1.0 - y) }
    }

    /// `gradient *= f'(x)`, from what was kept of `x`.
    pub fn go_back(self, kept: &[f32], gradient: &mut [f32]) {
        match self {
            Self::GeluTanh | Self::Tanh | Self::Sigmoid => {
                gradient.iter_mut().zip(kept).for_each(|(g, slope)| *g *= slope);
            }
            Self::GeluErf | Self::Relu => self.multiply_slopes(kept, gradient),
        }
    }

    /// `gradient *= f'(x)`
    pub fn multiply_slopes(self, x: &[f32], gradient: &mut [f32]) {
        match self {
            Self::GeluTanh => multiply_gelu_tanh_slopes(x, gradient),
            Self::GeluErf => {
                for (g, x) in gradient.iter_mut().zip(x) {
                    *g *= normal_cdf(*x) + x * normal_density(*x);
                }
            }
            Self::Relu => {
                for (g, x) in gradient.iter_mut().zip(x) {
                    *g = if *x > 0.0 { *g } else { 0.0 };
                }
            }
            Self::Tanh | Self::Sigmoid => {
                let mut kept = x.to_vec();
                self.apply_and_keep(&mut kept, &mut vec![0.0; x.len()]);
                self.go_back(&kept, gradient);
            }
        }
    }
}

multiversion! {
    fn gelu_tanh(x: &[f32], out: &mut [f32]) => gelu_tanh_body
}

multiversion! {
    /// `out = f(x)` and `x = f'(x)`: most of the work is the same for both.
    fn gelu_tanh_and_slopes(x: &mut [f32], out: &mut [f32]) => gelu_tanh_and_slopes_body
}

multiversion! {
    fn multiply_gelu_tanh_slopes(x: &[f32], gradient: &mut [f32]) => gelu_tanh_slopes_body
}

multiversion! {
    fn tanh_all(x: &[f32], out: &mut [f32]) => tanh_body
}

multiversion! {
    fn sigmoid_all(x: &[f32], out: &mut [f32]) => sigmoid_body
}

multiversion! {
    /// `out = gate · sigmoid(gate) · up` (Shazeer 2020)
    pub fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) => swiglu_body
}

multiversion! {
    /// Turns the gradient of the result into that of `up`, in place, and writes that of `gate`.
    pub fn swiglu_backward(
        gate: &[f32],
        up: &[f32],
        gradient: &mut [f32],
        to_gate: &mut [f32],
    ) => swiglu_backward_body
}

/// √(2/π) and the coefficient of the cube in the tanh formula (Hendrycks and Gimpel 2016).
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// `1 / (1 + exp(-x))`; beyond ±80 it is 0 or 1 to every digit that counts, and the exponential stays finite.
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    let negated = if x < -80.0 { 80.0 } else { -x };
    1.0 / (1.0 + exp::<FMA>(negated))
}

#[inline(always)]
fn sigmoid_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = sigmoid::<FMA>(x);
    }
}

/// `tanh x = 2 sigmoid(2x) - 1`
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    fma::<FMA>(2.0, sigmoid::<FMA>(2.0 * x), -1.0)
}

#[inline(always)]
fn tanh_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = tanh::<FMA>(x);
    }
}

/// `(1 + tanh u) / 2` is the sigmoid of `2u`.
#[inline(always)]
fn gelu_gate<const FMA: bool>(x: f32) -> f32 {
    sigmoid::<FMA>(2.0 * GELU_SCALE * fma::<FMA>(GELU_CUBE * x * x, x, x))
}

#[inline(always)]
fn gelu_tanh_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = x * gelu_gate::<FMA>(x);
    }
}

#[inline(always)]
fn gelu_tanh_slopes_body<const FMA: bool>(x: &[f32], gradient: &mut [f32]) {
    for (g, &x) in gradient.iter_mut().zip(x) {
        *g *= gelu_slope::<FMA>(x, gelu_gate::<FMA>(x));
    }
}

#[inline(always)]
fn gelu_tanh_and_slopes_body<const FMA: bool>(x: &mut [f32], out: &mut [f32]) {
    for (o, x) in out.iter_mut().zip(x) {
        let gate = gelu_gate::<FMA>(*x);
        *o = *x * gate;
        *x = gelu_slope::<FMA>(*x, gate);
    }
}

#[inline(always)]
fn gelu_slope<const FMA: bool>(x: f32, gate: f32) -> f32 {
    let inner = 2.0 * GELU_SCALE * fma::<FMA>(3.0 * GELU_CUBE * x, x, 1.0);
    let bend = x * inner * gate * (1.0 - gate);
    // Far out the gate is 0 or 1 and the square of x may overflow: the product is 0 all the same.
    if x.abs() > 20.0 { gate } else { gate + bend }
}

#[inline(always)]
fn swiglu_body<const FMA: bool>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((o, &g), &u) in out.iter_mut().zip(gate).zip(up) {
        *o = g * u * sigmoid::<FMA>(g);
    }
}

#[inline(always)]
fn swiglu_backward_body<const FMA: bool>(
    gate: &[f32],
    up: &[f32],
    gradient: &mut [f32],
    to_gate: &mut [f32],
) {
    let inputs = gate.iter().zip(up);
    for ((to_up, to_gate), (&g, &u)) in gradient.iter_mut().zip(to_gate).zip(inputs) {
        let (s, d) = (sigmoid::<FMA>(g), *to_up);
        *to_gate = d * u * s * (1.0 + g * (1.0 - s));
        *to_up = d * g * s;
    }
}

fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf_f32(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn normal_density(x: f32) -> f32 {
    // 1/√(2π)
    0.398_942_3 * (-0.5 * x * x).exp()
}
