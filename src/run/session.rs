//! A trainer on a thread: commands in, events out, everything written to the run folder as it goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::base::error::{Error, Kind, Result};
use crate::base::event::{DIVERGED, Event, Mark, MarkKind, State};
use crate::base::intervention::Intervention;
use crate::base::weights::Weights;
use crate::run_folder::beat::{Condition, Pulse};
use crate::run_folder::{self, Claim, Halted, Item, Parent, RunHeader, Writer, library};

use super::examiner::fault;
use super::experiment::{Experiment, GoingOn};
use super::trainer::{Checkpoint, Trainer};

/// To the trainer; carried out between two steps.
#[derive(Clone, Debug)]
pub enum Command {
    Run,
    Pause,
    /// One step, then pause.
    Step,
    /// Largest number of steps per second; `None`: as fast as it goes.
    Speed(Option<f64>),
    /// Sync what was written soon after it was: others follow the run over a network.
    Sync,
    /// Send the weights as they are now, once, as `Event::Weights`.
    Show,
    Intervene(Intervention),
    Lift(Intervention),
    /// Change a live setting of training, e.g. `rate`.
    Set {
        name: String,
        value: toml::Value,
    },
    /// Save everything and end.
    Stop,
}

/// Where a run begins.
#[derive(Clone, Debug)]
pub enum Begin {
    /// From fresh weights.
    Fresh,
    /// From the checkpoint in the run folder, bit for bit.
    Resume,
    /// A branch: from these weights (step and all). If the folder they come from has its checkpoint at this very step,
    /// the optimiser's moments and what is in force come along; otherwise moments are fresh and what the experiment
    /// stages before the step is in force. Settings are those of the experiment, also live ones.
    Branch { weights: Arc<Weights>, from: Option<PathBuf> },
}

pub struct Start {
    pub experiment: Experiment,
    pub begin: Begin,
    /// Where to record; `None`: nothing is recorded.
    pub folder: Option<PathBuf>,
    pub paused: bool,
    /// Somebody watches. If the disk refuses, a new run is recorded among temporary files instead, and a run that goes
    /// on already pauses until it is told to try again. Unattended, the first is an error.
    pub attended: bool,
}

/// A running experiment. Dropping it stops it: what is recorded stays, the thread is joined.
///
/// The first event is `Started`; after it a resumed run says `Missed`, for its rows are in the folder. When all steps are done the state is `Finished`, and the thread waits for
/// further commands (`Show`, `Set`, `Stop`); after `Stop` the events end.
pub struct Session {
    pub commands: Sender<Command>,
    pub events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Builds the network, opens the folder and starts the thread.
    ///
    /// # Errors
    /// When the experiment cannot be built, or the folder not be written.
    pub fn start(start: Start) -> Result<Self> {
        Self::begin(start, None)
    }

    /// As [`Self::start`], in a folder that is taken already; it is the one to record into.
    pub fn start_in(claim: Claim, start: Start) -> Result<Self> {
        let folder = Some(claim.folder().to_owned());
        Self::begin(Start { folder, ..start }, Some(claim))
    }

    fn begin(start: Start, claim: Option<Claim>) -> Result<Self> {
        let state = if start.paused { State::Paused } else { State::Running };
        let resumed = matches!(start.begin, Begin::Resume);
        let attended = start.attended;
        let Begun { trainer, writer, folder, trouble, steps } = begin(start, claim)?;
        let (commands, orders) = unbounded();
        let (say, events) = unbounded();
        let mut worker = Worker {
            trainer,
            writer,
            // The rows of a resumed run are in its folder.
            news: News { say, missed: resumed },
            folder,
            attended,
            trouble,
            steps,
            doing: String::new(),
            state,
            pace: Pace::new(),
        };
        let thread = std::thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(move || {
                // After a panic the network may be half updated: nothing more is done with it.
                let outcome = catch_unwind(AssertUnwindSafe(|| worker.work(&orders)));
                if let Err(panic) = outcome {
                    worker.news.trouble(fault("training", panic.as_ref()));
                    worker.turn(State::Failed);
                }
            })
            .map_err(|e| {
                Error::system(format!("the trainer's thread cannot be started: {e}")).caused_by(e)
            })?;
        Ok(Self { commands, events, thread: Some(thread) })
    }

