//! Who has the panels between frames: each with its settings, its last picture and what it has besides, and the forms.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::emath::GuiRounding as _;
use egui::{DragAndDrop, Frame, Margin, Rect, ScrollArea, Ui, vec2};

use super::form;
use super::interventions::Interventions;
use super::long_question;
use super::panel_menu::PanelMenu;
use super::run_list::RunList;
use super::{Drawn, News, Pane, pane_of};
use crate::app::canvas::paint::{self, Canvas};
use crate::app::canvas::{UNITS_PER_POINT, theme};
use crate::app::commands::{Action, Command, table};
use crate::app::lab::Lab;
use crate::app::lab::compared::{Subject, Wanted};
use crate::app::lab::panels::{Form, Panels};
use crate::app::lab::run::{Run, RunInfo};
use crate::base::error::{Error, Result};
use crate::base::question::MeasurementCall;
use crate::base::question::Readings;
use crate::base::settings;
use crate::figure::Figure;
use crate::figure::cloud::Camera;
use crate::figure::fallback::Fallback;
use crate::figure::layout::layout;
use crate::figure::scene::Scene;
use crate::panel::Stack;
use crate::panel::compare::Compares;
use crate::panel::outputs::sentence;
use crate::panel::{Memory, NetShape, Palette, Panel, PanelKind, Selection, View, compare, tokens};
use crate::run::expectation::EFFECT;

/// Panels, pictures and forms between frames.
pub struct Host {
    panels: Vec<Shown>,
    form: form::Form,
    pub interventions: Interventions,
    /// Names of those that were drawn in the last frame: only they are asked for.
    visible: Vec<String>,
    /// Where figures were drawn in the last frame, in screen units, to whole pixels.
    pub papers: Vec<Rect>,
    /// Where panels lie in this frame, by name.
    pub places: Vec<(String, Rect)>,
    look: Look,
    /// What drawing pictures anew has taken in this frame.
    spent: Duration,
    /// The panel whose settings are shown.
    pub open_settings: Option<String>,
    pub actions: Vec<Action>,
    /// The menu of the panel that was right-clicked.
    pub menu: PanelMenu,
}

/// A panel that draws a figure.
struct Shown {
    kind: &'static PanelKind,
    panel: Box<dyn Panel>,
    pane: Box<dyn Pane>,
    /// One; more where it is compared.
    pictures: Vec<Picture>,
    /// For how many frames they have waited to be drawn anew.
    waited: u32,
    /// Rows and columns of them.
    grid: [usize; 2],
    memory: Memory,
}

/// Pictures of comparisons, which are several in each panel, and those of a large network are drawn anew over so much of a frame,
/// first those that have waited longest; the others come in the next, and after some frames in any case.
const REDRAWING: Duration = Duration::from_millis(1);
const MOST_WAITED: u32 = 6;
/// Opacity of a picture that is about another sequence than the one in view.
const BEHIND: f32 = 0.35;

/// The last picture of a panel, redrawn only when something it shows has changed.
#[derive(Default)]
struct Picture {
    of: u64,
    /// In points.
    size: [f32; 2],
    figure: Figure,
    scene: Scene,
    canvas: Canvas,
}

/// How all pictures are drawn.
#[derive(Clone, Copy)]
struct Look {
    dark: bool,
    /// For a hall: the pictures, and hardly anything to press.
    hall: bool,
    fallback: Fallback,
    /// For how many frames the picture has waited whose turn it is.
    turn: u32,
    /// Counts changes to it and to settings of panels.
    revision: u64,
}

