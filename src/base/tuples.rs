//! A sequence of the reference-back task as the tuples it is made of, with what every register holds over time.

/// The tuples of a sequence, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuples {
    /// Registers of the task.
    pub registers: usize,
    pub list: Vec<Tuple>,
}

/// One tuple: what it says, where it stands, what is right and what is remembered after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Whether its symbol is stored; `None` where the instruction is missing, so that nothing is stored.
    pub store: Option<bool>,
    /// Number of the register, from 0.
    pub register: usize,
    /// Number of the symbol, from 0.
    pub symbol: usize,
    /// The right answer: whether the symbol is the one it is compared with.
    pub same: bool,
    /// The earlier tuple that stored what the symbol is compared with; `None`: there is nothing yet.
    pub source: Option<usize>,
    /// For each register, the tuple that stored what it holds after this one; `None`: empty.
    pub contents: Vec<Option<usize>>,
    /// Position of the instruction.
    pub instruction_at: Option<usize>,
    pub register_at: usize,
    /// Position of the symbol, where the answer is predicted.
    pub symbol_at: usize,
    /// Position of the answer.
    pub answer_at: Option<usize>,
}

/// What one token of a tuple says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMeaning {
    /// Whether to store.
    Instruction(bool),
    /// Number of a register, from 0.
    Register(usize),
    /// Number of a symbol, from 0.
    Symbol(usize),
    /// Whether the same.
    Answer(bool),
}

impl Tuple {
    /// The first position at which instruction, register and symbol have all been read.
    pub fn bound_at(&self) -> usize {
        self.instruction_at.map_or(self.symbol_at, |at| at.max(self.symbol_at))
    }
}

impl Tuples {
    /// Number of the symbol that a tuple is compared with; `None`: there is nothing yet.
    pub fn compared(&self, tuple: usize) -> Option<usize> {
        let source = self.list.get(tuple)?.source?;
        self.list.get(source).map(|source| source.symbol)
    }

    /// The tuple that a position belongs to: the last one that begins at or before it.
    pub fn at(&self, position: usize) -> Option<usize> {
        let begins =
            |tuple: &Tuple| tuple.instruction_at.unwrap_or(usize::MAX).min(tuple.register_at);
        self.list.iter().rposition(|tuple| begins(tuple) <= position)
    }

    /// Number of the symbol that a register holds after a tuple; `None`: empty.
    pub fn held(&self, after: usize, register: usize) -> Option<usize> {
        let stored_by = (*self.list.get(after)?.contents.get(register)?)?;
        self.list.get(stored_by).map(|tuple| tuple.symbol)
    }
}
