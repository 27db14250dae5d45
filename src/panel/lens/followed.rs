//! The logits of some tokens between the layers: a map of each, and their course at one position.

use std::sync::Arc;

use crate::base::array::Array;
use crate::base::convert::narrow;
use crate::base::plain::Plain;
use crate::base::question::Reading;
use crate::figure::color::{ColorMap, Scaling, fraction};
use crate::figure::{
    Anchor, Axis, ColorBar, Dash, Figure, Heat, HeatPick, LegendEntry, Mark, Pick, Plot, Ticks,
};
use crate::panel::outputs::{array, number, place, step_text, tokens};
use crate::panel::tokens::as_id;
use crate::panel::{View, colors, span};

use super::boundary_name;

/// In maps of at most so many cells the logits are written.
const MOST_NUMBERS: usize = 40;
/// Least width of a plot beside others, in points.
const LEAST: f32 = 125.0;

/// What is known of the tokens.
struct Followed<'a> {
    view: &'a View<'a>,
    names: Vec<String>,
    /// `[boundary, pos, token]`
    logit: &'a Array,
    map: ColorMap,
    range: (f32, f32),
}

/// What the answers to a prompt are called, the right one first.
const ANSWERS: [&str; 2] = ["right: ", "wrong: "];

/// Maps of the logits of the tokens that were asked for, and their course at the selected query; `answers`: they are the right and the wrong
/// answer to the prompt in view.
///
/// # Errors
/// The figure that says what is missing.
pub fn figure(
    view: &View<'_>,
    reading: &Reading,
    map: ColorMap,
    answers: bool,
) -> Result<Figure, Figure> {
    let (logit, ids) = (array(reading, "logit", 3)?, array(reading, "followed", 1)?);
    let called = |at: usize| ANSWERS.get(at).filter(|_| answers).copied().unwrap_or_default();
    let named = |(at, id): (usize, &f32)| format!("{}{}", called(at), view.vocab.glyph(as_id(*id)));
    let names = ids.data.iter().enumerate().map(named).collect();
    let mut extent = span::Extent::default();
    logit.data.iter().for_each(|x| extent.add(f64::from(*x)));
    let range = (narrow(extent.low), narrow(extent.high.max(extent.low + 1e-6)));
    let followed = Followed { view, names, logit, map, range };
    let at = followed.position();
    let mut plots = vec![followed.course(at)];
    plots.extend((0..followed.names.len()).map(|token| followed.map(token)));
    let across = plots.len();
    let fits = view.size[0] >= LEAST * across as f32;
    Ok(Figure {
        title: format!(
            "Logits between the layers ({}), {}",
            followed.names.join(", "),
            step_text(view)
        ),
        columns: if fits { across } else { 1 },
        plots,
        caption: super::CAPTION.to_owned(),
        ..Figure::default()
    })
}

impl Followed<'_> {
    /// The selected query, or the last position.
    fn position(&self) -> usize {
        let last = self.logit.shape[1].saturating_sub(1);
        self.view.selection.query.map_or(last, |query| query.min(last))
    }

    fn at(&self, boundary: usize, position: usize, token: usize) -> f32 {
        let at = position * self.names.len() + token;
        self.logit.outer(boundary).get(at).copied().unwrap_or(f32::NAN)
    }

    /// A line for each token, from before the first layer to behind the last.
    fn course(&self, position: usize) -> Plot {
        let boundaries = self.logit.shape[0];
        let (mut marks, mut legend) = (Vec::new(), Vec::new());
        for (token, name) in self.names.iter().enumerate() {
            let color = colors::line(self.view.palette, token);
            let dash = if token % 2 == 0 { Dash::Solid } else { Dash::Dashed };
            let points = (0..boundaries)
                .map(|b| [b as f64 + 0.5, f64::from(self.at(b, position, token))])
                .collect();
            marks.extend(Mark::curve(name, points, color, dash));
            legend.push(LegendEntry::line(name.as_str(), color, dash));
        }
        let (low, high) = (f64::from(self.range.0), f64::from(self.range.1));
        let air = 0.05 * (high - low);
        Plot {
            title: format!("after {}", place(self.view, position)),
            x: Axis {
                label: "layer".to_owned(),
                range: (0.0, boundaries as f64),
                ticks: Ticks::Each((0..boundaries).map(short).collect()),
                ..Axis::default()
            },
            y: Axis {
                label: "logit".to_owned(),
                range: (low - air, high + air),
                ..Axis::default()
            },
            marks,
            legend,
            ..Plot::default()
        }
    }

    /// Rows are boundaries, columns positions.
    fn map(&self, token: usize) -> Plot {
        let [rows, columns] = [self.logit.shape[0], self.logit.shape[1]];
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let values: Vec<f32> =
            cells.clone().map(|(row, column)| self.at(row, column, token)).collect();
        let hover = |(row, column): (usize, usize)| {
            let value = number(self.at(row, column, token));
            let (row, column) = (boundary_name(row, rows), place(self.view, column));
            format!("{row}, after {column}: logit of “{}” {value}", self.names[token])
        };
        let hovers: Arc<[String]> = cells.clone().map(hover).collect();
        let picks = cells.map(|(_, column)| Pick::Query(column)).collect();
        let mut marks = vec![Mark::Heat(Heat {
            name: self.names[token].clone(),
            rows,
            columns,
            values: values.as_slice().into(),
            map: self.map,
            range: self.range,
            pick: HeatPick::Cells { picks, hovers },
            ..Heat::default()
        })];
        if values.len() <= MOST_NUMBERS {
            marks.extend(self.written(&values, columns));
        }
        let glyphs = tokens(self.view).iter().map(|id| self.view.vocab.glyph(*id));
        let is_last = token + 1 == self.names.len();
        Plot {
            title: format!("logit of {}", self.names[token]),
            x: Axis {
                range: (0.0, columns as f64),
                ticks: Ticks::Each(glyphs.collect()),
                ..Axis::default()
            },
            y: Axis {
                label: "layer".to_owned(),
                range: (rows as f64, 0.0),
                ticks: Ticks::Each((0..rows).map(short).collect()),
                ..Axis::default()
            },
            marks,
            color_bar: is_last.then(|| ColorBar {
                label: "logit".to_owned(),
                map: self.map,
                range: self.range,
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        }
    }

    fn written(&self, values: &[f32], columns: usize) -> Vec<Mark> {
        let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let mark = |(i, value): (usize, &f32)| Mark::Text {
            at: [(i % columns) as f64 + 0.5, (i / columns) as f64 + 0.5],
            text: format!("{:.1}", Plain(f64::from(*value))).replace('-', "−"),
            color: colors::text_on(self.map.at(fraction(*value, self.range, Scaling::Linear))),
            anchor: Anchor::Center,
            size: 8.0,
        };
        known.map(mark).collect()
    }
}

/// A boundary between layers, for an axis.
fn short(boundary: usize) -> String {
    match boundary {
        0 => "before 0".to_owned(),
        boundary => format!("after {}", boundary - 1),
    }
}
