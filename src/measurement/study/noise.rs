//! Gaussian noise as NumPy's `RandomState(seed).randn` draws it, number by number: published code draws its noise so.

use crate::base::convert::low_half;

const SIZE: usize = 624;
const SHIFT: usize = 397;

/// The Mersenne twister MT19937 with NumPy's seeding by one number, and the polar method behind it.
pub struct Noise {
    state: [u32; SIZE],
    next: usize,
    /// The second number of a pair.
    kept: Option<f64>,
}

impl Noise {
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; SIZE];
        for at in 1..SIZE {
            let before = state[at - 1];
            let mixed = (before ^ (before >> 30)).wrapping_mul(1_812_433_253);
            state[at] = mixed.wrapping_add(low_half(at as u64));
        }
        Self { state, next: SIZE, kept: None }
    }

    fn refill(&mut self) {
        for at in 0..SIZE {
            let upper = self.state[at] & 0x8000_0000;
            let both = upper | (self.state[(at + 1) % SIZE] & 0x7fff_ffff);
            let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + SHIFT) % SIZE] ^ (both >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == SIZE {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Evenly from -1 to 1, out of 53 bits.
    fn even(&mut self) -> f64 {
        let (high, low) = (f64::from(self.word() >> 5), f64::from(self.word() >> 6));
        2.0 * (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0 - 1.0
    }

    /// The next number, of mean 0 and variance 1.
    pub fn gauss(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        loop {
            let (x, y) = (self.even(), self.even());
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.kept = Some(factor * x);
                return factor * y;
            }
        }
    }
}
