//! What interventions put in from other sequences, in the network without interventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use crate::base::batch::Batch;
use crate::base::error::{Error, Result};
use crate::base::intervention::{How, Intervention, Site};
use crate::measurement::Subject;
use crate::model::pass;
use crate::nn::edit::{Edit, With};
use crate::nn::kernel::pool::Pool;

/// Sequences in one forward pass. Fixed, so that sums have the same last bits on every machine.
const CHUNK: usize = 8;

/// Tensors that were put in before, for one network.
#[derive(Default)]
pub(super) struct Reference {
    kept: BTreeMap<(Site, From), Tensor>,
}

/// Where a tensor comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Mean,
    HeldOut(u64),
    Tokens(Arc<[u32]>),
}

impl Reference {
    /// The intervention with its numbers; `None` where it takes none from other sequences.
    ///
    /// # Errors
    /// When there is no such held-out sequence, or a forward pass fails.
    pub fn edit(
        &mut self,
        what: &Intervention,
        subject: Subject<'_>,
        pool: &Pool,
        held_out: &Batch,
    ) -> Result<Option<Edit>> {
        let Intervention::Change { place, how } = what else { return Ok(None) };
        let from = match how {
            How::Mean => From::Mean,
            How::Resample(sequence) => From::HeldOut(*sequence),
            How::Patch(tokens) => From::Tokens(tokens.as_slice().into()),
            How::Zero
            | How::Cut
            | How::Scale(_)
            | How::Add(_)
            | How::Hold
            | How::Rewrite { .. } => return Ok(None),
        };
        let key = (place.site, from);
        if !self.kept.contains_key(&key) {
            let found = find(&key, subject, pool, held_out)
                .map_err(|e| e.context(format!("intervention \"{what}\"")))?;
            self.kept.insert(key.clone(), found);
        }
        Ok(self.kept.get(&key).map(|x| Edit::of_place(place, With::Replace(x.clone()))))
    }
}

fn find(
    (site, from): &(Site, From),
    subject: Subject<'_>,
    pool: &Pool,
    held_out: &Batch,
) -> Result<Tensor> {
    match from {
        From::Mean => mean(*site, subject, pool, held_out),
        From::HeldOut(sequence) => {
            let at = usize::try_from(*sequence).ok().filter(|at| *at < held_out.rows);
            let at = at.ok_or_else(|| {
                Error::usage(format!(
                    "held-out sequence {sequence} asked for, there are {} (train.held_out)",
                    held_out.rows
                ))
            })?;
            of_batch(*site, subject, &held_out.slice(at, at + 1))
        }
        From::Tokens(tokens) => {
            let (vocab, most) = (subject.source.vocab().len(), subject.model.layout().length);
            if let Some(token) = tokens.iter().find(|t| **t as usize >= vocab) {
                return Err(Error::usage(format!("token {token} asked for, there are {vocab}")));
            }
            if tokens.len() > most {
                return Err(Error::usage(format!(
                    "{} tokens are more than the {most} positions of this network; shorten them",
                    tokens.len()
                )));
            }
            let batch =
                Batch { rows: 1, len: tokens.len(), tokens: tokens.to_vec(), ..Batch::default() };
            of_batch(*site, subject, &batch)
        }
    }
}

/// What is at a site on some sequences, `[batch, …]`.
fn of_batch(
    site: Site,
    Subject { model, params, .. }: Subject<'_>,
    batch: &Batch,
) -> Result<Tensor> {
    let (_, captured) = pass::forward(model, params, batch, &[], &[site], false)?;
    let found = captured.whole(site)?.map(|(all, _)| all);
    found.ok_or_else(|| Error::usage(format!("this network has no {site}")))
}

/// The mean over the sequences of a batch, `[1, …]`.
fn mean(site: Site, subject: Subject<'_>, pool: &Pool, batch: &Batch) -> Result<Tensor> {
    let chunk = |i: usize| {
        let part = batch.slice(i * CHUNK, batch.rows.min((i + 1) * CHUNK));
        Ok(of_batch(site, subject, &part)?.sum_keepdim(0)?)
    };
    let mut sum: Option<Tensor> = None;
    pool.fold_in_order(batch.rows.div_ceil(CHUNK), chunk, |part| {
        sum = Some(match sum.take() {
            Some(sum) => sum.add(&part)?,
            None => part,
        });
        Ok(())
    })?;
    let sum =
        sum.ok_or_else(|| Error::usage("there are no held-out sequences to take a mean of"))?;
    Ok((sum / batch.rows as f64)?)
}
