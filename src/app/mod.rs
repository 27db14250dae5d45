//! The window: panels over a laboratory of runs, driven by one table of actions.

pub mod action;
mod ask;
pub mod cloud;
mod dialogs;
mod entry;
mod flat;
mod fonts;
mod form;
mod gpu_cloud;
pub mod ground;
pub mod jobs;
mod library;
mod note;
mod open;
mod pace;
mod paint;
mod palette;
pub mod panes;
mod plates;
pub mod rehearsal;
pub mod run;
mod scroll;
mod shell;
mod shot;
mod spelling;
pub mod state;
mod stopwatch;
mod studio;
mod surgery;
mod theme;
mod top;
mod tour;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use egui::util::undoer::Undoer;
use egui::{CentralPanel, Context, Frame, Id, Margin, Panel, ThemePreference, Ui};
use serde::{Deserialize, Serialize};

use crate::export::sheet::Sheet;
use crate::figure::Pick;
use crate::figure::fallback::Fallback;
use crate::panel;
use crate::record::error::{Error, Result};
use crate::run::experiment::Experiment;

use action::{Action, Command};
use dialogs::{Dialogs, Purpose};
use library::Shelf;
use note::Note;
use pace::Pace;
use palette::Palette;
use panes::dock::Dock;
use panes::host::Host;
use panes::{Form, News};
use run::Origin;
use shell::Lost;
use shot::Shot;
use state::Lab;
use stopwatch::Stopwatch;
use studio::Studio;
use tour::Tour;
use worker::{Copied, Outcome, Worker};

pub use crate::gpu::device::Adapter;
pub use open::open;
pub use panes::Panels;
pub use shell::back_in_sight;

/// What the command line says of the window.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// An experiment, a run folder or the folder of a sweep; none: the experiment that comes with the program.
    pub what: Option<OsString>,
    /// Save what the window shows to this file, then quit.
    pub screenshot: Option<PathBuf>,
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

