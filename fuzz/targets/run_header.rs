//! `run.json` of a run folder.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::run_folder;

fuzz_target!(|text: &str| {
    if let Ok(about) = run_folder::parse_about(text, Path::new("run.json")) {
        assert!(about.columns.len() <= text.len());
    }
});
