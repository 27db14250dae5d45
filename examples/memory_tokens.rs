//! A worked example of memory between segments: a recurrent memory transformer (Bulatov et al. 2022). Memory tokens stand before
//! and after each segment; what comes out of the later ones is read before the next segment. One layer, for the shortness.

use mnemoscope::Result;
use mnemoscope::base::intervention::Point;
use mnemoscope::model::readout::{Read, Written};
use mnemoscope::model::{Architecture, Layout, Model, Network};
use mnemoscope::nn::attention::{Attention, Mask, Sees};
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::wire::{Along, Heads, Map, Wire};
use mnemoscope::run::experiment::{Experiment, Optimizer, Train};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::bigram::Bigram;

mnemoscope::settings! {
    /// Settings of the network.
    pub struct MemoryTokens = "A transformer of one layer that carries memory tokens from segment to segment." {
        /// Width of the residual stream.
        width: usize = 32, in 1..=1024;
        /// Memory tokens.
        memory: usize = 4, in 1..=64;
        /// No gradient passes through the memory.
        stop_gradient: bool = false;
    }
}

impl Architecture for MemoryTokens {
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
        let width = self.width;
        let (normal, uniform) = (Init::Normal(1.0), Init::Uniform(1.0 / (width as f64).sqrt()));
        let mut table =
            |name: &str, rows: usize, init| params.add(name, &[rows, width], init, true);
        Ok(Box::new(Recurrent {
            embed: table("embed", vocab, normal)?,
            memory: table("memory", self.memory, normal)?,
            queries: Map::plain(table("layer0.wq", width, uniform)?),
            keys: Map::plain(table("layer0.wk", width, uniform)?),
            values: Map::plain(table("layer0.wv", width, uniform)?),
            outputs: Map::plain(table("layer0.wo", width, uniform)?),
            unembed: Map::plain(table("unembed", vocab, uniform)?),
            settings: self.clone(),
            layout: Layout { kind: "memory tokens", heads: vec![1], width, vocab, length },
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct Recurrent {
    settings: MemoryTokens,
    layout: Layout,
    embed: Param,
    /// What is read before the first segment.
    memory: Param,
    queries: Map,
    keys: Map,
    values: Map,
    outputs: Map,
    unembed: Map,
}

impl Network for Recurrent {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let (slots, length) = (self.settings.memory, wire.positions());
        let memory = match wire.carried().pop() {
            Some(memory) if self.settings.stop_gradient => wire.detach(&memory)?,
            Some(memory) => memory,
            None => wire.repeat(self.memory)?,
        };
        let memory = wire.at_memory(0, Point::own("memory.read"), memory)?;
        let tokens = wire.embed(self.embed, None)?;
        let tokens = wire.at(0, Point::ResidPre, tokens)?;
        let x = wire.concat(&[memory.clone(), tokens, memory], Along::Positions)?;
        let (queries, keys) = (wire.linear(&x, self.queries)?, wire.linear(&x, self.keys)?);
        let (values, outputs) = (Some(self.values), Some(self.outputs));
        let heads = Heads {
            queries: &queries,
            keys: &keys,
            read: &x,
            values,
            outputs,
            residual: &x,
            last: false,
        };
        // All read the memory before them; the memory after the tokens reads these too.
        let plain = Attention::causal(0, 1, 1.0 / (self.layout.width as f32).sqrt());
        let mask = Mask { memory: slots, sees: Sees::Before };
        let x = wire.attend(Attention { mask, ..plain }, heads)?;
        let written = wire.slice(&x, Along::Positions, slots + length, slots)?;
        let written = wire.at_memory(0, Point::own("memory.write"), written)?;
        wire.carry(vec![written]);
        let read = wire.slice(&x, Along::Positions, slots, length)?;
        let read = wire.at(0, Point::ResidPost, read)?;
        self.read().wire(wire, 0, read)
    }

    fn read(&self) -> Read<'_> {
        Read { norm: None, unembed: self.unembed, scale: 1.0 }
    }

    fn written(&self, layer: usize) -> Option<Written> {
        (layer == 0).then_some(Written { heads: 1, outputs: Some(self.outputs) })
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let mut experiment = Experiment::of("memory tokens", "bigram", "birth")?;
    experiment.task = Box::new(Bigram { length: 64, ..Bigram::default() });
    experiment.model = Box::new(MemoryTokens::default());
    let (optimizer, rate, segment) = (Optimizer::AdamW, 0.01, 16);
    let train = Train { batch: 16, held_out: 16, rate, optimizer, ..Train::default() };
    experiment.train = Train { segment, ..train };
    let mut trainer = Trainer::new(&experiment)?;
    for _ in 0..3 {
        let (row, _) = trainer.evaluate()?;
        println!("step {}: loss {:.3} nats", row.step, row.values[0]);
        for _ in 0..20 {
            trainer.step()?;
        }
    }
    Ok(())
}
