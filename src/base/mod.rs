//! Ground floor: what everything is said in, as plain data. Knows no other floor.

pub mod analysis;
pub mod array;
pub mod batch;
pub mod budget;
pub mod convert;
pub mod documents;
pub mod error;
pub mod event;
pub mod glossary;
pub mod in_words;
pub mod intervention;
pub mod json;
pub mod label;
pub mod number;
pub mod pair;
pub mod plain;
pub mod prompt;
pub mod question;
pub mod quoting;
pub mod registry;
pub mod settings;
pub mod study;
pub mod tree;
pub mod tuples;
pub mod vocab;
pub mod weights;
