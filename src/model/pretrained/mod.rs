//! Networks of other programs, read and not trained: GPT-2, GPT-NeoX (Pythia), Llama and their kin. They are built of the decoder's own
//! layers, as their `config.json` says, and their numbers are read from their files: none is drawn before.

mod config;
mod names;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::base::error::{Error, Result};
use crate::base::intervention::Point;
use crate::base::settings::{Settings, Slot, Spec};
use crate::base::vocab::labelled;
use crate::base::weights::TensorFile;
use crate::nn::attention::{Attention, Mask, Sees};
use crate::nn::norm::{Norm, NormKind};
use crate::nn::params::{Param, Params};
use crate::nn::position::{Pairs, Rotary};
use crate::nn::tap::Tap;
use crate::nn::wire::{Map, Wire};

use super::decoder::layer::{Hidden, Layer, Mlp, SelfAttention};
use super::readout::{Read, Written};
use super::reads::{Embedding, Reading};
use super::{Architecture, Input, Layout, Model, Network, Output, Sequences};

pub use config::Config;
use config::{LayerConfig, MlpKind};
use names::{InFile, Named, Take, Whole};

crate::settings! {
    /// Where a network of another program lies.
    pub struct Place = "A network of another program, read from its folder." {
        /// Its folder.
        folder: String = String::new();
    }
}

/// A network of another program that lies in files, as an experiment names it.
#[derive(Clone)]
pub struct FromFiles {
    place: Place,
    config: Arc<Config>,
    file: Arc<dyn TensorFile>,
    /// As long as somebody has it, it is not read again.
    read: Arc<Mutex<Weak<(Pretrained, Params)>>>,
}

impl FromFiles {
    /// # Errors
    /// When the configuration is of a network that is not read.
    pub fn new(folder: String, config: &str, file: Arc<dyn TensorFile>) -> Result<Self> {
        let config = Arc::new(Config::parse(config)?);
        Ok(Self { place: Place { folder }, config, file, read: Arc::default() })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The network with the numbers of these files; where somebody has it, it is the same.
    fn held(&self, params: &mut Params) -> Result<Box<dyn Model>> {
        // A panic while it was read left nothing behind.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = match read.upgrade() {
            Some(whole) => whole,
            None => {
                let mut numbers = Params::new(0);
                let network = Pretrained::read(&self.config, &self.file, &mut numbers)?;
                Arc::new((network, numbers))
            }
        };
        *read = Arc::downgrade(&whole);
        params.adopt(&whole.1);
        let network = whole.0.clone();
        Ok(Box::new(Held { network, _whole: whole }))
    }
}

impl Settings for FromFiles {
    fn about(&self) -> &'static str {
        self.place.about()
    }

    fn each(&mut self, visit: &mut dyn FnMut(&Spec, Slot<'_>)) {
        self.place.each(visit);
    }
}

impl Architecture for FromFiles {
    fn build(&self, _on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        self.held(params)
    }

    fn is_read(&self) -> bool {
        true
    }

    fn outline(&self, _on: Sequences, _params: &mut Params) -> Result<Box<dyn Model>> {
        Ok(Box::new(Outline(self.config.layout())))
    }

