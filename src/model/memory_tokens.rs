//! Memory tokens: the Recurrent Memory Transformer (Bulatov et al. 2022, arXiv 2207.06881) and, where sequences are read whole, the
//! Memory Transformer (Burtsev et al. 2020, arXiv 2006.11527).
//!
//! A segment is read as `[memory | tokens | memory]`, the same vectors at both ends: all positions see the memory before them, and
//! only the memory after them has seen the segment under a causal mask. What comes out there, normalised as everything that leaves
//! the network is, is read before the next segment.

use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::nn::attention::{Mask, Sees, Slots};
use crate::nn::params::{Param, Params};
use crate::nn::wire::{Along, Wire};

use super::decoder::layer::Builder;
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::stack::{Stack, Stem};
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct MemoryTokens = "A recurrent memory transformer: memory tokens are read before each segment (train.segment) and written after it. In one segment it is the Memory Transformer." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// Memory tokens; 0: each segment is read by itself.
        memory: usize = 4, in 0..=1024;
        /// Memory tokens stand after the segment too, and these are kept. Without them those before it are, which have not seen the segment.
        write: bool = true;
        /// No gradient passes through the memory from segment to segment.
        stop_gradient: bool = false;
    }
}

impl Architecture for MemoryTokens {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        if self.memory > on.segment && on.segment < on.length {
            return Err(Error::usage(format!(
                "model.memory is {}, and a segment has {} positions (train.segment): a memory is at most as long as a segment; lower it or read longer segments",
                self.memory, on.segment
            )));
        }
        // What is written after the last segment nobody reads.
        let write = self.write && on.segment < on.length;
        let settings = Self { write, ..self.clone() };
        Ok(Box::new(RecurrentMemory::new(settings, on, params)?))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

/// What is seen of `memory` tokens before a segment and, if they are written, after it.
pub(super) fn mask(memory: usize, write: bool) -> Mask {
    let slots = Slots { count: memory, hidden: 0, shown: false };
    let sees = if write { Sees::Slots(slots) } else { Sees::Before };
    if memory == 0 { Mask::default() } else { Mask { memory, sees } }
}

struct RecurrentMemory {
    settings: MemoryTokens,
    stem: Stem,
    /// Of the positions in a segment, `[segment, width]`.
    positions: Param,
    /// None where there are no memory tokens.
    memory: Option<Vectors>,
}

/// Vectors of the memory tokens, `[memory, width]` each.
pub(super) struct Vectors {
    /// What is read before the first segment.
    pub first: Param,
    /// Added where the memory is read.
    read: Param,
    /// Added where it is written; none where nothing stands after the segment.
    write: Option<Param>,
    /// How many.
    slots: usize,
}

impl Vectors {
    pub fn new(build: &mut Builder<'_>, slots: usize, write: bool) -> Result<Self> {
        let mut table = |name: &str| build.table(name, slots);
        let (first, read) = (table("memory")?, table("memory_read")?);
        let write = write.then(|| table("memory_write")).transpose()?;
        Ok(Self { first, read, write, slots })
    }

    /// The memory that is read, with the vectors of `places` added.
    fn placed<'m, W: Wire<'m>>(wire: &mut W, memory: &W::X, places: Param) -> Result<W::X> {
        let places = wire.repeat(places)?;
        wire.sum(memory, &places)
    }

    /// Tokens between the memory tokens.
    pub fn around<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        memory: &W::X,
        tokens: W::X,
    ) -> Result<W::X> {
        let mut parts = vec![Self::placed(wire, memory, self.read)?, tokens];
        if let Some(write) = self.write {
            parts.push(Self::placed(wire, memory, write)?);
        }
        wire.concat(&parts, Along::Positions)
    }

    /// The same of the segment that is read, through the place `memory.read`.
    pub fn surrounded<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        memory: W::X,
        tokens: W::X,
    ) -> Result<W::X> {
        let memory = wire.at_memory(0, Point::own("memory.read"), memory)?;
        wire.begin_with_memory(self.slots);
        self.around(wire, &memory, tokens)
    }

    /// The memory that comes out of the last layer of a `stem`, through the place `memory.write`.
    pub fn written<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        stem: &'m Stem,
        x: &W::X,
    ) -> Result<W::X> {
        let from = if self.write.is_some() { self.slots + wire.positions() } else { 0 };
        let written = wire.slice(x, Along::Positions, from, self.slots)?;
        // A stream grows from layer to layer; without a norm it would from segment to segment.
        let written = wire.normalize(&written, stem.norm())?;
        wire.at_memory(stem.last(), Point::own("memory.write"), written)
    }

    /// The positions of what comes out of the last layer.
    pub fn positions<'m, W: Wire<'m>>(&self, wire: &mut W, x: &W::X) -> Result<W::X> {
        wire.slice(x, Along::Positions, self.slots, wire.positions())
    }
}

impl RecurrentMemory {
    fn new(settings: MemoryTokens, on: Sequences, params: &mut Params) -> Result<Self> {
        let MemoryTokens { memory, write, .. } = settings;
        let decoder = settings.stack.decoder();
        let mut build = Builder::new(&decoder, on, mask(memory, write), params)?;
        let stem = Stem::new(&mut build, "memory_tokens")?;
        let positions = build.table("pos", on.segment)?;
        let vectors = || Vectors::new(&mut build, memory, write);
        let memory = (memory > 0).then(vectors).transpose()?;
        Ok(Self { settings, stem, positions, memory })
    }

    /// The segment between its memory tokens, if there are any.
    fn surrounded<'m, W: Wire<'m>>(&'m self, wire: &mut W, tokens: W::X) -> Result<W::X> {
        let Some(vectors) = &self.memory else { return Ok(tokens) };
        let memory = match wire.carried().pop() {
            Some(memory) => memory,
            None => wire.repeat(vectors.first)?,
        };
        vectors.surrounded(wire, memory, tokens)
    }

    /// The positions of what comes out of the last layer; the memory goes on to the next segment.
    fn kept<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let Some(vectors) = &self.memory else { return Ok(x) };
        let mut written = vectors.written(wire, &self.stem, &x)?;
        if self.settings.stop_gradient {
            written = wire.detach(&written)?;
        }
        wire.carry(vec![written]);
        vectors.positions(wire, &x)
    }
}

impl Network for RecurrentMemory {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let tokens = self.stem.tokens(wire, self.positions)?;
        let mut x = self.surrounded(wire, tokens)?;
        for layer in &self.stem.layers {
            x = layer.wire(wire, x)?;
        }
        let x = self.kept(wire, x)?;
        self.read().wire(wire, self.stem.last(), x)
    }

    fn keeps(&self) -> Option<Keeps> {
        self.memory.as_ref().map(|_| Keeps::Tokens)
    }

    fn read(&self) -> Read<'_> {
        self.stem.read()
    }

    fn embedding(&self) -> Option<Embedding> {
        Some(self.stem.embedding(Some(self.positions)))
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        self.stem.reading(layer)
    }

    fn written(&self, layer: usize) -> Option<Written> {
        self.stem.written(layer)
    }
}
