//! Mnemoscope: a microscope for working memory in transformers.
//!
//! The floors of the house, from the ground up (the laws between them are in `docs/ARCHITECTURE.md`):
//! [`record`] says what a run is; [`nn`], [`task`], [`model`], [`probe`] and [`run`] make runs and question
//! them; [`figure`] and [`panel`] turn answers into pictures, [`export`] into files; [`gpu`] and [`app`] show them to a person.

pub mod app;
pub mod bench;
pub mod cli;
pub mod export;
pub mod figure;
pub mod gpu;
pub mod model;
pub mod nn;
pub mod panel;
pub mod probe;
pub mod record;
pub mod run;
pub mod task;

pub use record::error::{Error, Result};
