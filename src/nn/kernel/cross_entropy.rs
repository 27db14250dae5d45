//! Softmax with cross-entropy, row by row: value and gradient without storing probabilities twice.

use super::lanes;

/// Sum over rows of `weight · (log Σ exp(logits) − logits[target])`; rows of weight 0 are skipped.
/// With `gradient` (as large as `logits`, whatever it held), also that of the logits.
pub fn cross_entropy(
    logits: &[f32],
    targets: &[u32],
    weight: &[f32],
    mut gradient: Option<&mut [f32]>,
) -> f64 {
    let vocab = logits.len() / targets.len().max(1);
    let mut sum = 0.0;
    for (i, (&target, &weight)) in targets.iter().zip(weight).enumerate() {
        if weight == 0.0 {
            if let Some(gradient) = gradient.as_deref_mut() {
                gradient[i * vocab..(i + 1) * vocab].fill(0.0);
            }
            continue;
        }
        let (row, target) = (&logits[i * vocab..(i + 1) * vocab], target as usize);
        let (max, exp_sum) = lanes::max_and_exp_sum(row);
        sum += f64::from(weight) * f64::from((max - row[target]) + exp_sum.ln());
        if let Some(gradient) = gradient.as_deref_mut() {
            let out = &mut gradient[i * vocab..(i + 1) * vocab];
            lanes::scaled_exp(row, max, weight / exp_sum, out);
            out[target] -= weight;
        }
    }
    sum
}
