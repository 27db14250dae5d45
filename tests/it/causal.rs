//! The causal bench: laws that patching, path patching, scrubbing and knock-out keep on every network.

use std::sync::Arc;

use candle_core::Tensor;
use mnemoscope::base::batch::{Batch, Row};
use mnemoscope::base::error::Error;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::pair::Pair;
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::measurement::analysis::{self, Ground};
use mnemoscope::measurement::causal::effect::{
    Excluded, Metric, Rule, counted, effect, estimate, student,
};
use mnemoscope::measurement::causal::knock_out::KnockOut;
use mnemoscope::measurement::causal::patching::{FAMILIES, Family, Patched, Plan, STACKS};
use mnemoscope::measurement::causal::path::Path;
use mnemoscope::measurement::causal::scrubbing::{Hypothesis, explained};
use mnemoscope::measurement::causal::{Pairs, Seen, Side, Spot, Stage};
use mnemoscope::measurement::{Answer, Subject};
use mnemoscope::model::birth::{Birth, Strengths, ideal};
use mnemoscope::model::{Architecture, Model, Sequences, pass};
use mnemoscope::nn::edit::{At, Edit, With};
use mnemoscope::nn::kernel::pool::Pool;
use mnemoscope::nn::params::Params;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::job::analysis_of;
use mnemoscope::task::{Source, Task};

use super::tiny::with;

const SEED: u64 = 3;

/// A network that was not trained, its task, and pairs of it.
struct Lab {
    model: Box<dyn Model>,
    params: Params,
    source: Arc<dyn Source>,
    pairs: Pairs,
    pool: Pool,
}

impl Lab {
    fn of(experiment: &Experiment, pairs: usize) -> Self {
        Self::seeded(experiment, pairs, SEED)
    }

    fn seeded(experiment: &Experiment, pairs: usize, seed: u64) -> Self {
        let source = experiment.task.open().unwrap();
        let mut params = Params::new(seed);
        let model = experiment
            .model
            .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)
            .unwrap();
        let params = params.watched().unwrap();
        let pairs = Pairs::of_task(&*source, "output", seed, pairs).unwrap();
        Self { model, params, source, pairs, pool: Pool::new(2).unwrap() }
    }

    fn new(texts: &[&str]) -> Self {
        Self::of(&with(&[&["task.length=24", "model.init=torch"], texts].concat()), 12)
    }

    fn subject(&self) -> Subject<'_> {
        Subject { model: &*self.model, params: &self.params, source: &*self.source }
    }

    fn stage(&self) -> Stage<'_> {
        Stage::new(self.subject(), &self.pairs).unwrap()
    }

    fn map(&self, stage: &Stage<'_>, family: Family) -> Vec<Patched> {
        let plan = Plan::new(stage, family).unwrap();
        let mut all = Vec::new();
        plan.run(&self.pool, |patched| all.push(patched), &mut |_, _| true).unwrap();
        all
    }
}

fn networks() -> Vec<(&'static str, Lab)> {
    vec![
        ("attention only", Lab::new(&["model.norm=none", "model.final_norm=false"])),
        ("norms and MLPs", Lab::new(&["model.mlp=gelu_erf"])),
        ("rotary", Lab::new(&["model.positions=rotary"])),
        ("birth", Lab::new(&["model.kind=birth", "model.width=16"])),
    ]
}

fn differences(seen: &[Seen]) -> Vec<f64> {
    seen.iter().map(|s| s.difference).collect()
}

#[track_caller]
fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "pair {i}: {a} against {b}");
    }
}

fn raw(stage: &Stage<'_>, seen: &[Seen]) -> Vec<f64> {
    seen.iter().zip(&stage.base).map(|(s, base)| s.difference - base.difference).collect()
}

#[test]
fn a_pair_differs_in_one_output_and_in_the_answer_to_it() {
    let lab = Lab::new(&[]);
    for pair in lab.pairs.all() {
        let output = pair.place("output").unwrap();
        assert_eq!(pair.differs(), [output]);
        assert_eq!(pair.place("trigger"), Some(output - 1));
        assert_eq!(pair.base.tokens[output - 1], pair.base.tokens[pair.at]);
        assert_eq!([pair.base.tokens[output], pair.other.tokens[output]], pair.answers);
        assert_eq!(pair.base.targets[pair.at], pair.answers[0]);
        assert_eq!(pair.other.targets[pair.at], pair.answers[1]);
    }
}

