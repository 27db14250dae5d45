//! `weights/tail.log` of a run folder.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::record::folder;

fuzz_target!(|bytes: &[u8]| {
    let _ = folder::read_log(bytes, Path::new("tail.log"));
});
