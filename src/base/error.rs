//! One error for the whole house: a sentence for a person, and the kind that decides the exit code.

use std::sync::Arc;
use std::{fmt, io};

/// What went wrong, which decides the exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The words of a command or a setting cannot be carried out as they are (exit code 2).
    Usage,
    /// A file or a folder could not be understood (exit code 3).
    Input,
    /// The system refused: disk full, no permission, no device (exit code 4).
    System,
    /// Training diverged: a loss or a weight is no finite number (exit code 5).
    Diverged,
    /// A fault of this program (exit code 70).
    Internal,
}

/// A sentence that says what was read, what was expected and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Kind::System, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A fault of this program, in the words of the error that it came from.
    pub fn internal_of(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::internal(source.to_string()).caused_by(source)
    }

    /// The same error with the one that it came from: the message, which has said all of it to a person, stays as it is.
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same error with what was being done put in front: `reading runs/a: …`.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The message as a part of a longer sentence: without the full stop at its end.
    pub fn clause(&self) -> &str {
        self.message.trim_end().trim_end_matches('.')
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Input => 3,
            Kind::System => 4,
            Kind::Diverged => 5,
            Kind::Internal => 70,
        }
    }
}

/// A message of others without the folders of the machine that built the program: of a source file, what follows the folder
/// that holds its package.
pub fn without_build_paths(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`()[]{}<>,;=".contains(c);
    text.split_inclusive(ends).map(from_package).collect()
}

/// `/home/ann/.cargo/registry/src/index/winit-0.30/src/a.rs:7` as `winit-0.30/src/a.rs:7`.
fn from_package(word: &str) -> &str {
    let source = word.rfind("/src/").or_else(|| word.rfind("\\src\\"));
    match source.filter(|_| word.contains(".rs")) {
        Some(source) => &word[word[..source].rfind(['/', '\\']).map_or(0, |at| at + 1)..],
        None => word,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::system(reason(&e)).caused_by(e)
    }
}

/// Why the system refused, for a person.
#[expect(clippy::wildcard_enum_match_arm, reason = "there are forty kinds, and more to come")]
pub fn reason(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        io::ErrorKind::PermissionDenied => "there is no permission to".to_owned(),
        io::ErrorKind::QuotaExceeded => "the quota is used up".to_owned(),
        io::ErrorKind::InvalidFilename => {
            "a name in it is longer than the file system takes, which is 255 bytes on most; choose a shorter one".to_owned()
        }
        _ => e.to_string(),
    }
}

/// The names nearest to one that is unknown, as the end of a sentence: ` Did you mean a or b?`.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean_in("", wrong, known)
}

/// The same of names that stand behind a path: ` Did you mean task.a or task.b?`.
pub fn did_you_mean_in<'a>(
    path: &str,
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(3);
    if near.is_empty() {
        return String::new();
    }
    let names: Vec<String> = near.into_iter().map(|(_, name)| format!("{path}{name}")).collect();
    format!(" Did you mean {}?", names.join(" or "))
}
