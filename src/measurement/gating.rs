//! The gates of a working memory on the sequence in view: what gets in, what is read out, and what a decoder finds held.

pub mod decoder;
pub mod swap;

use candle_core::{D, Tensor};

use super::read::{argmax, values};
use super::{Answer, Mean, Measurement, Scene, Scope, Subject};
use crate::base::array::Array;
use crate::base::batch::Batch;
use crate::base::convert::narrow;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::tuples::{TokenMeaning, Tuple, Tuples};
use crate::nn::edit::Edit;
use crate::nn::tap::Captured;
use crate::task::reference_back::TupleText;
use crate::task::{self, held_out_seed};
use decoder::{Decoder, Samples};
use swap::{Differences, Effect, MOST_POSITIONS, Passes, Swap, Swapped, Told, effect, no_tuples};

crate::choices! {
    /// Which positions of a tuple count as its address.
    pub enum Address { Bound = "bound", Tuple = "tuple" }
}

impl Address {
    /// Positions of the keys of a tuple.
    fn keys(self, tuple: &Tuple) -> Vec<usize> {
        match self {
            Self::Bound => vec![tuple.bound_at()],
            Self::Tuple => {
                let before = [tuple.instruction_at, Some(tuple.register_at)];
                let all = before.into_iter().chain([Some(tuple.symbol_at), tuple.answer_at]);
                all.flatten().collect()
            }
        }
    }

    /// Positions of the queries of a read, up to where its answer is predicted.
    fn queries(self, tuple: &Tuple) -> Vec<usize> {
        let mut all = self.keys(tuple);
        all.retain(|at| *at <= tuple.symbol_at);
        if self == Self::Bound { vec![tuple.symbol_at] } else { all }
    }
}

crate::settings! {
    /// For tasks whose sequences are tuples. Every definition is in `docs/gating.md`; they are ours.
    ///
    /// Arrays along `[tuple]`: `store` (1, 0; NaN without an instruction), `register`, `symbol`, `instruction_at`,
    /// `register_at`, `symbol_at`, `answer_at` (NaN where there is none), `bound_at`; `right` and `predicted`, the answers as
    /// tokens, with the probabilities `right_probability` and `probability`; `same_probability`, of "same" among the two
    /// answers. `source`: the tuple that stored what the symbol is compared with, NaN for none. `held` and `decoded`
    /// `[tuple, register]`: numbers of the symbols that registers hold after a tuple, NaN for none.
    ///
    /// `input_gate` `[tuple]`: 1 where later answers are as if its symbol had been stored, 0 where they are as if not;
    /// `input_effect`: the share of the change of these answers that its keys alone make when they come from the sequence with
    /// the other instruction; `input_size`: the size of the change, in logits, of answers that stay the same by the rule;
    /// `input_read`: the first tuple that tells; `input_asked`: 1 where it was put in place of the next one, to ask. NaN: no
    /// read tells.
    ///
    /// `attention` `[head, read, tuple]`, from the symbol of a read to the address of a tuple up to there; NaN for later ones.
    /// `attention_mean` `[read, tuple]`: its mean over heads.
    /// `output_effect` and `output_size` `[tuple]`: likewise for the queries of a read, from the sequence in which it is of the
    /// register `output_other`.
    ///
    /// `decoded_store`, `decoded_register`, `decoded_symbol` `[tuple]`. `role_attention`, `role_score` and `role_count`
    /// `[read register, register]`, over held-out sequences: mean over heads of the attention and of the attention logit from
    /// reads of one register to the tuple that stored what another one holds. `register_token` `[register]`, `symbol_token`
    /// `[symbol]`.
    ///
    /// Numbers: `layer`; `register_accuracy`, `store_accuracy`, `symbol_accuracy` of the decoders on held-out sequences that
    /// they were not fitted on, each with `…_shuffled`, that of a decoder fitted to shuffled classes.
    pub struct GatingSettings = "The gates of a working memory: for every tuple whether its symbol gets in, where each read looks, and what a linear decoder finds held in the registers." {
        /// The layer that reads, counted back from the last one with heads: 0 is that one.
        before_last: usize = 0, in 0..=1000;
        /// Where the keys of a tuple are looked for, and the queries of a read. bound: where its instruction, register and symbol have all been read, and at the symbol. tuple: at all of its positions.
        address: Address = Address::Tuple;
        /// Held-out sequences for the decoders and for the matrix of registers: half are for fitting, half for trying.
        sequences: usize = 192, in 8..=4096;
        /// Where no later tuple tells whether a symbol got in, put one in place of the next tuple that asks.
        ask: bool = true;
        /// How many tuples are asked about, from the last back: each takes up to nine sequences of forward passes.
        tuples: usize = 32, in 1..=256;
    }
}

