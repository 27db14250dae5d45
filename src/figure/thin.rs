//! Lines of many points as lines of few that look the same: for files, which cannot be zoomed into.

use std::sync::Arc;

use super::scale::Scale;
use super::{Figure, Mark};

/// Half a point of paper: finer than a printer shows of a line.
const COLUMN: f32 = 0.5;

/// The figure with each line thinned to its lowest and highest point per half point of a page of a width, where
/// that leaves out most of them. No spike is lost.
pub fn thinned(figure: &Figure, width: f32) -> Figure {
    let mut figure = figure.clone();
    for plot in &mut figure.plots {
        let scale = Scale::new(plot.x.range, plot.x.along, (0.0, width.max(1.0)));
        for mark in &mut plot.marks {
            if let Mark::Line { points, .. } = mark
                && points.len() as f32 > 4.0 * width / COLUMN
            {
                *points = extremes(points, &scale);
            }
        }
    }
    figure
}

/// The lowest and the highest point of each column of the page, in order.
fn extremes(points: &[[f64; 2]], scale: &Scale) -> Arc<[[f64; 2]]> {
    let column = |p: &[f64; 2]| (scale.at(p[0]) / COLUMN).floor();
    let mut kept = Vec::new();
    // What has no place is a gap in the line, and stays one.
    let is_gap = |p: &[f64; 2]| !scale.at(p[0]).is_finite() || !p[1].is_finite();
    let together = |a: &[f64; 2], b: &[f64; 2]| {
        (is_gap(a) && is_gap(b)) || (is_gap(a) == is_gap(b) && column(a) == column(b))
    };
    for chunk in points.chunk_by(together) {
        let by_value = |a: &usize, b: &usize| chunk[*a][1].total_cmp(&chunk[*b][1]);
        let lowest = (0..chunk.len()).min_by(by_value).unwrap_or(0);
        let highest = (0..chunk.len()).max_by(by_value).unwrap_or(0);
        kept.push(chunk[lowest.min(highest)]);
        if lowest != highest {
            kept.push(chunk[lowest.max(highest)]);
        }
    }
    kept.into()
}
