//! Attention: a fused kernel where nobody watches, the plain formula where someone does.

mod seen;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Shape, Tensor, bail};

use super::kernel::attention::{self as kernel, Backward, Gradients, Inputs, Outputs};
use super::kernel::lanes;
use super::kernel::matrix::{Into, Matrix, multiply};
use super::kernel::slice::{Floats, floats, tensor};
use super::tap::{Tap, through};
use crate::base::error::Result;
use crate::base::intervention::{Point, Site};

type CandleResult<T> = candle_core::Result<T>;
type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

pub use super::kernel::mask::{Mask, Sees, Slots};

/// How a layer attends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// For the tap.
    pub layer: usize,
    pub heads: usize,
    /// Heads of keys and values, each of which serves as many heads of queries as there are to one of it.
    pub kv_heads: usize,
    /// Attention logits are `scale · query · key`; mostly 1 / √(dim of a head).
    pub scale: f32,
    /// Scores `s` become `cap · tanh(s / cap)`; only where a network is read, and not trained.
    pub cap: Option<f32>,
    /// Which keys a query sees; queries stand at the last of the keys.
    pub mask: Mask,
    /// For the tap: the keys that every query sees are rows that positions were compressed into, the first of them with this number.
    pub compressed: Option<usize>,
}

impl Attention {
    /// Each position sees itself and those before it, and each head has keys and values of its own.
    pub const fn causal(layer: usize, heads: usize, scale: f32) -> Self {
        let mask = Mask { memory: 0, sees: Sees::Before };
        Self { layer, heads, kv_heads: heads, scale, cap: None, mask, compressed: None }
    }
}

/// What each position attends to: `q` is `[batch, query, head · dim]` with the heads side by side, `k` `[batch, key, kv head ·
/// dim]`, of at least as many positions, and what `values` makes `[batch, key, kv head · value dim]`; the result is `[batch,
/// query, head · value dim]`.
///
/// The tap sees `q`, `k`, `v` and `z` as `[batch, head, pos, dim]`, and scores and pattern as `[batch, head,
/// query, key]`. If it wants one of the latter two they are computed as a whole; otherwise a kernel skips the
/// masked half and never stores the pattern. Values are made after the pattern: a tap that has seen enough by then
/// spares them.
///
/// # Errors
/// When shapes do not fit, or the tap refuses, or those of `values`.
pub fn attend(
    how: Attention,
    q: &Tensor,
    k: &Tensor,
    values: impl FnOnce() -> Result<Tensor>,
    tap: &mut dyn Tap,
) -> Result<Tensor> {
    let q = by_head(tap, how, Point::Q, q)?;
    let k = by_head(tap, how, Point::K, k)?;
    let wants = |point| tap.wants(Site { layer: how.layer, point });
    let watched = wants(Point::Scores) || wants(Point::Pattern);
    let values = |tap: &mut dyn Tap| by_head(tap, how, Point::V, &values()?);
    let is_plain = shape(how, &q, &k, None)?.is_plain() && how.cap.is_none();
    let sees_scores = wants(Point::Scores);
    let is_read = q.device().is_cpu() && !sees_scores && seen::suits(how, &[&q, &k]);
    let z = if is_read && !is_plain && (watched || how.cap.is_some()) {
        read(how, &q, &k, values, tap)?
    } else if !q.device().is_cpu() || how.cap.is_some() || (watched && !is_plain) {
        let v = values(tap)?;
        plain::attend_tapped(how, &q, &k, &v, tap)?.0
    } else if watched {
        plainly(how, &q, &k, values, tap)?
    } else {
        fused(how, &q, &k, &values(tap)?)?
    };
    by_head(tap, how, Point::Z, &z)
}

/// `[batch, pos, head · dim]` as `[batch, head, pos, dim]`.
///
/// # Errors
/// When the heads do not divide the width.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, positions, width) = x.dims3()?;
    Ok(x.reshape((batch, positions, heads, width / heads.max(1)))?.transpose(1, 2)?)
}

/// `[batch, head, pos, dim]` as `[batch, pos, head · dim]`.
///
/// # Errors
/// When `x` has another number of axes.
pub fn merge_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, positions, dim) = x.dims4()?;
    Ok(x.transpose(1, 2)?.reshape((batch, positions, heads * dim))?)
}

