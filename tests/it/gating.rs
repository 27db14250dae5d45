//! The gates of a working memory: every number of the measurement beside a plain loop that swaps keys and queries by hand.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{Batch, Row};
use mnemoscope::base::error::Result;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::settings;
use mnemoscope::base::tuples::{TokenMeaning, Tuple};
use mnemoscope::measurement::gating::decoder::{Decoder, Samples};
use mnemoscope::measurement::gating::{Address, Gating};
use mnemoscope::measurement::{Answer, Measurement, Scene, Subject};
use mnemoscope::model::decoder::Decoder as Network;
use mnemoscope::model::{Architecture, Input, Model, Sequences};
use mnemoscope::nn::edit::{Edit, With};
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{EditAndCapture, Tap};
use mnemoscope::task::bigram::Bigram;
use mnemoscope::task::reference_back::{ReferenceBack, TokenOrder, TupleText};
use mnemoscope::task::{Source, Task, held_out_seed};

const TUPLES: usize = 7;
const HEADS: usize = 2;
const LAYER: usize = 1;
const SEQUENCES: usize = 24;

/// Sequences that are tried until every kind of number has come: untrained networks are seldom right twice.
const MOST: u64 = 150;

/// An untrained network on a small task, its answers far enough apart that either is given.
struct Stage {
    model: Box<dyn Model>,
    params: Params,
    source: Arc<dyn Source>,
}

fn task() -> ReferenceBack {
    ReferenceBack {
        registers: 3,
        concurrent: 3,
        tuples: TUPLES,
        symbols: 5,
        ..ReferenceBack::default()
    }
}

fn stage(task: &ReferenceBack) -> Stage {
    let source = task.open().unwrap();
    let mut settings = Network::default();
    let wanted = ["layers=2", "heads=2", "width=16", "mlp=none", "norm=none", "positions=learned"];
    for text in wanted.into_iter().chain(["unembed_bias=true", "init=torch"]) {
        let (name, value) = text.split_once('=').unwrap();
        settings::set(&mut settings, "", name, &settings::parse_value(value)).unwrap();
    }
    let mut params = Params::new(11);
    let model = settings
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
        .unwrap();
    let stage = Stage { model, params, source };
    // What is attended to outweighs what stands there, so that one other token may turn an answer.
    for (name, by) in [("layer0.wo", 3.0), ("layer1.wo", 3.0), ("unembed", 5.0)] {
        stage.scale(name, by);
    }
    stage
}

fn text(source: &dyn Source) -> &TupleText {
    source.facet().unwrap()
}

impl Stage {
    fn subject(&self) -> Subject<'_> {
        Subject { model: &*self.model, params: &self.params, source: &*self.source }
    }

    fn scale(&self, name: &str, by: f64) {
        let var = self.params.var(self.params.find(name).unwrap()).unwrap();
        let tensor = (var.as_tensor() * by).unwrap();
        var.set(&tensor).unwrap();
    }

    fn tuples(&self, tokens: &[u32]) -> Vec<Tuple> {
        text(&*self.source).tuples(tokens).list
    }

    /// `[pos][vocab]` of one sequence.
    fn run(&self, tokens: &[u32], tap: &mut dyn Tap) -> Vec<Vec<f32>> {
        let tokens = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu).unwrap();
        let output = self.model.forward(&self.params, &Input::new(&tokens), tap).unwrap();
        output.logits.get(0).unwrap().to_vec2().unwrap()
    }

    /// `[head][pos][dim]` of one sequence.
    fn seen(&self, tokens: &[u32], point: Point) -> Vec<Vec<Vec<f32>>> {
        let site = Site { layer: LAYER, point };
        let mut bench = EditAndCapture::new(Vec::new(), vec![site]);
        self.run(tokens, &mut bench);
        bench.captured[&site].get(0).unwrap().to_vec3().unwrap()
    }

    /// The logit of "same" minus that of "different" at every tuple.
    fn differences(&self, tokens: &[u32], tap: &mut dyn Tap) -> Vec<f64> {
        let logits = self.run(tokens, tap);
        let at = |tuple: &Tuple| {
            f64::from(logits[tuple.symbol_at][2]) - f64::from(logits[tuple.symbol_at][3])
        };
        self.tuples(tokens).iter().map(at).collect()
    }

    fn ask(&self, measurement: &dyn Measurement, row: &Row, edits: &[Edit]) -> Answer {
        let batch = Batch::from_rows(std::slice::from_ref(row));
        let tokens = Tensor::from_slice(&row.tokens, (1, row.len()), &Device::Cpu).unwrap();
        let mut bench = EditAndCapture::new(edits.to_vec(), measurement.sites(self.subject()));
        let output = self.model.forward(&self.params, &Input::new(&tokens), &mut bench).unwrap();
        let scene = Scene {
            subject: self.subject(),
            batch: &batch,
            first: 0,
            logits: Some(&output.logits),
            captured: &bench.captured,
        };
        measurement.measure(&scene).unwrap()
    }
}