impl Host {
    pub fn new(panels: Panels) -> Self {
        let shown = |kind: &'static PanelKind| Shown {
            kind,
            panel: (kind.make)(),
            pane: pane_of(kind),
            pictures: vec![Picture::default()],
            waited: 0,
            grid: [1, 1],
            memory: Memory::default(),
        };
        Self {
            panels: panels.0.iter().map(shown).collect(),
            form: form::Form::default(),
            interventions: Interventions::default(),
            visible: Vec::new(),
            papers: Vec::new(),
            places: Vec::new(),
            look: Look { dark: false, hall: false, fallback: Fallback::NONE, turn: 0, revision: 0 },
            spent: Duration::ZERO,
            open_settings: None,
            actions: Vec::new(),
            menu: PanelMenu::default(),
        }
    }

    /// Settings of all panels as TOML, by name.
    pub fn settings(&mut self) -> Vec<(String, String)> {
        let text = |panel: &mut Box<dyn Panel>| settings::to_table(panel.as_mut()).to_string();
        self.panels.iter_mut().map(|s| (s.kind.name.to_owned(), text(&mut s.panel))).collect()
    }

    /// Takes settings that were kept; what no longer fits is left at its default.
    pub fn restore(&mut self, kept: &[(String, String)]) {
        for (name, text) in kept {
            let Some(shown) = self.panels.iter_mut().find(|s| s.kind.name == name) else {
                continue;
            };
            let Ok(table) = text.parse::<toml::Table>() else { continue };
            for (name, value) in &table {
                let _ = settings::set(shown.panel.as_mut(), "", name, value);
            }
        }
        self.look.revision += 1;
    }

    /// A choice or a text among the settings of a panel; empty where there is none.
    pub fn setting(&mut self, panel: &str, name: &str) -> String {
        self.table_of(panel).get(name).and_then(toml::Value::as_str).unwrap_or("").to_owned()
    }

    /// All settings of a panel.
    pub fn table_of(&mut self, panel: &str) -> toml::Table {
        let shown = self.panels.iter_mut().find(|s| s.kind.name == panel);
        shown.map(|s| settings::to_table(s.panel.as_mut())).unwrap_or_default()
    }

    /// Changes with the settings of the panels.
    pub fn settings_revision(&self) -> u64 {
        self.look.revision
    }

    /// Draws figures with other fonts behind our own.
    pub fn take_fonts(&mut self, fallback: Fallback) {
        self.look.fallback = fallback;
        self.look.revision += 1;
    }

    /// Draws everything anew: another window knows no texture of the one before.
    pub fn forget_pictures(&mut self) {
        for shown in &mut self.panels {
            shown.pictures = vec![Picture::default()];
        }
    }

    fn is_visible(&self, name: &str) -> bool {
        self.visible.iter().any(|visible| visible == name)
    }

    /// Whether a text is being written where it can be seen.
    pub fn is_writing(&self) -> bool {
        self.panels.iter().any(|s| s.pane.is_writing() && self.is_visible(s.kind.name))
    }

    /// Tells all panes what happened.
    pub fn tell(&mut self, news: News, lab: &Lab) {
        for shown in &mut self.panels {
            shown.pane.told(news, lab);
        }
    }

    /// The panels that were made for the task or the network of a run; the last one is most of it.
    pub fn made_for(&self, run: &RunInfo) -> Vec<&'static str> {
        self.panels.iter().filter(|s| s.pane.suits(run)).map(|s| s.kind.name).collect()
    }

    /// Panels that have nothing to show of a network of another program: those that were made for other tasks and networks, for
    /// a sweep where none is open, and the timeline of a single step.
    pub fn idle(&self, lab: &Lab) -> Vec<&'static str> {
        let Some(run) = lab.run().filter(|run| run.info.net.is_read) else { return Vec::new() };
        let is_idle = |shown: &&Shown| {
            let kind = shown.kind;
            let is_single = run.series.is_some() && run.recording.recorded.len() == 1;
            !kind.example.is_empty() && !shown.pane.suits(&run.info)
                || kind.is_of_sweep && lab.sweep.is_none()
                || kind.stack == Stack::Foot && is_single
        };
        self.panels.iter().filter(is_idle).map(|shown| shown.kind.name).collect()
    }

    /// A new frame begins.
    pub fn begin(&mut self, dark: bool, hall: bool) {
        let waited = self.panels.iter().filter(|s| self.is_visible(s.kind.name)).map(|s| s.waited);
        self.look.turn = waited.max().unwrap_or(0);
        self.visible.clear();
        self.papers.clear();
        self.places.clear();
        self.spent = Duration::ZERO;
        (self.look.dark, self.look.hall) = (dark, hall);
    }

    /// Whether a picture that is seen waits to be drawn anew.
    pub fn is_late(&self) -> bool {
        self.panels.iter().any(|s| s.waited > 0 && self.is_visible(s.kind.name))
    }

    /// What the panels that were drawn need to know of what they are compared with, and of the runs that they draw with the one in
    /// view.
    pub fn others(&self, lab: &Lab) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        for shown in self.panels.iter().filter(|s| self.is_visible(s.kind.name)) {
            if let Some(subject) = lab.comparison.of_kind(shown.kind) {
                let Some((_, run)) = lab.run_of(subject.run) else { continue };
                let (net, selection) = (&run.info.net, subject.selection(&lab.selection));
                let wanted = wanted_of(&mut all, subject);
                add_new(&mut wanted.calls, shown.panel.needs(net, &selection));
                add_new(&mut wanted.analyses, shown.panel.analyses(net, &selection));
                continue;
            }
            // Histories are there already.
            let asks = |run: &Run| shown.panel.analyses(&run.info.net, &lab.selection);
            if lab.run().is_none_or(|run| asks(run).is_empty()) {
                continue;
            }
            for run in lab.drawn_beside(shown.panel.as_ref()) {
                let wanted = wanted_of(&mut all, &Subject::at_its_end(run.id));
                add_new(&mut wanted.analyses, asks(run));
            }
        }
        all
    }

    /// What the panels that were drawn need to know.
    pub fn calls(&self, lab: &Lab) -> Vec<MeasurementCall> {
        let mut calls = self.asked(lab, |panel, net, selection| panel.needs(net, selection));
        if lab.asks_effect() {
            calls.push(MeasurementCall::new(EFFECT));
        }
        calls
    }

    /// The long questions of the panels that were drawn.
    pub fn analyses(&self, lab: &Lab) -> Vec<MeasurementCall> {
        self.asked(lab, |panel, net, selection| panel.analyses(net, selection))
    }

    /// What the panels that were drawn ask, each question once.
    fn asked(
        &self,
        lab: &Lab,
        of: fn(&dyn Panel, &NetShape, &Selection) -> Vec<MeasurementCall>,
    ) -> Vec<MeasurementCall> {
        let Some(run) = lab.run() else { return Vec::new() };
        let mut calls: Vec<MeasurementCall> = Vec::new();
        let visible = self.panels.iter().filter(|s| self.is_visible(s.kind.name));
        let all = visible.flat_map(|s| of(s.panel.as_ref(), &run.info.net, &lab.selection));
        add_new(&mut calls, all);
        calls
    }

    /// Draws the panel of a name into the room that is left.
    pub fn panel(&mut self, ui: &mut Ui, name: &str, lab: &mut Lab, runs: &mut RunList) {
        self.visible.push(name.to_owned());
        let margin = Margin::symmetric(6, 4);
        let drawn = Frame::new().inner_margin(margin).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            let actions = match Form::named(name) {
                Some(form) => self.form(ui, form, lab, runs),
                None => self.figure(ui, name, lab),
            };
            self.actions.extend(actions);
        });
        self.places.push((name.to_owned(), drawn.response.rect));
        if let Some(kind) = lab.panels.figure(name) {
            self.actions.extend(dropped(ui, drawn.response.rect));
            self.actions.extend(self.pin(ui, kind, drawn.response.rect, lab));
            let clicked = ui.input(|i| i.pointer.secondary_clicked());
            let at = ui.input(|i| i.pointer.interact_pos());
            if let Some(at) = at.filter(|at| clicked && drawn.response.rect.contains(*at)) {
                self.menu.open(kind, at);
            }
            self.papers.push(drawn.response.rect.round_to_pixels(ui.pixels_per_point()));
        }
    }

    /// A button in the corner of a panel that can be pinned: under the pointer, and as long as something is pinned there.
    fn pin(&self, ui: &mut Ui, kind: &PanelKind, rect: Rect, lab: &Lab) -> Option<Action> {
        const SIZE: egui::Vec2 = vec2(46.0, 18.0);
        let is_pinned = lab.comparison.is_pinned(kind.name);
        let is_seen = is_pinned || ui.rect_contains_pointer(rect);
        if kind.compares != Compares::Parts || self.look.hall || lab.run().is_none() || !is_seen {
            return None;
        }
        let text = if is_pinned { "Unpin" } else { "Pin" };
        let place = Rect::from_min_size(rect.right_top() - vec2(SIZE.x + 6.0, -4.0), SIZE);
        let button = ui.put(place, egui::Button::new(egui::RichText::new(text).small()).small());
        let help = "Keep what this panel shows now beside it, while the rest moves on; once more takes it away (Shift+P).";
        let button = button.on_hover_text(help).accessible_name(format!("{text} {}", kind.title));
        button.clicked().then(|| Action::Pin(kind.name.to_owned()))
    }

    fn form(&mut self, ui: &mut Ui, form: Form, lab: &mut Lab, runs: &mut RunList) -> Vec<Action> {
        match form {
            Form::Experiment => scrolled(ui, |ui| form::experiment(ui, lab, &mut self.form)),
            Form::Surgery => scrolled(ui, |ui| self.interventions.ui(ui, lab)),
            Form::Runs => {
                runs.reads_prompts = lab.reads_prompts();
                runs.ui(ui, &lab.folders())
            }
        }
    }

    fn figure(&mut self, ui: &mut Ui, name: &str, lab: &Lab) -> Vec<Action> {
        let Some(shown) = self.panels.iter_mut().find(|s| s.kind.name == name) else {
            return Vec::new();
        };
        let before = settings::to_table(shown.panel.as_mut());
        let mut actions = match self.look.hall {
            true => shown.pane.controls_for_hall(ui, shown.panel.as_mut(), lab),
            false => shown.controls(ui, lab),
        };
        let set = settings::to_table(shown.panel.as_mut());
        self.look.revision += u64::from(set != before);
        actions.extend(shown.draw(ui, lab, self.look, &mut self.spent));
        if settings::to_table(shown.panel.as_mut()) != set {
            // Something in the picture was set.
            self.look.revision += 1;
            ui.ctx().request_repaint();
        }
        actions
    }

    /// The settings of a panel as a form beside all panels, while they are open: they cover nothing that they change.
    pub fn settings_beside(&mut self, ui: &mut Ui) {
        const WIDTH: f32 = 330.0;
        let Some(name) = self.open_settings.clone() else { return };
        let Some(shown) = self.panels.iter_mut().find(|s| s.kind.name == name) else { return };
        let Shown { kind, panel, .. } = shown;
        let (mut open, mut changed) = (true, false);
        let frame = Frame::new().inner_margin(Margin::same(8));
        let beside = egui::Panel::right("panel settings").frame(frame).exact_size(WIDTH);
        beside.resizable(false).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.strong(format!("Settings of {}", kind.title));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    open = !ui.small_button("Close").accessible_name("Close settings").clicked();
                });
            });
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                ui.add(egui::Label::new(egui::RichText::new(panel.about()).weak()).wrap());
                ui.add_space(4.0);
                changed = form::settings(ui, panel.as_mut(), None, None);
                ui.add_space(4.0);
                if ui.button("Back to the defaults").clicked() {
                    *panel = (kind.make)();
                    changed = true;
                }
            });
        });
        self.look.revision += u64::from(changed);
        if !open || ui.input(|i| i.key_pressed(egui::Key::Escape)) {
            self.open_settings = None;
        }
    }

    /// A panel as it is seen now.
    ///
    /// # Errors
    /// When there is no such panel.
    pub fn seen(&mut self, name: &str) -> Result<Seen<'_>> {
        let shown = self.panels.iter_mut().find(|s| s.kind.name == name);
        let Shown { kind, panel, pictures, grid: [rows, columns], .. } =
            shown.ok_or_else(|| Error::usage(format!("the panel {name} is no figure")))?;
        let picture = &pictures[0];
        let size = match picture.of {
            0 => [4.0, 3.0],
            _ => [picture.scene.width, picture.scene.height],
        };
        let [width, height] = [size[0] * *columns as f32, size[1] * *rows as f32];
        let aspect = (height / width.max(1.0)).clamp(0.15, 1.5);
        Ok(Seen { kind, panel: &mut **panel, camera: picture.canvas.camera, aspect })
    }
}

