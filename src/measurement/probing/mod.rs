//! Readers fitted to a network: linear probes, lenses, erasure. On sequences that it was not trained on, and
//! judged on others than those they were fitted to.

pub mod data;
pub mod erasure;
pub mod hidden;
pub mod lens;
pub mod linear;
mod solve;
pub mod translator;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use candle_core::Tensor;

use crate::base::batch::{Batch, NO_TARGET};
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Intervention, Site};
pub use crate::base::label::Kind;
use crate::base::weights::NamedTensor;
use crate::measurement::Subject;
use crate::measurement::logit_lens::boundaries;
use crate::measurement::read::{Tally, argmax, cross_entropy, values};
use crate::model::pass;
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::{EditAndCapture, Part, Tap};
use crate::task::held_out_seed;

use data::{Dataset, Gathered, Label, Positions, Wanted, gather};
use erasure::{Eraser, Erasing, RIDGE, cross_covariance, leace};
use hidden::{Hidden, Units};
pub use lens::Lenses;
use lens::Way;
use linear::{Fitted, Fitting, Linear, Score, constant_score, fit, fit_shuffled};

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

/// What to fit, to what, and on how much.
#[derive(Clone, Debug)]
pub struct FitSettings {
    pub kind: Kind,
    pub positions: Positions,
    /// The lens tells the right next token, whatever stands here.
    pub label: Label,
    /// What changes the forward pass while examples are read (and the network is asked).
    pub under: Vec<Intervention>,
    /// Of the sequences, of the shuffled labels, and of the first weights of a hidden layer.
    pub seed: u64,
    /// Examples to fit to.
    pub train: usize,
    /// Examples to judge by.
    pub test: usize,
    /// Units of the hidden layer of a probe that has one.
    pub hidden: usize,
    pub fitting: Fitting,
}

/// The name under which a reader is kept if nothing else is said: `linear-probe-layer0.resid_mid-all-target-step300`.
pub fn usual_name(settings: &FitSettings, site: Site, step: u64) -> String {
    let (kind, positions, label) = (settings.kind.name(), &settings.positions, settings.label);
    let name = match settings.kind {
        kind if kind.is_lens() => format!("{}-{positions}-step{step}", kind.name()),
        _ => format!("{kind}-{site}-{positions}-{label}-step{step}"),
    };
    // Lists of positions have commas in them.
    name.replace(|c: char| c == ',' || c.is_whitespace(), "+")
}

/// What was fitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Reader {
    Probe(Linear),
    Hidden(Hidden),
    /// By boundary.
    Lens(Way, Vec<Linear>),
    Eraser(Eraser),
}

/// A reader with all that is to be said of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reader: Reader,
    /// Split, settings and scores, as JSON.
    pub about: Value,
}

/// Who is read, and with which threads.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    pub subject: Subject<'a>,
    pub pool: &'a Pool,
    /// Step of the weights.
    pub step: u64,
}

/// Fits to a site (the lens: to all boundaries between layers), or judges what was fitted before (`kept`). `None`: stopped
/// by `watch`.
///
/// # Errors
/// When a site is not passed, no position gives an example, or a reader is of another network.
pub fn run(
    read: Read<'_>,
    settings: &FitSettings,
    site: Site,
    kept: Option<Reader>,
    watch: Watch<'_>,
) -> Result<Option<Outcome>> {
    let is_lens = settings.kind.is_lens();
    let sites = match is_lens {
        true => boundaries(read.subject.model.layout().heads.len()),
        false => vec![site],
    };
    let Some(desk) = Desk::new(read, settings, sites, kept.is_none(), watch)? else {
        return Ok(None);
    };
    let found = if is_lens { desk.lens(kept, watch)? } else { desk.at_site(0, kept, watch)? };
    Ok(found.map(|(reader, report)| Outcome { reader, about: desk.about(0, &report) }))
}

/// Examples at some sites, ready to be fitted to and judged by.
pub struct Desk<'a> {
    read: Read<'a>,
    settings: &'a FitSettings,
    sites: Vec<Site>,
    edits: Vec<Edit>,
    /// None where something kept is judged.
    train: Option<Gathered>,
    test: Gathered,
}

