//! A sweep on disk: one experiment with many seeds and settings, a run folder for each, and the document that says which.
//!
//! `docs/sweeps.md` describes the folder.

pub mod bundle;
pub mod table;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::{Table, Value};

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::event::{DIVERGED, Mark, MarkKind};
use crate::base::settings::same;
use crate::numeric::formula;
use crate::run_folder::disk::{Hold, read_text, refused, replace_bytes};
use crate::run_folder::names::may_be_beside;
use crate::run_folder::recording::Recording;
use crate::run_folder::{Reader, check_whole, has_begun};

use bundle::{Bundle, shorten};

/// The newest version of `sweep.toml` that this program reads, and that it writes where something is expected; where there are bundles it
/// writes 2, else 1.
pub const SCHEMA: i64 = 3;
/// The document that makes a folder a sweep.
pub const DOCUMENT: &str = "sweep.toml";
/// More runs than this are a slip of the hand rather than a plan.
pub const MOST_RUNS: usize = 10_000;
/// Settings that a sweep gives values; each value is in the name of its folders.
pub const MOST_SETTINGS: usize = 64;
/// A plan of [`MOST_RUNS`] seeds takes some 100 KB.
const MOST_DOCUMENT_BYTES: u64 = 4 << 20;
/// A name of a folder is at most 255 bytes on the file systems in use.
const MOST_NAME_CHARS: usize = 120;
/// What is left of these for the settings: a number and the seed follow.
const MOST_NAME_BYTES: usize = 230;

/// What a sweep is to do. Its runs are every choice of one value a setting, each with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The whole experiment; values and seeds below replace those in it.
    pub experiment: Table,
    /// Distinct, in the order of the runs.
    pub seeds: Vec<u64>,
    /// Settings (`train.rate`, or the name of a bundle) with their values, distinct, in the order of the runs.
    pub settings: Vec<(String, Vec<Value>)>,
    /// What the values of some of them stand for.
    pub bundles: Vec<Bundle>,
    /// Numbers of a run (as in [`Sweep::number`]) and the formula of its settings that a derivation gives for each.
    pub expected: Vec<(String, String)>,
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Name of its folder: `rate0.1-seed3`.
    pub name: String,
    pub seed: u64,
    /// Value of each setting of the plan, in its order.
    pub values: Vec<(String, Value)>,
    /// Steps that it is to do.
    pub steps: u64,
}

