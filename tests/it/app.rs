//! The window, driven as a person would: by role and label.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use mnemoscope::app::commands::{self, Command};
use mnemoscope::app::lab::effect::Effect;
use mnemoscope::app::{Adapter, App, Launch, Panels, Surroundings};
use mnemoscope::base::error::Error;
use mnemoscope::base::question::{Found, Readings};
use mnemoscope::base::registry;
use mnemoscope::figure::Pick;
use mnemoscope::panel;
use mnemoscope::task::tree_path::Trees;

/// Small enough to train many steps within a test.
pub const TINY: &str = r#"
name = "tiny"
about = "A network small enough for a test."
[task]
kind = "bigram"
length = 24
triggers = 3
[model]
kind = "decoder"
layers = 2
heads = 2
width = 16
[train]
batch = 4
held_out = 8
evaluate = 2
threads = 1
steps = 40
"#;

/// No wait in a test is longer than this; each ends as soon as what it waits for is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same without an end.
pub fn endless() -> String {
    TINY.replace("steps = 40", "steps = 0")
}

pub fn window(folder: &Path) -> Harness<'static, App> {
    window_of(folder, TINY)
}

pub fn window_of(folder: &Path, experiment: &str) -> Harness<'static, App> {
    window_sized(folder, experiment, [1600.0, 1000.0])
}

/// A window that is opened on something: an experiment, a run, a sweep.
pub fn window_on(what: &Path) -> Harness<'static, App> {
    let nowhere = Error::usage("nothing is recorded in this test");
    window_beside(Err(nowhere), what)
}

/// The same, with a library of runs.
pub fn window_beside(library: Result<PathBuf, Error>, what: &Path) -> Harness<'static, App> {
    let surroundings =
        Surroundings { library, system_dialogs: false, adapter: None, panels: Panels::default() };
    let launch = Launch { what: Some(what.into()), ..Launch::default() };
    let mut harness = Harness::builder()
        .with_size([1600.0, 1000.0])
        .with_max_steps(4)
        .build_eframe(|creation| App::new(&creation.egui_ctx, None, surroundings, &launch));
    harness.step();
    harness
}

pub fn window_sized(folder: &Path, experiment: &str, size: [f32; 2]) -> Harness<'static, App> {
    window_with(folder, experiment, size, Panels::default())
}

pub fn window_with(
    folder: &Path,
    experiment: &str,
    size: [f32; 2],
    panels: Panels,
) -> Harness<'static, App> {
    let file = folder.join("tiny.toml");
    std::fs::write(&file, experiment).unwrap();
    let surroundings = Surroundings {
        library: Ok(folder.join("runs")),
        system_dialogs: false,
        adapter: None,
        panels,
    };
    let launch = Launch { what: Some(file.clone().into()), ..Launch::default() };
    let mut harness = Harness::builder()
        .with_size(size)
        .with_max_steps(4)
        .build_eframe(|creation| App::new(&creation.egui_ctx, None, surroundings, &launch));
    harness.step();
    harness
}

/// Draws frames until `done`.
pub fn until(harness: &mut Harness<'_, App>, what: &str, mut done: impl FnMut(&App) -> bool) {
    let begun = Instant::now();
    while !done(harness.state()) {
        let troubles = &harness.state().lab.troubles;
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}; troubles: {troubles:?}");
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
    harness.step();
    harness.step();
}

pub fn finished(harness: &mut Harness<'_, App>) {
    until(harness, "training is done and answered", |app| {
        let lab = &app.lab;
        let last = lab.run().map_or(0, |run| run.recording.last_step);
        last >= 40 && !lab.is_training() && lab.examination.is_settled(last)
    });
}

pub fn press(harness: &mut Harness<'_, App>, label: &str) {
    harness.get_by_role_and_label(Role::Button, label).click();
    for _ in 0..3 {
        harness.step();
    }
}

/// Carries out what the palette finds first.
pub fn find(harness: &mut Harness<'_, App>, letters: &str) {
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::P);
    (0..2).for_each(|_| harness.step());
    let field = harness.get_by_role_and_label(Role::TextInput, "Search for an action");
    field.type_text(letters);
    harness.step();
    harness.key_press(egui::Key::Enter);
    (0..3).for_each(|_| harness.step());
}

#[test]
fn training_starts_by_itself_and_is_paused_and_resumed_by_a_button() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Pause");
    until(&mut harness, "nothing is under way", |app| !app.lab.is_busy());
    let lab = &harness.state().lab;
    let held = lab.step_in_view();
    // The panels have caught up with the step that training was held at.
    assert!(!lab.is_training());
    assert_eq!(lab.readings.as_ref().unwrap().step, held);
    std::thread::sleep(Duration::from_millis(100));
    harness.step();
    assert_eq!(harness.state().lab.step_in_view(), held, "training went on while paused");
    press(&mut harness, "Run");
    until(&mut harness, "training goes on", |app| app.lab.step_in_view() > held);
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn a_single_step_trains_one_step_and_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Pause");
    until(&mut harness, "nothing is under way", |app| !app.lab.is_busy());
    let held = harness.state().lab.step_in_view();
    press(&mut harness, "Step");
    until(&mut harness, "nothing is under way", |app| !app.lab.is_busy());
    let lab = &harness.state().lab;
    assert_eq!(lab.step_in_view(), held + 1);
    assert_eq!(lab.readings.as_ref().unwrap().step, held + 1);
}

#[test]
fn a_finished_run_goes_on_when_it_is_given_more_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    assert!(!harness.state().lab.can_train());
    press(&mut harness, "Experiment");
    harness.state_mut().lab.draft_mut().unwrap().train.steps = 50;
    until(&mut harness, "training knows of them", |app| app.lab.can_train());
    press(&mut harness, "Run");
    until(&mut harness, "the new steps are done", |app| {
        app.lab.step_in_view() == 50 && !app.lab.is_busy()
    });
}

#[test]
fn only_one_run_trains_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Restart");
    until(&mut harness, "the second run trains", |app| {
        app.lab.runs.len() == 2 && app.lab.step_in_view() > 0
    });
    let running = |app: &App| app.lab.runs.iter().filter(|run| trains(run)).count();
    assert_eq!(running(harness.state()), 1);
    harness.state_mut().lab.choose(0);
    harness.step();
    press(&mut harness, "Run");
    assert_eq!(running(harness.state()), 1);
    assert!(harness.state().lab.is_training());
}

fn trains(run: &mnemoscope::app::lab::run::Run) -> bool {
    run.training.as_ref().is_some_and(mnemoscope::app::lab::live::Training::is_running)
}

#[test]
fn a_run_that_diverged_says_so_live_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let wild = "rate = 100\ndecay = 10\nmomentum = 0.9999\nsteps = 2000\n";
    let mut harness = window_of(folder.path(), &TINY.replace("steps = 40\n", wild));
    let says = |app: &App| app.lab.state_in_words().starts_with("Diverged at step ");
    until(&mut harness, "it diverges", says);
    let live = harness.state().lab.state_in_words();
    let recording = harness.state().lab.run().unwrap().recording.folder.clone().unwrap();
    let lab = &mut harness.state_mut().lab;
    lab.close();
    lab.opened(mnemoscope::app::lab::run::Opened::read(&recording).unwrap());
    assert!(live.starts_with(&lab.state_in_words()), "{live}: {}", lab.state_in_words());
}

#[test]
fn a_run_is_closed_and_its_recording_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let recording = harness.state().lab.run().unwrap().recording.folder.clone().unwrap();
    harness.key_press_modifiers(egui::Modifiers::COMMAND | egui::Modifiers::SHIFT, egui::Key::W);
    harness.step();
    harness.step();
    assert!(harness.state().lab.runs.is_empty());
    assert!(recording.join("metrics.csv").is_file());
    assert_eq!(harness.state().lab.state_in_words(), "No run");
    assert!(harness.query_all_by_label_contains("Attention of").next().is_none());
}

