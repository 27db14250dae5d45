//! The window: panels over a laboratory of runs, drawn frame by frame; what a hand did is carried out after each.

mod apply;
mod compare;
pub mod device_lost;
mod figures;
mod file_dialog;
mod files;
mod follow;
mod fonts;
mod gallery;
mod help;
mod keys;
mod library;
mod menu;
mod note;
mod palette;
mod tour;
mod undo;
mod weight_format;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use egui::{CentralPanel, Context, Frame, Margin, Panel, ThemePreference, Ui, Vec2};
use serde::{Deserialize, Serialize};

use crate::app::canvas::{background, theme};
use crate::app::commands::{Action, Command};
use crate::app::figure_export::clipboard::Copied;
use crate::app::figure_export::editor::FigureEditor;
use crate::app::lab::Lab;
use crate::app::lab::panels::Form;
use crate::app::measure::pacing::Pacing;
use crate::app::measure::screenshot::Screenshot;
use crate::app::measure::stopwatch::Stopwatch;
use crate::app::panes::docking::Dock;
use crate::app::panes::host::Host;
use crate::app::panes::interventions;
use crate::app::panes::run_list::RunList;
use crate::app::widgets::scroll;
use crate::app::worker::Worker;
use crate::base::error::Error;
use crate::base::question::MeasurementCall;
use crate::export::against::Other;
use crate::figure::fallback::Fallback;
use crate::gpu::device::Adapter;
use crate::panel;

use super::{Launch, Surroundings};
pub use device_lost::back_in_sight;

use device_lost::Lost;
use file_dialog::FileDialogs;
use gallery::Gallery;
use help::Help;
use note::Note;
use palette::Palette;
use tour::Guide;
use weight_format::FormatList;

/// Frames follow each other this far apart while something is under way other than training.
const FRAME: Duration = Duration::from_millis(60);

/// What is looked after between two launches.
#[derive(Serialize, Deserialize)]
struct Kept {
    dock: Dock,
    dark: bool,
    zoom: f32,
    /// Width and height of the window in points of scale 1; none in what an older version kept.
    #[serde(default)]
    size: Option<[f32; 2]>,
    /// Settings of panels, as TOML, by kind.
    panels: Vec<(String, String)>,
    /// Lists of interventions that were saved, by name; none in what an older version kept.
    #[serde(default)]
    lists: Vec<interventions::List>,
    /// The figure sheet as TOML, if anything was on it.
    #[serde(default)]
    sheet: Option<String>,
    /// Files of fonts for the signs that our own lack; none: those of the system.
    #[serde(default)]
    fonts: Vec<PathBuf>,
}

impl Kept {
    /// Nothing where what is kept is none of this program, or damaged.
    fn read(storage: &dyn eframe::Storage) -> Option<Self> {
        let text = storage.get_string(KEPT).filter(|text| text.len() <= MOST_KEPT_BYTES)?;
        serde_json::from_str(&text).ok().filter(Self::is_sound)
    }

    /// Whether a window can begin with it: another program may have written it, or a kill half of it.
    fn is_sound(&self) -> bool {
        let is_size = |size: [f32; 2]| size.iter().all(|side| SIDES.contains(side));
        ZOOMS.contains(&self.zoom) && self.dock.is_sound() && self.size.is_none_or(is_size)
    }
}

/// From a size that still reads to one for the back row of a lecture hall.
const ZOOMS: std::ops::RangeInclusive<f32> = 0.6..=2.5;

/// Sides of windows that there are, in points.
const SIDES: std::ops::RangeInclusive<f32> = 64.0..=16_000.0;

/// What a hall changes.
#[derive(Clone)]
struct BeforeHall {
    zoom: f32,
    /// Which metrics Curves drew.
    curves: String,
    /// The size of the window, in points of scale 1, that the scale of the hall was chosen for.
    fitted: Vec2,
}

/// Longest text that is read of what was kept.
const MOST_KEPT_BYTES: usize = 4 << 20;

/// Key of [`Kept`] in eframe's storage.
const KEPT: &str = "mnemoscope";

/// What threads call when they have an answer: it draws a frame of the window that is there by then, if `at_once` says so.
fn waker(window: Arc<Mutex<Context>>, at_once: Arc<AtomicBool>) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || {
        if at_once.load(Ordering::Relaxed) {
            window.lock().unwrap_or_else(PoisonError::into_inner).request_repaint();
        }
    })
}

