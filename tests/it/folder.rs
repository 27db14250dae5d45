//! The run folder: what survives a kill, and what is said about folders that are not as they should be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnemoscope::base::error::Kind;
use mnemoscope::base::event::{Mark, MarkKind, MetricsRow};
use mnemoscope::base::intervention::Intervention;
use mnemoscope::base::weights::{NamedTensor, Weights};
use mnemoscope::run_folder::checkpoint::Checkpoint;
use mnemoscope::run_folder::disk::replace_bytes;
use mnemoscope::run_folder::library::{self, Stock};
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::run_folder::{self, Item, Reader, RunHeader, WeightsReader, Writer};

fn birth(budget_bytes: u64) -> RunHeader {
    RunHeader {
        name: "small".to_owned(),
        experiment: "name = \"small\"\n".to_owned(),
        documents: [("unigrams.csv".to_owned(), "a,1\n".to_owned())].into(),
        kind: "fresh".to_owned(),
        parent: None,
        columns: vec!["loss".to_owned(), "accuracy".to_owned()],
        budget_bytes,
    }
}

fn tensor(name: &str, data: &[f32], trained: bool) -> NamedTensor {
    NamedTensor { name: name.into(), shape: vec![data.len()], data: Arc::from(data), trained }
}

/// The frozen tensor stands between the trained ones: reading must keep the order.
pub fn weights(step: u64) -> Weights {
    let x = step as f32;
    let tensors = vec![
        tensor("layer0.wk", &[x, -x, 0.1 * x], true),
        tensor("embed", &[7.0, 8.0], false),
        tensor("layer1.wk", &[x + 0.5], true),
    ];
    Weights::new(step, tensors)
}

fn row(step: u64) -> MetricsRow {
    MetricsRow { step, values: vec![1.0 / (step as f64 + 3.0), f64::NAN] }
}

fn mark(step: u64) -> Mark {
    Mark::of_text(step, MarkKind::Emergence, format!("\"formed\" at {step}"))
}

fn checkpoint(step: u64) -> Checkpoint {
    Checkpoint {
        weights: weights(step),
        optimizer: vec![tensor("layer0.wk.moment1", &[1e-30, f32::MIN_POSITIVE, -0.0], true)],
        in_force: vec![Intervention::Freeze("layer1.wk".to_owned())],
        grad_norms: vec![("layer0.wk".to_owned(), 0.1 + 0.2), ("layer1.wk".to_owned(), f64::NAN)],
        marks: serde_json::json!([{"rule": "formed", "since": 3}]),
        changed: vec![("rate".to_owned(), toml::Value::Float(0.1 + 0.2))],
    }
}

fn push_step(writer: &mut Writer, step: u64) {
    writer.push(Item::Metrics(row(step)));
    writer.push(Item::Mark(mark(step)));
    writer.push(Item::Weights(weights(step)));
    writer.flush().unwrap();
}

/// A folder with three recorded steps, none saved.
fn three_steps(folder: &Path) {
    let mut writer = Writer::create(folder, birth(u64::MAX)).unwrap();
    for step in [0, 5, 10] {
        push_step(&mut writer, step);
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    let mut reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, [0, 5, 10]);
    assert_eq!(reader.recording.marks, [mark(0), mark(5), mark(10)]);
    assert_eq!(format!("{:?}", reader.recording.rows), format!("{:?}", [row(0), row(5), row(10)]));
    assert_eq!(reader.weights(5).unwrap(), weights(5));
    let metrics = fs::read_to_string(home.path().join("metrics.csv")).unwrap();
    assert_eq!(metrics.lines().next(), Some("step,loss,accuracy"));
    assert_eq!(metrics.lines().nth(2), Some("5,0.125,NaN"));
}

#[test]
fn a_checkpoint_is_read_back_bit_for_bit() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    writer.save(&checkpoint(5)).unwrap();
    drop(writer);
    let (_, back) = Writer::resume(home.path()).unwrap();
    assert_eq!(format!("{:?}", back.unwrap()), format!("{:?}", checkpoint(5)));
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_record_loses_that_record_alone() {
    let home = tempfile::tempdir().unwrap();
    let (whole, cut) = (home.path().join("whole"), home.path().join("cut"));
    three_steps(&whole);
    for (name, before) in [
        ("metrics.csv", length_with(&home.path().join("m"), "metrics.csv")),
        ("events.jsonl", length_with(&home.path().join("e"), "events.jsonl")),
        ("weights/tail.log", length_with(&home.path().join("w"), "weights/tail.log")),
    ] {
        let bytes = fs::read(whole.join(name)).unwrap();
        assert!(before < bytes.len());
        copy(&whole, &cut);
        for end in before..bytes.len() {
            fs::write(cut.join(name), &bytes[..end]).unwrap();
            let mut reader = Reader::open(&cut).unwrap();
            let recording = reader.recording.clone();
            let left = [recording.rows.len(), recording.marks.len(), recording.recorded.len()];
            let expected = ["metrics.csv", "events.jsonl", "weights/tail.log"]
                .map(|file| if file == name { 2 } else { 3 });
            assert_eq!(left, expected, "{name} cut at {end} of {}", bytes.len());
            assert_eq!(reader.weights(5).unwrap(), weights(5));
        }
    }
}

