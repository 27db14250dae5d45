//! The two files of GPT-2's tokenizer as the one that would do the same: what `vocab.json` and `merges.txt` say, and what stands
//! beside them of added tokens.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{begin, files};
use crate::base::error::{Error, Result};
use crate::base::json as strict;

/// Settings that name special tokens.
const NAMES: &[&str] = &["bos_token", "eos_token", "unk_token", "pad_token"];
/// GPT-2's only special token, where there are no settings.
const END: &str = "<|endoftext|>";

/// The `tokenizer.json` of a folder that has `vocab.json` and `merges.txt`.
pub fn document(folder: &Path) -> Result<Vec<u8>> {
    let vocab = vocab(&folder.join("vocab.json"), &files::beside(folder, "vocab.json")?)?;
    let merges = files::beside(folder, "merges.txt")?;
    let is_one = |line: &&str| !line.is_empty() && !line.starts_with("#version");
    let merges: Vec<&str> = merges.lines().filter(is_one).collect();
    let settings = files::settings(folder)?;
    let added = added(folder, &settings, &vocab)?;
    let with_space = settings["add_prefix_space"].as_bool().unwrap_or(false);
    let letters = json!({
        "type": "ByteLevel", "add_prefix_space": with_space, "trim_offsets": true, "use_regex": true,
    });
    let document = json!({
        "version": "1.0",
        "added_tokens": added.into_values().collect::<Vec<Value>>(),
        "normalizer": null,
        "pre_tokenizer": letters,
        "post_processor": null,
        "decoder": letters,
        "model": { "type": "BPE", "vocab": vocab, "merges": merges },
    });
    serde_json::to_vec(&document).map_err(Error::internal_of)
}

/// Ids by text.
fn vocab(path: &Path, text: &str) -> Result<Map<String, Value>> {
    let parsed = strict::parse(text).map_err(|e| e.to_string());
    match parsed {
        Ok(Value::Object(vocab)) if vocab.values().all(Value::is_u64) => Ok(vocab),
        other => Err(Error::input(format!(
            "{} is no vocabulary ({}), expected an object of ids by text; take it from where the network comes from",
            path.display(),
            other.err().unwrap_or_else(|| "no such object".to_owned())
        ))),
    }
}

/// Added tokens by id: those of `added_tokens.json`, those of the settings, and the special ones that settings name.
fn added(
    folder: &Path,
    settings: &Value,
    vocab: &Map<String, Value>,
) -> Result<BTreeMap<u64, Value>> {
    let more = files::read_json(&folder.join("added_tokens.json"))?;
    let mut added: BTreeMap<u64, Value> = BTreeMap::new();
    for (text, id) in more.as_object().into_iter().flatten() {
        added.extend(id.as_u64().map(|id| (id, token(id, text, false))));
    }
    for (id, value) in settings["added_tokens_decoder"].as_object().into_iter().flatten() {
        added.extend(id.parse().ok().and_then(|id| Some((id, of_settings(id, value)?))));
    }
    for text in special(settings) {
        let id = vocab.get(text).and_then(Value::as_u64);
        let id =
            id.or_else(|| added.iter().find_map(|(id, v)| (v["content"] == text).then_some(*id)));
        added.extend(id.map(|id| (id, token(id, text, true))));
    }
    Ok(added)
}

fn special(settings: &Value) -> Vec<&str> {
    if settings.is_null() {
        return vec![END];
    }
    NAMES.iter().filter_map(|key| begin::name(&settings[*key])).collect()
}

fn token(id: u64, text: &str, special: bool) -> Value {
    json!({
        "id": id, "content": text, "special": special,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    })
}

/// As settings say it: what goes with a token, such as whether it takes the spaces beside it.
fn of_settings(id: u64, value: &Value) -> Option<Value> {
    let mut made = token(id, value["content"].as_str()?, value["special"].as_bool()?);
    for key in ["single_word", "lstrip", "rstrip", "normalized"] {
        if let Some(flag) = value[key].as_bool() {
            made[key] = flag.into();
        }
    }
    Some(made)
}
