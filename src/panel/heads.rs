//! All heads at a glance: a small attention map for each, layers downwards.

use std::sync::Arc;

use crate::base::array::Array;
use crate::base::convert;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::ColorMap;
use crate::figure::difference::around_zero;
use crate::figure::{Anchor, Axis, Edges, Figure, Heat, Mark, Pick, Plot, Ticks};
use crate::numeric::pattern::{part, shrink};

use super::attention::{FirstKey, first_key_color, least_colored};
use super::outputs::{
    Pattern, glance, is_head_cut, overview_call, pattern, reading, sentence, step_text, tokens,
};
use super::positions::{self, Window};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, compare, scales, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "All heads",
    look_for: "Lines in a map: one just below the diagonal is a head that looks at the token before; stripes further away look back at something that the text repeats.",
    click: "A click puts a head into focus: Attention, Query-key space and the cut with X are about it.",
    stack: Stack::MiddleAbove,
    turn: 1,
    aspect: 0.6,
    ..PanelKind::new("heads", || Box::<Heads>::default())
};

crate::choices! {
    /// What is written above a thumbnail.
    pub enum Score {
        Nothing = "nothing",
        Previous = "previous token",
        Induction = "induction",
        Duplicate = "duplicate token",
        Copying = "copying",
    }
}

crate::choices! {
    /// What it is measured on.
    pub enum Text {
        View = "the sequence in view",
        Task = "sequences of the task",
        Random = "random tokens",
    }
}

impl Text {
    /// The array of the measurement `heads` that holds a score on this text; `None` where the pattern in view says it.
    fn array(self, score: Score) -> Option<&'static str> {
        match (self, score) {
            (Self::View, _) | (_, Score::Nothing) => None,
            (Self::Task, Score::Previous) => Some("previous_token"),
            (Self::Task, Score::Induction) => Some("prefix_matching_task"),
            (Self::Task, Score::Duplicate) => Some("duplicate_token_task"),
            (Self::Task, Score::Copying) => Some("copying_task"),
            (Self::Random, Score::Previous) => Some("previous_token_random"),
            (Self::Random, Score::Induction) => Some("prefix_matching"),
            (Self::Random, Score::Duplicate) => Some("duplicate_token"),
            (Self::Random, Score::Copying) => Some("copying"),
        }
    }

    /// What a score on it looks at, after the name of the score.
    fn words(self) -> &'static str {
        match self {
            Self::View => "on the sequence in view",
            Self::Task => "on sequences of the task",
            Self::Random => "on random tokens, repeated",
        }
    }
}

crate::settings! {
    /// The panel `heads`.
    pub struct Heads = "All heads at a glance: layers downwards, heads side by side, each a small map of its attention on the sequence in view." {
        /// Colours of the maps.
        map: ColorMap = ColorMap::Paper, called "colours", @live;
        /// Which positions to draw: 48, as in the panel Attention; all; the last 64; or 64 around the selection.
        window: Window = Window::Near, called "positions shown", @live;
        /// Whether the colours run over the keys after the first alone, above which a bar stands then: as usual is so in networks of other programs.
        first_key: FirstKey = FirstKey::Usual, @live;
        /// Each map has a scale of its own, from 0 to its largest value; off: all run from 0 to 1.
        own_scale: bool = true, @live;
        /// A number above each map: the mean share of attention on the token just before, on tokens that follow an earlier copy of the query's (where there is one), or on these copies; or how much of what the head raises in the logits goes to the tokens that it attends to.
        score: Score = Score::Nothing, @live;
        /// So many times as large, with fewer heads in view; the wheel does it where a whole sequence is drawn.
        zoom: f64 = 1.0, in 1.0..=64.0, @live;
        /// The layer in the middle of what is in view then.
        around_layer: usize = 0, in 0..=4096, @live;
        /// The head in the middle.
        around_head: usize = 0, in 0..=4096, @live;
        /// What that number is measured on: the sequence in view, sequences of the task (what the head does there), or repeated random tokens (what it does with any text, so that networks of different tasks can be compared). Copying needs the second or the third.
        text: Text = Text::View, @live;
    }
}

