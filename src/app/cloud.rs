//! The query-key cloud in the window: turned, moved and zoomed by hand; a click picks a point.

use std::sync::Arc;

use egui::{Mesh, Painter, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, vec2};

use crate::figure::cloud::{project, radius, rotation};
use crate::figure::{Cloud, Pick};
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
    /// In screen units.
    pub pan: Vec2,
}

impl Default for Camera {
    fn default() -> Self {
        Self { yaw: 0.5, pitch: 0.35, zoom: 1.0, pan: Vec2::ZERO }
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

    fn moved_by(&mut self, ui: &Ui, response: &egui::Response, three_d: bool) {
        let delta = response.drag_delta();
        let pans = ui
            .input(|i| i.modifiers.shift || i.pointer.secondary_down() || i.pointer.middle_down());
        if pans || !three_d {
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

/// Draws the cloud into `room`; returns what was picked.
pub fn show(
    ui: &mut Ui,
    painter: &Painter,
    room: Rect,
    cloud: &Cloud,
    camera: &mut Camera,
    refusal: &Refusal,
) -> Vec<Action> {
    let id = ui.scope_id().with(("cloud", &cloud.name));
    let response = ui.interact(room, id, Sense::click_and_drag());
    response.widget_info(|| {
        WidgetInfo::labeled(egui::Role::Canvas, true, format!("{} cloud", cloud.name))
    });
    camera.moved_by(ui, &response, cloud.three_d);
    let painter = painter.with_clip_rect(painter.clip_rect().intersect(room));
    let projected = project(&cloud.points, &cloud.basis, cloud.dims);
    let reach = radius(&projected).max(1e-6);
    let points = on_screen(&projected, reach, cloud.three_d, camera, room);
    for &(a, b, color) in &cloud.links {
        if let (Some(a), Some(b)) = (points.get(a as usize), points.get(b as usize)) {
            painter.line_segment([a.0, b.0], Stroke::new(1.0, color32(color)));
        }
    }
    match gpu_cloud::format(ui.ctx()) {
        Some(format) if refusal.get().is_none() => {
            let look = look(cloud, camera, room, reach, ui.ctx().pixels_per_point());
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

/// The same view as [`on_screen`], in pixels, for the device.
fn look(cloud: &Cloud, camera: &Camera, room: Rect, reach: f32, pixels: f32) -> Look {
    let centre = (room.size() / 2.0 + camera.pan) * pixels;
    Look {
        viewport: (room.size() * pixels).into(),
        center: centre.into(),
        scale: scale(camera, room, reach) * pixels,
        rotation: camera.rotation(cloud.three_d),
        diameter: cloud.diameter * UNITS_PER_POINT * pixels,
        reach: if cloud.three_d { reach } else { 0.0 },
        highlight: None,
    }
}

/// Screen units per unit of the projected space.
fn scale(camera: &Camera, room: Rect, reach: f32) -> f32 {
    0.46 * room.width().min(room.height()) * camera.zoom / reach
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
    reach: f32,
    three_d: bool,
    camera: &Camera,
    room: Rect,
) -> Vec<(Pos2, f32)> {
    let scale = scale(camera, room, reach);
    let r = camera.rotation(three_d);
    let turned = |row: [f32; 3], p: &[f32; 3]| row[0] * p[0] + row[1] * p[1] + row[2] * p[2];
    let centre = room.center() + camera.pan;
    projected
        .iter()
        .map(|p| {
            let at = vec2(turned(r[0], p), -turned(r[1], p));
            (centre + scale * at, turned(r[2], p))
        })
        .collect()
}
