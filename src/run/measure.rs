//! Measurements over many sequences: a few sequences at a time on the pool, results added in order.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use crate::base::array::Array;
use crate::base::batch::{Batch, Row};
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::{How, Intervention, Place, Point, Site, as_memory_token};
use crate::measurement::{Answer, Mean, Measurement, Scene, Subject};
use crate::model::pass;
use crate::model::pass::{Asked, Tensors};
use crate::nn::edit::{Edit, With};
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::{Captured, EditAndCapture, Glance, KEYS, Part, Tap, position_axis};
use crate::nn::tape::{Numbers, Workspace};

use super::remembered::Remembered;

/// Sequences in one forward pass of a measurement: few enough that captured tensors stay in the cache. Fixed,
/// so that sums have the same last bits on every machine.
pub(super) const CHUNK: usize = 4;

/// Who waits for what passes over the sequence in view bring.
pub(super) trait Listener: Sync {
    /// Hears what a measurement, by its number, took so far.
    fn hear(&self, measurement: usize, arrays: &[Array]);
    /// False ends the pass before its next layer.
    fn goes_on(&self) -> bool;
}

/// What is asked of a batch.
pub(super) struct Round<'a> {
    pub pool: &'a Pool,
    pub subject: Subject<'a>,
    /// What is changed in every forward pass.
    pub edits: &'a [Edit],
    pub measurements: &'a [&'a dyn Measurement],
    /// False drops the arrays: only the means are wanted.
    pub arrays: bool,
    /// For passes on a tape.
    pub work: &'a Workspace,
    /// What is known of the sequence, of which passes need not be made again.
    pub remembered: Option<&'a Mutex<Remembered>>,
    /// Hears, while a pass goes from layer to layer, what each measurement took so far.
    pub listener: Option<&'a dyn Listener>,
}

