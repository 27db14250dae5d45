//! Exponentials, sums and products of rows, written in lanes so that the compiler vectorises them, and compiled three
//! times: plainly, for AVX2 with FMA, and for AVX-512; the widest that the processor has is chosen when the
//! program runs.

use super::mask::Rows;

/// Numbers worked on side by side: one AVX-512 register.
pub(super) const LANES: usize = 16;

/// Compiles a function body for each level of the processor and picks one at run time.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? => $body:ident) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn wide($($arg: $type),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn medium($($arg: $type),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                {
                    #[expect(unsafe_code, reason = "the processor was just asked for these features")]
                    // SAFETY: all enabled features were detected.
                    return unsafe { wide($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "the processor was just asked for these features")]
                    // SAFETY: all enabled features were detected.
                    return unsafe { medium($($arg),*) };
                }
            }
            $body::<false>($($arg),*)
        }
    };
}
pub(super) use multiversion;

multiversion! {
    /// Turns a row of logits into probabilities in place and returns the logarithm of the sum of their
    /// exponentials.
    pub fn softmax_row(row: &mut [f32]) -> f32 => softmax_row_body
}

multiversion! {
    /// Softmax of scores `[key, query]` in place, with `max.len()` queries: exponentials of what each query sees, relative to its
    /// largest score, 0 for what is hidden. Gives the largest score and the sum of exponentials of each query.
    pub fn softmax_columns(
        scores: &mut [f32],
        keys: Rows,
        max: &mut [f32],
        sum: &mut [f32],
    ) => softmax_columns_body
}

multiversion! {
    /// From scores `[key, query]` and the log-sum-exp of each query to probabilities, in place; and `gradient`
    /// (that of the probabilities) to that of the scores times `scale`: `p · (g − mean) · scale`, where `mean`
    /// is each query's sum of `p · g`. Both are 0 for what is hidden.
    pub fn softmax_columns_backward(
        scores: &mut [f32],
        gradient: &mut [f32],
        keys: Rows,
        log_sum: &[f32],
        mean: &[f32],
        scale: f32,
    ) => softmax_columns_backward_body
}

multiversion! {
    /// `x *= factor`
    pub fn scale(x: &mut [f32], factor: f32) => scale_body
}

multiversion! {
    /// `out[i] = scale · exp(x[i] − shift)`
    pub fn scaled_exp(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) => scaled_exp_body
}

multiversion! {
    /// Largest number of a row and the sum of `exp(x − largest)`.
    pub fn max_and_exp_sum(x: &[f32]) -> (f32, f32) => max_and_exp_sum_body
}

multiversion! {
    /// Sum of products.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 => dot_body
}

multiversion! {
    /// `out += x`
    pub fn add_to(out: &mut [f32], x: &[f32]) => add_to_body
}

multiversion! {
    /// `out = a · b`, number by number
    pub fn product(a: &[f32], b: &[f32], out: &mut [f32]) => product_body
}

multiversion! {
    /// `out[i] += row[i % row.len()] + rest[i]`; an empty `row` or `rest` adds nothing.
    pub fn add_row_and_rest(out: &mut [f32], row: &[f32], rest: &[f32]) => add_row_and_rest_body
}

multiversion! {
    /// Sum of squares in double precision: finite if and only if every number is.
    pub fn square_sum(x: &[f32]) -> f64 => square_sum_body
}

multiversion! {
    /// `out = exp(x)`, to about 1e-7 relative; 0 below exp(-80).
    pub fn exp_all(x: &[f32], out: &mut [f32]) => exp_all_body
}

#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, `mul_add` would be a library call.
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `exp(x)` for `x <= 88`, to about 1e-7 relative. Below -80 it is 0, so that no denormal slows what follows.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough that its multiples are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let safe = if x < -80.0 { -80.0 } else { x };
    let shifted = fma::<FMA>(safe, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(-n, LN2_LOW, fma::<FMA>(-n, LN2_HIGH, safe));
    // Minimax polynomial of Cephes' expf on |r| <= ln(2)/2.
    let mut p = 1.987_569_1e-4;
    p = fma::<FMA>(p, r, 1.398_199_9e-3);
    p = fma::<FMA>(p, r, 8.333_452e-3);
    p = fma::<FMA>(p, r, 4.166_579_6e-2);
    p = fma::<FMA>(p, r, 1.666_666_5e-1);
    p = fma::<FMA>(p, r, 0.5);
    p = fma::<FMA>(p, r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    // Written so that a NaN stays one.
    if x < -80.0 { 0.0 } else { p * power }
}

/// `out = f(a, b)`, number by number. One row is written at a time, so that the compiler sees that no other is, and vectorises.
#[inline(always)]
pub(super) fn each2(out: &mut [f32], [a, b]: [&[f32]; 2], f: impl Fn(f32, f32) -> f32) {
    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *o = f(a, b);
    }
}

