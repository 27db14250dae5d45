//! The program as a person calls it: exit codes, messages, files.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mnemoscope::run_folder::Reader;

/// A network that trains hundreds of steps in a second.
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
steps = 30
held_out = 16
loss = "repeated"
"#;

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
    command.current_dir(folder).args(args).env("XDG_DATA_HOME", folder.join("data"));
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    program(folder, args).stdin(Stdio::null()).output().unwrap()
}

/// Runs what must succeed and returns what it printed.
fn done(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn tiny() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    folder
}

#[test]
fn the_documented_help_is_the_help() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/help.txt");
    let now = mnemoscope::cli::help();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap();
    assert_eq!(
        documented, now,
        "run the tests once with UPDATE_SNAPSHOTS=1 and read the difference"
    );
}

#[test]
fn wrong_words_get_a_sentence_and_the_documented_exit_code() {
    let folder = tiny();
    fs::write(folder.path().join("broken.toml"), "name = \"x\"\n[task\n").unwrap();
    fs::write(folder.path().join("wrong.toml"), TINY.replace("width = 16", "wdith = 16")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["train", "brith"], 2, "birth"),
        (&["train", "tiny.toml", "--set", "train.rte=1"], 2, "train.rate"),
        (&["train", "tiny.toml", "--set", "train.rate=-1"], 2, "from"),
        (&["train", "tiny.toml", "--set", "train.rate"], 2, "NAME=VALUE"),
        (&["train", "tiny.toml", "--set", "model.width=many"], 2, "whole number"),
        (&["train", "birth", "--out", "x"], 2, "--steps"),
        (&["train", "broken.toml"], 3, "broken.toml"),
        (&["train", "wrong.toml"], 3, "width"),
        (&["train", "absent.toml"], 3, "absent.toml"),
        (&["examine", "absent"], 3, "absent"),
        // Said before anything is opened or computed.
        (&["examine", "absent", "-o", "x.csv"], 2, ".json or .npz"),
        (&["list", "tasks", "bigam"], 2, "bigram"),
        (&["list", "tsaks"], 2, "tasks"),
        (&["train", "tiny.toml", "--device", "tpu"], 2, "cpu, cuda, metal"),
        (&["bench", "train/brith"], 2, "train/birth"),
        (&["bench", "scrub", "--seconds", "-1"], 2, "--seconds"),
        (&["frobnicate", "x", "y"], 2, "Usage"),
        (&["tran", "birth"], 2, "Did you mean train"),
        (&["tran"], 2, "Did you mean train"),
        (&["brith-joint"], 2, "birth-joint"),
        (&["train", "tiny.toml", "--steps", "1000000001"], 2, "from 0 to 1000000000"),
        (&["train", "tiny.toml", "--steps", "1.5"], 2, "whole number"),
        (&["sweep", "tiny.toml", "--steps", "1000000001", "--out", "s"], 2, "1000000000"),
        (&["sweep", "tiny.toml", "--set", "train.rate=1,1.0", "--out", "s"], 2, "twice"),
        (&["examine", "run", "--tokens", "-a"], 2, "--tokens=-a"),
        (&["train", "tiny.toml", "--out", "-dash"], 2, "--out=-dash"),
        (&["figure", "run", "attention", "-o", "-a.pdf"], 2, "-o=-a.pdf"),
    ];
    for (args, code, fragment) in cases {
        let output = run(folder.path(), args);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {err}");
        assert!(err.contains(fragment), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
    }
}

#[cfg(not(any(feature = "cuda", feature = "metal")))]
#[test]
fn a_device_that_this_program_was_not_built_for_is_refused() {
    let folder = tiny();
    for device in ["cuda", "metal"] {
        let output =
            run(folder.path(), &["train", "tiny.toml", "--steps", "1", "--device", device]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{err}");
        assert!(err.contains(&format!("--features {device}")), "{err}");
    }
}

#[test]
fn a_benchmark_prints_one_object_a_line() {
    let folder = tiny();
    let args = ["bench", "train/birth_small", "--json", "--seconds", "0", "--peak", "1e9"];
    let out = done(folder.path(), &args);
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["peak_gflops"]), (2, &1e9.into()));
    assert_eq!(lines[1]["name"], "train/birth_small");
    let number = |key: &str| lines[1][key].as_f64().unwrap();
    assert!(number("min_s") > 0.0 && number("min_s") <= number("median_s"));
    let tokens = 16.0 * 64.0;
    assert!((number("tokens_per_s") * number("median_s") / tokens - 1.0).abs() < 1e-6);
    assert!((number("useful_gflops") / number("fraction_of_peak") / 1e9 - 1.0).abs() < 1e-6);
}

#[test]
fn every_kind_can_be_listed_with_its_settings() {
    let folder = tiny();
    let all = done(folder.path(), &["list"]);
    for name in ["bigram", "birth", "decoder", "birth-joint", "attention", "curves"] {
        assert!(all.contains(name), "{name} is not in\n{all}");
    }
    let task = done(folder.path(), &["list", "tasks", "bigram"]);
    assert!(task.contains("task.triggers = 5") && task.contains("from 0 to 10"), "{task}");
    let experiment = done(folder.path(), &["list", "experiments", "birth-joint"]);
    for setting in ["train.rate", "train.batch", "train.steps", "train.seed", "model.width"] {
        assert!(experiment.contains(setting), "{setting} is not in\n{experiment}");
    }
}

