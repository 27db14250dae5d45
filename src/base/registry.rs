//! Kinds by name: a flat hand-written slice that menus, help, documentation and tests all walk.

use crate::base::error::{Error, Result, did_you_mean};

/// One kind of thing: its name and how to make one with default settings.
pub struct Entry<T: ?Sized + 'static> {
    pub name: &'static str,
    pub make: fn() -> Box<T>,
}

/// A row of a registry: an [`Entry`], or one that says more.
pub trait Named {
    type Made: ?Sized;
    fn name(&self) -> &'static str;
    /// One with default settings.
    fn make(&self) -> Box<Self::Made>;
}

impl<T: ?Sized> Named for Entry<T> {
    type Made = T;

    fn name(&self) -> &'static str {
        self.name
    }

    fn make(&self) -> Box<T> {
        (self.make)()
    }
}

/// The row called `name`, or which names there are.
///
/// # Errors
/// When no row has that name; the sentence lists the nearest names and all of them.
pub fn row<'a, R: Named>(what: &str, rows: &'a [R], name: &str) -> Result<&'a R> {
    rows.iter().find(|row| row.name() == name).ok_or_else(|| {
        let names: Vec<&str> = rows.iter().map(R::name).collect();
        Error::usage(format!(
            "there is no {what} called \"{name}\".{} Known: {}.",
            did_you_mean(name, names.iter().copied()),
            names.join(", ")
        ))
    })
}

/// Makes the kind called `name`, or says which names there are.
pub fn find<R: Named>(what: &str, rows: &[R], name: &str) -> Result<Box<R::Made>> {
    row(what, rows, name).map(R::make)
}
