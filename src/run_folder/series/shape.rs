//! What `config.json` says that shapes a network: it is the same at all steps of a series, or they are no series.

use serde_json::{Map, Value};

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::vocab::plain;

/// Keys that change nothing of what a network computes. One that is not known is taken to change something.
const ASIDE: &[&str] = &[
    // Where it comes from, and of which step it is.
    "step",
    "_name_or_path",
    "_commit_hash",
    "name_or_path",
    "model_name",
    "original_architecture",
    "checkpoint_index",
    "checkpoint_label_type",
    "checkpoint_value",
    "from_checkpoint",
    "architectures",
    "transformers_version",
    "unsloth_version",
    // How its numbers are kept, and how another program computes with them.
    "torch_dtype",
    "dtype",
    "device",
    "n_devices",
    "torchscript",
    "use_cache",
    "attn_implementation",
    "_attn_implementation",
    "gradient_checkpointing",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    // How training begins.
    "seed",
    "init_mode",
    "init_weights",
    "initializer_range",
    "initializer_factor",
    // Text, generation, and other tasks.
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "tokenizer_class",
    "tokenizer_name",
    "max_length",
    "id2label",
    "label2id",
    "problem_type",
    "task_specific_params",
];

/// Keys that are named in a message, and signs of a value in one.
const MOST_NAMED: usize = 4;
const MOST_SIGNS: usize = 40;

/// What shapes the network of a series.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// None before the first step.
    said: Option<(u64, Map<String, Value>)>,
}

impl Shape {
    /// # Errors
    /// When the text is no object of JSON.
    pub fn of(step: u64, config: &str) -> Result<Self> {
        Ok(Self { said: Some((step, keys(config)?)) })
    }

    /// The same, when one more step says the same.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn and(self, step: u64, config: &str) -> Result<Self> {
        if self.said.is_none() {
            return Self::of(step, config);
        }
        self.check(step, config)?;
        Ok(self)
    }

    /// That the configuration of a step describes this network.
    ///
    /// # Errors
    /// When it does not: the keys that differ, their values and both steps are named.
    pub fn check(&self, step: u64, config: &str) -> Result<()> {
        let Some((first, known)) = &self.said else { return Ok(()) };
        let other = keys(config)?;
        let differs = |key: &&String| known.get(*key) != other.get(*key);
        let of_known = known.keys().filter(differs);
        let only_of_other = other.keys().filter(|key| !known.contains_key(*key));
        let differing: Vec<&String> = of_known.chain(only_of_other).collect();
        if differing.is_empty() {
            return Ok(());
        }
        let named = differing.iter().take(MOST_NAMED);
        let mut named: Vec<String> = named
            .map(|key| {
                let [a, b] = [known.get(*key), other.get(*key)].map(value);
                format!("{} ({a} and {b})", short(key))
            })
            .collect();
        if differing.len() > MOST_NAMED {
            named.push(format!("{} more keys", differing.len() - MOST_NAMED));
        }
        Err(Error::input(format!(
            "config.json of step {first} and that of step {step} differ in {}: they are of different networks, and a series is one network at several steps. Move the steps of one of them elsewhere",
            named.join(", ")
        )))
    }
}

/// The keys that shape a network. `null` is as good as no key.
fn keys(config: &str) -> Result<Map<String, Value>> {
    let value = json::parse(config)
        .map_err(|e| Error::input(format!("config.json is no JSON: {e}")).caused_by(e))?;
    let Value::Object(mut map) = value else {
        return Err(Error::input("config.json holds no object of keys and values"));
    };
    let is_aside =
        |key: &str| ASIDE.contains(&key) || key.contains("dropout") || key.contains("pdrop");
    map.retain(|key, value| !value.is_null() && !is_aside(key));
    Ok(map)
}

fn value(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), |value| short(&value.to_string()))
}

fn short(text: &str) -> String {
    let mut short: String = plain(text).chars().take(MOST_SIGNS).collect();
    if text.chars().nth(MOST_SIGNS).is_some() {
        short.push('…');
    }
    short
}
