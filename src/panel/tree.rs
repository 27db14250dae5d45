//! The tree of the sequence in view, layer by layer: which edges a position attends to, and which nodes it is about to name.

use crate::base::convert::{self, narrow};
use crate::base::event::MetricsRow;
use crate::base::question::{MeasurementCall, Reading};
use crate::base::tree::{Edge, Tree};
use crate::figure::color::Color;
use crate::figure::{Along, Axis, Cell, Dash, Figure, Mark, Pick, Plot, Ticks};

use super::outputs::{array, number, pattern, place, reading, sentence, step_text};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Tree",
    look_for: "The heavy path from the goal up to the root, and the bands of attention along it: with each layer the position in view should look one edge further up.",
    click: "A click on a node selects its position on the path as the query (the token that asks); one on the middle of an edge selects the key.",
    stack: Stack::RightBelow,
    turn: 4,
    aspect: 0.8,
    example: "tree",
    ..PanelKind::new("tree", || Box::<TreePanel>::default())
};

crate::choices! {
    /// Which head of a layer is drawn.
    pub enum Head {
        Strongest = "strongest",
        Mean = "mean",
        Selected = "selected",
    }
}

crate::settings! {
    /// The panel `tree`.
    pub struct TreePanel = "The tree of the sequence in view, once for each layer: the edges that the position in view attends to, and the nodes that it is about to name." {
        /// Of a layer with several heads: the one with the largest attention to an edge or the goal, the mean of all, or the selected head (in its layer; the strongest elsewhere).
        head: Head = Head::Strongest, @live;
        /// Rings around the nodes that would be named next after this layer, as a lens reads them.
        lens: bool = true, @live;
        /// Rings by a fitted lens where one is kept in the run's folder for the step in view; by the plain logit lens elsewhere.
        tuned: bool = true, @live;
        /// How often whole paths are right, by their length, with a line where chaining alone should end: one edge for each layer after the first.
        lengths: bool = true, @live;
    }
}

/// Attention below this is not drawn.
const LEAST: f32 = 0.02;
/// Width of an edge with next to none and with all of the attention, in points: more than the line of the path.
const WIDTHS: (f32, f32) = (2.5, 9.0);
/// How much wider than a node a ring around it is, in points.
const RING: f32 = 7.0;
/// Attention from which a title says where it goes.
const TELLING: f32 = 0.1;

