//! Lessons played on a run without a window: which of their claims are seen, and which are not.

use std::path::Path;
use std::sync::Arc;

use crate::base::batch::Row;
use crate::base::error::{Error, Result};
use crate::base::intervention::Intervention;
use crate::base::weights::Weights;
use crate::run_folder::Reader;
use crate::run_folder::recording::Recording;
use crate::task::held_out_seed;

use super::examine::Instrument;
use super::expectation::{Expectation, Scene};
use super::experiment::Experiment;
use super::lesson::{Deed, Lesson, When};

/// Weights of a step, or of the nearest one that there is.
pub type WeightsOf = Box<dyn FnMut(u64) -> Result<Weights>>;

/// What is in view while lessons are played.
pub struct Rehearsal {
    recording: Recording,
    weights: WeightsOf,
    instrument: Instrument,
    seed: u64,
    step: u64,
    row: Arc<Row>,
    query: usize,
    in_force: Vec<Intervention>,
}

/// What came of a lesson.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsed {
    pub title: String,
    /// The first claim that does not hold, with what is seen.
    pub refuted: Option<String>,
    /// All claims held before anything was done: they say nothing of what is done.
    pub is_idle: bool,
}

impl Rehearsal {
    /// # Errors
    /// When the task or the network of the experiment cannot be built.
    pub fn new(experiment: &Experiment, recording: Recording, weights: WeightsOf) -> Result<Self> {
        let instrument = Instrument::new(experiment)?;
        let seed = held_out_seed(experiment.train.seed as u64);
        let row = Arc::new(instrument.source().sequence(seed, 0));
        let (step, in_force) = (recording.last_step, Vec::new());
        Ok(Self { recording, weights, instrument, seed, step, row, query: 0, in_force })
    }

    /// On a recorded run.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Self::new`].
    pub fn of_run(folder: &Path) -> Result<Self> {
        let mut reader = Reader::open(folder)?;
        let recording = reader.recording.clone();
        let weights = move |step: u64| {
            let nearest = reader.recording.nearest_recorded(step);
            reader.weights(nearest.ok_or_else(|| Error::input("no weights are recorded"))?)
        };
        Self::new(&Experiment::of_run(folder)?, recording, Box::new(weights))
    }

    /// Plays lessons, one after the other.
    ///
    /// # Errors
    /// When a lesson names what is not there: a mark that the run has not, a deed that only a window can do.
    pub fn play(&mut self, lessons: &[Lesson]) -> Result<Vec<Rehearsed>> {
        lessons.iter().map(|lesson| self.lesson(lesson)).collect()
    }

    fn lesson(&mut self, lesson: &Lesson) -> Result<Rehearsed> {
        self.look(lesson)?;
        let is_idle = !lesson.deeds.is_empty() && self.refuted(&lesson.expect)?.is_none();
        for deed in &lesson.deeds {
            self.act(deed)?;
        }
        let refuted = self.refuted(&lesson.expect)?;
        Ok(Rehearsed { title: lesson.title.clone(), refuted, is_idle })
    }

    /// What is in force now.
    pub fn in_force(&self) -> &[Intervention] {
        &self.in_force
    }

    /// Turns to what a lesson looks at.
    ///
    /// # Errors
    /// When the run has no such moment.
    pub fn look(&mut self, lesson: &Lesson) -> Result<()> {
        let look = &lesson.look;
        if let Some(when) = &look.step {
            self.step = self.moment(when)?;
        }
        if let Some(number) = look.sequence {
            self.sequence(number);
        }
        self.query = look.query.unwrap_or(self.query);
        Ok(())
    }

    fn moment(&self, when: &When) -> Result<u64> {
        when.step(&self.recording)
            .ok_or_else(|| Error::input(format!("the run has no step \"{when}\"")))
    }

    fn sequence(&mut self, number: usize) {
        self.row = Arc::new(self.instrument.source().sequence(self.seed, number as u64));
    }

    fn act(&mut self, deed: &Deed) -> Result<()> {
        match deed {
            Deed::Query(at) => self.query = *at,
            Deed::Sequence(number) => self.sequence(*number),
            Deed::Intervene(_) | Deed::Lift(_) | Deed::LiftAll => deed.change(&mut self.in_force),
            Deed::View(when) => self.step = self.moment(when)?,
            Deed::Text(text) => self.read(text)?,
            Deed::Flip => self.flip(),
            Deed::Key(_) | Deed::Head(..) | Deed::Show(_) | Deed::Run | Deed::Pause => {}
            Deed::Start(_) => {
                return Err(Error::usage(format!("\"{deed}\" needs a window")));
            }
        }
        Ok(())
    }

    fn read(&mut self, text: &str) -> Result<()> {
        let source = self.instrument.source();
        let tokens = source.vocab().encode(text)?;
        self.row = Arc::new(source.label(&tokens, &self.row));
        Ok(())
    }

    /// As the button of the panel Gating does it: answers that were shown rightly are shown rightly again.
    fn flip(&mut self) {
        let at = self.query - self.query % 4;
        let mut tokens = self.row.tokens.clone();
        if let Some(instruction) = tokens.get_mut(at) {
            *instruction = 1 - *instruction;
        }
        let source = self.instrument.source().clone();
        let again = source.label(&tokens, &self.row);
        for at in (2..tokens.len().saturating_sub(1)).step_by(4) {
            tokens[at + 1] = again.targets[at];
        }
        self.row = Arc::new(source.label(&tokens, &self.row));
    }

    /// The first claim that does not hold, with what is seen.
    ///
    /// # Errors
    /// When the weights cannot be read, or an intervention in force names what is not there.
    pub fn refuted(&mut self, claims: &[Expectation]) -> Result<Option<String>> {
        let calls: Vec<_> = claims.iter().flat_map(Expectation::calls).collect();
        let weights = (self.weights)(self.step)?;
        let readings = self.instrument.examine(&weights, &self.row, &self.in_force, &calls)?;
        let scene = Scene {
            recording: &self.recording,
            vocab: self.instrument.source().vocab(),
            row: &self.row,
            step: self.step,
            changed: !self.in_force.is_empty(),
            readings: Some(&readings),
        };
        let refuted = claims.iter().find_map(|claim| {
            let seen = claim.observed(&scene);
            let holds = seen.as_ref().is_some_and(|seen| seen.holds);
            let said = seen.map_or("nothing is seen".to_owned(), |seen| seen.seen);
            (!holds).then(|| format!("{claim}: {said}"))
        });
        Ok(refuted)
    }
}
