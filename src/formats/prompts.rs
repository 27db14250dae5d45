//! Sets of prompts: one a line as text, or as JSON with answers, counterfactual prompts and roles; and templates of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::file::read_text;
use super::tokenizer::{Codec, Lead, MOST_PROMPT_BYTES};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::prompt::Encoded;
use crate::base::vocab::beginning;

/// Longest file, and all prompts of it with their slots filled.
const MOST_BYTES: u64 = 16 << 20;
/// Prompts of a set.
const MOST_PROMPTS: usize = 10_000;

/// A prompt and what is known of it. In a template, `{A}` stands for the fillers of `A`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    pub prompt: Sequence,
    /// What should follow.
    pub answer: Option<Words>,
    /// What should not, e.g. the answer of the counterpart.
    pub wrong: Option<Words>,
    /// The counterfactual prompt, of as many tokens.
    pub counterpart: Option<Sequence>,
    /// Whether answers follow without a space, as the end of a number does.
    #[serde(default)]
    pub joined: bool,
    /// Positions by name.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// What a network reads: text, or the tokens by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Sequence {
    Ids(Vec<u32>),
    Text(String),
}

/// A token: its text, which gets a space in front as text goes on, or its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Word {
    Id(u32),
    Text(String),
}

/// One token or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Words {
    One(Word),
    Several(Vec<Word>),
    /// Numbers of as many digits as the last has, both ends included.
    Range {
        from: String,
        to: String,
    },
}

/// Where something stands in a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Role {
    /// Token by token, counted from 0.
    Positions(Vec<usize>),
    /// The last token of each place where this text stands.
    Text(String),
    /// All tokens of the first place where this text stands.
    All { all: String },
}

/// Words that take the place of a slot, by its name. The first of each list go together, then the second, and so on.
type Fillers = BTreeMap<String, Vec<String>>;

/// Reads the prompts of a file: lines of JSON where its name ends in `.jsonl`, else a prompt a line. Empty lines are none.
///
/// # Errors
/// When it cannot be read, with the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<Prompt>> {
    let text = read_text(path, MOST_BYTES)?;
    let is_json = path.extension().is_some_and(|ending| ending == "jsonl");
    let parsed = if is_json { of_json(&text) } else { of_lines(&text) };
    parsed.map_err(|e| e.context(format!("reading {}", path.display())))
}

fn of_lines(text: &str) -> Result<Vec<Prompt>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let prompts: Vec<Prompt> = lines.take(MOST_PROMPTS + 1).map(Prompt::of_text).collect();
    some(&prompts)?;
    Ok(prompts)
}

/// Reads lines of JSON, and fills the slots of templates.
///
/// # Errors
/// At the first line that is none, with its number.
pub fn of_json(text: &str) -> Result<Vec<Prompt>> {
    let (mut prompts, mut left) = (Vec::new(), MOST_BYTES);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = of_line(line, &mut left).map_err(|e| e.context(format!("line {}", at + 1)))?;
        prompts.extend(read);
        if prompts.len() > MOST_PROMPTS {
            break;
        }
    }
    some(&prompts)?;
    Ok(prompts)
}

fn some(prompts: &[Prompt]) -> Result<()> {
    let why = match prompts.len() {
        0 => "no prompt is in it, expected one a line".to_owned(),
        n if n > MOST_PROMPTS => format!("it has more than {MOST_PROMPTS} prompts; cut it in two"),
        _ => return Ok(()),
    };
    Err(Error::input(why))
}

fn of_line(line: &str, left: &mut u64) -> Result<Vec<Prompt>> {
    let wrong = |e: serde_json::Error| {
        Error::input(format!(
            "it is no prompt ({e}), expected an object such as {{\"prompt\": \"John gave {{A}} to\", \"answer\": \"Mary\"}} with wrong, counterpart, roles and fillers where there are any"
        ))
        .caused_by(e)
    };
    let mut line = json::parse(line).map_err(wrong)?;
    let fillers = line.as_object_mut().and_then(|line| line.remove("fillers"));
    let fillers: Fillers =
        fillers.map_or_else(|| Ok(Fillers::new()), serde_json::from_value).map_err(wrong)?;
    let prompt: Prompt = serde_json::from_value(line).map_err(wrong)?;
    if fillers.is_empty() { Ok(vec![prompt]) } else { filled(&prompt, &fillers, left) }
}

/// A template with each row of its fillers; `left` is what may still be made of text.
fn filled(template: &Prompt, fillers: &Fillers, left: &mut u64) -> Result<Vec<Prompt>> {
    let rows = rows(fillers)?;
    let unused = fillers.keys().find(|name| !template.names(name));
    if let Some(name) = unused {
        return Err(Error::input(format!(
            "the fillers of {name} stand nowhere: the prompt has no slot {{{name}}}"
        )));
    }
    (0..rows).map(|row| template.fill(fillers, row, left)).collect()
}