impl Panel for Heads {
    fn needs(&self, net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        let scores = self.text.array(self.score).map(|_| MeasurementCall::new("heads"));
        std::iter::once(overview_call(net)).chain(scores).collect()
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        let columns = view.net.heads.iter().copied().max().unwrap_or(0);
        if columns == 0 {
            return sentence(
                "This network has no attention heads, so there is no attention to show.",
            );
        }
        let answer = match reading(view, &overview_call(view.net)) {
            Ok(answer) => answer,
            Err(instead) => return instead,
        };
        let grid = self.laid_out(view, columns);
        let plots = self.grid(view, answer, grid);
        let length = tokens(view).len();
        let is_whole = view.net.is_large();
        let shown = if is_whole { (0, length) } else { self.window.of(view.selection, length) };
        Figure {
            title: format!("Attention of all heads, {}", step_text(view)),
            columns: grid.columns,
            plots,
            edges: (grid.is_dense() && self.score == Score::Nothing)
                .then(|| Box::new(grid.edges(view.net))),
            caption: format!(
                "Above each diagonal: the future, which is hidden from a query.{}{}{}{}{}{}",
                grid.about(view.net),
                positions::about(shown, length),
                about_memory(answer),
                about_coming(view.net, answer),
                self.about_first_key(view),
                self.about_score(view)
            ),
            ..Figure::default()
        }
    }

    fn difference(&self, [a, b]: [&View<'_>; 2], _drawn: [&Figure; 2]) -> Figure {
        self.changes(a, b).unwrap_or_else(|instead| instead)
    }
}

/// Heads whose attention is compared: what moved is seen in maps around zero, and said above them.
impl Heads {
    fn changes(&self, a: &View<'_>, b: &View<'_>) -> Result<Figure, Figure> {
        let answer = compare::patterns(a, b)?;
        let columns = a.net.heads.iter().copied().max().unwrap_or(0);
        let plain = Self { score: Score::Nothing, ..*self };
        let grid = self.laid_out(a, columns);
        let mut plots = plain.grid(a, &answer, grid);
        let most = span::most(plots.iter().flat_map(scales::heats).flat_map(|heat| &*heat.values));
        for plot in &mut plots {
            if let Pick::Head { layer, head } = plot.pick {
                let moved = pattern(&answer, layer, head).map(compare::moved)?;
                plot.title = format!("L{layer} H{head}  {:.0} %", 100.0 * moved);
            }
            around_zero(&mut plot.marks, most, a.palette.dark);
        }
        Ok(Figure {
            columns: grid.columns,
            plots,
            caption: match most > 0.0 {
                true => "Above each map: how much of the attention goes elsewhere in A than in B, on average over queries.",
                false => "A and B are the same here.",
            }
            .to_owned(),
            ..Figure::default()
        })
    }
}

impl Heads {
    /// Of a network whose layers have up to so many heads.
    fn laid_out(&self, view: &View<'_>, heads: usize) -> Grid {
        let layers = layers_with_heads(view.net);
        let middle = layers.iter().position(|layer| *layer >= self.around_layer);
        let all = [layers.len().max(1), heads.max(1)];
        let middle = [middle.unwrap_or(all[0]), self.around_head];
        let count = all.map(|n| convert::index((n as f64 / self.zoom.max(1.0)).ceil()).clamp(1, n));
        let first = |i: usize| middle[i].saturating_sub(count[i] / 2).min(all[i] - count[i]);
        Grid::of(view, count, [first(0), first(1)])
    }

    /// Row by row; a layer with fewer heads is filled up with empty plots, one without heads left out.
    fn grid(&self, view: &View<'_>, answer: &Reading, grid: Grid) -> Vec<Plot> {
        let layers = layers_with_heads(view.net);
        let plot = |(row, column): (usize, usize)| {
            let (layer, head) = match grid.at(row, column) {
                Place::Head(layer, head) => (layers[layer], head),
                Place::Name(layer) => return name_of_layer(layers[layer], view),
                Place::Nothing => return blank(),
            };
            if head >= view.net.heads[layer] {
                return blank();
            }
            self.thumbnail(view, answer, (layer, head), grid.side)
        };
        let places = (0..grid.rows).flat_map(|row| (0..grid.columns).map(move |at| (row, at)));
        places.map(plot).collect()
    }

