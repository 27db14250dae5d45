//! A network of GPT-2 small's size in files of another program, with random numbers: opened, passed with every place kept, and patched.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use half::f16;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::pair::Pair;
use crate::base::question::MeasurementCall;
use crate::base::weights::Dtype;
use crate::export::run_at::{Question, RunAt};
use crate::formats::safetensors::{Place, header};
use crate::measurement::causal::patching::{By, Family, Plan};
use crate::measurement::causal::{Pairs, Stage};
use crate::nn::params::{Init, draw};

use super::scratch::Scratch;
use super::{How, Kind, Measured, Workload};

pub const OPEN: Workload = Workload {
    name: "gpt2/open",
    about: "a network of GPT-2 small's size is opened and answers with the patterns of all heads over 64 tokens",
    kind: Kind::Whole(open),
};

pub const PASS_64: Workload = Workload {
    name: "gpt2/64",
    about: "one pass of it over 64 tokens that keeps q, k, v, patterns and residuals of all layers; logits of the last position",
    kind: Kind::Whole(|how| pass(how, "gpt2/64", 64)),
};

pub const PASS_256: Workload = Workload {
    name: "gpt2/256",
    about: "the same over 256 tokens",
    kind: Kind::Whole(|how| pass(how, "gpt2/256", 256)),
};

pub const PASS_1024: Workload = Workload {
    name: "gpt2/1024",
    about: "the same over 1024 tokens",
    kind: Kind::Whole(|how| pass(how, "gpt2/1024", 1024)),
};

pub const OVERVIEW: Workload = Workload {
    name: "gpt2/overview",
    about: "thumbnails of all its heads over 1024 tokens",
    kind: Kind::Whole(overview),
};

pub const PATCHING: Workload = Workload {
    name: "gpt2/patching",
    about: "activation patching of its residual stream, all layers and positions: 8 pairs of 15 tokens that differ at position 9",
    kind: Kind::Whole(patching),
};

pub const FOCUS: Workload = Workload {
    name: "gpt2/focus",
    about: "the pattern of another head, whole, after the thumbnails of all",
    kind: Kind::Whole(focus),
};

pub const SERIES: Workload = Workload {
    name: "pythia/scrub",
    about: "patterns of all heads over 64 tokens at another step of a series of networks of Pythia 70M's size, in half precision",
    kind: Kind::Whole(series),
};

const LAYERS: usize = 12;
const HEADS: i64 = 12;
const WIDTH: usize = 768;
const VOCAB: usize = 50_257;
const LENGTH: usize = 1024;

const CONFIG: &str = r#"{"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257,
 "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true}"#;

/// What a pass keeps of each layer.
const KEPT: [Point; 5] = [Point::Q, Point::K, Point::V, Point::Pattern, Point::ResidPost];

/// A tensor of a file: its name and its shape.
type Named = (String, Vec<usize>);

/// Writes a network of GPT-2 small's size into a folder.
pub fn write(scratch: &Scratch) -> Result<PathBuf> {
    let folder = scratch.path().join("gpt2");
    write_network(&folder, CONFIG, &gpt2(), Dtype::F32, "gpt2")?;
    Ok(folder)
}

/// Writes a network of random numbers, drawn from a seed of its name; they are `f32` or `f16`.
fn write_network(
    folder: &Path,
    config: &str,
    tensors: &[Named],
    dtype: Dtype,
    seed: &str,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config.json"), config)?;
    let mut file = BufWriter::new(File::create(folder.join("model.safetensors"))?);
    file.write_all(&header(&places(tensors, dtype), &[]))?;
    for (name, shape) in tensors {
        let is_norm = name.contains("ln_") || name.contains("norm");
        let init = match name.ends_with("weight") {
            true if is_norm => Init::Ones,
            true => Init::Uniform(0.035),
            false => Init::Zeros,
        };
        for x in draw(1, &format!("{seed} {name}"), shape.iter().product(), init) {
            match dtype {
                Dtype::F16 => file.write_all(&f16::from_f32(x).to_le_bytes())?,
                Dtype::F32 | Dtype::F64 | Dtype::Bf16 => file.write_all(&x.to_le_bytes())?,
            }
        }
    }
    Ok(file.flush()?)
}

