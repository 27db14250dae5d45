//! Answers as files for other programs: JSON and NumPy arrays.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::run_at::RunAt;
use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::base::question::{Reading, Readings};
use crate::formats::npz::{Archive, Member, Names, Numbers, archive};

/// Writes what every place of one pass holds, an array for each under its name as the pass comes there, with `tokens` and `about` beside
/// them.
///
/// # Errors
/// Those of the pass, or when it cannot be written.
pub fn write_places(run: &mut RunAt, out: impl Write + Seek) -> Result<()> {
    let (mut archive, mut axes) = (Archive::new(out), Map::new());
    run.places(&mut |array| {
        axes.insert(array.name.clone(), json!(array.axis_names()));
        archive.add(&Member::of(&array))
    })?;
    let (tokens, length) = (&run.prompt.tokens, [run.prompt.tokens.len()]);
    let numbers = Numbers::U32(tokens);
    archive.add(&Member { name: "tokens".to_owned(), shape: &length, numbers })?;
    let mut about = about(run, run.weights.step, &run.interventions);
    about["axes"] = Value::Object(axes);
    let about = about.to_string();
    archive.add(&Member::about(&about, &[about.len()]))?;
    archive.finish().map(drop)
}

/// What all formats say beside the numbers.
fn about(run: &RunAt, step: u64, interventions: &[Intervention]) -> Value {
    let vocab = run.instrument.source().vocab();
    json!({
        "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
        "experiment": run.experiment.name,
        "experiment_toml": run.experiment.to_toml(),
        "seed": run.experiment.train.seed,
        "step": step,
        "tokens": run.prompt.tokens,
        "text": run.prompt.tokens.iter().map(|&t| vocab.text(t)).collect::<Vec<_>>(),
        "interventions": interventions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A number that JSON can hold: NaN and infinities become null.
pub(super) fn number(value: f64) -> Value {
    // Minus zero is zero.
    serde_json::Number::from_f64(value + 0.0).map_or(Value::Null, Value::Number)
}

pub(super) fn array_json(array: &Array) -> Value {
    let data: Vec<Value> = array.data.iter().map(|&x| number(f64::from(x))).collect();
    let mut value = json!({ "axes": array.axis_names(), "shape": array.shape, "data": data });
    if let Some(labels) = labels_json(array) {
        value["labels"] = labels;
    }
    value
}

/// By axis, the labels of those that do not begin at position 0; `None` where all do.
fn labels_json(array: &Array) -> Option<Value> {
    let labels: Map<String, Value> =
        array.labels().map(|(axis, labels)| (axis.to_owned(), json!(labels))).collect();
    (!labels.is_empty()).then_some(Value::Object(labels))
}

/// What was answered, by question.
type ByCall = BTreeMap<String, Result<Arc<Reading>>>;

/// A run, and what it answered.
#[derive(Clone, Copy)]
pub struct Answered<'a> {
    pub run: &'a RunAt,
    pub readings: &'a Readings,
}

/// The answers of A minus those of B to the same questions.
pub struct Difference {
    pub by_call: ByCall,
    /// `PROBE/NAME` of each number and array of one of them that has no counterpart in the other; `PROBE` where one of them does
    /// not answer at all.
    pub left_out: Vec<String>,
}

impl Difference {
    pub fn new(a: &Readings, b: &Readings) -> Self {
        let (mut by_call, mut left_out) = (ByCall::new(), Vec::new());
        for (key, a) in &a.by_call {
            let b = b.by_call.get(key).and_then(|b| b.as_ref().ok());
            let (Ok(a), Some(b)) = (a, b) else {
                left_out.extend((a.is_ok() || b.is_some()).then(|| key.clone()));
                continue;
            };
            let less = a.minus(b);
            left_out.extend(alone(a, &less).map(|name| format!("{key}/{name}")));
            let of_b = alone(b, &less).filter(|name| !names(a).any(|of_a| of_a == *name));
            left_out.extend(of_b.map(|name| format!("{key}/{name}")));
            by_call.insert(key.clone(), Ok(Arc::new(less)));
        }
        Self { by_call, left_out }
    }
}

/// The names of all numbers and arrays of an answer.
fn names(reading: &Reading) -> impl Iterator<Item = &String> {
    let numbers = reading.numbers.iter().map(|(name, _)| name);
    numbers.chain(reading.arrays.iter().map(|array| &array.name))
}

/// Those of an answer that are not in a difference.
fn alone<'a>(reading: &'a Reading, less: &Reading) -> impl Iterator<Item = &'a String> {
    names(reading).filter(|name| !names(less).any(|found| found == *name))
}

/// One JSON document.
///
/// # Errors
/// Only when there is no memory.
pub fn json(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    serde_json::to_vec(&document(run, readings)).map_err(Error::internal_of)
}

/// As [`json`] of A, and beside it as much of B (`against`) and A minus B (`difference`).
///
/// # Errors
/// Only when there is no memory.
pub fn json_against(a: Answered<'_>, b: Answered<'_>) -> Result<Vec<u8>> {
    let mut both = document(a.run, a.readings);
    both["against"] = document(b.run, b.readings);
    let less = Difference::new(a.readings, b.readings);
    both["difference"] = json!({ "probes": probes(&less.by_call), "left_out": less.left_out });
    serde_json::to_vec(&both).map_err(Error::internal_of)
}

fn document(run: &RunAt, readings: &Readings) -> Value {
    let mut document = about(run, readings.step, &readings.interventions);
    document["probes"] = probes(&readings.by_call);
    document
}

