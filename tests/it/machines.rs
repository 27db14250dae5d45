//! Machines found in hidden vectors: groups of points, boxes, and what is left of a machine when it is made as small as it can be.

use mnemoscope::base::error::Result;
use mnemoscope::base::question::{MeasurementCall, Reading};
use mnemoscope::measurement::automaton::{Agreement, Found, Moore, Walks, found, partners};
use mnemoscope::nn::params::{Init, draw};
use mnemoscope::numeric::clusters::{Clusters, k_means, square_distance};
use mnemoscope::numeric::grid::Grid;
use mnemoscope::numeric::matching::matched;
use mnemoscope::run::job::{analysis_of, follows};
use proptest::prelude::*;

use super::working_memory::Asked;

// ── points in groups ─────────────────────────────────────────────────────────────────────────────────

/// `count` points around each of `places`, none farther than 0.5 from it.
fn heaps(places: &[[f32; 2]], count: usize) -> Vec<f32> {
    let around = |place: &[f32; 2], i: usize| {
        let angle = i as f32 * 2.4;
        let radius = 0.5 * (i as f32 / count as f32).sqrt();
        [place[0] + radius * angle.cos(), place[1] + radius * angle.sin()]
    };
    let heap = |place| (0..count).flat_map(move |i| around(place, i));
    places.iter().flat_map(heap).collect()
}

/// Groups of a seed.
fn grouped(points: &[f32], dims: usize, count: usize, seed: u64) -> Clusters {
    let numbers = draw(seed, "centres", 1000, Init::Uniform(0.5));
    let mut numbers = numbers.into_iter().cycle();
    k_means(points, dims, count, &mut || f64::from(numbers.next().unwrap()) + 0.5)
}

const PLACES: [[f32; 2]; 4] = [[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]];

#[test]
fn heaps_that_lie_apart_are_found_whole() {
    let points = heaps(&PLACES, 50);
    for seed in 0..20 {
        let found = grouped(&points, 2, 4, seed);
        for heap in found.of.chunks(50) {
            assert!(heap.iter().all(|cluster| *cluster == heap[0]), "{seed}: {heap:?}");
        }
        let mut first: Vec<usize> = found.of.iter().step_by(50).copied().collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2, 3], "{seed}");
        for (i, place) in PLACES.iter().enumerate() {
            let centre = &found.centres[2 * found.of[50 * i]..][..2];
            assert!(square_distance(centre, place) < 0.05, "{centre:?}");
            assert_eq!(found.nearest(place), Some(found.of[50 * i]));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_groups_on_any_thread() {
    let points = heaps(&PLACES, 30);
    let here = grouped(&points, 2, 7, 3);
    let there = std::thread::scope(|scope| scope.spawn(|| grouped(&points, 2, 7, 3)).join());
    assert_eq!(here, there.unwrap());
    let spread = |clusters: usize| grouped(&points, 2, clusters, 3).spread;
    assert!(spread(4) < spread(3) && spread(7) < spread(4));
}

#[test]
fn every_point_is_in_the_group_of_the_nearest_centre() {
    let points = heaps(&PLACES, 40);
    let found = grouped(&points, 2, 9, 0);
    for (point, cluster) in points.chunks(2).zip(&found.of) {
        assert_eq!(found.nearest(point), Some(*cluster));
    }
}

#[test]
fn fewer_points_than_groups_are_groups_of_one() {
    let found = grouped(&[1.0, 2.0, 3.0], 1, 5, 0);
    let mut of = found.of.clone();
    of.sort_unstable();
    assert_eq!((of, found.spread), (vec![0, 1, 2], 0.0));
    assert!(grouped(&[], 3, 5, 0).of.is_empty());
    assert_eq!(grouped(&[], 3, 5, 0).nearest(&[0.0; 3]), None);
    // All in one place: some groups stay empty.
    assert!(grouped(&[4.0; 8], 2, 3, 0).of.iter().all(|cluster| *cluster == 0));
}

// ── boxes ────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn boxes_are_those_of_the_specification() {
    let grid = Grid::new(vec![[-1.0, 1.0], [-2.0, 2.0]], 4);
    for (point, raw, held) in [
        ([-1.0, -2.0], [0, 0], [0, 0]),
        ([0.0, 0.0], [2, 2], [2, 2]),
        ([-0.3, 1.2], [1, 3], [1, 3]),
        ([1.0, 2.0], [4, 4], [3, 3]),
        ([1.2, -2.5], [4, -1], [3, 0]),
    ] {
        assert_eq!((grid.intervals(&point), grid.cell(&point)), (raw.to_vec(), held.to_vec()));
    }
}

