//! What Hugging Face's Trainer logged: the list `log_history` of its `trainer_state.json`, as columns and rows of metrics.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::event::MetricsRow;
use crate::base::json;
use crate::formats::columns::harmless;
use crate::run_folder::disk::read_text;
use crate::run_folder::recording::Recording;
use crate::run_folder::step_within;

/// The file in the folder of each step that holds the log.
pub const STATE: &str = "trainer_state.json";
/// A hundred thousand entries.
const MOST_STATE_BYTES: u64 = 16 << 20;
/// Most columns, and signs of the name of one. What is beyond is left out.
const MOST_COLUMNS: usize = 256;
const MOST_SIGNS: usize = 100;

/// How long a file is, and when it was written.
pub type Written = (u64, Option<SystemTime>);

/// What a log is like, where there is one.
pub fn written(path: &Path) -> Option<Written> {
    let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((about.len(), about.modified().ok()))
}

/// Metrics by step.
#[derive(Debug, Default)]
pub struct Curves {
    /// Without `step`, in the order in which they come up.
    pub columns: Vec<String>,
    /// Of each step, values by column.
    rows: BTreeMap<u64, Vec<(usize, f64)>>,
}

impl Curves {
    /// # Errors
    /// When the file cannot be read, is no JSON (`NaN` and `Infinity`, which Python writes, are nothing), or has no list `log_history`.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| Error::input(format!("{}: {why}", path.display()));
        let text = read_text(path, MOST_STATE_BYTES)?;
        let state = json::parse(&of_python(&text))
            .map_err(|e| wrong(format!("it is damaged: {e}")).caused_by(e))?;
        let Some(history) = state.get("log_history").and_then(Value::as_array) else {
            return Err(wrong("expected a list log_history of what was logged".to_owned()));
        };
        let mut curves = Self::default();
        history.iter().for_each(|entry| curves.add(entry));
        Ok(curves)
    }

    /// Takes the numbers of an entry; several entries of one step are one row.
    fn add(&mut self, entry: &Value) {
        let step = entry.get("step").and_then(Value::as_u64).and_then(step_within);
        let (Some(step), Some(entry)) = (step, entry.as_object()) else { return };
        for (key, value) in entry.iter().filter(|(key, _)| *key != "step") {
            let Some(value) = value.as_f64() else { continue };
            if let Some(column) = self.column(&name_of(key)) {
                self.rows.entry(step).or_default().push((column, value));
            }
        }
    }

    fn column(&mut self, name: &str) -> Option<usize> {
        let known = self.columns.iter().position(|column| column == name);
        if known.is_none() && self.columns.len() < MOST_COLUMNS && !name.is_empty() {
            self.columns.push(name.to_owned());
            return Some(self.columns.len() - 1);
        }
        known
    }

    /// Puts columns and rows into a recording that has none; what an entry lacks is NaN.
    pub fn pour(self, recording: &mut Recording) {
        let count = self.columns.len();
        recording.columns = self.columns;
        for (step, known) in self.rows {
            let mut values = vec![f64::NAN; count];
            for (column, value) in known {
                values[column] = value;
            }
            recording.add_row(MetricsRow { step, values });
        }
    }
}

/// A key as the name of a column: letters, digits and a few signs that do nothing in a table or a terminal.
fn name_of(key: &str) -> String {
    let sign = |c: char| if c.is_alphanumeric() || "_-./@ ".contains(c) { c } else { '_' };
    harmless(&key.chars().take(MOST_SIGNS).map(sign).collect::<String>())
}

/// JSON as Python writes it, with `null` for numbers that JSON does not have.
fn of_python(text: &str) -> Cow<'_, str> {
    const NOT_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let (mut rest, mut in_text) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = NOT_NUMBERS.iter().find(|word| !in_text && rest.starts_with(**word));
        let length = match (word, c) {
            (Some(word), _) => word.len(),
            // What is behind a backslash ends no text.
            (None, '\\') => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => c.len_utf8(),
        };
        in_text ^= c == '"';
        out.push_str(word.map_or(&rest[..length], |_| "null"));
        rest = &rest[length..];
    }
    Cow::Owned(out)
}
