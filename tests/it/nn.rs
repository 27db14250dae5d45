//! Kernels and the layers on them: against plain twins and finite differences, what is frozen, the shard pool.

use std::cell::Cell;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use mnemoscope::Result;
use mnemoscope::base::batch::NO_TARGET;
use mnemoscope::base::error::{Error, Kind};
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::nn::attention::{
    self, Attention, Mask, Sees, Slots, attend, merge_heads, split_heads,
};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::kernel::lanes;
use mnemoscope::nn::kernel::matrix::{Into, Matrix, multiply, product, transpose};
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::linear::{self, embed, embed_with_positions, linear, linear_into, sum};
use mnemoscope::nn::loss::{self, cross_entropy};
use mnemoscope::nn::params::{Init, Params, canonical, draw, in_paper};
use mnemoscope::nn::tap::{EditAndCapture, Tap, Untapped};

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn random(name: &str, shape: &[usize]) -> Tensor {
    let values = draw(11, name, shape.iter().product(), Init::Normal(1.0));
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn variable(name: &str, shape: &[usize]) -> Var {
    Var::from_tensor(&random(name, shape)).unwrap()
}

fn tokens(rows: usize, length: usize, vocab: u32) -> Tensor {
    let ids: Vec<u32> = (0..(rows * length) as u32).map(|i| (i * i + 3 * i) % vocab).collect();
    Tensor::from_vec(ids, (rows, length), &Device::Cpu).unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "number {i}: {a} against {b}");
    }
}

/// The gradients of the inputs under a random cotangent.
fn gradients(out: &Tensor) -> GradStore {
    let weights = random("cotangent", out.dims());
    (out * weights).unwrap().sum_all().unwrap().backward().unwrap()
}

/// Values and gradients of two functions of the same variables agree.
#[track_caller]
fn assert_twins(
    inputs: &[Var],
    ours: impl Fn(&[Tensor]) -> Result<Tensor>,
    twin: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let (ours, twin) = (ours(&tensors).unwrap(), twin(&tensors).unwrap());
    assert_eq!(ours.dims(), twin.dims());
    assert_close(&numbers(&ours), &numbers(&twin), 1e-5);
    let (ours, twin) = (gradients(&ours), gradients(&twin));
    for input in inputs {
        assert_close(&numbers(ours.get(input).unwrap()), &numbers(twin.get(input).unwrap()), 5e-5);
    }
}

/// Gradients along a random direction agree with central differences of the value.
#[track_caller]
fn assert_slopes(inputs: &[Var], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let value = |inputs: &[Tensor]| -> f64 {
        let out = f(inputs).unwrap();
        let weights = numbers(&random("cotangent", out.dims()));
        numbers(&out).iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(w)).sum()
    };
    let at: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = gradients(&f(&at).unwrap());
    for (i, input) in inputs.iter().enumerate() {
        let direction = random(&format!("direction {i}"), input.dims());
        let moved = |by: f64| {
            let mut moved: Vec<Tensor> = at.iter().map(Tensor::detach).collect();
            moved[i] = (&moved[i] + (&direction * by).unwrap()).unwrap();
            value(&moved)
        };
        let step = 1e-2;
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let along: f64 = numbers(grads.get(input).unwrap())
            .iter()
            .zip(numbers(&direction))
            .map(|(g, d)| f64::from(*g) * f64::from(d))
            .sum();
        assert!(
            (slope - along).abs() <= 5e-3 * (1.0 + slope.abs()),
            "{i}: {along} against {slope}"
        );
    }
}

#[test]
fn exponentials_are_right_to_two_units_in_the_last_place() {
    let x: Vec<f32> = (-79_990..=20_000).map(|i| i as f32 / 1000.0).collect();
    let mut out = vec![0.0; x.len()];
    lanes::exp_all(&x, &mut out);
    for (x, y) in x.iter().zip(out) {
        let exact = f64::from(*x).exp();
        assert!((f64::from(y) / exact - 1.0).abs() < 2.5e-7, "exp({x}) = {y}, not {exact}");
    }
}

#[test]
fn exponentials_of_extreme_numbers_are_zero_or_not_a_number() {
    let mut out = [1.0; 4];
    lanes::exp_all(&[-81.0, -1e30, f32::NEG_INFINITY, f32::NAN], &mut out);
    assert_eq!(out[..3], [0.0; 3]);
    assert!(out[3].is_nan());
}

