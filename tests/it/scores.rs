//! Scores of every step of a series: those of the reference, ends first, kept beside the library and never in the series.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnemoscope::base::event::{Mark, MarkKind};
use mnemoscope::measurement::heads;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::scorer::{Scorer, Told};
use mnemoscope::run::scoring::{Asked, Pass, Table, order, place, recall};
use mnemoscope::run_folder::{Reader, WeightsReader};
use serde_json::Value;
use tempfile::TempDir;

use crate::folder::everything;
use crate::series::{copy, revisions, trainer};

fn expected() -> Value {
    let text = fs::read_to_string(revisions().join("../expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn every_step_of_the_series_scores_as_its_reference_on_the_same_tokens() {
    let expected = expected();
    let probe = |ids: &Value| -> Vec<u32> {
        ids.as_array().unwrap()[..16].iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let rows: Vec<Vec<u32>> = expected["probe_ids"].as_array().unwrap().iter().map(probe).collect();
    let mut instrument = Instrument::new(&Experiment::of_run(&revisions()).unwrap()).unwrap();
    let mut reader = WeightsReader::open(&revisions()).unwrap();
    for (step, wanted) in expected["steps"].as_object().unwrap() {
        let weights = reader.weights(step.parse().unwrap()).unwrap();
        let (subject, _) = instrument.subject(&weights).unwrap();
        let answer = heads::on_rows(subject, &rows, 2).unwrap().answer(subject).unwrap();
        let near = |name: &str, found: f64, wanted: f64| {
            assert!((found - wanted).abs() < 1e-4, "step {step}, {name}: {found} for {wanted}");
        };
        let mean = |name: &str| {
            let mean = answer.means.iter().find(|mean| mean.name == name).unwrap();
            mean.sum / mean.count
        };
        for (name, half) in heads::LOSSES.into_iter().zip(["loss_first_half", "loss_second_half"]) {
            near(name, mean(name), wanted[half].as_f64().unwrap());
        }
        let scores =
            [("prefix_matching", "induction"), ("previous_token_random", "previous_token")];
        for (ours, theirs) in scores {
            for (layer, heads) in wanted[theirs].as_array().unwrap().iter().enumerate() {
                for (head, wanted) in numbers(heads).into_iter().enumerate() {
                    let name = format!("{ours}_l{layer}h{head}");
                    near(&name, mean(&name), wanted);
                }
            }
        }
    }
}

#[test]
fn both_ends_are_scored_first_and_then_the_middles_of_the_gaps() {
    assert!(order(0).is_empty());
    assert_eq!(order(1), [0]);
    assert_eq!(order(2), [0, 1]);
    assert_eq!(order(5), [0, 4, 2, 1, 3]);
    for count in [3, 17, 154, 609] {
        let order = order(count);
        assert_eq!(order[..3], [0, count - 1, (count - 1) / 2]);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..count), "each step once");
        // After nine of them no gap is wider than an eighth of the way, but for rounding.
        let mut first: Vec<usize> = order.into_iter().take(9).collect();
        first.sort_unstable();
        assert!(first.windows(2).all(|two| two[1] - two[0] <= count.div_ceil(8)));
    }
}

fn asked(folder: &Path) -> Asked {
    let steps = Reader::open(folder).unwrap().recording.recorded;
    let experiment = Experiment::of_run(folder).unwrap();
    Asked { experiment, folder: folder.to_owned(), steps }
}

fn opened(folder: &Path, library: &Path) -> (Pass, Vec<String>) {
    let (pass, problems) = Pass::open(asked(folder), Some(library)).unwrap();
    (pass, problems.into_iter().map(|e| e.message).collect())
}

fn scored(folder: &Path, library: &Path) -> Pass {
    let (mut pass, _) = opened(folder, library);
    for step in pass.missing() {
        assert!(pass.score(step, &|| true, &mut |e| panic!("{e}")).unwrap());
    }
    pass
}

fn library() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join("runs");
    (home, library)
}

