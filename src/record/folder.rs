//! A run on disk: written while it goes, so that a kill at any moment leaves a folder that opens.
//!
//! `docs/recording.md` describes every file.

pub mod library;

mod disk;
mod store;
mod tensors;

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checkpoint::Checkpoint;
use super::error::{Error, Result};
use super::event::{Mark, MarkKind, MetricsRow};
use super::knobs;
use super::recording::Recording;
use super::weights::{NamedTensor, Weights};

use disk::{Append, read_text, refused, replace_bytes};
use store::{Index, Store};

/// Version of the layout of a run folder that this program writes, and the newest that it reads.
pub const SCHEMA: u64 = 1;

/// What a run is when it begins.
#[derive(Clone, Debug)]
pub struct Birth {
    pub name: String,
    /// The whole experiment as a document.
    pub experiment: String,
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
    /// A name that a person gave: such a run is never removed by itself.
    pub title: Option<String>,
    pub columns: Vec<String>,
}

/// A run folder, read. Opening a folder that is being written is fine; [`Reader::refresh`] sees what is new.
pub struct Reader {
    pub folder: PathBuf,
    pub about: About,
    pub recording: Recording,
    /// What is damaged and was left out, a sentence each.
    pub problems: Vec<Error>,
    index: Index,
}

impl Reader {
    /// # Errors
    /// When it is no run folder, was written by a newer program (both versions are named), or cannot be read.
    /// Half a line or half a record at the end of a file is no error: it is left out.
    pub fn open(folder: &Path) -> Result<Self> {
        let about = read_about(folder)?;
        let mut reader = Self {
            folder: folder.to_owned(),
            recording: Recording::default(),
            problems: Vec::new(),
            index: Index::default(),
            about,
        };
        reader.refresh()?;
        Ok(reader)
    }

    /// Reads what was added since.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn refresh(&mut self) -> Result<()> {
        let (rows, _) = read_rows(&self.folder, &self.about.columns)?;
        let (marks, _) = read_marks(&self.folder)?;
        self.index = Index::read(&self.folder.join("weights"), &self.index)?;
        self.problems = std::mem::take(&mut self.index.damaged);
        let recorded = self.index.steps();
        self.recording = Recording {
            folder: Some(self.folder.clone()),
            columns: self.about.columns.clone(),
            last_step: recorded.last().map_or(0, |s| *s),
            rows: Vec::new(),
            marks,
            recorded,
        };
        rows.into_iter().for_each(|row| self.recording.add_row(row));
        Ok(())
    }

    /// The experiment as a document.
    ///
    /// # Errors
    /// When the file is missing or no text.
    pub fn experiment(&self) -> Result<String> {
        read_text(&self.folder.join("experiment.toml"), MOST_DOCUMENT_BYTES)
    }

    /// The weights of a recorded step.
    ///
    /// # Errors
    /// When the step is not recorded (with the nearest that are), or its file is damaged.
    pub fn weights(&mut self, step: u64) -> Result<Weights> {
        if let Ok(weights) = self.index.weights(step) {
            return Ok(weights);
        }
        // The writer may have moved it into a pack since.
        self.index = Index::read(&self.folder.join("weights"), &self.index)?;
        self.recording.recorded = self.index.steps();
        self.index.weights(step)
    }

    /// Where training would go on; `None` when nothing was saved yet.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(read_checkpoint(&self.folder)?.map(|(checkpoint, _)| checkpoint))
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
    columns: Vec<String>,
    metrics: Append,
    events: Append,
    store: Store,
    waiting: VecDeque<Item>,
    /// Steps with marks: thinning leaves them alone.
    marked: Vec<u64>,
    last_row: Option<u64>,
    recorded: Vec<u64>,
    /// Held as long as the writer lives.
    _lock: File,
}

