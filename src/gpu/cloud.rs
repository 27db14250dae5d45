//! A cloud of points on the graphics processor: projected by a compute pass, drawn out of the same buffer.
//!
//! Nothing is read back. The compute pass runs only when points or basis have changed; moving and zooming change one
//! small uniform, turning also the order of the points. Where the device is the processor itself, there is no compute
//! pass: it takes the places that the twin has found. Knows no window: the caller brings device, encoder and render
//! pass.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use wgpu::BufferUsages as Usage;

use crate::base::error::{Error, Result};
use crate::figure::Cloud;
use crate::figure::cloud::{DEPTH_CUE, MOST_RINGS};
use crate::figure::color::Color;

use super::device::Adapter;

/// The compute shader; its twin is [`crate::figure::cloud::project`].
pub const PROJECT: &str = include_str!("../../shaders/cloud.wgsl");

/// The drawing shader.
pub const POINTS: &str = include_str!("../../shaders/points.wgsl");

/// Invocations of a workgroup of [`PROJECT`], and points that each projects.
const GROUP: u32 = 64;
const EACH: u32 = 4;

/// Which points a pass projects; `Shape` of the compute shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Shape {
    pub points: u32,
    /// Fours of dimensions.
    pub quads: u32,
    /// Number of the first of the points in the whole cloud.
    pub first: u32,
    /// A uniform is a multiple of 16 bytes long.
    pub unused: u32,
}

/// How the cloud is looked at; `View` of the drawing shader.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct View {
    pub right: [f32; 4],
    pub up: [f32; 4],
    pub near: [f32; 4],
    pub scale: [f32; 2],
    pub offset: [f32; 2],
    pub half_size: [f32; 2],
    pub rings: [u32; MOST_RINGS],
    pub depth_cue: f32,
    /// A uniform is a multiple of 16 bytes long.
    pub unused: [u32; 3],
}

/// How the cloud is looked at, in pixels of the viewport that it is drawn into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Width and height of the viewport.
    pub viewport: [f32; 2],
    /// The origin of the projected space, from the left and from the top.
    pub center: [f32; 2],
    /// Pixels per projected unit.
    pub scale: f32,
    /// Rows: right, up, towards the viewer; see [`crate::figure::cloud::rotation`].
    pub rotation: [[f32; 3]; 3],
    pub diameter: f32,
    /// Largest distance of a point from the origin; nearer points are drawn larger. 0: all the same.
    pub reach: f32,
    /// The points with a ring around them.
    pub rings: [Option<u32>; MOST_RINGS],
}

impl View {
    pub fn new(look: &Look) -> Self {
        let [width, height] = look.viewport.map(|v| v.max(1.0));
        let row = |i: usize| {
            let [x, y, z] = look.rotation[i];
            [x, y, z, 0.0]
        };
        Self {
            right: row(0),
            up: row(1),
            near: row(2),
            scale: [2.0 * look.scale / width, 2.0 * look.scale / height],
            offset: [2.0 * look.center[0] / width - 1.0, 1.0 - 2.0 * look.center[1] / height],
            half_size: [look.diameter / width, look.diameter / height],
            depth_cue: if look.reach > 0.0 { DEPTH_CUE / look.reach } else { 0.0 },
            rings: look.rings.map(|ring| ring.unwrap_or(u32::MAX)),
            unused: [0; 3],
        }
    }
}

/// Who projects the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projector {
    /// The compute pass.
    Device,
    /// The twin; [`CloudBuffers::place`] takes what it has found.
    Processor,
}

impl Projector {
    /// A software renderer takes longer to be handed a compute pass than the twin takes to project a small cloud, and
    /// is no faster at a large one.
    pub fn of(adapter: &Adapter) -> Self {
        if adapter.software { Self::Processor } else { Self::Device }
    }
}

/// The two pipelines, made once per device.
pub struct CloudPipeline {
    /// None where the processor projects.
    project: Option<wgpu::ComputePipeline>,
    points: wgpu::RenderPipeline,
}

impl CloudPipeline {
    /// For targets of a format, of one sample per pixel.
    ///
    /// # Errors
    /// When the limits of the device do not allow it; the twin on the CPU draws then.
    pub fn new(
        device: &wgpu::Device,
        format: wgpu::TextureFormat,
        projector: Projector,
    ) -> Result<Self> {
        check(&device.limits(), wgpu::DownlevelFlags::all())?;
        let project = (projector == Projector::Device).then(|| project(device));
        Ok(Self { project, points: points(device, format) })
    }
}

