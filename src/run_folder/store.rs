//! The recorded weights of a run: a log of the newest steps, packs of the older ones, frozen tensors once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::weights::{NamedTensor, Weights};

use super::disk::{self, Append, Version, open_file as open, refuse_link, refused};
use crate::formats::safetensors::{self as tensors, Contents, Place};

/// Steps in a pack: few files for a long run, and a cut pack costs little.
const PACK_STEPS: usize = 64;
/// Size from which the log becomes a pack, however few its steps.
const PACK_BYTES: u64 = 64 << 20;
/// Most tensors of recorded steps, all steps together: a place takes some 160 bytes with its name and its shape.
const MOST_PLACES: usize = budget::INDEX_BYTES / 160;
/// Most tensors of recorded steps that are read; a run whose steps all have marks is not thinned, and has more than it should.
const MOST_PLACES_READ: usize = 4 * MOST_PLACES;
/// Packs that cannot be read, of a folder that is read all the same.
const MOST_DAMAGED: usize = 64;
/// Largest record of the log: a whole network and its header.
const MOST_RECORD_BYTES: u64 = budget::NETWORK_BYTES + (16 << 20);
/// Length, checksum and step before each record of the log.
const HEAD_BYTES: usize = 16;
const HEAD: u64 = HEAD_BYTES as u64;

/// One recorded step.
#[derive(Clone, Debug)]
struct Found {
    file: Arc<PathBuf>,
    /// Where the record's own file of tensors begins; 0 in a pack.
    at: u64,
    contents: Arc<Contents>,
    /// `STEP/` in a pack, nothing in the log.
    prefix: String,
    /// Tensors of the step.
    count: usize,
}

impl Found {
    fn places(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.contents
            .places
            .iter()
            .filter_map(|place| Some((place.name.strip_prefix(&self.prefix)?, place)))
    }
}

/// How much of what lies in the folder is read before somebody asks for a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Depth {
    /// All: each record of the log is checked.
    #[default]
    Checked,
    /// Where steps lie: a record is checked when its step is asked for, so that a log that grows elsewhere is not carried over a
    /// network for nothing.
    Listed,
    /// As [`Self::Listed`], for who wants to know which steps there are and asks for none.
    Steps,
}

/// What weights there are, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    depth: Depth,
    found: BTreeMap<u64, Found>,
    /// Names of all tensors in the order of the model, and whether training can change them.
    order: Vec<(String, bool)>,
    frozen: BTreeMap<String, NamedTensor>,
    /// Which file of frozen tensors that was.
    frozen_version: Option<Version>,
    /// Good bytes of the log.
    tail: u64,
    /// Where its last good record begins, and how: as long as it does, so does all that was read before.
    last_head: Option<(u64, [u8; HEAD_BYTES])>,
    /// Packs already read.
    packs: BTreeMap<PathBuf, (Version, Arc<Contents>)>,
    /// Sentences about packs that cannot be read.
    damaged: Vec<Error>,
    /// That the log has a whole record that is not what was written; what follows it is lost to a reader. A writer that goes on
    /// cuts the log there.
    broken: Option<Error>,
}

impl Index {
    /// Reads what is in the folder `weights`; what is known already and has not changed is not read again.
    ///
    /// # Errors
    /// When the folder or the frozen tensors cannot be read.
    pub fn read(weights: &Path, known: &Self, depth: Depth) -> Result<Self> {
        let mut index = Self { depth, ..Self::default() };
        if !weights.is_dir() {
            return Ok(index);
        }
        let frozen = weights.join("frozen.safetensors");
        if frozen.exists() && depth != Depth::Steps {
            index.read_frozen(&frozen, known)?;
        }
        index.read_tail(&weights.join("tail.log"), known)?;
        let entries = fs::read_dir(weights).map_err(|e| refused("reading", weights, e))?;
        // A folder in which others put a billion of names is read up to here.
        let entries = entries.take(MOST_PLACES_READ);
        let mut packs: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        packs.retain(|path| range_of(path).is_some());
        packs.sort();
        for path in packs {
            if let Err(e) = index.read_pack(&path, known) {
                index.damaged.push(e);
            }
            index.check_size(weights)?;
        }
        Ok(index)
    }

