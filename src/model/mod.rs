//! What learns: settings that build into a network.

pub mod anatomy;
pub mod birth;
mod cached;
pub mod compression;
pub mod compressive;
pub mod decoder;
pub mod feedback;
pub mod hierarchical;
pub mod mechanisms;
pub mod memories;
pub mod memory_tokens;
pub mod pass;
pub mod pretrained;
pub mod readout;
pub mod reads;
pub mod recurrent;
pub mod reduced_induction;
mod relative;
pub mod segments;
pub mod stack;
pub mod transformer_xl;

use std::sync::Arc;

use candle_core::Tensor;

use crate::base::batch::Reals;
use crate::base::error::{Error, Result};
use crate::base::registry::Entry;
use crate::base::settings::Settings;
use crate::base::weights::{TensorFile, Weights};
use crate::nn::params::{Param, Params};
use crate::nn::tap::{Part, Tap};
use crate::nn::tape::Tape;
use crate::nn::wire::{Watched, Wire};

use anatomy::Anatomy;
use memories::Memories;
use readout::{Read, Readout, Writes, Written};
use reads::{Embedding, Reading, Reads};

/// All architectures.
pub const ALL: &[Entry<dyn Architecture>] = &[
    Entry { name: "birth", make: || Box::new(birth::Birth::default()) },
    Entry { name: "decoder", make: || Box::new(decoder::Decoder::default()) },
    Entry { name: "recurrent", make: || Box::new(recurrent::Recurrent::default()) },
    Entry { name: "memory_tokens", make: || Box::new(memory_tokens::MemoryTokens::default()) },
    Entry { name: "transformer_xl", make: || Box::new(transformer_xl::TransformerXl::default()) },
    Entry { name: "compressive", make: || Box::new(compressive::Compressive::default()) },
    Entry { name: "hierarchical", make: || Box::new(hierarchical::Hierarchical::default()) },
    Entry { name: "mechanisms", make: || Box::new(mechanisms::Mechanisms::default()) },
    Entry {
        name: "reduced_induction",
        make: || Box::new(reduced_induction::ReducedInduction::default()),
    },
    Entry { name: "feedback", make: || Box::new(feedback::Feedback::default()) },
];

/// The sequences that a network is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    pub vocab: usize,
    /// Positions of the longest.
    pub length: usize,
    /// Positions that are read at a time.
    pub segment: usize,
    /// What positions carry beside their tokens, and what is to be predicted in place of these.
    pub reals: Reals,
}

impl Sequences {
    /// Of tokens, read whole.
    pub fn of_tokens(vocab: usize, length: usize) -> Self {
        Self { vocab, length, segment: length, reals: Reals::default() }
    }
}

/// The settings of a network.
pub trait Architecture: Settings + Send + Sync {
    /// Adds the network's parameters for such sequences, and returns its forward pass.
    ///
    /// # Errors
    /// When settings contradict each other or the sequences.
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>>;
    /// Whether it is read from files of another program, and not trained.
    fn is_read(&self) -> bool {
        false
    }
    /// The network without its numbers, for its layout and what else stays the same at all steps: one that is read from files is not
    /// read for that.
    ///
    /// # Errors
    /// As [`Self::build`].
    fn outline(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        self.build(on, params)
    }
    /// The network with the numbers of other files of another program: those of another step. `None` where it is not read from files.
    ///
    /// # Errors
    /// When they are the files of another network.
    fn read(
        &self,
        _file: &Arc<dyn TensorFile>,
        _params: &mut Params,
    ) -> Result<Option<Box<dyn Model>>> {
        Ok(None)
    }
    /// Whether it knows positions that carry real numbers, and predicts such: [`Sequences::reals`].
    fn reads_reals(&self) -> bool {
        false
    }
    /// Whether it keeps something from segment to segment and needs segments of one length: how long it says in
    /// `train.segment`.
    fn needs_whole_segments(&self) -> bool {
        false
    }
    /// A copy.
    fn boxed(&self) -> Box<dyn Architecture>;
    /// A network of these settings and weights taken apart, for sequences of up to `length` tokens: what other
    /// libraries' spellings are written from.
    ///
    /// # Errors
    /// When the weights are those of another network, or this one cannot be said as attention and MLPs that add to a
    /// residual stream.
    fn anatomy(&self, _weights: &Weights, _length: usize) -> Result<Anatomy> {
        Err(Error::usage(
            "this model does not say what its matrices are to other libraries; its weights can be written under their own names",
        ))
    }
}

/// Shape of a network, for menus and measurements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name in the registry.
    pub kind: &'static str,
    /// Attention heads of each layer (0 for a layer without attention).
    pub heads: Vec<usize>,
    /// Width of the residual stream.
    pub width: usize,
    pub vocab: usize,
    /// Longest sequence.
    pub length: usize,
}

impl Layout {
    /// Whether any layer attends.
    pub fn has_heads(&self) -> bool {
        self.heads.iter().any(|heads| *heads > 0)
    }
}

