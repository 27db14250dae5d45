//! What a network keeps beside the sequence: who writes into each slot of its memory, and who reads it; segments side by side on one
//! axis of positions.

mod compressed;

use std::sync::Arc;

use crate::base::array::Array;
use crate::base::convert::{self, narrow};
use crate::base::question::{MeasurementCall, Reading};
use crate::figure::color::{Color, ColorMap, Scaling};
use crate::figure::{
    Anchor, Axis, Cell, ColorBar, Dash, Figure, Heat, HeatPick, Mark, Pick, Plot, Ticks,
};

use super::outputs::{array, number, place, reading, sentence, step_text, tokens};
use super::{MemorySlot, NetShape, Panel, PanelKind, Selection, Stack, View, span};

/// What is known of it before one is made.
pub const KIND: PanelKind = PanelKind {
    title: "Working memory",
    look_for: "A slot that takes strongly from one token and is read much later, in another segment: that token is held in mind. Of recurrent units, bands of one colour that last, and the gates that open where they change.",
    click: "A click on what is written selects the slot and, in all panels, the token that wrote it; then it can be cut, held or taken from another sequence. A click on what is read selects the token that reads.",
    stack: Stack::MiddleBelow,
    aspect: 0.9,
    example: "copy-memory-tokens",
    controls: &[("heads", "Heads"), ("stored", "What is stored")],
    ..PanelKind::new("working_memory", || Box::<WorkingMemory>::default())
};

crate::choices! {
    /// Whose attention is drawn.
    pub enum Whose {
        Mean = "mean of all heads",
        Focus = "head in focus",
    }
}

crate::settings! {
    /// The panel `working_memory`.
    pub struct WorkingMemory = "What is written into the network's memory and what is read from it, on the sequence in view: memory tokens, a cache, or the state of recurrent units." {
        /// Attention of the layer in focus: the mean of its heads, or the head in focus.
        heads: Whose = Whose::Mean, @live;
        /// Draw the gates of recurrent units too.
        gates: bool = true, @live;
        /// Draw what the memory holds, as probes of a label of the task tell it: each is fitted to held-out sequences and judged by others.
        stored: bool = true;
        /// Which label of the task (empty: its first).
        label: String = String::new();
    }
}

/// What an open gate does, after those of a GRU and of an LSTM.
const GATES: [(&str, &str); 5] = [
    ("update", "Update near 1 keeps the state as it was."),
    ("reset", "Reset near 0 leaves the state out of what is new."),
    ("input", "Input near 1 lets in what is new."),
    ("forget", "Forget near 1 keeps the cell as it was."),
    ("output", "Output near 1 shows the cell."),
];

/// Of mechanisms that compete.
const COMPETITION: &str = "Each row is a mechanism: how much of what it attends to it may write at each position. Those of a position sum to 1.";

impl Panel for WorkingMemory {
    fn needs(&self, _net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        vec![call(selection)]
    }

    fn analyses(&self, _net: &NetShape, selection: &Selection) -> Vec<MeasurementCall> {
        if self.stored { vec![self.stored(selection)] } else { Vec::new() }
    }

    fn figure(&self, view: &View<'_>) -> Figure {
        self.draw(view).unwrap_or_else(|instead| instead)
    }
}

fn call(selection: &Selection) -> MeasurementCall {
    let layer = i64::try_from(selection.layer).unwrap_or(0);
    MeasurementCall::new("working_memory").with("layer", layer)
}

impl WorkingMemory {
    /// The probes of what is stored.
    fn stored(&self, selection: &Selection) -> MeasurementCall {
        let layer = i64::try_from(selection.layer).unwrap_or(0);
        let call = MeasurementCall::new("stored").with("layer", layer);
        match self.label.trim() {
            "" => call,
            label => call.with("label", label),
        }
    }

    /// What each slot holds after each segment, if that is known.
    fn contents(
        &self,
        view: &View<'_>,
        positions: usize,
        segments: &Segments,
        called: fn(usize) -> String,
    ) -> Option<Plot> {
        let found = view.analyzed.get(&self.stored(view.selection)).filter(|_| self.stored)?;
        let reading = found.reading.as_ref()?.as_ref().ok()?;
        let score = reading.array("score")?;
        let names = (0..score.shape[1]).map(called).collect();
        let label = reading.notes.first().map_or("", String::as_str);
        let shuffled = span::mean(reading.array("shuffled")?.data.iter().copied());
        let cells =
            (0..score.data.len()).map(|i| content(view, reading, i, segments, positions, called));
        let count = score.shape[1] as f64;
        Some(Plot {
            title: format!(
                "stored: held-out score of probes ({} with shuffled labels). {label}",
                number(shuffled.unwrap_or(f32::NAN))
            ),
            x: Axis { range: (0.0, positions as f64), ticks: Ticks::Hidden, ..Axis::default() },
            y: Axis { range: (count, 0.0), ticks: Ticks::Each(names), ..Axis::default() },
            marks: vec![Mark::Cells(cells.flatten().collect())],
            weight: 0.8,
            ..Plot::default()
        })
    }

