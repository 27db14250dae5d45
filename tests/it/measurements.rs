//! Measurements against plain loops over the definitions, and on cases whose answer is known.

use std::any::Any;
use std::sync::Arc;

use candle_core::Tensor;
use mnemoscope::base::batch::{Batch, NO_TARGET, Reals, Row};
use mnemoscope::base::error::Result;
use mnemoscope::base::event::{DIVERGED, Mark, MarkKind, MetricsRow};
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::registry;
use mnemoscope::base::settings;
use mnemoscope::base::vocab::Vocab;
use mnemoscope::measurement::marks::{Facts, IN_A_ROW, Marks, State};
use mnemoscope::measurement::{self, Answer, Measurement, Scene, Scope, Subject, heads};
use mnemoscope::model::birth::{Birth, Strengths, ideal};
use mnemoscope::model::memories::{self, GlobalMemory, Memories};
use mnemoscope::model::readout::{Readout, Writes, Written};
use mnemoscope::model::{self, Architecture, Input, Layout, Model, Output, Sequences, pass};
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{Captured, EditAndCapture, Tap, through};
use mnemoscope::nn::wire::Map;
use mnemoscope::run_folder::Reader;
use mnemoscope::task::bigram::{Bigram, GlobalLaw, Triggers};
use mnemoscope::task::reference_back::ReferenceBack;
use mnemoscope::task::{self, Source, Task};

// ── a source and a network made by hand ──────────────────────────────────────────────────────────────

/// Counts up from the index of the sequence, with the labels it is given.
#[derive(Clone)]
struct Handmade {
    vocab: Vocab,
    length: usize,
    occurrence: Vec<u16>,
    law: Option<GlobalLaw>,
    triggers: Option<Triggers>,
}

impl Handmade {
    fn new(vocab: usize, length: usize) -> Self {
        Self {
            vocab: Vocab::new((0..vocab).map(|i| i.to_string()).collect()),
            length,
            occurrence: (0..length).map(|i| (i % 4) as u16).collect(),
            law: None,
            triggers: None,
        }
    }
}

impl Source for Handmade {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn roles(&self) -> &'static [&'static str] {
        &["trigger"]
    }

    fn length(&self) -> usize {
        self.length
    }

    fn sequence(&self, _seed: u64, index: u64) -> Row {
        let token = |i: usize| ((index as usize + i) % self.vocab.len()) as u32;
        Row {
            tokens: (0..self.length).map(token).collect(),
            targets: (1..=self.length).map(token).collect(),
            roles: vec![0; self.length],
            occurrence: self.occurrence.clone(),
            ..Row::default()
        }
    }

    fn label(&self, _tokens: &[u32], like: &Row) -> Row {
        like.clone()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        let law = self.law.iter().map(|law| law as &dyn Any);
        law.chain(self.triggers.iter().map(|triggers| triggers as &dyn Any)).collect()
    }
}

/// Attention of a head by its tokens: the weight of each key, given the query.
type Rule = fn(&[u32], query: usize, key: usize) -> f32;

/// One layer whose heads attend by rule and gather the attended tokens as one-hot vectors.
struct Ruled {
    layout: Layout,
    rules: Vec<Rule>,
}

impl Ruled {
    fn new(kind: &'static str, vocab: usize, length: usize, rules: Vec<Rule>) -> Self {
        let layout = Layout { kind, heads: vec![rules.len()], width: vocab, vocab, length };
        Self { layout, rules }
    }
}

impl Model for Ruled {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn forward(&self, _params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let rows = input.tokens.to_vec2::<u32>()?;
        let (heads, len, vocab) = (self.rules.len(), rows[0].len(), self.layout.vocab);
        let mut pattern = Vec::new();
        let mut gathered = vec![0f32; rows.len() * heads * len * vocab];
        for (r, tokens) in rows.iter().enumerate() {
            for (h, rule) in self.rules.iter().enumerate() {
                for query in 0..len {
                    for key in 0..len {
                        let weight = if key <= query { rule(tokens, query, key) } else { 0.0 };
                        pattern.push(weight);
                        let at = (r * heads + h) * len + query;
                        gathered[at * vocab + tokens[key] as usize] += weight;
                    }
                }
            }
        }
        let device = input.tokens.device();
        let pattern = Tensor::from_vec(pattern, (rows.len(), heads, len, len), device)?;
        through(tap, 0, Point::Pattern, pattern)?;
        let gathered = Tensor::from_vec(gathered, (rows.len(), heads, len, vocab), device)?;
        through(tap, 0, Point::Z, gathered)?;
        let logits = Tensor::zeros((rows.len(), len, vocab), candle_core::DType::F32, device)?;
        Ok(Output { logits, state: None, beside: None })
    }

    fn readout(&self, params: &Params) -> Result<Option<Readout>> {
        let unembed = params.find("unembed").map(|unembed| params.get(unembed)).transpose()?;
        Ok(unembed.map(Readout::plain))
    }

    fn writes(&self, params: &Params, layer: usize) -> Result<Option<Writes>> {
        let Some(outputs) = params.find("layer0.wo").map(Map::plain) else { return Ok(None) };
        let written =
            Written { heads: self.layout.heads[layer], outputs: Some(outputs), mlp: None };
        written.numbers(self.layout.width, params).map(Some)
    }
}

fn to_previous(_: &[u32], query: usize, key: usize) -> f32 {
    f32::from(u8::from(key + 1 == query || query == 0))
}

/// The last earlier copy of the query's token, or the first position.
fn last_copy(tokens: &[u32], query: usize) -> Option<usize> {
    (0..query).rev().find(|&j| tokens[j] == tokens[query])
}

fn to_copy(tokens: &[u32], query: usize, key: usize) -> f32 {
    f32::from(u8::from(key == last_copy(tokens, query).unwrap_or(0)))
}

fn past_copy(tokens: &[u32], query: usize, key: usize) -> f32 {
    f32::from(u8::from(key == last_copy(tokens, query).map_or(0, |copy| copy + 1)))
}

fn to_all(_: &[u32], query: usize, _key: usize) -> f32 {
    1.0 / (query + 1) as f32
}

// ── asking ───────────────────────────────────────────────────────────────────────────────────────────

fn measurement(name: &str) -> Box<dyn Measurement> {
    registry::find("probe", measurement::ALL, name).unwrap()
}

fn with(name: &str, settings: &[(&str, i64)]) -> Box<dyn Measurement> {
    let mut measurement = measurement(name);
    for (setting, value) in settings {
        settings::set(&mut *measurement, "", setting, &toml::Value::Integer(*value)).unwrap();
    }
    measurement
}

fn number(answer: &Answer, name: &str) -> f64 {
    let mean = answer.means.iter().find(|m| m.name == name);
    let mean = mean.unwrap_or_else(|| panic!("no {name} in {:?}", answer.means));
    mean.sum / mean.count
}

