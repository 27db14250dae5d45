//! Figures on their way to a file: one panel, or a sheet of several, seen at true size while their page is chosen.

use std::sync::Arc;

use egui::util::undoer::Undoer;
use egui::{Align2, Color32, ComboBox, Context, Id, Response, ScrollArea, TextEdit, Ui, vec2};

use crate::base::convert::{self, narrow};
use crate::base::error::Result;
use crate::base::number::{Bounds, widened};
use crate::export::drawn_panel::{DrawnPanel, arrange, compose};
use crate::export::sheet::{BUILTIN, PageSpec, PanelSpec, Sheet};
use crate::figure::cloud::flat;
use crate::figure::color::ColorMap;
use crate::figure::composite::Composite;
use crate::figure::fallback::Fallback;
use crate::figure::font::Family;
use crate::figure::grey;
use crate::figure::page::Page;
use crate::figure::preset::Preset;
use crate::figure::scene::MM_PER_POINT;
use crate::figure::scene::Scene;

use super::snapshot::PanelSnapshot;
use crate::app::canvas::UNITS_PER_POINT;
use crate::app::canvas::paint::{self, Canvas};
use crate::app::commands::{CopyAs, ExportCommand};
use crate::app::lab::panels::Panels;
use crate::app::widgets::entry::{self, Pull};

/// A sheet with what its panels draw, as it is put together in the window.
#[derive(Clone, Default)]
pub struct Doc {
    pub sheet: Sheet,
    /// One for each panel.
    pub snapshots: Vec<Arc<PanelSnapshot>>,
}

impl PartialEq for Doc {
    fn eq(&self, other: &Self) -> bool {
        let same = self.snapshots.iter().zip(&other.snapshots).all(|(a, b)| Arc::ptr_eq(a, b));
        self.sheet == other.sheet && self.snapshots.len() == other.snapshots.len() && same
    }
}

impl Doc {
    /// A page of one panel, as wide as a page of two columns and in the proportions of the screen.
    pub fn one(spec: PanelSpec, snapshot: PanelSnapshot, aspect: f32) -> Self {
        let height = format!("{aspect:.3}");
        let page = PageSpec { width: "page".to_owned(), height, ..PageSpec::default() };
        Self { sheet: Sheet::one(spec, page), snapshots: vec![Arc::new(snapshot)] }
    }

    /// What is drawn, and the page with its provenance. Reads weights: not for the window's thread.
    pub fn composed(&self) -> Result<(Composite, Page)> {
        let drawn_panels = self.snapshots.iter().map(|snapshot| snapshot.identified());
        compose(&self.sheet, &drawn_panels.collect::<Vec<_>>())
    }

    /// The page as it will look, and what a file of it hides: a print without colours, or a font without a glyph.
    fn preview(&self) -> Result<(Scene, Vec<String>)> {
        let page = self.sheet.page()?;
        let drawn_panels: Vec<DrawnPanel> =
            self.snapshots.iter().map(|snapshot| snapshot.drawn_panel.clone()).collect();
        let drawing = arrange(&self.sheet, &drawn_panels, &page)?;
        let scene = page.scene(&drawing);
        let greys = drawing.figures().flat_map(|(_, figure)| grey::check(figure));
        let hidden = scene.beyond().sentence().into_iter().chain(greys).collect();
        Ok((flat(scene), hidden))
    }
}

/// A window over the panels in which a page is chosen and seen.
#[derive(Default)]
pub struct FigureEditor {
    pub open: bool,
    pub doc: Doc,
    /// Whether several panels are put together: then there is a list of them.
    pub is_sheet: bool,
    /// Fonts for the signs that our own lack.
    pub fallback: Fallback,
    undo: Undoer<Doc>,
    /// Parts of the true size at which the page is shown.
    zoom: Zoom,
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Zoom {
    /// As large as there is room.
    #[default]
    Fit,
    /// A millimetre of the page is one of a screen with 96 dots to the inch.
    True,
}

/// The last preview.
struct Seen {
    of: Doc,
    scene: Result<Scene>,
    hidden: Vec<String>,
    canvas: Canvas,
}

impl FigureEditor {
    pub fn of_sheet() -> Self {
        Self { is_sheet: true, ..Self::default() }
    }

