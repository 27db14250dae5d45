//! A run on disk: written while it goes, so that a kill at any moment leaves a folder that opens.
//!
//! `docs/recording.md` describes every file.

pub mod beat;
pub mod checkpoint;
pub mod follow;
pub mod library;
pub mod model_folder;
pub mod names;
pub mod readers;
pub mod recent;
pub mod recording;
pub mod series;

mod claim;
pub mod disk;
mod store;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::budget;
use crate::base::documents::{self, Documents};
use crate::base::error::{Error, Result};
use crate::base::event::{Mark, MarkKind, MetricsRow};
use crate::base::json;
use crate::base::plain::Plain;
use crate::base::settings;
use crate::base::weights::{NamedTensor, Weights};
use crate::formats::file::identity;
use crate::formats::{foreign, safetensors as tensors};
use crate::run_folder::beat::Pulse;
use crate::run_folder::checkpoint::Checkpoint;
use crate::run_folder::recording::Recording;

use disk::{Append, Hold, open_file, plain_line, refuse_link, refused, replace, replace_bytes};
use series::Series;
use store::{Depth, Index, Store};

pub use claim::{Claim, has_begun, is_run};
pub use disk::read_text;
pub use store::read_log;

/// Version of the layout of a run folder that this program writes, and the newest that it reads.
pub const SCHEMA: u64 = 1;

/// What a run is when it begins.
#[derive(Clone, Debug)]
pub struct RunHeader {
    pub name: String,
    /// The whole experiment as a document.
    pub experiment: String,
    /// What its task read from outside.
    pub documents: Documents,
    /// `fresh` or `branch`.
    pub kind: String,
    pub parent: Option<Parent>,
    /// Columns of the metrics, without `step`.
    pub columns: Vec<String>,
    /// Most bytes of recorded weights.
    pub budget_bytes: u64,
}

/// Where a branch comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent {
    pub folder: Option<PathBuf>,
    pub step: u64,
}

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    pub name: String,
    /// Version of the program that wrote the folder.
    pub version: String,
    pub kind: String,
    pub parent: Option<Parent>,
    /// A name that a person gave: such a run does not go to make room.
    pub title: Option<String>,
    pub columns: Vec<String>,
    /// Another number each time that the run begins or goes on: what was known of growing files holds as long as it stays.
    /// `None` in folders of before there were sessions.
    pub session: Option<u64>,
}

/// A run folder, read. Opening a folder that is being written is fine; [`Reader::refresh`] sees what is new.
pub struct Reader {
    pub folder: PathBuf,
    pub about: About,
    pub recording: Recording,
    /// What is damaged and was left out, a sentence each.
    pub problems: Vec<Error>,
    weights: WeightsReader,
}

impl Reader {
    /// # Errors
    /// When it is no run folder, was written by a newer program (both versions are named), or cannot be read.
    /// Half a line or half a record at the end of a file is no error: it is left out.
    pub fn open(folder: &Path) -> Result<Self> {
        if model_folder::is_model(folder) {
            return Self::of_series(folder);
        }
        let about = read_about(folder)?;
        let mut reader = Self {
            recording: Recording::default(),
            problems: Vec::new(),
            weights: WeightsReader::with(folder, Depth::Checked)?,
            folder: folder.to_owned(),
            about,
        };
        reader.read()?;
        Ok(reader)
    }

    /// The folder of a network of another program, or of a series of its checkpoints, as a run that recorded weights, and of curves
    /// what a Trainer logged.
    fn of_series(folder: &Path) -> Result<Self> {
        let about = About {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            version: String::new(),
            kind: "checkpoint".to_owned(),
            parent: None,
            title: None,
            columns: Vec::new(),
            session: None,
        };
        let mut reader = Self {
            recording: Recording::default(),
            problems: Vec::new(),
            weights: WeightsReader::open(folder)?,
            folder: folder.to_owned(),
            about,
        };
        reader.read_series();
        Ok(reader)
    }

    fn read_series(&mut self) {
        let recording = self.weights.series.as_mut().map(Series::recording).unwrap_or_default();
        self.problems = self.weights.problems();
        self.about.columns.clone_from(&recording.columns);
        self.recording = recording;
    }

    /// Reads what was added since.
    pub fn refresh(&mut self) -> Result<()> {
        self.weights.refresh()?;
        if self.weights.series.is_none() {
            return self.read();
        }
        self.read_series();
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        self.problems = self.weights.problems();
        self.problems.extend(gone(&self.folder, "metrics.csv", "its curves"));
        self.problems.extend(gone(&self.folder, "events.jsonl", "its marks"));
        let recorded = self.weights.steps();
        let columns = self.about.columns.clone();
        let mut recording = Recording {
            folder: Some(self.folder.clone()),
            last_step: recorded.last().map_or(0, |s| *s),
            marks: marks(&self.folder)?,
            task: self.experiment().map(|document| task_of(&document)).unwrap_or_default(),
            parent: self.about.parent.clone(),
            columns,
            recorded,
            ..Recording::default()
        };
        // One row after the other: a long run has more of them than memory should hold.
        let columns = recording.columns.clone();
        each_row(&self.folder, &columns, u64::MAX, |row, _| recording.add_row(row))?;
        self.recording = recording;
        Ok(())
    }

    /// The experiment as a document.
    ///
    /// # Errors
    /// When the file is missing or no text.
    pub fn experiment(&self) -> Result<String> {
        experiment_text(&self.folder)
    }

