//! The query-key cloud in the window: turned, moved and zoomed by hand; a click picks a point.

use std::sync::Arc;

use egui::{Mesh, Painter, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, vec2};

use crate::figure::cloud::{project, radius, rotation};
use crate::figure::{Cloud, Figure, Mark, Pick};
use crate::gpu::cloud::Look;

use super::action::Action;
use super::gpu_cloud::{self, Refusal};
use super::paint::UNITS_PER_POINT;
use super::theme::color32;

/// A click counts for the nearest point within this many screen units.
const REACH: f32 = 10.0;

/// How a cloud is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Turn about the upright axis, radians.
    pub yaw: f32,
    /// Tilt towards the viewer, radians.
    pub pitch: f32,
    pub zoom: f32,
    /// In space: how far the cloud is moved, in screen units.
    pub pan: Vec2,
    /// In the plane: how far the axes are moved, in their own units.
    pub shift: [f64; 2],
}

impl Default for Camera {
    fn default() -> Self {
        Self { yaw: 0.5, pitch: 0.35, zoom: 1.0, pan: Vec2::ZERO, shift: [0.0; 2] }
    }
}

impl Camera {
    /// Rows of the turned axes: screen x, screen y (upwards), depth (towards the viewer).
    pub fn rotation(&self, three_d: bool) -> [[f32; 3]; 3] {
        if !three_d {
            return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        }
        rotation(self.yaw, self.pitch)
    }

    /// In the plane the axes move with the cloud: their ranges as this camera sees them.
    pub fn look_at(&self, figure: &mut Figure) {
        let in_plane = |mark: &Mark| matches!(mark, Mark::Cloud(cloud) if !cloud.three_d);
        for plot in figure.plots.iter_mut().filter(|plot| plot.marks.iter().any(in_plane)) {
            for (axis, shift) in [&mut plot.x, &mut plot.y].into_iter().zip(self.shift) {
                let (low, high) = axis.range;
                let middle = f64::midpoint(low, high) + shift;
                let half = (high - low) / 2.0 / f64::from(self.zoom);
                axis.range = (middle - half, middle + half);
            }
        }
    }

    fn moved_by(&mut self, ui: &Ui, response: &egui::Response, three_d: bool, unit: [f32; 2]) {
        let delta = response.drag_delta();
        let pans = ui
            .input(|i| i.modifiers.shift || i.pointer.secondary_down() || i.pointer.middle_down());
        if !three_d {
            self.shift[0] -= f64::from(delta.x * unit[0]);
            self.shift[1] += f64::from(delta.y * unit[1]);
        } else if pans {
            self.pan += delta;
        } else {
            self.yaw += 0.01 * delta.x;
            self.pitch = (self.pitch + 0.01 * delta.y).clamp(-1.5, 1.5);
        }
        if response.hovered() {
            let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta().y, i.zoom_delta()));
            self.zoom = (self.zoom * pinch * (0.003 * scroll).exp()).clamp(0.1, 50.0);
        }
        if response.double_clicked() {
            *self = Self::default();
        }
    }
}

/// Where a cloud lies on the screen: its room, and the projected coordinates at the edges of it.
#[derive(Clone, Copy)]
pub struct Place {
    pub room: Rect,
    pub x: (f32, f32),
    pub y: (f32, f32),
}

impl Place {
    /// Projected units per screen unit.
    fn unit(&self) -> [f32; 2] {
        [(self.x.1 - self.x.0) / self.room.width(), (self.y.1 - self.y.0) / self.room.height()]
    }

    /// Where the origin of the projected space is, and screen units per projected unit.
    fn view(&self, camera: &Camera, three_d: bool) -> (Pos2, f32) {
        let unit = self.unit();
        let origin = egui::pos2(
            self.room.left() - self.x.0 / unit[0],
            self.room.bottom() + self.y.0 / unit[1],
        );
        if three_d {
            return (origin + camera.pan, camera.zoom / unit[0]);
        }
        (origin, 1.0 / unit[0])
    }
}