#[test]
fn a_run_cut_at_any_byte_after_its_checkpoint_goes_on_from_there() {
    let home = tempfile::tempdir().unwrap();
    let (whole, cut) = (home.path().join("whole"), home.path().join("cut"));
    let mut writer = Writer::create(&whole, birth(u64::MAX)).unwrap();
    push_step(&mut writer, 0);
    push_step(&mut writer, 5);
    writer.save(&checkpoint(5)).unwrap();
    let names = ["metrics.csv", "events.jsonl", "weights/tail.log"];
    let saved = names.map(|name| fs::read(whole.join(name)).unwrap());
    push_step(&mut writer, 10);
    drop(writer);
    for (name, saved) in names.into_iter().zip(&saved) {
        let bytes = fs::read(whole.join(name)).unwrap();
        for end in saved.len()..bytes.len() {
            copy(&whole, &cut);
            fs::write(cut.join(name), &bytes[..end]).unwrap();
            let (mut writer, back) = Writer::resume(&cut).unwrap();
            assert_eq!(back.unwrap().weights.step, 5, "{name} cut at {end}");
            push_step(&mut writer, 10);
            drop(writer);
            for name in &names[..2] {
                assert_eq!(fs::read(cut.join(name)).unwrap(), fs::read(whole.join(name)).unwrap());
            }
            let mut reader = Reader::open(&cut).unwrap();
            assert_eq!(reader.recording.recorded, [0, 5, 10], "{name} cut at {end}");
            assert_eq!(reader.weights(10).unwrap(), weights(10));
            drop(reader);
            fs::remove_dir_all(&cut).unwrap();
        }
        // What the checkpoint counts on is gone: better no run than another one.
        if name != "weights/tail.log" {
            copy(&whole, &cut);
            fs::write(cut.join(name), &saved[..saved.len() - 1]).unwrap();
            let error = Writer::resume(&cut).err().unwrap();
            assert!(error.message.contains(name), "{error}");
            fs::remove_dir_all(&cut).unwrap();
            // So is what was changed since: it is refused and left as it is.
            for (from, to) in [(&b"\n"[..], &b" "[..]), (b"5", b"x")] {
                copy(&whole, &cut);
                let spoilt = replaced_from(&bytes, saved.len() / 2, from, to);
                fs::write(cut.join(name), &spoilt).unwrap();
                let error = Writer::resume(&cut).err().unwrap();
                assert!(error.message.contains(name), "{error}");
                assert_eq!(fs::read(cut.join(name)).unwrap(), spoilt, "{name}: {error}");
                fs::remove_dir_all(&cut).unwrap();
            }
        }
    }
}

/// The bytes with what is sought, from a place on, replaced wherever it stands.
fn replaced_from(bytes: &[u8], place: usize, sought: &[u8], by: &[u8]) -> Vec<u8> {
    let (before, after) = bytes.split_at(place);
    let after = String::from_utf8(after.to_vec()).unwrap();
    let [sought, by] = [sought, by].map(|text| std::str::from_utf8(text).unwrap());
    [before, after.replace(sought, by).as_bytes()].concat()
}

#[test]
fn what_a_kill_left_half_written_goes_when_the_run_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    push_step(&mut writer, 0);
    writer.save(&checkpoint(0)).unwrap();
    drop(writer);
    let left = ["checkpoint.safetensors.tmp", "weights/00000000-00000063.safetensors.tmp"];
    for name in left {
        fs::write(home.path().join(name), "half").unwrap();
    }
    assert!(Writer::resume(home.path()).is_ok());
    for name in left {
        assert!(!home.path().join(name).exists(), "{name} is still there");
    }
}

#[test]
fn what_a_task_read_from_outside_is_kept_with_the_run() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    assert_eq!(run_folder::documents(home.path()).unwrap(), birth(0).documents);
    assert!(run_folder::documents(&home.path().join("weights")).unwrap().is_empty());
}

/// Length of a file of a folder like that of [`three_steps`] before its last record.
fn length_with(folder: &Path, name: &str) -> usize {
    let mut writer = Writer::create(folder, birth(u64::MAX)).unwrap();
    for step in [0, 5] {
        push_step(&mut writer, step);
    }
    fs::read(folder.join(name)).unwrap().len()
}

#[test]
fn a_record_with_a_flipped_bit_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    let path = home.path().join("weights/tail.log");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Reader::open(home.path()).unwrap().recording.recorded, [0, 5]);
    // Nor is what follows it, and that is said.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0);
    fs::write(&path, &bytes).unwrap();
    let reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, [0]);
    let [problem] = &reader.problems[..] else { panic!("{:?}", reader.problems) };
    assert!(problem.message.contains("tail.log: the record at byte"), "{problem}");
    // A record that a kill cut short is none that was damaged.
    fs::write(&path, &bytes[..middle]).unwrap();
    assert!(Reader::open(home.path()).unwrap().problems.is_empty());
}

#[test]
fn going_on_cuts_off_what_came_after_the_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let (whole, killed) = (home.path().join("whole"), home.path().join("killed"));
    let run = |folder: &Path, save_at: u64| {
        let mut writer = Writer::create(folder, birth(u64::MAX)).unwrap();
        for step in [0, 5, 10, 15] {
            push_step(&mut writer, step);
            if step == save_at {
                writer.save(&checkpoint(step)).unwrap();
            }
        }
    };
    run(&whole, 0);
    run(&killed, 5);
    let (mut writer, checkpoint) = Writer::resume(&killed).unwrap();
    assert_eq!(checkpoint.unwrap().weights.step, 5);
    assert_eq!(writer.last_row(), Some(5));
    assert_eq!(Reader::open(&killed).unwrap().recording.recorded, [0, 5]);
    for step in [10, 15] {
        push_step(&mut writer, step);
    }
    for name in ["metrics.csv", "events.jsonl"] {
        assert_eq!(fs::read(whole.join(name)).unwrap(), fs::read(killed.join(name)).unwrap());
    }
    assert_eq!(Reader::open(&killed).unwrap().weights(15).unwrap(), weights(15));
}

