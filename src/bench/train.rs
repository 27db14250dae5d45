//! Training steps as they are: sequences, forward and backward pass, update.

use crate::base::error::Result;
use crate::run::experiment::Experiment;
use crate::run::trainer::Trainer;

use super::cost::{self, Size};
use super::{How, Kind, Measured, Steady, Workload};

pub const BIRTH: Workload = Workload {
    name: "train/birth",
    about: "a step of the simplified model: batch 32, context 256, width 128",
    kind: Kind::Repeated(|how| Shape { batch: 32, context: 256, width: 128 }.birth(how)),
};

pub const BIRTH_SMALL: Workload = Workload {
    name: "train/birth_small",
    about: "the same: batch 16, context 64, width 64",
    kind: Kind::Repeated(|how| Shape { batch: 16, context: 64, width: 64 }.birth(how)),
};

pub const GPT: Workload = Workload {
    name: "train/gpt",
    about: "a step of a decoder: batch 32, context 128, width 128, 2 layers of 4 heads, MLP",
    kind: Kind::Repeated(|how| Shape { batch: 32, context: 128, width: 128 }.decoder(how, 2, 4)),
};

pub const GPT_DEEP: Workload = Workload {
    name: "train/gpt_deep",
    about: "a step of a decoder: batch 16, context 65, width 128, 6 layers of 1 head, MLP",
    kind: Kind::Repeated(|how| Shape { batch: 16, context: 65, width: 128 }.decoder(how, 6, 1)),
};

pub const GRU: Workload = Workload {
    name: "train/gru",
    about: "a step of 32 gated recurrent units: batch 128, sequences of 20",
    kind: Kind::Repeated(|how| {
        let texts = ["task.length=20", "train.batch=128", "model.width=32"];
        memory(how, ["automaton", "recurrent"], &texts, 128 * 20)
    }),
};

pub const MEMORY_TOKENS: Workload = Workload {
    name: "train/memory_tokens",
    about: "a step of a recurrent memory transformer: batch 64, 2 segments of 6, 6 memory tokens, width 32",
    kind: Kind::Repeated(|how| {
        let texts = ["train.segment=6", "train.batch=64", "model.memory=6"];
        memory(how, ["copy", "memory_tokens"], &texts, 64 * 12)
    }),
};

pub const FEEDBACK: Workload = Workload {
    name: "train/feedback",
    about: "a step of feedback attention: batch 32, 6 blocks of 8, 2 memory tokens, width 32",
    kind: Kind::Repeated(|how| {
        let texts = ["task.least_blocks=6", "train.segment=8", "train.batch=32", "model.memory=2"];
        memory(how, ["passkey", "feedback"], &texts, 32 * 48)
    }),
};

pub const GROWTH: Workload = Workload {
    name: "growth",
    about: "steps of the simplified model as context, batch and width grow: cost per token against the formula",
    kind: Kind::Whole(growth),
};

/// Characters of the text that the tasks are drawn from.
const VOCAB: usize = 65;

#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    context: usize,
    width: usize,
}

impl Shape {
    fn size(self) -> Size {
        Size {
            batch: self.batch as f64,
            context: self.context as f64,
            width: self.width as f64,
            vocab: VOCAB as f64,
        }
    }

    fn birth(self, how: &How) -> Result<Steady> {
        let mut experiment = Experiment::of("bench", "bigram", "birth")?;
        experiment.set_texts(["task.triggers=5", "task.choice=fixed"])?;
        self.steps(how, experiment, cost::birth(self.size()))
    }

    fn decoder(self, how: &How, layers: usize, heads: usize) -> Result<Steady> {
        let mut experiment = Experiment::of("bench", "bigram", "decoder")?;
        let texts = [
            format!("model.layers={layers}"),
            format!("model.heads={heads}"),
            "train.optimizer=adamw".to_owned(),
            "train.rate=3e-4".to_owned(),
            "train.decay=0.01".to_owned(),
        ];
        experiment.set_texts(texts.iter().map(String::as_str))?;
        self.steps(how, experiment, cost::decoder(self.size(), layers as f64))
    }

    fn steps(self, how: &How, mut experiment: Experiment, flop: f64) -> Result<Steady> {
        let texts = [
            format!("task.length={}", self.context),
            format!("model.width={}", self.width),
            format!("train.batch={}", self.batch),
        ];
        experiment.set_texts(texts.iter().map(String::as_str))?;
        let steady = steps(how, experiment, self.batch * self.context)?;
        Ok(Steady { flop: Some(flop), ..steady })
    }
}

/// A step of a network with a memory, on a task that takes one. Its useful arithmetic is not counted.
fn memory(how: &How, [task, model]: [&str; 2], texts: &[&str], tokens: usize) -> Result<Steady> {
    let mut experiment = Experiment::of("bench", task, model)?;
    experiment.set_texts(["train.optimizer=adamw", "train.rate=1e-3"])?;
    experiment.set_texts(texts.iter().copied())?;
    steps(how, experiment, tokens)
}

fn steps(how: &How, mut experiment: Experiment, tokens: usize) -> Result<Steady> {
    experiment.set_texts(how.set.iter().map(String::as_str))?;
    let mut trainer = Trainer::new(&experiment)?;
    let work = Box::new(move || trainer.step().map(drop));
    Ok(Steady { work, tokens: Some(tokens as f64), flop: None })
}

/// What `growth` changes, one at a time, from the middle on.
fn growing() -> Vec<(String, Shape)> {
    let mut all = Vec::new();
    // As many tokens in every batch.
    for context in [64, 128, 256, 512, 1024] {
        let batch = 8192 / context;
        all.push((format!("growth/context_{context}"), Shape { batch, context, width: 128 }));
    }
    for batch in [1, 8, 64, 512] {
        all.push((format!("growth/batch_{batch}"), Shape { batch, context: 256, width: 128 }));
    }
    for width in [32, 64, 128, 256, 512] {
        all.push((format!("growth/width_{width}"), Shape { batch: 32, context: 256, width }));
    }
    all
}

/// `relative_cost` is the time of an operation of the formula, relative to that of `train/birth`.
fn growth(how: &How) -> Result<Vec<Measured>> {
    let per_flop = |m: &Measured| m.median() / m.flop.unwrap_or(f64::NAN);
    let base =
        per_flop(&Shape { batch: 32, context: 256, width: 128 }.birth(how)?.measure("", how)?);
    let mut all = Vec::new();
    for (name, shape) in growing() {
        let mut measured = shape.birth(how)?.measure(&name, how)?;
        measured.others.push(("relative_cost", per_flop(&measured) / base));
        all.push(measured);
    }
    Ok(all)
}
