//! What a `config.json` says of a network, in one spelling. Values that are not known are refused by their key, never guessed; keys that
//! change nothing of a forward pass (dropout, initialisation, generation) are read over.

use serde_json::{Map, Value};

use crate::base::budget;
use crate::base::convert::{index, narrow, size};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::nn::activation::Activation;
use crate::nn::norm::{EPSILON, NormKind};

use super::names::{self, Spelling};
use crate::model::Layout;

/// A network as its `config.json` says.
pub struct Config {
    /// `gpt2`, `llama`, …: the value of `model_type`.
    pub model_type: &'static str,
    pub spelling: &'static Spelling,
    pub vocab: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Longest sequence that is read: that of the network, or the longest that this program reads.
    pub length: usize,
    /// What `config.json` says of it, which may be more than is read.
    pub length_said: usize,
    pub norm: NormKind,
    /// Norms have neither weight nor bias.
    pub norm_is_bare: bool,
    pub epsilon: f32,
    pub mlp: Option<MlpConfig>,
    pub parallel: bool,
    pub tied: bool,
    pub learned_positions: bool,
    pub embed_scale: f32,
    pub score_cap: Option<f32>,
    pub logit_cap: Option<f32>,
    pub layers: Vec<LayerConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlpConfig {
    pub hidden: usize,
    pub kind: MlpKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    Plain(Activation),
    /// `f(gate x) · in x`; `None`: `SiLU`.
    Gated(Option<Activation>),
    Solu,
}

/// What differs from layer to layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Scores are `scale · query · key`.
    pub scale: f32,
    /// Keys that a query sees, itself among them; `None`: all before it.
    pub window: Option<usize>,
    /// How queries and keys are rotated: a frequency for each pair of coordinates. Empty: they are not.
    pub frequencies: Vec<f64>,
}

/// Keys whose presence says that a network is of another kind than those that are read.
const FOREIGN: &[(&str, &str)] = &[
    (
        "quantization_config",
        "numbers that are rounded and packed; save the network in F32, F16 or BF16",
    ),
    ("auto_map", "code of its own that would have to be run"),
    ("num_local_experts", "a mixture of experts"),
    ("num_experts", "a mixture of experts"),
    ("vision_config", "a part that sees pictures"),
];

impl Config {
    /// # Errors
    /// When the text is no JSON, or says something that is not read; the key and its value are named.
    pub fn parse(text: &str) -> Result<Self> {
        let value = json::parse(text)
            .map_err(|e| Error::input(format!("config.json is no JSON: {e}")).caused_by(e))?;
        let Value::Object(map) = value else {
            return Err(Error::input("config.json holds no object of keys and values"));
        };
        let keys = Keys(&map);
        for (key, what) in FOREIGN {
            if let Some(value) = keys.get(&[key]).filter(|value| **value != Value::Bool(false)) {
                return Err(refused(key, value, &format!("this means {what}")));
            }
        }
        let config = match keys.model_type()? {
            "gpt2" => gpt2(keys, "gpt2", &names::GPT2),
            "nanogpt" => nanogpt(keys),
            "gpt_neo" => gpt_neo(keys),
            "gpt_neox" => gpt_neox(keys),
            "opt" => opt(keys),
            "llama" => llama(keys, "llama"),
            "mistral" => llama(keys, "mistral"),
            "qwen2" => llama(keys, "qwen2"),
            "qwen3" => llama(keys, "qwen3"),
            "gemma" => gemma(keys, "gemma"),
            "gemma2" => gemma(keys, "gemma2"),
            "gemma3_text" => gemma(keys, "gemma3_text"),
            "hooked" => hooked(keys),
            other => Err(refused("model_type", &Value::from(other), READ)),
        }?;
        config.check()?;
        Ok(config)
    }

    pub fn layout(&self) -> Layout {
        Layout {
            kind: self.model_type,
            heads: vec![self.heads; self.layers.len()],
            width: self.width,
            vocab: self.vocab,
            length: self.length,
        }
    }

