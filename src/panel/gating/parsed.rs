//! What the measurement found, in the shape in which it is drawn.

use crate::base::question::Reading;
use crate::figure::Figure;
use crate::panel::View;
use crate::panel::outputs::{array, sentence};
use crate::panel::tokens::as_id;

/// One tuple.
#[derive(Clone, Debug)]
pub struct TokenMeaning {
    pub store: Option<bool>,
    pub register: usize,
    pub symbol: usize,
    /// Position of its first token and of its symbol.
    pub first: usize,
    pub symbol_at: usize,
    /// The tuple that stored what the symbol is compared with.
    pub source: Option<usize>,
    pub right: u32,
    pub predicted: u32,
    pub probability: f32,
    pub gate: Gate,
    pub output: Output,
    /// Store, register and symbol as decoded.
    pub decoded: (bool, usize, usize),
}

/// The input gate; NaN where undefined.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub open: f32,
    pub effect: f32,
    pub size: f32,
    pub read: Option<usize>,
    /// The read is none of the sequence: it was put in place of the next tuple.
    pub asked: bool,
}

impl Gate {
    /// Whether some read tells how it stands.
    pub fn is_told(&self) -> bool {
        self.read.is_some() && self.open.is_finite()
    }

    pub fn is_open(&self) -> bool {
        self.open >= 0.5
    }

    /// How it stands, in a word.
    pub fn word(&self) -> &'static str {
        match self.open {
            open if open >= 0.75 => "open",
            open if open > 0.25 => "half open",
            _ => "shut",
        }
    }
}

/// The output gate.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub effect: f32,
    pub size: f32,
    pub other: Option<usize>,
}

/// How well something is decoded on held-out tuples; NaN where undefined.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// What is decoded.
    pub what: &'static str,
    pub accuracy: f64,
    /// That of a decoder fitted to shuffled labels.
    pub shuffled: f64,
}

/// A decoder has come at least so much of the way from shuffled labels to being always right, or what it finds is not drawn.
const TOLD: f64 = 0.5;

impl Decoder {
    fn new(answer: &Reading, name: &str, what: &'static str) -> Self {
        let number = |kind| answer.number(&format!("{name}_{kind}")).unwrap_or(f64::NAN);
        Self { what, accuracy: number("accuracy"), shuffled: number("shuffled") }
    }

    fn tells(&self) -> bool {
        self.accuracy - self.shuffled >= TOLD * (1.0 - self.shuffled)
    }
}

pub struct Facts {
    pub tuples: Vec<TokenMeaning>,
    pub registers: Vec<String>,
    pub symbols: Vec<String>,
    pub heads: usize,
    /// `[tuple, register]`
    held: Vec<Option<usize>>,
    decoded: Vec<Option<usize>>,
    /// `[head, read, tuple]`, and its mean over heads `[read, tuple]`.
    attention: Vec<f32>,
    attention_mean: Vec<f32>,
    /// `[read register, register]`
    pub role_attention: Vec<f32>,
    pub role_score: Vec<f32>,
    pub decoders: [Decoder; 3],
    /// The tuple that is looked at.
    pub selected: usize,
}

