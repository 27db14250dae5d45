//! The arithmetic that a training step cannot do without, in floating-point operations.
//!
//! Counted are the multiplications and additions of matrix products, two for each pair, as the network defines them: the
//! causal half of attention, gradients of what is trained and of what lies between that and the loss, and nothing for
//! what is frozen. Not counted: exponentials, normalisation, activations, the update, and whatever is computed twice.

/// Sizes of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub batch: f64,
    pub context: f64,
    pub width: f64,
    pub vocab: f64,
}

impl Size {
    fn tokens(self) -> f64 {
        self.batch * self.context
    }

    /// Of one product of every position with a matrix of `inputs` by `outputs`.
    fn map(self, inputs: f64, outputs: f64) -> f64 {
        2.0 * self.tokens() * inputs * outputs
    }

    /// Of one product over all pairs of a position and one that it sees, of vectors as wide as the stream.
    fn pairs(self) -> f64 {
        self.tokens() * (self.context + 1.0) * self.width
    }
}

/// A training step of the simplified model (`birth`) with a linear feed-forward, trained in `W_K1`, `W_K2`, `W_O2` and
/// `W_F`.
///
/// Maps forward: `W_K1`, `W_K2`, `W_V2`, `W_O2`, `W_F`, unembedding; `W_O1 W_V1` is a table. Maps backward: inputs of the
/// unembedding, `W_F`, `W_O2`, `W_V2` and `W_K2`, and the gradients of `W_F`, `W_O2`, `W_K2` and `W_K1`. Pairs
/// forward: logits and values of both layers. Backward: of the pattern and the keys in the first; of pattern, values,
/// queries and keys in the second.
pub fn birth(size: Size) -> f64 {
    let square = size.map(size.width, size.width);
    let unembed = size.map(size.width, size.vocab);
    (5.0 + 8.0) * square + 2.0 * unembed + (4.0 + 6.0) * size.pairs()
}

/// A training step of the decoder of `layers` with an MLP of four times the width, everything trained.
///
/// Each map costs one product forward and two backward; each attention two products of pairs forward and four backward.
pub fn decoder(size: Size, layers: f64) -> f64 {
    let square = size.map(size.width, size.width);
    let unembed = size.map(size.width, size.vocab);
    3.0 * (layers * (4.0 + 8.0) * square + unembed) + layers * 6.0 * size.pairs()
}
