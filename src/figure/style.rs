//! The look of a figure: sizes, colours and the font of everything that is not data.

use super::color::Color;
use super::font::{Family, Typeface};

/// Sizes and colours of everything that is not data. Sizes are in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub title_size: f32,
    pub label_size: f32,
    pub tick_size: f32,
    /// Width of axis lines and ticks.
    pub line_width: f32,
    /// Text and lines of the data, in parts of what the panel says.
    pub mark_text: f32,
    pub mark_width: f32,
    pub family: Typeface,
    /// Cells that do not exist, above the diagonal of a causal map, are hatched instead of left as paper.
    pub hatched: bool,
    pub paper: Color,
    pub ink: Color,
    /// Text and lines of second rank.
    pub faint: Color,
    pub dark: bool,
    /// Title, legend and caption of a map may stand beside it where the page is low: on a screen. A page in print is as its author
    /// sized it.
    pub aside: bool,
}

impl Style {
    /// For print: 5 to 8 pt, as journals ask.
    pub const fn light() -> Self {
        Self {
            title_size: 8.0,
            label_size: 7.0,
            tick_size: 6.0,
            line_width: 0.5,
            mark_text: 1.0,
            mark_width: 1.0,
            family: Typeface::of(Family::Sans),
            hatched: false,
            paper: Color::rgb(255, 255, 255),
            ink: Color::rgb(20, 20, 20),
            faint: Color::rgb(110, 110, 110),
            dark: false,
            aside: false,
        }
    }

    pub const fn dark() -> Self {
        Self {
            paper: Color::rgb(24, 25, 28),
            ink: Color::rgb(232, 232, 232),
            faint: Color::rgb(150, 152, 156),
            dark: true,
            ..Self::light()
        }
    }

    /// The same look with everything larger or smaller, data too.
    #[must_use]
    pub fn magnified(self, factor: f32) -> Self {
        Self {
            mark_text: self.mark_text * factor,
            mark_width: self.mark_width * factor,
            ..self.scaled(factor)
        }
    }

    /// How tick labels are written.
    pub(super) fn ticks(&self) -> Lettering {
        Lettering { family: self.family, size: self.tick_size }
    }

    /// The same look with all texts and lines larger or smaller.
    #[must_use]
    pub fn scaled(self, factor: f32) -> Self {
        Self {
            title_size: self.title_size * factor,
            label_size: self.label_size * factor,
            tick_size: self.tick_size * factor,
            line_width: self.line_width * factor,
            ..self
        }
    }
}

/// A family and a size in points.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    pub family: Typeface,
    pub size: f32,
}

impl Lettering {
    pub fn width(self, text: &str) -> f32 {
        self.family.width(text, self.size, false)
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::light()
    }
}
