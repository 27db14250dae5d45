//! What a lesson claims, as something that can be checked: `accuracy_in_context < 0.3`, `token @24 = o`.

use std::fmt;
use std::str::FromStr;

use crate::base::batch::Row;
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::intervention::{Place, Point};
use crate::base::number;
use crate::base::question::{MeasurementCall, Reading, Readings};
use crate::base::vocab::Vocab;
use crate::run_folder::recording::Recording;

use super::lesson::When;

/// A claim about what is in view.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    Number {
        of: Quantity,
        than: Than,
        value: f64,
    },
    /// The token at a position of the sequence in view.
    Token {
        at: usize,
        is: String,
    },
    /// The likeliest next token at a position.
    Predicts {
        at: usize,
        is: String,
    },
}

/// A number that can be observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A column of the metrics. With nothing in force, that of the last evaluation; of a moment that is said, as it was
    /// recorded; else on a few held-out sequences, under what is in force.
    Metric { column: String, at: Option<When> },
    /// The attention of a head from one position to another.
    Attention { layer: usize, head: usize, query: usize, key: usize },
    /// The probability of the right next token at a position.
    Probability(usize),
    /// What the panel Gating draws at a tuple.
    Gate { tuple: usize, what: Gate },
}

/// Numbers of a tuple, as [`crate::measurement::gating`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// How far its door stands open, and how much of that its keys do.
    Open,
    Keys,
    /// What its query does.
    Query,
    /// Its attention to an earlier tuple, mean over heads.
    Attends(usize),
}

impl Gate {
    /// The array that has it.
    fn array(self) -> &'static str {
        match self {
            Self::Open => "input_gate",
            Self::Keys => "input_effect",
            Self::Query => "output_effect",
            Self::Attends(_) => "attention_mean",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Keys => f.write_str("keys"),
            Self::Query => f.write_str("query"),
            Self::Attends(to) => write!(f, "attends {to}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Than {
    Less,
    More,
}

/// The measurement that tells how well a network does under what is in force.
pub const EFFECT: &str = "effect";

const LIKE: &str = "accuracy_in_context < 0.3, loss < 2 at 60, attention layer1.head0@24<-2 > 0.9, probability @24 > 0.8, tuple 2 open < 0.1, tuple 5 attends 1 > 0.3, token @24 = o or predicts @24 = y";

impl fmt::Display for Than {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::More => ">",
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { at, is } => write!(f, "token @{at} = {is}"),
            Self::Predicts { at, is } => write!(f, "predicts @{at} = {is}"),
            Self::Number { of, than, value } => match of {
                Quantity::Metric { column, at } => {
                    write!(f, "{column} {than} {value}")?;
                    at.as_ref().map_or(Ok(()), |at| write!(f, " at {at}"))
                }
                Quantity::Attention { layer, head, query, key } => {
                    write!(f, "attention layer{layer}.head{head}@{query}<-{key} {than} {value}")
                }
                Quantity::Probability(at) => write!(f, "probability @{at} {than} {value}"),
                Quantity::Gate { tuple, what } => write!(f, "tuple {tuple} {what} {than} {value}"),
            },
        }
    }
}

impl FromStr for Expectation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::usage(format!("\"{text}\" cannot be checked: expected for example {LIKE}"));
        for verb in ["token", "predicts"] {
            if let Some(rest) = text.strip_prefix(verb).filter(|rest| rest.starts_with(' ')) {
                let (at, is) = rest.split_once(" = ").ok_or_else(wrong)?;
                let (at, is) = (position(at).ok_or_else(wrong)?, is.to_owned());
                return Ok(match verb {
                    "token" => Self::Token { at, is },
                    _ => Self::Predicts { at, is },
                });
            }
        }
        // An edge of the attention holds a `<` of its own: the sign stands between spaces.
        let signs = [(" < ", Than::Less), (" > ", Than::More)];
        let found = signs.into_iter().find_map(|(sign, than)| {
            text.split_once(sign).map(|(what, rest)| (what.trim(), than, rest))
        });
        let (what, than, rest) = found.ok_or_else(wrong)?;
        let (value, at) = match rest.split_once(" at ") {
            Some((value, at)) => (value, Some(at.parse()?)),
            None => (rest, None),
        };
        let value = number::read(value.trim())
            .map_err(|why| Error::usage(format!("\"{text}\": read \"{}\": {why}", value.trim())))?;
        let of = quantity(what, at).ok_or_else(wrong)?;
        Ok(Self::Number { of, than, value })
    }
}

fn quantity(what: &str, at: Option<When>) -> Option<Quantity> {
    match what.split_once(' ') {
        None if !what.is_empty() => Some(Quantity::Metric { column: what.to_owned(), at }),
        Some(("attention", edge)) if at.is_none() => {
            let Place { site, head, positions, keys } = edge.trim().parse().ok()?;
            let ([query], [key]) = (&positions[..], &keys[..]) else { return None };
            let (layer, head) = (site.layer, head.filter(|_| site.point == Point::Pattern)?);
            Some(Quantity::Attention { layer, head, query: *query, key: *key })
        }
        Some(("probability", rest)) if at.is_none() => position(rest).map(Quantity::Probability),
        Some(("tuple", rest)) if at.is_none() => {
            let (tuple, what) = rest.split_once(' ')?;
            Some(Quantity::Gate { tuple: tuple.parse().ok()?, what: gate(what)? })
        }
        None | Some(_) => None,
    }
}

