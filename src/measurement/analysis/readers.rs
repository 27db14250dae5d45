//! Readers fitted layer by layer, as an analysis: what each place tells of a label, beside what it tells of shuffled labels.

use serde_json::{Value, json};

use super::{Analysis, Ground, OnPartial, PartialAnswer};
use crate::base::analysis::{Examples, Told as Asked};
use crate::base::array::Array;
use crate::base::batch::Batch;
use crate::base::convert::{self, narrow};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Intervention, Point, Site};
use crate::base::label::{Kind, Places};
use crate::base::question::Reading;
use crate::base::weights::NamedTensor;
use crate::measurement::probing::data::{Label, Positions};
use crate::measurement::probing::linear::Fitting;
use crate::measurement::probing::{Desk, FitSettings, Progress, Read, Reader, usual_name};
use crate::measurement::{Answer, Mean, Subject};
use crate::model::pass;
use crate::run_folder::readers::KeptReader;
use crate::task::Source;

crate::settings! {
    /// Fitted on held-out sequences and judged on others ([`crate::measurement::probing`]).
    ///
    /// Arrays over the places, in the order of the forward pass: `layer` and `point` (its number in [`Point::ALL`]); scores on the
    /// second half, NaN where they are not known yet. Of probes `accuracy`, `macro_f1`, `micro_f1`, `cross_entropy` (nats),
    /// `train_accuracy`, `shuffled_accuracy`, `shuffled_macro_f1`, `shuffled_micro_f1`, `constant_accuracy`, `constant_macro_f1` and
    /// `constant_micro_f1`. Of a lens `accuracy`, `cross_entropy` and `kl`, and the same of the logit lens: `logit_lens_accuracy`
    /// and so on. Of erasure those of probes fitted after it, `before_accuracy` and so on of probes before, `constant_accuracy` and so on,
    /// `network_accuracy` and `network_before_accuracy` (of the network's own predictions at these positions), `rank`. The readers themselves:
    /// `reader.layer0.resid_mid.weight`, or `reader.translator0.weight` of a tuned and `reader.boundary0.weight` of a token lens. Numbers: `train_examples`, `test_examples`.
    pub struct Readers = "What can be read out of a network, layer by layer: probes of a label beside shuffled labels, a tuned lens beside the logit lens, or what is left when a label is erased." {
        /// What is told, and where.
        told: Asked = Asked::default();
        /// How much of what.
        examples: Examples = Examples::default();
        /// Rounds of the search at most.
        rounds: usize = 200, in 1..=100000, @log;
        /// Weight decay of the fitted maps, on vectors of unit variance.
        decay: f64 = 0.01, in 0.0..=1000.0;
        /// Seed of the sequences, of the shuffled labels and of the first weights of a hidden layer.
        seed: usize = 0, in 0..=9007199254740992.0;
    }
}

impl Analysis for Readers {
    fn run(&self, ground: &Ground<'_>, tell: OnPartial<'_>) -> Result<Answer> {
        let settings = self.settings(ground.subject.source)?;
        let sites = self.sites(ground)?;
        // The step is for what is said of a reader by itself.
        let read = Read { subject: ground.subject, pool: ground.pool, step: 0 };
        let mut table = Table::new(self.told.kind, sites.clone());
        table.told = match self.told.kind {
            kind if kind.is_lens() => "Label: target.".to_owned(),
            _ => format!("Label: {}.", settings.label),
        };
        let total = sites.len() + 1;
        let desk = {
            let mut watch = |_: Progress<'_>| {
                tell(PartialAnswer { done: 0, total, so_far: &|| table.answer() })
            };
            Desk::new(read, &settings, sites, true, &mut watch)?
        };
        let Some(desk) = desk else { return table.stopped() };
        table.examples = desk.examples();
        for at in 0..total - 1 {
            let mut watch = |_: Progress<'_>| {
                tell(PartialAnswer { done: at + 1, total, so_far: &|| table.answer() })
            };
            let found = if self.told.kind.is_lens() {
                let found = desk.boundary(at, None, &mut watch)?;
                found.map(|(map, report)| (Reader::Lens(desk.way(), vec![map]), report))
            } else {
                desk.at_site(at, None, &mut watch)?
            };
            let Some((reader, report)) = found else { return table.stopped() };
            table.put(at, &reader, &report);
        }
        tell(PartialAnswer { done: total, total, so_far: &|| table.answer() });
        table.answer()
    }

    fn reads_prompt(&self) -> bool {
        false
    }
}

