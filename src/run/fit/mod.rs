//! Readers fitted to a network: linear probes, the tuned lens, erasure. On sequences that it was not trained on, and
//! judged on others than those they were fitted to.

pub mod data;
pub mod erasure;
pub mod lens;
pub mod linear;
mod solve;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::Input;
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::{Tap, Untapped};
use crate::probe::Subject;
use crate::probe::logit_lens::boundaries;
use crate::probe::read::{Tally, argmax, cross_entropy, values};
use crate::record::batch::{Batch, NO_TARGET, Row};
use crate::record::error::{Error, Result};
use crate::record::intervention::Site;
use crate::record::weights::{NamedTensor, Weights};
use crate::task::held_out_seed;

use data::{Dataset, Gathered, Label, Positions, Wanted, gather};
use erasure::{Eraser, Erasing, RIDGE, cross_covariance, leace};
use linear::{Fitted, Fitting, Linear, Score, constant_score, fit, fit_shuffled};

use super::examine::Instrument;
use crate::model::pass::tokens_of;

/// How far a fit has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    pub doing: &'a str,
    pub done: usize,
    pub of: usize,
}

/// Told of progress; false stops the fit.
pub type Watch<'a> = &'a mut dyn FnMut(Progress<'_>) -> bool;

/// First sequences of the two halves, of the seed of held-out sequences: far from each other and from those that runs
/// are measured on.
const TRAIN_FROM: u64 = 1 << 32;
const TEST_FROM: u64 = 1 << 33;
/// Sequences in one forward pass where behaviour is compared.
const CHUNK: usize = 4;

crate::choices! {
    /// What is fitted.
    pub enum Kind {
        TunedLens = "tuned-lens",
        LinearProbe = "linear-probe",
        Leace = "leace",
    }
}

/// What to fit, to what, and on how much.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kind: Kind,
    /// Where vectors are read; the lens reads all boundaries between layers instead.
    pub site: Site,
    pub positions: Positions,
    /// The lens tells the right next token, whatever stands here.
    pub label: Label,
    /// Of the sequences, and of the shuffled labels.
    pub seed: u64,
    /// Examples to fit to.
    pub train: usize,
    /// Examples to judge by.
    pub test: usize,
    pub fitting: Fitting,
}

/// What was fitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Reader {
    Probe(Linear),
    /// By boundary.
    Lens(Vec<Linear>),
    Eraser(Eraser),
}

/// A reader with all that is to be said of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reader: Reader,
    /// Split, settings and scores, as JSON.
    pub about: Value,
}

/// Fits, or judges what was fitted before (`kept`), at these weights. `None`: stopped by `watch`.
///
/// # Errors
/// When a site is not passed, no position gives an example, or a reader is of another network.
pub fn run(
    instrument: &mut Instrument,
    weights: &Weights,
    settings: &Settings,
    kept: Option<Reader>,
    watch: Watch<'_>,
) -> Result<Option<Outcome>> {
    let (subject, pool) = instrument.subject(weights)?;
    let desk = Desk { subject, pool, settings, watch };
    desk.run(weights.step, kept)
}

struct Desk<'a> {
    subject: Subject<'a>,
    pool: &'a Pool,
    settings: &'a Settings,
    watch: Watch<'a>,
}

/// The examples of both halves; none to fit to where something kept is judged.
struct Halves {
    train: Option<Gathered>,
    test: Gathered,
}

