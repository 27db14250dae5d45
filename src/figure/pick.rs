//! What lies under the pointer: the thing that a click selects and the words that a hover says.

use super::color::Color;
use super::scale::{Scale, number};
use super::scene::{Area, AreaPick, Scene};
use super::{Cloud, Figure, Heat, HeatPick, Mark, Pick, cloud};
use crate::base::convert;

/// The topmost thing at a place of a scene, with its hover text; `None` where nothing answers.
pub fn pick(scene: &Scene, at: [f32; 2]) -> Option<(Pick, String)> {
    scene.areas.iter().rev().filter(|area| area.contains(at)).find_map(|area| match &area.pick {
        AreaPick::One { pick, hover } => Some((pick.clone(), hover.clone())),
        AreaPick::Heat(heat) => pick_cell(area, heat, at),
        AreaPick::Cloud(cloud) => pick_point(area, cloud, at),
        AreaPick::Plot(_) => None,
    })
}

/// The cell of a heat map at a place: (row, column).
pub fn cell_at(area: &Area, heat: &Heat, at: [f32; 2]) -> Option<(usize, usize)> {
    let [from, to] = area.frame;
    let index = |i: usize, count: usize| {
        let t = (at[i] - from[i]) / (to[i] - from[i]) * count as f32;
        (t >= 0.0 && t < count as f32).then_some(convert::index(t))
    };
    let (row, column) = (index(1, heat.rows)?, index(0, heat.columns)?);
    (!heat.hides(row, column)).then_some((row, column))
}

fn pick_cell(area: &Area, heat: &Heat, at: [f32; 2]) -> Option<(Pick, String)> {
    let (row, column) = cell_at(area, heat, at)?;
    let index = row * heat.columns + column;
    if let HeatPick::Cells { picks, hovers } = &heat.pick {
        let hover = hovers.get(index).cloned().unwrap_or_default();
        return Some((picks.get(index).cloned().unwrap_or_default(), hover));
    }
    let value = f64::from(*heat.values.get(index)?);
    if value.is_nan() {
        return None;
    }
    let value = number(value);
    match &heat.pick {
        HeatPick::Nothing | HeatPick::Cells { .. } => None,
        HeatPick::QueryKey => {
            let token = |names: &[String], i: usize| match names.get(i).map(String::as_str) {
                None | Some("") => String::new(),
                Some(name) => format!(" '{name}'"),
            };
            let query = format!("query {row}{}", token(&area.labels[0], row));
            let name = token(&area.labels[1], column);
            let Some(position) = column.checked_sub(heat.before) else {
                return Some((Pick::Nothing, format!("{query} → memory{name}: {value}")));
            };
            let key = format!("key {position}{name}");
            let pick = Pick::QueryKey { query: row, key: position };
            Some((pick, format!("{query} → {key}: {value}")))
        }
        HeatPick::Named { rows, columns } => {
            let (row, column) = (rows.get(row)?, columns.get(column)?);
            Some((Pick::Nothing, format!("{row} → {column}: {value}")))
        }
        HeatPick::Lanes { picks, rows, columns } => {
            let (row, column) = (rows.get(row)?, columns.get(column)?);
            let pick = picks.get(index).cloned().unwrap_or_default();
            Some((pick, format!("{row} {column}: {value}")))
        }
    }
}

/// How far from the rim of a disc the pointer may be, in points.
const REACH: f32 = 3.0;

fn pick_point(area: &Area, cloud: &Cloud, at: [f32; 2]) -> Option<(Pick, String)> {
    // `frame` holds the places of the projected coordinates 0 and 1.
    let [zero, one] = area.frame;
    let projected = cloud::project(&cloud.points, &cloud.basis, cloud.dims);
    let radius = cloud::radius(&projected);
    let under = projected.iter().enumerate().filter_map(|(i, p)| {
        let dx = zero[0] + p[0] * (one[0] - zero[0]) - at[0];
        let dy = zero[1] + p[1] * (one[1] - zero[1]) - at[1];
        let distance = dx.hypot(dy);
        let reach = cloud::diameter_at(cloud, p[2], radius) / 2.0 + REACH;
        (distance <= reach).then_some((i, distance, p))
    });
    let (index, _, p) = under.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let coordinates = format!("({}, {})", number(f64::from(p[0])), number(f64::from(p[1])));
    let pick = cloud.picks.get(index).cloned().unwrap_or_default();
    if let Some(hover) = cloud.hovers.get(index) {
        return Some((pick, hover.clone()));
    }
    let hover = if let Pick::CloudPoint { sequence, position, is_key } = &pick {
        let what = if *is_key { "key" } else { "query" };
        format!("{what} at position {position} of sequence {sequence} {coordinates}")
    } else {
        format!("{} {coordinates}", cloud.name)
    };
    Some((pick, hover))
}