impl Launch {
    /// Whether a person's own layout is shown and kept.
    fn is_own(&self) -> bool {
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

/// Frames follow each other this far apart while something is under way other than training.
const FRAME: Duration = Duration::from_millis(60);

/// What is looked after between two launches.
#[derive(Serialize, Deserialize)]
struct Kept {
    dock: Dock,
    dark: bool,
    zoom: f32,
    /// Settings of panels, as TOML, by kind.
    panels: Vec<(String, String)>,
    /// Lists of interventions that were saved, by name; none in what an older version kept.
    #[serde(default)]
    lists: Vec<surgery::List>,
    /// The figure sheet as TOML, if anything was on it.
    #[serde(default)]
    sheet: Option<String>,
    /// Files of fonts for the signs that our own lack; none: those of the system.
    #[serde(default)]
    fonts: Vec<PathBuf>,
}

impl Kept {
    /// Whether a window can begin with it: another program may have written it, or a kill half of it.
    fn is_sound(&self) -> bool {
        ZOOMS.contains(&self.zoom) && self.dock.is_sound()
    }
}

/// From a size that still reads to one for the back row of a lecture hall.
const ZOOMS: std::ops::RangeInclusive<f32> = 0.6..=2.5;

/// Longest text that is read of what was kept.
const MOST_KEPT_BYTES: usize = 4 << 20;

/// Key of [`Kept`] in eframe's storage.
const KEPT: &str = "mnemoscope";

/// The window.
pub struct App {
    pub lab: Lab,
    dock: Dock,
    host: Host,
    palette: Palette,
    keys_open: bool,
    spelling: spelling::Choice,
    tour: Tour,
    dialogs: Dialogs,
    worker: Worker,
    shelf: Shelf,
    /// The step that was asked for with the sweep that is being read.
    sweep_step: Option<u64>,
    shot: Option<Shot>,
    adapter: Option<Adapter>,
    dark: bool,
    zoom: f32,
    frame_cost: Duration,
    pace: Pace,
    /// Whether an answer wakes the window.
    eager: Arc<AtomicBool>,
    /// The window that is woken: another one after its device was lost.
    window: Arc<Mutex<Context>>,
    lost: Lost,
    lose_device_at: Option<u64>,
    stopwatch: Option<Stopwatch>,
    note: Note,
    /// The newest sentence that the banner has shown.
    newest_trouble: Option<String>,
    /// A menu or a question lies over the panels: keys are for it.
    covered: bool,
    /// Something is being written in a field: Escape is for it.
    typing: bool,
    undo: Undoer<Dock>,
    /// The page of one panel, on its way to a file.
    export: Studio,
    /// The page of several panels.
    sheet: Studio,
    /// The sheet that was kept from the last launch, until it is wanted.
    kept_sheet: Option<String>,
    /// Files of fonts that were chosen for the signs that our own lack.
    fonts: Vec<PathBuf>,
    /// What the next frame puts on the clipboard.
    copied: Option<Copied>,
    /// The list of runs was open in the last frame.
    runs_seen: bool,
    /// The run that panels were brought forward for, and the layout since then: another one is a hand's.
    shown_for: u64,
    layout: Option<Dock>,
}

impl App {
    /// # Panics
    /// Never: what cannot be opened becomes a sentence in the window.
    pub fn new(
        ctx: &Context,
        storage: Option<&dyn eframe::Storage>,
        surroundings: Surroundings,
        launch: &Launch,
    ) -> Self {
        theme::install(ctx);
        // An answer is worth a frame of its own, except while training has frames follow each other anyway.
        let eager = Arc::new(AtomicBool::new(true));
        let window = Arc::new(Mutex::new(ctx.clone()));
        let (to_wake, at_once) = (window.clone(), eager.clone());
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            if at_once.load(Ordering::Relaxed) {
                to_wake.lock().unwrap_or_else(PoisonError::into_inner).request_repaint();
            }
        });
        let kept: Option<Kept> = storage.and_then(|s| {
            let text = s.get_string(KEPT).filter(|text| text.len() <= MOST_KEPT_BYTES)?;
            serde_json::from_str(&text).ok().filter(Kept::is_sound)
        });
        let software = surroundings.adapter.as_ref().is_some_and(|adapter| adapter.software);
        let (library, no_library) = match surroundings.library {
            Ok(library) => (Some(library), None),
            Err(error) => (None, Some(error)),
        };
        let panels = surroundings.panels;
        let mut lab = Lab::new(panels, library, wake.clone());
        lab.no_folder = no_library;
        let mut app = Self {
            lab,
            dock: Dock::new(panels),
            host: Host::new(panels),
            palette: Palette::default(),
            spelling: spelling::Choice::default(),
            keys_open: false,
            tour: Tour::default(),
            dialogs: Dialogs::new(surroundings.system_dialogs),
            worker: Worker::new(wake),
            shelf: Shelf::default(),
            sweep_step: None,
            shot: None,
            adapter: surroundings.adapter,
            dark: false,
            zoom: 1.0,
            frame_cost: Duration::ZERO,
            pace: Pace::new(software),
            eager,
            window,
            lost: Lost::default(),
            lose_device_at: launch.lose_device_at,
            stopwatch: launch.stopwatch.map(Stopwatch::new),
            note: Note::default(),
            newest_trouble: None,
            covered: false,
            typing: false,
            undo: Undoer::default(),
            export: Studio::default(),
            sheet: Studio::of_sheet(),
            kept_sheet: None,
            fonts: Vec::new(),
            copied: None,
            runs_seen: false,
            shown_for: 0,
            layout: None,
        };
        app.take_fonts(Vec::new(), Fallback::system());
        // A picture for others shows the layout that others have; so does a measurement.
        if launch.is_own()
            && let Some(kept) = kept
        {
            app.dock = kept.dock;
            (app.dark, app.zoom) = (kept.dark, kept.zoom);
            app.host.restore(&kept.panels);
            app.host.surgery.lists = kept.lists;
            app.kept_sheet = kept.sheet;
            app.restore_fonts(kept.fonts);
        }
        if let Some(fallback) = launch.fallback {
            app.take_fonts(app.fonts.clone(), fallback);
        }
        app.begin(launch);
        app.apply_look(ctx);
        app
    }

