//! The simplified model: the formulas of the paper, its gradients, its ideal memories.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use mnemoscope::base::batch::Batch;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::weights::Weights;
use mnemoscope::model::birth::{self, Birth, FeedForward, Positions, Strengths};
use mnemoscope::model::{Architecture, Input, Model, Sequences};
use mnemoscope::nn::attention::{Attention, plain};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::loss::cross_entropy;
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::{EditAndCapture, Untapped};
use mnemoscope::task::bigram::Bigram;
use mnemoscope::task::{Task, batch};

fn settings() -> Birth {
    Birth { width: 16, ..Birth::default() }
}

fn built(settings: &Birth, length: usize) -> (Params, Box<dyn Model>) {
    let mut params = Params::new(5);
    let model = settings.build(Sequences::of_tokens(11, length), &mut params).unwrap();
    (params, model)
}

fn tokens(rows: usize, length: usize) -> Tensor {
    let ids: Vec<u32> = (0..(rows * length) as u32).map(|i| (i * i + 5 * i + i / 7) % 11).collect();
    Tensor::from_vec(ids, (rows, length), &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
    assert_eq!(a.dims(), b.dims());
    let scale = numbers(b).iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    for (i, (a, b)) in numbers(a).iter().zip(numbers(b)).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "number {i}: {a} against {b}");
    }
}

fn logits(params: &Params, model: &dyn Model, tokens: &Tensor) -> Tensor {
    model.forward(params, &Input::new(tokens), &mut Untapped).unwrap().logits
}

fn matrix(params: &Params, name: &str) -> Tensor {
    params.var(params.find(name).unwrap()).unwrap().as_detached_tensor()
}

/// What the gradients of the paper are made of, in candle's own operations, for random positions and a linear `W_F`.
struct Formula {
    x1: Tensor,
    pattern2: Tensor,
    x2: Tensor,
    logits: Tensor,
}

fn times(x: &Tensor, w: &Tensor) -> Tensor {
    x.broadcast_matmul(&w.t().unwrap()).unwrap()
}

fn formula(params: &Params, tokens: &Tensor) -> Formula {
    let m = |name: &str| matrix(params, name);
    let length = tokens.dim(1).unwrap();
    let how = Attention::causal(0, 1, 0.25);
    let embedded = m("embed").index_select(&tokens.flatten_all().unwrap(), 0).unwrap();
    let embedded = embedded.reshape((tokens.dim(0).unwrap(), length, 16)).unwrap();
    let x0 = embedded.broadcast_add(&m("pos").narrow(0, 0, length).unwrap()).unwrap();
    let (z, _) = plain::attend(how, &x0, &times(&x0, &m("layer0.wk")), &x0).unwrap();
    let x1 = (&x0 + times(&times(&z, &m("layer0.wv")), &m("layer0.wo"))).unwrap();
    let (z, pattern2) = plain::attend(how, &x1, &times(&x1, &m("layer1.wk")), &x1).unwrap();
    let x2 = (&x1 + times(&times(&z, &m("layer1.wv")), &m("layer1.wo"))).unwrap();
    let x3 = (&x2 + times(&x2, &m("layer1.wf"))).unwrap();
    Formula { logits: times(&x3, &m("unembed")), x1, pattern2, x2 }
}

/// Every choice of positions and of `W_F` together with every switch.
fn sweep() -> Vec<Birth> {
    let positions = [Positions::Random, Positions::Sinusoidal, Positions::Rotary];
    let feed_forwards = [FeedForward::None, FeedForward::Linear, FeedForward::Mlp];
    let mut all = Vec::new();
    for positions in positions {
        for feed_forward in feed_forwards {
            for switches in 0..16 {
                let on = |bit: u32| (switches >> bit) & 1 == 1;
                all.push(Birth {
                    positions,
                    feed_forward,
                    tie_output: on(0),
                    sqrtd_embeddings: on(1),
                    no_sqrtd: on(2),
                    // Trained embeddings take another way to the values of the first layer.
                    train_embeddings: on(3),
                    ..settings()
                });
            }
        }
    }
    all
}