#[test]
fn a_text_of_ones_own_outlives_the_run_that_it_was_written_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    let lab = &mut harness.state_mut().lab;
    lab.set_text("the end");
    let first = lab.runs[0].id;
    drop(lab.close());
    assert_eq!((lab.runs.len(), lab.run_id()), (1, first));
    assert_eq!(lab.text(), "the end");
}

#[test]
fn a_text_of_ones_own_is_asked_about_and_what_cannot_be_read_is_said_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Edit text");
    let write = |harness: &mut Harness<'_, App>, text: &str| {
        let field = harness.get_by_role_and_label(Role::MultilineTextInput, "Text of the sequence");
        field.set_text_value_accesskit(text);
        harness.step();
        harness.step();
    };
    write(&mut harness, "the end");
    assert_eq!(harness.state().lab.text(), "the end");
    assert_eq!(harness.state().lab.text_note, None);
    until(&mut harness, "the panels answer", |app| app.lab.examination.is_settled(40));
    assert_eq!(harness.state().lab.readings.as_ref().unwrap().prompt.tokens.len(), 7);
    // One sign too many, a sign that is none, and none at all: the sequence stays, nothing piles up.
    write(&mut harness, "the end of all things which is far too long");
    assert_eq!(harness.state().lab.text(), "the end of all things wh");
    assert!(harness.query_by_label_contains("This network reads 24 tokens").is_some());
    write(&mut harness, "the ж");
    assert_eq!(harness.state().lab.text(), "the end of all things wh");
    assert!(harness.state().lab.text_note.is_some());
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
    // Another sequence is what the field shows then.
    press(&mut harness, "Another sequence");
    let drawn = harness.state().lab.text();
    let field = harness.get_by_role_and_label(Role::MultilineTextInput, "Text of the sequence");
    assert_eq!(field.accesskit_node().value(), Some(drawn));
}

#[test]
fn a_point_of_a_drawn_sequence_brings_it_back_after_the_text_was_edited() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let drawn = harness.state().lab.text();
    let lab = &mut harness.state_mut().lab;
    lab.set_text("the end");
    lab.pick(&Pick::CloudPoint { sequence: 0, position: 3, is_key: true }, false);
    assert_eq!(lab.text(), drawn);
    assert_eq!(lab.selection.key, Some(3));
}

#[test]
fn a_key_stays_as_long_as_it_is_that_token_and_no_future() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let lab = &mut harness.state_mut().lab;
    lab.set_text("the end");
    lab.pick(&Pick::QueryKey { query: 6, key: 4 }, false);
    lab.set_text("the eND");
    assert_eq!(lab.selection.key, Some(4), "that token is the same");
    lab.set_text("she had");
    assert_eq!(lab.selection.key, None);
    lab.pick(&Pick::QueryKey { query: 6, key: 4 }, false);
    lab.pick(&Pick::Query(5), false);
    assert_eq!(lab.selection.key, Some(4));
    lab.pick(&Pick::Query(3), false);
    assert_eq!(lab.selection.key, None, "it comes after the query");
}

#[test]
fn a_panel_that_has_nothing_here_starts_an_experiment_that_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    // Its tab lies behind others.
    find(&mut harness, "gating");
    until(&mut harness, "it is refused", |app| app.lab.examination.is_settled(40));
    let label = "Start \u{201c}Gating: two registers\u{201d}";
    press(&mut harness, label);
    until(&mut harness, "it starts", |app| app.lab.runs.len() == 2);
    assert_eq!(harness.state().lab.run().unwrap().experiment.name, "gating");
    until(&mut harness, "its gates are drawn", |app| app.lab.readings.is_some());
    assert!(harness.query_by_role_and_label(Role::Button, label).is_none());
}

#[test]
fn a_text_of_ones_own_that_is_no_pair_yet_is_said_not_to_be_on_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Patching");
    harness.get_by_role_and_label(Role::ComboBox, "Pairs").click();
    (0..3).for_each(|_| harness.step());
    press(&mut harness, "my text");
    let said = "until this text differs from the one in view";
    assert!(harness.query_by_label_contains(said).is_some());
    let field = harness.get_by_role_and_label(Role::TextInput, "Counterfactual text");
    let other = field.accesskit_node().value().unwrap().replace('e', "o");
    field.focus();
    field.set_text_value_accesskit(&other);
    (0..2).for_each(|_| harness.step());
    harness.key_press(egui::Key::Enter);
    (0..3).for_each(|_| harness.step());
    assert!(harness.query_by_label_contains(said).is_none());
}

#[test]
fn escape_closes_what_is_open_before_it_clears_the_selection() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let query = harness.state().lab.selection.query;
    assert!(query.is_some());
    let escape = |harness: &mut Harness<'_, App>| {
        harness.key_press(egui::Key::Escape);
        harness.step();
        harness.step();
    };
    press(&mut harness, "Save figure Attention");
    assert!(harness.query_by_role_and_label(Role::TextInput, "Path").is_some());
    escape(&mut harness);
    assert!(harness.query_by_role_and_label(Role::TextInput, "Path").is_none());
    press(&mut harness, "Edit text");
    escape(&mut harness);
    let field = harness.query_by_role_and_label(Role::MultilineTextInput, "Text of the sequence");
    assert!(field.is_none());
    assert_eq!(harness.state().lab.selection.query, query);
    escape(&mut harness);
    assert_eq!(harness.state().lab.selection.query, None);
}

#[test]
fn keys_act_on_nothing_that_lies_behind_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness.get_by_role_and_label(Role::Slider, "Step in view").set_value_accesskit(20.0);
    harness.step();
    harness.key_press(egui::Key::F1);
    harness.step();
    harness.step();
    harness.key_press(egui::Key::X);
    harness.step();
    assert!(harness.state().lab.in_force().is_empty());
    harness.key_press(egui::Key::Escape);
    harness.step();
    harness.step();
    // Shift+X lifts, and there is nothing to lift: it is not X.
    harness.key_press_modifiers(egui::Modifiers::SHIFT, egui::Key::X);
    harness.step();
    assert!(harness.state().lab.in_force().is_empty());
    harness.key_press(egui::Key::X);
    harness.step();
    assert_eq!(harness.state().lab.in_force().len(), 1);
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let path = folder.path().join("head.svg");
    std::fs::write(&path, "mine").unwrap();
    press(&mut harness, "Save figure Attention");
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    field.set_text_value_accesskit(&path.display().to_string());
    harness.step();
    press(&mut harness, "OK");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    press(&mut harness, "Replace");
    until(&mut harness, "it is replaced", |_| std::fs::read_to_string(&path).unwrap() != "mine");
}

#[test]
fn where_the_disk_refuses_the_run_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // A file stands where the library should be.
    std::fs::write(folder.path().join("runs"), "").unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let troubles = &harness.state().lab.troubles;
    assert!(troubles.iter().any(|e| e.message.contains("this run is recorded in")), "{troubles:?}");
}

