//! Examples for readers: what stands at a place of the forward pass, with what it should tell.

use std::collections::BTreeSet;
use std::fmt;

use candle_core::Tensor;

use crate::base::batch::{Batch, NO_TARGET, Row};
use crate::base::error::{Error, Result, did_you_mean};
use crate::base::intervention::{Point, Site};
use crate::base::label::LabelKind;
use crate::base::tree::Tree;
use crate::measurement::read::{argmax, values};
use crate::measurement::{Subject, causal};
use crate::model::pass::forward;
use crate::nn::attention::merge_heads;
use crate::nn::edit::Edit;
use crate::nn::kernel::pool::Pool;
use crate::nn::tap::Captured;
use crate::task::tree_path::Trees;

use super::{Progress, Watch};

/// Sequences in one forward pass.
const CHUNK: usize = 4;
/// Sequences between two looks at how many examples there are.
const ROUND: usize = 64;
/// No sequence is longer.
const MOST_POSITION: usize = 1 << 20;
/// The published test of a register: layers, from the last, and the KL in nats from which it is important.
const REGISTER_LAYERS: usize = 2;
const REGISTER_KL: f64 = 0.7;

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
    /// These, from 0, as they were written.
    Among(Vec<usize>, String),
    /// Of a tree: where the published network keeps sub-paths ([`crate::base::tree::Script::registers`]).
    Registers,
    /// Of these, those that the first step of the path needs ([`causal::knock_out::Registers`], two layers, 0.7 nats).
    Important,
}

impl Positions {
    /// `all`, a role of the task, `other` (no role), `repeated` (the answer was seen before), `registers` or `important` (of
    /// trees), or numbers of positions, e.g. `36,38-42`.
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
            "registers" => return Ok(Self::Registers),
            "important" => return Ok(Self::Important),
            _ => {}
        }
        let words = ["all", "other", "repeated", "registers", "important"];
        let known: Vec<&str> = roles.iter().copied().chain(words).collect();
        let numbers = numbers(text);
        numbers.map(|all| Self::Among(all, text.to_owned())).ok_or_else(|| {
            Error::usage(format!(
                "positions \"{text}\": expected {}, or numbers of positions such as 7 or 36,38-42.{}",
                known.join(", "),
                did_you_mean(text, known.iter().copied())
            ))
        })
    }

    /// Whether each position of a sequence is one of them.
    ///
    /// # Errors
    /// When a forward pass fails that tells which registers are important.
    pub fn of(&self, subject: Subject<'_>, row: &Row) -> Result<Vec<bool>> {
        let among = |at: &[usize]| (0..row.len()).map(|i| at.contains(&i)).collect();
        let tree = || tree_of(subject, row);
        Ok(match self {
            Self::All => vec![true; row.len()],
            Self::Role(bit, _) => row.roles.iter().map(|roles| roles >> bit & 1 == 1).collect(),
            Self::Other => row.roles.iter().map(|roles| *roles == 0).collect(),
            Self::Repeated => row.occurrence.iter().map(|seen| *seen >= 2).collect(),
            Self::Among(wanted, _) => among(wanted),
            Self::Registers => among(&tree().map_or(Vec::new(), |t| t.script().registers().into())),
            Self::Important => among(&match tree() {
                Some(tree) => important(subject, row, &tree)?,
                None => Vec::new(),
            }),
        })
    }

    /// The same of each sequence of a batch, row by row.
    pub fn mask(&self, subject: Subject<'_>, batch: &Batch) -> Result<Vec<bool>> {
        let rows = (0..batch.rows).map(|row| self.of(subject, &batch.row(row)));
        Ok(rows.collect::<Result<Vec<_>>>()?.concat())
    }
}

/// `36,38-42`, both ends counted; `None` where it is no such text.
pub fn numbers(text: &str) -> Option<Vec<usize>> {
    let part = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (from <= to && to < MOST_POSITION).then_some(from..=to)
    };
    let parts: Option<Vec<_>> = text.split(',').map(part).collect();
    Some(parts?.into_iter().flatten().collect())
}

/// The registers of a tree that the first step needs.
fn important(subject: Subject<'_>, row: &Row, tree: &Tree) -> Result<Vec<usize>> {
    let script = tree.script();
    let rule = causal::knock_out::Registers {
        at: script.root(),
        candidates: script.registers().into(),
        layers: REGISTER_LAYERS,
        least_kl: REGISTER_KL,
    };
    let found = rule.run(subject, row)?;
    Ok(found.iter().filter(|found| found.important).map(|found| found.position).collect())
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Other => f.write_str("other"),
            Self::Repeated => f.write_str("repeated"),
            Self::Registers => f.write_str("registers"),
            Self::Important => f.write_str("important"),
            Self::Role(_, name) | Self::Among(_, name) => f.write_str(name),
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
    /// Of a tree, for each node whether it is on the sub-path that the attention of the network has climbed from this
    /// position: many labels at once; nothing where that has fewer than two nodes.
    SubPath,
    /// What the task offers under this name.
    OfTask(LabelKind),
}