#[test]
fn the_model_computes_its_formulas_whatever_its_settings() {
    let tokens = tokens(2, 30);
    let ids = tokens.to_vec2::<u32>().unwrap();
    for settings in sweep() {
        let (params, model) = built(&settings, 30);
        let naive = Naive::new(&settings, &params);
        let want: Vec<f64> = ids.iter().flat_map(|ids| naive.logits(ids)).collect();
        let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (i, (got, want)) in
            numbers(&logits(&params, &*model, &tokens)).iter().zip(&want).enumerate()
        {
            let error = (f64::from(*got) - want).abs();
            assert!(error <= 2e-5 * largest, "{settings:?}, logit {i}: {got} against {want}");
        }
    }
}

/// The formulas one number at a time, in double precision.
struct Naive<'a> {
    settings: &'a Birth,
    weights: Weights,
}

type Rows = Vec<Vec<f64>>;

impl<'a> Naive<'a> {
    fn new(settings: &'a Birth, params: &Params) -> Self {
        Self { settings, weights: params.weights(0).unwrap() }
    }

    fn matrix(&self, name: &str) -> Rows {
        let tensor = self.weights.get(name).unwrap();
        let row = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect();
        tensor.data.chunks(tensor.shape[1]).map(row).collect()
    }

    /// `x Wᵀ`, row after row.
    fn map(&self, x: &Rows, name: &str) -> Rows {
        let w = self.matrix(name);
        x.iter().map(|x| w.iter().map(|w| dot(w, x)).collect()).collect()
    }

    fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let embed = self.matrix("embed");
        let mut x0: Rows = tokens.iter().map(|t| embed[*t as usize].clone()).collect();
        for (t, x) in x0.iter_mut().enumerate() {
            x.iter_mut().enumerate().for_each(|(i, x)| *x += self.position(t, i));
        }
        let rotary = self.settings.positions == Positions::Rotary;
        let turned = |x: &Rows| if rotary { rotated(x) } else { x.clone() };
        let z = self.attend(&turned(&x0), &turned(&self.map(&x0, "layer0.wk")), &x0);
        let x1 = add(&x0, &self.map(&self.map(&z, "layer0.wv"), "layer0.wo"));
        let z = self.attend(&x1, &self.map(&x1, "layer1.wk"), &x1);
        let x2 = add(&x1, &self.map(&self.map(&z, "layer1.wv"), "layer1.wo"));
        let x3 = match self.settings.feed_forward {
            FeedForward::None => x2,
            FeedForward::Linear => add(&x2, &self.map(&x2, "layer1.wf")),
            FeedForward::Mlp => {
                let mut hidden = self.map(&x2, "layer1.wf1");
                hidden.iter_mut().flatten().for_each(|h| *h = h.max(0.0));
                assert_eq!(hidden[0].len(), 4 * self.settings.width);
                add(&x2, &self.map(&hidden, "layer1.wf2"))
            }
        };
        if !self.settings.tie_output {
            return self.map(&x3, "unembed").concat();
        }
        let (tied, root) = (self.map(&x3, "embed").concat(), (self.settings.width as f64).sqrt());
        // W_U is E / √width, and logits are divided by √width.
        tied.iter().map(|x| x / root / root).collect()
    }

    /// Coordinate `i` of what is added to the token at position `t`.
    fn position(&self, t: usize, i: usize) -> f64 {
        match self.settings.positions {
            Positions::Random => self.matrix("pos")[t][i],
            Positions::Rotary => 0.0,
            Positions::Sinusoidal => {
                let pair = (i / 2 * 2) as f64 / self.settings.width as f64;
                let angle = t as f64 / 10_000f64.powf(pair);
                if i.is_multiple_of(2) { angle.sin() } else { angle.cos() }
            }
        }
    }

    /// For each position, `x` mixed by the causal attention of its query.
    fn attend(&self, queries: &Rows, keys: &Rows, x: &Rows) -> Rows {
        let width = self.settings.width;
        let scale = if self.settings.no_sqrtd { 1.0 } else { 1.0 / (width as f64).sqrt() };
        let mixed = |(t, query): (usize, &Vec<f64>)| {
            let scores: Vec<f64> = keys[..=t].iter().map(|key| scale * dot(query, key)).collect();
            let top = scores.iter().fold(f64::MIN, |m, s| m.max(*s));
            let exps: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let total: f64 = exps.iter().sum();
            let coordinate = |i: usize| exps.iter().zip(x).map(|(e, x)| e / total * x[i]).sum();
            (0..width).map(coordinate).collect()
        };
        queries.iter().enumerate().map(mixed).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &Rows, b: &Rows) -> Rows {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
    a.iter().zip(b).map(row).collect()
}