#[test]
fn many_steps_are_packed_and_stay_readable() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    for step in 0..150 {
        writer.push(Item::Weights(weights(step)));
        writer.flush().unwrap();
    }
    let mut names: Vec<String> = fs::read_dir(home.path().join("weights"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let packs = ["00000000-00000063.safetensors", "00000064-00000127.safetensors"];
    assert_eq!(names, [packs[0], packs[1], "frozen.safetensors", "tail.log"]);
    let mut reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, (0..150).collect::<Vec<u64>>());
    for step in [0, 63, 64, 127, 128, 149] {
        assert_eq!(reader.weights(step).unwrap(), weights(step));
    }
    // Other programs read the packs as well.
    let bytes = fs::read(home.path().join("weights").join(packs[1])).unwrap();
    let pack = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(pack.tensor("100/layer0.wk").unwrap().shape(), [3]);
}

#[test]
fn a_reader_finds_a_step_that_has_moved_into_a_pack_since() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    writer.push(Item::Weights(weights(0)));
    writer.flush().unwrap();
    let mut reader = Reader::open(home.path()).unwrap();
    for step in 1..100 {
        writer.push(Item::Weights(weights(step)));
    }
    writer.flush().unwrap();
    assert_eq!(reader.weights(0).unwrap(), weights(0));
    assert_eq!(reader.weights(80).unwrap(), weights(80));
}

#[test]
fn a_full_budget_thins_every_second_step_but_those_with_marks() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(12_000)).unwrap();
    writer.push(Item::Mark(mark(7)));
    let mut thinned = None;
    for step in 0..200 {
        writer.push(Item::Weights(weights(step)));
        writer.flush().unwrap();
        thinned = writer.take_thinned().or(thinned);
        let bytes: u64 = fs::read_dir(home.path().join("weights"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != "frozen.safetensors")
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        assert!(bytes <= 12_000, "{bytes} bytes after step {step}");
    }
    assert!(thinned.is_some());
    let mut reader = Reader::open(home.path()).unwrap();
    let recorded = reader.recording.recorded.clone();
    assert!(recorded.len() < 150, "{} steps", recorded.len());
    for step in [0, 7, 199] {
        assert!(recorded.contains(&step), "{step} is gone");
    }
    for step in recorded {
        assert_eq!(reader.weights(step).unwrap(), weights(step));
    }
    assert!(!home.path().join("weights/00000000-00000063.safetensors").exists());
}

#[test]
fn two_writers_never_share_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let first = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    let error = Writer::resume(home.path()).err().unwrap();
    assert!(error.message.contains("another program is writing"), "{error}");
    drop(first);
    assert!(Writer::resume(home.path()).is_ok());
    let error = Writer::create(home.path(), birth(u64::MAX)).err().unwrap();
    assert!(error.message.contains("holds a run already"), "{error}");
}

#[test]
fn a_folder_with_other_things_is_not_written_into() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis.tex"), "years of work").unwrap();
    let error = Writer::create(home.path(), birth(u64::MAX)).err().unwrap();
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.message.contains("thesis.tex"), "{error}");
}

#[test]
fn a_newer_run_is_refused_with_both_versions() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    let path = home.path().join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let newer = text.replace("\"schema\": 1", "\"schema\": 2").replace(version, "7.8.9");
    fs::write(&path, newer).unwrap();
    for error in [Reader::open(home.path()).err(), Writer::resume(home.path()).err()] {
        let error = error.unwrap();
        assert_eq!(error.kind, Kind::Input);
        assert!(error.message.contains("7.8.9") && error.message.contains(version), "{error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    (0..70).for_each(|step| push_step(&mut writer, step));
    writer.save(&checkpoint(69)).unwrap();
    drop(writer);
    let whole = home.path().to_owned();
    let damaged = tempfile::tempdir().unwrap();
    let fresh = || {
        fs::remove_dir_all(damaged.path()).unwrap();
        copy(&whole, damaged.path());
        damaged.path().to_owned()
    };
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    };

    let folder = fresh();
    let pack = "00000000-00000063.safetensors";
    cut(&folder.join("weights").join(pack));
    let reader = Reader::open(&folder).unwrap();
    assert!(reader.problems[0].message.contains(pack), "{:?}", reader.problems);
    assert_eq!(reader.recording.recorded, [64, 65, 66, 67, 68, 69], "the others open all the same");

    let folder = fresh();
    cut(&folder.join("checkpoint.safetensors"));
    let error = Writer::resume(&folder).err().unwrap();
    assert!(error.message.contains("checkpoint.safetensors"), "{error}");

    let folder = fresh();
    // A header that claims more bytes than there are in the world.
    fs::write(folder.join("weights/frozen.safetensors"), [0xff; 16]).unwrap();
    let error = Reader::open(&folder).err().unwrap();
    assert!(error.message.contains("frozen.safetensors"), "{error}");

    let folder = fresh();
    fs::write(folder.join("metrics.csv"), "step,loss,accuracy\n0,1,2\n5,one,2\n").unwrap();
    let error = Reader::open(&folder).err().unwrap();
    assert!(error.message.contains("metrics.csv: line 3"), "{error}");

    let folder = fresh();
    fs::remove_file(folder.join("run.json")).unwrap();
    let error = Reader::open(&folder).err().unwrap();
    assert!(error.message.contains("is no run folder: it has no run.json"), "{error}");
}