/// Storage buffers that one of the two shaders reads at most.
const STORAGE_BUFFERS: u32 = 3;

/// Whether a device of these limits and abilities can project and draw clouds.
///
/// # Errors
/// When it cannot: the sentence says what it lacks. Old devices, and OpenGL where Vulkan is missing, have no
/// compute shaders or no storage buffers.
pub fn check(limits: &wgpu::Limits, flags: wgpu::DownlevelFlags) -> Result<()> {
    let lacks = |what: &str| {
        Err(Error::system(format!(
            "this graphics device has {what}, so the processor draws the cloud; a Vulkan driver would let the device draw it"
        )))
    };
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        || limits.max_compute_workgroup_size_x < GROUP
        || limits.max_compute_invocations_per_workgroup < GROUP
        || limits.max_compute_workgroups_per_dimension == 0
    {
        return lacks("no compute shaders");
    }
    if !flags.contains(wgpu::DownlevelFlags::VERTEX_STORAGE)
        || limits.max_storage_buffers_per_shader_stage < STORAGE_BUFFERS
    {
        return lacks("too few storage buffers");
    }
    Ok(())
}

fn shader(device: &wgpu::Device, label: &str, source: &str) -> wgpu::ShaderModule {
    device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    })
}

fn project(device: &wgpu::Device) -> wgpu::ComputePipeline {
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("cloud: project"),
        layout: None,
        module: &shader(device, "cloud.wgsl", PROJECT),
        entry_point: Some("project"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}

fn points(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = shader(device, "points.wgsl", POINTS);
    let constants = [("linear_target", f64::from(u8::from(format.is_srgb())))];
    let options =
        || wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("cloud: points"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: options(),
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: size_of::<u32>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &wgpu::vertex_attr_array![0 => Uint32],
            })],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("disc"),
            compilation_options: options(),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// A cloud in the memory of the device, and what of it is there.
pub struct CloudBuffers {
    size: Size,
    points: Arc<[f32]>,
    basis: Arc<[f32]>,
    colors: Arc<[Color]>,
    order: Arc<[u32]>,
    /// None where the processor projects.
    parts: Vec<Part>,
    basis_buffer: wgpu::Buffer,
    colors_buffer: wgpu::Buffer,
    projected: wgpu::Buffer,
    order_buffer: wgpu::Buffer,
    view: wgpu::Buffer,
    points_group: wgpu::BindGroup,
    /// The projection is older than points or basis.
    stale: bool,
}

/// Points of a cloud, and numbers of each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    points: u32,
    dims: u32,
}

impl Size {
    fn quads(self) -> u32 {
        self.dims.div_ceil(4)
    }
}

/// As many points as the device binds at once.
struct Part {
    shape: Shape,
    buffer: wgpu::Buffer,
    group: wgpu::BindGroup,
}

/// Rows of `dims` numbers as the shader reads them: with zeros up to a multiple of four.
fn padded(rows: &[f32], dims: usize) -> Cow<'_, [f32]> {
    if dims.is_multiple_of(4) {
        return Cow::Borrowed(rows);
    }
    let mut out = Vec::with_capacity(rows.len() / dims * dims.next_multiple_of(4));
    for row in rows.chunks_exact(dims) {
        out.extend_from_slice(row);
        out.resize(out.len().next_multiple_of(4), 0.0);
    }
    Cow::Owned(out)
}

/// How many points the device projects in one pass.
fn most_points(limits: &wgpu::Limits, quads: u32) -> u32 {
    let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let fit = bytes / (16 * u64::from(quads.max(1)));
    let run = u64::from(limits.max_compute_workgroups_per_dimension) * u64::from(GROUP * EACH);
    u32::try_from(fit.min(run)).unwrap_or(u32::MAX)
}

