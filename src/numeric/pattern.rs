//! A causal attention pattern in fewer cells, for small pictures of large ones.

use std::ops::Range;

/// A pattern `[query, key]` of as many queries as positions, whose keys are `before` memory tokens and `length` positions, in at
/// most `most` cells a side: how many cells of either there are in a row, and their values row by row. Each cell keeps the
/// value farthest from zero that it stands for, so that a sharp diagonal stays sharp instead of fading into the mean; NaN where no key that a
/// query sees is in it.
///
/// # Panics
/// When there are fewer values than that.
pub fn shrink(values: &[f32], [before, length]: [usize; 2], most: usize) -> ([usize; 2], Vec<f32>) {
    let side = length.min(most).max(1);
    // In the scale of the positions.
    let beside = (before * side).div_ceil(length.max(1));
    let positions = stretches(length, side).map(|keys| keys.start + before..keys.end + before);
    let columns: Vec<Range<usize>> = stretches(before, beside).chain(positions).collect();
    let (keys, width) = (before + length, beside + side);
    let mut cells = vec![f32::NAN; side * width];
    for (query, row) in values[..length * keys].chunks_exact(keys.max(1)).enumerate() {
        let out = &mut cells[(query * side / length) * width..][..width];
        let seen = before + query + 1;
        for (cell, keys) in out.iter_mut().zip(&columns) {
            if keys.start >= seen {
                break;
            }
            let row = &row[keys.start..keys.end.min(seen)];
            *cell = row.iter().copied().fold(*cell, stronger);
        }
    }
    ([beside, side], cells)
}

/// The one of two numbers that is farther from zero; what is not a number is none.
fn stronger(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.abs() > a.abs() { b } else { a }
}

/// The part of a pattern `[query, key]` of some positions, both as queries and as keys; memory tokens before position 0 are in it
/// where position 0 is: how many, and the values row by row.
///
/// # Panics
/// When there are fewer values than that.
pub fn part(
    values: &[f32],
    [before, length]: [usize; 2],
    positions: Range<usize>,
) -> (usize, Vec<f32>) {
    let kept = if positions.start == 0 { before } else { 0 };
    let keys = before + positions.start - kept..before + positions.end;
    let rows = values.chunks_exact(before + length).take(positions.end).skip(positions.start);
    let mut part = Vec::with_capacity(positions.len() * keys.len());
    rows.for_each(|row| part.extend_from_slice(&row[keys.clone()]));
    (kept, part)
}

/// What each of some cells stands for, of `count` in all.
pub fn stretches(count: usize, cells: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |cell: usize| (cell * count).div_ceil(cells);
    (0..cells).map(move |cell| start(cell)..start(cell + 1))
}
