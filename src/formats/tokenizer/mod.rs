//! Tokens of real checkpoints, both ways: text into ids as the checkpoint's own tokenizer reads it, ids into bytes and glyphs.

mod answer;
mod begin;
mod document;
mod files;
mod gpt2;
mod list;
mod patience;
mod pipeline;
mod spelling;
mod tokens;

use std::path::Path;

pub use answer::{Answer, Lead};
pub use begin::Begin;
pub use tokens::Group;

use begin::First;
use document::Document;
use files::Found;
use list::List;
use pipeline::Pipeline;
use tokens::Tokens;

use crate::base::error::{Error, Result};

/// Longest prompt: 16 bytes for each position of the longest sequence.
pub const MOST_PROMPT_BYTES: usize = 64 << 10;

/// The tokens of a checkpoint: how text becomes ids, and what each id stands for. A prompt is its ids; text is a view of them.
#[derive(Debug)]
pub struct Codec {
    tokens: Tokens,
    reader: Reader,
    first: First,
}

#[derive(Debug)]
enum Reader {
    Pipeline(Box<Pipeline>),
    List(List),
}

impl Codec {
    /// What the files of a folder say: `tokenizer.json`, else `vocab.json` with `merges.txt`, else `chars.json` or `tokens.json`
    /// (a list of texts, or an object of ids by text). `None` where there is none of them: prompts are ids then.
    ///
    /// # Errors
    /// When a file cannot be read, says what this program does not do, or is of a kind that is not read; with what to do.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let Some(found) = files::find(folder)? else { return Ok(None) };
        let (path, made) = match &found {
            Found::Document(path, bytes) => (path, Self::of_document(folder, bytes)),
            Found::List(path, text) => (path, Self::of_list(text)),
        };
        made.map(Some).map_err(|e| e.context(format!("reading {}", path.display())))
    }

    fn of_document(folder: &Path, bytes: &[u8]) -> Result<Self> {
        let document = Document::read(bytes)?;
        let (pipeline, tokens) = Pipeline::new(bytes, &document)?;
        let prepended = begin::prepended(&document.post_processor)?;
        let first = First::find(folder, prepended, &|text| pipeline.id(text))?;
        Ok(Self { tokens, reader: Reader::Pipeline(Box::new(pipeline)), first })
    }

    fn of_list(text: &str) -> Result<Self> {
        let (list, tokens) = List::read(text)?;
        Ok(Self { tokens, reader: Reader::List(list), first: First::default() })
    }

    /// How many ids there are: one more than the largest. A network may have more rows than that, which stand for nothing.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads text, without a token that begins it. What is spelled as a special token is that token, as the tokenizers have it.
    ///
    /// # Errors
    /// When the text is longer than [`MOST_PROMPT_BYTES`], when part of it would be lost, or when the tokenizer gives up on it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        if text.len() > MOST_PROMPT_BYTES {
            return Err(Error::usage(format!(
                "the prompt has {} bytes, expected at most {MOST_PROMPT_BYTES}; shorten it",
                text.len()
            )));
        }
        match &self.reader {
            Reader::Pipeline(pipeline) => pipeline.encode(text, &self.tokens),
            Reader::List(list) => list.encode(text),
        }
    }

    /// The token that is put before a prompt, if any; `model_type` is what `config.json` calls the network.
    pub fn begins(&self, how: Begin, model_type: &str) -> Option<u32> {
        self.first.token(how, model_type).filter(|id| !self.bytes(*id).is_empty())
    }

    /// The exact bytes of a token, which may be part of a character; none where the id stands for nothing.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.tokens.bytes(id)
    }

    /// Whether a token is none of a text, e.g. one that ends it.
    pub fn is_special(&self, id: u32) -> bool {
        self.tokens.is_special(id)
    }

    /// The token as it is seen: signs for spaces and line ends, `⟨F0⟩` for a byte of a character that it is part of, `#17`
    /// where the id stands for nothing.
    pub fn glyph(&self, id: u32) -> String {
        self.tokens.glyph(id)
    }

    /// Tokens as they are shown in a sentence, with a point between them; of many the first.
    pub fn shown(&self, ids: &[u32]) -> String {
        self.tokens.shown(ids)
    }

    /// Tokens as text, in the way of the tokenizer, which may leave out a space that it put in front.
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.reader {
            Reader::Pipeline(pipeline) => pipeline.decode(ids),
            Reader::List(_) => None,
        }
        .unwrap_or_else(|| String::from_utf8_lossy(&self.tokens.joined(ids)).into_owned())
    }

    /// Tokens that make a character only together, in order.
    pub fn groups(&self, ids: &[u32]) -> Vec<Group> {
        self.tokens.groups(ids)
    }

    /// The positions of the last token of each place where `text` stands in the tokens, whose space in front is not counted.
    pub fn places(&self, ids: &[u32], text: &str) -> Vec<usize> {
        self.tokens.places(ids, text)
    }
    /// The positions of all tokens of the first place where `text` stands.
    pub fn extent(&self, ids: &[u32], text: &str) -> Vec<usize> {
        self.tokens.extent(ids, text)
    }
}
