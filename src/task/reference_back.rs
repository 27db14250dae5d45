//! Tuples of instruction, register and symbol: does the register hold this symbol, and shall it from now on?

mod draw;
mod memory;
mod pairs;
mod words;

use std::any::Any;
use std::sync::Arc;

use crate::base::batch::{NO_TARGET, Row};
use crate::base::error::{Error, Result};
use crate::base::label::LabelKind;
use crate::base::pair::{Pair, PairKind};
use crate::base::tuples::{TokenMeaning, Tuple, Tuples};
use crate::base::vocab::Vocab;

use super::chance::{chance, stream};
use super::{Source, Task, is_held_out};
use draw::{Cast, cast};
use memory::{Compared, Item, Memory, shortcuts};
use words::{Read, TUPLE, Word, Words};

crate::choices! {
    /// In which order the tokens of a tuple stand.
    pub enum TokenOrder {
        InstructionFirst = "instruction_first",
        InstructionLast = "instruction_last",
    }
}

crate::choices! {
    /// What a symbol is compared with.
    pub enum Rule { Register = "register", NBack = "n_back" }
}

crate::choices! {
    /// How the register of a tuple is drawn.
    pub enum RegisterChoice { Uniform = "uniform", Congruent = "congruent" }
}

crate::choices! {
    /// Which symbols come with which registers.
    pub enum SymbolSet { Shared = "shared", Split = "split", Train = "train", Challenge = "challenge" }
}

crate::settings! {
    /// Settings of the textual reference-back task, after descriptions of the task of Traylor et al. 2024
    /// (arXiv 2402.08211) and of its later versions: a reconstruction, see `docs/tasks.md`.
    pub struct ReferenceBack = "Tuples of an instruction, a register and a symbol: the answer says whether the register holds the symbol, and Store puts it there, Ignore does not. Answering takes gates at the input and at the output of a memory." {
        /// Registers in the vocabulary.
        registers: usize = 2, in 2..=8;
        /// Registers that take part in a sequence, drawn for each from the vocabulary.
        concurrent: usize = 2, in 1..=8;
        /// Tuples in a sequence; each has four tokens.
        tuples: usize = 10, in 1..=256;
        /// Tuples of the longest text that the network can be asked about; positions beyond those of a sequence are never trained. 0: as many as a sequence has.
        longest: usize = 0, in 0..=256;
        /// Symbols in the vocabulary.
        symbols: usize = 50, in 2..=1000;
        /// Different symbols that a sequence draws from.
        distinct: usize = 3, in 2..=100;
        /// Probability of Ignore.
        ignore: f64 = 0.5, in 0.0..=1.0;
        /// Probability that the symbol is the one it is compared with, where there is one.
        same: f64 = 0.5, in 0.0..=1.0;
        /// Always store where there is nothing yet to compare with.
        store_when_empty: bool = true;
        /// Where the instruction of a tuple stands: first (Store Reg0 Sym1 same) or last (Reg0 Sym1 same Store). In both, the answer is predicted where the symbol stands; with the instruction last, whether this symbol is stored is said after its answer.
        order: TokenOrder = TokenOrder::InstructionFirst;
        /// What a symbol is compared with: what its register holds, or under N-back what was stored task.back stores ago, in whatever register.
        rule: Rule = Rule::Register;
        /// N, counted in stores: of the N-back rule, of congruent registers and of the warm-up.
        back: usize = 2, in 1..=100;
        /// uniform: any register of the sequence. congruent: with probability task.congruence the one that was stored in task.back stores ago, else another.
        register_choice: RegisterChoice = RegisterChoice::Uniform;
        /// Probability that a register is congruent, where registers are chosen so.
        congruence: f64 = 0.5, in 0.0..=1.0;
        /// Draw only registers that have not come yet, until task.back symbols are stored.
        warm_up: bool = false;
        /// shared: every symbol comes with every register. split: every register has symbols of its own, so that the answer does not take the register (a control). train: no symbol that is held out for a register of the sequence. challenge: only those.
        symbol_set: SymbolSet = SymbolSet::Shared;
        /// Under train and challenge: how many symbols are held out for each register.
        held_out: usize = 15, in 1..=1000;
        /// Show a mask in place of each answer, so that earlier answers are no evidence.
        masked: bool = false;
        /// Probability that an answer of a training sequence has no part in the loss.
        sparse: f64 = 0.0, in 0.0..=1.0;
        /// Number of different training sequences, which come again and again in another order; 0: every one is new. Held-out sequences are no part of them.
        pool: usize = 0, in 0..=10000000;
        /// Curriculum: so many of the first training sequences (steps times batch) use only the first registers of the vocabulary, as many as the next setting says. Held-out sequences never do. 0: none.
        lead_in: usize = 0, in 0..=1000000000;
        /// Registers of the lead-in.
        lead_in_registers: usize = 2, in 1..=8;
    }
}