    /// Sizes that this program works with.
    fn check(&self) -> Result<()> {
        let sizes = [
            ("heads", self.heads, budget::MOST_HEADS),
            ("width", self.width, budget::MOST_WIDTH),
            ("tokens", self.vocab, budget::MOST_VOCAB),
            ("numbers of a head", self.head_dim, budget::MOST_WIDTH),
            ("hidden units", self.mlp.map_or(1, |mlp| mlp.hidden), 8 * budget::MOST_WIDTH),
        ];
        for (what, size, most) in sizes {
            if size == 0 || size > most {
                return Err(Error::input(format!(
                    "config.json describes a network with {size} {what}; expected 1 to {most}"
                )));
            }
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return Err(Error::input(format!(
                "config.json: {} heads cannot share {} heads of keys and values; expected a divisor",
                self.heads, self.kv_heads
            )));
        }
        Ok(())
    }
}

const READ: &str = "read are gpt2, nanogpt, gpt_neo, gpt_neox, opt, llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3_text, and the toy networks of TransformerLens";

fn refused(key: &str, value: &Value, why: &str) -> Error {
    let mut text = value.to_string();
    if text.len() > 80 {
        text.truncate((0..=80).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.push('…');
    }
    Error::input(format!("config.json says {key} = {text}, which is not read here: {why}"))
}

/// The keys of a document; `null` is as good as none.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    /// The value of the first of these keys that is there.
    fn get(self, names: &[&str]) -> Option<&'a Value> {
        names.iter().find_map(|name| self.0.get(*name).filter(|value| !value.is_null()))
    }

    fn model_type(self) -> Result<&'a str> {
        match self.get(&["model_type"]) {
            Some(Value::String(kind)) => Ok(kind),
            Some(other) => Err(refused("model_type", other, READ)),
            None if self.get(&["n_layers"]).is_some() && self.get(&["d_model"]).is_some() => {
                Ok("hooked")
            }
            None => Err(Error::input(format!("config.json has no model_type: {READ}"))),
        }
    }

    fn within(self, name: &str) -> Option<Self> {
        self.get(&[name])?.as_object().map(Keys)
    }

    fn maybe_count(self, names: &[&str]) -> Result<Option<usize>> {
        let Some(value) = self.get(names) else { return Ok(None) };
        // What is larger than anything is refused by its size, later.
        let count = value.as_u64().map(|n| size(n.min(1 << 40)));
        count.map(Some).ok_or_else(|| refused(names[0], value, "expected a whole number"))
    }

    fn count(self, names: &[&str]) -> Result<usize> {
        self.maybe_count(names)?
            .ok_or_else(|| Error::input(format!("config.json lacks {}, a whole number", names[0])))
    }

    /// How many layers: each is described by itself, so too many are refused before they are.
    fn layers(self, name: &str) -> Result<usize> {
        let count = self.count(&[name])?;
        if (1..=budget::MOST_LAYERS).contains(&count) {
            return Ok(count);
        }
        Err(Error::input(format!(
            "config.json: {name} is {count}; expected 1 to {}",
            budget::MOST_LAYERS
        )))
    }

    fn maybe_number(self, names: &[&str]) -> Result<Option<f64>> {
        let Some(value) = self.get(names) else { return Ok(None) };
        let number = value.as_f64().filter(|x| x.is_finite());
        number.map(Some).ok_or_else(|| refused(names[0], value, "expected a number"))
    }

    fn number(self, names: &[&str], default: f64) -> Result<f64> {
        self.maybe_number(names).map(|found| found.unwrap_or(default))
    }

    fn flag(self, name: &str, default: bool) -> Result<bool> {
        match self.get(&[name]) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(refused(name, other, "expected true or false")),
        }
    }

    /// That a flag has the one value that is read.
    fn demand(self, name: &str, wanted: bool, why: &str) -> Result<()> {
        if self.flag(name, wanted)? == wanted {
            return Ok(());
        }
        Err(refused(name, &Value::Bool(!wanted), why))
    }

    fn epsilon(self, names: &[&str], default: f32) -> Result<f32> {
        let epsilon = narrow(self.number(names, f64::from(default))?);
        if epsilon > 0.0 {
            return Ok(epsilon);
        }
        Err(refused(names[0], &Value::from(epsilon), "expected a number above 0"))
    }

    fn activation(self, names: &[&str], default: &str) -> Result<Option<Activation>> {
        let name = match self.get(names) {
            None => default,
            Some(Value::String(name)) => name,
            Some(other) => return Err(refused(names[0], other, ACTIVATIONS)),
        };
        match name {
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Some(Activation::GeluTanh)),
            "gelu" => Ok(Some(Activation::GeluErf)),
            "relu" => Ok(Some(Activation::Relu)),
            "silu" | "swish" => Ok(None),
            other => Err(refused(names[0], &Value::from(other), ACTIVATIONS)),
        }
    }

    /// An activation of an MLP without a gate.
    fn plain(self, names: &[&str], default: &str) -> Result<MlpKind> {
        let found = self.activation(names, default)?;
        found.map(MlpKind::Plain).ok_or_else(|| {
            refused(names[0], &Value::from("silu"), "it is read in gated MLPs alone")
        })
    }

    /// A head's numbers, where the width is divided among the heads.
    fn divided(self, width: usize, heads: usize) -> Result<usize> {
        if heads > 0 && width.is_multiple_of(heads) {
            return Ok(width / heads);
        }
        Err(Error::input(format!(
            "config.json: a width of {width} cannot be divided among {heads} heads"
        )))
    }
}