/// The window.
pub struct App {
    pub lab: Lab,
    pub(in crate::app) dock: Dock,
    pub(in crate::app) host: Host,
    palette: Palette,
    help: Help,
    pub(in crate::app) gallery: Gallery,
    weight_format: FormatList,
    guide: Guide,
    /// The chip of the first launch is shown.
    greets: bool,
    dialogs: FileDialogs,
    worker: Worker<Self>,
    run_list: RunList,
    /// The step that was asked for with the sweep that is being read.
    sweep_step: Option<u64>,
    pub(in crate::app) screenshot: Option<Screenshot>,
    /// What is to be compared with once a run is in view.
    against: Option<Other>,
    adapter: Option<Adapter>,
    dark: bool,
    zoom: f32,
    /// The size of the window when it was last not the whole screen, in points of scale 1: those of other scales would be another
    /// size in the next launch.
    size: Option<Vec2>,
    frame_cost: Duration,
    pacing: Pacing,
    /// Whether an answer wakes the window.
    eager: Arc<AtomicBool>,
    /// The window that is woken: another one after its device was lost.
    window: Arc<Mutex<Context>>,
    pub(in crate::app) lost: Lost,
    lose_device_at: Option<u64>,
    stopwatch: Option<Stopwatch>,
    note: Note,
    /// The newest sentence that the banner has shown.
    newest_trouble: Option<String>,
    /// A menu or a question lies over the panels: keys are for it.
    covered: bool,
    /// Something is being written in a field: Escape is for it.
    typing: bool,
    history: undo::History,
    /// How it looked before a hall was shown something.
    before_hall: Option<BeforeHall>,
    /// The page of one panel, on its way to a file.
    export: FigureEditor,
    /// The page of several panels.
    sheet: FigureEditor,
    /// The sheet that was kept from the last launch, until it is wanted.
    kept_sheet: Option<String>,
    /// Files of fonts that were chosen for the signs that our own lack.
    fonts: Vec<PathBuf>,
    /// What the next frame puts on the clipboard.
    copied: Option<Copied>,
    /// The list of runs was open in the last frame.
    runs_seen: bool,
    /// When the folders of the library were looked at last, and what was seen.
    looked_at_library: Instant,
    glance: Option<u64>,
    /// All sentences of the banner are shown, not the newest alone.
    all_troubles: bool,
    /// Whether the window had the keys in the last frame.
    had_focus: bool,
    /// When a sweep that goes on is looked at again.
    sweep_watch: Option<follow::Watch>,
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
        let wake = waker(window.clone(), eager.clone());
        let kept = storage.and_then(Kept::read);
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
            weight_format: FormatList::default(),
            help: Help::default(),
            gallery: Gallery::default(),
            guide: Guide::default(),
            // Whoever kept a layout has been here before.
            greets: launch.is_own() && kept.is_none(),
            dialogs: FileDialogs::new(surroundings.system_dialogs),
            worker: Worker::new(wake, |app: &mut Self, error| app.lab.trouble(error)),
            run_list: RunList::default(),
            sweep_step: None,
            screenshot: None,
            against: None,
            adapter: surroundings.adapter,
            dark: false,
            zoom: 1.0,
            size: None,
            frame_cost: Duration::ZERO,
            pacing: Pacing::new(software),
            eager,
            window,
            lost: Lost::default(),
            lose_device_at: launch.lose_device_at,
            stopwatch: launch.stopwatch.map(Stopwatch::new),
            note: Note::default(),
            newest_trouble: None,
            covered: false,
            typing: false,
            history: undo::History::default(),
            before_hall: None,
            export: FigureEditor::default(),
            sheet: FigureEditor::of_sheet(),
            kept_sheet: None,
            fonts: Vec::new(),
            copied: None,
            runs_seen: false,
            looked_at_library: Instant::now(),
            glance: None,
            all_troubles: false,
            had_focus: true,
            sweep_watch: None,
            shown_for: 0,
            layout: None,
        };
        app.take_fonts(Vec::new(), Fallback::system());
        // A picture for others shows the layout that others have; so does a measurement.
        if launch.is_own()
            && let Some(kept) = kept
        {
            app.take_kept(kept);
        }
        if let Some(fallback) = launch.fallback {
            app.take_fonts(app.fonts.clone(), fallback);
        }
        app.begin(launch);
        app.apply_look(ctx);
        app
    }

    fn take_kept(&mut self, kept: Kept) {
        self.dock = kept.dock;
        (self.dark, self.zoom) = (kept.dark, kept.zoom);
        self.size = kept.size.map(Vec2::from);
        self.host.restore(&kept.panels);
        self.host.interventions.lists = kept.lists;
        self.kept_sheet = kept.sheet;
        self.restore_fonts(kept.fonts);
    }

    /// Goes on in another window: the device of the one before was lost, and with it every picture.
    pub(in crate::app) fn move_to(&mut self, ctx: &Context, adapter: Option<Adapter>) {
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
        if let Some(screenshot) = &mut self.screenshot {
            screenshot.ask_again();
        }
        self.lab.changed();
        self.apply_look(ctx);
    }

    fn note_size(&mut self, ctx: &Context) {
        let fills = ctx.input(|i| {
            let window = i.viewport();
            window.fullscreen == Some(true) || window.maximized == Some(true)
        });
        if !fills && self.before_hall.is_none() {
            self.size = Some(ctx.content_rect().size() * ctx.zoom_factor());
        }
    }

    /// The size that the window was left with, in points of scale 1.
    pub fn size(&self) -> Option<Vec2> {
        self.size
    }

    fn apply_look(&self, ctx: &Context) {
        ctx.set_theme(if self.dark { ThemePreference::Dark } else { ThemePreference::Light });
        ctx.set_zoom_factor(self.zoom);
    }

    fn kept(&mut self) -> Kept {
        // What was arranged for a hall is not kept.
        let (zoom, panels) = match self.before_hall.clone() {
            None => (self.zoom, self.host.settings()),
            Some(BeforeHall { zoom, curves, .. }) => {
                let shown = self.host.setting(panel::curves::KIND.name, "show");
                self.show_of_curves(&curves);
                let panels = self.host.settings();
                self.show_of_curves(&shown);
                (zoom, panels)
            }
        };
        Kept {
            dock: self.dock.clone(),
            dark: self.dark,
            zoom,
            size: self.size.map(Into::into),
            panels,
            lists: self.host.interventions.lists.clone(),
            sheet: match self.sheet.doc.snapshots.is_empty() {
                true => self.kept_sheet.clone(),
                false => Some(self.sheet.doc.sheet.to_toml()),
            },
            fonts: self.fonts.clone(),
        }
    }

    /// Sentences that something went wrong, until they are dismissed: the newest in two lines, and the others behind a button. The
    /// panels keep their room.
    fn banner(&mut self, ui: &mut Ui) -> Vec<Action> {
        let mut actions = Vec::new();
        let count = self.lab.troubles.len();
        let newest = self.lab.troubles.last().map(|error| error.message.clone());
        let is_news = newest != self.newest_trouble;
        self.newest_trouble = newest;
        self.all_troubles &= count > 1;
        let two_lines = 2.0 * ui.text_style_height(&egui::TextStyle::Body) + 4.0;
        // Of a small window it leaves most to the panels.
        let many = (0.12 * ui.ctx().content_rect().height()).clamp(two_lines, 96.0);
        let (shown, height) = if self.all_troubles { (count, many) } else { (1, two_lines) };
        let mut all = self.all_troubles;
        scroll::up_to(ui, height, |ui| {
            // The newest first, where it is seen however many there are.
            if is_news {
                ui.scroll_to_cursor(Some(egui::Align::TOP));
            }
            for (index, error) in self.lab.troubles.iter().enumerate().rev().take(shown) {
                ui.horizontal(|ui| {
                    let button = ui.small_button("Dismiss");
                    if button.accessible_name(format!("Dismiss trouble {}", index + 1)).clicked() {
                        actions.push(Action::Dismiss(index));
                    }
                    if count > 1 && index + 1 == count {
                        actions.extend(others(ui, count, &mut all));
                    }
                    let color = ui.visuals().error_fg_color;
                    let text = egui::RichText::new(&error.message).color(color);
                    ui.add(egui::Label::new(text).wrap());
                });
            }
        });
        self.all_troubles = all;
        actions
    }

    fn draw(&mut self, ui: &mut Ui) -> Vec<Action> {
        let mut actions = Vec::new();
        let (window, ground) = (ui.max_rect(), background::reserve(ui));
        let bar = Frame::new().inner_margin(Margin::symmetric(8, 4));
        let hall = self.dock.is_presenting();
        if !hall {
            Panel::top("menu").frame(bar).show_separator_line(false).show(ui, |ui| {
                let greets = self.greets && !self.guide.is_shown() && !self.lab.reads_prompts();
                actions.extend(menu::menu(ui, &self.lab, self.adapter.as_ref(), greets));
            });
        }
        let state = if hall { menu::hall } else { menu::state };
        Panel::top("state").frame(bar).show(ui, |ui| actions.extend(state(ui, &self.lab)));
        if self.lab.comparison.is_on() && !hall {
            Panel::top("compared").frame(bar).show_separator_line(false).show(ui, |ui| {
                actions.extend(compare::row(ui, &self.lab));
            });
        }
        if !self.lab.troubles.is_empty() {
            Panel::top("troubles").frame(bar).show(ui, |ui| actions.extend(self.banner(ui)));
        }
        self.host.settings_beside(ui);
        let centre = Frame::new().inner_margin(Margin::same(4));
        CentralPanel::default().frame(centre).show(ui, |ui| {
            self.host.begin(self.dark, hall);
            self.put_idle_panels_away();
            let (lab, host, run_list) = (&mut self.lab, &mut self.host, &mut self.run_list);
            let panels = lab.panels;
            let more =
                self.dock.ui(ui, panels, &mut |ui, name| host.panel(ui, name, lab, run_list));
            actions.extend(more);
        });
        background::paint(ui, ground, window, &self.host.papers, ui.visuals().panel_fill);
        actions.append(&mut self.host.actions);
        actions
    }

    /// When the next frame is due, if anything moves by itself.
    fn next_frame(&mut self) -> Option<Duration> {
        let moves = self.next_move();
        let elsewhere = self.next_look();
        moves.into_iter().chain(elsewhere).min()
    }

    fn next_move(&mut self) -> Option<Duration> {
        if self.lab.any_training() {
            return Some(self.pacing.next(self.frame_cost, Instant::now()));
        }
        if self.host.is_late() {
            return Some(Duration::ZERO);
        }
        if self.lab.playback.playing {
            return Some(self.lab.playback.interval().min(FRAME));
        }
        if self.lab.is_busy() || self.screenshot.is_some() {
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
        let hall = self.dock.is_presenting();
        // Whoever stands before a hall wants out of it, not out of a selection.
        let meant = |command| {
            if hall && command == Command::ClearSelection { Command::Present } else { command }
        };
        keys::pressed(ctx, &self.lab, escape).into_iter().map(meant).map(Action::Do).collect()
    }
}

