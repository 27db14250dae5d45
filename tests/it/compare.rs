//! A beside B, and A minus B: laws of the difference, and the window that compares two steps, two heads, two runs.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use mnemoscope::app::App;
use mnemoscope::app::lab::compared::{Moment, Subject, Under};
use mnemoscope::app::lab::effect::Effect;
use mnemoscope::app::lab::run::Opened;
use mnemoscope::base::array::Array;
use mnemoscope::base::question::{Analyzed, Found, MeasurementCall, Reading, Readings};
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::figure::difference::difference;
use mnemoscope::figure::{Figure, Mark, Plot, Ticks};
use mnemoscope::panel::compare::{self, Compares, Showing};
use mnemoscope::panel::{self, Panel, PanelKind, View};

use super::app::{finished, press, shows, until, until_shown, window, window_on};
use super::first_view::born;
use super::panels::World;

/// All numbers that a figure draws, mark by mark.
fn numbers(figure: &Figure) -> Vec<Vec<f64>> {
    let of = |mark: &Mark| match mark {
        Mark::Heat(heat) => heat.values.iter().map(|v| f64::from(*v)).collect(),
        Mark::Cells(cells) => cells.iter().map(|c| c.value.map_or(f64::NAN, |v| v.1)).collect(),
        Mark::Bars { values, .. } => values.clone(),
        // Lines without a name say no numbers, nor do places where there is no scale.
        Mark::Line { name, points, .. } if !name.is_empty() => {
            points.iter().map(|p| p[1]).collect()
        }
        Mark::Points { points, .. } => points.iter().map(|p| p[1]).collect(),
        Mark::Line { .. }
        | Mark::Rect { .. }
        | Mark::Frame { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Arc { .. }
        | Mark::Text { .. }
        | Mark::Upright { .. }
        | Mark::Wedge { .. }
        | Mark::Cloud(_) => Vec::new(),
    };
    let of_plot = |plot: &Plot| {
        let is_place = |mark: &&Mark| {
            plot.y.ticks == Ticks::Hidden && matches!(mark, Mark::Points { .. } | Mark::Line { .. })
        };
        plot.marks.iter().filter(|mark| !is_place(mark)).map(of).collect::<Vec<_>>()
    };
    figure.plots.iter().flat_map(of_plot).filter(|numbers| !numbers.is_empty()).collect()
}

fn compared() -> impl Iterator<Item = &'static PanelKind> {
    panel::ALL.iter().filter(|kind| kind.compares == Compares::Parts)
}

/// What a panel draws of one world minus another.
fn less(panel: &dyn Panel, a: &World, b: &World) -> Figure {
    let (a, b) = (a.view(), b.view());
    panel.difference([&a, &b], [&panel.figure(&a), &panel.figure(&b)])
}

/// Two networks that answer differently about one text.
fn two() -> [World; 2] {
    [World::new(), World::other()]
}

#[test]
fn a_difference_turned_around_has_the_other_sign_and_one_with_itself_is_zero() {
    let [a, b] = two();
    let mut subtracted = Vec::new();
    for kind in compared() {
        let panel = a.panel(kind.name);
        let there = less(&*panel, &a, &b);
        if there.empty.is_some() {
            continue;
        }
        let back = less(&*panel, &b, &a);
        assert_no_number_of_one_is_left(&there, kind.name);
        let (there, back) = (numbers(&there), numbers(&back));
        for (one, other) in there.iter().flatten().zip(back.iter().flatten()) {
            assert!(one.is_nan() == other.is_nan(), "{}", kind.name);
            assert!(one.is_nan() || (one + other).abs() < 1e-6, "{}: {one} {other}", kind.name);
        }
        let same = less(&*panel, &a, &a);
        assert!(numbers(&same).iter().flatten().all(|n| n.is_nan() || *n == 0.0), "{}", kind.name);
        subtracted.push(kind.name);
    }
    for name in ["tokens", "predictions", "heads", "attention", "lens", "memories", "patching"] {
        assert!(subtracted.contains(&name), "{name} of {subtracted:?}");
    }
}

