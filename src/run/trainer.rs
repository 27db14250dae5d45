//! Step, evaluate, give out weights: training without a thread and without a clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Device;

use crate::base::batch::{Batch, NO_TARGET};
use crate::base::convert::narrow;
use crate::base::error::{Error, Kind, Result};
use crate::base::event::{Mark, MarkKind, MetricsRow};
use crate::base::intervention::Intervention;
use crate::base::settings::{self, Settings};
use crate::base::weights::Weights;
use crate::measurement::Subject;
use crate::measurement::marks::{self, Facts, Marks};
use crate::model::pass::Tensors;
use crate::model::{Layout, Model};
use crate::nn::edit::Edit;
use crate::nn::kernel::lanes::{add_to, scale};
use crate::nn::kernel::pool::Pool;
use crate::nn::loss::{beside, cross_entropy, squared_error};
use crate::nn::optim::{Gradients, Optimizer, OptimizerSettings, RateSchedule, Rule};
use crate::nn::params::{Param, Params, canonical};
use crate::nn::tap::EditAndCapture;
use crate::nn::tape::{Found, Numbers, Tape, Workspace};
use crate::task::{self, Source};

use super::experiment::{Experiment, LossOver, On, Schedule, Staged, Train};
use super::measure;
use super::meters::{HeldOut, Meters};

pub use crate::run_folder::checkpoint::Checkpoint;

/// Before the name of a tensor: the column of the norm of its gradient.
const GRAD_NORM: &str = "grad_norm_";

/// An experiment in progress.
pub struct Trainer {
    experiment: Experiment,
    source: Arc<dyn Source>,
    model: Box<dyn Model>,
    params: Params,
    /// The same numbers outside of any gradient graph, for measuring.
    watched: Params,
    pool: Pool,
    optimizer: Optimizer,
    meters: Meters,
    /// Columns of the metrics: those of the meters, then the norms of the gradients.
    columns: Vec<String>,
    /// Of each tensor that the model trains: the norm of the gradient of the last update, before clipping. NaN where
    /// there was none.
    grad_norms: Vec<f64>,
    marks: Marks,
    in_force: Vec<Intervention>,
    changed: Vec<(String, toml::Value)>,
    steps_done: u64,
    /// Last step whose evaluation the rules of the marks have seen.
    observed: Option<u64>,
    work: Workspace,
    ahead: Ahead,
}

impl Trainer {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// When task, model and training do not fit together, or a thread cannot be started.
    pub fn new(experiment: &Experiment) -> Result<Self> {
        let experiment = experiment.clone();
        let train = &experiment.train;
        check_settings(train)?;
        if experiment.model.is_read() {
            return Err(Error::usage(format!(
                "{} is a network of another program, which is read here and not trained; choose an experiment of `mnemoscope list experiments`",
                experiment.name
            )));
        }
        let source = experiment.task.open()?;
        let mut params = Params::on(train.seed as u64, device(train.device)?);
        let model = experiment.network(&*source, &mut params)?;
        let watched = params.watched()?;
        let subject = Subject { model: &*model, params: &watched, source: &*source };
        let meters = Meters::new(subject, HeldOut::new(train.seed as u64, train.held_out))?;
        check_loss(train, &*source)?;
        let never = frozen_throughout(&experiment.at);
        let facts = Facts::new(subject, train.loss == LossOver::All, &never);
        let trained = params.all().filter(|p| params.is_trained(*p));
        let grad_columns: Vec<String> =
            trained.map(|p| format!("{GRAD_NORM}{}", params.name(p))).collect();
        let grad_norms = vec![f64::NAN; grad_columns.len()];
        let columns = [meters.columns.as_slice(), &grad_columns].concat();
        let marks = Marks::new(&columns, facts);
        let optimizer = Optimizer::new(optimizer_settings(train));
        let optimizer = optimizer.with_multiples(&train.rates, &params)?;
        let trainer = Self {
            pool: Pool::new(train.threads)?,
            optimizer,
            in_force: Vec::new(),
            changed: Vec::new(),
            steps_done: 0,
            observed: None,
            work: Workspace::default(),
            ahead: Ahead::default(),
            experiment,
            source,
            model,
            params,
            watched,
            meters,
            columns,
            grad_norms,
            marks,
        };
        trainer.check_staged()?;
        Ok(trainer)
    }

