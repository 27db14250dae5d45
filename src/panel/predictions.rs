//! What the network predicts after the selected position, beside what should follow.

use crate::base::array::Array;
use crate::base::batch::NO_TARGET;
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::Color;
use crate::figure::{Along, Anchor, Axis, Dash, Figure, LegendEntry, Mark, Pick, Plot, Ticks};

use super::outputs::{array, nothing_after, number, place, reading, sentence, step_text, tokens};
use super::tokens::as_id;
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Predictions",
    look_for: "Whether the right token, in orange, has the longest bar. Below, the dots of positions whose answer was seen before in this text: they rise when an induction head forms.",
    click: "A click on a dot makes its position the query (the token that asks).",
    stack: Stack::LeftBelow,
    ..PanelKind::new("predictions", || Box::<Predictions>::default())
};

crate::settings! {
    /// The panel `predictions`.
    pub struct Predictions = "The five likeliest next tokens after each selected position, and the right one." {
        /// Show, below, the probability that the network gives to the right next token at every position of the sequence.
        along: bool = true, @live;
    }
}

impl Panel for Predictions {
    fn needs(&self, _net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![MeasurementCall::new("predictions")]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Predictions {
    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let answer = reading(view, &MeasurementCall::new("predictions"))?;
        let mut plots = Vec::new();
        let mut title = format!("Predictions, {}", step_text(view));
        let key = view.selection.key.filter(|key| view.selection.query != Some(*key));
        // Of the height, about what the bars of one plot have.
        let share = if key.is_some() && view.selection.query.is_some() { 0.2 } else { 0.35 };
        if let Some(position) = view.selection.query {
            let guess = Guess::new(view, answer, position)?;
            title = guess.title(view, "After");
            plots.push(guess.plot(view, share));
        }
        // A key of another, longer sequence is none of this one.
        if let Some(guess) = key.and_then(|key| Guess::new(view, answer, key).ok()) {
            plots.push(Plot {
                title: guess.title(view, "Key: after"),
                legend: Vec::new(),
                ..guess.plot(view, share)
            });
        }
        if plots.is_empty() && !self.along {
            return Err(sentence("Click a token to see what the network predicts after it."));
        }
        if self.along {
            plots.push(along(view, answer)?);
        }
        let caption = if view.selection.query.is_none() {
            "Click a token to see what the network predicts after it.".to_owned()
        } else {
            String::new()
        };
        Ok(Figure { title, plots, columns: 1, caption, ..Figure::default() })
    }
}

/// Points of width that the number above a bar takes, with what is left and right of the plot.
const ROOM_FOR_NUMBER: f32 = 26.0;

/// One position and what is predicted there.
struct Guess {
    position: usize,
    /// Token and probability, likeliest first.
    top: Vec<(u32, f32)>,
    /// The right token with its probability.
    target: Option<(u32, f32)>,
    loss: f32,
}

impl Guess {
    fn new(view: &View<'_>, answer: &Reading, position: usize) -> Result<Self, Figure> {
        let (probability, token) = (array(answer, "probability", 2)?, array(answer, "token", 2)?);
        if position >= probability.shape[0].min(token.shape[0]) {
            return Err(sentence(format!(
                "Position {position} is past the end of this sequence: click one of its tokens."
            )));
        }
        let ids = token.outer(position).iter().map(|id| as_id(*id));
        let top: Vec<(u32, f32)> = ids.zip(probability.outer(position).iter().copied()).collect();
        let at = |name: &str| {
            let value = answer.array(name).and_then(|a| a.data.get(position));
            value.copied().unwrap_or(f32::NAN)
        };
        let target = view.readings.and_then(|r| r.prompt.targets.get(position)).copied();
        let target = target.filter(|&t| t != NO_TARGET);
        Ok(Self {
            position,
            top,
            target: target.map(|t| (t, at("target_probability"))),
            loss: at("loss"),
        })
    }

    fn title(&self, view: &View<'_>, after: &str) -> String {
        let after = format!("{after} {}", place(view, self.position));
        let Some((target, _)) = self.target else {
            return match self.top.first().filter(|_| view.net.is_read) {
                Some((id, probability)) => {
                    let likeliest = view.vocab.glyph(*id);
                    format!("{after} most likely “{likeliest}”: {}", number(*probability))
                }
                None => format!("{after} {}", nothing_after(view, self.position)),
            };
        };
        format!("{after} comes “{}”: loss {} nats", view.vocab.glyph(target), number(self.loss))
    }

