//! A run that another program writes, followed: what is shown was written, whatever becomes of the files under the reader.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mnemoscope::base::event::{Event, Mark, MarkKind, MetricsRow, State};
use mnemoscope::run_folder::beat::{self, Condition, Pulse};
use mnemoscope::run_folder::checkpoint::Checkpoint;
use mnemoscope::run_folder::follow::{Follower, News, Rhythm};
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::run_folder::{Item, Reader, RunHeader, WeightsReader, Writer, about};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::folder::weights;

fn birth(budget_bytes: u64) -> RunHeader {
    RunHeader {
        name: "small".to_owned(),
        experiment: "name = \"small\"\n".to_owned(),
        documents: Default::default(),
        kind: "fresh".to_owned(),
        parent: None,
        columns: vec!["loss".to_owned(), "accuracy".to_owned()],
        budget_bytes,
    }
}

/// Each time that a run goes on, its rows are others: an old one under a new number would be seen.
fn row(step: u64, session: u64) -> MetricsRow {
    MetricsRow { step, values: vec![1.0 / (step as f64 + 3.0), session as f64 + 0.125] }
}

fn mark(step: u64) -> Mark {
    Mark::of_text(step, MarkKind::Note, format!("{step} seen"))
}

fn pulse(step: u64, condition: Condition) -> Pulse {
    Pulse { step, condition, steps_per_second: 10.0, utc: 0 }
}

fn checkpoint(step: u64) -> Checkpoint {
    Checkpoint {
        weights: weights(step),
        optimizer: Vec::new(),
        in_force: Vec::new(),
        grad_norms: Vec::new(),
        marks: serde_json::Value::Null,
        changed: Vec::new(),
    }
}

/// A run that is written as a session would.
struct Truth {
    folder: PathBuf,
    writer: Option<Writer>,
    step: u64,
    saved: u64,
    session: u64,
    /// Every row that was ever written, as it is told apart from others.
    rows: BTreeSet<String>,
    steps: BTreeSet<u64>,
}

impl Truth {
    fn new(folder: &Path, budget_bytes: u64) -> Self {
        let writer = Writer::create(folder, birth(budget_bytes)).unwrap();
        let mut truth = Self {
            folder: folder.to_owned(),
            writer: Some(writer),
            step: 0,
            saved: 0,
            session: 0,
            rows: BTreeSet::new(),
            steps: BTreeSet::new(),
        };
        truth.write();
        truth.save();
        truth
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    fn write(&mut self) {
        let row = row(self.step, self.session);
        self.rows.insert(format!("{row:?}"));
        self.steps.insert(self.step);
        let step = self.step;
        let writer = self.writer();
        writer.push(Item::Metrics(row));
        if step.is_multiple_of(7) {
            writer.push(Item::Mark(mark(step)));
        }
        writer.push(Item::Weights(weights(step)));
        writer.flush().unwrap();
        writer.beat(&pulse(step, Condition::Running));
        self.step += 1;
    }

    fn save(&mut self) {
        self.saved = self.step - 1;
        let checkpoint = checkpoint(self.saved);
        self.writer().save(&checkpoint).unwrap();
    }

    /// Killed, and gone on with from its checkpoint.
    fn resume(&mut self, budget_bytes: u64) {
        self.writer = None;
        let (mut writer, _) = Writer::resume(&self.folder).unwrap();
        writer.set_budget(budget_bytes);
        self.writer = Some(writer);
        self.step = self.saved + 1;
        self.session += 1;
    }

    fn end(&mut self) {
        let step = self.step - 1;
        self.writer().beat(&pulse(step, Condition::Finished));
    }
}

/// What a window makes of what a follower says.
struct Shown {
    recording: Recording,
    state: Option<State>,
}

impl Shown {
    fn take_in(&mut self, news: News) {
        if let Some(recording) = news.anew {
            self.recording = *recording;
        }
        for event in news.events {
            match event {
                Event::Metrics(row) => {
                    // Not by `add_row`, which would hide a row that comes twice.
                    assert!(self.recording.rows.last().is_none_or(|last| last.step < row.step));
                    self.recording.rows.push(row);
                }
                Event::Mark(mark) => self.recording.marks.push(mark),
                Event::Recorded { step } => self.recording.recorded.push(step),
                Event::Thinned { steps } => self.recording.recorded = steps,
                Event::Progress { state, .. } => self.state = Some(state),
                other @ (Event::Started { .. }
                | Event::Weights(_)
                | Event::Doing(_)
                | Event::InForce(_)
                | Event::Live(_)
                | Event::Missed
                | Event::Notice(_)
                | Event::Trouble(_)) => panic!("{other:?}"),
            }
        }
    }

