//! Sweeps: what is planned, carried out, gone on with, gathered and compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crossbeam_channel::{bounded, never};

use mnemoscope::base::error::Kind;
use mnemoscope::base::event::{self, MarkKind, MetricsRow};
use mnemoscope::base::plain::Plain;
use mnemoscope::base::question::Analyzed;
use mnemoscope::base::registry::find;
use mnemoscope::base::settings;
use mnemoscope::base::vocab::Vocab;
use mnemoscope::figure::color::Color;
use mnemoscope::figure::layout::layout;
use mnemoscope::figure::pick::{line_at, pick};
use mnemoscope::figure::scene::AreaPick;
use mnemoscope::figure::style::Style;
use mnemoscope::figure::{Figure, Mark, Pick};
use mnemoscope::formats::columns::{Columns, Values};
use mnemoscope::formats::parquet::parquet;
use mnemoscope::numeric::correlation::{
    Coefficient, Undefined, median, pairs, pearson, ranks, spearman,
};
use mnemoscope::panel::{self, NetShape, Palette, Selection, View};
use mnemoscope::run::session::{Begin, Command, Session, Start};
use mnemoscope::run::sweep::{self, Crew};
use mnemoscope::run_folder;
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::sweep::table;
use mnemoscope::sweep::{Member, Plan, Run, Stage, Sweep, spell};
#[cfg(feature = "parquet")]
use parquet::file::reader::{FileReader, SerializedFileReader};
#[cfg(feature = "parquet")]
use parquet::record::RowAccessor;

use super::tiny::{tiny, with};

/// Two rates with three seeds, ten steps each.
fn small() -> Plan {
    let experiment = with(&["train.steps=10"]);
    let rates = ("train.rate".to_owned(), sweep::values("0.05,0.1").unwrap());
    sweep::plan(&experiment, sweep::seeds("1..3").unwrap(), &[rates]).unwrap()
}

fn all(plan: &Plan) -> Vec<usize> {
    (0..plan.members().len()).collect()
}

fn carry_out(folder: &Path, plan: &Plan, crew: Crew) -> Vec<sweep::Standing> {
    sweep::claim(plan, folder).unwrap();
    sweep::carry_out((folder, plan), &all(plan), crew, &never(), &mut |_, _| {})
}

const ONE: Crew = Crew { jobs: 1, threads: 1 };

/// The files that say what a run is: numbers, marks and weights.
fn contents(folder: &Path) -> Vec<Vec<u8>> {
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    ["metrics.csv", "events.jsonl", "checkpoint.safetensors"].map(read).into()
}

#[test]
fn runs_are_every_choice_of_values_with_every_seed_in_order() {
    let experiment = with(&["train.steps=10"]);
    let settings = vec![
        ("train.optimizer".to_owned(), sweep::values("sgd,adamw").unwrap()),
        ("model.width".to_owned(), sweep::values("16,8").unwrap()),
    ];
    let plan = sweep::plan(&experiment, vec![3, 0], &settings).unwrap();
    let names: Vec<String> = plan.members().into_iter().map(|m| m.name).collect();
    let expected = [
        "optimizer_sgd-width16-seed3",
        "optimizer_sgd-width16-seed0",
        "optimizer_sgd-width8-seed3",
        "optimizer_sgd-width8-seed0",
        "optimizer_adamw-width16-seed3",
        "optimizer_adamw-width16-seed0",
        "optimizer_adamw-width8-seed3",
        "optimizer_adamw-width8-seed0",
    ];
    assert_eq!(names, expected);
    let last = sweep::experiment_of(&plan, &plan.members()[7]).unwrap();
    assert_eq!(last.train.optimizer.name(), "adamw");
    assert_eq!((last.train.seed, last.train.steps), (0, 10));
}

#[test]
fn no_two_runs_share_a_folder_and_no_name_leaves_the_sweep() {
    let values = ["a/b.txt", "c/b.txt", "../b.txt", "b,txt", ".."].map(toml::Value::from);
    let settings = vec![("task.text".to_owned(), values.to_vec())];
    let plan = Plan::new(toml::Table::new(), vec![0, 1], settings).unwrap();
    let names: BTreeSet<String> = plan.members().into_iter().map(|m| m.name).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    assert!(names.iter().all(|n| !n.contains(['/', '\\']) && !n.starts_with('.')), "{names:?}");
}

#[test]
fn two_settings_of_one_name_are_called_by_their_paths() {
    let one = || vec![toml::Value::from(1), toml::Value::from(2)];
    let settings = vec![("task.length".to_owned(), one()), ("model.length".to_owned(), one())];
    let plan = Plan::new(toml::Table::new(), vec![5], settings).unwrap();
    assert_eq!(plan.members()[1].name, "task.length1-model.length2-seed5");
}

