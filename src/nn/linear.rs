//! Linear maps and embeddings, with hand-written gradients that are computed only for what is trained.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Shape, Storage, Tensor, bail};
use half::slice::HalfFloatSliceExt;

use super::kernel::lanes::add_to;
use super::kernel::matrix::{Into, Matrix, multiply, product};
use super::kernel::slice::{Floats, floats, tensor};
use crate::base::error::{Error, Result};

type CandleResult<T> = candle_core::Result<T>;

/// `x · wᵀ + bias`: `x` is `[.., in]`, `w` is `[out, in]` (as in torch), of whatever numbers, its rows or its columns one after the other;
/// `bias` is `[out]`; gives `[.., out]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain::linear(x, w, bias);
    }
    let x = x.contiguous()?;
    if w.dtype() != DType::F32 {
        return of_halves(&x, w, bias);
    }
    // Only what goes backward needs the rows in order.
    let is_forward = !x.track_op() && !w.track_op();
    let w = if is_forward && w.stride().first() == Some(&1) { w.clone() } else { w.contiguous()? };
    Ok(match bias {
        None => x.apply_op2(&w, Linear)?,
        Some(bias) => x.apply_op3(&w, &bias.contiguous()?, LinearWithBias)?,
    })
}

/// [`linear`] with a matrix of half precision, of which some rows are `f32` at a time.
fn of_halves(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    /// Numbers of a block: 1 MB, which stays in the cache.
    const BLOCK: usize = 1 << 18;
    let sizes = Sizes::of(x.dims(), w.dims())?;
    let mut out = match bias {
        None => vec![0.0; sizes.rows * sizes.outputs],
        Some(bias) => Floats::of(bias)?.repeat(sizes.rows),
    };
    let numbers = Floats::of(x)?;
    let rows = (BLOCK / sizes.inputs.max(1)).max(1);
    for from in (0..sizes.outputs).step_by(rows) {
        let count = rows.min(sizes.outputs - from);
        let block = widened(&w.narrow(0, from, count)?)?;
        let block = Floats::of(&block)?;
        let (x, w) = Sizes { outputs: count, ..sizes }.factors(&numbers, &block);
        multiply(&mut out[from..], sizes.outputs, x, w, 1.0, Into::Add);
    }
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = sizes.outputs;
    }
    Ok(Tensor::from_vec(out, shape, x.device())?)
}

/// A tensor of whatever numbers as one of `f32`, contiguous.
///
/// # Errors
/// When candle refuses.
pub fn widened(x: &Tensor) -> Result<Tensor> {
    let (storage, layout) = x.storage_and_layout();
    let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
        return Ok(x.to_dtype(DType::F32)?.contiguous()?);
    };
    let mut out = vec![0.0; to - from];
    if let CpuStorage::F16(halves) = storage {
        halves[from..to].convert_to_f32_slice(&mut out);
    } else if let CpuStorage::BF16(halves) = storage {
        halves[from..to].convert_to_f32_slice(&mut out);
    } else {
        return Ok(x.to_dtype(DType::F32)?);
    }
    Ok(Tensor::from_vec(out, x.shape(), x.device())?)
}

/// Some rows of a matrix of whatever numbers, its rows or its columns one after the other, of `f32`: `[row, width]`.
///
/// # Errors
/// When it has no such row.
pub fn rows_of(table: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let rows = Tensor::from_slice(rows, rows.len(), table.device())?;
    let found = match table.is_contiguous() {
        true => table.index_select(&rows, 0)?,
        false => table.t()?.index_select(&rows, 1)?.t()?,
    };
    Ok(found.to_dtype(DType::F32)?.contiguous()?)
}

/// `residual + x · wᵀ`: a linear map that writes into a residual stream, without a copy in between.
/// `residual` is `[.., out]`, `x` is `[.., in]`, `w` is `[out, in]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn linear_into(residual: &Tensor, x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain::linear_into(residual, x, w);
    }
    Ok(residual.contiguous()?.apply_op3(&x.contiguous()?, &w.contiguous()?, LinearInto)?)
}

