//! How large a network, and one pass through it, may be: said before memory is asked for, of an experiment that others wrote.

use crate::base::budget::{
    MOST_CONTEXT, MOST_HEADS, MOST_LAYERS, MOST_VOCAB, MOST_WIDTH, PASS_BYTES,
};
use crate::base::error::{Error, Result};
use crate::base::settings::{self, Slot};
use crate::model::{Architecture, Layout};
use crate::nn::params::Params;

use super::experiment::{On, Train};
use super::measure::CHUNK;
use super::trainer::shard_rows;

/// Settings of a network that say its size, and the most of each.
const SIZES: [(&str, usize); 3] =
    [("layers", MOST_LAYERS), ("heads", MOST_HEADS), ("width", MOST_WIDTH)];

/// Compares what an architecture asks for with the largest that is built.
///
/// # Errors
/// When it is larger: the number is named.
pub fn check_asked(model: &mut dyn Architecture, vocab: usize, length: usize) -> Result<()> {
    let mut asked = vec![("tokens", vocab, MOST_VOCAB), ("positions", length, MOST_CONTEXT)];
    let mut visit = |spec: &settings::Spec, slot: Slot<'_>| {
        if let (Slot::Int(value), Some((name, most))) =
            (slot, SIZES.iter().find(|(name, _)| *name == spec.name))
        {
            asked.push((name, *value, *most));
        }
    };
    model.each(&mut visit);
    match asked.into_iter().find(|(_, value, most)| value > most) {
        None => Ok(()),
        Some((what, value, most)) => Err(Error::usage(format!(
            "the experiment asks for a network of {value} {what}; the largest that is built has {most}"
        ))),
    }
}

/// Compares the memory of one pass with the most that it may take.
///
/// # Errors
/// When it would take more: the settings that it depends on are named.
pub fn check_pass(train: &Train, layout: &Layout, params: &Params) -> Result<()> {
    let heads: usize = layout.heads.iter().sum();
    let most_heads = layout.heads.iter().copied().max().unwrap_or(0);
    if layout.heads.len() > MOST_LAYERS || most_heads > MOST_HEADS || layout.width > MOST_WIDTH {
        return Err(Error::usage(format!(
            "the network has {} layers of up to {most_heads} heads and the width {}; the largest that is built has {MOST_LAYERS}, {MOST_HEADS} and {MOST_WIDTH}",
            layout.heads.len(),
            layout.width
        )));
    }
    let rows = if train.device == On::Cpu { shard_rows(train, layout.length) } else { train.batch };
    let widest = widest(params).max(layout.width);
    // A pass that learns keeps all layers; one that measures keeps one of them, and scores beside its patterns.
    let learning = pass_bytes(rows, layout, heads, widest * layout.heads.len());
    let measuring = pass_bytes(CHUNK, layout, 2 * most_heads, widest);
    let bytes = learning.zip(measuring).map(|(a, b)| a.max(b));
    if bytes.is_some_and(|bytes| bytes <= PASS_BYTES) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "one pass of {rows} sequences of {} tokens through {heads} heads and {} layers takes more than {} MB; lower train.shard, task.length, model.heads or model.layers",
        layout.length,
        layout.heads.len(),
        PASS_BYTES >> 20
    )))
}

/// Length of the longest axis of the matrices between embedding and unembedding.
fn widest(params: &Params) -> usize {
    let inner = params.all().filter(|param| params.name(*param).starts_with("layer"));
    inner.flat_map(|param| params.dims(param).to_vec()).max().unwrap_or(0)
}

/// Bytes of what a pass computes of `rows` sequences: weights of attention, some vectors a layer, and the logits with their
/// gradient; `None` beyond all counting.
fn pass_bytes(rows: usize, layout: &Layout, heads: usize, width: usize) -> Option<u64> {
    /// Vectors of a layer: its input, queries, keys, values, what is attended to, hidden units and their gradients.
    const VECTORS: usize = 8;
    const LOGITS: usize = 3;
    let attention = heads.checked_mul(layout.length)?;
    let vectors = width.checked_mul(VECTORS)?;
    let logits = layout.vocab.checked_mul(LOGITS)?;
    let each = attention.checked_add(vectors)?.checked_add(logits)?;
    let numbers = each.checked_mul(layout.length)?.checked_mul(rows)?;
    u64::try_from(numbers).ok()?.checked_mul(4)
}
