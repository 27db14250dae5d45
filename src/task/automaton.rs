//! Symbols that a machine reads one by one; after each, what it tells of its state is to be said.

mod draw;
mod machine;
mod table;

use std::any::Any;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::chance::{below, stream};
use super::{Source, Task, unlabelled};
pub use machine::Machine;
use machine::numbered;

crate::choices! {
    /// Which machine.
    pub enum Kind {
        Parity = "parity",
        Cyclic = "cyclic",
        Gridworld = "gridworld",
        FlipFlop = "flip_flop",
        Dihedral = "dihedral",
        Quaternion = "quaternion",
        Symmetric = "symmetric",
        Alternating = "alternating",
        Abab = "abab",
        Adder = "adder",
        Dyck = "dyck",
        Table = "table",
    }
}

crate::choices! {
    /// What is told of a state.
    pub enum Told {
        State = "state",
        Parity = "parity",
        Boundary = "boundary",
        FirstChair = "first_chair",
        Toggle = "toggle",
        Position = "position",
        Digit = "digit",
        Carry = "carry",
    }
}

crate::settings! {
    /// Settings of the task of Liu et al. 2023, *Transformers Learn Shortcuts to Automata* (arXiv 2210.10749).
    pub struct Automaton = "Symbols that a machine reads one by one: after each, its state is to be told. Parity, counters, walks between walls, memories, groups, sums, brackets, or a machine of one's own." {
        /// parity: how many ones so far, even or odd. cyclic: a counter. gridworld: left and right between two walls. Flip-flop: a memory that is written and read. dihedral: a car on a ring that turns round. quaternion, symmetric, alternating: products in these groups. abab: is it 0101 and so on? adder: numbers are added, digit by digit. dyck: nested brackets. table: that of task.table.
        machine: Kind = Kind::Parity;
        /// States of cyclic (5 if 0) and gridworld (9), values of the flip-flop (2), places of dihedral (4), permuted things of symmetric (5) and alternating (5), numbers that adder adds, which is also their base (2), kinds of brackets of dyck (2). 0: as many as stand here.
        size: usize = 0, in 0..=256;
        /// Different symbols of cyclic (2 if 0) and of symmetric (3). 0: as many as stand here.
        actions: usize = 0, in 0..=64;
        /// How deep brackets of dyck are nested at most.
        depth: usize = 3, in 1..=8;
        /// What is told of a state: all of it, or of gridworld its parity or whether it is at a wall (boundary), of symmetric and alternating what is first (first chair), of dihedral toggle or position, of adder digit or carry.
        label: Told = Told::State;
        /// Probability of the second of two symbols, where both are drawn one by one; where there are more it must be 0.5.
        ones: f64 = 0.5, in 0.0..=1.0;
        /// Symbols in a sequence.
        length: usize = 16, in 1..=2048;
        /// Symbols of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=2048;
        /// Write what is told after each symbol, so that the network reads it with the next.
        scratchpad: bool = false;
        /// Where the machine is table: a row for each state, divided by semicolons, and in each the next states after symbols 0, 1 and so on, divided by spaces. The start is state 0.
        table: String = "0 1; 1 0".to_owned();
    }
}

impl Task for Automaton {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let machine = self.machine()?;
        let vocab = Vocab::of_words([machine.actions.as_slice(), &machine.labels].concat());
        Ok(Arc::new(AutomatonSource { settings: self.clone(), machine, vocab }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }
}

/// A number of a machine that can be chosen: what it is if nobody does, and from where to where it goes.
#[derive(Clone, Copy)]
struct Numbers {
    usual: usize,
    least: usize,
    most: usize,
}

fn numbers(usual: usize, least: usize, most: usize) -> Option<Numbers> {
    Some(Numbers { usual, least, most })
}

impl Kind {
    fn sizes(self) -> Option<Numbers> {
        match self {
            Self::Parity | Self::Quaternion | Self::Abab | Self::Table => None,
            Self::Cyclic => numbers(5, 2, 256),
            Self::Gridworld => numbers(9, 2, 256),
            Self::FlipFlop => numbers(2, 1, 63),
            Self::Dihedral => numbers(4, 2, 128),
            Self::Symmetric | Self::Alternating => numbers(5, 3, 5),
            Self::Adder => numbers(2, 2, 6),
            Self::Dyck => numbers(2, 1, 4),
        }
    }

    /// How many actions a machine of a size may have, where that can be chosen.
    fn actions(self, size: usize) -> Option<Numbers> {
        match self {
            Self::Cyclic => numbers(2, 2, size.min(64)),
            Self::Symmetric => numbers(3, 2, (1..=size).product::<usize>().min(64)),
            Self::Parity
            | Self::Gridworld
            | Self::FlipFlop
            | Self::Dihedral
            | Self::Quaternion
            | Self::Alternating
            | Self::Abab
            | Self::Adder
            | Self::Dyck
            | Self::Table => None,
        }
    }
}

impl Told {
    /// The machines of whose states it is told.
    fn machines(self) -> &'static [Kind] {
        match self {
            Self::State => Kind::ALL,
            Self::Parity | Self::Boundary => &[Kind::Gridworld],
            Self::FirstChair => &[Kind::Symmetric, Kind::Alternating],
            Self::Toggle | Self::Position => &[Kind::Dihedral],
            Self::Digit | Self::Carry => &[Kind::Adder],
        }
    }
}

