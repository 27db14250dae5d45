//! Changes to a network or to its forward pass, as data: sent, recorded, drawn, undone and replayed.

use std::fmt;
use std::str::FromStr;

use crate::base::budget::{MOST_CONTEXT, MOST_VOCAB};
use crate::base::error::{Error, Result};
use crate::base::number::{self, Misread};
use crate::base::vocab::Vocab;

/// Longest text that is read as an intervention: one that patches from a sequence of the most tokens.
const MOST_TEXT_BYTES: usize = 64 << 10;
/// Positions from here on are memory tokens: `MEMORY + 2` is the third, spelled `@m2`.
pub const MEMORY: usize = 1 << 31;
/// Memory tokens of a network.
const MOST_MEMORY: usize = 1 << 16;

/// A memory token in all segments, or in one of them, counted from 0: spelled `@m2` and `@m2:3`.
pub fn memory_token(token: usize, segment: Option<usize>) -> usize {
    MEMORY + segment.map_or(0, |segment| (segment + 1) * MOST_MEMORY) + token
}

/// The memory token and the segment that a position is, if it is one.
pub fn as_memory_token(position: usize) -> Option<(usize, Option<usize>)> {
    let place = position.checked_sub(MEMORY)?;
    Some((place % MOST_MEMORY, (place / MOST_MEMORY).checked_sub(1)))
}
/// Rows of tensors in a sum.
const MOST_TERMS: usize = 1024;
/// Rows of the longest tensor: a vocabulary, or the hidden units of an MLP.
const MOST_ROWS: usize = MOST_VOCAB;

/// A named place in the forward pass. Models share these names, where they have such a place; the axis order is law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Token (and position) embedding `[batch, pos, dim]`; layer 0 only.
    Embed,
    /// Residual stream before the layer `[batch, pos, dim]`.
    ResidPre,
    /// Queries `[batch, head, pos, dim]`, after any rotation.
    Q,
    /// Keys `[batch, head, pos, dim]`, after any rotation.
    K,
    /// Values `[batch, head, pos, dim]`.
    V,
    /// Attention logits `[batch, head, query, key]`, scaled, before the mask.
    Scores,
    /// Attention `[batch, head, query, key]`, rows sum to 1, zero above the diagonal.
    Pattern,
    /// Attended values `[batch, head, pos, dim]`.
    Z,
    /// What the attention writes into the residual stream `[batch, pos, dim]`.
    AttnOut,
    /// Residual stream after attention `[batch, pos, dim]`.
    ResidMid,
    /// Hidden layer of the MLP after its activation `[batch, pos, hidden]`.
    MlpPost,
    /// What the MLP writes `[batch, pos, dim]`.
    MlpOut,
    /// Residual stream after the layer `[batch, pos, dim]`.
    ResidPost,
    /// What the unembedding reads `[batch, pos, dim]`; last layer only.
    Final,
    /// `[batch, pos, vocab]`; last layer only.
    Logits,
    /// A place that a model names itself, such as `hidden`, `gate.update` or `memory.read`: `[batch, pos, ..]`.
    Own(OwnName),
}

/// The name of a place that a model has for itself: small letters, digits, `_` and dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnName([u8; Self::LONGEST]);

impl OwnName {
    /// Bytes of a name; what is longer is cut off.
    pub const LONGEST: usize = 24;

    const fn new(name: &str) -> Self {
        let (from, mut bytes, mut i) = (name.as_bytes(), [0; Self::LONGEST], 0);
        while i < from.len() && i < Self::LONGEST {
            bytes[i] = from[i];
            i += 1;
        }
        Self(bytes)
    }

    /// `None` where it is no such name.
    fn read(name: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_word = |word: &str| !word.is_empty() && word.chars().all(allowed);
        let fits = name.len() <= Self::LONGEST && name.split('.').all(is_word);
        fits.then(|| Self::new(name))
    }

    fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::LONGEST);
        std::str::from_utf8(&self.0[..length]).unwrap_or("?")
    }
}

