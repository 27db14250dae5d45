//! Where a processor pretends to be a graphics card, what egui draws is drawn by [`crate::gpu::flat`].
//!
//! egui's own shader can filter and dither by hand, and a software renderer works through all of that for every pixel.

use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui_wgpu::{
    Callback, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor,
};
use egui::epaint::{ClippedShape, ImageDelta, Primitive};
use egui::{
    ClippedPrimitive, Context, FullOutput, ImageData, PaintCallbackInfo, Plugin, Shape,
    TextureFilter, TextureId,
};

use crate::gpu::flat::{Change, Flat, Piece, Screen, Sheet};

/// Changes to textures that wait for the device: a frame that is never painted loses none.
type Queue = Arc<Mutex<Vec<Change>>>;

/// Has everything of a window drawn in this way, if its target takes colours as egui means them.
pub fn install(ctx: &Context, state: &RenderState) {
    if !state.target_format.is_srgb() {
        let (waiting, freed) = (Queue::default(), Vec::new());
        ctx.add_plugin(Redraw { format: state.target_format, waiting, freed });
    }
}

/// Turns what egui would draw into sheets of our own.
struct Redraw {
    format: wgpu::TextureFormat,
    waiting: Queue,
    /// Textures that the last frame was the last to show.
    freed: Vec<Change>,
}

impl Plugin for Redraw {
    fn debug_name(&self) -> &'static str {
        "flat"
    }

    fn output_hook(&mut self, ctx: &Context, output: &mut FullOutput) {
        let delta = &mut output.textures_delta;
        let mut set: Vec<_> = std::mem::take(&mut delta.set).into_iter().collect();
        set.sort_by_key(|(id, _)| key(*id));
        let free = std::mem::take(&mut delta.free);
        let mut free: Vec<u64> = free.into_iter().map(key).collect();
        free.sort_unstable();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.append(&mut self.freed);
        for (id, deltas) in set {
            waiting.extend(deltas.iter().map(|delta| change(id, delta)));
        }
        drop(waiting);
        self.freed = free.into_iter().map(Change::Free).collect();
        let all = ctx.tessellate(std::mem::take(&mut output.shapes), output.pixels_per_point);
        output.shapes = self.sheets(ctx, all);
    }
}

/// User textures are none of ours: nobody makes any.
fn key(id: TextureId) -> u64 {
    match id {
        TextureId::Managed(id) => id,
        TextureId::User(id) => u64::MAX - id,
    }
}

fn change(id: TextureId, delta: &ImageDelta) -> Change {
    let ImageData::Color(image) = &delta.image;
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Change::Set {
        texture: key(id),
        place: delta.pos.map(|place| place.map(small)),
        size: image.size.map(small),
        rgba: bytemuck::cast_slice(&image.pixels).to_vec(),
        smooth: delta.options.magnification == TextureFilter::Linear,
    }
}

impl Redraw {
    /// Meshes that follow each other become one sheet; what draws itself stays in its place between them.
    fn sheets(&self, ctx: &Context, all: Vec<ClippedPrimitive>) -> Vec<ClippedShape> {
        let (mut shapes, mut sheet, mut at) = (Vec::new(), Sheet::default(), 0);
        let whole = ctx.viewport_rect();
        let mut finish = |sheet: Sheet, shapes: &mut Vec<ClippedShape>| {
            let (waiting, format) = (self.waiting.clone(), self.format);
            let drawn = Callback::new_paint_callback(whole, Drawn { at, sheet, waiting, format });
            at += 1;
            shapes.push(clipped(whole, Shape::Callback(drawn)));
        };
        for ClippedPrimitive { clip_rect, primitive } in all {
            match primitive {
                Primitive::Mesh(mesh) => {
                    let from = sheet.indices.len();
                    let first = sheet.vertices.len() / size_of::<egui::epaint::Vertex>();
                    sheet.vertices.extend_from_slice(bytemuck::cast_slice(&mesh.vertices));
                    sheet.indices.extend_from_slice(&mesh.indices);
                    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                    sheet.pieces.push(Piece {
                        texture: key(mesh.texture_id),
                        clip: [
                            clip_rect.left(),
                            clip_rect.top(),
                            clip_rect.right(),
                            clip_rect.bottom(),
                        ],
                        indices: small(from)..small(sheet.indices.len()),
                        first: i32::try_from(first).unwrap_or(i32::MAX),
                    });
                }
                Primitive::Callback(callback) => {
                    finish(std::mem::take(&mut sheet), &mut shapes);
                    shapes.push(clipped(clip_rect, Shape::Callback(callback)));
                }
            }
        }
        finish(sheet, &mut shapes);
        shapes
    }
}

fn clipped(clip_rect: egui::Rect, shape: Shape) -> ClippedShape {
    let transform_after_tessellation = egui::emath::TSTransform::IDENTITY;
    ClippedShape { clip_rect, shape, transform_after_tessellation }
}

/// One sheet of a frame.
struct Drawn {
    at: usize,
    sheet: Sheet,
    waiting: Queue,
    format: wgpu::TextureFormat,
}

impl CallbackTrait for Drawn {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if resources.get::<Flat>().is_none() {
            resources.insert(Flat::new(device, self.format));
        }
        let Some(flat) = resources.get_mut::<Flat>() else { return Vec::new() };
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.iter().for_each(|change| flat.change(device, queue, change));
        let screen = Screen { pixels: screen.size_in_pixels, per_unit: screen.pixels_per_point };
        flat.prepare(device, queue, screen, self.at, &self.sheet);
        Vec::new()
    }

    fn paint(
        &self,
        info: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(flat) = resources.get::<Flat>() else { return };
        let screen = Screen { pixels: info.screen_size_px, per_unit: info.pixels_per_point };
        flat.draw(pass, screen, self.at, &self.sheet);
    }
}
