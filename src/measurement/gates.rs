//! The seven tests of gating in a task of registers: deny, admit, role, output gate, content, null, specificity.
//!
//! Traylor et al. 2024 (arXiv 2402.08211) say by path patching that keys play the part of an input gate and queries that of
//! an output gate. Their pairs, positions and metric are not published: the tests here are a reconstruction, ours and
//! not theirs.

use std::sync::OnceLock;

use super::causal::effect::{LEAST_CONTRAST, Metric, Rule, counted};
use super::causal::{Pairs, Part, Seen, Side, Spot, Stage, patch};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base;
use crate::base::batch::NO_TARGET;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::pair::Pair;
use crate::base::settings::{Settings, Slot, Spec};
use crate::nn::edit::{At, Edit};
use crate::task::reference_back::TupleText;

/// Pairs are the same at every step and in every run of a task.
const SEED: u64 = u64::MAX;

crate::settings! {
    /// Settings of the measurement `gates`.
    pub struct GateSettings = "Whether keys gate what is stored, queries gate what is read, and values carry what is held: effects of patching each, over counterfactual pairs." {
        /// Pairs of each of the six kinds.
        pairs: usize = 32, in 1..=4096;
        /// The layer that reads, counted from 1; 0: the last.
        layer: usize = 0, in 0..=64;
    }
}

/// Numbers, each a mean over pairs that both runs get right: `input_gate` (mean normalised effect of keys where a Store is
/// denied and where an Ignore is admitted), `output_gate` (of the query where the register of a read is another),
/// `role_addressability` (of keys where the register of a Store is another, over the reads of both registers, minus the
/// size of what denying does to reads of another register), `gate_dissociation_input` and `gate_dissociation_output` (the
/// gate's own effect minus that of the other one), `content_values` (of values where the stored symbol is another),
/// `content_keys_queries` (of keys and query there, which should do nothing), `gate_null` (mean size of the effects of
/// query and values where a Store is denied), `gate_specificity` (mean size of what denying does to reads of another
/// register, in units of the effect on its own), `input_gate_tuple` (as `input_gate`, of the keys at all positions of the
/// tuple: a network may keep the address elsewhere than where the tuple is bound), `gate_pairs` (share of all pairs that
/// count).
#[derive(Default)]
pub struct Gates {
    settings: GateSettings,
    /// Drawn when first needed: a measurement is asked about one task.
    pairs: OnceLock<Drawn>,
}

/// Names of the columns, in order.
const NAMES: [&str; 11] = [
    "input_gate",
    "output_gate",
    "role_addressability",
    "gate_dissociation_input",
    "gate_dissociation_output",
    "content_values",
    "content_keys_queries",
    "gate_null",
    "gate_specificity",
    "input_gate_tuple",
    "gate_pairs",
];

impl Settings for Gates {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
        self.pairs = OnceLock::new();
    }
}

impl Measurement for Gates {
    fn scope(&self) -> Scope {
        Scope::Weights
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let kinds = subject.source.pair_kinds();
        if !KINDS.iter().all(|kind| kinds.iter().any(|k| k.name == *kind)) {
            return Err(Error::usage(
                "gates are asked of tasks that store in several registers and read from them, such as reference_back",
            ));
        }
        let heads = &subject.model.layout().heads;
        if heads.contains(&0) {
            return Err(Error::usage(
                "gates are asked of attention in every layer, and this network has layers without heads",
            ));
        }
        let layers = heads.len();
        if self.settings.layer > layers {
            return Err(Error::usage(format!(
                "gates: layer {} asked for, this network has {layers}",
                self.settings.layer
            )));
        }
        Ok(())
    }

    fn sites(&self, _subject: Subject<'_>) -> Vec<Site> {
        Vec::new()
    }

    fn columns(&self, _subject: Subject<'_>) -> Vec<String> {
        NAMES.map(str::to_owned).into()
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let found = self.found(scene.subject)?;
        let means = NAMES.iter().zip(found.numbers());
        let mean = |(name, value): (&&str, f64)| {
            let known = !value.is_nan();
            let (sum, count) = if known { (value, 1.0) } else { (0.0, 0.0) };
            Mean { name: (*name).to_owned(), sum, count }
        };
        let means = means.map(mean).collect();
        Ok(Answer { means, ..Answer::default() })
    }
}

const KINDS: [&str; 6] = ["deny", "admit", "role", "output", "content", "specificity"];

/// The pairs of all kinds; `None` where the task gave none.
struct Drawn {
    deny: Option<Pairs>,
    admit: Option<Pairs>,
    /// Read at the first and at the second of both reads.
    role: [Option<Pairs>; 2],
    output: Option<Pairs>,
    content: Option<Pairs>,
    specificity: Option<Pairs>,
}

