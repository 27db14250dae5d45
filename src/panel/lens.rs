//! What the network already predicts between its layers, at every position: the logit lens.

mod followed;

use crate::base::array::Array;
use crate::base::convert;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{ColorMap, Scaling, fraction};
use crate::figure::{Along, Axis, Cell, ColorBar, Figure, Heat, HeatPick, Mark, Pick, Plot, Ticks};

use super::outputs::{array, number, place, reading, step_text, tokens};
use super::tokens::{as_id, second_frame, special};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors, compare, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Logit lens",
    look_for: "The layer from which on the right token is the likeliest. What is there before the last layer is known early; what comes with one layer was written by it.",
    click: "A click on a box selects its position as the query (the token that asks).",
    stack: Stack::MiddleBelow,
    controls: &[("tokens", "Follow")],
    aspect: 0.8,
    ..PanelKind::new("lens", || Box::<Lens>::default())
};

crate::choices! {
    /// What colours the boxes.
    pub enum Shade {
        /// Of the likeliest token there.
        Probability = "probability",
        /// Of the right next token.
        Right = "right token",
        Kl = "divergence",
    }
}

crate::choices! {
    /// Which positions are drawn.
    pub enum Window {
        /// As many as can be read, around the selection.
        Around = "around the selection",
        /// All, as a map without words.
        All = "all",
    }
}

crate::settings! {
    /// The panel `lens`.
    pub struct Lens = "What the residual stream already predicts before, between and after the layers, read as if the network ended there: in each box the likeliest next token." {
        /// What colours the boxes: the probability of the likeliest token, that of the right next token, or the divergence (in nats) from what the network predicts in the end.
        shade: Shade = Shade::Probability, @live;
        /// Colours of the boxes.
        map: ColorMap = ColorMap::Paper, called "colours", @live;
        /// Which positions to draw: as many as can be read around the selected query, or all of them, without words.
        window: Window = Window::Around, @live;
        /// Tokens to follow instead, their text one after the other, or answers: the right and the wrong answer to the prompt in view. Drawn are their logits everywhere, and layer by layer at the selected query (or the last position).
        tokens: String = String::new(), @live;
    }
}

/// What `tokens` says of the answers to the prompt in view, as the measurement does.
const ANSWERS: &str = "answers";
/// How every row is read.
const CAPTION: &str = "Each row is read by the network's own final norm and unembedding; the last is its own prediction.";

/// Width and height of a box in which a token can be read, in points.
const BOX: [f32; 2] = [13.0, 13.0];
/// What title, scale and axes take beside the boxes, in points.
const BESIDE: [f32; 2] = [108.0, 64.0];
/// What the axis under a band takes, in points.
const UNDER: f32 = 26.0;

impl Panel for Lens {
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        vec![self.call(net, selection)]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }

    fn difference(&self, [a, b]: [&View<'_>; 2], drawn: [&Figure; 2]) -> Figure {
        if self.shade != Shade::Probability || !self.tokens.trim().is_empty() {
            return compare::subtracted(drawn, a.palette.dark);
        }
        // The likeliest of A and the likeliest of B may be two tokens.
        let right = Self { shade: Shade::Right, ..self.clone() };
        compare::subtracted([&right.figure(a), &right.figure(b)], a.palette.dark)
    }
}

/// What the arrays hold of each boundary and position.
struct Found<'a> {
    boundaries: usize,
    positions: usize,
    token: &'a Array,
    probability: &'a Array,
    right: &'a Array,
    kl: &'a Array,
}

impl<'a> Found<'a> {
    fn new(answer: &'a Reading) -> Result<Self, Figure> {
        let token = array(answer, "token", 3)?;
        let (probability, right, kl) = (
            array(answer, "probability", 3)?,
            array(answer, "target_log_probability", 2)?,
            array(answer, "kl", 2)?,
        );
        let all = [&token.shape[..2], &probability.shape[..2], &right.shape, &kl.shape];
        let least = |axis: usize| all.iter().map(|shape| shape[axis]).min().unwrap_or(0);
        let (boundaries, positions) = (least(0), least(1));
        Ok(Self { boundaries, positions, token, probability, right, kl })
    }

    fn at(array: &Array, boundary: usize, position: usize) -> f32 {
        array.outer(boundary).get(position).copied().unwrap_or(f32::NAN)
    }

    /// Tokens and probabilities at a place, the likeliest first.
    fn top(&self, boundary: usize, position: usize) -> Vec<(u32, f32)> {
        let ranks = |array: &'a Array| {
            let rank = array.shape[2];
            array.outer(boundary).get(position * rank..(position + 1) * rank).unwrap_or(&[])
        };
        let ids = ranks(self.token).iter().map(|id| as_id(*id));
        ids.zip(ranks(self.probability).iter().copied()).collect()
    }
}

