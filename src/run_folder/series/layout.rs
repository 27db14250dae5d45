//! Where the steps of a series lie: in folders named after them (`step512`, `stage1-step512-tokens4B`, `checkpoint-500`), in a cache of
//! Hugging Face's (`models--org--name`, whose `refs/step512` names the folder of a snapshot), or in folders whose `config.json` says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::budget;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::run_folder::disk::read_text;
use crate::run_folder::model_folder::{CONFIG, MOST_CONFIG_BYTES};

use super::MOST_STEPS;

/// Most entries of a folder that are looked at: checkpoints and logs of a long run are thousands.
const MOST_ENTRIES: usize = 1 << 16;
/// A ref holds the 40 signs of a commit.
const MOST_REF_BYTES: u64 = 256;
/// The branch that every repository has, and that names no step.
const MAIN: &str = "main";
/// What `main` is of the networks of Pythia: Biderman et al. 2023, section 2.4.
const PYTHIA: (&str, u64) = ("models--EleutherAI--pythia-", 143_000);

/// The steps that a folder names; whether they can be read is not known yet.
pub struct Listed {
    /// Folders of networks by the updates of training that they have seen.
    pub steps: BTreeMap<u64, PathBuf>,
    pub problems: Vec<Error>,
}

/// A folder that is said to hold the network of a step.
struct Place {
    /// Where the step is said.
    name: PathBuf,
    /// Beyond [`budget::MOST_STEP`] where the number is none that a run can have.
    step: u64,
    path: PathBuf,
}

/// What was found in a folder.
#[derive(Default)]
struct Found {
    places: Vec<Place>,
    /// The snapshot of `main`.
    main: Option<PathBuf>,
    problems: Vec<Error>,
    /// There are more entries than are looked at.
    is_cut: bool,
}

/// Whether a folder names steps.
pub fn is_there(folder: &Path) -> bool {
    let found = find(folder);
    !found.places.is_empty() || found.main.is_some()
}

/// # Errors
/// When there are too many steps, one that no run can have, or two folders of the same.
pub fn list(folder: &Path) -> Result<Listed> {
    let Found { mut places, main, problems, is_cut } = find(folder);
    if is_cut || places.len() > MOST_STEPS {
        return Err(Error::input(format!(
            "{} holds too many folders: expected at most {MOST_STEPS} steps among {MOST_ENTRIES} entries. Move some of them to a folder of their own",
            folder.display()
        )));
    }
    // The order of a listing is any.
    places.sort_by(|a, b| a.name.cmp(&b.name));
    let mut names: BTreeMap<u64, &Place> = BTreeMap::new();
    for place in &places {
        check_step(place)?;
        if let Some(other) = names.insert(place.step, place) {
            return Err(Error::input(format!(
                "{} and {} are both step {}; expected each step once. Move one of them elsewhere",
                other.name.display(),
                place.name.display(),
                place.step
            )));
        }
    }
    let steps = names.into_iter().map(|(step, place)| (step, place.path.clone())).collect();
    let mut listed = Listed { steps, problems };
    if let Some(main) = main {
        listed.add_main(folder, main);
    }
    Ok(listed)
}

/// The folders that [`list`] would name, whatever else is wrong.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let Found { mut places, main, .. } = find(folder);
    places.sort_by_key(|place| place.step);
    places.into_iter().map(|place| place.path).chain(main).collect()
}

fn check_step(place: &Place) -> Result<()> {
    if place.step <= budget::MOST_STEP {
        return Ok(());
    }
    Err(Error::input(format!(
        "{} is said to be of a step beyond {}, and no training goes on for so long; give it another name",
        place.name.display(),
        budget::MOST_STEP
    )))
}

impl Listed {
    /// The branch `main` holds the network as it was when training ended.
    fn add_main(&mut self, folder: &Path, path: PathBuf) {
        if self.steps.values().any(|step| *step == path) {
            return;
        }
        let last = self.steps.last_key_value().map(|(step, _)| *step);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let known = name.starts_with(PYTHIA.0).then_some(PYTHIA.1).or_else(|| step_said(&path));
        let step = match (known.filter(|step| *step <= budget::MOST_STEP), last) {
            (Some(step), _) => step,
            (None, None) => 0,
            (None, Some(last)) => {
                self.problems.push(Error::input(format!(
                    "the branch {MAIN} does not say its step: it is shown as step {}, one after the last that has a number",
                    last + 1
                )));
                last + 1
            }
        };
        // One that is there by its number is the same.
        self.steps.entry(step).or_insert(path);
    }
}