#[test]
fn identical_sequences_have_no_effect_and_no_normalised_one() {
    for (name, mut lab) in networks() {
        let same = |pair: &Pair| Pair { other: pair.base.clone(), ..pair.clone() };
        lab.pairs = Pairs::new(lab.pairs.all().iter().map(same).collect()).unwrap();
        let stage = lab.stage();
        for point in [Point::ResidPre, Point::Q, Point::K, Point::V, Point::Z, Point::Pattern] {
            let site = Site { layer: 1, point };
            let part = &lab.pairs.parts()[0];
            let other = part.capture(lab.subject(), Side::Other, &[], &[site]).unwrap();
            let edit = Edit::all(site, With::Replace(other[&site].clone()));
            let seen = stage.run(part, &[edit]).unwrap();
            // The watched pass is another sum in the last bits; within it nothing changes.
            let untouched = stage.run(part, &[Edit::all(site, With::Times(one(&lab)))]).unwrap();
            assert_eq!(seen, untouched, "{name} {site}");
        }
        for (name, family) in FAMILIES {
            let Ok(plan) = Plan::new(&stage, *family) else { continue };
            assert!(plan.cells().is_empty(), "{name}: no cell differs");
            assert!(!plan.still().is_empty());
        }
        for patched in lab.map(&stage, Family { point: Point::Z, by: FAMILIES[4].1.by }) {
            assert_eq!(raw(&stage, &patched.seen), vec![0.0; lab.pairs.len()]);
        }
        let (kept, excluded) = counted(Rule::All, Metric::Normalised, &stage.base, &stage.other);
        assert_eq!((kept.len(), excluded.no_contrast), (0, lab.pairs.len()));
        let said = excluded.sentence(lab.pairs.len()).unwrap();
        assert!(said.contains("both runs predict the same"), "{said}");
        let undefined = effect(
            Metric::Normalised,
            stage.base[0],
            stage.other[0],
            stage.base[0],
            lab.source.vocab().len(),
        );
        assert!(undefined.is_nan());
    }
}

fn one(lab: &Lab) -> Tensor {
    Tensor::ones(1, candle_core::DType::F32, lab.params.device()).unwrap()
}

#[test]
fn patching_everything_gives_the_whole_effect() {
    for (name, lab) in networks() {
        let stage = lab.stage();
        for site in [
            Site { layer: 0, point: Point::Embed },
            Site { layer: 0, point: Point::ResidPre },
            Site { layer: 1, point: Point::ResidPre },
            Site { layer: 1, point: Point::ResidPost },
        ] {
            let mut seen = Vec::new();
            for part in lab.pairs.parts() {
                let other = part.capture(lab.subject(), Side::Other, &[], &[site]).unwrap();
                let edit = Edit::all(site, With::Replace(other[&site].clone()));
                seen.extend(stage.run(part, &[edit]).unwrap());
            }
            assert_close(&differences(&seen), &differences(&stage.other), 1e-4);
            let vocab = lab.source.vocab().len();
            let (kept, _) = counted(Rule::All, Metric::Normalised, &stage.base, &stage.other);
            assert!(!kept.is_empty(), "{name}: some pairs have a contrast");
            for i in kept {
                let e = effect(Metric::Normalised, stage.base[i], stage.other[i], seen[i], vocab);
                assert!((e - 1.0).abs() < 0.02, "{name} {site} pair {i}: {e}");
            }
        }
    }
}

#[test]
fn effects_on_untrained_networks_have_no_direction() {
    let (mut covered, mut cells, mut whole) = (0, 0, Vec::new());
    for kind in ["decoder", "birth"] {
        let experiment = with(&["task.length=24", &format!("model.kind={kind}"), "model.width=16"]);
        for seed in 0..6 {
            let lab = Lab::seeded(&experiment, 60, seed);
            let stage = lab.stage();
            for family in ["k", "q", "pattern"] {
                let (_, family) = Family::named(family).unwrap()[0];
                for patched in lab.map(&stage, family) {
                    let effects = raw(&stage, &patched.seen);
                    let scale = effects.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
                    // What a cell cannot change at all has no interval to speak of.
                    if scale == 0.0 {
                        continue;
                    }
                    let found = estimate(&effects);
                    let [low, high] = found.interval;
                    covered += usize::from(low <= 0.0 && 0.0 <= high);
                    cells += 1;
                    whole.push(found.mean / scale);
                }
            }
        }
    }
    // Each interval misses 0 once in twenty times by chance, and each network has a little direction of its own.
    assert!(covered * 20 >= cells * 16, "{covered} of {cells} intervals hold 0");
    let [low, high] = estimate(&whole).interval;
    assert!(low <= 0.0 && 0.0 <= high, "over all networks: {low} to {high}");
}

#[test]
fn a_map_holds_what_patching_each_cell_by_hand_gives() {
    for (name, lab) in networks() {
        let stage = lab.stage();
        for family in ["resid_pre", "k_by_position", "pattern_by_query", "z", "attn_out"] {
            let (_, family) = Family::named(family).unwrap()[0];
            let map = lab.map(&stage, family);
            let shape = Plan::new(&stage, family).unwrap().shape();
            let mut indices: Vec<usize> = map.iter().map(|p| p.cell.index(&shape)).collect();
            indices.sort_unstable();
            assert!(indices.windows(2).all(|w| w[0] < w[1]), "{name}: each cell once");
            assert_eq!(indices.len(), shape.iter().product::<usize>(), "{name} {family:?}");
            for patched in map.iter().step_by(7) {
                let by_hand = by_hand(&lab, &stage, family, patched);
                assert_close(&differences(&patched.seen), &by_hand, 2e-4);
            }
        }
    }
}