#[test]
fn what_is_no_run_folder_is_told_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name);
    let config = |name: &str, text: &str| {
        fs::create_dir(here(name)).unwrap();
        fs::write(here(name).join("config.json"), text).unwrap();
    };
    config("llama", "{\"model_type\": \"llama\", \"num_hidden_layers\": 30}");
    config("gpt2", "{\"model_type\": \"gpt2\", \"n_layer\": 1}");
    config("unsaid", "{\"model_type\": \"new\"}");
    config("other", "{\"name\": \"llama\"}");
    config("broken", "{\"model_type\": ");
    fs::write(here("notes"), "text").unwrap();
    for (name, wanted) in [
        ("nowhere", "no such folder: "),
        ("llama", "holds a config.json and no tensors: expected model.safetensors"),
        ("gpt2", "holds a config.json and no tensors: expected model.safetensors"),
        ("unsaid", "holds a config.json and no tensors: expected model.safetensors"),
        ("other", "is no run folder: it has no run.json"),
        ("broken", "is no run folder: it has no run.json"),
        ("notes", "is no run folder: it is a file"),
    ] {
        let error = Reader::open(&here(name)).err().unwrap();
        assert!(error.message.contains(wanted), "{name}: {error}");
        assert!(error.message.contains(&here(name).display().to_string()), "{error}");
    }
}

#[test]
fn a_glance_at_a_library_tells_that_a_run_came_or_was_written_to() {
    use mnemoscope::run_folder::library::glance;
    let home = tempfile::tempdir().unwrap();
    let empty = glance(home.path());
    assert_eq!(glance(home.path()), empty);
    fs::create_dir(home.path().join("birth-001")).unwrap();
    let one = glance(home.path());
    assert_ne!(one, empty);
    fs::write(home.path().join("birth-001/run.json"), "{}").unwrap();
    assert_ne!(glance(home.path()), one);
    assert_eq!(glance(&home.path().join("nowhere")), glance(&home.path().join("nowhere")));
}

/// A file in the format of safetensors with this header and `bytes` bytes of numbers.
fn tensors(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; bytes]);
    file
}

#[test]
fn tensors_that_overlap_or_share_a_name_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(home.path(), birth(u64::MAX)).unwrap();
    (0..70).for_each(|step| push_step(&mut writer, step));
    drop(writer);
    let entry = |name: &str, shape: u64, from: u64, to: u64| {
        format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{shape}],\"data_offsets\":[{from},{to}]}}"
        )
    };
    let apart = [entry("0/layer0.wk", 2, 0, 8), entry("0/layer1.wk", 1, 8, 12)];
    let overlap = [entry("0/layer0.wk", 2, 0, 8), entry("0/layer1.wk", 1, 4, 8)];
    let twice = [entry("0/layer0.wk", 2, 0, 8), entry("0/layer0.wk", 1, 8, 12)];
    let many = [entry("0/layer0.wk", 1 << 40, 0, 1 << 42), entry("0/layer1.wk", 1, 8, 12)];
    let pack = home.path().join("weights/00000000-00000063.safetensors");
    for (entries, word) in [(apart, ""), (overlap, "overlap"), (twice, "twice"), (many, "damaged")]
    {
        fs::write(&pack, tensors(&format!("{{{}}}", entries.join(",")), 12)).unwrap();
        let problems = Reader::open(home.path()).unwrap().problems;
        assert_eq!(problems.is_empty(), word.is_empty(), "{problems:?}");
        assert!(problems.iter().all(|e| e.message.contains(word)), "{problems:?}");
    }
}

/// A folder with all kinds of files, small enough to be read a thousand times.
fn rich(folder: &Path) {
    let mut writer = Writer::create(folder, birth(u64::MAX)).unwrap();
    for step in 0..66 {
        writer.push(Item::Weights(weights(step)));
    }
    push_step(&mut writer, 66);
    writer.save(&checkpoint(66)).unwrap();
    push_step(&mut writer, 67);
}

const RICH: [&str; 8] = [
    "run.json",
    "experiment.toml",
    "metrics.csv",
    "events.jsonl",
    "checkpoint.safetensors",
    "weights/frozen.safetensors",
    "weights/tail.log",
    "weights/00000000-00000063.safetensors",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever is damaged: there is a sentence or an answer, never a panic.
    #[test]
    fn no_damage_to_a_folder_stops_the_program(
        file in 0..RICH.len(),
        at in 0.0..1.0f64,
        bit in 0..8u32,
        cut in proptest::bool::ANY,
    ) {
        let home = tempfile::tempdir().unwrap();
        rich(home.path());
        let path = home.path().join(RICH[file]);
        let mut bytes = fs::read(&path).unwrap();
        let place = (at * bytes.len() as f64) as usize;
        // Headers and notes are at the start, where most of the sense is.
        let place = if bit % 2 == 0 { place } else { place % 400 % bytes.len() };
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << bit;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(mut reader) = Reader::open(home.path()) {
            for step in reader.recording.recorded.clone() {
                let _ = reader.weights(step);
            }
        }
        let _ = run_folder::checkpoint(home.path());
        if let Ok((mut writer, _)) = Writer::resume(home.path()) {
            writer.push(Item::Weights(weights(70)));
            let _ = writer.flush();
        }
    }
}