impl Panel for TreePanel {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![MeasurementCall::new("attention"), self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl TreePanel {
    fn call(&self) -> MeasurementCall {
        MeasurementCall::new("tree_view").with("lens", self.lens).with("tuned", self.tuned)
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &self.call())?;
        let tree = tree_of(answer)?;
        let attention = reading(view, &MeasurementCall::new("attention"))?;
        let position = view.selection.query.unwrap_or(tree.script().root());
        let lengths = if self.lengths { lengths(view) } else { None };
        let layers: Vec<usize> =
            (0..view.net.heads.len()).filter(|layer| view.net.heads[*layer] > 0).collect();
        let count = layers.len() + usize::from(lengths.is_some());
        let columns = columns(view, count);
        let drawing = Drawing::new(view, &tree, columns, count);
        let mut plots = Vec::with_capacity(count);
        let mut read = Vec::with_capacity(layers.len());
        for layer in layers {
            let row = self.row(view, attention, &tree, layer, position)?;
            let lens = answer.array("lens").filter(|_| self.lens);
            let named = lens.and_then(|lens| {
                let nodes = tree.nodes;
                lens.outer(layer).get(position * nodes..(position + 1) * nodes)
            });
            let (most, _) = largest(row.iter().copied());
            read.push(tree.brought_by(layer, most));
            plots.push(drawing.plot(layer, &row, named));
        }
        if plots.is_empty() {
            return Err(sentence(
                "This network has no attention heads, so there is no climb to show.",
            ));
        }
        plots.extend(lengths);
        Ok(Figure {
            title: format!("Tree from {}, {}", place(view, position), step_text(view)),
            plots,
            columns,
            caption: self.caption(&tree, &read, &answer.notes),
            ..Figure::default()
        })
    }

    /// The attention of a layer from a position, to every position.
    fn row(
        &self,
        view: &View<'_>,
        attention: &Reading,
        tree: &Tree,
        layer: usize,
        position: usize,
    ) -> Result<Vec<f32>, Figure> {
        let heads = view.net.heads[layer];
        let rows: Vec<&[f32]> = (0..heads)
            .map(|head| pattern(attention, layer, head).map(|pattern| pattern.row(position)))
            .collect::<Result<_, _>>()?;
        if rows[0].len() < tree.script().root() {
            return Err(sentence(format!(
                "Position {position} is past the end of this tree: click one of its tokens."
            )));
        }
        let selected = (view.selection.layer == layer && self.head == Head::Selected)
            .then(|| rows.get(view.selection.head))
            .flatten();
        if let Some(row) = selected {
            return Ok(row.to_vec());
        }
        if self.head == Head::Mean {
            let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f32>() / heads as f32;
            return Ok((0..rows[0].len()).map(mean).collect());
        }
        let strength = |row: &[f32]| {
            let edges = tree.edges.iter().map(|edge| on_edge(row, edge));
            edges.chain([row[tree.script().goal()]]).fold(f32::NEG_INFINITY, f32::max)
        };
        let better = |best: usize, head: usize| {
            if strength(rows[head]) > strength(rows[best]) { head } else { best }
        };
        Ok(rows[(0..heads).fold(0, better)].to_vec())
    }
}

impl TreePanel {
    /// What the colours say, and how far the position in view climbs.
    fn caption(&self, tree: &Tree, read: &[Option<usize>], notes: &[String]) -> String {
        let nodes = tree.climbed(read);
        let list: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let climb = match nodes.len() {
            0 | 1 => "By its largest attention this position does not climb.".to_owned(),
            _ => format!("By its largest attention this position climbs {}.", list.join(", ")),
        };
        let ring = if self.lens { " blue ring: named next by the lens;" } else { "" };
        let lens: String = notes.iter().map(|note| format!(" {note}")).collect();
        format!("Magenta: attended;{ring} orange: the goal; heavy: the path.{lens} {climb}")
    }
}

/// The tree of an answer of `tree_view`.
fn tree_of(answer: &Reading) -> Result<Tree, Figure> {
    let edges = array(answer, "edges", 2)?;
    let numbers = |name: &str| answer.number(name).map(whole);
    let (Some(nodes), Some(goal)) = (numbers("nodes"), numbers("goal")) else {
        return Err(sentence("The answer names no tree, so there is nothing to draw."));
    };
    let pair = |edge: &[f32]| (whole(edge[0].into()), whole(edge[1].into()));
    let parts = edges.shape[1];
    if parts != 4 {
        return Err(sentence("The edges of the answer have no two ends each."));
    }
    let pairs: Vec<(usize, usize)> = edges.data.chunks_exact(parts).map(pair).collect();
    Tree::new(nodes, &pairs, goal)
        .map_err(|e| sentence(format!("This is no tree: {}.", e.clause())))
}

/// A count in an answer; what is none becomes one that no tree has.
fn whole(value: f64) -> usize {
    if (0.0..1e6).contains(&value) {
        let count = convert::index(value);
        return count;
    }
    usize::MAX
}

/// Attention to both tokens of an edge.
fn on_edge(row: &[f32], edge: &Edge) -> f32 {
    let at = |position: usize| row.get(position).copied().filter(|a| a.is_finite()).unwrap_or(0.0);
    at(edge.source) + at(edge.target)
}

/// Columns of the grid that leave each plot about as wide as high.
fn columns(view: &View<'_>, plots: usize) -> usize {
    let wide = view.size[0] / view.size[1].max(1.0);
    let misfit = |columns: usize| {
        let rows = plots.div_ceil(columns);
        let empty = rows * columns - plots;
        (wide * rows as f32 / columns as f32 / 1.1).ln().abs() + 0.2 * empty as f32
    };
    let all = 1..=plots.max(1);
    all.min_by(|a, b| misfit(*a).total_cmp(&misfit(*b))).unwrap_or(1)
}

/// The tree laid out, and the room for it.
struct Drawing<'a> {
    view: &'a View<'a>,
    tree: &'a Tree,
    /// Of each node: x in leaves from the left, y in edges from the root downwards.
    places: Vec<[f64; 2]>,
    width: f64,
    height: f64,
    /// Diameter of a node, in points.
    disc: f32,
    /// Half a node, in units of the two axes.
    half: [f64; 2],
}

