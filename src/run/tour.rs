//! A tour: lessons, and what they are about. Every name in them is looked up before the first is shown.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::base::batch::Row;
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::Intervention;
use crate::measurement::effect::NAMES;
use crate::run_folder::{self, Reader, library};
use crate::task::held_out_seed;
use crate::task::reference_back::TupleText;

use super::examine::Instrument;
use super::expectation::{Expectation, Gate, Quantity};
use super::experiment::{self, Experiment, MOST_DOCUMENT_BYTES, On, plain, read_document};
use super::lesson::{self, Deed, Lesson, When, check_keys, named};
use super::recorded::Recorded;
use super::trainer::Trainer;

/// What a tour is about.
#[derive(Clone)]
pub enum Ground {
    /// A run of this experiment, which trains while one looks.
    Experiment(Box<Experiment>),
    /// A run that comes with the program.
    Recorded(&'static Recorded),
    /// A run that was recorded before.
    Folder(PathBuf),
}

/// Lessons, one after the other.
#[derive(Clone)]
pub struct Tour {
    pub title: String,
    /// A sentence for a person.
    pub about: String,
    pub ground: Ground,
    pub lessons: Vec<Lesson>,
}

/// Tours that come with the program: name, what the menu calls it, what it says on hover, and its document, or none
/// where it is the tour of the experiment of that name.
pub const BUILTIN: &[Builtin] = &[
    Builtin {
        name: "birth",
        title: "Guided tour: an induction head is born",
        about: "Five steps, 90 seconds: a text and its rule, the network before the birth, the two heads, the cut, undo.",
        document: None,
    },
    Builtin {
        name: "gating",
        title: "Guided tour: the gates of a working memory",
        about: "Six steps on a recorded run: registers, a half-trained network, what gets in, what is read, the cut, undo.",
        document: Some(include_str!("../../assets/lessons/gating.toml")),
    },
    Builtin {
        name: "memory",
        title: "Guided tour: which networks hold something in mind",
        about: "Five steps, four minutes: parity by a recurrent network, by a transformer, where it breaks, the memory token that mends it, the machine inside.",
        document: Some(include_str!("../../assets/lessons/memory.toml")),
    },
];

pub struct Builtin {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    document: Option<&'static str>,
}

/// Whether a document is a tour of its own, and no experiment: it has no task, and something that only tours have alone.
pub fn is_tour(text: &str) -> bool {
    let table = text.parse::<Table>().unwrap_or_default();
    let is_said = |key: &&str| table.contains_key(*key);
    !is_said(&"task") && ["lesson", "run", "experiment"].iter().any(is_said)
}

/// As [`is_tour`], of a file; one that cannot be read is none.
pub fn is_tour_file(path: &Path) -> bool {
    let is_toml = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    is_toml && read_document(path).is_ok_and(|text| is_tour(&text))
}

impl Tour {
    /// A tour that comes with the program: one of [`BUILTIN`], or that of an experiment.
    ///
    /// # Errors
    /// When none has that name.
    pub fn builtin(name: &str) -> Result<Self> {
        let found = BUILTIN.iter().find(|tour| tour.name == name);
        match found.and_then(|tour| tour.document) {
            Some(text) => Self::parse(text, name, Path::new("")),
            None if Experiment::is_builtin(name) => {
                Self::of_experiment(&Experiment::builtin(name)?)
                    .ok_or_else(|| Error::internal(format!("the experiment {name} has no lessons")))
            }
            None => {
                let experiments = experiment::BUILTIN.iter().map(|(name, _)| *name);
                let names = BUILTIN.iter().map(|tour| tour.name).chain(experiments);
                let near = did_you_mean(name, names);
                Err(Error::usage(format!(
                    "no tour that comes with the program is called \"{name}\".{near}"
                )))
            }
        }
    }

    /// The tour of an experiment; `None` where it has no lessons.
    pub fn of_experiment(experiment: &Experiment) -> Option<Self> {
        (!experiment.lessons.is_empty()).then(|| Self {
            title: experiment.title().to_owned(),
            about: experiment.about.clone(),
            lessons: experiment.lessons.clone(),
            ground: Ground::Experiment(Box::new(experiment.clone())),
        })
    }

    /// Reads a file: a tour of its own, or an experiment with lessons. Paths in it lead from its folder on.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_document(path)?;
        let origin = path.display().to_string();
        if is_tour(&text) {
            return Self::parse(&text, &origin, path.parent().unwrap_or(path));
        }
        Self::of_experiment(&Experiment::load(path)?).ok_or_else(|| {
            Error::input(format!(
                "{origin} has no lessons: expected sections that begin with [[lesson]], each with title, text and look"
            ))
        })
    }

