//! A causal attention pattern in fewer cells, for small pictures of large ones.

/// A pattern `[query, key]`, `length` on each side, in at most `most` cells a side: the cells on a side, and their
/// values row by row. Each cell keeps the largest value it stands for, so that a sharp diagonal stays sharp instead of
/// fading into the mean; NaN where no key that a query sees is in it.
///
/// # Panics
/// When there are fewer values than `length` times `length`.
pub fn shrink(values: &[f32], length: usize, most: usize) -> (usize, Vec<f32>) {
    let side = length.min(most).max(1);
    let mut cells = vec![f32::NAN; side * side];
    // Where each column of cells begins.
    let starts: Vec<usize> = (0..=side).map(|cell| (cell * length).div_ceil(side)).collect();
    for (query, row) in values[..length * length].chunks_exact(length.max(1)).enumerate() {
        let out = &mut cells[(query * side / length) * side..][..side];
        for (cell, ends) in out.iter_mut().zip(starts.windows(2)) {
            if ends[0] > query {
                break;
            }
            let seen = &row[ends[0]..ends[1].min(query + 1)];
            *cell = seen.iter().copied().fold(*cell, f32::max);
        }
    }
    (side, cells)
}
