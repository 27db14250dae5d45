//! A series of checkpoints in the window: scored by itself, followed while its trainer writes, and found again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egui_kittest::Harness;

use mnemoscope::app::App;
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::run_folder::recent::{self, Kind};
use mnemoscope::run_folder::series::follow::Follower;
use tempfile::TempDir;

use crate::app::{press, until, until_shown, window_beside};
use crate::folder::everything;
use crate::pretrained_window::Dropped;
use crate::series::{copy, revisions, trainer};

fn home() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let (library, series) = (home.path().join("runs"), home.path().join("series"));
    copy(&trainer(), &series);
    (home, library, series)
}

fn recorded(app: &App) -> Vec<u64> {
    app.lab.run().map_or(Vec::new(), |run| run.recording.recorded.clone())
}

fn scored(app: &App) -> Option<[usize; 2]> {
    app.lab.run()?.recording.scored
}

fn until_scored(harness: &mut Harness<'_, App>, steps: usize) {
    until(harness, "all steps are scored", |app| {
        scored(app) == Some([steps, steps]) && !app.lab.scoring.is_busy()
    });
}

#[test]
fn a_series_is_scored_by_itself_and_nothing_is_written_into_its_folder() {
    let (_home, library, series) = home();
    let before = everything(&series);
    let mut harness = window_beside(Ok(library.clone()), &series);
    until_scored(&mut harness, 3);
    let run = harness.state().lab.run().unwrap();
    let best = run.recording.series("prefix_matching_best");
    assert_eq!(best.iter().map(|point| point[0]).collect::<Vec<_>>(), [256.0, 512.0, 1500.0]);
    assert!(!run.recording.series("loss").is_empty(), "the log of the trainer is there too");
    let marks: Vec<(u64, &str)> =
        run.recording.marks.iter().map(|mark| (mark.step, &*mark.id)).collect();
    assert_eq!(marks, [(512, "induction_head"), (1500, "previous_token_head")]);
    assert!(everything(&series) == before);
    assert!(harness.state().lab.troubles.is_empty(), "{:?}", harness.state().lab.troubles);
    until(&mut harness, "it stands among what was opened", |_| {
        recent::list(&library).unwrap().iter().any(|recent| recent.path == series)
    });
    drop(harness);
    // The next window has the rows at once.
    let mut harness = window_beside(Ok(library), &series);
    until_scored(&mut harness, 3);
}

#[test]
fn a_question_of_a_hand_is_answered_while_a_series_is_scored() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = window_beside(Ok(home.path().join("runs")), &revisions());
    until(&mut harness, "it is open", |app| app.lab.run().is_some());
    for step in [0, 448, 1500, 16] {
        harness.state_mut().lab.view(Some(step));
        until(&mut harness, "the step is answered", |app| {
            app.lab.readings.as_ref().is_some_and(|readings| readings.step == step)
        });
    }
    until_scored(&mut harness, 17);
    harness.state_mut().lab.close();
    assert!(!harness.state().lab.is_busy());
}

#[test]
fn a_step_that_is_written_anew_is_read_anew_and_a_folder_that_is_gone_is_a_sentence() {
    let (_home, library, series) = home();
    let mut harness = window_beside(Ok(library), &series);
    until_scored(&mut harness, 3);
    harness.state_mut().lab.view(Some(512));
    let answer = |app: &App| {
        let readings = app.lab.readings.as_ref().filter(|readings| readings.step == 512)?;
        let reading = readings.get(&MeasurementCall::new("predictions"))?.as_ref().ok()?;
        Some(reading.array("probability")?.data.to_vec())
    };
    until(&mut harness, "the step is answered", |app| answer(app).is_some());
    let before = answer(harness.state()).unwrap();
    let weights = revisions().join("step1/model.safetensors");
    fs::copy(weights, series.join("checkpoint-512/model.safetensors")).unwrap();
    harness.state_mut().lab.look_now();
    until(&mut harness, "the other weights are answered", |app| {
        answer(app).is_some_and(|now| now != before)
    });
    until_scored(&mut harness, 3);
    fs::remove_dir_all(&series).unwrap();
    harness.state_mut().lab.look_now();
    until(&mut harness, "it is said", |app| !app.lab.troubles.is_empty());
    let said = &harness.state().lab.troubles[0].message;
    assert!(said.contains(&*series.display().to_string()), "{said}");
}