/// Puts rows of `[head][pos][dim]` of another sequence in place of its own.
struct Put {
    site: Site,
    from: Vec<Vec<Vec<f32>>>,
    at: Vec<usize>,
}

impl Tap for Put {
    fn wants(&self, site: Site) -> bool {
        site == self.site
    }

    fn at(&mut self, _site: Site, x: Tensor) -> Result<Tensor> {
        let mut here: Vec<Vec<Vec<f32>>> = x.get(0)?.to_vec3()?;
        for (head, from) in here.iter_mut().zip(&self.from) {
            self.at.iter().for_each(|at| head[*at].clone_from(&from[*at]));
        }
        Ok(Tensor::new(here, x.device())?.unsqueeze(0)?)
    }
}

struct Quiet;

impl Tap for Quiet {
    fn wants(&self, _site: Site) -> bool {
        false
    }

    fn at(&mut self, _site: Site, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }
}

fn measurement(address: Address) -> Gating {
    let mut measurement = Gating::default();
    measurement.settings.sequences = SEQUENCES;
    measurement.settings.address = address;
    measurement
}

fn line(answer: &Answer, name: &str) -> Vec<f32> {
    answer
        .arrays
        .iter()
        .find(|a| a.name == name)
        .unwrap_or_else(|| panic!("no {name}"))
        .data
        .to_vec()
}

fn number(answer: &Answer, name: &str) -> f64 {
    let mean = answer.means.iter().find(|m| m.name == name).unwrap();
    mean.sum / mean.count
}

fn assert_near(found: f32, expected: f64, what: &str) {
    let near = (f64::from(found) - expected).abs() < 4e-3 * expected.abs().max(1.0);
    assert!(near || (found.is_nan() && expected.is_nan()), "{what}: {found} instead of {expected}");
}

/// The symbol that each tuple is compared with, and whether it is the same: the rule of the task, followed by hand.
fn followed(tuples: &[Tuple]) -> Vec<(Option<usize>, bool)> {
    let mut held = [None; 8];
    let follow = |tuple: &Tuple| {
        let compared = held[tuple.register];
        if tuple.store == Some(true) {
            held[tuple.register] = Some(tuple.symbol);
        }
        (compared, compared == Some(tuple.symbol))
    };
    tuples.iter().map(follow).collect()
}

fn mean(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if known.is_empty() { f64::NAN } else { known.iter().sum::<f64>() / known.len() as f64 }
}

/// Positions of a tuple whose keys count.
fn keys(address: Address, tuple: &Tuple) -> Vec<usize> {
    match address {
        Address::Bound => vec![tuple.bound_at()],
        Address::Tuple => {
            let all = [
                tuple.instruction_at,
                Some(tuple.register_at),
                Some(tuple.symbol_at),
                tuple.answer_at,
            ];
            all.into_iter().flatten().collect()
        }
    }
}

