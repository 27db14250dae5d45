//! What was measured of each step of a series, a row each, in a file of this program's own: the folder of the series stays as it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::plain::Plain;
use crate::run_folder::disk::{read_text, refuse_link, refused, replace_bytes};
use crate::run_folder::model_folder::{CONFIG, is_whole};

use super::{is_series, layout};

/// Four thousand rows of two thousand columns.
const MOST_BYTES: u64 = 256 << 20;
/// How the first line begins: of which step a row is, and what its files were like.
const FIRST: &str = "step,files";
/// How it ends.
const LAST: &str = ",crc32";

/// The rows of a series.
#[derive(Debug, Default)]
pub struct Scores {
    /// None where nothing is kept.
    path: Option<PathBuf>,
    /// Names of the values.
    pub columns: Vec<String>,
    rows: BTreeMap<u64, Row>,
    /// There are lines in the file that are none.
    is_torn: bool,
}

#[derive(Clone, Debug)]
struct Row {
    /// As [`versions`].
    files: String,
    values: Vec<f64>,
}

/// By step: what its files are like, as far as their names, lengths and dates tell. No file is opened.
///
/// # Errors
/// When the folder is that of no series and of no network.
pub fn versions(folder: &Path) -> Result<BTreeMap<u64, String>> {
    let steps = match is_series(folder) {
        true => layout::list(folder)?.steps,
        false => super::Series::open(folder)?.steps.into_iter().collect(),
    };
    Ok(steps.into_iter().map(|(step, path)| (step, version(&path))).collect())
}

/// What the files of a step are like.
pub(super) fn version(folder: &Path) -> String {
    let is_meant = |name: &str| name == CONFIG || name.ends_with(".safetensors");
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_meant(name))
        .map(|name| {
            // Through links: a cache has nothing else.
            let about = fs::metadata(folder.join(&name)).ok();
            let changed = about.as_ref().and_then(|about| about.modified().ok());
            (name, about.map(|about| about.len()), changed)
        })
        .collect();
    files.sort();
    let mut seen = DefaultHasher::new();
    (is_whole(folder), files).hash(&mut seen);
    format!("{:016x}", seen.finish())
}

impl Scores {
    /// What is kept in a file; where that is damaged, nothing, with the sentence that says so.
    pub fn open(path: Option<PathBuf>) -> (Self, Option<Error>) {
        let mut scores = Self { path, ..Self::default() };
        let Some(path) = scores.path.clone().filter(|path| path.exists()) else {
            return (scores, None);
        };
        match read_text(&path, MOST_BYTES).map(|text| scores.take(&text)) {
            Ok(None) => (scores, None),
            Ok(Some(line)) => {
                let why = format!(
                    "{}: line {line} is damaged; what it held is computed anew",
                    path.display()
                );
                (scores, Some(Error::input(why)))
            }
            Err(e) => {
                let why = format!("{}; the scores that it held are computed anew", e.clause());
                (Self { path: scores.path, ..Self::default() }, Some(Error::new(e.kind, why)))
            }
        }
    }

    /// Takes the lines of a file; the first that is damaged comes back.
    fn take(&mut self, text: &str) -> Option<usize> {
        let mut lines = (1..).zip(text.split_inclusive('\n'));
        let header =
            lines.next().and_then(|(_, line)| line.strip_suffix('\n')?.strip_prefix(FIRST));
        let header = header.and_then(|names| names.strip_prefix(',')?.strip_suffix(LAST));
        let Some(names) = header else { return Some(1) };
        self.columns = names.split(',').map(str::to_owned).collect();
        let mut damaged = None;
        for (number, line) in lines {
            // Half a line at the end was being written when the program ended: its last number may be half of one.
            let Some(whole) = line.strip_suffix('\n') else {
                self.is_torn = true;
                break;
            };
            match row_of(whole, self.columns.len()) {
                Some((step, row)) => drop(self.rows.insert(step, row)),
                None => damaged = damaged.or(Some(number)),
            }
        }
        self.is_torn |= damaged.is_some();
        damaged
    }

    /// Steps and their values, in order.
    pub fn rows(&self) -> impl Iterator<Item = (u64, &[f64])> {
        self.rows.iter().map(|(step, row)| (*step, &*row.values))
    }

    pub fn has(&self, step: u64) -> bool {
        self.rows.contains_key(&step)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops the rows of steps that are gone, and of those whose files are others now: [`versions`].
    ///
    /// # Errors
    /// When what is left cannot be written; the others are dropped all the same.
    pub fn keep(&mut self, versions: &BTreeMap<u64, String>) -> Result<()> {
        let before = self.rows.len();
        self.forget_others(versions);
        if self.rows.len() < before || std::mem::take(&mut self.is_torn) {
            return self.write_all();
        }
        Ok(())
    }

    /// The same, and leaves the file as it is.
    pub fn forget_others(&mut self, versions: &BTreeMap<u64, String>) {
        self.rows.retain(|step, row| versions.get(step) == Some(&row.files));
    }

    /// Adds the row of a step, whose files are as `files` says.
    ///
    /// # Errors
    /// When it cannot be written; it is known all the same.
    pub fn add(
        &mut self,
        step: u64,
        files: &str,
        columns: &[String],
        values: Vec<f64>,
    ) -> Result<()> {
        let is_first = self.columns != columns || self.rows.is_empty();
        if self.columns != columns {
            (self.columns, self.rows) = (columns.to_vec(), BTreeMap::new());
        }
        let row = Row { files: files.to_owned(), values };
        let line = line(step, &row);
        self.rows.insert(step, row);
        match &self.path {
            None => Ok(()),
            Some(path) if !is_first && path.exists() => append(path, &line),
            Some(_) => self.write_all(),
        }
    }

    fn write_all(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let home = path.parent().unwrap_or(path);
        fs::create_dir_all(home).map_err(|e| refused("making", home, e))?;
        let mut text = format!("{FIRST},{}{LAST}\n", self.columns.join(","));
        self.rows.iter().for_each(|(step, row)| text.push_str(&line(*step, row)));
        replace_bytes(path, text.as_bytes())
    }
}

/// In one piece: two programs at once write two lines.
fn append(path: &Path, line: &str) -> Result<()> {
    refuse_link(path)?;
    let file = File::options().append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(|e| refused("writing", path, e))
}

/// A row ends with the CRC-32 of what stands before it.
fn line(step: u64, row: &Row) -> String {
    let mut line = format!("{step},{}", row.files);
    row.values.iter().for_each(|value| line.push_str(&format!(",{}", Plain(*value))));
    let sum = crc32fast::hash(line.as_bytes());
    line.push_str(&format!(",{sum:08x}\n"));
    line
}

fn row_of(line: &str, columns: usize) -> Option<(u64, Row)> {
    let (line, sum) = line.rsplit_once(',')?;
    let is_sound = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(line.as_bytes());
    let mut parts = line.split(',').take_while(|_| is_sound);
    let step = crate::run_folder::step_within(parts.next()?.parse().ok()?)?;
    let files = parts.next()?.to_owned();
    let values: Vec<f64> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (values.len() == columns).then_some((step, Row { files, values }))
}
