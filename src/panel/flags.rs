//! Marks of a run as small flags over an axis of steps, in lanes so that their texts do not collide.

use crate::figure::color::Color;
use crate::figure::{Cell, Pick};
use crate::record::event::{Mark, MarkKind};
use crate::record::recording::Recording;

use super::{Palette, ink};

/// An axis of steps on the page.
#[derive(Clone, Copy, Debug)]
pub struct StepAxis {
    pub range: (f64, f64),
    pub log: bool,
    /// Length in points.
    pub points: f64,
}

impl StepAxis {
    /// Place of a step, in points from the left end; `None` outside of the range.
    fn place(self, step: f64) -> Option<f64> {
        let scale = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).ln() } else { v };
        let (low, high) = (scale(self.range.0), scale(self.range.1));
        let share = (scale(step) - low) / (high - low);
        (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share * self.points)
    }

    /// The stretch of the axis, of so many points, that a step falls into; counted from the left.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    pub fn bin(self, step: f64, points: f64) -> i64 {
        self.place(step).map_or(-1, |place| (place / points) as i64)
    }

    /// The ends of a stretch of so many points around a step.
    pub fn around(self, step: f64, points: f64) -> (f64, f64) {
        let place = self.place(step).unwrap_or(0.0);
        (self.step_at(place - points / 2.0), self.step_at(place + points / 2.0))
    }

    /// The step at a place.
    fn step_at(self, place: f64) -> f64 {
        let share = place / self.points;
        if self.log {
            let (low, high) = (self.range.0.ln(), self.range.1.ln());
            return (low + share * (high - low)).exp();
        }
        self.range.0 + share * (self.range.1 - self.range.0)
    }
}

/// Mean width of a letter of flag text, in points.
const LETTER: f64 = 4.6;

/// Boxes with the texts of `marks`, lane 0 at y = 0..1, lane 1 at y = 1..2 and so on. A text that fits in
/// no lane is left out of the picture: its box becomes a narrow one that still tells when pointed at.
pub fn flags(recording: &Recording, axis: StepAxis, lanes: usize, palette: Palette) -> Vec<Cell> {
    let mut ends = vec![f64::NEG_INFINITY; lanes.max(1)];
    let mut cells = Vec::new();
    for mark in &recording.marks {
        let Some(place) = axis.place(mark.step as f64) else { continue };
        let width = mark.text.chars().count() as f64 * LETTER + 8.0;
        // A flag near the right end hangs to the left of its step.
        let left = if place + width > axis.points { (place - width).max(0.0) } else { place };
        let free = ends.iter().position(|end| left > end + 3.0);
        let (lane, left, right) = match free {
            Some(lane) => (lane, left, (left + width).min(axis.points)),
            None => (ends.len() - 1, (place - 2.0).max(0.0), (place + 2.0).min(axis.points)),
        };
        ends[lane] = ends[lane].max(right);
        cells.push(flag(
            mark,
            recording,
            free.is_some(),
            palette,
            |x| axis.step_at(x),
            (lane, left, right),
        ));
    }
    cells
}

fn flag(
    mark: &Mark,
    recording: &Recording,
    has_text: bool,
    palette: Palette,
    step_at: impl Fn(f64) -> f64,
    (lane, left, right): (usize, f64, f64),
) -> Cell {
    let fill = ink::mix(palette.paper, color(mark.kind, palette), 0.3);
    let lane = lane as f64;
    Cell {
        from: [step_at(left), lane + 0.08],
        to: [step_at(right), lane + 0.92],
        text: if has_text { mark.text.clone() } else { String::new() },
        fill: Some(fill),
        stroke: None,
        ink: ink::text_on(fill),
        pick: Pick::Step(recording.nearest_recorded(mark.step).unwrap_or(mark.step)),
        hover: format!("step {}: {}", mark.step, mark.text),
    }
}

/// The colour of a kind of mark.
pub fn color(kind: MarkKind, palette: Palette) -> Color {
    match kind {
        MarkKind::Emergence => ink::category(2),
        MarkKind::Intervention => ink::category(5),
        MarkKind::Note => palette.faint,
    }
}