#[test]
fn a_run_can_be_trained_examined_and_drawn() {
    let folder = tiny();
    let out = done(folder.path(), &["train", "tiny.toml", "--out", "run"]);
    assert!(out.contains("Finished at step 30") && out.contains("run"), "{out}");

    let shown = done(folder.path(), &["examine", "run", "--step", "20"]);
    assert!(shown.contains("step 20") && shown.contains("accuracy_in_context"), "{shown}");

    let args =
        ["examine", "run", "--tokens", "to be or", "--probe", "attention", "--cut", "layer1.head0"];
    done(folder.path(), &[&args[..], &["-o", "a.json"]].concat());
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("a.json")).unwrap()).unwrap();
    let pattern = &json["probes"]["attention"]["arrays"]["pattern.layer1"];
    assert_eq!(pattern["shape"], serde_json::json!([1, 8, 8]));
    let row: f64 =
        pattern["data"].as_array().unwrap()[56..].iter().map(|x| x.as_f64().unwrap()).sum();
    assert!((row - 1.0).abs() < 1e-5, "the last row of a pattern sums to {row}");
    assert_eq!(json["interventions"][0], "zero layer1.head0");

    done(folder.path(), &[&args[..], &["-o", "a.npz"]].concat());
    let npz = fs::read(folder.path().join("a.npz")).unwrap();
    assert!(npz.starts_with(b"PK"));

    for file in ["a.json", "a.npz"] {
        let before = fs::read(folder.path().join(file)).unwrap();
        let again = run(folder.path(), &["examine", "run", "--probe", "norms", "-o", file]);
        assert_eq!(again.status.code(), Some(2), "an answer is not replaced unasked");
        assert_eq!(fs::read(folder.path().join(file)).unwrap(), before);
        done(folder.path(), &["examine", "run", "--probe", "norms", "-o", file, "--force"]);
        assert_ne!(fs::read(folder.path().join(file)).unwrap(), before);
    }
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<_> = names.filter(|n| n.to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");

    let near = run(folder.path(), &["examine", "run", "--step", "22", "--probe", "norms"]);
    let (out, err) = (text(&near.stdout), text(&near.stderr));
    assert!(err.contains("step 22") && err.contains("step 20"), "{err}");
    assert!(out.contains("step 20"), "{out}");
    let nowhere = run(folder.path(), &["examine", "run", "--cut", "layer7.head0"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("no such place"), "{}", text(&nowhere.stderr));

    for file in ["f.svg", "f.pdf", "f.png", "g.csv"] {
        done(folder.path(), &["figure", "run", "attention", "--step", "20", "-o", file]);
        assert!(fs::metadata(folder.path().join(file)).unwrap().len() > 500, "{file}");
    }
    let again = run(folder.path(), &["figure", "run", "attention", "-o", "f.svg"]);
    assert_eq!(again.status.code(), Some(2), "a figure is not replaced unasked");
    done(
        folder.path(),
        &["figure", "run", "curves", "-o", "f.svg", "--force", "--set", "log_x=true"],
    );
}

#[test]
fn weights_and_metrics_are_exported_or_refused_and_nothing_is_replaced_unasked() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    done(at, &["export", "run", "--to", "transformer_lens", "--step", "20", "-o", "lens"]);
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(at.join("lens/config.json")).unwrap()).unwrap();
    // The linear matrix of this network goes through ReLU twice.
    assert_eq!((&config["d_mlp"], &config["act_fn"]), (&32.into(), &"relu".into()));
    done(at, &["export", "run", "--to", "hooked", "-o", "hooked"]);
    done(at, &["export", "run", "--to", "safetensors", "-o", "own.safetensors"]);
    let own = fs::read(at.join("own.safetensors")).unwrap();
    let own = safetensors::SafeTensors::deserialize(&own).unwrap();
    assert_eq!(own.tensor("layer0.wk").unwrap().shape(), [16, 16]);

    let refused = run(at, &["export", "run", "--to", "gpt2", "-o", "gpt2"]);
    let why = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("it has no norms") && why.contains("safetensors"), "{why}");
    assert!(!at.join("gpt2").exists(), "what is refused leaves nothing");

    done(at, &["export", "run", "--to", "csv", "-o", "metrics.csv"]);
    let csv = fs::read_to_string(at.join("metrics.csv")).unwrap();
    assert!(csv.starts_with("step,") && csv.lines().count() > 2, "{csv}");
    if cfg!(feature = "parquet") {
        done(at, &["export", "run", "--to", "parquet", "-o", "metrics.parquet"]);
        assert!(fs::read(at.join("metrics.parquet")).unwrap().starts_with(b"PAR1"));
    }
    let mut command = program(at, &["export", "run", "--to", "tensorboard", "-o", "logs"]);
    assert!(command.env("SOURCE_DATE_EPOCH", "1234").status().unwrap().success());
    assert!(at.join("logs/events.out.tfevents.0000001234.mnemoscope").is_file());

    for (kind, out) in
        [("transformer_lens", "lens"), ("safetensors", "own.safetensors"), ("csv", "metrics.csv")]
    {
        let again = run(at, &["export", "run", "--to", kind, "-o", out]);
        assert_eq!(again.status.code(), Some(2), "{kind} is replaced unasked");
        done(at, &["export", "run", "--to", kind, "-o", out, "--force"]);
    }
    let wrong: [&[&str]; 2] =
        [&["--to", "csv", "--step", "3", "-o", "x.csv"], &["--to", "csv", "--force", "-o", "lens"]];
    for args in wrong {
        let wrong = run(at, &[&["export", "run"], args].concat());
        assert_eq!(wrong.status.code(), Some(2), "{args:?}");
    }
    let left = fs::read_dir(at).unwrap().chain(fs::read_dir(at.join("lens")).unwrap());
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[cfg(unix)]
#[test]
fn an_export_replaces_a_link_and_writes_nothing_through_it() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run", "--steps", "1"]);
    fs::write(at.join("mine"), "mine").unwrap();
    std::os::unix::fs::symlink("mine", at.join("link.csv")).unwrap();
    std::os::unix::fs::symlink("nowhere", at.join("dangling.csv")).unwrap();
    for link in ["link.csv", "dangling.csv"] {
        let args = ["export", "run", "--to", "csv", "-o", link];
        assert_eq!(run(at, &args).status.code(), Some(2), "{link} is there");
        done(at, &[&args[..], &["--force"]].concat());
        assert!(fs::read_to_string(at.join(link)).unwrap().starts_with("step,"));
    }
    assert_eq!(fs::read_to_string(at.join("mine")).unwrap(), "mine");
    assert!(!at.join("nowhere").exists());
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = tiny();
    for (out, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let seed = format!("train.seed={seed}");
        done(folder.path(), &["train", "tiny.toml", "--quiet", "--out", out, "--set", &seed]);
    }
    let metrics = |run: &str| fs::read(folder.path().join(run).join("metrics.csv")).unwrap();
    assert_eq!(metrics("a"), metrics("b"));
    assert_ne!(metrics("a"), metrics("c"));
    let followed = ["train", "tiny.toml", "--quiet", "--follow-friendly"];
    done(folder.path(), &[&followed[..], &["--out", "d", "--set", "train.seed=1"]].concat());
    assert_eq!(metrics("a"), metrics("d"));
}

#[test]
fn a_run_is_resumed_as_it_was_recorded_or_not_at_all() {
    let folder = tiny();
    done(folder.path(), &["train", "tiny.toml", "--quiet", "--out", "run"]);
    let metrics = || fs::read(folder.path().join("run/metrics.csv")).unwrap();
    let before = metrics();
    let args = ["train", "tiny.toml", "--resume", "--out", "run", "--set", "train.rate=0.1"];
    let output = run(folder.path(), &args);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("train.rate = 0.2"), "{}", text(&output.stderr));
    let output = run(folder.path(), &["train", "birth-joint", "--resume", "--out", "run"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(metrics(), before);
    let resume = ["train", "--resume", "--out", "run"];
    // What a newer program wrote is refused as such, whatever its settings are called.
    let about = folder.path().join("run/run.json");
    let newer = fs::read_to_string(&about).unwrap().replace("\"schema\": 1", "\"schema\": 2");
    fs::write(about, newer).unwrap();
    let document = folder.path().join("run/experiment.toml");
    let text_of = fs::read_to_string(&document).unwrap().replace("width", "breadth");
    fs::write(document, text_of).unwrap();
    let output = run(folder.path(), &resume);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("schema 2"), "{}", text(&output.stderr));
}

#[test]
fn a_resumed_run_says_what_the_whole_of_it_learned() {
    let folder = tiny();
    let sets = ["--set", "model.width=64", "--set", "train.loss=all"];
    let args = ["train", "tiny.toml", "--steps", "150", "--out", "run"];
    let learned = |out: &str| {
        let marks = out.lines().filter(|line| line.starts_with("  step ")).map(str::to_owned);
        marks.collect::<Vec<_>>()
    };
    let first = learned(&done(folder.path(), &[&args[..], &sets].concat()));
    assert!(first[0].contains("global statistics learned"), "{first:?}");
    let again = done(folder.path(), &["train", "--resume", "--out", "run"]);
    assert_eq!(learned(&again), first);
    assert!(again.contains("Finished at step 150: loss"), "{again}");
}

