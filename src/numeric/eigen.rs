//! The eigenvalues of a square matrix of real numbers that need not be symmetric: reduced to Hessenberg form, then QR steps with a
//! shift in complex numbers (Golub and Van Loan, *Matrix Computations*, sections 7.4 and 7.5).

use std::ops::{Add, Div, Mul, Sub};

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex {
    pub re: f64,
    pub im: f64,
}

impl Complex {
    pub fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn conj(self) -> Self {
        Self { im: -self.im, ..self }
    }

    fn sqrt(self) -> Self {
        let size = self.abs();
        let (re, im) =
            (((size + self.re) / 2.0).max(0.0).sqrt(), ((size - self.re) / 2.0).max(0.0));
        Self { re, im: im.sqrt().copysign(self.im) }
    }
}

impl Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let re = self.re * other.re - self.im * other.im;
        Self { re, im: self.re * other.im + self.im * other.re }
    }
}

impl Div<f64> for Complex {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self { re: self.re / by, im: self.im / by }
    }
}

/// The eigenvalues of a matrix `[n, n]`, row-major, the largest in size first; of two that are conjugate, that with the positive imaginary part.
/// `None` where they are not found: there are numbers that are not finite.
///
/// # Panics
/// When the matrix is not square.
pub fn eigenvalues(matrix: &[f64], n: usize) -> Option<Vec<Complex>> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    if matrix.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let mut reduced = matrix.to_vec();
    reduce(&mut reduced, n);
    let mut found =
        Hessenberg { rows: reduced.into_iter().map(Complex::real).collect(), n }.solved()?;
    let largest = found.iter().map(|z| z.abs()).fold(f64::MIN_POSITIVE, f64::max);
    // Rounding must not part what is as large.
    let size = |z: &Complex| (z.abs() / largest * 1e9).round();
    found.sort_by(|a, b| {
        size(b).total_cmp(&size(a)).then(b.im.total_cmp(&a.im)).then(b.re.total_cmp(&a.re))
    });
    Some(found)
}

/// A similar matrix without numbers below the first subdiagonal, by elimination with the largest pivot.
fn reduce(a: &mut [f64], n: usize) {
    for column in 1..n.saturating_sub(1) {
        let size = |row: &usize| a[row * n + column - 1].abs();
        let pivot = (column..n).max_by(|i, j| size(i).total_cmp(&size(j))).unwrap_or(column);
        if a[pivot * n + column - 1] == 0.0 {
            continue;
        }
        for i in 0..n {
            a.swap(pivot * n + i, column * n + i);
        }
        for i in 0..n {
            a.swap(i * n + pivot, i * n + column);
        }
        for row in column + 1..n {
            eliminate(a, n, row, column);
        }
    }
}

/// Makes the number of `row` left of `column` zero, and undoes it on the other side so that eigenvalues stay.
fn eliminate(a: &mut [f64], n: usize, row: usize, column: usize) {
    let factor = a[row * n + column - 1] / a[column * n + column - 1];
    if factor == 0.0 {
        return;
    }
    for i in column - 1..n {
        a[row * n + i] -= factor * a[column * n + i];
    }
    for i in 0..n {
        a[i * n + column] += factor * a[i * n + row];
    }
}

/// QR steps before a search for one eigenvalue is given up; it takes two or three.
const MOST_STEPS: usize = 60;

/// A matrix with one subdiagonal, `[n, n]`.
struct Hessenberg {
    rows: Vec<Complex>,
    n: usize,
}

impl Hessenberg {
    fn at(&self, i: usize, j: usize) -> Complex {
        self.rows[i * self.n + j]
    }

    /// Eigenvalues one by one, from the end of the diagonal.
    fn solved(mut self) -> Option<Vec<Complex>> {
        let (mut found, mut steps) = (Vec::with_capacity(self.n), 0);
        let mut end = self.n;
        while end > 0 {
            let start = self.start_of(end);
            if start + 1 == end {
                found.push(self.at(start, start));
                (end, steps) = (start, 0);
                continue;
            }
            steps += 1;
            if steps > MOST_STEPS {
                return None;
            }
            // Now and then another shift, in case the usual ones go round in a circle.
            let shift = if steps % 10 == 0 {
                Complex::real(self.at(end - 1, end - 2).abs() + self.at(end - 1, end - 1).abs())
            } else {
                self.shift(end)
            };
            self.step(start, end, shift);
        }
        Some(found)
    }

    /// Where the last block begins that no zero of the subdiagonal divides.
    fn start_of(&self, end: usize) -> usize {
        let is_zero = |i: &usize| {
            let beside = self.at(*i - 1, *i - 1).abs() + self.at(*i, *i).abs();
            self.at(*i, *i - 1).abs() <= f64::EPSILON * beside.max(f64::MIN_POSITIVE)
        };
        (1..end).rev().find(is_zero).unwrap_or(0)
    }

    /// The eigenvalue of the last two rows and columns of a block that is nearer to its last number (Wilkinson's shift).
    fn shift(&self, end: usize) -> Complex {
        let [a, b, c, d] = [(2, 2), (2, 1), (1, 2), (1, 1)].map(|(i, j)| self.at(end - i, end - j));
        let half = (a - d) / 2.0;
        let root = (half * half + b * c).sqrt();
        let middle = (a + d) / 2.0;
        let (one, other) = (middle + root, middle - root);
        if (one - d).abs() < (other - d).abs() { one } else { other }
    }

    /// One QR step on the block of rows and columns `start..end`.
    fn step(&mut self, start: usize, end: usize, shift: Complex) {
        let n = self.n;
        (start..end).for_each(|i| self.rows[i * n + i] = self.rows[i * n + i] - shift);
        let turns: Vec<[Complex; 2]> = (start..end - 1).map(|k| self.turn_rows(k, end)).collect();
        for (k, [c, s]) in (start..).zip(turns) {
            for i in start..=k + 1 {
                let (x, y) = (self.at(i, k), self.at(i, k + 1));
                self.rows[i * n + k] = x * c + y * s;
                self.rows[i * n + k + 1] = y * c.conj() - x * s.conj();
            }
        }
        (start..end).for_each(|i| self.rows[i * n + i] = self.rows[i * n + i] + shift);
    }

    /// Turns two rows so that the number below the diagonal becomes zero; cosine and sine of the turn.
    fn turn_rows(&mut self, k: usize, end: usize) -> [Complex; 2] {
        let n = self.n;
        let (a, b) = (self.at(k, k), self.at(k + 1, k));
        let size = a.abs().hypot(b.abs());
        if size == 0.0 {
            return [Complex::real(1.0), Complex::default()];
        }
        let (c, s) = (a / size, b / size);
        for j in k..end {
            let (x, y) = (self.at(k, j), self.at(k + 1, j));
            self.rows[k * n + j] = x * c.conj() + y * s.conj();
            self.rows[(k + 1) * n + j] = y * c - x * s;
        }
        [c, s]
    }
}
