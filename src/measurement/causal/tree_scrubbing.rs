//! Causal scrubbing of backward chaining (Brinkmann et al. 2024): what the attention of one layer brings to the root's
//! position comes from another tree, in which a network that has climbed as far holds the same node.

use candle_core::Tensor;

use super::{Pairs, Part, Side, log_probs};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::tree::Script;
use crate::measurement::Subject;
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::Captured;

crate::choices! {
    /// Which positions the attention of the scrubbed layer still brings from the first tree.
    pub enum Hypothesis {
        /// None: nothing matters but the node that is held.
        H1 = "H1",
        /// Registers and the goal.
        H2 = "H2",
        /// Registers, the goal and the lower ends of all edges.
        H3 = "H3",
        /// The lower ends of all edges alone: what H3 says without the registers.
        Targets = "targets",
        /// All of them: nothing is scrubbed.
        Everything = "everything",
    }
}

impl Hypothesis {
    /// Positions that are kept before the root, in trees of this size; `registers` are taken for those.
    pub fn kept(self, script: Script, registers: &[usize]) -> Vec<usize> {
        let targets = (0..script.nodes - 1).map(|edge| script.source(edge) + 1);
        let registers = registers.iter().copied().chain([script.goal()]);
        let mut kept: Vec<usize> = match self {
            Self::H1 => Vec::new(),
            Self::H2 => registers.collect(),
            Self::H3 => registers.chain(targets).collect(),
            Self::Targets => targets.collect(),
            Self::Everything => (0..=script.root()).collect(),
        };
        kept.sort_unstable();
        kept.dedup();
        kept
    }
}

/// How much of the loss of a prediction is left when layer `layer` is scrubbed, in percent, for each pair: 100 · (loss scrubbed −
/// log V) / (loss before − log V), where a loss is −log p of what the network predicts unscrubbed, and V the size of the
/// vocabulary. 100: nothing is lost; 0: no better than a guess among all tokens; less: worse than that.
///
/// The attention of every head of the layer from the predicting position to each of the positions `kept` comes from the
/// base sequence, weight and value; that to all others from the counterfactual one. The weights need not sum to 1.
///
/// # Errors
/// When the layer has no attention, or a forward pass fails.
pub fn recovered(
    subject: Subject<'_>,
    pairs: &Pairs,
    layer: usize,
    kept: &[usize],
) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(pairs.len());
    for part in pairs.parts() {
        let site = |point| Site { layer, point };
        let sites = [site(Point::Pattern), site(Point::V)];
        let base = part.capture(subject, Side::Base, &[], &sites)?;
        let other = part.capture(subject, Side::Other, &[], &sites)?;
        let everything: Vec<usize> = (0..part.base.len).collect();
        // Both runs go through the same sum, so that what is not changed is the same to the last bit.
        let log_probs = |kept: &[usize]| -> Result<Vec<Vec<f64>>> {
            let z = mixed(part, [&base, &other], layer, kept)?;
            let positions = At::PerRow(part.at.iter().map(|at| vec![*at]).collect());
            let with = With::Replace(z);
            let edit = Edit { site: site(Point::Z), head: None, positions, keys: At::All, with };
            let (logits, _) = part.run(subject, Side::Base, &[edit], &[])?;
            Ok(logits.iter().map(|row| log_probs(row)).collect())
        };
        let (before, after) = (log_probs(&everything)?, log_probs(kept)?);
        all.extend(before.iter().zip(&after).map(|(before, after)| share(before, after)));
    }
    Ok(all)
}

/// In percent.
fn share(before: &[f64], after: &[f64]) -> f64 {
    let better = |best: usize, i: usize| if before[i] > before[best] { i } else { best };
    let predicted = (0..before.len()).fold(0, better);
    let guessing = (before.len() as f64).ln();
    100.0 * (after[predicted] + guessing) / (before[predicted] + guessing)
}

/// What each head gathers at the predicting position when it takes weight and value of the kept positions from the
/// first run and those of the others from the second, `[batch, head, 1, dim]`.
fn mixed(part: &Part, runs: [&Captured; 2], layer: usize, kept: &[usize]) -> Result<Tensor> {
    let rows = |run: &Captured| -> Result<(Tensor, Tensor)> {
        let of = |point| {
            let site = Site { layer, point };
            run.get(&site).ok_or_else(|| Error::usage(format!("this network has no {site}")))
        };
        let row = |(i, at): (usize, &usize)| Ok(of(Point::Pattern)?.get(i)?.narrow(1, *at, 1)?);
        let weights: Vec<Tensor> = part.at.iter().enumerate().map(row).collect::<Result<_>>()?;
        Ok((Tensor::stack(&weights, 0)?, of(Point::V)?.clone()))
    };
    let ((weights, values), (other_weights, other_values)) = (rows(runs[0])?, rows(runs[1])?);
    let keeps = |position: usize| u8::from(kept.contains(&position));
    let mask: Vec<u8> = (0..part.base.len).map(keeps).collect();
    let chosen = |mask: Tensor, ours: &Tensor, theirs: &Tensor| -> Result<Tensor> {
        Ok(mask.broadcast_as(ours.dims())?.where_cond(ours, theirs)?)
    };
    let (count, device) = (mask.len(), weights.device());
    let weights =
        chosen(Tensor::from_slice(&mask, (1, 1, 1, count), device)?, &weights, &other_weights)?;
    let values =
        chosen(Tensor::from_slice(&mask, (1, 1, count, 1), device)?, &values, &other_values)?;
    Ok(weights.contiguous()?.matmul(&values.contiguous()?)?)
}
