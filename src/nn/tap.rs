//! Watch and change a forward pass. The watcher is an argument, so nothing has to be removed afterwards.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::record::error::{Error, Result};
use crate::record::intervention::{Intervention, Point, Site};

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

/// Carries out interventions and keeps the tensors of some sites (after the interventions).
#[derive(Default)]
pub struct Bench {
    interventions: Vec<Intervention>,
    keep: Vec<Site>,
    pub captured: Captured,
}

impl Bench {
    pub fn new(interventions: &[Intervention], keep: Vec<Site>) -> Self {
        let interventions = interventions.iter().filter(|i| i.changes_forward()).cloned().collect();
        Self { interventions, keep, captured: Captured::new() }
    }
}

impl Tap for Bench {
    fn wants(&self, site: Site) -> bool {
        self.keep.contains(&site)
            || self
                .interventions
                .iter()
                .any(|i| matches!(i, Intervention::Zero { site: s, .. } if *s == site))
    }

    fn at(&mut self, site: Site, mut x: Tensor) -> Result<Tensor> {
        for intervention in &self.interventions {
            if let Intervention::Zero { site: s, head, position } = intervention
                && *s == site
            {
                x = zeroed(&x, site, *head, *position)
                    .map_err(|e| e.context(format!("intervention \"{intervention}\"")))?;
            }
        }
        if self.keep.contains(&site) {
            self.captured.insert(site, x.detach());
        }
        Ok(x)
    }
}

/// `x` with one head (or all) and one position (or all) set to zero; others untouched bit for bit.
fn zeroed(x: &Tensor, site: Site, head: Option<usize>, position: Option<usize>) -> Result<Tensor> {
    let dims = x.dims();
    let by_head = site.point.by_head();
    if head.is_some() && !by_head {
        return Err(Error::usage(format!("{site} has no heads")));
    }
    let position_axis = if by_head { 2 } else { 1 };
    for (what, wanted, axis) in [("head", head, 1), ("position", position, position_axis)] {
        if wanted.is_some_and(|w| w >= dims[axis]) {
            return Err(Error::usage(format!(
                "{what} {} asked for, {site} has {}",
                wanted.unwrap_or(0),
                dims[axis]
            )));
        }
    }
    let mut shape = vec![1; dims.len()];
    let (heads, positions) = (if by_head { dims[1] } else { 1 }, dims[position_axis]);
    if by_head {
        shape[1] = heads;
    }
    shape[position_axis] = positions;
    let keep: Vec<u8> = (0..heads * positions)
        .map(|i| {
            let (h, p) = (i / positions, i % positions);
            u8::from(head.is_some_and(|w| w != h) || position.is_some_and(|w| w != p))
        })
        .collect();
    let keep = Tensor::from_vec(keep, shape, x.device())?.broadcast_as(dims)?;
    Ok(keep.where_cond(x, &x.zeros_like()?)?)
}