impl Automaton {
    /// The machine of these settings.
    ///
    /// # Errors
    /// When two of them contradict each other, or the table is none of a machine.
    pub(super) fn machine(&self) -> Result<Machine> {
        let size = self.chosen("task.size", self.size, self.machine.sizes())?;
        let actions = self.chosen("task.actions", self.actions, self.machine.actions(size))?;
        let machine = match self.machine {
            Kind::Parity => machine::counter(2, 2),
            Kind::Cyclic => machine::counter(size, actions),
            Kind::Gridworld => machine::gridworld(size),
            Kind::FlipFlop => machine::flip_flop(size),
            Kind::Dihedral => machine::dihedral(size),
            Kind::Quaternion => machine::quaternion(),
            Kind::Symmetric => machine::symmetric(size, actions),
            Kind::Alternating => machine::alternating(size),
            Kind::Abab => machine::abab(),
            Kind::Adder => machine::adder(size),
            Kind::Dyck => self.dyck(size)?,
            Kind::Table => table::machine(&self.table)?,
        };
        self.check_ones(&machine)?;
        self.telling(machine, size)
    }

    /// The actions of one sequence of one of these machines.
    pub(super) fn actions(&self, machine: &Machine, rng: &mut ChaCha8Rng) -> Vec<usize> {
        draw::actions(self, machine, rng)
    }

    /// A number that was chosen, or the usual one for 0.
    fn chosen(&self, name: &str, value: usize, of: Option<Numbers>) -> Result<usize> {
        let kind = self.machine.name();
        match of {
            Some(Numbers { usual, .. }) if value == 0 => Ok(usual),
            Some(Numbers { least, most, .. }) if (least..=most).contains(&value) => Ok(value),
            Some(Numbers { usual, least, most }) => Err(Error::usage(format!(
                "{name} is {value}, but task.machine = \"{kind}\" takes {least} to {most} there, or 0 for {usual}; change one of them"
            ))),
            None if value == 0 => Ok(0),
            None => Err(Error::usage(format!(
                "{name} is {value}, but task.machine = \"{kind}\" has no such number; set {name} to 0 or take another machine"
            ))),
        }
    }

    fn dyck(&self, kinds: usize) -> Result<Machine> {
        let states = machine::dyck_states(kinds, self.depth);
        if states > machine::MOST_STATES {
            return Err(Error::usage(format!(
                "task.size = {kinds} kinds of brackets, nested task.depth = {} deep, make {states} states, and a machine has at most {}; lower one of them",
                self.depth,
                machine::MOST_STATES
            )));
        }
        Ok(machine::dyck(kinds, self.depth))
    }

    fn check_ones(&self, machine: &Machine) -> Result<()> {
        let apart = matches!(self.machine, Kind::FlipFlop | Kind::Dyck);
        if self.ones == Self::default().ones || machine.actions.len() == 2 && !apart {
            return Ok(());
        }
        Err(Error::usage(format!(
            "task.ones is {}, but the {} symbols of task.machine = \"{}\" are not drawn by it; set task.ones to 0.5 or take a machine of two symbols",
            self.ones,
            machine.actions.len(),
            self.machine.name()
        )))
    }

    /// The machine that tells what is asked for.
    fn telling(&self, machine: Machine, size: usize) -> Result<Machine> {
        if !self.label.machines().contains(&self.machine) {
            let of: Vec<&str> = self.label.machines().iter().map(|kind| kind.name()).collect();
            return Err(Error::usage(format!(
                "task.label is \"{}\", but that is told of task.machine = \"{}\" and not of \"{}\"; change one of them",
                self.label.name(),
                of.join("\" or \""),
                self.machine.name()
            )));
        }
        let states = machine.states.len();
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        Ok(match self.label {
            Told::State => machine,
            Told::Parity => machine.telling(words(["even", "odd"]), |state| state % 2),
            Told::Boundary => machine.telling(words(["inside", "edge"]), |state| {
                usize::from(state == 0 || state == states - 1)
            }),
            // In lexicographic order all that begin with the same thing stand together.
            Told::FirstChair => machine.telling(numbered("c", size), |state| state * size / states),
            Told::Toggle => machine.telling(numbered("t", 2), |state| state / size),
            Told::Position => machine.telling(numbered("p", size), |state| state % size),
            Told::Digit => machine.telling(numbered("d", size), |state| state % size),
            Told::Carry => machine.telling(numbered("c", 2), |state| state / size),
        })
    }