    /// # Errors
    /// When there is more than memory should hold; `path` is named.
    fn check_size(&self, path: &Path) -> Result<()> {
        let places: usize = self.packs.values().map(|(_, contents)| contents.places.len()).sum();
        // A step of the log takes as much as some tensors, even one without any.
        let steps = self.found.values().map(|found| 4 + found.count);
        if places.max(steps.sum()) > MOST_PLACES_READ || self.damaged.len() > MOST_DAMAGED {
            return Err(Error::input(format!(
                "{}: it is no folder of recorded weights of a run: more than {MOST_PLACES_READ} tensors, or more than {MOST_DAMAGED} damaged packs",
                path.display()
            )));
        }
        Ok(())
    }

    pub fn steps(&self) -> Vec<u64> {
        self.found.keys().copied().collect()
    }

    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// All tensors of a recorded step, in the order of the model.
    ///
    /// # Errors
    /// When the step is not recorded, or its file is damaged or gone.
    pub fn weights(&self, step: u64) -> Result<Weights> {
        let Some(found) = self.found.get(&step) else { return Err(self.not_recorded(step)) };
        let path = &**found.file;
        tensors::check_room(found.places().map(|(_, place)| place), budget::NETWORK_BYTES, path)?;
        let tensors = if found.prefix.is_empty() {
            self.of_log(step, found)?
        } else {
            self.of_pack(step, found)?
        };
        self.in_order(step, tensors, path)
    }

    /// The trained tensors of a record of the log: what is checked are the bytes that are used, for somebody may be writing there.
    fn of_log(&self, step: u64, found: &Found) -> Result<BTreeMap<String, NamedTensor>> {
        let path = &**found.file;
        let (mut file, length) = open(path)?;
        let begin = found.at - HEAD;
        let head = head(&mut file, begin, length).map_err(|e| refused("reading", path, e))?;
        let Some((_, head)) = head.filter(|(_, head)| head.step == step) else {
            return Err(moved(step, path));
        };
        let mut record = Summed::new(file, step);
        let read = tensors::all(&mut record, head.size, budget::NETWORK_BYTES, path);
        let left = head.size.saturating_sub(record.at);
        let rest = io::copy(&mut record.by_ref().take(left), &mut io::sink());
        rest.map_err(|e| refused("reading", path, e))?;
        // What is not what was written may be anything: that is said, and nothing of what it seems to be.
        if record.hasher.finalize() != head.sum {
            return Err(Error::input(format!(
                "{}: the weights of step {step} are damaged or not wholly there: their checksum is wrong. Look at another step, or at this one again when it was written",
                path.display()
            )));
        }
        Ok(read?.0.into_iter().map(|tensor| (tensor.name.to_string(), tensor)).collect())
    }