    fn draw(&self, view: &View<'_>) -> Result<Figure, Figure> {
        let reading = reading(view, &call(view.selection))?;
        let layer = view.selection.layer;
        let segments = segments(view, reading)?;
        let of = |name: &str| reading.array(&format!("{name}.layer{layer}"));
        let competing = competing(view, reading, &segments);
        if !competing.is_empty() {
            let title = format!("Mechanisms that compete, {}", step_text(view));
            let (plots, caption) = (competing, COMPETITION.to_owned());
            return Ok(Figure { title, plots, columns: 1, caption, ..Figure::default() });
        }
        let drawn = match (of("write"), of("hidden"), of("cache")) {
            (Some(write), ..) => self.slots(view, reading, write, segments)?,
            (None, Some(units), _) => self.units(view, reading, units, &segments),
            (None, None, Some(_)) if of("seen").is_some() => {
                compressed::drawn(self, view, reading, &segments)?
            }
            (None, None, Some(cache)) => self.cache(view, cache, &segments),
            (None, None, None) => return Err(sentence("Nothing is kept in this layer.")),
        };
        let Drawn { plots, caption } = drawn;
        let title = format!("Working memory of layer {layer}, {}", step_text(view));
        Ok(Figure { title, plots, columns: 1, caption, ..Figure::default() })
    }

    /// The attention of the head in focus, or the mean of all: `[row, column]`.
    fn of_heads(&self, view: &View<'_>, all: &Array) -> Vec<f32> {
        let heads = all.shape[0].max(1);
        if self.heads == Whose::Focus && view.selection.head < heads {
            return all.outer(view.selection.head).to_vec();
        }
        let mut mean = vec![0.0; all.data.len() / heads];
        for head in 0..heads {
            mean.iter_mut().zip(all.outer(head)).for_each(|(sum, x)| *sum += x / heads as f32);
        }
        mean
    }

    /// Memory tokens: a lane for each, what is written above what is read.
    fn slots(
        &self,
        view: &View<'_>,
        reading: &Reading,
        write: &Array,
        segments: Segments,
    ) -> Result<Drawn, Figure> {
        let read = array(reading, &format!("read.layer{}", view.selection.layer), 3)?;
        let (positions, slots) = (read.shape[1], read.shape[2]);
        let layer = reading.number("write_layer").filter(|layer| layer.is_finite());
        let (written, reads) = (self.of_heads(view, write), self.of_heads(view, read));
        let layer = layer.map(|layer| convert::index(narrow(layer)));
        let lanes = Lanes { positions, slots, segments, layer };
        let cell = |all: &[f32], index: usize| all.get(index).copied().unwrap_or(f32::NAN);
        let write = |slot: usize, at: usize| {
            cell(&written, (lanes.segment(at) * slots + slot) * positions + at)
        };
        let read = |slot: usize, at: usize| cell(&reads, at * slots + slot);
        let strongest = lanes.strongest(&write);
        let mut plots = Vec::from_iter(retrieved(view, reading, &lanes));
        let from = retrieved_most(reading);
        plots.push(lanes.plot(view, "written from", &write, true));
        plots.extend(self.contents(view, positions, &lanes.segments, |slot| format!("m{slot}")));
        plots.push(lanes.plot(view, "read by", &read, false));
        let caption = strongest.map_or_else(String::new, |(slot, at)| {
            let held = (0..positions).filter(|later| lanes.segment(*later) > lanes.segment(at));
            let reader = held.max_by(|a, b| read(slot, *a).total_cmp(&read(slot, *b)));
            let reader = reader.map_or_else(String::new, |later| {
                format!(
                    "; it is read most by {} ({})",
                    place(view, later),
                    number(read(slot, later))
                )
            });
            format!(
                "m{slot} takes most from {} ({}){reader}.{from}",
                place(view, at),
                number(write(slot, at))
            )
        });
        Ok(Drawn { plots, caption })
    }

