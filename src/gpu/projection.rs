//! The projection of a cloud on a device without a window, for measurements.

use crate::base::error::{Error, Result};
use crate::figure::Cloud;
use crate::figure::cloud::project;

use super::cloud::{CloudBuffers, CloudPipeline, Look, Projector, View};
use super::device::{Adapter, Headless, headless};

/// A cloud on the fastest device that there is, projected as in the window.
pub struct Projection {
    gpu: Headless,
    cloud: Cloud,
    projector: Projector,
    pipeline: CloudPipeline,
    buffers: CloudBuffers,
    view: View,
}

impl Projection {
    /// # Errors
    /// When there is no device, or the cloud does not fit it.
    pub fn new(cloud: &Cloud) -> Result<Self> {
        let gpu = headless(false)?;
        let projector = Projector::of(&gpu.adapter);
        let pipeline = CloudPipeline::new(&gpu.device, wgpu::TextureFormat::Rgba8Unorm, projector)?;
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
        Ok(Self { gpu, cloud: cloud.clone(), projector, pipeline, buffers, view })
    }

    pub fn adapter(&self) -> &Adapter {
        &self.gpu.adapter
    }

    /// Projects all points and waits until their places are on the device.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self) -> Result<()> {
        let Self { gpu, cloud, projector, pipeline, buffers, view } = self;
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        buffers.outdate();
        if *projector == Projector::Processor {
            buffers.place(&gpu.queue, &project(&cloud.points, &cloud.basis, cloud.dims));
        }
        buffers.prepare(pipeline, &gpu.queue, &mut encoder, view);
        gpu.queue.submit([encoder.finish()]);
        let waited = gpu.device.poll(wgpu::PollType::wait_indefinitely());
        waited
            .map(drop)
            .map_err(|e| Error::system(format!("the graphics device is lost: {e}")).caused_by(e))
    }
}
