//! Writes a page as files: the figure in the formats that were asked for, its numbers and its provenance beside it.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::figure::composite::Composite;
use crate::figure::file::{Format, Page, render_all, tex};
use crate::figure::pgf;
use crate::record::error::{Error, Result};
use crate::record::file::{check_free, save};
use crate::record::foreign;

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
    let beside = |ending: &str| path.with_file_name(format!("{stem}-tex{ending}"));
    let mut files =
        vec![(path.to_owned(), made.tex.into_bytes()), (beside(".csv"), made.table.into_bytes())];
    let images = made.images.into_iter().enumerate();
    files.extend(images.map(|(i, bytes)| (beside(&format!("-{}.png", i + 1)), bytes)));
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Refuses to begin where one of the named files is in the way.
///
/// # Errors
/// When there is one and it may not be replaced.
pub fn all_free(paths: &[PathBuf], replace: bool) -> Result<()> {
    paths.iter().try_for_each(|path| check_free(path, replace))
}

/// Writes files, each of them whole or not at all. One that holds these very bytes already is left as it is: a figure in a
/// second format has the same numbers beside it.
///
/// # Errors
/// When one is there and may not be replaced (then none is written), or the system refuses.
pub fn write(files: &[File], replace: bool) -> Result<()> {
    let is_new = |(path, bytes): &&File| match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() && there.len() == bytes.len() as u64 => {
            std::fs::read(path).map_or(true, |before| before != *bytes)
        }
        _ => true,
    };
    let new: Vec<&File> = files.iter().filter(is_new).collect();
    new.iter().try_for_each(|(path, _)| check_free(path, replace))?;
    new.iter().try_for_each(|(path, bytes)| save(path, bytes, replace))
}

/// # Errors
/// When the file cannot be read, or is larger than any figure.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    const MOST_BYTES: u64 = 256 << 20;
    if let Some(error) = foreign::refusal(path) {
        return Err(error);
    }
    let wrong = |e: std::io::Error| Error::input(format!("reading {}: {e}", path.display()));
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