/// What a network keeps of what it has read, beside the sequence that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Memory tokens, from segment to segment.
    Tokens,
    /// A memory vector of each segment; the memory token that is read before a segment is retrieved from all of them.
    Retrieved,
    /// What layers read at the positions of segments before.
    Positions,
    /// The same, and rows that the positions before those were compressed into, so many each, from the first on.
    Compressed { rate: usize },
    /// The state of recurrent units, from position to position.
    Units,
    /// Nothing beside the sequence; but mechanisms compete, at each position, for what is written into their slices of the stream.
    Mechanisms,
}

/// What is carried from one segment of a sequence to the next.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Positions that were read.
    pub read: usize,
    /// Segments that they were read in.
    pub segments: usize,
    /// The memory of the network; none for one that has no state.
    pub memory: Vec<Tensor>,
}

/// What a forward pass reads.
pub struct Input<'a> {
    /// `[batch, pos]`, `u32`.
    pub tokens: &'a Tensor,
    /// The real numbers that positions carry, `[batch, pos, inputs]`; `None` in tasks of tokens.
    pub values: Option<&'a Tensor>,
    /// What the segment before left behind; `None` at the beginning of the sequences.
    pub state: Option<&'a State>,
    /// Positions of the whole sequences; `None`: those of the tokens.
    pub whole: Option<usize>,
    /// The first of these tokens whose logits are asked for; a network may give them of all.
    pub logits_from: usize,
    /// The stream that a layer reads, `[batch, pos, width]`, where everything before it is known: the pass begins there, in a network that can
    /// ([`Model::resumes`]).
    pub from: Option<(usize, Tensor)>,
    /// Whether keys and values are kept in the state, of a network that can ([`Model::caches`]): what comes later attends to all that was read.
    pub caches: bool,
}

impl<'a> Input<'a> {
    /// Whole sequences.
    pub fn new(tokens: &'a Tensor) -> Self {
        Self {
            tokens,
            values: None,
            state: None,
            whole: None,
            logits_from: 0,
            from: None,
            caches: false,
        }
    }
}

pub struct Output {
    /// `[batch, pos, vocab]`, of the positions that were asked for; in a task of real numbers the predicted ones, `[batch, pos, outputs]`.
    pub logits: Tensor,
    /// For the segment that comes next; `None`: this model cannot go on.
    pub state: Option<State>,
    /// Of each sequence the losses that the network itself adds to that of its logits, `[batch]`; `None`: it adds none.
    pub beside: Option<Tensor>,
}

/// A network that says its wiring once. It is a [`Model`], which trains on the tape.
pub trait Network: Send + Sync {
    fn layout(&self) -> &Layout;
    /// Tokens to logits `[batch, pos, vocab]`, every place marked by its name.
    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X>;
    /// How what its last layer gives is read into logits; [`Self::wire`] ends with the same ([`Read::wire`]).
    fn read(&self) -> Read<'_>;
    /// Whether it can be trained, on the tape; one that cannot is read over tensors alone.
    fn is_trained(&self) -> bool {
        true
    }
    /// Whether layers add to a residual stream, which can be read into logits anywhere.
    fn has_stream(&self) -> bool {
        true
    }
    /// What it keeps of what it has read.
    fn keeps(&self) -> Option<Keeps> {
        None
    }
    /// Whether all that a position takes of those before it are their keys and values: see [`Input::caches`].
    fn caches(&self) -> bool {
        false
    }
    /// Whether its wiring can begin at a layer: see [`Input::from`].
    fn resumes(&self) -> bool {
        false
    }
    /// Where a layer writes into the residual stream; `None`: there is no such layer, or it has no heads.
    fn written(&self, _layer: usize) -> Option<Written> {
        None
    }
    /// What its stream begins with; `None`: there is no such stream, or it does not say.
    fn embedding(&self) -> Option<Embedding> {
        None
    }
    /// How the heads of a layer read the residual stream; `None`: there is no such layer, it has no heads, or it does not say.
    fn reading(&self, _layer: usize) -> Option<Reading<'_>> {
        None
    }
    /// Its matrices, where each of them is an associative memory; see [`Model::memories`].
    fn memories(&self) -> Option<Memories> {
        None
    }
}

