//! Memory of a long run: 256 MB in all, whatever its length. `docs/recording.md` says what takes which part. And what sizes
//! are taken at their word when someone else wrote them.

/// All of it.
pub const MEMORY_BYTES: usize = 256 << 20;
/// Rows of metrics of all runs together.
pub const ROWS_BYTES: usize = MEMORY_BYTES / 4;
/// Recorded weights that were asked for lately.
pub const WEIGHTS_BYTES: usize = MEMORY_BYTES / 4;
/// Where each tensor of each recorded step lies. It is known twice: to who writes a run and to who examines it.
pub const INDEX_BYTES: usize = MEMORY_BYTES / 8;

/// Layers, and attention heads of one, of the largest network.
pub const MOST_LAYERS: usize = 64;
pub const MOST_HEADS: usize = 64;
/// Width of its residual stream.
pub const MOST_WIDTH: usize = 8192;
/// Positions of its longest sequence.
pub const MOST_CONTEXT: usize = 4096;
/// Tokens of its vocabulary.
pub const MOST_VOCAB: usize = 1 << 19;
/// Numbers of a network, or of one recorded step of it. Gradients, moments and copies take several times that.
pub const NETWORK_BYTES: u64 = 2 << 30;
/// What one forward and backward pass may keep.
pub const PASS_BYTES: u64 = 8 << 30;
/// Steps of the longest run: a thousand a second for nine thousand years.
pub const MOST_STEP: u64 = 1 << 48;
