//! What every head looks like: its scores as a map of all layers and as a table, sorted by one of them.

use crate::base::analysis::HeadScoring;
use crate::base::array::Array;
use crate::base::question::{Found, MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, Scaling, fraction};
use crate::figure::{Axis, Cell, Figure, Mark, Pick, Plot, Ticks};

use super::head_map::{HeadMap, short};
use super::outputs::{array, is_head_cut, long_answer, sentence};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Head scores",
    look_for: "Strong cells: an induction head attends to what followed the token before, a previous-token head to the token just before, a duplicate-token head to earlier copies; a copying head makes what it attends to likelier. A pair of the first two, the one in an earlier layer, is memory of the text in view.",
    click: "A click on a cell or a row puts the head into focus everywhere. The wheel moves the table on.",
    stack: Stack::RightAbove,
    turn: 6,
    aspect: 0.6,
    controls: &[("score", "Sort by"), ("order", "Order"), ("on", "On")],
    ..PanelKind::new("head_scores", || Box::<HeadScores>::default())
};

crate::choices! {
    /// What the table is sorted by and the map coloured with.
    pub enum Score {
        Induction = "induction",
        Previous = "previous token",
        Duplicate = "duplicate token",
        Copying = "copying",
    }
}

crate::choices! {
    /// Which heads stand first in the table.
    pub enum Order { Highest = "highest first", Lowest = "lowest first", Layers = "by layer" }
}

crate::choices! {
    /// What heads are scored on.
    pub enum On { Random = "random tokens", Task = "sequences of the task" }
}

crate::settings! {
    /// The panel `head_scores`.
    pub struct HeadScores = "The scores of all heads: a map of layers and heads, and a table that is sorted by one score. A click puts a head into focus everywhere." {
        /// The score that sorts the table and colours the map: attention on tokens that followed earlier copies (induction, also called prefix matching), on the token before, on earlier copies; or how much of what the head raises in the logits goes to what it attends to (copying).
        score: Score = Score::Induction, @live;
        /// Which heads stand first.
        order: Order = Order::Highest, @live;
        /// What heads are scored on: random tokens that are repeated, so that networks can be compared; or sequences of the task.
        on: On = On::Random, @live;
        /// The first row of the table, from 1.
        first: usize = 1, in 1..=100000, @live;
        /// Colours of the map.
        map: ColorMap = ColorMap::Paper, called "colours", @live;
        /// Sequences of each kind that a score averages over.
        examples: usize = 10, in 1..=100, @live;
        /// Different tokens in a repeated sequence; less where vocabulary or context are smaller.
        tokens: usize = 25, in 2..=512, @live;
        /// How often they are repeated.
        repeats: usize = 4, in 2..=16, @live;
    }
}

const SCORES: [Score; 4] = [Score::Induction, Score::Previous, Score::Duplicate, Score::Copying];
/// Height of a row of the table, and of what stands around it, in points.
const ROW: f32 = 11.5;
const AROUND: f32 = 58.0;
/// Units of the table's x axis: the name of a head, and each score.
const NAME: f64 = 1.4;

impl Panel for HeadScores {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        Vec::new()
    }

    fn analyses(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call()]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

/// A head and its scores, in the order of [`SCORES`]; NaN where one is not known.
struct Head {
    layer: usize,
    head: usize,
    scores: [f32; 4],
}

impl Head {
    fn pick(&self) -> Pick {
        Pick::Head { layer: self.layer, head: self.head }
    }

    fn name(&self) -> String {
        format!("L{} H{}", self.layer, self.head)
    }

    fn hover(&self) -> String {
        let scores = SCORES.iter().zip(self.scores);
        let scores: Vec<String> =
            scores.map(|(score, value)| format!("{} {}", score.name(), short(value))).collect();
        format!("layer {} head {}: {}", self.layer, self.head, scores.join(", "))
    }
}

