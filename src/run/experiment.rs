//! A whole run in one document.

use crate::model::Architecture;
use crate::record::intervention::Intervention;
use crate::task::Task;

crate::choices! {
    /// Which positions the loss averages over.
    pub enum LossOver { All = "all", Repeated = "repeated" }
}

crate::choices! {
    pub enum Optimizer { Sgd = "sgd", AdamW = "adamw" }
}

crate::choices! {
    pub enum Schedule { Constant = "constant", Cosine = "cosine" }
}

crate::knobs! {
    /// Settings of training: `train.…`.
    pub struct Train = "How the network is trained and how often it is measured and recorded." {
        /// Seed of everything random: initial weights and sequences.
        seed: usize = 0, in 0.0..=4294967295.0;
        /// Sequences in a batch.
        batch: usize = 64, in 1..=4096;
        /// Steps after which training ends; 0 goes on until stopped.
        steps: usize = 0, in 0..=1000000000, @live;
        /// Optimiser: SGD with momentum and coupled decay, or AdamW.
        optimizer: Optimizer = Optimizer::Sgd;
        /// Learning rate.
        rate: f64 = 0.2, in 1e-8..=100.0, @log, @live;
        /// Momentum of SGD.
        momentum: f64 = 0.9, in 0.0..=0.9999, @live;
        /// Weight decay: coupled (L2) for SGD, decoupled for AdamW.
        decay: f64 = 1e-4, in 0.0..=10.0, @live;
        /// First moment decay of AdamW.
        beta1: f64 = 0.9, in 0.0..=0.9999, @live;
        /// Second moment decay of AdamW.
        beta2: f64 = 0.99, in 0.0..=0.99999, @live;
        /// Learning-rate schedule after the warm-up; cosine falls to a tenth at the last step.
        schedule: Schedule = Schedule::Constant, @live;
        /// Steps over which the learning rate rises from 0.
        warmup: usize = 0, in 0..=1000000, @live;
        /// Largest norm of the gradient; larger ones are scaled down to it. 0: no clipping.
        clip: f64 = 0.0, in 0.0..=1e6, @live;
        /// Positions in the loss: all of them, or only repeated outputs (the answer was seen before in the sequence).
        loss: LossOver = LossOver::All;
        /// Sequences in a shard: each shard is one forward and backward pass on one thread, and gradients are added in the order of shards, so this number (not the number of threads) decides the last bits.
        shard: usize = 2, in 1..=256;
        /// Steps from one evaluation to the next.
        evaluate: usize = 5, in 1..=1000000;
        /// Sequences in the fixed held-out batch.
        held_out: usize = 128, in 1..=4096;
        /// Disk budget of the recorded weights in MB; when it is full, every second recorded step goes.
        record_mb: usize = 512, in 1..=1000000;
        /// Threads to train with; 0: as many as the machine has. Changes no number.
        threads: usize = 0, in 0..=1024;
    }
}

/// An intervention that comes into force at the start of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    pub step: u64,
    pub what: Intervention,
}

/// An experiment: a task, a network, how it is trained, and what happens when.
pub struct Experiment {
    /// Short name, e.g. `birth-joint`.
    pub name: String,
    /// A sentence or two for a person.
    pub about: String,
    pub task_kind: String,
    pub task: Box<dyn Task>,
    pub model_kind: String,
    pub model: Box<dyn Architecture>,
    pub train: Train,
    pub at: Vec<Staged>,
}

impl Clone for Experiment {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            about: self.about.clone(),
            task_kind: self.task_kind.clone(),
            task: self.task.boxed(),
            model_kind: self.model_kind.clone(),
            model: self.model.boxed(),
            train: self.train.clone(),
            at: self.at.clone(),
        }
    }
}
