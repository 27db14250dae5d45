//! What a frame of the window costs its thread, without a window.

use std::time::{Duration, Instant};

use crate::app::rehearsal::{Rehearsal, Took};
use crate::app::{Launch, Surroundings};
use crate::record::error::Result;

use super::scratch::Scratch;
use super::{How, Kind, Measured, Workload};

pub const DEFAULT: Workload = Workload {
    name: "frame/default",
    about: "processor time of a frame: default layout, 1600 by 1000, while the default experiment trains",
    kind: Kind::Whole(default),
};

/// Frames are far apart while training goes on: this many times the time of other workloads.
const PATIENCE: u32 = 5;

/// Training is under way and every panel has something to show.
const WARM: Duration = Duration::from_secs(3);

fn default(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut window = Rehearsal::new(surroundings(&scratch), &Launch::default());
    window.until("the first answer", |app| app.lab.readings.is_some())?;
    let (begun, mut taken) = (Instant::now(), Vec::new());
    let end = begun + WARM + PATIENCE * how.time;
    while Instant::now() < end {
        window.wait(Duration::from_secs(1));
        let took = window.frame();
        if begun.elapsed() >= WARM {
            taken.push(took);
        }
    }
    Ok(vec![measured("frame/default", &taken)])
}

/// Nothing of this is a person's own.
pub fn surroundings(scratch: &Scratch) -> Surroundings {
    let library = Ok(scratch.path().join("runs"));
    Surroundings { library, system_dialogs: false, adapter: None }
}

fn measured(name: &str, taken: &[Took]) -> Measured {
    let seconds = |of: fn(&Took) -> Duration| taken.iter().map(|t| of(t).as_secs_f64()).collect();
    let wall = Measured::new("", seconds(|took| took.wall));
    let mut measured = Measured::new(name, seconds(|took| took.cpu));
    measured.others.push(("wall_p99_ms", 1e3 * wall.quantile(0.99)));
    measured
}
