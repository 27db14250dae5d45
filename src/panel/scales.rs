//! Plots that are seen beside or after each other have the same scales: of colours, and of axes of numbers.

use crate::base::convert::narrow;
use crate::figure::{Axis, Heat, Mark, Plot, Ticks};

use super::span;

/// Gives plots of the same things the widest of their scales.
pub fn share(plots: &mut [&mut Plot]) {
    share_colors(plots);
    share_axis(plots, |plot| &mut plot.x);
    share_axis(plots, |plot| &mut plot.y);
}

/// The widest of their scales of colours.
pub fn share_colors(plots: &mut [&mut Plot]) {
    let bars = || plots.iter().filter_map(|plot| Some(plot.color_bar.as_ref()?.range));
    let first = bars().next();
    let of_heats = || plots.iter().flat_map(|plot| heats(plot)).map(|heat| heat.range);
    let ranges: Vec<(f32, f32)> =
        if first.is_some() { bars().collect() } else { of_heats().collect() };
    let ends = ranges.iter().map(|range| (f64::from(range.0), f64::from(range.1)));
    let Some(first) = ranges.first() else { return };
    let wide = widest(ends.collect()).map_or(*first, |(a, b)| (narrow(a), narrow(b)));
    for plot in plots {
        // Where there is a bar, what it is about.
        let old = plot.color_bar.as_mut().map(|bar| std::mem::replace(&mut bar.range, wide));
        for mark in &mut plot.marks {
            if let Mark::Heat(heat) = mark
                && old.is_none_or(|old| heat.range == old)
            {
                heat.range = wide;
            }
        }
    }
}

/// The maps of a plot.
pub fn heats(plot: &Plot) -> impl Iterator<Item = &Heat> {
    plot.marks.iter().filter_map(|mark| if let Mark::Heat(heat) = mark { Some(heat) } else { None })
}

/// Axes of numbers share their ends; those of names are what they are.
fn share_axis(plots: &mut [&mut Plot], of: impl Fn(&mut Plot) -> &mut Axis) {
    let is_shared = |axis: &Axis| axis.ticks == Ticks::Auto && axis.range.0 <= axis.range.1;
    let shared = plots.iter_mut().map(|plot| &*of(plot)).filter(|axis| is_shared(axis));
    let Some(wide) = widest(shared.map(|axis| axis.range).collect()) else { return };
    for axis in plots.iter_mut().map(|plot| of(plot)).filter(|axis| is_shared(axis)) {
        axis.range = wide;
    }
}

/// What holds all ranges, but for those of a few wild ones.
fn widest(ranges: Vec<(f64, f64)>) -> Option<(f64, f64)> {
    let size = |range: &(f64, f64)| range.0.abs().max(range.1.abs());
    let limit = span::limit(ranges.iter().map(size));
    let ordinary = ranges.into_iter().filter(|range| size(range) <= limit);
    ordinary.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
