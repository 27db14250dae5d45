//! What a study found, as a figure: maps of heads, positions and places, and lines along the layers.

use std::sync::Arc;

use crate::base::array::Array;
use crate::base::convert::index;
use crate::base::plain::Plain;
use crate::base::question::Reading;
use crate::base::study::{Drawn, First, Headline, PLACES};
use crate::base::vocab::{Vocab, labelled};
use crate::figure::color::{ColorMap, Scaling};
use crate::figure::{Axis, ColorBar, Dash, Figure, Heat, HeatPick, LegendEntry, Mark, Plot, Ticks};

use super::{Palette, colors, span};

/// A study's answer, and what is known of it.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// What stands above the figure.
    pub title: &'a str,
    pub headlines: &'a [Headline],
    pub drawn: &'a [Drawn],
    pub reading: &'a Reading,
    pub vocab: &'a Vocab,
}

/// Plots side by side.
const MOST_COLUMNS: usize = 3;
/// A map of more columns has a row of the page to itself.
const WIDE: usize = 20;
/// Heads that the caption names.
const NAMED: usize = 4;

/// All that the answer has of what is drawn; what was left out has no plot.
pub fn figure(study: &Study<'_>, palette: Palette) -> Figure {
    let plots: Vec<Plot> =
        study.drawn.iter().filter_map(|drawn| study.plot(drawn, palette)).collect();
    if plots.is_empty() {
        return super::outputs::sentence(
            "This study found nothing that is drawn; its numbers are in the table and in the JSON file.",
        );
    }
    let narrow = plots.iter().filter(|plot| !plot.wide).count();
    let columns = if narrow == 4 { 2 } else { narrow.clamp(1, MOST_COLUMNS) };
    let title = study.title.to_owned();
    Figure { title, columns, caption: study.caption(), plots, ..Figure::default() }
}

/// Cells of a map, those that matter most first, each with its coordinates; those without a value are left out.
pub fn strongest(array: &Array, first: First) -> Vec<(Vec<usize>, f32)> {
    let mut order: Vec<usize> =
        (0..array.data.len()).filter(|i| array.data[*i].is_finite()).collect();
    let rank = |at: &usize| match first {
        First::Largest => -array.data[*at].abs(),
        First::Lowest => array.data[*at],
        First::Highest => -array.data[*at],
    };
    order.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    let place = |mut at: usize| {
        let mut place: Vec<usize> = array.shape.iter().rev().map(|n| (at % n, at /= n).0).collect();
        place.reverse();
        place
    };
    order.into_iter().map(|i| (place(i), array.data[i])).collect()
}

/// A name of each index of an axis.
pub fn names(study: &Study<'_>, axis: &str, array: &Array, count: usize) -> Arc<[String]> {
    let ids = |name: &str| study.reading.array(name).map(|ids| ids.data.iter().copied());
    let glyph = |id: f32| study.vocab.glyph(index(id).try_into().unwrap_or(u32::MAX));
    let named: Vec<String> = match axis {
        "position" => match (ids("tokens"), ids("tokens.counterpart")) {
            (Some(tokens), Some(others)) => {
                tokens.zip(others).map(|(a, b)| pair(&glyph(a), &glyph(b))).collect()
            }
            // The tokens of the subject have a star.
            (Some(tokens), None) => {
                let is_subject = |at: usize| {
                    ids("subject").is_some_and(|mut all| all.any(|position| index(position) == at))
                };
                let star = |at: usize| if is_subject(at) { "*" } else { "" };
                tokens.enumerate().map(|(at, id)| glyph(id) + star(at)).collect()
            }
            (None, _) => Vec::new(),
        },
        "token" => {
            let stem = array.name.split('.').next().unwrap_or_default();
            ids(&format!("{stem}.tokens")).map_or_else(Vec::new, |ids| ids.map(glyph).collect())
        }
        "place" => PLACES.iter().map(|name| (*name).to_owned()).collect(),
        _ => Vec::new(),
    };
    if named.len() == count { named.into() } else { (0..count).map(|i| i.to_string()).collect() }
}

fn pair(a: &str, b: &str) -> String {
    if a == b { a.to_owned() } else { format!("{a}/{b}") }
}

