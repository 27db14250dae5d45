//! From the command line to a window, from a path to a run, and a plain sentence where that fails.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::export::files;
use crate::export::gallery::Gallery;
use crate::export::sheet::{PageSpec, PanelSpec, Sheet};
use crate::figure::file::{Format, render_all, save};
use crate::figure::png;
use crate::gpu::device::Adapter;
use crate::panel;
use crate::record::error::{Error, Result, without_build_paths};
use crate::record::file::save_all;
use crate::record::folder::Reader;
use crate::record::folder::library::home;
use crate::record::knobs;
use crate::record::shell;
use crate::record::sweep::{Run, Sweep, is_sweep};
use crate::run::experiment::Experiment;
use crate::run::interchange::{Spelling, files, is_ours};

use super::dialogs::{Chosen, Purpose};
use super::run::{Opened, Origin};
use super::shell::{Lost, Shell, Slot};
use super::shot::{self, Shot};
use super::studio::{Doc, Hung, Wish};
use super::worker::{Copied, Outcome};
use super::{App, Launch, Panels, Surroundings, plates};

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
    launch.screenshot.as_deref().map_or(Ok(()), |file| shot::check(file, launch.force))?;
    display()?;
    let (sender, shots) = crossbeam_channel::bounded(1);
    let options = || options(launch.is_own());
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

fn options(persist_window: bool) -> eframe::NativeOptions {
    let viewport = egui::ViewportBuilder::default()
        .with_title("Mnemoscope")
        .with_app_id("mnemoscope")
        .with_inner_size([1600.0, 1000.0])
        .with_min_inner_size([640.0, 400.0]);
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
            super::gpu_cloud::install(&creation.egui_ctx, state, adapter);
            if adapter.software {
                super::flat::install(&creation.egui_ctx, state);
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
                let shot = Shot::new(file.clone(), launch.at_step, sender.clone());
                app.shot = Some(shot.replacing(launch.force));
            }
            app
        };
        if let Some(state) = state {
            app.lost = Lost::watch(&state.device, &creation.egui_ctx);
        }
        Ok(Box::new(Shell::new(app, slot.clone())))
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

impl App {
    pub(super) fn has_lost_device(&self) -> bool {
        self.lost.is_lost()
    }

    /// Begins what the command line asks for; what fails is said in the window.
    pub(super) fn begin(&mut self, launch: &Launch) {
        let what = launch.what.as_deref().unwrap_or("birth".as_ref());
        let path = Path::new(what);
        if launch.what.is_some()
            && path.is_dir()
            && !Experiment::is_builtin(&what.to_string_lossy())
        {
            return self.open_run(path.to_owned(), launch.at_step);
        }
        self.lab.next_folder.clone_from(&launch.folder);
        self.lab.attempt(|lab| {
            let mut experiment = Experiment::find(what)?;
            if let Some(device) = &launch.device {
                experiment.set("train.device", &device.as_str().into())?;
            }
            if let Some(step) = launch.at_step {
                // A run of 0 steps would be one without an end.
                let steps = i64::try_from(step.max(1)).unwrap_or(i64::MAX);
                experiment.set("train.steps", &steps.into())?;
            }
            lab.start(experiment, Origin::Fresh);
            Ok(())
        });
    }

    /// Opens the folder of a run, or of a sweep with the first run of it that can be looked at.
    pub(super) fn open_run(&mut self, folder: PathBuf, step: Option<u64>) {
        if is_sweep(&folder) {
            return self.open_sweep(folder, false, step);
        }
        let open = move || Outcome::Opened(Opened::read(&folder).map(Box::new), step);
        self.work("open run", open);
    }

    pub(super) fn open_sweep(&mut self, folder: PathBuf, again: bool, step: Option<u64>) {
        self.sweep_step = step;
        self.work("open sweep", move || Outcome::Sweep(Sweep::read(&folder).map(Box::new), again));
    }

    /// Shows a sweep that was read.
    pub(super) fn opened_sweep(&mut self, sweep: Sweep, again: bool) {
        let step = self.sweep_step.take();
        for problem in sweep.runs.iter().filter_map(|run| run.problem.clone()) {
            self.lab.trouble(Error::input(problem));
        }
        let sweep = Arc::new(sweep);
        self.lab.sweep = Some(sweep.clone());
        self.lab.changed();
        if again {
            return;
        }
        self.dock.show_panel(panel::sweep::KIND.name);
        let recorded = |run: &Run| run.recording.as_ref().is_some_and(|r| !r.recorded.is_empty());
        match sweep.runs.iter().position(recorded).and_then(|run| sweep.folder_of(run)) {
            Some(folder) => self.open_run(folder, step),
            None => self.lab.trouble(Error::usage(format!(
                "no run of the sweep {} has begun: go on with mnemoscope sweep --out {}",
                sweep.folder.display(),
                shell::path(&sweep.folder)
            ))),
        }
    }

