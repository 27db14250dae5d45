//! Transformer-XL: each layer also attends to a cache of what it read in the segments before (Dai et al. 2019, arXiv 1901.02860).
//!
//! Attention logits are `((q_i + u) · k_j + (q_i + v) · W_R r_(i - j)) / √dim`, where `r` are sinusoids of the distance. Since sinusoids
//! of a difference are products of sinusoids, the second term is a product of a vector of the query's place and a vector of the
//! key's: `W_Rᵀ (q_i + v)`, rotated by the place of the query, with a constant that is rotated by the place of the key. So each
//! query and key is longer by the width of the network, and attention is what it is elsewhere.

use crate::base::error::Result;
use crate::base::intervention::Point;
use crate::nn::attention::Mask;
use crate::nn::params::{Init, Param, Params};
use crate::nn::position::Rotary;
use crate::nn::wire::{Along, Heads, Map, Wire};

use super::decoder::Decoder;
use super::decoder::layer::{Builder, Layer, SelfAttention};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::stack::{Stack, Stem};
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct TransformerXl = "Transformer-XL: attention also sees a cache of the segments before (train.segment), by relative positions." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// Positions in the cache of each layer; 0: as many as a segment has.
        cache: usize = 0, in 0..=65536;
        /// No gradient passes into the cache, as published.
        stop_gradient: bool = true;
    }
}

impl Architecture for TransformerXl {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        // Biases of queries are u and v, which all layers share.
        let decoder = Decoder { biases: false, ..self.stack.decoder() };
        let build = &mut Builder::new(&decoder, on, Mask::default(), params)?;
        Ok(Box::new(Cached::new(self, build, on.segment)?))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct Cached {
    stem: Stem,
    relative: Relative,
    cache: usize,
    stop_gradient: bool,
}

/// Attention by relative positions.
struct Relative {
    /// `u` and `v`, `[width]`: biases of queries, for what they seek and for how far it is.
    biases: [Param; 2],
    /// `W_Rᵀ` of each layer and head, `[width, head_dim]`.
    maps: Vec<Vec<Map>>,
    /// The constant rotated by each place, `[cache + segment, width]`; never trained.
    places: Param,
    rotary: Rotary,
    head_dim: usize,
}

impl Cached {
    fn new(settings: &TransformerXl, build: &mut Builder<'_>, segment: usize) -> Result<Self> {
        let stem = Stem::new(build, "transformer_xl")?;
        let cache = if settings.cache == 0 { segment } else { settings.cache };
        let relative = Relative::new(build, cache + segment)?;
        Ok(Self { stem, relative, cache, stop_gradient: settings.stop_gradient })
    }

    /// What a layer sees: its cache, if there is one, and what it reads now. The last of it is the next cache.
    fn seen<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        cache: Option<&W::X>,
        cached: usize,
        read: &W::X,
    ) -> Result<(W::X, W::X)> {
        let seen = match cache {
            Some(cache) => wire.concat(&[cache.clone(), read.clone()], Along::Positions)?,
            None => read.clone(),
        };
        let all = cached + wire.positions();
        let kept = all.min(self.cache);
        let mut next = wire.slice(&seen, Along::Positions, all - kept, kept)?;
        if self.stop_gradient {
            next = wire.detach(&next)?;
        }
        Ok((seen, next))
    }
}