#[test]
fn a_run_is_deleted_after_a_question_and_comes_back_by_undo() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("runs");
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    let run = library.join("tiny-001");
    let app = harness.state_mut();
    app.lab.choose(0);
    drop(app.lab.close());
    until(&mut harness, "nothing is under way", |app| !app.lab.is_busy());
    let place = library.join(".trash/tiny-001/run.json");
    press(&mut harness, "Runs");
    until_shown(&mut harness, "Delete tiny-001");
    press(&mut harness, "Delete tiny-001");
    press(&mut harness, "Keep");
    assert!(run.exists());
    press(&mut harness, "Delete tiny-001");
    assert!(shows(&harness, "can be restored"));
    press(&mut harness, "Move to the trash");
    until_shown(&mut harness, "Undo");
    assert!(!run.exists() && place.exists());
    press(&mut harness, "Undo");
    until_shown(&mut harness, "Open tiny-001");
    assert!(run.join("run.json").exists() && !place.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_opens_in_the_window() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    let experiment = super::tiny::with(&["train.steps=3"]);
    let plan = mnemoscope::run::sweep::plan(&experiment, vec![1], &[]).unwrap();
    mnemoscope::run::sweep::claim(&plan, &home).unwrap();
    let crew = mnemoscope::run::sweep::Crew { jobs: 1, threads: 1 };
    let never = crossbeam_channel::never();
    mnemoscope::run::sweep::carry_out((&home, &plan), &[0], crew, &never, &mut |_, _| {});
    for what in [home.clone(), home.join("seed1")] {
        let surroundings = Surroundings {
            library: Ok(folder.path().join("runs")),
            system_dialogs: false,
            adapter: None,
            panels: Panels::default(),
        };
        let launch = Launch { what: Some(what.into()), ..Launch::default() };
        let mut harness = Harness::builder()
            .with_size([1600.0, 1000.0])
            .with_max_steps(4)
            .build_eframe(|creation| App::new(&creation.egui_ctx, None, surroundings, &launch));
        until(&mut harness, "the run is open", |app| app.lab.readings.is_some());
        let lab = &harness.state().lab;
        assert_eq!(lab.folders(), [home.join("seed1")]);
        assert!(lab.troubles.is_empty(), "{:?}", lab.troubles);
    }
}

/// Draws frames until words are there.
fn until_said(harness: &mut Harness<'_, App>, words: &str) {
    let begun = Instant::now();
    while harness.query_all_by_label_contains(words).next().is_none() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {words}");
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
}

/// Draws frames until a button is there.
pub fn until_shown(harness: &mut Harness<'_, App>, label: &str) {
    let begun = Instant::now();
    while harness.query_by_role_and_label(Role::Button, label).is_none() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {label}");
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
}

#[test]
fn weights_that_are_no_numbers_get_a_sentence_in_place_of_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let lab = &mut harness.state_mut().lab;
    let training = lab.runs[0].training.as_mut().unwrap();
    let mut weights = (**training.shown.as_ref().unwrap()).clone();
    let tensor = &mut weights.tensors[0];
    tensor.data = tensor.data.iter().map(|_| f32::NAN).collect();
    training.take_weights(Arc::new(weights));
    lab.draw_sequence(1);
    until(&mut harness, "the answer is a sentence", |app| app.lab.failure.is_some());
    assert!(harness.state().lab.readings.is_none());
    assert!(harness.query_all_by_label_contains("not finite").next().is_some());
}

#[test]
fn what_is_set_in_the_form_is_still_there_after_a_look_at_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    let lab = &mut harness.state_mut().lab;
    lab.draft_mut().unwrap().train.batch = 9;
    lab.choose(0);
    assert_eq!(lab.draft().unwrap().train.batch, 4);
    lab.choose(1);
    assert_eq!(lab.draft().unwrap().train.batch, 9);
}

#[test]
fn a_layout_that_was_reset_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let shown = |harness: &Harness<'_, App>| {
        harness.query_by_role_and_label(Role::Slider, "Step in view").is_some()
    };
    let settle = |harness: &mut Harness<'_, App>| (0..80).for_each(|_| harness.step());
    settle(&mut harness);
    harness.get_by_label("Timeline").click();
    harness.step();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::W);
    settle(&mut harness);
    assert!(!shown(&harness));
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Z);
    harness.step();
    harness.step();
    assert!(shown(&harness));
}

#[test]
fn a_click_on_a_token_selects_it_and_shift_selects_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    click_token(&mut harness, 5, egui::Modifiers::NONE);
    assert_eq!(harness.state().lab.selection.query, Some(5));
    click_token(&mut harness, 3, egui::Modifiers::SHIFT);
    assert_eq!(harness.state().lab.selection.key, Some(3));
    assert_eq!(harness.state().lab.selection.query, Some(5));
    harness.key_press(egui::Key::ArrowRight);
    harness.step();
    assert_eq!(harness.state().lab.selection.query, Some(6));
}

fn click_token(harness: &mut Harness<'_, App>, position: usize, modifiers: egui::Modifiers) {
    let start = format!("position {position}");
    let named = |label: String| label.to_lowercase().contains(&start);
    harness
        .get_all_by_role(Role::Button)
        .find(|node| node.accesskit_node().label().is_some_and(named))
        .unwrap_or_else(|| panic!("no token at position {position}"))
        .click_modifiers(modifiers);
    harness.step();
    harness.step();
}

#[test]
fn the_timeline_shows_a_past_step_everywhere_and_one_key_returns_to_live() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let last = harness.state().lab.step_in_view();
    harness.get_by_role_and_label(Role::Slider, "Step in view").set_value_accesskit(11.0);
    harness.step();
    let step = harness.state().lab.step.expect("a step of the past is in view");
    assert!(step.abs_diff(11) <= 2, "asked for 11, got {step}");
    until(&mut harness, "the panels answer for it", |app| app.lab.examination.is_settled(step));
    assert_eq!(harness.state().lab.readings.as_ref().unwrap().step, step);
    // Dragged by hand to the left end.
    let track = harness.get_by_role_and_label(Role::Slider, "Step in view").rect();
    harness.drag_at(track.center());
    harness.step();
    harness.hover_at(track.left_center() + egui::vec2(2.0, 0.0));
    harness.step();
    harness.drop_at(track.left_center() + egui::vec2(2.0, 0.0));
    harness.step();
    assert_eq!(harness.state().lab.step, Some(0));
    harness.key_press(egui::Key::L);
    harness.step();
    assert_eq!(harness.state().lab.step, None);
    assert_eq!(harness.state().lab.step_in_view(), last);
}

/// A press and a release within one frame, as a click is while drawing takes its time.
fn click_at(harness: &mut Harness<'_, App>, pos: egui::Pos2) {
    let button = |pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: egui::Modifiers::NONE,
    };
    let input = harness.input_mut();
    input.events.extend([egui::Event::PointerMoved(pos), button(true), button(false)]);
    harness.step();
    harness.step();
}

#[test]
fn a_quick_click_on_the_timeline_goes_there_and_pointing_tells_what_happened() {
    use mnemoscope::base::event::{Mark, MarkKind};
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    let run = &mut harness.state_mut().lab.runs[0];
    let recording = Arc::make_mut(&mut run.recording);
    recording.marks.clear();
    recording.add_mark(Mark::of_text(10, MarkKind::Intervention, "zero layer1.head0"));
    harness.state_mut().lab.news += 1;
    (0..3).for_each(|_| harness.step());
    let track = harness.get_by_role_and_label(Role::Slider, "Step in view").rect();
    let at = |share: f32| egui::pos2(track.left() + share * track.width(), track.bottom() - 8.0);
    for (share, wanted) in [(0.5, 20), (0.0, 0), (0.3, 12)] {
        click_at(&mut harness, at(share));
        let step = harness.state().lab.step.expect("a step of the past is in view");
        assert!(step.abs_diff(wanted) <= 2, "{share}: {step}");
    }
    // Its flag goes to the step of the mark, wherever it is clicked.
    let flag = harness.query_all_by_label_contains("step 10: L1 H0 cut").next().unwrap().rect();
    click_at(&mut harness, flag.right_center() - egui::vec2(3.0, 0.0));
    assert_eq!(harness.state().lab.step, Some(10));
    harness.hover_at(flag.right_center() - egui::vec2(3.0, 0.0));
    until_said(&mut harness, "L1 H0 cut at step 10");
}