    /// The weights of a recorded step.
    ///
    /// # Errors
    /// When the step is not recorded (with the nearest that are), or its file is damaged.
    pub fn weights(&mut self, step: u64) -> Result<Weights> {
        let weights = self.weights.weights(step);
        self.recording.recorded = self.weights.steps();
        weights
    }
}

/// The recorded weights of a run folder alone: what an examiner needs of it. As long as it lives, no program
/// removes the folder.
pub struct WeightsReader {
    folder: PathBuf,
    depth: Depth,
    index: Index,
    /// The steps of a network of another program, in place of recorded ones.
    series: Option<Series>,
    /// The folder itself, marked as being read; `None` where the system cannot mark folders.
    _read: Option<File>,
}

impl WeightsReader {
    /// A step is checked when it is asked for.
    ///
    /// # Errors
    /// When it is no run folder, was written by a newer program, or cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::with(folder, Depth::Listed)
    }

    fn with(folder: &Path, depth: Depth) -> Result<Self> {
        let (folder, index) = (folder.to_owned(), Index::default());
        if model_folder::is_model(&folder) {
            let series = Some(Series::open(&folder)?);
            return Ok(Self { folder, depth, index, series, _read: None });
        }
        read_about(&folder)?;
        let read = File::open(&folder).ok().filter(disk::lock_shared);
        let index = Index::read(&folder.join("weights"), &index, depth)?;
        Ok(Self { folder, depth, index, series: None, _read: read })
    }

    /// Steps whose weights are recorded, in order.
    pub fn steps(&self) -> Vec<u64> {
        match &self.series {
            Some(series) => series.steps.iter().map(|(step, _)| *step).collect(),
            None => self.index.steps(),
        }
    }

    /// The weights of a recorded step.
    ///
    /// # Errors
    /// When the step is not recorded (with the nearest that are), or its file is damaged.
    pub fn weights(&mut self, step: u64) -> Result<Weights> {
        if let Some(series) = &mut self.series {
            return series.weights(step);
        }
        if let Ok(weights) = self.index.weights(step) {
            return Ok(weights);
        }
        // The writer may have moved it into a pack since.
        self.refresh()?;
        self.index.weights(step)
    }

    fn refresh(&mut self) -> Result<()> {
        if let Some(series) = &mut self.series {
            return series.refresh();
        }
        self.index = Index::read(&self.folder.join("weights"), &self.index, self.depth)?;
        Ok(())
    }

    fn problems(&mut self) -> Vec<Error> {
        self.series.as_mut().map_or_else(|| self.index.take_damaged(), Series::take_problems)
    }
}

/// Something to record.
#[derive(Clone, Debug)]
pub enum Item {
    Metrics(MetricsRow),
    Mark(Mark),
    Weights(Weights),
}

/// The one program that writes a folder. What cannot be written waits in memory and can be tried again.
pub struct Writer {
    folder: PathBuf,
    metrics: Append,
    events: Append,
    store: Store,
    waiting: VecDeque<Item>,
    /// Steps with marks: thinning leaves them alone.
    marked: Vec<u64>,
    last_row: Option<u64>,
    recorded: Vec<u64>,
    /// As `run.json` has it.
    session: u64,
    /// Beats of this session so far.
    beats: u64,
    /// Held as long as the writer lives.
    hold: Option<Hold>,
}

impl Writer {
    /// Begins a new run in a folder, which is made if need be. When that fails, nothing of it is left behind.
    ///
    /// # Errors
    /// When there is a run already, another program writes there, or the system refuses.
    pub fn create(folder: &Path, birth: RunHeader) -> Result<Self> {
        // Said of a run that another program writes, too, and of one that nobody may write.
        refuse_run(folder)?;
        Self::begin(Claim::alone(folder)?, birth)
    }

    /// As [`Self::create`], in a folder that is taken already.
    ///
    /// # Errors
    /// When there is a run already, or the system refuses.
    pub fn begin(claim: Claim, birth: RunHeader) -> Result<Self> {
        let folder = claim.folder().to_owned();
        refuse_run(&folder)?;
        names::remove_temporary(&folder);
        replace_bytes(&folder.join("experiment.toml"), birth.experiment.as_bytes())?;
        claim::write_documents(&folder, &birth.documents)?;
        let mut metrics = Append::open(folder.join("metrics.csv"), 0)?;
        metrics.write(header_line(&birth.columns).as_bytes())?;
        let events = Append::open(folder.join("events.jsonl"), 0)?;
        let store = Store::open(folder.join("weights"), birth.budget_bytes, None)?;
        // Last: a folder with it is a run.
        let session = begin_session(
            &folder,
            About {
                name: birth.name,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                kind: birth.kind,
                parent: birth.parent,
                title: None,
                columns: birth.columns,
                session: None,
            },
        )?;
        Ok(Self {
            session,
            beats: 0,
            metrics,
            events,
            store,
            folder,
            waiting: VecDeque::new(),
            marked: Vec::new(),
            last_row: None,
            recorded: Vec::new(),
            hold: claim.into_hold(),
        })
    }

    /// Opens a run to go on with as it is: [`Halted::open`] and [`Halted::cut`] in one.
    pub fn resume(folder: &Path) -> Result<(Self, Option<Checkpoint>)> {
        let mut halted = Halted::open(folder)?;
        let checkpoint = halted.checkpoint.take();
        let columns = halted.about.columns.clone();
        Ok((halted.cut(&columns, 1)?, checkpoint))
    }

