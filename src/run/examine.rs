//! The one pure function behind every panel: weights, a prompt, interventions and measurements in; readings out.

use std::sync::{Arc, Mutex, PoisonError};

use crate::base::array::Array;
use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result};
use crate::base::intervention::{How, Intervention, MEMORY, Site};
use crate::base::prompt::{self, Encoded};
use crate::base::question::{MeasurementCall, Reading, Readings};
use crate::base::registry;
use crate::base::settings;
use crate::base::weights::Weights;
use crate::measurement::analysis::{Analysis, Ground, PartialAnswer};
use crate::measurement::causal::rewriting::{Wanted, rank_one};
use crate::measurement::probing::lens::{Kept, Lenses};
use crate::measurement::study::under::Under;
use crate::measurement::{self, Answer, Measurement, Scope, Subject, study};
use crate::model::pass::{Asked, forward_asked};
use crate::model::{Architecture, Layout, Model};
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::params::Params;
use crate::nn::tape::Workspace;
use crate::task::Source;

use super::experiment::Experiment;
use super::measure::{Listener, Round, of_weights, try_out};
use super::meters::HeldOut;
use super::places;
use super::reference::Reference;
use super::remembered::{Answers, Remembered};
use super::study::Prepared;

/// Positions of the sequence that an intervention is tried out on, where a pass takes long.
const TRIED_POSITIONS: usize = 64;

/// Hears how far a long question has come (passes done, of how many, what is known so far); false ends it.
pub type OnPartial<'a> = &'a mut dyn FnMut(usize, usize, &dyn Fn() -> Result<Reading>) -> bool;

/// Who waits for an answer.
pub trait Waiting: Sync {
    /// Hears answers of which only the first layers are there.
    fn hear(&self, part: Readings);
    /// False where nobody wants the answer any more: the pass ends before its next layer, and the answer is an error.
    fn goes_on(&self) -> bool;
}

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
    /// Matrices of `params` that were rewritten since they were loaded.
    rewritten: Vec<Intervention>,
    lenses: Vec<Arc<Kept>>,
    architecture: Box<dyn Architecture>,
    remembered: Mutex<Remembered>,
}

/// Tells who waits what has come, as an answer with these layers alone.
struct Teller<'a> {
    waiting: &'a dyn Waiting,
    about: &'a (dyn Fn(Answers) -> Readings + Sync),
}

/// A teller that knows which measurement answers which call.
struct Heard<'a> {
    teller: &'a Teller<'a>,
    calls: &'a [MeasurementCall],
    at: &'a [usize],
}