impl Study<'_> {
    fn plot(&self, drawn: &Drawn, palette: Palette) -> Option<Plot> {
        let arrays = drawn.arrays.iter();
        let found: Vec<(&Array, &str)> =
            arrays.filter_map(|(name, word)| Some((self.reading.array(name)?, *word))).collect();
        let (first, _) = found.first()?;
        if first.data.iter().all(|x| !x.is_finite()) {
            return None;
        }
        if first.axes.len() == 2 {
            return Some(self.map(drawn, first, palette));
        }
        Some(self.lines(drawn, &found, palette))
    }

    /// Rows are layers, columns heads, positions or places.
    fn map(&self, drawn: &Drawn, array: &Array, palette: Palette) -> Plot {
        let [rows, columns] = [array.shape[0], array.shape[1]];
        let axis = array.axes[1].name.as_str();
        let (map, range) = colours(array, palette.dark);
        let row_names: Arc<[String]> = (0..rows).map(|i| i.to_string()).collect();
        let column_names = names(self, axis, array, columns);
        let heat = Heat {
            name: drawn.title.to_owned(),
            rows,
            columns,
            values: array.data.clone(),
            map,
            range,
            pick: HeatPick::Named { rows: row_names.clone(), columns: column_names.clone() },
            ..Heat::default()
        };
        let label = match axis {
            "position" | "place" => "",
            axis => axis,
        };
        let side = |label: &str, range, names| Axis {
            label: label.to_owned(),
            range,
            ticks: Ticks::Each(names),
            ..Axis::default()
        };
        Plot {
            title: drawn.title.to_owned(),
            x: side(label, (0.0, columns as f64), column_names),
            y: side("layer", (rows as f64, 0.0), row_names),
            marks: vec![Mark::Heat(heat)],
            color_bar: Some(ColorBar {
                label: drawn.quantity.to_owned(),
                map,
                range,
                scaling: Scaling::Linear,
            }),
            wide: columns > WIDE,
            ..Plot::default()
        }
    }

    /// A line for each array, along its axis.
    fn lines(&self, drawn: &Drawn, found: &[(&Array, &str)], palette: Palette) -> Plot {
        let (first, _) = found[0];
        let (axis, count) = (first.axes[0].name.as_str(), first.data.len());
        let mut extent = span::Extent::default();
        found.iter().flat_map(|(array, _)| &*array.data).for_each(|x| extent.add(f64::from(*x)));
        extent.add(0.0);
        let (mut marks, mut legend) = (Vec::new(), Vec::new());
        for (i, (array, word)) in found.iter().enumerate() {
            let color = colors::line(palette, i);
            let dash = if i % 2 == 0 { Dash::Solid } else { Dash::Dashed };
            let points = array.data.iter().enumerate();
            let points = points.map(|(at, x)| [at as f64 + 0.5, f64::from(*x)]).collect();
            marks.extend(Mark::curve(word, points, color, dash));
            if found.len() > 1 {
                legend.push(LegendEntry::line(*word, color, dash));
            }
        }
        let air = 0.05 * (extent.high - extent.low).max(1e-9);
        Plot {
            title: drawn.title.to_owned(),
            x: Axis {
                label: axis.to_owned(),
                range: (0.0, count as f64),
                ticks: Ticks::Each(names(self, axis, first, count)),
                ..Axis::default()
            },
            y: Axis {
                label: drawn.quantity.to_owned(),
                range: (extent.low - air, extent.high + air),
                ..Axis::default()
            },
            marks,
            legend,
            wide: count > WIDE && axis == "token",
            ..Plot::default()
        }
    }

    /// What was found in numbers, of which prompt, the strongest heads of each map, and what else is to be known.
    fn caption(&self) -> String {
        let all = [self.numbers(), self.prompt()].into_iter().flatten();
        all.chain(self.heads())
            .chain(self.reading.notes.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// `Over 8 prompts: logit difference 3.552, with the name exchanged −3.552.`
    fn numbers(&self) -> Option<String> {
        let said = self.headlines.iter().filter_map(|headline| {
            let value = self.reading.number(headline.number).filter(|value| value.is_finite())?;
            let value = match headline.is_share {
                true => format!("{:.0} %", 100.0 * value),
                false => signed(value),
            };
            Some(headline.words.replace("{}", &value))
        });
        let said = said.collect::<Vec<_>>().join(", ");
        let of = self
            .reading
            .number("prompts")
            .map_or(String::new(), |count| format!("Over {}: ", counted(count)));
        (!said.is_empty()).then(|| format!("{of}{said}."))
    }

    /// The prompt that the plots by position or by token are of, without a token that begins it.
    fn prompt(&self) -> Option<String> {
        let text = |name: &str| {
            let ids = self.reading.array(name)?.data.iter();
            let ids: Vec<u32> = ids.map(|id| index(*id).try_into().unwrap_or(u32::MAX)).collect();
            Some(labelled(&self.vocab.spell(&ids), |c| c == ' ').into_owned())
        };
        let other = text("tokens.counterpart").map(|other| format!("; counterpart: “{other}”"));
        Some(format!("Prompt: “{}”{}.", text("tokens")?, other.unwrap_or_default()))
    }

    /// The strongest heads of each map.
    fn heads(&self) -> Vec<String> {
        let maps = self.drawn.iter().filter_map(|drawn| {
            let array = self.reading.array(drawn.arrays[0].0)?;
            (array.axes.last()? == &"head" && array.axes.len() == 2).then_some((drawn, array))
        });
        let said = maps.map(|(drawn, array)| {
            let is_signed = array.data.iter().any(|x| *x < 0.0);
            let heads = strongest(array, drawn.first).into_iter().take(NAMED);
            let heads = heads.map(|(at, x)| format!("{}.{} {}", at[0], at[1], short(x, is_signed)));
            format!("{}: {}.", drawn.title, heads.collect::<Vec<_>>().join(", "))
        });
        said.collect()
    }
}

/// Three digits behind the point.
fn signed(x: f64) -> String {
    format!("{:.3}", Plain(x)).replace('-', "−")
}

fn counted(prompts: f64) -> String {
    let prompts = index(prompts);
    if prompts == 1 { "1 prompt".to_owned() } else { format!("{prompts} prompts") }
}

/// Two digits, with a sign where others have one.
fn short(x: f32, is_signed: bool) -> String {
    let sign = match (x < 0.0, is_signed) {
        (true, _) => "−",
        (false, true) => "+",
        (false, false) => "",
    };
    format!("{sign}{:.2}", Plain(f64::from(x.abs())))
}

/// Around zero where there are numbers below it, else from it on.
fn colours(array: &Array, dark: bool) -> (ColorMap, (f32, f32)) {
    let known = array.data.iter().copied().filter(|x| x.is_finite());
    let (low, most) = known.fold((0.0f32, 0.0f32), |(l, m), x| (l.min(x), m.max(x.abs())));
    let most = if most > 0.0 { most } else { 1.0 };
    // Rounding is no sign.
    match low < -1e-4 * most {
        true => (ColorMap::Vik.on(dark), (-most, most)),
        false => (ColorMap::Paper.on(dark), (0.0, most)),
    }
}