    /// What is to be said of the folder and stops nothing: that there are no locks where it lies.
    pub fn notice(&self) -> Option<&Error> {
        self.hold.as_ref()?.missing.as_ref()
    }

    pub fn set_budget(&mut self, bytes: u64) {
        self.store.budget_bytes = bytes;
    }

    /// Says anew what the experiment is: how long it goes on may have changed.
    ///
    /// # Errors
    /// When the system refuses; the old document is untouched then.
    pub fn set_experiment(&self, document: &str) -> Result<()> {
        replace_bytes(&self.folder.join("experiment.toml"), document.as_bytes())
    }

    /// Step of the last row of metrics, written or waiting.
    pub fn last_row(&self) -> Option<u64> {
        self.last_row
    }

    /// Takes something to record; [`Self::flush`] writes it.
    pub fn push(&mut self, item: Item) {
        match &item {
            Item::Metrics(row) => self.last_row = Some(row.step),
            Item::Mark(mark) => self.marked.push(mark.step),
            Item::Weights(_) => {}
        }
        self.waiting.push_back(item);
    }

    /// Writes what waits, in order.
    ///
    /// # Errors
    /// When the system refuses; what is not yet written keeps waiting.
    pub fn flush(&mut self) -> Result<()> {
        while let Some(item) = self.waiting.front() {
            match item {
                Item::Metrics(row) => self.metrics.write(line(row).as_bytes())?,
                Item::Mark(mark) => self.events.write(line_of_mark(mark).as_bytes())?,
                Item::Weights(weights) => {
                    // Packs are written by their path, where by now another run may lie.
                    self.check_there()?;
                    self.store.add(weights, &self.marked)?;
                    self.recorded.push(weights.step);
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Steps whose weights were written since this was last asked.
    pub fn take_recorded(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.recorded)
    }

    /// The steps that remain, if steps were thinned out since this was last asked.
    pub fn take_thinned(&mut self) -> Option<Vec<u64>> {
        self.store.thinned.take()
    }

    /// Says how far the run is. Where that is refused, the beat is left out: training does not depend on it.
    pub fn beat(&mut self, pulse: &Pulse) {
        // By its path, where by now another run may lie.
        if self.check_there().is_ok() {
            let _ = beat::write(&self.folder, self.session, self.beats, pulse);
        }
        self.beats += 1;
    }

    /// Makes sure that what was written survives a power failure. Those who read it over a network see it then.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> Result<()> {
        self.metrics.sync()?;
        self.events.sync()?;
        self.store.sync()
    }

    /// Replaces the checkpoint. Everything flushed so far belongs to it.
    ///
    /// # Errors
    /// When the system refuses; the old checkpoint is untouched then.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.check_there()?;
        self.flush()?;
        self.sync()?;
        let kept = Kept { metrics: self.metrics.len(), events: self.events.len() };
        let bytes = encode_checkpoint(checkpoint, &kept);
        replace_bytes(&self.folder.join("checkpoint.safetensors"), &bytes)
    }

    /// Whether the folder is still where it was.
    ///
    /// # Errors
    /// When it was moved or deleted: what is written goes after it, or is lost.
    pub fn check_there(&self) -> Result<()> {
        let lock = self.folder.join("lock");
        if self.hold.as_ref().is_none_or(|hold| hold.is_at(&lock)) {
            return Ok(());
        }
        Err(Error::system(format!(
            "the folder {} of this run is gone: it was moved or deleted while the run was recorded there",
            self.folder.display()
        )))
    }
}

/// A run that stopped and may go on. It is locked and read; nothing of it has changed yet.
pub struct Halted {
    folder: PathBuf,
    pub about: About,
    /// Where it goes on; `None`: it was killed before its first checkpoint and begins anew.
    pub checkpoint: Option<Checkpoint>,
    /// Step of the checkpoint.
    last: Option<u64>,
    kept: Kept,
    claim: Claim,
}

impl Halted {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// When it is no run folder, another program writes there, something is damaged, or its checkpoint is gone.
    pub fn open(folder: &Path) -> Result<Self> {
        // First: a folder is made for a run that is none yet.
        read_about(folder)?;
        Self::claimed(Claim::alone(folder)?)
    }

    /// As [`Self::open`], of a folder that is taken already.
    ///
    /// # Errors
    /// When it is no run folder, something is damaged, or its checkpoint is gone.
    pub fn claimed(claim: Claim) -> Result<Self> {
        let folder = &claim.folder().to_owned();
        let about = read_about(folder)?;
        ["metrics.csv", "events.jsonl", "weights"]
            .iter()
            .try_for_each(|name| refuse_link(&folder.join(name)))?;
        let (checkpoint, kept) = match read_checkpoint(folder)? {
            Some((checkpoint, kept)) => (Some(checkpoint), kept),
            None => (None, Kept { metrics: 0, events: 0 }),
        };
        let mut rows = 0;
        each_row(folder, &about.columns, u64::MAX, |_, _| rows += 1)?;
        if checkpoint.is_none() && rows > 1 {
            return Err(Error::input(format!(
                "{} has {rows} rows of metrics and no checkpoint.safetensors: it cannot go on from where it was. Branch from a recorded step in the window, or begin a new run",
                folder.display()
            )));
        }
        check_lengths(folder, &kept)?;
        let last = checkpoint.as_ref().map(|c| c.weights.step);
        Ok(Self { folder: folder.clone(), about, checkpoint, last, kept, claim })
    }