/// Where tensors lie in a file, one after the other.
fn places(tensors: &[Named], dtype: Dtype) -> Vec<Place> {
    let mut at = 0;
    let place = |(name, shape): &Named| {
        let from = at;
        at += (dtype.bytes() * shape.iter().product::<usize>()) as u64;
        Place { name: name.clone(), shape: shape.clone(), dtype: Some(dtype), from, to: at }
    };
    tensors.iter().map(place).collect()
}

fn norm(name: &str, width: usize) -> [Named; 2] {
    ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width]))
}

/// A matrix of that shape, and a bias of `outputs`.
fn map(name: &str, shape: [usize; 2], outputs: usize) -> [Named; 2] {
    [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![outputs])]
}

fn gpt2() -> Vec<Named> {
    let mut tensors = vec![
        ("wte.weight".to_owned(), vec![VOCAB, WIDTH]),
        ("wpe.weight".to_owned(), vec![LENGTH, WIDTH]),
    ];
    for layer in 0..LAYERS {
        let of = |part: &str| format!("h.{layer}.{part}");
        tensors.extend(norm(&of("ln_1"), WIDTH));
        tensors.extend(map(&of("attn.c_attn"), [WIDTH, 3 * WIDTH], 3 * WIDTH));
        tensors.extend(map(&of("attn.c_proj"), [WIDTH, WIDTH], WIDTH));
        tensors.extend(norm(&of("ln_2"), WIDTH));
        tensors.extend(map(&of("mlp.c_fc"), [WIDTH, 4 * WIDTH], 4 * WIDTH));
        tensors.extend(map(&of("mlp.c_proj"), [4 * WIDTH, WIDTH], WIDTH));
    }
    tensors.extend(norm("ln_f", WIDTH));
    tensors
}

/// Of Pythia 70M's size.
fn pythia() -> Vec<Named> {
    const WIDTH: usize = 512;
    const VOCAB: usize = 50_304;
    let table = |name: &str| (name.to_owned(), vec![VOCAB, WIDTH]);
    let mut tensors = vec![table("gpt_neox.embed_in.weight")];
    for layer in 0..6 {
        let of = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
        tensors.extend(norm(&of("input_layernorm"), WIDTH));
        tensors.extend(norm(&of("post_attention_layernorm"), WIDTH));
        tensors.extend(map(&of("attention.query_key_value"), [3 * WIDTH, WIDTH], 3 * WIDTH));
        tensors.extend(map(&of("attention.dense"), [WIDTH, WIDTH], WIDTH));
        tensors.extend(map(&of("mlp.dense_h_to_4h"), [4 * WIDTH, WIDTH], 4 * WIDTH));
        tensors.extend(map(&of("mlp.dense_4h_to_h"), [WIDTH, 4 * WIDTH], WIDTH));
    }
    tensors.extend(norm("gpt_neox.final_layer_norm", WIDTH));
    tensors.push(table("embed_out.weight"));
    tensors
}

const PYTHIA: &str = r#"{"model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048,
 "max_position_embeddings": 2048, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_pct": 0.25, "rotary_emb_base": 10000, "vocab_size": 50304,
 "use_parallel_residual": true, "tie_word_embeddings": false, "torch_dtype": "float16"}"#;

/// Steps of the series.
const STEPS: u64 = 4;

fn series(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let folder = scratch.path().join("pythia");
    for step in 0..STEPS {
        let place = folder.join(format!("step{step}"));
        write_network(&place, PYTHIA, &pythia(), Dtype::F16, &format!("step {step}"))?;
    }
    let mut run = asked(&folder, 64)?;
    let call = MeasurementCall::new("attention");
    let mut step = 0;
    let measured = timed(how, "pythia/scrub", || {
        step = (step + 1) % STEPS;
        let ids = Some(tokens(64));
        run.turn_to(&Question { step: Some(step), ids, ..Question::default() })?;
        answered(&mut run, &call)
    })?;
    Ok(vec![with_peak(measured)])
}

/// Tokens that are the same each time.
pub fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|i| convert::id(i * 7919 % VOCAB)).collect()
}

fn asked(folder: &Path, count: usize) -> Result<RunAt> {
    RunAt::open(folder, &Question { ids: Some(tokens(count)), ..Question::default() })
}

fn open(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let folder = write(&scratch)?;
    let mut samples = Vec::new();
    let begun = Instant::now();
    while samples.len() < 3 || begun.elapsed() < how.time {
        let opened = Instant::now();
        answered(&mut asked(&folder, 64)?, &MeasurementCall::new("attention"))?;
        samples.push(opened.elapsed().as_secs_f64());
    }
    Ok(vec![with_peak(Measured::new("gpt2/open", samples))])
}