#[test]
fn a_name_of_the_list_is_the_experiment_and_a_path_the_folder() {
    let folder = tiny();
    done(folder.path(), &["train", "tiny.toml", "--quiet", "--out", "birth"]);
    let output = run(folder.path(), &["train", "birth"]);
    assert!(text(&output.stderr).contains("birth goes on until stopped"), "the experiment");
    let repeated = done(folder.path(), &["train", "./birth", "--out", "again"]);
    assert!(repeated.contains("Finished at step 30"), "{repeated}");
}

#[test]
fn a_run_that_diverges_says_where_it_lies() {
    let folder = tiny();
    let wild = ["train.rate=100", "train.decay=10", "train.momentum=0.9999"];
    let sets = wild.iter().flat_map(|s| ["--set", s]);
    let args: Vec<&str> = ["train", "tiny.toml", "--out", "wild"].into_iter().chain(sets).collect();
    let output = run(folder.path(), &[&args[..], &["--steps", "2000"]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.contains("Diverged at step") && out.contains("The run lies in wild"), "{out}");
}

#[test]
fn the_end_of_a_run_is_said_with_the_step_of_its_end() {
    let folder = tiny();
    let words = ["train", "tiny.toml", "--set", "train.evaluate=500", "--out", "wild"];
    let wild = ["--set", "train.rate=100", "--set", "train.decay=10", "--steps", "2000"];
    let out = text(&run(folder.path(), &[&words[..], &wild].concat()).stdout);
    let marks = mnemoscope::run_folder::marks(&folder.path().join("wild")).unwrap();
    let step = marks.iter().find(|mark| mark.text == "diverged").unwrap().step;
    assert!((1..500).contains(&step), "{step}");
    assert!(out.contains(&format!("Diverged at step {step}: loss")), "{out}");
    assert!(out.contains("(at step 0)"), "the numbers are of an earlier step: {out}");
}

/// The command after a word of a program's last lines.
#[cfg(unix)]
fn printed<'a>(out: &'a str, word: &str) -> &'a str {
    out.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{word} {out}"))
}

