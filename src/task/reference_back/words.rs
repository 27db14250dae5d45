//! Tokens of the reference-back task: their ids, their order in a tuple, and how text is read as tuples.

use super::TokenOrder;
use crate::base::convert;
use crate::base::vocab::Vocab;

/// Positions of a tuple.
pub const TUPLE: usize = 4;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Whether to store.
    Instruction(bool),
    Register(usize),
    Symbol(usize),
    /// Whether the same; `None`: hidden.
    Answer(Option<bool>),
}

/// Ids: `Store` 0, `Ignore` 1, `same` 2, `different` 3, then the registers, then the symbols, then `mask` where answers are
/// masked.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    pub registers: usize,
    pub symbols: usize,
    pub masked: bool,
    pub order: TokenOrder,
}

const FIRST_REGISTER: u32 = 4;

/// A tuple as it stands in text, with positions; what may be missing is optional.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub store: Option<bool>,
    pub register: usize,
    pub symbol: usize,
    pub instruction_at: Option<usize>,
    pub register_at: usize,
    pub symbol_at: usize,
    pub answer_at: Option<usize>,
}

impl Words {
    pub fn vocab(self) -> Vocab {
        let fixed = ["Store", "Ignore", "same", "different"].map(str::to_owned);
        let registers = (0..self.registers).map(|i| format!("Reg{i}"));
        let symbols = (0..self.symbols).map(|i| format!("Sym{i}"));
        let mask = self.masked.then(|| "mask".to_owned());
        Vocab::of_words(fixed.into_iter().chain(registers).chain(symbols).chain(mask).collect())
    }

    pub fn token(self, word: Word) -> u32 {
        match word {
            Word::Instruction(store) => u32::from(!store),
            Word::Answer(Some(same)) => 2 + u32::from(!same),
            Word::Register(number) => FIRST_REGISTER + convert::id(number),
            Word::Symbol(number) => FIRST_REGISTER + convert::id(self.registers + number),
            Word::Answer(None) => FIRST_REGISTER + convert::id(self.registers + self.symbols),
        }
    }

    /// `None` for a token that is none of the vocabulary.
    pub fn word(self, token: u32) -> Option<Word> {
        match token {
            0 | 1 => return Some(Word::Instruction(token == 0)),
            2 | 3 => return Some(Word::Answer(Some(token == 2))),
            _ => {}
        }
        let number = (token - FIRST_REGISTER) as usize;
        if number < self.registers {
            return Some(Word::Register(number));
        }
        let number = number - self.registers;
        if number < self.symbols {
            return Some(Word::Symbol(number));
        }
        (self.masked && number == self.symbols).then_some(Word::Answer(None))
    }

    /// Positions of instruction, register, symbol and answer within a tuple.
    pub fn places(self) -> [usize; TUPLE] {
        match self.order {
            TokenOrder::InstructionFirst => [0, 1, 2, 3],
            TokenOrder::InstructionLast => [3, 0, 1, 2],
        }
    }

    /// Reads text as tuples. What is no tuple in the right order is passed over; at its end a tuple may lack what comes
    /// after the symbol.
    pub fn read(self, tokens: &[u32]) -> Vec<Read> {
        let word = |at: usize| tokens.get(at).and_then(|token| self.word(*token));
        let first = self.order == TokenOrder::InstructionFirst;
        let (mut found, mut at) = (Vec::with_capacity(tokens.len() / TUPLE), 0);
        while at < tokens.len() {
            let register_at = at + usize::from(first);
            let symbol_at = register_at + 1;
            let mut store = match word(at) {
                Some(Word::Instruction(store)) if first => Some(store),
                _ => None,
            };
            let both = (word(register_at), word(symbol_at));
            let (Some(Word::Register(register)), Some(Word::Symbol(symbol))) = both else {
                at += 1;
                continue;
            };
            if first && store.is_none() {
                at += 1;
                continue;
            }
            let mut instruction_at = first.then_some(at);
            at = symbol_at + 1;
            let answer_at = matches!(word(at), Some(Word::Answer(_))).then_some(at);
            at += usize::from(answer_at.is_some());
            if let Some(Word::Instruction(last)) = word(at).filter(|_| !first) {
                (store, instruction_at) = (Some(last), Some(at));
                at += 1;
            }
            let read =
                Read { store, register, symbol, instruction_at, register_at, symbol_at, answer_at };
            found.push(read);
        }
        found
    }
}