fn probes(by_call: &ByCall) -> Value {
    let mut measurements = Map::new();
    for (key, reading) in by_call {
        let value = match reading {
            Ok(reading) => json!({
                "numbers": reading.numbers.iter().map(|(n, v)| (n.clone(), number(*v))).collect::<Map<_, _>>(),
                "arrays": reading.arrays.iter().map(|a| (a.name.clone(), array_json(a))).collect::<Map<_, _>>(),
                "notes": reading.notes,
            }),
            Err(e) => json!({ "error": e.to_string() }),
        };
        measurements.insert(key.clone(), value);
    }
    Value::Object(measurements)
}

/// One array for each of the readings', named `PROBE/ARRAY`; a number is an array of no axis. Beside them `tokens` and
/// `about`, which says the names of the axes too, and the labels of those that do not begin at position 0 (`labels`). Where a name holds signs that not every reader of a ZIP takes, others stand
/// in their place, and `about` says the name as it is (`names`).
///
/// # Errors
/// Only when there is no memory.
pub fn npz(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    let mut members = Members::new();
    members.add("", &readings.by_call);
    let more = json!({ "notes": notes(readings) });
    let about = about(run, readings.step, &readings.interventions);
    members.archived(&run.prompt.tokens, about, more)
}

/// As [`npz`] of A, and beside its arrays those of B (`against/PROBE/ARRAY`) and of A minus B (`difference/PROBE/ARRAY`). `about`
/// says what B is (`against`) and what has no counterpart (`left_out`).
///
/// # Errors
/// Only when there is no memory.
pub fn npz_against(a: Answered<'_>, b: Answered<'_>) -> Result<Vec<u8>> {
    let less = Difference::new(a.readings, b.readings);
    let mut members = Members::new();
    members.add("", &a.readings.by_call);
    members.add("against/", &b.readings.by_call);
    members.add("difference/", &less.by_call);
    let [about, mut against] =
        [a, b].map(|of| about(of.run, of.readings.step, &of.readings.interventions));
    against["notes"] = notes(b.readings);
    let more = json!({ "notes": notes(a.readings), "against": against, "left_out": less.left_out });
    members.archived(&a.run.prompt.tokens, about, more)
}

fn answers(by_call: &ByCall) -> impl Iterator<Item = (&String, &Arc<Reading>)> {
    by_call.iter().filter_map(|(key, reading)| Some((key, reading.as_ref().ok()?)))
}

fn notes(readings: &Readings) -> Value {
    answers(&readings.by_call).map(|(key, reading)| (key.clone(), json!(reading.notes))).collect()
}

/// What goes into an archive, and what is said of it.
struct Members<'a> {
    all: Vec<Member<'a>>,
    taken: Names,
    tokens: String,
    about: String,
    axes: Map<String, Value>,
    labels: Map<String, Value>,
    names: Map<String, Value>,
}

impl<'a> Members<'a> {
    fn new() -> Self {
        let mut taken = Names::default();
        // What is beside them has the first choice.
        let [tokens, about] = ["tokens", "about"].map(|name| taken.free(name));
        let (axes, labels, names) = Default::default();
        Self { all: Vec::new(), taken, tokens, about, axes, labels, names }
    }

    fn name_of(&mut self, before: &str, key: &str, name: &str) -> String {
        let (exact, name) = (format!("{key}/{name}"), format!("{}/{}", safe(key), safe(name)));
        let [exact, name] = [exact, name].map(|name| format!("{before}{name}"));
        let name = self.taken.free(&name);
        if name != exact {
            self.names.insert(name.clone(), json!(exact));
        }
        name
    }

    /// The numbers and arrays of all answers, with something before their names.
    fn add(&mut self, before: &str, by_call: &'a ByCall) {
        for (key, reading) in answers(by_call) {
            for (name, value) in &reading.numbers {
                let name = self.name_of(before, key, name);
                let numbers = Numbers::F64(std::slice::from_ref(value));
                self.all.push(Member { name, shape: &[], numbers });
            }
            for array in &reading.arrays {
                let name = self.name_of(before, key, &array.name);
                self.array(name, array);
            }
        }
    }

    fn array(&mut self, name: String, array: &'a Array) {
        self.axes.insert(name.clone(), json!(array.axis_names()));
        self.labels.extend(labels_json(array).map(|labels| (name.clone(), labels)));
        self.all.push(Member { name, ..Member::of(array) });
    }

    /// The archive, with the sequence and what is said of all beside them; `more` stands at the end of that.
    fn archived(self, tokens: &[u32], mut about: Value, more: Value) -> Result<Vec<u8>> {
        let Self { all, axes, labels, names, .. } = self;
        // What is added lives shorter.
        let mut all: Vec<Member<'_>> = all;
        let length = [tokens.len()];
        let numbers = Numbers::U32(tokens);
        all.push(Member { name: self.tokens, shape: &length, numbers });
        about["axes"] = Value::Object(axes);
        if !labels.is_empty() {
            about["labels"] = Value::Object(labels);
        }
        about["names"] = Value::Object(names);
        if let (Value::Object(about), Value::Object(more)) = (&mut about, more) {
            about.extend(more);
        }
        let about = about.to_string();
        let length = [about.len()];
        all.push(Member { name: self.about, ..Member::about(&about, &length) });
        archive(&all)
    }
}

/// Signs of the name of a question at most: a text of somebody's own may be of any length.
const LONGEST: usize = 120;

/// The name without signs that end it for some readers, or lead out of the archive.
fn safe(name: &str) -> String {
    let sign = |c: char| if c.is_control() || "/\\:*?<>|".contains(c) { '_' } else { c };
    name.chars().map(sign).take(LONGEST).collect()
}
