//! `sweep.toml` of a sweep: its folders stay inside.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mnemoscope::sweep::Plan;

fuzz_target!(|text: &str| {
    let Ok(plan) = Plan::parse(text, Path::new("sweep.toml")) else { return };
    for member in plan.members() {
        assert!(!member.name.contains(['/', '\\']) && !member.name.starts_with('.'));
    }
});