#[test]
fn seeds_and_values_are_read_as_a_person_writes_them() {
    assert_eq!(sweep::seeds("0..3,7,9..=10").unwrap(), [0, 1, 2, 3, 7, 9, 10]);
    assert_eq!(spell(&[0, 1, 2, 3, 7, 9, 10]), "0..3,7,9..10");
    for wrong in ["", "3..1", "a", "1,,2", "-1", "0..99999999999", "0..18446744073709551615"] {
        assert_eq!(sweep::seeds(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
    }
    let values = sweep::values("0.1,2,true,sgd,\"a,b\"").unwrap();
    assert_eq!(values, ["0.1", "2", "true", "sgd", "\"a,b\""]);
    assert!(sweep::values("1,,2").is_err() && sweep::values("\"a,b").is_err());
}

#[test]
fn what_is_wrong_with_a_plan_is_said_before_a_run_begins() {
    let steps = with(&["train.steps=10"]);
    let set = |name: &str, text: &str| vec![(name.to_owned(), sweep::values(text).unwrap())];
    let cases = [
        (sweep::plan(&tiny(), vec![0], &[]), "--steps"),
        (sweep::plan(&steps, Vec::new(), &[]), "at least one seed"),
        (sweep::plan(&steps, vec![1, 1], &[]), "seed 1 is there twice"),
        (sweep::plan(&steps, sweep::seeds("0,0..2").unwrap(), &[]), "seed 0 is there twice"),
        // The same number, however it is written.
        (sweep::plan(&steps, vec![1], &set("train.rate", "1,1.0")), "twice"),
        (sweep::plan(&steps, vec![1], &set("train.rate", "0.1,1e-1")), "twice"),
        (sweep::plan(&steps, vec![1], &set("task.length", "1e1,10")), "twice"),
        (sweep::plan(&steps, vec![1], &set("task.length", "10,1.5")), "whole number"),
        (sweep::plan(&steps, vec![1], &set("train.rate", "1,1")), "twice"),
        (sweep::plan(&steps, vec![1], &set("train.rte", "1,2")), "train.rate"),
        (sweep::plan(&steps, vec![1], &set("train.rate", "0.1,-1")), "from"),
        (sweep::plan(&steps, vec![1], &set("train.seed", "1,2")), "--seeds"),
        (sweep::plan(&steps, vec![1], &set("train.steps", "1,2")), "--steps"),
        (sweep::plan(&steps, vec![1 << 40], &[]), "train.seed"),
        (sweep::plan(&steps, (0..10_001).collect(), &[]), "10000"),
    ];
    for (plan, fragment) in cases {
        let e = plan.unwrap_err();
        assert!(e.kind == Kind::Usage && e.message.contains(fragment), "{fragment}: {e}");
    }
}

#[test]
fn a_plan_is_read_back_and_another_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small();
    let home = folder.path().join("sweep");
    sweep::claim(&plan, &home).unwrap();
    assert_eq!(sweep::read(&home).unwrap(), plan);
    sweep::claim(&plan, &home).unwrap();
    let experiment = with(&["train.steps=11"]);
    let other = Plan { experiment: experiment.to_toml().parse().unwrap(), ..plan.clone() };
    let e = sweep::claim(&other, &home).unwrap_err();
    assert!(e.message.contains("train.steps = 11 instead of 10"), "{e}");
    let e = sweep::claim(&Plan { seeds: vec![9], ..plan.clone() }, &home).unwrap_err();
    assert!(e.message.contains("seeds 9 instead of 1..3"), "{e}");
    fs::write(folder.path().join("a"), "").unwrap();
    let e = sweep::claim(&plan, folder.path()).unwrap_err();
    assert!(e.message.contains("no empty folder"), "{e}");
    fs::write(home.join("sweep.toml"), "schema = 99\nversion = \"9.9\"\n").unwrap();
    assert!(sweep::read(&home).unwrap_err().message.contains("9.9"));
}

#[test]
fn a_document_made_by_others_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("schema", "damaged"),
        ("seeds = [1]\n[experiment]\n", "schema"),
        ("schema = 1\n[experiment]\n", "seeds"),
        ("schema = 1\nseeds = [-1]\n[experiment]\n", "seeds"),
        ("schema = 1\nseeds = [1]\n", "[experiment]"),
        ("schema = 1\nseeds = [1]\nsettings = { x = 1 }\n[experiment]\n", "list of values"),
        (
            "schema = 1\nseeds = [1]\nsettings = { x = [[1]] }\n[experiment]\n",
            "values of a setting",
        ),
        ("schema = 1\nseeds = [1]\nsettings = { x = [] }\n[experiment]\n", "x has no values"),
    ];
    for (text, fragment) in cases {
        fs::write(folder.path().join("sweep.toml"), text).unwrap();
        let e = Plan::read(folder.path()).unwrap_err();
        assert!(e.kind == Kind::Input && e.message.contains(fragment), "{text}: {e}");
    }
}

#[test]
fn runs_of_a_sweep_have_the_bytes_of_runs_alone_whatever_the_crew() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = small();
    let standings = carry_out(one.path(), &plan, ONE);
    assert!(standings.iter().all(|s| matches!(s.stage, sweep::Stage::Finished) && s.step == 10));
    carry_out(two.path(), &plan, Crew { jobs: 4, threads: 2 });
    for member in plan.members() {
        let (a, b) = (one.path().join(&member.name), two.path().join(&member.name));
        assert_eq!(contents(&a), contents(&b), "{}", member.name);
    }
    let alone = tempfile::tempdir().unwrap();
    let session = Session::start(Start {
        experiment: with(&["train.steps=10", "train.rate=0.1", "train.seed=2"]),
        begin: Begin::Fresh,
        folder: Some(alone.path().join("run")),
        paused: false,
        attended: false,
    })
    .unwrap();
    super::tiny::until(&session, |event| super::tiny::is_state(event, event::State::Finished));
    drop(session);
    assert_eq!(contents(&alone.path().join("run")), contents(&one.path().join("rate0.1-seed2")));
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was_and_leaves_alone_what_is_done() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = small();
    carry_out(whole.path(), &plan, ONE);
    sweep::claim(&plan, broken.path()).unwrap();
    // Stopped by hand in the middle of the second run.
    let (stop, stopped) = bounded(1);
    let standings = sweep::carry_out(
        (broken.path(), &plan),
        &all(&plan),
        ONE,
        &stopped,
        &mut |index, standing| {
            if index == 1 && standing.row.as_ref().is_some_and(|row| row.step >= 3) {
                let _ = stop.try_send(());
            }
        },
    );
    assert!(matches!(standings[0].stage, sweep::Stage::Finished));
    assert!(standings[2..].iter().all(|s| matches!(s.stage, sweep::Stage::Waiting)));
    assert!(!broken.path().join(&plan.members()[2].name).exists());
    // Another one is killed in the middle: its last checkpoint is older than its metrics.
    let third = &plan.members()[2];
    let session = Session::start(Start {
        experiment: sweep::experiment_of(&plan, third).unwrap(),
        begin: Begin::Fresh,
        folder: Some(broken.path().join(&third.name)),
        paused: true,
        attended: false,
    })
    .unwrap();
    for _ in 0..4 {
        session.commands.send(Command::Step).unwrap();
    }
    session.commands.send(Command::Stop).unwrap();
    session.join();
    assert_eq!(run_folder::saved_step(&broken.path().join(&third.name)).unwrap(), Some(4));
    let done = broken.path().join(&plan.members()[0].name).join("checkpoint.safetensors");
    let before = fs::metadata(&done).unwrap().modified().unwrap();
    carry_out(broken.path(), &sweep::read(broken.path()).unwrap(), ONE);
    assert_eq!(fs::metadata(&done).unwrap().modified().unwrap(), before);
    for member in plan.members() {
        let (a, b) = (whole.path().join(&member.name), broken.path().join(&member.name));
        assert_eq!(contents(&a), contents(&b), "{}", member.name);
    }
}

