//! Fitted readers against another implementation, against laws, and kept apart from what they were fitted to.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use candle_core::{Device, Tensor};
use mnemoscope::base::batch::{Batch, NO_TARGET, Row};
use mnemoscope::base::error::Result;
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::base::label::Places;
use mnemoscope::base::question::Reading;
use mnemoscope::base::settings;
use mnemoscope::base::weights::Weights;
use mnemoscope::measurement::Subject;
use mnemoscope::measurement::analysis::readers::Readers;
use mnemoscope::measurement::logit_lens::boundaries;
use mnemoscope::measurement::probing::data::{
    Dataset, Gathered, Label, Labels, Positions, Wanted, gather, parse_site,
};
use mnemoscope::measurement::probing::erasure::{Eraser, Erasing, RIDGE, cross_covariance, leace};
use mnemoscope::measurement::probing::hidden::{self, Units};
use mnemoscope::measurement::probing::lens::Way;
use mnemoscope::measurement::probing::linear::{
    Fitted, Fitting, Linear, Score, constant_score, fit, fit_shuffled,
};
use mnemoscope::measurement::probing::{
    FitSettings, Kind, Outcome, Progress, Read, Reader, lens, run, translator,
};
use mnemoscope::model::readout::Readout;
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::norm::NormKind;
use mnemoscope::nn::params::{Init, draw};
use mnemoscope::nn::tap::Tap;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::lenses::Lenses;
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::readers::{self as readers_of, KeptReader};
use mnemoscope::task::reference_back::{ReferenceBack, TupleText};
use mnemoscope::task::tree_path::{TreePath, Trees};
use mnemoscope::task::{Task, held_out_seed};

use super::tiny::with;

fn go_on(_: Progress<'_>) -> bool {
    true
}

fn fitted(data: &Dataset, fitting: Fitting) -> Fitted {
    fit(data, fitting, "fitting", &mut go_on).unwrap().unwrap()
}

// ── made-up data ─────────────────────────────────────────────────────────────────────────────────────

/// That of `tests/python/readers_reference.py`.
fn reference_data() -> Dataset {
    let label = |i: usize| (i * 7 % 11 % 3) as u32;
    let x = (0..240).map(|k| {
        let (i, d) = (k / 4, k % 4);
        let (a, b) = ((i as f64 * 1.7 + d as f64 * 2.3).sin(), i as f64 * 0.9 * (d + 1) as f64);
        let mean = if label(i) as usize == d { 0.8 } else { 0.0 };
        (a + 0.5 * b.cos() + mean) as f32
    });
    let labels = Labels::One { count: 3, of: (0..60).map(label).collect() };
    Dataset::new(4, x.collect(), labels).unwrap()
}

/// Vectors that vary differently along different directions, with three classes in a plane of them.
fn clouds(examples: usize, seed: u64) -> Dataset {
    let noise = draw(seed, "noise", examples * 6, Init::Normal(1.0));
    let class: Vec<u32> = (0..examples).map(|i| (i * i + i / 5) as u32 % 3).collect();
    let x = noise.chunks(6).zip(&class).flat_map(|(noise, class)| {
        let (a, b) = ([2.0, -1.0, 0.5][*class as usize], [0.0, 1.5, -1.0][*class as usize]);
        let mixed = 0.5 * noise[0] + 2.0 * noise[3];
        [noise[0] + a, 3.0 * noise[1] + b, 0.3 * noise[2] + a - b, mixed, noise[4], noise[5] + 4.0]
    });
    Dataset::new(6, x.collect(), Labels::One { count: 3, of: class.clone() }).unwrap()
}

#[track_caller]
fn assert_all_near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < tolerance, "{found} instead of {expected}");
    }
}

// ── linear readers ───────────────────────────────────────────────────────────────────────────────────

/// The numbers are those of `tests/python/readers_reference.py` with numpy 2.4.6 and scipy 1.17.1.
#[test]
fn softmax_regression_finds_the_minimum_that_scipy_finds() {
    let fitting = Fitting { decay: 0.01, slope: 1e-9, ..Fitting::default() };
    let found = fitted(&reference_data(), fitting);
    assert!(found.converged && found.slope <= 1e-9, "{} after {}", found.slope, found.rounds);
    let weight = [
        1.128041, -0.146866, -0.84931, -1.13359, -0.193428, 0.684219, -0.325234, 0.114652,
        -0.934613, -0.537353, 1.174544, 1.018938,
    ];
    assert_all_near(&found.reader.weight, &weight, 2e-5);
    assert_all_near(&found.reader.bias.unwrap(), &[0.185545, 0.178971, -0.364516], 2e-5);
}

#[test]
fn what_stands_in_the_vectors_is_read_and_shuffled_labels_are_not() {
    let (train, test) = (clouds(1200, 1), clouds(600, 2));
    let found = fitted(&train, Fitting::default());
    let score = found.reader.score(&test).unwrap();
    let constant = constant_score(&train, &test);
    assert!(score.accuracy > constant.accuracy + 0.3 && score.macro_f1 > 0.8, "{score:?}");
    let dealt = fit_shuffled(&train, 3, Fitting::default(), "", &mut go_on).unwrap().unwrap();
    let dealt = dealt.reader.score(&test).unwrap();
    assert!((dealt.accuracy - constant.accuracy).abs() < 0.1, "{dealt:?} {constant:?}");
    let again = fit_shuffled(&train, 3, Fitting::default(), "", &mut go_on).unwrap().unwrap();
    assert_eq!(again.reader.score(&test).unwrap(), dealt, "the same seed deals the same");
}

#[test]
fn many_labels_are_read_one_by_one() {
    let noise = draw(4, "bits", 800 * 5, Init::Normal(1.0));
    let bit = |x: &[f32]| [x[0] + x[1] > 0.0, x[2] > 1.0, x[3] - x[4] > -0.5];
    let labels = Labels::Many { count: 3, of: noise.chunks(5).flat_map(bit).collect() };
    let data = Dataset::new(5, noise, labels).unwrap();
    let found = fitted(&data, Fitting { decay: 1e-5, ..Fitting::default() });
    let score = found.reader.score(&data).unwrap();
    assert!(score.accuracy > 0.97 && score.macro_f1 > 0.97 && score.micro_f1 > 0.97, "{score:?}");
    let constant = constant_score(&data, &data);
    assert!(constant.macro_f1 < 0.7 && constant.loss > score.loss + 1.0, "{constant:?}");
}