    fn thumbnail(
        &self,
        view: &View<'_>,
        answer: &Reading,
        (layer, head): (usize, usize),
        points: f32,
    ) -> Plot {
        let full = pattern(answer, layer, head).ok();
        let cells = self.cells(view, full, answer, (layer, head, points));
        let Some(Cells { memory, side, values }) = cells else {
            return blank();
        };
        let map = self.map.on(view.palette.dark);
        let apart = self.first_key.is_apart(view.net);
        let is_first = |i: usize| apart && i % (memory + side).max(1) == memory;
        let scaled = values.iter().enumerate().filter(|(i, v)| v.is_finite() && !is_first(*i));
        let most = scaled.map(|(_, v)| *v).fold(0.0, f32::max);
        let most = if apart { least_colored(tokens(view).len(), most) } else { most };
        let values: Arc<[f32]> = values.into();
        let top = if self.own_scale && most > 0.0 { most } else { 1.0 };
        let mut marks = vec![Mark::Heat(Heat {
            name: format!("layer {layer} head {head}"),
            rows: side,
            columns: memory + side,
            before: memory,
            values: Arc::clone(&values),
            map,
            range: (0.0, top),
            causal: true,
            unseen: super::attention::unseen(view, map),
            ..Heat::default()
        })];
        marks.extend(super::attention::memory_gap([memory, side], view.palette.paper));
        let (left, side) = (0.0 - memory as f64, side as f64);
        // Some points of air, in which the selected head is framed.
        let margin = side * f64::from(3.5 / points.max(20.0));
        if (layer, head) == (view.selection.layer, view.selection.head) {
            marks.push(Mark::Rect {
                from: [left - 0.6 * margin, -0.6 * margin],
                to: [side + 0.6 * margin; 2],
                fill: None,
                stroke: Some(view.palette.accent),
                // Not so wide that it covers a small map.
                width: (0.1 * points).clamp(1.0, 2.5),
            });
        }
        if apart && values.iter().enumerate().any(|(i, v)| is_first(i) && *v > most) {
            marks.push(Mark::Rect {
                from: [0.0, -margin],
                to: [1.0f64.max(0.04 * side), -0.2 * margin],
                fill: Some(first_key_color(view)),
                stroke: None,
                width: 0.0,
            });
        }
        if is_head_cut(view, layer, head) {
            marks.push(strike([left, side], [side, 0.0], view));
        }
        let axis = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        Plot {
            title: self.title(view, full, layer, head),
            x: axis((left - margin, side + margin)),
            y: axis((side + margin, -margin)),
            equal: true,
            marks,
            pick: Pick::Head { layer, head },
            ..Plot::default()
        }
    }

    /// What is drawn of a pattern, in no more cells than there is room for; nothing of one that is not square.
    fn cells(
        &self,
        view: &View<'_>,
        full: Option<Pattern<'_>>,
        answer: &Reading,
        (layer, head, points): (usize, usize, f32),
    ) -> Option<Cells> {
        let part_of = |full: Pattern<'_>| {
            let (from, to) = self.window.of(view.selection, full.queries);
            (from, to) != (0, full.queries)
        };
        let (pattern, is_whole) = match full.filter(|full| part_of(*full)) {
            Some(full) => (full, false),
            None => (glance(answer, layer, head).ok()?, true),
        };
        let (from, to) = self.window.of(view.selection, pattern.queries);
        if pattern.queries != pattern.keys {
            return None;
        }
        let size = [pattern.memory.len(), pattern.queries];
        // No more cells along a side than the points that there is room for.
        let most = convert::index(points.clamp(16.0, 128.0));
        if is_whole && pattern.queries <= most {
            let [memory, side] = size;
            return Some(Cells { memory, side, values: pattern.values.to_vec() });
        }
        let ([memory, side], values) = if is_whole {
            shrink(pattern.values, size, most)
        } else {
            let (memory, values) = part(pattern.values, size, from..to);
            shrink(&values, [memory, to - from], most)
        };
        Some(Cells { memory, side, values })
    }

    fn title(
        &self,
        view: &View<'_>,
        full: Option<Pattern<'_>>,
        layer: usize,
        head: usize,
    ) -> String {
        let score = match (self.text.array(self.score), self.score) {
            (Some(name), _) => score_of(view, name, layer, head),
            (None, Score::Nothing | Score::Copying) => None,
            (None, Score::Previous) => full.and_then(previous_token_share),
            (None, Score::Induction) => {
                full.and_then(|full| share_to_copies(full, tokens(view), 1))
            }
            (None, Score::Duplicate) => {
                full.and_then(|full| share_to_copies(full, tokens(view), 0))
            }
        };
        let cut = if is_head_cut(view, layer, head) { " cut" } else { "" };
        let score = score.map_or(String::new(), |s| format!("  {s:.2}"));
        format!("L{layer} H{head}{cut}{score}")
    }

