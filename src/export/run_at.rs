//! A recorded run at one step, ready to be asked: what commands, figures and films share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::array::Array;
use crate::base::batch::{Row, read_by};
use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::base::question::{MeasurementCall, Readings};
use crate::base::quoting;
use crate::base::vocab::Vocab;
use crate::base::weights::Weights;
use crate::formats::file::meant;
use crate::formats::tokenizer::Begin;
use crate::run::examine::Instrument;
use crate::run::experiment::Experiment;
use crate::run::lenses::{self, Lenses};
use crate::run::scoring;
use crate::run_folder::Reader;
use crate::run_folder::library;
use crate::run_folder::recording::Recording;
use crate::sweep::{Plan, is_sweep};
use crate::task::prompts::{Beginnings, UnreadTokenizer};
use crate::task::{Source, held_out_seed};

/// Which weights, which sequence, and what is changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The step, or the nearest one whose weights are recorded; none: the last.
    pub step: Option<u64>,
    /// Number of the held-out sequence, or of the prompt of a set.
    pub sequence: u64,
    /// A file with a set of prompts, for a network of another program.
    pub prompts: Option<PathBuf>,
    /// Text in its place, under its rules.
    pub tokens: Option<String>,
    /// What begins the text, or the prompts of a set (BOS); none: as the tokenizer of the network says.
    pub begin: Option<Begin>,
    /// Tokens in its place by their numbers.
    pub ids: Option<Vec<u32>>,
    /// As a person writes them: [`Intervention::written`].
    pub interventions: Vec<String>,
}

/// A run folder, opened, and what is asked of it.
pub struct RunAt {
    pub experiment: Experiment,
    pub recording: Arc<Recording>,
    pub instrument: Instrument,
    pub weights: Weights,
    pub prompt: Arc<Row>,
    pub interventions: Vec<Intervention>,
    reader: Reader,
    problems: Vec<Error>,
    /// Where lenses that were fitted to it are kept.
    lenses: [PathBuf; 2],
    place: String,
}

impl RunAt {
    /// # Errors
    /// When the folder is no run, the run has no recorded weights, or the question cannot be asked of it.
    pub fn open(folder: &Path, question: &Question) -> Result<Self> {
        refuse_sweep(folder)?;
        let mut reader = Reader::open(folder)?;
        let library = library::home().ok();
        let mut recording = Arc::new(reader.recording.clone());
        scoring::recall(&mut recording, folder, library.as_deref());
        let mut experiment = Experiment::of_run(folder)?;
        read_set(&mut experiment, question)?;
        let mut instrument = Instrument::new(&experiment)?;
        let places = lenses::places(library.as_deref(), folder, &experiment);
        instrument.equip(Lenses::default().kept_in(&places));
        let unread = instrument.source().facet().map(|unread: &UnreadTokenizer| unread.0.clone());
        let problems = reader.problems.iter().cloned().chain(unread).collect();
        let place = folder.display().to_string();
        let weights = weights(&mut reader, &recording, question.step, &place)?;
        let mut run = Self {
            experiment,
            recording,
            instrument,
            weights,
            prompt: Arc::default(),
            interventions: Vec::new(),
            reader,
            problems,
            lenses: places,
            place,
        };
        run.ask_about(question)?;
        Ok(run)
    }

    /// What of the run is damaged, gone or not read, and was left out.
    pub fn problems(&self) -> &[Error] {
        &self.problems
    }

    /// Turns to another question.
    ///
    /// # Errors
    /// When it cannot be asked of this run.
    pub fn turn_to(&mut self, question: &Question) -> Result<()> {
        if read_set(&mut self.experiment, question)? {
            self.instrument = Instrument::new(&self.experiment)?;
            self.instrument.equip(Lenses::default().kept_in(&self.lenses));
        }
        let step = nearest(&self.recording, question.step, &self.place)?;
        if step != self.weights.step {
            self.weights = self.reader.weights(step)?;
        }
        self.ask_about(question)
    }

    fn ask_about(&mut self, question: &Question) -> Result<()> {
        let source = self.instrument.source();
        let seed = held_out_seed(self.experiment.train.seed as u64);
        let first = source.shown(seed, question.sequence);
        let written = match (&question.tokens, &question.ids) {
            (Some(text), _) => {
                let tokens = source.vocab().encode(text);
                let tokens = tokens.map_err(|e| explained(e, &**source).context("--tokens"))?;
                Some(("--tokens", begun(&**source, tokens, question.begin)?))
            }
            (None, _) if question.begin.is_some() && question.prompts.is_none() => {
                return Err(Error::usage(
                    "--begin says what is put before a text, and none is given (--tokens); tokens by their numbers are taken as they are",
                ));
            }
            (None, ids) => ids.clone().map(|ids| ("--ids", ids)),
        };
        self.prompt = Arc::new(match written {
            None => first,
            Some((option, tokens)) => {
                check_tokens(option, &tokens, &**source)?;
                source.label(&tokens, &first)
            }
        });
        let written = |what: &String| Intervention::written(what, source.vocab());
        self.interventions = question.interventions.iter().map(written).collect::<Result<_>>()?;
        Ok(())
    }

