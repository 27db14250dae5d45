//! The tokenizer of a `tokenizer.json`, carried out by the library that it was made with, within bounds and without losses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType,
    PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Tokenizer,
};

use super::MOST_PROMPT_BYTES;
use super::document::{self, Document};
use super::patience::Patient;
use super::spelling::Spelling;
use super::tokens::Tokens;
use crate::base::error::{Error, Result};
use crate::base::vocab::label;

/// What a prompt may grow to where its signs are replaced.
const MOST_NORMALIZED_BYTES: usize = 16 * MOST_PROMPT_BYTES;

/// A tokenizer and its steps, one by one.
#[derive(Debug)]
pub struct Pipeline {
    tokenizer: Tokenizer,
    normalizers: Vec<Step<NormalizerWrapper>>,
    pre_tokenizers: Vec<Step<PreTokenizerWrapper>>,
}

/// A step, and the regular expression by which it goes.
#[derive(Debug)]
struct Step<T> {
    run: T,
    pattern: Option<Patient>,
}

impl Pipeline {
    /// # Errors
    /// When the library does not take it, or its ids contradict each other.
    pub fn new(bytes: &[u8], document: &Document) -> Result<(Self, Tokens)> {
        let normalizers = steps(&document.normalizers()?)?;
        let pre_tokenizers = steps(&document.pre_tokenizers()?)?;
        let mut tokenizer = caught(|| Tokenizer::from_bytes(bytes)).map_err(|why| {
            Error::input(format!(
                "the library tokenizers does not take it ({why}); save it anew, in Python: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            ))
        })?;
        // A prompt is neither cut, nor filled up, nor given tokens that nobody asked for.
        tokenizer.with_padding(None).with_post_processor(None::<PostProcessorWrapper>);
        let _ = tokenizer.with_truncation(None);
        let tokens = table(&tokenizer, document, &document.spelling()?)?;
        Ok((Self { tokenizer, normalizers, pre_tokenizers }, tokens))
    }

    /// The id of a token as the file spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Reads a text, and makes sure that the tokens say what it says, but for its spaces.
    pub fn encode(&self, text: &str, tokens: &Tokens) -> Result<Vec<u32>> {
        let read = self.checked(text)?;
        let ids =
            caught(|| self.tokenizer.encode_fast(text, false).map(|all| all.get_ids().to_vec()));
        let ids = ids.map_err(|why| unread(&why))?;
        let (read, given) = (signs(&read), signs(&String::from_utf8_lossy(&tokens.joined(&ids))));
        match lost(&read, &given) {
            None => Ok(ids),
            Some(at) => Err(loses(read.get(at).or(given.get(at)).copied())),
        }
    }

    pub fn decode(&self, ids: &[u32]) -> Option<String> {
        caught(|| self.tokenizer.decode(ids, false)).ok()
    }

    /// Goes through the steps and looks at each one before it is taken; the text that the vocabulary is asked for.
    fn checked(&self, text: &str) -> Result<String> {
        self.check_normalizers(text)?;
        let vocabulary = self.tokenizer.get_added_vocabulary();
        let normalizer = self.tokenizer.get_normalizer();
        let mut pieces = caught(|| Ok(vocabulary.extract_and_normalize(normalizer, text)))
            .map_err(|why| unread(&why))?;
        let read = texts(&pieces).map(|(text, _)| text).collect();
        for step in &self.pre_tokenizers {
            step.check(texts(&pieces).filter(|(_, is_token)| !is_token).map(|(text, _)| text))?;
            caught(|| step.run.pre_tokenize(&mut pieces)).map_err(|why| unread(&why))?;
        }
        Ok(read)
    }

    fn check_normalizers(&self, text: &str) -> Result<()> {
        let mut text = NormalizedString::from(text);
        for step in &self.normalizers {
            step.check([text.get()].into_iter())?;
            caught(|| step.run.normalize(&mut text)).map_err(|why| unread(&why))?;
            if text.len() > MOST_NORMALIZED_BYTES {
                return Err(unread("it makes the prompt more than sixteen times as long"));
            }
        }
        Ok(())
    }
}

impl<T> Step<T> {
    fn check<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> Result<()> {
        match &self.pattern {
            Some(pattern) => texts.try_for_each(|text| pattern.check(text)),
            None => Ok(()),
        }
    }
}

fn steps<T: DeserializeOwned>(values: &[&Value]) -> Result<Vec<Step<T>>> {
    values.iter().map(|value| step(value)).collect()
}

fn step<T: DeserializeOwned>(value: &Value) -> Result<Step<T>> {
    let pattern = document::regex(value).map(Patient::new).transpose()?;
    let run = caught(|| Ok(serde_json::from_value(value.clone())?)).map_err(|why| {
        let kind = value["type"].as_str().unwrap_or("step");
        Error::input(format!("its {kind} is not understood ({why}); save the tokenizer anew"))
    })?;
    Ok(Step { run, pattern })
}

/// Pieces of a text in order, each with whether it is a token already.
fn texts(pieces: &PreTokenizedString) -> impl Iterator<Item = (&str, bool)> {
    let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
    splits.into_iter().map(|(text, _, tokens)| (text, tokens.is_some()))
}

/// What each id stands for.
fn table(tokenizer: &Tokenizer, document: &Document, spelling: &Spelling) -> Result<Tokens> {
    let mut tokens = Tokens::default();
    for added in document.added_tokens.iter().filter(|added| !added.content.is_empty()) {
        check_id(tokenizer, added)?;
        if tokens.bytes(added.id).is_empty() {
            tokens.put(added.id, &spelling.added(&added.content))?;
        }
        if added.special {
            tokens.make_special(added.id);
        }
    }
    let mut all: Vec<(String, u32)> = tokenizer.get_vocab(false).into_iter().collect();
    all.sort_unstable_by_key(|(_, id)| *id);
    let added = tokenizer.get_added_vocabulary().get_vocab();
    let of_model = all.iter().filter(|(text, id)| added.get(text) != Some(id));
    of_model.into_iter().try_for_each(|(text, id)| tokens.put(*id, &spelling.bytes(text)))?;
    Ok(tokens)
}

/// The library gives an added token the next id where the vocabulary has none for it, whatever the file says.
fn check_id(tokenizer: &Tokenizer, added: &document::Added) -> Result<()> {
    match tokenizer.token_to_id(&added.content) {
        Some(id) if id == added.id => Ok(()),
        other => Err(Error::input(format!(
            "the added token {} has the id {}, but the library tokenizers gives it {}; save the tokenizer anew",
            added.content,
            added.id,
            other.map_or_else(|| "none".to_owned(), |id| id.to_string())
        ))),
    }
}

/// What the library says to a piece of work, in words where it fails or panics over a file that contradicts itself.
fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("it contradicts itself".to_owned()),
    }
}

fn unread(why: &str) -> Error {
    Error::usage(format!(
        "the tokenizer cannot read this prompt ({why}); write it otherwise, or give it as ids"
    ))
}

/// The signs of a text that are no spaces and stand for none.
fn signs(text: &str) -> Vec<char> {
    text.chars().filter(|c| !c.is_whitespace() && *c != '▁').collect()
}

/// The first place where two rows of signs part.
fn lost(read: &[char], given: &[char]) -> Option<usize> {
    let same = read.iter().zip(given).take_while(|(a, b)| a == b).count();
    (same < read.len().max(given.len())).then_some(same)
}

fn loses(sign: Option<char>) -> Error {
    let sign = sign.unwrap_or('\u{fffd}');
    Error::usage(format!(
        "the tokenizer has no token for \"{}\" (U+{:04X}) of this prompt, and would read something else; leave it out",
        label(sign).unwrap_or_else(|| sign.to_string()),
        u32::from(sign)
    ))
}
