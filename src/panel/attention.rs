//! The attention of one head on the sequence in view, with the selected row and column beside it.

use std::sync::Arc;

use crate::base::question::MeasurementCall;
use crate::figure::color::{Color, ColorMap, Scaling};
use crate::figure::layout;
use crate::figure::{
    Along, Axis, ColorBar, Dash, Figure, Heat, HeatPick, LegendEntry, Mark, Plot, Ticks,
};

use super::heads::strike;
use super::outputs::{
    Pattern, attention_call, is_head_cut, number, pattern, place, reading, sentence, signs,
    step_text, tokens,
};
use super::positions::{self, Window};
use super::{NetShape, Panel, PanelKind, Selection, Stack, View, colors};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Attention",
    look_for: "Each row is a query (a token that asks), each column a key (a token that is looked at), and a row sums to 1. An induction head looks right behind earlier copies of its query: those cells are outlined.",
    click: "A click on a cell selects its query and its key in all panels; pointing at one tells both tokens and the value.",
    stack: Stack::MiddleBelow,
    turn: 0,
    is_of_head: true,
    ..PanelKind::new("attention", || Box::<Attention>::default())
};

crate::choices! {
    /// From which to which value the colours run.
    pub enum Range {
        Largest = "0 to largest",
        One = "0 to 1",
        Root = "square root",
        Log = "logarithmic",
        Row = "row",
    }
}

crate::choices! {
    /// For which queries the cells of a perfect induction head are outlined.
    pub enum Expected {
        Off = "off",
        Selected = "selected query",
        Repeated = "answer seen before",
        All = "all",
    }
}

crate::choices! {
    /// Whether the colours run over the keys after the first, which is marked then.
    pub enum FirstKey {
        Usual = "as usual",
        Apart = "beyond the scale",
        Within = "within the scale",
    }
}

impl FirstKey {
    /// Usual is beyond the scale in networks of other programs: there the first token takes what attention a head has to spare, and the
    /// first query gives it all.
    pub fn is_apart(self, net: &NetShape) -> bool {
        match self {
            Self::Usual => net.is_read,
            Self::Apart => true,
            Self::Within => false,
        }
    }
}

crate::settings! {
    /// The panel `attention`.
    pub struct Attention = "The attention of the selected head on the sequence in view: a row for each query, a column for each key." {
        /// Colours of the map.
        map: ColorMap = ColorMap::Paper, called "colours", @live;
        /// From which to which value the colours run. Square root shows weak attention too; logarithmic the weakest, and what is below a ten-thousandth looks like it; row gives each query a scale of its own, from 0 to its largest value.
        range: Range = Range::Largest, called "colour range", @live;
        /// Leave out the first key, which often takes the attention that has nowhere to go; the scale adapts to the rest.
        hide_first: bool = false, @live;
        /// Whether the colours run over the keys after the first alone, which is framed then: as usual is so in networks of other programs.
        first_key: FirstKey = FirstKey::Usual, @live;
        /// Outline the cells where an induction head should look: at the tokens that follow an earlier copy of the query's token.
        expected: Expected = Expected::Selected, called "outline where it should look", @live;
        /// Which positions to draw: 48, which follow the selection until you scroll; all; the last 64; or 64 around the selection.
        window: Window = Window::Near, called "positions shown", @live;
        /// Draw the selected query's row and the selected key's column (its own, where no key is selected) as curves, where there is room.
        curves: bool = false, called "bars below", @live;
    }
}

/// Lower panels have no legend, unless it stands beside the map; in points.
const LEAST_FOR_LEGEND: f32 = 190.0;
/// More outlines than this would hide the map.
const MOST_OUTLINES: usize = 1500;
/// Lower end of the logarithmic scale.
const LOG_FLOOR: f32 = 1e-4;

