//! Matrix products on one thread, with strides, so that nothing is copied to be transposed.

use gemm::Parallelism;

/// A matrix somewhere in a slice: element (r, c) lies at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major, rows following each other.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Row-major, with `row_stride` from one row to the next.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, row_stride), "a matrix lies within its slice");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transpose, by exchanging strides.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// What a product does with the numbers that are already there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Overwrite,
    Add,
}

/// `out = scale · a · b` or `out += scale · a · b`; `out` is row-major with `out_stride` from row to row.
///
/// # Panics
/// When shapes do not match or `out` is too short.
pub fn multiply(
    out: &mut [f32],
    out_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    into: Into,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner sizes of a product agree");
    assert!(fits(out.len(), m, n, out_stride), "a product fits its place");
    let stride = |s: usize| isize::try_from(s).unwrap_or(isize::MAX);
    #[expect(unsafe_code, reason = "the bounds of all three matrices were asserted above")]
    // SAFETY: `a` and `b` lie within their slices by construction, `out` within its by the assertion, and
    // `out` cannot overlap them because it is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride(out_stride),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Writes the transpose of `x`, `[rows, columns]`, row-major.
pub fn transpose(x: &[f32], rows: usize, columns: usize, out: &mut [f32]) {
    /// Squares of this side are read and written within the nearest cache.
    const SIDE: usize = 16;
    for r in (0..rows).step_by(SIDE) {
        for c in (0..columns).step_by(SIDE) {
            for column in c..columns.min(c + SIDE) {
                for row in r..rows.min(r + SIDE) {
                    out[column * rows + row] = x[row * columns + column];
                }
            }
        }
    }
}

fn fits(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    rows == 0
        || columns == 0
        || (columns <= row_stride || rows == 1) && (rows - 1) * row_stride + columns <= len
}