#[test]
fn a_row_with_a_number_that_is_none_has_no_softmax() {
    let mut row = vec![0.5; 37];
    row[20] = f32::NAN;
    assert!(lanes::softmax_row(&mut row).is_nan());
}

#[test]
fn a_transpose_exchanges_rows_and_columns_of_any_size() {
    for (rows, columns) in [(0, 3), (3, 0), (1, 1), (5, 40), (16, 16), (32, 48), (33, 17), (50, 3)]
    {
        let x: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let mut out = vec![-1.0; x.len()];
        transpose(&x, rows, columns, &mut out);
        let expected = (0..columns).flat_map(|c| (0..rows).map(move |r| (r * columns + c) as f32));
        assert!(expected.eq(out), "{rows} rows, {columns} columns");
    }
}

#[test]
fn a_product_in_memory_of_its_own_is_the_same_bit_for_bit() {
    for (m, k, n) in [(1, 1, 1), (7, 3, 5), (70, 33, 129), (4, 0, 3), (0, 3, 4)] {
        let (a, b) =
            (draw(0, "a", m * k, Init::Normal(1.0)), draw(0, "b", n * k, Init::Normal(1.0)));
        let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, n, k).transposed());
        let mut expected = vec![1.0; m * n];
        multiply(&mut expected, n, a, b, 0.7, Into::Overwrite);
        assert_eq!(product(a, b, 0.7), expected, "{m} x {k} x {n}");
    }
}

#[test]
fn strided_products_leave_what_lies_between_alone() {
    let (a, b) = (draw(0, "a", 7 * 10, Init::Normal(1.0)), draw(0, "b", 5 * 10, Init::Normal(1.0)));
    let (a, b) = (Matrix::strided(&a, 7, 3, 10), Matrix::strided(&b[4..], 5, 3, 10));
    let mut out = vec![1.0; 7 * 6];
    multiply(&mut out, 6, a, b.transposed(), 2.0, Into::Add);
    let mut once = vec![0.0; 7 * 5];
    multiply(&mut once, 5, a, b.transposed(), 1.0, Into::Overwrite);
    for (row, once) in out.chunks_exact(6).zip(once.chunks_exact(5)) {
        assert_eq!(row[5], 1.0);
        let expected: Vec<f32> = once.iter().map(|x| 1.0 + 2.0 * x).collect();
        assert_close(&row[..5], &expected, 1e-6);
    }
}

#[test]
fn linear_maps_equal_their_twins() {
    let inputs = [variable("x", &[2, 5, 7]), variable("w", &[3, 7]), variable("b", &[3])];
    assert_twins(
        &inputs,
        |v| linear(&v[0], &v[1], Some(&v[2])),
        |v| linear::plain::linear(&v[0], &v[1], Some(&v[2])),
    );
    assert_slopes(&inputs, |v| linear(&v[0], &v[1], Some(&v[2])));
    assert_twins(
        &inputs[..2],
        |v| linear(&v[0], &v[1], None),
        |v| linear::plain::linear(&v[0], &v[1], None),
    );
    let into = [variable("r", &[2, 5, 3]), inputs[0].clone(), inputs[1].clone()];
    assert_twins(
        &into,
        |v| linear_into(&v[0], &v[1], &v[2]),
        |v| linear::plain::linear_into(&v[0], &v[1], &v[2]),
    );
    assert_slopes(&into, |v| linear_into(&v[0], &v[1], &v[2]));
}

#[test]
fn a_linear_map_may_write_into_its_own_input() {
    let inputs = [variable("x", &[2, 5, 7]), variable("w", &[7, 7])];
    assert_twins(
        &inputs,
        |v| linear_into(&v[0], &v[0], &v[1]),
        |v| linear::plain::linear_into(&v[0], &v[0], &v[1]),
    );
}

#[test]
fn sums_equal_their_twins() {
    let inputs = [variable("a", &[2, 5, 3]), variable("b", &[2, 5, 3])];
    assert_twins(&inputs, |v| sum(&v[0], &v[1]), |v| Ok((&v[0] + &v[1])?));
}