/// `a + b`, of the same shape: candle's own sum computes gradients of frozen terms as well.
///
/// # Errors
/// When the shapes differ.
pub fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !a.device().is_cpu() {
        return Ok((a + b)?);
    }
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, Sum)?)
}

/// Rows of a table: `table` is `[vocab, dim]`, `tokens` is `u32` of any shape `[..]`; gives `[.., dim]`.
///
/// # Errors
/// When a token is none of the table's.
pub fn embed(table: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    check_tokens(table.dim(0)?, tokens)?;
    if !table.device().is_cpu() {
        return plain::embed(table, tokens);
    }
    Ok(table.contiguous()?.apply_op2(&tokens.contiguous()?, Embed)?)
}

/// Rows of a token table plus rows of a position table: `tokens` is `[batch, pos]`, `table` is `[vocab, dim]`,
/// `positions` is `[length, dim]` with `length >= pos`; gives `[batch, pos, dim]`.
///
/// # Errors
/// When a token is none of the table's, or there are more positions than the table has.
pub fn embed_with_positions(table: &Tensor, positions: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    check_tokens(table.dim(0)?, tokens)?;
    let (_, length) = tokens.dims2()?;
    if length > positions.dim(0)? {
        return Err(Error::usage(format!(
            "a sequence of {length} tokens is longer than the {} positions of this network; shorten it",
            positions.dim(0)?
        )));
    }
    if !table.device().is_cpu() {
        return plain::embed_with_positions(table, positions, tokens);
    }
    let (table, positions, tokens) =
        (table.contiguous()?, positions.contiguous()?, tokens.contiguous()?);
    Ok(table.apply_op3(&positions, &tokens, EmbedWithPositions)?)
}

/// That all tokens are rows of a table of so many.
pub(super) fn check_tokens(vocab: usize, tokens: &Tensor) -> Result<()> {
    if tokens.dtype() != DType::U32 {
        return Err(Error::internal(format!("tokens are u32, got {:?}", tokens.dtype())));
    }
    let tokens = tokens.contiguous()?;
    let (storage, layout) = tokens.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return Ok(()) };
    match ids(storage, layout)?.iter().find(|&&t| t as usize >= vocab) {
        None => Ok(()),
        Some(t) => Err(Error::usage(format!(
            "token {t} is none of the {vocab} tokens of this network; use tokens 0 to {}",
            vocab.saturating_sub(1)
        ))),
    }
}

fn ids<'a>(storage: &'a CpuStorage, layout: &Layout) -> CandleResult<&'a [u32]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("a kernel needs contiguous tokens, got {layout:?}")
    };
    Ok(&storage.as_slice::<u32>()?[from..to])
}

/// A matrix whose rows or whose columns lie one after the other.
fn matrix<'a>(storage: &'a CpuStorage, layout: &Layout) -> CandleResult<Matrix<'a>> {
    let (rows, columns) = layout.shape().dims2()?;
    if layout.is_contiguous() {
        return Ok(Matrix::new(floats(storage, layout)?, rows, columns));
    }
    match layout.stride() {
        [1, stride] => {
            let numbers = &storage.as_slice::<f32>()?[layout.start_offset()..];
            Ok(Matrix::strided(numbers, columns, rows, *stride).transposed())
        }
        _ => bail!("a kernel needs a matrix in rows or in columns, got {layout:?}"),
    }
}