    /// Goes on in another window: the device of the one before was lost, and with it every picture.
    fn move_to(&mut self, ctx: &Context, adapter: Option<Adapter>) {
        theme::install(ctx);
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = ctx.clone();
        fonts::install(ctx, self.export.fallback);
        self.host.forget_pictures();
        self.adapter = adapter;
        let what =
            if self.lost.is_lost() { "the graphics device was lost" } else { "drawing failed" };
        self.lab.trouble(Error::system(format!(
            "{what} and the window was opened anew; training and what is recorded were not touched"
        )));
        if let Some(shot) = &mut self.shot {
            shot.ask_again();
        }
        self.lab.changed();
        self.apply_look(ctx);
    }

    fn apply_look(&self, ctx: &Context) {
        ctx.set_theme(if self.dark { ThemePreference::Dark } else { ThemePreference::Light });
        ctx.set_zoom_factor(self.zoom);
    }

    fn kept(&mut self) -> Kept {
        Kept {
            dock: self.dock.clone(),
            dark: self.dark,
            zoom: self.zoom,
            panels: self.host.settings(),
            lists: self.host.surgery.lists.clone(),
            sheet: match self.sheet.doc.hung.is_empty() {
                true => self.kept_sheet.clone(),
                false => Some(self.sheet.doc.sheet.to_toml()),
            },
            fonts: self.fonts.clone(),
        }
    }

    /// Carries out what a hand did, after the frame.
    fn carry_out(&mut self, action: Action, ctx: &Context) {
        match action {
            Action::Do(command) => self.command(command, ctx),
            Action::Pick { pick: Pick::Run(run), .. } => self.show_run_of_sweep(run),
            Action::Pick { pick, shift } => self.lab.pick(&pick, shift),
            Action::View(step) => {
                self.lab.playback.playing = false;
                self.lab.view(step);
            }
            Action::Go(on) => self.lab.go(on),
            Action::Choose(index) => self.lab.choose(index),
            Action::ChooseFile(setting) => self.ask(Purpose::ChooseFile(setting)),
            Action::Intervene(what) => self.lab.intervene(what),
            Action::Lift(what) => self.lab.lift(&what),
            Action::Operate(all) => self.lab.operate(&all),
            Action::Set { name, value } => self.lab.set_live(name, value),
            Action::Speed(speed) => {
                self.lab.speed = speed;
                self.lab.send_speed();
            }
            Action::PlaybackSpeed(speed) => self.lab.playback.steps_per_second = speed,
            Action::Start => self.restart(),
            Action::Text(text) => self.lab.set_text(&text),
            Action::Retell(change) => {
                self.lab.retell(change);
                self.host.tell(News::Rewritten, &self.lab);
            }
            Action::OpenRun(folder) => self.open_run(folder, None),
            Action::ReadSweep(folder) => self.open_sweep(folder, true, None),
            Action::DiscardRuns(folders) => self.discard_runs(folders),
            Action::RestoreRuns(folders) => self.restore_runs(folders),
            Action::EmptyTrash => self.empty_trash(),
            Action::NameRun(folder, name) => self.name_run(&folder, &name),
            Action::SaveFigure(kind) => self.ask(Purpose::SaveFigure(kind)),
            Action::Export(kind) => self.export(&kind),
            Action::AddToSheet(kind) => self.add_to_sheet(&kind),
            Action::Copy(kind, wish) => self.copy(&kind, &wish),
            Action::Maximise(kind) => self.dock.maximise(&kind),
            Action::Settings(kind) => {
                let open = &mut self.host.open_settings;
                let at = ctx.pointer_latest_pos().unwrap_or_default();
                let shown = open.as_ref().is_some_and(|(k, _)| *k == kind);
                *open = (!shown).then_some((kind, at));
            }
            Action::Close(kind) => self.dock.close(&kind),
            Action::Dismiss(index) => {
                if index < self.lab.troubles.len() {
                    self.lab.troubles.remove(index);
                }
            }
            Action::DismissAll => self.lab.troubles.clear(),
        }
    }

