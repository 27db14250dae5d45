//! Linear regression with a penalty on the squares of the weights.

/// Weights `w` and a constant `c` with the smallest `Σ (w · x + c - y)² + penalty · |w|²`; `x` is `[example, dim]`, and the constant comes
/// last. `None` where the examples do not determine them, or numbers are not finite.
pub fn ridge(x: &[f32], y: &[f32], penalty: f64) -> Option<Vec<f64>> {
    let dims = x.len().checked_div(y.len())?;
    let size = dims + 1;
    let (mut moments, mut right) = (vec![0.0; size * size], vec![0.0; size]);
    for (x, y) in x.chunks_exact(dims.max(1)).zip(y) {
        let row = || x.iter().copied().map(f64::from).chain([1.0]);
        for (i, a) in row().enumerate() {
            right[i] += a * f64::from(*y);
            let moments = moments[i * size..].iter_mut().zip(row());
            moments.take(i + 1).for_each(|(m, b)| *m += a * b);
        }
    }
    (0..dims).for_each(|i| moments[i * size + i] += penalty);
    solved(moments, right)
}

/// The value of such weights at a point.
pub fn value(weights: &[f64], x: &[f32]) -> f64 {
    let constant = weights.get(x.len()).copied().unwrap_or(0.0);
    weights.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>() + constant
}

/// `x` with `A x = b`, of a symmetric positive definite matrix of which the lower half is given, by Cholesky's factors.
fn solved(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let before: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - before;
            if i != j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest.is_finite() && rest > 0.0 {
                a[i * n + i] = rest.sqrt();
            } else {
                return None;
            }
        }
        let before: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - before) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let after: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - after) / a[i * n + i];
    }
    Some(b)
}