/// A part that adds in one network and takes away in the other has the bar of their difference.
#[test]
fn what_a_part_adds_is_subtracted_whatever_its_sign() {
    let [a, mut b] = two();
    let call = a.panel("attribution").needs(&a.view().net.clone(), a.view().selection);
    let readings = b.readings.as_mut().unwrap();
    let answer = readings.get(&call[0]).unwrap().clone().unwrap();
    let turned = answer.arrays.iter().map(|array| Array {
        data: match array.name.as_str() {
            "token" | "against" => array.data.clone(),
            _ => array.data.iter().map(|value| -value).collect(),
        },
        ..array.clone()
    });
    let turned = Reading { arrays: turned.collect(), ..Reading::default() };
    readings.by_call.insert(call[0].key(), Ok(Arc::new(turned)));
    let panel = a.panel("attribution");
    let bars = |figure: &Figure| {
        let mut bars: Vec<[f64; 2]> = Vec::new();
        for mark in &figure.plots[0].marks {
            if let Mark::Bars { at, values, .. } = mark {
                bars.extend(at.iter().zip(values).map(|(at, value)| [*at, *value]));
            }
        }
        bars.sort_by(|a, b| a[0].total_cmp(&b[0]));
        bars
    };
    let (own, difference) = (bars(&panel.figure(&a.view())), bars(&less(&*panel, &a, &b)));
    assert_eq!(own.len(), difference.len());
    for (own, difference) in own.iter().zip(&difference) {
        assert!((2.0 * own[1] - difference[1]).abs() < 1e-6, "{own:?} {difference:?}");
    }
}

/// Over a map of differences no number stands that both maps show: it would be read as one.
fn assert_no_number_of_one_is_left(less: &Figure, name: &str) {
    // Bars of attribution are drawn of differences, and their numbers with them.
    let plots = less.plots.iter().filter(|_| name != "attribution");
    let maps = plots.filter(|p| p.marks.iter().any(|m| matches!(m, Mark::Heat(_))));
    for mark in maps.flat_map(|plot| &plot.marks) {
        if let Mark::Text { text, .. } = mark {
            assert!(text.replace('\u{2212}', "-").parse::<f64>().is_err(), "{name}: {text}");
        }
    }
}

#[test]
fn a_map_minus_another_has_the_numbers_of_both_and_colours_around_zero() {
    let [a, b] = two();
    let panel = a.panel("attention");
    let (of_a, of_b) = (panel.figure(&a.view()), panel.figure(&b.view()));
    let less = difference(&of_a, &of_b, false).unwrap();
    let (a, b, less_numbers) = (&numbers(&of_a)[0], &numbers(&of_b)[0], &numbers(&less)[0]);
    let mut differ = 0;
    for ((a, b), less) in a.iter().zip(b).zip(less_numbers) {
        assert!(less.is_nan() == (a - b).is_nan());
        assert!(less.is_nan() || (a - b - less).abs() < 1e-6);
        differ += usize::from(less.abs() > 1e-3);
    }
    assert!(differ > 10, "the two networks are the same");
    let bar = less.plots[0].color_bar.as_ref().unwrap();
    let most = less_numbers.iter().filter(|n| !n.is_nan()).fold(0.0, |m: f64, n| m.max(n.abs()));
    assert!(bar.map.is_diverging());
    assert_eq!(bar.range.0, -bar.range.1);
    assert!((f64::from(bar.range.1) - most).abs() < 1e-6);
    assert!(bar.label.starts_with("A \u{2212} B"), "{}", bar.label);
}

#[test]
fn what_cannot_be_subtracted_says_why() {
    let [a, _] = two();
    let longer = World::of_text("the cat and the hat and the bat, the rat, and the mat", 7);
    let panel = a.panel("attention");
    let mut all = less(&*panel, &a, &longer);
    assert!(all.empty.take().unwrap().contains("rows"), "maps of two texts");
    let cloud = less(&*a.panel("query_key"), &a, &a);
    assert!(cloud.empty.unwrap().contains("side by side"));
    let mut waiting = two();
    waiting[1].readings = None;
    let waits = less(&*panel, &waiting[0], &waiting[1]);
    assert!(waits.empty.unwrap().contains("B: Waiting"));
}

#[test]
fn side_by_side_has_the_same_scales_and_says_which_is_which() {
    let [a, b] = two();
    for kind in compared() {
        let panel = a.panel(kind.name);
        let both = compare::figures(kind, &*panel, [&a.view(), &b.view()], Showing::All);
        let [first, second, less] = &both[..] else { panic!("{}", kind.name) };
        assert_eq!(first.title, "A: step 200", "{}", kind.name);
        assert_eq!(second.title, "B: step 100", "{}", kind.name);
        assert_eq!(less.title, "A \u{2212} B", "{}", kind.name);
        let alone = compare::figures(kind, &*panel, [&a.view(), &b.view()], Showing::Difference);
        assert!(alone[0].title.ends_with("step 200 minus step 100"), "{}", alone[0].title);
        for (one, other) in first.plots.iter().zip(&second.plots) {
            let bar = |plot: &Plot| plot.color_bar.as_ref().map(|bar| bar.range);
            assert_eq!(bar(one), bar(other), "{}", kind.name);
            if one.y.ticks == Ticks::Auto && other.y.ticks == Ticks::Auto {
                assert_eq!(one.y.range, other.y.range, "{}", kind.name);
            }
        }
    }
}