/// Draws the cloud into `room`; returns what was picked.
pub fn show(
    ui: &mut Ui,
    painter: &Painter,
    place: Place,
    cloud: &Cloud,
    camera: &mut Camera,
    refusal: &Refusal,
) -> Vec<Action> {
    let room = place.room;
    let id = ui.scope_id().with(("cloud", &cloud.name));
    let response = ui.interact(room, id, Sense::click_and_drag());
    response.widget_info(|| {
        WidgetInfo::labeled(egui::Role::Canvas, true, format!("{} cloud", cloud.name))
    });
    camera.moved_by(ui, &response, cloud.three_d, place.unit());
    let painter = painter.with_clip_rect(painter.clip_rect().intersect(room));
    let projected = project(&cloud.points, &cloud.basis, cloud.dims);
    let reach = radius(&projected).max(1e-6);
    let (origin, scale) = place.view(camera, cloud.three_d);
    let points = on_screen(&projected, &camera.rotation(cloud.three_d), origin, scale);
    for &(a, b, color) in &cloud.links {
        if let (Some(a), Some(b)) = (points.get(a as usize), points.get(b as usize)) {
            painter.line_segment([a.0, b.0], Stroke::new(1.0, color32(color)));
        }
    }
    match gpu_cloud::format(ui.ctx()) {
        Some(format) if refusal.get().is_none() => {
            let pixels = ui.ctx().pixels_per_point();
            let look = Look {
                viewport: (room.size() * pixels).into(),
                center: ((origin - room.min) * pixels).into(),
                scale: scale * pixels,
                rotation: camera.rotation(cloud.three_d),
                diameter: cloud.diameter * UNITS_PER_POINT * pixels,
                reach: if cloud.three_d { reach } else { 0.0 },
                highlight: None,
            };
            let cloud = Arc::new(cloud.clone());
            painter.add(gpu_cloud::shape(room, id, format, cloud, &look, refusal.clone()));
        }
        _ => draw(&painter, cloud, &points),
    }
    if let Some(why) = refusal.get() {
        let font = egui::TextStyle::Small.resolve(ui.style());
        let color = ui.visuals().weak_text_color();
        painter.text(room.left_bottom(), egui::Align2::LEFT_BOTTOM, why, font, color);
    }
    let Some(pointer) = response.hover_pos() else { return Vec::new() };
    let nearest = points
        .iter()
        .enumerate()
        .map(|(i, p)| (i, p.0.distance_sq(pointer)))
        .filter(|(_, d)| *d < REACH * REACH)
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let Some(pick) = nearest.and_then(|(i, _)| cloud.picks.get(i)) else { return Vec::new() };
    let clicked = response.clicked();
    response.on_hover_text_at_pointer(words(pick));
    if clicked { vec![Action::Pick { pick: pick.clone(), shift: false }] } else { Vec::new() }
}

fn words(pick: &Pick) -> String {
    match pick {
        Pick::CloudPoint { sequence, position, is_key } => {
            let what = if *is_key { "key" } else { "query" };
            format!("{what} at position {position} of sequence {sequence}")
        }
        _ => String::new(),
    }
}

/// Far points first, so that near ones cover them.
fn draw(painter: &Painter, cloud: &Cloud, points: &[(Pos2, f32)]) {
    let mut order: Vec<usize> = (0..points.len()).collect();
    if cloud.three_d {
        order.sort_by(|&a, &b| points[a].1.total_cmp(&points[b].1));
    }
    let mut mesh = Mesh::default();
    let half = cloud.diameter * UNITS_PER_POINT / 2.0;
    for i in order {
        if let Some(color) = cloud.colors.get(i) {
            let square = Rect::from_center_size(points[i].0, vec2(2.0 * half, 2.0 * half));
            mesh.add_colored_rect(square, color32(*color));
        }
    }
    painter.add(Shape::mesh(mesh));
}

/// Every point on the screen, with its depth.
fn on_screen(
    projected: &[[f32; 3]],
    rotation: &[[f32; 3]; 3],
    origin: Pos2,
    scale: f32,
) -> Vec<(Pos2, f32)> {
    let along = |row: [f32; 3], p: &[f32; 3]| row[0] * p[0] + row[1] * p[1] + row[2] * p[2];
    let place = |p: &[f32; 3]| {
        let at = vec2(along(rotation[0], p), -along(rotation[1], p));
        (origin + scale * at, along(rotation[2], p))
    };
    projected.iter().map(place).collect()
}