/// The measurement `gating`: its settings, and what is in force while it is asked.
#[derive(Default)]
pub struct Gating {
    pub settings: GatingSettings,
    in_force: Vec<Edit>,
}

impl Settings for Gating {
    fn about(&self) -> &'static str {
        self.settings.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.settings.each(visit);
    }
}

impl Measurement for Gating {
    fn scope(&self) -> Scope {
        Scope::Prompt
    }

    fn under(&mut self, edits: &[Edit]) {
        self.in_force = edits.to_vec();
    }

    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        subject.source.facet::<TupleText>().ok_or_else(no_tuples)?;
        self.layer(subject).map(|_| ())
    }

    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        self.layer(subject).map_or(Vec::new(), |layer| {
            [Point::K, Point::V, Point::Pattern].map(|point| Site { layer, point }).to_vec()
        })
    }

    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let layer = self.layer(scene.subject)?;
        let view = View::new(scene, layer, self.settings.address, &self.in_force)?;
        let from = view.tuples().list.len().saturating_sub(self.settings.tuples);
        let memory = HeldOut::new(&view, self.settings.sequences)?;
        let mut answer = Answer::default();
        answer.arrays.extend(view.said()?);
        answer.arrays.extend(view.answered()?);
        answer.arrays.extend(view.input_gates(from, self.settings.ask)?);
        answer.arrays.extend(view.output_gates(from)?);
        answer.arrays.extend(view.attention()?);
        memory.decode(&view, &mut answer)?;
        answer.arrays.extend(memory.roles()?);
        answer.arrays.extend(names(view.passes.text)?);
        answer.means.push(Mean { name: "layer".to_owned(), sum: layer as f64, count: 1.0 });
        Ok(answer)
    }
}

impl Gating {
    /// The layer that reads.
    fn layer(&self, subject: Subject<'_>) -> Result<usize> {
        let heads = &subject.model.layout().heads;
        let with_heads: Vec<usize> = (0..heads.len()).filter(|layer| heads[*layer] > 0).collect();
        let at = with_heads.len().checked_sub(1 + self.settings.before_last);
        at.map(|at| with_heads[at]).ok_or_else(|| {
            Error::usage(format!(
                "the layer {} before the last one with heads was asked for; this network has {} of them",
                self.settings.before_last,
                with_heads.len()
            ))
        })
    }
}

/// The sequence in view and what the network makes of it.
struct View<'a> {
    passes: Passes<'a>,
    layer: usize,
    address: Address,
    told: Told,
    logits: &'a Tensor,
    captured: &'a Captured,
    differences: Differences,
}

impl<'a> View<'a> {
    fn new(
        scene: &Scene<'a>,
        layer: usize,
        address: Address,
        in_force: &'a [Edit],
    ) -> Result<Self> {
        let passes = Passes::new(scene.subject, in_force)?;
        let row = scene.batch.row(0);
        let tuples = passes.text.tuples(&row.tokens);
        let told = Told { row, tuples };
        if told.tuples.list.is_empty() {
            return Err(Error::usage(
                "There is no whole tuple in this text: write an instruction, a register and a symbol after each other, or draw another sequence.",
            ));
        }
        let logits = scene.logits.ok_or_else(|| Error::internal("gates need logits"))?;
        let mut differences = passes.differences(logits, std::iter::once(&told.tuples))?;
        let differences = differences.pop().unwrap_or_default();
        let captured = scene.captured;
        Ok(Self { passes, layer, address, told, logits, captured, differences })
    }