#[test]
fn a_run_that_fails_diverges_or_is_taken_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = with(&["train.steps=10"]);
    let rates = vec![("train.rate".to_owned(), sweep::values("0.05,100").unwrap())];
    let plan = sweep::plan(&experiment, vec![1, 2], &rates).unwrap();
    sweep::claim(&plan, folder.path()).unwrap();
    let names: Vec<String> = plan.members().into_iter().map(|m| m.name).collect();
    // A file stands where the folder of the first run belongs; somebody writes the second.
    fs::write(folder.path().join(&names[0]), "").unwrap();
    let taken = Session::start(Start {
        experiment: sweep::experiment_of(&plan, &plan.members()[1]).unwrap(),
        begin: Begin::Fresh,
        folder: Some(folder.path().join(&names[1])),
        paused: true,
        attended: false,
    })
    .unwrap();
    let standings = carry_out(folder.path(), &plan, ONE);
    assert!(matches!(standings[0].stage, sweep::Stage::Failed(_)), "{:?}", standings[0]);
    assert!(matches!(standings[1].stage, sweep::Stage::Elsewhere), "{:?}", standings[1]);
    drop(taken);
    for standing in &standings[2..] {
        assert!(matches!(standing.stage, sweep::Stage::Diverged(_)), "{standing:?}");
    }
    // Diverged is a result: it is not tried again. What was taken is done now.
    let bytes = contents(&folder.path().join(&names[2]));
    fs::remove_file(folder.path().join(&names[0])).unwrap();
    let standings = carry_out(folder.path(), &plan, ONE);
    assert_eq!(contents(&folder.path().join(&names[2])), bytes);
    let finished = |s: &sweep::Standing| matches!(s.stage, sweep::Stage::Finished);
    assert!(finished(&standings[0]) && finished(&standings[1]));
    let read = Sweep::read(folder.path()).unwrap();
    let stages: Vec<Stage> = read.runs.iter().map(Run::stage).collect();
    assert_eq!(stages[..2], [Stage::Finished, Stage::Finished]);
    assert!(matches!(stages[2..], [Stage::Diverged(_), Stage::Diverged(_)]), "{stages:?}");
}

#[test]
fn sweeps_that_are_begun_together_leave_each_others_runs_alone() {
    let experiment = with(&["train.steps=1"]);
    let plan = sweep::plan(&experiment, (0..12).collect(), &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let standings: Vec<Vec<sweep::Standing>> = std::thread::scope(|scope| {
        let begin = || carry_out(folder.path(), &plan, Crew { jobs: 3, threads: 1 });
        let programs: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
        programs.into_iter().map(|program| program.join().unwrap()).collect()
    });
    for standing in standings.iter().flatten() {
        let fine = matches!(standing.stage, sweep::Stage::Finished | sweep::Stage::Elsewhere);
        assert!(fine, "{standing:?}");
    }
    let read = Sweep::read(folder.path()).unwrap();
    assert!(read.runs.iter().all(|run| run.stage() == Stage::Finished));
}

#[test]
fn a_run_that_another_program_had_is_done_when_it_lets_go_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let plan = sweep::plan(&with(&["train.steps=10"]), vec![1, 2], &[]).unwrap();
    sweep::claim(&plan, folder.path()).unwrap();
    let mut taken = Some(
        Session::start(Start {
            experiment: sweep::experiment_of(&plan, &plan.members()[0]).unwrap(),
            begin: Begin::Fresh,
            folder: Some(folder.path().join(&plan.members()[0].name)),
            paused: true,
            attended: false,
        })
        .unwrap(),
    );
    let mut heard = Vec::new();
    let mut tell = |index: usize, now: &sweep::Standing| {
        heard.push((index, now.stage.clone()));
        // It lets go while the other run goes on.
        drop(taken.take());
    };
    let sweep = (folder.path(), &plan);
    let standings = sweep::carry_out(sweep, &[0, 1], ONE, &never(), &mut tell);
    assert!(matches!(heard[0], (1, sweep::Stage::Running)), "{heard:?}");
    assert!(standings.iter().all(|s| matches!(s.stage, sweep::Stage::Finished)), "{standings:?}");
}

#[cfg(unix)]
#[test]
fn a_finished_run_that_nobody_may_write_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plan = sweep::plan(&with(&["train.steps=3"]), vec![1], &[]).unwrap();
    carry_out(folder.path(), &plan, ONE);
    let lock = folder.path().join("seed1/lock");
    fs::remove_file(&lock).unwrap();
    // Whatever the permissions of who runs this: a folder cannot be opened for writing.
    fs::create_dir(&lock).unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o555)).unwrap();
    let standings = carry_out(folder.path(), &plan, ONE);
    assert!(matches!(standings[0].stage, sweep::Stage::Finished), "{standings:?}");
}

#[test]
fn a_sweep_begins_beside_what_it_says_and_not_beside_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sweep.log"), "").unwrap();
    fs::write(folder.path().join(".gitkeep"), "").unwrap();
    sweep::claim(&small(), folder.path()).unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("notes.tmp"), "").unwrap();
    let e = sweep::claim(&small(), other.path()).unwrap_err();
    assert!(e.message.contains("notes.tmp"), "{e}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "and leaves nothing in theirs");
}

#[test]
fn names_of_runs_fit_into_a_folder_whatever_their_alphabet() {
    let value = "語".repeat(300);
    let values = ["", "b"].map(|end| toml::Value::String(value.clone() + end));
    let settings = vec![("task.text".to_owned(), values.to_vec())];
    let plan = Plan::new(toml::Table::new(), vec![u64::from(u32::MAX)], settings).unwrap();
    for member in plan.members() {
        assert!(member.name.len() <= 255, "{} bytes", member.name.len());
    }
}

