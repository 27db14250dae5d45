//! From a question to its arrays, or to the sentence that stands in their place.

use std::sync::Arc;

use crate::base::array::Array;
use crate::base::batch::Row;
use crate::base::intervention::is_cut;
use crate::base::plain::Plain;
use crate::base::question::{Found, MeasurementCall, Reading, Readings};
use crate::figure::Figure;

use super::{NetShape, Selection, View};

/// A figure that is a sentence.
pub fn sentence(text: impl Into<String>) -> Figure {
    Figure { empty: Some(text.into()), columns: 1, ..Figure::default() }
}

/// All answers.
///
/// # Errors
/// The figure to show in their place: why the examination failed, or else that they are awaited.
pub fn answers<'a>(view: &View<'a>, waiting: &str) -> Result<&'a Readings, Figure> {
    view.readings.ok_or_else(|| sentence(view.failure.unwrap_or(waiting)))
}

/// The answer to `call`.
///
/// # Errors
/// The figure to show in its place: it is awaited, or it could not be given.
pub fn reading<'a>(view: &View<'a>, call: &MeasurementCall) -> Result<&'a Reading, Figure> {
    let readings = answers(view, "Waiting for the network's first answer.")?;
    match readings.get(call) {
        Some(Ok(reading)) => Ok(reading),
        Some(Err(error)) => Err(sentence(error.message.clone())),
        None => Err(sentence("Waiting for the answer to this question.")),
    }
}

/// The answer to a long question, as far as it has come, and how far that is.
///
/// # Errors
/// The figure to show in its place: `waiting` where nothing is known yet, or why it could not be given.
pub fn long_answer<'a>(
    view: &View<'a>,
    call: &MeasurementCall,
    waiting: &str,
) -> Result<(&'a Reading, &'a Found), Figure> {
    let awaited = || sentence(view.failure.unwrap_or(waiting));
    let found = view.analyzed.get(call).ok_or_else(awaited)?;
    match &found.reading {
        None => Err(awaited()),
        Some(Err(error)) => Err(sentence(error.message.clone())),
        Some(Ok(reading)) => Ok((reading, found)),
    }
}

/// The array `name` of an answer, with `rank` axes, none of them of length 0.
///
/// # Errors
/// The figure that says what is missing.
pub fn array<'a>(reading: &'a Reading, name: &str, rank: usize) -> Result<&'a Array, Figure> {
    let Some(array) = reading.array(name) else {
        return Err(sentence(format!(
            "The answer holds no \"{name}\", so there is nothing to draw."
        )));
    };
    let count: usize = array.shape.iter().product();
    if array.shape.len() != rank || count == 0 || array.data.len() != count {
        return Err(sentence(format!(
            "\"{name}\" has the shape {:?}; expected {rank} axes with something on them.",
            array.shape
        )));
    }
    Ok(array)
}

/// Attention of one head.
#[derive(Clone, Copy)]
pub struct Pattern<'a> {
    pub queries: usize,
    /// Positions.
    pub keys: usize,
    /// Names of the memory tokens that are keys too.
    pub memory: &'a Arc<[String]>,
    /// Row-major; a row is memory tokens and then positions.
    pub values: &'a [f32],
    /// The same, where they are an array of their own.
    pub shared: Option<&'a Arc<[f32]>>,
}

impl<'a> Pattern<'a> {
    fn of(heads: &'a Array, head: usize) -> Option<Self> {
        let (&[_, queries, keys], [.., axis]) = (&heads.shape[..], &heads.axes[..]) else {
            return None;
        };
        let keys = keys.saturating_sub(axis.origin());
        let (memory, values) = (&axis.labels, heads.outer(head));
        Some(Self { queries, keys, memory, values, shared: None })
    }

    fn alone(pattern: &'a Array) -> Option<Self> {
        let (&[queries, keys], [_, axis]) = (&pattern.shape[..], &pattern.axes[..]) else {
            return None;
        };
        let (memory, values) = (&axis.labels, &*pattern.data);
        Some(Self { queries, keys, memory, values, shared: Some(&pattern.data) })
    }

    /// Memory tokens and positions of a query, or nothing where there is no such query.
    fn whole(&self, query: usize) -> (&'a [f32], &'a [f32]) {
        let width = self.memory.len() + self.keys;
        let row = self.values.get(query * width..(query + 1) * width).unwrap_or(&[]);
        row.split_at(self.memory.len().min(row.len()))
    }

    /// Row of a query over positions.
    pub fn row(&self, query: usize) -> &'a [f32] {
        self.whole(query).1
    }

    /// What a query gives to each memory token.
    pub fn to_memory(&self, query: usize) -> &'a [f32] {
        self.whole(query).0
    }

    pub fn at(&self, query: usize, key: usize) -> f32 {
        self.row(query).get(key).copied().unwrap_or(f32::NAN)
    }
}