    /// The experiment as a document.
    ///
    /// # Errors
    /// When the file is missing or no text.
    pub fn experiment(&self) -> Result<String> {
        experiment_text(&self.folder)
    }

    /// Cuts off everything after the checkpoint and opens the folder for writing. The row of a last step off the grid
    /// of every `evaluate` steps goes as well: a run that had more steps to do would not have it.
    ///
    /// # Errors
    /// When the metrics have other columns than `columns` (nothing has changed then), or the system refuses.
    pub fn cut(self, columns: &[String], evaluate: u64) -> Result<Writer> {
        let Self { folder, about, last, mut kept, claim, .. } = self;
        if about.columns != columns {
            return Err(Error::input(format!(
                "{}: its metrics have the columns {}, this experiment would write {}; begin a new run instead of resuming",
                folder.display(),
                about.columns.join(","),
                columns.join(",")
            )));
        }
        // From here on places in them count.
        let events = folder.join("events.jsonl");
        disk::make_plain(&folder.join("metrics.csv"))?;
        disk::make_plain(&events)?;
        // What is refused is left as it is: nothing is cut before all that stays was read.
        check_line_end(&folder.join("metrics.csv"), kept.metrics)?;
        check_line_end(&events, kept.events)?;
        let marked = read_marks(lines_of(&events)?.take(kept.events), &events)?;
        let (mut last, mut rows) = (last, Vec::new());
        each_row(&folder, columns, kept.metrics, |row, from| {
            rows.push((row.step, from));
            if rows.len() > 2 {
                rows.remove(0);
            }
        })?;
        // The first row of a branch may be off the grid, and stays.
        if let [(before, _), (step, from)] = rows[..]
            && !step.is_multiple_of(evaluate)
        {
            kept.metrics = from;
            last = Some(before);
            rows.pop();
        }
        names::remove_temporary(&folder);
        let store = Store::open(folder.join("weights"), u64::MAX, last)?;
        let mut metrics = Append::open(folder.join("metrics.csv"), kept.metrics)?;
        let events = Append::open(events, kept.events)?;
        if metrics.len() == 0 {
            metrics.write(header_line(columns).as_bytes())?;
        }
        // When all is cut and nothing has grown again: what is read under this session's number is of this session.
        let session = begin_session(&folder, about)?;
        Ok(Writer {
            session,
            beats: 0,
            marked: marked.iter().map(|mark| mark.step).collect(),
            last_row: rows.last().map(|(step, _)| *step),
            waiting: VecDeque::new(),
            recorded: Vec::new(),
            folder,
            metrics,
            events,
            store,
            hold: claim.into_hold(),
        })
    }
}

/// What a task read from outside: the counts of 1,024 characters have 4 MB.
const MOST_DOCUMENT_BYTES: u64 = 16 << 20;
/// `run.json` has some KB, `experiment.toml` too.
const MOST_ABOUT_BYTES: u64 = 1 << 20;
/// Columns of metrics: a network of 64 layers has some thousand tensors with a norm each.
const MOST_COLUMNS: usize = 1 << 14;
/// Marks of a run of years; a longer file is not what it seems.
const MOST_MARKS_BYTES: u64 = 64 << 20;
/// A network of the largest size with two moments, and some room.
const MOST_CHECKPOINT_BYTES: u64 = 8 << 30;

/// Bytes of the growing files that belong to a checkpoint.
struct Kept {
    metrics: u64,
    events: u64,
}

/// The sentence that a file of a run is gone; none where it is there.
fn gone(folder: &Path, name: &str, what: &str) -> Option<Error> {
    let path = folder.join(name);
    (!path.exists()).then(|| {
        Error::input(format!(
            "{} is gone: the run opens without {what}; put the file back from a copy if there is one",
            path.display()
        ))
    })
}

fn refuse_run(folder: &Path) -> Result<()> {
    if !is_run(folder) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} holds a run already; resume it, or name another folder",
        folder.display()
    )))
}

/// What the task of a run read from outside, as the folder keeps it: the files that a task may have put there, and no
/// others.
///
/// # Errors
/// When a file is longer than such a document can be, or no text.
pub fn documents(folder: &Path) -> Result<Documents> {
    let home = folder.join("task");
    let mut documents = Documents::new();
    for name in documents::NAMES {
        let path = home.join(name);
        // Not what a link leads to: a branch would keep a copy of it.
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_file()) {
            documents.insert((*name).to_owned(), read_text(&path, MOST_DOCUMENT_BYTES)?);
        }
    }
    Ok(documents)
}

/// What `run.json` of a run folder says.
///
/// # Errors
/// When it is no run folder, or was written by a newer program (both versions are named).
pub fn about(folder: &Path) -> Result<About> {
    read_about(folder)
}

/// Where training of a run would go on; `None` when nothing was saved yet.
///
/// # Errors
/// When the file is damaged.
pub fn checkpoint(folder: &Path) -> Result<Option<Checkpoint>> {
    Ok(read_checkpoint(folder)?.map(|(checkpoint, _)| checkpoint))
}

