//! Which names in the folder of a run are those of files that a run writes: nothing else in it is read, replaced or removed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::documents;
use crate::base::error::Result;

use super::disk::{TEMPORARY, refused};
use super::{beat, readers, store};

/// Files directly in the folder.
const FILES: &[&str] = &[
    "run.json",
    "experiment.toml",
    "metrics.csv",
    "events.jsonl",
    "checkpoint.safetensors",
    beat::NAME,
    "lock",
];
/// Folders in it.
const FOLDERS: &[&str] = &["task", "weights", "readers"];
/// The folder itself and those in it.
const PARTS: &[&str] = &["", "task", "weights", READERS];
/// Where fitted readers lie; whoever fits one writes there, at any time.
const READERS: &str = "readers";

/// What systems and tools leave in any folder; nobody misses it.
const NOBODYS: &[&str] = &[".DS_Store", "Thumbs.db", "desktop.ini", ".directory", ".gitkeep"];

/// Whether a file is one that a system or a tool left there.
pub fn is_nobodys(name: &OsStr) -> bool {
    // Of a file `a`, macOS puts what other disks cannot hold into `._a`.
    name.to_str().is_some_and(|name| NOBODYS.contains(&name) || name.starts_with("._"))
}

/// Whether a file may stand in a folder that a run or a sweep begins in: nobody's, or what the program says, sent there.
pub fn may_be_beside(name: &OsStr) -> bool {
    let is_log =
        |name: &str| [".log", ".out", ".err", "log.txt"].iter().any(|end| name.ends_with(end));
    is_nobodys(name) || name.to_str().is_some_and(is_log)
}

/// Whether a run writes a file of this name into a part of its folder: into the folder itself (`""`), `task`, `weights`
/// or `readers`.
pub fn is_written(part: &str, name: &str) -> bool {
    let name = name.strip_suffix(TEMPORARY).unwrap_or(name);
    match part {
        "" => FILES.contains(&name),
        "task" => documents::NAMES.contains(&name),
        "weights" => store::is_written(name),
        "readers" => readers::is_written(name),
        _ => false,
    }
}

/// The first thing in the folder of a run that is neither a run's nor nobody's, from that folder on.
///
/// # Errors
/// When it cannot be looked through: then nobody knows.
pub fn foreign(folder: &Path) -> Result<Option<PathBuf>> {
    for part in PARTS {
        let home = folder.join(part);
        if !part.is_empty() && !home.exists() {
            continue;
        }
        for entry in fs::read_dir(&home).map_err(|e| refused("reading", &home, e))? {
            let entry = entry.map_err(|e| refused("reading", &home, e))?;
            let kind = entry.file_type().map_err(|e| refused("reading", &home, e))?;
            let name = entry.file_name();
            let text = name.to_str().unwrap_or_default();
            // Neither a run nor nobody makes links.
            let known = match part {
                &"" if kind.is_dir() => FOLDERS.contains(&text),
                &"readers" if text.ends_with(".json") => {
                    kind.is_file() && home.join(text).with_extension("safetensors").is_file()
                }
                part => kind.is_file() && (is_written(part, text) || is_nobodys(&name)),
            };
            if !known {
                return Ok(Some(Path::new(part).join(name)));
            }
        }
    }
    Ok(None)
}

/// Removes files that a run writes from a part of its folder, those that `which` says; what the system keeps us from
/// removing stays.
pub fn remove_written(folder: &Path, part: &str, which: impl Fn(&str) -> bool) {
    let home = folder.join(part);
    if fs::symlink_metadata(&home).is_ok_and(|there| there.is_symlink()) && !part.is_empty() {
        return;
    }
    for entry in fs::read_dir(&home).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
        let is_ours = |name: &str| is_written(part, name) && which(name);
        if is_file && entry.file_name().to_str().is_some_and(is_ours) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes what a kill left half written, but for readers: another program may be writing one.
pub fn remove_temporary(folder: &Path) {
    for part in PARTS.iter().filter(|part| **part != READERS) {
        remove_written(folder, part, |name| name.ends_with(TEMPORARY));
    }
}

/// Removes all that a run writes, and its folders where they are empty then.
pub fn remove_all_written(folder: &Path) {
    for part in PARTS.iter().rev() {
        remove_written(folder, part, |_| true);
        if !part.is_empty() {
            let _ = fs::remove_dir(folder.join(part));
        }
    }
}
