//! A cache whose positions are compressed when they leave it: what each segment looks at, and who reads each compressed row.

use crate::base::convert::{index, narrow};
use crate::base::question::Reading;
use crate::figure::color::Color;
use crate::figure::{Axis, Cell, Figure, Heat, HeatPick, LegendEntry, Mark, Pick, Plot, Ticks};

use super::super::colors;
use super::super::outputs::{array, number, place};
use super::{
    ColorMap, Drawn, Segments, Shade, View, WorkingMemory, over_positions, over_segments, places,
};

/// What a segment sees.
struct Seen {
    segments: usize,
    positions: usize,
    /// Compressed rows of the whole sequence, and the positions that each was made of.
    rows: usize,
    rate: usize,
    /// `[segment][position]`, mean over the queries of the segment.
    to_positions: Vec<f32>,
    /// `[position][row]`
    to_rows: Vec<f32>,
}

/// What is drawn of them.
///
/// # Errors
/// A sentence where the reading lacks what it should have.
pub fn drawn(
    panel: &WorkingMemory,
    view: &View<'_>,
    reading: &Reading,
    segments: &Segments,
) -> Result<Drawn, Figure> {
    let suffix = format!(".layer{}", view.selection.layer);
    let to_positions = array(reading, &format!("seen{suffix}"), 3)?;
    let to_rows = reading.array(&format!("compressed{suffix}"));
    let rate = reading.number("rate").map_or(1, |rate| index(narrow(rate)).max(1));
    let seen = Seen {
        segments: to_positions.shape[1],
        positions: to_positions.shape[2],
        rows: to_rows.map_or(0, |array| array.shape[2]),
        rate,
        to_positions: panel.of_heads(view, to_positions),
        to_rows: to_rows.map_or_else(Vec::new, |array| panel.of_heads(view, array)),
    };
    let mut plots = vec![seen.reach(view, segments)];
    plots.extend((seen.rows > 0).then(|| seen.readers(view, segments)));
    Ok(Drawn { plots, caption: seen.caption(segments) })
}

impl Seen {
    fn to_position(&self, segment: usize, position: usize) -> f32 {
        self.to_positions.get(segment * self.positions + position).copied().unwrap_or(0.0)
    }

    fn to_row(&self, position: usize, row: usize) -> f32 {
        self.to_rows.get(position * self.rows + row).copied().unwrap_or(0.0)
    }

    /// What a segment gives a row, mean over its queries.
    fn of_segment(&self, segments: &Segments, segment: usize, row: usize) -> f32 {
        let [from, to] = segments.span(segment, self.positions);
        let sum: f32 = (from..to).map(|position| self.to_row(position, row)).sum();
        sum / (to - from).max(1) as f32
    }

    /// What a segment gives to compressed rows, to its cache and to itself.
    fn shares(&self, segments: &Segments, segment: usize) -> [f32; 3] {
        let [from, to] = segments.span(segment, self.positions);
        let rows = (0..self.rows).map(|row| self.of_segment(segments, segment, row)).sum();
        let cache = (0..from).map(|position| self.to_position(segment, position)).sum();
        let itself = (from..to).map(|position| self.to_position(segment, position)).sum();
        [rows, cache, itself]
    }

    /// A row for each segment; what it sees stands over the positions that it was, or was made of.
    fn reach(&self, view: &View<'_>, segments: &Segments) -> Plot {
        let all = 0..self.segments;
        let rows = all.clone().flat_map(|s| (0..self.rows).map(move |row| (s, row)));
        let to_rows: Vec<(usize, usize, f32)> =
            rows.map(|(s, row)| (s, row, self.of_segment(segments, s, row))).collect();
        let most =
            to_rows.iter().map(|(.., share)| *share).chain(self.to_positions.iter().copied());
        let most = most.fold(0.0, f32::max);
        let positions = all.flat_map(|s| (0..self.positions).map(move |at| (s, at)));
        let of_positions = positions.filter_map(|at| self.position(view, segments, at, most));
        let of_rows = to_rows.into_iter().filter_map(|found| self.row(view, segments, found, most));
        let cells = of_rows.chain(of_positions).collect();
        let names = (0..self.segments).map(|segment| format!("segment {segment}")).collect();
        let marks = vec![Mark::Cells(cells)];
        let title = "what each segment looks at, where it stood";
        let entry = |text: String, color| LegendEntry::outline(text, color);
        Plot {
            legend: vec![
                entry(format!("cm: compressed, {} positions in a row", self.rate), COMPRESSED),
                entry("m: cache".to_owned(), CACHE),
                entry("x: the segment itself".to_owned(), ITSELF),
            ],
            weight: 1.4,
            ..over_segments(view, title, self.positions, (names, marks), segments)
        }
    }

