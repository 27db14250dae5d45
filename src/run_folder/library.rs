//! The runs that are kept under the user's data folder, and the trash among them: nothing goes unasked, and nothing at once.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::error::{Error, Result};

use super::disk::{read_text, refuse_link, refused, replace_bytes};
use super::{About, Claim, is_being_written, names, read_about, write_about};

/// Size of a library from which on room is offered to be made.
pub const CAP_BYTES: u64 = 4_000_000_000;

/// The folder of a library to which runs go first.
const TRASH: &str = ".trash";
/// The folder of a library for the titles of runs that other programs write, each in a file with the name of the run's folder.
const TITLES: &str = ".titles";
const MOST_TITLE_BYTES: u64 = 1 << 16;
/// Names of folders that a library has given, a line each: none is given twice, whatever became of its folder. A name with
/// [`BACK`] in front was given back unused.
const GIVEN: &str = ".names";
/// No name of a folder has a space in it.
const BACK: &str = "- ";
/// A million names; what is longer is none of ours.
const MOST_GIVEN_BYTES: u64 = 64 << 20;
/// Of the name of an experiment, in the name of a folder: file systems take 255, and a number follows.
const MOST_NAME_BYTES: usize = 200;

/// A run of the library.
#[derive(Clone, Debug)]
pub struct Entry {
    pub folder: PathBuf,
    pub about: About,
    pub bytes: u64,
    /// When it was last written.
    pub changed: SystemTime,
}

impl Entry {
    /// The name of its folder.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The folder that holds the library: `mnemoscope/runs` under the user's data folder.
///
/// # Errors
/// When the system knows no such folder.
pub fn home() -> Result<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "mnemoscope").ok_or_else(|| {
        Error::system("there is no home folder to record runs in; name a folder with --out")
    })?;
    Ok(dirs.data_dir().join("runs"))
}

/// A folder of this program for something else than runs: beside a library of runs, or among temporary files.
pub fn beside(library: Option<&Path>, name: &str) -> PathBuf {
    let home = library.and_then(Path::parent).map(Path::to_owned);
    home.unwrap_or_else(|| std::env::temp_dir().join("mnemoscope")).join(name)
}

/// All runs of a library, the newest first. What is no run is left out.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(home: &Path) -> Result<Vec<Entry>> {
    if !home.exists() {
        return Ok(Vec::new());
    }
    let folders = fs::read_dir(home).map_err(|e| refused("reading", home, e))?;
    let mut entries: Vec<Entry> = folders.flatten().filter_map(|e| entry(e.path())).collect();
    entries.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.folder.cmp(&a.folder)));
    Ok(entries)
}

/// What a look at the folders of a library tells: another number once runs came, went or were written to. It reads no run.
pub fn glance(home: &Path) -> u64 {
    let mut seen = DefaultHasher::new();
    for home in [home.to_owned(), trash(home)] {
        let mut folders: Vec<PathBuf> =
            fs::read_dir(&home).into_iter().flatten().flatten().map(|e| e.path()).collect();
        folders.sort();
        for folder in folders {
            let changed =
                |path: PathBuf| fs::metadata(path).and_then(|about| about.modified()).ok();
            // Not the folder's own: it changes with every beat of a run.
            ["run.json", "checkpoint.safetensors"]
                .map(|name| changed(folder.join(name)))
                .hash(&mut seen);
            changed(title_beside(&folder)).hash(&mut seen);
            folder.hash(&mut seen);
        }
    }
    seen.finish()
}

/// What a library holds, and what would make it small enough.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// The newest first.
    pub runs: Vec<Entry>,
    pub trash: Vec<Entry>,
    /// The oldest first.
    pub surplus: Vec<Entry>,
    /// Runs that are older than some of these and stay all the same, each with the reason.
    pub passed_over: Vec<Error>,
}

impl Stock {
    /// Looks through a library. The surplus are the oldest runs without a title that take it to at most `cap_bytes`; those
    /// to `keep`, those that a program has open and those that hold files of others are passed over.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn take(home: &Path, cap_bytes: u64, keep: &[PathBuf]) -> Result<Self> {
        let runs = list(home)?;
        let mut stock = Self { trash: list(&trash(home))?, runs, ..Self::default() };
        let mut bytes = size(&stock.runs);
        for entry in stock.runs.iter().rev().filter(|entry| entry.about.title.is_none()) {
            if bytes <= cap_bytes {
                break;
            }
            match check_may_go(&entry.folder, keep) {
                Ok(()) => {
                    bytes -= entry.bytes;
                    stock.surplus.push(entry.clone());
                }
                Err(e) => stock.passed_over.push(e),
            }
        }
        Ok(stock)
    }

    /// That the library is larger than `cap_bytes` and what would go; nothing where it is not.
    pub fn sentence(&self, cap_bytes: u64) -> Option<String> {
        let bytes = size(&self.runs);
        (bytes > cap_bytes).then(|| {
            let gone = size(&self.surplus);
            let what = match self.surplus.len() {
                0 => "no run would go to make room: all have titles, are open or hold other files"
                    .to_owned(),
                count => format!(
                    "to make room, the oldest without a title would go to the trash: {count} of them, {}{}",
                    spell_bytes(gone),
                    match bytes - gone {
                        left if left > cap_bytes => format!(", which leaves {}", spell_bytes(left)),
                        _ => String::new(),
                    }
                ),
            };
            format!(
                "the library holds {}, more than {}; {what}. Nothing goes unasked",
                counted(&self.runs),
                spell_bytes(cap_bytes)
            )
        })
    }
}

