//! Sets of prompts: one a line as text, or as JSON with answers, counterfactual prompts and roles; and templates of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::file::read_text;
use super::tokenizer::{Codec, Lead, MOST_PROMPT_BYTES};
use crate::base::error::{Error, Result};
use crate::base::json;

/// Longest file, and all prompts of it with their slots filled.
const MOST_BYTES: u64 = 16 << 20;
/// Prompts of a set.
const MOST_PROMPTS: usize = 10_000;

/// A prompt and what is known of it. In a template, `{A}` stands for the fillers of `A`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    #[serde(rename = "prompt")]
    pub text: String,
    /// What should follow.
    pub answer: Option<Word>,
    /// What should not, e.g. the answer of the counterpart.
    pub wrong: Option<Word>,
    /// The counterfactual prompt, of as many tokens.
    pub counterpart: Option<String>,
    /// Positions by name.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// A token: its text, which gets a space in front as text goes on, or its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Word {
    Id(u32),
    Text(String),
}

/// Where something stands in a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Role {
    /// Token by token, counted from 0.
    Positions(Vec<usize>),
    /// The last token of each place where this text stands.
    Text(String),
}

/// A prompt in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    pub tokens: Vec<u32>,
    /// The counterfactual prompt, as long as the other.
    pub counterpart: Option<Vec<u32>>,
    pub answer: Option<u32>,
    pub wrong: Option<u32>,
    pub roles: BTreeMap<String, Vec<usize>>,
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
    let plain = |line: &str| Prompt { text: line.to_owned(), ..Prompt::default() };
    let prompts: Vec<Prompt> = lines.take(MOST_PROMPTS + 1).map(plain).collect();
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
    /// All that may have slots.
    fn texts(&self) -> impl Iterator<Item = &String> {
        let words = [&self.answer, &self.wrong].into_iter().flatten();
        let words = words.filter_map(|word| match word {
            Word::Text(text) => Some(text),
            Word::Id(_) => None,
        });
        let roles = self.roles.values().filter_map(|role| match role {
            Role::Text(text) => Some(text),
            Role::Positions(_) => None,
        });
        [&self.text].into_iter().chain(&self.counterpart).chain(words).chain(roles)
    }

    fn names(&self, slot: &str) -> bool {
        let slot = format!("{{{slot}}}");
        self.texts().any(|text| text.contains(&slot))
    }

    fn fill(&self, fillers: &Fillers, row: usize, left: &mut u64) -> Result<Self> {
        let mut put = |text: &String| put(text, fillers, row, left);
        let mut word = |word: &Option<Word>| match word {
            Some(Word::Text(text)) => Ok(Some(Word::Text(put(text)?))),
            other => Ok::<_, Error>(other.clone()),
        };
        let (answer, wrong) = (word(&self.answer)?, word(&self.wrong)?);
        let mut role = |(name, role): (&String, &Role)| match role {
            Role::Text(text) => Ok((name.clone(), Role::Text(put(text)?))),
            Role::Positions(_) => Ok((name.clone(), role.clone())),
        };
        let roles = self.roles.iter().map(&mut role).collect::<Result<_>>()?;
        let counterpart = self.counterpart.as_ref().map(&mut put).transpose()?;
        Ok(Self { text: put(&self.text)?, answer, wrong, counterpart, roles })
    }

    /// The prompt in tokens, without one that begins it.
    ///
    /// # Errors
    /// When the tokenizer does not read it, an answer is more than one token, a role is nowhere, or the counterpart has
    /// another number of tokens.
    pub fn encode(&self, codec: &Codec) -> Result<Encoded> {
        self.encoded(codec).map_err(|e| e.context(format!("the prompt \"{}\"", begun(&self.text))))
    }

    fn encoded(&self, codec: &Codec) -> Result<Encoded> {
        let tokens = codec.encode(&self.text)?;
        let counterpart = self.counterpart.as_deref().map(|text| codec.encode(text)).transpose()?;
        if let Some(other) = &counterpart {
            same_length(codec, &tokens, other)?;
        }
        let word = |word: &Option<Word>| word.as_ref().map(|word| self.token(codec, word));
        let place = |(name, role): (&String, &Role)| {
            Ok((name.clone(), places(codec, &tokens, name, role)?))
        };
        Ok(Encoded {
            counterpart,
            answer: word(&self.answer).transpose()?,
            wrong: word(&self.wrong).transpose()?,
            roles: self.roles.iter().map(place).collect::<Result<_>>()?,
            tokens,
        })
    }

    fn token(&self, codec: &Codec, word: &Word) -> Result<u32> {
        match word {
            Word::Text(text) => Ok(codec.answer(&self.text, text, Lead::Usual)?.id),
            Word::Id(id) if !codec.bytes(*id).is_empty() => Ok(*id),
            Word::Id(id) => Err(Error::input(format!(
                "the token {id} stands for nothing, expected one of the {} of this network",
                codec.len()
            ))),
        }
    }
}

impl Encoded {
    /// The same behind a token that begins both prompts.
    #[must_use]
    pub fn begun(mut self, first: Option<u32>) -> Self {
        let Some(first) = first else { return self };
        self.tokens.insert(0, first);
        self.counterpart.iter_mut().for_each(|tokens| tokens.insert(0, first));
        self.roles.values_mut().flatten().for_each(|at| *at += 1);
        self
    }
}

fn same_length(codec: &Codec, tokens: &[u32], other: &[u32]) -> Result<()> {
    if tokens.len() == other.len() {
        return Ok(());
    }
    Err(Error::input(format!(
        "it has {} tokens ({}) and its counterpart {} ({}), expected as many, so that each has its place in both; choose words of as many tokens",
        tokens.len(),
        codec.shown(tokens),
        other.len(),
        codec.shown(other)
    )))
}

fn places(codec: &Codec, tokens: &[u32], name: &str, role: &Role) -> Result<Vec<usize>> {
    let found = match role {
        Role::Positions(at) if at.iter().all(|at| *at < tokens.len()) => at.clone(),
        Role::Positions(_) => Vec::new(),
        Role::Text(text) => codec.places(tokens, text),
    };
    if found.is_empty() {
        return Err(Error::input(format!(
            "the role {name} is nowhere in it: expected a text that stands in the prompt, or positions from 0 to {}",
            tokens.len().saturating_sub(1)
        )));
    }
    Ok(found)
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

/// The beginning of a prompt.
fn begun(text: &str) -> String {
    const LONG: usize = 60;
    let short: String = text.chars().take(LONG).collect();
    if short.len() < text.len() { short + "…" } else { short }
}