    /// Recurrent units: a lane for each, and the openings of its gates below.
    fn units(
        &self,
        view: &View<'_>,
        reading: &Reading,
        hidden: &Array,
        segments: &Segments,
    ) -> Drawn {
        let suffix = format!(".layer{}", view.selection.layer);
        let others = reading.arrays.iter().filter(|array| {
            let name = array.name.strip_suffix(&suffix);
            name.is_some_and(|name| name == "cell" || (self.gates && name.starts_with("gate.")))
        });
        let all = std::iter::once(hidden).chain(others);
        let mut plots: Vec<Plot> = all.map(|array| units(view, array, segments)).collect();
        let positions = Segments((0..hidden.shape[0]).collect());
        let called = |_| "state".to_owned();
        if let Some(contents) = self.contents(view, hidden.shape[0], &positions, called) {
            plots.insert(1, contents);
        }
        let caption = GATES
            .iter()
            .filter(|(gate, _)| reading.array(&format!("gate.{gate}{suffix}")).is_some())
            .map(|(_, said)| *said);
        let caption = std::iter::once("Each row is a unit.").chain(caption);
        let caption = caption.collect::<Vec<&str>>().join(" ");
        Drawn { plots, caption }
    }

    /// A cache: how much of its attention each segment gives to those before it.
    fn cache(&self, view: &View<'_>, cache: &Array, segments: &Segments) -> Drawn {
        let values = self.of_heads(view, cache);
        let names: Arc<[String]> = (0..segments.0.len()).map(|i| i.to_string()).collect();
        let count = names.len();
        let heat = Heat {
            name: "attention".to_owned(),
            rows: count,
            columns: count,
            values: values.into(),
            map: ColorMap::Paper.on(view.palette.dark),
            range: (0.0, 1.0),
            causal: true,
            pick: HeatPick::Named { rows: names.clone(), columns: names.clone() },
            ..Heat::default()
        };
        let axis = |label: &str, range| Axis {
            label: label.to_owned(),
            range,
            ticks: Ticks::Each(names.clone()),
            ..Axis::default()
        };
        let end = count as f64;
        let plot = Plot {
            x: axis("segment that is looked at", (0.0, end)),
            y: axis("segment that asks", (end, 0.0)),
            color_bar: Some(ColorBar {
                label: "attention, mean over queries".to_owned(),
                map: heat.map,
                range: heat.range,
                scaling: Scaling::Linear,
            }),
            equal: true,
            marks: vec![Mark::Heat(heat)],
            ..Plot::default()
        };
        let caption = "What a segment gives to earlier ones goes to its cache.".to_owned();
        Drawn { plots: vec![plot], caption }
    }
}

/// How much each mechanism may write at each position, in each layer that has several.
fn competing(view: &View<'_>, reading: &Reading, segments: &Segments) -> Vec<Plot> {
    let arrays = reading.arrays.iter().filter(|array| array.name.starts_with("gate.competition."));
    let plot = |array: &Array| {
        let layer = array.name.rsplit_once(".layer").map_or("", |(_, layer)| layer);
        let names = (0..array.shape[1]).map(|i| format!("mechanism {i}")).collect();
        let lanes = Axis { ticks: Ticks::Each(names), ..Axis::default() };
        let title = format!("share of each mechanism, layer {layer}");
        let heat = of_units(view, array);
        let mut plot = over_positions(view, &title, array.shape[0], lanes, heat, segments);
        plot.color_bar.iter_mut().for_each(|bar| "share".clone_into(&mut bar.label));
        plot
    };
    arrays.map(plot).collect()
}

/// What each segment retrieves, above the positions that the memories were made of; none where nothing is retrieved.
fn retrieved(view: &View<'_>, reading: &Reading, lanes: &Lanes) -> Option<Plot> {
    let shares = reading.array("retrieval")?;
    let count = lanes.segments.0.len();
    let cell = |asks: usize, from: usize| {
        let share = *shares.data.get(asks * shares.shape[1] + from)?;
        let [begin, end] = lanes.segments.span(from, lanes.positions);
        let at = lanes.segments.span(asks, lanes.positions)[1].saturating_sub(1);
        let text = format!("{share:.2}");
        let shade = Shade { share, most: 1.0, text, stroke: view.palette.paper };
        let hover = format!(
            "segment {asks} gets {} of what it retrieves from the memory of segment {from} ({} to {})",
            number(share),
            place(view, begin),
            place(view, end.saturating_sub(1))
        );
        Some(shade.cell(view, [begin, end], asks - 1, (Pick::Query(at), hover)))
    };
    let cells = (1..count).flat_map(|asks| (0..asks).filter_map(move |from| cell(asks, from)));
    let names = (1..count).map(|asks| format!("segment {asks}")).collect();
    let marks = vec![Mark::Cells(cells.collect())];
    let title = "retrieved from the memory of the segments before";
    Some(over_segments(view, title, lanes.positions, (names, marks), &lanes.segments))
}