impl HeadScores {
    fn call(&self) -> MeasurementCall {
        let usual = HeadScoring::default();
        let mut call = MeasurementCall::new("head_scores").with("task", self.on == On::Task);
        let numbers = [
            ("examples", self.examples, usual.examples),
            ("tokens", self.tokens, usual.tokens),
            ("repeats", self.repeats, usual.repeats),
        ];
        for (name, value, usual) in numbers {
            if value != usual {
                call = call.with(name, i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        call
    }

    /// The array of a score.
    fn array(&self, score: Score) -> &'static str {
        match (self.on, score) {
            (On::Random, Score::Induction) => "prefix_matching",
            (On::Random, Score::Previous) => "previous_token_random",
            (On::Random, Score::Duplicate) => "duplicate_token",
            (On::Random, Score::Copying) => "copying",
            (On::Task, Score::Induction) => "prefix_matching_task",
            (On::Task, Score::Previous) => "previous_token",
            (On::Task, Score::Duplicate) => "duplicate_token_task",
            (On::Task, Score::Copying) => "copying_task",
        }
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        if !view.net.has_heads() {
            return Err(sentence(
                "This network has no attention heads, so there is none to score.",
            ));
        }
        let waiting = "Heads are scored on repeated random tokens; the scores appear as they come.";
        let (reading, found) = long_answer(view, &self.call(), waiting)?;
        let heads = self.heads(reading)?;
        let wide = view.size[0] > 1.2 * view.size[1];
        let map = self.map(view, &heads)?;
        let (table, shown) = self.table(view, heads, wide);
        Ok(Figure {
            title: format!("Scores of all heads on {}, step {}", self.on.name(), found.step),
            plots: vec![map, table],
            columns: if wide { 2 } else { 1 },
            caption: format!("{shown}{}{}", losses(reading), so_far(found)),
            ..Figure::default()
        })
    }

    fn heads(&self, reading: &Reading) -> Result<Vec<Head>, Figure> {
        let arrays: Vec<&Array> = SCORES
            .iter()
            .map(|score| array(reading, self.array(*score), 2))
            .collect::<Result<_, _>>()?;
        let [layers, heads] = arrays[0].shape[..] else { return Ok(Vec::new()) };
        let of = |layer: usize, head: usize| {
            let at = layer * heads + head;
            let scores = [0, 1, 2, 3].map(|i: usize| {
                arrays[i].data.get(at).copied().filter(|_| arrays[i].shape == arrays[0].shape)
            });
            Head { layer, head, scores: scores.map(|score| score.unwrap_or(f32::NAN)) }
        };
        let all = (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head)));
        Ok(all.map(|(layer, head)| of(layer, head)).collect())
    }

    /// Where the chosen score stands among those of a head.
    fn chosen(&self) -> usize {
        SCORES.iter().position(|score| *score == self.score).unwrap_or(0)
    }

    fn map(&self, view: &View<'_>, heads: &[Head]) -> Result<Plot, Figure> {
        let (Some(last), chosen) = (heads.last(), self.chosen()) else {
            return Err(sentence("The answer holds no heads, so there is nothing to draw."));
        };
        let (rows, columns) = (last.layer + 1, last.head + 1);
        let values: Vec<f32> = heads.iter().map(|head| head.scores[chosen]).collect();
        let name = self.score.name();
        let of_heads = HeadMap {
            title: name,
            label: "score",
            size: [rows, columns],
            values,
            hovers: heads.iter().map(Head::hover).collect(),
            map: self.map.on(view.palette.dark),
            range: (0.0, 1.0),
        };
        Ok(Plot { weight: 1.3, ..of_heads.plot(view) })
    }

