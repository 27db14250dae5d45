//! A figure laid out: primitives in points (1/72 inch), y downwards, with what each one picks.

use std::sync::Arc;

use super::Pick;
use super::color::Color;

/// A page of primitives, drawn in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    pub width: f32,
    pub height: f32,
    pub items: Vec<Item>,
    /// Invisible areas that answer to the pointer; the last one that contains it wins.
    pub areas: Vec<Area>,
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
        dashed: bool,
    },
    Circle {
        center: [f32; 2],
        radius: f32,
        fill: Color,
    },
    /// `angle` 0 or -90 degrees (counter-clockwise up).
    Text {
        at: [f32; 2],
        text: String,
        size: f32,
        color: Color,
        align: super::Anchor,
        upright: bool,
    },
    /// An image of `columns * rows` flat cells (nearest neighbour; fully transparent cells are absent).
    Image {
        min: [f32; 2],
        max: [f32; 2],
        columns: usize,
        rows: usize,
        pixels: Arc<[Color]>,
    },
    /// A cloud for the GPU inside a rectangle; file backends project it themselves.
    Cloud {
        min: [f32; 2],
        max: [f32; 2],
        cloud: Box<super::Cloud>,
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
}

#[derive(Clone, Debug, PartialEq)]
pub enum AreaPick {
    /// One thing with one hover text.
    One { pick: Pick, hover: String },
    /// A heat map: the cell under the pointer decides.
    Heat(super::Heat),
    /// The inside of a plot: reads all lines at x. Index into `Figure::plots`.
    Plot(usize),
}
