//! One figure minus another of the same kind. Numbers are subtracted and coloured around zero; of all else, what both show stays.

use super::color::{Color, ColorMap, Scaling, fraction};
use super::scale::{Along, number};
use super::{Axis, Cell, ColorBar, Figure, Heat, HeatPick, Mark, Plot, Ticks};
use crate::base::convert::narrow;

/// What a difference is called where it has a name of its own to have.
pub const NAME: &str = "A − B";

/// `a` minus `b`, on paper that is dark or light. The title is the caller's; the captions of both stay.
///
/// # Errors
/// A sentence: one of them has nothing drawn, they are not alike, or there is nothing in them to subtract.
pub fn difference(a: &Figure, b: &Figure, dark: bool) -> Result<Figure, String> {
    for (name, figure) in [("A", a), ("B", b)] {
        if let Some(why) = &figure.empty {
            return Err(format!("Nothing to subtract. {name}: {why}"));
        }
    }
    if a.plots.len() != b.plots.len() {
        return Err(format!(
            "Nothing to subtract: A has {} parts here and B has {}. Side by side shows both.",
            a.plots.len(),
            b.plots.len()
        ));
    }
    let pairs = a.plots.iter().zip(&b.plots);
    let mut parts = pairs.map(|(a, b)| Part::new(a, b)).collect::<Result<Vec<_>, _>>()?;
    if parts.iter().all(|part| part.count == 0) {
        return Err("There are no numbers here to subtract: side by side shows both.".to_owned());
    }
    share_scale(&mut parts);
    let caption = format!("{} {}", both_captions(a, b), caption(&parts)).trim().to_owned();
    let plots = parts.into_iter().map(|part| part.plot(dark)).collect();
    Ok(Figure { plots, caption, title: NAME.to_owned(), ..a.clone() })
}

/// What stands below both, each by itself where it is not the same.
fn both_captions(a: &Figure, b: &Figure) -> String {
    if a.caption == b.caption {
        return a.caption.clone();
    }
    let said = [("A", &a.caption), ("B", &b.caption)].into_iter().filter(|(_, c)| !c.is_empty());
    said.map(|(name, caption)| format!("{name}: {caption}")).collect::<Vec<_>>().join(" ")
}

/// What has no counterpart, and that nothing differs.
fn caption(parts: &[Part]) -> String {
    let sum = |of: fn(&Part) -> usize| parts.iter().map(of).sum::<usize>();
    let (count, missing) = (sum(|part| part.count), sum(|part| part.missing));
    let missing = match missing {
        0 => String::new(),
        n => format!("{n} of {} numbers of A are left out: B has none there. ", count + n),
    };
    let same = parts.iter().all(|part| part.most == 0.0 && part.most_value == 0.0);
    format!("{missing}{}", if same { "A and B are the same here." } else { "" }).trim().to_owned()
}

/// Maps without a bar of colours of their own have one scale in common.
fn share_scale(parts: &mut [Part]) {
    let bars = parts.iter().filter(|part| part.plot.color_bar.is_some()).count();
    if bars > 1 {
        return;
    }
    let most = parts.iter().map(|part| part.most).fold(0.0, f32::max);
    parts.iter_mut().for_each(|part| part.most = most);
}

/// A plot on its way.
struct Part {
    /// Its numbers are subtracted; their colours and axes are not set yet.
    plot: Plot,
    /// Numbers that were subtracted, and those of A that have no counterpart.
    count: usize,
    missing: usize,
    /// The largest difference in colours, and that along an axis.
    most: f32,
    most_value: f64,
}

impl Part {
    fn new(a: &Plot, b: &Plot) -> Result<Self, String> {
        let plot = Plot {
            title: common_words(&a.title, &b.title),
            marks: Vec::new(),
            legend: a.legend.iter().filter(|entry| b.legend.contains(entry)).cloned().collect(),
            ..a.clone()
        };
        let mut part = Self { plot, count: 0, missing: 0, most: 0.0, most_value: 0.0 };
        for (index, mark) in a.marks.iter().enumerate() {
            let nth = a.marks[..index].iter().filter(|m| are_alike(m, mark)).count();
            let mut alike = b.marks.iter().filter(|m| are_alike(m, mark));
            if let Some(mark) = part.subtract(mark, alike.nth(nth), [a, b])? {
                part.plot.marks.push(mark);
            }
        }
        Ok(part)
    }