#[test]
fn what_is_scored_is_kept_beside_the_library_and_the_folder_stays_as_it_is() {
    let (home, library) = library();
    let series = home.path().join("series");
    copy(&trainer(), &series);
    let before = everything(&series);
    let pass = scored(&series, &library);
    assert_eq!(pass.scores().rows().map(|(step, _)| step).collect::<Vec<_>>(), [256, 512, 1500]);
    assert!(everything(&series) == before, "nothing was written into the folder of the series");
    let again = opened(&series, &library);
    assert!(again.0.missing().is_empty() && again.1.is_empty());
    let rows = |pass: &Pass| pass.scores().rows().map(|(s, v)| (s, v.to_vec())).collect::<Vec<_>>();
    assert_eq!(rows(&pass), rows(&again.0), "the same numbers come back");
    // Ended in the middle: what was done is kept, and the next pass goes on from there.
    let other = home.path().join("other");
    copy(&trainer(), &other);
    let (mut pass, _) = opened(&other, &library);
    assert_eq!(pass.missing(), [256, 1500, 512]);
    assert!(pass.score(256, &|| true, &mut |e| panic!("{e}")).unwrap());
    assert!(!pass.score(1500, &|| false, &mut |e| panic!("{e}")).unwrap());
    assert_eq!(opened(&other, &library).0.missing(), [1500, 512]);
}

#[test]
fn a_step_that_changed_or_went_loses_its_row_and_no_other() {
    let (home, library) = library();
    let series = home.path().join("series");
    copy(&trainer(), &series);
    scored(&series, &library);
    let file = File::options().write(true).open(series.join("checkpoint-512/model.safetensors"));
    file.unwrap().set_modified(SystemTime::now() - Duration::from_secs(5000)).unwrap();
    assert_eq!(opened(&series, &library).0.missing(), [512]);
    scored(&series, &library);
    fs::remove_dir_all(series.join("checkpoint-256")).unwrap();
    let (pass, problems) = opened(&series, &library);
    assert!(pass.missing().is_empty() && problems.is_empty());
    assert_eq!(pass.scores().len(), 2);
}

#[test]
fn a_damaged_file_of_scores_is_computed_anew_with_a_sentence() {
    let (home, library) = library();
    let series = home.path().join("series");
    copy(&trainer(), &series);
    scored(&series, &library);
    let kept = place(&library, &series);
    let text = fs::read_to_string(&kept).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (damaged, missing) in [
        ("\u{0}\u{1}no table".to_owned(), 3),
        (text.replace(&lines[2][..30], "what"), 1),
        // A number that is another one, and still a number.
        (text.replacen("0.", "1.", 1), 1),
        (format!("{}\n{}\n", lines[0], lines[1]), 2),
        // Half a row at the end: the program ended while it was written. Nothing is wrong with that.
        (text[..text.len() - 20].to_owned(), 1),
        (String::new(), 3),
    ] {
        fs::write(&kept, &damaged).unwrap();
        let (pass, problems) = opened(&series, &library);
        assert_eq!(pass.missing().len(), missing, "{damaged:.80}");
        let is_said = problems.iter().any(|problem| problem.contains("computed anew"));
        let is_half_a_row = text.starts_with(&damaged) && !damaged.is_empty();
        assert_eq!(is_said, !is_half_a_row, "{problems:?}");
        scored(&series, &library);
        assert_eq!(fs::read_to_string(&kept).unwrap().lines().count(), 4);
        assert!(opened(&series, &library).1.is_empty(), "it is whole again");
    }
}

fn emerged(marks: &[Mark]) -> Vec<(u64, &str)> {
    let emerged = marks.iter().filter(|mark| mark.kind == MarkKind::Emergence);
    emerged.map(|mark| (mark.step, &*mark.id)).collect()
}

