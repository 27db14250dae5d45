//! A run that another program or machine writes, read as it grows: a poll reads what is new and says it as a session would.
//!
//! Files may be replaced, cut, zeroed or gone at any moment: copies and network file systems do that. What was read is kept until
//! something better is there, and what is not wholly there is not believed.

mod lines;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::event::{Event, State};

use super::beat::{self, Beat, Condition};
use super::recording::Recording;
use super::store::{Depth, Index};
use super::{
    About, MOST_MARKS_BYTES, experiment_text, gone, header_line, mark_of, read_about, row_of,
    task_of,
};

use lines::{Lines, Seen};

pub use standing::{Rhythm, Standing};

/// What is damaged may still be on its way for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(60);
/// A network may be gone for so long before it is a problem.
const OUT_OF_REACH: Duration = Duration::from_secs(600);
/// Two listings as far apart as no cache of names lasts: what is in neither is gone.
const GONE_FOR: Duration = Duration::from_secs(60);
/// So often a file is looked at that is not what was read before: then what was read is given up.
const PATIENCE: u32 = 2;

/// A run folder under a reader that never stops looking. It is given the time, as a duration since any beginning: it reads no clock.
pub struct Follower {
    folder: PathBuf,
    about: About,
    rows: Lines,
    marks: Lines,
    last_row: Option<u64>,
    index: Index,
    /// Steps that were said to be recorded, and since when those among them that no listing shows any more are missing.
    recorded: BTreeSet<u64>,
    missing: BTreeMap<u64, Duration>,
    /// What the last listing could not read.
    damaged: Vec<Error>,
    standing: Standing,
    /// What was wrong when a run that nobody writes was opened: told then, and nothing to wait for.
    accepted: Vec<Error>,
    /// The problem that was told last.
    told: Option<String>,
}

/// What a poll found.
#[derive(Debug, Default)]
pub struct News {
    /// The run, in place of all that was known of it: it began again, went on from an earlier step, or its files were exchanged.
    pub anew: Option<Box<Recording>>,
    /// The steps and curves of a series of another program, in place of those known.
    pub recording: Option<Box<Recording>>,
    /// Steps of the series were written anew: what was answered of it may have another answer now.
    pub is_rewritten: bool,
    /// What came since.
    pub events: Vec<Event>,
    /// What is wrong and does not mend itself, once.
    pub problem: Option<Error>,
    /// There is more to read at once.
    pub has_more: bool,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.anew.is_none() && self.recording.is_none() && self.events.is_empty()
    }
}

/// Something that is not as it should be, and how long that may last before it is told.
struct Trouble {
    error: Error,
    patience: Duration,
}

impl Trouble {
    fn unreadable(error: Error) -> Self {
        Self { error, patience: OUT_OF_REACH }
    }

    fn damaged(error: Error) -> Self {
        Self { error, patience: ON_ITS_WAY }
    }
}