fn gate(what: &str) -> Option<Gate> {
    match what.split_once(' ') {
        Some(("attends", to)) => to.parse().ok().map(Gate::Attends),
        Some(_) => None,
        None => [Gate::Open, Gate::Keys, Gate::Query].into_iter().find(|g| g.to_string() == what),
    }
}

/// ` @24`.
fn position(text: &str) -> Option<usize> {
    text.trim().strip_prefix('@')?.parse().ok()
}

/// What is in view.
pub struct Scene<'a> {
    pub recording: &'a Recording,
    pub vocab: &'a Vocab,
    pub row: &'a Row,
    pub step: u64,
    /// Something changes the forward pass.
    pub changed: bool,
    /// Answers about this step, this sequence and these changes; `None` while they are awaited.
    pub readings: Option<&'a Readings>,
}

/// What was observed, in words where it is no number, and whether it is as expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub seen: String,
    pub holds: bool,
}

impl Scene<'_> {
    fn reading(&self, call: &MeasurementCall) -> Option<&Reading> {
        Some(self.readings?.get(call)?.as_ref().ok()?)
    }
}

impl Expectation {
    /// The questions whose answers tell it.
    pub fn calls(&self) -> Vec<MeasurementCall> {
        let name = match self {
            Self::Token { .. } => return Vec::new(),
            Self::Predicts { .. } | Self::Number { of: Quantity::Probability(_), .. } => {
                "predictions"
            }
            Self::Number { of: Quantity::Attention { .. }, .. } => "attention",
            Self::Number { of: Quantity::Gate { .. }, .. } => "gating",
            Self::Number { of: Quantity::Metric { at: Some(_), .. }, .. } => return Vec::new(),
            Self::Number { of: Quantity::Metric { .. }, .. } => EFFECT,
        };
        vec![MeasurementCall::new(name)]
    }

    /// `None` as long as it is not known.
    pub fn observed(&self, scene: &Scene<'_>) -> Option<Observed> {
        let told = |id: u32, is: &str| {
            let holds = scene.vocab.text(id) == is || scene.vocab.glyph(id) == is;
            Observed { seen: scene.vocab.glyph(id), holds }
        };
        match self {
            Self::Token { at, is } => scene.row.tokens.get(*at).map(|id| told(*id, is)),
            Self::Predicts { at, is } => likeliest(scene, *at).map(|id| told(id, is)),
            Self::Number { of, than, value } => {
                let seen = of.observed(scene)?;
                let holds = match than {
                    Than::Less => seen < *value,
                    Than::More => seen > *value,
                };
                Some(Observed { seen: short(seen), holds })
            }
        }
    }
}

/// A number to three digits: what a person compares.
fn short(x: f64) -> String {
    if x.abs() < 10.0 { format!("{x:.2}") } else { format!("{x:.0}") }
}

fn likeliest(scene: &Scene<'_>, at: usize) -> Option<u32> {
    let tokens = scene.reading(&MeasurementCall::new("predictions"))?.array("token")?;
    let ranks = tokens.shape.get(1)?;
    tokens.data.get(at * ranks).map(|id| convert::natural(*id))
}

impl Quantity {
    fn observed(&self, scene: &Scene<'_>) -> Option<f64> {
        let value = match self {
            Self::Metric { column, at } => return of_metric(scene, column, at.as_ref()),
            Self::Attention { layer, head, query, key } => {
                let reading = scene.reading(&MeasurementCall::new("attention"))?;
                let pattern = reading.array(&format!("pattern.layer{layer}"))?;
                let [_, queries, keys] = pattern.shape[..] else { return None };
                let key = key + pattern.axes.get(2)?.origin();
                *pattern.data.get((head * queries + query) * keys + key)?
            }
            Self::Probability(at) => {
                let reading = scene.reading(&MeasurementCall::new("predictions"))?;
                *reading.array("target_probability")?.data.get(*at)?
            }
            Self::Gate { tuple, what } => {
                let found = scene.reading(&MeasurementCall::new("gating"))?.array(what.array())?;
                match (what, &found.shape[..]) {
                    (Gate::Attends(to), [_, tuples]) if to < tuples => {
                        *found.data.get(tuple * tuples + to)?
                    }
                    (Gate::Attends(_), _) => return None,
                    (Gate::Open | Gate::Keys | Gate::Query, _) => *found.data.get(*tuple)?,
                }
            }
        };
        Some(value.into()).filter(|value: &f64| value.is_finite())
    }
}

fn of_metric(scene: &Scene<'_>, column: &str, at: Option<&When>) -> Option<f64> {
    if scene.changed && at.is_none() {
        return scene.reading(&MeasurementCall::new(EFFECT))?.number(column);
    }
    let step = match at {
        Some(when) => when.step(scene.recording)?,
        None => scene.step,
    };
    let index = scene.recording.column(column)?;
    let value = *scene.recording.row_at(step)?.values.get(index)?;
    Some(value).filter(|value| value.is_finite())
}

impl When {
    /// The step of a run that it means; `None` where that has not come yet.
    pub fn step(&self, recording: &Recording) -> Option<u64> {
        match self {
            Self::Step(step) => (recording.last_step >= *step).then_some(*step),
            Self::Mark(id) => recording.marks.iter().find(|m| m.id == *id).map(|m| m.step),
            Self::Live => Some(recording.last_step),
        }
    }
}
