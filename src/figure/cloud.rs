//! Projection of a cloud onto its basis, and the order in which its points are drawn; the twin of
//! `shaders/cloud.wgsl`.

use serde::{Deserialize, Serialize};

use super::scale::{Along, Scale};
use super::scene::{Item, LINK_WIDTH, Scene};
use super::{Cloud, Dash, Figure, Mark, clip, color};
use crate::base::convert::{self, narrow};

/// `[point, dim]` times `[3, dim]`: x, y and depth of every point, in the order of the points.
///
/// # Panics
/// When the lengths are no multiples of `dims`.
pub fn project(points: &[f32], basis: &[f32], dims: usize) -> Vec<[f32; 3]> {
    assert!(dims > 0 && points.len().is_multiple_of(dims), "points have {dims} numbers each");
    assert_eq!(basis.len(), 3 * dims, "a basis has three rows of {dims}");
    let (x, rest) = basis.split_at(dims);
    let (y, depth) = rest.split_at(dims);
    points.chunks_exact(dims).map(|point| project_one(point, [x, y, depth])).collect()
}

/// Products that are added side by side, so that the compiler can keep them in wide registers.
const LANES: usize = 8;

fn project_one(point: &[f32], rows: [&[f32]; 3]) -> [f32; 3] {
    let (parts, last) = point.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    let mut sums = [[0.0; LANES]; 3];
    for (i, part) in parts.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            for (lane, sum) in sum.iter_mut().enumerate() {
                *sum += part[lane] * row.0[i][lane];
            }
        }
    }
    std::array::from_fn(|k| {
        let rest: f32 = last.iter().zip(rows[k].1).map(|(a, b)| a * b).sum();
        sums[k].iter().sum::<f32>() + rest
    })
}

/// Turns a view by `yaw` about the upright axis of the page and then by `pitch` about the level one, in radians:
/// rows x, y, depth.
pub fn rotation(yaw: f32, pitch: f32) -> [[f32; 3]; 3] {
    let ((sy, cy), (sp, cp)) = (yaw.sin_cos(), pitch.sin_cos());
    [[cy, 0.0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]]
}

/// A basis seen from a turned view: `rotation` times `basis`, `[3, dim]`.
///
/// # Panics
/// When the basis does not have three rows.
pub fn turned(basis: &[f32], rotation: &[[f32; 3]; 3]) -> Vec<f32> {
    assert!(basis.len().is_multiple_of(3), "a basis has three rows");
    let dims = basis.len() / 3;
    let mut out = vec![0.0; basis.len()];
    for (row, weights) in rotation.iter().enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            for d in 0..dims {
                out[row * dims + d] += weight * basis[k * dims + d];
            }
        }
    }
    out
}

/// The clouds of a figure as they are seen from a turned view; those in the plane stay as they are.
pub fn turn(figure: &mut Figure, rotation: &[[f32; 3]; 3]) {
    for mark in figure.plots.iter_mut().flat_map(|plot| &mut plot.marks) {
        if let Mark::Cloud(cloud) = mark
            && cloud.three_d
        {
            cloud.basis = turned(&cloud.basis, rotation).into();
        }
    }
}

/// A view that is not turned.
pub const UNTURNED: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// How a cloud is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Camera {
    /// Turn about the upright axis, radians.
    pub yaw: f32,
    /// Tilt towards the viewer, radians.
    pub pitch: f32,
    pub zoom: f32,
    /// How far the axes are moved against the cloud, to the right and up, in their own units.
    pub shift: [f64; 2],
}

impl Default for Camera {
    fn default() -> Self {
        Self { yaw: 0.5, pitch: 0.35, zoom: 1.0, shift: [0.0; 2] }
    }
}

impl Camera {
    /// Rows of the turned axes: screen x, screen y (upwards), depth (towards the viewer).
    pub fn rotation(&self, three_d: bool) -> [[f32; 3]; 3] {
        if !three_d {
            return UNTURNED;
        }
        rotation(self.yaw, self.pitch)
    }

    /// In the plane the axes move with the cloud: their ranges as this camera sees them.
    pub fn look_at(&self, figure: &mut Figure) {
        self.set_ranges(figure, false);
    }

    /// The figure as this camera sees it, for a file: in the plane with its ranges, in space turned as well.
    pub fn take(&self, figure: &mut Figure) {
        self.set_ranges(figure, false);
        self.set_ranges(figure, true);
        turn(figure, &self.rotation(true));
    }

    fn set_ranges(&self, figure: &mut Figure, three_d: bool) {
        let seen = |mark: &Mark| matches!(mark, Mark::Cloud(cloud) if cloud.three_d == three_d);
        for plot in figure.plots.iter_mut().filter(|plot| plot.marks.iter().any(seen)) {
            for (axis, shift) in [&mut plot.x, &mut plot.y].into_iter().zip(self.shift) {
                let (low, high) = axis.range;
                let middle = f64::midpoint(low, high) + shift;
                let half = (high - low) / 2.0 / f64::from(self.zoom);
                axis.range = (middle - half, middle + half);
            }
        }
    }
}

/// The order in which points are drawn, later ones over earlier ones: in space from far to near, in the plane
/// those that step back first, and last of all the selected ones. The window, the graphics device and the files all
/// draw in this order.
pub fn order(cloud: &Cloud, projected: &[[f32; 3]], rotation: &[[f32; 3]; 3]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..convert::id(projected.len())).collect();
    if cloud.three_d {
        let near = rotation[2];
        let depth = |i: &u32| near.iter().zip(projected[*i as usize]).map(|(a, p)| a * p).sum();
        let depths: Vec<f32> = order.iter().map(depth).collect();
        order.sort_by(|a, b| depths[*a as usize].total_cmp(&depths[*b as usize]));
    } else {
        order.sort_by_key(|i| cloud.colors.get(*i as usize).map_or(0, |color| color.a));
    }
    order.sort_by_key(|i| cloud.rings.contains(i));
    order
}