#[test]
fn gathered_rows_are_the_numbers_of_the_run_folders() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small();
    carry_out(folder.path(), &plan, ONE);
    let runs = table::runs(folder.path()).unwrap().columns;
    let curves = table::curves(folder.path()).unwrap().columns;
    assert_eq!(runs.rows(), 6);
    assert_eq!(
        runs.get("train.rate"),
        Some(&Values::Number([0.05, 0.05, 0.05, 0.1, 0.1, 0.1].map(Some).to_vec(),))
    );
    assert_eq!(runs.get("seed"), Some(&Values::Whole([1, 2, 3, 1, 2, 3].map(Some).to_vec())));
    let mut at = 0;
    for (i, member) in plan.members().iter().enumerate() {
        let text =
            fs::read_to_string(folder.path().join(&member.name).join("metrics.csv")).unwrap();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let rows: Vec<Vec<f64>> =
            lines.map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).collect();
        for (c, name) in header.iter().enumerate() {
            let cell =
                |columns: &Columns, row: usize| columns.get(name).unwrap().numbers().unwrap()[row];
            let same =
                |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && !b.is_finite());
            assert!(same(cell(&runs, i), rows.last().unwrap()[c]), "{name}");
            for (r, row) in rows.iter().enumerate() {
                assert!(same(cell(&curves, at + r), row[c]), "{name} of row {r}");
            }
        }
        let loss = header.iter().position(|name| *name == "loss").unwrap();
        let least = rows.iter().map(|row| row[loss]).fold(f64::INFINITY, f64::min);
        assert_eq!(runs.get("loss_best").unwrap().numbers().unwrap()[i], least);
        at += rows.len();
    }
    assert_eq!(curves.rows(), at);
}

#[test]
fn the_same_values_in_another_spelling_go_on_with_the_same_runs() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = with(&["train.steps=4"]);
    let plan = |rates: &str, lengths: &str| {
        let set = |name: &str, text: &str| (name.to_owned(), sweep::values(text).unwrap());
        let settings = [set("train.decay", rates), set("task.length", lengths)];
        sweep::plan(&experiment, vec![1], &settings).unwrap()
    };
    let (first, second) = (plan("1,0.5", "10,20"), plan("1.0,5e-1", "1e1,20.0"));
    let names = |plan: &Plan| plan.members().into_iter().map(|m| m.name).collect::<Vec<_>>();
    assert_eq!(names(&first)[..2], ["decay1-length10-seed1", "decay1-length20-seed1"]);
    sweep::claim(&first, folder.path()).unwrap();
    assert_eq!(names(&sweep::claim(&second, folder.path()).unwrap().0), names(&first));
    let e = sweep::claim(&plan("1,0.25", "10,20"), folder.path()).unwrap_err();
    assert!(e.message.contains("0.25"), "{e}");
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text_where_one_is_expected() {
    let text = vec![("task.text".to_owned(), sweep::values("1,1.0,true").unwrap())];
    let plan = sweep::plan(&with(&["train.steps=4"]), vec![1], &text).unwrap();
    assert_eq!(plan.settings[0].1, ["1", "1.0", "true"].map(toml::Value::from));
    let mut experiment = tiny();
    experiment.set_texts(["task.text=123", "name=007", "train.steps=1e1"]).unwrap();
    let text = settings::to_table(&mut *experiment.task)["text"].clone();
    assert_eq!((text, &*experiment.name, experiment.train.steps), ("123".into(), "007", 10));
}

#[test]
fn a_damaged_run_has_a_row_that_says_so_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small();
    carry_out(folder.path(), &plan, ONE);
    // Other columns, a lost header, and what a disk lost.
    let place = folder.path().join(&plan.members()[1].name).join("metrics.csv");
    let metrics = fs::read_to_string(&place).unwrap();
    let (header, rows) = metrics.split_once('\n').unwrap();
    let spoilt = [
        format!("{}\n{rows}", header.replacen("loss,", "lozz,", 1)),
        rows.to_owned(),
        format!("{header}\n{}\n", rows.lines().next().unwrap()),
        String::new(),
    ];
    for text in spoilt {
        fs::write(&place, text).unwrap();
        let table::Table { columns, problems } = table::runs(folder.path()).unwrap();
        let Some(Values::Text(stages)) = columns.get("stage") else { panic!("no stages") };
        assert_eq!(stages[1].as_deref(), Some("damaged"));
        assert!(problems[0].message.contains("metrics.csv"), "{}", problems[0]);
        assert_eq!(table::curves(folder.path()).unwrap().problems.len(), 1);
        assert_eq!(Sweep::read(folder.path()).unwrap().runs[1].stage(), Stage::Damaged);
    }
    fs::write(&place, &metrics).unwrap();
    // A run that lost what says what it is: not one that has not begun.
    let about = place.with_file_name("run.json");
    fs::rename(&about, folder.path().join("kept.json")).unwrap();
    let table::Table { columns, problems } = table::runs(folder.path()).unwrap();
    assert!(problems[0].message.contains("no empty folder"), "{}", problems[0]);
    let Some(Values::Text(stages)) = columns.get("stage") else { panic!("no stages") };
    assert_eq!(stages[1].as_deref(), Some("damaged"));
    assert_eq!(table::curves(folder.path()).unwrap().problems.len(), 1);
    assert_eq!(Sweep::read(folder.path()).unwrap().runs[1].stage(), Stage::Damaged);
    fs::rename(folder.path().join("kept.json"), &about).unwrap();
    let whole = table::runs(folder.path()).unwrap().columns;
    let curves = table::curves(folder.path()).unwrap().columns.rows();
    let damaged = folder.path().join(&plan.members()[1].name);
    let mut metrics = fs::read_to_string(damaged.join("metrics.csv")).unwrap();
    let rows = metrics.lines().count() - 1;
    metrics.push_str("40,abc\n");
    fs::write(damaged.join("metrics.csv"), metrics).unwrap();
    let table::Table { columns, problems } = table::runs(folder.path()).unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains(&plan.members()[1].name), "{}", problems[0]);
    let (Some(Values::Text(stages)), Some(Values::Truth(diverged))) =
        (columns.get("stage"), columns.get("diverged"))
    else {
        panic!("no stages")
    };
    assert_eq!(stages[1].as_deref(), Some("damaged"));
    assert_eq!((diverged[0], diverged[1]), (Some(false), None));
    let cells = |columns: &Columns| columns.get("loss").unwrap().numbers().unwrap();
    let (now, before) = (cells(&columns), cells(&whole));
    assert!(now[1].is_nan());
    for row in (0..6).filter(|row| *row != 1) {
        assert_eq!(now[row], before[row]);
    }
    assert_eq!(table::over_runs(&columns, "seed", "loss").unwrap().pairs, 5);
    let long = table::curves(folder.path()).unwrap();
    assert_eq!((long.columns.rows(), long.problems.len()), (curves - rows, 1));
    let stages: Vec<Stage> =
        Sweep::read(folder.path()).unwrap().runs.iter().map(Run::stage).collect();
    assert_eq!(stages[..2], [Stage::Finished, Stage::Damaged]);
}