    fn check(&self, truth: &Truth) {
        let Recording { rows, recorded, .. } = &self.recording;
        assert!(rows.is_sorted_by(|a, b| a.step < b.step));
        assert!(recorded.is_sorted_by(|a, b| a < b), "{recorded:?}");
        let wrong = rows.iter().find(|row| !truth.rows.contains(&format!("{row:?}")));
        assert_eq!(wrong, None, "never written");
        assert!(recorded.iter().all(|step| truth.steps.contains(step)), "{recorded:?}");
    }

    fn assert_is(&self, folder: &Path) {
        let expected = Reader::open(folder).unwrap().recording;
        assert_eq!(format!("{:?}", self.recording.rows), format!("{:?}", expected.rows));
        assert_eq!(self.recording.marks, expected.marks);
        assert_eq!(self.recording.recorded, expected.recorded);
    }
}

fn follow(folder: &Path) -> (Follower, Shown) {
    let (follower, recording, problems) = Follower::open(folder, Duration::ZERO).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    (follower, Shown { recording, state: None })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Names of all files of a run folder that a copy takes along.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in ["", "weights"] {
        for entry in fs::read_dir(folder.join(part)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if entry.path().is_file() && name != "lock" && name != "checkpoint.safetensors" {
                found.push(Path::new(part).join(name));
            }
        }
    }
    found.sort();
    found
}

/// As rsync does: beside it, and into its place.
fn exchange(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let name = format!(".{}.Xq3z", path.file_name().unwrap().to_str().unwrap());
    let beside = path.with_file_name(name);
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

fn mirror(from: &Path, to: &Path) {
    for name in files(from) {
        exchange(&to.join(&name), &fs::read(from.join(&name)).unwrap());
    }
    for name in files(to) {
        if !from.join(&name).exists() {
            fs::remove_file(to.join(name)).unwrap();
        }
    }
}

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        (self.0.next_u64() % most.max(1) as u64) as usize
    }
}

/// What a copy, a network and a hand do to one file of a folder, chosen by chance.
fn disturb(chance: &mut Chance, from: &Path, to: &Path) {
    let names = files(from);
    let name = &names[chance.below(names.len())];
    let (source, target) = (from.join(name), to.join(name));
    let bytes = fs::read(&source).unwrap();
    match chance.below(9) {
        0..3 => exchange(&target, &bytes),
        3 => fs::create_dir_all(target.parent().unwrap())
            .and_then(|()| fs::write(&target, &bytes))
            .unwrap(),
        4 => exchange(&target, &bytes[..chance.below(bytes.len() + 1)]),
        5 => {
            let mut holed = bytes;
            let at = chance.below(holed.len() + 1);
            let to = (at + 1 + chance.below(200)).min(holed.len());
            holed[at.min(to)..to].fill(0);
            exchange(&target, &holed);
        }
        6 => {
            let _ = fs::File::options()
                .write(true)
                .open(&target)
                .map(|f| f.set_len(chance.below(bytes.len() + 1) as u64));
        }
        7 => {
            let _ = fs::remove_file(&target);
        }
        _ => append(&target, &bytes),
    }
}

/// Adds what a copy lacks, if it has the beginning of it.
fn append(target: &Path, bytes: &[u8]) {
    let there = fs::read(target).unwrap_or_default();
    if let Some(rest) = bytes.strip_prefix(&there[..])
        && let Ok(mut file) = fs::File::options().append(true).open(target)
    {
        file.write_all(rest).unwrap();
    }
}