fn array<'a>(answer: &'a Answer, name: &str) -> &'a mnemoscope::base::array::Array {
    answer.arrays.iter().find(|a| a.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn assert_near(found: f64, expected: f64, what: &str) {
    let same = (found.is_nan() && expected.is_nan()) || (found - expected).abs() < 1e-5;
    assert!(same, "{what}: {found} instead of {expected}");
}

/// Everything a scene borrows.
struct Stage {
    model: Box<dyn Model>,
    params: Params,
    source: Arc<dyn Source>,
    batch: Batch,
    logits: Option<Tensor>,
    captured: Captured,
}

impl Stage {
    fn new(model: impl Model + 'static, source: impl Source + 'static) -> Self {
        Self {
            model: Box::new(model),
            params: Params::new(0),
            source: Arc::new(source),
            batch: Batch::default(),
            logits: None,
            captured: Captured::new(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { model: &*self.model, params: &self.params, source: &*self.source }
    }

    fn ask(&self, measurement: &dyn Measurement) -> Answer {
        measurement
            .measure(&Scene {
                subject: self.subject(),
                batch: &self.batch,
                first: 0,
                logits: self.logits.as_ref(),
                captured: &self.captured,
            })
            .unwrap()
    }
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap()
}

const VOCAB: usize = 7;
const LEN: usize = 20;
const ROWS: usize = 3;

/// Random logits, tokens that repeat often, occurrences 0 to 3, and one position without a target.
fn random_stage() -> Stage {
    let noise = draw(5, "tokens", ROWS * (LEN + 1), Init::Uniform(1.0));
    let token = |i: usize| ((noise[i].abs() * 7.0) as u32).min(6);
    let mut batch = Batch { rows: ROWS, len: LEN, ..Batch::default() };
    for row in 0..ROWS {
        for i in 0..LEN {
            batch.tokens.push(token(row * (LEN + 1) + i));
            batch.targets.push(token(row * (LEN + 1) + i + 1));
            batch.roles.push((i % 2) as u8);
            batch.occurrence.push(((i * 7 + row) % 4) as u16);
        }
    }
    batch.targets[LEN - 1] = NO_TARGET;
    let mut source = Handmade::new(VOCAB, LEN);
    let raw = draw(5, "law", VOCAB * VOCAB, Init::Uniform(1.0));
    let law = raw.chunks(VOCAB).flat_map(|row| {
        let sum: f32 = row.iter().map(|x| x.abs()).sum();
        row.iter().map(move |x| x.abs() / sum)
    });
    source.law = Some(GlobalLaw { next: law.collect() });
    let mut stage = Stage::new(Ruled::new("handmade", VOCAB, LEN, vec![to_all]), source);
    let logits = draw(5, "logits", ROWS * LEN * VOCAB, Init::Normal(2.0));
    stage.logits = Some(tensor(logits, &[ROWS, LEN, VOCAB]));
    stage.batch = batch;
    stage
}

/// Logits of a position as f64.
fn logits_at(stage: &Stage, i: usize) -> Vec<f64> {
    let all = stage.logits.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    all[i * VOCAB..(i + 1) * VOCAB].iter().map(|x| f64::from(*x)).collect()
}

fn probabilities(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    logits.iter().map(|l| l.exp() / sum).collect()
}

fn best(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |b, i| if values[i] > values[b] { i } else { b })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let all: Vec<f64> = values.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn share(hits: impl Iterator<Item = bool>) -> f64 {
    mean(hits.map(|hit| f64::from(u8::from(hit))))
}

// ── outcome ──────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn losses_and_accuracies_are_means_over_the_positions_they_name() {
    let stage = random_stage();
    let answer = stage.ask(&*measurement("outcome"));
    let b = &stage.batch;
    let counted: Vec<usize> = (0..ROWS * LEN).filter(|&i| b.targets[i] != NO_TARGET).collect();
    let loss = |i: usize| -probabilities(&logits_at(&stage, i))[b.targets[i] as usize].ln();
    let right = |i: usize| best(&logits_at(&stage, i)) == b.targets[i] as usize;
    let at = |wanted: fn(u16) -> bool| {
        counted.iter().copied().filter(move |&i| wanted(b.occurrence[i])).collect::<Vec<_>>()
    };
    let (global, triggered, repeated) = (at(|c| c == 0), at(|c| c >= 1), at(|c| c >= 2));
    let law = &stage.source.facet::<GlobalLaw>().unwrap().next;
    let of_law =
        |i: usize| -f64::from(law[b.tokens[i] as usize * VOCAB + b.targets[i] as usize]).ln();
    for (name, expected) in [
        ("loss", mean(counted.iter().map(|&i| loss(i)))),
        ("accuracy", share(counted.iter().map(|&i| right(i)))),
        ("loss_global", mean(global.iter().map(|&i| loss(i)))),
        ("excess_global", mean(global.iter().map(|&i| loss(i) - of_law(i)))),
        ("loss_in_context", mean(repeated.iter().map(|&i| loss(i)))),
        ("accuracy_in_context", share(repeated.iter().map(|&i| right(i)))),
        ("accuracy_triggered", share(triggered.iter().map(|&i| right(i)))),
        (
            "accuracy_triggered_start",
            share(triggered.iter().filter(|&&i| i % LEN < 10).map(|&i| right(i))),
        ),
        ("repeat_share", share(triggered.iter().map(|&i| b.tokens[i] == b.targets[i]))),
    ] {
        assert_near(number(&answer, name), expected, name);
    }
    let other = stage.ask(&*measurement("other_outputs"));
    let in_context = number(&answer, "accuracy_in_context");
    assert_eq!(number(&other, "accuracy_other_outputs"), in_context, "the same, of another batch");
    let effect = stage.ask(&*measurement("effect"));
    for name in ["loss", "accuracy", "loss_in_context", "accuracy_in_context"] {
        assert_eq!(number(&effect, name), number(&answer, name));
    }
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let stage = random_stage();
    let whole = stage.ask(&*measurement("outcome"));
    let mut sums = vec![(0.0, 0.0); whole.means.len()];
    for row in 0..ROWS {
        let logits = stage.logits.as_ref().unwrap().narrow(0, row, 1).unwrap();
        let batch = stage.batch.slice(row, row + 1);
        let part = measurement("outcome")
            .measure(&Scene {
                subject: stage.subject(),
                batch: &batch,
                first: 0,
                logits: Some(&logits),
                captured: &stage.captured,
            })
            .unwrap();
        for (sum, mean) in sums.iter_mut().zip(&part.means) {
            *sum = (sum.0 + mean.sum, sum.1 + mean.count);
        }
    }
    for (mean, (sum, count)) in whole.means.iter().zip(sums) {
        assert_near(sum, mean.sum, &mean.name);
        assert_eq!(count, mean.count, "{}", mean.name);
    }
}

#[test]
fn a_task_without_triggers_has_loss_and_accuracy_alone() {
    let mut source = Handmade::new(VOCAB, LEN);
    source.occurrence = vec![0; LEN];
    let stage = Stage::new(Ruled::new("handmade", VOCAB, LEN, vec![to_all]), source);
    assert_eq!(measurement("outcome").columns(stage.subject()), ["loss", "accuracy"]);
    assert!(measurement("induction").applies(stage.subject()).is_err());
}

/// Twenty sequences of three tuples, and logits that are right at most positions.
fn answering_stage() -> Stage {
    let settings = ReferenceBack { tuples: 3, symbols: 3, ..ReferenceBack::default() };
    let source = settings.open().unwrap();
    let (rows, len, vocab) = (20, source.length(), source.vocab().len());
    let mut stage =
        Stage::new(Ruled::new("handmade", vocab, len, vec![to_all]), Handmade::new(vocab, len));
    stage.batch = task::batch(&*source, 7, 0, rows);
    let mut logits = draw(5, "logits", rows * len * vocab, Init::Normal(1.0));
    for (i, target) in stage.batch.targets.iter().enumerate() {
        if *target != NO_TARGET {
            logits[i * vocab + *target as usize] += 2.5;
        }
    }
    stage.logits = Some(tensor(logits, &[rows, len, vocab]));
    stage.source = source;
    stage
}

#[test]
fn a_sequence_is_solved_where_every_answer_is_right() {
    let stage = answering_stage();
    let answer = stage.ask(&*measurement("solved"));
    let logits = stage.logits.as_ref().unwrap().to_vec3::<f32>().unwrap();
    let b = &stage.batch;
    let right = |row: usize, at: usize| {
        let logits: Vec<f64> = logits[row][at].iter().map(|x| f64::from(*x)).collect();
        best(&logits) == b.targets[row * b.len + at] as usize
    };
    // Symbols stand at 2, 6 and 10.
    let solved = share((0..b.rows).map(|row| [2, 6, 10].iter().all(|at| right(row, *at))));
    assert!(solved > 0.1 && solved < 0.9, "{solved}");
    assert_near(number(&answer, "accuracy_sequence"), solved, "whole sequences");
    let bit = stage.source.roles().iter().position(|role| *role == "discriminating").unwrap();
    let places = (0..b.rows).flat_map(|row| [2, 6, 10].map(|at| (row, at)));
    let asked = places.filter(|(row, at)| b.roles[row * b.len + at] >> bit & 1 == 1);
    let hits: Vec<bool> = asked.map(|(row, at)| right(row, at)).collect();
    assert!(!hits.is_empty());
    let mean = answer.means.iter().find(|m| m.name == "accuracy_discriminating").unwrap();
    assert_eq!(mean.count, hits.len() as f64);
    assert_near(mean.sum / mean.count, share(hits.into_iter()), "where shortcuts are wrong");
    let names = measurement("solved").columns(stage.subject());
    assert_eq!(names, ["accuracy_sequence", "accuracy_discriminating"]);
}

#[test]
fn a_task_that_asks_for_no_whole_sequences_is_refused_in_a_sentence() {
    let stage = random_stage();
    let refused = measurement("solved").applies(stage.subject()).err().unwrap();
    assert!(refused.message.contains("which answers must be right"), "{refused}");
    assert!(measurement("solved").columns(stage.subject()).is_empty());
}

#[test]
fn an_impossible_prediction_costs_much_and_stays_finite() {
    let mut stage = random_stage();
    let mut logits = vec![0f32; ROWS * LEN * VOCAB];
    logits.iter_mut().step_by(VOCAB).for_each(|l| *l = 1e4);
    stage.logits = Some(tensor(logits, &[ROWS, LEN, VOCAB]));
    let loss = number(&stage.ask(&*measurement("outcome")), "loss");
    assert!(loss.is_finite() && loss > 1e3, "{loss}");
}

#[test]
fn predictions_come_likeliest_first_and_without_a_target_there_is_no_loss() {
    let stage = random_stage();
    let answer = stage.ask(&*measurement("predictions"));
    assert_eq!(array(&answer, "probability").shape, [LEN, 5]);
    for i in 0..LEN {
        let p = probabilities(&logits_at(&stage, i));
        let mut order: Vec<usize> = (0..VOCAB).collect();
        order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
        for rank in 0..5 {
            let at = i * 5 + rank;
            assert_eq!(array(&answer, "token").data[at], order[rank] as f32);
            let found = f64::from(array(&answer, "probability").data[at]);
            assert_near(found, p[order[rank]], "probability");
        }
        let along = |name| f64::from(array(&answer, name).data[i]);
        let target = stage.batch.targets[i];
        let p = if target == NO_TARGET { f64::NAN } else { p[target as usize] };
        assert_near(along("target_probability"), p, "target probability");
        assert_near(along("loss"), -p.ln(), "loss");
        assert_eq!(along("target").is_nan(), target == NO_TARGET);
    }
    let all = stage.ask(&*with("predictions", &[("top", 100)]));
    assert_eq!(array(&all, "token").shape, [LEN, VOCAB], "no more than there are");
    assert!(answer.arrays.iter().all(|a| a.name != "logits"), "only where they are asked for");
    let mut every = measurement("predictions");
    settings::set(&mut *every, "", "logits", &true.into()).unwrap();
    let every = stage.ask(&*every);
    assert_eq!(array(&every, "logits").shape, [LEN, VOCAB]);
    for i in 0..LEN {
        let given = array(&every, "logits").data[i * VOCAB..][..VOCAB].iter();
        for (given, own) in given.zip(logits_at(&stage, i)) {
            assert_near(f64::from(*given), own, "logit");
        }
    }
}

// ── attention ────────────────────────────────────────────────────────────────────────────────────────

/// Two layers of one head, as `birth` has them; with memories or without.
struct TwoLayers(Layout, Option<Memories>);

impl Model for TwoLayers {
    fn layout(&self) -> &Layout {
        &self.0
    }

    fn forward(&self, _: &Params, _: &Input<'_>, _: &mut dyn Tap) -> Result<Output> {
        unreachable!("these probes look at tensors that were captured")
    }

    fn memories(&self) -> Option<Memories> {
        self.1
    }
}

fn two_layers(vocab: usize, length: usize) -> TwoLayers {
    TwoLayers(Layout { kind: "two", heads: vec![1, 1], width: vocab, vocab, length }, None)
}

fn pattern_site(layer: usize) -> Site {
    Site { layer, point: Point::Pattern }
}

/// Random causal rows that sum to 1.
fn random_pattern(name: &str) -> Vec<f32> {
    let mut values = draw(9, name, ROWS * LEN * LEN, Init::Uniform(1.0));
    for (i, row) in values.chunks_mut(LEN).enumerate() {
        let query = i % LEN;
        row.iter_mut().for_each(|x| *x = x.abs());
        row[query + 1..].fill(0.0);
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    values
}

#[test]
fn induction_scores_follow_their_definitions() {
    let mut stage = random_stage();
    stage.model = Box::new(two_layers(VOCAB, LEN));
    let patterns = [random_pattern("first"), random_pattern("second")];
    for (layer, pattern) in patterns.iter().enumerate() {
        let pattern = tensor(pattern.clone(), &[ROWS, 1, LEN, LEN]);
        stage.captured.insert(pattern_site(layer), pattern);
    }
    let answer = stage.ask(&*measurement("induction"));
    let b = &stage.batch;
    let attended = |layer: usize, row: usize, query: usize| {
        let from = (row * LEN + query) * LEN;
        let weights: Vec<f64> =
            patterns[layer][from..from + LEN].iter().map(|x| f64::from(*x)).collect();
        best(&weights)
    };
    let (mut first, mut every, mut second, mut chained, mut followed) =
        (vec![], vec![], vec![], vec![], vec![]);
    for row in 0..ROWS {
        let x = &b.tokens[row * LEN..(row + 1) * LEN];
        for i in 0..LEN {
            let c = b.occurrence[row * LEN + i];
            if c >= 1 && i + 1 < LEN {
                every.push(attended(0, row, i + 1) == i);
            }
            if c == 1 && i + 1 < LEN {
                first.push(attended(0, row, i + 1) == i);
            }
            if c >= 2 {
                let a = attended(1, row, i);
                second.push(a >= 1 && x[a - 1] == x[i]);
                if a >= 1 {
                    chained.push(attended(0, row, a) == a - 1);
                }
                if b.targets[row * LEN + i] != NO_TARGET {
                    let predicted = best(&logits_at(&stage, row * LEN + i));
                    followed.push(predicted == x[a] as usize);
                }
            }
        }
    }
    for (name, hits) in [
        ("previous_token_score", first),
        ("previous_token_score_all", every),
        ("induction_score", second),
        ("previous_token_score_attended", chained),
        ("predicted_attended", followed),
    ] {
        assert_near(number(&answer, name), share(hits.into_iter()), name);
    }
}

#[test]
fn a_perfect_induction_head_scores_1_and_attention_to_position_0_is_a_miss() {
    let tokens = [3, 1, 2, 3, 1, 2, 3, 1];
    let n = tokens.len();
    let mut stage = Stage::new(two_layers(4, n), Handmade::new(4, n));
    stage.batch = Batch {
        rows: 1,
        len: n,
        tokens: tokens.to_vec(),
        targets: vec![0; n],
        roles: vec![0; n],
        occurrence: vec![1, 1, 1, 2, 2, 2, 3, 3],
        ..Batch::default()
    };
    stage.logits = Some(tensor(vec![0.0; n * 4], &[1, n, 4]));
    let by_rule = |rule: Rule| {
        let weights = (0..n * n).map(|i| rule(&tokens, i / n, i % n)).collect();
        tensor(weights, &[1, 1, n, n])
    };
    stage.captured.insert(pattern_site(0), by_rule(to_previous));
    stage.captured.insert(pattern_site(1), by_rule(past_copy));
    let perfect = stage.ask(&*measurement("induction"));
    for name in ["previous_token_score", "induction_score", "previous_token_score_attended"] {
        assert_eq!(number(&perfect, name), 1.0, "{name}");
    }
    stage.captured.insert(pattern_site(1), by_rule(|_, _, key| f32::from(u8::from(key == 0))));
    let miss = stage.ask(&*measurement("induction"));
    assert_eq!(number(&miss, "induction_score"), 0.0);
    assert!(number(&miss, "previous_token_score_attended").is_nan(), "nothing to count");
}

#[test]
fn attention_gives_the_pattern_of_every_head() {
    let rules: Vec<Rule> = vec![to_previous, to_all];
    let mut stage = Stage::new(Ruled::new("handmade", 5, 6, rules), Handmade::new(5, 6));
    let measurement = measurement("attention");
    let mut bench = EditAndCapture::new(Vec::new(), measurement.sites(stage.subject()));
    let tokens = tensor_u32(&[0, 1, 2, 3, 4, 0]);
    stage.model.forward(&stage.params, &Input::new(&tokens), &mut bench).unwrap();
    stage.captured = bench.captured;
    let answer = stage.ask(&*measurement);
    let pattern = array(&answer, "pattern.layer0");
    assert_eq!((&pattern.shape[..], &pattern.axes[..]), (&[2, 6, 6][..], &pattern.axes[..]));
    assert_eq!(pattern.outer(0)[3 * 6 + 2], 1.0);
    assert_eq!(pattern.outer(1)[3 * 6 + 2], 0.25);
}

fn tensor_u32(tokens: &[u32]) -> Tensor {
    Tensor::from_slice(tokens, (1, tokens.len()), &candle_core::Device::Cpu).unwrap()
}

#[test]
fn heads_made_by_hand_have_the_scores_they_were_made_for() {
    let vocab = 30;
    let rules: Vec<Rule> = vec![to_previous, past_copy, to_copy, to_all];
    let model = Ruled::new("handmade", vocab, 40, rules);
    let mut stage = Stage::new(model, Handmade::new(vocab, 40));
    let identity = |n: usize, m: usize| {
        (0..n * m).map(|i| f32::from(u8::from(i / m == (i % m) % n))).collect::<Vec<_>>()
    };
    stage.params.add_values("unembed", &[vocab, vocab], identity(vocab, vocab), false).unwrap();
    let wo = identity(vocab, 4 * vocab);
    stage.params.add_values("layer0.wo", &[vocab, 4 * vocab], wo, false).unwrap();
    let answer = stage.ask(&*with("heads", &[("tokens", 10), ("repeats", 4)]));
    // Ten tokens four times: repeats 2, 3 and 4 have 1, 2 and 3 earlier copies.
    let to_all_copies = mean((10..40).map(|i| f64::from(i / 10) / f64::from(i + 1)));
    let to_all_previous = mean((1..40).map(|i| 1.0 / f64::from(i + 1)));
    let to_all_copying = mean((0..10).map(|i| 1.0 / f64::from(i + 1)));
    for (score, expected) in [
        ("prefix_matching", [0.0, 1.0, 0.0, to_all_copies]),
        ("duplicate_token", [0.0, 0.0, 1.0, to_all_copies]),
        ("copying", [1.0, 1.0, 1.0, to_all_copying]),
    ] {
        for (head, expected) in expected.into_iter().enumerate() {
            let name = format!("{score}_l0h{head}");
            assert_near(number(&answer, &name), expected, &name);
            assert_near(f64::from(array(&answer, score).data[head]), expected, &name);
        }
    }
    // Sequences of the task count up: from 30 on a token stood 30 positions before, and every fourth number of an occurrence is 2
    // or 3.
    let queries = [30, 31, 34, 35, 38, 39];
    let to_one_copy = mean(queries.iter().map(|i| 1.0 / f64::from(i + 1)));
    let copying = mean(queries.iter().map(|&i: &i32| {
        let count = |t: i32| f64::from(1 + i32::from(t + 30 <= i));
        let raised = |t: i32| (count(t) / f64::from(i + 1) - 1.0 / 30.0).max(0.0);
        let attended: f64 = (0..30).map(|t| count(t) / f64::from(i + 1) * raised(t)).sum();
        attended / (0..30).map(raised).sum::<f64>()
    }));
    for (score, expected) in [
        ("previous_token", [1.0, 0.0, 0.0, to_all_previous]),
        ("previous_token_random", [1.0, 0.0, 0.0, to_all_previous]),
        ("prefix_matching_task", [0.0, 1.0, 0.0, to_one_copy]),
        ("duplicate_token_task", [0.0, 0.0, 1.0, to_one_copy]),
        ("copying_task", [1.0, 1.0, 1.0, copying]),
    ] {
        for head in [0, 1, 2, 3] {
            let previous = score.starts_with("previous") && (1..3).contains(&head);
            let name = format!("{score}_l0h{head}");
            // Where these two attend to without an earlier copy is beside the point.
            if !previous {
                assert_near(number(&answer, &name), expected[head], &name);
                assert_near(f64::from(array(&answer, score).data[head]), expected[head], &name);
            }
        }
    }
    assert_eq!(measurement("heads").columns(stage.subject()).len(), 32);
}

#[test]
fn where_a_task_marks_no_answers_all_repeated_tokens_are_queries() {
    let rules: Vec<Rule> = vec![past_copy, to_all];
    let unmarked = |length: usize| {
        let mut source = Handmade::new(30, length);
        source.occurrence = vec![0; length];
        let stage = Stage::new(Ruled::new("handmade", 30, length, rules.clone()), source);
        stage.ask(&*with("heads", &[("tokens", 5), ("repeats", 4)]))
    };
    let answer = unmarked(40);
    assert_near(number(&answer, "prefix_matching_task_l0h0"), 1.0, "all");
    let uniform = mean((30..40).map(|i| 1.0 / f64::from(i + 1)));
    assert_near(number(&answer, "prefix_matching_task_l0h1"), uniform, "uniform");
    // Without a repeated token there is nothing to score.
    assert!(number(&unmarked(30), "duplicate_token_task_l0h1").is_nan());
}

/// The memories of an induction head, stored for the fixed triggers of the task alone.
#[test]
fn a_head_of_fixed_triggers_scores_on_the_task_and_hardly_on_random_tokens() {
    let settings = Birth { width: 256, ..Birth::default() };
    let task = Bigram { length: 64, ..Bigram::default() };
    let source = task.open().unwrap();
    let mut params = Params::new(3);
    let model =
        settings.build(Sequences::of_tokens(source.vocab().len(), 64), &mut params).unwrap();
    let strengths = Strengths { previous: 30.0, matching: 30.0, output: 30.0 };
    ideal(
        &settings,
        &params,
        strengths,
        source.facet::<Triggers>().unwrap().fixed.as_ref().unwrap(),
    )
    .unwrap();
    let params = params.watched().unwrap();
    let subject = Subject { model: &*model, params: &params, source: &*source };
    let scene = Scene {
        subject,
        batch: &Batch::default(),
        first: 0,
        logits: None,
        captured: &Captured::new(),
    };
    let answer = measurement("heads").measure(&scene).unwrap();
    assert!(number(&answer, "prefix_matching_task_l1h0") > 0.95, "{:?}", answer.means);
    assert!(number(&answer, "prefix_matching_l1h0") < 0.2, "{:?}", answer.means);
    assert!(number(&answer, "previous_token_l0h0") > 0.97, "{:?}", answer.means);
    assert!(number(&answer, "previous_token_random_l0h0") > 0.97, "{:?}", answer.means);
    // By hand, from the patterns of the same sequences.
    let site = |layer| Site { layer, point: Point::Pattern };
    let (mut prefix, mut duplicate) = (Vec::new(), Vec::new());
    for example in 0..10 {
        let row = source.sequence(heads::SEED, example);
        let batch = Batch::from_rows(std::slice::from_ref(&row));
        let (_, captured) =
            pass::forward(&*model, &params, &batch, &[], &[site(1)], false).unwrap();
        let pattern = captured[&site(1)].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for query in (0..64).filter(|&i| row.occurrence[i] >= 2) {
            let weight = |key: usize| f64::from(pattern[query * 64 + key]);
            let earlier = || (0..query).filter(|&j| row.tokens[j] == row.tokens[query]);
            duplicate.push(earlier().map(weight).sum::<f64>());
            prefix.push(earlier().map(|copy| weight(copy + 1)).sum::<f64>());
        }
    }
    assert!(prefix.len() > 50);
    for (name, by_hand) in [("prefix_matching", prefix), ("duplicate_token", duplicate)] {
        let name = format!("{name}_task_l1h0");
        assert_near(number(&answer, &name), mean(by_hand.into_iter()), &name);
    }
}

#[test]
fn where_nothing_says_how_a_head_writes_its_copying_is_undefined() {
    let rules: Vec<Rule> = vec![to_previous];
    let stage = Stage::new(Ruled::new("handmade", 30, 40, rules), Handmade::new(30, 40));
    let answer = stage.ask(&*measurement("heads"));
    assert!(number(&answer, "copying_l0h0").is_nan());
    assert!(number(&answer, "prefix_matching_l0h0").is_finite());
}

#[test]
fn a_context_too_short_for_repeats_is_refused_in_a_sentence() {
    let stage = Stage::new(Ruled::new("handmade", 30, 6, vec![to_all]), Handmade::new(30, 6));
    let error = measurement("heads").applies(stage.subject()).unwrap_err();
    assert!(error.message.contains("context of 8") && error.message.contains('6'), "{error}");
}

#[test]
fn queries_and_keys_come_point_by_point_with_their_tokens() {
    let mut stage = random_stage();
    let layout = Layout { kind: "x", heads: vec![2], width: 8, vocab: VOCAB, length: LEN };
    stage.model = Box::new(TwoLayers(layout, None));
    let dim = 4;
    let q = draw(2, "q", ROWS * 2 * LEN * dim, Init::Normal(1.0));
    let k = draw(2, "k", ROWS * 2 * LEN * dim, Init::Normal(1.0));
    let measurement = with("query_key", &[("head", 1)]);
    for (site, values) in measurement.sites(stage.subject()).into_iter().zip([&q, &k]) {
        stage.captured.insert(site, tensor(values.clone(), &[ROWS, 2, LEN, dim]));
    }
    let answer = stage.ask(&*measurement);
    for row in 0..ROWS {
        for i in 0..LEN {
            let point = row * LEN + i;
            let from = ((row * 2 + 1) * LEN + i) * dim;
            assert_eq!(array(&answer, "queries").outer(point), &q[from..from + dim]);
            assert_eq!(array(&answer, "keys").outer(point), &k[from..from + dim]);
            assert_eq!(array(&answer, "position").data[point], i as f32);
            assert_eq!(array(&answer, "token").data[point], stage.batch.tokens[point] as f32);
            assert_eq!(array(&answer, "roles").data[point], f32::from(stage.batch.roles[point]));
        }
    }
    let message = |settings| with("query_key", settings).applies(stage.subject()).unwrap_err();
    assert!(message(&[("layer", 3)]).message.contains("layer 3"));
    assert!(message(&[("head", 2)]).message.contains("has 2"));
    assert_eq!(with("query_key", &[("sequences", 3)]).sequences(), Some(3));
}

// ── memories ─────────────────────────────────────────────────────────────────────────────────────────

const TOKENS: usize = 6;
const POSITIONS: usize = 9;
const WIDTH: usize = 48;

/// The tensors of the simplified model, random.
fn birth_stage(with_wf: bool, positions: usize) -> Stage {
    let layout =
        Layout { kind: "two", heads: vec![1, 1], width: WIDTH, vocab: TOKENS, length: POSITIONS };
    let mut source = Handmade::new(TOKENS, POSITIONS);
    let next = (0..TOKENS * TOKENS).map(|i| law(i / TOKENS, i % TOKENS)).collect();
    source.law = Some(GlobalLaw { next });
    let mut stage = Stage::new(TwoLayers(layout.clone(), None), source);
    let params = &mut stage.params;
    params.add("embed", &[TOKENS, WIDTH], Init::Normal(1.0), false).unwrap();
    params.add("pos", &[positions, WIDTH], Init::Normal(1.0), false).unwrap();
    let bound = 1.0 / (WIDTH as f64).sqrt();
    for name in ["layer0.wv", "layer0.wo", "layer1.wv", "layer0.wk", "layer1.wk", "layer1.wo"] {
        let trained = !["layer0.wv", "layer0.wo", "layer1.wv"].contains(&name);
        params.add(name, &[WIDTH, WIDTH], Init::Uniform(bound), trained).unwrap();
    }
    if with_wf {
        params.add("layer1.wf", &[WIDTH, WIDTH], Init::Uniform(bound), true).unwrap();
    }
    params.add("unembed", &[TOKENS, WIDTH], Init::Uniform(bound), false).unwrap();
    let find = |name: &str| params.find(name).unwrap();
    let layer = |i: usize| {
        let of = |matrix: &str| find(&format!("layer{i}.{matrix}"));
        memories::Layer { wk: of("wk"), wv: of("wv"), wo: of("wo") }
    };
    let memories = Memories {
        embed: find("embed"),
        positions: Some(find("pos")),
        layers: [layer(0), layer(1)],
        global: params.find("layer1.wf").map_or(GlobalMemory::None, GlobalMemory::Linear),
        unembed: Some(find("unembed")),
    };
    stage.model = Box::new(TwoLayers(layout, Some(memories)));
    stage
}

/// Rows sum to 1; each lacks one token.
fn law(current: usize, next: usize) -> f32 {
    if next == current { 0.0 } else { (1 + (next + TOKENS - current) % TOKENS) as f32 / 20.0 }
}

fn matrix(stage: &Stage, name: &str) -> Vec<Vec<f64>> {
    let params = &stage.params;
    let rows = params.get(params.find(name).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
}

fn apply(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Recall by the definitions, one product at a time.
fn naive_recall(stage: &Stage, triggers: &[usize]) -> [f64; 5] {
    let m = |name: &str| matrix(stage, name);
    let (embed, pos, unembed) = (m("embed"), m("pos"), m("unembed"));
    let remapped = |k: usize| apply(&m("layer0.wo"), &apply(&m("layer0.wv"), &embed[k]));
    let wo2 = share((0..TOKENS).map(|k| {
        let written = apply(&m("layer1.wo"), &apply(&m("layer1.wv"), &embed[k]));
        best(&apply(&unembed, &written)) == k
    }));
    let wk2 = share(triggers.iter().enumerate().map(|(i, &k)| {
        let scores: Vec<f64> = triggers
            .iter()
            .map(|&other| dot(&embed[k], &apply(&m("layer1.wk"), &remapped(other))))
            .collect();
        best(&scores) == i
    }));
    let wk1 = |among: usize| {
        share((1..among).map(|t| {
            let scores: Vec<f64> =
                (0..among - 1).map(|s| dot(&pos[t], &apply(&m("layer0.wk"), &pos[s]))).collect();
            best(&scores) == t - 1
        }))
    };
    let counted = (0..TOKENS).filter(|i| triggers.len() == TOKENS || !triggers.contains(i));
    let kl = mean(counted.map(|i| {
        let q = probabilities(&apply(&unembed, &apply(&m("layer1.wf"), &embed[i])));
        (0..TOKENS)
            .filter(|&j| law(i, j) > 0.0)
            .map(|j| f64::from(law(i, j)) * (f64::from(law(i, j)) / q[j]).ln())
            .sum()
    }));
    [wo2, wk2, wk1(pos.len()), wk1(pos.len().min(64)), kl]
}

const RECALL: [&str; 5] = ["recall_wo2", "recall_wk2", "recall_wk1", "recall_wk1_early", "kl_wf"];

#[test]
fn recall_is_the_share_of_associations_whose_score_is_largest() {
    for fixed in [None, Some(vec![4, 1])] {
        // More than the 64 positions that count as early.
        let mut stage = birth_stage(true, 80);
        store_ideal(&stage);
        let mut source = Handmade::new(TOKENS, POSITIONS);
        source.law = stage.source.facet().cloned();
        source.triggers = fixed.clone().map(|f| Triggers { count: f.len(), fixed: Some(f) });
        stage.source = Arc::new(source);
        let triggers: Vec<usize> = fixed
            .map_or_else(|| (0..TOKENS).collect(), |f| f.iter().map(|&t| t as usize).collect());
        let answer = stage.ask(&*measurement("recall"));
        for (name, expected) in RECALL.into_iter().zip(naive_recall(&stage, &triggers)) {
            assert_near(number(&answer, name), expected, name);
        }
        let memories = stage.ask(&*measurement("memories"));
        for name in RECALL {
            assert_eq!(number(&memories, name), number(&answer, name));
        }
    }
}

/// Sets `name` to the sum of outer products of rows of `outputs` and `inputs`.
fn store(stage: &Stage, name: &str, pairs: &[(Vec<f64>, Vec<f64>)]) {
    let mut values = vec![0f32; WIDTH * WIDTH];
    for (out, input) in pairs {
        for (i, value) in values.iter_mut().enumerate() {
            *value += (out[i / WIDTH] * input[i % WIDTH]) as f32;
        }
    }
    let var = stage.params.var(stage.params.find(name).unwrap()).unwrap();
    var.set(&tensor(values, &[WIDTH, WIDTH])).unwrap();
}

fn store_ideal(stage: &Stage) {
    let m = |name: &str| matrix(stage, name);
    let (embed, pos, unembed) = (m("embed"), m("pos"), m("unembed"));
    let remapped = |k: usize| apply(&m("layer0.wo"), &apply(&m("layer0.wv"), &embed[k]));
    let value = |k: usize| apply(&m("layer1.wv"), &embed[k]);
    let previous: Vec<_> = (1..pos.len()).map(|t| (pos[t].clone(), pos[t - 1].clone())).collect();
    let matching: Vec<_> = (0..TOKENS).map(|k| (embed[k].clone(), remapped(k))).collect();
    let output: Vec<_> = (0..TOKENS).map(|k| (unembed[k].clone(), value(k))).collect();
    store(stage, "layer0.wk", &previous);
    store(stage, "layer1.wk", &matching);
    store(stage, "layer1.wo", &output);
}

#[test]
fn ideal_memories_are_recalled_and_a_missing_association_is_told() {
    let stage = birth_stage(true, POSITIONS);
    store_ideal(&stage);
    let answer = stage.ask(&*measurement("recall"));
    for name in ["recall_wk1", "recall_wk1_early", "recall_wk2", "recall_wo2"] {
        assert_eq!(number(&answer, name), 1.0, "{name}");
    }
    let all = stage.ask(&*measurement("memories"));
    assert_eq!(array(&all, "recalled.wo2").data[..], [1.0; TOKENS]);
    // Now the value of token 2 raises the logit of token 5.
    let (unembed, embed) = (matrix(&stage, "unembed"), matrix(&stage, "embed"));
    let wv = matrix(&stage, "layer1.wv");
    let pairs: Vec<_> = (0..TOKENS)
        .map(|k| (unembed[if k == 2 { 5 } else { k }].clone(), apply(&wv, &embed[k])))
        .collect();
    store(&stage, "layer1.wo", &pairs);
    let all = stage.ask(&*measurement("memories"));
    assert_eq!(array(&all, "recalled.wo2").data[..], [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    assert_near(number(&all, "recall_wo2"), 5.0 / 6.0, "recall");
}

#[test]
fn memories_are_scores_between_tokens_and_between_positions() {
    let stage = birth_stage(true, POSITIONS);
    let answer = stage.ask(&*with("memories", &[("positions", 4)]));
    let m = |name: &str| matrix(&stage, name);
    let (embed, pos, unembed) = (m("embed"), m("pos"), m("unembed"));
    let at = |name: &str, row: usize, column: usize| {
        let a = array(&answer, name);
        f64::from(a.data[row * a.shape[1] + column])
    };
    for i in 0..TOKENS {
        let value = apply(&m("layer1.wo"), &apply(&m("layer1.wv"), &embed[i]));
        let key =
            apply(&m("layer1.wk"), &apply(&m("layer0.wo"), &apply(&m("layer0.wv"), &embed[i])));
        let next = probabilities(&apply(&unembed, &apply(&m("layer1.wf"), &embed[i])));
        for j in 0..TOKENS {
            assert_near(at("wo2", j, i), dot(&unembed[j], &value), "wo2");
            assert_near(at("wk2", j, i), dot(&embed[j], &key), "wk2");
            assert_near(at("wf", j, i), next[j], "wf");
            assert_near(at("global_law", j, i), f64::from(law(i, j)), "law");
        }
    }
    for t in 0..4 {
        for s in 0..4 {
            assert_near(at("wk1", t, s), dot(&pos[t], &apply(&m("layer0.wk"), &pos[s])), "wk1");
        }
    }
    let recalled = array(&answer, "recalled.wk1");
    assert_eq!(recalled.shape, [4]);
    assert!(recalled.data[0].is_nan(), "nothing is before position 0");
}

#[test]
fn without_w_f_its_divergence_is_undefined() {
    let stage = birth_stage(false, POSITIONS);
    assert!(number(&stage.ask(&*measurement("recall")), "kl_wf").is_nan());
    let memories = stage.ask(&*measurement("memories"));
    assert!(memories.arrays.iter().all(|a| a.name != "wf"));
}

#[test]
fn norms_are_those_of_trained_tensors() {
    let stage = birth_stage(true, POSITIONS);
    let answer = stage.ask(&*measurement("norms"));
    let names: Vec<&str> = answer.means.iter().map(|m| m.name.as_str()).collect();
    let expected = ["norm_layer0.wk", "norm_layer1.wk", "norm_layer1.wo", "norm_layer1.wf"];
    assert_eq!(names, expected);
    for name in names {
        let rows = matrix(&stage, name.strip_prefix("norm_").unwrap());
        let squares: f64 = rows.iter().flatten().map(|x| x * x).sum();
        assert_near(number(&answer, name), squares.sqrt(), name);
    }
}

// ── marks ────────────────────────────────────────────────────────────────────────────────────────────

const FACTS: Facts = Facts {
    vocab: 65,
    global_in_loss: true,
    global_memory: true,
    attention_layers: 2,
    triggers: true,
    output_memory: true,
    first_keys: true,
    second_keys: true,
    machine: false,
};

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn of_birth() -> Vec<String> {
    columns(&[
        "loss_global",
        "excess_global",
        "accuracy_in_context",
        "recall_wo2",
        "previous_token_score",
        "induction_score",
    ])
}

fn row(step: u64, values: &[f64]) -> MetricsRow {
    MetricsRow { step, values: values.to_vec() }
}

/// A course like that of the experiment with fixed triggers and the loss on all tokens.
fn course() -> Vec<MetricsRow> {
    (0..80)
        .map(|i| {
            let step = i * 5;
            let t = step as f64;
            let rise = |at: f64| 1.0 / (1.0 + (-(t - at) / 15.0).exp());
            let excess = 0.3 + 2.2 * (-t / 20.0).exp();
            row(
                step,
                &[
                    2.137 + excess,
                    excess,
                    rise(210.0),
                    0.6 * rise(200.0),
                    0.8 * rise(170.0),
                    rise(195.0),
                ],
            )
        })
        .collect()
}

fn marks_of(rows: &[MetricsRow], marks: &mut Marks) -> Vec<(u64, String)> {
    rows.iter().flat_map(|r| marks.observe(r)).map(|m| (m.step, m.text)).collect()
}

#[test]
fn marks_come_in_order_at_the_first_evaluation_of_those_in_a_row() {
    let mut marks = Marks::new(&of_birth(), FACTS);
    assert_eq!(marks.rules().len(), 4);
    assert_eq!(marks.state_in_words(FACTS), "learning global statistics");
    let found = marks_of(&course(), &mut marks);
    let first = |column: usize, at_least: f64| {
        course().iter().find(|r| r.values[column] >= at_least).unwrap().step
    };
    let expected = [
        (40, "global statistics learned"),
        (first(4, 0.5), "previous-token head formed"),
        (first(3, 0.5), "output memory formed"),
        (first(2, 0.9), "induction head formed"),
    ];
    let expected = expected.map(|(step, text)| (step, text.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(
        marks.state_in_words(FACTS),
        format!("induction head formed at step {}", first(2, 0.9))
    );
}

#[test]
fn a_flicker_sets_no_mark() {
    let mut marks = Marks::new(&columns(&["recall_wo2"]), FACTS);
    let values = [0.6, 0.6, 0.4, 0.6, f64::NAN, 0.6, 0.6, 0.6, 0.1, 0.6, 0.6, 0.6];
    let rows: Vec<_> = (0..).zip(values).map(|(step, v)| row(step, &[v])).collect();
    assert_eq!(IN_A_ROW, 3);
    assert_eq!(marks_of(&rows, &mut marks), [(5, "output memory formed".to_owned())]);
}

const IDS: [(&str, &str); 4] = [
    ("global_statistics_learned", "global statistics learned"),
    ("previous_token_head", "previous-token head formed"),
    ("output_memory", "output memory formed"),
    ("induction_head", "induction head formed"),
];

#[test]
fn a_mark_has_an_id_beside_its_text_and_that_of_an_earlier_run_is_the_same() {
    let mut marks = Marks::new(&of_birth(), FACTS);
    let set: Vec<Mark> = course().iter().flat_map(|row| marks.observe(row)).collect();
    let found: Vec<(&str, &str)> = set.iter().map(|m| (&*m.id, &*m.text)).collect();
    assert_eq!(found, IDS);
    for mark in set {
        assert_eq!(Mark::of_text(mark.step, mark.kind, mark.text.clone()), mark);
    }
    let note = |text: &str| Mark::of_text(1, MarkKind::Note, text).id;
    assert_eq!([note("train.rate = 0.25"), note("diverged")], ["train.rate", DIVERGED]);
}

#[test]
fn a_resumed_run_sets_the_same_marks() {
    let rows = course();
    let mut straight = Marks::new(&of_birth(), FACTS);
    let expected = marks_of(&rows, &mut straight);
    for cut in 0..rows.len() {
        let mut before = Marks::new(&of_birth(), FACTS);
        let mut found = marks_of(&rows[..cut], &mut before);
        let mut saved = serde_json::to_string(&before.state()).unwrap();
        if cut % 2 == 0 {
            // As checkpoints spelled it before marks had ids.
            for (id, name) in IDS {
                saved = saved.replace(&format!("\"{id}\""), &format!("\"{name}\""));
            }
        }
        let mut after = Marks::new(&of_birth(), FACTS);
        after.restore(&serde_json::from_str::<State>(&saved).unwrap());
        found.extend(marks_of(&rows[cut..], &mut after));
        assert_eq!(found, expected, "cut before evaluation {cut}");
        assert_eq!(after.state_in_words(FACTS), straight.state_in_words(FACTS));
    }
}

#[test]
fn a_mark_that_cannot_occur_is_not_listed() {
    let names = |columns: &[String], facts| {
        Marks::new(columns, facts).rules().into_iter().map(|r| r.0).collect::<Vec<_>>()
    };
    let all = of_birth();
    let repeated_only = Facts { global_in_loss: false, ..FACTS };
    let no_memory = Facts { global_memory: false, ..FACTS };
    for facts in [repeated_only, no_memory] {
        assert!(!names(&all, facts).contains(&"global statistics learned"));
    }
    let one_layer = Facts { attention_layers: 1, ..FACTS };
    let decoder = columns(&["accuracy_in_context", "previous_token_l0h0", "previous_token_l0h1"]);
    assert_eq!(names(&decoder, one_layer), ["previous-token head formed"]);
    assert_eq!(names(&decoder, FACTS), ["previous-token head formed", "induction head formed"]);
    assert!(names(&columns(&["loss", "accuracy"]), FACTS).is_empty());
    let (memory, head) = ("output memory formed", "induction head formed");
    let first = "previous-token head formed";
    for (facts, missing) in [
        (Facts { output_memory: false, ..FACTS }, &[memory, head][..]),
        (Facts { first_keys: false, ..FACTS }, &[first, head]),
        (Facts { second_keys: false, ..FACTS }, &[head]),
        (Facts { triggers: false, ..FACTS }, &[memory, first, head]),
    ] {
        let left: Vec<&str> =
            names(&all, FACTS).into_iter().filter(|name| !missing.contains(name)).collect();
        assert_eq!(names(&all, facts), left);
    }
    assert_eq!(Marks::new(&[], FACTS).state_in_words(FACTS), "training");
}

#[test]
fn what_is_frozen_is_not_said_to_form() {
    let marks = Marks::new(&columns(&["recall_wo2", "previous_token_score"]), FACTS);
    assert_eq!(marks.state_in_words(FACTS), "forming the output memory");
    let of_outputs = Facts { output_memory: false, ..FACTS };
    assert_eq!(marks.state_in_words(of_outputs), "forming the previous-token head");
    let all = Facts { first_keys: false, ..of_outputs };
    let said = "forming the output memory waits: what it needs is frozen";
    assert_eq!(marks.state_in_words(all), said);
}

#[test]
fn one_of_many_heads_is_enough_for_a_previous_token_head() {
    let mut marks = Marks::new(&columns(&["previous_token_l0h0", "previous_token_l0h1"]), FACTS);
    let rows: Vec<_> = (0..3).map(|step| row(step, &[0.1, 0.7])).collect();
    assert_eq!(marks_of(&rows, &mut marks), [(0, "previous-token head formed".to_owned())]);
}

#[test]
fn the_mark_of_a_solved_task_bears_the_first_evaluation_of_those_in_a_row() {
    let mut marks = Marks::new(&columns(&["accuracy_sequence", "loss"]), FACTS);
    assert_eq!(marks.state_in_words(FACTS), "learning to get whole sequences right");
    let values = [0.5, 0.995, 0.98, 0.99, 1.0, 0.991, 0.2];
    let rows: Vec<_> = (0..).zip(values).map(|(step, v)| row(10 * step, &[v, 1.0])).collect();
    assert_eq!(marks_of(&rows, &mut marks), [(30, "solved".to_owned())]);
    assert_eq!(marks.state_in_words(FACTS), "solved at step 30");
    assert!(Marks::new(&columns(&["accuracy", "loss"]), FACTS).rules().is_empty());
}

#[test]
fn a_gate_of_a_network_that_gets_most_pairs_wrong_is_no_gate() {
    let mut marks = Marks::new(&columns(&["output_gate", "input_gate", "gate_pairs"]), FACTS);
    let values = [[1.0, 1.0, 0.4]; 3].into_iter().chain([[0.7, 0.4, 0.6]; 3]);
    let rows: Vec<_> = (0..).zip(values).map(|(step, values)| row(step, &values)).collect();
    assert_eq!(marks_of(&rows, &mut marks), [(3, "output gate formed".to_owned())]);
}

// ── every measurement on every model and task ──────────────────────────────────────────────────────────────

/// Small versions of every model on every task.
fn stages() -> Vec<(String, Stage)> {
    let mut stages = Vec::new();
    for task in task::ALL {
        let mut settings = (task.make)();
        shrink(&mut *settings, &[("length", 32)]);
        let source = settings.open().unwrap();
        for entry in model::ALL {
            let mut settings = (entry.make)();
            shrink(&mut *settings, &[("width", 16), ("heads", 2), ("layers", 2)]);
            let mut params = Params::new(3);
            let reals = source.facet::<Reals>().copied().unwrap_or_default();
            let on =
                Sequences { reals, ..Sequences::of_tokens(source.vocab().len(), source.length()) };
            if reals != Reals::default() && !settings.reads_reals() {
                continue;
            }
            let model = match settings.build(on, &mut params) {
                Ok(model) => model,
                Err(refused) => {
                    assert!(refused.message.contains("predicts two"), "{refused}");
                    continue;
                }
            };
            let stage = Stage {
                model,
                params,
                source: source.clone(),
                batch: Batch::default(),
                logits: None,
                captured: Captured::new(),
            };
            stages.push((format!("{} on {}", entry.name, task.name), stage));
        }
    }
    stages
}

fn shrink(settings: &mut dyn settings::Settings, wanted: &[(&str, i64)]) {
    for (name, value) in wanted {
        if settings::names(settings).contains(name) {
            settings::set(settings, "", name, &toml::Value::Integer(*value)).unwrap();
        }
    }
}

/// Asks a measurement as an examination does.
fn examine(stage: &mut Stage, measurement: &dyn Measurement) -> Answer {
    let source = if let Scope::Variant(name) = measurement.scope() {
        stage.source.variant(name).unwrap()
    } else {
        stage.source.clone()
    };
    let rows = if measurement.scope() == Scope::Prompt { 1 } else { 4 };
    (stage.batch, stage.logits, stage.captured) = Default::default();
    if measurement.scope() != Scope::Weights {
        stage.batch = task::batch(&*source, 1, 0, rows);
        let tensors = pass::Tensors::of(&stage.batch, &stage.params).unwrap();
        let mut bench = EditAndCapture::new(Vec::new(), measurement.sites(stage.subject()));
        let output = stage.model.forward(&stage.params, &tensors.input(), &mut bench).unwrap();
        stage.logits = Some(output.logits);
        stage.captured = bench.captured;
    }
    stage.ask(measurement)
}

#[test]
fn every_probe_gives_the_same_finite_answer_twice_and_a_mean_for_each_column() {
    for (name, mut stage) in stages() {
        let mut seen: Vec<String> = Vec::new();
        for entry in measurement::ALL {
            let measurement = (entry.make)();
            let what = format!("{} of {name}", entry.name);
            if let Err(refused) = measurement::check(&*measurement, stage.subject()) {
                assert!(refused.message.len() > 20, "{what}: {refused}");
                continue;
            }
            let (first, second) =
                (examine(&mut stage, &*measurement), examine(&mut stage, &*measurement));
            assert_eq!(first.means, second.means, "{what}");
            assert_eq!(
                format!("{:?}", first.arrays),
                format!("{:?}", second.arrays),
                "{what} (as text, where undefined is equal to itself)"
            );
            for mean in &first.means {
                let undefined = mean.count == 0.0 && mean.sum == 0.0;
                assert!(undefined || (mean.sum / mean.count).is_finite(), "{what}: {mean:?}");
            }
            for column in measurement.columns(stage.subject()) {
                assert!(first.means.iter().any(|m| m.name == column), "{what} lacks {column}");
                assert!(!seen.contains(&column), "{what}: {column} is taken");
                seen.push(column);
            }
        }
    }
}

#[test]
fn an_experiment_with_the_simplified_model_has_the_columns_that_scripts_rely_on() {
    for (name, stage) in stages() {
        let found: Vec<String> = measurement::ALL
            .iter()
            .map(|entry| (entry.make)())
            .filter(|measurement| measurement.applies(stage.subject()).is_ok())
            .flat_map(|measurement| measurement.columns(stage.subject()))
            .collect();
        let everywhere = [
            "loss",
            "loss_global",
            "loss_in_context",
            "accuracy_in_context",
            "accuracy_other_outputs",
        ];
        let of_birth = [
            "recall_wo2",
            "recall_wk2",
            "recall_wk1",
            "recall_wk1_early",
            "kl_wf",
            "previous_token_score",
            "induction_score",
        ];
        let more: &[&str] = if stage.model.memories().is_some() { &of_birth } else { &[] };
        if name.ends_with("bigram") {
            for column in everywhere.iter().chain(more) {
                assert!(found.iter().any(|f| f == column), "{name} lacks {column}");
            }
        }
    }
}

#[test]
fn the_marks_of_the_run_that_comes_with_the_program_are_those_that_its_rules_set() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/runs/gating");
    let recording = Reader::open(folder.as_ref()).unwrap().recording;
    let mut marks = Marks::new(&recording.columns, FACTS);
    let set: Vec<Mark> = recording.rows.iter().flat_map(|row| marks.observe(row)).collect();
    assert_eq!(set, recording.marks);
}
