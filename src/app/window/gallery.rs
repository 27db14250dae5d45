//! The gallery of experiments: a card for each, with a picture of what it shows, and a field to search them.

use std::collections::{BTreeMap, BTreeSet};

use egui::{
    Align, ColorImage, Context, Frame, Id, Image, Layout, Modal, RichText, ScrollArea, TextEdit,
    TextureHandle, TextureOptions, Ui, vec2,
};

use crate::app::commands::{Action, Command};
use crate::app::widgets::scroll;
use crate::run::gallery::{Card, cards};

/// Points of a picture on a card, and of a card.
const STILL: [f32; 2] = [256.0, 160.0];
const CARD: [f32; 2] = [STILL[0], STILL[1] + 184.0];
/// Points of its foot: the time and two buttons.
const FOOT: f32 = 44.0;
const GAP: f32 = 14.0;
/// Points that a card needs around what stands on it.
const INSIDE: f32 = 8.0;
/// Lines of the title, of the source and of what is said.
const TITLE_ROWS: usize = 2;
const SOURCE_ROWS: usize = 2;
const ABOUT_ROWS: usize = 4;

/// What is shown and searched for, while it is open.
#[derive(Default)]
pub struct Gallery {
    pub open: bool,
    search: String,
    cards: Vec<Card>,
    pictures: BTreeMap<&'static str, TextureHandle>,
    /// Seconds on this machine until the phenomenon is there, of those that were timed.
    here: BTreeMap<&'static str, f64>,
    /// Those that were timed, or are being.
    timed: BTreeSet<&'static str>,
    in_view: Vec<&'static str>,
}

impl Gallery {
    pub fn show(&mut self) {
        if self.cards.is_empty() {
            // Documents that come with the program are read by tests.
            self.cards = cards().unwrap_or_default();
        }
        self.search.clear();
        self.open = true;
    }