    /// A network that goes on from given weights, with fresh optimiser moments; what the experiment stages
    /// before their step is in force.
    ///
    /// # Errors
    /// As [`Self::new`], or when the weights are those of another network or not finite.
    pub fn branch(experiment: &Experiment, weights: &Weights) -> Result<Self> {
        let mut trainer = Self::new(experiment)?;
        trainer.take_weights(weights)?;
        trainer.stage_before(weights.step, &[])?;
        Ok(trainer)
    }

    /// A network that goes on from the checkpoint of another run as that run would, with the settings of this
    /// experiment. What was in force there is in force here, and what the experiment stages before that step beyond
    /// `staged`, which that run has staged already. An optimiser of another kind begins afresh.
    pub fn branch_at_checkpoint(
        experiment: &Experiment,
        from: Checkpoint,
        staged: &[Staged],
    ) -> Result<Self> {
        let step = from.weights.step;
        let mut trainer = Self::resume(experiment, &Checkpoint { changed: Vec::new(), ..from })?;
        trainer.stage_before(step, staged)?;
        Ok(trainer)
    }

    /// Takes over what had formed in the run that this one branches from: it is not said anew.
    pub fn carry_over(&mut self, marks: &[Mark]) {
        let step = self.steps_done;
        let formed = |mark: &&Mark| mark.kind == MarkKind::Emergence && mark.step <= step;
        marks.iter().filter(formed).for_each(|mark| self.marks.carry_over(mark));
    }

    /// Brings into force what the experiment stages before a step, but for what was `done`.
    fn stage_before(&mut self, step: u64, done: &[Staged]) -> Result<()> {
        let staged = self.experiment.at.clone();
        staged
            .iter()
            .filter(|s| s.step < step && !done.contains(s))
            .try_for_each(|s| self.intervene(&s.what))
    }

    /// Goes on bit for bit as if it had never stopped.
    ///
    /// # Errors
    /// As [`Self::new`], or when the checkpoint is that of another network.
    pub fn resume(experiment: &Experiment, from: &Checkpoint) -> Result<Self> {
        let mut trainer = Self::new(experiment)?;
        for (name, value) in &from.changed {
            trainer.set(name, value)?;
        }
        trainer.take_weights(&from.weights)?;
        for what in &from.in_force {
            trainer.intervene(what)?;
        }
        trainer.optimizer.restore(&trainer.params, &from.optimizer)?;
        let marks: marks::State = serde_json::from_value(from.marks.clone()).map_err(|e| {
            Error::input(format!("the state of the emergence marks is damaged: {e}")).caused_by(e)
        })?;
        trainer.marks.restore(&marks);
        trainer.observed = Some(from.weights.step);
        let first = trainer.meters.columns.len();
        for (column, norm) in trainer.columns[first..].iter().zip(&mut trainer.grad_norms) {
            let saved = from.grad_norms.iter().find(|(name, _)| column[GRAD_NORM.len()..] == *name);
            *norm = saved.map_or(f64::NAN, |(_, saved)| *saved);
        }
        Ok(trainer)
    }

    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub fn layout(&self) -> &Layout {
        self.model.layout()
    }

    /// Columns of the metrics, without `step`.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Goes on with the columns of a recording: measurements that it does not have, since an earlier version of this program began
    /// it, are left out.
    pub fn keep_columns(&mut self, recorded: &[String]) {
        let gradients = self.columns.split_off(self.meters.columns.len());
        self.meters.keep(recorded);
        self.columns = [self.meters.columns.as_slice(), &gradients].concat();
        self.marks.over(&self.columns);
    }

    /// Name and meaning of every emergence mark that can be set in this run.
    pub fn rules(&self) -> Vec<(&'static str, &'static str)> {
        self.marks.rules()
    }