    fn tuples(&self) -> &Tuples {
        &self.told.tuples
    }

    fn along(&self, name: &str, of: impl Fn(usize, &Tuple) -> Option<f32>) -> Result<Array> {
        let list = self.tuples().list.iter().enumerate();
        let data: Vec<f32> = list.map(|(i, tuple)| of(i, tuple).unwrap_or(f32::NAN)).collect();
        Array::new(name, &["tuple"], &[data.len()], data)
    }

    fn site(&self, point: Point) -> Site {
        Site { layer: self.layer, point }
    }

    /// What the tuples say, and what is true of them.
    fn said(&self) -> Result<Vec<Array>> {
        let number = |n: usize| Some(n as f32);
        let registers = self.tuples().registers;
        let held = |after: usize| (0..registers).map(move |r| self.tuples().held(after, r));
        let held = (0..self.tuples().list.len()).flat_map(held).map(optional).collect();
        Ok(vec![
            self.along("store", |_, t| t.store.map(|store| f32::from(u8::from(store))))?,
            self.along("register", |_, t| number(t.register))?,
            self.along("symbol", |_, t| number(t.symbol))?,
            self.along("instruction_at", |_, t| t.instruction_at.and_then(number))?,
            self.along("register_at", |_, t| number(t.register_at))?,
            self.along("symbol_at", |_, t| number(t.symbol_at))?,
            self.along("answer_at", |_, t| t.answer_at.and_then(number))?,
            self.along("bound_at", |_, t| number(t.bound_at()))?,
            self.along("source", |_, t| t.source.and_then(number))?,
            self.by_register("held", held)?,
        ])
    }

    /// `[tuple, register]`
    fn by_register(&self, name: &str, data: Vec<f32>) -> Result<Array> {
        let shape = [self.tuples().list.len(), self.tuples().registers];
        Array::new(name, &["tuple", "register"], &shape, data)
    }

    fn answered(&self) -> Result<Vec<Array>> {
        let vocab = self.logits.dim(D::Minus1)?;
        let list = &self.tuples().list;
        let given: Vec<Vec<f64>> = values(self.logits, |all| {
            list.iter().map(|t| probabilities(&all[t.symbol_at * vocab..][..vocab])).collect()
        })?;
        let predicted: Vec<usize> =
            given.iter().map(|p| argmax(p.iter().map(|p| narrow(*p)))).collect();
        let right = |tuple: &Tuple| self.passes.answers[usize::from(!tuple.same)] as usize;
        Ok(vec![
            self.along("right", |_, t| Some(right(t) as f32))?,
            self.along("predicted", |i, _| Some(predicted[i] as f32))?,
            self.along("probability", |i, _| Some(narrow(given[i][predicted[i]])))?,
            self.along("right_probability", |i, t| Some(narrow(given[i][right(t)])))?,
            self.along("same_probability", |i, _| Some(narrow(logistic(self.differences[i]))))?,
        ])
    }

