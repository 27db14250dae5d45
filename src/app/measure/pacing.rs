//! How often to draw while training runs: a software Vulkan draws with the cores that train, and must leave them most.

use std::time::{Duration, Instant};

/// While training runs, frames follow each other at least this far apart: 12 a second.
const FRAME: Duration = Duration::from_millis(80);

/// The same on a software adapter, until its cost has been measured.
const SOFTWARE_FRAME: Duration = Duration::from_millis(160);

/// Slower than this would no longer look alive.
const SLOWEST: Duration = Duration::from_secs(2);

/// A frame may take at most one part in this many of the window's own thread.
const SHARE: u32 = 8;

/// The rasteriser should take no more than this part of the processor time of the program, and may take this much.
const RASTER_SHARES: std::ops::Range<f64> = 0.03..0.045;

/// Processor time is compared over stretches of this length.
const STRETCH: Duration = Duration::from_millis(1500);

/// The measured cost of drawing, and the distance of frames that follows from it.
pub struct Pacing {
    software: bool,
    frame: Duration,
    last: Option<(Instant, Spent)>,
}

/// Processor time in clock ticks: of the rasteriser's threads, and of the whole program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    raster: u64,
    all: u64,
}

impl Pacing {
    pub fn new(software: bool) -> Self {
        Self { software, frame: if software { SOFTWARE_FRAME } else { FRAME }, last: None }
    }

    /// The distance to the next frame while training runs; `cost` is what the last one took in this thread.
    pub fn next(&mut self, cost: Duration, now: Instant) -> Duration {
        if self.software {
            self.measure(now);
        }
        self.frame.max(cost * SHARE).min(SLOWEST)
    }

    fn measure(&mut self, now: Instant) {
        if self.last.is_some_and(|(at, _)| now.duration_since(at) < STRETCH) {
            return;
        }
        let Some(spent) = spent() else { return };
        if let Some((_, before)) = self.last.replace((now, spent)) {
            self.frame = adapted(self.frame, before, spent);
        }
    }
}

/// Farther apart when the rasteriser took too large a part, nearer when it took little.
fn adapted(frame: Duration, before: Spent, now: Spent) -> Duration {
    let all = now.all.saturating_sub(before.all);
    if all == 0 {
        return frame;
    }
    let share = now.raster.saturating_sub(before.raster) as f64 / all as f64;
    let factor = if share > RASTER_SHARES.end {
        // Half as many frames cost half as much.
        (share / RASTER_SHARES.end).min(3.0)
    } else if share < RASTER_SHARES.start {
        0.8
    } else {
        1.0
    };
    frame.mul_f64(factor).clamp(FRAME, SLOWEST)
}

/// Reads what the system counts for each thread; none where it does not say.
fn spent() -> Option<Spent> {
    let mut spent = Spent { raster: 0, all: 0 };
    for thread in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        // A thread may end between the two calls.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        let Some((is_raster, ticks)) = ticks(&stat) else { continue };
        spent.all += ticks;
        spent.raster += if is_raster { ticks } else { 0 };
    }
    Some(spent)
}

/// Whether a thread is one of Mesa's rasteriser, and its user and system time, from its line in `/proc`.
fn ticks(stat: &str) -> Option<(bool, u64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let name = head.split_once('(')?.1;
    // The state is the third field of the line and the first of `rest`; the times are the 14th and 15th.
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.starts_with("llvmpipe"), user + system))
}
