//! Running and questioning an experiment.

pub mod arrays;
pub mod examine;
pub mod examiner;
pub mod experiment;
mod measure;
mod meters;
pub mod session;
pub mod sweep;
pub mod trainer;