    /// The trained tensors of a step in a pack, which is replaced as a whole and never written in.
    fn of_pack(&self, step: u64, found: &Found) -> Result<BTreeMap<String, NamedTensor>> {
        let path = &**found.file;
        let (mut file, _) = open(path)?;
        let version = Version::of(&file).map_err(|e| refused("reading", path, e))?;
        if self.packs.get(path).is_none_or(|(known, _)| *known != version) {
            return Err(moved(step, path));
        }
        let mut tensors = BTreeMap::new();
        for (name, place) in found.places() {
            let data = tensors::numbers(&mut file, &found.contents, place, path)?;
            let tensor =
                NamedTensor { name: name.into(), shape: place.shape.clone(), data, trained: true };
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(tensors)
    }

    fn in_order(
        &self,
        step: u64,
        mut trained: BTreeMap<String, NamedTensor>,
        path: &Path,
    ) -> Result<Weights> {
        let mut all = Vec::new();
        for (name, is_trained) in &self.order {
            let tensor = if *is_trained {
                trained.remove(name.as_str())
            } else {
                self.frozen.get(name).cloned()
            };
            all.push(tensor.ok_or_else(|| {
                Error::input(format!("{}: step {step} lacks the tensor {name}", path.display()))
            })?);
        }
        Ok(Weights::new(step, all))
    }

    fn not_recorded(&self, step: u64) -> Error {
        let before = self.found.range(..step).next_back().map(|(s, _)| *s);
        let after = self.found.range(step..).next().map(|(s, _)| *s);
        let near: Vec<String> =
            [before, after].into_iter().flatten().map(|s| s.to_string()).collect();
        let near = match near.len() {
            0 => "no step of this run has".to_owned(),
            _ => format!("the nearest with weights: {}", near.join(" and ")),
        };
        Error::usage(format!("step {step} has no recorded weights; {near}"))
    }

    fn read_frozen(&mut self, path: &Path, known: &Self) -> Result<()> {
        let (mut file, length) = open(path)?;
        let version = Version::of(&file).map_err(|e| refused("reading", path, e))?;
        self.frozen_version = Some(version);
        if known.frozen_version == Some(version) {
            self.order.clone_from(&known.order);
            self.frozen.clone_from(&known.frozen);
            return Ok(());
        }
        let (tensors, note) = tensors::all(&mut file, length, budget::NETWORK_BYTES, path)?;
        let order = note.as_deref().and_then(|note| serde_json::from_str(note).ok());
        self.order = order.ok_or_else(|| {
            Error::input(format!("{}: the list of all tensors is missing", path.display()))
        })?;
        let mut names = BTreeSet::new();
        if let Some((name, _)) = self.order.iter().find(|(name, _)| !names.insert(name)) {
            return Err(Error::input(format!(
                "{}: its list of all tensors names {name} twice",
                path.display()
            )));
        }
        let frozen = tensors.into_iter().map(|tensor| NamedTensor { trained: false, ..tensor });
        self.frozen = frozen.map(|tensor| (tensor.name.to_string(), tensor)).collect();
        Ok(())
    }

    /// Reads the records of the log up to the first that is cut short or damaged, from where it was read to before.
    fn read_tail(&mut self, path: &Path, known: &Self) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let (mut file, length) = open(path)?;
        self.take_over(&mut file, length, known).map_err(|e| refused("reading", path, e))?;
        self.read_log(file, length, path)
    }

    /// The sentences about what cannot be read, once.
    pub fn take_damaged(&mut self) -> Vec<Error> {
        let mut all = std::mem::take(&mut self.damaged);
        all.extend(self.broken.take());
        all
    }

    /// Takes over what is known of a log that has only grown since.
    fn take_over(&mut self, log: &mut File, length: u64, known: &Self) -> io::Result<()> {
        let Some((at, head)) = known.last_head.filter(|_| known.tail <= length) else {
            return Ok(());
        };
        let mut there = [0; HEAD_BYTES];
        log.seek(SeekFrom::Start(at))?;
        log.read_exact(&mut there)?;
        // Emptied and filled again, it has another step there. What was only listed is no proof of what is to be checked.
        if there != head || known.depth != self.depth {
            return Ok(());
        }
        let is_of_log = |found: &Found| found.prefix.is_empty() && found.at <= known.tail;
        let found = known.found.iter().filter(|(_, found)| is_of_log(found));
        self.found = found.map(|(step, found)| (*step, found.clone())).collect();
        (self.tail, self.last_head) = (known.tail, known.last_head);
        Ok(())
    }

