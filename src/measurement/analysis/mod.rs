//! Long questions: many forward passes, answered bit by bit, on a thread of their own. Pure like a measurement: the same
//! weights, sequences and settings give the same answer.

pub mod automaton;
pub mod causes;
pub mod generation;
pub mod head_scores;
pub mod knock_out;
pub mod length;
mod map;
pub mod patching;
pub mod path;
pub mod readers;
pub mod registers;
pub mod rewriting;
pub mod scrubbing;
pub mod stored;
pub mod tracing;
pub mod tree_scrubbing;

use super::causal::effect::{Estimate, Excluded, Metric, Rule, counted, effect, estimate};
use super::causal::{Pairs, Seen, Stage};
use super::{Answer, Mean, Subject, read};
use crate::base::analysis::{Compared, Counted};
use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::error::{Error, Result};
use crate::base::pair::Pair;
use crate::base::registry::Entry;
use crate::base::settings::Settings;
use crate::base::vocab::Vocab;
use crate::model::pass;
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::task::prompts::Beginnings;

/// All analyses.
pub const ALL: &[Entry<dyn Analysis>] = &[
    Entry { name: "patching", make: || Box::new(patching::Patching::default()) },
    Entry { name: "path", make: || Box::new(path::PathPatching::default()) },
    Entry { name: "scrubbing", make: || Box::new(scrubbing::Scrubbing::default()) },
    Entry { name: "knock_out", make: || Box::new(knock_out::KnockingOut::default()) },
    Entry { name: "registers", make: || Box::new(registers::FindingRegisters::default()) },
    Entry { name: "readers", make: || Box::new(readers::Readers::default()) },
    Entry { name: "length", make: || Box::new(length::Length::default()) },
    Entry { name: "stored", make: || Box::new(stored::Stored::default()) },
    Entry { name: "rewriting", make: || Box::new(rewriting::Rewriting::default()) },
    Entry { name: "tracing", make: || Box::new(tracing::Tracing::default()) },
    Entry { name: "tree_scrubbing", make: || Box::new(tree_scrubbing::TreeScrubbing::default()) },
    Entry { name: "automaton", make: || Box::new(automaton::Automaton::default()) },
    Entry { name: "generation", make: || Box::new(generation::Generation::default()) },
    Entry { name: "head_scores", make: || Box::new(head_scores::HeadScores::default()) },
];

/// What an analysis works with.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub subject: Subject<'a>,
    pub pool: &'a Pool,
    /// The sequence in view.
    pub prompt: &'a Row,
    /// Seed of the sequences that are made for it: that of the run's held-out ones.
    pub seed: u64,
    /// What is in force, for those that read it.
    pub edits: &'a [Edit],
}

/// How far an analysis has come.
pub struct PartialAnswer<'a> {
    pub done: usize,
    pub total: usize,
    /// What is known so far, in the form of the answer.
    pub so_far: &'a dyn Fn() -> Result<Answer>,
}

/// Hears how far it has come; `false` ends the analysis with what there is.
pub type OnPartial<'a> = &'a mut dyn FnMut(PartialAnswer<'_>) -> bool;

/// One kind of long question, with settings.
pub trait Analysis: Settings + Send + Sync {
    /// # Errors
    /// When a setting names what is not there, or a forward pass fails; a sentence for a person.
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer>;
    /// Whether the answer depends on [`Ground::prompt`].
    fn reads_prompt(&self) -> bool {
        true
    }
    /// Whether what is in force changes its passes, too; others make changes of their own.
    fn reads_edits(&self) -> bool {
        false
    }
    /// Whether it is asked again and again of a run that trains: it is short, and what it finds forms step by step.
    fn follows(&self) -> bool {
        false
    }
}

/// That the network has heads and reads its sequences whole: what goes from part to part is followed within one pass.
///
/// # Errors
/// When it has none, or reads them in segments.
fn check_whole(ground: &Ground<'_>) -> Result<()> {
    if !ground.subject.model.layout().has_heads() {
        return Err(Error::usage(
            "this network has no attention heads, and this question follows what goes from part to part through them; patching, and cutting or patching a place by hand, work here",
        ));
    }
    match ground.subject.model.segments() {
        None => Ok(()),
        Some(segments) => Err(Error::usage(format!(
            "this network reads its sequences in segments (train.segment = {}), and this question follows what goes from part to part in networks that read them whole; patching, and cutting or patching a place by hand, work here",
            segments.length
        ))),
    }
}

/// Which pairs are compared.
struct Choice<'a> {
    asked: &'a Compared,
    /// Text of the base; empty: the sequence in view.
    base: &'a str,
}

