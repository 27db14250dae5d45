//! Every name that a newcomer meets is explained somewhere.

use mnemoscope::base::event::{Mark, MarkKind};
use mnemoscope::base::glossary::{self, TERMS};
use mnemoscope::panel::{self, columns, flags};
use mnemoscope::run::experiment::{BUILTIN, Experiment, heading};
use mnemoscope::run::trainer::Trainer;

fn trainer(name: &str) -> Trainer {
    let mut experiment = Experiment::builtin(name).unwrap();
    (experiment.train.batch, experiment.train.held_out) = (2, 2);
    Trainer::new(&experiment).unwrap()
}

#[test]
fn every_experiment_has_a_title_and_a_sentence_at_the_head_of_its_document() {
    let mut titles: Vec<&str> = Vec::new();
    for (name, _) in BUILTIN {
        let experiment = Experiment::builtin(name).unwrap();
        assert_eq!(heading(name), [experiment.title(), &experiment.about], "{name}");
        assert!(!experiment.title.is_empty() && experiment.title != *name, "{name}");
        titles.push(heading(name)[0]);
    }
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), BUILTIN.len(), "a title is given twice");
}

#[test]
fn every_metric_and_every_mark_of_every_experiment_is_explained() {
    for (name, _) in BUILTIN {
        let trainer = trainer(name);
        for column in trainer.columns() {
            assert!(!columns::describe(column).1.is_empty(), "{name}: {column}");
            assert!(!columns::describe(column).1.is_empty(), "{name}: {column}");
        }
        for id in trainer.mark_ids() {
            let (id, text) = (id.to_owned(), String::new());
            let mark = Mark { step: 0, kind: MarkKind::Emergence, id, text };
            assert!(flags::describe(&mark).ends_with('.'), "{name}: {}", mark.id);
        }
    }
}

/// Whether some word of the glossary has it, as a word of a term or in what is said of one.
fn is_told(word: &str) -> bool {
    TERMS.iter().any(|term| term.is_found_by(&word.replace('_', " ")))
}

#[test]
fn the_glossary_tells_panels_roles_and_heads() {
    for kind in panel::ALL {
        assert!(is_told(kind.title), "{}", kind.title);
    }
    for (name, _) in BUILTIN {
        for role in trainer(name).source().roles() {
            assert!(is_told(role), "{name}: {role}");
        }
    }
    for word in [
        "prefix matching",
        "copying",
        "previous token",
        "duplicate token",
        "recall",
        "loss",
        "accuracy",
        "norm",
        "held out",
        "checkpoint",
        "logit",
        "KL",
        "surgery",
    ] {
        assert!(is_told(word), "{word}");
    }
    let words: Vec<&str> = TERMS.iter().map(|term| term.transformer).collect();
    for term in TERMS {
        assert!(term.says.ends_with('.'), "{}", term.transformer);
        assert_eq!(words.iter().filter(|word| **word == term.transformer).count(), 1);
        assert_eq!(TERMS.iter().filter(|other| other.memory == term.memory).count(), 1);
    }
}

#[test]
fn the_glossary_of_the_documentation_is_that_of_the_program() {
    let text = include_str!("../../docs/words.md");
    assert!(text.contains(&glossary::markdown()), "docs/words.md lacks:\n{}", glossary::markdown());
}