impl Writer {
    /// Begins a new run in a folder, which is made if need be.
    ///
    /// # Errors
    /// When there is a run already, another program writes there, or the system refuses.
    pub fn create(folder: &Path, birth: Birth) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| refused("making", folder, &e))?;
        if folder.join("run.json").exists() {
            return Err(Error::usage(format!(
                "{} holds a run already; resume it, or name another folder",
                folder.display()
            )));
        }
        check_empty(folder)?;
        let lock = lock(folder)?;
        replace_bytes(&folder.join("experiment.toml"), birth.experiment.as_bytes())?;
        let mut metrics = Append::open(folder.join("metrics.csv"), 0)?;
        metrics.write(header_line(&birth.columns).as_bytes())?;
        let writer = Self {
            metrics,
            events: Append::open(folder.join("events.jsonl"), 0)?,
            store: Store::open(folder.join("weights"), birth.budget_bytes, None)?,
            folder: folder.to_owned(),
            columns: birth.columns.clone(),
            waiting: VecDeque::new(),
            marked: Vec::new(),
            last_row: None,
            recorded: Vec::new(),
            _lock: lock,
        };
        // Last: a folder with it is a run.
        write_about(
            folder,
            &About {
                name: birth.name,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                kind: birth.kind,
                parent: birth.parent,
                title: None,
                columns: birth.columns,
            },
        )?;
        Ok(writer)
    }

    /// Opens a run to go on with: everything after its checkpoint is cut off. Without a checkpoint everything
    /// is, and the run begins anew.
    ///
    /// # Errors
    /// When it is no run folder, another program writes there, or something is damaged.
    pub fn resume(folder: &Path) -> Result<(Self, Option<Checkpoint>)> {
        let about = read_about(folder)?;
        let lock = lock(folder)?;
        let (checkpoint, kept) = match read_checkpoint(folder)? {
            Some((checkpoint, kept)) => (Some(checkpoint), kept),
            None => (None, Kept { metrics: 0, events: 0 }),
        };
        let mut metrics = Append::open(folder.join("metrics.csv"), kept.metrics)?;
        let events = Append::open(folder.join("events.jsonl"), kept.events)?;
        if metrics.len() == 0 {
            metrics.write(header_line(&about.columns).as_bytes())?;
        }
        let last = checkpoint.as_ref().map(|c| c.weights.step);
        let (marks, _) = read_marks(folder)?;
        let (rows, _) = read_rows(folder, &about.columns)?;
        let writer = Self {
            store: Store::open(folder.join("weights"), u64::MAX, last)?,
            folder: folder.to_owned(),
            columns: about.columns,
            waiting: VecDeque::new(),
            marked: marks.iter().map(|mark| mark.step).collect(),
            last_row: rows.last().map(|row| row.step),
            recorded: Vec::new(),
            metrics,
            events,
            _lock: lock,
        };
        Ok((writer, checkpoint))
    }

    pub fn set_budget(&mut self, bytes: u64) {
        self.store.budget_bytes = bytes;
    }

    /// Whether the metrics of the folder are those that will be written.
    ///
    /// # Errors
    /// When they are not: the run was made by another version or another experiment.
    pub fn check_columns(&self, columns: &[String]) -> Result<()> {
        if self.columns == columns {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: its metrics have the columns {}, this experiment would write {}; begin a new run instead of resuming",
            self.folder.display(),
            self.columns.join(","),
            columns.join(",")
        )))
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

    /// Replaces the checkpoint. Everything flushed so far belongs to it.
    ///
    /// # Errors
    /// When the system refuses; the old checkpoint is untouched then.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.flush()?;
        self.metrics.sync()?;
        self.events.sync()?;
        self.store.sync()?;
        let kept = Kept { metrics: self.metrics.len(), events: self.events.len() };
        let bytes = encode_checkpoint(checkpoint, &kept);
        replace_bytes(&self.folder.join("checkpoint.safetensors"), &bytes)
    }
}

/// Documents longer than this are not what they seem.
const MOST_DOCUMENT_BYTES: u64 = 16 << 20;
/// Rows of a run of years; a longer file is not what it seems.
const MOST_TABLE_BYTES: u64 = 4 << 30;

/// Bytes of the growing files that belong to a checkpoint.
struct Kept {
    metrics: u64,
    events: u64,
}

/// Takes the folder for this program alone, as long as the file lives.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| refused("opening", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::usage(format!(
            "another program is writing the run in {}; stop it first, or name another folder",
            folder.display()
        ))),
        Err(TryLockError::Error(e)) => Err(refused("locking", &path, &e)),
    }
}

