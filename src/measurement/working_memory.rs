//! What a network keeps from segment to segment or from position to position: who writes into it, who reads from it.

use candle_core::Tensor;

use super::competition;
use super::read::values;
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::model::Keeps;
use crate::model::segments::Segments;
use crate::nn::tap::{KEYS, Part};

crate::settings! {
    /// What a layer of the network keeps on the sequence in view.
    ///
    /// `segment`: the first position of each segment. Of memory tokens `write.layerL` `[head, memory, position]`, the attention from the
    /// memory tokens that are written, those of all segments one after the other, to the positions of their segment; and
    /// `read.layerL` `[head, position, slot]`, the attention from positions to the memory tokens that they read; the number
    /// `write_layer` is the layer at whose place `memory.write` they can be changed; where they are retrieved, `retrieval` `[segment, from]`, how much each segment gets of the
    /// memory of those before it, rows from the second on sum to 1. Of a cache
    /// `cache.layerL` `[head, segment, from]`, the attention of a segment to each, on average over its queries. Where positions that leave
    /// the cache are compressed, also the number `rate` (positions of a row: row `i` was made of those from `i · rate` on), `seen.layerL` `[head, segment, position]`, the attention of a segment to each
    /// position, on average over its queries, and, once there are compressed rows, `compressed.layerL` `[head, position, row]`, that of each position to each row. Of recurrent
    /// units `hidden.layerL` and, of each gate, e.g. `gate.update.layerL`: `[position, unit]`. Of mechanisms that compete
    /// `gate.competition.layerL` `[position, unit]` of every layer that has several, the share of each, which sum to 1.
    pub struct WorkingMemory = "What is written into the network's memory and what is read from it, on the sequence in view." {
        /// Layer.
        layer: usize = 0, in 0..=63;
    }
}

/// The gates of recurrent units, in the order in which they are drawn.
const UNITS: [&str; 8] = [
    "hidden",
    "cell",
    "gate.update",
    "gate.reset",
    "gate.input",
    "gate.forget",
    "gate.output",
    "candidate",
];

impl Measurement for WorkingMemory {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn suits_reals(&self) -> bool {
        true
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if self.layer >= layout.heads.len() {
            return Err(Error::usage(format!(
                "layer {} was asked for; this network has {}, counted from 0",
                self.layer,
                layout.heads.len()
            )));
        }
        let segments = subject.model.segments();
        match subject.model.keeps() {
            None => Err(Error::usage(format!(
                "the network {} sees its whole sequence and keeps nothing beside it; networks that keep something are memory_tokens, hierarchical, transformer_xl, compressive, feedback and recurrent",
                layout.kind
            ))),
            Some(
                Keeps::Tokens | Keeps::Retrieved | Keeps::Positions | Keeps::Compressed { .. },
            ) if segments.is_none() => Err(Error::usage(
                "this network reads its sequences whole, so nothing is kept from one segment to the next; train it with train.segment",
            )),
            Some(
                Keeps::Tokens
                | Keeps::Retrieved
                | Keeps::Positions
                | Keeps::Compressed { .. }
                | Keeps::Units
                | Keeps::Mechanisms,
            ) => Ok(()),
        }
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let at = |point| Site { layer: self.layer, point };
        match subject.model.keeps() {
            Some(Keeps::Mechanisms) => competition::sites(subject).collect(),
            Some(Keeps::Units) => UNITS.iter().map(|name| at(Point::own(name))).collect(),
            Some(Keeps::Retrieved) => {
                let written = self.written(subject).map(|layer| Site { layer, point: WRITE });
                vec![at(Point::Pattern), written[0], written[1], RETRIEVAL]
            }
            Some(Keeps::Tokens) => {
                let written = self.written(subject).map(|layer| Site { layer, point: WRITE });
                vec![at(Point::Pattern), written[0], written[1]]
            }
            Some(Keeps::Positions | Keeps::Compressed { .. }) => vec![at(Point::Pattern)],
            None => Vec::new(),
        }
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let of = scene.batch.len;
        let segments = scene.subject.model.segments();
        let segments = segments.unwrap_or(Segments { length: of, through: 0 });
        let starts: Vec<f32> = segments.of(of).map(|segment| segment.from as f32).collect();
        let mut arrays = vec![Array::new("segment", &["segment"], &[starts.len()], starts)?];
        let mut means = Vec::new();
        let pattern = Site { layer: self.layer, point: Point::Pattern };
        let pieces = scene.captured.pieces(pattern);
        match scene.subject.model.keeps() {
            Some(Keeps::Tokens | Keeps::Retrieved) => {
                let known = |layer: &usize| {
                    scene.captured.contains_key(&Site { layer: *layer, point: WRITE })
                };
                let layer = self.written(scene.subject).into_iter().find(known);
                let sum = layer.map_or(f64::NAN, |layer| layer as f64);
                means.push(Mean { name: "write_layer".to_owned(), sum, count: 1.0 });
                arrays.push(self.array("read", &["position", "slot"], &read(pieces)?)?);
                arrays.push(self.array("write", &["memory", "position"], &written(pieces)?)?);
                arrays.extend(retrieved(scene)?);
            }
            Some(Keeps::Units) => {
                for name in UNITS {
                    let site = Site { layer: self.layer, point: Point::own(name) };
                    if let Some(found) = scene.captured.get(&site) {
                        arrays.push(units(site, found)?);
                    }
                }
            }
            Some(Keeps::Mechanisms) => {
                for site in competition::sites(scene.subject) {
                    if let Some(found) = scene.captured.get(&site) {
                        arrays.push(units(site, found)?);
                    }
                }
            }
            Some(Keeps::Compressed { rate }) => {
                means.push(Mean { name: "rate".to_owned(), sum: rate as f64, count: 1.0 });
                arrays.extend(self.compressed(scene, pattern, segments)?);
            }
            Some(Keeps::Positions) | None => {}
        }
        if let Some(whole) = scene.captured.get(&pattern) {
            arrays.push(self.array("cache", &["segment", "from"], &pooled(whole, segments)?)?);
        }
        Ok(Answer { arrays, means, ..Answer::default() })
    }
}

