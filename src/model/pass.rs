//! One forward pass under edits, and what it leaves: logits and the tensors of some sites.

use candle_core::Tensor;

use super::{Input, Model, Output};
use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::{Captured, EditAndCapture, Part, Tap, Untapped};

/// Logits `[batch, pos, vocab]` and the tensors of `sites`, after the edits. Where the logits are not wanted, the pass
/// ends with the last of those, and there may be none.
///
/// # Errors
/// When the pass fails or an edit names a head or a position that is not there.
pub fn forward(
    model: &dyn Model,
    params: &Params,
    batch: &Batch,
    edits: &[Edit],
    sites: &[Site],
    wants_logits: bool,
) -> Result<(Option<Tensor>, Captured)> {
    let tensors = Tensors::of(batch, params)?;
    let input = tensors.input();
    if sites.is_empty() && edits.is_empty() {
        let Output { logits, .. } = model.forward(params, &input, &mut Untapped)?;
        return Ok((Some(logits), Captured::new()));
    }
    let enough = if wants_logits { usize::MAX } else { sites.len() };
    let bench = EditAndCapture::new(edits.to_vec(), sites.to_vec());
    let mut until = Until { bench, enough, ended: false };
    match model.forward(params, &input, &mut until) {
        Ok(Output { logits, .. }) => Ok((Some(logits), until.bench.captured)),
        Err(_) if until.ended => Ok((None, until.bench.captured)),
        Err(e) => Err(e),
    }
}

/// A tap that ends the forward pass, by refusing to go on, once it has what it is for.
struct Until {
    bench: EditAndCapture,
    /// Tensors to capture.
    enough: usize,
    ended: bool,
}

impl Tap for Until {
    fn wants(&self, site: Site) -> bool {
        self.bench.wants(site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        let x = self.bench.at_part(site, part, x)?;
        self.ended = self.bench.has(self.enough);
        if self.ended { Err(Error::internal("nothing more is asked")) } else { Ok(x) }
    }
}

/// What a forward pass reads of a batch.
pub struct Tensors {
    /// `[batch, pos]`
    tokens: Tensor,
    /// `[batch, pos, inputs]`
    values: Option<Tensor>,
}

impl Tensors {
    pub fn of(batch: &Batch, params: &Params) -> Result<Self> {
        let (shape, device) = ((batch.rows, batch.len), params.device());
        let inputs = batch.values.len() / batch.tokens.len().max(1);
        let values = || Tensor::from_slice(&batch.values, (batch.rows, batch.len, inputs), device);
        Ok(Self {
            tokens: Tensor::from_slice(&batch.tokens, shape, device)?,
            values: (inputs > 0).then(values).transpose()?,
        })
    }

    pub fn input(&self) -> Input<'_> {
        Input { values: self.values.as_ref(), ..Input::new(&self.tokens) }
    }
}
