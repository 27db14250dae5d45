//! Running and questioning an experiment.

pub mod examine;
pub mod examiner;
pub mod experiment;
pub mod interchange;
pub mod job;
pub mod lenses;
mod measure;
mod meters;
mod reference;
pub mod session;
mod size;
pub mod sweep;
pub mod trainer;
