//! Networks of other programs: every golden network to 2e-5, in both spellings of its configuration; refusals.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mnemoscope::app::lab::run::Opened;
use mnemoscope::base::array::Array;
use mnemoscope::base::batch::Row;
use mnemoscope::base::error::Result;
use mnemoscope::base::question::MeasurementCall;
use mnemoscope::export::run_at::{Question, RunAt};
use mnemoscope::export::sheet::{PanelSpec, Sheet};
use mnemoscope::export::sheet_runner::SheetRunner;
use mnemoscope::formats::foreign;
use mnemoscope::measurement;
use mnemoscope::model::pretrained::Config;
use mnemoscope::run::examine::Instrument;
use mnemoscope::run::experiment::Experiment;
use mnemoscope::run::interchange::{self, WeightFormat};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::run_folder::model_folder::ModelFolder;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models")
}

/// Folders of networks, by their names.
fn folders() -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.join("reference.safetensors").is_file()).collect::<Vec<_>>()
    };
    let mut all = [list(golden()), list(golden().join("variants"))].concat();
    all.sort();
    assert_eq!(all.len(), 17);
    all
}

/// A copy of a golden folder that a test may spoil.
fn copy(name: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn config(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

fn write_config(folder: &Path, config: &Value) {
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// Numbers of a reference, with the shape of one row.
fn floats(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = file.tensor(name).unwrap();
    let (numbers, _) = tensor.data().as_chunks::<4>();
    (tensor.shape().to_vec(), numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn ids(file: &SafeTensors<'_>) -> Vec<Vec<u32>> {
    let tensor = file.tensor("ids").unwrap();
    let (numbers, _) = tensor.data().as_chunks::<8>();
    let all: Vec<u32> =
        numbers.iter().map(|b| u32::try_from(i64::from_le_bytes(*b)).unwrap()).collect();
    all.chunks(tensor.shape()[1]).map(<[u32]>::to_vec).collect()
}

/// The largest difference of one row of a place from its reference, and the largest number of that.
fn compared(array: &Array, row: usize, (shape, reference): &(Vec<usize>, Vec<f32>)) -> (f32, f32) {
    assert_eq!(array.shape[1..], shape[1..], "{}", array.name);
    let size: usize = shape[1..].iter().product();
    let reference = &reference[row * size..][..size];
    let apart = array.data.iter().zip(reference).map(|(a, b)| (a - b).abs());
    (apart.fold(0.0, f32::max), reference.iter().fold(0.0, |most, x| most.max(x.abs())))
}

fn check_against_reference(folder: &Path) {
    let bytes = fs::read(folder.join("reference.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    for (row, ids) in ids(&reference).iter().enumerate() {
        let network = asked(folder, ids);
        let mut network = network.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let places = places(&mut network);
        let places: BTreeMap<&str, &Array> = places.iter().map(|a| (a.name.as_str(), a)).collect();
        for name in reference.names().into_iter().filter(|name| *name != "ids") {
            // What enters a layer is what the one before left.
            let before = name.strip_prefix("resid_pre.").and_then(|layer| layer.parse().ok());
            let before = before.and_then(|layer: usize| layer.checked_sub(1));
            let place = before.map_or(name.to_owned(), |layer| format!("resid_post.{layer}"));
            let array = places.get(&*place).unwrap_or_else(|| panic!("no place {place}"));
            let (apart, most) = compared(array, row, &floats(&reference, name));
            let allowed = if name.starts_with("pattern") { 2e-5 } else { 2e-5 * most.max(1.0) };
            assert!(apart <= allowed, "{}: {name} is off by {apart}, of {most}", folder.display());
        }
    }
}

#[test]
fn every_place_of_every_golden_network_is_that_of_its_reference() {
    folders().iter().for_each(|folder| check_against_reference(folder));
}

#[test]
fn the_spelling_of_the_hub_describes_the_same_networks() {
    for folder in folders().iter().filter(|folder| folder.join("config.hub.json").is_file()) {
        let spelled = copy(folder.file_name().unwrap().to_str().unwrap());
        fs::copy(folder.join("config.hub.json"), spelled.path().join("config.json")).unwrap();
        check_against_reference(spelled.path());
    }
}

/// The network of a folder, asked about these tokens.
fn asked(folder: &Path, ids: &[u32]) -> Result<RunAt> {
    RunAt::open(folder, &Question { ids: Some(ids.to_vec()), ..Question::default() })
}

/// What opening a spoilt folder says, or asking it: numbers are read where they are needed.
fn refusal(folder: &Path) -> String {
    let asked = asked(folder, &[1]).and_then(|mut run| run.places(&mut |_| Ok(())));
    asked.err().unwrap_or_else(|| panic!("{} was read", folder.display())).message
}

#[test]
fn what_is_not_read_is_refused_by_its_key_and_value() {
    let cases = [
        ("llama", "model_type", json!("mamba"), "model_type = \"mamba\""),
        ("llama", "hidden_act", json!("mish"), "hidden_act = \"mish\""),
        ("llama", "rope_parameters", json!({"rope_type": "yarn"}), "rope_type = \"yarn\""),
        ("llama", "quantization_config", json!({"bits": 4}), "quantization_config"),
        ("llama", "num_local_experts", json!(8), "num_local_experts = 8"),
        ("llama", "num_key_value_heads", json!(3), "3 heads of keys"),
        ("llama", "num_hidden_layers", json!(100_000), "layers"),
        ("llama", "vocab_size", json!(-1), "vocab_size = -1"),
        ("llama", "rms_norm_eps", json!(0), "rms_norm_eps"),
        ("llama", "tie_word_embeddings", json!("no"), "tie_word_embeddings = \"no\""),
        ("qwen2", "layer_types", json!(["linear_attention", "full_attention"]), "layer_types"),
        ("opt", "do_layer_norm_before", json!(false), "do_layer_norm_before = false"),
        ("opt", "word_embed_proj_dim", json!(16), "word_embed_proj_dim = 16"),
        ("gpt2", "n_head", json!(0), "heads"),
        ("gpt2", "add_cross_attention", json!(true), "add_cross_attention = true"),
        ("gpt_neo", "attention_types", json!([[["sparse"], 3]]), "attention_types"),
        ("gpt_neox", "rope_parameters", json!({"partial_rotary_factor": 7}), "share"),
    ];
    for (name, key, value, wanted) in cases {
        let folder = copy(name);
        let mut config = config(folder.path());
        config[key] = value;
        write_config(folder.path(), &config);
        let said = refusal(folder.path());
        assert!(said.contains(wanted), "{name} {key}: {said}");
    }
}

#[test]
fn a_network_and_its_configuration_belong_together() {
    let folder = copy("llama");
    let mut wide = config(folder.path());
    wide["hidden_size"] = json!(64);
    write_config(folder.path(), &wide);
    assert!(refusal(folder.path()).contains("embed_tokens.weight has shape [400, 32]"));
    let mut shallow = config(&golden().join("llama"));
    shallow["num_hidden_layers"] = json!(1);
    write_config(folder.path(), &shallow);
    assert!(refusal(folder.path()).contains("model.layers.1."));
    shallow["num_hidden_layers"] = json!(9);
    write_config(folder.path(), &shallow);
    assert!(refusal(folder.path()).contains("is missing"));
}

/// What opening a folder says, as every way to it does.
fn said_of(folder: &Path) -> String {
    let said = refusal(folder);
    let error = Opened::read(folder).err().unwrap_or_else(|| panic!("the window opens it"));
    assert_eq!(error.message, said, "the window says the same");
    let error = Experiment::of_run(folder).err().unwrap_or_else(|| panic!("it is an experiment"));
    assert_eq!(error.message, said);
    said
}

/// Files of networks that are not read, and what their sentences hold.
const NOT_READ: &[(&[&str], &[&str])] = &[
    (&["pytorch_model.bin"], &["pytorch_model.bin", "save_pretrained"]),
    (&["pytorch_model-00001-of-00002.bin"], &["save_pretrained"]),
    (
        &["adapter_config.json", "adapter_model.safetensors"],
        &["merge_and_unload", "save_pretrained"],
    ),
    (&["m.gguf"], &["m.gguf", "GGUF", "gguf_file"]),
    (&["ckpt.pt"], &["nanoGPT", "python -c", "_orig_mod."]),
    (&["ckpt_1000.pt", "meta.pkl"], &["nanoGPT"]),
    (&["lit_model.pth", "model_config.yaml"], &["LitGPT", "convert_from_litgpt", "save_file"]),
    (&["model_final.pth"], &["model_final.pth", "pickle", "torch.load", "save_file"]),
    (&["model.pt", "optimizer.pt"], &["\"model.pt\"", "save_file"]),
    (&["weights.ckpt"], &["save_file"]),
];

#[test]
fn files_that_are_not_read_are_refused_with_what_to_do_with_and_without_a_configuration() {
    for (files, wanted) in NOT_READ {
        let (alone, beside) = (tempfile::tempdir().unwrap(), copy("gpt2"));
        fs::remove_file(beside.path().join("model.safetensors")).unwrap();
        let mut all = Vec::new();
        for folder in [alone.path(), beside.path()] {
            for file in *files {
                fs::write(folder.join(file), b"PK\x03\x04").unwrap();
            }
            let said = said_of(folder);
            assert!(wanted.iter().all(|word| said.contains(word)), "{files:?}: {said}");
            all.push(said.replace(folder.to_str().unwrap(), ""));
        }
        assert_eq!(all[0], all[1], "the configuration changes nothing of it");
        let file = foreign::refusal(&alone.path().join(files[0])).unwrap().message;
        let recipe = all[0].rsplit(". ").next().unwrap();
        assert!(file.contains(recipe), "the file itself, dropped on the window: {file}");
    }
}

#[test]
fn what_a_folder_lacks_is_said_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(said_of(folder.path()).contains("no run.json"));
    let tensors = golden().join("gpt2/model.safetensors");
    fs::copy(tensors, folder.path().join("model.safetensors")).unwrap();
    let said = said_of(folder.path());
    assert!(said.contains("no config.json") && said.contains("put it beside it"), "{said}");
    let folder = copy("gpt2");
    fs::remove_file(folder.path().join("reference.safetensors")).unwrap();
    fs::rename(folder.path().join("model.safetensors"), folder.path().join("x.safetensors"))
        .unwrap();
    assert!(said_of(folder.path()).contains("holds \"x.safetensors\" and no file of a name"));
    fs::remove_file(folder.path().join("x.safetensors")).unwrap();
    fs::write(folder.path().join("training_args.bin"), b"PK\x03\x04").unwrap();
    let said = said_of(folder.path());
    assert!(said.contains("holds a config.json and no tensors"), "{said}");
    let other = ModelFolder::open(&folder.path().join("none")).err().unwrap().message;
    assert!(other.contains("none is no folder"), "{other}");
}

#[test]
fn the_line_for_nano_gpt_is_that_of_the_documentation() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md"));
    let docs = docs.unwrap();
    let line = docs.lines().find(|line| line.starts_with("python -c \"import torch,json")).unwrap();
    let said = foreign::refusal(Path::new("ckpt.pt")).unwrap().message;
    assert!(said.contains(line), "{said}");
}

/// Two files of tensors with the list of them.
fn sharded(folder: &Path) -> Value {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (mut map, mut shards) = (BTreeMap::new(), [Vec::new(), Vec::new()]);
    for (i, (name, view)) in file.tensors().into_iter().enumerate() {
        map.insert(name.clone(), format!("model-{}.safetensors", i % 2));
        shards[i % 2].push((name, view));
    }
    for (i, shard) in shards.into_iter().enumerate() {
        let bytes = safetensors::serialize(shard, None).unwrap();
        fs::write(folder.join(format!("model-{i}.safetensors")), bytes).unwrap();
    }
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    json!({"metadata": {}, "weight_map": map})
}

#[test]
fn tensors_in_several_files_are_one_network() {
    let folder = copy("llama3");
    let index = sharded(folder.path());
    let place = folder.path().join("model.safetensors.index.json");
    fs::write(&place, index.to_string()).unwrap();
    check_against_reference(folder.path());
    // A file that lies elsewhere, one that is not there, and a tensor that is not where the list says.
    let spoil = |tensor: &str, file: &str| {
        let mut spoilt = index.clone();
        spoilt["weight_map"][tensor] = json!(file);
        fs::write(&place, spoilt.to_string()).unwrap();
        refusal(folder.path())
    };
    assert!(spoil("model.norm.weight", "../model-0.safetensors").contains("outside"));
    assert!(spoil("model.norm.weight", "/etc/hostname").contains("outside"));
    assert!(spoil("model.norm.weight", "model-7.safetensors").contains("missing"));
    assert!(spoil("another", "model-0.safetensors").contains("where there is none"));
    // What others call a tensor or a file begins no line of its own.
    for (tensor, file) in [("an\nother", "model-0.safetensors"), ("model.norm.weight", "a\nb")] {
        let said = spoil(tensor, file);
        assert!(said.contains('↵') && !said.contains('\n'), "{said}");
    }
}

#[test]
fn what_a_configuration_says_is_quoted_as_it_stands_and_with_its_folder() {
    let folder = copy("gpt2");
    let mut long = config(folder.path());
    long["n_positions"] = json!(1_000_000_000_000_u64);
    write_config(folder.path(), &long);
    let said = refusal(folder.path());
    assert!(said.contains("64 rows") && said.contains("up to 1000000000000 tokens"), "{said}");
    fs::write(folder.path().join("config.json"), "{").unwrap();
    let said = said_of(folder.path());
    let place = folder.path().to_str().unwrap();
    assert!(said.contains(place) && said.contains("config.json is no JSON"), "{said}");
}

#[test]
fn an_empty_folder_of_a_step_is_said_to_be_empty() {
    let home = tempfile::tempdir().unwrap();
    let series = golden().join("series/revisions");
    for step in ["step0", "step256"] {
        fs::create_dir(home.path().join(step)).unwrap();
        for entry in fs::read_dir(series.join(step)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, home.path().join(step).join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::create_dir(home.path().join("step9999")).unwrap();
    let run = asked(home.path(), &[1, 2]).unwrap();
    let [problem] = run.problems() else { panic!("{:?}", run.problems()) };
    let said = &problem.message;
    assert!(said.contains("step 9999 is left out") && said.contains("step9999 is empty"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_link_stays_inside_the_cache_that_it_is_of() {
    use std::os::unix::fs::symlink;
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) =
        (cache.path().join("models--a--b/blobs"), cache.path().join("models--a--b/snapshots/1"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let from = golden().join("llama");
    fs::copy(from.join("config.json"), snapshot.join("config.json")).unwrap();
    fs::copy(from.join("reference.safetensors"), snapshot.join("reference.safetensors")).unwrap();
    fs::copy(from.join("model.safetensors"), blobs.join("x")).unwrap();
    symlink(blobs.join("x"), snapshot.join("model.safetensors")).unwrap();
    check_against_reference(&snapshot);
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    symlink(from.join("model.safetensors"), snapshot.join("model.safetensors")).unwrap();
    assert!(refusal(&snapshot).contains("outside"));
}

#[test]
fn tokens_and_lengths_that_are_none_of_the_networks_are_refused() {
    let said = |ids: &[u32]| asked(&golden().join("gpt2"), ids).err().unwrap().message;
    assert!(said(&[400]).contains("token 400"));
    assert!(said(&[1; 65]).contains("65 tokens"));
    assert!(said(&[]).contains("0 tokens"));
}

/// What all places of one pass hold.
pub fn places(run: &mut RunAt) -> Vec<Array> {
    given(|give| run.places(give))
}

/// All arrays that are given.
fn given(giving: impl FnOnce(&mut dyn FnMut(Array) -> Result<()>) -> Result<()>) -> Vec<Array> {
    let mut all = Vec::new();
    giving(&mut |array| {
        all.push(array);
        Ok(())
    })
    .unwrap();
    all
}

fn array(places: &[Array], name: &str) -> Vec<f32> {
    places.iter().find(|a| a.name == name).unwrap().data.to_vec()
}

#[test]
fn an_intervention_is_carried_out_on_a_network_of_another_program() {
    let (folder, ids) = (golden().join("llama"), vec![5, 9, 17]);
    let plain = places(&mut asked(&folder, &ids).unwrap());
    let interventions = vec!["zero layer0.head1".to_owned()];
    let question = Question { ids: Some(ids), interventions, ..Question::default() };
    let cut = places(&mut RunAt::open(&folder, &question).unwrap());
    assert_ne!(array(&plain, "logits"), array(&cut, "logits"));
    assert_eq!(array(&plain, "pattern.0"), array(&cut, "pattern.0"));
    // Head 1 of four of 16 numbers each.
    assert!(array(&cut, "z.0").chunks(64).all(|row| row[16..32].iter().all(|x| *x == 0.0)));
}

#[test]
fn every_measurement_answers_about_a_network_of_another_program_or_says_why_not() {
    for name in ["gpt2", "gpt_neox", "llama", "gemma2", "variants/pythia_hub_f16"] {
        let mut run = asked(&golden().join(name), &[5, 9, 17, 5, 9]).unwrap();
        let calls: Vec<MeasurementCall> =
            measurement::ALL.iter().map(|entry| MeasurementCall::new(entry.name)).collect();
        let readings = run.ask(&calls).unwrap();
        let answered = |call: &str| readings.by_call[call].as_ref().map(|_| ());
        for needed in ["attention", "heads", "logit_lens", "predictions"] {
            answered(needed).unwrap_or_else(|e| panic!("{name} {needed}: {e}"));
        }
        for answer in readings.by_call.values().filter_map(|answer| answer.as_ref().err()) {
            assert!(!answer.message.contains("internal"), "{name}: {answer}");
        }
    }
}

#[test]
fn text_is_read_by_the_tokenizer_that_lies_beside_the_network() {
    let folder = copy("llama");
    let tokenizer = golden().join("tokenizers/llama/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    let ask = |tokens: &str| {
        let question = Question { tokens: Some(tokens.to_owned()), ..Question::default() };
        RunAt::open(folder.path(), &question).unwrap()
    };
    let run = ask("The lamp burned");
    let vocab = run.instrument.source().vocab();
    // Its makers put a token before every prompt; it is drawn by itself and is no part of the text.
    assert_eq!(vocab.text(run.prompt.tokens[0]), "<s>");
    assert_eq!(vocab.spell(&run.prompt.tokens), "The lamp burned");
    let again = ask(&vocab.spell(&run.prompt.tokens));
    assert_eq!(again.prompt.tokens, run.prompt.tokens);
    assert!(run.prompt.tokens.iter().all(|id| !vocab.glyph(*id).contains('▁')));
    // Each token is to be followed by the next.
    assert_eq!(run.prompt.targets[..2], run.prompt.tokens[1..3]);
}

/// A tokenizer that is not read, put into a folder; its sentence names the words.
type Spoil = (fn(&Path), &'static [&'static str]);

const UNREAD: &[Spoil] = &[
    (|f| fs::write(f.join("tokenizer.json"), "{\"model\": ").unwrap(), &["it is no tokenizer"]),
    (
        |f| {
            let text = fs::read_to_string(golden().join("tokenizers/gpt2/tokenizer.json")).unwrap();
            let mut document: Value = serde_json::from_str(&text).unwrap();
            document["normalizer"] = json!({ "type": "Precompiled" });
            fs::write(f.join("tokenizer.json"), document.to_string()).unwrap();
        },
        &["tokenizer.json", "Precompiled"],
    ),
    (|f| fs::write(f.join("tokenizer.model"), "x").unwrap(), &["SentencePiece", "save_pretrained"]),
    (|f| fs::write(f.join("meta.pkl"), "x").unwrap(), &["meta.pkl", "chars.json"]),
    (|f| fs::write(f.join("vocab.json"), "{}").unwrap(), &["merges.txt is missing"]),
    (|f| fs::create_dir(f.join("tokenizer.json")).unwrap(), &["it is no regular file"]),
    #[cfg(unix)]
    (
        |f| std::os::unix::fs::symlink("/dev/zero", f.join("tokenizer.json")).unwrap(),
        &["tokenizer.json", "it is no regular file"],
    ),
    #[cfg(unix)]
    (
        |f| drop(std::os::unix::net::UnixListener::bind(f.join("tokenizer.json")).unwrap()),
        &["tokenizer.json", "it is no regular file"],
    ),
];

fn written(folder: &Path, text: &str) -> Result<RunAt> {
    RunAt::open(folder, &Question { tokens: Some(text.to_owned()), ..Question::default() })
}

#[test]
fn a_tokenizer_that_is_not_read_is_said_and_its_network_is_asked_by_numbers() {
    for (spoil, words) in UNREAD {
        let folder = copy("gpt2");
        spoil(folder.path());
        let mut run = asked(folder.path(), &[5, 9, 17]).unwrap();
        let [problem] = run.problems() else { panic!("{words:?}: {:?}", run.problems()) };
        let said = problem.message.clone();
        assert!(said.contains("the tokenizer is not read"), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}: {words:?}");
        run.places(&mut |_| Ok(())).unwrap();
        let opened = Opened::read(folder.path()).unwrap();
        let told: Vec<&String> = opened.problems.iter().map(|e| &e.message).collect();
        assert_eq!(told, [&said], "the window says it, once");
        let refused = written(folder.path(), "hello").err().unwrap().message;
        assert!(refused.contains("no tokenizer that can be read"), "{refused}");
        assert!(words.iter().all(|word| refused.contains(word)), "and why: {refused}");
    }
}

#[test]
fn without_a_tokenizer_a_text_is_numbers_of_tokens() {
    let folder = copy("gpt2");
    let run = written(folder.path(), "5, 9  17\n399").unwrap();
    assert_eq!(run.prompt.tokens, [5, 9, 17, 399]);
    assert!(run.problems().is_empty(), "a folder may have none");
    for (text, word) in [("hello", "hello"), ("5 400", "400"), ("-1", "-1"), ("5.0", "5.0")] {
        let said = written(folder.path(), text).err().unwrap().message;
        assert!(said.contains(&format!("read \"{word}\"")), "{said}");
        assert!(said.contains("no tokenizer that can be read") && said.contains("0 to 399"));
    }
}

#[test]
fn a_network_with_fewer_tokens_than_its_tokenizer_reads_is_told_so() {
    let folder = copy("variants/nanogpt");
    let tokenizer = golden().join("tokenizers/gpt2/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    let tokens = Some("The lamp burned all night.".to_owned());
    let question = Question { tokens, ..Question::default() };
    let said = RunAt::open(folder.path(), &question).err().unwrap().message;
    assert!(said.contains("do not belong together"), "{said}");
}

#[test]
fn a_number_that_is_none_is_said_with_its_tensor() {
    let folder = copy("gpt2");
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(refusal(folder.path()).contains("not finite"));
}

#[test]
fn a_network_of_another_program_is_neither_trained_nor_written() {
    let folder = golden().join("llama");
    let run = asked(&folder, &[5]).unwrap();
    let said = Trainer::new(&run.experiment).err().unwrap().message;
    assert!(said.contains("read here and not trained"), "{said}");
    for format in [WeightFormat::Gpt2, WeightFormat::Safetensors] {
        let said = interchange::files(format, &run.experiment, &run.weights).err().unwrap().message;
        assert!(said.contains("another program"), "{said}");
    }
}

#[test]
fn the_hash_of_a_network_is_that_of_its_numbers_and_names() {
    let hash = |folder: &Path| asked(folder, &[5]).unwrap().weights.sha256();
    let [gpt2, llama] = ["gpt2", "llama"].map(|name| hash(&golden().join(name)));
    assert_ne!(gpt2, llama);
    assert_eq!(gpt2, hash(copy("gpt2").path()));
}

/// Any value in the place of any key: a network or a sentence, never a panic.
#[test]
fn a_configuration_with_any_value_in_any_place_is_read_or_refused() {
    let odd = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(0.5),
        json!("x"),
        json!([]),
        json!([[["local"], u64::MAX]]),
        json!({}),
        json!({"rope_type": "llama3"}),
        json!(true),
    ];
    for folder in folders() {
        let config = config(&folder);
        for key in config.as_object().unwrap().keys() {
            for value in &odd {
                let mut spoilt = config.clone();
                spoilt[key] = value.clone();
                if let Err(error) = Config::parse(&spoilt.to_string()) {
                    assert!(error.message.contains("config.json"), "{key} {value}: {error}");
                    assert!(error.message.len() < 1000, "{key} {value}: {error}");
                }
            }
        }
    }
}

/// A network of ours that was written for other programs is the same network when it is read back.
#[test]
fn what_was_exported_is_read_back_as_the_network_that_it_was() {
    let text = "[task]\nkind = \"automaton\"\nmachine = \"parity\"\nlength = 8\n[model]\nkind = \"decoder\"\nwidth = 16\nheads = 2\ninit = \"fan_in\"\n";
    let experiment = Experiment::parse(text, "of the test").unwrap();
    let trainer = Trainer::new(&experiment).unwrap();
    let weights = trainer.weights().unwrap();
    let tokens = [1, 0, 1, 1, 0];
    let mut own = Instrument::new(&experiment).unwrap();
    let prompt = own.source().label(&tokens, &Row::default());
    let own = given(|give| own.places(&weights, &prompt, &[], give));
    for format in [WeightFormat::Gpt2, WeightFormat::Hooked] {
        let folder = tempfile::tempdir().unwrap();
        for file in interchange::files(format, &experiment, &weights).unwrap() {
            fs::write(folder.path().join(file.name), file.bytes).unwrap();
        }
        let read = places(&mut asked(folder.path(), &tokens).unwrap());
        for name in ["pattern.1", "resid_post.0", "logits"] {
            let apart = array(&own, name).into_iter().zip(array(&read, name));
            let most = apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most < 1e-5, "{name}: {most}");
        }
    }
}

#[test]
fn a_figure_is_of_the_tokens_or_the_text_that_are_named_and_of_what_begins_them() {
    let folder = copy("gpt2");
    let tokenizer = golden().join("tokenizers/gpt2/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    let drawn = |spec: PanelSpec| {
        let panels = vec![PanelSpec { panel: "attention".to_owned(), ..spec }];
        let sheet = Sheet { panels, ..Sheet::default() };
        let drawn = SheetRunner::new(folder.path()).drawn_panels(&sheet, &mut |_, _| true);
        drawn.map(|drawn| drawn[0].shown.readings.as_ref().unwrap().prompt.tokens.clone())
    };
    let ids = Some(vec![5, 9, 17]);
    assert_eq!(drawn(PanelSpec { ids, ..PanelSpec::default() }).unwrap(), [5, 9, 17]);
    let text = |begin: &str| PanelSpec {
        tokens: Some("The lamp".to_owned()),
        begin: Some(begin.to_owned()),
        ..PanelSpec::default()
    };
    assert_eq!(drawn(text("transformer_lens")).unwrap(), [399, 304, 288]);
    assert_eq!(drawn(text("nothing")).unwrap(), [304, 288]);
    assert!(drawn(text("somebody")).unwrap_err().message.contains("expected one of tokenizer"));
}

#[test]
fn a_damaged_configuration_beside_tensors_is_said_and_not_taken_for_no_network() {
    for (text, says) in [("", "config.json"), ("{", "config.json"), ("{}", "model_type")] {
        let folder = copy("gpt2");
        fs::write(folder.path().join("config.json"), text).unwrap();
        let said = refusal(folder.path());
        assert!(said.contains(says) && !said.contains("run.json"), "{text:?}: {said}");
    }
}

#[test]
fn positions_beyond_the_first_ones_can_be_named_in_a_long_sequence() {
    let ids: Vec<u32> = (0..60).collect();
    let question = |position: usize| Question {
        ids: Some(ids.clone()),
        interventions: vec![format!("zero layer1.attn_out@{position}")],
        ..Question::default()
    };
    let mut run = RunAt::open(&golden().join("llama"), &question(59)).unwrap();
    let cut = places(&mut run);
    let width = array(&cut, "attn_out.1").len() / 60;
    assert!(array(&cut, "attn_out.1")[59 * width..].iter().all(|x| *x == 0.0));
    assert!(array(&cut, "attn_out.1")[..59 * width].iter().any(|x| *x != 0.0));
}

#[test]
fn heads_that_share_keys_and_values_are_taken_apart_by_their_own() {
    let mut run = asked(&golden().join("llama"), &[5, 9, 17, 5, 9]).unwrap();
    let call = MeasurementCall::new("attribution").with("position", 4).with("of", "likeliest");
    let readings = run.ask(std::slice::from_ref(&call)).unwrap();
    let reading = readings.get(&call).unwrap().clone().unwrap();
    for layer in 0..2 {
        let sources = reading.array(&format!("sources.layer{layer}")).unwrap();
        let heads = reading.array(&format!("heads.layer{layer}")).unwrap();
        assert_eq!(sources.shape, [4, 5], "four heads of two of values");
        // What a head writes is the sum over where it comes from.
        for head in 0..4 {
            let sum: f32 = sources.outer(head).iter().sum();
            assert!((sum - heads.outer(head)[4]).abs() < 1e-4, "layer {layer} head {head}");
        }
    }
    // Queries and keys of a head: their products are its scores, from which the pattern is made.
    let mut keys = Vec::new();
    for head in 0..4 {
        let call = MeasurementCall::new("query_key").with("layer", 0).with("head", head);
        let readings = run.ask(std::slice::from_ref(&call)).unwrap();
        let reading = readings.get(&call).unwrap().clone().unwrap();
        keys.push(reading.array("keys").unwrap().data.to_vec());
    }
    assert!(keys[0] == keys[1] && keys[2] == keys[3] && keys[0] != keys[2]);
}
