//! Where the tensors of a network lie in files of other programs: their names, and how they are stored there.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, DType, Device, Shape, Tensor};

use crate::base::error::{Error, Result};
use crate::base::weights::{Numbers, RawTensor, TensorFile};
use crate::nn::params::Stored;

/// How a tensor is stored, and which part of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    Whole,
    /// `[in, out]`, where we have `[out, in]`.
    Turned,
    /// The first, second or third third of the rows: queries, keys and values side by side.
    Third(usize),
    /// The same of `[in, out]`.
    TurnedThird(usize),
    /// The same of each head by itself: rows are head, third, dim.
    ThirdOfEachHead(usize),
    /// Without its first two rows.
    AfterTwo,
    /// One is added to each number.
    PlusOne,
    /// `[head, width, dim]`, where we have `[head · dim, width]`.
    HeadsRead,
    /// `[head, dim, width]`, where we have `[width, head · dim]`.
    HeadsWrite,
    /// `[head, dim]`, where we have `[head · dim]`.
    HeadsFlat,
}

/// A linear map or a norm: the names of its weight and its bias, and how they are stored. Which of them are there, the file says.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub weight: &'static str,
    pub bias: &'static str,
    pub take: Take,
    pub take_bias: Take,
}

macro_rules! named {
    ($name:literal) => {
        named!($name, Whole, Whole)
    };
    ($name:literal, $take:ident $(($third:literal))?) => {
        named!($name, $take $(($third))?, Whole)
    };
    ($name:literal, $take:ident $(($third:literal))?, $bias:ident $(($bias_third:literal))?) => {
        Named {
            weight: concat!($name, ".weight"),
            bias: concat!($name, ".bias"),
            take: Take::$take $(($third))?,
            take_bias: Take::$bias $(($bias_third))?,
        }
    };
}

/// The names of a family of networks.
#[derive(Debug)]
pub struct Spelling {
    /// What may stand before all names, the likeliest first.
    pub prefixes: &'static [&'static str],
    pub embed: &'static str,
    pub positions: &'static str,
    pub take_positions: Take,
    /// Before the names of a layer, with its number behind it.
    pub layers: &'static str,
    pub norm1: Named,
    pub queries: Named,
    pub keys: Named,
    pub values: Named,
    pub outputs: Named,
    /// Of the heads of queries and keys.
    pub head_norms: Option<[Named; 2]>,
    /// Of what attention and MLP write.
    pub after: Option<[Named; 2]>,
    pub norm2: Named,
    pub gate: Option<Named>,
    pub inner: Named,
    pub inner_norm: Option<Named>,
    pub out: Named,
    pub norm: Named,
    /// Any of these; without the prefix too.
    pub unembed: &'static [Named],
    /// Parts of names of tensors that are no parameters.
    pub buffers: &'static [&'static str],
}

const NO_BUFFERS: &[&str] = &["masked_bias", "rotary_emb.inv_freq"];

pub const GPT2: Spelling = Spelling {
    prefixes: &["transformer.", "", "_orig_mod.transformer."],
    embed: "wte.weight",
    positions: "wpe.weight",
    take_positions: Take::Whole,
    layers: "h.",
    norm1: named!("ln_1"),
    queries: named!("attn.c_attn", TurnedThird(0), Third(0)),
    keys: named!("attn.c_attn", TurnedThird(1), Third(1)),
    values: named!("attn.c_attn", TurnedThird(2), Third(2)),
    outputs: named!("attn.c_proj", Turned),
    head_norms: None,
    after: None,
    norm2: named!("ln_2"),
    gate: None,
    inner: named!("mlp.c_fc", Turned),
    inner_norm: None,
    out: named!("mlp.c_proj", Turned),
    norm: named!("ln_f"),
    unembed: &[named!("lm_head")],
    buffers: &["attn.bias", "masked_bias"],
};

pub const NANOGPT: Spelling = Spelling {
    queries: named!("attn.c_attn", Third(0), Third(0)),
    keys: named!("attn.c_attn", Third(1), Third(1)),
    values: named!("attn.c_attn", Third(2), Third(2)),
    outputs: named!("attn.c_proj"),
    inner: named!("mlp.c_fc"),
    out: named!("mlp.c_proj"),
    ..GPT2
};

pub const GPT_NEO: Spelling = Spelling {
    queries: named!("attn.attention.q_proj"),
    keys: named!("attn.attention.k_proj"),
    values: named!("attn.attention.v_proj"),
    outputs: named!("attn.attention.out_proj"),
    inner: named!("mlp.c_fc"),
    out: named!("mlp.c_proj"),
    buffers: &["attn.attention.bias", "masked_bias"],
    ..GPT2
};