/// Open, effect and size of the gate of a tuple, by hand.
fn input_gate(stage: &Stage, base: &[u32], tuple: usize, address: Address) -> [f64; 3] {
    let tuples = stage.tuples(base);
    let this = &tuples[tuple];
    let mut flipped = base.to_vec();
    flipped[this.instruction_at.unwrap()] ^= 1;
    let site = Site { layer: LAYER, point: Point::K };
    let mut put = Put { site, from: stage.seen(&flipped, Point::K), at: keys(address, this) };
    let (before, after) =
        (stage.differences(base, &mut Quiet), stage.differences(&flipped, &mut Quiet));
    let patched = stage.differences(base, &mut put);
    let (here, there) = (followed(&tuples), followed(&stage.tuples(&flipped)));
    let (mut open, mut effects, mut sizes) = (vec![], vec![], vec![]);
    for read in tuple + 1..tuples.len() {
        if here[read].1 != there[read].1 {
            let p_same = 1.0 / (1.0 + (-before[read]).exp());
            let with_store = if this.store == Some(true) { here[read].1 } else { there[read].1 };
            open.push(if with_store { p_same } else { 1.0 - p_same });
            let right =
                (before[read] > 0.0) == here[read].1 && (after[read] > 0.0) == there[read].1;
            let whole = after[read] - before[read];
            let right = right && whole.abs() >= 1e-3;
            effects.push(if right { (patched[read] - before[read]) / whole } else { f64::NAN });
        } else if here[read].0 != there[read].0 {
            sizes.push((patched[read] - before[read]).abs());
        }
    }
    [mean(&open), mean(&effects), mean(&sizes)]
}

impl Stage {
    /// Shifts the logit of "same", and turns all logits round if need be, so that a read whose answer changes between two
    /// sequences is answered rightly in both. Nothing where the network hardly minds.
    fn taught(&self, base: &[u32], other: &[u32], read: usize) {
        let both = || [base, other].map(|tokens| self.differences(tokens, &mut Quiet)[read]);
        let [before, after] = both();
        if (after - before).abs() < 0.02 {
            return;
        }
        if (before > after) != followed(&self.tuples(base))[read].1 {
            self.scale("unembed", -1.0);
        }
        let middle = both().iter().sum::<f64>() / 2.0;
        let var = self.params.var(self.params.find("unembed_bias").unwrap()).unwrap();
        let mut bias: Vec<f32> = var.as_tensor().to_vec1().unwrap();
        bias[2] -= middle as f32;
        let shape = bias.len();
        var.set(&Tensor::from_vec(bias, shape, &Device::Cpu).unwrap()).unwrap();
    }

    /// The first read after `from` that is answered otherwise in another sequence.
    fn changed(&self, base: &[u32], other: &[u32], from: usize) -> Option<usize> {
        let [here, there] = [base, other].map(|tokens| followed(&self.tuples(tokens)));
        (from..TUPLES).find(|read| here[*read].1 != there[*read].1)
    }
}

#[test]
fn input_gates_are_what_swapping_keys_by_hand_gives() {
    for address in [Address::Bound, Address::Tuple] {
        for order in [TokenOrder::InstructionFirst, TokenOrder::InstructionLast] {
            let stage = stage(&ReferenceBack { order, ..task() });
            let mut measurement = measurement(address);
            measurement.settings.ask = false;
            let (mut told, mut undefined) = ([0; 3], 0);
            for index in 0..MOST {
                if told.iter().all(|count| *count >= 6) {
                    break;
                }
                let row = stage.source.sequence(3, index);
                let tuple = index as usize % (TUPLES - 1);
                let mut flipped = row.tokens.clone();
                flipped[stage.tuples(&row.tokens)[tuple].instruction_at.unwrap()] ^= 1;
                if let Some(read) = stage.changed(&row.tokens, &flipped, tuple + 1) {
                    stage.taught(&row.tokens, &flipped, read);
                }
                let answer = stage.ask(&measurement, &row, &[]);
                let names = ["input_gate", "input_effect", "input_size"];
                let found = names.map(|name| line(&answer, name));
                let tuples = 0..TUPLES;
                for tuple in tuples {
                    let expected = input_gate(&stage, &row.tokens, tuple, address);
                    for (kind, expected) in expected.into_iter().enumerate() {
                        let what = format!("{} of tuple {tuple} of sequence {index}", names[kind]);
                        assert_near(found[kind][tuple], expected, &what);
                        told[kind] += usize::from(expected.is_finite());
                    }
                    undefined += usize::from(expected[0].is_nan());
                    assert!(!(found[0][tuple] < 0.0 || found[0][tuple] > 1.0));
                }
            }
            assert!(told.iter().all(|count| *count >= 6) && undefined > 0, "{told:?} {undefined}");
        }
    }
}

