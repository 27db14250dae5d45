//! The run from its first step to its last: recorded steps, marks, and the step in view.

use crate::base::convert;
use crate::base::question::MeasurementCall;
use crate::figure::{Along, Axis, Cell, Figure, Mark, Pick, Plot, Ticks};
use crate::run_folder::recording::Recording;

use super::compare::Compares;
use super::outputs::sentence;
use super::step_marks::{Lanes, StepAxis, flags};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Timeline",
    look_for: "Flags: what emerged and what was changed by hand, and when. Ticks are steps whose weights are recorded.",
    click: "A click on a tick or a flag looks back at that step, a drag moves through time, L goes back to live.",
    stack: Stack::Foot,
    aspect: 0.3,
    compares: Compares::Never,
    ..PanelKind::new("timeline", || Box::<Timeline>::default())
};

crate::settings! {
    /// The panel `timeline`.
    pub struct Timeline = "All recorded steps of the run, what happened when, and the step in view: click a step to go there." {
        /// Steps on a logarithmic axis: the beginning, where most happens, gets more room.
        log: bool = false, @live;
        /// Steps of a series of checkpoints that lie further and further apart stand evenly: each doubling of the step takes the same room, and step 0 has a place.
        doublings: bool = true, @live;
        /// Name what happened on flags above the steps.
        names: bool = true, @live;
    }
}

/// Most lanes of flags above the track of steps.
const MOST_LANES: f64 = 4.0;
/// Height of the track, in points.
const LINE: f32 = 15.0;
/// Height of a lane, in heights of the track: as low as its text allows, so that even a low panel names all marks.
const LANE: f64 = 0.72;
/// In a panel lower than this numbers would leave the track no room for a hand; pointing at it tells the step.
const LOWEST: f32 = 36.8;
/// In a panel lower than this the title alone says that the axis is of steps.
const LOW: f32 = 120.0;
/// In a panel lower than this the flags have the room of the title: the bar at the top of the window says the step, too.
const LOW_FOR_TITLE: f32 = 84.0;
/// What the margins and the numbers of the axis take, the title, and the label of the axis, in points.
const OUTSIDE: f32 = 22.0;
const TITLE: f32 = 14.0;
const LABEL: f32 = 12.0;

impl Panel for Timeline {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let Some((name, recording)) = view.runs.first() else {
            return sentence("No run yet: start one, or open a run folder.");
        };
        if recording.recorded.is_empty() && recording.rows.is_empty() {
            return sentence("Nothing is recorded yet: the first step appears here.");
        }
        Figure {
            title: if has_title(view) { title(view, name, recording) } else { String::new() },
            plots: vec![self.track(view, recording)],
            columns: 1,
            caption: String::new(),
            ..Figure::default()
        }
    }
}

impl Timeline {
    fn track(&self, view: &View<'_>, recording: &Recording) -> Plot {
        let axis = self.axis(view, recording);
        // Lines of the height of a flag; the track of steps is the lowest.
        let low = view.size[1] < LOW;
        let title = if has_title(view) { TITLE } else { 0.0 };
        let outside = OUTSIDE + title + if low { 0.0 } else { LABEL };
        let room = f64::from((view.size[1] - outside) / LINE);
        let lanes = ((room - 1.2) / LANE).clamp(0.0, MOST_LANES);
        let lanes = if self.names { lanes } else { 0.0 };
        let lanes = convert::index(lanes);
        let now = view.step.unwrap_or(recording.last_step);
        let mut marks = vec![measured_only(view, recording, axis), recorded(view, recording, axis)];
        let height = room.clamp(1.2, 1e3).max(lanes as f64 * LANE + 1.2);
        if in_range(axis, now) {
            marks.extend(playhead(view, axis, now, height));
        }
        marks.extend(
            flags(view, recording, axis, Lanes { base: 1.1, height: LANE, most: lanes })
                .into_marks(),
        );
        Plot {
            x: Axis {
                label: if low { String::new() } else { "step".to_owned() },
                range: axis.range,
                along: axis.along,
                ticks: if view.size[1] < LOWEST { Ticks::Hidden } else { Ticks::Auto },
            },
            y: Axis { range: (0.0, height), ticks: Ticks::Hidden, ..Axis::default() },
            marks,
            ..Plot::default()
        }
    }

