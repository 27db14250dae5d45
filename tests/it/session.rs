//! A run on a thread: commands, events, and the folder that it leaves behind.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mnemoscope::base::batch::Row;
use mnemoscope::base::error::{Kind, Result};
use mnemoscope::base::event::{Event, MarkKind, State};
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::base::settings::{Settings, Slot, Spec};
use mnemoscope::base::vocab::Vocab;
use mnemoscope::base::weights::Weights;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::examiner::{Examiner, Question, Which};
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::session::{Begin, Command, Session, Start};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::Reader;
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::task::{Source, Task};

use super::tiny::{is_state, tiny, until, with};

fn start(experiment: Experiment, folder: Option<&Path>, begin: Begin) -> Session {
    let folder = folder.map(Path::to_owned);
    Session::start(Start { experiment, begin, folder, paused: false, attended: true }).unwrap()
}

fn paused(experiment: Experiment, folder: Option<&Path>, begin: Begin) -> Session {
    let folder = folder.map(Path::to_owned);
    let session =
        Session::start(Start { experiment, begin, folder, paused: true, attended: true }).unwrap();
    until(&session, |e| is_state(e, State::Paused));
    session
}

fn steps(session: &Session, count: usize) {
    for _ in 0..count {
        session.commands.send(Command::Step).unwrap();
        until(session, |e| is_state(e, State::Paused));
    }
}

fn finish(session: Session) -> Vec<Event> {
    session.commands.send(Command::Run).unwrap();
    let events = until(&session, |e| is_state(e, State::Finished));
    drop(session);
    events
}

fn troubles(events: &[Event]) -> Vec<String> {
    let sentence =
        |e: &Event| if let Event::Trouble(e) = e { Some(e.message.clone()) } else { None };
    events.iter().filter_map(sentence).collect()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// With surgery on the way, twelve steps.
fn staged() -> Experiment {
    let text = with(&["train.steps=12"]).to_toml();
    let stages = "\n[[at]]\nstep = 2\nfreeze = \"layer0.wk\"\n\n[[at]]\nstep = 7\nunfreeze = \"layer0.wk\"\nzero = \"layer1.head0\"\n";
    Experiment::parse(&format!("{text}{stages}"), "staged").unwrap()
}

#[test]
fn a_run_goes_to_its_last_step_and_leaves_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let session = start(with(&["train.steps=7"]), Some(&folder), Begin::Fresh);
    let events = until(&session, |e| is_state(e, State::Finished));
    assert!(matches!(&events[0], Event::Started { step: 0, columns, .. } if columns[0] == "loss"));
    drop(session);
    let mut reader = Reader::open(&folder).unwrap();
    let steps: Vec<u64> = reader.recording.rows.iter().map(|row| row.step).collect();
    assert_eq!(steps, [0, 3, 6, 7]);
    assert_eq!(reader.recording.recorded, steps);
    assert_eq!(reader.weights(6).unwrap().step, 6);
    let again = Experiment::parse(&reader.experiment().unwrap(), "run").unwrap();
    assert_eq!(again.to_toml(), with(&["train.steps=7"]).to_toml());
}

#[test]
fn a_paused_run_takes_single_steps() {
    let session = paused(tiny(), None, Begin::Fresh);
    session.commands.send(Command::Step).unwrap();
    let events = until(&session, |e| is_state(e, State::Paused));
    assert!(matches!(events.last(), Some(Event::Progress { step: 1, .. })), "{events:?}");
}

#[test]
fn a_resumed_run_writes_the_same_bytes_as_one_that_never_stopped() {
    let home = tempfile::tempdir().unwrap();
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    drop(finish(paused(staged(), Some(&whole), Begin::Fresh)));
    // Stops at the very step at which surgery is due, and in between.
    let session = paused(staged(), Some(&parts), Begin::Fresh);
    steps(&session, 7);
    drop(session);
    let checkpoint = fs::read(parts.join("checkpoint.safetensors")).unwrap();
    let session = paused(staged(), Some(&parts), Begin::Resume);
    steps(&session, 4);
    drop(session);
    let same = |what: &str| {
        for name in ["metrics.csv", "events.jsonl"] {
            assert_eq!(read(&whole, name), read(&parts, name), "{what}: {name}");
        }
        let weights = |folder: &Path| Reader::open(folder).unwrap().weights(12).unwrap();
        assert_eq!(weights(&whole), weights(&parts), "{what}");
    };
    finish(paused(staged(), Some(&parts), Begin::Resume));
    same("stopped twice");
    // As if it had been killed after step 12 with the checkpoint of step 7.
    fs::write(parts.join("checkpoint.safetensors"), checkpoint).unwrap();
    finish(paused(staged(), Some(&parts), Begin::Resume));
    same("killed");
}

/// Writes another length of the metrics into a checkpoint, in the room of the old one.
fn expects(checkpoint: &Path, metrics_bytes: usize) {
    let mut bytes = fs::read(checkpoint).unwrap();
    let name = b"metrics_bytes\\\":";
    let from = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len();
    let digits = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    bytes[from..from + digits].copy_from_slice(format!("{metrics_bytes:>digits$}").as_bytes());
    fs::write(checkpoint, bytes).unwrap();
}