impl<'a> Drawing<'a> {
    fn new(view: &'a View<'a>, tree: &'a Tree, columns: usize, plots: usize) -> Self {
        let places = tidy(tree);
        let most = |axis: usize| places.iter().map(|p| p[axis]).fold(0.0, f64::max);
        let (width, height) = (most(0) + 1.0, most(1) + 1.0);
        let rows = plots.div_ceil(columns);
        // What titles and gaps leave of the page.
        let room = |size: f32, parts: usize, taken: f32| {
            f64::from((size / parts as f32 - taken).clamp(20.0, 4000.0))
        };
        let (across, down) = (room(view.size[0], columns, 12.0), room(view.size[1], rows, 34.0));
        let disc = narrow((0.62 * (across / width).min(down / height)).clamp(5.0, 17.0));
        let half = [across / width, down / height].map(|unit| f64::from(disc) / 2.0 / unit);
        Self { view, tree, places, width, height, disc, half }
    }

    fn plot(&self, layer: usize, row: &[f32], named: Option<&[f32]>) -> Plot {
        let mut marks = self.edges(row);
        marks.extend(named.map(|named| self.rings(named)));
        marks.extend(self.discs(row));
        marks.push(self.names(row, named));
        marks.push(Mark::Cells(self.edge_cells(row).chain(self.node_cells(row, named)).collect()));
        let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            title: self.title(layer, row),
            x: axis((-0.6, self.width - 0.4)),
            y: axis((self.height - 0.4, -0.6)),
            marks,
            ..Plot::default()
        }
    }

    /// What has most of the attention: an edge, the goal or a position that the drawing lacks.
    fn title(&self, layer: usize, row: &[f32]) -> String {
        let edges = self.tree.edges.iter().map(|edge| {
            let name = format!("{}>{}", edge.parent, edge.child);
            (on_edge(row, edge), name)
        });
        let goal = self.tree.script().goal();
        let rest = (0..row.len()).filter(|at| !self.is_of_edge(*at)).map(|at| {
            let name = if at == goal { "goal".to_owned() } else { place(self.view, at) };
            (row[at], name)
        });
        let all: Vec<(f32, String)> = edges.chain(rest).collect();
        let (best, most) = largest(all.iter().map(|(attention, _)| *attention));
        match all.get(best).filter(|_| most >= TELLING) {
            Some((_, name)) => format!("L{layer}: {name} {most:.2}"),
            None => format!("L{layer}: spread"),
        }
    }

    fn is_of_edge(&self, position: usize) -> bool {
        position < self.tree.script().goal() && position % 3 < 2
    }

    /// Broad lines for attention below thin ones for what is there.
    fn edges(&self, row: &[f32]) -> Vec<Mark> {
        let line = |edge: &Edge, color: Color, width: f32| Mark::Line {
            name: String::new(),
            points: [self.places[edge.parent], self.places[edge.child]].into(),
            color,
            width,
            dash: Dash::Solid,
        };
        let attended = self.tree.edges.iter().filter_map(|edge| {
            let attention = on_edge(row, edge).min(1.0);
            let width = WIDTHS.0 + (WIDTHS.1 - WIDTHS.0) * attention;
            (attention >= LEAST).then(|| line(edge, colors::KEY, width))
        });
        let palette = self.view.palette;
        let plain = self.tree.edges.iter().map(|edge| {
            let on_path = self.tree.path.contains(&edge.child);
            let (color, width) =
                if on_path { (palette.ink, 1.2) } else { (colors::quiet(palette), 0.6) };
            line(edge, color, width)
        });
        attended.chain(plain).collect()
    }

    /// Rings around what the lens reads, as dark as it is sure: 1 − exp(−4 p), as Brinkmann et al. 2024 scale theirs.
    fn rings(&self, named: &[f32]) -> Mark {
        let sure = |p: f32| if p.is_finite() { 1.0 - (-4.0 * p).exp() } else { 0.0 };
        let shown: Vec<usize> =
            (0..self.places.len().min(named.len())).filter(|n| named[*n] >= 0.05).collect();
        let color =
            |node: &usize| colors::mix(self.view.palette.paper, colors::STORED, sure(named[*node]));
        Mark::Points {
            name: String::new(),
            points: shown.iter().map(|node| self.places[*node]).collect(),
            colors: shown.iter().map(color).collect(),
            diameter: self.disc + RING,
            picks: [].into(),
        }
    }

    /// The rim and the inside of each node, the inside as magenta as its own token is attended to.
    fn discs(&self, row: &[f32]) -> [Mark; 2] {
        let palette = self.view.palette;
        let rim = |node: usize| {
            if node == self.tree.goal {
                colors::TARGET
            } else if self.tree.path.contains(&node) {
                palette.ink
            } else {
                colors::quiet(palette)
            }
        };
        let inside = |node: usize| self.inside(row, node);
        let disc = |diameter: f32, color: &dyn Fn(usize) -> Color| Mark::Points {
            name: String::new(),
            points: self.places.clone().into(),
            colors: (0..self.places.len()).map(color).collect(),
            diameter,
            picks: [].into(),
        };
        [disc(self.disc, &rim), disc(self.disc - 2.4, &inside)]
    }

    fn inside(&self, row: &[f32], node: usize) -> Color {
        colors::mix(self.view.palette.paper, colors::KEY, self.alone(row, node))
    }

    /// Attention to the tokens that name a node outside of the edges: the goal, the root, and the path that is written.
    fn alone(&self, row: &[f32], node: usize) -> f32 {
        let script = self.tree.script();
        let on_path = self.tree.path.iter().position(|n| *n == node);
        let places = on_path.map(|at| script.root() + at);
        let goal = (node == self.tree.goal).then_some(script.goal());
        let weights = places.into_iter().chain(goal).filter_map(|at| row.get(at));
        weights.filter(|weight| weight.is_finite()).fold(0.0, |sum, weight| sum + weight)
    }

    /// The name of each node; with it goes what the ring around it says.
    fn names(&self, row: &[f32], named: Option<&[f32]>) -> Mark {
        let cell = |(node, [x, y]): (usize, &[f64; 2])| Cell {
            from: [x - self.half[0], y - self.half[1]],
            to: [x + self.half[0], y + self.half[1]],
            text: node.to_string(),
            fill: None,
            stroke: None,
            ink: colors::text_on(self.inside(row, node)),
            pick: Pick::Nothing,
            hover: String::new(),
            value: named.and_then(|named| Some(("named next", f64::from(*named.get(node)?)))),
        };
        Mark::Cells(self.places.iter().enumerate().map(cell).collect())
    }

    /// A node answers as the position where it is written last before the path, or on the path.
    fn node_cells<'b>(
        &'b self,
        row: &'b [f32],
        named: Option<&'b [f32]>,
    ) -> impl Iterator<Item = Cell> + 'b {
        let script = self.tree.script();
        (0..self.places.len()).map(move |node| {
            let on_path = self.tree.path.iter().position(|n| *n == node);
            let target = self.tree.edge_to(node).map(|edge| edge.target);
            let at = on_path.map(|at| script.root() + at).or(target).unwrap_or(script.root());
            let mut hover = format!("node {node}{}", self.rank(node));
            if on_path.is_some() {
                let alone = number(self.alone(row, node));
                hover += &format!("\nattention to it outside of the edges: {alone}");
            }
            if let Some(p) = named.and_then(|named| named.get(node)) {
                hover += &format!("\nnamed next after this layer: {}", number(*p));
            }
            let value = ("attention to nodes", f64::from(self.alone(row, node)));
            self.cell((self.places[node], 1.0), Pick::Query(at), hover, value)
        })
    }

    fn rank(&self, node: usize) -> String {
        if node == self.tree.goal {
            return ", the goal".to_owned();
        }
        let above = self.tree.path.iter().rev().position(|n| *n == node);
        match above {
            Some(_) if node == self.tree.root => ", the root".to_owned(),
            Some(steps) => format!(", {steps} above the goal"),
            None => String::new(),
        }
    }

    /// An edge answers in its middle as its lower end.
    fn edge_cells<'b>(&'b self, row: &'b [f32]) -> impl Iterator<Item = Cell> + 'b {
        self.tree.edges.iter().map(move |edge| {
            let (from, to) = (self.places[edge.parent], self.places[edge.child]);
            let middle = [0.5 * (from[0] + to[0]), 0.5 * (from[1] + to[1])];
            let at = |position: usize| row.get(position).copied().unwrap_or(f32::NAN);
            let hover = format!(
                "edge {}>{}\nattention to {} at {}: {}\nto >{} at {}: {}",
                edge.parent,
                edge.child,
                edge.parent,
                edge.source,
                number(at(edge.source)),
                edge.child,
                edge.target,
                number(at(edge.target)),
            );
            let value = ("attention to edges", f64::from(on_edge(row, edge)));
            self.cell((middle, 0.8), Pick::Key(edge.target), hover, value)
        })
    }

    fn cell(
        &self,
        ([x, y], size): ([f64; 2], f64),
        pick: Pick,
        hover: String,
        value: (&'static str, f64),
    ) -> Cell {
        let [across, down] = self.half.map(|half| half * size);
        Cell {
            from: [x - across, y - down],
            to: [x + across, y + down],
            text: String::new(),
            fill: None,
            stroke: None,
            ink: self.view.palette.ink,
            pick,
            hover,
            value: Some(value),
        }
    }
}

