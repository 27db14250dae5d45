//! Networks of other programs in the window: every panel answers, nothing can be trained, what is dropped is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use mnemoscope::base::intervention::Intervention;
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::formats::tokenizer::Begin;
use tempfile::TempDir;

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

/// A copy of a golden network with a tokenizer beside it.
fn with_tokenizer(network: &str, tokenizer: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(golden(network).join(file), folder.path().join(file)).unwrap();
    }
    let tokenizer = golden("tokenizers").join(tokenizer).join("tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    folder
}

#[test]
fn what_begins_a_prompt_is_a_token_of_its_own_and_stays_through_edits() {
    let folder = with_tokenizer("gpt2", "gpt2");
    let mut harness = window_on(folder.path());
    until(&mut harness, "it is open and answers", |app| app.lab.readings.is_some());
    let lab = &mut harness.state_mut().lab;
    lab.set_text("The lamp burned");
    let plain = lab.prompt.tokens.clone();
    lab.begin_text_with(Begin::TransformerLens);
    // <|endoftext|>
    assert_eq!(lab.prompt.tokens, [&[399], &plain[..]].concat());
    assert_eq!(lab.text(), "The lamp burned", "it is no part of the text");
    lab.set_text("The lamp burned all night.");
    assert_eq!(lab.prompt.tokens[..4], [&[399], &plain[..3]].concat());
    until(&mut harness, "that is answered", |app| {
        app.lab.readings.as_ref().is_some_and(|r| r.prompt.tokens == app.lab.prompt.tokens)
    });
    harness.state_mut().lab.begin_text_with(Begin::Nothing);
    assert_eq!(harness.state().lab.prompt.tokens[..3], plain[..3]);
}

#[test]
fn the_network_goes_on_writing_under_what_is_in_force_until_it_is_stopped() {
    let mut harness = window_on(&golden("gpt2"));
    until(&mut harness, "it is open and answers", |app| app.lab.readings.is_some());
    let before = harness.state().lab.prompt.tokens.clone();
    let call = MeasurementCall::new("generation").with("count", 5);
    harness.state_mut().lab.go_on_writing(call.clone()).unwrap();
    until(&mut harness, "five tokens are written", |app| !app.lab.generation.is_running());
    let free = harness.state().lab.prompt.tokens.clone();
    assert_eq!((free.len(), &free[..before.len()]), (before.len() + 5, &before[..]));
    assert!(harness.state().lab.troubles.is_empty());
    let lab = &mut harness.state_mut().lab;
    lab.draw_sequence(0);
    lab.intervene(Intervention::cut_head(0, 1));
    lab.go_on_writing(call).unwrap();
    until(&mut harness, "five others are written", |app| !app.lab.generation.is_running());
    assert_ne!(harness.state().lab.prompt.tokens, free, "what is in force was");
    let lab = &mut harness.state_mut().lab;
    lab.draw_sequence(0);
    lab.go_on_writing(MeasurementCall::new("generation").with("count", 4096)).unwrap();
    lab.draw_sequence(1);
    let other = lab.prompt.tokens.clone();
    until(&mut harness, "it ends with another text", |app| !app.lab.generation.is_running());
    assert_eq!(harness.state().lab.prompt.tokens, other);
}
