//! Marks of a run as small flags over an axis of steps, in lanes so that their texts do not collide.

use crate::base::convert;
use crate::base::event::{Mark, MarkKind};
use crate::figure::color::Color;
use crate::figure::{self, Along, Cell, Pick};
use crate::run_folder::recording::Recording;

use super::{Palette, View, colors, flags};

/// An axis of steps on the page.
#[derive(Clone, Copy, Debug)]
pub struct StepAxis {
    pub range: (f64, f64),
    pub along: Along,
    /// Length in points.
    pub points: f64,
    /// The step that stands at 0.
    pub origin: u64,
}

impl StepAxis {
    /// Where a step is on the axis.
    pub fn x(self, step: u64) -> f64 {
        step as f64 - self.origin as f64
    }

    /// Place of a value of the axis, in points from the left end; `None` outside of the range.
    fn place(self, step: f64) -> Option<f64> {
        let scale = |v: f64| match self.along {
            Along::Logarithms => v.max(f64::MIN_POSITIVE).ln(),
            Along::Values | Along::Doublings(_) => self.along.place(v),
        };
        let (low, high) = (scale(self.range.0), scale(self.range.1));
        let share = (scale(step) - low) / (high - low);
        (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share * self.points)
    }

    /// How far two values of the axis lie apart, in points.
    pub fn points_between(self, from: f64, to: f64) -> f64 {
        let place = |step| self.place(step).unwrap_or(0.0);
        place(to) - place(from)
    }

    /// The stretch of the axis, of so many points, that a step falls into; counted from the left.
    pub fn bin(self, step: f64, points: f64) -> i64 {
        self.place(step).map_or(-1, |place| convert::whole(place / points))
    }

    /// The ends of a stretch of so many points around a step.
    pub fn around(self, step: f64, points: f64) -> (f64, f64) {
        let place = self.place(step).unwrap_or(0.0);
        (self.step_at(place - points / 2.0), self.step_at(place + points / 2.0))
    }

    /// The step at a place.
    fn step_at(self, place: f64) -> f64 {
        let share = place / self.points;
        let (low, high) = (self.along.place(self.range.0), self.along.place(self.range.1));
        self.along.value(low + share * (high - low))
    }
}

/// Mean width of a letter of flag text, in points.
pub const LETTER: f64 = 4.6;
/// Between two flags of a lane, in points.
const GAP: f64 = 3.0;
/// Width of a flag whose text is cut, in points, and of one of which only the beginning has room.
const CUT: f64 = 48.0;
const STUB: f64 = 28.0;

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

/// Where flags may stand: lane i at y = `base + i * height`, up to `base + (i + 1) * height`.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    pub base: f64,
    pub height: f64,
    pub most: usize,
}

/// How much of a mark's text its flag shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Form {
    Full,
    /// As in [`Mark::in_words`]: `induction head`.
    Short,
    /// As much of that as a small box holds.
    Cut,
    /// As much as the smallest holds: better than no name.
    Stub,
}

/// A flag with room for its text.
struct Found {
    lane: usize,
    left: f64,
    right: f64,
    text: String,
}

/// The marks of a run as boxes with their texts. Where not all that emerged can be named in full, all are shortened;
/// a text that even cut short fits in no lane is left out of the picture: a narrow box below the lanes still tells
/// when pointed at.
pub fn flags(view: &View<'_>, run: &Recording, axis: StepAxis, lanes: Lanes) -> Flags {
    let inside = |mark: &&Mark| axis.place(axis.x(mark.step)).is_some();
    let marks: Vec<&Mark> = by_importance(&run.marks).into_iter().filter(inside).collect();
    let named = |found: &[Option<Found>]| {
        marks.iter().zip(found).all(|(m, found)| m.kind != MarkKind::Emergence || found.is_some())
    };
    let found = [Form::Full, Form::Short]
        .into_iter()
        .map(|form| placed(&marks, axis, lanes.most, &[form]))
        .find(|found| named(found));
    let forms = [Form::Short, Form::Cut, Form::Stub];
    let mut found = found.unwrap_or_else(|| placed(&marks, axis, lanes.most, &forms));
    grow(&marks, axis, &mut found);
    let mut flags = Flags { cells: Vec::new(), poles: Vec::new(), lanes: 1 };
    for (mark, found) in marks.into_iter().zip(found) {
        flags.lanes = flags.lanes.max(found.as_ref().map_or(1, |found| found.lane + 1));
        flags.add(view, run, mark, (axis, lanes), found);
    }
    flags
}