    #[deny(clippy::wildcard_enum_match_arm, reason = "a command that does nothing is none")]
    fn command(&mut self, command: Command, ctx: &Context) {
        let lab = &mut self.lab;
        match command {
            Command::RunPause => lab.run_or_pause(),
            Command::SingleStep => lab.single_step(),
            Command::Restart => self.restart(),
            Command::Branch => self.lab.attempt(Lab::branch),
            Command::CloseRun => self.close_run(),
            Command::NextRun => lab.choose_by(1),
            Command::PreviousRun => lab.choose_by(-1),
            Command::Start(name) => self.lab.attempt(|lab| {
                lab.start(Experiment::builtin(name)?, Origin::Fresh);
                Ok(())
            }),
            Command::Faster => self.change_speed(-1),
            Command::Slower => self.change_speed(1),
            Command::Live => self.carry_out(Action::View(None), ctx),
            Command::PreviousStep => lab.move_step(-1),
            Command::NextStep => lab.move_step(1),
            Command::FirstStep => lab.view(Some(0)),
            Command::Play => lab.play_or_hold(),
            Command::NextToken => lab.move_selection(1, false),
            Command::PreviousToken => lab.move_selection(-1, false),
            Command::NextKey => lab.move_selection(1, true),
            Command::PreviousKey => lab.move_selection(-1, true),
            Command::ClearSelection => lab.clear_selection(),
            Command::NextHead => lab.move_head(1),
            Command::PreviousHead => lab.move_head(-1),
            Command::DrawSequence => lab.draw_next(),
            Command::AskAgain => lab.jobs.ask_again(),
            Command::CancelJob => lab.jobs.cancel(),
            Command::KeepReaders => self.keep_readers(),
            Command::EditText => {
                self.dock.show_panel(panel::tokens::KIND.name);
                self.host.tell(News::Write, lab);
            }
            Command::CutHead => lab.cut_or_mend_head(),
            Command::UndoIntervention => lab.lift_newest(),
            Command::LiftAll => lab.lift_all(),
            Command::OpenRun => self.ask(Purpose::OpenRun),
            Command::OpenExperiment => self.ask(Purpose::OpenExperiment),
            Command::SaveExperiment => self.ask(Purpose::SaveExperiment),
            Command::ExportWeights => self.spelling.open = true,
            Command::SaveFigure => {
                self.of_figure(|app, name| app.ask(Purpose::SaveFigure(name.to_owned())));
            }
            Command::ExportFigure => self.of_figure(Self::export),
            Command::AddToSheet => self.of_figure(Self::add_to_sheet),
            Command::FigureSheet => self.show_sheet(),
            Command::Fonts => self.ask(Purpose::ChooseFont),
            Command::Palette => self.palette.show(),
            Command::Keys => self.keys_open = true,
            Command::Tour => self.tour.begin(),
            Command::Theme => self.change_look(ctx, |app| app.dark = !app.dark),
            Command::Larger => self.change_look(ctx, |app| app.zoom_to(app.zoom + 0.1)),
            Command::Smaller => self.change_look(ctx, |app| app.zoom_to(app.zoom - 0.1)),
            Command::NormalSize => self.change_look(ctx, |app| app.zoom_to(1.0)),
            Command::Maximise => {
                self.change_look(ctx, |app| app.dock.maximise(&app.dock.focus.clone()));
            }
            Command::ClosePanel => {
                self.change_look(ctx, |app| app.dock.close(&app.dock.focus.clone()));
            }
            Command::NextPanel => {
                self.change_look(ctx, |app| app.dock.next_panel(app.lab.panels));
            }
            Command::PanelSettings => self.of_figure(|app, name| {
                app.carry_out(Action::Settings(name.to_owned()), ctx);
            }),
            Command::ResetLayout => {
                self.change_look(ctx, |app| app.dock = Dock::new(app.lab.panels));
            }
            Command::UndoLayout => self.change_look(ctx, Self::undo_layout),
            Command::Show(name) => self.change_look(ctx, |app| app.dock.show_panel(name)),
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }

    /// Changes how the window looks, or which panels it shows.
    fn change_look(&mut self, ctx: &Context, change: impl FnOnce(&mut Self)) {
        change(self);
        self.apply_look(ctx);
        self.lab.changed();
    }

    fn zoom_to(&mut self, zoom: f32) {
        self.zoom = zoom.clamp(*ZOOMS.start(), *ZOOMS.end());
    }

    fn undo_layout(&mut self) {
        if let Some(before) = self.undo.undo(&self.dock) {
            let focus = std::mem::take(&mut self.dock.focus);
            self.dock = before.clone();
            self.dock.focus = focus;
        }
    }

    /// Does something with the panel in focus, or says that it has no figure.
    fn of_figure(&mut self, act: impl FnOnce(&mut Self, &str)) {
        let name = self.dock.focus.clone();
        if self.lab.panels.figure(&name).is_some() {
            return act(self, &name);
        }
        self.lab.trouble(Error::usage(format!(
            "the panel {} is no figure: click one that is, or use the button on its tab",
            self.lab.panels.title(&name)
        )));
    }

    /// The windows in which pages are chosen.
    fn studios(&mut self, ctx: &Context) {
        match self.copied.take() {
            Some(Copied::Image(image)) => ctx.copy_image(image),
            Some(Copied::Text(text)) => ctx.copy_text(text),
            None => {}
        }
        if let Some(wish) = self.export.ui(ctx) {
            self.fulfil(&wish, false);
        }
        if let Some(wish) = self.sheet.ui(ctx) {
            self.fulfil(&wish, true);
        }
    }

    /// The figure sheet; the one of the last launch, if nothing is on it yet.
    fn show_sheet(&mut self) {
        self.sheet.open = true;
        if let Some(text) = self.kept_sheet.take().filter(|_| self.sheet.doc.hung.is_empty()) {
            self.load_sheet(move || Sheet::parse(&text, "the figure sheet of the last launch"));
        }
    }

    fn restart(&mut self) {
        if let Some(draft) = self.lab.draft().cloned() {
            self.lab.start(draft, Origin::Fresh);
        }
        self.shelf.asked = false;
    }

    /// The offered speeds stand in order, the fastest first.
    fn change_speed(&mut self, by: isize) {
        let at = top::SPEEDS.iter().position(|speed| *speed == self.lab.speed).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(top::SPEEDS.len() - 1);
        self.lab.speed = top::SPEEDS[to];
        self.lab.send_speed();
    }

    /// The trainer of a run may be in the middle of a step: it is waited for elsewhere.
    fn close_run(&mut self) {
        let Some(run) = self.lab.close() else { return };
        let text = format!("{} was closed; its recording stays", run.name);
        self.work("close run", move || {
            drop(run);
            Outcome::Done(Ok(text))
        });
    }

    /// Has runs that were ordered built, each on a thread of its own.
    fn build_runs(&mut self) {
        for order in std::mem::take(&mut self.lab.orders) {
            let build = move || {
                let built =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| order.carry_out()));
                let fault = "the run could not be built by a fault of this program";
                Outcome::Begun(built.unwrap_or_else(|_| Err(Error::internal(fault))).map(Box::new))
            };
            match self.worker.start("start run", build) {
                Ok(()) => self.lab.building += 1,
                Err(error) => self.lab.trouble(error.context("start run")),
            }
        }
    }

    fn ask(&mut self, purpose: Purpose) {
        self.dialogs.ask(purpose, &mut self.worker);
    }

    /// The panel that was made for the task of a run comes to the front of its stack when the run comes into the window, unless a
    /// hand has arranged the panels.
    fn show_picture_of_task(&mut self) {
        let arranged = *self.layout.get_or_insert_with(|| self.dock.clone()) != self.dock;
        let id = self.lab.run_id();
        if id <= self.shown_for {
            return;
        }
        self.shown_for = id;
        self.say_lacking();
        let Some(run) = self.lab.run().filter(|_| !arranged) else { return };
        let Some(panel) = self.host.made_for(&*run.bench.source) else { return };
        self.dock.bring_forward(panel);
        self.layout = Some(self.dock.clone());
    }

    fn keep_readers(&mut self) {
        match panes::readers::to_keep(&self.lab) {
            Ok(Some(write)) => self.work("keep readers", write),
            Ok(None) => {
                self.say("there is no whole reader to keep yet".to_owned());
            }
            Err(error) => self.lab.trouble(error),
        }
    }

    fn work(&mut self, name: &str, work: impl FnOnce() -> Outcome + Send + 'static) {
        if let Err(error) = self.worker.start(name, work) {
            self.lab.trouble(error.context(name));
        }
    }

    fn say(&mut self, text: String) {
        self.note.say(text, Vec::new());
    }

    fn take_outcomes(&mut self) {
        for outcome in self.worker.take() {
            match outcome {
                Outcome::Chosen(purpose, path) => {
                    if let Some(chosen) = self.dialogs.answered(purpose, path) {
                        self.chosen(chosen);
                    }
                }
                Outcome::Done(Ok(text)) => self.say(text),
                Outcome::Copied(what, said) => {
                    self.copied = Some(what);
                    self.say(said.to_owned());
                }
                Outcome::Pages(Ok(doc)) => self.sheet.show(*doc),
                Outcome::Pages(Err(error)) => self.lab.trouble(error),
                Outcome::Done(Err(error)) | Outcome::Kept(Err(error)) => self.lab.trouble(error),
                Outcome::Kept(Ok(text)) => {
                    self.say(text);
                    // What is read with a kept lens is asked anew.
                    self.lab.asking.ask_again();
                    self.lab.changed();
                }
                Outcome::Begun(begun) => {
                    self.lab.building = self.lab.building.saturating_sub(1);
                    self.shelf.asked = false;
                    match begun {
                        Ok(begun) => self.lab.begun(*begun),
                        Err(error) => self.lab.trouble(error),
                    }
                }
                Outcome::Opened(Ok(opened), step) => {
                    self.lab.opened(*opened);
                    self.lab.view(step);
                }
                Outcome::Experiment(Ok(experiment)) => self.lab.start(*experiment, Origin::Fresh),
                Outcome::Opened(Err(error), _) | Outcome::Experiment(Err(error)) => {
                    self.lab.trouble(error);
                }
                Outcome::Sweep(Ok(sweep), again) => self.opened_sweep(*sweep, again),
                Outcome::Sweep(Err(error), _) => self.lab.trouble(error),
                Outcome::Listed(Ok(stock)) => self.shelf.stock = *stock,
                Outcome::Moved(text, undo, refused) => self.moved(text, undo, refused),
                Outcome::Fonts(Ok((files, fallback))) => self.take_fonts(files, fallback),
                Outcome::Fonts(Err(error)) | Outcome::Listed(Err(error)) => self.lab.trouble(error),
            }
        }
    }

    /// Sentences that something went wrong, until they are dismissed. Many of them scroll: the panels keep their room.
    fn banner(&mut self, ui: &mut Ui) -> Vec<Action> {
        let mut actions = Vec::new();
        let newest = self.lab.troubles.last().map(|error| error.message.clone());
        let is_news = newest != self.newest_trouble;
        self.newest_trouble = newest;
        // Of a small window it leaves most to the panels.
        let height = (0.12 * ui.ctx().content_rect().height()).clamp(24.0, 96.0);
        scroll::up_to(ui, height, |ui| {
            // The newest first, where it is seen however many there are.
            if is_news {
                ui.scroll_to_cursor(Some(egui::Align::TOP));
            }
            let count = self.lab.troubles.len();
            for (index, error) in self.lab.troubles.iter().enumerate().rev() {
                ui.horizontal(|ui| {
                    let button = ui.small_button("Dismiss");
                    if button.accessible_name(format!("Dismiss trouble {}", index + 1)).clicked() {
                        actions.push(Action::Dismiss(index));
                    }
                    let is_first = count > 1 && index + 1 == count;
                    if is_first && ui.small_button(format!("Dismiss all {count}")).clicked() {
                        actions.push(Action::DismissAll);
                    }
                    let color = ui.visuals().error_fg_color;
                    let text = egui::RichText::new(&error.message).color(color);
                    ui.add(egui::Label::new(text).wrap());
                });
            }
        });
        actions
    }

    fn draw(&mut self, ui: &mut Ui) -> Vec<Action> {
        let mut actions = Vec::new();
        let (window, ground) = (ui.max_rect(), ground::reserve(ui));
        let bar = Frame::new().inner_margin(Margin::symmetric(8, 4));
        Panel::top("menu").frame(bar).show_separator_line(false).show(ui, |ui| {
            actions.extend(top::menu(ui, &self.lab, self.adapter.as_ref()));
        });
        Panel::top("state").frame(bar).show(ui, |ui| actions.extend(top::state(ui, &self.lab)));
        if !self.lab.troubles.is_empty() {
            Panel::top("troubles").frame(bar).show(ui, |ui| actions.extend(self.banner(ui)));
        }
        let centre = Frame::new().inner_margin(Margin::same(4));
        CentralPanel::default().frame(centre).show(ui, |ui| {
            self.host.begin(self.dark);
            let (lab, host, shelf) = (&mut self.lab, &mut self.host, &mut self.shelf);
            let panels = lab.panels;
            let more = self.dock.ui(ui, panels, &mut |ui, name| host.panel(ui, name, lab, shelf));
            actions.extend(more);
        });
        ground::paint(ui, ground, window, &self.host.papers, ui.visuals().panel_fill);
        actions.append(&mut self.host.actions);
        actions
    }

    /// When the next frame is due, if anything moves by itself.
    fn next_frame(&mut self) -> Option<Duration> {
        if self.lab.any_training() {
            return Some(self.pace.next(self.frame_cost, Instant::now()));
        }
        if self.lab.playback.playing {
            return Some(self.lab.playback.interval().min(FRAME));
        }
        if self.lab.is_busy() || self.shot.is_some() {
            return Some(FRAME);
        }
        (self.note.is_shown() || self.worker.is_busy()).then_some(Duration::from_millis(300))
    }

    /// What was pressed, unless something that lies over the panels wants the keys.
    fn keys(&self, ctx: &Context) -> Vec<Action> {
        if self.covered {
            return Vec::new();
        }
        // Escape closes what is open before it clears the selection.
        let escape = self.typing
            || self.dialogs.has_field()
            || self.host.open_settings.is_some()
            || self.host.is_writing();
        action::pressed(ctx, &self.lab, escape).into_iter().map(Action::Do).collect()
    }
}

