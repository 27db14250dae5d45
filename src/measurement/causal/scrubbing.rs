//! Causal scrubbing of path hypotheses (Goldowsky-Dill et al. 2023): the network, unfolded into paths from the
//! embedding to the logits, is given the base sequence along the important paths and the counterfactual one along
//! all others. MLPs are recomputed: they are part of every path.

use std::collections::BTreeMap;
use std::str::FromStr;

use candle_core::Tensor;

use super::effect::{Estimate, estimate};
use super::{Part, Side, Stage, patch};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::model::Layout;
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::Captured;

/// How a head is read into.
const CHANNELS: [Point; 3] = [Point::Q, Point::K, Point::V];

/// A stop on a path: a head, entered by its queries, keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stop {
    pub layer: usize,
    pub head: usize,
    /// `Q`, `K` or `V`.
    pub channel: Point,
}

/// The important paths, as the tree that they make from their end: what a reader gets from the base sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// The embedding comes in directly.
    embedding: bool,
    /// Heads that come in, each with what its channels are fed by.
    heads: BTreeMap<(usize, usize), BTreeMap<Point, Self>>,
}

impl Hypothesis {
    /// Takes the path from the embedding through these stops to the logits as important.
    ///
    /// # Errors
    /// When a stop does not lie in a later layer than the one before it.
    pub fn add(&mut self, stops: &[Stop]) -> Result<()> {
        let rises = stops.windows(2).all(|pair| pair[0].layer < pair[1].layer);
        if !rises {
            return Err(Error::usage(
                "a path leads from the embedding upward: each head lies in a later layer than the one before it",
            ));
        }
        let mut reader = self;
        for stop in stops.iter().rev() {
            let head = reader.heads.entry((stop.layer, stop.head)).or_default();
            reader = head.entry(stop.channel).or_default();
        }
        reader.embedding = true;
        Ok(())
    }

    /// All paths of a network.
    pub fn everything(layout: &Layout) -> Result<Self> {
        let mut all = Self::default();
        let mut paths: Vec<Vec<Stop>> = vec![Vec::new()];
        for (layer, &heads) in layout.heads.iter().enumerate() {
            let mut longer = Vec::new();
            for path in &paths {
                for head in 0..heads {
                    longer.extend(CHANNELS.map(|channel| {
                        let stop = Stop { layer, head, channel };
                        [path.as_slice(), &[stop]].concat()
                    }));
                }
            }
            paths.extend(longer);
        }
        paths.iter().try_for_each(|path| all.add(path))?;
        Ok(all)
    }

    pub fn is_empty(&self) -> bool {
        !self.embedding && self.heads.is_empty()
    }
}

impl FromStr for Hypothesis {
    type Err = Error;

    /// Paths, one a line or with semicolons between: `embed > layer0.v.head1 > layer1.k.head0 > logits`.
    fn from_str(text: &str) -> Result<Self> {
        let mut hypothesis = Self::default();
        let lines = text.split(['\n', ';']).map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || {
                Error::usage(format!(
                    "path \"{line}\": expected for example embed > layer0.v.head1 > layer1.k.head0 > logits"
                ))
            };
            let parts: Vec<&str> = line.split('>').map(str::trim).collect();
            let (Some(&"embed"), Some(&"logits")) = (parts.first(), parts.last()) else {
                return Err(wrong());
            };
            let inner = parts.get(1..parts.len().saturating_sub(1)).unwrap_or(&[]);
            let stops: Option<Vec<Stop>> = inner.iter().map(|part| stop(part)).collect();
            hypothesis.add(&stops.ok_or_else(wrong)?)?;
        }
        if hypothesis.is_empty() {
            return Err(Error::usage("a hypothesis needs at least one important path"));
        }
        Ok(hypothesis)
    }
}

/// `layer1.k.head0`
fn stop(text: &str) -> Option<Stop> {
    let mut parts = text.split('.');
    let layer = parts.next()?.strip_prefix("layer")?.parse().ok()?;
    let name = parts.next()?;
    let channel = CHANNELS.into_iter().find(|c| c.name() == name)?;
    let head = parts.next()?.strip_prefix("head")?.parse().ok()?;
    parts.next().is_none().then_some(Stop { layer, head, channel })
}

