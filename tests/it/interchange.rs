//! Weights in the formats of other libraries, each read by a forward pass in double precision that is written from that
//! library's own conventions, and compared with ours.

use std::collections::BTreeMap;

use mnemoscope::base::settings::names;
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::model::anatomy::Anatomy;
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::run::interchange::{self, WeightFormat, Written, written};
use mnemoscope::run::trainer::Trainer;
use serde_json::{Value, json};

use crate::models::{Variation, defaults, ids, logits, tokens, variations};
use crate::tiny;

const LENGTH: usize = 12;

/// `[pos][number]`
type Rows = Vec<Vec<f64>>;

const LIBRARIES: [WeightFormat; 3] =
    [WeightFormat::TransformerLens, WeightFormat::Hooked, WeightFormat::Gpt2];

/// A network of another library: its settings, its tensors by name, and how that library reads them.
struct Foreign<'a> {
    format: WeightFormat,
    config: &'a serde_json::Map<String, Value>,
    tensors: BTreeMap<&'a str, &'a NamedTensor>,
}

impl<'a> Foreign<'a> {
    fn new(format: WeightFormat, written: &'a Written) -> Self {
        let tensors: BTreeMap<_, _> = written.tensors.iter().map(|t| (&*t.name, t)).collect();
        assert_eq!(tensors.len(), written.tensors.len(), "a name is there twice");
        Self { format, config: &written.config, tensors }
    }

    fn number(&self, names: [&str; 2]) -> usize {
        let name = if self.format == WeightFormat::Gpt2 { names[1] } else { names[0] };
        usize::try_from(self.config[name].as_u64().unwrap()).unwrap()
    }

    fn says(&self, name: &str) -> bool {
        self.config.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// A number of a tensor by its indices.
    fn at(&self, name: &str, index: &[usize]) -> f64 {
        let tensor = self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name}"));
        assert_eq!(index.len(), tensor.shape.len(), "{name}");
        let flat = index.iter().zip(&tensor.shape).fold(0, |flat, (i, n)| {
            assert!(i < n, "{name}: {index:?} in {:?}", tensor.shape);
            flat * n + i
        });
        f64::from(tensor.data[flat])
    }

    fn heads(&self) -> (usize, usize) {
        let heads = self.number(["n_heads", "n_head"]);
        let width = self.number(["d_model", "n_embd"]);
        let dim = if self.format == WeightFormat::Gpt2 {
            width / heads
        } else {
            self.number(["d_head"; 2])
        };
        (heads, dim)
    }

    /// One output of a map of layer `l`, as the library writes the product: part is `q`, `k`, `v`, `o`, `in`, `out`, `gate`.
    fn map(&self, l: usize, part: &str, x: &[f64], out: usize) -> f64 {
        let (_, dim) = self.heads();
        let sum = |weight: &dyn Fn(usize) -> f64| -> f64 {
            x.iter().enumerate().map(|(i, x)| x * weight(i)).sum()
        };
        let inside = if "qkvo".contains(part) { "attn" } else { "mlp" };
        match self.format {
            WeightFormat::TransformerLens => {
                let name = format!("blocks.{l}.{inside}.{part}");
                let bias = format!("{name}.bias");
                let has_bias = self.tensors.contains_key(&*bias);
                let bias = if has_bias { self.at(&bias, &[out]) } else { 0.0 };
                sum(&|i| self.at(&format!("{name}.weight"), &[out, i])) + bias
            }
            WeightFormat::Hooked => {
                let letter = part.to_uppercase();
                let name = |kind: &str| match part {
                    "q" | "k" | "v" | "o" => format!("blocks.{l}.attn.{kind}_{letter}"),
                    _ => format!("blocks.{l}.mlp.{kind}_{part}"),
                };
                match part {
                    "q" | "k" | "v" => {
                        let (head, e) = (out / dim, out % dim);
                        sum(&|i| self.at(&name("W"), &[head, i, e]))
                            + self.at(&name("b"), &[head, e])
                    }
                    "o" => {
                        sum(&|i| self.at(&name("W"), &[i / dim, i % dim, out]))
                            + self.at(&name("b"), &[out])
                    }
                    "gate" => sum(&|i| self.at(&name("W"), &[i, out])),
                    _ => sum(&|i| self.at(&name("W"), &[i, out])) + self.at(&name("b"), &[out]),
                }
            }
            WeightFormat::Gpt2 => {
                let width = self.number(["d_model", "n_embd"]);
                let (name, column) = match part {
                    "q" | "k" | "v" => ("attn.c_attn", out + width * "qkv".find(part).unwrap()),
                    "o" => ("attn.c_proj", out),
                    "in" => ("mlp.c_fc", out),
                    _ => ("mlp.c_proj", out),
                };
                let name = format!("transformer.h.{l}.{name}");
                sum(&|i| self.at(&format!("{name}.weight"), &[i, column]))
                    + self.at(&format!("{name}.bias"), &[column])
            }
            WeightFormat::Safetensors => panic!("no library"),
        }
    }