/// Three classes told by a reader of one number: counted by hand.
#[test]
fn scores_are_what_their_names_say() {
    let reader = Linear {
        outputs: 3,
        dim: 1,
        weight: vec![1.0, -1.0, 0.0],
        bias: Some(vec![0.0, 0.0, 0.5]),
    };
    // Told: 0, 0, 2, 1, 1, 1.
    let x = vec![2.0, 3.0, 0.1, -2.0, -1.0, -5.0];
    let labels = Labels::One { count: 3, of: vec![0, 1, 2, 1, 1, 2] };
    let Score { loss, accuracy, macro_f1, micro_f1 } =
        reader.score(&Dataset::new(1, x, labels).unwrap()).unwrap();
    assert!((accuracy - 4.0 / 6.0).abs() < 1e-12 && (micro_f1 - accuracy).abs() < 1e-12);
    // F1 of class 0: 2·1/(1+2), of 1: 2·2/(3+3), of 2: 2·1/(2+1).
    assert!((macro_f1 - 2.0 / 3.0).abs() < 1e-12, "{macro_f1}");
    let one = |x: f64, truth: usize| {
        let scores = [x, -x, 0.5];
        scores.iter().map(|s| s.exp()).sum::<f64>().ln() - scores[truth]
    };
    let expected =
        (one(2.0, 0) + one(3.0, 1) + one(0.1, 2) + one(-2.0, 1) + one(-1.0, 1) + one(-5.0, 2))
            / 6.0;
    assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    let bits = Linear { outputs: 2, dim: 1, weight: vec![1.0, 1.0], bias: None };
    let of = vec![true, false, true, true, false, true];
    let score =
        bits.score(&Dataset::new(1, vec![1.0, 1.0, -1.0], Labels::Many { count: 2, of }).unwrap());
    let score = score.unwrap();
    // Label 0: told yes, yes, no of yes, yes, no. Label 1: yes, yes, no of no, yes, yes.
    assert!((score.accuracy - 1.0 / 3.0).abs() < 1e-12, "{score:?}");
    assert!((score.macro_f1 - (1.0 + 0.5) / 2.0).abs() < 1e-12, "{score:?}");
    assert!((score.micro_f1 - 2.0 * 3.0 / (4.0 + 4.0)).abs() < 1e-12, "{score:?}");
}

#[test]
fn a_fit_that_is_stopped_gives_nothing() {
    let mut calls = 0;
    let mut stop = |progress: Progress<'_>| {
        calls += 1;
        assert!(progress.done <= progress.of && progress.doing == "fitting");
        calls < 3
    };
    let found = fit(&clouds(300, 1), Fitting::default(), "fitting", &mut stop).unwrap();
    assert!(found.is_none());
    assert_eq!(calls, 3);
}

// ── erasure ──────────────────────────────────────────────────────────────────────────────────────────

/// The numbers are those of `tests/python/readers_reference.py` with numpy 2.4.6.
#[test]
fn erasure_is_the_projection_that_numpy_computes() {
    let eraser = leace(&reference_data(), RIDGE).unwrap();
    assert_eq!(eraser.rank, 2);
    let expected = [
        0.49393, -0.378737, -0.20425, -0.500171, -0.168291, 0.807283, -0.164674, 0.10025,
        -0.428072, -0.557868, 0.48308, 0.525155, -0.197515, -0.000271, 0.134082, 0.215707,
    ];
    assert_all_near(&eraser.matrix, &expected, 1e-5);
}

fn erased(eraser: &Eraser, data: &Dataset) -> Dataset {
    Dataset::new(data.dim, eraser.apply(&data.x).unwrap(), data.labels.clone()).unwrap()
}

#[test]
fn after_erasure_no_linear_reader_does_better_than_a_constant() {
    let train = clouds(1200, 1);
    let largest = |data: &Dataset| {
        cross_covariance(data).unwrap().iter().fold(0.0, |m: f64, x| m.max(x.abs()))
    };
    let eraser = leace(&train, RIDGE).unwrap();
    let after = erased(&eraser, &train);
    assert!(largest(&train) > 0.1, "{}", largest(&train));
    assert!(largest(&after) < 1e-5, "{}", largest(&after));
    let reader = fitted(&after, Fitting { decay: 1e-6, ..Fitting::default() }).reader;
    let (score, constant) = (reader.score(&after).unwrap(), constant_score(&after, &after));
    assert!(score.loss > constant.loss - 1e-3, "{score:?} {constant:?}");
    assert!((score.accuracy - constant.accuracy).abs() < 0.02, "{score:?} {constant:?}");
    let twice = erased(&eraser, &after);
    for (once, twice) in after.x.iter().zip(&twice.x) {
        assert!((once - twice).abs() < 1e-4, "erasing once more changes nothing: {once} {twice}");
    }
}

/// Of all linear erasures that one moves vectors least, in every metric: less than the orthogonal projection away from
/// the directions that vary with the labels.
#[test]
fn erasure_moves_vectors_less_than_an_orthogonal_projection() {
    let train = clouds(1200, 1);
    let eraser = leace(&train, RIDGE).unwrap();
    let (n, dim) = (train.len(), train.dim);
    let covariance = cross_covariance(&train).unwrap();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for label in 0..3 {
        let mut column: Vec<f64> = (0..dim).map(|i| covariance[i * 3 + label]).collect();
        for other in &basis {
            let along: f64 = column.iter().zip(other).map(|(a, b)| a * b).sum();
            column.iter_mut().zip(other).for_each(|(c, o)| *c -= along * o);
        }
        let length = column.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 1e-6 {
            basis.push(column.iter().map(|x| x / length).collect());
        }
    }
    assert_eq!(basis.len(), eraser.rank);
    let mean: Vec<f64> = eraser.mean.iter().map(|x| f64::from(*x)).collect();
    let after = erased(&eraser, &train);
    let deviation: Vec<f64> = (0..dim)
        .map(|d| {
            let square = |row: &[f32]| (f64::from(row[d]) - mean[d]).powi(2);
            (train.x.chunks(dim).map(square).sum::<f64>() / n as f64).sqrt()
        })
        .collect();
    for metric in [vec![1.0; dim], deviation.iter().map(|d| 1.0 / d).collect::<Vec<f64>>()] {
        let (mut least, mut plain) = (0.0, 0.0);
        for (x, after) in train.x.chunks(dim).zip(after.x.chunks(dim)) {
            let centred: Vec<f64> = x.iter().zip(&mean).map(|(x, m)| f64::from(*x) - m).collect();
            let mut moved = vec![0.0; dim];
            for axis in &basis {
                let along: f64 = centred.iter().zip(axis).map(|(a, b)| a * b).sum();
                moved.iter_mut().zip(axis).for_each(|(m, a)| *m += along * a);
            }
            let size = |moved: &dyn Fn(usize) -> f64| {
                (0..dim).map(|d| (moved(d) * metric[d]).powi(2)).sum::<f64>()
            };
            least += size(&|d| f64::from(x[d] - after[d]));
            plain += size(&|d| moved[d]);
        }
        assert!(least < 0.9 * plain, "{least} against {plain}");
    }
}

#[test]
fn erasing_in_a_forward_pass_changes_the_chosen_positions_alone() {
    let eraser = leace(&clouds(300, 1), RIDGE).unwrap();
    let x = Tensor::from_vec(clouds(10, 5).x, (2, 5, 6), &Device::Cpu).unwrap();
    let at: Vec<bool> = (0..10).map(|i| i % 3 == 1).collect();
    let site = Site { layer: 0, point: Point::ResidMid };
    let mut tap = Erasing { eraser: &eraser, site, at: &at };
    assert!(tap.wants(site) && !tap.wants(Site { layer: 1, ..site }));
    let after = tap.at(site, x.clone()).unwrap();
    let rows = |x: &Tensor| x.reshape((10, 6)).unwrap().to_vec2::<f32>().unwrap();
    for ((before, after), changed) in rows(&x).iter().zip(rows(&after)).zip(&at) {
        if *changed {
            assert_eq!(after, eraser.apply(before).unwrap());
            assert_ne!(&after, before);
        } else {
            assert_eq!(&after, before);
        }
    }
    let wrong = Tensor::zeros((2, 4, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(tap.at(site, wrong).unwrap_err().message.contains("10 positions"));
}

// ── examples of a network ────────────────────────────────────────────────────────────────────────────

fn birth() -> (Experiment, Weights) {
    let mut experiment = Experiment::of("tiny", "bigram", "birth").unwrap();
    experiment
        .set_texts([
            "task.length=24",
            "task.triggers=3",
            "model.width=16",
            "train.batch=6",
            "train.shard=2",
            "train.held_out=6",
            "train.threads=2",
        ])
        .unwrap();
    let mut trainer = Trainer::new(&experiment).unwrap();
    for _ in 0..5 {
        trainer.step().unwrap();
    }
    let weights = trainer.weights().unwrap();
    (experiment, weights)
}

const EMBED: Site = Site { layer: 0, point: Point::Embed };

fn wanted<'a>(
    positions: &'a Positions,
    label: Label,
    without: &'a BTreeSet<Vec<u32>>,
) -> Wanted<'a> {
    Wanted {
        sites: &[EMBED],
        positions,
        label,
        logits: false,
        edits: &[],
        seed: 9,
        first: 5,
        examples: 40,
        without,
    }
}