#[test]
fn a_tree_is_edited_by_hand_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let trees = TINY.replace("bigram", "tree_path\"\nnodes = 6\npadding = false\n#");
    let trees = trees.replace("length = 24\n", "").replace("triggers = 3\n", "");
    let mut harness = window_of(folder.path(), &trees);
    finished(&mut harness);
    let tree = |app: &App| {
        let lab = &app.lab;
        lab.run().unwrap().info.source.facet::<Trees>().unwrap().tree(&lab.prompt.tokens).unwrap()
    };
    let before = tree(harness.state());
    assert_eq!(harness.state().lab.selection.query, Some(17), "the root is looked at");
    harness.get_by_role_and_label(Role::Button, "Tree").click();
    for _ in 0..3 {
        harness.step();
    }
    // Node 0 cannot hang under itself.
    press(&mut harness, "Hang");
    assert_eq!(tree(harness.state()), before);
    harness.get_by_label(&before.rehung(0, 0).unwrap_err().message);
    let goal = before.leaves().into_iter().find(|leaf| *leaf != before.goal).unwrap();
    harness.get_by_role_and_label(Role::ComboBox, "Goal of the tree").click();
    for _ in 0..3 {
        harness.step();
    }
    press(&mut harness, &goal.to_string());
    let after = tree(harness.state());
    assert_eq!(after, before.with_goal(goal).unwrap());
    let lab = &harness.state().lab;
    assert_eq!((lab.drawn, lab.text_note.as_deref()), (None, None));
    assert_eq!(lab.selection.query, Some(17));
    assert!(lab.prompt.targets[17] < u32::MAX, "the right answer is known");
}

#[test]
fn a_head_is_cut_on_a_step_of_the_past_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness.get_by_role_and_label(Role::Slider, "Step in view").set_value_accesskit(20.0);
    harness.step();
    press(&mut harness, "Surgery");
    harness.get_by_role_and_label(Role::CheckBox, "Cut layer 1 head 0").click();
    harness.step();
    harness.step();
    let spelled: Vec<String> =
        harness.state().lab.in_force().iter().map(ToString::to_string).collect();
    assert_eq!(spelled, ["zero layer1.head0"]);
    until(&mut harness, "the effect is measured", |app| {
        matches!(app.lab.effect_in_force(), Some(Effect::Known { without: Some(_), .. }))
    });
    assert!(harness.query_by_label_contains("In-context accuracy with this").is_some());
    let cut = harness.state().lab.readings.clone().unwrap();
    assert_eq!(cut.interventions.len(), 1);
    press(&mut harness, "Undo zero layer1.head0");
    assert!(harness.state().lab.in_force().is_empty());
}

#[test]
fn what_the_query_attends_to_the_key_is_scaled_by_a_slider() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness.get_by_role_and_label(Role::Slider, "Step in view").set_value_accesskit(20.0);
    press(&mut harness, "Surgery");
    press(&mut harness, "Maximise Surgery");
    let lab = &mut harness.state_mut().lab;
    (lab.selection.query, lab.selection.key) = (Some(5), Some(2));
    (0..3).for_each(|_| harness.step());
    for (alpha, spelled) in [
        (0.5, vec!["scale layer0.pattern@5<-2 by 0.5", "scale layer1.pattern@5<-2 by 0.5"]),
        (2.0, vec!["scale layer0.pattern@5<-2 by 2", "scale layer1.pattern@5<-2 by 2"]),
        (1.0, vec![]),
    ] {
        let slider = "Attention scaled by";
        harness.get_by_role_and_label(Role::Slider, slider).set_value_accesskit(alpha);
        (0..3).for_each(|_| harness.step());
        let in_force = harness.state().lab.in_force();
        let in_force: Vec<String> = in_force.iter().map(ToString::to_string).collect();
        assert_eq!(in_force, spelled);
    }
}

#[test]
fn a_figure_is_saved_through_the_path_field() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Save figure Attention");
    let path = folder.path().join("head.svg");
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    // As it is copied from elsewhere.
    field.set_text_value_accesskit(&format!("\"{}\"", path.display()));
    harness.step();
    press(&mut harness, "OK");
    until(&mut harness, "the file is there", |_| path.exists());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("<svg") && text.contains("</svg>"), "{}", &text[..text.len().min(200)]);
}

#[test]
fn weights_are_exported_in_the_spelling_that_was_chosen_or_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = TINY.replace("width = 16", "width = 16\nfinal_norm = false");
    let mut harness = window_of(folder.path(), &experiment);
    finished(&mut harness);
    let export = |harness: &mut Harness<'_, App>, spelling: &str, path: &Path| {
        harness.key_press_modifiers(
            egui::Modifiers::COMMAND.plus(egui::Modifiers::SHIFT),
            egui::Key::E,
        );
        harness.step();
        harness.step();
        press(harness, spelling);
        let field = harness.get_by_role_and_label(Role::TextInput, "Path");
        field.set_text_value_accesskit(&path.display().to_string());
        harness.step();
        press(harness, "OK");
    };
    let path = folder.path().join("own.safetensors");
    export(&mut harness, "Plain tensors", &path);
    until(&mut harness, "the file is there", |_| path.exists());
    let bytes = std::fs::read(&path).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("embed").is_ok());
    // These norm before the unembedding, if anywhere.
    harness
        .key_press_modifiers(egui::Modifiers::COMMAND.plus(egui::Modifiers::SHIFT), egui::Key::E);
    until_said(&mut harness, "model.final_norm");
    // Before a path is asked for.
    press(&mut harness, "TransformerLens 4");
    assert!(harness.query_by_role_and_label(Role::TextInput, "Path").is_none());
    assert!(harness.state().lab.troubles.is_empty());
}

#[test]
fn a_folder_of_weights_is_written_from_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness
        .key_press_modifiers(egui::Modifiers::COMMAND.plus(egui::Modifiers::SHIFT), egui::Key::E);
    harness.step();
    harness.step();
    press(&mut harness, "Hugging Face GPT-2");
    let path = folder.path().join("gpt2");
    let field = harness.get_by_role_and_label(Role::TextInput, "Path");
    field.set_text_value_accesskit(&path.display().to_string());
    harness.step();
    press(&mut harness, "OK");
    until(&mut harness, "the folder is whole", |_| path.join("tokens.json").exists());
    let config = std::fs::read_to_string(path.join("config.json")).unwrap();
    assert!(config.contains("GPT2LMHeadModel"), "{config}");
}

#[test]
fn the_palette_finds_an_action_by_a_few_letters_and_runs_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    find(&mut harness, "runs");
    assert!(harness.query_by_role_and_label(Role::TextInput, "Search for an action").is_none());
    assert!(harness.query_by_role_and_label(Role::Button, "Refresh the runs").is_some());
}

#[test]
fn a_changed_setting_says_that_it_waits_for_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Experiment");
    assert!(harness.query_by_label_contains("needs a restart").is_none());
    harness.state_mut().lab.draft_mut().unwrap().train.batch = 7;
    harness.step();
    harness.step();
    assert!(harness.query_by_label_contains("needs a restart").is_some());
    press(&mut harness, "Start with these settings");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    assert_eq!(harness.state().lab.run().unwrap().experiment.train.batch, 7);
}

#[test]
fn a_branch_begins_at_the_step_in_view_and_both_runs_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness.get_by_role_and_label(Role::Slider, "Step in view").set_value_accesskit(20.0);
    harness.step();
    let from = harness.state().lab.step.unwrap();
    press(&mut harness, "Branch from here");
    until(&mut harness, "the branch is there", |app| app.lab.runs.len() == 2);
    let known = |app: &App| app.lab.run().is_some_and(|run| run.recording.last_step >= from);
    until(&mut harness, "the branch reports", known);
    until(&mut harness, "nothing is under way", |app| !app.lab.is_busy());
    // It waits for a hand: something may be frozen first.
    let lab = &harness.state().lab;
    assert_eq!(lab.step_in_view(), from);
    assert!(!lab.is_training());
    assert_eq!(
        lab.state_in_words(),
        format!("Branch from step {from}, paused: press Space to train it")
    );
    harness.key_press(egui::Key::Space);
    until(&mut harness, "the branch trains", |app| app.lab.step_in_view() > from);
    let lab = &harness.state().lab;
    let run = lab.run().unwrap();
    assert!(run.recording.rows.iter().all(|row| row.step >= from));
    assert_eq!(run.recording.parent.as_ref().unwrap().step, from);
    assert_eq!(run.recording.task, lab.runs[0].recording.task);
    // With Shift it trains at once.
    harness.state_mut().lab.view(Some(from));
    harness.key_press_modifiers(egui::Modifiers::SHIFT, egui::Key::B);
    until(&mut harness, "the other branch is there", |app| app.lab.runs.len() == 3);
    until(&mut harness, "it trains", |app| app.lab.step_in_view() > from);
}

