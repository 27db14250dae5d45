//! Path patching: what reaches a receiver directly from senders, and what that does (Wang et al. 2022).
//!
//! Four passes: A keeps the senders' outputs on the counterfactual sequence; B keeps everything on the base
//! sequence; C runs the base sequence with every head frozen to B except for the senders, which are those of A, and
//! keeps what the receivers would read; D runs the base sequence with the receivers changed to that.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};

use super::{Part, Seen, Side, Spot, Stage, patch};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::nn::edit::{At, Edit, With};
use crate::nn::tap::Captured;

/// What writes into the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    Embedding,
    /// `head` `None`: all heads of the layer.
    Heads {
        layer: usize,
        head: Option<usize>,
    },
    Mlp {
        layer: usize,
    },
}

impl Sender {
    fn site(self) -> Site {
        match self {
            Self::Embedding => Site { layer: 0, point: Point::Embed },
            Self::Heads { layer, .. } => Site { layer, point: Point::Z },
            Self::Mlp { layer } => Site { layer, point: Point::MlpOut },
        }
    }

    fn head(self) -> Option<usize> {
        if let Self::Heads { head, .. } = self { head } else { None }
    }
}

impl FromStr for Sender {
    type Err = Error;

    /// `embed`, `layer0`, `layer0.head1`, `layer0.mlp`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!(
                "sender \"{text}\": expected embed, layer0 (all its heads), layer0.head1 or layer0.mlp"
            ))
        };
        if text == "embed" {
            return Ok(Self::Embedding);
        }
        let (layer, part) = text.split_once('.').unwrap_or((text, ""));
        let number = |text: &str, before: &str| -> Option<usize> {
            text.strip_prefix(before).and_then(|n| n.parse().ok())
        };
        let layer = number(layer, "layer").ok_or_else(wrong)?;
        match part {
            "" => Ok(Self::Heads { layer, head: None }),
            "mlp" => Ok(Self::Mlp { layer }),
            part => number(part, "head")
                .map(|head| Self::Heads { layer, head: Some(head) })
                .ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => write!(f, "embed"),
            Self::Heads { layer, head: None } => write!(f, "layer{layer}"),
            Self::Heads { layer, head: Some(head) } => write!(f, "layer{layer}.head{head}"),
            Self::Mlp { layer } => write!(f, "layer{layer}.mlp"),
        }
    }
}

/// What reads from the residual stream: queries, keys or values of a head (`None`: of all heads), or the stream itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receiver {
    pub site: Site,
    pub head: Option<usize>,
}

impl Receiver {
    /// Points that can receive.
    const POINTS: [Point; 7] = [
        Point::Q,
        Point::K,
        Point::V,
        Point::ResidPre,
        Point::ResidMid,
        Point::ResidPost,
        Point::Final,
    ];

    fn is_stream(self) -> bool {
        !self.site.point.by_head()
    }
}

impl FromStr for Receiver {
    type Err = Error;

    /// `layer1.k`, `layer1.q.head0`, `layer1.resid_post`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!(
                "receiver \"{text}\": expected for example layer1.k, layer1.q.head0, layer1.v or layer1.resid_post"
            ))
        };
        let mut parts = text.split('.');
        let layer = parts.next().and_then(|l| l.strip_prefix("layer"));
        let layer = layer.and_then(|l| l.parse().ok()).ok_or_else(wrong)?;
        let name = parts.next().ok_or_else(wrong)?;
        let point = Self::POINTS.iter().find(|p| p.name() == name).copied().ok_or_else(wrong)?;
        let head = match parts.next() {
            Some(head) => {
                let head = head.strip_prefix("head").and_then(|h| h.parse().ok());
                Some(head.filter(|_| point.by_head()).ok_or_else(wrong)?)
            }
            None => None,
        };
        parts.next().map_or(Ok(()), |_| Err(wrong()))?;
        Ok(Self { site: Site { layer, point }, head })
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.site)?;
        self.head.map_or(Ok(()), |head| write!(f, ".head{head}"))
    }
}

/// From where to where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    pub senders: Vec<Sender>,
    pub receivers: Vec<Receiver>,
    /// Where senders are taken from the counterfactual run.
    pub from: Spot,
    /// Where receivers are changed.
    pub to: Spot,
    /// MLPs stay those of the base run in pass C, so that they are no part of the direct path.
    pub freeze_mlps: bool,
}

/// What a path does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Of each pair.
    pub seen: Vec<Seen>,
    /// Sentences: a sender that does not differ, a receiver that does not change.
    pub notes: Vec<String>,
}