#[test]
fn a_tuple_that_no_read_tells_of_is_asked_in_place_of_the_next_one() {
    let stage = stage(&task());
    let mut asked_at_all = 0;
    for index in 0..8 {
        let row = stage.source.sequence(5, index);
        let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
        let (gates, asked) = (line(&answer, "input_gate"), line(&answer, "input_asked"));
        let tuples = stage.tuples(&row.tokens);
        for tuple in (0..TUPLES).filter(|i| asked[*i] > 0.5) {
            let unasked = input_gate(&stage, &row.tokens, tuple, Address::Bound);
            assert!(unasked[0].is_nan(), "tuple {tuple} of {index} was told by a read");
            let mut tokens = row.tokens.clone();
            let (this, next) = (&tuples[tuple], &tuples[tuple + 1]);
            tokens[next.instruction_at.unwrap()] =
                text(&*stage.source).token_of(TokenMeaning::Instruction(false)).unwrap();
            tokens[next.register_at] =
                text(&*stage.source).token_of(TokenMeaning::Register(this.register)).unwrap();
            tokens[next.symbol_at] =
                text(&*stage.source).token_of(TokenMeaning::Symbol(this.symbol)).unwrap();
            let [open, ..] = input_gate(&stage, &tokens, tuple, Address::Bound);
            assert_near(gates[tuple], open, &format!("tuple {tuple} of {index}"));
            asked_at_all += 1;
        }
        // The last tuple has none after it, and what is there already can be told by nobody.
        assert!(gates[TUPLES - 1].is_nan());
    }
    assert!(asked_at_all > 5, "{asked_at_all}");
}

#[test]
fn output_gates_are_what_swapping_queries_by_hand_gives() {
    let stage = stage(&task());
    let site = Site { layer: LAYER, point: Point::Q };
    let mut told = [0; 2];
    for index in 0..MOST {
        if index >= 8 && told.iter().all(|count| *count >= 3) {
            break;
        }
        let row = stage.source.sequence(4, index);
        for by in 1..3 {
            let tuple = index as usize % TUPLES;
            let mut tokens = row.tokens.clone();
            let at = stage.tuples(&tokens)[tuple].register_at;
            tokens[at] = 4 + (tokens[at] - 4 + by) % 3;
            if stage.changed(&row.tokens, &tokens, tuple) == Some(tuple) {
                stage.taught(&row.tokens, &tokens, tuple);
                break;
            }
        }
        let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
        let names = ["output_effect", "output_size", "output_other"];
        let [effects, sizes, others] = names.map(|name| line(&answer, name));
        let tuples = stage.tuples(&row.tokens);
        let here = followed(&tuples);
        let before = stage.differences(&row.tokens, &mut Quiet);
        for (read, this) in tuples.iter().enumerate() {
            let of = |by: usize| {
                let mut tokens = row.tokens.clone();
                tokens[this.register_at] = 4 + ((this.register + by) % 3) as u32;
                let there = followed(&stage.tuples(&tokens))[read];
                (tokens, there)
            };
            let telling = (1..3).map(of).find(|(_, there)| there.1 != here[read].1);
            let chosen =
                telling.or_else(|| (1..3).map(of).find(|(_, there)| there.0 != here[read].0));
            let Some((tokens, there)) = chosen else {
                assert!(others[read].is_nan() && effects[read].is_nan() && sizes[read].is_nan());
                continue;
            };
            assert_eq!(others[read] as u32 + 4, tokens[this.register_at]);
            let mut put =
                Put { site, from: stage.seen(&tokens, Point::Q), at: vec![this.symbol_at] };
            let after = stage.differences(&tokens, &mut Quiet)[read];
            let by = stage.differences(&row.tokens, &mut put)[read] - before[read];
            let right = (before[read] > 0.0) == here[read].1
                && (after > 0.0) == there.1
                && (after - before[read]).abs() >= 1e-3;
            let (mut effect, mut size) = (f64::NAN, f64::NAN);
            if there.1 == here[read].1 {
                size = by.abs();
            } else if right {
                effect = by / (after - before[read]);
            }
            assert_near(effects[read], effect, &format!("effect of read {read} of {index}"));
            assert_near(sizes[read], size, &format!("size of read {read} of {index}"));
            told[0] += usize::from(effect.is_finite());
            told[1] += usize::from(size.is_finite());
        }
    }
    assert!(told.iter().all(|count| *count >= 3), "{told:?}");
}

