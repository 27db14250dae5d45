//! Fields and rooms that several parts of the window have: numbers and texts that refuse in a sentence, lists that scroll.

pub mod entry;
pub mod scroll;
