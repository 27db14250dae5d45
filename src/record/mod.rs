//! Ground floor: what a run is, as plain data. Knows no other floor.

pub mod array;
pub mod batch;
pub mod budget;
pub mod checkpoint;
pub mod columns;
pub mod correlation;
pub mod documents;
pub mod error;
pub mod event;
pub mod folder;
pub mod gather;
pub mod geometry;
pub mod intervention;
pub mod knobs;
pub mod label;
pub mod pair;
pub mod pattern;
pub mod question;
pub mod recording;
pub mod registry;
pub mod sweep;
pub mod tree;
pub mod tuples;
pub mod vocab;
pub mod weights;