    fn about_first_key(&self, view: &View<'_>) -> &'static str {
        match self.first_key.is_apart(view.net) {
            true => {
                " The colours run over the keys after the first; a bar above that one says that it takes more."
            }
            false => "",
        }
    }

    /// What the numbers above the maps are, or why there are none.
    fn about_score(&self, view: &View<'_>) -> String {
        let name = self.score.name();
        match (self.score, self.text) {
            (Score::Nothing, _) => String::new(),
            (Score::Copying, Text::View) => " Copying is not to be seen in a map of attention: choose sequences of the task, or random tokens, for the number.".to_owned(),
            (_, text) => {
                let refused = text.array(self.score).and_then(|_| {
                    view.readings?.get(&MeasurementCall::new("heads"))?.as_ref().err()
                });
                match refused {
                    Some(error) => format!(" No numbers: {}.", error.clause()),
                    None => format!(" Numbers: {name}, {}.", text.words()),
                }
            }
        }
    }
}

/// A pattern in few cells: columns of memory tokens, positions along a side, values row by row.
struct Cells {
    memory: usize,
    side: usize,
    values: Vec<f32>,
}

/// A line through the map of a head that is cut.
pub fn strike(from: [f64; 2], to: [f64; 2], view: &View<'_>) -> Mark {
    Mark::Arc { ends: [from, to], by: [from, to], color: colors::changed(view.palette), width: 2.0 }
}

/// Says what stands left of the line, where something does.
fn about_memory(answer: &Reading) -> &'static str {
    let has_memory = |array: &Array| array.axes.last().is_some_and(|keys| keys.origin() > 0);
    if answer.arrays.iter().any(has_memory) { " Left of the gap: memory tokens." } else { "" }
}

/// Says how many layers are there while the others are computed.
fn about_coming(net: &NetShape, answer: &Reading) -> String {
    let layers = layers_with_heads(net);
    let come = layers.iter().filter(|layer| glance(answer, **layer, 0).is_ok()).count();
    if come == layers.len() {
        return String::new();
    }
    format!(" {come} of {} layers are there, the others are being computed.", layers.len())
}

/// A score of the measurement `heads`.
fn score_of(view: &View<'_>, name: &str, layer: usize, head: usize) -> Option<f32> {
    let scores = reading(view, &MeasurementCall::new("heads")).ok()?.array(name)?;
    let [layers, heads] = scores.shape[..] else { return None };
    let known = layer < layers && head < heads;
    scores.data.get(layer * heads + head).copied().filter(|score| known && score.is_finite())
}

/// Mean attention to the token just before, over all queries that have one.
fn previous_token_share(pattern: Pattern<'_>) -> Option<f32> {
    span::mean((1..pattern.queries).map(|query| pattern.at(query, query - 1)))
}

/// Mean, over queries whose token stood in the sequence before, of the attention on all tokens that stand `after` places after
/// an earlier copy of it.
fn share_to_copies(pattern: Pattern<'_>, tokens: &[u32], after: usize) -> Option<f32> {
    let queries = 0..pattern.queries.min(tokens.len());
    span::mean(queries.filter_map(|query| {
        let following = super::attention::induction_keys(tokens, query);
        let keys = following.iter().map(|key| key - 1 + after);
        (!following.is_empty()).then(|| keys.map(|key| pattern.at(query, key)).sum())
    }))
}

/// Of many thumbnails, those that are smaller have their names at the edges of the grid.
const NAMED_SIDE: f32 = 48.0;
const NAMED_ALL: usize = 32;

/// Points that title, names and caption take of the height.
const AROUND: f32 = 50.0;
/// Blocks of layers that stand side by side, at most.
const MOST_BLOCKS: usize = 8;

/// How thumbnails are laid out: layers downwards and heads side by side, in blocks of layers side by side or turned where that leaves
/// them more room.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    columns: usize,
    is_turned: bool,
    /// Of a thumbnail, in points, about.
    side: f32,
    /// The first layer that has heads and the first head in view.
    first: [usize; 2],
    /// How many layers and heads are in view.
    count: [usize; 2],
}

/// What stands at a place of a grid: a layer, of those that have heads, and a head; or the name of the layer to the right of it, between
/// two blocks.
#[derive(Clone, Copy)]
enum Place {
    Head(usize, usize),
    Name(usize),
    Nothing,
}