impl Readers {
    /// What is usual at one place: more examples and more rounds than at every place in turn, and the target as the label.
    pub fn of_one_place() -> Self {
        Self {
            told: Asked { label: "target".to_owned(), ..Asked::default() },
            examples: Examples { train: 16384, test: 4096, hidden: 256, ..Examples::default() },
            rounds: 500,
            ..Self::default()
        }
    }

    /// What is fitted, for the task.
    ///
    /// # Errors
    /// When a setting does not suit it.
    pub fn settings(&self, source: &dyn Source) -> Result<FitSettings> {
        let kinds = source.label_kinds();
        let usual = kinds.first().map_or("target", |kind| kind.name);
        let label = if self.told.label.trim().is_empty() { usual } else { self.told.label.trim() };
        let under = self.examples.under.split(';').map(str::trim).filter(|what| !what.is_empty());
        let under = under.map(|what| {
            Intervention::written(what, source.vocab()).map_err(|e| e.context("under"))
        });
        Ok(FitSettings {
            kind: self.told.kind,
            positions: Positions::parse(self.told.positions.trim(), source.roles())?,
            label: Label::parse(label, kinds)?,
            under: under.collect::<Result<_>>()?,
            seed: self.seed as u64,
            train: self.examples.train,
            test: self.examples.test,
            hidden: self.examples.hidden,
            fitting: Fitting {
                bias: self.told.kind != Kind::TokenLens,
                decay: self.decay,
                rounds: self.rounds,
                ..Fitting::default()
            },
        })
    }

    /// The places that a forward pass has: a network without MLPs, say, has no stream between attention and MLP.
    fn sites(&self, ground: &Ground<'_>) -> Result<Vec<Site>> {
        let Subject { model, params, source } = ground.subject;
        let places = if self.told.kind.is_lens() { Places::Boundaries } else { self.told.places };
        let mut sites = places.sites(&model.layout().heads);
        let batch = Batch::from_rows(&[source.sequence(ground.seed, 0)]);
        let (_, there) = pass::forward(model, params, &batch, &[], &sites, true)?;
        sites.retain(|site| there.contains_key(site));
        if sites.is_empty() {
            return Err(Error::usage(format!(
                "places: this network has nothing of the kind {}; choose stream or boundaries",
                places.name()
            )));
        }
        Ok(sites)
    }