impl App {
    /// Takes in what has happened and asks what the panels need; also called while the window is hidden.
    fn look(&mut self, ctx: &Context) {
        let hidden = ctx.input(|i| i.viewport().visible() == Some(false)) && self.shot.is_none();
        let calls = if hidden { Vec::new() } else { self.host.calls(&self.lab) };
        let inquiries = if hidden { Vec::new() } else { self.host.inquiries(&self.lab) };
        self.take_outcomes();
        self.lab.tick(&calls, &inquiries, Instant::now());
        self.build_runs();
        if hidden && self.lab.is_busy() {
            // Nothing is drawn, but what training says is still taken in.
            ctx.request_repaint_after(Duration::from_secs(1));
        }
    }

    /// One frame; `drawn` is what the frame before took in all, as far as it is known.
    fn frame(&mut self, ui: &mut Ui, drawn: Duration) {
        let begun = Instant::now();
        let ctx = ui.ctx().clone();
        self.time(&ctx);
        if (ctx.theme() == egui::Theme::Dark) != self.dark {
            self.apply_look(&ctx);
        }
        let mut actions = self.keys(&ctx);
        actions.extend(self.draw(ui));
        actions.extend(self.palette.ui(&ctx, &self.lab).map(Action::Do));
        palette::keys(&ctx, self.lab.panels, &mut self.keys_open);
        if let Some(spelling) = self.spelling.ui(&ctx) {
            self.ask(Purpose::ExportWeights(spelling));
        }
        actions.extend(self.tour.ui(&ctx, &self.lab));
        self.host.settings_window(&ctx);
        actions.extend(self.host.menu.ui(&ctx));
        self.studios(&ctx);
        actions.extend(self.note.ui(&ctx));
        if let Some(chosen) = self.dialogs.ui(&ctx) {
            self.chosen(chosen);
        }
        let is_listed = self.dock.is_open(Form::Runs.name());
        // Other programs record runs, too: whoever opens the list sees those of now.
        self.shelf.asked &= std::mem::replace(&mut self.runs_seen, is_listed) == is_listed;
        if is_listed {
            self.list_library();
        }
        let acted = !actions.is_empty();
        for action in actions {
            self.carry_out(action, &ctx);
        }
        self.build_runs();
        self.show_picture_of_task();
        self.undo.feed_state(ctx.input(|i| i.time), &self.dock);
        let asks = self.palette.open
            || self.keys_open
            || self.shelf.is_asking()
            || self.spelling.open
            || self.export.open
            || self.sheet.open;
        self.covered = asks || ctx.any_popup_open();
        self.typing = ctx.text_edit_focused();
        self.drill();
        self.take_shot(&ctx);
        // Half of a frame is drawing it; the other half is known only of the frame before.
        self.frame_cost = begun.elapsed().max(drawn);
        let eager = !self.lab.any_training() || self.lab.asking.is_by_hand();
        self.eager.store(eager, Ordering::Relaxed);
        if acted {
            ctx.request_repaint();
        } else if let Some(after) = self.next_frame() {
            ctx.request_repaint_after(after);
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.look(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let drawn = frame.info().cpu_usage.unwrap_or(0.0);
        self.frame(ui, Duration::from_secs_f32(drawn.clamp(0.0, 1.0)));
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if self.shot.is_none()
            && self.stopwatch.is_none()
            && let Ok(text) = serde_json::to_string(&self.kept())
        {
            storage.set_string(KEPT, text);
        }
    }
}

/// The focused widget keeps its arrow keys: they move the selection, not the focus.
fn hold_arrows(ctx: &Context, id: Id) {
    let filter = egui::EventFilter {
        horizontal_arrows: true,
        vertical_arrows: false,
        ..egui::EventFilter::default()
    };
    ctx.memory_mut(|m| m.set_focus_lock_filter(id, filter));
    ctx.data_mut(|d| d.insert_temp(figure_focus(), id));
}

/// Where the id of the focused figure is noted.
fn figure_focus() -> Id {
    Id::unique("figure focus")
}
