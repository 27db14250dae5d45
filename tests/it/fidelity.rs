//! The comparison with the reference: what counts as the same, on small made-up tables.

#[path = "../../examples/fidelity.rs"]
#[expect(dead_code, reason = "training and drawing are for the command itself")]
mod report;

use mnemoscope::run::experiment::Experiment;
use report::{
    ACCURACY, Comparison, Curves, GOLDEN, GOLDEN_EXPERIMENTS, Happened, document, same_order,
};

/// A run with one column beside its steps.
fn run(column: &str, points: &[(u32, f64)]) -> Curves {
    let rows: String = points.iter().map(|(step, value)| format!("{step},{value}\n")).collect();
    Curves::read(&format!("step,{column}\n{rows}"), None).unwrap()
}

/// Accuracy that bends upwards at step 40, passes 0.6 at step 60 and stays at 0.9, evaluated every `every` steps to 120.
fn course(every: u32, late: u32) -> Curves {
    let at = |step: u32| match step.saturating_sub(late) {
        before @ 0..40 => 0.2 + 0.001 * f64::from(before),
        rising @ 40..80 => 0.24 + 0.018 * f64::from(rising - 40),
        _ => 0.9,
    };
    let steps = (0..=120).step_by(every as usize);
    run(ACCURACY, &steps.map(|step| (step, at(step))).collect::<Vec<_>>())
}

fn never() -> Curves {
    run(ACCURACY, &(0..=120).step_by(10).map(|step| (step, 0.3)).collect::<Vec<_>>())
}

fn compared(theirs: Curves, ours: Vec<Curves>) -> Comparison {
    Comparison::new("birth-joint", 15.0, theirs, ours).unwrap()
}

#[test]
fn crossings_are_compared_on_the_steps_of_the_reference() {
    // Between 40 and 80 the coarse line is straight; evaluated at 0, 60 and 120 alone it is not the same.
    let theirs = run(ACCURACY, &[(0, 0.2), (60, 0.6), (120, 0.9)]);
    let ours = run(ACCURACY, &[(0, 0.2), (30, 0.2), (60, 0.5), (90, 0.6), (120, 0.9)]);
    let fine = ours.crossing(ACCURACY, 0.6).unwrap();
    assert!((fine - 90.0).abs() < 1e-9, "{fine}");
    let (ours, theirs) = compared(theirs, vec![ours]).crossing();
    // From 0.5 at 60 to 0.9 at 120.
    assert!((ours.unwrap() - 75.0).abs() < 1e-9, "{ours:?}");
    assert!((theirs.unwrap() - 60.0).abs() < 1e-9, "{theirs:?}");
}

#[test]
fn a_run_without_an_evaluation_where_the_reference_has_one_is_refused() {
    let Err(error) = Comparison::new("birth-joint", 15.0, course(10, 0), vec![course(20, 0)])
    else {
        panic!("every second evaluation is missing");
    };
    let error = error.to_string();
    assert!(error.contains("birth-joint") && error.contains("step 10,"), "{error}");
}

#[test]
fn a_seed_that_never_passes_counts_as_infinitely_late() {
    let seeds = |passing: usize| {
        let ours = (0..3).map(|i| if i < passing { course(10, 0) } else { never() }).collect();
        compared(course(20, 0), ours)
    };
    assert_eq!(seeds(2).crosses_in_time(), Some(true));
    assert_eq!(seeds(1).crossing().0, Some(f64::INFINITY));
    assert_eq!(seeds(1).crosses_in_time(), Some(false));
    assert_eq!(seeds(1).learns_as_fast(), Some(false));
    let text = document(&[seeds(1)], &[Vec::new(), Vec::new()]);
    assert!(text.contains("| 60, never, never | never | 60.0 | – | ±15 | **no** |"), "{text}");
    assert_eq!(compared(course(20, 0), Vec::new()).crosses_in_time(), None);
}

#[test]
fn the_crossing_has_to_be_within_its_tolerance() {
    for (late, expected) in [(0, true), (10, true), (20, false)] {
        let comparison = compared(course(20, 0), vec![course(10, late)]);
        assert_eq!(comparison.crosses_in_time(), Some(expected), "{late} steps late");
    }
}

#[test]
fn accuracy_is_compared_at_the_same_distance_from_the_crossing_before_it_and_after() {
    // The same course, 20 steps later.
    let shifted = compared(course(20, 0), vec![course(10, 20)]);
    assert_eq!(shifted.learns_as_fast(), Some(true));
    // Ours ends 20 steps earlier after its crossing: the last evaluation of theirs has no counterpart.
    assert_eq!(shifted.accuracies().len(), 5);
    let changed = |from: u32, to: u32, by: f64| {
        let steps = (0..=120).step_by(10);
        let fine = course(10, 0);
        let values = steps.map(|step| {
            let value = fine.at(ACCURACY, f64::from(step)).unwrap();
            (step, if (from..=to).contains(&step) { value + by } else { value })
        });
        compared(course(20, 0), vec![run(ACCURACY, &values.collect::<Vec<_>>())])
    };
    assert_eq!(changed(0, 0, 0.02).learns_as_fast(), Some(true));
    assert_eq!(changed(0, 0, 0.09).learns_as_fast(), Some(true), "long before the crossing");
    assert_eq!(changed(20, 20, 0.04).learns_as_fast(), Some(false), "before");
    assert_eq!(changed(100, 120, -0.04).learns_as_fast(), Some(false), "after");
    let text = document(&[changed(100, 120, -0.04)], &[Vec::new(), Vec::new()]);
    assert!(text.contains("| 6 | ") && text.contains("-0.040 at +60 | **no** |"), "{text}");
}

