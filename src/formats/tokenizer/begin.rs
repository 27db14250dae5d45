//! The token that begins a text (BOS): which one, and who puts it there.

use std::path::Path;

use serde_json::Value;

use super::files;
use crate::base::convert::{id, size};
use crate::base::error::{Error, Result};

crate::choices! {
    /// What is put before a prompt.
    pub enum Begin {
        /// What the tokenizer of the checkpoint puts there: nothing for GPT-2, Pythia and Qwen, `<s>` for Llama.
        Tokenizer = "tokenizer",
        /// What TransformerLens puts there, which most published numbers of GPT-2 were found with.
        TransformerLens = "transformer_lens",
        Nothing = "nothing",
    }
}

impl Begin {
    /// The choice of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|begin| begin.name() == name)
    }
}

/// Networks before whose prompts TransformerLens puts nothing: `default_prepend_bos` of its version 4.3.
const BARE_IN_TRANSFORMER_LENS: &[&str] = &[
    "gpt_neox",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "phi",
    "phi3",
    "bloom",
    "mpt",
    "granite",
    "smollm3",
];

/// Names of the token where no file says which one it is.
const USUAL: &[&str] = &["<|begin_of_text|>", "<bos>", "<s>", "<|endoftext|>"];

/// Tokens that may begin a prompt.
#[derive(Debug, Default)]
pub struct First {
    /// The one that the tokenizer puts there.
    prepended: Option<u32>,
    /// The one that begins a text by name, whoever puts it there.
    named: Option<u32>,
}

impl First {
    /// `prepended` is the one of the post-processor; the others stand in the files beside the tokenizer.
    pub fn find(
        folder: &Path,
        prepended: Option<u32>,
        id_of: &dyn Fn(&str) -> Option<u32>,
    ) -> Result<Self> {
        let settings = files::settings(folder)?;
        let told = ["bos_token", "eos_token"].iter().find_map(|key| name(&settings[*key]));
        let config = files::config(folder);
        let numbered =
            ["bos_token_id", "eos_token_id"].iter().find_map(|key| config[*key].as_u64());
        let named = prepended
            .or_else(|| told.and_then(id_of))
            .or_else(|| numbered.map(|n| id(size(n))))
            .or_else(|| USUAL.iter().find_map(|name| id_of(name)));
        // Files of Llama that are older than its post-processor.
        let adds = settings["add_bos_token"].as_bool() == Some(true);
        Ok(Self { prepended: prepended.or(named.filter(|_| adds)), named })
    }

    pub fn token(&self, how: Begin, model_type: &str) -> Option<u32> {
        match how {
            Begin::Tokenizer => self.prepended,
            Begin::TransformerLens if BARE_IN_TRANSFORMER_LENS.contains(&model_type) => None,
            Begin::TransformerLens => self.named,
            Begin::Nothing => None,
        }
    }
}

/// A token in settings: its text, or an object with it.
pub fn name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// The token that a post-processor puts before a text.
///
/// # Errors
/// When there are several.
pub fn prepended(post_processor: &Value) -> Result<Option<u32>> {
    if let Some(list) = post_processor["processors"].as_array() {
        let found: Vec<u32> =
            list.iter().map(prepended).filter_map(Result::transpose).collect::<Result<_>>()?;
        return one(&found);
    }
    let kind = post_processor["type"].as_str().unwrap_or_default();
    match kind {
        "TemplateProcessing" => one(&in_template(post_processor)),
        "RobertaProcessing" | "BertProcessing" => one(&number(&post_processor["cls"][1])),
        _ => Ok(None),
    }
}

/// The special tokens before the text in `<s> $A`.
fn in_template(template: &Value) -> Vec<u32> {
    let pieces = template["single"].as_array().map_or(&[][..], Vec::as_slice);
    let names = pieces.iter().map_while(|piece| piece["SpecialToken"]["id"].as_str());
    let ids = names.filter_map(|name| template["special_tokens"][name]["ids"].as_array());
    ids.flatten().flat_map(number).collect()
}

fn number(value: &Value) -> Vec<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).into_iter().collect()
}

fn one(ids: &[u32]) -> Result<Option<u32>> {
    match ids {
        [] => Ok(None),
        [id] => Ok(Some(*id)),
        _ => Err(Error::input(format!(
            "its post_processor puts {} tokens before a text, expected one at most; give prompts as ids",
            ids.len()
        ))),
    }
}
