//! Colours and perceptual colour maps: one table for the screen, the shaders and the files.

use std::sync::LazyLock;

use crate::base::convert::{self, narrow};

/// Straight (not premultiplied) sRGB with alpha; the default is transparent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Color {
    pub r: u8,
    pub g: u8,
    pub b: u8,
    pub a: u8,
}

impl Color {
    /// What is absent: neither colour nor cover.
    pub const TRANSPARENT: Self = Self { r: 0, g: 0, b: 0, a: 0 };

    pub const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b, a: 255 }
    }

    #[must_use]
    pub const fn alpha(self, a: u8) -> Self {
        Self { a, ..self }
    }

    /// The colour `t` of the way to another, `t` in `0..=1`, in sRGB.
    #[must_use]
    pub fn mix(self, other: Self, t: f32) -> Self {
        let part = |a: u8, b: u8| {
            convert::byte((f32::from(a) + (f32::from(b) - f32::from(a)) * t).round())
        };
        Self {
            r: part(self.r, other.r),
            g: part(self.g, other.g),
            b: part(self.b, other.b),
            a: part(self.a, other.a),
        }
    }

    /// Relative luminance in `0..=1` (WCAG 2.2), alpha left out.
    pub fn luminance(self) -> f32 {
        let linear = |v: u8| {
            let v = f32::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.r) + 0.7152 * linear(self.g) + 0.0722 * linear(self.b)
    }

    /// Contrast ratio to another colour, from 1 to 21 (WCAG 2.2).
    pub fn contrast(self, other: Self) -> f32 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Black or white, whichever is read better on this colour.
    #[must_use]
    pub fn ink_on(self) -> Self {
        let (black, white) = (Self::rgb(0, 0, 0), Self::rgb(255, 255, 255));
        if self.contrast(black) >= self.contrast(white) { black } else { white }
    }
}

crate::choices! {
    /// Sequential maps for probabilities, `vik` and `berlin` for signed numbers.
    #[derive(Default)]
    pub enum ColorMap {
        Viridis = "viridis",
        Magma = "magma",
        Cividis = "cividis",
        Batlow = "batlow",
        Vik = "vik",
        #[default]
        Paper = "paper",
        Night = "night",
        Berlin = "berlin",
    }
}

/// One column per map, in the order of [`ColorMap::ALL`]; sources and licences in `assets/colormaps/README.md`.
const MAPS: &str = include_str!("../../assets/colormaps/maps.csv");

static TABLES: LazyLock<[[Color; 256]; ColorMap::ALL.len()]> = LazyLock::new(|| {
    let mut tables = [[Color::TRANSPARENT; 256]; ColorMap::ALL.len()];
    for (row, line) in MAPS.lines().skip(1).take(256).enumerate() {
        for (table, hex) in tables.iter_mut().zip(line.split(',')) {
            let [_, r, g, b] = u32::from_str_radix(hex, 16).unwrap_or(0).to_be_bytes();
            table[row] = Color::rgb(r, g, b);
        }
    }
    tables
});

impl ColorMap {
    /// The 256 colours from the lowest value to the highest.
    pub fn table(self) -> &'static [Color; 256] {
        &TABLES[self as usize]
    }

    /// The colour at `t` of the scale, clamped to `0..=1`; transparent where `t` is not a number.
    pub fn at(self, t: f32) -> Color {
        if t.is_nan() {
            return Color::TRANSPARENT;
        }
        self.table()[table_index(t)]
    }

    /// Signed maps have a middle that means zero.
    pub fn is_diverging(self) -> bool {
        matches!(self, Self::Vik | Self::Berlin)
    }

    /// Whether 0 is the colour of the paper: what is not there needs another one.
    pub fn begins_at_paper(self) -> bool {
        matches!(self, Self::Paper | Self::Night)
    }

    /// The map that says the same on paper that is dark or light: those in which 0 is (about) the colour of light paper have a
    /// partner in which it is that of dark paper.
    #[must_use]
    pub fn on(self, dark: bool) -> Self {
        match self {
            Self::Paper if dark => Self::Night,
            Self::Vik if dark => Self::Berlin,
            Self::Viridis
            | Self::Magma
            | Self::Cividis
            | Self::Batlow
            | Self::Vik
            | Self::Paper
            | Self::Night
            | Self::Berlin => self,
        }
    }
}