/// Step of the checkpoint of a run; `None` when nothing was saved yet. Its tensors are not read.
///
/// # Errors
/// When the file is damaged.
pub fn saved_step(folder: &Path) -> Result<Option<u64>> {
    let Some(numbers) = numbers_of_checkpoint(folder, ["step"])? else { return Ok(None) };
    Ok(Some(numbers[0]))
}

/// Numbers that the note of a run's checkpoint says; `None` when nothing was saved yet. Its tensors are not read.
fn numbers_of_checkpoint<const N: usize>(
    folder: &Path,
    names: [&str; N],
) -> Result<Option<[u64; N]>> {
    let path = folder.join("checkpoint.safetensors");
    if !path.exists() {
        return Ok(None);
    }
    let (mut file, length) = open_file(&path)?;
    let contents = tensors::contents(&mut file, length, &path)?;
    let note: Option<Value> = contents.note.and_then(|note| json::parse(&note).ok());
    let numbers = names.map(|name| note.as_ref()?.get(name)?.as_u64());
    if numbers.contains(&None) {
        return Err(Error::input(format!("{}: its note is damaged", path.display())));
    }
    Ok(Some(numbers.map(Option::unwrap_or_default)))
}

/// That the files of a run are as long as its checkpoint says.
///
/// # Errors
/// When one was cut short, or the checkpoint is damaged.
pub fn check_whole(folder: &Path) -> Result<()> {
    match numbers_of_checkpoint(folder, ["metrics_bytes", "events_bytes"])? {
        Some([metrics, events]) => check_lengths(folder, &Kept { metrics, events }),
        None => Ok(()),
    }
}

fn check_lengths(folder: &Path, kept: &Kept) -> Result<()> {
    for (name, expected) in [("metrics.csv", kept.metrics), ("events.jsonl", kept.events)] {
        let path = folder.join(name);
        let length = disk::plain_length(&path)?;
        if length < expected {
            return Err(Error::input(format!(
                "{}: {length} bytes, its checkpoint expects at least {expected}: the file was cut short. Branch from a recorded step in the window, or begin a new run",
                path.display()
            )));
        }
    }
    Ok(())
}

/// That so many bytes of a file are whole lines.
fn check_line_end(path: &Path, bytes: u64) -> Result<()> {
    let Some(before) = bytes.checked_sub(1).filter(|_| path.exists()) else { return Ok(()) };
    let (mut file, mut last) = (open_file(path)?.0, [0]);
    file.seek(io::SeekFrom::Start(before))
        .and_then(|_| file.read_exact(&mut last))
        .map_err(|e| refused("reading", path, e))?;
    if last == *b"\n" {
        return Ok(());
    }
    Err(Error::input(format!(
        "{}: byte {bytes}, where its checkpoint was taken, is in the middle of a line: the file was changed since. Branch from a recorded step in the window, or begin a new run",
        path.display()
    )))
}

/// Whether a program is writing the run in a folder right now.
pub fn is_being_written(folder: &Path) -> bool {
    disk::is_held(&folder.join("lock"))
}

/// Whether some program writes the run in a folder, on this machine or elsewhere, as far as its lock and its beat tell.
pub fn goes_on(folder: &Path) -> bool {
    let beat = beat::read(folder).ok().flatten();
    is_being_written(folder) || beat.is_some_and(|beat| !beat.condition.is_over())
}

/// Calls `take` with every row of the metrics of a run, one after the other.
///
/// # Errors
/// When it is no run folder, its metrics are gone or were cut short, or a line is damaged.
pub fn rows(folder: &Path, mut take: impl FnMut(MetricsRow)) -> Result<()> {
    let columns = read_about(folder)?.columns;
    gone(folder, "metrics.csv", "its curves").map_or(Ok(()), Err)?;
    check_whole(folder)?;
    each_row(folder, &columns, u64::MAX, |row, _| take(row))
}

/// Writes `run.json` with the number of a new session.
fn begin_session(folder: &Path, about: About) -> Result<u64> {
    let mut session = 0;
    replace(&folder.join("run.json"), |file| {
        session = new_session(file, about.session);
        let about = About { session: Some(session), ..about };
        file.write_all(text_of_about(&about).as_bytes()).map_err(|e| refused("writing", folder, e))
    })?;
    Ok(session)
}

/// A number that no other session has: which process made this new file, which file it is and when it was made, and what came before.
/// No number of a run depends on it.
fn new_session(file: &File, before: Option<u64>) -> u64 {
    /// Programs that keep every number as a float read this one, too.
    const EXACT_IN_FLOATS: u64 = (1 << 53) - 1;
    let mut seen = DefaultHasher::new();
    (before, std::process::id()).hash(&mut seen);
    if let Ok(data) = file.metadata() {
        (identity(&data), data.modified().ok()).hash(&mut seen);
    }
    seen.finish() & EXACT_IN_FLOATS
}

fn write_about(folder: &Path, about: &About) -> Result<()> {
    replace_bytes(&folder.join("run.json"), text_of_about(about).as_bytes())
}

fn text_of_about(about: &About) -> String {
    let parent = about.parent.as_ref().map(parent_json);
    let document = serde_json::json!({
        "schema": SCHEMA,
        "program": "mnemoscope",
        "version": about.version,
        "name": about.name,
        "kind": about.kind,
        "parent": parent,
        "title": about.title,
        "columns": about.columns,
        "session": about.session,
    });
    format!("{document:#}\n")
}

