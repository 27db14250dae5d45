//! One forward pass, under edits or on a tape, and what it leaves: logits and the tensors of some sites.

use candle_core::Tensor;

use super::{Input, Model, Output};
use crate::base::batch::Batch;
use crate::base::error::Result;
use crate::base::intervention::Site;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::{Captured, Untapped, Until};
use crate::nn::tape::{Numbers, Tape};

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
    let mut until = Until::new(edits.to_vec(), sites, wants_logits);
    match model.forward(params, &input, &mut until) {
        Ok(Output { logits, .. }) => Ok((Some(logits), until.bench.captured)),
        Err(_) if until.is_ended => Ok((None, until.bench.captured)),
        Err(e) => Err(e),
    }
}

/// The same on a tape, where nobody edits; `None`: the model has none. Logits of positions that do not count in `reads` may
/// be left out: they are NaN then.
pub fn on_tape(
    model: &dyn Model,
    numbers: &Numbers<'_>,
    (batch, reads): (&Batch, &[f32]),
    sites: &[Site],
    wants_logits: bool,
) -> Result<Option<(Option<Tensor>, Captured)>> {
    let mut tape = Tape::new(numbers, batch, reads).keeping(sites, wants_logits);
    match model.record(&mut tape) {
        Ok(false) => Ok(None),
        Err(e) if !tape.is_ended() => Err(e),
        Ok(true) | Err(_) => tape.into_seen().map(Some),
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
