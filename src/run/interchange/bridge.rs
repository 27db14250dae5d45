//! The bridge of TransformerLens 4 and later: `TransformerBridge.boot_native`.

use serde_json::{Map, Value, json};

use crate::base::error::Result;
use crate::base::weights::NamedTensor;
use crate::model::anatomy::{Anatomy, Scale};
use crate::nn::position::ROTARY_BASE;

use super::uniform::{Full, Uniform, check_biases, norm_parts};
use super::{Written, refused, tensor};

const LIBRARY: &str = "the bridge of TransformerLens 4";

/// # Errors
/// When the bridge cannot say this network exactly.
pub(super) fn written(anatomy: &Anatomy) -> Result<Written> {
    let uniform = Uniform::of(anatomy, LIBRARY, None)?.with_usual_scale();
    if uniform.parallel {
        return Err(refused(
            LIBRARY,
            "its MLPs read what attention reads, there they read the sum (model.parallel)",
        ));
    }
    check_biases(LIBRARY, &uniform, true)?;
    Ok(Written { config: config(&uniform), tensors: tensors(&uniform) })
}

fn config(uniform: &Uniform<'_>) -> Map<String, Value> {
    let mut config = super::uniform::config(uniform);
    if uniform.rotary {
        config.insert("rotary_dim".into(), json!(uniform.of.dim));
        config.insert("rotary_base".into(), json!(ROTARY_BASE));
    }
    config
}

fn tensors(uniform: &Uniform<'_>) -> Vec<NamedTensor> {
    let of = uniform.of;
    let mut all = Tensors(Vec::new());
    all.0.push(tensor("embed.weight", &[of.vocab(), of.width()], of.embed.data.clone()));
    if !uniform.rotary {
        let data = uniform.positions().data;
        all.0.push(tensor("pos_embed.weight", &[of.length, of.width()], data));
    }
    for (i, layer) in uniform.layers.iter().enumerate() {
        let name = |part: &str| format!("blocks.{i}.{part}");
        all.norm(&name("ln1"), layer.norm.as_ref());
        all.map(&name("attn.q"), &layer.queries, true);
        all.map(&name("attn.k"), &layer.keys, true);
        all.map(&name("attn.v"), &layer.values, true);
        all.map(&name("attn.o"), &layer.outputs, true);
        let Some(mlp) = &layer.mlp else { continue };
        all.norm(&name("ln2"), mlp.norm.as_ref());
        // The maps of a gated MLP have no biases there.
        let biases = mlp.gate.is_none();
        if let Some(gate) = &mlp.gate {
            all.map(&name("mlp.gate"), gate, biases);
        }
        all.map(&name("mlp.in"), &mlp.inputs, biases);
        all.map(&name("mlp.out"), &mlp.outputs, biases);
    }
    all.norm("ln_final", of.final_norm.as_ref());
    let unembed = of.unembed.weight.clone();
    all.map("unembed", &Full { weight: unembed, bias: uniform.unembed_bias() }, true);
    all.0
}

struct Tensors(Vec<NamedTensor>);

impl Tensors {
    fn norm(&mut self, name: &str, scale: Option<&Scale>) {
        for (part, data) in norm_parts(scale, ["weight", "bias"]) {
            self.0.push(tensor(format!("{name}.{part}"), &[data.len()], data));
        }
    }

    fn map(&mut self, name: &str, map: &Full, bias: bool) {
        let shape = [map.weight.rows, map.weight.columns];
        self.0.push(tensor(format!("{name}.weight"), &shape, map.weight.data.clone()));
        if bias {
            self.0.push(tensor(format!("{name}.bias"), &[map.bias.len()], map.bias.clone()));
        }
    }
}
