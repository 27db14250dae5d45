//! The folder of a network of another program: `config.json` and tensors in one safetensors file or in several. Only headers are read
//! when it is opened; nothing is mapped into memory, and nothing is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::vocab::labelled;
use crate::base::weights::{RawTensor, TensorFile};
use crate::formats::foreign;
use crate::formats::safetensors::{self, Contents, Place};

use super::disk::{Version, open_file, read_text, refused};
use super::series;

/// Longest `config.json`, and longest list of the files of a network.
pub(super) const MOST_CONFIG_BYTES: u64 = 1 << 20;
const MOST_INDEX_BYTES: u64 = 16 << 20;
/// Most files of one network.
const MOST_SHARDS: usize = 256;
pub(super) const CONFIG: &str = "config.json";
const WHOLE: &str = "model.safetensors";
/// The same in the spelling of `HookedTransformer`, as `mnemoscope export --to hooked` writes it.
const HOOKED: &str = "hooked.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Says that a folder holds a change of a network, whatever else lies in it.
const ADAPTER: &str = "adapter_config.json";

/// A network of another program, opened.
pub struct ModelFolder {
    pub folder: PathBuf,
    /// The text of `config.json`.
    pub config: String,
    /// Updates of training that the network has seen, where `config.json` says so; else 0.
    pub step: u64,
    /// Where the files lie, how long they are and when they were written.
    identity: String,
    shards: Vec<Shard>,
    /// Of which shard a tensor is, and which of its tensors.
    at: BTreeMap<String, (usize, usize)>,
}

/// One file of tensors.
struct Shard {
    path: PathBuf,
    contents: Contents,
    version: Version,
    /// None where it was closed again.
    file: Option<Mutex<File>>,
}

impl Shard {
    fn rows(&self, place: &Place, rows: &[Range<usize>]) -> Result<RawTensor> {
        let Some(file) = &self.file else {
            return self.rows_of(&mut open_file(&self.path)?.0, place, rows);
        };
        // A panic while the file was read leaves it where it was; every reading seeks first.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        self.rows_of(&mut file, place, rows)
    }

    fn rows_of(&self, file: &mut File, place: &Place, rows: &[Range<usize>]) -> Result<RawTensor> {
        self.check_same(file)?;
        safetensors::rows(file, &self.contents, place, rows, &self.path)
    }

    /// That the file is still the one whose header was read.
    fn check_same(&self, file: &File) -> Result<()> {
        let version = Version::of(file).map_err(|e| refused("reading", &self.path, e))?;
        if version == self.version {
            return Ok(());
        }
        Err(Error::input(format!(
            "{} was written anew since it was opened; open its step once more",
            self.path.display()
        )))
    }
}

/// Whether a folder looks like that of a network of another program, or of a series of its checkpoints.
pub fn is_model(folder: &Path) -> bool {
    is_network(folder) || series::is_series(folder)
}

/// Whether a folder holds a network of another program itself, and its tensors too.
pub fn is_whole(folder: &Path) -> bool {
    is_network(folder) && has_tensors(folder)
}

/// Whether its `config.json` says of which kind the network is, or how large; or tensors lie beside it, whatever it says: then what is wrong
/// with it is to be told.
fn is_network(folder: &Path) -> bool {
    let path = folder.join(CONFIG);
    if !path.is_file() || super::is_run(folder) {
        return false;
    }
    let config = read_text(&path, MOST_CONFIG_BYTES).ok().and_then(|text| json::parse(&text).ok());
    let says =
        |config: Value| ["model_type", "d_model"].iter().any(|key| config.get(key).is_some());
    config.is_some_and(says) || has_tensors(folder)
}

fn has_tensors(folder: &Path) -> bool {
    [WHOLE, HOOKED, INDEX].iter().any(|name| folder.join(name).exists())
}

