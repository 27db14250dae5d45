//! Files that survive a kill: appended to with a known good length, or replaced as a whole.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::record::error::{Error, Result};

/// A file that only grows.
pub(super) struct Append {
    path: PathBuf,
    file: File,
    /// Everything up to here is whole; what lies behind is a write that failed.
    good: u64,
    /// Whether something was written since the last sync.
    dirty: Cell<bool>,
}

impl Append {
    /// Opens (or makes) a file and cuts it to at most `good` bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: PathBuf, good: u64) -> Result<Self> {
        let open = || -> io::Result<(File, u64)> {
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            let length = file.metadata()?.len();
            let good = good.min(length);
            if good < length {
                file.set_len(good)?;
            }
            Ok((file, good))
        };
        let (file, good) = open().map_err(|e| refused("opening", &path, &e))?;
        Ok(Self { path, file, good, dirty: Cell::new(false) })
    }

    pub fn len(&self) -> u64 {
        self.good
    }

    /// Adds bytes at the end: all of them or none.
    ///
    /// # Errors
    /// When the system refuses, e.g. because the disk is full; it can be tried again.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written =
            self.file.seek(SeekFrom::Start(self.good)).and_then(|_| self.file.write_all(bytes));
        if let Err(e) = written {
            // If the cut fails too, the half record stays behind the good length, where the next write goes.
            let _ = self.file.set_len(self.good);
            return Err(refused("writing", &self.path, &e));
        }
        self.good += bytes.len() as u64;
        self.dirty.set(true);
        Ok(())
    }

    /// Cuts the file to its first `length` bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut(&mut self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(|e| refused("cutting", &self.path, &e))?;
        self.good = length;
        Ok(())
    }

    /// Makes sure that what was written survives a power failure.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<()> {
        if self.dirty.get() {
            self.file.sync_data().map_err(|e| refused("writing", &self.path, &e))?;
            self.dirty.set(false);
        }
        Ok(())
    }
}

/// What stands at the end of the name of a file that is being written.
const TEMPORARY: &str = ".tmp";

/// Whether a file is one that [`replace`] did not finish.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(TEMPORARY))
}

/// Writes a file as a whole: after a kill there is the old one or the new one.
///
/// # Errors
/// When the system refuses; the old file is untouched then.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = path.with_file_name(name);
    let refused = |e: io::Error| refused("writing", path, &e);
    let mut file = File::create(&temporary).map_err(refused)?;
    let written = write(&mut file)
        .and_then(|()| file.sync_all().map_err(refused))
        .and_then(|()| fs::rename(&temporary, path).map_err(refused));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// As [`replace`], with these bytes.
///
/// # Errors
/// As [`replace`].
pub(in crate::record) fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes).map_err(|e| refused("writing", path, &e)))
}

/// What the system refused, as a sentence.
pub(in crate::record) fn refused(doing: &str, path: &Path, e: &io::Error) -> Error {
    let why = match e.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        io::ErrorKind::PermissionDenied => "there is no permission to".to_owned(),
        io::ErrorKind::QuotaExceeded => "the quota is used up".to_owned(),
        _ => e.to_string(),
    };
    Error::system(format!("{doing} {} failed: {why}", path.display()))
}

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// When it is missing, longer, or no text.
pub(in crate::record) fn read_text(path: &Path, most: u64) -> Result<String> {
    let wrong = |why: String| Error::input(format!("{} cannot be read: {why}", path.display()));
    let data = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !data.is_file() {
        return Err(wrong("it is no regular file".to_owned()));
    }
    let length = data.len();
    if length > most {
        return Err(wrong(format!("{length} bytes, expected at most {most}")));
    }
    fs::read_to_string(path).map_err(|e| wrong(e.to_string()))
}