    /// What the instruction of each tuple from `from` on does to later answers. Where no later tuple tells, and `ask` says so,
    /// one is asked that does.
    fn input_gates(&self, from: usize, ask: bool) -> Result<Vec<Array>> {
        let all = from..self.tuples().list.len();
        let mut gates = vec![Gate::default(); self.tuples().list.len()];
        let flips: Vec<Swap> = all.clone().filter_map(|i| self.flipped(&self.told, i)).collect();
        self.tell(&flips, &mut gates)?;
        if ask {
            let untold = all.filter(|i| gates[*i].read.is_none());
            let asked: Vec<Swap> = untold
                .filter_map(|i| self.flipped(&self.asking(i)?, i))
                .filter(|swap| {
                    let read = |told: &Told| told.tuples.list[swap.tuple + 1].same;
                    read(&swap.base) != read(&swap.other)
                })
                .collect();
            self.tell(&asked, &mut gates)?;
            asked.iter().for_each(|swap| gates[swap.tuple].asked = true);
        }
        let yes = |yes: bool| f32::from(u8::from(yes));
        Ok(vec![
            self.along("input_gate", |i, _| gates[i].open.mean())?,
            self.along("input_effect", |i, _| gates[i].share.mean())?,
            self.along("input_size", |i, _| gates[i].size.mean())?,
            self.along("input_read", |i, _| gates[i].read.map(|read| read as f32))?,
            self.along("input_asked", |i, _| Some(yes(gates[i].asked)))?,
        ])
    }

    /// The instruction of a tuple the other way round.
    fn flipped(&self, base: &Told, tuple: usize) -> Option<Swap> {
        let this = &base.tuples.list[tuple];
        let flip = (this.instruction_at, TokenMeaning::Instruction(!this.store?));
        let other = self.passes.told(base, &[flip])?;
        Some(Swap { tuple, base: base.clone(), other, at: self.address.keys(this) })
    }

    /// The sequence with another tuple in place of the next one: whether the register of this tuple holds its symbol.
    fn asking(&self, tuple: usize) -> Option<Told> {
        let this = &self.tuples().list[tuple];
        let next = self.tuples().list.get(tuple + 1)?;
        let mut says = vec![
            (Some(next.register_at), TokenMeaning::Register(this.register)),
            (Some(next.symbol_at), TokenMeaning::Symbol(this.symbol)),
        ];
        // At the end of a text the instruction may be missing.
        if next.instruction_at.is_some() {
            says.push((next.instruction_at, TokenMeaning::Instruction(false)));
        }
        self.passes.told(&self.told, &says)
    }

    fn tell(&self, swaps: &[Swap], gates: &mut [Gate]) -> Result<()> {
        for (swap, found) in swaps.iter().zip(self.swapped(Point::K, swaps)?) {
            gates[swap.tuple] = Gate::new(swap, &found);
        }
        Ok(())
    }

    /// What the register of each read from `from` on does to its answer.
    fn output_gates(&self, from: usize) -> Result<Vec<Array>> {
        let swaps: Vec<Swap> =
            (from..self.tuples().list.len()).filter_map(|read| self.elsewhere(read)).collect();
        let found = self.swapped(Point::Q, &swaps)?;
        let mut gates = vec![(f64::NAN, f64::NAN, None); self.tuples().list.len()];
        for (swap, found) in swaps.iter().zip(&found) {
            let (share, size) = match effect(swap, found, swap.tuple) {
                Some(Effect::Share(share)) => (share, f64::NAN),
                Some(Effect::Size(size)) => (f64::NAN, size),
                None => continue,
            };
            gates[swap.tuple] = (share, size, Some(swap.other.tuples.list[swap.tuple].register));
        }
        Ok(vec![
            self.along("output_effect", |i, _| Some(narrow(gates[i].0)))?,
            self.along("output_size", |i, _| Some(narrow(gates[i].1)))?,
            self.along("output_other", |i, _| gates[i].2.map(|other| other as f32))?,
        ])
    }

