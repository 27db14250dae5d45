//! The seven tests of gating, asked of a network that gates by construction and of networks that do not.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::Batch;
use mnemoscope::base::error::Result;
use mnemoscope::base::intervention::Point;
use mnemoscope::base::registry::find;
use mnemoscope::base::settings::set;
use mnemoscope::measurement::gates::Gates;
use mnemoscope::measurement::{Measurement, Scene, Subject};
use mnemoscope::model::{self, Input, Layout, Model, Output, Sequences};
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::{Captured, Tap, through};
use mnemoscope::task::reference_back::ReferenceBack;
use mnemoscope::task::{Source, Task};

const REGISTERS: usize = 2;
const SAME: usize = 2;
const DIFFERENT: usize = 3;

/// What is broken in a network of [`Gated`].
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Whether a tuple stores is ignored: its key always opens.
    OpenInput,
    /// The query reads from the first register, whatever it names.
    FixedQuery,
    /// The instruction is carried by the values, not by the keys.
    GateInValues,
}

/// Registers by construction: the key of a tuple that stores is its register, the query of a read is its register,
/// the value is the symbol, and the newest match wins.
struct Gated {
    layout: Layout,
    fault: Fault,
}

impl Gated {
    fn new(source: &dyn Source, fault: Fault) -> Self {
        let (vocab, length) = (source.vocab().len(), source.length());
        Self { layout: Layout { kind: "gated", heads: vec![1, 1], width: 8, vocab, length }, fault }
    }

    /// Query, key and value of a position.
    fn of(&self, tokens: &[u32], at: usize) -> [Vec<f32>; 3] {
        let symbols = self.layout.vocab - 4 - REGISTERS;
        let mut query = vec![0.0; REGISTERS + 1];
        let mut key = vec![0.0; REGISTERS + 1];
        let mut value = vec![0.0; symbols];
        query[REGISTERS] = 100.0;
        if at == 0 {
            // What is read where nothing matches.
            key[REGISTERS] = 0.5;
        }
        if at % 4 == 2 {
            let (store, register) = (tokens[at - 2] == 0, tokens[at - 1] as usize - 4);
            let symbol = tokens[at] as usize - 4 - REGISTERS;
            query[if self.fault == Fault::FixedQuery { 0 } else { register }] = 100.0;
            let opens = store || matches!(self.fault, Fault::OpenInput | Fault::GateInValues);
            key[register] = f32::from(u8::from(opens));
            key[REGISTERS] = if opens { at as f32 * 1e-2 } else { 0.0 };
            let holds = store || self.fault != Fault::GateInValues;
            value[symbol] = f32::from(u8::from(holds));
        }
        [query, key, value]
    }
}

impl Model for Gated {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn forward(&self, _params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let rows = input.tokens.to_vec2::<u32>()?;
        let length = rows[0].len();
        let mut all: [Vec<f32>; 3] = Default::default();
        for tokens in &rows {
            for at in 0..length {
                for (all, one) in all.iter_mut().zip(self.of(tokens, at)) {
                    all.extend(one);
                }
            }
        }
        let tensor = |numbers: &Vec<f32>| {
            let dim = numbers.len() / rows.len() / length;
            Tensor::from_slice(numbers, (rows.len(), 1, length, dim), &Device::Cpu)
        };
        let q = through(tap, 1, Point::Q, tensor(&all[0])?)?;
        let k = through(tap, 1, Point::K, tensor(&all[1])?)?;
        let v = through(tap, 1, Point::V, tensor(&all[2])?)?;
        let scores = q.matmul(&k.t()?.contiguous()?)?;
        // A tuple does not read what it stores itself; the first position has nothing else.
        let mask: Vec<f32> = (0..length * length)
            .map(|i| (i / length, i % length))
            .map(|(q, k)| if k < q || q == 0 && k == 0 { 0.0 } else { f32::NEG_INFINITY })
            .collect();
        let mask = Tensor::from_vec(mask, (length, length), &Device::Cpu)?;
        let scores = scores.broadcast_add(&mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(3)?)?.exp()?;
        let pattern = weights.broadcast_div(&weights.sum_keepdim(3)?)?;
        let read: Vec<Vec<Vec<f32>>> = pattern.matmul(&v)?.squeeze(1)?.to_vec3()?;
        let vocab = self.layout.vocab;
        let mut logits = vec![0f32; rows.len() * length * vocab];
        for (r, tokens) in rows.iter().enumerate() {
            for at in (2..length).step_by(4) {
                let own = tokens[at] as usize - 4 - REGISTERS;
                let place = (r * length + at) * vocab;
                logits[place + SAME] = 10.0 * read[r][at][own];
                logits[place + DIFFERENT] = 5.0;
            }
        }
        let logits = Tensor::from_vec(logits, (rows.len(), length, vocab), &Device::Cpu)?;
        Ok(Output { logits, state: None, beside: None })
    }
}