#[test]
fn embeddings_equal_their_twins_and_gather_the_gradient_of_repeated_tokens() {
    let tokens = tokens(2, 6, 5);
    let inputs = [variable("table", &[5, 4]), variable("positions", &[8, 4])];
    assert_twins(&inputs[..1], |v| embed(&v[0], &tokens), |v| linear::plain::embed(&v[0], &tokens));
    assert_twins(
        &inputs,
        |v| embed_with_positions(&v[0], &v[1], &tokens),
        |v| linear::plain::embed_with_positions(&v[0], &v[1], &tokens),
    );
}

#[test]
fn a_token_outside_the_vocabulary_is_refused_with_both_numbers() {
    let tokens = Tensor::from_slice(&[0u32, 5], (1, 2), &Device::Cpu).unwrap();
    let error = embed(&random("table", &[5, 4]), &tokens).unwrap_err();
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.message.starts_with("token 5 is none of the 5 tokens"), "{error}");
}

const HOW: Attention = Attention::causal(1, 2, 0.4);

fn queries_keys_values(length: usize) -> [Var; 3] {
    ["q", "k", "v"].map(|name| variable(name, &[2, length, 6]))
}

fn attend_to(q: &Tensor, k: &Tensor, v: &Tensor, tap: &mut dyn Tap) -> Result<Tensor> {
    attend(HOW, q, k, || Ok(v.clone()), tap)
}

fn fused(v: &[Tensor]) -> Result<Tensor> {
    attend_to(&v[0], &v[1], &v[2], &mut Untapped)
}

#[test]
fn fused_attention_equals_its_twin_within_and_across_blocks() {
    // One position, a part of a block, a block and one, three blocks.
    for length in [1, 17, 65, 192] {
        assert_twins(&queries_keys_values(length), fused, |v| {
            Ok(attention::plain::attend(HOW, &v[0], &v[1], &v[2])?.0)
        });
    }
}

/// Four heads that share two heads of keys, fewer queries than keys, and every rule.
fn rules() -> impl Iterator<Item = Attention> {
    let sees = [
        Sees::Before,
        Sees::Earlier,
        Sees::Window(5),
        Sees::Window(40),
        Sees::Block(7),
        Sees::Block(50),
        Sees::All,
        Sees::Together(7),
        Sees::Together(50),
    ];
    let masks = sees.into_iter().flat_map(|sees| [0, 3, 45].map(|memory| Mask { memory, sees }));
    masks.flat_map(|mask| {
        [(4, 2), (2, 2), (3, 1)].map(|(heads, kv_heads)| Attention {
            kv_heads,
            mask,
            ..Attention::causal(1, heads, 0.4)
        })
    })
}

#[test]
fn attention_by_any_rule_equals_its_twin_with_shared_heads_and_more_keys_than_queries() {
    for how in rules() {
        for (queries, keys) in [(1, 1), (9, 9), (70, 70), (5, 60), (66, 130)] {
            let inputs = [
                variable("q", &[2, queries, how.heads * 3]),
                variable("k", &[2, keys, how.kv_heads * 3]),
                variable("v", &[2, keys, how.kv_heads * 3]),
            ];
            assert_twins(
                &inputs,
                |v| attend(how, &v[0], &v[1], || Ok(v[2].clone()), &mut Untapped),
                |v| Ok(attention::plain::attend(how, &v[0], &v[1], &v[2])?.0),
            );
            // What is watched is the same.
            assert_twins(
                &inputs,
                |v| {
                    let mut tap = watching(&[Point::Pattern]);
                    attend(how, &v[0], &v[1], || Ok(v[2].clone()), &mut tap)
                },
                |v| Ok(attention::plain::attend(how, &v[0], &v[1], &v[2])?.0),
            );
        }
    }
}

#[test]
fn attention_of_many_heads_over_few_positions_equals_its_twin() {
    let slots = [(0, false), (0, true), (3, true)].map(|(hidden, shown)| {
        let sees = Sees::Slots(Slots { count: 2, hidden, shown });
        Attention { mask: Mask { memory: 0, sees }, ..Attention::causal(1, 4, 0.4) }
    });
    for how in rules().chain(slots) {
        // Heads for one register and a part of the next.
        for (queries, keys) in [(9, 9), (5, 30)] {
            let inputs = [
                variable("q", &[9, queries, how.heads * 3]),
                variable("k", &[9, keys, how.kv_heads * 3]),
                variable("v", &[9, keys, how.kv_heads * 5]),
            ];
            assert_twins(
                &inputs,
                |v| attend(how, &v[0], &v[1], || Ok(v[2].clone()), &mut Untapped),
                |v| Ok(attention::plain::attend(how, &v[0], &v[1], &v[2])?.0),
            );
        }
    }
}

