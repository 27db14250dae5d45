//! What lies on the desk: the panels with their settings, their last pictures, and the forms.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use egui::emath::GuiRounding as _;
use egui::{Frame, Margin, Rect, ScrollArea, Ui, vec2};

use crate::export::plate::Plate;
use crate::export::sheet::PanelSpec;
use crate::figure::Figure;
use crate::figure::fallback::Fallback;
use crate::figure::layout::layout;
use crate::figure::scene::Scene;
use crate::panel::{self, Palette, Panel, View};
use crate::record::error::{Error, Result};
use crate::record::knobs;
use crate::record::question::ProbeCall;

use super::action::Action;
use super::ask::EFFECT;
use super::form::Form;
use super::library::Shelf;
use super::paint::{Canvas, UNITS_PER_POINT};
use super::state::Lab;
use super::studio::PanelMenu;
use super::surgery::Surgery;
use super::tokens::Editor;
use super::tree::Gardener;
use super::{curves, form, gates, jobs, paint, patching, plates, readers, sweep, theme, timeline};

/// Panels, pictures and forms between frames.
pub struct Desk {
    panels: Vec<(&'static str, Box<dyn Panel>)>,
    pictures: BTreeMap<String, Picture>,
    form: Form,
    pub surgery: Surgery,
    patching: patching::Row,
    pub editor: Editor,
    gardener: Gardener,
    /// Kinds that were drawn in the last frame: only they are asked for.
    visible: Vec<String>,
    /// Where figures were drawn in the last frame, in screen units, to whole pixels.
    pub papers: Vec<Rect>,
    dark: bool,
    fallback: Fallback,
    /// Counts changes to settings of panels.
    settings: u64,
    /// The panel whose settings are shown, and where they were asked for.
    pub open_settings: Option<(String, egui::Pos2)>,
    pub actions: Vec<Action>,
    /// The menu of the panel that was right-clicked.
    pub menu: PanelMenu,
}

/// The last picture of a panel, redrawn only when something it shows has changed.
#[derive(Default)]
struct Picture {
    of: u64,
    figure: Figure,
    scene: Scene,
    canvas: Canvas,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            panels: panel::ALL.iter().map(|entry| (entry.name, (entry.make)())).collect(),
            pictures: BTreeMap::new(),
            form: Form::default(),
            surgery: Surgery::default(),
            patching: patching::Row::default(),
            editor: Editor::default(),
            gardener: Gardener::default(),
            visible: Vec::new(),
            papers: Vec::new(),
            dark: false,
            fallback: Fallback::NONE,
            settings: 0,
            open_settings: None,
            actions: Vec::new(),
            menu: PanelMenu::default(),
        }
    }

    /// Settings of all panels as TOML, by kind.
    pub fn settings(&mut self) -> Vec<(String, String)> {
        let text = |panel: &mut Box<dyn Panel>| knobs::to_table(panel.as_mut()).to_string();
        self.panels.iter_mut().map(|(kind, panel)| ((*kind).to_owned(), text(panel))).collect()
    }

    /// Takes settings that were kept; what no longer fits is left at its default.
    pub fn restore(&mut self, kept: &[(String, String)]) {
        for (kind, text) in kept {
            let Some((_, panel)) = self.panels.iter_mut().find(|(k, _)| k == kind) else {
                continue;
            };
            let Ok(table) = text.parse::<toml::Table>() else { continue };
            for (name, value) in &table {
                let _ = knobs::set(panel.as_mut(), "", name, value);
            }
        }
    }

    /// Draws figures with other fonts behind our own.
    pub fn take_fonts(&mut self, fallback: Fallback) {
        self.fallback = fallback;
        self.settings += 1;
    }

    /// Draws everything anew: another window knows no texture of the one before.
    pub fn forget_pictures(&mut self) {
        self.pictures.clear();
    }

    /// Whether a text is being written where it can be seen.
    pub fn has_open_editor(&self) -> bool {
        self.editor.is_open() && self.visible.iter().any(|kind| kind == "tokens")
    }

    /// A new frame begins.
    pub fn begin(&mut self, dark: bool) {
        self.visible.clear();
        self.papers.clear();
        self.dark = dark;
    }

    /// What the panels that were drawn need to know.
    pub fn calls(&self, lab: &Lab) -> Vec<ProbeCall> {
        let Some(run) = lab.run() else { return Vec::new() };
        let mut calls: Vec<ProbeCall> = Vec::new();
        for (kind, panel) in &self.panels {
            if self.visible.iter().any(|v| v == kind) {
                for call in panel.needs(&run.bench.net, &lab.selection) {
                    if !calls.contains(&call) {
                        calls.push(call);
                    }
                }
            }
        }
        if self.visible.iter().any(|v| v == "surgery") {
            calls.push(ProbeCall::new(EFFECT));
        }
        calls
    }

    /// The long questions of the panels that were drawn.
    pub fn inquiries(&self, lab: &Lab) -> Vec<ProbeCall> {
        let Some(run) = lab.run() else { return Vec::new() };
        let mut calls: Vec<ProbeCall> = Vec::new();
        let visible = self.panels.iter().filter(|(kind, _)| self.visible.iter().any(|v| v == kind));
        for call in visible.flat_map(|(_, p)| p.inquiries(&run.bench.net, &lab.selection)) {
            if !calls.contains(&call) {
                calls.push(call);
            }
        }
        calls
    }

    /// Draws the panel of a kind into the room that is left.
    pub fn panel(&mut self, ui: &mut Ui, kind: &str, lab: &mut Lab, shelf: &mut Shelf) {
        self.visible.push(kind.to_owned());
        let margin = Margin::symmetric(6, 4);
        let drawn = Frame::new().inner_margin(margin).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            match kind {
                "experiment" => scrolled(ui, |ui| {
                    let actions = form::experiment(ui, lab, &mut self.form);
                    self.actions.extend(actions);
                }),
                "surgery" => scrolled(ui, |ui| {
                    let actions = self.surgery.ui(ui, lab);
                    self.actions.extend(actions);
                }),
                "runs" => {
                    let actions = shelf.ui(ui, &lab.folders());
                    self.actions.extend(actions);
                }
                _ => self.figure_panel(ui, kind, lab),
            }
        });
        if super::action::is_figure(kind) {
            let clicked = ui.input(|i| i.pointer.secondary_clicked());
            let at = ui.input(|i| i.pointer.interact_pos());
            if let Some(at) = at.filter(|at| clicked && drawn.response.rect.contains(*at)) {
                self.menu.open(kind, at);
            }
            self.papers.push(drawn.response.rect.round_to_pixels(ui.pixels_per_point()));
        }
    }

    fn figure_panel(&mut self, ui: &mut Ui, kind: &str, lab: &Lab) {
        match kind {
            "tokens" => {
                let actions = self.editor.ui(ui, lab);
                self.actions.extend(actions);
            }
            "timeline" => self.actions.extend(timeline::controls(ui, lab)),
            "sweep" => self.sweep_controls(ui, lab),
            "tree" => {
                let actions = self.gardener.ui(ui, lab);
                self.actions.extend(actions);
            }
            "gating" => self.actions.extend(gates::controls(ui, lab)),
            _ => {}
        }
        self.long_question(ui, kind, lab);
        let room = ui.available_rect_before_wrap();
        if lab.run().is_none() {
            ui.allocate_rect(room, egui::Sense::hover());
            return paint::sentence(
                ui,
                room,
                "No run is in view: start an experiment or open a run.",
            );
        }
        if room.width() < 30.0 || room.height() < 20.0 {
            return;
        }
        self.redraw(kind, lab, room);
        let Some(picture) = self.pictures.get_mut(kind) else { return };
        if let Some(sentence) = &picture.figure.empty {
            let response = ui.allocate_rect(room, egui::Sense::hover());
            response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Label, true, sentence.as_str())
            });
            return paint::sentence(ui, room, sentence);
        }
        if kind == "curves" {
            return curves::show(ui, room, &picture.figure, lab.step);
        }
        let name = super::dock::title(kind);
        let size = vec2(picture.scene.width, picture.scene.height) * UNITS_PER_POINT;
        let place = Rect::from_min_size(room.min, size);
        let actions = paint::scene(ui, place, &picture.scene, &mut picture.canvas, name);
        self.actions.extend(actions);
        if kind == "sweep"
            && let Some(open) = lab.sweep.as_deref()
        {
            self.actions.extend(sweep::lines(ui, place, &picture.figure, &picture.scene, open));
        }
        if kind == "timeline" {
            let actions = timeline::track(ui, place, &picture.figure, &picture.scene, lab);
            self.actions.extend(actions);
        }
    }

    /// Which numbers of the sweep are drawn, above it.
    fn sweep_controls(&mut self, ui: &mut Ui, lab: &Lab) {
        let Some(open) = lab.sweep.as_deref() else { return };
        let Some((_, panel)) = self.panels.iter_mut().find(|(kind, _)| *kind == "sweep") else {
            return;
        };
        let (changed, actions) = sweep::controls(ui, panel.as_mut(), open);
        self.settings += u64::from(changed);
        self.actions.extend(actions);
    }

    /// How far the long question of a panel has come.
    fn long_question(&mut self, ui: &mut Ui, kind: &str, lab: &Lab) {
        let Some((_, panel)) = self.panels.iter_mut().find(|(k, _)| *k == kind) else { return };
        let Some(run) = lab.run() else { return };
        let calls = panel.inquiries(&run.bench.net, &lab.selection);
        if calls.is_empty() {
            return;
        }
        let (row, mut changed) = (&mut self.patching, false);
        ui.horizontal_wrapped(|ui| {
            if kind == "patching" {
                changed |= row.ui(ui, panel.as_mut(), lab);
            }
            if kind == readers::KIND {
                changed |= readers::row(ui, panel.as_mut(), lab);
                self.actions.extend(readers::keep(ui, lab, &calls));
            }
            self.actions.extend(jobs::controls(ui, lab, &calls));
        });
        if kind == "patching" {
            changed |= row.fields(ui, panel.as_mut(), lab);
        }
        self.settings += u64::from(changed);
    }

    /// The settings of a panel as a form in a window of their own, while they are open.
    pub fn settings_window(&mut self, ctx: &egui::Context) {
        let Some((kind, at)) = self.open_settings.clone() else { return };
        let Some((_, panel)) = self.panels.iter_mut().find(|(k, _)| *k == kind) else { return };
        let (mut open, mut changed) = (true, false);
        egui::Window::new(format!("Settings of {}", super::dock::title(&kind)))
            .id(egui::Id::unique("panel settings").with(&kind))
            .pivot(egui::Align2::RIGHT_TOP)
            .default_pos(at + vec2(20.0, 16.0))
            .collapsible(false)
            .resizable(false)
            .default_width(380.0)
            .open(&mut open)
            .show(ctx, |ui| {
                ui.add(egui::Label::new(egui::RichText::new(panel.about()).weak()).wrap());
                changed = super::scroll::up_to(ui, 560.0, |ui| {
                    form::knobs(ui, panel.as_mut(), None, None)
                });
                if ui.button("Back to the defaults").clicked()
                    && let Some(entry) = panel::ALL.iter().find(|entry| entry.name == kind)
                {
                    *panel = (entry.make)();
                    changed = true;
                }
            });
        self.settings += u64::from(changed);
        if !open || ctx.input(|i| i.key_pressed(egui::Key::Escape)) {
            self.open_settings = None;
        }
    }

    /// Asks the panel for its figure if anything it may show has changed.
    fn redraw(&mut self, kind: &str, lab: &Lab, room: Rect) {
        let size: [f32; 2] = (room.size() / UNITS_PER_POINT).into();
        let Some((_, panel)) = self.panels.iter().find(|(k, _)| *k == kind) else { return };
        let Some(run) = lab.run() else { return };
        // A panel that asks nothing draws the history of the run; the others draw answers.
        let inquires = !panel.inquiries(&run.bench.net, &lab.selection).is_empty();
        let is_history = panel.needs(&run.bench.net, &lab.selection).is_empty() && !inquires;
        let mut state = DefaultHasher::new();
        (lab.revision, self.settings, self.dark, lab.current).hash(&mut state);
        is_history.then_some(lab.news).hash(&mut state);
        inquires.then_some(lab.jobs.revision).hash(&mut state);
        size.map(f32::to_bits).hash(&mut state);
        let picture = self.pictures.entry(kind.to_owned()).or_default();
        let camera = picture.canvas.camera;
        (camera.zoom.to_bits(), camera.shift.map(f64::to_bits)).hash(&mut state);
        let of = state.finish().max(1);
        if picture.of == of {
            return;
        }
        let palette = theme::palette(self.dark);
        let Some(mut figure) = figure(panel.as_ref(), lab, palette, size) else { return };
        camera.look_at(&mut figure);
        picture.scene = layout(&figure, size, &theme::figure_style(self.dark, self.fallback));
        picture.figure = figure;
        picture.of = of;
    }

    /// What a panel shows now, for files and figure sheets, and height over width of its picture on the screen.
    ///
    /// # Errors
    /// When there is no such panel, or no run.
    pub fn plate(&mut self, kind: &str, lab: &Lab) -> Result<(PanelSpec, Plate, f32)> {
        let (_, panel) = self
            .panels
            .iter_mut()
            .find(|(k, _)| *k == kind)
            .ok_or_else(|| Error::usage(format!("the panel {kind} is no figure")))?;
        let picture = self.pictures.get(kind);
        let camera = picture.map(|p| p.canvas.camera).unwrap_or_default();
        let seen = picture.map_or([4.0, 3.0], |p| [p.scene.width, p.scene.height]);
        let aspect = (seen[1] / seen[0].max(1.0)).clamp(0.15, 1.5);
        let (spec, plate) = plates::of(kind, &mut **panel, lab, camera)?;
        Ok((spec, plate, aspect))
    }
}

fn figure(panel: &dyn Panel, lab: &Lab, palette: Palette, size: [f32; 2]) -> Option<Figure> {
    let run = lab.run()?;
    Some(panel.figure(&View {
        net: &run.bench.net,
        vocab: &run.bench.vocab,
        roles: run.bench.roles,
        runs: &lab.recordings(),
        sweep: lab.sweep.as_deref(),
        step: lab.step,
        live: lab.training().is_some_and(|t| !t.gone),
        readings: lab.readings.as_deref(),
        failure: lab.failure.as_deref(),
        inquired: &lab.jobs.inquired,
        selection: &lab.selection,
        palette,
        size,
    }))
}

fn scrolled(ui: &mut Ui, inside: impl FnOnce(&mut Ui)) {
    ScrollArea::vertical().auto_shrink(false).show(ui, inside);
}