const ACTIVATIONS: &str = "read are gelu, gelu_new, gelu_pytorch_tanh, relu and silu";

fn inverse_root(dim: usize) -> f32 {
    1.0 / (dim as f32).sqrt()
}

/// LayerNorm, learned positions, an MLP four times as wide: where families begin.
fn learned(
    model_type: &'static str,
    spelling: &'static Spelling,
    (width, heads, length): (usize, usize, usize),
    mlp: MlpConfig,
) -> Config {
    Config {
        model_type,
        spelling,
        vocab: 0,
        width,
        heads,
        kv_heads: heads,
        head_dim: width / heads.max(1),
        length: length.min(budget::MOST_CONTEXT),
        length_said: length,
        norm: NormKind::Layer,
        norm_is_bare: false,
        epsilon: EPSILON,
        mlp: Some(mlp),
        parallel: false,
        tied: true,
        learned_positions: true,
        embed_scale: 1.0,
        score_cap: None,
        logit_cap: None,
        layers: Vec::new(),
    }
}

fn gpt2(keys: Keys<'_>, kind: &'static str, spelling: &'static Spelling) -> Result<Config> {
    keys.demand("add_cross_attention", false, "it reads a second sequence")?;
    let (width, heads) = (keys.count(&["n_embd"])?, keys.count(&["n_head"])?);
    let hidden = keys.maybe_count(&["n_inner"])?.unwrap_or(4 * width);
    let mlp = MlpConfig { hidden, kind: keys.plain(&["activation_function"], "gelu_new")? };
    let dim = keys.divided(width, heads)?;
    let scale = if keys.flag("scale_attn_weights", true)? { inverse_root(dim) } else { 1.0 };
    let by_layer = keys.flag("scale_attn_by_inverse_layer_idx", false)?;
    let layer = |i: usize| LayerConfig {
        scale: if by_layer { scale / (i + 1) as f32 } else { scale },
        window: None,
        frequencies: Vec::new(),
    };
    let length = keys.count(&["n_positions", "n_ctx"])?;
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        epsilon: keys.epsilon(&["layer_norm_epsilon"], EPSILON)?,
        tied: keys.flag("tie_word_embeddings", true)?,
        layers: (0..keys.layers("n_layer")?).map(layer).collect(),
        ..learned(kind, spelling, (width, heads, length), mlp)
    })
}

fn nanogpt(keys: Keys<'_>) -> Result<Config> {
    let (width, heads) = (keys.count(&["n_embd"])?, keys.count(&["n_head"])?);
    let mlp = MlpConfig { hidden: 4 * width, kind: MlpKind::Plain(Activation::GeluErf) };
    let scale = inverse_root(keys.divided(width, heads)?);
    let layer = LayerConfig { scale, window: None, frequencies: Vec::new() };
    let length = keys.count(&["block_size"])?;
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        layers: vec![layer; keys.layers("n_layer")?],
        ..learned("nanogpt", &names::NANOGPT, (width, heads, length), mlp)
    })
}