impl App {
    /// Takes in what has happened and asks what the panels need; also called while the window is hidden.
    pub(in crate::app) fn look(&mut self, ctx: &Context) {
        let hidden =
            ctx.input(|i| i.viewport().visible() == Some(false)) && self.screenshot.is_none();
        let calls = if hidden { Vec::new() } else { self.calls() };
        let analyses = if hidden { Vec::new() } else { self.host.analyses(&self.lab) };
        let others = if hidden { Vec::new() } else { self.host.others(&self.lab) };
        self.take_work();
        self.follow(ctx);
        self.lab.tick(&calls, &analyses, &others, Instant::now());
        if self.lab.focus_on_induction() {
            self.history.skip();
        }
        self.build_runs();
        if hidden && self.lab.is_busy() {
            // Nothing is drawn, but what training says is still taken in.
            ctx.request_repaint_after(Duration::from_secs(1));
        }
    }

    /// What the panels and the tour need to know.
    fn calls(&self) -> Vec<MeasurementCall> {
        let mut calls = self.host.calls(&self.lab);
        for call in self.guide.calls(&self.lab) {
            if !calls.contains(&call) {
                calls.push(call);
            }
        }
        calls
    }

    /// One frame; `drawn` is what the frame before took in all, as far as it is known.
    pub(in crate::app) fn frame(&mut self, ui: &mut Ui, drawn: Duration) {
        let begun = Instant::now();
        let ctx = ui.ctx().clone();
        let step = self.lab.run().map_or(0, |run| run.recording.last_step);
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.time(&ctx, step);
        }
        if (ctx.theme() == egui::Theme::Dark) != self.dark {
            self.apply_look(&ctx);
        }
        self.note_size(&ctx);
        self.fit_hall(&ctx);
        let mut actions = self.keys(&ctx);
        actions.extend(dropped(&ctx));
        actions.extend(self.draw(ui));
        actions.extend(self.palette.ui(&ctx, &self.lab).map(Action::Do));
        self.help.ui(&ctx, self.lab.panels);
        actions.extend(self.gallery.ui(&ctx));
        self.time_an_experiment();
        if let Some(format) = self.weight_format.ui(&ctx) {
            self.ask(file_dialog::FileDialog::ExportWeights(format));
        }
        actions.extend(self.guide.ui(&ctx, &self.lab, &self.host.places));
        actions.extend(self.host.menu.ui(&ctx));
        self.figure_editors(&ctx);
        actions.extend(self.note.ui(&ctx));
        if let Some(chosen) = self.dialogs.ui(&ctx) {
            self.chosen(chosen);
        }
        let is_listed = self.dock.is_open(Form::Runs.name());
        // Other programs record runs, too: whoever opens the list sees those of now.
        self.run_list.asked &= std::mem::replace(&mut self.runs_seen, is_listed) == is_listed;
        if is_listed {
            self.keep_list_fresh(&ctx);
            self.list_library();
        }
        let acted = !actions.is_empty();
        for action in actions {
            self.carry_out(action, &ctx);
        }
        self.build_runs();
        self.show_picture_of_task();
        self.note_what_was_done(&ctx);
        let asks = self.palette.open
            || self.help.open
            || self.gallery.open
            || self.run_list.is_asking()
            || self.weight_format.open
            || self.export.open
            || self.sheet.open;
        self.covered = asks || ctx.any_popup_open();
        self.typing = ctx.text_edit_focused();
        self.drill();
        self.compare_as_asked();
        if let Some(screenshot) = &mut self.screenshot {
            let is_late = self.worker.is_busy() || self.host.is_late();
            screenshot.take(&ctx, &mut self.lab, is_late);
        }
        // Half of a frame is drawing it; the other half is known only of the frame before.
        self.frame_cost = begun.elapsed().max(drawn);
        let eager = !self.lab.any_training() || self.lab.examination.is_by_hand();
        self.eager.store(eager, Ordering::Relaxed);
        if acted {
            ctx.request_repaint();
        } else if let Some(after) = self.next_frame() {
            ctx.request_repaint_after(after);
        }
    }
}