/// Coordinates `2i` and `2i + 1` of position `t` turned by `t · 10000^(-2i/width)`.
fn rotated(x: &Rows) -> Rows {
    let turn = |(t, x): (usize, &Vec<f64>)| {
        let pairs = x.chunks(2).enumerate().flat_map(|(i, pair)| {
            let angle = t as f64 * 10_000f64.powf(-2.0 * i as f64 / x.len() as f64);
            let (sine, cosine) = angle.sin_cos();
            [pair[0] * cosine - pair[1] * sine, pair[0] * sine + pair[1] * cosine]
        });
        pairs.collect()
    };
    x.iter().enumerate().map(turn).collect()
}

#[test]
fn embeddings_are_drawn_smaller_where_asked() {
    for (sqrtd_embeddings, expected) in [(false, 1.0), (true, 1.0 / 16.0)] {
        let settings = Birth { width: 256, sqrtd_embeddings, ..Birth::default() };
        let (params, _) = built(&settings, 64);
        for name in ["embed", "pos"] {
            let values = numbers(&matrix(&params, name));
            let square = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
            assert!((square.sqrt() / expected - 1.0).abs() < 0.05, "{name}: {}", square.sqrt());
        }
    }
}

#[test]
fn matrices_are_drawn_as_in_torch() {
    let mut params = Params::new(1);
    Birth::default().build(Sequences::of_tokens(65, 256), &mut params).unwrap();
    let bound = 1.0 / 128f32.sqrt();
    for param in params.all() {
        let values = numbers(params.var(param).unwrap());
        let count = values.len() as f32;
        let square = values.iter().map(|x| x * x).sum::<f32>() / count;
        let (largest, expected) = match params.name(param) {
            "embed" | "pos" => (6.0, 1.0),
            _ => (bound, bound * bound / 3.0),
        };
        assert!(values.iter().all(|x| x.abs() <= largest), "{}", params.name(param));
        assert!((square / expected - 1.0).abs() < 0.06, "{}: {square}", params.name(param));
    }
    let trained: Vec<&str> =
        params.all().filter(|&p| params.is_trained(p)).map(|p| params.name(p)).collect();
    assert_eq!(trained, ["layer0.wk", "layer1.wk", "layer1.wo", "layer1.wf"]);
}

/// Deltas of the logits as if the loss were their sum of squares: a smooth loss that is easy to derive.
fn weights_of_loss(batch: usize, length: usize) -> (Vec<u32>, Vec<f32>) {
    let targets = numbers(&tokens(batch, length).to_dtype(DType::F32).unwrap());
    let targets: Vec<u32> = targets.iter().map(|&t| (t as u32 + 1) % 11).collect();
    let weight: Vec<f32> = (0..targets.len()).map(|i| f32::from(u8::from(i % 3 != 0))).collect();
    let count: f32 = weight.iter().sum();
    (targets, weight.iter().map(|w| w / count).collect())
}

fn gradients(params: &Params, model: &dyn Model, tokens: &Tensor) -> GradStore {
    let (batch, length) = tokens.dims2().unwrap();
    let (targets, weight) = weights_of_loss(batch, length);
    let logits = logits(params, model, tokens);
    cross_entropy(&logits, &targets, &weight).unwrap().backward().unwrap()
}

