//! The query-key cloud in the window: turned, moved and zoomed by hand; a click picks a point.

use std::sync::Arc;

use egui::{Mesh, Painter, Pos2, Rect, Sense, Shape, Stroke, Ui, WidgetInfo, vec2};

use crate::base::convert::narrow;
pub use crate::figure::cloud::Camera;
use crate::figure::cloud::{RING, diameter_at, order, project, radius};
use crate::figure::color::Color;
use crate::figure::{Cloud, Pick};
use crate::gpu::cloud::Look;

use super::{Picked, UNITS_PER_POINT};
use crate::app::canvas::gpu_cloud::{self, Drawing, Refusal};
use crate::app::canvas::theme::color32;

/// A click counts for the nearest point within this many screen units.
const REACH: f32 = 10.0;

/// Moves a camera by hand.
trait ByHand {
    fn moved_by(&mut self, ui: &Ui, response: &egui::Response, three_d: bool, unit: [f32; 2]);
}

impl ByHand for Camera {
    fn moved_by(&mut self, ui: &Ui, response: &egui::Response, three_d: bool, unit: [f32; 2]) {
        let delta = response.drag_delta();
        let pans = ui
            .input(|i| i.modifiers.shift || i.pointer.secondary_down() || i.pointer.middle_down());
        if !three_d || pans {
            // In the plane the unit is that of the zoomed axes already.
            let zoom = if three_d { self.zoom } else { 1.0 };
            self.shift[0] -= f64::from(delta.x * unit[0] / zoom);
            self.shift[1] += f64::from(delta.y * unit[1] / zoom);
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

/// What of a cloud stays the same while nothing is turned and no answer comes.
#[derive(Default)]
pub struct Kept {
    points: Option<Arc<[f32]>>,
    basis: Option<Arc<[f32]>>,
    colors: Option<Arc<[Color]>>,
    projected: Arc<[[f32; 3]]>,
    reach: f32,
    turn: [[f32; 3]; 3],
    order: Arc<[u32]>,
}

impl Kept {
    /// Projects and sorts again what has changed.
    fn update(&mut self, cloud: &Cloud, turn: [[f32; 3]; 3]) {
        let same = |kept: &Option<Arc<[f32]>>, new| {
            kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, new) || **kept == **new)
        };
        let moved = !same(&self.points, &cloud.points) || !same(&self.basis, &cloud.basis);
        if moved {
            self.projected = project(&cloud.points, &cloud.basis, cloud.dims).into();
            self.reach = radius(&self.projected).max(1e-6);
        }
        let painted = self.colors.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, &cloud.colors));
        if moved || painted || self.turn != turn || self.order.len() != self.projected.len() {
            self.order = order(cloud, &self.projected, &turn).into();
        }
        self.points = Some(Arc::clone(&cloud.points));
        self.basis = Some(Arc::clone(&cloud.basis));
        self.colors = Some(Arc::clone(&cloud.colors));
        self.turn = turn;
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
            // The middle of the room, moved: in space the axes themselves stay.
            let [x, y] = camera.shift.map(|v| narrow(v) * camera.zoom);
            return (origin + vec2(-x / unit[0], y / unit[1]), camera.zoom / unit[0]);
        }
        (origin, 1.0 / unit[0])
    }
}

/// What is kept between frames of one cloud.
pub struct CloudCanvas<'a> {
    pub camera: &'a mut Camera,
    pub kept: &'a mut Kept,
    pub refusal: &'a Refusal,
}