impl Plan {
    /// # Errors
    /// When there is no seed, a seed or a value stands there twice, or there are more than [`MOST_RUNS`] runs.
    pub fn new(
        experiment: Table,
        seeds: Vec<u64>,
        settings: Vec<(String, Vec<Value>)>,
    ) -> Result<Self> {
        let most = settings.iter().map(|(_, values)| values.len()).chain([seeds.len()]).max();
        if most > Some(MOST_RUNS) || settings.len() > MOST_SETTINGS {
            return Err(too_many());
        }
        if let Some(seed) = twice(&seeds, u64::eq) {
            return Err(Error::usage(format!("seed {seed} is there twice; name each seed once")));
        }
        for (i, (name, values)) in settings.iter().enumerate() {
            if values.is_empty() {
                return Err(Error::usage(format!(
                    "{name} has no values to try; give it at least one, or leave it out"
                )));
            }
            if settings[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::usage(format!(
                    "setting {name} is there twice; give all its values at once, as in {name}=1,2,3"
                )));
            }
            if let Some(value) = twice(values, same) {
                return Err(Error::usage(format!(
                    "setting {name} has the value {value} twice; name each value once"
                )));
            }
        }
        let (bundles, expected) = (Vec::new(), Vec::new());
        let plan = Self { experiment, seeds, settings, bundles, expected };
        match plan.count() {
            None | Some(0) => Err(too_many()),
            Some(_) => Ok(plan),
        }
    }

    /// The same plan, in which the values of some settings stand for several.
    ///
    /// # Errors
    /// When a setting has a value that its bundle does not have.
    pub fn with_bundles(self, bundles: Vec<Bundle>) -> Result<Self> {
        for bundle in &bundles {
            let of = self.settings.iter().filter(|(name, _)| *name == bundle.name);
            of.map(|(_, values)| values).try_for_each(|values| bundle.check(values))?;
        }
        Ok(Self { bundles, ..self })
    }

    /// The same plan with what is expected of its runs.
    ///
    /// # Errors
    /// When a formula is none; what it names is looked for in [`Self::check_expected`].
    pub fn with_expected(self, expected: Vec<(String, String)>) -> Result<Self> {
        for (_, text) in &expected {
            formula::value(text, &|_| Some(1.0)).map_err(Error::usage)?;
        }
        Ok(Self { expected, ..self })
    }

    /// That formulas name settings that are numbers.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check_expected(&self) -> Result<()> {
        let Some(member) = self.members().into_iter().next() else { return Ok(()) };
        let mut all = self.expected.iter();
        all.try_for_each(|(_, text)| self.value_of(text, &member).map(|_| ()))
    }

    /// A formula of the settings of a run.
    fn value_of(&self, text: &str, member: &Member) -> Result<f64> {
        let changes = self.changes(&member.values);
        let base = |path: &str| {
            let (section, name) = path.split_once('.')?;
            self.experiment.get(section)?.get(name)
        };
        let number = |path: &str| {
            let changed = changes.iter().rev().find(|(name, _)| name == path);
            let value = changed.map(|(_, value)| value).or_else(|| base(path))?;
            value.as_float().or_else(|| value.as_integer().map(|i| i as f64))
        };
        formula::value(text, &number).map_err(Error::usage)
    }

    /// The same plan with a share of the steps, and its first seed alone.
    #[must_use]
    pub fn quicker(mut self, share: f64) -> Self {
        self.seeds.truncate(1);
        self.bundles = self.bundles.iter().map(|bundle| bundle.quicker(share)).collect();
        let train = self.experiment.get_mut("train").and_then(Value::as_table_mut);
        train.and_then(|train| train.get_mut("steps")).into_iter().for_each(|s| shorten(s, share));
        self
    }

    /// What the values of a run change, in order: a bundle is several settings.
    pub fn changes(&self, values: &[(String, Value)]) -> Vec<(String, Value)> {
        let of = |(name, value): &(String, Value)| {
            let bundle = self.bundles.iter().find(|bundle| bundle.name == *name);
            match bundle.and_then(|bundle| bundle.settings(value)) {
                Some(settings) => settings.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
                None => vec![(name.clone(), value.clone())],
            }
        };
        values.iter().flat_map(of).collect()
    }

    /// Number of runs; `None` when there are more than [`MOST_RUNS`].
    fn count(&self) -> Option<usize> {
        let factors = self.settings.iter().map(|(_, values)| values.len());
        let count = factors.chain([self.seeds.len()]).try_fold(1usize, usize::checked_mul)?;
        (count <= MOST_RUNS).then_some(count)
    }

    /// Name of the experiment.
    pub fn name(&self) -> &str {
        self.experiment.get("name").and_then(Value::as_str).unwrap_or("")
    }

    /// What a person calls it: the title of the experiment, or its name.
    pub fn title(&self) -> &str {
        let title = self.experiment.get("title").and_then(Value::as_str);
        title.filter(|title| !title.is_empty()).unwrap_or(self.name())
    }

    /// Steps of a run with these values.
    fn steps(&self, values: &[(String, Value)]) -> u64 {
        let changes = self.changes(values);
        let changed = changes.iter().rev().find(|(name, _)| name == "train.steps");
        let train = || self.experiment.get("train").and_then(|train| train.get("steps"));
        let steps = changed.map(|(_, steps)| steps).or_else(train).and_then(Value::as_integer);
        steps.and_then(|steps| u64::try_from(steps).ok()).unwrap_or(0)
    }

    /// All runs: the first setting changes slowest, the seed fastest.
    pub fn members(&self) -> Vec<Member> {
        let mut choices: Vec<Vec<(String, Value)>> = vec![Vec::new()];
        for (name, values) in &self.settings {
            let longer = |choice: &Vec<(String, Value)>, value: &Value| {
                let mut choice = choice.clone();
                choice.push((name.clone(), value.clone()));
                choice
            };
            choices =
                choices.iter().flat_map(|c| values.iter().map(move |v| longer(c, v))).collect();
        }
        let mut names = Names { short: self.short_names(), taken: BTreeSet::new() };
        let mut members = Vec::new();
        for values in choices {
            let (base, steps) = (names.of(&values), self.steps(&values));
            members.extend(self.seeds.iter().map(|&seed| Member {
                name: format!("{base}seed{seed}"),
                seed,
                values: values.clone(),
                steps,
            }));
        }
        members
    }

    /// The last part of each setting's path; the whole path where two end alike.
    pub fn short_names(&self) -> Vec<String> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let all: Vec<String> = self.settings.iter().map(|(path, _)| last(path)).collect();
        let alone = |name: &String| all.iter().filter(|other| *other == name).count() == 1;
        let paths = self.settings.iter().map(|(path, _)| path);
        all.iter().zip(paths).map(|(n, path)| if alone(n) { n } else { path }.clone()).collect()
    }

    /// What of another plan differs, in words: the first thing.
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        if self.seeds != other.seeds {
            return Some(format!(
                "seeds {} instead of {}",
                spell(&self.seeds),
                spell(&other.seeds)
            ));
        }
        if !alike(&self.settings, &other.settings) {
            let words = |plan: &Self| {
                let list = plan.settings.iter();
                let list: Vec<String> =
                    list.map(|(name, values)| format!("{name}={}", texts(values))).collect();
                if list.is_empty() { "no settings".to_owned() } else { list.join(" ") }
            };
            return Some(format!("{} instead of {}", words(self), words(other)));
        }
        let bundles = |plan: &Self| {
            let each = plan.bundles.iter();
            each.map(|bundle| (bundle.name.clone(), Value::Table(bundle.to_table()))).collect()
        };
        let bundled: [Table; 2] = [bundles(self), bundles(other)];
        difference("bundles", &bundled[0], &bundled[1])
            .or_else(|| difference("", &self.experiment, &other.experiment))
    }

    /// The document `sweep.toml`.
    pub fn to_toml(&self) -> String {
        let whole = |seed: &u64| Value::Integer(i64::try_from(*seed).unwrap_or(i64::MAX));
        let settings = self.settings.iter();
        let mut table = Table::new();
        let schema = match (self.bundles.is_empty(), self.expected.is_empty()) {
            (true, true) => 1,
            (false, true) => 2,
            (_, false) => SCHEMA,
        };
        table.insert("schema".into(), schema.into());
        table.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        table.insert("seeds".into(), Value::Array(self.seeds.iter().map(whole).collect()));
        let settings = settings.map(|(name, values)| (name.clone(), Value::Array(values.clone())));
        table.insert("settings".into(), Value::Table(settings.collect()));
        if !self.bundles.is_empty() {
            let bundles = self.bundles.iter();
            let bundles = bundles.map(|b| (b.name.clone(), Value::Table(b.to_table())));
            table.insert("bundles".into(), Value::Table(bundles.collect()));
        }
        if !self.expected.is_empty() {
            let expected =
                self.expected.iter().map(|(name, text)| (name.clone(), text.clone().into()));
            table.insert("expected".into(), Value::Table(expected.collect()));
        }
        table.insert("experiment".into(), Value::Table(self.experiment.clone()));
        format!(
            "# A sweep of mnemoscope: a run folder for each seed and each choice of values.\n{table}"
        )
    }

    /// Reads the plan of a sweep folder.
    ///
    /// # Errors
    /// When it is no sweep folder, was written by a newer program, or is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(DOCUMENT);
        if !path.exists() {
            return Err(Error::input(format!(
                "{} is no sweep: it has no {DOCUMENT}",
                folder.display()
            )));
        }
        Self::parse(&read_text(&path, MOST_DOCUMENT_BYTES)?, &path)
    }

    /// Reads a text like that of `sweep.toml`; `origin` stands in messages.
    ///
    /// # Errors
    /// When it was written by a newer program, or is damaged.
    pub fn parse(text: &str, origin: &Path) -> Result<Self> {
        let wrong = |why: String| Error::input(format!("{}: {why}", origin.display()));
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            wrong(format!("it is damaged: {}", e.message().trim())).caused_by(e)
        })?;
        let schema = table.get("schema").and_then(Value::as_integer);
        let schema = schema.ok_or_else(|| wrong("it does not state its schema".to_owned()))?;
        if schema > SCHEMA {
            let version = table.get("version").and_then(Value::as_str).unwrap_or("unknown");
            return Err(wrong(format!(
                "the sweep was written by mnemoscope {version} in schema {schema}; this is mnemoscope {}, which reads schemas up to {SCHEMA}. Use the newer program",
                env!("CARGO_PKG_VERSION")
            )));
        }
        const SECTIONS: [&str; 7] =
            ["schema", "version", "seeds", "settings", "bundles", "expected", "experiment"];
        if let Some(other) = table.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            return Err(wrong(format!(
                "a sweep has no section \"{other}\".{} Known: {}",
                did_you_mean(other, SECTIONS),
                SECTIONS.join(", ")
            )));
        }
        let expected = |what: &str| wrong(format!("expected {what}"));
        let seeds = table.get("seeds").and_then(Value::as_array);
        let seed = |value: &Value| value.as_integer().and_then(|seed| u64::try_from(seed).ok());
        let seeds: Option<Vec<u64>> = seeds.and_then(|all| all.iter().map(seed).collect());
        let seeds = seeds.ok_or_else(|| expected("seeds = a list of whole numbers from 0"))?;
        let mut settings = Vec::new();
        for (name, values) in table.get("settings").and_then(Value::as_table).into_iter().flatten()
        {
            let values = values.as_array();
            let values = values.ok_or_else(|| expected("a list of values for each setting"))?;
            if values.iter().any(|value| value.is_array() || value.is_table()) {
                return Err(expected("numbers, texts and truth values as values of a setting"));
            }
            settings.push((name.clone(), values.clone()));
        }
        let bundles = Bundle::all(table.get("bundles")).map_err(wrong)?;
        // All choices of a bundle, in the order of the document, where nobody says which.
        for bundle in &bundles {
            if settings.iter().all(|(name, _)| *name != bundle.name) {
                settings.push((bundle.name.clone(), bundle.names()));
            }
        }
        let mut formulas = Vec::new();
        for (name, text) in table.get("expected").and_then(Value::as_table).into_iter().flatten() {
            let text =
                text.as_str().ok_or_else(|| expected("a formula in quotes for each number"))?;
            formulas.push((name.clone(), text.to_owned()));
        }
        let experiment = table.get("experiment").and_then(Value::as_table).cloned();
        let experiment = experiment.ok_or_else(|| expected("a section [experiment]"))?;
        Self::new(experiment, seeds, settings)
            .and_then(|plan| plan.with_bundles(bundles))
            .and_then(|plan| plan.with_expected(formulas))
            .map_err(|e| wrong(e.message))
    }

    /// Makes `folder` the folder of this sweep, or finds that it is; `read` reads the plan of a sweep folder. What comes
    /// back is to be said and stops nothing: that there are no locks where it lies.
    ///
    /// # Errors
    /// When it holds another sweep (the first difference is named) or anything else, or the system refuses.
    pub fn claim(
        &self,
        folder: &Path,
        read: impl Fn(&Path) -> Result<Self>,
    ) -> Result<Option<Error>> {
        fs::create_dir_all(folder).map_err(|e| refused("making", folder, e))?;
        // Nothing is left in a folder of others, not even a lock.
        refuse_others(folder)?;
        // Jobs of an array begin together: one writes, the others wait and read.
        let mut hold = Hold::wait(&folder.join("lock"))?;
        let notice = hold.missing.take();
        if is_sweep(folder) {
            return match self.first_difference(&read(folder)?) {
                None => Ok(notice),
                Some(difference) => Err(Error::usage(format!(
                    "{} holds another sweep ({difference}); go on with that one by naming no experiment, seeds and settings, or name another folder",
                    folder.display()
                ))),
            };
        }
        refuse_others(folder)?;
        replace_bytes(&folder.join(DOCUMENT), self.to_toml().as_bytes())?;
        Ok(notice)
    }
}

