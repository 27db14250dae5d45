//! A worked example of a new model: attention that never learns where to look, the mean of all earlier tokens.
//!
//! `cargo run --example add_model` lists its tensors and the points of its forward pass, and trains it for a
//! few steps. Inside the crate this file would be `src/model/average.rs`, with `pub mod average;` and one line in
//! `model::ALL`: the form, the command line, freezing by name, every measurement that knows its points and the
//! gradient test of every model then know it.

use candle_core::Tensor;
use mnemoscope::Result;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::model::{Architecture, Input, Layout, Model, Output, Sequences};
use mnemoscope::nn::linear::{embed, linear, sum};
use mnemoscope::nn::params::{Init, Param, Params};
use mnemoscope::nn::tap::{EditAndCapture, Tap, through};
use mnemoscope::run::experiment::{Experiment, Train};
use mnemoscope::run::trainer::Trainer;
use mnemoscope::task::Task;
use mnemoscope::task::bigram::Bigram;

mnemoscope::settings! {
    /// Settings of the model.
    pub struct Average = "One layer that adds the mean of all earlier tokens, mapped by a matrix: a bag of words." {
        /// Width of the residual stream.
        width: usize = 32, in 1..=1024;
    }
}

// Settings build into a network: they add its parameters by name and keep their handles.
impl Architecture for Average {
    fn build(&self, on: Sequences, params: &mut Params) -> Result<Box<dyn Model>> {
        let Sequences { vocab, length, .. } = on;
        let width = self.width;
        let uniform = Init::Uniform(1.0 / (width as f64).sqrt());
        // Row t is the mean over positions 0 to t. It never changes: `false`.
        let mean = (0..length * length).map(|i| {
            let (t, s) = (i / length, i % length);
            if s <= t { 1.0 / (t + 1) as f32 } else { 0.0 }
        });
        Ok(Box::new(Averaging {
            embed: params.add("embed", &[vocab, width], Init::Normal(1.0), true)?,
            wv: params.add("layer0.wv", &[width, width], uniform, true)?,
            unembed: params.add("unembed", &[vocab, width], uniform, true)?,
            mean: params.add_values("layer0.mean", &[length, length], mean.collect(), false)?,
            // No attention heads: measurements that ask for patterns say that they do not apply.
            layout: Layout { kind: "average", heads: vec![0], width, vocab, length },
        }))
    }

    fn boxed(&self) -> Box<dyn Architecture> {
        Box::new(self.clone())
    }
}

// A network holds handles, not numbers: `params` is an argument, so that one network serves every step of a run.
struct Averaging {
    embed: Param,
    wv: Param,
    unembed: Param,
    mean: Param,
    layout: Layout,
}

impl Model for Averaging {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    // Every point goes through the tap under its shared name, so that it can be watched and changed.
    fn forward(&self, params: &Params, input: &Input<'_>, tap: &mut dyn Tap) -> Result<Output> {
        let (_, length) = input.tokens.dims2()?;
        let x0 = embed(&params.get(self.embed)?, input.tokens)?; // [batch, pos, width]
        let x0 = through(tap, 0, Point::ResidPre, x0)?;
        let mean = params.get(self.mean)?.narrow(0, 0, length)?.narrow(1, 0, length)?;
        let mean = mean.contiguous()?.broadcast_matmul(&x0)?; // [batch, pos, width]
        let written = linear(&mean, &params.get(self.wv)?, None)?;
        let written = through(tap, 0, Point::AttnOut, written)?;
        let x1 = through(tap, 0, Point::ResidPost, sum(&x0, &written)?)?;
        let logits = linear(&x1, &params.get(self.unembed)?, None)?; // [batch, pos, vocab]
        Ok(Output { logits: through(tap, 0, Point::Logits, logits)?, state: None, beside: None })
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let source = Bigram { length: 64, ..Bigram::default() }.open()?;
    let mut params = Params::new(0);
    let model = Average::default()
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)?;
    for param in params.all() {
        let tensor = params.get(param)?;
        println!("{} {:?}", params.name(param), tensor.dims());
    }

    // Anything can be watched: one head-less layer, so its mean is kept here as what attention writes.
    let site = Site { layer: 0, point: Point::AttnOut };
    let tokens = Tensor::from_slice(&source.sequence(0, 0).tokens, (1, 64), params.device())?;
    let mut bench = EditAndCapture::new(Vec::new(), vec![site]);
    let output = model.forward(&params, &Input::new(&tokens), &mut bench)?;
    assert_eq!(output.logits.dims(), [1, 64, 65]);
    assert_eq!(bench.captured[&site].dims(), [1, 64, 32]);

    // An experiment takes any model; those of `model::ALL` can also be named in a file.
    let mut experiment = Experiment::of("average", "bigram", "birth")?;
    experiment.task = Box::new(Bigram { length: 64, ..Bigram::default() });
    experiment.model = Box::new(Average::default());
    experiment.train = Train { batch: 16, held_out: 16, rate: 0.5, ..Train::default() };
    let mut trainer = Trainer::new(&experiment)?;
    let column = trainer.columns().iter().position(|name| name == "loss_global");
    let mut losses = Vec::new();
    for _ in 0..3 {
        let (row, _) = trainer.evaluate()?;
        let loss = column.map_or(f64::NAN, |i| row.values[i]);
        println!("step {}: loss on global tokens {loss:.2} nats", row.step);
        losses.push(loss);
        for _ in 0..10 {
            trainer.step()?;
        }
    }
    assert!(losses[2] < losses[0] - 0.5, "it learns the global statistics: {losses:?}");
    Ok(())
}
