//! A lesson as data: what is said, where to look, what to do and what should come of it. A teacher writes one without compiling.

use std::fmt;
use std::str::FromStr;

use toml::{Table, Value};

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::{self, Intervention, Place};

use super::expectation::Expectation;

/// One step of a tour: a `[[lesson]]` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lesson {
    pub title: String,
    /// Sentences; an empty line begins a paragraph.
    pub text: String,
    /// Where to look, from the moment on at which the lesson is there.
    pub look: Look,
    /// What stands on the button that does what is to be done.
    pub button: String,
    /// What a hand does, or the button.
    pub deeds: Vec<Deed>,
    /// What should be seen once it is done.
    pub expect: Vec<Expectation>,
}

/// Where to look. What is not said stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The panel that is pointed at, by its name.
    pub panel: String,
    /// An experiment that comes with the program, whose run is looked at; empty: that of the tour.
    pub experiment: String,
    pub step: Option<When>,
    /// Number of the held-out sequence in view.
    pub sequence: Option<usize>,
    /// Layer and head.
    pub head: Option<(usize, usize)>,
    pub query: Option<usize>,
    pub key: Option<usize>,
}

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    Step(u64),
    /// The step of a mark, by its id.
    Mark(String),
    /// The newest.
    Live,
}

/// Something to do, spelled as a verb and its object: `view induction_head`, `zero layer1.head0`, `lift all`.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Train an experiment that comes with the program.
    Start(String),
    View(When),
    /// Bring a held-out sequence into view.
    Sequence(usize),
    Text(String),
    Query(usize),
    Key(usize),
    Head(usize, usize),
    Show(String),
    /// Say Store in place of Ignore, or the reverse, in the selected tuple.
    Flip,
    Intervene(Intervention),
    Lift(Intervention),
    LiftAll,
    Run,
    Pause,
}

/// Verbs of [`Deed`], and what each looks like.
const VERBS: [(&str, &str); 13] = [
    ("start", "start birth"),
    ("view", "view 60, view induction_head or view live"),
    ("sequence", "sequence 3"),
    ("text", "text To be or not"),
    ("query", "query 24"),
    ("key", "key 2"),
    ("head", "head layer1.head0"),
    ("show", "show attention"),
    ("flip", "flip"),
    ("lift", "lift all, or lift and the intervention"),
    ("run", "run"),
    ("pause", "pause"),
    ("zero", "zero layer1.head0, or any other intervention"),
];

/// Longest text of a lesson, in bytes: more is no lesson.
const MOST_TEXT_BYTES: usize = 8 << 10;
/// Lessons of a tour, and things in one of its lists.
pub const MOST: usize = 100;

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step}"),
            Self::Mark(id) => f.write_str(id),
            Self::Live => f.write_str("live"),
        }
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "live" {
            return Ok(Self::Live);
        }
        if let Ok(step) = text.parse() {
            return Ok(Self::Step(step));
        }
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        if text.starts_with(char::is_alphabetic) && text.chars().all(is_name) {
            return Ok(Self::Mark(text.to_owned()));
        }
        Err(Error::usage(format!(
            "read \"{text}\", expected a step (60), the id of a mark (induction_head) or live"
        )))
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => write!(f, "start {name}"),
            Self::View(when) => write!(f, "view {when}"),
            Self::Sequence(number) => write!(f, "sequence {number}"),
            Self::Text(text) => write!(f, "text {text}"),
            Self::Query(at) => write!(f, "query {at}"),
            Self::Key(at) => write!(f, "key {at}"),
            Self::Head(layer, head) => write!(f, "head {}", head_name(*layer, *head)),
            Self::Show(panel) => write!(f, "show {panel}"),
            Self::Flip => f.write_str("flip"),
            Self::Intervene(what) => write!(f, "{what}"),
            Self::Lift(what) => write!(f, "lift {what}"),
            Self::LiftAll => f.write_str("lift all"),
            Self::Run => f.write_str("run"),
            Self::Pause => f.write_str("pause"),
        }
    }
}

impl Deed {
    /// What it brings into force.
    pub fn brings(&self) -> Option<&Intervention> {
        if let Self::Intervene(what) = self { Some(what) } else { None }
    }

    /// What is in force after it.
    pub fn change(&self, in_force: &mut Vec<Intervention>) {
        if let Self::Intervene(what) = self {
            in_force.push(what.clone());
        } else if let Self::Lift(what) = self {
            in_force.retain(|other| other != what);
        } else if *self == Self::LiftAll {
            in_force.clear();
        }
    }
}

