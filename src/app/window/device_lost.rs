//! A window that outlives its graphics device: when that is lost, another one is opened on the same laboratory.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egui::{Context, Pos2, Rect, Ui, Vec2, ViewportCommand, pos2, vec2};

use super::App;

/// Whether the device of the window is lost, as the device itself reports it.
#[derive(Clone, Default)]
pub struct Lost {
    flag: Arc<AtomicBool>,
    device: Option<wgpu::Device>,
}

impl Lost {
    /// Listens to a device. What goes wrong on it afterwards is no fault of the program and ends nothing.
    pub fn watch(device: &wgpu::Device, ctx: &Context) -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let (lost, window) = (flag.clone(), ctx.clone());
        device.set_device_lost_callback(move |_, _| {
            lost.store(true, Ordering::Relaxed);
            window.request_repaint();
        });
        let (lost, window) = (flag.clone(), ctx.clone());
        device.on_uncaptured_error(Arc::new(move |_| {
            lost.store(true, Ordering::Relaxed);
            window.request_repaint();
        }));
        Self { flag, device: Some(device.clone()) }
    }

    pub fn is_lost(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Throws the device away, as a driver does that was restarted.
    pub fn lose(&self) {
        if let Some(device) = &self.device {
            device.destroy();
        }
    }
}

/// Where the program is while no window has it.
pub type Slot = Rc<RefCell<Option<App>>>;

/// The program in a window; back in its slot when the window goes.
pub struct Keeper {
    app: Option<App>,
    slot: Slot,
    /// Whether the window was seen to stand on a monitor, or was brought to one.
    in_sight: bool,
    /// Whether the window has the size that it was left with.
    sized: bool,
}

/// Where a window goes of which no monitor shows enough to take hold of, as after a monitor was taken away: into the middle of
/// the first of them. All in pixels.
pub fn back_in_sight(window: Rect, monitors: &[Rect]) -> Option<Pos2> {
    const HOLD: Vec2 = vec2(100.0, 30.0);
    let top = Rect::from_min_size(window.min, vec2(window.width(), HOLD.y));
    let held = |monitor: &Rect| {
        let seen = top.intersect(*monitor).size();
        seen.x >= HOLD.x.min(window.width()) && seen.y >= HOLD.y / 2.0
    };
    let first = monitors.first().filter(|_| !monitors.iter().any(held))?;
    Some(first.min.max(first.center() - window.size() / 2.0))
}

/// Asks the window of the system where it stands, as soon as it can say.
fn brought_back(ctx: &Context, frame: &eframe::Frame) -> bool {
    let Some(window) = frame.winit_window() else { return true };
    let Ok(at) = window.outer_position() else { return false };
    let rect = |x: i32, y: i32, width: u32, height: u32| {
        Rect::from_min_size(pos2(x as f32, y as f32), vec2(width as f32, height as f32))
    };
    let size = window.outer_size();
    let monitors: Vec<Rect> = window
        .primary_monitor()
        .into_iter()
        .chain(window.available_monitors())
        .map(|m| rect(m.position().x, m.position().y, m.size().width, m.size().height))
        .collect();
    if let Some(to) = back_in_sight(rect(at.x, at.y, size.width, size.height), &monitors) {
        let to = to / ctx.pixels_per_point();
        ctx.send_viewport_cmd(ViewportCommand::OuterPosition(to));
    }
    true
}

/// Gives the window the size that it was left with: the system's is kept in points of the scale that it had then, and a new one is
/// made in points of scale 1.
fn sized_again(ctx: &Context, frame: &eframe::Frame, size: Option<Vec2>) -> bool {
    let (Some(window), Some(size)) = (frame.winit_window(), size) else { return true };
    if !window.is_maximized() && window.fullscreen().is_none() {
        ctx.send_viewport_cmd(ViewportCommand::InnerSize(size / ctx.zoom_factor()));
    }
    true
}

impl Keeper {
    pub fn new(app: App, slot: Slot) -> Self {
        Self { app: Some(app), slot, in_sight: false, sized: false }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.slot.replace(self.app.take());
    }
}

impl eframe::App for Keeper {
    fn raw_input_hook(&mut self, ctx: &Context, raw: &mut egui::RawInput) {
        if let Some(app) = &mut self.app {
            app.raw_input_hook(ctx, raw);
        }
    }

    fn logic(&mut self, ctx: &Context, frame: &mut eframe::Frame) {
        let Some(app) = &mut self.app else { return };
        app.logic(ctx, frame);
        if app.lost.is_lost() {
            ctx.send_viewport_cmd(ViewportCommand::Close);
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.in_sight = self.in_sight || brought_back(ui.ctx(), frame);
        if let Some(app) = &mut self.app {
            self.sized = self.sized || sized_again(ui.ctx(), frame, app.size());
            app.ui(ui, frame);
        }
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if let Some(app) = &mut self.app {
            app.save(storage);
        }
    }

    /// What is kept is [`super::Kept`]: zooms of plots and open menus begin anew.
    fn persist_egui_memory(&self) -> bool {
        false
    }

    /// That of paper: see [`crate::app::canvas::background`].
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.extreme_bg_color.to_normalized_gamma_f32()
    }
}

impl App {
    pub(in crate::app) fn has_lost_device(&self) -> bool {
        self.lost.is_lost()
    }

    /// The drill that the command line may ask for.
    pub(super) fn drill(&mut self) {
        if self.lose_device_at.is_some_and(|step| self.lab.step_in_view() >= step) {
            self.lose_device_at = None;
            self.lost.lose();
        }
    }
}