#[test]
fn a_rule_shows_what_its_name_says() {
    let shown = |sees, memory, at| -> Vec<usize> {
        (0..10).filter(|&key| Mask { memory, sees }.shows(at, key, 10)).collect()
    };
    assert_eq!(shown(Sees::Before, 0, 3), [0, 1, 2, 3]);
    assert_eq!(shown(Sees::Earlier, 0, 3), [0, 1, 2]);
    assert_eq!(shown(Sees::Earlier, 0, 0), [0]);
    assert_eq!(shown(Sees::Window(2), 0, 6), [5, 6]);
    assert_eq!(shown(Sees::Window(2), 1, 6), [0, 5, 6]);
    assert_eq!(shown(Sees::Block(4), 0, 6), [4, 5, 6]);
    assert_eq!(shown(Sees::Block(4), 2, 7), [0, 1, 6, 7]);
    assert_eq!(shown(Sees::All, 0, 0).len(), 10);
    assert_eq!(shown(Sees::Together(4), 0, 5), [4, 5, 6, 7]);
    assert_eq!(shown(Sees::Together(4), 2, 6), [0, 1, 6, 7, 8, 9]);
}

#[test]
fn attention_has_the_slopes_of_its_values() {
    assert_slopes(&queries_keys_values(9), fused);
}

fn watching(points: &[Point]) -> EditAndCapture {
    EditAndCapture::new(Vec::new(), points.iter().map(|&point| Site { layer: 1, point }).collect())
}

#[test]
fn watched_attention_equals_the_fused_kernel_and_shows_the_pattern() {
    let inputs = queries_keys_values(70);
    assert_twins(&inputs, fused, |v| {
        attend_to(&v[0], &v[1], &v[2], &mut watching(&[Point::Scores, Point::Pattern]))
    });
    let mut tap = watching(&[Point::Q, Point::Pattern, Point::Z]);
    let z = attend_to(&inputs[0], &inputs[1], &inputs[2], &mut tap).unwrap();
    let seen = |point| &tap.captured[&Site { layer: 1, point }];
    let (_, pattern) = attention::plain::attend(HOW, &inputs[0], &inputs[1], &inputs[2]).unwrap();
    assert_eq!(seen(Point::Pattern).dims(), [2, 2, 70, 70]);
    assert_close(&numbers(seen(Point::Pattern)), &numbers(&pattern), 1e-5);
    assert_eq!(seen(Point::Q).dims(), [2, 2, 70, 3]);
    assert_eq!(numbers(&merge_heads(seen(Point::Z)).unwrap()), numbers(&z));
}

#[test]
fn values_are_not_made_for_a_tap_that_goes_no_further_than_the_pattern() {
    struct UntilPattern;
    impl Tap for UntilPattern {
        fn wants(&self, site: Site) -> bool {
            site.point == Point::Pattern
        }
        fn at(&mut self, _site: Site, _x: Tensor) -> Result<Tensor> {
            Err(Error::internal("seen enough"))
        }
    }
    let [q, k, v] = queries_keys_values(13);
    let made = Cell::new(false);
    let values = || {
        made.set(true);
        Ok(v.as_tensor().clone())
    };
    let error = attend(HOW, &q, &k, values, &mut UntilPattern).unwrap_err();
    assert_eq!((error.message.as_str(), made.get()), ("seen enough", false));
}

#[test]
fn a_changed_pattern_changes_what_is_attended_and_its_gradients() {
    struct Halve;
    impl Tap for Halve {
        fn wants(&self, site: Site) -> bool {
            site.point == Point::Pattern
        }
        fn at(&mut self, _site: Site, x: Tensor) -> Result<Tensor> {
            Ok((x * 0.5)?)
        }
    }
    assert_twins(
        &queries_keys_values(13),
        |v| attend_to(&v[0], &v[1], &v[2], &mut Halve),
        |v| Ok((fused(v)? * 0.5)?),
    );
}