impl Choice<'_> {
    /// # Errors
    /// When the task makes no such pairs, or the texts make none.
    fn pairs(&self, ground: &Ground<'_>) -> Result<Pairs> {
        let source = ground.subject.source;
        if !self.asked.other.is_empty() {
            return Pairs::new(vec![self.written(ground)?]);
        }
        if self.asked.pair.is_empty() && source.pair_kinds().is_empty() {
            return Err(Error::usage(match source.facet::<Beginnings>() {
                Some(_) => {
                    "a prompt has no counterpart by itself: open a set of prompts that have one (menu File; --prompts FILE), or write the other text (setting \"other\")"
                }
                None => {
                    "this task makes no counterfactual pairs by itself: write the other sequence (setting \"other\")"
                }
            }));
        }
        let first = source.pair_kinds().first().map_or("", |kind| kind.name);
        let kind = if self.asked.pair.is_empty() { first } else { &self.asked.pair };
        Pairs::of_task(source, kind, ground.seed, self.asked.pairs)
    }

    /// The pair that a person wrote.
    fn written(&self, ground: &Ground<'_>) -> Result<Pair> {
        let (source, prompt) = (ground.subject.source, ground.prompt);
        let most = ground.subject.model.layout().length;
        let read = |name: &str, text: &str| -> Result<Row> {
            let tokens = source.vocab().encode(text).map_err(|e| e.context(name))?;
            if tokens.is_empty() || tokens.len() > most {
                return Err(Error::usage(format!(
                    "{name} has {} tokens; this network reads 1 to {most}",
                    tokens.len()
                )));
            }
            Ok(source.label(&tokens, prompt))
        };
        let base = match self.base {
            "" => prompt.clone(),
            text => read("base", text)?,
        };
        let other = read("other", &self.asked.other)?;
        let at = match self.asked.at.as_str() {
            "" => base.len().saturating_sub(1),
            text => text.parse().map_err(|_| {
                Error::usage(format!("at: read \"{text}\", expected a position, from 0"))
            })?,
        };
        let pair = Pair { base, other, at, answers: [0, 0], places: Vec::new() };
        // What does not fit is said before anything is run.
        Pairs::new(vec![pair.clone()])?;
        let answers = match self.asked.answers.as_str() {
            "" => predicted(ground.subject, &pair)?,
            text => named(source.vocab(), text)?,
        };
        if answers[0] == answers[1] {
            return Err(Error::usage(format!(
                "both sequences have the answer \"{}\" at position {at}: there is nothing to compare; name two answers, or another position",
                source.vocab().glyph(answers[0])
            )));
        }
        Ok(Pair { answers, ..pair })
    }
}

/// What the two runs predict at the position of a pair.
fn predicted(subject: Subject<'_>, pair: &Pair) -> Result<[u32; 2]> {
    let token = |row: &Row| Ok::<_, Error>(likeliest(subject, row)?[pair.at]);
    Ok([token(&pair.base)?, token(&pair.other)?])
}

/// Two tokens, as a person writes them.
fn named(vocab: &Vocab, text: &str) -> Result<[u32; 2]> {
    let tokens = vocab.encode(text).map_err(|e| e.context("answers"))?;
    <[u32; 2]>::try_from(tokens).map_err(|tokens| {
        Error::usage(format!("answers: read {} tokens in \"{text}\", expected 2", tokens.len()))
    })
}

/// Which pairs count for a metric, and the estimate of what is seen in them.
struct Judge<'a> {
    stage: &'a Stage<'a>,
    metric: Metric,
    kept: Vec<usize>,
    excluded: Excluded,
}

impl<'a> Judge<'a> {
    fn new(stage: &'a Stage<'a>, metric: Metric, rule: Rule) -> Self {
        let (kept, excluded) = counted(rule, metric, &stage.base, &stage.other);
        Self { stage, metric, kept, excluded }
    }

