//! The run from its first step to its last: recorded steps, marks, and the step in view.

use crate::figure::{Axis, Cell, Figure, Mark, Pick, Plot, Ticks};
use crate::record::question::ProbeCall;
use crate::record::recording::Recording;

use super::answer::sentence;
use super::flags::{self, StepAxis, flags};
use super::{NetShape, Panel, Selection, View, ink};

crate::knobs! {
    /// The panel `timeline`.
    pub struct Timeline = "All recorded steps of the run, what happened when, and the step in view: click a step to go there." {
        /// Steps on a logarithmic axis: the beginning, where most happens, gets more room.
        log: bool = false, @live;
        /// Name what happened on flags above the steps.
        names: bool = true, @live;
    }
}

/// Lanes of flags above the track of steps.
const LANES: usize = 3;

impl Panel for Timeline {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<ProbeCall> {
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
            title: title(view, name, recording),
            plots: vec![self.track(view, recording)],
            columns: 1,
            caption: String::new(),
            empty: None,
        }
    }
}

impl Timeline {
    fn track(&self, view: &View<'_>, recording: &Recording) -> Plot {
        let axis = self.axis(view, recording);
        // Flags at y 0 to LANES from the top; the track of steps below them.
        let middle = LANES as f64 + 0.5;
        let now = view.step.unwrap_or(recording.last_step);
        let mut marks = vec![
            measured_only(view, recording, axis, middle),
            recorded(view, recording, axis, middle),
        ];
        marks.extend(recording.marks.iter().filter(|m| in_range(axis, m.step)).map(|mark| {
            let x = mark.step as f64;
            Mark::Rect {
                from: [x, 0.0],
                to: [x, middle + 0.5],
                fill: None,
                stroke: Some(flags::color(mark.kind, view.palette)),
                width: 1.0,
            }
        }));
        if self.names {
            marks.push(Mark::Cells(flags(recording, axis, LANES, view.palette)));
        }
        if in_range(axis, now) {
            marks.push(Mark::Upright {
                x: now as f64,
                text: String::new(),
                color: view.palette.ink,
                dashed: view.step.is_none(),
            });
        }
        Plot {
            x: Axis {
                label: "step".to_owned(),
                range: axis.range,
                log: axis.log,
                ticks: Ticks::Auto,
            },
            y: Axis { range: (middle + 0.5, 0.0), ticks: Ticks::Hidden, ..Axis::default() },
            marks,
            ..Plot::default()
        }
    }

    fn axis(&self, view: &View<'_>, recording: &Recording) -> StepAxis {
        let last_row = recording.rows.last().map_or(0, |row| row.step);
        let last = recording.last_step.max(last_row).max(10) as f64;
        let first = if self.log { 1.0 } else { 0.0 };
        StepAxis {
            range: (first, last * if self.log { 1.05 } else { 1.01 }),
            log: self.log,
            points: f64::from(view.size[0] - 24.0).max(40.0),
        }
    }
}

/// `run birth: step 212 of 900 recorded, 31 to go back to`.
fn title(view: &View<'_>, name: &str, recording: &Recording) -> String {
    let here = match view.step {
        None => format!("live, step {}", recording.last_step),
        Some(step) => format!("step {step} of {}", recording.last_step),
    };
    format!("{name}: {here}; {} recorded", recording.recorded.len())
}

fn in_range(axis: StepAxis, step: u64) -> bool {
    (axis.range.0..=axis.range.1).contains(&(step as f64))
}

/// Steps whose weights are recorded: every panel can go back to them.
fn recorded(view: &View<'_>, recording: &Recording, axis: StepAxis, y: f64) -> Mark {
    let fill = ink::mix(view.palette.paper, view.palette.accent, 0.85);
    let cell = |step: u64| {
        let (from, to) = axis.around(step as f64, 1.5);
        Cell {
            from: [from, y - 0.3],
            to: [to, y + 0.3],
            text: String::new(),
            fill: Some(fill),
            stroke: None,
            ink: view.palette.ink,
            pick: Pick::Step(step),
            hover: format!("step {step}: recorded, click to go there"),
        }
    };
    Mark::Cells(thinned(&recording.recorded, axis).into_iter().map(cell).collect())
}

/// Steps with metrics alone: smaller, fainter, and no place to go back to.
fn measured_only(view: &View<'_>, recording: &Recording, axis: StepAxis, y: f64) -> Mark {
    let measured: Vec<u64> = recording
        .rows
        .iter()
        .map(|row| row.step)
        .filter(|step| recording.recorded.binary_search(step).is_err())
        .collect();
    let steps = thinned(&measured, axis);
    Mark::Points {
        name: "metrics only".to_owned(),
        points: steps.iter().map(|&s| [s as f64, y]).collect(),
        colors: vec![ink::mix(view.palette.paper, view.palette.ink, 0.35); steps.len()].into(),
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
