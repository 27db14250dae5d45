//! Which keys a query sees, as a rule: nothing of the size of a pattern is kept, and what the rule hides is skipped.

/// What a query sees besides the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sees {
    /// Itself and all before it: causal attention.
    #[default]
    Before,
    /// Itself and those before it, so many together.
    Window(usize),
    /// Itself and those before it in its own block of so many positions.
    Block(usize),
    /// Everything.
    All,
}

/// A rule for all queries. Places are counted in keys; queries stand at the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Keys at the beginning that every query sees: memory tokens.
    pub memory: usize,
    pub sees: Sees,
}

impl Mask {
    /// First of the keys that a query at the place `at` sees besides the memory, and one past the last, of `keys`.
    pub fn seen(self, at: usize, keys: usize) -> (usize, usize) {
        match self.sees {
            Sees::Before => (0, at + 1),
            Sees::Window(count) => ((at + 1).saturating_sub(count), at + 1),
            Sees::Block(count) => (self.block_of(at, count), at + 1),
            Sees::All => (0, keys),
        }
    }

    /// Whether a query sees a key.
    pub fn shows(self, at: usize, key: usize, keys: usize) -> bool {
        let (from, to) = self.seen(at, keys);
        key < self.memory || (from..to).contains(&key)
    }

    /// Of `count` queries from the place `at` on, the first that sees a key, and one past the last.
    fn queries_of(self, key: usize, at: usize, count: usize) -> (usize, usize) {
        if key < self.memory {
            return (0, count);
        }
        let last = match self.sees {
            Sees::All => return (0, count),
            Sees::Before => usize::MAX,
            Sees::Window(keys) => key.saturating_add(keys),
            Sees::Block(keys) => self.block_of(key, keys).saturating_add(keys.max(1)),
        };
        let within = |place: usize| place.saturating_sub(at).min(count);
        (within(key), within(last))
    }

    /// Where the block of a place begins; the memory is none of a block.
    fn block_of(self, at: usize, count: usize) -> usize {
        match at.checked_sub(self.memory) {
            Some(place) => self.memory + place / count.max(1) * count.max(1),
            None => 0,
        }
    }

    /// The keys that any of `count` queries from the place `at` on sees.
    pub fn rows(self, at: usize, count: usize, keys: usize) -> Rows {
        let ((low, _), (_, high)) = (self.seen(at, keys), self.seen(at + count - 1, keys));
        let together = self.memory >= low;
        let (memory, low) = if together { (0, 0) } else { (self.memory, low) };
        let high = if together { high.max(self.memory.min(keys)) } else { high };
        let is_causal = self == Self::default();
        Rows { mask: self, at, memory, low, high, is_causal }
    }
}

/// The keys that a block of queries sees, as rows of its scores: memory first, then `low..high`.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    mask: Mask,
    /// Place of the first query.
    at: usize,
    /// Keys of the memory that are not among the others.
    memory: usize,
    low: usize,
    high: usize,
    /// Causal attention without memory: asked of every row, so it is known before.
    is_causal: bool,
}

impl Rows {
    pub fn count(self) -> usize {
        self.memory + self.high - self.low
    }

    /// First row, first key and number of keys of what lies together.
    pub fn spans(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let spans = [(0, 0, self.memory), (self.memory, self.low, self.high - self.low)];
        spans.into_iter().filter(|(.., count)| *count > 0)
    }

    /// Of `count` queries the first that sees the key of a row, and one past the last.
    #[inline(always)]
    pub fn queries(self, row: usize, count: usize) -> (usize, usize) {
        if self.is_causal {
            return (row.saturating_sub(self.at).min(count), count);
        }
        let key = if row < self.memory { row } else { self.low + row - self.memory };
        self.mask.queries_of(key, self.at, count)
    }
}