    /// The table, as much of it as there is room for, and which rows that are.
    fn table(&self, view: &View<'_>, mut heads: Vec<Head>, wide: bool) -> (Plot, String) {
        let chosen = self.chosen();
        heads.retain(|head| head.scores.iter().any(|score| score.is_finite()));
        match self.order {
            Order::Highest => heads.sort_by(|a, b| of(b, chosen).total_cmp(&of(a, chosen))),
            Order::Lowest => heads.sort_by(|a, b| of(a, chosen).total_cmp(&of(b, chosen))),
            Order::Layers => {}
        }
        let height = if wide { view.size[1] } else { 0.45 * view.size[1] };
        let room = crate::base::convert::index(f64::from((height - AROUND) / ROW)).max(3);
        let most = heads.len().saturating_sub(room);
        let first = (self.first - 1).min(most);
        let shown = &heads[first..heads.len().min(first + room)];
        let mut cells = vec![header("head", [0.0, NAME], view.palette.faint)];
        cells.extend(SCORES.iter().enumerate().map(|(at, score)| {
            let ink = if at == chosen { view.palette.ink } else { view.palette.faint };
            header(score.name().trim_end_matches(" token"), column(at), ink)
        }));
        for (row, head) in shown.iter().enumerate() {
            cells.extend(self.row(view, head, row));
        }
        let said = match shown.len() {
            all if all == heads.len() => String::new(),
            some => {
                format!("Heads {} to {} of {} in the table.", first + 1, first + some, heads.len())
            }
        };
        let hidden = |range| Axis { range, ticks: Ticks::Hidden, ..Axis::default() };
        let plot = Plot {
            x: hidden((0.0, NAME + 4.0)),
            y: hidden((room.min(heads.len()).max(shown.len()) as f64, -1.0)),
            marks: vec![Mark::Cells(cells)],
            ..Plot::default()
        };
        (plot, said)
    }

    fn row(&self, view: &View<'_>, head: &Head, row: usize) -> Vec<Cell> {
        let map = self.map.on(view.palette.dark);
        let is_in_focus = (head.layer, head.head) == (view.selection.layer, view.selection.head);
        let cut = if is_head_cut(view, head.layer, head.head) { " cut" } else { "" };
        let cell = |[left, right]: [f64; 2], text: String, fill: Option<Color>, value| Cell {
            from: [left + 0.02, row as f64 + 0.04],
            to: [right - 0.02, row as f64 + 0.96],
            text,
            fill,
            stroke: None,
            ink: fill.map_or(view.palette.ink, colors::text_on),
            pick: head.pick(),
            hover: head.hover(),
            value,
        };
        let name = Cell {
            stroke: is_in_focus.then_some(view.palette.accent),
            ..cell([0.0, NAME], format!("{}{cut}", head.name()), None, None)
        };
        let scores = SCORES.iter().enumerate().map(|(at, score)| {
            let value = head.scores[at];
            let fill = value.is_finite().then(|| shade(map, value));
            cell(column(at), short(value), fill, Some((score.name(), f64::from(value))))
        });
        std::iter::once(name).chain(scores).collect()
    }
}

/// A score for sorting: what is not known stands last whichever way.
fn of(head: &Head, chosen: usize) -> f32 {
    let score = head.scores[chosen];
    if score.is_finite() { score } else { -1.0 }
}

fn column(at: usize) -> [f64; 2] {
    [NAME + at as f64, NAME + at as f64 + 1.0]
}

fn header(text: &str, [left, right]: [f64; 2], ink: Color) -> Cell {
    Cell {
        from: [left, -0.96],
        to: [right, -0.04],
        text: text.to_owned(),
        fill: None,
        stroke: None,
        ink,
        pick: Pick::Nothing,
        hover: text.to_owned(),
        value: None,
    }
}

fn shade(map: ColorMap, value: f32) -> Color {
    map.at(fraction(value, (0.0, 1.0), Scaling::Linear))
}

/// What the network loses on random tokens the first time and again.
fn losses(reading: &Reading) -> String {
    let of = |name: &str| reading.number(name).filter(|loss| loss.is_finite());
    match (of("loss_repeats_first"), of("loss_repeats_again")) {
        (Some(first), Some(again)) => {
            format!(
                " Loss on random tokens {first:.2} nats the first time, {again:.2} when they come again."
            )
        }
        _ => String::new(),
    }
}

fn so_far(found: &Found) -> String {
    match found.ended {
        true if found.done >= found.total => String::new(),
        _ => format!(" So far {} of {} sequences.", found.done, found.total),
    }
}
