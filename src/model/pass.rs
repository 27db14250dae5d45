//! One forward pass, under edits or on a tape, and what it leaves: logits and the tensors of some sites.

use candle_core::Tensor;

use super::{Input, Model, Output};
use crate::base::batch::Batch;
use crate::base::error::Result;
use crate::base::intervention::Site;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::{Captured, Glance, Untapped, Until};
use crate::nn::tape::{Numbers, Tape};

/// What is asked of a pass besides its edits.
#[derive(Default)]
pub struct Asked<'a> {
    /// Tensors to keep, after the edits.
    pub sites: &'a [Site],
    /// Places that are looked at and not kept.
    pub glance: Option<&'a mut dyn Glance>,
    /// Where the logits are not wanted, the pass ends with the last of these places, and there may be none.
    pub wants_logits: bool,
    /// What a layer reads, of which everything before is known: the pass begins there, in a network that can ([`Model::resumes`]).
    pub from: Option<(usize, Tensor)>,
    /// The first position whose logits are wanted; those of others may be left out.
    pub logits_from: usize,
}

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
    let asked = Asked { sites, wants_logits, ..Asked::default() };
    forward_asked(model, params, batch, edits, asked)
}

/// The same of a pass of which more is asked.
///
/// # Errors
/// As [`forward`], and those of a glance.
pub fn forward_asked(
    model: &dyn Model,
    params: &Params,
    batch: &Batch,
    edits: &[Edit],
    asked: Asked<'_>,
) -> Result<(Option<Tensor>, Captured)> {
    let tensors = Tensors::of(batch, params)?;
    let Asked { sites, glance, wants_logits, from, logits_from } = asked;
    let input = Input { from, logits_from, ..tensors.input() };
    if sites.is_empty() && edits.is_empty() && glance.is_none() {
        let Output { logits, .. } = model.forward(params, &input, &mut Untapped)?;
        return Ok((Some(logits), Captured::new()));
    }
    let mut until = Until::new(edits.to_vec(), sites, glance, wants_logits);
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
