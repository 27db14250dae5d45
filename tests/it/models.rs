//! What every model of the registry keeps, with its default settings and with each of its settings changed.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use mnemoscope::Result;
use mnemoscope::base::batch::Batch;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::settings::{self, Slot};
use mnemoscope::model::{self, Architecture, Input, Model, Output, Sequences, pass};
use mnemoscope::nn::activation::Activation;
use mnemoscope::nn::loss::{beside, cross_entropy};
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{Captured, Part, Tap, Untapped};
use mnemoscope::nn::tape::{Numbers, Tape, Workspace};
use mnemoscope::nn::wire::{Map, Wire};
use toml::Value;

const VOCAB: u32 = 11;
/// Longer than a tile of the fused attention.
const LENGTH: usize = 70;

/// A model of the registry with some of its settings changed.
pub struct Variation {
    pub name: String,
    pub settings: Box<dyn Architecture>,
}

impl Variation {
    pub fn changed(&self, setting: &str, value: &Value) -> Self {
        let mut settings = self.settings.boxed();
        settings::set(&mut *settings, "model.", setting, value).unwrap();
        Self { name: format!("{}, {setting} = {value}", self.name), settings }
    }

    /// Each choice and each switch thrown, one after the other.
    fn neighbours(&self) -> Vec<Self> {
        let mut changes = Vec::new();
        self.settings.boxed().each(&mut |spec, slot| match slot {
            Slot::Bool(on) => changes.push((spec.name, Value::Boolean(!*on))),
            Slot::Choice(choice) => {
                let names = choice.names().iter().enumerate();
                let others = names.filter(|(i, _)| *i != choice.index());
                changes.extend(others.map(|(_, name)| (spec.name, Value::from(*name))));
            }
            Slot::Int(_) | Slot::Float(_) | Slot::Text(_) => (),
        });
        changes.iter().map(|(setting, value)| self.changed(setting, value)).collect()
    }

    /// A network whose every trained number is far from where it starts, so that no gradient is zero by accident.
    pub fn build(&self, length: usize) -> (Box<dyn Model>, Params) {
        let mut params = Params::new(3);
        let model =
            self.settings.build(Sequences::of_tokens(VOCAB as usize, length), &mut params).unwrap();
        let mut weights = params.weights(0).unwrap();
        for tensor in weights.tensors.iter_mut().filter(|t| t.trained) {
            let noise = Init::Normal(0.7 * usual_size(&tensor.shape));
            let noise = draw(5, &tensor.name, tensor.data.len(), noise);
            tensor.data = tensor.data.iter().zip(noise).map(|(w, n)| w + n).collect();
        }
        params.load(&weights).unwrap();
        (model, params)
    }
}

/// About how large the numbers of a tensor are that keeps the size of what it maps.
fn usual_size(shape: &[usize]) -> f64 {
    1.0 / (shape[shape.len() - 1] as f64).sqrt()
}

pub fn defaults() -> Vec<Variation> {
    let of = |entry: &mnemoscope::base::registry::Entry<dyn Architecture>| Variation {
        name: entry.name.to_owned(),
        settings: (entry.make)(),
    };
    model::ALL.iter().map(of).collect()
}

/// Every model as it comes and with each of its choices and switches changed.
pub fn variations() -> Vec<Variation> {
    let mut all = defaults();
    all.extend(defaults().iter().flat_map(Variation::neighbours));
    // Tables made of frozen embeddings stand in for a matrix product; trained ones may not.
    for positions in ["sinusoidal", "rotary"] {
        let trained = defaults()[0].changed("train_embeddings", &true.into());
        all.push(trained.changed("positions", &positions.into()));
    }
    all
}

pub fn ids(rows: usize, length: usize) -> Vec<u32> {
    (0..(rows * length) as u32).map(|i| (i * i + 5 * i + i / 7) % VOCAB).collect()
}

pub fn tokens(ids: &[u32], rows: usize) -> Tensor {
    Tensor::from_slice(ids, (rows, ids.len() / rows), &Device::Cpu).unwrap()
}

fn numbers_of(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn logits(model: &dyn Model, params: &Params, tokens: &Tensor) -> Vec<f32> {
    numbers_of(&model.forward(params, &Input::new(tokens), &mut Untapped).unwrap().logits)
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, number {i}: {a} against {b}");
    }
}