    /// As [`Self::read_tail`], of a log of `length` bytes that lies anywhere; `path` is its name.
    fn read_log(&mut self, mut log: impl Read + Seek, length: u64, path: &Path) -> Result<()> {
        let shared = Arc::new(path.to_owned());
        let mut places: usize = self.found.values().map(|found| 4 + found.count).sum();
        let refused = |e: io::Error| refused("reading", path, e);
        while let Some((bytes, head)) = head(&mut log, self.tail, length).map_err(refused)? {
            let at = self.tail + HEAD;
            let checked = self.depth == Depth::Checked;
            if checked && !is_whole(&mut log, &head).map_err(refused)? {
                self.broken = Some(broken(path, self.tail, length));
                break;
            }
            let contents = tensors::contents(Window { source: &mut log, at }, head.size, path);
            let contents = match contents {
                // It may still be on its way.
                Err(_) if !checked => break,
                contents => contents?,
            };
            places += 4 + contents.places.len();
            if places > MOST_PLACES_READ {
                return self.check_size(path);
            }
            let found = Found {
                file: shared.clone(),
                at,
                count: contents.places.len(),
                contents: Arc::new(contents),
                prefix: String::new(),
            };
            self.found.insert(head.step, found);
            self.last_head = Some((self.tail, bytes));
            self.tail = at + head.size;
        }
        Ok(())
    }

    fn read_pack(&mut self, path: &Path, known: &Self) -> Result<()> {
        let (mut file, length) = open(path)?;
        let version = Version::of(&file).map_err(|e| refused("reading", path, e))?;
        let contents = match known.packs.get(path) {
            Some((v, contents)) if *v == version => contents.clone(),
            _ => Arc::new(tensors::contents(&mut file, length, path)?),
        };
        let (_, last) = range_of(path).unwrap_or_default();
        if last > budget::MOST_STEP {
            return Err(Error::input(format!(
                "{}: its name says step {last}, and no run is as long",
                path.display()
            )));
        }
        let shared = Arc::new(path.to_owned());
        for place in &contents.places {
            let Some(step) = place.name.split_once('/').and_then(|(s, _)| s.parse().ok()) else {
                continue;
            };
            if step > last {
                continue;
            }
            let found = self.found.entry(step).or_insert_with(|| Found {
                file: shared.clone(),
                at: 0,
                contents: contents.clone(),
                prefix: format!("{step}/"),
                count: 0,
            });
            // A step of the log has all its tensors there.
            found.count += usize::from(!found.prefix.is_empty());
        }
        self.packs.insert(path.to_owned(), (version, contents));
        Ok(())
    }
}

fn broken(path: &Path, at: u64, length: u64) -> Error {
    Error::input(format!(
        "{}: the record at byte {at} is damaged, so it and what follows, {} bytes, are left out: the steps after the last one shown have no weights. Put the file back from a copy if there is one",
        path.display(),
        length - at
    ))
}

/// The writing side.
pub(super) struct Store {
    folder: PathBuf,
    tail: Append,
    index: Index,
    pub budget_bytes: u64,
    /// Steps that thinning left, if it happened since this was last taken.
    pub thinned: Option<Vec<u64>>,
}

impl Store {
    /// Opens the weights of a run for writing and drops every step after `last`.
    ///
    /// # Errors
    /// When the system refuses, or what is there is damaged.
    pub fn open(folder: PathBuf, budget_bytes: u64, last: Option<u64>) -> Result<Self> {
        refuse_link(&folder)?;
        fs::create_dir_all(&folder).map_err(|e| refused("making", &folder, e))?;
        let index = Index::read(&folder, &Index::default(), Depth::Checked)?;
        if let Some(e) = index.damaged.first() {
            return Err(e.clone());
        }
        let tail = Append::open(folder.join("tail.log"), index.tail)?;
        let mut store = Self { folder, tail, index, budget_bytes, thinned: None };
        if store.index.found.keys().any(|step| last.is_none_or(|last| *step > last)) {
            let keep = store.index.steps().into_iter().filter(|s| last.is_some_and(|l| *s <= l));
            let keep: Vec<u64> = keep.collect();
            store.rewrite(&keep)?;
        }
        Ok(store)
    }

