//! Scales of axes: values to places, round tick values, short and exact tick labels.

use crate::base::convert::{self, narrow};

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Along {
    #[default]
    Values,
    Logarithms,
    /// As they are from 0 to the first, then so that each doubling takes as much room as the way from 0 to the first; below 0 likewise.
    /// So steps of which each is twice the one before stand evenly, and 0 has a place.
    Doublings(f64),
}

impl Along {
    /// Logarithms, or the values as they are.
    pub fn log(on: bool) -> Self {
        if on { Self::Logarithms } else { Self::Values }
    }

    /// The value as it lies along such an axis: its logarithm on a logarithmic one; NaN where it has no place.
    pub fn place(self, value: f64) -> f64 {
        // What is infinite lies beyond everything; differences and products of what is larger than this would be, too.
        let value = value.clamp(-1e300, 1e300);
        match self {
            Self::Values => value,
            Self::Logarithms if value > 0.0 => value.ln(),
            Self::Logarithms => f64::NAN,
            Self::Doublings(first) => {
                let times = value / first;
                if times.abs() <= 1.0 { times } else { times.signum() * (1.0 + times.abs().log2()) }
            }
        }
    }

    /// The value that lies there along such an axis.
    pub fn value(self, place: f64) -> f64 {
        match self {
            Self::Values => place,
            Self::Logarithms => place.exp(),
            Self::Doublings(first) if place.abs() <= 1.0 => place * first,
            Self::Doublings(first) => place.signum() * first * (place.abs() - 1.0).exp2(),
        }
    }

    /// Whether a value has a place.
    pub fn has(self, value: f64) -> bool {
        self != Self::Logarithms || value > 0.0
    }
}

/// A value axis laid over a stretch of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Values at the two ends; they may run backwards.
    pub range: (f64, f64),
    pub along: Along,
    /// Places of the two ends, in points.
    pub span: (f32, f32),
}

impl Scale {
    /// A scale whose ends are numbers that differ, whatever was asked for; a logarithmic one is positive.
    pub fn new(range: (f64, f64), along: Along, span: (f32, f32)) -> Self {
        Self { range: sound(range, along == Along::Logarithms), along, span }
    }

    /// The place of a value; NaN where it has none.
    pub fn at(&self, value: f64) -> f32 {
        let (a, b) = (self.warp(self.range.0), self.warp(self.range.1));
        let t = (self.warp(value) - a) / (b - a);
        narrow(f64::from(self.span.0) + t * f64::from(self.span.1 - self.span.0))
    }

    /// The value at a place.
    pub fn value_at(&self, place: f32) -> f64 {
        let t = f64::from(place - self.span.0) / f64::from(self.span.1 - self.span.0);
        let (a, b) = (self.warp(self.range.0), self.warp(self.range.1));
        self.unwarp(a + t * (b - a))
    }

    /// Whether a value lies between the two ends.
    pub fn contains(&self, value: f64) -> bool {
        let (low, high) = ordered(self.range);
        // A millionth of the range: a tick at the very end must not fall to rounding.
        let slack = (high - low) * 1e-6;
        value >= low - slack && value <= high + slack
    }

    /// The value as it lies along the axis: its logarithm on a logarithmic one; NaN where it has no place.
    pub(super) fn warp(&self, value: f64) -> f64 {
        self.along.place(value)
    }

    /// The value that lies there along the axis.
    pub(super) fn unwarp(&self, warped: f64) -> f64 {
        self.along.value(warped)
    }

    /// The ends as they lie along the axis, the lower one first.
    pub(super) fn warped_ends(&self) -> (f64, f64) {
        ordered((self.warp(self.range.0), self.warp(self.range.1)))
    }
}

fn ordered((a, b): (f64, f64)) -> (f64, f64) {
    (a.min(b), a.max(b))
}

fn sound((a, b): (f64, f64), log: bool) -> (f64, f64) {
    // Sums and quotients of what lies between stay finite.
    let usable = |v: f64| v.abs() < 1e150;
    let (a, b) = if usable(a) && usable(b) { (a, b) } else { (0.0, 1.0) };
    if log {
        let high = a.max(b);
        if high <= 0.0 {
            return (0.1, 1.0);
        }
        // Nine decades below the top: what is not positive has no place on the scale.
        let high = high.max(1e-140);
        let (a, b) = (a.max(high * 1e-9), b.max(high * 1e-9));
        return if (a / b - 1.0).abs() < 1e-9 { (a / 2.0, b * 2.0) } else { (a, b) };
    }
    // Closer than rounding can tell apart, or than any measurement is.
    if (b - a).abs() <= 1e-9 * a.abs().max(b.abs()) || (b - a).abs() < 1e-150 {
        let half = if a.abs() < 1e-150 { 0.5 } else { a.abs() * 0.05 };
        return (a - half, a + half);
    }
    (a, b)
}

/// A tick: where, and what stands beside it (empty for a minor one).
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub label: String,
}