    /// A position that a segment sees as it was.
    fn position(
        &self,
        view: &View<'_>,
        segments: &Segments,
        (segment, at): (usize, usize),
        most: f32,
    ) -> Option<Cell> {
        let share = Some(self.to_position(segment, at)).filter(|share| *share > 0.0)?;
        let [from, _] = segments.span(segment, self.positions);
        let (stroke, what) = if at < from { (CACHE, "its cache") } else { (ITSELF, "itself") };
        let hover = format!(
            "segment {segment} gives {} of its attention to {} in {what}",
            number(share),
            place(view, at)
        );
        let shade = Shade { share, most, text: String::new(), stroke };
        Some(shade.cell(view, [at, at + 1], segment, (Pick::Query(at), hover)))
    }

    /// A compressed row that it sees.
    fn row(
        &self,
        view: &View<'_>,
        segments: &Segments,
        (segment, row, share): (usize, usize, f32),
        most: f32,
    ) -> Option<Cell> {
        let share = Some(share).filter(|share| *share > 0.0)?;
        let [from, to] = [row * self.rate, (row + 1) * self.rate];
        let [_, end] = segments.span(segment, self.positions);
        let hover = format!(
            "segment {segment} gives {} of its attention to cm{row}, made of {} to {}",
            number(share),
            place(view, from),
            place(view, to - 1)
        );
        let shade = Shade { share, most, text: format!("cm{row}"), stroke: COMPRESSED };
        Some(shade.cell(view, [from, to], segment, (Pick::Query(end.saturating_sub(1)), hover)))
    }

    /// A lane for each compressed row: what each position gives it.
    fn readers(&self, view: &View<'_>, segments: &Segments) -> Plot {
        let cells = (0..self.rows).flat_map(|row| (0..self.positions).map(move |at| (row, at)));
        let cells: Vec<(usize, usize)> = cells.collect();
        let seen = |(row, at): &(usize, usize)| match self.to_row(*at, *row) {
            share if share > 0.0 => share,
            _ => f32::NAN,
        };
        let values: Vec<f32> = cells.iter().map(seen).collect();
        let most = values.iter().fold(0.0, |most: f32, x| most.max(*x));
        let made = |row: usize| {
            format!(
                "cm{row} (positions {} to {}) is read by",
                row * self.rate,
                (row + 1) * self.rate - 1
            )
        };
        let heat = Heat {
            name: "read by".to_owned(),
            rows: self.rows,
            columns: self.positions,
            values: values.into(),
            map: ColorMap::Paper.on(view.palette.dark),
            range: (0.0, if most > 0.0 { most } else { 1.0 }),
            pick: HeatPick::Lanes {
                picks: cells.iter().map(|(_, at)| Pick::Query(*at)).collect(),
                rows: (0..self.rows).map(made).collect(),
                columns: places(view, self.positions),
            },
            ..Heat::default()
        };
        let names = (0..self.rows).map(|row| format!("cm{row}")).collect();
        let lanes = Axis { ticks: Ticks::Each(names), ..Axis::default() };
        over_positions(view, "read by", self.positions, lanes, heat, segments)
    }

    fn caption(&self, segments: &Segments) -> String {
        let Some(last) = self.segments.checked_sub(1) else { return String::new() };
        let [rows, cache, itself] = self.shares(segments, last).map(number);
        format!(
            "The last segment gives {rows} of its attention to compressed rows, {cache} to its cache and {itself} to itself. {} positions that leave the cache become one row, and the oldest rows are dropped.",
            self.rate
        )
    }
}

/// Outlines of what a segment sees.
const COMPRESSED: Color = colors::TARGET;
const CACHE: Color = colors::KEY;
const ITSELF: Color = colors::QUERY;
