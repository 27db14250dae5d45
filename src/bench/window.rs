//! The program in a window of its own, measured from outside.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::event::Event;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Session, Start};

use super::scratch::Scratch;
use super::{How, Kind, Measured, Workload};

pub const START: Workload = Workload {
    name: "start",
    about: "from launching the program to its first frame, and from there to the first step of training",
    kind: Kind::Whole(start),
};

pub const TAX: Workload = Workload {
    name: "watch/tax",
    about: "steps a second of the default experiment in the default window, against no window, by turns",
    kind: Kind::Whole(tax),
};

pub const MEMORY: Workload = Workload {
    name: "memory",
    about: "memory of the default experiment in the default window: --seconds times 20, so 180 is an hour",
    kind: Kind::Whole(memory),
};

/// The program in a window; it is ended with this.
struct Window {
    child: Child,
    lines: BufReader<ChildStdout>,
    launched: Instant,
    _scratch: Scratch,
}

/// How far a window has come: a line of [`crate::app::Launch::stopwatch`].
struct Told {
    at: Instant,
    event: String,
    line: Value,
}

impl Told {
    fn number(&self, key: &str) -> f64 {
        self.line.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}

impl Window {
    /// Opens a window on the default experiment for a time.
    fn open(program: &Path, time: Duration) -> Result<Self> {
        let scratch = Scratch::new()?;
        let launched = Instant::now();
        let mut child = Command::new(program)
            .arg("--out")
            .arg(scratch.path().join("run"))
            .arg("--stopwatch")
            .arg(time.as_secs().max(1).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| Error::internal("a program without output"))?;
        Ok(Self { child, lines: BufReader::new(out), launched, _scratch: scratch })
    }

    /// The next line; `None` when the window has closed in time.
    fn next(&mut self) -> Result<Option<Told>> {
        let mut text = String::new();
        if self.lines.read_line(&mut text)? > 0 {
            let at = Instant::now();
            let line: Value = serde_json::from_str(&text).map_err(|e| {
                Error::internal(format!("the window said {text:?}: {e}")).caused_by(e)
            })?;
            let event = line.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(Some(Told { at, event, line }));
        }
        let status = self.child.wait()?;
        if status.success() {
            return Ok(None);
        }
        let mut why = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut why)?;
        }
        Err(Error::system(why.trim().trim_start_matches("mnemoscope: ")))
    }

    /// The first line of an event.
    fn first(&mut self, event: &str) -> Result<Told> {
        while let Some(told) = self.next()? {
            if told.event == event {
                return Ok(told);
            }
        }
        Err(Error::system(format!("the window was closed before it told of a {event}")))
    }

    /// Memory that it occupies, in bytes.
    fn resident(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).map_err(|e| {
            Error::system(format!("{path} does not say how much memory: {e}")).caused_by(e)
        })?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes
            .map(|kb| 1024.0 * kb)
            .ok_or_else(|| Error::system(format!("{path} does not say how much memory")))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first launch only warms the disk.
const LAUNCHES: usize = 6;

fn start(how: &How) -> Result<Vec<Measured>> {
    let (mut frames, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..LAUNCHES {
        let mut window = Window::open(&how.program, Duration::from_secs(60))?;
        let frame = window.first("frame")?.at;
        frames.push((frame - window.launched).as_secs_f64());
        steps.push((window.first("step")?.at - frame).as_secs_f64());
    }
    let mut measured = Measured::new("start", frames.split_off(1));
    let steps = Measured::new("", steps.split_off(1));
    measured.others.push(("first_step_s", steps.median()));
    Ok(vec![measured])
}

/// A stretch of watched or unwatched training, in times of other workloads, after this much to come into pace.
const STRETCH: u32 = 4;
const WARM: Duration = Duration::from_secs(6);

/// Stretches of each kind.
const TURNS: usize = 3;

/// The samples are seconds of a watched step.
fn tax(how: &How) -> Result<Vec<Measured>> {
    let time = (STRETCH * how.time).max(Duration::from_secs(2));
    let (mut alone, mut watched, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.push(1.0 / unwatched(time)?);
        let (steps, fps) = watch(&how.program, time)?;
        watched.push(1.0 / steps);
        frames.push(fps);
    }
    let median = |samples| Measured::new("", samples).median();
    let mut measured = Measured::new("watch/tax", watched);
    let alone = median(alone);
    measured.others.push(("steps_per_s_alone", 1.0 / alone));
    measured.others.push(("steps_per_s_watched", 1.0 / measured.median()));
    measured.others.push(("watched_over_alone", alone / measured.median()));
    measured.others.push(("frames_per_s", median(frames)));
    Ok(vec![measured])
}

/// Steps a second without a window.
fn unwatched(time: Duration) -> Result<f64> {
    let scratch = Scratch::new()?;
    let session = Session::start(Start {
        experiment: Experiment::builtin("birth")?,
        begin: Begin::Fresh,
        folder: Some(scratch.path().join("run")),
        paused: false,
        attended: false,
    })?;
    let begun = Instant::now();
    let mut first = None;
    for event in &session.events {
        let Event::Progress { step, .. } = event else { continue };
        let now = Instant::now();
        match first {
            None if now - begun >= WARM => first = Some((step, now)),
            Some((from, since)) if now - since >= time => {
                return Ok((step - from) as f64 / (now - since).as_secs_f64());
            }
            _ => {}
        }
    }
    Err(Error::internal("training ended while it was measured"))
}

/// Steps and frames a second in a window.
fn watch(program: &Path, time: Duration) -> Result<(f64, f64)> {
    let mut window = Window::open(program, WARM + time + Duration::from_secs(2))?;
    let mut ends = Vec::new();
    while let Some(told) = window.next()? {
        if told.event == "so_far" && told.number("seconds") >= WARM.as_secs_f64() {
            ends.truncate(1);
            ends.push(told);
        }
    }
    let [first, last] = &ends[..] else {
        return Err(Error::internal("the window told too little"));
    };
    let over = |key: &str| last.number(key) - first.number(key);
    Ok((over("step") / over("step_seconds"), over("frames") / over("seconds")))
}

/// An hour at 180 seconds of other workloads.
const LONGER: u32 = 20;

/// No samples of time: what is told are bytes.
fn memory(how: &How) -> Result<Vec<Measured>> {
    let time = LONGER * how.time;
    let mut window = Window::open(&how.program, time)?;
    let (twelfth, mut samples) = (time.as_secs_f64() / 12.0, Vec::new());
    while let Some(told) = window.next()? {
        if told.event == "so_far" {
            samples.push((told.number("seconds"), window.resident()?));
        }
    }
    // Minutes 5 to 10 and 55 to 60 of an hour: what a frame takes for a moment says nothing about the hour.
    let mean = |from: f64, to: f64| {
        let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
        let (sum, count) = within.fold((0.0, 0.0), |(sum, n), (_, bytes)| (sum + bytes, n + 1.0));
        sum / count
    };
    let (early, late) = (mean(twelfth, 2.0 * twelfth), mean(11.0 * twelfth, f64::INFINITY));
    let most = samples.iter().fold(0.0, |most: f64, (_, bytes)| most.max(*bytes));
    let mut measured = Measured::new("memory", vec![window.launched.elapsed().as_secs_f64()]);
    measured.others.push(("second_twelfth_mb", early / 1e6));
    measured.others.push(("last_twelfth_mb", late / 1e6));
    measured.others.push(("most_mb", most / 1e6));
    measured.others.push(("growth", late / early - 1.0));
    measured.others.push(("beyond_history_mb", (most - budget::MEMORY_BYTES as f64) / 1e6));
    Ok(vec![measured])
}
