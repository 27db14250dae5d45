//! Hierarchical memory: the memory of each segment is kept, and what is read before the next one is retrieved from all of them by a
//! summary of it (HMT, arXiv 2405.06067).
//!
//! A segment is passed twice. Its beginning, between the summary vector, gives a summary; the summary asks the memories of the segments
//! before, and their mean by that attention is the prompt. Then the whole segment is read as `[prompt | tokens | prompt]`; what comes
//! out at the end is its memory.

use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::nn::params::{Init, Param, Params};
use crate::nn::wire::{Along, Map, Wire};

use super::decoder::layer::Builder;
use super::memory_tokens::{Vectors, mask};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::stack::{Stack, Stem};
use super::{Architecture, Keeps, Layout, Model, Network, Sequences};

crate::settings! {
    /// Settings of the network.
    pub struct Hierarchical = "A hierarchical memory transformer: each segment (train.segment) leaves one memory vector, and a summary of the next one retrieves what it needs from all of them." {
        /// Layers, heads and width.
        stack: Stack = Stack::default();
        /// The share of a segment, from its beginning, that its summary is made of.
        summary: f64 = 0.5, in 0.0..=1.0;
        /// Memory vectors that can be retrieved, the latest; 0: all.
        recall: usize = 0, in 0..=4096;
        /// What is predicted at the positions that a summary is made of is read from the pass that makes it, before anything is retrieved: what is retrieved depends on all of them. Off, as in the authors' code: after it, so that the first of them see the last.
        causal: bool = true;
        /// Retrieve by the summary. Off: the memory of the segment before is read, as in `memory_tokens`.
        retrieval: bool = true;
    }
}

impl Architecture for Hierarchical {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let decoder = self.stack.decoder();
        // What is written after the last segment nobody reads.
        let write = on.segment < on.length;
        let mut build = Builder::new(&decoder, on, mask(1, write), params)?;
        let stem = Stem::new(&mut build, "hierarchical")?;
        let positions = build.table("pos", on.segment)?;
        let vectors = Vectors::new(&mut build, 1, write)?;
        let retrieves = write && self.retrieval;
        let retrieval = retrieves.then(|| Retrieval::new(self, on, params)).transpose()?;
        let segment = on.segment;
        let summary = convert::index((self.summary * segment as f64).round()).clamp(1, segment);
        let causal = self.causal && retrieves;
        if causal && summary == segment {
            return Err(Error::usage(format!(
                "model.summary is {}, so summaries are made of all {segment} positions of a segment (train.segment), and with model.causal nothing would be predicted after something was retrieved: lower model.summary, read longer segments or set model.causal to false",
                self.summary
            )));
        }
        Ok(Box::new(Memories { stem, positions, vectors, retrieval, summary, segment, causal }))
    }

    fn needs_whole_segments(&self) -> bool {
        true
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct Memories {
    stem: Stem,
    /// Of the positions in a segment, `[segment, width]`.
    positions: Param,
    vectors: Vectors,
    /// None: the last memory is read.
    retrieval: Option<Retrieval>,
    /// Positions that a summary is made of.
    summary: usize,
    segment: usize,
    /// What is predicted at these positions is read before anything is retrieved.
    causal: bool,
}

/// How a summary asks the memories of the segments before.
struct Retrieval {
    /// `[width, width]` each.
    queries: Map,
    keys: Map,
    /// Ones, `[1, width]`: the sum of a row. Never trained.
    sums: Map,
    /// Ones, `[width, 1]`: a number in all columns of a row. Never trained.
    spreads: Map,
    /// Memories that are kept.
    most: usize,
    /// Segments of the longest sequence.
    segments: usize,
    width: usize,
}

impl Retrieval {
    fn new(settings: &Hierarchical, on: Sequences, params: &mut Params) -> Result<Self> {
        let width = settings.stack.width;
        let init = Init::Normal(1.0 / (width as f64).sqrt());
        let mut map = |name| params.add(name, &[width, width], init, true).map(Map::plain);
        let (queries, keys) = (map("retrieval.wq")?, map("retrieval.wk")?);
        let mut ones = |name, shape: [usize; 2]| {
            params.add_values(name, &shape, vec![1.0; width], false).map(Map::plain)
        };
        let (sums, spreads) = (ones("ones", [1, width])?, ones("ones_column", [width, 1])?);
        let segments = on.length.div_ceil(on.segment);
        let most = if settings.recall == 0 { segments } else { settings.recall };
        Ok(Self { queries, keys, sums, spreads, most, segments, width })
    }

    /// What a `summary` `[batch, 1, width]` gets of the memories that are kept, `[batch, count, width]`: the last `count` of all that
    /// were `written`.
    fn recalled<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        summary: &W::X,
        kept: &W::X,
        [count, written]: [usize; 2],
    ) -> Result<W::X> {
        let shares = self.shares(wire, summary, kept, count)?;
        let columns = self.passed(wire, Some(shares), [count, written])?;
        let shares = wire.slice(&columns, Along::Columns, written - count, count)?;
        let each = wire.in_rows_of(&shares, 1)?;
        let each = wire.linear(&each, self.spreads)?;
        let parts = wire.product(&each, kept)?;
        let parts = wire.in_rows_of(&parts, count * self.width)?;
        let part = |wire: &mut W, i| wire.slice(&parts, Along::Columns, i * self.width, self.width);
        let mut sum = part(wire, 0)?;
        for i in 1..count {
            let next = part(wire, i)?;
            sum = wire.sum(&sum, &next)?;
        }
        Ok(sum)
    }

    /// How much of each memory it gets, `[batch, 1, count]`, by one head.
    fn shares<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        summary: &W::X,
        kept: &W::X,
        count: usize,
    ) -> Result<W::X> {
        let query = wire.linear(summary, self.queries)?;
        let keys = wire.linear(kept, self.keys)?;
        let queries = wire.concat(&vec![query; count], Along::Positions)?;
        let products = wire.product(&queries, &keys)?;
        let scores = wire.linear(&products, self.sums)?;
        let scores = wire.in_rows_of(&scores, count)?;
        let scores = wire.scale(&scores, 1.0 / (self.width as f32).sqrt())?;
        wire.softmax(&scores)
    }

    /// The same through the place `retrieval`, with a column for each segment of the longest sequence. Before the first segment
    /// nothing is retrieved.
    fn passed<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        shares: Option<W::X>,
        [count, written]: [usize; 2],
    ) -> Result<W::X> {
        let mut columns = Vec::new();
        if written > count {
            columns.push(wire.zeros(1, written - count)?);
        }
        columns.extend(shares);
        if self.segments > written {
            columns.push(wire.zeros(1, self.segments - written)?);
        }
        let columns = wire.concat(&columns, Along::Columns)?;
        wire.at_memory(0, Point::own("retrieval"), columns)
    }
}

