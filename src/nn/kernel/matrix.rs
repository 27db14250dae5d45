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
    assert!(fits(out.len(), a.rows, b.columns, out_stride), "a product fits its place");
    #[expect(unsafe_code, reason = "the bounds of the result were asserted above")]
    // SAFETY: `out` has room for the result by the assertion, holds numbers, and cannot overlap `a` and `b` because it
    // is borrowed mutably.
    unsafe {
        multiply_at(out.as_mut_ptr(), out_stride, a, b, scale, into);
    }
}

/// `scale · a · b`, row-major, in memory that is not cleared before.
///
/// # Panics
/// When shapes do not match.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, scale: f32) -> Vec<f32> {
    let count = a.rows * b.columns;
    if a.columns == 0 {
        return vec![0.0; count];
    }
    let mut out = Vec::with_capacity(count);
    #[expect(unsafe_code, reason = "clearing what is written next costs as much as a tenth of it")]
    // SAFETY: there is room for all numbers of the result, and all of them are written before they are counted in.
    unsafe {
        multiply_at(out.as_mut_ptr(), b.columns, a, b, scale, Into::Overwrite);
        out.set_len(count);
    }
    out
}

/// # Safety
/// `out` has room for the rows of the result, `out_stride` apart, overlaps neither `a` nor `b`, and holds numbers if it is
/// added to.
#[expect(unsafe_code, reason = "the matrix product works on pointers")]
unsafe fn multiply_at(
    out: *mut f32,
    out_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    into: Into,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner sizes of a product agree");
    let stride = |s: usize| isize::try_from(s).unwrap_or(isize::MAX);
    // SAFETY: `a` and `b` lie within their slices by construction; for `out` the caller answers.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
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
    /// A square of this side is read and written in whole lines of the cache.
    const SIDE: usize = 16;
    for (i, strip) in x.chunks(SIDE * columns.max(1)).enumerate() {
        let first = i * SIDE;
        let is_whole = strip.len() == SIDE * columns;
        let squares = if is_whole { columns / SIDE * SIDE } else { 0 };
        for c in (0..squares).step_by(SIDE) {
            let mut square = [[0.0; SIDE]; SIDE];
            for (line, row) in square.iter_mut().zip(strip.chunks_exact(columns)) {
                line.copy_from_slice(&row[c..c + SIDE]);
            }
            for column in 0..SIDE {
                let line: [f32; SIDE] = std::array::from_fn(|row| square[row][column]);
                out[(c + column) * rows + first..][..SIDE].copy_from_slice(&line);
            }
        }
        for (row, numbers) in strip.chunks_exact(columns).enumerate() {
            for (column, number) in numbers.iter().enumerate().skip(squares) {
                out[column * rows + first + row] = *number;
            }
        }
    }
}

fn fits(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    rows == 0
        || columns == 0
        || (columns <= row_stride || rows == 1) && (rows - 1) * row_stride + columns <= len
}
