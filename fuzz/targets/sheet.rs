//! A figure sheet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::export::sheet::Sheet;

fuzz_target!(|text: &str| {
    let Ok(sheet) = Sheet::parse(text, "sheet.toml") else { return };
    assert_eq!(sheet.places().len(), sheet.panels.len());
    let _ = sheet.page();
});