    fn mapped(&self, l: usize, part: &str, x: &Rows, outputs: usize) -> Rows {
        x.iter().map(|x| (0..outputs).map(|out| self.map(l, part, x, out)).collect()).collect()
    }

    /// A norm by the name of its place: `ln1` and `ln2` of a layer, or the last.
    fn norm(&self, place: &str, l: usize, x: &Rows) -> Rows {
        let (name, [w, b]) = match (self.format, place) {
            (WeightFormat::Hooked, "last") => ("ln_final".to_owned(), ["w", "b"]),
            (WeightFormat::Hooked, _) => (format!("blocks.{l}.{place}"), ["w", "b"]),
            (WeightFormat::Gpt2, "last") => ("transformer.ln_f".to_owned(), ["weight", "bias"]),
            (WeightFormat::Gpt2, _) => {
                (format!("transformer.h.{l}.{}", place.replace("ln", "ln_")), ["weight", "bias"])
            }
            (_, "last") => ("ln_final".to_owned(), ["weight", "bias"]),
            _ => (format!("blocks.{l}.{place}"), ["weight", "bias"]),
        };
        let (w, b) = (format!("{name}.{w}"), format!("{name}.{b}"));
        let kind = self.config.get("normalization_type").unwrap_or(&json!("LN")).clone();
        if kind.is_null() {
            assert!(!self.tensors.contains_key(&*w), "no norm has parameters");
            return x.clone();
        }
        let epsilon = if self.format == WeightFormat::Gpt2 { "layer_norm_epsilon" } else { "eps" };
        let epsilon = self.config[epsilon].as_f64().unwrap();
        let row = |x: &Vec<f64>| -> Vec<f64> {
            let n = x.len() as f64;
            let mean = if kind == "LN" { x.iter().sum::<f64>() / n } else { 0.0 };
            let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let normed = x.iter().map(|x| (x - mean) / (square + epsilon).sqrt()).enumerate();
            let bias = |i| if kind == "LN" { self.at(&b, &[i]) } else { 0.0 };
            normed.map(|(i, x)| x * self.at(&w, &[i]) + bias(i)).collect()
        };
        x.iter().map(row).collect()
    }

    fn embedded(&self, tokens: &[u32]) -> Rows {
        let [token, position] = match self.format {
            WeightFormat::Hooked => ["embed.W_E", "pos_embed.W_pos"],
            WeightFormat::Gpt2 => ["transformer.wte.weight", "transformer.wpe.weight"],
            WeightFormat::TransformerLens | WeightFormat::Safetensors => {
                ["embed.weight", "pos_embed.weight"]
            }
        };
        let width = self.number(["d_model", "n_embd"]);
        let row = |(place, id): (usize, &u32)| {
            let at = |i| self.at(token, &[*id as usize, i]);
            let from = |i| if self.is_rotary() { 0.0 } else { self.at(position, &[place, i]) };
            (0..width).map(|i| at(i) + from(i)).collect()
        };
        tokens.iter().enumerate().map(row).collect()
    }

