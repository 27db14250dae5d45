//! Every shader is valid, lays its uniforms out as Rust does, and computes what its twin on the CPU computes.
//!
//! They run on a software adapter, which `.ci/run` installs; without any adapter they fail and say so.

use std::mem::offset_of;
use std::sync::Arc;

use mnemoscope::figure::Cloud;
use mnemoscope::figure::cloud::{order, project, rotation};
use mnemoscope::figure::color::{Color, category};
use mnemoscope::gpu::cloud::{
    CloudBuffers, CloudPipeline, Look, POINTS, PROJECT, Projector, Shape, View, check,
};
use mnemoscope::gpu::device::{Adapter, Headless, headless};
use wgpu::naga;

fn device() -> Headless {
    // A machine with a card but without Mesa's software driver can still run these tests.
    headless(true).or_else(|_| headless(false)).unwrap_or_else(|error| panic!("{error}"))
}

/// A reproducible cloud of numbers from -2 to 2 with their distinct colours.
fn cloud(count: usize, dims: usize) -> Cloud {
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) % 4001;
    let number = |i: usize| noise(i) as f32 / 1000.0 - 2.0;
    Cloud {
        name: "cloud".into(),
        dims,
        points: (0..count * dims).map(number).collect(),
        basis: (0..3 * dims).map(|i| number(i + 77) / (dims as f32).sqrt()).collect(),
        colors: (0..count).map(category).collect(),
        diameter: 5.0,
        picks: Arc::default(),
        hovers: Arc::default(),
        three_d: true,
        links: Vec::new(),
        rings: Vec::new(),
    }
}

fn look(size: f32) -> Look {
    Look {
        viewport: [size, size],
        center: [size / 2.0, size / 2.0],
        scale: size / 16.0,
        rotation: rotation(0.6, -0.3),
        diameter: 7.0,
        reach: 0.0,
        rings: [None; 2],
    }
}

/// The bytes of a buffer on the device.
fn bytes_of(gpu: &Headless, buffer: &wgpu::Buffer, mut encoder: wgpu::CommandEncoder) -> Vec<u8> {
    let copy = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
    gpu.queue.submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |outcome| outcome.unwrap());
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    copy.get_mapped_range(..).unwrap().to_vec()
}

