//! What a running experiment says.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::in_words::change_in_words;
use crate::base::intervention::Intervention;
use crate::base::number;
use crate::base::weights::Weights;

/// Something worth a mark on the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub step: u64,
    pub kind: MarkKind,
    /// What it is, for programs: `induction_head`, [`DIVERGED`], `train.rate`, or an intervention as it is spelled.
    pub id: String,
    /// For a person: `induction head formed`, `freeze layer0.wk`, `resumed`.
    pub text: String,
}

/// Training stopped because a number was no longer finite.
pub const DIVERGED: &str = "diverged";

impl Mark {
    /// A mark whose text says what it is: an intervention as it is spelled, a setting with its value, or [`DIVERGED`]. So are those
    /// of runs that were recorded before marks had ids, what emerged included.
    pub fn of_text(step: u64, kind: MarkKind, text: impl Into<String>) -> Self {
        let text = text.into();
        let id = match kind {
            MarkKind::Emergence => {
                let safe = |c: char| if c.is_alphanumeric() { c } else { '_' };
                text.strip_suffix(" formed").unwrap_or(&text).chars().map(safe).collect()
            }
            MarkKind::Intervention => text.clone(),
            MarkKind::Note => text.split(" = ").next().unwrap_or(&text).to_owned(),
        };
        Self { step, kind, id, text }
    }

    /// As a person reads it, at length and in short: `rate set to 0.25` and `rate 0.25` of `train.rate = 0.25`, `L1 H0 cut` of
    /// `zero layer1.head0`; of what emerged, the short form lacks the last word.
    pub fn in_words(&self) -> [String; 2] {
        if self.kind == MarkKind::Intervention
            && let Some(words) = change_in_words(&self.text)
        {
            return [words.clone(), words];
        }
        let change = self.text.strip_prefix("train.").and_then(|change| change.split_once(" = "));
        if let Some((setting, value)) = change.filter(|_| self.kind == MarkKind::Note) {
            let (name, value) = (setting.replace('_', " "), value.trim_matches('"'));
            return [
                format!("{name} set to {}", tidied(value, 12)),
                format!("{name} {}", tidied(value, 5)),
            ];
        }
        let short = match (self.kind, self.text.rsplit_once(' ')) {
            (MarkKind::Emergence, Some((short, _))) => short,
            _ => &self.text,
        };
        [self.text.clone(), short.to_owned()]
    }
}

/// A number to some digits: five are as many as a flag has room for. Whole ones and other text are left as they are.
fn tidied(value: &str, digits: usize) -> String {
    let is_whole = value.parse::<i64>().is_ok();
    let number = value.parse::<f64>().ok().filter(|_| !is_whole);
    let rounded = number.and_then(|x| format!("{x:.*e}", digits - 1).parse().ok());
    rounded.map_or_else(|| value.to_owned(), number::spelled)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A capability appeared (set by itself, by a written rule).
    Emergence,
    /// An intervention came into force or was lifted.
    Intervention,
    /// Anything else: resumed, branched, diverged, a note of the user.
    Note,
}

/// One row of `metrics.csv`: values in the order of the run's columns; NaN where undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsRow {
    pub step: u64,
    pub values: Vec<f64>,
}

/// What the trainer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    /// All steps are done, or it was asked to stop.
    Finished,
    /// It cannot go on: see the error that came with it.
    Failed,
}

/// From the trainer to whoever listens.
#[derive(Clone, Debug)]
pub enum Event {
    /// First of all: where the run is recorded and which columns its metrics have (without `step`).
    Started {
        folder: Option<std::path::PathBuf>,
        columns: Vec<String>,
        step: u64,
    },
    Metrics(MetricsRow),
    Mark(Mark),
    /// The weights of this step are in the folder (or in memory when there is none).
    Recorded {
        step: u64,
    },
    /// Older recorded steps were thinned out; these remain.
    Thinned {
        steps: Vec<u64>,
    },
    /// The weights asked for by `Command::Show`.
    Weights(Arc<Weights>),
    /// Every so often: where training is and how fast it goes.
    Progress {
        step: u64,
        steps_per_second: f64,
        state: State,
    },
    /// What training is at, whenever that changes: `learning global statistics`, `induction head formed at step 212`.
    Doing(String),
    /// What is in force now, in order.
    InForce(Vec<Intervention>),
    /// The live settings of training as they are now: said after each that was asked for, whether it was taken or refused.
    Live(toml::Table),
    /// The listener was too slow and events were dropped: what it knows of rows, marks and recorded steps is to be
    /// read anew from the folder.
    Missed,
    /// Something to know that stops nothing.
    Notice(Error),
    /// Something failed, and training went on or paused: the sentence says which.
    Trouble(Error),
}