impl Lens {
    /// Of a large network only what lies around the selection is read, unless all is drawn: each position takes a product with the whole
    /// unembedding at every boundary.
    fn call(&self, net: &NetShape, selection: &Selection) -> MeasurementCall {
        const STEP: usize = 32;
        let call = MeasurementCall::new("logit_lens");
        let call = match self.tokens.trim() {
            "" => call,
            _ => call.with("tokens", self.tokens.as_str()),
        };
        if !net.is_large() || self.window == Window::All {
            return call;
        }
        let middle = selection.query.or(selection.key).unwrap_or(0);
        let first = (middle / STEP * STEP).saturating_sub(STEP);
        let number = |n: usize| i64::try_from(n).unwrap_or(0);
        call.with("first", number(first)).with("count", number(3 * STEP))
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let reading = reading(view, &self.call(view.net, view.selection))?;
        if !self.tokens.trim().is_empty() {
            let answers = self.tokens.trim() == ANSWERS;
            return followed::figure(view, reading, self.map.on(view.palette.dark), answers);
        }
        let found = Found::new(reading)?;
        let range = self.range(&found);
        let mut plots = match self.window {
            Window::All => vec![self.whole(view, &found, range)],
            Window::Around => self.bands(view, &found, range),
        };
        let shown = shown(&plots, found.positions);
        let past = match self.shade {
            Shade::Kl => span::past_colors(found.kl.data.iter(), range),
            Shade::Probability | Shade::Right => String::new(),
        };
        if let Some(first) = plots.first_mut() {
            let (label, map) = (self.said().to_owned(), self.map.on(view.palette.dark));
            first.color_bar = Some(ColorBar { label, map, range, scaling: Scaling::Linear });
        }
        Ok(Figure {
            title: format!("Predictions between the layers{shown}, {}", step_text(view)),
            plots,
            columns: 1,
            caption: span::sentences([CAPTION.to_owned(), past]),
            ..Figure::default()
        })
    }

    /// What the colours say.
    fn said(&self) -> &'static str {
        match self.shade {
            Shade::Probability => "probability of the likeliest",
            Shade::Right => "probability of the right token",
            Shade::Kl => "divergence (nats)",
        }
    }

    fn value(&self, found: &Found<'_>, boundary: usize, position: usize) -> f32 {
        match self.shade {
            Shade::Probability => found.top(boundary, position).first().map_or(f32::NAN, |t| t.1),
            Shade::Right => Found::at(found.right, boundary, position).exp(),
            Shade::Kl => Found::at(found.kl, boundary, position),
        }
    }

    fn range(&self, found: &Found<'_>) -> (f32, f32) {
        if self.shade != Shade::Kl {
            return (0.0, 1.0);
        }
        let most = span::most(found.kl.data.iter());
        (0.0, if most > 0.0 { most } else { 1.0 })
    }

    /// One map of all positions.
    fn whole(&self, view: &View<'_>, found: &Found<'_>, range: (f32, f32)) -> Plot {
        let (rows, columns) = (found.boundaries, found.positions);
        let values = (0..rows * columns).map(|i| self.value(found, i / columns, i % columns));
        let pick = HeatPick::Named {
            rows: (0..rows).map(|row| boundary_name(row, rows)).collect(),
            columns: (0..columns).map(|position| place(view, position)).collect(),
        };
        let mut marks = vec![Mark::Heat(Heat {
            name: self.said().to_owned(),
            rows,
            columns,
            values: values.collect(),
            map: self.map.on(view.palette.dark),
            range,
            pick,
            ..Heat::default()
        })];
        marks.extend(frames(view, (0, columns), rows));
        Plot { marks, ..empty_plot(view, (0, columns), rows) }
    }

    /// Boxes with tokens, in lines of positions one below the other.
    fn bands(&self, view: &View<'_>, found: &Found<'_>, range: (f32, f32)) -> Vec<Plot> {
        let fits = |room: f32, one: f32| convert::index((room / one.max(1.0)).clamp(1.0, 4096.0));
        let across = fits(view.size[0] - BESIDE[0], BOX[0]).min(found.positions);
        let height = found.boundaries as f32 * BOX[1] + UNDER;
        let most = found.positions.div_ceil(across);
        let bands = fits(view.size[1] - BESIDE[1], height).min(most);
        let shown = across * bands;
        let middle = view.selection.query.or(view.selection.key).unwrap_or(0);
        let last = (most * across).saturating_sub(shown);
        // Whole lines, so that a selection within the window does not move it.
        let first = (middle.saturating_sub(shown / 2) / across * across).min(last);
        (0..bands)
            .map(|band| {
                let from = first + band * across;
                self.band(view, found, range, (from, from + across))
            })
            .collect()
    }

    fn band(
        &self,
        view: &View<'_>,
        found: &Found<'_>,
        range: (f32, f32),
        (from, to): (usize, usize),
    ) -> Plot {
        let rows = found.boundaries;
        let positions = from..to.min(found.positions);
        let places = positions.flat_map(|position| (0..rows).map(move |row| (row, position)));
        let cells = places.map(|(row, position)| self.cell(view, found, range, row, position));
        let cells: Vec<Cell> = cells.collect();
        // As everywhere, a token that is none of a text has two frames.
        let specials = cells.iter().filter(|cell| cell.stroke.is_some());
        let second: Vec<Mark> =
            specials.map(|cell| second_frame(view.palette, [cell.from, cell.to], 0.1)).collect();
        let mut marks = vec![Mark::Cells(cells)];
        marks.extend(second);
        marks.extend(frames(view, (from, to), rows));
        Plot { marks, ..empty_plot(view, (from, to), rows) }
    }

    fn cell(
        &self,
        view: &View<'_>,
        found: &Found<'_>,
        range: (f32, f32),
        boundary: usize,
        position: usize,
    ) -> Cell {
        let value = self.value(found, boundary, position);
        let fill = if value.is_finite() {
            self.map.on(view.palette.dark).at(fraction(value, range, Scaling::Linear))
        } else {
            colors::mix(view.palette.paper, view.palette.ink, 0.08)
        };
        let top = found.top(boundary, position);
        let likeliest = top.first().filter(|(_, probability)| probability.is_finite());
        let text = likeliest.map_or_else(String::new, |(id, _)| view.vocab.glyph(*id));
        let is_special = likeliest.is_some_and(|(id, _)| view.vocab.is_special(*id));
        let (x, y) = (position as f64, boundary as f64);
        Cell {
            from: [x, y],
            to: [x + 1.0, y + 1.0],
            text,
            fill: Some(fill),
            stroke: is_special.then(|| special(view.palette)),
            ink: fill.ink_on(),
            pick: Pick::Query(position),
            hover: hover(view, found, &top, boundary, position),
            value: Some((self.said(), f64::from(value))),
        }
    }
}