/// Draws the cloud where `place` says; returns what was picked.
pub fn show(
    ui: &mut Ui,
    painter: &Painter,
    place: Place,
    cloud: &Cloud,
    canvas: CloudCanvas<'_>,
) -> Vec<Picked> {
    let CloudCanvas { camera, kept, refusal } = canvas;
    let room = place.room;
    let id = ui.scope_id().with(("cloud", &cloud.name));
    let response = ui.interact(room, id, Sense::click_and_drag());
    response.widget_info(|| {
        WidgetInfo::labeled(egui::Role::Canvas, true, format!("{} cloud", cloud.name))
    });
    camera.moved_by(ui, &response, cloud.three_d, place.unit());
    let painter = painter.with_clip_rect(painter.clip_rect().intersect(room));
    let turn = camera.rotation(cloud.three_d);
    kept.update(cloud, turn);
    let (origin, scale) = place.view(camera, cloud.three_d);
    let eye = Eye { turn, origin, scale };
    let place_of = |i: u32| kept.projected.get(i as usize).map(|p| eye.sees(p).0);
    for &(a, b, color) in &cloud.links {
        if let (Some(a), Some(b)) = (place_of(a), place_of(b)) {
            painter.line_segment([a, b], Stroke::new(1.0, color32(color)));
        }
    }
    let noted = gpu_cloud::noted(ui.ctx());
    match &noted {
        Some(Ok(target)) if refusal.get().is_none() => {
            let pixels = ui.ctx().pixels_per_point();
            let look = Look {
                viewport: (room.size() * pixels).into(),
                center: ((origin - room.min) * pixels).into(),
                scale: scale * pixels,
                rotation: turn,
                diameter: cloud.diameter * UNITS_PER_POINT * pixels,
                reach: if cloud.three_d { kept.reach } else { 0.0 },
                rings: std::array::from_fn(|i| cloud.rings.get(i).copied()),
            };
            let drawing = Drawing {
                cloud: Arc::new(cloud.clone()),
                places: Arc::clone(&kept.projected),
                order: Arc::clone(&kept.order),
            };
            painter.add(gpu_cloud::shape(room, id, *target, drawing, &look, refusal.clone()));
        }
        _ => draw(&painter, cloud, &eye, kept),
    }
    let why = noted.and_then(Result::err);
    if let Some(why) = why.as_ref().or(refusal.get()) {
        let font = egui::TextStyle::Small.resolve(ui.style());
        let color = ui.visuals().weak_text_color();
        let galley = painter.layout(why.clone(), font, color, room.width());
        painter.galley(room.left_bottom() - vec2(0.0, galley.size().y), galley, color);
    }
    let Some(pointer) = response.hover_pos() else { return Vec::new() };
    let Some(i) = nearest(kept, &eye, pointer) else { return Vec::new() };
    let (pick, words) = (cloud.picks.get(i).cloned().unwrap_or_default(), cloud.hovers.get(i));
    let shift = ui.input(|i| i.modifiers.shift);
    let clicked = response.clicked() && pick != Pick::Nothing;
    if let Some(words) = words {
        response.on_hover_text_at_pointer(words);
    }
    if clicked { vec![Picked { pick: with_shift(pick, shift), shift }] } else { Vec::new() }
}

/// With Shift a point is a key, whatever it is drawn as: of the sequence in view the action says so itself.
fn with_shift(pick: Pick, shift: bool) -> Pick {
    if let Pick::CloudPoint { sequence, position, .. } = pick
        && shift
    {
        return Pick::CloudPoint { sequence, position, is_key: true };
    }
    pick
}

/// The point nearest to the pointer within its reach; of points at one place the one drawn last, which covers the
/// others.
fn nearest(kept: &Kept, eye: &Eye, pointer: Pos2) -> Option<usize> {
    let under = kept.order.iter().rev().filter_map(|&i| {
        let distance = eye.sees(kept.projected.get(i as usize)?).0.distance_sq(pointer);
        (distance < REACH * REACH).then_some((i as usize, distance))
    });
    under.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

/// The twin of the device, in the same order. Discs are squares: they are a few pixels wide.
fn draw(painter: &Painter, cloud: &Cloud, eye: &Eye, kept: &Kept) {
    let points: Vec<(Pos2, f32)> = kept.projected.iter().map(|p| eye.sees(p)).collect();
    let mut mesh = Mesh::default();
    for i in kept.order.iter().map(|i| *i as usize) {
        if let (Some(color), Some((at, depth))) = (cloud.colors.get(i), points.get(i)) {
            let side = diameter_at(cloud, *depth, kept.reach) * UNITS_PER_POINT;
            let square = Rect::from_center_size(*at, vec2(side, side));
            mesh.add_colored_rect(square, color32(*color));
        }
    }
    painter.add(Shape::mesh(mesh));
    for i in cloud.rings.iter().map(|i| *i as usize) {
        if let (Some(color), Some((at, depth))) = (cloud.colors.get(i), points.get(i)) {
            let radius = RING * diameter_at(cloud, *depth, kept.reach) * UNITS_PER_POINT / 2.0;
            painter.circle_stroke(*at, 0.9 * radius, Stroke::new(0.2 * radius, color32(*color)));
        }
    }
}

/// How projected points come to the screen.
struct Eye {
    turn: [[f32; 3]; 3],
    origin: Pos2,
    scale: f32,
}

impl Eye {
    /// The place of a point on the screen, and its depth.
    fn sees(&self, p: &[f32; 3]) -> (Pos2, f32) {
        let along = |row: [f32; 3]| row[0] * p[0] + row[1] * p[1] + row[2] * p[2];
        let at = vec2(along(self.turn[0]), -along(self.turn[1]));
        (self.origin + self.scale * at, along(self.turn[2]))
    }
}