    /// A read of another register instead: of those, counted on from its own, the first by which the answer changes, else
    /// the first that holds another symbol.
    fn elsewhere(&self, read: usize) -> Option<Swap> {
        let this = &self.tuples().list[read];
        let registers = self.tuples().registers;
        let others = (1..registers).map(|by| (this.register + by) % registers);
        let swaps = others.filter_map(|register| {
            let says = [(Some(this.register_at), TokenMeaning::Register(register))];
            let (base, other) = (self.told.clone(), self.passes.told(&self.told, &says)?);
            Some(Swap { tuple: read, base, other, at: self.address.queries(this) })
        });
        let mut swaps: Vec<Swap> = swaps.collect();
        let there = |swap: &Swap| swap.other.tuples.list[read].clone();
        let telling = swaps.iter().position(|swap| there(swap).same != this.same);
        let another =
            |swap: &Swap| swap.other.tuples.compared(read) != self.tuples().compared(read);
        let chosen = telling.or_else(|| swaps.iter().position(another))?;
        Some(swaps.swap_remove(chosen))
    }

    fn swapped(&self, point: Point, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        self.passes.swapped(self.site(point), swaps)
    }

    /// `[head, read, tuple]`, and `[read, tuple]`.
    fn attention(&self) -> Result<[Array; 2]> {
        let pattern = self.captured_at(Point::Pattern)?;
        let (heads, length) = (pattern.dim(1)?, pattern.dim(2)?);
        let list = &self.tuples().list;
        let data: Vec<f32> = values(pattern, |all| {
            let mut data = Vec::with_capacity(heads * list.len() * list.len());
            for pattern in all.chunks_exact(length * length) {
                for read in list {
                    let row = &pattern[read.symbol_at * length..][..length];
                    data.extend(list.iter().map(|tuple| {
                        let mut address = self.address.keys(tuple);
                        address.retain(|at| *at <= read.symbol_at);
                        let sum = address.iter().map(|at| row[*at]).sum();
                        if address.is_empty() { f32::NAN } else { sum }
                    }));
                }
            }
            data
        })?;
        let pairs = list.len() * list.len();
        let mean =
            |i: usize| (0..heads).map(|head| data[head * pairs + i]).sum::<f32>() / heads as f32;
        let means: Vec<f32> = (0..pairs).map(mean).collect();
        let shape = [heads, list.len(), list.len()];
        Ok([
            Array::new("attention", &["head", "read", "tuple"], &shape, data)?,
            Array::new("attention_mean", &["read", "tuple"], &shape[1..], means)?,
        ])
    }

    fn captured_at(&self, point: Point) -> Result<&Tensor> {
        let site = self.site(point);
        self.captured.get(&site).ok_or_else(|| Error::usage(format!("this network has no {site}")))
    }
}

/// What the reads of a tuple's register say of its input gate.
#[derive(Clone, Default)]
struct Gate {
    open: Kept,
    share: Kept,
    size: Kept,
    read: Option<usize>,
    /// The read was put in place of the next tuple.
    asked: bool,
}

impl Gate {
    fn new(swap: &Swap, found: &Swapped) -> Self {
        let (here, there) = (&swap.base.tuples, &swap.other.tuples);
        let stores = here.list[swap.tuple].store == Some(true);
        let mut gate = Self::default();
        for read in swap.tuple + 1..here.list.len() {
            match effect(swap, found, read) {
                Some(Effect::Share(share)) => {
                    let if_stored = if stores { here } else { there }.list[read].same;
                    let same = logistic(found.base[read]);
                    gate.open.add(if if_stored { same } else { 1.0 - same });
                    gate.share.add(share);
                    gate.read.get_or_insert(read);
                }
                Some(Effect::Size(size)) => gate.size.add(size),
                None => {}
            }
        }
        gate
    }
}

/// Numbers to be averaged; those that are undefined are left out.
#[derive(Clone, Copy, Default)]
struct Kept {
    sum: f64,
    count: f64,
}

impl Kept {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1.0;
        }
    }

    fn mean(self) -> Option<f32> {
        (self.count > 0.0).then(|| narrow(self.sum / self.count))
    }
}

/// Keys and values of held-out sequences where their tuples are bound, and where their reads look.
struct HeldOut {
    registers: usize,
    symbols: usize,
    /// The first half of the sequences, and the second half: keys by register, keys by instruction, values by symbol.
    halves: [[Samples; 3]; 2],
    /// Attention, attention logit and number of reads, `[read register, register]`.
    roles: Vec<[Kept; 2]>,
}