    /// Waits until the thread has ended, which it does after `Command::Stop`.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        self.wait();
    }
}

/// A run about to go.
struct Begun {
    trainer: Trainer,
    writer: Option<Writer>,
    folder: Option<PathBuf>,
    trouble: Option<Error>,
    /// Steps to do that are to be recorded as a change by hand.
    steps: Option<usize>,
}

impl Begun {
    fn new(trainer: Trainer, recorded: Option<(Writer, PathBuf)>, trouble: Option<Error>) -> Self {
        let (writer, folder) = recorded.unzip();
        Self { trainer, writer, folder, trouble, steps: None }
    }
}

fn begin(start: Start, claim: Option<Claim>) -> Result<Begun> {
    let Start { experiment, begin, folder, attended, .. } = start;
    let place = folder.map(|folder| (folder, claim));
    let create = |trainer: Trainer, kind: &str, parent: Option<Parent>, place| {
        create(place, trainer, kind, parent, attended)
    };
    match begin {
        Begin::Fresh => create(Trainer::new(&experiment)?, "fresh", None, place),
        Begin::Branch { weights, from } => {
            let trainer = branch(&experiment, &weights, from.as_deref())?;
            let parent = Parent { folder: from, step: weights.step };
            create(trainer, "branch", Some(parent), place)
        }
        Begin::Resume => resume(&experiment, place),
    }
}

/// A folder to record into, and the claim to it where it is taken already.
type Recorded = Option<(PathBuf, Option<Claim>)>;

/// A trainer with a new folder; without one when none is wanted.
fn create(
    place: Recorded,
    trainer: Trainer,
    kind: &str,
    parent: Option<Parent>,
    attended: bool,
) -> Result<Begun> {
    let Some((folder, claim)) = place else {
        return Ok(Begun::new(trainer, None, None));
    };
    let experiment = trainer.experiment();
    let birth = RunHeader {
        name: experiment.name.clone(),
        experiment: experiment.to_toml(),
        documents: trainer.source().documents()?,
        kind: kind.to_owned(),
        parent,
        columns: trainer.columns().to_vec(),
        budget_bytes: budget_bytes(experiment),
    };
    let created = match claim {
        Some(claim) => Writer::begin(claim, birth.clone()),
        None => Writer::create(&folder, birth.clone()),
    };
    match created {
        Ok(writer) => Ok(Begun::new(trainer, Some((writer, folder)), None)),
        Err(e) if e.kind == Kind::System && attended => Ok(elsewhere(trainer, birth, &e)),
        Err(e) => Err(e),
    }
}

/// The disk refuses: the run goes on and is recorded among temporary files, or not at all.
fn elsewhere(trainer: Trainer, birth: RunHeader, e: &Error) -> Begun {
    let (folder, trouble) = library::elsewhere(&birth.name, e);
    let recorded = folder.map(|folder| Ok::<_, Error>((Writer::create(&folder, birth)?, folder)));
    match recorded {
        Some(Ok(recorded)) => Begun::new(trainer, Some(recorded), Some(trouble)),
        // The folder could be made and not be written.
        Some(Err(e)) => {
            let trouble = Error::new(e.kind, format!("{}; this run is not recorded", e.clause()));
            Begun::new(trainer, None, Some(trouble))
        }
        None => Begun::new(trainer, None, Some(trouble)),
    }
}

