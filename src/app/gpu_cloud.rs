//! The query-key cloud inside egui's pass: projected and drawn by the graphics device, without read-back.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use eframe::egui_wgpu::{Callback, CallbackResources, CallbackTrait, ScreenDescriptor};
use egui::{Context, Id, PaintCallback, PaintCallbackInfo, Rect};

use crate::figure::Cloud;
use crate::gpu::cloud::{CloudBuffers, CloudPipeline, Look, View};

/// Why a cloud could not be drawn by the device, if it could not.
pub type Refusal = Arc<OnceLock<String>>;

/// Notes that clouds can be drawn by the device, into targets of this format.
pub fn install(ctx: &Context, format: wgpu::TextureFormat) {
    ctx.data_mut(|data| data.insert_temp(key(), format));
}

/// The format of the window's target; none where no device draws (in tests).
pub fn format(ctx: &Context) -> Option<wgpu::TextureFormat> {
    ctx.data(|data| data.get_temp(key()))
}

fn key() -> Id {
    Id::unique("format of the window")
}

/// One frame of a cloud.
struct Frame {
    id: u64,
    format: wgpu::TextureFormat,
    cloud: Arc<Cloud>,
    view: View,
    refusal: Refusal,
}

/// What stays on the device between frames, by picture.
struct Kept {
    pipeline: CloudPipeline,
    clouds: BTreeMap<u64, CloudBuffers>,
}

/// A shape that draws `cloud` into `rect`, looked at as `look` says.
pub fn shape(
    rect: Rect,
    id: Id,
    format: wgpu::TextureFormat,
    cloud: Arc<Cloud>,
    look: &Look,
    refusal: Refusal,
) -> PaintCallback {
    let view = View::new(look);
    Callback::new_paint_callback(rect, Frame { id: id.value(), format, cloud, view, refusal })
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
        let kept: &mut Kept = resources.entry().or_insert_with(|| Kept {
            pipeline: CloudPipeline::new(device, self.format, 1),
            clouds: BTreeMap::new(),
        });
        let Kept { pipeline, clouds } = kept;
        let current = clouds.get_mut(&self.id);
        if !current.is_some_and(|buffers| buffers.update(queue, &self.cloud)) {
            match CloudBuffers::new(pipeline, device, queue, &self.cloud) {
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
