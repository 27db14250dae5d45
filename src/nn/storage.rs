//! Plain slices out of candle's storage, for operations written by hand.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// The numbers of a contiguous `f32` tensor on the CPU, borrowed from its storage for a while.
///
/// # Errors
/// When the tensor is not contiguous, not on the CPU or not of `f32`.
pub fn read(x: &Tensor) -> Result<impl Deref<Target = [f32]>> {
    let (storage, layout) = x.storage_and_layout();
    let count = match &*storage {
        Storage::Cpu(cpu) => floats(cpu, layout)?.len(),
        _ => candle_core::bail!("expected a tensor on the CPU"),
    };
    let from = layout.start_offset();
    Ok(Floats { storage, range: from..from + count })
}

struct Floats<Guard> {
    storage: Guard,
    range: Range<usize>,
}

impl<Guard: Deref<Target = Storage>> Deref for Floats<Guard> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(all)) => &all[self.range.clone()],
            // `read` lets nothing else in.
            _ => &[],
        }
    }
}

/// The numbers of one argument of a custom operation.
///
/// # Errors
/// When they are not contiguous or not of `f32`.
pub fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => candle_core::bail!("expected a contiguous tensor, got {layout:?}"),
    }
}

/// A tensor of these numbers, next to `like` and of its shape.
///
/// # Errors
/// When the numbers do not fill the shape.
pub fn shaped_like(like: &Tensor, numbers: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(numbers, like.shape(), like.device())
}