    pub fn steps(&self) -> Vec<u64> {
        self.index.steps()
    }

    pub fn sync(&self) -> Result<()> {
        self.tail.sync()
    }

    /// Records the trained tensors of a step; `marked` are steps that thinning leaves alone.
    ///
    /// # Errors
    /// When the system refuses; it can be tried again.
    pub fn add(&mut self, weights: &Weights, marked: &[u64]) -> Result<()> {
        if self.index.order.is_empty() {
            self.write_frozen(weights)?;
        }
        if !self.index.found.contains_key(&weights.step) {
            self.append(weights)?;
        }
        let in_tail = self.index.found.values().filter(|f| f.prefix.is_empty()).count();
        if in_tail >= PACK_STEPS || self.tail.len() >= PACK_BYTES {
            self.rewrite(&self.steps())?;
        }
        while self.is_full() && self.thin(marked)? {}
        Ok(())
    }

    /// Whether more is recorded than disk or memory should hold.
    fn is_full(&self) -> bool {
        let places: usize = self.index.found.values().map(|found| found.count).sum();
        self.bytes() > self.budget_bytes || places > MOST_PLACES
    }

    fn append(&mut self, weights: &Weights) -> Result<()> {
        let trained = weights.tensors.iter().filter(|t| t.trained);
        let bytes = tensors::encode(trained.map(|t| (t.name.to_string(), t)), None);
        let at = self.tail.len() + HEAD;
        let length = u32::try_from(bytes.len()).map_err(|_| {
            Error::internal("the trained tensors of a step take more than 4 GB: too many to record")
        })?;
        let mut record = length.to_le_bytes().to_vec();
        record.extend(checksum(weights.step, &bytes).to_le_bytes());
        record.extend(weights.step.to_le_bytes());
        record.extend_from_slice(&bytes);
        self.tail.write(&record)?;
        let path = self.folder.join("tail.log");
        let contents = tensors::contents(Cursor::new(&bytes), bytes.len() as u64, &path)?;
        let found = Found {
            file: Arc::new(path),
            at,
            count: contents.places.len(),
            contents: Arc::new(contents),
            prefix: String::new(),
        };
        self.index.found.insert(weights.step, found);
        Ok(())
    }

    fn write_frozen(&mut self, weights: &Weights) -> Result<()> {
        let order: Vec<(String, bool)> =
            weights.tensors.iter().map(|t| (t.name.to_string(), t.trained)).collect();
        let note = serde_json::to_string(&order).map_err(Error::internal_of)?;
        let frozen: Vec<&NamedTensor> = weights.tensors.iter().filter(|t| !t.trained).collect();
        let bytes = tensors::encode(frozen.iter().map(|t| (t.name.to_string(), *t)), Some(&note));
        disk::replace_bytes(&self.folder.join("frozen.safetensors"), &bytes)?;
        self.index.order = order;
        self.index.frozen = frozen.into_iter().map(|t| (t.name.to_string(), t.clone())).collect();
        Ok(())
    }

    /// Every second recorded step goes; the first, the last and marked ones stay. False when none could go.
    fn thin(&mut self, marked: &[u64]) -> Result<bool> {
        let steps = self.steps();
        let last = steps.len().saturating_sub(1);
        let keep: Vec<u64> = steps
            .iter()
            .enumerate()
            .filter(|(i, step)| i % 2 == 0 || *i == last || marked.contains(step))
            .map(|(_, step)| *step)
            .collect();
        if keep.len() == steps.len() {
            return Ok(false);
        }
        self.rewrite(&keep)?;
        self.thinned = Some(keep);
        Ok(true)
    }

