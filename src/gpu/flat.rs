//! Textured triangles with the least work in each pixel, for devices that are processors.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::convert;

/// The shader.
pub const FLAT: &str = include_str!("../../shaders/flat.wgsl");

/// Bytes of a vertex: place and texture coordinate as two `f32` each, colour as four bytes.
const VERTEX: u64 = 20;

/// Triangles to draw one after the other.
#[derive(Default)]
pub struct Sheet {
    /// Vertices of 20 bytes: place in screen units, texture coordinates, premultiplied colour in gamma space.
    pub vertices: Vec<u8>,
    pub indices: Vec<u32>,
    pub pieces: Vec<Piece>,
}

/// Triangles of one texture within a rectangle.
pub struct Piece {
    pub texture: u64,
    /// Left, top, right and bottom of what of it is seen, in screen units.
    pub clip: [f32; 4],
    pub indices: Range<u32>,
    /// Number of the vertex that its index 0 means.
    pub first: i32,
}

/// Something that happens to a texture.
pub enum Change {
    /// It has these contents, and is new if it has no place.
    Set { texture: u64, place: Option<[u32; 2]>, size: [u32; 2], rgba: Vec<u8>, smooth: bool },
    /// It is needed no more.
    Free(u64),
}

/// Where the screen is: pixels, and pixels of a screen unit.
#[derive(Clone, Copy)]
pub struct Screen {
    pub pixels: [u32; 2],
    pub per_unit: f32,
}

/// Pipeline, textures and buffers on one device.
pub struct Flat {
    pipeline: wgpu::RenderPipeline,
    screen: wgpu::Buffer,
    screen_group: wgpu::BindGroup,
    /// Smooth or not.
    samplers: [wgpu::Sampler; 2],
    textures: BTreeMap<u64, Texture>,
    sheets: Vec<[wgpu::Buffer; 2]>,
}

struct Texture {
    texture: wgpu::Texture,
    group: wgpu::BindGroup,
}

impl Flat {
    /// For targets of a format that takes colours in gamma space.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let pipeline = pipeline(device, format);
        let screen = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("flat: screen"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let screen_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("flat: screen"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: screen.as_entire_binding() }],
        });
        let samplers = [wgpu::FilterMode::Nearest, wgpu::FilterMode::Linear].map(|filter| {
            device.create_sampler(&wgpu::SamplerDescriptor {
                label: Some("flat"),
                mag_filter: filter,
                min_filter: filter,
                ..wgpu::SamplerDescriptor::default()
            })
        });
        let (textures, sheets) = (BTreeMap::new(), Vec::new());
        Self { pipeline, screen, screen_group, samplers, textures, sheets }
    }

    /// Carries out a change to a texture.
    pub fn change(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, change: &Change) {
        let (id, place, [width, height], rgba, smooth) = match change {
            Change::Free(id) => {
                self.textures.remove(id);
                return;
            }
            Change::Set { texture, place, size, rgba, smooth } => {
                (texture, place, *size, rgba, *smooth)
            }
        };
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        if place.is_none() {
            let made = self.texture(device, size, smooth);
            self.textures.insert(*id, made);
        }
        let Some(Texture { texture, .. }) = self.textures.get(id) else { return };
        let [x, y] = place.unwrap_or_default();
        let to = wgpu::TexelCopyTextureInfo {
            origin: wgpu::Origin3d { x, y, z: 0 },
            ..texture.as_image_copy()
        };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(4 * width),
            rows_per_image: Some(height),
        };
        queue.write_texture(to, rgba, layout, size);
    }

    fn texture(&self, device: &wgpu::Device, size: wgpu::Extent3d, smooth: bool) -> Texture {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("flat"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let sampler = &self.samplers[usize::from(smooth)];
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("flat"),
            layout: &self.pipeline.get_bind_group_layout(1),
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::TextureView(&view),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::Sampler(sampler),
                },
            ],
        });
        Texture { texture, group }
    }

    /// Copies the `at`-th sheet of a frame to the device.
    pub fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: Screen,
        at: usize,
        sheet: &Sheet,
    ) {
        let [width, height] = screen.pixels.map(|pixels| pixels.max(1) as f32);
        let scale = [2.0 * screen.per_unit / width, 2.0 * screen.per_unit / height, 0.0, 0.0];
        queue.write_buffer(&self.screen, 0, bytemuck::bytes_of(&scale));
        let usages = [wgpu::BufferUsages::VERTEX, wgpu::BufferUsages::INDEX];
        let empty = |usage| buffer(device, usage, 1 << 16);
        while self.sheets.len() <= at {
            self.sheets.push(usages.map(empty));
        }
        let contents: [&[u8]; 2] = [&sheet.vertices, bytemuck::cast_slice(&sheet.indices)];
        for ((kept, bytes), usage) in self.sheets[at].iter_mut().zip(contents).zip(usages) {
            let size = bytes.len() as u64;
            if kept.size() < size {
                *kept = buffer(device, usage, size.next_power_of_two());
            }
            queue.write_buffer(kept, 0, bytes);
        }
    }

    /// Draws the `at`-th sheet of a frame over the whole target.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, screen: Screen, at: usize, sheet: &Sheet) {
        let Some([vertices, indices]) = self.sheets.get(at) else { return };
        let [width, height] = screen.pixels;
        pass.set_viewport(0.0, 0.0, width as f32, height as f32, 0.0, 1.0);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.screen_group, &[]);
        pass.set_vertex_buffer(0, vertices.slice(..));
        pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint32);
        for piece in &sheet.pieces {
            let Some(texture) = self.textures.get(&piece.texture) else { continue };
            let pixel = |units: f32, most: u32| {
                convert::natural((units * screen.per_unit).round().clamp(0.0, most as f32))
            };
            let [left, top, right, bottom] = piece.clip;
            let (x, y) = (pixel(left, width), pixel(top, height));
            let (right, bottom) = (pixel(right, width), pixel(bottom, height));
            if right <= x || bottom <= y {
                continue;
            }
            pass.set_scissor_rect(x, y, right - x, bottom - y);
            pass.set_bind_group(1, &texture.group, &[]);
            pass.draw_indexed(piece.indices.clone(), piece.first, 0..1);
        }
    }
}

fn buffer(device: &wgpu::Device, usage: wgpu::BufferUsages, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("flat"),
        size,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn pipeline(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("flat.wgsl"),
        source: wgpu::ShaderSource::Wgsl(FLAT.into()),
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("flat"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: VERTEX,
                step_mode: wgpu::VertexStepMode::Vertex,
                attributes: &wgpu::vertex_attr_array![0 => Float32x2, 1 => Float32x2, 2 => Unorm8x4],
            })],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("pixel"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
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
