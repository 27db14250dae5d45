//! A transformer whose layers also attend to what they read in the segments before: as it was, and what became of it.

use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::attention::{Attention, Mask};
use crate::nn::params::{Param, Params};
use crate::nn::wire::{Along, Wire};

use super::compression::Compression;
use super::decoder::Decoder;
use super::decoder::layer::{Builder, Layer};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::relative::{Relative, Seen};
use super::stack::{Stack, Stem};
use super::{Keeps, Layout, Network, Sequences};

/// How much of what was read is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Positions as they were; a few more where they leave in groups that are not full yet.
    pub cache: usize,
    /// Rows that positions before them were compressed into; 0: they are gone.
    pub rows: usize,
    /// Positions that leave together and become one row.
    pub rate: usize,
}

/// What is kept of the segments before, counted in each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Compressed rows, and the number of the first of them: row `i` was made of the positions from `i · rate` on.
    pub rows: usize,
    pub first: usize,
    /// Positions as they were.
    pub cached: usize,
}

impl Reach {
    /// So many positions, or a segment if 0.
    pub fn of_cache(cache: usize, on: Sequences) -> Self {
        Self { cache: if cache == 0 { on.segment } else { cache }, rows: 0, rate: 1 }
    }

    /// Of so many positions that were read.
    pub fn kept(self, read: usize) -> Kept {
        let groups = read.saturating_sub(self.cache) / self.rate;
        let rows = groups.min(self.rows);
        Kept { rows, first: groups - rows, cached: read - groups * self.rate }
    }

    /// Positions that the compressed rows are made of.
    fn compressed(self) -> usize {
        self.rows * self.rate
    }
}

pub(super) struct Cached {
    stem: Stem,
    relative: Relative,
    reach: Reach,
    /// Constants of the places of positions, `[cache + segment, width]`.
    places: Param,
    /// Those of compressed rows, `[rows, width]`.
    compressed_places: Option<Param>,
    /// Of each layer; empty where nothing is compressed.
    pub compression: Vec<Compression>,
    pub stop_gradient: bool,
}

impl Cached {
    /// Without what compresses.
    pub fn new(
        kind: &'static str,
        stack: &Stack,
        (on, reach): (Sequences, Reach),
        params: &mut Params,
    ) -> Result<Self> {
        // Biases of queries are u and v, which all layers share.
        let decoder = Decoder { biases: false, ..stack.decoder() };
        let build = &mut Builder::new(&decoder, on, Mask::default(), params)?;
        let stem = Stem::new(build, kind)?;
        let (first, count) = (reach.compressed(), reach.cache + reach.rate - 1 + on.segment);
        let places = (first..first + count).map(|place| place as f64);
        let places = Relative::places(build, "relative", places)?;
        let centre = |row| (row * reach.rate) as f64 + (reach.rate - 1) as f64 / 2.0;
        let mut of_rows =
            || Relative::places(build, "relative_compressed", (0..reach.rows).map(centre));
        let compressed_places = (reach.rows > 0).then(&mut of_rows).transpose()?;
        let relative = Relative::new(build, first + count)?;
        let (compression, stop_gradient) = (Vec::new(), true);
        Ok(Self { stem, relative, reach, places, compressed_places, compression, stop_gradient })
    }

    /// The constants of the places of so many rows and positions: the last rows stand before the first position.
    fn places<'m, W: Wire<'m>>(&'m self, wire: &mut W, kept: Kept) -> Result<W::X> {
        let positions = wire.repeat(self.places)?;
        let count = kept.cached + wire.positions();
        let positions = wire.slice(&positions, Along::Positions, 0, count)?;
        let Some(rows) = self.compressed_places.filter(|_| kept.rows > 0) else {
            return Ok(positions);
        };
        let rows = wire.repeat(rows)?;
        let rows = wire.slice(&rows, Along::Positions, self.reach.rows - kept.rows, kept.rows)?;
        wire.concat(&[rows, positions], Along::Positions)
    }

