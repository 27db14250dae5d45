//! A file of tensors: packs, frozen tensors, kept readers.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::formats;
use mnemoscope::measurement::probing::{Kind, Reader};

fuzz_target!(|bytes: &[u8]| {
    let Ok((tensors, _)) = formats::safetensors::read_safetensors(bytes, Path::new("pack.safetensors")) else {
        return;
    };
    let numbers: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
    assert!(4 * numbers <= bytes.len());
    for kind in Kind::ALL {
        let _ = Reader::from_tensors(*kind, &tensors);
    }
});