/// # Errors
/// When a folder that is none of a sweep holds something that is in a sweep's way.
fn refuse_others(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| refused("reading", folder, e))?;
    let ours = ["lock".to_owned(), format!("{DOCUMENT}.tmp")];
    let is_ours = |name: &OsStr| ours.iter().any(|ours| name == ours.as_str());
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut others = names.filter(|name| !is_ours(name) && !may_be_beside(name));
    match others.next() {
        // Asked last: what another program puts there comes after its document.
        Some(name) if !is_sweep(folder) => Err(Error::usage(format!(
            "{} is no empty folder (it holds {}); a sweep needs a folder of its own",
            folder.display(),
            name.to_string_lossy()
        ))),
        _ => Ok(()),
    }
}

fn too_many() -> Error {
    Error::usage(format!(
        "a sweep has 1 to {MOST_RUNS} runs and at most {MOST_SETTINGS} settings; give it at least one seed, and fewer values if there are too many"
    ))
}

/// Whether a folder is one of a sweep.
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(DOCUMENT).is_file()
}

fn twice<T>(list: &[T], same: impl Fn(&T, &T) -> bool) -> Option<&T> {
    let before = |i: usize, item: &T| list[..i].iter().any(|other| same(other, item));
    list.iter().enumerate().find(|(i, item)| before(*i, item)).map(|(_, item)| item)
}

