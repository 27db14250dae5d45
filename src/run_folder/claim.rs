//! A folder taken for a run by this program alone, before anything is read or written there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::documents;
use crate::base::error::{Error, Result};

use super::disk::{Hold, TEMPORARY, is_held, is_stream, refuse_link, refused, replace_bytes};
use super::names;

/// A folder in which no other program begins or goes on with a run, as long as this or the writer it became lives.
pub struct Claim {
    folder: PathBuf,
    /// `None` once a writer has it.
    hold: Option<Hold>,
    /// Nothing of a run was there, so nothing is left if none begins.
    was_empty: bool,
    made: bool,
}

impl Claim {
    /// Takes the folder of a run that is there or is to be; it is made if need be. `None`: another program has it.
    ///
    /// # Errors
    /// When a new run cannot begin there and no run is there, or the system refuses.
    pub fn take(folder: &Path) -> Result<Option<Self>> {
        let made = make(folder)?;
        let mut claim = Self { folder: folder.to_owned(), hold: None, was_empty: false, made };
        let lock = folder.join("lock");
        // So that no lock is put among the files of others. Where one lies already, another program may be beginning a run
        // while this one looks: then only what is seen under the lock counts.
        let was_empty = match check_new(folder) {
            Err(e) if !lock.exists() && !claim.holds_run() => return Err(e),
            seen => seen.unwrap_or(false),
        };
        claim.hold = Hold::take(&lock)?;
        if claim.hold.is_none() {
            return Ok(None);
        }
        // Somebody may have begun and ended a run here in between, or put something there.
        if !claim.holds_run() {
            check_new(folder)?;
            claim.was_empty = was_empty;
        }
        Ok(Some(claim))
    }

    /// As [`Self::take`], where another program that has the folder is an error.
    ///
    /// # Errors
    /// As [`Self::take`], and when another program has it.
    pub fn alone(folder: &Path) -> Result<Self> {
        Self::take(folder)?.ok_or_else(|| {
            Error::usage(format!(
                "another program is writing the run in {}; stop it first, or name another folder",
                folder.display()
            ))
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a run is there already.
    pub fn holds_run(&self) -> bool {
        is_run(&self.folder)
    }

    /// Gives the folder to its writer.
    pub(super) fn into_hold(mut self) -> Option<Hold> {
        self.hold.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.hold.is_some() && self.was_empty && !self.holds_run() {
            names::remove_all_written(&self.folder);
        }
        if self.made {
            // Only if it is still empty.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Whether a folder is one of a run.
pub fn is_run(folder: &Path) -> bool {
    folder.join("run.json").exists()
}

/// Whether a run has begun in a folder; false where one still may.
///
/// # Errors
/// When something is there that is no run, or no longer one.
pub fn has_begun(folder: &Path) -> Result<bool> {
    if is_run(folder) || !folder.exists() {
        return Ok(is_run(folder));
    }
    match check_new(folder) {
        // Somebody is beginning it.
        Err(_) if is_run(folder) || is_held(&folder.join("lock")) => Ok(is_run(folder)),
        seen => seen.map(|_| false),
    }
}

/// Makes a folder; true if it was not there.
fn make(folder: &Path) -> Result<bool> {
    let made = match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = folder.parent().unwrap_or(folder);
            fs::create_dir_all(parent).and_then(|()| fs::create_dir(folder))
        }
        made => made,
    };
    match made {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(refused("making", folder, e)),
    }
}

/// Whether a new run may begin here: nothing but what a run that was killed at its very start left, and what nobody
/// minds. True if there is nothing of a run.
fn check_new(folder: &Path) -> Result<bool> {
    let entries = fs::read_dir(folder).map_err(|e| refused("reading", folder, e))?;
    let (mut empty, was_locked) = (true, folder.join("lock").exists());
    for entry in entries.flatten() {
        let name = entry.file_name();
        if names::may_be_beside(&name) {
            continue;
        }
        if !is_left_over(&entry.path(), name.to_str().unwrap_or_default(), was_locked) {
            return Err(Error::usage(format!(
                "{} is no empty folder (it holds {}); a run needs a folder of its own",
                folder.display(),
                name.to_string_lossy()
            )));
        }
        empty = false;
    }
    Ok(empty)
}

/// Whether something is what a run that was killed at its very start left, and nothing that a person could miss: a name
/// alone is none of ours. `was_locked`: a run began here, for that is what it does first.
fn is_left_over(path: &Path, name: &str, was_locked: bool) -> bool {
    let Ok(there) = fs::metadata(path) else { return false };
    let is_empty = |path: &Path| fs::metadata(path).is_ok_and(|there| there.len() == 0);
    let holds_only = |is_ours: &dyn Fn(&str, &Path) -> bool| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| (entry.file_name(), entry.path()));
        names.all(|(name, path)| {
            names::is_nobodys(&name) || is_ours(name.to_str().unwrap_or_default(), &path)
        })
    };
    match name {
        _ if is_stream(path) => true,
        "lock" | "events.jsonl" => there.is_file() && there.len() == 0,
        "experiment.toml" => there.is_file() && was_locked,
        // The header alone.
        "metrics.csv" => {
            there.is_file()
                && was_locked
                && there.len() < 1 << 20
                && fs::read(path).is_ok_and(|b| b.iter().filter(|b| **b == b'\n').count() <= 1)
        }
        "task" => was_locked && holds_only(&|name, _| names::is_written("task", name)),
        "weights" => holds_only(&|name, path| name == "tail.log" && is_empty(path)),
        // An empty folder of that name is nothing that anybody could miss.
        _ => {
            let ours = name.ends_with(TEMPORARY) && names::is_written("", name);
            ours && (there.is_file() && was_locked || there.is_dir() && holds_only(&|_, _| false))
        }
    }
}

/// The documents that a task keeps are the only files that belong into the folder `task`.
pub(super) fn write_documents(folder: &Path, documents: &documents::Documents) -> Result<()> {
    let home = folder.join("task");
    refuse_link(&home)?;
    names::remove_written(folder, "task", |_| true);
    if documents.is_empty() {
        // One that a run left which was killed at its very start.
        let _ = fs::remove_dir(&home);
        return Ok(());
    }
    fs::create_dir_all(&home).map_err(|e| refused("making", &home, e))?;
    let write = |(name, text): (&String, &String)| replace_bytes(&home.join(name), text.as_bytes());
    documents.iter().try_for_each(write)
}
