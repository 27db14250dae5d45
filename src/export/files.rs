//! Writes a page as files: the figure in the formats that were asked for, its numbers and its provenance beside it.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, reason};
use crate::figure::composite::Composite;
use crate::figure::file::{Format, render_all, tex};
use crate::figure::page::Page;
use crate::figure::provenance::Provenance;
use crate::figure::{pgf, table};
use crate::formats::file::{check_free, check_ours, save};
use crate::formats::foreign;
use crate::formats::npz;

/// A file and its bytes.
pub type File = (PathBuf, Vec<u8>);

/// What stands beside every figure.
const BESIDE: [Format; 3] = [Format::Csv, Format::Npz, Format::Json];

/// The names of the files that belong to a figure: `paths`, and beside them `.csv`, `.npz` and `.json` unless `alone`.
///
/// # Errors
/// When a format is unknown, or TeX cannot read the files beside a page of that name.
pub fn names(paths: &[PathBuf], alone: bool) -> Result<Vec<(PathBuf, Format)>> {
    let mut all: Vec<(PathBuf, Format)> = Vec::new();
    for path in paths {
        let format = Format::from_path(path)?;
        if format == Format::Tex {
            pgf::check_name(&stem(path))?;
        }
        all.push((path.clone(), format));
    }
    if !alone {
        for path in paths {
            all.extend(BESIDE.iter().map(|format| (path.with_extension(format.name()), *format)));
        }
    }
    let mut seen: Vec<(PathBuf, Format)> = Vec::new();
    for file in all {
        if !seen.contains(&file) {
            seen.push(file);
        }
    }
    Ok(seen)
}

/// The files of a figure, rendered. A page for TeX brings its table and its images with it.
///
/// # Errors
/// When the page cannot be drawn in a format.
pub fn rendered(
    names: &[(PathBuf, Format)],
    drawing: &Composite,
    page: &Page,
) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for (path, format) in names {
        if *format == Format::Tex {
            files.extend(for_tex(path, drawing, page)?);
        } else {
            files.push((path.clone(), render_all(drawing, page, *format)?));
        }
    }
    Ok(files)
}

