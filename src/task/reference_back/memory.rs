//! The state that tuples are answered from, and what can be answered without it.

/// What a tuple says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub store: bool,
    pub register: usize,
    pub symbol: usize,
}

/// What a symbol is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// What its register holds.
    Register,
    /// The symbol that was stored so many stores ago, in whatever register.
    StoresAgo(usize),
}

/// All that has been stored so far.
pub struct Memory {
    compared: Compared,
    /// For each register, the last of `stores` that filled it.
    cells: Vec<Option<usize>>,
    /// Tuple, register and symbol of every store, in order.
    stores: Vec<Stored>,
    tuples: usize,
}

/// A symbol that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Number of the tuple that did.
    pub tuple: usize,
    pub register: usize,
    pub symbol: usize,
}

impl Memory {
    pub fn new(compared: Compared, registers: usize) -> Self {
        Self { compared, cells: vec![None; registers], stores: Vec::new(), tuples: 0 }
    }

    /// What a symbol that comes with `register` now is compared with; `None`: nothing yet.
    pub fn reference(&self, register: usize) -> Option<Stored> {
        match self.compared {
            Compared::Register => self.cells[register].map(|store| self.stores[store]),
            Compared::StoresAgo(back) => self.stored_ago(back),
        }
    }

    /// What was stored `back` stores ago, 1 being the last.
    pub fn stored_ago(&self, back: usize) -> Option<Stored> {
        self.stores.len().checked_sub(back).and_then(|at| self.stores.get(at)).copied()
    }

    /// How many symbols have been stored.
    pub fn stores(&self) -> usize {
        self.stores.len()
    }

    /// Updates the state, after the comparison: a tuple that does not store changes nothing.
    pub fn pass(&mut self, item: Item) {
        if item.store {
            let Item { register, symbol, .. } = item;
            self.cells[register] = Some(self.stores.len());
            self.stores.push(Stored { tuple: self.tuples, register, symbol });
        }
        self.tuples += 1;
    }

    /// For each register, the tuple that stored what it holds.
    pub fn contents(&self) -> Vec<Option<usize>> {
        self.cells.iter().map(|cell| cell.map(|store| self.stores[store].tuple)).collect()
    }
}

/// The right answers, whether the same, of tuples from an empty state on.
pub fn answers(items: &[Item], compared: Compared, registers: usize) -> Vec<bool> {
    let mut memory = Memory::new(compared, registers);
    let each = items.iter().map(|item| {
        let same = memory.reference(item.register).is_some_and(|r| r.symbol == item.symbol);
        memory.pass(*item);
        same
    });
    each.collect()
}

/// What answers would be if one looked at the tuples of this register without minding what is kept: each takes "same" for
/// the answer where it finds the symbol. In order: in any of them; in the last of them, stored or not; in any that stored.
pub fn shortcuts(before: &[Item], now: Item) -> [bool; 3] {
    let found = |item: &Item| item.symbol == now.symbol;
    let mut here = before.iter().filter(|item| item.register == now.register);
    [
        here.clone().any(found),
        here.clone().next_back().is_some_and(found),
        here.any(|item| item.store && found(item)),
    ]
}