    /// Shows a page.
    pub fn show(&mut self, doc: Doc) {
        (self.doc, self.open) = (doc, true);
    }

    /// Puts one more panel on the sheet.
    pub fn add(&mut self, spec: PanelSpec, snapshot: PanelSnapshot) {
        self.doc.sheet.panels.push(spec);
        self.doc.snapshots.push(Arc::new(snapshot));
    }

    /// Draws it while it is open; what was asked for, if anything.
    pub fn ui(&mut self, ctx: &Context) -> Option<ExportCommand> {
        if self.is_sheet {
            self.undo.feed_state(ctx.input(|i| i.time), &self.doc);
        }
        if !self.open {
            return None;
        }
        self.doc.sheet.page.fallback = self.fallback;
        let (mut open, mut command) = (true, None);
        let title = if self.is_sheet { "Figure sheet" } else { "Export figure" };
        let room = ctx.content_rect().size() - vec2(80.0, 90.0);
        egui::Window::new(title)
            .id(Id::unique("studio").with(self.is_sheet))
            .open(&mut open)
            .collapsible(false)
            .pivot(Align2::CENTER_CENTER)
            .default_pos(ctx.content_rect().center())
            .default_size(vec2(room.x.min(1080.0), room.y.min(720.0)))
            .show(ctx, |ui| command = self.inside(ui));
        self.open = open && !(ctx.input(|i| i.key_pressed(egui::Key::Escape)) && command.is_none());
        command
    }