/// A folder as an earlier version left it, which did not score heads on the task: the scores are cut out of its files.
#[test]
fn a_run_goes_on_with_the_columns_that_it_was_begun_with() {
    let home = tempfile::tempdir().unwrap();
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    drop(finish(paused(staged(), Some(&whole), Begin::Fresh)));
    let session = paused(staged(), Some(&parts), Begin::Fresh);
    steps(&session, 7);
    drop(session);
    let is_new = |name: &str| name.contains("_task_l") || name.contains("_random_l");
    let without = |folder: &Path| -> String {
        let metrics = read(folder, "metrics.csv");
        let names: Vec<&str> = metrics.lines().next().unwrap().split(',').collect();
        assert!(names.iter().any(|name| is_new(name)));
        let old = |line: &str| {
            let cells = line.split(',').zip(&names).filter(|(_, name)| !is_new(name));
            cells.map(|(cell, _)| cell).collect::<Vec<_>>().join(",") + "\n"
        };
        metrics.lines().map(old).collect()
    };
    let old = without(&parts);
    fs::write(parts.join("metrics.csv"), &old).unwrap();
    let mut about: serde_json::Value = serde_json::from_str(&read(&parts, "run.json")).unwrap();
    about["columns"].as_array_mut().unwrap().retain(|name| !is_new(name.as_str().unwrap()));
    fs::write(parts.join("run.json"), about.to_string()).unwrap();
    expects(&parts.join("checkpoint.safetensors"), old.len());
    finish(paused(staged(), Some(&parts), Begin::Resume));
    assert_eq!(read(&parts, "metrics.csv"), without(&whole));
    assert_eq!(read(&whole, "events.jsonl"), read(&parts, "events.jsonl"), "the same marks");
}

#[test]
fn a_setting_changed_on_the_way_is_in_force_after_a_resume() {
    let home = tempfile::tempdir().unwrap();
    let set = |session: &Session| {
        let (name, value) = ("rate".to_owned(), toml::Value::Float(0.01));
        session.commands.send(Command::Set { name, value }).unwrap();
        until(session, |e| matches!(e, Event::InForce(_)));
    };
    let metrics = |name: &str, stop: bool| {
        let folder = home.path().join(name);
        let mut session = paused(with(&["train.steps=9"]), Some(&folder), Begin::Fresh);
        steps(&session, 4);
        set(&session);
        if stop {
            drop(session);
            session = paused(with(&["train.steps=9"]), Some(&folder), Begin::Resume);
        }
        finish(session);
        read(&folder, "metrics.csv")
    };
    assert_eq!(metrics("whole", false), metrics("parts", true));
    let session = paused(tiny(), None, Begin::Fresh);
    let (name, value) = ("batch".to_owned(), toml::Value::Integer(2));
    session.commands.send(Command::Set { name, value }).unwrap();
    let events = until(&session, |e| matches!(e, Event::Trouble(_)));
    assert!(troubles(&events)[0].contains("train.batch"));
}

/// Name and bytes of every file of a folder, but for its lock.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for part in ["", "weights"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("lock") {
                files.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn refused(experiment: Experiment, folder: &Path) -> String {
    let folder = Some(folder.to_owned());
    let begin = Begin::Resume;
    let start = Start { experiment, begin, folder, paused: true, attended: true };
    Session::start(start).err().expect("it was not refused").message
}

#[test]
fn a_run_is_not_resumed_with_another_experiment_and_nothing_of_it_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let session = paused(staged(), Some(home.path()), Begin::Fresh);
    steps(&session, 8);
    drop(session);
    // What came after the checkpoint would be cut off by a resume.
    let mut metrics = read(home.path(), "metrics.csv");
    let last = metrics.lines().last().unwrap().replacen("6,", "9,", 1);
    metrics.push_str(&format!("{last}\n"));
    fs::write(home.path().join("metrics.csv"), metrics).unwrap();
    let before = files(home.path());
    for (setting, word) in [
        ("train.rate=0.1", "train.rate = 0.05"),
        ("train.evaluate=4", "train.evaluate = 3"),
        ("task.triggers=2", "task.triggers = 5"),
        ("model.width=32", "model.width = 16"),
    ] {
        let mut other = staged();
        other.set_texts([setting]).unwrap();
        let error = refused(other, home.path());
        assert!(
            error.contains(word) && error.contains(setting.split('=').next().unwrap()),
            "{error}"
        );
    }
    let mut other = staged();
    other.at.remove(1);
    let error = refused(other, home.path());
    assert!(error.contains("unfreeze layer0.wk at step 7"), "{error}");
    assert!(files(home.path()) == before, "a refused resume changed the folder");
    let mut longer = staged();
    longer.set_texts(["train.steps=13", "train.threads=1", "train.record_mb=1"]).unwrap();
    finish(paused(longer, Some(home.path()), Begin::Resume));
}

fn cosine(steps: usize) -> Experiment {
    with(&["train.schedule=cosine", &format!("train.steps={steps}")])
}

fn set(session: &Session, name: &str, value: impl Into<toml::Value>) {
    let (name, value) = (name.to_owned(), value.into());
    session.commands.send(Command::Set { name, value }).unwrap();
    until(session, |e| matches!(e, Event::InForce(_)));
}