impl Panel for Attention {
    fn needs(&self, net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        vec![attention_call(net, selection)]
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

impl Attention {
    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let Selection { layer, head, .. } = *view.selection;
        let heads = view.net.heads.get(layer).copied().unwrap_or(0);
        if head >= heads {
            return Err(sentence(format!(
                "This network has no layer {layer}, head {head}: pick a head in the overview of heads."
            )));
        }
        let answer = reading(view, &attention_call(view.net, view.selection))?;
        let pattern = pattern(answer, layer, head)?;
        let shown = self.window.of(view.selection, pattern.queries);
        let mut plots = vec![self.map(view, pattern, shown)];
        let room = view.size[0] >= 340.0 || view.size[1] >= 340.0;
        if self.curves && room && (view.selection.query.is_some() || view.selection.key.is_some()) {
            plots.push(curves(view, pattern, shown));
        }
        let cut = if is_head_cut(view, layer, head) { " (cut)" } else { "" };
        let side_by_side = view.size[0] > 1.6 * view.size[1];
        Ok(Figure {
            title: format!("Attention of layer {layer}, head {head}{cut}, {}", step_text(view)),
            columns: if side_by_side { plots.len() } else { 1 },
            plots,
            caption: self.caption(view, pattern, shown),
            ..Figure::default()
        })
    }

    fn map(&self, view: &View<'_>, pattern: Pattern<'_>, shown: (usize, usize)) -> Plot {
        let values = self.values(pattern);
        let apart = self.first_key.is_apart(view.net) && !self.hide_first;
        let range = self.color_range(&values, if apart { Some(pattern) } else { None });
        let map = self.map.on(view.palette.dark);
        let unseen = unseen(view, map);
        let mut marks = vec![Mark::Heat(Heat {
            name: "attention".to_owned(),
            rows: pattern.queries,
            columns: pattern.memory.len() + pattern.keys,
            before: pattern.memory.len(),
            tops: self.tops(&values, pattern.queries).into(),
            values,
            map,
            range,
            scaling: self.scaling(),
            causal: true,
            unseen,
            pick: HeatPick::QueryKey,
        })];
        let outlines = self.outlines(view, pattern, shown, map);
        let outlined = !outlines.is_empty();
        marks.extend(outlines);
        marks.extend(selected_bands(view, pattern));
        let parts = parts(view, pattern);
        marks.extend(parts.iter().map(Part::frame));
        marks.extend(memory_gap([pattern.memory.len(), pattern.queries], view.palette.paper));
        let framed = apart && shown.0 == 0;
        marks.extend(framed.then(|| first_key_frame(view, shown)));
        let (from, to) = (shown.0 as f64, shown.1 as f64);
        if is_head_cut(view, view.selection.layer, view.selection.head) {
            marks.push(strike([across(pattern, shown).0, to], [to, from], view));
        }
        let axis = |label: &str, range, ticks| Axis {
            label: label.to_owned(),
            range,
            along: Along::Values,
            ticks,
        };
        // On little room the map comes first.
        let explains = view.size[1] >= LEAST_FOR_LEGEND || layout::has_room_beside(view.size);
        let mut legend = selection_legend(view, pattern);
        legend.extend(parts.iter().map(Part::entry));
        if outlined {
            let text = "where an induction head should look";
            legend.push(LegendEntry::square(text, outline_color(map)));
        }
        if framed {
            legend
                .push(LegendEntry::square("first key: beyond the colours", first_key_color(view)));
        }
        legend.push(LegendEntry { color: unseen, ..LegendEntry::absent("the future: hidden") });
        Plot {
            title: selected_value(view, pattern),
            x: axis("looked-at token (key)", across(pattern, shown), key_ticks(view, pattern)),
            y: axis("asking token (query)", (to, from), token_ticks(view)),
            equal: true,
            marks,
            legend: if explains { legend } else { Vec::new() },
            color_bar: Some(ColorBar {
                label: self.bar_label().to_owned(),
                map,
                range,
                scaling: self.scaling(),
            }),
            weight: 2.5,
            ..Plot::default()
        }
    }

    fn values(&self, pattern: Pattern<'_>) -> Arc<[f32]> {
        if let Some(shared) = pattern.shared.filter(|_| !self.hide_first) {
            return shared.clone();
        }
        let mut values = pattern.values.to_vec();
        if self.hide_first {
            let memory = pattern.memory.len();
            let first = values.iter_mut().skip(memory).step_by((memory + pattern.keys).max(1));
            first.for_each(|v| *v = f32::NAN);
        }
        values.into()
    }

    fn scaling(&self) -> Scaling {
        match self.range {
            Range::Largest | Range::One | Range::Row => Scaling::Linear,
            Range::Root => Scaling::SquareRoot,
            Range::Log => Scaling::Logarithmic,
        }
    }

    fn bar_label(&self) -> &'static str {
        if self.range == Range::Row { "attention / largest of the query" } else { "attention" }
    }