fn by_head(tap: &mut dyn Tap, how: Attention, point: Point, x: &Tensor) -> Result<Tensor> {
    if !tap.wants(Site { layer: how.layer, point }) {
        return Ok(x.contiguous()?);
    }
    let heads = if matches!(point, Point::K | Point::V) { how.kv_heads } else { how.heads };
    merge_heads(&through(tap, how.layer, point, split_heads(x, heads)?)?)
}

fn fused(how: Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let op = Fused { shape: shape(how, q, k, Some(v))?, log_sums: OnceLock::new() };
    Ok(q.apply_op3(k, v, op)?)
}

/// What [`plainly`] does, forward alone and under any rule of who sees whom.
fn read(
    how: Attention,
    q: &Tensor,
    k: &Tensor,
    values: impl FnOnce(&mut dyn Tap) -> Result<Tensor>,
    tap: &mut dyn Tap,
) -> Result<Tensor> {
    let pattern = seen::pattern(shape(how, q, k, None)?, how.cap, q, k)?;
    let computed = pattern.id();
    let pattern = through(tap, how.layer, Point::Pattern, pattern)?;
    let whole = pattern.id() != computed;
    let v = values(tap)?.contiguous()?;
    if v.track_op() {
        return plain::mixed(how, &pattern, &v);
    }
    seen::mixed(shape(how, q, k, Some(&v))?, &pattern.contiguous()?, &v, whole)
}

fn plainly(
    how: Attention,
    q: &Tensor,
    k: &Tensor,
    values: impl FnOnce(&mut dyn Tap) -> Result<Tensor>,
    tap: &mut dyn Tap,
) -> Result<Tensor> {
    let shape = shape(how, q, k, None)?;
    let pattern = if tap.wants(Site { layer: how.layer, point: Point::Scores }) {
        let scores = through(tap, how.layer, Point::Scores, q.apply_op2(k, Scores(shape))?)?;
        scores.contiguous()?.apply_op1(CausalSoftmax)?
    } else {
        q.apply_op2(k, Pattern(shape))?
    };
    let computed = pattern.id();
    let pattern = through(tap, how.layer, Point::Pattern, pattern)?;
    let whole = pattern.id() != computed;
    let v = values(tap)?;
    let shape = self::shape(how, q, k, Some(&v))?;
    Ok(pattern.contiguous()?.apply_op2(&v, Mix { shape, whole })?)
}

/// The shape of queries, keys and, where they are known, values.
fn shape(
    how: Attention,
    q: &Tensor,
    k: &Tensor,
    v: Option<&Tensor>,
) -> CandleResult<kernel::Shape> {
    let Attention { heads, kv_heads, scale, mask, .. } = how;
    let ((batch, queries, width), (_, keys, _)) = (q.dims3()?, k.dims3()?);
    let dim = width / heads.max(1);
    let value_dim =
        v.map_or(Ok(dim), |v| Ok::<_, candle_core::Error>(v.dim(2)? / kv_heads.max(1)))?;
    let shape =
        kernel::Shape { batch, queries, keys, heads, kv_heads, dim, value_dim, scale, mask };
    let of_keys = k.dims() == [batch, keys, shape.key_width()];
    let of_values = v.is_none_or(|v| v.dims() == [batch, keys, shape.value_width()]);
    if !shape.fits() || shape.width() != width || !of_keys || !of_values {
        bail!(
            "{heads} heads cannot attend with queries of shape {:?} to {kv_heads} heads of keys of shape {:?} and values of shape {:?}",
            q.dims(),
            k.dims(),
            v.map_or(k.dims(), Tensor::dims)
        )
    }
    Ok(shape)
}

impl kernel::Shape {
    /// Of the result.
    fn of_results(&self) -> Shape {
        Shape::from((self.batch, self.queries, self.z_width()))
    }
}