fn gpt_neo(keys: Keys<'_>) -> Result<Config> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_heads"])?);
    keys.divided(width, heads)?;
    let hidden = keys.maybe_count(&["intermediate_size"])?.unwrap_or(4 * width);
    let mlp = MlpConfig { hidden, kind: keys.plain(&["activation_function"], "gelu_new")? };
    let window = keys.number(&["window_size"], 256.0)?;
    let length = keys.count(&["max_position_embeddings"])?;
    let count = keys.layers("num_layers")?;
    let kinds = neo_layers(keys, count)?;
    let layer = |is_local: bool| LayerConfig {
        scale: 1.0,
        window: is_local.then(|| index(window)),
        frequencies: Vec::new(),
    };
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        epsilon: keys.epsilon(&["layer_norm_epsilon"], EPSILON)?,
        tied: keys.flag("tie_word_embeddings", true)?,
        layers: kinds.into_iter().map(layer).collect(),
        ..learned("gpt_neo", &names::GPT_NEO, (width, heads, length), mlp)
    })
}

/// Whether each layer attends locally: `attention_types` is a list of `[[kinds], how often]`.
fn neo_layers(keys: Keys<'_>, count: usize) -> Result<Vec<bool>> {
    let Some(value) = keys.get(&["attention_types"]) else {
        return Err(Error::input(
            "config.json lacks attention_types, such as [[[\"global\", \"local\"], 6]]",
        ));
    };
    let wrong = || {
        refused(
            "attention_types",
            value,
            &format!("expected a list such as [[[\"global\", \"local\"], 6]] for {count} layers"),
        )
    };
    let mut kinds = Vec::new();
    for group in value.as_array().ok_or_else(wrong)? {
        let (names, times) = match group.as_array().map(Vec::as_slice) {
            Some([Value::Array(names), times]) => (names, times.as_u64().ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        for _ in 0..times.min(budget::MOST_LAYERS as u64) {
            for name in names {
                kinds.push(match name.as_str() {
                    Some("local") => true,
                    Some("global") => false,
                    _ => return Err(wrong()),
                });
            }
        }
    }
    if kinds.len() == count { Ok(kinds) } else { Err(wrong()) }
}

fn gpt_neox(keys: Keys<'_>) -> Result<Config> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    let dim = keys.divided(width, heads)?;
    let mlp = MlpConfig {
        hidden: keys.count(&["intermediate_size"])?,
        kind: keys.plain(&["hidden_act"], "gelu")?,
    };
    let rope = Rope::of(keys, &["rotary_emb_base", "rope_theta"], 1e4)?;
    let share = match keys.within("rope_parameters") {
        Some(rope) => rope.number(&["partial_rotary_factor"], 1.0)?,
        None => keys.number(&["rotary_pct"], 0.25)?,
    };
    if !(0.0..=1.0).contains(&share) {
        return Err(refused("rotary_pct", &Value::from(share), "expected a share from 0 to 1"));
    }
    let rotated = index(dim as f64 * share);
    let layer = LayerConfig {
        scale: inverse_root(dim),
        window: None,
        frequencies: rope.frequencies(rotated),
    };
    let length = keys.count(&["max_position_embeddings"])?;
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        epsilon: keys.epsilon(&["layer_norm_eps"], EPSILON)?,
        parallel: keys.flag("use_parallel_residual", true)?,
        tied: keys.flag("tie_word_embeddings", false)?,
        learned_positions: false,
        layers: vec![layer; keys.layers("num_hidden_layers")?],
        ..learned("gpt_neox", &names::GPT_NEOX, (width, heads, length), mlp)
    })
}

