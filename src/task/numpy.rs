//! The random numbers of numpy's `default_rng`, bit for bit: what a published generator drew can be drawn again.
//!
//! PCG64 (O'Neill 2014, the variant XSL-RR) seeded through a `SeedSequence`; whole numbers by Lemire 2019, shuffles by
//! masked rejection.

use crate::base::convert::{id, low_half, low_word};

/// Numpy's default generator.
#[derive(Clone, Debug)]
pub struct Numpy {
    state: u128,
    increment: u128,
    /// The upper half of a number whose lower half was given out.
    half: Option<u32>,
}

/// O'Neill's multiplier for 128 bits of state.
const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;

impl Numpy {
    /// `default_rng(seed)`.
    pub fn new(seed: u128) -> Self {
        let words = seed_words(seed);
        let wide = |i: usize| u128::from(words[i]) << 64 | u128::from(words[i + 1]);
        let mut rng = Self { state: 0, increment: wide(2) << 1 | 1, half: None };
        rng.step();
        rng.state = rng.state.wrapping_add(wide(0));
        rng.step();
        rng
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let (high, low) = ((self.state >> 64) as u64, low_word(self.state));
        (high ^ low).rotate_right((high >> 58) as u32)
    }

    pub fn next_u32(&mut self) -> u32 {
        if let Some(high) = self.half.take() {
            return high;
        }
        let whole = self.next_u64();
        self.half = Some((whole >> 32) as u32);
        low_half(whole)
    }

    /// `integers(count)`, even over `0..count`; also what `choice` draws an index with. A choice of one draws nothing.
    pub fn below(&mut self, count: u32) -> u32 {
        if count <= 1 {
            return 0;
        }
        let mut product = u64::from(self.next_u32()) * u64::from(count);
        if low_half(product) < count {
            let threshold = count.wrapping_neg() % count;
            while low_half(product) < threshold {
                product = u64::from(self.next_u32()) * u64::from(count);
            }
        }
        (product >> 32) as u32
    }

    /// `integers(from, to)`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(id(to.saturating_sub(from))) as usize
    }

    /// One of `items`, removed.
    pub fn take<T>(&mut self, items: &mut Vec<T>) -> Option<T> {
        let at = self.between(0, items.len());
        (at < items.len()).then(|| items.remove(at))
    }

    /// `shuffle` of a list.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let mask = u32::MAX >> id(last).leading_zeros();
            let drawn = loop {
                let drawn = self.next_u32() & mask;
                if drawn as usize <= last {
                    break drawn;
                }
            };
            items.swap(last, drawn as usize);
        }
    }
}

/// Words in the pool of a seed sequence.
const POOL: usize = 4;

/// `SeedSequence(seed).generate_state(4, uint64)` of at most 128 bits of entropy. The constants are numpy's.
fn seed_words(seed: u128) -> [u64; 4] {
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    // Absent words hash as zeros.
    let mut pool: [u32; POOL] =
        std::array::from_fn(|i| hash.of(low_half(low_word(seed >> (32 * i)))));
    for from in 0..POOL {
        for to in (0..POOL).filter(|to| *to != from) {
            pool[to] = mix(pool[to], hash.of(pool[from]));
        }
    }
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    std::array::from_fn(|i| {
        let [low, high] = [2 * i, 2 * i + 1].map(|j| u64::from(hash.of(pool[j % POOL])));
        high << 32 | low
    })
}

/// A hash whose constant moves on with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn of(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = 0xca01_f9dd_u32.wrapping_mul(x).wrapping_sub(0x4973_f715_u32.wrapping_mul(y));
    mixed ^ mixed >> 16
}
