//! The circuits of a head, read off its weights: whom tokens and positions look at, what is raised where they are looked at, and what
//! it reads of other heads.

use crate::base::array::Array;
use crate::base::plain::Plain;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{ColorMap, Scaling};
use crate::figure::{Axis, ColorBar, Figure, Heat, HeatPick, Mark, Pick, Plot, Ticks};

use super::head_map::{HeadMap, short};
use super::outputs::{array, number, reading, sentence, step_text};
use super::tokens::as_id;
use super::{NetShape, Panel, PanelKind, Selection, View, colors, scales, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Circuits",
    look_for: "Two maps of the weights of one head, without any text. QK: each row is a token that asks, and its strong cells are the tokens that it looks at. OV: each row is a token that is looked at, and its strong cells are the tokens that become likelier. A strong diagonal of OV copies.",
    click: "A click on a cell of the maps of heads puts that head into focus; elsewhere it does nothing. Pointing at a cell tells the two tokens and the value.",
    aspect: 0.6,
    is_of_head: true,
    example: "max-of-list",
    controls: &[("which", "Show"), ("centered", "Minus row means")],
    ..PanelKind::new("circuits", || Box::<Circuits>::default())
};

crate::choices! {
    /// Which maps are drawn.
    pub enum Which {
        Tokens = "tokens",
        Positions = "positions",
        Eigenvalues = "eigenvalues",
        Heads = "heads",
        All = "all",
    }
}

crate::settings! {
    /// The panel `circuits`.
    pub struct Circuits = "What the head in focus does by its weights alone: which tokens look at which, which logits each token raises, whether that is copying, and what the head reads of other heads." {
        /// What to draw: the QK and OV circuits between tokens; all parts of the scores, between tokens and positions; the eigenvalues of the OV circuit; copying and composition of all heads; or all of these.
        which: Which = Which::Tokens, @live;
        /// Subtract the mean of each row: softmax does not see it.
        centered: bool = true, @live;
        /// Tokens of a map at most: the whole vocabulary where it has no more, else the tokens of the sequence in view.
        tokens: usize = 128, in 2..=1024, @live;
        /// Positions of a map, from the first.
        positions: usize = 64, in 2..=1024, @live;
        /// How many positions before its query a key stands, where queries and keys are rotated.
        distance: usize = 0, in 0..=1000000, @live;
    }
}

impl Panel for Circuits {
    fn needs(&self, _net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call(selection)]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

/// What the rows or the columns of a map are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Tokens,
    Positions,
}