#[test]
fn a_step_without_weights_names_the_nearest_that_have_them() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    let error = Reader::open(home.path()).unwrap().weights(7).err().unwrap();
    assert!(error.message.contains("5 and 10"), "{error}");
}

#[test]
fn the_rows_of_a_long_run_take_bounded_memory() {
    let columns: Vec<String> = (0..1000).map(|i| format!("column{i}")).collect();
    let mut recording = Recording { columns, ..Recording::default() };
    for step in 0..20_000 {
        recording.add_row(MetricsRow { step, values: vec![0.5; 1000] });
    }
    assert!(recording.rows.len() < 8500, "{} rows", recording.rows.len());
    let ends = [recording.rows[0].step, recording.rows.last().unwrap().step, recording.last_step];
    assert_eq!(ends, [0, 19_999, 19_999]);
    assert!(recording.rows.is_sorted_by(|a, b| a.step < b.step));
}

#[test]
fn the_rows_of_several_runs_share_that_memory() {
    let columns: Vec<String> = (0..1000).map(|i| format!("column{i}")).collect();
    let mut recording = Recording { columns, ..Recording::default() };
    for step in 0..5000 {
        recording.add_row(MetricsRow { step, values: vec![0.5; 1000] });
    }
    assert_eq!(recording.rows.len(), 5000);
    recording.share(4);
    assert!(recording.rows.len() < 2200, "{} rows", recording.rows.len());
    for step in 5000..9000 {
        recording.add_row(MetricsRow { step, values: vec![0.5; 1000] });
        assert!(recording.rows.len() < 2200, "{} rows", recording.rows.len());
    }
    assert_eq!([recording.rows[0].step, recording.last_step], [0, 8999]);
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let (new, empty) = (home.path().join("a/new"), home.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    let mut impossible = birth(u64::MAX);
    impossible.documents.insert("no/such/folder.csv".to_owned(), String::new());
    for folder in [&new, &empty] {
        let error = Writer::create(folder, impossible.clone()).err().unwrap();
        assert_eq!(error.kind, Kind::System);
    }
    assert!(!new.exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert!(Writer::create(&empty, birth(u64::MAX)).is_ok());
}

#[test]
fn two_launches_never_get_one_folder() {
    let home = tempfile::tempdir().unwrap();
    let folders: Vec<_> = std::thread::scope(|scope| {
        let launch = || library::new_run_folder(home.path(), "run").unwrap();
        let launches: Vec<_> = (0..16).map(|_| scope.spawn(launch)).collect();
        launches.into_iter().map(|l| l.join().unwrap()).collect()
    });
    let mut different = folders.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 16, "{folders:?}");
}

/// A library with runs of the tiny kind in it, the oldest first.
fn library_of(home: &Path, name: &str, count: usize) -> Vec<PathBuf> {
    let make = |i| {
        let folder = library::new_run_folder(home, name).unwrap();
        three_steps(&folder);
        // Runs of one instant have no order.
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + i as u64);
        for file in ["run.json", "experiment.toml", "metrics.csv", "events.jsonl", "lock"]
            .map(|name| folder.join(name))
            .into_iter()
            .chain(fs::read_dir(folder.join("weights")).unwrap().map(|e| e.unwrap().path()))
            .chain([folder.join("task/unigrams.csv")])
        {
            File::options().append(true).open(file).unwrap().set_modified(old).unwrap();
        }
        folder
    };
    (0..count).map(make).collect()
}

fn folders(entries: &[library::Entry]) -> Vec<PathBuf> {
    entries.iter().map(|entry| entry.folder.clone()).collect()
}

/// Every file under a folder with its bytes.
pub fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn looking_through_a_library_that_is_too_large_removes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let runs = library_of(home.path(), "run", 4);
    library::rename(&runs[1], "the good one").unwrap();
    let before = everything(home.path());
    let whole = Stock::take(home.path(), u64::MAX, &[]).unwrap();
    assert!(whole.sentence(u64::MAX).is_none() && whole.surplus.is_empty());
    let bytes = library::size(&whole.runs);
    let stock = Stock::take(home.path(), bytes - 1, &[]).unwrap();
    assert_eq!(folders(&stock.surplus), [runs[0].clone()], "the oldest is enough");
    let sentence = stock.sentence(bytes - 1).unwrap();
    assert!(sentence.contains("4 runs") && sentence.contains("1 of them"), "{sentence}");
    let stock = Stock::take(home.path(), 0, &runs[2..3]).unwrap();
    assert_eq!(folders(&stock.surplus), [runs[0].clone(), runs[3].clone()]);
    assert!(stock.passed_over[0].message.contains("run-003"), "{:?}", stock.passed_over);
    assert_eq!(everything(home.path()), before);
}