    /// The largest value of each query, where each has a scale of its own; else nothing.
    fn tops(&self, values: &[f32], queries: usize) -> Vec<f32> {
        if self.range != Range::Row {
            return Vec::new();
        }
        values.chunks_exact((values.len() / queries.max(1)).max(1)).map(largest).collect()
    }

    /// `but_first`: over the keys of a pattern after the first.
    fn color_range(&self, values: &[f32], but_first: Option<Pattern<'_>>) -> (f32, f32) {
        let most = match but_first {
            None => largest(values),
            Some(pattern) => {
                let (memory, width) = (pattern.memory.len(), pattern.memory.len() + pattern.keys);
                let row = |row: &[f32]| largest(&row[..memory]).max(largest(&row[memory + 1..]));
                let rows = values.chunks_exact(width.max(1)).filter(|row| row.len() > memory);
                least_colored(pattern.keys, rows.map(row).fold(0.0, f32::max))
            }
        };
        match self.range {
            Range::One | Range::Row => (0.0, 1.0),
            Range::Largest | Range::Root if most > 0.0 => (0.0, most),
            Range::Log if most > LOG_FLOOR => (LOG_FLOOR, most),
            Range::Largest | Range::Root => (0.0, 1.0),
            Range::Log => (LOG_FLOOR, 1.0),
        }
    }

    /// Where positions carry numbers, no token comes again.
    fn expected(&self, view: &View<'_>) -> Expected {
        if view.net.reals { Expected::Off } else { self.expected }
    }

    fn outlines(
        &self,
        view: &View<'_>,
        pattern: Pattern<'_>,
        shown: (usize, usize),
        map: ColorMap,
    ) -> Vec<Mark> {
        let tokens = tokens(view);
        let occurrence = view.readings.map_or(&[][..], |r| &r.prompt.occurrence);
        let last = shown.1.min(pattern.queries).min(tokens.len());
        let wanted = |query: &usize| match self.expected(view) {
            Expected::Off => false,
            Expected::Selected => view.selection.query == Some(*query),
            Expected::Repeated => occurrence.get(*query).is_some_and(|&c| c >= 2),
            Expected::All => true,
        };
        let cells = (shown.0..last).filter(wanted).flat_map(|query| {
            let keys = induction_keys(tokens, query).into_iter();
            keys.filter(|key| *key >= shown.0).map(move |key| (query as f64, key as f64))
        });
        let outline = |(query, key)| Mark::Frame {
            from: [key, query],
            to: [key + 1.0, query + 1.0],
            color: outline_color(map),
            width: 1.0,
        };
        cells.take(MOST_OUTLINES).map(outline).collect()
    }