impl Path {
    /// The direct effect of the senders on the receivers.
    ///
    /// # Errors
    /// When the network has no such sender or receiver, or a forward pass fails.
    pub fn patched(&self, stage: &Stage<'_>) -> Result<Found> {
        if self.senders.is_empty() || self.receivers.is_empty() {
            return Err(Error::usage("a path needs at least one sender and one receiver"));
        }
        let mut found = Found::default();
        let mut differs = vec![false; self.senders.len()];
        let mut changes = vec![false; self.receivers.len()];
        for part in stage.pairs.parts() {
            let edits = self.received(stage, part, &mut differs, &mut changes)?;
            found.seen.extend(stage.run(part, &edits)?);
        }
        let senders = self.senders.iter().zip(differs).filter(|(_, differs)| !differs);
        found.notes.extend(senders.map(|(s, _)| format!("{s} is the same in both runs")));
        let receivers = self.receivers.iter().zip(changes).filter(|(_, changes)| !changes);
        found.notes.extend(receivers.map(|(r, _)| format!("nothing reaches {r} directly")));
        Ok(found)
    }

    /// Passes A to C: the edits of pass D.
    fn received(
        &self,
        stage: &Stage<'_>,
        part: &Part,
        differs: &mut [bool],
        changes: &mut [bool],
    ) -> Result<Vec<Edit>> {
        let from = stage.pairs.positions(part, &self.from)?;
        let to = stage.pairs.positions(part, &self.to)?;
        let sites: Vec<Site> = self.receivers.iter().map(|r| r.site).collect();
        let sent: Vec<Site> = self.senders.iter().map(|s| s.site()).collect();
        let other = part.capture(stage.subject, Side::Other, &[], &unique(&sent))?;
        let (frozen, base) = self.frozen(stage, part, &sent, &sites)?;
        let mut edits = frozen;
        for (sender, differs) in self.senders.iter().zip(differs) {
            let (site, head) = (sender.site(), sender.head());
            let (a, b) = (at(&other, site)?, at(&base, site)?);
            *differs |= !same(a, b, head)?;
            edits.push(patch(site, head, from.clone(), a));
        }
        let received = part.capture(stage.subject, Side::Base, &edits, &unique(&sites))?;
        let receive = |(receiver, changes): (&Receiver, &mut bool)| {
            let (c, b) = (at(&received, receiver.site)?, at(&base, receiver.site)?);
            *changes |= !same(c, b, receiver.head)?;
            // A stream may lie after other receivers, whose effect must come through.
            let with =
                if receiver.is_stream() { With::Add(c.sub(b)?) } else { With::Replace(c.clone()) };
            let (site, head) = (receiver.site, receiver.head);
            Ok(Edit { site, head, positions: to.clone(), keys: At::All, with })
        };
        self.receivers.iter().zip(changes).map(receive).collect()
    }

    /// Pass B: the edits that freeze heads (and MLPs, if asked), and everything that was kept.
    fn frozen(
        &self,
        stage: &Stage<'_>,
        part: &Part,
        sent: &[Site],
        received: &[Site],
    ) -> Result<(Vec<Edit>, Captured)> {
        let layers = stage.subject.model.layout().heads.len();
        let frozen = |point| (0..layers).map(move |layer| Site { layer, point });
        let mut hold: Vec<Site> = frozen(Point::Z).collect();
        if self.freeze_mlps {
            hold.extend(frozen(Point::MlpOut));
        }
        let all = unique(&[&hold[..], sent, received].concat());
        let base = part.capture(stage.subject, Side::Base, &[], &all)?;
        let edits = hold
            .iter()
            .filter_map(|site| Some(Edit::all(*site, With::Replace(base.get(site)?.clone()))));
        Ok((edits.collect(), base))
    }
}

fn unique(sites: &[Site]) -> Vec<Site> {
    let mut sites = sites.to_vec();
    sites.sort_unstable();
    sites.dedup();
    sites
}

fn at(captured: &Captured, site: Site) -> Result<&Tensor> {
    captured.get(&site).ok_or_else(|| Error::usage(format!("this network has no {site}")))
}

/// Whether two tensors are equal, in one head or in all.
fn same(a: &Tensor, b: &Tensor, head: Option<usize>) -> Result<bool> {
    let of = |x: &Tensor| -> Result<Tensor> {
        match head {
            Some(head) if head >= x.dim(1)? => {
                Err(Error::usage(format!("head {head} asked for, the layer has {}", x.dim(1)?)))
            }
            Some(head) => Ok(x.narrow(1, head, 1)?),
            None => Ok(x.clone()),
        }
    };
    let different = of(a)?.ne(&of(b)?)?.to_dtype(DType::U32)?;
    Ok(different.sum_all()?.to_scalar::<u32>()? == 0)
}
