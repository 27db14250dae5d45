//! Questions put to a model. Pure: the same weights and sequences give the same answer.

pub mod analysis;
pub mod attention;
pub mod attribution;
pub mod automaton;
pub mod causal;
pub mod chains;
pub mod circuits;
pub mod competition;
pub mod components;
pub mod effect;
pub mod elsewhere;
pub mod gates;
pub mod gating;
pub mod groups;
pub mod heads;
pub mod in_context_errors;
pub mod induction;
pub mod logit_lens;
pub mod marks;
pub mod memories;
pub mod memory_gradient;
pub mod memory_use;
pub mod norms;
pub mod other_outputs;
pub mod outcome;
pub mod predictions;
pub mod probing;
pub mod query_key;
pub mod read;
pub mod recall;
pub mod retrieval;
pub mod scalars;
pub mod study;
pub mod tree;
pub mod tree_view;
pub mod whole;
pub mod working_memory;

use candle_core::Tensor;

use crate::base::array::Array;
use crate::base::batch::{Batch, Reals, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::Site;
use crate::base::registry::Entry;
use crate::base::settings::Settings;
use crate::model::Model;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::Captured;
use crate::task::Source;

/// All measurements; those that are recorded come first, in the order of their columns in `metrics.csv`.
pub const ALL: &[Entry<dyn Measurement>] = &[
    Entry { name: "outcome", make: || Box::new(outcome::Outcome::default()) },
    Entry { name: "other_outputs", make: || Box::new(other_outputs::OtherOutputs::default()) },
    Entry { name: "solved", make: || Box::new(whole::Solved::default()) },
    Entry { name: "groups", make: || Box::new(groups::GroupLosses::default()) },
    Entry { name: "components", make: || Box::new(components::ComponentErrors::default()) },
    Entry { name: "longer", make: || Box::new(elsewhere::Elsewhere::default()) },
    Entry {
        name: "dense",
        make: || Box::new(elsewhere::Elsewhere { on: elsewhere::Where::Dense }),
    },
    Entry {
        name: "sparse",
        make: || Box::new(elsewhere::Elsewhere { on: elsewhere::Where::Sparse }),
    },
    Entry {
        name: "more_digits",
        make: || Box::new(elsewhere::Elsewhere { on: elsewhere::Where::MoreDigits }),
    },
    Entry {
        name: "copied",
        make: || Box::new(elsewhere::Elsewhere { on: elsewhere::Where::Copied }),
    },
    Entry {
        name: "recalled",
        make: || Box::new(elsewhere::Elsewhere { on: elsewhere::Where::Recalled }),
    },
    Entry { name: "memory_use", make: || Box::new(memory_use::MemoryUse::default()) },
    Entry {
        name: "memory_gradient",
        make: || Box::new(memory_gradient::MemoryGradient::default()),
    },
    Entry { name: "retrieval", make: || Box::new(retrieval::Retrieval::default()) },
    Entry { name: "competition", make: || Box::new(competition::Competition::default()) },
    Entry { name: "gates", make: || Box::new(gates::Gates::default()) },
    Entry { name: "recall", make: || Box::new(recall::Recall::default()) },
    Entry { name: "tree_outcome", make: || Box::new(tree::TreeOutcome::default()) },
    Entry { name: "chains", make: || Box::new(chains::Chains::default()) },
    Entry { name: "induction", make: || Box::new(induction::Induction::default()) },
    Entry { name: "heads", make: || Box::new(heads::Heads::default()) },
    Entry { name: "norms", make: || Box::new(norms::Norms::default()) },
    Entry { name: "scalars", make: || Box::new(scalars::Scalars::default()) },
    Entry {
        name: "in_context_errors",
        make: || Box::new(in_context_errors::InContextErrors::default()),
    },
    Entry { name: "attention", make: || Box::new(attention::Attention::default()) },
    Entry { name: "predictions", make: || Box::new(predictions::Predictions::default()) },
    Entry { name: "logit_lens", make: || Box::new(logit_lens::LogitLens::default()) },
    Entry { name: "attribution", make: || Box::new(attribution::Attribution::default()) },
    Entry { name: "memories", make: || Box::new(memories::Memories::default()) },
    Entry { name: "circuits", make: || Box::new(circuits::Circuits::default()) },
    Entry { name: "query_key", make: || Box::new(query_key::QueryKey::default()) },
    Entry { name: "tree_view", make: || Box::new(tree_view::TreeView::default()) },
    Entry { name: "effect", make: || Box::new(effect::Effect::default()) },
    Entry { name: "working_memory", make: || Box::new(working_memory::WorkingMemory::default()) },
    Entry { name: "gating", make: || Box::new(gating::Gating::default()) },
];

/// Who is asked.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub model: &'a dyn Model,
    pub params: &'a Params,
    pub source: &'a dyn Source,
}