#[test]
fn a_matrix_of_a_step_of_the_past_is_frozen_in_a_branch() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Surgery");
    press(&mut harness, "Maximise Surgery");
    harness.state_mut().lab.view(Some(20));
    (0..3).for_each(|_| harness.step());
    press(&mut harness, "Branch from here to freeze it");
    until(&mut harness, "the branch is there", |app| app.lab.runs.len() == 2);
    until(&mut harness, "it waits", |app| !app.lab.is_busy() && !app.lab.is_training());
    harness.get_by_role_and_label(Role::CheckBox, "Freeze embed").click();
    until(&mut harness, "it is frozen", |app| !app.lab.in_force().is_empty());
    assert_eq!(harness.state().lab.in_force()[0].in_words(), "embed frozen");
}

#[test]
fn what_cannot_be_opened_is_a_sentence_in_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let surroundings = Surroundings {
        library: Ok(folder.path().join("runs")),
        system_dialogs: false,
        adapter: Some(Adapter { name: "llvmpipe".to_owned(), software: true }),
        panels: Panels::default(),
    };
    let launch = Launch { what: Some("brith".into()), ..Launch::default() };
    let mut harness = Harness::builder()
        .with_size([1200.0, 800.0])
        .build_eframe(|creation| App::new(&creation.egui_ctx, None, surroundings, &launch));
    harness.step();
    assert!(harness.query_by_label_contains("birth").is_some());
    press(&mut harness, "Dismiss trouble 1");
    assert!(harness.state().lab.troubles.is_empty());
}

#[test]
fn every_action_has_words_and_no_key_means_two_things() {
    let table = commands::table(Panels::default());
    let mut keys: Vec<String> =
        table.iter().filter_map(|e| e.keys.as_ref().map(commands::spell)).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "a key is given twice");
    assert!(table.iter().all(|e| !e.text.is_empty() && e.help.ends_with('.')));
    assert!(table.iter().any(|e| e.command == Command::Show("timeline")));
}

#[test]
fn the_key_list_of_the_documentation_is_that_of_the_table() {
    let text = include_str!("../../docs/window.md");
    assert!(
        text.contains(&commands::keys_markdown()),
        "docs/window.md lacks:\n{}",
        commands::keys_markdown()
    );
}

#[test]
fn decimation_keeps_every_extreme() {
    let mut points: Vec<[f64; 2]> =
        (0..100_000).map(|i| [f64::from(i), (f64::from(i) * 0.01).sin()]).collect();
    points[54_321][1] = 7.0;
    points[54_322][1] = -7.0;
    let kept = mnemoscope::app::panes::curves::decimated(&points, 0.0..=1e5, 500);
    assert!(kept.len() <= 1_002 + 2, "{}", kept.len());
    assert!(kept.contains(&[54_321.0, 7.0]) && kept.contains(&[54_322.0, -7.0]));
    assert!(kept.windows(2).all(|w| w[0][0] <= w[1][0]));
}

#[test]
fn one_selection_holds_for_all_panels() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    until(&mut harness, "a run is there", |app| app.lab.run().is_some());
    let lab = &mut harness.state_mut().lab;
    lab.pick(&Pick::QueryKey { query: 9, key: 4 }, false);
    lab.pick(&Pick::Head { layer: 0, head: 1 }, false);
    let s = &lab.selection;
    assert_eq!((s.query, s.key, s.layer, s.head), (Some(9), Some(4), 0, 1));
}

#[test]
fn a_sweep_is_opened_with_a_run_of_it_and_a_picker_and_a_point_choose_what_is_seen() {
    use mnemoscope::run::sweep::{Crew, carry_out, claim, plan};
    let folder = tempfile::tempdir().unwrap();
    let experiment = mnemoscope::run::experiment::Experiment::parse(TINY, "tiny").unwrap();
    let plan = plan(&experiment, vec![0, 1], &[]).unwrap();
    let home = folder.path().join("s");
    claim(&plan, &home).unwrap();
    let crew = Crew { jobs: 2, threads: 1 };
    carry_out((&home, &plan), &[0, 1], crew, &crossbeam_channel::never(), &mut |_, _| {});
    let surroundings = Surroundings {
        library: Ok(folder.path().join("runs")),
        system_dialogs: false,
        adapter: None,
        panels: Panels::default(),
    };
    let launch = Launch { what: Some(home.clone().into()), ..Launch::default() };
    let mut harness = Harness::builder()
        .with_size([1600.0, 1000.0])
        .with_max_steps(4)
        .build_eframe(|creation| App::new(&creation.egui_ctx, None, surroundings, &launch));
    let here =
        |name: &'static str| move |app: &App| app.lab.run().is_some_and(|run| run.name == name);
    until(&mut harness, "the first run is in view", here("seed0"));
    assert_eq!(harness.state().lab.sweep.as_ref().unwrap().runs.len(), 2);
    assert!(harness.query_by_role_and_label(Role::Image, "Sweep figure").is_some());
    // One dot at the end of its line, one point in the plot of two numbers.
    let points = |harness: &Harness<'_, App>, name: &str| {
        harness
            .query_all_by_label_contains(name)
            .filter(|n| n.accesskit_node().role() == Role::Button)
            .count()
    };
    assert_eq!(points(&harness, "seed1 ("), 2);
    harness
        .query_all_by_label_contains("seed1 (")
        .find(|node| node.accesskit_node().role() == Role::Button)
        .unwrap()
        .click();
    harness.step();
    until(&mut harness, "the other run is in view", here("seed1"));
    // It is open already: no second one of it.
    harness.state_mut().lab.choose(0);
    harness.step();
    harness
        .query_all_by_label_contains("seed1 (")
        .find(|node| node.accesskit_node().role() == Role::Button)
        .unwrap()
        .click();
    harness.step();
    until(&mut harness, "it is in view again", here("seed1"));
    assert_eq!(harness.state().lab.runs.len(), 2);
    for picker in ["Lines of the sweep", "x axis of the sweep", "y axis of the sweep"] {
        assert!(harness.query_by_role_and_label(Role::ComboBox, picker).is_some(), "{picker}");
    }
    assert!(harness.query_by_role_and_label(Role::ComboBox, "Colour of the sweep").is_none());
    press(&mut harness, "Refresh the sweep");
    until(&mut harness, "the sweep is read", |app| !app.lab.is_busy());
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

pub const TUPLES: &str = r#"
name = "tiny"
about = "A network small enough for a test."
[task]
kind = "reference_back"
tuples = 4
symbols = 4
[model]
kind = "decoder"
layers = 2
heads = 2
width = 16
mlp = "none"
[train]
batch = 4
held_out = 8
evaluate = 2
threads = 1
steps = 4
"#;

