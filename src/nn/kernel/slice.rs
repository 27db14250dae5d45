//! The numbers of a tensor as a slice.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, bail};

/// Read access to the numbers of a contiguous tensor on the CPU; the tensor is locked while it lives.
pub struct Floats<'a> {
    storage: StorageRef<'a>,
    range: (usize, usize),
}

impl<'a> Floats<'a> {
    /// # Errors
    /// When the tensor is not contiguous, not on the CPU or not `f32`.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some(range) = layout.contiguous_offsets() else {
            bail!("a kernel needs a contiguous tensor, got {layout:?}")
        };
        let Storage::Cpu(numbers) = &*storage else { bail!("this kernel runs on the CPU only") };
        numbers.as_slice::<f32>()?;
        Ok(Self { storage, range })
    }
}

impl std::ops::Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // `of` lets nothing else in.
        let Storage::Cpu(CpuStorage::F32(v)) = &*self.storage else { return &[] };
        &v[self.range.0..self.range.1]
    }
}

/// The numbers of an operand of a custom operation.
///
/// # Errors
/// When it is not contiguous or not `f32`.
pub fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("a kernel needs a contiguous tensor, got {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// A tensor of these numbers, outside of any gradient graph.
///
/// # Errors
/// When they do not fill the shape.
pub fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}
