//! How a run that is written elsewhere goes on, in words, and how often to look.

use std::time::Duration;

use crate::run_folder::beat::{Beat, Condition};

/// A run that has said nothing for so long, and at so many looks, may be slow, cut off or dead: nobody here can tell.
const SILENT: Duration = Duration::from_secs(30);
const SILENT_LOOKS: u32 = 3;
/// Looks at a run that has ended: a copy of it may lack a file yet.
const LOOKS_AT_THE_END: u32 = 4;

/// What is known of how a run goes on.
#[derive(Clone, Debug)]
pub struct Standing {
    pub beat: Option<Beat>,
    /// When it was looked at first, and when it was last seen to move.
    since: Duration,
    moved: Option<Duration>,
    /// Looks since then.
    still: u32,
    /// Everything is there that the run says that it wrote.
    is_complete: bool,
    /// What is not as it should be, and since when: it is looked at again.
    pub(super) trouble: Option<(Duration, String)>,
}

impl Standing {
    pub(in crate::run_folder) fn new(beat: Option<Beat>, now: Duration) -> Self {
        Self { beat, since: now, moved: None, still: 0, is_complete: false, trouble: None }
    }

    /// It was seen to move.
    pub(super) fn stir(&mut self, now: Duration) {
        (self.moved, self.still) = (Some(now), 0);
    }

    /// Takes in a look: the beat, the newest row, and whether anything came. The beat comes back if it is another than before.
    pub(in crate::run_folder) fn take_look(
        &mut self,
        beat: Option<Beat>,
        last_row: Option<u64>,
        found: bool,
        now: Duration,
    ) -> Option<&Beat> {
        let is_new = beat.is_some() && beat != self.beat;
        // A beat that cannot be read for once takes nothing back.
        self.beat = beat.or(self.beat.take());
        self.is_complete = self.beat.as_ref().is_none_or(|beat| last_row >= Some(beat.step));
        if is_new || found {
            self.stir(now);
        } else {
            self.still = self.still.saturating_add(1);
        }
        self.beat.as_ref().filter(|_| is_new)
    }

    /// Whether nobody is known to write the run.
    pub fn is_over(&self) -> bool {
        self.beat.as_ref().is_none_or(|beat| beat.condition.is_over())
    }

    /// Whether looking at it now and then is worth nothing before somebody goes on with it: it has ended and all of it is here, or
    /// nobody is known to write it and nothing ever came.
    pub fn rests(&self) -> bool {
        let said = self.beat.is_some() || self.moved.is_none();
        let is_quiet = self.still >= LOOKS_AT_THE_END && self.trouble.is_none();
        self.is_over() && self.is_complete && said && is_quiet
    }

    /// Looks again for a while, also where it has ended.
    pub fn look_again(&mut self) {
        self.still = self.still.min(LOOKS_AT_THE_END - 1);
    }

    /// Whether it was seen to move lately, so that more is to be expected.
    pub fn is_lively(&self, now: Duration) -> bool {
        self.moved.is_some() && !self.is_silent(now) && !self.is_over()
    }

    fn is_silent(&self, now: Duration) -> bool {
        self.silence(now) >= SILENT && self.still >= SILENT_LOOKS
    }

    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.moved.unwrap_or(self.since))
    }

    /// In a few words; none of a run that nobody is known to write.
    pub fn in_words(&self, now: Duration) -> Option<String> {
        if let Some((_, what)) = &self.trouble {
            return Some(format!("reading again: {what}"));
        }
        let silent = || Some(format!("no news for {}", spell(self.silence(now))));
        match self.beat.as_ref().map(|beat| beat.condition) {
            Some(Condition::Running) if self.is_silent(now) => silent(),
            Some(Condition::Running) if self.moved.is_none() => Some("no news yet".to_owned()),
            Some(Condition::Running) => Some("running elsewhere".to_owned()),
            // It ended before it was opened: a recorded run as any.
            Some(over) if over.is_over() && self.moved.is_none() => None,
            Some(Condition::Paused) => Some("paused elsewhere".to_owned()),
            Some(Condition::Failed) => Some("stopped by an error".to_owned()),
            Some(over @ (Condition::Finished | Condition::Stopped)) => Some(over.name().to_owned()),
            None if self.moved.is_none() => None,
            None if self.is_silent(now) => silent(),
            None => Some("growing".to_owned()),
        }
    }
}

fn spell(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// When to look again.
#[derive(Clone, Debug)]
pub struct Rhythm {
    interval: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { interval: Self::BASE }
    }
}

impl Rhythm {
    /// A step is seen well within two seconds.
    pub const BASE: Duration = Duration::from_millis(500);
    /// Where nothing comes, nothing is missed by looking this seldom.
    pub const SLOWEST: Duration = Duration::from_secs(10);
    /// Looking takes at most one part in so many of the time.
    const SHARE: u32 = 20;

    /// How long to wait after a look that took so long, if there is more to be expected soon, or not.
    pub fn after(&mut self, took: Duration, is_lively: bool) -> Duration {
        self.interval = match is_lively {
            true => Self::BASE,
            false => (self.interval * 2).min(Self::SLOWEST),
        };
        self.interval.max(took * Self::SHARE)
    }
}
