//! Changes to a network or to its forward pass, as data: sent, recorded, drawn, undone and replayed.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, Result};

/// A named place in the forward pass. All models share these names; the axis order is law.
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
}

impl Point {
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

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(p, _)| *p == self).map_or("?", |(_, n)| n)
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

/// One change, spelled as in the experiment file and on the command line:
/// `freeze layer0.wk`, `unfreeze layer0.wk`, `zero layer1.z`, `zero layer1.head0`, `zero layer0.attn_out@7`.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// The tensor gets no gradient, no decay and no momentum until it is unfrozen.
    Freeze(String),
    Unfreeze(String),
    /// Sets a point of the forward pass to zero: one head of it or all, one position or all.
    /// `zero layer1.head0` zeroes `z` of that head: the head writes nothing.
    Zero {
        site: Site,
        head: Option<usize>,
        position: Option<usize>,
    },
}

impl Intervention {
    /// Whether it changes the forward pass (rather than which tensors are trained).
    pub fn changes_forward(&self) -> bool {
        matches!(self, Self::Zero { .. })
    }
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze(name) => write!(f, "freeze {name}"),
            Self::Unfreeze(name) => write!(f, "unfreeze {name}"),
            Self::Zero { site, head, position } => {
                match head {
                    Some(head) if site.point == Point::Z => {
                        write!(f, "zero layer{}.head{head}", site.layer)?;
                    }
                    Some(head) => write!(f, "zero {site}.head{head}")?,
                    None => write!(f, "zero {site}")?,
                }
                position.map_or(Ok(()), |p| write!(f, "@{p}"))
            }
        }
    }
}

impl FromStr for Intervention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::usage(format!(
                "intervention \"{text}\": {why}; expected for example \"freeze layer0.wk\", \"unfreeze layer0.wk\", \"zero layer1.head0\" or \"zero layer0.attn_out@7\""
            ))
        };
        let (verb, object) =
            text.trim().split_once(char::is_whitespace).ok_or_else(|| wrong("no object"))?;
        let object = object.trim();
        match verb {
            "freeze" => Ok(Self::Freeze(object.to_owned())),
            "unfreeze" => Ok(Self::Unfreeze(object.to_owned())),
            "zero" | "cut" => parse_zero(object).ok_or_else(|| wrong("unknown place")),
            _ => Err(wrong("unknown verb")),
        }
    }
}

fn parse_zero(object: &str) -> Option<Intervention> {
    let (place, position) = match object.split_once('@') {
        Some((place, at)) => (place, Some(at.parse().ok()?)),
        None => (object, None),
    };
    let mut parts = place.split('.');
    let layer = parts.next()?.strip_prefix("layer")?.parse().ok()?;
    let (mut point, mut head) = (Point::Z, None);
    let mut seen = false;
    for part in parts {
        seen = true;
        match part.strip_prefix("head").and_then(|h| h.parse().ok()) {
            Some(h) => head = Some(h),
            None => point = Point::ALL.iter().find(|(_, n)| *n == part)?.0,
        }
    }
    seen.then_some(Intervention::Zero { site: Site { layer, point }, head, position })
}
