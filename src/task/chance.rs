//! How tasks draw: generators that are keyed by what is drawn, and what is drawn with them.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::base::convert;

/// `count` of `from`, without replacement, in the order in which they were drawn.
pub fn choose<T>(mut from: Vec<T>, count: usize, rng: &mut ChaCha8Rng) -> Vec<T> {
    for at in 0..count.min(from.len()) {
        let other = at + below(from.len() - at, rng);
        from.swap(at, other);
    }
    from.truncate(count);
    from
}

/// Evenly one of `0..count`.
pub fn below(count: usize, rng: &mut ChaCha8Rng) -> usize {
    convert::share(rng.next_u64(), count)
}

/// Whether something of this probability happens.
pub fn chance(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    // 53 bits: the numbers from 0 to 1 that are a multiple of 2^-53.
    ((rng.next_u64() >> 11) as f64) < probability * (1u64 << 53) as f64
}

/// From 0 to 1, both excluded.
pub fn open_unit(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// N(0, 1), by the method of Box and Muller.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, turn) = (open_unit(rng), open_unit(rng));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

/// The generator of one thing, keyed by what it is (16 letters at most), a seed and an index, so that things can be drawn in
/// any order and on any thread.
pub fn stream(what: &str, seed: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    for (byte, letter) in key[16..].iter_mut().zip(what.bytes()) {
        *byte = letter;
    }
    ChaCha8Rng::from_seed(key)
}
