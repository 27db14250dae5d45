//! What each id stands for: its bytes, whether it is special, how it is seen, and which tokens make a character together.

use std::collections::BTreeSet;
use std::iter::repeat_n;
use std::ops::Range;

use crate::base::convert::id;
use crate::base::error::{Error, Result};
use crate::base::vocab::labelled;

/// Ids of the largest tokenizer: four times those of the largest that is known.
pub const MOST_TOKENS: usize = 1 << 20;
/// Bytes of the longest token: eight times those of the longest that is known.
pub const MOST_TOKEN_BYTES: usize = 1 << 10;
/// Tokens of a sentence: more than that nobody reads.
const MOST_SHOWN: usize = 48;

/// Tokens that make a character only together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub positions: Range<usize>,
    /// The character; several where one ends in the token in which the next begins.
    pub text: String,
}

/// Bytes and kind of each id.
#[derive(Debug, Default)]
pub struct Tokens {
    /// No bytes where an id stands for nothing.
    bytes: Vec<Box<[u8]>>,
    special: BTreeSet<u32>,
}

impl Tokens {
    /// # Errors
    /// When a token is too long, an id too large, or an id there twice.
    pub fn put(&mut self, id: u32, bytes: &[u8]) -> Result<()> {
        let at = id as usize;
        if at >= MOST_TOKENS || bytes.len() > MOST_TOKEN_BYTES {
            return Err(Error::input(format!(
                "the token with the id {id} has {} bytes, expected ids below {MOST_TOKENS} and at most {MOST_TOKEN_BYTES} bytes; this is no vocabulary of a language model",
                bytes.len()
            )));
        }
        if self.bytes.len() <= at {
            self.bytes.resize(at + 1, Box::default());
        }
        if !self.bytes[at].is_empty() {
            return Err(Error::input(format!(
                "two tokens have the id {id}, {} and {}, expected an id for each; make the file anew",
                self.glyph(id),
                String::from_utf8_lossy(bytes)
            )));
        }
        self.bytes[at] = bytes.into();
        Ok(())
    }

    pub fn make_special(&mut self, id: u32) {
        self.special.insert(id);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    pub fn glyph(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        if bytes.is_empty() {
            return format!("#{id}");
        }
        let seen = |text: &str| labelled(text, |_| false).into_owned();
        bytes.utf8_chunks().map(|chunk| seen(chunk.valid()) + &in_hex(chunk.invalid())).collect()
    }

    pub fn shown(&self, ids: &[u32]) -> String {
        let glyphs: Vec<String> = ids.iter().take(MOST_SHOWN).map(|id| self.glyph(*id)).collect();
        glyphs.join(" · ") + if ids.len() > MOST_SHOWN { " · …" } else { "" }
    }

    pub fn joined(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|id| self.bytes(*id)).copied().collect()
    }

    /// The first token of a text that has these bytes.
    pub fn spelled(&self, bytes: &[u8]) -> Option<u32> {
        let mut ids = (0..self.len()).map(id);
        ids.find(|id| self.bytes(*id) == bytes && !self.is_special(*id))
    }

    /// The special token that is spelled so.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.special.iter().copied().find(|id| self.bytes(*id) == text.as_bytes())
    }

    pub fn groups(&self, ids: &[u32]) -> Vec<Group> {
        let (bytes, owners) = (self.joined(ids), self.owners(ids));
        let (mut groups, mut at) = (Vec::new(), 0);
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let end = at + c.len_utf8();
                let (first, last) = (owners[at], owners[end - 1]);
                if first < last {
                    join(&mut groups, first..last + 1, c);
                }
                at = end;
            }
            at += chunk.invalid().len();
        }
        groups
    }

    /// Where a text ends in the tokens, wherever it stands.
    pub fn places(&self, ids: &[u32], text: &str) -> Vec<usize> {
        let (bytes, owners) = (self.joined(ids), self.owners(ids));
        let text = text.trim().as_bytes();
        if text.is_empty() {
            return Vec::new();
        }
        let starts = bytes.windows(text.len()).enumerate().filter(|(_, found)| *found == text);
        let mut places: Vec<usize> = starts.map(|(at, _)| owners[at + text.len() - 1]).collect();
        places.dedup();
        places
    }

    /// All positions of the first place where a text stands.
    pub fn extent(&self, ids: &[u32], text: &str) -> Vec<usize> {
        let (bytes, owners) = (self.joined(ids), self.owners(ids));
        let text = text.trim().as_bytes();
        let mut starts = bytes.windows(text.len().max(1));
        match starts.position(|found| found == text) {
            Some(at) => (owners[at]..=owners[at + text.len() - 1]).collect(),
            None => Vec::new(),
        }
    }

    /// The position of the token that each byte comes from.
    fn owners(&self, ids: &[u32]) -> Vec<usize> {
        let each = ids.iter().enumerate();
        each.flat_map(|(at, id)| repeat_n(at, self.bytes(*id).len())).collect()
    }
}

/// `⟨F0⟩⟨9F⟩`
fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("⟨{byte:02X}⟩")).collect()
}

/// Adds a character that lies in several tokens; one that begins in the token where the last one ends goes with it.
fn join(groups: &mut Vec<Group>, positions: Range<usize>, c: char) {
    match groups.last_mut().filter(|last| last.positions.end > positions.start) {
        Some(last) => {
            last.positions.end = positions.end;
            last.text.push(c);
        }
        None => groups.push(Group { positions, text: c.to_string() }),
    }
}
