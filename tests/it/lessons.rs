//! Lessons: read and looked up, played on their runs, and written by someone who makes mistakes.

use std::collections::BTreeSet;
use std::path::Path;

use mnemoscope::app::Panels;
use mnemoscope::base::event::{Mark, MarkKind, MetricsRow};
use mnemoscope::base::weights::Weights;
use mnemoscope::export::still;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::expectation::{Expectation, Quantity};
use mnemoscope::run::experiment::{BUILTIN, Experiment};
use mnemoscope::run::gallery;
use mnemoscope::run::lesson::{Deed, Lesson, When};
use mnemoscope::run::recorded::{self, Recorded};
use mnemoscope::run::rehearsal::Rehearsal;
use mnemoscope::run::tour::{self, Ground, Tour};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::recording::Recording;
use mnemoscope::run_folder::{Item, Reader, RunHeader, Writer};
use mnemoscope::task::held_out_seed;

use super::app::TINY;

fn panels() -> Vec<&'static str> {
    Panels::default().names().collect()
}

#[test]
fn every_tour_that_comes_with_the_program_names_only_what_is_there() {
    let home = tempfile::tempdir().unwrap();
    for known in tour::BUILTIN {
        let tour = Tour::builtin(known.name).unwrap();
        tour.check(&panels(), home.path()).unwrap();
        for lesson in &tour.lessons {
            assert!(!lesson.expect.is_empty(), "{}: nothing is claimed", lesson.title);
            assert_eq!(lesson.deeds.is_empty(), lesson.button.is_empty(), "{}", lesson.title);
        }
    }
    assert_eq!(Tour::builtin("birth").unwrap().lessons.len(), 5);
}

fn play(rehearsal: &mut Rehearsal, tour: &Tour) {
    for rehearsed in rehearsal.play(&tour.lessons).unwrap() {
        let title = rehearsed.title;
        assert!(!rehearsed.is_idle, "{title}: it says nothing of what is done");
        assert_eq!(rehearsed.refuted, None, "{title}");
    }
    assert!(rehearsal.in_force().is_empty(), "the tour leaves nothing behind");
}

#[test]
fn what_the_tour_of_gating_says_is_seen_in_its_recorded_run() {
    let home = tempfile::tempdir().unwrap();
    let tour = Tour::builtin("gating").unwrap();
    let folder = tour.ground.folder(home.path()).unwrap().unwrap();
    let reader = Reader::open(&folder).unwrap();
    assert!(reader.problems.is_empty(), "{:?}", reader.problems);
    assert_eq!(reader.recording.recorded, [0, 600, 4800, 14000]);
    play(&mut Rehearsal::of_run(&folder).unwrap(), &tour);
}

#[test]
fn what_the_tour_of_the_birth_says_is_seen_while_it_trains() {
    let tour = Tour::builtin("birth").unwrap();
    let Ground::Experiment(experiment) = &tour.ground else { panic!("it trains") };
    // The rule that its first words tell.
    let instrument = Instrument::new(experiment).unwrap();
    let row = instrument.source().sequence(held_out_seed(experiment.train.seed as u64), 0);
    let text = instrument.source().vocab().spell(&row.tokens);
    for (cue, answer) in [('o', 'y'), (' ', 'p'), ('e', 'q')] {
        let followers = text.chars().zip(text.chars().skip(1)).filter(|(now, _)| *now == cue);
        assert!(followers.clone().count() >= 3, "{cue}: {text}");
        assert!(followers.clone().all(|(_, next)| next == answer), "{cue}: {text}");
    }
    assert!(text.starts_with("Toy") && text[20..].contains("Thoy"), "{text}");
    // What is measured changes nothing: evaluations that no lesson speaks of are left out.
    let is_told = |step| step == 60 || step >= 200;
    play(&mut born(experiment, ("induction_head", 300), is_told), &tour);
}

#[test]
fn what_the_tour_of_memory_says_of_the_recurrent_network_is_seen_while_it_trains() {
    let tour = Tour::builtin("memory").unwrap();
    let Ground::Experiment(experiment) = &tour.ground else { panic!("it trains") };
    let mut rehearsal = born(experiment, ("machine_learned", 300), |_| true);
    let own = |lesson: &&Lesson| ["", "parity-gru"].contains(&&*lesson.look.experiment);
    let lessons: Vec<&Lesson> = tour.lessons.iter().filter(own).collect();
    let panels: Vec<_> = lessons.iter().map(|lesson| &*lesson.look.panel).collect();
    assert_eq!(panels, ["working_memory", "automaton"]);
    for lesson in lessons {
        rehearsal.look(lesson).unwrap();
        assert_eq!(rehearsal.refuted(&lesson.expect).unwrap(), None, "{}", lesson.title);
    }
}

