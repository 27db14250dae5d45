//! CSV with exactly the numbers that a figure draws.

use super::marks::exists;
use super::{Cloud, Figure, Heat, HeatPick, Mark, Plot, cloud};
use crate::base::error::{Error, Result};
use crate::formats::columns::harmless;

/// Columns of the table, without those in which no row has anything. `x` and `y` are in the units of the axes; of a heat map
/// they are the column and the row. `value` is that of a cell, or the depth of a point of a cloud; `x_text` and `y_text`
/// name tokens. A number that is undefined is written as `NaN`.
pub const COLUMNS: [&str; 8] = ["plot", "series", "kind", "x", "y", "value", "x_text", "y_text"];

/// Whether a table is one of these, by its head.
pub fn is_ours(bytes: &[u8]) -> bool {
    let head = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut known = COLUMNS.iter();
    head.starts_with("plot,")
        && head.contains(",kind,")
        && head.trim_end().split(',').all(|name| known.any(|column| *column == name))
}

/// One row per number drawn.
///
/// # Errors
/// Only when there is no memory.
pub fn csv(figure: &Figure) -> Result<String> {
    csv_of([("", figure)])
}

/// As [`csv`] for several figures: their words stand before the names of their plots.
///
/// # Errors
/// Only when there is no memory.
pub fn csv_of<'a>(figures: impl IntoIterator<Item = (&'a str, &'a Figure)>) -> Result<String> {
    let mut table = Table { rows: csv::Writer::from_writer(Vec::new()), used: [false; 8] };
    for (word, figure) in figures {
        for (index, plot) in figure.plots.iter().enumerate() {
            let title = plot_name(word, index, plot);
            for mark in &plot.marks {
                table.mark(&title, plot, mark)?;
            }
        }
    }
    table.finish()
}

/// What a plot is called in tables: its title or its number, after the word of its figure.
pub(super) fn plot_name(word: &str, index: usize, plot: &Plot) -> String {
    let name = if plot.title.is_empty() { (index + 1).to_string() } else { plot.title.clone() };
    if word.is_empty() { name } else { format!("{word} {name}") }
}

struct Table {
    rows: csv::Writer<Vec<u8>>,
    /// Columns in which some row has something.
    used: [bool; COLUMNS.len()],
}

fn wrong(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("writing CSV: {e}")).caused_by(e)
}

/// A row without plot and series.
#[derive(Default)]
struct Entry {
    kind: &'static str,
    x: String,
    y: String,
    value: String,
    x_text: String,
    y_text: String,
}

impl Table {
    fn row(&mut self, fields: &[String; 8]) -> Result<()> {
        for (used, field) in self.used.iter_mut().zip(fields) {
            *used |= !field.is_empty();
        }
        self.rows.write_record(fields).map_err(wrong)
    }

    /// The head and the rows, without the columns that are empty in all of them.
    fn finish(self) -> Result<String> {
        // A table without rows keeps its head.
        let all = self.used == [false; 8];
        let kept = |i: &usize| all || self.used[*i];
        let kept: Vec<usize> = (0..COLUMNS.len()).filter(kept).collect();
        let bytes = self.rows.into_inner().map_err(wrong)?;
        let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
        let mut out = csv::Writer::from_writer(Vec::with_capacity(bytes.len()));
        out.write_record(kept.iter().map(|i| COLUMNS[*i])).map_err(wrong)?;
        let mut row = csv::StringRecord::new();
        while rows.read_record(&mut row).map_err(wrong)? {
            out.write_record(kept.iter().map(|i| &row[*i])).map_err(wrong)?;
        }
        String::from_utf8(out.into_inner().map_err(wrong)?).map_err(wrong)
    }

    fn entry(&mut self, plot: &str, series: &str, e: Entry) -> Result<()> {
        let kind = e.kind.to_owned();
        let texts = [plot, series, &e.x_text, &e.y_text].map(harmless);
        let [plot, series, x_text, y_text] = texts;
        self.row(&[plot, series, kind, e.x, e.y, e.value, x_text, y_text])
    }

    fn points(
        &mut self,
        plot: &str,
        name: &str,
        kind: &'static str,
        points: &[[f64; 2]],
    ) -> Result<()> {
        for [x, y] in points {
            let entry = Entry { kind, x: x.to_string(), y: y.to_string(), ..Entry::default() };
            self.entry(plot, name, entry)?;
        }
        Ok(())
    }

    fn mark(&mut self, title: &str, plot: &Plot, mark: &Mark) -> Result<()> {
        match mark {
            Mark::Line { name, points, .. } => self.points(title, name, "line", points),
            Mark::Points { name, points, .. } => self.points(title, name, "point", points),
            Mark::Bars { name, at, values, .. } => {
                let points: Vec<[f64; 2]> = at.iter().zip(values).map(|(x, y)| [*x, *y]).collect();
                self.points(title, name, "bar", &points)
            }
            Mark::Heat(heat) => self.heat(title, plot, heat),
            Mark::Cloud(cloud) => self.cloud(title, cloud),
            Mark::Upright { x, text, .. } => {
                let (x, x_text) = (x.to_string(), text.clone());
                self.entry(title, "", Entry { kind: "mark", x, x_text, ..Entry::default() })
            }
            Mark::Text { at, text, .. } => {
                let [x, y] = at.map(|v| v.to_string());
                let x_text = text.clone();
                self.entry(title, "", Entry { kind: "text", x, y, x_text, ..Entry::default() })
            }
            Mark::Cells(cells) => cells.iter().try_for_each(|cell| {
                let [x, y] = cell.from.map(|v| v.to_string());
                let (x_text, y_text) = (cell.text.clone(), cell.hover.clone());
                let (series, value) =
                    cell.value.map_or(("", String::new()), |(what, v)| (what, v.to_string()));
                let entry = Entry { kind: "cell", x, y, value, x_text, y_text };
                self.entry(title, series, entry)
            }),
            // Outlines and arrows point at numbers; they are none.
            Mark::Rect { .. }
            | Mark::Frame { .. }
            | Mark::Hatch { .. }
            | Mark::Arrow { .. }
            | Mark::Arc { .. }
            | Mark::Wedge { .. } => Ok(()),
        }
    }

    fn heat(&mut self, title: &str, plot: &Plot, heat: &Heat) -> Result<()> {
        for row in 0..heat.rows {
            for column in (0..heat.columns).filter(|column| exists(heat, row, *column)) {
                let x = heat.x(column);
                let value = heat.values[row * heat.columns + column];
                let (y_text, x_text) = if let HeatPick::Named { rows, columns } = &heat.pick {
                    (name(rows, row), name(columns, column))
                } else {
                    (plot.y.ticks.name(row as f64).to_owned(), plot.x.ticks.name(x).to_owned())
                };
                let entry = Entry {
                    kind: "cell",
                    x: x.to_string(),
                    y: row.to_string(),
                    value: value.to_string(),
                    x_text,
                    y_text,
                };
                self.entry(title, &heat.name, entry)?;
            }
        }
        Ok(())
    }

    fn cloud(&mut self, title: &str, cloud: &Cloud) -> Result<()> {
        for [x, y, depth] in cloud::project(&cloud.points, &cloud.basis, cloud.dims) {
            let [x, y, value] = [x, y, depth].map(|v| v.to_string());
            let entry = Entry { kind: "point", x, y, value, ..Entry::default() };
            self.entry(title, &cloud.name, entry)?;
        }
        Ok(())
    }
}

fn name(names: &[String], index: usize) -> String {
    names.get(index).cloned().unwrap_or_default()
}