    /// As [`Self::load`], with every name in it looked up: [`Self::check`].
    ///
    /// # Errors
    /// As both.
    pub fn checked(path: &Path, panels: &[&str], home: &Path) -> Result<Self> {
        let tour = Self::load(path)?;
        tour.check(panels, home).map_err(|e| e.context(path.display()))?;
        Ok(tour)
    }

    /// Reads a tour of its own: `title`, `about`, one of `run` and `experiment`, and `[[lesson]]` sections. `origin` stands in
    /// messages: the file.
    ///
    /// # Errors
    /// When the text is no TOML, or a key or a word of it is unknown.
    pub fn parse(text: &str, origin: &str, folder: &Path) -> Result<Self> {
        let wrong = |why: String| Error::input(format!("tour {origin}: {why}"));
        if text.len() as u64 > MOST_DOCUMENT_BYTES {
            let bytes = text.len();
            return Err(wrong(format!("{bytes} bytes, expected at most {MOST_DOCUMENT_BYTES}")));
        }
        let table: Table =
            text.parse().map_err(|e: toml::de::Error| wrong(plain(text, &e)).caused_by(e))?;
        Self::of_table(&table, folder).map_err(|e| wrong(e.message))
    }

    fn of_table(table: &Table, folder: &Path) -> Result<Self> {
        check_keys("a tour", table, &["title", "about", "run", "experiment", "lesson"])?;
        let said = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(value) => {
                Err(Error::usage(format!("{key}: read {value}, expected text in quotes")))
            }
        };
        let ground = match (said("run")?, said("experiment")?) {
            (Some(run), None) => run_of(run, folder)?,
            (None, Some(name)) => Ground::Experiment(Box::new(experiment_of(name, folder)?)),
            (None, None) | (Some(_), Some(_)) => {
                return Err(Error::usage(
                    "expected one of run = \"…\" (a run that comes with the program, or a folder) and experiment = \"…\"",
                ));
            }
        };
        let lessons = lesson::read_all(table.get("lesson").unwrap_or(&Value::Array(Vec::new())))?;
        if lessons.is_empty() {
            return Err(Error::usage("it has no [[lesson]]"));
        }
        Ok(Self {
            title: said("title")?.unwrap_or("Tour").to_owned(),
            about: said("about")?.unwrap_or("").to_owned(),
            ground,
            lessons,
        })
    }

    /// Looks up every name: panels among `panels`, the rest in the run or the experiment. `home` is where runs that come with
    /// the program are unpacked.
    ///
    /// # Errors
    /// At the first that is not there, with its lesson and what is nearest.
    pub fn check(&self, panels: &[&str], home: &Path) -> Result<()> {
        let mut known = Known::of(&self.ground, panels, home)?;
        for (number, lesson) in self.lessons.iter().enumerate() {
            let checked = match lesson.look.experiment.as_str() {
                "" => known.lesson(lesson),
                name => Experiment::builtin(name)
                    .and_then(|other| Known::of_experiment(&other, panels))
                    .and_then(|mut other| other.lesson(lesson)),
            };
            checked.map_err(|e| {
                e.context(format!("tour \"{}\", {}", self.title, named(number, &lesson.title)))
            })?;
        }
        Ok(())
    }
}

/// That every name in the lessons of an experiment is there: [`Tour::check`].
///
/// # Errors
/// At the first that is not.
pub fn check(experiment: &Experiment, panels: &[&str], home: &Path) -> Result<()> {
    Tour::of_experiment(experiment).map_or(Ok(()), |tour| tour.check(panels, home))
}

/// A name of a run that comes with the program, or else a folder.
fn run_of(said: &str, folder: &Path) -> Result<Ground> {
    let path = folder.join(said);
    match Recorded::find(said) {
        Ok(run) => Ok(Ground::Recorded(run)),
        Err(_) if path.is_dir() => Ok(Ground::Folder(path)),
        Err(error) => Err(Error::usage(format!(
            "run = \"{said}\": there is no folder {}, and {}",
            path.display(),
            error.message
        ))),
    }
}

/// A name of an experiment that comes with the program, or else a file.
fn experiment_of(said: &str, folder: &Path) -> Result<Experiment> {
    let path = folder.join(said);
    if Experiment::is_builtin(said) || !path.exists() {
        return Experiment::builtin(said);
    }
    Experiment::load(&path)
}

