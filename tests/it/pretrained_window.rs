//! Networks of other programs in the window: every panel answers, nothing can be trained, what is dropped is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use mnemoscope::app::App;
use mnemoscope::base::array::Array;
use mnemoscope::base::intervention::Intervention;
use mnemoscope::base::question::{MeasurementCall, Reading, Readings};
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::figure::Pick;
use mnemoscope::formats::tokenizer::Begin;
use mnemoscope::run::examine::Waiting;
use tempfile::TempDir;

use crate::app::{press, until, window_on};

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models").join(name)
}

/// A file that somebody drops.
#[derive(Debug)]
pub struct Dropped(pub PathBuf);

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
    harness.input_mut().dropped_files.push(Arc::new(Dropped("ckpt.pt".into())));
    until(&mut harness, "a pickle is refused with the line that converts it", |app| {
        app.lab.troubles.iter().any(|e| e.message.contains("_orig_mod."))
    });
}

#[test]
fn a_special_token_that_is_typed_is_said_beside_the_field() {
    let folder = with_tokenizer("gpt2", "gpt2");
    let mut harness = window_on(folder.path());
    until(&mut harness, "it is open and answers", |app| app.lab.readings.is_some());
    let lab = &mut harness.state_mut().lab;
    lab.set_text("The lamp <|endoftext|>burned");
    assert!(lab.prompt.tokens.contains(&399));
    let note = "\"<|endoftext|>\" is read as a special token, not as letters.";
    assert_eq!(lab.text_note.as_deref(), Some(note));
    // One that begins the prompt is not typed.
    lab.begin_text_with(Begin::TransformerLens);
    lab.set_text("The lamp burned");
    assert_eq!((lab.prompt.tokens[0], lab.text_note.as_deref()), (399, None));
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

/// Two pairs of one length, a prompt of another, and one without a counterpart.
const PROMPTS: &str = r#"{"prompt": [5, 9, 17, 4], "counterpart": [5, 9, 18, 4], "answer": 3, "wrong": 8}
{"prompt": [6, 9, 17, 4], "counterpart": [6, 9, 18, 4], "answer": 3, "wrong": 8}
{"prompt": [7, 9], "counterpart": [7, 8], "answer": 3, "wrong": 8}
{"prompt": [1, 2, 3]}
"#;

#[test]
fn a_set_of_prompts_is_gone_through_and_its_pairs_are_patched() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("set.jsonl");
    fs::write(&file, PROMPTS).unwrap();
    let mut harness = window_on(&golden("gpt2"));
    until(&mut harness, "it is open and answers", |app| app.lab.readings.is_some());
    assert_eq!(harness.state().lab.prompt_of_set(), None);
    harness.input_mut().dropped_files.push(Arc::new(Dropped(file.clone())));
    until(&mut harness, "the first prompt is in view", |app| {
        app.lab.prompt_of_set() == Some((1, 4)) && app.lab.prompt.tokens == [5, 9, 17, 4]
    });
    assert_eq!(harness.state().lab.prompt.targets, [9, 17, 4, 3], "the answer is what is right");
    for (number, tokens) in [(2, vec![6, 9, 17, 4]), (3, vec![7, 9]), (4, vec![1, 2, 3])] {
        harness.state_mut().lab.draw_next();
        assert_eq!(harness.state().lab.prompt_of_set(), Some((number, 4)));
        assert_eq!(harness.state().lab.prompt.tokens, tokens);
    }
    harness.state_mut().lab.draw_next();
    assert_eq!(harness.state().lab.prompt_of_set(), Some((1, 4)), "after the last the first");
    press(&mut harness, "Patching");
    until(&mut harness, "the pairs are patched", |app| app.lab.analyses.has_ended("patching"));
    let analyzed = &harness.state().lab.analyses.analyzed.by_call;
    let (_, found) = analyzed.iter().find(|(key, _)| key.starts_with("patching")).unwrap();
    let reading = found.reading.as_ref().unwrap().as_ref().unwrap();
    assert_eq!(reading.number("pairs").map(|n| n as usize), Some(2), "those of one length");
    // A file that is none is refused, and the set stays.
    let wrong = home.path().join("wrong.jsonl");
    fs::write(&wrong, "{\"prompt\": [5, 400]}\n").unwrap();
    harness.input_mut().dropped_files.push(Arc::new(Dropped(wrong)));
    until(&mut harness, "another is refused", |app| !app.lab.troubles.is_empty());
    let said = format!("{:?}", harness.state().lab.troubles);
    assert!(
        said.contains("prompt 1 names token 400; this network has the tokens 0 to 399"),
        "{said}"
    );
    assert_eq!(harness.state().lab.prompt_of_set(), Some((1, 4)));
}