#[test]
fn a_run_whose_rate_depends_on_its_steps_is_not_resumed_with_others() {
    let home = tempfile::tempdir().unwrap();
    let (run, by_hand) = (home.path().join("run"), home.path().join("by-hand"));
    let session = paused(cosine(9), Some(&run), Begin::Fresh);
    steps(&session, 4);
    drop(session);
    let before = files(&run);
    let error = refused(cosine(12), &run);
    assert!(error.contains("train.steps = 9") && error.contains("train.steps = 12"), "{error}");
    assert!(files(&run) == before, "a refused resume changed the folder");
    finish(paused(cosine(9), Some(&run), Begin::Resume));
    let error = refused(cosine(12), &run);
    assert!(error.contains("cosine"), "a finished run: {error}");
    // A hand chose the cosine on the way: the same.
    let session = paused(with(&["train.steps=9"]), Some(&by_hand), Begin::Fresh);
    steps(&session, 4);
    set(&session, "schedule", "cosine");
    drop(session);
    let error = refused(with(&["train.steps=12"]), &by_hand);
    assert!(error.contains("cosine"), "{error}");
    finish(paused(with(&["train.steps=9"]), Some(&by_hand), Begin::Resume));
}

#[test]
fn a_longer_run_says_in_its_experiment_how_long_it_is() {
    let home = tempfile::tempdir().unwrap();
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    finish(paused(with(&["train.steps=9"]), Some(&whole), Begin::Fresh));
    finish(paused(with(&["train.steps=6"]), Some(&parts), Begin::Fresh));
    let error = refused(with(&["train.steps=3"]), &parts);
    assert!(error.contains("6 steps") && error.contains("train.steps = 3"), "{error}");
    finish(paused(with(&["train.steps=9"]), Some(&parts), Begin::Resume));
    // Nothing tells it from a run that was to be as long from its beginning.
    for name in ["experiment.toml", "metrics.csv", "events.jsonl"] {
        assert_eq!(read(&whole, name), read(&parts, name), "{name}");
    }
}

#[test]
fn steps_given_by_hand_are_in_force_after_a_resume_and_recorded_where_numbers_depend_on_them() {
    let home = tempfile::tempdir().unwrap();
    let metrics = |name: &str, stop: bool| {
        let folder = home.path().join(name);
        let mut session = paused(cosine(9), Some(&folder), Begin::Fresh);
        steps(&session, 4);
        set(&session, "steps", 12);
        if stop {
            drop(session);
            let again = Experiment::of_halted(&folder).unwrap();
            assert_eq!(again.train.steps, 12);
            session = paused(again, Some(&folder), Begin::Resume);
        }
        finish(session);
        assert!(read(&folder, "experiment.toml").contains("steps = 9\n"));
        assert!(read(&folder, "events.jsonl").contains("train.steps = 12"));
        read(&folder, "metrics.csv")
    };
    let whole = metrics("whole", false);
    assert!(whole.lines().last().unwrap().starts_with("12,"));
    assert_eq!(whole, metrics("parts", true));
    // Once the rate is constant, more steps change none; but those that are done were trained towards nine.
    let folder = home.path().join("constant");
    let session = paused(cosine(9), Some(&folder), Begin::Fresh);
    steps(&session, 4);
    set(&session, "schedule", "constant");
    drop(session);
    let mut longer = Experiment::of_halted(&folder).unwrap();
    longer.set_texts(["train.steps=11"]).unwrap();
    finish(paused(longer, Some(&folder), Begin::Resume));
    assert!(read(&folder, "experiment.toml").contains("steps = 9\n"));
    let events = read(&folder, "events.jsonl");
    assert!(
        events.contains(r#"{"step":4,"kind":"note","id":"train.steps","text":"train.steps = 11"}"#),
        "{events}"
    );
    assert!(read(&folder, "metrics.csv").lines().last().unwrap().starts_with("11,"));
    // Nor is a value that was said taken for the one that it began with.
    let mut said = Experiment::of_halted(&folder).unwrap();
    said.check_said(&folder).unwrap();
    said.set_texts(["train.schedule=cosine"]).unwrap();
    let message = said.check_said(&folder).unwrap_err().message;
    assert!(message.contains("train.schedule = \"constant\""), "{message}");
    // A setting that a hand changed is not silently kept against another word.
    let mut other = Experiment::of_halted(&folder).unwrap();
    other.set_texts(["train.schedule=cosine", "train.rate=0.3"]).unwrap();
    assert!(refused(other, &folder).contains("train.rate"));
}

#[test]
fn a_run_without_its_checkpoint_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    finish(paused(with(&["train.steps=6"]), Some(home.path()), Begin::Fresh));
    fs::remove_file(home.path().join("checkpoint.safetensors")).unwrap();
    let before = files(home.path());
    let error = refused(with(&["train.steps=6"]), home.path());
    assert!(error.contains("no checkpoint.safetensors"), "{error}");
    assert!(files(home.path()) == before);
}

