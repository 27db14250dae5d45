//! How long an experiment takes on this machine.

use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::run::experiment::Experiment;
use crate::run::trainer::Trainer;

/// How long steps are timed for.
const TIMED: Duration = Duration::from_millis(200);

/// Seconds that an experiment takes on this machine until its phenomenon is there, from the first of its steps and one
/// evaluation; none where nothing is said of a phenomenon.
///
/// # Errors
/// When it cannot be trained.
pub fn seconds_here(name: &str) -> Result<Option<f64>> {
    let experiment = Experiment::builtin(name)?;
    let Some(phenomenon) = experiment.phenomenon else { return Ok(None) };
    let mut trainer = Trainer::new(&experiment)?;
    trainer.step()?;
    let begun = Instant::now();
    trainer.evaluate()?;
    let evaluation = begun.elapsed().as_secs_f64();
    let (begun, mut steps) = (Instant::now(), 0.0);
    while steps < 1.0 || begun.elapsed() < TIMED {
        trainer.step()?;
        steps += 1.0;
    }
    let step = begun.elapsed().as_secs_f64() / steps;
    let evaluations = phenomenon.step as f64 / experiment.train.evaluate as f64;
    Ok(Some(phenomenon.step as f64 * step + evaluations * evaluation))
}