impl FromStr for Deed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (verb, object) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if intervention::VERBS.contains(&verb) {
            return text.parse().map(Self::Intervene);
        }
        // A text of one's own keeps the spaces at its end.
        let said = object.trim();
        if let Some(deed) = alone(verb).filter(|_| said.is_empty()) {
            return Ok(deed);
        }
        if said.is_empty() || alone(verb).is_some() {
            return Err(unknown(verb, text));
        }
        Ok(match verb {
            "start" => Self::Start(said.to_owned()),
            "view" => Self::View(said.parse()?),
            "sequence" => Self::Sequence(number(verb, said)?),
            "text" => Self::Text(object.to_owned()),
            "query" => Self::Query(number(verb, said)?),
            "key" => Self::Key(number(verb, said)?),
            "head" => head(said).map(|(layer, head)| Self::Head(layer, head))?,
            "show" => Self::Show(said.to_owned()),
            "lift" if said == "all" => Self::LiftAll,
            "lift" => Self::Lift(said.parse()?),
            _ => return Err(unknown(verb, text)),
        })
    }
}

/// What has no object.
fn alone(verb: &str) -> Option<Deed> {
    match verb {
        "flip" => Some(Deed::Flip),
        "run" => Some(Deed::Run),
        "pause" => Some(Deed::Pause),
        _ => None,
    }
}

fn unknown(verb: &str, text: &str) -> Error {
    let like = VERBS.iter().find(|(name, _)| *name == verb);
    let expected = match like {
        Some((_, like)) => format!("expected for example {like}"),
        None => {
            let names = VERBS.iter().map(|(name, _)| *name).chain(intervention::VERBS);
            let known: Vec<&str> = names.clone().collect();
            format!(
                "nothing is called that.{} Known: {}",
                did_you_mean(verb, names),
                known.join(", ")
            )
        }
    };
    Error::usage(format!("\"{text}\": {expected}"))
}

fn number(verb: &str, text: &str) -> Result<usize> {
    text.parse().map_err(|_| {
        Error::usage(format!("\"{verb} {text}\": read {text}, expected a whole number from 0"))
    })
}

/// `layer1.head0`.
fn head(text: &str) -> Result<(usize, usize)> {
    let place: Option<Place> = text.parse().ok();
    let plain = place.filter(|p| p.positions.is_empty() && p.keys.is_empty());
    let found = plain.and_then(|place| Some((place.site.layer, place.head?)));
    found.ok_or_else(|| Error::usage(format!("read \"{text}\", expected a head: layer1.head0")))
}

fn head_name(layer: usize, head: usize) -> String {
    format!("layer{layer}.head{head}")
}

impl Look {
    const KEYS: [&str; 7] = ["panel", "experiment", "step", "sequence", "head", "query", "key"];

    /// A panel in quotes, or a table with a panel and more.
    fn read(value: &Value) -> Result<Self> {
        let table = match value {
            Value::String(panel) => return Ok(Self { panel: panel.clone(), ..Self::default() }),
            Value::Table(table) => table,
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                return Err(Error::usage(format!(
                    "look = {value}: expected a panel in quotes, or {{ panel = \"attention\", head = \"layer1.head0\", query = 24 }}"
                )));
            }
        };
        check_keys("look", table, &Self::KEYS)?;
        let step = table.get("step").map(when).transpose()?;
        let of_text = |key: &str| table.get(key).map(|value| text_of(key, value)).transpose();
        let of_number = |key: &str| table.get(key).map(|value| index_of(key, value)).transpose();
        Ok(Self {
            panel: of_text("panel")?.unwrap_or_default().to_owned(),
            experiment: of_text("experiment")?.unwrap_or_default().to_owned(),
            step,
            sequence: of_number("sequence")?,
            head: of_text("head")?.map(head).transpose()?,
            query: of_number("query")?,
            key: of_number("key")?,
        })
    }

    fn to_value(&self) -> Value {
        let mut table = Table::new();
        let number = |at: usize| Value::Integer(i64::try_from(at).unwrap_or(i64::MAX));
        table.insert("panel".into(), self.panel.clone().into());
        if !self.experiment.is_empty() {
            table.insert("experiment".into(), self.experiment.clone().into());
        }
        let step = self.step.as_ref().map(|step| match step {
            When::Step(step) => Value::Integer(i64::try_from(*step).unwrap_or(i64::MAX)),
            When::Mark(_) | When::Live => step.to_string().into(),
        });
        let said = [
            ("step", step),
            ("sequence", self.sequence.map(number)),
            ("head", self.head.map(|(layer, head)| head_name(layer, head).into())),
            ("query", self.query.map(number)),
            ("key", self.key.map(number)),
        ];
        table.extend(said.into_iter().filter_map(|(key, value)| Some((key.into(), value?))));
        Value::Table(table)
    }
}

impl Lesson {
    const KEYS: [&str; 6] = ["title", "text", "look", "button", "do", "expect"];

