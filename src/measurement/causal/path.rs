//! Path patching: what reaches a receiver directly from senders, and what that does (Wang et al. 2022).
//!
//! Four passes: A keeps the senders' outputs on the counterfactual sequence; B keeps everything on the base
//! sequence; C runs the base sequence with every head frozen to B except for the senders, which are those of A, and
//! keeps what the receivers would read; D runs the base sequence with the receivers changed to that.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};

use super::{Part, Progress, Seen, Side, Spot, Stage, in_turn, patch};
use crate::base::error::{Error, Result};
use crate::base::intervention::{Point, Site};
use crate::nn::edit::{At, Edit, With};
use crate::nn::kernel::pool::Pool;
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
    pub fn site(self) -> Site {
        match self {
            Self::Embedding => Site { layer: 0, point: Point::Embed },
            Self::Heads { layer, .. } => Site { layer, point: Point::Z },
            Self::Mlp { layer } => Site { layer, point: Point::MlpOut },
        }
    }

    pub fn head(self) -> Option<usize> {
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

/// What reads from the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receiver {
    /// The unembedding: what is sent there is the direct effect.
    Logits,
    /// Queries, keys or values of a head (`None`: of all heads), or the stream itself.
    Part { site: Site, head: Option<usize> },
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

    /// Where it is, in a network of so many layers.
    fn site(self, layers: usize) -> Site {
        match self {
            Self::Logits => Site { layer: layers.saturating_sub(1), point: Point::Final },
            Self::Part { site, .. } => site,
        }
    }

    fn head(self) -> Option<usize> {
        if let Self::Part { head, .. } = self { head } else { None }
    }

    /// Of how many layers the heads lie before it, and of how many the MLPs.
    fn after(self, layers: usize) -> [usize; 2] {
        let Site { layer, point } = self.site(layers);
        let (here, next) = (layer.min(layers), layer.saturating_add(1).min(layers));
        let is_after = |points: &[Point]| if points.contains(&point) { next } else { here };
        let ends = [Point::ResidPost, Point::Final];
        [is_after(&[Point::ResidMid, ends[0], ends[1]]), is_after(&ends)]
    }
}

impl FromStr for Receiver {
    type Err = Error;

    /// `logits`, `layer1.k`, `layer1.q.head0`, `layer1.resid_post`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!(
                "receiver \"{text}\": expected for example logits, layer1.k, layer1.q.head0, layer1.v or layer1.resid_post"
            ))
        };
        if text == "logits" {
            return Ok(Self::Logits);
        }
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
        Ok(Self::Part { site: Site { layer, point }, head })
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logits => write!(f, "logits"),
            Self::Part { site, head: None } => write!(f, "{site}"),
            Self::Part { site, head: Some(head) } => write!(f, "{site}.head{head}"),
        }
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
    /// The direct effect of the senders together on the receivers.
    ///
    /// # Errors
    /// When the network has no such sender or receiver, or a forward pass fails.
    pub fn patched(&self, stage: &Stage<'_>) -> Result<Found> {
        let mut found = Found::default();
        let mut differs = vec![false; self.senders.len()];
        let mut changes = vec![false; self.receivers.len()];
        for part in stage.pairs.parts() {
            let runs = Runs::new(self, stage, part)?;
            for (sender, differs) in self.senders.iter().zip(&mut differs) {
                *differs |= runs.differs(*sender)?;
            }
            let received = runs.received(&self.senders)?;
            let edits = received.into_iter().zip(&mut changes).map(|((edit, new), changes)| {
                *changes |= new;
                edit
            });
            found.seen.extend(stage.run(part, &edits.collect::<Vec<_>>())?);
        }
        let senders = self.senders.iter().zip(differs).filter(|(_, differs)| !differs);
        found.notes.extend(senders.map(|(s, _)| format!("{s} is the same in both runs")));
        let receivers = self.receivers.iter().zip(changes).filter(|(_, changes)| !changes);
        found.notes.extend(receivers.map(|(r, _)| format!("nothing reaches {r} directly")));
        Ok(found)
    }

    /// What stays as it is in the base run.
    fn held(&self, layers: usize) -> Vec<Site> {
        let of = |point| (0..layers).map(move |layer| Site { layer, point });
        let mlps = of(Point::MlpOut).filter(|_| self.freeze_mlps);
        of(Point::Z).chain(mlps).collect()
    }

    /// The embedding, and every head and MLP that lies before a receiver in a network with so many heads in each layer.
    fn before(&self, heads: &[usize]) -> Vec<Sender> {
        let after = self.receivers.iter().map(|receiver| receiver.after(heads.len()));
        let [attentions, mlps] =
            after.fold([0, 0], |[a, b], [c, d]: [usize; 2]| [a.max(c), b.max(d)]);
        let of_layer = |layer: usize| {
            let all = (0..heads[layer]).map(move |head| Sender::Heads { layer, head: Some(head) });
            all.filter(move |_| layer < attentions)
                .chain((layer < mlps).then_some(Sender::Mlp { layer }))
        };
        [Sender::Embedding].into_iter().chain((0..heads.len()).flat_map(of_layer)).collect()
    }
}

