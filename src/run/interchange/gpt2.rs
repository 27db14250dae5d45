//! A folder that Hugging Face's `GPT2LMHeadModel` loads. It cannot say "attention alone": MLPs of zeros do.

use serde_json::{Map, Value, json};

use crate::base::error::Result;
use crate::base::weights::NamedTensor;
use crate::model::anatomy::{Anatomy, Matrix, Scale};
use crate::nn::norm::NormKind;

use super::uniform::{Full, Kind, Layer, Uniform, epsilon, norm_parts};
use super::{Written, refused, tensor};

const LIBRARY: &str = "Hugging Face's GPT-2";

/// # Errors
/// When GPT-2 is another network.
pub(super) fn written(anatomy: &Anatomy) -> Result<Written> {
    check(anatomy)?;
    let uniform = Uniform::of(anatomy, LIBRARY, Some(SILENT))?.with_usual_scale();
    if uniform.parallel {
        return Err(refused(
            LIBRARY,
            "its MLPs read what attention reads, there they read the sum (model.parallel)",
        ));
    }
    if uniform.mlp.is_some_and(|kind| kind.gated) {
        return Err(refused(LIBRARY, "its MLPs are gated, there they are not (model.mlp)"));
    }
    Ok(Written { config: config(&uniform), tensors: tensors(&uniform) })
}

fn check(anatomy: &Anatomy) -> Result<()> {
    let (inner, width) = (anatomy.heads * anatomy.dim, anatomy.width());
    let sizes = format!(
        "its heads are {inner} wide together and its stream {width}, there they are alike (model.head_dim)"
    );
    let reasons = [
        (
            anatomy.blocks.iter().any(|b| b.rotary),
            "it rotates queries and keys, there positions are added to the embeddings (model.positions)",
        ),
        (anatomy.norm == NormKind::Rms, "it has RMSNorm, there is LayerNorm (model.norm)"),
        (anatomy.norm == NormKind::None, "it has no norms, there are LayerNorms (model.norm)"),
        (inner != width, sizes.as_str()),
        (
            anatomy.unembed.has_bias(),
            "its logits have a bias, there they have none (model.unembed_bias)",
        ),
    ];
    let found = reasons.iter().find(|(is_so, _)| *is_so);
    found.map_or(Ok(()), |(_, why)| Err(refused(LIBRARY, why)))
}

/// The MLPs of zeros that stand for none, as small as can be.
const SILENT: Kind = Kind { activation: "gelu_new", gated: false, hidden: 1 };

fn config(uniform: &Uniform<'_>) -> Map<String, Value> {
    let of = uniform.of;
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    set("model_type", json!("gpt2"));
    set("architectures", json!(["GPT2LMHeadModel"]));
    set("n_layer", json!(of.blocks.len()));
    set("n_head", json!(of.heads));
    set("n_embd", json!(of.width()));
    set("n_positions", json!(of.length));
    let kind = uniform.mlp.unwrap_or(SILENT);
    set("n_inner", json!(kind.hidden));
    set("vocab_size", json!(of.vocab()));
    set("activation_function", json!(kind.activation));
    set("layer_norm_epsilon", epsilon());
    set("tie_word_embeddings", json!(of.tied));
    set("scale_attn_weights", json!(true));
    for dropout in ["embd_pdrop", "attn_pdrop", "resid_pdrop"] {
        set(dropout, json!(0.0));
    }
    // Tasks have no tokens that begin or end a text.
    set("bos_token_id", Value::Null);
    set("eos_token_id", Value::Null);
    set("torch_dtype", json!("float32"));
    config
}

fn tensors(uniform: &Uniform<'_>) -> Vec<NamedTensor> {
    let of = uniform.of;
    let mut all = vec![
        tensor("transformer.wte.weight", &[of.vocab(), of.width()], of.embed.data.clone()),
        tensor("transformer.wpe.weight", &[of.length, of.width()], uniform.positions().data),
    ];
    for (i, layer) in uniform.layers.iter().enumerate() {
        block(&mut all, &format!("transformer.h.{i}"), layer, of.width());
    }
    norm(&mut all, "transformer.ln_f", of.final_norm.as_ref());
    if !of.tied {
        let unembed = &of.unembed.weight;
        all.push(tensor("lm_head.weight", &[of.vocab(), of.width()], unembed.data.clone()));
    }
    all
}

fn block(all: &mut Vec<NamedTensor>, name: &str, layer: &Layer, width: usize) {
    norm(all, &format!("{name}.ln_1"), layer.norm.as_ref());
    map(all, &format!("{name}.attn.c_attn"), &stacked(layer, width));
    map(all, &format!("{name}.attn.c_proj"), &layer.outputs);
    if let Some(mlp) = &layer.mlp {
        norm(all, &format!("{name}.ln_2"), mlp.norm.as_ref());
        map(all, &format!("{name}.mlp.c_fc"), &mlp.inputs);
        map(all, &format!("{name}.mlp.c_proj"), &mlp.outputs);
    }
}

/// Queries, keys and values as one map, one below the other.
fn stacked(layer: &Layer, width: usize) -> Full {
    let maps = [&layer.queries, &layer.keys, &layer.values];
    let rows =
        |of: fn(&Full) -> &[f32]| maps.iter().flat_map(|map| of(map).iter().copied()).collect();
    let weight = Matrix { rows: 3 * width, columns: width, data: rows(|map| &map.weight.data) };
    Full { weight, bias: rows(|map| &map.bias) }
}

/// Its maps are kept `[in, out]`.
fn map(all: &mut Vec<NamedTensor>, name: &str, map: &Full) {
    let weight = map.weight.transposed();
    all.push(tensor(format!("{name}.weight"), &[weight.rows, weight.columns], weight.data));
    all.push(tensor(format!("{name}.bias"), &[map.bias.len()], map.bias.clone()));
}

fn norm(all: &mut Vec<NamedTensor>, name: &str, scale: Option<&Scale>) {
    for (part, data) in norm_parts(scale, ["weight", "bias"]) {
        all.push(tensor(format!("{name}.{part}"), &[data.len()], data));
    }
}
