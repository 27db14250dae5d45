//! A run in the window: how it is begun and opened away from the window's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::batch::Reals;
use crate::base::error::{Error, Result};
use crate::base::event::State;
use crate::base::settings;
use crate::base::vocab::Vocab;
use crate::base::weights::Weights;
use crate::model::Keeps;
use crate::nn::params::Params;
use crate::panel::NetShape;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Session, Start};
use crate::run_folder::follow::Follower;
use crate::run_folder::library::{elsewhere, give_back, new_run_folder};
use crate::run_folder::model_folder::is_model;
use crate::run_folder::recording::Recording;
use crate::run_folder::series;
use crate::run_folder::{Parent, Reader, task_of};
use crate::task::Source;
use crate::task::prompts::UnreadTokenizer;

use super::following::Following;
use super::live::Training;
use super::scoring::Series;

/// A run in the window.
pub struct Run {
    /// Told apart from every other run that this window has had; 0 until it is in the list.
    pub id: u64,
    pub name: String,
    pub experiment: Experiment,
    /// The same as the run began: what a hand changed since is among its marks.
    pub began: Experiment,
    /// What the form shows: the settings of the next run that is begun from here.
    pub draft: Experiment,
    pub recording: Arc<Recording>,
    pub training: Option<Training>,
    /// Another program writes it, or may.
    pub following: Option<Following>,
    /// Of a network of another program.
    pub series: Option<Box<Series>>,
    pub info: RunInfo,
}

impl Run {
    /// Takes in the live settings that training has, after one was asked for: if it was refused, the form goes back to what is
    /// in force.
    ///
    /// # Errors
    /// When they are none of this version.
    pub fn follow(&mut self, live: &toml::Table) -> Result<()> {
        settings::set_all(&mut self.experiment.train, "train.", live)?;
        let Some((name, asked)) = self.training.as_mut().and_then(Training::answered) else {
            return Ok(());
        };
        let shown = settings::to_table(&mut self.draft.train);
        match live.get(&name) {
            Some(value) if *value != asked && shown.get(&name) == Some(&asked) => {
                settings::set(&mut self.draft.train, "train.", &name, value)
            }
            _ => Ok(()),
        }
    }

    /// A branch that has done no step of its own and waits for a hand.
    pub fn waits(&self) -> bool {
        let is_paused = self.training.as_ref().is_some_and(|t| t.state == State::Paused);
        let from = self.recording.parent.as_ref().map(|parent| parent.step);
        is_paused && from.is_some_and(|step| self.recording.last_step <= step)
    }

    /// One that nobody trains.
    fn new(name: String, experiment: Experiment, recording: Recording, info: RunInfo) -> Self {
        let (began, draft) = (experiment.clone(), experiment.clone());
        let series = experiment.model.is_read().then(|| Box::new(Series::new(recording.clone())));
        let recording = Arc::new(recording);
        let (training, following) = (None, None);
        Self { id: 0, name, experiment, began, draft, recording, training, following, series, info }
    }

    /// Another run lies in its folder now: what it is. What the form shows stays where a hand changed it.
    pub(super) fn replace(&mut self, experiment: Experiment, info: RunInfo) {
        if self.draft.to_toml() == self.experiment.to_toml() {
            self.draft.clone_from(&experiment);
        }
        (self.began, self.experiment, self.info) = (experiment.clone(), experiment, info);
    }
}

/// What stays the same for all steps of a run: its vocabulary, the shape of its network, its source.
pub struct RunInfo {
    pub net: NetShape,
    pub vocab: Vocab,
    pub roles: &'static [&'static str],
    pub source: Arc<dyn Source>,
    /// What the network keeps of what it has read.
    pub keeps: Option<Keeps>,
    /// Whether its matrices are memories that can be read one by one.
    pub has_memories: bool,
    /// Tensors that training can change, in order.
    pub trained: Vec<String>,
    /// Bytes of these.
    pub trained_bytes: usize,
}

impl RunInfo {
    /// # Errors
    /// When the task cannot be opened or the model cannot be built for it.
    pub fn of(experiment: &Experiment) -> Result<Self> {
        let source = experiment.task.open()?;
        let vocab = source.vocab().clone();
        let mut params = Params::new(experiment.train.seed as u64);
        let model = experiment.outline(&*source, &mut params)?;
        let layout = model.layout();
        let net = NetShape {
            kind: layout.kind.to_owned(),
            heads: layout.heads.clone(),
            vocab: layout.vocab,
            answers: source.possible_answers(),
            length: layout.length,
            segment: experiment.train.segment,
            reals: source.facet::<Reals>().is_some(),
            is_read: experiment.model.is_read(),
        };
        let (keeps, has_memories) = (model.keeps(), model.memories().is_some());
        let all = || params.all().filter(|p| params.is_trained(*p));
        let trained = all().map(|p| params.name(p).to_owned()).collect();
        let numbers: usize = all().map(|p| params.count(p)).sum();
        let trained_bytes = numbers * size_of::<f32>();
        Ok(Self {
            net,
            vocab,
            roles: source.roles(),
            source,
            keeps,
            has_memories,
            trained,
            trained_bytes,
        })
    }
}

/// Where the weights of a new run come from.
pub enum Origin {
    Fresh,
    /// Those of a step; read from the folder of their run when they are not at hand.
    Branch {
        step: u64,
        weights: Option<Arc<Weights>>,
        from: Option<PathBuf>,
    },
}

/// Where a new run is recorded.
pub enum Place {
    Folder(PathBuf),
    /// In a new folder of this library.
    Library(PathBuf),
    /// In memory only, said why.
    Nowhere(Option<Error>),
}

