//! Asks a study of a network: its prompts, or those of a person, in tokens behind the one that begins them.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::prompt::Encoded;
use crate::base::question::Reading;
use crate::base::registry;
use crate::base::settings;
use crate::formats::prompts::{self, Prompt};
use crate::formats::tokenizer::{Begin, Codec};
use crate::measurement::study::{self, Study};
use crate::run_folder::series;
use crate::task::held_out_seed;
use crate::task::prompted::Prompted;

use super::experiment::Experiment;

/// Which study, with which settings, on which prompts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    pub study: &'a str,
    /// `(setting, text of its value)` pairs.
    pub settings: &'a [(String, String)],
    /// A file of prompts in the place of the study's own.
    pub prompts: Option<&'a Path>,
    /// What begins a prompt; none: what the study was published with.
    pub begin: Option<Begin>,
}

/// A study that is ready to be asked of a network.
pub struct Prepared {
    pub name: String,
    pub study: Box<dyn Study>,
    /// Behind the token that begins them.
    pub prompts: Vec<Encoded>,
    pub begin: Begin,
    /// The token that begins a prompt.
    pub first: Option<u32>,
    /// Prompts of the study's own that are read otherwise by this tokenizer, and other things to know.
    pub notes: Vec<String>,
}

/// What a study found, and how it was asked.
pub struct Studied {
    pub prepared: Prepared,
    pub reading: Reading,
}

/// The study of a name with its settings.
///
/// # Errors
/// When there is none of that name, or a setting does not suit it.
pub fn study_of(name: &str, given: &[(String, String)]) -> Result<Box<dyn Study>> {
    let mut found = registry::find("study", study::ALL, name)?;
    for (key, text) in given {
        let value = settings::read(&mut *found, key, text);
        settings::set(&mut *found, &format!("{name}."), key, &value)?;
    }
    Ok(found)
}

/// Reads the prompts that a study is asked with.
///
/// # Errors
/// When there is no such study, a prompt cannot be read, or names a token that the network does not have.
pub fn prepare(request: &Request<'_>, folder: &Path, of: &Experiment) -> Result<Prepared> {
    let study = study_of(request.study, request.settings)?;
    let codec = codec(folder, of);
    let usual = if study.is_begun() { Begin::TransformerLens } else { Begin::Nothing };
    let begin = request.begin.unwrap_or(usual);
    let first = codec.as_ref().and_then(|codec| codec.begins(begin, &of.model_kind));
    let mut notes = Vec::new();
    let prompts = match request.prompts {
        Some(path) => {
            let read = prompts::read(path)?;
            let read = read.iter().map(|prompt| prompt.encode(codec.as_ref()));
            read.collect::<Result<Vec<_>>>()
                .map_err(|e| e.context(format!("reading {}", path.display())))?
        }
        None => match (&codec, of_task(of)?) {
            (None, Some(prompts)) if !study.prompts().is_empty() => prompts,
            _ => own(request.study, &*study, codec.as_ref(), &mut notes)?,
        },
    };
    let prompts: Vec<Encoded> = prompts.into_iter().map(|prompt| prompt.begun(first)).collect();
    Ok(Prepared { name: request.study.to_owned(), study, prompts, begin, first, notes })
}

/// The tokenizer of a network of another program, where there is one that can be read: who opens the network says why not.
fn codec(folder: &Path, of: &Experiment) -> Option<Codec> {
    if !of.model.is_read() {
        return None;
    }
    let tokenizer = series::tokenizer_folder(folder).unwrap_or_else(|| folder.to_owned());
    Codec::in_folder(&tokenizer).ok().flatten()
}

/// Prompts of a task that makes endlessly many.
const MOST_OF_TASK: usize = 1000;

/// The prompts that a task makes itself, of the seed of its held-out sequences.
fn of_task(of: &Experiment) -> Result<Option<Vec<Encoded>>> {
    let source = of.task.open()?;
    let prompted = source.facet::<Prompted>();
    let seed = held_out_seed(of.train.seed as u64);
    Ok(prompted.map(|prompted| prompted.first(seed, MOST_OF_TASK)))
}

/// The first set of a study's own prompts of which the tokenizer reads some as they are meant; the others of the set are left out.
fn own(
    name: &str,
    study: &dyn Study,
    codec: Option<&Codec>,
    notes: &mut Vec<String>,
) -> Result<Vec<Encoded>> {
    let sets = study.prompts();
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let Some(codec) = codec else {
        return Err(Error::usage(format!(
            "{name} asks with text, and this network has no tokenizer that can be read: give prompts as ids (--prompts FILE.jsonl), such as {{\"prompt\": [5, 9, 17], \"answer\": 3, \"wrong\": 4}}"
        )));
    };
    let mut why = None;
    for (at, set) in sets.iter().enumerate() {
        let (read, refused) = read_set(&prompts::of_json(set)?, codec);
        if read.is_empty() {
            why = why.or(refused.into_iter().next());
            continue;
        }
        if at > 0 {
            notes.push(study.about_other_set().to_owned());
        }
        if let Some(first) = refused.first() {
            let count = refused.len();
            let are = if count == 1 { "prompt" } else { "prompts" };
            notes.push(format!(
                "Left out: {count} {are} of the study's own that this tokenizer reads otherwise, first {}.",
                first.clause()
            ));
        }
        return Ok(read);
    }
    let why = why.map_or_else(String::new, |why| format!(": {}", why.clause()));
    Err(Error::usage(format!(
        "this tokenizer reads none of the prompts of {name} as they are meant{why}; give prompts of your own (--prompts FILE.jsonl)"
    )))
}

fn read_set(prompts: &[Prompt], codec: &Codec) -> (Vec<Encoded>, Vec<Error>) {
    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for prompt in prompts {
        match prompt.encode(codec) {
            Ok(encoded) => read.push(encoded),
            Err(e) => refused.push(e),
        }
    }
    (read, refused)
}