/// The plot whose inside holds a place: its area, and its index in the figure.
fn plot_at(scene: &Scene, at: [f32; 2]) -> Option<(&Area, usize)> {
    let inside = scene.areas.iter().rev().filter(|area| area.contains(at));
    inside.filter_map(|area| Some((area, area.pick.plot()?))).next()
}

/// The name of the line nearest to a place, of those drawn within [`REACH`] of it.
pub fn line_at(figure: &Figure, scene: &Scene, at: [f32; 2]) -> Option<String> {
    let (area, index) = plot_at(scene, at)?;
    let plot = figure.plots.get(index)?;
    let [from, to] = area.frame;
    let x = Scale::new(plot.x.range, plot.x.along, (from[0], to[0]));
    let y = Scale::new(plot.y.range, plot.y.along, (from[1], to[1]));
    let named = plot.marks.iter().filter_map(|mark| {
        if let Mark::Line { name, points, .. } = mark
            && !name.is_empty()
        {
            Some((name, points))
        } else {
            None
        }
    });
    let distance = |points: &[[f64; 2]]| {
        let places: Vec<[f32; 2]> = points.iter().map(|p| [x.at(p[0]), y.at(p[1])]).collect();
        let parts = places.windows(2).map(|ends| to_segment(at, ends[0], ends[1]));
        parts.filter(|d| d.is_finite()).fold(f32::INFINITY, f32::min)
    };
    let near = named.map(|(name, points)| (distance(points), name));
    let near = near.filter(|(distance, _)| *distance <= REACH);
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.clone())
}

/// Distance of a place from the straight line between two others.
fn to_segment(at: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    let part = (at[0] - from[0]) * along[0] + (at[1] - from[1]) * along[1];
    let t = if square > 0.0 { (part / square).clamp(0.0, 1.0) } else { 0.0 };
    (at[0] - from[0] - t * along[0]).hypot(at[1] - from[1] - t * along[1])
}

/// What the lines of a plot say at one x.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Index into [`Figure::plots`].
    pub plot: usize,
    pub x: f64,
    /// Place of `x` on the page, and the top and bottom of the axes there: where a hair line goes.
    pub hair: [[f32; 2]; 2],
    /// Name, colour and value of each line at its point nearest to x.
    pub lines: Vec<(String, Color, f64)>,
}

/// Reads all named lines of the plot under a place, at the x of the nearest point.
pub fn read_lines(figure: &Figure, scene: &Scene, at: [f32; 2]) -> Option<Reading> {
    let (area, index) = plot_at(scene, at)?;
    let plot = figure.plots.get(index)?;
    let [from, to] = area.frame;
    let scale = Scale::new(plot.x.range, plot.x.along, (from[0], to[0]));
    let named = plot.marks.iter().filter_map(|mark| {
        if let Mark::Line { name, points, color, .. } = mark
            && !name.is_empty()
        {
            Some((name, points, color))
        } else {
            None
        }
    });
    let nearest = |points: &[[f64; 2]], place: f32| {
        let distance = |p: &[f64; 2]| (scale.at(p[0]) - place).abs();
        let known = points.iter().filter(|p| p[1].is_finite() && scale.at(p[0]).is_finite());
        known.copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
    };
    let all: Vec<_> = named.collect();
    let candidates = all.iter().filter_map(|(_, points, _)| nearest(points, at[0]));
    let x = candidates
        .min_by(|a, b| {
            let distance = |p: &[f64; 2]| (scale.at(p[0]) - at[0]).abs();
            distance(a).total_cmp(&distance(b))
        })?
        .first()
        .copied()?;
    let place = scale.at(x);
    let lines = all
        .iter()
        .filter_map(|(name, points, color)| {
            nearest(points, place).map(|p| ((*name).clone(), **color, p[1]))
        })
        .collect();
    Some(Reading { plot: index, x, hair: [[place, to[1]], [place, from[1]]], lines })
}
