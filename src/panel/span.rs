//! How far axes and colours go: as far as what is ordinary, so that a few wild values do not flatten all others.

use crate::base::convert::narrow;
use crate::figure::scale::number;
use crate::figure::{Mark, Plot};
use crate::numeric::correlation::median;
use crate::run_folder::recording::Recording;
use crate::sweep::diverged;

crate::choices! {
    /// How far the axis of values goes.
    pub enum Range {
        /// As far as ordinary values.
        Auto = "auto",
        /// As far as all values.
        All = "all",
        /// From `y_min` to `y_max`.
        Fixed = "fixed",
    }
}

/// The settings of an axis of values.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub range: Range,
    pub fixed: (f64, f64),
    pub log: bool,
}

impl Limits {
    /// # Errors
    /// When the fixed ends are no range: a sentence.
    pub fn check(&self) -> Result<(), String> {
        let (low, high) = self.fixed;
        if self.range == Range::Fixed && low >= high {
            return Err(format!(
                "The axis of values is to go from y_min = {low} to y_max = {high}: choose a y_max above y_min, or another range."
            ));
        }
        Ok(())
    }
}

/// Smallest and largest of the values seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    pub low: f64,
    pub high: f64,
}

impl Default for Extent {
    fn default() -> Self {
        Self { low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

impl Extent {
    pub fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }
}

/// What the lines of a plot span.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    sound: Extent,
    diverged: Extent,
}

impl Span {
    /// Adds a line of a run: `(step, value)` in order of steps.
    pub fn add(&mut self, points: &[[f64; 2]], end: Option<u64>, limits: &Limits) {
        let (extent, limit) = match (limits.range, end) {
            (Range::All | Range::Fixed, _) => (&mut self.sound, f64::MAX),
            (Range::Auto, None) => (&mut self.sound, limit(points.iter().map(|p| p[1]))),
            (Range::Auto, Some(end)) => {
                let limit = limit_before(points, end, limits.log);
                (&mut self.diverged, limit)
            }
        };
        let counts = |p: &&[f64; 2]| p[1].abs() <= limit && (!limits.log || p[1] > 0.0);
        points.iter().filter(counts).for_each(|p| extent.add(p[1]));
    }

    /// Of the lines of runs that did not diverge; where there are none, of all.
    pub fn extent(&self) -> Extent {
        if self.sound.is_empty() { self.diverged } else { self.sound }
    }
}

/// The step at which a run diverged, where that is its end.
pub fn end(run: &Recording) -> Option<u64> {
    diverged(&run.marks).filter(|step| run.rows.last().is_none_or(|row| row.step <= *step))
}

/// So many times as large as what a line was before, a value of a run that diverged is on its way to infinity; on a
/// logarithmic axis there is room for more.
const WILD: f64 = 10.0;
const WILD_LOG: f64 = 1000.0;

/// The largest size of a value that decides in a line of a run that diverged at a step: ten (a thousand) times what the line
/// was before, which is its first value or the median size of the first half of its values up to that step, whichever is
/// larger.
fn limit_before(points: &[[f64; 2]], end: u64, log: bool) -> f64 {
    let before = points.iter().filter(|p| p[0] < end as f64 && p[1].is_finite());
    let sizes: Vec<f64> = before.map(|p| p[1].abs()).filter(|size| !log || *size > 0.0).collect();
    let Some(first) = sizes.first().copied() else { return f64::MAX };
    let half = sizes[..sizes.len().div_ceil(2)].to_vec();
    let usual = median(half).unwrap_or(first).max(first);
    let times = if log { WILD_LOG } else { WILD };
    if usual > 0.0 { times * usual } else { f64::MAX }
}

/// No loss, logit or score of a network that works is larger than this (in nats, or without a unit).
const ABSURD: f64 = 1000.0;
/// And so many times as large as the values around it, it makes all of them one colour.
const ALONE: f64 = 100.0;

/// The largest size of a value that decides how far a scale goes. All do, but for those above 1000 that are a hundred times as
/// large as the largest of the three quarters of the values that are smallest; where there are none of these, the largest number.
pub fn limit(values: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = values.map(f64::abs).filter(|size| size.is_finite()).collect();
    if sizes.iter().all(|size| *size <= ABSURD) {
        return f64::MAX;
    }
    let last = (sizes.len() * 3).div_ceil(4) - 1;
    let (_, usual, _) = sizes.select_nth_unstable_by(last, f64::total_cmp);
    ABSURD.max(ALONE * *usual)
}

/// The mean of the values that are known; none where none is.
pub fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|v| v.is_finite()) {
        (sum, count) = (sum + value, count + 1.0);
    }
    (count > 0.0).then(|| sum / count)
}

