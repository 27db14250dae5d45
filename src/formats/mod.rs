//! Files of other programs: what is written for them, what is read of theirs, and what is recognised as theirs.

pub mod columns;
pub mod file;
pub mod foreign;
pub mod npz;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(not(feature = "parquet"))]
#[path = "without_parquet.rs"]
pub mod parquet;
pub mod prompts;
pub mod safetensors;
pub mod tfevents;
pub mod tokenizer;