#[test]
fn a_run_needs_its_text_no_more_once_it_has_begun() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text.txt");
    fs::write(&text, "abracadabra, simsalabim! ".repeat(20)).unwrap();
    let file = home.path().join("mine.toml");
    let mut experiment = with(&["train.steps=9", "task.triggers=2"]);
    experiment.set_texts(["task.text=text.txt"]).unwrap();
    fs::write(&file, experiment.to_toml()).unwrap();
    let experiment = Experiment::load(&file).unwrap();
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    finish(paused(experiment.clone(), Some(&whole), Begin::Fresh));
    let session = paused(experiment.clone(), Some(&parts), Begin::Fresh);
    steps(&session, 4);
    drop(session);
    for change in [Some("quite another text"), None] {
        match change {
            Some(other) => fs::write(&text, other).unwrap(),
            None => fs::remove_file(&text).unwrap(),
        }
        let again = Experiment::of_run(&parts).unwrap();
        assert_eq!(again.task.open().unwrap().vocab().len(), 12);
        assert!(Instrument::new(&again).is_ok());
        steps(&paused(experiment.clone(), Some(&parts), Begin::Resume), 1);
    }
    let again = Experiment::of_run(&parts).unwrap();
    finish(paused(again, Some(&parts), Begin::Resume));
    assert_eq!(read(&whole, "metrics.csv"), read(&parts, "metrics.csv"));
    // A branch keeps them as well, and so does a run that repeats this one.
    let again = Experiment::of_run(&whole).unwrap();
    let third = home.path().join("third");
    finish(paused(again, Some(&third), Begin::Fresh));
    assert_eq!(read(&whole, "metrics.csv"), read(&third, "metrics.csv"));
    assert_eq!(read(&whole, "task/bigrams.csv"), read(&third, "task/bigrams.csv"));
}

#[test]
fn a_run_whose_counts_are_gone_says_so_and_reads_no_text_from_outside() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text.txt");
    fs::write(&text, "abracadabra, simsalabim! ".repeat(20)).unwrap();
    let place = format!("task.text={}", text.display());
    let experiment = with(&["train.steps=6", "task.triggers=2", &place]);
    let run = home.path().join("run");
    let session = paused(experiment.clone(), Some(&run), Begin::Fresh);
    steps(&session, 3);
    drop(session);
    let counts = fs::read(run.join("task/bigrams.csv")).unwrap();
    let gone = |name: &str| {
        let before = files(&run);
        let read = Experiment::of_run(&run).err().unwrap();
        let resumed = refused(experiment.clone(), &run);
        for said in [read.message, resumed] {
            assert!(said.contains("the counts of its text are gone"), "{said}");
            assert!(said.contains(name) && said.contains("--out NEW"), "{said}");
        }
        assert!(files(&run) == before);
    };
    fs::remove_file(run.join("task/bigrams.csv")).unwrap();
    gone("task/bigrams.csv");
    fs::remove_dir_all(run.join("task")).unwrap();
    gone("task/unigrams.csv");
    // As the sentence says: where the text is what it was, a run of one step makes the same counts.
    let new = home.path().join("new");
    let again = Experiment::load(&run.join("experiment.toml")).unwrap();
    drop(paused(again, Some(&new), Begin::Fresh));
    assert_eq!(fs::read(new.join("task/bigrams.csv")).unwrap(), counts);
    fs::rename(new.join("task"), run.join("task")).unwrap();
    assert!(Experiment::of_run(&run).is_ok());
    finish(paused(experiment, Some(&run), Begin::Resume));
}

#[test]
fn every_document_that_a_task_keeps_has_a_name_that_is_read_back() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text.txt");
    fs::write(&text, "abracadabra").unwrap();
    for entry in mnemoscope::task::ALL {
        let mut task = (entry.make)();
        let value = toml::Value::from(text.display().to_string());
        // A task that reads a text calls the setting so.
        let _ = mnemoscope::base::settings::set(&mut *task, "task.", "text", &value);
        for name in task.open().unwrap().documents().unwrap().keys() {
            let known = mnemoscope::base::documents::NAMES.contains(&name.as_str());
            assert!(known, "{} keeps {name}", entry.name);
        }
    }
}

#[test]
fn a_run_whose_folder_is_moved_away_says_so_and_goes_on_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (place, away) = (home.path().join("run"), home.path().join("away"));
    let session = paused(with(&["train.steps=9"]), Some(&place), Begin::Fresh);
    fs::rename(&place, &away).unwrap();
    session.commands.send(Command::Set { name: "rate".to_owned(), value: 0.1.into() }).unwrap();
    let events = until(&session, |e| matches!(e, Event::Trouble(_)));
    let said = &troubles(&events)[0];
    assert!(said.contains("moved or deleted") && said.contains("move it back"), "{said}");
    assert!(!said.contains("make room"), "{said}");
    fs::rename(&away, &place).unwrap();
    finish(session);
    assert_eq!(Reader::open(&place).unwrap().recording.last_step, 9);
}

#[test]
fn a_run_that_ends_between_evaluations_and_is_extended_is_one_that_never_ended() {
    let home = tempfile::tempdir().unwrap();
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    finish(paused(learner(95), Some(&whole), Begin::Fresh));
    assert!(read(&whole, "events.jsonl").contains("emergence"), "no mark to move");
    finish(paused(learner(62), Some(&parts), Begin::Fresh));
    // The mark is set in between: each end would add an evaluation to those that decide it.
    for steps in 63..95 {
        finish(paused(learner(steps), Some(&parts), Begin::Resume));
        let ended = read(&parts, "metrics.csv");
        assert!(ended.lines().last().unwrap().starts_with(&format!("{steps},")));
    }
    // Resumed without a step to do, it is what it was.
    let ended = read(&parts, "metrics.csv");
    finish(paused(learner(94), Some(&parts), Begin::Resume));
    assert_eq!(read(&parts, "metrics.csv"), ended);
    assert_eq!(Reader::open(&parts).unwrap().recording.recorded.last(), Some(&94));
    finish(paused(learner(95), Some(&parts), Begin::Resume));
    for name in ["metrics.csv", "events.jsonl"] {
        assert_eq!(read(&whole, name), read(&parts, name));
    }
    let steps = |folder: &Path| Reader::open(folder).unwrap().recording.recorded;
    assert_eq!(steps(&whole), steps(&parts));
}