/// Where each node stands: leaves side by side from the left, a parent over the middle of its children, the child on the
/// path on the left.
fn tidy(tree: &Tree) -> Vec<[f64; 2]> {
    let mut places = vec![[0.0; 2]; tree.nodes];
    let mut leaves = 0.0;
    place_below(tree, tree.root, 0.0, &mut leaves, &mut places);
    places
}

fn place_below(tree: &Tree, node: usize, depth: f64, leaves: &mut f64, places: &mut [[f64; 2]]) {
    let mut children = tree.children(node);
    children.sort_by_key(|child| !tree.path.contains(child));
    for child in &children {
        place_below(tree, *child, depth + 1.0, leaves, places);
    }
    let x = match children[..] {
        [] => {
            *leaves += 1.0;
            *leaves - 1.0
        }
        _ => children.iter().map(|child| places[*child][0]).sum::<f64>() / children.len() as f64,
    };
    places[node] = [x, depth];
}

/// Index and value of the largest number, the first of equals.
fn largest(values: impl Iterator<Item = f32>) -> (usize, f32) {
    let better = |best: (usize, f32), (i, value): (usize, f32)| {
        if value > best.1 { (i, value) } else { best }
    };
    values.enumerate().fold((0, f32::NEG_INFINITY), better)
}