/// Targets and weights of positions: two of three count.
pub fn loss_over(ids: &[u32]) -> (Vec<u32>, Vec<f32>) {
    let targets = ids.iter().map(|t| (t + 1) % VOCAB).collect();
    let counts: Vec<f32> = (0..ids.len()).map(|i| f32::from(u8::from(i % 3 != 0))).collect();
    let count: f32 = counts.iter().sum();
    (targets, counts.iter().map(|c| c / count).collect())
}

/// The loss of the logits, and what the network itself adds.
pub fn whole_loss(output: &Output, targets: &[u32], weight: &[f32]) -> Tensor {
    let of_logits = cross_entropy(&output.logits, targets, weight).unwrap();
    match &output.beside {
        Some(of_each) => (of_logits + beside(of_each, weight).unwrap()).unwrap(),
        None => of_logits,
    }
}

/// Gradients of all parameters under a tap; `None` where there is none.
pub fn gradients(
    model: &dyn Model,
    params: &Params,
    ids: &[u32],
    tap: &mut dyn Tap,
) -> Vec<Option<Vec<f32>>> {
    let (targets, weight) = loss_over(ids);
    let output = model.forward(params, &Input::new(&tokens(ids, 2)), tap).unwrap();
    let grads = whole_loss(&output, &targets, &weight).backward().unwrap();
    params.all().map(|p| grads.get(params.var(p).unwrap().as_tensor()).map(numbers_of)).collect()
}

/// The loss in double precision, from the logits of the network.
pub fn loss(model: &dyn Model, params: &Params, ids: &[u32]) -> f64 {
    let (targets, weight) = loss_over(ids);
    let logits = logits(model, params, &tokens(ids, 2));
    let each = logits.chunks(VOCAB as usize).zip(targets).zip(weight);
    each.map(|((row, target), weight)| {
        let top = row.iter().fold(f64::MIN, |m, x| m.max(f64::from(*x)));
        let sum: f64 = row.iter().map(|x| (f64::from(*x) - top).exp()).sum();
        f64::from(weight) * (top + sum.ln() - f64::from(row[target as usize]))
    })
    .sum()
}

/// Slopes of the loss where the `index`-th parameter moves by `direction`: central differences, each closer than the one
/// before. All weights are loaded anew, so that nothing computed from the old ones is left.
pub fn slopes(
    model: &dyn Model,
    params: &mut Params,
    ids: &[u32],
    index: usize,
    direction: &[f32],
) -> [f64; 4] {
    let start = params.weights(0).unwrap();
    let mut loss_at = |by: f64| {
        let mut moved = start.clone();
        let data = start.tensors[index].data.iter().zip(direction);
        moved.tensors[index].data = data.map(|(x, d)| x + by as f32 * d).collect();
        params.load(&moved).unwrap();
        loss(model, params, ids)
    };
    let slopes = [1e-2, 3e-3, 1e-3, 1e-4].map(|by| (loss_at(by) - loss_at(-by)) / (2.0 * by));
    loss_at(0.0);
    slopes
}

/// Gradients against slopes along random directions, each parameter on its own.
#[track_caller]
pub fn assert_gradients_are_slopes(variation: &Variation, length: usize, directions: u64) {
    let (model, mut params) = variation.build(length);
    let ids = ids(2, length);
    let grads = gradients(&*model, &params, &ids, &mut Untapped);
    let norm = |grad: &[f32]| grad.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
    let whole = norm(&grads.iter().flatten().flatten().copied().collect::<Vec<f32>>());
    for (index, (param, grad)) in params.all().zip(grads).enumerate() {
        let name = format!("{}: {}", variation.name, params.name(param));
        let Some(grad) = grad else {
            assert!(!params.is_trained(param), "{name} has no gradient");
            continue;
        };
        assert!(params.is_trained(param), "{name} is never trained, and has a gradient");
        // A random direction has a slope of about the gradient's norm. That of a bias of all keys is zero: attention
        // does not see what all keys share.
        let size = usual_size(params.var(param).unwrap().dims());
        let scale = size * norm(&grad).max(0.03 * whole);
        for seed in 0..directions {
            let direction = draw(seed, &name, grad.len(), Init::Normal(size));
            let expected: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            let found = slopes(&*model, &mut params, &ids, index, &direction);
            // Far apart the differences pass kinks of a ReLU, close by they drown in rounding: one has to meet it.
            let meets = found.iter().any(|slope| (slope - expected).abs() < 0.02 * scale);
            assert!(meets, "{name}: slopes {found:?}, gradient {expected}, scale {scale}");
        }
    }
}

