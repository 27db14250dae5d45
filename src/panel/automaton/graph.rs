//! A graph as marks: states as discs with a rim, arrows between them, and what is said of each.

use crate::base::convert::narrow;
use crate::figure::color::Color;
use crate::figure::{Axis, Cell, Dash, Mark, Pick, Plot, Ticks};
use crate::panel::{Palette, colors};

use super::drawing::{self, At, Bow};

/// A state.
pub struct Node {
    pub at: At,
    pub text: String,
    pub fill: Color,
    pub is_start: bool,
    /// Where the sequence in view is.
    pub is_selected: bool,
    pub hover: String,
    pub pick: Pick,
    /// The share of its vectors at which what is told of it is told.
    pub value: Option<(&'static str, f64)>,
}

/// An arrow from one state to another, by their numbers.
pub struct Edge {
    pub ends: [usize; 2],
    pub text: String,
    /// How sure it is, from 0 to 1.
    pub share: f64,
    pub color: Color,
    pub hover: String,
    pub pick: Pick,
}

/// What is drawn.
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// Widths of an arrow that is never and one that is always taken, in points.
const WIDTHS: [f64; 2] = [0.4, 1.1];
/// Length of the head of an arrow, in points.
const HEAD: f64 = 7.0;
/// Height of what stands beside an arrow, in units of the axes, and in points at least and at most.
const LABEL: (f64, [f64; 2]) = (0.17, [5.2, 8.5]);
/// Half of the room of the word "start", across and down, in points.
const START: [f64; 2] = [10.0, 4.5];
/// In graphs of more states what is said of an arrow is left out where it would cover something else.
const MOST_CROWDED: usize = 7;
/// And in drawings of which a unit has fewer points.
const LEAST_UNIT: f64 = 30.0;
/// Units of the axes beside the circle: loops, and where the start comes from.
const BESIDE: f64 = 0.78;

impl Graph {
    /// In a plot with so many points of room, across and down.
    pub fn plot(&self, title: String, palette: Palette, room: [f32; 2]) -> Plot {
        let reach = self.reach();
        let unit =
            (0..2).map(|i| f64::from(room[i]) / (2.0 * reach[i])).fold(f64::INFINITY, f64::min);
        let places: Vec<At> = self.nodes.iter().map(|node| node.at).collect();
        let sizes = Sizes { radius: drawing::radius(&places), unit, palette };
        let bows: Vec<Bow> = self.edges.iter().map(|edge| self.bow(edge, &sizes)).collect();
        let arrows = self.edges.iter().zip(&bows).flat_map(|(edge, bow)| arrow(edge, bow, palette));
        let labels = self.labels(&bows, &sizes);
        let mut marks: Vec<Mark> = arrows.chain([Mark::Cells(labels)]).collect();
        marks.extend(
            self.nodes.iter().filter(|node| node.is_start).flat_map(|n| self.start(n, &sizes)),
        );
        marks.extend(self.nodes.iter().flat_map(|node| disc(node, &sizes)));
        let names = self.nodes.iter().map(|node| name(node, &sizes));
        marks.push(Mark::Cells(names.collect()));
        let axis =
            |reach: f64| Axis { range: (-reach, reach), ticks: Ticks::Hidden, ..Axis::default() };
        Plot { title, x: axis(reach[0]), y: axis(reach[1]), equal: true, marks, ..Plot::default() }
    }

    /// How far the axes go, across and down.
    fn reach(&self) -> [f64; 2] {
        let most = |i: usize| self.nodes.iter().map(|node| node.at[i].abs()).fold(0.0, f64::max);
        [0, 1].map(|i| most(i) + BESIDE)
    }

    fn bow(&self, edge: &Edge, sizes: &Sizes) -> Bow {
        let [from, to] = edge.ends.map(|state| self.nodes[state].at);
        let head = (HEAD / sizes.unit).min(0.8 * sizes.radius);
        if edge.ends[0] == edge.ends[1] {
            return drawing::circuit(from, sizes.radius, head);
        }
        drawing::bow(from, to, sizes.radius, head)
    }

    /// What is said of the arrows, each where nothing else stands if there is such a place; those with one place have theirs first.
    fn labels(&self, bows: &[Bow], sizes: &Sizes) -> Vec<Cell> {
        let disc = |node: &Node| [-1.0, 1.0].map(|side| node.at.map(|x| x + side * sizes.radius));
        let mut taken: Vec<[At; 2]> = self.nodes.iter().map(disc).collect();
        let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(bows.len());
        let mut order: Vec<usize> = (0..bows.len()).collect();
        order.sort_by_key(|edge| bows[*edge].labels.len());
        for edge in order {
            let cell = |at: &At| label(&self.edges[edge], *at, sizes);
            let is_free =
                |cell: &Cell| taken.iter().all(|other| are_apart([cell.from, cell.to], *other));
            let mut places = bows[edge].labels.iter().map(cell);
            let Some(best) = places.next() else { continue };
            let free = if is_free(&best) { Some(best.clone()) } else { places.find(is_free) };
            // Where hardly any word can be read, fewer of them can.
            let is_crowded = self.nodes.len() > MOST_CROWDED || sizes.unit < LEAST_UNIT;
            let Some(cell) = free.or((!is_crowded).then_some(best)) else { continue };
            taken.push([cell.from, cell.to]);
            cells.push((edge, cell));
        }
        cells.sort_by_key(|(edge, _)| *edge);
        cells.into_iter().map(|(_, cell)| cell).collect()
    }

