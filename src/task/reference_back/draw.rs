//! How sequences of the reference-back task are drawn.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::memory::{Item, Memory};
use super::{ReferenceBack, RegisterChoice, SymbolSet};
use crate::base::convert;
use crate::task::chance::{below, chance, choose, stream};

/// The registers and symbols of one sequence.
pub struct Cast {
    pub registers: Vec<usize>,
    /// The symbols that come with each of them: all the same ones, or under split sets its own.
    pub symbols: Vec<Vec<usize>>,
}

impl Cast {
    /// The symbols that come with a register; none for one that is not of this sequence.
    pub fn symbols_of(&self, register: usize) -> &[usize] {
        let number = self.registers.iter().position(|r| *r == register);
        number.map_or(&[], |number| &self.symbols[number])
    }
}

/// Draws the registers and symbols of a sequence that has `concurrent` of the first `registers` registers.
pub fn cast(
    settings: &ReferenceBack,
    registers: usize,
    concurrent: usize,
    rng: &mut ChaCha8Rng,
) -> Cast {
    let mut chosen = choose((0..registers).collect(), concurrent, rng);
    let distinct = settings.distinct;
    if settings.symbol_set == SymbolSet::Split {
        // In order: where all registers take part, a symbol comes with the same register in every sequence.
        chosen.sort_unstable();
        let range = settings.symbols / concurrent;
        let own = |k: usize| (k * range..(k + 1) * range).collect();
        let draw = |k| choose(own(k), distinct / concurrent, rng);
        return Cast { symbols: (0..concurrent).map(draw).collect(), registers: chosen };
    }
    let symbols = choose(allowed(settings, &chosen), distinct, rng);
    Cast { symbols: vec![symbols; concurrent], registers: chosen }
}

/// The symbols that a sequence with these registers may have.
pub fn allowed(settings: &ReferenceBack, registers: &[usize]) -> Vec<usize> {
    let all = 0..settings.symbols;
    let wanted = match settings.symbol_set {
        SymbolSet::Shared | SymbolSet::Split => return all.collect(),
        SymbolSet::Train => false,
        SymbolSet::Challenge => true,
    };
    let mut held_out = vec![false; settings.symbols];
    for &register in registers {
        for symbol in held_out_of(settings, register) {
            held_out[symbol] = true;
        }
    }
    all.filter(|symbol| held_out[*symbol] == wanted).collect()
}

/// The symbols that training never shows together with a register: they depend on the settings alone.
fn held_out_of(settings: &ReferenceBack, register: usize) -> Vec<usize> {
    let mut rng = stream("held out", 0, register as u64);
    choose((0..settings.symbols).collect(), settings.held_out, &mut rng)
}

/// Draws the tuples of a sequence.
pub fn items(settings: &ReferenceBack, cast: &Cast, rng: &mut ChaCha8Rng) -> Vec<Item> {
    let mut memory = Memory::new(settings.compared(), settings.registers);
    let mut used = vec![false; cast.registers.len()];
    let mut items = Vec::with_capacity(settings.tuples);
    for _ in 0..settings.tuples {
        let number = next_register(settings, cast, &memory, &used, rng);
        used[number] = true;
        let register = cast.registers[number];
        let reference = memory.reference(register).map(|r| r.symbol);
        let forced = settings.store_when_empty && reference.is_none();
        let store = forced || !chance(settings.ignore, rng);
        let symbol = match reference {
            Some(symbol) if chance(settings.same, rng) => symbol,
            _ => other_symbol(&cast.symbols[number], reference, rng),
        };
        let item = Item { store, register, symbol };
        memory.pass(item);
        items.push(item);
    }
    items
}

/// Which register of the cast comes next.
fn next_register(
    settings: &ReferenceBack,
    cast: &Cast,
    memory: &Memory,
    used: &[bool],
    rng: &mut ChaCha8Rng,
) -> usize {
    let count = cast.registers.len();
    if settings.warm_up && memory.stores() < settings.back {
        let fresh: Vec<usize> = (0..count).filter(|number| !used[*number]).collect();
        if !fresh.is_empty() {
            return fresh[below(fresh.len(), rng)];
        }
    }
    let congruent = match settings.register_choice {
        RegisterChoice::Uniform => None,
        RegisterChoice::Congruent => memory.stored_ago(settings.back),
    };
    let Some(stored) = congruent else { return below(count, rng) };
    let number = cast.registers.iter().position(|r| *r == stored.register).unwrap_or(0);
    if count == 1 || chance(settings.congruence, rng) {
        return number;
    }
    // Any other: those from `number` on move up by one.
    let other = below(count - 1, rng);
    other + usize::from(other >= number)
}

/// Any of the symbols but `without`.
fn other_symbol(symbols: &[usize], without: Option<usize>, rng: &mut ChaCha8Rng) -> usize {
    loop {
        let symbol = symbols[below(symbols.len(), rng)];
        if Some(symbol) != without {
            return symbol;
        }
    }
}

/// Which sequence of a pool of `pool` comes at `index`: every one of them once in each pass, in another order each time.
pub fn member(pool: u64, seed: u64, index: u64) -> u64 {
    let mut rng = stream("pool order", seed, index / pool);
    let factor = loop {
        let factor = 1 + rng.next_u64() % pool;
        if gcd(factor, pool) == 1 {
            break factor;
        }
    };
    let start = rng.next_u64() % pool;
    let place = u128::from(factor) * u128::from(index % pool) + u128::from(start);
    convert::low_word(place % u128::from(pool))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
