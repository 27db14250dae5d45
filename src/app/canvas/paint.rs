//! Draws the scene of a figure with egui, and answers to the pointer and to screen readers.

use egui::{
    Align2, Color32, Context, CornerRadius, FontId, Id, Pos2, Rect, Response, Role, Sense, Shape,
    Stroke, StrokeKind, TextureHandle, TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use crate::figure::color::Color;
use crate::figure::font::Family;
use crate::figure::pick;
use crate::figure::scene::{AreaPick, Item, Scene};
use crate::figure::{Anchor, Pick, font};

use super::{Picked, UNITS_PER_POINT};
use crate::app::canvas::cloud::{Camera, CloudCanvas, Kept, Place};
use crate::app::canvas::theme::color32;

/// What is kept between frames for one picture: textures, and how its cloud is turned.
#[derive(Default)]
pub struct Canvas {
    textures: Vec<(u64, TextureHandle)>,
    pub camera: Camera,
    cloud: Kept,
    refusal: crate::app::canvas::gpu_cloud::Refusal,
}

/// Where a scene lies on the screen.
#[derive(Clone, Copy)]
pub struct Frame {
    pub origin: Pos2,
    /// Screen units in one point of the scene.
    pub unit: f32,
}

impl Frame {
    /// A scene at its own size.
    pub fn new(origin: Pos2) -> Self {
        Self { origin, unit: UNITS_PER_POINT }
    }

    pub fn at(self, [x, y]: [f32; 2]) -> Pos2 {
        self.origin + vec2(x, y) * self.unit
    }

    pub fn rect(self, min: [f32; 2], max: [f32; 2]) -> Rect {
        Rect::from_two_pos(self.at(min), self.at(max))
    }

    /// The place in the scene under a place on the screen.
    pub fn back(self, at: Pos2) -> [f32; 2] {
        ((at - self.origin) / self.unit).into()
    }
}

/// Draws `scene` with its corner at `rect.min`; `name` is what a screen reader calls it. Returns what was clicked.
pub fn scene(
    ui: &mut Ui,
    rect: Rect,
    scene: &Scene,
    canvas: &mut Canvas,
    name: &str,
) -> Vec<Picked> {
    let frame = Frame::new(rect.min);
    let id = ui.scope_id().with(("figure", name));
    let picture = ui.interact(rect, id, Sense::click());
    picture.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("{name} figure")));
    if picture.has_focus() {
        hold_arrows(ui.ctx(), id);
        ui.painter().rect_stroke(rect, 2, ui.visuals().selection.stroke, StrokeKind::Inside);
    }
    let mut picked = Vec::new();
    items(ui, rect, scene, frame, canvas, &mut picked);
    areas(ui, scene, frame, id, &picture, &mut picked);
    picked
}

/// Draws a scene without clouds as a picture that answers to nothing, `scale` times as large as it is.
pub fn still(ui: &mut Ui, rect: Rect, scene: &Scene, canvas: &mut Canvas, scale: f32) {
    let frame = Frame { origin: rect.min, unit: UNITS_PER_POINT * scale };
    let clip = rect.intersect(ui.clip_rect());
    items(ui, clip, scene, frame, canvas, &mut Vec::new());
}

fn items(
    ui: &mut Ui,
    rect: Rect,
    scene: &Scene,
    frame: Frame,
    canvas: &mut Canvas,
    picked: &mut Vec<Picked>,
) {
    let mut painter = ui.painter_at(rect);
    let mut clips = vec![painter.clip_rect()];
    let mut images = 0;
    for item in &scene.items {
        match item {
            // The page itself is there already: the panel has its colour.
            Item::Rect { min: [0.0, 0.0], max, fill: Some(_), stroke: None }
                if *max == [scene.width, scene.height] => {}
            Item::Rect { min, max, fill, stroke } => {
                painter.rect(
                    frame.rect(*min, *max),
                    CornerRadius::ZERO,
                    fill.map_or(Color32::TRANSPARENT, color32),
                    stroke.map_or(Stroke::NONE, |(c, w)| line(frame, c, w)),
                    StrokeKind::Middle,
                );
            }
            Item::Polyline { points, color, width, dash } => {
                let points: Vec<Pos2> = points.iter().map(|p| frame.at(*p)).collect();
                let stroke = line(frame, *color, *width);
                match dash.lengths(*width).map(|lengths| lengths.map(|l| l * frame.unit)) {
                    Some([on, off]) => {
                        painter.extend(Shape::dashed_line(&points, stroke, on, off));
                    }
                    None => {
                        painter.add(Shape::line(points, stroke));
                    }
                }
            }
            Item::Circle { center, radius, fill } => {
                painter.circle_filled(frame.at(*center), radius * frame.unit, color32(*fill));
            }
            Item::Text { .. } => text(&painter, frame, scene.family.own, item),
            Item::Image { min, max, columns, rows, pixels } => {
                let texture = texture(ui, canvas, images, [*columns, *rows], pixels);
                images += 1;
                let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                painter.image(texture, frame.rect(*min, *max), uv, Color32::WHITE);
            }
            Item::Cloud { min, max, cloud, x, y } => {
                let place = Place { room: frame.rect(*min, *max), x: *x, y: *y };
                let Canvas { camera, cloud: kept, refusal, .. } = canvas;
                let canvas = CloudCanvas { camera, kept, refusal };
                picked.extend(crate::app::canvas::cloud::show(ui, &painter, place, cloud, canvas));
            }
            Item::Clip { min, max } => {
                let inner = painter.clip_rect().intersect(frame.rect(*min, *max));
                clips.push(inner);
                painter.set_clip_rect(inner);
            }
            Item::Unclip => {
                clips.pop();
                painter.set_clip_rect(clips.last().copied().unwrap_or(rect));
            }
        }
    }
}

