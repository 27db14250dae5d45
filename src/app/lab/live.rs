//! The live side of a run: what is asked of its training, and what that says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::event::{Event, State};
use crate::base::intervention::Intervention;
use crate::base::weights::Weights;
use crate::run::session::{Command, Session};
use crate::run_folder::Reader;
use crate::sweep::diverged;

use super::effect::newest_emerged;
use super::{Lab, capital};

/// Events are taken in for at most this long a frame, so that a flood of them never stops the window.
pub(super) const DRAIN: Duration = Duration::from_millis(10);

/// The live side of a run.
pub struct Training {
    pub session: Session,
    pub state: State,
    /// What a hand asked for and the trainer has not yet confirmed: older reports are not shown.
    wanted: Option<State>,
    pub steps_per_second: f64,
    pub in_force: Vec<Intervention>,
    /// Changes of it that were asked for and not answered yet: what was in force before them is not shown any more.
    changing: usize,
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
    pub fn new(session: Session, paused: bool) -> Self {
        Self {
            session,
            state: if paused { State::Paused } else { State::Running },
            wanted: None,
            steps_per_second: 0.0,
            in_force: Vec::new(),
            changing: 0,
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

    /// Brings a change into force or lifts it; shown at once, for the list should not lag behind the hand.
    pub fn intervene(&mut self, what: &Intervention, on: bool) {
        self.changing += 1;
        if on {
            self.in_force.push(what.clone());
            self.send(Command::Intervene(what.clone()));
        } else {
            self.in_force.retain(|known| known != what);
            self.send(Command::Lift(what.clone()));
        }
        self.ask_for_weights();
    }

    fn take_in_force(&mut self, list: Vec<Intervention>) {
        self.changing = self.changing.saturating_sub(1);
        if self.changing == 0 {
            self.in_force = list;
        }
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

impl Lab {
    pub fn training(&self) -> Option<&Training> {
        self.run()?.training.as_ref()
    }

    pub(super) fn training_mut(&mut self) -> Option<&mut Training> {
        self.runs.get_mut(self.current)?.training.as_mut()
    }

    pub fn is_training(&self) -> bool {
        self.training().is_some_and(Training::is_running)
    }

    /// Whether any run trains, in view or not.
    pub fn any_training(&self) -> bool {
        self.runs.iter().any(|run| run.training.as_ref().is_some_and(Training::is_running))
    }

    /// Whether a run could be begun from what is in view: a network of another program is read here and not trained.
    pub fn can_begin(&self) -> bool {
        self.run().is_some_and(|run| !run.experiment.model.is_read())
    }

    /// Whether run, pause and step mean something now. A run that has done all its steps goes on once the form
    /// gives it more.
    pub fn can_train(&self) -> bool {
        let Some(run) = self.run() else { return false };
        let steps = run.experiment.train.steps as u64;
        let more = steps == 0 || steps > run.recording.last_step;
        run.training.as_ref().is_some_and(|t| {
            !t.gone
                && match t.state {
                    State::Running | State::Paused => true,
                    State::Finished => more,
                    State::Failed => false,
                }
        })
    }

    /// Pauses every run but this one.
    pub(super) fn hold_others(&mut self, but: usize) {
        let others = self.runs.iter_mut().enumerate().filter(|(i, _)| *i != but);
        for training in others.filter_map(|(_, run)| run.training.as_mut()) {
            if training.is_running() {
                training.send(Command::Pause);
                training.expect(State::Paused);
            }
        }
    }

    /// Asks training for a live setting; the run's own experiment follows the answer.
    pub fn set_live(&mut self, name: String, value: toml::Value) {
        if let Some(training) = self.training_mut() {
            training.ask_for(name, value);
        }
    }

    pub fn run_or_pause(&mut self) {
        self.go(!self.is_training());
    }

    /// Lets training go on, or holds it.
    pub fn go(&mut self, on: bool) {
        let (command, state) =
            if on { (Command::Run, State::Running) } else { (Command::Pause, State::Paused) };
        if on {
            self.hold_others(self.current);
        }
        if let Some(training) = self.training_mut() {
            training.send(command);
            training.expect(state);
        }
    }

    /// How fast the run in view may go, as chosen in the top bar.
    pub fn send_speed(&mut self) {
        self.command(Command::Speed(self.speed));
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

    pub(super) fn drain(&mut self, index: usize, now: Instant) {
        while now.elapsed() < DRAIN {
            let Some(training) = &mut self.runs[index].training else { return };
            match training.session.events.try_recv() {
                Ok(event) => self.take_in(index, event),
                Err(crossbeam_channel::TryRecvError::Empty) => return,
                Err(crossbeam_channel::TryRecvError::Disconnected) => {
                    if !training.gone {
                        training.end();
                        self.changed();
                    }
                    return;
                }
            }
        }
    }

    /// Takes in what a session says, or what was found in the folder of a followed run.
    pub(super) fn take_in(&mut self, index: usize, event: Event) {
        self.news += 1;
        let run = &mut self.runs[index];
        let recording = Arc::make_mut(&mut run.recording);
        let training = run.training.as_mut();
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
                recording.last_step = recording.last_step.max(weights.step);
                if let Some(training) = training {
                    training.take_weights(weights);
                }
            }
            Event::Progress { step, steps_per_second, state } => {
                recording.last_step = recording.last_step.max(step);
                if let Some(training) = training {
                    training.steps_per_second = steps_per_second;
                    training.report(state);
                } else if let Some(following) = &mut run.following {
                    following.steps_per_second = steps_per_second;
                }
            }
            Event::Doing(doing) => {
                if let Some(training) = training {
                    training.doing = doing;
                }
            }
            Event::InForce(list) => {
                if let Some(training) = training {
                    training.take_in_force(list);
                }
            }
            Event::Live(settings) => {
                if let Err(error) = run.follow(&settings) {
                    self.trouble(error);
                }
            }
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
            Event::Notice(error) => self.trouble(error),
            Event::Trouble(error) => {
                if let Some(training) = training {
                    training.give_up(recording.last_step);
                }
                let name = run.name.clone();
                self.trouble(error.context(name));
            }
        }
    }

    /// Whether an older step is in view than the run has come to, or will.
    pub fn looks_back(&self) -> bool {
        let Some(run) = self.run() else { return false };
        self.step.is_some_and(|step| self.is_live() || step < run.recording.last_step)
    }

    /// Whether the run in view may come to further steps, trained here or elsewhere.
    pub fn is_live(&self) -> bool {
        self.goes_on() || self.training().is_some_and(|training| !training.gone)
    }

    /// The state of training in words, for the top bar.
    pub fn state_in_words(&self) -> String {
        let Some(run) = self.run() else {
            let building = self.building > 0 || !self.orders.is_empty();
            return if building { "Starting" } else { "No run" }.to_owned();
        };
        if let Some(step) = self.step.filter(|_| self.looks_back()) {
            return format!("Looking back at step {step}");
        }
        if let Some(words) = self.followed_in_words() {
            return words;
        }
        let marks = &run.recording.marks;
        let diverged = diverged(marks).map(|step| format!("diverged at step {step}"));
        let learned = newest_emerged(marks).map(|mark| self.emerged_in_words(mark));
        let Some(training) = &run.training else {
            if run.experiment.model.is_read() {
                return run.info.net.in_words();
            }
            return capital(&diverged.or(learned).unwrap_or_else(|| "recorded run".to_owned()));
        };
        let doing = Some(training.doing.clone()).filter(|text| !text.is_empty());
        let doing = doing.or(learned);
        if run.waits() {
            let step = run.recording.last_step;
            return format!("Branch from step {step}, paused: press Space to train it");
        }
        let state = match training.state {
            State::Running => None,
            State::Paused => Some("paused"),
            State::Finished => Some("finished"),
            State::Failed => Some(diverged.as_deref().unwrap_or("stopped by an error")),
        };
        capital(&match (state, doing) {
            (Some(state), Some(doing)) => format!("{state} · {doing}"),
            (Some(state), None) => state.to_owned(),
            (None, doing) => doing.unwrap_or_else(|| "starting".to_owned()),
        })
    }

    /// Whether the panels show an older step than the newest one that they could show.
    pub(super) fn is_behind(&self) -> bool {
        let Some(run) = self.run() else { return false };
        self.step.is_none()
            && self.examination.wanted
            && run.training.as_ref().is_some_and(|t| t.is_behind(run.recording.last_step))
    }
}
