//! A run in the window: how it is begun and opened away from the window's thread, and its live side.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::nn::params::Params;
use crate::panel::NetShape;
use crate::record::error::{Error, Result};
use crate::record::event::State;
use crate::record::folder::Reader;
use crate::record::folder::library::{elsewhere, give_back, new_run_folder};
use crate::record::intervention::Intervention;
use crate::record::knobs;
use crate::record::recording::Recording;
use crate::record::vocab::Vocab;
use crate::record::weights::Weights;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Command, Session, Start};
use crate::task::Source;

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
    pub bench: Bench,
}

impl Run {
    /// Takes in the live settings that training has, after one was asked for: if it was refused, the form goes back to what is
    /// in force.
    ///
    /// # Errors
    /// When they are none of this version.
    pub fn follow(&mut self, live: &toml::Table) -> Result<()> {
        knobs::set_all(&mut self.experiment.train, "train.", live)?;
        let Some((name, asked)) = self.training.as_mut().and_then(Training::answered) else {
            return Ok(());
        };
        let shown = knobs::to_table(&mut self.draft.train);
        match live.get(&name) {
            Some(value) if *value != asked && shown.get(&name) == Some(&asked) => {
                knobs::set(&mut self.draft.train, "train.", &name, value)
            }
            _ => Ok(()),
        }
    }

    /// One that nobody trains.
    fn new(name: String, experiment: Experiment, recording: Recording, bench: Bench) -> Self {
        let (began, draft) = (experiment.clone(), experiment.clone());
        let recording = Arc::new(recording);
        Self { id: 0, name, experiment, began, draft, recording, training: None, bench }
    }
}

/// What stays the same for all steps of a run: its vocabulary, the shape of its network, its source.
pub struct Bench {
    pub net: NetShape,
    pub vocab: Vocab,
    pub roles: &'static [&'static str],
    pub source: Arc<dyn Source>,
    /// Tensors that training can change, in order.
    pub trained: Vec<String>,
}

impl Bench {
    /// # Errors
    /// When the task cannot be opened or the model cannot be built for it.
    pub fn of(experiment: &Experiment) -> Result<Self> {
        let source = experiment.task.open()?;
        let vocab = source.vocab().clone();
        let mut params = Params::new(experiment.train.seed as u64);
        let model = experiment.network(&*source, &mut params)?;
        let layout = model.layout();
        let net = NetShape {
            kind: layout.kind.to_owned(),
            heads: layout.heads.clone(),
            vocab: layout.vocab,
            length: layout.length,
        };
        let trained = params.all().filter(|p| params.is_trained(*p));
        let trained = trained.map(|p| params.name(p).to_owned()).collect();
        Ok(Self { net, vocab, roles: source.roles(), source, trained })
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
}

/// A run that was begun.
pub struct Begun {
    experiment: Experiment,
    bench: Bench,
    session: Session,
    folder: Option<PathBuf>,
    /// What went wrong and did not prevent it.
    pub trouble: Option<Error>,
}

impl Order {
    /// # Errors
    /// When the experiment cannot be built, or the weights of a branch cannot be read.
    pub fn carry_out(self) -> Result<Begun> {
        let Self { experiment, origin, place } = self;
        // Everyone who opens the task from here on sees the same sequences.
        let experiment = experiment.pinned()?;
        let bench = Bench::of(&experiment)?;
        let begin = match origin {
            Origin::Fresh => Begin::Fresh,
            Origin::Branch { step, weights, from } => {
                let weights = match weights {
                    Some(weights) => weights,
                    None => recorded(from.as_deref(), step)?,
                };
                Begin::Branch { weights, from }
            }
        };
        let in_library = matches!(place, Place::Library(_));
        let (folder, trouble) = room(place, &experiment.name);
        let session = Session::start(Start {
            experiment: experiment.clone(),
            begin,
            folder: folder.clone(),
            paused: false,
            attended: true,
        })
        .inspect_err(|_| {
            // One that a person named stays, empty or not.
            if let Some(folder) = folder.as_ref().filter(|_| in_library) {
                give_back(folder);
            }
        })?;
        Ok(Begun { experiment, bench, session, folder, trouble })
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
        let recording = Recording { folder: self.folder, ..Recording::default() };
        let training = Some(Training::new(self.session));
        Run { training, ..Run::new(name, self.experiment, recording, self.bench) }
    }