/// Whether two plans try the same values, however they are written.
fn alike(a: &[(String, Vec<Value>)], b: &[(String, Vec<Value>)]) -> bool {
    let all =
        |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && all(&a.1, &b.1))
}

/// A value as a person would write it: text without quotes.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Seeds as they are written: `0..19`, `1,5,8..9`.
pub fn spell(seeds: &[u64]) -> String {
    let runs = seeds.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let runs = runs.map(|run| match run {
        [first, .., last] => format!("{first}..{last}"),
        run => run.iter().map(u64::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// The first entry in which two tables differ, in words.
fn difference(path: &str, a: &Table, b: &Table) -> Option<String> {
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    for key in keys {
        let whole = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                if let Some(found) = difference(&whole, a, b) {
                    return Some(found);
                }
            }
            (Some(a), Some(b)) if same(a, b) => {}
            (a, b) => {
                let words = |value: Option<&Value>| value.map_or("nothing".to_owned(), text);
                return Some(format!("{whole} = {} instead of {}", words(a), words(b)));
            }
        }
    }
    None
}

/// Names of folders.
struct Names {
    /// Of the settings.
    short: Vec<String>,
    /// Beginnings of names that are given.
    taken: BTreeSet<String>,
}

impl Names {
    /// What stands before the seed: `rate0.1-optimizer_sgd-`; a number more where two choices would be called the same.
    fn of(&mut self, values: &[(String, Value)]) -> String {
        let parts = self.short.iter().zip(values).map(|(name, (_, value))| part(name, value));
        let whole: String = parts.collect();
        let mut whole: String = whole.chars().take(MOST_NAME_CHARS).collect();
        whole.truncate(whole.floor_char_boundary(MOST_NAME_BYTES));
        let numbered = (2..).map(|n| format!("{whole}{n}-"));
        let free = std::iter::once(whole.clone()).chain(numbered);
        let name = free.into_iter().find(|name| !self.taken.contains(name)).unwrap_or_default();
        if !name.is_empty() {
            self.taken.insert(name.clone());
        }
        name
    }
}

/// `rate0.1-` of a number, `optimizer_sgd-` of anything else; of a path its last part.
fn part(name: &str, value: &Value) -> String {
    let number = value.is_integer() || value.is_float();
    let value = text(value);
    let last = value.rsplit(['/', '\\']).next().unwrap_or(&value);
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let last: String = last.chars().map(safe).collect();
    let name: String = name.chars().map(safe).collect();
    format!("{name}{}{last}-", if number { "" } else { "_" })
}

/// A sweep, read: its plan and what is recorded of each run.
#[derive(Clone, Debug)]
pub struct Sweep {
    pub folder: PathBuf,
    pub plan: Plan,
    /// In the order of the plan.
    pub runs: Vec<Run>,
}

/// What is recorded of one run of a sweep.
#[derive(Clone, Debug)]
pub struct Run {
    pub member: Member,
    /// Metrics and marks; `None` when it has not begun, or cannot be read.
    pub recording: Option<Arc<Recording>>,
    /// Why it, or a part of it, cannot be read.
    pub problem: Option<String>,
}

/// How far a run of a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    NotBegun,
    /// Interrupted, or at it right now.
    Unfinished,
    Finished,
    /// At this step a number was no longer finite.
    Diverged(u64),
    /// Its folder cannot be read.
    Damaged,
}

impl Stage {
    pub fn words(self) -> &'static str {
        match self {
            Self::NotBegun => "not begun",
            Self::Unfinished => "unfinished",
            Self::Finished => "finished",
            Self::Diverged(_) => "diverged",
            Self::Damaged => "damaged",
        }
    }
}

