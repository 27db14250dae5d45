// Projects points of any number of dimensions onto a basis of three; twin of `project` in src/figure/cloud.rs.

struct Shape {
    points: u32,
    dims: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// [point, dim]
@group(0) @binding(1) var<storage, read> points: array<f32>;
// [3, dim]: x, y and depth
@group(0) @binding(2) var<storage, read> basis: array<f32>;
// x, y, depth, 0
@group(0) @binding(3) var<storage, read_write> projected: array<vec4<f32>>;

@compute @workgroup_size(64)
fn project(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= shape.points {
        return;
    }
    let start = i * shape.dims;
    var sum = vec3<f32>(0.0);
    for (var d = 0u; d < shape.dims; d++) {
        let row = vec3<f32>(basis[d], basis[shape.dims + d], basis[2u * shape.dims + d]);
        sum += points[start + d] * row;
    }
    projected[i] = vec4<f32>(sum, 0.0);
}
