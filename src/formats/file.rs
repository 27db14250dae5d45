//! Files that land whole or not at all, and never over another one unasked; texts that are read within bounds.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, reason};

/// Writes a file beside its place and moves it there, so that no half of it is ever seen. Folders that are missing on the
/// way to it are made; what writers of this name left there that were killed goes.
///
/// # Errors
/// When the place is taken ([`check_free`]), or when the system refuses.
pub fn save(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    save_with(path, replace, |file| Ok(file.write_all(bytes)?))
}

/// The same of what is written piece by piece.
///
/// # Errors
/// As [`save`], or those of `write`; nothing is left behind then.
pub fn save_with(
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    check_free(path, replace)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        make_folder(folder)?;
    }
    let name = path.file_name().ok_or_else(|| {
        Error::usage(format!("{} names no file: give the name of a file", path.display()))
    })?;
    // Shorter than the name where that is as long as names may be.
    let name: String = name.to_string_lossy().chars().take(50).collect();
    remove_abandoned(path, &name);
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_and_move(&beside, path, write);
    written.map_err(|e| e.context(format!("writing {}", path.display())))
}

/// Writes files into a folder, which is made where there is none. None is written when one of them is in the way: who names
/// a folder has not named the files in it, so even where they may be replaced, only those that `is_ours` knows are.
pub fn save_all(
    folder: &Path,
    files: &[(&str, &[u8])],
    replace: bool,
    is_ours: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    for (name, _) in files {
        check_free(&folder.join(name), replace)?;
    }
    check_ours(files.iter().map(|(name, _)| folder.join(name)), is_ours)?;
    make_folder(folder)?;
    files.iter().try_for_each(|(name, bytes)| save(&folder.join(name), bytes, replace))
}

/// The bytes of a text without the byte-order mark that some editors put in front.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .map_err(|e| Error::from(e).context(format!("making the folder {}", folder.display())))
}

/// Whether anything lies at a path, be it a link that leads nowhere.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Refuses to replace files that nobody named and that are somebody else's.
///
/// # Errors
/// When there are such files: the sentence names them.
pub fn check_ours(
    paths: impl IntoIterator<Item = PathBuf>,
    is_ours: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    let foreign = paths.into_iter().filter(|path| is_there(path) && !is_ours(path));
    let names: Vec<String> = foreign.map(|path| path.display().to_string()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} would be replaced, and this program did not make {}: nothing is written. Choose another name, or move what is there away",
        names.join(", "),
        if names.len() == 1 { "it" } else { "them" }
    )))
}

/// Refuses a place that is taken: by a file that may not be replaced, by a folder. A link counts as a file of its own: what
/// replaces it is never written through it.
///
/// # Errors
/// When it is taken.
pub fn check_free(path: &Path, replace: bool) -> Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return check_way(path) };
    let why = if there.is_dir() {
        "is a folder: give the name of a file in it"
    } else if is_record(path) {
        "is what is recorded of a run or a sweep, and is left as it is: choose another name, or another folder"
    } else if !replace {
        "is there already and is left as it is: choose another name, or ask for it to be replaced (--force)"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{} {why}", path.display())))
}

/// Files without which a folder is no run or sweep any more: nothing is written over them, not even when that is asked for.
const RECORDS: [&str; 7] = [
    "run.json",
    "sweep.toml",
    "experiment.toml",
    "metrics.csv",
    "events.jsonl",
    "checkpoint.safetensors",
    "beat.json",
];

fn is_record(path: &Path) -> bool {
    let is_one = path.file_name().is_some_and(|name| RECORDS.iter().any(|known| name == *known));
    let folder = path.parent().unwrap_or(Path::new(""));
    is_one && RECORDS[..2].iter().any(|name| folder.join(name).is_file())
}

/// The path that a person means by a text: without blanks and quotes around it, `~` as the home folder, and `file://` as a
/// file manager puts it on the clipboard. A file that is really called so is meant by `./~`.
pub fn meant(text: &str) -> PathBuf {
    let text = text.trim();
    let inside = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    let text = inside('"').or_else(|| inside('\'')).unwrap_or(text);
    if let Some(path) = text.strip_prefix("file://").and_then(of_url) {
        return path;
    }
    let rest =
        text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\']));
    match (rest, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches(['/', '\\'])),
        _ => PathBuf::from(text),
    }
}

