//! What the panels ask of a network, while nothing trains.

use std::sync::Arc;

use crate::base::error::Result;
use crate::base::question::MeasurementCall;
use crate::run::examine::Instrument;
use crate::run::experiment::Experiment;
use crate::run::trainer::Trainer;
use crate::task;

use super::{How, Kind, Steady, Workload};

pub const ATTENTION: Workload = Workload {
    name: "examine/attention",
    about: "patterns, queries and keys of every head of the default model over 32 sequences of 256",
    kind: Kind::Repeated(attention),
};

const SEQUENCES: usize = 32;
const LENGTH: usize = 256;

fn attention(how: &How) -> Result<Steady> {
    let mut experiment = Experiment::builtin("birth")?;
    experiment.set_texts([format!("task.length={LENGTH}").as_str()])?;
    experiment.set_texts(how.set.iter().map(String::as_str))?;
    let mut trainer = Trainer::new(&experiment)?;
    trainer.step()?;
    let weights = trainer.weights()?;
    let mut instrument = Instrument::new(&experiment)?;
    let seed = task::held_out_seed(experiment.train.seed as u64);
    let prompt = Arc::new(instrument.source().sequence(seed, 0));
    let call = MeasurementCall::new("attention")
        .with("sequences", i64::try_from(SEQUENCES).unwrap_or(0))
        .with("vectors", true);
    let (call, key) = ([call.clone()], call.key());
    Ok(Steady {
        work: Box::new(move || {
            let readings = instrument.examine(&weights, &prompt, &[], &call)?;
            match readings.by_call.get(&key) {
                Some(Err(e)) => Err(e.clone()),
                _ => Ok(()),
            }
        }),
        tokens: Some((SEQUENCES * LENGTH) as f64),
        flop: None,
    })
}
