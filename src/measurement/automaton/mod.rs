//! Machines found in hidden states: vectors in groups, what follows each group, and the smallest machine that says so (Hou and Zhou
//! 2018, arXiv 1810.10708).

mod groups;
mod moore;
mod strings;

use std::collections::{BTreeMap, BTreeSet};

pub use groups::Groups;
pub use moore::{Compared, Minimal, Moore};
pub use strings::Strings;

use super::read::Tally;
use crate::base::convert;
use crate::numeric::matching::matched;

/// What a network did on strings of one length, string by string.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walks {
    /// Numbers of a vector.
    pub dims: usize,
    /// Actions of a string.
    pub length: usize,
    /// `[string, action, dims]`: what stands in the network after each action.
    pub hidden: Vec<f32>,
    /// `[string, action]`: which action it is.
    pub actions: Vec<usize>,
    /// `[string, action]`: the token that the network tells after it.
    pub told: Vec<u32>,
    /// `[string, action]`: the token that is right.
    pub right: Vec<u32>,
}

impl Walks {
    /// Takes in more strings of the same length.
    pub fn append(&mut self, more: Self) {
        (self.dims, self.length) = (more.dims, more.length);
        self.hidden.extend(more.hidden);
        self.actions.extend(more.actions);
        self.told.extend(more.told);
        self.right.extend(more.right);
    }

    /// The actions of each string.
    fn strings(&self) -> impl Iterator<Item = &[usize]> {
        self.actions.chunks(self.length.max(1))
    }
}

/// A machine that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The smallest one.
    pub machine: Moore,
    /// The state that each group of vectors belongs to; `None` where it cannot be reached.
    pub state_of_group: Vec<Option<usize>>,
    /// `[state][action]`: how often it was seen.
    pub seen: Vec<Vec<usize>>,
    /// `[state][action]`: the share of these that lead where most do; NaN where it was never seen.
    pub certainty: Vec<Vec<f64>>,
    /// `[state]`: the share of its vectors at which the network tells what is told of it; NaN of a start without any.
    pub purity: Vec<f64>,
    /// The share of all transitions between groups that lead where most of their group do with their action.
    pub determinism: f64,
}

/// How often something was seen, by what leads to it.
type Counts = BTreeMap<(usize, usize), BTreeMap<usize, usize>>;

/// What follows vectors of `groups` groups, of `actions` actions. `of` says the group of each vector. The start is the group
/// after the last, which no vector is in.
///
/// # Panics
/// When there are not as many groups as vectors, or an action or a group is none.
pub fn found(walks: &Walks, of: &[usize], groups: usize, actions: usize) -> Found {
    let counts = counts(walks, of, groups);
    let labels = labels(walks, of, groups);
    let next = |group: usize| -> Vec<Option<usize>> {
        let most = |action| counts.get(&(group, action)).and_then(largest);
        (0..actions).map(most).collect()
    };
    let whole = Moore {
        start: groups,
        next: (0..=groups).map(next).collect(),
        told: labels.iter().map(|labels| largest(labels).map(convert::id)).collect(),
    };
    let Minimal { machine, state } = whole.minimised();
    let (seen, certainty) = shares(&counts, &machine, &state);
    let most: usize = counts.values().filter_map(|next| next.values().max()).sum();
    let all: usize = counts.values().flat_map(BTreeMap::values).sum();
    Found {
        purity: purity(&labels, &machine, &state),
        machine,
        state_of_group: state,
        seen,
        certainty,
        determinism: most as f64 / all as f64,
    }
}

fn counts(walks: &Walks, of: &[usize], start: usize) -> Counts {
    let mut counts = Counts::new();
    for (actions, groups) in walks.strings().zip(of.chunks(walks.length.max(1))) {
        let before = [start].into_iter().chain(groups.iter().copied());
        for ((before, action), group) in before.zip(actions).zip(groups) {
            *counts.entry((before, *action)).or_default().entry(*group).or_default() += 1;
        }
    }
    counts
}

/// How often the network tells each token at the vectors of each group, and of the start, at which it tells nothing.
fn labels(walks: &Walks, of: &[usize], groups: usize) -> Vec<BTreeMap<usize, usize>> {
    let mut labels = vec![BTreeMap::new(); groups + 1];
    for (group, told) in of.iter().zip(&walks.told) {
        *labels[*group].entry(*told as usize).or_default() += 1;
    }
    labels
}