struct Fused {
    shape: kernel::Shape,
    /// Of each row of the pattern, left behind by the forward pass for the backward pass.
    log_sums: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (q, k, v) = (floats(q, q_layout)?, floats(k, k_layout)?, floats(v, v_layout)?);
        let (mut z, mut log_sums) = (vec![0.0; self.shape.z_len()], vec![0.0; self.shape.rows()]);
        let mut out = Outputs { z: &mut z, log_sums: &mut log_sums };
        kernel::forward(
            self.shape,
            Inputs { q, k, v },
            &mut out,
            &mut vec![0.0; self.shape.scratch()],
        );
        // Set once: an operation is applied once.
        let _ = self.log_sums.set(log_sums);
        Ok((CpuStorage::F32(z), self.shape.of_results()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        z: &Tensor,
        dz: &Tensor,
    ) -> CandleResult<Three> {
        let Some(log_sums) = self.log_sums.get() else {
            bail!("attention goes backward only after it went forward")
        };
        let dz = dz.contiguous()?;
        let zeros = |x: &Tensor| x.track_op().then(|| vec![0.0; x.elem_count()]);
        let [mut dq, mut dk, mut dv] = [zeros(q), zeros(k), zeros(v)];
        {
            let (q, k, v) = (Floats::of(q)?, Floats::of(k)?, Floats::of(v)?);
            let (z, dz) = (Floats::of(z)?, Floats::of(&dz)?);
            let inputs = Inputs { q: &q, k: &k, v: &v };
            let of = Backward { inputs, z: &z, log_sums, dz: &dz };
            let mut out =
                Gradients { q: dq.as_deref_mut(), k: dk.as_deref_mut(), v: dv.as_deref_mut() };
            kernel::backward(self.shape, of, &mut out, &mut vec![0.0; self.shape.scratch()]);
        }
        let give = |g: Option<Vec<f32>>, like: &Tensor| g.map(|g| tensor(g, like)).transpose();
        Ok((give(dq, q)?, give(dk, k)?, give(dv, v)?))
    }
}

/// All logits `[batch, head, query, key]`, scaled, before the mask.
struct Scores(kernel::Shape);

impl CustomOp2 for Scores {
    fn name(&self) -> &'static str {
        "attention scores"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (shape, t) = (self.0, self.0.queries);
        let (q, k) = (floats(q, q_layout)?, floats(k, k_layout)?);
        let mut out = vec![0.0; shape.rows() * t];
        for head in shape.each_head() {
            let (q, k) = (shape.queries(q, head, 0, t), shape.keys(k, head, 0, t));
            let out = &mut out[head.row * t..];
            multiply(out, t, q, k.transposed(), shape.scale, Into::Overwrite);
        }
        Ok((CpuStorage::F32(out), Shape::from((shape.batch, shape.heads, t, t))))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        _scores: &Tensor,
        d_scores: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let (shape, t, width) = (self.0, self.0.queries, self.0.width());
        let d_scores = d_scores.contiguous()?;
        let (ds, q_data, k_data) = (Floats::of(&d_scores)?, Floats::of(q)?, Floats::of(k)?);
        let mut dq = vec![0.0; if q.track_op() { q.elem_count() } else { 0 }];
        let mut dk = vec![0.0; if k.track_op() { k.elem_count() } else { 0 }];
        for head in shape.each_head() {
            let ds = Matrix::new(&ds[head.row * t..][..t * t], t, t);
            if q.track_op() {
                let (k, dq) = (shape.keys(&k_data, head, 0, t), &mut dq[head.queries..]);
                multiply(dq, width, ds, k, shape.scale, Into::Overwrite);
            }
            if k.track_op() {
                let (q, dk) = (shape.queries(&q_data, head, 0, t), &mut dk[head.keys..]);
                multiply(dk, width, ds.transposed(), q, shape.scale, Into::Overwrite);
            }
        }
        let dq = if q.track_op() { Some(tensor(dq, q)?) } else { None };
        let dk = if k.track_op() { Some(tensor(dk, k)?) } else { None };
        Ok((dq, dk))
    }
}

/// Rows of probabilities over the keys up to the query; zero above the diagonal.
struct CausalSoftmax;

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let mut out = floats(scores, layout)?.to_vec();
        let t = layout.dims().last().copied().unwrap_or(1).max(1);
        for (i, row) in out.chunks_exact_mut(t).enumerate() {
            let (seen, masked) = row.split_at_mut(i % t + 1);
            lanes::softmax_row(seen);
            masked.fill(0.0);
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        scores: &Tensor,
        pattern: &Tensor,
        d_pattern: &Tensor,
    ) -> CandleResult<Option<Tensor>> {
        if scores.track_op() { softmax_backward(pattern, d_pattern).map(Some) } else { Ok(None) }
    }
}