#[test]
fn the_ends_of_boxes_are_the_least_and_the_largest() {
    let points = [0.0, 7.0, 10.0, 7.0, 5.0, 7.0];
    let grid = Grid::around(&points, 2, 10);
    let cells: Vec<_> = points.chunks(2).map(|point| grid.cell(point)).collect();
    // The second component has no spread.
    assert_eq!(cells, [[0, 0], [9, 0], [5, 0]]);
}

#[test]
fn partners_are_those_of_the_largest_weights() {
    assert_eq!(matched(&[1.0, 5.0, 2.0, 4.0], 2), [Some(1), Some(0)]);
    assert_eq!(matched(&[3.0, 5.0, 2.0, 9.0, 1.0, f64::NAN], 2), [Some(0), Some(1), None]);
    assert_eq!(matched(&[f64::NAN, -4.0, -1.0, -2.0], 2), [Some(1), Some(0)]);
}

// ── machines ─────────────────────────────────────────────────────────────────────────────────────────

/// A machine that tells its states.
fn machine(next: &[&[usize]]) -> Moore {
    let row = |row: &&[usize]| row.iter().copied().map(Some).collect();
    let told = (0..next.len() as u32).map(Some).collect();
    Moore { start: 0, next: next.iter().map(row).collect(), told }
}

fn parity() -> Moore {
    machine(&[&[0, 1], &[1, 0]])
}

/// A walk between two walls.
fn walls() -> Moore {
    machine(&[&[0, 1], &[0, 2], &[1, 3], &[2, 3]])
}

/// All strings of actions of a length.
fn strings(actions: usize, length: u32) -> Vec<Vec<usize>> {
    let digit = |number: usize, place: u32| number / actions.pow(place) % actions;
    let string = |number| (0..length).map(|place| digit(number, place)).collect();
    (0..actions.pow(length)).map(string).collect()
}

fn labels(machine: &Moore, actions: &[usize]) -> Vec<Option<u32>> {
    machine.run(actions).into_iter().map(|state| machine.told[state.unwrap()]).collect()
}

#[test]
fn states_that_nothing_tells_apart_are_one() {
    // Parity twice over, and a state that nothing leads to.
    let mut twice = machine(&[&[2, 1], &[3, 2], &[0, 3], &[1, 0], &[4, 4]]);
    twice.told = [0, 1, 0, 1, 7].map(Some).to_vec();
    let small = twice.minimised();
    assert_eq!(small.machine, parity());
    assert_eq!(small.state, [Some(0), Some(1), Some(0), Some(1), None]);
    assert_eq!(parity().minimised().machine, parity());
}

#[test]
fn states_of_one_label_are_kept_apart_where_strings_tell_them_apart() {
    let edges = Moore { told: [1, 0, 0, 1].map(Some).to_vec(), ..walls() };
    // Both walls are alike from outside, and so are both places between them.
    assert_eq!(edges.minimised().machine.next.len(), 4);
    let ring =
        Moore { told: [1, 0, 0, 0].map(Some).to_vec(), ..machine(&[&[1], &[2], &[3], &[0]]) };
    assert_eq!(ring.minimised().machine.next.len(), 4);
    let mirror =
        Moore { told: [1, 0, 1, 0].map(Some).to_vec(), ..machine(&[&[1], &[2], &[3], &[0]]) };
    assert_eq!(
        mirror.minimised().machine,
        Moore { told: vec![Some(1), Some(0)], ..machine(&[&[1], &[0]]) }
    );
}

#[test]
fn a_start_of_which_nothing_is_told_is_the_state_that_leads_where_it_leads() {
    let mut begun = machine(&[&[0, 1], &[1, 0], &[0, 1]]);
    (begun.start, begun.told[2]) = (2, None);
    assert_eq!(begun.minimised().machine, parity());
    // Nothing leads where this one leads.
    let mut apart = machine(&[&[0, 1], &[1, 0], &[1, 1]]);
    (apart.start, apart.told[2]) = (2, None);
    let found = apart.minimised().machine;
    assert_eq!((found.next.len(), found.told[found.start]), (3, None));
}

