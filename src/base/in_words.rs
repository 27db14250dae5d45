//! Interventions in a few plain words: `L1 H0 cut`. For flags, chips and lists; a file has them as they are spelled.

use crate::base::intervention::{How, Intervention, Place, Point, spelled};

/// Longest list of positions that is read out; of more, how many there are.
const MOST_SPELLED: usize = 9;

impl Intervention {
    /// What it does to what: `L1 H0 cut`, `layer0.wk frozen`, `L1 H0 × 0.5`.
    pub fn in_words(&self) -> String {
        let (place, how) = match self {
            Self::Freeze(tensor) => return format!("{tensor} frozen"),
            Self::Unfreeze(tensor) => return format!("{tensor} unfrozen"),
            Self::Change { place, how } => (place, how),
        };
        let (what, at) = (subject(place), positions(place));
        match how {
            How::Zero => format!("{what} cut{at}"),
            How::Hold => format!("{what} held{at}"),
            How::Cut => format!("{what} cut{at}, renormalised"),
            How::Scale(factor) => format!("{what} × {factor}{at}"),
            How::Add(_) => format!("{what} steered{at}"),
            How::Mean => format!("{what} set to its mean{at}"),
            How::Resample(sequence) => format!("{what} from sequence {sequence}{at}"),
            How::Patch(_) => format!("{what} patched{at}"),
            How::Rewrite { .. } => format!("{what} rewritten{at}"),
        }
    }

    /// That it was taken back: `L1 H0 cut undone`, `layer0.wk trained again`.
    pub fn undone_in_words(&self) -> String {
        match self {
            Self::Freeze(tensor) => format!("{tensor} trained again"),
            Self::Unfreeze(tensor) => format!("{tensor} frozen again"),
            Self::Change { .. } => format!("{} undone", self.in_words()),
        }
    }
}

/// A change in words out of the text that a recording has of it; `None` where it is none of this version.
pub fn change_in_words(text: &str) -> Option<String> {
    let (text, undone) = match text.strip_prefix("lift ") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let change: Intervention = text.parse().ok()?;
    Some(if undone { change.undone_in_words() } else { change.in_words() })
}

/// The part of the network: `L1 H0`, `L1 H0 keys`, `L0 attention output`, `stream before L1`; an edge with its two ends.
fn subject(place: &Place) -> String {
    let layer = format!("L{}", place.site.layer);
    let head = place.head.map_or_else(|| layer.clone(), |head| format!("{layer} H{head}"));
    let part = match place.site.point {
        Point::Embed => return "embedding".to_owned(),
        Point::Final => return "stream before the output".to_owned(),
        Point::Logits => return "logits".to_owned(),
        Point::ResidPre => return format!("stream before {layer}"),
        Point::ResidMid => return format!("stream in {layer}"),
        Point::ResidPost => return format!("stream after {layer}"),
        Point::Z if place.head.is_some() => return head,
        Point::Z => "heads",
        Point::Q => "queries",
        Point::K => "keys",
        Point::V => "values",
        Point::Scores => "scores",
        Point::Pattern => "attention",
        Point::AttnOut => "attention output",
        Point::MlpPost => "MLP units",
        Point::MlpOut => "MLP output",
        Point::Own(_) => place.site.point.name(),
    };
    if place.keys.is_empty() {
        return format!("{head} {part}");
    }
    let queries =
        if place.positions.is_empty() { "all".to_owned() } else { list(&place.positions) };
    format!("{head} {part} {queries}→{}", list(&place.keys))
}

/// ` at 7`; nothing where it is at all positions, or where the ends of an edge say it.
fn positions(place: &Place) -> String {
    if place.positions.is_empty() || !place.keys.is_empty() {
        return String::new();
    }
    format!(" at {}", list(&place.positions))
}

fn list(positions: &[usize]) -> String {
    let text = spelled(positions);
    if text.len() <= MOST_SPELLED { text } else { format!("{} positions", positions.len()) }
}
