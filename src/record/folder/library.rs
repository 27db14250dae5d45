//! The runs that the window keeps under the user's data folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::record::error::{Error, Result};

use super::disk::refused;
use super::{About, read_about, write_about};

/// Room for runs without a name of their own; the oldest go first beyond it.
pub const CAP_BYTES: u64 = 4_000_000_000;

/// A run of the library.
#[derive(Clone, Debug)]
pub struct Entry {
    pub folder: PathBuf,
    pub about: About,
    pub bytes: u64,
    /// When it was last written.
    pub changed: SystemTime,
}

/// The folder that holds the library: `mnemoscope/runs` under the user's data folder.
///
/// # Errors
/// When the system knows no such folder.
pub fn home() -> Result<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "mnemoscope").ok_or_else(|| {
        Error::system("there is no home folder to record runs in; name a folder with --out")
    })?;
    Ok(dirs.data_dir().join("runs"))
}

/// All runs of a library, the newest first. What is no run is left out.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(home: &Path) -> Result<Vec<Entry>> {
    if !home.exists() {
        return Ok(Vec::new());
    }
    let folders = fs::read_dir(home).map_err(|e| refused("reading", home, &e))?;
    let mut entries: Vec<Entry> = folders.flatten().filter_map(|e| entry(e.path())).collect();
    entries.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.folder.cmp(&a.folder)));
    Ok(entries)
}

/// An empty folder for a new run of an experiment: `birth-001`, `birth-002`, … It is made here, so that two programs
/// never get the same one.
///
/// # Errors
/// When it cannot be made.
pub fn new_run_folder(home: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(home).map_err(|e| refused("making", home, &e))?;
    let safe = |c: char| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    let name = if name.is_empty() { "run".to_owned() } else { name };
    for i in 1u32.. {
        let folder = home.join(format!("{name}-{i:03}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(refused("making", &folder, &e)),
        }
    }
    Err(Error::system(format!("{} is full", home.display())))
}

/// Where a run is recorded whose own place refuses: a new folder among temporary files, if there is one to be had, and
/// the sentence that says so.
pub fn elsewhere(name: &str, refusal: &Error) -> (Option<PathBuf>, Error) {
    let folder = new_run_folder(&std::env::temp_dir().join("mnemoscope"), name).ok();
    let what = match &folder {
        Some(folder) => format!("is recorded in {} instead", folder.display()),
        None => "is not recorded".to_owned(),
    };
    (folder, Error::new(refusal.kind, format!("{}; this run {what}", refusal.message)))
}

/// Gives a run a name, so that it is kept; an empty one takes the name away.
///
/// # Errors
/// When it is no run, or cannot be written.
pub fn rename(folder: &Path, title: &str) -> Result<()> {
    let mut about = read_about(folder)?;
    about.title = (!title.trim().is_empty()).then(|| title.trim().to_owned());
    write_about(folder, &about)
}

/// Removes a run for good.
///
/// # Errors
/// When it is no run, is being written or read, or the system refuses.
pub fn delete(folder: &Path) -> Result<()> {
    read_about(folder)?;
    // Both are held while the files go; gone with them.
    let _lock = super::lock(folder)?;
    let read = File::open(folder).ok();
    if let Some(Err(TryLockError::WouldBlock)) = read.as_ref().map(File::try_lock) {
        return Err(Error::usage(format!(
            "the run in {} is being looked at; close it first",
            folder.display()
        )));
    }
    fs::remove_dir_all(folder).map_err(|e| refused("removing", folder, &e))
}

/// Removes the oldest runs without a name until the library takes at most `cap_bytes`; gives back what went.
/// A run that is being written or examined stays, by whatever program, and so do those to `keep`.
///
/// # Errors
/// When the library cannot be read.
pub fn make_room(home: &Path, cap_bytes: u64, keep: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let entries = list(home)?;
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut gone = Vec::new();
    let may_go = |entry: &&Entry| entry.about.title.is_none() && !keep.contains(&entry.folder);
    for entry in entries.iter().rev().filter(may_go) {
        if bytes <= cap_bytes {
            break;
        }
        if delete(&entry.folder).is_ok() {
            bytes -= entry.bytes;
            gone.push(entry.folder.clone());
        }
    }
    Ok(gone)
}

fn entry(folder: PathBuf) -> Option<Entry> {
    let about = read_about(&folder).ok()?;
    let (bytes, changed) = measure(&folder);
    Some(Entry { folder, about, bytes, changed })
}

/// Bytes of all files of a folder, and when the last of them was written.
fn measure(folder: &Path) -> (u64, SystemTime) {
    let (mut bytes, mut changed) = (0, SystemTime::UNIX_EPOCH);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let (more, when) = if data.is_dir() {
            measure(&entry.path())
        } else {
            (data.len(), data.modified().unwrap_or(SystemTime::UNIX_EPOCH))
        };
        bytes += more;
        changed = changed.max(when);
    }
    (bytes, changed)
}
