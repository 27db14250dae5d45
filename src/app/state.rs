//! The lab: runs, what is looked at and what is known of it, without any drawing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::figure::Pick;
use crate::nn::params::Params;
use crate::panel::{NetShape, Selection};
use crate::record::batch::Row;
use crate::record::error::{Error, Result};
use crate::record::event::{Event, MarkKind, State};
use crate::record::folder::Reader;
use crate::record::folder::library::new_run_folder;
use crate::record::intervention::{Intervention, Point, Site};
use crate::record::knobs;
use crate::record::question::{ProbeCall, Readings};
use crate::record::recording::Recording;
use crate::record::vocab::Vocab;
use crate::record::weights::Weights;
use crate::run::experiment::Experiment;
use crate::run::session::{Begin, Command, Session, Start};
use crate::task::{Source, held_out_seed};

use super::ask::Inquiry;

/// Events are taken in for at most this long a frame, so that a flood of them never stops the window.
const DRAIN: Duration = Duration::from_millis(10);

/// A run in the window.
pub struct Run {
    pub name: String,
    pub experiment: Experiment,
    pub recording: Arc<Recording>,
    pub training: Option<Training>,
    pub bench: Bench,
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
        let model = experiment.model.build(vocab.len(), source.length(), &mut params)?;
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

/// The live side of a run.
pub struct Training {
    session: Session,
    pub state: State,
    /// What a hand asked for and the trainer has not yet confirmed: older reports are not shown.
    wanted: Option<State>,
    pub steps_per_second: f64,
    pub in_force: Vec<Intervention>,
    /// In words: `learning global statistics`.
    doing: String,
    /// The newest weights that were sent.
    pub shown: Option<Arc<Weights>>,
    /// `Show` was sent and not answered yet.
    pub awaiting: bool,
    /// The thread has gone.
    pub gone: bool,
}

impl Training {
    pub fn send(&mut self, command: Command) {
        self.gone |= self.session.commands.send(command).is_err();
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running && !self.gone
    }

    /// Shown at once: the button should not lag behind the hand.
    fn expect(&mut self, state: State) {
        self.state = state;
        self.wanted = Some(state);
    }

    /// A report of the trainer; one from before the last command was carried out is left aside.
    fn report(&mut self, state: State) {
        let ended = matches!(state, State::Finished | State::Failed);
        if ended || self.wanted.is_none_or(|wanted| wanted == state) {
            self.wanted = None;
            self.state = state;
        }
    }
}

/// Walking through recorded steps by itself.
pub struct Playback {
    pub steps_per_second: f64,
    pub playing: bool,
    last: Option<Instant>,
}

/// Everything the window knows. Changed by events, answers and actions; drawn by the rest of `app`.
pub struct Lab {
    pub runs: Vec<Run>,
    pub current: usize,
    /// What the form shows: the experiment of the next run.
    pub draft: Option<Experiment>,
    pub prompt: Arc<Row>,
    /// Number of the drawn sequence.
    pub drawn: u64,
    pub selection: Selection,
    /// The step in view; `None` means the newest.
    pub step: Option<u64>,
    /// Interventions tried on a step of the past: they change the examination, not the run.
    pub trial: Vec<Intervention>,
    pub readings: Option<Arc<Readings>>,
    /// How well the network does with what is in force, as last examined.
    pub effect: Option<Arc<Readings>>,
    /// The same without anything in force, at the step of `effect`.
    pub baseline: Option<Arc<Readings>>,
    /// Counts changes to what is looked at and to what is known of it.
    pub revision: u64,
    /// Counts news of training: metrics, marks, recorded steps.
    pub news: u64,
    pub troubles: Vec<Error>,
    pub speed: Option<f64>,
    pub playback: Playback,
    /// Where new runs are recorded; `None`: in memory only.
    pub runs_folder: Option<PathBuf>,
    /// Where the next run is recorded, if that was said.
    pub next_folder: Option<PathBuf>,
    pub inquiry: Inquiry,
}

impl Lab {
    /// `wake` is called from the examiner's thread when an answer has come.
    pub fn new(runs_folder: Option<PathBuf>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            runs: Vec::new(),
            current: 0,
            draft: None,
            prompt: Arc::default(),
            drawn: 0,
            selection: Selection::default(),
            step: None,
            trial: Vec::new(),
            readings: None,
            effect: None,
            baseline: None,
            revision: 0,
            news: 0,
            troubles: Vec::new(),
            speed: None,
            playback: Playback { steps_per_second: 10.0, playing: false, last: None },
            runs_folder,
            next_folder: None,
            inquiry: Inquiry::new(wake),
        }
    }