impl Label {
    /// `token`, `token-1`, `target`, `position`, `seen`, `sub_path`, or one of those that the task offers.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, of_task: &[LabelKind]) -> Result<Self> {
        match text {
            "token" => return Ok(Self::Token(0)),
            "target" => return Ok(Self::Target),
            "position" => return Ok(Self::Position),
            "seen" => return Ok(Self::Seen),
            "sub_path" => return Ok(Self::SubPath),
            _ => {}
        }
        if let Some(kind) = of_task.iter().find(|kind| kind.name == text) {
            return Ok(Self::OfTask(*kind));
        }
        let offset = text.strip_prefix("token").and_then(|offset| offset.parse().ok());
        offset.map(Self::Token).ok_or_else(|| {
            let names: Vec<&str> = of_task.iter().map(|kind| kind.name).collect();
            let offered = match names.len() {
                0 => String::new(),
                _ => format!("; of this task {}", names.join(", ")),
            };
            let known = ["target", "position", "seen", "sub_path"].into_iter().chain(names);
            Error::usage(format!(
                "label \"{text}\": expected token, token-1, token+2 (and so on), target, position, seen or sub_path{offered}.{}",
                did_you_mean(text, known)
            ))
        })
    }

    /// Whether an example has many labels, each true or false, instead of one of many.
    pub fn is_many(self) -> bool {
        match self {
            Self::Seen | Self::SubPath => true,
            Self::OfTask(kind) => kind.many,
            Self::Token(_) | Self::Target | Self::Position => false,
        }
    }

    /// Number of classes, or of labels.
    pub fn count(self, subject: Subject<'_>) -> usize {
        let Subject { model, source, .. } = subject;
        match self {
            Self::Position => model.layout().length,
            Self::OfTask(kind) => source.label_classes(kind.name),
            Self::SubPath => source.facet().map_or(1, Trees::nodes),
            Self::Token(_) | Self::Target | Self::Seen => model.layout().vocab,
        }
    }

    /// Where the forward pass is looked at besides.
    fn sites(self, subject: Subject<'_>) -> Vec<Site> {
        let heads = subject.model.layout().heads.iter().enumerate();
        let pattern = |(layer, _)| Site { layer, point: Point::Pattern };
        match self {
            Self::SubPath => heads.filter(|(_, heads)| **heads > 0).map(pattern).collect(),
            Self::Token(_) | Self::Target | Self::Position | Self::Seen | Self::OfTask(_) => {
                Vec::new()
            }
        }
    }

    /// What is told of each position of a sequence: its class, or all truths that hold. `index` is its number in the
    /// forward pass.
    fn told(
        self,
        subject: Subject<'_>,
        row: &Row,
        index: usize,
        captured: &Captured,
    ) -> Result<Vec<Option<Vec<usize>>>> {
        let each = |told: &dyn Fn(usize) -> Option<usize>| {
            (0..row.len()).map(|at| told(at).map(|class| vec![class])).collect()
        };
        Ok(match self {
            Self::Token(offset) => each(&|at| {
                let at = i64::try_from(at).ok()? + i64::from(offset);
                row.tokens.get(usize::try_from(at).ok()?).map(|token| *token as usize)
            }),
            Self::Target => {
                each(&|at| Some(row.targets[at]).filter(|t| *t != NO_TARGET).map(|t| t as usize))
            }
            Self::Position => each(&Some),
            Self::Seen => {
                let seen = |at: usize| row.tokens[..=at].iter().map(|t| *t as usize).collect();
                (0..row.len()).map(|at| Some(seen(at))).collect()
            }
            Self::SubPath => match tree_of(subject, row) {
                Some(tree) => sub_paths(&tree, &attention(self, subject, index, captured)?),
                None => Vec::new(),
            },
            Self::OfTask(kind) => subject.source.labels(kind.name, row),
        })
    }
}

/// The tree that a sequence writes down, where it does.
fn tree_of(subject: Subject<'_>, row: &Row) -> Option<Tree> {
    subject.source.facet::<Trees>()?.tree(&row.tokens)
}

/// The largest attention of any head, by layer, `[query, key]`, of one sequence of a forward pass.
fn attention(
    label: Label,
    subject: Subject<'_>,
    index: usize,
    captured: &Captured,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let layer = |site: Site| {
        let pattern = captured.get(&site).ok_or_else(|| no_place(site))?;
        Ok(pattern.get(index)?.max(0)?.to_vec2::<f32>()?)
    };
    label.sites(subject).into_iter().map(layer).collect()
}

