//! Answers as files for other programs: JSON and NumPy arrays.

use serde_json::{Map, Value, json};

use super::run_at::RunAt;
use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::question::Readings;
use crate::formats::npz::{Member, Names, Numbers, archive};

/// What both formats say beside the numbers.
fn about(run: &RunAt, readings: &Readings) -> Value {
    let vocab = run.instrument.source().vocab();
    json!({
        "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
        "experiment": run.experiment.name,
        "experiment_toml": run.experiment.to_toml(),
        "seed": run.experiment.train.seed,
        "step": readings.step,
        "tokens": run.prompt.tokens,
        "text": run.prompt.tokens.iter().map(|&t| vocab.text(t)).collect::<Vec<_>>(),
        "interventions": readings.interventions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A number that JSON can hold: NaN and infinities become null.
fn number(value: f64) -> Value {
    // Minus zero is zero.
    serde_json::Number::from_f64(value + 0.0).map_or(Value::Null, Value::Number)
}

fn array_json(array: &Array) -> Value {
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

/// One JSON document.
///
/// # Errors
/// Only when there is no memory.
pub fn json(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    let mut document = about(run, readings);
    let mut measurements = Map::new();
    for (key, reading) in &readings.by_call {
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
    document["probes"] = Value::Object(measurements);
    serde_json::to_vec(&document).map_err(Error::internal_of)
}

/// One array for each of the readings', named `PROBE/ARRAY`; a number is an array of no axis. Beside them `tokens` and
/// `about`, which says the names of the axes too, and the labels of those that do not begin at position 0 (`labels`). Where a name holds signs that not every reader of a ZIP takes, others stand
/// in their place, and `about` says the name as it is (`names`).
///
/// # Errors
/// Only when there is no memory.
pub fn npz(run: &RunAt, readings: &Readings) -> Result<Vec<u8>> {
    let answers = || readings.by_call.iter().filter_map(|(key, r)| Some((key, r.as_ref().ok()?)));
    let (mut members, mut taken) = (Vec::new(), Names::default());
    let (mut axes, mut labels, mut names) = (Map::new(), Map::new(), Map::new());
    // What is beside them has the first choice.
    let [tokens, said] = ["tokens", "about"].map(|name| taken.free(name));
    let mut name_of = |key: &str, name: &str| {
        let (exact, name) = (format!("{key}/{name}"), format!("{}/{}", safe(key), safe(name)));
        let name = taken.free(&name);
        if name != exact {
            names.insert(name.clone(), json!(exact));
        }
        name
    };
    for (key, reading) in answers() {
        for (name, value) in &reading.numbers {
            let numbers = Numbers::F64(std::slice::from_ref(value));
            members.push(Member { name: name_of(key, name), shape: &[], numbers });
        }
        for array in &reading.arrays {
            let name = name_of(key, &array.name);
            axes.insert(name.clone(), json!(array.axis_names()));
            labels.extend(labels_json(array).map(|labels| (name.clone(), labels)));
            members.push(Member { name, ..Member::of(array) });
        }
    }
    let length = [run.prompt.tokens.len()];
    let numbers = Numbers::U32(&run.prompt.tokens);
    members.push(Member { name: tokens, shape: &length, numbers });
    let mut about = about(run, readings);
    about["axes"] = Value::Object(axes);
    if !labels.is_empty() {
        about["labels"] = Value::Object(labels);
    }
    about["names"] = Value::Object(names);
    let notes = answers().map(|(key, reading)| (key.clone(), json!(reading.notes)));
    about["notes"] = Value::Object(notes.collect());
    let about = about.to_string();
    let length = [about.len()];
    members.push(Member { name: said, ..Member::about(&about, &length) });
    archive(&members)
}

/// Signs of the name of a question at most: a text of somebody's own may be of any length.
const LONGEST: usize = 120;

/// The name without signs that end it for some readers, or lead out of the archive.
fn safe(name: &str) -> String {
    let sign = |c: char| if c.is_control() || "/\\:*?<>|".contains(c) { '_' } else { c };
    name.chars().map(sign).take(LONGEST).collect()
}
