//! Folders of checkpoints: every step scores as its reference; what was removed, differs or is absurd is said in a sentence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mnemoscope::base::array::Array;
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::run_folder::model_folder::is_model;
use mnemoscope::run_folder::series::{MOST_STEPS, Series, is_series, tokenizer_folder};
use mnemoscope::run_folder::{Reader, WeightsReader};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pretrained::places;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models")
}

pub(crate) fn revisions() -> PathBuf {
    golden().join("series/revisions")
}

pub(crate) fn trainer() -> PathBuf {
    golden().join("series/trainer")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// A folder with copies of some steps of the golden series, under other names.
fn series_of(steps: &[(&str, u64)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, step) in steps {
        copy(&revisions().join(format!("step{step}")), &home.path().join(name));
    }
    home
}

fn trainer_copy() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    copy(&trainer(), home.path());
    home
}

fn change_config(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = read_json(&path);
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

fn steps(folder: &Path) -> Vec<u64> {
    Series::open(folder).unwrap().steps.into_iter().map(|(step, _)| step).collect()
}

fn refusal(folder: &Path) -> String {
    Series::open(folder).err().unwrap_or_else(|| panic!("{} was read", folder.display())).message
}

/// All files under a folder, with their bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

// ── numbers ──────────────────────────────────────────────────────────────────────────────────────────

/// Sequences of two equal halves.
struct Probes {
    rows: Vec<Vec<u32>>,
    half: usize,
    expected: Value,
}

impl Probes {
    fn read() -> Self {
        let mut file = read_json(&golden().join("series/expected.json"));
        let rows = serde_json::from_value(file["probe_ids"].take()).unwrap();
        let half = file["half"].as_u64().unwrap() as usize;
        Self { rows, half, expected: file["steps"].take() }
    }

    fn steps(&self) -> Vec<u64> {
        let mut steps: Vec<u64> =
            self.expected.as_object().unwrap().keys().map(|step| step.parse().unwrap()).collect();
        steps.sort_unstable();
        steps
    }
}

/// What a network scores on the probes, by the names of the reference.
#[derive(Default)]
struct Scores(BTreeMap<String, (f64, f64)>);

impl Scores {
    /// Of these, the mean is taken.
    fn add(&mut self, name: impl Into<String>, value: f64) {
        let (sum, count) = self.0.entry(name.into()).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }

    fn add_losses(&mut self, logits: &Array, ids: &[u32], half: usize) {
        let vocab = *logits.shape.last().unwrap();
        for (i, row) in logits.data.chunks(vocab).take(ids.len() - 1).enumerate() {
            let most = row.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
            let loss = sum.ln() - f64::from(row[ids[i + 1] as usize] - most);
            if i < half - 1 {
                self.add("loss_first_half", loss);
            } else if i >= half {
                self.add("loss_second_half", loss);
            }
        }
    }

    fn add_patterns(&mut self, layer: usize, pattern: &Array, half: usize) {
        let [.., heads, length, _] = pattern.shape[..] else { panic!("{:?}", pattern.shape) };
        for head in 0..heads {
            let at = |query: usize, key: usize| {
                f64::from(pattern.data[(head * length + query) * length + key])
            };
            for query in half..length {
                self.add(format!("induction {layer}.{head}"), at(query, query - half + 1));
            }
            for query in 1..length {
                self.add(format!("previous_token {layer}.{head}"), at(query, query - 1));
            }
        }
    }

    fn check(&self, step: u64, expected: &Value) {
        let near = |name: &str, wanted: &Value| {
            let (sum, count) = self.0[name];
            let apart = (sum / count - wanted.as_f64().unwrap()).abs();
            assert!(apart <= 1e-4, "step {step}: {name} is off by {apart}");
        };
        let mut checked = 0;
        for name in ["loss_first_half", "loss_second_half"] {
            near(name, &expected[name]);
            checked += 1;
        }
        for name in ["induction", "previous_token"] {
            for (layer, heads) in expected[name].as_array().unwrap().iter().enumerate() {
                for (head, wanted) in heads.as_array().unwrap().iter().enumerate() {
                    near(&format!("{name} {layer}.{head}"), wanted);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, self.0.len());
    }
}

fn scores(run: &mut RunAt, step: u64, probes: &Probes) -> Scores {
    let mut scores = Scores::default();
    for ids in &probes.rows {
        let ids = Some(ids.clone());
        run.turn_to(&Question { step: Some(step), ids, ..Question::default() }).unwrap();
        assert_eq!(run.weights.step, step);
        let places = places(run);
        let place = |name: String| places.iter().find(|array| array.name == name).unwrap();
        scores.add_losses(place("logits".to_owned()), &run.prompt.tokens, probes.half);
        for layer in 0..2 {
            scores.add_patterns(layer, place(format!("pattern.{layer}")), probes.half);
        }
    }
    scores
}

/// The series of a folder scores as the reference says, in whatever order its steps are asked about.
fn check_scores(folder: &Path, order: &[u64]) {
    let probes = Probes::read();
    let mut run = RunAt::open(folder, &Question::default()).unwrap();
    for step in order {
        scores(&mut run, *step, &probes).check(*step, &probes.expected[step.to_string()]);
    }
}

#[test]
fn every_step_of_a_series_scores_as_its_reference() {
    let probes = Probes::read();
    assert_eq!(probes.steps().len(), 17);
    assert_eq!(steps(&revisions()), probes.steps());
    check_scores(&revisions(), &probes.steps());
}

#[test]
fn the_last_step_is_the_same_before_and_after_another_one() {
    check_scores(&revisions(), &[1500, 448, 1500, 0, 1500]);
}

#[test]
fn the_steps_of_a_trainer_score_as_their_references_and_nothing_else_is_read_or_written() {
    let home = trainer_copy();
    for step in [256, 512, 1500] {
        for decoy in ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"] {
            let decoy = home.path().join(format!("checkpoint-{step}")).join(decoy);
            fs::remove_file(&decoy).unwrap();
            // Nobody can read a folder as a file.
            fs::create_dir(decoy).unwrap();
        }
    }
    let before = contents(home.path());
    check_scores(home.path(), &[256, 512, 1500]);
    let reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, [256, 512, 1500]);
    assert_eq!(reader.recording.last_step, 1500);
    assert!(reader.problems.is_empty());
    assert_eq!(contents(home.path()), before);
}

#[test]
fn a_step_of_a_series_is_examined_from_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("x.npz");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mnemoscope"))
        .arg("examine")
        .arg(revisions())
        .args(["--step", "448", "--ids", "5,9,17,5", "-o"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::metadata(out).unwrap().len() > 1000);
}

// ── curves ───────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn what_a_trainer_logged_are_the_curves() {
    let reader = Reader::open(&trainer()).unwrap();
    let recording = &reader.recording;
    assert_eq!(recording.columns, ["epoch", "loss", "learning_rate"]);
    assert_eq!(reader.about.columns, recording.columns);
    let state = read_json(&trainer().join("checkpoint-1500/trainer_state.json"));
    let history = state["log_history"].as_array().unwrap();
    assert_eq!(recording.rows.len(), history.len());
    for (row, entry) in recording.rows.iter().zip(history) {
        assert_eq!(row.step, entry["step"].as_u64().unwrap());
        let wanted = ["epoch", "loss", "learning_rate"].map(|key| entry[key].as_f64().unwrap());
        assert_eq!(row.values, wanted);
    }
}