/// Which positions the plots show, where it is not all.
fn shown(plots: &[Plot], positions: usize) -> String {
    let from = plots.first().map_or(0.0, |plot| plot.x.range.0);
    let to = plots.last().map_or(0.0, |plot| plot.x.range.1).min(positions as f64);
    if to - from >= positions as f64 {
        return String::new();
    }
    format!(" at positions {from} to {}", (to - 1.0).max(0.0))
}

fn hover(
    view: &View<'_>,
    found: &Found<'_>,
    top: &[(u32, f32)],
    boundary: usize,
    position: usize,
) -> String {
    let likeliest: Vec<String> =
        top.iter().map(|(id, p)| format!("“{}” {}", view.vocab.glyph(*id), number(*p))).collect();
    let right = Found::at(found.right, boundary, position);
    let target = view.readings.and_then(|r| r.prompt.targets.get(position)).copied();
    let mut lines = vec![
        format!("{}, after {}", boundary_name(boundary, found.boundaries), place(view, position)),
        likeliest.join(", "),
    ];
    if let (Some(target), true) = (target, right.is_finite()) {
        lines.push(format!("right: “{}” {}", view.vocab.glyph(target), number(right.exp())));
    }
    lines.push(format!(
        "{} nats from the final prediction",
        number(Found::at(found.kl, boundary, position))
    ));
    lines.join("\n")
}

/// Where a boundary lies, in words.
fn boundary_name(boundary: usize, boundaries: usize) -> String {
    match boundary {
        0 => "before layer 0".to_owned(),
        last if last + 1 == boundaries => format!("after layer {}, the end", last - 1),
        other => format!("after layer {}", other - 1),
    }
}

fn empty_plot(view: &View<'_>, (from, to): (usize, usize), rows: usize) -> Plot {
    let short = |row: usize| match row {
        0 => "before 0".to_owned(),
        row => format!("after {}", row - 1),
    };
    Plot {
        x: Axis {
            range: (from as f64, to as f64),
            ticks: Ticks::Each(tokens(view).iter().map(|&id| view.vocab.glyph(id)).collect()),
            ..Axis::default()
        },
        y: Axis {
            label: "layer".to_owned(),
            range: (rows as f64, 0.0),
            along: Along::Values,
            ticks: Ticks::At((0..rows).map(|row| (row as f64 + 0.5, short(row))).collect()),
        },
        ..Plot::default()
    }
}

/// The selected positions, framed.
fn frames(view: &View<'_>, (from, to): (usize, usize), rows: usize) -> Vec<Mark> {
    let selected = [(view.selection.query, colors::QUERY), (view.selection.key, colors::KEY)];
    let inside = selected.into_iter().filter_map(|(position, color)| {
        let x = position.filter(|p| (from..to).contains(p))? as f64;
        Some(Mark::Rect {
            from: [x, 0.0],
            to: [x + 1.0, rows as f64],
            fill: None,
            stroke: Some(color),
            width: 2.0,
        })
    });
    inside.collect()
}
