//! Flat cells for files without white seams between them.
//!
//! Neighbouring rectangles that only touch are drawn with a lighter line between them by most viewers. A cell
//! that reaches under one whole neighbour to the right and below leaves nothing to shine through.

use super::color::Color;
use crate::base::convert;

/// The image of [`super::scene::Item::Image`].
pub struct Image<'a> {
    pub min: [f32; 2],
    pub max: [f32; 2],
    pub columns: usize,
    pub rows: usize,
    /// Row-major from the top left.
    pub pixels: &'a [Color],
}

/// Up to so many cells (64 × 64) are drawn as rectangles, more as one bitmap.
const MOST_RECTS: usize = 64 * 64;

/// Dots per inch that a bitmap has at least: what a good printer shows.
const BITMAP_DPI: f32 = 600.0;

/// Pixels of a bitmap that upsampling may not exceed on either side.
const LARGEST_SIDE: usize = 8192;

impl Image<'_> {
    pub fn is_small(&self) -> bool {
        self.columns * self.rows <= MOST_RECTS
    }

    /// The colour at a row and column; `None` outside and where nothing is drawn.
    fn at(&self, row: usize, column: usize) -> Option<Color> {
        if row >= self.rows || column >= self.columns {
            return None;
        }
        self.pixels.get(row * self.columns + column).copied().filter(|c| c.a > 0)
    }

    /// What is painted later and covers all that lies below it.
    fn covers(&self, row: usize, column: usize) -> bool {
        self.at(row, column).is_some_and(|c| c.a == 255)
    }
}

/// Rectangles (minimum and maximum corner) in the order in which they are to be painted.
pub fn rects(image: &Image<'_>) -> Vec<([[f32; 2]; 2], Color)> {
    let width = (image.max[0] - image.min[0]) / image.columns as f32;
    let height = (image.max[1] - image.min[1]) / image.rows as f32;
    let rect = |row: usize, column: usize, rows: usize, columns: usize| {
        let x = |c: usize| image.min[0] + c as f32 * width;
        let y = |r: usize| image.min[1] + r as f32 * height;
        [[x(column), y(row)], [x(column + columns), y(row + rows)]]
    };
    let mut out = Vec::with_capacity(image.columns * image.rows);
    for row in 0..image.rows {
        for column in 0..image.columns {
            let Some(color) = image.at(row, column) else { continue };
            if color.a < 255 {
                // A cell that lets light through would show twice where it overlaps.
                out.push((rect(row, column, 1, 1), color));
                continue;
            }
            let right = usize::from(image.covers(row, column + 1));
            let below = usize::from(image.covers(row + 1, column));
            if right + below == 2 && !image.covers(row + 1, column + 1) {
                out.push((rect(row, column, 2, 1), color));
                out.push((rect(row, column, 1, 2), color));
            } else {
                out.push((rect(row, column, 1 + below, 1 + right), color));
            }
        }
    }
    out
}

/// The image enlarged by a whole number to at least 600 dots per inch at its size on the page: width, height,
/// straight RGBA.
pub fn bitmap(image: &Image<'_>) -> (u32, u32, Vec<u8>) {
    let inches = (image.max[0] - image.min[0]) / 72.0;
    let wanted = convert::index((inches * BITMAP_DPI / image.columns as f32).ceil().max(1.0));
    let largest = image.columns.max(image.rows).max(1);
    let factor = wanted.min(LARGEST_SIDE / largest).max(1);
    let mut rgba = Vec::with_capacity(image.pixels.len() * factor * factor * 4);
    for row in image.pixels.chunks_exact(image.columns) {
        let line: Vec<u8> = row
            .iter()
            .flat_map(|c| std::iter::repeat_n([c.r, c.g, c.b, c.a], factor))
            .flatten()
            .collect();
        for _ in 0..factor {
            rgba.extend_from_slice(&line);
        }
    }
    (convert::id(image.columns * factor), convert::id(image.rows * factor), rgba)
}
