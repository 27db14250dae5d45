//! Machines that tell something of each of their states (Moore 1956): run, made as small as they can be, and compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// States, what follows each of them, and what is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moore {
    pub start: usize,
    /// `[state][action]`: the state afterwards; `None` where nobody knows.
    pub next: Vec<Vec<Option<usize>>>,
    /// What is told of each state; `None` of a beginning of which nothing was ever told.
    pub told: Vec<Option<u32>>,
}

/// The smallest machine that tells the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimal {
    /// Its states are numbered from the start on, in the order in which they are reached.
    pub machine: Moore,
    /// What became of each state of the one before; `None` of those that cannot be reached.
    pub state: Vec<Option<usize>>,
}

/// Two machines side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The shortest string of actions after which they tell different things; `None`: they are the same wherever both know.
    pub apart: Option<Vec<usize>>,
    /// States of both that the same string leads to, up to there.
    pub together: BTreeSet<(usize, usize)>,
}

impl Moore {
    /// The states after each of these actions; `None` from the first on that leads nowhere.
    pub fn run(&self, actions: &[usize]) -> Vec<Option<usize>> {
        let step = |state: &mut Option<usize>, action: &usize| {
            *state = state.and_then(|state| self.after(state, *action));
            Some(*state)
        };
        actions.iter().scan(Some(self.start), step).collect()
    }

    /// The state after an action.
    fn after(&self, state: usize, action: usize) -> Option<usize> {
        self.next.get(state)?.get(action).copied().flatten()
    }

    /// The states that can be reached, in the order in which they are: by short strings first, and by actions of low numbers.
    fn reached(&self) -> Vec<usize> {
        let mut found = vec![self.start];
        let mut at = 0;
        while let Some(state) = found.get(at) {
            let next: Vec<usize> = self.next[*state].iter().copied().flatten().collect();
            for state in next {
                if !found.contains(&state) {
                    found.push(state);
                }
            }
            at += 1;
        }
        found
    }

    /// These states alone, numbered as they stand in the list, which the start is in.
    fn kept(&self, states: &[usize]) -> Self {
        let number = |state: usize| states.iter().position(|other| *other == state);
        let row = |state: &usize| self.next[*state].iter().map(|next| next.and_then(number));
        Self {
            start: number(self.start).unwrap_or(0),
            next: states.iter().map(|state| row(state).collect()).collect(),
            told: states.iter().map(|state| self.told[*state]).collect(),
        }
    }

    /// The smallest machine that tells the same: states that no string tells apart are one (Moore 1956), and those that cannot be
    /// reached are left out. A transition that nobody knows tells nothing apart: such a state is one with the largest of the
    /// groups that it suits. So is a start of which nothing is told.
    pub fn minimised(&self) -> Minimal {
        let group = self.beginning_joined(self.groups());
        let joined = self.joined(&group);
        let order = joined.reached();
        let number = |group: &usize| order.iter().position(|other| other == group);
        Minimal { machine: joined.kept(&order), state: group.iter().map(number).collect() }
    }

    /// The group of each state: those of one group tell the same, whatever comes. Groups by label are split until nothing splits.
    fn groups(&self) -> Vec<usize> {
        let mut group = numbered(&self.told);
        loop {
            let finer = self.split(&group);
            if count(&finer) == count(&group) {
                return group;
            }
            group = finer;
        }
    }

    /// Groups whose states are in one group and lead into the same groups.
    fn split(&self, group: &[usize]) -> Vec<usize> {
        let rows = self.rows(group);
        let mut whole: BTreeMap<&(usize, Vec<Option<usize>>), usize> = BTreeMap::new();
        for row in rows.iter().filter(|(_, next)| !next.contains(&None)) {
            *whole.entry(row).or_default() += 1;
        }
        let suits = |row: &(usize, Vec<Option<usize>>)| {
            let all = whole.iter().filter(|(other, _)| other.0 == row.0 && agree(&other.1, &row.1));
            // The first of the largest.
            let most = all.rev().max_by_key(|(_, states)| **states);
            most.map_or_else(|| row.clone(), |(other, _)| (*other).clone())
        };
        numbered(&rows.iter().map(suits).collect::<Vec<_>>())
    }

    /// Of each state its group and the groups that it leads into.
    fn rows(&self, group: &[usize]) -> Vec<(usize, Vec<Option<usize>>)> {
        let into = |next: &Option<usize>| next.map(|state| group[state]);
        let row = |(state, next): (usize, &Vec<Option<usize>>)| {
            (group[state], next.iter().map(into).collect())
        };
        self.next.iter().enumerate().map(row).collect()
    }

    /// A start of which nothing is told is put into the first group that leads where it leads.
    fn beginning_joined(&self, mut group: Vec<usize>) -> Vec<usize> {
        if self.told[self.start].is_none() {
            let rows = self.rows(&group);
            let own = &rows[self.start];
            let covers = |next: &[Option<usize>]| {
                own.1.iter().zip(next).all(|(own, next)| own.is_none() || own == next)
            };
            let alike = rows.iter().find(|row| row.0 != own.0 && covers(&row.1));
            group[self.start] = alike.map_or(own.0, |row| row.0);
        }
        group
    }

    /// The machine whose states are groups of this one's.
    fn joined(&self, group: &[usize]) -> Self {
        let groups = group.iter().max().map_or(0, |last| last + 1);
        let actions = self.next.first().map_or(0, Vec::len);
        let mut joined = Self {
            start: group[self.start],
            next: vec![vec![None; actions]; groups],
            told: vec![None; groups],
        };
        for (state, (of, next)) in self.rows(group).into_iter().enumerate() {
            joined.told[of] = joined.told[of].or(self.told[state]);
            for (known, next) in joined.next[of].iter_mut().zip(next) {
                *known = known.or(next);
            }
        }
        joined
    }

    /// Both run on the same strings, short ones first. What one of them does not know is no difference.
    pub fn compared(&self, other: &Self) -> Compared {
        let begin = (self.start, other.start);
        let mut together = BTreeSet::from([begin]);
        let mut waiting = VecDeque::from([(begin, Vec::new())]);
        let actions = self.next.first().map_or(0, Vec::len);
        while let Some(((a, b), word)) = waiting.pop_front() {
            for action in 0..actions {
                let both = (self.after(a, action), other.after(b, action));
                let (Some(a), Some(b)) = both else { continue };
                let word = [word.as_slice(), &[action]].concat();
                if self.told[a].zip(other.told[b]).is_some_and(|(a, b)| a != b) {
                    return Compared { apart: Some(word), together };
                }
                if together.insert((a, b)) {
                    waiting.push_back(((a, b), word));
                }
            }
        }
        Compared { apart: None, together }
    }
}

/// Whether two rows lead to the same wherever both are known.
fn agree(a: &[Option<usize>], b: &[Option<usize>]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

/// Equal things have equal numbers, from 0 on, in the order in which they come first.
fn numbered<T: Ord>(things: &[T]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |thing| {
        let next = numbers.len();
        *numbers.entry(thing).or_insert(next)
    };
    things.iter().map(number).collect()
}

/// Different numbers.
fn count(group: &[usize]) -> usize {
    group.iter().collect::<BTreeSet<_>>().len()
}
