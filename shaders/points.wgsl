// Draws projected points as round discs, one instance each, out of the buffer that cloud.wgsl wrote. An instance
// says which point it is: there is no depth to test, so the far ones come first.

struct View {
    // Rows of the turn: right, up, towards the viewer.
    right: vec4<f32>,
    up: vec4<f32>,
    near: vec4<f32>,
    // Clip units per projected unit, and the place of the origin in clip units.
    scale: vec2<f32>,
    offset: vec2<f32>,
    // Half of a disc in clip units.
    half_size: vec2<f32>,
    // Indices of the points with a ring around them; none where there is no such point.
    rings: vec2<u32>,
    // How much a disc grows per unit of depth, in parts of its size.
    depth_cue: f32,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    // From -1 to 1 across the disc.
    @location(0) at: vec2<f32>,
    @location(1) @interpolate(flat) color: vec4<f32>,
    @location(2) @interpolate(flat) ring: f32,
}

// Whether the target turns linear light into sRGB by itself.
override linear_target: bool = false;

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> projected: array<vec4<f32>>;
// Straight sRGB, red in the lowest byte.
@group(0) @binding(2) var<storage, read> colors: array<u32>;

// A ring lies outside its disc.
const RING: f32 = 1.8;

@vertex
fn corner(@builtin(vertex_index) vertex: u32, @location(0) i: u32) -> Corner {
    let corners = array(vec2(-1.0, -1.0), vec2(1.0, -1.0), vec2(-1.0, 1.0), vec2(1.0, 1.0));
    let p = projected[i].xyz;
    let turned = vec3(dot(view.right.xyz, p), dot(view.up.xyz, p), dot(view.near.xyz, p));
    let marked = f32(any(vec2(i) == view.rings));
    let grown = 1.0 + clamp(view.depth_cue * turned.z, -0.4, 0.4);
    let size = view.half_size * grown * mix(1.0, RING, marked);
    var out: Corner;
    out.at = corners[vertex];
    out.position = vec4(turned.xy * view.scale + view.offset + out.at * size, 0.0, 1.0);
    out.color = unpack4x8unorm(colors[i]);
    out.ring = marked;
    return out;
}

fn linear(c: vec3<f32>) -> vec3<f32> {
    return select(pow((c + 0.055) / 1.055, vec3(2.4)), c / 12.92, c <= vec3(0.04045));
}

@fragment
fn disc(in: Corner) -> @location(0) vec4<f32> {
    let distance = length(in.at);
    let soft = max(fwidth(distance), 1e-4);
    var cover = 1.0 - smoothstep(1.0 - soft, 1.0, distance);
    if in.ring > 0.0 {
        // The disc, a gap, the ring.
        let gap = smoothstep(1.0 / RING - soft, 1.0 / RING, distance)
            * (1.0 - smoothstep(0.8 - soft, 0.8, distance));
        cover *= 1.0 - gap;
    }
    if cover <= 0.0 {
        discard;
    }
    let rgb = select(in.color.rgb, linear(in.color.rgb), linear_target);
    let alpha = in.color.a * cover;
    return vec4(rgb * alpha, alpha);
}
