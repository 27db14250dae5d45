//! Running and questioning an experiment.

pub mod examine;
pub mod examiner;
pub mod expectation;
pub mod experiment;
pub mod gallery;
pub mod interchange;
pub mod job;
pub mod lenses;
pub mod lesson;
mod measure;
mod meters;
pub mod phenomenon;
pub mod places;
pub mod recorded;
mod reference;
pub mod rehearsal;
mod remembered;
pub mod scorer;
pub mod scoring;
pub mod session;
mod size;
pub mod study;
pub mod sweep;
pub mod tour;
pub mod trainer;
