//! Words of a command as they are typed into a shell: what is printed can be pasted.

use std::ffi::OsStr;
use std::path::Path;

use crate::base::vocab::is_hidden;

/// A word of a command: as it is where a shell takes it as it is, else in single quotes, as POSIX has them. What is not seen,
/// and what is no text, is written by its bytes.
pub fn word(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes();
    match std::str::from_utf8(bytes) {
        // Some shells look up a command where a word begins with `=`.
        Ok(text) if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) => {
            text.to_owned()
        }
        _ => in_quotes(bytes),
    }
}

/// A path as a word of a command. One that may be taken for something else is written with the folder that it lies in:
/// `birth` may be the name of an experiment and `-x` an option, `./birth` and `./-x` are what is in this folder.
pub fn path(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let is_bare = path.components().count() == 1 && !path.starts_with(".");
    let is_option = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    if path.is_relative() && (is_bare || is_option) {
        return word(Path::new(".").join(path));
    }
    word(path)
}

/// Text in quotes, whatever is in it: blanks at its ends are seen.
pub fn quoted(text: &str) -> String {
    in_quotes(text.as_bytes())
}

/// Signs that no shell does anything with.
fn is_plain(c: char) -> bool {
    (c.is_alphanumeric() || "_./-+:,@%=".contains(c)) && !is_hidden(c)
}

fn in_quotes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_hidden) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{}'", bytes.utf8_chunks().map(|chunk| escaped(&chunk)).collect::<String>()),
    }
}

/// Text and what follows it that is none, as between `$'` and `'`.
fn escaped(chunk: &std::str::Utf8Chunk<'_>) -> String {
    let mut out = String::new();
    for c in chunk.valid().chars() {
        match c {
            '\n' => out.push_str(r"\n"),
            '\t' => out.push_str(r"\t"),
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_hidden(c) => out.push_str(&by_number(c.encode_utf8(&mut [0; 4]).as_bytes())),
            c => out.push(c),
        }
    }
    out + &by_number(chunk.invalid())
}

/// In octal: three digits each, so that a digit may follow.
fn by_number(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}