impl CloudBuffers {
    /// Copies a cloud to the device.
    ///
    /// # Errors
    /// When points, basis and colours do not fit each other, or the cloud does not fit the device; the twin on the
    /// CPU still can draw it then.
    pub fn new(
        pipeline: &CloudPipeline,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        cloud: &Cloud,
    ) -> Result<Self> {
        let size = size_of_cloud(cloud)?;
        let memory = Memory { device, queue };
        let basis = padded(&cloud.basis, cloud.dims);
        let basis_buffer = memory.filled("cloud: basis", &basis, Usage::STORAGE)?;
        let colors_buffer = memory.filled("cloud: colours", &cloud.colors, Usage::STORAGE)?;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let projected = memory.empty("cloud: projected", 16 * u64::from(size.points), usage)?;
        let order: Arc<[u32]> = (0..size.points).collect();
        let order_buffer = memory.filled("cloud: order", &order, Usage::VERTEX)?;
        let bytes = size_of::<View>() as u64;
        let view = memory.empty("cloud: view", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        let parts = match &pipeline.project {
            Some(project) => {
                let layout = project.get_bind_group_layout(0);
                memory.parts(&layout, cloud, size, [&basis_buffer, &projected])?
            }
            None => Vec::new(),
        };
        let points_group = memory
            .group(&pipeline.points.get_bind_group_layout(0), &[&view, &projected, &colors_buffer]);
        Ok(Self {
            size,
            points: Arc::clone(&cloud.points),
            basis: Arc::clone(&cloud.basis),
            colors: Arc::clone(&cloud.colors),
            order,
            parts,
            basis_buffer,
            colors_buffer,
            projected,
            order_buffer,
            view,
            points_group,
            stale: true,
        })
    }

    /// Takes over what has changed in the cloud; `false` when it has another shape and needs buffers of its own.
    pub fn update(&mut self, queue: &wgpu::Queue, cloud: &Cloud) -> bool {
        if size_of_cloud(cloud).ok() != Some(self.size) {
            return false;
        }
        let points = is_new(&mut self.points, &cloud.points);
        if points {
            for Part { shape, buffer, .. } in &self.parts {
                let numbers = padded(part_of(&cloud.points, *shape, cloud.dims), cloud.dims);
                queue.write_buffer(buffer, 0, bytemuck::cast_slice(&numbers));
            }
        }
        let basis = is_new(&mut self.basis, &cloud.basis);
        if basis {
            let numbers = padded(&cloud.basis, cloud.dims);
            queue.write_buffer(&self.basis_buffer, 0, bytemuck::cast_slice(&numbers));
        }
        renew(queue, &self.colors_buffer, &mut self.colors, &cloud.colors);
        self.stale |= points || basis;
        true
    }

    /// Draws the points in another order; see [`crate::figure::cloud::order`]. One that does not name as many
    /// points as there are changes nothing.
    pub fn arrange(&mut self, queue: &wgpu::Queue, order: &Arc<[u32]>) {
        if order.len() == self.order.len() {
            renew(queue, &self.order_buffer, &mut self.order, order);
        }
    }

    /// Takes the projection from the processor, if the one that is here is out of date: places in the order of the
    /// points. Returns whether it was; other than one place for each point changes nothing.
    pub fn place(&mut self, queue: &wgpu::Queue, places: &[[f32; 3]]) -> bool {
        /// Places that are widened at once, on the stack.
        const AT_ONCE: usize = 256;
        let fits = places.len() == self.size.points as usize;
        let Some(size) = NonZeroU64::new(self.projected.size()).filter(|_| self.stale && fits)
        else {
            return false;
        };
        let Some(mut view) = queue.write_buffer_with(&self.projected, 0, size) else {
            return false;
        };
        for (i, places) in places.chunks(AT_ONCE).enumerate() {
            let mut wide = [[0.0f32; 4]; AT_ONCE];
            for (wide, &[x, y, depth]) in wide.iter_mut().zip(places) {
                *wide = [x, y, depth, 0.0];
            }
            let bytes: &[u8] = bytemuck::cast_slice(&wide[..places.len()]);
            let from = i * size_of_val(&wide);
            view.slice(from..from + bytes.len()).copy_from_slice(bytes);
        }
        self.stale = false;
        true
    }

    /// Has the points projected again, whether they have changed or not.
    pub fn outdate(&mut self) {
        self.stale = true;
    }

    /// Records the projection, if it is out of date, and sets the view. Returns whether the compute pass runs.
    pub fn prepare(
        &mut self,
        pipeline: &CloudPipeline,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        view: &View,
    ) -> bool {
        queue.write_buffer(&self.view, 0, bytemuck::bytes_of(view));
        let Some(project) = pipeline.project.as_ref().filter(|_| self.stale) else {
            return false;
        };
        self.stale = false;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("cloud: project"),
            timestamp_writes: None,
        });
        pass.set_pipeline(project);
        for part in &self.parts {
            pass.set_bind_group(0, &part.group, &[]);
            pass.dispatch_workgroups(part.shape.points.div_ceil(GROUP * EACH), 1, 1);
        }
        true
    }

    /// Draws all points, in their order.
    pub fn draw(&self, pipeline: &CloudPipeline, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_pipeline(&pipeline.points);
        pass.set_bind_group(0, &self.points_group, &[]);
        pass.set_vertex_buffer(0, self.order_buffer.slice(..));
        pass.draw(0..4, 0..self.size.points);
    }

    /// The projected points, `[point, 4]`: x, y, depth and 0.
    pub fn projected(&self) -> &wgpu::Buffer {
        &self.projected
    }
}