    /// The state of a layer for the next segment: of `count` positions those that stay, and what those become that leave.
    fn next<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        [read, positions]: [&W::X; 2],
        (rows, kept): (Option<&W::X>, Kept),
    ) -> Result<Vec<W::X>> {
        let count = kept.cached + wire.positions();
        let cached = self.reach.kept(wire.first() + wire.positions()).cached.min(count);
        let stays = wire.slice(positions, Along::Positions, count - cached, cached)?;
        let mut next = vec![self.passing(wire, &stays)?];
        // In whole groups: the last of them, where they are more.
        let groups = (count - cached) / self.reach.rate;
        let leaves = groups * self.reach.rate;
        let compression = self.compression.get(layer.index).filter(|_| groups > 0);
        let mut all: Vec<W::X> = rows.cloned().into_iter().collect();
        if let Some(compression) = compression {
            let old = wire.slice(positions, Along::Positions, count - cached - leaves, leaves)?;
            all.push(self.compressed(wire, (compression, layer), read, (&old, groups))?);
        }
        if !all.is_empty() {
            let (all, has) = (wire.concat(&all, Along::Positions)?, kept.rows + groups);
            let stay = has.min(self.reach.rows);
            next.push(wire.slice(&all, Along::Positions, has - stay, stay)?);
        }
        Ok(next)
    }

    /// The rows that positions become, in so many groups.
    fn compressed<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        (compression, layer): (&'m Compression, &'m Layer),
        read: &W::X,
        (old, groups): (&W::X, usize),
    ) -> Result<W::X> {
        let old = self.passing(wire, old)?;
        let rows = compression.compressed(wire, &old)?;
        if self.stop_gradient {
            let both = [(&old, groups * self.reach.rate), (&rows, groups)];
            Compression::reconstruct(wire, layer, read, both)?;
        }
        self.passing(wire, &rows)
    }

    /// As it goes to the next segment: with its gradient, or without.
    fn passing<'m, W: Wire<'m>>(&self, wire: &mut W, x: &W::X) -> Result<W::X> {
        if self.stop_gradient { wire.detach(x) } else { Ok(x.clone()) }
    }

    /// What the state holds, where there is one.
    fn kept(&self, first: usize, state: usize) -> Kept {
        if state == 0 { Kept { rows: 0, first: 0, cached: 0 } } else { self.reach.kept(first) }
    }

    fn how(&self, layer: &Layer, kept: Kept) -> Attention {
        let Attention { mask, .. } = layer.attention.how;
        let mask = Mask { memory: kept.rows, ..mask };
        let compressed = (self.reach.rows > 0).then_some(kept.first);
        Attention { mask, compressed, ..layer.attention.how }
    }
}

/// Rows after others, if there are any.
fn after<'m, W: Wire<'m>>(wire: &mut W, before: Option<&W::X>, x: &W::X) -> Result<W::X> {
    match before {
        Some(before) => wire.concat(&[before.clone(), x.clone()], Along::Positions),
        None => Ok(x.clone()),
    }
}

impl Network for Cached {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let state = wire.carried();
        let kept = self.kept(wire.first(), state.len());
        let mut states = state.chunks((state.len() / self.stem.layers.len()).max(1));
        let (places, start) = (self.places(wire, kept)?, self.reach.compressed() + kept.cached);
        let x = wire.embed(self.stem.embed, None)?;
        let mut x = wire.at(0, Point::Embed, x)?;
        let mut next = Vec::new();
        for layer in &self.stem.layers {
            x = wire.at(layer.index, Point::ResidPre, x)?;
            let read = wire.normalize(&x, &layer.norm1)?;
            let before = states.next().unwrap_or(&[]);
            let (cache, rows) = (before.first(), before.get(1));
            let positions = after(wire, cache, &read)?;
            let all = after(wire, rows, &positions)?;
            next.extend(self.next(wire, layer, [&read, &positions], (rows, kept))?);
            let (how, seen) = (self.how(layer, kept), &Seen { rows: &all, places: &places, start });
            let sum = self.relative.attend(wire, layer, how, [&x, &read], seen)?;
            x = layer.fed_forward(wire, &x, sum)?;
        }
        wire.carry(next);
        self.read().wire(wire, self.stem.last(), x)
    }

    fn keeps(&self) -> Option<Keeps> {
        Some(match self.reach {
            Reach { rows: 0, .. } => Keeps::Positions,
            Reach { rate, .. } => Keeps::Compressed { rate },
        })
    }

    fn read(&self) -> Read<'_> {
        self.stem.read()
    }

    fn embedding(&self) -> Option<Embedding> {
        Some(self.stem.embedding(None))
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        let reading = self.stem.reading(layer)?;
        let queries = reading.queries.map(|map| self.relative.seeking(map));
        Some(Reading { queries, by_distance: true, ..reading })
    }

    fn written(&self, layer: usize) -> Option<Written> {
        self.stem.written(layer)
    }
}
