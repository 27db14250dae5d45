//! Two machines whose symbols are interleaved: after each symbol the state of its own machine is to be told.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::vocab::Vocab;

use super::automaton::{Automaton, Kind, Machine};
use super::chance::{below, chance, stream};
use super::{Source, Task, unlabelled};

crate::settings! {
    /// Settings of two independent processes in one sequence.
    pub struct Interleaved = "Symbols of two machines in one sequence; after each the state of the machine that it belongs to is to be told. Neither machine tells anything of the other." {
        /// The first machine, as in the task automaton.
        first: Kind = Kind::Parity;
        /// Its size; 0: what is usual.
        first_size: usize = 0, in 0..=64;
        /// The second machine.
        second: Kind = Kind::Cyclic;
        /// Its size; 0: what is usual.
        second_size: usize = 3, in 0..=64;
        /// The machines take turns. Off: at each position either is as likely.
        turns: bool = false;
        /// Symbols in a sequence, of both together.
        length: usize = 32, in 2..=2048;
        /// Symbols of the longest sequence that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=2048;
    }
}

impl Task for Interleaved {
    fn open(&self) -> Result<Arc<dyn Source>> {
        let of = |machine, size| Automaton { machine, size, ..Automaton::default() };
        let settings = [of(self.first, self.first_size), of(self.second, self.second_size)];
        let doing = |which| move |e: Error| e.context(which);
        let first = settings[0].machine().map_err(doing("task.first"))?;
        let second = settings[1].machine().map_err(doing("task.second"))?;
        let machines = [first, second];
        let (mut words, mut tokens) = (Vec::new(), Vec::new());
        for (process, machine) in machines.iter().enumerate() {
            let symbols =
                machine.actions.iter().enumerate().map(|(i, name)| {
                    (Word::Symbol(process, i), format!("{}{name}", LETTERS[process]))
                });
            let told =
                machine.labels.iter().enumerate().map(|(i, name)| {
                    (Word::Told(process, i), format!("{}={name}", LETTERS[process]))
                });
            for (word, name) in symbols.chain(told) {
                words.push(word);
                tokens.push(name);
            }
        }
        let vocab = Vocab::of_words(tokens);
        Ok(Arc::new(TwoProcesses {
            settings: self.clone(),
            drawn: settings,
            machines,
            words,
            vocab,
        }))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("length")
    }
}

/// Before the names of symbols of the first machine and of the second.
const LETTERS: [&str; 2] = ["a", "b"];

/// What a token is: a symbol of one of the machines, or what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Symbol(usize, usize),
    Told(usize, usize),
}

/// Bits of [`Row::roles`]; where several hold, the first gives the colour.
const PROCESS: [u8; 2] = [1, 2];
const SYMBOL: u8 = 4;

/// In the order of the bits.
const ROLES: [&str; 3] = ["first", "second", "symbol"];

const LABELS: [LabelKind; 3] = [
    LabelKind {
        name: "process",
        about: "At every position: which of the two machines its symbol belongs to.",
        many: false,
    },
    LabelKind {
        name: "first",
        about: "At every position: the state of the first machine after the symbols so far.",
        many: false,
    },
    LabelKind {
        name: "second",
        about: "At every position: the state of the second machine after the symbols so far.",
        many: false,
    },
];

const PAIRS: [PairKind; 1] = [PairKind {
    name: "flip",
    about: "A symbol is another one of its machine, and what is told of that machine at its last symbol changes.",
}];

/// Sequences that are tried for one pair.
const ATTEMPTS: usize = 4096;

struct TwoProcesses {
    settings: Interleaved,
    /// How the symbols of each are drawn.
    drawn: [Automaton; 2],
    machines: [Machine; 2],
    /// By token.
    words: Vec<Word>,
    vocab: Vocab,
}