#[test]
fn csv_and_parquet_hold_the_same_numbers_to_the_last_bit() {
    let values = [Some(0.1 + 0.2), None, Some(f64::MIN_POSITIVE), Some(-1e300), Some(1.0 / 3.0)];
    let columns = Columns(vec![
        (
            "run".to_owned(),
            Values::Text(
                ["=1+1", "@x", "plain, with \"comma\"", "-a", ""]
                    .map(|t| Some(t.to_owned()))
                    .to_vec(),
            ),
        ),
        ("value".to_owned(), Values::Number(values.to_vec())),
        (
            "seed".to_owned(),
            Values::Whole([Some(1), Some(-2), None, Some(i64::MAX), Some(0)].to_vec()),
        ),
        (
            "diverged".to_owned(),
            Values::Truth([Some(true), None, Some(false), None, None].to_vec()),
        ),
    ]);
    let csv = columns.csv().unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    assert_eq!(&rows[0][0], "'=1+1");
    assert_eq!((&rows[1][0], &rows[3][0], &rows[4][0]), ("'@x", "'-a", ""));
    for (row, value) in rows.iter().zip(values) {
        assert_eq!(row[1].parse().ok().map(f64::to_bits), value.map(f64::to_bits));
    }
    assert_parquet_holds(&columns, &values);
}

#[cfg(feature = "parquet")]
fn assert_parquet_holds(columns: &Columns, values: &[Option<f64>]) {
    let notes = [("mnemoscope.sweep", "a".to_owned())];
    let bytes = parquet(columns, &notes).unwrap();
    assert_eq!(bytes, parquet(columns, &notes).unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.parquet"), bytes).unwrap();
    let file = fs::File::open(folder.path().join("a.parquet")).unwrap();
    let file = SerializedFileReader::new(file).unwrap();
    for (row, value) in file.get_row_iter(None).unwrap().zip(values) {
        let (row, value) = (row.unwrap(), *value);
        assert_eq!(row.get_double(1).ok().map(f64::to_bits), value.map(f64::to_bits));
    }
    let rows: Vec<_> = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    // Text goes to programs as it is: there is no spreadsheet in between.
    assert_eq!(rows[0].get_string(0).unwrap(), "=1+1");
    assert_eq!((rows[3].get_long(2).unwrap(), rows[2].get_long(2).is_err()), (i64::MAX, true));
    assert!(rows[0].get_bool(3).unwrap());
}

#[cfg(not(feature = "parquet"))]
fn assert_parquet_holds(columns: &Columns, _values: &[Option<f64>]) {
    let refused = parquet(columns, &[]).unwrap_err();
    assert!(refused.message.contains("without Parquet"), "{refused}");
}

/// Computed with scipy 1.17.1: `pearsonr(x, y).statistic` and `.confidence_interval(0.95)`, `spearmanr(x, y).statistic`;
/// the interval of ρ with numpy from `norm.ppf(0.975)` and Bonett and Wright's standard error.
#[test]
fn correlations_and_their_intervals_are_those_of_another_implementation() {
    struct Case {
        pairs: Vec<[f64; 2]>,
        pearson: [f64; 3],
        spearman: [f64; 3],
    }
    let x = [0.11, 0.42, 0.37, 0.58, 0.73, 0.29, 0.91, 0.66, 0.05, 0.84];
    let y = [0.20, 0.35, 0.41, 0.52, 0.49, 0.52, 0.95, 0.60, 0.31, 0.77];
    let a = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0];
    let b = [2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0, 2.0, 8.0, 4.0, 5.0];
    let cases = [
        Case {
            pairs: pairs(&x, &y),
            pearson: [0.870_164_559_449_089_5, 0.532_021_270_745_851_9, 0.968_933_199_410_081_4],
            spearman: [0.826_751_539_404_887_9, 0.309_223_868_476_045_16, 0.966_476_818_583_138],
        },
        Case {
            pairs: pairs(&a, &b),
            pearson: [0.099_799_007_597_215_51, -0.502_906_483_635_472_4, 0.637_204_837_442_862_6],
            spearman: [0.141_579_686_364_015_7, -0.473_094_659_846_060_8, 0.663_546_920_475_699_3],
        },
    ];
    for case in cases {
        for (found, expected) in
            [(pearson(&case.pairs), case.pearson), (spearman(&case.pairs), case.spearman)]
        {
            let found = found.unwrap();
            let [low, high] = found.interval.unwrap();
            for (found, expected) in [found.value, low, high].iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
            }
        }
    }
    let expected = [4.5, 1.5, 6.0, 1.5, 8.0, 12.0, 3.0, 10.0, 8.0, 4.5, 8.0, 11.0];
    assert_eq!(ranks(&a), expected);
}

#[test]
fn no_zero_has_a_sign() {
    for (value, digits, expected) in [
        (-0.0, 3, "0.000"),
        (-0.0004, 3, "0.000"),
        (-0.0006, 3, "-0.001"),
        (-0.4, 0, "0"),
        (f64::NAN, 2, "NaN"),
        (-1.5, 1, "-1.5"),
        (2_004_996_991_832.5, 3, "2.005e12"),
        (-1e30, 0, "-1e30"),
    ] {
        assert_eq!(format!("{:.digits$}", Plain(value)), expected);
    }
    assert_eq!(
        format!("[{:>7.2}] {} {}", Plain(-0.001), Plain(-0.0), Plain(-1e-300)),
        format!("[   0.00] 0 {}", -1e-300)
    );
    let columns =
        Columns(vec![("x".to_owned(), Values::Number(vec![Some(-0.0), None, Some(-0.5)]))]);
    assert_eq!(columns.csv().unwrap(), b"x\n0\n\"\"\n-0.5\n");
}

