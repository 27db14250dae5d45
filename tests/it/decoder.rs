//! The decoder against a naive forward pass in double precision, over a sweep of its settings.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::base::registry::find;
use mnemoscope::base::settings::set;
use mnemoscope::model::decoder::{Decoder, InitKind, MatrixKind, MlpKind, Positions};
use mnemoscope::model::{self, Architecture, Input, Model, Sequences};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::loss::cross_entropy;
use mnemoscope::nn::norm::NormKind;
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{Captured, EditAndCapture, Tap, Untapped};

const VOCAB: usize = 7;
const LENGTH: usize = 6;

/// Two layers small enough to differentiate by hand.
fn small() -> Decoder {
    Decoder { heads: 2, width: 6, mlp_ratio: 1.5, ..Decoder::default() }
}

/// Settings that between them visit every branch.
fn sweep() -> Vec<(&'static str, Decoder)> {
    let small = small();
    vec![
        ("gpt-2", small.clone()),
        ("llama", {
            let positions = Positions::Rotary;
            let (norm, mlp) = (NormKind::Rms, MlpKind::SwiGlu);
            Decoder { norm, mlp, positions, width: 8, biases: false, ..small.clone() }
        }),
        ("attention only", {
            let positions = Positions::Sinusoidal;
            let (norm, mlp) = (NormKind::None, MlpKind::None);
            Decoder { norm, mlp, positions, biases: false, final_norm: false, ..small.clone() }
        }),
        ("parallel", {
            let (mlp, init) = (MlpKind::Relu, InitKind::Torch);
            let parallel = true;
            Decoder { mlp, init, parallel, biases: false, embedding_std: 1.0, ..small.clone() }
        }),
        ("tied", {
            let positions = Positions::None;
            Decoder { tied: true, mlp: MlpKind::GeluErf, positions, ..small.clone() }
        }),
        ("narrow heads", {
            let mlp = MlpKind::Linear;
            Decoder { heads: 3, head_dim: 4, mlp, first_mlp: false, ..small.clone() }
        }),
        ("one head, torch biases", {
            let init = InitKind::Torch;
            Decoder { layers: 1, heads: 1, init, unembed_bias: true, ..small.clone() }
        }),
        ("frozen", {
            let values = MatrixKind::Frozen;
            Decoder { freeze_embeddings: true, freeze_output: true, values, ..small.clone() }
        }),
        ("without values and outputs", {
            let (values, outputs) = (MatrixKind::Identity, MatrixKind::Identity);
            Decoder { values, outputs, ..small }
        }),
    ]
}

/// A network whose every parameter is far from its symmetric start, so that no gradient is zero by accident.
fn build(settings: &Decoder) -> (Box<dyn Model>, Params) {
    let mut params = Params::new(3);
    let model = settings.build(Sequences::of_tokens(VOCAB, LENGTH), &mut params).unwrap();
    let mut weights = params.weights(0).unwrap();
    for tensor in &mut weights.tensors {
        let noise = draw(5, &tensor.name, tensor.data.len(), Init::Normal(0.4));
        tensor.data = tensor.data.iter().zip(noise).map(|(w, n)| w + n).collect();
    }
    params.load(&weights).unwrap();
    (model, params)
}

fn tokens() -> Vec<Vec<u32>> {
    vec![vec![3, 1, 4, 1, 5], vec![2, 6, 5, 3, 5]]
}

/// Row-major targets of [`tokens`].
const TARGETS: [u32; 10] = [1, 4, 1, 5, 0, 6, 5, 3, 5, 2];