    pub fn name(&self) -> &str {
        &self.experiment.name
    }
}

/// A recorded run, read where reading takes its time.
pub struct Opened {
    experiment: Experiment,
    recording: Recording,
    bench: Bench,
    /// Parts of the folder that cannot be read, each in a sentence.
    pub problems: Vec<Error>,
}

impl Opened {
    /// # Errors
    /// When it is no run folder, or one that this version cannot read.
    pub fn read(folder: &Path) -> Result<Self> {
        let reader = Reader::open(folder)?;
        let experiment = Experiment::of_run(folder)?;
        let bench = Bench::of(&experiment).map_err(|e| e.context(folder.display()))?;
        let problems = reader.problems.clone();
        Ok(Self { experiment, recording: reader.recording, bench, problems })
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let folder = self.recording.folder.as_ref().and_then(|f| f.file_name());
        folder.map_or(self.experiment.name.clone(), |n| n.to_string_lossy().into())
    }

    pub fn into_run(self, name: String) -> Run {
        Run::new(name, self.experiment, self.recording, self.bench)
    }
}

/// The live side of a run.
pub struct Training {
    pub session: Session,
    pub state: State,
    /// What a hand asked for and the trainer has not yet confirmed: older reports are not shown.
    wanted: Option<State>,
    pub steps_per_second: f64,
    pub in_force: Vec<Intervention>,
    /// Live settings that were asked for and not answered yet, in order.
    asked: VecDeque<(String, toml::Value)>,
    /// In words: `learning global statistics`.
    pub doing: String,
    /// The newest weights that were sent.
    pub shown: Option<Arc<Weights>>,
    /// `Show` was sent and not answered yet.
    awaiting: bool,
    /// The weights of this step could not be sent.
    refused: Option<u64>,
    /// The thread has gone.
    pub gone: bool,
}

impl Training {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            state: State::Running,
            wanted: None,
            steps_per_second: 0.0,
            in_force: Vec::new(),
            asked: VecDeque::new(),
            doing: String::new(),
            shown: None,
            awaiting: false,
            refused: None,
            gone: false,
        }
    }

    pub fn send(&mut self, command: Command) {
        self.gone |= self.session.commands.send(command).is_err();
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running && !self.gone
    }

    /// Something is on its way from the trainer.
    pub fn is_awaited(&self) -> bool {
        !self.gone && (self.awaiting || self.wanted.is_some() || !self.asked.is_empty())
    }

    /// Shown at once: the button should not lag behind the hand.
    pub fn expect(&mut self, state: State) {
        self.state = state;
        self.wanted = Some(state);
    }

    /// A report of the trainer; one from before the last command was carried out is left aside.
    pub fn report(&mut self, state: State) {
        let ended = matches!(state, State::Finished | State::Failed);
        if ended || self.wanted.is_none_or(|wanted| wanted == state) {
            self.wanted = None;
            self.state = state;
        }
    }

    /// Asks for a live setting, unless that very answer is on its way.
    pub fn ask_for(&mut self, name: String, value: toml::Value) {
        if self.last_asked(&name) != Some(&value) {
            self.send(Command::Set { name: name.clone(), value: value.clone() });
            self.asked.push_back((name, value));
        }
    }

    fn last_asked(&self, name: &str) -> Option<&toml::Value> {
        self.asked.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The setting that the answer which came now is about, unless it was asked for anew since.
    pub fn answered(&mut self) -> Option<(String, toml::Value)> {
        let asked = self.asked.pop_front()?;
        self.last_asked(&asked.0).is_none().then_some(asked)
    }

    /// Asks for the weights as they are now, unless they are on their way.
    pub fn ask_for_weights(&mut self) {
        if !self.awaiting {
            self.send(Command::Show);
            self.awaiting = true;
        }
    }

    /// Whether the weights shown are older than `last`, the newest step heard of, and newer ones can be had.
    pub fn is_behind(&self, last: u64) -> bool {
        let shown = self.shown.as_ref().map(|w| w.step);
        !self.gone && shown != Some(last) && self.refused != Some(last)
    }

    pub fn take_weights(&mut self, weights: Arc<Weights>) {
        self.awaiting = false;
        self.shown = Some(weights);
    }

    /// Something failed: what was expected may never come.
    pub fn give_up(&mut self, last: u64) {
        if std::mem::take(&mut self.awaiting) {
            self.refused = Some(last);
        }
        self.wanted = None;
    }

    /// The thread has ended.
    pub fn end(&mut self) {
        self.gone = true;
        self.awaiting = false;
        self.wanted = None;
        self.asked.clear();
        if self.state == State::Running {
            self.state = State::Finished;
        }
    }
}
