//! A figure laid out: primitives in points (1/72 inch), y downwards, with what each one picks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pick;
use super::color::Color;
use super::fallback::Face;
use super::font::{Font, Typeface};

/// Millimetres in a point (1/72 inch).
pub const MM_PER_POINT: f32 = 25.4 / 72.0;

/// A page of primitives, drawn in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    pub width: f32,
    pub height: f32,
    /// What all its texts are written in.
    pub family: Typeface,
    pub items: Vec<Item>,
    /// Invisible areas that answer to the pointer; the last one that contains it wins.
    pub areas: Vec<Area>,
}

/// What the texts of a scene ask for beyond our own faces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beyond {
    /// Faces of others, in the order in which they are first needed.
    pub others: Vec<&'static Face>,
    /// Signs that no font has.
    pub lacking: BTreeSet<char>,
}

impl Beyond {
    /// Of one scene and another.
    pub fn add(&mut self, more: Self) {
        for face in more.others {
            if !self.others.contains(&face) {
                self.others.push(face);
            }
        }
        self.lacking.extend(more.lacking);
    }

    /// What a text asks for.
    pub fn take(&mut self, family: Typeface, text: &str) {
        if family.has_all(text) {
            return;
        }
        for run in family.runs(text) {
            match run.font {
                Font::Other(face) if !self.others.contains(&face) => self.others.push(face),
                Font::Other(_) => {}
                Font::Own(_) if run.is_lacking => self.lacking.extend(run.text.chars()),
                Font::Own(_) => {}
            }
        }
    }

    /// What is said of signs that are drawn as boxes.
    pub fn sentence(&self) -> Option<String> {
        const SHOWN: usize = 8;
        let count = self.lacking.len();
        let some = self.lacking.iter().take(SHOWN).map(|c| format!("U+{:04X}", u32::from(*c)));
        let mut list = some.collect::<Vec<_>>().join(", ");
        if count > SHOWN {
            list.push_str(", …");
        }
        let (signs, have, are) = match count {
            0 => return None,
            1 => ("character", "has", "is"),
            _ => ("characters", "have", "are"),
        };
        Some(format!(
            "{count} {signs} {have} no glyph in the fonts of this program and of the system and {are} drawn as □ ({list}): \
             choose a font that has more; SVG and TeX hold the characters themselves"
        ))
    }
}

impl Scene {
    /// What its texts ask for beyond our own faces.
    pub fn beyond(&self) -> Beyond {
        let mut all = Beyond::default();
        for item in &self.items {
            let Item::Text { text, .. } = item else { continue };
            all.take(self.family, text);
        }
        all
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Rect {
        min: [f32; 2],
        max: [f32; 2],
        fill: Option<Color>,
        stroke: Option<(Color, f32)>,
    },
    Polyline {
        points: Vec<[f32; 2]>,
        color: Color,
        width: f32,
        dash: super::Dash,
    },
    Circle {
        center: [f32; 2],
        radius: f32,
        fill: Color,
    },
    /// One line of text. `at`: its left end, middle or right end (`align`), at the middle of its capitals.
    /// `upright` turns it about `at` by a quarter, so that it reads from the bottom to the top.
    Text {
        at: [f32; 2],
        text: String,
        size: f32,
        color: Color,
        align: super::Anchor,
        upright: bool,
        bold: bool,
    },
    /// An image of `columns * rows` flat cells, row-major from the top left (nearest neighbour; fully
    /// transparent cells are absent).
    Image {
        min: [f32; 2],
        max: [f32; 2],
        columns: usize,
        rows: usize,
        pixels: Arc<[Color]>,
    },
    /// A cloud for the GPU inside a rectangle; file backends project it themselves. `x` and `y`: the projected
    /// coordinates at the left and right, bottom and top edge.
    Cloud {
        min: [f32; 2],
        max: [f32; 2],
        cloud: Box<super::Cloud>,
        x: (f32, f32),
        y: (f32, f32),
    },
    /// Everything until the matching `Unclip` stays inside the rectangle.
    Clip {
        min: [f32; 2],
        max: [f32; 2],
    },
    Unclip,
}

/// An area that answers to the pointer and to a screen reader.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    pub min: [f32; 2],
    pub max: [f32; 2],
    pub pick: AreaPick,
    /// For a heat map, the corner where row 0 and column 0 begin, and the opposite one (they may lie outside the
    /// area when only a part is in view, and run backwards); for a plot, the places of the lower and upper ends
    /// of its axes; else the area itself.
    pub frame: [[f32; 2]; 2],
    /// For a heat map whose axes name them, the texts of rows and of columns; else empty.
    pub labels: [Arc<[String]>; 2],
}

impl Area {
    /// An area with one thing in it.
    pub fn one(min: [f32; 2], max: [f32; 2], pick: Pick, hover: String) -> Self {
        Self {
            min,
            max,
            pick: AreaPick::One { pick, hover },
            frame: [min, max],
            labels: Default::default(),
        }
    }

    pub fn contains(&self, at: [f32; 2]) -> bool {
        (0..2).all(|i| at[i] >= self.min[i] && at[i] <= self.max[i])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum AreaPick {
    /// One thing with one hover text.
    One { pick: Pick, hover: String },
    /// A heat map: the cell under the pointer decides.
    Heat(super::Heat),
    /// The inside of a plot: reads all lines at x. Index into `Figure::plots`.
    Plot(usize),
    /// The nearest point of the cloud.
    Cloud(Box<super::Cloud>),
}

impl AreaPick {
    /// Index of the plot whose inside it is.
    pub fn plot(&self) -> Option<usize> {
        if let Self::Plot(index) = self { Some(*index) } else { None }
    }
}

/// Width of the lines that join points of a cloud, in points.
pub const LINK_WIDTH: f32 = 0.8;