/// Most rings that are drawn: a query's and a key's.
pub const MOST_RINGS: usize = 2;

/// Diameter of a ring, in diameters of the disc that it surrounds; that of `shaders/points.wgsl`.
pub const RING: f32 = 1.8;

/// The largest distance of a projected point from the origin in three dimensions: no turn of the view moves a
/// point out of `-radius..=radius`.
pub fn radius(projected: &[[f32; 3]]) -> f32 {
    let square = projected.iter().map(|p| p.iter().map(|v| v * v).sum::<f32>());
    square.filter(|s| s.is_finite()).fold(0.0, f32::max).sqrt()
}

/// How much nearer points are drawn larger than farther ones in three dimensions.
pub const DEPTH_CUE: f32 = 0.4;

/// Diameter of a disc at a depth, `radius` being that of the cloud; the twin of `shaders/points.wgsl`.
pub fn diameter_at(cloud: &Cloud, depth: f32, radius: f32) -> f32 {
    if !cloud.three_d || radius <= 0.0 {
        return cloud.diameter;
    }
    cloud.diameter * (1.0 + DEPTH_CUE * (depth / radius).clamp(-1.0, 1.0))
}

/// A disc of a cloud on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disc {
    /// Index of the point.
    pub index: usize,
    pub center: [f32; 2],
    pub radius: f32,
}

/// The discs of a cloud inside a rectangle, far ones first; points without a place are left out. `x` and `y`
/// as in [`super::scene::Item::Cloud`].
pub fn discs(
    cloud: &Cloud,
    min: [f32; 2],
    max: [f32; 2],
    x: (f32, f32),
    y: (f32, f32),
) -> Vec<Disc> {
    let projected = project(&cloud.points, &cloud.basis, cloud.dims);
    let radius = radius(&projected);
    order(cloud, &projected, &UNTURNED)
        .into_iter()
        .map(|i| i as usize)
        .filter(|i| projected[*i].iter().all(|v| v.is_finite()))
        .map(|index| {
            let [px, py, depth] = projected[index];
            let tx = (px - x.0) / (x.1 - x.0);
            let ty = (py - y.0) / (y.1 - y.0);
            Disc {
                index,
                center: [min[0] + tx * (max[0] - min[0]), max[1] - ty * (max[1] - min[1])],
                radius: diameter_at(cloud, depth, radius) / 2.0,
            }
        })
        .filter(|disc| disc.center.iter().all(|v| v.is_finite()))
        .collect()
}

/// A cloud as discs and lines, for files: what of it is seen.
pub fn primitives(
    cloud: &Cloud,
    min: [f32; 2],
    max: [f32; 2],
    x: (f32, f32),
    y: (f32, f32),
) -> Vec<Item> {
    let discs = discs(cloud, min, max, x, y);
    let mut centers = vec![None; cloud.points.len() / cloud.dims.max(1)];
    for disc in &discs {
        centers[disc.index] = Some(disc.center.map(f64::from));
    }
    let center = |index: u32| centers.get(index as usize).copied().flatten();
    // Places of the page are the values of these axes.
    let axis = |i: usize| {
        let (low, high) = (min[i], max[i]);
        Scale::new((f64::from(low), f64::from(high)), Along::Values, (low, high))
    };
    let (across, down) = (axis(0), axis(1));
    let mut items = vec![Item::Clip { min, max }];
    items.extend(cloud.links.iter().filter_map(|(from, to, color)| {
        let ends = clip::segment(center(*from)?, center(*to)?, [&across, &down])?;
        let points = ends.map(|end| end.map(narrow)).to_vec();
        Some(Item::Polyline { points, color: *color, width: LINK_WIDTH, dash: Dash::Solid })
    }));
    let is_seen = |disc: &&Disc| {
        let reach = RING * disc.radius;
        (0..2).all(|i| disc.center[i] + reach >= min[i] && disc.center[i] - reach <= max[i])
    };
    items.extend(discs.iter().filter(is_seen).map(|disc| Item::Circle {
        center: disc.center,
        radius: disc.radius,
        fill: cloud.colors.get(disc.index).copied().unwrap_or(color::role(None, false)),
    }));
    let ringed = |disc: &&Disc| cloud.rings.iter().any(|ring| *ring as usize == disc.index);
    items.extend(discs.iter().filter(is_seen).filter(ringed).map(|disc| ring(cloud, disc)));
    items.push(Item::Unclip);
    items
}

/// The scene with its clouds as discs and lines, for who does not turn them.
pub fn flat(mut scene: Scene) -> Scene {
    let items = std::mem::take(&mut scene.items).into_iter();
    scene.items = items
        .flat_map(|item| {
            if let Item::Cloud { min, max, cloud, x, y } = item {
                primitives(&cloud, min, max, x, y)
            } else {
                vec![item]
            }
        })
        .collect();
    scene
}

/// The ring around a disc.
fn ring(cloud: &Cloud, disc: &Disc) -> Item {
    const CORNERS: usize = 36;
    let radius = 0.9 * RING * disc.radius;
    let corner = |i: usize| {
        let (sine, cosine) = (std::f32::consts::TAU * i as f32 / CORNERS as f32).sin_cos();
        [disc.center[0] + radius * cosine, disc.center[1] + radius * sine]
    };
    Item::Polyline {
        points: (0..=CORNERS).map(corner).collect(),
        color: cloud.colors.get(disc.index).copied().unwrap_or(color::role(None, false)),
        width: 0.2 * RING * disc.radius,
        dash: Dash::Solid,
    }
}