#[test]
fn attention_and_the_matrix_of_registers_equal_a_loop_over_patterns() {
    for address in [Address::Bound, Address::Tuple] {
        let stage = stage(&task());
        let row = stage.source.sequence(6, 0);
        let answer = stage.ask(&measurement(address), &row, &[]);
        let [found, means] = ["attention", "attention_mean"].map(|name| line(&answer, name));
        let (pattern, tuples) =
            (stage.seen(&row.tokens, Point::Pattern), stage.tuples(&row.tokens));
        for (head, pattern) in pattern.iter().enumerate() {
            for (i, read) in tuples.iter().enumerate() {
                for (j, tuple) in tuples.iter().enumerate() {
                    let address =
                        keys(address, tuple).into_iter().filter(|at| *at <= read.symbol_at);
                    let seen: Vec<f64> =
                        address.map(|at| f64::from(pattern[read.symbol_at][at])).collect();
                    let expected = if seen.is_empty() { f64::NAN } else { seen.iter().sum() };
                    let at = (head * TUPLES + i) * TUPLES + j;
                    assert_near(found[at], expected, &format!("head {head}, {i} to {j}"));
                }
            }
        }
        for (i, mean) in means.iter().enumerate() {
            let heads = [found[i], found[TUPLES * TUPLES + i]].map(f64::from);
            assert_near(*mean, f64::midpoint(heads[0], heads[1]), &format!("mean of pair {i}"));
        }
        let mut sums = [[[0.0; 3]; 3]; 3];
        for index in 0..SEQUENCES as u64 {
            let row = stage.source.sequence(held_out_seed(0), index);
            let tuples = stage.tuples(&row.tokens);
            let [pattern, scores] =
                [Point::Pattern, Point::Scores].map(|point| stage.seen(&row.tokens, point));
            let mut last_store: [Option<Tuple>; 3] = Default::default();
            for read in &tuples {
                for (register, stored) in last_store.iter().enumerate() {
                    let Some(stored) = stored else { continue };
                    let address = keys(address, stored);
                    let cell = &mut sums[read.register][register];
                    for head in 0..HEADS {
                        for key in &address {
                            cell[0] += f64::from(pattern[head][read.symbol_at][*key]) / 2.0;
                            let share = 2.0 * address.len() as f64;
                            cell[1] += f64::from(scores[head][read.symbol_at][*key]) / share;
                        }
                    }
                    cell[2] += 1.0;
                }
                if read.store == Some(true) {
                    last_store[read.register] = Some(read.clone());
                }
            }
        }
        let [attention, score, count] =
            ["role_attention", "role_score", "role_count"].map(|name| line(&answer, name));
        for (i, [a, s, n]) in sums.into_iter().flatten().enumerate() {
            assert_near(attention[i], a / n, &format!("attention of cell {i}"));
            assert_near(score[i], s / n, &format!("logit of cell {i}"));
            assert!((f64::from(count[i]) - n).abs() < 0.5 && n > 10.0, "{} reads", count[i]);
        }
    }
}