fn source() -> Arc<dyn Source> {
    ReferenceBack::default().open().unwrap()
}

fn asked(model: &dyn Model, params: &Params, source: &dyn Source) -> Vec<(String, f64)> {
    let measurement = Gates::default();
    let subject = Subject { model, params, source };
    measurement.applies(subject).unwrap();
    let (batch, captured) = (Batch::default(), Captured::new());
    let scene = Scene { subject, batch: &batch, first: 0, logits: None, captured: &captured };
    let means = measurement.measure(&scene).unwrap().means;
    let names: Vec<&str> = means.iter().map(|m| &*m.name).collect();
    assert_eq!(names, measurement.columns(subject));
    means.into_iter().map(|m| (m.name, m.sum / m.count)).collect()
}

#[track_caller]
fn check(found: &[(String, f64)], expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let value = found.iter().find(|(n, _)| n == name).unwrap().1;
        assert!((value - expected).abs() < 1e-3, "{name}: {value}, expected {expected}\n{found:?}");
    }
}

fn of_gated(fault: Fault) -> Vec<(String, f64)> {
    let source = source();
    asked(&Gated::new(&*source, fault), &Params::new(0), &*source)
}

#[test]
fn a_network_that_gates_by_construction_passes_all_seven() {
    check(
        &of_gated(Fault::None),
        &[
            ("input_gate", 1.0),
            ("output_gate", 1.0),
            ("role_addressability", 1.0),
            ("gate_dissociation_input", 1.0),
            ("gate_dissociation_output", 1.0),
            ("content_values", 1.0),
            ("content_keys_queries", 0.0),
            ("gate_null", 0.0),
            ("gate_specificity", 0.0),
            ("input_gate_tuple", 1.0),
            ("gate_pairs", 1.0),
        ],
    );
}

#[test]
fn where_values_carry_the_instruction_keys_are_no_input_gate() {
    // An Ignore empties its register there, so that few pairs are right in both runs; those that are tell.
    let found = of_gated(Fault::GateInValues);
    let value = |name: &str| found.iter().find(|(n, _)| n == name).unwrap().1;
    assert!(value("input_gate").is_nan() || value("input_gate").abs() < 1e-3, "{found:?}");
    assert!(value("gate_null") > 0.4 || value("gate_null").is_nan(), "{found:?}");
    check(&found, &[("content_values", 1.0)]);
}

#[test]
fn pairs_that_a_network_gets_wrong_do_not_count() {
    for fault in [Fault::OpenInput, Fault::FixedQuery] {
        let found = of_gated(fault);
        let pairs = found.iter().find(|(n, _)| n == "gate_pairs").unwrap().1;
        assert!(pairs < 0.9, "{found:?}");
    }
    // What was stored last is read whether it was to be stored or not: denying it changes nothing.
    let open = of_gated(Fault::OpenInput);
    let input = open.iter().find(|(n, _)| n == "input_gate").unwrap().1;
    assert!(input.is_nan(), "{open:?}");
}

#[test]
fn gates_are_asked_of_tasks_with_registers_alone() {
    let measurement = Gates::default();
    let bigram = find("task", mnemoscope::task::ALL, "bigram").unwrap().open().unwrap();
    let mut params = Params::new(0);
    let decoder = find("model", model::ALL, "decoder").unwrap();
    let network = decoder
        .build(Sequences::of_tokens(bigram.vocab().len(), bigram.length()), &mut params)
        .unwrap();
    let subject = Subject { model: &*network, params: &params, source: &*bigram };
    assert!(measurement.applies(subject).unwrap_err().message.contains("reference_back"));
    let source = source();
    let gated = Gated::new(&*source, Fault::None);
    let subject = Subject { model: &gated, params: &params, source: &*source };
    let mut deep = Gates::default();
    set(&mut deep, "gates.", "layer", &toml::Value::Integer(3)).unwrap();
    assert!(deep.applies(subject).unwrap_err().message.contains("this network has 2"));
    set(&mut deep, "gates.", "layer", &toml::Value::Integer(2)).unwrap();
    deep.applies(subject).unwrap();
}

#[test]
fn an_untrained_network_has_no_gates() {
    let source = source();
    let mut params = Params::new(5);
    let mut decoder = find("model", model::ALL, "decoder").unwrap();
    for (name, value) in [("width", 32), ("heads", 2)] {
        set(&mut *decoder, "model.", name, &toml::Value::Integer(value)).unwrap();
    }
    let network = decoder
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
        .unwrap();
    let found = asked(&*network, &params.watched().unwrap(), &*source);
    let pairs = found.iter().find(|(n, _)| n == "gate_pairs").unwrap().1;
    assert!(pairs < 0.5, "{found:?}");
}