impl Desk<'_> {
    fn run(mut self, step: u64, kept: Option<Reader>) -> Result<Option<Outcome>> {
        let Some(halves) = self.gather(kept.is_some())? else { return Ok(None) };
        let found = match self.settings.kind {
            Kind::LinearProbe => self.probe(&halves, kept)?,
            Kind::TunedLens => self.lens(&halves, kept)?,
            Kind::Leace => self.erase(&halves, kept)?,
        };
        let Some((reader, report)) = found else { return Ok(None) };
        let about = self.about(step, &halves, &report);
        Ok(Some(Outcome { reader, about }))
    }

    fn sites(&self) -> Vec<Site> {
        match self.settings.kind {
            Kind::TunedLens => boundaries(self.subject.model.layout().heads.len()),
            _ => vec![self.settings.site],
        }
    }

    fn label(&self) -> Label {
        match self.settings.kind {
            Kind::TunedLens => Label::Target,
            _ => self.settings.label,
        }
    }

    fn gather(&mut self, judged_only: bool) -> Result<Option<Halves>> {
        let nothing = BTreeSet::new();
        let train = if judged_only {
            None
        } else {
            let found = self.half("reading examples to fit to", TRAIN_FROM, &nothing)?;
            let Some(found) = found else { return Ok(None) };
            Some(found)
        };
        let without = train.as_ref().map(Gathered::tokens).unwrap_or_default();
        let test = self.half("reading examples to judge by", TEST_FROM, &without)?;
        Ok(test.map(|test| Halves { train, test }))
    }

    fn half(
        &mut self,
        doing: &str,
        first: u64,
        without: &BTreeSet<Vec<u32>>,
    ) -> Result<Option<Gathered>> {
        let settings = self.settings;
        let wanted = Wanted {
            sites: &self.sites(),
            positions: &settings.positions,
            label: self.label(),
            logits: settings.kind == Kind::TunedLens,
            seed: held_out_seed(settings.seed),
            first,
            examples: if first == TRAIN_FROM { settings.train } else { settings.test },
            without,
        };
        gather(self.subject, self.pool, &wanted, doing, &mut *self.watch)
    }

    fn about(&self, step: u64, halves: &Halves, report: &Value) -> Value {
        let settings = self.settings;
        let half = |first: u64, half: &Gathered| {
            json!({
                "first_sequence": first,
                "sequences": half.sequences.len(),
                "examples": half.examples(),
                "sequences_left_out": half.left_out,
            })
        };
        let fitting = settings.fitting;
        let mut about = json!({
            "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
            "kind": settings.kind.name(),
            "network": self.subject.model.layout().kind,
            "step": step,
            "site": settings.site.to_string(),
            "positions": settings.positions.to_string(),
            "label": self.label().to_string(),
            "split": {
                "seed": settings.seed,
                "train": halves.train.as_ref().map(|train| half(TRAIN_FROM, train)),
                "test": half(TEST_FROM, &halves.test),
            },
            "fitting": {
                "bias": fitting.bias,
                "decay": fitting.decay,
                "rounds": fitting.rounds,
                "slope": fitting.slope,
                "ridge": RIDGE,
            },
            "report": report,
        });
        if settings.kind == Kind::TunedLens {
            let sites: Vec<String> = self.sites().iter().map(ToString::to_string).collect();
            about["site"] = json!(sites);
        }
        about
    }

    fn probe(&mut self, halves: &Halves, kept: Option<Reader>) -> Result<Option<(Reader, Value)>> {
        let test = halves.test.dataset(0)?;
        let Some(train) = &halves.train else {
            let Some(Reader::Probe(probe)) = kept else { return Err(other_kind()) };
            let report = json!({ "test": score_json(probe.score(&test)?) });
            return Ok(Some((Reader::Probe(probe), report)));
        };
        let train = train.dataset(0)?;
        let Settings { fitting, seed, .. } = *self.settings;
        let watch = &mut *self.watch;
        let Some(found) = fit(&train, fitting, "fitting the probe", watch)? else {
            return Ok(None);
        };
        let doing = "fitting to shuffled labels";
        let Some(dealt) = fit_shuffled(&train, seed, fitting, doing, watch)? else {
            return Ok(None);
        };
        let report = json!({
            "train": score_json(found.reader.score(&train)?),
            "test": score_json(found.reader.score(&test)?),
            "shuffled_labels_test": score_json(dealt.reader.score(&test)?),
            "constant_test": score_json(constant_score(&train, &test)),
            "search": search_json(&found),
        });
        Ok(Some((Reader::Probe(found.reader), report)))
    }

    fn lens(&mut self, halves: &Halves, kept: Option<Reader>) -> Result<Option<(Reader, Value)>> {
        let Subject { model, params, .. } = self.subject;
        let sites = self.sites();
        let mut kept = match kept {
            Some(Reader::Lens(maps)) if maps.len() == sites.len() => Some(maps.into_iter()),
            Some(_) => return Err(other_kind()),
            None => None,
        };
        let (mut maps, mut report) = (Vec::new(), Vec::new());
        for (boundary, site) in sites.iter().enumerate() {
            let mut entry = json!({ "boundary": boundary, "site": site.to_string() });
            let map = match (kept.as_mut().and_then(Iterator::next), &halves.train) {
                (Some(map), _) => map,
                (None, Some(train)) => {
                    let data = lens::examples(model, params, train, boundary)?;
                    let doing = format!("fitting the lens of {site}");
                    let fitting = self.settings.fitting;
                    let found = fit(&data, fitting, &doing, &mut *self.watch)?;
                    let Some(found) = found else { return Ok(None) };
                    entry["search"] = search_json(&found);
                    found.reader
                }
                (None, None) => return Err(other_kind()),
            };
            let data = lens::examples(model, params, &halves.test, boundary)?;
            let logits = &halves.test.logits;
            entry["test"] = lens_json(lens::score_tuned(&map, &data, logits)?);
            let plain = lens::score_logit_lens(model, params, &halves.test, boundary)?;
            entry["logit_lens_test"] = lens_json(plain);
            report.push(entry);
            maps.push(map);
        }
        let Gathered { logits, labels, .. } = &halves.test;
        let own = lens_json(lens::score(logits, labels, logits)?);
        Ok(Some((Reader::Lens(maps), json!({ "boundaries": report, "network_test": own }))))
    }

    fn erase(&mut self, halves: &Halves, kept: Option<Reader>) -> Result<Option<(Reader, Value)>> {
        if self.settings.site.point.by_head() {
            return Err(Error::usage(format!(
                "{} is by head; a concept is erased at a site [batch, pos, dim], for example layer0.resid_mid",
                self.settings.site
            )));
        }
        let test = halves.test.dataset(0)?;
        let train = halves.train.as_ref().map(|train| train.dataset(0)).transpose()?;
        let eraser = match (kept, &train) {
            (Some(Reader::Eraser(eraser)), _) => eraser,
            (None, Some(train)) => leace(train, RIDGE)?,
            _ => return Err(other_kind()),
        };
        let mut report = json!({ "rank": eraser.rank });
        if let Some(train) = &train {
            let erased = |data: &Dataset| {
                Dataset::new(data.dim, eraser.apply(&data.x)?, data.labels.clone())
            };
            let (train_after, test_after) = (erased(train)?, erased(&test)?);
            for (when, train, test) in
                [("before", train, &test), ("after", &train_after, &test_after)]
            {
                let doing = format!("fitting a probe {when} erasure");
                let found = fit(train, self.settings.fitting, &doing, &mut *self.watch)?;
                let Some(found) = found else { return Ok(None) };
                report[format!("probe_{when}")] = json!({
                    "train": score_json(found.reader.score(train)?),
                    "test": score_json(found.reader.score(test)?),
                    "largest_covariance": largest(&cross_covariance(train)?),
                });
            }
            report["constant_test"] = score_json(constant_score(train, &test));
        }
        let Some(behaviour) = self.behaviour(&halves.test.sequences, &eraser)? else {
            return Ok(None);
        };
        report["network"] = behaviour;
        Ok(Some((Reader::Eraser(eraser), report)))
    }

    /// How well the network does on sequences, with the concept and without.
    fn behaviour(&mut self, rows: &[Row], eraser: &Eraser) -> Result<Option<Value>> {
        let (mut with, mut without) = (Behaviour::default(), Behaviour::default());
        for (i, rows) in rows.chunks(CHUNK).enumerate() {
            let progress =
                Progress { doing: "asking the network", done: i * CHUNK, of: rows.len() };
            if !(self.watch)(progress) {
                return Ok(None);
            }
            let batch = Batch::from_rows(rows);
            let at = self.settings.positions.mask(&batch);
            with.add(self.subject, &batch, &at, &mut Untapped)?;
            let mut erasing = Erasing { eraser, site: self.settings.site, at: &at };
            without.add(self.subject, &batch, &at, &mut erasing)?;
        }
        Ok(Some(json!({ "before": with.json(), "after": without.json() })))
    }
}

