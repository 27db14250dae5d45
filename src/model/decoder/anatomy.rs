//! The decoder taken apart.

use crate::base::error::{Error, Result};
use crate::base::weights::Weights;
use crate::model::anatomy::{Anatomy, Block, Hidden, Map, Matrix, Mlp, Parts};
use crate::nn::activation::Activation;
use crate::nn::norm::NormKind;

use super::layer::Shape;
use super::{Decoder, MatrixKind, MlpKind, Positions};
use crate::model::Sequences;

/// The parts of a network of these settings and weights, for sequences of up to `length` tokens.
///
/// # Errors
/// When the weights are those of another network, or of one that reads real numbers.
pub(super) fn anatomy(settings: &Decoder, weights: &Weights, length: usize) -> Result<Anatomy> {
    if weights.tensors.iter().any(|tensor| &*tensor.name == "values") {
        return Err(Error::usage(
            "this network reads real numbers, for which other libraries' networks have no matrix; its weights can be written under their own names",
        ));
    }
    if settings.window > 0 {
        return Err(Error::usage(format!(
            "each position of this network sees itself and those before it, {} together (model.window), and other libraries' networks see all of them; its weights can be written under their own names",
            settings.window
        )));
    }
    let parts = Parts(weights);
    let embed = parts.matrix("embed")?;
    let shape = settings.shape(Sequences::of_tokens(embed.rows, length))?;
    let positions = match settings.positions {
        Positions::Learned | Positions::Sinusoidal => Some(parts.matrix("pos")?),
        Positions::Rotary | Positions::None => None,
    };
    let last = if settings.final_norm { settings.norm } else { NormKind::None };
    let unembed = if settings.tied { "embed" } else { "unembed" };
    Ok(Anatomy {
        heads: settings.heads,
        dim: shape.head_dim,
        length,
        scale: 1.0 / (shape.head_dim as f32).sqrt(),
        norm: settings.norm,
        embed,
        positions,
        blocks: (0..settings.layers)
            .map(|layer| block(settings, shape, parts, layer))
            .collect::<Result<_>>()?,
        final_norm: parts.norm("norm", last)?,
        unembed: parts.map(unembed, "unembed_bias")?,
        tied: settings.tied,
    })
}

fn block(settings: &Decoder, shape: Shape, parts: Parts<'_>, layer: usize) -> Result<Block> {
    let name = |part: &str| format!("layer{layer}.{part}");
    let map = |part: &str| parts.map(&name(&format!("w{part}")), &name(&format!("b{part}")));
    let unless_identity = |part: &str, kind| match kind {
        MatrixKind::Identity => Ok(Map::plain(Matrix::identity(settings.heads * shape.head_dim))),
        MatrixKind::Trained | MatrixKind::Frozen => map(part),
    };
    let has_mlp = settings.mlp != MlpKind::None && (layer > 0 || settings.first_mlp);
    Ok(Block {
        norm: parts.norm(&name("norm1"), settings.norm)?,
        rotary: settings.positions == Positions::Rotary,
        queries: map("q")?,
        keys: map("k")?,
        values: unless_identity("v", settings.values)?,
        outputs: unless_identity("o", settings.outputs)?,
        mlp: has_mlp.then(|| mlp(settings, parts, layer)).transpose()?,
        parallel: settings.parallel,
    })
}

fn mlp(settings: &Decoder, parts: Parts<'_>, layer: usize) -> Result<Mlp> {
    let map = |part: &str| {
        let name = format!("layer{layer}.mlp.{part}");
        parts.map(&name, &format!("{name}_bias"))
    };
    let hidden = match settings.mlp {
        MlpKind::None | MlpKind::Linear => Hidden::Same,
        MlpKind::GeluTanh => Hidden::Activated(map("in")?, Activation::GeluTanh),
        MlpKind::GeluErf => Hidden::Activated(map("in")?, Activation::GeluErf),
        MlpKind::Relu => Hidden::Activated(map("in")?, Activation::Relu),
        MlpKind::SwiGlu => Hidden::Gated { gate: map("gate")?, inputs: map("in")? },
    };
    let norm = parts.norm(&format!("layer{layer}.norm2"), settings.norm)?;
    Ok(Mlp { norm, hidden, outputs: map("out")? })
}
