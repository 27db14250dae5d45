//! `checkpoint.safetensors` of a run folder.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::run_folder;

fuzz_target!(|bytes: &[u8]| {
    let _ = run_folder::parse_checkpoint(bytes, Path::new("checkpoint.safetensors"));
});