    /// Brings the steps to keep into packs and empties the log. A pack is written beside the old ones and put in
    /// place whole, then those that it replaces are removed: a kill in between leaves some steps twice, never
    /// fewer.
    fn rewrite(&mut self, keep: &[u64]) -> Result<()> {
        let packs: Vec<PathBuf> = self.index.packs.keys().cloned().collect();
        let (mut used, mut written) = (Vec::new(), Vec::new());
        for group in self.groups(keep) {
            let path = self.folder.join(pack_name(group));
            used.push(path.clone());
            let whole = group
                .iter()
                .all(|step| self.index.found.get(step).is_some_and(|f| **f.file == path));
            let known = self.index.packs.get(&path);
            if whole && known.is_some_and(|(_, contents)| steps_in(contents) == group.len()) {
                continue;
            }
            disk::replace(&path, |file| self.write_pack(file, group, &path))?;
            written.push(path);
        }
        for path in packs.iter().filter(|path| !used.contains(path)) {
            fs::remove_file(path).map_err(|e| refused("removing", path, e))?;
        }
        self.tail.cut(0)?;
        let mut known = std::mem::take(&mut self.index);
        // Where the system does not tell one file from another, a new pack may have the name and the length of an old one.
        known.packs.retain(|path, _| !written.contains(path));
        self.index = Index::read(&self.folder, &known, Depth::Checked)?;
        Ok(())
    }

    /// The steps of each pack: those of a whole pack stay together, so that growing a run rewrites nothing old.
    fn groups<'a>(&self, keep: &'a [u64]) -> Vec<&'a [u64]> {
        let size = |step: &u64| -> u64 {
            let found = self.index.found.get(step);
            found.map_or(0, |f| f.places().map(|(_, p)| p.to - p.from).sum())
        };
        let each = keep.first().map_or(1, size).max(1);
        let most = usize::try_from(PACK_BYTES / each).unwrap_or(1).clamp(1, PACK_STEPS);
        keep.chunks(most).collect()
    }

    fn write_pack(&self, file: &mut File, steps: &[u64], path: &Path) -> Result<()> {
        let io = |e: io::Error| refused("writing", path, e);
        let (mut places, mut sources, mut at) = (Vec::new(), Vec::new(), 0);
        for step in steps {
            let Some(found) = self.index.found.get(step) else { continue };
            for (name, place) in found.places() {
                let length = place.to - place.from;
                places.push(Place {
                    name: format!("{step}/{name}"),
                    shape: place.shape.clone(),
                    dtype: place.dtype,
                    from: at,
                    to: at + length,
                });
                at += length;
                sources.push((found, found.at + found.contents.data_at + place.from, length));
            }
        }
        let mut out = BufWriter::new(file);
        out.write_all(&tensors::header(&places, &[])).map_err(io)?;
        let mut open: Option<(Arc<PathBuf>, File)> = None;
        for (found, from, length) in sources {
            let mut input = match open.take() {
                Some((path, input)) if path == found.file => input,
                _ => File::open(&**found.file).map_err(|e| refused("reading", &found.file, e))?,
            };
            input.seek(SeekFrom::Start(from)).map_err(io)?;
            let copied = io::copy(&mut (&input).take(length), &mut out).map_err(io)?;
            if copied != length {
                return Err(Error::input(format!("{} is cut short", found.file.display())));
            }
            open = Some((found.file.clone(), input));
        }
        out.flush().map_err(io)
    }

    fn bytes(&self) -> u64 {
        self.tail.len() + self.index.packs.values().map(|(version, _)| version.length).sum::<u64>()
    }
}

/// A file seen from some place on.
struct Window<R> {
    source: R,
    at: u64,
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

impl<R: Seek> Seek for Window<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(from) => SeekFrom::Start(self.at.saturating_add(from)),
            SeekFrom::Current(_) | SeekFrom::End(_) => to,
        };
        Ok(self.source.seek(to)?.saturating_sub(self.at))
    }
}