/// The path in what follows `file://`: `/a%20b`, `localhost/a%20b`.
fn of_url(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    // Windows has no slash before its drives.
    let path = path.strip_prefix('/').filter(|_| cfg!(windows)).unwrap_or(path);
    let mut bytes = Vec::with_capacity(path.len());
    let mut parts = path.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// Refuses a place whose folders cannot be made, because one of them is a file.
///
/// # Errors
/// When one is.
pub fn check_way(path: &Path) -> Result<()> {
    let there = path.ancestors().skip(1).find(|folder| is_there(folder));
    match there.filter(|folder| !folder.is_dir()) {
        None => Ok(()),
        Some(file) => Err(Error::usage(format!(
            "{} cannot be written: {} is a file, expected a folder. Choose another name",
            path.display(),
            file.display()
        ))),
    }
}

/// The last second of the year 9999: the last date that a PDF can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// The seconds since 1970 that files should say, if someone says so: <https://reproducible-builds.org/specs/source-date-epoch/>.
///
/// # Errors
/// When what is said is no such number, or lies after the year 9999.
pub fn source_date() -> Result<Option<u64>> {
    std::env::var_os("SOURCE_DATE_EPOCH").map(|text| date(&text.to_string_lossy())).transpose()
}

/// Reads seconds since 1970.
pub fn date(text: &str) -> Result<u64> {
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds <= LAST_SECOND);
    seconds.ok_or_else(|| {
        Error::usage(format!(
            "SOURCE_DATE_EPOCH is \"{text}\", expected whole seconds since 1970, {LAST_SECOND} (the end of the year 9999) at most"
        ))
    })
}

fn write_and_move(
    beside: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let mut file = new_file(beside)?;
    let all = || -> Result<()> {
        write(&mut file)?;
        file.sync_all()?;
        Ok(fs::rename(beside, path)?)
    };
    let written = all();
    if written.is_err() {
        // Of the two errors the first is the one that matters.
        let _ = fs::remove_file(beside);
    }
    written
}

/// A file that was not there before and is locked: who else is writing one of this name is waited for, and what a kill left
/// behind goes. It is never opened through a link.
pub fn new_file(path: &Path) -> io::Result<File> {
    loop {
        match File::create_new(path) {
            // Where there are no locks, nobody waits.
            Ok(file) if file.lock().is_err() || is_at(&file, path) => return Ok(file),
            // Another writer took it for one that was left behind.
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => remove_left(path)?,
            Err(e) => return Err(e),
        }
    }
}

/// Removes what lies there once nobody writes it any more; what is gone by then, or is another file, is left to its writer.
fn remove_left(path: &Path) -> io::Result<()> {
    let remove = || {
        // A link is removed and not followed.
        if !fs::symlink_metadata(path)?.is_file() {
            return fs::remove_file(path);
        }
        let file = File::open(path)?;
        // Held until it is gone.
        let is_held = file.lock().is_ok();
        if is_held && !is_at(&file, path) { Ok(()) } else { fs::remove_file(path) }
    };
    remove().or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Removes what writers of a name left behind that were killed: files beside its place, named after their process, that nobody holds.
/// What cannot be removed stays.
fn remove_abandoned(path: &Path, name: &str) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = folder.unwrap_or(Path::new(".")).read_dir().into_iter().flatten().flatten();
    let is_left = |file: &str| {
        let process = file.strip_prefix('.').and_then(|file| file.strip_prefix(name));
        let process = process.and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".tmp"));
        process.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    };
    let left = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left));
    left.for_each(|entry| {
        let _ = remove_unheld(&entry.path());
    });
}

/// Removes a file that no writer holds. Where there are no locks, nobody knows, and it stays.
fn remove_unheld(path: &Path) -> io::Result<()> {
    // A link is not followed, and a pipe not waited for.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    let file = File::open(path)?;
    if file.try_lock().is_ok() && is_at(&file, path) { fs::remove_file(path) } else { Ok(()) }
}

/// Whether a file that is open is what lies at a path now.
pub fn is_at(file: &File, path: &Path) -> bool {
    let (held, there) = (file.metadata(), fs::symlink_metadata(path));
    there.is_ok_and(|there| held.is_ok_and(|held| identity(&held) == identity(&there)))
}

/// Which file it is, however it is called; the same for all where the system has no such numbers.
#[cfg(unix)]
pub fn identity(data: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (data.dev(), data.ino())
}

#[cfg(not(unix))]
pub fn identity(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

/// Reads a text file of at most `most` bytes. A byte-order mark and the line ends of Windows are no part of the text.
///
/// # Errors
/// When it is missing, longer, or no text.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let wrong = |why: String| Error::input(format!("{} cannot be read: {why}", path.display()));
    let unreadable = |e: io::Error| wrong(reason(&e)).caused_by(e);
    let data = fs::metadata(path).map_err(unreadable)?;
    if !data.is_file() {
        return Err(wrong("it is no regular file".to_owned()));
    }
    let too_long = |length: u64| wrong(format!("{length} bytes, expected at most {most}"));
    if data.len() > most {
        return Err(too_long(data.len()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // A file may grow meanwhile, and some say that they are empty and are not.
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(too_long(bytes.len() as u64));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong("it is UTF-16; save it as UTF-8".to_owned()));
    }
    let text = std::str::from_utf8(without_mark(&bytes)).map_err(|e| {
        wrong(format!("byte {} does not continue a UTF-8 text", e.valid_up_to())).caused_by(e)
    })?;
    Ok(text.replace("\r\n", "\n"))
}