    fn is_rotary(&self) -> bool {
        self.config.get("positional_embedding_type").is_some_and(|p| p == "rotary")
    }

    fn logits(&self, x: &Rows) -> Vec<f64> {
        let vocab = self.number(["d_vocab", "vocab_size"]);
        let one = |x: &Vec<f64>, out: usize| -> f64 {
            let product = |name: &str, by_row: bool| -> f64 {
                let weight = |i| self.at(name, &if by_row { [out, i] } else { [i, out] });
                x.iter().enumerate().map(|(i, x)| x * weight(i)).sum()
            };
            match self.format {
                WeightFormat::Hooked => {
                    product("unembed.W_U", false) + self.at("unembed.b_U", &[out])
                }
                WeightFormat::Gpt2 if self.says("tie_word_embeddings") => {
                    assert!(!self.tensors.contains_key("lm_head.weight"));
                    product("transformer.wte.weight", true)
                }
                WeightFormat::Gpt2 => product("lm_head.weight", true),
                WeightFormat::TransformerLens | WeightFormat::Safetensors => {
                    product("unembed.weight", true) + self.at("unembed.bias", &[out])
                }
            }
        };
        x.iter().flat_map(|x| (0..vocab).map(|out| one(x, out)).collect::<Vec<_>>()).collect()
    }

    /// Logits `[pos, vocab]`, flat.
    fn forward(&self, tokens: &[u32]) -> Vec<f64> {
        let layers = self.number(["n_layers", "n_layer"]);
        let mut x = self.embedded(tokens);
        for l in 0..layers {
            let mid = sum(&x, &self.attention(l, &self.norm("ln1", l, &x)));
            if self.says("attn_only") {
                x = mid;
                continue;
            }
            let read = if self.says("parallel_attn_mlp") { &x } else { &mid };
            let written = self.mlp(l, &self.norm("ln2", l, read));
            x = sum(&mid, &written);
        }
        self.logits(&self.norm("last", 0, &x))
    }

    fn attention(&self, l: usize, x: &Rows) -> Rows {
        let (heads, dim) = self.heads();
        let mut q = self.mapped(l, "q", x, heads * dim);
        let mut k = self.mapped(l, "k", x, heads * dim);
        let v = self.mapped(l, "v", x, heads * dim);
        if self.is_rotary() {
            assert_eq!(self.number(["rotary_dim"; 2]), dim);
            q = self.rotated(l, &q, dim);
            k = self.rotated(l, &k, dim);
        }
        let divisor = self.config.get("attn_scale").and_then(Value::as_f64);
        let divisor = divisor.unwrap_or((dim as f64).sqrt());
        let mut z = vec![vec![0.0; heads * dim]; x.len()];
        for head in 0..heads {
            let of = |row: &'_ Vec<f64>| row[head * dim..(head + 1) * dim].to_vec();
            for t in 0..x.len() {
                let dot = |s: usize| -> f64 {
                    of(&q[t]).iter().zip(of(&k[s])).map(|(a, b)| a * b).sum::<f64>() / divisor
                };
                let scores: Vec<f64> = (0..=t).map(dot).collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
                let all: f64 = weights.iter().sum();
                for (s, w) in weights.iter().enumerate() {
                    for (e, v) in of(&v[s]).iter().enumerate() {
                        z[t][head * dim + e] += w / all * v;
                    }
                }
            }
        }
        self.mapped(l, "o", &z, self.number(["d_model", "n_embd"]))
    }

