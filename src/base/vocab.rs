//! Tokens as text, both ways.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::base::convert;
use crate::base::error::{Error, Result};

/// How a network of another program reads text: its own tokenizer, with its own rules.
pub trait Tokenizer: Send + Sync {
    /// Text as tokens.
    ///
    /// # Errors
    /// When it cannot be read whole.
    fn encode(&self, text: &str) -> Result<Vec<u32>>;
    /// Tokens as text that [`Self::encode`] reads as them, as far as there is one.
    fn decode(&self, ids: &[u32]) -> String;
    /// Bytes of a token as text, whatever is no text in them replaced.
    fn text(&self, id: u32) -> String;
    /// A token as it is seen.
    fn glyph(&self, id: u32) -> String;
    /// Whether a token is none of a text, e.g. one that begins or ends it.
    fn is_special(&self, id: u32) -> bool;
    /// Positions of tokens that make a character only together, and the character.
    fn groups(&self, ids: &[u32]) -> Vec<(Range<usize>, String)>;
}

/// The tokens of a task or of a network of another program: the text of each id. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocab {
    tokens: Arc<[String]>,
    /// The first id with each text.
    ids: Arc<HashMap<String, u32>>,
    /// Characters in the longest token.
    longest: usize,
    writing: Writing,
    reader: Option<Foreign>,
}

/// How a text is written that is read by the texts of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writing {
    /// One token after the other.
    #[default]
    Joined,
    /// With spaces between them.
    Words,
    /// As their numbers, because no tokenizer reads text.
    Numbers,
}

/// The tokenizer of another program. Two are the same where they were opened at once.
#[derive(Clone)]
struct Foreign(Arc<dyn Tokenizer>);

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Foreign")
    }
}

impl PartialEq for Foreign {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Foreign {}

impl Vocab {
    pub fn new(tokens: Vec<String>) -> Self {
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, text) in (0..).zip(&tokens) {
            ids.entry(text.clone()).or_insert(id);
        }
        let longest = tokens.iter().map(|t| t.chars().count()).max().unwrap_or(0);
        Self {
            tokens: tokens.into(),
            ids: ids.into(),
            longest,
            writing: Writing::Joined,
            reader: None,
        }
    }

    /// Tokens that are words: written with spaces between them, which are no tokens themselves.
    pub fn of_words(tokens: Vec<String>) -> Self {
        Self { writing: Writing::Words, ..Self::new(tokens) }
    }

    /// The tokens of a network whose text no tokenizer reads: each is written as its number.
    pub fn of_numbers(count: usize) -> Self {
        let tokens = (0..count).map(|id| id.to_string()).collect();
        Self { writing: Writing::Numbers, ..Self::new(tokens) }
    }