/// Two heads of one network are two pictures only where a head is looked at.
#[test]
fn titles_say_the_heads_that_differ_where_a_head_is_looked_at() {
    let (a, mut b) = (World::new(), World::new());
    b.selection.layer = 0;
    for kind in compared() {
        let panel = a.panel(kind.name);
        let views = [&a.view(), &b.view()];
        let [first, second] = &compare::figures(kind, &*panel, views, Showing::Beside)[..] else {
            panic!("{}", kind.name)
        };
        let heads = [first, second].map(|figure| figure.title.split(", ").nth(1));
        let wanted = if kind.is_of_head { [Some("L1 H0"), Some("L0 H0")] } else { [None; 2] };
        assert_eq!(heads, wanted, "{}", kind.name);
    }
}

/// The share of attention that moves, added up by hand.
#[test]
fn above_a_head_stands_how_much_of_its_attention_goes_elsewhere() {
    let [a, b] = two();
    let call = MeasurementCall::new("attention");
    let pattern = |world: &World| {
        let readings = world.readings.as_ref().unwrap();
        let answer = readings.get(&call).unwrap().as_ref().unwrap();
        answer.array("pattern.layer1").unwrap().clone()
    };
    let (of_a, of_b) = (pattern(&a), pattern(&b));
    let queries = of_a.shape[1];
    let mut moved = 0.0;
    for query in 0..queries {
        let row = |array: &Array, key: usize| f64::from(array.outer(0)[query * queries + key]);
        let gains = (0..=query).map(|key| (row(&of_a, key) - row(&of_b, key)).max(0.0));
        moved += gains.sum::<f64>();
    }
    let figure = less(&*a.panel("heads"), &a, &b);
    let title = &figure.plots[1].title;
    // What one key loses another gains.
    assert_eq!(*title, format!("L1 H0  {:.0} %", 100.0 * moved / queries as f64));
}

#[test]
fn tensors_are_as_far_apart_as_the_root_of_the_sum_of_squares() {
    let tensor = |name: &str, data: &[f32]| NamedTensor {
        name: name.into(),
        shape: vec![data.len()],
        data: data.into(),
        trained: true,
    };
    let a = Weights::new(1, vec![tensor("w", &[3.0, 4.0]), tensor("v", &[1.0])]);
    let other = tensor("v", &[1.0, 2.0]);
    let b = Weights::new(0, vec![tensor("w", &[0.0, 0.0]), other]);
    let [only] = &a.distances(&b)[..] else { panic!("another shape is no distance") };
    assert_eq!((&*only.name, only.difference, only.norm), ("w", 5.0, 0.0));
    assert_eq!(b.distances(&a)[0].norm, 5.0);
    assert!(a.distances(&a).iter().all(|distance| distance.difference == 0.0));
}

#[test]
fn differences_are_listed_with_the_largest_first() {
    let [a, b] = two();
    let panel = a.panel("differences");
    let alone = panel.figure(&a.view());
    assert!(alone.empty.unwrap().starts_with("Nothing is compared"));
    let figure = panel.figure(&View { against: Some(&b.view()), ..a.view() });
    let sizes: Vec<Vec<f64>> =
        numbers(&figure).iter().map(|bars| bars.iter().map(|bar| bar.abs()).collect()).collect();
    assert!(sizes.iter().all(|bars| bars.is_sorted_by(|a, b| a >= b)), "{sizes:?}");
    // Two heads and two tensors; predictions that are the same are not listed.
    let counts: Vec<usize> = sizes.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2]);
}

fn looked_at() -> Harness<'static, App> {
    let mut harness = window_on(&born().join("birth"));
    settle(&mut harness);
    harness
}

fn settle(harness: &mut Harness<'_, App>) {
    // What a hand did is carried out after its frame, and asked in the next.
    (0..3).for_each(|_| harness.step());
    until(harness, "all is answered", |app| !app.lab.is_busy() && app.lab.readings.is_some());
    harness.step();
    harness.step();
}

