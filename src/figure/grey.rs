//! A figure as a printer without colours shows it, and what cannot be told apart on it.

use super::color::Color;
use super::scene::{Item, Scene};
use super::{Figure, Mark};
use crate::base::convert;

/// Lightness of CIE L*a*b*, from 0 (black) to 100 (white).
pub fn lightness(color: Color) -> f32 {
    let y = color.luminance();
    // (6/29)³ and (29/3)³ of CIE 15.
    if y > 216.0 / 24389.0 { 116.0 * y.cbrt() - 16.0 } else { y * 24389.0 / 27.0 }
}

/// The grey with the same luminance.
pub fn grey(color: Color) -> Color {
    let y = color.luminance();
    let encoded = if y <= 0.003_130_8 { 12.92 * y } else { 1.055 * y.powf(1.0 / 2.4) - 0.055 };
    let v = convert::byte((encoded * 255.0).round());
    Color { r: v, g: v, b: v, a: color.a }
}

/// The scene in greys.
#[must_use]
pub fn in_greys(mut scene: Scene) -> Scene {
    scene.items.iter_mut().for_each(turn_grey);
    scene
}

fn turn_grey(item: &mut Item) {
    let change = |color: &mut Color| *color = grey(*color);
    match item {
        Item::Rect { fill, stroke, .. } => {
            fill.iter_mut().for_each(change);
            stroke.iter_mut().for_each(|(color, _)| change(color));
        }
        Item::Polyline { color, .. } | Item::Text { color, .. } => change(color),
        Item::Circle { fill, .. } => change(fill),
        Item::Image { pixels, .. } => *pixels = pixels.iter().map(|c| grey(*c)).collect(),
        Item::Cloud { cloud, .. } => {
            cloud.colors = cloud.colors.iter().map(|c| grey(*c)).collect();
            cloud.links.iter_mut().for_each(|(_, _, color)| change(color));
        }
        Item::Clip { .. } | Item::Unclip => {}
    }
}

/// Lightness by which two colours must differ to be told apart on grey paper without a direct comparison.
const APART: f32 = 8.0;

/// What of a figure cannot be told apart without colours: sentences, none where all is well.
pub fn check(figure: &Figure) -> Vec<String> {
    let mut found = Vec::new();
    for plot in &figure.plots {
        let entries: Vec<_> = plot.legend.iter().filter(|entry| !entry.hidden).collect();
        for (i, a) in entries.iter().enumerate() {
            for b in &entries[i + 1..] {
                let seen = a.color.a > 0 && b.color.a > 0;
                let alike = seen && a.sample == b.sample && a.dash == b.dash && a.color != b.color;
                if alike && (lightness(a.color) - lightness(b.color)).abs() < APART {
                    found.push(format!("in greys, “{}” looks like “{}”", a.text, b.text));
                }
            }
        }
        let signed = plot.marks.iter().any(|m| matches!(m, Mark::Heat(h) if h.map.is_diverging()));
        if signed {
            let name = if plot.title.is_empty() { "a map" } else { &plot.title };
            found.push(format!(
                "in greys, both signs of “{name}” look alike: its colours are lightest at zero"
            ));
        }
    }
    found.dedup();
    found
}
