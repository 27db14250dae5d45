//! LayerNorm and RMSNorm, row by row: values and gradients.

use super::lanes::{LANES, fma, multiversion, sum_lanes};

/// Added to the variance (or mean square) before the root, as in torch and GPT-2, if nothing else is said.
pub const EPSILON: f32 = 1e-5;

/// How rows of `width` numbers are normalised.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    pub width: usize,
    /// Subtract the mean (LayerNorm) or not (RMSNorm).
    pub centred: bool,
    /// Added to the variance or mean square.
    pub epsilon: f32,
    /// `[width]`
    pub weight: Option<&'a [f32]>,
    /// `[width]`
    pub bias: Option<&'a [f32]>,
}

multiversion! {
    /// `out = (x − mean) · factor · weight + bias`, and of each row the mean and the factor, in `statistics`
    /// (`[row, 2]`).
    pub fn forward(rule: Rule<'_>, x: &[f32], out: &mut [f32], statistics: &mut [f32]) => forward_body
}

multiversion! {
    /// Turns the gradient of the result into that of `x`, in place, and adds to those of weight and bias.
    pub fn backward(
        rule: Rule<'_>,
        x: &[f32],
        statistics: &[f32],
        gradient: &mut [f32],
        to_weight: &mut [f32],
        to_bias: &mut [f32],
    ) => backward_body
}

#[inline(always)]
fn forward_body<const FMA: bool>(
    rule: Rule<'_>,
    x: &[f32],
    out: &mut [f32],
    statistics: &mut [f32],
) {
    let rows = x.chunks_exact(rule.width).zip(out.chunks_exact_mut(rule.width));
    for ((row, out), found) in rows.zip(statistics.chunks_exact_mut(2)) {
        let width = rule.width as f32;
        let mean = if rule.centred { sum(row, row, |x, _| x) / width } else { 0.0 };
        let square = sum(row, row, |x, _| (x - mean) * (x - mean)) / width;
        let factor = 1.0 / (square + rule.epsilon).sqrt();
        found.copy_from_slice(&[mean, factor]);
        for (o, x) in out.iter_mut().zip(row) {
            *o = (x - mean) * factor;
        }
        if let Some(weight) = rule.weight {
            out.iter_mut().zip(weight).for_each(|(o, w)| *o *= w);
        }
        if let Some(bias) = rule.bias {
            out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
        }
    }
}

#[inline(always)]
fn backward_body<const FMA: bool>(
    rule: Rule<'_>,
    x: &[f32],
    statistics: &[f32],
    gradient: &mut [f32],
    to_weight: &mut [f32],
    to_bias: &mut [f32],
) {
    let rows = x.chunks_exact(rule.width).zip(gradient.chunks_exact_mut(rule.width));
    for ((row, g), found) in rows.zip(statistics.chunks_exact(2)) {
        let (mean, factor) = (found[0], found[1]);
        to_bias.iter_mut().zip(&*g).for_each(|(b, g)| *b += g);
        for ((w, g), x) in to_weight.iter_mut().zip(&*g).zip(row) {
            *w = fma::<FMA>(*g, (x - mean) * factor, *w);
        }
        // From here on the gradient of the normalised row.
        if let Some(weight) = rule.weight {
            g.iter_mut().zip(weight).for_each(|(g, w)| *g *= w);
        }
        let width = rule.width as f32;
        let shift = if rule.centred { sum(g, g, |g, _| g) / width } else { 0.0 };
        let along = sum(g, row, |g, x| g * (x - mean)) * factor / width;
        for (g, x) in g.iter_mut().zip(row) {
            *g = (*g - shift - (x - mean) * factor * along) * factor;
        }
    }
}

/// Sum of `term` over two rows.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (mut a_chunks, mut b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a_chunks).zip(&mut b_chunks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(x, y);
        }
    }
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (lane, (&x, &y)) in lanes.iter_mut().zip(rest) {
        *lane += term(x, y);
    }
    sum_lanes(lanes)
}
