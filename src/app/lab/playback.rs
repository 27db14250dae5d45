//! The step in view, and walking through the recorded ones.

use std::time::{Duration, Instant};

use super::Lab;

/// Walking through recorded steps by itself.
pub struct Playback {
    pub steps_per_second: f64,
    pub playing: bool,
    last: Option<Instant>,
}

impl Default for Playback {
    fn default() -> Self {
        Self { steps_per_second: 10.0, playing: false, last: None }
    }
}

impl Playback {
    /// From one recorded step to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.steps_per_second.max(0.1))
    }
}

impl Lab {
    /// Looks at the recorded step nearest to `step`, or at the newest.
    pub fn view(&mut self, step: Option<u64>) {
        let Some(run) = self.run() else { return };
        let step = step.and_then(|s| run.recording.nearest_recorded(s));
        if step != self.step {
            // Only of a run that trains does what is tried on the past differ from what is in force now.
            let trains = self.training().is_some_and(|training| !training.gone);
            if trains && (step.is_none() || self.step.is_none()) {
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

    /// Plays from the step in view, from the first one when that is the newest.
    pub fn play_or_hold(&mut self) {
        self.playback.playing = !self.playback.playing;
        if self.playback.playing && self.step.is_none() {
            self.view(Some(0));
        }
    }

    pub(super) fn play(&mut self, now: Instant) {
        if !self.playback.playing {
            self.playback.last = None;
            return;
        }
        let interval = self.playback.interval();
        match self.playback.last {
            Some(last) if now.duration_since(last) < interval => return,
            // One at a time: a step that is skipped is not seen.
            Some(_) if self.examination.is_busy() => return,
            _ => {}
        }
        self.playback.last = Some(now);
        self.move_step(1);
    }
}
