//! Queries and keys in one space: the numbers of the specification, and axes that neither flip nor turn.

use std::sync::Arc;

use mnemoscope::base::batch::Row;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::nn::params::{Init, draw};
use mnemoscope::numeric::geometry::{
    Basis, MOST_PAIRS, QueriesKeys, Scale, align, arrange, centered, pca, starts, symmetric_eigen,
    weighted_correlation,
};
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::held_out_seed;

use super::tiny::tiny;

const QUERIES: [f32; 6] = [1.0, 0.0, 0.0, 2.0, 1.0, 1.0];
const KEYS: [f32; 6] = [3.0, 1.0, 1.0, 3.0, 2.0, 5.0];

fn example() -> QueriesKeys<'static> {
    QueriesKeys { queries: &QUERIES, keys: &KEYS, dims: 2, starts: &[0] }
}

fn assert_near(found: &[f32], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f64::from(*f) - e).abs() < within, "{found:?} instead of {expected:?}");
    }
}

fn cosine_distances(points: &[f32], dims: usize) -> Vec<f32> {
    let n = points.len() / dims / 2;
    let (queries, keys) = points.split_at(n * dims);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let mut distances = Vec::new();
    for q in queries.chunks(dims) {
        for k in keys.chunks(dims) {
            distances.push(1.0 - dot(q, k) / (dot(q, q) * dot(k, k)).sqrt());
        }
    }
    distances
}

#[test]
fn without_scaling_keys_move_onto_the_mean_of_queries() {
    let arranged = arrange(&example(), Scale::None);
    assert_eq!(arranged.c, 1.0);
    assert_eq!(&arranged.points[..6], &QUERIES);
    let keys = [1.666667, -1.0, -0.333333, 1.0, 0.666667, 3.0];
    assert_near(&arranged.points[6..], &keys, 1e-6);
    let expected =
        [0.142507, 1.316228, 0.783070, 1.514496, 0.051317, 0.023813, 0.757464, 0.552786, 0.156339];
    assert_near(&cosine_distances(&arranged.points, 2), &expected, 1e-6);
}

#[test]
fn norm_matching_uses_mean_lengths_before_translation() {
    let arranged = arrange(&example(), Scale::Norms);
    assert!((arranged.c - 0.613979).abs() < 1e-6);
    let keys = [1.699793, 0.400763, 0.471835, 1.628721, 1.085814, 2.856678];
    assert_near(&arranged.points[6..], &keys, 1e-6);
}

#[test]
fn attention_is_what_it_was() {
    let expected =
        [0.575975, 0.140029, 0.283995, 0.003288, 0.055624, 0.941089, 0.096692, 0.096692, 0.806617];
    for rule in Scale::ALL {
        let points = arrange(&example(), *rule).points;
        let (queries, keys) = points.split_at(6);
        let mut attention = Vec::new();
        for q in queries.chunks(2) {
            let scores = keys.chunks(2).map(|k| (q[0] * k[0] + q[1] * k[1]) / 2f32.sqrt());
            let weights: Vec<f32> = scores.map(f32::exp).collect();
            let sum: f32 = weights.iter().sum();
            attention.extend(weights.iter().map(|w| w / sum));
        }
        assert_near(&attention, &expected, 2e-6);
    }
}

#[test]
fn the_correlation_weighs_near_pairs_more() {
    let pairs = [(2.0, 0.2), (1.0, 0.5), (0.5, 0.9), (-1.0, 1.4)];
    let r = weighted_correlation(pairs.into_iter(), 1.0);
    assert!((r + 0.985561).abs() < 1e-6, "{r}");
    assert!(weighted_correlation(pairs.into_iter(), 0.3).is_nan(), "one pair has no correlation");
}

/// Two sequences of queries and keys that do not lie around the origin.
fn cloud() -> (Vec<f32>, Vec<f32>) {
    let move_by = |points: Vec<f32>, by: f32| points.iter().map(|x| x + by).collect::<Vec<f32>>();
    let queries = draw(1, "queries", 600 * 3, Init::Normal(1.0));
    let keys = draw(1, "keys", 600 * 3, Init::Normal(3.0));
    (move_by(queries, 0.5), move_by(keys, -1.0))
}

