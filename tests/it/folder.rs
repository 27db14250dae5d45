//! The run folder: what survives a kill, and what is said about folders that are not as they should be.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mnemoscope::record::checkpoint::Checkpoint;
use mnemoscope::record::error::Kind;
use mnemoscope::record::event::{Mark, MarkKind, MetricsRow};
use mnemoscope::record::folder::{self, Birth, Item, Reader, WeightsReader, Writer, library};
use mnemoscope::record::intervention::Intervention;
use mnemoscope::record::recording::Recording;
use mnemoscope::record::weights::{NamedTensor, Weights};

fn birth(budget_bytes: u64) -> Birth {
    Birth {
        name: "small".to_owned(),
        experiment: "name = \"small\"\n".to_owned(),
        documents: [("counts.csv".to_owned(), "a,1\n".to_owned())].into(),
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
fn weights(step: u64) -> Weights {
    let x = step as f32;
    let tensors = vec![
        tensor("layer0.wk", &[x, -x, 0.1 * x], true),
        tensor("embed", &[7.0, 8.0], false),
        tensor("layer1.wk", &[x + 0.5], true),
    ];
    Weights { step, tensors }
}

fn row(step: u64) -> MetricsRow {
    MetricsRow { step, values: vec![1.0 / (step as f64 + 3.0), f64::NAN] }
}

fn mark(step: u64) -> Mark {
    Mark { step, kind: MarkKind::Emergence, text: format!("\"formed\" at {step}") }
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

fn copy(from: &Path, to: &Path) {
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
        }
    }
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
    assert_eq!(folder::documents(home.path()).unwrap(), birth(0).documents);
    assert!(folder::documents(&home.path().join("weights")).unwrap().is_empty());
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
    fs::write(&path, bytes).unwrap();
    assert_eq!(Reader::open(home.path()).unwrap().recording.recorded, [0, 5]);
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
    assert!(error.message.contains("is no run folder"), "{error}");
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
        let _ = folder::checkpoint(home.path());
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

#[test]
fn a_run_that_is_open_stays_when_room_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folders: Vec<_> =
        (0..4).map(|_| library::new_run_folder(home.path(), "run").unwrap()).collect();
    folders.iter().for_each(|folder| three_steps(folder));
    let reader = WeightsReader::open(&folders[0]).unwrap();
    let (writer, _) = Writer::resume(&folders[1]).unwrap_or_else(|_| {
        fs::write(folders[1].join("metrics.csv"), "step,loss,accuracy\n").unwrap();
        Writer::resume(&folders[1]).unwrap()
    });
    let keep = [folders[2].clone()];
    let error = library::delete(&folders[0]).err().unwrap();
    assert!(error.message.contains("being looked at"), "{error}");
    assert_eq!(library::make_room(home.path(), 0, &keep).unwrap(), [folders[3].clone()]);
    drop((reader, writer));
    assert_eq!(library::make_room(home.path(), 0, &[]).unwrap().len(), 3);
}

#[test]
fn the_library_removes_its_oldest_runs_without_a_name() {
    let home = tempfile::tempdir().unwrap();
    let folders: Vec<_> = (0..3)
        .map(|_| {
            let folder = library::new_run_folder(home.path(), "my run/1").unwrap();
            three_steps(&folder);
            // Runs of one instant have no order.
            std::thread::sleep(std::time::Duration::from_millis(20));
            folder
        })
        .collect();
    assert!(folders[0].ends_with("my-run-1-001") && folders[2].ends_with("my-run-1-003"));
    library::rename(&folders[1], "the good one").unwrap();
    let entries = library::list(home.path()).unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(
        library::make_room(home.path(), u64::MAX, &[]).unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    let gone = library::make_room(home.path(), entries[0].bytes, &[]).unwrap();
    assert_eq!(gone, [folders[0].clone(), folders[2].clone()]);
    assert_eq!(library::list(home.path()).unwrap()[0].about.title.as_deref(), Some("the good one"));
}
