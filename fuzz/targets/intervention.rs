//! An intervention as a person writes it: what is read is said back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::base::intervention::Intervention;
use mnemoscope::base::vocab::Vocab;

fuzz_target!(|text: &str| {
    let vocab = Vocab::new(["a", "b", "ab"].map(str::to_owned).to_vec());
    let _ = Intervention::written(text, &vocab);
    let Ok(read) = text.parse::<Intervention>() else { return };
    match read.to_string().parse::<Intervention>() {
        Ok(again) => assert_eq!(again, read),
        Err(error) => panic!("{error}"),
    }
});
