//! Counterfactual pairs: one token of an earlier tuple (or of the one that is asked about) is another, and the first answer
//! that changes with it is looked at.

use rand_chacha::ChaCha8Rng;

use super::ReferenceBackSource;
use super::draw::Cast;
use super::memory::Item;
use super::words::{TUPLE, Word};
use crate::base::pair::{Pair, PairKind};
use crate::task::chance::{below, stream};

/// Kinds that make sense with a single register come first.
pub const OF_ONE_REGISTER: usize = 3;

/// All kinds; the conditions of each are in a table in `docs/tasks.md`.
pub const KINDS: [PairKind; 6] = [
    PairKind {
        name: "deny",
        about: "The Store that fills the register of the read becomes Ignore: the register keeps what it held before, and the answer changes. The null control patches queries or values with the same pairs.",
    },
    PairKind {
        name: "admit",
        about: "An Ignore after the Store that fills the register of the read becomes Store: its symbol replaces the stored one, and the answer changes.",
    },
    PairKind {
        name: "content",
        about: "The symbol that was stored is another one, and the answer changes: a control, for which what is stored matters and not whether or where.",
    },
    PairKind {
        name: "role",
        about: "The register of a Store becomes another one: its symbol is found there, the first register keeps what it held before, and the answers of reads of both change.",
    },
    PairKind {
        name: "output",
        about: "The register of the read itself becomes another one that holds another symbol, and the answer changes.",
    },
    PairKind {
        name: "specificity",
        about: "As deny, but the read is of another register: nothing that has been answered so far changes, nor does this answer.",
    },
];

/// Sequences that are tried for one pair: where pairs exist at all, hundreds are enough.
const ATTEMPTS: usize = 4096;

/// What becomes of one token of a tuple.
#[derive(Clone, Copy)]
enum Edit {
    Instruction(bool),
    Register(usize),
    Symbol(usize),
}

impl Edit {
    fn of(self, item: Item) -> Item {
        match self {
            Self::Instruction(store) => Item { store, ..item },
            Self::Register(register) => Item { register, ..item },
            Self::Symbol(symbol) => Item { symbol, ..item },
        }
    }

    fn word(self) -> Word {
        match self {
            Self::Instruction(store) => Word::Instruction(store),
            Self::Register(register) => Word::Register(register),
            Self::Symbol(symbol) => Word::Symbol(symbol),
        }
    }

    /// Which of instruction, register and symbol it changes.
    fn part(self) -> usize {
        match self {
            Self::Instruction(_) => 0,
            Self::Register(_) => 1,
            Self::Symbol(_) => 2,
        }
    }
}