/// What an intervention does that needs neither parameters nor other sequences.
fn edits(what: &Intervention) -> Vec<Edit> {
    Edit::of(what, &Params::new(0)).unwrap().into_iter().collect()
}

#[test]
fn cutting_one_head_leaves_the_other_bit_for_bit() {
    let inputs = queries_keys_values(20);
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let cut: Intervention = "zero layer1.head0".parse().unwrap();
    let mut tap = EditAndCapture::new(edits(&cut), Vec::new());
    let z = attend_to(&tensors[0], &tensors[1], &tensors[2], &mut tap).unwrap();
    let head = |z: &Tensor, h| numbers(&split_heads(z, 2).unwrap().narrow(1, h, 1).unwrap());
    assert!(head(&z, 0).iter().all(|&x| x == 0.0));
    assert_eq!(head(&z, 1), head(&fused(&tensors).unwrap(), 1));
}

#[test]
fn attention_never_looks_ahead() {
    let inputs = queries_keys_values(100).map(|v| v.as_detached_tensor());
    let later = random("later", &[2, 30, 6]);
    let changed =
        inputs.each_ref().map(|x| Tensor::cat(&[&x.narrow(1, 0, 70).unwrap(), &later], 1).unwrap());
    let before = |v: &[Tensor]| numbers(&fused(v).unwrap().narrow(1, 0, 70).unwrap());
    assert_close(&before(&changed), &before(&inputs), 1e-6);
}

#[test]
fn what_is_frozen_gets_no_gradient() {
    let [q, k, v] = queries_keys_values(10);
    let z = attend_to(&q.as_detached_tensor(), &k, &v.as_detached_tensor(), &mut Untapped);
    let w = variable("w", &[4, 6]);
    let y = linear(&z.unwrap(), &w.as_detached_tensor(), None).unwrap();
    let grads = gradients(&y);
    assert!(grads.get(&k).is_some());
    // The sum's random weights, the scalar and the results themselves aside, only the keys have one.
    for frozen in [&q, &v, &w] {
        assert!(grads.get(frozen).is_none());
    }
    assert_eq!(grads.get_ids().filter(|id| **id == k.id()).count(), 1);
}

fn targets_and_weights() -> (Vec<u32>, Vec<f32>) {
    (vec![3, NO_TARGET, 0, 18, 18, 7], vec![0.25, 0.0, 0.25, 0.1, 0.15, 0.0])
}

#[test]
fn cross_entropy_equals_its_twin_and_skips_positions_without_weight() {
    let logits = [variable("logits", &[2, 3, 19])];
    let (targets, weight) = targets_and_weights();
    assert_twins(
        &logits,
        |v| cross_entropy(&v[0], &targets, &weight),
        |v| loss::plain::cross_entropy(&v[0], &targets, &weight),
    );
    assert_slopes(&logits, |v| cross_entropy(&v[0], &targets, &weight));
    let grads = gradients(&cross_entropy(&logits[0], &targets, &weight).unwrap());
    let gradient = numbers(grads.get(&logits[0]).unwrap());
    assert!(gradient[19..38].iter().all(|&g| g == 0.0));
}

#[test]
fn uniform_logits_cost_the_logarithm_of_the_vocabulary() {
    let logits = Tensor::full(2.5f32, (1, 2, 65), &Device::Cpu).unwrap();
    let loss = cross_entropy(&logits, &[5, 64], &[0.5, 0.5]).unwrap().to_scalar::<f32>().unwrap();
    assert!((loss - 65f32.ln()).abs() < 1e-6, "{loss}");
}

#[test]
fn logits_that_are_no_numbers_give_a_loss_that_is_none() {
    let mut values = vec![0.0; 10];
    values[7] = f32::NAN;
    let logits = Tensor::from_vec(values, (1, 1, 10), &Device::Cpu).unwrap();
    let loss = cross_entropy(&logits, &[0], &[1.0]).unwrap().to_scalar::<f32>().unwrap();
    assert!(loss.is_nan());
}

