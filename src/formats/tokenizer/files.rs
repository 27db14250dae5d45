//! Which files of a folder are its tokenizer, read within bounds.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::gpt2;
use crate::base::error::{Error, Result, reason};
use crate::base::json;
use crate::formats::file::{is_there, read_text, without_mark};

/// Longest file of a tokenizer: twice the longest that is known.
const MOST_BYTES: u64 = 64 << 20;
/// Longest file of settings beside it.
const MOST_SETTINGS_BYTES: u64 = 16 << 20;

/// A tokenizer, where it lies and what stands there.
pub enum Found {
    /// A `tokenizer.json`, or what one would be that does the same.
    Document(PathBuf, Vec<u8>),
    /// Texts of tokens as JSON.
    List(PathBuf, String),
}

/// Tokenizers that are known and not read, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("tokenizer.model", SENTENCE_PIECE),
    ("spiece.model", SENTENCE_PIECE),
    (
        "meta.pkl",
        "is a pickle, as nanoGPT writes it: to read one is to run what it says, so this program reads none. Write its characters as chars.json, in Python: import json, pickle; itos = pickle.load(open(\"meta.pkl\", \"rb\"))[\"itos\"]; json.dump([itos[i] for i in range(len(itos))], open(\"chars.json\", \"w\"))",
    ),
];

const SENTENCE_PIECE: &str = "is a model of SentencePiece, which this program does not read. Write it as tokenizer.json, in Python: from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(folder).save_pretrained(folder)";

/// The tokenizer of a folder. What has the name of one and is no file is refused, and not read over.
pub fn find(folder: &Path) -> Result<Option<Found>> {
    let there = |name: &str| Some(folder.join(name)).filter(|path| is_there(path));
    if let Some(path) = there("tokenizer.json") {
        let bytes = read(&path, MOST_BYTES)?;
        return Ok(Some(Found::Document(path, without_mark(&bytes).to_vec())));
    }
    if let Some(path) = there("vocab.json") {
        let document = gpt2::document(folder)?;
        return Ok(Some(Found::Document(path, document)));
    }
    if let Some(path) = there("chars.json").or_else(|| there("tokens.json")) {
        let text = read_text(&path, MOST_BYTES)?;
        return Ok(Some(Found::List(path, text)));
    }
    let refused = REFUSED.iter().find_map(|(name, why)| Some((there(name)?, why)));
    match refused {
        Some((path, why)) => Err(Error::input(format!("{} {why}", path.display()))),
        None => Ok(None),
    }
}

/// What `tokenizer_config.json` says; nothing where there is none.
pub fn settings(folder: &Path) -> Result<Value> {
    read_json(&folder.join("tokenizer_config.json"))
}

/// What `config.json` says; nothing where it says nothing, because who opens the network says what is wrong with it.
pub fn config(folder: &Path) -> Value {
    read_json(&folder.join("config.json")).unwrap_or_default()
}

/// A file of settings; nothing where there is none.
pub fn read_json(path: &Path) -> Result<Value> {
    if !is_there(path) {
        return Ok(Value::Null);
    }
    json::parse(&read_text(path, MOST_SETTINGS_BYTES)?).map_err(|e| {
        let why = format!("{} is no JSON ({e}); take it away, or save it anew", path.display());
        Error::input(why).caused_by(e)
    })
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::input(format!("{} cannot be read: {why}", path.display()))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let refuse = |e: std::io::Error| wrong(path, &reason(&e)).caused_by(e);
    if !fs::metadata(path).map_err(refuse)?.is_file() {
        return Err(wrong(path, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    // A file may be longer than it says.
    File::open(path).map_err(refuse)?.take(most + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > most {
        return Err(wrong(path, &format!("it has more than {most} bytes, which are the most")));
    }
    Ok(bytes)
}

/// The file that belongs to another one.
pub fn beside(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    if !is_there(&path) {
        return Err(Error::input(format!(
            "{} is missing, expected it beside vocab.json; take it from where the network comes from",
            path.display()
        )));
    }
    read_text(&path, MOST_BYTES)
}
