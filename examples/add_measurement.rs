//! A worked example of a new measurement: how spread out the attention of each head is, as its entropy.
//!
//! `cargo run --example add_measurement` asks it of a fresh network. Inside the crate this file would be
//! `src/measurement/spread.rs`, with `pub mod spread;` and one line in `measurement::ALL`: it is then recorded in
//! `metrics.csv` at every evaluation, answers `mnemoscope examine --measure spread`, and can be drawn by panels.

use candle_core::Tensor;
use mnemoscope::Result;
use mnemoscope::base::error::Error;
use mnemoscope::base::intervention::{Point, Site};
use mnemoscope::base::registry;
use mnemoscope::measurement::{Answer, Mean, Measurement, Scene, Scope, Subject};
use mnemoscope::model::{self, Input, Sequences};
use mnemoscope::nn::params::Params;
use mnemoscope::nn::tap::EditAndCapture;
use mnemoscope::task::{self, held_out_seed};

mnemoscope::settings! {
    /// Settings of the measurement.
    pub struct Spread = "Entropy of the attention of each head: 0 when every query looks at one position." {
        /// Leave out queries before this position, which have little to choose from.
        from: usize = 8, in 0..=1024;
    }
}

impl Measurement for Spread {
    // Asked of the held-out batch, a few sequences at a time.
    fn scope(&self) -> Scope {
        Scope::HeldOut
    }

    // The error is a sentence: the window shows it in place of the answer.
    fn applies(&self, subject: Subject<'_>) -> Result<()> {
        let layout = subject.model.layout();
        if layout.heads.iter().all(|&heads| heads == 0) {
            return Err(Error::usage(format!(
                "a network of the kind {} has no attention heads, so there is no spread to measure",
                layout.kind
            )));
        }
        Ok(())
    }

    // What to keep of the forward pass: nothing else is computed for this measurement.
    fn sites(&self, subject: Subject<'_>) -> Vec<Site> {
        let heads = subject.model.layout().heads.iter().enumerate();
        let layers = heads.filter(|(_, heads)| **heads > 0);
        layers.map(|(layer, _)| Site { layer, point: Point::Pattern }).collect()
    }

    // One column of `metrics.csv` for each head.
    fn columns(&self, subject: Subject<'_>) -> Vec<String> {
        let layers = subject.model.layout().heads.iter().enumerate();
        layers.flat_map(|(layer, &heads)| (0..heads).map(move |h| column(layer, h))).collect()
    }

    // Means come as sum and count, so that parts of a batch can be added.
    fn measure(&self, scene: &Scene<'_>) -> Result<Answer> {
        let mut means = Vec::new();
        for site in self.sites(scene.subject) {
            let Some(pattern) = scene.captured.get(&site) else { continue };
            let heads = pattern.dim(1)?;
            for head in 0..heads {
                let rows = pattern.narrow(1, head, 1)?.squeeze(1)?.to_vec3::<f32>()?;
                let late = rows.iter().flat_map(|queries| queries.iter().skip(self.from));
                let entropies: Vec<f64> = late.map(|row| entropy(row)).collect();
                let name = column(site.layer, head);
                let (sum, count) = (entropies.iter().sum(), entropies.len() as f64);
                means.push(Mean { name, sum, count });
            }
        }
        Ok(Answer { means, ..Answer::default() })
    }
}

fn column(layer: usize, head: usize) -> String {
    format!("spread_layer{layer}_head{head}")
}

/// In nats.
fn entropy(weights: &[f32]) -> f64 {
    weights.iter().filter(|&&w| w > 0.0).map(|&w| -f64::from(w) * f64::from(w).ln()).sum()
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
pub fn main() -> Result<()> {
    let source = registry::find("task", task::ALL, "bigram")?.open()?;
    let mut params = Params::new(0);
    let architecture = registry::find("model", model::ALL, "decoder")?;
    let model = architecture
        .build(Sequences::of_tokens(source.vocab().len(), source.length()), &mut params)?;
    let subject = Subject { model: &*model, params: &params, source: &*source };

    // What the examiner does for every measurement: one forward pass that keeps what the measurement asked for.
    let measurement = Spread::default();
    measurement.applies(subject)?;
    let batch = task::batch(&*source, held_out_seed(0), 0, 2);
    let tokens = Tensor::from_slice(&batch.tokens, (batch.rows, batch.len), params.device())?;
    let mut bench = EditAndCapture::new(Vec::new(), measurement.sites(subject));
    let output = model.forward(&params, &Input::new(&tokens), &mut bench)?;
    let (logits, captured) = (Some(&output.logits), &bench.captured);
    let answer =
        measurement.measure(&Scene { subject, batch: &batch, first: 0, logits, captured })?;

    for Mean { name, sum, count } in &answer.means {
        println!("{name}: {:.2} nats", sum / count);
    }
    let names: Vec<String> = answer.means.into_iter().map(|mean| mean.name).collect();
    assert_eq!(names, measurement.columns(subject));
    Ok(())
}
