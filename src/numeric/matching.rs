//! Things of two kinds in pairs.

/// A partner among `columns` for each row of `weights` `[row, columns]`, those of the largest weights first; `None` where all
/// partners are taken. A weight that is NaN joins nobody.
///
/// # Panics
/// When `columns` is 0.
pub fn matched(weights: &[f64], columns: usize) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| !weights[*i].is_nan()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
    let mut partners = vec![None; weights.len() / columns];
    let mut taken = vec![false; columns];
    for pair in order {
        let (row, column) = (pair / columns, pair % columns);
        if partners[row].is_none() && !taken[column] {
            partners[row] = Some(column);
            taken[column] = true;
        }
    }
    partners
}