/// A panel as it is seen.
pub struct Seen<'a> {
    pub kind: &'static PanelKind,
    /// With its settings.
    pub panel: &'a mut dyn Panel,
    /// How a cloud in it is looked at.
    pub camera: Camera,
    /// Height over width of its picture on the screen, or of all of them.
    pub aspect: f32,
}

impl Shown {
    fn analyses(&self, lab: &Lab) -> Vec<MeasurementCall> {
        let of = |run: &Run| self.panel.analyses(&run.info.net, &lab.selection);
        lab.run().map(of).unwrap_or_default()
    }

    /// Its settings and how far its long question has come in one row, then what its pane adds.
    fn controls(&mut self, ui: &mut Ui, lab: &Lab) -> Vec<Action> {
        let calls = self.analyses(lab);
        let mut actions = Vec::new();
        if lab.run().is_some() && !(calls.is_empty() && self.kind.controls.is_empty()) {
            ui.horizontal_wrapped(|ui| {
                for (setting, label) in self.kind.controls {
                    form::control(ui, self.panel.as_mut(), setting, label);
                }
                actions.extend(self.pane.row(ui, self.panel.as_mut(), lab));
                actions.extend(long_question::controls(ui, lab, &calls));
            });
        }
        actions.extend(self.pane.controls(ui, self.panel.as_mut(), lab));
        actions
    }

