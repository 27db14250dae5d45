//! What a hand did is taken back, and done again: text, selection, interventions, settings, layout. And what is in force is said.

use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use mnemoscope::app::App;
use mnemoscope::app::lab::effect::Effect;
use mnemoscope::base::intervention::Intervention;
use mnemoscope::figure::{Patch, Pick};

use super::app::{press, type_number, until, window_on};
use super::first_view::born;

fn looked_at() -> Harness<'static, App> {
    let mut harness = window_on(&born().join("birth"));
    settle(&mut harness);
    harness
}

fn settle(harness: &mut Harness<'_, App>) {
    until(harness, "all is answered", |app| !app.lab.is_busy() && app.lab.readings.is_some());
}

fn chord(harness: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.step();
    harness.step();
}

fn undo(harness: &mut Harness<'_, App>) {
    chord(harness, Modifiers::COMMAND, Key::Z);
}

fn redo(harness: &mut Harness<'_, App>) {
    chord(harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
}

/// The state that a person would call the same.
fn state(harness: &mut Harness<'_, App>) -> (Vec<u32>, [Option<usize>; 2], Vec<String>, String) {
    let lab = &harness.state().lab;
    let in_force = lab.in_force().iter().map(ToString::to_string).collect();
    let selection = [lab.selection.query, lab.selection.key];
    (lab.prompt.tokens.clone(), selection, in_force, lab.text())
}

#[test]
fn one_undo_takes_back_text_selection_and_interventions_in_their_order() {
    let mut harness = looked_at();
    let mut seen = vec![state(&mut harness)];
    let deeds: [fn(&mut Harness<'_, App>); 5] = [
        |h| h.state_mut().lab.pick(&Pick::Query(20), false),
        |h| h.key_press(Key::X),
        |h| h.state_mut().lab.set_text("the cat, the hat"),
        |h| h.state_mut().lab.pick(&Pick::Key(3), false),
        |h| h.key_press_modifiers(Modifiers::SHIFT, Key::X),
    ];
    for deed in deeds {
        deed(&mut harness);
        harness.step();
        harness.step();
        seen.push(state(&mut harness));
        assert_ne!(seen[seen.len() - 1], seen[seen.len() - 2]);
        // Another thing than the last one, however soon.
        settle(&mut harness);
    }
    for before in seen.iter().rev().skip(1) {
        undo(&mut harness);
        assert_eq!(state(&mut harness), *before);
    }
    undo(&mut harness);
    assert_eq!(state(&mut harness), seen[0], "there is nothing more to take back");
    for after in &seen[1..] {
        redo(&mut harness);
        assert_eq!(state(&mut harness), *after);
    }
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn undo_takes_back_the_layout_and_settings_of_panels_too() {
    let mut harness = looked_at();
    let shade = |h: &Harness<'_, App>| {
        h.query_all_by_label("roles").next().is_some_and(|node| {
            use egui_kittest::kittest::NodeT;
            node.accesskit_node().toggled() == Some(egui::accesskit::Toggled::True)
        })
    };
    assert!(!shade(&harness));
    harness.get_by_label("roles").click();
    harness.step();
    harness.step();
    assert!(shade(&harness));
    harness.key_press(Key::M);
    harness.step();
    harness.step();
    let is_maximised = |h: &Harness<'_, App>| h.query_by_label("Put back").is_some();
    assert!(is_maximised(&harness));
    undo(&mut harness);
    assert!(!is_maximised(&harness));
    undo(&mut harness);
    assert!(!shade(&harness));
    redo(&mut harness);
    assert!(shade(&harness));
}

#[test]
fn what_was_done_in_one_run_is_neither_undone_nor_done_again_in_another() {
    let mut harness = looked_at();
    harness.key_press(Key::X);
    settle(&mut harness);
    undo(&mut harness);
    assert!(harness.state().lab.in_force().is_empty());
    press(&mut harness, "Restart");
    until(&mut harness, "the other run is there", |app| {
        app.lab.runs.len() == 2 && app.lab.current == 1 && app.lab.readings.is_some()
    });
    redo(&mut harness);
    undo(&mut harness);
    assert!(harness.state().lab.in_force().is_empty(), "{:?}", harness.state().lab.in_force());
    // The layout is that of all runs.
    let is_maximised = |h: &Harness<'_, App>| h.query_by_label("Put back").is_some();
    harness.state_mut().lab.choose(0);
    settle(&mut harness);
    harness.key_press(Key::M);
    harness.step();
    harness.step();
    assert!(is_maximised(&harness));
    harness.state_mut().lab.choose(1);
    settle(&mut harness);
    undo(&mut harness);
    assert!(!is_maximised(&harness));
    assert!(harness.state().lab.in_force().is_empty());
    harness.state_mut().lab.choose(0);
    settle(&mut harness);
    harness.key_press(Key::X);
    settle(&mut harness);
    undo(&mut harness);
    redo(&mut harness);
    assert_eq!(harness.state().lab.in_force(), [Intervention::cut_head(1, 0)]);
}

#[test]
fn undo_takes_back_what_was_set_in_the_form() {
    let mut harness = looked_at();
    press(&mut harness, "Experiment");
    press(&mut harness, "Maximise Experiment");
    let rate = |h: &Harness<'_, App>| h.state().lab.draft().unwrap().train.rate;
    let before = rate(&harness);
    type_number(&mut harness, "rate", "0.125");
    assert_eq!(rate(&harness), 0.125);
    harness.state_mut().lab.pick(&Pick::Query(20), false);
    harness.step();
    harness.step();
    undo(&mut harness);
    assert_eq!(rate(&harness), 0.125, "the selection came after it");
    undo(&mut harness);
    assert_eq!(rate(&harness), before);
    redo(&mut harness);
    assert_eq!(rate(&harness), 0.125);
}

#[test]
fn what_is_in_force_is_said_with_what_it_does() {
    let mut harness = looked_at();
    assert_eq!(harness.state().lab.state_in_words(), "Induction head formed at step 230");
    harness.key_press(Key::X);
    until(&mut harness, "its effect is known", |app| {
        matches!(app.lab.effect_in_force(), Some(Effect::Known { without: Some(_), .. }))
    });
    let lab = &harness.state().lab;
    assert_eq!(lab.state_in_words(), "Induction head cut (formed at step 230)");
    let Some(Effect::Known { column, with, without: Some(without) }) = lab.effect_in_force() else {
        panic!("no effect")
    };
    assert_eq!(column, "accuracy_in_context");
    assert!(with < 0.4 && without > 0.8, "{without} → {with}");
    let chip = format!("L1 H0 cut · {:.0} % → {:.0} %", 100.0 * without, 100.0 * with);
    harness.get_by_label(&chip);
    harness.get_by_label(&format!("in-context accuracy {:.0} %", 100.0 * with));
    harness.get_by_label("Undo what is in force").click();
    harness.step();
    harness.step();
    assert!(harness.state().lab.in_force().is_empty());
    // And that is undone too.
    undo(&mut harness);
    assert_eq!(harness.state().lab.in_force(), [Intervention::cut_head(1, 0)]);
}

#[test]
fn a_place_patched_from_a_short_text_leaves_all_panels_their_answers() {
    let mut harness = looked_at();
    let lab = &mut harness.state_mut().lab;
    lab.set_text("Harry Potter met Petty. Harry Po");
    let base = lab.prompt.tokens.clone();
    let mut other = base.clone();
    other[6] = base[0];
    let place: mnemoscope::base::intervention::Place = "layer1.k.head0".parse().unwrap();
    let at = base.len() - 1;
    let patch = Patch { place, base: base.into(), other: other.into(), at };
    harness.state_mut().lab.pick(&Pick::Patch(patch.clone()), false);
    harness.step();
    settle(&mut harness);
    let lab = &harness.state().lab;
    assert_eq!(lab.failure, None);
    let readings = lab.readings.as_ref().unwrap();
    assert!(readings.by_call["attention"].is_ok());
    assert_eq!(readings.interventions.len(), 1);
    // Once more, and it is lifted, without a word.
    harness.state_mut().lab.pick(&Pick::Patch(patch), false);
    harness.step();
    settle(&mut harness);
    let lab = &harness.state().lab;
    assert!(lab.in_force().is_empty());
    assert!(lab.troubles.is_empty(), "{:?}", lab.troubles);
}

#[test]
fn a_run_whose_weights_are_damaged_says_so_in_place_of_its_pictures() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("damaged");
    super::folder::copy(&born().join("birth"), &folder);
    std::fs::write(folder.join("weights/tail.log"), [7; 4000]).unwrap();
    let mut harness = window_on(&folder);
    until(&mut harness, "it is said", |app| app.lab.failure.is_some());
    let said = harness.state().lab.failure.clone().unwrap();
    assert!(said.starts_with("No weights can be read in ") && said.contains("damaged"), "{said}");
    assert!(harness.query_all_by_label_contains("No weights can be read").next().is_some());
}

#[test]
fn a_hall_is_shown_all_larger_and_afterwards_only_what_a_hand_changed_is_another() {
    let mut harness = looked_at();
    let hidden = |h: &Harness<'_, App>| {
        use egui_kittest::kittest::NodeT;
        let off = Some(egui::accesskit::Toggled::False);
        let ticks = h.query_all_by_role(egui::accesskit::Role::CheckBox);
        ticks.filter(|tick| tick.accesskit_node().toggled() == off).count()
    };
    let losses = |h: &Harness<'_, App>| h.query_all_by_label_contains("global tokens").count();
    let (before, zoom) = (losses(&harness), harness.ctx.zoom_factor());
    assert!(before > 0);
    chord(&mut harness, Modifiers::NONE, Key::F11);
    settle(&mut harness);
    assert!(harness.ctx.zoom_factor() > 1.3 * zoom);
    assert_eq!(losses(&harness), 0, "a hall is shown the accuracies alone");
    assert_eq!(hidden(&harness), 0);
    harness.query_all_by_label_contains("Show ").next().unwrap().click();
    harness.step();
    harness.step();
    chord(&mut harness, Modifiers::NONE, Key::F11);
    settle(&mut harness);
    assert!((harness.ctx.zoom_factor() - zoom).abs() < 1e-6);
    assert_eq!(losses(&harness), before);
    assert_eq!(hidden(&harness), 1, "what was set in the hall stays");
}