/// Round tick values inside a range, at most `most` of them with a label, ascending.
///
/// Linear steps are 1, 2 or 5 times a power of ten. Logarithmic ticks stand at powers of ten, or at 1, 2 and 5
/// times those where fewer than two powers lie inside; over few decades the digits between are minor ticks.
///
/// Where doublings stand evenly: 0, and logarithmic ones from the first value on.
pub fn ticks(range: (f64, f64), along: Along, most: usize) -> Vec<Tick> {
    let (low, high) = ordered(sound(range, along == Along::Logarithms));
    if most == 0 {
        return Vec::new();
    }
    match along {
        Along::Values => linear_ticks(low, high, most),
        Along::Logarithms => log_ticks(low, high, most),
        Along::Doublings(first) if low < 0.0 || high < 2.0 * first => linear_ticks(low, high, most),
        Along::Doublings(first) => {
            let zero = (low == 0.0).then(|| Tick { value: 0.0, label: "0".to_owned() });
            let others = most.saturating_sub(zero.iter().len()).max(1);
            // As on a logarithmic axis, nine decades: nobody trains for longer.
            let from = low.max(first).max(high * 1e-9);
            zero.into_iter().chain(log_ticks(from, high, others)).collect()
        }
    }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let step = nice_step(low, high, most);
    let first = (low / step - 1e-6).ceil();
    let last = (high / step + 1e-6).floor();
    let count = convert::index(last - first) + 1;
    let values: Vec<f64> = (0..count).map(|i| (first + i as f64) * step).collect();
    let labels = labels(&values, step);
    values.into_iter().zip(labels).map(|(value, label)| Tick { value, label }).collect()
}

/// The smallest round step with at most `most` ticks in the range.
fn nice_step(low: f64, high: f64, most: usize) -> f64 {
    let rough = (high - low) / most as f64;
    let mut power = 10f64.powi(convert::integer(rough.log10().floor()));
    loop {
        for factor in [1.0, 2.0, 5.0] {
            let step = factor * power;
            let count = (high / step + 1e-6).floor() - (low / step - 1e-6).ceil() + 1.0;
            if count <= most as f64 {
                return step;
            }
        }
        power *= 10.0;
    }
}

fn log_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let inside = |v: f64| v >= low * (1.0 - 1e-9) && v <= high * (1.0 + 1e-9);
    let (first, last) =
        (convert::integer(low.log10().floor()), convert::integer(high.log10().ceil()));
    let powers: Vec<i32> = (first..=last).filter(|p| inside(10f64.powi(*p))).collect();
    if powers.len() < 2 {
        return log_ticks_in_a_decade(low, high, most);
    }
    let stride = powers.len().div_ceil(most);
    let mut ticks: Vec<Tick> = powers
        .iter()
        .enumerate()
        .map(|(i, p)| Tick {
            value: 10f64.powi(*p),
            label: if i % stride == 0 { number(10f64.powi(*p)) } else { String::new() },
        })
        .collect();
    if last - first <= 4 {
        let minor = (first..=last).flat_map(|p| (2..10).map(move |m| f64::from(m) * 10f64.powi(p)));
        ticks
            .extend(minor.filter(|v| inside(*v)).map(|value| Tick { value, label: String::new() }));
        ticks.sort_by(|a, b| a.value.total_cmp(&b.value));
    }
    ticks
}

fn log_ticks_in_a_decade(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let (first, last) =
        (convert::integer(low.log10().floor()), convert::integer(high.log10().ceil()));
    let round: Vec<f64> = (first..=last)
        .flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)))
        .filter(|v| *v >= low * (1.0 - 1e-9) && *v <= high * (1.0 + 1e-9))
        .collect();
    if round.len() < 2 || round.len() > most {
        return linear_ticks(low, high, most);
    }
    round.into_iter().map(|value| Tick { value, label: number(value) }).collect()
}

/// Labels of values that are multiples of a step: one notation for all, as many decimals as the step needs.
fn labels(values: &[f64], step: f64) -> Vec<String> {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest >= 1e7 || step < 1e-4 {
        return values.iter().map(|v| scientific(*v, step)).collect();
    }
    let (divisor, suffix) = match step {
        s if s >= 1e6 || (largest >= 1e6 && is_multiple(s, 1e5)) => (1e6, "M"),
        s if largest >= 1e4 && is_multiple(s, 100.0) => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = decimals_of(step / divisor);
    values
        .iter()
        .map(|v| match *v == 0.0 {
            true if !suffix.is_empty() => "0".to_owned(),
            _ => minus(&format!("{:.decimals$}{suffix}", v / divisor)),
        })
        .collect()
}

fn is_multiple(value: f64, of: f64) -> bool {
    let times = value / of;
    times >= 1.0 - 1e-9 && (times - times.round()).abs() < 1e-9
}

fn decimals_of(step: f64) -> usize {
    let fits = |(_, d): &(usize, i32)| is_multiple(step * 10f64.powi(*d), 1.0);
    (0..12).zip(0..).find(fits).map_or(12, |(decimals, _)| decimals)
}

/// `2e−5`: as many digits as tell multiples of the step apart.
fn scientific(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = convert::integer(value.abs().log10().floor());
    let digits = decimals_of(step / 10f64.powi(exponent));
    let text = format!("{:.digits$}e{exponent}", value / 10f64.powi(exponent));
    minus(&text)
}

/// A number as short as it can be said with four significant digits: `0.834`, `12`, `1.5e−7`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return minus(&value.to_string());
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&size) {
        let text = format!("{value:.3e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.')
        } else {
            digits
        };
        return minus(&format!("{digits}e{exponent}"));
    }
    let decimals = convert::index((3.0 - size.log10().floor()).clamp(0.0, 8.0));
    let text = format!("{value:.decimals$}");
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    minus(short)
}

/// The sign of a negative number as typographers write it.
fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// The smallest `k` for which every `k`-th of a row of labels stands clear of the next; `extents` are the places
/// and half-widths, in order, `gap` the least room between two. 0 when there are no labels.
pub fn stride(extents: &[(f32, f32)], gap: f32) -> usize {
    let clear = |k: usize| {
        let kept: Vec<&(f32, f32)> = extents.iter().step_by(k).collect();
        kept.windows(2).all(|w| (w[1].0 - w[0].0).abs() >= w[0].1 + w[1].1 + gap)
    };
    (1..=extents.len()).find(|k| clear(*k)).unwrap_or(extents.len())
}
