//! The counts of a text that a run keeps; what lies before the first NUL is one table, the rest the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mnemoscope::task::statistics::Statistics;

fuzz_target!(|text: &str| {
    let (unigrams, bigrams) = text.split_once('\0').unwrap_or((text, ""));
    let documents = [("unigrams.csv", unigrams), ("bigrams.csv", bigrams)];
    let documents = documents.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    if let Ok(counts) = Statistics::from_documents(&documents) {
        assert_eq!(counts.bigram_law().len(), counts.vocab().len().pow(2));
    }
});
