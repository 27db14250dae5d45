//! Marks cut to the axes of their plot before they become coordinates: what lies far outside has none that every file can
//! hold, and is pointed at from the edge instead.

use super::scale::Scale;
use super::{Mark, Plot};

/// What is left of a line inside its axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cut {
    /// Its stretches, in the values of the axes. A point without neighbours is a stretch of its own.
    pub runs: Vec<Vec<[f64; 2]>>,
    /// Where it goes on beyond an end of the y axis: the last place that is on it.
    pub exits: Vec<[f64; 2]>,
}

/// Cuts a line to its axes and a little more (`slack`, in parts of the two axes), with new points where it is cut. It has a
/// gap wherever a point has no place.
pub fn line(points: &[[f64; 2]], axes: [&Scale; 2], slack: [f64; 2]) -> Cut {
    let frame = Frame::new(axes, slack);
    let mut cut = Cut::default();
    let places = points.iter().map(|point| frame.place(*point));
    let mut before: Option<Vertex> = None;
    let mut run: Vec<[f64; 2]> = Vec::new();
    for (point, place) in points.iter().zip(places) {
        let here = place.map(|place| (*point, place));
        match (before, here) {
            (Some(from), Some(to)) => frame.go_on(&mut cut, &mut run, from, to),
            (_, None) => cut.end(&mut run),
            (None, Some((point, place))) => {
                cut.end(&mut run);
                if frame.holds(place) {
                    run.push(point);
                }
                cut.exits.extend(frame.beyond(place));
            }
        }
        before = here;
    }
    cut.end(&mut run);
    frame.thin(&mut cut.exits);
    cut
}