#[test]
fn a_transition_that_nobody_knows_tells_nothing_apart() {
    let mut partial = machine(&[&[1, 0], &[0, 1], &[0, 2]]);
    partial.told = [0, 1, 1].map(Some).to_vec();
    partial.next[0][1] = Some(2);
    partial.next[2][1] = None;
    let small = partial.minimised().machine;
    assert_eq!(small, Moore { told: vec![Some(0), Some(1)], ..machine(&[&[1, 1], &[0, 1]]) });
    assert_eq!(small.run(&[0, 1, 0]), [Some(1), Some(1), Some(0)]);
    let mut lost = parity();
    lost.next[1][1] = None;
    assert_eq!(lost.run(&[1, 0, 1, 0]), [Some(1), Some(1), None, None]);
}

#[test]
fn machines_are_compared_by_the_shortest_string_that_tells_them_apart() {
    let four = walls();
    let same = four.compared(&walls());
    assert_eq!(same.apart, None);
    assert_eq!(same.together.into_iter().collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 2), (3, 3)]);
    let mut wrong = walls();
    wrong.next[3][0] = Some(1);
    assert_eq!(four.compared(&wrong).apart, Some(vec![1, 1, 1, 0]));
    wrong.next[3][0] = None;
    assert_eq!(four.compared(&wrong).apart, None, "what one does not know is no difference");
}

fn machines() -> impl Strategy<Value = Moore> {
    (1..8usize, 1..4usize).prop_flat_map(|(states, actions)| {
        let row = prop::collection::vec((0..states).prop_map(Some), actions);
        let told = prop::collection::vec((0..3u32).prop_map(Some), states);
        (prop::collection::vec(row, states), told).prop_map(|(next, told)| Moore {
            start: 0,
            next,
            told,
        })
    })
}

proptest! {
    #[test]
    fn the_smallest_machine_tells_the_same_on_all_strings(machine in machines()) {
        let small = machine.minimised();
        prop_assert!(small.machine.next.len() <= machine.next.len());
        for string in strings(machine.next[0].len(), 6) {
            prop_assert_eq!(labels(&machine, &string), labels(&small.machine, &string));
        }
        prop_assert_eq!(machine.compared(&small.machine).apart, None);
        prop_assert_eq!(&small.machine.minimised().machine, &small.machine);
    }

    #[test]
    fn no_two_states_of_the_smallest_machine_tell_the_same(machine in machines()) {
        let small = machine.minimised().machine;
        for start in 1..small.next.len() {
            let other = Moore { start, ..small.clone() };
            let alike = small.told[0] == small.told[start] && small.compared(&other).apart.is_none();
            prop_assert!(!alike, "states 0 and {} of {:?}", start, small);
        }
    }
}

// ── machines in vectors ──────────────────────────────────────────────────────────────────────────────

/// Every string of a length, with a vector for each state of the machine and each action that led to it, and a little noise.
fn walks(machine: &Moore, length: u32) -> Walks {
    let (states, actions) = (machine.next.len(), machine.next[0].len());
    let mut walks = Walks { dims: states + actions, length: length as usize, ..Walks::default() };
    for (i, string) in strings(actions, length).into_iter().enumerate() {
        for (state, action) in machine.run(&string).into_iter().zip(&string) {
            let state = state.unwrap();
            let noise = 0.01 * (i % 7) as f32;
            // What the state is weighs more than what led to it.
            let one = |at| match at {
                _ if at == state => 2.0 + noise,
                _ if at == states + action => 1.0 + noise,
                _ => 0.0,
            };
            walks.hidden.extend((0..walks.dims).map(one));
            walks.told.push(machine.told[state].unwrap());
        }
        walks.actions.extend(string);
    }
    walks.right.clone_from(&walks.told);
    walks
}

fn extracted(machine: &Moore, groups: usize) -> (Found, Walks, Vec<usize>) {
    let walks = walks(machine, 6);
    let clusters = grouped(&walks.hidden, walks.dims, groups, 0);
    let found = found(&walks, &clusters.of, groups, machine.next[0].len());
    (found, walks, clusters.of)
}