/// A folder of a Trainer whose newest state is this text.
fn logged(state: &str) -> (TempDir, Reader) {
    let home = trainer_copy();
    fs::write(home.path().join("checkpoint-1500/trainer_state.json"), state).unwrap();
    let reader = Reader::open(home.path()).unwrap();
    (home, reader)
}

#[test]
fn entries_of_one_step_are_one_row_and_what_is_no_number_is_left_out() {
    let state = r#"{"note": "NaN \" Infinity", "log_history": [
        {"step": 20, "eval_loss": 2.0, "eval_name": "x", "done": true},
        {"step": 10, "loss": NaN, "grad_norm": -Infinity, "learning_rate": 1e-3},
        {"step": 20, "loss": 3, "=cmd\u001b,\u202e": 1.5},
        {"loss": 7}, 5, null, {"step": -1, "loss": 7}, {"step": 1e300, "loss": 7}
    ]}"#;
    let (_home, reader) = logged(state);
    let recording = reader.recording;
    assert_eq!(recording.columns, ["eval_loss", "learning_rate", "loss", "_cmd___"]);
    let rows: Vec<(u64, Vec<f64>)> =
        recording.rows.iter().map(|row| (row.step, row.values.clone())).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((rows[0].0, rows[0].1[1]), (10, 1e-3));
    assert!([0, 2, 3].iter().all(|i| rows[0].1[*i].is_nan()));
    assert_eq!((rows[1].0, rows[1].1[0], rows[1].1[2], rows[1].1[3]), (20, 2.0, 3.0, 1.5));
    assert!(rows[1].1[1].is_nan());
}