/// Loss and accuracy at the positions where something is erased, at those whose answer was seen before, and at all.
#[derive(Default)]
struct Behaviour {
    loss: [Tally; 3],
    right: [Tally; 3],
}

impl Behaviour {
    fn add(
        &mut self,
        subject: Subject<'_>,
        batch: &Batch,
        at: &[bool],
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let tokens = tokens_of(batch, subject.params)?;
        let output = subject.model.forward(subject.params, &Input::new(&tokens), tap)?;
        let vocab = output.logits.dim(2)?;
        values(&output.logits, |all| {
            for (i, (row, &target)) in all.chunks_exact(vocab).zip(&batch.targets).enumerate() {
                if target == NO_TARGET {
                    continue;
                }
                let loss = cross_entropy(row, target as usize);
                let right = argmax(row.iter().copied()) == target as usize;
                let wanted = [at[i], batch.occurrence[i] >= 2, true];
                for (k, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
                    self.loss[k].add(loss);
                    self.right[k].hit(right);
                }
            }
        })
    }

    fn json(&self) -> Value {
        let mean = |tally: Tally| tally.sum / tally.count;
        let part = |k: usize| {
            json!({
                "loss": mean(self.loss[k]),
                "accuracy": mean(self.right[k]),
                "positions": self.right[k].count,
            })
        };
        json!({ "erased_positions": part(0), "answer_seen_before": part(1), "all": part(2) })
    }
}