/// An experiment that trains up to a mark and no step beyond, with its weights at the evaluations that are told of. It has to
/// come by a step.
fn born(
    experiment: &Experiment,
    (mark, latest): (&str, u64),
    is_told: impl Fn(u64) -> bool,
) -> Rehearsal {
    let is_over = |trainer: &Trainer, recording: &Recording| {
        let step = trainer.steps_done();
        let is_born = recording.marks.iter().any(|other| other.id == mark);
        assert!(is_born || step <= latest, "no {mark} up to step {step}");
        is_born
    };
    recorded(experiment, is_over, is_told)
}

/// An experiment that trains to its end.
fn trained(experiment: &Experiment) -> Rehearsal {
    let mut over = false;
    let is_over =
        |trainer: &Trainer, _: &Recording| std::mem::replace(&mut over, trainer.is_finished());
    recorded(experiment, is_over, |_| true)
}

fn recorded(
    experiment: &Experiment,
    mut is_over: impl FnMut(&Trainer, &Recording) -> bool,
    is_told: impl Fn(u64) -> bool,
) -> Rehearsal {
    let mut trainer = Trainer::new(experiment).unwrap();
    let mut recording = Recording { columns: trainer.columns().to_vec(), ..Recording::default() };
    let mut kept: Vec<Weights> = Vec::new();
    while !is_over(&trainer, &recording) {
        let step = trainer.steps_done();
        if is_told(step) && trainer.is_evaluation_due() {
            let (row, marks): (MetricsRow, _) = trainer.evaluate().unwrap();
            recording.add_row(row);
            recording.recorded.push(step);
            marks.into_iter().for_each(|mark| recording.add_mark(mark));
            kept.push(trainer.weights().unwrap());
        }
        trainer.step().unwrap();
    }
    let weights = Box::new(move |step| {
        Ok(kept.iter().min_by_key(|weights| weights.step.abs_diff(step)).unwrap().clone())
    });
    Rehearsal::new(experiment, recording, weights).unwrap()
}

#[test]
fn every_experiment_has_a_card_with_its_source_its_time_and_a_small_picture() {
    for card in gallery::cards().unwrap() {
        let name = card.name;
        assert!(card.lessons > 0, "{name}: no lesson");
        assert!(card.source.len() > 5, "{name}: no source");
        assert!(card.about.ends_with('.'), "{name}: {}", card.about);
        let phenomenon = card.phenomenon.unwrap_or_else(|| panic!("{name}: no phenomenon"));
        let steps = Experiment::builtin(name).unwrap().train.steps as u64;
        assert!(steps == 0 || phenomenon.step <= steps, "{name}: step {}", phenomenon.step);
        assert!(card.still.len() <= still::MOST_BYTES, "{name}: {} bytes", card.still.len());
        let picture = eframe::icon_data::from_png_bytes(card.still).unwrap();
        assert_eq!((picture.width, picture.height), (512, 320), "{name}");
        assert!(card.is_found_by(&card.source.to_uppercase()) && !card.is_found_by("no such word"));
    }
}

/// Steps that its lessons name, and the first.
fn named_steps(experiment: &Experiment) -> BTreeSet<u64> {
    let step = |when: &When| if let When::Step(step) = when { Some(*step) } else { None };
    let in_claim = |claim: &Expectation| match claim {
        Expectation::Number { of: Quantity::Metric { at: Some(when), .. }, .. } => step(when),
        Expectation::Number { .. } | Expectation::Token { .. } | Expectation::Predicts { .. } => {
            None
        }
    };
    let in_deed = |deed: &Deed| if let Deed::View(when) = deed { step(when) } else { None };
    let of = |lesson: &Lesson| {
        let looks = lesson.look.step.iter().filter_map(step);
        let deeds = lesson.deeds.iter().filter_map(in_deed);
        looks.chain(deeds).chain(lesson.expect.iter().filter_map(in_claim)).collect::<Vec<_>>()
    };
    experiment.lessons.iter().flat_map(of).chain([1]).collect()
}

