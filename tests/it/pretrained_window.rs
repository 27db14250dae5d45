//! Networks of other programs in the window: every panel answers, nothing can be trained, what is dropped is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};

use crate::app::{until, window_on};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models").join(name)
}

/// A file that somebody drops.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("nobody reads what was dropped".to_owned())
    }
}

#[test]
fn a_network_of_another_program_is_looked_at_and_not_trained() {
    let mut harness = window_on(&golden("gpt2"));
    until(&mut harness, "the network is open and answers", |app| app.lab.readings.is_some());
    let lab = &harness.state().lab;
    assert_eq!(lab.state_in_words(), "gpt2: 3 layers, 6 heads, 400 tokens");
    assert!(lab.why_not_steered().contains("read here and not trained"));
    assert!(lab.troubles.is_empty(), "{:?}", lab.troubles);
    let run = harness.get_by_role_and_label(Role::Button, "Run");
    assert!(run.accesskit_node().is_disabled());
}

#[test]
fn what_is_dropped_on_the_window_is_opened_or_refused_in_a_sentence() {
    let mut harness = window_on(&golden("gpt2"));
    until(&mut harness, "the first one is open", |app| app.lab.runs.len() == 1);
    let config = Dropped(golden("llama").join("config.json"));
    harness.input_mut().dropped_files.push(Arc::new(config));
    until(&mut harness, "its folder is opened", |app| app.lab.runs.len() == 2);
    harness.input_mut().dropped_files.push(Arc::new(Dropped("model.gguf".into())));
    until(&mut harness, "another file is refused", |app| !app.lab.troubles.is_empty());
    assert!(format!("{:?}", harness.state().lab.troubles).contains("GGUF"));
}
