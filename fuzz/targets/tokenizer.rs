//! A tokenizer of another program, and what it makes of a text: the bytes before the first zero are the text, the others `tokenizer.json`.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mnemoscope::formats::tokenizer::Codec;

/// A folder of this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("mnemoscope-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temporary files can be written");
        folder
    })
}

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (text, document) = bytes.split_at(end);
    let document = document.strip_prefix(&[0]).unwrap_or(document);
    fs::write(folder().join("tokenizer.json"), document).expect("temporary files can be written");
    let Ok(Some(codec)) = Codec::in_folder(folder()) else { return };
    let Ok(ids) = codec.encode(&String::from_utf8_lossy(text)) else { return };
    let _ = (codec.decode(&ids), codec.groups(&ids), codec.shown(&ids));
});