impl Round<'_> {
    /// The answer of each measurement over the whole batch: means added up, arrays joined along their first axis.
    ///
    /// # Errors
    /// When the forward pass fails; a measurement that fails has its error in its place.
    pub fn over(&self, batch: &Batch) -> Result<Vec<Result<Answer>>> {
        let sites = self.sites();
        let taped = self.taped(batch, &sites)?;
        let mut sums: Vec<Result<Answer>> =
            self.measurements.iter().map(|_| Ok(Answer::default())).collect();
        let measured = |chunk: usize| {
            let (from, to) = (chunk * CHUNK, batch.rows.min((chunk + 1) * CHUNK));
            self.chunk(&batch.slice(from, to), from, &sites, taped.as_ref())
        };
        // Nobody asks about what comes after the last sequence that somebody looks at.
        let asked = self
            .measurements
            .iter()
            .map(|measurement| measurement.sequences().unwrap_or(batch.rows));
        let chunks = asked.max().unwrap_or(0).min(batch.rows).div_ceil(CHUNK);
        self.pool.fold_in_order(chunks, measured, |answers: Vec<Result<Answer>>| {
            for (sum, answer) in sums.iter_mut().zip(answers) {
                match (sum.as_mut(), answer) {
                    (Ok(all), Ok(more)) => add(all, more)?,
                    (Ok(_), Err(e)) => *sum = Err(e),
                    (Err(_), _) => {}
                }
            }
            Ok(())
        })?;
        Ok(sums)
    }

    /// The same, with the sequence in view after the others for the measurements that ask for it, and finished.
    ///
    /// # Errors
    /// As [`Round::over`].
    pub fn with_prompt(&self, batch: &Batch, prompt: &Row) -> Result<Vec<Result<Answer>>> {
        let mut answers = self.over(batch)?;
        let asks = |i: &usize| self.measurements[*i].with_prompt() && !prompt.is_empty();
        let asking: Vec<usize> = (0..self.measurements.len()).filter(asks).collect();
        if !asking.is_empty() {
            let measurements: Vec<&dyn Measurement> =
                asking.iter().map(|&i| self.measurements[i]).collect();
            let alone = Batch::from_rows(std::slice::from_ref(prompt));
            let last = Round { measurements: &measurements, ..*self }.over(&alone)?;
            for (i, last) in asking.into_iter().zip(last) {
                let all = std::mem::replace(&mut answers[i], Ok(Answer::default()));
                answers[i] = all.and_then(|mut all| add(&mut all, last?).map(|()| all));
            }
        }
        let finished = |(answer, measurement): (Result<Answer>, &&dyn Measurement)| {
            answer.and_then(|answer| measurement.finish(answer, prompt))
        };
        Ok(answers.into_iter().zip(self.measurements).map(finished).collect())
    }

    /// The answers of the measurements to one small batch in one forward pass. `from` is the place of its first
    /// sequence in the whole batch: a measurement that looks at fewer sequences is not asked about later ones.
    fn chunk(
        &self,
        batch: &Batch,
        from: usize,
        sites: &[Site],
        taped: Option<&Numbers<'_>>,
    ) -> Result<Vec<Result<Answer>>> {
        let wants_logits = self.measurements.iter().any(|measurement| measurement.wants_logits());
        let Subject { model, params, .. } = self.subject;
        let seen = match taped {
            Some(numbers) => {
                let reads = self.reads(batch);
                pass::on_tape(model, numbers, (batch, &reads), sites, wants_logits)?
            }
            None => None,
        };
        let mut passing = Passing::new(self);
        let begins = passing.from(sites, wants_logits);
        let over_tensors = || {
            let glance = passing.is_wanted().then_some(&mut passing as &mut dyn Glance);
            let asked = Asked { sites, glance, wants_logits, from: begins, ..Asked::default() };
            pass::forward_asked(model, params, batch, self.edits, asked)
        };
        let (logits, captured) = seen.map_or_else(over_tensors, Ok)?;
        let scene = Scene {
            subject: self.subject,
            batch,
            first: from,
            logits: logits.as_ref(),
            captured: &captured,
        };
        Ok(self
            .measurements
            .iter()
            .zip(passing.found)
            .map(|(measurement, passed)| {
                let left = measurement.sequences().map_or(batch.rows, |n| n.saturating_sub(from));
                let mut answer = match left {
                    0 => Answer::default(),
                    left if left < batch.rows => self.part(*measurement, batch, from, left)?,
                    _ => measurement.measure(&scene)?,
                };
                answer.arrays.extend(passed);
                if !self.arrays {
                    answer.arrays.clear();
                }
                Ok(answer)
            })
            .collect())
    }

    /// One measurement on the first `rows` sequences of a batch: a forward pass of their own.
    fn part(
        &self,
        measurement: &dyn Measurement,
        batch: &Batch,
        first: usize,
        rows: usize,
    ) -> Result<Answer> {
        let batch = batch.slice(0, rows);
        let sites = measurement.sites(self.subject);
        let Subject { model, params, .. } = self.subject;
        let (logits, captured) =
            pass::forward(model, params, &batch, self.edits, &sites, measurement.wants_logits())?;
        measurement.measure(&Scene {
            subject: self.subject,
            batch: &batch,
            first,
            logits: logits.as_ref(),
            captured: &captured,
        })
    }

    /// 1 for each position whose logits somebody looks at.
    fn reads(&self, batch: &Batch) -> Vec<f32> {
        let asking = || self.measurements.iter().filter(|m| m.wants_logits());
        let reads = |i: usize| asking().any(|measurement| measurement.reads(batch, i));
        (0..batch.tokens.len()).map(|i| if reads(i) { 1.0 } else { 0.0 }).collect()
    }

    /// The parameters for passes on a tape: where nobody edits, and no array of a place is laid beside the same under edits,
    /// which only passes over tensors give. What an edit does not reach is then the same to the last bit.
    fn taped(&self, batch: &Batch, sites: &[Site]) -> Result<Option<Numbers<'_>>> {
        let compared = self.arrays && !sites.is_empty();
        let numbers = || Numbers::of(self.subject.params, batch.tokens.len(), self.work);
        let has_tape = self.subject.model.has_tape();
        let mut all = self.measurements.iter();
        let passing = all.any(|measurement| !measurement.passing(self.subject).is_empty());
        (has_tape && self.edits.is_empty() && !compared && !passing).then(numbers).transpose()
    }

    fn sites(&self) -> Vec<Site> {
        let mut sites: Vec<Site> = self
            .measurements
            .iter()
            .flat_map(|measurement| measurement.sites(self.subject))
            .collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }
}

/// Measurements that look at places while they pass.
struct Passing<'a> {
    round: &'a Round<'a>,
    /// Of all of them together.
    sites: Vec<Site>,
    by_measurement: Vec<Vec<Site>>,
    /// What each of them took.
    found: Vec<Vec<Array>>,
}

