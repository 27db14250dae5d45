//! How well a network does on sequences that are longer than those it was trained on, or drawn otherwise.

use std::sync::Arc;

use candle_core::Tensor;

use super::causes::{RADII, Switch, Trained};
use super::{Analysis, Ground, OnPartial, PartialAnswer, one};
use crate::base::analysis::Varied;
use crate::base::array::Array;
use crate::base::batch::{Batch, NO_TARGET};
use crate::base::convert::{index, narrow};
use crate::base::error::{Error, Result};
use crate::base::settings;
use crate::measurement::read::{Tally, each_hit};
use crate::measurement::{Answer, Scene, Subject};
use crate::model::pass;
use crate::nn::tap::Captured;
use crate::nn::tape::{Numbers, Workspace};
use crate::task::{self, Source, Task};

crate::settings! {
    /// Accuracy on held-out sequences of the same task with another length, or another value of one of its settings.
    ///
    /// Arrays over the values: `value`, `positions` (of a sequence), `accuracy` (of all positions with a target), `last` (of the last of
    /// them in each sequence), `whole` (share of sequences with nothing wrong); `by_position` `[value, position]`, NaN where no
    /// sequence has a target. With `causes`: `accuracy.positions`, `accuracy.dilution`, `accuracy.mlp`, the same with one cause of failure
    /// taken out of the way ([`super::causes`]), `outside` (the share of hidden units outside of their range in training) and
    /// `local` `[value, radius]`, attention within 1/20, 2/20, … of the sequence before the query. Numbers: `trained` (the value in
    /// training), `trained_positions`, `chance` (who guesses among the possible answers).
    pub struct Length = "How well the network does on longer sequences than it was trained on, or where another setting of the task has other values." {
        /// What is varied.
        varied: Varied = Varied::default();
    }
}

/// The lengths that are asked about where nothing is said: so many times that of training.
const TIMES: [f64; 12] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Sequences in one forward pass.
const CHUNK: usize = 8;
/// Values that are asked about.
const MOST_VALUES: usize = 64;

impl Analysis for Length {
    fn reads_prompt(&self) -> bool {
        false
    }

    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let asked = Asked::of(&self.varied, ground.subject)?;
        let trained = self.trained(ground)?;
        let mut found = Vec::new();
        for (done, (_, source)) in asked.points.iter().enumerate() {
            let so_far = || asked.answer(ground.subject, &found);
            if !tell(PartialAnswer { done, total: asked.points.len(), so_far: &so_far }) {
                break;
            }
            found.push(Scores::of(ground, &**source, self.varied.sequences, trained.as_ref())?);
        }
        asked.answer(ground.subject, &found)
    }
}

/// Sequences that causes are looked for in.
const LOOKED_AT: usize = 16;

impl Length {
    /// What is known at the length of training, where causes are asked for.
    fn trained(&self, ground: &Ground<'_>) -> Result<Option<Trained>> {
        let batch = || task::batch(ground.subject.source, ground.seed, 0, LOOKED_AT);
        if !self.varied.causes {
            return Ok(None);
        }
        let trained = Trained::of(ground.subject, &batch())?;
        if trained.switches(ground.subject).is_empty() {
            return Err(Error::usage(
                "causes: positions, attention and MLP are those of transformers, and this network has none of them; leave them out",
            ));
        }
        Ok(Some(trained))
    }
}

/// What is asked about.
struct Asked {
    /// The value in training.
    trained: f64,
    points: Vec<(f64, Arc<dyn Source>)>,
}

impl Asked {
    fn of(varied: &Varied, subject: Subject<'_>) -> Result<Self> {
        let source = subject.source;
        let task = source.settings().ok_or_else(|| {
            Error::usage("this task has one length: it cannot be asked about others")
        })?;
        let over = match varied.over.trim() {
            "" => task.length_setting().ok_or_else(|| {
                Error::usage("no setting of this task says how long sequences are: name the one that is to be varied (over). Of a network of another program none is known to be right, so that its accuracy has no length")
            })?,
            over => over.strip_prefix("task.").unwrap_or(over),
        };
        let trained = number(&*task, over)?;
        let points = match varied.values.trim() {
            "" if task.length_setting() == Some(over) => lengths(subject, trained)?,
            "" => {
                return Err(Error::usage(format!(
                    "which values task.{over} is to have is not said: write them with commas between (values)"
                )));
            }
            values => {
                let each = values.split(',').map(|text| at(source, &*task, over, text.trim()));
                each.collect::<Result<_>>()?
            }
        };
        let asked = Self { trained, points };
        asked.check(subject).map(|()| asked)
    }