/// A path that is no UTF-8 stands there as its bytes, too.
fn parent_json(parent: &Parent) -> Value {
    let folder = parent.folder.as_deref();
    let mut json =
        serde_json::json!({"folder": folder.map(Path::to_string_lossy), "step": parent.step});
    if let Some(folder) = folder.filter(|folder| folder.to_str().is_none()) {
        json["folder_bytes"] = folder.as_os_str().as_encoded_bytes().into();
    }
    json
}

fn parent_of(json: &Value) -> Parent {
    let bytes = json.get("folder_bytes").and_then(Value::as_array);
    let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
    let bytes: Option<Vec<u8>> = bytes.and_then(|bytes| bytes.iter().map(byte).collect());
    let text = json.get("folder").and_then(Value::as_str).map(PathBuf::from);
    Parent {
        folder: bytes.and_then(path_of_bytes).or(text),
        step: json.get("step").and_then(Value::as_u64).unwrap_or(0),
    }
}

#[cfg(unix)]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// What is wrong with a folder that has no `run.json`.
fn no_run(folder: &Path) -> Error {
    let name = folder.display();
    if !folder.exists() {
        return Error::input(format!(
            "no such folder: {name}. Expected the folder of a recorded run"
        ));
    }
    if folder.is_file() {
        let plain = || Error::input(format!("{name} is no run folder: it is a file"));
        return foreign::refusal(folder).unwrap_or_else(plain);
    }
    model_folder::refusal(folder).unwrap_or_else(|| {
        Error::input(format!(
            "{name} is no run folder: it has no run.json, which every recorded run has, and holds no network of another program (config.json with model.safetensors)"
        ))
    })
}

/// The section `[task]` of an experiment; empty where the document has none. What is wrong with it, the experiment says.
pub fn task_of(document: &str) -> toml::Table {
    let document = document.trim_start_matches('\u{feff}').parse::<toml::Table>().ok();
    match document.as_ref().and_then(|document| document.get("task")) {
        Some(toml::Value::Table(task)) => task.clone(),
        _ => toml::Table::new(),
    }
}

fn experiment_text(folder: &Path) -> Result<String> {
    read_text(&folder.join("experiment.toml"), MOST_ABOUT_BYTES)
}

fn read_about(folder: &Path) -> Result<About> {
    let path = folder.join("run.json");
    if !path.exists() {
        return Err(no_run(folder));
    }
    parse_about(&read_text(&path, MOST_ABOUT_BYTES)?, &path)
}

/// What a text like that of `run.json` says; `origin` stands in messages.
///
/// # Errors
/// When it is damaged, names a key twice, or is of a newer program (both versions are named).
pub fn parse_about(text: &str, origin: &Path) -> Result<About> {
    let wrong = |why: String| Error::input(format!("{}: {why}", origin.display()));
    let document =
        json::parse(text).map_err(|e| wrong(format!("it is damaged: {e}")).caused_by(e))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    let version = text("version").unwrap_or_else(|| "unknown".to_owned());
    let schema = document.get("schema").and_then(Value::as_u64);
    let schema = schema.ok_or_else(|| wrong("it does not state its schema".to_owned()))?;
    if schema > SCHEMA {
        return Err(wrong(format!(
            "the run was written by mnemoscope {version} in schema {schema}; this is mnemoscope {}, which reads schemas up to {SCHEMA}. Use the newer program",
            env!("CARGO_PKG_VERSION")
        )));
    }
    let parent = document.get("parent").filter(|p| p.is_object()).map(parent_of);
    let columns = document.get("columns").and_then(Value::as_array);
    let columns: Vec<String> = columns
        .and_then(|all| all.iter().map(|c| c.as_str().map(str::to_owned)).collect())
        .ok_or_else(|| wrong("it does not name the columns of the metrics".to_owned()))?;
    if columns.len() > MOST_COLUMNS {
        return Err(wrong(format!(
            "it names {} columns of metrics, expected at most {MOST_COLUMNS}",
            columns.len()
        )));
    }
    let mut names = BTreeSet::new();
    if let Some(name) = columns.iter().find(|name| !names.insert(*name)) {
        return Err(wrong(format!("it names the column {name} of the metrics twice")));
    }
    Ok(About {
        name: text("name").unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        title: text("title"),
        session: document.get("session").and_then(Value::as_u64),
        version,
        parent,
        columns,
    })
}

fn header_line(columns: &[String]) -> String {
    let mut line = "step".to_owned();
    for column in columns {
        line.push(',');
        line.push_str(column);
    }
    line.push('\n');
    line
}

/// A row with the shortest digits that read back as the same numbers.
fn line(row: &MetricsRow) -> String {
    let mut line = row.step.to_string();
    for value in &row.values {
        line.push_str(&format!(",{}", Plain(*value)));
    }
    line.push('\n');
    line
}

/// A file that may not be there yet, or be in the middle of growing, as lines: nothing where it is missing.
fn lines_of(path: &Path) -> Result<Box<dyn Read>> {
    if path.exists() { Ok(Box::new(open_file(path)?.0)) } else { Ok(Box::new(io::empty())) }
}