/// How much of the behaviour the important paths explain. Effects are absolute differences of the logit difference
/// from that of the base run.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// With the important paths on the base sequence: mean over pairs.
    pub unexplained: Estimate,
    /// With no important path: the counterfactual run.
    pub total: Estimate,
    /// 1 − unexplained / total; NaN where there is no effect to explain.
    pub share: f64,
    /// Logit differences of the hypothesis, by pair.
    pub differences: Vec<f64>,
}

/// The means are over the pairs whose numbers are `counted`.
///
/// # Errors
/// When the network has no such head, or a forward pass fails.
pub fn explained(
    stage: &Stage<'_>,
    hypothesis: &Hypothesis,
    counted: &[usize],
) -> Result<Explained> {
    let mut differences = Vec::new();
    for part in stage.pairs.parts() {
        let unfolded = Unfolded::new(stage, part)?;
        let edits = unfolded.fed(hypothesis)?;
        let (logits, _) = part.run(stage.subject, Side::Other, &edits, &[])?;
        differences.extend(stage.seen(part, &logits).iter().map(|seen| seen.difference));
    }
    let away = |difference: &dyn Fn(usize) -> f64| {
        let effect = |&i: &usize| (difference(i) - stage.base[i].difference).abs();
        estimate(&counted.iter().map(effect).collect::<Vec<f64>>())
    };
    let unexplained = away(&|i| differences[i]);
    let total = away(&|i| stage.other[i].difference);
    let share = if total.mean > 0.0 { 1.0 - unexplained.mean / total.mean } else { f64::NAN };
    Ok(Explained { unexplained, total, share, differences })
}

/// The counterfactual run of some pairs, into which the base sequence is led along paths.
struct Unfolded<'a> {
    stage: &'a Stage<'a>,
    part: &'a Part,
    /// What the heads write in the counterfactual run.
    frozen: Vec<Edit>,
    /// The embedding of the base sequences.
    embedding: Tensor,
}

const EMBED: Site = Site { layer: 0, point: Point::Embed };

impl<'a> Unfolded<'a> {
    fn new(stage: &'a Stage<'a>, part: &'a Part) -> Result<Self> {
        let layers = stage.subject.model.layout().heads.len();
        let sites: Vec<Site> = (0..layers).map(|layer| Site { layer, point: Point::Z }).collect();
        let other = part.capture(stage.subject, Side::Other, &[], &sites)?;
        let frozen = other.iter().map(|(site, z)| Edit::all(*site, With::Replace(z.clone())));
        let base = part.capture(stage.subject, Side::Base, &[], &[EMBED])?;
        let embedding = base.get(&EMBED).cloned();
        let embedding =
            embedding.ok_or_else(|| Error::usage("this network has no embedding to start from"))?;
        Ok(Self { stage, part, frozen: frozen.collect(), embedding })
    }

    /// The edits of a counterfactual run in which a reader is fed as the hypothesis says: every other head stays
    /// what it is there.
    fn fed(&self, by: &Hypothesis) -> Result<Vec<Edit>> {
        let mut edits = self.frozen.clone();
        if by.embedding {
            edits.push(Edit::all(EMBED, With::Replace(self.embedding.clone())));
        }
        for (&(layer, head), channels) in &by.heads {
            let z = self.written(layer, head, channels)?;
            edits.push(patch(Site { layer, point: Point::Z }, Some(head), At::All, &z));
        }
        Ok(edits)
    }

    /// What a head writes, `[batch, head, pos, dim]`, when its channels are fed so.
    fn written(
        &self,
        layer: usize,
        head: usize,
        channels: &BTreeMap<Point, Hypothesis>,
    ) -> Result<Tensor> {
        let mut edits = Vec::new();
        for (&channel, by) in channels {
            let site = Site { layer, point: channel };
            let captured = self.captured(&self.fed(by)?, site)?;
            edits.push(patch(site, Some(head), At::All, &captured));
        }
        self.captured(&edits, Site { layer, point: Point::Z })
    }

    fn captured(&self, edits: &[Edit], site: Site) -> Result<Tensor> {
        let mut captured: Captured =
            self.part.capture(self.stage.subject, Side::Other, edits, &[site])?;
        captured.remove(&site).ok_or_else(|| Error::usage(format!("this network has no {site}")))
    }
}
