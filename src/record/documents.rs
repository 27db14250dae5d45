//! What a task read from outside of its settings, kept with the run so that the folder needs nothing else.

use std::collections::BTreeMap;

/// Texts by the name of their file, e.g. `unigrams.csv`.
pub type Documents = BTreeMap<String, String>;
