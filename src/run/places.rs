//! What every place of one forward pass holds, under the names that files have for it.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::base::array::Array;
use crate::base::error::Result;
use crate::base::intervention::{Point, Site};
use crate::model::{Input, Model};
use crate::nn::attention::merge_heads;
use crate::nn::edit::Edit;
use crate::nn::params::Params;
use crate::nn::tap::{EditAndCapture, Tap};

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

/// Gives what the places of one pass over a sequence hold, in the order of the pass, each with a first axis of one row: `resid_pre.0`; of
/// every layer `q`, `k`, `v` (with the heads that keys and values have), `pattern`, `z` (heads side by side), `attn_out`, `mlp_post`,
/// `mlp_out` and `resid_post`, as far as the network has them; then `final` and `logits`. Nothing is kept that was given.
///
/// # Errors
/// When a token is none of the network's, the sequence is too long, an edit does not fit, or `give` refuses.
pub fn places(
    model: &dyn Model,
    params: &Params,
    tokens: &[u32],
    edits: Vec<Edit>,
    give: &mut dyn FnMut(Array) -> Result<()>,
) -> Result<()> {
    let wanted = wanted(model.layout().heads.len());
    let mut giving = Giving { edits: EditAndCapture::new(edits, Vec::new()), wanted, give };
    let ids = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu)?;
    model.forward(params, &Input::new(&ids), &mut giving).map(drop)
}

/// Edits the places of a pass, and gives those that are wanted.
struct Giving<'a> {
    edits: EditAndCapture,
    wanted: BTreeMap<Site, (String, Axes)>,
    give: &'a mut dyn FnMut(Array) -> Result<()>,
}

impl Tap for Giving<'_> {
    fn wants(&self, site: Site) -> bool {
        self.wanted.contains_key(&site) || self.edits.wants(site)
    }

    fn at(&mut self, site: Site, mut x: Tensor) -> Result<Tensor> {
        if self.edits.wants(site) {
            x = self.edits.at(site, x)?;
        }
        if let Some((name, axes)) = self.wanted.remove(&site) {
            (self.give)(array(name, site.point, axes, &x)?)?;
        }
        Ok(x)
    }
}

/// The places of a network of so many layers.
fn wanted(layers: usize) -> BTreeMap<Site, (String, Axes)> {
    let last = layers.saturating_sub(1);
    let of_layers = (0..layers).flat_map(|layer| {
        let place = move |(point, name, axes): &(Point, &str, Axes)| {
            (Site { layer, point: *point }, (format!("{name}.{layer}"), *axes))
        };
        OF_LAYERS.iter().map(place)
    });
    let ends: [(usize, Point, &str, Axes); 3] = [
        (0, Point::ResidPre, "resid_pre.0", STREAM),
        (last, Point::Final, "final", STREAM),
        (last, Point::Logits, "logits", &["pos", "token"]),
    ];
    let ends =
        ends.map(|(layer, point, name, axes)| (Site { layer, point }, (name.to_owned(), axes)));
    of_layers.chain(ends).collect()
}

fn array(name: String, point: Point, axes: Axes, x: &Tensor) -> Result<Array> {
    let x = if point == Point::Z { merge_heads(x)? } else { x.clone() };
    let axes: Vec<&str> = std::iter::once("row").chain(axes.iter().copied()).collect();
    Array::new(name, &axes, x.dims(), x.flatten_all()?.to_vec1::<f32>()?)
}