#[test]
fn gradients_of_every_model_are_slopes_of_the_loss_along_random_directions() {
    for variation in defaults() {
        assert_gradients_are_slopes(&variation, LENGTH, 3);
    }
}

#[test]
fn gradients_are_slopes_whatever_choice_or_switch_is_changed() {
    for variation in variations() {
        assert_gradients_are_slopes(&variation, 14, 2);
    }
}

#[test]
fn no_position_of_any_model_sees_a_later_token() {
    let early = 66;
    for variation in variations() {
        let (model, params) = variation.build(LENGTH);
        let whole = ids(1, LENGTH);
        let of = |ids: &[u32]| logits(&*model, &params, &tokens(ids, 1));
        let before = of(&whole);
        let split = early * VOCAB as usize;
        let mut changed = whole.clone();
        changed[early] = (changed[early] + 1) % VOCAB;
        let after = of(&changed);
        assert_close(&after[..split], &before[..split], 1e-6, &variation.name);
        assert_ne!(after[split..], before[split..], "{}: at it and later", variation.name);
        assert_close(&of(&whole[..early]), &before[..split], 1e-5, &variation.name);
    }
}

#[test]
fn an_earlier_token_reaches_the_last_position_of_every_model() {
    for variation in variations() {
        let (model, params) = variation.build(LENGTH);
        let whole = ids(1, LENGTH);
        let mut changed = whole.clone();
        changed[2] = (changed[2] + 1) % VOCAB;
        let last = |ids: &[u32]| {
            let all = logits(&*model, &params, &tokens(ids, 1));
            all[all.len() - VOCAB as usize..].to_vec()
        };
        assert_ne!(last(&changed), last(&whole), "{}", variation.name);
    }
}

/// Wants every point and changes none.
struct Everything(Captured);

impl Tap for Everything {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        let known = self.0.insert(site, x.clone());
        assert!(known.is_none(), "{site} is passed once");
        Ok(x)
    }

    /// Piece by piece in networks that go position after position.
    fn at_part(&mut self, site: Site, _: Part, x: Tensor) -> Result<Tensor> {
        self.0.insert(site, x.clone());
        Ok(x)
    }
}

#[test]
fn a_watched_pass_of_every_model_equals_the_fused_one_gradients_included() {
    for variation in variations() {
        let (model, params) = variation.build(LENGTH);
        let whole = ids(2, LENGTH);
        let fused = logits(&*model, &params, &tokens(&whole, 2));
        let mut tap = Everything(Captured::new());
        let input = tokens(&whole, 2);
        let watched = model.forward(&params, &Input::new(&input), &mut tap).unwrap().logits;
        assert_close(&numbers_of(&watched), &fused, 1e-5, &variation.name);
        assert!(!tap.0.is_empty(), "{} passes points", variation.name);
        let of = |tap: &mut dyn Tap| gradients(&*model, &params, &whole, tap);
        let (fused, watched) = (of(&mut Untapped), of(&mut Everything(Captured::new())));
        let largest = fused.iter().flatten().flatten().fold(0.0, |m: f32, g| m.max(g.abs()));
        for ((param, fused), watched) in params.all().zip(fused).zip(watched) {
            let name = format!("{}: {}", variation.name, params.name(param));
            assert_eq!(fused.is_some(), watched.is_some(), "{name}");
            let pairs = fused.iter().flatten().zip(watched.iter().flatten());
            let apart = pairs.fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
            assert!(apart <= 1e-5 * largest, "{name}: {apart} apart, the largest is {largest}");
        }
    }
}