#[test]
fn whatever_becomes_of_the_files_what_is_shown_was_written_and_in_the_end_all_of_it() {
    const BUDGET: u64 = 40_000;
    let home = tempfile::tempdir().unwrap();
    let (whole, copy) = (home.path().join("whole"), home.path().join("copy"));
    let mut truth = Truth::new(&whole, BUDGET);
    mirror(&whole, &copy);
    let (mut follower, mut shown) = follow(&copy);
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(7));
    let (mut now, mut anew, mut grown) = (Duration::ZERO, 0, 0);
    for event in 0..10_000 {
        match chance.below(24) {
            0..4 => truth.write(),
            4 if chance.below(4) == 0 => truth.save(),
            5 if chance.below(20) == 0 => truth.resume(BUDGET),
            6 => mirror(&whole, &copy),
            7 => {
                let away = home.path().join("away");
                fs::rename(&copy, &away).unwrap();
                shown.take_in(follower.poll(now));
                fs::rename(away, &copy).unwrap();
            }
            8 => now += seconds(1 + chance.below(90) as u64),
            _ => disturb(&mut chance, &whole, &copy),
        }
        now += Duration::from_millis(1 + chance.below(2000) as u64);
        let before = shown.recording.rows.len();
        let news = follower.poll(now);
        anew += usize::from(news.anew.is_some());
        shown.take_in(news);
        grown += usize::from(shown.recording.rows.len() > before);
        // Reading all rows anew each time would be most of the work.
        if event % 16 == 0 {
            shown.check(&truth);
        }
    }
    assert!(anew > 10 && grown > 200, "anew {anew} times, grown {grown} times");
    truth.end();
    mirror(&whole, &copy);
    for _ in 0..4 {
        now += seconds(61);
        shown.take_in(follower.poll(now));
    }
    shown.check(&truth);
    shown.assert_is(&whole);
    assert_eq!(shown.state, Some(State::Finished));
    assert_eq!(follower.standing().in_words(now).as_deref(), Some("finished"));
    let mut reader = WeightsReader::open(&copy).unwrap();
    for step in shown.recording.recorded.iter().step_by(17) {
        assert_eq!(reader.weights(*step).unwrap(), weights(*step));
    }
}

#[test]
fn rows_marks_and_steps_come_as_they_are_written() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    let (mut follower, mut shown) = follow(home.path());
    for i in 1..200 {
        truth.write();
        let news = follower.poll(seconds(i));
        assert!(news.anew.is_none() && news.problem.is_none(), "{news:?}");
        shown.take_in(news);
        assert_eq!(shown.recording.rows.len() as u64, i + 1);
        assert_eq!(shown.recording.recorded.last(), Some(&i));
    }
    shown.assert_is(home.path());
    let news = follower.poll(seconds(300));
    assert!(news.is_empty(), "nothing came: {news:?}");
}

#[test]
fn a_run_that_was_resumed_is_told_from_one_that_went_on() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    (0..10).for_each(|_| truth.write());
    truth.save();
    (0..10).for_each(|_| truth.write());
    let (mut follower, mut shown) = follow(home.path());
    let before = about(home.path()).unwrap().session;
    truth.resume(u64::MAX);
    assert_ne!(about(home.path()).unwrap().session, before);
    // It has grown past where it was read to before anybody looks.
    (0..30).for_each(|_| truth.write());
    let news = follower.poll(seconds(1));
    assert!(news.anew.is_some(), "{news:?}");
    shown.take_in(news);
    shown.check(&truth);
    shown.assert_is(home.path());
    // A title is no new session.
    mnemoscope::run_folder::library::rename(home.path(), "the good one").unwrap();
    truth.write();
    let news = follower.poll(seconds(2));
    assert!(news.anew.is_none() && news.events.len() > 1, "{news:?}");
    shown.take_in(news);
    shown.assert_is(home.path());
}

