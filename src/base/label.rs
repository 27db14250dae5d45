//! Reading out: what a task can tell of positions, what is fitted to tell it, and where.

use crate::base::intervention::{Point, Site};

/// A kind of label that a task offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelKind {
    /// As on the command line, e.g. `edge_source`.
    pub name: &'static str,
    /// One sentence for a person: what is told, and of which positions.
    pub about: &'static str,
    /// Many truths at once, instead of one of many classes.
    pub many: bool,
}

crate::choices! {
    /// What is fitted to vectors of a network.
    pub enum Kind {
        /// A linear map to a label.
        LinearProbe = "linear-probe",
        /// A map to a label with one hidden layer.
        MlpProbe = "mlp-probe",
        /// An affine change of the stream, which the network's own unembedding then reads (Belrose et al. 2023).
        TunedLens = "tuned-lens",
        /// A linear map to the next token.
        TokenLens = "token-lens",
        /// The smallest linear change after which no linear map tells a label.
        Leace = "leace",
    }
}

impl Kind {
    /// Whether it reads all boundaries between layers, and the next token there.
    pub fn is_lens(self) -> bool {
        matches!(self, Self::TunedLens | Self::TokenLens)
    }
}

crate::choices! {
    /// Where vectors are read, layer by layer.
    pub enum Places {
        /// The residual stream before and after the attention of each layer, and at the end.
        Stream = "stream",
        /// The residual stream between the layers.
        Boundaries = "boundaries",
        ResidMid = "resid_mid",
        Q = "q",
        K = "k",
        V = "v",
        Z = "z",
        AttnOut = "attn_out",
        MlpOut = "mlp_out",
    }
}

impl Places {
    /// The places in a network with so many heads in each layer, in the order of the forward pass. What belongs to attention is
    /// left out of layers without heads.
    pub fn sites(self, heads: &[usize]) -> Vec<Site> {
        let each = |points: &[Point]| -> Vec<Site> {
            let layers = heads.iter().enumerate();
            let sites = layers.flat_map(|(layer, heads)| {
                let here = |point: &&Point| *heads > 0 || !of_attention(**point);
                points.iter().filter(here).map(move |point| Site { layer, point: *point })
            });
            sites.collect()
        };
        let end = heads.len().checked_sub(1);
        let end = end.map(|layer| Site { layer, point: Point::ResidPost });
        match self {
            Self::Stream => {
                each(&[Point::ResidPre, Point::ResidMid]).into_iter().chain(end).collect()
            }
            Self::Boundaries => each(&[Point::ResidPre]).into_iter().chain(end).collect(),
            Self::ResidMid => each(&[Point::ResidMid]),
            Self::Q => each(&[Point::Q]),
            Self::K => each(&[Point::K]),
            Self::V => each(&[Point::V]),
            Self::Z => each(&[Point::Z]),
            Self::AttnOut => each(&[Point::AttnOut]),
            Self::MlpOut => each(&[Point::MlpOut]),
        }
    }
}

/// Points that a layer without attention lacks.
fn of_attention(point: Point) -> bool {
    point.by_head() || matches!(point, Point::ResidMid | Point::AttnOut)
}