fn resume(experiment: &Experiment, place: Recorded) -> Result<Begun> {
    let (folder, claim) = place.ok_or_else(|| {
        Error::usage("to resume a run, name the run folder that it was recorded in")
    })?;
    let mut halted = match claim {
        Some(claim) => Halted::claimed(claim)?,
        None => Halted::open(&folder)?,
    };
    let (mut trainer, going_on) = again(experiment, &mut halted)
        .map_err(|e| e.context(format!("run {}", folder.display())))?;
    trainer.keep_columns(&halted.about.columns);
    let (before, now) = (halted.experiment()?, going_on.experiment.to_toml());
    // Last of all: what is cut off is gone. If the document is refused then, the folder is as its checkpoint has it.
    let evaluate = going_on.experiment.train.evaluate as u64;
    let mut writer = halted.cut(trainer.columns(), evaluate)?;
    writer.set_budget(budget_bytes(&going_on.experiment));
    if before != now {
        writer.set_experiment(&now)?;
    }
    let begun = Begun::new(trainer, Some((writer, folder)), None);
    Ok(Begun { steps: going_on.steps, ..begun })
}

/// A trainer where a run stopped.
fn again(experiment: &Experiment, halted: &mut Halted) -> Result<(Trainer, GoingOn)> {
    let checkpoint = halted.checkpoint.take();
    let changed = checkpoint.as_ref().map_or(&[][..], |checkpoint| &checkpoint.changed[..]);
    let going_on = experiment.going_on(&halted.experiment()?, changed)?;
    let restored =
        going_on.experiment.clone().restored(&run_folder::documents(halted.folder())?)?;
    let trainer = match checkpoint {
        Some(checkpoint) => {
            let changed = going_on.changed.clone();
            Trainer::resume(&restored, &Checkpoint { changed, ..checkpoint })?
        }
        // Killed before its first checkpoint: from the start.
        None => Trainer::new(&restored)?,
    };
    let steps = going_on.steps.unwrap_or(trainer.experiment().train.steps) as u64;
    let done = trainer.steps_done();
    if steps > 0 && done > steps {
        return Err(Error::usage(format!(
            "it has done {done} steps already, and train.steps = {steps} ends before; give it more steps"
        )));
    }
    Ok((trainer, going_on))
}

fn budget_bytes(experiment: &Experiment) -> u64 {
    experiment.train.record_mb as u64 * 1_000_000
}

fn branch(experiment: &Experiment, weights: &Weights, from: Option<&Path>) -> Result<Trainer> {
    // A parent that cannot be read is no reason to refuse: its weights are here.
    let checkpoint = from.and_then(|folder| run_folder::checkpoint(folder).ok()?);
    let marks = from.and_then(|folder| run_folder::marks(folder).ok()).unwrap_or_default();
    let staged = from.and_then(|folder| Some(Experiment::written_in(folder).ok()?.at));
    let mut trainer = match checkpoint.filter(|checkpoint| checkpoint.weights == *weights) {
        Some(checkpoint) => {
            Trainer::branch_at_checkpoint(experiment, checkpoint, &staged.unwrap_or_default())?
        }
        None => Trainer::branch(experiment, weights)?,
    };
    trainer.carry_over(&marks);
    Ok(trainer)
}

/// What the thread works with.
struct Worker {
    trainer: Trainer,
    writer: Option<Writer>,
    news: News,
    folder: Option<PathBuf>,
    attended: bool,
    /// What went wrong at the start and did not prevent it.
    trouble: Option<Error>,
    /// As in [`Begun`].
    steps: Option<usize>,
    /// What was last said of what training is at.
    doing: String,
    state: State,
    pace: Pace,
}

/// Whether the thread goes on.
#[derive(PartialEq)]
enum Go {
    On,
    End,
}