    /// Shows a run of the sweep: the one that is open already, or else its folder.
    pub(super) fn show_run_of_sweep(&mut self, run: usize) {
        let Some(folder) = self.lab.sweep.as_ref().and_then(|sweep| sweep.folder_of(run)) else {
            return;
        };
        let open = self.lab.folders_of_runs().position(|f| f == Some(&folder));
        match open {
            Some(index) => self.lab.choose(index),
            None => self.open_run(folder, None),
        }
    }

    /// A path was chosen for something.
    pub(super) fn chosen(&mut self, Chosen { purpose, path, replace }: Chosen) {
        match purpose {
            Purpose::OpenRun => self.open_run(path, None),
            Purpose::OpenExperiment => self.work("open experiment", move || {
                Outcome::Experiment(Experiment::load(&path).map(Box::new))
            }),
            Purpose::ChooseFile(setting) => self.lab.attempt(|lab| {
                let Some(draft) = lab.draft_mut() else { return Ok(()) };
                let value = toml::Value::String(path.display().to_string());
                knobs::set(draft.task.as_mut(), "task.", setting, &value)
            }),
            Purpose::ChooseFont => self.choose_fonts(vec![path]),
            Purpose::SaveExperiment => {
                let Some(draft) = self.lab.draft() else { return };
                let text = draft.to_toml();
                self.write(path, replace, move || Ok(text.into_bytes()));
            }
            Purpose::SaveFigure(kind) => self.save_figure(&kind, path, replace),
            Purpose::SavePage { sheet } => {
                let doc = if sheet { self.sheet.doc.clone() } else { self.export.doc.clone() };
                self.save_page(&doc, path, replace);
            }
            Purpose::OpenSheet => self.load_sheet(move || Sheet::load(&path)),
            Purpose::SaveSheet => {
                let text = self.sheet.doc.sheet.to_toml();
                self.write(path, replace, move || Ok(text.into_bytes()));
            }
            Purpose::ExportWeights(spelling) => self.export_weights(spelling, path, replace),
        }
    }

    fn save_figure(&mut self, kind: &str, path: PathBuf, replace: bool) {
        if let Some((spec, hung, aspect)) = self.hang(kind) {
            self.save_page(&self.page_of(spec, hung, aspect), path, replace);
        }
    }

    /// The page that a panel gets where none was chosen.
    fn page_of(&self, spec: PanelSpec, hung: Hung, aspect: f32) -> Doc {
        let mut doc = Doc::one(spec, hung, aspect);
        doc.sheet.page.fallback = self.export.fallback;
        doc
    }

    /// What a panel shows now, taken down.
    fn hang(&mut self, kind: &str) -> Option<(PanelSpec, Hung, f32)> {
        match self.host.plate(kind, &self.lab) {
            Ok((spec, plate, aspect)) => {
                Some((spec, Hung { plate, origin: plates::Origin::of(&self.lab) }, aspect))
            }
            Err(error) => {
                self.lab.trouble(error);
                None
            }
        }
    }

    /// Opens the export window on a panel.
    pub(super) fn export(&mut self, kind: &str) {
        if let Some((spec, hung, aspect)) = self.hang(kind) {
            let mut doc = Doc::one(spec, hung, aspect);
            // The page that was chosen last is likely to be wanted again; its height was another panel's.
            let page = &self.export.doc.sheet.page;
            if *page != PageSpec::default() {
                let height = doc.sheet.page.height.clone();
                doc.sheet.page = PageSpec { height, ..page.clone() };
            }
            self.export.show(doc);
        }
    }

    /// Puts a panel on the figure sheet.
    pub(super) fn add_to_sheet(&mut self, kind: &str) {
        let Some((mut spec, hung, _)) = self.hang(kind) else { return };
        let doc = &self.sheet.doc;
        // Runs are told apart by the names of their folders; the first panel's is the one that is asked about.
        let base = doc.hung.first().map(|first| first.plate.run.name.clone());
        if base.is_some_and(|base| base != hung.plate.run.name) {
            spec.run.clone_from(&hung.plate.run.name);
        }
        self.sheet.add(spec, hung);
        let count = self.sheet.doc.hung.len();
        self.say(format!(
            "{} is on the figure sheet, which has {count} now",
            self.lab.panels.title(kind)
        ));
    }

    /// Puts a panel's figure on the clipboard.
    pub(super) fn copy(&mut self, kind: &str, wish: &Wish) {
        if let Some((spec, hung, aspect)) = self.hang(kind) {
            self.copy_page(self.page_of(spec, hung, aspect), wish);
        }
    }

    fn copy_page(&mut self, doc: Doc, wish: &Wish) {
        let wish = wish.clone();
        self.work("copy figure", move || match copied(&doc, &wish) {
            Ok((what, said)) => Outcome::Copied(what, said),
            Err(error) => Outcome::Done(Err(error)),
        });
    }