impl<'a> Desk<'a> {
    /// Reads the examples of both halves, or of the second alone. `None`: stopped by `watch`.
    ///
    /// # Errors
    /// When a site is not passed, no position gives an example, or an intervention needs other sequences.
    pub fn new(
        read: Read<'a>,
        settings: &'a FitSettings,
        sites: Vec<Site>,
        fits: bool,
        watch: Watch<'_>,
    ) -> Result<Option<Self>> {
        let edits = Edit::of_all(&settings.under, read.subject.params)?;
        let half = |train: bool, without: &BTreeSet<Vec<u32>>, watch: Watch<'_>| {
            let wanted = Wanted {
                sites: &sites,
                positions: &settings.positions,
                label: label(settings),
                logits: settings.kind.is_lens(),
                edits: &edits,
                seed: held_out_seed(settings.seed),
                first: if train { TRAIN_FROM } else { TEST_FROM },
                examples: if train { settings.train } else { settings.test },
                without,
            };
            let doing =
                if train { "reading examples to fit to" } else { "reading examples to judge by" };
            gather(read.subject, read.pool, &wanted, doing, watch)
        };
        let train = match fits {
            true => match half(true, &BTreeSet::new(), watch)? {
                None => return Ok(None),
                train => train,
            },
            false => None,
        };
        let without = train.as_ref().map(Gathered::tokens).unwrap_or_default();
        let test = half(false, &without, watch)?;
        Ok(test.map(|test| Self { read, settings, sites, edits, train, test }))
    }

    /// Examples of the two halves: fitted to, and judged by.
    pub fn examples(&self) -> [usize; 2] {
        [self.train.as_ref().map_or(0, Gathered::examples), self.test.examples()]
    }

    /// What is to be said of a reader of site number `at` (of a lens: of all), with its report.
    pub fn about(&self, at: usize, report: &Value) -> Value {
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
            "network": self.read.subject.model.layout().kind,
            "step": self.read.step,
            "site": self.sites[at].to_string(),
            "positions": settings.positions.to_string(),
            "label": label(settings).to_string(),
            "split": {
                "seed": settings.seed,
                "train": self.train.as_ref().map(|train| half(TRAIN_FROM, train)),
                "test": half(TEST_FROM, &self.test),
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
        if settings.kind.is_lens() {
            let sites: Vec<String> = self.sites.iter().map(ToString::to_string).collect();
            about["site"] = json!(sites);
        }
        if settings.kind == Kind::MlpProbe {
            about["fitting"]["hidden"] = json!(settings.hidden);
        }
        if !settings.under.is_empty() {
            let under: Vec<String> = settings.under.iter().map(ToString::to_string).collect();
            about["under"] = json!(under);
        }
        about
    }

    /// A probe or an eraser of site number `at`, with its report. `None`: stopped by `watch`.
    ///
    /// # Errors
    /// When a product fails, or what was kept is of another network.
    pub fn at_site(
        &self,
        at: usize,
        kept: Option<Reader>,
        watch: Watch<'_>,
    ) -> Result<Option<(Reader, Value)>> {
        match self.settings.kind {
            Kind::Leace => self.erase(at, kept, watch),
            Kind::LinearProbe | Kind::MlpProbe | Kind::TunedLens | Kind::TokenLens => {
                self.probe(at, kept, watch)
            }
        }
    }

    fn probe(
        &self,
        at: usize,
        kept: Option<Reader>,
        watch: Watch<'_>,
    ) -> Result<Option<(Reader, Value)>> {
        let test = self.test.dataset(at)?;
        let Some(train) = &self.train else {
            let probe = kept.filter(|kept| kept.is(self.settings.kind)).ok_or_else(other_kind)?;
            let report = json!({ "test": score_json(probe.score(&test)?) });
            return Ok(Some((probe, report)));
        };
        let train = train.dataset(at)?;
        let site = self.sites[at];
        let doing = format!("fitting a probe of {site}");
        let Some(found) = self.fitted(&train, false, &doing, watch)? else { return Ok(None) };
        let doing = format!("fitting one of {site} to shuffled labels");
        let Some(dealt) = self.fitted(&train, true, &doing, watch)? else { return Ok(None) };
        let report = json!({
            "train": score_json(found.reader.score(&train)?),
            "test": score_json(found.reader.score(&test)?),
            "shuffled_labels_test": score_json(dealt.reader.score(&test)?),
            "constant_test": score_json(constant_score(&train, &test)),
            "search": search_json(&found),
        });
        Ok(Some((found.reader, report)))
    }

    /// A probe of the kind that is asked for.
    fn fitted(
        &self,
        data: &Dataset,
        shuffled: bool,
        doing: &str,
        watch: Watch<'_>,
    ) -> Result<Option<Fitted<Reader>>> {
        let FitSettings { kind, hidden, seed, fitting, .. } = *self.settings;
        let units = Units { count: hidden, seed };
        Ok(match (kind, shuffled) {
            (Kind::MlpProbe, false) => {
                let found = hidden::fit(data, units, fitting, doing, watch)?;
                found.map(|found| found.reads(Reader::Hidden))
            }
            (Kind::MlpProbe, true) => {
                let found = hidden::fit_shuffled(data, units, fitting, doing, watch)?;
                found.map(|found| found.reads(Reader::Hidden))
            }
            (_, false) => fit(data, fitting, doing, watch)?.map(|found| found.reads(Reader::Probe)),
            (_, true) => fit_shuffled(data, seed, fitting, doing, watch)?
                .map(|found| found.reads(Reader::Probe)),
        })
    }

    fn lens(&self, kept: Option<Reader>, watch: Watch<'_>) -> Result<Option<(Reader, Value)>> {
        let mut kept = match kept {
            Some(Reader::Lens(way, maps))
                if way == self.way() && maps.len() == self.sites.len() =>
            {
                Some(maps.into_iter())
            }
            Some(_) => return Err(other_kind()),
            None => None,
        };
        let (mut maps, mut report) = (Vec::new(), Vec::new());
        for at in 0..self.sites.len() {
            let kept = kept.as_mut().and_then(Iterator::next);
            let Some((map, entry)) = self.boundary(at, kept, watch)? else { return Ok(None) };
            maps.push(map);
            report.push(entry);
        }
        let report = json!({ "boundaries": report, "network_test": self.own()? });
        Ok(Some((Reader::Lens(self.way(), maps), report)))
    }

    /// What the maps of the lens lead to.
    pub fn way(&self) -> Way {
        if self.settings.kind == Kind::TunedLens { Way::Stream } else { Way::Tokens }
    }

    /// The map of a boundary of the lens, with its report. `None`: stopped by `watch`.
    ///
    /// # Errors
    /// When a product fails, or the network does not say how its stream is read.
    pub fn boundary(
        &self,
        at: usize,
        kept: Option<Linear>,
        watch: Watch<'_>,
    ) -> Result<Option<(Linear, Value)>> {
        let Subject { model, params, .. } = self.read.subject;
        let site = self.sites[at];
        let mut entry = json!({ "boundary": at, "site": site.to_string() });
        let map = match (kept, &self.train) {
            (Some(map), _) => map,
            (None, Some(train)) => {
                let Some(map) = self.fitted_lens(at, train, &mut entry, watch)? else {
                    return Ok(None);
                };
                let train = lens::score_fitted(self.way(), &map, model, params, train, at)?;
                entry["train"] = lens_json(train);
                map
            }
            (None, None) => return Err(other_kind()),
        };
        let test = lens::score_fitted(self.way(), &map, model, params, &self.test, at)?;
        entry["test"] = lens_json(test);
        let plain = lens::score_logit_lens(model, params, &self.test, at)?;
        entry["logit_lens_test"] = lens_json(plain);
        Ok(Some((map, entry)))
    }

    /// The map of a boundary, and in `entry` how its search ended. A tuned lens changes nothing at the last boundary: there the
    /// unembedding reads what it was made for. `None`: stopped by `watch`.
    fn fitted_lens(
        &self,
        at: usize,
        train: &Gathered,
        entry: &mut Value,
        watch: Watch<'_>,
    ) -> Result<Option<Linear>> {
        let Subject { model, params, .. } = self.read.subject;
        let site = self.sites[at];
        let doing = format!("fitting the lens of {site}");
        let fitting = self.settings.fitting;
        let found = match self.way() {
            Way::Stream if boundaries(model.layout().heads.len()).last() == Some(&site) => {
                return Ok(Some(translator::identity(train.x[at].0)));
            }
            Way::Stream => {
                let readout = lens::readout(model, params)?;
                let (data, logits) = (train.dataset(at)?, &train.logits);
                translator::fit(&data, &readout, logits, fitting, &doing, watch)?
            }
            Way::Tokens => fit(&lens::examples(model, params, train, at)?, fitting, &doing, watch)?,
        };
        Ok(found.map(|found| {
            entry["search"] = search_json(&found);
            found.reader
        }))
    }

    /// What the network itself predicts of the second half.
    fn own(&self) -> Result<Value> {
        let Gathered { logits, labels, .. } = &self.test;
        Ok(lens_json(lens::score(logits, labels, logits)?))
    }

    fn erase(
        &self,
        at: usize,
        kept: Option<Reader>,
        watch: Watch<'_>,
    ) -> Result<Option<(Reader, Value)>> {
        let site = self.sites[at];
        if site.point.by_head() {
            return Err(Error::usage(format!(
                "{site} is by head; a concept is erased at a site [batch, pos, dim], for example layer0.resid_mid"
            )));
        }
        let test = self.test.dataset(at)?;
        let train = self.train.as_ref().map(|train| train.dataset(at)).transpose()?;
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
                let doing = format!("fitting a probe of {site} {when} erasure");
                let found = fit(train, self.settings.fitting, &doing, watch)?;
                let Some(found) = found else { return Ok(None) };
                report[format!("probe_{when}")] = json!({
                    "train": score_json(found.reader.score(train)?),
                    "test": score_json(found.reader.score(test)?),
                    "largest_covariance": largest(&cross_covariance(train)?),
                });
            }
            report["constant_test"] = score_json(constant_score(train, &test));
        }
        let Some(behaviour) = self.behaviour(site, &eraser, watch)? else { return Ok(None) };
        report["network"] = behaviour;
        Ok(Some((Reader::Eraser(eraser), report)))
    }

    /// How well the network does on the sequences of the second half, with the concept and without.
    fn behaviour(&self, site: Site, eraser: &Eraser, watch: Watch<'_>) -> Result<Option<Value>> {
        let (subject, rows) = (self.read.subject, &self.test.sequences);
        let (mut with, mut without) = (Behaviour::default(), Behaviour::default());
        for (i, some) in rows.chunks(CHUNK).enumerate() {
            let progress =
                Progress { doing: "asking the network", done: i * CHUNK, of: rows.len() };
            if !watch(progress) {
                return Ok(None);
            }
            let batch = Batch::from_rows(some);
            let at = self.settings.positions.mask(subject, &batch)?;
            with.add(subject, &batch, &at, &mut self.tap(None))?;
            let erasing = Erasing { eraser, site, at: &at };
            without.add(subject, &batch, &at, &mut self.tap(Some(erasing)))?;
        }
        Ok(Some(json!({ "before": with.json(), "after": without.json() })))
    }

    /// The forward pass under what is in force, and perhaps without a concept.
    fn tap<'b>(&self, erasing: Option<Erasing<'b>>) -> Changed<'b> {
        Changed { bench: EditAndCapture::new(self.edits.clone(), Vec::new()), erasing }
    }
}