#[test]
fn a_file_that_another_program_cut_and_wrote_anew_is_not_read_on_from_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    (0..10).for_each(|_| truth.write());
    let (mut follower, mut shown) = follow(home.path());
    // In the same place, longer, and other rows: by a program that knows no sessions.
    let text = |by: &str| {
        let rows: Vec<String> = (0..30).map(|step| format!("{step},{by}{step},0.5\n")).collect();
        format!("step,loss,accuracy\n{}", rows.concat())
    };
    fs::write(home.path().join("metrics.csv"), text("12.5")).unwrap();
    let news = follower.poll(seconds(1));
    assert!(news.is_empty(), "it may be in the middle of something: {news:?}");
    let words = follower.standing().in_words(seconds(1)).unwrap();
    assert!(words.contains("reading again") && words.contains("metrics.csv"), "{words}");
    shown.take_in(follower.poll(seconds(2)));
    shown.assert_is(home.path());
    assert_eq!(shown.recording.rows.len(), 30);
}

#[test]
fn a_block_of_zeros_and_half_a_line_wait_until_they_are_lines() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    (0..4).for_each(|_| truth.write());
    let (mut follower, mut shown) = follow(home.path());
    (0..4).for_each(|_| truth.write());
    let path = home.path().join("metrics.csv");
    let bytes = fs::read(&path).unwrap();
    let known = shown.recording.rows.len();
    let line =
        |number: usize| bytes.split_inclusive(|b| *b == b'\n').take(number).flatten().count();
    // Half a line is no news and no trouble.
    fs::write(&path, &bytes[..line(1 + known) + 4]).unwrap();
    shown.take_in(follower.poll(seconds(1)));
    assert_eq!(shown.recording.rows.len(), known);
    assert_eq!(follower.standing().in_words(seconds(1)).unwrap(), "running elsewhere");
    // A hole, as a network file system shows it, with true lines behind.
    let mut holed = bytes.clone();
    holed[line(2 + known)..line(3 + known)].fill(0);
    fs::write(&path, &holed).unwrap();
    let news = follower.poll(seconds(2));
    assert!(news.problem.is_none(), "it may still come: {news:?}");
    shown.take_in(news);
    assert_eq!(shown.recording.rows.len(), known + 1);
    let words = follower.standing().in_words(seconds(2)).unwrap();
    assert!(words.contains("line 8 is damaged or not wholly there"), "{words}");
    // It stays: that is a problem, told once, and nothing is given up.
    assert!(follower.poll(seconds(50)).problem.is_none());
    let problem = follower.poll(seconds(63)).problem.unwrap();
    assert!(problem.message.contains("metrics.csv: line 8"), "{problem}");
    assert!(follower.poll(seconds(64)).problem.is_none());
    fs::write(&path, &bytes).unwrap();
    shown.take_in(follower.poll(seconds(65)));
    shown.assert_is(home.path());
    assert_eq!(follower.standing().in_words(seconds(65)).unwrap(), "running elsewhere");
}

#[test]
fn what_is_out_of_reach_stays_in_view_and_is_a_problem_after_ten_minutes() {
    let home = tempfile::tempdir().unwrap();
    let (folder, away) = (home.path().join("run"), home.path().join("away"));
    let mut truth = Truth::new(&folder, u64::MAX);
    (0..4).for_each(|_| truth.write());
    let (mut follower, mut shown) = follow(&folder);
    fs::rename(&folder, &away).unwrap();
    for at in [1, 10, 300, 599] {
        let news = follower.poll(seconds(at));
        assert!(news.is_empty() && news.problem.is_none(), "{news:?}");
        assert!(follower.standing().in_words(seconds(at)).unwrap().contains("reading again"));
    }
    let problem = follower.poll(seconds(602)).problem.unwrap();
    assert!(problem.message.contains("no such folder"), "{problem}");
    fs::rename(&away, &folder).unwrap();
    truth.write();
    shown.take_in(follower.poll(seconds(700)));
    shown.assert_is(&folder);
}