#[test]
fn a_set_of_prompts_stays_open_while_new_checkpoints_come() {
    let (home, library, series) = home();
    let set = home.path().join("set.jsonl");
    fs::write(&set, "{\"prompt\": [5, 9, 17]}\n{\"prompt\": [4, 3, 2]}\n").unwrap();
    let mut harness = window_beside(Ok(library), &series);
    until(&mut harness, "it is open", |app| app.lab.run().is_some());
    harness.state_mut().lab.view(None);
    harness.input_mut().dropped_files.push(Arc::new(Dropped(set.clone())));
    until(&mut harness, "the first prompt is in view", |app| {
        app.lab.prompt_of_set() == Some((1, 2))
    });
    harness.state_mut().lab.draw_next();
    copy(&revisions().join("step1000"), &series.join("checkpoint-2000"));
    harness.state_mut().lab.look_now();
    until(&mut harness, "the new one is seen", |app| recorded(app) == [256, 512, 1500, 2000]);
    assert_eq!(harness.state().lab.prompt_of_set(), Some((2, 2)));
    assert_eq!(harness.state().lab.prompts_file(), Some(set.clone()));
    // A set that can no longer be read is a sentence; the network is asked what it is asked without one.
    fs::remove_file(&set).unwrap();
    copy(&revisions().join("step768"), &series.join("checkpoint-2500"));
    harness.state_mut().lab.look_now();
    until(&mut harness, "the set is missed", |app| !app.lab.troubles.is_empty());
    let lab = &harness.state().lab;
    assert!(lab.troubles[0].message.contains("set.jsonl"), "{:?}", lab.troubles);
    assert_eq!((lab.prompt_of_set(), recorded(harness.state()).len()), (None, 5));
}

#[test]
fn new_checkpoints_are_seen_and_one_that_is_removed_leaves_with_a_sentence() {
    let (_home, library, series) = home();
    let mut harness = window_beside(Ok(library), &series);
    until_scored(&mut harness, 3);
    harness.state_mut().lab.view(Some(256));
    until(&mut harness, "the first step is answered", |app| app.lab.readings.is_some());
    fs::remove_dir_all(series.join("checkpoint-256")).unwrap();
    harness.state_mut().lab.look_now();
    until(&mut harness, "it has left", |app| recorded(app) == [512, 1500]);
    let lab = &harness.state().lab;
    assert_eq!(lab.step, Some(512), "the nearest step comes into view");
    let said = &lab.troubles.last().unwrap().message;
    assert!(said.contains("step 256 is gone") && said.contains("2 steps are left"), "{said}");
    until_scored(&mut harness, 2);
    harness.state_mut().lab.view(None);
    copy(&revisions().join("step1000"), &series.join("checkpoint-2000"));
    harness.state_mut().lab.look_now();
    until(&mut harness, "the new one is seen", |app| recorded(app) == [512, 1500, 2000]);
    until_scored(&mut harness, 3);
    until(&mut harness, "the newest is in view", |app| {
        app.lab.readings.as_ref().is_some_and(|readings| readings.step == 2000)
    });
    // Those that it was opened with go, all of them: what comes is scored and answered all the same.
    copy(&revisions().join("step768"), &series.join("checkpoint-2500"));
    for step in [512, 1500, 2000] {
        fs::remove_dir_all(series.join(format!("checkpoint-{step}"))).unwrap();
    }
    harness.state_mut().lab.look_now();
    until(&mut harness, "only the newest is left", |app| recorded(app) == [2500]);
    copy(&revisions().join("step512"), &series.join("checkpoint-3000"));
    harness.state_mut().lab.look_now();
    until_scored(&mut harness, 2);
    until(&mut harness, "the newest is answered", |app| {
        app.lab.readings.as_ref().is_some_and(|readings| readings.step == 3000)
    });
    let words = harness.state().lab.state_in_words();
    assert!(words.contains("Followed") && words.contains("growing"), "{words}");
    assert!(harness.state().lab.why_not_steered().contains("read here and not trained"));
}