impl Drawn {
    fn new(subject: Subject<'_>, count: usize) -> Self {
        let drawn = |kind: &str| -> Vec<Pair> {
            (0..count as u64).filter_map(|i| subject.source.pair(kind, SEED, i)).collect()
        };
        // Where there is nothing to compare, nothing is measured.
        let pairs = |pairs: Vec<Pair>| Pairs::new(pairs).ok();
        let (role, deny) = (drawn("role"), drawn("deny"));
        let second = role.iter().filter_map(second_read).collect();
        // Nothing changes there: the answer is set against the one that it is not.
        let both = deny.first().map_or([0; 2], |pair| pair.answers);
        let against = |pair: Pair| {
            let right = pair.answers[0];
            let wrong = if right == both[0] { both[1] } else { both[0] };
            Pair { answers: [right, wrong], ..pair }
        };
        Self {
            specificity: pairs(drawn("specificity").into_iter().map(against).collect()),
            deny: pairs(deny),
            admit: pairs(drawn("admit")),
            role: [pairs(role), pairs(second)],
            output: pairs(drawn("output")),
            content: pairs(drawn("content")),
        }
    }
}

/// The pair looked at where the other of the two registers is read.
fn second_read(pair: &Pair) -> Option<Pair> {
    let at = pair.place("other_read")?;
    let answers = [pair.base.targets[at], pair.other.targets[at]];
    let asked = answers.iter().all(|a| *a != NO_TARGET) && answers[0] != answers[1];
    asked.then(|| Pair { at, answers, ..pair.clone() })
}

/// What the tests found, as sums over pairs that count.
#[derive(Default)]
struct Found {
    /// Effects of keys and of queries where a Store is denied.
    deny: [Tests; 2],
    /// The same where an Ignore is admitted.
    admit: [Tests; 2],
    deny_values: Tests,
    /// Of the keys at all positions of the tuple: denied and admitted.
    whole_tuple: [Tests; 2],
    role: Tests,
    /// Effects of the query and of keys at the read where its register is another.
    output: [Tests; 2],
    content_values: Tests,
    content_keys_queries: Tests,
    /// Mean size of the contrast of denied Stores, in logits.
    contrast: f64,
    /// Mean size of what denying does to reads of another register, in logits.
    bystander: f64,
    counted: usize,
    pairs: usize,
}

/// Normalised effects of one patch.
#[derive(Default)]
struct Tests(Vec<f64>);

impl Tests {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn size(&self) -> f64 {
        self.0.iter().map(|e| e.abs()).sum::<f64>() / self.0.len() as f64
    }
}

impl Found {
    /// In the order of [`NAMES`]; NaN where no pair counts.
    fn numbers(&self) -> [f64; 11] {
        // Each of the two ways to gate what is stored weighs the same.
        let input = |of: usize| f64::midpoint(self.deny[of].mean(), self.admit[of].mean());
        let specificity = self.bystander / self.contrast;
        [
            input(0),
            self.output[0].mean(),
            self.role.mean() - specificity,
            input(0) - input(1),
            self.output[0].mean() - self.output[1].mean(),
            self.content_values.mean(),
            self.content_keys_queries.mean(),
            f64::midpoint(self.deny[1].size(), self.deny_values.size()),
            specificity,
            f64::midpoint(self.whole_tuple[0].mean(), self.whole_tuple[1].mean()),
            self.counted as f64 / self.pairs as f64,
        ]
    }
}