fn encoder(gpu: &Headless) -> wgpu::CommandEncoder {
    gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

fn pipeline(gpu: &Headless) -> CloudPipeline {
    // The compute pass, on a software adapter too.
    CloudPipeline::new(&gpu.device, wgpu::TextureFormat::Rgba8Unorm, Projector::Device).unwrap()
}

fn buffers(gpu: &Headless, pipeline: &CloudPipeline, cloud: &Cloud) -> CloudBuffers {
    CloudBuffers::new(pipeline, &gpu.device, &gpu.queue, cloud).unwrap()
}

/// Projects on the device and compares with the twin.
fn assert_projects_as_the_twin(
    gpu: &Headless,
    pipeline: &CloudPipeline,
    buffers: &mut CloudBuffers,
    cloud: &Cloud,
) {
    let mut encoder = encoder(gpu);
    buffers.prepare(pipeline, &gpu.queue, &mut encoder, &View::new(&look(64.0)));
    let bytes = bytes_of(gpu, buffers.projected(), encoder);
    let found: &[[f32; 4]] = bytemuck::cast_slice(&bytes);
    let expected = project(&cloud.points, &cloud.basis, cloud.dims);
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().flatten().fold(0.0f32, |m, v| m.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        for k in 0..3 {
            let apart = (found[k] - expected[k]).abs();
            assert!(apart <= 1e-5 * largest, "point {i}, row {k}: {} {}", found[k], expected[k]);
        }
    }
}

#[test]
fn the_projection_is_that_of_its_twin() {
    let gpu = device();
    let pipeline = pipeline(&gpu);
    for (count, dims) in [(1, 1), (2, 4), (63, 3), (64, 32), (1000, 65), (20_000, 128)] {
        let cloud = cloud(count, dims);
        let mut buffers = buffers(&gpu, &pipeline, &cloud);
        assert_projects_as_the_twin(&gpu, &pipeline, &mut buffers, &cloud);
    }
}

#[test]
fn the_projection_runs_again_only_when_points_or_basis_change() {
    let gpu = device();
    let pipeline = pipeline(&gpu);
    let mut cloud = cloud(300, 16);
    let mut buffers = buffers(&gpu, &pipeline, &cloud);
    let ran = |buffers: &mut CloudBuffers| {
        let mut encoder = encoder(&gpu);
        let ran = buffers.prepare(&pipeline, &gpu.queue, &mut encoder, &View::new(&look(64.0)));
        gpu.queue.submit([encoder.finish()]);
        ran
    };
    assert!(ran(&mut buffers), "the first time");
    assert!(!ran(&mut buffers), "nothing changed");
    cloud.points = cloud.points.to_vec().into();
    cloud.colors = vec![Color::rgb(1, 2, 3); 300].into();
    assert!(buffers.update(&gpu.queue, &cloud));
    assert!(!ran(&mut buffers), "the same numbers in another place, and other colours");
    cloud.basis = cloud.basis.iter().map(|v| v * 2.0).collect();
    assert!(buffers.update(&gpu.queue, &cloud));
    assert_projects_as_the_twin(&gpu, &pipeline, &mut buffers, &cloud);
    assert!(!ran(&mut buffers));
    cloud.points = cloud.points[16..].into();
    cloud.colors = cloud.colors[1..].into();
    assert!(!buffers.update(&gpu.queue, &cloud), "another number of points needs other buffers");
}

#[test]
fn a_device_that_is_the_processor_takes_the_places_of_the_twin_and_runs_no_pass() {
    let gpu = device();
    let (format, projector) = (wgpu::TextureFormat::Rgba8Unorm, Projector::Processor);
    let pipeline = CloudPipeline::new(&gpu.device, format, projector).unwrap();
    for count in [1, 256, 700] {
        let mut cloud = cloud(count, 5);
        let mut buffers = buffers(&gpu, &pipeline, &cloud);
        for factor in [1.0, -2.0] {
            cloud.basis = cloud.basis.iter().map(|v| v * factor).collect();
            assert!(buffers.update(&gpu.queue, &cloud));
            let places = project(&cloud.points, &cloud.basis, cloud.dims);
            assert!(!buffers.place(&gpu.queue, &places[1..]), "a place is missing");
            assert!(buffers.place(&gpu.queue, &places));
            assert!(!buffers.place(&gpu.queue, &places), "nothing changed");
            let mut encoder = encoder(&gpu);
            let view = View::new(&look(64.0));
            assert!(!buffers.prepare(&pipeline, &gpu.queue, &mut encoder, &view));
            let bytes = bytes_of(&gpu, buffers.projected(), encoder);
            let found: &[[f32; 4]] = bytemuck::cast_slice(&bytes);
            assert!(found.iter().map(|p| [p[0], p[1], p[2]]).eq(places), "{count} points");
        }
    }
}

#[test]
fn the_processor_projects_for_a_software_renderer_alone() {
    let adapter = |software| Adapter { name: "any".to_owned(), software };
    assert_eq!(Projector::of(&adapter(true)), Projector::Processor);
    assert_eq!(Projector::of(&adapter(false)), Projector::Device);
}

/// What is drawn on a square target of a format, `[y][x]` flattened, 4 bytes per pixel.
fn drawn(gpu: &Headless, cloud: &Cloud, look: &Look, format: wgpu::TextureFormat) -> Vec<[u8; 4]> {
    let size = look.viewport[0] as u32;
    let pipeline = CloudPipeline::new(&gpu.device, format, Projector::Device).unwrap();
    let mut buffers = buffers(gpu, &pipeline, cloud);
    let extent = wgpu::Extent3d { width: size, height: size, depth_or_array_layers: 1 };
    let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: extent,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let target = texture.create_view(&wgpu::TextureViewDescriptor::default());
    let projected = project(&cloud.points, &cloud.basis, cloud.dims);
    buffers.arrange(&gpu.queue, &order(cloud, &projected, &look.rotation).into());
    let mut encoder = encoder(gpu);
    buffers.prepare(&pipeline, &gpu.queue, &mut encoder, &View::new(look));
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: &target,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                store: wgpu::StoreOp::Store,
            },
        })],
        ..wgpu::RenderPassDescriptor::default()
    });
    buffers.draw(&pipeline, &mut pass);
    drop(pass);
    let pixels = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(4 * size * size),
        usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &pixels,
            layout: wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(4 * size),
                rows_per_image: None,
            },
        },
        extent,
    );
    bytemuck::cast_slice(&bytes_of(gpu, &pixels, encoder)).to_vec()
}