fn shift(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press_modifiers(Modifiers::SHIFT, key);
    harness.step();
}

/// What the subject that everything is compared with has answered.
fn other(app: &App) -> Option<&Arc<Readings>> {
    let subject = app.lab.comparison.with.as_ref()?;
    app.lab.comparison.other(subject)?.readings.as_ref()
}

#[test]
fn v_compares_with_the_beginning_or_without_what_is_in_force() {
    let mut harness = looked_at();
    harness.key_press(Key::V);
    settle(&mut harness);
    let app = harness.state();
    let first = app.lab.run().unwrap().recording.recorded[0];
    assert_eq!(other(app).unwrap().step, first);
    assert!(Arc::ptr_eq(&other(app).unwrap().prompt, &app.lab.prompt), "another text was asked");
    assert!(shows(&harness, "Compared with B:"));
    harness.key_press(Key::V);
    settle(&mut harness);
    assert!(!harness.state().lab.comparison.is_on(), "once more ends it");
    harness.key_press(Key::X);
    settle(&mut harness);
    harness.key_press(Key::V);
    settle(&mut harness);
    let app = harness.state();
    let (cut, whole) = (app.lab.readings.as_ref().unwrap(), other(app).unwrap());
    assert_eq!(cut.step, whole.step);
    assert!(whole.interventions.is_empty() && cut.interventions.len() == 1);
    let call = MeasurementCall::new("predictions");
    let loss = |readings: &Readings| {
        let answer = readings.get(&call).unwrap().as_ref().unwrap();
        answer.array("loss").unwrap().data.to_vec()
    };
    assert_ne!(loss(cut), loss(whole));
    // Chip and comparison are of one answer.
    let Some(Effect::Known { with, without: Some(without), .. }) = app.lab.effect_in_force() else {
        panic!("the effect is not known")
    };
    assert!(without > with + 0.3, "{without} {with}");
    assert!(app.lab.troubles.is_empty(), "{:?}", app.lab.troubles);
}

#[test]
fn a_pin_stays_at_its_step_while_the_rest_moves_on() {
    let mut harness = looked_at();
    let at = harness.get_by_label("Attention figure").rect().center();
    harness.hover_at(at);
    harness.step();
    harness.step();
    press(&mut harness, "Pin Attention");
    harness.key_press(Key::Home);
    settle(&mut harness);
    let lab = &harness.state().lab;
    let (first, last) = {
        let recorded = &lab.run().unwrap().recording.recorded;
        (recorded[0], recorded[recorded.len() - 1])
    };
    assert_eq!(lab.readings.as_ref().unwrap().step, first);
    let pinned = lab.comparison.of("attention").unwrap().clone();
    assert_eq!(lab.comparison.other(&pinned).unwrap().readings.as_ref().unwrap().step, last);
    assert!(lab.comparison.of("heads").is_none(), "other panels are alone");
    press(&mut harness, "Unpin Attention");
    harness.step();
    assert!(!harness.state().lab.comparison.is_on());
}

#[test]
fn a_head_is_compared_with_another_of_the_same_step() {
    let mut harness = looked_at();
    press(&mut harness, "Compare");
    press(&mut harness, "Compare with this head");
    harness.key_press(Key::OpenBracket);
    settle(&mut harness);
    let lab = &harness.state().lab;
    let subject = lab.comparison.with.as_ref().unwrap();
    assert_eq!(subject.head, Some((1, 0)));
    assert_eq!((lab.selection.layer, lab.selection.head), (0, 0));
    let there = other(harness.state()).unwrap();
    assert_eq!(there.step, lab.readings.as_ref().unwrap().step);
}

