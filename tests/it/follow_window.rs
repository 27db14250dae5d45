//! A run of another program in the window: it grows by itself, every panel answers, and nothing of it can be steered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use mnemoscope::app::lab::Lab;
use mnemoscope::app::lab::run::Opened;
use mnemoscope::app::{App, Panels};
use mnemoscope::base::event::State;
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::session::{Begin, Command, Session, Start};

use crate::app::{
    TINY, TREES, endless, fit_lens, press, rings, until, until_shown, window_beside, window_of,
    window_on,
};
use crate::folder::everything;

/// A session that the window knows nothing of, as another program has it.
fn elsewhere(folder: &Path, text: &str, begin: Begin) -> Session {
    let experiment = Experiment::parse(text, "of the test").unwrap();
    let folder = Some(folder.to_owned());
    let session =
        Session::start(Start { experiment, begin, folder, paused: false, attended: false });
    let session = session.unwrap();
    session.commands.send(Command::Speed(Some(40.0))).unwrap();
    session
}

fn until_written(folder: &Path, name: &str) {
    for _ in 0..1200 {
        if folder.join(name).exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{name} was not written in a minute");
}

fn rows(app: &App) -> usize {
    app.lab.run().map_or(0, |run| run.recording.rows.len())
}

fn answered(app: &App) -> u64 {
    app.lab.readings.as_ref().map_or(0, |readings| readings.step)
}

fn until_words(harness: &mut Harness<'_, App>, words: &str) {
    until(harness, words, |app| app.lab.state_in_words().contains(words));
}

#[test]
fn a_run_of_another_program_grows_in_every_panel_and_cannot_be_steered() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let session = elsewhere(&folder, &endless(), Begin::Fresh);
    until_written(&folder, "beat.json");
    let mut harness = window_on(&folder);
    until(&mut harness, "the run is open and answered", |app| app.lab.readings.is_some());
    let (first, step) = (rows(harness.state()), answered(harness.state()));
    until(&mut harness, "rows and answers come by themselves", |app| {
        rows(app) > first + 5 && answered(app) > step
    });
    let words = harness.state().lab.state_in_words();
    assert!(
        words.starts_with("Followed · step ") && words.contains("running elsewhere"),
        "{words}"
    );
    let run = harness.get_by_role_and_label(Role::Button, "Run");
    assert!(run.accesskit_node().is_disabled());
    assert!(harness.state().lab.why_not_steered().contains("Another program"));
    // The past stands still while the run goes on; from it one comes back to the newest.
    harness.state_mut().lab.view(Some(0));
    until(&mut harness, "the past is answered", |app| answered(app) == 0);
    let grown = rows(harness.state());
    until(&mut harness, "it grows all the same", |app| rows(app) > grown);
    assert_eq!(answered(harness.state()), 0);
    harness.state_mut().lab.view(None);
    until(&mut harness, "the newest is answered", |app| answered(app) > step);
    session.commands.send(Command::Pause).unwrap();
    until_words(&mut harness, "paused elsewhere");
    drop(session);
    until_words(&mut harness, "stopped");
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
}

#[test]
fn a_run_that_goes_on_with_more_steps_is_seen_when_a_hand_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    drop_finished(elsewhere(&folder, TINY, Begin::Fresh));
    let mut harness = window_on(&folder);
    until(&mut harness, "the run is open and answered", |app| answered(app) == 40);
    assert!(!harness.state().lab.state_in_words().contains("Followed"), "a recorded run as any");
    until(&mut harness, "nobody looks any more", |app| app.lab.next_look().is_none());
    drop_finished(elsewhere(&folder, &TINY.replace("steps = 40", "steps = 60"), Begin::Resume));
    harness.state_mut().lab.look_now();
    until(&mut harness, "the new steps are answered", |app| answered(app) == 60);
    assert_eq!(harness.state().lab.run().unwrap().began.train.steps, 60);
}

/// Waits until all steps are done.
fn drop_finished(session: Session) {
    crate::tiny::until(&session, |event| crate::tiny::is_state(event, State::Finished));
    drop(session);
}

#[test]
fn a_run_of_this_very_window_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = window_of(home.path(), TINY);
    crate::app::finished(&mut harness);
    let folder: PathBuf = harness.state().lab.folders().remove(0);
    harness.state_mut().lab.opened(Opened::read(&folder).unwrap());
    let lab = &harness.state().lab;
    assert!(lab.runs.iter().all(|run| run.following.is_none()));
    assert_eq!(lab.runs.len(), 2);
}