#[test]
fn correlations_follow_their_laws() {
    let x: Vec<f64> = (0..9).map(|i| f64::from(i * i % 7)).collect();
    let y: Vec<f64> = (0..9).map(|i| f64::from(i * 5 % 8) - 3.0).collect();
    let both = pairs(&x, &y);
    let (r, rho) = (pearson(&both).unwrap(), spearman(&both).unwrap());
    let mirrored: Vec<[f64; 2]> = both.iter().map(|[x, y]| [*y, *x]).collect();
    assert!((pearson(&mirrored).unwrap().value - r.value).abs() < 1e-15);
    // r does not see units, ρ no rising function; both turn with the sign.
    let moved: Vec<[f64; 2]> = both.iter().map(|[x, y]| [1e200 * x, 1e-200 * y + 1e-201]).collect();
    assert!((pearson(&moved).unwrap().value - r.value).abs() < 1e-12);
    let bent: Vec<[f64; 2]> = both.iter().map(|[x, y]| [x.exp(), -y.powi(3)]).collect();
    assert!((spearman(&bent).unwrap().value + rho.value).abs() < 1e-15);
    let line: Vec<[f64; 2]> = (0..5).map(|i| [f64::from(i), 2.0 * f64::from(i) + 1.0]).collect();
    assert_eq!(pearson(&line), Ok(Coefficient { value: 1.0, interval: None }));
    // Seven points in falling order: rounding leaves no hair's breadth to -1 that an interval could be made of.
    let falling: Vec<[f64; 2]> =
        (0..7).map(|i| [f64::from(i), (-0.3 * f64::from(i)).exp()]).collect();
    let perfect = spearman(&falling).unwrap();
    assert_eq!(perfect, Coefficient { value: -1.0, interval: None });
    assert_eq!(perfect.to_string(), "-1.000 (no interval: Fisher's z is infinite at 1 and -1)");
    assert!(pearson(&falling).unwrap().interval.is_some());
    let none = Coefficient { value: -1e-9, interval: Some([-0.5, 0.0]) };
    assert_eq!(none.to_string(), "0.000 (95 % interval -0.500 to 0.000)");
    assert_eq!(pearson(&both[..3]), Err(Undefined::TooFew(3)));
    assert_eq!(
        spearman(&[[0.1, 1.0], [0.1, 2.0], [0.1, 3.0], [0.1, 9.0]]),
        Err(Undefined::NoSpread)
    );
    assert_eq!(pairs(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, f64::INFINITY]), [[1.0, 1.0]]);
    assert_eq!(
        (median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0]), median(Vec::new())),
        (Some(2.0), Some(2.5), None)
    );
}

#[test]
fn a_claim_is_tested_over_runs_and_within_each() {
    let folder = tempfile::tempdir().unwrap();
    carry_out(folder.path(), &small(), ONE);
    let runs = table::runs(folder.path()).unwrap().columns;
    let relation = table::over_runs(&runs, "loss", "accuracy").unwrap();
    let numbers = |name: &str| runs.get(name).unwrap().numbers().unwrap();
    assert_eq!(relation.pairs, 6);
    assert_eq!(relation.pearson, pearson(&pairs(&numbers("loss"), &numbers("accuracy"))));
    let curves = table::curves(folder.path()).unwrap().columns;
    let within = table::within_runs(&curves, "step", "loss").unwrap();
    assert_eq!(within.len(), 6);
    // Steps 0, 3, 6, 9 and the last.
    assert!(within.iter().all(|(_, relation)| relation.pairs == 5), "{within:?}");
    let e = table::over_runs(&runs, "lss", "accuracy").unwrap_err();
    assert!(e.message.contains("loss"), "{e}");
}

/// A sweep of two rates and three seeds whose accuracies are simple numbers.
pub fn drawn() -> Sweep {
    let experiment: toml::Table = "name = \"tiny\"\n[train]\nsteps = 20\n".parse().unwrap();
    let rates = vec![("train.rate".to_owned(), [0.1, 0.2].map(toml::Value::from).to_vec())];
    let plan = Plan::new(experiment, vec![0, 1, 2], rates).unwrap();
    let runs = plan.members().into_iter().enumerate().map(|(i, member)| {
        let row = |step: u64| MetricsRow {
            step,
            values: vec![
                0.01 * step as f64 + 0.1 * i as f64,
                5.0 - 0.02 * step as f64 - 0.3 * (i * i % 5) as f64,
            ],
        };
        let recording = Recording {
            columns: vec!["accuracy_in_context".to_owned(), "loss".to_owned()],
            rows: [0, 10, 20].map(row).to_vec(),
            ..Recording::default()
        };
        Run::new(member, Some(recording))
    });
    let runs = runs.collect();
    Sweep { folder: "/s".into(), plan, runs }
}

fn figure_of(sweep: Option<&Sweep>, settings: &[(&str, &str)], size: [f32; 2]) -> Figure {
    drawn_by("sweep", sweep, settings, size)
}

fn drawn_by(
    name: &str,
    sweep: Option<&Sweep>,
    settings: &[(&str, &str)],
    size: [f32; 2],
) -> Figure {
    let mut panel = find("panel", panel::ALL, name).unwrap();
    for (name, value) in settings {
        settings::set(&mut *panel, "", name, &(*value).into()).unwrap();
    }
    panel.figure(&View {
        net: &NetShape::default(),
        vocab: &Vocab::new(Vec::new()),
        roles: &[],
        runs: &[],
        sweep,
        step: None,
        live: false,
        readings: None,
        before: None,
        beside: &[],
        against: None,
        failure: None,
        analyzed: &Analyzed::default(),
        selection: &Selection::default(),
        palette: Palette {
            dark: false,
            paper: Color::rgb(255, 255, 255),
            ink: Color::rgb(25, 25, 28),
            faint: Color::rgb(120, 120, 125),
            accent: Color::rgb(0, 114, 178),
        },
        size,
    })
}