/// An experiment that is recorded after one step, as a folder.
fn recorded_briefly(experiment: &Experiment, folder: &Path) {
    let mut experiment = experiment.clone();
    (experiment.train.steps, experiment.train.evaluate, experiment.train.held_out) = (1, 1, 8);
    experiment.train.threads = 1;
    let mut trainer = Trainer::new(&experiment).unwrap();
    let header = RunHeader {
        name: experiment.name.clone(),
        experiment: experiment.to_toml(),
        documents: trainer.source().documents().unwrap(),
        kind: "fresh".to_owned(),
        parent: None,
        columns: trainer.columns().to_vec(),
        budget_bytes: 1 << 30,
    };
    let mut writer = Writer::create(folder, header).unwrap();
    let marks = trainer.mark_ids();
    trainer.step().unwrap();
    // The same numbers at all steps that lessons name.
    let (row, weights) = (trainer.evaluate().unwrap().0, trainer.weights().unwrap());
    for step in named_steps(&experiment) {
        writer.push(Item::Metrics(MetricsRow { step, ..row.clone() }));
        writer.push(Item::Weights(Weights { step, ..weights.clone() }));
    }
    // As if all that can emerge had.
    for id in marks {
        let text = id.to_owned();
        writer.push(Item::Mark(Mark {
            step: 1,
            kind: MarkKind::Emergence,
            id: text.clone(),
            text,
        }));
    }
    writer.flush().unwrap();
}

/// What a lesson names is there and can be seen in a run that was recorded: metrics, marks, heads, positions, panels. What it claims of
/// the numbers is another question, for they are not learned after one step.
#[test]
fn what_every_lesson_refers_to_can_be_seen_in_a_recorded_run() {
    for (name, _) in BUILTIN {
        let home = tempfile::tempdir().unwrap();
        let (experiment, folder) = (Experiment::builtin(name).unwrap(), home.path().join("run"));
        recorded_briefly(&experiment, &folder);
        let tour = Tour::of_experiment(&experiment).unwrap();
        tour.check(&panels(), home.path()).unwrap();
        for rehearsed in Rehearsal::of_run(&folder).unwrap().play(&tour.lessons).unwrap() {
            let refuted = rehearsed.refuted.unwrap_or_default();
            assert!(!refuted.contains("nothing is seen"), "{name}: {refuted}");
        }
        let shows = experiment.phenomenon.unwrap().lesson - 1;
        let picture = still::of_lesson(&folder, &tour.lessons[shows]).unwrap();
        assert!(picture.len() <= still::MOST_BYTES, "{name}: {} bytes", picture.len());
    }
}

/// Experiments of a few seconds: their lessons are played on the whole of what they train. (`cargo run --example stills` plays all.)
const SHORT: &[&str] = &[
    "automaton-cyclic3-gru",
    "automaton-grid4-gru",
    "automaton-s3-gru",
    "max-of-list",
    "parity-gru",
];

#[test]
fn what_the_lessons_of_short_experiments_claim_is_seen_in_their_runs() {
    for name in SHORT {
        let experiment = Experiment::builtin(name).unwrap();
        let tour = Tour::of_experiment(&experiment).unwrap();
        play(&mut trained(&experiment), &tour);
    }
}

#[test]
fn a_phenomenon_says_a_lesson_that_is_there() {
    let said = |value: &str| {
        let text = format!("phenomenon = {value}\n{TINY}{GOOD}");
        Experiment::parse(&text, "tiny.toml").map_err(|e| e.message)
    };
    let good = said("{ lesson = 2, step = 230, seconds = 12 }").unwrap();
    assert_eq!(good.phenomenon.unwrap().step, 230);
    let again = Experiment::parse(&good.to_toml(), "again.toml").unwrap();
    assert_eq!(again.phenomenon, good.phenomenon);
    for (value, why) in [
        ("{ lesson = 3, step = 1, seconds = 1 }", "lesson = 3, and there are 2 lessons"),
        ("{ lesson = 0, step = 1, seconds = 1 }", "lesson = 0, and there are 2 lessons"),
        ("{ lesson = 1, step = -1, seconds = 1 }", "expected whole numbers from 0 on"),
        ("{ lesson = 1, step = 1 }", "expected whole numbers from 0 on"),
        ("230", "expected whole numbers from 0 on"),
        ("{ lesson = 1, step = 1, secs = 1 }", "has no \"secs\". Did you mean seconds?"),
    ] {
        let error = said(value).map(|_| ()).unwrap_err();
        assert!(error.contains(why), "{value}: {error}");
    }
}