/// What there is to name.
struct Known<'a> {
    panels: &'a [&'a str],
    columns: Vec<String>,
    marks: Vec<String>,
    /// Of a recorded run: steps with weights. Empty: any.
    recorded: Vec<u64>,
    instrument: Instrument,
    /// Seed of the held-out sequences.
    seed: u64,
    /// The sequence in view, and whether something is in force, as far as the lessons before have come.
    row: Row,
    changed: bool,
}

impl<'a> Known<'a> {
    fn of(ground: &Ground, panels: &'a [&'a str], home: &Path) -> Result<Self> {
        match ground {
            Ground::Experiment(experiment) => Self::of_experiment(experiment, panels),
            Ground::Recorded(run) => Self::of_run(&run.unpack(home)?, panels),
            Ground::Folder(folder) => Self::of_run(folder, panels),
        }
    }

    fn of_experiment(experiment: &Experiment, panels: &'a [&'a str]) -> Result<Self> {
        let mut experiment = experiment.clone();
        // What there is to name does not depend on it.
        experiment.train.device = On::Cpu;
        let trainer = Trainer::new(&experiment)?;
        let marks = trainer.mark_ids().into_iter().map(str::to_owned).collect();
        Self::new(&experiment, panels, trainer.columns().to_vec(), marks)
    }

    fn of_run(folder: &Path, panels: &'a [&'a str]) -> Result<Self> {
        let reader = Reader::open(folder)?;
        let recording = reader.recording;
        let marks = recording.marks.into_iter().map(|mark| mark.id).collect();
        let experiment = Experiment::of_run(folder)?;
        let known = Self::new(&experiment, panels, recording.columns, marks)?;
        Ok(Self { recorded: recording.recorded, ..known })
    }

    fn new(
        experiment: &Experiment,
        panels: &'a [&'a str],
        columns: Vec<String>,
        marks: Vec<String>,
    ) -> Result<Self> {
        let instrument = Instrument::new(experiment)?;
        let seed = held_out_seed(experiment.train.seed as u64);
        let row = instrument.source().sequence(seed, 0);
        let recorded = Vec::new();
        Ok(Self { panels, columns, marks, recorded, instrument, seed, row, changed: false })
    }

    fn lesson(&mut self, lesson: &Lesson) -> Result<()> {
        let look = &lesson.look;
        self.panel(&look.panel).map_err(|e| e.context("look"))?;
        if let Some(number) = look.sequence {
            self.draw(number);
        }
        let seen = [
            look.step.as_ref().map(|when| self.moment(when)),
            look.head.map(|(layer, head)| self.head(layer, head)),
            look.query.map(|at| self.position(at)),
            look.key.map(|at| self.position(at)),
        ];
        seen.into_iter().flatten().collect::<Result<()>>().map_err(|e| e.context("look"))?;
        for deed in &lesson.deeds {
            self.deed(deed).map_err(|e| e.context(format!("do \"{deed}\"")))?;
        }
        for claim in &lesson.expect {
            self.claim(claim).map_err(|e| e.context(format!("expect \"{claim}\"")))?;
        }
        Ok(())
    }

    fn draw(&mut self, number: usize) {
        self.row = self.instrument.source().sequence(self.seed, number as u64);
    }

    fn deed(&mut self, deed: &Deed) -> Result<()> {
        match deed {
            Deed::Start(name) => Experiment::builtin(name).map(|_| ()),
            Deed::View(when) => self.moment(when),
            Deed::Sequence(number) => {
                self.draw(*number);
                Ok(())
            }
            Deed::Text(text) => {
                let tokens = self.instrument.source().vocab().encode(text)?;
                self.row = self.instrument.source().label(&tokens, &self.row);
                Ok(())
            }
            Deed::Query(at) | Deed::Key(at) => self.position(*at),
            Deed::Head(layer, head) => self.head(*layer, *head),
            Deed::Show(panel) => self.panel(panel),
            Deed::Intervene(what) | Deed::Lift(what) => self.change(what, deed),
            Deed::LiftAll => {
                self.changed = false;
                Ok(())
            }
            Deed::Flip | Deed::Run | Deed::Pause => Ok(()),
        }
    }

    fn change(&mut self, what: &Intervention, deed: &Deed) -> Result<()> {
        self.changed = matches!(deed, Deed::Intervene(_));
        self.instrument.check(what)
    }

    fn claim(&self, claim: &Expectation) -> Result<()> {
        match claim {
            Expectation::Token { at, is } | Expectation::Predicts { at, is } => {
                self.position(*at)?;
                self.token(is)
            }
            Expectation::Number { of, .. } => match of {
                Quantity::Metric { column, at } => {
                    at.as_ref().map_or(Ok(()), |at| self.moment(at))?;
                    self.column(column, self.changed && at.is_none())
                }
                Quantity::Attention { layer, head, query, key } => {
                    self.head(*layer, *head)?;
                    self.position(*query)?;
                    self.position(*key)
                }
                Quantity::Probability(at) => self.position(*at),
                Quantity::Gate { tuple, what } => self.gate(*tuple, *what),
            },
        }
    }

    fn panel(&self, name: &str) -> Result<()> {
        among("panel", name, self.panels)
    }

    fn moment(&self, when: &When) -> Result<()> {
        match when {
            When::Live => Ok(()),
            When::Mark(id) => {
                let marks: Vec<&str> = self.marks.iter().map(String::as_str).collect();
                among("mark", id, &marks)
            }
            When::Step(step) if self.recorded.is_empty() || self.recorded.contains(step) => Ok(()),
            When::Step(step) => Err(Error::usage(format!(
                "the weights of step {step} are not recorded; those of these steps are: {:?}",
                self.recorded
            ))),
        }
    }

    fn head(&self, layer: usize, head: usize) -> Result<()> {
        let heads = &self.instrument.layout().heads;
        if heads.get(layer).is_some_and(|count| head < *count) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "this network has no layer{layer}.head{head}; heads by layer: {heads:?}"
        )))
    }

    fn position(&self, at: usize) -> Result<()> {
        let last = self.row.len().saturating_sub(1);
        if at <= last {
            return Ok(());
        }
        Err(Error::usage(format!("read position {at}, and the last one of the sequence is {last}")))
    }

    fn gate(&self, tuple: usize, what: Gate) -> Result<()> {
        let text = self.instrument.source().facet::<TupleText>().ok_or_else(|| {
            Error::usage("sequences of this task are no tuples, so that there are no gates")
        })?;
        let count = text.tuples(&self.row.tokens).list.len();
        let last = match what {
            Gate::Attends(to) => tuple.max(to),
            Gate::Open | Gate::Keys | Gate::Query => tuple,
        };
        if last < count {
            return Ok(());
        }
        Err(Error::usage(format!("read tuple {last}, and this sequence has {count}, from 0 on")))
    }

    /// With something in force a metric is measured on a few sequences, and only some are.
    fn column(&self, name: &str, changed: bool) -> Result<()> {
        let all: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        among("metric", name, &all)?;
        if changed && !NAMES.contains(&name) {
            return Err(Error::usage(format!(
                "while something is in force, these are measured: {}",
                NAMES.join(", ")
            )));
        }
        Ok(())
    }

    fn token(&self, text: &str) -> Result<()> {
        let vocab = self.instrument.source().vocab();
        let count = crate::base::convert::id(vocab.len());
        if (0..count).any(|id| vocab.text(id) == text || vocab.glyph(id) == text) {
            return Ok(());
        }
        Err(Error::usage(format!("the vocabulary has no token \"{text}\"")))
    }
}