impl Point {
    /// Those that models share.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Embed, "embed"),
        (Self::ResidPre, "resid_pre"),
        (Self::Q, "q"),
        (Self::K, "k"),
        (Self::V, "v"),
        (Self::Scores, "scores"),
        (Self::Pattern, "pattern"),
        (Self::Z, "z"),
        (Self::AttnOut, "attn_out"),
        (Self::ResidMid, "resid_mid"),
        (Self::MlpPost, "mlp_post"),
        (Self::MlpOut, "mlp_out"),
        (Self::ResidPost, "resid_post"),
        (Self::Final, "final"),
        (Self::Logits, "logits"),
    ];

    /// A place of a model's own, of at most [`OwnName::LONGEST`] bytes.
    pub const fn own(name: &str) -> Self {
        Self::Own(OwnName::new(name))
    }

    pub fn name(&self) -> &str {
        if let Self::Own(name) = self {
            name.as_str()
        } else {
            Self::ALL.iter().find(|(p, _)| p == self).map_or("?", |(_, n)| n)
        }
    }

    /// Whether the last axis is the key.
    pub fn has_keys(self) -> bool {
        matches!(self, Self::Scores | Self::Pattern)
    }

    /// Whether the second axis is the head.
    pub fn by_head(self) -> bool {
        matches!(self, Self::Q | Self::K | Self::V | Self::Scores | Self::Pattern | Self::Z)
    }
}

/// A point in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    pub layer: usize,
    pub point: Point,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer{}.{}", self.layer, self.point.name())
    }
}

/// A part of a point: one head of it or all, some positions or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub site: Site,
    /// `None`: all heads.
    pub head: Option<usize>,
    /// Positions (those of the queries, of scores and patterns), counted through the whole sequence, or memory tokens from
    /// [`MEMORY`] on; empty: all.
    pub positions: Vec<usize>,
    /// Keys, of scores and patterns alone; empty: all.
    pub keys: Vec<usize>,
}

impl Place {
    /// All of a point.
    pub fn all(site: Site) -> Self {
        Self { site, head: None, positions: Vec::new(), keys: Vec::new() }
    }

    /// What a head writes, before its output matrix.
    pub fn head(layer: usize, head: usize) -> Self {
        Self { head: Some(head), ..Self::all(Site { layer, point: Point::Z }) }
    }

    /// Whether anything can have been kept there before: not in the first segment alone, and not at the first position alone.
    pub fn has_before(&self) -> bool {
        let is_later = |at: &usize| match as_memory_token(*at) {
            Some((_, segment)) => segment != Some(0),
            None => *at > 0,
        };
        self.positions.is_empty() || self.positions.iter().any(is_later)
    }

    #[must_use]
    pub fn at(self, positions: impl IntoIterator<Item = usize>) -> Self {
        Self { positions: positions.into_iter().collect(), ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.head {
            Some(head) if self.site.point == Point::Z => {
                write!(f, "layer{}.head{head}", self.site.layer)?;
            }
            Some(head) => write!(f, "{}.head{head}", self.site)?,
            None => write!(f, "{}", self.site)?,
        }
        if !self.positions.is_empty() || !self.keys.is_empty() {
            write!(f, "@{}", spelled(&self.positions))?;
        }
        if !self.keys.is_empty() {
            write!(f, "<-{}", spelled(&self.keys))?;
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_length(text)?;
        parse_place(text).ok_or_else(|| {
            Error::usage(format!(
                "place \"{text}\": expected for example layer1.head0, layer1.k.head0@7, layer0.attn_out@3-9 or, for the attention of query 20 to key 7, layer1.head0@20<-7"
            ))
        })
    }
}

/// A row of a tensor, times a factor: a direction in the residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub factor: f64,
    pub tensor: String,
    pub row: usize,
}

/// What becomes of a place.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It is set to zero. Of a pattern: the edge is cut, and the other weights of the row stay what they are.
    Zero,
    /// Of a pattern: the edge is cut, and the other weights of the row are raised so that they sum to one again.
    Cut,
    Scale(f64),
    /// The sum of the terms is added.
    Add(Vec<Term>),
    /// Its mean over the held-out sequences, by position, in the network without interventions.
    Mean,
    /// What it is on this held-out sequence, in the network without interventions.
    Resample(u64),
    /// What it is on these tokens, in the network without interventions.
    Patch(Vec<u32>),
    /// The output matrix of the MLP is changed (by rank one) so that this token follows these: at the place, which is one position of what an MLP writes, it
    /// reads the fact. It holds for all sequences.
    Rewrite {
        tokens: Vec<u32>,
        to: u32,
    },
    /// What it was before, under the same interventions: in the segment before, or at the position before where a network goes on
    /// position by position. What is written into a memory is then not kept.
    Hold,
}