    fn start(&self, node: &Node, sizes: &Sizes) -> [Mark; 2] {
        let is_loop =
            |edge: &Edge| edge.ends[0] == edge.ends[1] && self.nodes[edge.ends[0]].at == node.at;
        let has_loop = self.edges.iter().any(is_loop);
        let [from, to] = drawing::beginning(node.at, sizes.radius, has_loop);
        let color = sizes.palette.ink;
        let half = START.map(|points| points / sizes.unit);
        let [x, y] = drawing::beyond([from, to], half);
        let corner = |side: f64| [x + side * half[0], y + side * half[1]];
        let text = word(corner(-1.0), corner(1.0), "start".to_owned(), color);
        [Mark::Arrow { from, to, color, width: 1.0 }, Mark::Cells(vec![text])]
    }
}

/// Whether two boxes, each between two corners, do not overlap.
fn are_apart([a, b]: [At; 2], [c, d]: [At; 2]) -> bool {
    (0..2).any(|i| b[i] <= c[i] || d[i] <= a[i])
}

/// Words that nothing answers to, between two corners.
pub fn word(from: At, to: At, text: String, ink: Color) -> Cell {
    let (hover, pick) = (String::new(), Pick::Nothing);
    Cell { from, to, text, fill: None, stroke: None, ink, pick, hover, value: None }
}

/// Sizes of the drawing.
struct Sizes {
    /// Of a state, in units of the axes.
    radius: f64,
    /// About so many points are a unit.
    unit: f64,
    palette: Palette,
}

/// Curve and head, the broader and the stronger the surer.
fn arrow(edge: &Edge, bow: &Bow, palette: Palette) -> [Mark; 2] {
    let width = narrow(WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * edge.share);
    let color = colors::mix(palette.paper, edge.color, narrow(0.3 + 0.7 * edge.share.powi(2)));
    let [from, after, before, to] = bow.curve;
    [
        Mark::Arc { ends: [from, to], by: [after, before], color, width },
        Mark::Arrow { from: to, to: bow.tip, color, width },
    ]
}

/// The rim of a state, and what it is filled with.
fn disc(node: &Node, sizes: &Sizes) -> Vec<Mark> {
    let rim = |radius: f64, color: Color, width: f32| Mark::Line {
        name: String::new(),
        points: drawing::circle(node.at, radius).into(),
        color,
        width,
        dash: Dash::Solid,
    };
    // The room is an estimate: what is filled stays inside of the rim.
    let diameter = narrow(2.0 * sizes.radius * sizes.unit * 0.94);
    let fill = Mark::Points {
        name: String::new(),
        points: [node.at].into(),
        colors: [node.fill].into(),
        diameter,
        picks: [].into(),
    };
    let mut marks = vec![fill, rim(sizes.radius, node.fill, 1.8)];
    if node.is_selected {
        marks.push(rim(1.3 * sizes.radius, sizes.palette.accent, 1.4));
    }
    marks
}

/// What a state is called, and what a click on it does.
fn name(node: &Node, sizes: &Sizes) -> Cell {
    let half = sizes.radius * 0.75;
    Cell {
        from: node.at.map(|x| x - half),
        to: node.at.map(|x| x + half),
        text: node.text.clone(),
        fill: None,
        stroke: None,
        ink: colors::text_on(node.fill),
        pick: node.pick.clone(),
        hover: node.hover.clone(),
        value: node.value,
    }
}

/// The actions of an arrow, on paper, so that lines below are not read as part of them.
fn label(edge: &Edge, [x, y]: At, sizes: &Sizes) -> Cell {
    let (share, [least, most]) = LABEL;
    let height = (share * sizes.unit).clamp(least, most) / sizes.unit;
    // Letters are about half as wide as high.
    let width = height * (0.48 * edge.text.chars().count() as f64 + 0.3);
    Cell {
        from: [x - width / 2.0, y - height / 2.0],
        to: [x + width / 2.0, y + height / 2.0],
        text: edge.text.clone(),
        fill: Some(sizes.palette.paper),
        stroke: None,
        ink: sizes.palette.ink,
        pick: edge.pick.clone(),
        hover: edge.hover.clone(),
        value: Some(("certainty", edge.share)),
    }
}
