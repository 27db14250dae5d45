//! The one pure function behind every panel: weights, a prompt, interventions and probes in; readings out.

use std::sync::Arc;

use crate::model::{Layout, Model};
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::params::Params;
use crate::probe::fit::lens::{Kept, Lenses};
use crate::probe::inquiry::{Ground, Inquiry, Told};
use crate::probe::{self, Answer, Probe, Scope, Subject};
use crate::record::batch::{Batch, Row};
use crate::record::error::{Error, Result};
use crate::record::intervention::Intervention;
use crate::record::knobs;
use crate::record::question::{ProbeCall, Reading, Readings};
use crate::record::registry;
use crate::record::weights::Weights;
use crate::task::Source;

use super::experiment::Experiment;
use super::measure::{Round, of_weights, try_out};
use super::meters::HeldOut;
use super::reference::Reference;

/// Hears how far a long question has come (passes done, of how many, what is known so far); false ends it.
pub type Tell<'a> = &'a mut dyn FnMut(usize, usize, &dyn Fn() -> Result<Reading>) -> bool;

/// The task and the network of an experiment, ready to be questioned at any step.
pub struct Instrument {
    source: Arc<dyn Source>,
    model: Box<dyn Model>,
    params: Params,
    pool: Pool,
    held_out: HeldOut,
    /// What `params` holds now: the same numbers are not loaded twice.
    loaded: Option<Weights>,
    /// Interventions that name what is there: each is tried out once.
    tried: Vec<Intervention>,
    reference: Reference,
    lenses: Vec<Arc<Kept>>,
}