impl ModelFolder {
    /// # Errors
    /// When the folder holds no network in the safetensors format, or a damaged one; the sentence says how to convert what is there.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = folder.join(CONFIG);
        let names = shards(folder)?;
        let config = read_text(&config, MOST_CONFIG_BYTES)?;
        let mut opened = Self {
            folder: folder.to_owned(),
            step: step_of(&config),
            config,
            identity: folder.display().to_string(),
            shards: Vec::new(),
            at: BTreeMap::new(),
        };
        for name in &names.files {
            opened.add(folder, name)?;
        }
        opened.check(&names)?;
        Ok(opened)
    }

    fn add(&mut self, folder: &Path, name: &str) -> Result<()> {
        let path = inside(folder, name)?;
        let (mut file, length) = open_file(&path)?;
        let written = file.metadata().and_then(|data| data.modified());
        let version = Version::of(&file).map_err(|e| refused("reading", &path, e))?;
        self.identity.push_str(&format!(" {name} {length} {written:?}"));
        let contents = safetensors::contents_of_any(&mut file, length, &path)?;
        for (i, place) in contents.places.iter().enumerate() {
            if self.at.insert(place.name.clone(), (self.shards.len(), i)).is_some() {
                return Err(Error::input(format!(
                    "{}: the tensor {} is in another file of this network too; expected each of them once",
                    path.display(),
                    one_line(&place.name)
                )));
            }
        }
        self.shards.push(Shard { path, contents, version, file: Some(Mutex::new(file)) });
        Ok(())
    }

    /// That all tensors of the list are there, and no others.
    fn check(&self, names: &Shards) -> Result<()> {
        let Some(listed) = &names.tensors else { return Ok(()) };
        for (tensor, file) in listed {
            let there = self.at.get(tensor).map(|(shard, _)| &self.shards[*shard].path);
            if there.is_none_or(|path| !path.ends_with(file)) {
                return Err(Error::input(format!(
                    "{}: it says that the tensor {} is in {}, where there is none; get the files of this network anew",
                    self.folder.join(INDEX).display(),
                    one_line(tensor),
                    one_line(file)
                )));
            }
        }
        Ok(())
    }

    /// Closes its files. Each is opened again where it is read, and refused where it is another by then.
    pub fn let_go(mut self) -> Self {
        for shard in &mut self.shards {
            shard.file = None;
        }
        self
    }

    fn place(&self, name: &str) -> Option<(&Shard, &Place)> {
        let (shard, place) = self.at.get(name)?;
        let shard = &self.shards[*shard];
        Some((shard, &shard.contents.places[*place]))
    }

    /// Bytes of all tensors that hold numbers of a network.
    pub fn bytes(&self) -> u64 {
        let places = self.shards.iter().flat_map(|shard| &shard.contents.places);
        places.filter(|p| p.dtype.is_some()).map(|p| p.to - p.from).sum()
    }
}

impl TensorFile for ModelFolder {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.place(name).map(|(_, place)| &*place.shape)
    }

    fn names(&self) -> Vec<&str> {
        self.at.keys().map(String::as_str).collect()
    }

    fn rows(&self, name: &str, rows: &[Range<usize>]) -> Result<RawTensor> {
        let (shard, place) = self.place(name).ok_or_else(|| {
            Error::input(format!("{} has no tensor {name}", self.folder.display()))
        })?;
        shard.rows(place, rows)
    }
}

/// The step that a configuration names.
fn step_of(config: &str) -> u64 {
    let config = json::parse(config).ok();
    config.and_then(|config| config.get("step")?.as_u64()).unwrap_or(0).min(budget::MOST_STEP)
}

/// The files of a network.
struct Shards {
    files: Vec<String>,
    /// Which tensor is in which file, where a list says so.
    tensors: Option<Vec<(String, String)>>,
}

/// A name that others gave, with a visible sign for each that is not seen: a line end in it begins no line.
fn one_line(name: &str) -> Cow<'_, str> {
    labelled(name, |c| c == ' ')
}

fn shards(folder: &Path) -> Result<Shards> {
    let has = |name: &str| folder.join(name).exists();
    let whole = [WHOLE, HOOKED].into_iter().find(|name| has(name));
    if let Some(whole) = whole.filter(|_| !has(ADAPTER)) {
        return Ok(Shards { files: vec![whole.to_owned()], tensors: None });
    }
    if has(INDEX) && !has(ADAPTER) {
        return indexed(&folder.join(INDEX));
    }
    Err(foreign::refusal_of_folder(folder).unwrap_or_else(|| no_tensors(folder)))
}

