//! The words that say which recorded run is asked, at which step, about what.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::base::error::{Error, Result};
use crate::base::weights::Weights;
use crate::export::against::Other;
use crate::export::run_at::{Question, RunAt};
use crate::formats::tokenizer::Begin;
use crate::run_folder::{Reader, library, recent};

/// The words that say which weights, which sequence and what is changed.
#[derive(Args)]
pub struct Asked {
    #[command(flatten)]
    at: At,
    /// Set a part of the network to zero, e.g. `--cut layer1.head0` or `--cut layer0.attn_out@7`
    #[arg(long, value_name = "PLACE")]
    cut: Vec<String>,
    /// Change the forward pass, e.g. `--intervene "mean layer1.head0"`, `"scale layer1.head0 by 0.5"`, `"patch
    /// layer1.k.head0@7 from TEXT"`, `"add layer1.resid_pre@7 2*embed[5]"` or `"cut layer1.head0@20<-7 renormalised"`
    #[arg(long, value_name = "WHAT")]
    intervene: Vec<String>,
}

/// The words that say which weights and which sequence.
#[derive(Args)]
pub struct At {
    /// Folder of a recorded run
    #[arg(value_name = "RUN_FOLDER")]
    folder: PathBuf,
    /// Step to look at: the nearest one whose weights are recorded (default: the last)
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Number of the held-out sequence to ask about, or of the prompt of a set
    #[arg(long, value_name = "N", default_value_t = 0)]
    sequence: u64,
    /// A set of prompts, for a network of another program: a text a line, or lines of JSON (.jsonl) with prompt, answer, wrong,
    /// counterpart, roles and fillers. Those with a counterpart are the pairs that causal questions compare
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Text to ask about in its place
    #[arg(long, value_name = "TEXT", conflicts_with = "ids")]
    tokens: Option<String>,
    /// What is put before the text, or the prompts of a set (BOS), of a network of another program: what its tokenizer puts there (the default), what TransformerLens does, or nothing
    #[arg(long, value_name = "WHO", value_parser = PossibleValuesParser::new(Begin::NAMES))]
    begin: Option<String>,
    /// Tokens to ask about in its place, by their numbers: `--ids 5,9,17`
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = token)]
    ids: Option<Vec<u32>>,
}

/// The word that says with what is compared.
#[derive(Args)]
pub struct Against {
    /// Compare with another run (its folder, or the name of one beside this), or with another step: RUN, RUN@STEP, `@100` (step 100
    /// of this run) or `@` (the same step of it). Both are asked about the same sequence; what is cut or changed is so here, and
    /// not there
    #[arg(long, value_name = "RUN[@STEP]")]
    against: Option<OsString>,
}

impl Against {
    /// # Errors
    /// When it is nothing that can be compared with.
    pub fn other(&self) -> Result<Option<Other>> {
        self.against.as_deref().map(Other::read).transpose()
    }
}

impl Asked {
    pub fn folder(&self) -> &Path {
        &self.at.folder
    }

    pub fn question(&self) -> Question {
        let cuts = self.cut.iter().map(|place| format!("zero {place}"));
        let interventions = cuts.chain(self.intervene.iter().cloned()).collect();
        Question { interventions, ..self.at.question() }
    }

    pub fn open(&self) -> Result<RunAt> {
        open(self.folder(), &self.question())
    }

    /// Opens what is compared with a run, turned to the same sequence.
    pub fn open_other(&self, run: &RunAt, other: &Other) -> Result<RunAt> {
        let step = Some(other.step.unwrap_or(run.weights.step));
        let question = Question { step, ..Question::default() };
        let folder = other.folder(self.folder());
        // What is wrong with the same folder has been told.
        let open = if folder == self.folder() { quietly_opened } else { open };
        let mut opened = open(&folder, &question)?;
        opened.read(&run.prompt, run.instrument.source().vocab())?;
        Ok(opened)
    }
}

fn token(text: &str) -> std::result::Result<u32, String> {
    let number = text.trim().parse();
    number.map_err(|_| format!("read \"{text}\", expected the number of a token, from 0"))
}

impl At {
    /// That a text was not written for a question that makes its own sequences.
    pub fn check_text(&self, reads: bool) -> Result<()> {
        match &self.tokens {
            Some(text) if !reads => Err(Error::usage(format!(
                "--tokens {text}: this question makes its own sequences and reads no text; leave it out"
            ))),
            _ if self.ids.is_some() && !reads => Err(Error::usage(
                "--ids: this question makes its own sequences and reads no tokens; leave it out",
            )),
            _ => Ok(()),
        }
    }

    fn question(&self) -> Question {
        Question {
            step: self.step,
            sequence: self.sequence,
            prompts: self.prompts.clone(),
            tokens: self.tokens.clone(),
            begin: self.begin.as_deref().and_then(Begin::named),
            ids: self.ids.clone(),
            interventions: Vec::new(),
        }
    }

    pub fn open(&self) -> Result<RunAt> {
        open(&self.folder, &self.question())
    }
}

fn open(folder: &Path, question: &Question) -> Result<RunAt> {
    let run = quietly_opened(folder, question)?;
    tell_problems(run.problems());
    Ok(run)
}

/// Opened without a word of what is damaged or not read.
fn quietly_opened(folder: &Path, question: &Question) -> Result<RunAt> {
    let run = RunAt::open(folder, question)?;
    remember(folder, question.prompts.as_deref());
    if let Some(wanted) = question.step.filter(|wanted| *wanted != run.weights.step) {
        tell_taken(wanted, run.weights.step);
    }
    Ok(run)
}

/// The recorded weights nearest to a step, or the last ones. Another step than the one asked for is said.
///
/// # Errors
/// When none are recorded, or they are damaged.
pub fn weights_near(reader: &mut Reader, wanted: Option<u64>) -> Result<Weights> {
    tell_problems(&reader.problems);
    let nearest = reader.recording.nearest_recorded(wanted.unwrap_or(u64::MAX));
    let step = nearest.ok_or_else(|| {
        Error::input(format!("{} has no recorded weights yet", reader.folder.display()))
    })?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != step) {
        tell_taken(wanted, step);
    }
    reader.weights(step)
}

/// Says what of a run is damaged or gone, and was left out.
pub fn tell_problems<'a>(problems: impl IntoIterator<Item = &'a Error>) {
    problems.into_iter().for_each(|problem| note(&problem.message));
}

/// Says that another step was taken. Not among the answers, where a program may read them.
pub fn tell_taken(wanted: u64, taken: u64) {
    note(format!(
        "step {wanted} has no recorded weights; step {taken}, the nearest that has, is taken"
    ));
}

/// A sentence beside the answers.
pub fn note(text: impl AsRef<str>) {
    super::tell(text.as_ref());
}

/// Puts a network of another program, and prompts, among what was opened lately.
pub(super) fn remember(folder: &Path, prompts: Option<&Path>) {
    let Ok(home) = library::home() else { return };
    let network = recent::Kind::of_folder(folder).map(|kind| (kind, folder));
    let prompts = prompts.map(|path| (recent::Kind::Prompts, path));
    for (kind, path) in network.into_iter().chain(prompts) {
        if let Err(e) = recent::remember(&home, kind, path) {
            note(&e.message);
        }
    }
}