/// That there is such a name.
fn among(what: &str, name: &str, known: &[&str]) -> Result<()> {
    if known.contains(&name) {
        return Ok(());
    }
    let listed =
        if known.len() > 30 { String::new() } else { format!(" Known: {}.", known.join(", ")) };
    let near = did_you_mean(name, known.iter().copied());
    Err(Error::usage(format!("there is no {what} called \"{name}\".{near}{listed}")))
}

/// Where runs that come with the program are unpacked: beside the library of runs, or among temporary files.
pub fn home(library: Option<&Path>) -> PathBuf {
    library::beside(library, "lessons")
}

impl Ground {
    /// Whether a run is one that this is about: what it began as, and where it is recorded.
    pub fn is_of(&self, began: &Experiment, folder: Option<&Path>, home: &Path) -> bool {
        match self {
            Self::Experiment(experiment) => experiment.learns_as(began),
            Self::Recorded(run) => folder == Some(run.folder(home).as_path()),
            Self::Folder(wanted) => folder == Some(wanted.as_path()),
        }
    }

    /// The folder to open; `None` where an experiment is to be started.
    ///
    /// # Errors
    /// When it cannot be unpacked, or is none.
    pub fn folder(&self, home: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Experiment(_) => Ok(None),
            Self::Recorded(run) => run.unpack(home).map(Some),
            Self::Folder(folder) => run_folder::about(folder).map(|_| Some(folder.clone())),
        }
    }
}
