//! Examples for readers: what stands at a place of the forward pass, with what it should tell.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;

use crate::nn::attention::merge_heads;
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::Captured;
use crate::probe::Subject;
use crate::probe::read::values;
use crate::record::batch::{Batch, NO_TARGET, Row};
use crate::record::error::{Error, Result, did_you_mean};
use crate::record::intervention::{Point, Site};

use super::{Progress, Watch};
use crate::model::pass::forward;

/// Sequences in one forward pass.
const CHUNK: usize = 4;
/// Sequences between two looks at how many examples there are.
const ROUND: usize = 64;

/// Which positions of a sequence give an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    All,
    /// Of the role with this number (bit of the roles).
    Role(usize, String),
    /// Of no role.
    Other,
    /// Where the answer was seen before in the sequence.
    Repeated,
    /// One position, from 0.
    At(usize),
}

impl Positions {
    /// `all`, a role of the task, `other` (no role), `repeated` (the answer was seen before), or the number of a
    /// position.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, roles: &[&str]) -> Result<Self> {
        if let Some(bit) = roles.iter().position(|role| *role == text) {
            return Ok(Self::Role(bit, text.to_owned()));
        }
        match text {
            "all" => return Ok(Self::All),
            "other" => return Ok(Self::Other),
            "repeated" => return Ok(Self::Repeated),
            _ => {}
        }
        let known: Vec<&str> = roles.iter().copied().chain(["all", "other", "repeated"]).collect();
        text.parse().map(Self::At).map_err(|_| {
            Error::usage(format!(
                "positions \"{text}\": expected {}, or the number of a position.{}",
                known.join(", "),
                did_you_mean(text, known.iter().copied())
            ))
        })
    }

    fn includes(&self, row: &Row, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::Role(bit, _) => row.roles[position] >> bit & 1 == 1,
            Self::Other => row.roles[position] == 0,
            Self::Repeated => row.occurrence[position] >= 2,
            Self::At(wanted) => position == *wanted,
        }
    }

    /// Whether each position of a batch is one of them, row by row.
    pub fn mask(&self, batch: &Batch) -> Vec<bool> {
        let rows = (0..batch.rows).map(|row| batch.row(row));
        rows.flat_map(|row| {
            (0..row.len()).map(|position| self.includes(&row, position)).collect::<Vec<_>>()
        })
        .collect()
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Role(_, name) => f.write_str(name),
            Self::Other => f.write_str("other"),
            Self::Repeated => f.write_str("repeated"),
            Self::At(position) => write!(f, "{position}"),
        }
    }
}

/// What is to be told of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The token so many positions away (0: the one that stands there); `token`, `token-1`, `token+2`.
    Token(i32),
    /// The right next token.
    Target,
    /// Its number in the sequence.
    Position,
    /// For each token of the vocabulary, whether it stands there or before: many labels at once.
    Seen,
}

impl Label {
    /// Whether an example has many labels, each true or false, instead of one of many.
    pub fn is_many(self) -> bool {
        self == Self::Seen
    }

    /// Number of classes, or of labels.
    pub fn count(self, subject: Subject<'_>) -> usize {
        match self {
            Self::Position => subject.model.layout().length,
            _ => subject.model.layout().vocab,
        }
    }

    /// Adds what is told of a position; false where there is nothing to tell.
    fn push(self, row: &Row, position: usize, labels: &mut Labels) -> bool {
        let class = match self {
            Self::Seen => {
                let Labels::Many { count, of } = labels else { return false };
                let start = of.len();
                of.resize(start + *count, false);
                for &token in &row.tokens[..=position] {
                    if let Some(seen) = of.get_mut(start + token as usize) {
                        *seen = true;
                    }
                }
                return true;
            }
            Self::Token(offset) => {
                let at = i64::try_from(position).ok().map(|p| p + i64::from(offset));
                at.and_then(|at| usize::try_from(at).ok())
                    .and_then(|at| row.tokens.get(at))
                    .copied()
            }
            Self::Target => Some(row.targets[position]).filter(|&target| target != NO_TARGET),
            Self::Position => u32::try_from(position).ok(),
        };
        let (Some(class), Labels::One { of, .. }) = (class, labels) else { return false };
        of.push(class);
        true
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(0) => f.write_str("token"),
            Self::Token(offset) => write!(f, "token{offset:+}"),
            Self::Target => f.write_str("target"),
            Self::Position => f.write_str("position"),
            Self::Seen => f.write_str("seen"),
        }
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "token" => return Ok(Self::Token(0)),
            "target" => return Ok(Self::Target),
            "position" => return Ok(Self::Position),
            "seen" => return Ok(Self::Seen),
            _ => {}
        }
        let offset = text.strip_prefix("token").and_then(|offset| offset.parse().ok());
        offset.map(Self::Token).ok_or_else(|| {
            Error::usage(format!(
                "label \"{text}\": expected token, token-1, token+2 (and so on), target, position or seen"
            ))
        })
    }
}