    fn inside(&mut self, ui: &mut Ui) -> Option<ExportCommand> {
        let mut command = None;
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(300.0);
                ScrollArea::vertical().id_salt("controls").auto_shrink([false, false]).show(
                    ui,
                    |ui| {
                        if self.is_sheet {
                            command = command.take().or(self.sheet_controls(ui));
                            ui.separator();
                        }
                        page_controls(ui, &mut self.doc.sheet.page);
                        command = command.take().or(font_controls(ui, self.fallback));
                        ui.separator();
                        command = command.take().or(self.buttons(ui));
                    },
                );
            });
            ui.separator();
            ui.vertical(|ui| self.page(ui));
        });
        command
    }

    fn buttons(&mut self, ui: &mut Ui) -> Option<ExportCommand> {
        let mut command = None;
        let ready = !self.doc.snapshots.is_empty();
        ui.add_enabled_ui(ready, |ui| {
            let save = ui.button("Save…").on_hover_text(
                "PDF, SVG, PNG or TeX, by the ending of the name. The numbers drawn (.csv, .npz) and where they come from (.json) go beside it.",
            );
            if save.clicked() {
                command = Some(ExportCommand::Save);
            }
            ui.horizontal_wrapped(|ui| {
                ui.label("Copy");
                for (text, help, what) in [
                    ("image", "The page as pixels", CopyAs::Image),
                    ("SVG", "The page as the text of an SVG file", CopyAs::Svg),
                    ("numbers", "The numbers drawn, as CSV", CopyAs::Numbers),
                ] {
                    if ui.button(text).on_hover_text(help).clicked() {
                        command = Some(ExportCommand::Copy(what));
                    }
                }
            });
        });
        command
    }

    /// The panels of a sheet, their order, and what they share.
    fn sheet_controls(&mut self, ui: &mut Ui) -> Option<ExportCommand> {
        let mut command = None;
        ui.horizontal_wrapped(|ui| {
            let undo = self.undo.has_undo(&self.doc);
            if ui.add_enabled(undo, egui::Button::new("Undo")).clicked()
                && let Some(before) = self.undo.undo(&self.doc)
            {
                self.doc = before.clone();
            }
            let redo = self.undo.has_redo(&self.doc);
            if ui.add_enabled(redo, egui::Button::new("Redo")).clicked()
                && let Some(after) = self.undo.redo(&self.doc)
            {
                self.doc = after.clone();
            }
            ui.menu_button("Sheet", |ui| {
                for (name, text) in BUILTIN {
                    let about = Sheet::parse(text, name).map(|s| s.about).unwrap_or_default();
                    if ui.button(*name).on_hover_text(about).clicked() {
                        command = Some(ExportCommand::Builtin(name));
                    }
                }
                ui.separator();
                if ui.button("Open…").clicked() {
                    command = Some(ExportCommand::OpenSheet);
                }
                if ui.button("Save…").clicked() {
                    command = Some(ExportCommand::SaveSheet);
                }
                if ui.button("Empty it").clicked() {
                    self.doc = Doc::default();
                }
            });
        });
        let sheet = &mut self.doc.sheet;
        ui.add(TextEdit::singleline(&mut sheet.title).hint_text("Title of the page"))
            .accessible_name("Title of the page");
        self.panel_list(ui);
        let sheet = &mut self.doc.sheet;
        ui.horizontal_wrapped(|ui| {
            ui.label("Columns");
            let most = sheet.panels.len().max(1);
            whole(ui, &mut sheet.columns, (0, most), "")
                .on_hover_text("0: as many as make the page about square")
                .accessible_name("Columns");
            ui.label("Letters");
            choice(ui, "letters", &mut sheet.letters, &["lower", "upper", "none"], "lower");
        });
        for (what, text) in [("colors", "One colour scale"), ("legend", "One legend")] {
            let mut on = sheet.shares(what);
            if ui.checkbox(&mut on, text).changed() {
                sheet.share.retain(|s| s != what);
                if on {
                    sheet.share.push(what.to_owned());
                }
            }
        }
        command
    }

    fn panel_list(&mut self, ui: &mut Ui) {
        let (mut swap, mut remove) = (None, None);
        let count = self.doc.sheet.panels.len();
        if count == 0 {
            ui.weak("Nothing is on the sheet yet: right-click a panel and add it, or take one of the sheets above.");
        }
        for index in 0..count {
            let letter = self.doc.sheet.letters_of(index);
            let panel = &mut self.doc.sheet.panels[index];
            ui.horizontal(|ui| {
                let step = panel.step.map_or_else(String::new, |step| format!(", step {step}"));
                let show = panel.against.as_ref().map_or("", |against| &against.show);
                ui.strong(letter);
                ui.label(format!("{}{step} {show}", Panels::default().title(&panel.panel)));
            });
            ui.horizontal(|ui| {
                let mut title = panel.title.clone().unwrap_or_default();
                let edit = TextEdit::singleline(&mut title)
                    .hint_text("its own title")
                    .desired_width(150.0);
                if ui.add(edit).changed() {
                    panel.title = (!title.is_empty()).then_some(title);
                }
                let mut columns = panel.columns.unwrap_or(1);
                let wide = whole(ui, &mut columns, (1, 8), " ×").accessible_name("Columns taken");
                if wide.on_hover_text("Columns that it takes").changed() {
                    panel.columns = (columns > 1).then_some(columns);
                }
                if ui
                    .add_enabled(index > 0, egui::Button::new("↑"))
                    .on_hover_text("Earlier")
                    .clicked()
                {
                    swap = Some(index);
                }
                if ui.button("×").on_hover_text("Take it off the sheet").clicked() {
                    remove = Some(index);
                }
            });
        }
        if let Some(index) = swap {
            self.doc.sheet.panels.swap(index, index - 1);
            self.doc.snapshots.swap(index, index - 1);
        }
        if let Some(index) = remove {
            self.doc.sheet.panels.remove(index);
            self.doc.snapshots.remove(index);
        }
    }

    /// The page as it will be printed.
    fn page(&mut self, ui: &mut Ui) {
        if self.doc.snapshots.is_empty() {
            paint::sentence(ui, ui.available_rect_before_wrap(), "The page is empty.");
            return;
        }
        self.look();
        let Some(seen) = &mut self.seen else { return };
        ui.horizontal_wrapped(|ui| {
            ui.selectable_value(&mut self.zoom, Zoom::Fit, "Fit");
            ui.selectable_value(&mut self.zoom, Zoom::True, "True size")
                .on_hover_text("At 96 dots to the inch; the zoom of the window counts");
            if let Ok(scene) = &seen.scene {
                let mm = |points: f32| points * MM_PER_POINT;
                ui.weak(format!("{:.1} × {:.1} mm", mm(scene.width), mm(scene.height)));
            }
            for sentence in seen.hidden.iter().take(1) {
                ui.weak(sentence).on_hover_text(seen.hidden.join("\n"));
            }
        });
        let scene = match &seen.scene {
            Ok(scene) => scene,
            Err(error) => {
                paint::sentence(ui, ui.available_rect_before_wrap(), &error.message);
                return;
            }
        };
        let room = ui.available_size() - vec2(8.0, 8.0);
        let size = vec2(scene.width, scene.height) * UNITS_PER_POINT;
        let scale = match self.zoom {
            Zoom::True => 1.0,
            Zoom::Fit => (room.x / size.x).min(room.y / size.y).clamp(0.05, 4.0),
        };
        ScrollArea::both().id_salt("page").auto_shrink([false, false]).show(ui, |ui| {
            let (rect, _) = ui.allocate_exact_size(size * scale, egui::Sense::hover());
            let paper = scene.items.first().and_then(|item| {
                if let crate::figure::scene::Item::Rect { fill, .. } = item { *fill } else { None }
            });
            let paper = paper.map_or(Color32::WHITE, crate::app::canvas::theme::color32);
            ui.painter().rect_filled(rect, 0, paper);
            paint::still(ui, rect, scene, &mut seen.canvas, scale);
        });
    }

    /// Lays the page out again if anything has changed.
    fn look(&mut self) {
        if self.seen.as_ref().is_some_and(|seen| seen.of == self.doc) {
            return;
        }
        let (scene, hidden) = match self.doc.preview() {
            Ok((scene, hidden)) => (Ok(scene), hidden),
            Err(error) => (Err(error), Vec::new()),
        };
        let canvas = self.seen.take().map(|seen| seen.canvas).unwrap_or_default();
        self.seen = Some(Seen { of: self.doc.clone(), scene, hidden, canvas });
    }
}