#[test]
fn what_is_said_and_held_are_those_of_the_task() {
    let stage = stage(&task());
    for index in 0..6 {
        let row = stage.source.sequence(7, index);
        let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
        let held = line(&answer, "held");
        let mut state = [f32::NAN; 3];
        for (i, tuple) in row.tokens.chunks(4).enumerate() {
            if tuple[0] == 0 {
                state[(tuple[1] - 4) as usize] = (tuple[2] - 7) as f32;
            }
            let found = &held[3 * i..3 * i + 3];
            assert_eq!(format!("{found:?}"), format!("{state:?}"), "after tuple {i}");
            assert_eq!(line(&answer, "right")[i], tuple[3] as f32);
        }
        // What the decoders read is put through the rule in the same way.
        let names = ["decoded_store", "decoded_register", "decoded_symbol", "decoded"];
        let [store, register, symbol, decoded] = names.map(|name| line(&answer, name));
        let mut state = [f32::NAN; 3];
        for i in 0..TUPLES {
            if store[i] > 0.5 {
                state[register[i] as usize] = symbol[i];
            }
            assert_eq!(format!("{:?}", &decoded[3 * i..3 * i + 3]), format!("{state:?}"));
        }
        let logits = stage.run(&row.tokens, &mut Quiet);
        for i in 0..TUPLES {
            let here = &logits[4 * i + 2];
            let sum: f64 = here.iter().map(|l| f64::from(*l).exp()).sum();
            let at = |name: &str| line(&answer, name)[i];
            assert_near(
                at("probability"),
                f64::from(here[at("predicted") as usize]).exp() / sum,
                "probability",
            );
            assert_near(
                at("right_probability"),
                f64::from(here[row.tokens[4 * i + 3] as usize]).exp() / sum,
                "right",
            );
        }
    }
}

/// Solves a system by elimination with pivots.
fn eliminated(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|x, y| a[*x][i].abs().total_cmp(&a[*y][i].abs())).unwrap();
        a.swap(i, pivot);
        b.swap(i, pivot);
        for row in (0..n).filter(|row| *row != i) {
            let factor = a[row][i] / a[i][i];
            let pivot_row = a[i].clone();
            a[row].iter_mut().zip(pivot_row).for_each(|(x, p)| *x -= factor * p);
            b[row] -= factor * b[i];
        }
    }
    (0..n).map(|i| b[i] / a[i][i]).collect()
}

fn samples(dims: usize, count: usize, classes: usize) -> Samples {
    let noise = draw(9, "features", dims * count, Init::Normal(1.0));
    let mut samples = Samples::new(dims);
    for (i, x) in noise.chunks(dims).enumerate() {
        let mut x = x.to_vec();
        let class = i * 7 % 13 % classes;
        x[class % dims] += 1.5;
        x[dims - 1] = x[0] - x[1] + 5.0;
        samples.push(&x, class);
    }
    samples
}