/// Overwrites the slice with plain tensor operations.
fn by_hand(lab: &Lab, stage: &Stage<'_>, family: Family, patched: &Patched) -> Vec<f64> {
    let cell = patched.cell;
    let site = Site { layer: cell.layer, point: family.point };
    let mut all = Vec::new();
    for part in lab.pairs.parts() {
        let base = part.capture(lab.subject(), Side::Base, &[], &[site]).unwrap()[&site].clone();
        let other = part.capture(lab.subject(), Side::Other, &[], &[site]).unwrap()[&site].clone();
        let dims = base.dims().to_vec();
        let mut numbers: Vec<f32> = base.flatten_all().unwrap().to_vec1().unwrap();
        let from: Vec<f32> = other.flatten_all().unwrap().to_vec1().unwrap();
        let by_head = site.point.by_head();
        let inner = dims[dims.len() - 1];
        for (i, (x, y)) in numbers.iter_mut().zip(&from).enumerate() {
            let row = i / inner;
            let (head, position) =
                if by_head { (row / dims[2] % dims[1], row % dims[2]) } else { (0, row % dims[1]) };
            let here =
                cell.head.is_none_or(|h| h == head) && cell.position.is_none_or(|p| p == position);
            if here {
                *x = *y;
            }
        }
        let mixed = Tensor::from_vec(numbers, dims, base.device()).unwrap();
        let edit = Edit::all(site, With::Replace(mixed));
        all.extend(differences(&stage.run(part, &[edit]).unwrap()));
    }
    all
}

#[test]
fn the_cells_that_change_most_come_first_and_a_stop_is_heard() {
    let lab = Lab::new(&[]);
    let stage = lab.stage();
    let (_, family) = Family::named("resid_pre").unwrap()[0];
    let plan = Plan::new(&stage, family).unwrap();
    let first = plan.cells()[0];
    // Nothing but the embedding differs there, at the one position that differs.
    assert!(plan.cells().len() < plan.shape().iter().product());
    assert!(lab.pairs.all().iter().any(|p| Some(p.place("output").unwrap()) == first.position));
    let mut taken = 0;
    plan.run(&lab.pool, |_| taken += 1, &mut |_, _| false).unwrap();
    assert!(taken < plan.cells().len() + plan.still().len());
}

#[test]
fn stacks_name_families_that_exist() {
    for (name, members) in STACKS {
        assert_eq!(Family::named(name).unwrap().len(), members.len());
    }
    let error = Family::named("resid").unwrap_err();
    assert!(error.message.contains("resid_pre"), "{error}");
}

fn path(from: &[&str], to: &[&str]) -> Path {
    Path {
        senders: from.iter().map(|s| s.parse().unwrap()).collect(),
        receivers: to.iter().map(|r| r.parse().unwrap()).collect(),
        ..Path::default()
    }
}

#[test]
fn all_direct_paths_of_a_layer_together_are_its_activation_patch() {
    for (name, lab) in networks().into_iter().filter(|(name, _)| !name.contains("MLP")) {
        let stage = lab.stage();
        let all = path(&["layer0"], &["layer1.q", "layer1.k", "layer1.v", "layer1.resid_post"]);
        // The linear map behind the second attention of the other network reads what the receivers change.
        if name == "birth" {
            continue;
        }
        let together = all.patched(&stage).unwrap();
        let site = Site { layer: 0, point: Point::Z };
        let mut whole = Vec::new();
        for part in lab.pairs.parts() {
            let other = part.capture(lab.subject(), Side::Other, &[], &[site]).unwrap();
            let edit = Edit::all(site, With::Replace(other[&site].clone()));
            whole.extend(stage.run(part, &[edit]).unwrap());
        }
        assert_close(&differences(&together.seen), &differences(&whole), 1e-4);
        assert!(together.notes.is_empty(), "{name}: {:?}", together.notes);
    }
}

#[test]
fn a_path_to_the_last_stream_alone_is_the_direct_effect() {
    for (name, lab) in networks() {
        let stage = lab.stage();
        let direct = path(&["layer0"], &["layer1.resid_pre"]);
        let through_attention = direct.patched(&stage).unwrap();
        let last = path(&["layer0"], &["layer1.resid_post"]).patched(&stage).unwrap();
        let logits = path(&["layer0"], &["logits"]).patched(&stage).unwrap();
        assert_close(&differences(&logits.seen), &differences(&last.seen), 1e-4);
        // By hand: layer 0 from the other run, the heads of layer 1 as they were.
        let sites = [0, 1].map(|layer| Site { layer, point: Point::Z });
        let mut by_hand = Vec::new();
        for part in lab.pairs.parts() {
            let other = part.capture(lab.subject(), Side::Other, &[], &sites).unwrap();
            let base = part.capture(lab.subject(), Side::Base, &[], &sites).unwrap();
            let edits = [
                Edit::all(sites[0], With::Replace(other[&sites[0]].clone())),
                Edit::all(sites[1], With::Replace(base[&sites[1]].clone())),
            ];
            by_hand.extend(stage.run(part, &edits).unwrap());
        }
        assert_close(&differences(&last.seen), &differences(&by_hand), 1e-4);
        assert_ne!(differences(&through_attention.seen), differences(&last.seen), "{name}");
    }
}