#[test]
fn examples_are_the_vectors_of_the_chosen_positions_with_their_labels() {
    let (experiment, weights) = birth();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let source = instrument.source().clone();
    let (subject, pool) = instrument.subject(&weights).unwrap();
    let tensor = |name: &str| weights.get(name).unwrap().data.clone();
    let (embed, pos) = (tensor("embed"), tensor("pos"));
    let nothing = BTreeSet::new();
    for (at, label) in [
        ("all", "token-1"),
        ("trigger", "target"),
        ("other", "token+2"),
        ("repeated", "position"),
        ("7", "token"),
        ("trigger", "seen"),
    ] {
        let positions = Positions::parse(at, source.roles()).unwrap();
        let label = Label::parse(label, source.label_kinds()).unwrap();
        let asked = wanted(&positions, label, &nothing);
        let found = gather(subject, pool, &asked, "", &mut go_on).unwrap().unwrap();
        let data = found.dataset(0).unwrap();
        assert_eq!(data.len(), 40);
        let mut k = 0;
        'all: for index in 5.. {
            let row = source.sequence(9, index);
            for p in 0..row.len() {
                let chosen = match at {
                    "all" => true,
                    "trigger" => row.roles[p] & 1 == 1,
                    "other" => row.roles[p] == 0,
                    "repeated" => row.occurrence[p] >= 2,
                    _ => p == 7,
                };
                let class = match label {
                    Label::Token(offset) => (p as i32 + offset)
                        .try_into()
                        .ok()
                        .and_then(|i: usize| row.tokens.get(i).copied()),
                    Label::Target => Some(row.targets[p]).filter(|t| *t != NO_TARGET),
                    Label::Position => Some(p as u32),
                    Label::Seen | Label::SubPath | Label::OfTask(_) => Some(0),
                };
                let (true, Some(class)) = (chosen, class) else { continue };
                match &data.labels {
                    Labels::One { of, .. } => assert_eq!(of[k], class, "{at} {label}"),
                    Labels::Many { count, of } => {
                        for token in 0..*count {
                            let seen = row.tokens[..=p].contains(&(token as u32));
                            assert_eq!(of[k * count + token], seen);
                        }
                    }
                }
                let token = row.tokens[p] as usize;
                for d in 0..16 {
                    assert_eq!(data.x[k * 16 + d], embed[token * 16 + d] + pos[p * 16 + d]);
                }
                k += 1;
                if k == 40 {
                    break 'all;
                }
            }
        }
    }
}

#[test]
fn sequences_that_were_fitted_to_are_not_judged_by() {
    let (experiment, weights) = birth();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let (subject, pool) = instrument.subject(&weights).unwrap();
    let nothing = BTreeSet::new();
    let all = wanted(&Positions::All, Label::Token(0), &nothing);
    let first = gather(subject, pool, &all, "", &mut go_on).unwrap().unwrap();
    let fitted_to = first.tokens();
    assert_eq!(fitted_to.len(), 2);
    let others = Wanted { without: &fitted_to, ..all };
    let second = gather(subject, pool, &others, "", &mut go_on).unwrap().unwrap();
    assert_eq!(second.left_out, 2);
    assert!(second.tokens().is_disjoint(&fitted_to));
}

#[test]
fn what_is_asked_of_a_network_in_vain_is_said() {
    let (experiment, weights) = birth();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let (subject, pool) = instrument.subject(&weights).unwrap();
    let nothing = BTreeSet::new();
    let first = Positions::parse("0", &[]).unwrap();
    let asked = wanted(&first, Label::Token(-1), &nothing);
    let said = gather(subject, pool, &asked, "", &mut go_on).unwrap_err().message;
    assert!(said.contains("\"0\"") && said.contains("token-1"), "{said}");
    let nowhere = [Site { layer: 0, point: Point::MlpOut }];
    let asked = Wanted { sites: &nowhere, ..wanted(&Positions::All, Label::Target, &nothing) };
    let said = gather(subject, pool, &asked, "", &mut go_on).unwrap_err().message;
    assert!(said.contains("layer0.mlp_out"), "{said}");
    assert!(parse_site("layer2.resid_mid", 2).unwrap_err().message.contains("0 to 1"));
    assert!(parse_site("layer0.pattern", 2).unwrap_err().message.contains("no such point"));
    assert!(Label::parse("tokn", &[]).unwrap_err().message.contains("token-1"));
    let said = Positions::parse("triger", &["trigger"]).unwrap_err().message;
    assert!(said.contains("Did you mean trigger"), "{said}");
}