/// What stands before a record of the log.
struct Head {
    step: u64,
    /// Bytes of its tensors.
    size: u64,
    sum: u32,
}

/// The head at `at`, its bytes with it; `None` when it or its record is cut short, or the record is larger than any network.
fn head(
    log: &mut (impl Read + Seek),
    at: u64,
    length: u64,
) -> io::Result<Option<([u8; HEAD_BYTES], Head)>> {
    let rest = length.saturating_sub(at);
    if rest < HEAD {
        return Ok(None);
    }
    log.seek(SeekFrom::Start(at))?;
    let mut bytes = [0; HEAD_BYTES];
    log.read_exact(&mut bytes)?;
    let [a, b, c, d, e, f, g, h, step @ ..] = bytes;
    let (size, sum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let (step, size) = (u64::from_le_bytes(step), u64::from(size));
    let is_possible = rest - HEAD >= size && size <= MOST_RECORD_BYTES && step <= budget::MOST_STEP;
    Ok(is_possible.then_some((bytes, Head { step, size, sum })))
}

/// Whether the record whose head was just read is what was written. No more of it is in memory than a piece.
fn is_whole(log: &mut impl Read, head: &Head) -> io::Result<bool> {
    const PIECE: usize = 1 << 16;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head.step.to_le_bytes());
    let mut piece = vec![0; PIECE.min(usize::try_from(head.size).unwrap_or(PIECE))];
    let mut left = head.size;
    while left > 0 {
        let now = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
        log.read_exact(&mut piece[..now])?;
        hasher.update(&piece[..now]);
        left -= now as u64;
    }
    Ok(hasher.finalize() == head.sum)
}

fn moved(step: u64, path: &Path) -> Error {
    Error::input(format!(
        "{}: step {step} is no longer where it was; open the run again",
        path.display()
    ))
}

/// A record read once from its first byte to its last, and the checksum of what was read.
struct Summed<R> {
    source: R,
    at: u64,
    hasher: crc32fast::Hasher,
}

impl<R> Summed<R> {
    fn new(source: R, step: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&step.to_le_bytes());
        Self { source, at: 0, hasher }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

impl<R> Seek for Summed<R> {
    /// To where it is already: nothing is left out, and nothing read twice.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) if at == self.at => Ok(at),
            SeekFrom::Start(_) | SeekFrom::Current(_) | SeekFrom::End(_) => {
                Err(io::Error::from(io::ErrorKind::NotSeekable))
            }
        }
    }
}

/// Steps of a log of recorded weights that is in memory, with the number of tensors of each; `origin` stands in messages. What
/// is cut short or damaged at its end is left out.
///
/// # Errors
/// When a whole record is no file of tensors.
pub fn read_log(bytes: &[u8], origin: &Path) -> Result<Vec<(u64, usize)>> {
    let mut index = Index::default();
    index.read_log(Cursor::new(bytes), bytes.len() as u64, origin)?;
    Ok(index.found.iter().map(|(step, found)| (*step, found.count)).collect())
}

fn checksum(step: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&step.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn pack_name(steps: &[u64]) -> String {
    let (first, last) = (steps.first().unwrap_or(&0), steps.last().unwrap_or(&0));
    format!("{first:08}-{last:08}.safetensors")
}

/// Whether a file of this name is one of those in the folder.
pub(super) fn is_written(name: &str) -> bool {
    ["frozen.safetensors", "tail.log"].contains(&name) || range_of(Path::new(name)).is_some()
}

/// First and last step of a pack, from its name.
fn range_of(path: &Path) -> Option<(u64, u64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    let (first, last) = name.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn steps_in(contents: &Contents) -> usize {
    let mut steps: Vec<&str> =
        contents.places.iter().filter_map(|p| Some(p.name.split_once('/')?.0)).collect();
    steps.dedup();
    steps.len()
}