/// Place in pixels of a point of the cloud.
fn place(point: [f32; 3], look: &Look) -> [f32; 2] {
    let along = |row: [f32; 3]| row.iter().zip(point).map(|(a, b)| a * b).sum::<f32>();
    [
        look.center[0] + look.scale * along(look.rotation[0]),
        look.center[1] - look.scale * along(look.rotation[1]),
    ]
}

#[test]
fn points_are_drawn_where_and_as_their_twin_says() {
    let gpu = device();
    let (cloud, look) = (cloud(40, 8), look(256.0));
    let places: Vec<[f32; 2]> = project(&cloud.points, &cloud.basis, cloud.dims)
        .into_iter()
        .map(|p| place(p, &look))
        .collect();
    let formats = [wgpu::TextureFormat::Rgba8Unorm, wgpu::TextureFormat::Rgba8UnormSrgb];
    // Far points first, in the order of their twin: what lies in front covers what lies behind.
    let projected = project(&cloud.points, &cloud.basis, cloud.dims);
    let order = order(&cloud, &projected, &look.rotation);
    let depth = |i: usize| look.rotation[2].iter().zip(projected[i]).map(|(a, p)| a * p).sum();
    let depths: Vec<f32> = order.iter().map(|i| depth(*i as usize)).collect();
    assert!(depths.is_sorted());
    for format in formats {
        let pixels = drawn(&gpu, &cloud, &look, format);
        for (rank, i) in order.iter().map(|i| *i as usize).enumerate() {
            let [x, y] = places[i];
            let later = order[rank + 1..].iter().map(|j| places[*j as usize]);
            let covered = later.into_iter().any(|[a, b]| (a - x).hypot(b - y) < 8.0);
            if covered {
                continue;
            }
            let found = pixels[y.floor() as usize * 256 + x.floor() as usize];
            let Color { r, g, b, .. } = cloud.colors[i];
            let near = found.iter().zip([r, g, b]).all(|(a, b)| a.abs_diff(b) <= 1);
            assert!(near, "point {i} at {x}, {y} in {format:?}: {found:?}, not {r} {g} {b}");
        }
        let lit = pixels.iter().filter(|p| p[0].max(p[1]).max(p[2]) > 0).count();
        // Forty discs of diameter 7 at most, and more than a few of them apart.
        assert!((400..40 * 50).contains(&lit), "{lit} pixels are lit");
    }
}

#[test]
fn a_disc_is_round_and_a_highlight_has_a_ring() {
    let gpu = device();
    let mut cloud = cloud(1, 1);
    cloud.points = [0.0].into();
    let mut look = Look { diameter: 40.0, ..look(128.0) };
    let lit = |look: &Look, x: usize, y: usize| {
        drawn(&gpu, &cloud, look, wgpu::TextureFormat::Rgba8Unorm)[y * 128 + x][2] > 0
    };
    assert!(lit(&look, 64, 64) && lit(&look, 64 + 18, 64), "inside");
    assert!(!lit(&look, 64 + 17, 64 + 17), "the corner of the square around it");
    assert!(!lit(&look, 64 + 33, 64));
    look.rings = [None, Some(0)];
    assert!(lit(&look, 64, 64) && lit(&look, 64 + 33, 64), "the ring");
    assert!(!lit(&look, 64 + 24, 64), "the gap between");
}

#[test]
fn of_two_points_at_one_place_the_nearer_is_seen_from_either_side() {
    let gpu = device();
    let mut cloud = cloud(2, 3);
    cloud.points = [0.0, 0.0, -1.0, 0.0, 0.0, 1.0].into();
    cloud.basis = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0].into();
    cloud.colors = [Color::rgb(255, 0, 0), Color::rgb(0, 0, 255)].into();
    let middle = |yaw: f32| {
        let look = Look { rotation: rotation(yaw, 0.0), ..look(64.0) };
        drawn(&gpu, &cloud, &look, wgpu::TextureFormat::Rgba8Unorm)[32 * 64 + 32]
    };
    assert_eq!(middle(0.0), [0, 0, 255, 255]);
    assert_eq!(middle(std::f32::consts::PI), [255, 0, 0, 255]);
}

