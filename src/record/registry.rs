//! Kinds by name: a flat hand-written slice that menus, help, documentation and tests all walk.

use super::error::{Error, Result, did_you_mean};

/// One kind of thing: its name and how to make one with default settings.
pub struct Entry<T: ?Sized + 'static> {
    pub name: &'static str,
    pub make: fn() -> Box<T>,
}

/// Makes the kind called `name`, or says which names there are.
///
/// # Errors
/// When no entry has that name; the sentence lists the nearest names and all of them.
pub fn find<T: ?Sized>(what: &str, entries: &[Entry<T>], name: &str) -> Result<Box<T>> {
    if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
        return Ok((entry.make)());
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    Err(Error::usage(format!(
        "there is no {what} called \"{name}\".{} Known: {}.",
        did_you_mean(name, names.iter().copied()),
        names.join(", ")
    )))
}