/// How many words each list has.
fn rows(fillers: &Fillers) -> Result<usize> {
    let lengths: Vec<usize> = fillers.values().map(Vec::len).collect();
    let most = lengths.iter().copied().max().unwrap_or(0);
    if (1..=MOST_PROMPTS).contains(&most) && lengths.iter().all(|length| *length == most) {
        return Ok(most);
    }
    let each: Vec<String> =
        fillers.iter().map(|(name, words)| format!("{} of {name}", words.len())).collect();
    Err(Error::input(format!(
        "the slots have {} fillers, expected as many of each, from 1 to {MOST_PROMPTS}: the first of all go together, then the second",
        each.join(", ")
    )))
}

impl Prompt {
    /// A text of which nothing is known.
    fn of_text(text: &str) -> Self {
        Self {
            prompt: Sequence::Text(text.to_owned()),
            answer: None,
            wrong: None,
            counterpart: None,
            joined: false,
            roles: BTreeMap::new(),
        }
    }

    /// The text, or the ids with spaces between them.
    pub fn text(&self) -> String {
        match &self.prompt {
            Sequence::Text(text) => text.clone(),
            Sequence::Ids(ids) => ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        }
    }

    /// The same with something else for every text that may have slots.
    fn with_texts(&self, put: &mut dyn FnMut(&String) -> Result<String>) -> Result<Self> {
        let mut roles = BTreeMap::new();
        for (name, role) in &self.roles {
            let role = match role {
                Role::Text(text) => Role::Text(put(text)?),
                Role::All { all } => Role::All { all: put(all)? },
                Role::Positions(at) => Role::Positions(at.clone()),
            };
            roles.insert(name.clone(), role);
        }
        Ok(Self {
            prompt: self.prompt.with_text(put)?,
            answer: self.answer.as_ref().map(|words| words.with_texts(put)).transpose()?,
            wrong: self.wrong.as_ref().map(|words| words.with_texts(put)).transpose()?,
            counterpart: self.counterpart.as_ref().map(|other| other.with_text(put)).transpose()?,
            joined: self.joined,
            roles,
        })
    }

    fn names(&self, slot: &str) -> bool {
        let (slot, mut found) = (format!("{{{slot}}}"), false);
        let looked = self.with_texts(&mut |text| {
            found |= text.contains(&slot);
            Ok(String::new())
        });
        looked.is_ok() && found
    }

    fn fill(&self, fillers: &Fillers, row: usize, left: &mut u64) -> Result<Self> {
        self.with_texts(&mut |text| put(text, fillers, row, left))
    }

    /// The prompt in tokens, without one that begins it. Without a tokenizer all is said by ids.
    ///
    /// # Errors
    /// When the tokenizer does not read it, or there is none; when an answer is more than one token, a role is nowhere, or the
    /// counterpart has another number of tokens.
    pub fn encode<'c>(&self, codec: impl Into<Option<&'c Codec>>) -> Result<Encoded> {
        let text = self.text();
        let reader = Reader { codec: codec.into(), prompt: &text, joined: self.joined };
        self.read_by(&reader).map_err(|e| e.context(format!("the prompt \"{}\"", beginning(&text))))
    }

    fn read_by(&self, reader: &Reader<'_>) -> Result<Encoded> {
        let tokens = reader.tokens(&self.prompt)?;
        let counterpart =
            self.counterpart.as_ref().map(|other| reader.tokens(other)).transpose()?;
        if let Some(other) = &counterpart {
            reader.same_length(&tokens, other)?;
        }
        let words = |words: &Option<Words>| match words {
            Some(words) => reader.words(words),
            None => Ok(Vec::new()),
        };
        let place = |(name, role): (&String, &Role)| {
            Ok((name.clone(), reader.places(&tokens, name, role)?))
        };
        Ok(Encoded {
            counterpart,
            answers: words(&self.answer)?,
            wrongs: words(&self.wrong)?,
            roles: self.roles.iter().map(place).collect::<Result<_>>()?,
            tokens,
        })
    }
}

impl Sequence {
    fn with_text(&self, put: &mut dyn FnMut(&String) -> Result<String>) -> Result<Self> {
        Ok(match self {
            Self::Text(text) => Self::Text(put(text)?),
            Self::Ids(ids) => Self::Ids(ids.clone()),
        })
    }
}

impl Words {
    fn with_texts(&self, put: &mut dyn FnMut(&String) -> Result<String>) -> Result<Self> {
        let mut word = |word: &Word| {
            Ok::<_, Error>(match word {
                Word::Text(text) => Word::Text(put(text)?),
                Word::Id(id) => Word::Id(*id),
            })
        };
        Ok(match self {
            Self::One(one) => Self::One(word(one)?),
            Self::Several(all) => Self::Several(all.iter().map(word).collect::<Result<_>>()?),
            Self::Range { from, to } => Self::Range { from: put(from)?, to: put(to)? },
        })
    }

    /// Word by word.
    fn each(&self) -> Result<Vec<Word>> {
        match self {
            Self::One(word) => Ok(vec![word.clone()]),
            Self::Several(words) => Ok(words.clone()),
            Self::Range { from, to } => numbers(from, to),
        }
    }
}

