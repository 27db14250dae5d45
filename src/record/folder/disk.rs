//! Files that survive a kill: appended to with a known good length, or replaced as a whole.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
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
    /// When it is a link or no regular file, or the system refuses.
    pub fn open(path: PathBuf, good: u64) -> Result<Self> {
        refuse_link(&path)?;
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
    // One that a kill left behind; a new one is never opened through a link.
    let _ = fs::remove_file(&temporary);
    let mut file = File::create_new(&temporary).map_err(refused)?;
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

/// Refuses to write where a link leads, perhaps out of the folder: a run that others made may hold one.
///
/// # Errors
/// When there is one, or something else that is neither file nor folder.
pub(in crate::record) fn refuse_link(path: &Path) -> Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    // Behind a device like `/dev/null` lies nothing that could be lost.
    if there.is_file() || there.is_dir() || is_stream(path) {
        return Ok(());
    }
    let what = if there.is_symlink() { "a link" } else { "neither a file nor a folder" };
    Err(Error::input(format!(
        "{} is {what}, and nothing is written through it: put the file itself there, or name another folder",
        path.display()
    )))
}

/// Whether a path leads to a device that takes bytes one after the other and keeps none.
fn is_stream(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        fs::metadata(path).is_ok_and(|data| data.file_type().is_char_device())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Opens a regular file for reading; its length comes with it. A pipe or a device, which might never end, is refused.
///
/// # Errors
/// When it is missing or no regular file, or the system refuses.
pub(in crate::record) fn open_file(path: &Path) -> Result<(File, u64)> {
    let wrong = |e: io::Error| refused("reading", path, &e);
    let data = fs::metadata(path).map_err(wrong)?;
    if !data.is_file() {
        return Err(Error::input(format!(
            "{} cannot be read: it is no regular file",
            path.display()
        )));
    }
    Ok((File::open(path).map_err(wrong)?, data.len()))
}

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// When it is missing, longer, or no text.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let wrong = |why: String| Error::input(format!("{} cannot be read: {why}", path.display()));
    let data = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !data.is_file() {
        return Err(wrong("it is no regular file".to_owned()));
    }
    let too_long = |length: u64| wrong(format!("{length} bytes, expected at most {most}"));
    if data.len() > most {
        return Err(too_long(data.len()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    // A file may grow meanwhile, and some say that they are empty and are not.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(too_long(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|e| {
        wrong(format!("byte {} does not continue a UTF-8 text", e.utf8_error().valid_up_to()))
    })
}