impl Worker {
    fn work(&mut self, orders: &Receiver<Command>) {
        self.news.start(Event::Started {
            folder: self.folder.clone(),
            columns: self.trainer.columns().to_vec(),
            step: self.trainer.steps_done(),
        });
        if let Some(e) = self.trouble.take() {
            self.news.trouble(e);
        }
        if let Some(e) = self.writer.as_ref().and_then(Writer::notice) {
            self.news.tell(Event::Notice(e.clone()));
        }
        self.news.tell(Event::InForce(self.trainer.in_force().to_vec()));
        if let Some(steps) = self.steps.take() {
            self.set("steps", &toml::Value::Integer(i64::try_from(steps).unwrap_or(i64::MAX)));
        }
        self.first_look();
        self.say_doing();
        self.turn(self.state);
        while self.next(orders) == Go::On {}
        self.save();
        let end = if self.state == State::Failed { State::Failed } else { State::Finished };
        self.turn(end);
    }

    /// Commands if there are any, otherwise a step.
    fn next(&mut self, orders: &Receiver<Command>) -> Go {
        let patience = match self.state {
            // A run that is held to a slow pace has a heart all the same.
            State::Running => self.pace.until_next_step().map(|time| time.min(Pace::BEAT_EVERY)),
            State::Paused | State::Finished | State::Failed => None,
        };
        let command = match (self.state, patience) {
            (State::Running, None) => match orders.try_recv() {
                Ok(command) => Some(command),
                Err(e) if e.is_disconnected() => return Go::End,
                Err(_) => None,
            },
            (State::Running, Some(time)) => match orders.recv_timeout(time) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Disconnected) => return Go::End,
                Err(RecvTimeoutError::Timeout) => {
                    self.beat();
                    return Go::On;
                }
            },
            _ => match orders.recv() {
                Ok(command) => Some(command),
                Err(_) => return Go::End,
            },
        };
        match command {
            Some(command) => self.obey(command),
            None => {
                self.step();
                Go::On
            }
        }
    }

    fn obey(&mut self, command: Command) -> Go {
        match command {
            Command::Run => self.run(),
            Command::Pause if self.state == State::Running => {
                self.save();
                self.turn(State::Paused);
            }
            Command::Pause => {}
            Command::Step => {
                self.run();
                if self.state == State::Running {
                    self.step();
                }
                if self.state == State::Running {
                    self.turn(State::Paused);
                }
            }
            Command::Speed(limit) => self.pace.limit(limit),
            Command::Sync => self.pace.sync(),
            Command::Show => match self.trainer.weights() {
                Ok(weights) => self.news.tell(Event::Weights(Arc::new(weights))),
                Err(e) => self.news.trouble(e),
            },
            Command::Intervene(what) => {
                let outcome = self.trainer.intervene(&what);
                self.changed(outcome, MarkKind::Intervention, &what.to_string());
            }
            Command::Lift(what) => {
                let outcome = self.trainer.lift(&what);
                self.changed(outcome, MarkKind::Intervention, &format!("lift {what}"));
            }
            Command::Set { name, value } => {
                self.set(&name, &value);
                if self.state == State::Finished && !self.trainer.is_finished() {
                    // More steps were given: the run can go on.
                    self.turn(State::Paused);
                }
                self.news.tell(Event::Live(self.trainer.live_settings()));
            }
            Command::Stop => return Go::End,
        }
        Go::On
    }

    fn set(&mut self, name: &str, value: &toml::Value) {
        let outcome = self.trainer.set(name, value);
        self.changed(outcome, MarkKind::Note, &format!("train.{name} = {value}"));
    }

    /// From a pause or a failed write back to running; a run that is done needs more steps first. Says the state
    /// whatever comes of it: whoever asked may show already what was asked for.
    fn run(&mut self) {
        if self.state == State::Failed || !self.flush() {
            return self.turn(self.state);
        }
        let state = if self.trainer.is_finished() { State::Finished } else { State::Running };
        self.pace.restart();
        self.turn(state);
    }

    /// Says and records a change by hand: it must survive a kill, so the run is saved.
    fn changed(&mut self, outcome: Result<()>, kind: MarkKind, text: &str) {
        let refused = outcome.err();
        if refused.is_none() {
            self.record_mark(Mark::of_text(self.trainer.steps_done(), kind, text));
        }
        // Whoever asked hears what is in force, whatever came of it.
        self.news.tell(Event::InForce(self.trainer.in_force().to_vec()));
        match refused {
            Some(error) => self.news.trouble(error),
            None => self.save(),
        }
        // What is frozen cannot form.
        self.say_doing();
    }

    /// The evaluation before the first step. A resumed run has its rows already, but for that of a last step off the
    /// grid: if the run is still at its end, the row is written again.
    fn first_look(&mut self) {
        let last_row = self.writer.as_ref().and_then(Writer::last_row);
        let here = last_row == Some(self.trainer.steps_done());
        if last_row.is_some() && (here || !self.trainer.is_evaluation_due()) {
            return;
        }
        if let Err(e) = self.look() {
            self.fail(e);
        }
        self.save();
    }

    fn step(&mut self) {
        if self.trainer.is_finished() {
            self.save();
            self.turn(State::Finished);
            return;
        }
        match self.trainer.step() {
            Ok(marks) => {
                let changed = !marks.is_empty();
                marks.into_iter().for_each(|mark| self.record_mark(mark));
                if changed {
                    self.news.tell(Event::InForce(self.trainer.in_force().to_vec()));
                }
            }
            Err(e) => return self.fail(e),
        }
        if self.trainer.is_evaluation_due()
            && let Err(e) = self.look()
        {
            return self.fail(e);
        }
        if self.pace.stepped() {
            self.turn(self.state);
        }
        if self.pace.is_save_due() {
            self.save();
        }
    }

    /// Evaluates and records the weights as they are.
    fn look(&mut self) -> Result<()> {
        let (row, marks) = self.trainer.evaluate()?;
        self.record(Item::Metrics(row.clone()));
        self.news.tell(Event::Metrics(row));
        marks.into_iter().for_each(|mark| self.record_mark(mark));
        self.say_doing();
        self.record_weights()?;
        self.sync();
        Ok(())
    }

    /// Has the system hand on what was written, where others wait for it.
    fn sync(&mut self) {
        let Some(writer) = &self.writer else { return };
        if self.pace.is_sync_due() {
            let outcome = writer.sync();
            self.paused_by(outcome);
        }
    }

    fn say_doing(&mut self) {
        let doing = self.trainer.state_in_words();
        if doing != self.doing {
            self.doing.clone_from(&doing);
            self.news.tell(Event::Doing(doing));
        }
    }

    fn record_weights(&mut self) -> Result<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        let weights = self.trainer.weights()?;
        self.record(Item::Weights(weights));
        self.flush();
        Ok(())
    }

    fn record_mark(&mut self, mark: Mark) {
        self.record(Item::Mark(mark.clone()));
        self.news.tell(Event::Mark(mark));
    }

    fn record(&mut self, item: Item) {
        if let Some(writer) = &mut self.writer {
            writer.push(item);
        }
    }

    /// Writes what waits; when that fails, training pauses and nothing is lost: `Run` tries again.
    fn flush(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return true };
        let outcome = writer.flush();
        for step in writer.take_recorded() {
            self.news.tell(Event::Recorded { step });
        }
        if let Some(steps) = writer.take_thinned() {
            self.news.tell(Event::Thinned { steps });
        }
        self.paused_by(outcome)
    }

    fn save(&mut self) {
        self.pace.saved();
        // A failed update may have left half of its moments behind: the last checkpoint stays.
        if !self.flush() || self.state == State::Failed {
            return;
        }
        let Some(writer) = &mut self.writer else { return };
        let outcome = self.trainer.checkpoint().and_then(|checkpoint| writer.save(&checkpoint));
        self.paused_by(outcome);
    }

    fn paused_by(&mut self, outcome: Result<()>) -> bool {
        let Err(e) = outcome else { return true };
        // Where the folder has gone, what the system says of a file in it helps nobody.
        let gone = self.writer.as_ref().and_then(|writer| writer.check_there().err());
        let advice = match (&gone, self.attended) {
            (None, true) => {
                "training pauses and keeps what is not yet written in memory; make room and run again"
            }
            (None, false) => {
                "training ends; what was written before stays, and the run can be resumed from there"
            }
            (Some(_), true) => {
                "training pauses; if it was moved, move it back and run again; if it was deleted, branch from here: the new run gets a folder of its own"
            }
            (Some(_), false) => {
                "training ends; if the folder was moved, the run can be resumed where it is now; if it was deleted, what was recorded went with it"
            }
        };
        let e = gone.unwrap_or(e);
        self.news.trouble(Error::new(e.kind, format!("{}; {advice}", e.clause())));
        if self.state == State::Running {
            self.turn(State::Paused);
        }
        false
    }

    /// Training cannot go on. The folder keeps everything up to here.
    fn fail(&mut self, e: Error) {
        if e.kind == Kind::Diverged {
            let step = self.trainer.steps_done();
            self.record_mark(Mark::of_text(step, MarkKind::Note, DIVERGED));
            if let Err(e) = self.record_weights() {
                self.news.trouble(e);
            }
        }
        self.flush();
        self.news.trouble(e);
        self.turn(State::Failed);
    }

    /// Says in the folder how far the run is, every so often while it runs and whenever that changes.
    fn beat(&mut self) {
        let condition = match self.state {
            State::Running => Condition::Running,
            State::Paused => Condition::Paused,
            State::Failed => Condition::Failed,
            State::Finished if self.trainer.is_finished() => Condition::Finished,
            State::Finished => Condition::Stopped,
        };
        let Some(writer) = &mut self.writer else { return };
        if self.pace.is_beat_due(condition) {
            let steps_per_second =
                if condition == Condition::Running { self.pace.speed() } else { 0.0 };
            let (step, utc) = (self.trainer.steps_done(), Pace::utc());
            writer.beat(&Pulse { step, condition, steps_per_second, utc });
        }
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.beat();
        let running = state == State::Running;
        self.news.tell(Event::Progress {
            step: self.trainer.steps_done(),
            steps_per_second: if running { self.pace.speed() } else { 0.0 },
            state,
        });
    }
}