    /// The readers of an answer about the weights of a step, each with the name and the description under which a run
    /// folder keeps it. A lens is kept whole or not at all.
    ///
    /// # Errors
    /// When the settings do not suit the task.
    pub fn kept(
        &self,
        reading: &Reading,
        source: &dyn Source,
        step: u64,
    ) -> Result<Vec<(String, KeptReader)>> {
        let settings = self.settings(source)?;
        let about = |site: Value, report: Value| {
            json!({
                "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
                "kind": self.told.kind.name(),
                "step": step,
                "site": site,
                "positions": settings.positions.to_string(),
                "label": settings.label.to_string(),
                "split": {
                    "seed": settings.seed,
                    "train": { "examples": reading.number("train_examples") },
                    "test": { "examples": reading.number("test_examples") },
                },
                "fitting": {
                    "bias": settings.fitting.bias,
                    "decay": settings.fitting.decay,
                    "rounds": settings.fitting.rounds,
                    "slope": settings.fitting.slope,
                },
                "report": report,
            })
            .to_string()
        };
        let sites = sites_of(reading);
        if self.told.kind.is_lens() {
            let tensors = tensors(reading, "");
            let whole = Reader::from_tensors(self.told.kind, &tensors).is_ok_and(
                |reader| matches!(reader, Reader::Lens(_, maps) if maps.len() == sites.len()),
            );
            let Some(last) = sites.last().copied().filter(|_| whole) else { return Ok(Vec::new()) };
            let report: Vec<Value> = (0..sites.len()).map(|at| scores(reading, at)).collect();
            let names: Vec<String> = sites.iter().map(ToString::to_string).collect();
            let about = about(json!(names), json!({ "boundaries": report }));
            let name = usual_name(&settings, last, step);
            return Ok(vec![(name, KeptReader { about, tensors })]);
        }
        let one = |(at, site): (usize, &Site)| {
            let tensors = tensors(reading, &format!("{site}."));
            let about = about(json!(site.to_string()), scores(reading, at));
            let name = usual_name(&settings, *site, step);
            (!tensors.is_empty()).then_some((name, KeptReader { about, tensors }))
        };
        Ok(sites.iter().enumerate().filter_map(one).collect())
    }
}

/// The places of an answer.
fn sites_of(reading: &Reading) -> Vec<Site> {
    let (Some(layers), Some(points)) = (reading.array("layer"), reading.array("point")) else {
        return Vec::new();
    };
    let site = |(layer, point): (&f32, &f32)| {
        let (point, _) = Point::ALL.get(convert::index(*point))?;
        Some(Site { layer: convert::index(*layer), point: *point })
    };
    layers.data.iter().zip(points.data.iter()).filter_map(site).collect()
}

/// Arrays of this beginning hold the numbers of a reader.
const READER: &str = "reader.";

/// The numbers of a reader in an answer, under their own names.
fn tensors(reading: &Reading, whose: &str) -> Vec<NamedTensor> {
    let own = |array: &Array| {
        let name = array.name.strip_prefix(READER)?.strip_prefix(whose)?;
        Some(NamedTensor {
            name: name.into(),
            shape: array.shape.clone(),
            data: array.data.clone(),
            trained: true,
        })
    };
    reading.arrays.iter().filter_map(own).collect()
}

/// All scores of a place of an answer.
fn scores(reading: &Reading, at: usize) -> Value {
    let scores = reading.arrays.iter().filter(|array| {
        array.axes == ["place"] && !["layer", "point"].contains(&array.name.as_str())
    });
    scores.map(|array| (array.name.clone(), json!(array.data.get(at)))).collect()
}

/// Names of scores, and where a report has them.
type Score = (&'static str, &'static str);

const OF_PROBES: &[Score] = &[
    ("accuracy", "/test/accuracy"),
    ("macro_f1", "/test/macro_f1"),
    ("micro_f1", "/test/micro_f1"),
    ("cross_entropy", "/test/loss"),
    ("train_accuracy", "/train/accuracy"),
    ("shuffled_accuracy", "/shuffled_labels_test/accuracy"),
    ("shuffled_macro_f1", "/shuffled_labels_test/macro_f1"),
    ("shuffled_micro_f1", "/shuffled_labels_test/micro_f1"),
    ("constant_accuracy", "/constant_test/accuracy"),
    ("constant_macro_f1", "/constant_test/macro_f1"),
    ("constant_micro_f1", "/constant_test/micro_f1"),
];

const OF_LENSES: &[Score] = &[
    ("accuracy", "/test/accuracy"),
    ("cross_entropy", "/test/cross_entropy"),
    ("kl", "/test/kl"),
    ("logit_lens_accuracy", "/logit_lens_test/accuracy"),
    ("logit_lens_cross_entropy", "/logit_lens_test/cross_entropy"),
    ("logit_lens_kl", "/logit_lens_test/kl"),
];