#[test]
fn a_step_that_is_being_written_is_waited_for_before_it_is_a_problem() {
    let (_home, _, series) = home();
    let at = Duration::from_secs;
    let (follower, recording, problems) = Follower::open(&series, at(0)).unwrap();
    let mut follower = follower.unwrap();
    assert!(recording.recorded == [256, 512, 1500] && problems.is_empty());
    assert!(follower.poll(at(1)).is_empty());
    let half = series.join("checkpoint-2000");
    fs::create_dir(&half).unwrap();
    fs::copy(revisions().join("step1000/config.json"), half.join("config.json")).unwrap();
    for seconds in [2, 30, 61] {
        let news = follower.poll(at(seconds));
        assert!(news.is_empty() && news.problem.is_none(), "{:?}", news.problem);
    }
    let said = follower.poll(at(63)).problem.unwrap().message;
    assert!(said.contains("step 2000 is left out"), "{said}");
    assert!(follower.poll(at(70)).problem.is_none(), "once");
    copy(&revisions().join("step1000"), &half);
    let recording = follower.poll(at(71)).recording.unwrap();
    assert_eq!(recording.recorded, [256, 512, 1500, 2000]);
    // A network alone is not followed.
    assert!(Follower::open(&revisions().join("step0"), at(0)).unwrap().0.is_none());
}

#[test]
fn the_heads_of_a_network_are_scored_when_their_panel_is_seen() {
    let home = tempfile::tempdir().unwrap();
    let network = revisions().join("step1000");
    let mut harness = window_beside(Ok(home.path().join("runs")), &network);
    until(&mut harness, "the network answers", |app| app.lab.readings.is_some());
    assert!(!harness.state().lab.analyses.has_ended("head_scores"), "nobody asked yet");
    press(&mut harness, "Head scores");
    until(&mut harness, "all heads are scored", |app| app.lab.analyses.has_ended("head_scores"));
    assert_eq!(scored(harness.state()), None, "one step has no curves");
}

#[test]
fn what_was_opened_lately_is_listed_and_what_is_gone_can_be_dropped() {
    let (home, library, series) = home();
    let (gone, prompts) = (home.path().join("gone"), home.path().join("prompts.jsonl"));
    copy(&revisions().join("step0"), &gone);
    fs::write(&prompts, "{}\n").unwrap();
    let folders = [&series, &gone].map(|path| (Kind::of_folder(path).unwrap(), path));
    assert_eq!(folders.map(|(kind, _)| kind), [Kind::Series, Kind::Model]);
    assert_eq!(Kind::of_folder(home.path()), None);
    for (kind, path) in folders.into_iter().chain([(Kind::Prompts, &prompts)]) {
        recent::remember(&library, kind, path).unwrap();
    }
    recent::remember(&library, Kind::Series, &series.join("")).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    let names = |library: &Path| -> Vec<(String, bool)> {
        let all = recent::list(library).unwrap().into_iter();
        all.map(|recent| (recent.name(), recent.is_there)).collect()
    };
    let all = [("series", true), ("prompts.jsonl", true), ("gone", false)];
    assert_eq!(names(&library), all.map(|(name, there)| (name.to_owned(), there)));
    let mut harness = window_beside(Ok(library.clone()), &revisions().join("step1"));
    until(&mut harness, "the network answers", |app| app.lab.readings.is_some());
    press(&mut harness, "Runs");
    until_shown(&mut harness, "Take gone off the list");
    press(&mut harness, "Take gone off the list");
    until(&mut harness, "it is off the list", |_| {
        names(&library).iter().all(|(name, _)| name != "gone")
    });
    press(&mut harness, "Open series");
    until(&mut harness, "it is opened", |app| recorded(app) == [256, 512, 1500]);
    until(&mut harness, "it is on the list", |_| names(&library)[0].0 == "series");
    let list = library.with_file_name("recent.jsonl");
    // A list that is damaged is begun anew; what can be read of it stays.
    fs::write(&list, "nothing\n{\"kind\":\"tree\",\"path\":\"x\"}\n").unwrap();
    assert!(recent::list(&library).unwrap().is_empty());
    let error = recent::forget(&library, &gone).unwrap_err();
    assert!(error.message.contains("is not among what was opened lately"), "{error}");
    recent::remember(&library, Kind::Series, &series).unwrap();
    assert_eq!(names(&library).len(), 1);
}

#[test]
fn who_open_at_the_same_time_are_all_on_the_list() {
    let (home, library, _) = home();
    let names: Vec<String> = (0..12).map(|k| format!("model{k}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let (library, path) = (&library, home.path().join(name));
            scope.spawn(move || recent::remember(library, Kind::Model, &path).unwrap());
        }
    });
    let mut listed: Vec<String> =
        recent::list(&library).unwrap().iter().map(|recent| recent.name()).collect();
    listed.sort();
    let mut all = names;
    all.sort();
    assert_eq!(listed, all);
}