fn other_kind() -> Error {
    Error::usage(
        "the reader that is kept under this name is of another kind or of a network with other layers; choose another with --with",
    )
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, x| x.abs().max(most))
}

fn score_json(score: Score) -> Value {
    json!({
        "loss": score.loss,
        "accuracy": score.accuracy,
        "macro_f1": score.macro_f1,
        "micro_f1": score.micro_f1,
    })
}

fn lens_json(score: lens::LensScore) -> Value {
    json!({
        "cross_entropy": score.cross_entropy,
        "kl": score.kl,
        "accuracy": score.accuracy,
    })
}

fn search_json(found: &Fitted) -> Value {
    json!({ "rounds": found.rounds, "slope": found.slope, "converged": found.converged })
}

impl Reader {
    /// Its numbers, for a file.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let tensor = |name: String, shape: &[usize], data: &[f32]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            data: data.into(),
            trained: true,
        };
        let linear = |prefix: &str, map: &Linear| {
            let weight = tensor(format!("{prefix}weight"), &[map.outputs, map.dim], &map.weight);
            let bias = map.bias.as_ref();
            let bias = bias.map(|bias| tensor(format!("{prefix}bias"), &[map.outputs], bias));
            std::iter::once(weight).chain(bias).collect::<Vec<_>>()
        };
        match self {
            Self::Probe(probe) => linear("", probe),
            Self::Lens(maps) => {
                let each = maps.iter().enumerate();
                each.flat_map(|(i, map)| linear(&format!("boundary{i}."), map)).collect()
            }
            Self::Eraser(eraser) => vec![
                tensor("matrix".to_owned(), &[eraser.dim, eraser.dim], &eraser.matrix),
                tensor("mean".to_owned(), &[eraser.dim], &eraser.mean),
                tensor("rank".to_owned(), &[1], &[eraser.rank as f32]),
            ],
        }
    }

    /// The reader of a kind from its numbers.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn from_tensors(kind: Kind, tensors: &[NamedTensor]) -> Result<Self> {
        let find = |name: &str| tensors.iter().find(|tensor| *tensor.name == *name);
        let broken = || {
            Error::input(format!(
                "the tensors are not those of a {}; fit it once more",
                kind.name()
            ))
        };
        let linear = |prefix: &str| {
            let weight = find(&format!("{prefix}weight"))?;
            let [outputs, dim] = weight.shape[..] else { return None };
            let bias = find(&format!("{prefix}bias"));
            let bias = bias.map(|bias| bias.data.to_vec());
            let fits = bias.as_ref().is_none_or(|bias| bias.len() == outputs);
            fits.then(|| Linear { outputs, dim, weight: weight.data.to_vec(), bias })
        };
        match kind {
            Kind::LinearProbe => linear("").map(Self::Probe).ok_or_else(broken),
            Kind::TunedLens => {
                let maps: Vec<Linear> =
                    (0..).map_while(|i| linear(&format!("boundary{i}."))).collect();
                if maps.is_empty() { Err(broken()) } else { Ok(Self::Lens(maps)) }
            }
            Kind::Leace => {
                let (Some(matrix), Some(mean), Some(rank)) =
                    (find("matrix"), find("mean"), find("rank"))
                else {
                    return Err(broken());
                };
                let dim = mean.data.len();
                #[expect(clippy::cast_sign_loss, reason = "a count")]
                let rank = rank.data.first().map_or(0, |rank| *rank as usize);
                if matrix.shape != [dim, dim] {
                    return Err(broken());
                }
                Ok(Self::Eraser(Eraser {
                    dim,
                    matrix: matrix.data.to_vec(),
                    mean: mean.data.to_vec(),
                    rank,
                }))
            }
        }
    }
}
