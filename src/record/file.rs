//! Files that land whole or not at all, and never over another one unasked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// Writes a file beside its place and moves it there, so that no half of it is ever seen.
///
/// # Errors
/// When the place is taken ([`check_free`]), or when the system refuses.
pub fn save(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    check_free(path, replace)?;
    let name = path.file_name().ok_or_else(|| {
        Error::usage(format!("{} names no file: give the name of a file", path.display()))
    })?;
    // Shorter than the name where that is as long as names may be.
    let name: String = name.to_string_lossy().chars().take(50).collect();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_and_move(&beside, path, bytes);
    if written.is_err() {
        // Of the two errors the first is the one that matters.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(|e| e.context(format!("writing {}", path.display())))
}

/// Writes files into a folder, which is made where there is none. None is written when one of them is there already.
///
/// # Errors
/// As [`save`].
pub fn save_all(folder: &Path, files: &[(&str, &[u8])], replace: bool) -> Result<()> {
    for (name, _) in files {
        check_free(&folder.join(name), replace)?;
    }
    fs::create_dir_all(folder)
        .map_err(|e| Error::from(e).context(format!("making the folder {}", folder.display())))?;
    files.iter().try_for_each(|(name, bytes)| save(&folder.join(name), bytes, replace))
}

/// The bytes of a text without the byte-order mark that some editors put in front.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Refuses a place that is taken: by a file that may not be replaced, by a folder. A link counts as a file of its own: what
/// replaces it is never written through it.
///
/// # Errors
/// When it is taken.
pub fn check_free(path: &Path, replace: bool) -> Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    let why = if there.is_dir() {
        "is a folder: give the name of a file in it"
    } else if !replace {
        "is there already and is left as it is: choose another name, or ask for it to be replaced (--force)"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{} {why}", path.display())))
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

/// The seconds since 1970 that files should say, if someone says so: <https://reproducible-builds.org/specs/source-date-epoch/>.
///
/// # Errors
/// When what is said is no such number.
pub fn source_date() -> Result<Option<u64>> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| {
        Error::usage(format!("SOURCE_DATE_EPOCH is \"{text}\", expected whole seconds since 1970"))
    })
}

fn write_and_move(beside: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    // One that a program of this number left behind; a new one is never opened through a link.
    let _ = fs::remove_file(beside);
    let mut file = fs::File::create_new(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)?;
    Ok(())
}
