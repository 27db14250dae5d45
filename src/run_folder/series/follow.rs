//! A series whose trainer still writes: which steps came, which went, and what was logged since. As the follower of a run it is told the
//! time and reads no clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::run_folder::follow::{News, Standing};
use crate::run_folder::recording::Recording;

use super::{Series, history};

/// What cannot be read may still be on its way for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// The folder of a series under a reader that goes on looking.
pub struct Follower {
    series: Series,
    standing: Standing,
    /// What is wrong, since when, and whether it was told.
    troubles: BTreeMap<String, (Duration, bool)>,
    /// The log of the newest step that has one: its length and when it was written.
    logged: Option<(std::path::PathBuf, history::Written)>,
    /// What the files of each step are like.
    versions: BTreeMap<u64, String>,
}

impl Follower {
    /// Reads which steps there are now; none of a folder that holds one network itself, which nobody adds to.
    ///
    /// # Errors
    /// As [`Series::open`].
    pub fn open(folder: &Path, now: Duration) -> Result<(Option<Self>, Recording, Vec<Error>)> {
        let mut series = Series::open(folder)?;
        let recording = series.recording();
        let problems = series.take_problems();
        let is_one = series.is_one();
        let mut follower = Self {
            standing: Standing::new(None, now),
            troubles: BTreeMap::new(),
            logged: series.log(),
            versions: series.versions(),
            series,
        };
        // Told by whoever opens it.
        let told = problems.iter().map(|e| (e.message.clone(), (now, true)));
        follower.troubles.extend(told);
        Ok(((!is_one).then_some(follower), recording, problems))
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Looks which steps there are, and whether one was written anew. A step that went is said in a sentence, and so is one that cannot be
    /// read for a while, or a folder that is gone.
    pub fn poll(&mut self, now: Duration) -> News {
        let before = self.steps();
        let refused = self.series.refresh().err();
        let (after, logged) = (self.steps(), self.series.log());
        let gone: Vec<u64> = before.iter().copied().filter(|step| !after.contains(step)).collect();
        let versions = self.series.versions();
        let is_other =
            |(step, version)| self.versions.get(step).is_some_and(|then| then != version);
        let is_rewritten = versions.iter().any(is_other);
        let is_new = before != after || logged != self.logged || is_rewritten;
        (self.logged, self.versions) = (logged, versions);
        let recording = is_new.then(|| Box::new(self.series.recording()));
        let found: Vec<Error> = refused.into_iter().chain(self.series.take_problems()).collect();
        self.standing.take_look(None, after.last().copied(), is_new, now);
        let lasting = self.worry(found, now);
        let problem = said(&gone, after.len()).or(lasting);
        News { recording, is_rewritten, problem, ..News::default() }
    }

    fn steps(&self) -> Vec<u64> {
        self.series.steps.iter().map(|(step, _)| *step).collect()
    }

    /// Remembers what cannot be read; the first that has lasted too long and was not told yet.
    fn worry(&mut self, found: Vec<Error>, now: Duration) -> Option<Error> {
        self.troubles.retain(|message, _| found.iter().any(|e| e.message == *message));
        let (mut lasting, is_gone) = (None, !self.series.folder.exists());
        for error in found {
            let known = self.troubles.entry(error.message.clone()).or_insert((now, false));
            let has_lasted = is_gone || now >= known.0 + ON_ITS_WAY;
            if lasting.is_none() && !known.1 && has_lasted {
                known.1 = true;
                lasting = Some(error);
            }
        }
        lasting
    }
}

/// That steps are gone, and how many are left.
fn said(gone: &[u64], left: usize) -> Option<Error> {
    const MOST: usize = 6;
    let named: Vec<String> = gone.iter().take(MOST).map(u64::to_string).collect();
    let more = match gone.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = format!("{}{more}", named.join(", "));
    match gone {
        [] => None,
        [_] => Some(Error::input(format!(
            "step {named} is gone: its folder was removed, as a trainer does that keeps only its newest checkpoints; {left} steps are left"
        ))),
        _ => Some(Error::input(format!(
            "steps {named} are gone: their folders were removed, as a trainer does that keeps only its newest checkpoints; {left} steps are left"
        ))),
    }
}
