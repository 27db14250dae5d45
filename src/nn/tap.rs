//! Watch and change a forward pass. The watcher is an argument, so nothing has to be removed afterwards.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::edit::Edit;
use crate::record::error::Result;
use crate::record::intervention::{Point, Site};

/// Sees, and may replace, every tensor of a forward pass that it wants.
pub trait Tap {
    /// False lets the model take a fused kernel past this point.
    fn wants(&self, site: Site) -> bool;
    /// What goes on instead of `x`; only called where `wants` is true.
    ///
    /// # Errors
    /// When the replacement cannot be computed.
    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor>;
}

/// Passes `x` through the tap if the tap wants it.
///
/// # Errors
/// Those of the tap.
pub fn through(tap: &mut dyn Tap, layer: usize, point: Point, x: Tensor) -> Result<Tensor> {
    let site = Site { layer, point };
    if tap.wants(site) { tap.at(site, x) } else { Ok(x) }
}

/// Wants nothing: the fast path.
pub struct Untapped;

impl Tap for Untapped {
    fn wants(&self, _site: Site) -> bool {
        false
    }

    fn at(&mut self, _site: Site, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }
}

/// Tensors of a forward pass, by where they were.
pub type Captured = BTreeMap<Site, Tensor>;

/// Carries out edits and keeps the tensors of some sites (after the edits).
#[derive(Default)]
pub struct Bench {
    edits: Vec<Edit>,
    keep: Vec<Site>,
    pub captured: Captured,
}

impl Bench {
    pub fn new(edits: Vec<Edit>, keep: Vec<Site>) -> Self {
        Self { edits, keep, captured: Captured::new() }
    }
}

impl Tap for Bench {
    fn wants(&self, site: Site) -> bool {
        self.keep.contains(&site) || self.edits.iter().any(|edit| edit.site == site)
    }

    fn at(&mut self, site: Site, mut x: Tensor) -> Result<Tensor> {
        for edit in self.edits.iter().filter(|edit| edit.site == site) {
            x = edit.apply(&x)?;
        }
        if self.keep.contains(&site) {
            self.captured.insert(site, x.detach());
        }
        Ok(x)
    }
}