    /// Its pictures, or a sentence in their place.
    fn draw(&mut self, ui: &mut Ui, lab: &Lab, look: Look, spent: &mut Duration) -> Vec<Action> {
        let room = ui.available_rect_before_wrap();
        if lab.run().is_none() {
            ui.allocate_rect(room, egui::Sense::hover());
            let why = "No run is in view: start an experiment or open a run.";
            paint::sentence(ui, room, why);
            return Vec::new();
        }
        if room.width() < 30.0 || room.height() < 20.0 {
            return Vec::new();
        }
        let places = self.redraw(lab, room, look, spent);
        if lab.run().is_some_and(|run| self.is_behind(lab, run)) {
            // Of another sequence: it stays until the answer is here, and nobody takes it for that.
            ui.set_opacity(BEHIND);
        }
        let mut actions = Vec::new();
        for (index, place) in places.into_iter().enumerate() {
            actions.extend(self.picture(ui, lab, index, place));
        }
        actions
    }

    /// One of its pictures in its place.
    fn picture(&mut self, ui: &mut Ui, lab: &Lab, index: usize, room: Rect) -> Vec<Action> {
        let Some(Picture { figure, scene, canvas, .. }) = self.pictures.get_mut(index) else {
            return Vec::new();
        };
        if let Some(sentence) = &figure.empty {
            let response = ui.allocate_rect(room, egui::Sense::hover());
            response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Label, true, sentence.as_str())
            });
            let end = paint::sentence(ui, room, sentence);
            return self.offer(ui, lab, end).into_iter().collect();
        }
        let size = vec2(scene.width, scene.height) * UNITS_PER_POINT;
        let place = Rect::from_min_size(room.min, size);
        let (panel, title) = (self.panel.as_mut(), self.kind.title);
        let mut drawn = Drawn { room, place, figure, scene, panel, canvas, title };
        ui.push_id(index, |ui| self.pane.picture(ui, &mut drawn, lab)).inner
    }

    /// Under the sentence of a panel that this network or task has nothing for: a button that starts an experiment
    /// which has, or that opens pairs of prompts for a network of another program.
    fn offer(&self, ui: &mut Ui, lab: &Lab, under: egui::Pos2) -> Option<Action> {
        let reads_pairs = lab.reads_prompts() && !self.analyses(lab).is_empty();
        let command =
            if reads_pairs { Command::OpenPrompts } else { Command::Start(self.kind.example) };
        let entry = table(lab.panels).into_iter().find(|entry| entry.command == command)?;
        if !self.is_refused(lab) {
            return None;
        }
        let place = Rect::from_center_size(under + vec2(0.0, 24.0), vec2(260.0, 26.0));
        let text = match reads_pairs {
            true => entry.text.to_owned(),
            false => format!("Start \u{201c}{}\u{201d}", entry.text),
        };
        let button = ui.put(place, egui::Button::new(text).truncate());
        button.on_hover_text(entry.help).clicked().then_some(Action::Do(command))
    }

    /// Whether one of its questions cannot be asked here.
    fn is_refused(&self, lab: &Lab) -> bool {
        let Some(run) = lab.run() else { return false };
        let long = self.analyses(lab);
        let found =
            long.iter().filter_map(|call| lab.analyses.analyzed.get(call)?.reading.as_ref());
        let calls = self.panel.needs(&run.info.net, &lab.selection);
        let answered = calls.iter().filter_map(|call| lab.readings.as_ref()?.get(call));
        found.chain(answered).any(Result::is_err)
    }

    /// Asks the panel for its figures if anything that they may show has changed, and it is their turn; the place of each.
    fn redraw(&mut self, lab: &Lab, room: Rect, look: Look, spent: &mut Duration) -> Vec<Rect> {
        let compared = lab.comparison.of_kind(self.kind);
        let count = compared.map_or(1, |_| lab.comparison.showing.count(self.kind));
        let is_other = self.pictures.len() != count;
        self.pictures.resize_with(count, Picture::default);
        self.grid = compare::grid(self.kind, count, room.size().into());
        let places = split(room, self.grid);
        let size: [f32; 2] = (places[0].size() / UNITS_PER_POINT).into();
        let Some(of) = self.shown_state(lab, look, size) else { return places };
        let is_sized = self.pictures.iter().all(|p| p.of > 0 && p.size == size) && !is_other;
        if self.pictures[0].of == of || (is_sized && self.waits_for_other(lab)) {
            self.waited = 0;
            return places;
        }
        let is_slow = count > 1 || lab.run().is_some_and(|run| run.info.net.is_large());
        let has_turn = *spent <= REDRAWING && self.waited >= look.turn;
        if is_sized && is_slow && !has_turn && self.waited < MOST_WAITED {
            self.waited += 1;
            return places;
        }
        let begun = Instant::now();
        self.waited = 0;
        let figures = self.figures(lab, theme::palette(look.dark), size);
        let style = theme::figure_style(look.dark, look.fallback);
        for (picture, mut figure) in self.pictures.iter_mut().zip(figures) {
            picture.canvas.camera.look_at(&mut figure);
            picture.scene = layout(&figure, size, &style);
            (picture.figure, picture.of, picture.size) = (figure, of, size);
        }
        *spent += begun.elapsed();
        places
    }

    /// A number for all that its pictures may show: another one where they are to be drawn anew.
    fn shown_state(&self, lab: &Lab, look: Look, size: [f32; 2]) -> Option<u64> {
        let run = lab.run()?;
        // A panel that asks nothing draws the history of the run; the others draw answers.
        let analyzes = !self.analyses(lab).is_empty();
        let is_history = self.panel.needs(&run.info.net, &lab.selection).is_empty() && !analyzes;
        let mut state = DefaultHasher::new();
        (lab.revision, look.revision, look.dark, lab.current).hash(&mut state);
        is_history.then_some(lab.news).hash(&mut state);
        analyzes.then_some(lab.analyses.revision).hash(&mut state);
        size.map(f32::to_bits).hash(&mut state);
        for camera in self.pictures.iter().map(|picture| &picture.canvas.camera) {
            (camera.zoom.to_bits(), camera.shift.map(f64::to_bits)).hash(&mut state);
        }
        Some(state.finish().max(1))
    }

    /// Whether what it is compared with is about to answer: until then the picture that is there stays.
    fn waits_for_other(&self, lab: &Lab) -> bool {
        let subject = lab.comparison.of_kind(self.kind);
        let other = subject.and_then(|subject| lab.comparison.other(subject));
        other.is_some_and(|other| !other.is_about(&lab.prompt)) && lab.examination.is_busy()
    }

    fn figures(&mut self, lab: &Lab, palette: Palette, size: [f32; 2]) -> Vec<Figure> {
        let Some(run) = lab.run() else { return Vec::new() };
        let runs = lab.recordings();
        let beside = lab.beside(self.panel.as_ref());
        let view = View {
            net: &run.info.net,
            vocab: &run.info.vocab,
            roles: run.info.roles,
            runs: &runs,
            sweep: lab.sweep.as_deref(),
            step: lab.step,
            live: lab.training().is_some_and(|t| !t.gone),
            readings: self.readings(lab, run),
            before: lab.before_edit.as_deref(),
            beside: &beside,
            against: None,
            failure: lab.failure.as_deref(),
            analyzed: &lab.analyses.analyzed,
            selection: if self.is_behind(lab, run) { lab.answered_for() } else { &lab.selection },
            palette,
            size,
        };
        match lab.comparison.of_kind(self.kind) {
            None => vec![self.panel.next_figure(&view, &mut self.memory)],
            Some(subject) => self.compared(lab, view, subject),
        }
    }

    /// Whether what it draws is about another sequence than the one in view, which is not answered yet.
    fn is_behind(&self, lab: &Lab, run: &Run) -> bool {
        let asks = || !self.panel.needs(&run.info.net, &lab.selection).is_empty();
        lab.unanswered().is_some() && !self.draws_text() && asks()
    }

    fn draws_text(&self) -> bool {
        self.kind.name == tokens::KIND.name
    }

    /// The answers that it draws: the text alone while it is not answered, if it draws texts; where it asks for nothing but what comes layer by layer, those layers that have come.
    fn readings<'a>(&self, lab: &'a Lab, run: &Run) -> Option<&'a Readings> {
        let calls = || self.panel.needs(&run.info.net, &lab.selection);
        let comes = |part: &&Readings| {
            let calls = calls();
            !calls.is_empty() && calls.iter().all(|call| part.get(call).is_some())
        };
        let text = lab.unanswered().filter(|_| self.draws_text());
        lab.arriving.as_deref().filter(comes).or(text).or(lab.readings.as_deref())
    }

    /// The figures of the view beside those of what it is compared with.
    fn compared(&self, lab: &Lab, view: View<'_>, subject: &Subject) -> Vec<Figure> {
        let gone = "The run that this was compared with is no longer in the window.";
        let Some(other) = lab.compared(subject) else { return vec![sentence(gone)] };
        let runs = lab.recordings_from(other.index);
        let b = View {
            net: &other.run.info.net,
            vocab: &other.run.info.vocab,
            roles: other.run.info.roles,
            runs: &runs,
            step: other.step,
            live: false,
            readings: other.readings.map(|readings| &**readings),
            before: None,
            beside: &[],
            failure: other.failure,
            analyzed: &other.analyzed,
            selection: &other.selection,
            ..view
        };
        let a = View { readings: other.beside.map(|beside| &**beside).or(view.readings), ..view };
        compare::figures(self.kind, self.panel.as_ref(), [&a, &b], lab.comparison.showing)
    }
}