impl Run {
    /// A run with what is recorded of it.
    pub fn new(member: Member, recording: Option<Recording>) -> Self {
        Self { member, recording: recording.map(Arc::new), problem: None }
    }

    fn read(folder: &Path, member: Member, sharers: usize) -> Self {
        let place = folder.join(&member.name);
        let read = || {
            if !has_begun(&place)? {
                return Ok(None);
            }
            let reader = Reader::open(&place)?;
            check_whole(&place).map(|()| Some(reader))
        };
        match read() {
            Ok(None) => Self::new(member, None),
            Ok(Some(reader)) => {
                let problem = reader.problems.first().map(|problem| problem.message.clone());
                let mut recording = reader.recording;
                recording.share(sharers);
                Self { problem, ..Self::new(member, Some(recording)) }
            }
            Err(e) => Self { problem: Some(e.message), ..Self::new(member, None) },
        }
    }

    pub fn stage(&self) -> Stage {
        let rows = self.recording.iter().any(|recording| !recording.rows.is_empty());
        if self.problem.is_some() && !rows {
            return Stage::Damaged;
        }
        let Some(recording) = &self.recording else { return Stage::NotBegun };
        if let Some(step) = diverged(&recording.marks) {
            return Stage::Diverged(step);
        }
        let last = recording.rows.last().map_or(0, |row| row.step);
        let steps = self.member.steps;
        if steps > 0 && last >= steps { Stage::Finished } else { Stage::Unfinished }
    }

