//! What a hover says: one sentence for each thing, for a reader who knows one of the two fields.

use crate::panel::View;
use crate::panel::outputs::number;

use super::parsed::{Decoder, Facts, TokenMeaning};

/// `Store Reg0 Sym1`
pub fn spelled(facts: &Facts, tuple: &TokenMeaning) -> String {
    let (register, symbol) = (&facts.registers[tuple.register], &facts.symbols[tuple.symbol]);
    match instruction(tuple) {
        "" => format!("{register} {symbol}"),
        instruction => format!("{instruction} {register} {symbol}"),
    }
}

pub fn instruction(tuple: &TokenMeaning) -> &'static str {
    match tuple.store {
        Some(true) => "Store",
        Some(false) => "Ignore",
        None => "",
    }
}

/// What a tuple says and what is right, in a sentence of its own; nothing where there is no such tuple.
pub fn story(view: &View<'_>, facts: &Facts, at: usize) -> String {
    if at >= facts.tuples.len() {
        return String::new();
    }
    format!("Tuple {at}, {}.", told(view, facts, at))
}

/// What a tuple says and what is right.
fn told(view: &View<'_>, facts: &Facts, at: usize) -> String {
    let tuple = &facts.tuples[at];
    let (register, symbol) = (&facts.registers[tuple.register], &facts.symbols[tuple.symbol]);
    let right = view.vocab.glyph(tuple.right);
    let compared = match tuple.source.map(|source| facts.tuples[source].symbol) {
        Some(held) => format!("it is compared with {}", facts.symbols[held]),
        None => "there is nothing yet to compare it with".to_owned(),
    };
    let then = match tuple.store {
        Some(true) => format!("{register} should hold {symbol} from here on"),
        Some(false) => format!("{register} should keep what it holds"),
        None => "no instruction is given".to_owned(),
    };
    format!("{}: {compared}, so the right answer is “{right}”; {then}", spelled(facts, tuple))
}

/// What a tuple says, what is right and what was answered.
pub fn tuple(view: &View<'_>, facts: &Facts, at: usize) -> String {
    let tuple = &facts.tuples[at];
    format!(
        "tuple {at}, {}\nthe network says “{}” with probability {}\n{}",
        told(view, facts, at),
        view.vocab.glyph(tuple.predicted),
        number(tuple.probability),
        decoded(facts, tuple),
    )
}

/// What decoders read at a tuple, if they can be believed.
fn decoded(facts: &Facts, tuple: &TokenMeaning) -> String {
    if !facts.is_readable() {
        return unreadable(facts);
    }
    let (store, register, symbol) = tuple.decoded;
    let says = if store { "store" } else { "ignore" };
    let (register, symbol) = (&facts.registers[register], &facts.symbols[symbol]);
    format!("a decoder reads from its key: {says}, {register}; from its value: {symbol}")
}

/// Why what is decoded is not drawn.
fn unreadable(facts: &Facts) -> String {
    format!(
        "not readable: the decoders are not even half of the way from luck to being always right; {}",
        decoders(facts)
    )
}

/// How often decoders are right, beside those of shuffled labels.
pub fn decoders(facts: &Facts) -> String {
    let share = |number: f64| match number.is_nan() {
        true => "undefined".to_owned(),
        false => format!("{number:.2}"),
    };
    let one =
        |d: &Decoder| format!("{} {} (shuffled {})", d.what, share(d.accuracy), share(d.shuffled));
    facts.decoders.each_ref().map(one).join(", ")
}