/// One change, spelled as in the experiment file and on the command line:
/// `freeze layer0.wk`, `unfreeze layer0.wk`, `zero layer1.head0`, `zero layer0.attn_out@7`, `cut layer1.head0@20<-7`,
/// `cut layer1.head0@20<-7 renormalised`, `scale layer1.head0 by 0.5`, `add layer1.resid_pre@7 2*embed[5]-2*embed[9]`,
/// `mean layer1.head0`, `resample layer1.k.head0@7 from 3`, `patch layer1.k.head0@7 from 4 12 9`, `hold layer1.memory.write@m0:2`,
/// `rewrite layer3.mlp_out@3 from 4 12 9 to 5`.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// The tensor gets no gradient, no decay and no momentum until it is unfrozen.
    Freeze(String),
    Unfreeze(String),
    /// A place of the forward pass becomes something else. `zero layer1.head0` means `z` of that head: the
    /// head writes nothing.
    Change {
        place: Place,
        how: How,
    },
}

impl Intervention {
    /// Sets a point to zero: one head of it or all, one position or all.
    pub fn zero(site: Site, head: Option<usize>, position: Option<usize>) -> Self {
        let place = Place { head, ..Place::all(site) }.at(position);
        Self::Change { place, how: How::Zero }
    }

    /// Sets what a head writes to zero.
    pub fn cut_head(layer: usize, head: usize) -> Self {
        Self::Change { place: Place::head(layer, head), how: How::Zero }
    }

    /// Reads it as a person writes it: what to patch from may be text.
    ///
    /// # Errors
    /// When it is none, or the text holds what is no token.
    pub fn written(text: &str, vocab: &Vocab) -> Result<Self> {
        check_length(text)?;
        if let Some(what) = Self::rewriting(text, vocab) {
            return what;
        }
        let from = text.trim().strip_prefix("patch ").and_then(|rest| rest.split_once(" from "));
        let Some((place, from)) = from.filter(|_| text.parse::<Self>().is_err()) else {
            return text.parse();
        };
        let place = place.trim().parse()?;
        let tokens = vocab.encode(from).map_err(|e| e.context("what to patch from"))?;
        if tokens.is_empty() {
            return Err(Error::usage("what to patch from: write at least one token"));
        }
        Ok(Self::Change { place, how: How::Patch(tokens) })
    }

    /// A rewriting with text and new answer as text; `None` where it is none, or has them as numbers.
    fn rewriting(text: &str, vocab: &Vocab) -> Option<Result<Self>> {
        let (place, rest) = text.trim().strip_prefix("rewrite ")?.split_once(" from ")?;
        let (from, to) = rest.rsplit_once(" to ")?;
        if text.parse::<Self>().is_ok() {
            return None;
        }
        let read = |text: &str| vocab.encode(text).map_err(|e| e.context("what to rewrite"));
        let numbers = || -> Result<String> {
            let (tokens, to) = (read(from)?, read(to)?);
            let own: Vec<u32> = to.into_iter().filter(|id| !vocab.is_special(*id)).collect();
            Ok(format!("rewrite {place} from {} to {}", numbered(&tokens), numbered(&own)))
        };
        Some(numbers().and_then(|text| text.parse()))
    }

    /// Whether it changes the forward pass (rather than which tensors are trained).
    pub fn changes_forward(&self) -> bool {
        matches!(self, Self::Change { .. })
    }