#[test]
fn a_tuple_is_told_otherwise_and_every_panel_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TUPLES);
    press(&mut harness, "Gating");
    until(&mut harness, "training is done and answered", |app| {
        let lab = &app.lab;
        let last = lab.run().map_or(0, |run| run.recording.last_step);
        last >= 4 && !lab.is_training() && lab.examination.is_settled(last)
    });
    // Tuple 1: its symbol stands at position 6.
    harness.state_mut().lab.pick(&Pick::Query(6), false);
    harness.step();
    let before = harness.state().lab.prompt.clone();
    press(&mut harness, "Flip Store/Ignore");
    let flipped = harness.state().lab.prompt.clone();
    assert_eq!(flipped.tokens[4], 1 - before.tokens[4]);
    assert_eq!(flipped.tokens[5..7], before.tokens[5..7]);
    assert!(harness.state().lab.drawn.is_none());
    press(&mut harness, "Next register");
    let moved = harness.state().lab.prompt.clone();
    assert_eq!(moved.tokens[5], if before.tokens[5] == 4 { 5 } else { 4 });
    press(&mut harness, "Next symbol");
    let renamed = harness.state().lab.prompt.clone();
    assert_ne!(renamed.tokens[6], before.tokens[6]);
    // The answers that are shown are right in each of them.
    for row in [&before, &flipped, &moved, &renamed] {
        for at in (2..row.len()).step_by(4) {
            assert_eq!(row.tokens[at + 1], row.targets[at]);
        }
    }
    until(&mut harness, "the new sequence is answered", |app| {
        app.lab.readings.as_ref().is_some_and(|r| r.prompt.tokens == renamed.tokens)
    });
    let readings = harness.state().lab.readings.clone().unwrap();
    let call = mnemoscope::base::question::MeasurementCall::new("gating");
    let gating = readings.get(&call).unwrap().as_ref().unwrap();
    assert_eq!(gating.array("store").unwrap().data[1], 1.0 - renamed.tokens[4] as f32);
    press(&mut harness, "Flip Store/Ignore");
    assert_eq!(harness.state().lab.prompt.tokens[4], before.tokens[4]);
}

pub const TREES: &str = r#"
name = "tiny"
about = "A network small enough for a test."
[task]
kind = "tree_path"
nodes = 6
[model]
kind = "decoder"
layers = 2
heads = 1
width = 16
mlp = "none"
[train]
batch = 4
held_out = 8
evaluate = 2
threads = 1
steps = 4
"#;

fn trained(harness: &mut Harness<'_, App>, steps: u64) {
    until(harness, "training is done and answered", |app| {
        let lab = &app.lab;
        let last = lab.run().map_or(0, |run| run.recording.last_step);
        last >= steps && !lab.is_training() && lab.examination.is_settled(last)
    });
}

pub fn shows(harness: &Harness<'_, App>, words: &str) -> bool {
    harness.query_all_by_label_contains(words).next().is_some()
}

#[test]
fn the_panel_of_a_task_comes_forward_with_its_run_unless_a_hand_has_arranged_the_panels() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TREES);
    trained(&mut harness, 4);
    for size in [[853.0, 480.0], [1280.0, 720.0], [1600.0, 1000.0]] {
        harness.set_size(size.into());
        (0..2).for_each(|_| harness.step());
        let is_in_front = shows(&harness, "Node to hang");
        assert!(is_in_front, "{size:?}: the tree of a run of trees is in front");
    }
    press(&mut harness, "Memories");
    assert!(!shows(&harness, "Node to hang"));
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    trained(&mut harness, 4);
    assert!(!shows(&harness, "Node to hang"), "a layout of one's own stays");
}

const PARITY: &str = r#"
name = "tiny"
about = "A network small enough for a test."
[task]
kind = "automaton"
machine = "parity"
length = 8
longest = 16
[model]
kind = "recurrent"
width = 8
[train]
batch = 4
held_out = 8
evaluate = 2
threads = 1
steps = 4
"#;

#[test]
fn what_a_network_without_heads_keeps_and_how_far_it_goes_come_forward_and_runs_are_drawn_together()
{
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), PARITY);
    trained(&mut harness, 4);
    for size in [[1280.0, 720.0], [1600.0, 1000.0]] {
        harness.set_size(size.into());
        (0..8).for_each(|_| harness.step());
        // The tab of a panel that has come forward is seen in its strip, beside the buttons of the panel.
        let tab = harness.query_all_by_label("Working memory").next().unwrap().rect();
        let strip = harness.get_by_label("Automaton").rect();
        assert!(tab.width() > 20.0 && tab.right() < strip.left(), "{size:?}: {tab:?}");
        // Controls of Working memory, Length and Automaton.
        for words in ["What is stored", "Causes", "Group by"] {
            assert!(shows(&harness, words), "{size:?}: {words}");
        }
    }
    press(&mut harness, "Restart");
    until(&mut harness, "the second run is there", |app| app.lab.runs.len() == 2);
    trained(&mut harness, 4);
    until(&mut harness, "the first run is drawn with it", |app| {
        let length = registry::find("panel", panel::ALL, "length").unwrap();
        let beside = app.lab.beside(&*length);
        let known = |found: &Found| found.ended && matches!(found.reading, Some(Ok(_)));
        beside.len() == 1 && beside[0].analyzed.by_call.values().any(known)
    });
}

/// What the panel Tree says of the lens that it reads with.
pub fn rings(app: &App) -> String {
    let said = |readings: &Arc<Readings>| -> Option<String> {
        let tree = readings.by_call.iter().find(|(call, _)| call.starts_with("tree_view"));
        tree?.1.as_ref().ok()?.notes.first().cloned()
    };
    app.lab.readings.as_ref().and_then(said).unwrap_or_default()
}

/// Fits a tuned lens at the step in view.
pub fn fit_lens(harness: &mut Harness<'_, App>) {
    find(harness, "probing");
    harness.get_by_role_and_label(Role::ComboBox, "Fit").click();
    harness.step();
    harness.step();
    press(harness, "tuned-lens");
    until(harness, "the lens is fitted", |app| {
        app.lab.analyses.has_ended("readers") && !app.lab.analyses.is_busy()
    });
}

#[test]
fn a_lens_that_was_fitted_in_the_window_and_kept_reads_the_rings_of_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), TREES);
    trained(&mut harness, 4);
    assert_eq!(rings(harness.state()), "Rings: the plain logit lens, since no fitted one is kept.");
    fit_lens(&mut harness);
    press(&mut harness, "Keep");
    until(&mut harness, "the rings are read by it", |app| rings(app).contains("the tuned"));
    assert_eq!(rings(harness.state()), "Rings: the tuned lens tuned-lens-all-step4.");
    let home = harness.state().lab.run().unwrap().recording.folder.clone().unwrap();
    assert!(home.join("readers/tuned-lens-all-step4.json").is_file());
    // Another step has none of its own.
    harness.state_mut().lab.view(Some(0));
    until(&mut harness, "the first step is read", |app| rings(app).contains("plain"));
    assert!(rings(harness.state()).ends_with("kept for step 4."), "{}", rings(harness.state()));
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn after_all_is_lifted_another_intervention_takes_and_the_keyboard_stays_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Surgery");
    press(&mut harness, "Maximise Surgery");
    let spelled =
        |app: &App| -> Vec<String> { app.lab.in_force().iter().map(ToString::to_string).collect() };
    let write = |harness: &mut Harness<'_, App>, text: &str| {
        let field = harness.get_by_role_and_label(Role::TextInput, "Intervention");
        field.set_text_value_accesskit(text);
        harness.step();
    };
    for (count, text) in [(1, "scale layer1.head0 by 0.5"), (2, "zero layer0.head1")] {
        write(&mut harness, text);
        press(&mut harness, "Apply");
        until(&mut harness, "it is in force", |app| app.lab.in_force().len() == count);
    }
    press(&mut harness, "Lift all");
    // The hand is in the field before the list is empty.
    harness.get_by_role_and_label(Role::TextInput, "Intervention").focus();
    until(&mut harness, "nothing is in force", |app| app.lab.in_force().is_empty());
    write(&mut harness, "scale layer0.head0 by 0.25");
    let field = harness.get_by_role_and_label(Role::TextInput, "Intervention");
    assert!(field.accesskit_node().is_focused(), "the list above the field has shrunk");
    harness.key_press(egui::Key::Enter);
    until(&mut harness, "it is in force", |app| spelled(app) == ["scale layer0.head0 by 0.25"]);
    press(&mut harness, "Undo scale layer0.head0 by 0.25");
    until(&mut harness, "nothing is in force", |app| app.lab.in_force().is_empty());
    write(&mut harness, "zero layer1.head1");
    press(&mut harness, "Apply");
    until(&mut harness, "it is in force", |app| spelled(app) == ["zero layer1.head1"]);
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