/// The lens tells the next token.
fn label(settings: &FitSettings) -> Label {
    match settings.kind {
        kind if kind.is_lens() => Label::Target,
        _ => settings.label,
    }
}

/// Interventions, and then erasure.
struct Changed<'a> {
    bench: EditAndCapture,
    erasing: Option<Erasing<'a>>,
}

impl Tap for Changed<'_> {
    fn wants(&self, site: Site) -> bool {
        self.bench.wants(site) || self.erasing.as_ref().is_some_and(|e| e.wants(site))
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.at_part(site, Part::whole(site, &x), x)
    }

    fn at_part(&mut self, site: Site, part: Part, x: Tensor) -> Result<Tensor> {
        let x = if self.bench.wants(site) { self.bench.at_part(site, part, x)? } else { x };
        match &mut self.erasing {
            Some(erasing) if erasing.wants(site) => erasing.at_part(site, part, x),
            _ => Ok(x),
        }
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
        let tensors = pass::Tensors::of(batch, subject.params)?;
        let output = subject.model.forward(subject.params, &tensors.input(), tap)?;
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

fn search_json<R>(found: &Fitted<R>) -> Value {
    json!({ "rounds": found.rounds, "slope": found.slope, "converged": found.converged })
}

impl Reader {
    /// Whether a fit of this kind gives such a reader.
    fn is(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Probe(_), Kind::LinearProbe)
                | (Self::Hidden(_), Kind::MlpProbe)
                | (Self::Lens(Way::Stream, _), Kind::TunedLens)
                | (Self::Lens(Way::Tokens, _), Kind::TokenLens)
                | (Self::Eraser(_), Kind::Leace)
        )
    }

    /// How well a probe tells labels.
    ///
    /// # Errors
    /// When it is no probe, or the examples are of another size or have other labels.
    fn score(&self, data: &Dataset) -> Result<Score> {
        match self {
            Self::Probe(probe) => probe.score(data),
            Self::Hidden(probe) => probe.score(data),
            Self::Lens(..) | Self::Eraser(_) => Err(other_kind()),
        }
    }

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
            Self::Hidden(Hidden { first, second }) => {
                [linear("hidden.", first), linear("readout.", second)].concat()
            }
            Self::Lens(way, maps) => {
                let each = maps.iter().enumerate();
                each.flat_map(|(i, map)| linear(&format!("{}{i}.", way.part()), map)).collect()
            }
            Self::Eraser(eraser) => vec![
                tensor("matrix".to_owned(), &[eraser.dim, eraser.dim], &eraser.matrix),
                tensor("mean".to_owned(), &[eraser.dim], &eraser.mean),
                tensor("rank".to_owned(), &[1], &[eraser.rank as f32]),
            ],
        }
    }

    /// The kind of what is kept under a name. A lens that leads straight to tokens was called `tuned-lens` by earlier versions.
    pub fn kind_of(about: &Value, tensors: &[NamedTensor]) -> Option<Kind> {
        let kind = about["kind"].as_str()?;
        let leads_to_tokens = || tensors.iter().any(|t| t.name.starts_with(Way::Tokens.part()));
        let kind = Kind::ALL.iter().copied().find(|known| known.name() == kind)?;
        Some(if kind == Kind::TunedLens && leads_to_tokens() { Kind::TokenLens } else { kind })
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
            Kind::MlpProbe => {
                let (Some(first), Some(second)) = (linear("hidden."), linear("readout.")) else {
                    return Err(broken());
                };
                let fits = first.outputs == second.dim;
                fits.then_some(Self::Hidden(Hidden { first, second })).ok_or_else(broken)
            }
            Kind::TunedLens | Kind::TokenLens => {
                let way = if kind == Kind::TunedLens { Way::Stream } else { Way::Tokens };
                let maps: Vec<Linear> =
                    (0..).map_while(|i| linear(&format!("{}{i}.", way.part()))).collect();
                if maps.is_empty() { Err(broken()) } else { Ok(Self::Lens(way, maps)) }
            }
            Kind::Leace => {
                let (Some(matrix), Some(mean), Some(rank)) =
                    (find("matrix"), find("mean"), find("rank"))
                else {
                    return Err(broken());
                };
                let dim = mean.data.len();
                let rank = rank.data.first().map_or(0, |rank| convert::index(*rank));
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