/// Learns global statistics within a hundred steps.
fn learner(steps: u64) -> Experiment {
    let mut experiment = Experiment::of("learner", "bigram", "birth").unwrap();
    let steps = format!("train.steps={steps}");
    experiment
        .set_texts([
            "task.triggers=2",
            "task.length=32",
            "model.width=64",
            "train.batch=8",
            "train.held_out=16",
            &steps,
        ])
        .unwrap();
    experiment
}

#[test]
fn an_evaluation_between_the_others_moves_no_mark() {
    let mut often = Trainer::new(&learner(95)).unwrap();
    let mut seldom = Trainer::new(&learner(95)).unwrap();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for step in 0..95 {
        first.extend(often.evaluate().unwrap().1);
        if step % 5 == 0 {
            second.extend(seldom.evaluate().unwrap().1);
            // Looked at twice, it counts once.
            second.extend(seldom.evaluate().unwrap().1);
        }
        often.step().unwrap();
        seldom.step().unwrap();
    }
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first, second);
}

#[test]
fn a_finished_run_goes_on_when_it_is_given_more_steps() {
    let session = paused(with(&["train.steps=3"]), None, Begin::Fresh);
    session.commands.send(Command::Run).unwrap();
    until(&session, |e| is_state(e, State::Finished));
    let (name, value) = ("steps".to_owned(), toml::Value::Integer(6));
    session.commands.send(Command::Set { name, value }).unwrap();
    until(&session, |e| is_state(e, State::Paused));
    session.commands.send(Command::Run).unwrap();
    let events = until(&session, |e| is_state(e, State::Finished));
    assert!(matches!(events.last(), Some(Event::Progress { step: 6, .. })), "{events:?}");
}

#[test]
fn a_listener_that_was_asleep_still_gets_what_it_asked_for() {
    let session = paused(tiny(), None, Begin::Fresh);
    // More sentences than the channel takes of what can be read from a folder.
    for _ in 0..10_001 {
        let (name, value) = ("nosuch".to_owned(), toml::Value::Integer(2));
        session.commands.send(Command::Set { name, value }).unwrap();
    }
    session.commands.send(Command::Show).unwrap();
    session.commands.send(Command::Step).unwrap();
    session.commands.send(Command::Stop).unwrap();
    // Nobody reads until all is said.
    let waiting = session.events.clone();
    session.join();
    let events: Vec<Event> = waiting.iter().collect();
    assert!(events.iter().any(|e| matches!(e, Event::Weights(_))), "no weights");
    let stepped = |e: &Event| matches!(e, Event::Progress { step: 1, state: State::Paused, .. });
    assert!(events.iter().any(stepped), "the pause was not said");
    assert!(is_state(events.last().unwrap(), State::Finished));
}

#[test]
fn a_branch_has_the_settings_of_its_own_and_what_its_parent_had_in_force() {
    let home = tempfile::tempdir().unwrap();
    let parent = home.path().join("parent");
    let session = paused(with(&["train.steps=9"]), Some(&parent), Begin::Fresh);
    steps(&session, 6);
    let (name, value) = ("rate".to_owned(), toml::Value::Float(0.01));
    session.commands.send(Command::Set { name, value }).unwrap();
    session.commands.send(Command::Intervene("freeze layer0.wk".parse().unwrap())).unwrap();
    session.commands.send(Command::Intervene("zero layer1.head0".parse().unwrap())).unwrap();
    drop(session);
    let weights = Arc::new(Reader::open(&parent).unwrap().weights(6).unwrap());
    let in_force = |events: &[Event]| {
        let list = events.iter().find_map(|e| {
            if let Event::InForce(list) = e {
                Some(list.iter().map(ToString::to_string).collect::<Vec<_>>())
            } else {
                None
            }
        });
        list.unwrap_or_default()
    };
    let branched = |experiment: Experiment, weights: &Arc<Weights>, name: &str| {
        let begin = Begin::Branch { weights: weights.clone(), from: Some(parent.clone()) };
        let folder = home.path().join(name);
        let session = start(experiment, Some(&folder), begin);
        let events = until(&session, |e| is_state(e, State::Finished));
        drop(session);
        let last = read(&folder, "metrics.csv").lines().last().unwrap().to_owned();
        (in_force(&events), last)
    };
    // The rate is that of the form, not the one that a hand gave the parent.
    let (slow, same) = (with(&["train.steps=9", "train.rate=0.01"]), with(&["train.steps=9"]));
    let (list, slow) = branched(slow, &weights, "slow");
    assert_eq!(list, ["freeze layer0.wk", "zero layer1.head0"]);
    let (list, fast) = branched(same, &weights, "fast");
    assert_eq!(list, ["freeze layer0.wk", "zero layer1.head0"]);
    assert_ne!(slow, fast);
    finish(paused(with(&["train.steps=9"]), Some(&parent), Begin::Resume));
    assert_eq!(read(&parent, "metrics.csv").lines().last().unwrap(), slow);
    // From a step that is not the checkpoint's, only what the experiment stages is in force.
    let earlier = Arc::new(Reader::open(&parent).unwrap().weights(3).unwrap());
    let text =
        format!("{}\n[[at]]\nstep = 2\nfreeze = \"embed\"\n", with(&["train.steps=9"]).to_toml());
    let experiment = Experiment::parse(&text, "staged").unwrap();
    let (list, _) = branched(experiment, &earlier, "earlier");
    assert_eq!(list, ["freeze embed"]);
}