/// Events to whoever listens. The channel never makes the trainer wait: when a listener leaves more than
/// [`News::MOST`] events lying, rows and recorded steps are dropped from the channel (they are in the folder)
/// and `Missed` says so. What was asked for and where training has come to rest is never dropped.
struct News {
    say: Sender<Event>,
    missed: bool,
}

impl News {
    const MOST: usize = 10_000;

    /// Says the first event, before anything that may have been missed.
    fn start(&mut self, event: Event) {
        let _ = self.say.send(event);
    }

    fn tell(&mut self, event: Event) {
        let crowded = self.say.len() >= Self::MOST;
        let may_go = match &event {
            Event::Trouble(_)
            | Event::Notice(_)
            | Event::InForce(_)
            | Event::Live(_)
            | Event::Weights(_)
            | Event::Doing(_) => false,
            Event::Progress { state, .. } => *state == State::Running,
            Event::Started { .. }
            | Event::Metrics(_)
            | Event::Mark(_)
            | Event::Recorded { .. }
            | Event::Thinned { .. }
            | Event::Missed => true,
        };
        if crowded && may_go {
            self.missed = true;
            return;
        }
        if self.missed && !crowded {
            self.missed = false;
            let _ = self.say.send(Event::Missed);
        }
        // Nobody listens any more: the order to stop is on its way.
        let _ = self.say.send(event);
    }

