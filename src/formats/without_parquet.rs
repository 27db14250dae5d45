//! What stands for Parquet files in a program that was built without them.

use super::columns::Columns;
use crate::base::error::{Error, Result};

/// # Errors
/// Always.
pub fn parquet(_columns: &Columns, _notes: &[(&str, String)]) -> Result<Vec<u8>> {
    Err(Error::usage(
        "this program was built without Parquet (the Cargo feature parquet); write CSV, or build it with its default features",
    ))
}