/// A map between tokens and positions.
struct Map {
    array: &'static str,
    title: &'static str,
    rows: (&'static str, Of),
    columns: (&'static str, Of),
    unit: &'static str,
}

/// What parts of the scores are.
const SCORE: &str = "score";

const LOGIT: &str = "logit";

impl Map {
    const fn new(
        array: &'static str,
        title: &'static str,
        rows: (&'static str, Of),
        columns: (&'static str, Of),
        unit: &'static str,
    ) -> Self {
        Self { array, title, rows, columns, unit }
    }
}

const QUERY_TOKEN: (&str, Of) = ("query token", Of::Tokens);
const QUERY_POSITION: (&str, Of) = ("query position", Of::Positions);
const KEY_TOKEN: (&str, Of) = ("key token", Of::Tokens);
const KEY_POSITION: (&str, Of) = ("key position", Of::Positions);
const ATTENDED: (&str, Of) = ("attended token", Of::Tokens);
const TOKEN: (&str, Of) = ("token", Of::Tokens);
const OUTPUT: (&str, Of) = ("output token", Of::Tokens);

const TOKEN_MAPS: [Map; 2] = [
    Map::new("qk", "QK circuit", QUERY_TOKEN, KEY_TOKEN, SCORE),
    Map::new("ov", "OV circuit", ATTENDED, OUTPUT, LOGIT),
];

const DIRECT: Map = Map::new("direct", "Direct path", TOKEN, OUTPUT, LOGIT);

const POSITION_MAPS: [Map; 3] = [
    Map::new("position_position", "Position to position", QUERY_POSITION, KEY_POSITION, SCORE),
    Map::new("token_position", "Token to position", QUERY_TOKEN, KEY_POSITION, SCORE),
    Map::new("position_token", "Position to token", QUERY_POSITION, KEY_TOKEN, SCORE),
];

/// A number of each head: array, title, unit.
const OF_HEADS: [(&str, &str, &str); 4] = [
    ("copying", "Copying", "score"),
    ("q_composition", "Q-composition", "score"),
    ("k_composition", "K-composition", "score"),
    ("v_composition", "V-composition", "score"),
];

impl Circuits {
    fn call(&self, selection: &Selection) -> MeasurementCall {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let call = MeasurementCall::new("circuits")
            .with("layer", whole(selection.layer))
            .with("head", whole(selection.head))
            .with("heads", matches!(self.which, Which::Heads | Which::All));
        let usual = Self::default();
        let changed = [
            ("tokens", self.tokens, usual.tokens),
            ("positions", self.positions, usual.positions),
            ("distance", self.distance, usual.distance),
        ];
        let changed = changed.into_iter().filter(|(_, value, usual)| value != usual);
        changed.fold(call, |call, (name, value, _)| call.with(name, whole(value)))
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &self.call(view.selection))?;
        let wants = |which| self.which == which || self.which == Which::All;
        let mut plots = Vec::new();
        if self.which != Which::Eigenvalues && self.which != Which::Heads {
            plots.extend(self.maps(view, answer, self.wanted(answer))?);
        }
        if wants(Which::Eigenvalues) {
            plots.extend(eigenvalues(view, answer));
        }
        if wants(Which::Heads) {
            plots.extend(heads(view, answer)?);
        }
        if plots.is_empty() {
            return Err(sentence(self.nothing(answer)));
        }
        let columns = columns(view, plots.len());
        let caption = span::sentences([self.said(answer), span::past_maps(&plots)]);
        Ok(Figure { title: title(view, answer), columns, caption, plots, ..Figure::default() })
    }

    /// The maps to draw, as far as the answer has them.
    fn wanted(&self, answer: &Reading) -> Vec<&'static Map> {
        let has_positions = answer.array(POSITION_MAPS[0].array).is_some();
        let maps: Vec<&Map> = match self.which {
            Which::Tokens => TOKEN_MAPS.iter().collect(),
            // Without them the whole score is QK.
            Which::Positions if !has_positions => Vec::new(),
            Which::Positions => TOKEN_MAPS[..1].iter().chain(&POSITION_MAPS).collect(),
            Which::All => TOKEN_MAPS.iter().chain([&DIRECT]).chain(&POSITION_MAPS).collect(),
            Which::Eigenvalues | Which::Heads => Vec::new(),
        };
        maps.into_iter().filter(|map| answer.array(map.array).is_some()).collect()
    }

    /// Why there is nothing to draw.
    fn nothing(&self, answer: &Reading) -> String {
        if self.which == Which::Positions {
            return "This network has no table of positions: no vector stands for a position, and where queries and keys are rotated the setting distance says how far apart they stand.".to_owned();
        }
        let notes = answer.notes.join(" ");
        format!("There is nothing of this kind to draw for this head. {notes}")
            .trim_end()
            .to_owned()
    }

    fn said(&self, answer: &Reading) -> String {
        let mut said = answer.notes.clone();
        let random = answer.number("composition_at_random").filter(|x| x.is_finite());
        if let Some(random) = random.filter(|_| matches!(self.which, Which::Heads | Which::All)) {
            said.push(format!(
                "Composition: what this head reads of heads of earlier layers, and those of later layers of it; two matrices turned at random against each other have {:.2}.",
                Plain(random)
            ));
        }
        said.join(" ")
    }

    /// Parts of scores have one scale: what is pale decides little.
    fn maps(
        &self,
        view: &View<'_>,
        answer: &Reading,
        maps: Vec<&Map>,
    ) -> Result<Vec<Plot>, Figure> {
        let mut plots: Vec<Plot> =
            maps.iter().map(|map| self.map(view, map, answer)).collect::<Result<_, _>>()?;
        let of_scores = plots.iter_mut().zip(maps).filter(|(_, map)| map.unit == SCORE);
        scales::share_colors(&mut of_scores.map(|(plot, _)| plot).collect::<Vec<_>>());
        Ok(plots)
    }

    fn map(&self, view: &View<'_>, map: &Map, answer: &Reading) -> Result<Plot, Figure> {
        let found = array(answer, map.array, 2)?;
        let (rows, columns) = (found.shape[0], found.shape[1]);
        let values = if self.centered { centered(found) } else { found.data.to_vec() };
        let names = |of, count| names(view, answer, of, count);
        let (of_rows, of_columns) = (names(map.rows.1, rows)?, names(map.columns.1, columns)?);
        let most = span::most(&values);
        let range = if most > 0.0 { (-most, most) } else { (-1.0, 1.0) };
        let colors = ColorMap::Vik.on(view.palette.dark);
        let named = |what: &str, names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("{what} {name}")).collect()
        };
        let axis = |label: &str, range, names: Vec<String>| Axis {
            label: label.to_owned(),
            range,
            along: crate::figure::Along::Values,
            ticks: Ticks::At((0..names.len()).map(|i| i as f64 + 0.5).zip(names).collect()),
        };
        let heat = Heat {
            name: map.title.to_owned(),
            rows,
            columns,
            values: values.into(),
            map: colors,
            range,
            pick: HeatPick::Named {
                rows: named(map.rows.0, &of_rows).into(),
                columns: named(map.columns.0, &of_columns).into(),
            },
            ..Heat::default()
        };
        Ok(Plot {
            title: map.title.to_owned(),
            x: axis(map.columns.0, (0.0, columns as f64), of_columns),
            y: axis(map.rows.0, (rows as f64, 0.0), of_rows),
            equal: rows == columns,
            marks: vec![Mark::Heat(heat)],
            color_bar: Some(ColorBar {
                label: map.unit.to_owned(),
                map: colors,
                range,
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        })
    }
}

/// Names of the rows or columns of a map.
fn names(view: &View<'_>, answer: &Reading, of: Of, count: usize) -> Result<Vec<String>, Figure> {
    if of == Of::Positions {
        return Ok((0..count).map(|i| i.to_string()).collect());
    }
    let tokens = array(answer, "tokens", 1)?;
    if tokens.data.len() != count {
        return Err(sentence("The answer does not name the tokens of its maps."));
    }
    Ok(tokens.data.iter().map(|id| view.vocab.glyph(as_id(*id))).collect())
}

/// Each row without its mean.
fn centered(found: &Array) -> Vec<f32> {
    let rows = (0..found.shape[0]).map(|row| found.outer(row));
    rows.flat_map(|row| {
        let mean = span::mean(row.iter().copied()).unwrap_or(0.0);
        row.iter().map(move |x| x - mean)
    })
    .collect()
}

/// Eigenvalues of the OV circuit in the complex plane.
fn eigenvalues(view: &View<'_>, answer: &Reading) -> Option<Plot> {
    let found = array(answer, "eigenvalues", 2).ok().filter(|found| found.shape[1] == 2)?;
    let points: Vec<[f64; 2]> =
        found.data.chunks_exact(2).map(|z| [f64::from(z[0]), f64::from(z[1])]).collect();
    let most = f64::from(span::most(found.data.iter()));
    let reach = if most > 0.0 { 1.1 * most } else { 1.0 };
    let line = |from: [f64; 2], to: [f64; 2]| Mark::Line {
        name: String::new(),
        points: vec![from, to].into(),
        color: colors::quiet(view.palette),
        width: 0.8,
        dash: crate::figure::Dash::Solid,
    };
    let axis =
        |label: &str| Axis { label: label.to_owned(), range: (-reach, reach), ..Axis::default() };
    let count = points.len();
    let points = Mark::Points {
        name: "eigenvalues of the OV circuit".to_owned(),
        points: points.into(),
        colors: vec![colors::STORED; count].into(),
        diameter: 5.0,
        picks: vec![Pick::Nothing; count].into(),
    };
    Some(Plot {
        title: "Eigenvalues of OV".to_owned(),
        x: axis("real part"),
        y: axis("imaginary part"),
        equal: true,
        marks: vec![line([-reach, 0.0], [reach, 0.0]), line([0.0, -reach], [0.0, reach]), points],
        ..Plot::default()
    })
}

/// Maps of layers and heads: what copies, and what is read of what.
fn heads(view: &View<'_>, answer: &Reading) -> Result<Vec<Plot>, Figure> {
    let mut plots = Vec::new();
    for (name, title, unit) in OF_HEADS {
        let Some(found) = answer.array(name) else { continue };
        // A network of one layer has nothing to compose.
        if found.data.iter().all(|value| value.is_nan()) {
            continue;
        }
        let found = array(answer, name, 2)?;
        let is_copying = name == "copying";
        let most = if is_copying { 1.0 } else { span::most(found.data.iter()) };
        let map = if is_copying { ColorMap::Vik } else { ColorMap::Paper };
        let values = found.data.to_vec();
        let of_heads = HeadMap {
            title,
            label: unit,
            size: [found.shape[0], found.shape[1]],
            hovers: hovers(view, found, title),
            values,
            map: map.on(view.palette.dark),
            range: (if is_copying { -1.0 } else { 0.0 }, if most > 0.0 { most } else { 1.0 }),
        };
        plots.push(of_heads.plot(view));
    }
    Ok(plots)
}

fn hovers(view: &View<'_>, found: &Array, title: &str) -> Vec<String> {
    let Selection { layer: own_layer, head: own, .. } = *view.selection;
    let columns = found.shape[1].max(1);
    let hover = |(at, value): (usize, &f32)| {
        let (layer, head) = (at / columns, at % columns);
        let name = format!("L{layer} H{head}");
        if found.name == "copying" {
            return format!("{name}: copying {}", short(*value));
        }
        let own = format!("L{own_layer} H{own}");
        let (reader, writer) = if layer < own_layer { (own, name) } else { (name, own) };
        format!("{reader} reads {writer}, {title}: {}", short(*value))
    };
    found.data.iter().enumerate().map(hover).collect()
}

fn title(view: &View<'_>, answer: &Reading) -> String {
    let Selection { layer, head, .. } = *view.selection;
    let copying = answer.number("copying_of_head").filter(|score| score.is_finite());
    let copying = copying.map_or_else(String::new, |score| {
        format!(", copying {}", number(crate::base::convert::narrow(score)))
    });
    format!("Circuits of L{layer} H{head}{copying}, {}", step_text(view))
}

/// Plots in a row, so that they are about as wide as high and few places stay empty.
fn columns(view: &View<'_>, plots: usize) -> usize {
    let wide = view.size[0] / view.size[1].max(1.0);
    let misfit = |columns: &usize| {
        let rows = plots.div_ceil(*columns);
        let empty = (rows * columns - plots) as f32 / plots.max(1) as f32;
        (wide * rows as f32 / *columns as f32).ln().abs() + 2.0 * empty
    };
    (1..=plots.max(1)).min_by(|a, b| misfit(a).total_cmp(&misfit(b))).unwrap_or(1)
}