impl<N: Network> Model for N {
    fn layout(&self) -> &Layout {
        Network::layout(self)
    }

    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (State { read, segments, memory }, (_, count)) =
            (input.state.cloned().unwrap_or_default(), input.tokens.dims2()?);
        let length = read + count;
        check_length(Network::layout(self), count, length)?;
        let part = Part::positions(read, count, input.whole.unwrap_or(length));
        let part = Part { segment: segments, ..part };
        let mut wire = Watched::new(params, input.tokens, part, tap).carrying(input.values);
        wire.logits_from = input.logits_from;
        wire.from.clone_from(&input.from);
        let caches = input.caches && Network::caches(self);
        if caches {
            wire.cache = Some(memory);
        } else {
            wire.carry(memory);
        }
        let logits = self.wire(&mut wire)?;
        let memory = if caches { wire.cache.take().unwrap_or_default() } else { wire.carried() };
        let (read, segments) = (length, segments + 1);
        let state = Some(State { read, segments, memory });
        Ok(Output { logits, state, beside: wire.beside.take() })
    }

    fn has_tape(&self) -> bool {
        self.is_trained()
    }

    fn record<'a>(&'a self, tape: &mut Tape<'a>) -> Result<bool> {
        if !self.is_trained() {
            return Ok(false);
        }
        let part = tape.part();
        check_length(Network::layout(self), part.len, part.from + part.len)?;
        let logits = self.wire(tape)?;
        tape.end(logits);
        Ok(true)
    }

    fn readout(&self, params: &Params) -> Result<Option<Readout>> {
        self.has_stream().then(|| self.read().numbers(params)).transpose()
    }

    fn writes(&self, params: &Params, layer: usize) -> Result<Option<Writes>> {
        let written = self.written(layer);
        written.map(|w| w.numbers(Network::layout(self).width, params)).transpose()
    }

    fn mlp_output(&self, layer: usize) -> Option<Param> {
        Some(self.written(layer)?.mlp?.weight)
    }

    fn embedding(&self) -> Option<Embedding> {
        Network::embedding(self)
    }

    fn reads(&self, params: &Params, layer: usize) -> Result<Option<Reads>> {
        let reading = self.reading(layer);
        reading.map(|r| r.numbers(Network::layout(self).width, params)).transpose()
    }

    fn memories(&self) -> Option<Memories> {
        Network::memories(self)
    }

    fn keeps(&self) -> Option<Keeps> {
        Network::keeps(self)
    }

    fn caches(&self) -> bool {
        Network::caches(self)
    }

    fn resumes(&self) -> bool {
        Network::resumes(self)
    }
}

/// That `count` positions are read, to the `length`-th of a sequence.
fn check_length(layout: &Layout, count: usize, length: usize) -> Result<()> {
    if count > 0 && length <= layout.length {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the sequence has {length} tokens, this network reads at least 1 and at most {}; use another one",
        layout.length
    )))
}

/// A network without its numbers: those are an argument, so that one network serves every step of a run.
pub trait Model: Send + Sync {
    fn layout(&self) -> &Layout;
    /// One forward pass, every point of it through the tap.
    ///
    /// # Errors
    /// When the input is longer than the layout allows, or the tap refuses.
    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output>;
    /// The same pass on a tape, to the end of its logits ([`Tape::end`]): training runs it where nobody intervenes, for it is
    /// faster. False for a model without it: it is trained through [`Self::forward`].
    fn record<'a>(&'a self, _tape: &mut Tape<'a>) -> Result<bool> {
        Ok(false)
    }
    /// False for a network that is read over tensors alone, because it is never trained.
    fn has_tape(&self) -> bool {
        true
    }
    /// How its residual stream is read into logits; [`Self::forward`] reads it by the same. `None`: it has no such
    /// stream, or does not say.
    fn readout(&self, _params: &Params) -> Result<Option<Readout>> {
        Ok(None)
    }
    /// Logits `[.., vocab]` of a residual stream `[.., width]`, of whatever layer: through the final norm where there is
    /// one, as at the end of [`Self::forward`].
    ///
    /// # Errors
    /// When the network does not say how, or the width is another.
    fn unembed(&self, params: &Params, x: &Tensor) -> Result<Tensor> {
        let kind = self.layout().kind;
        let readout = self.readout(params)?.ok_or_else(|| {
            Error::usage(format!(
                "the network {kind} does not say how its residual stream is read into logits (Model::readout)"
            ))
        })?;
        readout.unembedded(x)
    }
    /// What it keeps of what it has read. `None`: nothing beside the sequence that it sees, or it does not say.
    fn keeps(&self) -> Option<Keeps> {
        None
    }
    /// Whether it can keep keys and values, so that a sequence is read on token by token: see [`Input::caches`].
    fn caches(&self) -> bool {
        false
    }
    /// Whether a pass can begin with what a layer reads: see [`Input::from`].
    fn resumes(&self) -> bool {
        false
    }
    /// How it reads its sequences; `None`: whole.
    fn segments(&self) -> Option<segments::Segments> {
        None
    }
    /// How the heads of a layer write into the residual stream. `None`: they do not just add to it, or it does not say.
    fn writes(&self, _params: &Params, _layer: usize) -> Result<Option<Writes>> {
        Ok(None)
    }
    /// The matrix with which the MLP of a layer adds to the residual stream, `[width, hidden]`. `None`: there is no such, or it does not say.
    fn mlp_output(&self, _layer: usize) -> Option<Param> {
        None
    }
    /// What its stream begins with. `None`: there is no such stream, or it does not say.
    fn embedding(&self) -> Option<Embedding> {
        None
    }
    /// How the heads of a layer read the residual stream. `None`: there is no such layer, it has no heads, or it does not say.
    fn reads(&self, _params: &Params, _layer: usize) -> Result<Option<Reads>> {
        Ok(None)
    }
    /// Its matrices, where each of them is an associative memory that can be read by itself. `None`: they cannot, norms or
    /// queries of their own stand between.
    fn memories(&self) -> Option<Memories> {
        None
    }
}
