//! The legend of the curves in the window: ticks that hide a line, its value, its name. What the pointer is at is lit.

use egui::{Align2, Checkbox, ScrollArea, Sense, Ui, vec2};

use crate::app::canvas::theme::color32;
use crate::base::plain::Plain;
use crate::figure::{LegendEntry, Plot};
use crate::panel::columns;
use crate::panel::curves::{CHANCE, is_run};

/// Room for a value beside a plot: four digits and a sign.
const VALUE: f32 = 36.0;
/// Side of a tick.
const TICK: f32 = 10.0;
/// Height of an entry.
pub const ROW: f32 = 13.0;
/// Height of a row of runs, and the most rows before they scroll.
const RUN_ROW: f32 = 18.0;
const MOST_RUN_ROWS: f32 = 2.0;
/// Longest name of a run that is written out; pointing at it tells the whole.
const MOST_LETTERS: usize = 28;

/// What a hand did, and what it points at.
#[derive(Debug, Default, PartialEq)]
pub struct Done {
    /// Keys of the entries whose lines are lit in the next frame: of a column, of a run, of both.
    pub lit: Vec<String>,
    /// The key of an entry that was ticked, or no longer is.
    pub ticked: Option<String>,
}

/// Whether something with these keys is pale: others are lit.
pub fn is_pale(keys: &[&str], lit: &[String]) -> bool {
    !lit.iter().all(|key| keys.contains(&key.as_str()))
}

/// The name of an entry at full length.
fn name(entry: &LegendEntry) -> &str {
    if entry.name.is_empty() { &entry.text } else { &entry.name }
}

/// What pointing at an entry tells: its whole name, what is counted, and how to leave it out.
fn about(entry: &LegendEntry) -> String {
    let help = match entry.key.as_str() {
        CHANCE => {
            "Where a network would be that guesses among the possible answers alike: in a text all tokens, where a question is answered the answers that it has."
        }
        key if is_run(key) => "A run; the tick hides its lines.",
        key => columns::describe(key).1,
    };
    if help.is_empty() { name(entry).to_owned() } else { format!("{}\n{help}", name(entry)) }
}

fn is_beside(entry: &LegendEntry) -> bool {
    entry.is_line() && !is_run(&entry.key)
}

/// How many entries stand beside a plot.
pub fn entries_beside(plot: &Plot) -> usize {
    plot.legend.iter().filter(|entry| is_beside(entry)).count()
}

/// Every line of a plot with its tick, its colour and its value: beside the plot, where it covers nothing. The value comes
/// first, so that where there is no room it is the name that is cut. More of them than there is room for scroll.
pub fn beside(
    ui: &mut Ui,
    plot: &Plot,
    value: &dyn Fn(&str) -> Option<f64>,
    lit: &[String],
    done: &mut Done,
) {
    let room = ui.available_height();
    let scrolls = entries_beside(plot) as f32 * ROW > room;
    // No row is seen half.
    let height = if scrolls { (room / ROW).floor() * ROW } else { room };
    if scrolls {
        // Whoever scrolls is to see that there is more.
        ui.spacing_mut().scroll =
            egui::style::ScrollStyle { bar_width: 5.0, ..egui::style::ScrollStyle::solid() };
    }
    ScrollArea::vertical().max_height(height).auto_shrink(false).show(ui, |ui| {
        small(ui);
        for entry in plot.legend.iter().filter(|entry| is_beside(entry)) {
            let row = ui.horizontal(|ui| {
                tick(ui, entry, done);
                sample(ui, entry, 10.0);
                number(ui, value(name(entry)).filter(|_| !entry.hidden));
                let text = shortened(ui, &entry.text, ui.available_width());
                let label = egui::Label::new(words(ui, entry, &text, lit)).truncate();
                ui.add(label).on_hover_text(about(entry));
            });
            light(ui, row.response.rect, entry, done);
        }
    });
}

/// The height that [`runs`] takes in a width.
pub fn runs_height(ui: &Ui, entries: &[&LegendEntry], width: f32) -> f32 {
    if entries.is_empty() {
        return 0.0;
    }
    let font = egui::TextStyle::Small.resolve(ui.style());
    let wide = |entry: &&LegendEntry| {
        let text = cut(&entry.text);
        let galley = ui.painter().layout_no_wrap(text, font.clone(), egui::Color32::PLACEHOLDER);
        TICK + 24.0 + galley.size().x + 4.0 * 6.0
    };
    let (mut rows, mut used) = (1.0, 0.0);
    for needs in entries.iter().map(wide) {
        if used > 0.0 && used + needs > width {
            rows += 1.0;
            used = 0.0;
        }
        used += needs;
    }
    RUN_ROW * f32::min(rows, MOST_RUN_ROWS)
}