pub const GPT_NEOX: Spelling = Spelling {
    prefixes: &["gpt_neox.", ""],
    embed: "embed_in.weight",
    layers: "layers.",
    norm1: named!("input_layernorm"),
    queries: named!("attention.query_key_value", ThirdOfEachHead(0), ThirdOfEachHead(0)),
    keys: named!("attention.query_key_value", ThirdOfEachHead(1), ThirdOfEachHead(1)),
    values: named!("attention.query_key_value", ThirdOfEachHead(2), ThirdOfEachHead(2)),
    outputs: named!("attention.dense"),
    norm2: named!("post_attention_layernorm"),
    inner: named!("mlp.dense_h_to_4h"),
    out: named!("mlp.dense_4h_to_h"),
    norm: named!("final_layer_norm"),
    unembed: &[named!("embed_out"), named!("lm_head")],
    buffers: &["attention.bias", "masked_bias", "rotary_emb.inv_freq"],
    ..GPT2
};

pub const OPT: Spelling = Spelling {
    prefixes: &["model.decoder.", "decoder.", ""],
    embed: "embed_tokens.weight",
    positions: "embed_positions.weight",
    take_positions: Take::AfterTwo,
    layers: "layers.",
    norm1: named!("self_attn_layer_norm"),
    queries: named!("self_attn.q_proj"),
    keys: named!("self_attn.k_proj"),
    values: named!("self_attn.v_proj"),
    outputs: named!("self_attn.out_proj"),
    norm2: named!("final_layer_norm"),
    inner: named!("fc1"),
    out: named!("fc2"),
    norm: named!("final_layer_norm"),
    buffers: NO_BUFFERS,
    ..GPT2
};

pub const LLAMA: Spelling = Spelling {
    prefixes: &["model.", ""],
    embed: "embed_tokens.weight",
    layers: "layers.",
    norm1: named!("input_layernorm"),
    queries: named!("self_attn.q_proj"),
    keys: named!("self_attn.k_proj"),
    values: named!("self_attn.v_proj"),
    outputs: named!("self_attn.o_proj"),
    norm2: named!("post_attention_layernorm"),
    gate: Some(named!("mlp.gate_proj")),
    inner: named!("mlp.up_proj"),
    out: named!("mlp.down_proj"),
    norm: named!("norm"),
    buffers: NO_BUFFERS,
    ..GPT2
};

pub const QWEN3: Spelling = Spelling {
    head_norms: Some([named!("self_attn.q_norm"), named!("self_attn.k_norm")]),
    ..LLAMA
};

pub const GEMMA: Spelling = Spelling {
    norm1: named!("input_layernorm", PlusOne),
    norm2: named!("post_attention_layernorm", PlusOne),
    norm: named!("norm", PlusOne),
    ..LLAMA
};

pub const GEMMA2: Spelling = Spelling {
    norm2: named!("pre_feedforward_layernorm", PlusOne),
    after: Some([
        named!("post_attention_layernorm", PlusOne),
        named!("post_feedforward_layernorm", PlusOne),
    ]),
    ..GEMMA
};

pub const GEMMA3: Spelling = Spelling {
    head_norms: Some([named!("self_attn.q_norm", PlusOne), named!("self_attn.k_norm", PlusOne)]),
    ..GEMMA2
};

const fn hooked(weight: &'static str, bias: &'static str, take: Take, take_bias: Take) -> Named {
    Named { weight, bias, take, take_bias }
}

pub const HOOKED: Spelling = Spelling {
    prefixes: &[""],
    embed: "embed.W_E",
    positions: "pos_embed.W_pos",
    layers: "blocks.",
    norm1: hooked("ln1.w", "ln1.b", Take::Whole, Take::Whole),
    queries: hooked("attn.W_Q", "attn.b_Q", Take::HeadsRead, Take::HeadsFlat),
    keys: hooked("attn.W_K", "attn.b_K", Take::HeadsRead, Take::HeadsFlat),
    values: hooked("attn.W_V", "attn.b_V", Take::HeadsRead, Take::HeadsFlat),
    outputs: hooked("attn.W_O", "attn.b_O", Take::HeadsWrite, Take::Whole),
    norm2: hooked("ln2.w", "ln2.b", Take::Whole, Take::Whole),
    inner: hooked("mlp.W_in", "mlp.b_in", Take::Turned, Take::Whole),
    inner_norm: Some(hooked("mlp.ln.w", "mlp.ln.b", Take::Whole, Take::Whole)),
    out: hooked("mlp.W_out", "mlp.b_out", Take::Turned, Take::Whole),
    norm: hooked("ln_final.w", "ln_final.b", Take::Whole, Take::Whole),
    unembed: &[hooked("unembed.W_U", "unembed.b_U", Take::Turned, Take::Whole)],
    buffers: &["attn.mask", "attn.IGNORE"],
    ..GPT2
};