/// Bytes of runs, all together.
pub fn size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.bytes).sum()
}

/// `3 runs, 12.1 MB`.
pub fn counted(entries: &[Entry]) -> String {
    let s = if entries.len() == 1 { "" } else { "s" };
    format!("{} run{s}, {}", entries.len(), spell_bytes(size(entries)))
}

/// Bytes as a person reads them.
pub fn spell_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// The trash of a library.
pub fn trash(home: &Path) -> PathBuf {
    home.join(TRASH)
}

/// An empty folder for a new run of an experiment: `birth-001`, `birth-002`, … It is made here, so that two programs
/// never get the same one, and its name is written down, so that it is never given again.
pub fn new_run_folder(home: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(home).map_err(|e| refused("making", home, e))?;
    let name = folder_name(name);
    for i in last_number(home, &name) + 1.. {
        let given = format!("{name}-{i:03}");
        write_down(home, &given)?;
        let folder = home.join(given);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(refused("making", &folder, e)),
        }
    }
    Err(Error::system(format!("{} is full", home.display())))
}

/// Takes back a folder in which no run could begin, and its name, if nothing is in it.
pub fn give_back(folder: &Path) {
    let name = folder.file_name().and_then(|name| name.to_str());
    if let (Some(home), Some(name), Ok(())) = (folder.parent(), name, fs::remove_dir(folder)) {
        // Of a name that cannot be given back only a number is lost.
        let _ = write_down(home, &format!("{BACK}{name}"));
    }
}

/// The name of an experiment as one of a folder.
fn folder_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let mut name: String = name.chars().map(safe).collect();
    name.truncate(name.floor_char_boundary(MOST_NAME_BYTES));
    if name.is_empty() { "run".to_owned() } else { name }
}

/// The largest number that was given with a name: among the names written down, and among folders that are there or in the
/// trash. What cannot be read has given none.
fn last_number(home: &Path, name: &str) -> u64 {
    let lines = read_text(&home.join(GIVEN), MOST_GIVEN_BYTES).unwrap_or_default();
    let mut given = BTreeSet::new();
    for line in lines.lines() {
        match line.strip_prefix(BACK) {
            Some(back) => given.remove(back),
            None => given.insert(line),
        };
    }
    let folders = [home.to_owned(), trash(home)].map(|place| fs::read_dir(place).ok());
    let folders = folders.into_iter().flatten().flatten().flatten();
    let folders: Vec<String> =
        folders.filter_map(|folder| folder.file_name().into_string().ok()).collect();
    let number = |given: &str| -> Option<u64> {
        let number: u32 = given.strip_prefix(name)?.strip_prefix('-')?.parse().ok()?;
        Some(number.into())
    };
    given
        .into_iter()
        .chain(folders.iter().map(String::as_str))
        .filter_map(number)
        .max()
        .unwrap_or(0)
}

/// A line at the end, in one piece: two programs at once write two lines.
fn write_down(home: &Path, name: &str) -> Result<()> {
    let path = home.join(GIVEN);
    refuse_link(&path)?;
    let file = File::options().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
    written.map_err(|e| refused("writing", &path, e))
}

/// Where a run is recorded whose own place refuses: a new folder among temporary files, if there is one to be had, and
/// the sentence that says so.
pub fn elsewhere(name: &str, refusal: &Error) -> (Option<PathBuf>, Error) {
    let folder = new_run_folder(&std::env::temp_dir().join("mnemoscope"), name).ok();
    let what = match &folder {
        Some(folder) => format!("is recorded in {} instead", folder.display()),
        None => "is not recorded".to_owned(),
    };
    (folder, Error::new(refusal.kind, format!("{}; this run {what}", refusal.clause())))
}

/// Gives a run a name, so that it is kept; an empty one takes the name away.
///
/// # Errors
/// When it is no run, or cannot be written.
pub fn rename(folder: &Path, title: &str) -> Result<()> {
    let mut about = read_about(folder)?;
    about.title = title_of(title);
    write_about(folder, &about)?;
    // What another title says is over; where there is none, nothing is to go.
    let _ = fs::remove_file(title_beside(folder));
    Ok(())
}