    /// Whether it puts in what is found on other sequences, in the network as it is now: that can be looked at and
    /// not trained with.
    pub fn needs_reference(&self) -> bool {
        matches!(
            self,
            Self::Change {
                how: How::Mean | How::Resample(_) | How::Patch(_) | How::Rewrite { .. },
                ..
            }
        )
    }

    /// Whether it changes a matrix, for all sequences, rather than what one pass has at a place.
    pub fn rewrites(&self) -> bool {
        matches!(self, Self::Change { how: How::Rewrite { .. }, .. })
    }
}

/// Whether a head writes nothing, at no position.
pub fn is_cut(in_force: &[Intervention], layer: usize, head: usize) -> bool {
    in_force.iter().any(|what| {
        let Intervention::Change { place, how: How::Zero } = what else { return false };
        let of_it = place.head.is_none_or(|h| h == head) && place.site.point == Point::Z;
        place.site.layer == layer
            && place.positions.is_empty()
            && (of_it || place.site.point == Point::AttnOut)
    })
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, how) = match self {
            Self::Freeze(name) => return write!(f, "freeze {name}"),
            Self::Unfreeze(name) => return write!(f, "unfreeze {name}"),
            Self::Change { place, how } => (place, how),
        };
        match how {
            How::Zero => write!(f, "zero {place}"),
            How::Cut => write!(f, "cut {place} renormalised"),
            How::Scale(factor) => write!(f, "scale {place} by {factor}"),
            How::Add(terms) => write!(f, "add {place} {}", sum(terms)),
            How::Mean => write!(f, "mean {place}"),
            How::Hold => write!(f, "hold {place}"),
            How::Resample(sequence) => write!(f, "resample {place} from {sequence}"),
            How::Patch(tokens) => write!(f, "patch {place} from {}", numbered(tokens)),
            How::Rewrite { tokens, to } => {
                write!(f, "rewrite {place} from {} to {to}", numbered(tokens))
            }
        }
    }
}

impl FromStr for Intervention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_length(text)?;
        let wrong = |why: &str| {
            Error::usage(format!(
                "intervention \"{text}\": {why}; expected for example \"freeze layer0.wk\", \"zero layer1.head0\", \"zero layer0.attn_out@7\", \"cut layer1.head0@20<-7 renormalised\", \"scale layer1.head0 by 0.5\", \"add layer1.resid_pre@7 2*embed[5]\", \"mean layer1.head0\", \"resample layer1.k.head0@7 from 3\", \"hold layer1.memory.write@m0\" or \"patch layer1.k.head0@7 from 4 12 9\""
            ))
        };
        let (verb, object) =
            text.trim().split_once(char::is_whitespace).ok_or_else(|| wrong("no object"))?;
        let object = object.trim();
        if verb == "freeze" {
            return Ok(Self::Freeze(object.to_owned()));
        }
        if verb == "unfreeze" {
            return Ok(Self::Unfreeze(object.to_owned()));
        }
        let (place, rest) = object.split_once(char::is_whitespace).unwrap_or((object, ""));
        let how = parse_how(verb, rest.trim()).map_err(wrong)?;
        let place = parse_place(place).ok_or_else(|| {
            Error::usage(format!(
                "intervention \"{text}\": \"{place}\" is no place; expected for example \"layer1.head0\", \"layer0.attn_out@7\", \"layer1.k.head0@7\", \"layer1.resid_pre\", \"layer1.head0@20<-7\" or \"layer1.memory.write@m0\""
            ))
        })?;
        if how == How::Cut && place.site.point != Point::Pattern {
            return Err(wrong("only attention has weights that sum to one"));
        }
        let is_lookup = place.site.point == Point::MlpOut && place.positions.len() == 1;
        if matches!(how, How::Rewrite { .. }) && !is_lookup {
            return Err(wrong(
                "a fact is rewritten in an MLP at one position, as layer3.mlp_out@3",
            ));
        }
        Ok(Self::Change { place, how })
    }
}

