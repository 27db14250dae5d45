//! What a run says of itself every other second, so that others can tell that it goes on: without locks, which network file
//! systems lack, and without comparing clocks, which differ.

use std::path::Path;

use serde_json::Value;

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::json;

use super::disk::{read_text, replace_unsynced};

/// Name of the file.
pub(super) const NAME: &str = "beat.json";
/// It has some 200 bytes.
const MOST_BYTES: u64 = 1 << 16;

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Running,
    Paused,
    /// All steps are done.
    Finished,
    /// It cannot go on.
    Failed,
    /// It was asked to stop before all steps were done.
    Stopped,
}

impl Condition {
    const ALL: [(Self, &str); 5] = [
        (Self::Running, "running"),
        (Self::Paused, "paused"),
        (Self::Finished, "finished"),
        (Self::Failed, "failed"),
        (Self::Stopped, "stopped"),
    ];

    /// As it is written, and said.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(this, _)| *this == self).map_or("", |(_, name)| name)
    }

    /// Whether nobody trains it any more: only going on with it changes that.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Stopped)
    }
}

/// How far a run says that it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pulse {
    pub step: u64,
    pub condition: Condition,
    pub steps_per_second: f64,
    /// Seconds since 1970, for people: nothing is concluded from it.
    pub utc: i64,
}

/// One beat, as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// That of `run.json` at the time.
    pub session: u64,
    /// How many there were in this session before.
    pub beat: u64,
    pub step: u64,
    pub condition: Condition,
    pub steps_per_second: f64,
    /// The machine that writes, where it says so.
    pub host: String,
}

/// Replaces the beat of a run. It is not synced: it is worth nothing after a power failure.
///
/// # Errors
/// When the system refuses.
pub(super) fn write(folder: &Path, session: u64, beat: u64, pulse: &Pulse) -> Result<()> {
    let utc = chrono::DateTime::from_timestamp(pulse.utc, 0);
    let document = serde_json::json!({
        "session": session,
        "beat": beat,
        "step": pulse.step,
        "state": pulse.condition.name(),
        "steps_per_second": pulse.steps_per_second,
        "host": host(),
        "pid": std::process::id(),
        "utc": utc.map(|utc| utc.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
    });
    replace_unsynced(&folder.join(NAME), format!("{document}\n").as_bytes())
}

/// The beat of a run; `None` where it has none, as runs of before there were beats.
///
/// # Errors
/// When it is there and cannot be read, or is no beat.
pub fn read(folder: &Path) -> Result<Option<Beat>> {
    let path = folder.join(NAME);
    if !path.exists() {
        return Ok(None);
    }
    parse(&read_text(&path, MOST_BYTES)?, &path).map(Some)
}

/// What a text like that of `beat.json` says; `origin` stands in messages.
///
/// # Errors
/// When it is damaged.
pub fn parse(text: &str, origin: &Path) -> Result<Beat> {
    let damaged = || {
        Error::input(format!(
            "{}: it is no beat of a run; expected session, beat, step and a state such as running",
            origin.display()
        ))
    };
    let document = json::parse(text).map_err(|e| damaged().caused_by(e))?;
    let whole = |key: &str| document.get(key).and_then(Value::as_u64).ok_or_else(damaged);
    let state = document.get("state").and_then(Value::as_str).unwrap_or_default();
    let condition = Condition::ALL.iter().find(|(_, name)| *name == state).ok_or_else(damaged)?.0;
    let speed = document.get("steps_per_second").and_then(Value::as_f64).unwrap_or(0.0);
    Ok(Beat {
        session: whole("session")?,
        beat: whole("beat")?,
        step: Some(whole("step")?).filter(|s| *s <= budget::MOST_STEP).ok_or_else(damaged)?,
        condition,
        steps_per_second: if speed.is_finite() { speed.max(0.0) } else { 0.0 },
        host: document.get("host").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// The name of this machine; empty where it does not say.
fn host() -> String {
    let said = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let said = said.or_else(|| std::env::var("HOSTNAME").or(std::env::var("COMPUTERNAME")).ok());
    said.map(|name| name.trim().to_owned()).unwrap_or_default()
}