/// What the last segment retrieves most.
fn retrieved_most(reading: &Reading) -> String {
    let Some(shares) = reading.array("retrieval").filter(|all| all.shape[0] > 1) else {
        return String::new();
    };
    let last = shares.shape[0] - 1;
    let row = shares.outer(last);
    let most = (0..last).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
    format!(" The last segment retrieves most from segment {most} ({}).", number(row[most]))
}

/// A number between 0 and `most` as the fill of a cell over positions.
struct Shade {
    share: f32,
    most: f32,
    text: String,
    stroke: Color,
}

impl Shade {
    fn cell(
        self,
        view: &View<'_>,
        [from, to]: [usize; 2],
        row: usize,
        (pick, hover): (Pick, String),
    ) -> Cell {
        let most = if self.most > 0.0 { self.most } else { 1.0 };
        let fill = ColorMap::Paper.on(view.palette.dark).at((self.share / most).clamp(0.0, 1.0));
        Cell {
            from: [from as f64, row as f64],
            to: [to as f64, row as f64 + 1.0],
            text: if to - from > 1 { self.text } else { String::new() },
            fill: Some(fill),
            stroke: Some(self.stroke),
            ink: fill.ink_on(),
            pick,
            hover,
            value: Some(("attention", f64::from(self.share))),
        }
    }
}

/// Cells in rows, one for each segment, over the positions of the sequence.
fn over_segments(
    view: &View<'_>,
    title: &str,
    positions: usize,
    (names, mut marks): (Arc<[String]>, Vec<Mark>),
    segments: &Segments,
) -> Plot {
    let tokens = tokens(view).iter().map(|&id| view.vocab.glyph(id)).collect();
    let count = names.len() as f64;
    marks.extend(segments.marks(view, positions, count));
    Plot {
        title: title.to_owned(),
        x: Axis { range: (0.0, positions as f64), ticks: Ticks::Each(tokens), ..Axis::default() },
        y: Axis {
            range: (count, if segments.are_named(view) { -NAMES * count } else { 0.0 }),
            ticks: Ticks::Each(names),
            ..Axis::default()
        },
        marks,
        ..Plot::default()
    }
}

struct Drawn {
    plots: Vec<Plot>,
    caption: String,
}

/// First positions of segments, one after another.
struct Segments(Vec<usize>);

fn segments(view: &View<'_>, reading: &Reading) -> Result<Segments, Figure> {
    let starts = array(reading, "segment", 1)?;
    let positions = tokens(view).len();
    let in_order = |last: &mut usize, from: &f32| {
        *last = convert::index(*from).clamp(*last, positions);
        Some(*last)
    };
    Ok(Segments(starts.data.iter().scan(0, in_order).collect()))
}

/// Height of the row with the names of segments, in lanes of so many.
const NAMES: f64 = 0.18;
/// In lower panels there is no room for them, in points.
const LEAST_WITH_NAMES: f32 = 240.0;

impl Segments {
    /// First position of a segment, and one past its last.
    fn span(&self, segment: usize, positions: usize) -> [usize; 2] {
        [segment, segment + 1].map(|i| self.0.get(i).copied().unwrap_or(positions))
    }

    /// Whether they are named above the lanes.
    fn are_named(&self, view: &View<'_>) -> bool {
        self.0.len() > 1 && view.size[1] >= LEAST_WITH_NAMES
    }

    /// A line where each begins, but the first, and their names above the lanes.
    fn marks(&self, view: &View<'_>, positions: usize, lanes: f64) -> Vec<Mark> {
        if self.0.len() < 2 {
            return Vec::new();
        }
        let (color, dash) = (view.palette.faint, Dash::Dashed);
        let line =
            |from: &usize| Mark::Upright { x: *from as f64, text: String::new(), color, dash };
        let ends = self.0.iter().skip(1).copied().chain([positions]);
        let name = |(i, (from, to)): (usize, (&usize, usize))| Mark::Text {
            at: [f64::midpoint(*from as f64, to as f64), -0.55 * NAMES * lanes],
            // All of them where they fit.
            text: if 12 * self.0.len() < positions.max(60) {
                format!("segment {i}")
            } else {
                i.to_string()
            },
            color,
            anchor: Anchor::Center,
            size: 7.0,
        };
        let named = self.0.iter().zip(ends).enumerate().filter(|_| self.are_named(view));
        let names = named.map(name);
        self.0.iter().skip(1).map(line).chain(names).collect()
    }
}

