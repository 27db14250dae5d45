//! Sequences of tokens with what each position is: its target, its roles, its occurrence number, the real numbers it carries.

use std::sync::Arc;

use crate::base::vocab::Vocab;

/// Target of a position that has none (never in any loss or accuracy).
pub const NO_TARGET: u32 = u32::MAX;

/// How many real numbers a position carries beside its token, and how many are to be predicted there: both at least 1. A
/// facet of tasks of regression (`task::Source::facets`); tasks of tokens have none, and their sequences no `values`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reals {
    pub inputs: usize,
    pub outputs: usize,
}

/// One labelled sequence. All vectors of whole numbers have one entry per position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub tokens: Vec<u32>,
    /// What is to be predicted at each position, or [`NO_TARGET`].
    pub targets: Vec<u32>,
    /// Bit `i` set: the position has the `i`-th role of the source's `roles()`. No bit: "other".
    pub roles: Vec<u8>,
    /// 0 where nothing in this sequence determines the target; `c >= 1` at the `c`-th occurrence of a
    /// trigger: from 2 on, the answer has been seen in this sequence.
    pub occurrence: Vec<u16>,
    /// What positions carry beside their tokens, `[pos, inputs]`; empty in tasks of tokens.
    pub values: Vec<f32>,
    /// What is to be predicted in place of tokens, `[pos, outputs]`, at the positions that have a target (any token); empty in
    /// tasks of tokens.
    pub value_targets: Vec<f32>,
}

impl Row {
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The same again and again, to `length` positions: something that a network can read.
    #[must_use]
    pub fn repeated(&self, length: usize) -> Self {
        let inputs = self.values.len() / self.len().max(1);
        let outputs = self.value_targets.len() / self.len().max(1);
        Self {
            tokens: cycled(&self.tokens, length),
            targets: cycled(&self.targets, length),
            roles: cycled(&self.roles, length),
            occurrence: cycled(&self.occurrence, length),
            values: cycled(&self.values, length * inputs),
            value_targets: cycled(&self.value_targets, length * outputs),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The same text in the tokens of another vocabulary.
    ///
    /// # Errors
    /// The first token that it does not have.
    fn translated(&self, from: &Vocab, to: &Vocab) -> Result<Self, String> {
        let id = |id: u32| to.id(from.text(id));
        let known = |token: &u32| id(*token).ok_or_else(|| from.text(*token).to_owned());
        let tokens = self.tokens.iter().map(known).collect::<Result<_, _>>()?;
        // A target that the other does not know is none.
        let targets = self.targets.iter().map(|target| match *target {
            NO_TARGET => NO_TARGET,
            target => id(target).unwrap_or(NO_TARGET),
        });
        Ok(Self { tokens, targets: targets.collect(), ..self.clone() })
    }
}

/// A sequence as a network reads it that has a vocabulary of its own and takes `longest` tokens.
///
/// # Errors
/// Why it cannot: what stands after its name in a sentence.
pub fn read_by(
    row: &Arc<Row>,
    from: &Vocab,
    (to, longest): (&Vocab, usize),
) -> Result<Arc<Row>, String> {
    if row.len() > longest {
        return Err(format!("reads {longest} tokens, and this sequence has {}", row.len()));
    }
    if from == to {
        return Ok(row.clone());
    }
    row.translated(from, to).map(Arc::new).map_err(|token| {
        format!("cannot read this sequence: it has no token \u{201c}{token}\u{201d}")
    })
}

/// `rows` sequences of `len` positions, flattened row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub rows: usize,
    pub len: usize,
    pub tokens: Vec<u32>,
    pub targets: Vec<u32>,
    pub roles: Vec<u8>,
    pub occurrence: Vec<u16>,
    /// `[rows · len, inputs]`
    pub values: Vec<f32>,
    /// `[rows · len, outputs]`
    pub value_targets: Vec<f32>,
}

impl Batch {
    /// Stacks sequences of the same length.
    ///
    /// # Panics
    /// When the lengths differ: a source gives sequences of one length.
    pub fn from_rows(rows: &[Row]) -> Self {
        let len = rows.first().map_or(0, Row::len);
        let mut batch = Self { rows: rows.len(), len, ..Self::default() };
        for row in rows {
            assert_eq!(row.len(), len, "a batch holds sequences of one length");
            batch.tokens.extend_from_slice(&row.tokens);
            batch.targets.extend_from_slice(&row.targets);
            batch.roles.extend_from_slice(&row.roles);
            batch.occurrence.extend_from_slice(&row.occurrence);
            batch.values.extend_from_slice(&row.values);
            batch.value_targets.extend_from_slice(&row.value_targets);
        }
        batch
    }

    /// Sequences `from..to` as a batch of their own.
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let range = from * self.len..to * self.len;
        let wide = |numbers: &[f32]| {
            let width = numbers.len() / self.tokens.len().max(1);
            numbers[range.start * width..range.end * width].to_vec()
        };
        Self {
            rows: to - from,
            len: self.len,
            tokens: self.tokens[range.clone()].to_vec(),
            targets: self.targets[range.clone()].to_vec(),
            roles: self.roles[range.clone()].to_vec(),
            occurrence: self.occurrence[range.clone()].to_vec(),
            values: wide(&self.values),
            value_targets: wide(&self.value_targets),
        }
    }

    pub fn row(&self, index: usize) -> Row {
        let one = self.slice(index, index + 1);
        Row {
            tokens: one.tokens,
            targets: one.targets,
            roles: one.roles,
            occurrence: one.occurrence,
            values: one.values,
            value_targets: one.value_targets,
        }
    }
}

fn cycled<T: Copy>(all: &[T], length: usize) -> Vec<T> {
    all.iter().copied().cycle().take(length).collect()
}
