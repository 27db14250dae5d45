//! How long it takes until there is something to see.

use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::run::experiment::Experiment;
use crate::run::trainer::Trainer;

use super::{How, Kind, Measured, Workload};

pub const BIRTH: Workload = Workload {
    name: "emerge/birth",
    about: "the default experiment without a window, seeds 0 to 9, until in-context accuracy is 0.9",
    kind: Kind::Whole(birth),
};

/// The column of the metrics, and where it is to get.
const COLUMN: &str = "accuracy_in_context";
const ENOUGH: f64 = 0.9;

/// No seed needs as many.
const MOST_STEPS: u64 = 5000;

/// One sample for each seed; `median_steps` is the median of their steps, `evaluating` the part of all time that went into
/// evaluations.
fn birth(how: &How) -> Result<Vec<Measured>> {
    let (mut samples, mut steps) = (Vec::new(), Vec::new());
    let mut evaluating = Duration::ZERO;
    for seed in 0..10 {
        let begun = Instant::now();
        let mut experiment = Experiment::builtin("birth")?;
        experiment.set_texts([format!("train.seed={seed}").as_str()])?;
        experiment.set_texts(how.set.iter().map(String::as_str))?;
        let mut trainer = Trainer::new(&experiment)?;
        let column = trainer.columns().iter().position(|c| c == COLUMN).ok_or_else(|| {
            Error::internal(format!("the default experiment has no column {COLUMN}"))
        })?;
        loop {
            if trainer.is_evaluation_due() {
                let begun = Instant::now();
                let found = trainer.evaluate()?.0.values[column];
                evaluating += begun.elapsed();
                if found >= ENOUGH {
                    break;
                }
            }
            if trainer.steps_done() >= MOST_STEPS {
                return Err(Error::internal(format!(
                    "seed {seed} of the default experiment does not get to {COLUMN} {ENOUGH} in {MOST_STEPS} steps"
                )));
            }
            trainer.step()?;
        }
        samples.push(begun.elapsed().as_secs_f64());
        steps.push(trainer.steps_done() as f64);
    }
    let part = evaluating.as_secs_f64() / samples.iter().sum::<f64>();
    let mut measured = Measured::new("emerge/birth", samples);
    measured.others.push(("evaluating", part));
    measured.others.push(("median_steps", Measured::new("", steps).median()));
    Ok(vec![measured])
}