impl Take {
    /// Whether a tensor stored as this is, taken so, one of that shape: looked at before anything is read.
    pub fn fits(self, stored: &[usize], shape: &[usize], heads: usize) -> bool {
        let turned: Vec<usize> = shape.iter().rev().copied().collect();
        match (self, shape) {
            (Self::Whole | Self::PlusOne, _) => stored == shape,
            (Self::Turned, _) => stored == turned,
            (Self::Third(_) | Self::ThirdOfEachHead(_), [rows, rest @ ..]) => {
                stored == [&[3 * rows], rest].concat()
            }
            (Self::TurnedThird(_), [out, inputs]) => stored == [*inputs, 3 * out],
            (Self::AfterTwo, [rows, rest @ ..]) => stored == [&[rows + 2], rest].concat(),
            (Self::HeadsRead, [inner, width]) => stored == [heads, *width, inner / heads.max(1)],
            (Self::HeadsWrite, [width, inner]) => stored == [heads, inner / heads.max(1), *width],
            (Self::HeadsFlat, [inner]) => stored == [heads, inner / heads.max(1)],
            _ => false,
        }
    }

    /// Which rows of the stored tensor are read, of a tensor of ours of so many rows.
    fn rows(self, rows: usize, heads: usize) -> Option<Vec<Range<usize>>> {
        let dim = rows / heads.max(1);
        let one = |rows: Range<usize>| std::iter::once(rows).collect();
        match self {
            Self::Third(i) => Some(one(i * rows..(i + 1) * rows)),
            Self::ThirdOfEachHead(i) => {
                let from = |head: usize| (3 * head + i) * dim;
                Some((0..heads).map(|head| from(head)..from(head) + dim).collect())
            }
            Self::AfterTwo => Some(one(2..rows + 2)),
            Self::Whole
            | Self::Turned
            | Self::TurnedThird(_)
            | Self::PlusOne
            | Self::HeadsRead
            | Self::HeadsWrite
            | Self::HeadsFlat => None,
        }
    }

    /// What was read as we have it; a matrix that is stored the other way round is seen by its columns, not copied.
    fn of(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Whole | Self::Third(_) | Self::ThirdOfEachHead(_) | Self::AfterTwo => x.clone(),
            Self::Turned => x.t()?,
            Self::TurnedThird(i) => {
                let columns = x.dim(1)? / 3;
                x.narrow(1, i * columns, columns)?.t()?
            }
            Self::PlusOne => (x + 1.0)?,
            Self::HeadsRead => x.transpose(1, 2)?.flatten(0, 1)?.contiguous()?,
            Self::HeadsWrite => x.permute((2, 0, 1))?.flatten(1, 2)?.contiguous()?,
            Self::HeadsFlat => x.flatten_all()?,
        })
    }
}

/// A tensor of the files, kept once it is read: parts of it may be parameters of their own.
pub struct Whole {
    file: Arc<dyn TensorFile>,
    name: String,
    read: Mutex<Option<Tensor>>,
}

impl Whole {
    pub fn new(file: Arc<dyn TensorFile>, name: String) -> Self {
        Self { file, name, read: Mutex::default() }
    }

    fn get(&self) -> Result<Tensor> {
        // A panic while it was read left nothing behind.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*read {
            return Ok(read.clone());
        }
        Ok(read.insert(tensor(self.file.read(&self.name)?, &self.name)?).clone())
    }
}

/// A tensor of ours in files of another program.
pub struct InFile {
    pub of: Arc<Whole>,
    pub take: Take,
    pub heads: usize,
    pub shape: Vec<usize>,
}

impl Stored for InFile {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn whole(&self) -> Result<Tensor> {
        let Whole { file, name, .. } = &*self.of;
        let rows = self.shape.first().copied().unwrap_or(1);
        let x = match self.take.rows(rows, self.heads) {
            Some(rows) => tensor(file.rows(name, &rows)?, name)?,
            None => self.of.get()?,
        };
        self.take.of(&x)
    }

    fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        let Whole { file, name, .. } = &*self.of;
        if self.take != Take::Whole {
            let rows = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
            return Ok(self.whole()?.index_select(&rows, 0)?.to_dtype(DType::F32)?);
        }
        let rows: Vec<Range<usize>> =
            rows.iter().map(|row| *row as usize).map(|row| row..row + 1).collect();
        Ok(tensor(file.rows(name, &rows)?, name)?.to_dtype(DType::F32)?)
    }
}

/// What was read of a file as a tensor: of its own kind of numbers where it is a matrix, of `f32` where it is not, and where it was `f64`.
fn tensor(RawTensor { shape, numbers }: RawTensor, name: &str) -> Result<Tensor> {
    if !numbers.are_finite() {
        return Err(Error::input(format!(
            "the tensor {name} holds numbers that are not finite (NaN or infinite): there is nothing to see in this network"
        )));
    }
    let shape = Shape::from(shape);
    let x = match numbers {
        Numbers::F64(numbers) => Tensor::from_vec(numbers, shape, &Device::Cpu)?,
        Numbers::F32(numbers) => Tensor::from_vec(numbers, shape, &Device::Cpu)?,
        Numbers::F16(numbers) => Tensor::from_vec(numbers, shape, &Device::Cpu)?,
        Numbers::Bf16(numbers) => Tensor::from_vec(numbers, shape, &Device::Cpu)?,
    };
    let is_matrix = x.rank() > 1 && x.dim(D::Minus1)? > 1;
    if is_matrix && x.dtype() != DType::F64 { Ok(x) } else { Ok(x.to_dtype(DType::F32)?) }
}