/// Spelled `layer0.resid_mid`.
///
/// # Errors
/// When there is no such layer or point, or nothing is read there by position.
pub fn parse_site(text: &str, layers: usize) -> Result<Site> {
    let wrong = |why: &str| {
        let known: Vec<&str> = readable().map(|(_, name)| *name).collect();
        Error::usage(format!(
            "site \"{text}\": {why}; expected layerL.POINT with L from 0 to {} and one of {}",
            layers.saturating_sub(1),
            known.join(", ")
        ))
    };
    let (layer, point) = text.split_once('.').ok_or_else(|| wrong("no point"))?;
    let layer = layer.strip_prefix("layer").and_then(|l| l.parse().ok());
    let layer = layer.filter(|l| *l < layers).ok_or_else(|| wrong("no such layer"))?;
    let point =
        readable().find(|(_, name)| *name == point).ok_or_else(|| wrong("no such point"))?.0;
    Ok(Site { layer, point })
}

/// The points that hold a vector at each position.
fn readable() -> impl Iterator<Item = &'static (Point, &'static str)> {
    Point::ALL.iter().filter(|(point, _)| !matches!(point, Point::Scores | Point::Pattern))
}

/// Labels of examples, in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// One of `count` classes each.
    One { count: usize, of: Vec<u32> },
    /// `count` truths each, row by row.
    Many { count: usize, of: Vec<bool> },
}

impl Labels {
    pub fn count(&self) -> usize {
        match self {
            Self::One { count, .. } | Self::Many { count, .. } => *count,
        }
    }

    /// The labels of examples in another order: those of example `order[i]` come `i`-th.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        match self {
            Self::One { count, of } => {
                Self::One { count: *count, of: order.iter().map(|&i| of[i]).collect() }
            }
            Self::Many { count, of } => Self::Many {
                count: *count,
                of: order.iter().flat_map(|&i| of[i * count..(i + 1) * count].to_vec()).collect(),
            },
        }
    }
}

/// Vectors with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    pub dim: usize,
    /// `[example, dim]`, row-major.
    pub x: Vec<f32>,
    pub labels: Labels,
}

impl Dataset {
    /// # Errors
    /// When there is no example, the vectors and labels differ in number, or a class is none.
    pub fn new(dim: usize, x: Vec<f32>, labels: Labels) -> Result<Self> {
        let (examples, labelled) = match &labels {
            Labels::One { of, .. } => (x.len() / dim.max(1), of.len()),
            Labels::Many { count, of } => (x.len() / dim.max(1), of.len() / (*count).max(1)),
        };
        if examples == 0 || examples != labelled || examples * dim != x.len() {
            return Err(Error::internal(format!(
                "{} numbers are not {labelled} vectors of {dim}",
                x.len()
            )));
        }
        if let Labels::One { count, of } = &labels
            && let Some(class) = of.iter().find(|class| **class as usize >= *count)
        {
            return Err(Error::internal(format!("class {class} is none of {count}")));
        }
        Ok(Self { dim, x, labels })
    }

    pub fn len(&self) -> usize {
        self.x.len() / self.dim.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }
}

/// Which examples are wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub sites: &'a [Site],
    pub positions: &'a Positions,
    pub label: Label,
    /// Logits at the same positions as well.
    pub logits: bool,
    /// Seed of the sequences.
    pub seed: u64,
    /// Number of the first.
    pub first: u64,
    /// Ends with so many.
    pub examples: usize,
    /// Sequences that may not be among them.
    pub without: &'a BTreeSet<Vec<u32>>,
}

/// Examples at several sites: the same positions of the same sequences.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// By site, `[example, dim]` with its dim.
    pub x: Vec<(usize, Vec<f32>)>,
    pub labels: Labels,
    /// `[example, vocab]`; empty where they were not wanted.
    pub logits: Vec<f32>,
    /// The sequences they come from.
    pub sequences: Vec<Row>,
    /// Sequences left out.
    pub left_out: usize,
}

