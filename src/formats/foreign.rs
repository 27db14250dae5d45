//! Files of other programs that a person may give where a run, a network or a document of this one is wanted: what they are, why
//! they are not read, and what to do instead.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::base::error::Error;

/// Bytes at the start of a file that tell its kind.
const HEAD_BYTES: u64 = 16;
/// Most names of a folder that are looked at.
const MOST_NAMES: usize = 1 << 12;

/// A kind of file that is known and not read.
struct Foreign {
    /// Names of such files in small letters; `*` stands for any text.
    names: &'static [&'static str],
    what: &'static str,
    /// Whether it may hold a network, so that a folder with such a file is one of a network.
    is_network: bool,
    instead: &'static str,
}

const ADAPTER: Foreign = Foreign {
    names: &["adapter_config.json", "adapter_model.*"],
    what: "an adapter (PEFT), which changes a network and is none",
    is_network: true,
    instead: "Merge it with its network in Python: from peft import AutoPeftModelForCausalLM as A; A.from_pretrained(\"DIR\").merge_and_unload().save_pretrained(\"OUT\")",
};
const LITGPT: Foreign = Foreign {
    names: &["lit_model.pth", "model_config.yaml"],
    what: "part of a checkpoint of LitGPT, whose tensors are a pickle",
    is_network: true,
    instead: "Convert it with LitGPT: litgpt convert_from_litgpt DIR OUT; then in Python: import torch; from safetensors.torch import save_file; save_file({k: v.clone().contiguous() for k, v in torch.load(\"OUT/model.pth\", weights_only=True).items()}, \"OUT/model.safetensors\"); and put the config.json of the network that training began with into OUT",
};
const NANOGPT: Foreign = Foreign {
    names: &["ckpt.pt", "ckpt_*.pt", "ckpt-*.pt"],
    what: "a pickle, as nanoGPT writes it",
    is_network: true,
    instead: "This line makes config.json and model.safetensors of it: python -c \"import torch,json;from safetensors.torch import save_file as s;c=torch.load('ckpt.pt',map_location='cpu',weights_only=True);s({k.removeprefix('_orig_mod.'):v.clone().contiguous() for k,v in c['model'].items()},'model.safetensors',{'step':str(c['iter_num'])});json.dump({'model_type':'nanogpt','step':c['iter_num'],**c['model_args']},open('config.json','w'))\"",
};
const HUGGING_FACE: Foreign = Foreign {
    names: &["pytorch_model*.bin", "pytorch_model*.bin.index.json"],
    what: "a pickle, as older programs of Hugging Face write it",
    is_network: true,
    instead: "Convert the folder, with its config.json, in Python: from transformers import AutoModelForCausalLM as A; A.from_pretrained(\"DIR\").save_pretrained(\"OUT\")",
};
const GGUF: Foreign = Foreign {
    names: &["*.gguf", "*.ggml"],
    what: "a GGUF file, whose numbers may be rounded and packed, and whose readers take lengths from it before anything checks them",
    is_network: true,
    instead: "Take the network as it was published, config.json and model.safetensors, or convert it in Python (with the package gguf): from transformers import AutoModelForCausalLM as A; from safetensors.torch import save_file; m = A.from_pretrained(\"DIR\", gguf_file=\"FILE\"); del m.config.quantization_config; m.config.save_pretrained(\"OUT\"); save_file({k: v.clone().contiguous() for k, v in m.state_dict().items()}, \"OUT/model.safetensors\")",
};
const SAFETENSORS: Foreign = Foreign {
    names: &["*.safetensors", "*.safetensors.index.json"],
    what: "tensors without what they are of",
    is_network: false,
    instead: "Give the folder that it lies in: that of a run of this program, or that of a network, which has config.json beside model.safetensors",
};
/// What belongs to a Trainer and holds no network.
const TRAINER: Foreign = Foreign {
    names: &["optimizer*", "scheduler*", "rng_state*", "training_args.bin", "scaler.pt"],
    what: "a pickle of a Trainer, and holds no network",
    is_network: false,
    instead: "Give the folder that it lies in, with config.json and model.safetensors",
};
/// PyTorch's and Python's own: objects that are made by running what the file says.
const PICKLE: Foreign = Foreign {
    names: &["*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.bin", "*.joblib"],
    what: "a pickle, as PyTorch writes it (.pt, .pth, .bin): to read one is to run what it says, so this program reads none",
    is_network: true,
    instead: "If it holds tensors by name, convert it to safetensors, which holds numbers alone, in Python: import torch; from safetensors.torch import save_file; c = torch.load(\"FILE\", map_location=\"cpu\", weights_only=True); c = c.get(\"model\", c.get(\"state_dict\", c)); save_file({k: v.clone().contiguous() for k, v in c.items() if not k.endswith((\".mask\", \".IGNORE\"))}, \"model.safetensors\"), and put the config.json of the network beside it",
};