/// Size and look of the page.
fn page_controls(ui: &mut Ui, page: &mut PageSpec) {
    let preset = page.preset().ok();
    egui::Grid::new("page").num_columns(2).show(ui, |ui| {
        ui.label("For");
        choice(ui, "venue", &mut page.preset, &Preset::names(), "plain");
        ui.end_row();
        ui.label("Width");
        let others = page.clone();
        let fits_wide = |text: &str| fits(PageSpec { width: text.to_owned(), ..others.clone() });
        entry::text(ui, &mut page.width, "89mm", 70.0, fits_wide)
            .on_hover_text("A length with its unit, or column or page of the venue")
            .accessible_name("Width");
        ui.end_row();
        ui.label("");
        ui.horizontal(|ui| {
            for word in ["column", "page"] {
                if ui.selectable_label(page.width == word, word).clicked() {
                    page.width = word.to_owned();
                }
            }
        });
        ui.end_row();
        ui.label("Height");
        let others = page.clone();
        let fits = |text: &str| fits(PageSpec { height: text.to_owned(), ..others.clone() });
        ui.horizontal(|ui| {
            entry::text(ui, &mut page.height, "0.75", 70.0, fits)
                .on_hover_text("A length with its unit, or a number of widths")
                .accessible_name("Height");
            if !page.height.trim().ends_with(char::is_alphabetic) {
                ui.weak("× width");
            }
        });
        ui.end_row();
        ui.label("Font");
        ui.horizontal(|ui| {
            choice(ui, "font", &mut page.font, Family::NAMES, "the venue's");
            let usual = preset.map_or(7.0, |p| p.text);
            size(ui, &mut page.text, usual, (4.0, 24.0), (0.1, " pt"))
                .on_hover_text("Size of text; tick labels follow in proportion")
                .accessible_name("Size of text");
        });
        ui.end_row();
        ui.label("Lines");
        size(ui, &mut page.line, 0.5, (0.1, 4.0), (0.02, " pt"))
            .on_hover_text("Of axes; those of the data follow in proportion")
            .accessible_name("Width of lines");
        ui.end_row();
        ui.label("Colours");
        let maps: Vec<&str> =
            ColorMap::ALL.iter().filter(|m| !m.is_diverging()).map(|m| m.name()).collect();
        choice(ui, "map", &mut page.map, &maps, "as in the panel");
        ui.end_row();
        ui.label("");
        ui.horizontal_wrapped(|ui| {
            ui.checkbox(&mut page.dark, "Dark");
            ui.checkbox(&mut page.grey, "Greys")
                .on_hover_text("As a printer without colours shows it");
            ui.checkbox(&mut page.hatched, "Hatch")
                .on_hover_text("Hatch what does not exist above the diagonal of an attention map");
        });
        ui.end_row();
        ui.label("Pixels");
        size(ui, &mut page.dpi, 300.0, (36.0, 1200.0), (5.0, " per inch"))
            .accessible_name("Pixels per inch");
        ui.end_row();
    });
}