    fn trouble(&mut self, e: Error) {
        self.tell(Event::Trouble(e));
    }
}

/// The clock of the trainer: how fast it goes, how fast it may go, when to speak and when to save. No number of
/// a run depends on it.
struct Pace {
    limit: Option<f64>,
    next_step: Instant,
    spoke: Instant,
    saved: Instant,
    /// When what was written was synced last, where others wait for it.
    synced: Option<Instant>,
    /// What the last beat said, and when.
    beat: Option<(Condition, Instant)>,
    /// Steps since `counted_from`, for the speed.
    steps: u32,
    counted_from: Instant,
    speed: f64,
}

impl Pace {
    /// Ten words a second are as many as a person reads.
    const SPEAK_EVERY: Duration = Duration::from_millis(100);
    /// What a kill may cost.
    const SAVE_EVERY: Duration = Duration::from_secs(10);
    /// Others who read the folder over a network wait no longer, and the disk is left alone in between.
    const SYNC_EVERY: Duration = Duration::from_secs(1);
    /// Whoever follows the run elsewhere learns within this time that it goes on.
    const BEAT_EVERY: Duration = Duration::from_secs(2);
    /// The speed is that of about the last second.
    const COUNT_OVER: Duration = Duration::from_millis(1000);

    fn new() -> Self {
        let now = Instant::now();
        Self {
            limit: None,
            next_step: now,
            spoke: now,
            saved: now,
            synced: None,
            beat: None,
            steps: 0,
            counted_from: now,
            speed: 0.0,
        }
    }

