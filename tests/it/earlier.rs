//! What earlier versions wrote opens: a run with a fitted probe, a sweep of which one run is missing, and a sheet with the numbers
//! that it drew. They lie in `tests/data/earlier`, made by version 0.1.0.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mnemoscope::run_folder::Reader;
use mnemoscope::sweep::{Stage, Sweep};

/// A copy that may be written to.
fn copied(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/earlier").join(name);
    let to = folder.path().join(name);
    copy(&from, &to);
    (folder, to)
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn done(folder: &Path, args: &[&str]) -> String {
    let program =
        Command::new(env!("CARGO_BIN_EXE_mnemoscope")).args(args).current_dir(folder).output();
    let Output { status, stdout, stderr } = program.unwrap();
    assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_run_opens_with_its_weights_its_marks_and_its_probe() {
    let (folder, run) = copied("run");
    let mut reader = Reader::open(&run).unwrap();
    assert!(reader.problems.is_empty(), "{:?}", reader.problems);
    assert_eq!(reader.recording.rows.len(), 4);
    assert!(reader.recording.marks.iter().any(|mark| mark.text == "freeze layer0.wk"));
    assert_eq!(reader.weights(12).unwrap().step, 12);
    let kept = "linear-probe-layer1.resid_post-all-target-step12";
    let judged = ["fit", "run", "linear-probe", "--with", kept, "--train", "16", "--test", "16"];
    assert!(done(folder.path(), &judged).contains("accuracy"));
    assert!(
        done(folder.path(), &["examine", "run", "--probe", "heads"])
            .contains("prefix_matching_l1h1")
    );
    // It goes on where it was, with the settings of then.
    done(folder.path(), &["train", "--resume", "--out", "run", "--steps", "16", "--quiet"]);
    assert_eq!(Reader::open(&run).unwrap().recording.rows.last().unwrap().step, 16);
}

#[test]
fn a_sweep_opens_and_goes_on_with_the_run_that_is_missing() {
    let (folder, sweep) = copied("sweep");
    let stages = || -> Vec<Stage> {
        Sweep::read(&sweep).unwrap().runs.iter().map(mnemoscope::sweep::Run::stage).collect()
    };
    let finished = Stage::Finished;
    assert_eq!(stages(), [finished, finished, finished, Stage::NotBegun]);
    done(folder.path(), &["sweep", "--out", "sweep", "--quiet"]);
    assert_eq!(stages(), [finished; 4]);
}

#[test]
fn a_sheet_draws_the_numbers_that_it_drew() {
    let (folder, _run) = copied("run");
    let (_kept, sheet) = copied("sheet.toml");
    let (_kept, drawn) = copied("sheet.csv");
    done(
        folder.path(),
        &["figure", "run", "--sheet", sheet.to_str().unwrap(), "-o", "now.csv", "--alone"],
    );
    let (then, now) = (
        fs::read_to_string(drawn).unwrap(),
        fs::read_to_string(folder.path().join("now.csv")).unwrap(),
    );
    assert_eq!(then.lines().count(), now.lines().count());
    for (then, now) in then.lines().zip(now.lines()) {
        let alike = |(a, b): (&str, &str)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-4 * (1.0 + a.abs()) || (a.is_nan() && b.is_nan()),
            _ => a == b,
        };
        assert_eq!(then.split(',').count(), now.split(',').count());
        assert!(then.split(',').zip(now.split(',')).all(alike), "{then}\n{now}");
    }
}