/// # Errors
/// When the text is longer than any intervention; its beginning is quoted.
fn check_length(text: &str) -> Result<()> {
    if text.len() <= MOST_TEXT_BYTES {
        return Ok(());
    }
    let beginning: String = text.chars().take(40).collect();
    Err(Error::usage(format!(
        "intervention \"{beginning}…\": read {} bytes, expected at most {MOST_TEXT_BYTES}",
        text.len()
    )))
}

/// Tokens by their numbers.
fn numbered(tokens: &[u32]) -> String {
    tokens.iter().map(ToString::to_string).collect::<Vec<String>>().join(" ")
}

fn read_numbers(text: &str) -> Option<Vec<u32>> {
    let tokens: Option<Vec<u32>> = text.split_whitespace().map(|t| t.parse().ok()).collect();
    tokens.filter(|tokens| !tokens.is_empty() && tokens.len() <= MOST_CONTEXT)
}

/// First words of all interventions.
pub const VERBS: [&str; 11] = [
    "zero", "cut", "scale", "add", "mean", "hold", "resample", "patch", "rewrite", "freeze",
    "unfreeze",
];

fn parse_how(verb: &str, rest: &str) -> std::result::Result<How, &'static str> {
    let after = |word: &str| rest.strip_prefix(word).map(str::trim);
    match verb {
        "cut" if rest == "renormalised" => Ok(How::Cut),
        "zero" | "cut" if rest.is_empty() => Ok(How::Zero),
        "mean" if rest.is_empty() => Ok(How::Mean),
        "hold" if rest.is_empty() => Ok(How::Hold),
        "zero" | "cut" | "mean" | "hold" => Err("too many words after the place"),
        "scale" => match after("by").map(number::read) {
            Some(Ok(factor)) => Ok(How::Scale(factor)),
            Some(Err(Misread::Either(..))) => {
                Err("the comma may begin the decimals or stand between thousands")
            }
            None | Some(Err(Misread::Neither)) => Err("no \"by\" with a number"),
        },
        "add" => parse_sum(rest).map(How::Add).ok_or("no sum of rows of tensors"),
        "resample" => after("from")
            .and_then(|sequence| sequence.parse().ok())
            .map(How::Resample)
            .ok_or("no \"from\" with the number of a held-out sequence"),
        "patch" => after("from")
            .and_then(read_numbers)
            .map(How::Patch)
            .ok_or("no \"from\" with the numbers of tokens"),
        "rewrite" => after("from")
            .and_then(|rest| rest.split_once(" to "))
            .and_then(|(tokens, to)| Some((read_numbers(tokens)?, to.trim().parse().ok()?)))
            .map(|(tokens, to)| How::Rewrite { tokens, to })
            .ok_or("no \"from\" with the numbers of tokens and \"to\" with that of the new answer"),
        _ => Err("unknown verb"),
    }
}

fn parse_place(object: &str) -> Option<Place> {
    let (place, at) = match object.split_once('@') {
        Some((place, at)) => (place, at),
        None => (object, ""),
    };
    let (positions, keys) = at.split_once("<-").unwrap_or((at, ""));
    let (positions, keys) = (parse_positions(positions)?, parse_positions(keys)?);
    let mut parts = place.split('.');
    let layer = below(MOST_COUNTED, parts.next()?.strip_prefix("layer")?)?;
    // An edge is one of the attention; anything else of a head is what it writes.
    let mut point = if keys.is_empty() { Point::Z } else { Point::Pattern };
    let (mut head, mut seen) = (None, !keys.is_empty());
    let mut name = Vec::new();
    for part in parts {
        seen = true;
        let is_number = |h: &&str| !h.is_empty() && h.bytes().all(|b| b.is_ascii_digit());
        match part.strip_prefix("head").filter(is_number) {
            Some(h) => head = Some(below(MOST_COUNTED, h)?),
            None => name.push(part),
        }
    }
    if !name.is_empty() {
        point = parse_point(&name.join("."))?;
    }
    let edges = point.has_keys();
    (seen && (edges || keys.is_empty())).then_some(Place {
        site: Site { layer, point },
        head,
        positions,
        keys,
    })
}