    /// The ids of these marks.
    pub fn mark_ids(&self) -> Vec<&'static str> {
        self.marks.ids()
    }

    /// What training is at, e.g. `learning global statistics`.
    pub fn state_in_words(&self) -> String {
        let frozen = self.params.all().filter(|p| self.params.is_frozen(*p));
        let frozen: Vec<String> = frozen.map(|p| self.params.name(p).to_owned()).collect();
        let subject = Subject { model: &*self.model, params: &self.params, source: &*self.source };
        let over_all = self.experiment.train.loss == LossOver::All;
        self.marks.state_in_words(Facts::new(subject, over_all, &frozen))
    }

    /// Updates done so far.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Whether the weights as they are now are due for an evaluation: every so many steps, and at the last.
    pub fn is_evaluation_due(&self) -> bool {
        self.is_on_grid() || self.is_finished()
    }

    fn is_on_grid(&self) -> bool {
        self.steps_done.is_multiple_of(self.experiment.train.evaluate as u64)
    }

    /// Whether all steps of the experiment are done.
    pub fn is_finished(&self) -> bool {
        let steps = self.experiment.train.steps as u64;
        steps > 0 && self.steps_done >= steps
    }

    /// One update. Staged interventions of this step come into force first; the marks they make are returned.
    ///
    /// # Errors
    /// Of kind [`Kind::Diverged`] when the loss, a gradient or a weight is not finite: the weights are those
    /// of before then. Others when an intervention or a forward pass fails.
    pub fn step(&mut self) -> Result<Vec<Mark>> {
        let marks = self.staged()?;
        let (loss, mut grads) = self.gradients()?;
        if !loss.is_finite() {
            return Err(self.diverged(&format!("the loss is {loss}")));
        }
        self.make_ahead();
        let rate = rate_schedule(&self.experiment.train).at(self.steps_done);
        let norms =
            self.optimizer.step(&self.pool, &self.params, &mut grads, rate).map_err(|e| {
                if e.kind == Kind::Diverged { self.diverged(&e.message) } else { e }
            })?;
        let trained = self.params.all().filter(|p| self.params.is_trained(*p));
        self.grad_norms = trained.map(|p| norms[p.index()]).collect();
        grads.into_iter().flatten().for_each(|buffer| self.work.give(buffer));
        self.steps_done += 1;
        Ok(marks)
    }

    /// Metrics of the weights as they are, and the emergence marks that this evaluation set. The rules of the marks see
    /// every `train.evaluate`-th step once: a run that ends in between and goes on later sets the same marks as one
    /// that did not end.
    pub fn evaluate(&mut self) -> Result<(MetricsRow, Vec<Mark>)> {
        if !self.params.device().is_cpu() {
            self.watched = self.params.watched()?;
        }
        let subject = Subject { model: &*self.model, params: &self.watched, source: &*self.source };
        let edits = Edit::of_all(&self.in_force, &self.watched)?;
        let mut values = self.meters.measure(&self.pool, subject, &edits)?;
        values.extend(&self.grad_norms);
        let row = MetricsRow { step: self.steps_done, values };
        if !self.is_on_grid() || self.observed.is_some_and(|last| last >= self.steps_done) {
            return Ok((row, Vec::new()));
        }
        self.observed = Some(self.steps_done);
        let marks = self.marks.observe(&row);
        Ok((row, marks))
    }

    pub fn weights(&self) -> Result<Weights> {
        self.params.weights(self.steps_done)
    }

    /// Brings an intervention into force; one that already is changes nothing.
    ///
    /// # Errors
    /// When the network has no such tensor, head, position or point. Nothing has changed then.
    pub fn intervene(&mut self, what: &Intervention) -> Result<()> {
        let what = &spelled_our_way(what);
        if self.in_force.contains(what) {
            return Ok(());
        }
        match what {
            Intervention::Freeze(name) => self.params.set_frozen(name, true)?,
            Intervention::Unfreeze(name) => {
                self.params.set_frozen(name, false)?;
                let frozen = Intervention::Freeze(name.clone());
                self.in_force.retain(|i| *i != frozen);
                return Ok(());
            }
            Intervention::Change { .. } => self.check(what)?,
        }
        self.in_force.push(what.clone());
        Ok(())
    }

    /// Takes back an intervention that is in force.
    ///
    /// # Errors
    /// When it is not in force.
    pub fn lift(&mut self, what: &Intervention) -> Result<()> {
        let what = &spelled_our_way(what);
        if !self.in_force.contains(what) {
            let all: Vec<String> = self.in_force.iter().map(ToString::to_string).collect();
            let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
            return Err(Error::usage(format!("\"{what}\" is not in force; in force: {all}")));
        }
        if let Intervention::Freeze(name) = what {
            self.params.set_frozen(name, false)?;
        }
        self.in_force.retain(|i| i != what);
        Ok(())
    }

    pub fn in_force(&self) -> &[Intervention] {
        &self.in_force
    }

    /// Changes a live setting of training, from the next step on.
    ///
    /// # Errors
    /// When there is no such setting, it is not live, or the value does not suit it. Nothing has changed then.
    pub fn set(&mut self, name: &str, value: &toml::Value) -> Result<()> {
        let mut train = self.experiment.train.clone();
        settings::set(&mut train, "train.", name, value)?;
        let mut live = false;
        train.each(&mut |spec, _| live |= spec.live && spec.name == name);
        if !live {
            return Err(Error::usage(format!(
                "train.{name} cannot change while the run goes on; restart or branch with the new value"
            )));
        }
        check_settings(&train)?;
        self.optimizer.set(optimizer_settings(&train));
        self.experiment.train = train;
        self.changed.retain(|(n, _)| n != name);
        self.changed.push((name.to_owned(), value.clone()));
        Ok(())
    }

    /// Names and values of the settings that [`Self::set`] changes.
    pub fn live_settings(&self) -> toml::Table {
        let mut train = self.experiment.train.clone();
        let mut table = settings::to_table(&mut train);
        train.each(&mut |spec, _| {
            if !spec.live {
                table.remove(spec.name);
            }
        });
        table
    }

    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let first = self.meters.columns.len();
        let names = self.columns[first..].iter().map(|c| c[GRAD_NORM.len()..].to_owned());
        Ok(Checkpoint {
            grad_norms: names.zip(self.grad_norms.iter().copied()).collect(),
            weights: self.weights()?,
            optimizer: self.optimizer.state(&self.params),
            in_force: self.in_force.clone(),
            marks: serde_json::to_value(self.marks.state()).map_err(Error::internal_of)?,
            changed: self.changed.clone(),
        })
    }

    fn take_weights(&mut self, weights: &Weights) -> Result<()> {
        if let Some(name) = weights.first_not_finite() {
            return Err(Error::input(format!(
                "the tensor {name} of step {} holds numbers that are not finite; choose an earlier step",
                weights.step
            )));
        }
        self.params.load(weights)?;
        // Tensors that never change are remembered beside the variables.
        self.watched = self.params.watched()?;
        self.steps_done = weights.step;
        Ok(())
    }

    fn staged(&mut self) -> Result<Vec<Mark>> {
        let now: Vec<Intervention> = self
            .experiment
            .at
            .iter()
            .filter(|staged| staged.step == self.steps_done)
            .map(|staged| staged.what.clone())
            .collect();
        let mut marks = Vec::new();
        for what in now {
            self.intervene(&what)?;
            let kind = MarkKind::Intervention;
            marks.push(Mark::of_text(self.steps_done, kind, what.to_string()));
        }
        Ok(marks)
    }

    /// Loss and gradients of the batch of this step: shard after shard on the pool, added in their order.
    fn gradients(&self) -> Result<(f64, Gradients)> {
        let train = &self.experiment.train;
        let positions = train.batch * self.source.length();
        let on_cpu = self.params.device().is_cpu();
        let numbers =
            on_cpu.then(|| Numbers::of(&self.params, positions, &self.work)).transpose()?;
        let shards = self.shards();
        let mut sum = Found::default();
        let mut counts = 0;
        self.pool.fold_in_order(
            shards.len(),
            |shard| self.shard(numbers.as_ref(), shards[shard]),
            |(count, found): (usize, Found)| {
                counts += count;
                sum.loss += found.loss;
                add_all(&mut sum.grads, found.grads, &self.work);
                add_all(&mut sum.folds, found.folds, &self.work);
                Ok(())
            },
        )?;
        if let Some(numbers) = numbers {
            numbers.unfold(&sum.folds, &mut sum.grads);
        }
        sum.folds.into_iter().flatten().for_each(|buffer| self.work.give(buffer));
        // Shards weigh positions as if all of them counted; now it is known how many do.
        let factor = positions as f64 / counts.max(1) as f64;
        for (param, grad) in self.params.all().zip(&mut sum.grads) {
            if self.params.is_frozen(param) {
                continue;
            }
            // No path from it to the loss, for example behind a head that is zeroed.
            let count = self.params.count(param);
            let grad = grad.get_or_insert_with(|| self.work.take_zeros(count));
            if factor != 1.0 {
                scale(grad, narrow(factor));
            }
        }
        Ok((sum.loss * factor, sum.grads))
    }

    /// Has the sequences of the next step made while this one is finished: the threads of the pool have nothing to do then.
    fn make_ahead(&self) {
        let train = &self.experiment.train;
        let (seed, next) = (train.seed as u64, (self.steps_done + 1) * train.batch as u64);
        locked(&self.ahead).clear();
        for (from, rows) in self.shards() {
            let (source, ahead) = (self.source.clone(), self.ahead.clone());
            self.pool.spawn(move || {
                let first = next + from as u64;
                let batch = task::batch(&*source, seed, first, rows);
                locked(&ahead).insert(first, batch);
            });
        }
    }

    /// First sequence and number of sequences of each shard of a batch.
    fn shards(&self) -> Vec<(usize, usize)> {
        let train = &self.experiment.train;
        // A graphics card divides the work by itself.
        let on_cpu = self.params.device().is_cpu();
        let rows = if on_cpu { shard_rows(train, self.source.length()) } else { train.batch };
        (0..train.batch).step_by(rows).map(|from| (from, rows.min(train.batch - from))).collect()
    }

    /// Sequences `from..from + rows` of the batch of this step: how many positions are in the loss, and what was found.
    fn shard(
        &self,
        numbers: Option<&Numbers<'_>>,
        (from, rows): (usize, usize),
    ) -> Result<(usize, Found)> {
        let train = &self.experiment.train;
        let first = self.steps_done * train.batch as u64 + from as u64;
        let made = locked(&self.ahead).remove(&first).filter(|batch| batch.rows == rows);
        let batch =
            made.unwrap_or_else(|| task::batch(&*self.source, train.seed as u64, first, rows));
        let (weight, count) = loss_weights(&batch, train.loss, train.batch);
        if let Some(numbers) = numbers
            && !self.in_force.iter().any(Intervention::changes_forward)
        {
            let mut tape = Tape::new(numbers, &batch, &weight);
            if self.model.record(&mut tape)? {
                return Ok((count, tape.backward()?));
            }
        }
        Ok((count, self.through_tensors(&batch, &weight)?))
    }

    /// The same over tensors, under what is in force.
    fn through_tensors(&self, batch: &Batch, weight: &[f32]) -> Result<Found> {
        let tensors = Tensors::of(batch, &self.params)?;
        let mut bench =
            EditAndCapture::new(Edit::of_all(&self.in_force, &self.params)?, Vec::new());
        let output = self.model.forward(&self.params, &tensors.input(), &mut bench)?;
        let mut loss = if batch.value_targets.is_empty() {
            cross_entropy(&output.logits, &batch.targets, weight)?
        } else {
            squared_error(&output.logits, &batch.value_targets, weight)?
        };
        if let Some(of_each) = &output.beside {
            loss = (loss + beside(of_each, weight)?)?;
        }
        let grads = loss.backward()?;
        let of = |param: Param| -> Result<Option<Vec<f32>>> {
            let grad = grads.get(self.params.var(param)?.as_tensor());
            grad.filter(|_| !self.params.is_frozen(param))
                .map(|grad| Ok(grad.flatten_all()?.to_vec1()?))
                .transpose()
        };
        let grads = self.params.all().map(of).collect::<Result<_>>()?;
        Ok(Found { loss: f64::from(loss.to_scalar::<f32>()?), grads, folds: Vec::new() })
    }

    fn diverged(&self, what: &str) -> Error {
        Error::new(
            Kind::Diverged,
            format!(
                "training diverged at step {}: {what}. The weights of that step are kept; go on from an earlier one with a smaller train.rate, or with train.clip",
                self.steps_done
            ),
        )
    }

    /// Whether the network has what an intervention names, and can be trained under it.
    fn check(&self, what: &Intervention) -> Result<()> {
        let (model, params, source) = (&*self.model, &self.watched, &*self.source);
        Edit::of(what, params)?;
        measure::try_out(Subject { model, params, source }, what, source.length())
    }

    /// Says at the start, not at step 10,000, that a staged intervention names what is not there.
    fn check_staged(&self) -> Result<()> {
        self.experiment.at.iter().try_for_each(|staged| {
            let doing = |e: Error| e.context(format!("[[at]] step = {}", staged.step));
            self.check(&staged.what).map_err(doing)
        })
    }
}