/// Which fonts stand in for ours where they lack a sign.
fn font_controls(ui: &mut Ui, fallback: Fallback) -> Option<ExportCommand> {
    let mut command = None;
    let names = fallback.names();
    ui.horizontal_wrapped(|ui| {
        ui.label("Other scripts");
        if names.is_empty() {
            ui.weak("fonts of the system");
        } else {
            ui.weak(names.join(", "));
            if ui.button("×").on_hover_text("Back to the fonts of the system").clicked() {
                command = Some(ExportCommand::SystemFonts);
            }
        }
        let choose = ui.button("Choose font…");
        if choose.on_hover_text("A font file for characters that this font lacks").clicked() {
            command = Some(ExportCommand::ChooseFont);
        }
    });
    command
}

/// Whether there is such a page.
fn fits(page: PageSpec) -> Result<(), String> {
    Sheet { page, ..Sheet::default() }.page().map(|_| ()).map_err(|e| e.message)
}

/// A number of the page that the venue gives as long as nobody else does; how fast it is pulled, and its unit.
fn size(
    ui: &mut Ui,
    value: &mut Option<f32>,
    usual: f32,
    (low, high): (f64, f64),
    (speed, unit): (f64, &'static str),
) -> Response {
    let mut number = widened(value.unwrap_or(usual));
    let bounds = Bounds { low, high, whole: false };
    let response = entry::number(ui, &mut number, bounds, Pull::Field { speed, unit });
    if response.changed() {
        *value = Some(narrow(number));
    }
    response
}

fn whole(
    ui: &mut Ui,
    value: &mut usize,
    (least, most): (usize, usize),
    unit: &'static str,
) -> Response {
    let mut number = *value as f64;
    let bounds = Bounds { low: least as f64, high: most as f64, whole: true };
    let response = entry::number(ui, &mut number, bounds, Pull::Field { speed: 0.05, unit });
    *value = convert::index(number);
    response
}

/// One of some names; empty: what is said in words.
fn choice(ui: &mut Ui, id: &str, value: &mut String, names: &[&str], empty: &str) {
    let shown = if value.is_empty() { empty } else { value.as_str() };
    ComboBox::from_id_salt(id).selected_text(shown.to_owned()).show_ui(ui, |ui| {
        ui.selectable_value(value, String::new(), empty);
        for name in names.iter().filter(|name| **name != empty) {
            ui.selectable_value(value, (*name).to_owned(), *name);
        }
    });
}