fn opt(keys: Keys<'_>) -> Result<Config> {
    keys.demand("do_layer_norm_before", true, "norms behind the layers are not built")?;
    keys.demand("_remove_final_layer_norm", false, "the final norm is always there")?;
    keys.demand("layer_norm_elementwise_affine", true, "norms have weights")?;
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    if let Some(inner) = keys.maybe_count(&["word_embed_proj_dim"])?.filter(|w| *w != width) {
        return Err(refused(
            "word_embed_proj_dim",
            &Value::from(inner),
            "embeddings are as wide as the stream",
        ));
    }
    let mlp = MlpConfig {
        hidden: keys.count(&["ffn_dim"])?,
        kind: keys.plain(&["activation_function"], "relu")?,
    };
    let scale = inverse_root(keys.divided(width, heads)?);
    let layer = LayerConfig { scale, window: None, frequencies: Vec::new() };
    let length = keys.count(&["max_position_embeddings"])?;
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        tied: keys.flag("tie_word_embeddings", true)?,
        layers: vec![layer; keys.layers("num_hidden_layers")?],
        ..learned("opt", &names::OPT, (width, heads, length), mlp)
    })
}

/// RMSNorm, rotation of whole heads, a gated MLP, heads that share keys and values: llama, mistral, qwen2, qwen3.
fn llama(keys: Keys<'_>, kind: &'static str) -> Result<Config> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    let dim = match keys.maybe_count(&["head_dim"])? {
        Some(dim) => dim,
        None => keys.divided(width, heads)?,
    };
    let count = keys.layers("num_hidden_layers")?;
    let rope = Rope::of(keys, &["rope_theta"], 1e4)?;
    let window = windows(keys, kind, count)?;
    let scale = inverse_root(dim);
    let layer = |window| LayerConfig { scale, window, frequencies: rope.frequencies(dim) };
    let gate = keys.activation(&["hidden_act"], "silu")?;
    let spelling = if kind == "qwen3" { &names::QWEN3 } else { &names::LLAMA };
    let layers = window.into_iter().map(layer).collect();
    rms(keys, (kind, spelling), (width, heads, dim), gate, layers)
}

/// RMSNorm, no table of positions, a gated MLP, heads that share keys and values.
fn rms(
    keys: Keys<'_>,
    (kind, spelling): (&'static str, &'static Spelling),
    (width, heads, head_dim): (usize, usize, usize),
    gate: Option<Activation>,
    layers: Vec<LayerConfig>,
) -> Result<Config> {
    let mlp = MlpConfig { hidden: keys.count(&["intermediate_size"])?, kind: MlpKind::Gated(gate) };
    let length = keys.count(&["max_position_embeddings"])?;
    Ok(Config {
        vocab: keys.count(&["vocab_size"])?,
        kv_heads: keys.maybe_count(&["num_key_value_heads"])?.unwrap_or(heads),
        head_dim,
        norm: NormKind::Rms,
        epsilon: keys.epsilon(&["rms_norm_eps"], 1e-6)?,
        tied: keys.flag("tie_word_embeddings", false)?,
        learned_positions: false,
        layers,
        ..learned(kind, spelling, (width, heads, length), mlp)
    })
}

fn gemma(keys: Keys<'_>, kind: &'static str) -> Result<Config> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    let dim = keys.maybe_count(&["head_dim"])?.unwrap_or(256);
    let count = keys.layers("num_hidden_layers")?;
    let of_windows = windows(keys, kind, count)?;
    let is_third = kind == "gemma3_text";
    let base = |slides: bool| -> Result<Rope> {
        let part = if slides { "sliding_attention" } else { "full_attention" };
        match keys.within("rope_parameters").and_then(|rope| rope.within(part)) {
            Some(rope) => Rope::within(rope, 1e4),
            None if is_third && slides => {
                Ok(Rope::plain(keys.number(&["rope_local_base_freq"], 1e4)?))
            }
            None => Rope::of(keys, &["rope_theta"], if is_third { 1e6 } else { 1e4 }),
        }
    };
    let (slow, fast) = (base(false)?, base(true)?);
    let scale = match keys.maybe_number(&["query_pre_attn_scalar"])? {
        Some(scalar) if kind != "gemma" => narrow(1.0 / scalar.sqrt()),
        _ => inverse_root(dim),
    };
    let layer = |window: Option<usize>| LayerConfig {
        scale,
        window,
        frequencies: if window.is_some() { fast.frequencies(dim) } else { slow.frequencies(dim) },
    };
    // "gelu" means the tanh formula here, in files of before `hidden_activation`.
    let gate = match keys.activation(&["hidden_activation", "hidden_act"], "gelu_pytorch_tanh")? {
        Some(Activation::GeluErf) => Some(Activation::GeluTanh),
        other => other,
    };
    let spelling = match kind {
        "gemma" => &names::GEMMA,
        "gemma2" => &names::GEMMA2,
        _ => &names::GEMMA3,
    };
    let cap = |name: &str| Ok::<_, Error>(keys.maybe_number(&[name])?.map(narrow));
    let layers = of_windows.into_iter().map(layer).collect();
    Ok(Config {
        tied: keys.flag("tie_word_embeddings", true)?,
        embed_scale: (width as f32).sqrt(),
        score_cap: cap("attn_logit_softcapping")?,
        logit_cap: cap("final_logit_softcapping")?,
        ..rms(keys, (kind, spelling), (width, heads, dim), gate, layers)?
    })
}