/// The room of each mark, in the first of the forms that has one.
fn placed(marks: &[&Mark], axis: StepAxis, lanes: usize, forms: &[Form]) -> Vec<Option<Found>> {
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); lanes];
    let mut place = |mark: &&Mark| {
        let at = axis.place(axis.x(mark.step))?;
        let found = forms.iter().find_map(|form| room(&taken, axis, at, mark, *form))?;
        taken[found.lane].push((found.left, found.right));
        Some(found)
    };
    marks.iter().map(&mut place).collect()
}

/// Gives each flag whose text is short or cut what its lane has left to the right of it: no text is shortened without need.
fn grow(marks: &[&Mark], axis: StepAxis, found: &mut [Option<Found>]) {
    for (i, mark) in marks.iter().enumerate() {
        let Some((lane, left)) = found[i].as_ref().map(|flag| (flag.lane, flag.left)) else {
            continue;
        };
        // One that hangs to the left of its step ends there.
        if axis.place(axis.x(mark.step)).is_none_or(|at| left < at) {
            continue;
        }
        let next = found.iter().flatten().filter(|flag| flag.lane == lane && flag.left > left);
        let end = next.map(|flag| flag.left - GAP).fold(axis.points, f64::min);
        let Some(flag) = &mut found[i] else { continue };
        let [full, short] = mark.in_words();
        let is_whole = flag.text == full && flag.right - left >= width(&full);
        let fits = [full, short.clone()].into_iter().find(|text| left + width(text) <= end);
        let (text, right) = match fits {
            Some(text) => (text.clone(), left + width(&text)),
            None => (short, end),
        };
        if !is_whole && right >= flag.right {
            (flag.text, flag.right) = (text, right);
        }
    }
}

/// What a text takes in a flag, in points.
fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER + 8.0
}

/// The first lane that has room for a text at a place.
fn room(
    taken: &[Vec<(f64, f64)>],
    axis: StepAxis,
    at: f64,
    mark: &Mark,
    form: Form,
) -> Option<Found> {
    let [full, short] = mark.in_words();
    let text = if form == Form::Full { full } else { short };
    let width = width(&text);
    let width = match form {
        Form::Full | Form::Short => width,
        Form::Cut => width.min(CUT),
        Form::Stub => width.min(STUB),
    };
    // A flag near the right end hangs to the left of its step.
    let left = if at + width > axis.points { (at - width).max(0.0) } else { at };
    let right = (left + width).min(axis.points);
    let clear = |taken: &Vec<(f64, f64)>| {
        taken.iter().all(|(from, to)| left > to + GAP || right + GAP < *from)
    };
    let lane = taken.iter().position(clear)?;
    Some(Found { lane, left, right, text })
}

impl Flags {
    fn add(
        &mut self,
        view: &View<'_>,
        run: &Recording,
        mark: &Mark,
        (axis, lanes): (StepAxis, Lanes),
        found: Option<Found>,
    ) {
        let x = axis.x(mark.step);
        let place = axis.place(x).unwrap_or(0.0);
        let (left, right) = found.as_ref().map_or_else(
            || ((place - 1.5).max(0.0), (place + 1.5).min(axis.points)),
            |found| (found.left, found.right),
        );
        let (bottom, top) = found.as_ref().map_or((0.0, lanes.base), |found| {
            let bottom = lanes.base + lanes.height * found.lane as f64;
            (bottom + 0.06 * lanes.height, bottom + 0.94 * lanes.height)
        });
        let color = color(mark.kind, view.palette);
        self.poles.push(figure::Mark::Rect {
            from: [x, 0.0],
            to: [x, top],
            fill: None,
            stroke: Some(color),
            width: 0.8,
        });
        let fill = colors::mix(view.palette.paper, color, 0.3);
        self.cells.push(Cell {
            from: [axis.step_at(left), bottom],
            to: [axis.step_at(right), top],
            text: found.map_or_else(String::new, |found| found.text),
            fill: Some(fill),
            stroke: None,
            ink: colors::text_on(fill),
            pick: Pick::Step(run.nearest_recorded(mark.step).unwrap_or(mark.step)),
            hover: hover(mark),
            value: Some(("step", x)),
        });
    }
}

/// What a flag says under the pointer: what it is, and what that means.
pub fn hover(mark: &Mark) -> String {
    let what = format!("step {}: {}", mark.step, mark.in_words()[0]);
    match flags::describe(mark) {
        "" => what,
        means => format!("{what}\n{means}"),
    }
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
        MarkKind::Emergence => palette.accent,
        MarkKind::Intervention => colors::changed(palette),
        MarkKind::Note => palette.faint,
    }
}
