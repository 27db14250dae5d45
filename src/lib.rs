//! Mnemoscope: a microscope for working memory in transformers.
//!
//! The floors of the house, from the ground up (the laws between them are in `docs/ARCHITECTURE.md`):
//! [`base`] is what everything is said in, [`run_folder`] and [`sweep`] are what a run is on disk; [`nn`], [`task`], [`model`], [`measurement`] and [`run`] make runs and question
//! them; [`figure`] and [`panel`] turn answers into pictures, [`export`] into files; [`gpu`] and [`app`] show them to a person.

pub mod app;
pub mod base;
pub mod bench;
pub mod cli;
pub mod export;
pub mod figure;
pub mod formats;
pub mod gpu;
pub mod measurement;
pub mod model;
pub mod nn;
pub mod numeric;
pub mod panel;
pub mod run;
pub mod run_folder;
pub mod sweep;
pub mod task;

pub use base::error::{Error, Result};
