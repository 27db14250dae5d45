//! The token that is to follow a prompt, out of the word that a person writes.

use super::{Codec, Reader};
use crate::base::error::{Error, Result};
use crate::base::vocab::labelled;

/// Whether a word that is to follow gets a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// As text goes on: with a space where neither the prompt ends in one nor the word begins with one.
    Usual,
    /// As it is written.
    AsWritten,
}

/// The token of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: u32,
    /// What was read, with the space that was put in front.
    pub text: String,
}

impl Codec {
    /// The token that is to follow a prompt.
    ///
    /// # Errors
    /// When it is none or several, with the tokens that it is.
    pub fn answer(&self, prompt: &str, text: &str, lead: Lead) -> Result<Answer> {
        if text.is_empty() {
            return Err(Error::usage("the answer is empty, expected a word that is one token"));
        }
        if let Some(id) = self.tokens.special(text) {
            return Ok(Answer { id, text: text.to_owned() });
        }
        let text =
            if self.gets_space(prompt, text, lead) { format!(" {text}") } else { text.to_owned() };
        match self.following(prompt, &text)?.as_slice() {
            [id] => Ok(Answer { id: *id, text }),
            ids => Err(self.several(prompt, &text, ids)),
        }
    }

    /// Lists of characters and tokens of one's own have no words that begin with a space.
    fn gets_space(&self, prompt: &str, text: &str, lead: Lead) -> bool {
        let is_usual = lead == Lead::Usual && matches!(self.reader, Reader::Pipeline(_));
        is_usual && !prompt.ends_with(char::is_whitespace) && !text.starts_with(char::is_whitespace)
    }

    /// The tokens that a text is behind a prompt. At its beginning, and where the two would be read as one word, it is the
    /// token that is spelled so.
    fn following(&self, prompt: &str, text: &str) -> Result<Vec<u32>> {
        let before = self.encode(prompt)?;
        let whole = self.encode(&[prompt, text].concat())?;
        let rest = whole.strip_prefix(before.as_slice()).filter(|_| !before.is_empty());
        if let Some(rest) = rest {
            return Ok(rest.to_vec());
        }
        match self.tokens.spelled(text.as_bytes()) {
            Some(id) => Ok(vec![id]),
            None => self.encode(text),
        }
    }

    fn several(&self, prompt: &str, text: &str, ids: &[u32]) -> Error {
        let bare = text.trim_start();
        let other = if bare.len() < text.len() { self.following(prompt, bare).ok() } else { None };
        let other = match other.as_deref() {
            Some([_]) => {
                format!(" Without the space in front, \"{}\" is one.", labelled(bare, |_| false))
            }
            _ => String::new(),
        };
        Error::usage(format!(
            "the answer \"{}\" is {} tokens ({}), expected one: choose another word.{other}",
            labelled(text, |_| false),
            ids.len(),
            self.shown(ids)
        ))
    }
}
