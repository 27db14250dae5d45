//! The colour bar beside axes: its ticks, its room, its drawing.

use super::color::{Color, Scaling, fraction};
use super::pen::{Line, Pen, Rect, held};
use super::scale::{self, Along, Tick};
use super::scene::Item;
use super::style::Style;
use super::ticks::{TICK, TICK_GAP, widest};
use super::{Anchor, ColorBar, font};
use crate::base::convert::{self, narrow};

/// The colour bar: room to the axes, and width.
const BAR_GAP: f32 = 6.0;
const BAR_WIDTH: f32 = 6.0;

/// The ticks of a colour bar of a height. A scale is read from two labels at least.
pub(super) fn bar_ticks(bar: &ColorBar, height: f32, style: &Style) -> Vec<Tick> {
    let most = convert::index((height / (3.0 * style.tick_size)).floor().clamp(2.0, 6.0));
    let range = (f64::from(bar.range.0), f64::from(bar.range.1));
    let labelled = |ticks: &Vec<Tick>| ticks.iter().filter(|t| !t.label.is_empty()).count();
    (most..=8)
        .map(|most| scale::ticks(range, Along::log(bar.scaling == Scaling::Logarithmic), most))
        .find(|ticks| labelled(ticks) >= 2)
        .unwrap_or_default()
}

/// What a colour bar takes beside the axes, with its label if it has one.
pub(super) fn bar_width(ticks: &[Tick], label: &str, style: &Style) -> f32 {
    let label = if label.is_empty() { 0.0 } else { 2.0 * font::HALF_LINE * style.label_size + 1.0 };
    BAR_GAP + BAR_WIDTH + TICK_GAP + TICK + widest(ticks, style.ticks()) + label
}

impl Pen<'_> {
    /// A colour bar beside axes, its label held between two heights.
    pub fn bar(
        &mut self,
        bar: &ColorBar,
        ticks: &[Tick],
        label: &str,
        axes: Rect,
        (top, bottom): (f32, f32),
    ) {
        let (style, size) = (self.style, self.style.tick_size);
        let left = axes.right + BAR_GAP;
        let rect = Rect { left, right: left + BAR_WIDTH, top: axes.top, bottom: axes.bottom };
        let pixels: Vec<Color> = bar.map.table().iter().rev().copied().collect();
        self.push(Item::Image {
            min: rect.min(),
            max: rect.max(),
            columns: 1,
            rows: pixels.len(),
            pixels: pixels.into(),
        });
        self.rect(
            rect.shrunk(-0.5 * style.line_width),
            None,
            Some((style.faint, style.line_width)),
        );
        let height = |value: f64| {
            rect.bottom - rect.height() * fraction(narrow(value), bar.range, bar.scaling)
        };
        let shown: Vec<&Tick> = ticks.iter().filter(|t| !t.label.is_empty()).collect();
        let extents: Vec<(f32, f32)> =
            shown.iter().map(|t| (height(t.value), 0.5 * size)).collect();
        let stride = scale::stride(&extents, 0.1 * size).max(1);
        for tick in shown.into_iter().step_by(stride) {
            let y = height(tick.value);
            let end = rect.right + TICK;
            self.line([rect.right, y], [end, y], style.ink, style.line_width);
            let (at, color) = ([end + TICK_GAP, y], style.ink);
            self.text(&Line { at, text: &tick.label, size, color, align: Anchor::Left });
        }
        if !label.is_empty() {
            let size = style.label_size;
            let label = font::shown(label);
            let text = style.family.fit(&label, size, bottom - top);
            let x = rect.right
                + TICK
                + TICK_GAP
                + widest(ticks, style.ticks())
                + 1.0
                + font::HALF_LINE * size;
            let half_width = 0.5 * style.family.width(&text, size, false);
            let y = held(axes.middle()[1], half_width, top, bottom);
            let line =
                Line { at: [x, y], text: &text, size, color: style.ink, align: Anchor::Center };
            self.any_text(&line, true, false);
        }
    }
}