#[test]
fn what_is_kept_of_a_run_of_another_program_lies_beside_the_own_runs_and_is_found_there() {
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join("runs");
    let folder = library.join("trees-001");
    let session = elsewhere(&folder, &TREES.replace("steps = 4", "steps = 0"), Begin::Fresh);
    until_written(&folder, "beat.json");
    session.commands.send(Command::Pause).unwrap();
    crate::tiny::until(&session, |event| crate::tiny::is_state(event, State::Paused));
    let mut harness = window_beside(Ok(library.clone()), &folder);
    until(&mut harness, "it is answered", |app| rings(app).contains("no fitted one is kept"));
    let before = everything(&folder);
    fit_lens(&mut harness);
    press(&mut harness, "Keep");
    until(&mut harness, "the rings are read by it", |app| rings(app).contains("the tuned"));
    press(&mut harness, "Runs");
    until_shown(&mut harness, "Name trees-001");
    press(&mut harness, "Name trees-001");
    let field = harness.get_by_role_and_label(Role::TextInput, "Name of the run");
    field.set_text_value_accesskit("the good one");
    harness.step();
    press(&mut harness, "Keep this name");
    until_shown(&mut harness, "Name the good one");
    assert!(everything(&folder) == before, "nothing was written into its folder");
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
    drop(harness);
    // Another window finds it, also when the run has ended.
    drop(session);
    let mut harness = window_beside(Ok(library), &folder);
    until(&mut harness, "the rings are read by it again", |app| rings(app).contains("the tuned"));
}

/// Runs all of whose weights are damaged: one whose writer goes on, as far as it says, and one that has ended.
fn damaged(home: &Path) -> [PathBuf; 2] {
    ["running", "finished"].map(|condition| {
        let folder = home.join(condition);
        drop_finished(elsewhere(&folder, TINY, Begin::Fresh));
        let (log, beat) = (folder.join("weights/tail.log"), folder.join("beat.json"));
        let mut bytes = fs::read(&log).unwrap();
        // Every record has a number changed.
        let size = bytes.len() / 21;
        (1..=21).for_each(|record| bytes[record * size - 2] ^= 1);
        fs::write(&log, bytes).unwrap();
        let text = fs::read_to_string(&beat).unwrap();
        fs::write(&beat, text.replace("finished", condition)).unwrap();
        folder
    })
}

#[test]
fn damaged_weights_are_said_by_the_first_answer_within_two_seconds_as_they_are_told() {
    let home = tempfile::tempdir().unwrap();
    for folder in damaged(home.path()) {
        let (wake, woken) = crossbeam_channel::unbounded();
        let wake = Arc::new(move || wake.send(()).unwrap_or_default());
        let mut lab = Lab::new(Panels::default(), None, wake);
        lab.opened(Opened::read(&folder).unwrap());
        let (began, calls) = (Instant::now(), [MeasurementCall::new("attention")]);
        lab.tick(&calls, &[], &[], began);
        if lab.failure.is_none() {
            woken.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        lab.tick(&calls, &[], &[], began + Duration::from_secs(2));
        let failure = lab.failure.unwrap();
        assert!(failure.contains("damaged"), "{failure}");
    }
}

#[test]
fn damaged_weights_are_said_in_place_of_the_pictures() {
    let home = tempfile::tempdir().unwrap();
    for folder in damaged(home.path()) {
        let mut harness = window_on(&folder);
        until(&mut harness, "it is said that they are damaged", |app| {
            app.lab.failure.as_ref().is_some_and(|failure| failure.contains("damaged"))
        });
        assert!(harness.query_by_label_contains("Waiting for the network").is_none());
    }
}

#[test]
fn a_sweep_that_goes_on_is_read_by_itself() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tiny.toml"), TINY).unwrap();
    let mut sweep = std::process::Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
    sweep.current_dir(home.path()).env("XDG_DATA_HOME", home.path().join("data"));
    sweep.args([
        "sweep",
        "tiny.toml",
        "--seeds",
        "0..1",
        "--steps",
        "8",
        "--out",
        "sweep",
        "--quiet",
    ]);
    assert!(sweep.output().unwrap().status.success());
    let (folder, away) = (home.path().join("sweep"), home.path().join("away"));
    // Its second run is not there yet.
    fs::rename(folder.join("seed1"), &away).unwrap();
    let mut harness = window_on(&folder);
    until(&mut harness, "the sweep is open", |app| app.lab.sweep.is_some());
    assert!(!harness.state().lab.sweep.as_ref().unwrap().has_ended());
    fs::rename(&away, folder.join("seed1")).unwrap();
    until(&mut harness, "its second run is seen", |app| {
        app.lab.sweep.as_ref().unwrap().has_ended()
    });
}