fn gradient<'a>(grads: &'a GradStore, params: &Params, name: &str) -> &'a Tensor {
    grads.get(params.var(params.find(name).unwrap()).unwrap().as_tensor()).unwrap()
}

/// Σ over sequences and positions of a bᵀ.
fn outer(a: &Tensor, b: &Tensor) -> Tensor {
    a.transpose(1, 2).unwrap().contiguous().unwrap().matmul(b).unwrap().sum(0).unwrap()
}

#[test]
fn gradients_of_the_second_layer_follow_their_formulas() {
    let (params, model) = built(&settings(), 80);
    let tokens = tokens(2, 80);
    let grads = gradients(&params, &*model, &tokens);
    let of = formula(&params, &tokens);
    let m = |name: &str| matrix(&params, name);
    // delta = weight (softmax − onehot)
    let (targets, weight) = weights_of_loss(2, 80);
    let shifted = of.logits.broadcast_sub(&of.logits.max_keepdim(2).unwrap()).unwrap();
    let p = shifted.exp().unwrap();
    let p = p.broadcast_div(&p.sum_keepdim(2).unwrap()).unwrap();
    let onehot: Vec<f32> =
        targets.iter().flat_map(|&t| (0..11).map(move |k| f32::from(u8::from(k == t)))).collect();
    let onehot = Tensor::from_vec(onehot, (2, 80, 11), &Device::Cpu).unwrap();
    let weight = Tensor::from_vec(weight, (2, 80, 1), &Device::Cpu).unwrap();
    let delta = (p - onehot).unwrap().broadcast_mul(&weight).unwrap();
    // g = W_Uᵀ delta, G = g + W_Fᵀ g
    let g = delta.broadcast_matmul(&m("unembed")).unwrap();
    let full = (&g + g.broadcast_matmul(&m("layer1.wf")).unwrap()).unwrap();
    assert_close(gradient(&grads, &params, "W_F"), &outer(&g, &of.x2), 2e-5);
    let pattern = of.pattern2.squeeze(1).unwrap();
    let values = times(&of.x1, &m("layer1.wv"));
    let attended = pattern.matmul(&values).unwrap();
    assert_close(gradient(&grads, &params, "W_O2"), &outer(&full, &attended), 2e-5);
    // r_ts = (W_O2ᵀ G_t) · (W_V2 x1_s)
    let back = full.broadcast_matmul(&m("layer1.wo")).unwrap();
    let r = back.matmul(&values.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap();
    let mean = (&pattern * &r).unwrap().sum_keepdim(2).unwrap();
    let r = (r.broadcast_sub(&mean).unwrap() * 0.25).unwrap();
    let dscores = (&pattern * r).unwrap();
    let wk2 = outer(&of.x1, &dscores.matmul(&of.x1).unwrap());
    assert_close(gradient(&grads, &params, "W_K2"), &wk2, 2e-5);
}

#[test]
fn all_gradients_are_the_slopes_of_the_loss() {
    for feed_forward in [FeedForward::Linear, FeedForward::Mlp] {
        let everything =
            Birth { train_embeddings: true, train_unembedding: true, feed_forward, ..settings() };
        let (params, model) = built(&everything, 40);
        let tokens = tokens(2, 40);
        let grads = gradients(&params, &*model, &tokens);
        let (targets, weight) = weights_of_loss(2, 40);
        let loss = || {
            let logits = logits(&params, &*model, &tokens);
            let loss = cross_entropy(&logits, &targets, &weight).unwrap();
            f64::from(loss.to_scalar::<f32>().unwrap())
        };
        for param in params.all().filter(|&p| params.is_trained(p)) {
            let var = params.var(param).unwrap();
            let gradient = grads.get(var.as_tensor()).unwrap();
            // Along the gradient the slope is its norm.
            let norm =
                f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
                    .sqrt();
            let before = var.as_detached_tensor().copy().unwrap();
            let at = |by: f64| {
                var.set(&(&before + (gradient * (by / norm)).unwrap()).unwrap()).unwrap();
                loss()
            };
            let step = 2e-2;
            let slope = (at(step) - at(-step)) / (2.0 * step);
            at(0.0);
            let name = params.name(param);
            assert!((slope / norm - 1.0).abs() < 0.02, "{name}: slope {slope}, gradient {norm}");
        }
    }
}

#[test]
fn a_frozen_matrix_gets_no_gradient_and_changes_no_other() {
    let (mut params, model) = built(&settings(), 30);
    let tokens = tokens(2, 30);
    let all = gradients(&params, &*model, &tokens);
    params.set_frozen("W_K1", true).unwrap();
    params.set_frozen("W_O2", true).unwrap();
    let some = gradients(&params, &*model, &tokens);
    for name in ["layer0.wk", "layer1.wo"] {
        assert!(some.get(params.var(params.find(name).unwrap()).unwrap().as_tensor()).is_none());
    }
    for name in ["layer1.wk", "layer1.wf"] {
        let (a, b) = (gradient(&all, &params, name), gradient(&some, &params, name));
        assert_eq!(numbers(a), numbers(b));
    }
}

#[test]
fn watching_every_point_changes_nothing_beyond_float_noise() {
    for feed_forward in [FeedForward::None, FeedForward::Linear, FeedForward::Mlp] {
        let settings = Birth { feed_forward, ..settings() };
        let (params, model) = built(&settings, 50);
        let tokens = tokens(2, 50);
        let sites = (0..2)
            .flat_map(|layer| Point::ALL.iter().map(move |&(point, _)| Site { layer, point }))
            .collect();
        let mut tap = EditAndCapture::new(Vec::new(), sites);
        let watched = model.forward(&params, &Input::new(&tokens), &mut tap).unwrap().logits;
        assert_close(&watched, &logits(&params, &*model, &tokens), 1e-5);
        let seen = |layer, point| &tap.captured[&Site { layer, point }];
        assert_eq!(seen(1, Point::Pattern).dims(), [2, 1, 50, 50]);
        assert_eq!(seen(0, Point::V).dims(), [2, 1, 50, 16]);
        let mid = (seen(0, Point::ResidPre) + seen(0, Point::AttnOut)).unwrap();
        assert_close(seen(0, Point::ResidMid), &mid, 1e-6);
        assert_eq!(numbers(seen(1, Point::Logits)), numbers(&watched));
    }
}

#[test]
fn a_changed_embedding_reaches_the_values_of_the_first_layer() {
    let (params, model) = built(&settings(), 12);
    let tokens = tokens(1, 12);
    let run = |points: &[Point]| {
        let keep = points.iter().map(|&point| Site { layer: 0, point }).collect();
        let cut = "zero layer0.resid_pre@3".parse().unwrap();
        model
            .forward(
                &params,
                &Input::new(&tokens),
                &mut EditAndCapture::new(Edit::of_all(&[cut], &params).unwrap(), keep),
            )
            .unwrap()
            .logits
    };
    // With the values watched they are computed from the stream itself.
    assert_close(&run(&[]), &run(&[Point::V]), 1e-5);
}

#[test]
fn a_later_token_changes_no_earlier_logit() {
    for positions in [Positions::Random, Positions::Sinusoidal, Positions::Rotary] {
        let (params, model) = built(&Birth { positions, ..settings() }, 70);
        let mut ids = tokens(1, 70).flatten_all().unwrap().to_vec1::<u32>().unwrap();
        let logits_of = |ids: &[u32]| {
            let tokens = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
            logits(&params, &*model, &tokens).narrow(1, 0, 66).unwrap()
        };
        let before = logits_of(&ids);
        ids[66..].fill(2);
        assert_close(&logits_of(&ids), &before, 1e-6);
        assert_close(&logits_of(&ids[..66]), &before, 1e-6);
        ids[60] = (ids[60] + 1) % 11;
        let changed = numbers(&logits_of(&ids)) != numbers(&before);
        assert!(changed, "an earlier token matters");
    }
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let (params, model) = built(&settings(), 8);
    let error = model.forward(&params, &Input::new(&tokens(1, 9)), &mut Untapped).err().unwrap();
    assert!(error.message.contains("9 tokens") && error.message.contains("at most 8"), "{error}");
}

#[test]
fn tied_output_reads_with_the_embeddings() {
    let (params, model) = built(&Birth { tie_output: true, ..settings() }, 8);
    assert!(params.find("unembed").is_none());
    let tokens = tokens(1, 8);
    let mut tap = EditAndCapture::new(Vec::new(), vec![Site { layer: 1, point: Point::Final }]);
    let out = model.forward(&params, &Input::new(&tokens), &mut tap).unwrap().logits;
    let last = &tap.captured[&Site { layer: 1, point: Point::Final }];
    assert_close(&out, &(times(last, &matrix(&params, "embed")) / 16.0).unwrap(), 1e-5);
}

/// Gradients of `W_K2` summed over shards of one sequence, as bytes.
fn summed_on(threads: usize) -> Vec<u32> {
    let (params, model) = built(&settings(), 70);
    let all = tokens(12, 70);
    let mut sum: Option<Tensor> = None;
    let work = |i: usize| {
        let grads = gradients(&params, &*model, &all.narrow(0, i, 1)?);
        Ok(gradient(&grads, &params, "W_K2").clone())
    };
    let take = |shard: Tensor| {
        sum = Some(match &sum {
            None => shard,
            Some(sum) => (sum + shard)?,
        });
        Ok(())
    };
    Pool::new(threads).unwrap().fold_in_order(12, work, take).unwrap();
    numbers(&sum.unwrap()).iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let one = summed_on(1);
    assert_eq!(one, summed_on(2));
    assert_eq!(one, summed_on(7));
}

/// Share of the positions whose answer was seen before at which the model gives it.
fn in_context_accuracy(params: &Params, model: &dyn Model, batch: &Batch) -> f64 {
    let (mut hits, mut count) = (0u32, 0u32);
    for row in 0..batch.rows {
        let row = batch.row(row);
        let tokens = Tensor::from_slice(&row.tokens, (1, row.len()), &Device::Cpu).unwrap();
        let best = logits(params, model, &tokens).argmax(2).unwrap();
        let best: Vec<u32> = best.flatten_all().unwrap().to_vec1().unwrap();
        for (i, best) in best.into_iter().enumerate() {
            if row.occurrence[i] >= 2 {
                count += 1;
                hits += u32::from(best == row.targets[i]);
            }
        }
    }
    f64::from(hits) / f64::from(count)
}

/// What ideal memories in freshly drawn embeddings reach, on sequences with five fixed triggers: recall of `W_K1`,
/// `W_K2` and `W_O2`, and in-context accuracy.
fn ideal(width: usize, seed: u64, rows: usize) -> [f64; 4] {
    let settings = Birth { width, feed_forward: FeedForward::None, ..Birth::default() };
    let mut params = Params::new(seed);
    let model = settings.build(Sequences::of_tokens(65, 256), &mut params).unwrap();
    let all: Vec<u32> = (0..65).collect();
    let strengths = Strengths { previous: 10.0, matching: 10.0, output: 10.0 };
    birth::ideal(&settings, &params, strengths, &all).unwrap();
    let sequences = batch(&*Bigram::default().open().unwrap(), seed, 0, rows);
    let [wk1, wk2, wo2] = recall(&params);
    [wk1, wk2, wo2, in_context_accuracy(&params, &*model, &sequences)]
}

/// Recall of `W_K1`, `W_K2` and `W_O2`: the share of associations whose score is the largest.
fn recall(params: &Params) -> [f64; 3] {
    let m = |name: &str| matrix(params, name);
    let (embed, pos) = (m("embed"), m("pos"));
    let remapped = times(&times(&embed, &m("layer0.wv")), &m("layer0.wo"));
    let values = times(&embed, &m("layer1.wv"));
    let last = pos.dim(0).unwrap() - 1;
    let (queries, keys) = (pos.narrow(0, 1, last).unwrap(), pos.narrow(0, 0, last).unwrap());
    [
        largest_on_the_diagonal(&queries, &times(&keys, &m("layer0.wk"))),
        largest_on_the_diagonal(&embed, &times(&remapped, &m("layer1.wk"))),
        largest_on_the_diagonal(&times(&values, &m("layer1.wo")), &m("unembed")),
    ]
}

/// The share of rows `i` of `a · bᵀ` whose largest number is the `i`-th.
fn largest_on_the_diagonal(a: &Tensor, b: &Tensor) -> f64 {
    let best = times(a, b).argmax(1).unwrap().to_vec1::<u32>().unwrap();
    let hits = best.iter().zip(0..).filter(|(best, i)| *best == i).count();
    hits as f64 / best.len() as f64
}

/// What ideal memories are known to reach: recall of `W_K1`, `W_K2` and `W_O2`, and in-context accuracy.
struct Known {
    width: usize,
    /// Of one draw of random embeddings, in the description that the model was written from.
    one_draw: [f64; 4],
    /// Means over draws of another program of the same construction: 200 for recall, 25 of 32 sequences for accuracy.
    mean: [f64; 4],
    /// Standard deviations between those draws.
    spread: [f64; 4],
}

#[track_caller]
fn assert_ideal(known: &Known, seeds: u64, rows: usize) {
    let draws: Vec<[f64; 4]> = (0..seeds).map(|seed| ideal(known.width, seed, rows)).collect();
    // Three standard errors of the difference of two means.
    let errors = 3.0 * (1.0 / seeds as f64 + 1.0 / 25.0).sqrt();
    for (i, what) in ["recall of W_K1", "of W_K2", "of W_O2", "accuracy"].into_iter().enumerate() {
        let mean = draws.iter().map(|draw| draw[i]).sum::<f64>() / seeds as f64;
        let (expected, spread) = (known.mean[i], known.spread[i]);
        let apart = (mean - expected).abs();
        assert!(apart <= errors * spread, "{what}: {mean}, not {expected}");
        // The single draw need only be one of ours: its recall of W_O2 in 64 dimensions is as low as 1 of 200 is.
        let apart = (mean - known.one_draw[i]).abs();
        assert!(apart <= 4.0 * spread, "{what}: {mean}, one draw had {}", known.one_draw[i]);
    }
}

#[test]
fn ideal_memories_in_few_dimensions_are_recalled_in_part() {
    let known = Known {
        width: 64,
        one_draw: [0.655, 0.923, 0.846, 0.139],
        mean: [0.671, 0.945, 0.937, 0.192],
        spread: [0.028, 0.033, 0.031, 0.043],
    };
    assert_ideal(&known, 8, 24);
}

#[test]
fn ideal_memories_are_recalled_before_they_make_an_induction_head() {
    let known = Known {
        width: 128,
        one_draw: [0.996, 1.0, 1.0, 0.626],
        mean: [0.998, 0.999, 1.0, 0.539],
        spread: [0.003, 0.004, 0.002, 0.058],
    };
    assert_ideal(&known, 8, 24);
}

#[test]
fn ideal_memories_make_an_induction_head() {
    let known = Known {
        width: 256,
        one_draw: [1.0, 1.0, 1.0, 0.905],
        mean: [1.0, 1.0, 1.0, 0.875],
        spread: [0.0, 0.0, 0.0, 0.029],
    };
    assert_ideal(&known, 8, 24);
}

#[test]
fn ideal_memories_in_many_dimensions_are_almost_perfect() {
    let known = Known {
        width: 512,
        one_draw: [1.0, 1.0, 1.0, 0.983],
        mean: [1.0, 1.0, 1.0, 0.982],
        spread: [0.0, 0.0, 0.0, 0.012],
    };
    assert_ideal(&known, 2, 24);
}

#[test]
fn ideal_memories_need_position_vectors() {
    let settings = Birth { positions: Positions::Rotary, ..settings() };
    let (params, _) = built(&settings, 8);
    let strengths = Strengths { previous: 1.0, matching: 1.0, output: 1.0 };
    let error = birth::ideal(&settings, &params, strengths, &[0]).unwrap_err();
    assert!(error.message.contains("pos"), "{error}");
}