impl Relative {
    fn new(build: &mut Builder<'_>, longest: usize) -> Result<Self> {
        let (width, heads, head_dim) =
            (build.settings.width, build.settings.heads, build.head_dim());
        let rotary = Rotary::new(longest, width)?;
        let (cosines, sines) = rotary.tables();
        let pairs = cosines.iter().zip(sines).flat_map(|(cosine, sine)| [-sine, *cosine]);
        let places = pairs.collect();
        let places = build.params.add_values("relative", &[longest, width], places, false)?;
        let bias = |build: &mut Builder<'_>, name| {
            build.params.add(name, &[heads * head_dim], Init::Zeros, true)
        };
        let biases = [bias(build, "u")?, bias(build, "v")?];
        let mut map = |layer, head| {
            let init = Init::Normal(1.0 / (width as f64).sqrt());
            let name = format!("layer{layer}.wr.head{head}");
            build.params.add(&name, &[width, head_dim], init, true).map(Map::plain)
        };
        let maps = (0..build.settings.layers)
            .map(|layer| (0..heads).map(|head| map(layer, head)).collect::<Result<_>>())
            .collect::<Result<_>>()?;
        Ok(Self { biases, maps, places, rotary, head_dim })
    }

    /// Queries that also say which distance they seek, `[batch, query, head · (head_dim + width)]`; the first stands at the place
    /// `start`.
    fn queries<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        read: &W::X,
        start: usize,
    ) -> Result<W::X> {
        let weight = layer.attention.queries.weight;
        let [seek, far] = self.biases.map(|bias| Map { weight, bias: Some(bias) });
        let (seek, far) = (wire.linear(read, seek)?, wire.linear(read, far)?);
        let mut parts = Vec::new();
        for (head, map) in self.maps[layer.index].iter().enumerate() {
            let from = head * self.head_dim;
            parts.push(wire.slice(&seek, Along::Columns, from, self.head_dim)?);
            let far = wire.slice(&far, Along::Columns, from, self.head_dim)?;
            let far = wire.linear(&far, *map)?;
            parts.push(wire.rotate(&far, &self.rotary, start)?);
        }
        wire.concat(&parts, Along::Columns)
    }

    /// Keys that also say where they stand, likewise.
    fn keys<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        seen: &W::X,
        places: &W::X,
    ) -> Result<W::X> {
        let keys = wire.linear(seen, layer.attention.keys)?;
        let mut parts = Vec::new();
        for head in 0..layer.attention.how.heads {
            parts.push(wire.slice(&keys, Along::Columns, head * self.head_dim, self.head_dim)?);
            parts.push(places.clone());
        }
        wire.concat(&parts, Along::Columns)
    }

    /// Of so many keys.
    fn places<'m, W: Wire<'m>>(&'m self, wire: &mut W, count: usize) -> Result<W::X> {
        let places = wire.repeat(self.places)?;
        wire.slice(&places, Along::Positions, 0, count)
    }
}

impl Network for Cached {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let caches = wire.carried();
        let cached = if caches.is_empty() { 0 } else { wire.first().min(self.cache) };
        let places = self.relative.places(wire, cached + wire.positions())?;
        let x = wire.embed(self.stem.embed, None)?;
        let mut x = wire.at(0, Point::Embed, x)?;
        let mut next = Vec::new();
        for layer in &self.stem.layers {
            x = wire.at(layer.index, Point::ResidPre, x)?;
            let read = wire.normalize(&x, &layer.norm1)?;
            let (seen, kept) = self.seen(wire, caches.get(layer.index), cached, &read)?;
            next.push(kept);
            let queries = self.relative.queries(wire, layer, &read, cached)?;
            let keys = self.relative.keys(wire, layer, &seen, &places)?;
            let SelfAttention { how, values, outputs, .. } = layer.attention;
            let (queries, keys, read) = (&queries, &keys, &seen);
            let heads =
                Heads { queries, keys, read, values, outputs, residual: Some(&x), last: false };
            let sum = wire.attend(how, heads)?;
            x = layer.fed_forward(wire, &x, sum)?;
        }
        wire.carry(next);
        self.read().wire(wire, self.stem.last(), x)
    }

    fn keeps(&self) -> Option<Keeps> {
        Some(Keeps::Positions)
    }

    fn read(&self) -> Read<'_> {
        self.stem.read()
    }

    fn embedding(&self) -> Option<Embedding> {
        Some(self.stem.embedding(None))
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        let reading = self.stem.reading(layer)?;
        let bias = Some(self.relative.biases[0]);
        let queries = reading.queries.map(|map| Map { bias, ..map });
        Some(Reading { queries, by_distance: true, ..reading })
    }

    fn written(&self, layer: usize) -> Option<Written> {
        self.stem.written(layer)
    }
}
