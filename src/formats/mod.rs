//! Files of other programs: what is written for them, and what is recognised as theirs.

pub mod columns;
pub mod file;
pub mod foreign;
pub mod npz;
pub mod tfevents;
