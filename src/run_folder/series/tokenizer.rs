//! Where the tokenizer of a checkpoint lies: with the step, beside the steps, or with another step.

use std::path::{Path, PathBuf};

use crate::formats::file::is_there;

use super::{is_series, layout};

/// Files of which all together are a tokenizer.
const TOKENIZERS: &[&[&str]] =
    &[&["tokenizer.json"], &["vocab.json", "merges.txt"], &["chars.json"], &["tokens.json"]];

/// The folder of the files of a tokenizer that belongs to a network of another program, or to a series of them: the step (of a series
/// its last), the folder that the steps lie in, or another step, the latest first; whether they can be read is not known yet. `None`: there
/// are no such files.
pub fn tokenizer_folder(folder: &Path) -> Option<PathBuf> {
    let holds = |folder: &PathBuf| {
        TOKENIZERS.iter().any(|files| files.iter().all(|file| is_there(&folder.join(file))))
    };
    if is_series(folder) {
        return of_series(folder).into_iter().find(holds);
    }
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let home = home(&whole).map(of_series).unwrap_or_default();
    std::iter::once(folder.to_owned()).chain(home_first(home)).find(holds)
}

/// The last step, the folder of the series, the other steps.
fn of_series(folder: &Path) -> Vec<PathBuf> {
    let mut places = layout::folders(folder);
    places.reverse();
    places.insert(places.len().min(1), folder.to_owned());
    places
}

/// Of a step, the folder of its series comes before all other steps.
fn home_first(mut places: Vec<PathBuf>) -> Vec<PathBuf> {
    if places.len() > 1 {
        places.swap(0, 1);
    }
    places
}

/// The folder of the series that a folder is a step of: the one that it lies in, or the cache that its snapshots lie in.
fn home(step: &Path) -> Option<&Path> {
    let mut above = step.ancestors().skip(1).take(2);
    above.find(|home| layout::folders(home).iter().any(|place| place == step))
}