/// The numbers of the points of a part.
fn part_of(points: &[f32], shape: Shape, dims: usize) -> &[f32] {
    &points[shape.first as usize * dims..][..shape.points as usize * dims]
}

fn size_of_cloud(cloud: &Cloud) -> Result<Size> {
    let count = cloud.points.len() / cloud.dims.max(1);
    let fits = cloud.dims > 0
        && count > 0
        && count * cloud.dims == cloud.points.len()
        && cloud.basis.len() == 3 * cloud.dims
        && cloud.colors.len() == count;
    match (fits, u32::try_from(count), u32::try_from(cloud.dims)) {
        (true, Ok(points), Ok(dims)) => Ok(Size { points, dims }),
        _ => Err(Error::internal(format!(
            "the cloud {} has {} numbers of {} dimensions, {} in its basis and {} colours, which do not fit",
            cloud.name,
            cloud.points.len(),
            cloud.dims,
            cloud.basis.len(),
            cloud.colors.len()
        ))),
    }
}

/// Copies new contents of the same length to the device. Both sides of an unchanged figure
/// share one allocation, so that the common case costs nothing.
fn renew<T: bytemuck::Pod + PartialEq>(
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    old: &mut Arc<[T]>,
    new: &Arc<[T]>,
) {
    if is_new(old, new) {
        queue.write_buffer(buffer, 0, bytemuck::cast_slice(new));
    }
}

/// Takes over contents that differ; whether they do.
fn is_new<T: PartialEq>(old: &mut Arc<[T]>, new: &Arc<[T]>) -> bool {
    let differs = !Arc::ptr_eq(old, new) && old != new;
    if differs {
        *old = Arc::clone(new);
    }
    differs
}

struct Memory<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
}

impl Memory<'_> {
    fn empty(&self, label: &str, size: u64, usage: Usage) -> Result<wgpu::Buffer> {
        let limits = self.device.limits();
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if size > most {
            return Err(Error::system(format!(
                "{label} need {size} bytes and this graphics device takes at most {most} at once; the processor draws them instead"
            )));
        }
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        Ok(self.device.create_buffer(&descriptor))
    }

    fn filled<T: bytemuck::Pod>(
        &self,
        label: &str,
        data: &[T],
        usage: Usage,
    ) -> Result<wgpu::Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.empty(label, bytes.len() as u64, usage | Usage::COPY_DST)?;
        self.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// The points of a cloud in as many parts as they take, each bound with basis and projection.
    fn parts(
        &self,
        layout: &wgpu::BindGroupLayout,
        cloud: &Cloud,
        size: Size,
        [basis, projected]: [&wgpu::Buffer; 2],
    ) -> Result<Vec<Part>> {
        let (quads, most) = (size.quads(), most_points(&self.device.limits(), size.quads()).max(1));
        let mut parts = Vec::new();
        for first in (0..size.points).step_by(most as usize) {
            let points = most.min(size.points - first);
            let shape = Shape { points, quads, first, unused: 0 };
            let numbers = padded(part_of(&cloud.points, shape, cloud.dims), cloud.dims);
            let buffer = self.filled("cloud: points", &numbers, Usage::STORAGE)?;
            let uniform = self.filled("cloud: shape", &[shape], Usage::UNIFORM)?;
            let group = self.group(layout, &[&uniform, &buffer, basis, projected]);
            parts.push(Part { shape, buffer, group });
        }
        Ok(parts)
    }

    /// Binds whole buffers in order.
    fn group(&self, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: NonZeroU64::new(buffer.size()),
                }),
            })
            .collect();
        let descriptor =
            wgpu::BindGroupDescriptor { label: Some("cloud"), layout, entries: &entries };
        self.device.create_bind_group(&descriptor)
    }
}