    /// That the network can be asked about all of them.
    fn check(&self, subject: Subject<'_>) -> Result<()> {
        if self.points.len() > MOST_VALUES {
            return Err(Error::usage(format!(
                "{} values are written; at most {MOST_VALUES} are asked about at once",
                self.points.len()
            )));
        }
        let most = subject.model.layout().length;
        match self.points.iter().find(|(_, source)| source.length() > most) {
            None => Ok(()),
            Some((value, source)) => Err(Error::usage(format!(
                "with {value} a sequence has {} positions, and this network reads at most {most}: ask about shorter ones, or train it with a larger task.longest",
                source.length()
            ))),
        }
    }

    fn answer(&self, subject: Subject<'_>, found: &[Scores]) -> Result<Answer> {
        let points = &self.points[..found.len()];
        let longest = points.iter().map(|(_, source)| source.length()).max().unwrap_or(0);
        let array = |name: &str, of: &dyn Fn(usize) -> f64| {
            let data: Vec<f32> = (0..found.len()).map(|i| narrow(of(i))).collect();
            Array::new(name, &["value"], &[found.len()], data)
        };
        let by_position = found.iter().flat_map(|scores| {
            let places = (0..longest).map(|at| scores.by_position.get(at));
            places.map(|tally| narrow(tally.map_or(f64::NAN, Tally::mean)))
        });
        let by_position: Vec<f32> = by_position.collect();
        let shape = [found.len(), longest];
        let means = [
            one("trained", self.trained),
            one("trained_positions", subject.source.length() as f64),
            one("chance", 1.0 / subject.source.possible_answers() as f64),
        ];
        let mut answer = Answer {
            means: means.into(),
            arrays: vec![
                array("value", &|i| points[i].0)?,
                array("positions", &|i| points[i].1.length() as f64)?,
                array("accuracy", &|i| found[i].all.mean())?,
                array("last", &|i| found[i].last.mean())?,
                array("whole", &|i| found[i].whole.mean())?,
                Array::new("by_position", &["value", "position"], &shape, by_position)?,
            ],
            notes: Vec::new(),
        };
        let first = found.first().and_then(|scores| scores.causes.as_ref());
        for switch in first.into_iter().flat_map(|causes| causes.without.iter().map(|(s, _)| *s)) {
            let of = |i: usize| found[i].without(switch);
            answer.arrays.push(array(&format!("accuracy.{}", switch.name()), &of)?);
        }
        if first.is_some() {
            let causes = || found.iter().filter_map(|scores| scores.causes.as_ref());
            let outside: Vec<f64> = causes().map(|causes| causes.outside).collect();
            answer.arrays.push(array("outside", &|i| outside[i])?);
            let local: Vec<f32> =
                causes().flat_map(|causes| causes.local.iter().map(|x| narrow(*x))).collect();
            let shape = [found.len(), RADII];
            answer.arrays.push(Array::new("local", &["value", "radius"], &shape, local)?);
        }
        Ok(answer)
    }
}

/// The number that a setting has.
fn number(task: &dyn Task, name: &str) -> Result<f64> {
    let table = settings::to_table(&mut *task.boxed());
    let value = table.get(name).ok_or_else(|| {
        let names = settings::names(&mut *task.boxed());
        Error::usage(format!("this task has no setting \"{name}\"; it has {}", names.join(", ")))
    })?;
    let whole = value.as_integer().map(|whole| whole as f64);
    whole
        .or_else(|| value.as_float())
        .ok_or_else(|| Error::usage(format!("task.{name} is {value}: only a number can be varied")))
}

/// The source where a setting has the value of a text, and the value.
fn at(
    source: &dyn Source,
    task: &dyn Task,
    over: &str,
    text: &str,
) -> Result<(f64, Arc<dyn Source>)> {
    let value = settings::read(&mut *task.boxed(), over, text);
    let whole = value.as_integer().and_then(|whole| usize::try_from(whole).ok());
    let other = match whole.filter(|_| task.length_setting() == Some(over)) {
        Some(length) => task::of_length(source, length)?,
        None => task::altered(source, &[(over.to_owned(), value)])?,
    };
    let changed = other.settings().ok_or_else(|| Error::internal("a task lost its settings"))?;
    Ok((number(&*changed, over)?, other))
}

/// Multiples of the length of training, as far as the network can read them.
fn lengths(subject: Subject<'_>, trained: f64) -> Result<Vec<(f64, Arc<dyn Source>)>> {
    let most = subject.model.layout().length;
    let mut points: Vec<(f64, Arc<dyn Source>)> = Vec::new();
    for times in TIMES {
        let length = (times * trained).round().max(1.0);
        let is_known = points.iter().any(|(known, _)| *known == length);
        match task::of_length(subject.source, index(length)) {
            Ok(source) if source.length() <= most && !is_known => points.push((length, source)),
            // A half may be too short for the task, and a multiple too long.
            Ok(_) | Err(_) => {}
        }
    }
    if points.is_empty() {
        return Err(Error::usage(
            "the network reads no sequence of this task that could be asked about",
        ));
    }
    Ok(points)
}

