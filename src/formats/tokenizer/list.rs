//! Tokens as a list of texts, read by the longest match: the characters of nanoGPT, the tokens of one's own training.

use serde_json::Value;

use super::tokens::{MOST_TOKENS, Tokens};
use crate::base::convert::id;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::vocab::{Vocab, label};

/// Texts of tokens, and how long the longest is.
#[derive(Debug)]
pub struct List {
    vocab: Vocab,
    /// In characters.
    longest: usize,
}

impl List {
    /// Reads a list of texts, or an object of ids by text.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text: &str) -> Result<(Self, Tokens)> {
        let value = json::parse(text).map_err(|e| refused(&e.to_string()))?;
        let texts = texts(&value)?;
        let mut tokens = Tokens::default();
        for (at, text) in texts.iter().enumerate() {
            tokens.put(id(at), text.as_bytes())?;
        }
        let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        Ok((Self { vocab: Vocab::new(texts), longest }, tokens))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// At the first place where no token fits.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let (mut ids, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (id, length) = self.first(rest).ok_or_else(|| self.stuck(text, rest))?;
            ids.push(id);
            rest = &rest[length..];
        }
        Ok(ids)
    }

    /// The longest token that a text begins with, and its bytes.
    fn first(&self, text: &str) -> Option<(u32, usize)> {
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).take(self.longest);
        let ends: Vec<usize> = ends.collect();
        ends.into_iter().rev().find_map(|end| Some((self.vocab.id(&text[..end])?, end)))
    }

    fn stuck(&self, text: &str, rest: &str) -> Error {
        let sign = rest.chars().next().unwrap_or_default();
        Error::usage(format!(
            "character {} of the prompt is \"{}\" (U+{:04X}), which is none of the {} tokens of this network; leave it out",
            text.chars().count() - rest.chars().count() + 1,
            label(sign).unwrap_or_else(|| sign.to_string()),
            u32::from(sign),
            self.vocab.len()
        ))
    }
}

/// The text of each id; none where there is no such id.
fn texts(value: &Value) -> Result<Vec<String>> {
    let found = match value {
        Value::Array(list) => list.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        Value::Object(ids) => by_id(ids.iter().map(|(text, id)| (text, id.as_u64()))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    let is_fine = |texts: &Vec<String>| texts.iter().any(|text| !text.is_empty());
    found.filter(is_fine).ok_or_else(|| refused("it is something else"))
}

/// Texts in the order of their ids, where no two have the same and none is too large.
fn by_id<'a>(all: impl Iterator<Item = (&'a String, Option<u64>)>) -> Option<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    for (text, id) in all {
        let at = usize::try_from(id?).ok().filter(|at| *at < MOST_TOKENS)?;
        texts.resize(texts.len().max(at + 1), String::new());
        if !texts[at].is_empty() {
            return None;
        }
        texts[at].clone_from(text);
    }
    Some(texts)
}

fn refused(why: &str) -> Error {
    Error::input(format!(
        "it is no list of tokens ({why}), expected [\"a\", \"b\"] with the text of each id, or {{\"a\": 0, \"b\": 1}} with an id for each text, below {MOST_TOKENS} and none twice"
    ))
}
