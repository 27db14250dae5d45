//! `HookedTransformer` of TransformerLens 2 and 3. Beside what is written it has buffers for its mask alone.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::error::Result;
use crate::base::weights::NamedTensor;
use crate::model::anatomy::{Anatomy, Matrix, Scale};
use crate::nn::position::{ROTARY_BASE, Rotary};

use super::uniform::{Full, Layer, LayerMlp, Uniform, check_biases, norm_parts};
use super::{Written, tensor};

const LIBRARY: &str = "TransformerLens 2 and 3";

/// # Errors
/// When `HookedTransformer` cannot say this network exactly.
pub(super) fn written(anatomy: &Anatomy) -> Result<Written> {
    let uniform = Uniform::of(anatomy, LIBRARY, None)?;
    check_biases(LIBRARY, &uniform, false)?;
    Ok(Written { config: config(&uniform), tensors: tensors(&uniform)? })
}

fn config(uniform: &Uniform<'_>) -> Map<String, Value> {
    let mut config = super::uniform::config(uniform);
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    if uniform.parallel {
        set("parallel_attn_mlp", json!(true));
    }
    if !uniform.has_usual_scale() {
        // Logits are divided by it.
        set("attn_scale", json!(1.0 / f64::from(uniform.of.scale)));
    }
    if uniform.rotary {
        set("rotary_dim", json!(uniform.of.dim));
        set("rotary_base", json!(ROTARY_BASE));
        set("rotary_adjacent_pairs", json!(true));
    }
    config
}

fn tensors(uniform: &Uniform<'_>) -> Result<Vec<NamedTensor>> {
    let of = uniform.of;
    let (vocab, width) = (of.vocab(), of.width());
    let mut all = vec![tensor("embed.W_E", &[vocab, width], of.embed.data.clone())];
    if !uniform.rotary {
        let data = uniform.positions().data;
        all.push(tensor("pos_embed.W_pos", &[of.length, width], data));
    }
    for (i, layer) in uniform.layers.iter().enumerate() {
        norm(&mut all, &format!("blocks.{i}.ln1"), layer.norm.as_ref());
        attention(&mut all, &format!("blocks.{i}.attn"), of, layer);
        if uniform.rotary {
            rotary(&mut all, &format!("blocks.{i}.attn"), of)?;
        }
        if let Some(parts) = &layer.mlp {
            norm(&mut all, &format!("blocks.{i}.ln2"), parts.norm.as_ref());
            mlp(&mut all, &format!("blocks.{i}.mlp"), parts);
        }
    }
    norm(&mut all, "ln_final", of.final_norm.as_ref());
    all.push(matrix("unembed.W_U", &of.unembed.weight.transposed()));
    all.push(tensor("unembed.b_U", &[vocab], uniform.unembed_bias()));
    Ok(all)
}

fn norm(all: &mut Vec<NamedTensor>, name: &str, scale: Option<&Scale>) {
    for (part, data) in norm_parts(scale, ["w", "b"]) {
        all.push(tensor(format!("{name}.{part}"), &[data.len()], data));
    }
}

fn attention(all: &mut Vec<NamedTensor>, name: &str, of: &Anatomy, layer: &Layer) {
    let (heads, dim, width) = (of.heads, of.dim, of.width());
    for (letter, map) in [("Q", &layer.queries), ("K", &layer.keys), ("V", &layer.values)] {
        let data = by_head(map, heads, dim);
        all.push(tensor(format!("{name}.W_{letter}"), &[heads, width, dim], data));
        all.push(tensor(format!("{name}.b_{letter}"), &[heads, dim], map.bias.clone()));
    }
    let outputs = layer.outputs.weight.transposed().data;
    all.push(tensor(format!("{name}.W_O"), &[heads, dim, width], outputs));
    all.push(tensor(format!("{name}.b_O"), &[width], layer.outputs.bias.clone()));
}

/// `[head · dim, width]` as `[head, width, dim]`.
fn by_head(map: &Full, heads: usize, dim: usize) -> Arc<[f32]> {
    let width = map.weight.columns;
    let entry = |head: usize, i: usize| map.weight.at(head * dim + i % dim, i / dim);
    (0..heads)
        .flat_map(|head| (0..width * dim).map(move |i| (head, i)))
        .map(|(h, i)| entry(h, i))
        .collect()
}

/// Tables `[length, dim]` whose neighbouring columns are the same.
fn rotary(all: &mut Vec<NamedTensor>, name: &str, of: &Anatomy) -> Result<()> {
    let rotary = Rotary::new(of.length, of.dim)?;
    let (cosine, sine) = rotary.tables();
    for (part, table) in [("rotary_sin", sine), ("rotary_cos", cosine)] {
        let twice: Arc<[f32]> = table.iter().flat_map(|x| [*x, *x]).collect();
        all.push(tensor(format!("{name}.{part}"), &[of.length, of.dim], twice));
    }
    Ok(())
}

fn mlp(all: &mut Vec<NamedTensor>, name: &str, mlp: &LayerMlp) {
    if let Some(gate) = &mlp.gate {
        all.push(matrix(format!("{name}.W_gate"), &gate.weight.transposed()));
    }
    for (part, map) in [("in", &mlp.inputs), ("out", &mlp.outputs)] {
        all.push(matrix(format!("{name}.W_{part}"), &map.weight.transposed()));
        all.push(tensor(format!("{name}.b_{part}"), &[map.bias.len()], map.bias.clone()));
    }
}

fn matrix(name: impl Into<Arc<str>>, matrix: &Matrix) -> NamedTensor {
    tensor(name, &[matrix.rows, matrix.columns], matrix.data.clone())
}