    pub fn run(&self) -> Option<&Run> {
        self.runs.get(self.current)
    }

    pub fn training(&self) -> Option<&Training> {
        self.run()?.training.as_ref()
    }

    fn training_mut(&mut self) -> Option<&mut Training> {
        self.runs.get_mut(self.current)?.training.as_mut()
    }

    pub fn is_training(&self) -> bool {
        self.training().is_some_and(Training::is_running)
    }

    /// Whether run, pause and step mean something now.
    pub fn can_train(&self) -> bool {
        self.training()
            .is_some_and(|t| !t.gone && matches!(t.state, State::Running | State::Paused))
    }

    /// The runs as panels want them: the one in view first.
    pub fn recordings(&self) -> Vec<(String, Arc<Recording>)> {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|&i| i != self.current);
        order
            .into_iter()
            .map(|i| (self.runs[i].name.clone(), self.runs[i].recording.clone()))
            .collect()
    }

    /// The step whose state is looked at.
    pub fn step_in_view(&self) -> u64 {
        self.step.or_else(|| self.run().map(|r| r.recording.last_step)).unwrap_or(0)
    }

    /// What changes the network in view, and what can be undone.
    pub fn in_force(&self) -> &[Intervention] {
        match (self.step, self.training()) {
            (None, Some(training)) => &training.in_force,
            _ => &self.trial,
        }
    }

    pub fn changed(&mut self) {
        self.revision += 1;
    }

    /// Shows a sentence until it is dismissed; the same one only once.
    pub fn trouble(&mut self, error: Error) {
        if !self.troubles.iter().any(|e| e.message == error.message) {
            self.troubles.push(error);
        }
    }

    /// Carries out what may fail; a failure becomes a sentence in the window.
    pub fn attempt(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = act(self) {
            self.trouble(error);
        }
    }

    /// Begins a run and shows it.
    ///
    /// # Errors
    /// When the experiment cannot be built or its folder not be made. The runs that are there stay.
    pub fn start(&mut self, experiment: &Experiment, begin: Begin) -> Result<()> {
        // Everyone who opens the task from here on sees the same sequences.
        let experiment = &experiment.clone().pinned()?;
        let bench = Bench::of(experiment)?;
        let name = self.free_name(&experiment.name);
        let folder = match (self.next_folder.take(), &self.runs_folder) {
            (Some(folder), _) => Some(folder),
            (None, Some(library)) => Some(new_run_folder(library, &experiment.name)?),
            (None, None) => None,
        };
        let session = Session::start(Start {
            experiment: experiment.clone(),
            begin,
            folder: folder.clone(),
            paused: false,
            attended: true,
        })
        .inspect_err(|_| {
            // The folder made for it; removed only if nothing is in it.
            let _ = folder.as_ref().map(std::fs::remove_dir);
        })?;
        // Two trainings at once would halve each other's speed: the one before is held.
        if let Some(training) = self.training_mut()
            && training.is_running()
        {
            training.send(Command::Pause);
            training.expect(State::Paused);
        }
        let mut training = Training {
            session,
            state: State::Running,
            wanted: None,
            steps_per_second: 0.0,
            in_force: Vec::new(),
            doing: String::new(),
            shown: None,
            awaiting: false,
            gone: false,
        };
        if let Some(speed) = self.speed {
            training.send(Command::Speed(Some(speed)));
        }
        self.runs.push(Run {
            name,
            experiment: experiment.clone(),
            recording: Arc::new(Recording { folder, ..Recording::default() }),
            training: Some(training),
            bench,
        });
        self.choose(self.runs.len() - 1);
        Ok(())
    }

    /// Adds a run that was recorded before.
    ///
    /// # Errors
    /// When its experiment cannot be built here.
    pub fn add_recorded(&mut self, experiment: Experiment, recording: Recording) -> Result<()> {
        let bench = Bench::of(&experiment)?;
        let folder_name = recording.folder.as_ref().and_then(|f| f.file_name());
        let name = folder_name.map_or(experiment.name.clone(), |n| n.to_string_lossy().into());
        let name = self.free_name(&name);
        let recording = Arc::new(recording);
        self.runs.push(Run { name, experiment, recording, training: None, bench });
        self.choose(self.runs.len() - 1);
        Ok(())
    }

    fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.runs.iter().any(|run| run.name == name);
        let numbered = (2..).map(|n| format!("{wanted} ({n})"));
        std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// Shows a run; the sequence is kept if the task can still read it.
    pub fn choose(&mut self, index: usize) {
        let sharers = self.runs.len();
        for run in self.runs.iter_mut().filter(|run| run.recording.sharers != sharers) {
            Arc::make_mut(&mut run.recording).share(sharers);
        }
        let Some(run) = self.runs.get(index) else { return };
        self.current = index;
        self.draft = Some(run.experiment.clone());
        self.step = None;
        self.trial.clear();
        self.readings = None;
        self.effect = None;
        self.baseline = None;
        self.inquiry.forget();
        let heads = &run.bench.net.heads;
        let head = heads.get(self.selection.layer).is_some_and(|&n| self.selection.head < n);
        if !head || self.prompt.is_empty() {
            // The last layer is where an induction head reads off its answer.
            self.selection.layer = heads.iter().rposition(|&n| n > 0).unwrap_or(0);
            self.selection.head = 0;
        }
        self.draw_sequence(self.drawn);
    }

    pub fn draw_sequence(&mut self, index: u64) {
        let Some(run) = self.run() else { return };
        // Those of the held-out batch, which were never trained on and which the cloud shows.
        let seed = held_out_seed(run.experiment.train.seed as u64);
        let row = run.bench.source.sequence(seed, index);
        self.drawn = index;
        self.set_prompt(row);
    }

    fn set_prompt(&mut self, row: Row) {
        // A position whose answer has been seen before shows what the window is about.
        let telling = row.occurrence.iter().rposition(|&n| n >= 2);
        let keep = self.selection.query.filter(|&q| q < row.len() && row.occurrence[q] >= 2);
        self.selection.query = keep.or(telling).or(row.len().checked_sub(1));
        self.selection.key = None;
        self.prompt = Arc::new(row);
        self.changed();
    }

    /// Asks about another text.
    ///
    /// # Errors
    /// When it holds a sign that is no token, is empty or too long.
    pub fn set_text(&mut self, text: &str) -> Result<()> {
        let Some(run) = self.run() else { return Ok(()) };
        let tokens = run.bench.vocab.encode(text)?;
        let longest = run.bench.net.length;
        if tokens.is_empty() || tokens.len() > longest {
            return Err(Error::usage(format!(
                "the text has {} tokens; this network reads 1 to {longest}",
                tokens.len()
            )));
        }
        let row = run.bench.source.label(&tokens, &self.prompt);
        self.set_prompt(row);
        Ok(())
    }

    /// The sequence in view as text.
    pub fn text(&self) -> String {
        let Some(run) = self.run() else { return String::new() };
        self.prompt.tokens.iter().map(|&id| run.bench.vocab.text(id)).collect()
    }

    /// One selection for all panels.
    pub fn pick(&mut self, pick: &Pick, shift: bool) {
        let selection = &mut self.selection;
        match *pick {
            Pick::Nothing | Pick::Token(_) => return,
            Pick::Query(at) | Pick::Key(at) if shift => selection.key = Some(at),
            Pick::Query(at) => selection.query = Some(at),
            Pick::Key(at) => selection.key = Some(at),
            Pick::QueryKey { query, key } => {
                selection.query = Some(query);
                selection.key = Some(key);
            }
            Pick::Head { layer, head } => {
                selection.layer = layer;
                selection.head = head;
            }
            Pick::Step(step) => return self.view(Some(step)),
            Pick::CloudPoint { sequence, position, is_key } => {
                return self.pick_cloud_point(sequence, position, is_key);
            }
        }
        self.changed();
    }

    /// Points of other sequences bring that sequence into view.
    fn pick_cloud_point(&mut self, sequence: usize, position: usize, is_key: bool) {
        if self.drawn != sequence as u64 {
            self.draw_sequence(sequence as u64);
        }
        if position >= self.prompt.len() {
            return;
        }
        let slot = if is_key { &mut self.selection.key } else { &mut self.selection.query };
        *slot = Some(position);
        self.changed();
    }

    /// Moves the selected query (or key) by `by` positions.
    pub fn move_selection(&mut self, by: isize, key: bool) {
        let last = self.prompt.len().saturating_sub(1);
        let slot = if key { &mut self.selection.key } else { &mut self.selection.query };
        let from = slot.unwrap_or(if by > 0 { 0 } else { last });
        *slot = Some(from.saturating_add_signed(by).min(last));
        self.changed();
    }

    /// Moves the focus by `by` heads through all layers.
    pub fn move_head(&mut self, by: isize) {
        let Some(run) = self.run() else { return };
        let heads = run.bench.net.heads.iter().enumerate();
        let all: Vec<(usize, usize)> =
            heads.flat_map(|(l, &n)| (0..n).map(move |h| (l, h))).collect();
        let here = (self.selection.layer, self.selection.head);
        let at = all.iter().position(|h| *h == here).unwrap_or(0);
        if let Some(&(layer, head)) =
            all.get(at.saturating_add_signed(by).min(all.len().saturating_sub(1)))
        {
            self.selection.layer = layer;
            self.selection.head = head;
            self.changed();
        }
    }

    /// Looks at the recorded step nearest to `step`, or at the newest.
    pub fn view(&mut self, step: Option<u64>) {
        let Some(run) = self.run() else { return };
        let step = step.and_then(|s| run.recording.nearest_recorded(s));
        if step != self.step {
            if step.is_none() || self.step.is_none() {
                self.trial.clear();
            }
            self.step = step;
            self.changed();
        }
    }

    /// Moves the step in view by `by` recorded steps; past the last one is live.
    pub fn move_step(&mut self, by: isize) {
        let Some(run) = self.run() else { return };
        let recorded = &run.recording.recorded;
        let here = match self.step {
            Some(step) => recorded.partition_point(|&s| s < step),
            None => recorded.len(),
        };
        let to = here.saturating_add_signed(by);
        let step = recorded.get(to).copied();
        if step.is_none() {
            self.playback.playing = false;
        }
        self.view(step);
    }

    /// Training or the step of the past in view, whichever is looked at.
    pub fn intervene(&mut self, what: Intervention) {
        if self.step.is_none() && self.training().is_some_and(|t| !t.gone) {
            if let Some(training) = self.training_mut() {
                training.send(Command::Intervene(what));
                training.send(Command::Show);
                training.awaiting = true;
            }
        } else if what.changes_forward() {
            if !self.trial.contains(&what) {
                self.trial.push(what);
            }
        } else {
            self.trouble(Error::usage(
                "freezing changes training, and a step of the past is not trained: go back to live, or branch from this step and freeze there",
            ));
        }
        self.changed();
    }

    pub fn lift(&mut self, what: &Intervention) {
        if self.step.is_none() && self.training().is_some() {
            if let Some(training) = self.training_mut() {
                training.send(Command::Lift(what.clone()));
                training.send(Command::Show);
                training.awaiting = true;
            }
        } else {
            self.trial.retain(|t| t != what);
        }
        self.changed();
    }

    /// A live setting of training, which the run's own experiment follows.
    pub fn set_live(&mut self, name: String, value: toml::Value) {
        let Some(run) = self.runs.get_mut(self.current) else { return };
        if let Err(error) = knobs::set(&mut run.experiment.train, "train.", &name, &value) {
            return self.trouble(error);
        }
        self.command(Command::Set { name, value });
    }

    /// Cuts the head in focus, or mends it.
    pub fn cut_or_mend_head(&mut self) {
        let cut = self.head_cut();
        if self.in_force().contains(&cut) { self.lift(&cut) } else { self.intervene(cut) }
    }

    pub fn lift_all(&mut self) {
        for what in self.in_force().to_vec().iter().rev() {
            self.lift(what);
        }
    }

    pub fn clear_selection(&mut self) {
        self.selection.query = None;
        self.selection.key = None;
        self.changed();
    }

    /// Plays from the step in view, from the first one when that is the newest.
    pub fn play_or_hold(&mut self) {
        self.playback.playing = !self.playback.playing;
        if self.playback.playing && self.step.is_none() {
            self.view(Some(0));
        }
    }

    /// Folders of the runs in the window.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.runs.iter().filter_map(|run| run.recording.folder.clone()).collect()
    }

    /// The weights of the step in view.
    ///
    /// # Errors
    /// When they are not known yet, or cannot be read.
    pub fn weights_in_view(&self) -> Result<Arc<Weights>> {
        let run = self.run().ok_or_else(|| Error::usage("there is no run"))?;
        let shown = run.training.as_ref().and_then(|t| t.shown.clone());
        if self.step.is_none()
            && let Some(weights) = shown
        {
            return Ok(weights);
        }
        let step = self.step.or_else(|| run.recording.recorded.last().copied());
        let (Some(step), Some(folder)) = (step, &run.recording.folder) else {
            return Err(Error::usage("no weights are recorded yet: let training run a moment"));
        };
        Ok(Arc::new(Reader::open(folder)?.weights(step)?))
    }

    /// Continues training from the step in view as a new run, with the settings of the form.
    ///
    /// # Errors
    /// When the weights cannot be read or do not fit the settings.
    pub fn branch(&mut self) -> Result<()> {
        let weights = self.weights_in_view()?;
        let (Some(run), Some(draft)) = (self.run(), &self.draft) else { return Ok(()) };
        let from = run.recording.folder.clone();
        let mut experiment = draft.clone();
        experiment.name = format!("{} from {}", run.experiment.name, weights.step);
        self.start(&experiment, Begin::Branch { weights, from })
    }

    /// What cutting the head in focus means.
    pub fn head_cut(&self) -> Intervention {
        let site = Site { layer: self.selection.layer, point: Point::Z };
        Intervention::Zero { site, head: Some(self.selection.head), position: None }
    }

    pub fn run_or_pause(&mut self) {
        self.go(!self.is_training());
    }

    /// Lets training go on, or holds it.
    pub fn go(&mut self, on: bool) {
        let (command, state) =
            if on { (Command::Run, State::Running) } else { (Command::Pause, State::Paused) };
        if let Some(training) = self.training_mut() {
            training.send(command);
            training.expect(state);
        }
    }

    pub fn single_step(&mut self) {
        if let Some(training) = self.training_mut() {
            training.send(Command::Step);
            training.expect(State::Paused);
        }
    }

    pub fn command(&mut self, command: Command) {
        if let Some(training) = self.training_mut() {
            training.send(command);
        }
    }

    /// Takes in what has happened since the last frame and asks what the panels need.
    pub fn tick(&mut self, calls: &[ProbeCall], now: Instant) {
        for index in 0..self.runs.len() {
            self.drain(index, now);
        }
        self.play(now);
        super::ask::take_replies(self, now);
        super::ask::ask(self, calls, now);
    }

    fn drain(&mut self, index: usize, now: Instant) {
        while now.elapsed() < DRAIN {
            let Some(training) = &mut self.runs[index].training else { return };
            match training.session.events.try_recv() {
                Ok(event) => self.take_in(index, event),
                Err(crossbeam_channel::TryRecvError::Empty) => return,
                Err(crossbeam_channel::TryRecvError::Disconnected) => {
                    if !training.gone {
                        training.gone = true;
                        training.awaiting = false;
                        if training.state == State::Running {
                            training.state = State::Finished;
                        }
                        self.changed();
                    }
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, index: usize, event: Event) {
        self.news += 1;
        let run = &mut self.runs[index];
        let recording = Arc::make_mut(&mut run.recording);
        let Some(training) = &mut run.training else { return };
        match event {
            Event::Started { folder, columns, step } => {
                recording.folder = folder;
                recording.columns = columns;
                recording.last_step = recording.last_step.max(step);
            }
            Event::Metrics(row) => {
                recording.add_row(row);
            }
            Event::Mark(mark) => recording.add_mark(mark),
            Event::Recorded { step } => {
                if recording.recorded.last().is_none_or(|&last| last < step) {
                    recording.recorded.push(step);
                }
            }
            Event::Thinned { steps } => {
                recording.recorded = steps;
                if index == self.current && self.step.is_some() {
                    // The step in view may be one that went.
                    self.view(self.step);
                }
            }
            Event::Weights(weights) => {
                training.awaiting = false;
                recording.last_step = recording.last_step.max(weights.step);
                training.shown = Some(weights);
            }
            Event::Progress { step, steps_per_second, state } => {
                recording.last_step = recording.last_step.max(step);
                training.steps_per_second = steps_per_second;
                training.report(state);
            }
            Event::Doing(doing) => training.doing = doing,
            Event::InForce(list) => training.in_force = list,
            Event::Missed => {
                // What was missed is in the folder.
                match recording.folder.clone().map(|folder| Reader::open(&folder)) {
                    Some(Ok(reader)) => {
                        let sharers = recording.sharers;
                        *recording = reader.recording;
                        recording.share(sharers);
                    }
                    Some(Err(error)) => self.trouble(error),
                    None => {}
                }
            }
            Event::Trouble(error) => {
                let name = run.name.clone();
                self.trouble(error.context(name));
            }
        }
    }

    fn play(&mut self, now: Instant) {
        if !self.playback.playing {
            self.playback.last = None;
            return;
        }
        let interval = Duration::from_secs_f64(1.0 / self.playback.steps_per_second.max(0.1));
        match self.playback.last {
            Some(last) if now.duration_since(last) < interval => return,
            // One at a time: a step that is skipped is not seen.
            Some(_) if self.inquiry.is_busy() => return,
            _ => {}
        }
        self.playback.last = Some(now);
        self.move_step(1);
    }

    /// The state of training in words, for the top bar.
    pub fn state_in_words(&self) -> String {
        let Some(run) = self.run() else { return "No run".to_owned() };
        if let Some(step) = self.step {
            return format!("Looking back at step {step}");
        }
        let emerged = run.recording.marks.iter().rev().find(|m| m.kind == MarkKind::Emergence);
        let learned = emerged.map(|mark| format!("{} at step {}", mark.text, mark.step));
        let Some(training) = &run.training else {
            return capital(learned.as_deref().unwrap_or("recorded run"));
        };
        let doing = Some(training.doing.clone()).filter(|text| !text.is_empty());
        let doing = doing.or(learned);
        let state = match training.state {
            State::Running => None,
            State::Paused => Some("paused"),
            State::Finished => Some("finished"),
            State::Failed => Some("stopped by an error"),
        };
        capital(&match (state, doing) {
            (Some(state), Some(doing)) => format!("{state} · {doing}"),
            (Some(state), None) => state.to_owned(),
            (None, doing) => doing.unwrap_or_else(|| "starting".to_owned()),
        })
    }

    /// Whether something is under way that a later frame should show.
    pub fn is_busy(&self) -> bool {
        let pending = |r: &Run| r.training.as_ref().is_some_and(|t| t.is_running() || t.awaiting);
        self.playback.playing || self.inquiry.is_busy() || self.runs.iter().any(pending)
    }
}

/// The text with a capital letter at its beginning.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