/// How often whole paths are right at the step in view, by their length; `None` where that was not measured.
fn lengths(view: &View<'_>) -> Option<Plot> {
    let (_, recording) = view.runs.first()?;
    let step = view.readings.map_or(recording.last_step, |readings| readings.step);
    let row: &MetricsRow = recording.rows.iter().rev().find(|row| row.step <= step)?;
    let value = |length: usize| {
        let name = format!("accuracy_path_{length}");
        let column = recording.columns.iter().position(|column| *column == name)?;
        row.values.get(column).copied()
    };
    let values: Vec<f64> = (1..).map_while(value).collect();
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let reach = view.net.heads.len().saturating_sub(1);
    let mut marks = vec![Mark::Bars {
        name: "whole paths right".to_owned(),
        at: (0..count).map(|i| i as f64 + 0.5).collect(),
        values,
        base: 0.0,
        width: 0.7,
        color: colors::line(view.palette, 0),
    }];
    if reach < count {
        marks.push(Mark::Upright {
            x: reach as f64,
            text: format!("chaining alone: {reach}"),
            color: view.palette.ink,
            dash: Dash::Dashed,
        });
    }
    let every = count.div_ceil(8).max(1);
    let tick = |i: usize| (i as f64 + 0.5, (i + 1).to_string());
    Some(Plot {
        title: format!("Right at step {}", row.step),
        x: Axis {
            label: "edges of the path".to_owned(),
            range: (0.0, count as f64),
            along: Along::Values,
            ticks: Ticks::At((0..count).step_by(every).map(tick).collect()),
        },
        y: Axis {
            label: "accuracy".to_owned(),
            // Room for the name of the line above a bar of 1.
            range: (0.0, 1.2),
            along: Along::Values,
            ticks: Ticks::At([0.0, 0.5, 1.0].map(|v| (v, format!("{v}"))).to_vec()),
        },
        marks,
        ..Plot::default()
    })
}