#[test]
fn states_that_were_doubled_by_their_last_action_are_found_as_one() {
    for machine in [parity(), walls(), machine(&[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]])] {
        let states = machine.next.len();
        for groups in [states * machine.next[0].len(), 3 * states * machine.next[0].len()] {
            let (found, walks, of) = extracted(&machine, groups);
            assert_eq!(found.machine.compared(&machine).apart, None);
            assert_eq!(found.machine.next.len(), states);
            assert!(found.certainty.iter().flatten().all(|share| *share == 1.0));
            assert!(found.purity.iter().all(|share| *share == 1.0));
            let partners = partners(&found, &machine, &walks, &of);
            for (state, partner) in partners.iter().enumerate() {
                assert_eq!(found.machine.told[state], machine.told[partner.unwrap()]);
            }
        }
    }
}

#[test]
fn a_machine_that_was_found_agrees_with_who_tells_the_same() {
    let (found, mut walks, _) = extracted(&walls(), 8);
    let mut all = Agreement::default();
    all.count(&found.machine, &walks);
    assert_eq!((all.with_network.sum, all.with_network.count), (384.0, 384.0));
    // The network is wrong in the first string, and the machine is lost in the last.
    walks.told[..6].fill(9);
    walks.actions[378] = 5;
    let mut some = Agreement::default();
    some.count(&found.machine, &walks);
    assert_eq!(
        (some.network.sum, some.with_network.sum, some.with_truth.sum),
        (378.0, 372.0, 378.0)
    );
}

#[test]
fn certainty_is_the_share_that_leads_where_most_do() {
    let walks = Walks {
        dims: 1,
        length: 2,
        hidden: Vec::new(),
        actions: vec![0; 8],
        told: vec![5, 6, 5, 6, 5, 6, 5, 7],
        right: vec![5, 6, 5, 6, 5, 6, 5, 7],
    };
    let found = found(&walks, &[0, 1, 0, 1, 0, 1, 0, 2], 3, 1);
    assert_eq!(found.certainty[1], [0.75]);
    assert_eq!(found.seen, [vec![4], vec![4], vec![0]]);
    assert_eq!(found.determinism, 7.0 / 8.0);
    assert!(found.certainty[2][0].is_nan() && found.purity[0].is_nan());
    assert_eq!(found.state_of_group, [Some(1), Some(2), None, Some(0)]);
}

#[test]
fn found_states_that_are_none_of_the_true_ones_are_named_by_where_most_of_their_vectors_are() {
    // Two groups for three states: the vectors of two of them lie in one.
    let truth = machine(&[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]);
    let walks = walks(&truth, 4);
    let of: Vec<usize> = walks.told.iter().map(|told| usize::from(*told == 2)).collect();
    let found = found(&walks, &of, 2, 3);
    let partners = partners(&found, &truth, &walks, &of);
    let two = found.state_of_group[1].unwrap();
    assert_eq!(partners[two], Some(2));
    let one = found.state_of_group[0].unwrap();
    assert!(partners[one].is_some_and(|partner| partner < 2));
}

// ── machines in networks ─────────────────────────────────────────────────────────────────────────────

fn automaton() -> MeasurementCall {
    MeasurementCall::new("automaton").with("strings", 64)
}

/// A network that is to tell parity, trained for some steps.
fn asked(model: &str, texts: &[&str], steps: usize) -> Asked {
    let usual = ["task.length=8", "task.longest=40", "model.width=8", "train.batch=32"];
    Asked::of("automaton", model, &[&usual[..], texts].concat(), steps)
}

#[test]
fn units_that_learned_parity_are_its_machine_and_stay_it_on_longer_strings() {
    let mut asked = asked("recurrent", &["train.rate=0.02"], 300);
    let reading = asked.analyze(&automaton()).unwrap();
    let number = |name: &str| reading.number(name).unwrap();
    assert_eq!([number("states"), number("true_states"), number("is_same")], [2.0, 2.0, 1.0]);
    assert_eq!([number("groups"), number("length"), number("trained_length")], [6.0, 16.0, 8.0]);
    assert!(number("agreement") > 0.99 && number("accuracy") > 0.99, "{:?}", reading.numbers);
    let array = |name: &str| reading.array(name).unwrap();
    // The state after each symbol of the sequence in view is the true one, by its partner.
    let prompt = asked.prompt();
    let partner = |state: f32| array("partner").data[state as usize];
    let told = |state: f32| array("true_label").data[partner(state) as usize] as u32;
    let states = &array("here_state").data;
    assert!(states.iter().zip(&prompt.targets).all(|(state, target)| told(*state) == *target));
    assert_eq!(array("points").shape, [512, 8]);
    assert!(reading.array("apart").is_none() && reading.notes.is_empty());
}

