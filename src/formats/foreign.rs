//! Files of other programs that a person may give where a run or a document of this one is wanted: what they are, why they
//! are not read, and what to do instead.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::base::error::Error;

/// Bytes at the start of a file that tell its kind.
const HEAD_BYTES: u64 = 16;

/// A kind of file that is known and not read.
enum Foreign {
    /// PyTorch's and Python's own: objects that are made by running what the file says.
    Pickle,
    Gguf,
    Safetensors,
    /// Weights of yet another program.
    Other(&'static str),
}

/// Endings of the names of such files.
const ENDINGS: &[(&str, Foreign)] = &[
    ("pt", Foreign::Pickle),
    ("pth", Foreign::Pickle),
    ("pkl", Foreign::Pickle),
    ("pickle", Foreign::Pickle),
    ("ckpt", Foreign::Pickle),
    ("bin", Foreign::Pickle),
    ("joblib", Foreign::Pickle),
    ("gguf", Foreign::Gguf),
    ("ggml", Foreign::Gguf),
    ("safetensors", Foreign::Safetensors),
    ("onnx", Foreign::Other("an ONNX model")),
    ("h5", Foreign::Other("an HDF5 file")),
    ("hdf5", Foreign::Other("an HDF5 file")),
    ("keras", Foreign::Other("a Keras model")),
    ("npz", Foreign::Other("a NumPy archive")),
    ("npy", Foreign::Other("a NumPy array")),
    ("zip", Foreign::Other("a ZIP archive")),
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
    let name = path.display().to_string();
    kind(path, &head).map(|kind| Error::input(kind.sentence(&name)))
}

/// By the first bytes, and where these say nothing by the name.
fn kind(path: &Path, head: &[u8]) -> Option<&'static Foreign> {
    let by_name = || {
        let ending = path.extension()?.to_str()?.to_lowercase();
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, kind)| kind)
    };
    match head {
        [b'G', b'G', b'U', b'F', ..] => Some(&Foreign::Gguf),
        // Protocols 2 to 5 of pickle.
        [0x80, 2..=5, ..] => Some(&Foreign::Pickle),
        // PyTorch puts its pickle into a ZIP archive.
        [b'P', b'K', 3, 4, ..] => Some(by_name().unwrap_or(&Foreign::Pickle)),
        _ => by_name(),
    }
}

impl Foreign {
    fn sentence(&self, path: &str) -> String {
        const INSTEAD: &str = "Here a run folder or an experiment (.toml) is opened";
        match self {
            Self::Pickle => format!(
                "{path} is a pickle, as PyTorch writes it (.pt, .pth, .bin): to read one is to run what it says, so this program reads none. Convert to safetensors, which holds numbers alone, in Python: from safetensors.torch import save_file; save_file(torch.load(\"x.pt\", weights_only=True), \"x.safetensors\"). {INSTEAD}"
            ),
            Self::Gguf => format!(
                "{path} is a GGUF file: its readers take lengths from the file before anything checks them, so this program reads none. Convert to safetensors, which holds numbers alone. {INSTEAD}"
            ),
            Self::Safetensors => format!(
                "{path} holds tensors and does not say of which experiment: the folder of the run does. {INSTEAD}"
            ),
            Self::Other(what) => format!("{path} is {what}. {INSTEAD}"),
        }
    }
}
