// Draws the triangles of the window: a texture times a colour, both premultiplied and in gamma space, and nothing else. A
// software renderer works through every line for every pixel, also where a branch is not taken.

struct Screen {
    // Clip units per screen unit.
    scale: vec2<f32>,
    // A uniform is a multiple of 16 bytes long.
    unused: vec2<f32>,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
    @location(1) color: vec4<f32>,
}

@group(0) @binding(0) var<uniform> screen: Screen;
@group(1) @binding(0) var image: texture_2d<f32>;
@group(1) @binding(1) var look_up: sampler;

@vertex
fn corner(
    @location(0) at: vec2<f32>,
    @location(1) uv: vec2<f32>,
    @location(2) color: vec4<f32>,
) -> Corner {
    let place = at * screen.scale;
    return Corner(vec4(place.x - 1.0, 1.0 - place.y, 0.0, 1.0), uv, color);
}

@fragment
fn pixel(in: Corner) -> @location(0) vec4<f32> {
    return in.color * textureSample(image, look_up, in.uv);
}