#[test]
fn a_damaged_log_is_said_and_the_one_before_is_taken() {
    for state in ["{\"log_history\": [", "{}", "{\"log_history\": 3}", "[]", ""] {
        let (_home, reader) = logged(state);
        assert_eq!(reader.recording.rows.last().unwrap().step, 500, "{state}");
        assert_eq!(reader.problems.len(), 1);
        assert!(reader.problems[0].message.contains("checkpoint-1500"), "{}", reader.problems[0]);
    }
}

#[test]
fn a_log_of_a_million_columns_or_bytes_stays_small() {
    let entries: Vec<Value> = (0..3000)
        .map(|i| json!({"step": i, format!("metric {i} {}", "x".repeat(300)): i}))
        .collect();
    let (_home, reader) = logged(&json!({"log_history": entries}).to_string());
    assert_eq!(reader.recording.columns.len(), 256);
    assert!(reader.recording.columns.iter().all(|name| name.len() <= 101));
    let (_home, reader) = logged(&" ".repeat(17 << 20));
    assert!(reader.problems[0].message.contains("expected at most"), "{}", reader.problems[0]);
}

// ── steps that come and go ───────────────────────────────────────────────────────────────────────────

#[test]
fn a_step_that_was_removed_is_a_sentence_with_the_nearest_ones() {
    let home = trainer_copy();
    let mut reader = Reader::open(home.path()).unwrap();
    let step = |step: u64| home.path().join(format!("checkpoint-{step}"));
    fs::remove_dir_all(step(512)).unwrap();
    let said = reader.weights(512).unwrap_err().message;
    assert!(said.contains("step 512 is gone") && said.contains("256 and 1500"), "{said}");
    assert_eq!(reader.recording.recorded, [256, 1500]);
    let said = reader.weights(512).unwrap_err().message;
    assert!(said.contains("no step 512") && said.contains("256 and 1500"), "{said}");
    reader.weights(1500).unwrap();
    // One that is asked for by its number before anybody looked.
    copy(&revisions().join("step768"), &step(768));
    assert_eq!(reader.weights(768).unwrap().step, 768);
    fs::remove_dir_all(step(256)).unwrap();
    copy(&revisions().join("step1000"), &step(2000));
    reader.refresh().unwrap();
    assert_eq!(reader.recording.recorded, [768, 1500, 2000]);
    assert_eq!(reader.recording.last_step, 2000);
    assert_eq!(reader.recording.columns.len(), 3);
}

#[test]
fn when_all_steps_are_gone_it_is_said() {
    let home = trainer_copy();
    let mut reader = WeightsReader::open(home.path()).unwrap();
    for step in [256, 512, 1500] {
        fs::remove_dir_all(home.path().join(format!("checkpoint-{step}"))).unwrap();
    }
    let said = reader.weights(256).unwrap_err().message;
    assert!(said.contains("step 256 is gone"), "{said}");
    fs::remove_dir_all(home.path()).unwrap();
    assert!(reader.weights(1500).is_err() && reader.weights(3).is_err());
    let mut reader = Reader::open(&trainer()).unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.recording.recorded, [256, 512, 1500]);
}

#[test]
fn a_step_that_is_half_written_is_left_out_until_it_is_whole() {
    let home = series_of(&[("step1", 1), ("step2", 2)]);
    let half = home.path().join("step4");
    fs::create_dir(&half).unwrap();
    let mut reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, [1, 2]);
    assert!(reader.problems[0].message.contains("step 4 is left out"), "{}", reader.problems[0]);
    copy(&revisions().join("step4"), &half);
    let tensors = half.join("model.safetensors");
    let whole = fs::read(&tensors).unwrap();
    fs::write(&tensors, &whole[..whole.len() - 1]).unwrap();
    reader.refresh().unwrap();
    assert_eq!((&*reader.recording.recorded, reader.problems.len()), (&[1, 2][..], 1));
    fs::write(&tensors, whole).unwrap();
    reader.refresh().unwrap();
    assert_eq!((&*reader.recording.recorded, reader.problems.len()), (&[1, 2, 4][..], 0));
}

