//! From the command line to a window on a screen, and a plain sentence where there can be none.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::base::error::{Error, Result, without_build_paths};
use crate::gpu::device::Adapter;
use crate::run_folder::library::home;

use super::canvas::{gpu_cloud, software};
use super::lab::panels::Panels;
use super::measure::screenshot::{self, Screenshot};
use super::window::App;
use super::window::device_lost::{Keeper, Lost, Slot};
use super::{Launch, Surroundings};

/// The icon of the window.
const ICON: &[u8] = include_bytes!("../../assets/icon.png");

/// What a bare Debian machine needs for a window.
const PACKAGES: &str = "sudo apt install libvulkan1 mesa-vulkan-drivers libx11-6 libx11-xcb1 libxcursor1 libxi6 libxrandr2 libxkbcommon-x11-0 libwayland-client0";

/// Opens the window and stays until it is closed.
///
/// # Errors
/// When there is no display or no Vulkan: the sentence says what is missing and how to get it. When a screenshot was
/// asked for and could not be made, or has a name that it cannot have.
pub fn open(launch: &Launch) -> Result<()> {
    launch.screenshot.as_deref().map_or(Ok(()), |file| screenshot::check(file, launch.force))?;
    display()?;
    let (sender, shots) = crossbeam_channel::bounded(1);
    let options = || options(launch.is_own(), launch.look.size.map(f32::from));
    let slot = Slot::default();
    let mut reopened: Vec<Instant> = Vec::new();
    loop {
        let opened = Cell::new(false);
        let outcome = window(options(), launch, &slot, &sender, &opened);
        let was_open = slot.borrow().is_some();
        let lost = slot.borrow().as_ref().is_some_and(App::has_lost_device);
        let now = Instant::now();
        reopened.retain(|at| now.duration_since(*at) < MINUTE);
        // A device may be gone before it says so: then drawing fails in its own way, and the event loop that it
        // broke out of has to end once more before it can begin again.
        let again = lost || outcome.is_err() || !opened.get();
        if !was_open || !again || reopened.len() >= REOPENINGS {
            // What was going on is saved before the program ends.
            drop(slot.take());
            if lost {
                return Err(no_window("the graphics device was lost again and again"));
            }
            return outcome.and_then(|()| shots.try_recv().unwrap_or(Ok(())));
        }
        reopened.push(now);
    }
}

fn options(persist_window: bool, size: [f32; 2]) -> eframe::NativeOptions {
    let viewport = egui::ViewportBuilder::default()
        .with_title("Mnemoscope")
        .with_app_id("mnemoscope")
        .with_inner_size(size)
        .with_min_inner_size([640.0_f32.min(size[0]), 400.0_f32.min(size[1])]);
    let viewport = match eframe::icon_data::from_png_bytes(ICON) {
        Ok(icon) => viewport.with_icon(icon),
        Err(_) => viewport,
    };
    eframe::NativeOptions {
        viewport,
        // Costs a software adapter time in every pixel, and heat maps should be exactly their colours.
        dithering: false,
        persist_window,
        ..eframe::NativeOptions::default()
    }
}

/// A device that is lost again and again is no use: after so many windows a minute the program says so and ends.
const REOPENINGS: usize = 6;
const MINUTE: Duration = Duration::from_secs(60);

/// One window, until it is closed; the program is left in `slot`.
fn window(
    options: eframe::NativeOptions,
    launch: &Launch,
    slot: &Slot,
    sender: &Sender<Result<()>>,
    opened: &Cell<bool>,
) -> Result<()> {
    let create: eframe::AppCreator<'_> = Box::new(|creation| {
        opened.set(true);
        let state = creation.wgpu_render_state.as_ref();
        let adapter = state.map(adapter);
        if let (Some(state), Some(adapter)) = (state, &adapter) {
            gpu_cloud::install(&creation.egui_ctx, state, adapter);
            if adapter.software {
                software::install(&creation.egui_ctx, state);
            }
        }
        let before = slot.take();
        let mut app = if let Some(mut app) = before {
            app.move_to(&creation.egui_ctx, adapter);
            app
        } else {
            let surroundings = Surroundings {
                library: home(),
                system_dialogs: true,
                adapter,
                panels: Panels::default(),
            };
            let mut app = App::new(&creation.egui_ctx, creation.storage, surroundings, launch);
            if let Some(file) = &launch.screenshot {
                let shot = Screenshot::new(file.clone(), launch.at_step, sender.clone());
                let shot = shot.replacing(launch.force).of_size(launch.look.size.map(f32::from));
                app.screenshot = Some(shot.under(launch.look.intervene.clone()));
                app.look_as(&launch.look, &creation.egui_ctx);
            }
            app
        };
        if let Some(state) = state {
            app.lost = Lost::watch(&state.device, &creation.egui_ctx);
        }
        Ok(Box::new(Keeper::new(app, slot.clone())))
    });
    // The libraries of the window system are loaded when it is opened; some of them report by panicking.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| eframe::run_native("mnemoscope", options, create)));
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ (eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_)))) => {
            Err(no_display(&error.to_string()))
        }
        Ok(Err(error)) => Err(no_window(&error.to_string())),
        Err(panic) => Err(no_window(&said(panic.as_ref()))),
    }
}

fn display() -> Result<()> {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if cfg!(not(all(unix, not(target_os = "macos")))) || set("DISPLAY") || set("WAYLAND_DISPLAY") {
        return Ok(());
    }
    Err(Error::system(format!(
        "there is no display to open a window on: neither WAYLAND_DISPLAY nor DISPLAY is set. {WITHOUT_DISPLAY}"
    )))
}

const WITHOUT_DISPLAY: &str = "Start it in a desktop session, or without one under `xvfb-run -s \"-screen 0 1600x1000x24\" mnemoscope`, or train without a window: `mnemoscope train birth`";

/// The display that is named does not answer, or the window was lost with it.
fn no_display(why: &str) -> Error {
    let named = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(format!("{name} is \"{value}\""))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    // What stands before the reason is where in the sources of the window's library it was noticed.
    let reason = why.split_once(".rs:").map_or(why, |(_, after)| after);
    let why = reason.trim_start_matches(|c: char| c.is_ascii_digit() || ": ".contains(c));
    Error::system(format!(
        "the display does not answer or went away ({named}): {why}. {WITHOUT_DISPLAY}"
    ))
}

fn no_window(why: &str) -> Error {
    let why = without_build_paths(why);
    Error::system(format!(
        "the window could not be opened or was lost: {why}. It needs a Vulkan driver and the libraries of X11 or Wayland; on Debian: {PACKAGES}. What was recorded is kept; `mnemoscope train` needs no window"
    ))
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a fault without a message").to_owned()
}

fn adapter(state: &eframe::egui_wgpu::RenderState) -> Adapter {
    Adapter::new(&state.adapter.get_info())
}
