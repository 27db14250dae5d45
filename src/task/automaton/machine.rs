//! Machines: states, actions, which state follows which, and what is told of each state.

/// A facet: a semiautomaton, whose actions are the symbols of the sequences (Liu et al. 2023, arXiv 2210.10749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Names of the states.
    pub states: Vec<String>,
    /// Names of the actions, as the vocabulary has them.
    pub actions: Vec<String>,
    /// The state before the first action.
    pub start: usize,
    /// `[state][action]`: the state afterwards.
    pub next: Vec<Vec<usize>>,
    /// What can be told, as the vocabulary has it.
    pub labels: Vec<String>,
    /// For each state, which of `labels` is told of it.
    pub told: Vec<usize>,
}

impl Machine {
    /// A machine that starts in state 0 and tells its states, which are called q0, q1 and so on.
    pub fn new(
        states: Vec<String>,
        actions: Vec<String>,
        next: impl Fn(usize, usize) -> usize,
    ) -> Self {
        let row = |state| (0..actions.len()).map(|action| next(state, action)).collect();
        Self {
            next: (0..states.len()).map(row).collect(),
            labels: numbered("q", states.len()),
            told: (0..states.len()).collect(),
            start: 0,
            states,
            actions,
        }
    }

    /// The same machine, of whose states something else is told.
    #[must_use]
    pub fn telling(self, labels: Vec<String>, of: impl Fn(usize) -> usize) -> Self {
        Self { labels, told: (0..self.states.len()).map(of).collect(), ..self }
    }

    /// The states after each of these actions, from the start on.
    pub fn run(&self, actions: &[usize]) -> Vec<usize> {
        let step = |state: &mut usize, action: &usize| {
            *state = self.next[*state][*action];
            Some(*state)
        };
        actions.iter().scan(self.start, step).collect()
    }
}