#[test]
fn a_recorded_run_is_unpacked_once_and_nothing_that_is_there_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let whole: usize = recorded::ALL.iter().map(Recorded::bytes).sum();
    assert!(whole <= 2_000_000, "{whole} bytes");
    let run = Recorded::find("gating").unwrap();
    let folder = run.unpack(home.path()).unwrap();
    assert_eq!(run.unpack(home.path()).unwrap(), folder);
    assert_eq!(run.folder(home.path()), folder);
    // What a kill left out is put there; what somebody changed is left as it is and named.
    std::fs::remove_file(folder.join("events.jsonl")).unwrap();
    run.unpack(home.path()).unwrap();
    assert_eq!(Reader::open(&folder).unwrap().recording.marks.len(), 2);
    let changed = folder.join("metrics.csv");
    std::fs::write(&changed, "mine").unwrap();
    let said = run.unpack(home.path()).unwrap_err().message;
    assert!(said.contains("metrics.csv is not the file that comes with the program"), "{said}");
    assert_eq!(std::fs::read_to_string(changed).unwrap(), "mine");
    let said = Recorded::find("gatin").unwrap_err().message;
    assert!(said.contains("Did you mean gating?"), "{said}");
}

const GOOD: &str = r#"
[[lesson]]
title = "One"
text = "A sentence."
look = { panel = "attention", step = "induction_head", sequence = 3, head = "layer1.head0", query = 5, key = 2 }
button = "Cut"
do = ["pause", "text To be", "zero layer1.head0", "lift zero layer1.head0", "view 40", "view live", "show tokens", "head layer0.head1", "start birth", "flip", "lift all", "run"]
expect = ["accuracy_in_context > 0.5 at induction_head", "attention layer0.head1@4<-3 < 0.5", "probability @2 > 0.25", "token @0 = T", "predicts @1 = e"]

[[lesson]]
title = "Two"
text = """
First.

Second."""
look = "tokens"
"#;

fn with_lessons(lessons: &str) -> Experiment {
    Experiment::parse(&format!("{TINY}{lessons}"), "tiny.toml").unwrap()
}

#[test]
fn an_experiment_keeps_its_lessons_when_it_is_saved_and_read_again() {
    let experiment = with_lessons(GOOD);
    assert_eq!(experiment.lessons.len(), 2);
    assert_eq!(experiment.lessons[0].deeds.len(), 12);
    let again = Experiment::parse(&experiment.to_toml(), "again.toml").unwrap();
    assert_eq!(again.lessons, experiment.lessons);
    assert!(again.learns_as(&experiment));
    for (name, _) in BUILTIN {
        let experiment = Experiment::builtin(name).unwrap();
        let again = Experiment::parse(&experiment.to_toml(), "again.toml").unwrap();
        assert_eq!(again.lessons, experiment.lessons, "{name}");
        assert_eq!(again.title, experiment.title, "{name}");
    }
}

#[test]
fn a_good_lesson_is_found_to_be_good() {
    let tour = Tour::of_experiment(&with_lessons(GOOD)).unwrap();
    tour.check(&panels(), Path::new("")).unwrap();
}