/// How values become places on a scale of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    #[default]
    Linear,
    /// By the square root: weak values are seen, noise is not.
    SquareRoot,
    Logarithmic,
}

impl Scaling {
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::SquareRoot => "square root",
            Self::Logarithmic => "logarithmic",
        }
    }

    fn warp(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::SquareRoot => value.abs().sqrt().copysign(value),
            // A zero on a logarithmic scale is its lowest colour, not a hole in the matrix.
            Self::Logarithmic => value.max(f64::from(f32::MIN_POSITIVE)).ln(),
        }
    }
}

/// Which of 256 entries stands for `t` in `0..=1`.
pub fn table_index(t: f32) -> usize {
    convert::index((t.clamp(0.0, 1.0) * 255.0 + 0.5).floor())
}

/// Where a value lies on a scale, `0..=1` inside it; NaN where the value is not a number.
pub fn fraction(value: f32, range: (f32, f32), scaling: Scaling) -> f32 {
    // The difference of two numbers of `f32` need not be one.
    let end = |end: f32| match scaling {
        Scaling::Logarithmic => scaling.warp(f64::from(end).max(1e-12)),
        Scaling::Linear | Scaling::SquareRoot => scaling.warp(f64::from(end)),
    };
    let (v, low, high) = (scaling.warp(f64::from(value)), end(range.0), end(range.1));
    if value.is_nan() {
        return f32::NAN;
    }
    if high == low {
        return 0.5;
    }
    narrow((v - low) / (high - low))
}

/// Colours for categories by Okabe and Ito (2008), apart for every common kind of colour vision; the black of
/// the original is left to the ink.
pub const CATEGORIES: [Color; 7] = [
    Color::rgb(0, 114, 178),
    Color::rgb(230, 159, 0),
    Color::rgb(0, 158, 115),
    Color::rgb(204, 121, 167),
    Color::rgb(86, 180, 233),
    Color::rgb(213, 94, 0),
    Color::rgb(240, 228, 66),
];

/// The colour of the `index`-th category; after the last one they begin again.
pub fn category(index: usize) -> Color {
    CATEGORIES[index % CATEGORIES.len()]
}

/// So many colours [`role`] has before they begin again: as many as a task may have roles.
pub const ROLES: usize = 8;

/// The colour of the `role`-th role of a task (trigger, output, …), or of "other" (`None`), on paper that is dark
/// or light. Each has a contrast of at least 3 to it. The first are Okabe and Ito's, as dark or light as that takes; the others were
/// searched for, far from all before them for every common kind of colour vision.
pub fn role(role: Option<usize>, dark: bool) -> Color {
    const LIGHT: [Color; ROLES] = [
        Color::rgb(0, 114, 178),
        Color::rgb(200, 84, 0),
        Color::rgb(0, 130, 95),
        Color::rgb(178, 86, 138),
        Color::rgb(120, 24, 0),
        Color::rgb(72, 144, 255),
        Color::rgb(0, 72, 72),
        Color::rgb(48, 0, 192),
    ];
    const DARK: [Color; ROLES] = [
        Color::rgb(86, 180, 233),
        Color::rgb(240, 160, 40),
        Color::rgb(60, 200, 150),
        Color::rgb(224, 150, 192),
        Color::rgb(120, 120, 255),
        Color::rgb(144, 96, 24),
        Color::rgb(0, 120, 96),
        Color::rgb(72, 96, 192),
    ];
    match (role, dark) {
        (Some(index), false) => LIGHT[index % LIGHT.len()],
        (Some(index), true) => DARK[index % DARK.len()],
        (None, false) => Color::rgb(118, 118, 118),
        (None, true) => Color::rgb(150, 150, 150),
    }
}
