//! What a task read from outside of its settings, kept with the run so that the folder needs nothing else.

use std::collections::BTreeMap;

/// Texts by the name of their file, e.g. `unigrams.csv`.
pub type Documents = BTreeMap<String, String>;

/// How often the characters of a text occur.
pub const UNIGRAMS: &str = "unigrams.csv";
/// How often they follow each other.
pub const BIGRAMS: &str = "bigrams.csv";

/// Names of all documents that any task keeps: of the folder `task` of a run nothing else is read.
pub const NAMES: &[&str] = &[BIGRAMS, UNIGRAMS];