    /// Carries out what was wished for in the export window or on the figure sheet.
    pub(super) fn fulfil(&mut self, wish: &Wish, sheet: bool) {
        let doc = if sheet { &self.sheet.doc } else { &self.export.doc };
        match wish {
            Wish::Save => self.ask(Purpose::SavePage { sheet }),
            Wish::CopyImage | Wish::CopySvg | Wish::CopyCsv => self.copy_page(doc.clone(), wish),
            Wish::SaveSheet => self.ask(Purpose::SaveSheet),
            Wish::ChooseFont => self.ask(Purpose::ChooseFont),
            Wish::SystemFonts => self.choose_fonts(Vec::new()),
            Wish::OpenSheet => self.ask(Purpose::OpenSheet),
            Wish::Builtin(name) => {
                let name = *name;
                self.load_sheet(move || Sheet::find(name));
            }
        }
    }

    /// Reads a sheet and asks the run in view what its panels draw.
    pub(super) fn load_sheet(&mut self, read: impl FnOnce() -> Result<Sheet> + Send + 'static) {
        let folder = self.lab.run().and_then(|run| run.recording.folder.clone());
        let Some(folder) = folder else {
            return self.lab.trouble(Error::usage(
                "a figure sheet asks a recorded run, and the one in view is in memory only",
            ));
        };
        self.work("figure sheet", move || {
            let doc = read().and_then(|sheet| {
                let plates = Gallery::new(&folder).plates(&sheet, &mut |_, _| true)?;
                let hang = |plate| Arc::new(Hung { plate, ..Hung::default() });
                Ok(Box::new(Doc { hung: plates.into_iter().map(hang).collect(), sheet }))
            });
            Outcome::Pages(doc)
        });
    }

    /// Writes a page with its numbers and its provenance beside it.
    pub(super) fn save_page(&mut self, figure: &Doc, path: PathBuf, replace: bool) {
        let named = [path];
        let names = match files::names(&named, false) {
            Ok(names) => names,
            Err(error) => return self.lab.trouble(error),
        };
        let figure = figure.clone();
        self.work("write figure", move || {
            let written = figure
                .composed()
                .and_then(|(drawing, page)| files::rendered(&names, &drawing, &page))
                .and_then(|files| files::write(&files, &named, replace));
            Outcome::Done(written.map(|()| {
                format!("Saved {}, with its numbers and where they come from", named[0].display())
            }))
        });
    }

    fn export_weights(&mut self, spelling: Spelling, path: PathBuf, replace: bool) {
        let (step, weights, folder) = match self.lab.weights_in_view() {
            Ok(found) => found,
            Err(error) => return self.lab.trouble(error),
        };
        let Some(experiment) = self.lab.run().map(|run| run.experiment.clone()) else { return };
        let read = move || match (weights, folder) {
            (Some(weights), _) => Ok(weights),
            (None, Some(folder)) => Reader::open(&folder)?.weights(step).map(Arc::new),
            (None, None) => Err(Error::usage("the weights of this step are not recorded")),
        };
        self.work("write weights", move || {
            let written = read().and_then(|weights| {
                let files = files(spelling, &experiment, &weights)?;
                if let ([file], false) = (&files[..], spelling.is_folder()) {
                    return save(&path, &file.bytes, replace);
                }
                let files: Vec<_> = files.iter().map(|f| (f.name, &f.bytes[..])).collect();
                save_all(&path, &files, false, &is_ours)
            });
            Outcome::Done(written.map(|()| format!("Saved {}", path.display())))
        });
    }

    /// Makes the bytes of a file and writes them, away from the window.
    fn write(
        &mut self,
        path: PathBuf,
        replace: bool,
        make: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) {
        self.work("write file", move || {
            let written = make().and_then(|bytes| save(&path, &bytes, replace));
            Outcome::Done(written.map(|()| format!("Saved {}", path.display())))
        });
    }
}

/// A page as it goes on the clipboard, and a sentence that says what it is.
fn copied(doc: &Doc, wish: &Wish) -> Result<(Copied, &'static str)> {
    let (drawing, page) = doc.composed()?;
    let text = |format| -> Result<Copied> {
        let bytes = render_all(&drawing, &page, format)?;
        Ok(Copied::Text(String::from_utf8_lossy(&bytes).into_owned()))
    };
    match wish {
        Wish::CopySvg => Ok((text(Format::Svg)?, "The figure is on the clipboard as SVG")),
        Wish::CopyCsv => Ok((text(Format::Csv)?, "The numbers drawn are on the clipboard as CSV")),
        _ => {
            let (width, height, rgba) = png::pixels(&page.scene(&drawing), page.dpi)?;
            let size = [width as usize, height as usize];
            let image = egui::ColorImage::from_rgba_unmultiplied(size, &rgba);
            Ok((Copied::Image(image), "The figure is on the clipboard as an image"))
        }
    }
}
