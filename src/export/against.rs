//! With what a panel of a sheet is compared, and how a command says that in a word.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::panel::PanelKind;
use crate::panel::compare::{Compares, Showing};

use super::run_at::folder_of;

/// B of a panel: A is what the panel itself asks. Both are asked about the sequence of A.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgainstSpec {
    /// Its run, named as that of the panel; empty: the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// Its step, or the nearest whose weights are recorded; none: that of A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Layer and head in focus; empty: those of A.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub head: String,
    /// What is in force in it; what is in force in A is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervene: Vec<String>,
    /// A name of [`Showing`], or what can be typed for it; empty: the difference.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub show: String,
}

impl AgainstSpec {
    /// # Errors
    /// When there is no such way to show it.
    pub fn showing(&self) -> Result<Showing> {
        if self.show.is_empty() {
            return Ok(Showing::default());
        }
        Showing::named(&self.show).ok_or_else(|| {
            let known = Showing::NAMES.iter().chain(Showing::WORDS).copied();
            Error::usage(format!(
                "show \"{}\" is not known: choose one of {}",
                self.show,
                known.collect::<Vec<_>>().join(", ")
            ))
        })
    }
}

/// Whether a panel draws what is said of it, with something to compare or without.
///
/// # Errors
/// When it compares nothing and is to, or the other way round.
pub fn check(kind: &PanelKind, against: Option<&AgainstSpec>) -> Result<()> {
    match (kind.compares, against) {
        (Compares::Never, Some(_)) => Err(Error::usage(format!(
            "{} draws runs as they are, and is compared with nothing: leave out what it is against",
            kind.name
        ))),
        (Compares::Itself, None) => Err(Error::usage(format!(
            "{} draws what differs between two: say the other with --against RUN[@STEP], or in a sheet with [panel.against]",
            kind.name
        ))),
        (_, against) => against.map_or(Ok(()), |against| against.showing().map(|_| ())),
    }
}

/// What a command compares with, as `RUN@STEP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Other {
    /// A folder, or the name of one beside the run that is asked; empty: that run itself.
    pub run: PathBuf,
    /// None: the step that is asked.
    pub step: Option<u64>,
}

impl Other {
    /// # Errors
    /// When it is empty.
    pub fn read(word: &OsStr) -> Result<Self> {
        if word.is_empty() {
            return Err(Error::usage(
                "--against: expected RUN[@STEP], for example another-run, another-run@100, @100 (another step of this run) or @ (the same step, with nothing in force)",
            ));
        }
        let whole = || Self { run: word.into(), step: None };
        let parts = word.to_str().filter(|_| !Path::new(word).exists());
        let Some((run, step)) = parts.and_then(|text| text.rsplit_once('@')) else {
            return Ok(whole());
        };
        let step = if step.is_empty() { Some(None) } else { step.parse().ok().map(Some) };
        Ok(step.map_or_else(whole, |step| Self { run: run.into(), step }))
    }

    /// Where its run lies, where the one in `folder` is asked.
    pub fn folder(&self, folder: &Path) -> PathBuf {
        if self.run.is_dir() {
            return self.run.clone();
        }
        folder_of(folder, &self.run.to_string_lossy())
    }
}
