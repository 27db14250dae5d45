//! Runs that come with the program: recorded once, so that a lesson plays at once and always the same.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result, did_you_mean};
use crate::run_folder::disk::{refused, replace_bytes};

/// A run that comes with the program: the files of its folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    pub name: &'static str,
    /// A sentence for a person.
    pub about: &'static str,
    /// Path in the folder, and what stands there.
    files: &'static [(&'static str, &'static [u8])],
}

macro_rules! files {
    ($folder:literal: $($path:literal),*) => {
        &[$(($path, include_bytes!(concat!("../../assets/runs/", $folder, "/", $path)))),*]
    };
}

/// How each was made is said in `docs/lessons.md`.
pub const ALL: &[Recorded] = &[Recorded {
    name: "gating",
    about: "The experiment gating with seed 2, at steps 0, 600, 4,800 and 14,000.",
    files: files!("gating":
        "experiment.toml", "metrics.csv", "events.jsonl", "weights/frozen.safetensors", "weights/tail.log", "run.json"),
}];

/// The name of a folder by what is in it, or what it is about.
pub(super) fn short_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect()
}

impl Recorded {
    /// The run of a name.
    ///
    /// # Errors
    /// When none has it; the sentence lists the names.
    pub fn find(name: &str) -> Result<&'static Self> {
        let names = || ALL.iter().map(|run| run.name);
        ALL.iter().find(|run| run.name == name).ok_or_else(|| {
            Error::usage(format!(
                "no run that comes with the program is called \"{name}\".{} Known: {}.",
                did_you_mean(name, names()),
                names().collect::<Vec<_>>().join(", ")
            ))
        })
    }

    /// What all its files take.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Where it lies once it is unpacked under `home`: in a folder that is named by its content, so that a newer program's
    /// lies beside it.
    pub fn folder(&self, home: &Path) -> PathBuf {
        let parts = self.files.iter().flat_map(|(path, bytes)| [path.as_bytes(), *bytes]);
        home.join(short_hash(parts)).join(self.name)
    }

    /// Unpacks it under `home`, if it does not lie there already. What is there is never replaced.
    ///
    /// # Errors
    /// When the system refuses, or what lies there is not what comes with the program.
    pub fn unpack(&self, home: &Path) -> Result<PathBuf> {
        let folder = self.folder(home);
        for (path, bytes) in self.files {
            let file = folder.join(path);
            match fs::read(&file) {
                Ok(there) if there == *bytes => {}
                Ok(_) => return Err(changed(&file)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let parent = file.parent().unwrap_or(&folder);
                    fs::create_dir_all(parent).map_err(|e| refused("making", parent, e))?;
                    replace_bytes(&file, bytes)?;
                }
                Err(e) => return Err(refused("reading", &file, e)),
            }
        }
        Ok(folder)
    }
}

fn changed(file: &Path) -> Error {
    Error::input(format!(
        "{} is not the file that comes with the program, and it is left as it is: move its folder away, and the lesson unpacks it anew",
        file.display()
    ))
}