    /// Reads a `[[lesson]]` section.
    ///
    /// # Errors
    /// When a key or a word is unknown, or the title, the text or the panel is missing.
    fn read(table: &Table) -> Result<Self> {
        check_keys("a lesson", table, &Self::KEYS)?;
        let needed = |key: &str| match table.get(key) {
            Some(value) => text_of(key, value).map(|text| text.trim().to_owned()),
            None => Err(Error::usage(format!("it has no {key} = \"…\""))),
        };
        let lesson = Self {
            title: needed("title")?,
            text: needed("text")?,
            look: table.get("look").map(Look::read).transpose()?.unwrap_or_default(),
            button: table.get("button").map_or(Ok(""), |v| text_of("button", v))?.to_owned(),
            deeds: list(table, "do")?,
            expect: list(table, "expect")?,
        };
        if lesson.text.len() > MOST_TEXT_BYTES {
            return Err(Error::usage(format!(
                "its text has {} bytes, expected at most {MOST_TEXT_BYTES}",
                lesson.text.len()
            )));
        }
        if lesson.look.panel.is_empty() {
            return Err(Error::usage("it does not say where to look: look = \"tokens\""));
        }
        Ok(lesson)
    }

    fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.insert("title".into(), self.title.clone().into());
        table.insert("text".into(), self.text.clone().into());
        if !self.button.is_empty() {
            table.insert("button".into(), self.button.clone().into());
        }
        let texts = |all: Vec<String>| Value::Array(all.into_iter().map(Value::from).collect());
        let deeds: Vec<String> = self.deeds.iter().map(ToString::to_string).collect();
        let expect: Vec<String> = self.expect.iter().map(ToString::to_string).collect();
        for (key, all) in [("do", deeds), ("expect", expect)] {
            if !all.is_empty() {
                table.insert(key.into(), texts(all));
            }
        }
        table.insert("look".into(), self.look.to_value());
        table
    }
}

/// The `[[lesson]]` sections of a document, in order.
///
/// # Errors
/// At the first that is none, with its number and its title.
pub fn read_all(value: &Value) -> Result<Vec<Lesson>> {
    let wrong = || Error::usage("\"lesson\" is no list of [[lesson]] sections");
    let entries = value.as_array().ok_or_else(wrong)?;
    if entries.len() > MOST {
        return Err(Error::usage(format!("{} lessons, expected at most {MOST}", entries.len())));
    }
    let read = |(number, entry): (usize, &Value)| {
        let table = entry.as_table().ok_or_else(wrong)?;
        let title = table.get("title").and_then(Value::as_str).unwrap_or("");
        Lesson::read(table).map_err(|e| e.context(named(number, title)))
    };
    entries.iter().enumerate().map(read).collect()
}

/// How a lesson is called in a sentence.
pub fn named(number: usize, title: &str) -> String {
    format!("lesson {} (\"{title}\")", number + 1)
}

/// As [`read_all`] reads them; nothing of none.
pub fn to_toml(lessons: &[Lesson]) -> String {
    if lessons.is_empty() {
        return String::new();
    }
    let all = lessons.iter().map(|lesson| Value::Table(lesson.to_table())).collect();
    let mut table = Table::new();
    table.insert("lesson".into(), Value::Array(all));
    format!("\n{table}")
}

/// A list of texts, or one.
fn list<T: FromStr<Err = Error>>(table: &Table, key: &str) -> Result<Vec<T>> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    if all.len() > MOST {
        return Err(Error::usage(format!("{key}: {} entries, expected at most {MOST}", all.len())));
    }
    let read = |value| text_of(key, value)?.parse().map_err(|e: Error| e.context(key));
    all.iter().map(read).collect()
}

fn when(value: &Value) -> Result<When> {
    match value.as_integer() {
        Some(step) => u64::try_from(step)
            .map(When::Step)
            .map_err(|_| Error::usage(format!("step = {step}: expected a whole number from 0"))),
        None => text_of("step", value)?.parse().map_err(|e: Error| e.context("step")),
    }
}

fn text_of<'a>(key: &str, value: &'a Value) -> Result<&'a str> {
    value
        .as_str()
        .ok_or_else(|| Error::usage(format!("{key}: read {value}, expected text in quotes")))
}

fn index_of(key: &str, value: &Value) -> Result<usize> {
    let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
    number
        .ok_or_else(|| Error::usage(format!("{key}: read {value}, expected a whole number from 0")))
}

/// That a table has no key beyond these.
pub(super) fn check_keys(what: &str, table: &Table, known: &[&str]) -> Result<()> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Error::usage(format!(
            "{what} has no \"{key}\".{} Known: {}.",
            did_you_mean(key, known.iter().copied()),
            known.join(", ")
        ))),
    }
}