#[test]
fn the_decoder_is_the_solution_of_its_normal_equations() {
    let (dims, count, classes) = (6, 90, 4);
    let samples = samples(dims, count, classes);
    let found = Decoder::fit(&samples, classes).unwrap();
    let x: Vec<&[f64]> = samples.features.chunks(dims).collect();
    let mean: Vec<f64> =
        (0..dims).map(|d| x.iter().map(|x| x[d]).sum::<f64>() / count as f64).collect();
    let squares: f64 =
        x.iter().flat_map(|x| x.iter().zip(&mean)).map(|(x, m)| (x - m).powi(2)).sum();
    let penalty = 1e-3 * squares / dims as f64;
    // Unknowns: the weights, then a constant that is not penalised; features are not centred.
    let with_one = |i: usize, d: usize| if d < dims { x[i][d] } else { 1.0 };
    for class in 0..classes {
        let mut a = vec![vec![0.0; dims + 1]; dims + 1];
        let mut b = vec![0.0; dims + 1];
        for i in 0..count {
            for (d, row) in a.iter_mut().enumerate() {
                for (e, cell) in row.iter_mut().enumerate() {
                    *cell += with_one(i, d) * with_one(i, e);
                }
                b[d] += with_one(i, d) * f64::from(u8::from(samples.classes[i] == class));
            }
        }
        (0..dims).for_each(|d| a[d][d] += penalty);
        let solved = eliminated(a, b);
        for (d, (found, solved)) in found.weights[class].iter().zip(&solved).enumerate() {
            assert!((found - solved).abs() < 1e-9, "class {class}, {d}");
        }
        let constant = found.shares[class]
            - found.weights[class].iter().zip(&mean).map(|(w, m)| w * m).sum::<f64>();
        assert!((constant - solved[dims]).abs() < 1e-8, "{constant} instead of {}", solved[dims]);
    }
    assert!(found.accuracy(&samples) > 0.7, "{}", found.accuracy(&samples));
}

#[test]
fn a_decoder_of_shuffled_classes_or_of_nothing_is_no_better_than_luck() {
    let samples = samples(8, 4000, 5);
    let mut unseen = samples.clone();
    unseen.features.truncate(2000 * 8);
    unseen.classes.truncate(2000);
    let [fitted, shuffled] = Decoder::fit_beside_shuffled(&samples, 5).unwrap();
    assert!(fitted.accuracy(&unseen) > 0.6);
    let most = |samples: &Samples| {
        let count = |c: usize| samples.classes.iter().filter(|class| **class == c).count();
        (0..5).map(count).max().unwrap() as f64 / samples.classes.len() as f64
    };
    let luck = shuffled.accuracy(&unseen);
    assert!(luck < most(&unseen) + 0.1, "{luck}, the most frequent class is {}", most(&unseen));
    // Features that never change say nothing: the most frequent class is read.
    let mut empty = samples.clone();
    empty.features.fill(3.0);
    let decoder = Decoder::fit(&empty, 5).unwrap();
    assert!(decoder.weights.iter().flatten().all(|w| w.abs() < 1e-9));
    assert!((decoder.accuracy(&empty) - most(&empty)).abs() < 1e-12);
    let mut broken = samples;
    broken.features[3] = f64::NAN;
    assert!(Decoder::fit(&broken, 5).unwrap_err().message.contains("diverged"));
}

#[test]
fn accuracies_are_of_sequences_that_were_not_fitted_on_and_fall_to_luck_where_nothing_is_written() {
    let stage = stage(&task());
    let row = stage.source.sequence(8, 0);
    let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
    // The value at a symbol is a linear image of its embedding, also in an untrained network; luck is one in five.
    assert!(number(&answer, "symbol_accuracy") > 0.9);
    assert!(number(&answer, "symbol_shuffled") < 0.5);
    for name in ["layer1.wk", "layer1.wv"] {
        stage.scale(name, 0.0);
    }
    let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
    let tuples = |from: u64| {
        let rows =
            (from..from + SEQUENCES as u64 / 2).map(|i| stage.source.sequence(held_out_seed(0), i));
        rows.flat_map(|row| stage.tuples(&row.tokens)).collect::<Vec<_>>()
    };
    let (fitted, tried) = (tuples(0), tuples(SEQUENCES as u64 / 2));
    let share = |all: &[Tuple], symbol: usize| {
        all.iter().filter(|t| t.symbol == symbol).count() as f64 / all.len() as f64
    };
    let guess =
        (0..5).rev().max_by(|a, b| share(&fitted, *a).total_cmp(&share(&fitted, *b))).unwrap();
    assert_eq!(number(&answer, "symbol_accuracy"), share(&tried, guess));
}