    /// Neighbouring pairs of each head turned by the angle of the position; the older library's tables are in the file.
    fn rotated(&self, l: usize, x: &Rows, dim: usize) -> Rows {
        let base = self.config["rotary_base"].as_f64().unwrap();
        let hooked = self.format == WeightFormat::Hooked;
        assert!(!hooked || self.says("rotary_adjacent_pairs"), "halves are rotated otherwise");
        let turned = |t: usize, row: &Vec<f64>, i: usize| {
            let e = i % dim;
            let angle = t as f64 * base.powf(-((e / 2 * 2) as f64) / dim as f64);
            let (sine, cosine) = if hooked {
                let table = |name: &str| self.at(&format!("blocks.{l}.attn.{name}"), &[t, e]);
                let found = (table("rotary_sin"), table("rotary_cos"));
                assert!(
                    (found.0 - angle.sin()).abs() < 1e-6 && (found.1 - angle.cos()).abs() < 1e-6
                );
                found
            } else {
                angle.sin_cos()
            };
            let other = if e.is_multiple_of(2) { -row[i + 1] } else { row[i - 1] };
            row[i] * cosine + other * sine
        };
        let each =
            |(t, row): (usize, &Vec<f64>)| (0..row.len()).map(|i| turned(t, row, i)).collect();
        x.iter().enumerate().map(each).collect()
    }

    fn mlp(&self, l: usize, x: &Rows) -> Rows {
        let hidden = self.number(["d_mlp", "n_inner"]);
        let name = if self.format == WeightFormat::Gpt2 { "activation_function" } else { "act_fn" };
        let name = self.config[name].as_str().unwrap();
        let inputs = self.mapped(l, "in", x, hidden);
        let post = if self.says("gated_mlp") {
            assert_eq!(name, "silu");
            let gate = self.mapped(l, "gate", x, hidden);
            // What the older library calls the bias of `in` is added after the product.
            let bias = |i: usize| {
                if self.format == WeightFormat::Hooked {
                    self.at(&format!("blocks.{l}.mlp.b_in"), &[i])
                } else {
                    0.0
                }
            };
            let row = |(gate, inputs): (&Vec<f64>, &Vec<f64>)| {
                let one =
                    |i: usize| gate[i] / (1.0 + (-gate[i]).exp()) * (inputs[i] - bias(i)) + bias(i);
                (0..hidden).map(one).collect()
            };
            gate.iter().zip(&inputs).map(row).collect()
        } else {
            inputs.iter().map(|row| row.iter().map(|x| activated(name, *x)).collect()).collect()
        };
        self.mapped(l, "out", &post, self.number(["d_model", "n_embd"]))
    }
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
    a.iter().zip(b).map(row).collect()
}

/// The function that both libraries give this name.
fn activated(name: &str, x: f64) -> f64 {
    match name {
        "relu" => x.max(0.0),
        "gelu_new" => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        "gelu" => 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt())),
        _ => panic!("no activation is called {name}"),
    }
}

/// The error function by its power series.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut total) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        total += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * total
}

fn weights_of(params: &Params) -> Weights {
    params.weights(7).unwrap()
}

#[track_caller]
fn assert_agrees(variation: &Variation, format: WeightFormat, anatomy: &Anatomy) {
    let what = format!("{} as {}", variation.name, format.name());
    let written = written(format, anatomy).unwrap_or_else(|e| panic!("{what}: {e}"));
    let ids = ids(1, LENGTH);
    let theirs = Foreign::new(format, &written).forward(&ids);
    let (model, params) = variation.build(LENGTH);
    let ours = logits(&*model, &params, &tokens(&ids, 1));
    assert_eq!(theirs.len(), ours.len(), "{what}");
    let scale = ours.iter().fold(1.0, |m: f32, x| m.max(x.abs()));
    for (i, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        let error = (theirs - f64::from(*ours)).abs();
        assert!(error <= 2e-5 * f64::from(scale), "{what}, logit {i}: {theirs} against {ours}");
    }
}

