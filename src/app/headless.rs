//! The window without a window: frames of the program as it is, drawn into nothing, for measurements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use egui::{Context, RawInput, Rect, Ui, pos2};

use crate::base::error::{Error, Result};
use crate::base::question::{MeasurementCall, Readings};
use crate::figure::Cloud;
use crate::gpu::cloud::Projector;

use super::{App, Launch, Surroundings};
use crate::app::canvas::cloud::{self, Camera, CloudCanvas, Kept, Place};
use crate::app::canvas::gpu_cloud::{self, Refusal, Target};

/// Width and height of what is drawn into, in screen units of one pixel.
pub const SIZE: [f32; 2] = [1600.0, 1000.0];

/// Whatever is waited for comes sooner, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program with nobody before it.
pub struct Headless {
    ctx: Context,
    pub app: App,
    begun: Instant,
    /// When somebody asked for a frame.
    wishes: Receiver<Instant>,
    due: Option<Instant>,
    /// What the last frame took, as the program is told.
    last: Duration,
}

/// What a frame took: looking, layout, figures and triangles, but no pixels.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Processor time of its thread; the same as `wall` where the system does not tell.
    pub cpu: Duration,
    pub wall: Duration,
}

impl Headless {
    pub fn new(surroundings: Surroundings, launch: &Launch) -> Self {
        let ctx = Context::default();
        let (wish, wishes) = unbounded();
        ctx.set_request_repaint_callback(move |info| {
            // An answer that nobody waits for any more wakes nobody.
            let _ = wish.send(Instant::now() + info.delay);
        });
        let app = App::new(&ctx, None, surroundings, launch);
        Self { ctx, app, begun: Instant::now(), wishes, due: None, last: Duration::ZERO }
    }

    /// Draws a frame.
    pub fn frame(&mut self) -> Took {
        self.due = None;
        let Self { ctx, app, last, begun, .. } = self;
        let took = timed(ctx, begun.elapsed(), |ui| {
            app.look(ui.ctx());
            app.frame(ui, *last);
        });
        self.last = took.wall;
        took
    }

    /// Shows these panels alone.
    pub fn show_only(&mut self, kinds: &[&str]) {
        for kind in self.app.lab.panels.names() {
            if !kinds.contains(&kind) {
                self.app.dock.close(kind);
            }
        }
    }

    /// What the panels ask for.
    pub fn calls(&self) -> Vec<MeasurementCall> {
        self.app.host.calls(&self.app.lab)
    }

    /// Puts an answer before the panels, as if it had come now.
    pub fn answer(&mut self, readings: Arc<Readings>) {
        self.app.lab.readings = Some(readings);
        self.app.lab.changed();
    }

    /// Waits until the program wants a frame; false if it wants none within `patience`.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            let sooner = |a: Option<Instant>, b: Instant| Some(a.map_or(b, |a| a.min(b)));
            self.due = self.wishes.try_iter().fold(self.due, sooner);
            let until = self.due.map_or(end, |due| due.min(end));
            if Instant::now() >= until {
                return self.due.is_some_and(|due| due <= Instant::now());
            }
            if let Ok(wish) = self.wishes.recv_deadline(until) {
                self.due = sooner(self.due, wish);
            }
        }
    }

    /// Draws frames as the program wants them until `done`; what the last of them took.
    ///
    /// # Errors
    /// When that does not come, with what the program says in its window.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&App) -> bool) -> Result<Took> {
        let begun = Instant::now();
        loop {
            let took = self.frame();
            if done(&self.app) {
                return Ok(took);
            }
            if begun.elapsed() > PATIENCE {
                let said: Vec<&str> =
                    self.app.lab.troubles.iter().map(|e| e.message.as_str()).collect();
                return Err(Error::internal(format!(
                    "the window was waited for in vain: {what}. It says: {}",
                    said.join("; ")
                )));
            }
            self.wait(Duration::from_secs(1));
        }
    }

    /// From asking for a recorded step to the end of the frame that shows it.
    ///
    /// # Errors
    /// When it is not shown.
    pub fn scrub(&mut self, step: u64) -> Result<Duration> {
        let begun = Instant::now();
        self.app.lab.view(Some(step));
        self.until("a recorded step is shown", |app| app.lab.examination.is_settled(step))?;
        Ok(begun.elapsed())
    }
}

/// A cloud alone in a window whose device draws it.
pub struct StillCloud {
    ctx: Context,
    cloud: Cloud,
    camera: Camera,
    kept: Kept,
    refusal: Refusal,
}

impl StillCloud {
    pub fn new(cloud: Cloud) -> Self {
        let ctx = Context::default();
        let (format, projector) = (wgpu::TextureFormat::Rgba8Unorm, Projector::Device);
        gpu_cloud::note(&ctx, Target { format, projector }, Ok(()));
        let (camera, kept, refusal) = (Camera::default(), Kept::default(), Refusal::default());
        Self { ctx, cloud, camera, kept, refusal }
    }

    /// Draws a frame.
    pub fn frame(&mut self) -> Took {
        let Self { ctx, cloud, camera, kept, refusal } = self;
        timed(ctx, Duration::ZERO, |ui| {
            let room = ui.max_rect();
            let place = Place { room, x: (-10.0, 10.0), y: (-6.0, 6.0) };
            let canvas = CloudCanvas { camera, kept, refusal };
            cloud::show(ui, &ui.painter().clone(), place, cloud, canvas);
        })
    }
}

/// One frame up to its triangles.
fn timed(ctx: &Context, time: Duration, mut draw: impl FnMut(&mut Ui)) -> Took {
    let (cpu, wall) = (thread_time(), Instant::now());
    let input = RawInput {
        screen_rect: Some(Rect::from_min_max(pos2(0.0, 0.0), SIZE.into())),
        time: Some(time.as_secs_f64()),
        ..RawInput::default()
    };
    let mut output = ctx.run_ui(input, |ui| draw(ui));
    // No device waits for the textures.
    output.textures_delta.clear();
    drop(ctx.tessellate(std::mem::take(&mut output.shapes), output.pixels_per_point));
    let wall = wall.elapsed();
    let spent = cpu.and_then(|before| Some(thread_time()?.saturating_sub(before)));
    Took { cpu: spent.unwrap_or(wall), wall }
}

/// Processor time of this thread so far.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn thread_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn thread_time() -> Option<Duration> {
    None
}
