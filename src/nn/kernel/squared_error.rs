//! Squared error of predicted numbers, row by row: value and gradient.

/// Sum over rows of `weight · Σ (prediction − target)²`; rows of weight 0 are skipped, whatever they hold. `predictions` and
/// `targets` are `[row, outputs]`, `weight` has one entry a row. `gradient` (as large as `predictions`, whatever it held) becomes
/// that of the predictions.
pub fn squared_error(
    predictions: &[f32],
    targets: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let outputs = predictions.len() / weight.len().max(1);
    let mut sum = 0.0;
    for (row, &weight) in weight.iter().enumerate() {
        let at = row * outputs..(row + 1) * outputs;
        let gradient = &mut gradient[at.clone()];
        if weight == 0.0 {
            gradient.fill(0.0);
            continue;
        }
        let both = predictions[at.clone()].iter().zip(&targets[at]);
        for (gradient, (prediction, target)) in gradient.iter_mut().zip(both) {
            let apart = prediction - target;
            sum += f64::from(weight) * f64::from(apart).powi(2);
            *gradient = 2.0 * weight * apart;
        }
    }
    sum
}