impl<'a> Passing<'a> {
    fn new(round: &'a Round<'a>) -> Self {
        let Round { measurements, subject, .. } = round;
        let by_measurement: Vec<Vec<Site>> =
            measurements.iter().map(|measurement| measurement.passing(*subject)).collect();
        let mut sites: Vec<Site> = by_measurement.concat();
        sites.sort_unstable();
        sites.dedup();
        let found = vec![Vec::new(); measurements.len()];
        Self { round, sites, by_measurement, found }
    }

    fn is_wanted(&self) -> bool {
        !self.sites.is_empty() || self.round.remembered.is_some()
    }

    /// Where the pass begins that is asked for these sites too.
    fn from(&self, sites: &[Site], wants_logits: bool) -> Option<(usize, Tensor)> {
        let layers = self.sites.iter().chain(sites).map(|site| site.layer);
        let last = wants_logits.then_some(usize::MAX);
        let first = layers.chain(last).min()?;
        self.remembered()?.streams.from(first)
    }

    fn remembered(&self) -> Option<MutexGuard<'a, Remembered>> {
        // Whatever panicked left what it knew.
        Some(self.round.remembered?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Glance for Passing<'_> {
    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn see(&mut self, site: Site, x: &Tensor) -> Result<()> {
        let asking = self.round.measurements.iter().zip(&self.by_measurement);
        for (i, ((measurement, sites), found)) in asking.zip(&mut self.found).enumerate() {
            if !sites.contains(&site) {
                continue;
            }
            found.extend(measurement.pass(site, x)?);
            if let Some(listener) = self.round.listener {
                listener.hear(i, found);
            }
        }
        Ok(())
    }

    fn sees_before(&self, site: Site) -> bool {
        site.point == Point::ResidPre && self.round.remembered.is_some()
    }

    fn before(&mut self, site: Site, x: &Tensor) -> Result<()> {
        if self.round.listener.is_some_and(|listener| !listener.goes_on()) {
            return Err(Error::usage("another question came in its place"));
        }
        self.remembered().map_or(Ok(()), |mut remembered| remembered.streams.before(site, x))
    }
}

/// The answer of a measurement to the weights alone.
///
/// # Errors
/// Those of the measurement.
pub(super) fn of_weights(subject: Subject<'_>, measurement: &dyn Measurement) -> Result<Answer> {
    let (batch, captured) = (Batch::default(), Captured::new());
    measurement.measure(&Scene {
        subject,
        batch: &batch,
        first: 0,
        logits: None,
        captured: &captured,
    })
}

/// Whether the network has what an intervention names; for a place of the forward pass, that takes one pass of one
/// sequence of `length` positions.
///
/// # Errors
/// When it has no such tensor, place, head, position or memory token.
pub(super) fn try_out(subject: Subject<'_>, what: &Intervention, length: usize) -> Result<()> {
    let Subject { model, params, source } = subject;
    let place = match what {
        Intervention::Freeze(name) | Intervention::Unfreeze(name) => {
            return params.check_trained(name);
        }
        Intervention::Change { place, .. } => place,
    };
    // What comes from other sequences has the shape of what is there.
    let edit = if what.needs_reference() {
        Some(Edit::of_place(place, With::Zero))
    } else {
        Edit::of(what, params)?
    };
    let bench = EditAndCapture::new(edit.into_iter().collect(), vec![]);
    let mut visit = Visit { bench, ..Visit::default() };
    let batch = Batch::from_rows(&[source.sequence(0, 0).repeated(length)]);
    let tensors = Tensors::of(&batch, params)?;
    model
        .forward(params, &tensors.input(), &mut visit)
        .map_err(|e| e.context(format!("intervention \"{what}\"")))?;
    if visit.passed > 0 {
        let is_held = matches!(what, Intervention::Change { how: How::Hold, .. });
        return visit
            .check_memory(place)
            .and_then(|()| visit.check_held(place, is_held))
            .map_err(|e| e.context(format!("intervention \"{what}\"")));
    }
    let layers = match model.layout().heads.len() {
        1 => "one layer, layer0".to_owned(),
        layers => format!("{layers} layers, from layer0 on"),
    };
    let places: Vec<String> = visit.places.take().iter().map(ToString::to_string).collect();
    Err(Error::usage(format!(
        "intervention \"{what}\": this network has no such place; it has {layers}.{}",
        did_you_mean(&place.site.to_string(), places.iter().map(String::as_str))
    )))
}

/// Places whose content is kept from segment to segment, or from position to position.
const MEMORIES: [&str; 4] = ["memory.write", "memory.read", "hidden", "cell"];

/// A tap that notices whether the place of its intervention was passed.
#[derive(Default)]
struct Visit {
    bench: EditAndCapture,
    /// How often the place was passed.
    passed: usize,
    /// Segments in which it was.
    segments: usize,
    /// Memory tokens at the place, and among its keys.
    memory: [usize; 2],
    /// All places of the network.
    places: RefCell<BTreeSet<Site>>,
}

impl Visit {
    fn check_memory(&self, place: &Place) -> Result<()> {
        for (asked, there) in [&place.positions, &place.keys].into_iter().zip(self.memory) {
            let tokens = asked.iter().filter_map(|at| as_memory_token(*at));
            if let Some((token, _)) = tokens.clone().find(|(token, _)| *token >= there) {
                let site = place.site;
                return Err(Error::usage(match there {
                    0 => format!("memory token m{token} asked for, {site} has none"),
                    _ => {
                        format!("memory token m{token} asked for, {site} has m0 to m{}", there - 1)
                    }
                }));
            }
            let segment = tokens.filter_map(|(_, segment)| segment).max();
            if let Some(segment) = segment.filter(|segment| *segment >= self.segments) {
                return Err(Error::usage(format!(
                    "segment {segment} asked for, the longest sequence has the segments 0 to {}",
                    self.segments.saturating_sub(1)
                )));
            }
        }
        Ok(())
    }