const OF_ERASURE: &[Score] = &[
    ("accuracy", "/probe_after/test/accuracy"),
    ("macro_f1", "/probe_after/test/macro_f1"),
    ("micro_f1", "/probe_after/test/micro_f1"),
    ("before_accuracy", "/probe_before/test/accuracy"),
    ("before_macro_f1", "/probe_before/test/macro_f1"),
    ("before_micro_f1", "/probe_before/test/micro_f1"),
    ("constant_accuracy", "/constant_test/accuracy"),
    ("constant_macro_f1", "/constant_test/macro_f1"),
    ("constant_micro_f1", "/constant_test/micro_f1"),
    ("network_accuracy", "/network/after/erased_positions/accuracy"),
    ("network_before_accuracy", "/network/before/erased_positions/accuracy"),
    ("rank", "/rank"),
];

/// What is known so far.
struct Table {
    sites: Vec<Site>,
    names: &'static [Score],
    /// Score by score, place by place.
    scores: Vec<Vec<f32>>,
    readers: Vec<Array>,
    /// Fitted to, and judged by.
    examples: [usize; 2],
    /// Which label is told.
    told: String,
}

impl Table {
    fn new(kind: Kind, sites: Vec<Site>) -> Self {
        let names = match kind {
            Kind::TunedLens | Kind::TokenLens => OF_LENSES,
            Kind::Leace => OF_ERASURE,
            Kind::LinearProbe | Kind::MlpProbe => OF_PROBES,
        };
        Self {
            names,
            scores: vec![vec![f32::NAN; sites.len()]; names.len()],
            readers: Vec::new(),
            examples: [0, 0],
            told: String::new(),
            sites,
        }
    }

    fn put(&mut self, at: usize, reader: &Reader, report: &Value) {
        for ((_, place), scores) in self.names.iter().zip(&mut self.scores) {
            scores[at] = report.pointer(place).and_then(Value::as_f64).map_or(f32::NAN, narrow);
        }
        for tensor in reader.tensors() {
            // A lens of one boundary calls it its first.
            let name = if let Reader::Lens(way, _) = reader {
                let (part, rest) = (way.part(), tensor.name.split_once('.'));
                format!("{READER}{part}{at}.{}", rest.map_or("", |(_, rest)| rest))
            } else {
                format!("{READER}{}.{}", self.sites[at], tensor.name)
            };
            let axes = ["row", "column"];
            let array = Array::new(
                name,
                &axes[..tensor.shape.len().min(2)],
                &tensor.shape,
                tensor.data.clone(),
            );
            self.readers.extend(array);
        }
    }

    fn answer(&self) -> Result<Answer> {
        let array =
            |name: &str, data: Vec<f32>| Array::new(name, &["place"], &[self.sites.len()], data);
        let layer = |site: &Site| site.layer as f32;
        let point = |site: &Site| {
            Point::ALL.iter().position(|(point, _)| *point == site.point).unwrap_or(0) as f32
        };
        let mut arrays = vec![
            array("layer", self.sites.iter().map(layer).collect())?,
            array("point", self.sites.iter().map(point).collect())?,
        ];
        for ((name, _), scores) in self.names.iter().zip(&self.scores) {
            arrays.push(array(name, scores.clone())?);
        }
        arrays.extend(self.readers.iter().cloned());
        let number = |name: &str, value: usize| Mean {
            name: name.to_owned(),
            sum: value as f64,
            count: 1.0,
        };
        let [train, test] = self.examples;
        let means = vec![number("train_examples", train), number("test_examples", test)];
        Ok(Answer { means, arrays, notes: vec![self.told.clone()] })
    }

    fn stopped(&self) -> Result<Answer> {
        let mut answer = self.answer()?;
        answer.notes.push("Stopped before the end: later places were not fitted.".to_owned());
        Ok(answer)
    }
}