/// The largest size among the values that decide; 0 where there are none.
pub fn most<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    let values: Vec<f64> = values.into_iter().map(|v| f64::from(*v)).collect();
    let limit = limit(values.iter().copied());
    let sizes = values.iter().map(|v| v.abs()).filter(|size| size.is_finite() && *size <= limit);
    narrow(sizes.fold(0.0, f64::max))
}

/// Says how many values lie beyond a scale of colours; nothing where none does.
pub fn past_colors<'a>(
    values: impl IntoIterator<Item = &'a f32>,
    (low, high): (f32, f32),
) -> String {
    let past = |v: &&f32| **v < low || **v > high;
    let past: Vec<f32> = values.into_iter().filter(past).copied().collect();
    let most = past.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    match past.len() {
        0 => String::new(),
        1 => format!("One value lies beyond the colours: {}.", number(f64::from(most))),
        n => format!("{n} values lie beyond the colours, up to {}.", number(f64::from(most))),
    }
}

/// Says how many values of the maps of a figure lie beyond their colours.
pub fn past_maps(plots: &[Plot]) -> String {
    let heats = plots.iter().flat_map(|plot| &plot.marks).filter_map(|mark| {
        let Mark::Heat(heat) = mark else { return None };
        Some(past_colors(heat.values.iter(), heat.range))
    });
    heats.filter(|said| !said.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Says where a line leaves its axis, and how far it goes: `loss from step 8 on (up to 1e30)`; nothing where it stays on it.
pub fn past(name: &str, points: &[[f64; 2]], (low, high): (f64, f64), log: bool) -> Option<String> {
    // A value at the very end of an axis must not fall to rounding.
    let slack = 1e-6 * (high - low);
    // What is not positive has no place on a logarithmic axis, and is a gap.
    let has_place = |value: f64| !log || value > 0.0;
    let beyond = |p: &&[f64; 2]| p[1] > high + slack || (p[1] < low - slack && has_place(p[1]));
    let first = points.iter().position(|p| beyond(&p))?;
    let rest = points[first..].iter().filter(|p| !p[1].is_nan());
    let when = match rest.clone().count() {
        1 => format!("at step {}", points[first][0]),
        _ if rest.clone().all(|p| beyond(&p)) => format!("from step {} on", points[first][0]),
        _ => format!("first at step {}", points[first][0]),
    };
    let farthest = rest.filter(beyond).max_by(|a, b| a[1].abs().total_cmp(&b[1].abs()))?;
    Some(format!("{name} {when} (up to {})", number(farthest[1])))
}

/// Those that say something, one after the other.
pub fn sentences<const N: usize>(parts: [String; N]) -> String {
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    said.join(" ")
}

/// One sentence for all that leaves the axes.
pub fn past_axes(lines: &[String]) -> String {
    const MOST: usize = 4;
    let more = lines.len().saturating_sub(MOST);
    let shown = lines[..lines.len().min(MOST)].join("; ");
    match (lines, more) {
        ([], _) => String::new(),
        (_, 0) => format!("Beyond the axis: {shown}."),
        (_, more) => format!("Beyond the axis: {shown}; and {more} more."),
    }
}
