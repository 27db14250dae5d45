//! An experiment file: what is read says the same of itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::run::experiment::Experiment;

fuzz_target!(|text: &str| {
    let Ok(experiment) = Experiment::parse(text, "experiment.toml") else { return };
    let whole = experiment.to_toml();
    match Experiment::parse(&whole, "again.toml") {
        Ok(again) => assert_eq!(again.to_toml(), whole),
        Err(error) => panic!("{error}"),
    }
});