/// Streams of every boundary of a network with what it predicts, in their own words.
fn at_boundaries(look: impl Fn(&str, Subject<'_>, &Gathered)) {
    for name in ["birth", "layer", "rms", "none"] {
        let (experiment, weights) = if name == "birth" {
            birth()
        } else {
            let norm =
                [format!("model.norm={name}"), format!("model.final_norm={}", name != "none")];
            let experiment = with(&[&norm[0], &norm[1], "model.mlp=relu"]);
            let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
            (experiment, weights)
        };
        let mut instrument = Instrument::new(&experiment).unwrap();
        let (subject, pool) = instrument.subject(&weights).unwrap();
        let sites = boundaries(subject.model.layout().heads.len());
        let nothing = BTreeSet::new();
        let asked = Wanted {
            sites: &sites,
            logits: true,
            examples: 600,
            ..wanted(&Positions::All, Label::Target, &nothing)
        };
        let found = gather(subject, pool, &asked, "", &mut go_on).unwrap().unwrap();
        look(name, subject, &found);
    }
}

/// The unembedding itself is such a map: no fitted one does worse on the sequences that it is fitted to.
#[test]
fn a_token_lens_reads_no_boundary_worse_than_the_unembedding_does() {
    at_boundaries(|name, subject, found| {
        let Subject { model, params, .. } = subject;
        let layers = model.layout().heads.len();
        for boundary in 0..=layers {
            let data = lens::examples(model, params, found, boundary).unwrap();
            let fitting = Fitting { decay: 1e-7, slope: 1e-7, rounds: 300, bias: true };
            let map = fitted(&data, fitting).reader;
            let told =
                lens::score_fitted(Way::Tokens, &map, model, params, found, boundary).unwrap();
            let plain = lens::score_logit_lens(model, params, found, boundary).unwrap();
            assert!(
                told.cross_entropy <= plain.cross_entropy + 1e-3,
                "{name} {boundary}: {told:?} {plain:?}"
            );
            assert_eq!(plain.kl == 0.0, boundary == layers, "only the last is the network itself");
        }
    });
}

#[test]
fn a_tuned_lens_is_nearer_to_the_network_than_the_logit_lens_at_every_boundary() {
    at_boundaries(|name, subject, found| {
        let Subject { model, params, .. } = subject;
        let readout = model.readout(params).unwrap().unwrap();
        for boundary in 0..=model.layout().heads.len() {
            let data = found.dataset(boundary).unwrap();
            for decay in [0.01, 1e-6] {
                let fitting = Fitting { decay, slope: 1e-5, rounds: 60, bias: true };
                let map = translator::fit(&data, &readout, &found.logits, fitting, "", &mut go_on);
                let map = map.unwrap().unwrap().reader;
                let told =
                    lens::score_fitted(Way::Stream, &map, model, params, found, boundary).unwrap();
                let plain = lens::score_logit_lens(model, params, found, boundary).unwrap();
                assert!(told.kl <= plain.kl + 1e-6, "{name} {boundary}: {told:?} {plain:?}");
                // Little is left of what a reading of the last boundary says that of the first does not.
                let learned = plain.kl < 1e-3 || told.kl < 0.98 * plain.kl;
                assert!(learned, "{name} {boundary}: {told:?} {plain:?}");
            }
        }
    });
}

#[test]
fn a_tuned_lens_begins_as_the_logit_lens_and_ends_as_it_at_the_last_boundary() {
    at_boundaries(|name, subject, found| {
        let Subject { model, params, .. } = subject;
        let readout = model.readout(params).unwrap().unwrap();
        let layers = model.layout().heads.len();
        for boundary in 0..=layers {
            let data = found.dataset(boundary).unwrap();
            let plain = lens::score_logit_lens(model, params, found, boundary).unwrap();
            let objective =
                translator::Objective::new(&data, &readout, &found.logits, 0.01).unwrap();
            let (start, _) = objective.at(&vec![0.0; data.dim * (data.dim + 1)]).unwrap();
            assert!((start - plain.kl).abs() < 1e-5, "{name} {boundary}: {start} {plain:?}");
            let still = translator::identity(data.dim);
            let told = lens::score_fitted(Way::Stream, &still, model, params, found, boundary);
            assert_eq!(told.unwrap(), plain, "{name} {boundary}");
        }
    });
    for (experiment, weights) in [birth(), {
        let experiment = with(&["model.mlp=relu"]);
        let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
        (experiment, weights)
    }] {
        let settings = settings(Kind::TunedLens);
        let found = run_of(&experiment, &weights, &settings, MID, None).unwrap();
        let boundaries = found.about["report"]["boundaries"].as_array().unwrap();
        let last = boundaries.last().unwrap();
        assert_eq!(last["test"], last["logit_lens_test"]);
        assert_eq!(last["test"]["kl"], 0.0);
        assert!(boundaries[0]["search"].is_object() && last["search"].is_null());
    }
}

/// A readout of every kind of norm, with gain, shift, bias and scale, in f64 by finite differences.
#[test]
fn the_gradient_of_a_tuned_lens_is_that_of_finite_differences() {
    let (examples, dim, vocab) = (7, 5, 4);
    let drawn = |name: &str, shape: &[usize]| {
        let values = draw(9, name, shape.iter().product(), Init::Normal(1.0));
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let x = draw(1, "streams", examples * dim, Init::Normal(1.5));
    let labels = Labels::One { count: vocab, of: vec![0; examples] };
    let data = Dataset::new(dim, x, labels).unwrap();
    let logits = draw(2, "logits", examples * vocab, Init::Normal(2.0));
    for norm in [NormKind::Layer, NormKind::Rms, NormKind::None] {
        for whole in [true, false] {
            let readout = Readout {
                norm,
                norm_weight: whole.then(|| drawn("gain", &[dim])),
                norm_bias: whole.then(|| drawn("shift", &[dim])),
                unembed: drawn("unembed", &[vocab, dim]),
                bias: whole.then(|| drawn("bias", &[vocab])),
                scale: if whole { 0.7 } else { 1.0 },
                epsilon: if whole { 1e-2 } else { 1e-5 },
                cap: None,
            };
            let objective = translator::Objective::new(&data, &readout, &logits, 0.03).unwrap();
            let w: Vec<f64> = draw(3, "w", dim * (dim + 1), Init::Normal(0.4))
                .into_iter()
                .map(f64::from)
                .collect();
            let (_, gradient) = objective.at(&w).unwrap();
            for i in 0..w.len() {
                let value = |step: f64| {
                    let mut w = w.clone();
                    w[i] += step;
                    objective.at(&w).unwrap().0
                };
                let slope = (value(1e-6) - value(-1e-6)) / 2e-6;
                let off = (slope - gradient[i]).abs();
                assert!(off < 1e-7, "{norm:?} {whole} {i}: {slope} {}", gradient[i]);
            }
        }
    }
}

/// Where later layers do nothing but an affine change of the stream, the lens finds it.
#[test]
fn a_tuned_lens_finds_an_affine_change() {
    let (examples, dim, vocab) = (400, 6, 9);
    let x = draw(1, "streams", examples * dim, Init::Normal(1.0));
    let labels = Labels::One { count: vocab, of: vec![0; examples] };
    let data = Dataset::new(dim, x, labels).unwrap();
    let unembed = Tensor::from_vec(
        draw(5, "unembed", vocab * dim, Init::Normal(1.0)),
        (vocab, dim),
        &Device::Cpu,
    );
    for norm in [NormKind::Layer, NormKind::Rms, NormKind::None] {
        let readout = Readout { norm, ..Readout::plain(unembed.as_ref().unwrap().clone()) };
        let change = Linear {
            outputs: dim,
            dim,
            weight: draw(6, "change", dim * dim, Init::Normal(0.5)),
            bias: Some(draw(7, "shift", dim, Init::Normal(0.5))),
        };
        let streams = |map: &Linear| {
            let moved = translator::translated(map, &data.x).unwrap();
            Tensor::from_vec(moved, (examples, dim), &Device::Cpu).unwrap()
        };
        let read = |map: &Linear| -> Vec<f32> {
            readout.unembedded(&streams(map)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let own = read(&change);
        let fitting = Fitting { decay: 1e-9, slope: 1e-7, rounds: 500, bias: true };
        let map = translator::fit(&data, &readout, &own, fitting, "", &mut go_on);
        let found = lens::score(&read(&map.unwrap().unwrap().reader), &data.labels, &own).unwrap();
        let plain = lens::score(&read(&translator::identity(dim)), &data.labels, &own).unwrap();
        assert!(plain.kl > 0.1 && found.kl < 1e-4 * plain.kl, "{norm:?}: {found:?} {plain:?}");
    }
}

#[test]
fn a_lens_of_an_earlier_version_is_taken_for_what_it_is() {
    let map = Linear { outputs: 2, dim: 3, weight: vec![1.0; 6], bias: None };
    let tensors = Reader::Lens(Way::Tokens, vec![map]).tensors();
    let about = serde_json::json!({ "kind": "tuned-lens" });
    assert_eq!(Reader::kind_of(&about, &tensors), Some(Kind::TokenLens));
    let tuned = Reader::Lens(Way::Stream, vec![translator::identity(3)]).tensors();
    assert_eq!(Reader::kind_of(&about, &tuned), Some(Kind::TunedLens));
    assert_eq!(Reader::kind_of(&serde_json::json!({ "kind": "x" }), &tuned), None);
}

fn settings(kind: Kind) -> FitSettings {
    FitSettings {
        kind,
        positions: Positions::All,
        label: Label::Token(-1),
        under: Vec::new(),
        seed: 4,
        train: 400,
        test: 200,
        hidden: 12,
        fitting: Fitting { bias: kind != Kind::TokenLens, ..Fitting::default() },
    }
}

const MID: Site = Site { layer: 0, point: Point::ResidMid };

fn run_of(
    experiment: &Experiment,
    weights: &Weights,
    settings: &FitSettings,
    site: Site,
    kept: Option<Reader>,
) -> Result<Outcome> {
    let mut instrument = Instrument::new(experiment).unwrap();
    let (subject, pool) = instrument.subject(weights).unwrap();
    let read = Read { subject, pool, step: weights.step };
    run(read, settings, site, kept, &mut go_on).map(Option::unwrap)
}

#[test]
fn the_same_seed_fits_the_same_reader_and_its_numbers_are_enough_to_judge_it_again() {
    let (experiment, weights) = birth();
    for kind in Kind::ALL {
        let settings = settings(*kind);
        let once =
            |kept: Option<Reader>| run_of(&experiment, &weights, &settings, MID, kept).unwrap();
        let (first, second) = (once(None), once(None));
        assert_eq!(first.reader, second.reader);
        assert_eq!(first.about, second.about);
        let back = Reader::from_tensors(*kind, &first.reader.tensors()).unwrap();
        assert_eq!(back, first.reader);
        let judged = once(Some(back));
        let part = match kind {
            Kind::LinearProbe | Kind::MlpProbe => "/report/test",
            Kind::TunedLens | Kind::TokenLens => "/report/boundaries/1/test",
            Kind::Leace => "/report/network/after",
        };
        assert!(first.about.pointer(part).unwrap().is_object(), "{part}");
        assert_eq!(judged.about.pointer(part), first.about.pointer(part));
        assert!(judged.about.pointer("/split/train").unwrap().is_null());
        let other = Kind::ALL.iter().find(|other| *other != kind).unwrap();
        assert!(Reader::from_tensors(*other, &first.reader.tensors()).is_err());
    }
}

#[test]
fn erasing_what_the_network_works_with_is_measured_in_its_answers() {
    let (experiment, weights) = birth();
    let settings = FitSettings { label: Label::Token(0), ..settings(Kind::Leace) };
    let site = Site { layer: 1, point: Point::ResidPost };
    let found = run_of(&experiment, &weights, &settings, site, None).unwrap();
    let number = |place: &str| found.about.pointer(place).and_then(|v| v.as_f64()).unwrap();
    let before = number("/report/probe_before/train/accuracy");
    let after = number("/report/probe_after/test/accuracy");
    // More classes than dimensions: everything is erased, and what rounding leaves tells nothing.
    assert_eq!(number("/report/rank"), 16.0);
    assert!(before > 0.5 && after == number("/report/constant_test/accuracy"), "{before} {after}");
    let (with, without) =
        (number("/report/network/before/all/loss"), number("/report/network/after/all/loss"));
    assert!((with - without).abs() > 1e-3, "{with} {without}");
    let by_head = Site { layer: 1, point: Point::Z };
    let said = run_of(&experiment, &weights, &settings, by_head, None).unwrap_err().message;
    assert!(said.contains("by head"), "{said}");
}

#[test]
fn a_kept_reader_is_read_as_it_was_and_not_replaced_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let map = Linear { outputs: 2, dim: 3, weight: vec![1.0; 6], bias: Some(vec![0.5; 2]) };
    let reader = Reader::Lens(Way::Tokens, vec![map.clone(), map]);
    let kept =
        KeptReader { about: "{\"kind\": \"token-lens\"}".to_owned(), tensors: reader.tensors() };
    readers_of::save(folder.path(), "a-lens", &kept, false).unwrap();
    let back = readers_of::read(folder.path(), "a-lens").unwrap();
    assert_eq!(Reader::from_tensors(Kind::TokenLens, &back.tensors).unwrap(), reader);
    assert_eq!(back.about, kept.about);
    let said = readers_of::save(folder.path(), "a-lens", &kept, false).unwrap_err().message;
    assert!(said.contains("--force"), "{said}");
    readers_of::save(folder.path(), "a-lens", &kept, true).unwrap();
    assert!(readers_of::save(folder.path(), "../b", &kept, false).is_err());
    let said = readers_of::read(folder.path(), "b").unwrap_err().message;
    assert!(said.contains("a-lens"), "{said}");
    assert_eq!(readers_of::names(folder.path()).unwrap(), ["a-lens"]);
    fs::write(folder.path().join("readers/a-lens.safetensors"), [0; 5]).unwrap();
    assert!(readers_of::read(folder.path(), "a-lens").is_err());
}

#[test]
fn examples_come_in_the_same_order_from_any_number_of_threads() {
    let (experiment, weights) = birth();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let (subject, _) = instrument.subject(&weights).unwrap();
    let nothing = BTreeSet::new();
    let asked = Wanted { examples: 300, ..wanted(&Positions::All, Label::Target, &nothing) };
    let with = |threads: usize| {
        let pool = Pool::new(threads).unwrap();
        gather(subject, &pool, &asked, "", &mut go_on).unwrap().unwrap().dataset(0).unwrap()
    };
    assert_eq!(with(1), with(3));
}

/// Exclusive or of two signs, in three dimensions of which one is noise.
fn exclusive_or(examples: usize, seed: u64) -> Dataset {
    let x = draw(seed, "exclusive or", examples * 3, Init::Normal(1.0));
    let of = x.chunks(3).map(|x| u32::from((x[0] > 0.0) != (x[1] > 0.0))).collect();
    Dataset::new(3, x, Labels::One { count: 2, of }).unwrap()
}

#[test]
fn a_hidden_layer_tells_what_no_linear_map_does_and_shuffled_labels_tell_nothing() {
    let (train, test) = (exclusive_or(600, 1), exclusive_or(300, 2));
    let fitting = Fitting { decay: 1e-4, rounds: 300, ..Fitting::default() };
    let linear = fitted(&train, fitting).reader.score(&test).unwrap();
    let units = Units { count: 12, seed: 5 };
    let once =
        |data: &Dataset| hidden::fit(data, units, fitting, "fitting", &mut go_on).unwrap().unwrap();
    let found = once(&train);
    let score = found.reader.score(&test).unwrap();
    assert!(linear.accuracy < 0.65 && score.accuracy > 0.9, "{linear:?} {score:?}");
    assert_eq!(once(&train).reader, found.reader, "the same seed gives the same reader");
    let dealt = hidden::fit_shuffled(&train, units, fitting, "", &mut go_on).unwrap().unwrap();
    let dealt = dealt.reader.score(&test).unwrap();
    assert!((dealt.accuracy - 0.5).abs() < 0.12, "{dealt:?}");
    let stop = &mut |_: Progress<'_>| false;
    assert!(hidden::fit(&train, units, fitting, "", stop).unwrap().is_none());
}

#[test]
fn a_hidden_layer_fits_many_labels_at_least_as_well_as_a_linear_map() {
    let x = draw(3, "signs", 400 * 2, Init::Normal(1.0));
    let of = x.chunks(2).flat_map(|x| [x[0] > 0.3, x[0] + x[1] > 0.0, x[1] * x[0] > 0.0]).collect();
    let data = Dataset::new(2, x.clone(), Labels::Many { count: 3, of }).unwrap();
    let fitting = Fitting { decay: 1e-5, rounds: 400, ..Fitting::default() };
    let linear = fitted(&data, fitting).reader.score(&data).unwrap();
    let units = Units { count: 16, seed: 1 };
    let found = hidden::fit(&data, units, fitting, "", &mut go_on).unwrap().unwrap();
    let score = found.reader.score(&data).unwrap();
    assert!(score.loss < linear.loss && score.micro_f1 > linear.micro_f1, "{score:?} {linear:?}");
    assert!(score.accuracy > 0.9, "{score:?}");
}

// ── labels of tasks ──────────────────────────────────────────────────────────────────────────────────

#[test]
fn labels_of_every_task_are_classes_of_positions() {
    for entry in mnemoscope::task::ALL {
        let Ok(source) = (entry.make)().open() else { continue };
        for kind in source.label_kinds() {
            let classes = source.label_classes(kind.name);
            let mut told = 0;
            for index in 0..40 {
                let row = source.sequence(held_out_seed(0), index);
                let labels = source.labels(kind.name, &row);
                assert_eq!(labels.len(), row.len(), "{} {}", entry.name, kind.name);
                for label in labels.into_iter().flatten() {
                    assert!(label.iter().all(|class| *class < classes), "{}", kind.name);
                    assert!(kind.many || label.len() == 1, "{}", kind.name);
                    told += 1;
                }
            }
            assert!(told > 0 && kind.about.ends_with('.'), "{} {}", entry.name, kind.name);
            let parsed = Label::parse(kind.name, source.label_kinds()).unwrap();
            assert_eq!((parsed, parsed.to_string()), (Label::OfTask(*kind), kind.name.to_owned()));
        }
        let row = source.sequence(held_out_seed(0), 0);
        let none = source.labels("no such label", &row);
        assert!(none.iter().all(Option::is_none), "{}", entry.name);
    }
}

#[test]
fn labels_of_a_tree_say_its_edges_children_and_leaves_where_they_are_known() {
    let source = TreePath { nodes: 6, ..TreePath::default() }.open().unwrap();
    let text = "3>1,3>4,0>3,0>2,2>5|1:0>3>1,,";
    let mut tokens = source.vocab().encode(text).unwrap();
    tokens.truncate(source.length());
    let row = source.label(&tokens, &Row::default());
    let at = |kind: &str, position: usize| source.labels(kind, &row)[position].clone();
    for position in [0, 1] {
        assert_eq!(at("edge_source", position), Some(vec![3]));
        assert_eq!(at("edge_target", position), Some(vec![1]));
    }
    assert_eq!(at("edge_source", 2), None, "a comma is no edge");
    // 15 is the goal, 16 the colon, 17 the root, 18 and 19 the path.
    assert_eq!(
        (at("goal", 14), at("goal", 15), at("goal", 19)),
        (None, Some(vec![1]), Some(vec![1]))
    );
    assert_eq!((at("next_step", 17), at("next_step", 18)), (Some(vec![3]), Some(vec![1])));
    assert_eq!((at("next_step", 16), at("next_step", 19)), (None, None));
    assert_eq!(at("children", 17), Some(vec![2, 3]));
    assert_eq!((at("children", 18), at("children", 19)), (Some(vec![1, 4]), Some(vec![])));
    assert_eq!(
        (at("inner_children", 17), at("inner_children", 18)),
        (Some(vec![2, 3]), Some(vec![]))
    );
    assert_eq!(at("path_nodes", 15), Some(vec![0, 3, 1]));
    assert_eq!((at("leaves", 14), at("leaves", 16)), (None, Some(vec![1, 4, 5])));
    // A wrong step has no node of the path, and nothing after it has.
    let mut wrong = tokens.clone();
    wrong[18] = source.vocab().encode(">2").unwrap()[0];
    let row = source.label(&wrong, &Row::default());
    let children = source.labels("children", &row);
    assert!(children[17].is_some() && children[18..].iter().all(Option::is_none));
    assert!(source.labels("goal", &source.label(&tokens[..9], &Row::default())).is_empty());
}

#[test]
fn labels_of_memory_are_the_contents_of_registers() {
    let source = ReferenceBack::default().open().unwrap();
    let registers = source.label_kinds().len() - 1;
    let row = source.sequence(held_out_seed(3), 1);
    let tuples = source.facet::<TupleText>().unwrap().tuples(&row.tokens);
    for register in 0..registers {
        let labels = source.labels(&format!("held_{register}"), &row);
        // Followed anew: what was stored last.
        let mut held = None;
        for tuple in &tuples.list {
            if tuple.store == Some(true) && tuple.register == register {
                held = Some(vec![tuple.symbol]);
            }
            assert_eq!(labels[tuple.symbol_at], held, "register {register}");
        }
        assert_eq!(labels.iter().flatten().count(), {
            let from =
                tuples.list.iter().position(|t| t.store == Some(true) && t.register == register);
            from.map_or(0, |from| tuples.list.len() - from)
        });
    }
    let compared = source.labels("compared", &row);
    for tuple in &tuples.list {
        let same = compared[tuple.symbol_at] == Some(vec![tuple.symbol]);
        assert_eq!(same, tuple.same);
    }
}

// ── trees ────────────────────────────────────────────────────────────────────────────────────────────

fn trees() -> (Experiment, Weights) {
    let mut experiment = Experiment::of("tiny", "tree_path", "decoder").unwrap();
    experiment
        .set_texts([
            "task.nodes=8",
            "model.layers=3",
            "model.heads=1",
            "model.width=32",
            "model.mlp=relu",
            "train.threads=2",
        ])
        .unwrap();
    let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
    (experiment, weights)
}

/// Before any attention a position is a function of its own token and number.
#[test]
fn before_attention_the_lower_end_of_an_edge_knows_its_own_node_and_not_the_upper_one() {
    let (experiment, weights) = trees();
    let source = experiment.task.open().unwrap();
    let site = Site { layer: 0, point: Point::ResidPre };
    let accuracy = |kind: Kind, label: &str, half: &str| {
        let settings = FitSettings {
            positions: Positions::parse("target", source.roles()).unwrap(),
            label: Label::parse(label, source.label_kinds()).unwrap(),
            train: 1000,
            test: 500,
            fitting: Fitting { decay: 1e-3, rounds: 100, ..Fitting::default() },
            ..settings(kind)
        };
        let found = run_of(&experiment, &weights, &settings, site, None).unwrap();
        found.about.pointer(&format!("/report/{half}/accuracy")).unwrap().as_f64().unwrap()
    };
    for kind in [Kind::LinearProbe, Kind::MlpProbe] {
        let (own, above) =
            (accuracy(kind, "edge_target", "test"), accuracy(kind, "edge_source", "test"));
        let dealt = accuracy(kind, "edge_target", "shuffled_labels_test");
        assert!(own > 0.99 && above < 0.35 && dealt < 0.3, "{kind:?}: {own} {above} {dealt}");
    }
}

#[test]
fn the_label_of_a_sub_path_is_what_attention_climbs() {
    let (experiment, weights) = trees();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let source = instrument.source().clone();
    let (subject, pool) = instrument.subject(&weights).unwrap();
    let nothing = BTreeSet::new();
    let asked = wanted(&Positions::All, Label::SubPath, &nothing);
    let found = gather(subject, pool, &Wanted { examples: 60, ..asked }, "", &mut go_on);
    let found = found.unwrap().unwrap();
    let Labels::Many { count: 8, of } = &found.labels else { panic!("nodes, many at once") };
    let (mut expected, mut index) = (Vec::new(), 5);
    while expected.len() < of.len() {
        let row = source.sequence(9, index);
        index += 1;
        let tree = source.facet::<Trees>().unwrap().tree(&row.tokens).unwrap();
        let batch = Batch::from_rows(std::slice::from_ref(&row));
        let sites = [0, 1].map(|layer| Site { layer, point: Point::Pattern });
        let (_, seen) = mnemoscope::model::pass::forward(
            subject.model,
            subject.params,
            &batch,
            &[],
            &sites,
            false,
        )
        .unwrap();
        let most = |layer: usize, at: usize| {
            let weights: Vec<f32> = seen[&sites[layer]]
                .get(0)
                .unwrap()
                .get(0)
                .unwrap()
                .get(at)
                .unwrap()
                .to_vec1()
                .unwrap();
            let registers = tree.script().registers();
            let open =
                |key: usize| !(registers.contains(&at) && registers.contains(&key) && key < at);
            let keys = (0..=at).filter(|key| open(*key));
            keys.max_by(|a, b| weights[*a].total_cmp(&weights[*b]).then(b.cmp(a))).unwrap()
        };
        for at in 0..row.len() {
            let (first, second) = (most(0, at), most(1, at));
            let below = tree.edges.iter().find(|e| e.target == first).map(|e| e.child);
            let below =
                below.or_else(|| tree.edges.iter().find(|e| e.source == first).map(|e| e.parent));
            let below = below.or((first == tree.script().goal()).then_some(tree.goal));
            let above = tree.edges.iter().find(|e| e.target == second).map(|e| e.parent);
            let (Some(below), Some(above)) = (below, above) else { continue };
            if below == tree.root || above == tree.root || tree.parent(below) != Some(above) {
                continue;
            }
            expected.extend((0..8).map(|node| node == below || node == above));
        }
    }
    assert!(of.len() > 10 * 8, "some climb: {}", of.len());
    assert_eq!(of[..], expected[..of.len()]);
}

#[test]
fn what_changes_the_forward_pass_changes_what_is_read_there() {
    let (experiment, weights) = birth();
    let what: Intervention = "zero layer0.attn_out".parse().unwrap();
    let read = |site: Site, under: Vec<Intervention>| {
        let settings = FitSettings { under, ..settings(Kind::LinearProbe) };
        run_of(&experiment, &weights, &settings, site, None).unwrap()
    };
    // Without what attention writes, the stream after it is the one before it.
    let before = read(Site { layer: 0, point: Point::ResidPre }, Vec::new());
    let (whole, cut) = (read(MID, Vec::new()), read(MID, vec![what]));
    assert_eq!(cut.reader, before.reader);
    assert_ne!(cut.reader, whole.reader);
    assert_eq!(cut.about["report"]["test"], before.about["report"]["test"]);
    assert_eq!(cut.about["under"], serde_json::json!(["zero layer0.attn_out"]));
    assert!(whole.about["under"].is_null());
}

#[test]
fn positions_are_named_by_numbers_by_roles_and_by_what_trees_keep_where() {
    let (experiment, weights) = trees();
    let mut instrument = Instrument::new(&experiment).unwrap();
    let source = instrument.source().clone();
    let (subject, _) = instrument.subject(&weights).unwrap();
    let row = source.sequence(held_out_seed(0), 0);
    let at = |text: &str| -> Vec<usize> {
        let positions = Positions::parse(text, source.roles()).unwrap();
        assert_eq!(positions.to_string(), text);
        let chosen = positions.of(subject, &row).unwrap();
        (0..row.len()).filter(|at| chosen[*at]).collect()
    };
    assert_eq!(at("3,7-9"), [3, 7, 8, 9]);
    let registers = at("registers");
    assert_eq!(registers, [12, 14, 15, 17, 18, 20], "as far before the goal at 21");
    assert!(at("important").iter().all(|at| registers.contains(at)));
    for wrong in ["9-7", "3,", "-", "1-99999999999"] {
        let said = Positions::parse(wrong, source.roles()).unwrap_err().message;
        assert!(said.contains("36,38-42"), "{said}");
    }
}

// ── layer by layer ───────────────────────────────────────────────────────────────────────────────────

fn readers(settings: &[(&str, &str)]) -> Readers {
    let mut analysis = Readers::default();
    for (name, value) in
        [("train", "240"), ("test", "120"), ("rounds", "40")].iter().chain(settings)
    {
        settings::set(&mut analysis, "", name, &settings::parse_value(value)).unwrap();
    }
    analysis
}

/// Asks up to `stop` reports; the answer and what was known at each report.
fn asked(
    (experiment, weights): &(Experiment, Weights),
    analysis: &Readers,
    stop: usize,
) -> (Reading, Vec<(usize, usize)>) {
    let mut instrument = Instrument::new(experiment).unwrap();
    let prompt = instrument.source().sequence(0, 0);
    let mut heard = Vec::new();
    let mut tell = |done: usize, total: usize, so_far: &dyn Fn() -> Result<Reading>| {
        assert!(so_far().is_ok());
        heard.push((done, total));
        heard.len() < stop
    };
    let reading = instrument.analyze(weights, &prompt, &[], analysis, &mut tell).unwrap();
    (reading, heard)
}

#[test]
fn each_place_of_the_stream_is_read_as_by_a_fit_of_its_own() {
    let run = trees();
    for kind in [Kind::LinearProbe, Kind::MlpProbe, Kind::Leace] {
        let chosen = [("kind", kind.name()), ("label", "edge_source"), ("hidden", "12")];
        let analysis = readers(&[&chosen[..], &[("positions", "target")]].concat());
        let (reading, heard) = asked(&run, &analysis, usize::MAX);
        let array = |name: &str| reading.array(name).unwrap().data.clone();
        assert_eq!(array("layer")[..], [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!((heard[0], *heard.last().unwrap()), ((0, 8), (8, 8)));
        assert!(heard.windows(2).all(|w| w[0].0 <= w[1].0));
        let source = run.0.task.open().unwrap();
        let settings = FitSettings {
            positions: Positions::parse("target", source.roles()).unwrap(),
            label: Label::parse("edge_source", source.label_kinds()).unwrap(),
            seed: 0,
            train: 240,
            test: 120,
            fitting: Fitting { rounds: 40, ..Fitting::default() },
            ..settings(kind)
        };
        let found = run_of(&run.0, &run.1, &settings, MID, None).unwrap();
        let pairs: &[(&str, &str)] = if kind == Kind::Leace {
            &[
                ("accuracy", "/probe_after/test/accuracy"),
                ("before_macro_f1", "/probe_before/test/macro_f1"),
                ("network_accuracy", "/network/after/erased_positions/accuracy"),
                ("rank", "/rank"),
            ]
        } else {
            &[
                ("accuracy", "/test/accuracy"),
                ("shuffled_macro_f1", "/shuffled_labels_test/macro_f1"),
                ("constant_micro_f1", "/constant_test/micro_f1"),
                ("cross_entropy", "/test/loss"),
            ]
        };
        for (name, place) in pairs {
            let alone = found.about["report"].pointer(place).and_then(|v| v.as_f64());
            let (here, alone) = (array(name)[1], alone.map_or(f32::NAN, |x| x as f32));
            assert!(
                here == alone || here.is_nan() && alone.is_nan(),
                "{kind:?} {name}: {here} {alone}"
            );
        }
        let kept = analysis.kept(&reading, &*source, 7).unwrap();
        assert_eq!(kept.len(), 7);
        let (name, one) = &kept[1];
        assert_eq!(*name, format!("{}-layer0.resid_mid-target-edge_source-step7", kind.name()));
        assert_eq!(Reader::from_tensors(kind, &one.tensors).unwrap(), found.reader);
    }
}

#[test]
fn what_is_stopped_keeps_what_was_fitted_and_a_lens_is_kept_whole_or_not_at_all() {
    let run = trees();
    let source = run.0.task.open().unwrap();
    let lens = readers(&[("kind", "tuned-lens"), ("positions", "path"), ("rounds", "40")]);
    let (whole, _) = asked(&run, &lens, usize::MAX);
    let layers = whole.array("layer").unwrap().data.len();
    assert_eq!(layers, 4, "boundaries of three layers");
    let same = whole.array("logit_lens_kl").unwrap().data[3];
    assert_eq!(same, 0.0, "at the end the logit lens is the network");
    let folder = tempfile::tempdir().unwrap();
    let kept = lens.kept(&whole, &*source, run.1.step).unwrap();
    for (name, reader) in &kept {
        readers_of::save(folder.path(), name, reader, false).unwrap();
    }
    let (mut lenses, home) = (Lenses::default(), [folder.path().to_owned()]);
    let found = lenses.kept_in(&home);
    assert_eq!((found.len(), found[0].step, found[0].maps.len()), (1, run.1.step, 4));
    assert_eq!(found[0].name, format!("tuned-lens-path-step{}", run.1.step));
    // What is replaced is read anew, and what is broken is none.
    let text = fs::read_to_string(folder.path().join("readers/tuned-lens-path-step0.json"));
    let text = text.unwrap().replace("\"step\":0", "\"step\":5");
    fs::write(folder.path().join("readers/tuned-lens-path-step0.json"), text).unwrap();
    assert_eq!(lenses.kept_in(&home)[0].step, 5);
    fs::write(folder.path().join("readers/tuned-lens-path-step0.json"), "{").unwrap();
    assert!(lenses.kept_in(&home).is_empty());
    let (cut, heard) = asked(&run, &lens, 12);
    assert_eq!(heard.len(), 12);
    assert!(cut.notes[1].starts_with("Stopped"), "{:?}", cut.notes);
    assert!(cut.array("accuracy").unwrap().data[3].is_nan());
    assert!(lens.kept(&cut, &*source, 0).unwrap().is_empty());
}

#[test]
fn a_network_without_mlps_is_read_where_it_has_places() {
    let (mut experiment, _) = trees();
    experiment.set_texts(["model.mlp=none"]).unwrap();
    let weights = Trainer::new(&experiment).unwrap().weights().unwrap();
    let few = [("label", "goal"), ("rounds", "2"), ("positions", "path")];
    let (reading, _) = asked(&(experiment.clone(), weights.clone()), &readers(&few), usize::MAX);
    assert_eq!(reading.array("layer").unwrap().data[..], [0.0, 1.0, 2.0, 2.0]);
    let mut instrument = Instrument::new(&experiment).unwrap();
    let prompt = instrument.source().sequence(0, 0);
    let nowhere = readers(&[("places", "mlp_out")]);
    let said =
        instrument.analyze(&weights, &prompt, &[], &nowhere, &mut |_, _, _| true).unwrap_err();
    assert!(said.message.contains("mlp_out"), "{said}");
}

#[test]
fn places_leave_out_attention_where_a_layer_has_none() {
    let names = |places: Places, heads: &[usize]| -> Vec<String> {
        places.sites(heads).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        names(Places::Stream, &[2, 0]),
        ["layer0.resid_pre", "layer0.resid_mid", "layer1.resid_pre", "layer1.resid_post"]
    );
    assert_eq!(names(Places::K, &[2, 0, 1]), ["layer0.k", "layer2.k"]);
    assert_eq!(names(Places::MlpOut, &[2, 0]), ["layer0.mlp_out", "layer1.mlp_out"]);
    for places in Places::ALL {
        assert!(places.sites(&[]).is_empty());
    }
}

// ── the command ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_command_fits_keeps_and_judges_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mnemoscope"))
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .args(args)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let done = |args: &[&str]| {
        let (code, out, err) = program(args);
        assert_eq!(code, Some(0), "{args:?}: {out}{err}");
        out
    };
    let set: Vec<String> =
        ["task.length=24", "model.width=16", "train.batch=8", "train.held_out=8"]
            .iter()
            .flat_map(|s| ["--set".to_owned(), (*s).to_owned()])
            .collect();
    let mut train = vec!["train", "birth", "--steps", "20", "--out", "a-run", "--quiet"];
    train.extend(set.iter().map(String::as_str));
    done(&train);
    let few = ["--train", "300", "--test", "100"];
    let probe = ["fit", "a-run", "linear-probe", "--site", "layer0.embed", "--label", "token"];
    let said = done(&[&probe[..], &few, &["-o", "probe.json", "--name", "here"]].concat());
    assert!(said.contains("kept in a-run/readers/here.safetensors"), "{said}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("probe.json")).unwrap()).unwrap();
    assert_eq!(report["kind"], "linear-probe");
    assert_eq!(report["split"]["train"]["examples"], 300);
    assert!(report["report"]["test"]["accuracy"].as_f64().unwrap() > 0.5, "{report}");
    let kept = fs::read(folder.path().join("a-run/readers/here.json")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&kept).unwrap(), report);
    let again = done(&[&probe[..], &few, &["--with", "here", "--step", "0"]].concat());
    assert!(again.contains("fitted to none") && again.contains("accuracy"), "{again}");
    done(&[&["fit", "a-run", "leace", "--role", "trigger"][..], &few].concat());
    done(&[&["fit", "a-run", "tuned-lens", "--rounds", "20"][..], &few].concat());
    done(&[&["fit", "a-run", "token-lens"][..], &few].concat());
    let mlp = ["fit", "a-run", "mlp-probe", "--site", "layer0.resid_pre", "--label", "token"];
    let said = done(&[&mlp[..], &few, &["--hidden", "8", "--rounds", "40"]].concat());
    assert!(said.contains("mlp-probe-layer0.resid_pre-all-token-step20"), "{said}");
    let many = ["readers", "a-run", "--label", "token", "--places", "boundaries"];
    let said = done(&[&many[..], &few].concat());
    assert!(said.contains("layer1.resid_post") && said.contains("shuffled_accuracy"), "{said}");
    let out = ["figure", "a-run", "readers", "-o", "x.svg", "--set", "label=token"];
    done(&[&out[..], &["--set", "train=100", "--set", "test=50"]].concat());
    let svg = fs::read_to_string(folder.path().join("x.svg")).unwrap();
    assert!(svg.contains("shuffled labels") && svg.contains("mid 1"), "{}", svg.len());
    let other = ["fit", "a-run", "linear-probe", "--set", "task.triggers=2", "--name", "two"];
    done(&[&other[..], &few].concat());
    for (args, code, words) in [
        (&["fit", "a-run", "linear-probe", "--name", "here"][..], 2, "--force"),
        (&["fit", "a-run", "leace", "--with", "here"], 2, "linear-probe"),
        (&["fit", "a-run", "leace", "--with", "nowhere"], 2, "kept are"),
        (&["fit", "a-run", "leace", "--site", "layer7.embed"], 2, "layer"),
        (&["fit", "a-run", "leace", "-o", "x.txt"], 2, ".json"),
        (&["fit", "a-run", "leace", "--role", "trigge"], 2, "trigger"),
        (&["fit", "nowhere", "leace"], 3, "nowhere"),
        (&["fit", "a-run", "mlp-probe", "--hidden", "99999999999"], 2, "from 1 to 4096"),
        (&["fit", "a-run", "leace", "--train", "99999999999999"], 2, "from 16 to 1000000"),
        (&["fit", "a-run", "leace", "--set", "train.rate=1"], 2, "only settings of the task"),
        (&["readers", "a-run", "--label", "goal"], 2, "seen or sub_path"),
    ] {
        let (found, out, err) = program(args);
        assert_eq!(found, Some(code), "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {err}");
    }
}