    /// A mark minus its counterpart; nothing of what says something else in both.
    fn subtract(
        &mut self,
        mark: &Mark,
        other: Option<&Mark>,
        plots: [&Plot; 2],
    ) -> Result<Option<Mark>, String> {
        Ok(match (mark, other) {
            (Mark::Heat(a), Some(Mark::Heat(b))) => Some(Mark::Heat(self.heat(a, b)?)),
            (Mark::Cells(a), Some(Mark::Cells(b))) => self.cells(a, b).map(Mark::Cells),
            (Mark::Cloud(_), _) => {
                return Err(
                    "A cloud of points has no difference: side by side shows both.".to_owned()
                );
            }
            // Without a scale beside it a place is no number.
            (mark, other) if series(mark).is_some() && plots[0].y.ticks != Ticks::Hidden => {
                Some(self.series(mark, other, plots))
            }
            // A number over a map or a bar is that of its cell or of the bar.
            (same, other) => {
                let is_stale = is_number(same) && plots[0].marks.iter().any(says_numbers);
                other.filter(|other| *other == same && !is_stale).cloned()
            }
        })
    }

    /// Bars, dots or a line minus those of B that have the same name and stand at the same place, or at the same text.
    fn series(&mut self, mark: &Mark, other: Option<&Mark>, [a, b]: [&Plot; 2]) -> Mark {
        let points_of = |mark| series(mark).map_or_else(Vec::new, |(_, points)| points);
        let (points, others) = (points_of(mark), other.map_or_else(Vec::new, points_of));
        let is_at = |x: f64, other: f64| match (a.x.ticks.at(x), b.x.ticks.at(other)) {
            (Some(text), Some(other)) => text == other,
            _ => x == other,
        };
        let less = |(i, p): (usize, &[f64; 2])| {
            let other = others.iter().find(|other| is_at(p[0], other[0]))?;
            Some((i, [p[0], p[1] - other[1]]))
        };
        let found: Vec<(usize, [f64; 2])> = points.iter().enumerate().filter_map(less).collect();
        self.count += found.len();
        self.missing += points.len() - found.len();
        let sizes = found.iter().map(|(_, p)| p[1].abs()).filter(|size| size.is_finite());
        self.most_value = sizes.fold(self.most_value, f64::max);
        with_series(mark.clone(), &found)
    }

    fn heat(&mut self, a: &Heat, b: &Heat) -> Result<Heat, String> {
        let [of_a, of_b] = [a, b].map(|heat| [heat.rows, heat.columns, heat.before]);
        if of_a != of_b {
            return Err(format!(
                "Nothing to subtract: A has {} rows and {} columns here and B has {} and {}. Side by side shows both.",
                a.rows, a.columns, b.rows, b.columns
            ));
        }
        let values: Vec<f32> = a.values.iter().zip(&*b.values).map(|(a, b)| a - b).collect();
        let seen = values.iter().filter(|value| value.is_finite());
        self.count += seen.clone().count();
        self.most = seen.fold(self.most, |most, value| most.max(value.abs()));
        let pick = match (&a.pick, &b.pick) {
            (HeatPick::Cells { picks, hovers }, HeatPick::Cells { hovers: others, .. }) => {
                HeatPick::Cells { picks: picks.clone(), hovers: both(hovers, others, &values) }
            }
            (pick, _) => pick.clone(),
        };
        let (values, tops) = (values.into(), Default::default());
        Ok(Heat { values, tops, pick, scaling: Scaling::Linear, ..a.clone() })
    }

    /// Boxes in the same places; where their places are what they say, there is nothing to subtract.
    fn cells(&mut self, a: &[Cell], b: &[Cell]) -> Option<Vec<Cell>> {
        let same = |(a, b): (&Cell, &Cell)| (a.from, a.to) == (b.from, b.to);
        if a.len() != b.len() || !a.iter().zip(b).all(same) {
            return None;
        }
        Some(a.iter().zip(b).map(|(a, b)| self.cell(a, b)).collect())
    }

    fn cell(&mut self, a: &Cell, b: &Cell) -> Cell {
        let text = match a.text == b.text {
            true => a.text.clone(),
            false => format!("{}→{}", b.text, a.text),
        };
        let values = a.value.zip(b.value).map(|((what, a), (_, b))| (what, a - b));
        let value = values.filter(|(_, value)| value.is_finite());
        if let Some((_, value)) = value {
            self.count += 1;
            self.most = self.most.max(narrow(value.abs()));
        }
        let said = value.map(|(what, value)| format!("\n{NAME} of the {what}: {}", number(value)));
        let hover = match a.hover == b.hover {
            true => a.hover.clone(),
            false => format!("A: {}\nB: {}", a.hover, b.hover),
        };
        Cell { text, hover: hover + &said.unwrap_or_default(), value, ..a.clone() }
    }

    /// Whole: colours around zero, and an axis of values around it.
    fn plot(self, dark: bool) -> Plot {
        let Self { mut plot, most, most_value, .. } = self;
        let (map, range) = around_zero(&mut plot.marks, most, dark);
        if let Some(bar) = &mut plot.color_bar {
            let label = labelled(&bar.label);
            *bar = ColorBar { label, map, range, scaling: Scaling::Linear };
        }
        if plot.y.ticks != Ticks::Hidden && plot.marks.iter().any(|mark| series(mark).is_some()) {
            plot.y = values_around_zero(&plot.y, most_value);
        }
        plot
    }
}