#[test]
fn nothing_compared_is_no_agreement() {
    let comparison = compared(never(), vec![never()]);
    assert_eq!(comparison.learns_as_fast(), None);
    assert_eq!(comparison.crosses_in_time(), Some(false));
    // Trained to the crossing and no further: nothing after it.
    let theirs = run(ACCURACY, &[(0, 0.2), (40, 0.3), (60, 0.6)]);
    assert_eq!(compared(theirs.clone(), vec![theirs]).learns_as_fast(), None);
}

#[test]
fn events_have_an_order_only_where_they_lie_apart_and_never_is_a_time_too() {
    let never = f64::INFINITY;
    let order = |events: &[(f64, f64)]| {
        let events = events.iter();
        let happened = events.map(|&(theirs, ours)| Happened { what: "", theirs, ours });
        same_order(&happened.collect::<Vec<_>>())
    };
    assert_eq!(order(&[(20.0, 25.0), (50.0, 55.0), (90.0, 80.0)]), Some(true));
    assert_eq!(order(&[(20.0, 60.0), (50.0, 55.0), (90.0, 80.0)]), Some(false));
    assert_eq!(order(&[(20.0, 60.0), (28.0, 55.0), (90.0, 80.0)]), Some(true), "8 apart are none");
    assert_eq!(order(&[(20.0, 25.0), (never, never)]), Some(true));
    assert_eq!(order(&[(20.0, 25.0), (never, 90.0)]), Some(false), "it never came in theirs");
    assert_eq!(order(&[(20.0, 25.0), (90.0, never)]), Some(false), "it never comes in ours");
    assert_eq!(order(&[(20.0, 25.0)]), None, "one event has no order");
    assert_eq!(order(&[(never, never), (never, never)]), None);
    assert_eq!(order(&[]), None);
}

#[test]
fn events_that_never_happen_are_shown() {
    let table = "step,accuracy_in_context,recall_wk2\n0,0.1,0.2\n20,0.3,0.95\n40,0.7,1\n";
    let theirs = Curves::read(table, None).unwrap();
    let ours = Curves::read(&table.replace("0.95", "0.3").replace(",1\n", ",0.4\n"), None).unwrap();
    let comparison = compared(theirs, vec![ours]);
    let text = document(&[comparison], &[Vec::new(), Vec::new()]);
    let row = "| keys of the second layer never (19), in-context accuracy 35 (35) | **no** |";
    assert!(text.contains(row), "{text}");
}

#[test]
fn outputs_of_another_law_are_held_to_their_limit() {
    let (name, tolerance) = *GOLDEN_EXPERIMENTS.last().unwrap();
    let theirs = Curves::read(GOLDEN, Some(name)).unwrap();
    let text = |accuracy: f64| {
        let rows: String =
            (0..=24).map(|i| format!("{},{},{accuracy}\n", i * 10, 0.04 * f64::from(i))).collect();
        let table = format!("step,{ACCURACY},accuracy_other_outputs\n{rows}");
        let ours = Curves::read(&table, None).unwrap();
        let comparison = Comparison::new(name, tolerance, theirs.clone(), vec![ours]).unwrap();
        document(&[comparison], &[Vec::new(), Vec::new()])
    };
    let line = "on uniform outputs at step 240:";
    assert!(text(0.6).contains(&format!("{line} 0.600 (0.581); at most 0.65 expected: yes")));
    assert!(text(0.7).contains(&format!("{line} 0.700 (0.581); at most 0.65 expected: **no**")));
}

#[test]
fn every_golden_experiment_is_evaluated_where_the_reference_is() {
    for (name, _) in GOLDEN_EXPERIMENTS {
        let theirs = Curves::read(GOLDEN, Some(name)).unwrap();
        let experiment = Experiment::builtin(name).unwrap();
        let (every, last) = (experiment.train.evaluate, experiment.train.steps);
        let rows: String = (0..=last).step_by(every).map(|step| format!("{step},0.5\n")).collect();
        let ours = Curves::read(&format!("step,{ACCURACY}\n{rows}"), None).unwrap();
        let alike = ours.at_steps_of(&theirs).unwrap();
        assert_eq!(alike.crossing(ACCURACY, 0.5), Some(0.0), "{name}");
        let crossing = theirs.crossing(ACCURACY, 0.6).unwrap();
        assert!(crossing > 50.0 && crossing < last as f64, "{name}: {crossing}");
    }
}

#[test]
fn the_reference_has_no_numbers_of_another_law_than_the_trained_one() {
    let theirs = Curves::read(GOLDEN, Some("birth-bigram-outputs")).unwrap();
    for column in ["loss_in_context", "loss_global", "previous_token_score", "induction_score"] {
        assert_eq!(theirs.crossing(column, 0.5), None, "{column}");
    }
    for column in [ACCURACY, "recall_wo2", "recall_wk2"] {
        assert!(theirs.crossing(column, 0.5).unwrap().is_finite(), "{column}");
    }
}