    /// Positions from one symbol to the next.
    fn stride(&self) -> usize {
        if self.scratchpad { 2 } else { 1 }
    }
}

/// Bits of [`Row::roles`]; where several hold, the first gives the colour.
const LAST: u8 = 1;
const SYMBOL: u8 = 2;
const STATE: u8 = 4;

/// In the order of the bits; without a scratchpad no state is written.
const ROLES: [&str; 3] = ["last", "symbol", "state"];

const LABELS: [LabelKind; 1] = [LabelKind {
    name: "state",
    about: "At every position: the state of the machine after the symbols so far.",
    many: false,
}];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "flip",
    about: "One symbol is another one, and what is told at the last symbol changes; states that are written change with it.",
}];

/// Sequences that are tried for one pair: where pairs exist at all, hundreds are enough.
const ATTEMPTS: usize = 4096;

struct AutomatonSource {
    settings: Automaton,
    machine: Machine,
    vocab: Vocab,
}

impl Source for AutomatonSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        if self.settings.scratchpad { &ROLES } else { &ROLES[..2] }
    }

    fn possible_answers(&self) -> usize {
        self.machine.labels.len()
    }

    fn length(&self) -> usize {
        self.settings.stride() * self.settings.length
    }

    fn longest(&self) -> usize {
        self.settings.stride() * self.settings.longest.max(self.settings.length)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("automaton", seed, index);
        self.row(&self.settings.actions(&self.machine, &mut rng))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("symbol")
    }

    fn scored_roles(&self) -> &'static [&'static str] {
        &["last"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("automaton flip", seed, index);
        let (machine, count) = (&self.machine, self.machine.actions.len());
        (0..ATTEMPTS).find_map(|_| {
            let base = draw::actions(&self.settings, machine, &mut rng);
            let (at, by) = (below(base.len(), &mut rng), 1 + below(count - 1, &mut rng));
            let mut other = base.clone();
            other[at] = (base[at] + by) % count;
            let drawn = draw::is_drawn(&self.settings, machine, &other);
            let last = |actions: &[usize]| self.machine.run(actions).last().map(|s| self.told(*s));
            (drawn && last(&base) != last(&other)).then(|| self.flipped(&base, &other, at))
        })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.machine.states.len()
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        if LABELS.iter().all(|label| label.name != kind) {
            return Vec::new();
        }
        let states = self.states(&row.tokens);
        let stride = self.settings.stride();
        (0..row.len()).map(|at| states.get(at / stride).map(|state| vec![*state])).collect()
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.machine]
    }
}

impl AutomatonSource {
    /// The token that is told of a state.
    fn told(&self, state: usize) -> u32 {
        convert::id(self.machine.actions.len() + self.machine.told[state])
    }

    fn is_action(&self, token: u32) -> bool {
        (token as usize) < self.machine.actions.len()
    }

    fn is_label(&self, token: u32) -> bool {
        !self.is_action(token) && (token as usize) < self.vocab.len()
    }

    fn row(&self, actions: &[usize]) -> Row {
        let spell = |(action, state): (&usize, usize)| {
            let written = self.settings.scratchpad.then(|| self.told(state));
            [convert::id(*action)].into_iter().chain(written)
        };
        let states = self.machine.run(actions);
        self.labelled(actions.iter().zip(states).flat_map(spell).collect())
    }

    /// The states after the symbols of a text, as far as it is one of the task. Those that are written are not believed.
    fn states(&self, tokens: &[u32]) -> Vec<usize> {
        let stride = self.settings.stride();
        let fits = |(at, token): &(usize, &u32)| match at % stride {
            0 => self.is_action(**token),
            _ => self.is_label(**token),
        };
        let sound = tokens.iter().enumerate().take_while(fits).map(|(_, token)| *token as usize);
        self.machine.run(&sound.step_by(stride).collect::<Vec<usize>>())
    }

    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let (states, stride) = (self.states(&tokens), self.settings.stride());
        let role = |token: &u32| match (self.is_action(*token), self.settings.scratchpad) {
            (true, _) => SYMBOL,
            (false, true) if self.is_label(*token) => STATE,
            (false, _) => 0,
        };
        let roles = tokens.iter().map(role).collect();
        let mut row = Row { roles, ..unlabelled(tokens) };
        for (number, state) in states.iter().enumerate() {
            row.targets[stride * number] = self.told(*state);
        }
        if let Some(last) = states.len().checked_sub(1) {
            row.roles[stride * last] |= LAST;
        }
        row
    }

    /// The pair of two sequences that differ at symbol `at` and in what is told at the last one.
    fn flipped(&self, base: &[usize], other: &[usize], at: usize) -> Pair {
        let stride = self.settings.stride();
        let (base, other) = (self.row(base), self.row(other));
        let last = base.len() - stride;
        let answers = [base.targets[last], other.targets[last]];
        Pair { base, other, at: last, answers, places: vec![("differs", stride * at)] }
    }
}