/// A way in which a sequence may become a pair.
struct Plan {
    /// The tuple that is changed, and how.
    changed: usize,
    edit: Edit,
    /// Tuples whose answers must change, the one that is looked at first in order of time; each with the two symbols of
    /// which it must have one. None: the answer of `read` must not change.
    reads: Vec<(usize, [usize; 2])>,
    /// The tuple that is looked at.
    read: usize,
    /// Named tuples, whose `bound` positions become places of the pair.
    named: Vec<(&'static str, usize)>,
}

/// Pair `index` of a kind and a seed.
pub fn draw(source: &ReferenceBackSource, kind: &str, seed: u64, index: u64) -> Option<Pair> {
    let mut rng = stream(&format!("pair {kind}"), seed, index);
    (0..ATTEMPTS).find_map(|_| {
        let (cast, mut items) = source.draw(false, &mut rng);
        let plans = plans(kind, &items, &cast);
        if plans.is_empty() {
            return None;
        }
        let plan = &plans[below(plans.len(), &mut rng)];
        give_symbols(&mut items, plan, &cast, &mut rng)?;
        is_as_planned(source, &items, plan).then(|| pair(source, &items, plan))
    })
}

/// All ways in which a sequence may become a pair of a kind.
fn plans(kind: &str, items: &[Item], cast: &Cast) -> Vec<Plan> {
    let each: fn(&[Item], &Cast, usize) -> Vec<Plan> = match kind {
        "deny" => denials,
        "admit" => admissions,
        "content" => contents,
        "role" => roles,
        "output" => outputs,
        "specificity" => bystanders,
        _ => return Vec::new(),
    };
    (0..items.len()).flat_map(|at| each(items, cast, at)).collect()
}

/// The last tuple before `at` that stored in a register.
fn last_store(items: &[Item], register: usize, at: usize) -> Option<usize> {
    items[..at].iter().rposition(|item| item.store && item.register == register)
}

/// The last store before `at` in a register and the one before that, if their symbols differ.
fn last_two(items: &[Item], register: usize, at: usize) -> Option<(usize, usize)> {
    let store = last_store(items, register, at)?;
    let earlier = last_store(items, register, store)?;
    (items[store].symbol != items[earlier].symbol).then_some((store, earlier))
}

fn denials(items: &[Item], _cast: &Cast, read: usize) -> Vec<Plan> {
    let stores = last_two(items, items[read].register, read);
    let plan = |(store, earlier): (usize, usize)| Plan {
        changed: store,
        edit: Edit::Instruction(false),
        reads: vec![(read, [items[store].symbol, items[earlier].symbol])],
        read,
        named: vec![("store", store), ("earlier_store", earlier)],
    };
    stores.map(plan).into_iter().collect()
}

fn admissions(items: &[Item], _cast: &Cast, read: usize) -> Vec<Plan> {
    let register = items[read].register;
    let Some(store) = last_store(items, register, read) else { return Vec::new() };
    // After the last store there are only tuples that ignore.
    let ignored = (store + 1..read)
        .filter(|&m| items[m].register == register && items[m].symbol != items[store].symbol);
    let plan = |ignore: usize| Plan {
        changed: ignore,
        edit: Edit::Instruction(true),
        reads: vec![(read, [items[ignore].symbol, items[store].symbol])],
        read,
        named: vec![("ignore", ignore), ("store", store)],
    };
    ignored.map(plan).collect()
}

fn contents(items: &[Item], cast: &Cast, read: usize) -> Vec<Plan> {
    let register = items[read].register;
    let Some(store) = last_store(items, register, read) else { return Vec::new() };
    let symbol = items[store].symbol;
    let others = cast.symbols_of(register).iter().filter(|other| **other != symbol);
    let plan = |other: &usize| Plan {
        changed: store,
        edit: Edit::Symbol(*other),
        reads: vec![(read, [symbol, *other])],
        read,
        named: vec![("store", store)],
    };
    others.map(plan).collect()
}

/// `read` is that of the register that was stored in; the other read may come before or after it.
fn roles(items: &[Item], cast: &Cast, read: usize) -> Vec<Plan> {
    let register = items[read].register;
    let Some((store, earlier)) = last_two(items, register, read) else { return Vec::new() };
    let symbol = items[store].symbol;
    let mut found = Vec::new();
    for &other in cast.registers.iter().filter(|other| **other != register) {
        let Some(held) = last_store(items, other, store) else { continue };
        let differs = items[held].symbol != symbol;
        let reads_other =
            |j: &usize| items[*j].register == other && last_store(items, other, *j) == Some(held);
        for there in (store + 1..items.len()).filter(reads_other).filter(|_| differs) {
            let mut reads = vec![
                (read, [symbol, items[earlier].symbol]),
                (there, [symbol, items[held].symbol]),
            ];
            reads.sort_by_key(|(at, _)| *at);
            found.push(Plan {
                changed: store,
                edit: Edit::Register(other),
                read: read.min(there),
                named: vec![
                    ("store", store),
                    ("earlier_store", earlier),
                    ("other_store", held),
                    ("other_read", read.max(there)),
                ],
                reads,
            });
        }
    }
    found
}

fn outputs(items: &[Item], cast: &Cast, read: usize) -> Vec<Plan> {
    let register = items[read].register;
    let Some(store) = last_store(items, register, read) else { return Vec::new() };
    let others = cast.registers.iter().filter(|other| **other != register);
    let plan = |other: &usize| {
        let held = last_store(items, *other, read)?;
        (items[held].symbol != items[store].symbol).then(|| Plan {
            changed: read,
            edit: Edit::Register(*other),
            reads: vec![(read, [items[store].symbol, items[held].symbol])],
            read,
            named: vec![("store", store), ("other_store", held)],
        })
    };
    others.filter_map(plan).collect()
}

fn bystanders(items: &[Item], cast: &Cast, read: usize) -> Vec<Plan> {
    let register = items[read].register;
    let Some(held) = last_store(items, register, read) else { return Vec::new() };
    let others = cast.registers.iter().filter(|other| **other != register);
    let plan = |other: &usize| {
        let (store, earlier) = last_two(items, *other, read)?;
        Some(Plan {
            changed: store,
            edit: Edit::Instruction(false),
            reads: Vec::new(),
            read,
            named: vec![("store", store), ("earlier_store", earlier), ("other_store", held)],
        })
    };
    others.filter_map(plan).collect()
}

/// Gives each read one of the symbols it must have, of those that come with its register.
fn give_symbols(items: &mut [Item], plan: &Plan, cast: &Cast, rng: &mut ChaCha8Rng) -> Option<()> {
    for (at, symbols) in &plan.reads {
        let own = cast.symbols_of(items[*at].register);
        let fit: Vec<usize> = symbols.iter().copied().filter(|s| own.contains(s)).collect();
        if fit.is_empty() {
            return None;
        }
        items[*at].symbol = fit[below(fit.len(), rng)];
    }
    Some(())
}

/// Whether the answers change where they should, and none does before.
fn is_as_planned(source: &ReferenceBackSource, items: &[Item], plan: &Plan) -> bool {
    let mut edited = items.to_vec();
    edited[plan.changed] = plan.edit.of(items[plan.changed]);
    let answers: Vec<(bool, bool)> =
        source.answers(items).into_iter().zip(source.answers(&edited)).collect();
    let first = answers.iter().position(|(base, other)| base != other);
    if plan.reads.is_empty() {
        return first.is_none_or(|first| first > plan.read);
    }
    first == Some(plan.read) && plan.reads.iter().all(|(at, _)| answers[*at].0 != answers[*at].1)
}

fn pair(source: &ReferenceBackSource, items: &[Item], plan: &Plan) -> Pair {
    let places = source.text.words.places();
    let part = |tuple: usize, part: usize| TUPLE * tuple + places[part];
    let base = source.labelled(source.spelled(items));
    let mut tokens = base.tokens.clone();
    let changed = part(plan.changed, plan.edit.part());
    tokens[changed] = source.text.words.token(plan.edit.word());
    let other = source.labelled(tokens);
    let at = part(plan.read, 2);
    // A tuple is whole once its instruction, register and symbol have been read.
    let bound = |tuple: usize| part(tuple, 0).max(part(tuple, 2));
    let mut named = vec![("changed", changed), ("read", at)];
    named.extend(plan.named.iter().map(|(name, tuple)| match *name {
        "other_read" => (*name, part(*tuple, 2)),
        _ => (*name, bound(*tuple)),
    }));
    if matches!(plan.edit, Edit::Instruction(_)) {
        named.push(("instruction", changed));
    }
    Pair { answers: [base.targets[at], other.targets[at]], base, other, at, places: named }
}