    /// Says what a reader could take for an error: a hidden column, a sink that takes the colours, rows that do not sum to 1
    /// over positions.
    fn caption(&self, view: &View<'_>, pattern: Pattern<'_>, shown: (usize, usize)) -> String {
        let selection = view.selection;
        let positions = positions::about(shown, pattern.queries).trim_start().to_owned();
        let beyond = about_keys_beyond(selection, pattern, shown);
        let said =
            [positions, beyond, self.about_first_key(view, pattern), about_memory(pattern, shown)];
        said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn about_first_key(&self, view: &View<'_>, pattern: Pattern<'_>) -> String {
        let apart = self.first_key.is_apart(view.net);
        match first_key_share(pattern) {
            Some(share) if self.hide_first => format!(
                "The first key is left out; it takes {} of the attention on average.",
                percent(share)
            ),
            Some(share) if share > 0.4 && !apart => format!(
                "On average {} of the attention goes to the first token, as to a sink: “hide_first” shows the rest.",
                percent(share)
            ),
            Some(share) if apart => format!(
                "The colours run over the keys after the first; that one takes {} of the attention on average.",
                percent(share)
            ),
            _ => String::new(),
        }
    }
}

/// Where colours end over the keys after the first, of which the largest weight is `most`: no lower than evenly spread attention, so
/// that what is left beside a first key that takes nearly all does not look like much.
pub fn least_colored(keys: usize, most: f32) -> f32 {
    if most > 0.0 { most.max(1.0 / keys.max(1) as f32) } else { most }
}

/// A frame around the first key, whose values lie beyond the colours.
fn first_key_frame(view: &View<'_>, (from, to): (usize, usize)) -> Mark {
    Mark::Frame {
        from: [0.0, from as f64],
        to: [1.0, to as f64],
        color: first_key_color(view),
        width: 1.5,
    }
}

pub fn first_key_color(view: &View<'_>) -> Color {
    colors::mix(view.palette.paper, view.palette.ink, 0.55)
}

/// The largest number among values; 0 where none is positive.
fn largest(values: &[f32]) -> f32 {
    values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max)
}

/// The colour of keys that a query does not see: another one than paper, where paper means 0.
pub fn unseen(view: &View<'_>, map: ColorMap) -> Color {
    if map.begins_at_paper() { colors::unseen(view.palette) } else { Color::TRANSPARENT }
}

/// Keys that follow an earlier copy of the query's token, up to the query itself: where an induction head looks.
pub fn induction_keys(tokens: &[u32], query: usize) -> Vec<usize> {
    let Some(token) = tokens.get(query) else { return Vec::new() };
    (1..=query).filter(|&key| tokens[key - 1] == *token).collect()
}

/// How much of the selected query's attention goes to keys that are not in view, where that is much.
fn about_keys_beyond(
    selection: &Selection,
    pattern: Pattern<'_>,
    (from, _): (usize, usize),
) -> String {
    let query = selection.query.filter(|query| *query < pattern.queries && from > 0);
    let Some(query) = query else { return String::new() };
    let row = pattern.row(query);
    let share: f32 = row[..from.min(row.len())].iter().filter(|v| v.is_finite()).sum();
    match share > 0.3 {
        true => format!(
            "{} of the attention of query {query} goes to keys left of those in view: turn the wheel, or show all positions.",
            percent(share)
        ),
        false => String::new(),
    }
}

/// How much goes to memory, and where it is drawn; nothing where there is none.
fn about_memory(pattern: Pattern<'_>, shown: (usize, usize)) -> String {
    let ([first, ..], Some(last)) = (&pattern.memory[..], pattern.memory.last()) else {
        return String::new();
    };
    let sum: f32 = (0..pattern.queries).flat_map(|query| pattern.to_memory(query)).sum();
    let place = match shown.0 {
        0 => "left of the gap",
        _ => "which stands before position 0 and is not drawn in this window",
    };
    let share = percent(sum / pattern.queries.max(1) as f32);
    let tokens = if first == last { first.clone() } else { format!("{first} to {last}") };
    format!("On average {share} of the attention goes to memory ({tokens}), {place}.")
}

/// Paper around the columns of memory tokens, so that they are not read as positions; nothing where there are none.
pub fn memory_gap([memory, queries]: [usize; 2], paper: Color) -> Option<Mark> {
    let (from, to) = ([0.0 - memory as f64, 0.0], [0.0, queries as f64]);
    (memory > 0).then_some(Mark::Rect { from, to, fill: None, stroke: Some(paper), width: 2.5 })
}

/// The keys that are drawn: where the first position is, memory stands before it.
fn across(pattern: Pattern<'_>, (from, to): (usize, usize)) -> (f64, f64) {
    let memory = if from == 0 { pattern.memory.len() } else { 0 };
    (from as f64 - memory as f64, to as f64)
}

