//! The scores of the steps of a series that is in view: computed while nobody asks anything else, and put among its curves.

use std::sync::Arc;

use crossbeam_channel::TryRecvError;

use crate::run::scorer::{Scorer, Told};
use crate::run::scoring::{Asked, Table};
use crate::run_folder::recording::Recording;

use super::Lab;
use super::run::Run;

/// What a series is in the window.
pub struct Series {
    /// What its folder says, without scores.
    base: Recording,
    scores: Table,
}

impl Series {
    pub fn new(base: Recording) -> Self {
        Self { base, scores: Table::default() }
    }

    /// Whether there is more than one step to compare.
    pub fn has_curves(&self) -> bool {
        self.base.recorded.len() > 1
    }

    /// The folder says something else now.
    pub(super) fn begin_from(&mut self, base: Recording) {
        self.base = base;
    }

    fn recording(&self) -> Recording {
        let mut recording = self.base.clone();
        if !self.scores.rows.is_empty() {
            self.scores.pour(&mut recording);
        }
        recording
    }
}

/// Who scores, and what has been scored.
#[derive(Default)]
pub struct Scoring {
    /// The run, and who works on it.
    running: Option<(u64, Scorer)>,
    /// Those that were stopped, until their thread has ended.
    retired: Vec<Scorer>,
    /// Runs of which all is known that can be.
    done: Vec<u64>,
}

impl Scoring {
    /// Another run is in view, or it has other steps.
    pub fn forget(&mut self, run: u64) {
        self.done.retain(|done| *done != run);
        if self.running.as_ref().is_some_and(|(of, _)| *of == run) {
            self.retire();
        }
    }

    fn retire(&mut self) {
        self.retired.extend(self.running.take().map(|(_, scorer)| scorer));
    }

    /// Whether rows are still to come.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }
}

impl Lab {
    /// Takes in what was scored, and has the rest scored as long as nobody asks anything else.
    pub(super) fn score(&mut self) {
        self.scoring.retired.retain(|scorer| !scorer.is_retired());
        let wanted =
            self.run().filter(|run| run.series.as_ref().is_some_and(|series| series.has_curves()));
        let wanted = wanted.map(|run| run.id);
        if self.scoring.running.as_ref().is_some_and(|(of, _)| Some(*of) != wanted) {
            self.scoring.retire();
        }
        if let Some(run) = wanted.filter(|run| !self.scoring.done.contains(run)) {
            self.go_on_scoring(run);
        }
    }

    fn go_on_scoring(&mut self, run: u64) {
        // One at a time: the one before may be in the middle of a sequence.
        if self.scoring.running.is_none() && self.scoring.retired.is_empty() {
            self.start_scoring(run);
        }
        let asks = self.examination.is_busy() || self.analyses.is_busy() || self.playback.playing;
        let Some((_, scorer)) = &self.scoring.running else { return };
        scorer.hold(asks);
        loop {
            let Some((_, scorer)) = &self.scoring.running else { return };
            match scorer.told.try_recv() {
                Ok(Told::Rows(scores)) => self.take_scores(run, scores),
                Ok(Told::Problem(e)) => {
                    let name = self.run().map_or_else(String::new, |run| run.name.clone());
                    self.trouble(e.context(name));
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.scoring.done.push(run);
                    return self.scoring.retire();
                }
            }
        }
    }

    fn start_scoring(&mut self, run: u64) {
        let Some(of) = self.run() else { return };
        let Some(folder) = of.recording.folder.clone() else { return };
        let steps = of.recording.recorded.clone();
        let asked = Asked { experiment: of.experiment.clone(), folder, steps };
        let (wake, library) = (self.analyses.wake(), self.runs_folder.clone());
        match Scorer::start(asked, library, move || wake()) {
            Ok(scorer) => self.scoring.running = Some((run, scorer)),
            Err(error) => {
                self.scoring.done.push(run);
                self.trouble(error);
            }
        }
    }

    fn take_scores(&mut self, run: u64, scores: Table) {
        let Some(run) = self.runs.iter_mut().find(|other| other.id == run) else { return };
        if let Some(series) = &mut run.series {
            series.scores = scores;
        }
        self.show_series();
    }

    /// Puts together again what the folder of a series says and what was scored.
    pub(super) fn show_series(&mut self) {
        let sharers = self.runs.len();
        for run in &mut self.runs {
            let Run { series: Some(series), recording, .. } = run else { continue };
            let mut whole = series.recording();
            whole.share(sharers);
            *recording = Arc::new(whole);
        }
        self.news += 1;
    }
}
