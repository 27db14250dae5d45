//! Models, series and sets of prompts that were opened lately: they lie where other programs put them, and the library knows where.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::json;

use super::disk::{Hold, read_text, refused, replace_bytes};
use super::library::beside;
use super::model_folder::is_model;
use super::series::is_series;

/// The file, beside a library.
const FILE: &str = "recent.jsonl";
/// Held while it is changed.
const LOCK: &str = "recent.lock";
/// More than these are not kept, the oldest go.
const MOST: usize = 40;
/// A path has 4096 bytes at most, and a JSON string of it six times as many.
const MOST_BYTES: u64 = 1 << 20;

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Model,
    Series,
    Prompts,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Model, Self::Series, Self::Prompts];

    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Series => "series",
            Self::Prompts => "prompts",
        }
    }

    /// What a folder is; none where it is no network of another program.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        if is_series(folder) {
            return Some(Self::Series);
        }
        is_model(folder).then_some(Self::Model)
    }
}

/// Something that was opened lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    pub kind: Kind,
    /// From the root of the file system on.
    pub path: PathBuf,
    /// Whether it lies there now.
    pub is_there: bool,
}

impl Recent {
    /// The last part of its path.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What was opened lately, the newest first. Lines that say nothing are left out.
///
/// # Errors
/// When the list is there and cannot be read.
pub fn list(library: &Path) -> Result<Vec<Recent>> {
    let path = file(library);
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(read_text(&path, MOST_BYTES)?.lines().filter_map(recent).take(MOST).collect())
}

/// Puts something at the head of the list.
///
/// # Errors
/// When the list cannot be written; what its path is no text of, no list holds.
pub fn remember(library: &Path, kind: Kind, path: &Path) -> Result<()> {
    let whole = std::path::absolute(path).map_err(|e| refused("looking for", path, e))?;
    // Without a slash at its end.
    let path: PathBuf = whole.components().collect();
    let _hold = hold(library)?;
    let mut all = others(library, &path);
    all.insert(0, Recent { kind, path, is_there: true });
    write(library, &all)
}

/// Takes something off the list; what lies there stays.
///
/// # Errors
/// When it is not on the list, or that cannot be written.
pub fn forget(library: &Path, path: &Path) -> Result<()> {
    let whole = std::path::absolute(path).map_err(|e| refused("looking for", path, e))?;
    let path: PathBuf = whole.components().collect();
    let _hold = hold(library)?;
    let left = others(library, &path);
    if left.len() == list(library)?.len() {
        return Err(Error::usage(format!(
            "{} is not among what was opened lately; mnemoscope list recent shows that",
            path.display()
        )));
    }
    write(library, &left)
}

/// All but one; a list that cannot be read is begun anew.
fn others(library: &Path, path: &Path) -> Vec<Recent> {
    let all = list(library).unwrap_or_default();
    all.into_iter().filter(|recent| recent.path != path).collect()
}

fn file(library: &Path) -> PathBuf {
    beside(Some(library), FILE)
}

/// Who else changes the list is waited for, so that nothing of either is lost.
fn hold(library: &Path) -> Result<Hold> {
    let path = file(library);
    let home = path.parent().unwrap_or(&path);
    fs::create_dir_all(home).map_err(|e| refused("making", home, e))?;
    Hold::wait(&beside(Some(library), LOCK))
}

fn recent(line: &str) -> Option<Recent> {
    let value = json::parse(line).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let kind = text("kind")?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    let path = PathBuf::from(text("path")?);
    let is_there = path.exists();
    Some(Recent { kind, path, is_there })
}

fn write(library: &Path, all: &[Recent]) -> Result<()> {
    let line = |recent: &Recent| {
        let path = recent.path.to_str()?;
        Some(format!("{}\n", serde_json::json!({"kind": recent.kind.name(), "path": path})))
    };
    let text: String = all.iter().take(MOST).filter_map(line).collect();
    replace_bytes(&file(library), text.as_bytes())
}