impl Memories {
    /// What the beginning of a segment is about, `[batch, 1, width]`, and the stream at its positions.
    fn summary<'m, W: Wire<'m>>(&'m self, wire: &mut W, tokens: &W::X) -> Result<[W::X; 2]> {
        let count = self.summary.min(wire.positions());
        let beginning = wire.slice(tokens, Along::Positions, 0, count)?;
        let first = wire.repeat(self.vectors.first)?;
        let mut x = self.vectors.around(wire, &first, beginning)?;
        for layer in &self.stem.layers {
            x = layer.wire(wire, x)?;
        }
        let last = wire.slice(&x, Along::Positions, count + 1, 1)?;
        let summary = wire.normalize(&last, self.stem.norm())?;
        Ok([summary, wire.slice(&x, Along::Positions, 1, count)?])
    }

    /// What is read before and after a segment, of the memories that are kept; and the stream at the positions that were read to
    /// retrieve it, if they were.
    fn prompt<'m, W: Wire<'m>>(
        &'m self,
        wire: &mut W,
        tokens: &W::X,
        kept: Option<&W::X>,
    ) -> Result<(W::X, Option<W::X>)> {
        let Some(kept) = kept else {
            if let Some(retrieval) = &self.retrieval {
                retrieval.passed(wire, None, [0, 0])?;
            }
            return Ok((wire.repeat(self.vectors.first)?, None));
        };
        let Some(retrieval) = &self.retrieval else { return Ok((kept.clone(), None)) };
        let written = wire.first() / self.segment;
        let [summary, beginning] = wire.aside(|wire| self.summary(wire, tokens))?;
        let counts = [written.min(retrieval.most), written];
        let prompt = retrieval.recalled(wire, &summary, kept, counts)?;
        Ok((prompt, Some(beginning)))
    }

    /// The stream that is predicted from: at the positions that were read to retrieve something, before that.
    fn predicted_from<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        x: W::X,
        beginning: Option<W::X>,
    ) -> Result<W::X> {
        let count = self.summary.min(wire.positions());
        match beginning.filter(|_| self.causal) {
            None => Ok(x),
            Some(beginning) if count == wire.positions() => Ok(beginning),
            Some(beginning) => {
                let rest = wire.slice(&x, Along::Positions, count, wire.positions() - count)?;
                wire.concat(&[beginning, rest], Along::Positions)
            }
        }
    }

    /// The memories for the next segment.
    fn kept<'m, W: Wire<'m>>(
        &self,
        wire: &mut W,
        kept: Option<W::X>,
        written: W::X,
    ) -> Result<W::X> {
        let (Some(retrieval), Some(kept)) = (&self.retrieval, kept) else { return Ok(written) };
        let has = (wire.first() / self.segment).min(retrieval.most);
        let all = wire.concat(&[kept, written], Along::Positions)?;
        let stay = (has + 1).min(retrieval.most);
        wire.slice(&all, Along::Positions, has + 1 - stay, stay)
    }
}

impl Network for Memories {
    fn layout(&self) -> &Layout {
        &self.stem.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let tokens = self.stem.tokens(wire, self.positions)?;
        let kept = wire.carried().pop();
        let (prompt, beginning) = self.prompt(wire, &tokens, kept.as_ref())?;
        let mut x = self.vectors.surrounded(wire, prompt, tokens)?;
        for layer in &self.stem.layers {
            x = layer.wire(wire, x)?;
        }
        let written = self.vectors.written(wire, &self.stem, &x)?;
        let kept = self.kept(wire, kept, written)?;
        wire.carry(vec![kept]);
        let x = self.vectors.positions(wire, &x)?;
        let x = self.predicted_from(wire, x, beginning)?;
        self.read().wire(wire, self.stem.last(), x)
    }

    fn keeps(&self) -> Option<Keeps> {
        Some(if self.retrieval.is_some() { Keeps::Retrieved } else { Keeps::Tokens })
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