fn find(folder: &Path) -> Found {
    let cached = cached(folder);
    if !cached.places.is_empty() || cached.main.is_some() {
        return cached;
    }
    let (names, is_cut) = names(folder);
    let named = names.iter().filter_map(|name| {
        let (step, path) = (step_of(name)?, folder.join(name));
        (path.is_dir() && !crate::run_folder::is_run(&path)).then(|| Place {
            name: path.clone(),
            step,
            path,
        })
    });
    let mut places: Vec<Place> = named.take(MOST_STEPS + 1).collect();
    if places.is_empty() {
        places = said(folder, &names);
    }
    Found { places, is_cut, ..cached }
}

/// The names of what lies in a folder, and whether there are more of them.
fn names(folder: &Path) -> (Vec<String>, bool) {
    let Ok(entries) = fs::read_dir(folder) else { return (Vec::new(), false) };
    let mut entries = entries.flatten();
    let looked_at = entries.by_ref().take(MOST_ENTRIES);
    let names = looked_at.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    (names, entries.next().is_some())
}

/// The step that a folder is named after; the largest number where it is beyond any.
fn step_of(name: &str) -> Option<u64> {
    if let Some(number) = name.strip_prefix("checkpoint-") {
        return number_of(number).filter(|(_, rest)| rest.is_empty()).map(|(step, _)| step);
    }
    let name = ["stage", "ingredient"].iter().fold(name, |name, part| without(name, part));
    let number = name.strip_prefix("step")?;
    let number = number.strip_prefix(['-', '_']).unwrap_or(number);
    let (step, rest) = number_of(number)?;
    (rest.is_empty() || rest == "-unsharded" || rest.starts_with("-tokens")).then_some(step)
}

/// A name without `stage1-` at its beginning.
fn without<'a>(name: &'a str, part: &str) -> &'a str {
    let numbered = name.strip_prefix(part).and_then(number_of);
    numbered.and_then(|(_, rest)| rest.strip_prefix('-')).unwrap_or(name)
}

/// The number at the beginning of a text, and what follows it.
fn number_of(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    // Digits alone: only one that is too large cannot be read.
    (end > 0).then(|| (text[..end].parse().unwrap_or(u64::MAX), &text[end..]))
}

/// Folders that say their step in their `config.json`.
fn said(folder: &Path, names: &[String]) -> Vec<Place> {
    let folders = names.iter().map(|name| folder.join(name));
    let networks = folders.filter(|path| path.join(CONFIG).is_file()).take(MOST_STEPS + 1);
    let said = networks.filter(|path| !crate::run_folder::is_run(path)).filter_map(|path| {
        step_said(&path).map(|step| Place { name: path.join(CONFIG), step, path })
    });
    said.collect()
}

fn step_said(folder: &Path) -> Option<u64> {
    let text = read_text(&folder.join(CONFIG), MOST_CONFIG_BYTES).ok()?;
    let config = json::parse(&text).ok()?;
    let step = config.get("step").filter(|step| step.is_number())?;
    // A number that is none from 0 to 2^64 is beyond all.
    Some(step.as_u64().unwrap_or(u64::MAX))
}

/// The steps of a cache of Hugging Face's; none where the folder is no such cache.
fn cached(folder: &Path) -> Found {
    let mut found = Found::default();
    let (refs, snapshots) = (folder.join("refs"), folder.join("snapshots"));
    if !snapshots.is_dir() {
        return found;
    }
    let (names, is_cut) = names(&refs);
    found.is_cut = is_cut;
    for name in names {
        let step = step_of(&name);
        if step.is_none() && name != MAIN || found.places.len() > MOST_STEPS {
            continue;
        }
        let name = refs.join(name);
        match (snapshot(&name, &snapshots), step) {
            (Ok(path), Some(step)) => found.places.push(Place { name, step, path }),
            (Ok(path), None) => found.main = Some(path),
            (Err(e), _) => found.problems.push(e),
        }
    }
    found
}

/// The folder of a snapshot that a ref names.
fn snapshot(name: &Path, snapshots: &Path) -> Result<PathBuf> {
    let commit = read_text(name, MOST_REF_BYTES)?;
    let commit = commit.trim();
    let is_plain = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric());
    let path = snapshots.join(commit);
    if is_plain && path.is_dir() {
        return Ok(path);
    }
    Err(Error::input(format!(
        "{} is left out: it names no folder of {}; get this revision anew",
        name.display(),
        snapshots.display()
    )))
}