/// Slots of a memory over the positions of the sequence.
struct Lanes {
    positions: usize,
    slots: usize,
    segments: Segments,
    /// Where slots can be changed.
    layer: Option<usize>,
}

impl Lanes {
    fn segment(&self, position: usize) -> usize {
        self.segments.0.iter().rposition(|from| *from <= position).unwrap_or(0)
    }

    /// Slot and position of the largest value that a later segment can read.
    fn strongest(&self, value: &dyn Fn(usize, usize) -> f32) -> Option<(usize, usize)> {
        let last = self.segments.0.last().copied().unwrap_or(0);
        let cells = (0..self.slots).flat_map(|slot| (0..last).map(move |at| (slot, at)));
        cells.max_by(|a, b| value(a.0, a.1).total_cmp(&value(b.0, b.1)))
    }

    /// A lane for each slot, a cell for each position.
    fn plot(
        &self,
        view: &View<'_>,
        title: &str,
        value: &dyn Fn(usize, usize) -> f32,
        writes: bool,
    ) -> Plot {
        let cells = (0..self.slots).flat_map(|slot| (0..self.positions).map(move |at| (slot, at)));
        let cells: Vec<(usize, usize)> = cells.collect();
        let values: Vec<f32> = cells.iter().map(|(slot, at)| value(*slot, *at)).collect();
        let most = values.iter().fold(0.0, |most: f32, x| most.max(*x));
        let heat = Heat {
            name: title.to_owned(),
            rows: self.slots,
            columns: self.positions,
            values: values.into(),
            map: ColorMap::Paper.on(view.palette.dark),
            range: (0.0, if most > 0.0 { most } else { 1.0 }),
            pick: HeatPick::Lanes {
                picks: cells.iter().map(|(slot, at)| self.pick(*slot, *at, writes)).collect(),
                rows: (0..self.slots).map(|slot| format!("m{slot} is {title}")).collect(),
                columns: places(view, self.positions),
            },
            ..Heat::default()
        };
        let names = (0..self.slots).map(|slot| format!("m{slot}")).collect();
        let lanes = Axis { ticks: Ticks::Each(names), ..Axis::default() };
        let mut plot = over_positions(view, title, self.positions, lanes, heat, &self.segments);
        plot.marks.extend(view.selection.slot.and_then(|slot| self.frame(slot, writes)));
        plot
    }

    fn pick(&self, token: usize, at: usize, writes: bool) -> Pick {
        match self.layer.filter(|_| writes) {
            Some(layer) => Pick::Slot { token, segment: self.segment(at), layer, writer: at },
            None => Pick::Query(at),
        }
    }

    /// Around a slot where it is written, or in the segment that reads it.
    fn frame(&self, slot: MemorySlot, writes: bool) -> Option<Mark> {
        let segment = slot.segment + usize::from(!writes);
        let from = *self.segments.0.get(segment)?;
        let to = self.segments.0.get(segment + 1).copied().unwrap_or(self.positions);
        let lane = slot.token as f64;
        let (color, width) = (super::colors::KEY, 2.0);
        (slot.token < self.slots).then_some(Mark::Frame {
            from: [from as f64, lane],
            to: [to as f64, lane + 1.0],
            color,
            width,
        })
    }
}

/// What each position is called.
fn places(view: &View<'_>, positions: usize) -> Arc<[String]> {
    (0..positions).map(|at| place(view, at)).collect()
}

