//! Readers that were fitted to a run, kept in its folder: `readers/NAME.safetensors` and `readers/NAME.json`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::weights::NamedTensor;

use super::disk::{open_file, read_text, refuse_link, refused, replace_bytes};
use crate::formats::safetensors as tensors;

/// Longest description that is read: one has a few KB.
const MOST_ABOUT_BYTES: u64 = 1 << 20;

/// Most readers of a run: each is listed with what is said of it.
const MOST_READERS: usize = 1000;

/// A reader in a run folder.
#[derive(Clone, Debug)]
pub struct KeptReader {
    /// JSON: kind, step, split, settings, scores.
    pub about: String,
    pub tensors: Vec<NamedTensor>,
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// Whether a file of this name may be one of a reader.
pub(super) fn is_written(name: &str) -> bool {
    let stem = name.strip_suffix(".safetensors").or_else(|| name.strip_suffix(".json"));
    stem.is_some_and(is_name)
}

fn paths(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    if !is_name(name) {
        return Err(Error::usage(format!(
            "\"{name}\" is no name for a reader; use letters, digits and - _ . +"
        )));
    }
    let home = folder.join("readers");
    Ok((home.join(format!("{name}.safetensors")), home.join(format!("{name}.json"))))
}

/// Keeps a reader under a name; one that is there already is replaced only if asked for.
///
/// # Errors
/// When there is one, the name is none for a file, or the system refuses.
pub fn save(folder: &Path, name: &str, reader: &KeptReader, replace: bool) -> Result<PathBuf> {
    let (numbers, about) = paths(folder, name)?;
    if !replace && (numbers.exists() || about.exists()) {
        return Err(Error::usage(format!(
            "{} is there already and is left as it is; choose another --name, or replace it with --force",
            numbers.display()
        )));
    }
    let home = folder.join("readers");
    refuse_link(&home)?;
    fs::create_dir_all(&home).map_err(|e| refused("making", &home, e))?;
    let named = reader.tensors.iter().map(|tensor| (tensor.name.to_string(), tensor));
    replace_bytes(&numbers, &tensors::encode(named, None))?;
    replace_bytes(&about, reader.about.as_bytes())?;
    Ok(numbers)
}

/// What is said of the reader that is kept under a name.
pub fn about(folder: &Path, name: &str) -> Result<String> {
    read_text(&paths(folder, name)?.1, MOST_ABOUT_BYTES)
}

/// The reader that is kept under a name.
///
/// # Errors
/// When there is none (those that are there are named), or its files are damaged.
pub fn read(folder: &Path, name: &str) -> Result<KeptReader> {
    let (numbers, about) = paths(folder, name)?;
    if !numbers.is_file() {
        let known = names(folder)?;
        let known = if known.is_empty() {
            "none is kept; fit one first".to_owned()
        } else {
            format!("kept are {}", known.join(", "))
        };
        return Err(Error::usage(format!(
            "no reader \"{name}\" is kept in {}: {known}",
            folder.display()
        )));
    }
    let about = read_text(&about, MOST_ABOUT_BYTES)?;
    let (file, length) = open_file(&numbers)?;
    let (tensors, _) = tensors::all(file, length, budget::NETWORK_BYTES, &numbers)?;
    Ok(KeptReader { about, tensors })
}

/// The names of all readers that are kept, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let home = folder.join("readers");
    if !home.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&home).map_err(|e| refused("reading", &home, e))?;
    let name = |file: fs::DirEntry| {
        let file = file.file_name();
        let name = file.to_str()?.strip_suffix(".safetensors")?;
        is_name(name).then(|| name.to_owned())
    };
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    if names.len() > MOST_READERS {
        return Err(Error::input(format!(
            "{} holds {} readers, and at most {MOST_READERS} are looked at; move some of them away",
            home.display(),
            names.len()
        )));
    }
    names.sort();
    Ok(names)
}
