//! Weights in the formats of other libraries: weights and an experiment in, bytes of files out. What a format cannot say
//! exactly is refused with the reason. `docs/python.md` has the lines that load each.

mod bridge;
mod gpt2;
mod hooked;
mod uniform;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::error::{Error, Result};
use crate::base::weights::{NamedTensor, Weights};
use crate::formats::safetensors::safetensors;
use crate::model::anatomy::Anatomy;

use super::experiment::Experiment;

crate::choices! {
    /// Formats of a network's weights.
    pub enum WeightFormat {
        /// The bridge of TransformerLens 4 and later.
        TransformerLens = "transformer_lens",
        /// `HookedTransformer` of TransformerLens 2 and 3.
        Hooked = "hooked",
        /// `GPT2LMHeadModel` of Hugging Face.
        Gpt2 = "gpt2",
        /// The tensors as they are, under the names of this program.
        Safetensors = "safetensors",
    }
}

impl WeightFormat {
    /// For a person.
    pub fn title(self) -> &'static str {
        match self {
            Self::TransformerLens => "TransformerLens 4",
            Self::Hooked => "TransformerLens 2 and 3",
            Self::Gpt2 => "Hugging Face GPT-2",
            Self::Safetensors => "Plain tensors",
        }
    }

    /// What it is and where it goes.
    pub fn about(self) -> &'static str {
        match self {
            Self::TransformerLens => {
                "A folder for TransformerBridge.boot_native: config.json and model.safetensors."
            }
            Self::Hooked => "A folder for HookedTransformer: config.json and hooked.safetensors.",
            Self::Gpt2 => {
                "A folder for GPT2LMHeadModel.from_pretrained. Needs learned, fixed or no positions and LayerNorm."
            }
            Self::Safetensors => "One safetensors file with the names of this program.",
        }
    }

    /// Whether it is a folder of files, not one file.
    pub fn is_folder(self) -> bool {
        self != Self::Safetensors
    }
}

/// A file by name; the name is that inside of the folder where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

/// Why a format cannot say this network; `None` where it can.
pub fn refusal(format: WeightFormat, experiment: &Experiment, weights: &Weights) -> Option<Error> {
    if let Err(error) = check_ours(weights) {
        return Some(error);
    }
    if format == WeightFormat::Safetensors {
        return None;
    }
    let anatomy = || experiment.model.anatomy(weights, experiment.task.open()?.longest());
    anatomy().and_then(|anatomy| written(format, &anatomy)).err()
}

/// The files of a format: one, or those of a folder. The same weights give the same bytes.
///
/// # Errors
/// When the format cannot say this network exactly (the sentence gives the reason), or the weights are those of
/// another experiment.
pub fn files(
    format: WeightFormat,
    experiment: &Experiment,
    weights: &Weights,
) -> Result<Vec<File>> {
    check_ours(weights)?;
    let note = note(format, experiment, weights);
    if format == WeightFormat::Safetensors {
        return Ok(vec![File {
            name: "weights.safetensors",
            bytes: file(&weights.tensors, &note),
        }]);
    }
    let source = experiment.task.open()?;
    let anatomy = experiment.model.anatomy(weights, source.longest())?;
    let vocab = source.vocab();
    if anatomy.vocab() != vocab.len() {
        return Err(Error::input(format!(
            "the weights of step {} know {} tokens, the task of this experiment has {}",
            weights.step,
            anatomy.vocab(),
            vocab.len()
        )));
    }
    let Written { config, tensors } = written(format, &anatomy)?;
    let ids = 0..u32::try_from(vocab.len()).unwrap_or(u32::MAX);
    let tokens: Vec<&str> = ids.map(|id| vocab.text(id)).collect();
    let name =
        if format == WeightFormat::Hooked { "hooked.safetensors" } else { "model.safetensors" };
    Ok(vec![
        File { name: "config.json", bytes: pretty(&Value::Object(config))? },
        File { name, bytes: file(&tensors, &note) },
        File { name: "tokens.json", bytes: pretty(&json!(tokens))? },
    ])
}

/// That the weights are of a network of this program.
fn check_ours(weights: &Weights) -> Result<()> {
    if weights.file.is_none() {
        return Ok(());
    }
    Err(Error::usage(
        "these weights lie in files of another program already, which other programs read as they are; copy its folder",
    ))
}

/// Whether a file is one of a folder that this program made: tensors say so themselves, what lies beside them is of one
/// making with them.
pub fn is_ours(path: &Path) -> bool {
    let made_here = |path: &Path| {
        let mut head = Vec::new();
        let read =
            std::fs::File::open(path).map(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
        let mark = b"\"mnemoscope\":";
        read.is_ok() && head.windows(mark.len()).any(|part| part == mark)
    };
    let regular = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    let tensors = ["model.safetensors", "hooked.safetensors"];
    let is_tensors = tensors.iter().any(|name| path.file_name() == Some(name.as_ref()));
    let are_ours = || tensors.iter().any(|name| made_here(&path.with_file_name(name)));
    regular && if is_tensors { made_here(path) } else { are_ours() }
}

/// What a file of tensors says of itself stands at its beginning.
const HEAD_BYTES: u64 = 1 << 16;

/// The settings that a library builds a network from, and the tensors that it loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub config: Map<String, Value>,
    pub tensors: Vec<NamedTensor>,
}

/// A network in a format that has settings of its own.
///
/// # Errors
/// When the format cannot say this network exactly.
pub fn written(format: WeightFormat, anatomy: &Anatomy) -> Result<Written> {
    match format {
        WeightFormat::TransformerLens => bridge::written(anatomy),
        WeightFormat::Hooked => hooked::written(anatomy),
        WeightFormat::Gpt2 => gpt2::written(anatomy),
        WeightFormat::Safetensors => {
            Err(Error::usage("plain tensors are written as they are, from no other format"))
        }
    }
}

/// What a file of tensors says of where it comes from.
fn note(format: WeightFormat, experiment: &Experiment, weights: &Weights) -> String {
    json!({
        "program": format!("mnemoscope {}", env!("CARGO_PKG_VERSION")),
        "spelling": format.name(),
        "experiment": experiment.name,
        "seed": experiment.train.seed,
        "step": weights.step,
        "experiment_toml": experiment.to_toml(),
    })
    .to_string()
}

fn file(tensors: &[NamedTensor], note: &str) -> Vec<u8> {
    // Hugging Face reads a file only if it says which library's tensors these are.
    safetensors(tensors, &[("format", "pt"), ("mnemoscope", note)])
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(Error::internal_of)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn tensor(name: impl Into<Arc<str>>, shape: &[usize], data: impl Into<Arc<[f32]>>) -> NamedTensor {
    NamedTensor { name: name.into(), shape: shape.to_vec(), data: data.into(), trained: true }
}

/// Why a network cannot be written for a library.
fn refused(library: &str, why: &str) -> Error {
    Error::usage(format!(
        "this network cannot be written for {library}: {why}. Its tensors as they are can be, as safetensors"
    ))
}