/// A shared name, or else one of a model's own.
fn parse_point(name: &str) -> Option<Point> {
    let shared = Point::ALL.iter().find(|(_, n)| *n == name).map(|(point, _)| *point);
    shared.or_else(|| OwnName::read(name).map(Point::Own))
}

/// Layers and heads that can be written; whether a network has them is another question.
const MOST_COUNTED: usize = 1_000_000;

/// A number below `most`.
fn below(most: usize, text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number < most)
}

/// `7`, or `m7` for a memory token, or `m7:2` for that of one segment; a row that positions were compressed into may be called `cm7`.
fn parse_position(text: &str) -> Option<usize> {
    let token = text.strip_prefix('m').or_else(|| text.strip_prefix("cm"));
    let Some(token) = token else { return below(MOST_CONTEXT, text) };
    let (token, segment) = match token.split_once(':') {
        Some((token, segment)) => (token, Some(below(MOST_CONTEXT, segment)?)),
        None => (token, None),
    };
    below(MOST_MEMORY, token).map(|token| memory_token(token, segment))
}

/// `7`, `3,5`, `3-9`, `m0-m3` or several of them; nothing: all.
fn parse_positions(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('-') {
            Some((from, to)) => {
                let to = parse_position(to)?;
                let from = match (parse_position(from)?, as_memory_token(to)) {
                    // `m0-m2:1`: of that segment all.
                    (from, Some((_, Some(segment)))) if from < MEMORY + MOST_MEMORY => {
                        memory_token(as_memory_token(from)?.0, Some(segment))
                    }
                    (from, _) => from,
                };
                if from > to || to - from >= MOST_CONTEXT {
                    return None;
                }
                all.extend(from..=to);
            }
            None => all.push(parse_position(part)?),
        }
        // A position that is there twice means nothing more.
        if all.len() > MOST_CONTEXT {
            return None;
        }
    }
    Some(all)
}

/// Positions as [`parse_positions`] reads them, runs of them as ranges.
pub(super) fn spelled(positions: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &position in positions {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == position => *to = position,
            _ => runs.push((position, position)),
        }
    }
    let run = |(from, to): &(usize, usize)| {
        if from == to { label(*from) } else { format!("{}-{}", label(*from), label(*to)) }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// A position as places spell it: `7`, or `m7` for a memory token, `m7:2` where it is that of one segment.
pub fn label(position: usize) -> String {
    match as_memory_token(position) {
        Some((token, None)) => format!("m{token}"),
        Some((token, Some(segment))) => format!("m{token}:{segment}"),
        None => position.to_string(),
    }
}

/// `2*embed[5]-embed[9]`
fn parse_sum(text: &str) -> Option<Vec<Term>> {
    let text: String = text.split_whitespace().collect();
    let mut terms = Vec::new();
    let mut rest = &text[..];
    while !rest.is_empty() {
        let end = rest.find(']')? + 1;
        let (term, more) = rest.split_at(end);
        rest = more;
        let (factor, row) = term.split_once('*').unwrap_or_else(|| {
            let sign = usize::from(term.starts_with(['+', '-']));
            term.split_at(sign)
        });
        let factor = match factor {
            "" | "+" => 1.0,
            "-" => -1.0,
            factor => number::read(factor).ok()?,
        };
        let (tensor, row) = row.strip_suffix(']')?.split_once('[')?;
        if tensor.is_empty() || terms.len() == MOST_TERMS {
            return None;
        }
        terms.push(Term { factor, tensor: tensor.to_owned(), row: below(MOST_ROWS, row)? });
    }
    (!terms.is_empty()).then_some(terms)
}

fn sum(terms: &[Term]) -> String {
    let term = |(i, t): (usize, &Term)| {
        // A zero has a sign too.
        let sign = if i > 0 && t.factor.is_sign_positive() { "+" } else { "" };
        format!("{sign}{}*{}[{}]", t.factor, t.tensor, t.row)
    };
    terms.iter().enumerate().map(term).collect()
}