/// What is decoded: a name, and from what.
const DECODED: [(&str, Point); 3] =
    [("register", Point::K), ("store", Point::K), ("symbol", Point::V)];

impl HeldOut {
    /// The first `sequences` of a seed that no run trains on.
    fn new(view: &View<'_>, sequences: usize) -> Result<Self> {
        let source = view.passes.subject.source;
        let text = view.passes.text;
        let count = |said: fn(usize) -> TokenMeaning| {
            (0..).take_while(|number| text.token_of(said(*number)).is_some()).count()
        };
        let (registers, symbols) = (count(TokenMeaning::Register), count(TokenMeaning::Symbol));
        let mut held_out = Self {
            registers,
            symbols,
            halves: Default::default(),
            roles: vec![Default::default(); registers * registers],
        };
        let most = (MOST_POSITIONS / source.length().max(1)).max(1);
        for from in (0..sequences).step_by(most) {
            let rows = most.min(sequences - from);
            let batch = task::batch(source, held_out_seed(0), from as u64, rows);
            held_out.take(view, &batch, |i| from + i >= sequences / 2)?;
        }
        Ok(held_out)
    }

    fn take(
        &mut self,
        view: &View<'_>,
        batch: &Batch,
        second_half: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let passes = &view.passes;
        let sites =
            [Point::K, Point::V, Point::Scores, Point::Pattern].map(|point| view.site(point));
        let captured = passes.capture(batch, &sites)?;
        let tensor = |i: usize| {
            let found = captured.get(&sites[i]);
            found.ok_or_else(|| Error::usage(format!("this network has no {}", sites[i])))
        };
        let (keys, stored) = (Vectors::new(tensor(0)?)?, Vectors::new(tensor(1)?)?);
        let (scores, pattern) = (Vectors::new(tensor(2)?)?, Vectors::new(tensor(3)?)?);
        for i in 0..batch.rows {
            let tuples = passes.text.tuples(&batch.row(i).tokens);
            let half = &mut self.halves[usize::from(second_half(i))];
            for tuple in &tuples.list {
                let at = tuple.bound_at();
                let classes =
                    [tuple.register, usize::from(tuple.store == Some(true)), tuple.symbol];
                for ((samples, class), (_, point)) in half.iter_mut().zip(classes).zip(DECODED) {
                    let from = if point == Point::K { &keys } else { &stored };
                    let vector = from.at(i, at);
                    samples.dims = vector.len();
                    samples.push(&vector, class);
                }
            }
            self.look(&tuples, |query, stored| {
                let address = view.address.keys(stored);
                let [sum, score] = [&pattern, &scores]
                    .map(|tensor| address.iter().map(|key| tensor.mean(i, query, *key)).sum());
                [sum, score / address.len() as f64]
            });
        }
        Ok(())
    }

    /// From each read to the tuples that stored what the registers hold then.
    fn look(&mut self, tuples: &Tuples, at: impl Fn(usize, &Tuple) -> [f64; 2]) {
        for reads in tuples.list.windows(2) {
            let [before, read] = reads else { continue };
            for (register, stored) in before.contents.iter().enumerate() {
                let Some(stored) = stored else { continue };
                let found = at(read.symbol_at, &tuples.list[*stored]);
                let role = &mut self.roles[read.register * self.registers + register];
                role.iter_mut().zip(found).for_each(|(kept, value)| kept.add(value));
            }
        }
    }

