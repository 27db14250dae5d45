//! Runs in the window that another program writes: looks at their folders, and what is made of what is found there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::run::experiment::Experiment;
use crate::run::lenses;
use crate::run_folder;
use crate::run_folder::follow::{News, Rhythm};
use crate::run_folder::recording::Recording;
use crate::task::prompts::PromptSet;

use super::Lab;
use super::following::{Following, Watcher};
use super::live::DRAIN;
use super::prompt::asked_again;
use super::run::{Run, RunInfo};

/// A look at a folder, to be done where it may take its time.
pub struct Look {
    run: u64,
    folder: PathBuf,
    follower: Watcher,
    since: Duration,
    /// What the network is asked, where that is a set of prompts.
    asked: Option<Experiment>,
}

/// What a look found.
pub struct Looked {
    run: u64,
    follower: Watcher,
    news: News,
    /// What the folder holds now, where the run in it began anew or a series has other steps.
    again: Option<Result<(Experiment, RunInfo)>>,
    took: Duration,
}

impl Look {
    pub fn carry_out(mut self) -> Looked {
        let begun = Instant::now();
        let mut news = self.follower.poll(self.since);
        // Of a series too: what was read of it at first may have been a step that is gone now.
        let is_other = news.anew.is_some() || news.recording.is_some();
        let again = is_other.then(|| self.read_again(&mut news.problem));
        let (run, follower, took) = (self.run, self.follower, begun.elapsed());
        Looked { run, follower, news, again, took }
    }

    /// What the folder holds now. A set of prompts that the network can no longer be asked is a problem, and the network is asked what
    /// it would be without one.
    fn read_again(&self, problem: &mut Option<Error>) -> Result<(Experiment, RunInfo)> {
        let plain = Experiment::of_run(&self.folder)?;
        if let Some(asked) = &self.asked {
            let again = asked_again(asked, plain.clone());
            match again.and_then(|experiment| Ok((RunInfo::of(&experiment)?, experiment))) {
                Ok((info, experiment)) => return Ok((experiment, info)),
                Err(error) => *problem = problem.take().or(Some(error)),
            }
        }
        let info = RunInfo::of(&plain)?;
        Ok((plain, info))
    }
}

impl Lab {
    /// Looks that are due.
    pub fn looks(&mut self, now: Instant) -> Vec<Look> {
        let look = |run: &mut Run| {
            let folder = run.recording.folder.clone()?;
            let following = run.following.as_mut()?;
            let is_due = following.events.is_empty() && following.due()? <= now;
            let follower = following.follower.take_if(|_| is_due)?;
            let since = now.duration_since(following.began);
            let asks_a_set = run.info.source.facet::<PromptSet>().is_some();
            let asked = asks_a_set.then(|| run.experiment.clone());
            Some(Look { run: run.id, folder, follower, since, asked })
        };
        self.runs.iter_mut().filter_map(look).collect()
    }

    /// When the next look is due.
    pub fn next_look(&self) -> Option<Instant> {
        self.runs.iter().filter_map(|run| run.following.as_ref()?.due()).min()
    }

    /// A hand is here: all folders are looked at, also those of runs that have ended.
    pub fn look_now(&mut self) {
        for following in self.runs.iter_mut().filter_map(|run| run.following.as_mut()) {
            following.rhythm = Rhythm::default();
            following.standing.look_again();
            following.due = Instant::now();
        }
    }

    /// Takes in what a look found; events are taken in as those of a session are, a few at a time.
    pub fn looked(&mut self, looked: Looked) {
        let Looked { run, follower, news, again, took } = looked;
        let Some(index) = self.runs.iter().position(|known| known.id == run) else { return };
        if let Some(problem) = news.problem {
            let name = self.runs[index].name.clone();
            self.trouble(problem.context(name));
        }
        let Some(following) = &mut self.runs[index].following else { return };
        following.standing = follower.standing().clone();
        following.follower = Some(follower);
        let wait = following.rhythm.after(took, following.is_lively() || news.has_more);
        following.due = Instant::now() + wait;
        following.events.extend(news.events);
        if let Some(recording) = news.recording {
            self.take_steps(index, *recording, again);
            if news.is_rewritten {
                self.asks_anew(index);
            }
            return;
        }
        if let Some(recording) = news.anew {
            following.events.clear();
            following.shown = None;
            self.begin_again(index, *recording, again);
        }
    }