/// The numbers of each row of the last axis as shares that sum to 1, by their exponentials.
///
/// # Errors
/// When candle refuses.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return Ok(x.contiguous()?.apply_op1(Softmax)?);
    }
    let weights = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let mut out = floats(x, layout)?.to_vec();
        let width = layout.dims().last().copied().unwrap_or(1).max(1);
        for row in out.chunks_exact_mut(width) {
            lanes::softmax_row(row);
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, shares: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        if x.track_op() { softmax_backward(shares, grad).map(Some) } else { Ok(None) }
    }
}

/// The gradient of scores from that of their softmax.
fn softmax_backward(pattern: &Tensor, d_pattern: &Tensor) -> CandleResult<Tensor> {
    let t = pattern.dims().last().copied().unwrap_or(1).max(1);
    let d_pattern = d_pattern.contiguous()?;
    let (p, g) = (Floats::of(pattern)?, Floats::of(&d_pattern)?);
    let mut out = g.to_vec();
    softmax_back(&p, &mut out, t);
    tensor(out, pattern)
}

/// The same of rows of `width` numbers, in place of the gradient of the shares.
pub(super) fn softmax_back(shares: &[f32], gradient: &mut [f32], width: usize) {
    for (p, g) in shares.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
        let mean = lanes::dot(p, g);
        p.iter().zip(g).for_each(|(p, g)| *g = p * (*g - mean));
    }
}

/// Both at once where nobody watches the scores: most of what is masked is left out.
struct Pattern(kernel::Shape);

impl CustomOp2 for Pattern {
    fn name(&self) -> &'static str {
        "attention pattern"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (shape, t) = (self.0, self.0.queries);
        let all = pattern(shape, floats(q, q_layout)?, floats(k, k_layout)?);
        Ok((CpuStorage::F32(all), Shape::from((shape.batch, shape.heads, t, t))))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        pattern: &Tensor,
        d_pattern: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        Scores(self.0).bwd(q, k, pattern, &softmax_backward(pattern, d_pattern)?)
    }
}

/// `[batch, head, query, key]`, of a plain shape.
pub(super) fn pattern(shape: kernel::Shape, q: &[f32], k: &[f32]) -> Vec<f32> {
    let t = shape.queries;
    let mut all = Vec::with_capacity(shape.rows() * t);
    for head in shape.each_head() {
        for (from, count, seen) in blocks(t, false) {
            let (q, k) = (shape.queries(q, head, from, count), shape.keys(k, head, 0, seen));
            // Cleared block by block, while a block is in the cache.
            all.resize(all.len() + count * t, 0.0);
            let begin = all.len() - count * t;
            let out = &mut all[begin..];
            multiply(out, t, q, k.transposed(), shape.scale, Into::Overwrite);
            for (i, row) in out.chunks_exact_mut(t).enumerate() {
                let (allowed, masked) = row[..seen].split_at_mut(from + i + 1);
                lanes::softmax_row(allowed);
                masked.fill(0.0);
            }
        }
    }
    all
}

/// Values mixed by a pattern, `[batch, query, head · dim]`, of a plain shape; `whole`: what is hidden counts too.
pub(super) fn mix(shape: kernel::Shape, pattern: &[f32], v: &[f32], whole: bool, z: &mut [f32]) {
    let t = shape.queries;
    for head in shape.each_head() {
        for (from, count, seen) in blocks(t, whole) {
            let pattern = Matrix::strided(&pattern[(head.row + from) * t..], count, seen, t);
            let v = shape.values(v, head, 0, seen);
            let z = &mut z[head.results + from * shape.z_width()..];
            multiply(z, shape.z_width(), pattern, v, 1.0, Into::Overwrite);
        }
    }
}

/// First query, queries and keys of products that leave out most of what is masked; all at once if it is wanted too.
fn blocks(positions: usize, whole: bool) -> impl Iterator<Item = (usize, usize, usize)> {
    const BLOCK: usize = 64;
    let size = if whole { positions.max(1) } else { BLOCK };
    (0..positions).step_by(size).map(move |from| {
        let count = size.min(positions - from);
        (from, count, from + count)
    })
}

/// Values mixed by a pattern `[batch, head, query, key]`; where that is whole it may be of any numbers: a tap has
/// changed it.
struct Mix {
    shape: kernel::Shape,
    whole: bool,
}