impl Task for ReferenceBack {
    fn open(&self) -> Result<Arc<dyn Source>> {
        self.check()?;
        Ok(Arc::new(self.source()))
    }

    fn boxed(&self) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn length_setting(&self) -> Option<&'static str> {
        Some("tuples")
    }
}

impl ReferenceBack {
    fn source(&self) -> ReferenceBackSource {
        let words = Words {
            registers: self.registers,
            symbols: self.symbols,
            masked: self.masked,
            order: self.order,
        };
        let text = TupleText { words, compared: self.compared() };
        ReferenceBackSource { settings: self.clone(), text, vocab: words.vocab() }
    }

    fn compared(&self) -> Compared {
        match self.rule {
            Rule::Register => Compared::Register,
            Rule::NBack => Compared::StoresAgo(self.back),
        }
    }

    /// Registers to choose from and registers chosen: in the lead-in, and later.
    fn phases(&self) -> [(usize, usize); 2] {
        let all = (self.registers, self.concurrent);
        let few = self.lead_in_registers;
        [if self.lead_in > 0 { (few, self.concurrent.min(few)) } else { all }, all]
    }

    fn check(&self) -> Result<()> {
        let refused = |why: String| Err(Error::usage(why));
        for (name, count) in [
            ("task.concurrent", self.concurrent),
            ("task.lead_in_registers", if self.lead_in > 0 { self.lead_in_registers } else { 0 }),
        ] {
            if count > self.registers {
                return refused(format!(
                    "{name} is {count}, but task.registers is {}: a sequence cannot have more registers than there are; change one of them",
                    self.registers
                ));
            }
        }
        if self.distinct > self.symbols {
            return refused(format!(
                "task.distinct is {}, but task.symbols is {}: a sequence cannot have more symbols than there are; change one of them",
                self.distinct, self.symbols
            ));
        }
        if self.rule == Rule::NBack && self.back >= self.tuples {
            return refused(format!(
                "task.back is {} and task.tuples {}: nothing was ever stored so long ago and every answer would be \"different\"; lower task.back or raise task.tuples",
                self.back, self.tuples
            ));
        }
        match self.symbol_set {
            SymbolSet::Shared => Ok(()),
            SymbolSet::Split => self.check_split(),
            SymbolSet::Train | SymbolSet::Challenge => self.check_held_out(),
        }
    }

    fn check_split(&self) -> Result<()> {
        if self.rule == Rule::NBack {
            return Err(Error::usage(
                "task.symbol_set = \"split\" gives every register symbols of its own, and task.rule = \"n_back\" compares symbols across registers; use one of the two",
            ));
        }
        for (_, concurrent) in self.phases() {
            let own = self.distinct / concurrent;
            let even = self.distinct.is_multiple_of(concurrent);
            if own < 2 || !even || self.symbols / concurrent < own {
                return Err(Error::usage(format!(
                    "task.symbol_set = \"split\" divides task.distinct ({}) and task.symbols ({}) among {concurrent} registers, and each needs the same number of symbols, at least 2; set task.distinct to {} or another multiple",
                    self.distinct,
                    self.symbols,
                    2 * concurrent
                )));
            }
        }
        Ok(())
    }