/// Every part that writes into the stream before the receivers of a path, each by itself.
pub struct Each<'a> {
    stage: &'a Stage<'a>,
    senders: Vec<Sender>,
    runs: Vec<Runs<'a>>,
}

impl<'a> Each<'a> {
    /// `path` says the receivers; its senders are not looked at.
    ///
    /// # Errors
    /// When the network has no such receiver, or a forward pass fails.
    pub fn new(path: &Path, stage: &'a Stage<'a>) -> Result<Self> {
        let senders = path.before(&stage.subject.model.layout().heads);
        let path = Path { senders, ..path.clone() };
        let parts = stage.pairs.parts().iter();
        let runs = parts.map(|part| Runs::new(&path, stage, part)).collect::<Result<Vec<_>>>()?;
        let is_there = |sender: &Sender| runs[0].other.contains_key(&sender.site());
        let senders = path.senders.into_iter().filter(is_there).collect();
        Ok(Self { stage, senders, runs })
    }

    /// In the order of the forward pass.
    pub fn senders(&self) -> &[Sender] {
        &self.senders
    }

    /// Tries all; `take` gets what is seen of each as it comes.
    pub fn run(
        &self,
        pool: &Pool,
        take: impl FnMut((Sender, Vec<Seen>)),
        progress: Progress<'_>,
    ) -> Result<()> {
        in_turn(pool, &self.senders, |sender| Ok((*sender, self.patched(*sender)?)), take, progress)
    }

    fn patched(&self, sender: Sender) -> Result<Vec<Seen>> {
        let mut seen = Vec::with_capacity(self.stage.pairs.len());
        for runs in &self.runs {
            let received = runs.received(&[sender])?.into_iter();
            let edits: Vec<Edit> = received.map(|(edit, _)| edit).collect();
            seen.extend(self.stage.run(runs.part, &edits)?);
        }
        Ok(seen)
    }
}

/// What passes A and B leave of the pairs of one forward pass.
struct Runs<'a> {
    stage: &'a Stage<'a>,
    part: &'a Part,
    /// Pass A.
    other: Captured,
    /// Pass B.
    base: Captured,
    /// Heads (and MLPs, if asked) as they are in the base run.
    frozen: Vec<Edit>,
    receivers: Vec<(Site, Option<usize>)>,
    from: At,
    to: At,
}

impl<'a> Runs<'a> {
    fn new(path: &Path, stage: &'a Stage<'a>, part: &'a Part) -> Result<Self> {
        if path.senders.is_empty() || path.receivers.is_empty() {
            return Err(Error::usage("a path needs at least one sender and one receiver"));
        }
        let layers = stage.subject.model.layout().heads.len();
        let receivers: Vec<_> = path.receivers.iter().map(|r| (r.site(layers), r.head())).collect();
        let sent: Vec<Site> = path.senders.iter().map(|s| s.site()).collect();
        let received: Vec<Site> = receivers.iter().map(|(site, _)| *site).collect();
        let hold = path.held(layers);
        let all = unique(&[&hold[..], &sent, &received].concat());
        let base = part.capture(stage.subject, Side::Base, &[], &all)?;
        let frozen = hold
            .iter()
            .filter_map(|site| Some(Edit::all(*site, With::Replace(base.get(site)?.clone()))))
            .collect();
        let other = part.capture(stage.subject, Side::Other, &[], &unique(&sent))?;
        let from = stage.pairs.positions(part, &path.from)?;
        let to = stage.pairs.positions(part, &path.to)?;
        Ok(Self { stage, part, other, base, frozen, receivers, from, to })
    }

    /// Whether a sender is another one in the counterfactual run.
    fn differs(&self, sender: Sender) -> Result<bool> {
        let site = sender.site();
        Ok(!same(at(&self.other, site)?, at(&self.base, site)?, sender.head())?)
    }

    /// Pass C: the edits of pass D, one for each receiver, and whether it is changed by it.
    fn received(&self, senders: &[Sender]) -> Result<Vec<(Edit, bool)>> {
        let mut edits = self.frozen.clone();
        for sender in senders {
            let (site, head) = (sender.site(), sender.head());
            edits.push(patch(site, head, self.from.clone(), at(&self.other, site)?));
        }
        let sites: Vec<Site> = self.receivers.iter().map(|(site, _)| *site).collect();
        let received =
            self.part.capture(self.stage.subject, Side::Base, &edits, &unique(&sites))?;
        let receive = |&(site, head): &(Site, Option<usize>)| {
            let (c, b) = (at(&received, site)?, at(&self.base, site)?);
            let changes = !same(c, b, head)?;
            // A stream may lie after other receivers, whose effect must come through.
            let with = match site.point.by_head() {
                true => With::Replace(c.clone()),
                false => With::Add(c.sub(b)?),
            };
            Ok((Edit { site, head, positions: self.to.clone(), keys: At::All, with }, changes))
        };
        self.receivers.iter().map(receive).collect()
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
