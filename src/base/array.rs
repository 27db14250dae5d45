//! Numbers with a shape and named axes.

use std::sync::Arc;

use crate::base::error::{Error, Result};

/// A dense array of `f32` in row-major order with one name per axis, as it goes to panels and files.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What the numbers are, e.g. `pattern.layer0`.
    pub name: String,
    /// Axis names, outermost first, e.g. `["head", "query", "key"]`.
    pub axes: Vec<String>,
    /// Lengths of the axes, same order.
    pub shape: Vec<usize>,
    pub data: Arc<[f32]>,
}

impl Array {
    /// # Errors
    /// When the number of values is not the product of the shape, or axes and shape differ in number.
    pub fn new(
        name: impl Into<String>,
        axes: &[&str],
        shape: &[usize],
        data: impl Into<Arc<[f32]>>,
    ) -> Result<Self> {
        let (name, data) = (name.into(), data.into());
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if axes.len() != shape.len() || count != Some(data.len()) {
            return Err(Error::internal(format!(
                "array {name}: {} values do not fill axes {axes:?} of shape {shape:?}",
                data.len()
            )));
        }
        Ok(Self {
            name,
            axes: axes.iter().map(|a| (*a).to_owned()).collect(),
            shape: shape.to_vec(),
            data,
        })
    }

    /// A single number.
    pub fn scalar(name: impl Into<String>, value: f32) -> Self {
        Self { name: name.into(), axes: vec![], shape: vec![], data: Arc::from([value]) }
    }

    /// The part at `index` of the outermost axis: its shape without that axis.
    pub fn outer(&self, index: usize) -> &[f32] {
        let inner: usize = self.shape.iter().skip(1).product();
        self.data.get(index * inner..(index + 1) * inner).unwrap_or(&[])
    }
}
