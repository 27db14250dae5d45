//! A question to a network at one step, and its answer: plain data between the two wings.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::array::Array;
use crate::base::batch::Row;
use crate::base::error::Error;
use crate::base::intervention::Intervention;
use crate::base::weights::Weights;

/// A measurement to run with some settings changed from their defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementCall {
    /// Name in the registry of measurements.
    pub measurement: String,
    /// `(setting, value)` pairs.
    pub settings: Vec<(String, toml::Value)>,
}

impl MeasurementCall {
    pub fn new(measurement: &str) -> Self {
        Self { measurement: measurement.to_owned(), settings: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, setting: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((setting.to_owned(), value.into()));
        self
    }

    /// Identifies the call: `attention`, `query_key(layer=1,head=0)`.
    pub fn key(&self) -> String {
        if self.settings.is_empty() {
            return self.measurement.clone();
        }
        let settings: Vec<String> = self.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{}({})", self.measurement, settings.join(","))
    }
}

/// What a measurement found: named arrays and named numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub arrays: Vec<Array>,
    /// `(name, value)`; NaN where undefined.
    pub numbers: Vec<(String, f64)>,
    /// Sentences for a person, e.g. how a scale was chosen.
    pub notes: Vec<String>,
}

impl Reading {
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|a| a.name == name)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// This answer minus another to the same question: numbers of the same name, and arrays of the same name and shape. What has
    /// no counterpart is left out.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let numbers = self.numbers.iter().filter_map(|(name, value)| {
            other.number(name).map(|other| (name.clone(), value - other))
        });
        let arrays = self.arrays.iter().filter_map(|array| array.minus(other.array(&array.name)?));
        Self { numbers: numbers.collect(), arrays: arrays.collect(), notes: Vec::new() }
    }
}

/// The answers of one examination, all of the same weights and the same prompt.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Step of the weights that answered.
    pub step: u64,
    /// The sequence that was asked about.
    pub prompt: Arc<Row>,
    /// What was in force.
    pub interventions: Vec<Intervention>,
    /// What answered.
    pub weights: Weights,
    /// By [`MeasurementCall::key`]; a measurement that cannot answer says why.
    pub by_call: BTreeMap<String, Result<Arc<Reading>, Error>>,
}

impl Readings {
    /// Of a sequence about which nothing is answered yet.
    pub fn unanswered(prompt: Arc<Row>, step: u64) -> Self {
        Self { step, prompt, ..Self::default() }
    }

    pub fn get(&self, call: &MeasurementCall) -> Option<&Result<Arc<Reading>, Error>> {
        self.by_call.get(&call.key())
    }
}

/// What a long question has found, as far as it has come.
#[derive(Clone, Debug)]
pub struct Found {
    /// Step of the weights it is about.
    pub step: u64,
    /// Parts of the work: those that are done, and all; 0 of 0 before it is known.
    pub done: usize,
    pub total: usize,
    /// What is known so far; `None` before the first part is done.
    pub reading: Option<Result<Arc<Reading>, Error>>,
    /// Nothing more comes: all is done, or it was stopped.
    pub ended: bool,
}

impl Found {
    /// Nothing yet.
    pub fn begun(step: u64) -> Self {
        Self { step, done: 0, total: 0, reading: None, ended: false }
    }
}

/// The answers to long questions, by [`MeasurementCall::key`].
#[derive(Clone, Debug, Default)]
pub struct Analyzed {
    pub by_call: BTreeMap<String, Found>,
}

impl Analyzed {
    pub fn get(&self, call: &MeasurementCall) -> Option<&Found> {
        self.by_call.get(&call.key())
    }
}