/// What was dropped on the window.
fn dropped(ctx: &Context) -> Vec<Action> {
    ctx.input(|input| {
        let files = input.raw.dropped_files.iter();
        files.map(|file| Action::OpenDropped(file.path().to_owned())).collect()
    })
}

/// That there are more sentences than the newest, and what can be done with them all.
fn others(ui: &mut Ui, count: usize, all: &mut bool) -> Option<Action> {
    let text = if *all { "newest only".to_owned() } else { format!("and {} more", count - 1) };
    if ui.small_button(text).clicked() {
        *all = !*all;
    }
    ui.small_button(format!("Dismiss all {count}")).clicked().then_some(Action::DismissAll)
}

impl eframe::App for App {
    fn raw_input_hook(&mut self, _ctx: &Context, raw: &mut egui::RawInput) {
        // Wherever the pointer happens to be: a picture of the window shows nothing that it would bring up.
        if self.screenshot.is_some() {
            raw.events.retain(|event| !matches!(event, egui::Event::PointerMoved(_)));
            raw.events.push(egui::Event::PointerGone);
        }
    }

    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.look(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let drawn = frame.info().cpu_usage.unwrap_or(0.0);
        self.frame(ui, Duration::from_secs_f32(drawn.clamp(0.0, 1.0)));
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if self.screenshot.is_none()
            && self.stopwatch.is_none()
            && let Ok(text) = serde_json::to_string(&self.kept())
        {
            storage.set_string(KEPT, text);
        }
    }
}