/// What was seen most often, the first of equals.
fn largest(counts: &BTreeMap<usize, usize>) -> Option<usize> {
    counts.iter().rev().max_by_key(|(_, count)| **count).map(|(what, _)| *what)
}

/// How often each transition of a machine was seen, and the share of these that lead where it says.
fn shares(
    counts: &Counts,
    machine: &Moore,
    state: &[Option<usize>],
) -> (Vec<Vec<usize>>, Vec<Vec<f64>>) {
    let actions = machine.next.first().map_or(0, Vec::len);
    let mut tallies = vec![vec![Tally::default(); actions]; machine.next.len()];
    for ((group, action), next) in counts {
        let Some(from) = state[*group] else { continue };
        for (group, times) in next {
            let leads = state[*group].is_some() && state[*group] == machine.next[from][*action];
            let tally = &mut tallies[from][*action];
            tally.count += *times as f64;
            tally.sum += if leads { *times as f64 } else { 0.0 };
        }
    }
    let seen = |tally: &Tally| convert::index(tally.count);
    let share = |tally: &Tally| tally.sum / tally.count;
    (
        tallies.iter().map(|row| row.iter().map(seen).collect()).collect(),
        tallies.iter().map(|row| row.iter().map(share).collect()).collect(),
    )
}

fn purity(labels: &[BTreeMap<usize, usize>], machine: &Moore, state: &[Option<usize>]) -> Vec<f64> {
    let mut tallies = vec![Tally::default(); machine.next.len()];
    for (labels, state) in labels.iter().zip(state) {
        let Some(state) = state else { continue };
        let told = machine.told[*state].map(|token| token as usize);
        for (label, times) in labels {
            tallies[*state].count += *times as f64;
            tallies[*state].sum += if told == Some(*label) { *times as f64 } else { 0.0 };
        }
    }
    tallies.iter().map(|tally| tally.sum / tally.count).collect()
}

/// How often two of the machine, the network and the truth tell the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The machine and the network.
    pub with_network: Tally,
    /// The machine and the truth.
    pub with_truth: Tally,
    /// The network and the truth.
    pub network: Tally,
}

impl Agreement {
    /// Counts more strings, action by action. Where the machine is lost it agrees with nobody.
    pub fn count(&mut self, machine: &Moore, walks: &Walks) {
        let states = walks.strings().flat_map(|actions| machine.run(actions));
        for (state, (told, right)) in states.zip(walks.told.iter().zip(&walks.right)) {
            let own = state.and_then(|state| machine.told[state]);
            self.with_network.hit(own == Some(*told));
            self.with_truth.hit(own == Some(*right));
            self.network.hit(told == right);
        }
    }
}

/// A machine without the transitions that no string takes, as small as it can be: what can be found of it.
pub fn shown(machine: &Moore, walks: &Walks) -> Moore {
    let mut taken = BTreeSet::new();
    for actions in walks.strings() {
        let after = machine.run(actions);
        let before = [Some(machine.start)].into_iter().chain(after);
        taken.extend(before.zip(actions).filter_map(|(state, action)| Some((state?, *action))));
    }
    let mut shown = machine.clone();
    for (state, row) in shown.next.iter_mut().enumerate() {
        for (action, next) in row.iter_mut().enumerate() {
            *next = next.filter(|_| taken.contains(&(state, action)));
        }
    }
    shown.minimised().machine
}

/// The state of the true machine that each found state stands for: the one that the same strings lead to, where the machines are
/// the same, and else the one that most of its vectors are in, of the largest heaps first. `None` where all are taken.
pub fn partners(found: &Found, truth: &Moore, walks: &Walks, of: &[usize]) -> Vec<Option<usize>> {
    let (states, columns) = (found.machine.next.len(), truth.next.len());
    let compared = found.machine.compared(truth);
    let mut weights = vec![f64::NAN; states * columns];
    let mut put = |found: usize, truth: usize| {
        let weight = &mut weights[found * columns + truth];
        *weight = if weight.is_nan() { 1.0 } else { *weight + 1.0 };
    };
    if compared.apart.is_none() {
        compared.together.iter().for_each(|(found, truth)| put(*found, *truth));
        return matched(&weights, columns);
    }
    let truly = walks.strings().flat_map(|actions| truth.run(actions));
    for (group, truth) in of.iter().zip(truly) {
        if let Some((found, truth)) = found.state_of_group[*group].zip(truth) {
            put(found, truth);
        }
    }
    matched(&weights, columns)
}