impl Instrument {
    /// # Errors
    /// When the task cannot be opened, the network not be built, or a thread not be started.
    pub fn new(experiment: &Experiment) -> Result<Self> {
        let train = &experiment.train;
        let source = experiment.task.open()?;
        let mut params = Params::new(train.seed as u64);
        let model = experiment.network(&*source, &mut params)?;
        Ok(Self {
            params: params.watched()?,
            pool: Pool::new(train.threads)?,
            held_out: HeldOut::new(train.seed as u64, train.held_out),
            loaded: None,
            tried: Vec::new(),
            reference: Reference::default(),
            lenses: Vec::new(),
            source,
            model,
        })
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub fn layout(&self) -> &Layout {
        self.model.layout()
    }

    /// Tuned lenses that were fitted to this network, for probes that read with one.
    pub fn equip(&mut self, lenses: Vec<Arc<Kept>>) {
        self.lenses = lenses;
    }

    /// The network with these weights, and the threads to question it with.
    ///
    /// # Errors
    /// When the weights are those of another network or not finite.
    pub fn subject(&mut self, weights: &Weights) -> Result<(Subject<'_>, &Pool)> {
        self.load(weights)?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        Ok((subject, &self.pool))
    }

    /// Answers all calls for the same weights, prompt and interventions. A probe that cannot answer leaves its
    /// sentence in its place; the others answer all the same.
    ///
    /// # Errors
    /// When the weights are those of another network or not finite, or an intervention names what is not there.
    pub fn examine(
        &mut self,
        weights: &Weights,
        prompt: &Arc<Row>,
        interventions: &[Intervention],
        calls: &[ProbeCall],
    ) -> Result<Readings> {
        self.load(weights)?;
        self.try_out(interventions)?;
        let edits = self.edits(interventions)?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        let lenses = Lenses { step: weights.step, kept: self.lenses.clone() };
        let asked: Vec<Result<Box<dyn Probe>>> =
            calls.iter().map(|call| probe_of(call, subject, &edits, &lenses)).collect();
        let mut answers: Vec<Option<Result<Answer>>> = Vec::new();
        let mut scopes = Vec::new();
        for probe in &asked {
            match probe {
                Ok(probe) => {
                    if !scopes.contains(&probe.scope()) {
                        scopes.push(probe.scope());
                    }
                    answers.push(None);
                }
                Err(e) => answers.push(Some(Err(e.clone()))),
            }
        }
        for scope in scopes {
            let (at, probes): (Vec<usize>, Vec<&dyn Probe>) = asked
                .iter()
                .enumerate()
                .filter_map(|(i, probe)| Some((i, &**probe.as_ref().ok()?)))
                .filter(|(_, probe)| probe.scope() == scope)
                .unzip();
            let batch = match scope {
                Scope::Prompt => Some(Arc::new(Batch::from_rows(std::slice::from_ref(&**prompt)))),
                scope => self.held_out.of(scope, &*self.source),
            };
            let round =
                Round { pool: &self.pool, subject, edits: &edits, probes: &probes, arrays: true };
            let found = match (scope, batch) {
                (Scope::Weights, _) => {
                    probes.iter().map(|probe| of_weights(subject, *probe)).collect()
                }
                (_, Some(batch)) => round.with_prompt(&batch, prompt)?,
                (_, None) => probes.iter().map(|_| Err(no_variant(scope))).collect(),
            };
            for (i, answer) in at.into_iter().zip(found) {
                answers[i] = Some(answer);
            }
        }
        let reading = |answer: Option<Result<Answer>>| match answer {
            Some(answer) => answer.map(|answer| Arc::new(reading_of(answer))),
            None => Err(Error::internal("a probe was not asked")),
        };
        Ok(Readings {
            step: weights.step,
            prompt: prompt.clone(),
            interventions: interventions.to_vec(),
            by_call: calls
                .iter()
                .map(ProbeCall::key)
                .zip(answers.into_iter().map(reading))
                .collect(),
        })
    }

    /// Answers a long question about the weights; `tell` hears how far it has come.
    ///
    /// # Errors
    /// As [`Self::examine`], or those of the inquiry.
    pub fn inquire(
        &mut self,
        weights: &Weights,
        prompt: &Row,
        inquiry: &dyn Inquiry,
        tell: Tell<'_>,
    ) -> Result<Reading> {
        self.load(weights)?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        probe::check_tokens(subject)?;
        let ground = Ground { subject, pool: &self.pool, prompt, seed: self.held_out.seed() };
        let mut heard =
            |told: Told<'_>| tell(told.done, told.total, &|| Ok(reading_of((told.so_far)()?)));
        inquiry.run(&ground, &mut heard).map(reading_of)
    }

    /// An intervention without a place would change nothing and say nothing.
    fn try_out(&mut self, interventions: &[Intervention]) -> Result<()> {
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        for what in interventions {
            if !self.tried.contains(what) {
                try_out(subject, what)?;
                self.tried.push(what.clone());
            }
        }
        Ok(())
    }

    /// The interventions with their numbers.
    fn edits(&mut self, interventions: &[Intervention]) -> Result<Vec<Edit>> {
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        let mut edits = Vec::new();
        for what in interventions {
            let found = if what.needs_reference() {
                let held_out = self.held_out.of(Scope::HeldOut, &*self.source);
                let held_out = held_out.ok_or_else(|| no_variant(Scope::HeldOut))?;
                self.reference.edit(what, subject, &self.pool, &held_out)?
            } else {
                Edit::of(what, &self.params)?
            };
            edits.extend(found);
        }
        Ok(edits)
    }

    fn load(&mut self, weights: &Weights) -> Result<()> {
        let same = |loaded: &Weights| {
            let tensors = loaded.tensors.iter().zip(&weights.tensors);
            loaded.tensors.len() == weights.tensors.len()
                && tensors
                    .into_iter()
                    .all(|(a, b)| a.name == b.name && Arc::ptr_eq(&a.data, &b.data))
        };
        if self.loaded.as_ref().is_some_and(same) {
            return Ok(());
        }
        if let Some(name) = weights.first_not_finite() {
            return Err(Error::input(format!(
                "the tensor {name} of step {} holds numbers that are not finite (NaN or infinite): there is nothing to see at this step; choose an earlier one",
                weights.step
            )));
        }
        self.loaded = None;
        self.reference = Reference::default();
        self.params.load(weights)?;
        self.loaded = Some(weights.clone());
        Ok(())
    }
}

fn probe_of(
    call: &ProbeCall,
    subject: Subject<'_>,
    edits: &[Edit],
    lenses: &Lenses,
) -> Result<Box<dyn Probe>> {
    let mut probe = registry::find("probe", probe::ALL, &call.probe)?;
    for (name, value) in &call.settings {
        knobs::set(&mut *probe, &format!("{}.", call.probe), name, value)?;
    }
    probe::check(&*probe, subject)?;
    probe.under(edits);
    probe.equip(lenses);
    Ok(probe)
}

fn no_variant(scope: Scope) -> Error {
    let name = match scope {
        Scope::Variant(name) => name,
        _ => "held-out",
    };
    Error::usage(format!("this task has no variant \"{name}\" to ask about"))
}

fn reading_of(answer: Answer) -> Reading {
    let numbers = answer.means.into_iter().map(|m| (m.name, m.sum / m.count)).collect();
    Reading { arrays: answer.arrays, numbers, notes: answer.notes }
}