/// What points from the edge of a plot to the parts of a mark that lie beyond it.
pub fn wedges(plot: &Plot, mark: &Mark) -> Vec<Mark> {
    let [x, y] = [&plot.x, &plot.y].map(|axis| Scale::new(axis.range, axis.along, (0.0, 1.0)));
    let is_beyond = |[a, b]: &[f64; 2]| {
        let has_place = x.warp(*a).is_finite() && y.warp(*b).is_finite();
        has_place && !(x.contains(*a) && y.contains(*b))
    };
    match mark {
        Mark::Line { points, color, .. } => {
            let exits = line(points, [&x, &y], [0.0; 2]).exits;
            exits.into_iter().map(|at| Mark::Wedge { at, color: *color }).collect()
        }
        Mark::Points { points, colors, .. } => {
            let color = |i: usize| colors.get(i).or(colors.last()).copied();
            let all = points.iter().enumerate().filter(|(_, point)| is_beyond(point));
            all.filter_map(|(i, at)| Some(Mark::Wedge { at: *at, color: color(i)? })).collect()
        }
        Mark::Bars { at, values, color, .. } => {
            let all = at.iter().zip(values).map(|(at, value)| [*at, *value]);
            let color = color.ink_on();
            all.filter(is_beyond).map(|at| Mark::Wedge { at, color }).collect()
        }
        Mark::Heat(_)
        | Mark::Rect { .. }
        | Mark::Frame { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Arc { .. }
        | Mark::Text { .. }
        | Mark::Upright { .. }
        | Mark::Wedge { .. }
        | Mark::Cells(_)
        | Mark::Cloud(_) => Vec::new(),
    }
}

impl Cut {
    fn end(&mut self, run: &mut Vec<[f64; 2]>) {
        if !run.is_empty() {
            self.runs.push(std::mem::take(run));
        }
    }
}

/// A point of a line: its values, and its place along the axes.
type Vertex = ([f64; 2], [f64; 2]);

/// A rectangle in the values of two axes, or their logarithms.
struct Frame<'a> {
    axes: [&'a Scale; 2],
    /// The ends of the axes themselves, and with the slack.
    ends: [(f64, f64); 2],
    wide: [(f64, f64); 2],
}

impl<'a> Frame<'a> {
    fn new(axes: [&'a Scale; 2], slack: [f64; 2]) -> Self {
        let ends = axes.map(Scale::warped_ends);
        let grown = |(low, high): (f64, f64), slack: f64| {
            let room = slack * (high - low);
            (low - room, high + room)
        };
        Self { axes, ends, wide: [grown(ends[0], slack[0]), grown(ends[1], slack[1])] }
    }

    /// Where a point lies; `None` where it has no place.
    fn place(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        let place = [self.axes[0].warp(point[0]), self.axes[1].warp(point[1])];
        place.iter().all(|v| v.is_finite()).then_some(place)
    }

    fn holds(&self, place: [f64; 2]) -> bool {
        (0..2).all(|i| place[i] >= self.wide[i].0 && place[i] <= self.wide[i].1)
    }

    /// A line that comes and goes is pointed at once in a fiftieth of the axis.
    fn thin(&self, exits: &mut Vec<[f64; 2]>) {
        let (low, high) = self.ends[0];
        let mut last = f64::NEG_INFINITY;
        exits.retain(|exit| {
            let here = self.axes[0].warp(exit[0]);
            let is_apart = (here - last).abs() >= 0.02 * (high - low);
            last = if is_apart { here } else { last };
            is_apart
        });
    }

    fn value(&self, place: [f64; 2]) -> [f64; 2] {
        [self.axes[0].unwarp(place[0]), self.axes[1].unwarp(place[1])]
    }

    /// Whether a place lies beyond an end of the y axis: the place at that end.
    fn beyond(&self, place: [f64; 2]) -> Option<[f64; 2]> {
        let (across, (low, high)) = (self.ends[0], self.ends[1]);
        let slack = 1e-6 * (high - low);
        let end = match place[1] {
            y if y > high + slack => high,
            y if y < low - slack => low,
            _ => return None,
        };
        let inside = place[0] >= across.0 && place[0] <= across.1;
        inside.then(|| self.value([place[0], end]))
    }

    /// Draws from one point to the next.
    fn go_on(&self, cut: &mut Cut, run: &mut Vec<[f64; 2]>, from: Vertex, to: Vertex) {
        // Most of most lines is inside.
        if run.last() == Some(&from.0) && self.holds(to.1) {
            run.push(to.0);
            return;
        }
        if let Some([start, end]) = stretch(from.1, to.1, self.wide) {
            let exact = |place: [f64; 2], of: Vertex| {
                if place == of.1 { of.0 } else { self.value(place) }
            };
            let start = exact(start, from);
            if run.last() != Some(&start) {
                cut.end(run);
                run.push(start);
            }
            run.push(exact(end, to));
        } else {
            cut.end(run);
        }
        if self.beyond(from.1).is_none()
            && let Some(end) = self.beyond(to.1)
        {
            let crossing = stretch(from.1, to.1, self.ends).map(|[_, last]| self.value(last));
            cut.exits.push(crossing.unwrap_or(end));
        }
    }
}

/// What of the way from one place to another lies in a rectangle (Liang and Barsky 1984).
fn stretch(from: [f64; 2], to: [f64; 2], ends: [(f64, f64); 2]) -> Option<[[f64; 2]; 2]> {
    let way = [to[0] - from[0], to[1] - from[1]];
    let (mut enter, mut leave) = (0f64, 1f64);
    for (i, (low, high)) in ends.iter().enumerate() {
        for (pace, room) in [(-way[i], from[i] - low), (way[i], high - from[i])] {
            match pace {
                0.0 if room < 0.0 => return None,
                0.0 => {}
                pace if pace < 0.0 => enter = enter.max(room / pace),
                pace => leave = leave.min(room / pace),
            }
        }
    }
    let at = |t: f64| match t {
        0.0 => from,
        1.0 => to,
        // What rounding of a long way would move out of the rectangle is held at its edge.
        t => std::array::from_fn(|i| (from[i] + t * way[i]).clamp(ends[i].0, ends[i].1)),
    };
    (enter <= leave).then(|| [at(enter), at(leave)])
}

/// The part of the way between two points that lies on the axes; `None` where none does.
pub fn segment(from: [f64; 2], to: [f64; 2], axes: [&Scale; 2]) -> Option<[[f64; 2]; 2]> {
    let frame = Frame::new(axes, [0.0; 2]);
    let [start, end] = stretch(frame.place(from)?, frame.place(to)?, frame.ends)?;
    Some([frame.value(start), frame.value(end)])
}