#[test]
fn what_had_formed_in_the_parent_is_not_said_anew_in_a_branch() {
    let home = tempfile::tempdir().unwrap();
    let (parent, child) = (home.path().join("parent"), home.path().join("child"));
    finish(paused(with(&["train.steps=9"]), Some(&parent), Begin::Fresh));
    let line =
        |step, text| format!("{{\"step\":{step},\"kind\":\"emergence\",\"text\":\"{text}\"}}\n");
    let events = line(3, "previous-token head formed") + &line(9, "induction head formed");
    fs::write(parent.join("events.jsonl"), events).unwrap();
    let doing = |step: u64| {
        let weights = Arc::new(Reader::open(&parent).unwrap().weights(step).unwrap());
        let begin = Begin::Branch { weights, from: Some(parent.clone()) };
        let folder = child.join(step.to_string());
        let session = start(with(&["train.steps=9"]), Some(&folder), begin);
        let events = until(&session, |e| is_state(e, State::Finished));
        drop(session);
        let marks = Reader::open(&folder).unwrap().recording.marks;
        assert!(marks.iter().all(|m| m.kind != MarkKind::Emergence), "{marks:?}");
        let said = events
            .into_iter()
            .find_map(|e| if let Event::Doing(text) = e { Some(text) } else { None });
        said.unwrap()
    };
    assert_eq!(doing(9), "induction head formed at step 9");
    assert_ne!(doing(6), "induction head formed at step 9");
}

#[test]
fn an_unattended_run_that_the_disk_refuses_is_an_error_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "no folder").unwrap();
    let folder = Some(home.path().join("file/run"));
    let (experiment, begin) = (with(&["train.steps=3"]), Begin::Fresh);
    let start = Start { experiment, begin, folder, paused: false, attended: false };
    let error = Session::start(start).err().unwrap();
    assert_eq!(error.kind, Kind::System);
    assert!(error.message.contains("file/run"), "{error}");
}

#[test]
fn an_intervention_that_names_no_place_is_refused_by_an_examination_too() {
    let mut instrument = Instrument::new(&tiny()).unwrap();
    let prompt = Arc::new(instrument.source().sequence(3, 0));
    let weights = Trainer::new(&tiny()).unwrap().weights().unwrap();
    for (text, word) in [
        ("zero layer7.head0", "no such place"),
        ("zero layer0.mlp_out", "no such place"),
        ("freeze layer9.wk", "layer9.wk"),
    ] {
        let what = [text.parse().unwrap()];
        let error = instrument.examine(&weights, &prompt, &what, &[]).unwrap_err();
        assert!(error.message.contains(word), "{error}");
    }
    let what = ["zero layer1.head0".parse().unwrap()];
    assert!(instrument.examine(&weights, &prompt, &what, &[]).is_ok());
}

#[test]
fn a_loss_that_nothing_counts_in_is_refused() {
    let nothing = with(&["task.triggers=0", "train.loss=repeated"]);
    let error = Trainer::new(&nothing).err().unwrap();
    assert!(error.message.contains("task.triggers"), "{error}");
    assert!(Trainer::new(&with(&["task.triggers=0"])).is_ok());
}

#[test]
fn a_branch_at_the_checkpoint_goes_on_as_its_parent_would() {
    let home = tempfile::tempdir().unwrap();
    let (parent, child) = (home.path().join("parent"), home.path().join("child"));
    let session = paused(with(&["train.steps=9"]), Some(&parent), Begin::Fresh);
    steps(&session, 6);
    drop(session);
    let weights = Arc::new(Reader::open(&parent).unwrap().weights(6).unwrap());
    let begin = Begin::Branch { weights, from: Some(parent.clone()) };
    finish(paused(with(&["train.steps=9"]), Some(&child), begin));
    finish(paused(with(&["train.steps=9"]), Some(&parent), Begin::Resume));
    let last = |folder: &Path| read(folder, "metrics.csv").lines().last().unwrap().to_owned();
    assert!(last(&child).starts_with("9,"));
    assert_eq!(last(&child), last(&parent));
    let about = Reader::open(&child).unwrap().about;
    assert_eq!(about.parent.unwrap().step, 6);
}

#[test]
fn a_run_that_diverges_keeps_its_last_good_step_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let wild = with(&["train.rate=100", "train.decay=10", "train.momentum=0.9999"]);
    let session = start(wild, Some(home.path()), Begin::Fresh);
    let events = until(&session, |e| is_state(e, State::Failed));
    assert!(troubles(&events)[0].contains("diverged"));
    session.commands.send(Command::Show).unwrap();
    let events = until(&session, |e| matches!(e, Event::Weights(_)));
    let Some(Event::Weights(weights)) = events.last() else { panic!("no weights") };
    assert_eq!(weights.first_not_finite(), None);
    drop(session);
    let mut reader = Reader::open(home.path()).unwrap();
    let last = *reader.recording.recorded.last().unwrap();
    assert_eq!(reader.weights(last).unwrap().first_not_finite(), None);
    assert_eq!(reader.recording.marks.last().map(|m| (m.step, &*m.text)), Some((last, "diverged")));
}

