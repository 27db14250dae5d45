//! The list of the files of a network of another program.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::run_folder::model_folder::read_index;

fuzz_target!(|text: &str| {
    let _ = read_index(text);
});
