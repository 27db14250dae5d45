//! Which device draws, said for a person; and one without a window, for tests and files.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::base::error::{Error, Result};

/// The adapter in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    pub name: String,
    /// A processor pretends to be a graphics card: everything works, at the cost of the threads that train.
    pub software: bool,
}

impl Adapter {
    pub fn new(info: &wgpu::AdapterInfo) -> Self {
        // Drivers that do not always admit to being processors.
        const SOFTWARE: [&str; 4] = ["llvmpipe", "lavapipe", "swiftshader", "basic render"];
        let name = info.name.to_lowercase();
        let software = info.device_type == wgpu::DeviceType::Cpu
            || SOFTWARE.iter().any(|known| name.contains(known));
        Self { name: info.name.clone(), software }
    }

    /// What a person should know, if anything.
    pub fn note(&self) -> Option<String> {
        self.software.then(|| {
            format!(
                "{} is a software renderer: drawing takes the same processor as training, so frames are kept few",
                self.name
            )
        })
    }
}

/// A device without a window.
pub struct Headless {
    pub adapter: Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
}

/// Opens a device without a window: a software one if `software`, else the fastest.
///
/// # Errors
/// When there is no adapter, or it gives no device.
pub fn headless(software: bool) -> Result<Headless> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        force_fallback_adapter: software,
        ..wgpu::RequestAdapterOptions::default()
    };
    let adapter = wait(instance.request_adapter(&options)).map_err(|e| {
        Error::system(format!(
            "no graphics adapter was found ({e}): install a Vulkan driver, or Mesa's software one (on Debian: apt-get install mesa-vulkan-drivers)"
        )).caused_by(e)
    })?;
    let info = Adapter::new(&adapter.get_info());
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = wait(adapter.request_device(&descriptor))
        .map_err(|e| Error::system(format!("{} gives no device: {e}", info.name)).caused_by(e))?;
    Ok(Headless { adapter: info, device, queue })
}

/// Runs a future of wgpu to its end; outside of browsers they are ready at the first look.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::hint::spin_loop(),
        }
    }
}