#[test]
fn a_beat_that_stands_still_is_no_news_and_never_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    let (mut follower, _) = follow(home.path());
    let words = |follower: &Follower, at| follower.standing().in_words(seconds(at)).unwrap();
    assert_eq!(words(&follower, 0), "no news yet");
    truth.write();
    follower.poll(seconds(1));
    assert_eq!(words(&follower, 1), "running elsewhere");
    for at in [2, 12, 22] {
        follower.poll(seconds(at));
        assert_eq!(words(&follower, at), "running elsewhere");
    }
    follower.poll(seconds(41));
    assert_eq!(words(&follower, 41), "no news for 40 s");
    assert!(!follower.standing().is_lively(seconds(41)));
    truth.writer().beat(&pulse(1, Condition::Running));
    follower.poll(seconds(42));
    assert_eq!(words(&follower, 42), "running elsewhere");
    for (condition, said) in [
        (Condition::Paused, "paused elsewhere"),
        (Condition::Failed, "stopped by an error"),
        (Condition::Stopped, "stopped"),
        (Condition::Finished, "finished"),
    ] {
        truth.writer().beat(&pulse(1, condition));
        follower.poll(seconds(43));
        assert_eq!(words(&follower, 43), said);
        follower.poll(seconds(500));
        assert_eq!(words(&follower, 500), said);
    }
    (0..4).for_each(|i| drop(follower.poll(seconds(600 + i))));
    assert!(follower.standing().rests(), "nothing more is to be expected");
}

#[test]
fn a_beat_of_another_session_and_one_that_is_none_say_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    let path = home.path().join("beat.json");
    let text = fs::read_to_string(&path).unwrap();
    let session = about(home.path()).unwrap().session.unwrap();
    let read = beat::read(home.path()).unwrap().unwrap();
    assert_eq!((read.session, read.beat, read.step), (session, 0, 0));
    for spoilt in ["", "{", "\0\0\0\0", "{\"session\":1}", &text.replace("running", "dancing")] {
        fs::write(&path, spoilt).unwrap();
        let error = beat::read(home.path()).unwrap_err();
        assert!(error.message.contains("beat.json"), "{error}");
        let (follower, _) = follow(home.path());
        assert_eq!(follower.standing().beat, None);
    }
    fs::write(&path, text.replace(&session.to_string(), "17")).unwrap();
    let (mut follower, _) = follow(home.path());
    assert_eq!(follower.standing().beat, None);
    truth.write();
    follower.poll(seconds(1));
    assert_eq!(follower.standing().beat.as_ref().unwrap().step, 1);
}

#[test]
fn a_folder_of_before_there_were_beats_is_followed_by_its_rows() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    let forget = || {
        let path = home.path().join("run.json");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.contains("\"session\"")).collect();
        fs::write(&path, lines.join("\n").replace("],\n}", "]\n}")).unwrap();
        fs::remove_file(home.path().join("beat.json")).unwrap();
    };
    forget();
    assert_eq!(about(home.path()).unwrap().session, None);
    let (mut follower, mut shown) = follow(home.path());
    assert_eq!(follower.standing().in_words(seconds(0)), None, "a recorded run as any");
    truth.write();
    fs::remove_file(home.path().join("beat.json")).unwrap();
    shown.take_in(follower.poll(seconds(1)));
    shown.assert_is(home.path());
    assert_eq!(follower.standing().in_words(seconds(1)).unwrap(), "growing");
    (2..6).for_each(|i| drop(follower.poll(seconds(20 * i))));
    assert_eq!(follower.standing().in_words(seconds(101)).unwrap(), "no news for 100 s");
}

#[test]
fn steps_that_were_thinned_out_go_when_two_listings_a_minute_apart_lack_them() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), 12_000);
    let (mut follower, mut shown) = follow(home.path());
    let mut had_more = false;
    for i in 0..200 {
        truth.write();
        shown.take_in(follower.poll(seconds(0)));
        let there = Reader::open(home.path()).unwrap().recording.recorded;
        had_more |= shown.recording.recorded.len() > there.len();
        assert_eq!(shown.recording.recorded.last(), Some(&(i + 1)));
    }
    assert!(had_more);
    shown.take_in(follower.poll(seconds(59)));
    shown.take_in(follower.poll(seconds(61)));
    shown.assert_is(home.path());
}

#[test]
fn a_mark_of_a_kind_that_nobody_knows_is_a_note() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    let (mut follower, mut shown) = follow(home.path());
    let path = home.path().join("events.jsonl");
    let mut file = fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"{\"step\":3,\"kind\":\"alarm\",\"text\":\"hot\"}\n").unwrap();
    truth.write();
    shown.take_in(follower.poll(seconds(1)));
    let expected = Mark::of_text(3, MarkKind::Note, "hot");
    assert_eq!(shown.recording.marks.last(), Some(&expected));
    shown.assert_is(home.path());
}