/// Whether a format cannot say a network whose every number is far from zero.
fn is_refused(name: &str, format: WeightFormat) -> bool {
    let birth = name.starts_with("birth");
    let has = |what: &str| name.contains(what);
    let rotary = has("positions = \"rotary\"");
    let gated = has("mlp = \"swiglu\"") && !has("biases = false");
    let everywhere = birth && rotary || has("final_norm = false") || gated;
    everywhere
        || match format {
            WeightFormat::TransformerLens => has("parallel = true"),
            WeightFormat::Gpt2 => {
                let norm = has("norm = \"rms\"") || has("norm = \"none\"");
                let sizes = has("head_dim = ") || has("unembed_bias = true");
                birth
                    || rotary
                    || norm
                    || sizes
                    || has("parallel = true")
                    || has("mlp = \"swiglu\"")
            }
            WeightFormat::Hooked | WeightFormat::Safetensors => false,
        }
}

/// Every model with each choice and switch changed, and some pairs of changes; small, for the passes here are slow.
fn networks() -> Vec<Variation> {
    let mut all = variations();
    let decoder = &defaults()[1];
    assert_eq!(decoder.name, "decoder");
    let pairs: [[(&str, toml::Value); 2]; 6] = [
        [("mlp", "swiglu".into()), ("biases", false.into())],
        [("head_dim", 6.into()), ("positions", "rotary".into())],
        [("first_mlp", false.into()), ("parallel", true.into())],
        [("first_mlp", false.into()), ("norm", "rms".into())],
        [("norm", "none".into()), ("final_norm", true.into())],
        [("tied", true.into()), ("mlp", "linear".into())],
    ];
    for pair in pairs {
        let [first, second] = pair;
        all.push(decoder.changed(first.0, &first.1).changed(second.0, &second.1));
    }
    // A network of single numbers has no width, and is exported by its own names.
    let has_width =
        |variation: &&Variation| names(&mut *variation.settings.boxed()).contains(&"width");
    all.iter().filter(has_width).map(|variation| variation.changed("width", &16.into())).collect()
}

#[test]
fn every_network_is_exported_as_it_computes_or_refused_with_a_reason() {
    for variation in networks() {
        let (_, params) = variation.build(LENGTH);
        let anatomy = variation.settings.anatomy(&weights_of(&params), LENGTH);
        let is_known = ["birth", "decoder"].iter().any(|kind| variation.name.starts_with(kind));
        let anatomy = match anatomy {
            Ok(anatomy) => anatomy,
            Err(refused) => {
                assert!(
                    !is_known && refused.message.contains("under their own names"),
                    "{refused}"
                );
                continue;
            }
        };
        for format in LIBRARIES {
            if !is_refused(&variation.name, format) {
                assert_agrees(&variation, format, &anatomy);
                continue;
            }
            let refused = written(format, &anatomy).map(|_| ()).unwrap_err().to_string();
            let what = format!("{} as {}: {refused}", variation.name, format.name());
            assert!(
                refused.contains("cannot be written for") && refused.contains("safetensors"),
                "{what}"
            );
        }
    }
}

#[test]
fn biases_of_gated_mlps_go_where_there_is_room_for_them() {
    let network = defaults()[1].changed("mlp", &"swiglu".into());
    let (_, mut params) = network.build(LENGTH);
    let mut weights = weights_of(&params);
    let silence = |weights: &mut Weights, part: &str| {
        for tensor in weights.tensors.iter_mut().filter(|t| t.name.ends_with(part)) {
            tensor.data = vec![0.0; tensor.data.len()].into();
        }
    };
    let anatomy = |weights: &Weights| network.settings.anatomy(weights, LENGTH).unwrap();
    silence(&mut weights, "mlp.gate_bias");
    assert!(written(WeightFormat::Hooked, &anatomy(&weights)).is_err(), "its b_in is another bias");
    silence(&mut weights, "mlp.in_bias");
    assert!(written(WeightFormat::TransformerLens, &anatomy(&weights)).is_err(), "it has no b_out");
    params.load(&weights).unwrap();
    let hooked = written(WeightFormat::Hooked, &anatomy(&weights)).unwrap();
    let ids = ids(1, LENGTH);
    let theirs = Foreign::new(WeightFormat::Hooked, &hooked).forward(&ids);
    let (model, _) = network.build(LENGTH);
    let ours = logits(&*model, &params, &tokens(&ids, 1));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert!((theirs - f64::from(*ours)).abs() < 2e-5 * theirs.abs().max(1.0));
    }
    silence(&mut weights, "mlp.out_bias");
    written(WeightFormat::TransformerLens, &anatomy(&weights)).unwrap();
}