/// What the memory token that is read before a segment is retrieved from.
pub(super) const RETRIEVAL: Site = Site { layer: 0, point: Point::own("retrieval") };

/// How much each segment of the first sequence gets of the memories of those before it, if it asks for them.
fn retrieved(scene: &Scene<'_>) -> Result<Option<Array>> {
    let Some(all) = scene.captured.get(&RETRIEVAL) else { return Ok(None) };
    let segments = all.dim(1)?;
    let one = all.get(0)?.narrow(1, 0, segments)?.contiguous()?;
    let shape = [segments, segments];
    values(&one, |data| Array::new("retrieval", &["segment", "from"], &shape, data))?.map(Some)
}

/// Where memory tokens are written.
const WRITE: Point = Point::own("memory.write");

impl WorkingMemory {
    /// The layers where memory tokens may be written: each layer has its own, or the last one has.
    fn written(&self, subject: Subject<'_>) -> [usize; 2] {
        [self.layer, subject.model.layout().heads.len().saturating_sub(1)]
    }

    /// Of the first sequence, `[head, ..]`.
    fn array(&self, name: &str, axes: &[&str; 2], all: &Tensor) -> Result<Array> {
        let one = all.get(0)?.contiguous()?;
        let name = format!("{name}.layer{}", self.layer);
        values(&one, |data| Array::new(name, &["head", axes[0], axes[1]], one.dims(), data))?
    }

    /// What segments see of the positions, and positions of the rows that others were compressed into.
    fn compressed(
        &self,
        scene: &Scene<'_>,
        pattern: Site,
        segments: Segments,
    ) -> Result<Vec<Array>> {
        let Some((whole, rows)) = scene.captured.whole(pattern)? else { return Ok(Vec::new()) };
        let positions = whole.narrow(KEYS, rows, whole.dim(KEYS)? - rows)?;
        let seen = of_segments(&positions, segments)?;
        let mut arrays = vec![self.array("seen", &["segment", "position"], &seen)?];
        if rows > 0 {
            let to_rows = whole.narrow(KEYS, 0, rows)?;
            arrays.push(self.array("compressed", &["position", "row"], &to_rows)?);
        }
        Ok(arrays)
    }
}

/// What units, or mechanisms, of a layer are on the first sequence.
fn units(site: Site, all: &Tensor) -> Result<Array> {
    let one = all.get(0)?.contiguous()?;
    let name = format!("{}.layer{}", site.point.name(), site.layer);
    values(&one, |data| Array::new(name, &["position", "unit"], one.dims(), data))?
}

/// The axis of queries.
const QUERIES: usize = 2;

/// Attention from positions to the memory that they read, `[batch, head, position, slot]`.
fn read(pieces: &[(Part, Tensor)]) -> Result<Tensor> {
    let of = |(part, x): &(Part, Tensor)| -> Result<Tensor> {
        let rows = x.narrow(QUERIES, part.memory, part.len)?;
        let [before, after] = part.memory_keys(x.dim(KEYS)?);
        let (from, count) = if before.1 > 0 { before } else { after };
        Ok(rows.narrow(KEYS, from, count)?)
    };
    let all = pieces.iter().map(of).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&all, QUERIES)?)
}

/// Attention from the memory that is written to the positions, `[batch, head, segment · slot, position]`.
fn written(pieces: &[(Part, Tensor)]) -> Result<Tensor> {
    let of = |(part, x): &(Part, Tensor)| -> Result<Tensor> {
        let end = part.memory + part.len;
        let after = x.dim(QUERIES)? - end;
        let rows = match after {
            0 => x.narrow(QUERIES, 0, part.memory)?,
            _ => x.narrow(QUERIES, end, after)?,
        };
        let here = rows.narrow(KEYS, part.key_memory + part.key_cached, part.len)?;
        let later = part.of.saturating_sub(part.from + part.len);
        Ok(here.pad_with_zeros(KEYS, part.from, later)?)
    };
    let all = pieces.iter().map(of).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&all, QUERIES)?)
}

/// The attention of the segments to each key, on average over queries: `[batch, head, segment, key]`.
fn of_segments(whole: &Tensor, segments: Segments) -> Result<Tensor> {
    let row = |queries: crate::model::segments::Segment| -> Result<Tensor> {
        Ok(whole.narrow(QUERIES, queries.from, queries.len)?.mean_keepdim(QUERIES)?)
    };
    let rows = segments.of(whole.dim(QUERIES)?).map(row).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&rows, QUERIES)?)
}

/// The attention of the segments to each of them, on average over queries: `[batch, head, segment, from]`.
fn pooled(whole: &Tensor, segments: Segments) -> Result<Tensor> {
    let all: Vec<_> = segments.of(whole.dim(QUERIES)?).collect();
    let row = |queries: &crate::model::segments::Segment| -> Result<Tensor> {
        let rows = whole.narrow(QUERIES, queries.from, queries.len)?;
        let cells = all.iter().map(|keys| {
            Ok(rows.narrow(KEYS, keys.from, keys.len)?.sum_keepdim(KEYS)?.mean_keepdim(QUERIES)?)
        });
        Ok(Tensor::cat(&cells.collect::<Result<Vec<_>>>()?, KEYS)?)
    };
    let rows = all.iter().map(row).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&rows, QUERIES)?)
}