/// As [`rename`], of a run of a library that another program writes: the library keeps its name, and the folder stays as it is.
///
/// # Errors
/// When it is no run, or the system refuses.
pub fn rename_beside(folder: &Path, title: &str) -> Result<()> {
    read_about(folder)?;
    let path = title_beside(folder);
    let titles = path.parent().unwrap_or(folder);
    fs::create_dir_all(titles).map_err(|e| refused("making", titles, e))?;
    replace_bytes(&path, title.trim().as_bytes())
}

fn title_of(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|title| !title.is_empty())
}

fn title_beside(folder: &Path) -> PathBuf {
    folder.with_file_name(TITLES).join(folder.file_name().unwrap_or_default())
}

/// Moves a run of a library to its trash, with everything that lies in its folder; where it lies then.
///
/// # Errors
/// When it is no run, is being written or read, or the system refuses.
pub fn discard(folder: &Path) -> Result<PathBuf> {
    read_about(folder)?;
    // Held while it goes.
    let _claim = Claim::alone(folder)?;
    check_idle(folder)?;
    let trash = trash(folder.parent().unwrap_or(folder));
    fs::create_dir_all(&trash).map_err(|e| refused("making", &trash, e))?;
    let to = trash.join(folder.file_name().unwrap_or_default());
    move_run(folder, &to)
}

/// Moves a run from the trash of a library back to its place; where it lies then.
///
/// # Errors
/// When it is no run, its place is taken, or the system refuses.
pub fn restore(discarded: &Path) -> Result<PathBuf> {
    read_about(discarded)?;
    let home = discarded.parent().and_then(Path::parent).unwrap_or(discarded);
    move_run(discarded, &home.join(discarded.file_name().unwrap_or_default()))
}

fn move_run(from: &Path, to: &Path) -> Result<PathBuf> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::usage(format!(
            "{} cannot be moved to {}, where something is already; move that away first",
            from.display(),
            to.display()
        )));
    }
    fs::rename(from, to).map_err(|e| refused("moving", from, e))?;
    Ok(to.to_owned())
}

/// Removes the runs in the trash of a library for good; those that stay, each with the reason: a program has them open, or
/// they hold files of others.
///
/// # Errors
/// When the trash cannot be read.
pub fn empty_trash(home: &Path) -> Result<Vec<Error>> {
    let remove = |folder: &Path| {
        let _claim = Claim::alone(folder)?;
        check_idle(folder).and_then(|()| check_own(folder))?;
        fs::remove_dir_all(folder).map_err(|e| refused("removing", folder, e))
    };
    let discarded = list(&trash(home))?;
    Ok(discarded.iter().filter_map(|entry| remove(&entry.folder).err()).collect())
}

fn check_may_go(folder: &Path, keep: &[PathBuf]) -> Result<()> {
    if keep.iter().any(|kept| kept == folder) {
        return Err(being_looked_at(folder));
    }
    if is_being_written(folder) {
        let what = format!("the run in {} is being written; it stays", folder.display());
        return Err(Error::usage(what));
    }
    check_idle(folder).and_then(|()| check_own(folder))
}

/// # Errors
/// When a program reads the run.
fn check_idle(folder: &Path) -> Result<()> {
    let read = File::open(folder).ok();
    if let Some(Err(TryLockError::WouldBlock)) = read.as_ref().map(File::try_lock) {
        return Err(being_looked_at(folder));
    }
    Ok(())
}

fn being_looked_at(folder: &Path) -> Error {
    Error::usage(format!("the run in {} is being looked at; close it first", folder.display()))
}

/// # Errors
/// When a folder is a link, or holds something that no run writes: that is somebody's.
fn check_own(folder: &Path) -> Result<()> {
    let is_link = fs::symlink_metadata(folder).is_ok_and(|there| there.is_symlink());
    let what = match names::foreign(folder)? {
        _ if is_link => "is a link".to_owned(),
        Some(name) => format!("holds {}, which no run writes", name.display()),
        None => return Ok(()),
    };
    Err(Error::usage(format!("{} {what}, and is left alone", folder.display())))
}

fn entry(folder: PathBuf) -> Option<Entry> {
    let mut about = read_about(&folder).ok()?;
    if let Ok(title) = read_text(&title_beside(&folder), MOST_TITLE_BYTES) {
        about.title = title_of(&title);
    }
    let (bytes, changed) = measure(&folder);
    Some(Entry { folder, about, bytes, changed })
}

/// Bytes of all files of a folder, and when the last of them was written.
fn measure(folder: &Path) -> (u64, SystemTime) {
    let (mut bytes, mut changed) = (0, SystemTime::UNIX_EPOCH);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let (more, when) = if data.is_dir() {
            measure(&entry.path())
        } else {
            (data.len(), data.modified().unwrap_or(SystemTime::UNIX_EPOCH))
        };
        bytes += more;
        changed = changed.max(when);
    }
    (bytes, changed)
}