/// The runs, below all plots: they mean the same in each.
pub fn runs(ui: &mut Ui, entries: &[&LegendEntry], lit: &[String], done: &mut Done) {
    ScrollArea::vertical().id_salt("legend of runs").auto_shrink(false).show(ui, |ui| {
        small(ui);
        ui.spacing_mut().interact_size.y = RUN_ROW;
        ui.horizontal_wrapped(|ui| {
            for entry in entries {
                let row = ui.horizontal(|ui| {
                    tick(ui, entry, done);
                    sample(ui, entry, 24.0);
                    let text = words(ui, entry, &cut(&entry.text), lit);
                    ui.add(egui::Label::new(text).extend()).on_hover_text(about(entry));
                    ui.add_space(4.0);
                });
                light(ui, row.response.rect, entry, done);
            }
        });
    });
}

fn small(ui: &mut Ui) {
    let spacing = ui.spacing_mut();
    spacing.item_spacing = vec2(4.0, 0.0);
    spacing.interact_size.y = ROW;
    spacing.icon_width = TICK;
    spacing.icon_width_inner = TICK - 4.0;
    spacing.button_padding.y = 0.0;
}

fn tick(ui: &mut Ui, entry: &LegendEntry, done: &mut Done) {
    if entry.key.is_empty() {
        return;
    }
    let mut shown = !entry.hidden;
    let tick = ui.add(Checkbox::without_text(&mut shown));
    if tick.accessible_name(format!("Show {}", name(entry))).changed() {
        done.ticked = Some(entry.key.clone());
    }
}

/// A piece of the line.
fn sample(ui: &mut Ui, entry: &LegendEntry, width: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, 12.0), Sense::hover());
    let fade = if entry.hidden { 0.35 } else { 1.0 };
    let stroke = egui::Stroke::new(2.0, color32(entry.color).gamma_multiply(fade));
    let ends = [rect.left_center(), rect.right_center()];
    match entry.dash.lengths(1.0) {
        Some([on, off]) => {
            ui.painter().extend(egui::Shape::dashed_line(&ends, stroke, on, off));
        }
        None => {
            ui.painter().line_segment(ends, stroke);
        }
    }
}

fn number(ui: &mut Ui, value: Option<f64>) {
    let (rect, _) = ui.allocate_exact_size(vec2(VALUE, 12.0), Sense::hover());
    let text = value.map_or_else(String::new, short_number);
    let font = egui::TextStyle::Small.resolve(ui.style());
    let color = ui.visuals().text_color();
    ui.painter().text(rect.right_center(), Align2::RIGHT_CENTER, text, font, color);
}

/// At most six signs.
fn short_number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e4 => format!("{value:.0e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size > 0.0 && size < 5e-4 => format!("{value:.0e}"),
        _ => format!("{:.3}", Plain(value)),
    }
}

fn words(ui: &Ui, entry: &LegendEntry, text: &str, lit: &[String]) -> egui::RichText {
    let text = egui::RichText::new(text).small();
    match lit.contains(&entry.key) {
        true => text.strong().background_color(ui.visuals().widgets.hovered.weak_bg_fill),
        false if entry.hidden => text.weak(),
        false => text,
    }
}

/// A name in a width: what has no room is left out before its last letters, which tell it from others that begin alike.
fn shortened(ui: &Ui, name: &str, width: f32) -> String {
    let font = egui::TextStyle::Small.resolve(ui.style());
    let fits = |text: &str| {
        let galley =
            ui.painter().layout_no_wrap(text.to_owned(), font.clone(), egui::Color32::PLACEHOLDER);
        galley.size().x <= width
    };
    if fits(name) {
        return name.to_owned();
    }
    let letters: Vec<char> = name.chars().collect();
    let kept = |count: usize| {
        let end = count / 2;
        let [begin, end] = [&letters[..count - end], &letters[letters.len() - end..]];
        format!("{}…{}", String::from_iter(begin), String::from_iter(end))
    };
    (2..letters.len()).rev().map(kept).find(|text| fits(text)).unwrap_or_else(|| kept(2))
}

fn cut(name: &str) -> String {
    if name.chars().count() <= MOST_LETTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(MOST_LETTERS - 1).collect();
    format!("{start}…")
}

/// Pointing at an entry lights its lines.
fn light(ui: &Ui, rect: egui::Rect, entry: &LegendEntry, done: &mut Done) {
    if !entry.key.is_empty() && !entry.hidden && ui.rect_contains_pointer(rect) {
        done.lit = vec![entry.key.clone()];
    }
}