#[test]
fn names_and_shapes_are_those_of_the_libraries() {
    let network = defaults()[1].changed("layers", &1.into());
    let network = network.changed("width", &8.into()).changed("heads", &2.into());
    let (_, params) = network.build(LENGTH);
    let anatomy = network.settings.anatomy(&weights_of(&params), LENGTH).unwrap();
    let (v, c, d, h, e, m) = (11, LENGTH, 8, 2, 4, 32);
    let bridge: &[(&str, &[usize])] = &[
        ("embed.weight", &[v, d]),
        ("pos_embed.weight", &[c, d]),
        ("blocks.0.ln1.weight", &[d]),
        ("blocks.0.ln1.bias", &[d]),
        ("blocks.0.attn.q.weight", &[h * e, d]),
        ("blocks.0.attn.q.bias", &[h * e]),
        ("blocks.0.attn.k.weight", &[h * e, d]),
        ("blocks.0.attn.k.bias", &[h * e]),
        ("blocks.0.attn.v.weight", &[h * e, d]),
        ("blocks.0.attn.v.bias", &[h * e]),
        ("blocks.0.attn.o.weight", &[d, h * e]),
        ("blocks.0.attn.o.bias", &[d]),
        ("blocks.0.ln2.weight", &[d]),
        ("blocks.0.ln2.bias", &[d]),
        ("blocks.0.mlp.in.weight", &[m, d]),
        ("blocks.0.mlp.in.bias", &[m]),
        ("blocks.0.mlp.out.weight", &[d, m]),
        ("blocks.0.mlp.out.bias", &[d]),
        ("ln_final.weight", &[d]),
        ("ln_final.bias", &[d]),
        ("unembed.weight", &[v, d]),
        ("unembed.bias", &[v]),
    ];
    let hooked: &[(&str, &[usize])] = &[
        ("embed.W_E", &[v, d]),
        ("pos_embed.W_pos", &[c, d]),
        ("blocks.0.ln1.w", &[d]),
        ("blocks.0.ln1.b", &[d]),
        ("blocks.0.attn.W_Q", &[h, d, e]),
        ("blocks.0.attn.b_Q", &[h, e]),
        ("blocks.0.attn.W_K", &[h, d, e]),
        ("blocks.0.attn.b_K", &[h, e]),
        ("blocks.0.attn.W_V", &[h, d, e]),
        ("blocks.0.attn.b_V", &[h, e]),
        ("blocks.0.attn.W_O", &[h, e, d]),
        ("blocks.0.attn.b_O", &[d]),
        ("blocks.0.ln2.w", &[d]),
        ("blocks.0.ln2.b", &[d]),
        ("blocks.0.mlp.W_in", &[d, m]),
        ("blocks.0.mlp.b_in", &[m]),
        ("blocks.0.mlp.W_out", &[m, d]),
        ("blocks.0.mlp.b_out", &[d]),
        ("ln_final.w", &[d]),
        ("ln_final.b", &[d]),
        ("unembed.W_U", &[d, v]),
        ("unembed.b_U", &[v]),
    ];
    let gpt2: &[(&str, &[usize])] = &[
        ("transformer.wte.weight", &[v, d]),
        ("transformer.wpe.weight", &[c, d]),
        ("transformer.h.0.ln_1.weight", &[d]),
        ("transformer.h.0.ln_1.bias", &[d]),
        ("transformer.h.0.attn.c_attn.weight", &[d, 3 * d]),
        ("transformer.h.0.attn.c_attn.bias", &[3 * d]),
        ("transformer.h.0.attn.c_proj.weight", &[d, d]),
        ("transformer.h.0.attn.c_proj.bias", &[d]),
        ("transformer.h.0.ln_2.weight", &[d]),
        ("transformer.h.0.ln_2.bias", &[d]),
        ("transformer.h.0.mlp.c_fc.weight", &[d, m]),
        ("transformer.h.0.mlp.c_fc.bias", &[m]),
        ("transformer.h.0.mlp.c_proj.weight", &[m, d]),
        ("transformer.h.0.mlp.c_proj.bias", &[d]),
        ("transformer.ln_f.weight", &[d]),
        ("transformer.ln_f.bias", &[d]),
        ("lm_head.weight", &[v, d]),
    ];
    for (format, expected) in LIBRARIES.into_iter().zip([bridge, hooked, gpt2]) {
        let written = written(format, &anatomy).unwrap();
        let found: Vec<(&str, &[usize])> =
            written.tensors.iter().map(|t| (&*t.name, &t.shape[..])).collect();
        assert_eq!(found, expected, "{}", format.name());
        for tensor in &written.tensors {
            assert_eq!(
                tensor.data.len(),
                tensor.shape.iter().product::<usize>(),
                "{}",
                tensor.name
            );
        }
    }
    let config = written(WeightFormat::Gpt2, &anatomy).unwrap().config;
    assert_eq!(config["activation_function"], "gelu_new");
    assert_eq!(config["layer_norm_epsilon"], 1e-5);
    assert_eq!(config["tie_word_embeddings"], false);
}

