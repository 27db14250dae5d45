//! What a large network was asked last: as long as weights, sequence and interventions are the same, no question is answered twice, and a
//! pass begins with the first layer that something is asked of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::batch::Row;
use crate::base::error::Result;
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Reading};
use crate::nn::tap::Streams;

/// Numbers in the answers that are kept: 256 MB.
const MOST_NUMBERS: usize = 64 << 20;

/// Answers by the keys of their calls.
pub type Answers = BTreeMap<String, Result<Arc<Reading>>>;

#[derive(Default)]
pub struct Remembered {
    prompt: Arc<Row>,
    interventions: Vec<Intervention>,
    answers: Answers,
    /// What each layer reads, as far as it is known.
    pub streams: Streams,
}

impl Remembered {
    /// Forgets what is about another sequence, or under other interventions.
    pub fn turn_to(&mut self, prompt: &Arc<Row>, interventions: &[Intervention]) {
        if self.prompt == *prompt && self.interventions == interventions {
            return;
        }
        *self = Self {
            prompt: prompt.clone(),
            interventions: interventions.to_vec(),
            ..Self::default()
        };
    }

    /// Calls that have no answer yet.
    pub fn open(&self, calls: &[MeasurementCall]) -> Vec<MeasurementCall> {
        calls.iter().filter(|call| !self.answers.contains_key(&call.key())).cloned().collect()
    }

    /// Keeps answers, and gives those of the calls.
    pub fn with(&mut self, found: Answers, calls: &[MeasurementCall]) -> Answers {
        self.answers.extend(found);
        let of = |call: &MeasurementCall| {
            let key = call.key();
            self.answers.get(&key).map(|answer| (key, answer.clone()))
        };
        let asked: Answers = calls.iter().filter_map(of).collect();
        if numbers(&self.answers) > MOST_NUMBERS {
            self.answers.clone_from(&asked);
        }
        asked
    }
}

fn numbers(answers: &Answers) -> usize {
    let readings = answers.values().flatten();
    readings.flat_map(|reading| &reading.arrays).map(|array| array.data.len()).sum()
}