/// What a measurement looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The sequence in view (a batch of one).
    Prompt,
    /// The held-out batch, a few sequences at a time: means are added up, arrays joined along their first axis.
    HeldOut,
    /// The held-out batch of a variant of the task, likewise.
    Variant(&'static str),
    /// The weights alone: no forward pass.
    Weights,
}

/// A forward pass to look at. For [`Scope::Weights`] the batch is empty and nothing is captured.
pub struct Scene<'a> {
    pub subject: Subject<'a>,
    pub batch: &'a Batch,
    /// Number of its first sequence among the held-out ones.
    pub first: usize,
    /// `[batch, pos, vocab]`
    pub logits: Option<&'a Tensor>,
    /// The sites that the measurement asked for.
    pub captured: &'a Captured,
}

/// A mean over counted things, in parts that can be added: the sum and the count.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    pub name: String,
    pub sum: f64,
    pub count: f64,
}

/// What a measurement found in one scene.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub means: Vec<Mean>,
    pub arrays: Vec<Array>,
    pub notes: Vec<String>,
}

/// Whether a question makes sense of a subject; the error is a sentence for a person.
///
/// # Errors
/// That of [`Measurement::applies`], or when it is about tokens and the task predicts real numbers.
pub fn check(measurement: &dyn Measurement, subject: Subject<'_>) -> Result<()> {
    if !measurement.suits_reals() {
        check_tokens(subject)?;
    }
    measurement.applies(subject)
}

/// # Errors
/// When the task predicts real numbers.
pub fn check_tokens(subject: Subject<'_>) -> Result<()> {
    if subject.source.facet::<Reals>().is_none() {
        return Ok(());
    }
    Err(Error::usage(
        "this question is about the logits of tokens, and this task predicts real numbers; its losses, its attention and its weights can be asked about",
    ))
}

/// One kind of question, with settings.
pub trait Measurement: Settings + Send + Sync {
    fn scope(&self) -> Scope;
    /// What changes the network while it is asked: a measurement with forward passes of its own keeps it for these.
    fn under(&mut self, _edits: &[Edit]) {}
    /// Lenses that were fitted to the network: a measurement that reads with one keeps them.
    fn equip(&mut self, _lenses: &probing::Lenses) {}
    /// Whether the question makes sense here; the error is a sentence for a person.
    ///
    /// # Errors
    /// When the question does not make sense.
    fn applies(&self, subject: Subject<'_>) -> Result<()>;
    /// Whether it makes sense where real numbers are predicted, too: it asks about no token's logit.
    fn suits_reals(&self) -> bool {
        false
    }
    /// The tensors of the forward pass that `measure` needs.
    fn sites(&self, subject: Subject<'_>) -> Vec<Site>;
    /// Places that it looks at while they pass, of which nothing is kept: what would take much memory. Those of [`Self::sites`] are kept.
    fn passing(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }
    /// What it takes of such a place, after the edits; arrays of its answer.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn pass(&self, _site: Site, _x: &Tensor) -> Result<Vec<Array>> {
        Ok(Vec::new())
    }
    /// Whether it looks at the logits; where nobody does, the forward pass ends with the last of the tensors asked for.
    fn wants_logits(&self) -> bool {
        true
    }
    /// Whether it looks at the logits of a position of the batch, counted row by row; those of others may be NaN.
    fn reads(&self, _batch: &Batch, _position: usize) -> bool {
        true
    }
    /// How many of the held-out sequences it looks at, from the first; `None`: all of them.
    fn sequences(&self) -> Option<usize> {
        None
    }
    /// Names of the numbers to record at every evaluation, in order: columns of `metrics.csv`. `measure` gives a
    /// [`Mean`] for each of them in every scene. Empty: not recorded.
    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        Vec::new()
    }
    /// # Errors
    /// When the scene lacks what it needs or a computation fails.
    fn measure(&self, scene: &Scene<'_>) -> Result<Answer>;
    /// Whether it looks at the sequence in view too, as the last of all.
    fn with_prompt(&self) -> bool {
        false
    }
    /// What needs all sequences at once: from the joined answer to the one that is given. `prompt` is the
    /// sequence in view.
    ///
    /// # Errors
    /// When the joined answer allows no more.
    fn finish(&self, answer: Answer, _prompt: &Row) -> Result<Answer> {
        Ok(answer)
    }
}