    fn of(&self, seen: &[Seen]) -> Estimate {
        let vocab = self.stage.subject.source.vocab().len();
        let values: Vec<f64> = self
            .kept
            .iter()
            .map(|&i| effect(self.metric, self.stage.base[i], self.stage.other[i], seen[i], vocab))
            .collect();
        estimate(&values)
    }

    /// What the two runs do without any change, and which pairs count.
    fn about(&self) -> Answer {
        let mean = |name: &str, seen: &[Seen]| Mean {
            name: name.to_owned(),
            sum: self.kept.iter().map(|&i| seen[i].difference).sum(),
            count: self.kept.len() as f64,
        };
        let mut answer = counts(self.stage.pairs.len(), self.excluded);
        answer.means.push(mean("logit_difference_base", &self.stage.base));
        answer.means.push(mean("logit_difference_other", &self.stage.other));
        answer
    }
}

/// How many pairs there are, how many of them count, and how many do not and why: as numbers and in a sentence.
fn counts(pairs: usize, excluded: Excluded) -> Answer {
    let number = |(name, n): (&str, usize)| one(name, n as f64);
    let counts = [("pairs", pairs), ("pairs_counted", pairs - excluded.total())];
    Answer {
        means: counts.into_iter().chain(excluded.numbers()).map(number).collect(),
        arrays: Vec::new(),
        notes: excluded.sentence(pairs).into_iter().collect(),
    }
}

/// A number that is no mean of several.
fn one(name: impl Into<String>, value: f64) -> Mean {
    Mean { name: name.into(), sum: value, count: 1.0 }
}

impl Answer {
    /// Takes in a mean over pairs with its interval, under three names, and why there is none.
    fn take(&mut self, name: &str, found: Estimate) {
        let [low, high] = found.interval;
        self.means.push(one(name, found.mean));
        self.means.push(one(format!("{name}_low"), low));
        self.means.push(one(format!("{name}_high"), high));
        self.notes.extend(found.no_interval("pair").map(|why| format!("{name}: {why}.")));
    }
}

/// The positions that count of those whose predictions an analysis is about, and how many that are: under the rule of pairs those that
/// the network gets right. One without a target is neither right nor wrong, and counts.
///
/// # Errors
/// When none counts, or the forward pass fails.
fn counted_positions(
    ground: &Ground<'_>,
    positions: Vec<usize>,
    all: bool,
) -> Result<(Vec<usize>, Answer)> {
    let row = ground.prompt;
    let looks = !all && !positions.is_empty();
    let told = if looks { likeliest(ground.subject, row)? } else { Vec::new() };
    let wrong = |at: &usize| match (told.get(*at), row.targets.get(*at)) {
        (Some(told), Some(target)) => *target != NO_TARGET && told != target,
        _ => false,
    };
    let asked = positions.len();
    let (left, kept): (Vec<usize>, Vec<usize>) = positions.into_iter().partition(wrong);
    if kept.is_empty() && !left.is_empty() {
        return Err(Error::usage(format!(
            "the network gets {} wrong, so nothing here can be said to be needed for a right one; take a later step or another sequence, or count it all the same (--all-pairs, setting \"all_pairs\")",
            match left[..] {
                [at] => format!("the prediction at position {at}"),
                _ => format!("all {asked} predictions"),
            }
        )));
    }
    let mut answer = Answer::default();
    answer.means.push(one("predictions", asked as f64));
    answer.means.push(one("predictions_counted", kept.len() as f64));
    if !left.is_empty() {
        answer.notes.push(format!(
            "{} of {asked} predictions are left out: the network gets them wrong.",
            left.len()
        ));
    }
    Ok((kept, answer))
}

/// The likeliest next token at each position.
fn likeliest(subject: Subject<'_>, row: &Row) -> Result<Vec<u32>> {
    let batch = Batch::from_rows(std::slice::from_ref(row));
    let Subject { model, params, .. } = subject;
    let (logits, _) = pass::forward(model, params, &batch, &[], &[], true)?;
    read::likeliest(logits.as_ref())
}

fn rule(counted: &Counted) -> Rule {
    if counted.all_pairs { Rule::All } else { Rule::BothRight }
}