#[test]
fn two_runs_are_compared_at_one_step_and_what_one_cannot_read_says_why() {
    let mut harness = looked_at();
    let twin = tempfile::tempdir().unwrap();
    copy(&born().join("birth"), &twin.path().join("twin"));
    let opened = Opened::read(&twin.path().join("twin")).unwrap();
    let lab = &mut harness.state_mut().lab;
    lab.opened(opened);
    let (a, b) = (lab.runs[0].id, lab.run_id());
    lab.compare_runs(a, b);
    until(&mut harness, "both are answered", |app| other(app).is_some());
    settle(&mut harness);
    let lab = &harness.state().lab;
    assert_eq!(lab.runs.len(), 2);
    assert_eq!(lab.current, 0, "A is what was in view");
    let subject = lab.comparison.with.clone().unwrap();
    assert_eq!(subject.run, lab.runs[1].id);
    assert_eq!(other(harness.state()).unwrap().step, lab.readings.as_ref().unwrap().step);
    shift(&mut harness, Key::V);
    settle(&mut harness);
    let lab = &mut harness.state_mut().lab;
    let longest = lab.runs[1].info.net.length;
    lab.runs[1].info.net.length = 20;
    lab.draw_next();
    settle(&mut harness);
    let lab = &harness.state().lab;
    let why = lab.comparison.other(&subject).unwrap().failure.clone().unwrap();
    assert!(why.contains("reads 20 tokens") && why.contains("twin"), "{why}");
    assert!(longest > 20);
    let gone = Subject { run: 99, step: Moment::InView, under: Under::Nothing, head: None };
    harness.state_mut().lab.compare_with(Some(gone));
    harness.step();
    harness.step();
    assert!(shows(&harness, "The run that this was compared with is no longer in the window."));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}

#[test]
fn every_panel_is_drawn_with_a_b_and_their_difference_in_view() {
    let mut harness = looked_at();
    press(&mut harness, "Compare");
    press(&mut harness, "Both and the difference");
    settle(&mut harness);
    for title in ["Tokens", "All heads", "Attention", "Memories", "Predictions"] {
        let label = format!("{title} figure");
        assert_eq!(harness.query_all_by_label(&label).count(), 3, "{title}");
    }
    assert!(harness.query_all_by_label("Curves").count() > 0);
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn a_run_of_the_list_is_compared_where_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    until(&mut harness, "it has ended", |app| !app.lab.is_busy());
    press(&mut harness, "Runs");
    until_shown(&mut harness, "Open tiny-001");
    let row = |h: &Harness<'_, App>, name: &str| {
        h.get_by_role_and_label(Role::Label, name).rect().center()
    };
    let ids = harness.state().lab.runs.iter().map(|run| run.id).collect::<Vec<_>>();
    let first = row(&harness, "tiny-001");
    let picture = harness.get_by_label("Attention figure").rect().center();
    drag(&mut harness, first, picture);
    let run = |h: &Harness<'_, App>| h.state().lab.comparison.with.as_ref().map(|with| with.run);
    assert_eq!(run(&harness), Some(ids[0]), "onto a panel: with what is in view");
    assert_eq!(harness.state().lab.run_id(), ids[1]);
    // The row that says what is compared has moved them.
    let (first, second) = (row(&harness, "tiny-001"), row(&harness, "tiny-002"));
    drag(&mut harness, second, first);
    assert_eq!(run(&harness), Some(ids[1]), "onto another run: that comes into view");
    assert_eq!(harness.state().lab.run_id(), ids[0]);
}

fn drag(harness: &mut Harness<'_, App>, from: egui::Pos2, to: egui::Pos2) {
    harness.hover_at(from);
    harness.step();
    harness.drag_at(from);
    harness.step();
    harness.hover_at(from.lerp(to, 0.5));
    harness.step();
    harness.hover_at(to);
    harness.step();
    harness.drop_at(to);
    (0..4).for_each(|_| harness.step());
}

#[test]
fn long_questions_are_asked_of_both() {
    let mut harness = looked_at();
    press(&mut harness, "Patching");
    harness.key_press(Key::V);
    settle(&mut harness);
    until(&mut harness, "both maps are whole", |app| {
        let other = app.lab.comparison.with.as_ref().and_then(|w| app.lab.comparison.other(w));
        let ended = |all: &Analyzed| all.by_call.values().any(|found| found.ended);
        ended(&app.lab.analyses.analyzed) && other.is_some_and(|other| ended(&other.analyzed))
    });
    let lab = &harness.state().lab;
    let other = lab.comparison.other(lab.comparison.with.as_ref().unwrap()).unwrap();
    let [here, there] = [&lab.analyses.analyzed, &other.analyzed]
        .map(|all| all.by_call.values().find(|found| found.ended).unwrap());
    assert_eq!((here.step, there.step), (250, 0));
    let effect = |found: &Found| {
        let reading = found.reading.clone().unwrap().unwrap();
        reading.arrays.iter().find(|array| array.name.starts_with("effect")).unwrap().data.to_vec()
    };
    assert_ne!(effect(here), effect(there));
    assert_eq!(lab.analyses.started, 2, "nothing is asked twice");
}