#[test]
fn the_panel_draws_a_line_and_a_point_a_run_the_median_and_says_how_they_go_together() {
    let sweep = drawn();
    let figure = figure_of(Some(&sweep), &[("x", "loss")], [500.0, 250.0]);
    assert_eq!((figure.plots.len(), figure.columns), (2, 2));
    let line = |wanted: &str| {
        figure.plots[0].marks.iter().find_map(|mark| {
            if let Mark::Line { name, points, .. } = mark
                && name == wanted
            {
                Some(points.to_vec())
            } else {
                None
            }
        })
    };
    assert_eq!(
        line("rate0.2-seed0").unwrap(),
        [[0.0, 0.30000000000000004], [10.0, 0.4], [20.0, 0.5]]
    );
    // Of seeds 0, 1 and 2 the middle one.
    assert_eq!(line("median, rate 0.1"), line("rate0.1-seed1"));
    let legend: Vec<&str> = figure.plots[0].legend.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(legend, ["rate 0.1", "rate 0.2"]);
    let ends = |name: &str| (0..6).map(|i| sweep.number(i, name).unwrap()).collect::<Vec<_>>();
    let both = pairs(&ends("loss"), &ends("accuracy_in_context"));
    let mut points: Vec<[f64; 2]> = Vec::new();
    for mark in &figure.plots[1].marks {
        let Mark::Points { points: at, .. } = mark else { panic!("{mark:?}") };
        points.extend(at.iter());
    }
    assert_eq!(points, both);
    let (r, rho) = (pearson(&both).unwrap(), spearman(&both).unwrap());
    for words in ["6 finished runs", &format!("r {r}"), &format!("ρ {rho}")] {
        assert!(figure.caption.contains(words), "{words}: {}", figure.caption);
    }
    // Higher than wide: below each other.
    assert_eq!(figure_of(Some(&sweep), &[], [250.0, 500.0]).columns, 1);
    let by_seed = figure_of(Some(&sweep), &[("x", "seed"), ("y", "train.rate")], [500.0, 250.0]);
    assert!(by_seed.caption.contains("Pearson's r 0.000"), "{}", by_seed.caption);
}

#[test]
fn runs_that_diverge_are_drawn_as_far_as_the_axis_goes_and_can_be_clicked() {
    let hot = |runs: std::ops::Range<usize>| {
        let mut sweep = drawn();
        for run in &mut sweep.runs[runs] {
            let mut recording = (**run.recording.as_ref().unwrap()).clone();
            (recording.rows[1].values[1], recording.rows[2].values[1]) = (1e9, 1e30);
            recording.marks = vec![event::Mark::of_text(20, MarkKind::Note, "diverged")];
            *run = Run::new(run.member.clone(), Some(recording));
        }
        sweep
    };
    let size = [500.0, 250.0];
    for runs in [3..6, 0..6] {
        let (sweep, all) = (hot(runs.clone()), runs.len() == 6);
        let figure = figure_of(Some(&sweep), &[("metric", "loss"), ("x", "seed")], size);
        let (low, high) = figure.plots[0].y.range;
        assert!(low > 0.0 && high < 8.0 && low < 4.1 && high > 4.9, "{low} {high}");
        let said = "rate0.2-seed0 from step 10 on (up to 1e30)";
        assert!(figure.caption.contains(said), "{}", figure.caption);
        // The dot at its end is a wedge, and a click on it opens the run.
        let scene = layout(&figure, size, &Style::light());
        let picked = scene.areas.iter().filter_map(|area| {
            if let AreaPick::One { pick: Pick::Run(run), .. } = &area.pick {
                Some(*run)
            } else {
                None
            }
        });
        assert_eq!(picked.filter(|run| runs.contains(run)).count(), runs.len(), "{all}");
        let settings = [("metric", "loss"), ("x", "seed"), ("range", "all")];
        let figure = figure_of(Some(&sweep), &settings, size);
        assert!(figure.plots[0].y.range.1 >= 1e30);
    }
}