/// The definition, pair by pair.
fn naive_correlation(points: &[f32], raw: (&[f32], &[f32]), starts: &[usize], dims: usize) -> f64 {
    let n = points.len() / dims / 2;
    let sequence = |i: usize| starts.iter().filter(|&&s| s <= i).count();
    let at = |points: &[f32], i: usize, d: usize| f64::from(points[i * dims + d]);
    let pairs: Vec<Vec<(f64, f64)>> = (0..n)
        .map(|i| {
            (0..n)
                .filter(|&j| sequence(i) == sequence(j))
                .map(|j| {
                    let x = (0..dims).map(|d| at(raw.0, i, d) * at(raw.1, j, d)).sum();
                    let y = (0..dims).map(|d| (at(points, i, d) - at(points, n + j, d)).powi(2));
                    (x, y.sum::<f64>().sqrt())
                })
                .collect()
        })
        .collect();
    let mut all: Vec<f64> = pairs.iter().flatten().map(|p| p.1).collect();
    all.sort_by(f64::total_cmp);
    let at = 0.005 * (all.len() - 1) as f64;
    let (i, part) = (at.floor() as usize, at.fract());
    let threshold = all[i] + part * (all[i + 1] - all[i]);
    let found: Vec<f64> = pairs
        .into_iter()
        .map(|p| weighted_correlation(p.into_iter(), threshold))
        .filter(|r| r.is_finite())
        .collect();
    found.iter().sum::<f64>() / found.len() as f64
}

#[test]
fn the_scale_is_the_one_with_the_strongest_correlation_within_sequences() {
    let (queries, keys) = cloud();
    let input = QueriesKeys { queries: &queries, keys: &keys, dims: 3, starts: &[0, 250] };
    let best = arrange(&input, Scale::Correlation);
    let mut tried = Vec::new();
    for c in mnemoscope::numeric::geometry::SCALES {
        let scaled: Vec<f32> = queries.iter().map(|q| q / c as f32).collect();
        let other: Vec<f32> = keys.iter().map(|k| k * c as f32).collect();
        let at_c =
            arrange(&QueriesKeys { queries: &scaled, keys: &other, ..input }, Scale::None).points;
        tried.push((c, naive_correlation(&at_c, (&queries, &keys), &[0, 250], 3)));
    }
    let (c, r) = tried.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(best.c, c, "{tried:?}");
    assert!((best.correlation - r).abs() < 0.01, "{} instead of {r}", best.correlation);
}

#[test]
fn nothing_to_compare_leaves_the_scale_alone() {
    let input = QueriesKeys { queries: &[1.0, 2.0], keys: &[0.0, 0.0], dims: 2, starts: &[0] };
    let arranged = arrange(&input, Scale::Correlation);
    assert_eq!(arranged.c, 1.0);
    assert!(arranged.correlation.is_nan());
    assert_eq!(arrange(&input, Scale::Norms).c, 1.0, "keys of length 0 have no ratio");
}

#[test]
fn sequences_start_at_position_0() {
    assert_eq!(starts(&[0.0, 1.0, 2.0, 0.0, 1.0]), [0, 3]);
}

/// Points whose covariance has known axes: a rotated box of spreads 5, 3, 1, 0.1.
fn rotated_box(seed: u64) -> (Vec<f32>, [[f64; 4]; 4]) {
    let (s, c) = (0.6, 0.8);
    let axes = [[c, s, 0.0, 0.0], [-s, c, 0.0, 0.0], [0.0, 0.0, s, c], [0.0, 0.0, c, -s]];
    let spreads = [5.0, 3.0, 1.0, 0.1];
    let mut points = Vec::new();
    for z in draw(seed, "box", 4000 * 4, Init::Normal(1.0)).chunks(4) {
        let along =
            |d: usize| (0..4).map(|i| f64::from(z[i]) * spreads[i] * axes[i][d]).sum::<f64>();
        points.extend((0..4).map(|d| (along(d) + 10.0) as f32));
    }
    (points, axes)
}

#[test]
fn principal_axes_are_those_of_the_covariance() {
    let (points, axes) = rotated_box(1);
    let basis = pca(&points, 4, 3);
    let total = 25.0 + 9.0 + 1.0 + 0.01;
    for (i, share) in [25.0 / total, 9.0 / total, 1.0 / total].into_iter().enumerate() {
        let row = &basis.rows[i * 4..(i + 1) * 4];
        let overlap: f64 = row.iter().zip(axes[i]).map(|(r, a)| f64::from(*r) * a).sum();
        assert!(overlap.abs() > 0.999, "axis {i}: {row:?}");
        assert!((basis.explained[i] - share).abs() < 0.03, "{:?}", basis.explained);
        assert!(row.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap() > 0.0);
    }
}

