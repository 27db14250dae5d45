//! A map of layers and heads, with a number for each: a click puts a head into focus.

use crate::figure::color::{ColorMap, Scaling, fraction};
use crate::figure::{Anchor, Axis, ColorBar, Heat, HeatPick, Mark, Pick, Plot, Ticks};

use super::{View, colors};

/// More cells than this have no numbers.
const MOST_NUMBERS: usize = 64;

/// A number of every head.
pub struct HeadMap<'a> {
    pub title: &'a str,
    /// What the numbers are.
    pub label: &'a str,
    /// Layers, and heads of the widest.
    pub size: [usize; 2],
    /// `[layer, head]`, row-major; NaN where one is not known.
    pub values: Vec<f32>,
    /// What is said of each.
    pub hovers: Vec<String>,
    pub map: ColorMap,
    pub range: (f32, f32),
}

impl HeadMap<'_> {
    pub fn plot(self, view: &View<'_>) -> Plot {
        let [rows, columns] = self.size;
        let mut marks = vec![Mark::Heat(self.heat())];
        marks.extend(self.numbers());
        marks.extend(self.in_focus(view));
        let numbers = |count: usize| Ticks::Each((0..count).map(|i| i.to_string()).collect());
        let axis = |label: &str, range, count| Axis {
            label: label.to_owned(),
            range,
            ticks: numbers(count),
            ..Axis::default()
        };
        Plot {
            title: self.title.to_owned(),
            x: axis("head", (0.0, columns as f64), columns),
            y: axis("layer", (rows as f64, 0.0), rows),
            marks,
            color_bar: Some(ColorBar {
                label: self.label.to_owned(),
                map: self.map,
                range: self.range,
                scaling: Scaling::Linear,
            }),
            ..Plot::default()
        }
    }

    fn place(&self, at: usize) -> [usize; 2] {
        [at / self.size[1].max(1), at % self.size[1].max(1)]
    }

    fn heat(&self) -> Heat {
        let pick = |at| {
            let [layer, head] = self.place(at);
            Pick::Head { layer, head }
        };
        Heat {
            name: self.title.to_owned(),
            rows: self.size[0],
            columns: self.size[1],
            values: self.values.clone().into(),
            map: self.map,
            range: self.range,
            pick: HeatPick::Cells {
                picks: (0..self.values.len()).map(pick).collect(),
                hovers: self.hovers.clone().into(),
            },
            ..Heat::default()
        }
    }

    /// The numbers in the cells, where these are few.
    fn numbers(&self) -> Vec<Mark> {
        if self.values.len() > MOST_NUMBERS {
            return Vec::new();
        }
        let known = self.values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let number = |(at, value): (usize, &f32)| {
            let [layer, head] = self.place(at);
            let shade = self.map.at(fraction(*value, self.range, Scaling::Linear));
            Mark::Text {
                at: [head as f64 + 0.5, layer as f64 + 0.5],
                text: short(*value),
                color: colors::text_on(shade),
                anchor: Anchor::Center,
                size: 8.0,
            }
        };
        known.map(number).collect()
    }

    /// A line around the head in focus.
    fn in_focus(&self, view: &View<'_>) -> Option<Mark> {
        let (layer, head) = (view.selection.layer, view.selection.head);
        let is_here = layer < self.size[0] && head < self.size[1];
        let from = [head as f64, layer as f64];
        let to = from.map(|v| v + 1.0);
        is_here.then_some(Mark::Frame { from, to, color: view.palette.accent, width: 2.0 })
    }
}

/// Two digits after the point; a dash for what is not known.
pub fn short(value: f32) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "\u{2013}".to_owned() }
}