#[test]
fn a_click_on_a_point_a_dot_or_a_line_means_its_run() {
    let sweep = drawn();
    let size = [500.0, 250.0];
    let figure = figure_of(Some(&sweep), &[("x", "loss")], size);
    let scene = layout(&figure, size, &Style::light());
    let mut picked = BTreeSet::new();
    for area in &scene.areas {
        let middle = [0, 1].map(|i| f32::midpoint(area.min[i], area.max[i]));
        if let Some((Pick::Run(run), hover)) = pick(&scene, middle) {
            assert!(hover.starts_with(&sweep.runs[run].member.name), "{hover}");
            picked.insert(run);
        }
    }
    assert_eq!(picked, (0..6).collect());
    // Halfway up the lowest line: nothing else is near.
    let plot = scene.areas.iter().find(|a| matches!(a.pick, AreaPick::Plot(0))).unwrap();
    let [from, to] = plot.frame;
    let share = (0.05 + 0.03) / 1.06;
    let at = [from[0] + 0.25 * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
    assert_eq!(line_at(&figure, &scene, at).as_deref(), Some("rate0.1-seed0"));
    assert_eq!(line_at(&figure, &scene, [at[0], to[1] + 2.0]), None);
    assert_eq!(line_at(&figure, &scene, [0.0, 0.0]), None);
}

#[test]
fn the_panel_says_what_it_cannot_draw_and_what_to_do() {
    let why = |sweep: Option<&Sweep>, settings: &[(&str, &str)]| {
        figure_of(sweep, settings, [500.0, 250.0]).empty.unwrap()
    };
    assert!(why(None, &[]).contains("mnemoscope sweep"));
    let mut empty = drawn();
    empty.runs = empty.runs.into_iter().map(|run| Run::new(run.member, None)).collect();
    assert!(why(Some(&empty), &[]).contains("has begun"));
    let sweep = drawn();
    assert!(why(Some(&sweep), &[("metric", "los")]).contains("Did you mean loss"));
    assert!(why(Some(&sweep), &[("x", "train.rte")]).contains("train.rate"));
    assert!(why(Some(&sweep), &[("color", "task.length")]).contains("differs"));
    let mut two = drawn();
    two.runs.truncate(2);
    let caption = figure_of(Some(&two), &[], [500.0, 250.0]).caption;
    assert!(caption.contains("at least 4 pairs, there are 2"), "{caption}");
}

#[test]
fn a_map_of_a_sweep_has_a_mean_for_each_cell_and_both_halves_are_of_the_same_runs() {
    let experiment: toml::Table = "name = \"tiny\"\n[train]\nsteps = 20\n".parse().unwrap();
    let varied = |name: &str| (name.to_owned(), [1, 2].map(toml::Value::from).to_vec());
    let settings = vec![varied("train.batch"), varied("train.rate")];
    let plan = Plan::new(experiment, vec![0, 1], settings).unwrap();
    // Runs of the second seed do not know the loss.
    let run = |(i, member): (usize, Member)| {
        let columns = ["accuracy", "loss"][..2 - usize::from(member.seed == 1)].to_vec();
        let values = [0.1 * i as f64, 2.0 + i as f64][..columns.len()].to_vec();
        let recording = Recording {
            columns: columns.into_iter().map(str::to_owned).collect(),
            rows: vec![MetricsRow { step: 20, values }],
            ..Recording::default()
        };
        Run::new(member, Some(recording))
    };
    let runs = plan.members().into_iter().enumerate().map(run).collect();
    let sweep = Sweep { folder: "/s".into(), plan, runs };
    let map = |settings: &[(&str, &str)]| {
        let both = [("down", "train.batch"), ("across", "train.rate")];
        drawn_by("sweep_map", Some(&sweep), &[&both[..], settings].concat(), [400.0, 300.0])
    };
    let cells = |figure: &Figure| -> Vec<String> {
        let Mark::Cells(cells) = &figure.plots[0].marks[0] else { panic!("cells") };
        cells.iter().map(|cell| cell.text.clone()).collect()
    };
    // Alone the mean is over both seeds; beside the loss it is of the runs that have both numbers.
    assert_eq!(cells(&map(&[("right", "")])), ["0.05", "0.25", "0.45", "0.65"]);
    let both = ["0.00", "2.00", "0.20", "4.00", "0.40", "6.00", "0.60", "8.00"];
    assert_eq!(cells(&map(&[("right", "loss")])), both);
    let unknown = map(&[("left", "acuracy")]).empty.unwrap();
    assert!(unknown.contains("no number called") && unknown.contains("accuracy"), "{unknown}");
}

// ── bundles ──────────────────────────────────────────────────────────────────────────────────────────

const BUNDLED: &str = r#"
schema = 2
seeds = [3, 4]

[bundles.task.short.task]
kind = "automaton"
length = 4
[bundles.task.short.train]
steps = 20
segment = 2

[bundles.task.long.task]
kind = "automaton"
length = 8

[bundles.model.gru]
"model.kind" = "recurrent"
"model.width" = 8
"train.segment" = 0
[bundles.model.memory.model]
width = 8
kind = "memory_tokens"
memory = 1

[experiment.task]
kind = "automaton"
[experiment.model]
kind = "recurrent"
[experiment.train]
steps = 50
batch = 4
held_out = 4
"#;

#[test]
fn a_sweep_file_tries_whole_networks_on_whole_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.toml");
    fs::write(&file, BUNDLED).unwrap();
    let plan = sweep::planned(&file).unwrap().unwrap();
    let names: Vec<String> = plan.members().into_iter().map(|member| member.name).collect();
    assert_eq!(names.len(), 8);
    assert_eq!(names[0], "task_short-model_gru-seed3");
    assert_eq!(names[7], "task_long-model_memory-seed4");
    let members = plan.members();
    assert_eq!([members[0].steps, members[7].steps], [20, 50]);
    let of = |index: usize| sweep::experiment_of(&plan, &members[index]).unwrap();
    // What stands later has the last word.
    assert_eq!((of(0).train.segment, of(2).train.segment), (0, 2));
    assert_eq!(
        (of(0).model_kind.as_str(), of(2).model_kind.as_str()),
        ("recurrent", "memory_tokens")
    );
    // It is written and read back, and is the same plan.
    let place = folder.path().join("sweep");
    let (read, _) = sweep::claim(&plan, &place).unwrap();
    assert_eq!(read, plan);
    assert!(fs::read_to_string(place.join("sweep.toml")).unwrap().contains("schema = 2"));
    let quick = plan.clone().quicker(0.2);
    assert_eq!(quick.members().len(), 4);
    assert_eq!([quick.members()[0].steps, quick.members()[3].steps], [4, 10]);
    let refused = sweep::claim(&quick, &place).unwrap_err().message;
    assert!(refused.contains("seeds 3 instead of 3..4"), "{refused}");
}

#[test]
fn a_sweep_file_with_a_slip_gets_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.toml");
    let refused = |from: &str, to: &str| {
        fs::write(&file, BUNDLED.replacen(from, to, 1)).unwrap();
        sweep::planned(&file).unwrap_err().message
    };
    let unknown = refused("length = 4", "lenght = 4");
    assert!(
        unknown.contains("lenght") && unknown.contains("task_short-model_gru-seed3"),
        "{unknown}"
    );
    let none = refused("seeds = [3, 4]", "seeds = [3]\n[settings]\ntask = [\"middle\"]");
    assert!(none.contains("has no such choice; it has short, long"), "{none}");
    let flat = refused("[bundles.model.gru]", "[bundles.model]\nlstm = 3\n[bundles.model.gru]");
    assert!(flat.contains("expected [bundles.NAME.CHOICE]"), "{flat}");
    let seed = refused("width = 8\nkind", "width = 8\n\"train.seed\" = 4\nkind");
    assert!(seed.contains("model.train.seed") || seed.contains("train.seed"), "{seed}");
    let seeds = refused("[bundles.model.gru]\n", "[bundles.model.gru]\n\"train.seed\" = 4\n");
    assert!(seeds.contains("seeds = [0, 1, 2] at the top"), "{seeds}");
    let section = refused("[bundles.model.gru]", "[bundle.model.gru]");
    assert!(section.contains("no section \"bundle\"") && section.contains("bundles"), "{section}");
    let none = refused("seeds = [3, 4]\n", "");
    assert!(none.contains("expected seeds = a list"), "{none}");
    let none = refused("seeds = [3, 4]", "seeds = [3]\n[settings]\n\"model.width\" = []");
    assert!(none.contains("model.width has no values"), "{none}");
    // What shows when a network is built is said before any run begins.
    let segment = refused("segment = 2", "segment = 3");
    assert!(segment.contains("task_short-model_memory-seed3"), "{segment}");
    assert!(segment.contains("train.segment = 3"), "{segment}");
    // A file that is an experiment is none.
    fs::write(&file, "name = \"birth\"").unwrap();
    assert!(sweep::planned(&file).unwrap().is_none());
}

#[test]
fn the_memory_zoo_has_every_network_with_every_task() {
    let plan = sweep::planned(Path::new("memory-zoo")).unwrap().unwrap();
    let count = |name: &str| plan.settings.iter().find(|(n, _)| n == name).unwrap().1.len();
    assert_eq!(plan.members().len(), count("model") * count("task") * plan.seeds.len());
    // Each of them can be built, and asked about sequences four times as long.
    for member in plan.members().iter().filter(|member| member.seed == 0) {
        let experiment = sweep::experiment_of(&plan, member).unwrap();
        let trainer = mnemoscope::run::trainer::Trainer::new(&experiment).unwrap();
        assert!(trainer.columns().iter().any(|c| c == "accuracy_longer"), "{}", member.name);
    }
}