#[test]
fn a_value_that_an_activation_used_up_is_not_read_again() {
    let mut params = Params::new(0);
    let table = params.add("embed", &[5, 4], Init::Normal(1.0), true).unwrap();
    let square = Map::plain(params.add("w", &[4, 4], Init::Normal(1.0), true).unwrap());
    let batch = Batch { rows: 1, len: 3, tokens: vec![1, 2, 3], ..Batch::default() };
    let work = Workspace::default();
    let numbers = Numbers::of(&params, 3, &work).unwrap();
    let mut tape = Tape::new(&numbers, &batch, &[1.0; 3]);
    let x = tape.embed(table, None).unwrap();
    let hidden = tape.activate(x, Activation::Relu).unwrap();
    assert!(tape.linear(&hidden, square).is_ok());
    for again in [
        tape.linear(&x, square),
        tape.write(Site { layer: 0, point: Point::MlpOut }, &x, &hidden, square),
        tape.scale(&x, 2.0),
        tape.swiglu(&x, &hidden),
        tape.activate(x, Activation::Relu),
    ] {
        assert!(again.unwrap_err().message.contains("read again after its activation"));
    }
}

/// Loss and gradients of two sequences by the tape, as one shard of a batch of `rows` positions.
pub fn taped(
    model: &dyn Model,
    params: &Params,
    batch: &Batch,
    weight: &[f32],
    rows: usize,
    work: &Workspace,
) -> (f64, Vec<Option<Vec<f32>>>) {
    let numbers = Numbers::of(params, rows, work).unwrap();
    let mut tape = Tape::new(&numbers, batch, weight);
    assert!(model.record(&mut tape).unwrap(), "the models of the registry have a tape");
    let mut found = tape.backward().unwrap();
    numbers.unfold(&found.folds, &mut found.grads);
    (found.loss, found.grads)
}

/// The tape against the pass over tensors; `sparse` leaves few positions in the loss.
#[track_caller]
pub fn assert_tape_agrees(variation: &Variation, frozen: Option<&str>, sparse: bool, rows: usize) {
    let (model, mut params) = variation.build(LENGTH);
    if let Some(name) = frozen {
        params.set_frozen(name, true).unwrap();
    }
    let ids = ids(2, LENGTH);
    let (targets, mut weight) = loss_over(&ids);
    if sparse {
        weight.iter_mut().enumerate().filter(|(i, _)| i % 5 != 0).for_each(|(_, w)| *w = 0.0);
    }
    let output = model.forward(&params, &Input::new(&tokens(&ids, 2)), &mut Untapped).unwrap();
    let loss = whole_loss(&output, &targets, &weight);
    let grads = loss.backward().unwrap();
    let expected: Vec<Option<Vec<f32>>> = params
        .all()
        .map(|p| grads.get(params.var(p).unwrap().as_tensor()).map(numbers_of))
        .collect();
    let batch = Batch { rows: 2, len: LENGTH, tokens: ids, targets, ..Batch::default() };
    let work = Workspace::default();
    let mut waiting = Vec::new();
    // The second time the buffers hold what the first left behind.
    for _ in 0..3 {
        let (found, grads) = taped(&*model, &params, &batch, &weight, rows, &work);
        let name = format!("{}, frozen: {frozen:?}, of {rows} rows", variation.name);
        let wanted = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((found - wanted).abs() < 1e-5 * wanted.abs(), "{name}: {found}, {wanted}");
        let largest = expected.iter().flatten().flatten().fold(0.0, |m: f32, g| m.max(g.abs()));
        for ((param, expected), found) in params.all().zip(&expected).zip(&grads) {
            let name = format!("{name}: {}", params.name(param));
            assert_eq!(found.is_some(), expected.is_some(), "{name}");
            let pairs = expected.iter().flatten().zip(found.iter().flatten());
            let apart = pairs.fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
            assert!(apart <= 2e-5 * largest, "{name}: {apart} apart, the largest is {largest}");
        }
        grads.into_iter().flatten().for_each(|buffer| work.give(buffer));
        work.give(vec![0.0; LENGTH]);
        waiting.push(work.waiting());
    }
    assert!(waiting[0] > 0 && waiting.iter().all(|n| *n == waiting[0]), "{waiting:?}");
}

#[test]
fn the_tape_of_every_model_finds_the_gradients_of_the_pass_over_tensors() {
    for variation in variations() {
        assert_tape_agrees(&variation, None, false, 2 * LENGTH);
        // As part of a batch so large that tables are mapped instead of rows.
        assert_tape_agrees(&variation, None, true, 100 * LENGTH);
    }
}