/// Writes into the number of a setting and leaves it with Enter.
pub fn type_number(harness: &mut Harness<'_, App>, setting: &str, text: &str) {
    harness.get_by_role_and_label(Role::SpinButton, setting).focus();
    harness.step();
    harness.step();
    harness.event(egui::Event::Text(text.to_owned()));
    harness.step();
    harness.key_press(egui::Key::Enter);
    for _ in 0..3 {
        harness.step();
    }
}

fn draft(harness: &Harness<'_, App>) -> mnemoscope::run::experiment::Train {
    harness.state().lab.draft().unwrap().train.clone()
}

fn in_force(app: &App) -> mnemoscope::run::experiment::Train {
    app.lab.run().unwrap().experiment.train.clone()
}

#[test]
fn a_number_is_taken_when_its_field_is_left_and_what_is_none_leaves_the_value_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Experiment");
    harness.get_by_role_and_label(Role::SpinButton, "rate").focus();
    harness.step();
    harness.step();
    harness.event(egui::Event::Text("0,25".to_owned()));
    harness.step();
    harness.step();
    assert_eq!(draft(&harness).rate, 0.2, "nothing is taken while it is typed");
    harness.key_press(egui::Key::Enter);
    until(&mut harness, "training has it", |app| in_force(app).rate == 0.25);
    for (text, said) in [
        ("abc", "read \"abc\", expected a number from 0.00000001 to 100; 0.25 stays"),
        ("1000", "read \"1000\", expected a number from 0.00000001 to 100; 0.25 stays"),
        (" ", "read \"\", expected a number from 0.00000001 to 100; 0.25 stays"),
        ("1,000", "1000 where it stands between thousands; write one of these two; 0.25 stays"),
    ] {
        type_number(&mut harness, "rate", text);
        assert!(harness.query_by_label_contains(said).is_some(), "{text}");
        assert_eq!(draft(&harness).rate, 0.25, "{text}");
    }
    // Whole numbers are of the same kind; the sentence about another field stays.
    type_number(&mut harness, "batch", "8,5");
    assert!(harness.query_by_label_contains("a whole number from 1 to 4096; 4 stays").is_some());
    type_number(&mut harness, "batch", "1 000");
    assert_eq!(draft(&harness).batch, 1000);
    assert!(harness.query_by_label_contains("a whole number from 1 to 4096").is_none());
    type_number(&mut harness, "rate", "1,5e-3");
    until(&mut harness, "training has it", |app| in_force(app).rate == 1.5e-3);
    assert!(harness.query_by_label_contains("stays").is_none());
    // What was refused never reached training.
    let rates = |app: &App| {
        let marks = app.lab.run().unwrap().recording.marks.clone();
        marks
            .into_iter()
            .map(|m| m.text)
            .filter(|t| t.starts_with("train.rate"))
            .collect::<Vec<_>>()
    };
    until(&mut harness, "both changes are marked", |app| rates(app).len() == 2);
    assert_eq!(rates(harness.state()), ["train.rate = 0.25", "train.rate = 0.0015"]);
}

#[test]
fn a_field_that_is_left_by_escape_or_left_alone_keeps_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let exact = TINY.replace("[train]", "[train]\nrate = 0.123456789012345");
    let mut harness = window_of(folder.path(), &exact);
    finished(&mut harness);
    press(&mut harness, "Experiment");
    harness.get_by_role_and_label(Role::SpinButton, "rate").focus();
    harness.step();
    harness.key_press(egui::Key::Enter);
    harness.step();
    harness.step();
    assert_eq!(draft(&harness).rate, 0.123_456_789_012_345);
    harness.get_by_role_and_label(Role::SpinButton, "rate").focus();
    harness.step();
    harness.step();
    harness.event(egui::Event::Text("0.5".to_owned()));
    harness.step();
    let query = harness.state().lab.selection.query;
    harness.key_press(egui::Key::Escape);
    harness.step();
    harness.step();
    assert_eq!(draft(&harness).rate, 0.123_456_789_012_345);
    assert_eq!(harness.state().lab.selection.query, query, "Escape was for the field");
}

#[test]
fn a_live_setting_that_training_refuses_goes_back_to_the_value_in_force() {
    use mnemoscope::run::experiment::Schedule;
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window_of(folder.path(), &endless());
    until(&mut harness, "a step is trained", |app| app.lab.step_in_view() > 0);
    press(&mut harness, "Experiment");
    let choose = |harness: &mut Harness<'_, App>, schedule| {
        harness.state_mut().lab.draft_mut().unwrap().train.schedule = schedule;
        harness.step();
    };
    choose(&mut harness, Schedule::Cosine);
    until(&mut harness, "it is refused in a sentence", |app| {
        app.lab.troubles.iter().any(|e| e.message.contains("falls until the last step"))
    });
    until(&mut harness, "the form is back", |app| {
        app.lab.draft().unwrap().train.schedule == Schedule::Constant
    });
    let lab = &harness.state().lab;
    assert!(lab.run().unwrap().experiment.to_toml().contains("schedule = \"constant\""));
    // Once it fits, it is taken.
    let last = lab.run().unwrap().recording.last_step as usize + 100_000;
    harness.state_mut().lab.draft_mut().unwrap().train.steps = last;
    until(&mut harness, "the steps are taken", |app| in_force(app).steps == last);
    choose(&mut harness, Schedule::Cosine);
    until(&mut harness, "it is taken", |app| in_force(app).schedule == Schedule::Cosine);
    assert_eq!(harness.state().lab.troubles.len(), 1);
    assert_eq!(draft(&harness).schedule, Schedule::Cosine);
}

#[test]
fn the_palette_is_as_high_after_a_search_without_hits_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::P);
    let height = |harness: &mut Harness<'_, App>| {
        (0..4).for_each(|_| harness.step());
        let rect = harness.ctx.memory(|m| m.area_rect(egui::Id::unique("palette"))).unwrap();
        rect.height()
    };
    let before = height(&mut harness);
    assert!(before > 300.0, "{before}");
    harness.get_by_role_and_label(Role::TextInput, "Search for an action").type_text("zzzz");
    let during = height(&mut harness);
    assert!(harness.query_by_label("No action is called that.").is_some());
    for _ in 0..4 {
        harness.key_press(egui::Key::Backspace);
        harness.step();
    }
    let after = height(&mut harness);
    assert_eq!((during, after), (before, before));
    // All actions are there again and the first ten are in view.
    assert!(harness.query_all_by_label_contains("Open experiment").next().is_some());
}

#[test]
fn a_long_text_scrolls_and_what_is_said_of_it_stays_in_view() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    press(&mut harness, "Edit text");
    let field = harness.get_by_role_and_label(Role::MultilineTextInput, "Text of the sequence");
    let top = field.rect().top();
    field.set_text_value_accesskit(&"the end of it\n".repeat(200));
    (0..4).for_each(|_| harness.step());
    let note = harness.get_by_label_contains("This network reads 24 tokens").rect();
    assert!(note.bottom() < top + 180.0, "the note is at {note:?}, the text begins at {top}");
    // The same where staged interventions are written.
    press(&mut harness, "Experiment");
    let field = harness.get_by_role_and_label(
        Role::MultilineTextInput,
        "One line each, for example: at step 300 unfreeze layer0.wk",
    );
    let top = field.rect().top();
    field.set_text_value_accesskit(&("at step 5 freeze embed\n".repeat(200) + "nonsense"));
    (0..4).for_each(|_| harness.step());
    let wrong = harness.get_by_label_contains("\"nonsense\": expected").rect();
    assert!(wrong.top() < top + 180.0, "the sentence is at {wrong:?}, the text begins at {top}");
}