/// The same intervention with the one spelling of its tensor that this program writes.
fn spelled_our_way(what: &Intervention) -> Intervention {
    match what {
        Intervention::Freeze(name) => Intervention::Freeze(canonical(name).to_owned()),
        Intervention::Unfreeze(name) => Intervention::Unfreeze(canonical(name).to_owned()),
        Intervention::Change { .. } => what.clone(),
    }
}

/// Parts of the batch of the next step, by the number of their first sequence.
type Ahead = Arc<Mutex<BTreeMap<u64, Batch>>>;

fn locked(ahead: &Ahead) -> MutexGuard<'_, BTreeMap<u64, Batch>> {
    // A panic leaves whole batches behind.
    ahead.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device(on: On) -> Result<Device> {
    let (name, device) = match on {
        On::Cpu => return Ok(Device::Cpu),
        On::Cuda => ("cuda", Device::new_cuda(0)),
        On::Metal => ("metal", Device::new_metal(0)),
    };
    device.map_err(|e| {
        Error::system(format!(
            "train.device = \"{name}\" cannot be had: {}. It takes the hardware and a program built with `cargo build --release --features {name}`; without them use --device cpu",
            crate::nn::said(&e)
        )).caused_by(e)
    })
}

/// Adds the gradients of a shard to those of the shards before it.
fn add_all(sum: &mut Vec<Option<Vec<f32>>>, more: Vec<Option<Vec<f32>>>, work: &Workspace) {
    if sum.is_empty() {
        *sum = more;
        return;
    }
    for (sum, more) in sum.iter_mut().zip(more) {
        match (&mut *sum, more) {
            (Some(sum), Some(more)) => {
                add_to(sum, &more);
                work.give(more);
            }
            (None, Some(more)) => *sum = Some(more),
            (_, None) => {}
        }
    }
}