#[test]
fn a_file_that_is_written_anew_is_not_taken_for_the_one_before() {
    let home = series_of(&[("step1", 1), ("step2", 2)]);
    let mut reader = WeightsReader::open(home.path()).unwrap();
    let before = reader.weights(1).unwrap().file.unwrap();
    let name = "gpt_neox.embed_in.weight";
    before.0.read(name).unwrap();
    let tensors = home.path().join("step1/model.safetensors");
    fs::remove_file(&tensors).unwrap();
    fs::copy(revisions().join("step1500/model.safetensors"), &tensors).unwrap();
    // Some file systems tell times apart by some milliseconds alone.
    let later = SystemTime::now() + Duration::from_secs(10);
    File::options().write(true).open(&tensors).unwrap().set_modified(later).unwrap();
    let said = before.0.read(name).unwrap_err().message;
    assert!(said.contains("written anew"), "{said}");
    let after = reader.weights(1).unwrap().file.unwrap();
    assert_ne!(before.0.identity(), after.0.identity());
    let last = WeightsReader::open(&revisions()).unwrap().weights(1500).unwrap().file.unwrap();
    assert_eq!(after.0.read(name).unwrap(), last.0.read(name).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_of_a_step_stays_open() {
    let home = tempfile::tempdir().unwrap();
    copy(&revisions(), home.path());
    let mut reader = WeightsReader::open(home.path()).unwrap();
    let kept: Vec<_> = reader.steps().into_iter().map(|s| reader.weights(s).unwrap()).collect();
    assert_eq!(kept.len(), 17);
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let of_steps: Vec<PathBuf> = open.filter(|path| path.starts_with(home.path())).collect();
    assert!(of_steps.is_empty(), "{of_steps:?}");
}

#[test]
fn opening_reads_the_headers_of_tensors_and_not_their_numbers() {
    let home = series_of(&[("step1", 1), ("step2", 2), ("step4", 4)]);
    for step in [1, 2, 4] {
        // A file with holes: its numbers take no room on the disk, and would take 16 GB in memory.
        let mut header = serde_json::Map::new();
        for i in 0..16_u64 {
            let offsets = [i << 30, (i + 1) << 30];
            let entry =
                json!({"dtype": "F32", "shape": [1 << 14, 1 << 14], "data_offsets": offsets});
            header.insert(format!("tensor {i}"), entry);
        }
        let text = Value::Object(header).to_string();
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let path = home.path().join(format!("step{step}/model.safetensors"));
        fs::write(&path, &bytes).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(bytes.len() as u64 + (16 << 30)).unwrap();
    }
    assert_eq!(steps(home.path()), [1, 2, 4]);
    assert_eq!(WeightsReader::open(home.path()).unwrap().weights(2).unwrap().step, 2);
}

// ── one network ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn steps_of_different_networks_are_refused_by_key_value_and_step() {
    let home = series_of(&[("step1", 1), ("step2", 2), ("step4", 4)]);
    let second = home.path().join("step2");
    change_config(&second, |config| {
        config["hidden_act"] = json!("relu");
        config["rotary_pct"] = json!(0.25);
        config["a\u{1b}key"] = json!("\u{202e}".repeat(500));
        config["tie_word_embeddings"] = Value::Null;
    });
    let said = refusal(home.path());
    for wanted in
        ["step 1 ", "step 2 ", "hidden_act (\"gelu\" and \"relu\")", "rotary_pct (0.5 and 0.25)"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(said.len() < 700 && !said.contains(['\u{1b}', '\u{202e}']), "{said}");
    assert!(Reader::open(home.path()).is_err());
    // What does not change what is computed may differ.
    copy(&revisions().join("step2"), &second);
    change_config(&second, |config| {
        config["transformers_version"] = json!("5.0.0");
        config["torch_dtype"] = json!("float32");
        config["attention_dropout"] = json!(0.1);
        config["use_cache"] = Value::Null;
        config["step"] = json!(2);
    });
    assert_eq!(steps(home.path()), [1, 2, 4]);
    // A step that changed after the series was opened.
    let mut reader = Reader::open(home.path()).unwrap();
    change_config(&second, |config| config["rotary_pct"] = json!(0.25));
    let said = reader.weights(2).unwrap_err().message;
    assert!(said.contains("rotary_pct") && said.contains("step 2"), "{said}");
}

// ── where steps lie ──────────────────────────────────────────────────────────────────────────────────

#[test]
fn steps_are_told_by_the_names_of_their_folders_and_are_in_their_order() {
    let home = series_of(&[
        ("step1000-tokens4B", 2),
        ("stage1-step512-tokens2B", 1),
        ("step-00004000", 4),
        ("step9", 0),
        ("checkpoint-70", 8),
        ("stage2-ingredient1-step5000-tokens6B", 16),
        ("step6000-unsharded", 32),
    ]);
    for other in ["step", "stepx5", "laststep5", "checkpoint-5-old", "checkpoint5", "step7-old"] {
        fs::create_dir(home.path().join(other)).unwrap();
    }
    fs::write(home.path().join("step11"), "a file").unwrap();
    assert!(is_series(home.path()) && is_model(home.path()));
    assert_eq!(steps(home.path()), [9, 70, 512, 1000, 4000, 5000, 6000]);
}

#[test]
fn conversions_in_sibling_folders_are_told_by_the_step_that_they_say() {
    let home = tempfile::tempdir().unwrap();
    for (name, step) in [("late", 2000), ("early", 5), ("middle", 300)] {
        let folder = home.path().join(name);
        copy(&golden().join("variants/nanogpt"), &folder);
        change_config(&folder, |config| config["step"] = json!(step));
    }
    fs::create_dir(home.path().join("plots")).unwrap();
    assert_eq!(steps(home.path()), [5, 300, 2000]);
    // Names come first.
    copy(&golden().join("variants/nanogpt"), &home.path().join("step7"));
    assert_eq!(steps(home.path()), [7]);
}

#[test]
fn a_folder_that_holds_a_network_is_one_step_and_a_run_is_none() {
    let home = series_of(&[("step1", 1), ("step2", 2)]);
    assert!(is_series(home.path()));
    copy(&revisions().join("step4"), home.path());
    assert!(is_model(home.path()) && !is_series(home.path()));
    assert_eq!(steps(home.path()), [0]);
    // A configuration without tensors is no network.
    fs::remove_file(home.path().join("model.safetensors")).unwrap();
    assert_eq!(steps(home.path()), [1, 2]);
    for run in ["step1/run.json", "step2/run.json"] {
        fs::write(home.path().join(run), "{}").unwrap();
    }
    assert!(!is_series(home.path()));
    let empty = tempfile::tempdir().unwrap();
    assert!(!is_model(empty.path()) && !is_series(&empty.path().join("nothing")));
}

#[test]
fn absurd_steps_and_two_folders_of_one_step_are_refused() {
    let home = series_of(&[("step1", 1), ("step2", 2)]);
    let absurd = home.path().join("step99999999999999999999");
    fs::create_dir(&absurd).unwrap();
    let said = refusal(home.path());
    assert!(said.contains("step99999999999999999999") && said.contains("beyond"), "{said}");
    assert!(is_model(home.path()) && Reader::open(home.path()).is_err());
    fs::remove_dir(absurd).unwrap();
    fs::create_dir(home.path().join("step0002")).unwrap();
    let said = refusal(home.path());
    assert!(said.contains("step0002") && said.contains("step2 are both step 2"), "{said}");
    let said = home.path().join("said");
    for (name, step) in [("a", json!(-3)), ("b", json!(1e300)), ("c", json!(u64::MAX))] {
        let folder = said.join(name);
        copy(&golden().join("variants/nanogpt"), &folder);
        change_config(&folder, |config| config["step"] = step);
        let said = refusal(&said);
        assert!(said.contains("beyond"), "{said}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn empty_folders_and_thousands_of_them_are_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    for step in 0..MOST_STEPS {
        fs::create_dir(home.path().join(format!("step{step}"))).unwrap();
    }
    let said = refusal(home.path());
    assert!(said.contains("no checkpoint that can be read") && said.len() < 1000, "{said}");
    copy(&revisions().join("step8"), &home.path().join("step8"));
    let reader = Reader::open(home.path()).unwrap();
    assert_eq!(reader.recording.recorded, [8]);
    assert!(reader.problems.len() < 20);
    let last = reader.problems.last().unwrap();
    assert!(last.message.contains("more steps are left out"), "{last}");
    fs::create_dir(home.path().join(format!("step{MOST_STEPS}"))).unwrap();
    let said = refusal(home.path());
    assert!(said.contains("too many") && said.contains("4096"), "{said}");
}

/// A cache of Hugging Face's with these revisions, by names of refs.
#[cfg(unix)]
fn cache(home: &Path, name: &str, refs: &[(&str, u64)]) -> PathBuf {
    let cache = home.join(name);
    for folder in ["refs", "snapshots", "blobs"] {
        fs::create_dir_all(cache.join(folder)).unwrap();
    }
    for (name, step) in refs {
        let commit = format!("{step:040x}");
        fs::write(cache.join("refs").join(name), &commit).unwrap();
        let snapshot = cache.join("snapshots").join(&commit);
        fs::create_dir_all(&snapshot).unwrap();
        for file in ["config.json", "model.safetensors"] {
            let blob = format!("{step}-{file}");
            let from = revisions().join(format!("step{step}")).join(file);
            fs::copy(from, cache.join("blobs").join(&blob)).unwrap();
            let link = snapshot.join(file);
            if !link.exists() {
                std::os::unix::fs::symlink(Path::new("../../blobs").join(blob), link).unwrap();
            }
        }
    }
    cache
}

#[cfg(unix)]
#[test]
fn the_revisions_of_a_cache_are_its_steps() {
    let home = tempfile::tempdir().unwrap();
    let revisions = [("step448", 448), ("step0", 0), ("step512", 512), ("step1500", 1500)];
    let cache = cache(home.path(), "models--a--b", &revisions);
    fs::write(cache.join("refs/another"), "nothing").unwrap();
    fs::create_dir(cache.join("refs/pr")).unwrap();
    assert_eq!(steps(&cache), [0, 448, 512, 1500]);
    check_scores(&cache, &[448, 1500]);
    // Refs that lead nowhere, or elsewhere.
    for commit in ["../../../outside", "", "0123", "a/b", &"f".repeat(5000)] {
        fs::write(cache.join("refs/step7"), commit).unwrap();
        let reader = Reader::open(&cache).unwrap();
        assert_eq!(reader.recording.recorded, [0, 448, 512, 1500]);
        assert_eq!(reader.problems.len(), 1, "{commit}");
        assert!(reader.problems[0].message.contains("step7"), "{}", reader.problems[0]);
    }
    // A link out of the cache is not followed.
    let tensors = cache.join(format!("snapshots/{:040x}/model.safetensors", 512));
    fs::remove_file(&tensors).unwrap();
    std::os::unix::fs::symlink(trainer().join("checkpoint-512/model.safetensors"), tensors)
        .unwrap();
    let reader = Reader::open(&cache).unwrap();
    assert_eq!(reader.recording.recorded, [0, 448, 1500]);
    assert!(reader.problems.iter().any(|e| e.message.contains("outside")));
}

#[cfg(unix)]
#[test]
fn the_main_branch_of_a_cache_is_the_last_step() {
    let home = tempfile::tempdir().unwrap();
    let main_beside = [("step1", 1), ("step512", 512), ("main", 1500)];
    let apart = cache(home.path(), "models--a--b", &main_beside);
    let reader = Reader::open(&apart).unwrap();
    assert_eq!(reader.recording.recorded, [1, 512, 513]);
    assert!(reader.problems[0].message.contains("does not say its step"), "{}", reader.problems[0]);
    let same = cache(home.path(), "models--a--c", &[("step1", 1), ("step512", 512), ("main", 512)]);
    assert_eq!(steps(&same), [1, 512]);
    let pythia = cache(home.path(), "models--EleutherAI--pythia-14m", &main_beside);
    assert_eq!(steps(&pythia), [1, 512, 143_000]);
    let alone = cache(home.path(), "models--a--d", &[("main", 1500)]);
    assert_eq!(steps(&alone), [0]);
}

// ── tokenizers ───────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_tokenizer_lies_with_the_step_beside_the_steps_or_with_another_step() {
    let home = trainer_copy();
    let step = |step: u64| home.path().join(format!("checkpoint-{step}"));
    let write = |folder: &Path, file: &str| fs::write(folder.join(file), "{}").unwrap();
    let found = [home.path().to_owned(), step(512)].map(|folder| tokenizer_folder(&folder));
    assert_eq!(found, [None, None]);
    write(&step(256), "vocab.json");
    assert_eq!(tokenizer_folder(home.path()), None);
    write(&step(256), "merges.txt");
    assert_eq!(tokenizer_folder(home.path()), Some(step(256)));
    assert_eq!(tokenizer_folder(&step(512)), Some(step(256)));
    write(home.path(), "chars.json");
    assert_eq!(tokenizer_folder(home.path()), Some(home.path().to_owned()));
    assert_eq!(tokenizer_folder(&step(512)), Some(home.path().to_owned()));
    write(&step(1500), "tokens.json");
    assert_eq!(tokenizer_folder(home.path()), Some(step(1500)));
    assert_eq!(tokenizer_folder(&step(256)), Some(step(256)));
    // A network alone is not looked for beside.
    let alone = home.path().join("alone");
    copy(&revisions().join("step1"), &alone);
    assert_eq!(tokenizer_folder(&alone), None);
}