#[test]
fn the_tape_leaves_out_what_is_frozen() {
    for variation in defaults() {
        let (_, params) = variation.build(LENGTH);
        for param in params.all().filter(|p| params.is_trained(*p)) {
            assert_tape_agrees(&variation, Some(params.name(param)), false, 100 * LENGTH);
        }
    }
}

/// Notes every place that is passed, whole or in pieces.
#[derive(Default)]
struct Places(BTreeSet<Site>);

impl Tap for Places {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn at(&mut self, site: Site, x: Tensor) -> Result<Tensor> {
        self.0.insert(site);
        Ok(x)
    }

    fn at_part(&mut self, site: Site, _: Part, x: Tensor) -> Result<Tensor> {
        self.at(site, x)
    }
}

/// The tape keeps what the pass over tensors keeps, of all places at once and of each alone.
#[track_caller]
pub fn assert_tape_keeps(variation: &Variation, length: usize) {
    let (model, params) = variation.build(length);
    let ids = ids(2, length);
    let mut places = Places::default();
    model.forward(&params, &Input::new(&tokens(&ids, 2)), &mut places).unwrap();
    let all: Vec<Site> = places.0.into_iter().collect();
    assert!(!all.is_empty(), "{}", variation.name);
    let batch = Batch { rows: 2, len: length, tokens: ids, ..Batch::default() };
    let work = Workspace::default();
    let reads = vec![1.0; batch.tokens.len()];
    let check = |sites: &[Site], rows: usize, wants_logits: bool| {
        let numbers = Numbers::of(&params, rows, &work).unwrap();
        let asked = (&batch, &*reads);
        let (logits, kept) =
            pass::on_tape(&*model, &numbers, asked, sites, wants_logits).unwrap().unwrap();
        let (wanted, expected) =
            pass::forward(&*model, &params, &batch, &[], sites, wants_logits).unwrap();
        let name = format!("{}, {sites:?}", variation.name);
        assert_eq!(logits.is_some(), wanted.is_some(), "{name}");
        for (logits, wanted) in logits.iter().zip(&wanted) {
            assert_close(&numbers_of(logits), &numbers_of(wanted), 1e-5, &name);
        }
        assert!(kept.keys().eq(expected.keys()), "{name}: {:?}", kept.keys());
        for &site in sites {
            let of = |captured: &Captured| captured.whole(site).unwrap().unwrap();
            let ((kept, memory), (expected, before)) = (of(&kept), of(&expected));
            assert_eq!((kept.dims(), memory), (expected.dims(), before), "{name}: {site}");
            let (kept, expected) = (numbers_of(&kept), numbers_of(&expected));
            assert_close(&kept, &expected, 1e-4, &format!("{name}: {site}"));
        }
    };
    check(&all, 2 * length, true);
    for site in &all {
        check(&[*site], 2 * length, true);
        // As part of so many rows that tables are mapped instead.
        check(&[*site], 100 * length, false);
    }
}

#[test]
fn the_tape_of_every_model_keeps_what_the_pass_over_tensors_keeps() {
    variations().iter().for_each(|variation| assert_tape_keeps(variation, LENGTH));
}

#[test]
fn logits_that_nobody_reads_may_be_left_out_and_no_others() {
    for variation in variations() {
        let (model, params) = variation.build(LENGTH);
        let batch = Batch { rows: 2, len: LENGTH, tokens: ids(2, LENGTH), ..Batch::default() };
        let work = Workspace::default();
        let found = Numbers::of(&params, batch.tokens.len(), &work).unwrap();
        let of = |reads: &[f32]| {
            let seen = pass::on_tape(&*model, &found, (&batch, reads), &[], true);
            numbers_of(&seen.unwrap().unwrap().0.unwrap())
        };
        let few: Vec<f32> = (0..2 * LENGTH).map(|i| f32::from(u8::from(i % 4 == 1))).collect();
        let (all, some) = (of(&vec![1.0; 2 * LENGTH]), of(&few));
        let vocab = VOCAB as usize;
        let rows = all.chunks(vocab).zip(some.chunks(vocab)).zip(few);
        for ((all, some), reads) in rows {
            let left_out = some.iter().all(|x| x.is_nan());
            assert!(left_out || reads == 0.0 || all == some, "{}", variation.name);
            assert!(!left_out || reads == 0.0, "{}", variation.name);
        }
    }
}