/// Mean attention of all queries but the first to key 0.
fn first_key_share(pattern: Pattern<'_>) -> Option<f32> {
    let shares: Vec<f32> =
        (1..pattern.queries).map(|q| pattern.at(q, 0)).filter(|v| v.is_finite()).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f32>() / shares.len() as f32)
}

fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A colour that none of the map's own comes near.
fn outline_color(map: ColorMap) -> Color {
    match map {
        ColorMap::Viridis | ColorMap::Cividis | ColorMap::Batlow => Color::rgb(255, 80, 60),
        ColorMap::Paper | ColorMap::Night => colors::TARGET,
        ColorMap::Magma => Color::rgb(80, 220, 255),
        ColorMap::Vik => Color::rgb(20, 20, 20),
        ColorMap::Berlin => Color::rgb(235, 235, 235),
    }
}

/// What the selected query sees of a memory of compressed rows, of a cache and of its own segment.
struct Part {
    name: &'static str,
    query: usize,
    /// Columns, memory before 0.
    from: f64,
    to: f64,
    share: f32,
    color: Color,
}

impl Part {
    fn frame(&self) -> Mark {
        let (from, to) = ([self.from, self.query as f64], [self.to, (self.query + 1) as f64]);
        Mark::Frame { from, to, color: self.color, width: 1.8 }
    }

    fn entry(&self) -> LegendEntry {
        LegendEntry::outline(format!("{} {}", self.name, number(self.share)), self.color)
    }
}

/// The parts of the selected row, where some of its keys are compressed rows (called cm).
fn parts(view: &View<'_>, pattern: Pattern<'_>) -> Vec<Part> {
    let is_compressed = pattern.memory.first().is_some_and(|name| name.starts_with("cm"));
    let query = view.selection.query.filter(|query| *query < pattern.queries && is_compressed);
    let (Some(query), true) = (query, view.net.segment > 0) else { return Vec::new() };
    let (rows, positions) = (pattern.to_memory(query), pattern.row(query));
    let begins = query / view.net.segment * view.net.segment;
    let part = |name, color, (all, from, to): (&[f32], usize, usize), before: usize| {
        let seen = |i: &usize| all.get(*i).is_some_and(|share| *share > 0.0);
        let (first, last) = ((from..to).find(seen)?, (from..to).rfind(seen)?);
        let column = |i: usize| i as f64 - before as f64;
        let share = all[first..=last].iter().sum();
        Some(Part { name, query, from: column(first), to: column(last + 1), share, color })
    };
    let parts = [
        part("cm: compressed", colors::TARGET, (rows, 0, rows.len()), rows.len()),
        part("m: cache", colors::KEY, (positions, 0, begins), 0),
        part("x: its segment", colors::QUERY, (positions, begins, query + 1), 0),
    ];
    parts.into_iter().flatten().collect()
}

/// The selected row and column in frames.
fn selected_bands(view: &View<'_>, pattern: Pattern<'_>) -> Vec<Mark> {
    let frame = |from: [f64; 2], to: [f64; 2], color| Mark::Frame { from, to, color, width: 1.2 };
    let mut marks = Vec::new();
    if let Some(query) = view.selection.query.filter(|&q| q < pattern.queries) {
        let (query, end) = (query as f64, (query + 1) as f64);
        let left = 0.0 - pattern.memory.len() as f64;
        marks.push(frame([left, query], [end, end], colors::QUERY));
    }
    if let Some(key) = view.selection.key.filter(|&k| k < pattern.keys) {
        let key = key as f64;
        marks.push(frame([key, key], [key + 1.0, pattern.queries as f64], colors::KEY));
    }
    marks
}

/// What the selected query gives the selected key.
fn selected_value(view: &View<'_>, pattern: Pattern<'_>) -> String {
    let (Some(query), Some(key)) = (view.selection.query, view.selection.key) else {
        return String::new();
    };
    if key > query || query >= pattern.queries {
        return String::new();
    }
    format!("{} to {}: {}", place(view, query), place(view, key), number(pattern.at(query, key)))
}