impl Grid {
    fn is_dense(self) -> bool {
        self.side < NAMED_SIDE && self.count[0] * self.count[1] > NAMED_ALL
    }

    /// Names of its columns and of its rows.
    fn edges(self, net: &NetShape) -> Edges {
        let layers = layers_with_heads(net);
        let named = |place: Place, is_layer: bool| match place {
            Place::Head(layer, _) if is_layer => format!("L{}", layers[layer]),
            Place::Head(_, head) => format!("H{head}"),
            Place::Name(_) | Place::Nothing => String::new(),
        };
        let above = (0..self.columns).map(|column| named(self.at(0, column), self.is_turned));
        let beside = (0..self.rows).map(|row| named(self.at(row, 0), !self.is_turned));
        Edges { above: above.collect(), beside: beside.collect() }
    }

    fn at(self, row: usize, column: usize) -> Place {
        let [layers, heads] = self.count;
        if self.is_turned {
            return Place::Head(self.first[0] + column, self.first[1] + row);
        }
        // Between two blocks stands a column of names.
        let (block, head) = (column / (heads + 1), column % (heads + 1));
        let is_name = head == heads;
        let layer = (block + usize::from(is_name)) * self.rows + row;
        match layer < layers {
            true if is_name => Place::Name(self.first[0] + layer),
            true => Place::Head(self.first[0] + layer, self.first[1] + head),
            false => Place::Nothing,
        }
    }

    /// Which part of the heads is in view, where it is not all.
    fn about(self, net: &NetShape) -> String {
        let layers = layers_with_heads(net);
        let heads = net.heads.iter().copied().max().unwrap_or(0);
        if self.count == [layers.len(), heads] {
            return String::new();
        }
        let last = [0, 1].map(|i| self.first[i] + self.count[i] - 1);
        let layer = |at: usize| layers.get(at).copied().unwrap_or(at);
        format!(
            " In view: layers {} to {}, heads {} to {}; the wheel shows more of them, or less.",
            layer(self.first[0]),
            layer(last[0]),
            self.first[1],
            last[1]
        )
    }

    /// Of so many layers and heads in view.
    fn of(view: &View<'_>, count: [usize; 2], first: [usize; 2]) -> Self {
        /// How much larger thumbnails must become to be laid out in blocks, and turned.
        const GAINS: [f32; 2] = [1.1, 1.3];
        let [layers, heads] = count;
        let [width, height] = view.size;
        let height = (height - AROUND).max(0.5 * height);
        let of = |rows: usize, columns: usize, is_turned| {
            let side = (width / columns as f32).min(height / rows as f32);
            Self { rows, columns, is_turned, side, first, count }
        };
        let blocks = |blocks: usize| of(layers.div_ceil(blocks), blocks * (heads + 1) - 1, false);
        let (plain, turned) = (blocks(1), of(heads, layers, true));
        let is_flat = heads == 1 && view.size[0] > view.size[1];
        let most = MOST_BLOCKS.min(if plain.is_dense() { layers } else { 1 });
        let beside = (2..=most).map(blocks).max_by(|a, b| a.side.total_cmp(&b.side));
        let others = beside.into_iter().chain([turned]);
        let best = others.max_by(|a, b| a.side.total_cmp(&b.side)).unwrap_or(plain);
        let gain = GAINS[usize::from(best.is_turned)];
        match () {
            () if is_flat => turned,
            () if best.side > gain * plain.side => best,
            () => plain,
        }
    }
}

fn layers_with_heads(net: &NetShape) -> Vec<usize> {
    (0..net.heads.len()).filter(|layer| net.heads[*layer] > 0).collect()
}

/// Stands before a row of thumbnails.
fn name_of_layer(layer: usize, view: &View<'_>) -> Plot {
    let unit = || Axis { range: (0.0, 1.0), ticks: Ticks::Hidden, ..Axis::default() };
    let text = Mark::Text {
        at: [1.0, 0.5],
        text: format!("L{layer}"),
        color: view.palette.faint,
        anchor: Anchor::Right,
        size: 8.0,
    };
    Plot { x: unit(), y: unit(), marks: vec![text], ..Plot::default() }
}

fn blank() -> Plot {
    let hidden = || Axis { ticks: Ticks::Hidden, ..Axis::default() };
    Plot { x: hidden(), y: hidden(), equal: true, ..Plot::default() }
}