/// Most numbers of a range.
const MOST_NUMBERS: usize = 1000;

fn numbers(from: &str, to: &str) -> Result<Vec<Word>> {
    let read = |text: &str| text.parse::<usize>().ok();
    let (Some(first), Some(last)) = (read(from), read(to)) else {
        return Err(range_error(from, to));
    };
    if last < first || last - first >= MOST_NUMBERS {
        return Err(range_error(from, to));
    }
    let digits = to.len();
    Ok((first..=last).map(|number| Word::Text(format!("{number:0digits$}"))).collect())
}

fn range_error(from: &str, to: &str) -> Error {
    Error::input(format!(
        "read the range from \"{from}\" to \"{to}\", expected two whole numbers, the smaller first, and at most {MOST_NUMBERS} from one to the other"
    ))
}

/// How the parts of a prompt become tokens.
struct Reader<'a> {
    codec: Option<&'a Codec>,
    prompt: &'a str,
    joined: bool,
}

impl Reader<'_> {
    fn codec(&self, text: &str) -> Result<&Codec> {
        self.codec.ok_or_else(|| {
            Error::input(format!(
                "read the text \"{}\", and this network has no tokenizer that can be read: write the ids of its tokens, such as {{\"prompt\": [5, 9, 17], \"answer\": 3}}",
                beginning(text)
            ))
        })
    }

    fn tokens(&self, sequence: &Sequence) -> Result<Vec<u32>> {
        match sequence {
            Sequence::Text(text) => self.codec(text)?.encode(text),
            Sequence::Ids(ids) => {
                ids.iter().try_for_each(|id| self.known(*id))?;
                Ok(ids.clone())
            }
        }
    }

    fn known(&self, id: u32) -> Result<()> {
        match self.codec {
            Some(codec) if codec.bytes(id).is_empty() => Err(Error::input(format!(
                "the token {id} stands for nothing, expected one of the {} of this network",
                codec.len()
            ))),
            _ => Ok(()),
        }
    }

    fn words(&self, words: &Words) -> Result<Vec<u32>> {
        words.each()?.iter().map(|word| self.word(word)).collect()
    }

    fn word(&self, word: &Word) -> Result<u32> {
        let lead = if self.joined { Lead::AsWritten } else { Lead::Usual };
        match word {
            Word::Text(text) => Ok(self.codec(text)?.answer(self.prompt, text, lead)?.id),
            Word::Id(id) => self.known(*id).map(|()| *id),
        }
    }

    fn shown(&self, tokens: &[u32]) -> String {
        match self.codec {
            Some(codec) => codec.shown(tokens),
            None => tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" · "),
        }
    }

    fn same_length(&self, tokens: &[u32], other: &[u32]) -> Result<()> {
        if tokens.len() == other.len() {
            return Ok(());
        }
        Err(Error::input(format!(
            "it has {} tokens ({}) and its counterpart {} ({}), expected as many, so that each has its place in both; choose words of as many tokens",
            tokens.len(),
            self.shown(tokens),
            other.len(),
            self.shown(other)
        )))
    }

    fn places(&self, tokens: &[u32], name: &str, role: &Role) -> Result<Vec<usize>> {
        let found = match role {
            Role::Positions(at) if at.iter().all(|at| *at < tokens.len()) => at.clone(),
            Role::Positions(_) => Vec::new(),
            Role::Text(text) => self.codec(text)?.places(tokens, text),
            Role::All { all } => self.codec(all)?.extent(tokens, all),
        };
        if found.is_empty() {
            return Err(Error::input(format!(
                "the role {name} is nowhere in it: expected a text that stands in the prompt, or positions from 0 to {}",
                tokens.len().saturating_sub(1)
            )));
        }
        Ok(found)
    }
}

/// A text with a row of fillers in its slots. What is put in is not looked at again.
fn put(text: &str, fillers: &Fillers, row: usize, left: &mut u64) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, name, after)) = slot(rest) {
        let word = fillers.get(name).and_then(|words| words.get(row)).ok_or_else(|| {
            Error::input(format!("the slot {{{name}}} has no fillers: name them in \"fillers\""))
        })?;
        out.extend([before, word]);
        rest = after;
        *left = left.checked_sub(word.len() as u64 + 1).ok_or_else(too_long)?;
    }
    out.push_str(rest);
    *left = left.checked_sub(text.len() as u64).ok_or_else(too_long)?;
    if out.len() > MOST_PROMPT_BYTES { Err(too_long()) } else { Ok(out) }
}

fn too_long() -> Error {
    Error::input(format!(
        "its prompts are too long, expected at most {MOST_PROMPT_BYTES} bytes each and {MOST_BYTES} in all; give fewer fillers"
    ))
}

/// The first `{A}`: what stands before it, its name, and what stands behind it. Other braces are text.
fn slot(text: &str) -> Option<(&str, &str, &str)> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    text.match_indices('{').find_map(|(at, _)| {
        let (name, after) = text[at + 1..].split_once('}')?;
        is_name(name).then_some((&text[..at], name, after))
    })
}
