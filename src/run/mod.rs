//! Running and questioning an experiment.

pub mod arrays;
pub mod examine;
pub mod examiner;
pub mod experiment;
pub mod fit;
mod measure;
mod meters;
pub mod session;
pub mod trainer;