    /// Turns to the sequence of another run.
    ///
    /// # Errors
    /// When this one cannot read it.
    pub fn read(&mut self, row: &Arc<Row>, vocab: &Vocab) -> Result<()> {
        let source = self.instrument.source();
        let read = read_by(row, vocab, (source.vocab(), source.longest()));
        self.prompt = read.map_err(|why| {
            Error::usage(format!("{} {why}: write one that both can read (--tokens)", self.place))
        })?;
        Ok(())
    }

    /// Gives what every place of one pass over the prompt holds, as files name it.
    pub fn places(&mut self, give: &mut dyn FnMut(Array) -> Result<()>) -> Result<()> {
        self.instrument.places(&self.weights, &self.prompt, &self.interventions, give)
    }

    /// Forgets what was answered: the next question is answered anew.
    pub fn forget(&mut self) {
        self.instrument.forget();
    }

    pub fn ask(&mut self, calls: &[MeasurementCall]) -> Result<Readings> {
        self.instrument.examine(&self.weights, &self.prompt, &self.interventions, calls)
    }
}

/// Turns a network of another program to a set of prompts, or to none; whether its task is another one then.
fn read_set(experiment: &mut Experiment, question: &Question) -> Result<bool> {
    let path = question.prompts.as_deref().unwrap_or(Path::new(""));
    if !experiment.model.is_read() {
        if question.prompts.is_none() {
            return Ok(false);
        }
        return Err(Error::usage(format!(
            "--prompts {}: this run has sequences of its own (--sequence N); sets of prompts are for networks of other programs",
            path.display()
        )));
    }
    let before = experiment.to_toml();
    experiment.set("task.prompts", &path.to_string_lossy().as_ref().into())?;
    experiment.resolve_from_here();
    let begin = question.begin.filter(|_| question.prompts.is_some());
    let begin = begin.unwrap_or(Begin::Tokenizer);
    experiment.set("task.begin", &begin.name().into())?;
    Ok(experiment.to_toml() != before)
}

/// Where the run of a name lies: in a sweep that was named, or beside the run that was. Without a name it is `folder` itself.
pub fn folder_of(folder: &Path, run: &str) -> PathBuf {
    if run.is_empty() {
        return folder.to_owned();
    }
    let run = &meant(run);
    let inside = folder.join(run);
    if is_sweep(folder) || inside.is_dir() {
        return inside;
    }
    // The parent of `a-run` is the folder that the program was started in, that of `.` is outside of it.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if whole.file_name() == Some(run.as_os_str()) {
        return folder.to_owned();
    }
    match whole.parent() {
        Some(parent) => parent.join(run),
        None => run.clone(),
    }
}

/// The name of a folder, without where it lies.
pub fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// The name of a folder, with the one that it lies in where another folder has the same name.
pub fn told_apart(folder: &Path, other: &Path) -> String {
    let name = name_of(folder);
    let whole = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let (whole, other_whole) = (whole(folder), whole(other));
    match whole.parent().filter(|_| name == name_of(other) && whole != other_whole) {
        None => name,
        Some(parent) => format!("{}/{name}", name_of(parent)),
    }
}

/// Why a text is not read, with why there is no tokenizer that reads it.
fn explained(e: Error, source: &dyn Source) -> Error {
    match source.facet() {
        Some(UnreadTokenizer(why)) => {
            Error::new(e.kind, format!("{}; {}", e.clause(), why.message))
        }
        None => e,
    }
}

/// The tokens of a text with what is to begin them.
fn begun(source: &dyn Source, tokens: Vec<u32>, how: Option<Begin>) -> Result<Vec<u32>> {
    let Some(how) = how else { return Ok(tokens) };
    let beginnings = source.facet::<Beginnings>().ok_or_else(|| {
        Error::usage("--begin is for networks of other programs, whose prompts a token may begin")
    })?;
    Ok(beginnings.begun(how, &tokens))
}

/// That the network reads these tokens.
fn check_tokens(option: &str, tokens: &[u32], source: &dyn Source) -> Result<()> {
    if tokens.is_empty() || tokens.len() > source.longest() {
        return Err(Error::usage(format!(
            "{option} has {} tokens; this network reads 1 to {}",
            tokens.len(),
            source.longest()
        )));
    }
    let count = source.vocab().len();
    match tokens.iter().find(|token| **token as usize >= count) {
        None => Ok(()),
        Some(token) => Err(Error::usage(format!(
            "{option} names token {token}; this network has the tokens 0 to {}",
            count.saturating_sub(1)
        ))),
    }
}

fn weights(
    reader: &mut Reader,
    recording: &Recording,
    step: Option<u64>,
    place: &str,
) -> Result<Weights> {
    reader.weights(nearest(recording, step, place)?)
}

fn nearest(recording: &Recording, wanted: Option<u64>, place: &str) -> Result<u64> {
    recording
        .nearest_recorded(wanted.unwrap_or(u64::MAX))
        .ok_or_else(|| Error::input(format!("{place} has no recorded weights yet")))
}

/// A sweep is many runs, of which one must be named.
///
/// # Errors
/// When the folder is one.
pub fn refuse_sweep(folder: &Path) -> Result<()> {
    if !is_sweep(folder) {
        return Ok(());
    }
    let first = Plan::read(folder)?.members().into_iter().next();
    let first = first.map_or_else(String::new, |member| member.name);
    Err(Error::usage(format!(
        "{} is a sweep; name one of its runs, for example {}",
        folder.display(),
        quoting::path(folder.join(first))
    )))
}