    fn has_ended(&self) -> bool {
        self.problem.is_none() && matches!(self.stage(), Stage::Finished | Stage::Diverged(_))
    }

    /// A metric at the last evaluation of a run that is finished; `None` where it is undefined.
    pub fn at_end(&self, metric: &str) -> Option<f64> {
        let recording = self.recording.as_ref().filter(|_| self.stage() == Stage::Finished)?;
        let column = recording.column(metric)?;
        let value = recording.rows.last()?.values.get(column).copied()?;
        value.is_finite().then_some(value)
    }
}

/// The step at which training stopped because a number was no longer finite.
pub fn diverged(marks: &[Mark]) -> Option<u64> {
    let is = |mark: &&Mark| mark.kind == MarkKind::Note && mark.id == DIVERGED;
    marks.iter().rev().find(is).map(|mark| mark.step)
}

/// The name of the column that says when a capability appeared: `formed_induction_head`; `None` of another mark.
pub fn formed_name(mark: &Mark) -> Option<String> {
    (mark.kind == MarkKind::Emergence).then(|| format!("formed_{}", mark.id))
}

/// A quarter of what the rows of the runs in view may take.
fn sharers(runs: usize) -> usize {
    4 * runs
}

impl Sweep {
    /// Reads the plan and the metrics of all runs. A run that cannot be read is one with a problem.
    pub fn read(folder: &Path) -> Result<Self> {
        let plan = Plan::read(folder)?;
        let members = plan.members();
        let sharers = sharers(members.len());
        let runs = members.into_iter().map(|member| Run::read(folder, member, sharers));
        let runs = runs.collect();
        Ok(Self { folder: folder.to_owned(), plan, runs })
    }