impl Facts {
    /// # Errors
    /// The figure that says what is missing.
    pub fn new(view: &View<'_>, answer: &Reading) -> Result<Self, Figure> {
        let count = array(answer, "register", 1)?.data.len();
        let line = |name: &str| {
            let found = array(answer, name, 1)?;
            if found.data.len() == count { Ok(&found.data) } else { Err(misfit()) }
        };
        let names = |name: &str| -> Result<Vec<String>, Figure> {
            let tokens = &array(answer, name, 1)?.data;
            Ok(tokens.iter().map(|token| view.vocab.glyph(as_id(*token))).collect())
        };
        let (registers, symbols) = (names("register_token")?, names("symbol_token")?);
        let table = |name: &str, shape: &[usize]| {
            let found = array(answer, name, shape.len())?;
            if found.shape == shape { Ok(&found.data) } else { Err(misfit()) }
        };
        let by_register = [count, registers.len()];
        let holds = |name: &str| -> Result<Vec<Option<usize>>, Figure> {
            let all = table(name, &by_register)?.iter();
            Ok(all.map(|n| number(*n).filter(|n| *n < symbols.len())).collect())
        };
        let heads = array(answer, "attention", 3)?.shape[0];
        let first = [line("instruction_at")?, line("register_at")?];
        let tuple = |i: usize| -> Result<TokenMeaning, Figure> {
            let at = |name: &str| line(name).map(|all| all[i]);
            let below = |name: &str, count: usize| {
                number(at(name)?).filter(|n| *n < count).ok_or_else(misfit)
            };
            let earlier = |name: &str| at(name).map(|n| number(n).filter(|n| *n < count));
            let first = first.iter().filter_map(|all| number(all[i])).min();
            Ok(TokenMeaning {
                store: Some(at("store")?).filter(|s| s.is_finite()).map(|s| s > 0.5),
                register: below("register", registers.len())?,
                symbol: below("symbol", symbols.len())?,
                first: first.ok_or_else(misfit)?,
                symbol_at: number(at("symbol_at")?).ok_or_else(misfit)?,
                source: earlier("source")?,
                right: as_id(at("right")?),
                predicted: as_id(at("predicted")?),
                probability: at("probability")?,
                gate: Gate {
                    open: at("input_gate")?,
                    effect: at("input_effect")?,
                    size: at("input_size")?,
                    read: earlier("input_read")?,
                    asked: at("input_asked")? > 0.5,
                },
                output: Output {
                    effect: at("output_effect")?,
                    size: at("output_size")?,
                    other: number(at("output_other")?).filter(|n| *n < registers.len()),
                },
                decoded: (
                    at("decoded_store")? > 0.5,
                    below("decoded_register", registers.len())?,
                    below("decoded_symbol", symbols.len())?,
                ),
            })
        };
        let tuples = (0..count).map(tuple).collect::<Result<Vec<_>, _>>()?;
        let square = [registers.len(); 2];
        let query = view.selection.query.unwrap_or(usize::MAX);
        let selected = tuples.iter().rposition(|tuple| tuple.first <= query).unwrap_or(0);
        Ok(Self {
            held: holds("held")?,
            decoded: holds("decoded")?,
            attention: table("attention", &[heads, count, count])?.to_vec(),
            attention_mean: table("attention_mean", &[count, count])?.to_vec(),
            decoders: [
                Decoder::new(answer, "register", "register"),
                Decoder::new(answer, "store", "instruction"),
                Decoder::new(answer, "symbol", "symbol"),
            ],
            role_attention: table("role_attention", &square)?.to_vec(),
            role_score: table("role_score", &square)?.to_vec(),
            tuples,
            registers,
            symbols,
            heads,
            selected,
        })
    }

    /// What a register holds after a tuple, by the rule or as decoded.
    pub fn held(&self, after: usize, register: usize, decoded: bool) -> Option<usize> {
        let all = if decoded { &self.decoded } else { &self.held };
        all.get(after * self.registers.len() + register).copied().flatten()
    }

    /// Attention of a read to a tuple in one head.
    pub fn attention_of(&self, head: usize, read: usize, tuple: usize) -> f32 {
        let count = self.tuples.len();
        self.attention.get((head * count + read) * count + tuple).copied().unwrap_or(f32::NAN)
    }

    /// The mean over heads.
    pub fn attention(&self, read: usize, tuple: usize) -> f32 {
        let at = read * self.tuples.len() + tuple;
        self.attention_mean.get(at).copied().unwrap_or(f32::NAN)
    }

    /// Whether what is decoded says more than luck does: all three go into what registers are found to hold.
    pub fn is_readable(&self) -> bool {
        self.decoders.iter().all(Decoder::tells)
    }

    /// The name of a symbol without what it shares with those of all symbols: `Sym6` is `6`.
    pub fn short(&self, symbol: usize) -> &str {
        let name = &self.symbols[symbol];
        let shared = |other: &String| {
            let same = name.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
            same.map_or(name.len().min(other.len()), |((at, _), _)| at)
        };
        let others = self.symbols.iter().filter(|other| *other != name);
        let shared = others.map(shared).min().unwrap_or(0);
        name.get(shared..).filter(|rest| !rest.is_empty()).unwrap_or(name)
    }

    /// Registers of the sequence, in order.
    pub fn present(&self) -> Vec<usize> {
        let named = |register: &usize| self.tuples.iter().any(|tuple| tuple.register == *register);
        (0..self.registers.len()).filter(named).collect()
    }

    /// Where a symbol comes among those of the sequence: it has the colour of that number.
    pub fn rank(&self, symbol: usize) -> Option<usize> {
        let mut here: Vec<usize> = self.tuples.iter().map(|tuple| tuple.symbol).collect();
        here.sort_unstable();
        here.dedup();
        here.iter().position(|s| *s == symbol)
    }
}

fn misfit() -> Figure {
    sentence(
        "The parts of the answer about gates do not fit each other, so there is nothing to draw.",
    )
}

/// A whole number that travelled as a float; NaN is none.
fn number(value: f32) -> Option<usize> {
    (value.is_finite() && value >= 0.0).then(|| as_id(value) as usize)
}