#[test]
fn eigenvectors_satisfy_their_equation_and_come_in_order() {
    for n in [1, 2, 3, 7, 40] {
        let half = draw(3, "half", n * n, Init::Normal(1.0));
        let at = |i: usize, j: usize| f64::from(half[i * n + j] + half[j * n + i]);
        let matrix: Vec<f64> = (0..n * n).map(|i| at(i / n, i % n)).collect();
        let (values, vectors) = symmetric_eigen(matrix.clone(), n);
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        for (k, value) in values.iter().enumerate() {
            let v = &vectors[k * n..(k + 1) * n];
            assert!((v.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
            for i in 0..n {
                let image: f64 = (0..n).map(|j| matrix[i * n + j] * v[j]).sum();
                assert!((image - value * v[i]).abs() < 1e-10 * n as f64, "n {n}, value {k}");
            }
        }
    }
}

#[test]
fn equal_eigenvalues_and_zeros_are_no_trouble() {
    let identity: Vec<f64> = (0..25).map(|i| if i % 6 == 0 { 2.0 } else { 0.0 }).collect();
    assert_eq!(symmetric_eigen(identity, 5).0, [2.0; 5]);
    assert_eq!(symmetric_eigen(vec![0.0; 9], 3).0, [0.0; 3]);
    let ones = symmetric_eigen(vec![1.0; 16], 4).0;
    assert!((ones[0] - 4.0).abs() < 1e-12 && ones[1..].iter().all(|v| v.abs() < 1e-12));
}

fn along(points: &[f32], basis: &Basis) -> Vec<f32> {
    let project = |p: &[f32]| -> Vec<f32> {
        basis.rows.chunks(basis.dims).map(|r| r.iter().zip(p).map(|(a, b)| a * b).sum()).collect()
    };
    points.chunks(basis.dims).flat_map(project).collect()
}

#[test]
fn a_cloud_that_moves_a_little_moves_a_little_on_the_screen() {
    let (points, _) = rotated_box(1);
    let points = centered(&points, 4);
    let before = pca(&points, 4, 3);
    let mut flipped = pca(&points, 4, 3);
    // The same axes with two of them mirrored and two exchanged, as another step may well give them.
    flipped.rows[..4].iter_mut().for_each(|x| *x = -*x);
    let (a, b) = flipped.rows.split_at_mut(8);
    a[4..].swap_with_slice(&mut b[..4]);
    flipped.explained.swap(1, 2);
    let moved: Vec<f32> = points.iter().map(|x| x * 1.01).collect();
    let after = align(&flipped, &before);
    for (x, y) in along(&points, &before).iter().zip(along(&moved, &after)) {
        assert!((x - y).abs() < 0.02 * x.abs() + 1e-3, "{x} went to {y}");
    }
    for (a, b) in after.explained.iter().zip(&before.explained) {
        assert!((a - b).abs() < 1e-6, "shares go with their axes");
    }
}

#[test]
fn aligned_axes_span_the_same_space_and_stay_orthonormal() {
    let (first, _) = rotated_box(1);
    let (other, _) = cloud();
    let previous = Basis { rows: pca(&first, 4, 2).rows, dims: 4, explained: vec![0.5, 0.5] };
    let basis = pca(&other[..400], 4, 2);
    let aligned = align(&basis, &previous);
    for i in 0..2 {
        for j in 0..2 {
            let row = |b: &Basis, i: usize| b.rows[i * 4..(i + 1) * 4].to_vec();
            let dot: f32 = row(&aligned, i).iter().zip(row(&aligned, j)).map(|(a, b)| a * b).sum();
            assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5);
        }
    }
    let sum = |b: &Basis| b.explained.iter().sum::<f64>();
    assert!((sum(&aligned) - sum(&basis)).abs() < 1e-9);
}

#[test]
fn a_basis_at_right_angles_to_the_previous_one_is_still_a_basis() {
    let unit = |i: usize, j: usize| {
        let mut rows = vec![0.0; 8];
        (rows[i], rows[4 + j]) = (1.0, 1.0);
        Basis { rows, dims: 4, explained: vec![0.6, 0.4] }
    };
    let aligned = align(&unit(0, 1), &unit(2, 3));
    assert!(aligned.rows.iter().all(|x| x.is_finite()));
    assert_eq!(align(&unit(0, 1), &pca(&cloud().0, 3, 2)).rows, unit(0, 1).rows);
}

#[test]
fn a_large_cloud_measures_its_correlation_on_some_of_its_pairs_and_says_on_how_many() {
    let (dims, length, sequences) = (4, 400, 6);
    let points = |name| draw(1, name, length * sequences * dims, Init::Normal(1.0));
    let (queries, keys) = (points("queries"), points("keys"));
    let starts: Vec<usize> = (0..sequences).map(|s| s * length).collect();
    let input = QueriesKeys { queries: &queries, keys: &keys, dims, starts: &starts };
    let some = arrange(&input, Scale::None);
    assert!(length * length * sequences > 3 * MOST_PAIRS);
    let apart = some.pairs.abs_diff(MOST_PAIRS);
    assert!(apart <= 4 * length, "{} pairs", some.pairs);
    assert_eq!(arrange(&input, Scale::None), some, "the same pairs every time");
    let all = naive_correlation(&some.points, (&queries, &keys), &starts, dims);
    assert!((some.correlation - all).abs() < 0.05, "{} instead of {all}", some.correlation);
    let few = QueriesKeys { queries: &queries[..40], keys: &keys[..40], dims, starts: &[0] };
    assert_eq!(arrange(&few, Scale::None).pairs, 100, "a small cloud is measured whole");
}

/// What the measurement says of a trained network about a sequence, with three held-out ones.
fn asked(prompt: impl Fn(&Instrument) -> Row) -> (Arc<Reading>, Row) {
    let experiment = tiny();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let prompt = prompt(&instrument);
    let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
    let call = MeasurementCall::new("query_key").with("layer", 1).with("sequences", 3);
    let shared = Arc::new(prompt.clone());
    let readings = instrument.examine(&weights, &shared, &[], std::slice::from_ref(&call)).unwrap();
    (readings.get(&call).unwrap().clone().unwrap(), prompt)
}

fn held_out(instrument: &Instrument, index: u64) -> Row {
    instrument.source().sequence(held_out_seed(tiny().train.seed as u64), index)
}

fn numbers(reading: &Reading, name: &str) -> Vec<f32> {
    reading.array(name).unwrap().data.to_vec()
}

#[test]
fn the_cloud_holds_an_edited_text_as_its_last_sequence() {
    let (reading, prompt) = asked(|instrument| {
        let first = held_out(instrument, 0);
        let tokens: Vec<u32> = first.tokens.iter().rev().take(7).copied().collect();
        instrument.source().label(&tokens, &first)
    });
    let sequence = numbers(&reading, "sequence");
    assert_eq!(sequence.len(), 3 * 20 + 7);
    assert!(sequence[..60].iter().enumerate().all(|(i, s)| *s == (i / 20) as f32));
    assert_eq!(sequence[60..], [-1.0; 7]);
    let tokens: Vec<f32> = prompt.tokens.iter().map(|&t| t as f32).collect();
    assert_eq!(numbers(&reading, "token")[60..], tokens);
    assert_eq!(numbers(&reading, "position")[60..], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(reading.array("points").unwrap().shape, [2 * 67, 8]);
    assert_eq!(reading.array("axes").unwrap().shape, [3, 8]);
    let [c, pairs] = ["c", "pairs"].map(|name| reading.number(name).unwrap());
    assert_eq!(pairs, f64::from(3 * 20 * 20 + 7 * 7));
    // The same as when it is done by hand from the raw queries and keys.
    let (queries, keys) = (numbers(&reading, "queries"), numbers(&reading, "keys"));
    let starts = [0, 20, 40, 60];
    let input = QueriesKeys { queries: &queries, keys: &keys, dims: 8, starts: &starts };
    let arranged = arrange(&input, Scale::Norms);
    assert_eq!(c, arranged.c);
    let points = centered(&arranged.points, 8);
    assert_eq!(numbers(&reading, "points"), points);
    assert_eq!(numbers(&reading, "axes"), pca(&points, 8, 3).rows);
}

#[test]
fn a_held_out_sequence_in_view_is_in_the_cloud_once() {
    let (reading, _) = asked(|instrument| held_out(instrument, 1));
    let mut sequences = numbers(&reading, "sequence");
    assert_eq!(sequences.len(), 3 * 20);
    sequences.dedup();
    assert_eq!(sequences, [0.0, 2.0, -1.0]);
    assert_eq!(reading.array("queries").unwrap().shape[0], 60);
    let (other, _) = asked(|instrument| held_out(instrument, 9));
    assert_eq!(numbers(&other, "token").len(), 4 * 20);
    assert_eq!(numbers(&other, "token")[20..40], numbers(&reading, "token")[40..]);
}