    fn limit(&mut self, limit: Option<f64>) {
        // A week for a step is as good as a pause, and a duration that can be computed with.
        self.limit = limit.map(|limit| limit.max(1e-6));
        self.next_step = Instant::now();
    }

    fn until_next_step(&self) -> Option<Duration> {
        let left = self.next_step.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// After a step: whether it is time to speak.
    fn stepped(&mut self) -> bool {
        let now = Instant::now();
        if let Some(limit) = self.limit {
            let gap = Duration::from_secs_f64(1.0 / limit);
            // A step that came late does not make the next ones hurry.
            self.next_step = (self.next_step + gap).max(now);
        }
        self.steps += 1;
        let counted = now - self.counted_from;
        if counted >= Self::COUNT_OVER || self.speed == 0.0 {
            self.speed = f64::from(self.steps) / counted.as_secs_f64().max(1e-9);
        }
        if counted >= Self::COUNT_OVER {
            self.steps = 0;
            self.counted_from = now;
        }
        let speak = now - self.spoke >= Self::SPEAK_EVERY;
        if speak {
            self.spoke = now;
        }
        speak
    }

    fn restart(&mut self) {
        let now = Instant::now();
        (self.steps, self.counted_from, self.speed) = (0, now, 0.0);
        self.next_step = now;
    }

    fn speed(&self) -> f64 {
        self.speed
    }

    fn is_save_due(&self) -> bool {
        self.saved.elapsed() >= Self::SAVE_EVERY
    }

    /// From now on what was written is synced every so often.
    fn sync(&mut self) {
        self.synced = Some(Instant::now());
    }

    /// Whether it is time to; then it counts as done.
    fn is_sync_due(&mut self) -> bool {
        let is_due = self.synced.is_some_and(|synced| synced.elapsed() >= Self::SYNC_EVERY);
        if is_due {
            self.sync();
        }
        is_due
    }

    fn saved(&mut self) {
        self.saved = Instant::now();
    }

    /// Whether there is something new to say of the run in its folder; then it counts as said.
    fn is_beat_due(&mut self, condition: Condition) -> bool {
        let now = Instant::now();
        let stands = |(last, at): (Condition, Instant)| {
            last == condition && (condition != Condition::Running || now - at < Self::BEAT_EVERY)
        };
        if self.beat.is_some_and(stands) {
            return false;
        }
        self.beat = Some((condition, now));
        true
    }

    /// Seconds since 1970.
    fn utc() -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}