#[test]
fn the_name_of_a_run_that_another_program_writes_is_kept_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let runs = library_of(home.path(), "run", 2);
    let (before, seen) = (everything(&runs[0]), library::glance(home.path()));
    library::rename_beside(&runs[0], " the good one ").unwrap();
    assert_eq!(everything(&runs[0]), before);
    assert_ne!(library::glance(home.path()), seen, "lists that are open read it again");
    let title = || {
        let entries = library::list(home.path()).unwrap();
        let entry = entries.into_iter().find(|entry| entry.folder == runs[0]);
        entry.unwrap().about.title
    };
    assert_eq!(title().as_deref(), Some("the good one"));
    let stock = Stock::take(home.path(), 0, &[]).unwrap();
    assert_eq!(folders(&stock.surplus), [runs[1].clone()], "one with a title stays");
    // Nobody writes it any more: a name in its folder is the last word.
    library::rename(&runs[0], "another").unwrap();
    assert_eq!(title().as_deref(), Some("another"));
    library::rename_beside(&runs[0], "").unwrap();
    assert_eq!(title(), None);
    assert!(library::rename_beside(&home.path().join("none"), "x").is_err());
}

#[test]
fn a_run_that_goes_to_the_trash_comes_back_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let runs = library_of(home.path(), "run", 2);
    fs::write(runs[0].join("thesis.tex"), "years of work").unwrap();
    let before = everything(&runs[0]);
    let place = library::discard(&runs[0]).unwrap();
    let stock = Stock::take(home.path(), 0, &[]).unwrap();
    assert_eq!(folders(&stock.runs), [runs[1].clone()]);
    assert_eq!(folders(&stock.trash), std::slice::from_ref(&place));
    assert!(library::discard(&place.with_file_name("run-009")).is_err());
    // Its place is kept for it, also from a run that a hand put there.
    copy(&runs[1], &runs[0]);
    let error = library::restore(&place).unwrap_err();
    assert!(error.message.contains("something is already"), "{error}");
    fs::remove_dir_all(&runs[0]).unwrap();
    assert_eq!(library::restore(&place).unwrap(), runs[0]);
    assert_eq!(everything(&runs[0]), before);
}

#[test]
fn a_folder_with_files_of_others_stays_where_room_is_made_and_the_trash_is_emptied() {
    let home = tempfile::tempdir().unwrap();
    let runs = library_of(home.path(), "run", 7);
    for (run, name) in [
        (0, "thesis.tex"),
        (1, "weights/notes.txt"),
        (2, "task/corpus.csv"),
        (3, "readers/mine.json"),
        (4, "plots/loss.svg"),
    ] {
        let path = runs[run].join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "years of work").unwrap();
    }
    // What a system left there is nobody's.
    fs::write(runs[5].join(".DS_Store"), "").unwrap();
    fs::write(runs[5].join("task/._unigrams.csv"), "").unwrap();
    let stock = Stock::take(home.path(), 0, &[]).unwrap();
    let mut surplus = folders(&stock.surplus);
    surplus.sort();
    assert_eq!(surplus, runs[5..]);
    let said: Vec<&str> = stock.passed_over.iter().map(|e| &*e.message).collect();
    assert!(said[0].contains("thesis.tex") && said[1].contains("notes.txt"), "{said:?}");
    assert_eq!(said.len(), 5);
    // A person may say so of one run all the same; for good it goes never.
    let thesis = library::discard(&runs[0]).unwrap();
    library::discard(&runs[6]).unwrap();
    let left = library::empty_trash(home.path()).unwrap();
    assert!(left.len() == 1 && left[0].message.contains("thesis.tex"), "{left:?}");
    assert_eq!(fs::read_to_string(thesis.join("thesis.tex")).unwrap(), "years of work");
    assert_eq!(folders(&library::list(&library::trash(home.path())).unwrap()), [thesis]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_run_frees_no_room() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_steps(&other.path().join("run"));
    std::os::unix::fs::symlink(other.path().join("run"), home.path().join("link")).unwrap();
    let stock = Stock::take(home.path(), 0, &[]).unwrap();
    assert!(stock.surplus.is_empty());
    assert!(stock.passed_over[0].message.contains("is a link"), "{:?}", stock.passed_over);
}

#[test]
fn a_run_that_is_open_goes_neither_to_the_trash_nor_for_good() {
    let home = tempfile::tempdir().unwrap();
    let runs = library_of(home.path(), "run", 3);
    let discarded = library::discard(&runs[2]).unwrap();
    let readers = [&runs[0], &discarded].map(|run| WeightsReader::open(run).unwrap());
    fs::write(runs[1].join("metrics.csv"), "step,loss,accuracy\n").unwrap();
    let (writer, _) = Writer::resume(&runs[1]).unwrap();
    let stock = Stock::take(home.path(), 0, &[]).unwrap();
    assert!(stock.surplus.is_empty() && stock.passed_over.len() == 2, "{stock:?}");
    for (run, fragment) in [(0, "being looked at"), (1, "is writing")] {
        let error = library::discard(&runs[run]).err().unwrap();
        assert!(error.message.contains(fragment), "{error}");
    }
    let left = library::empty_trash(home.path()).unwrap();
    assert!(left[0].message.contains("being looked at"), "{left:?}");
    drop((readers, writer));
    assert_eq!(Stock::take(home.path(), 0, &[]).unwrap().surplus.len(), 2);
    assert!(library::empty_trash(home.path()).unwrap().is_empty());
    assert!(!discarded.exists());
}