    /// What is held was passed before.
    fn check_held(&self, place: &Place, is_held: bool) -> Result<()> {
        if !is_held {
            return Ok(());
        }
        let site = place.site;
        if self.passed < 2 || !MEMORIES.iter().any(|point| site.point == Point::own(point)) {
            return Err(Error::usage(format!(
                "nothing is kept at {site} from one passing to the next that it could be held at; hold a place of a memory ({})",
                MEMORIES.join(", ")
            )));
        }
        if !place.has_before() {
            return Err(Error::usage(format!(
                "before {place} nothing was kept there yet that it could be held at; name a later segment, as m0:1, or a later position"
            )));
        }
        Ok(())
    }
}

impl Tap for Visit {
    fn wants(&self, site: Site) -> bool {
        self.places.borrow_mut().insert(site);
        self.bench.wants(site)
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        self.passed += 1;
        self.segments = self.segments.max(part.segment + 1);
        let keys = if site.point.has_keys() { x.dim(KEYS)? } else { 0 };
        let rows = x.dim(position_axis(site))?;
        let positions = [part.cached + part.len, part.key_cached + part.len];
        for (most, (there, positions)) in
            self.memory.iter_mut().zip([rows, keys].into_iter().zip(positions))
        {
            *most = (*most).max(there.saturating_sub(positions));
        }
        // Rows that positions were compressed into are counted through the whole sequence.
        self.memory[1] = self.memory[1].max(part.compressed.unwrap_or(0) + part.key_memory);
        self.bench.at_part(site, part, x)
    }
}

fn add(all: &mut Answer, more: Answer) -> Result<()> {
    if all.means.is_empty() {
        all.means = more.means;
    } else {
        for mean in more.means {
            match all.means.iter_mut().find(|m| m.name == mean.name) {
                Some(Mean { sum, count, .. }) => {
                    *sum += mean.sum;
                    *count += mean.count;
                }
                None => all.means.push(mean),
            }
        }
    }
    if all.arrays.is_empty() {
        all.arrays = more.arrays;
    } else {
        for array in more.arrays {
            match all.arrays.iter_mut().find(|a| a.name == array.name) {
                Some(first) => *first = joined(first, &array)?,
                None => all.arrays.push(array),
            }
        }
    }
    for note in more.notes {
        if !all.notes.contains(&note) {
            all.notes.push(note);
        }
    }
    Ok(())
}

/// Two arrays as one, the second after the first along the outermost axis.
fn joined(first: &Array, second: &Array) -> Result<Array> {
    if first.shape.is_empty() || first.shape[1..] != second.shape[1..] {
        return Err(Error::internal(format!(
            "arrays {} of shapes {:?} and {:?} cannot be joined along their first axis",
            first.name, first.shape, second.shape
        )));
    }
    let mut shape = first.shape.clone();
    shape[0] += second.shape[0];
    let data = [&first.data[..], &second.data[..]].concat();
    Ok(Array { name: first.name.clone(), axes: first.axes.clone(), shape, data: data.into() })
}
