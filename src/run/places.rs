//! What every place of one forward pass holds, under the names that files have for it.

use candle_core::{Device, Tensor};

use crate::base::array::Array;
use crate::base::error::Result;
use crate::base::intervention::{Point, Site};
use crate::model::{Input, Model};
use crate::nn::attention::merge_heads;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::EditAndCapture;

/// Axes behind that of the sequences.
type Axes = &'static [&'static str];

const STREAM: Axes = &["pos", "dim"];
const HEADS: Axes = &["head", "pos", "dim"];

/// Places of every layer, by the names that they have in files.
const OF_LAYERS: &[(Point, &str, Axes)] = &[
    (Point::Q, "q", HEADS),
    (Point::K, "k", HEADS),
    (Point::V, "v", HEADS),
    (Point::Pattern, "pattern", &["head", "query", "key"]),
    (Point::Z, "z", STREAM),
    (Point::AttnOut, "attn_out", STREAM),
    (Point::MlpPost, "mlp_post", STREAM),
    (Point::MlpOut, "mlp_out", STREAM),
    (Point::ResidPost, "resid_post", STREAM),
];

/// What the places of one pass over a sequence hold, each with a first axis of one row: `resid_pre.0`; of every layer `q`, `k`, `v`
/// (with the heads that keys and values have), `pattern`, `z` (heads side by side), `attn_out`, `mlp_post`, `mlp_out` and
/// `resid_post`, as far as the network has them; then `final` and `logits`.
///
/// # Errors
/// When a token is none of the network's, the sequence is too long, or an edit does not fit.
pub fn places(
    model: &dyn Model,
    params: &Params,
    tokens: &[u32],
    edits: Vec<Edit>,
) -> Result<Vec<Array>> {
    let wanted = wanted(model.layout().heads.len());
    let sites = wanted.iter().map(|(site, ..)| *site).collect();
    let mut seen = EditAndCapture::new(edits, sites);
    let ids = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu)?;
    model.forward(params, &Input::new(&ids), &mut seen)?;
    let mut arrays = Vec::with_capacity(wanted.len());
    for (site, name, axes) in wanted {
        if let Some((x, _)) = seen.captured.whole(site)? {
            arrays.push(array(name, site.point, axes, &x)?);
        }
    }
    Ok(arrays)
}

/// The places of a network of so many layers, in the order of its pass.
fn wanted(layers: usize) -> Vec<(Site, String, Axes)> {
    let last = layers.saturating_sub(1);
    let first = (Site { layer: 0, point: Point::ResidPre }, "resid_pre.0".to_owned(), STREAM);
    let of_layers = (0..layers).flat_map(|layer| {
        let place = move |(point, name, axes): &(Point, &str, Axes)| {
            (Site { layer, point: *point }, format!("{name}.{layer}"), *axes)
        };
        OF_LAYERS.iter().map(place)
    });
    let ends: [(Point, &str, Axes); 2] =
        [(Point::Final, "final", STREAM), (Point::Logits, "logits", &["pos", "token"])];
    let ends = ends.map(|(point, name, axes)| (Site { layer: last, point }, name.to_owned(), axes));
    std::iter::once(first).chain(of_layers).chain(ends).collect()
}

fn array(name: String, point: Point, axes: Axes, x: &Tensor) -> Result<Array> {
    let x = if point == Point::Z { merge_heads(x)? } else { x.clone() };
    let axes: Vec<&str> = std::iter::once("row").chain(axes.iter().copied()).collect();
    Array::new(name, &axes, x.dims(), x.flatten_all()?.to_vec1::<f32>()?)
}
