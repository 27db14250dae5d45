//! `run.json` of a run folder.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::record::folder;

fuzz_target!(|text: &str| {
    if let Ok(about) = folder::parse_about(text, Path::new("run.json")) {
        assert!(about.columns.len() <= text.len());
    }
});
