//! A worked example of a recurrent network: a gated recurrent unit (Cho et al. 2014), by the equations of PyTorch's `GRU`.

use mnemoscope::base::intervention::Point;
use mnemoscope::model::{Architecture, Layout, Model, Network, readout::Read};
use mnemoscope::nn::activation::Activation::{Sigmoid, Tanh};
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::wire::{Along, Map, Wire};
use mnemoscope::run::{experiment::Experiment, experiment::Train, trainer::Trainer};
use mnemoscope::{Result, settings};

settings! {
    pub struct Gru = "A gated recurrent unit: one layer, one state." {
        /// Units.
        width: usize = 32, in 1..=1024;
    }
}

impl Architecture for Gru {
    fn build(&self, vocab: usize, length: usize, params: &mut Params) -> Result<Box<dyn Model>> {
        let width = self.width;
        let init = Init::Uniform(1.0 / (width as f64).sqrt());
        Ok(Box::new(Unit {
            inputs: Map::with_bias(params, "layer0.wi", [3 * width, width], init)?,
            recurrent: Map::with_bias(params, "layer0.wh", [3 * width, width], init)?,
            embed: params.add("embed", &[vocab, width], Init::Normal(1.0), true)?,
            unembed: Map::plain(params.add("unembed", &[vocab, width], init, true)?),
            layout: Layout { kind: "gru", heads: vec![0], width, vocab, length },
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

struct Unit {
    layout: Layout,
    embed: Param,
    /// `W_ir`, `W_iz`, `W_in`, one above the other; `recurrent`: `W_hr`, `W_hz`, `W_hn`.
    inputs: Map,
    recurrent: Map,
    unembed: Map,
}

impl Network for Unit {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn wire<'m, W: Wire<'m>>(&'m self, wire: &mut W) -> Result<W::X> {
        let width = self.layout.width;
        let x = wire.embed(self.embed, None)?;
        let inputs = wire.linear(&x, self.inputs)?; // [batch, pos, 3 width]
        let mut h = wire.carried().pop().map_or_else(|| wire.zeros(1, width), Ok)?;
        let mut states = Vec::new();
        for t in 0..wire.positions() {
            let from_x = wire.slice(&inputs, Along::Positions, t, 1)?;
            let from_h = wire.linear(&h, self.recurrent)?;
            let [xr, xz, xn] = wire.split(&from_x, width)?;
            let [hr, hz, hn] = wire.split(&from_h, width)?;
            let (r, z) = (wire.sum(&xr, &hr)?, wire.sum(&xz, &hz)?);
            let (r, z) = (wire.activate(r, Sigmoid)?, wire.activate(z, Sigmoid)?);
            let z = wire.at_step(0, Point::own("gate.update"), t, z)?;
            let n = wire.product(&r, &hn)?;
            let n = wire.sum(&xn, &n)?;
            let n = wire.activate(n, Tanh)?;
            h = wire.mix(&n, &h, &z)?; // (1 - z) n + z h
            h = wire.at_step(0, Point::own("hidden"), t, h)?;
            states.push(h.clone());
        }
        wire.carry(vec![h]);
        let states = wire.concat(&states, Along::Positions)?;
        self.read().wire(wire, 0, states)
    }

    fn read(&self) -> Read<'_> {
        Read { norm: None, unembed: self.unembed, scale: 1.0 }
    }
}

pub fn main() -> Result<()> {
    let mut experiment = Experiment::of("gru", "bigram", "birth")?;
    experiment.model = Box::new(Gru::default());
    experiment.train = Train { batch: 8, held_out: 8, rate: 1.0, ..Train::default() };
    let mut trainer = Trainer::new(&experiment)?;
    (0..60).try_for_each(|_| trainer.step().map(drop))?;
    let loss = trainer.evaluate()?.0.values[0];
    assert!(loss < 3.3, "it learns the global statistics: {loss} nats, from 4.2");
    Ok(())
}