    fn check_held_out(&self) -> Result<()> {
        if self.concurrent == self.registers {
            return Err(Error::usage(format!(
                "task.symbol_set = \"{}\" holds symbols out for the registers of a sequence, and with task.concurrent = task.registers = {} all registers are in every sequence: those symbols would never be seen; raise task.registers",
                self.symbol_set.name(),
                self.registers
            )));
        }
        let fewest = self
            .phases()
            .into_iter()
            .flat_map(|(among, count)| subsets(among, count))
            .map(|registers| draw::allowed(self, &registers).len())
            .min();
        match fewest {
            Some(left) if left < self.distinct => Err(Error::usage(format!(
                "task.symbol_set = \"{}\" with task.held_out = {} leaves some sequences only {left} of {} symbols, and task.distinct is {}; change one of them",
                self.symbol_set.name(),
                self.held_out,
                self.symbols,
                self.distinct
            ))),
            _ => Ok(()),
        }
    }
}

/// All sets of `count` of the numbers below `among`, which is at most 8.
fn subsets(among: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    let sets = (0..1usize << among).filter(move |set| set.count_ones() as usize == count);
    sets.map(move |set| (0..among).filter(|i| set >> i & 1 == 1).collect())
}

/// Bits of [`Row::roles`].
const INSTRUCTION: u8 = 1;
const REGISTER: u8 = 2;
const SYMBOL: u8 = 4;
const ANSWER: u8 = 8;
const ASKED: u8 = 16;
const DISCRIMINATING: u8 = 32;
const STORE: u8 = 64;
const IGNORE: u8 = 128;

struct ReferenceBackSource {
    settings: ReferenceBack,
    text: TupleText,
    vocab: Vocab,
}

/// A facet: how sequences say tuples of an instruction, a register and a symbol.
#[derive(Clone, Copy, Debug)]
pub struct TupleText {
    words: Words,
    compared: Compared,
}

impl TupleText {
    /// The tuples of a text, with what is remembered after each. What is no tuple is passed over.
    pub fn tuples(&self, tokens: &[u32]) -> Tuples {
        let registers = self.words.registers;
        let mut memory = Memory::new(self.compared, registers);
        let follow = |read: Read| {
            let reference = memory.reference(read.register);
            memory.pass(item(&read));
            Tuple {
                store: read.store,
                register: read.register,
                symbol: read.symbol,
                same: reference.is_some_and(|r| r.symbol == read.symbol),
                source: reference.map(|r| r.tuple),
                contents: memory.contents(),
                instruction_at: read.instruction_at,
                register_at: read.register_at,
                symbol_at: read.symbol_at,
                answer_at: read.answer_at,
            }
        };
        Tuples { registers, list: self.words.read(tokens).into_iter().map(follow).collect() }
    }

    /// The token that says something in a tuple; `None` where nothing says that.
    pub fn token_of(&self, said: TokenMeaning) -> Option<u32> {
        let word = match said {
            TokenMeaning::Instruction(store) => Word::Instruction(store),
            TokenMeaning::Register(number) if number < self.words.registers => {
                Word::Register(number)
            }
            TokenMeaning::Symbol(number) if number < self.words.symbols => Word::Symbol(number),
            TokenMeaning::Register(_) | TokenMeaning::Symbol(_) => return None,
            TokenMeaning::Answer(same) => Word::Answer(Some(same)),
        };
        Some(self.words.token(word))
    }
}