impl Gates {
    fn found(&self, subject: Subject<'_>) -> Result<Found> {
        let drawn = self.pairs.get_or_init(|| Drawn::new(subject, self.settings.pairs));
        let layers = subject.model.layout().heads.len();
        let layer = if self.settings.layer == 0 { layers } else { self.settings.layer } - 1;
        let mut found = Found::default();
        let bench = Bench { subject, layer };
        if let Some(pairs) = &drawn.deny {
            let patches: [Patch<'_>; 4] = [
                &[(Point::K, Place("store"))],
                &[(Point::Q, Place("read"))],
                &[(Point::V, Place("store"))],
                &[(Point::K, Tuple("store"))],
            ];
            let ([keys, queries, values, tuple], contrast) =
                bench.tests(pairs, patches, &mut found)?;
            (found.deny, found.deny_values) = ([keys, queries], values);
            found.whole_tuple[0] = tuple;
            found.contrast = contrast;
        }
        if let Some(pairs) = &drawn.admit {
            let patches: [Patch<'_>; 3] = [
                &[(Point::K, Place("ignore"))],
                &[(Point::Q, Place("read"))],
                &[(Point::K, Tuple("ignore"))],
            ];
            let ([keys, queries, tuple], _) = bench.tests(pairs, patches, &mut found)?;
            (found.admit, found.whole_tuple[1]) = ([keys, queries], tuple);
        }
        for pairs in drawn.role.iter().flatten() {
            let ([keys], _) = bench.tests(pairs, [&[(Point::K, Place("store"))]], &mut found)?;
            found.role.0.extend(keys.0);
        }
        if let Some(pairs) = &drawn.output {
            let patches: [Patch<'_>; 2] =
                [&[(Point::Q, Place("read"))], &[(Point::K, Place("read"))]];
            (found.output, _) = bench.tests(pairs, patches, &mut found)?;
        }
        if let Some(pairs) = &drawn.content {
            let patches: [Patch<'_>; 2] = [
                &[(Point::V, Place("store"))],
                &[(Point::K, Place("store")), (Point::Q, Place("read"))],
            ];
            ([found.content_values, found.content_keys_queries], _) =
                bench.tests(pairs, patches, &mut found)?;
        }
        if let Some(pairs) = &drawn.specificity {
            found.bystander = bench.size(pairs, &[(Point::K, Place("store"))], &mut found)?;
        }
        Ok(found)
    }
}

/// Points of the reading layer and the places where they are patched.
type Patch<'a> = &'a [(Point, Where)];

/// Positions of a pair.
#[derive(Clone, Copy)]
enum Where {
    /// One that the pair names.
    Place(&'static str),
    /// All of the tuple that it lies in.
    Tuple(&'static str),
}

use Where::{Place, Tuple};

struct Bench<'a> {
    subject: Subject<'a>,
    layer: usize,
}

impl Bench<'_> {
    /// The normalised effects of some patches on the pairs that both runs get right, and the mean size of the contrast
    /// between the two runs, in logits.
    fn tests<const N: usize>(
        &self,
        pairs: &Pairs,
        patches: [Patch<'_>; N],
        found: &mut Found,
    ) -> Result<([Tests; N], f64)> {
        let stage = Stage::new(self.subject, pairs)?;
        let (kept, _) = counted(Rule::BothRight, Metric::Normalised, &stage.base, &stage.other);
        found.counted += kept.len();
        found.pairs += pairs.len();
        let contrast = |i: usize| stage.other[i].difference - stage.base[i].difference;
        let mut all = [const { Tests(Vec::new()) }; N];
        for (tests, patch) in all.iter_mut().zip(patches) {
            let seen = self.patched(&stage, patch)?;
            tests.0.extend(
                kept.iter().map(|&i| (seen[i].difference - stage.base[i].difference) / contrast(i)),
            );
        }
        let size = kept.iter().map(|&i| contrast(i).abs()).sum::<f64>() / kept.len() as f64;
        Ok((all, size))
    }

    /// Mean size of the effect on predictions whose answer should stay, in logits, where the base run is right.
    fn size(&self, pairs: &Pairs, patch: Patch<'_>, found: &mut Found) -> Result<f64> {
        let stage = Stage::new(self.subject, pairs)?;
        let seen = self.patched(&stage, patch)?;
        let right: Vec<usize> =
            (0..pairs.len()).filter(|&i| stage.base[i].difference > LEAST_CONTRAST).collect();
        found.counted += right.len();
        found.pairs += pairs.len();
        let sum: f64 =
            right.iter().map(|&i| (seen[i].difference - stage.base[i].difference).abs()).sum();
        Ok(sum / right.len() as f64)
    }

    /// The base sequences with some points, of all heads, from the counterfactual run.
    fn patched(&self, stage: &Stage<'_>, points: Patch<'_>) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        let site = |point| Site { layer: self.layer, point };
        let sites: Vec<Site> = points.iter().map(|(point, _)| site(*point)).collect();
        for part in stage.pairs.parts() {
            let other = part.capture(self.subject, Side::Other, &[], &sites)?;
            let edit = |(point, place): &(Point, Where)| -> Result<Edit> {
                let from = other.get(&site(*point));
                let from =
                    from.ok_or_else(|| Error::usage("this network has no attention to ask"))?;
                Ok(patch(site(*point), None, self.positions(stage, part, *place)?, from))
            };
            let edits: Vec<Edit> = points.iter().map(edit).collect::<Result<_>>()?;
            seen.extend(stage.run(part, &edits)?);
        }
        Ok(seen)
    }

    fn positions(&self, stage: &Stage<'_>, part: &Part, place: Where) -> Result<At> {
        let (Place(name) | Tuple(name)) = place;
        let named = stage.pairs.positions(part, &Spot::Named(name.to_owned()))?;
        let (At::PerRow(rows), Tuple(_)) = (&named, place) else { return Ok(named) };
        let text = self.subject.source.facet::<TupleText>();
        let widened = rows.iter().enumerate().map(|(i, places)| {
            let tuples = text.map(|text| text.tuples(&part.batch(Side::Base).row(i).tokens));
            let positions = |at: &usize| {
                let list = tuples.iter().flat_map(|tuples| &tuples.list);
                let mut own = list.map(of_tuple).filter(|own| own.contains(at));
                own.next().unwrap_or_else(|| vec![*at])
            };
            places.iter().flat_map(positions).collect()
        });
        Ok(At::PerRow(widened.collect()))
    }
}

/// The positions of a tuple.
fn of_tuple(tuple: &base::tuples::Tuple) -> Vec<usize> {
    let always = [tuple.register_at, tuple.symbol_at];
    always.into_iter().chain(tuple.instruction_at).chain(tuple.answer_at).collect()
}