/// `figure.tex`, `figure-tex.csv`, `figure-tex-1.png`, …
fn for_tex(path: &Path, drawing: &Composite, page: &Page) -> Result<Vec<File>> {
    let stem = stem(path);
    let made = tex(drawing, page, &stem)?;
    let mut files = vec![
        (path.to_owned(), made.tex.into_bytes()),
        (beside_tex(path, ".csv"), made.table.into_bytes()),
    ];
    let images = made.images.into_iter().enumerate();
    files.extend(images.map(|(i, bytes)| (beside_tex(path, &format!("-{}.png", i + 1)), bytes)));
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file that a page for TeX reads: `figure-tex.csv`.
fn beside_tex(path: &Path, ending: &str) -> PathBuf {
    path.with_file_name(format!("{}-tex{ending}", stem(path)))
}

/// Refuses to begin where a file is in the way. `named` are those that somebody asked for by name; whatever else would be
/// written beside them is replaced only where it is a part of a figure of this program, for nobody named it.
///
/// # Errors
/// When a named file is there and may not be replaced, when there is a folder in a place, and when what would be written
/// beside is somebody else's.
pub fn all_free(names: &[(PathBuf, Format)], named: &[PathBuf], replace: bool) -> Result<()> {
    named.iter().try_for_each(|path| check_free(path, replace))?;
    check_beside(&paths(names), named)
}

fn check_beside(paths: &[PathBuf], named: &[PathBuf]) -> Result<()> {
    let beside = || paths.iter().filter(|path| !named.contains(path));
    // A folder is in the way of everybody.
    beside().try_for_each(|path| check_free(path, true))?;
    check_ours(beside().cloned(), &is_ours)
        .map_err(|e| Error::usage(format!("{} (or write the figure --alone)", e.message)))
}

/// All files that are written for these names: pages for TeX have their table beside them. Their pictures are known only
/// once they are drawn.
fn paths(names: &[(PathBuf, Format)]) -> Vec<PathBuf> {
    let table = |(path, format): &(PathBuf, Format)| {
        (*format == Format::Tex).then(|| beside_tex(path, ".csv"))
    };
    names.iter().flat_map(|name| [Some(name.0.clone()), table(name)]).flatten().collect()
}

/// What is there already of the files that a figure of this name would bring; nothing where the name has no known ending.
pub fn in_the_way(path: &Path) -> Vec<PathBuf> {
    let names = names(&[path.to_owned()], false).unwrap_or_default();
    paths(&names).into_iter().filter(|path| std::fs::symlink_metadata(path).is_ok()).collect()
}

/// Writes files, each of them whole or not at all. One that holds these very bytes already is left as it is: a figure in a
/// second format has the same numbers beside it. `named` as in [`all_free`].
///
/// # Errors
/// When one is there and may not be replaced, or two of them have the same name (then none is written), or the system
/// refuses.
pub fn write(files: &[File], named: &[PathBuf], replace: bool) -> Result<()> {
    let is_new = |(path, bytes): &&File| match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() && there.len() == bytes.len() as u64 => {
            std::fs::read(path).map_or(true, |before| before != *bytes)
        }
        _ => true,
    };
    let new: Vec<&File> = files.iter().filter(is_new).collect();
    let paths: Vec<PathBuf> = new.iter().map(|(path, _)| path.clone()).collect();
    paths.iter().enumerate().try_for_each(|(i, path)| match paths[..i].contains(path) {
        true => Err(Error::usage(format!(
            "{} would be written twice with different contents: choose other names",
            path.display()
        ))),
        false => check_free(path, replace),
    })?;
    check_beside(&paths, named)?;
    // What lies beside comes first: whoever sees the figure sees its numbers too.
    let (figures, beside): (Vec<&File>, Vec<&File>) =
        new.into_iter().partition(|(path, _)| named.contains(path));
    beside.iter().chain(&figures).try_for_each(|(path, bytes)| save(path, bytes, replace))
}

/// Whether a file is a part of a figure that this program made: what it brings beside a figure says so by its head, and a
/// picture by its provenance.
pub fn is_ours(path: &Path) -> bool {
    let Some(Ok(format)) = regular(path).then(|| Format::from_path(path)) else { return false };
    let Ok(bytes) = bytes(path) else { return false };
    match format {
        Format::Csv => table::is_ours(&bytes) || is_of_tex(path) && pgf::is_our_table(&bytes),
        Format::Npz => npz::about(&bytes).is_some_and(|about| about.contains("\"provenance\"")),
        Format::Svg | Format::Pdf | Format::Png | Format::Json => Provenance::read(&bytes).is_ok(),
        // Pages for TeX are written where somebody names them.
        Format::Tex => false,
    }
}

fn is_of_tex(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-tex"))
}

/// A link is a file of its own, and whose it is cannot be seen through it.
fn regular(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
}

/// # Errors
/// When the file cannot be read, or is larger than any figure.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    match foreign::refusal(path) {
        Some(error) => Err(error),
        None => bytes(path),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    const MOST_BYTES: u64 = 256 << 20;
    let wrong = |e: std::io::Error| {
        Error::input(format!("reading {}: {}", path.display(), reason(&e))).caused_by(e)
    };
    let about = std::fs::metadata(path).map_err(wrong)?;
    if !about.is_file() {
        return Err(Error::input(format!(
            "{} is no regular file: expected a figure that this program made",
            path.display()
        )));
    }
    if about.len() > MOST_BYTES {
        return Err(Error::input(format!(
            "{} has {} bytes; a figure has at most {MOST_BYTES}",
            path.display(),
            about.len()
        )));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}