/// Sequences in a shard: those that were asked for, or enough for products of a good size while all are divided among at
/// least four.
pub(super) fn shard_rows(train: &Train, length: usize) -> usize {
    /// Positions whose activations and gradients stay in the caches of a core.
    const POSITIONS: usize = 512;
    match train.shard {
        0 => (POSITIONS / length.max(1)).clamp(1, train.batch.div_ceil(4)),
        rows => rows,
    }
}

/// Tensors that are frozen from the first step on and that nothing staged ever releases.
fn frozen_throughout(at: &[Staged]) -> Vec<String> {
    let mut frozen: Vec<String> = Vec::new();
    for staged in at {
        match spelled_our_way(&staged.what) {
            Intervention::Freeze(name) if staged.step == 0 => frozen.push(name),
            Intervention::Unfreeze(name) => frozen.retain(|frozen| *frozen != name),
            Intervention::Freeze(_) | Intervention::Change { .. } => {}
        }
    }
    frozen
}

/// Weight of each position of a part of a batch of `rows` sequences, and how many count.
fn loss_weights(batch: &Batch, over: LossOver, rows: usize) -> (Vec<f32>, usize) {
    let each = 1.0 / (rows * batch.len).max(1) as f32;
    let mut count = 0;
    let weights = batch.targets.iter().zip(&batch.occurrence).map(|(target, occurrence)| {
        let counts = *target != NO_TARGET && (over == LossOver::All || *occurrence >= 2);
        count += usize::from(counts);
        if counts { each } else { 0.0 }
    });
    (weights.collect(), count)
}

