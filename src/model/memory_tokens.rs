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

impl MemoryTokens {
    fn mask(&self) -> Mask {
        let slots = Slots { count: self.memory, hidden: 0, shown: false };
        let sees = if self.write { Sees::Slots(slots) } else { Sees::Before };
        if self.memory == 0 { Mask::default() } else { Mask { memory: self.memory, sees } }
    }
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
struct Vectors {
    /// What is read before the first segment.
    first: Param,
    /// Added where the memory is read.
    read: Param,
    /// Added where it is written; none where nothing stands after the segment.
    write: Option<Param>,
}

impl RecurrentMemory {
    fn new(settings: MemoryTokens, on: Sequences, params: &mut Params) -> Result<Self> {
        let decoder = settings.stack.decoder();
        let mut build = Builder::new(&decoder, on, settings.mask(), params)?;
        let stem = Stem::new(&mut build, "memory_tokens")?;
        let positions = build.table("pos", on.segment)?;
        let mut table = |name: &str| build.table(name, settings.memory);
        let memory = if settings.memory == 0 {
            None
        } else {
            let (first, read) = (table("memory")?, table("memory_read")?);
            let write = settings.write.then(|| table("memory_write")).transpose()?;
            Some(Vectors { first, read, write })
        };
        Ok(Self { settings, stem, positions, memory })
    }

    /// Tokens with their places in the segment, `[batch, pos, width]`.
    fn tokens<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let tokens = wire.embed(self.stem.embed, None)?;
        let places = wire.repeat(self.positions)?;
        let places = wire.slice(&places, Along::Positions, 0, wire.positions())?;
        let tokens = wire.sum(&tokens, &places)?;
        wire.at(0, Point::Embed, tokens)
    }

    /// The memory that is read, with the vectors of `places` added.
    fn placed<'m, W: Wire<'m>>(wire: &mut W, memory: &W::X, places: Param) -> Result<W::X> {
        let places = wire.repeat(places)?;
        wire.sum(memory, &places)
    }

    /// The segment between its memory tokens, if there are any.
    fn surrounded<'m, W: Wire<'m>>(&'m self, wire: &mut W, tokens: W::X) -> Result<W::X> {
        let Some(vectors) = &self.memory else { return Ok(tokens) };
        let memory = match wire.carried().pop() {
            Some(memory) => memory,
            None => wire.repeat(vectors.first)?,
        };
        let memory = wire.at_memory(0, Point::own("memory.read"), memory)?;
        let mut parts = vec![Self::placed(wire, &memory, vectors.read)?, tokens];
        if let Some(write) = vectors.write {
            parts.push(Self::placed(wire, &memory, write)?);
        }
        wire.begin_with_memory(self.settings.memory);
        wire.concat(&parts, Along::Positions)
    }

    /// The positions of what comes out of the last layer; the memory goes on to the next segment.
    fn kept<'m, W: Wire<'m>>(&'m self, wire: &mut W, x: W::X) -> Result<W::X> {
        let Some(vectors) = &self.memory else { return Ok(x) };
        let (slots, positions) = (self.settings.memory, wire.positions());
        let from = if vectors.write.is_some() { slots + positions } else { 0 };
        let written = wire.slice(&x, Along::Positions, from, slots)?;
        // A stream grows from layer to layer; without a norm it would from segment to segment.
        let written = wire.normalize(&written, self.stem.norm())?;
        let mut written = wire.at_memory(self.stem.last(), Point::own("memory.write"), written)?;
        if self.settings.stop_gradient {
            written = wire.detach(&written)?;
        }
        wire.carry(vec![written]);
        wire.slice(&x, Along::Positions, slots, positions)
    }
}

impl Network for RecurrentMemory {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let tokens = self.tokens(wire)?;
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
