//! A NumPy archive with exactly the numbers that a figure draws.

use serde_json::{Map, Value, json};

use super::marks::exists;
use super::{Cell, Cloud, Figure, Heat, HeatPick, Mark, Plot, cloud};
use crate::base::error::Result;
use crate::formats::npz::{Member, Names, Numbers, archive, plain};

/// One array for each series of each plot, named `PLOT/SERIES` with plots as `plot1`, `plot2`, … (after the word of their
/// figure, as `a/plot1/attention`); `about` says in JSON what they are.
///
/// # Errors
/// Only when there is no memory.
pub fn npz_of<'a>(
    figures: impl IntoIterator<Item = (&'a str, &'a Figure)>,
    provenance: &str,
) -> Result<Vec<u8>> {
    let (mut all, mut names): (Vec<Series>, _) = (Vec::new(), Names::default());
    for (word, figure) in figures {
        for (index, plot) in figure.plots.iter().enumerate() {
            let place = match word {
                "" => format!("plot{}", index + 1),
                word => format!("{word}/plot{}", index + 1),
            };
            let drawn = plot.marks.iter().flat_map(|mark| series(plot, mark));
            // One without numbers draws nothing.
            for series in drawn.chain(uprights(plot)).filter(|s| !s.shape.contains(&0)) {
                let name = names.free(&format!("{place}/{}", series.name));
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

fn about(plot: &Plot, name: &str, kind: &str, axes: &[&str]) -> Value {
    json!({
        "plot": plot.title, "series": name, "kind": kind, "axes": axes,
        "x": plot.x.label, "y": plot.y.label,
    })
}

fn series(plot: &Plot, mark: &Mark) -> Vec<Series> {
    let about = |name: &str, kind: &str, axes: &[&str]| about(plot, name, kind, axes);
    let pairs = |name: &str, kind: &str, points: Vec<f64>| Series {
        name: plain(name, kind),
        shape: vec![points.len() / 2, 2],
        numbers: Own::F64(points),
        about: about(name, kind, &["point", "x, y"]),
    };
    match mark {
        Mark::Line { name, points, .. } => vec![pairs(name, "line", points.concat())],
        Mark::Points { name, points, .. } => vec![pairs(name, "point", points.concat())],
        Mark::Bars { name, at, values, .. } => {
            let points = at.iter().zip(values).flat_map(|(x, y)| [*x, *y]).collect();
            vec![pairs(name, "bar", points)]
        }
        Mark::Heat(heat) => vec![matrix(plot, heat, about(&heat.name, "cell", &["row", "column"]))],
        Mark::Cloud(cloud) => {
            vec![points_of(cloud, about(&cloud.name, "point", &["point", "x, y, depth"]))]
        }
        Mark::Cells(cells) => boxes(plot, cells),
        Mark::Rect { .. }
        | Mark::Frame { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Arc { .. }
        | Mark::Text { .. }
        // Together: see `uprights`.
        | Mark::Upright { .. }
        | Mark::Wedge { .. } => Vec::new(),
    }
}

/// The boxes that show a number, `[cell, 3]`: where they begin, and the number; those that show the same are one series.
fn boxes(plot: &Plot, cells: &[Cell]) -> Vec<Series> {
    let mut shown: Vec<(&'static str, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        let Some((what, _)) = cell.value else { continue };
        match shown.iter_mut().find(|(name, _)| *name == what) {
            Some((_, cells)) => cells.push(cell),
            None => shown.push((what, vec![cell])),
        }
    }
    let series = |(what, cells): (&'static str, Vec<&Cell>)| {
        let number = |cell: &Cell| cell.value.map_or(f64::NAN, |(_, value)| value);
        let mut about = about(plot, what, "cell", &["cell", "x, y, value"]);
        about["texts"] = cells.iter().map(|cell| cell.text.as_str()).collect();
        Series {
            name: plain(what, "cell"),
            shape: vec![cells.len(), 3],
            numbers: Own::F64(
                cells.iter().flat_map(|c| [c.from[0], c.from[1], number(c)]).collect(),
            ),
            about,
        }
    };
    shown.into_iter().map(series).collect()
}

/// The places of the upright lines of a plot, and what they name.
fn uprights(plot: &Plot) -> Option<Series> {
    let lines = plot.marks.iter().filter_map(|mark| {
        let Mark::Upright { x, text, .. } = mark else { return None };
        Some((*x, text.as_str()))
    });
    let (places, texts): (Vec<f64>, Vec<&str>) = lines.unzip();
    let mut about = about(plot, "mark", "mark", &["mark"]);
    about["texts"] = json!(texts);
    let shape = vec![places.len()];
    (!places.is_empty()).then(|| Series {
        name: "mark".to_owned(),
        shape,
        numbers: Own::F64(places),
        about,
    })
}

/// `[row, column]`, with NaN where there is no cell.
fn matrix(plot: &Plot, heat: &Heat, mut about: Value) -> Series {
    let cell = |i: usize| {
        let there = exists(heat, i / heat.columns, i % heat.columns);
        heat.values.get(i).copied().filter(|_| there).unwrap_or(f32::NAN)
    };
    let (rows, columns) = if let HeatPick::Named { rows, columns } = &heat.pick {
        (rows.to_vec(), columns.to_vec())
    } else {
        let row = |r| plot.y.ticks.name(r as f64).to_owned();
        let column = |c| plot.x.ticks.name(heat.x(c)).to_owned();
        ((0..heat.rows).map(row).collect(), (0..heat.columns).map(column).collect())
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