    /// As it is now: runs that have ended are not read again.
    pub fn read_on(&self) -> Self {
        let sharers = sharers(self.runs.len());
        let read = |run: &Run| match run.has_ended() {
            true => run.clone(),
            false => Run::read(&self.folder, run.member.clone(), sharers),
        };
        Self { runs: self.runs.iter().map(read).collect(), ..self.clone() }
    }

    /// Whether all its runs have ended.
    pub fn has_ended(&self) -> bool {
        self.runs.iter().all(Run::has_ended)
    }

    /// What a look at the files of runs that have not ended tells: another number once they were written to. It reads none.
    pub fn glance(&self) -> u64 {
        let mut seen = DefaultHasher::new();
        for run in self.runs.iter().filter(|run| !run.has_ended()) {
            for name in ["run.json", "metrics.csv", "events.jsonl"] {
                let data = fs::metadata(self.folder.join(&run.member.name).join(name)).ok();
                data.map(|data| (data.len(), data.modified().ok())).hash(&mut seen);
            }
        }
        seen.finish()
    }

    /// The run folder of a run.
    pub fn folder_of(&self, run: usize) -> Option<PathBuf> {
        self.runs.get(run).map(|run| self.folder.join(&run.member.name))
    }

    /// A number of a run, by its name among [`Self::numbers`]; `None` where there is none, and for a run that is not
    /// finished.
    pub fn number(&self, run: usize, name: &str) -> Option<f64> {
        let run = self.runs.get(run).filter(|run| run.stage() == Stage::Finished)?;
        if let Some((_, value)) = run.member.values.iter().find(|(path, _)| path == name) {
            return value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
        }
        if name == "seed" {
            return Some(run.member.seed as f64);
        }
        let marks = &run.recording.as_ref()?.marks;
        let formed = marks.iter().find(|mark| formed_name(mark).as_deref() == Some(name));
        formed.map(|mark| mark.step as f64).or_else(|| run.at_end(name))
    }

    /// What a derivation gives for a number of a run; `None` where the plan has no formula for it.
    pub fn expected(&self, run: usize, name: &str) -> Option<f64> {
        let (_, text) = self.plan.expected.iter().find(|(known, _)| known == name)?;
        let value = self.plan.value_of(text, &self.runs.get(run)?.member).ok()?;
        value.is_finite().then_some(value)
    }

    /// Names of the numbers of a run: metrics at its end, settings that differ and are numbers, the seed, and at which
    /// step each mark formed.
    pub fn numbers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.metrics().into_iter().map(str::to_owned).collect();
        let number = |value: &Value| value.is_integer() || value.is_float();
        let settings = self.plan.settings.iter().filter(|(_, values)| values.iter().all(number));
        names.extend(settings.map(|(path, _)| path.clone()));
        names.push("seed".to_owned());
        let recordings = self.runs.iter().filter_map(|run| run.recording.as_ref());
        for name in recordings.flat_map(|recording| &recording.marks).filter_map(formed_name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Metrics that any run has, in the order of the first that has them.
    pub fn metrics(&self) -> Vec<&str> {
        let mut metrics: Vec<&str> = Vec::new();
        for recording in self.runs.iter().filter_map(|run| run.recording.as_ref()) {
            for column in &recording.columns {
                if !metrics.contains(&column.as_str()) {
                    metrics.push(column);
                }
            }
        }
        metrics
    }
}
