//! Ticks of an axis: how many, how large, and which of them have a label.

use super::scale::{self, Scale, Tick};
use super::style::Lettering;
use super::{Axis, Ticks, font};
use crate::base::convert;

/// Length of a tick, and the room between it and its label, in points.
pub(super) const TICK: f32 = 2.0;
pub(super) const TICK_GAP: f32 = 1.5;

/// Named ticks stand beside what they name and need no line.
pub(super) fn tick_length(axis: &Axis) -> f32 {
    if axis.ticks.are_names() { 0.0 } else { TICK }
}

/// The ticks of an axis inside its range, at most `most` with automatic labels.
pub(super) fn ticks_of(axis: &Axis, most: usize) -> Vec<Tick> {
    let scale = Scale::new(axis.range, axis.along, (0.0, 1.0));
    match &axis.ticks {
        Ticks::Auto => scale::ticks(axis.range, axis.along, most),
        Ticks::Hidden => Vec::new(),
        Ticks::At(list) => list
            .iter()
            .filter(|(value, _)| scale.contains(*value))
            .map(|(value, text)| Tick { value: *value, label: font::shown(text).into_owned() })
            .collect(),
        // A name takes the height of a line, in the smallest size of `tick_fit`; an automatic label takes 2.6 lines
        // with the air around it.
        Ticks::Each(_) | Ticks::Around { .. } => {
            named_or_numbered(axis, convert::index(2.9 * most as f32), most)
        }
    }
}

/// The names of all cells in range if they are no more than `fitting`, else the numbers of at most `most` from 0 on.
fn named_or_numbered(axis: &Axis, fitting: usize, most: usize) -> Vec<Tick> {
    let scale = Scale::new(axis.range, axis.along, (0.0, 1.0));
    let (before, names) = axis.ticks.of_units();
    let middle = |index: usize| index as f64 - before.len() as f64 + 0.5;
    let names: Vec<&String> = before.iter().chain(names).collect();
    let shown: Vec<usize> = (0..names.len()).filter(|i| scale.contains(middle(*i))).collect();
    if shown.len() > fitting {
        let mut ticks = scale::ticks(axis.range, axis.along, most.max(2));
        let there = |at: f64| at >= 0.0 && at.fract() == 0.0 && scale.contains(at + 0.5);
        ticks.retain(|tick| there(tick.value));
        ticks.iter_mut().for_each(|tick| tick.value += 0.5);
        return ticks;
    }
    let tick = |i: usize| Tick { value: middle(i), label: font::shown(names[i]).into_owned() };
    shown.into_iter().map(tick).collect()
}

/// As many automatic ticks as stand side by side.
pub(super) fn x_ticks(axis: &Axis, width: f32, text: Lettering) -> Vec<Tick> {
    let size = text.size;
    let most = convert::index((width / (2.5 * size)).floor().clamp(2.0, 12.0));
    if axis.ticks.are_of_units() {
        // Upright names stand as close as lines of text, in the smallest size of `tick_fit`.
        let fitting = convert::index(width / (1.05 * SMALLER[2] * size));
        return named_or_numbered(axis, fitting, most);
    }
    if axis.ticks != Ticks::Auto {
        return ticks_of(axis, 0);
    }
    let scale = Scale::new(axis.range, axis.along, (0.0, width));
    (1..=most)
        .rev()
        .map(|most| ticks_of(axis, most))
        .find(|ticks| tick_stride(ticks, &scale, text, false, false) == 1)
        .unwrap_or_default()
}

/// Every how many-th tick label can be drawn without touching the next, at a size. `across`: labels are read
/// across the axis (beside the y axis, or upright), so that their height counts.
fn tick_stride(ticks: &[Tick], scale: &Scale, text: Lettering, named: bool, across: bool) -> usize {
    let size = text.size;
    let extents: Vec<(f32, f32)> = ticks
        .iter()
        .filter(|t| !t.label.is_empty())
        .map(|t| {
            let width = text.width(&t.label);
            (scale.at(t.value), if across { 0.5 * size } else { 0.5 * width })
        })
        .collect();
    // Named ticks may stand closer: tokens are read as a text.
    let gap = match (across, named) {
        (true, true) => 0.05 * size,
        (true, false) => 0.5 * size,
        (false, true) => 0.2 * size,
        (false, false) => 0.8 * size,
    };
    scale::stride(&extents, gap).max(1)
}

/// Sizes of named tick labels in parts of the tick size, the first that shows all of them is taken.
const SMALLER: [f32; 3] = [1.0, 0.92, 0.84];

/// Size and stride of tick labels: named ones are set a little smaller (not below 5 pt in print) where that shows
/// all of them.
pub(super) fn tick_fit(
    ticks: &[Tick],
    scale: &Scale,
    text: Lettering,
    named: bool,
    across: bool,
) -> (f32, usize) {
    let sizes = SMALLER.iter().take(if named { 3 } else { 1 }).map(|factor| factor * text.size);
    let stride = |size: f32| tick_stride(ticks, scale, Lettering { size, ..text }, named, across);
    match sizes.into_iter().find(|size| stride(*size) == 1) {
        Some(size) => (size, 1),
        None => (text.size, stride(text.size)),
    }
}

pub(super) fn widest(ticks: &[Tick], text: Lettering) -> f32 {
    ticks.iter().map(|t| text.width(&t.label)).fold(0.0, f32::max)
}