    /// A card in view that is to be timed next; it counts as timed from now on.
    pub fn next_to_time(&mut self) -> Option<&'static str> {
        let waits = |name: &&&'static str| !self.timed.contains(**name);
        let next = self.in_view.iter().find(waits).copied().filter(|_| self.open)?;
        self.timed.insert(next);
        Some(next)
    }

    /// How long one takes here.
    pub fn took(&mut self, name: &'static str, seconds: Option<f64>) {
        self.here.extend(seconds.map(|seconds| (name, seconds)));
    }

    /// What was chosen, if something was.
    pub fn ui(&mut self, ctx: &Context) -> Option<Action> {
        if !self.open {
            return None;
        }
        let room = ctx.content_rect().size() - vec2(40.0, 40.0);
        let columns = ((room.x + GAP) / (CARD[0] + 2.0 * INSIDE + GAP)).floor().clamp(1.0, 5.0);
        let mut chosen = None;
        let modal = Modal::new(Id::unique("gallery")).show(ctx, |ui| {
            ui.set_width(columns * (CARD[0] + 2.0 * INSIDE + GAP) + GAP);
            self.head(ui);
            let height = scroll::room(ui, room.y);
            chosen = self.found(ui, columns, height);
            if ui.button("Close").clicked() {
                self.open = false;
            }
        });
        if chosen.is_some() || modal.should_close() {
            self.open = false;
        }
        chosen
    }

    fn head(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.heading("Experiments");
            let hint = "Search: a word of the title, the paper, what it teaches";
            let edit = TextEdit::singleline(&mut self.search).hint_text(hint);
            let edit = ui.add(edit.desired_width(f32::INFINITY));
            edit.accessible_name("Search experiments").request_focus();
        });
        ui.separator();
    }

    fn found(&mut self, ui: &mut Ui, columns: f32, height: f32) -> Option<Action> {
        let cards = std::mem::take(&mut self.cards);
        let found: Vec<&Card> =
            cards.iter().filter(|card| card.is_found_by(&self.search)).collect();
        let columns = crate::base::convert::index(columns);
        let row = CARD[1] + 2.0 * INSIDE + GAP;
        self.in_view.clear();
        let area = ScrollArea::vertical().max_height(height).min_scrolled_height(height);
        let area = area.auto_shrink([false, false]).id_salt(&self.search);
        ui.spacing_mut().item_spacing = vec2(GAP, GAP);
        let shown = area.show_rows(ui, row - GAP, found.len().div_ceil(columns), |ui, rows| {
            if found.is_empty() {
                ui.weak("No experiment has all these words.");
            }
            let mut chosen = None;
            for row in rows {
                ui.horizontal_top(|ui| {
                    for card in found.iter().skip(row * columns).take(columns) {
                        chosen = self.card(ui, card).or(chosen.take());
                    }
                });
            }
            chosen
        });
        self.cards = cards;
        shown.inner
    }

    fn card(&mut self, ui: &mut Ui, card: &Card) -> Option<Action> {
        self.in_view.push(card.name);
        let frame = Frame::group(ui.style()).inner_margin(INSIDE);
        let whole = vec2(CARD[0] + 2.0 * INSIDE, CARD[1] + 2.0 * INSIDE);
        let down = Layout::top_down(Align::Min);
        let card_of = |ui: &mut Ui| {
            ui.spacing_mut().item_spacing = vec2(8.0, 3.0);
            let words = vec2(CARD[0], CARD[1] - FOOT);
            ui.allocate_ui_with_layout(words, down, |ui| {
                ui.set_min_size(words);
                self.still(ui, card);
                rows(ui, &RichText::new(&card.title).strong(), TITLE_ROWS);
                rows(ui, &RichText::new(&card.source).small(), SOURCE_ROWS);
                rows(ui, &RichText::new(&card.about).weak(), ABOUT_ROWS);
            });
            self.foot(ui, card)
        };
        ui.allocate_ui_with_layout(whole, down, |ui| frame.show(ui, card_of).inner).inner
    }

    fn still(&mut self, ui: &mut Ui, card: &Card) {
        if !self.pictures.contains_key(card.name)
            && let Some(image) = decoded(card.still)
        {
            let texture = ui.ctx().load_texture(card.name, image, TextureOptions::LINEAR);
            self.pictures.insert(card.name, texture);
        }
        if let Some(texture) = self.pictures.get(card.name) {
            let image = Image::from_texture(texture).fit_to_exact_size(STILL.into());
            ui.add(image.maintain_aspect_ratio(true).alt_text(&card.title));
        }
    }

    fn foot(&self, ui: &mut Ui, card: &Card) -> Option<Action> {
        let here = self.here.get(card.name).copied();
        ui.label(RichText::new(card.time(here)).small())
            .on_hover_text("How long it trains until what it is about can be seen.");
        let buttons = ui.horizontal(|ui| {
            let start = ui.button("Start").on_hover_text("Train it in this window.");
            let lessons = format!("Lessons ({})", card.lessons);
            let tour =
                ui.button(lessons).on_hover_text("Train it, and be led through what it shows.");
            let command = if start.clicked() {
                Some(Command::Start(card.name))
            } else {
                tour.clicked().then_some(Command::Tour(card.name))
            };
            command.map(Action::Do)
        });
        buttons.inner
    }
}

/// A text in at most so many lines; whole on hover.
fn rows(ui: &mut Ui, text: &RichText, most: usize) {
    let mut job = egui::text::LayoutJob::default();
    text.clone().append_to(&mut job, ui.style(), egui::FontSelection::Default, Align::Min);
    job.wrap =
        egui::text::TextWrapping { max_rows: most, max_width: CARD[0], ..Default::default() };
    let galley = ui.painter().layout_job(job);
    let label = ui.label(galley.clone());
    if galley.elided {
        label.on_hover_text(text.text());
    }
}

fn decoded(png: &[u8]) -> Option<ColorImage> {
    let icon = eframe::icon_data::from_png_bytes(png).ok()?;
    let size = [icon.width as usize, icon.height as usize];
    Some(ColorImage::from_rgba_unmultiplied(size, &icon.rgba))
}