/// Whether the symbol of a tuple gets in.
pub fn input_gate(facts: &Facts, at: usize) -> String {
    let tuple = &facts.tuples[at];
    let (gate, symbol) = (tuple.gate, &facts.symbols[tuple.symbol]);
    let Some(read) = gate.read.filter(|_| gate.is_told()) else {
        let size = if gate.size.is_nan() {
            String::new()
        } else {
            format!(
                "\nflipping its instruction in the keys alone moves answers that should stay by {} logits",
                number(gate.size)
            )
        };
        return format!(
            "input gate of tuple {at}: no read tells; no answer depends on whether {symbol} is stored here{size}"
        );
    };
    let state = gate.word();
    let effect = if gate.effect.is_nan() {
        "what the keys alone do is undefined: with one of the two instructions the network answers wrongly".to_owned()
    } else {
        let other = if tuple.store == Some(true) { "Ignore" } else { "Store" };
        format!(
            "with {other} in the keys alone, and everything else as it is, the answer goes {} of the way to the other one",
            number(gate.effect)
        )
    };
    let told = if gate.asked {
        let register = &facts.registers[tuple.register];
        format!("asked by Ignore {register} {symbol} in place of tuple {read}")
    } else {
        format!("tuple {read} tells")
    };
    format!(
        "input gate of tuple {at}: {state}, {} (1: later answers are as if {symbol} had been stored, 0: as if not; {told})\n{effect}",
        number(gate.open)
    )
}

/// What a register holds for a while.
pub fn content(facts: &Facts, register: usize, from: usize, decoded: bool) -> String {
    let name = |symbol: Option<usize>| {
        symbol.map_or_else(|| "nothing".to_owned(), |s| facts.symbols[s].clone())
    };
    let [truth, read] = [false, true].map(|kind| facts.held(from, register, kind));
    let register = &facts.registers[register];
    if !decoded {
        return format!("after tuple {from} {register} holds {}", name(truth));
    }
    if !facts.is_readable() {
        return format!("what {register} is found to hold is {}", unreadable(facts));
    }
    let verdict = if truth == read {
        "as it should".to_owned()
    } else {
        format!("but it holds {}", name(truth))
    };
    format!("after tuple {from} the decoder finds {} in {register}, {verdict}", name(read))
}

/// How much a read looks at a tuple.
pub fn attention(facts: &Facts, read: usize, tuple: usize) -> String {
    let heads: Vec<String> = (0..facts.heads)
        .map(|head| format!("head {head}: {}", number(facts.attention_of(head, read, tuple))))
        .collect();
    format!(
        "attention from tuple {read} to tuple {tuple}, mean over heads {} ({})",
        number(facts.attention(read, tuple)),
        heads.join(", ")
    )
}

/// What the query of a read does.
pub fn output_gate(facts: &Facts, read: usize) -> String {
    let tuple = &facts.tuples[read];
    let Some(other) = tuple.output.other else {
        return "no other register holds another symbol: whichever is read, the answer is the same"
            .to_owned();
    };
    let other = &facts.registers[other];
    if tuple.output.effect.is_finite() {
        return format!(
            "with a query for {other} instead, and everything else as it is, the answer of tuple {read} goes {} of the way to that for {other}",
            number(tuple.output.effect)
        );
    }
    if tuple.output.size.is_finite() {
        return format!(
            "with a query for {other} instead the answer should stay; it moves by {} logits",
            number(tuple.output.size)
        );
    }
    format!("undefined: with {other} or without, the network answers wrongly")
}

/// Why there is no number for a thing beside the lanes.
pub mod missing {
    use super::Facts;

    /// Whether its door stands open.
    pub fn open(facts: &Facts, at: usize) -> String {
        let symbol = &facts.symbols[facts.tuples[at].symbol];
        format!("No answer depends on whether {symbol} gets in here.")
    }

    /// What its keys do.
    pub fn keys() -> String {
        "What keys alone do cannot be told: with the other instruction the network answers wrongly."
            .to_owned()
    }

    /// Where it looks.
    pub fn attention(facts: &Facts, at: usize) -> String {
        let register = &facts.registers[facts.tuples[at].register];
        format!("Nothing is stored in {register} yet, so there is nothing to read.")
    }

    /// What its query does.
    pub fn query(facts: &Facts, at: usize) -> String {
        let tuple = &facts.tuples[at];
        let why = match tuple.output.other {
            None if tuple.source.is_none() => return attention(facts, at),
            None => {
                "What its query alone does cannot be told: no other register holds another symbol."
            }
            Some(_) if tuple.output.size.is_finite() => {
                "What its query alone does cannot be told: from any register the answer is the same."
            }
            Some(_) => {
                "What its query alone does cannot be told: from the other register the network answers wrongly."
            }
        };
        why.to_owned()
    }
}