/// The same of three rows.
#[inline(always)]
pub(super) fn each3(out: &mut [f32], [a, b, c]: [&[f32]; 3], f: impl Fn(f32, f32, f32) -> f32) {
    for (((o, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *o = f(a, b, c);
    }
}

/// The same of four rows.
#[inline(always)]
pub(super) fn each4(
    out: &mut [f32],
    [a, b, c, d]: [&[f32]; 4],
    f: impl Fn(f32, f32, f32, f32) -> f32,
) {
    for ((((o, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *o = f(a, b, c, d);
    }
}

#[inline(always)]
fn exp_all_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = exp::<FMA>(x);
    }
}

#[inline(always)]
fn max_of(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (m, &x) in lanes.iter_mut().zip(chunk) {
            *m = if x > *m { x } else { *m };
        }
    }
    let rest = chunks.remainder();
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
}

/// Adds the lanes up pairwise, always in the same order.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn softmax_row_body<const FMA: bool>(row: &mut [f32]) -> f32 {
    let max = max_of(row);
    let mut lanes = [0.0; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, x) in lanes.iter_mut().zip(chunk) {
            *x = exp::<FMA>(*x - max);
            *sum += *x;
        }
    }
    for (sum, x) in lanes.iter_mut().zip(chunks.into_remainder()) {
        *x = exp::<FMA>(*x - max);
        *sum += *x;
    }
    let sum = sum_lanes(lanes);
    let inverse = 1.0 / sum;
    for x in row.iter_mut() {
        *x *= inverse;
    }
    max + sum.ln()
}

#[inline(always)]
fn max_and_exp_sum_body<const FMA: bool>(x: &[f32]) -> (f32, f32) {
    let max = max_of(x);
    let mut lanes = [0.0; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, x) in lanes.iter_mut().zip(chunk) {
            *sum += exp::<FMA>(*x - max);
        }
    }
    for (sum, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *sum += exp::<FMA>(*x - max);
    }
    (max, sum_lanes(lanes))
}

#[inline(always)]
fn softmax_columns_body<const FMA: bool>(
    scores: &mut [f32],
    keys: Rows,
    max: &mut [f32],
    sum: &mut [f32],
) {
    max.fill(f32::NEG_INFINITY);
    sum.fill(0.0);
    let queries = max.len();
    for (key, row) in scores.chunks_exact(queries).enumerate() {
        let (first, last) = keys.queries(key, queries);
        for (m, &x) in max[first..last].iter_mut().zip(&row[first..last]) {
            *m = if x > *m { x } else { *m };
        }
    }
    for (key, row) in scores.chunks_exact_mut(queries).enumerate() {
        let (first, last) = keys.queries(key, queries);
        row[..first].fill(0.0);
        row[last..].fill(0.0);
        let of_query = max[first..last].iter().zip(&mut sum[first..last]);
        for (x, (&m, sum)) in row[first..last].iter_mut().zip(of_query) {
            *x = exp::<FMA>(*x - m);
            *sum += *x;
        }
    }
}

#[inline(always)]
fn softmax_columns_backward_body<const FMA: bool>(
    scores: &mut [f32],
    gradient: &mut [f32],
    keys: Rows,
    log_sum: &[f32],
    mean: &[f32],
    scale: f32,
) {
    let queries = mean.len();
    let rows = scores.chunks_exact_mut(queries).zip(gradient.chunks_exact_mut(queries));
    for (key, (p, g)) in rows.enumerate() {
        let (first, last) = keys.queries(key, queries);
        for hidden in [&mut *p, &mut *g] {
            hidden[..first].fill(0.0);
            hidden[last..].fill(0.0);
        }
        let of_query = log_sum[first..last].iter().zip(&mean[first..last]);
        let seen = p[first..last].iter_mut().zip(&mut g[first..last]);
        for ((p, g), (&log_sum, &mean)) in seen.zip(of_query) {
            *p = exp::<FMA>(*p - log_sum);
            *g = *p * (*g - mean) * scale;
        }
    }
}

#[inline(always)]
fn scale_body<const FMA: bool>(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

#[inline(always)]
fn scaled_exp_body<const FMA: bool>(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = scale * exp::<FMA>(x - shift);
    }
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (mut a_chunks, mut b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a_chunks).zip(&mut b_chunks) {
        for ((sum, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *sum = fma::<FMA>(a, b, *sum);
        }
    }
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (sum, (&a, &b)) in lanes.iter_mut().zip(rest) {
        *sum = fma::<FMA>(a, b, *sum);
    }
    sum_lanes(lanes)
}

#[inline(always)]
fn add_to_body<const FMA: bool>(out: &mut [f32], x: &[f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o += x;
    }
}

#[inline(always)]
fn product_body<const FMA: bool>(a: &[f32], b: &[f32], out: &mut [f32]) {
    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *o = a * b;
    }
}

#[inline(always)]
fn square_sum_body<const FMA: bool>(x: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, &x) in lanes.iter_mut().zip(chunk) {
            let x = f64::from(x);
            *sum = if FMA { x.mul_add(x, *sum) } else { x * x + *sum };
        }
    }
    let rest = chunks.remainder().iter().map(|&x| f64::from(x) * f64::from(x));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

#[inline(always)]
fn add_row_and_rest_body<const FMA: bool>(out: &mut [f32], row: &[f32], rest: &[f32]) {
    match (row.is_empty(), rest.is_empty()) {
        (true, true) => {}
        (true, false) => add_to_body::<FMA>(out, rest),
        (false, true) => {
            for out in out.chunks_exact_mut(row.len()) {
                add_to_body::<FMA>(out, row);
            }
        }
        (false, false) => {
            let rows = out.chunks_exact_mut(row.len()).zip(rest.chunks_exact(row.len()));
            for (out, rest) in rows {
                for ((o, x), r) in out.iter_mut().zip(row).zip(rest) {
                    *o += x + r;
                }
            }
        }
    }
}