#[test]
fn a_weighted_position_without_target_is_refused() {
    let logits = random("logits", &[1, 2, 19]);
    assert!(cross_entropy(&logits, &[NO_TARGET, 0], &[0.5, 0.5]).is_err());
    assert!(cross_entropy(&logits, &[0], &[1.0]).is_err());
}

#[test]
fn the_pool_gives_results_in_the_order_of_shards_on_any_number_of_threads() {
    for threads in [1, 2, 5] {
        let pool = Pool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        assert_eq!(
            pool.map(23, |i| Ok(i * i)).unwrap(),
            (0..23).map(|i| i * i).collect::<Vec<_>>()
        );
        assert!(pool.map(0, Ok).unwrap().is_empty());
        let mut order = Vec::new();
        let take = |i| {
            order.push(i);
            Ok(())
        };
        pool.fold_in_order(40, Ok, take).unwrap();
        assert_eq!(order, (0..40).collect::<Vec<_>>());
    }
}

#[test]
fn results_wait_for_few_others() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (started, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let pool = Pool::new(2).unwrap();
    let work = |_| {
        started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let take = |()| {
        let ahead = started.load(Ordering::SeqCst) - taken.fetch_add(1, Ordering::SeqCst);
        assert!(ahead <= 4, "{ahead} results were made before the first of them was taken");
        Ok(())
    };
    pool.fold_in_order(200, work, take).unwrap();
}

#[test]
fn a_panic_in_a_shard_is_an_error_and_the_pool_works_on() {
    let pool = Pool::new(2).unwrap();
    let work = |i: usize| {
        assert_ne!(i, 3, "the fourth is rotten");
        Ok(i)
    };
    let error = pool.map(9, work).unwrap_err();
    assert_eq!(error.kind, Kind::Internal);
    assert!(error.message.contains("shard 3") && error.message.contains("rotten"), "{error}");
    assert_eq!(pool.map(3, Ok).unwrap(), [0, 1, 2]);
}

#[test]
fn tests_run_candle_on_one_thread_like_the_program() {
    assert_eq!(std::env::var("CANDLE_NUM_THREADS").as_deref(), Ok("1"));
}

#[test]
fn the_first_failed_shard_is_the_one_reported() {
    let work = |i: usize| match i {
        4 | 6 => Err(Error::internal(format!("number {i}"))),
        _ => Ok(i),
    };
    assert_eq!(Pool::new(3).unwrap().map(9, work).unwrap_err().message, "number 4");
}

#[test]
fn parameters_answer_to_the_spellings_of_the_paper_and_its_code() {
    assert_eq!(canonical("W_K1"), "layer0.wk");
    assert_eq!(canonical("layers.1.attention.wo.weight"), "layer1.wo");
    assert_eq!(canonical("W_F"), "layer1.wf");
    assert_eq!(canonical("layer7.wk"), "layer7.wk");
    let mut params = Params::new(0);
    let wk = params.add("layer1.wk", &[2, 2], Init::Ones, true).unwrap();
    params.set_frozen("W_K2", true).unwrap();
    assert!(params.is_frozen(wk));
    params.set_frozen("layers.1.attention.wk.weight", false).unwrap();
    assert!(!params.is_frozen(wk));
}

#[test]
fn what_is_derived_from_fixed_tensors_follows_loaded_weights() {
    let mut params = Params::new(0);
    let w = params.add("w", &[3], Init::Normal(1.0), false).unwrap();
    let twice = |params: &Params| {
        numbers(&params.derived("twice", || Ok((params.get(w).unwrap() * 2.0)?)).unwrap())
    };
    let mut weights = params.weights(0).unwrap();
    assert_eq!(twice(&params), weights.tensors[0].data.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    weights.tensors[0].data = vec![1.0, 2.0, 3.0].into();
    params.load(&weights).unwrap();
    assert_eq!(twice(&params), [2.0, 4.0, 6.0]);
}

#[test]
fn a_name_in_the_paper_leads_back_to_ours() {
    for ours in ["embed", "layer0.wk", "layer1.wo", "layer1.wf", "unembed"] {
        let paper = in_paper(ours).unwrap();
        assert!(paper.starts_with("W_"), "{paper}");
        assert_eq!(canonical(paper), ours);
    }
    assert_eq!(in_paper("layer0.wq"), None, "there are no queries of their own");
}
