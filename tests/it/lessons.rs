//! Lessons: read and looked up, played on their runs, and written by someone who makes mistakes.

use std::path::Path;
use std::sync::Arc;

use mnemoscope::app::Panels;
use mnemoscope::base::batch::Row;
use mnemoscope::base::event::MetricsRow;
use mnemoscope::base::intervention::Intervention;
use mnemoscope::base::weights::Weights;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::expectation::{Expectation, Scene};
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::lesson::{Deed, Lesson};
use mnemoscope::run::recorded::{self, Recorded};
use mnemoscope::run::tour::{self, Ground, Tour};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::Reader;
use mnemoscope::run_folder::recording::Recording;
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

/// What is in view while a tour is played.
struct Stage {
    recording: Recording,
    weights: Box<dyn FnMut(u64) -> Weights>,
    instrument: Instrument,
    seed: u64,
    step: u64,
    row: Arc<Row>,
    query: usize,
    in_force: Vec<Intervention>,
}

impl Stage {
    fn new(
        experiment: &Experiment,
        recording: Recording,
        weights: Box<dyn FnMut(u64) -> Weights>,
    ) -> Self {
        let instrument = Instrument::new(experiment).unwrap();
        let seed = held_out_seed(experiment.train.seed as u64);
        let row = Arc::new(instrument.source().sequence(seed, 0));
        let step = recording.last_step;
        let in_force = Vec::new();
        Self { recording, weights, instrument, seed, step, row, query: 0, in_force }
    }

    fn sequence(&mut self, number: usize) {
        self.row = Arc::new(self.instrument.source().sequence(self.seed, number as u64));
    }

    fn look(&mut self, lesson: &Lesson) {
        let look = &lesson.look;
        if let Some(when) = &look.step {
            self.step = when.step(&self.recording).unwrap();
        }
        if let Some(number) = look.sequence {
            self.sequence(number);
        }
        self.query = look.query.unwrap_or(self.query);
    }

    fn act(&mut self, deed: &Deed) {
        match deed {
            Deed::Query(at) => self.query = *at,
            Deed::Sequence(number) => self.sequence(*number),
            Deed::Intervene(_) | Deed::Lift(_) | Deed::LiftAll => deed.change(&mut self.in_force),
            Deed::View(when) => self.step = when.step(&self.recording).unwrap(),
            Deed::Flip => self.flip(),
            Deed::Start(_)
            | Deed::Text(_)
            | Deed::Key(_)
            | Deed::Head(..)
            | Deed::Show(_)
            | Deed::Run
            | Deed::Pause => panic!("{deed} is not played here"),
        }
    }

    /// As the button of the panel Gating does it: answers that were shown rightly are shown rightly again.
    fn flip(&mut self) {
        let at = self.query - self.query % 4;
        let mut tokens = self.row.tokens.clone();
        tokens[at] = 1 - tokens[at];
        let source = self.instrument.source().clone();
        let again = source.label(&tokens, &self.row);
        for at in (2..tokens.len() - 1).step_by(4) {
            tokens[at + 1] = again.targets[at];
        }
        self.row = Arc::new(source.label(&tokens, &self.row));
    }

    /// The first claim that does not hold, with what is seen.
    fn refuted(&mut self, claims: &[Expectation]) -> Option<String> {
        let calls: Vec<_> = claims.iter().flat_map(Expectation::calls).collect();
        let weights = (self.weights)(self.step);
        let readings =
            self.instrument.examine(&weights, &self.row, &self.in_force, &calls).unwrap();
        let scene = Scene {
            recording: &self.recording,
            vocab: self.instrument.source().vocab(),
            row: &self.row,
            step: self.step,
            changed: !self.in_force.is_empty(),
            readings: Some(&readings),
        };
        claims.iter().find_map(|claim| {
            let seen = claim.observed(&scene);
            let holds = seen.as_ref().is_some_and(|seen| seen.holds);
            (!holds).then(|| format!("{claim}: {seen:?}"))
        })
    }

    fn play(&mut self, tour: &Tour) {
        for lesson in &tour.lessons {
            self.look(lesson);
            if !lesson.deeds.is_empty() {
                // A claim that held before would say nothing of what is done.
                assert!(self.refuted(&lesson.expect).is_some(), "{}", lesson.title);
            }
            for deed in &lesson.deeds {
                self.act(deed);
            }
            assert_eq!(self.refuted(&lesson.expect), None, "{}", lesson.title);
        }
        assert!(self.in_force.is_empty(), "the tour leaves nothing behind");
    }
}

#[test]
fn what_the_tour_of_gating_says_is_seen_in_its_recorded_run() {
    let home = tempfile::tempdir().unwrap();
    let tour = Tour::builtin("gating").unwrap();
    let folder = tour.ground.folder(home.path()).unwrap().unwrap();
    let mut reader = Reader::open(&folder).unwrap();
    assert!(reader.problems.is_empty(), "{:?}", reader.problems);
    assert_eq!(reader.recording.recorded, [0, 600, 4800, 14000]);
    let (experiment, recording) = (Experiment::of_run(&folder).unwrap(), reader.recording.clone());
    let weights = Box::new(move |step| reader.weights(step).unwrap());
    Stage::new(&experiment, recording, weights).play(&tour);
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
    born(experiment, ("induction_head", 300), is_told).play(&tour);
}

#[test]
fn what_the_tour_of_memory_says_of_the_recurrent_network_is_seen_while_it_trains() {
    let tour = Tour::builtin("memory").unwrap();
    let Ground::Experiment(experiment) = &tour.ground else { panic!("it trains") };
    let mut stage = born(experiment, ("machine_learned", 300), |_| true);
    let own = |lesson: &&Lesson| ["", "parity-gru"].contains(&&*lesson.look.experiment);
    let lessons: Vec<&Lesson> = tour.lessons.iter().filter(own).collect();
    let panels: Vec<_> = lessons.iter().map(|lesson| &*lesson.look.panel).collect();
    assert_eq!(panels, ["working_memory", "automaton"]);
    for lesson in lessons {
        stage.look(lesson);
        assert_eq!(stage.refuted(&lesson.expect), None, "{}", lesson.title);
    }
}

/// An experiment that trains up to a mark and no step beyond, with its weights at the evaluations that are told of. It has to
/// come by a step.
fn born(
    experiment: &Experiment,
    (mark, latest): (&str, u64),
    is_told: impl Fn(u64) -> bool,
) -> Stage {
    let mut trainer = Trainer::new(experiment).unwrap();
    let mut recording = Recording { columns: trainer.columns().to_vec(), ..Recording::default() };
    let mut kept: Vec<Weights> = Vec::new();
    while !recording.marks.iter().any(|other| other.id == mark) {
        let step = trainer.steps_done();
        assert!(step <= latest, "no {mark} up to step {step}");
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
        kept.iter().min_by_key(|weights| weights.step.abs_diff(step)).unwrap().clone()
    });
    Stage::new(experiment, recording, weights)
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
    for (name, _) in mnemoscope::run::experiment::BUILTIN {
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
