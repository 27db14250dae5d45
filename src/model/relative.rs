//! Attention by relative positions (Dai et al. 2019, arXiv 1901.02860, section 3.3).
//!
//! Attention logits are `((q_i + u) · k_j + (q_i + v) · W_R r_(i - j)) / √dim`, where `r` are sinusoids of the distance. Since sinusoids
//! of a difference are products of sinusoids, the second term is a product of a vector of the query's place and a vector of the
//! key's: `W_Rᵀ (q_i + v)`, rotated by the place of the query, with a constant that is rotated by the place of the key. So each
//! query and key is longer by the width of the network, and attention is what it is elsewhere. A place may lie between positions.

use crate::base::error::Result;
use crate::nn::attention::Attention;
use crate::nn::params::{Init, Param};
use crate::nn::position::{Rotary, rotated_unit};
use crate::nn::wire::{Along, Heads, Map, Wire};

use super::decoder::layer::{Builder, Layer, SelfAttention};

/// The parameters of all layers.
pub(super) struct Relative {
    /// `u` and `v`, `[width]`: biases of queries, for what they seek and for how far it is.
    biases: [Param; 2],
    /// `W_Rᵀ` of each layer and head, `[width, head_dim]`.
    maps: Vec<Vec<Map>>,
    rotary: Rotary,
    head_dim: usize,
}

/// What a layer attends to.
pub(super) struct Seen<'x, X> {
    /// `[batch, key, width]`
    pub rows: &'x X,
    /// The constants of the places of the rows, likewise; see [`Relative::places`].
    pub places: &'x X,
    /// The place of the first query.
    pub start: usize,
}

impl Relative {
    /// For places of queries below `longest`.
    pub fn new(build: &mut Builder<'_>, longest: usize) -> Result<Self> {
        let (width, heads, head_dim) =
            (build.settings.width, build.settings.heads, build.head_dim());
        let rotary = Rotary::new(longest, width)?;
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
        Ok(Self { biases, maps, rotary, head_dim })
    }

    /// The map of queries with the bias of what they seek.
    pub fn seeking(&self, queries: Map) -> Map {
        Map { bias: Some(self.biases[0]), ..queries }
    }

    /// A table of the constant rotated by each place, `[place, width]`; never trained.
    pub fn places(
        build: &mut Builder<'_>,
        name: &str,
        places: impl ExactSizeIterator<Item = f64>,
    ) -> Result<Param> {
        let (count, width) = (places.len(), build.settings.width);
        build.params.add_values(name, &[count, width], rotated_unit(places, width), false)
    }

    /// `x + W_O · attention` from the rows that a layer `read`s to all that is seen.
    pub fn attend<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        layer: &'m Layer,
        how: Attention,
        [x, read]: [&W::X; 2],
        seen: &Seen<'_, W::X>,
    ) -> Result<W::X> {
        let queries = self.queries(wire, layer, read, seen.start)?;
        let keys = self.keys(wire, layer, seen.rows, seen.places)?;
        let SelfAttention { values, outputs, .. } = layer.attention;
        let (queries, keys, read) = (&queries, &keys, seen.rows);
        let heads = Heads { queries, keys, read, values, outputs, residual: Some(x), last: false };
        wire.attend(how, heads)
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
}
