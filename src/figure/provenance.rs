//! Where a figure comes from; travels inside every file of it.

use serde::{Deserialize, Serialize};

use crate::record::question::Readings;
use crate::record::vocab::Vocab;

/// Everything that a person needs to make a figure again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Name and version, e.g. `mnemoscope 0.1.0`.
    pub program: String,
    /// Name of the run folder.
    pub run: String,
    /// Step of the weights that answered, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Name of the panel and its settings.
    pub panel: String,
    /// The experiment as TOML.
    pub experiment: String,
    /// The sequence in view, token by token.
    pub tokens: Vec<String>,
    /// What was changed in the network that answered, in order; nothing where it is as it was trained.
    pub interventions: Vec<String>,
    /// SHA-256 of the weights in hexadecimal, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
}

impl Provenance {
    /// Of this program; the rest is empty.
    pub fn new() -> Self {
        let program = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { program, ..Self::default() }
    }

    /// With what was asked, of which step, and under which interventions: what the picture shows, which while
    /// an answer is awaited is not the step in view.
    #[must_use]
    pub fn of(self, readings: &Readings, vocab: &Vocab) -> Self {
        Self {
            step: Some(readings.step),
            interventions: readings.interventions.iter().map(ToString::to_string).collect(),
            tokens: readings.prompt.tokens.iter().map(|&id| vocab.text(id).to_owned()).collect(),
            ..self
        }
    }

    /// One line of JSON; the order of its fields is fixed.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of strings always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Provenance::to_json`] wrote; `None` where it is something else.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