#[test]
fn the_birth_of_the_induction_head_is_a_mark_and_stands_among_the_curves() {
    let (_home, library) = library();
    let pass = scored(&revisions(), &library);
    let table = Table::of(pass.scores(), &pass.steps());
    assert_eq!(emerged(&table.marks), [(448, "induction_head"), (1000, "previous_token_head")]);
    // The log of a trainer and the scores are rows of one recording; neither tears the lines of the other.
    let mut recording = Arc::new(Reader::open(&trainer()).unwrap().recording);
    let logged = recording.series("loss");
    assert!(recording.series("prefix_matching_best").is_empty());
    recall(&mut recording, &trainer(), Some(&library));
    assert!(recording.scored.is_none(), "nothing is kept of this one yet");
    scored(&trainer(), &library);
    recall(&mut recording, &trainer(), Some(&library));
    assert_eq!(recording.scored, Some([3, 3]));
    assert_eq!(recording.series("loss"), logged);
    let best = recording.series("prefix_matching_best");
    assert_eq!(best.iter().map(|point| point[0]).collect::<Vec<_>>(), [256.0, 512.0, 1500.0]);
    assert!(best[0][1] < 0.3 && best[1][1] > 0.7, "{best:?}");
    assert_eq!(emerged(&recording.marks), [(512, "induction_head"), (1500, "previous_token_head")]);
}

#[test]
fn a_mark_is_set_only_where_the_step_before_is_known_too() {
    let (_home, library) = library();
    let (mut pass, _) = opened(&revisions(), &library);
    let score = |pass: &mut Pass, step| pass.score(step, &|| true, &mut |e| panic!("{e}")).unwrap();
    for step in [0, 1500] {
        score(&mut pass, step);
    }
    let marks = |pass: &Pass| Table::of(pass.scores(), &pass.steps()).marks;
    assert!(marks(&pass).is_empty(), "it may have formed at any step between");
    for step in [448, 384] {
        score(&mut pass, step);
    }
    assert_eq!(emerged(&marks(&pass)), [(448, "induction_head")]);
}

#[test]
fn a_scorer_waits_while_it_is_held_and_ends_when_it_is_dropped() {
    let (_home, library) = library();
    let scorer = Scorer::start(asked(&revisions()), Some(library.clone()), || {}).unwrap();
    scorer.hold(true);
    let next = |seconds| scorer.told.recv_timeout(Duration::from_secs(seconds));
    let rows = |told| match told {
        Ok(Told::Rows(table)) => table.rows.len(),
        other => panic!("{other:?}"),
    };
    // What was under way before it was held may still come.
    let mut known = rows(next(60));
    while let Ok(told) = scorer.told.recv_timeout(Duration::from_millis(1500)) {
        known = rows(Ok(told));
    }
    assert!(known < 17, "it waits");
    scorer.hold(false);
    assert!(rows(next(60)) > known, "it goes on");
    drop(scorer);
    let kept = opened(&revisions(), &library).0;
    assert!(!kept.scores().is_empty(), "what was done is kept");
}

fn program(home: &Path, args: &[&str]) -> (String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mnemoscope"));
    command.current_dir(home).args(args).env("XDG_DATA_HOME", home.join("data"));
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{args:?}: {out}{err}");
    (out, err)
}

#[test]
fn a_command_scores_a_series_and_its_figures_have_the_rows() {
    let home = tempfile::tempdir().unwrap();
    let series = trainer().display().to_string();
    let empty = ["figure", &series, "curves", "-o", "before.svg"];
    program(home.path(), &empty);
    let before = fs::read_to_string(home.path().join("before.csv")).unwrap();
    assert!(!before.contains("best induction head"), "the log of the trainer alone");
    let (out, err) = program(home.path(), &["score", &series, "-o", "scores.csv"]);
    assert_eq!(out.trim(), "scores.csv");
    assert!(err.contains("induction head formed at step 512"), "{err}");
    let csv = fs::read_to_string(home.path().join("scores.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    assert!(header.starts_with("step,loss_repeats_first,loss_repeats_again,prefix_matching_best"));
    assert!(header.contains("copying_l1h3") && csv.lines().count() == 4, "{header}");
    let (json, _) = program(home.path(), &["score", &series, "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((rows[2]["step"].as_u64(), rows.len()), (Some(1500), 3));
    program(home.path(), &["figure", &series, "curves", "-o", "after.svg"]);
    let after = fs::read_to_string(home.path().join("after.csv")).unwrap();
    assert!(after.contains("best induction head"), "{after:.400}");
    assert!(program(home.path(), &["list", "recent"]).0.contains(&series));
    program(home.path(), &["runs", "--forget", &series]);
    assert!(program(home.path(), &["list", "recent"]).0.is_empty());
}
