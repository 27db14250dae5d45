//! Figures as data: what a panel wants drawn, before anyone decides how large and where.
//!
//! A [`Figure`] is laid out at a size into a [`scene::Scene`] of rectangles, lines and text; the window, SVG,
//! PDF and PNG all draw that scene, so that they cannot disagree.

mod cells;
pub mod clip;
pub mod cloud;
pub mod color;
mod color_bar;
pub mod composite;
pub mod dash;
pub mod difference;
mod edges;
pub mod fallback;
pub mod file;
pub mod font;
pub mod grey;
pub mod layout;
mod legend;
mod marks;
pub mod numbers;
pub mod page;
pub mod pdf;
mod pen;
pub mod pgf;
pub mod pick;
pub mod png;
pub mod preset;
pub mod provenance;
pub mod scale;
pub mod scene;
pub mod style;
pub mod svg;
pub mod table;
pub mod thin;
mod ticks;

use std::sync::Arc;

use color::{Color, ColorMap, Scaling, fraction};

pub use scale::Along;

use crate::base::convert;
use crate::base::intervention::Place;

/// One figure: plots in a grid, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub title: String,
    pub plots: Vec<Plot>,
    /// Plots in a row of the grid (at least 1).
    pub columns: usize,
    /// A line under the figure, e.g. what the legend cannot say.
    pub caption: String,
    /// Shown in place of everything when there is nothing to draw: a sentence that says why and what to do.
    pub empty: Option<String>,
    /// Names at the edges of the grid; the plots bear none then, and their titles are told where one points at them.
    pub edges: Option<Box<Edges>>,
    /// All of it, title, legends and caption too, is so many times as large as it says.
    pub scale: f32,
}

impl Default for Figure {
    fn default() -> Self {
        let (title, caption) = (String::new(), String::new());
        let (empty, edges) = (None, None);
        Self { title, plots: Vec::new(), columns: 0, caption, empty, edges, scale: 1.0 }
    }
}

/// Names of the columns of a grid, above it, and of its rows, beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    pub above: Vec<String>,
    pub beside: Vec<String>,
}

/// A pair of axes with marks on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    /// One unit has the same length on both axes.
    pub equal: bool,
    /// Drawn in order.
    pub marks: Vec<Mark>,
    pub legend: Vec<LegendEntry>,
    pub color_bar: Option<ColorBar>,
    /// What a click on the plot as a whole picks (thumbnails).
    pub pick: Pick,
    /// Relative height of its row in the grid (1 = as the others).
    pub weight: f32,
    /// Has a row of the grid to itself.
    pub wide: bool,
    /// Texts and lines of its marks are so many times as large as they say.
    pub scale: f32,
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            title: String::new(),
            x: Axis::default(),
            y: Axis::default(),
            equal: false,
            marks: Vec::new(),
            legend: Vec::new(),
            color_bar: None,
            pick: Pick::Nothing,
            weight: 1.0,
            wide: false,
            scale: 1.0,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// With the unit in parentheses, e.g. `loss (nats)`. Empty: none drawn.
    pub label: String,
    /// Values at the two ends; `range.0 > range.1` runs backwards (rows of a matrix downwards).
    pub range: (f64, f64),
    pub along: Along,
    pub ticks: Ticks,
}

