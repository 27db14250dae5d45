//! What a `tokenizer.json` says of itself: of which parts it is made, and how its vocabulary is spelled. What is not known is
//! refused by name, because a tokenizer that does something else gives other tokens and no error.

use serde::Deserialize;
use serde_json::Value;

use super::spelling::Spelling;
use crate::base::error::{Error, Result};

/// Parts of a tokenizer in order, as many as one may have.
const MOST_STEPS: usize = 64;
/// Bytes of what is put in the place of something: a sign for a space is 3.
const MOST_CONTENT_BYTES: usize = 16;

const MODELS: &[&str] = &["BPE", "Unigram", "WordLevel"];
const NORMALIZERS: &[&str] =
    &["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Prepend", "Replace"];
const PRE_TOKENIZERS: &[&str] = &[
    "ByteLevel",
    "Split",
    "Digits",
    "Metaspace",
    "Whitespace",
    "WhitespaceSplit",
    "Punctuation",
    "UnicodeScripts",
];
const DECODERS: &[&str] = &["ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"];

/// The parts of a tokenizer; its vocabulary is left to the library that reads it.
#[derive(Debug, Deserialize)]
pub struct Document {
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

/// A token that is found in a text before the vocabulary is asked.
#[derive(Debug, Deserialize)]
pub struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
}

#[derive(Debug, Deserialize)]
struct Model {
    /// Old files leave it out, and are BPE.
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    byte_fallback: Option<bool>,
}

impl Document {
    /// # Errors
    /// When it is no such file, or has a part that is not known.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let document: Self = serde_json::from_slice(bytes).map_err(|e| {
            Error::input(format!(
                "it is no tokenizer of the library tokenizers ({e}); save it anew, in Python: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            ))
            .caused_by(e)
        })?;
        document.model.check()?;
        document.decoders()?;
        Ok(document)
    }

    /// Steps that change the text, in order.
    pub fn normalizers(&self) -> Result<Vec<&Value>> {
        steps("normalizer", &self.normalizer, NORMALIZERS)
    }

    /// Steps that cut the text into pieces, in order.
    pub fn pre_tokenizers(&self) -> Result<Vec<&Value>> {
        steps("pre_tokenizer", &self.pre_tokenizer, PRE_TOKENIZERS)
    }

    fn decoders(&self) -> Result<Vec<&Value>> {
        let found = steps("decoder", &self.decoder, DECODERS)?;
        match found.iter().find(|step| regex(step).is_some()) {
            None => Ok(found),
            Some(_) => Err(unknown("decoder", "Replace by a regular expression", DECODERS)),
        }
    }

    pub fn spelling(&self) -> Result<Spelling> {
        let (splits, joins) = (self.pre_tokenizers()?, self.decoders()?);
        let all = || splits.iter().chain(&joins);
        let has = |kind| all().any(|step| is_kind(step, kind));
        Ok(Spelling {
            by_letters: has("ByteLevel"),
            space: all().find_map(|step| sign_of_space(step)).map(str::to_owned),
            by_numbers: self.model.byte_fallback == Some(true) || has("ByteFallback"),
        })
    }
}

impl Model {
    fn check(&self) -> Result<()> {
        let kind = self.kind.as_deref().unwrap_or("BPE");
        if !MODELS.contains(&kind) {
            return Err(unknown("model", kind, MODELS));
        }
        if self.dropout.is_some_and(|dropout| dropout != 0.0) {
            return Err(unknown("model", "BPE with dropout, whose tokens are random", MODELS));
        }
        let marks = [&self.continuing_subword_prefix, &self.end_of_word_suffix];
        match marks.into_iter().flatten().find(|mark| !mark.is_empty()) {
            None => Ok(()),
            Some(mark) => Err(unknown("model", &format!("words with the mark {mark}"), MODELS)),
        }
    }
}

fn unknown(part: &str, kind: &str, known: &[&str]) -> Error {
    Error::input(format!(
        "its {part} is {kind}, expected one of {}; this tokenizer is not read: give prompts as ids, or take a network with another",
        known.join(", ")
    ))
}

/// The steps of a part, with those of sequences in their places.
fn steps<'a>(part: &str, value: &'a Value, known: &[&str]) -> Result<Vec<&'a Value>> {
    let mut found = Vec::new();
    collect(part, value, known, &mut found)?;
    if found.len() > MOST_STEPS {
        return Err(unknown(part, &format!("a sequence of {} steps", found.len()), known));
    }
    Ok(found)
}

fn collect<'a>(
    part: &str,
    value: &'a Value,
    known: &[&str],
    into: &mut Vec<&'a Value>,
) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    let kind = value["type"].as_str().unwrap_or("of no type");
    let inner = ["normalizers", "pretokenizers", "decoders"];
    let inner = inner.iter().find_map(|name| value[*name].as_array());
    match inner.filter(|_| kind == "Sequence") {
        Some(list) => list.iter().try_for_each(|step| collect(part, step, known, into)),
        None if !known.contains(&kind) => Err(unknown(part, kind, known)),
        None if content(value).is_some_and(|text| text.len() > MOST_CONTENT_BYTES) => Err(unknown(
            part,
            &format!("{kind} with more than {MOST_CONTENT_BYTES} bytes for a sign"),
            known,
        )),
        None => {
            into.push(value);
            Ok(())
        }
    }
}

fn is_kind(step: &Value, kind: &str) -> bool {
    step["type"].as_str() == Some(kind)
}

/// What a step puts into the text.
fn content(step: &Value) -> Option<&str> {
    ["content", "prepend", "replacement"].iter().find_map(|name| step[*name].as_str())
}

/// The regular expression of a step.
pub fn regex(step: &Value) -> Option<&str> {
    step["pattern"]["Regex"].as_str()
}

/// What a step takes for a space.
fn sign_of_space(step: &Value) -> Option<&str> {
    if is_kind(step, "Metaspace") {
        return step["replacement"].as_str();
    }
    let is_one = is_kind(step, "Replace") && content(step) == Some(" ");
    step["pattern"]["String"].as_str().filter(|_| is_one)
}