    /// A series has other steps, or more was logged. A step in view that went gives way to the nearest that is there.
    fn take_steps(
        &mut self,
        index: usize,
        recording: Recording,
        again: Option<Result<(Experiment, RunInfo)>>,
    ) {
        let run = &mut self.runs[index];
        if let Some(series) = &mut run.series {
            series.begin_from(recording);
        }
        let id = run.id;
        match again {
            Some(Ok((experiment, info))) => run.replace(experiment, info),
            Some(Err(error)) => self.trouble(error),
            None => {}
        }
        self.scoring.forget(id);
        self.show_series();
        if index == self.current {
            self.view(self.step);
            self.changed();
        }
    }

    /// The run in a folder began anew, or went on from an earlier step: what was known of it is replaced.
    fn begin_again(
        &mut self,
        index: usize,
        mut recording: Recording,
        again: Option<Result<(Experiment, RunInfo)>>,
    ) {
        recording.share(self.runs.len());
        let run = &mut self.runs[index];
        run.recording = Arc::new(recording);
        match again {
            Some(Ok((experiment, info))) if experiment.to_toml() != run.began.to_toml() => {
                run.replace(experiment, info);
            }
            Some(Err(error)) => self.trouble(error),
            Some(Ok(_)) | None => {}
        }
        self.news += 1;
        self.asks_anew(index);
    }

    /// What was answered of a run may have another answer now.
    pub(super) fn asks_anew(&mut self, index: usize) {
        let id = self.runs[index].id;
        self.analyses.forget_run(id);
        self.comparison.forget_run(id);
        if index == self.current {
            // Weights of the same step may be others now.
            self.examination.retire();
            self.forget_answers();
            self.view(self.step);
            self.changed();
        }
    }

    pub(super) fn drain_followed(&mut self, index: usize, now: Instant) {
        while now.elapsed() < DRAIN {
            let Some(following) = &mut self.runs[index].following else { return };
            let Some(event) = following.events.pop_front() else { return };
            self.take_in(index, event);
        }
    }

    /// That the run in view is written by another program, and how that goes on; none of a recorded run as any.
    pub fn followed_in_words(&self) -> Option<String> {
        let run = self.run()?;
        let words = run.following.as_ref()?.in_words()?;
        Some(format!("Followed · step {} · {words}", run.recording.last_step))
    }

    /// Where what was fitted to a run may be kept: in its own folder, or beside the library of this window.
    fn places(&self, run: usize) -> Option<[PathBuf; 2]> {
        let run = self.runs.get(run)?;
        let folder = run.recording.folder.as_ref()?;
        Some(lenses::places(self.runs_folder.as_deref(), folder, &run.began))
    }

    /// All folders in which readers of a run are looked for.
    pub(super) fn kept_in(&self, run: usize) -> Vec<PathBuf> {
        self.places(run).into_iter().flatten().collect()
    }

    /// Where readers of the run in view are kept: nothing is written into the folder of a run that another program writes.
    pub fn keeps_in(&self) -> Option<PathBuf> {
        let [own, beside] = self.places(self.current)?;
        Some(if self.followed_in_words().is_some() { beside } else { own })
    }

    /// Whether another program writes the run in a folder, as far as can be told.
    pub fn is_of_others(&self, folder: &Path) -> bool {
        !self.writes(Some(folder)) && run_folder::goes_on(folder)
    }

    /// Why run, pause and step mean nothing now.
    pub fn why_not_steered(&self) -> &'static str {
        let Some(run) = self.run() else { return "There is nothing to train here." };
        if run.experiment.model.is_read() {
            return "A network of another program is read here and not trained.";
        }
        match run.following.is_some() {
            true => {
                "Another program wrote this run, or writes it: it can be watched here and not steered. A branch of it can."
            }
            false => "There is nothing to train here.",
        }
    }

    /// Whether the run in view is trained now, here or elsewhere.
    pub(super) fn goes_on(&self) -> bool {
        let followed = self.run().and_then(|run| run.following.as_ref());
        self.is_training() || followed.is_some_and(Following::is_lively)
    }

    /// How fast the run in view is trained, here or elsewhere.
    pub fn steps_per_second(&self) -> Option<f64> {
        let run = self.run()?;
        let here = run.training.as_ref().filter(|training| training.is_running());
        let elsewhere = run.following.as_ref().filter(|following| following.is_lively());
        here.map(|here| here.steps_per_second)
            .or(elsewhere.map(|elsewhere| elsewhere.steps_per_second))
    }

    /// Whether some run in the window is written by this very program.
    pub(super) fn writes(&self, folder: Option<&Path>) -> bool {
        let writes =
            |run: &Run| run.training.is_some() && run.recording.folder.as_deref() == folder;
        folder.is_some() && self.runs.iter().any(writes)
    }
}