/// The token of each position.
fn token_ticks(view: &View<'_>) -> Ticks {
    Ticks::Each(token_names(view))
}

fn token_names(view: &View<'_>) -> Arc<[String]> {
    signs(view).into()
}

/// The token of each position, after the names of memory tokens.
fn key_ticks(view: &View<'_>, pattern: Pattern<'_>) -> Ticks {
    if pattern.memory.is_empty() {
        return token_ticks(view);
    }
    Ticks::Around { before: pattern.memory.clone(), names: token_names(view) }
}

fn selection_legend(view: &View<'_>, pattern: Pattern<'_>) -> Vec<LegendEntry> {
    let query = view.selection.query.filter(|&q| q < pattern.queries);
    let key = view.selection.key.filter(|&k| k < pattern.keys);
    let mut legend = Vec::new();
    if let Some(query) = query {
        let text = format!("query {}", place(view, query));
        legend.push(LegendEntry::square(text, colors::QUERY));
    }
    if let Some(key) = key {
        legend.push(LegendEntry::square(format!("key {}", place(view, key)), colors::KEY));
    }
    legend
}

/// What a query sees, from memory on: where it is drawn, and what it gets.
fn seen(pattern: Pattern<'_>, query: usize) -> impl Iterator<Item = (f64, f32)> {
    let memory = pattern.memory.len() as f64;
    let keys = pattern.to_memory(query).iter().chain(pattern.row(query).iter().take(query + 1));
    keys.enumerate().map(move |(i, value)| (i as f64 - memory, *value))
}

/// Whom the selected query attends to (bars), and who attends to the selected key (line), over positions; where no
/// key is selected, who attends to the position of the query.
fn curves(view: &View<'_>, pattern: Pattern<'_>, shown: (usize, usize)) -> Plot {
    let (from, to) = across(pattern, shown);
    let inside = |(x, v): &(f64, f32)| (from..to).contains(x) && v.is_finite();
    let (mut marks, mut legend, mut most) = (Vec::new(), Vec::new(), 0f32);
    if let Some(query) = view.selection.query.filter(|&q| q < pattern.queries) {
        let name = format!("whom {} attends to", place(view, query));
        let keys: Vec<(f64, f32)> = seen(pattern, query).filter(inside).collect();
        most = keys.iter().map(|(_, v)| *v).fold(most, f32::max);
        legend.push(LegendEntry::square(&name, colors::QUERY));
        let (at, values) = keys.iter().map(|(x, v)| (*x + 0.5, f64::from(*v))).unzip();
        marks.push(Mark::Bars { name, at, values, base: 0.0, width: 0.8, color: colors::QUERY });
    }
    let of_key = view.selection.key.map(|key| (key, colors::KEY));
    let attended = of_key.or(view.selection.query.map(|query| (query, colors::QUERY)));
    if let Some((key, color)) = attended.filter(|(key, _)| *key < pattern.keys) {
        let name = format!("who attends to {}", place(view, key));
        let queries = (key..pattern.queries).map(|q| (q, pattern.at(q, key)));
        // What is undefined is a gap.
        let shown_here = queries.filter(|(p, _)| (shown.0..shown.1).contains(p));
        let queries: Vec<(usize, f32)> = shown_here.collect();
        most = queries.iter().map(|(_, v)| *v).filter(|v| v.is_finite()).fold(most, f32::max);
        legend.push(LegendEntry::line(&name, color, Dash::Solid));
        let points = queries.iter().map(|(p, v)| [*p as f64 + 0.5, f64::from(*v)]).collect();
        marks.push(Mark::Line { name, points, color, width: 1.2, dash: Dash::Solid });
    }
    Plot {
        x: Axis {
            label: "position".to_owned(),
            range: (from, to),
            along: Along::Values,
            ticks: key_ticks(view, pattern),
        },
        y: Axis {
            label: "attention".to_owned(),
            range: (0.0, if most > 0.0 { f64::from(most) * 1.05 } else { 1.0 }),
            ..Axis::default()
        },
        marks,
        legend,
        ..Plot::default()
    }
}
