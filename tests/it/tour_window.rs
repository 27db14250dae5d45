//! Tours, explanations and help in the window, used as a newcomer would.

use std::collections::HashMap;

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use mnemoscope::app::{App, Launch, Panels, Surroundings};

use crate::app::{TINY, endless, finished, press, shows, until, window_of, window_sized};

const CHIP: &str = "See an induction head being born, 90 seconds";

fn begin(harness: &mut Harness<'_, App>, title: &str) {
    press(harness, "Help");
    press(harness, title);
}

/// Where the window of the tour lies.
fn tour_place(harness: &Harness<'_, App>) -> egui::Rect {
    harness.ctx.memory(|memory| memory.area_rect(egui::Id::unique("tour"))).unwrap()
}

/// Presses a button of the tour, and lets its window come to rest.
fn turn(harness: &mut Harness<'_, App>, label: &str) {
    press(harness, label);
    frames(harness, 5);
}

fn frames(harness: &mut Harness<'_, App>, count: usize) {
    (0..count).for_each(|_| harness.step());
}

#[test]
fn the_tour_of_gating_plays_on_its_recorded_run_beside_what_it_points_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    begin(&mut harness, "Guided tour: the gates of a working memory");
    until(&mut harness, "the recorded run is in view", |app| {
        app.lab.runs.len() == 2 && app.lab.current == 1 && app.lab.step == Some(14000)
    });
    assert!(shows(&harness, "What is a register?"));
    assert!(harness.query_by_label(CHIP).is_none(), "the offer was taken");
    let lab = &harness.state().lab;
    assert!(lab.run().unwrap().training.is_none());
    let drawn = lab.prompt.clone();
    assert_eq!(
        lab.text().split(' ').skip(8).take(3).collect::<Vec<_>>(),
        ["Ignore", "Reg1", "Sym0"]
    );
    until(&mut harness, "its claims are answered", |app| app.lab.examination.is_settled(14000));
    frames(&mut harness, 3);
    assert!(shows(&harness, "After position 22 it predicts same"));
    let pointed = harness.get_by_role_and_label(Role::Image, "Gating figure").rect();
    assert!(!tour_place(&harness).intersect(pointed).is_positive(), "it covers what it points at");
    turn(&mut harness, "Next");
    assert_eq!(harness.state().lab.step, Some(600));
    turn(&mut harness, "Next");
    assert_eq!(harness.state().lab.step, Some(14000));
    turn(&mut harness, "Flip Ignore to Store");
    assert_eq!(harness.state().lab.prompt.tokens[8], 0, "Store");
    turn(&mut harness, "Next");
    assert_eq!(harness.state().lab.prompt, drawn, "the sequence is as it was");
    assert_eq!(harness.state().lab.selection.head, 1);
    turn(&mut harness, "Next");
    turn(&mut harness, "Cut the keys");
    let in_force = |harness: &Harness<'_, App>| -> Vec<String> {
        harness.state().lab.in_force().iter().map(ToString::to_string).collect()
    };
    assert_eq!(in_force(&harness), ["zero layer1.k"]);
    // Back to a lesson before the cut, and on again: each finds what it speaks of.
    turn(&mut harness, "Back");
    assert!(in_force(&harness).is_empty());
    turn(&mut harness, "Next");
    turn(&mut harness, "Next");
    assert_eq!(in_force(&harness), ["zero layer1.k"]);
    turn(&mut harness, "Undo the cut");
    assert!(in_force(&harness).is_empty());
    turn(&mut harness, "Done");
    assert!(!shows(&harness, "6 of 6"));
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn the_first_launch_offers_the_birth_which_waits_for_what_has_not_come_yet() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    press(&mut harness, CHIP);
    until(&mut harness, "the birth has begun", |app| app.lab.runs.len() == 2);
    frames(&mut harness, 4);
    assert!(shows(&harness, "The text and its rule"));
    assert_eq!(harness.state().lab.selection.query, Some(24));
    turn(&mut harness, "Next");
    until(&mut harness, "step 60 is in view", |app| app.lab.step == Some(60));
    assert!(shows(&harness, "Before the birth"));
    frames(&mut harness, 3);
    let pointed = harness.get_by_role_and_label(Role::Image, "Predictions figure").rect();
    assert!(!tour_place(&harness).intersect(pointed).is_positive(), "it covers what it points at");
    press(&mut harness, "Pause");
    let born = |app: &App| {
        let marks = &app.lab.run().unwrap().recording.marks;
        marks.iter().any(|mark| mark.id == "induction_head")
    };
    if !born(harness.state()) {
        turn(&mut harness, "Next");
        until(&mut harness, "training is held", |app| !app.lab.is_training());
        assert!(shows(&harness, "This waits for the mark “induction head”."));
        assert_eq!(harness.state().lab.step, Some(60), "nothing is shown before it is there");
        turn(&mut harness, "Let training go on");
        until(&mut harness, "training goes on", |app| app.lab.is_training());
    }
    turn(&mut harness, "Skip the tour");
    assert!(!shows(&harness, "of 5"));
}

