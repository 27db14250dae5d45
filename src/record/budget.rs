//! Memory of a long run: 256 MB in all, whatever its length. `docs/recording.md` says what takes which part.

/// All of it.
pub const MEMORY_BYTES: usize = 256 << 20;
/// Rows of metrics of all runs together.
pub const ROWS_BYTES: usize = MEMORY_BYTES / 4;
/// Recorded weights that were asked for lately.
pub const WEIGHTS_BYTES: usize = MEMORY_BYTES / 4;
/// Where each tensor of each recorded step lies. It is known twice: to who writes a run and to who examines it.
pub const INDEX_BYTES: usize = MEMORY_BYTES / 8;
