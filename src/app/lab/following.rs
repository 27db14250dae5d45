//! How a run in the window is followed that another program writes: when to look at its folder, and which of its weights to show.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::event::Event;
use crate::run_folder::follow::{Follower, News, Rhythm, Standing};
use crate::run_folder::series;

/// Other weights come into view at most this often while a run is followed live.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// And so many bytes of them a second, at most: they may come over a network. Older ones are read when a hand asks for them.
const BYTES_PER_SECOND: f64 = 1e6;

/// Who looks.
pub(super) enum Watcher {
    Run(Box<Follower>),
    Series(Box<series::follow::Follower>),
}

impl Watcher {
    pub fn poll(&mut self, now: Duration) -> News {
        match self {
            Self::Run(follower) => follower.poll(now),
            Self::Series(follower) => follower.poll(now),
        }
    }

    pub fn standing(&self) -> &Standing {
        match self {
            Self::Run(follower) => follower.standing(),
            Self::Series(follower) => follower.standing(),
        }
    }
}

/// How a run is followed.
pub struct Following {
    /// The time that the follower is told is counted from here.
    pub(super) began: Instant,
    /// Away while a thread looks with it.
    pub(super) follower: Option<Watcher>,
    is_series: bool,
    pub(super) standing: Standing,
    pub(super) rhythm: Rhythm,
    pub(super) due: Instant,
    /// Found and not yet taken in.
    pub(super) events: VecDeque<Event>,
    pub steps_per_second: f64,
    /// The step whose weights are shown as the newest, and since when.
    pub(super) shown: Option<(u64, Instant)>,
}

impl Following {
    pub fn of_run(follower: Follower, began: Instant) -> Self {
        Self::new(Watcher::Run(Box::new(follower)), began)
    }

    pub fn of_series(follower: series::follow::Follower, began: Instant) -> Self {
        Self::new(Watcher::Series(Box::new(follower)), began)
    }

    fn new(follower: Watcher, began: Instant) -> Self {
        let standing = follower.standing().clone();
        Self {
            began,
            steps_per_second: standing.beat.as_ref().map_or(0.0, |beat| beat.steps_per_second),
            standing,
            is_series: matches!(follower, Watcher::Series(_)),
            follower: Some(follower),
            rhythm: Rhythm::default(),
            due: Instant::now() + Rhythm::BASE,
            events: VecDeque::new(),
            shown: None,
        }
    }

    /// When its folder is to be looked at; `None` while that is done, or where nothing more is to be expected.
    pub(super) fn due(&self) -> Option<Instant> {
        // Between two checkpoints of a trainer lie minutes or hours.
        let rests = !self.is_series && self.standing.rests();
        (self.follower.is_some() && !rests).then_some(self.due)
    }

    /// In a few words; none where it is a recorded run as any.
    pub(super) fn in_words(&self) -> Option<String> {
        self.standing.in_words(self.began.elapsed())
    }

    pub(super) fn is_lively(&self) -> bool {
        self.standing.is_lively(self.began.elapsed())
    }

    /// The step to show as the newest, of those that are recorded; `bytes` are those of its weights.
    pub fn newest(&mut self, recorded: &[u64], bytes: usize, now: Instant) -> Option<u64> {
        let newest = *recorded.last()?;
        let pause = SHOW_EVERY.max(Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND));
        let stays = |(step, since): &(u64, Instant)| {
            *step == newest || now.duration_since(*since) < pause && recorded.contains(step)
        };
        if !self.shown.as_ref().is_some_and(stays) {
            self.shown = Some((newest, now));
        }
        self.shown()
    }

    /// The step that is shown as the newest.
    pub fn shown(&self) -> Option<u64> {
        self.shown.map(|(step, _)| step)
    }
}
