//! Files that survive a kill: appended to with a known good length, or replaced as a whole.

use std::cell::Cell;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::base::error::{Error, Result, reason};
use crate::formats::file::{identity, is_at, new_file, without_mark};

pub use crate::formats::file::read_text;

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
        let (file, good) = open().map_err(|e| refused("opening", &path, e))?;
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
            return Err(refused("writing", &self.path, e));
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
        self.file.set_len(length).map_err(|e| refused("cutting", &self.path, e))?;
        self.good = length;
        Ok(())
    }

    /// Makes sure that what was written survives a power failure.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<()> {
        if self.dirty.get() {
            self.file.sync_data().map_err(|e| refused("writing", &self.path, e))?;
            self.dirty.set(false);
        }
        Ok(())
    }
}

/// What stands at the end of the name of a file that is being written.
pub(super) const TEMPORARY: &str = ".tmp";

/// Writes a file as a whole: after a kill there is the old one or the new one.
///
/// # Errors
/// When the system refuses; the old file is untouched then.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    put_in_place(path, |file| {
        write(file)?;
        file.sync_all().map_err(|e| refused("writing", path, e))
    })
}

/// As [`replace_bytes`], but what is there after a power failure nobody knows.
pub(super) fn replace_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    put_in_place(path, |file| file.write_all(bytes).map_err(|e| refused("writing", path, e)))
}

fn put_in_place(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = path.with_file_name(name);
    let refused = |e: io::Error| refused("writing", path, e);
    let mut file = new_file(&temporary).map_err(refused)?;
    let written = write(&mut file).and_then(|()| fs::rename(&temporary, path).map_err(refused));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// As [`replace`], with these bytes.
pub fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes).map_err(|e| refused("writing", path, e)))
}

/// What the system refused, as a sentence.
pub fn refused(doing: &str, path: &Path, e: io::Error) -> Error {
    Error::system(format!("{doing} {} failed: {}", path.display(), reason(&e))).caused_by(e)
}

/// Marks a file or a folder as being read, if the system can; who looks whether it is read has it for a moment.
pub(super) fn lock_shared(file: &File) -> bool {
    const TRIES: usize = 50;
    for _ in 0..TRIES {
        match file.try_lock_shared() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(_)) => return false,
        }
    }
    false
}

/// A file that this program holds for itself, as long as this lives.
pub struct Hold {
    file: File,
    /// The sentence that there are no locks here: then nothing is held, and training goes on all the same.
    pub missing: Option<Error>,
}

impl Hold {
    /// Takes a file, which is made if need be; `None`: another program has it.
    ///
    /// # Errors
    /// When it is a link, or cannot be made or opened.
    pub fn take(path: &Path) -> Result<Option<Self>> {
        /// Each time another program took it away between opening and locking.
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            let file = Self::open(path)?;
            let missing = match file.try_lock() {
                Ok(()) => None,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => Some(no_locks(path, e)),
            };
            let hold = Self { file, missing };
            if hold.is_at(path) {
                return Ok(Some(hold));
            }
        }
        Ok(None)
    }

    /// Takes a file as [`Self::take`], and waits for who has it.
    pub fn wait(path: &Path) -> Result<Self> {
        let file = Self::open(path)?;
        let missing = file.lock().err().map(|e| no_locks(path, e));
        Ok(Self { file, missing })
    }

    fn open(path: &Path) -> Result<File> {
        refuse_link(path)?;
        let file = File::options().create(true).truncate(false).write(true).open(path);
        file.map_err(|e| refused("opening", path, e))
    }

    /// Whether what is held is still what lies there: a folder may have been moved or deleted since.
    pub fn is_at(&self, path: &Path) -> bool {
        is_at(&self.file, path)
    }
}

/// Which bytes a file holds, as far as the system tells: where this differs, nothing that was known of it is relied on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Version {
    pub identity: (u64, u64),
    pub length: u64,
    modified: Option<SystemTime>,
}

impl Version {
    /// Of a file that is open, so that it is that of the bytes read from it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        let modified = data.modified().ok();
        Ok(Self { identity: identity(&data), length: data.len(), modified })
    }
}

/// Some network file systems have no locks: what keeps two programs apart is no reason to train nothing.
fn no_locks(path: &Path, e: io::Error) -> Error {
    let folder = path.parent().unwrap_or(path);
    Error::system(format!(
        "the file system of {} has no file locks ({e}), so nothing keeps a second program from writing there; see to it that none does",
        folder.display()
    )).caused_by(e)
}

/// Whether another program holds a file. Where there are no locks, nobody does.
pub(super) fn is_held(path: &Path) -> bool {
    let file = File::options().write(true).open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Refuses to write where a link leads, perhaps out of the folder: a run that others made may hold one.
///
/// # Errors
/// When there is one, or something else that is neither file nor folder.
pub fn refuse_link(path: &Path) -> Result<()> {
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
pub(super) fn is_stream(path: &Path) -> bool {
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
pub fn open_file(path: &Path) -> Result<(File, u64)> {
    let wrong = |e: io::Error| refused("reading", path, e);
    let data = fs::metadata(path).map_err(wrong)?;
    if !data.is_file() {
        return Err(Error::input(format!(
            "{} cannot be read: it is no regular file",
            path.display()
        )));
    }
    Ok((File::open(path).map_err(wrong)?, data.len()))
}

/// A line as it was written: without the byte-order mark before the first one and the carriage return at its end, which
/// editors and transfers of other systems put there.
pub(super) fn plain_line(line: &[u8], is_first: bool) -> &[u8] {
    let line = if is_first { without_mark(line) } else { line };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Bytes that a file of lines has as it was written: see [`plain_line`].
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn plain_length(path: &Path) -> Result<u64> {
    let mut length = 0;
    each_plain_piece(path, |piece| {
        length += piece.len() as u64;
        Ok(())
    })?;
    Ok(length)
}

/// Gives a file of lines back the bytes that it was written with, if it has others: places in it are counted in these.
///
/// # Errors
/// When the system refuses; the file is untouched then.
pub(super) fn make_plain(path: &Path) -> Result<()> {
    let there = fs::metadata(path).map_or(0, |data| data.len());
    if plain_length(path)? == there {
        return Ok(());
    }
    replace(path, |file| {
        each_plain_piece(path, |piece| {
            file.write_all(piece).map_err(|e| refused("writing", path, e))
        })
    })
}

/// Calls `take` with the bytes of a file of lines as it was written, piece by piece; never where there is no file.
fn each_plain_piece(path: &Path, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    const PIECE: usize = 1 << 16;
    if !path.is_file() {
        return Ok(());
    }
    let mut input = BufReader::with_capacity(PIECE, open_file(path)?.0);
    let (mut plain, mut is_first, mut has_return) = (Vec::new(), true, false);
    loop {
        let piece = input.fill_buf().map_err(|e| refused("reading", path, e))?;
        let length = piece.len();
        for &byte in if is_first { without_mark(piece) } else { piece } {
            if has_return && byte != b'\n' {
                plain.push(b'\r');
            }
            has_return = byte == b'\r';
            if !has_return {
                plain.push(byte);
            }
        }
        if length == 0 && has_return {
            plain.push(b'\r');
        }
        take(&plain)?;
        if length == 0 {
            return Ok(());
        }
        input.consume(length);
        plain.clear();
        is_first = false;
    }
}