#[test]
fn what_is_in_force_holds_for_counterfactual_passes_too() {
    let stage = stage(&task());
    let zero = Edit::all(Site { layer: LAYER, point: Point::Pattern }, With::Zero);
    let mut measurement = measurement(Address::Bound);
    let mut seen = 0;
    for index in 0..40 {
        let row = stage.source.sequence(9, index);
        measurement.under(std::slice::from_ref(&zero));
        let answer = stage.ask(&measurement, &row, std::slice::from_ref(&zero));
        let effects = [line(&answer, "input_effect"), line(&answer, "output_effect")].concat();
        let sizes = [line(&answer, "input_size"), line(&answer, "output_size")].concat();
        // Nobody looks at keys: whatever they are, nothing changes.
        assert!(effects.iter().chain(&sizes).all(|e| e.is_nan() || *e == 0.0));
        seen += sizes.iter().filter(|size| size.is_finite()).count();
        assert!(line(&answer, "role_attention").iter().all(|a| *a == 0.0));
    }
    assert!(seen > 10);
}

#[test]
fn a_text_of_ones_own_may_lack_what_a_sequence_has() {
    let stage = stage(&task());
    let like = stage.source.sequence(1, 0);
    // A whole tuple, words that are none, and a tuple without an answer.
    let row = stage.source.label(&[0, 4, 7, 3, 9, 9, 1, 4, 7], &like);
    let answer = stage.ask(&measurement(Address::Bound), &row, &[]);
    assert_eq!(line(&answer, "symbol_at"), [2.0, 8.0]);
    assert!(line(&answer, "answer_at")[1].is_nan());
    assert!(line(&answer, "input_gate")[0].is_finite() && line(&answer, "input_gate")[1].is_nan());
    let row = stage.source.label(&[9, 9], &like);
    let batch = Batch::from_rows(std::slice::from_ref(&row));
    let captured = mnemoscope::nn::tap::Captured::new();
    let scene = Scene {
        subject: stage.subject(),
        batch: &batch,
        first: 0,
        logits: None,
        captured: &captured,
    };
    let refused = measurement(Address::Bound).measure(&scene).unwrap_err();
    assert!(refused.message.contains("no whole tuple"), "{refused}");
}

#[test]
fn a_task_without_tuples_is_refused_in_a_sentence() {
    let mut stage = stage(&task());
    assert!(Gating::default().applies(stage.subject()).is_ok());
    let mut deeper = Gating::default();
    deeper.settings.before_last = 2;
    assert!(deeper.applies(stage.subject()).unwrap_err().message.contains("has 2 of them"));
    stage.source = Bigram::default().open().unwrap();
    let refused = Gating::default().applies(stage.subject()).unwrap_err();
    assert!(refused.message.contains("experiment \"gating\""), "{refused}");
}

#[test]
fn tokens_of_what_is_said_are_those_of_the_vocabulary() {
    let source = task().open().unwrap();
    let tuples = text(&*source);
    let text = |said: TokenMeaning| {
        tuples.token_of(said).map(|token| source.vocab().text(token).to_owned())
    };
    let word = |text: &str| Some(text.to_owned());
    assert_eq!(text(TokenMeaning::Instruction(true)), word("Store"));
    assert_eq!(text(TokenMeaning::Instruction(false)), word("Ignore"));
    assert_eq!(text(TokenMeaning::Answer(true)), word("same"));
    assert_eq!(text(TokenMeaning::Answer(false)), word("different"));
    assert_eq!(text(TokenMeaning::Register(2)), word("Reg2"));
    assert_eq!(text(TokenMeaning::Register(3)), None);
    assert_eq!(text(TokenMeaning::Symbol(4)), word("Sym4"));
    assert_eq!(text(TokenMeaning::Symbol(5)), None);
}
