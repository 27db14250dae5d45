//! Running and questioning an experiment.

pub mod examine;
pub mod examiner;
pub mod experiment;
pub mod session;
pub mod trainer;