    fn along(&self, recording: &Recording) -> Along {
        let first = recording.doubles_from().filter(|_| self.doublings && !self.log);
        first.map_or(Along::log(self.log), |first| Along::Doublings(first as f64))
    }

    fn axis(&self, view: &View<'_>, recording: &Recording) -> StepAxis {
        let last_row = recording.rows.last().map_or(0, |row| row.step);
        let last = recording.last_step.max(last_row).max(10) as f64;
        let along = self.along(recording);
        let first = if self.log { 1.0 } else { 0.0 };
        StepAxis {
            range: (first, last * if along == Along::Values { 1.01 } else { 1.05 }),
            along,
            points: f64::from(view.size[0] - 24.0).max(40.0),
            origin: 0,
        }
    }
}

/// The step in view: a line over the whole height with a handle on the track; in the accent while it is live.
fn playhead(view: &View<'_>, axis: StepAxis, step: u64, height: f64) -> [Mark; 2] {
    let color = if view.step.is_none() { view.palette.accent } else { view.palette.ink };
    let (x, (left, right)) = (step as f64, axis.around(step as f64, 5.0));
    let line =
        Mark::Rect { from: [x, 0.0], to: [x, height], fill: None, stroke: Some(color), width: 1.0 };
    let handle = Mark::Rect {
        from: [left, 0.05],
        to: [right, 0.95],
        fill: Some(color),
        stroke: None,
        width: 0.0,
    };
    [line, handle]
}

fn has_title(view: &View<'_>) -> bool {
    view.size[1] >= LOW_FOR_TITLE
}

/// `birth: step 200 of 300; 31 recorded`.
fn title(view: &View<'_>, name: &str, recording: &Recording) -> String {
    let here = match view.step {
        None if view.live => format!("live, step {}", recording.last_step),
        None => format!("step {}", recording.last_step),
        Some(step) => format!("step {step} of {}", recording.last_step),
    };
    let scored = match recording.scored {
        Some([done, all]) if done < all => format!(", {done} of them scored so far"),
        _ => String::new(),
    };
    format!("{name}: {here}; {} recorded{scored}", recording.recorded.len())
}

fn in_range(axis: StepAxis, step: u64) -> bool {
    (axis.range.0..=axis.range.1).contains(&(step as f64))
}

/// Steps whose weights are recorded: every panel can go back to them.
fn recorded(view: &View<'_>, recording: &Recording, axis: StepAxis) -> Mark {
    let fill = colors::mix(view.palette.paper, view.palette.accent, 0.85);
    let cell = |step: u64| {
        let (from, to) = axis.around(step as f64, 1.5);
        Cell {
            from: [from, 0.15],
            to: [to, 0.85],
            text: String::new(),
            fill: Some(fill),
            stroke: None,
            ink: view.palette.ink,
            pick: Pick::Step(step),
            hover: format!("step {step}: recorded, click to go there"),
            value: Some(("recorded step", step as f64)),
        }
    };
    Mark::Cells(thinned(&recording.recorded, axis).into_iter().map(cell).collect())
}

/// Steps with metrics alone: smaller, fainter, and no place to go back to.
fn measured_only(view: &View<'_>, recording: &Recording, axis: StepAxis) -> Mark {
    let measured: Vec<u64> = recording
        .rows
        .iter()
        .map(|row| row.step)
        .filter(|step| recording.recorded.binary_search(step).is_err())
        .collect();
    let steps = thinned(&measured, axis);
    Mark::Points {
        name: "metrics only".to_owned(),
        points: steps.iter().map(|&s| [s as f64, 0.5]).collect(),
        colors: vec![colors::mix(view.palette.paper, view.palette.ink, 0.35); steps.len()].into(),
        diameter: 1.5,
        picks: Vec::new().into(),
    }
}

/// At most one step per two points of the axis, the first of each: more could be neither seen nor hit.
fn thinned(steps: &[u64], axis: StepAxis) -> Vec<u64> {
    let shown = steps.iter().copied().filter(|&step| in_range(axis, step));
    let mut kept: Vec<u64> = Vec::new();
    let mut last_bin = None;
    for step in shown {
        let bin = axis.bin(step as f64, 2.0);
        if last_bin != Some(bin) {
            kept.push(step);
            last_bin = Some(bin);
        }
    }
    kept
}