/// A run to be begun: building it takes its time, so another thread does it.
pub struct Order {
    pub experiment: Experiment,
    pub origin: Origin,
    pub place: Place,
    /// Whether it waits for a hand before its first step.
    pub paused: bool,
}

/// A run that was begun.
pub struct Begun {
    experiment: Experiment,
    info: RunInfo,
    session: Session,
    folder: Option<PathBuf>,
    /// Where it branched from another run.
    parent: Option<Parent>,
    /// Whether it waits for a hand before its first step.
    paused: bool,
    /// What went wrong and did not prevent it.
    pub trouble: Option<Error>,
}

impl Order {
    /// # Errors
    /// When the experiment cannot be built, or the weights of a branch cannot be read.
    pub fn carry_out(self) -> Result<Begun> {
        let Self { experiment, origin, place, paused } = self;
        // Everyone who opens the task from here on sees the same sequences.
        let experiment = experiment.pinned()?;
        let info = RunInfo::of(&experiment)?;
        let parent = origin.parent();
        let begin = origin.begin()?;
        let in_library = matches!(place, Place::Library(_));
        let (folder, trouble) = room(place, &experiment.name);
        let session = Session::start(Start {
            experiment: experiment.clone(),
            begin,
            folder: folder.clone(),
            paused,
            attended: true,
        })
        .inspect_err(|_| {
            // One that a person named stays, empty or not.
            if let Some(folder) = folder.as_ref().filter(|_| in_library) {
                give_back(folder);
            }
        })?;
        Ok(Begun { experiment, info, session, folder, parent, paused, trouble })
    }
}

impl Origin {
    fn parent(&self) -> Option<Parent> {
        match self {
            Self::Fresh => None,
            Self::Branch { step, from, .. } => Some(Parent { folder: from.clone(), step: *step }),
        }
    }

    /// # Errors
    /// When the weights of a branch cannot be read.
    fn begin(self) -> Result<Begin> {
        Ok(match self {
            Self::Fresh => Begin::Fresh,
            Self::Branch { weights: Some(weights), from, .. } => Begin::Branch { weights, from },
            Self::Branch { weights: None, from, step } => {
                Begin::Branch { weights: recorded(from.as_deref(), step)?, from }
            }
        })
    }
}

fn recorded(folder: Option<&Path>, step: u64) -> Result<Arc<Weights>> {
    let folder = folder
        .ok_or_else(|| Error::usage("no weights are recorded yet: let training run a moment"))?;
    Ok(Arc::new(Reader::open(folder)?.weights(step)?))
}

/// A folder to record into. Where the disk refuses, the run goes on without one: it can be watched all the same.
fn room(place: Place, name: &str) -> (Option<PathBuf>, Option<Error>) {
    let library = match place {
        Place::Folder(folder) => return (Some(folder), None),
        Place::Nowhere(trouble) => return (None, trouble),
        Place::Library(library) => library,
    };
    match new_run_folder(&library, name) {
        Ok(folder) => (Some(folder), None),
        Err(refusal) => {
            let (folder, trouble) = elsewhere(name, &refusal);
            (folder, Some(trouble))
        }
    }
}

impl Begun {
    /// The run under its name in the window.
    pub fn into_run(self, name: String) -> Run {
        let recording = Recording {
            folder: self.folder,
            task: task_of(&self.experiment.to_toml()),
            parent: self.parent,
            ..Recording::default()
        };
        let training = Some(Training::new(self.session, self.paused));
        Run { training, ..Run::new(name, self.experiment, recording, self.info) }
    }

    pub fn name(&self) -> &str {
        &self.experiment.name
    }
}

/// A recorded run, read where reading takes its time.
pub struct Opened {
    experiment: Experiment,
    recording: Recording,
    info: RunInfo,
    /// None where the folder is that of one network, which nobody writes to.
    following: Option<Following>,
    /// Parts of the folder that cannot be read, each in a sentence.
    pub problems: Vec<Error>,
}

impl Opened {
    /// # Errors
    /// When it is no run folder, or one that this version cannot read.
    pub fn read(folder: &Path) -> Result<Self> {
        let began = Instant::now();
        let (recording, following, mut problems) = if is_model(folder) {
            let (follower, recording, problems) =
                series::follow::Follower::open(folder, Duration::ZERO)?;
            let following = follower.map(|follower| Following::of_series(follower, began));
            (recording, following, problems)
        } else {
            let (follower, recording, problems) = Follower::open(folder, Duration::ZERO)?;
            (recording, Some(Following::of_run(follower, began)), problems)
        };
        let experiment = Experiment::of_run(folder)?;
        let info = RunInfo::of(&experiment).map_err(|e| e.context(folder.display()))?;
        problems.extend(info.source.facet().map(|unread: &UnreadTokenizer| unread.0.clone()));
        Ok(Self { experiment, recording, info, following, problems })
    }

    pub fn folder(&self) -> Option<&PathBuf> {
        self.recording.folder.as_ref()
    }

    /// Its folder, where it is a network of another program.
    pub fn network(&self) -> Option<&PathBuf> {
        self.folder().filter(|_| self.experiment.model.is_read())
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let folder = self.recording.folder.as_ref().and_then(|f| f.file_name());
        folder.map_or(self.experiment.name.clone(), |n| n.to_string_lossy().into())
    }

    pub fn into_run(self, name: String) -> Run {
        Run {
            following: self.following,
            ..Run::new(name, self.experiment, self.recording, self.info)
        }
    }
}