/// What is remembered, to be read out where a symbol stands: the one that it is compared with, then that of each register.
const LABELS: [LabelKind; 9] = [
    LabelKind {
        name: "compared",
        about: "At a symbol: the symbol that it is compared with.",
        many: false,
    },
    held("held_0"),
    held("held_1"),
    held("held_2"),
    held("held_3"),
    held("held_4"),
    held("held_5"),
    held("held_6"),
    held("held_7"),
];

const fn held(name: &'static str) -> LabelKind {
    let about = "At a symbol: the symbol that the register of this number holds after its tuple.";
    LabelKind { name, about, many: false }
}

impl Source for ReferenceBackSource {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn settings(&self) -> Option<Box<dyn Task>> {
        Some(self.settings.boxed())
    }

    fn roles(&self) -> &'static [&'static str] {
        &[
            "instruction",
            "register",
            "symbol",
            "answer",
            "asked",
            "discriminating",
            "store",
            "ignore",
        ]
    }

    /// "same" and "different".
    fn possible_answers(&self) -> usize {
        2
    }

    fn length(&self) -> usize {
        TUPLE * self.settings.tuples
    }

    fn longest(&self) -> usize {
        TUPLE * self.settings.longest.max(self.settings.tuples)
    }

    fn sequence(&self, seed: u64, index: u64) -> Row {
        let training = !is_held_out(seed);
        let pool = self.settings.pool as u64;
        let member = if training && pool > 0 { draw::member(pool, seed, index) } else { index };
        let mut rng = stream("reference back", seed, member);
        let lead_in = training && index < self.settings.lead_in as u64;
        let (_, items) = self.draw(lead_in, &mut rng);
        let mut row = self.labelled(self.spelled(&items));
        if training && self.settings.sparse > 0.0 {
            let mut rng = stream("feedback", seed, index);
            for target in row.targets.iter_mut().filter(|target| **target != NO_TARGET) {
                if chance(self.settings.sparse, &mut rng) {
                    *target = NO_TARGET;
                }
            }
        }
        row
    }

    fn label(&self, tokens: &[u32], like: &Row) -> Row {
        let mut row = self.labelled(tokens.to_vec());
        // Where the sequence that these replace gave no feedback, they give none.
        let silent = like.targets.iter().zip(&like.roles);
        for (target, (theirs, roles)) in row.targets.iter_mut().zip(silent) {
            if *theirs == NO_TARGET && roles & ASKED != 0 {
                *target = NO_TARGET;
            }
        }
        row
    }

    fn variant(&self, name: &str) -> Option<Arc<dyn Source>> {
        let known = name == "challenge" && self.settings.symbol_set == SymbolSet::Train;
        let settings = ReferenceBack { symbol_set: SymbolSet::Challenge, ..self.settings.clone() };
        (known && settings.check().is_ok()).then(|| Arc::new(settings.source()) as Arc<dyn Source>)
    }

    fn solved_by(&self) -> Option<&'static str> {
        Some("asked")
    }

    fn scored_roles(&self) -> &'static [&'static str] {
        &["discriminating"]
    }

    fn pair_kinds(&self) -> &'static [PairKind] {
        match (self.settings.rule, self.settings.concurrent) {
            (Rule::NBack, _) => &[],
            (Rule::Register, 1) => &pairs::KINDS[..pairs::OF_ONE_REGISTER],
            (Rule::Register, _) => &pairs::KINDS,
        }
    }

    fn pair(&self, kind: &str, seed: u64, index: u64) -> Option<Pair> {
        let kind = self.pair_kinds().iter().find(|k| k.name == kind)?;
        pairs::draw(self, kind.name, seed, index)
    }

    fn label_kinds(&self) -> &'static [LabelKind] {
        &LABELS[..LABELS.len().min(1 + self.text.words.registers)]
    }

    fn label_classes(&self, _kind: &str) -> usize {
        self.text.words.symbols
    }

    fn labels(&self, kind: &str, row: &Row) -> Vec<Option<Vec<usize>>> {
        let tuples = self.text.tuples(&row.tokens);
        let register = kind.strip_prefix("held_").and_then(|number| number.parse().ok());
        let mut told = vec![None; row.len()];
        for (number, tuple) in tuples.list.iter().enumerate() {
            let symbol = match register {
                Some(register) => tuples.held(number, register),
                None if kind == "compared" => tuples.compared(number),
                None => None,
            };
            if let Some(place) = told.get_mut(tuple.symbol_at) {
                *place = symbol.map(|symbol| vec![symbol]);
            }
        }
        told
    }

    fn facets(&self) -> Vec<&dyn Any> {
        vec![&self.text]
    }
}