fn line(frame: Frame, color: Color, width: f32) -> Stroke {
    Stroke::new(width * frame.unit, color32(color))
}

/// A scene places text by the middle of its capitals, egui by its box: the font's own baseline stands between.
fn text(painter: &egui::Painter, frame: Frame, family: Family, item: &Item) {
    let Item::Text { at, text, size, color, align, upright, bold } = item else { return };
    let size = size * frame.unit;
    let font = crate::app::canvas::theme::face(family, *bold, size);
    let galley = painter.layout_no_wrap(font::shown(text).into_owned(), font, color32(*color));
    let baseline = galley
        .rows
        .first()
        .and_then(|row| row.row.glyphs.first())
        .map_or(0.8 * galley.size().y, |glyph| glyph.pos.y);
    let middle = baseline - font::MIDDLE * size;
    let left = match align {
        Anchor::Left => 0.0,
        Anchor::Center => galley.size().x / 2.0,
        Anchor::Right => galley.size().x,
    };
    let at = frame.at(*at);
    if *upright {
        let corner = at + vec2(-middle, left);
        let shape = egui::epaint::TextShape::new(corner, galley, color32(*color));
        painter.add(shape.with_angle(-std::f32::consts::FRAC_PI_2));
    } else {
        painter.galley(at - vec2(left, middle), galley, color32(*color));
    }
}

/// The texture of the `index`-th image of a picture; uploaded again only when its pixels have changed.
fn texture(
    ui: &Ui,
    canvas: &mut Canvas,
    index: usize,
    size: [usize; 2],
    pixels: &[Color],
) -> egui::TextureId {
    let mark = fingerprint(size, pixels);
    if let Some((known, handle)) = canvas.textures.get(index)
        && *known == mark
    {
        return handle.id();
    }
    let image = egui::ColorImage::new(size, pixels.iter().map(|c| color32(*c)).collect());
    match canvas.textures.get_mut(index) {
        Some((known, handle)) => {
            *known = mark;
            handle.set(image, TextureOptions::NEAREST);
            handle.id()
        }
        None => {
            let handle = ui.ctx().load_texture("heat", image, TextureOptions::NEAREST);
            let id = handle.id();
            canvas.textures.push((mark, handle));
            id
        }
    }
}

fn fingerprint(size: [usize; 2], pixels: &[Color]) -> u64 {
    let crc = crc32fast::hash(bytemuck::cast_slice(pixels));
    (u64::from(crc) << 32) ^ ((size[0] as u64) << 16) ^ size[1] as u64
}

fn areas(
    ui: &mut Ui,
    scene: &Scene,
    frame: Frame,
    id: Id,
    picture: &Response,
    picked: &mut Vec<Picked>,
) {
    for (index, area) in scene.areas.iter().enumerate() {
        if let AreaPick::One { pick, hover } = &area.pick {
            one(ui, frame.rect(area.min, area.max), id.with(index), pick, hover, picked);
        }
    }
    let Some(pointer) = picture.hover_pos() else { return };
    let Some((pick, words)) = pick::pick(scene, frame.back(pointer)) else { return };
    if !words.is_empty() {
        picture.clone().on_hover_text_at_pointer(words);
    }
    if picture.clicked() && pick != Pick::Nothing {
        picked.push(Picked { pick, shift: ui.input(|i| i.modifiers.shift) });
    }
}

/// One thing that can be clicked: a token, a thumbnail, a recorded step. It has a node for screen readers but is no
/// tab stop: hundreds of them would bury the others, and the arrow keys reach each.
fn one(ui: &mut Ui, rect: Rect, id: Id, pick: &Pick, hover: &str, picked: &mut Vec<Picked>) {
    if !ui.is_rect_visible(rect) {
        return;
    }
    let sense = if *pick == Pick::Nothing { Sense::HOVER } else { Sense::CLICK };
    let response = ui.interact(rect, id, sense);
    if *pick != Pick::Nothing && !hover.is_empty() {
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, hover));
    }
    if response.clicked() {
        let shift = ui.input(|i| i.modifiers.shift);
        picked.push(Picked { pick: pick.clone(), shift });
    }
    if response.hovered() && *pick != Pick::Nothing {
        ui.ctx().set_cursor_icon(egui::CursorIcon::PointingHand);
    }
    if !hover.is_empty() {
        response.on_hover_text_at_pointer(hover);
    }
}

/// Text in the middle of an empty room: a sentence that says why it is empty. The middle of its lower edge.
pub fn sentence(ui: &Ui, rect: Rect, text: &str) -> Pos2 {
    let color = ui.visuals().weak_text_color();
    let font = FontId::proportional(14.0);
    let galley = ui.painter().layout(text.to_owned(), font, color, (rect.width() - 32.0).max(60.0));
    let place = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), rect);
    ui.painter_at(rect).galley(place.min, galley, color);
    place.center_bottom()
}

/// The focused widget keeps its arrow keys: they move the selection, not the focus.
fn hold_arrows(ctx: &Context, id: Id) {
    let filter = egui::EventFilter {
        horizontal_arrows: true,
        vertical_arrows: false,
        ..egui::EventFilter::default()
    };
    ctx.memory_mut(|m| m.set_focus_lock_filter(id, filter));
    ctx.data_mut(|d| d.insert_temp(figure_focus(), id));
}

/// Where the id of the focused figure is noted.
pub fn figure_focus() -> Id {
    Id::unique("figure focus")
}
