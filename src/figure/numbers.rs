//! A NumPy archive with exactly the numbers that a figure draws.

use serde_json::{Map, Value, json};

use super::marks::exists;
use super::{Cloud, Figure, Heat, HeatPick, Mark, Plot, cloud};
use crate::record::error::Result;
use crate::record::npz::{Member, Numbers, archive};

/// One array for each series of each plot, named `PLOT/SERIES` with plots as `plot1`, `plot2`, … (after the word of their
/// figure, as `a/plot1/attention`); `about` says in JSON what they are.
///
/// # Errors
/// Only when there is no memory.
pub fn npz_of<'a>(
    figures: impl IntoIterator<Item = (&'a str, &'a Figure)>,
    provenance: &str,
) -> Result<Vec<u8>> {
    let mut all: Vec<Series> = Vec::new();
    for (word, figure) in figures {
        for (index, plot) in figure.plots.iter().enumerate() {
            let place = match word {
                "" => format!("plot{}", index + 1),
                word => format!("{word}/plot{}", index + 1),
            };
            for series in plot.marks.iter().filter_map(|mark| series(plot, mark)) {
                let name = free_name(&all, &format!("{place}/{}", series.name));
                all.push(Series { name, ..series });
            }
        }
    }
    let arrays: Map<String, Value> =
        all.iter().map(|s| (s.name.clone(), s.about.clone())).collect();
    // The provenance is JSON already; what is not would be a text.
    let provenance = serde_json::from_str(provenance).unwrap_or_else(|_| json!(provenance));
    let about = json!({ "arrays": arrays, "provenance": provenance }).to_string();
    let length = [about.len()];
    let mut members: Vec<Member<'_>> = all.iter().map(Series::member).collect();
    members.push(Member::about(&about, &length));
    archive(&members)
}

/// The numbers of a mark.
struct Series {
    name: String,
    shape: Vec<usize>,
    numbers: Own,
    about: Value,
}

enum Own {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Series {
    fn member(&self) -> Member<'_> {
        let numbers = match &self.numbers {
            Own::F32(numbers) => Numbers::F32(numbers),
            Own::F64(numbers) => Numbers::F64(numbers),
        };
        Member { name: self.name.clone(), shape: &self.shape, numbers }
    }
}

/// The name, or with a number where another array has it.
fn free_name(taken: &[Series], name: &str) -> String {
    let is_free = |name: &String| taken.iter().all(|series| series.name != *name);
    let numbered = (2..).map(|n| format!("{name}_{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

/// A name that every file system and zip reader takes.
fn plain(name: &str, kind: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    match name.trim() {
        "" => kind.to_owned(),
        name => name.chars().map(allowed).take(80).collect(),
    }
}

fn series(plot: &Plot, mark: &Mark) -> Option<Series> {
    let about = |name: &str, kind: &str, axes: &[&str]| {
        json!({
            "plot": plot.title, "series": name, "kind": kind, "axes": axes,
            "x": plot.x.label, "y": plot.y.label,
        })
    };
    let pairs = |name: &str, kind: &str, points: Vec<f64>| Series {
        name: plain(name, kind),
        shape: vec![points.len() / 2, 2],
        numbers: Own::F64(points),
        about: about(name, kind, &["point", "x, y"]),
    };
    match mark {
        Mark::Line { name, points, .. } => Some(pairs(name, "line", points.concat())),
        Mark::Points { name, points, .. } => Some(pairs(name, "point", points.concat())),
        Mark::Bars { name, at, values, .. } => {
            let points = at.iter().zip(values).flat_map(|(x, y)| [*x, *y]).collect();
            Some(pairs(name, "bar", points))
        }
        Mark::Heat(heat) => Some(matrix(plot, heat, about(&heat.name, "cell", &["row", "column"]))),
        Mark::Cloud(cloud) => {
            Some(points_of(cloud, about(&cloud.name, "point", &["point", "x, y, depth"])))
        }
        Mark::Rect { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Text { .. }
        | Mark::Upright { .. }
        | Mark::Cells(_) => None,
    }
}

/// `[row, column]`, with NaN where there is no cell.
fn matrix(plot: &Plot, heat: &Heat, mut about: Value) -> Series {
    let cell = |i: usize| {
        let there = exists(heat, i / heat.columns, i % heat.columns);
        heat.values.get(i).copied().filter(|_| there).unwrap_or(f32::NAN)
    };
    let (rows, columns) = match &heat.pick {
        HeatPick::Named { rows, columns } => (rows.to_vec(), columns.to_vec()),
        _ => {
            let row = |r| plot.y.ticks.name(r).to_owned();
            let column = |c| plot.x.ticks.name(c).to_owned();
            ((0..heat.rows).map(row).collect(), (0..heat.columns).map(column).collect())
        }
    };
    about["rows"] = json!(rows);
    about["columns"] = json!(columns);
    Series {
        name: plain(&heat.name, "cell"),
        shape: vec![heat.rows, heat.columns],
        numbers: Own::F32((0..heat.rows * heat.columns).map(cell).collect()),
        about,
    }
}

/// `[point, 3]`: the projected coordinates and the depth.
fn points_of(cloud: &Cloud, about: Value) -> Series {
    let projected = cloud::project(&cloud.points, &cloud.basis, cloud.dims);
    Series {
        name: plain(&cloud.name, "point"),
        shape: vec![projected.len(), 3],
        numbers: Own::F32(projected.concat()),
        about,
    }
}