    /// Tokens that another program's tokenizer reads text as; `count` of them.
    pub fn of_tokenizer(count: usize, reader: Arc<dyn Tokenizer>) -> Self {
        let tokens = (0..convert::id(count)).map(|id| reader.text(id)).collect();
        Self { reader: Some(Foreign(reader)), ..Self::new(tokens) }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The first token with this text.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// The text of a token; of another program's, what is no text in its bytes is replaced.
    pub fn text(&self, id: u32) -> &str {
        self.tokens.get(id as usize).map_or("?", String::as_str)
    }

    /// The token as it is seen: what has no sign of its own gets a [`label`].
    pub fn glyph(&self, id: u32) -> String {
        let Some(text) = self.tokens.get(id as usize) else { return format!("#{id}") };
        match &self.reader {
            Some(reader) => reader.0.glyph(id),
            None => labelled(text, |_| false).into_owned(),
        }
    }

    /// Whether a token is none of a text, e.g. one that begins or ends it.
    pub fn is_special(&self, id: u32) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.0.is_special(id))
    }

    /// Positions of tokens that make a character only together, and the character.
    pub fn groups(&self, ids: &[u32]) -> Vec<(Range<usize>, String)> {
        self.reader.as_ref().map(|reader| reader.0.groups(ids)).unwrap_or_default()
    }

    /// Tokens as the text that [`Self::encode`] reads.
    pub fn spell(&self, ids: &[u32]) -> String {
        if let Some(reader) = &self.reader {
            return reader.0.decode(ids);
        }
        let words: Vec<&str> = ids.iter().map(|id| self.text(*id)).collect();
        words.join(if self.writing == Writing::Joined { "" } else { " " })
    }

    /// Reads text as tokens: longest match first, as the tokenizer of another program does, or as numbers where there is none.
    ///
    /// # Errors
    /// At the first place where no token fits, with that place and what stands there.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match (&self.reader, self.writing) {
            (Some(reader), _) => reader.0.encode(text),
            (None, Writing::Numbers) => self.numbers(text),
            (None, Writing::Joined | Writing::Words) => self.longest_matches(text),
        }
    }

    fn numbers(&self, text: &str) -> Result<Vec<u32>> {
        let words = text.split([' ', ',', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let number = |word: &str| {
            let number: Option<u32> = word.parse().ok();
            number.filter(|id| (*id as usize) < self.tokens.len()).ok_or_else(|| {
                Error::usage(format!(
                    "read \"{}\", and this network has no tokenizer that can be read: write the numbers of its tokens, 0 to {}, with spaces between them, such as 5 9 17",
                    beginning(word),
                    self.tokens.len().saturating_sub(1)
                ))
            })
        };
        words.map(number).collect()
    }

    fn longest_matches(&self, text: &str) -> Result<Vec<u32>> {
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let (mut ids, mut at) = (Vec::new(), 0);
        while at < chars.len() {
            if self.writing == Writing::Words && chars[at].1.is_whitespace() {
                at += 1;
                continue;
            }
            let found = (1..=self.longest.min(chars.len() - at)).rev().find_map(|n| {
                let end = chars.get(at + n).map_or(text.len(), |(i, _)| *i);
                let piece = &text[chars[at].0..end];
                self.ids.get(piece).map(|id| (*id, n))
            });
            let Some((id, n)) = found else {
                let c = chars[at].1;
                return Err(Error::usage(format!(
                    "character {} of the text is \"{}\" (U+{:04X}), which is none of the {} tokens of this task; leave it out or use another text source",
                    at + 1,
                    label(c).unwrap_or_else(|| c.to_string()),
                    u32::from(c),
                    self.tokens.len()
                )));
            };
            ids.push(id);
            at += n;
        }
        Ok(ids)
    }
}

/// The beginning of a text that is named in a sentence.
pub fn beginning(text: &str) -> String {
    const LONG: usize = 60;
    let short: String = text.chars().take(LONG).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// What stands for a sign that is not seen, so that no two of them look alike: `␣` for a space, `↵` for a line end, `⇥` for a
/// tab, the pictures of control characters, and the number of every other one, as `U+200B`. None for what is seen.
pub fn label(c: char) -> Option<String> {
    let picture = match c {
        ' ' => '␣',
        '\n' => '↵',
        '\t' => '⇥',
        '\u{7f}' => '␡',
        c if c < ' ' => char::from_u32(0x2400 + u32::from(c))?,
        c if c.is_whitespace() || is_hidden(c) => return Some(format!("U+{:04X}", u32::from(c))),
        _ => return None,
    };
    Some(picture.to_string())
}

/// The text with a [`label`] for each sign that is not seen, but for those that are kept.
pub fn labelled(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let stands = |c: char| if is_kept(c) { None } else { label(c) };
    if text.chars().all(|c| stands(c).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match stands(c) {
            Some(label) => out.push_str(&label),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a sign does something to the text around it, or to a terminal, instead of being seen: control characters, those
/// that turn the direction of writing, and those of no width.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Text for a terminal: lines and tabs stay, every other sign that is hidden becomes a [`label`]. What others put into a
/// token, a name or a path can neither move the cursor nor turn the writing around.
pub fn plain(text: &str) -> String {
    labelled(text, |c| matches!(c, '\n' | '\t') || !is_hidden(c)).into_owned()
}

/// JSON for a terminal: what is not seen is written as its number, which reads back as the same text.
pub fn plain_json(text: &str) -> String {
    let mut units = [0; 2];
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