impl CustomOp2 for Mix {
    fn name(&self) -> &'static str {
        "attended values"
    }

    fn cpu_fwd(
        &self,
        pattern: &CpuStorage,
        pattern_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (pattern, v) = (floats(pattern, pattern_layout)?, floats(v, v_layout)?);
        let mut z = vec![0.0; self.shape.z_len()];
        mix(self.shape, pattern, v, self.whole, &mut z);
        Ok((CpuStorage::F32(z), self.shape.of_results()))
    }

    fn bwd(
        &self,
        pattern: &Tensor,
        v: &Tensor,
        _z: &Tensor,
        dz: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let (shape, t) = (self.shape, self.shape.queries);
        let dz = dz.contiguous()?;
        let (dz, p, v_data) = (Floats::of(&dz)?, Floats::of(pattern)?, Floats::of(v)?);
        let mut dp = vec![0.0; if pattern.track_op() { shape.rows() * t } else { 0 }];
        let mut dv = vec![0.0; if v.track_op() { v.elem_count() } else { 0 }];
        for head in shape.each_head() {
            let dz = shape.results(&dz, head, 0, t);
            if pattern.track_op() {
                let v = shape.values(&v_data, head, 0, t);
                multiply(&mut dp[head.row * t..], t, dz, v.transposed(), 1.0, Into::Overwrite);
            }
            if v.track_op() {
                let p = Matrix::new(&p[head.row * t..][..t * t], t, t);
                let dv = &mut dv[head.values..];
                multiply(dv, shape.value_width(), p.transposed(), dz, 1.0, Into::Overwrite);
            }
        }
        let dp = if pattern.track_op() { Some(tensor(dp, pattern)?) } else { None };
        let dv = if v.track_op() { Some(tensor(dv, v)?) } else { None };
        Ok((dp, dv))
    }
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::{D, Tensor};

    use super::{Attention, Point, Tap, merge_heads, split_heads, through};
    use crate::base::error::Result;
    use crate::nn::tap::Untapped;

    /// The attended values, `[batch, pos, head · dim]`, and the pattern, `[batch, head, query, key]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn attend(how: Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        attend_tapped(how, q, k, v, &mut Untapped)
    }

    /// The same under a tap on scores and pattern: what devices run that have no kernels of ours.
    ///
    /// # Errors
    /// When shapes do not fit, or the tap refuses.
    pub fn attend_tapped(
        how: Attention,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        tap: &mut dyn Tap,
    ) -> Result<(Tensor, Tensor)> {
        let q = split_heads(q, how.heads)?.contiguous()?;
        let k = by_query_head(how, k)?;
        let mut scores = (q.matmul(&k.t()?.contiguous()?)? * f64::from(how.scale))?;
        if let Some(cap) = how.cap {
            scores = capped(&scores, cap)?;
        }
        let scores = through(tap, how.layer, Point::Scores, scores)?;
        let (queries, keys) = (q.dim(2)?, k.dim(2)?);
        let hidden = |i: usize| {
            let (at, key) = (keys - queries + i / keys, i % keys);
            if how.mask.shows(at, key, keys) { 0.0 } else { f32::NEG_INFINITY }
        };
        let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
        let mask = Tensor::from_vec(mask, (queries, keys), scores.device())?;
        let scores = scores.broadcast_add(&mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let pattern = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let pattern = through(tap, how.layer, Point::Pattern, pattern)?.contiguous()?;
        Ok((mixed(how, &pattern, v)?, pattern))
    }

    /// Values mixed by a pattern, `[batch, pos, head · dim]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn mixed(how: Attention, pattern: &Tensor, v: &Tensor) -> Result<Tensor> {
        merge_heads(&pattern.matmul(&by_query_head(how, v)?)?)
    }

    /// `cap · tanh(x / cap)`, number by number.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn capped(x: &Tensor, cap: f32) -> Result<Tensor> {
        Ok(((x / f64::from(cap))?.tanh()? * f64::from(cap))?)
    }

    /// Keys or values as `[batch, head, key, dim]`, each as often as heads of queries share it.
    fn by_query_head(how: Attention, x: &Tensor) -> Result<Tensor> {
        let x = split_heads(x, how.kv_heads)?;
        let (batch, kv_heads, keys, dim) = x.dims4()?;
        let shared = how.heads / kv_heads.max(1);
        let x = x.unsqueeze(2)?.broadcast_as((batch, kv_heads, shared, keys, dim))?;
        Ok(x.reshape((batch, how.heads, keys, dim))?.contiguous()?)
    }
}