#[test]
fn in_a_small_window_no_lesson_covers_what_it_points_at() {
    for size in [[1280.0, 720.0], [853.0, 480.0]] {
        let folder = tempfile::tempdir().unwrap();
        let mut harness = window_sized(folder.path(), TINY, size);
        finished(&mut harness);
        begin(&mut harness, "Guided tour: the gates of a working memory");
        until(&mut harness, "the recorded run is in view", |app| {
            app.lab.runs.len() == 2 && app.lab.current == 1 && app.lab.step == Some(14000)
        });
        for lesson in 1..=6 {
            until(&mut harness, "its claims are answered", |app| !app.lab.examination.is_busy());
            frames(&mut harness, 5);
            let pointed = harness.get_by_role_and_label(Role::Image, "Gating figure").rect();
            let place = tour_place(&harness);
            assert!(
                !place.intersect(pointed).is_positive(),
                "{size:?}, lesson {lesson}: {place:?}"
            );
            let window = egui::Rect::from_min_size(egui::Pos2::ZERO, size.into());
            assert!(window.contains_rect(place), "{size:?}, lesson {lesson}: {place:?}");
            turn(&mut harness, if lesson < 6 { "Next" } else { "Done" });
        }
    }
}

/// What is kept between two launches.
#[derive(Default)]
pub struct Kept(HashMap<String, String>);

impl eframe::Storage for Kept {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

#[test]
fn the_offer_of_a_tour_goes_when_it_is_put_away_and_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    assert!(harness.query_by_label(CHIP).is_some());
    press(&mut harness, "Put the offer of a tour away");
    assert!(harness.query_by_label(CHIP).is_none());
    let mut kept = Kept::default();
    eframe::App::save(harness.state_mut(), &mut kept);
    let surroundings = Surroundings {
        library: Ok(folder.path().join("runs")),
        system_dialogs: false,
        adapter: None,
        panels: Panels::default(),
    };
    let file = folder.path().join("tiny.toml");
    let launch = Launch { what: Some(file.into()), ..Launch::default() };
    let mut later = Harness::builder()
        .with_size([1600.0, 1000.0])
        .with_max_steps(4)
        .build_eframe(|creation| App::new(&creation.egui_ctx, Some(&kept), surroundings, &launch));
    frames(&mut later, 2);
    assert!(later.query_by_label(CHIP).is_none());
}

#[test]
fn every_panel_says_what_it_shows_what_to_look_for_and_what_a_click_does() {
    let panels = Panels::default();
    for name in panels.names() {
        let words = panels.words(name);
        for text in [words.about, words.look_for, words.click] {
            assert!(text.ends_with('.') && text.len() > 20, "{name}: {text}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    press(&mut harness, "What is Attention?");
    assert!(shows(&harness, panels.words("attention").look_for));
    assert!(shows(&harness, panels.words("attention").click));
}

#[test]
fn the_help_finds_keys_and_words_in_both_vocabularies() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TINY);
    finished(&mut harness);
    harness.key_press(egui::Key::F1);
    frames(&mut harness, 3);
    assert!(shows(&harness, "List recorded") || shows(&harness, "Run or pause"));
    press(&mut harness, "Glossary");
    assert!(shows(&harness, "lesion") && shows(&harness, "ablation"));
    let search = |harness: &mut Harness<'_, App>, text: &str| {
        let field = harness.get_by_role_and_label(Role::TextInput, "Search keys and words");
        field.type_text(text);
        frames(harness, 3);
    };
    search(&mut harness, "head in focus");
    assert!(shows(&harness, "Cut the head in focus"));
    harness.key_press(egui::Key::Escape);
    frames(&mut harness, 3);
    harness.key_press(egui::Key::F1);
    frames(&mut harness, 3);
    search(&mut harness, "retrieval");
    assert!(shows(&harness, "query") && !shows(&harness, "lesion"));
}

#[test]
fn an_experiment_with_a_wrong_word_in_a_lesson_is_refused_with_that_word() {
    let folder = tempfile::tempdir().unwrap();
    let lesson = "\n[[lesson]]\ntitle = \"One\"\ntext = \"Look.\"\nlook = \"tokns\"\n";
    let mut harness = window_of(folder.path(), &format!("{}{lesson}", endless()));
    frames(&mut harness, 2);
    assert!(harness.state().lab.runs.is_empty());
    assert!(shows(&harness, "there is no panel called \"tokns\". Did you mean tokens?"));
}