#[test]
fn looking_takes_a_twentieth_of_the_time_and_is_seldom_where_nothing_comes() {
    let mut rhythm = Rhythm::default();
    let millis = Duration::from_millis;
    assert_eq!(rhythm.after(millis(1), true), millis(500));
    assert_eq!(rhythm.after(millis(100), true), millis(2000));
    let quiet: Vec<u128> = (0..6).map(|_| rhythm.after(millis(1), false).as_millis()).collect();
    assert_eq!(quiet, [1000, 2000, 4000, 8000, 10_000, 10_000]);
    assert_eq!(rhythm.after(seconds(2), false), seconds(40));
    assert_eq!(rhythm.after(millis(1), true), millis(500));
}

#[test]
fn numbers_of_a_log_that_is_emptied_and_filled_again_are_never_used_for_another_step() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    (0..40).for_each(|_| truth.write());
    let mut reader = WeightsReader::open(home.path()).unwrap();
    assert_eq!(reader.weights(30).unwrap(), weights(30));
    // The log becomes a pack and grows again, with records of the same lengths at the same places.
    (0..60).for_each(|_| truth.write());
    for step in [30, 40, 64, 99] {
        assert_eq!(reader.weights(step).unwrap(), weights(step));
    }
    // A record that is listed and was damaged since is refused in words.
    let path = home.path().join("weights/tail.log");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = reader.weights(100).unwrap_err();
    assert!(error.message.contains("step 100 are damaged or not wholly there"), "{error}");
    assert_eq!(reader.weights(99).unwrap(), weights(99));
}

#[test]
fn a_damaged_pack_is_said_at_once_of_a_run_that_has_ended_and_of_another_if_it_stays() {
    let damaged = |end: bool| {
        let home = tempfile::tempdir().unwrap();
        let mut truth = Truth::new(home.path(), u64::MAX);
        (0..70).for_each(|_| truth.write());
        if end {
            truth.end();
        }
        let pack = home.path().join("weights/00000000-00000063.safetensors");
        let bytes = fs::read(&pack).unwrap();
        exchange(&pack, &bytes[..bytes.len() - 1]);
        (home, pack, bytes)
    };
    let (home, ..) = damaged(true);
    let (mut follower, recording, problems) = Follower::open(home.path(), seconds(0)).unwrap();
    assert!(problems.len() == 1 && problems[0].message.contains("00000063"), "{problems:?}");
    assert_eq!(recording.recorded, (64..=70).collect::<Vec<u64>>());
    assert!((1..5).all(|i| follower.poll(seconds(100 * i)).problem.is_none()), "it was told");
    assert!(follower.standing().rests() && follower.standing().in_words(seconds(500)).is_none());

    let (home, pack, bytes) = damaged(false);
    let (mut follower, mut shown) = follow(home.path());
    assert!([1, 59].iter().all(|at| follower.poll(seconds(*at)).problem.is_none()));
    let problem = follower.poll(seconds(62)).problem.unwrap();
    assert!(problem.message.contains("00000063"), "{problem}");
    exchange(&pack, &bytes);
    shown.take_in(follower.poll(seconds(63)));
    shown.assert_is(home.path());
    assert_eq!(follower.standing().in_words(seconds(63)).unwrap(), "no news for 63 s");
}

/// A pack that was exchanged for another of the same name and length is read anew.
#[test]
fn a_pack_of_the_same_name_and_length_with_other_numbers_is_not_taken_for_the_one_known() {
    let home = tempfile::tempdir().unwrap();
    let mut truth = Truth::new(home.path(), u64::MAX);
    (0..64).for_each(|_| truth.write());
    let mut reader = WeightsReader::open(home.path()).unwrap();
    assert_eq!(reader.weights(5).unwrap(), weights(5));
    let pack = home.path().join("weights/00000000-00000063.safetensors");
    let text = fs::read(&pack).unwrap();
    // The same length, and two tensors the other way round: a header known from before would give the wrong ones.
    let swapped = swap(&text, b"\"5/layer0.wk\"", b"\"6/layer0.wk\"");
    exchange(&pack, &swapped);
    let read = reader.weights(5).unwrap();
    assert_eq!(read.tensors[0].data, weights(6).tensors[0].data);
}