/// Whether there is anything to train on.
fn check_loss(train: &Train, source: &dyn Source) -> Result<()> {
    if train.loss == LossOver::Repeated && !task::has_occurrences(source) {
        return Err(Error::usage(
            "train.loss = \"repeated\" counts only answers that stand in the context, and this task has none: nothing would be trained. Give the task triggers (task.triggers), or use train.loss = \"all\"",
        ));
    }
    Ok(())
}

fn check_settings(train: &Train) -> Result<()> {
    if train.schedule == Schedule::Cosine && train.steps == 0 {
        return Err(Error::usage(
            "train.schedule = \"cosine\" falls until the last step: give train.steps, or use \"constant\"",
        ));
    }
    Ok(())
}

fn optimizer_settings(train: &Train) -> OptimizerSettings {
    use super::experiment::Optimizer::{AdamW, Sgd};
    let rule = match train.optimizer {
        Sgd => Rule::Sgd { momentum: train.momentum },
        AdamW => Rule::AdamW { beta1: train.beta1, beta2: train.beta2 },
    };
    OptimizerSettings { rule, decay: train.decay, clip: train.clip }
}

fn rate_schedule(train: &Train) -> RateSchedule {
    RateSchedule {
        rate: train.rate,
        warmup: train.warmup as u64,
        cosine_over: (train.schedule == Schedule::Cosine).then_some(train.steps as u64),
        cosine_to: train.cosine_to,
    }
}