/// What is wrong with a folder in which no tensors were found.
fn no_tensors(folder: &Path) -> Error {
    let names = foreign::names(folder);
    let tensors = names.iter().find(|name| name.ends_with(".safetensors"));
    let is_described = folder.join(CONFIG).is_file();
    let there = match (tensors, is_described) {
        _ if !folder.is_dir() => "is no folder".to_owned(),
        _ if names.is_empty() => "is empty".to_owned(),
        (Some(tensors), _) => format!("holds {tensors:?} and no file of a name that is read"),
        (None, true) => format!("holds a {CONFIG} and no tensors"),
        (None, false) => format!("holds no {CONFIG} and no tensors"),
    };
    Error::input(format!(
        "{} {there}: expected {}{WHOLE}, or {INDEX} and the files that it names",
        folder.display(),
        if is_described { String::new() } else { format!("{CONFIG} and ") }
    ))
}

/// What is wrong with a folder that holds part of a network of another program, or all of it in files that are not read; none where it
/// is nothing of the kind.
pub(super) fn refusal(folder: &Path) -> Option<Error> {
    let names = foreign::names(folder);
    let is_part = |name: &&String| {
        *name == HOOKED || name.starts_with("model") && name.ends_with(".safetensors")
    };
    let is_other = [ADAPTER, CONFIG].iter().any(|name| folder.join(name).exists());
    let Some(tensors) = names.iter().find(is_part).filter(|_| !is_other) else {
        return foreign::refusal_of_folder(folder);
    };
    Some(Error::input(format!(
        "{} holds {tensors:?} and no {CONFIG}, which says how the network is wired. Take {CONFIG} (and tokenizer.json, which reads text) from where {tensors:?} comes from, and put it beside it",
        folder.display()
    )))
}

/// What `model.safetensors.index.json` lists.
fn indexed(path: &Path) -> Result<Shards> {
    let (files, tensors) =
        read_index(&read_text(path, MOST_INDEX_BYTES)?).map_err(|e| e.context(path.display()))?;
    Ok(Shards { files, tensors: Some(tensors) })
}

/// Files of a list of tensors, and which tensor is in which of them.
type Listed = (Vec<String>, Vec<(String, String)>);

/// Reads the list of the files of a network.
///
/// # Errors
/// When it is no such list.
pub fn read_index(text: &str) -> Result<Listed> {
    let wrong = |why: String| Error::input(why);
    let index = json::parse(text).map_err(|e| wrong(format!("no JSON: {e}")).caused_by(e))?;
    let Some(Value::Object(map)) = index.get("weight_map") else {
        return Err(wrong("expected an object \"weight_map\", from tensors to files".to_owned()));
    };
    let mut tensors = Vec::with_capacity(map.len());
    for (tensor, file) in map {
        let Some(file) = file.as_str() else {
            return Err(wrong(format!("the file of the tensor {} is no text", one_line(tensor))));
        };
        tensors.push((tensor.clone(), file.to_owned()));
    }
    let mut files: Vec<String> = tensors.iter().map(|(_, file)| file.clone()).collect();
    files.sort();
    files.dedup();
    if files.is_empty() || files.len() > MOST_SHARDS {
        return Err(wrong(format!("it names {} files, expected 1 to {MOST_SHARDS}", files.len())));
    }
    Ok((files, tensors))
}

/// The path of a file of a network: it lies in its folder. A link may lead to another place below the folder of the cache that both
/// are in (`models--…`), as Hugging Face's cache has them.
fn inside(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut parts = Path::new(name).components();
    let is_plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    let outside = || {
        Error::input(format!(
            "{} names the file {name:?}, which lies outside of it; expected plain names of files in the folder",
            folder.display()
        ))
    };
    if !is_plain || name.contains(['/', '\\']) {
        return Err(outside());
    }
    let (Ok(whole), Ok(place)) = (path.canonicalize(), folder.canonicalize()) else {
        return Err(Error::input(format!(
            "{} is missing, and the network is not whole without it; get its files anew",
            one_line(&path.display().to_string())
        )));
    };
    let is_cache = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("models--"))
    };
    let room = place.ancestors().find(is_cache).unwrap_or(&place);
    if whole.starts_with(room) { Ok(path) } else { Err(outside()) }
}
