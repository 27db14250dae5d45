//! A figure: the provenance out of PDF, SVG, PNG or JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::figure::provenance::Provenance;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = Provenance::read(bytes) else { return };
    match Provenance::from_json(&read.to_json()) {
        Ok(again) => assert_eq!(again.panels.len(), read.panels.len()),
        Err(error) => panic!("{error}"),
    }
});