/// What a network got right.
#[derive(Default)]
struct Scores {
    all: Tally,
    last: Tally,
    whole: Tally,
    by_position: Vec<Tally>,
    causes: Option<Causes>,
}

/// What was found of the causes of failure.
struct Causes {
    /// Accuracy with one of them taken out of the way.
    without: Vec<(Switch, f64)>,
    outside: f64,
    local: Vec<f64>,
}

impl Scores {
    fn of(
        ground: &Ground<'_>,
        source: &dyn Source,
        sequences: usize,
        trained: Option<&Trained>,
    ) -> Result<Self> {
        let work = Workspace::default();
        let batch = task::batch(source, ground.seed, 0, sequences);
        let Subject { model, params, .. } = ground.subject;
        let numbers = || Numbers::of(params, batch.tokens.len(), &work);
        let numbers = model.has_tape().then(numbers).transpose()?;
        let mut all = Self { by_position: vec![Tally::default(); batch.len], ..Self::default() };
        let chunk = |i: usize| {
            let part = batch.slice(i * CHUNK, batch.rows.min((i + 1) * CHUNK));
            hits(ground.subject, numbers.as_ref(), &part).map(|hits| (hits, part.len))
        };
        let count = batch.rows.div_ceil(CHUNK);
        ground.pool.fold_in_order(count, chunk, |(hits, len): (Vec<Option<bool>>, usize)| {
            hits.chunks(len.max(1)).for_each(|row| all.take(row));
            Ok(())
        })?;
        all.causes = trained.map(|trained| Causes::of(ground, source, trained)).transpose()?;
        Ok(all)
    }

    fn without(&self, switch: Switch) -> f64 {
        let causes = self.causes.iter().flat_map(|causes| &causes.without);
        causes.into_iter().find(|(s, _)| *s == switch).map_or(f64::NAN, |(_, accuracy)| *accuracy)
    }

    /// Takes in a sequence: whether each position with a target is right.
    fn take(&mut self, row: &[Option<bool>]) {
        for (at, hit) in row.iter().enumerate().filter_map(|(at, hit)| Some((at, (*hit)?))) {
            self.all.hit(hit);
            self.by_position[at].hit(hit);
        }
        if let Some(last) = row.iter().rev().find_map(|hit| *hit) {
            self.last.hit(last);
            self.whole.hit(row.iter().flatten().all(|hit| *hit));
        }
    }
}

impl Causes {
    fn of(ground: &Ground<'_>, source: &dyn Source, trained: &Trained) -> Result<Self> {
        let subject = ground.subject;
        let batch = task::batch(source, ground.seed, 0, LOOKED_AT);
        let without = trained.switches(subject).into_iter().map(|switch| {
            let logits = trained.logits(subject, &batch, switch)?;
            let hits = told(subject, &batch, Some(&logits))?;
            Ok((switch, Tally::of_hits(hits.into_iter().flatten()).mean()))
        });
        let without = without.collect::<Result<_>>()?;
        let (outside, local) = trained.measured(subject, &batch)?;
        Ok(Self { without, outside, local })
    }
}

/// Whether each position is right; `None` where there is no target.
fn hits(
    subject: Subject<'_>,
    numbers: Option<&Numbers<'_>>,
    batch: &Batch,
) -> Result<Vec<Option<bool>>> {
    let Subject { model, params, .. } = subject;
    let reads: Vec<f32> =
        batch.targets.iter().map(|t| if *t == NO_TARGET { 0.0 } else { 1.0 }).collect();
    let taped = match numbers {
        Some(numbers) => pass::on_tape(model, numbers, (batch, &reads), &[], true)?,
        None => None,
    };
    let (logits, _) = match taped {
        Some(seen) => seen,
        None => pass::forward(model, params, batch, &[], &[], true)?,
    };
    told(subject, batch, logits.as_ref())
}

/// The same of logits.
fn told(subject: Subject<'_>, batch: &Batch, logits: Option<&Tensor>) -> Result<Vec<Option<bool>>> {
    let captured = Captured::new();
    let scene = Scene { subject, batch, first: 0, logits, captured: &captured };
    let mut hits = vec![None; batch.tokens.len()];
    each_hit(&scene, |i, right| hits[i] = Some(right))?;
    Ok(hits)
}