/// Sentences of two cells and their difference, one after the other.
fn both(a: &[String], b: &[String], values: &[f32]) -> std::sync::Arc<[String]> {
    let said = |((a, b), value): ((&String, &String), &f32)| match value.is_finite() {
        true => format!("A: {a}\nB: {b}\n{NAME}: {}", number(f64::from(*value))),
        false => a.clone(),
    };
    a.iter().zip(b).zip(values).map(said).collect()
}

/// Gives maps and boxes the colours of differences that are as large as `most`: the map of colours and its range.
pub fn around_zero(marks: &mut [Mark], most: f32, dark: bool) -> (ColorMap, (f32, f32)) {
    let map = ColorMap::Vik.on(dark);
    let most = if most > 0.0 { most } else { 1.0 };
    let range = (-most, most);
    for mark in marks {
        if let Mark::Heat(heat) = mark {
            (heat.map, heat.range) = (map, range);
        } else if let Mark::Cells(cells) = mark {
            cells.iter_mut().for_each(|cell| color(cell, map, range));
        }
    }
    (map, range)
}

fn color(cell: &mut Cell, map: ColorMap, range: (f32, f32)) {
    // A place that answers the pointer and shows nothing stays unseen.
    let Some((_, value)) = cell.value.filter(|_| cell.fill.is_some()) else { return };
    let fill = map.at(fraction(narrow(value), range, Scaling::Linear));
    (cell.fill, cell.ink) = (Some(fill), Color::ink_on(fill));
}

/// What a scale of differences is called.
fn labelled(label: &str) -> String {
    if label.is_empty() { NAME.to_owned() } else { format!("{NAME}: {label}") }
}

fn values_around_zero(axis: &Axis, most: f64) -> Axis {
    let end = if most > 0.0 { 1.1 * most } else { 1.0 };
    let label = labelled(&axis.label);
    Axis { label, range: (-end, end), along: Along::Values, ticks: Ticks::Auto }
}

/// Whether a number beside it is one of its own.
fn says_numbers(mark: &Mark) -> bool {
    matches!(mark, Mark::Heat(_)) || series(mark).is_some()
}

/// Whether it is a text that is a number.
fn is_number(mark: &Mark) -> bool {
    let Mark::Text { text, .. } = mark else { return false };
    text.replace('\u{2212}', "-").parse::<f64>().is_ok()
}

/// Marks of one kind, and of one name where they are series, have counterparts in their order.
fn are_alike(a: &Mark, b: &Mark) -> bool {
    let name = |mark| series(mark).map(|(name, _)| name);
    std::mem::discriminant(a) == std::mem::discriminant(b) && name(a) == name(b)
}

/// The name of bars, dots or a line, with their places and values; nothing of what is none of these, and of lines without a name,
/// which are no numbers.
fn series(mark: &Mark) -> Option<(&str, Vec<[f64; 2]>)> {
    if let Mark::Bars { name, at, values, .. } = mark {
        return Some((name, at.iter().zip(values).map(|(at, value)| [*at, *value]).collect()));
    }
    if let Mark::Line { name, points, .. } = mark
        && !name.is_empty()
    {
        return Some((name, points.to_vec()));
    }
    let Mark::Points { name, points, .. } = mark else { return None };
    Some((name, points.to_vec()))
}

/// The same marks with other places and values: of each, which one of theirs it stands for.
fn with_series(mut mark: Mark, found: &[(usize, [f64; 2])]) -> Mark {
    let places = || found.iter().map(|(_, p)| *p);
    if let Mark::Bars { at, values, base, .. } = &mut mark {
        (*at, *values) = places().map(|[at, value]| (at, value)).unzip();
        *base = 0.0;
    } else if let Mark::Line { points, .. } = &mut mark {
        *points = places().collect();
    } else if let Mark::Points { points, colors, picks, .. } = &mut mark {
        *points = places().collect();
        *colors = found.iter().filter_map(|(i, _)| colors.get(*i).copied()).collect();
        *picks = found.iter().filter_map(|(i, _)| picks.get(*i).cloned()).collect();
    }
    mark
}

/// The words that two titles begin with: what stands behind them is a number of one of them, or of both.
fn common_words(a: &str, b: &str) -> String {
    if a == b {
        let name = a.split_once(": ").filter(|(_, rest)| rest.contains(char::is_numeric));
        return name.map_or(a, |(name, _)| name).to_owned();
    }
    let words = a.split(' ').zip(b.split(' ')).take_while(|(a, b)| a == b);
    let common = words.map(|(word, _)| word).collect::<Vec<_>>().join(" ");
    common.trim_end_matches([':', ',', ' ', '(']).to_owned()
}