/// Whether a new run may begin here: nothing but what a run that was killed at its very start left.
fn check_empty(folder: &Path) -> Result<()> {
    const OURS: [&str; 5] = ["lock", "experiment.toml", "metrics.csv", "events.jsonl", "weights"];
    let entries = fs::read_dir(folder).map_err(|e| refused("reading", folder, &e))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !OURS.contains(&name.as_str()) && !name.ends_with(".tmp") {
            return Err(Error::usage(format!(
                "{} is no empty folder (it holds {name}); a run needs a folder of its own",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn write_about(folder: &Path, about: &About) -> Result<()> {
    let parent = about.parent.as_ref().map(|parent| {
        json!({"folder": parent.folder.as_ref().map(|f| f.display().to_string()), "step": parent.step})
    });
    let document = json!({
        "schema": SCHEMA,
        "program": "mnemoscope",
        "version": about.version,
        "name": about.name,
        "kind": about.kind,
        "parent": parent,
        "title": about.title,
        "columns": about.columns,
    });
    replace_bytes(&folder.join("run.json"), format!("{document:#}\n").as_bytes())
}

fn read_about(folder: &Path) -> Result<About> {
    let path = folder.join("run.json");
    if !path.exists() {
        return Err(Error::input(format!(
            "{} is no run folder: it has no run.json",
            folder.display()
        )));
    }
    let text = read_text(&path, MOST_DOCUMENT_BYTES)?;
    let wrong = |why: String| Error::input(format!("{}: {why}", path.display()));
    let document: Value =
        serde_json::from_str(&text).map_err(|e| wrong(format!("it is damaged: {e}")))?;
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
    let parent = document.get("parent").filter(|p| p.is_object()).map(|parent| Parent {
        folder: parent.get("folder").and_then(Value::as_str).map(PathBuf::from),
        step: parent.get("step").and_then(Value::as_u64).unwrap_or(0),
    });
    let columns = document.get("columns").and_then(Value::as_array);
    let columns = columns
        .and_then(|all| all.iter().map(|c| c.as_str().map(str::to_owned)).collect())
        .ok_or_else(|| wrong("it does not name the columns of the metrics".to_owned()))?;
    Ok(About {
        name: text("name").unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        title: text("title"),
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
        line.push_str(&format!(",{value}"));
    }
    line.push('\n');
    line
}

/// Whole lines of a file that may be in the middle of growing, and their bytes. A missing file has none.
fn whole_lines(path: &Path) -> Result<String> {
    if !path.exists() {
        return Ok(String::new());
    }
    let length = fs::metadata(path).map_err(|e| refused("reading", path, &e))?.len();
    if length > MOST_TABLE_BYTES {
        return Err(Error::input(format!(
            "{}: {length} bytes are more than a run writes",
            path.display()
        )));
    }
    let mut bytes = fs::read(path).map_err(|e| refused("reading", path, &e))?;
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    String::from_utf8(bytes)
        .map_err(|_| Error::input(format!("{}: it is no UTF-8 text", path.display())))
}

fn read_rows(folder: &Path, columns: &[String]) -> Result<(Vec<MetricsRow>, u64)> {
    let path = folder.join("metrics.csv");
    let text = whole_lines(&path)?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let row = row_of(line, columns.len()).ok_or_else(|| {
            Error::input(format!(
                "{}: line {} is damaged; expected a step and {} numbers",
                path.display(),
                number + 1,
                columns.len()
            ))
        })?;
        rows.push(row);
    }
    Ok((rows, text.len() as u64))
}

fn row_of(line: &str, columns: usize) -> Option<MetricsRow> {
    let mut parts = line.split(',');
    let step = parts.next()?.parse().ok()?;
    let values: Vec<f64> = parts.map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (values.len() == columns).then_some(MetricsRow { step, values })
}

const MARK_KINDS: [(MarkKind, &str); 3] = [
    (MarkKind::Emergence, "emergence"),
    (MarkKind::Intervention, "intervention"),
    (MarkKind::Note, "note"),
];

fn line_of_mark(mark: &Mark) -> String {
    let kind = MARK_KINDS.iter().find(|(kind, _)| *kind == mark.kind).map_or("note", |(_, n)| n);
    format!("{}\n", json!({"step": mark.step, "kind": kind, "text": mark.text}))
}

fn read_marks(folder: &Path) -> Result<(Vec<Mark>, u64)> {
    let path = folder.join("events.jsonl");
    let text = whole_lines(&path)?;
    let mut marks = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mark = mark_of(line).ok_or_else(|| {
            Error::input(format!("{}: line {} is damaged", path.display(), number + 1))
        })?;
        marks.push(mark);
    }
    Ok((marks, text.len() as u64))
}

fn mark_of(line: &str) -> Option<Mark> {
    let value: Value = serde_json::from_str(line).ok()?;
    let kind = value.get("kind")?.as_str()?;
    Some(Mark {
        step: value.get("step")?.as_u64()?,
        kind: MARK_KINDS.iter().find(|(_, name)| *name == kind)?.0,
        text: value.get("text")?.as_str()?.to_owned(),
    })
}

fn encode_checkpoint(checkpoint: &Checkpoint, kept: &Kept) -> Vec<u8> {
    let weights = &checkpoint.weights;
    let order: Vec<(&str, bool)> = weights.tensors.iter().map(|t| (&*t.name, t.trained)).collect();
    let in_force: Vec<String> = checkpoint.in_force.iter().map(ToString::to_string).collect();
    let changed: Vec<(&str, String)> =
        checkpoint.changed.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    let note = json!({
        "step": weights.step,
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
    let bytes = fs::read(&path).map_err(|e| refused("reading", &path, &e))?;
    let contents = tensors::contents(Cursor::new(&bytes), bytes.len() as u64, &path)?;
    let damaged = || Error::input(format!("{}: its note is damaged", path.display()));
    let note: Value = contents
        .note
        .as_deref()
        .and_then(|note| serde_json::from_str(note).ok())
        .ok_or_else(damaged)?;
    let list = |key: &str| note.get(key).and_then(Value::as_array).ok_or_else(damaged);
    let number = |key: &str| note.get(key).and_then(Value::as_u64).ok_or_else(damaged);
    let (mut all, mut optimizer) = (std::collections::BTreeMap::new(), Vec::new());
    for place in &contents.places {
        let data = tensors::numbers(Cursor::new(&bytes), &contents, place, &path)?;
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
    let mut changed = Vec::new();
    for entry in list("changed")? {
        let text = |i: usize| entry.get(i).and_then(Value::as_str).ok_or_else(damaged);
        changed.push((text(0)?.to_owned(), knobs::parse_value(text(1)?)));
    }
    let checkpoint = Checkpoint {
        weights: Weights { step: number("step")?, tensors },
        optimizer,
        in_force,
        marks: note.get("marks").cloned().unwrap_or(Value::Null),
        changed,
    };
    let kept = Kept { metrics: number("metrics_bytes")?, events: number("events_bytes")? };
    Ok(Some((checkpoint, kept)))
}