#[test]
fn a_name_is_never_given_twice() {
    let home = tempfile::tempdir().unwrap();
    let given = |name: &str| {
        let folder = library::new_run_folder(home.path(), name).unwrap();
        folder.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let runs = library_of(home.path(), "my run/1", 3);
    assert!(runs[0].ends_with("my-run-1-001") && runs[2].ends_with("my-run-1-003"));
    library::discard(&runs[2]).unwrap();
    assert_eq!(given("my run/1"), "my-run-1-004");
    assert!(library::empty_trash(home.path()).unwrap().is_empty());
    fs::remove_dir_all(home.path().join("my-run-1-004")).unwrap();
    assert_eq!(given("my run/1"), "my-run-1-005");
    // A folder that a hand put there, or brought from elsewhere, has its name as well.
    fs::create_dir(home.path().join("my-run-1-041")).unwrap();
    assert_eq!(given("my run/1"), "my-run-1-042");
    assert_eq!(given("my run"), "my-run-001", "another name has its own numbers");
    // But for one whose run could not begin.
    library::give_back(&home.path().join("my-run-001"));
    assert_eq!(given("my run"), "my-run-001");
    library::give_back(&runs[0]);
    assert!(runs[0].exists(), "where something was recorded, nothing is taken back");
}

#[test]
fn a_name_too_long_for_a_folder_is_cut_and_a_path_too_long_gets_advice() {
    let home = tempfile::tempdir().unwrap();
    let folder = library::new_run_folder(home.path(), &"ä".repeat(300)).unwrap();
    three_steps(&folder);
    let error = Writer::create(&home.path().join("a".repeat(300)), birth(0)).err().unwrap();
    assert!(error.message.contains("255 bytes") && error.message.contains("shorter"), "{error}");
}

#[test]
fn a_folder_of_ones_own_is_not_taken_for_what_a_killed_run_left() {
    for (name, text) in [
        ("experiment.toml", "name = \"mine\"\n"),
        ("metrics.csv", "step,loss\n0,1\n"),
        ("events.jsonl", "{}\n"),
        ("task/notes.md", "to do"),
        ("task/unigrams.csv", "a,1\n"),
        ("weights/00000000-00000063.safetensors", "numbers"),
        ("notes.tmp", "half a thought"),
        ("lock", "1234"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let before = everything(home.path());
        let error = Writer::create(home.path(), birth(0)).err().unwrap();
        assert!(error.message.contains("no empty folder"), "{name}: {error}");
        assert_eq!(everything(home.path()), before, "{name}");
    }
}

#[test]
fn what_a_run_left_that_was_killed_at_its_very_start_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    for name in ["run.json", "weights/frozen.safetensors"] {
        fs::remove_file(home.path().join(name)).unwrap();
    }
    for (name, text) in
        [("metrics.csv", "step,loss\n"), ("events.jsonl", ""), ("weights/tail.log", "")]
    {
        fs::write(home.path().join(name), text).unwrap();
    }
    fs::write(home.path().join("run.json.tmp"), "{").unwrap();
    fs::write(home.path().join("task/bigrams.csv.tmp"), "half").unwrap();
    drop(Writer::create(home.path(), birth(0)).unwrap());
    assert!(Reader::open(home.path()).unwrap().recording.recorded.is_empty());
    assert!(!home.path().join("task/bigrams.csv.tmp").exists());
    assert!(!home.path().join("run.json.tmp").exists());
}

#[test]
fn what_systems_and_logs_leave_in_a_folder_is_in_no_runs_way_and_stays() {
    let home = tempfile::tempdir().unwrap();
    let names =
        [".DS_Store", ".gitkeep", "Thumbs.db", "desktop.ini", "log.txt", "train.log", "job-7.out"];
    for name in names {
        fs::write(home.path().join(name), name).unwrap();
    }
    let mut impossible = birth(u64::MAX);
    impossible.documents.insert("no/such/folder.csv".to_owned(), String::new());
    assert!(Writer::create(home.path(), impossible).is_err());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), names.len(), "nothing else is left");
    three_steps(home.path());
    assert_eq!(Reader::open(home.path()).unwrap().recording.rows.len(), 3);
    for name in names {
        assert_eq!(fs::read_to_string(home.path().join(name)).unwrap(), name);
    }
}

#[test]
fn writers_of_one_file_wait_for_each_other_and_none_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("about.json");
    // A kill left half of one.
    fs::write(home.path().join("about.json.tmp"), "half").unwrap();
    let texts: Vec<String> = (0..8).map(|k| k.to_string().repeat(5000)).collect();
    std::thread::scope(|scope| {
        for text in &texts {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    replace_bytes(path, text.as_bytes()).unwrap();
                    mnemoscope::formats::file::save(path, text.as_bytes(), true).unwrap();
                }
            });
        }
    });
    assert!(texts.contains(&fs::read_to_string(&path).unwrap()));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn only_files_of_a_run_are_removed_as_its_half_written_ones() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    fs::write(home.path().join("metrics.csv"), "step,loss,accuracy\n").unwrap();
    let (ours, theirs) = (
        ["checkpoint.safetensors.tmp", "weights/00000000-00000063.safetensors.tmp"],
        ["chapter.tmp", "weights/old.tmp", "task/words.tmp"],
    );
    for name in ours.iter().chain(&theirs) {
        fs::write(home.path().join(name), "x").unwrap();
    }
    drop(Writer::resume(home.path()).unwrap());
    assert!(ours.iter().all(|name| !home.path().join(name).exists()));
    assert!(theirs.iter().all(|name| home.path().join(name).exists()));
}