/// `q0`, `q1`, … up to `count` of them.
pub fn numbered(letter: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{letter}{i}")).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A counter: each action adds its number, modulo the number of states. With two of both it is parity.
pub fn counter(states: usize, actions: usize) -> Machine {
    let next = |state: usize, action: usize| (state + action) % states;
    Machine::new(numbered("", states), numbered("", actions), next)
}

/// A walk between two walls.
pub fn gridworld(states: usize) -> Machine {
    let next = |state: usize, action: usize| match action {
        0 => state.saturating_sub(1),
        _ => (state + 1).min(states - 1),
    };
    Machine::new(numbered("", states), owned(&["L", "R"]), next)
}

/// A memory that is set to one of `values` and read; state 0 until it is set.
pub fn flip_flop(values: usize) -> Machine {
    let actions = owned(&["r"]).into_iter().chain((1..=values).map(|i| format!("w{i}")));
    let next = |state: usize, action: usize| if action == 0 { state } else { action };
    Machine::new(numbered("", values + 1), actions.collect(), next)
}

/// A car on a ring of `places` that turns round and drives; state `places · toggle + position`.
pub fn dihedral(places: usize) -> Machine {
    let name = |state: usize| format!("{}{}", ["+", "-"][state / places], state % places);
    let next = |state: usize, action: usize| {
        let (toggle, position) = (state / places, state % places);
        let ahead = if toggle == 0 { 1 } else { places - 1 };
        match action {
            0 => places * (1 - toggle) + position,
            _ => places * toggle + (position + ahead) % places,
        }
    };
    Machine::new((0..2 * places).map(name).collect(), owned(&["T", "D"]), next)
}

/// The quaternion group: products of 1, i, j and k from the right.
pub fn quaternion() -> Machine {
    const NEXT: [[usize; 4]; 8] = [
        [0, 1, 2, 3],
        [1, 4, 3, 6],
        [2, 7, 4, 1],
        [3, 2, 5, 4],
        [4, 5, 6, 7],
        [5, 0, 7, 2],
        [6, 3, 0, 5],
        [7, 6, 1, 0],
    ];
    let states = owned(&["1", "i", "j", "k", "-1", "-i", "-j", "-k"]);
    Machine::new(states, owned(&["1", "i", "j", "k"]), |state, action| NEXT[state][action])
}

/// Accepts 0101…, and is lost in state 4 at the first symbol out of turn.
pub fn abab() -> Machine {
    const NEXT: [[usize; 2]; 5] = [[4, 1], [2, 4], [4, 3], [0, 4], [4, 4]];
    let next = |state: usize, action: usize| NEXT[state][action];
    let machine = Machine::new(numbered("", 5), numbered("", 2), next);
    Machine { start: 3, ..machine }
}

/// Adds `addends` numbers in that base, digit by digit from the right; a symbol has a bit for each of them, and the
/// state is `digit + addends · carry`.
pub fn adder(addends: usize) -> Machine {
    let name = |state: usize| match state / addends {
        0 => format!("{state}"),
        _ => format!("{}+c", state % addends),
    };
    let next = |state: usize, action: usize| {
        let sum = action.count_ones() as usize + state / addends;
        sum % addends + addends * (sum / addends)
    };
    let states = (0..2 * addends).map(name).collect();
    Machine::new(states, numbered("", 1 << addends), next)
}

/// All permutations of `n` things in lexicographic order.
pub fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..n {
        let longer = |start: Vec<usize>| {
            let free: Vec<usize> = (0..n).filter(|i| !start.contains(i)).collect();
            free.into_iter().map(move |i| [start.as_slice(), &[i]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

fn is_even(permutation: &[usize]) -> bool {
    let n = permutation.len();
    let inverted = (0..n).flat_map(|j| (0..j).map(move |i| (i, j)));
    inverted.filter(|(i, j)| permutation[*i] > permutation[*j]).count().is_multiple_of(2)
}

/// A group of permutations whose actions put them in another order: the thing at `i` is then the one that was at `action[i]`.
fn of_permutations(group: &[Vec<usize>], actions: &[Vec<usize>]) -> Machine {
    let name = |permutation: &Vec<usize>| permutation.iter().map(usize::to_string).collect();
    let next = |state: usize, action: usize| {
        let moved: Vec<usize> = actions[action].iter().map(|i| group[state][*i]).collect();
        // A product of two of a group is in it.
        group.iter().position(|other| *other == moved).unwrap_or(state)
    };
    let names = |all: &[Vec<usize>]| all.iter().map(name).collect();
    Machine::new(names(group), names(actions), next)
}

/// All permutations of `n` things; the first `generators` of: nothing, a shift by one, a swap of the first two, and the others
/// in lexicographic order.
pub fn symmetric(n: usize, generators: usize) -> Machine {
    let group = permutations(n);
    let identity: Vec<usize> = (0..n).collect();
    let shift = (0..n).map(|i| (i + 1) % n).collect();
    let mut swap = identity.clone();
    swap.swap(0, 1);
    let mut actions = vec![identity, shift, swap];
    let others: Vec<Vec<usize>> = group.iter().filter(|p| !actions.contains(p)).cloned().collect();
    actions.extend(others);
    actions.truncate(generators);
    of_permutations(&group, &actions)
}

/// The even permutations of `n` things, generated by nothing and the cycles of the first, the second and each other.
pub fn alternating(n: usize) -> Machine {
    let mut group = permutations(n);
    group.retain(|permutation| is_even(permutation));
    let identity: Vec<usize> = (0..n).collect();
    let cycle = |x: usize| {
        let mut moved = identity.clone();
        (moved[0], moved[1], moved[x]) = (1, x, 0);
        moved
    };
    let actions: Vec<Vec<usize>> =
        std::iter::once(identity.clone()).chain((2..n).map(cycle)).collect();
    of_permutations(&group, &actions)
}

/// Brackets of each kind, opening and closing.
pub const BRACKETS: [&str; 8] = ["(", ")", "[", "]", "{", "}", "<", ">"];

/// Most states of a machine.
pub const MOST_STATES: usize = 256;

/// States of [`dyck`] machines: all stacks, and the one of text that is wrong.
pub fn dyck_states(kinds: usize, depth: usize) -> usize {
    let stacks = |height: &usize| kinds.pow(u32::try_from(*height).unwrap_or(u32::MAX));
    (0..=depth).map(|height| stacks(&height)).sum::<usize>() + 1
}

/// Brackets of so many kinds that are nested at most `depth` deep: the state is what is open. The last state is that of text
/// that is wrong, and nothing leads out of it.
pub fn dyck(kinds: usize, depth: usize) -> Machine {
    let stacks = stacks(kinds, depth);
    let dead = stacks.len();
    let next = |state: usize, action: usize| {
        let (kind, closes) = (action / 2, action % 2 == 1);
        let Some(stack) = stacks.get(state) else { return dead };
        let found = match stack.split_last() {
            Some((last, below)) if closes && *last == kind => below.to_vec(),
            _ if closes => return dead,
            _ => [stack.as_slice(), &[kind]].concat(),
        };
        stacks.iter().position(|other| *other == found).unwrap_or(dead)
    };
    let name = |stack: &Vec<usize>| match stack.as_slice() {
        [] => "empty".to_owned(),
        open => open.iter().map(|kind| BRACKETS[2 * kind]).collect(),
    };
    let states = stacks.iter().map(name).chain(["dead".to_owned()]);
    Machine::new(states.collect(), owned(&BRACKETS[..2 * kinds]), next)
}

/// All stacks of at most `depth` brackets, lower ones first.
fn stacks(kinds: usize, depth: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..depth {
        let to = all.len();
        for stack in from..to {
            let higher = (0..kinds).map(|kind| [all[stack].as_slice(), &[kind]].concat());
            let higher: Vec<Vec<usize>> = higher.collect();
            all.extend(higher);
        }
        from = to;
    }
    all
}
