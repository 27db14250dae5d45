//! A network that reads its sequences in segments, one after the other, and carries its state along.

use candle_core::Tensor;

use super::readout::{Readout, Writes};
use super::reads::{Embedding, Reads};
use super::{Input, Keeps, Layout, Model, Output, State};
use crate::base::error::{Error, Result};
use crate::nn::params::Params;
use crate::nn::tap::Tap;
use crate::nn::tape::Tape;

/// How sequences are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Positions in a segment; the last one may have fewer.
    pub length: usize,
    /// Of the last segments of a sequence, so many pass the gradient of what was carried into them on to the one before:
    /// the depth of back-propagation through time (Bulatov et al. 2022).
    pub through: usize,
}

/// A segment of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first position.
    pub from: usize,
    pub len: usize,
    /// No gradient passes from it to the one before it.
    pub is_cut: bool,
}

impl Segments {
    /// Those of a sequence of `positions`.
    pub fn of(self, positions: usize) -> impl Iterator<Item = Segment> {
        let length = self.length.max(1);
        let count = positions.div_ceil(length);
        (0..count).map(move |i| {
            let from = i * length;
            let len = length.min(positions - from);
            Segment { from, len, is_cut: i > 0 && i + self.through < count }
        })
    }
}

/// A network and how it reads.
pub struct Segmented {
    pub model: Box<dyn Model>,
    pub segments: Segments,
}

impl Model for Segmented {
    fn layout(&self) -> &Layout {
        self.model.layout()
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (_, positions) = input.tokens.dims2()?;
        let mut state = input.state.cloned();
        let whole = input.whole.unwrap_or(positions + state.as_ref().map_or(0, |s| s.read));
        let (mut logits, mut beside) = (Vec::new(), None);
        for segment in self.segments.of(positions) {
            let tokens = input.tokens.narrow(1, segment.from, segment.len)?;
            let before = state.take().map(|s| if segment.is_cut { detached(&s) } else { s });
            let here = |values: &Tensor| values.narrow(1, segment.from, segment.len);
            let values = input.values.map(here).transpose()?;
            let input = Input {
                tokens: &tokens,
                values: values.as_ref(),
                state: before.as_ref(),
                whole: Some(whole),
                logits_from: 0,
                from: None,
                caches: false,
            };
            let output = self.model.forward(params, &input, tap)?;
            logits.push(output.logits);
            beside = match (beside, output.beside) {
                (Some(before), Some(now)) => Some((before + now)?),
                (before, now) => before.or(now),
            };
            state = output.state;
            if state.is_none() && segment.from + segment.len < positions {
                return Err(Error::usage(format!(
                    "the network {} carries nothing from one segment to the next (Output::state): leave train.segment at 0",
                    self.layout().kind
                )));
            }
        }
        Ok(Output { logits: Tensor::cat(&logits, 1)?, state, beside })
    }

    fn record<'a>(&'a self, tape: &mut Tape<'a>) -> Result<bool> {
        for segment in self.segments.of(tape.length()) {
            tape.turn_to(segment.from, segment.len, segment.is_cut)?;
            if !self.model.record(tape)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn readout(&self, params: &Params) -> Result<Option<Readout>> {
        self.model.readout(params)
    }

    fn writes(&self, params: &Params, layer: usize) -> Result<Option<Writes>> {
        self.model.writes(params, layer)
    }

    fn embedding(&self) -> Option<Embedding> {
        self.model.embedding()
    }

    fn reads(&self, params: &Params, layer: usize) -> Result<Option<Reads>> {
        self.model.reads(params, layer)
    }

    fn keeps(&self) -> Option<Keeps> {
        self.model.keeps()
    }

    fn segments(&self) -> Option<Segments> {
        Some(self.segments)
    }
}

fn detached(state: &State) -> State {
    let memory = state.memory.iter().map(Tensor::detach).collect();
    State { memory, ..*state }
}
