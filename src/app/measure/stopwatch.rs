//! Tells on standard output how far the window has come, one JSON object a line, and closes it in time: for measurements
//! from outside.

use std::io::Write;
use std::time::{Duration, Instant};

use egui::{Context, ViewportCommand};
use serde_json::{Value, json};

/// From one line about frames and steps to the next.
const EVERY: Duration = Duration::from_secs(1);

/// What was told so far.
pub struct Stopwatch {
    begun: Instant,
    end: Instant,
    /// Frames that were begun.
    frames: u64,
    told: Instant,
    /// The newest step, and when the window heard of it.
    step: (u64, Instant),
}

impl Stopwatch {
    pub fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self { begun: now, end: now + time, frames: 0, told: now, step: (0, now) }
    }

    /// Another frame begins, at a step. Returns the lines to tell and whether it is time to close.
    fn pass(&mut self, step: u64, now: Instant) -> (Vec<Value>, bool) {
        let mut lines = Vec::new();
        // Then the first is on the screen.
        if self.frames == 1 {
            lines.push(json!({ "event": "frame" }));
        }
        if self.step.0 == 0 && step > 0 {
            lines.push(json!({ "event": "step" }));
        }
        if self.step.0 != step {
            self.step = (step, now);
        }
        if now.duration_since(self.told) >= EVERY {
            self.told = now;
            let seconds = |at: Instant| at.duration_since(self.begun).as_secs_f64();
            lines.push(json!({
                "event": "so_far",
                "seconds": seconds(now),
                "frames": self.frames,
                "step": self.step.0,
                "step_seconds": seconds(self.step.1),
            }));
        }
        self.frames += 1;
        (lines, now >= self.end)
    }

    /// Before a frame is drawn, at a step.
    pub fn time(&mut self, ctx: &Context, step: u64) {
        let (lines, mut over) = self.pass(step, Instant::now());
        if self.frames == 1 {
            ctx.request_repaint();
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            // Nobody listens any more.
            over |= writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
        }
        if over {
            ctx.send_viewport_cmd(ViewportCommand::Close);
        }
    }
}