/// The toy networks of TransformerLens.
fn hooked(keys: Keys<'_>) -> Result<Config> {
    keys.demand(
        "shortformer_pos",
        false,
        "positions that only queries and keys see are not built",
    )?;
    keys.demand("final_rms", false, "the final norm is of the kind of the others")?;
    keys.demand("parallel_attn_mlp", false, "attention and MLP come one after the other")?;
    keys.demand("gated_mlp", false, "MLPs have no gate")?;
    if let Some(kind) = keys.get(&["positional_embedding_type"]).filter(|kind| *kind != "standard")
    {
        return Err(refused("positional_embedding_type", kind, "read is standard"));
    }
    let (width, heads) = (keys.count(&["d_model"])?, keys.count(&["n_heads"])?);
    let dim = keys.count(&["d_head"])?;
    let scale = match keys.maybe_number(&["attn_scale"])?.filter(|scale| *scale > 0.0) {
        Some(divisor) => narrow(1.0 / divisor),
        None if keys.flag("use_attn_scale", true)? => inverse_root(dim),
        None => 1.0,
    };
    let norm_is_bare = match keys.get(&["normalization_type", "normalization"]) {
        Some(Value::String(name)) if name == "LN" => false,
        Some(Value::String(name)) if name == "LNPre" => true,
        other => {
            let value = other.unwrap_or(&Value::Null);
            return Err(refused("normalization_type", value, "read are LN and LNPre"));
        }
    };
    let is_solu = keys.get(&["act_fn"]).and_then(Value::as_str) == Some("solu_ln");
    let mlp = if keys.flag("attn_only", false)? {
        None
    } else {
        let kind = if is_solu { MlpKind::Solu } else { keys.plain(&["act_fn"], "gelu")? };
        Some(MlpConfig { hidden: keys.count(&["d_mlp"])?, kind })
    };
    let layer = LayerConfig { scale, window: None, frequencies: Vec::new() };
    let shape = (width, heads, keys.count(&["n_ctx"])?);
    let none = MlpConfig { hidden: 1, kind: MlpKind::Solu };
    Ok(Config {
        vocab: keys.count(&["d_vocab"])?,
        head_dim: dim,
        norm_is_bare,
        epsilon: keys.epsilon(&["eps"], EPSILON)?,
        mlp,
        tied: false,
        layers: vec![layer; keys.layers("n_layers")?],
        ..learned("hooked", &names::HOOKED, shape, none)
    })
}

/// How many keys each layer's queries see; `None`: all.
fn windows(keys: Keys<'_>, kind: &str, count: usize) -> Result<Vec<Option<usize>>> {
    let window = keys.maybe_count(&["sliding_window"])?;
    if let Some(value) = keys.get(&["layer_types"]) {
        return listed_windows(value, window, count);
    }
    let from = keys.maybe_count(&["max_window_layers"])?.unwrap_or(0);
    let uses = keys.flag("use_sliding_window", false)?;
    let pattern = keys.maybe_count(&["sliding_window_pattern"])?.unwrap_or(6).max(1);
    let slides = |layer: usize| match kind {
        "mistral" => true,
        "qwen2" | "qwen3" => uses && layer >= from,
        "gemma2" => layer.is_multiple_of(2),
        "gemma3_text" => !(layer + 1).is_multiple_of(pattern),
        _ => false,
    };
    Ok((0..count).map(|layer| window.filter(|_| slides(layer))).collect())
}

