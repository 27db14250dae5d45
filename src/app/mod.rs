//! The window, in rooms: each file names those below it.

pub mod canvas;
pub mod commands;
mod figure_export;
pub mod headless;
pub mod lab;
mod launch;
mod measure;
pub mod panes;
mod widgets;
mod window;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::Result;
use crate::export::against::Other;
use crate::figure::fallback::Fallback;
use crate::panel::compare::Showing;

pub use crate::gpu::device::Adapter;
pub use lab::panels::Panels;
pub use launch::open;
pub use window::{App, back_in_sight};

/// What the command line says of the window.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// An experiment, a run folder or the folder of a sweep; none: the experiment that comes with the program.
    pub what: Option<OsString>,
    /// Save what the window shows to this file, then quit.
    pub screenshot: Option<PathBuf>,
    /// How the window looks on it.
    pub look: Look,
    /// Replace that file if it exists.
    pub force: bool,
    /// Show this step; a running experiment trains up to it and stops.
    pub at_step: Option<u64>,
    /// Record into this folder instead of the library of runs.
    pub folder: Option<PathBuf>,
    /// What a new run trains on; none: what its experiment says.
    pub device: Option<String>,
    /// A drill: throw the graphics device away when this step is in view.
    pub lose_device_at: Option<u64>,
    /// Tell how far the window has come, and close it after this time.
    pub stopwatch: Option<Duration>,
    /// Fonts for the signs that our own lack; none: those that were chosen in the window.
    pub fallback: Option<Fallback>,
}

/// How the window looks on a picture of it.
#[derive(Clone, Debug)]
pub struct Look {
    /// Width and height in points of the screen.
    pub size: [u16; 2],
    /// All that is drawn is so many times as large.
    pub scale: f32,
    pub dark: bool,
    /// Arranged for a hall.
    pub present: bool,
    /// The name of the panel that has the whole window.
    pub expand: Option<String>,
    /// Interventions as they are spelled.
    pub intervene: Vec<String>,
    /// With what all panels are compared.
    pub against: Option<Other>,
    pub showing: Showing,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            size: [1600, 1000],
            scale: 1.0,
            dark: false,
            present: false,
            expand: None,
            intervene: Vec::new(),
            against: None,
            showing: Showing::default(),
        }
    }
}

impl Launch {
    /// Whether a person's own layout is shown and kept.
    pub(in crate::app) fn is_own(&self) -> bool {
        self.screenshot.is_none() && self.stopwatch.is_none()
    }
}

/// Surroundings that differ between a person's window and a test.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where new runs are recorded; an error says why they are not.
    pub library: Result<PathBuf>,
    /// Whether to try the system's file dialogs before the path field.
    pub system_dialogs: bool,
    /// What draws; none in a test.
    pub adapter: Option<Adapter>,
    /// The panels of the window. Figure sheets and commands know those of [`panel::ALL`] alone.
    pub panels: Panels,
}