/// The bytes with two words of one length exchanged.
fn swap(bytes: &[u8], a: &[u8], b: &[u8]) -> Vec<u8> {
    let at = |sought: &[u8]| bytes.windows(sought.len()).position(|w| w == sought).unwrap();
    let (i, j) = (at(a), at(b));
    let mut swapped = bytes.to_vec();
    swapped[i..i + a.len()].copy_from_slice(b);
    swapped[j..j + b.len()].copy_from_slice(a);
    swapped
}

#[cfg(unix)]
mod processes {
    use super::*;
    use std::process::{Child, Command, Stdio};

    const TINY: &str = r#"
name = "tiny"
about = "A small network for tests."

[task]
kind = "bigram"
triggers = 2
length = 32

[model]
kind = "birth"
width = 16

[train]
batch = 8
held_out = 16
loss = "repeated"
"#;

    fn train(home: &Path, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_mnemoscope"))
            .current_dir(home)
            .arg("train")
            .args(args)
            .args(["--out", "run", "--quiet"])
            .env("XDG_DATA_HOME", home.join("data"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Looks until `enough`; the time of the run goes on as that of the clock.
    fn look_until(
        follower: &mut Follower,
        shown: &mut Shown,
        at: u64,
        enough: impl Fn(&Shown) -> bool,
    ) {
        for _ in 0..1200 {
            shown.take_in(follower.poll(seconds(at)));
            if enough(shown) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nothing came in a minute");
    }

    fn wait_for(path: &Path) {
        for _ in 0..1200 {
            if path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} did not come in a minute", path.display());
    }

    #[test]
    fn a_writer_that_was_killed_gives_no_news_until_the_run_goes_on() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("tiny.toml"), TINY).unwrap();
        let folder = home.path().join("run");
        let mut child = train(home.path(), &["tiny.toml", "--steps", "100000"]);
        wait_for(&folder.join("run.json"));
        let (mut follower, mut shown) = follow(&folder);
        let has = |rows: usize| move |shown: &Shown| shown.recording.rows.len() > rows;
        look_until(&mut follower, &mut shown, 1, has(5));
        assert_eq!(follower.standing().in_words(seconds(1)).unwrap(), "running elsewhere");
        child.kill().unwrap();
        child.wait().unwrap();
        (1..5).for_each(|_| shown.take_in(follower.poll(seconds(2))));
        (4..8).for_each(|i| shown.take_in(follower.poll(seconds(10 * i))));
        let words = follower.standing().in_words(seconds(80)).unwrap();
        assert!(words.starts_with("no news for "), "{words}");
        let killed = shown.recording.clone();
        let steps = (killed.rows.last().unwrap().step + 40).to_string();
        let mut child = train(home.path(), &["--resume", "--steps", &steps]);
        assert!(child.wait().unwrap().success());
        let news = follower.poll(seconds(90));
        assert!(news.anew.is_some(), "{news:?}");
        shown.take_in(news);
        (0..3).for_each(|i| shown.take_in(follower.poll(seconds(100 + 61 * i))));
        shown.assert_is(&folder);
        assert_eq!(follower.standing().in_words(seconds(300)).unwrap(), "finished");
        assert!(shown.recording.rows.len() > killed.rows.len());
    }

    /// Copies a folder with what the documentation says, and looks all the while and once after.
    fn copy(from: &Path, to: &Path, mut look: impl FnMut()) {
        let text = include_str!("../../docs/recording.md");
        let (_, command) = text.split_once("do rsync ").unwrap();
        let (options, _) = command.split_once(" host:run/ run/;").unwrap();
        let mut rsync = Command::new("rsync");
        rsync.args(options.split(' ').map(|option| option.trim_matches('\'')));
        // Files that go meanwhile are said there.
        rsync.arg(from.join("")).arg(to).stdout(Stdio::null()).stderr(Stdio::null());
        let mut rsync = rsync.spawn().unwrap();
        while rsync.try_wait().unwrap().is_none() {
            look();
        }
        look();
    }

    fn rows_of(news: &News) -> Vec<String> {
        let anew = news.anew.iter().flat_map(|recording| recording.rows.iter());
        let new = news.events.iter().filter_map(|event| {
            if let Event::Metrics(row) = event { Some(format!("{row:?}")) } else { None }
        });
        anew.map(|row| format!("{row:?}")).chain(new).collect()
    }

    #[test]
    fn a_copy_that_rsync_brings_up_to_date_shows_what_was_written_and_in_the_end_all_of_it() {
        if Command::new("rsync").arg("--version").output().is_err() {
            eprintln!("rsync is not there: skipped");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        // The disk budget is soon full: packs come, are thinned out and go.
        let text =
            format!("{TINY}evaluate = 1\nrecord_mb = 1\n").replace("width = 16", "width = 32");
        fs::write(home.path().join("tiny.toml"), text).unwrap();
        let (whole, there) = (home.path().join("run"), home.path().join("copy"));
        let mut child = train(home.path(), &["tiny.toml", "--steps", "100000"]);
        wait_for(&whole.join("beat.json"));
        copy(&whole, &there, || ());
        let (mut follower, mut shown) = follow(&there);
        let mut reader = WeightsReader::open(&there).unwrap();
        let (mut at, mut rows, mut newest) = (0, Vec::new(), Vec::new());
        let mut copy_and_look = |shown: &mut Shown| {
            at += 1;
            copy(&whole, &there, || {
                let news = follower.poll(seconds(at));
                assert!(news.problem.is_none(), "{news:?}");
                rows.extend(rows_of(&news));
                shown.take_in(news);
            });
            let step = shown.recording.recorded.last();
            newest.extend(step.and_then(|step| reader.weights(*step).ok()));
        };
        let grown = (0..1200).any(|_| {
            copy_and_look(&mut shown);
            shown.recording.rows.len() > 400
        });
        assert!(grown, "{} rows", shown.recording.rows.len());
        child.kill().unwrap();
        child.wait().unwrap();
        copy_and_look(&mut shown);
        let steps = (shown.recording.rows.last().unwrap().step + 100).to_string();
        let mut child = train(home.path(), &["--resume", "--steps", &steps, "--follow-friendly"]);
        while child.try_wait().unwrap().is_none() {
            copy_and_look(&mut shown);
        }
        copy_and_look(&mut shown);
        (1..4).for_each(|i| shown.take_in(follower.poll(seconds(at + 61 * i))));
        shown.assert_is(&whole);
        assert_eq!(follower.standing().in_words(seconds(at + 200)).as_deref(), Some("finished"));
        let written: BTreeSet<String> =
            shown.recording.rows.iter().map(|row| format!("{row:?}")).collect();
        let wrong = rows.iter().find(|row| !written.contains(*row));
        assert_eq!(wrong, None, "never written");
        let (mut truth, mut copied) =
            (WeightsReader::open(&whole).unwrap(), WeightsReader::open(&there).unwrap());
        for step in &shown.recording.recorded {
            let expected = truth.weights(*step).unwrap();
            assert!(copied.weights(*step).unwrap() == expected, "weights of step {step}");
            let seen = newest.iter().filter(|weights| weights.step == *step);
            assert!(seen.into_iter().all(|weights| *weights == expected), "step {step} as it came");
        }
    }

    #[test]
    fn a_run_that_is_stopped_says_so_in_its_beat() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("tiny.toml"), TINY).unwrap();
        let folder = home.path().join("run");
        let mut child = train(home.path(), &["tiny.toml", "--steps", "100000"]);
        wait_for(&folder.join("beat.json"));
        let running = beat::read(&folder).unwrap().unwrap();
        assert_eq!(running.condition, Condition::Running);
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
        let stopped = beat::read(&folder).unwrap().unwrap();
        assert_eq!(stopped.condition, Condition::Stopped);
        assert!(stopped.beat > running.beat && stopped.session == running.session);
        assert_eq!(Some(stopped.session), about(&folder).unwrap().session);
    }
}
