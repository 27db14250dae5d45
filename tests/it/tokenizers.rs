//! Tokenizers of real checkpoints: ids, bytes and characters as the library gives them that the checkpoints were made with.

use std::fs;
use std::path::{Path, PathBuf};

use mnemoscope::base::error::{Kind, Result};
use mnemoscope::formats::prompts::{self, Prompt};
use mnemoscope::formats::tokenizer::{Begin, Codec, Group, Lead, MOST_PROMPT_BYTES};
use serde_json::{Value, json};
use tempfile::TempDir;

const KINDS: &[&str] = &["gpt2", "neox", "llama", "qwen", "llama3"];

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real_models/tokenizers").join(kind)
}

fn codec(kind: &str) -> Codec {
    Codec::in_folder(&folder(kind)).unwrap().unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn vectors(kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder(kind).join("vectors.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A folder of these files.
fn files(all: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in all {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn in_files(all: &[(&str, &str)]) -> Codec {
    Codec::in_folder(files(all).path()).unwrap().unwrap()
}

fn refusal(all: &[(&str, &str)]) -> String {
    let error = Codec::in_folder(files(all).path()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    error.message
}

/// The sentence of a refusal, without what was read in its place, which may be long.
fn why<T>(result: Result<T>) -> String {
    result.map_or_else(|e| e.message, |_| panic!("nothing was refused"))
}

/// The tokenizer of GPT-2's kind with something changed.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let text = fs::read_to_string(folder("gpt2").join("tokenizer.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    change(&mut document);
    document.to_string()
}

/// A token of the vocabulary under another text.
fn renamed(document: &mut Value, from: &str, to: &str) {
    let vocab = document["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove(from).unwrap();
    vocab.insert(to.to_owned(), id);
}

fn split(pattern: &str) -> Value {
    json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
    ]})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn agrees(codec: &Codec, vector: &Value) {
    let text = vector["text"].as_str().unwrap();
    let read = codec.encode(text).unwrap();
    assert_eq!(read, ids(&vector["ids"]), "{text}");
    let first = codec.begins(Begin::Tokenizer, "");
    let with_first: Vec<u32> = first.into_iter().chain(read.iter().copied()).collect();
    assert_eq!(with_first, ids(&vector["ids_with_special"]), "{text}");
    let bytes: Vec<Value> = read.iter().map(|id| hex(codec.bytes(*id)).into()).collect();
    assert_eq!(Value::from(bytes), vector["bytes_hex"], "{text}");
    assert_eq!(vector["decoded"], codec.decode(&read), "{text}");
}

#[test]
fn every_text_becomes_the_ids_and_bytes_that_the_library_gives() {
    for kind in KINDS {
        let codec = codec(kind);
        assert_eq!(codec.len(), 400, "{kind}");
        for vector in vectors(kind) {
            agrees(&codec, &vector);
        }
    }
}

#[test]
fn two_files_of_gpt_2_are_the_same_tokenizer_as_one() {
    let read = |name: &str| fs::read_to_string(folder("gpt2").join(name)).unwrap();
    let codec =
        in_files(&[("vocab.json", &read("vocab.json")), ("merges.txt", &read("merges.txt"))]);
    for vector in vectors("gpt2") {
        agrees(&codec, &vector);
    }
    assert!(codec.is_special(399) && !codec.is_special(398));
}

#[test]
fn settings_beside_the_two_files_name_special_tokens() {
    let read = |name: &str| fs::read_to_string(folder("gpt2").join(name)).unwrap();
    let settings = r#"{"bos_token": "!", "add_bos_token": true, "added_tokens_decoder":
        {"400": {"content": "<extra>", "special": false, "lstrip": false}}}"#;
    let codec = in_files(&[
        ("vocab.json", &read("vocab.json")),
        ("merges.txt", &read("merges.txt")),
        ("added_tokens.json", r#"{"<more>": 401}"#),
        ("tokenizer_config.json", settings),
    ]);
    assert_eq!(codec.encode("a<extra><more>").unwrap(), [64, 400, 401]);
    assert!(codec.is_special(0) && !codec.is_special(400));
    assert_eq!(codec.begins(Begin::Tokenizer, "opt"), Some(0));
}

/// The characters of a vector that lie in several tokens: tokens that are no text by themselves and have the same place.
fn characters(vector: &Value) -> Vec<Group> {
    let text: Vec<char> = vector["text"].as_str().unwrap().chars().collect();
    let offsets: Vec<Vec<u32>> =
        vector["char_offsets"].as_array().unwrap().iter().map(ids).collect();
    let bytes = vector["bytes_hex"].as_array().unwrap().iter().map(|hex| hex.as_str().unwrap());
    let is_part =
        |hex: &str| hex.len() < 2 || u8::from_str_radix(&hex[hex.len() - 2..], 16).unwrap() > 127;
    let parts: Vec<bool> = bytes.map(is_part).collect();
    let mut groups: Vec<Group> = Vec::new();
    for at in 1..offsets.len() {
        let is_same = parts[at - 1] && parts[at] && offsets[at - 1][1] == offsets[at][1];
        match groups.last_mut().filter(|last| last.positions.end == at) {
            Some(last) if is_same => last.positions.end = at + 1,
            _ if is_same => {
                let c = text[offsets[at][1] as usize - 1];
                groups.push(Group { positions: at - 1..at + 1, text: c.to_string() });
            }
            _ => (),
        }
    }
    groups
}

#[test]
fn tokens_that_make_a_character_together_are_grouped() {
    let mut found = 0;
    for kind in KINDS {
        let codec = codec(kind);
        for vector in vectors(kind) {
            // Composing changes the characters that offsets count.
            let expected = characters(&vector);
            let groups = codec.groups(&ids(&vector["ids"]));
            let places = |groups: &[Group]| -> Vec<_> {
                groups.iter().map(|group| group.positions.clone()).collect()
            };
            assert_eq!(places(&groups), places(&expected), "{kind}: {vector}");
            if !vector["text"].as_str().unwrap().contains('\u{301}') {
                assert_eq!(groups, expected, "{kind}: {vector}");
            }
            found += groups.len();
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn half_a_character_makes_no_group() {
    let codec = codec("gpt2");
    let read = codec.encode("🙂").unwrap();
    assert_eq!(codec.groups(&read), [Group { positions: 0..3, text: "🙂".to_owned() }]);
    assert!(codec.groups(&read[..2]).is_empty());
    assert!(codec.groups(&read[1..]).is_empty());
    assert!(codec.groups(&[]).is_empty());
}

#[test]
fn people_see_no_letters_that_stand_for_bytes() {
    for kind in KINDS {
        let codec = codec(kind);
        let glyphs: String = (0..401).map(|id| codec.glyph(id)).collect();
        assert!(!glyphs.contains(['Ġ', 'Ċ', '▁']), "{kind}");
        assert!(glyphs.ends_with("#400"), "{kind}");
    }
    let codec = codec("gpt2");
    let shown = codec.shown(&codec.encode(" lamp\n\t🙂\u{200b}").unwrap());
    assert_eq!(shown, "␣lamp · ↵ · ⇥ · ⟨F0⟩⟨9F⟩ · ⟨99⟩ · ⟨82⟩ · ⟨E2⟩ · ⟨80⟩ · ⟨8B⟩");
    assert_eq!(codec.glyph(399), "<|endoftext|>");
    let many = codec.shown(&[0; 1000]);
    assert!(many.ends_with(" · …") && many.len() < 500, "{many}");
}

#[test]
fn the_token_that_begins_a_prompt_is_a_choice_of_three() {
    let begins = |kind: &str, model: &str| {
        let codec = codec(kind);
        Begin::ALL.iter().map(|how| codec.begins(*how, model)).collect::<Vec<_>>()
    };
    assert_eq!(begins("gpt2", "gpt2"), [None, Some(399), None]);
    assert_eq!(begins("neox", "gpt_neox"), [None, None, None]);
    assert_eq!(begins("qwen", "qwen2"), [None, None, None]);
    assert_eq!(begins("llama", "llama"), [Some(1), Some(1), None]);
    assert_eq!(begins("llama3", "llama"), [Some(398), Some(398), None]);
    let codec = in_files(&[
        ("tokenizer.json", &changed(|_| ())),
        ("tokenizer_config.json", r#"{"bos_token": null, "eos_token": {"content": "!"}}"#),
    ]);
    assert_eq!(codec.begins(Begin::TransformerLens, "gpt2"), Some(0));
}

#[test]
fn characters_and_lists_are_read_by_the_longest_match() {
    let codec = codec("chars");
    let text = "The lamp\tburned.";
    let read = codec.encode(text).unwrap();
    assert_eq!((read.len(), codec.decode(&read)), (text.len(), text.to_owned()));
    let said = why(codec.encode("a §"));
    assert!(said.contains("character 3 of the prompt is \"§\" (U+00A7)"), "{said}");

    let codec = in_files(&[("tokens.json", r#"{"a": 0, "ab": 2, "é": 3}"#)]);
    assert_eq!(codec.encode("aabé").unwrap(), [0, 2, 3]);
    assert_eq!((codec.glyph(1), codec.len()), ("#1".to_owned(), 4));
    assert_eq!(codec.answer("a", "é", Lead::Usual).unwrap().id, 3);
    assert_eq!(codec.begins(Begin::TransformerLens, "gpt2"), None);
}

#[test]
fn a_folder_without_a_tokenizer_has_none() {
    assert!(Codec::in_folder(files(&[("config.json", "{}")]).path()).unwrap().is_none());
}

#[test]
fn files_that_are_not_read_are_refused_with_what_to_do() {
    let said = refusal(&[("tokenizer.model", "x")]);
    assert!(said.contains("save_pretrained"), "{said}");
    let said = refusal(&[("meta.pkl", "x")]);
    assert!(said.contains("chars.json"), "{said}");
    let said = refusal(&[("vocab.json", "{}")]);
    assert!(said.contains("merges.txt is missing"), "{said}");
    let said = refusal(&[("vocab.json", r#"["a"]"#), ("merges.txt", "")]);
    assert!(said.contains("is no vocabulary"), "{said}");
    for text in ["", "{", "[]", "{}", "\u{feff}7", r#"{"model": {"type": 3}}"#] {
        let said = refusal(&[("tokenizer.json", text)]);
        assert!(said.contains("it is no tokenizer"), "{said}");
    }
    for text in ["", "7", "[]", "[3]", r#"{"a": 0, "b": 0}"#, r#"{"a": 99999999}"#, r#"{"a": "b"}"#]
    {
        let said = refusal(&[("chars.json", text)]);
        assert!(said.contains("it is no list of tokens"), "{said}");
    }
    let said = refusal(&[("tokenizer.json", &changed(|_| ())), ("tokenizer_config.json", "{")]);
    assert!(said.contains("tokenizer_config.json is no JSON"), "{said}");
}

#[test]
fn parts_that_are_not_known_are_refused_by_name() {
    let said = |change: fn(&mut Value)| refusal(&[("tokenizer.json", &changed(change))]);
    for (said, word) in [
        (said(|d| d["model"]["type"] = "WordPiece".into()), "WordPiece"),
        (said(|d| d["model"]["dropout"] = 0.1.into()), "dropout"),
        (said(|d| d["model"]["end_of_word_suffix"] = "</w>".into()), "</w>"),
        (said(|d| d["normalizer"] = json!({ "type": "Precompiled" })), "Precompiled"),
        (said(|d| d["pre_tokenizer"] = json!({ "type": "Magic" })), "Magic"),
        (said(|d| d["decoder"] = json!({ "type": "CTC" })), "CTC"),
        (said(|d| d["added_tokens"][0]["id"] = 500.into()), "<|endoftext|>"),
        (said(|d| d["model"]["vocab"]["#"] = 0.into()), "two tokens have the id 0"),
        (said(|d| d["model"]["vocab"]["#"] = u32::MAX.into()), "expected ids below"),
        (said(|d| renamed(d, "#", &"#".repeat(2000))), "at most 1024 bytes"),
        (said(|d| d["pre_tokenizer"] = split("(")), "is none that is understood"),
        (said(|d| d["pre_tokenizer"] = split(&"a".repeat(10_000))), "10000 bytes"),
    ] {
        assert!(said.contains(word), "{said}");
    }
    let long = json!({ "type": "Prepend", "prepend": "x".repeat(100) });
    let said = refusal(&[("tokenizer.json", &changed(|d| d["normalizer"] = long))]);
    assert!(said.contains("Prepend with more than 16 bytes"), "{said}");
    let two = json!({ "type": "TemplateProcessing", "single": [
        { "SpecialToken": { "id": "!", "type_id": 0 } }, { "SpecialToken": { "id": "!", "type_id": 0 } },
    ], "pair": [], "special_tokens": { "!": { "id": "!", "ids": [0], "tokens": ["!"] } } });
    let said = refusal(&[("tokenizer.json", &changed(|d| d["post_processor"] = two))]);
    assert!(said.contains("puts 2 tokens before a text"), "{said}");
}

/// The library panics over a merge that is longer than all tokens.
#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let text = changed(|d| {
        d["model"]["merges"] = json!([["Ġcarried", "Ġcarried"]]);
    });
    let said = refusal(&[("tokenizer.json", &text)]);
    assert!(said.contains("the library tokenizers does not take it"), "{said}");
}

#[test]
fn old_files_without_a_kind_and_with_room_for_more_are_read() {
    let text = changed(|d| {
        let model = d["model"].as_object_mut().unwrap();
        model.remove("type");
        model.insert("continuing_subword_prefix".to_owned(), "".into());
        d["truncation"] = json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 });
    });
    let codec = in_files(&[("tokenizer.json", &text)]);
    for vector in vectors("gpt2") {
        agrees(&codec, &vector);
    }
}

/// The library says nothing where its regular expressions give up, and leaves the rest of the text in one piece.
#[test]
fn a_regular_expression_that_gives_up_is_no_tokenizer() {
    let text = changed(|d| d["pre_tokenizer"] = split(r"(a|a|aa)+(?=b)$|x"));
    let codec = in_files(&[("tokenizer.json", &text)]);
    assert!(codec.encode("xxx").is_ok());
    let said = why(codec.encode(&"a".repeat(200)));
    assert!(said.contains("takes too many steps"), "{said}");
    // Every match takes many steps, and none takes too many.
    let text = changed(|d| d["pre_tokenizer"] = split(r"(?=((?=a)a|(?=a)a){11}b)|a"));
    let codec = in_files(&[("tokenizer.json", &text)]);
    let said = why(codec.encode(&"a".repeat(MOST_PROMPT_BYTES)));
    assert!(said.contains("takes too many steps"), "{said}");
    let text = changed(|d| {
        d["normalizer"] =
            json!({ "type": "Replace", "pattern": { "Regex": r"(a|a|aa)+(?=b)$" }, "content": "" });
    });
    let codec = in_files(&[("tokenizer.json", &text)]);
    assert!(codec.encode(&"a".repeat(200)).is_err());
}

#[test]
fn long_prompts_are_read_and_longer_ones_refused() {
    for kind in KINDS {
        let codec = codec(kind);
        for sign in [" ", "a", "1", "a ", "\n ", "🙂"] {
            let long = sign.repeat(MOST_PROMPT_BYTES / sign.len());
            let read = codec.encode(&long).unwrap();
            assert!(codec.decode(&read).len() + 1 >= long.len(), "{kind}: {sign}");
        }
        let said = why(codec.encode(&"a".repeat(MOST_PROMPT_BYTES + 1)));
        assert!(said.contains("shorten it"), "{said}");
    }
}

#[test]
fn a_prompt_cannot_grow_without_bound() {
    let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aaaaaaaa" });
    let text = changed(|d| {
        d["normalizer"] = json!({ "type": "Sequence", "normalizers": vec![double; 40] });
    });
    let codec = in_files(&[("tokenizer.json", &text)]);
    assert!(codec.encode("b").is_ok());
    let said = why(codec.encode("aaa"));
    assert!(said.contains("as long"), "{said}");
}

#[test]
fn what_the_tokenizer_would_lose_is_said() {
    let text = changed(|d| {
        renamed(d, "Ã", "ÃÃÃ");
        d["model"]["merges"] = json!([]);
    });
    let codec = in_files(&[("tokenizer.json", &text)]);
    assert!(codec.encode("cafe").is_ok());
    let said = why(codec.encode("café"));
    assert!(said.contains("no token for \"é\" (U+00E9)"), "{said}");
}

#[test]
fn an_answer_gets_the_space_that_text_goes_on_with() {
    let codec = codec("gpt2");
    let prompt = "John gave the lamp to";
    let answer = codec.answer(prompt, "Mary", Lead::Usual).unwrap();
    assert_eq!((codec.glyph(answer.id), answer.text), ("␣Mary".to_owned(), " Mary".to_owned()));
    let said = codec.answer(prompt, " Mary", Lead::Usual).unwrap();
    assert_eq!(said.id, answer.id);
    let bare = codec.answer("John gave it to ", "two", Lead::Usual).unwrap();
    assert_eq!(codec.glyph(bare.id), "two");
    assert_eq!(codec.answer(prompt, "<|endoftext|>", Lead::Usual).unwrap().id, 399);
    for kind in ["llama", "llama3", "neox", "qwen"] {
        let codec = self::codec(kind);
        let the = codec.answer(prompt, "the", Lead::Usual).unwrap();
        assert_eq!(codec.glyph(the.id), "␣the", "{kind}");
        assert_eq!(codec.answer("", "the", Lead::Usual).unwrap(), the, "{kind}");
    }
}

#[test]
fn an_answer_of_two_tokens_is_shown() {
    let codec = codec("gpt2");
    let said = why(codec.answer("Give it to", "two", Lead::Usual));
    assert!(said.contains("\"␣two\" is ") && said.contains(" tokens (␣t · "), "{said}");
    assert!(said.ends_with("Without the space in front, \"two\" is one."), "{said}");
    let said = why(codec.answer("Give it to", "", Lead::Usual));
    assert!(said.contains("the answer is empty"), "{said}");
}

#[test]
fn an_answer_is_taken_as_it_is_written_where_that_is_asked_for() {
    let codec = codec("gpt2");
    let answer = codec.answer("Give it to", "two", Lead::AsWritten).unwrap();
    assert_eq!((codec.glyph(answer.id).as_str(), answer.text.as_str()), ("two", "two"));
}

#[test]
fn words_and_pieces_with_scores_are_read_too() {
    let words = json!({ "version": "1.0", "pre_tokenizer": { "type": "Whitespace" }, "model": {
        "type": "WordLevel", "vocab": { "<unk>": 0, "the": 1, "lamp": 2 }, "unk_token": "<unk>" } });
    let codec = in_files(&[("tokenizer.json", &words.to_string())]);
    assert_eq!(codec.encode("the lamp").unwrap(), [1, 2]);
    assert_eq!(codec.answer("the", "lamp", Lead::Usual).unwrap().id, 2);
    assert!(why(codec.encode("the book")).contains("no token for \"b\""));

    let space = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let pieces = json!({ "version": "1.0", "pre_tokenizer": space, "decoder": space, "model": {
        "type": "Unigram", "unk_id": 0, "byte_fallback": false,
        "vocab": [["<unk>", 0.0], ["▁a", -1.0], ["b", -2.0], ["▁", -3.0]] } });
    let codec = in_files(&[("tokenizer.json", &pieces.to_string())]);
    let read = codec.encode("a b").unwrap();
    assert_eq!((read.as_slice(), codec.decode(&read).as_str()), (&[1, 3, 2][..], "a b"));
    assert_eq!((codec.bytes(1), codec.glyph(1)), (&b" a"[..], "␣a".to_owned()));
    assert!(why(codec.encode("a z")).contains("no token for \"z\""));
}

fn prompts_of(name: &str, text: &str) -> Result<Vec<Prompt>> {
    let folder = files(&[(name, text)]);
    prompts::read(&folder.path().join(name))
}

#[test]
fn prompts_are_read_a_line_each() {
    let read = prompts_of("a.txt", "\u{feff}The lamp \r\n\n{A} burned\n").unwrap();
    let texts: Vec<String> = read.iter().map(Prompt::text).collect();
    assert_eq!(texts, ["The lamp ", "{A} burned"]);
    assert!(why(prompts_of("a.txt", "\n \n")).contains("no prompt is in it"));
    assert!(why(prompts_of("a.txt", &"a\n".repeat(10_001))).contains("10000 prompts"));
}

const IOI: &str = r#"{"prompt": "When {A} and {B} carried the books, {B} gave the lamp to",
    "counterpart": "When {A} and {B} carried the books, {A} gave the lamp to",
    "answer": "{A}", "wrong": "{B}", "roles": {"subject": "{B}", "end": [12], "place": "lamp"},
    "fillers": {"A": ["Mary", "John"], "B": ["John", "Mary"]}}"#;

#[test]
fn a_template_makes_pairs_of_the_same_length() {
    let codec = codec("gpt2");
    let read = prompts_of("a.jsonl", &IOI.replace('\n', " ")).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1].text(), "When John and Mary carried the books, Mary gave the lamp to");
    let pair = read[0].encode(&codec).unwrap();
    let other = pair.counterpart.clone().unwrap();
    assert_eq!(pair.tokens.len(), other.len());
    assert_eq!(pair.answer().map(|id| codec.glyph(id)).unwrap(), "␣Mary");
    assert_eq!(pair.wrong().map(|id| codec.glyph(id)).unwrap(), "␣John");
    let subjects: Vec<String> =
        pair.roles["subject"].iter().map(|at| codec.glyph(pair.tokens[*at])).collect();
    assert_eq!(subjects, ["␣John", "␣John"]);
    let begun = pair.clone().begun(Some(399));
    assert_eq!((begun.tokens[0], begun.tokens.len()), (399, pair.tokens.len() + 1));
    assert_eq!(begun.counterpart.unwrap()[1..], other);
    assert_eq!(begun.roles["end"], [13]);
    assert_eq!(pair.clone().begun(None), pair);
}

#[test]
fn pairs_of_unequal_length_are_shown() {
    let line = r#"{"prompt": "John gave", "counterpart": "John carried the lamp"}"#;
    let read = prompts::of_json(line).unwrap();
    let said = why(read[0].encode(&codec("gpt2")));
    assert!(said.starts_with("the prompt \"John gave\": it has "), "{said}");
    assert!(said.contains("␣g · ave") && said.contains("␣carried · ␣the"), "{said}");
}

#[test]
fn a_line_that_is_no_prompt_is_said_with_its_number() {
    let good = r#"{"prompt": "a", "answer": 5}"#;
    for (line, word) in [
        ("{", "it is no prompt"),
        ("[]", "it is no prompt"),
        (r#"{"answer": "a"}"#, "missing field `prompt`"),
        (r#"{"prompt": "a", "anwser": "b"}"#, "anwser"),
        (r#"{"prompt": "a", "prompt": "b"}"#, "there twice"),
        (r#"{"prompt": "{A}", "fillers": {"A": []}}"#, "0 of A"),
        (r#"{"prompt": "{A}{B}", "fillers": {"A": ["a"], "B": ["a", "b"]}}"#, "1 of A, 2 of B"),
        (r#"{"prompt": "{A}{B}", "fillers": {"A": ["a"]}}"#, "the slot {B} has no fillers"),
        (r#"{"prompt": "{A}", "fillers": {"A": ["a"], "B": ["b"]}}"#, "fillers of B stand nowhere"),
    ] {
        let said = why(prompts_of("a.jsonl", &format!("{good}\n\n{line}\n")));
        assert!(said.contains("line 3: ") && said.contains(word), "{said}");
    }
    let long = json!({ "prompt": "{A}".repeat(1000), "fillers": { "A": ["b".repeat(1000)] } });
    assert!(why(prompts_of("a.jsonl", &long.to_string())).contains("too long"));
}

#[test]
fn roles_and_tokens_that_are_nowhere_are_refused() {
    let codec = codec("gpt2");
    for (line, word) in [
        (r#"{"prompt": "The lamp", "roles": {"x": "book"}}"#, "the role x is nowhere"),
        (r#"{"prompt": "The lamp", "roles": {"x": [2]}}"#, "positions from 0 to 1"),
        (r#"{"prompt": "The lamp", "answer": 4000}"#, "the token 4000 stands for nothing"),
        (r#"{"prompt": "The lamp", "answer": "Jonathan"}"#, "expected one: choose another word"),
    ] {
        let said = why(prompts::of_json(line).unwrap()[0].encode(&codec));
        assert!(said.contains("the prompt \"The lamp\"") && said.contains(word), "{said}");
    }
}