#[test]
fn of_many_troubles_the_newest_is_seen() {
    use mnemoscope::base::error::Error;
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(folder.path());
    finished(&mut harness);
    for number in 1..=9 {
        harness.state_mut().lab.trouble(Error::usage(format!("this is trouble {number} of nine")));
        harness.step();
        harness.step();
        let seen = harness.get_by_label(&format!("this is trouble {number} of nine")).rect();
        let panels = harness.get_by_label("Tokens").rect().top();
        assert!(seen.top() > 0.0 && seen.bottom() < panels, "trouble {number} is at {seen:?}");
        assert!(panels < 170.0, "{number} sentences push the panels down to {panels}");
    }
    assert!(harness.query_by_label("this is trouble 8 of nine").is_none());
    press(&mut harness, "and 8 more");
    // Said again, it is the newest.
    harness.state_mut().lab.trouble(Error::usage("this is trouble 2 of nine"));
    harness.step();
    harness.step();
    assert_eq!(harness.state().lab.troubles.len(), 9);
    let height =
        |n: u32| harness.get_by_label(&format!("this is trouble {n} of nine")).rect().top();
    assert!(height(2) < height(9));
}

#[test]
fn a_window_that_no_monitor_shows_comes_back_and_one_that_is_seen_stays() {
    use egui::{Rect, pos2, vec2};
    use mnemoscope::app::back_in_sight;
    let at = |x, y, w, h| Rect::from_min_size(pos2(x, y), vec2(w, h));
    let two = [at(0.0, 0.0, 1920.0, 1080.0), at(1920.0, 0.0, 1280.0, 1024.0)];
    for seen in [
        at(100.0, 50.0, 800.0, 600.0),
        at(-600.0, 20.0, 800.0, 600.0),
        at(2800.0, 900.0, 800.0, 600.0),
    ] {
        assert_eq!(back_in_sight(seen, &two), None, "{seen:?}");
    }
    let kept = at(2000.0, 100.0, 1000.0, 600.0);
    assert_eq!(back_in_sight(kept, &two), None);
    // The second monitor was taken away.
    assert_eq!(back_in_sight(kept, &two[..1]), Some(pos2(460.0, 240.0)));
    // No title to take hold of, though most of it would be seen; larger than the monitor.
    assert_eq!(back_in_sight(at(0.0, -500.0, 800.0, 600.0), &two), Some(pos2(560.0, 240.0)));
    assert_eq!(back_in_sight(at(0.0, 5000.0, 4000.0, 3000.0), &two), Some(pos2(0.0, 0.0)));
    assert_eq!(back_in_sight(kept, &[]), None);
}

/// Two of these that cover each other, if any do.
pub fn overlap(rects: &[(String, egui::Rect)]) -> Option<String> {
    let pairs = rects.iter().enumerate().flat_map(|(i, a)| rects[..i].iter().map(move |b| (a, b)));
    let covered = |(a, b): &(&(String, egui::Rect), &(String, egui::Rect))| {
        a.1.shrink(0.6).intersects(b.1.shrink(0.6))
    };
    pairs.into_iter().find(covered).map(|(a, b)| format!("{a:?} and {b:?}"))
}

/// What of a role is on the screen, and where.
pub fn named(harness: &Harness<'_, App>, role: Role) -> Vec<(String, egui::Rect)> {
    let named = |node: egui_kittest::Node<'_>| {
        let name = node.accesskit_node().label().or(node.accesskit_node().value());
        (name.unwrap_or_default(), node.rect())
    };
    harness.query_all_by_role(role).map(named).collect()
}

#[test]
fn in_a_small_window_nothing_overlaps_and_the_timeline_keeps_its_room() {
    for size in [[640.0, 400.0], [911.0, 512.0], [1280.0, 720.0], [1600.0, 1000.0]] {
        let folder = tempfile::tempdir().unwrap();
        let mut harness = window_sized(folder.path(), TINY, size);
        finished(&mut harness);
        harness.state_mut().lab.view(Some(20));
        until(&mut harness, "step 20 is answered", |app| app.lab.examination.is_settled(20));
        let window = egui::Rect::from_min_size(egui::Pos2::ZERO, size.into());
        let track = harness.get_by_role_and_label(Role::Slider, "Step in view").rect();
        assert!(window.contains_rect(track), "{size:?}: the track is at {track:?}");
        assert!(track.height() >= 24.0 && track.width() > 0.7 * size[0], "{size:?}: {track:?}");
        let pictures = named(&harness, Role::Image);
        assert!(pictures.len() >= 3, "{size:?}: {pictures:?}");
        assert_eq!(overlap(&pictures), None, "{size:?}");
        for (name, rect) in &pictures {
            assert!(window.contains_rect(rect.shrink(1.0)), "{size:?}: {name} at {rect:?}");
        }
        // The bars above the panels: what is said and what can be pressed.
        let panels = harness.get_by_label("Tokens").rect().top();
        let bars: Vec<(String, egui::Rect)> = [Role::Button, Role::ComboBox, Role::Label]
            .into_iter()
            .flat_map(|role| named(&harness, role))
            .filter(|(_, rect)| rect.bottom() <= panels && rect.width() > 0.0)
            .collect();
        assert!(bars.len() > 10, "{size:?}: {bars:?}");
        assert_eq!(overlap(&bars), None, "{size:?}");
        for (name, rect) in &bars {
            assert!(window.contains_rect(rect.shrink(1.0)), "{size:?}: {name} at {rect:?}");
        }
        let words = bars.iter().find(|(name, _)| name.starts_with("Looking back")).unwrap();
        assert!(words.1.width() > 150.0, "{size:?}: {words:?}");
        // Nor do sentences take its room.
        for i in 0..4 {
            let sentence =
                format!("something {i} went wrong, {}", "and is told at length ".repeat(8));
            harness.state_mut().lab.trouble(Error::input(sentence));
        }
        (0..3).for_each(|_| harness.step());
        let track = harness.get_by_role_and_label(Role::Slider, "Step in view").rect();
        assert!(window.contains_rect(track), "{size:?}: the track is at {track:?}");
        assert!(track.height() >= 24.0, "{size:?}: {track:?}");
        assert_eq!(overlap(&named(&harness, Role::Image)), None, "{size:?}");
    }
}

#[test]
fn a_change_by_hand_is_called_in_words_and_its_last_word_is_kept() {
    use mnemoscope::base::event::{Mark, MarkKind};
    let words = |kind, text: &str| Mark::of_text(3, kind, text).in_words();
    assert_eq!(words(MarkKind::Note, "train.rate = 0.25"), ["rate set to 0.25", "rate 0.25"]);
    assert_eq!(
        words(MarkKind::Note, "train.cosine_to = 0.30000000000000004"),
        ["cosine to set to 0.3", "cosine to 0.3"]
    );
    assert_eq!(
        words(MarkKind::Note, "train.schedule = \"cosine\""),
        ["schedule set to cosine", "schedule cosine"]
    );
    assert_eq!(
        words(MarkKind::Note, "train.steps = 1234567"),
        ["steps set to 1234567", "steps 1234567"]
    );
    assert_eq!(words(MarkKind::Note, "train.rate = 0.1234567")[0], "rate set to 0.1234567");
    assert_eq!(words(MarkKind::Intervention, "zero layer1.head0"), ["L1 H0 cut", "L1 H0 cut"]);
    assert_eq!(words(MarkKind::Intervention, "lift zero layer1.head0")[0], "L1 H0 cut undone");
    assert_eq!(words(MarkKind::Intervention, "of a newer version")[0], "of a newer version");
    assert_eq!(words(MarkKind::Emergence, "induction head formed")[1], "induction head");
}
