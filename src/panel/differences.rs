//! What differs most between A and B: heads, predictions, tensors.

use crate::base::question::MeasurementCall;
use crate::base::weights::Distance;
use crate::figure::color::{Color, ColorMap};
use crate::figure::{Axis, Cell, Figure, Mark, Pick, Plot, Ticks};

use super::compare::{self, Compares};
use super::outputs::{array, number, overview_call, pattern, place, reading, sentence, step_text};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Differences",
    look_for: "Which heads look elsewhere in A than in B, after which tokens the right one became likelier or less likely, and which weights are farthest apart: where to look first in two steps or two runs.",
    click: "A click on a bar puts its head into focus, or makes its position the query (the token that asks).",
    stack: Stack::RightAbove,
    compares: Compares::Itself,
    ..PanelKind::new("differences", || Box::<Differences>::default())
};

crate::settings! {
    /// The panel `differences`.
    pub struct Differences = "What differs most between A, what is in view, and B, what it is compared with: heads, predictions, tensors." {
        /// Bars of each kind: the largest differences come first.
        most: usize = 8, in 1..=40, @live;
    }
}

impl Panel for Differences {
    fn needs(&self, net: &NetShape, _selection: &Selection) -> Vec<MeasurementCall> {
        vec![overview_call(net), MeasurementCall::new("predictions")]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        if let Some(why) = view.failure {
            return sentence(why);
        }
        let Some(other) = view.against else {
            return sentence(
                "Nothing is compared: V compares with the beginning of the run, or without what is in force; C keeps a step to compare with.",
            );
        };
        self.draw(view, other).unwrap_or_else(|instead| instead)
    }
}

impl Differences {
    fn draw(&self, a: &View<'_>, b: &View<'_>) -> Result<Figure, Figure> {
        let parts = [
            self.plot(a, "attention that moves", heads(a, b)?),
            self.plot(a, "probability of the right", tokens(a, b)?),
            self.plot(a, "distance of weights", tensors(a, b)?),
        ];
        let is_same = parts.iter().all(|plot| plot.marks.iter().all(is_empty));
        Ok(Figure {
            caption: if is_same { "A and B are the same.".to_owned() } else { String::new() },
            title: compare::minus(&compare::said(a, b, KIND.is_of_head)),
            columns: if a.size[0] > 1.4 * a.size[1] { 3 } else { 1 },
            plots: parts.into(),
            ..Figure::default()
        })
    }

    /// The largest of some differences as bars, one below the other.
    fn plot(&self, view: &View<'_>, title: &str, mut bars: Vec<Bar>) -> Plot {
        bars.retain(|bar| bar.value != 0.0);
        bars.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
        bars.truncate(self.most);
        let most = bars.iter().map(|bar| bar.value.abs()).fold(0.0, f64::max);
        let least = bars.iter().map(|bar| bar.value).fold(0.0, f64::min);
        let end = if most > 0.0 { 1.25 * most } else { 1.0 };
        let rows = (0..bars.len()).map(|row| row as f64);
        let names = rows.zip(&bars).map(|(y, bar)| (y + 0.5, bar.name.clone())).collect();
        let count = bars.len().max(1) as f64;
        let cells = bars.into_iter().enumerate().map(|(row, bar)| bar.cell(view, row)).collect();
        Plot {
            title: title.to_owned(),
            x: Axis { range: (if least < 0.0 { -end } else { 0.0 }, end), ..Axis::default() },
            y: Axis { range: (count, 0.0), ticks: Ticks::At(names), ..Axis::default() },
            marks: vec![Mark::Cells(cells)],
            ..Plot::default()
        }
    }
}

fn is_empty(mark: &Mark) -> bool {
    matches!(mark, Mark::Cells(cells) if cells.is_empty())
}

/// One difference.
struct Bar {
    name: String,
    value: f64,
    /// What the value is, in a sentence.
    hover: String,
    pick: Pick,
    /// What the value is of.
    of: &'static str,
}

impl Bar {
    fn cell(self, view: &View<'_>, row: usize) -> Cell {
        let (top, fill) = (row as f64 + 0.12, color(view, self.value));
        Cell {
            from: [self.value.min(0.0), top],
            to: [self.value.max(0.0), top + 0.76],
            text: String::new(),
            fill: Some(fill),
            stroke: None,
            ink: fill,
            pick: self.pick,
            hover: self.hover,
            value: Some((self.of, self.value)),
        }
    }
}

/// What grew and what shrank, in the colours at the ends of the map of differences.
fn color(view: &View<'_>, value: f64) -> Color {
    let map = ColorMap::Vik.on(view.palette.dark);
    map.at(if value < 0.0 { 0.25 } else { 0.75 })
}

/// Of each head how much of its attention goes elsewhere.
fn heads(a: &View<'_>, b: &View<'_>) -> Result<Vec<Bar>, Figure> {
    let difference = compare::patterns(a, b)?;
    let all = a.net.heads.iter().enumerate();
    let all = all.flat_map(|(layer, &count)| (0..count).map(move |head| (layer, head)));
    let bar = |(layer, head): (usize, usize)| {
        let moved = compare::moved(pattern(&difference, layer, head)?);
        let (name, of) = (format!("L{layer} H{head}"), "share of attention that goes elsewhere");
        let hover = format!(
            "{name}: {:.1} % of its attention goes elsewhere in A than in B, on average over queries",
            100.0 * moved
        );
        Ok(Bar { name, value: f64::from(moved), hover, pick: Pick::Head { layer, head }, of })
    };
    all.map(bar).collect()
}

/// Of each position the probability of the right next token.
fn tokens(a: &View<'_>, b: &View<'_>) -> Result<Vec<Bar>, Figure> {
    let call = MeasurementCall::new("predictions");
    let name = "target_probability";
    let of_a = array(reading(a, &call)?, name, 1)?;
    let of_b = array(reading(b, &call)?, name, 1)?;
    let pairs = of_a.data.iter().zip(&*of_b.data).enumerate();
    let known = pairs.filter(|(_, (a, b))| a.is_finite() && b.is_finite());
    let bar = |(position, (now, then)): (usize, (&f32, &f32))| {
        let (name, of) = (place(a, position), "probability of the right next token");
        let hover =
            format!("after {name}: the {of} is {} in A and {} in B", number(*now), number(*then));
        Bar { name, value: f64::from(now - then), hover, pick: Pick::Query(position), of }
    };
    Ok(known.map(bar).collect())
}

/// Of each tensor how far it is from that of B.
fn tensors(a: &View<'_>, b: &View<'_>) -> Result<Vec<Bar>, Figure> {
    let (Some(of_a), Some(of_b)) = (a.readings, b.readings) else {
        return Err(sentence(format!("Waiting for what is compared with {}.", step_text(a))));
    };
    let distances = of_a.weights.distances(&of_b.weights).into_iter();
    let bar = |distance: Distance| {
        let of = "norm of the difference over the norm in B";
        let value = match distance.norm > 0.0 {
            true => distance.difference / distance.norm,
            false => distance.difference,
        };
        let hover = format!(
            "{}: the difference has the norm {:.3}, the tensor of B {:.3}",
            distance.name, distance.difference, distance.norm
        );
        Bar { name: distance.name.to_string(), value, hover, pick: Pick::Nothing, of }
    };
    Ok(distances.map(bar).filter(|bar| bar.value > 0.0).collect())
}
