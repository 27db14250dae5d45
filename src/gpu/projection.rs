//! The projection of a cloud on a device without a window, for measurements.

use crate::figure::Cloud;
use crate::record::error::{Error, Result};

use super::cloud::{CloudBuffers, CloudPipeline, Look, View};
use super::device::{Adapter, Headless, headless};

/// A cloud on the fastest device that there is.
pub struct Projection {
    gpu: Headless,
    pipeline: CloudPipeline,
    buffers: CloudBuffers,
    view: View,
}

impl Projection {
    /// # Errors
    /// When there is no device, or the cloud does not fit it.
    pub fn new(cloud: &Cloud) -> Result<Self> {
        let gpu = headless(false)?;
        let pipeline = CloudPipeline::new(&gpu.device, wgpu::TextureFormat::Rgba8Unorm, 1)?;
        let buffers = CloudBuffers::new(&pipeline, &gpu.device, &gpu.queue, cloud)?;
        let view = View::new(&Look {
            viewport: [64.0; 2],
            center: [32.0; 2],
            scale: 1.0,
            rotation: crate::figure::cloud::UNTURNED,
            diameter: 1.0,
            reach: 0.0,
            rings: [None; 2],
        });
        Ok(Self { gpu, pipeline, buffers, view })
    }

    pub fn adapter(&self) -> &Adapter {
        &self.gpu.adapter
    }

    /// Projects all points and waits until that is done.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self) -> Result<()> {
        let Self { gpu, pipeline, buffers, view } = self;
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        buffers.outdate();
        buffers.prepare(pipeline, &gpu.queue, &mut encoder, view);
        gpu.queue.submit([encoder.finish()]);
        let waited = gpu.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map(drop).map_err(|e| Error::system(format!("the graphics device is lost: {e}")))
    }
}
