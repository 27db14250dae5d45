// Projects points of any number of dimensions onto a basis of three; twin of `project` in src/figure/cloud.rs. Dimensions
// come in fours: where their number is no multiple of four, zeros follow.

struct Shape {
    points: u32,
    // Fours of dimensions.
    quads: u32,
    // Number of the first of the points in the whole cloud.
    first: u32,
    // A uniform is a multiple of 16 bytes long.
    unused: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// [point, quad]
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
// [3, quad]: x, y and depth
@group(0) @binding(2) var<storage, read> basis: array<vec4<f32>>;
// x, y, depth, 0
@group(0) @binding(3) var<storage, read_write> projected: array<vec4<f32>>;

// Each invocation projects four points, which share what is read of the basis.
@compute @workgroup_size(64)
fn project(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = 4u * id.x;
    if i >= shape.points {
        return;
    }
    // Past the end the last point is read again, and not written.
    let last = shape.points - 1u;
    let row = min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(last)) * shape.quads;
    var x = vec4<f32>(0.0);
    var y = vec4<f32>(0.0);
    var depth = vec4<f32>(0.0);
    for (var q = 0u; q < shape.quads; q++) {
        let some = mat4x4<f32>(
            points[row.x + q], points[row.y + q], points[row.z + q], points[row.w + q],
        );
        // A row vector times a matrix: one product for each of the four points.
        x += basis[q] * some;
        y += basis[shape.quads + q] * some;
        depth += basis[2u * shape.quads + q] * some;
    }
    let to = shape.first + i;
    projected[to] = vec4<f32>(x.x, y.x, depth.x, 0.0);
    if i + 1u < shape.points {
        projected[to + 1u] = vec4<f32>(x.y, y.y, depth.y, 0.0);
    }
    if i + 2u < shape.points {
        projected[to + 2u] = vec4<f32>(x.z, y.z, depth.z, 0.0);
    }
    if i + 3u < shape.points {
        projected[to + 3u] = vec4<f32>(x.w, y.w, depth.w, 0.0);
    }
}