#[test]
fn the_commands_ask_a_set_of_prompts_too() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("set.jsonl");
    fs::write(&file, PROMPTS).unwrap();
    let asked =
        |sequence| Question { prompts: Some(file.clone()), sequence, ..Question::default() };
    let mut run = RunAt::open(&golden("gpt2"), &asked(2)).unwrap();
    assert_eq!(run.prompt.tokens, [7, 9]);
    // A question without the set is about random tokens again.
    run.turn_to(&Question::default()).unwrap();
    assert_eq!(run.prompt.tokens.len(), 50);
    assert!(run.instrument.source().pair_kinds().is_empty());
    run.turn_to(&asked(3)).unwrap();
    assert_eq!(run.prompt.tokens, [1, 2, 3]);
    assert_eq!(run.instrument.source().pair_kinds().len(), 1);
    let pair = run.instrument.source().pair("counterpart", 7, 1).unwrap();
    assert_eq!((pair.base.tokens, pair.other.tokens), (vec![6, 9, 17, 4], vec![6, 9, 18, 4]));
    assert_eq!((pair.at, pair.answers), (3, [3, 8]));
    assert_eq!(run.instrument.source().pair("counterpart", 7, 2), None);
}

#[test]
fn a_text_is_met_first_where_there_is_a_tokenizer_and_the_best_induction_head_comes_into_focus() {
    let folder = with_tokenizer("gpt2", "gpt2");
    let mut harness = window_on(folder.path());
    until(&mut harness, "it is open and answers", |app| app.lab.readings.is_some());
    assert!(harness.state().lab.text().starts_with("When Mary and John"));
    let heads = |app: &App| {
        let found = app.lab.analyses.analyzed.by_call.iter();
        let (_, found) = found.into_iter().find(|(key, _)| key.starts_with("head_scores"))?;
        let scores = found.reading.as_ref()?.as_ref().ok()?.array("prefix_matching")?.clone();
        found.ended.then_some(scores)
    };
    until(&mut harness, "all heads are scored", |app| heads(app).is_some());
    harness.run();
    let scores = heads(harness.state()).unwrap();
    let best = scores.data.iter().copied().fold(f32::MIN, f32::max);
    let selection = &harness.state().lab.selection;
    assert_eq!(scores.data[selection.layer * scores.shape[1] + selection.head], best);
    // A head that a hand chose stays.
    harness.state_mut().lab.pick(&Pick::Head { layer: 0, head: 1 }, false);
    harness.run();
    assert_eq!((harness.state().lab.selection.layer, harness.state().lab.selection.head), (0, 1));
    // Panels that were made for tasks of this program are not in the way.
    assert!(harness.query_by_label("Automaton").is_none());
    assert!(harness.query_by_label("Attention").is_some());
}

#[test]
fn thumbnails_come_layer_by_layer() {
    let mut run = RunAt::open(&golden("gpt2"), &Question::default()).unwrap();
    let call = MeasurementCall::new("attention").with("whole", "none");
    let (weights, prompt) = (run.weights.clone(), run.prompt.clone());
    let waiting = Hearer { call: call.clone(), heard: Mutex::default(), layers: usize::MAX };
    let calls = std::slice::from_ref(&call);
    let instrument = &mut run.instrument;
    let all =
        instrument.examine_as_it_comes(&weights, &prompt, &[], calls, Some(&waiting)).unwrap();
    let whole = all.get(&call).unwrap().as_ref().unwrap();
    let heard = waiting.heard.into_inner().unwrap();
    assert_eq!(heard.iter().map(|part| part.arrays.len()).collect::<Vec<_>>(), [1, 2, 3]);
    // Hidden cells are NaN.
    let bits = |array: &Array| array.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for part in heard {
        for (of_part, of_whole) in part.arrays.iter().zip(&whole.arrays) {
            assert!(of_part.name == of_whole.name && bits(of_part) == bits(of_whole));
        }
    }
}

/// Hears what a call brings, for so many layers.
struct Hearer {
    call: MeasurementCall,
    heard: Mutex<Vec<Arc<Reading>>>,
    layers: usize,
}

impl Waiting for Hearer {
    fn hear(&self, part: Readings) {
        let reading = part.get(&self.call).unwrap().as_ref().unwrap().clone();
        self.heard.lock().unwrap().push(reading);
    }

    fn goes_on(&self) -> bool {
        self.heard.lock().unwrap().len() < self.layers
    }
}

#[test]
fn a_pass_that_nobody_waits_for_ends_before_its_next_layer() {
    let mut run = RunAt::open(&golden("gpt2"), &Question::default()).unwrap();
    let call = MeasurementCall::new("attention").with("whole", "none");
    let (weights, prompt) = (run.weights.clone(), run.prompt.clone());
    let waiting = Hearer { call: call.clone(), heard: Mutex::default(), layers: 2 };
    let calls = std::slice::from_ref(&call);
    let instrument = &mut run.instrument;
    let ended = instrument.examine_as_it_comes(&weights, &prompt, &[], calls, Some(&waiting));
    assert!(ended.unwrap_err().message.contains("another question"));
    assert_eq!(waiting.heard.lock().unwrap().len(), 2);
    // What comes next goes on from there and is whole.
    let waiting = Hearer { layers: usize::MAX, ..waiting };
    let whole = instrument.examine_as_it_comes(&weights, &prompt, &[], calls, Some(&waiting));
    let fresh = RunAt::open(&golden("gpt2"), &Question::default()).unwrap().ask(calls).unwrap();
    let arrays = |readings: &Readings| {
        let reading = readings.get(&call).unwrap().as_ref().unwrap();
        reading.arrays.iter().map(|array| format!("{array:?}")).collect::<Vec<_>>()
    };
    assert_eq!(arrays(&whole.unwrap()), arrays(&fresh));
}