/// A map whose columns are the positions of the sequence.
fn over_positions(
    view: &View<'_>,
    title: &str,
    positions: usize,
    lanes: Axis,
    heat: Heat,
    segments: &Segments,
) -> Plot {
    let names = tokens(view).iter().map(|&id| view.vocab.glyph(id)).collect();
    let color_bar = Some(ColorBar {
        label: title.to_owned(),
        map: heat.map,
        range: heat.range,
        scaling: Scaling::Linear,
    });
    let count = heat.rows as f64;
    let mut marks = vec![Mark::Heat(heat)];
    marks.extend(segments.marks(view, positions, count));
    if let Some(query) = view.selection.query.filter(|query| *query < positions) {
        let (x, rows) = (query as f64, count);
        let (color, width) = (super::colors::QUERY, 1.5);
        marks.push(Mark::Frame { from: [x, 0.0], to: [x + 1.0, rows], color, width });
    }
    Plot {
        title: title.to_owned(),
        x: Axis { range: (0.0, positions as f64), ticks: Ticks::Each(names), ..Axis::default() },
        y: Axis {
            range: (count, if segments.are_named(view) { -NAMES * count } else { 0.0 }),
            ..lanes
        },
        marks,
        color_bar,
        ..Plot::default()
    }
}

/// The values of units at each position, or openings of a gate.
fn units(view: &View<'_>, array: &Array, segments: &Segments) -> Plot {
    let lanes = Axis { label: "unit".to_owned(), ..Axis::default() };
    let (title, heat) = (name(array).replace('.', ": "), of_units(view, array));
    over_positions(view, &title, array.shape[0], lanes, heat, segments)
}

/// The name of an array, without its layer.
fn name(array: &Array) -> &str {
    array.name.rsplit_once(".layer").map_or(&*array.name, |(name, _)| name)
}

/// A row for each unit, a column for each position.
fn of_units(view: &View<'_>, array: &Array) -> Heat {
    let (positions, count) = (array.shape[0], array.shape[1]);
    let name = name(array);
    let is_gate = name.starts_with("gate.");
    let cells = (0..count).flat_map(|unit| (0..positions).map(move |at| (unit, at)));
    let cells: Vec<(usize, usize)> = cells.collect();
    let value = |(unit, at): &(usize, usize)| array.data[at * count + unit];
    let values: Vec<f32> = cells.iter().map(value).collect();
    let most = values.iter().fold(1e-6, |most: f32, x| most.max(x.abs()));
    let map = if is_gate { ColorMap::Paper } else { ColorMap::Vik };
    Heat {
        name: name.to_owned(),
        rows: count,
        columns: positions,
        values: values.into(),
        map: map.on(view.palette.dark),
        range: if is_gate { (0.0, 1.0) } else { (-most, most) },
        pick: HeatPick::Lanes {
            picks: cells.iter().map(|(_, at)| Pick::Query(*at)).collect(),
            rows: (0..count).map(|unit| format!("{name} of unit {unit} at")).collect(),
            columns: places(view, positions),
        },
        ..Heat::default()
    }
}

/// What one slot holds after one segment, under the positions of the segment.
fn content(
    view: &View<'_>,
    reading: &Reading,
    index: usize,
    segments: &Segments,
    positions: usize,
    called: fn(usize) -> String,
) -> Option<Cell> {
    let of = |name: &str| reading.array(name)?.data.get(index).copied().filter(|x| x.is_finite());
    let slots = reading.array("score")?.shape[1];
    let (segment, slot) = (index / slots, index % slots);
    let (score, shuffled) = (of("score")?, of("shuffled")?);
    let from = *segments.0.get(segment)?;
    let to = segments.0.get(segment + 1).copied().unwrap_or(positions);
    // What shuffled labels give is nothing, and all right is everything.
    let held = ((score - shuffled) / (1.0 - shuffled).max(1e-6)).clamp(0.0, 1.0);
    let fill = ColorMap::Paper.on(view.palette.dark).at(held);
    let told = of("told").map_or(String::new(), |class| format!("{class:.0}"));
    let truth = of("true").map_or(String::new(), |class| format!(", the right one is {class:.0}"));
    let text =
        if to - from > 2 { format!("{told} {score:.2}").trim().to_owned() } else { told.clone() };
    let constant = of("constant")
        .map_or(String::new(), |x| format!(", always the most frequent {}", number(x)));
    let said =
        if told.is_empty() { String::new() } else { format!("; here it tells {told}{truth}") };
    Some(Cell {
        from: [from as f64, slot as f64],
        to: [to as f64, slot as f64 + 1.0],
        text,
        fill: Some(fill),
        stroke: Some(view.palette.paper),
        ink: fill.ink_on(),
        pick: Pick::Query(to.saturating_sub(1)),
        hover: format!(
            "{} after segment {segment}: a probe is right on {} of other sequences; with shuffled labels {}{constant}{said}",
            called(slot),
            number(score),
            number(shuffled)
        ),
        value: Some(("score", f64::from(score))),
    })
}
