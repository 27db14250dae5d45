//! How the symbols of a sequence are drawn.

use rand_chacha::ChaCha8Rng;

use super::machine::Machine;
use super::{Automaton, Kind};
use crate::task::chance::{below, chance};

/// The share of `abab` sequences that are right on purpose: by chance hardly one is.
const RIGHT: f64 = 0.25;

/// The actions of one sequence, as the authors of each machine draw them.
pub fn actions(settings: &Automaton, machine: &Machine, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let (length, count) = (settings.length, machine.actions.len());
    match settings.machine {
        Kind::Abab if chance(RIGHT, rng) => (0..length).map(|at| at % 2).collect(),
        Kind::Parity
        | Kind::Cyclic
        | Kind::Gridworld
        | Kind::Dihedral
        | Kind::Quaternion
        | Kind::Symmetric
        | Kind::Alternating
        | Kind::Abab
        | Kind::Table => (0..length).map(|_| one(settings.ones, count, rng)).collect(),
        Kind::FlipFlop => (0..length).map(|_| read_or_write(count, rng)).collect(),
        // Bits are independent, so sums of them are drawn evenly; the last symbol leaves room for what is carried.
        Kind::Adder => (1..length).map(|_| below(count, rng)).chain([0]).collect(),
        Kind::Dyck => brackets(machine, length, rng),
    }
}

/// Evenly one of the actions; of two, the second with a probability.
fn one(ones: f64, count: usize, rng: &mut ChaCha8Rng) -> usize {
    if count == 2 { usize::from(chance(ones, rng)) } else { below(count, rng) }
}

/// Action 0, which reads, in half of all cases.
fn read_or_write(count: usize, rng: &mut ChaCha8Rng) -> usize {
    if chance(0.5, rng) { 0 } else { 1 + below(count - 1, rng) }
}

/// Evenly one of the brackets that may come next, again and again.
fn brackets(machine: &Machine, length: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut state = machine.start;
    let draw = |_| {
        let next = &machine.next[state];
        let legal: Vec<usize> = (0..next.len()).filter(|a| next[*a] != dead(machine)).collect();
        let action = legal[below(legal.len(), rng)];
        state = next[action];
        action
    };
    (0..length).map(draw).collect()
}

/// The state of brackets that do not match.
fn dead(machine: &Machine) -> usize {
    machine.states.len() - 1
}

/// Whether a sequence could have been drawn.
pub fn is_drawn(settings: &Automaton, machine: &Machine, actions: &[usize]) -> bool {
    match settings.machine {
        Kind::Adder => actions.last() == Some(&0),
        Kind::Dyck => machine.run(actions).last() != Some(&dead(machine)),
        Kind::Parity
        | Kind::Cyclic
        | Kind::Gridworld
        | Kind::FlipFlop
        | Kind::Dihedral
        | Kind::Quaternion
        | Kind::Symmetric
        | Kind::Alternating
        | Kind::Abab
        | Kind::Table => true,
    }
}
