//! Updates of parameters in place.

use super::lanes::{fma, multiversion};

/// Gradient descent with momentum and coupled decay.
#[derive(Clone, Copy)]
pub struct Sgd {
    pub rate: f32,
    pub momentum: f32,
    pub decay: f32,
}

/// Adam with decoupled decay (Loshchilov and Hutter 2019), its factors worked out for one step.
#[derive(Clone, Copy)]
pub struct AdamW {
    /// `1 − rate · decay`
    pub shrink: f32,
    /// `rate / (1 − β₁ᵗ)`
    pub pace: f32,
    /// `√(1 − β₂ᵗ)`
    pub root: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// `1 − β₁`
    pub rest1: f32,
    /// `1 − β₂`
    pub rest2: f32,
    /// Keeps the quotient finite where a gradient stays zero.
    pub epsilon: f32,
}

multiversion! {
    /// `g += decay · θ; v = momentum · v + g; θ −= rate · v`
    pub fn sgd(by: Sgd, theta: &mut [f32], v: &mut [f32], gradient: &[f32]) => sgd_body
}

multiversion! {
    /// `θ *= shrink; m = β₁ m + rest₁ g; v = β₂ v + rest₂ g²; θ −= pace · m / (√v / root + ε)`
    pub fn adamw(
        by: AdamW,
        theta: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        gradient: &[f32],
    ) => adamw_body
}

#[inline(always)]
fn sgd_body<const FMA: bool>(by: Sgd, theta: &mut [f32], v: &mut [f32], gradient: &[f32]) {
    for ((theta, v), g) in theta.iter_mut().zip(v).zip(gradient) {
        *v = fma::<FMA>(by.momentum, *v, fma::<FMA>(by.decay, *theta, *g));
        *theta = fma::<FMA>(-by.rate, *v, *theta);
    }
}

#[inline(always)]
fn adamw_body<const FMA: bool>(
    by: AdamW,
    theta: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    gradient: &[f32],
) {
    let inverse_root = 1.0 / by.root;
    for ((theta, (m, v)), &g) in theta.iter_mut().zip(m.iter_mut().zip(v)).zip(gradient) {
        *m = fma::<FMA>(by.beta1, *m, by.rest1 * g);
        *v = fma::<FMA>(by.beta2, *v, by.rest2 * g * g);
        let step = by.pace * *m / (v.sqrt() * inverse_root + by.epsilon);
        *theta = fma::<FMA>(*theta, by.shrink, -step);
    }
}
