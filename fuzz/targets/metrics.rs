//! `metrics.csv` of a run folder; the first byte is the number of columns.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::base::event::MetricsRow;
use mnemoscope::run_folder;

fuzz_target!(|input: (u8, &[u8])| {
    let (columns, bytes) = (usize::from(input.0 % 8), input.1);
    let take = |row: MetricsRow| assert_eq!(row.values.len(), columns);
    let _ = run_folder::read_rows(bytes, columns, Path::new("metrics.csv"), take);
});