/// Runs a command as a shell reads it.
#[cfg(unix)]
fn pasted(folder: &Path, command: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_mnemoscope");
    let command = command.replacen("mnemoscope", program, 1);
    let mut shell = Command::new("bash");
    shell.args(["-c", &command]).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

#[cfg(unix)]
#[test]
fn what_is_printed_can_be_pasted_whatever_the_folder_is_called() {
    let folder = tiny();
    let names =
        ["birth", "-dash", "train", "a b", "it's", "$HOME", "a\"b", "`x`", "\u{200b}\n", "é"];
    for name in names {
        let out = done(folder.path(), &["train", "tiny.toml", &format!("--out={name}")]);
        let look = printed(&out, "Look at it: mnemoscope ");
        let examined = pasted(folder.path(), &format!("mnemoscope examine {look} --probe norms"));
        assert!(examined.status.success(), "{look}: {}", text(&examined.stderr));
        assert!(text(&examined.stdout).contains("step 30 of tiny"), "{look}");
        // What is asked about is printed as it is asked about.
        let shown = text(&examined.stdout);
        let tokens = printed(&shown, "sequence  ");
        let again = format!("mnemoscope examine {look} --probe norms --tokens={tokens}");
        assert_eq!(text(&pasted(folder.path(), &again).stdout), shown);
    }
    let out = done(folder.path(), &["sweep", "tiny.toml", "--seeds", "0..1", "--out=-s $1"]);
    let table = pasted(folder.path(), printed(&out, "Its numbers: "));
    assert_eq!(text(&table.stdout).lines().count(), 3, "{out}");
    let look = printed(&out, "Look at it: mnemoscope ");
    assert_eq!(look, "'./-s $1'");
}

#[test]
fn of_a_long_sequence_both_ends_are_printed_and_how_long_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models/llama");
    fs::copy(golden.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let config = fs::read_to_string(golden.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["max_position_embeddings"] = 2048.into();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let ids = |count: usize| (0..count).map(|i| (i % 300).to_string()).collect::<Vec<_>>();
    let sequence = |count: usize| {
        let out = done(folder.path(), &["examine", ".", "--ids", &ids(count).join(",")]);
        printed(&out, "sequence  ").to_owned()
    };
    assert_eq!(sequence(40), format!("'{}'", ids(40).join(" ")));
    let (all, long) = (ids(1024), sequence(1024));
    let ends = [&all[..24], &all[1016..]].map(|ids| format!("'{}'", ids.join(" ")));
    assert_eq!(long, format!("{} … {} (1024 tokens)", ends[0], ends[1]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_printed_by_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let path = OsStr::from_bytes(b"caf\xe9 1");
    let word = mnemoscope::base::quoting::path(path);
    assert_eq!(word, r"$'./caf\351 1'");
    let echoed = Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().unwrap();
    assert_eq!(echoed.stdout, b"./caf\xe9 1");
    for (path, word) in
        [("/a/b", "/a/b"), ("a/b", "a/b"), ("-a/b", "./-a/b"), (".", "."), ("", "''")]
    {
        assert_eq!(mnemoscope::base::quoting::path(path), word);
    }
}

#[test]
fn a_run_whose_rate_falls_is_not_made_longer_and_a_constant_one_says_so() {
    let folder = tiny();
    let at = folder.path();
    done(
        at,
        &["train", "tiny.toml", "--set", "train.schedule=cosine", "--out", "falls", "--quiet"],
    );
    let longer = |out: &str| run(at, &["train", "--resume", "--out", out, "--steps", "6e1"]);
    let refused = longer("falls");
    let err = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{err}");
    assert!(err.contains("train.steps = 30") && err.contains("cosine"), "{err}");
    done(at, &["train", "tiny.toml", "--out", "constant", "--quiet"]);
    assert!(longer("constant").status.success());
    let document = fs::read_to_string(at.join("constant/experiment.toml")).unwrap();
    assert!(document.contains("steps = 60\n"), "{document}");
}

#[test]
fn a_sweep_with_a_damaged_run_is_gathered_and_drawn() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["sweep", "tiny.toml", "--seeds", "0..4", "--out", "s", "--quiet"]);
    let metrics = at.join("s/seed1/metrics.csv");
    fs::write(&metrics, fs::read_to_string(&metrics).unwrap() + "40,abc\n").unwrap();
    let cases: [&[&str]; 4] = [
        &["gather", "s"],
        &["gather", "s", "--correlate", "seed,loss"],
        &["gather", "s", "--curves"],
        &["figure", "s", "sweep", "-o", "s.svg"],
    ];
    for args in cases {
        let output = run(at, args);
        let err = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {err}");
        assert!(err.contains("seed1") && err.contains("is damaged"), "{args:?}: {err}");
    }
    let rows = done(at, &["gather", "s"]);
    let damaged = rows.lines().find(|line| line.starts_with("seed1,")).unwrap();
    assert!(damaged.contains(",damaged,"), "{damaged}");
    assert!(fs::read_to_string(at.join("s.svg")).unwrap().contains("damaged"));
}

#[test]
fn a_new_run_goes_into_the_library_and_a_refused_one_leaves_nothing_there() {
    let folder = tiny();
    let refused = ["train", "tiny.toml", "--set", "task.triggers=0"];
    assert_eq!(run(folder.path(), &refused).status.code(), Some(2));
    let library = folder.path().join("data/mnemoscope/runs");
    if cfg!(target_os = "linux") {
        assert!(!library.join("tiny-001").exists());
    }
    let out = done(folder.path(), &["train", "tiny.toml"]);
    assert!(out.contains("tiny-001"), "{out}");
    // A file in place of the library: no disk could refuse more.
    let blocked =
        program(folder.path(), &["train", "tiny.toml", "--out", "tiny.toml/run"]).output();
    let blocked = blocked.unwrap();
    assert_eq!(blocked.status.code(), Some(4), "{}", text(&blocked.stderr));
    assert!(!text(&blocked.stderr).contains("instead"), "{}", text(&blocked.stderr));
}

/// Runs the program in `folder` with words that need not be text, and an answer to what it asks.
fn asked(folder: &Path, args: &[&OsStr], answer: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
    command.current_dir(folder).args(args).env("XDG_DATA_HOME", folder.join("data"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who asks nothing has gone before the answer.
    let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
    child.wait_with_output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_that_is_too_large_is_said_and_made_smaller_only_when_told_to() {
    let folder = tiny();
    let folder = folder.path();
    let train = ["train", "tiny.toml", "--steps", "2"];
    done(folder, &train);
    done(folder, &train);
    let library = folder.join("data/mnemoscope/runs");
    // A pack with a hole in it, which takes no disk; and a second run that is newer.
    let hole = fs::File::create(library.join("tiny-001/weights/1-2.safetensors")).unwrap();
    hole.set_len(4_200_000_000).unwrap();
    hole.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    done(folder, &["train", "--resume", "--out", "data/mnemoscope/runs/tiny-002", "--steps", "4"]);
    let output = run(folder, &train);
    let err = text(&output.stderr);
    assert!(output.status.success() && err.contains("runs --prune"), "{err}");
    assert!(err.contains("2 runs, 4.20 GB") && err.contains("1 of them"), "{err}");
    let there = |name: &str| library.join(name).join("run.json").exists();
    assert!(there("tiny-001") && there("tiny-002") && there("tiny-003"));

    let runs = |args: &[&str], answer: &str| {
        let args: Vec<&OsStr> = ["runs"].iter().chain(args).map(OsStr::new).collect();
        let output = asked(folder, &args, answer);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = runs(&[], "");
    assert!(code == Some(0) && said.contains("tiny-003") && said.contains("4.20 GB"), "{said}");
    let (code, said) = runs(&["--prune", "--dry-run"], "");
    assert!(code == Some(0) && said.contains("tiny-001") && !said.contains("tiny-002"), "{said}");
    let (code, said) = runs(&["--prune"], "");
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    let (code, _) = runs(&["--prune"], "n\n");
    assert!(code == Some(0) && there("tiny-001"));

    let (code, said) = runs(&["--prune"], "y\n");
    assert!(code == Some(0) && said.contains("--restore"), "{said}");
    assert!(!there("tiny-001") && there("tiny-002"));
    let (code, said) = runs(&["--restore", "tiny-01"], "");
    assert!(code == Some(2) && said.contains("tiny-001"), "{said}");
    let (code, _) = runs(&["--restore", "tiny-001"], "");
    assert!(code == Some(0) && there("tiny-001"));

    let (code, _) = runs(&["--prune", "--yes"], "");
    assert!(code == Some(0) && !there("tiny-001"));
    let (code, said) = runs(&["--empty-trash"], "no\n");
    assert!(code == Some(0) && said.contains("for good"), "{said}");
    assert!(library.join(".trash/tiny-001/run.json").exists());
    let (code, _) = runs(&["--empty-trash"], "yes\n");
    assert!(code == Some(0) && !library.join(".trash/tiny-001").exists());
    assert!(done(folder, &train).contains("tiny-004"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_is_recorded_and_opens_for_every_command() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tiny();
    let (cafe, sweep) = (OsStr::from_bytes(b"caf\xe9"), OsStr::from_bytes(b"sw\xe9\xe9p"));
    let word = OsStr::new;
    let succeeds = |args: &[&OsStr]| {
        let output = asked(folder.path(), args, "");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    };
    succeeds(&[word("train"), word("tiny.toml"), word("--steps"), word("9"), word("--out"), cafe]);
    succeeds(&[word("train"), word("--resume"), word("--steps"), word("12"), word("--out"), cafe]);
    succeeds(&[word("train"), cafe, word("--out"), word("again")]);
    succeeds(&[word("examine"), cafe, word("--probe"), word("induction")]);
    succeeds(&[
        word("figure"),
        cafe,
        word("attention"),
        word("-o"),
        word("a.svg"),
        word("--alone"),
    ]);
    succeeds(&[word("export"), cafe, word("--to"), word("csv"), word("-o"), word("a.csv")]);
    succeeds(&[word("sweep"), cafe, word("--seeds"), word("0..1"), word("--out"), sweep]);
    succeeds(&[word("gather"), sweep]);
    // Also from inside of such a folder, with paths among the settings.
    fs::write(folder.path().join(cafe).join("text.txt"), "abracadabra simsalabim").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mnemoscope"))
        .current_dir(folder.path().join(cafe))
        .args(["train", "../tiny.toml", "--set", "task.text=text.txt", "--out", "../text"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// What a file system without locks answers.
#[cfg(target_os = "linux")]
const NO_LOCKS: &str = "#include <errno.h>\n#include <stdlib.h>\n\
    int flock(int file, int how) { errno = atoi(getenv(\"LOCK_ERRNO\")); return -1; }\n";

#[cfg(target_os = "linux")]
#[test]
fn where_there_are_no_locks_it_is_said_once_and_training_goes_on() {
    let folder = tiny();
    fs::write(folder.path().join("locks.c"), NO_LOCKS).unwrap();
    // The linker that built this test.
    let built = Command::new("cc")
        .current_dir(folder.path())
        .args(["-shared", "-fPIC", "-o", "locks.so", "locks.c"])
        .status();
    assert!(built.unwrap().success());
    // ENOLCK, ENOSYS and EOPNOTSUPP.
    for errno in ["37", "38", "95"] {
        let without = |args: &[&str]| {
            let output = program(folder.path(), args)
                .env("LD_PRELOAD", folder.path().join("locks.so"))
                .env("LOCK_ERRNO", errno)
                .output()
                .unwrap();
            let err = text(&output.stderr);
            assert!(output.status.success(), "{args:?}: {err}");
            err
        };
        let out = format!("run-{errno}");
        let err = without(&["train", "tiny.toml", "--steps", "5", "--out", &out]);
        assert_eq!(err.matches("no file locks").count(), 1, "{err}");
        without(&["train", "--resume", "--steps", "9", "--out", &out]);
        without(&["examine", &out, "--probe", "induction"]);
        let out = format!("sweep-{errno}");
        let err =
            without(&["sweep", "tiny.toml", "--seeds", "0..1", "--steps", "3", "--out", &out]);
        assert_eq!(err.matches("no file locks").count(), 1, "{err}");
    }
}

#[cfg(unix)]
#[test]
fn a_log_may_be_sent_into_the_folder_of_its_run() {
    let folder = tiny();
    fs::create_dir(folder.path().join("run")).unwrap();
    let log = fs::File::create(folder.path().join("run/log.txt")).unwrap();
    let args = ["train", "tiny.toml", "--steps", "5", "--out", "run"];
    let status = program(folder.path(), &args).stdout(log).status().unwrap();
    assert!(status.success());
    let said = fs::read_to_string(folder.path().join("run/log.txt")).unwrap();
    assert!(said.contains("Finished at step 5"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_ends_the_run_with_a_true_sentence() {
    let folder = tiny();
    let staged = format!("{TINY}\n[[at]]\nstep = 12\nfreeze = \"W_K1\"\n");
    fs::write(folder.path().join("staged.toml"), staged).unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("run/events.jsonl")).unwrap();
    let output = run(folder.path(), &["train", "staged.toml", "--out", "run"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains("the disk is full") && err.contains("can be resumed"), "{err}");
    assert!(text(&output.stdout).contains("The run lies in run"));
}

#[test]
fn a_fault_of_the_program_has_its_own_exit_code() {
    let code = mnemoscope::cli::carried_out(|| panic!("as if something were wrong"));
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::from(70)));
}

#[cfg(unix)]
#[test]
fn a_run_whose_reader_has_gone_trains_to_its_end() {
    let folder = tiny();
    let args = ["train", "tiny.toml", "--out", "run", "--steps", "300"];
    let mut child =
        program(folder.path(), &args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    // As `head` does.
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let rows = Reader::open(&folder.path().join("run")).unwrap().recording.rows;
    assert_eq!(rows.last().unwrap().step, 300);
}

/// Starts a long run and waits until it has recorded something.
#[cfg(unix)]
fn long_run(folder: &Path) -> std::process::Child {
    started(folder, &["train", "tiny.toml", "--steps", "4000", "--quiet", "--out", "long"])
}

/// Starts training into `long` and waits until five rows more are recorded than before.
#[cfg(unix)]
fn started(folder: &Path, args: &[&str]) -> std::process::Child {
    let metrics = folder.join("long/metrics.csv");
    let rows = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    let before = rows();
    let mut child = program(folder, args).stdin(Stdio::null()).spawn().unwrap();
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(50));
        if rows() > before + 5 {
            return child;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the run recorded nothing in 30 s");
}

#[cfg(unix)]
fn send(signal: &str, child: &std::process::Child) {
    assert!(
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success()
    );
}

#[cfg(unix)]
#[test]
fn a_stopped_or_killed_run_resumes_bit_for_bit() {
    for signal in ["-INT", "-KILL"] {
        let folder = tiny();
        let mut child = long_run(folder.path());
        send(signal, &child);
        let status = child.wait().unwrap();
        if signal == "-INT" {
            assert_eq!(status.code(), Some(130));
        }
        if signal == "-INT" {
            // Killed once more, it goes on from a checkpoint in the middle, with rows after it to cut off.
            let args = ["train", "--resume", "--quiet", "--out", "long", "--steps", "4000"];
            let mut child = started(folder.path(), &args);
            send("-KILL", &child);
            child.wait().unwrap();
            let long = folder.path().join("long");
            let checkpoint = mnemoscope::run_folder::checkpoint(&long).unwrap().unwrap();
            let rows = Reader::open(&long).unwrap().recording.rows;
            let last = rows.last().unwrap().step;
            assert!((1..last).contains(&checkpoint.weights.step), "{}", checkpoint.weights.step);
        }
        let mut reader = Reader::open(&folder.path().join("long")).unwrap();
        let last = *reader.recording.recorded.last().unwrap();
        reader.weights(last).unwrap();
        drop(reader);

        let steps = (last + 40).to_string();
        done(folder.path(), &["train", "--resume", "--quiet", "--out", "long", "--steps", &steps]);
        done(
            folder.path(),
            &["train", "tiny.toml", "--quiet", "--out", "whole", "--steps", &steps],
        );
        let metrics =
            |run: &str| fs::read_to_string(folder.path().join(run).join("metrics.csv")).unwrap();
        assert_eq!(metrics("long"), metrics("whole"), "after {signal}");
    }
}

#[cfg(unix)]
#[test]
fn two_programs_never_write_one_folder() {
    let folder = tiny();
    let mut child = long_run(folder.path());
    let second = run(folder.path(), &["train", "--resume", "--out", "long", "--steps", "5000"]);
    send("-INT", &child);
    child.wait().unwrap();
    assert_eq!(second.status.code(), Some(2), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("another"), "{}", text(&second.stderr));
}

/// Opens a real window where there is a display (as in `.ci/run`, under a virtual one, which it then requires).
#[test]
fn the_real_window_trains_and_saves_what_it_shows() {
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        let required = std::env::var_os("MNEMOSCOPE_REQUIRE_WINDOW").is_some();
        assert!(
            !required,
            "MNEMOSCOPE_REQUIRE_WINDOW asks for a real window, and there is no display"
        );
        let folder = tiny();
        let output = run(folder.path(), &["tiny.toml"]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{err}");
        assert!(err.contains("display") && !err.contains("panicked"), "{err}");
        return;
    }
    let folder = tiny();
    done(
        folder.path(),
        &["tiny.toml", "--out", "run", "--screenshot", "shot.png", "--at-step", "20"],
    );
    let decoder = png::Decoder::new(std::io::BufReader::new(
        fs::File::open(folder.path().join("shot.png")).unwrap(),
    ));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert!(info.width >= 800 && info.height >= 600, "{} x {}", info.width, info.height);
    let mut colors: Vec<&[u8]> = pixels.chunks(4).collect();
    colors.sort_unstable();
    colors.dedup();
    assert!(colors.len() > 100, "the window shows {} colours", colors.len());
    let reader = Reader::open(&folder.path().join("run")).unwrap();
    assert!(reader.recording.recorded.iter().any(|&s| s >= 20));
}

#[test]
fn a_display_that_does_not_answer_is_said_by_its_name_and_without_a_source_file() {
    let folder = tiny();
    let mut command = program(folder.path(), &["tiny.toml"]);
    command.env("DISPLAY", ":4321").env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains("DISPLAY is \":4321\"") && err.contains("mnemoscope train"), "{err}");
    assert!(!err.contains(".rs") && !err.contains("/src/") && !err.contains("panicked"), "{err}");
}

#[test]
fn a_message_of_others_names_no_folder_of_the_machine_that_built_the_program() {
    for (said, kept) in [
        (
            "os error at /root/.cargo/registry/src/index-1f/winit-0.30.1/src/a/mod.rs:7: no",
            "os error at winit-0.30.1/src/a/mod.rs:7: no",
        ),
        (
            "Os(OsError { file: \"/home/a/naga-1/src/x.rs\" })",
            "Os(OsError { file: \"naga-1/src/x.rs\" })",
        ),
        ("at C:\\Users\\ann\\.cargo\\git\\egui\\src\\ui.rs:3:4", "at egui\\src\\ui.rs:3:4"),
        (
            "panicked at src/app/mod.rs:12:3: \"/tmp/my/src/text\" is none",
            "panicked at src/app/mod.rs:12:3: \"/tmp/my/src/text\" is none",
        ),
        (
            "  at /rustc/17f/library/core/src/panicking.rs:75\n  at ./src/main.rs:5",
            "  at core/src/panicking.rs:75\n  at ./src/main.rs:5",
        ),
    ] {
        assert_eq!(mnemoscope::base::error::without_build_paths(said), kept);
    }
}

#[test]
fn a_window_that_loses_its_graphics_device_is_opened_anew_and_training_goes_on() {
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        return;
    }
    let folder = tiny();
    let args = "tiny.toml --out run --screenshot shot.png --at-step 20 --lose-device-at-step 4";
    done(folder.path(), &args.split(' ').collect::<Vec<_>>());
    assert!(folder.path().join("shot.png").is_file());
    let reader = Reader::open(&folder.path().join("run")).unwrap();
    assert!(reader.recording.recorded.iter().any(|&s| s >= 20));
}

#[test]
fn a_sweep_is_carried_out_gathered_and_questioned() {
    let folder = tiny();
    let words = ["sweep", "tiny.toml", "--seeds", "0..3", "--steps", "12", "--out", "s"];
    let names =
        done(folder.path(), &[&words[..], &["--dry-run", "--set", "task.triggers=1,2"]].concat());
    assert_eq!(names.lines().nth(5), Some("5\ttriggers2-seed1"));
    assert!(!folder.path().join("s").exists());
    // A job of an array does its own run alone.
    let out = done(folder.path(), &[&words[..], &["--index", "2"]].concat());
    assert!(out.contains("1 of 1 runs are finished"), "{out}");
    let there = |name: &str| folder.path().join("s").join(name).is_dir();
    assert!(there("seed2") && !there("seed0"));
    let mut array = program(folder.path(), &[&words[..], &["--index"]].concat());
    let output = array.env("SLURM_ARRAY_TASK_ID", "9").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("0 to 3"), "{}", text(&output.stderr));
    let out = done(folder.path(), &["sweep", "--out", "s", "--jobs", "2"]);
    assert!(out.contains("4 of 4 runs are finished"), "{out}");
    let output =
        run(folder.path(), &["sweep", "tiny.toml", "--steps", "12", "--seeds", "1", "--out", "s"]);
    assert_eq!(output.status.code(), Some(2));
    let out = done(folder.path(), &["gather", "s"]);
    assert_eq!(out.lines().count(), 5, "{out}");
    let table = if cfg!(feature = "parquet") { "runs.parquet" } else { "runs.csv" };
    done(folder.path(), &["gather", "s", "-o", table]);
    let written = fs::read(folder.path().join(table)).unwrap();
    assert_eq!(written.starts_with(b"PAR1"), cfg!(feature = "parquet"));
    let output = run(folder.path(), &["gather", "s", "-o", table]);
    assert!(text(&output.stderr).contains("--force"), "{}", text(&output.stderr));
    let out = done(folder.path(), &["gather", "s", "--correlate", "seed,loss"]);
    assert!(out.contains("over 4 finished runs") && out.contains("Pearson's r"), "{out}");
    let out = done(folder.path(), &["gather", "s", "--correlate", "step,loss", "--within"]);
    assert!(out.contains("seed3, n = ") && out.contains("medians over the runs"), "{out}");
    let output = run(folder.path(), &["examine", "s"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("seed0"), "{}", text(&output.stderr));
}

#[test]
fn a_sweep_whose_runs_diverge_says_so_in_its_exit_code() {
    let folder = tiny();
    let rates = "train.rate=0.1,100";
    let words = ["sweep", "tiny.toml", "--set", rates, "--steps", "60", "--out", "s"];
    let output = run(folder.path(), &words);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{out}");
    assert!(out.contains("rate100-seed0") && out.contains("diverged"), "{out}");
    assert!(out.contains("1 of 2 runs are finished"), "{out}");
}

#[test]
fn heads_that_share_keys_and_values_are_patched_once() {
    let home = tempfile::tempdir().unwrap();
    let set = home.path().join("set.jsonl");
    let pair =
        r#"{"prompt": [5, 9, 17, 4], "counterpart": [5, 9, 18, 4], "answer": 3, "wrong": 8}"#;
    fs::write(&set, pair).unwrap();
    let (network, set) =
        (crate::pretrained_window::golden("llama"), set.to_string_lossy().into_owned());
    let network = network.to_string_lossy().into_owned();
    let shape = |map: &str| {
        let args = ["patch", &network, "--prompts", &set, "--map", map, "--all-pairs", "--json"];
        let answer: serde_json::Value = serde_json::from_str(&done(home.path(), &args)).unwrap();
        let patching = answer["probes"].as_object().unwrap().values().next().unwrap();
        let array = &patching["arrays"][format!("effect.{map}")];
        assert!(array["data"].as_array().unwrap().iter().all(serde_json::Value::is_number));
        array["shape"].clone()
    };
    let (heads, shared) = (serde_json::json!([2, 4]), serde_json::json!([2, 2]));
    assert_eq!([shape("q"), shape("z")], [heads.clone(), heads]);
    assert_eq!([shape("k"), shape("v")], [shared.clone(), shared]);
}

#[test]
fn causal_tools_answer_in_words_and_in_json() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--steps", "20", "--out", "run"]);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&done(at, &[args, &["--json"]].concat())).unwrap()
    };
    let answer =
        json(&["patch", "run", "--map", "z", "--pairs", "4", "--all-pairs", "--metric", "kl"]);
    let patching = answer["probes"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(patching["arrays"]["effect.z"]["shape"], serde_json::json!([2, 1]));
    assert_eq!(patching["numbers"]["pairs"], 4.0);
    assert_eq!(answer["step"], 20);
    // An answer is found by its key, whatever stands first on the command line.
    let key = "patching(pairs=4,metric=\"kl\",all_pairs=true,map=\"z\")";
    assert!(answer["probes"].get(key).is_some(), "{answer}");
    // Settings are options under each of their names, and what does not suit is refused by the setting.
    let one = ["patch", "run", "--map", "z_by_position", "--all-pairs", "--pairs", "3"];
    for more in [&["--one-pair"][..], &["--one"], &["--set", "one=true"]] {
        let answer = json(&[&one[..], more].concat());
        let patching = answer["probes"].as_object().unwrap().values().next().unwrap().clone();
        assert_eq!(patching["numbers"]["pairs"], 1.0, "{more:?}");
    }
    // What is patched from itself does nothing.
    let words = done(at, &["examine", "run", "--probe", "outcome"]);
    let same = done(
        at,
        &["examine", "run", "--probe", "outcome", "--intervene", "scale layer1.head0 by 1"],
    );
    assert!(same.contains("in force  scale layer1.head0 by 1"), "{same}");
    let numbers = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(numbers(&words), numbers(&same));
    let path = json(&[
        "path",
        "run",
        "--from",
        "layer0",
        "--to",
        "layer1.k",
        "--pairs",
        "3",
        "--all-pairs",
    ]);
    assert!(path.to_string().contains("effect_low"), "{path}");
    let scrub =
        json(&["scrub", "run", "--hypothesis", "embed > logits", "--pairs", "3", "--all-pairs"]);
    let explained =
        scrub["probes"].as_object().unwrap().values().next().unwrap()["numbers"]["explained"]
            .clone();
    assert!(explained.as_f64().unwrap().abs() < 1e-3, "{scrub}");
    let text = "the cat sat on the mat and then ";
    let other = "the cat sat in the mat and then ";
    let words = done(
        at,
        &[
            "patch",
            "run",
            "--tokens",
            text,
            "--other",
            other,
            "--answers",
            "ab",
            "--map",
            "resid_pre",
            "--all-pairs",
            "--metric",
            "logit_difference",
        ],
    );
    assert!(words.contains("layer 0, position 12") && words.contains("strongest of 64"), "{words}");
    let needed = json(&["knock-out", "run", "--tokens", "the cat", "--positions", "6"]);
    let knocked = needed["probes"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(knocked["numbers"]["edges_tried"], 2.0 * 28.0);
    done(at, &["patch", "run", "--pairs", "2", "--all-pairs", "-o", "map.npz"]);
    assert!(at.join("map.npz").is_file());
    for (args, fragment) in [
        (&["patch", "run", "--map", "everything"][..], "resid_pre"),
        (&["patch", "run", "--pair", "deny"], "it makes output"),
        (&["patch", "run", "--tokens", "the cat", "--other", "the"], "7 and 3 tokens"),
        (&["patch", "run", "--set", "metrics=kl"], "metric"),
        (&["patch", "run", "--pairs", "many"], "whole number from 1 to 4096"),
        (&["patch", "run", "--pairs", "-3"], "whole number from 1 to 4096"),
        (&["patch", "run", "--pair", "output", "--other", "the"], "cannot be used with"),
        (&["patch", "run", "--prediction", "3"], "--other"),
        (&["patch", "run", "--metric", "kll"], "kl"),
        (&["path", "run", "--from", "nowhere"], "layer0.head1"),
        (&["scrub", "run", "--hypothesis", "layer0"], "embed"),
        (&["knock-out", "run", "--positions", "x"], "numbers from 0"),
        (&["examine", "run", "--intervene", "grow layer0.z"], "unknown verb"),
        (&["examine", "run", "--intervene", "patch layer1.k from \u{1}"], "tokens of this task"),
        (&["patch", "run", "-o", "map.npz"], "--force"),
    ] {
        let output = run(at, args);
        let err = self::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(fragment), "{args:?}: {err}");
    }
}

#[test]
fn force_is_consent_for_what_is_named_and_for_what_this_program_made() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    let refused = |args: &[&str], names: &str, mine: &str| {
        let output = run(at, args);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(names), "{args:?}: {err}");
        assert_eq!(fs::read_to_string(at.join(mine)).unwrap(), "mine", "{args:?}");
    };
    // The numbers beside a figure.
    fs::write(at.join("c.csv"), "mine").unwrap();
    done(at, &["figure", "run", "attention", "--alone", "-o", "c.pdf"]);
    let before = fs::read(at.join("c.pdf")).unwrap();
    refused(&["figure", "run", "heads", "-o", "c.pdf", "--force"], "c.csv", "c.csv");
    assert_eq!(fs::read(at.join("c.pdf")).unwrap(), before, "nothing is written");
    done(at, &["figure", "run", "heads", "-o", "c.pdf", "-o", "c.csv", "--force"]);
    assert!(fs::read_to_string(at.join("c.csv")).unwrap().starts_with("plot,"));
    done(at, &["figure", "run", "attention", "-o", "c.pdf", "--force"]);
    // The frames of a film.
    fs::create_dir(at.join("frames")).unwrap();
    fs::write(at.join("frames/00001.png"), "mine").unwrap();
    let film = ["film", "run", "heads", "--frames", "2", "--dpi", "72", "-o", "frames"];
    refused(&[&film[..], &["--force"]].concat(), "00001.png", "frames/00001.png");
    assert!(!at.join("frames/00000.png").exists());
    fs::remove_file(at.join("frames/00001.png")).unwrap();
    done(at, &film);
    assert_eq!(run(at, &film).status.code(), Some(2), "frames are not replaced unasked");
    done(at, &[&film[..], &["--force"]].concat());
    // The files of a folder of weights.
    fs::create_dir(at.join("weights")).unwrap();
    fs::write(at.join("weights/config.json"), "mine").unwrap();
    let export = ["export", "run", "--to", "hooked", "-o", "weights", "--force"];
    refused(&export, "config.json", "weights/config.json");
    assert!(!at.join("weights/hooked.safetensors").exists());
    fs::remove_file(at.join("weights/config.json")).unwrap();
    done(at, &export);
    done(at, &export);
    // Tensors of others beside ours stay theirs.
    fs::write(at.join("weights/model.safetensors"), "mine").unwrap();
    let other = ["export", "run", "--to", "transformer_lens", "-o", "weights", "--force"];
    refused(&other, "model.safetensors", "weights/model.safetensors");
    // A figure whose name ends as a table for TeX does.
    let figure = ["figure", "run", "heads", "-o", "notes-tex.svg"];
    done(at, &figure);
    done(at, &[&figure[..], &["--force"]].concat());
}

#[test]
fn missing_folders_are_made_for_every_file() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run", "--steps", "4"]);
    let made: [(&[&str], &str); 6] = [
        (&["figure", "run", "attention"], "a/b/f.pdf"),
        (&["film", "run", "heads", "--frames", "2", "--dpi", "72"], "c/d/f.gif"),
        (&["examine", "run", "--probe", "norms"], "e/f/x.npz"),
        (&["knock-out", "run", "--all-pairs"], "g/h/k.json"),
        (&["export", "run", "--to", "csv"], "i/j/m.csv"),
        (&["export", "run", "--to", "hooked"], "k/l/weights"),
    ];
    for (args, out) in made {
        done(at, &[args, &["-o", out]].concat());
        assert!(at.join(out).exists(), "{out}");
        // A folder that is a file cannot be made, which is said before anything is computed.
        fs::write(at.join("file"), "mine").unwrap();
        let output = run(at, &[args, &["-o", &format!("file/{out}")]].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{out}: {err}");
        assert!(err.contains("file") && !err.contains("os error"), "{err}");
        assert_eq!(fs::read_to_string(at.join("file")).unwrap(), "mine");
    }
}

#[test]
fn pages_and_dates_that_cannot_be_are_refused_with_a_sentence() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run", "--steps", "4"]);
    let wrong: [(&[&str], &str); 10] = [
        (&["--width", "0.5mm"], "1mm"),
        (&["--width", "NaNmm"], "1mm"),
        (&["--width=-3in"], "1mm"),
        (&["--width", "inf"], "1mm"),
        (&["--height", "0"], "1mm"),
        (&["--height", "NaN"], "1mm"),
        (&["--height", "1e-9"], "1mm"),
        (&["--dpi", "NaN"], "that is no number"),
        (&["--dpi=-3"], "dots per inch"),
        (&["--dpi", "0"], "dots per inch"),
    ];
    for (args, fragment) in wrong {
        let output = run(at, &[&["figure", "run", "heads", "-o", "f.pdf"], args].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(fragment), "{args:?}: {err}");
    }
    let figure = ["figure", "run", "heads", "-o", "f.pdf"];
    let events = ["export", "run", "--to", "tensorboard", "-o", "logs"];
    for args in [&figure[..], &events[..]] {
        for date in ["-1", "253402300800", "99999999999999999999", "soon", "1.5"] {
            let output = program(at, args).env("SOURCE_DATE_EPOCH", date).output().unwrap();
            let err = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{date}: {err}");
            assert!(err.contains(date) && err.contains("whole seconds"), "{err}");
        }
        let last = program(at, args).env("SOURCE_DATE_EPOCH", "253402300799").output().unwrap();
        assert!(last.status.success(), "{}", text(&last.stderr));
    }
    assert!(!at.join("0").exists());
}

#[test]
fn a_screenshot_has_a_name_that_it_can_have() {
    let folder = tiny();
    let at = folder.path();
    fs::write(at.join("shot.png"), "mine").unwrap();
    let shot = |name: &str| run(at, &["tiny.toml", "--at-step", "3", "--screenshot", name]);
    for (name, fragment) in [("shot.png", "--force"), ("shot.pdf", ".png"), ("shot", ".png")] {
        let output = shot(name);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        assert!(err.contains(name) && err.contains(fragment), "{err}");
    }
    assert_eq!(fs::read_to_string(at.join("shot.png")).unwrap(), "mine");
}

fn answer(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn two_steps_are_compared_in_figures_films_and_answers() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    let figure = ["figure", "run", "attention", "--step", "20", "--against", "@0"];
    done(at, &[&figure[..], &["--show", "all", "-o", "all.svg"]].concat());
    let svg = fs::read_to_string(at.join("all.svg")).unwrap();
    for title in ["A: step 20", "B: step 0", "A \u{2212} B<"] {
        assert!(svg.contains(title), "{title}");
    }
    done(at, &["figure", "--again", "all.svg", "run", "-o", "again.svg"]);
    assert_eq!(fs::read_to_string(at.join("again.svg")).unwrap(), svg);
    // Without what is cut, at the same step.
    let cut = ["figure", "run", "heads", "--cut", "layer1.head0", "--against", "@"];
    done(at, &[&cut[..], &["-o", "cut.svg", "--against-head", "0.0"]].concat());
    assert!(fs::read_to_string(at.join("cut.svg")).unwrap().contains("nothing in force"));
    done(at, &["film", "run", "attention", "--against", "@0", "--frames", "2", "-o", "f.gif"]);

    let of = |out: &str, more: &[&str]| {
        done(at, &[&["examine", "run", "--probe", "effect", "-o", out], more].concat());
        answer(&at.join(out))
    };
    let a = of("a.json", &["--step", "20"]);
    let b = of("b.json", &["--step", "0"]);
    let both = of("both.json", &["--step", "20", "--against", "@0"]);
    assert_eq!((&both["probes"], &both["against"]["probes"]), (&a["probes"], &b["probes"]));
    let loss = |of: &serde_json::Value| of["probes"]["effect"]["numbers"]["loss"].as_f64().unwrap();
    assert!((loss(&a) - loss(&b) - loss(&both["difference"])).abs() < 1e-12);
    let told = done(at, &["examine", "run", "--probe", "effect", "--against", "@0"]);
    assert!(told.contains("against  step 0") && told.contains("A \u{2212} B"), "{told}");

    let wrong =
        run(at, &["figure", "run", "heads", "--against", "@0", "--show", "both", "-o", "x.svg"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    assert!(text(&wrong.stderr).contains("beside"));
    let never = run(at, &["figure", "run", "curves", "--against", "@0", "-o", "x.svg"]);
    assert!(text(&never.stderr).contains("compared with nothing"), "{}", text(&never.stderr));
    let nowhere = run(at, &["figure", "run", "heads", "--against", "nowhere@3", "-o", "x.svg"]);
    assert!(text(&nowhere.stderr).contains("nowhere"), "{}", text(&nowhere.stderr));
}

#[test]
fn runs_are_drawn_into_one_plot_where_a_panel_draws_several() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    done(at, &["train", "tiny.toml", "--set", "train.seed=5", "--out", "far/away/run"]);
    let figure = |panel: &str, file: &str| {
        let words = ["figure", "run", panel, "--beside", "far/away/run", "-o", file];
        let lengths = ["--set", "values=8,12", "--set", "sequences=8"];
        run(at, &[&words[..], if panel == "length" { &lengths } else { &[] }].concat())
    };
    for panel in ["length", "curves"] {
        let file = format!("{panel}.svg");
        let drawn = figure(panel, &file);
        assert!(drawn.status.success(), "{panel}: {}", text(&drawn.stderr));
        let numbers = fs::read_to_string(at.join(format!("{panel}.csv"))).unwrap();
        assert!(!numbers.is_empty());
    }
    assert!(fs::read_to_string(at.join("length.svg")).unwrap().contains("away/run"));
    let refused = figure("heads", "x.svg");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--beside: heads draws one run"));
}

#[test]
fn nothing_is_written_over_what_is_recorded_of_a_run() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    let before = fs::read(at.join("run/run.json")).unwrap();
    for words in [
        &["length", "run", "--values", "8", "--sequences", "4", "-o", "run/run.json"][..],
        &["examine", "run", "-o", "run/run.json"],
        // A picture brings a file of numbers of its name along.
        &["figure", "run", "heads", "-o", "run/run.svg"],
    ] {
        let told = run(at, &[words, &["--force"]].concat());
        assert_eq!(told.status.code(), Some(2), "{words:?}: {}", text(&told.stderr));
        assert!(text(&told.stderr).contains("is what is recorded"), "{}", text(&told.stderr));
        assert_eq!(fs::read(at.join("run/run.json")).unwrap(), before);
    }
}

#[test]
fn a_run_that_lies_elsewhere_is_compared_and_found_again() {
    let folder = tiny();
    let at = folder.path();
    done(at, &["train", "tiny.toml", "--out", "run"]);
    done(at, &["train", "tiny.toml", "--set", "train.seed=5", "--out", "far/away/run"]);
    let figure = ["figure", "run", "attention", "--against", "far/away/run@20", "--show", "beside"];
    done(at, &[&figure[..], &["-o", "two.svg"]].concat());
    let svg = fs::read_to_string(at.join("two.svg")).unwrap();
    assert!(svg.contains("B: step 20, away/run"), "runs of one name are told apart");
    // Beside the run that is named lies no other of this name: it is the run itself.
    let again = ["figure", "--again", "two.svg", "run", "-o", "again.svg"];
    let told = text(&run(at, &again).stderr);
    assert!(told.contains("are not those of the figure"), "{told}");
    done(at, &[&again[..], &["--against", "far/away/run", "--force"]].concat());
    assert_eq!(fs::read_to_string(at.join("again.svg")).unwrap(), svg);
    let unknown = run(at, &[&again[..], &["--against", "@3", "--force"]].concat());
    assert_eq!(unknown.status.code(), Some(2));
    let loss = ["examine", "run", "--probe", "effect", "--against", "far/away/run"];
    assert!(done(at, &loss).contains("against  step 30 of tiny"));
}

#[test]
fn a_study_is_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models/gpt2");
    let golden = golden.to_str().unwrap();
    fs::write(folder.path().join("p.jsonl"), "{\"prompt\": [5, 9, 7, 5, 9, 7]}\n").unwrap();
    let told = done(folder.path(), &["study", "induction", golden, "--prompts", "p.jsonl"]);
    for word in ["induction on gpt2, step 0", "loss_second", "strongest of 6", "5.5 0.932"] {
        assert!(told.contains(word), "{told}: no {word}");
    }
    let out = ["-o", "a.json", "-o", "a.svg"];
    let again = [&["study", "induction", golden, "--set", "block=4"][..], &out].concat();
    assert_eq!(done(folder.path(), &again), "a.json\na.svg\n");
    // Files are not replaced unasked, and a figure of a study is made again by its command.
    assert_eq!(run(folder.path(), &again).status.code(), Some(2));
    let figure = run(folder.path(), &["figure", golden, "--again", "a.svg", "-o", "b.svg"]);
    assert!(text(&figure.stderr).contains("mnemoscope study induction FOLDER"));
    for (words, word) in [
        (&["study", "iio", golden][..], "ioi"),
        (&["study", "ioi", golden, "-o", "a.tex"], ".json, .csv, .npz"),
        (&["study", "ioi", golden, "--set", "prompts=0"], "from 1 to 1000"),
    ] {
        let refused = run(folder.path(), words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(text(&refused.stderr).contains(word), "{words:?}");
    }
    assert!(done(folder.path(), &["list", "studies"]).contains("copy-suppression"));
    assert!(done(folder.path(), &["list", "studies", "ioi"]).contains("3.5519"));
}