/// An array or a container, which nothing is to be done about.
const fn other(names: &'static [&'static str], what: &'static str) -> Foreign {
    Foreign { names, what, is_network: false, instead: INSTEAD }
}

const INSTEAD: &str =
    "Here the folder of a run or of a network, or an experiment (.toml), is opened";

/// All of them: what a name says more of comes before what says less.
const ALL: &[Foreign] = &[
    ADAPTER,
    LITGPT,
    NANOGPT,
    HUGGING_FACE,
    GGUF,
    SAFETENSORS,
    TRAINER,
    PICKLE,
    other(&["*.onnx"], "an ONNX model"),
    other(&["*.h5", "*.hdf5"], "an HDF5 file"),
    other(&["*.keras"], "a Keras model"),
    other(&["*.npz"], "a NumPy archive"),
    other(&["*.npy"], "a NumPy array"),
    other(&["*.zip"], "a ZIP archive"),
];

/// The error for a file of another program; `None` where it may well be a document of this one. Only its first bytes are
/// read.
pub fn refusal(path: &Path) -> Option<Error> {
    if path.is_dir() {
        return None;
    }
    let mut head = Vec::new();
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        // What cannot be read is judged by its name.
        let _ = file.take(HEAD_BYTES).read_to_end(&mut head);
    }
    let Foreign { what, instead, .. } = kind(path, &head)?;
    Some(Error::input(format!("{} is {what}. {instead}", path.display())))
}

/// The error for a folder whose network lies there in files that are not read; `None` where nothing of the kind does.
pub fn refusal_of_folder(folder: &Path) -> Option<Error> {
    let names = names(folder);
    let known = names.iter().filter_map(|name| Some((rank(name)?, name)));
    let (rank, name) = known.filter(|(rank, _)| ALL[*rank].is_network).min()?;
    let Foreign { what, instead, .. } = &ALL[rank];
    Some(Error::input(format!("{} holds {name:?}: it is {what}. {instead}", folder.display())))
}

/// The names of what lies in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().take(MOST_NAMES).flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// By the first bytes, and where these say nothing by the name.
fn kind(path: &Path, head: &[u8]) -> Option<&'static Foreign> {
    let by_name = || rank(path.file_name()?.to_str()?).map(|rank| &ALL[rank]);
    match head {
        [b'G', b'G', b'U', b'F', ..] => Some(&GGUF),
        // Protocols 2 to 5 of pickle; PyTorch puts its pickle into a ZIP archive.
        [0x80, 2..=5, ..] | [b'P', b'K', 3, 4, ..] => Some(by_name().unwrap_or(&PICKLE)),
        _ => by_name(),
    }
}

/// Which of the kinds a name is of.
fn rank(name: &str) -> Option<usize> {
    ALL.iter().position(|kind| is_named(kind, name))
}

fn is_named(kind: &Foreign, name: &str) -> bool {
    let name = name.to_lowercase();
    kind.names.iter().any(|pattern| match pattern.split_once('*') {
        None => *pattern == name,
        Some((first, last)) => {
            let rest = name.strip_prefix(first);
            rest.is_some_and(|rest| rest.ends_with(last))
        }
    })
}