/// Parts of a room in rows and columns, with a little air between them.
fn split(room: Rect, [rows, columns]: [usize; 2]) -> Vec<Rect> {
    const AIR: f32 = 6.0;
    let part = |length: f32, count: usize| {
        let air = AIR * (count - 1) as f32;
        ((length - air) / count as f32).max(1.0)
    };
    let size = vec2(part(room.width(), columns), part(room.height(), rows));
    let at = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        room.min + vec2(column as f32 * (size.x + AIR), row as f32 * (size.y + AIR))
    };
    (0..rows * columns).map(|index| Rect::from_min_size(at(index), size)).collect()
}

/// A run of the list that was let go over a panel is compared with the one in view.
fn dropped(ui: &Ui, rect: Rect) -> Option<Action> {
    let at = ui.input(|i| i.pointer.interact_pos().filter(|_| i.pointer.any_released()))?;
    let folder = rect.contains(at).then(|| DragAndDrop::take_payload::<PathBuf>(ui.ctx()))??;
    Some(Action::CompareRuns { a: None, b: folder.as_ref().clone() })
}

/// What is wanted of a subject, among all that is.
fn wanted_of<'a>(all: &'a mut Vec<Wanted>, subject: &Subject) -> &'a mut Wanted {
    let at = all.iter().position(|wanted| wanted.subject == *subject).unwrap_or(all.len());
    if at == all.len() {
        all.push(Wanted { subject: subject.clone(), calls: Vec::new(), analyses: Vec::new() });
    }
    &mut all[at]
}

fn add_new(all: &mut Vec<MeasurementCall>, more: impl IntoIterator<Item = MeasurementCall>) {
    for call in more {
        if !all.contains(&call) {
            all.push(call);
        }
    }
}

fn scrolled(ui: &mut Ui, inside: impl FnOnce(&mut Ui) -> Vec<Action>) -> Vec<Action> {
    ScrollArea::vertical().auto_shrink(false).show(ui, inside).inner
}