#[test]
fn a_write_that_is_refused_pauses_the_run_and_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (whole, troubled) = (home.path().join("whole"), home.path().join("troubled"));
    finish(paused(with(&["train.steps=9"]), Some(&whole), Begin::Fresh));
    // Where the checkpoint is first written to, there is a folder.
    let obstacle = troubled.join("checkpoint.safetensors.tmp");
    fs::create_dir_all(&obstacle).unwrap();
    let session = start(with(&["train.steps=9"]), Some(&troubled), Begin::Fresh);
    let events = until(&session, |e| is_state(e, State::Paused));
    assert!(troubles(&events)[0].contains("checkpoint.safetensors"), "{events:?}");
    fs::remove_dir(&obstacle).unwrap();
    finish(session);
    assert_eq!(read(&whole, "metrics.csv"), read(&troubled, "metrics.csv"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_pauses_the_run_with_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", home.path().join("events.jsonl")).unwrap();
    let session = paused(staged(), Some(home.path()), Begin::Fresh);
    session.commands.send(Command::Run).unwrap();
    let events = until(&session, |e| is_state(e, State::Paused));
    assert!(troubles(&events)[0].contains("the disk is full"), "{events:?}");
    // Who asks to go on while the disk is still full is told where training is.
    session.commands.send(Command::Run).unwrap();
    until(&session, |e| is_state(e, State::Paused));
    // The window lives on: the weights can still be asked for.
    session.commands.send(Command::Show).unwrap();
    until(&session, |e| matches!(e, Event::Weights(_)));
}

#[test]
fn a_folder_that_cannot_be_made_moves_the_run_among_temporary_files() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "no folder").unwrap();
    let folder = Some(home.path().join("file/run"));
    let (experiment, begin) = (with(&["train.steps=3"]), Begin::Fresh);
    let session =
        Session::start(Start { experiment, begin, folder, paused: false, attended: true }).unwrap();
    let events = until(&session, |e| is_state(e, State::Finished));
    drop(session);
    let Event::Started { folder: Some(other), .. } = &events[0] else { panic!("{events:?}") };
    assert!(troubles(&events)[0].contains(&other.display().to_string()), "{events:?}");
    assert_eq!(Reader::open(other).unwrap().recording.recorded, [0, 3]);
    fs::remove_dir_all(other).unwrap();
}

#[test]
fn who_watches_a_resumed_run_is_told_to_read_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let session = paused(tiny(), Some(home.path()), Begin::Fresh);
    steps(&session, 4);
    drop(session);
    let session = start(with(&["train.steps=9"]), Some(home.path()), Begin::Resume);
    let mut recording = Recording::default();
    for event in until(&session, |e| is_state(e, State::Finished)) {
        if let Event::Missed = event {
            recording = Reader::open(home.path()).unwrap().recording;
        } else if let Event::Metrics(row) = event {
            recording.add_row(row);
        } else if let Event::Mark(mark) = event {
            recording.add_mark(mark);
        }
    }
    let steps: Vec<u64> = recording.rows.iter().map(|row| row.step).collect();
    assert_eq!(steps, [0, 3, 6, 9]);
}

/// The bigram task, until it blows.
#[derive(Clone)]
struct Fused {
    inner: mnemoscope::task::bigram::Bigram,
    blown: Arc<AtomicBool>,
}

struct FusedSource(Arc<dyn Source>, Arc<AtomicBool>);

impl Settings for Fused {
    fn about(&self) -> &'static str {
        self.inner.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.inner.each(visit);
    }
}

impl Task for Fused {
    fn open(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(FusedSource(self.inner.open()?, self.blown.clone())))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }
}

impl Source for FusedSource {
    fn vocab(&self) -> &Vocab {
        self.0.vocab()
    }

    fn roles(&self) -> &'static [&'static str] {
        self.0.roles()
    }

    fn length(&self) -> usize {
        self.0.length()
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        assert!(!self.1.load(Ordering::SeqCst), "the fuse has blown");
        self.0.sequence(seed, index)
    }

    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        self.0.label(tokens, like)
    }
}

#[test]
fn a_panic_while_training_leaves_a_folder_that_opens() {
    for at_surgery in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let blown = Arc::new(AtomicBool::new(false));
        let inner = mnemoscope::task::bigram::Bigram { length: 20, ..Default::default() };
        let experiment =
            Experiment { task: Box::new(Fused { inner, blown: blown.clone() }), ..tiny() };
        let session = paused(experiment, Some(home.path()), Begin::Fresh);
        steps(&session, 4);
        blown.store(true, Ordering::SeqCst);
        // Sequences are drawn on the pool, a step ahead; surgery tries itself out on the trainer's own thread.
        let command = match at_surgery {
            true => Command::Intervene("zero layer1.head0".parse().unwrap()),
            false => Command::Run,
        };
        session.commands.send(command).unwrap();
        let events = until(&session, |e| is_state(e, State::Failed));
        assert!(troubles(&events)[0].contains("the fuse has blown"), "{events:?}");
        drop(session);
        let reader = Reader::open(home.path()).unwrap();
        assert_eq!(reader.recording.recorded, [0, 3]);
    }
}