impl Listener for Heard<'_> {
    fn hear(&self, measurement: usize, arrays: &[Array]) {
        let call = &self.calls[self.at[measurement]];
        let reading = Reading { arrays: arrays.to_vec(), ..Reading::default() };
        let by_call = Answers::from([(call.key(), Ok(Arc::new(reading)))]);
        self.teller.waiting.hear((self.teller.about)(by_call));
    }

    fn goes_on(&self) -> bool {
        self.teller.waiting.goes_on()
    }
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
            rewritten: Vec::new(),
            lenses: Vec::new(),
            remembered: Mutex::default(),
            architecture: experiment.model.boxed(),
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

    /// Forgets what was answered.
    pub fn forget(&mut self) {
        self.remembered = Mutex::default();
    }

    /// Tuned lenses that were fitted to this network, for measurements that read with one.
    pub fn equip(&mut self, lenses: Vec<Arc<Kept>>) {
        self.forget();
        self.lenses = lenses;
    }

    /// The network with these weights, and the threads to question it with.
    ///
    /// # Errors
    /// When the weights are those of another network or not finite.
    pub fn subject(&mut self, weights: &Weights) -> Result<(Subject<'_>, &Pool)> {
        self.prepare(weights, &[])?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        Ok((subject, &self.pool))
    }

    /// Answers all calls for the same weights, prompt and interventions. A measurement that cannot answer leaves its
    /// sentence in its place; the others answer all the same.
    ///
    /// # Errors
    /// When the weights are those of another network or not finite, or an intervention names what is not there.
    pub fn examine(
        &mut self,
        weights: &Weights,
        prompt: &Arc<Row>,
        interventions: &[Intervention],
        calls: &[MeasurementCall],
    ) -> Result<Readings> {
        self.examine_as_it_comes(weights, prompt, interventions, calls, None)
    }

    /// The same; what a call looks at while it passes is heard layer by layer.
    ///
    /// # Errors
    /// As [`Self::examine`].
    pub fn examine_as_it_comes(
        &mut self,
        weights: &Weights,
        prompt: &Arc<Row>,
        interventions: &[Intervention],
        calls: &[MeasurementCall],
        waiting: Option<&dyn Waiting>,
    ) -> Result<Readings> {
        self.prepare(weights, interventions)?;
        self.try_out(interventions)?;
        let edits = self.edits(interventions)?;
        let readings = |by_call: Answers| Readings {
            step: weights.step,
            prompt: prompt.clone(),
            interventions: interventions.to_vec(),
            weights: weights.clone(),
            by_call,
        };
        let by_call = if self.architecture.is_read() && self.model.resumes() {
            let remembered = self.remembered.get_mut().unwrap_or_else(PoisonError::into_inner);
            remembered.turn_to(prompt, interventions);
            let open = remembered.open(calls);
            let teller = waiting.map(|waiting| Teller { waiting, about: &readings });
            let found =
                self.answers(weights.step, prompt, &edits, &open, (true, teller.as_ref()))?;
            let remembered = self.remembered.get_mut().unwrap_or_else(PoisonError::into_inner);
            remembered.with(found, calls)
        } else {
            self.answers(weights.step, prompt, &edits, calls, (false, None))?
        };
        Ok(readings(by_call))
    }

    /// The answers to all calls; where they are remembered, passes over the sequence in view go on from what is known of it, and the
    /// teller tells what has come.
    fn answers(
        &mut self,
        step: u64,
        prompt: &Row,
        edits: &[Edit],
        calls: &[MeasurementCall],
        (remembers, teller): (bool, Option<&Teller<'_>>),
    ) -> Result<Answers> {
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        let lenses = Lenses { step, kept: self.lenses.clone() };
        let asked: Vec<Result<Box<dyn Measurement>>> =
            calls.iter().map(|call| probe_of(call, subject, edits, &lenses)).collect();
        let mut answers: Vec<Option<Result<Answer>>> = Vec::new();
        let mut scopes = Vec::new();
        for measurement in &asked {
            match measurement {
                Ok(measurement) => {
                    if !scopes.contains(&measurement.scope()) {
                        scopes.push(measurement.scope());
                    }
                    answers.push(None);
                }
                Err(e) => answers.push(Some(Err(e.clone()))),
            }
        }
        for scope in scopes {
            let (at, measurements): (Vec<usize>, Vec<&dyn Measurement>) = asked
                .iter()
                .enumerate()
                .filter_map(|(i, measurement)| Some((i, &**measurement.as_ref().ok()?)))
                .filter(|(_, measurement)| measurement.scope() == scope)
                .unzip();
            let is_remembered = remembers && scope == Scope::Prompt;
            let heard = teller.filter(|_| is_remembered);
            let heard = heard.map(|teller| Heard { teller, calls, at: &at });
            let round = Round {
                pool: &self.pool,
                subject,
                edits,
                measurements: &measurements,
                arrays: true,
                work: &Workspace::default(),
                remembered: is_remembered.then_some(&self.remembered),
                listener: heard.as_ref().map(|heard| heard as &dyn Listener),
            };
            let found = scoped(&round, scope, prompt, &mut self.held_out)?;
            for (i, answer) in at.iter().zip(found) {
                answers[*i] = Some(answer);
            }
        }
        let reading = |answer: Option<Result<Answer>>| match answer {
            Some(answer) => answer.map(|answer| Arc::new(reading_of(answer))),
            None => Err(Error::internal("a measurement was not asked")),
        };
        let keys = calls.iter().map(MeasurementCall::key);
        Ok(keys.zip(answers.into_iter().map(reading)).collect())
    }

    /// Gives what every place of one pass over a prompt holds: see [`places::places`].
    ///
    /// # Errors
    /// As [`Self::examine`].
    pub fn places(
        &mut self,
        weights: &Weights,
        prompt: &Row,
        interventions: &[Intervention],
        give: &mut dyn FnMut(Array) -> Result<()>,
    ) -> Result<()> {
        self.prepare(weights, interventions)?;
        self.try_out(interventions)?;
        let edits = self.edits(interventions)?;
        places::places(&*self.model, &self.params, &prompt.tokens, edits, give)
    }

    /// One pass over a prompt that keeps the tensors of some sites, and makes the logits of the last position: how many it kept.
    ///
    /// # Errors
    /// As [`Self::examine`].
    pub fn pass(&mut self, weights: &Weights, prompt: &Row, sites: &[Site]) -> Result<usize> {
        self.prepare(weights, &[])?;
        let batch = Batch::from_rows(std::slice::from_ref(prompt));
        let logits_from = prompt.len().saturating_sub(1);
        let asked = Asked { sites, wants_logits: true, logits_from, ..Asked::default() };
        let (_, seen) = forward_asked(&*self.model, &self.params, &batch, &[], asked)?;
        Ok(seen.len())
    }

    /// Answers a long question about the weights, under what is in force where the question reads it; `tell` hears how far it has come.
    ///
    /// # Errors
    /// As [`Self::examine`], or those of the analysis.
    pub fn analyze(
        &mut self,
        weights: &Weights,
        prompt: &Row,
        interventions: &[Intervention],
        analysis: &dyn Analysis,
        tell: OnPartial<'_>,
    ) -> Result<Reading> {
        let interventions = if analysis.reads_edits() { interventions } else { &[] };
        self.prepare(weights, interventions)?;
        self.try_out(interventions)?;
        let edits = &self.edits(interventions)?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        measurement::check_tokens(subject)?;
        let ground =
            Ground { subject, pool: &self.pool, prompt, seed: self.held_out.seed(), edits };
        let mut heard = |told: PartialAnswer<'_>| {
            tell(told.done, told.total, &|| Ok(reading_of((told.so_far)()?)))
        };
        analysis.run(&ground, &mut heard).map(reading_of)
    }

    /// Asks a study, of the network with what is in force; `tell` hears how far it has come, and false ends it with what there is.
    ///
    /// # Errors
    /// As [`Self::examine`], or those of the study.
    pub fn study(
        &mut self,
        weights: &Weights,
        interventions: &[Intervention],
        asked: &Prepared,
        tell: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Reading> {
        self.prepare(weights, interventions)?;
        self.try_out(interventions)?;
        let edits = self.edits(interventions)?;
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        study::check(subject)?;
        prompt::check(&asked.prompts, subject.model.layout().vocab, subject.model.layout().length)?;
        let changed = Under { model: subject.model, edits: &edits };
        let model: &dyn Model = if edits.is_empty() { subject.model } else { &changed };
        let ground = study::Ground {
            subject: Subject { model, ..subject },
            pool: &self.pool,
            prompts: &asked.prompts,
            begin: asked.first,
        };
        asked.study.run(&ground, tell).map(reading_of)
    }

    /// That the network has what an intervention names.
    ///
    /// # Errors
    /// When it has not; the sentence says what is nearest.
    pub fn check(&mut self, what: &Intervention) -> Result<()> {
        self.try_out(std::slice::from_ref(what))
    }

    /// An intervention without a place would change nothing and say nothing.
    fn try_out(&mut self, interventions: &[Intervention]) -> Result<()> {
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        for what in interventions {
            if !self.tried.contains(what) {
                try_out(subject, what, self.tried_length(what))?;
                self.tried.push(what.clone());
            }
        }
        Ok(())
    }

    /// Positions of the sequence that an intervention is tried out on: a large network, which is read and not trained, is asked about a short
    /// one, which has the positions that are named.
    fn tried_length(&self, what: &Intervention) -> usize {
        let longest = self.model.layout().length;
        if !self.architecture.is_read() {
            return longest;
        }
        let named = match what {
            Intervention::Change { place, .. } => {
                let all = place.positions.iter().chain(&place.keys);
                all.filter(|at| **at < MEMORY).max().map_or(0, |at| at + 1)
            }
            Intervention::Freeze(_) | Intervention::Unfreeze(_) => 0,
        };
        longest.min(TRIED_POSITIONS.max(named))
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

    /// Loads the weights and rewrites the matrices that interventions rewrite, one after the other.
    fn prepare(&mut self, weights: &Weights, interventions: &[Intervention]) -> Result<()> {
        let wanted = || interventions.iter().filter(|what| what.rewrites());
        if !self.rewritten.is_empty() && !wanted().eq(&self.rewritten) {
            self.loaded = None;
        }
        self.load(weights)?;
        for what in wanted().skip(self.rewritten.len()).cloned().collect::<Vec<_>>() {
            self.rewrite(&what).map_err(|e| e.context(format!("intervention \"{what}\"")))?;
            self.rewritten.push(what);
        }
        Ok(())
    }

    fn rewrite(&mut self, what: &Intervention) -> Result<()> {
        let Intervention::Change { place, how: How::Rewrite { tokens, to } } = what else {
            return Ok(());
        };
        let most = self.model.layout();
        let text = [Encoded { tokens: tokens.clone(), ..Encoded::default() }];
        prompt::check(&text, most.vocab, most.length)?;
        let position = place.positions.first().copied().unwrap_or(0);
        let wanted = Wanted { tokens, layer: place.site.layer, position, to: *to };
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        let change = rank_one(subject, &wanted, self.held_out.seed())?;
        self.params = change.carried_out(&self.params)?;
        self.remembered = Mutex::default();
        self.reference = Reference::default();
        Ok(())
    }

    fn load(&mut self, weights: &Weights) -> Result<()> {
        let same = |loaded: &Weights| {
            let tensors = loaded.tensors.iter().zip(&weights.tensors);
            loaded.file == weights.file
                && loaded.tensors.len() == weights.tensors.len()
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
        self.remembered = Mutex::default();
        self.reference = Reference::default();
        self.rewritten.clear();
        match &weights.file {
            None => self.params.load(weights)?,
            Some(file) => {
                let mut params = Params::new(0);
                if let Some(model) = self.architecture.read(&file.0, &mut params)? {
                    (self.model, self.params) = (model, params);
                }
            }
        }
        self.loaded = Some(weights.clone());
        Ok(())
    }
}

/// The answers of measurements that look at the same.
fn scoped(
    round: &Round<'_>,
    scope: Scope,
    prompt: &Row,
    held_out: &mut HeldOut,
) -> Result<Vec<Result<Answer>>> {
    let batch = match scope {
        Scope::Prompt => Some(Arc::new(Batch::from_rows(std::slice::from_ref(prompt)))),
        Scope::HeldOut | Scope::Variant(_) | Scope::Weights => {
            held_out.of(scope, round.subject.source)
        }
    };
    let each = round.measurements.iter();
    Ok(match (scope, batch) {
        (Scope::Weights, _) => {
            each.map(|measurement| of_weights(round.subject, *measurement)).collect()
        }
        (Scope::Prompt, Some(batch)) => round.with_prompt(&batch, prompt)?,
        // What is in force may hold for the prompt and for no other sequence.
        (_, Some(batch)) => round
            .with_prompt(&batch, prompt)
            .unwrap_or_else(|error| each.map(|_| Err(error.clone())).collect()),
        (_, None) => each.map(|_| Err(no_variant(scope))).collect(),
    })
}

fn probe_of(
    call: &MeasurementCall,
    subject: Subject<'_>,
    edits: &[Edit],
    lenses: &Lenses,
) -> Result<Box<dyn Measurement>> {
    let mut measurement = registry::find("measurement", measurement::ALL, &call.measurement)?;
    for (name, value) in &call.settings {
        settings::set(&mut *measurement, &format!("{}.", call.measurement), name, value)?;
    }
    measurement::check(&*measurement, subject)?;
    measurement.under(edits);
    measurement.equip(lenses);
    Ok(measurement)
}

fn no_variant(scope: Scope) -> Error {
    let name = if let Scope::Variant(name) = scope { name } else { "held-out" };
    Error::usage(format!("this task has no variant \"{name}\" to ask about"))
}

fn reading_of(answer: Answer) -> Reading {
    let numbers = answer.means.into_iter().map(|m| (m.name, m.sum / m.count)).collect();
    Reading { arrays: answer.arrays, numbers, notes: answer.notes }
}