fn answered(run: &mut RunAt, call: &MeasurementCall) -> Result<()> {
    let readings = run.ask(std::slice::from_ref(call))?;
    let answer = readings.by_call.get(&call.key());
    answer.and_then(|answer| answer.as_ref().err()).map_or(Ok(()), |e| Err(e.clone()))
}

fn pass(how: &How, name: &str, count: usize) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut run = asked(&write(&scratch)?, count)?;
    let sites = (0..LAYERS).flat_map(|layer| KEPT.map(|point| Site { layer, point }));
    let sites: Vec<Site> = sites.collect();
    let (weights, prompt) = (run.weights.clone(), run.prompt.clone());
    let mut measured =
        timed(how, name, || match run.instrument.pass(&weights, &prompt, &sites)? {
            kept if kept == sites.len() => Ok(()),
            _ => Err(Error::internal("a place of the pass was not kept")),
        })?;
    measured.tokens = Some(count as f64);
    Ok(vec![with_peak(measured)])
}

fn overview(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut run = asked(&write(&scratch)?, LENGTH)?;
    let glance = MeasurementCall::new("attention").with("whole", "none");
    let measured = timed(how, "gpt2/overview", || {
        run.forget();
        answered(&mut run, &glance)
    })?;
    Ok(vec![with_peak(measured)])
}

fn focus(how: &How) -> Result<Vec<Measured>> {
    let scratch = Scratch::new()?;
    let mut run = asked(&write(&scratch)?, LENGTH)?;
    answered(&mut run, &MeasurementCall::new("attention").with("whole", "none"))?;
    let (mut at, heads) = (0, HEADS * HEADS);
    let measured = timed(how, "gpt2/focus", || {
        // Another head each time, of another layer.
        at = (at + HEADS + 5) % heads;
        let call = MeasurementCall::new("attention").with("whole", "one head");
        answered(&mut run, &call.with("layer", at / HEADS).with("head", at % HEADS))
    })?;
    Ok(vec![with_peak(measured)])
}

fn patching(how: &How) -> Result<Vec<Measured>> {
    const COUNT: usize = 15;
    let scratch = Scratch::new()?;
    let mut run = asked(&write(&scratch)?, COUNT)?;
    let source = run.instrument.source().clone();
    let row = |at: usize, other: usize| {
        let mut tokens: Vec<u32> =
            (0..COUNT).map(|i| convert::id((at * COUNT + i) * 7919 % VOCAB)).collect();
        tokens[9] = convert::id((tokens[9] as usize + other) % VOCAB);
        Row::clone(&source.label(&tokens, &Row::default()))
    };
    let (at, answers, places) = (COUNT - 1, [10, 20], Vec::new());
    let pair = |i| Pair { base: row(i, 0), other: row(i, 1), at, answers, places: places.clone() };
    let pairs = Pairs::new((0..8).map(pair).collect())?;
    let (subject, pool) = run.instrument.subject(&run.weights)?;
    let resid_pre = Family { point: Point::ResidPre, by: By::Position };
    let measured = timed(how, "gpt2/patching", || {
        let stage = Stage::new(subject, &pairs)?;
        Plan::new(&stage, resid_pre)?.run(pool, |_| (), &mut |_, _| true)
    })?;
    Ok(vec![with_peak(measured)])
}

/// Samples of some work, with the processor time of the least one.
fn timed(how: &How, name: &str, mut work: impl FnMut() -> Result<()>) -> Result<Measured> {
    work()?;
    let (mut samples, mut least) = (Vec::new(), f64::INFINITY);
    let begun = Instant::now();
    while samples.len() < 3 || begun.elapsed() < how.time {
        let (call, before) = (Instant::now(), processor_time());
        work()?;
        samples.push(call.elapsed().as_secs_f64());
        least = least.min(processor_time() - before);
    }
    let mut measured = Measured::new(name, samples);
    measured.others.push(("cpu_s", least));
    Ok(measured)
}

/// Of all threads of the program, in seconds.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// With the most memory that the program has occupied, where the system tells it.
fn with_peak(mut measured: Measured) -> Measured {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    measured.others.extend(kilobytes.map(|kb| ("peak_mb", kb / 1024.0)));
    measured
}
