//! Which keys a query sees, as a rule: nothing of the size of a pattern is kept, and what the rule hides is skipped.

/// What a query sees besides the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sees {
    /// Itself and all before it: causal attention.
    #[default]
    Before,
    /// Those before it and not itself; the first, which has none before it, itself.
    Earlier,
    /// Itself and those before it, so many together.
    Window(usize),
    /// Itself and those before it in its own block of so many positions.
    Block(usize),
    /// Everything.
    All,
    /// All of its own block of so many positions, before and after.
    Together(usize),
    /// Tokens see themselves and those before them; the queries at the end are memory slots.
    Slots(Slots),
}

/// Memory slots: the last queries and keys. They see the tokens of their segment, whole, and each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    pub count: usize,
    /// Keys at the beginning that they do not see: a cache of the segments before.
    pub hidden: usize,
    /// The tokens see them too.
    pub shown: bool,
}

impl Slots {
    /// Places of the queries that see a key, where the slots begin at `begin`.
    fn queries_of(self, key: usize, begin: usize) -> (usize, usize) {
        if key >= begin {
            return (if self.shown { 0 } else { begin }, usize::MAX);
        }
        (key, if key < self.hidden { begin } else { usize::MAX })
    }
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
            Sees::Earlier => (0, at.max(1)),
            Sees::Window(count) => ((at + 1).saturating_sub(count), at + 1),
            Sees::Block(count) => (self.block_of(at, count), at + 1),
            Sees::All => (0, keys),
            // The memory is none of a block, and sees itself.
            Sees::Together(_) if at < self.memory => (0, self.memory.min(keys)),
            Sees::Together(count) => {
                let from = self.block_of(at, count);
                (from, from.saturating_add(count.max(1)).min(keys))
            }
            Sees::Slots(Slots { count, hidden, .. }) if at + count >= keys => (hidden, keys),
            // What lies between its own place and slots that it sees is hidden key by key.
            Sees::Slots(Slots { shown, .. }) => (0, if shown { keys } else { at + 1 }),
        }
    }

    /// Whether a query sees a key.
    pub fn shows(self, at: usize, key: usize, keys: usize) -> bool {
        let (from, to) = self.seen(at, keys);
        let later = |slots: Slots| at < key && at + slots.count < keys && key + slots.count < keys;
        let hidden = matches!(self.sees, Sees::Slots(slots) if later(slots));
        key < self.memory || ((from..to).contains(&key) && !hidden)
    }

    /// Of `count` queries from the place `at` on, the first that sees a key, and one past the last; there are `keys`.
    fn queries_of(self, key: usize, at: usize, count: usize, keys: usize) -> (usize, usize) {
        if key < self.memory {
            return (0, count);
        }
        let (first, last) = match self.sees {
            Sees::All => return (0, count),
            Sees::Before => (key, usize::MAX),
            Sees::Earlier => (if key == 0 { 0 } else { key + 1 }, usize::MAX),
            Sees::Window(keys) => (key, key.saturating_add(keys)),
            Sees::Block(keys) => (key, self.block_of(key, keys).saturating_add(keys.max(1))),
            Sees::Together(keys) => {
                let from = self.block_of(key, keys);
                (from, from.saturating_add(keys.max(1)))
            }
            Sees::Slots(slots) => slots.queries_of(key, keys.saturating_sub(slots.count)),
        };
        let within = |place: usize| place.saturating_sub(at).min(count);
        (within(first), within(last))
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
        // Slots, the last of the queries, may see fewer of the first keys than the queries before them.
        let ((first, _), (last, high)) = (self.seen(at, keys), self.seen(at + count - 1, keys));
        let low = first.min(last);
        let together = self.memory >= low;
        let (memory, low) = if together { (0, 0) } else { (self.memory, low) };
        let high = if together { high.max(self.memory.min(keys)) } else { high };
        let is_causal = self == Self::default();
        Rows { mask: self, at, memory, low, high, keys, is_causal }
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
    /// All that there are.
    keys: usize,
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
        self.mask.queries_of(key, self.at, count, self.keys)
    }
}
