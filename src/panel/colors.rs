//! Colours with a meaning, the same in every panel: roles, query and key, lines of a plot.

use crate::base::convert;
use crate::figure::color::{self, Color};

use super::Palette;

/// A query: the position that attends.
pub const QUERY: Color = Color::rgb(0, 158, 115);
/// A key: the position that is attended to.
pub const KEY: Color = Color::rgb(213, 60, 140);
/// What should be predicted, and anything that is not there yet.
pub const TARGET: Color = Color::rgb(230, 140, 0);

/// What is there already: the partner of [`TARGET`] for any colour vision.
pub const STORED: Color = Color::rgb(0, 114, 178);
/// Something emerged by itself.
pub const EMERGENCE: Color = Color::rgb(0, 158, 115);
/// Somebody changed something.
pub const INTERVENTION: Color = Color::rgb(213, 94, 0);

/// The colour of the `index`-th line or kind of point, readable on the paper.
pub fn line(palette: Palette, index: usize) -> Color {
    color::role(Some(index), palette.dark)
}

/// The colour of a role by its number; `None` is the role "other".
pub fn role(palette: Palette, index: Option<usize>) -> Color {
    color::role(index, palette.dark)
}

/// What stays in the background: bars and points of second rank.
pub fn quiet(palette: Palette) -> Color {
    mix(palette.paper, palette.ink, 0.45)
}

/// A line through what is cut.
pub fn struck(palette: Palette) -> Color {
    if palette.dark { Color::rgb(255, 130, 120) } else { Color::rgb(190, 30, 30) }
}

/// What does not exist where the paper means 0: keys that a query does not see.
pub fn unseen(palette: Palette) -> Color {
    mix(palette.paper, palette.ink, 0.09)
}

/// `t = 0` is `from`, `t = 1` is `to`; NaN counts as 0.
pub fn mix(from: Color, to: Color, t: f32) -> Color {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    let channel = |a: u8, b: u8| {
        let value = f32::from(a) + (f32::from(b) - f32::from(a)) * t;
        convert::byte(value.round())
    };
    Color {
        r: channel(from.r, to.r),
        g: channel(from.g, to.g),
        b: channel(from.b, to.b),
        a: channel(from.a, to.a),
    }
}

/// Black or white, whichever reads better on `fill`.
pub fn text_on(fill: Color) -> Color {
    // Relative luminance at which black and white have the same WCAG contrast.
    if luminance(fill) > 0.179 { Color::rgb(20, 20, 22) } else { Color::rgb(250, 250, 250) }
}

/// WCAG relative luminance, 0 to 1.
fn luminance(color: Color) -> f32 {
    let linear = |c: u8| {
        let c = f32::from(c) / 255.0;
        if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)
}
