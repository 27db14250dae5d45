//! Feedback attention: block sliding-window attention, in which each layer reads what it wrote into its memory one block before
//! (Hwang et al. 2024, *Feedback attention is working memory*, arXiv 2404.09173).
//!
//! A block is read as `[tokens | memory]`. Tokens see the cached blocks, the memory as the block before left it, and the tokens
//! before them; the memory sees itself and the whole block, but no cached one. It goes through the same matrices as the tokens.
//! Before the first block it is learned vectors, which flow up the layers like tokens, without a residual; as it has seen that
//! block then, no token of it sees it.

use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::nn::attention::{Attention, Mask, Sees, Slots};
use crate::nn::params::{Param, Params};
use crate::nn::position::{Rotary, Run};
use crate::nn::wire::{Along, Heads, Wire};

use super::decoder::layer::{Builder, Layer, SelfAttention};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::stack::{Stack, Stem};
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct Feedback = "A transformer that reads block by block (train.segment), sees some blocks before, and feeds each layer's memory back to it (TransformerFAM)." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// Memory tokens of each layer; 0: none, which is block sliding-window attention.
        memory: usize = 2, in 0..=1024;
        /// Blocks before this one whose keys and values are still seen.
        blocks: usize = 0, in 0..=64;
        /// No gradient passes into the cached blocks.
        stop_gradient: bool = false;
    }
}

impl Architecture for Feedback {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        if self.memory > on.segment {
            return Err(Error::usage(format!(
                "model.memory is {}, and a block has {} positions (train.segment): the memory of a block stands at its last positions; lower it or read longer blocks",
                self.memory, on.segment
            )));
        }
        // A memory that is written after the last block nobody reads.
        let memory = if on.segment < on.length { self.memory } else { 0 };
        let settings = Self { memory, ..self.clone() };
        let decoder = settings.stack.decoder();
        let build = &mut Builder::new(&decoder, on, Mask::default(), params)?;
        let stem = Stem::new(build, "feedback")?;
        let first = if memory == 0 { None } else { Some(build.table("memory", memory)?) };
        let cache = settings.blocks * on.segment;
        let origin = cache.max(memory);
        let rotary = Rotary::new(origin + on.segment, build.head_dim())?;
        Ok(Box::new(FeedbackMemory { settings, stem, first, cache, origin, rotary }))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct FeedbackMemory {
    settings: Feedback,
    stem: Stem,
    /// The memory before the first block, `[memory, width]`.
    first: Option<Param>,
    /// Cached positions.
    cache: usize,
    /// The place of a block's first token among the rotations: there is room for the cache before it, and for the memory. Only
    /// differences of places matter.
    origin: usize,
    rotary: Rotary,
}

/// Keys before they are rotated, and values: `[batch, cached, head · dim]`; none where no block is cached.
type Cache<X> = Option<[X; 2]>;

/// What a layer kept of the blocks before.
struct Kept<X> {
    cache: Cache<X>,
    /// `[batch, memory, width]`
    memory: Option<X>,
}

impl<X: Clone> Kept<X> {
    fn from_state(state: &[X], settings: &Feedback) -> Self {
        let cache = match state {
            [keys, values, ..] if settings.blocks > 0 => Some([keys.clone(), values.clone()]),
            _ => None,
        };
        let memory = if settings.memory > 0 { state.last().cloned() } else { None };
        Self { cache, memory }
    }

    fn into_state(self) -> impl Iterator<Item = X> {
        self.cache.into_iter().flatten().chain(self.memory)
    }
}

/// Rows of tokens, and those of the memory after them.
struct Split<X> {
    tokens: X,
    memory: Option<X>,
}

impl<X: Clone> Split<X> {
    fn joined<'m, W: Wire<'m, X = X>>(self, wire: &mut W) -> Result<X> {
        match self.memory {
            Some(memory) => wire.concat(&[self.tokens, memory], Along::Positions),
            None => Ok(self.tokens),
        }
    }
}

/// What the rows of a block are.
#[derive(Clone, Copy)]
struct Rows {
    tokens: usize,
    memory: usize,
    cached: usize,
    is_first: bool,
}

impl Rows {
    fn mask(self) -> Mask {
        let slots = Slots { count: self.memory, hidden: self.cached, shown: !self.is_first };
        let sees = if self.memory == 0 { Sees::Before } else { Sees::Slots(slots) };
        Mask { memory: 0, sees }
    }

    fn split<'m, W: Wire<'m>>(self, wire: &mut W, x: &W::X) -> Result<Split<W::X>> {
        if self.memory == 0 {
            return Ok(Split { tokens: x.clone(), memory: None });
        }
        let tokens = wire.slice(x, Along::Positions, 0, self.tokens)?;
        let memory = Some(wire.slice(x, Along::Positions, self.tokens, self.memory)?);
        Ok(Split { tokens, memory })
    }

    /// What attention is added to: before the first block the memory has no residual.
    fn residual<'m, W: Wire<'m>>(self, wire: &mut W, x: &W::X, width: usize) -> Result<W::X> {
        if self.memory == 0 || !self.is_first {
            return Ok(x.clone());
        }
        let Split { tokens, .. } = self.split(wire, x)?;
        let memory = Some(wire.zeros(self.memory, width)?);
        Split { tokens, memory }.joined(wire)
    }
}

impl FeedbackMemory {
    fn rows(&self, first: usize, tokens: usize, is_first: bool) -> Rows {
        let cached = if is_first { 0 } else { first.min(self.cache) };
        Rows { tokens, memory: self.settings.memory, cached, is_first }
    }

