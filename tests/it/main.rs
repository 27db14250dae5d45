//! One binary of integration tests: each file directly under `tests/` would link the whole crate again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod bench;
mod birth;
mod causal;
mod cli;
mod decoder;
mod determinism;
mod examine;
mod examples;
mod experiments;
mod fidelity;
mod figure;
mod folder;
mod geometry;
mod ground;
mod interventions;
mod knobs;
mod models;
mod nn;
mod optim;
mod panels;
mod parts;
mod patching;
mod probes;
mod room;
mod session;
mod shaders;
mod task;
mod tidy;
mod tiny;
mod tree_path;
