//! Named arrays as a NumPy archive.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::record::array::Array;
use crate::record::error::{Error, Result};

/// Writes arrays as `numpy.load(path)[name]` finds them, in order, and `about` (JSON text) as an array of bytes
/// called `about`: `json.loads(numpy.load(path)["about"].tobytes())`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_npz(path: &Path, arrays: &[Array], about: &str) -> Result<()> {
    let mut members = Vec::with_capacity(arrays.len() + 1);
    for array in arrays {
        let tensor = Tensor::from_slice(&array.data, array.shape.as_slice(), &Device::Cpu)?;
        members.push((array.name.clone(), tensor));
    }
    members.push((
        "about".to_owned(),
        Tensor::from_slice(about.as_bytes(), about.len(), &Device::Cpu)?,
    ));
    Tensor::write_npz(&members, path)
        .map_err(|e| Error::system(format!("writing {}: {e}", path.display())))
}