fn listed_windows(
    value: &Value,
    window: Option<usize>,
    count: usize,
) -> Result<Vec<Option<usize>>> {
    let wrong = |value: &Value| {
        let why = format!(
            "expected a list of full_attention and sliding_attention, one of them for each of {count} layers, and sliding_window"
        );
        refused("layer_types", value, &why)
    };
    let list = value.as_array().filter(|list| list.len() == count);
    let list = list.ok_or_else(|| wrong(value))?;
    let layer = |kind: &Value| match (kind.as_str(), window) {
        (Some("full_attention"), _) => Ok(None),
        (Some("sliding_attention"), Some(window)) => Ok(Some(window)),
        _ => Err(wrong(kind)),
    };
    list.iter().map(layer).collect()
}

/// How queries and keys are rotated.
#[derive(Clone, Copy)]
struct Rope {
    base: f64,
    scaling: Scaling,
}

#[derive(Clone, Copy)]
enum Scaling {
    None,
    /// All frequencies are divided.
    Linear(f64),
    /// Low ones are, as in Llama 3.1.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

impl Rope {
    fn plain(base: f64) -> Self {
        Self { base, scaling: Scaling::None }
    }

    /// In either spelling: `rope_parameters`, or the base by one of these names beside `rope_scaling`.
    fn of(keys: Keys<'_>, names: &[&str], default: f64) -> Result<Self> {
        if let Some(rope) = keys.within("rope_parameters") {
            return Self::within(rope, default);
        }
        let scaling = keys.within("rope_scaling").map_or(Ok(Scaling::None), Scaling::of)?;
        Self { base: keys.number(names, default)?, scaling }.checked()
    }

    fn within(rope: Keys<'_>, default: f64) -> Result<Self> {
        let base = rope.number(&["rope_theta"], default)?;
        Self { base, scaling: Scaling::of(rope)? }.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.base > 0.0 {
            return Ok(self);
        }
        Err(refused("rope_theta", &Value::from(self.base), "expected a number above 0"))
    }

    /// Of the pairs of so many coordinates.
    fn frequencies(self, rotated: usize) -> Vec<f64> {
        let pairs = 0..rotated.min(budget::MOST_WIDTH) / 2;
        let plain = pairs.map(|i| self.base.powf(-2.0 * i as f64 / rotated as f64));
        plain.map(|frequency| self.scaling.of_frequency(frequency)).collect()
    }
}

impl Scaling {
    fn of(rope: Keys<'_>) -> Result<Self> {
        const KINDS: &str =
            "read are default, linear and llama3; others change with the length of the sequence";
        let kind = match rope.get(&["rope_type", "type"]) {
            None => "default",
            Some(Value::String(kind)) => kind,
            Some(other) => return Err(refused("rope_type", other, KINDS)),
        };
        let number = |name: &str| {
            rope.maybe_number(&[name])?.filter(|x| *x > 0.0).ok_or_else(|| {
                Error::input(format!("config.json lacks {name}, a number above 0, in rope_scaling"))
            })
        };
        match kind {
            "default" => Ok(Self::None),
            "linear" => Ok(Self::Linear(number("factor")?)),
            "llama3" => Ok(Self::Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original: number("original_max_position_embeddings")?,
            }),
            other => Err(refused("rope_type", &Value::from(other), KINDS)),
        }
    }

    fn of_frequency(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear(factor) => frequency / factor,
            Self::Llama3 { factor, low, high, original } => {
                let wavelength = std::f64::consts::TAU / frequency;
                if wavelength < original / high {
                    return frequency;
                }
                if wavelength > original / low {
                    return frequency / factor;
                }
                let share = (original / wavelength - low) / (high - low);
                frequency * ((1.0 - share) / factor + share)
            }
        }
    }
}