#[test]
fn what_is_no_machine_yet_is_said_with_a_string_that_tells_it_apart() {
    let mut asked = asked("recurrent", &[], 0);
    for call in [automaton(), automaton().with("clusters", 2), automaton().with("method", "grid")] {
        let reading = asked.analyze(&call).unwrap();
        assert_eq!(reading.number("is_same"), Some(0.0), "{}", call.key());
        let states = reading.number("states").unwrap() as usize;
        assert_eq!(reading.array("next").unwrap().shape, [states, 2]);
        assert_eq!(reading.array("centre").unwrap().shape, [states, 8]);
        assert!(!reading.array("apart").unwrap().data.is_empty());
        // As texts: a transition that was never seen has no certainty, and what is no number equals none.
        let again = asked.analyze(&call).unwrap();
        assert_eq!(format!("{again:?}"), format!("{reading:?}"), "the same every time");
    }
}

#[test]
fn the_residual_stream_and_strings_that_are_written_out_are_read_too() {
    let small = ["model.heads=2", "model.layers=2"];
    for (texts, positions) in [(&["task.scratchpad=true"][..], 16), (&[][..], 8)] {
        let mut asked = asked("decoder", &[&small[..], texts].concat(), 1);
        let last = asked.analyze(&automaton().with("place", "layer1.resid_post")).unwrap();
        assert_eq!(asked.analyze(&automaton()).unwrap(), last, "after the last layer by itself");
        let first = asked.analyze(&automaton().with("place", "layer0.resid_post")).unwrap();
        assert_ne!(first.array("points"), last.array("points"));
        let here = last.array("here_action").unwrap();
        assert_eq!(here.shape, [positions]);
        assert_eq!(here.data.iter().filter(|action| **action >= 0.0).count(), 8);
    }
}

#[test]
fn what_cannot_be_asked_is_refused_in_a_sentence() {
    let mut network = asked("recurrent", &[], 0);
    for (call, said) in [
        (automaton().with("place", "layer3.hidden"), "no vector for each position"),
        (automaton().with("place", "layer0.pattern"), "layer0.resid_post"),
        (automaton().with("place", "here"), "place"),
        (automaton().with("length", 41), "task.longest = 41"),
    ] {
        let refused = network.analyze(&call).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let reading = network.analyze(&automaton().with("length", 40)).unwrap();
    assert_eq!(reading.number("length"), Some(40.0));
    // Nothing longer can be read: what can be asked is, and what is missing is said.
    let reading = asked("recurrent", &["task.longest=0"], 0).analyze(&automaton()).unwrap();
    assert_eq!(reading.number("length"), Some(8.0));
    assert!(reading.notes[0].contains("task.longest = 16"), "{:?}", reading.notes);
    let mut other = Asked::of("bigram", "birth", &["model.width=8", "task.length=16"], 0);
    assert!(other.analyze(&automaton()).unwrap_err().contains("no strings that a machine reads"));
}

#[test]
fn a_machine_that_is_looked_for_is_known_before_it_is_judged_and_can_be_stopped() {
    let mut asked = asked("recurrent", &[], 0);
    let analysis = analysis_of(&automaton()).unwrap();
    assert!(follows(&automaton()) && !follows(&MeasurementCall::new("patching")));
    let (weights, prompt) = (asked.trainer.weights().unwrap(), asked.prompt());
    let mut heard = Vec::new();
    let mut tell = |done: usize, total: usize, so_far: &dyn Fn() -> Result<Reading>| {
        let reading = so_far().unwrap();
        heard.push((done, total, reading.number("states"), reading.number("agreement")));
        done < 4
    };
    let found = asked.instrument.analyze(&weights, &prompt, &[], &*analysis, &mut tell).unwrap();
    let known: Vec<bool> = heard.iter().map(|(_, _, states, _)| states.is_some()).collect();
    assert_eq!(known, [false, false, true, true]);
    assert!(heard.iter().all(|(_, total, ..)| *total == 5));
    assert!(heard[2].3.unwrap().is_nan() && heard[3].3.unwrap().is_finite());
    assert!(found.notes.last().unwrap().starts_with("Stopped before the end"));
}