    fn read(
        &self,
        file: &Arc<dyn TensorFile>,
        params: &mut Params,
    ) -> Result<Option<Box<dyn Model>>> {
        if self.file.identity() == file.identity() {
            return self.held(params).map(Some);
        }
        Ok(Some(Box::new(Pretrained::read(&self.config, file, params)?)))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

/// A network of another program.
#[derive(Clone)]
pub struct Pretrained {
    layout: Layout,
    /// `[vocab, width]`
    embed: Param,
    /// Added to the embedding.
    positions: Option<Param>,
    embed_scale: f32,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocab, width]`; the embedding itself when tied.
    unembed: Map,
    logit_cap: Option<f32>,
}

impl Pretrained {
    /// The network that a `config.json` describes, with the numbers of its files; they become `params`.
    ///
    /// # Errors
    /// When a tensor is missing, of another shape than the configuration says, or one that nothing reads.
    pub fn read(config: &Config, file: &Arc<dyn TensorFile>, params: &mut Params) -> Result<Self> {
        let mut load = Load::new(config, file, params)?;
        let network = load.network()?;
        load.check_all_read()?;
        Ok(network)
    }
}

/// A network whose numbers others have too.
struct Held {
    network: Pretrained,
    _whole: Arc<(Pretrained, Params)>,
}

impl Network for Held {
    fn layout(&self) -> &Layout {
        Network::layout(&self.network)
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        self.network.wire(wire)
    }

    fn read(&self) -> Read<'_> {
        Network::read(&self.network)
    }

    fn is_trained(&self) -> bool {
        false
    }

    fn caches(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }

    fn embedding(&self) -> Option<Embedding> {
        Network::embedding(&self.network)
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        self.network.reading(layer)
    }

    fn written(&self, layer: usize) -> Option<Written> {
        self.network.written(layer)
    }
}

/// What is known of a network before its numbers are.
struct Outline(Layout);

impl Model for Outline {
    fn layout(&self) -> &Layout {
        &self.0
    }

    fn forward(&self, _: &Params, _: &Input<'_>, _: &mut dyn Tap) -> Result<Output> {
        Err(Error::internal("the numbers of a network were not read"))
    }
}

impl Pretrained {
    fn embedded<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let mut x = wire.embed(self.embed, self.positions)?;
        if self.embed_scale != 1.0 {
            x = wire.scale(&x, self.embed_scale)?;
        }
        wire.at(0, Point::Embed, x)
    }
}

impl Network for Pretrained {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let (first, mut x) = match wire.resumed() {
            Some(from) => from,
            None => (0, self.embedded(wire)?),
        };
        for layer in self.layers.iter().skip(first) {
            x = layer.wire(wire, x)?;
        }
        Network::read(self).wire(wire, self.layers.len() - 1, x)
    }

    fn read(&self) -> Read<'_> {
        Read { cap: self.logit_cap, ..Read::new(Some(&self.norm), self.unembed) }
    }

    fn is_trained(&self) -> bool {
        false
    }

    fn caches(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }

    fn embedding(&self) -> Option<Embedding> {
        let Self { embed: tokens, positions, embed_scale: scale, .. } = *self;
        Some(Embedding { tokens, positions, scale })
    }

    fn reading(&self, layer: usize) -> Option<Reading<'_>> {
        Some(self.layers.get(layer)?.reading())
    }

    fn written(&self, layer: usize) -> Option<Written> {
        // Behind a norm, heads do not just add to the stream.
        self.layers.get(layer).filter(|layer| layer.after.is_none()).map(Layer::written)
    }
}

/// Finds the tensors of a file in the order of a network.
struct Load<'a> {
    config: &'a Config,
    file: &'a Arc<dyn TensorFile>,
    params: &'a mut Params,
    prefix: &'static str,
    /// Tensors of the file that somebody reads.
    read: BTreeMap<String, Arc<Whole>>,
}

impl<'a> Load<'a> {
    fn new(
        config: &'a Config,
        file: &'a Arc<dyn TensorFile>,
        params: &'a mut Params,
    ) -> Result<Self> {
        let spelling = config.spelling;
        let has = |prefix: &&&str| file.shape(&format!("{prefix}{}", spelling.embed)).is_some();
        let Some(prefix) = spelling.prefixes.iter().find(has) else {
            return Err(Error::input(format!(
                "the tensors of the network have no {}{}, as those of {} have; its config.json and its tensors do not belong together",
                spelling.prefixes[0], spelling.embed, config.model_type
            )));
        };
        Ok(Self { config, file, params, prefix, read: BTreeMap::new() })
    }

    fn network(&mut self) -> Result<Pretrained> {
        let config = self.config;
        let Config { vocab, width, .. } = *config;
        let spelling = config.spelling;
        let embed = self.matrix("embed", (spelling.embed, Take::Whole), &[vocab, width])?;
        let positions = if config.learned_positions { Some(self.positions()?) } else { None };
        let layers = (0..config.layers.len()).map(|i| self.layer(i)).collect::<Result<_>>()?;
        Ok(Pretrained {
            layout: config.layout(),
            embed,
            positions,
            embed_scale: config.embed_scale,
            layers,
            norm: self.norm("norm", "", spelling.norm, width)?,
            unembed: self.unembed(embed)?,
            logit_cap: config.logit_cap,
        })
    }

    /// As many rows as are read; the table may have more.
    fn positions(&mut self) -> Result<Param> {
        let spelling = self.config.spelling;
        let name = format!("{}{}", self.prefix, spelling.positions);
        let rows = self.file.shape(&name).and_then(|shape| shape.first().copied()).unwrap_or(0);
        let rows =
            if spelling.take_positions == Take::AfterTwo { rows.saturating_sub(2) } else { rows };
        if rows < self.config.length {
            return Err(Error::input(format!(
                "the table of positions {name} has {rows} rows; config.json says that sequences have up to {} tokens",
                self.config.length_said
            )));
        }
        self.matrix(
            "pos",
            (spelling.positions, spelling.take_positions),
            &[rows, self.config.width],
        )
    }

    fn unembed(&mut self, embed: Param) -> Result<Map> {
        let Config { vocab, width, tied, spelling, .. } = *self.config;
        let found = spelling.unembed.iter().find(|named| self.file.shape(named.weight).is_some());
        if tied {
            // Old files hold it twice.
            if let Some(named) = found {
                self.stored(named.weight);
            }
            return Ok(Map::plain(embed));
        }
        let named = found.unwrap_or(&spelling.unembed[0]);
        let prefix = std::mem::take(&mut self.prefix);
        let map = self.map("unembed", "", *named, [vocab, width]);
        self.prefix = prefix;
        map
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let (config, spelling) = (self.config, self.config.spelling);
        let (of, width) = (format!("{}{index}.", spelling.layers), config.width);
        let name = |part: &str| format!("layer{index}.{part}");
        let norm1 = self.norm(&name("norm1"), &of, spelling.norm1, width)?;
        let attention = self.attention(index, &of, &config.layers[index])?;
        let after = match spelling.after {
            None => None,
            Some([first, second]) => Some([
                self.norm(&name("after_attn"), &of, first, width)?,
                self.norm(&name("after_mlp"), &of, second, width)?,
            ]),
        };
        let mlp = match config.mlp {
            None => None,
            Some(mlp) => Some((
                self.norm(&name("norm2"), &of, spelling.norm2, width)?,
                self.mlp(&name("mlp"), &of, (mlp.kind, mlp.hidden))?,
            )),
        };
        Ok(Layer { index, norm1, attention, mlp, parallel: config.parallel, after })
    }

    fn attention(&mut self, index: usize, of: &str, layer: &LayerConfig) -> Result<SelfAttention> {
        let (config, spelling) = (self.config, self.config.spelling);
        let Config { width, heads, kv_heads, head_dim, .. } = *config;
        let name = |part: &str| format!("layer{index}.{part}");
        let (inner, shared) = (heads * head_dim, kv_heads * head_dim);
        let sees = layer.window.map_or(Sees::Before, Sees::Window);
        let how = Attention {
            kv_heads,
            cap: config.score_cap,
            mask: Mask { memory: 0, sees },
            ..Attention::causal(index, heads, layer.scale)
        };
        let rotary = match &layer.frequencies[..] {
            [] => None,
            frequencies => Some(Rotary::with(frequencies, head_dim, config.length, Pairs::Halves)?),
        };
        let head_norms = match spelling.head_norms {
            None => None,
            Some([queries, keys]) => Some([
                self.norm(&name("q_norm"), of, queries, head_dim)?,
                self.norm(&name("k_norm"), of, keys, head_dim)?,
            ]),
        };
        Ok(SelfAttention {
            how,
            queries: self.map(&name("wq"), of, spelling.queries, [inner, width])?,
            keys: self.map(&name("wk"), of, spelling.keys, [shared, width])?,
            values: Some(self.map(&name("wv"), of, spelling.values, [shared, width])?),
            outputs: Some(self.map(&name("wo"), of, spelling.outputs, [width, inner])?),
            rotary,
            head_norms,
        })
    }

    fn mlp(&mut self, name: &str, of: &str, (kind, hidden): (MlpKind, usize)) -> Result<Mlp> {
        let (spelling, width) = (self.config.spelling, self.config.width);
        let inputs = self.map(&format!("{name}.in"), of, spelling.inner, [hidden, width])?;
        let hidden_layer = match (kind, spelling.gate, spelling.inner_norm) {
            (MlpKind::Plain(activation), ..) => Hidden::Activated(inputs, activation),
            (MlpKind::Gated(activation), Some(gate), _) => {
                let gate = self.map(&format!("{name}.gate"), of, gate, [hidden, width])?;
                Hidden::Gated { gate, inputs, activation }
            }
            (MlpKind::Solu, _, Some(norm)) => {
                Hidden::Solu(inputs, self.norm(&format!("{name}.norm"), of, norm, hidden)?)
            }
            (MlpKind::Gated(_) | MlpKind::Solu, ..) => {
                return Err(Error::internal("an MLP has no names for what it needs"));
            }
        };
        let outputs = self.map(&format!("{name}.out"), of, spelling.out, [width, hidden])?;
        Ok(Mlp { hidden: hidden_layer, outputs })
    }

    fn norm(&mut self, name: &str, of: &str, named: Named, width: usize) -> Result<Norm> {
        let Config { norm: kind, norm_is_bare, epsilon, .. } = *self.config;
        if norm_is_bare || kind == NormKind::None {
            return Ok(Norm { kind, weight: None, bias: None, epsilon });
        }
        let of_weight = format!("{of}{}", named.weight);
        let weight = self.matrix(&format!("{name}.weight"), (&of_weight, named.take), &[width])?;
        let bias = self.maybe(&format!("{name}.bias"), of, (named.bias, named.take_bias), width)?;
        Ok(Norm { kind, weight: Some(weight), bias, epsilon })
    }

    fn map(&mut self, name: &str, of: &str, named: Named, shape: [usize; 2]) -> Result<Map> {
        let of_weight = format!("{of}{}", named.weight);
        let weight = self.matrix(name, (&of_weight, named.take), &shape)?;
        let bias =
            self.maybe(&format!("{name}_bias"), of, (named.bias, named.take_bias), shape[0])?;
        Ok(Map { weight, bias })
    }

    /// A bias that the file may have.
    fn maybe(
        &mut self,
        name: &str,
        of: &str,
        (bias, take): (&str, Take),
        width: usize,
    ) -> Result<Option<Param>> {
        let of = format!("{of}{bias}");
        if self.file.shape(&format!("{}{of}", self.prefix)).is_none() {
            return Ok(None);
        }
        self.matrix(name, (&of, take), &[width]).map(Some)
    }

    /// A tensor of ours that is a part of one of the file.
    fn matrix(&mut self, name: &str, (of, take): (&str, Take), shape: &[usize]) -> Result<Param> {
        let of = format!("{}{of}", self.prefix);
        let Some(stored) = self.file.shape(&of) else {
            return Err(Error::input(format!(
                "the tensor {of} is missing: a network {} with this config.json has one",
                self.config.model_type
            )));
        };
        let stored = stored.to_vec();
        let wrong = || {
            Error::input(format!(
                "the tensor {of} has shape {stored:?}, which is not that of {name} {shape:?} of a network {} with this config.json",
                self.config.model_type
            ))
        };
        if !take.fits(&stored, shape, self.config.heads) {
            return Err(wrong());
        }
        let (heads, shape) = (self.config.heads, shape.to_vec());
        let of = self.stored(&of);
        Ok(self.params.add_stored(name, Box::new(InFile { of, take, heads, shape })))
    }

    fn stored(&mut self, name: &str) -> Arc<Whole> {
        let whole = || Arc::new(Whole::new(self.file.clone(), name.to_owned()));
        self.read.entry(name.to_owned()).or_insert_with(whole).clone()
    }

    /// What is left over would have changed the result.
    fn check_all_read(&self) -> Result<()> {
        let buffers = self.config.spelling.buffers;
        let left = self.file.names().into_iter().find(|name| {
            !self.read.contains_key(*name) && !buffers.iter().any(|buffer| name.ends_with(buffer))
        });
        let Some(name) = left else { return Ok(()) };
        Err(Error::input(format!(
            "the tensor {} is none that a network {} with this config.json has: it would not be read, and what is computed would not be this network's",
            labelled(name, |c| c == ' '),
            self.config.model_type
        )))
    }
}
