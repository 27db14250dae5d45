//! Colours with a meaning, the same in every panel, and those that a legend beside them explains.

use crate::figure::color::{self, Color};

use super::Palette;

/// A query: the position that asks, and what its looking does.
pub const QUERY: Color = Color::rgb(0, 158, 115);
/// A key: the position that is looked at, and what it lets in.
pub const KEY: Color = Color::rgb(213, 60, 140);
/// What should be: the right token, the goal, where an induction head should look.
pub const TARGET: Color = Color::rgb(230, 140, 0);
/// What is there in the network and can be read out of it.
pub const STORED: Color = Color::rgb(0, 125, 150);

/// Colours that mean one thing wherever they stand, on light paper; `docs/panels.md` has the table. Attention has a map of its own,
/// numbers with a sign have another, and categories (roles, lines, symbols) are what the legend beside them says.
pub const MEANINGS: [(&str, Color, &str); 6] = [
    ("green", QUERY, "the query: the position that asks, and what its looking does"),
    ("magenta", KEY, "the key: the position that is looked at, and what it lets in"),
    (
        "orange",
        TARGET,
        "what should be: the right token, the goal, where an induction head should look",
    ),
    ("teal", STORED, "what is in the network and can be read out of it"),
    (
        "red",
        CHANGED[0],
        "what a hand changed: cuts, other interventions, the line through a cut head",
    ),
    (
        "blue",
        Palette::accent_on(false),
        "what is in focus, and what happened by itself in the run: steps, what emerged",
    ),
];

/// What a hand changed, on light paper and on dark.
const CHANGED: [Color; 2] = [Color::rgb(190, 30, 30), Color::rgb(255, 130, 120)];

/// What a hand changed.
pub fn changed(palette: Palette) -> Color {
    CHANGED[usize::from(palette.dark)]
}

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

/// What is not there yet: the partner of [`STORED`].
pub fn not_yet(palette: Palette) -> Color {
    mix(palette.paper, palette.ink, 0.22)
}

/// What does not exist where the paper means 0: keys that a query does not see.
pub fn unseen(palette: Palette) -> Color {
    mix(palette.paper, palette.ink, 0.09)
}

/// `t = 0` is `from`, `t = 1` is `to`; NaN counts as 0.
pub fn mix(from: Color, to: Color, t: f32) -> Color {
    from.mix(to, if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) })
}

/// Black or white, whichever reads better on `fill`.
pub fn text_on(fill: Color) -> Color {
    // Relative luminance at which black and white have the same WCAG contrast.
    if fill.luminance() > 0.179 { Color::rgb(20, 20, 22) } else { Color::rgb(250, 250, 250) }
}