#[test]
fn byte_order_marks_and_line_ends_of_windows_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (plain, other) = (home.path().join("plain"), home.path().join("other"));
    let mut writer = Writer::create(&plain, birth(u64::MAX)).unwrap();
    push_step(&mut writer, 0);
    push_step(&mut writer, 5);
    writer.save(&checkpoint(5)).unwrap();
    push_step(&mut writer, 10);
    drop(writer);
    copy(&plain, &other);
    for name in ["run.json", "experiment.toml", "metrics.csv", "events.jsonl", "task/unigrams.csv"]
    {
        let text = fs::read_to_string(other.join(name)).unwrap().replace('\n', "\r\n");
        fs::write(other.join(name), format!("\u{feff}{text}")).unwrap();
    }
    let read = |folder: &Path| {
        let reader = Reader::open(folder).unwrap();
        let recording = Recording { folder: None, ..reader.recording.clone() };
        let documents = run_folder::documents(folder).unwrap();
        format!("{:?}", (reader.experiment().unwrap(), recording, documents, reader.about))
    };
    assert_eq!(read(&other), read(&plain));
    // Going on counts in bytes: both are cut at the same place and hold the same then.
    for folder in [&plain, &other] {
        let (mut writer, back) = Writer::resume(folder).unwrap();
        assert_eq!(back.unwrap().weights.step, 5);
        push_step(&mut writer, 15);
    }
    for name in ["metrics.csv", "events.jsonl"] {
        assert_eq!(fs::read(other.join(name)).unwrap(), fs::read(plain.join(name)).unwrap());
    }
}

#[test]
fn a_stray_file_among_the_documents_or_readers_of_a_run_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    fs::create_dir(home.path().join("readers")).unwrap();
    for name in ["task/.DS_Store", "task/._unigrams.csv", "readers/._probe.safetensors"] {
        fs::write(home.path().join(name), b"Bud1\xff").unwrap();
    }
    assert_eq!(run_folder::documents(home.path()).unwrap(), birth(0).documents);
    assert!(run_folder::readers::names(home.path()).unwrap().is_empty());
}

#[test]
fn a_run_without_its_curves_or_marks_opens_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    three_steps(home.path());
    for name in ["metrics.csv", "events.jsonl"] {
        fs::remove_file(home.path().join(name)).unwrap();
    }
    let mut reader = Reader::open(home.path()).unwrap();
    let said: Vec<&str> = reader.problems.iter().map(|e| &*e.message).collect();
    assert!(
        said[0].contains("metrics.csv is gone") && said[1].contains("events.jsonl"),
        "{said:?}"
    );
    assert_eq!(reader.weights(5).unwrap(), weights(5));
    assert!(run_folder::rows(home.path(), |_| ()).is_err(), "a table of nothing would be a lie");
}

#[cfg(unix)]
#[test]
fn a_parent_whose_name_is_no_text_is_found_again() {
    use std::os::unix::ffi::OsStringExt;
    let home = tempfile::tempdir().unwrap();
    let parent = PathBuf::from(std::ffi::OsString::from_vec(b"/runs/caf\xe9".to_vec()));
    let parent = Some(run_folder::Parent { folder: Some(parent), step: 7 });
    drop(Writer::create(home.path(), RunHeader { parent: parent.clone(), ..birth(0) }).unwrap());
    assert_eq!(run_folder::about(home.path()).unwrap().parent, parent);
    let text = fs::read_to_string(home.path().join("run.json")).unwrap();
    assert!(text.contains("/runs/caf\u{fffd}"), "for a person: {text}");
}

#[test]
fn a_writer_whose_folder_was_moved_says_so_and_goes_on_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (place, away) = (home.path().join("run"), home.path().join("away"));
    let mut writer = Writer::create(&place, birth(u64::MAX)).unwrap();
    fs::rename(&place, &away).unwrap();
    let error = writer.save(&checkpoint(5)).unwrap_err();
    assert!(error.message.contains("moved or deleted"), "{error}");
    // Not into another folder that has its name now.
    fs::create_dir(&place).unwrap();
    assert!(writer.save(&checkpoint(5)).is_err());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    fs::remove_dir(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    writer.save(&checkpoint(5)).unwrap();
}

#[test]
fn a_writer_whose_folder_was_moved_packs_nothing_into_the_run_that_lies_there_now() {
    let home = tempfile::tempdir().unwrap();
    let (place, away) = (home.path().join("run"), home.path().join("away"));
    let mut writer = Writer::create(&place, birth(u64::MAX)).unwrap();
    push_step(&mut writer, 0);
    fs::rename(&place, &away).unwrap();
    three_steps(&place);
    let packs = || fs::read_dir(place.join("weights")).unwrap().count();
    let before = (packs(), fs::read(place.join("weights/tail.log")).unwrap());
    // More steps than a pack holds.
    for step in 1..100 {
        writer.push(Item::Weights(weights(step)));
        assert!(writer.flush().unwrap_err().message.contains("moved or deleted"));
    }
    assert!((packs(), fs::read(place.join("weights/tail.log")).unwrap()) == before);
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    writer.flush().unwrap();
    assert_eq!(Reader::open(&place).unwrap().recording.recorded.len(), 100);
}
