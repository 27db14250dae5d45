//! The query-key cloud inside egui's pass: projected and drawn by the graphics device, without read-back; by a software
//! renderer only drawn, from the places that the window has found already.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use eframe::egui_wgpu::{
    Callback, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor,
};
use egui::{Context, Id, PaintCallback, PaintCallbackInfo, Rect};

use crate::base::error::Result;
use crate::figure::Cloud;
use crate::gpu::cloud::{CloudBuffers, CloudPipeline, Look, Projector, View, check};
use crate::gpu::device::Adapter;

/// Why a cloud could not be drawn by the device, if it could not.
pub type Refusal = Arc<OnceLock<String>>;

/// What clouds are drawn into, and who projects them.
#[derive(Clone, Copy)]
pub struct Target {
    pub format: wgpu::TextureFormat,
    pub projector: Projector,
}

/// Notes whether clouds can be drawn by the device, and into which targets.
pub fn install(ctx: &Context, state: &RenderState, adapter: &Adapter) {
    let flags = state.adapter.get_downlevel_capabilities().flags;
    let target = Target { format: state.target_format, projector: Projector::of(adapter) };
    note(ctx, target, check(&state.device.limits(), flags));
}

/// Notes that clouds go into this target, or why they cannot.
pub fn note(ctx: &Context, target: Target, able: Result<()>) {
    let noted: Noted = able.map(|()| target).map_err(|error| error.message);
    ctx.data_mut(|data| data.insert_temp(key(), noted));
}

/// What the device can do: the target of the window, or why it cannot draw clouds.
pub type Noted = std::result::Result<Target, String>;

/// What was noted of the device; none where no device draws (in tests).
pub fn noted(ctx: &Context) -> Option<Noted> {
    ctx.data(|data| data.get_temp(key()))
}

fn key() -> Id {
    Id::unique("target of the window")
}

/// One frame of a cloud.
struct Frame {
    id: u64,
    target: Target,
    drawing: Drawing,
    view: View,
    refusal: Refusal,
}

/// What stays on the device between frames, by picture.
struct Kept {
    pipeline: CloudPipeline,
    clouds: BTreeMap<u64, CloudBuffers>,
}

/// What is drawn: a cloud, its points in an order.
pub struct Drawing {
    pub cloud: Arc<Cloud>,
    /// Where the twin projects the points to, for devices that do not.
    pub places: Arc<[[f32; 3]]>,
    pub order: Arc<[u32]>,
}

/// A shape that draws a cloud into `rect`, looked at as `look` says.
pub fn shape(
    rect: Rect,
    id: Id,
    target: Target,
    drawing: Drawing,
    look: &Look,
    refusal: Refusal,
) -> PaintCallback {
    let (view, id) = (View::new(look), id.value());
    Callback::new_paint_callback(rect, Frame { id, target, drawing, view, refusal })
}

impl CallbackTrait for Frame {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if resources.get::<Kept>().is_none() {
            match CloudPipeline::new(device, self.target.format, self.target.projector) {
                Ok(pipeline) => {
                    resources.insert(Kept { pipeline, clouds: BTreeMap::new() });
                }
                Err(error) => {
                    let _ = self.refusal.set(error.message);
                }
            }
        }
        let Some(Kept { pipeline, clouds }) = resources.get_mut() else { return Vec::new() };
        let Drawing { cloud, places, order } = &self.drawing;
        let current = clouds.get_mut(&self.id);
        if !current.is_some_and(|buffers| buffers.update(queue, cloud)) {
            match CloudBuffers::new(pipeline, device, queue, cloud) {
                Ok(buffers) => {
                    clouds.insert(self.id, buffers);
                }
                Err(error) => {
                    clouds.remove(&self.id);
                    // The first reason is as good as the second.
                    let _ = self.refusal.set(error.message);
                }
            }
        }
        if let Some(buffers) = clouds.get_mut(&self.id) {
            buffers.arrange(queue, order);
            if self.target.projector == Projector::Processor {
                buffers.place(queue, places);
            }
            buffers.prepare(pipeline, queue, encoder, &self.view);
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(kept) = resources.get::<Kept>() else { return };
        if let Some(buffers) = kept.clouds.get(&self.id) {
            buffers.draw(&kept.pipeline, pass);
        }
    }
}
