//! The simplified model taken apart: its queries are the stream itself, so their matrix is the identity.

use crate::base::error::Result;
use crate::base::weights::Weights;
use crate::model::anatomy::{Anatomy, Block, Hidden, Map, Matrix, Mlp, Parts};
use crate::nn::activation::Activation;
use crate::nn::norm::NormKind;

use super::{Birth, FeedForward, Positions};

/// The parts of a network of these settings and weights, for sequences of up to `length` tokens.
///
/// # Errors
/// When the weights are those of another network.
pub(super) fn anatomy(settings: &Birth, weights: &Weights, length: usize) -> Result<Anatomy> {
    let parts = Parts(weights);
    let embed = parts.matrix("embed")?;
    let rotary = settings.positions == Positions::Rotary;
    let positions = if rotary { None } else { Some(parts.matrix("pos")?) };
    let unembed = if settings.tie_output {
        embed.scaled(1.0 / settings.width as f32)
    } else {
        parts.matrix("unembed")?
    };
    let first = block(settings, parts, 0)?;
    let second = block(settings, parts, 1)?;
    Ok(Anatomy {
        heads: 1,
        dim: settings.width,
        length,
        scale: settings.scale(),
        norm: NormKind::None,
        embed,
        positions,
        blocks: vec![
            Block { rotary, ..first },
            Block { mlp: feed_forward(settings, parts)?, ..second },
        ],
        final_norm: None,
        unembed: Map::plain(unembed),
        // With another scale than the embedding has.
        tied: false,
    })
}

fn block(settings: &Birth, parts: Parts<'_>, layer: usize) -> Result<Block> {
    let map = |part: &str| parts.matrix(&format!("layer{layer}.{part}")).map(Map::plain);
    Ok(Block {
        norm: None,
        rotary: false,
        queries: Map::plain(Matrix::identity(settings.width)),
        keys: map("wk")?,
        values: map("wv")?,
        outputs: map("wo")?,
        mlp: None,
        parallel: false,
    })
}

fn feed_forward(settings: &Birth, parts: Parts<'_>) -> Result<Option<Mlp>> {
    let map = |part: &str| parts.matrix(&format!("layer1.{part}")).map(Map::plain);
    let (hidden, outputs) = match settings.feed_forward {
        FeedForward::None => return Ok(None),
        FeedForward::Linear => (Hidden::Same, map("wf")?),
        FeedForward::Mlp => (Hidden::Activated(map("wf1")?, Activation::Relu), map("wf2")?),
    };
    Ok(Some(Mlp { norm: None, hidden, outputs }))
}