/// Calls `take` with every whole line of what may be in the middle of growing: its number from 1, its text and where it
/// begins. `most_bytes` of it are read; `path` stands in messages.
fn each_line(
    source: impl Read,
    path: &Path,
    most_bytes: u64,
    mut take: impl FnMut(usize, &str, u64) -> Result<()>,
) -> Result<()> {
    /// A row of a thousand columns has 20 KB.
    const MOST_LINE_BYTES: u64 = 1 << 20;
    let wrong = |line: usize, why: &str| {
        Error::input(format!("{}: line {line} is damaged: {why}", path.display()))
    };
    let mut input = BufReader::new(source).take(most_bytes);
    let (mut from, mut bytes) = (0, Vec::new());
    for number in 1.. {
        bytes.clear();
        let mut line = input.by_ref().take(MOST_LINE_BYTES);
        let read = line.read_until(b'\n', &mut bytes).map_err(|e| refused("reading", path, e))?;
        if bytes.pop() != Some(b'\n') {
            if read as u64 == MOST_LINE_BYTES {
                return Err(wrong(number, "it is longer than any line of a run"));
            }
            return Ok(());
        }
        let line = plain_line(&bytes, number == 1);
        let text = std::str::from_utf8(line).map_err(|_| wrong(number, "it is no UTF-8 text"))?;
        take(number, text, from)?;
        from += read as u64;
    }
    Ok(())
}

/// Calls `take` with every row of the metrics and where its line begins, within the first `most_bytes`.
///
/// # Errors
/// When a line is damaged, the header among them: numbers are told apart by their columns.
fn each_row(
    folder: &Path,
    columns: &[String],
    most_bytes: u64,
    take: impl FnMut(MetricsRow, u64),
) -> Result<()> {
    let path = folder.join("metrics.csv");
    let mut header = None;
    each_row_of(lines_of(&path)?, &path, columns.len(), most_bytes, &mut header, take)?;
    let expected = header_line(columns);
    let is_there = most_bytes > 0 && path.exists();
    if is_there && header.as_deref() != Some(expected.trim_end()) {
        return Err(Error::input(format!(
            "{}: its first line is damaged or of another run; expected \"{}\", as run.json names the columns",
            path.display(),
            expected.trim_end()
        )));
    }
    Ok(())
}

fn each_row_of(
    source: impl Read,
    path: &Path,
    columns: usize,
    most_bytes: u64,
    header: &mut Option<String>,
    mut take: impl FnMut(MetricsRow, u64),
) -> Result<()> {
    each_line(source, path, most_bytes, |number, line, from| {
        if number == 1 {
            *header = Some(line.to_owned());
        } else {
            let row = row_of(line, columns).ok_or_else(|| {
                Error::input(format!(
                    "{}: line {number} is damaged; expected a step and {columns} numbers",
                    path.display(),
                ))
            })?;
            take(row, from);
        }
        Ok(())
    })
}

/// Calls `take` with every row of a text like that of `metrics.csv`, whose first line is the header; `origin` stands in
/// messages.
///
/// # Errors
/// When a line is damaged, or longer than any line of a run. Half a line at the end is left out.
pub fn read_rows(
    source: impl Read,
    columns: usize,
    origin: &Path,
    mut take: impl FnMut(MetricsRow),
) -> Result<()> {
    each_row_of(source, origin, columns, u64::MAX, &mut None, |row, _| take(row))
}

fn row_of(line: &str, columns: usize) -> Option<MetricsRow> {
    let mut parts = line.split(',');
    let step = step_within(parts.next()?.parse().ok()?)?;
    let values: Vec<f64> =
        parts.take(columns + 1).map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (values.len() == columns).then_some(MetricsRow { step, values })
}

/// A step that a run can have.
fn step_within(step: u64) -> Option<u64> {
    (step <= budget::MOST_STEP).then_some(step)
}

const MARK_KINDS: [(MarkKind, &str); 3] = [
    (MarkKind::Emergence, "emergence"),
    (MarkKind::Intervention, "intervention"),
    (MarkKind::Note, "note"),
];

fn line_of_mark(mark: &Mark) -> String {
    let kind = MARK_KINDS.iter().find(|(kind, _)| *kind == mark.kind).map_or("note", |(_, n)| n);
    format!(
        "{}\n",
        serde_json::json!({"step": mark.step, "kind": kind, "id": mark.id, "text": mark.text})
    )
}

/// The marks of a run, in the order in which they were set.
///
/// # Errors
/// When a line is damaged.
pub fn marks(folder: &Path) -> Result<Vec<Mark>> {
    let path = folder.join("events.jsonl");
    read_marks(lines_of(&path)?, &path)
}

/// The marks of a text like that of `events.jsonl`; `origin` stands in messages.
///
/// # Errors
/// When a line is damaged, or there are more than of a run of years. Half a line at the end is left out.
pub fn read_marks(source: impl Read, origin: &Path) -> Result<Vec<Mark>> {
    let (mut marks, mut bytes) = (Vec::new(), 0);
    each_line(source, origin, u64::MAX, |number, line, _| {
        // A mark takes more room in memory than the shortest line.
        bytes += line.len().max(64) as u64;
        if bytes > MOST_MARKS_BYTES {
            return Err(Error::input(format!(
                "{}: the marks up to line {number} take more than {MOST_MARKS_BYTES} bytes, and no run has as many",
                origin.display()
            )));
        }
        marks.push(mark_of(line).ok_or_else(|| {
            Error::input(format!("{}: line {number} is damaged", origin.display()))
        })?);
        Ok(())
    })?;
    Ok(marks)
}