#[test]
fn a_device_without_compute_shaders_or_storage_buffers_is_refused_in_a_sentence() {
    let all = wgpu::DownlevelFlags::all();
    assert!(check(&wgpu::Limits::default(), all).is_ok());
    let said = |limits: &wgpu::Limits, flags| check(limits, flags).unwrap_err().message;
    let old = wgpu::Limits::downlevel_webgl2_defaults();
    assert!(said(&old, all).contains("no compute shaders, so the processor draws"));
    let no_storage =
        wgpu::Limits { max_storage_buffers_per_shader_stage: 0, ..wgpu::Limits::default() };
    assert!(said(&no_storage, all).contains("too few storage buffers"));
    let lacking = |flag| said(&wgpu::Limits::default(), all - flag);
    assert!(lacking(wgpu::DownlevelFlags::COMPUTE_SHADERS).contains("no compute shaders"));
    assert!(lacking(wgpu::DownlevelFlags::VERTEX_STORAGE).contains("storage buffers"));
}

#[test]
fn a_cloud_that_does_not_fit_together_is_refused() {
    let gpu = device();
    let pipeline = pipeline(&gpu);
    let mut cloud = cloud(10, 4);
    cloud.colors = cloud.colors[1..].into();
    let error = CloudBuffers::new(&pipeline, &gpu.device, &gpu.queue, &cloud).err().unwrap();
    assert!(error.message.contains("9 colours"), "{}", error.message);
}

fn parsed(source: &str) -> naga::Module {
    naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(source)))
}

#[test]
fn every_shader_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let source = std::fs::read_to_string(&name).unwrap();
        let module = parsed(&source);
        let flags = naga::valid::ValidationFlags::all();
        let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", name.display(), error.emit_to_string(&source));
        }
    }
}

/// Name and offset of each member of a struct of a shader, and its size.
fn layout_of(source: &str, name: &str) -> (Vec<(String, usize)>, usize) {
    let module = parsed(source);
    let found = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name));
    let naga::TypeInner::Struct { members, span } = &found.unwrap().1.inner else {
        panic!("{name} is no struct")
    };
    let member = |m: &naga::StructMember| (m.name.clone().unwrap(), m.offset as usize);
    (members.iter().map(member).collect(), *span as usize)
}

#[test]
fn uniforms_lie_in_memory_as_the_shaders_read_them() {
    let (members, size) = layout_of(PROJECT, "Shape");
    let ours = [
        ("points", offset_of!(Shape, points)),
        ("quads", offset_of!(Shape, quads)),
        ("first", offset_of!(Shape, first)),
        ("unused", offset_of!(Shape, unused)),
    ];
    assert_eq!(members, ours.map(|(name, offset)| (name.to_owned(), offset)));
    assert_eq!(size, size_of::<Shape>());

    let (members, size) = layout_of(POINTS, "View");
    let ours = [
        ("right", offset_of!(View, right)),
        ("up", offset_of!(View, up)),
        ("near", offset_of!(View, near)),
        ("scale", offset_of!(View, scale)),
        ("offset", offset_of!(View, offset)),
        ("half_size", offset_of!(View, half_size)),
        ("rings", offset_of!(View, rings)),
        ("depth_cue", offset_of!(View, depth_cue)),
    ];
    assert_eq!(members, ours.map(|(name, offset)| (name.to_owned(), offset)));
    assert_eq!(size, size_of::<View>());
}

#[test]
fn a_software_adapter_is_known_and_said() {
    let adapter = |name: &str| Adapter { name: name.to_owned(), software: true };
    assert!(adapter("llvmpipe").note().unwrap().contains("llvmpipe"));
    let card = Adapter { name: "a card".to_owned(), software: false };
    assert_eq!(card.note(), None);
    let gpu = device();
    if gpu.adapter.name.to_lowercase().contains("llvmpipe") {
        assert!(gpu.adapter.software);
    }
}
