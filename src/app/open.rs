//! From the command line to a window, from a path to a run, and a plain sentence where that fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use crate::figure::file::{Format, Page, render, save};
use crate::figure::provenance::Provenance;
use crate::gpu::device::Adapter;
use crate::record::error::{Error, Result};
use crate::record::folder::library::home;
use crate::record::weights::Weights;
use crate::run::experiment::Experiment;
use crate::run::session::Begin;

use super::dialogs::Purpose;
use super::shot::Shot;
use super::worker::Outcome;
use super::{App, Launch, Surroundings, read_run};

/// The icon of the window.
const ICON: &[u8] = include_bytes!("../../assets/icon.png");

/// What a bare Debian machine needs for a window.
const PACKAGES: &str = "sudo apt install libvulkan1 mesa-vulkan-drivers libx11-6 libx11-xcb1 libxcursor1 libxi6 libxrandr2 libxkbcommon-x11-0 libwayland-client0";

/// Opens the window and stays until it is closed.
///
/// # Errors
/// When there is no display or no Vulkan: the sentence says what is missing and how to get it. When a screenshot was
/// asked for and could not be made.
pub fn open(launch: Launch) -> Result<()> {
    display()?;
    let (sender, shots) = crossbeam_channel::bounded(1);
    let viewport = egui::ViewportBuilder::default()
        .with_title("Mnemoscope")
        .with_app_id("mnemoscope")
        .with_inner_size([1600.0, 1000.0])
        .with_min_inner_size([640.0, 400.0]);
    let viewport = match eframe::icon_data::from_png_bytes(ICON) {
        Ok(icon) => viewport.with_icon(icon),
        Err(_) => viewport,
    };
    let options = eframe::NativeOptions {
        viewport,
        // Costs a software adapter time in every pixel, and heat maps should be exactly their colours.
        dithering: false,
        persist_window: launch.screenshot.is_none(),
        ..eframe::NativeOptions::default()
    };
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        let adapter = creation.wgpu_render_state.as_ref().map(adapter);
        if let Some(state) = &creation.wgpu_render_state {
            super::gpu_cloud::install(&creation.egui_ctx, state.target_format);
        }
        let surroundings = Surroundings { library: home().ok(), system_dialogs: true, adapter };
        let mut app = App::new(&creation.egui_ctx, creation.storage, surroundings, &launch);
        if let Some(file) = &launch.screenshot {
            app.shot = Some(Shot::new(file.clone(), launch.at_step, sender));
        }
        Ok(Box::new(app))
    });
    // The libraries of the window system are loaded when it is opened; some of them report by panicking.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| eframe::run_native("mnemoscope", options, create)));
    match outcome {
        Ok(Ok(())) => shots.try_recv().unwrap_or(Ok(())),
        Ok(Err(error)) => Err(no_window(&error.to_string())),
        Err(panic) => Err(no_window(&said(panic.as_ref()))),
    }
}

fn display() -> Result<()> {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if cfg!(not(all(unix, not(target_os = "macos")))) || set("DISPLAY") || set("WAYLAND_DISPLAY") {
        return Ok(());
    }
    Err(Error::system(
        "there is no display to open a window on: neither WAYLAND_DISPLAY nor DISPLAY is set. Start it in a desktop session, or without one under `xvfb-run -s \"-screen 0 1600x1000x24\" mnemoscope`, or train without a window: `mnemoscope train birth`",
    ))
}

fn no_window(why: &str) -> Error {
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

impl App {
    /// Begins what the command line asks for; what fails is said in the window.
    pub(super) fn begin(&mut self, launch: &Launch) {
        let what = launch.what.as_deref().unwrap_or("birth");
        let path = Path::new(what);
        if launch.what.is_some() && path.is_dir() && !Experiment::is_builtin(what) {
            match read_run(path) {
                Ok(opened) => {
                    let (experiment, recording) = *opened;
                    self.lab.attempt(|lab| lab.add_recorded(experiment, recording));
                    self.lab.view(launch.at_step);
                }
                Err(error) => self.lab.trouble(error),
            }
            return;
        }
        self.lab.next_folder.clone_from(&launch.folder);
        self.lab.attempt(|lab| {
            let mut experiment = Experiment::find(what)?;
            if let Some(step) = launch.at_step {
                experiment.train.steps = usize::try_from(step).unwrap_or(usize::MAX);
            }
            lab.start(&experiment, Begin::Fresh)
        });
    }

    pub(super) fn open_run(&mut self, folder: PathBuf) {
        self.work("open run", move || Outcome::Opened(read_run(&folder)));
    }

    /// A path was chosen for something.
    pub(super) fn chosen(&mut self, purpose: Purpose, path: PathBuf) {
        match purpose {
            Purpose::OpenRun => self.open_run(path),
            Purpose::OpenExperiment => self.lab.attempt(|lab| {
                let experiment = Experiment::load(&path)?;
                lab.start(&experiment, Begin::Fresh)
            }),
            Purpose::SaveExperiment => {
                let Some(draft) = &self.lab.draft else { return };
                let text = draft.to_toml();
                self.write(path, move || Ok(text.into_bytes()));
            }
            Purpose::SaveFigure(kind) => self.save_figure(&kind, path),
            Purpose::ExportWeights => self.export_weights(path),
        }
    }

    fn save_figure(&mut self, kind: &str, path: PathBuf) {
        let made = self.desk.figure_for_file(kind, &self.lab);
        let (figure, size, settings) = match made {
            Ok(made) => made,
            Err(error) => return self.lab.trouble(error),
        };
        let format = match Format::from_path(&path) {
            Ok(format) => format,
            Err(error) => return self.lab.trouble(error),
        };
        let page = Page { size, provenance: self.provenance(settings), ..Page::column() };
        self.write(path, move || render(&figure, &page, format));
    }

    fn provenance(&self, panel: String) -> Provenance {
        let Some(run) = self.lab.run() else { return Provenance::new() };
        let words = |id: &u32| run.bench.vocab.text(*id).to_owned();
        Provenance {
            run: run.name.clone(),
            step: Some(self.lab.step_in_view()),
            panel,
            experiment: run.experiment.to_toml(),
            tokens: self.lab.prompt.tokens.iter().map(words).collect(),
            ..Provenance::new()
        }
    }

    fn export_weights(&mut self, path: PathBuf) {
        match self.lab.weights_in_view() {
            Ok(weights) => self.write(path, move || safetensors_of(&weights)),
            Err(error) => self.lab.trouble(error),
        }
    }

    /// Makes the bytes of a file and writes them, away from the window.
    fn write(&mut self, path: PathBuf, make: impl FnOnce() -> Result<Vec<u8>> + Send + 'static) {
        self.work("write file", move || {
            let written = make().and_then(|bytes| save(&path, &bytes, true));
            Outcome::Done(written.map(|()| format!("Saved {}", path.display())))
        });
    }
}

/// All tensors of a step as one safetensors file, under the names of this program.
fn safetensors_of(weights: &Weights) -> Result<Vec<u8>> {
    let wrong = |e: safetensors::SafeTensorError| Error::internal(format!("writing tensors: {e}"));
    let mut views = Vec::new();
    for tensor in &weights.tensors {
        let bytes = bytemuck::cast_slice(&tensor.data);
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(wrong)?;
        views.push((&*tensor.name, view));
    }
    let about = [("step".to_owned(), weights.step.to_string())].into();
    safetensors::serialize(views, Some(about)).map_err(wrong)
}