fn mark_of(line: &str) -> Option<Mark> {
    let value = json::parse(line).ok()?;
    let kind = value.get("kind")?.as_str()?;
    let step = step_within(value.get("step")?.as_u64()?)?;
    // What a later version or another program calls otherwise is worth reading all the same.
    let kind = MARK_KINDS.iter().find(|(_, name)| *name == kind).map_or(MarkKind::Note, |k| k.0);
    let mark = Mark::of_text(step, kind, value.get("text")?.as_str()?);
    match value.get("id") {
        Some(id) => Some(Mark { id: id.as_str()?.to_owned(), ..mark }),
        None => Some(mark),
    }
}

fn encode_checkpoint(checkpoint: &Checkpoint, kept: &Kept) -> Vec<u8> {
    let weights = &checkpoint.weights;
    let order: Vec<(&str, bool)> = weights.tensors.iter().map(|t| (&*t.name, t.trained)).collect();
    let in_force: Vec<String> = checkpoint.in_force.iter().map(ToString::to_string).collect();
    let changed: Vec<(&str, String)> =
        checkpoint.changed.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    // As text: it reads back as the same number, and may be NaN.
    let grad_norms: Vec<(&str, String)> = checkpoint
        .grad_norms
        .iter()
        .map(|(name, norm)| (name.as_str(), norm.to_string()))
        .collect();
    let note = serde_json::json!({
        "step": weights.step,
        "grad_norms": grad_norms,
        "tensors": order,
        "in_force": in_force,
        "marks": checkpoint.marks,
        "changed": changed,
        "metrics_bytes": kept.metrics,
        "events_bytes": kept.events,
    });
    let named = |part: &str, tensor: &NamedTensor| format!("{part}/{}", tensor.name);
    let all = weights.tensors.iter().map(|t| (named("weights", t), t));
    let all = all.chain(checkpoint.optimizer.iter().map(|t| (named("optimizer", t), t)));
    tensors::encode(all, Some(&note.to_string()))
}

fn read_checkpoint(folder: &Path) -> Result<Option<(Checkpoint, Kept)>> {
    let path = folder.join("checkpoint.safetensors");
    if !path.exists() {
        return Ok(None);
    }
    let (file, length) = open_file(&path)?;
    checkpoint_of(file, length, &path).map(Some)
}

/// The checkpoint of a file in memory; `origin` stands in messages.
///
/// # Errors
/// When it is damaged.
pub fn parse_checkpoint(bytes: &[u8], origin: &Path) -> Result<Checkpoint> {
    let whole = checkpoint_of(io::Cursor::new(bytes), bytes.len() as u64, origin)?;
    Ok(whole.0)
}

fn checkpoint_of(
    mut file: impl Read + Seek,
    length: u64,
    path: &Path,
) -> Result<(Checkpoint, Kept)> {
    let contents = tensors::contents(&mut file, length, path)?;
    tensors::check_room(contents.places.iter(), MOST_CHECKPOINT_BYTES, path)?;
    let damaged = || Error::input(format!("{}: its note is damaged", path.display()));
    let note = contents.note.as_deref().and_then(|note| json::parse(note).ok());
    let note = note.ok_or_else(damaged)?;
    let list = |key: &str| note.get(key).and_then(Value::as_array).ok_or_else(damaged);
    let number = |key: &str| note.get(key).and_then(Value::as_u64).ok_or_else(damaged);
    let (mut all, mut optimizer) = (std::collections::BTreeMap::new(), Vec::new());
    for place in &contents.places {
        let data = tensors::numbers(&mut file, &contents, place, path)?;
        let (part, name) = place.name.split_once('/').ok_or_else(damaged)?;
        let tensor =
            NamedTensor { name: name.into(), shape: place.shape.clone(), data, trained: true };
        match part {
            "weights" => {
                all.insert(name, tensor);
            }
            _ => optimizer.push(tensor),
        }
    }
    let mut tensors = Vec::new();
    for entry in list("tensors")? {
        let name = entry.get(0).and_then(Value::as_str).ok_or_else(damaged)?;
        let mut tensor = all.remove(name).ok_or_else(damaged)?;
        tensor.trained = entry.get(1).and_then(Value::as_bool).ok_or_else(damaged)?;
        tensors.push(tensor);
    }
    let mut in_force = Vec::new();
    for what in list("in_force")? {
        in_force.push(what.as_str().ok_or_else(damaged)?.parse()?);
    }
    let pairs = |key: &str| -> Result<Vec<(String, String)>> {
        let pair = |entry: &Value| {
            let text = |i: usize| Some(entry.get(i)?.as_str()?.to_owned());
            Some((text(0)?, text(1)?))
        };
        list(key)?.iter().map(|entry| pair(entry).ok_or_else(damaged)).collect()
    };
    let changed = pairs("changed")?;
    let changed =
        changed.into_iter().map(|(name, value)| (name, settings::parse_value(&value))).collect();
    let grad_norms = pairs("grad_norms")?.into_iter();
    let grad_norms = grad_norms
        .map(|(name, norm)| Ok((name, norm.parse().map_err(|_| damaged())?)))
        .collect::<Result<_>>()?;
    let checkpoint = Checkpoint {
        weights: Weights::new(step_within(number("step")?).ok_or_else(damaged)?, tensors),
        optimizer,
        in_force,
        grad_norms,
        marks: note.get("marks").cloned().unwrap_or(Value::Null),
        changed,
    };
    let kept = Kept { metrics: number("metrics_bytes")?, events: number("events_bytes")? };
    Ok((checkpoint, kept))
}
