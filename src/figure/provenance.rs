//! Where a figure comes from; travels inside every file of it.

use serde::{Deserialize, Serialize};

/// Everything that a person needs to make a figure again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Name and version, e.g. `mnemoscope 0.1.0`.
    pub program: String,
    /// Name of the run folder.
    pub run: String,
    /// Step of the weights, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Name of the panel and its settings.
    pub panel: String,
    /// The experiment as TOML.
    pub experiment: String,
    /// The sequence in view, token by token.
    pub tokens: Vec<String>,
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