impl Gathered {
    /// # Errors
    /// When there are no examples.
    pub fn dataset(&self, site: usize) -> Result<Dataset> {
        let (dim, x) = &self.x[site];
        Dataset::new(*dim, x.clone(), self.labels.clone())
    }

    pub fn examples(&self) -> usize {
        self.x.first().map_or(0, |(dim, x)| x.len() / (*dim).max(1))
    }

    pub fn tokens(&self) -> BTreeSet<Vec<u32>> {
        self.sequences.iter().map(|row| row.tokens.clone()).collect()
    }
}

/// Sequence after sequence, until there are enough examples or there were as many sequences as examples wanted. `None`:
/// stopped by `watch`.
///
/// # Errors
/// When a forward pass fails, a site is not passed, or no position gives an example.
pub fn gather(
    subject: Subject<'_>,
    pool: &Pool,
    wanted: &Wanted<'_>,
    doing: &str,
    watch: Watch<'_>,
) -> Result<Option<Gathered>> {
    let count = wanted.label.count(subject);
    let labels = if wanted.label.is_many() {
        Labels::Many { count, of: Vec::new() }
    } else {
        Labels::One { count, of: Vec::new() }
    };
    let mut all = Gathered {
        x: vec![(0, Vec::new()); wanted.sites.len()],
        labels,
        logits: Vec::new(),
        sequences: Vec::new(),
        left_out: 0,
    };
    let mut next = wanted.first;
    let end = wanted.first + wanted.examples.max(ROUND) as u64;
    while all.examples() < wanted.examples && next < end {
        if !watch(Progress { doing, done: all.examples(), of: wanted.examples }) {
            return Ok(None);
        }
        let until = end.min(next + ROUND as u64);
        let drawn = (next..until).map(|index| subject.source.sequence(wanted.seed, index));
        let (mut rows, before) = (Vec::new(), until - next);
        rows.extend(drawn.filter(|row| !wanted.without.contains(&row.tokens)));
        all.left_out += usize::try_from(before).unwrap_or(0) - rows.len();
        next = until;
        let chunks: Vec<&[Row]> = rows.chunks(CHUNK).collect();
        let passed = |i: usize| pass(subject, chunks[i], wanted);
        let mut taken = 0;
        pool.fold_in_order(chunks.len(), passed, |found: (Option<Tensor>, Captured)| {
            let rows = chunks[taken];
            taken += 1;
            all.take(wanted, rows, &found)
        })?;
    }
    if all.examples() == 0 {
        return Err(Error::usage(format!(
            "among {} sequences no position \"{}\" has a label \"{}\"; choose other positions or another label",
            next - wanted.first,
            wanted.positions,
            wanted.label
        )));
    }
    Ok(Some(all))
}

fn pass(
    subject: Subject<'_>,
    rows: &[Row],
    wanted: &Wanted<'_>,
) -> Result<(Option<Tensor>, Captured)> {
    let batch = Batch::from_rows(rows);
    forward(subject.model, subject.params, &batch, &[], wanted.sites, wanted.logits)
}

impl Gathered {
    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        rows: &[Row],
        (logits, captured): &(Option<Tensor>, Captured),
    ) -> Result<()> {
        let length = rows.first().map_or(0, Row::len);
        let mut chosen = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let before = chosen.len();
            for position in 0..row.len() {
                let room = self.examples() + chosen.len() < wanted.examples;
                if room
                    && wanted.positions.includes(row, position)
                    && wanted.label.push(row, position, &mut self.labels)
                {
                    chosen.push(i * length + position);
                }
            }
            if chosen.len() > before {
                self.sequences.push(row.clone());
            }
        }
        for (site, (dim, x)) in wanted.sites.iter().zip(&mut self.x) {
            let tensor = captured.get(site).ok_or_else(|| {
                Error::usage(format!("the forward pass of this network has no place {site}"))
            })?;
            let tensor = if site.point.by_head() { merge_heads(tensor)? } else { tensor.clone() };
            *dim = tensor.dim(2)?;
            values(&tensor, |all| chosen.iter().for_each(|&i| x.extend(&all[i * *dim..][..*dim])))?;
        }
        if let Some(logits) = logits.as_ref().filter(|_| wanted.logits) {
            let vocab = logits.dim(2)?;
            values(logits, |all| {
                chosen.iter().for_each(|&i| self.logits.extend(&all[i * vocab..][..vocab]));
            })?;
        }
        Ok(())
    }
}