    /// Rotates rows to their places: tokens, before which so many are cached, and the memory, which stands at the last places of
    /// the block before.
    fn rotated<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        rows: Rows,
        x: &W::X,
        cached: usize,
    ) -> Result<W::X> {
        let tokens = Run { start: self.origin - cached, count: cached + rows.tokens };
        let memory = Run { start: self.origin - rows.memory, count: rows.memory };
        wire.rotate_runs(x, &self.rotary, &[tokens, memory])
    }

    /// Keys or values of what is cached and of this block, and the last of them, to be cached, if any are.
    fn seen<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        rows: Rows,
        cache: Option<&W::X>,
        here: W::X,
    ) -> Result<(W::X, Option<W::X>)> {
        if self.cache == 0 {
            return Ok((here, None));
        }
        let Split { mut tokens, memory } = rows.split(wire, &here)?;
        if let Some(cache) = cache {
            tokens = wire.concat(&[cache.clone(), tokens], Along::Positions)?;
        }
        let count = rows.cached + rows.tokens;
        let kept = count.min(self.cache);
        let mut next = wire.slice(&tokens, Along::Positions, count - kept, kept)?;
        if self.settings.stop_gradient {
            next = wire.detach(&next)?;
        }
        Ok((Split { tokens, memory }.joined(wire)?, Some(next)))
    }

    /// The sum of the rows `x` of a block and what their attention writes, and the next cache.
    fn attended<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        rows: Rows,
        (x, cache): (&W::X, Option<&[W::X; 2]>),
    ) -> Result<(W::X, Cache<W::X>)> {
        let read = wire.normalize(x, &layer.norm1)?;
        let SelfAttention { how, queries, keys, values, outputs, .. } = layer.attention;
        let queries = wire.linear(&read, queries)?;
        let queries = self.rotated(wire, rows, &queries, 0)?;
        let keys = wire.linear(&read, keys)?;
        let (keys, next_keys) = self.seen(wire, rows, cache.map(|[keys, _]| keys), keys)?;
        let keys = self.rotated(wire, rows, &keys, rows.cached)?;
        let values =
            values.map_or_else(|| Ok(read.clone()), |values| wire.linear(&read, values))?;
        let (values, next_values) =
            self.seen(wire, rows, cache.map(|[_, values]| values), values)?;
        let residual = rows.residual(wire, x, self.stem.layout.width)?;
        let (queries, keys, read, residual) = (&queries, &keys, &values, &residual);
        let heads = Heads {
            queries,
            keys,
            read,
            values: None,
            outputs,
            residual: Some(residual),
            last: false,
        };
        let sum = wire.attend(Attention { mask: rows.mask(), ..how }, heads)?;
        Ok((sum, next_keys.zip(next_values).map(|(keys, values)| [keys, values])))
    }

    /// One layer over a block: its tokens, and what is kept for the next block.
    fn layer<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        rows: Rows,
        (tokens, kept): (W::X, Kept<W::X>),
    ) -> Result<(W::X, Kept<W::X>)> {
        let read = |x| wire.at_memory(layer.index, Point::own("memory.read"), x);
        let memory = kept.memory.map(read).transpose()?;
        let x = Split { tokens, memory }.joined(wire)?;
        let x = wire.at(layer.index, Point::ResidPre, x)?;
        let (sum, cache) = self.attended(wire, layer, rows, (&x, kept.cache.as_ref()))?;
        let x = layer.fed_forward(wire, &x, sum)?;
        let Split { tokens, memory } = rows.split(wire, &x)?;
        let written = |x| wire.at_memory(layer.index, Point::own("memory.write"), x);
        let memory = memory.map(written).transpose()?;
        Ok((tokens, Kept { cache, memory }))
    }
}

impl Network for FeedbackMemory {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let state = wire.carried();
        let rows = self.rows(wire.first(), wire.positions(), state.is_empty());
        let each = (state.len() / self.stem.layers.len()).max(1);
        let mut states = state.chunks(each);
        let tokens = wire.embed(self.stem.embed, None)?;
        let mut tokens = wire.at(0, Point::Embed, tokens)?;
        let mut flowing = self.first.map(|first| wire.repeat(first)).transpose()?;
        let mut next = Vec::new();
        for layer in &self.stem.layers {
            let mut kept = Kept::from_state(states.next().unwrap_or(&[]), &self.settings);
            if rows.is_first {
                kept.memory = flowing;
            }
            let (out, kept) = self.layer(wire, layer, rows, (tokens, kept))?;
            (tokens, flowing) = (out, kept.memory.clone());
            next.extend(kept.into_state());
        }
        wire.carry(next);
        self.read().wire(wire, self.stem.last(), tokens)
    }

    fn keeps(&self) -> Option<Keeps> {
        if self.first.is_some() {
            Some(Keeps::Tokens)
        } else {
            (self.cache > 0).then_some(Keeps::Positions)
        }
    }

    fn read(&self) -> Read<'_> {
        self.stem.read()
    }

    fn embedding(&self) -> Option<Embedding> {
        Some(self.stem.embedding(None))
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        Some(Reading { rotary: Some(&self.rotary), ..self.stem.reading(layer)? })
    }

    fn written(&self, layer: usize) -> Option<Written> {
        self.stem.written(layer)
    }
}