impl Source for TwoProcesses {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &ROLES
    }

    fn possible_answers(&self) -> usize {
        self.machines.iter().map(|machine| machine.labels.len()).sum()
    }

    fn length(&self) -> usize {
        self.settings.length
    }

    fn longest(&self) -> usize {
        self.settings.longest.max(self.settings.length)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let mut rng = stream("interleaved", seed, index);
        self.labelled(self.symbols(&mut rng))
    }

    fn label(&self, tokens: &[u32], _like: &Row) -> Row {
        self.labelled(tokens.to_vec())
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("symbol")
    }

    fn scored_roles(&self) -> &'static [&'static str] {
        &["first", "second"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        &PAIRS
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        PAIRS.iter().find(|pair| pair.name == kind)?;
        let mut rng = stream("interleaved flip", seed, index);
        (0..ATTEMPTS).find_map(|_| {
            let base = self.symbols(&mut rng);
            let at = below(base.len(), &mut rng);
            let Word::Symbol(process, symbol) = self.words[base[at] as usize] else { return None };
            let count = self.machines[process].actions.len();
            let other = (symbol + 1 + below(count - 1, &mut rng)) % count;
            let mut others = base.clone();
            others[at] = self.token(Word::Symbol(process, other));
            let [base, other] = [base, others].map(|tokens| self.labelled(tokens));
            let last = base.roles.iter().rposition(|roles| roles & PROCESS[process] > 0)?;
            let answers = [base.targets[last], other.targets[last]];
            let places = vec![("differs", at)];
            let differs = answers[0] != answers[1];
            differs.then_some(Pair { base, other, at: last, answers, places })
        })
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS
    }

    fn label_classes(&self, kind: &str) -> usize {
        match kind {
            "first" => self.machines[0].states.len(),
            "second" => self.machines[1].states.len(),
            _ => 2,
        }
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let Some(which) = LABELS.iter().position(|label| label.name == kind) else {
            return Vec::new();
        };
        let read = self.read(&row.tokens);
        let told = |step: &Step| vec![[step.process, step.states[0], step.states[1]][which]];
        (0..row.len()).map(|at| read.get(at).map(told)).collect()
    }
}

/// A position of a text.
struct Step {
    process: usize,
    /// Of both machines, after its symbol.
    states: [usize; 2],
}

impl TwoProcesses {
    /// Symbols of both machines, each drawn as by itself.
    fn symbols(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let turn = |at: usize, rng: &mut _| match self.settings.turns {
            true => at % 2,
            false => usize::from(chance(0.5, rng)),
        };
        let order: Vec<usize> = (0..self.settings.length).map(|at| turn(at, rng)).collect();
        let mut actions = [0, 1].map(|process| {
            let length = order.iter().filter(|p| **p == process).count();
            let drawn = Automaton { length, ..self.drawn[process].clone() };
            let all =
                if length == 0 { Vec::new() } else { drawn.actions(&self.machines[process], rng) };
            all.into_iter()
        });
        let token = |process: usize| {
            actions[process].next().map(|action| self.token(Word::Symbol(process, action)))
        };
        order.into_iter().filter_map(token).collect()
    }

    fn token(&self, word: Word) -> u32 {
        // Each word that is asked for has a token.
        convert::id(self.words.iter().position(|known| *known == word).unwrap_or(0))
    }

    /// A text, as far as it is one of the task.
    fn read(&self, tokens: &[u32]) -> Vec<Step> {
        let mut states = [self.machines[0].start, self.machines[1].start];
        let step = |token: &u32| match self.words.get(*token as usize) {
            Some(Word::Symbol(process, action)) => {
                states[*process] = self.machines[*process].next[states[*process]][*action];
                Some(Step { process: *process, states })
            }
            Some(Word::Told(..)) | None => None,
        };
        tokens.iter().map_while(step).collect()
    }

    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let read = self.read(&tokens);
        let mut row = unlabelled(tokens);
        for (at, Step { process, states }) in read.into_iter().enumerate() {
            let told = self.machines[process].told[states[process]];
            row.targets[at] = self.token(Word::Told(process, told));
            row.roles[at] = PROCESS[process] | SYMBOL;
        }
        row
    }
}