/// What is asked for the pattern of the head in focus; it answers for all heads of a small network.
pub fn attention_call(net: &NetShape, selection: &Selection) -> MeasurementCall {
    let call = MeasurementCall::new("attention");
    if !net.is_large() {
        return call;
    }
    let number = |n: usize| i64::try_from(n).unwrap_or(0);
    call.with("whole", "one head")
        .with("layer", number(selection.layer))
        .with("head", number(selection.head))
}

/// What is asked for the patterns of all heads; of a large network they are thumbnails.
pub fn overview_call(net: &NetShape) -> MeasurementCall {
    let call = MeasurementCall::new("attention");
    if net.is_large() { call.with("whole", "none") } else { call }
}

/// The pattern of a head from the array `pattern.layerL` `[head, query, key]`, or `pattern.layerL.headH` `[query, key]`.
///
/// # Errors
/// The figure that says what is missing.
pub fn pattern(reading: &Reading, layer: usize, head: usize) -> Result<Pattern<'_>, Figure> {
    let none = || sentence("The answer holds no pattern.");
    let one = format!("pattern.layer{layer}.head{head}");
    if reading.array(&one).is_some() {
        return Pattern::alone(array(reading, &one, 2)?).ok_or_else(none);
    }
    let heads = array(reading, &format!("pattern.layer{layer}"), 3)?;
    if head >= heads.shape[0] {
        return Err(sentence(format!(
            "Layer {layer} has heads 0 to {}, not {head}: pick another head in the overview of heads.",
            heads.shape[0] - 1
        )));
    }
    Pattern::of(heads, head).ok_or_else(none)
}

/// The pattern of a head to be drawn small: in few cells, where the sequence is long.
///
/// # Errors
/// As [`pattern`].
pub fn glance(reading: &Reading, layer: usize, head: usize) -> Result<Pattern<'_>, Figure> {
    let small = reading.array(&format!("glance.layer{layer}"));
    let small = small.filter(|heads| heads.shape.first().is_some_and(|heads| head < *heads));
    small
        .and_then(|heads| Pattern::of(heads, head))
        .map_or_else(|| pattern(reading, layer, head), Ok)
}

/// Whether a head writes nothing by what was in force when the answers were given.
pub fn is_head_cut(view: &View<'_>, layer: usize, head: usize) -> bool {
    view.readings.is_some_and(|readings| is_cut(&readings.interventions, layer, head))
}

/// The sequence in view.
pub fn tokens<'a>(view: &View<'a>) -> &'a [u32] {
    view.readings.map_or(&[], |r| &r.prompt.tokens)
}

/// What stands at a position of a sequence, for a person: its token, or the real number that it carries.
pub fn sign(view: &View<'_>, row: &Row, position: usize) -> String {
    if row.values.len() == row.len() {
        return format!("{:.2}", row.values[position]).replace('-', "\u{2212}");
    }
    row.tokens.get(position).map_or_else(String::new, |id| view.vocab.glyph(*id))
}

/// The same of all positions of the sequence in view.
pub fn signs(view: &View<'_>) -> Vec<String> {
    let of = |row: &Row| (0..row.len()).map(|position| sign(view, row, position)).collect();
    view.readings.map_or_else(Vec::new, |readings| of(&readings.prompt))
}

/// A position with its token, for a person: `17 ␣`; the number alone past the end.
pub fn place(view: &View<'_>, position: usize) -> String {
    match view.readings.filter(|readings| position < readings.prompt.len()) {
        Some(readings) => format!("{position} “{}”", sign(view, &readings.prompt, position)),
        None => position.to_string(),
    }
}

/// Why a position without a right next token has none; it follows its name.
pub fn nothing_after(view: &View<'_>, position: usize) -> &'static str {
    match position + 1 < tokens(view).len() {
        true => "the task asks for nothing",
        false => "comes nothing: the sequence ends",
    }
}

/// An answer that is so many steps behind training is said to be on its way.
const LATE: u64 = 10;

/// `step 212`, or `live, step 212`, of the answers shown; of a network that has no steps its name.
pub fn step_text(view: &View<'_>) -> String {
    let Some(readings) = view.readings else { return String::new() };
    let alone = view.runs.first().filter(|(_, run)| view.net.is_read && run.recorded.len() <= 1);
    if let Some((name, _)) = alone {
        return (*name).to_owned();
    }
    if view.step.is_none() && view.live {
        let last = view.runs.first().map_or(0, |(_, run)| run.last_step);
        let late = if last > readings.step + LATE { ", answering" } else { "" };
        return format!("live, step {}{late}", readings.step);
    }
    format!("step {}", readings.step)
}

/// Three digits after the point; fewer where they are zeros of a round number.
pub fn number(value: f32) -> String {
    if value.is_nan() {
        return "undefined".to_owned();
    }
    if value != 0.0 && value.abs() < 5e-4 {
        return format!("{value:.1e}");
    }
    format!("{:.3}", Plain(f64::from(value)))
}