/// Rows, inputs and outputs of a linear map.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn of(x: &[usize], w: &[usize]) -> CandleResult<Self> {
        match (x, w) {
            ([batch @ .., inputs], [outputs, i]) if i == inputs => {
                Ok(Self { rows: batch.iter().product(), inputs: *inputs, outputs: *outputs })
            }
            _ => {
                bail!("a linear map of shape {w:?} ([out, in]) cannot read an input of shape {x:?}")
            }
        }
    }

    fn out_shape(self, x: &Layout) -> Shape {
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.outputs;
        }
        Shape::from(dims)
    }

    fn forward_into(self, x: &[f32], w: &[f32], out: &mut [f32]) {
        let (x, w) = self.factors(x, w);
        multiply(out, self.outputs, x, w, 1.0, Into::Add);
    }

    fn factors<'a>(self, x: &'a [f32], w: &'a [f32]) -> (Matrix<'a>, Matrix<'a>) {
        let w = Matrix::new(w, self.outputs, self.inputs).transposed();
        (Matrix::new(x, self.rows, self.inputs), w)
    }

    /// Gradients of `x` and `w`, each only if the tensor is part of the graph.
    fn backward(
        self,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dy = Floats::of(&dy)?;
        let dy = Matrix::new(&dy, self.rows, self.outputs);
        let dx = if x.track_op() {
            let mut dx = vec![0.0; self.rows * self.inputs];
            let w = Floats::of(w)?;
            let w = Matrix::new(&w, self.outputs, self.inputs);
            multiply(&mut dx, self.inputs, dy, w, 1.0, Into::Overwrite);
            Some(tensor(dx, x)?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let mut dw = vec![0.0; self.outputs * self.inputs];
            let x = Floats::of(x)?;
            let x = Matrix::new(&x, self.rows, self.inputs);
            multiply(&mut dw, self.inputs, dy.transposed(), x, 1.0, Into::Overwrite);
            Some(tensor(dw, w)?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let sizes = Sizes::of(x_layout.dims(), w_layout.dims())?;
        let x = Matrix::new(floats(x, x_layout)?, sizes.rows, sizes.inputs);
        let out = product(x, matrix(w, w_layout)?.transposed(), 1.0);
        Ok((CpuStorage::F32(out), sizes.out_shape(x_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        Sizes::of(x.dims(), w.dims())?.backward(x, w, dy)
    }
}

struct LinearWithBias;

impl CustomOp3 for LinearWithBias {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let sizes = Sizes::of(x_layout.dims(), w_layout.dims())?;
        let bias = floats(bias, bias_layout)?;
        if bias.len() != sizes.outputs {
            bail!("a linear map with {} outputs cannot add {} biases", sizes.outputs, bias.len())
        }
        let mut out = bias.repeat(sizes.rows);
        let x = Matrix::new(floats(x, x_layout)?, sizes.rows, sizes.inputs);
        let w = matrix(w, w_layout)?.transposed();
        multiply(&mut out, sizes.outputs, x, w, 1.0, Into::Add);
        Ok((CpuStorage::F32(out), sizes.out_shape(x_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = Sizes::of(x.dims(), w.dims())?.backward(x, w, dy)?;
        let db = if bias.track_op() { Some(column_sums(dy, bias)?) } else { None };
        Ok((dx, dw, db))
    }
}

fn column_sums(dy: &Tensor, like: &Tensor) -> CandleResult<Tensor> {
    let dy = dy.contiguous()?;
    let dy = Floats::of(&dy)?;
    let mut sums = vec![0.0; like.elem_count()];
    for row in dy.chunks_exact(sums.len().max(1)) {
        add_to(&mut sums, row);
    }
    tensor(sums, like)
}

struct LinearInto;

impl CustomOp3 for LinearInto {
    fn name(&self) -> &'static str {
        "linear into residual"
    }

    fn cpu_fwd(
        &self,
        residual: &CpuStorage,
        residual_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let sizes = Sizes::of(x_layout.dims(), w_layout.dims())?;
        let shape = sizes.out_shape(x_layout);
        if shape.dims() != residual_layout.dims() {
            bail!("cannot add {:?} to a residual of {:?}", shape, residual_layout.dims())
        }
        let mut out = floats(residual, residual_layout)?.to_vec();
        sizes.forward_into(floats(x, x_layout)?, floats(w, w_layout)?, &mut out);
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        residual: &Tensor,
        x: &Tensor,
        w: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = Sizes::of(x.dims(), w.dims())?.backward(x, w, dy)?;
        Ok((residual.track_op().then(|| dy.clone()), dx, dw))
    }
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        if a_layout.dims() != b_layout.dims() {
            bail!("cannot add {:?} and {:?}", a_layout.dims(), b_layout.dims())
        }
        let (a, b) = (floats(a, a_layout)?, floats(b, b_layout)?);
        let out = a.iter().zip(b).map(|(a, b)| a + b).collect();
        Ok((CpuStorage::F32(out), a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _out: &Tensor,
        d_sum: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        Ok((a.track_op().then(|| d_sum.clone()), b.track_op().then(|| d_sum.clone())))
    }
}

struct Embed;

impl CustomOp2 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (table, tokens) = (floats(table, table_layout)?, ids(tokens, tokens_layout)?);
        let dim = table_layout.dims()[1];
        let mut out = Vec::with_capacity(tokens.len() * dim);
        for &token in tokens {
            out.extend_from_slice(&table[token as usize * dim..][..dim]);
        }
        let mut dims = tokens_layout.dims().to_vec();
        dims.push(dim);
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }

    fn bwd(
        &self,
        table: &Tensor,
        tokens: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let d_table = if table.track_op() { Some(scatter(table, tokens, dy)?) } else { None };
        Ok((d_table, None))
    }
}

/// Adds each row of `dy` to the row of its token, in the order of the tokens.
fn scatter(table: &Tensor, tokens: &Tensor, dy: &Tensor) -> CandleResult<Tensor> {
    let dy = dy.contiguous()?;
    let dy = Floats::of(&dy)?;
    let dim = table.dim(1)?;
    let mut out = vec![0.0; table.elem_count()];
    let tokens = tokens.flatten_all()?.to_vec1::<u32>()?;
    for (&token, row) in tokens.iter().zip(dy.chunks_exact(dim)) {
        add_to(&mut out[token as usize * dim..][..dim], row);
    }
    tensor(out, table)
}

struct EmbedWithPositions;

impl CustomOp3 for EmbedWithPositions {
    fn name(&self) -> &'static str {
        "embed with positions"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        positions: &CpuStorage,
        positions_layout: &Layout,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (table, positions) =
            (floats(table, table_layout)?, floats(positions, positions_layout)?);
        let tokens = ids(tokens, tokens_layout)?;
        let (batch, length) = (tokens_layout.dims()[0], tokens_layout.dims()[1]);
        let dim = table_layout.dims()[1];
        let mut out = Vec::with_capacity(tokens.len() * dim);
        for sequence in tokens.chunks_exact(length.max(1)) {
            for (&token, position) in sequence.iter().zip(positions.chunks_exact(dim)) {
                let row = &table[token as usize * dim..][..dim];
                out.extend(row.iter().zip(position).map(|(e, p)| e + p));
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, length, dim))))
    }

    fn bwd(
        &self,
        table: &Tensor,
        positions: &Tensor,
        tokens: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_table = if table.track_op() { Some(scatter(table, tokens, dy)?) } else { None };
        let d_positions = if positions.track_op() {
            let dy = dy.contiguous()?;
            let dy = Floats::of(&dy)?;
            let mut out = vec![0.0; positions.elem_count()];
            let sequence = tokens.dim(1)? * positions.dim(1)?;
            for rows in dy.chunks_exact(sequence.max(1)) {
                add_to(&mut out[..sequence], rows);
            }
            Some(tensor(out, positions)?)
        } else {
            None
        };
        Ok((d_table, d_positions, None))
    }
}

/// The same in candle's own operations: what the kernels are tested against.
pub mod plain {
    use candle_core::Tensor;

    use crate::base::error::Result;

    /// # Errors
    /// When the shapes do not fit.
    pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let out = x.broadcast_matmul(&w.t()?)?;
        Ok(match bias {
            None => out,
            Some(bias) => out.broadcast_add(bias)?,
        })
    }

    /// # Errors
    /// When the shapes do not fit.
    pub fn linear_into(residual: &Tensor, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        Ok((residual + linear(x, w, None)?)?)
    }

    /// # Errors
    /// When a token is none of the table's.
    pub fn embed(table: &Tensor, tokens: &Tensor) -> Result<Tensor> {
        let rows = table.index_select(&tokens.flatten_all()?, 0)?;
        Ok(rows.reshape([tokens.dims(), &[table.dim(1)?]].concat())?)
    }

    /// # Errors
    /// When a token is none of the table's, or there are more positions than the table has.
    pub fn embed_with_positions(
        table: &Tensor,
        positions: &Tensor,
        tokens: &Tensor,
    ) -> Result<Tensor> {
        Ok(embed(table, tokens)?.broadcast_add(&positions.narrow(0, 0, tokens.dim(1)?)?)?)
    }
}