impl Default for Axis {
    fn default() -> Self {
        Self { label: String::new(), range: (0.0, 1.0), along: Along::Values, ticks: Ticks::Auto }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ticks {
    /// Round numbers.
    Auto,
    /// Nothing at all.
    Hidden,
    /// Text at values, e.g. tokens; thinned out where they would overlap.
    At(Vec<(f64, String)>),
    /// A text for each unit of the axis from 0 on, e.g. the token of each position: all that are in range where
    /// they fit, else the numbers of some of them.
    Each(Arc<[String]>),
    /// The same, with texts for the units before 0 too, first to last: memory tokens before positions.
    Around { before: Arc<[String]>, names: Arc<[String]> },
}

impl Ticks {
    /// What stands at `unit..unit + 1` of an axis of cells, `unit` being whole; empty where nothing does.
    pub fn name(&self, unit: f64) -> &str {
        let (before, names) = match self {
            Self::Each(_) | Self::Around { .. } => self.of_units(),
            Self::At(list) => {
                let found = list.iter().find(|(value, _)| value.floor() == unit);
                return found.map_or("", |(_, text)| text.as_str());
            }
            Self::Auto | Self::Hidden => return "",
        };
        let (names, index) =
            if unit < 0.0 { (before, unit + before.len() as f64) } else { (names, unit) };
        let found = (index >= 0.0).then(|| names.get(convert::index(index))).flatten();
        found.map_or("", String::as_str)
    }

    /// The text at a value, where there are texts at values.
    pub fn at(&self, value: f64) -> Option<&str> {
        let Self::At(list) = self else { return None };
        list.iter().find(|(at, _)| *at == value).map(|(_, text)| text.as_str())
    }

    /// Texts of the units before 0, and of those from 0 on; none where units have none.
    fn of_units(&self) -> (&[String], &[String]) {
        match self {
            Self::Each(names) => (&[], names),
            Self::Around { before, names } => (before, names),
            Self::Auto | Self::Hidden | Self::At(_) => (&[], &[]),
        }
    }

    /// Whether they are texts rather than places on a scale.
    pub fn are_names(&self) -> bool {
        matches!(self, Self::At(_)) || self.are_of_units()
    }

    /// Whether they are a text for each unit.
    fn are_of_units(&self) -> bool {
        matches!(self, Self::Each(_) | Self::Around { .. })
    }
}

/// What stands before the words of a legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    Line,
    /// Filled.
    Square,
    Outline,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LegendEntry {
    pub text: String,
    pub color: Color,
    pub sample: Sample,
    pub dash: Dash,
    /// Name of the line that it explains, where the text is another.
    pub name: String,
    /// What settings call it; empty where it cannot be hidden.
    pub key: String,
    /// What it explains was hidden: a window can show it again, a page has no entry for it.
    pub hidden: bool,
}

impl LegendEntry {
    pub fn square(text: impl Into<String>, color: Color) -> Self {
        let (text, name, key) = (text.into(), String::new(), String::new());
        Self { text, color, sample: Sample::Square, dash: Dash::Solid, name, key, hidden: false }
    }

    /// Cells that do not exist: paper in an outline, hatched where they are.
    pub fn absent(text: impl Into<String>) -> Self {
        Self::square(text, Color::TRANSPARENT)
    }

    pub fn line(text: impl Into<String>, color: Color, dash: Dash) -> Self {
        Self { sample: Sample::Line, dash, ..Self::square(text, color) }
    }

    /// A square that is not filled.
    pub fn outline(text: impl Into<String>, color: Color) -> Self {
        Self { sample: Sample::Outline, ..Self::square(text, color) }
    }

    pub fn is_line(&self) -> bool {
        self.sample == Sample::Line
    }
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dash {
    #[default]
    Solid,
    Dashed,
    Dotted,
    /// Long dashes.
    Long,
}

impl Dash {
    /// Lengths of a dash and of the gap after it, in points, in a line of a width; none where it is whole.
    pub fn lengths(self, width: f32) -> Option<[f32; 2]> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some([2.0 + 2.0 * width, 1.5 + width]),
            Self::Dotted => Some([width.max(0.5), 1.0 + 1.5 * width]),
            Self::Long => Some([7.0 + 3.0 * width, 2.0 + width]),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColorBar {
    pub label: String,
    pub map: ColorMap,
    pub range: (f32, f32),
    pub scaling: Scaling,
}

/// Something drawn in the coordinates of a plot's axes.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    Line {
        name: String,
        points: Arc<[[f64; 2]]>,
        color: Color,
        width: f32,
        dash: Dash,
    },
    /// Discs of a diameter in points (1/72 inch).
    Points {
        name: String,
        points: Arc<[[f64; 2]]>,
        colors: Arc<[Color]>,
        diameter: f32,
        /// One per point, or empty.
        picks: Arc<[Pick]>,
    },
    /// A matrix over x in `-before..columns - before`, y in `0..rows`, row 0 at y = 0.
    Heat(Heat),
    /// Rectangles from the axis value `base` to the value.
    Bars {
        name: String,
        at: Vec<f64>,
        values: Vec<f64>,
        base: f64,
        width: f64,
        color: Color,
    },
    /// Outlined or filled rectangle, corners in axis values.
    Rect {
        from: [f64; 2],
        to: [f64; 2],
        fill: Option<Color>,
        stroke: Option<Color>,
        width: f32,
    },
    /// A line around a rectangle, corners in axis values; it lies outside of it and covers nothing of what is in it.
    Frame {
        from: [f64; 2],
        to: [f64; 2],
        color: Color,
        width: f32,
    },
    /// Hatched: what is not known.
    Hatch {
        from: [f64; 2],
        to: [f64; 2],
        color: Color,
    },
    Arrow {
        from: [f64; 2],
        to: [f64; 2],
        color: Color,
        width: f32,
    },
    /// A curve that joins two places, a cubic Bézier curve by two more: it points at numbers, and is none.
    Arc {
        ends: [[f64; 2]; 2],
        by: [[f64; 2]; 2],
        color: Color,
        width: f32,
    },
    Text {
        at: [f64; 2],
        text: String,
        color: Color,
        anchor: Anchor,
        size: f32,
    },
    /// A vertical line over the whole plot with a short text at its top.
    Upright {
        x: f64,
        text: String,
        color: Color,
        dash: Dash,
    },
    /// At the edge of the axes, pointing to something that lies beyond it.
    Wedge {
        at: [f64; 2],
        color: Color,
    },
    /// Boxes with text that can be clicked: tokens, recorded steps.
    Cells(Vec<Cell>),
    /// A cloud too large for the scene: drawn by the GPU in the window, as points in files.
    Cloud(Cloud),
}

impl Mark {
    /// A line with a disc at each point, and a gap where a value is not known.
    pub fn curve(name: &str, points: Vec<[f64; 2]>, color: Color, dash: Dash) -> [Self; 2] {
        let (points, name): (Arc<[[f64; 2]]>, String) = (points.into(), name.to_owned());
        let colors = vec![color; points.len()].into();
        [
            Self::Line { name, points: points.clone(), color, width: 1.4, dash },
            Self::Points { name: String::new(), colors, points, diameter: 3.5, picks: [].into() },
        ]
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    pub name: String,
    pub rows: usize,
    pub columns: usize,
    /// Columns left of x = 0: memory tokens before the positions.
    pub before: usize,
    /// Row-major, `rows * columns`. NaN is drawn as absent.
    pub values: Arc<[f32]>,
    pub map: ColorMap,
    pub range: (f32, f32),
    pub scaling: Scaling,
    /// The largest value of each row, where each has a scale of its own from 0 to it, and `range` is that of shares of it; else
    /// empty.
    pub tops: Arc<[f32]>,
    /// Cells with x > y do not exist (drawn in the colour `unseen`, not as zero).
    pub causal: bool,
    /// The colour of cells that do not exist; transparent: that of the paper.
    pub unseen: Color,
    /// What a click on cell (row, column) picks, and how a hover names it.
    pub pick: HeatPick,
}

impl Heat {
    /// Where a column begins.
    pub fn x(&self, column: usize) -> f64 {
        column as f64 - self.before as f64
    }

    /// Where the value of a cell lies on the scale of colours, `0..=1` inside it; NaN where it is not a number.
    pub fn shade(&self, row: usize, column: usize) -> f32 {
        let value = self.values[row * self.columns + column];
        let top = self.tops.get(row).copied();
        let value = top.map_or(value, |top| if top > 0.0 { value / top } else { value });
        fraction(value, self.range, self.scaling)
    }

    /// Whether a cell does not exist for its place.
    pub fn hides(&self, row: usize, column: usize) -> bool {
        self.causal && column > row + self.before
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum HeatPick {
    #[default]
    Nothing,
    /// Row = query position, column = key position, or a memory token, which only has a name.
    QueryKey,
    /// Row and column are named; hover says `row → column: value`.
    Named { rows: Arc<[String]>, columns: Arc<[String]> },
    /// Each cell picks something of its own and says a sentence, row-major; of cells without a value, too.
    Cells { picks: Arc<[Pick]>, hovers: Arc<[String]> },
    /// Each cell picks something of its own, row-major; hover says `row column: value`.
    Lanes { picks: Arc<[Pick]>, rows: Arc<[String]>, columns: Arc<[String]> },
}

/// A box with text.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub from: [f64; 2],
    pub to: [f64; 2],
    pub text: String,
    pub fill: Option<Color>,
    pub stroke: Option<Color>,
    pub ink: Color,
    pub pick: Pick,
    /// What a hover and a screen reader say.
    pub hover: String,
    /// The number that its colour, its length or its text shows, and of what; none where it shows none.
    pub value: Option<(&'static str, f64)>,
}

/// Points in a space of `dims` dimensions with a basis to project them onto.
#[derive(Clone, Debug, PartialEq)]
pub struct Cloud {
    pub name: String,
    pub dims: usize,
    /// `[point, dim]`, row-major, centred.
    pub points: Arc<[f32]>,
    /// `[3, dim]`, row-major: x, y and depth.
    pub basis: Arc<[f32]>,
    pub colors: Arc<[Color]>,
    pub diameter: f32,
    pub picks: Arc<[Pick]>,
    /// What a hover says of each point, or empty.
    pub hovers: Arc<[String]>,
    /// 3D: rotate, pan, zoom. 2D: the first two rows of the basis as they are.
    pub three_d: bool,
    /// Pairs of points joined by a line, with its colour (attention of the selected query).
    pub links: Vec<(u32, u32, Color)>,
    /// Points with a ring around them: the selected ones, [`cloud::MOST_RINGS`] at most.
    pub rings: Vec<u32>,
}

/// Where a text sits relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Left,
    Center,
    Right,
}

/// What a click selects.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Pick {
    #[default]
    Nothing,
    /// A position of the sequence in view.
    Query(usize),
    Key(usize),
    QueryKey {
        query: usize,
        key: usize,
    },
    Head {
        layer: usize,
        head: usize,
    },
    Step(u64),
    /// A point of the cloud: sequence of the held-out batch, position, key or query.
    CloudPoint {
        sequence: usize,
        position: usize,
        is_key: bool,
    },
    /// A token of the vocabulary.
    Token(u32),
    /// A memory token as it is written in a segment, the layer of its place, and the position that wrote most of it.
    Slot {
        token: usize,
        segment: usize,
        layer: usize,
        writer: usize,
    },
    /// A run of the sweep that is open, by its number.
    Run(usize),
    /// Look at a sequence with one place taken from the run on another.
    Patch(Patch),
}

/// A part of the network on a pair of sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pub place: Place,
    /// The sequence that is run.
    pub base: Arc<[u32]>,
    /// The sequence that the part is taken from.
    pub other: Arc<[u32]>,
    /// Position of the prediction that is looked at.
    pub at: usize,
}
