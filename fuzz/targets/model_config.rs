//! The `config.json` of a network of another program: what is read of it stays within the sizes that are built.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::base::budget;
use mnemoscope::model::pretrained::Config;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = Config::parse(text) else { return };
    assert!((1..=budget::MOST_LAYERS).contains(&config.layers.len()));
    assert!(config.vocab <= budget::MOST_VOCAB && config.width <= budget::MOST_WIDTH);
});