/// The sub-path of each position: the nodes that it has climbed by its largest attention in all layers but the last, after
/// Brinkmann et al. 2024. A register does not look at the registers before it.
fn sub_paths(tree: &Tree, attention: &[Vec<Vec<f32>>]) -> Vec<Option<Vec<usize>>> {
    let registers = tree.script().registers();
    let layers = attention.len().saturating_sub(1);
    let length = attention.first().map_or(0, Vec::len);
    let climb = |at: usize| {
        let brought = |(layer, rows): (usize, &Vec<Vec<f32>>)| {
            let hidden =
                |key: usize| registers.contains(&at) && key < at && registers.contains(&key);
            let seen = rows[at].iter().enumerate();
            let most =
                argmax(seen.map(|(key, w)| if hidden(key) { f32::NEG_INFINITY } else { *w }));
            tree.brought_by(layer, most)
        };
        let brought: Vec<Option<usize>> =
            attention[..layers].iter().enumerate().map(brought).collect();
        Some(tree.climbed(&brought)).filter(|nodes| nodes.len() > 1)
    };
    (0..length).map(climb).collect()
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(0) => f.write_str("token"),
            Self::Token(offset) => write!(f, "token{offset:+}"),
            Self::Target => f.write_str("target"),
            Self::Position => f.write_str("position"),
            Self::Seen => f.write_str("seen"),
            Self::SubPath => f.write_str("sub_path"),
            Self::OfTask(kind) => f.write_str(kind.name),
        }
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
    /// Adds those of an example: its class, or the truths that hold.
    fn push(&mut self, told: &[usize]) {
        match self {
            Self::One { of, .. } => of.extend(told.first().and_then(|c| u32::try_from(*c).ok())),
            Self::Many { count, of } => {
                let start = of.len();
                of.resize(start + *count, false);
                for truth in told {
                    if let Some(known) = of[start..].get_mut(*truth) {
                        *known = true;
                    }
                }
            }
        }
    }

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
    /// What changes the forward pass.
    pub edits: &'a [Edit],
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
        pool.fold_in_order(chunks.len(), passed, |found: Passed| {
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

/// What a forward pass over some sequences gives.
struct Passed {
    logits: Option<Tensor>,
    captured: Captured,
    /// By sequence and position; `None` where there is no example.
    told: Vec<Vec<Option<Vec<usize>>>>,
}

fn pass(subject: Subject<'_>, rows: &[Row], wanted: &Wanted<'_>) -> Result<Passed> {
    let Subject { model, params, .. } = subject;
    let batch = Batch::from_rows(rows);
    let mut sites = wanted.sites.to_vec();
    sites.extend(wanted.label.sites(subject));
    let (logits, captured) = forward(model, params, &batch, wanted.edits, &sites, wanted.logits)?;
    let told = |(index, row): (usize, &Row)| {
        let chosen = wanted.positions.of(subject, row)?;
        let told = wanted.label.told(subject, row, index, &captured)?;
        Ok(told.into_iter().zip(chosen).map(|(told, chosen)| told.filter(|_| chosen)).collect())
    };
    let told = rows.iter().enumerate().map(told).collect::<Result<_>>()?;
    Ok(Passed { logits, captured, told })
}

fn no_place(site: Site) -> Error {
    Error::usage(format!("the forward pass of this network has no place {site}"))
}

impl Gathered {
    fn take(&mut self, wanted: &Wanted<'_>, rows: &[Row], found: &Passed) -> Result<()> {
        let length = rows.first().map_or(0, Row::len);
        let already = self.examples();
        let mut chosen = Vec::new();
        for (i, (row, told)) in rows.iter().zip(&found.told).enumerate() {
            let before = chosen.len();
            for (position, told) in told.iter().enumerate() {
                if let Some(told) = told
                    && already + chosen.len() < wanted.examples
                {
                    self.labels.push(told);
                    chosen.push(i * length + position);
                }
            }
            if chosen.len() > before {
                self.sequences.push(row.clone());
            }
        }
        for (site, (dim, x)) in wanted.sites.iter().zip(&mut self.x) {
            let tensor = found.captured.get(site).ok_or_else(|| no_place(*site))?;
            let tensor = if site.point.by_head() { merge_heads(tensor)? } else { tensor.clone() };
            *dim = tensor.dim(2)?;
            values(&tensor, |all| chosen.iter().for_each(|&i| x.extend(&all[i * *dim..][..*dim])))?;
        }
        if let Some(logits) = found.logits.as_ref().filter(|_| wanted.logits) {
            let vocab = logits.dim(2)?;
            values(logits, |all| {
                chosen.iter().for_each(|&i| self.logits.extend(&all[i * vocab..][..vocab]));
            })?;
        }
        Ok(())
    }
}