fn tensor(rows: &[Vec<u32>]) -> Tensor {
    let flat: Vec<u32> = rows.concat();
    Tensor::from_vec(flat, (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

fn logits(model: &dyn Model, params: &Params, rows: &[Vec<u32>], tap: &mut dyn Tap) -> Vec<f32> {
    let output = model.forward(params, &Input::new(&tensor(rows)), tap).unwrap();
    assert_eq!(output.logits.dims(), [rows.len(), rows[0].len(), VOCAB]);
    output.logits.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn logits_equal_a_naive_forward_pass_in_double_precision() {
    for (name, settings) in sweep() {
        let (model, params) = build(&settings);
        let got = logits(&*model, &params, &tokens(), &mut Untapped);
        let want: Vec<f64> = Naive::new(&settings, &params).logits(&tokens());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let error = (f64::from(*got) - want).abs();
            assert!(error <= 1e-5 * (1.0 + want.abs()), "{name}, logit {i}: {got} against {want}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences_in_double_precision() {
    for (name, settings) in sweep() {
        let (model, params) = build(&settings);
        let tokens = tokens();
        let input = tensor(&tokens);
        let output = model.forward(&params, &Input::new(&input), &mut Untapped).unwrap();
        let loss = cross_entropy(&output.logits, &TARGETS, &[0.1; 10]).unwrap();
        let grads = loss.backward().unwrap();
        for param in params.all() {
            let (label, var) = (params.name(param), params.var(param).unwrap());
            let Some(grad) = grads.get(var.as_tensor()) else {
                assert!(!params.is_trained(param), "{name}: {label} has no gradient");
                continue;
            };
            assert!(params.is_trained(param), "{name}: {label} is frozen");
            let grad: Vec<f32> = grad.flatten_all().unwrap().to_vec1().unwrap();
            for (i, got) in grad.iter().enumerate() {
                let want = Naive::new(&settings, &params).slope(&tokens, label, i);
                let error = (f64::from(*got) - want).abs();
                assert!(error <= 1e-5 + 1e-3 * want.abs(), "{name}, {label}[{i}]: {got}, {want}");
            }
        }
    }
}

#[test]
fn a_watched_pass_gives_the_same_logits_and_gradients() {
    for (name, settings) in sweep() {
        let (model, params) = build(&settings);
        let run = |tap: &mut dyn Tap| {
            let output = model.forward(&params, &Input::new(&tensor(&tokens())), tap).unwrap();
            let loss = cross_entropy(&output.logits, &TARGETS, &[0.1; 10]).unwrap();
            let grads = loss.backward().unwrap();
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let trained =
                params.all().filter_map(|p| grads.get(params.var(p).unwrap().as_tensor()));
            let mut numbers = flat(&output.logits);
            trained.for_each(|grad| numbers.extend(flat(grad)));
            numbers
        };
        let fast = run(&mut Untapped);
        let watched = run(&mut Everything(Captured::new()));
        assert_eq!(fast.len(), watched.len());
        for (a, b) in fast.iter().zip(&watched) {
            assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{name}: {a} against {b}");
        }
    }
}

/// Wants every point, keeps all, changes none.
struct Everything(Captured);

impl Tap for Everything {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn at(&mut self, site: Site, x: Tensor) -> mnemoscope::Result<Tensor> {
        let known = self.0.insert(site, x.clone());
        assert!(known.is_none(), "{site} is passed once");
        Ok(x)
    }
}

#[test]
fn every_point_is_passed_in_its_own_shape() {
    let settings = Decoder { heads: 3, head_dim: 4, ..small() };
    let (model, params) = build(&settings);
    let mut tap = Everything(Captured::new());
    logits(&*model, &params, &tokens(), &mut tap);
    for layer in 0..2 {
        for (point, _) in Point::ALL {
            let shape: &[usize] = match point {
                Point::Embed if layer > 0 => continue,
                Point::Final | Point::Logits if layer == 0 => continue,
                Point::Q | Point::K | Point::V | Point::Z => &[2, 3, 5, 4],
                Point::Scores | Point::Pattern => &[2, 3, 5, 5],
                Point::MlpPost => &[2, 5, 9],
                Point::Logits => &[2, 5, VOCAB],
                Point::Embed
                | Point::ResidPre
                | Point::AttnOut
                | Point::ResidMid
                | Point::MlpOut
                | Point::ResidPost
                | Point::Final => &[2, 5, 6],
                Point::Own(name) => panic!("{name:?} is no point of all models"),
            };
            let site = Site { layer, point: *point };
            let passed = tap.0.remove(&site).unwrap_or_else(|| panic!("{site} is passed"));
            assert_eq!(passed.dims(), shape, "{site}");
        }
    }
    assert!(tap.0.is_empty(), "and no other: {:?}", tap.0.keys());
}

#[test]
fn residual_points_add_up() {
    for parallel in [false, true] {
        let (model, params) = build(&Decoder { parallel, ..small() });
        let mut tap = Everything(Captured::new());
        logits(&*model, &params, &tokens(), &mut tap);
        let at = |point| {
            let captured = &tap.0[&Site { layer: 1, point }];
            captured.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let sum = |a: Vec<f32>, b: Vec<f32>| -> Vec<f32> {
            a.iter().zip(&b).map(|(a, b)| a + b).collect()
        };
        assert_eq!(sum(at(Point::ResidPre), at(Point::AttnOut)), at(Point::ResidMid));
        assert_eq!(sum(at(Point::ResidMid), at(Point::MlpOut)), at(Point::ResidPost));
    }
}

#[test]
fn no_position_sees_a_later_token() {
    for (name, settings) in sweep() {
        let (model, params) = build(&settings);
        let before = logits(&*model, &params, &[vec![3, 1, 4, 1, 5]], &mut Untapped);
        let after = logits(&*model, &params, &[vec![3, 1, 4, 6, 5]], &mut Untapped);
        let (early, late) = (3 * VOCAB, 4 * VOCAB);
        assert_eq!(before[..early], after[..early], "{name}: before the changed token");
        assert_ne!(before[late..], after[late..], "{name}: after it");
    }
}

#[test]
fn a_shorter_sequence_is_the_beginning_of_a_longer_one() {
    for (name, settings) in sweep() {
        let (model, params) = build(&settings);
        let long = logits(&*model, &params, &[vec![3, 1, 4, 1, 5, 0]], &mut Untapped);
        let short = logits(&*model, &params, &[vec![3, 1]], &mut Untapped);
        for (a, b) in short.iter().zip(&long) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{name}: {a} against {b}");
        }
    }
}

#[test]
fn an_empty_sequence_and_one_longer_than_it_was_built_for_are_refused_in_a_sentence() {
    for (_, settings) in sweep() {
        let (model, params) = build(&settings);
        for wrong in [0, LENGTH + 1] {
            let input = tensor(&[vec![0; wrong]]);
            let Err(error) = model.forward(&params, &Input::new(&input), &mut Untapped) else {
                panic!("{wrong} tokens were read by a network for six")
            };
            assert!(error.to_string().contains(&format!("{wrong} tokens")), "{error}");
            assert!(error.to_string().contains("at most 6"), "{error}");
        }
    }
}

#[test]
fn a_cut_head_writes_nothing() {
    let (model, params) = build(&small());
    let cut: Intervention = "zero layer1.head0".parse().unwrap();
    let site = Site { layer: 1, point: Point::Z };
    let mut bench = EditAndCapture::new(Edit::of_all(&[cut], &params).unwrap(), vec![site]);
    let cut = logits(&*model, &params, &tokens(), &mut bench);
    let whole = logits(&*model, &params, &tokens(), &mut Untapped);
    assert_ne!(cut, whole);
    // The same as a network whose output matrix does not read that head.
    let mut weights = params.weights(0).unwrap();
    let wo = weights.tensors.iter_mut().find(|t| &*t.name == "layer1.wo").unwrap();
    let (inputs, dim) = (6, 3);
    wo.data = wo.data.iter().enumerate().map(|(i, w)| f32::from(i % inputs >= dim) * w).collect();
    let (model, mut blind) = build(&small());
    blind.load(&weights).unwrap();
    for (a, b) in cut.iter().zip(logits(&*model, &blind, &tokens(), &mut Untapped)) {
        assert!((a - b).abs() < 1e-5, "{a} against {b}");
    }
}

#[test]
fn parameters_have_the_names_and_shapes_of_the_convention() {
    let settings = Decoder { layers: 1, heads: 3, head_dim: 4, unembed_bias: true, ..small() };
    let named = |settings: &Decoder| -> Vec<(String, Vec<usize>)> {
        let mut params = Params::new(0);
        settings.build(Sequences::of_tokens(VOCAB, LENGTH), &mut params).unwrap();
        let dims = |p| params.var(p).unwrap().dims().to_vec();
        params.all().map(|p| (params.name(p).to_owned(), dims(p))).collect()
    };
    let expected: &[(&str, &[usize])] = &[
        ("embed", &[7, 6]),
        ("pos", &[6, 6]),
        ("layer0.norm1.weight", &[6]),
        ("layer0.norm1.bias", &[6]),
        ("layer0.wq", &[12, 6]),
        ("layer0.bq", &[12]),
        ("layer0.wk", &[12, 6]),
        ("layer0.bk", &[12]),
        ("layer0.wv", &[12, 6]),
        ("layer0.bv", &[12]),
        ("layer0.wo", &[6, 12]),
        ("layer0.bo", &[6]),
        ("layer0.norm2.weight", &[6]),
        ("layer0.norm2.bias", &[6]),
        ("layer0.mlp.in", &[9, 6]),
        ("layer0.mlp.in_bias", &[9]),
        ("layer0.mlp.out", &[6, 9]),
        ("layer0.mlp.out_bias", &[6]),
        ("norm.weight", &[6]),
        ("norm.bias", &[6]),
        ("unembed", &[7, 6]),
        ("unembed_bias", &[7]),
    ];
    let expected: Vec<(String, Vec<usize>)> =
        expected.iter().map(|(n, s)| ((*n).to_owned(), s.to_vec())).collect();
    assert_eq!(named(&settings), expected);
    let gated = named(&Decoder { mlp: MlpKind::SwiGlu, ..settings });
    assert!(gated.contains(&("layer0.mlp.gate".to_owned(), vec![9, 6])));
    assert!(gated.contains(&("layer0.mlp.gate_bias".to_owned(), vec![9])));
}

#[test]
fn fresh_weights_follow_the_chosen_law() {
    let fresh = |settings: Decoder| {
        let mut params = Params::new(1);
        settings.build(Sequences::of_tokens(65, 64), &mut params).unwrap();
        move |name: &str| -> Vec<f32> {
            let var = params.var(params.find(name).unwrap()).unwrap();
            var.flatten_all().unwrap().to_vec1().unwrap()
        }
    };
    let std = |x: &[f32]| (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32).sqrt();
    let near = |x: f32, want: f32| assert!((x / want - 1.0).abs() < 0.05, "{x} against {want}");
    let gpt2 = fresh(Decoder::default());
    near(std(&gpt2("embed")), 0.02);
    near(std(&gpt2("layer0.wq")), 0.02);
    near(std(&gpt2("layer1.wo")), 0.01);
    near(std(&gpt2("layer1.mlp.out")), 0.01);
    near(std(&gpt2("unembed")), 0.02);
    assert!(gpt2("layer0.bq").iter().all(|b| *b == 0.0));
    assert!(gpt2("layer0.norm1.weight").iter().all(|w| *w == 1.0));
    let init = InitKind::Torch;
    let torch = fresh(Decoder { init, embedding_std: 1.0, ..Decoder::default() });
    near(std(&torch("embed")), 1.0);
    near(std(&torch("pos")), 1.0);
    for (name, inputs) in [("layer0.wk", 128f32), ("layer1.mlp.out", 512.0), ("unembed", 128.0)] {
        near(std(&torch(name)), 1.0 / (3.0 * inputs).sqrt());
        assert!(torch(name).iter().all(|w| w.abs() <= 1.0 / inputs.sqrt()));
    }
    near(std(&torch("layer0.mlp.in_bias")), 1.0 / (3.0 * 128f32).sqrt());
    let lens = fresh(Decoder { init: InitKind::TransformerLens, ..Decoder::default() });
    for name in ["layer0.wk", "layer1.wo", "layer1.mlp.out", "unembed"] {
        near(std(&lens(name)), 0.8 / 128f32.sqrt());
    }
    assert!(lens("layer0.mlp.in_bias").iter().all(|b| *b == 0.0));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refusal = |settings: Decoder| {
        let built = settings.build(Sequences::of_tokens(VOCAB, LENGTH), &mut Params::new(0));
        built.err().expect("refused").to_string()
    };
    assert!(refusal(Decoder { width: 10, ..Decoder::default() }).contains("model.heads 4"));
    let positions = Positions::Rotary;
    let odd = Decoder { heads: 2, width: 6, positions, ..Decoder::default() };
    assert!(refusal(odd).contains("even head dimension"));
    let outputs = MatrixKind::Identity;
    assert!(refusal(Decoder { head_dim: 5, outputs, ..small() }).contains("left out"));
    assert!(refusal(Decoder { tied: true, freeze_output: true, ..small() }).contains("untie"));
}

#[test]
fn the_registry_makes_it_and_its_settings_have_names() {
    let mut settings = find("model", model::ALL, "decoder").unwrap();
    set(&mut *settings, "model.", "norm", &toml::Value::String("rms".to_owned())).unwrap();
    set(&mut *settings, "model.", "layers", &toml::Value::Integer(3)).unwrap();
    let mut params = Params::new(0);
    let model = settings.build(Sequences::of_tokens(5, 8), &mut params).unwrap();
    assert_eq!(model.layout().heads, [4, 4, 4]);
    assert_eq!((model.layout().kind, model.layout().width), ("decoder", 128));
    assert!(params.find("layer2.norm1.weight").is_some());
    assert!(params.find("layer2.norm1.bias").is_none());
}

/// The network of the settings, one number at a time.
struct Naive<'a> {
    settings: &'a Decoder,
    tensors: BTreeMap<String, Vec<f64>>,
}

type Rows = Vec<Vec<f64>>;

impl<'a> Naive<'a> {
    fn new(settings: &'a Decoder, params: &Params) -> Self {
        let numbers = |data: &[f32]| data.iter().map(|x| f64::from(*x)).collect();
        let weights = params.weights(0).unwrap();
        let named = weights.tensors.iter().map(|t| (t.name.to_string(), numbers(&t.data)));
        Self { settings, tensors: named.collect() }
    }

    /// Slope of the mean loss along one number of one tensor.
    fn slope(mut self, tokens: &[Vec<u32>], name: &str, index: usize) -> f64 {
        const STEP: f64 = 1e-5;
        let mut loss_at = |shift: f64| {
            self.tensors.get_mut(name).unwrap()[index] += shift;
            let loss = self.loss(tokens);
            self.tensors.get_mut(name).unwrap()[index] -= shift;
            loss
        };
        (loss_at(STEP) - loss_at(-STEP)) / (2.0 * STEP)
    }

    fn loss(&self, tokens: &[Vec<u32>]) -> f64 {
        let logits = self.logits(tokens);
        let rows = logits.chunks(VOCAB).zip(TARGETS);
        let losses = rows.map(|(row, target)| {
            row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[target as usize]
        });
        losses.sum::<f64>() / 10.0
    }

    fn logits(&self, tokens: &[Vec<u32>]) -> Vec<f64> {
        tokens.iter().flat_map(|sequence| self.sequence(sequence).concat()).collect()
    }

    fn sequence(&self, tokens: &[u32]) -> Rows {
        let width = self.settings.width;
        let mut x: Rows = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            let mut row = self.tensors["embed"][*token as usize * width..][..width].to_vec();
            if let Some(table) = self.tensors.get("pos") {
                row.iter_mut().enumerate().for_each(|(i, x)| *x += table[place * width + i]);
            }
            x.push(row);
        }
        for layer in 0..self.settings.layers {
            x = self.layer(&x, &format!("layer{layer}"), layer == 0);
        }
        if self.settings.final_norm {
            x = self.norm(&x, "norm");
        }
        let unembed = if self.settings.tied { "embed" } else { "unembed" };
        self.map(&x, unembed, "unembed_bias", VOCAB)
    }

    fn layer(&self, x: &Rows, name: &str, first: bool) -> Rows {
        let attended = self.attention(&self.norm(x, &format!("{name}.norm1")), name);
        let mid = add(x, &attended);
        if self.settings.mlp == MlpKind::None || first && !self.settings.first_mlp {
            return mid;
        }
        let read = if self.settings.parallel { x } else { &mid };
        let read = self.norm(read, &format!("{name}.norm2"));
        add(&mid, &self.mlp(&read, &format!("{name}.mlp")))
    }

    fn attention(&self, x: &Rows, name: &str) -> Rows {
        let heads = self.settings.heads;
        let dim = match self.settings.head_dim {
            0 => self.settings.width / heads,
            dim => dim,
        };
        let part = |letter: &str| {
            let (weight, bias) = (format!("{name}.w{letter}"), format!("{name}.b{letter}"));
            if letter == "v" && self.settings.values == MatrixKind::Identity {
                return x.clone();
            }
            self.map(x, &weight, &bias, heads * dim)
        };
        let (mut q, mut k, v) = (part("q"), part("k"), part("v"));
        if self.settings.positions == Positions::Rotary {
            rotate(&mut q, dim);
            rotate(&mut k, dim);
        }
        let mut z: Rows = vec![vec![0.0; heads * dim]; x.len()];
        for head in 0..heads {
            for query in 0..x.len() {
                let score = |key: usize| -> f64 {
                    let at = head * dim..(head + 1) * dim;
                    let products = q[query][at.clone()].iter().zip(&k[key][at]).map(|(q, k)| q * k);
                    (products.sum::<f64>() / (dim as f64).sqrt()).exp()
                };
                let total: f64 = (0..=query).map(score).sum();
                for (key, value) in v.iter().enumerate().take(query + 1) {
                    for i in head * dim..(head + 1) * dim {
                        z[query][i] += score(key) / total * value[i];
                    }
                }
            }
        }
        if self.settings.outputs == MatrixKind::Identity {
            return z;
        }
        self.map(&z, &format!("{name}.wo"), &format!("{name}.bo"), self.settings.width)
    }

    fn mlp(&self, x: &Rows, name: &str) -> Rows {
        let hidden = (self.settings.mlp_ratio * self.settings.width as f64).round() as usize;
        let read = |part: &str| {
            self.map(x, &format!("{name}.{part}"), &format!("{name}.{part}_bias"), hidden)
        };
        let each = |f: fn(f64) -> f64| -> Rows {
            read("in").into_iter().map(|row| row.into_iter().map(f).collect()).collect()
        };
        let inner = match self.settings.mlp {
            MlpKind::None => unreachable!("no MLP"),
            MlpKind::Linear => x.clone(),
            MlpKind::Relu => each(|x| x.max(0.0)),
            MlpKind::GeluErf => each(|x| x * normal_cdf(x)),
            MlpKind::GeluTanh => each(|x| {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + u.tanh())
            }),
            MlpKind::SwiGlu => {
                let silu = |x: f64| x / (1.0 + (-x).exp());
                let rows = read("gate").into_iter().zip(read("in"));
                let row = |(gate, up): (Vec<f64>, Vec<f64>)| {
                    gate.into_iter().zip(up).map(|(g, u)| silu(g) * u).collect()
                };
                rows.map(row).collect()
            }
        };
        let (weight, bias) = (format!("{name}.out"), format!("{name}.out_bias"));
        self.map(&inner, &weight, &bias, self.settings.width)
    }

    fn map(&self, x: &Rows, weight: &str, bias: &str, outputs: usize) -> Rows {
        let w = &self.tensors[weight];
        let inputs = w.len() / outputs;
        let row = |x: &Vec<f64>| {
            assert_eq!(x.len(), inputs, "{weight}");
            let output = |o: usize| {
                let bias = self.tensors.get(bias).map_or(0.0, |b| b[o]);
                bias + (0..inputs).map(|i| w[o * inputs + i] * x[i]).sum::<f64>()
            };
            (0..outputs).map(output).collect()
        };
        x.iter().map(row).collect()
    }

    fn norm(&self, x: &Rows, name: &str) -> Rows {
        let kind = self.settings.norm;
        if kind == NormKind::None {
            return x.clone();
        }
        let weight = &self.tensors[&format!("{name}.weight")];
        let bias = self.tensors.get(&format!("{name}.bias"));
        let row = |x: &Vec<f64>| {
            let count = x.len() as f64;
            let mean = if kind == NormKind::Layer { x.iter().sum::<f64>() / count } else { 0.0 };
            let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            let normed = |i: usize| {
                let bias = bias.map_or(0.0, |b| b[i]);
                (x[i] - mean) / (square + 1e-5).sqrt() * weight[i] + bias
            };
            (0..x.len()).map(normed).collect()
        };
        x.iter().map(row).collect()
    }
}

fn add(a: &Rows, b: &Rows) -> Rows {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
    a.iter().zip(b).map(row).collect()
}

fn rotate(x: &mut Rows, dim: usize) {
    for (place, row) in x.iter_mut().enumerate() {
        for (i, pair) in row.chunks_mut(2).enumerate() {
            let pair_in_head = (i % (dim / 2)) as f64;
            let angle = place as f64 * 10_000f64.powf(-2.0 * pair_in_head / dim as f64);
            let (a, b) = (pair[0], pair[1]);
            pair[0] = a * angle.cos() - b * angle.sin();
            pair[1] = a * angle.sin() + b * angle.cos();
        }
    }
}

/// Simpson's rule on the density, so that no library function is trusted.
fn normal_cdf(x: f64) -> f64 {
    const PARTS: usize = 200;
    let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
    let step = x / PARTS as f64;
    let weight = |i: usize| match i {
        0 | PARTS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let sum: f64 = (0..=PARTS).map(|i| weight(i) * density(i as f64 * step)).sum();
    0.5 + sum * step / 3.0
}
