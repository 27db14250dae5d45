//! What writes a scene: rectangles, lines and texts.

use super::color::Color;
use super::scene::{Area, Item, Scene};
use super::style::Style;
use super::{Anchor, Dash, font};

/// A rectangle of the page, in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Rect {
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    pub fn middle(&self) -> [f32; 2] {
        [f32::midpoint(self.left, self.right), f32::midpoint(self.top, self.bottom)]
    }

    pub fn min(&self) -> [f32; 2] {
        [self.left, self.top]
    }

    pub fn max(&self) -> [f32; 2] {
        [self.right, self.bottom]
    }

    pub fn shrunk(self, by: f32) -> Self {
        Self {
            left: self.left + by,
            top: self.top + by,
            right: self.right - by,
            bottom: self.bottom - by,
        }
    }
}

/// Writes a scene.
pub(super) struct Pen<'a> {
    pub scene: Scene,
    pub style: &'a Style,
}

/// A line of text to be drawn.
pub(super) struct Line<'a> {
    pub at: [f32; 2],
    pub text: &'a str,
    pub size: f32,
    pub color: Color,
    pub align: Anchor,
}

impl<'a> Pen<'a> {
    /// A page of `size` (width, height) points with nothing on it.
    pub fn on_page(size: [f32; 2], style: &'a Style) -> Self {
        let [width, height] = size.map(|s| if s.is_finite() { s.max(1.0) } else { 1.0 });
        let scene = Scene { width, height, family: style.family, ..Scene::default() };
        let mut pen = Self { scene, style };
        pen.rect(pen.page(), Some(style.paper), None);
        pen
    }

    pub fn page(&self) -> Rect {
        Rect { left: 0.0, top: 0.0, right: self.scene.width, bottom: self.scene.height }
    }

    pub fn push(&mut self, item: Item) {
        self.scene.items.push(item);
    }

    pub fn area(&mut self, area: Area) {
        self.scene.areas.push(area);
    }

    pub fn rect(&mut self, rect: Rect, fill: Option<Color>, stroke: Option<(Color, f32)>) {
        self.push(Item::Rect { min: rect.min(), max: rect.max(), fill, stroke });
    }

    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], color: Color, width: f32) {
        self.push(Item::Polyline { points: vec![from, to], color, width, dash: Dash::Solid });
    }

    pub fn text(&mut self, line: &Line<'_>) {
        self.any_text(line, false, false);
    }

    pub fn any_text(&mut self, line: &Line<'_>, upright: bool, bold: bool) {
        if line.text.is_empty() {
            return;
        }
        self.push(Item::Text {
            at: line.at,
            text: font::shown(line.text).into_owned(),
            size: line.size,
            color: line.color,
            align: line.align,
            upright,
            bold,
        });
    }

    /// A sentence in the middle of a page that has nothing else.
    pub fn sentence(&mut self, page: Rect, sentence: &str) {
        let size = self.style.label_size;
        let lines = self.style.family.wrap(&font::shown(sentence), size, page.width() * 0.8);
        let height = 1.5 * size;
        let [x, middle] = page.middle();
        for (i, text) in lines.iter().enumerate() {
            let y = middle + (i as f32 - (lines.len() as f32 - 1.0) / 2.0) * height;
            let color = self.style.faint;
            self.text(&Line { at: [x, y], text, size, color, align: Anchor::Center });
        }
    }

    /// Draws a letter and a title at the top of a part of the page; the height that they take.
    pub fn heading(&mut self, title: &str, page: Rect, letter: &str) -> f32 {
        let style = self.style;
        let size = style.title_size;
        let height = 2.0 * font::HALF_LINE * size + 2.0;
        if (title.is_empty() && letter.is_empty()) || height >= 0.2 * page.height() {
            return 0.0;
        }
        let y = page.top + font::HALF_LINE * size;
        let mut left = page.left;
        let mut write = |text: &str, left: f32| {
            let line = Line { at: [left, y], text, size, color: style.ink, align: Anchor::Left };
            self.any_text(&line, false, true);
        };
        if !letter.is_empty() {
            write(letter, left);
            left += style.family.width(letter, size, true) + 0.6 * size;
        }
        let shown = font::shown(title);
        // Bold is a tenth wider.
        write(&style.family.fit(&shown, 1.1 * size, page.right - left), left);
        height
    }
}

/// The place nearest to `at` where something of a half-width lies between two edges.
pub(super) fn held(at: f32, half_width: f32, low: f32, high: f32) -> f32 {
    if high - low < 2.0 * half_width {
        return f32::midpoint(low, high);
    }
    at.clamp(low + half_width, high - half_width)
}