#[test]
fn files_are_read_by_the_safetensors_library_and_are_always_the_same() {
    let experiment = tiny::with(&["model.mlp=relu"]);
    let mut trainer = Trainer::new(&experiment).unwrap();
    tiny::train(&mut trainer, 3);
    let weights = trainer.weights().unwrap();
    let files = |format| interchange::files(format, &experiment, &weights).unwrap();
    for format in LIBRARIES {
        let folder = files(format);
        assert_eq!(folder, files(format));
        let names: Vec<&str> = folder.iter().map(|f| f.name).collect();
        let tensors = if format == WeightFormat::Hooked { "hooked" } else { "model" };
        assert_eq!(names, ["config.json", &format!("{tensors}.safetensors"), "tokens.json"]);
        let config: Value = serde_json::from_slice(&folder[0].bytes).unwrap();
        assert!(config.is_object());
        let tokens: Vec<String> = serde_json::from_slice(&folder[2].bytes).unwrap();
        let embed = weights.get("embed").unwrap();
        assert_eq!(tokens.len(), embed.shape[0]);
        let (_, about) = safetensors::SafeTensors::read_metadata(&folder[1].bytes).unwrap();
        let said = about.metadata().clone().unwrap();
        assert_eq!(said["format"], "pt");
        let note: Value = serde_json::from_str(&said["mnemoscope"]).unwrap();
        assert_eq!((&note["step"], &note["experiment"]), (&json!(3), &json!("tiny")));
        safetensors::SafeTensors::deserialize(&folder[1].bytes).unwrap();
    }
    let plain = files(WeightFormat::Safetensors);
    let read = safetensors::SafeTensors::deserialize(&plain[0].bytes).unwrap();
    assert_eq!(read.len(), weights.tensors.len());
    for tensor in &weights.tensors {
        let view = read.tensor(&tensor.name).unwrap();
        let bytes: Vec<u8> = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!((view.shape(), view.data()), (&tensor.shape[..], &bytes[..]), "{}", tensor.name);
    }
}

#[test]
fn weights_of_another_network_are_refused() {
    let experiment = tiny::tiny();
    let numbers = draw(1, "embed", 4, Init::Ones);
    let embed = NamedTensor {
        name: "embed".into(),
        shape: vec![2, 2],
        data: numbers.into(),
        trained: true,
    };
    let weights = Weights::new(5, vec![embed]);
    let refused = interchange::files(WeightFormat::Gpt2, &experiment, &weights).unwrap_err();
    assert!(refused.to_string().contains("lack the tensor"), "{refused}");
}
