//! One binary of integration tests: each file directly under `tests/` would link the whole crate again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of a test are small and stand beside their casts"
)]

mod app;
mod automaton;
mod background;
mod bench;
mod birth;
mod causal;
mod chains;
mod circuits;
mod cli;
mod compare;
mod convert;
mod decoder;
mod determinism;
mod earlier;
mod errors;
mod examine;
mod examples;
mod experiments;
mod export;
mod export_compared;
mod facts;
mod fidelity;
mod figure;
mod figure_editor;
mod first_view;
mod fit;
mod folder;
mod follow;
mod follow_window;
mod fonts;
mod gates;
mod gating;
mod geometry;
mod in_context_regression;
mod interchange;
mod interventions;
mod lens;
mod lessons;
mod machines;
mod measurements;
mod memory_models;
mod memory_tasks;
mod models;
mod nn;
mod npz;
mod optim;
mod panels;
mod parts;
mod patching;
mod paths;
mod pretrained;
mod pretrained_passes;
mod pretrained_window;
mod procedural_tasks;
mod reals;
mod reference_back;
mod room;
mod scores;
mod series;
mod series_window;
mod session;
mod settings;
mod shaders;
mod small;
mod spoilt;
mod studies;
mod sweep;
mod task;
mod tfevents;
mod tidy;
mod tiny;
mod tokenizers;
mod tour_window;
mod tree_path;
mod undo;
mod wire;
mod words;
mod working_memory;