fn question(id: u64, which: Which, prompt: &Arc<Row>) -> Question {
    let calls = vec![
        MeasurementCall::new("attention"),
        MeasurementCall::new("norms"),
        MeasurementCall::new("nosuch"),
    ];
    let (kept, interventions) = (Vec::new(), Vec::new());
    Question { id, which, kept, prompt: prompt.clone(), interventions, calls }
}

#[test]
fn the_examiner_answers_of_live_and_recorded_weights_alike() {
    let home = tempfile::tempdir().unwrap();
    finish(paused(with(&["train.steps=6"]), Some(home.path()), Begin::Fresh));
    let weights = Arc::new(Reader::open(home.path()).unwrap().weights(6).unwrap());
    let prompt = Arc::new(tiny().task.open().unwrap().sequence(3, 0));
    let examiner = Examiner::start(&tiny(), || {}).unwrap();
    let answer = |which: Which| {
        examiner.ask(question(1, which, &prompt));
        examiner.replies.recv().unwrap().readings.unwrap()
    };
    let live = answer(Which::Given(weights));
    let recorded = answer(Which::Recorded { folder: home.path().to_owned(), step: 6 });
    assert_eq!(live.step, 6);
    let known = ["attention", "norms"].map(MeasurementCall::new);
    for call in &known {
        assert_eq!(
            live.get(call).unwrap().as_ref().unwrap(),
            recorded.get(call).unwrap().as_ref().unwrap()
        );
    }
    let unknown = live.get(&MeasurementCall::new("nosuch")).unwrap().as_ref().unwrap_err();
    assert!(unknown.message.contains("no measurement called \"nosuch\""), "{unknown}");
}

#[test]
fn a_question_that_cannot_be_answered_gets_a_sentence_and_the_next_an_answer() {
    let home = tempfile::tempdir().unwrap();
    let blown = Arc::new(AtomicBool::new(false));
    let inner = mnemoscope::task::bigram::Bigram { length: 20, ..Default::default() };
    let experiment = Experiment { task: Box::new(Fused { inner, blown: blown.clone() }), ..tiny() };
    let prompt = Arc::new(tiny().task.open().unwrap().sequence(3, 0));
    let weights = Arc::new(Trainer::new(&tiny()).unwrap().weights().unwrap());
    let examiner = Examiner::start(&experiment, || {}).unwrap();
    let ask = |which: Which| {
        examiner.ask(question(1, which, &prompt));
        examiner.replies.recv().unwrap().readings
    };
    let gone = Which::Recorded { folder: home.path().join("gone"), step: 0 };
    assert_eq!(ask(gone).unwrap_err().kind, Kind::Input);
    // The held-out sequences are drawn when first asked for.
    blown.store(true, Ordering::SeqCst);
    let heads = Question {
        calls: vec![MeasurementCall::new("outcome")],
        ..question(2, Which::Given(weights.clone()), &prompt)
    };
    examiner.ask(heads.clone());
    let error = examiner.replies.recv().unwrap().readings.unwrap_err();
    assert!(error.message.contains("the fuse has blown"), "{error}");
    blown.store(false, Ordering::SeqCst);
    examiner.ask(heads);
    assert!(examiner.replies.recv().unwrap().readings.is_ok());
}

#[test]
fn weights_that_do_not_fit_or_are_not_finite_get_a_sentence() {
    let mut instrument = Instrument::new(&tiny()).unwrap();
    let prompt = Arc::new(instrument.source().sequence(3, 0));
    let good = Trainer::new(&tiny()).unwrap().weights().unwrap();
    let mut said = |change: &dyn Fn(&mut Weights)| {
        let mut weights = good.clone();
        change(&mut weights);
        instrument.examine(&weights, &prompt, &[], &[]).unwrap_err().message
    };
    let nan = said(&|w| {
        let mut data = w.tensors[0].data.to_vec();
        data[1] = f32::NAN;
        w.tensors[0].data = data.into();
    });
    assert!(nan.contains(&*good.tensors[0].name) && nan.contains("not finite"), "{nan}");
    let shape = said(&|w| w.tensors[0].shape.reverse());
    assert!(shape.contains("shape"), "{shape}");
    let missing = said(&|w| drop(w.tensors.remove(0)));
    assert!(missing.contains("lack"), "{missing}");
    assert!(instrument.examine(&good, &prompt, &[], &[]).is_ok());
}

#[test]
fn the_latest_question_wins() {
    let prompt = Arc::new(tiny().task.open().unwrap().sequence(3, 0));
    let weights = Arc::new(Trainer::new(&tiny()).unwrap().weights().unwrap());
    let examiner = Examiner::start(&tiny(), || {}).unwrap();
    for id in 0..200 {
        examiner.ask(question(id, Which::Given(weights.clone()), &prompt));
    }
    let mut answered = Vec::new();
    while answered.last() != Some(&199) {
        answered.push(examiner.replies.recv().unwrap().id);
    }
    assert!(answered.len() < 200, "no question was replaced");
    assert!(answered.is_sorted());
}