#[test]
fn a_path_from_where_nothing_differs_does_nothing_and_says_so() {
    let lab = Lab::new(&[]);
    let stage = lab.stage();
    let nowhere = Path { from: Spot::Positions(vec![0]), ..path(&["layer0"], &["layer1.k"]) };
    let found = nowhere.patched(&stage).unwrap();
    assert_close(&differences(&found.seen), &differences(&stage.base), 1e-5);
    assert!(
        found.notes.iter().any(|n| n.contains("nothing reaches layer1.k")),
        "{:?}",
        found.notes
    );
    let same = path(&["embed"], &["layer1.k"]);
    let only_there = Path { from: Spot::Different, to: Spot::Named("trigger".into()), ..same };
    let found = only_there.patched(&stage).unwrap();
    // The embedding of one position reaches no other position directly.
    assert_close(&differences(&found.seen), &differences(&stage.base), 1e-5);
    for (wrong, says) in [("layer9", "layer9"), ("layer0.head9", "head 9")] {
        let error = path(&[wrong], &["layer1.k"]).patched(&stage).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
    let unknown = Path { to: Spot::Named("nowhere".into()), ..path(&["layer0"], &["layer1.k"]) };
    let error = unknown.patched(&stage).unwrap_err();
    assert!(error.message.contains("trigger, output"), "{error}");
}

#[test]
fn embedding_and_heads_together_are_the_whole_stream() {
    for (name, lab) in networks() {
        let stage = lab.stage();
        let all = path(&["embed", "layer0", "layer1"], &["layer1.resid_post"]);
        let seen = all.patched(&stage).unwrap().seen;
        assert_close(&differences(&seen), &differences(&stage.other), 1e-3);
        let _ = name;
    }
}

#[test]
fn all_paths_explain_everything_and_only_paths_that_carry_the_difference_explain_something() {
    for (name, lab) in networks() {
        let stage = lab.stage();
        let all = Hypothesis::everything(lab.model.layout()).unwrap();
        let every: Vec<usize> = (0..lab.pairs.len()).collect();
        let found = explained(&stage, &all, &every).unwrap();
        assert!((found.share - 1.0).abs() < 1e-3, "{name}: {}", found.share);
        // The answers are predicted where the token is the same in both: its own embedding says nothing.
        let own: Hypothesis = "embed > logits".parse().unwrap();
        let found = explained(&stage, &own, &every).unwrap();
        assert!(found.share.abs() < 1e-3, "{name}: {}", found.share);
        let total: f64 = stage
            .other
            .iter()
            .zip(&stage.base)
            .map(|(o, b)| (o.difference - b.difference).abs())
            .sum::<f64>()
            / lab.pairs.len() as f64;
        assert!((found.total.mean - total).abs() < 1e-9);
    }
}

#[test]
fn a_hypothesis_of_one_head_is_that_head_fed_by_hand() {
    let lab = Lab::new(&[]);
    let stage = lab.stage();
    let one: Hypothesis = "embed > layer0.v.head1 > logits".parse().unwrap();
    let found = explained(&stage, &one, &[0, 1]).unwrap();
    // By hand: values of that head from the base sequence, everything else from the other one, layer 1 frozen.
    let mut by_hand = Vec::new();
    for part in lab.pairs.parts() {
        let (v, z) = (Site { layer: 0, point: Point::V }, |layer| Site { layer, point: Point::Z });
        let base = part.capture(lab.subject(), Side::Base, &[], &[v]).unwrap();
        let other = part.capture(lab.subject(), Side::Other, &[], &[z(1)]).unwrap();
        let head = Edit {
            site: v,
            head: Some(1),
            positions: At::All,
            keys: At::All,
            with: With::Replace(base[&v].clone()),
        };
        let edits = [head, Edit::all(z(1), With::Replace(other[&z(1)].clone()))];
        let (logits, _) = part.run(lab.subject(), Side::Other, &edits, &[]).unwrap();
        by_hand.extend(differences(&stage.seen(part, &logits)));
    }
    assert_close(&found.differences, &by_hand, 1e-5);
}

#[test]
fn hypotheses_that_mean_nothing_are_refused() {
    for (text, says) in [
        ("", "at least one"),
        ("layer0.v.head1 > logits", "embed > "),
        ("embed > layer0.z.head1 > logits", "embed > "),
        ("embed > layer1.v.head1 > layer0.k.head0 > logits", "upward"),
    ] {
        let error = text.parse::<Hypothesis>().unwrap_err();
        assert!(error.message.contains(says), "{text}: {error}");
    }
}

#[test]
fn an_induction_head_needs_its_two_edges() {
    let settings = Birth { width: 256, ..Birth::default() };
    let task = mnemoscope::task::bigram::Bigram { length: 32, ..Default::default() };
    let source = task.open().unwrap();
    let mut params = Params::new(SEED);
    let model =
        settings.build(Sequences::of_tokens(source.vocab().len(), 32), &mut params).unwrap();
    let tokens: Vec<u32> = (0..source.vocab().len() as u32).collect();
    let strengths = Strengths { previous: 30.0, matching: 30.0, output: 30.0 };
    ideal(&settings, &params, strengths, &tokens).unwrap();
    let params = params.watched().unwrap();
    let subject = Subject { model: &*model, params: &params, source: &*source };
    let pair = source.pair("output", SEED, 0).unwrap();
    let (at, output) = (pair.at, pair.place("output").unwrap());
    let rule = KnockOut { positions: vec![at], most_kl: None };
    let needed = rule.run(subject, &pair.base, &mut |_, _| true).unwrap();
    assert!(needed.whole);
    assert_eq!(needed.tried, 2 * 32 * 33 / 2);
    let has = |layer, query, key| {
        needed.edges.iter().any(|e| (e.layer, e.query, e.key) == (layer, query, key))
    };
    assert!(has(1, at, output), "{:?}", needed.edges);
    assert!(needed.edges.len() <= 4, "{:?}", needed.edges);
    // With all others cut the prediction is still the output.
    let stage_pairs = Pairs::new(vec![pair.clone()]).unwrap();
    let stage = Stage::new(subject, &stage_pairs).unwrap();
    assert!(stage.base[0].difference > 0.0 && stage.other[0].difference < 0.0);
    let stopped = rule.run(subject, &pair.base, &mut |_, _| false).unwrap();
    assert!(!stopped.whole && stopped.tried < needed.tried);
    let outside = KnockOut { positions: vec![99], most_kl: None };
    assert!(outside.run(subject, &pair.base, &mut |_, _| true).is_err());
}

#[test]
fn pairs_that_do_not_fit_each_other_are_refused_in_a_sentence() {
    let lab = Lab::new(&[]);
    let pair = lab.pairs.all()[0].clone();
    let shorter = lab.source.label(&pair.base.tokens[..9], &pair.base);
    for (pair, says) in [
        (Pair { other: shorter, ..pair.clone() }, "24 and 9 tokens"),
        (Pair { at: 24, ..pair }, "position 24"),
    ] {
        let error = Pairs::new(vec![pair]).err().unwrap();
        assert!(error.message.contains(says), "{error}");
    }
    assert!(Pairs::new(Vec::new()).is_err());
    let error = Pairs::of_task(&*lab.source, "deny", 0, 3).err().unwrap();
    assert!(error.message.contains("it makes output"), "{error}");
}

#[test]
fn positions_of_each_pair_are_its_own() {
    let lab = Lab::new(&[]);
    let part = &lab.pairs.parts()[0];
    let at = lab.pairs.positions(part, &Spot::Named("output".into())).unwrap();
    let expected: Vec<Vec<usize>> =
        lab.pairs.all().iter().map(|p| vec![p.place("output").unwrap()]).collect();
    assert_eq!(at, At::PerRow(expected.clone()));
    let site = Site { layer: 0, point: Point::ResidPre };
    let edit = Edit { site, head: None, positions: at, keys: At::All, with: With::Zero };
    let captured = part.capture(lab.subject(), Side::Base, &[edit], &[site]).unwrap();
    let whole = part.capture(lab.subject(), Side::Base, &[], &[site]).unwrap();
    for (row, at) in expected.iter().enumerate() {
        for position in 0..24 {
            let of = |x: &Tensor| -> Vec<f32> {
                x.get(row).unwrap().get(position).unwrap().to_vec1().unwrap()
            };
            let (edited, was) = (of(&captured[&site]), of(&whole[&site]));
            if at.contains(&position) {
                assert!(edited.iter().all(|x| *x == 0.0));
            } else {
                assert_eq!(edited, was);
            }
        }
    }
}

/// Computed with scipy 1.17.1 by `tests/python/intervals_reference.py`: `t.ppf(0.975, degrees)`.
#[test]
fn the_quantile_of_students_t_is_that_of_another_implementation() {
    for (degrees, expected) in [
        (1, 12.706_204_736_174_694),
        (2, 4.302_652_729_749_462),
        (3, 3.182_446_305_283_707_8),
        (5, 2.570_581_835_636_314_6),
        (10, 2.228_138_851_986_274),
        (31, 2.039_513_446_396_408),
        (100, 1.983_971_518_523_551_8),
        (1000, 1.962_339_080_826_408_3),
    ] {
        assert!((student(degrees) - expected).abs() < 1e-10, "{degrees}: {}", student(degrees));
    }
}

/// In 8000 samples of each size the interval holds the true mean so often; `docs/causal.md` has these numbers.
#[test]
fn the_interval_of_a_mean_covers_it_as_often_as_it_says() {
    let sizes = [3, 4, 6, 12, 32];
    let normal = [0.95; 5];
    let skewed = [0.89, 0.88, 0.89, 0.91, 0.93];
    type Law = fn(&mut dyn FnMut() -> f64) -> f64;
    let gauss: Law = |u| (-2.0 * u().ln()).sqrt() * (std::f64::consts::TAU * u()).cos();
    let exponential: Law = |u| -u().ln() - 1.0;
    for (law, expected) in [(gauss, normal), (exponential, skewed)] {
        let mut state = 1_u64;
        let mut uniform = || {
            // Marsaglia's xorshift, never 0.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 11) as f64 + 0.5) / 2f64.powi(53)
        };
        for (size, expected) in sizes.into_iter().zip(expected) {
            let covers = |_: &u32| {
                let sample: Vec<f64> = (0..size).map(|_| law(&mut uniform)).collect();
                let [low, high] = estimate(&sample).interval;
                low <= 0.0 && 0.0 <= high
            };
            let covered = (0..8000).filter(covers).count() as f64 / 8000.0;
            assert!((covered - expected).abs() < 0.01, "{size}: {covered}, expected {expected}");
        }
    }
}

#[test]
fn what_says_nothing_of_its_spread_has_no_interval_and_says_so() {
    let none = |values: &[f64], says: &str| {
        let found = estimate(values);
        assert!(found.interval.iter().all(|end| end.is_nan()), "{values:?}: {found:?}");
        let why = found.no_interval("pair").unwrap();
        assert!(why.contains(says), "{why}");
        found.mean
    };
    assert_eq!(none(&[1.0], "one pair alone"), 1.0);
    // The mean of three tenths is not a tenth to the last bit.
    assert!((none(&[0.1; 3], "3 pairs with the very same") - 0.1).abs() < 1e-15);
    let found = estimate(&[]);
    assert!(found.mean.is_nan() && found.no_interval("pair").is_none());
    let found = estimate(&[1.0, 2.0, 4.0]);
    assert!(found.no_interval("pair").is_none());
    // By hand: mean 7/3, s² = 7/3, t = 4.3027.
    let half = 4.302_652_729_749_462 * (7.0 / 9.0_f64).sqrt();
    assert_close(&found.interval, &[7.0 / 3.0 - half, 7.0 / 3.0 + half], 1e-9);
}

// ── which pairs count ────────────────────────────────────────────────────────────────────────────────

fn asked(lab: &Lab, call: &MeasurementCall, prompt: &Row) -> Result<Answer, Error> {
    let ground = Ground { subject: lab.subject(), pool: &lab.pool, prompt, seed: SEED, edits: &[] };
    analysis_of(call).unwrap().run(&ground, &mut |_| true)
}

fn number(answer: &Answer, name: &str) -> f64 {
    let mean = answer.means.iter().find(|mean| mean.name == name);
    mean.map(|mean| mean.sum / mean.count).unwrap_or_else(|| panic!("no {name}"))
}

/// A network that holds the memories of an induction head, in so narrow a stream that it gets some pairs wrong.
fn partly_right() -> Lab {
    let settings = Birth { width: 32, ..Birth::default() };
    let lab = |strength: u32| {
        let experiment = with(&["task.length=24"]);
        let source = experiment.task.open().unwrap();
        let mut params = Params::new(SEED);
        let model =
            settings.build(Sequences::of_tokens(source.vocab().len(), 24), &mut params).unwrap();
        let tokens: Vec<u32> = (0..source.vocab().len() as u32).collect();
        let strength = f64::from(strength);
        let strengths = Strengths { previous: strength, matching: strength, output: strength };
        ideal(&settings, &params, strengths, &tokens).unwrap();
        let params = params.watched().unwrap();
        let pairs = Pairs::of_task(&*source, "output", SEED, 32).unwrap();
        Lab { model, params, source, pairs, pool: Pool::new(2).unwrap() }
    };
    (1..40).map(lab).find(|lab| (4..28).contains(&counted_in(lab).0.len())).unwrap()
}

fn counted_in(lab: &Lab) -> (Vec<usize>, Excluded) {
    let stage = lab.stage();
    counted(Rule::BothRight, Metric::LogitDifference, &stage.base, &stage.other)
}

#[test]
fn every_question_over_pairs_counts_the_same_pairs_and_says_how_many() {
    let lab = partly_right();
    let (kept, excluded) = counted_in(&lab);
    let prompt = lab.source.sequence(SEED, 0);
    for name in ["patching", "path", "scrubbing"] {
        let mut call = MeasurementCall::new(name);
        if name != "scrubbing" {
            call = call.with("metric", "logit_difference");
        }
        let answer = asked(&lab, &call, &prompt).unwrap();
        for (number_of, expected) in [
            ("pairs", 32),
            ("pairs_counted", kept.len()),
            ("pairs_base_wrong", excluded.base_wrong),
            ("pairs_other_wrong", excluded.other_wrong),
            ("pairs_no_contrast", 0),
        ] {
            assert_eq!(number(&answer, number_of), expected as f64, "{name}: {number_of}");
        }
        let says = format!("{} of 32 pairs are left out", 32 - kept.len());
        assert!(answer.notes.iter().any(|note| note.contains(&says)), "{name}: {:?}", answer.notes);
        let all = asked(&lab, &call.with("all_pairs", true), &prompt).unwrap();
        assert_eq!(number(&all, "pairs_counted"), 32.0, "{name}");
        assert!(all.notes.iter().all(|note| !note.contains("left out")), "{name}: {:?}", all.notes);
    }
}

#[test]
fn every_question_about_right_answers_can_be_told_to_count_wrong_ones() {
    // Those that judge a network, or have it write, rather than ask what its right answers need.
    let judges =
        ["readers", "length", "stored", "automaton", "generation", "head_scores", "rewriting"];
    for entry in analysis::ALL.iter().filter(|entry| !judges.contains(&entry.name)) {
        let mut names = Vec::new();
        (entry.make)().each(&mut |spec, _| names.push(spec.name));
        let can = ["all_pairs", "all_prompts"].iter().any(|name| names.contains(name));
        assert!(can, "{}: {names:?}", entry.name);
    }
}

#[test]
fn scrubbing_explains_the_pairs_that_count_and_no_others() {
    let lab = partly_right();
    let stage = lab.stage();
    let (kept, _) = counted_in(&lab);
    let text = "embed > layer1.v.head0 > logits";
    let prompt = lab.source.sequence(SEED, 0);
    let call = MeasurementCall::new("scrubbing").with("hypothesis", text);
    let answer = asked(&lab, &call, &prompt).unwrap();
    let every: Vec<usize> = (0..32).collect();
    let found = explained(&stage, &text.parse().unwrap(), &every).unwrap();
    let mean = |of: &dyn Fn(usize) -> f64| {
        let away = kept.iter().map(|&i| (of(i) - stage.base[i].difference).abs());
        away.sum::<f64>() / kept.len() as f64
    };
    let unexplained = mean(&|i| found.differences[i]);
    let total = mean(&|i| stage.other[i].difference);
    assert!((number(&answer, "unexplained_effect") - unexplained).abs() < 1e-9);
    assert!((number(&answer, "total_effect") - total).abs() < 1e-9);
    assert!((number(&answer, "explained") - (1.0 - unexplained / total)).abs() < 1e-9);
    assert!((found.unexplained.mean - unexplained).abs() > 1e-6, "some pairs were left out");
}

#[test]
fn knocking_out_asks_for_the_predictions_that_are_right() {
    let lab = Lab::new(&[]);
    let prompt = lab.source.sequence(SEED, 0);
    let batch = Batch::from_rows(std::slice::from_ref(&prompt));
    let (logits, _) = pass::forward(&*lab.model, &lab.params, &batch, &[], &[], true).unwrap();
    let logits = logits.unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    let told = |row: &Vec<f32>| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    let is_right = |at: &usize| told(&logits[*at]) == prompt.targets[*at] as usize;
    let (right, wrong): (Vec<usize>, Vec<usize>) = (0..24).partition(is_right);
    assert!(!wrong.is_empty());
    let some = wrong[0].to_string();
    let call = MeasurementCall::new("knock_out").with("positions", some.as_str());
    let error = asked(&lab, &call, &prompt).unwrap_err();
    assert!(error.message.contains("--all-pairs") && error.message.contains(&some), "{error}");
    let answer = asked(&lab, &call.with("all_pairs", true), &prompt).unwrap();
    assert_eq!(
        (number(&answer, "predictions"), number(&answer, "predictions_counted")),
        (1.0, 1.0)
    );
    if let Some(right) = right.first() {
        let call = MeasurementCall::new("knock_out").with("positions", format!("{right},{some}"));
        let answer = asked(&lab, &call, &prompt).unwrap();
        assert_eq!(number(&answer, "predictions_counted"), 1.0);
        assert!(answer.notes[0].contains("1 of 2 predictions are left out"), "{:?}", answer.notes);
        let alone = asked(
            &lab,
            &MeasurementCall::new("knock_out").with("positions", right.to_string()),
            &prompt,
        );
        assert_eq!(number(&answer, "edges_needed"), number(&alone.unwrap(), "edges_needed"));
    }
}

#[test]
fn metrics_are_their_definitions() {
    let seen = |difference, loss, kl| Seen { difference, loss, kl };
    let (base, other, patched) = (seen(2.0, 0.5, 0.0), seen(-2.0, 3.0, 1.0), seen(-1.0, 2.0, 0.25));
    let of = |metric| effect(metric, base, other, patched, 8);
    assert_eq!(of(Metric::Normalised), 0.75);
    assert_eq!(of(Metric::LogitDifference), -3.0);
    assert_eq!(of(Metric::Flip), 1.0);
    assert_eq!(of(Metric::Kl), 0.25);
    let guessing = 8f64.ln();
    assert_eq!(of(Metric::RecoveredLoss), (guessing - 2.0) / (guessing - 0.5));
    let wrong = [seen(-1.0, 0.0, 0.0), base, base, base];
    let others = [other, seen(1.0, 0.0, 0.0), seen(2.0005, 0.0, 0.0), other];
    let (kept, excluded) = counted(Rule::BothRight, Metric::Normalised, &wrong, &others);
    assert_eq!((kept, excluded.base_wrong, excluded.other_wrong), (vec![3], 1, 2));
    let (kept, excluded) = counted(Rule::All, Metric::Normalised, &wrong, &others);
    assert_eq!((kept, excluded.no_contrast), (vec![0, 1, 3], 1));
}

// ── edits ────────────────────────────────────────────────────────────────────────────────────────────

fn captured(lab: &Lab, edits: &[Edit], site: Site) -> Vec<f32> {
    let batch: &Batch = lab.pairs.parts()[0].batch(Side::Base);
    let (_, captured) =
        pass::forward(&*lab.model, &lab.params, batch, edits, &[site], false).unwrap();
    captured[&site].flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_cut_edge_is_zero_and_the_rest_of_its_row_sums_to_one_or_stays() {
    let lab = Lab::new(&[]);
    let site = Site { layer: 1, point: Point::Pattern };
    let cut = |text: &str| Edit::of(&text.parse().unwrap(), &lab.params).unwrap().unwrap();
    let whole = captured(&lab, &[], site);
    let plain = captured(&lab, &[cut("cut layer1.head1@9<-4")], site);
    let raised = captured(&lab, &[cut("cut layer1.head1@9<-4 renormalised")], site);
    for (i, row) in whole.chunks(24).enumerate() {
        let (head, query) = (i / 24 % 2, i % 24);
        let (plain, raised) = (&plain[i * 24..][..24], &raised[i * 24..][..24]);
        if (head, query) != (1, 9) {
            assert_eq!((plain, raised), (row, row));
            continue;
        }
        for key in 0..24 {
            let left = if key == 4 { 0.0 } else { row[key] };
            assert_eq!(plain[key], left);
            assert!((raised[key] - left / (1.0 - row[4])).abs() < 1e-6);
        }
        assert!((raised.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    // Where the only key is cut nothing is left to raise.
    let first = captured(&lab, &[cut("cut layer1@0<-0 renormalised")], site);
    assert!(first[..24].iter().all(|x| *x == 0.0));
}

#[test]
fn scaling_and_adding_are_what_they_say() {
    let lab = Lab::new(&[]);
    let edit = |text: &str| Edit::of(&text.parse().unwrap(), &lab.params).unwrap().unwrap();
    let z = Site { layer: 0, point: Point::Z };
    let (whole, half) =
        (captured(&lab, &[], z), captured(&lab, &[edit("scale layer0.head1 by 0.5")], z));
    let inner = 8;
    for (i, (was, is)) in whole.iter().zip(&half).enumerate() {
        let head = i / (24 * inner) % 2;
        assert_eq!(*is, if head == 1 { was * 0.5 } else { *was });
    }
    let stream = Site { layer: 1, point: Point::ResidPre };
    let (was, is) = (
        captured(&lab, &[], stream),
        captured(&lab, &[edit("add layer1.resid_pre@3 2*embed[5]-0.5*embed[9]")], stream),
    );
    let embed = lab.params.get(lab.params.find("embed").unwrap()).unwrap();
    let row = |i: usize| -> Vec<f32> { embed.get(i).unwrap().to_vec1().unwrap() };
    let (five, nine) = (row(5), row(9));
    for (i, (was, is)) in was.iter().zip(&is).enumerate() {
        let (position, dim) = (i / 16 % 24, i % 16);
        let direction = 2.0 * five[dim] - 0.5 * nine[dim];
        let expected = if position == 3 { was + direction } else { *was };
        assert!((is - expected).abs() < 1e-6);
    }
    for (text, says) in [
        ("add layer1.resid_pre 2*embd[5]", "embed"),
        ("add layer1.resid_pre 2*embed[500]", "row 500"),
    ] {
        let error = Edit::of(&text.parse().unwrap(), &lab.params).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
}
