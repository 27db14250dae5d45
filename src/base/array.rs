//! Numbers with a shape and named axes.

use std::sync::Arc;

use crate::base::error::{Error, Result};

/// A dense array of `f32` in row-major order with one name per axis, as it goes to panels and files.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What the numbers are, e.g. `pattern.layer0`.
    pub name: String,
    /// Outermost first, e.g. `["head", "query", "key"]`.
    pub axes: Vec<Axis>,
    /// Lengths of the axes, same order.
    pub shape: Vec<usize>,
    pub data: Arc<[f32]>,
}

/// An axis: what it runs over, and what stands before position 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub name: String,
    /// What stands before position 0, in order: memory tokens (`m0`, `m1`) or cached positions (`-2`, `-1`). Mostly nothing:
    /// from there on a label is the number of a position.
    pub labels: Arc<[String]>,
}

impl Axis {
    /// From 0 on.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: Arc::default() }
    }

    /// Index of position 0.
    pub fn origin(&self) -> usize {
        self.labels.len()
    }

    /// What stands at an index.
    pub fn label(&self, index: usize) -> String {
        match index.checked_sub(self.origin()) {
            None => self.labels[index].clone(),
            Some(position) => position.to_string(),
        }
    }
}

/// An axis goes by its name.
impl PartialEq<&str> for Axis {
    fn eq(&self, name: &&str) -> bool {
        self.name == *name
    }
}

impl Array {
    /// This one minus another, cell by cell; none where the other has another shape.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        let values = || self.data.iter().zip(&*other.data).map(|(a, b)| a - b).collect();
        (self.shape == other.shape).then(|| Self { data: values(), ..self.clone() })
    }

    /// Axes from 0 on.
    ///
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
            axes: axes.iter().map(|a| Axis::new(*a)).collect(),
            shape: shape.to_vec(),
            data,
        })
    }

    /// The array with labels on its last axis, of what stands there before position 0.
    #[must_use]
    pub fn labelled(mut self, labels: Arc<[String]>) -> Self {
        if let Some(last) = self.axes.last_mut() {
            last.labels = labels;
        }
        self
    }

    /// Names of the axes.
    pub fn axis_names(&self) -> Vec<&str> {
        self.axes.iter().map(|axis| axis.name.as_str()).collect()
    }

    /// All labels of the axes that do not begin at position 0, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let labelled = self.axes.iter().zip(&self.shape).filter(|(axis, _)| axis.origin() > 0);
        labelled.map(|(axis, n)| (axis.name.as_str(), (0..*n).map(|i| axis.label(i)).collect()))
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