    /// Fits the decoders, tries them, and follows what they read on the sequence in view.
    fn decode(&self, view: &View<'_>, answer: &mut Answer) -> Result<()> {
        let classes = [self.registers, 2, self.symbols];
        let mut read = Vec::new();
        for (i, (name, point)) in DECODED.into_iter().enumerate() {
            let [fitted, tried] = [&self.halves[0][i], &self.halves[1][i]];
            let [decoder, shuffled] = Decoder::fit_beside_shuffled(fitted, classes[i])?;
            for (what, decoder) in [("accuracy", &decoder), ("shuffled", &shuffled)] {
                let (name, sum) = (format!("{name}_{what}"), decoder.accuracy(tried));
                answer.means.push(Mean { name, sum, count: 1.0 });
            }
            let vectors = Vectors::new(view.captured_at(point)?)?;
            let class = |tuple: &Tuple| {
                let vector = vectors.at(0, tuple.bound_at());
                decoder.class(&vector.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())
            };
            let found: Vec<usize> = view.tuples().list.iter().map(class).collect();
            answer
                .arrays
                .push(view.along(&format!("decoded_{name}"), |i, _| Some(found[i] as f32))?);
            read.push(found);
        }
        let mut held = vec![f32::NAN; self.registers];
        let mut decoded = Vec::with_capacity(view.tuples().list.len() * self.registers);
        for i in 0..view.tuples().list.len() {
            if read[1][i] == 1 {
                held[read[0][i]] = read[2][i] as f32;
            }
            decoded.extend_from_slice(&held);
        }
        answer.arrays.push(view.by_register("decoded", decoded)?);
        Ok(())
    }

    fn roles(&self) -> Result<Vec<Array>> {
        let matrix = |name: &str, of: &dyn Fn(&[Kept; 2]) -> Option<f32>| {
            let data: Vec<f32> = self.roles.iter().map(|r| of(r).unwrap_or(f32::NAN)).collect();
            Array::new(name, &["read register", "register"], &[self.registers; 2], data)
        };
        Ok(vec![
            matrix("role_attention", &|[attention, _]| attention.mean())?,
            matrix("role_score", &|[_, score]| score.mean())?,
            matrix("role_count", &|[attention, _]| Some(narrow(attention.count)))?,
        ])
    }
}

/// The numbers of a tensor `[batch, head, pos, dim]`.
struct Vectors {
    heads: usize,
    positions: usize,
    dims: usize,
    numbers: Vec<f32>,
}

impl Vectors {
    fn new(tensor: &Tensor) -> Result<Self> {
        let (_, heads, positions, dims) = tensor.dims4()?;
        Ok(Self { heads, positions, dims, numbers: values(tensor, <[f32]>::to_vec)? })
    }

    fn start(&self, row: usize, head: usize, at: usize) -> usize {
        ((row * self.heads + head) * self.positions + at) * self.dims
    }

    /// All heads of one position, one after the other.
    fn at(&self, row: usize, at: usize) -> Vec<f32> {
        let head = |head: usize| &self.numbers[self.start(row, head, at)..][..self.dims];
        (0..self.heads).flat_map(head).copied().collect()
    }

    /// The mean over heads of one number.
    fn mean(&self, row: usize, at: usize, dim: usize) -> f64 {
        let of = |head: usize| f64::from(self.numbers[self.start(row, head, at) + dim]);
        (0..self.heads).map(of).sum::<f64>() / self.heads as f64
    }
}

/// Tokens by the numbers of registers and of symbols.
fn names(text: &TupleText) -> Result<Vec<Array>> {
    let tokens = |name: &str, axis: &str, said: fn(usize) -> TokenMeaning| {
        let token = |number: usize| text.token_of(said(number)).map(|t| t as f32);
        let data: Vec<f32> = (0..).map_while(token).collect();
        Array::new(name, &[axis], &[data.len()], data)
    };
    Ok(vec![
        tokens("register_token", "register", TokenMeaning::Register)?,
        tokens("symbol_token", "symbol", TokenMeaning::Symbol)?,
    ])
}

fn optional(number: Option<usize>) -> f32 {
    number.map_or(f32::NAN, |number| number as f32)
}

fn probabilities(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|l| f64::from(l - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// `1 / (1 + e^−x)`
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