impl Follower {
    /// Reads a run folder as it is now. What is damaged in it comes as problems; where the run is still written, only if it lasts.
    ///
    /// # Errors
    /// When it is no run folder, was written by a newer program, or changes faster than it can be read.
    pub fn open(folder: &Path, now: Duration) -> Result<(Self, Recording, Vec<Error>)> {
        /// Each time a run went on or began again in between.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let (mut follower, recording, troubles) = Self::read(folder, now)?;
            if read_about(folder)?.session != follower.about.session {
                continue;
            }
            if !follower.standing.is_over() {
                follower.worry(troubles, now);
                return Ok((follower, recording, Vec::new()));
            }
            let mut problems: Vec<Error> = troubles.into_iter().map(|t| t.error).collect();
            problems.extend(gone(folder, "metrics.csv", "its curves"));
            problems.extend(gone(folder, "events.jsonl", "its marks"));
            follower.accepted.clone_from(&problems);
            return Ok((follower, recording, problems));
        }
        Err(Error::input(format!(
            "{}: the run in it begins again faster than it can be read; open it once it goes on",
            folder.display()
        )))
    }

    fn read(folder: &Path, now: Duration) -> Result<(Self, Recording, Vec<Trouble>)> {
        let about = read_about(folder)?;
        let beat = beat_of(folder, &about);
        // What nobody writes any more is checked as a whole; what grows is not carried over a network for that.
        let is_over = beat.as_ref().is_none_or(|beat| beat.condition.is_over());
        let depth = if is_over { Depth::Checked } else { Depth::Steps };
        let mut index = Index::read(&folder.join("weights"), &Index::default(), depth)?;
        let damaged = index.take_damaged();
        let mut troubles: Vec<Trouble> = damaged.iter().cloned().map(Trouble::damaged).collect();
        let mut recording = Recording {
            folder: Some(folder.to_owned()),
            task: experiment_text(folder).map(|text| task_of(&text)).unwrap_or_default(),
            parent: about.parent.clone(),
            columns: about.columns.clone(),
            recorded: index.steps(),
            ..Recording::default()
        };
        let last = recording.recorded.last().copied();
        let running = beat.as_ref().filter(|_| !is_over).map(|beat| beat.step);
        recording.last_step = last.max(running).unwrap_or(0);
        let mut follower = Self {
            rows: Lines::new(folder.join("metrics.csv"), u64::MAX),
            marks: Lines::new(folder.join("events.jsonl"), MOST_MARKS_BYTES),
            last_row: None,
            recorded: recording.recorded.iter().copied().collect(),
            missing: BTreeMap::new(),
            standing: Standing::new(beat, now),
            accepted: Vec::new(),
            told: None,
            damaged,
            folder: folder.to_owned(),
            about,
            index,
        };
        troubles.extend(follower.read_all(&mut recording, Self::read_rows));
        troubles.extend(follower.read_all(&mut recording, Self::read_marks));
        Ok((follower, recording, troubles))
    }

    /// Reads one piece after the other: a long run has more rows than memory should hold.
    fn read_all(
        &mut self,
        recording: &mut Recording,
        read: fn(&mut Self, &mut News) -> Option<Trouble>,
    ) -> Option<Trouble> {
        loop {
            let mut news = News::default();
            let trouble = read(self, &mut news);
            for event in news.events {
                if let Event::Metrics(row) = event {
                    recording.add_row(row);
                } else if let Event::Mark(mark) = event {
                    recording.marks.push(mark);
                }
            }
            if !news.has_more {
                return trouble;
            }
        }
    }

    /// What is known of how the run goes on.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Reads what is new. Whatever happens in the folder, what was said before stays as it was said, or all of it is said anew.
    pub fn poll(&mut self, now: Duration) -> News {
        let beat = beat_of(&self.folder, &self.about);
        let before = (self.rows.clone(), self.marks.clone(), self.last_row);
        let mut news = News::default();
        let mut troubles = Vec::new();
        troubles.extend(self.read_rows(&mut news));
        troubles.extend(self.read_marks(&mut news));
        // After what was read: only then is it known to be of this session.
        match self.check_session(now) {
            Ok(None) => {}
            Ok(Some(recording)) => return News { anew: Some(recording), ..News::default() },
            Err(error) => {
                (self.rows, self.marks, self.last_row) = before;
                news = News::default();
                troubles.insert(0, Trouble::unreadable(error));
            }
        }
        let found = !news.is_empty();
        troubles.extend(self.list_weights(&mut news.events, now).map(Trouble::unreadable));
        troubles.extend(self.damaged.iter().cloned().map(Trouble::damaged));
        let beat = self.standing.take_look(beat, self.last_row, found, now);
        news.events.extend(beat.map(progress));
        news.problem = self.worry(troubles, now);
        news
    }

    /// Begins from the start where the run does, or where what was read is no longer there.
    ///
    /// # Errors
    /// When what is there now cannot take the place of what was read.
    fn check_session(&mut self, now: Duration) -> Result<Option<Box<Recording>>> {
        let is_same = self.is_same_run(&read_about(&self.folder)?);
        if is_same && !self.rows.is_given_up() && !self.marks.is_given_up() {
            return Ok(None);
        }
        let (mut follower, recording, problems) = Self::open(&self.folder, now)?;
        let is_sound = problems.is_empty() && follower.standing.trouble.is_none();
        if is_same && !(is_sound && follower.rows.has_begun()) {
            return Err(Error::input(format!(
                "{}: its files are not those that were read and are not whole; what was read is shown",
                self.folder.display()
            )));
        }
        follower.standing.stir(now);
        *self = Self { told: self.told.take(), ..follower };
        Ok(Some(Box::new(recording)))
    }

    fn is_same_run(&self, about: &About) -> bool {
        about.session == self.about.session && about.columns == self.about.columns
    }

    fn read_rows(&mut self, news: &mut News) -> Option<Trouble> {
        let (columns, last_row) = (&self.about.columns, &mut self.last_row);
        let header = header_line(columns);
        let seen = self.rows.poll(|number, line| {
            if number == 1 {
                return line == header.trim_end();
            }
            let Some(row) = row_of(line, columns.len()) else { return false };
            if last_row.is_none_or(|last| last < row.step) {
                *last_row = Some(row.step);
                news.events.push(Event::Metrics(row));
            }
            true
        });
        trouble_of(seen, &mut news.has_more)
    }

    fn read_marks(&mut self, news: &mut News) -> Option<Trouble> {
        let seen = self.marks.poll(|_, line| {
            let mark = mark_of(line);
            let is_mark = mark.is_some();
            news.events.extend(mark.map(Event::Mark));
            is_mark
        });
        trouble_of(seen, &mut news.has_more)
    }

    /// Looks which steps have weights, where rows say that there should be more, or something was missing or damaged at the last
    /// listing. What keeps it from looking comes back.
    fn list_weights(&mut self, events: &mut Vec<Event>, now: Duration) -> Option<Error> {
        let is_newer = self.last_row > self.recorded.last().copied();
        let is_due = self.missing.values().any(|since| now >= *since + GONE_FOR);
        let may_mend = self.damaged.iter().any(|error| !self.is_accepted(error));
        if !is_newer && !is_due && !may_mend {
            return None;
        }
        let depth = if self.standing.is_over() { self.index.depth() } else { Depth::Steps };
        match Index::read(&self.folder.join("weights"), &self.index, depth) {
            Ok(index) => self.index = index,
            Err(error) => return Some(error),
        }
        self.damaged = self.index.take_damaged();
        let there = self.index.steps().into_iter().collect();
        self.compare(&there, events, now);
        None
    }

    fn is_accepted(&self, error: &Error) -> bool {
        self.accepted.iter().any(|accepted| accepted.message == error.message)
    }

    /// Says which steps have come. Those that went are said only when another listing, much later, lacks them too.
    fn compare(&mut self, there: &BTreeSet<u64>, events: &mut Vec<Event>, now: Duration) {
        let missing = std::mem::take(&mut self.missing);
        let since = |step: &u64| missing.get(step).copied().unwrap_or(now);
        self.missing = self.recorded.difference(there).map(|step| (*step, since(step))).collect();
        let gone: Vec<u64> =
            self.missing.iter().filter(|(_, s)| now >= **s + GONE_FOR).map(|(s, _)| *s).collect();
        let new: Vec<u64> = there.difference(&self.recorded).copied().collect();
        let is_in_order = new.first().copied() > self.recorded.last().copied();
        for step in &gone {
            self.missing.remove(step);
            self.recorded.remove(step);
        }
        self.recorded.extend(&new);
        if gone.is_empty() && (is_in_order || new.is_empty()) {
            events.extend(new.into_iter().map(|step| Event::Recorded { step }));
        } else {
            events.push(Event::Thinned { steps: self.recorded.iter().copied().collect() });
        }
    }

    /// Remembers what is not as it should be; what has lasted too long is told, once.
    fn worry(&mut self, troubles: Vec<Trouble>, now: Duration) -> Option<Error> {
        let first = troubles.into_iter().find(|trouble| !self.is_accepted(&trouble.error));
        let Some(trouble) = first else {
            self.standing.trouble = None;
            self.told = None;
            return None;
        };
        let since = self.standing.trouble.as_ref().map_or(now, |(since, _)| *since);
        self.standing.trouble = Some((since, trouble.error.message.clone()));
        let is_told = self.told.as_ref() == Some(&trouble.error.message);
        if is_told || now < since + trouble.patience {
            return None;
        }
        self.told = Some(trouble.error.message.clone());
        Some(trouble.error)
    }
}

/// The beat of the session that `run.json` names; of another one nothing is known.
fn beat_of(folder: &Path, about: &About) -> Option<Beat> {
    // Half a beat, or none, says as little as one that stands still.
    let beat = beat::read(folder).ok().flatten()?;
    about.session.is_none_or(|session| session == beat.session).then_some(beat)
}

fn trouble_of(seen: Result<Seen>, has_more: &mut bool) -> Option<Trouble> {
    match seen {
        Ok(Seen::All) => None,
        Ok(Seen::More) => {
            *has_more = true;
            None
        }
        Ok(Seen::Damaged(error)) => Some(Trouble::damaged(error)),
        Ok(Seen::Other(error)) | Err(error) => Some(Trouble::unreadable(error)),
    }
}

fn progress(beat: &Beat) -> Event {
    let state = match beat.condition {
        Condition::Running => State::Running,
        Condition::Paused => State::Paused,
        Condition::Finished | Condition::Stopped => State::Finished,
        Condition::Failed => State::Failed,
    };
    Event::Progress { step: beat.step, steps_per_second: beat.steps_per_second, state }
}