/// What is put in place of what in the good lessons, and what the sentence about it says.
const BAD: &[(&str, &str, &str)] = &[
    (
        "title = \"One\"",
        "titel = \"One\"",
        "lesson 1 (\"\"): a lesson has no \"titel\". Did you mean title?",
    ),
    ("text = \"A sentence.\"\n", "", "lesson 1 (\"One\"): it has no text"),
    ("panel = \"attention\", ", "", "does not say where to look"),
    ("look = \"tokens\"", "look = 3", "lesson 2 (\"Two\"): look = 3: expected a panel"),
    (
        "panel = \"attention\"",
        "panel = \"atention\"",
        "look: there is no panel called \"atention\". Did you mean attention",
    ),
    (
        "\"show tokens\"",
        "\"show tokkens\"",
        "do \"show tokkens\": there is no panel called \"tokkens\". Did you mean tokens?",
    ),
    (
        "step = \"induction_head\", ",
        "step = \"induction_hat\", ",
        "there is no mark called \"induction_hat\". Did you mean induction_head?",
    ),
    ("step = \"induction_head\", ", "step = -3, ", "step = -3: expected a whole number from 0"),
    (
        "step = \"induction_head\", ",
        "step = \"in a while\", ",
        "expected a step (60), the id of a mark",
    ),
    (
        "head = \"layer1.head0\"",
        "head = \"layer4.head0\"",
        "this network has no layer4.head0; heads by layer: [2, 2]",
    ),
    (
        "head = \"layer1.head0\"",
        "head = \"head0\"",
        "read \"head0\", expected a head: layer1.head0",
    ),
    ("query = 5", "query = 24", "read position 24, and the last one of the sequence is 23"),
    ("query = 5", "query = \"five\"", "query: read \"five\", expected a whole number"),
    (
        "\"zero layer1.head0\"",
        "\"zero layer7.head0\"",
        "this network has no such place; it has 2 layers",
    ),
    ("\"zero layer1.head0\"", "\"zero\"", "intervention \"zero\": no object"),
    ("\"pause\"", "\"pausse\"", "nothing is called that. Did you mean pause?"),
    ("\"view 40\"", "\"view\"", "expected for example view 60, view induction_head or view live"),
    ("\"start birth\"", "\"start brith\"", "there is no experiment \"brith\""),
    ("\"text To be\"", "\"text Τώρα\"", "do \"text Τώρα\""),
    (
        "accuracy_in_context > 0.5",
        "acuracy_in_context > 0.5",
        "there is no metric called \"acuracy_in_context\". Did you mean accuracy_in_context",
    ),
    (
        "accuracy_in_context > 0.5",
        "accuracy_in_context = 0.5",
        "cannot be checked: expected for example",
    ),
    ("accuracy_in_context > 0.5", "accuracy_in_context > half", "read \"half\""),
    ("layer0.head1@4<-3", "layer0.head1@4", "cannot be checked"),
    ("token @0 = T", "token @0 = Ж", "the vocabulary has no token \"Ж\""),
    ("probability @2", "probability 2", "cannot be checked"),
    ("probability @2", "tuple 2 open", "sequences of this task are no tuples"),
    ("probability @2", "tuple 2 ajar", "cannot be checked"),
];

#[test]
fn a_wrong_word_in_a_lesson_is_named_when_it_is_read() {
    for (good, bad, says) in BAD {
        assert!(GOOD.contains(good), "{good}");
        let text = format!("{TINY}{}", GOOD.replacen(good, bad, 1));
        let read = Experiment::parse(&text, "bad.toml");
        let said = read.and_then(|experiment| {
            Tour::of_experiment(&experiment).unwrap().check(&panels(), Path::new(""))
        });
        let said = said.expect_err(bad).message;
        assert!(said.contains(says), "{bad}: {said}");
    }
}

#[test]
fn a_tour_of_its_own_says_on_what_it_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let lesson = "\n[[lesson]]\ntitle = \"One\"\ntext = \"Look.\"\nlook = { panel = \"gating\", step = 600 }\n";
    let said = |head: &str, lesson: &str| {
        std::fs::write(&path, format!("{head}{lesson}")).unwrap();
        Tour::checked(&path, &panels(), folder.path()).err().map(|e| e.message).unwrap_or_default()
    };
    assert_eq!(said("run = \"gating\"\n", lesson), "");
    assert!(tour::is_tour_file(&path));
    for (head, lesson, says) in [
        ("run = \"gatting\"\n", lesson, "Did you mean gating?"),
        ("experiment = \"births\"\n", lesson, "there is no experiment \"births\""),
        ("", lesson, "expected one of run = "),
        ("run = \"gating\"\nexperiment = \"birth\"\n", lesson, "expected one of run = "),
        ("runs = \"gating\"\n", lesson, "a tour has no \"runs\". Did you mean run?"),
        ("run = 3\n", lesson, "run: read 3, expected text in quotes"),
        ("run = \"gating\"\n", "", "it has no [[lesson]]"),
        (
            "run = \"gating\"\n",
            &lesson.replace("600", "700"),
            "the weights of step 700 are not recorded; those of these steps are: [0, 600, 4800, 14000]",
        ),
        ("run = \"gating\n", lesson, "line 1"),
    ] {
        let said = said(head, lesson);
        assert!(said.contains(says), "{head}: {said}");
    }
    // A file beside it is meant from its folder on.
    std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    let own = lesson.replace("gating", "tokens");
    assert_eq!(said("experiment = \"tiny.toml\"\n", &own), "");
    let tour = Tour::load(&path).unwrap();
    assert!(matches!(tour.ground, Ground::Experiment(_)));
}
