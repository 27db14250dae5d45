//! Walking through the recorded steps of a long run.

use std::time::Instant;

use crate::app::Launch;
use crate::app::headless::Headless;
use crate::base::error::Result;
use crate::run::experiment::Experiment;

use super::frame::surroundings;
use super::scratch::{Scratch, record};
use super::{How, Kind, Measured, Workload};

pub const SCRUB: Workload = Workload {
    name: "scrub",
    about: "from asking for any of 10000 recorded steps to the frame that shows it, default layout",
    kind: Kind::Whole(scrub),
};

const STEPS: u64 = 10_000;

/// Different weights among them.
const TRAINED: u64 = 40;

/// The golden section of the steps, coprime to their number: every step comes once before any comes twice, and no two
/// in a row are near each other.
const STRIDE: u64 = 6181;

fn scrub(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut experiment = Experiment::builtin("birth")?;
    experiment.set_texts(how.set.iter().map(String::as_str))?;
    let folder = scratch.path().join("run");
    let begun = Instant::now();
    record(&folder, &experiment, STEPS, TRAINED)?;
    let recorded = begun.elapsed();
    let begun = Instant::now();
    let what = Some(folder.clone().into());
    let launch = Launch { what, ..Launch::default() };
    let mut window = Headless::new(surroundings(&scratch), &launch);
    window.until("the run is open", |app| app.lab.readings.is_some())?;
    let opened = begun.elapsed();
    let mut samples = Vec::new();
    let (begun, mut step) = (Instant::now(), 0);
    while begun.elapsed() < how.time || samples.len() < 100 {
        step = (step + STRIDE) % STEPS;
        samples.push(window.scrub(step)?.as_secs_f64());
    }
    let mut measured = Measured::new("scrub", samples);
    measured.others.push(("recorded_s", recorded.as_secs_f64()));
    measured.others.push(("opened_s", opened.as_secs_f64()));
    Ok(vec![measured])
}