impl ReferenceBackSource {
    fn draw(&self, lead_in: bool, rng: &mut rand_chacha::ChaCha8Rng) -> (Cast, Vec<Item>) {
        let [first, later] = self.settings.phases();
        let (registers, concurrent) = if lead_in { first } else { later };
        let cast = cast(&self.settings, registers, concurrent, rng);
        let items = draw::items(&self.settings, &cast, rng);
        (cast, items)
    }

    /// The right answers, whether the same.
    fn answers(&self, items: &[Item]) -> Vec<bool> {
        memory::answers(items, self.settings.compared(), self.settings.registers)
    }

    /// Tuples as tokens, with their answers.
    fn spelled(&self, items: &[Item]) -> Vec<u32> {
        let mut tokens = vec![0; TUPLE * items.len()];
        let places = self.text.words.places();
        let tuples = tokens.chunks_exact_mut(TUPLE).zip(items).zip(self.answers(items));
        for ((tuple, item), same) in tuples {
            let answer = Word::Answer((!self.settings.masked).then_some(same));
            let words = [
                Word::Instruction(item.store),
                Word::Register(item.register),
                Word::Symbol(item.symbol),
                answer,
            ];
            for (place, word) in places.iter().zip(words) {
                tuple[*place] = self.text.words.token(word);
            }
        }
        tokens
    }

    fn labelled(&self, tokens: Vec<u32>) -> Row {
        let mut roles: Vec<u8> = tokens.iter().map(|token| self.kind(*token)).collect();
        let mut targets = vec![NO_TARGET; tokens.len()];
        let mut memory = Memory::new(self.settings.compared(), self.settings.registers);
        let mut before = Vec::with_capacity(self.settings.tuples);
        for read in self.text.words.read(&tokens) {
            let now = item(&read);
            let reference = memory.reference(now.register);
            let same = reference.is_some_and(|r| r.symbol == now.symbol);
            targets[read.symbol_at] = self.text.words.token(Word::Answer(Some(same)));
            let misled = shortcuts(&before, now).iter().any(|guess| *guess != same);
            roles[read.symbol_at] |= ASKED | if misled { DISCRIMINATING } else { 0 };
            let stores = match read.store {
                Some(true) => STORE,
                Some(false) => IGNORE,
                None => 0,
            };
            let places = [read.instruction_at, Some(read.register_at), Some(read.symbol_at)];
            for place in places.into_iter().flatten().chain(read.answer_at) {
                roles[place] |= stores;
            }
            memory.pass(now);
            before.push(now);
        }
        Row { occurrence: vec![0; tokens.len()], tokens, targets, roles, ..Row::default() }
    }

    /// The role that a token has by itself.
    fn kind(&self, token: u32) -> u8 {
        match self.text.words.word(token) {
            Some(Word::Instruction(_)) => INSTRUCTION,
            Some(Word::Register(_)) => REGISTER,
            Some(Word::Symbol(_)) => SYMBOL,
            Some(Word::Answer(_)) => ANSWER,
            None => 0,
        }
    }
}

/// What a tuple in text says: without an instruction it stores nothing.
fn item(read: &Read) -> Item {
    Item { store: read.store.unwrap_or(false), register: read.register, symbol: read.symbol }
}
