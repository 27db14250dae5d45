//! Marks of a run as small flags over an axis of steps, in lanes so that their texts do not collide.

use crate::figure::color::Color;
use crate::figure::{self, Cell, Pick};
use crate::record::event::{Mark, MarkKind};
use crate::record::recording::Recording;

use super::{Palette, View, ink};

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

/// Flags over a track.
pub struct Flags {
    pub cells: Vec<Cell>,
    /// A thin line from each flag down to `y` 0.
    pub poles: Vec<figure::Mark>,
    /// Lanes in use, at least 1.
    pub lanes: usize,
}

impl Flags {
    pub fn into_marks(self) -> Vec<figure::Mark> {
        self.poles.into_iter().chain([figure::Mark::Cells(self.cells)]).collect()
    }
}

/// The marks of a run as boxes with their texts: lane i at y = `base + i` to `base + i + 1`. A text that fits in no
/// lane is left out of the picture: a narrow box below the lanes still tells when pointed at.
pub fn flags(
    view: &View<'_>,
    run: &Recording,
    axis: StepAxis,
    (base, lanes): (f64, usize),
) -> Flags {
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); lanes.max(1)];
    let mut flags = Flags { cells: Vec::new(), poles: Vec::new(), lanes: 1 };
    for mark in by_importance(&run.marks) {
        let Some(place) = axis.place(mark.step as f64) else { continue };
        let width = mark.text.chars().count() as f64 * LETTER + 8.0;
        // A flag near the right end hangs to the left of its step.
        let left = if place + width > axis.points { (place - width).max(0.0) } else { place };
        let right = (left + width).min(axis.points);
        let clear = |taken: &Vec<(f64, f64)>| {
            taken.iter().all(|(from, to)| left > to + 3.0 || right + 3.0 < *from)
        };
        let free = taken.iter().position(clear).filter(|_| lanes > 0);
        let (left, right) = match free {
            Some(_) => (left, right),
            None => ((place - 1.5).max(0.0), (place + 1.5).min(axis.points)),
        };
        let (bottom, top) = match free {
            Some(lane) => (base + lane as f64 + 0.06, base + lane as f64 + 0.94),
            None => (0.0, base),
        };
        if let Some(lane) = free {
            taken[lane].push((left, right));
            flags.lanes = flags.lanes.max(lane + 1);
        }
        let (from, to) = ([axis.step_at(left), bottom], [axis.step_at(right), top]);
        let x = mark.step as f64;
        flags.poles.push(figure::Mark::Rect {
            from: [x, 0.0],
            to: [x, top],
            fill: None,
            stroke: Some(color(mark.kind, view.palette)),
            width: 0.8,
        });
        let fill = ink::mix(view.palette.paper, color(mark.kind, view.palette), 0.3);
        flags.cells.push(Cell {
            from,
            to,
            text: if free.is_some() { mark.text.clone() } else { String::new() },
            fill: Some(fill),
            stroke: None,
            ink: ink::text_on(fill),
            pick: Pick::Step(run.nearest_recorded(mark.step).unwrap_or(mark.step)),
            hover: format!("step {}: {}", mark.step, mark.text),
        });
    }
    flags
}

/// What emerged before what was done, the latest first: where there is no room for all names, these have it.
fn by_importance(marks: &[Mark]) -> Vec<&Mark> {
    let mut sorted: Vec<&Mark> = marks.iter().rev().collect();
    sorted.sort_by_key(|mark| mark.kind != MarkKind::Emergence);
    sorted
}

/// The colour of a kind of mark.
pub fn color(kind: MarkKind, palette: Palette) -> Color {
    match kind {
        MarkKind::Emergence => ink::EMERGENCE,
        MarkKind::Intervention => ink::INTERVENTION,
        MarkKind::Note => palette.faint,
    }
}
