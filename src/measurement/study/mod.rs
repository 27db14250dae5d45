//! Experiments of the literature by name: prompts, settings, what is measured, and what was found. Pure like a measurement.

pub mod bench;
pub mod causal_tracing;
pub mod copy_suppression;
pub mod direct;
pub mod fact_counterfact;
pub mod greater_than;
pub mod induction;
pub mod ioi;
pub mod noise;
pub mod under;

use super::causal::Progress;
use super::{Answer, Subject};
use crate::base::error::{Error, Result};
use crate::base::prompt::Encoded;
use crate::base::registry::Entry;
use crate::base::settings::Settings;
use crate::base::study::{Drawn, Headline, Known};
use crate::model::Layout;
use crate::nn::kernel::pool::Pool;

/// All studies.
pub const ALL: &[Entry<dyn Study>] = &[
    Entry { name: "ioi", make: || Box::new(ioi::Ioi::default()) },
    Entry { name: "induction", make: || Box::new(induction::Induction::default()) },
    Entry { name: "greater-than", make: || Box::new(greater_than::GreaterThan::default()) },
    Entry { name: "causal-tracing", make: || Box::new(causal_tracing::CausalTracing::default()) },
    Entry {
        name: "fact-counterfact",
        make: || Box::new(fact_counterfact::FactCounterfact::default()),
    },
    Entry {
        name: "copy-suppression",
        make: || Box::new(copy_suppression::CopySuppression::default()),
    },
];

/// What a study works with.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The network with what is in force.
    pub subject: Subject<'a>,
    pub pool: &'a Pool,
    /// Behind the token that begins them, where one does.
    pub prompts: &'a [Encoded],
    /// The token that begins a prompt.
    pub begin: Option<u32>,
}

/// An experiment of the literature, with settings.
pub trait Study: Settings + Send + Sync {
    /// Its own prompts as lines of JSON: several sets, of which the first that the tokenizer reads is asked. None where it makes
    /// its sequences itself.
    fn prompts(&self) -> &'static [&'static str];
    /// What is to be known where a set behind the first one is asked.
    fn about_other_set(&self) -> &'static str {
        "This tokenizer reads the prompts of the paper otherwise; the study's second set, made for such tokenizers, is asked."
    }
    /// Whether what the literature found was found behind a token that begins the prompt.
    fn is_begun(&self) -> bool {
        true
    }
    /// What the literature found.
    fn known(&self) -> &'static [Known];
    /// What its figure says in numbers.
    fn headlines(&self) -> &'static [Headline];
    /// Its plots, and the parts of its table.
    fn drawn(&self) -> &'static [Drawn];
    /// # Errors
    /// When prompts or network lack what it needs, or a pass fails; a sentence for a person.
    fn run(&self, ground: &Ground<'_>, tell: Progress<'_>) -> Result<Answer>;
}

impl<'a> Ground<'a> {
    /// The first prompts, of which there is one at least.
    ///
    /// # Errors
    /// When there are none.
    pub fn first(&self, most: usize) -> Result<&'a [Encoded]> {
        let prompts = &self.prompts[..most.min(self.prompts.len())];
        if prompts.is_empty() {
            return Err(Error::usage("there are no prompts to ask about: give a file (--prompts)"));
        }
        Ok(prompts)
    }
}

/// That a network has what all studies look at.
///
/// # Errors
/// When it has no heads, or reads its sequences in segments.
pub fn check(subject: Subject<'_>) -> Result<()> {
    super::check_tokens(subject)?;
    if !subject.model.layout().has_heads() {
        return Err(Error::usage(
            "this network has no attention heads, and studies are about heads; ask it with examine or patch",
        ));
    }
    match subject.model.segments() {
        None => Ok(()),
        Some(segments) => Err(Error::usage(format!(
            "this network reads its sequences in segments (train.segment = {}), and studies follow what goes from part to part in networks that read them whole; ask it with examine or patch",
            segments.length
        ))),
    }
}

/// Whether a network has the shape of GPT-2 small, in which most was found: heads that papers name are those of it.
fn is_gpt2_small(layout: &Layout) -> bool {
    layout.heads == [12; 12] && layout.width == 768 && layout.vocab == 50_257
}

/// Heads as a person writes them: `10.7, 11.10`.
///
/// # Errors
/// When one is not there.
fn heads_of(text: &str, layout: &Layout) -> Result<Vec<(usize, usize)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| head_of(part, layout)).collect()
}

fn head_of(text: &str, layout: &Layout) -> Result<(usize, usize)> {
    let read = text.split_once('.').and_then(|(l, h)| Some((l.parse().ok()?, h.parse().ok()?)));
    let there = read.filter(|(layer, head)| layout.heads.get(*layer).is_some_and(|n| head < n));
    there.ok_or_else(|| {
        let most = layout.heads.iter().copied().max().unwrap_or(0);
        Error::usage(format!(
            "read the head \"{text}\", expected a layer and a head from 0, as in 1.0; this network has {} layers of up to {most} heads",
            layout.heads.len()
        ))
    })
}