    /// Bars for the likeliest tokens, and one more for the right token when it is not among them; they have a share
    /// of the height of the panel.
    fn plot(&self, view: &View<'_>, share: f32) -> Plot {
        let target = self.target.map(|(id, _)| id);
        let mut bars = self.top.clone();
        if let Some(right) = self.target
            && !bars.iter().any(|(id, _)| *id == right.0)
        {
            bars.push(right);
        }
        let ticks = bars
            .iter()
            .enumerate()
            .map(|(i, (id, _))| (i as f64 + 0.5, view.vocab.glyph(*id)))
            .collect();
        // The number stands some points above its bar, however high the plot is.
        let lift = f64::from(6.0 / (share * view.size[1]).max(30.0)) * 1.15;
        let right = |(_, (id, _)): &(usize, &(u32, f32))| Some(*id) == target;
        let mut marks = vec![
            bar_mark(
                "other token",
                colors::quiet(view.palette),
                bars.iter().enumerate().filter(|b| !right(b)),
            ),
            bar_mark("right token", colors::TARGET, bars.iter().enumerate().filter(right)),
        ];
        // Numbers that would lie over each other say nothing.
        let has_room = view.size[0] >= ROOM_FOR_NUMBER * bars.len() as f32;
        let numbered = bars.iter().enumerate().filter(|_| has_room);
        marks.extend(numbered.map(|(i, (_, p))| Mark::Text {
            at: [i as f64 + 0.5, f64::from(finite(*p)) + lift],
            text: number(*p),
            color: view.palette.ink,
            anchor: Anchor::Center,
            size: 8.0,
        }));
        Plot {
            x: Axis {
                label: "next token".to_owned(),
                range: (0.0, bars.len().max(1) as f64),
                along: Along::Values,
                ticks: Ticks::At(ticks),
            },
            // Room for the number above a bar of 1, half of it above its middle.
            y: Axis {
                label: "probability".to_owned(),
                range: (0.0, (1.0 + 1.8 * lift).max(1.15)),
                along: Along::Values,
                ticks: shares(),
            },
            marks,
            legend: vec![
                LegendEntry::square("right token", colors::TARGET),
                LegendEntry::square("other token", colors::quiet(view.palette)),
            ],
            weight: 1.4,
            ..Plot::default()
        }
    }
}

fn bar_mark<'a>(
    name: &str,
    color: Color,
    bars: impl Iterator<Item = (usize, &'a (u32, f32))>,
) -> Mark {
    let (at, values) = bars.map(|(i, (_, p))| (i as f64 + 0.5, f64::from(*p))).unzip();
    Mark::Bars { name: name.to_owned(), at, values, base: 0.0, width: 0.7, color }
}

/// The probability of the right token at every position.
fn along(view: &View<'_>, answer: &Reading) -> Result<Plot, Figure> {
    let probability = array(answer, "target_probability", 1)?;
    let repeated: Vec<usize> = positions(view, probability, |occurrence| occurrence >= 2);
    let rest: Vec<usize> = positions(view, probability, |occurrence| occurrence < 2);
    let length = probability.data.len();
    let mut marks = Vec::new();
    let selected = [(view.selection.query, colors::QUERY), (view.selection.key, colors::KEY)];
    marks.extend(selected.into_iter().filter_map(|(position, color)| {
        let x = position.filter(|&p| p < length)? as f64;
        Some(Mark::Upright { x, text: String::new(), color, dash: Dash::Solid })
    }));
    let (quiet, seen) = (colors::quiet(view.palette), colors::line(view.palette, 0));
    marks.push(dots("other positions", probability, &rest, quiet));
    marks.push(dots("answer seen before", probability, &repeated, seen));
    Ok(Plot {
        x: Axis { label: "position".to_owned(), range: (-1.0, length as f64), ..Axis::default() },
        y: Axis {
            label: "probability".to_owned(),
            range: (0.0, 1.03),
            along: Along::Values,
            ticks: shares(),
        },
        marks,
        legend: match repeated.is_empty() {
            // Where no answer ever stands in the text there is one kind of position.
            true => vec![LegendEntry::square("right next token", quiet)],
            false => vec![
                LegendEntry::square("answer seen before", seen),
                LegendEntry::square("other positions", quiet),
            ],
        },
        ..Plot::default()
    })
}

/// Positions whose value is known and whose occurrence number passes.
fn positions(view: &View<'_>, values: &Array, keep: impl Fn(u16) -> bool) -> Vec<usize> {
    let occurrence = view.readings.map_or(&[][..], |r| &r.prompt.occurrence);
    let known = tokens(view).len().max(values.data.len());
    (0..known)
        .filter(|&p| values.data.get(p).is_some_and(|v| v.is_finite()))
        .filter(|&p| keep(occurrence.get(p).copied().unwrap_or(0)))
        .collect()
}

fn dots(name: &str, values: &Array, positions: &[usize], color: Color) -> Mark {
    let points: Vec<[f64; 2]> =
        positions.iter().map(|&p| [p as f64, f64::from(values.data[p])]).collect();
    Mark::Points {
        name: name.to_owned(),
        colors: vec![color; points.len()].into(),
        points: points.into(),
        diameter: 3.5,
        picks: positions.iter().map(|&p| Pick::Query(p)).collect(),
    }
}

/// Ticks of an axis of shares.
fn shares() -> Ticks {
    Ticks::At([0.0, 0.5, 1.0].map(|v| (v, format!("{v}"))).to_vec())
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}
